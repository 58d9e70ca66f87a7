import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { createServer, Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import ssh2 from 'ssh2';
import { ConnectionLost, DeployError, InvalidInput } from '../../../src/errors.js';
import { Secret } from '../../../src/secret.js';
import { CommandEnded } from '../../../src/transport/command-stream.js';
import type { HostKeyPolicy, SeenHostKey } from '../../../src/transport/host-key.js';
import { parseKnownHosts } from '../../../src/transport/known-hosts.js';
import { ConnectFailed, connectSsh, describeTarget } from '../../../src/transport/ssh.js';
import type { SshCredentials, SshOptions } from '../../../src/transport/ssh.js';
import type { Transport } from '../../../src/transport/transport.js';
import { makeKey, startSshServer } from '../../support/ssh-server.js';
import type { KeyKind, SshServer, SshServerOptions } from '../../support/ssh-server.js';

const user = makeKey('ed25519');
const hostKey = makeKey('ed25519');
const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function serve(options: SshServerOptions = {}): Promise<SshServer> {
  const server = await startSshServer({
    authorizedKeys: [user],
    ...(options.hostKeyKinds === undefined ? { hostKeys: [hostKey] } : {}),
    ...options,
  });
  cleanUps.push(() => server.close());
  return server;
}

const known = (server: SshServer): HostKeyPolicy => ({
  kind: 'known-hosts',
  entries: parseKnownHosts(server.knownHosts).entries,
});

const withKey: SshCredentials = { privateKey: new Secret(user.privateKey) };

const optionsFor = (server: SshServer, more: Partial<SshOptions> = {}): SshOptions => ({
  target: { host: server.host, port: server.port, username: 'deploy' },
  credentials: withKey,
  hostKeys: known(server),
  connectTimeoutMs: 10_000,
  ...more,
});

async function login(server: SshServer, more: Partial<SshOptions> = {}): Promise<Transport> {
  const transport = await connectSsh(optionsFor(server, more));
  cleanUps.push(() => transport.close());
  return transport;
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error('was expected to fail');
    },
    (error: unknown) => error,
  );
}

async function refusal(promise: Promise<unknown>): Promise<DeployError> {
  const error = await failure(promise);
  expect(error).toBeInstanceOf(DeployError);
  return error as DeployError;
}

async function connected(options: SshServerOptions = {}): Promise<[Transport, SshServer]> {
  const server = await serve(options);
  return [await login(server), server];
}

