/**
 * Ways to a manager that are not the plain one: through a bastion, to other SSH servers and tight
 * settings, into other login shells, with an agent; and what is lost on the way.
 */
import { expect } from '@jest/globals';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Secret } from '../../src/secret.js';
import { parseKnownHosts } from '../../src/transport/known-hosts.js';
import { readPrivateKey } from '../../src/transport/private-key.js';
import { connectSsh } from '../../src/transport/ssh.js';
import { onSwarm, scenario, scenarios, sshdLogOf, until } from '../support/swarm.js';
import type { Node, Run, Stack } from '../support/swarm.js';

const api = (stack: Stack): Record<string, unknown> => ({ api: { image: stack.image('web') } });

async function must(node: Node, script: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await node.exec(['sh', '-c', script, 'sh', ...args]);
  if (code !== 0) throw new Error(`on ${node.name}: ${stderr}`);
  return stdout;
}

/** Runs a server of its own on the node, in place of one of a run before. */
async function serve(node: Node, port: number, ...command: readonly string[]): Promise<void> {
  const script = `
    port=$1; shift
    [ ! -s "/run/way-$port" ] || kill "$(cat "/run/way-$port")" 2>/dev/null || :
    setsid "$@" >>/var/log/way-$port.log 2>&1 </dev/null & echo $! >"/run/way-$port"`;
  await must(node, script, String(port), ...command);
  await until(`port ${port} of ${node.name} answers`, async () => {
    const socket = connect(port, node.address);
    const greeting = once(socket, 'data').then(
      ([chunk]) => String(chunk).startsWith('SSH-'),
      () => false,
    );
    const answered = await greeting;
    socket.destroy();
    return answered;
  });
}

/** An sshd with these settings, on a port of its own. */
const sshd = (node: Node, port: number, ...settings: readonly string[]): Promise<void> =>
  serve(
    node,
    port,
    ...['/usr/sbin/sshd', '-D', '-e', '-f', '/dev/null', '-p', String(port)],
    ...[
      // The first value of each counts.
      ...settings,
      'HostKey=/etc/ssh/ssh_host_ed25519_key',
      'PidFile=none',
      'UsePAM=no',
      'PasswordAuthentication=no',
    ].flatMap((setting) => ['-o', setting]),
  );

const at = (node: Node, ...ports: readonly number[]): { host: string; 'known-hosts': string } => {
  const [, key = ''] = /^\S+ (.*)$/s.exec(node.hostKeyLine) ?? [];
  return {
    host: ports.map((port) => `${node.address}:${port}`).join('\n'),
    'known-hosts': [
      node.hostKeyLine,
      ...ports.map((port) => `[${node.address}]:${port} ${key}`),
    ].join('\n'),
  };
};

/** A user of the group docker with this login shell and start file. */
async function addUser(node: Node, name: string, shell: string, startFile = ''): Promise<void> {
  const script = `
    set -e
    grep -q "^$1:" /etc/passwd && exit
    home=/home/$1
    mkdir -p "$home/.ssh" "$home/bin"
    cp /home/deploy/.ssh/authorized_keys "$home/.ssh/"
    printf '%s\n' "$3" >"$home/.bashrc"
    for each in docker sh env cat mkdir rm grep sleep sudo; do
      path=$(command -v $each) && ln -s "$path" "$home/bin/$each" || :
    done
    id=$(awk -F: '$3 > max && $3 < 60000 {max = $3} END {print max + 1}' /etc/passwd)
    echo "$1:x:$id:$id::$home:$2" >>/etc/passwd
    echo "$1:*:19000:0:99999:7:::" >>/etc/shadow
    sed -i "s/^docker:.*/&,$1/" /etc/group
    chown -R "$id:$id" "$home"; chmod 700 "$home/.ssh"`;
  await must(node, script, name, shell, startFile);
}

let last = Promise.resolve();
/** One after the other: the node's files are rewritten. */
async function inTurn<T>(action: () => Promise<T>): Promise<T> {
  const turn = last.then(action);
  last = turn.then(
    () => undefined,
    () => undefined,
  );
  return await turn;
}

const deployed = async (stack: Stack, run: Run): Promise<void> => {
  expect(run).toMatchObject({ outcome: 'deployed', code: 0, postCode: 0 });
  expect(await stack.running('api')).toHaveLength(1);
};