describe('run', () => {
  it('gives exit code and both outputs, and asks for nothing but the command', async () => {
    const [transport, server] = await connected();
    const result = await transport.run(['sh', '-c', 'printf out; printf err >&2; exit 3']);
    expect(result).toEqual({ code: 3, stdout: Buffer.from('out'), stderr: Buffer.from('err') });
    expect(server.commands).toEqual(["'sh' '-c' 'printf out; printf err >&2; exit 3'"]);
    expect(server.extras).toEqual([]);
    expect(transport.description).toBe(`deploy@127.0.0.1:${server.port}`);
  });

  it('passes arguments on byte for byte', async () => {
    const [transport] = await connected();
    const args = ['', "it's", '$(id) `id` \\ "', 'two\nlines', 'Grüße 🚀'];
    const { stdout } = await transport.run(['printf', '%s\\0', ...args]);
    expect(stdout.toString()).toBe(args.map((arg) => `${arg}\0`).join(''));
  });

  it('hears the end of many commands that end at once', async () => {
    const [transport] = await connected();
    const results = await Promise.all(
      Array.from({ length: 30 }, (_, code) => transport.run(['sh', '-c', `exit ${code}`])),
    );
    expect(results.map(({ code }) => code)).toEqual(Array.from({ length: 30 }, (_, code) => code));
  });

  it('hears a command whose whole life is in one packet', async () => {
    const [transport] = await connected({
      handler: (_command, channel) => {
        channel.write('gone');
        channel.exit(7);
        channel.end();
      },
    });
    expect(await transport.run(['x'])).toMatchObject({ code: 7, stdout: Buffer.from('gone') });
  });

  it('tells the signal that ended a command from a lost connection', async () => {
    const [transport] = await connected({
      handler: (_command, channel) => {
        channel.write('before');
        channel.exit('KILL', false, 'killed');
        channel.end();
      },
    });
    const result = await transport.run(['x']);
    expect(result).toMatchObject({ code: null, signal: 'SIGKILL', stdout: Buffer.from('before') });
  });

  it('closes the input at once when there is none', async () => {
    const [transport] = await connected();
    expect(await transport.run(['cat'])).toMatchObject({ code: 0, stdout: Buffer.alloc(0) });
  });

  it('brings 5 MB through in both directions, in parallel, byte for byte', async () => {
    const [transport] = await connected();
    const blobs = [1, 2, 3].map(() => randomBytes(5_000_000));
    const results = await Promise.all(blobs.map((input) => transport.run(['cat'], { input })));
    for (const [index, { code, stdout, stderr }] of results.entries()) {
      expect([code, stderr.length]).toEqual([0, 0]);
      expect(stdout.equals(blobs[index]!)).toBe(true);
    }
  }, 30_000);

  it('keeps large outputs on both streams apart and whole', async () => {
    const [transport] = await connected();
    const script = 'head -c 3000000 /dev/zero; head -c 3000000 /dev/zero | tr "\\0" x >&2';
    const { stdout, stderr } = await transport.run(['sh', '-c', script]);
    expect(stdout.equals(Buffer.alloc(3_000_000))).toBe(true);
    expect(stderr.equals(Buffer.alloc(3_000_000, 'x'))).toBe(true);
  }, 30_000);

  it('survives a command that leaves its input unread', async () => {
    const [transport] = await connected();
    const input = randomBytes(5_000_000);
    expect(await transport.run(['sh', '-c', 'exec 0<&-; exit 4'], { input })).toMatchObject({
      code: 4,
    });
    expect(await transport.run(['true'], { input })).toMatchObject({ code: 0 });
    expect(await transport.run(['echo', 'still there'])).toMatchObject({
      stdout: Buffer.from('still there\n'),
    });
  });

  it('does not tear characters that arrive in pieces', async () => {
    const bytes = Buffer.from('ü🚀');
    const [transport] = await connected({
      handler: (_command, channel) => {
        for (const byte of bytes) channel.write(Buffer.from([byte]));
        channel.exit(0);
        channel.end();
      },
    });
    expect((await transport.run(['x'])).stdout.toString()).toBe('ü🚀');
  });

  it('shows output as it arrives', async () => {
    const [transport] = await connected();
    const heard: string[] = [];
    await transport.run(['sh', '-c', 'echo out; echo err >&2'], {
      onOutput: (chunk, stream) => heard.push(`${stream}:${chunk.toString()}`),
    });
    expect(heard.sort()).toEqual(['stderr:err\n', 'stdout:out\n']);
  });

  it('gives a command up that does not end in time, and goes on working', async () => {
    const [transport] = await connected();
    const error = await refusal(transport.run(['sleep', '60'], { timeoutMs: 50 }));
    expect(error).toBeInstanceOf(ConnectionLost);
    expect(error.message).toMatch(/"sleep 60" on deploy@.* did not end within 0\.05 s/);
    expect(await transport.run(['true'], { timeoutMs: 10_000 })).toMatchObject({ code: 0 });
  });

  it('reports arguments that can not be passed, without a word to the server', async () => {
    const [transport, server] = await connected();
    await expect(transport.run(['echo', 'a\0b'])).rejects.toThrow(RangeError);
    expect(server.commands).toEqual([]);
  });
});

describe('a connection that is lost', () => {
  it.each<[string, (server: SshServer) => void]>([
    ['cut', (server) => server.drop()],
    ['half-open', (server) => server.freeze()],
  ])(
    'fails every command and stream when it is %s, and whatever is started later',
    async (_how, lose) => {
      const server = await serve();
      const transport = await login(server, { keepaliveMs: 40 });
      const stream = await transport.open(['cat']);
      const streamError = once(stream, 'error');
      const commands = [
        transport.run(['sleep', '60']),
        transport.run(['sh', '-c', 'echo started; sleep 60'], {
          onOutput: () => lose(server),
        }),
      ];
      for (const command of commands) {
        const error = await refusal(command);
        expect(error).toBeInstanceOf(ConnectionLost);
        expect(error).toMatchObject({ reason: 'connection-lost', outcome: 'unreachable' });
        expect(error.message).toContain(transport.description);
      }
      expect((await streamError)[0]).toBeInstanceOf(ConnectionLost);
      expect(await failure(transport.run(['true']))).toBeInstanceOf(ConnectionLost);
      expect(await failure(transport.open(['cat']))).toBeInstanceOf(ConnectionLost);
      await transport.close();
    },
  );

  it('leaves an idle connection alone while the server answers', async () => {
    const server = await serve();
    const transport = await login(server, { keepaliveMs: 10 });
    // Many times what it takes to call a silent one lost.
    expect(await transport.run(['sleep', '0.5'])).toMatchObject({ code: 0 });
  });

  it('is not taken for the end of the command when its exit status is missing', async () => {
    const [transport] = await connected({
      handler: (_command, channel) => {
        channel.write('half of the out');
        channel.end();
      },
    });
    const error = await failure(transport.run(['docker', 'stack', 'deploy']));
    expect(error).toBeInstanceOf(ConnectionLost);
    expect((error as Error).message).toMatch(
      /"docker stack deploy" without telling its exit status/,
    );
  });

  it('fails what is pending when it is closed from here, and closes twice', async () => {
    const [transport] = await connected();
    const error = failure(transport.run(['sleep', '60']));
    await transport.close();
    expect(await error).toBeInstanceOf(ConnectionLost);
    await transport.close();
  });
});

describe('open', () => {
  it('carries bytes both ways and ends cleanly with its input', async () => {
    const [transport] = await connected();
    const stream = await transport.open(['cat']);
    const blob = randomBytes(5_000_000);
    const received: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => received.push(chunk));
    stream.end(blob);
    await once(stream, 'end');
    expect(sha(Buffer.concat(received))).toBe(sha(blob));
    await closed(stream);
    expect(stream.errored).toBeNull();
  }, 30_000);

  it('waits for a reader that is slow', async () => {
    const [transport] = await connected();
    const stream = await transport.open(['head', '-c', '8000000', '/dev/zero']);
    let length = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      length += chunk.length;
      await new Promise(setImmediate);
      if (length === 8_000_000) break;
    }
    expect(length).toBe(8_000_000);
  }, 30_000);

  it('speaks HTTP with keep-alive on one channel', async () => {
    const [transport, server] = await connected();
    const script =
      'while IFS= read -r line; do [ "$line" = "$(printf "\\r")" ] && printf "HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"; done';
    const stream = await transport.open(['sh', '-c', script]);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    agent.createConnection = () => stream;
    const get = async (): Promise<string> => {
      const outgoing = request({ agent, host: 'docker', path: '/version', timeout: 5000 }).end();
      const [response] = (await once(outgoing, 'response')) as [AsyncIterable<Buffer>];
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      return Buffer.concat(chunks).toString();
    };
    expect([await get(), await get(), await get()]).toEqual(['ok', 'ok', 'ok']);
    expect(server.commands).toHaveLength(1);
    agent.destroy();
  });

  it('passes the idle timeout of an HTTP request on', async () => {
    const [transport] = await connected();
    const stream = await transport.open(['sleep', '60']);
    const agent = new Agent();
    agent.createConnection = () => stream;
    const outgoing = request({ agent, host: 'docker', timeout: 30 });
    outgoing.flushHeaders();
    await once(outgoing, 'timeout');
    stream.destroy();
    expect(await once(outgoing, 'error')).toHaveLength(1);
  });

  it('ends with what the command wrote to standard error', async () => {
    const [transport] = await connected();
    const stream = await transport.open([
      'sh',
      '-c',
      'echo data; echo "no such thing" >&2; exit 9',
    ]);
    const [error] = (await once(stream.resume(), 'error')) as [CommandEnded];
    expect(error).toBeInstanceOf(CommandEnded);
    expect(error).toBeInstanceOf(ConnectionLost);
    expect(error).toMatchObject({ code: 9, stderr: 'no such thing' });
    expect(error.message).toMatch(/^"sh" on deploy@.* ended with exit code 9: no such thing$/);
  });

  it('counts an end that nobody asked for as an error, exit code 0 too', async () => {
    const [transport] = await connected();
    const stream = await transport.open(['true']);
    await closed(stream.resume());
    expect(stream.errored).toMatchObject({ name: 'CommandEnded', code: 0 });
  });

  it('is no uncaught error when nobody listens', async () => {
    const [transport] = await connected();
    const stream = await transport.open(['sh', '-c', 'exit 1']);
    await closed(stream.resume());
    expect(stream.destroyed).toBe(true);
  });

  it('ends the command when it is destroyed', async () => {
    const [transport] = await connected();
    const directory = mkdtempSync(join(tmpdir(), 'open-'));
    cleanUps.push(() => rmSync(directory, { recursive: true }));
    const marker = join(directory, 'fifo');
    await transport.run(['mkfifo', marker]);
    const stream = await transport.open(['sh', '-c', `cat; echo ended >'${marker}'`]);
    stream.destroy();
    expect((await transport.run(['cat', marker])).stdout.toString()).toBe('ended\n');
  });
});