onSwarm('a manager is reached', () => {
  scenario('through a bastion, and by no other way', async (stack) => {
    const { manager, bed } = stack;
    const bastion = bed.node('worker1');
    await inTurn(async () => {
      await sshd(manager, 2221, 'LogLevel=VERBOSE');
      // Somebody who has no shell there, and may go to the manager alone.
      await addUser(bastion, 'hopper', '/usr/sbin/nologin');
      const rights = `restrict,port-forwarding,permitopen="${manager.address}:2221"`;
      await must(bastion, `sed -i "s/^ssh-/$1 &/" /home/hopper/.ssh/authorized_keys`, rights);
    });
    const bastionLog = sshdLogOf(bastion);
    const run = await stack.deploy(api(stack), {
      ...at(manager, 2221),
      'jump-host': `hopper@${bastion.address}`,
      'known-hosts': `${at(manager, 2221)['known-hosts']}\n${bastion.hostKeyLine}`,
    });
    await deployed(stack, run);
    expect(run.log).toContain(`through the jump host hopper@${bastion.address}:22`);
    expect(bastionLog().some((line) => line.includes('Accepted publickey for hopper'))).toBe(true);
    const from = (await must(manager, 'cat /var/log/way-2221.log'))
      .split('\n')
      .flatMap((line) => /Accepted publickey .* from (\S+)/.exec(line)?.[1] ?? []);
    expect(new Set(from)).toEqual(new Set([bastion.address]));
  });

  scenario('through a bastion not, whose key is not the pinned one', async (stack) => {
    const { manager, bed } = stack;
    const bastion = bed.node('worker2'); // where nobody else logs in
    const log = sshdLogOf(bastion);
    const run = await stack.deploy(api(stack), {
      'jump-host': `guest@${bastion.address}`,
      'known-hosts': [
        manager.hostKeyLine,
        manager.hostKeyLine.replace(manager.address, bastion.address),
      ].join('\n'),
    });
    expect(run).toMatchObject({ outcome: 'invalid', reason: 'host-key', code: 1 });
    expect(run.log).toContain(bastion.fingerprint);
    expect(run.log).toContain(manager.fingerprint);
    expect(log().filter((line) => line.includes('guest'))).toEqual([]);
    expect(await stack.services()).toEqual({});
  });

  scenario('where dropbear is the SSH server', async (stack) => {
    const { manager } = stack;
    const fingerprint = await inTurn(async () => {
      const key = '/run/dropbear_ed25519';
      const shown = await must(
        manager,
        `[ -f "$1" ] || dropbearkey -t ed25519 -f "$1" >/dev/null 2>&1; dropbearkey -y -f "$1"`,
        key,
      );
      await serve(manager, 2222, 'dropbear', '-F', '-E', '-r', key, '-p', '2222');
      return /SHA256:[\w+/]+/.exec(shown)?.[0] ?? '';
    });
    const run = await stack.deploy(api(stack), {
      host: manager.address,
      port: 2222,
      'known-hosts': '',
      'host-fingerprint': fingerprint,
    });
    await deployed(stack, run);
  });

  scenarios(
    [
      { port: 2223, setting: 'MaxSessions=1' },
      { port: 2224, setting: 'MaxSessions=2' },
      { port: 2225, setting: 'AllowTcpForwarding=no' },
    ],
    ({ setting }) => `where its sshd has ${setting}`,
    async (stack, { port, setting }) => {
      await inTurn(() => sshd(stack.manager, port, setting));
      // One command after the other, for each of them.
      const names = Array.from({ length: 12 }, (_, count) => `config-${count}`);
      const configs = Object.fromEntries(names.map((name) => [name, { file: `./${name}` }]));
      const run = await stack.run({
        files: {
          'docker-stack.yml': stack.file(api(stack), { configs }),
          ...Object.fromEntries(names.map((name) => [name, name])),
        },
        inputs: at(stack.manager, port),
      });
      await deployed(stack, run);
      expect(run.log).not.toContain('connection lost');
    },
  );

  scenario('that has too many logins for a while (MaxStartups)', async (stack) => {
    const { manager } = stack;
    await inTurn(() => sshd(manager, 2226, 'MaxStartups=2:100:2'));
    const idle: Socket[] = [connect(2226, manager.address), connect(2226, manager.address)];
    await Promise.all(idle.map((socket) => once(socket, 'data')));
    const run = await stack.deploy(api(stack), at(manager, 2226), {
      onLine: (line) => {
        if (line.includes('trying again')) idle.forEach((socket) => socket.destroy());
      },
    });
    await deployed(stack, run);
    expect(run.log).toContain('closed the connection before the SSH handshake');
  });

  scenarios(
    [
      { name: 'fishy', shell: '/usr/bin/fish' },
      { name: 'cshy', shell: '/usr/bin/tcsh' },
      { name: 'confined', shell: '/bin/rbash', startFile: 'PATH=$HOME/bin' },
    ],
    ({ shell }) => `as a user whose login shell is ${shell}`,
    async (stack, { name, shell, startFile }) => {
      await inTurn(() => addUser(stack.manager, name, shell, startFile));
      await deployed(stack, await stack.deploy(api(stack), { username: name }));
    },
  );

  scenario('as a user whose login shell prints something not, and that is said', async (stack) => {
    await inTurn(() => addUser(stack.manager, 'noisy', '/bin/bash', 'echo Welcome to the shop'));
    const run = await stack.deploy(api(stack), { username: 'noisy' });
    expect(run).toMatchObject({ outcome: 'invalid', reason: 'docker-unavailable', code: 1 });
    expect(run.log).toContain('prints text of its own');
    expect(run.log).toContain('Welcome to the shop');
    expect(await stack.services()).toEqual({});
  });

  scenario('by its IPv6 address, on the usual port and on another', async (stack) => {
    const { manager, bed } = stack;
    const number = Number(/\.(\d+)\.\d+$/.exec(manager.address)?.[1]);
    const network = `fd5d:6:${number.toString(16)}`;
    const ip = (...words: readonly string[]): void => {
      const { stderr } = spawnSync('ip', ['-6', 'address', ...words]);
      expect(stderr.toString()).toBe('');
    };
    const gateway = [`${network}::1/64`, 'dev', bed.state.bridge];
    await must(manager, 'ip -6 address add "$1" dev eth0 nodad', `${network}::2/64`);
    ip('add', ...gateway, 'nodad');
    try {
      await inTurn(() => sshd(manager, 2229));
      const key = manager.hostKeyLine.replace(/^\S+ /, '');
      const run = await stack.deploy(api(stack), {
        // Nobody is at the first.
        host: `[${network}::2]:1\n[${network}::2]:2229`,
        'known-hosts': `[${network}::2]:2229 ${key}`,
      });
      await deployed(stack, run);
      expect(run.log).toContain(`connected to root@[${network}::2]:2229`);
      const plain = await stack.deploy(api(stack), {
        host: `root@[${network}::2]`,
        'known-hosts': `${network}::2 ${key}`,
      });
      expect(plain).toMatchObject({ outcome: 'unchanged', code: 0, postCode: 0 });
    } finally {
      ip('del', ...gateway);
    }
  });

  const PASSWORD = 'correct horse $(battery) staple';
  /** Its sshd asks PAM for what is not its own to know. */
  const PAM = `
    printf '%s\\n' 'auth required pam_unix.so' 'account required pam_unix.so' 'session required pam_permit.so' >/etc/pam.d/sshd
    hash=$(printf %s "$2" | openssl passwd -6 -stdin)
    sed -i "s|^$1:[^:]*:|$1:$hash:|" /etc/shadow`;
  scenarios(
    [
      {
        name: 'by-password',
        port: 2241,
        settings: ['PasswordAuthentication=yes', 'AuthenticationMethods=password'],
        withKey: false,
      },
      {
        name: 'by-question',
        port: 2242,
        settings: [
          'UsePAM=yes',
          'KbdInteractiveAuthentication=yes',
          'AuthenticationMethods=keyboard-interactive',
        ],
        withKey: false,
      },
      {
        name: 'by-both',
        port: 2243,
        settings: ['PasswordAuthentication=yes', 'AuthenticationMethods=publickey,password'],
        withKey: true,
      },
    ],
    ({ name }) => `logging in ${name}`,
    async (stack, { name, port, settings, withKey }) => {
      const { manager } = stack;
      await inTurn(async () => {
        await addUser(manager, name, '/bin/sh');
        await must(manager, PAM, name, PASSWORD);
        await sshd(manager, port, ...settings);
      });
      const inputs = {
        ...at(manager, port),
        username: name,
        ...(withKey ? {} : { 'private-key': '' }),
      };
      const run = await stack.deploy(api(stack), { ...inputs, password: PASSWORD });
      await deployed(stack, run);
      expect(run.log.replace(/^::add-mask::.*$/gm, '')).not.toContain(PASSWORD);
      const wrong = await stack.deploy(api(stack), { ...inputs, password: 'not this one' });
      expect(wrong).toMatchObject({ outcome: 'invalid', reason: 'auth-failed', code: 1 });
    },
  );

  scenario('over a socket of the engine that is not the default', async (stack) => {
    const { manager } = stack;
    await must(manager, 'ln -sf /run/docker.sock /run/elsewhere.sock');
    const run = await stack.deploy(api(stack), { 'docker-host': 'unix:///run/elsewhere.sock' });
    await deployed(stack, run);
    const wrong = await stack.deploy(api(stack), { 'docker-host': '/run/nowhere.sock' });
    expect(wrong).toMatchObject({ outcome: 'invalid', reason: 'docker-unavailable', code: 1 });
    expect(wrong.log).toContain('/run/nowhere.sock');
  });

  scenario(
    'with a key of an agent that holds many, as long as the server bears them',
    async (stack) => {
      const { manager, bed } = stack;
      await inTurn(() => sshd(manager, 2227, 'MaxAuthTries=3'));
      await inTurn(() => sshd(manager, 2228, 'MaxAuthTries=10'));
      const directory = mkdtempSync(join(tmpdir(), 'agent-'));
      const socket = join(directory, 'socket');
      const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
      try {
        const env = { ...process.env, SSH_AUTH_SOCK: socket };
        const run = (...command: readonly [string, ...string[]]): void => {
          const { status, stderr } = spawnSync(command[0], command.slice(1), { env });
          if (status !== 0) throw new Error(`${command.join(' ')}: ${stderr.toString()}`);
        };
        await until('the agent listens', () => spawnSync('ssh-add', ['-l'], { env }).status === 1);
        for (const number of [1, 2, 3, 4]) {
          const path = join(directory, `key${number}`);
          run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', path);
          run('ssh-add', '-q', path);
        }
        const own = join(directory, 'own');
        writeFileSync(own, bed.ssh.privateKey, { mode: 0o600 });
        run('ssh-add', '-q', own);
        const options = { env: { SSH_AUTH_SOCK: socket } };
        const inputs = { 'private-key': '' };
        const strict = await stack.deploy(api(stack), { ...at(manager, 2227), ...inputs }, options);
        expect(strict).toMatchObject({ outcome: 'invalid', reason: 'auth-failed', code: 1 });
        expect(strict.log).toContain('MaxAuthTries');
        await deployed(
          stack,
          await stack.deploy(api(stack), { ...at(manager, 2228), ...inputs }, options),
        );
      } finally {
        agent.kill();
        rmSync(directory, { recursive: true });
      }
    },
  );
});

onSwarm('a real sshd lets in', () => {
  const PASSPHRASE = 'open sesame';
  const openssh = (type: string, bits: string, ...more: readonly string[]) => [
    ['ssh-keygen', '-q', '-a', '4', '-t', type, '-b', bits, '-f', 'KEY', ...more],
  ];
  const pkcs8 = (...more: readonly string[]) => [
    ['openssl', 'genpkey', '-quiet', '-out', 'KEY', ...more],
  ];
  const open = ['-N', ''];
  const locked = ['-N', PASSPHRASE];
  const rows: readonly (readonly [string, readonly (readonly string[])[]])[] = [
    ['OpenSSH, ed25519', openssh('ed25519', '256', ...open)],
    ['OpenSSH, ed25519, locked', openssh('ed25519', '256', ...locked)],
    ['OpenSSH, RSA', openssh('rsa', '3072', ...open)],
    ['OpenSSH, RSA, locked', openssh('rsa', '2048', ...locked)],
    ...['256', '384', '521'].map(
      (bits) => [`OpenSSH, ECDSA ${bits}`, openssh('ecdsa', bits, ...open)] as const,
    ),
    ['PEM, RSA', openssh('rsa', '2048', '-m', 'PEM', ...open)],
    ['PEM, RSA, locked', openssh('rsa', '2048', '-m', 'PEM', ...locked)],
    ['PEM, ECDSA', openssh('ecdsa', '256', '-m', 'PEM', ...open)],
    ['PKCS#8, RSA, by ssh-keygen', openssh('rsa', '2048', '-m', 'PKCS8', ...open)],
    ['PKCS#8, RSA, locked', openssh('rsa', '2048', '-m', 'PKCS8', ...locked)],
    ['PKCS#8, RSA', pkcs8('-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048')],
    ['PKCS#8, ECDSA', pkcs8('-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256')],
    ['PKCS#8, ed25519', pkcs8('-algorithm', 'ed25519')],
  ];

  scenario('keys of every format, also as forms and secret stores mangle them', async (stack) => {
    const { manager } = stack;
    await inTurn(() => addUser(manager, 'keys', '/bin/sh'));
    const directory = mkdtempSync(join(tmpdir(), 'keys-'));
    const mangled = [
      (text: string) => text,
      (text: string) => text.replaceAll('\n', '\r\n').trimEnd(),
      (text: string) => text.replaceAll('\n', '\n    '),
      (text: string) => text.trim().replaceAll('\n', '\\n'),
      (text: string) => Buffer.from(text).toString('base64'),
    ];
    try {
      const keys = new Map<string, string>();
      rows.forEach(([title, commands], index) => {
        const path = join(directory, `key${index}`);
        for (const command of commands) {
          const [program = '', ...args] = command.map((word) => (word === 'KEY' ? path : word));
          const { status, stderr } = spawnSync(program, args);
          if (status !== 0) throw new Error(`${title}: ${stderr.toString()}`);
        }
        keys.set(title, readFileSync(path, 'utf8'));
      });
      for (const name of ['plain', 'locked'])
        keys.set(
          `PuTTY, RSA, ${name}`,
          readFileSync(new URL(`../support/keys/${name}.ppk`, import.meta.url), 'utf8'),
        );
      const passphrase = new Secret(PASSPHRASE);
      const lines = [...keys.values()].map((text) => {
        const key = readPrivateKey(new Secret(text), passphrase);
        if ('reason' in key) throw new Error(key.message);
        return `${key.type} ${key.getPublicSSH().toString('base64')}`;
      });
      await must(
        manager,
        'printf %s "$1" >/home/keys/.ssh/authorized_keys',
        `${lines.join('\n')}\n`,
      );
      const { entries } = parseKnownHosts(manager.hostKeyLine);
      const results: Record<string, string> = {};
      let turn = 0;
      for (const [title, text] of keys) {
        const mangle = mangled[turn++ % mangled.length] ?? String;
        const transport = await connectSsh({
          target: { host: manager.address, port: 22, username: 'keys' },
          credentials: { privateKey: new Secret(mangle(text)), passphrase },
          hostKeys: { kind: 'known-hosts', entries },
          connectTimeoutMs: 60_000,
        });
        const { stdout } = await transport.run(['id', '-un']);
        results[title] = stdout.toString();
        await transport.close();
      }
      expect(results).toEqual(
        Object.fromEntries([...keys.keys()].map((title) => [title, 'keys\n'])),
      );
      expect(Object.keys(results)).toHaveLength(rows.length + 2);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

onSwarm('a connection that is lost in mid-watch', () => {
  const watching = (act: () => Promise<unknown>) => {
    let acted: Promise<unknown> | undefined;
    return {
      onLine: (line: string): void => {
        if (line.includes('Watch the tasks')) acted ??= act();
      },
      done: async (): Promise<void> => {
        expect(acted).toBeDefined();
        await acted;
      },
    };
  };

  scenario(
    'without a word (packets are dropped) is noticed, and the next host goes on',
    async (stack) => {
      const { manager } = stack;
      await inTurn(() => sshd(manager, 2231));
      const firewall = (action: string): Promise<string> =>
        must(
          manager,
          `iptables ${action} INPUT -p tcp --dport 2231 -j DROP; iptables ${action} OUTPUT -p tcp --sport 2231 -j DROP`,
        );
      const { onLine, done } = watching(() => firewall('-I'));
      try {
        const run = await stack.deploy(
          api(stack),
          { ...at(manager, 2231, 22), 'connect-timeout': '3s', 'stable-for': '8s' },
          { onLine },
        );
        await done();
        await deployed(stack, run);
        expect(run.log).toMatch(
          /connection lost: (the connection to \S+:2231 was lost: nothing was heard from it|the engine did not answer .*) (for|within) 15 s/,
        );
        expect(run.log).toMatch(/connected to \S+:22$/m);
      } finally {
        await firewall('-D');
      }
    },
  );

  scenario('as its server is killed: the next host goes on', async (stack) => {
    const { manager } = stack;
    await inTurn(() => sshd(manager, 2232));
    const kill = `
      pid=$(cat /run/way-2232)
      kill -9 "$pid" $(grep -l "^PPid:[[:space:]]*$pid$" /proc/[0-9]*/status | cut -d/ -f3)`;
    const { onLine, done } = watching(() => must(manager, kill));
    const run = await stack.deploy(
      api(stack),
      { ...at(manager, 2232, 22), 'stable-for': '8s' },
      { onLine },
    );
    await done();
    await deployed(stack, run);
    expect(run.log).toMatch(/connection lost: the connection to \S+:2232 was lost/);
    expect(run.log).toMatch(/connected to \S+:22$/m);
  });
});