describe('a server that allows few commands on one connection', () => {
  it.each([1, 2])(
    'of %d gets more connections, and each command runs once',
    async (maxSessions) => {
      const server = await serve({ maxSessions });
      const transport = await login(server);
      const stream = await transport.open(['cat']);
      const results = await Promise.all(
        [1, 2, 3].map((code) => transport.run(['sh', '-c', `sleep 0.1; exit ${code}`])),
      );
      expect(results.map(({ code }) => code)).toEqual([1, 2, 3]);
      expect(server.commands).toHaveLength(4);
      // One after the other needs no more than there are by now.
      const { connections } = server;
      for (const code of [4, 5])
        expect(await transport.run(['sh', '-c', `exit ${code}`])).toMatchObject({ code });
      expect(server.connections).toBe(connections);
      stream.destroy();
      await transport.close();
      await server.idle();
    },
  );

  it('starts a command also where the one before it still counts, on the same connection', async () => {
    const server = await serve({ maxSessions: 1, sessionsLinger: 30 });
    const transport = await login(server);
    for (const code of [1, 2, 3])
      expect(await transport.run(['sh', '-c', `exit ${code}`])).toMatchObject({ code });
    expect(server.commands).toHaveLength(3);
    expect(server.connections).toBe(1);
  });

  it('or none at all is told as such', async () => {
    const server = await serve({ maxSessions: 1, sessionsLinger: 60_000 });
    const transport = await login(server);
    await transport.run(['true']);
    const error = await refusal(transport.run(['true']));
    expect(error).toBeInstanceOf(ConnectionLost);
    expect(error.message).toMatch(/did not start "true"/);
  });

  it('says so where it lets nobody in any more', async () => {
    const server = await serve({
      maxSessions: 1,
      misbehave: (connection) => (connection === 1 ? undefined : 'too-many'),
    });
    const transport = await login(server);
    await transport.open(['cat']);
    const error = await refusal(transport.run(['docker', 'version']));
    expect(error).toBeInstanceOf(ConnectionLost);
    expect(error.message).toMatch(
      /allows no more than 1 of our commands .* another connection failed/,
    );
    expect(error.hint).toMatch(/MaxSessions and MaxStartups/);
  });

  it('fails what waits for the other connection when the first is lost', async () => {
    const server = await serve({
      maxSessions: 1,
      misbehave: (connection) => (connection === 1 ? undefined : 'silent'),
    });
    const transport = await login(server);
    await transport.open(['cat']);
    const waiting = failure(transport.run(['true']));
    while (server.connections < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    server.drop();
    expect(await waiting).toBeInstanceOf(ConnectionLost);
    await transport.close();
  });

  it('ends what runs on the other connection when that one is lost, and makes a new one', async () => {
    const server = await serve({ maxSessions: 1 });
    const transport = await login(server);
    const stream = await transport.open(['cat']);
    const error = await failure(
      transport.run(['sh', '-c', 'echo begun; sleep 60'], { onOutput: () => server.drop(2) }),
    );
    expect(error).toBeInstanceOf(ConnectionLost);
    expect(stream.destroyed).toBe(false);
    expect(await transport.run(['true'])).toMatchObject({ code: 0 });
    expect(server.connections).toBe(3);
  });

  it('is not confused with one that allows none', async () => {
    const server = await serve({ maxSessions: 0 });
    const transport = await login(server);
    const error = await refusal(transport.run(['true']));
    expect(error.message).toMatch(/did not start "true"/);
    expect(server.connections).toBe(1);
  });
});

describe('host keys', () => {
  const nothingWasSent = (server: SshServer): void => {
    expect(server.attempts).toEqual([]);
    expect(server.commands).toEqual([]);
  };

  it.each<KeyKind>(['ed25519', 'rsa', 'ecdsa'])(
    'verifies a %s key by known_hosts',
    async (kind) => {
      const server = await serve({ hostKeyKinds: [kind] });
      const transport = await login(server);
      expect(await transport.run(['true'])).toMatchObject({ code: 0 });
    },
  );

  it('asks a server with several keys for the one that is pinned', async () => {
    const server = await serve({ hostKeyKinds: ['ed25519', 'ecdsa', 'rsa'] });
    for (const [index] of server.hostKeys.entries()) {
      const line = server.knownHosts.split('\n')[index]!;
      const transport = await login(server, {
        hostKeys: { kind: 'known-hosts', entries: parseKnownHosts(line).entries },
      });
      await transport.close();
    }
    expect(server.connections).toBe(3);
  });

  it('finds the key that a fingerprint belongs to, of whatever type', async () => {
    const server = await serve({ hostKeyKinds: ['ed25519', 'ecdsa', 'rsa'] });
    for (const key of server.hostKeys) {
      const before = server.attempts.length;
      const transport = await login(server, {
        hostKeys: { kind: 'fingerprints', fingerprints: [key.fingerprint] },
      });
      await transport.close();
      expect(server.attempts.length).toBeGreaterThan(before);
    }
  });

  it.each<[string, (server: SshServer) => HostKeyPolicy, RegExp]>([
    [
      'a changed key',
      (server) => ({
        kind: 'known-hosts',
        entries: parseKnownHosts(
          `[127.0.0.1]:${server.port} ${user.type} ${user.blob.toString('base64')}`,
        ).entries,
      }),
      /not the one in known-hosts/,
    ],
    [
      'a key of another type than pinned',
      (server) => ({
        kind: 'known-hosts',
        entries: parseKnownHosts(
          `[127.0.0.1]:${server.port} ${otherType.type} ${otherType.blob.toString('base64')}`,
        ).entries,
      }),
      /not the one in known-hosts/,
    ],
    ['an unknown host', () => ({ kind: 'known-hosts', entries: [] }), /not known/],
    [
      'a revoked key',
      (server) => ({
        kind: 'known-hosts',
        entries: parseKnownHosts(
          `${server.knownHosts}@revoked * ${hostKey.type} ${hostKey.blob.toString('base64')}`,
        ).entries,
      }),
      /@revoked/,
    ],
    [
      'another fingerprint',
      () => ({ kind: 'fingerprints', fingerprints: [user.fingerprint] }),
      /no line of host-fingerprint/,
    ],
  ])('sends nothing to a server with %s', async (_what, policy, message) => {
    const server = await serve({ password: 'secret' });
    const error = await refusal(
      connectSsh(
        optionsFor(server, {
          hostKeys: policy(server),
          credentials: { ...withKey, password: new Secret('secret') },
        }),
      ),
    );
    expect(error).toMatchObject({ reason: 'host-key', outcome: 'invalid' });
    expect(error.message).toMatch(message);
    expect(error.message).toContain(hostKey.fingerprint);
    nothingWasSent(server);
  });

  it('shows every key of a server of which none has the fingerprint', async () => {
    const server = await serve({ hostKeyKinds: ['ed25519', 'ecdsa', 'rsa'] });
    const error = await refusal(
      connectSsh(
        optionsFor(server, {
          hostKeys: { kind: 'fingerprints', fingerprints: [user.fingerprint] },
        }),
      ),
    );
    for (const { type, fingerprint } of server.hostKeys) {
      expect(error.message).toContain(`${type} ${fingerprint}`);
    }
    nothingWasSent(server);
  });

  it('connects without a check only where that is asked for, and tells the key first', async () => {
    const server = await serve();
    const seen: [SeenHostKey, number][] = [];
    await login(server, {
      hostKeys: { kind: 'off' },
      onUnverified: (key) => seen.push([key, server.attempts.length]),
    });
    expect(seen).toEqual([
      [expect.objectContaining({ fingerprint: hostKey.fingerprint, port: server.port }), 0],
    ]);
  });
});

const otherType = makeKey('ecdsa');

describe('login', () => {
  it.each<[string, KeyKind, string | undefined]>([
    ['an ed25519 key', 'ed25519', undefined],
    ['an RSA key', 'rsa', undefined],
    ['an ECDSA key', 'ecdsa', undefined],
    ['an encrypted ed25519 key', 'ed25519', 'open sesame'],
    ['an encrypted RSA key', 'rsa', 'open sesame'],
  ])('works with %s', async (_what, kind, passphrase) => {
    const key = makeKey(kind, passphrase);
    const server = await serve({ authorizedKeys: [key], username: 'deploy' });
    await login(server, {
      credentials: {
        privateKey: new Secret(key.privateKey.replaceAll('\n', '\r\n  ')),
        ...(passphrase === undefined ? {} : { passphrase: new Secret(passphrase) }),
      },
    });
    expect(server.attempts.at(-1)).toMatchObject({ accepted: true, fingerprint: key.fingerprint });
  });

  it('works with a password, and by keyboard-interactive where that is all there is', async () => {
    const password = new Secret('pass word');
    const plain = await serve({ authorizedKeys: [], password: 'pass word' });
    await login(plain, { credentials: { password } });
    const asking = await serve({
      authorizedKeys: [],
      questions: [{ prompt: 'Kennwort: ', answer: 'pass word' }],
    });
    await login(asking, { credentials: { password } });
    expect(asking.attempts.map(({ method }) => method)).toEqual(['none', 'keyboard-interactive']);
  });

  it('gives the password to the first question alone', async () => {
    const server = await serve({
      authorizedKeys: [],
      questions: [
        { prompt: 'Password: ', answer: 'pw' },
        { prompt: 'Verification code: ', answer: '123456' },
      ],
    });
    const error = await refusal(
      connectSsh(optionsFor(server, { credentials: { password: new Secret('pw') } })),
    );
    expect(error.reason).toBe('auth-failed');
    expect(error.message).toMatch(/asked: Password:, Verification code:/);
    expect(server.attempts.at(-1)?.answers).toEqual(['pw', '']);
  });

  it('gives key and password where the server wants both', async () => {
    const server = await serve({ keyAndPassword: true, password: 'pw' });
    await login(server, { credentials: { ...withKey, password: new Secret('pw') } });
    expect(server.attempts.at(-1)).toMatchObject({ method: 'password', accepted: true });
  });

  it('names user, host, what was tried and the key to authorize when it is refused', async () => {
    const server = await serve({ authorizedKeys: [otherType], password: 'right' });
    const error = await refusal(
      connectSsh(
        optionsFor(server, { credentials: { ...withKey, password: new Secret('hunter2') } }),
      ),
    );
    expect(error).toMatchObject({ reason: 'auth-failed', outcome: 'invalid' });
    expect(error.message).toContain(`deploy@127.0.0.1:${server.port} refused the login of deploy`);
    expect(error.message).toContain(`private key ssh-ed25519 ${user.fingerprint}, password`);
    expect(error.message).toContain('accepts: publickey, password');
    expect(error.hint).toContain(user.publicLine.split(' ').slice(0, 2).join(' '));
    expect(JSON.stringify([error.message, error.hint])).not.toContain('hunter2');
  });

  it('says so when the server takes no keys, or wants one', async () => {
    const passwords = await serve({ authorizedKeys: [], password: 'x' });
    expect((await refusal(connectSsh(optionsFor(passwords)))).hint).toMatch(/takes no keys/);
    const keys = await serve();
    const credentials = { password: new Secret('x') };
    const error = await refusal(connectSsh(optionsFor(keys, { credentials })));
    expect(error.message).toMatch(/Tried: nothing/);
    expect(error.hint).toMatch(/set the input private-key/);
    // A password that no method asked for never left this machine.
    expect(keys.attempts.map(({ method }) => method)).toEqual(['none']);
  });

  it.each<[string, SshCredentials, RegExp]>([
    [
      'a wrong passphrase',
      { privateKey: new Secret(makeKey('ed25519', 'a').privateKey), passphrase: new Secret('b') },
      /can not be unlocked/,
    ],
    [
      'no passphrase',
      { privateKey: new Secret(makeKey('ed25519', 'a').privateKey) },
      /protected by a passphrase/,
    ],
    ['a public key', { privateKey: new Secret(user.publicLine) }, /public key/],
  ])('does not even connect with %s', async (_what, credentials, message) => {
    const server = await serve();
    const error = await refusal(connectSsh(optionsFor(server, { credentials })));
    expect(error).toBeInstanceOf(InvalidInput);
    expect(error).toMatchObject({ reason: 'auth-failed', outcome: 'invalid' });
    expect(error.message).toMatch(message);
    expect(server.connections).toBe(0);
  });

  it.each<['stall' | 'close', RegExp]>([
    ['stall', /did not finish the login within 0\.4 s/],
    ['close', /closed the connection during the login/],
  ])('may be tried again when the server does not answer it (%s)', async (failLogin, message) => {
    const server = await serve({ failLogin });
    const error = await failure(connectSsh(optionsFor(server, { connectTimeoutMs: 400 })));
    expect(error).toBeInstanceOf(ConnectFailed);
    expect(error).toMatchObject({ transient: true });
    expect((error as Error).message).toMatch(message);
  });
});

describe('agent', () => {
  /** An ssh-agent with these keys, which signs with none of them if it is locked. */
  async function agentWith(keys: readonly string[], locked = false): Promise<string> {
    const parsed = keys.map((text) => {
      const key = ssh2.utils.parseKey(text);
      if (key instanceof Error) throw key;
      return key;
    });
    const directory = mkdtempSync(join(tmpdir(), 'agent-'));
    const path = join(directory, 'socket');
    const server = createServer((socket) => {
      const protocol = new ssh2.AgentProtocol(false);
      protocol.on('identities', (asked) => protocol.getIdentitiesReply(asked, parsed));
      protocol.on(
        'sign',
        (
          asked,
          publicKey: { getPublicSSH(): Buffer },
          data: Buffer,
          { hash }: { hash?: string },
        ) => {
          const key = parsed.find((each) => each.getPublicSSH().equals(publicKey.getPublicSSH()));
          if (key === undefined || locked) protocol.failureReply(asked);
          else protocol.signReply(asked, key.sign(data, hash));
        },
      );
      protocol.pipe(socket).pipe(protocol);
      socket.on('error', () => undefined);
    });
    server.listen(path);
    await once(server, 'listening');
    cleanUps.push(() => {
      server.close();
      rmSync(directory, { recursive: true });
    });
    return path;
  }

  it('logs in with a key of the agent', async () => {
    const agentSocket = await agentWith([makeKey('rsa').privateKey, user.privateKey]);
    const server = await serve();
    await login(server, { credentials: { agentSocket } });
    expect(server.attempts.at(-1)).toMatchObject({ accepted: true, fingerprint: user.fingerprint });
  });

  it('names the keys of the agent that were refused', async () => {
    const key = makeKey('ed25519');
    const agentSocket = await agentWith([key.privateKey]);
    const error = await refusal(
      connectSsh(optionsFor(await serve(), { credentials: { agentSocket } })),
    );
    expect(error.reason).toBe('auth-failed');
    expect(error.message).toContain(`key of the agent ssh-ed25519 ${key.fingerprint}`);
  });

  it('says that the agent holds no key, is not there, or does not sign', async () => {
    const server = await serve();
    const attempt = (agentSocket: string): Promise<DeployError> =>
      refusal(connectSsh(optionsFor(server, { credentials: { agentSocket } })));
    expect((await attempt(await agentWith([]))).message).toMatch(/holds no key/);
    expect((await attempt('/nowhere/agent.sock')).message).toMatch(
      /\/nowhere\/agent\.sock that can not be reached/,
    );
    const locked = await attempt(await agentWith([user.privateKey], true));
    expect(locked).toMatchObject({ reason: 'auth-failed' });
    expect(locked.message).toMatch(/did not sign/);
  });

  it('goes on to the password where the agent is not there', async () => {
    const server = await serve({ password: 'pw' });
    await login(server, {
      credentials: { agentSocket: '/nowhere/agent.sock', password: new Secret('pw') },
    });
    expect(server.attempts.at(-1)).toMatchObject({ method: 'password', accepted: true });
  });
});

describe('servers that are none, or not now', () => {
  it.each<[NonNullable<ReturnType<NonNullable<SshServerOptions['misbehave']>>>, RegExp, boolean]>([
    ['silent', /did not finish the SSH handshake within 0\.4 s/, true],
    ['hang-up', /closed the connection before the SSH handshake|cut the connection/, true],
    ['too-many', /closed the connection before the SSH handshake/, true],
    ['garbage', /did not complete the SSH handshake/, false],
    ['endless-banner', /did not finish the SSH handshake within 0\.4 s/, true],
    ['noise', /did not complete the SSH handshake/, false],
    ['stall', /did not finish the SSH handshake within 0\.4 s/, true],
    ['broken-exchange', /did not complete the SSH handshake/, false],
  ])('%s', async (behaviour, message, transient) => {
    const server = await serve({ misbehave: () => behaviour });
    const error = await failure(connectSsh(optionsFor(server, { connectTimeoutMs: 400 })));
    expect(error).toBeInstanceOf(ConnectFailed);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toContain(`deploy@127.0.0.1:${server.port}`);
    expect((error as ConnectFailed).transient).toBe(transient);
  });

  it('a server whose version never ends is none, however long it may take', async () => {
    const server = await serve({ misbehave: () => 'endless-line' });
    const error = await failure(connectSsh(optionsFor(server, { connectTimeoutMs: 60_000 })));
    expect((error as Error).message).toMatch(/did not complete the SSH handshake: Header line/);
    expect(error).toMatchObject({ transient: false });
  });

  it('a server that stalls after each wrong host key: one limit for all that it is asked', async () => {
    const server = await serve({
      hostKeyKinds: ['ed25519', 'ecdsa', 'rsa'],
      misbehave: (connection) => (connection < 3 ? undefined : 'silent'),
    });
    const hostKeys = { kind: 'fingerprints', fingerprints: [user.fingerprint] } as const;
    const error = await failure(
      connectSsh(optionsFor(server, { hostKeys, connectTimeoutMs: 1500 })),
    );
    expect((error as Error).message).toMatch(/within 1\.5 s/);
    expect(server.connections).toBe(3);
  });

  it('a port where nothing listens', async () => {
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    listener.close();
    const target = { host: '127.0.0.1', port, username: 'deploy' };
    const server = await serve();
    const error = await failure(connectSsh(optionsFor(server, { target })));
    expect(error).toMatchObject({ transient: true, reason: 'connection-lost' });
    expect((error as Error).message).toMatch(/refused the connection/);
  });

  it('a name that does not exist', async () => {
    const server = await serve();
    const target = { host: 'no-such-host.invalid', port: 22, username: 'deploy' };
    const error = await failure(connectSsh(optionsFor(server, { target })));
    expect(error).toBeInstanceOf(ConnectFailed);
    expect((error as Error).message).toMatch(/can not be looked up/);
  });

  it.each([
    [{ kex: ['diffie-hellman-group14-sha1'] }, /KexAlgorithms/],
    [{ cipher: ['aes128-cbc'] }, /Ciphers/],
    [{ cipher: ['aes128-ctr'], hmac: ['hmac-md5'] }, /MACs/],
  ] as const)('a server that allows nothing but %j', async (algorithms, setting) => {
    const server = await serve({ algorithms: algorithms as unknown as ssh2.Algorithms });
    const error = await refusal(connectSsh(optionsFor(server)));
    expect(error).toMatchObject({ transient: false, reason: 'connection-lost' });
    expect(error.message).toMatch(/no matching/);
    expect(error.hint).toMatch(setting);
  });

  it('a server that says a lot before and at the login is one', async () => {
    const [transport] = await connected({ banner: 'Authorised use only.\n'.repeat(50) });
    expect(await transport.run(['true'])).toMatchObject({ code: 0 });
  });
});

it.each([
  [20_000, 3000],
  [4000, 1000],
  [500, 250],
])('within %d ms gives each address of a name %d ms', async (connectTimeoutMs, ms) => {
  const server = await serve();
  const connect = jest.spyOn(Socket.prototype, 'connect');
  cleanUps.push(() => connect.mockRestore());
  await login(server, { connectTimeoutMs });
  expect(connect.mock.calls.flat(2)).toContainEqual(
    expect.objectContaining({ port: server.port, autoSelectFamilyAttemptTimeout: ms }),
  );
});

describe('IPv6', () => {
  it('connects to an address and shows it in brackets', async () => {
    const server = await serve({ address: '::1' });
    const transport = await login(server);
    expect(transport.description).toBe(`deploy@[::1]:${server.port}`);
    expect(describeTarget({ host: '::1', port: 22, username: 'a' })).toBe('a@[::1]:22');
  });
});

function sha(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function closed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed) resolve();
    else stream.once('close', () => resolve());
  });
}
