/**
 * An SSH server inside of the test process: logs clients in, records what they tried, and really
 * runs their commands with `sh -c`, or misbehaves as real servers and networks do.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import ssh2 from 'ssh2';
import type { AuthContext, Connection, ParsedKey, ServerChannel } from 'ssh2';
import { fingerprint, lookupName } from '../../src/transport/known-hosts.js';

export type KeyKind = 'ed25519' | 'rsa' | 'ecdsa';

export interface TestKey {
  /** As in SSH, `ssh-ed25519`. */
  readonly type: string;
  /** In the format of OpenSSH. */
  readonly privateKey: string;
  /** One line of authorized_keys. */
  readonly publicLine: string;
  readonly blob: Buffer;
  readonly fingerprint: string;
}

/** Makes a key pair; with a passphrase the private key is encrypted. */
export function makeKey(kind: KeyKind = 'ed25519', passphrase?: string): TestKey {
  const lock: object | { passphrase: string; cipher: string; rounds: number } =
    passphrase === undefined ? {} : { passphrase, cipher: 'aes256-ctr', rounds: 4 };
  const { generateKeyPairSync } = ssh2.utils;
  const pair = {
    ed25519: () => generateKeyPairSync('ed25519', lock),
    rsa: () => generateKeyPairSync('rsa', { bits: 2048, ...lock }),
    ecdsa: () => generateKeyPairSync('ecdsa', { bits: 256, ...lock }),
  }[kind]();
  const parsed = ssh2.utils.parseKey(pair.public);
  // ssh2 1.17 cuts leading zero bytes off an ed25519 key: one in 256 that it makes is broken.
  if (parsed instanceof Error) return makeKey(kind, passphrase);
  const blob = parsed.getPublicSSH();
  return {
    type: parsed.type,
    privateKey: pair.private,
    publicLine: pair.public,
    blob,
    fingerprint: fingerprint(blob),
  };
}

export interface AuthAttempt {
  readonly username: string;
  readonly method: string;
  /** Of the key that was offered or signed with. */
  readonly fingerprint?: string;
  readonly password?: string;
  /** To the questions of a keyboard-interactive login. */
  readonly answers?: readonly string[];
  readonly accepted: boolean;
}

/**
 * What the server does to a connection instead of serving it: says nothing, talks nonsense (in lines,
 * or in bytes), talks without end before its version (in lines, or in one), greets and says nothing
 * more, greets and talks nonsense, closes at once, or does so with a sentence as sshd does when it has
 * too many logins.
 */
export type Misbehaviour =
  | 'silent'
  | 'garbage'
  | 'noise'
  | 'endless-banner'
  | 'endless-line'
  | 'stall'
  | 'broken-exchange'
  | 'hang-up'
  | 'too-many';

export interface SshServerOptions {
  /** Address to listen at. Default: 127.0.0.1 */
  readonly address?: string;
  /** Host keys to make. Default: one of type ed25519 */
  readonly hostKeyKinds?: readonly KeyKind[];
  /** Host keys to use instead of new ones. */
  readonly hostKeys?: readonly TestKey[];
  /** Who may log in; any name when left out. */
  readonly username?: string;
  readonly authorizedKeys?: readonly TestKey[];
  readonly password?: string;
  /** Answers to the questions of a keyboard-interactive login, in one round. */
  readonly questions?: readonly { readonly prompt: string; readonly answer: string }[];
  /** A key is not enough: the password must follow. */
  readonly keyAndPassword?: boolean;
  /** Never answers a login, or closes the connection instead. */
  readonly failLogin?: 'stall' | 'close';
  readonly banner?: string;
  /** What it allows; what ssh2 does by itself when left out. */
  readonly algorithms?: ssh2.Algorithms;
  /** Environment of the commands. Default: that of the tests */
  readonly env?: NodeJS.ProcessEnv;
  /** Handles a command instead of running it. */
  readonly handler?: (command: string, channel: ServerChannel) => void;
  /** Sessions on one connection at once, as MaxSessions of sshd. Default: no limit. */
  readonly maxSessions?: number;
  /** Milliseconds that a session still counts after its end. Default: 0 */
  readonly sessionsLinger?: number;
  /** What becomes of connections to elsewhere (`direct-tcpip`); refused when left out. */
  readonly forwards?: 'pass' | 'fail' | 'ignore';
  /** How the connection with this number, from 1, is mistreated. */
  readonly misbehave?: (connection: number) => Misbehaviour | undefined;
}

export interface SshServer {
  readonly host: string;
  readonly port: number;
  readonly hostKeys: readonly TestKey[];
  /** Lines of known_hosts for all host keys. */
  readonly knownHosts: string;
  readonly attempts: readonly AuthAttempt[];
  readonly commands: readonly string[];
  /** Requests on sessions that are not commands: `pty`, `x11`, `env`, `auth-agent`, `sftp`. */
  readonly extras: readonly string[];
  /** Where connections were passed on to, as `host:port`. */
  readonly forwarded: readonly string[];
  /** Connections that were made so far. */
  readonly connections: number;
  /** Cuts every connection, or the one with this number, as a network or a dying host does. */
  drop(connection?: number): void;
  /** Stops reading from every connection without closing it: a half-open connection. */
  freeze(): void;
  /** Until nobody is connected any more. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

function parseKey(text: string): ParsedKey {
  const key = ssh2.utils.parseKey(text);
  if (key instanceof Error) throw key;
  return key;
}

export async function startSshServer(options: SshServerOptions = {}): Promise<SshServer> {
  const { address = '127.0.0.1', hostKeyKinds = ['ed25519'] } = options;
  const hostKeys = options.hostKeys ?? hostKeyKinds.map((kind) => makeKey(kind));
  const attempts: AuthAttempt[] = [];
  const commands: string[] = [];
  const extras: string[] = [];
  const forwarded: string[] = [];
  const sockets = new Set<Socket>();
  const numbers = new WeakMap<Socket, number>();
  const children = new Set<ReturnType<typeof spawn>>();
  let connections = 0;

  const server = new ssh2.Server(
    {
      hostKeys: hostKeys.map((key) => key.privateKey),
      ...(options.banner === undefined ? {} : { banner: options.banner }),
      ...(options.algorithms === undefined ? {} : { algorithms: options.algorithms }),
    },
    (connection) => {
      connection.on('error', () => undefined); // clients come and go as the tests want it
      acceptLogin(connection, options, attempts);
      // Without a listener ssh2 refuses as a server does that forbids it.
      if (options.forwards !== undefined)
        connection.on('tcpip', (accept, reject, { destIP, destPort }) => {
          forwarded.push(`${destIP}:${destPort}`);
          if (options.forwards === 'pass') passOn(accept, destIP, destPort, sockets);
          else if (options.forwards === 'fail') reject();
        });
      let sessions = 0;
      connection.on('session', (accept, reject) => {
        if (sessions >= (options.maxSessions ?? Infinity)) {
          reject();
          return;
        }
        const session = accept();
        sessions += 1;
        const ended = (): number => (sessions -= 1);
        const { sessionsLinger } = options;
        session.once('close', () => {
          if (sessionsLinger === undefined) ended();
          else setTimeout(ended, sessionsLinger).unref();
        });
        for (const extra of ['pty', 'x11', 'env', 'auth-agent', 'sftp'] as const) {
          session.on(extra as 'pty', (_accept, reject) => {
            extras.push(extra);
            (reject as (() => void) | undefined)?.();
          });
        }
        session.on('exec', (acceptExec, _reject, { command }) => {
          commands.push(command);
          const channel = acceptExec();
          if (options.handler === undefined)
            children.add(runCommand(command, channel, options.env));
          else options.handler(command, channel);
        });
      });
    },
  );

  const listener = createServer((socket) => {
    connections += 1;
    numbers.set(socket, connections);
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    const misbehaviour = options.misbehave?.(connections);
    if (misbehaviour === undefined) server.injectSocket(socket);
    else mistreat(socket, misbehaviour);
  });
  listener.listen(0, address);
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;

  return {
    host: address,
    port,
    hostKeys,
    knownHosts: hostKeys
      .map((key) => `${lookupName(address, port)} ${key.type} ${key.blob.toString('base64')}\n`)
      .join(''),
    attempts,
    commands,
    extras,
    forwarded,
    get connections() {
      return connections;
    },
    drop(connection) {
      for (const socket of sockets)
        if (connection === undefined || numbers.get(socket) === connection) socket.destroy();
    },
    freeze() {
      for (const socket of sockets) socket.removeAllListeners('data').pause();
    },
    async idle() {
      await Promise.all(
        [...sockets]
          .filter((socket) => !socket.closed)
          .map((socket) => new Promise((resolve) => socket.once('close', resolve))),
      );
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      for (const child of children) endGroup(child);
      listener.close();
      await once(listener, 'close');
    },
  };
}

function acceptLogin(
  connection: Connection,
  options: SshServerOptions,
  attempts: AuthAttempt[],
): void {
  const { authorizedKeys = [], questions = [], keyAndPassword = false } = options;
  const methods: ('publickey' | 'password' | 'keyboard-interactive')[] = [
    ...(authorizedKeys.length > 0 ? (['publickey'] as const) : []),
    ...(options.password === undefined || keyAndPassword ? [] : (['password'] as const)),
    ...(questions.length > 0 ? (['keyboard-interactive'] as const) : []),
  ];
  let keyGiven = false;

  connection.on('authentication', (context: AuthContext) => {
    const { username, method } = context;
    const known = options.username === undefined || options.username === username;
    const record = (accepted: boolean, more: Partial<AuthAttempt> = {}): boolean => {
      attempts.push({ username, method, accepted, ...more });
      return accepted;
    };
    if (options.failLogin !== undefined) {
      record(false);
      if (options.failLogin === 'close') connection.end();
      return;
    }
    if (context.method === 'publickey') {
      const { key, signature, blob, hashAlgo } = context;
      const owner = known ? authorizedKeys.find((each) => each.blob.equals(key.data)) : undefined;
      const proven =
        signature === undefined ||
        blob === undefined ||
        (owner !== undefined && parseKey(owner.publicLine).verify(blob, signature, hashAlgo));
      if (!record(owner !== undefined && proven, { fingerprint: fingerprint(key.data) })) {
        context.reject(methods);
      } else if (keyAndPassword && signature !== undefined) {
        keyGiven = true;
        context.reject(['password'], true);
      } else context.accept();
    } else if (context.method === 'password') {
      const { password } = context;
      const right = known && password === options.password && (!keyAndPassword || keyGiven);
      if (record(right, { password })) context.accept();
      else context.reject(methods);
    } else if (context.method === 'keyboard-interactive' && questions.length > 0) {
      const prompts = questions.map(({ prompt }) => ({ prompt, echo: false }));
      context.prompt(prompts, (answers) => {
        const right = questions.every(({ answer }, index) => answers[index] === answer);
        if (record(known && right, { answers })) context.accept();
        else context.reject(methods);
      });
    } else {
      record(false);
      context.reject(methods);
    }
  });
}

function runCommand(
  command: string,
  channel: ServerChannel,
  env: NodeJS.ProcessEnv | undefined,
): ReturnType<typeof spawn> {
  const child = spawn('sh', ['-c', command], {
    stdio: 'pipe',
    env: env ?? process.env,
    detached: true, // a group of its own, so that nothing of it outlives the server
  });
  child.stdin.on('error', () => undefined); // commands may leave their input unread
  channel.on('error', () => undefined);
  channel.pipe(child.stdin);
  const give = oneAtATime(channel);
  const ends = [
    once(child, 'exit'),
    drain(child.stdout, (chunk) => give(channel, chunk)),
    drain(child.stderr, (chunk) => give(channel.stderr, chunk)),
  ] as const;
  channel.once('close', () => child.stdin.end());
  void Promise.all(ends).then(([[code, signal]]) => {
    // Only a channel that is still there takes an exit status.
    if (code !== null) channel.exit(code as number);
    else channel.exit(String(signal).replace(/^SIG/, ''), false, '');
    channel.end();
  });
  return child;
}

function passOn(
  accept: () => ServerChannel,
  host: string,
  port: number,
  sockets: Set<Socket>,
): void {
  const channel = accept();
  const socket = connect({ host, port });
  sockets.add(socket);
  socket.on('error', () => channel.close());
  channel.on('error', () => socket.destroy());
  socket.once('close', () => {
    sockets.delete(socket);
    channel.end();
  });
  channel.once('close', () => socket.destroy());
  channel.pipe(socket).pipe(channel);
}

async function drain(from: Readable, give: (chunk: Buffer) => Promise<void>): Promise<void> {
  for await (const chunk of from) await give(chunk as Buffer);
}

/**
 * Writes one chunk after the other, whichever stream it is for: ssh2 (1.17, lib/server.js,
 * CHANNEL_WINDOW_ADJUST) keeps what waits for room of stdout and stderr side by side, forgets neither
 * once it was sent, and when both had to wait it sends again, or answers twice, for the wrong one.
 */
function oneAtATime(channel: ServerChannel) {
  let last = Promise.resolve();
  let open = true;
  channel.once('close', () => (open = false));
  return (to: Writable, chunk: Buffer): Promise<void> => {
    last = last.then(async () => {
      if (!open) return;
      const closed = new AbortController();
      const left = once(channel, 'close', { signal: closed.signal }).catch(() => undefined);
      const written = new Promise((resolve) => to.write(chunk, resolve));
      await Promise.race([written, left]);
      closed.abort();
      const waiting = ['_chunk', '_chunkcb', '_chunkErr', '_chunkcbErr'];
      Object.assign(channel, Object.fromEntries(waiting.map((name) => [name, undefined])));
    });
    return last;
  };
}

function endGroup(child: ReturnType<typeof spawn>): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}

function mistreat(socket: Socket, misbehaviour: Misbehaviour): void {
  socket.resume();
  switch (misbehaviour) {
    case 'silent':
      return;
    case 'hang-up':
      socket.destroy();
      return;
    case 'too-many':
      socket.end('Exceeded MaxStartups\r\n');
      return;
    case 'garbage':
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\nSSH-1.0-none\r\n');
      return;
    case 'noise':
      socket.write(Buffer.alloc(70_000, 0xa7));
      return;
    case 'stall':
      socket.write('SSH-2.0-OpenSSH_9.2p1\r\n');
      return;
    case 'broken-exchange':
      socket.write('SSH-2.0-OpenSSH_9.2p1\r\n');
      socket.write(Buffer.alloc(5000, 0xff));
      return;
    case 'endless-banner':
    case 'endless-line': {
      const end = misbehaviour === 'endless-line' ? '' : '\r\n';
      const talk = (): void => {
        while (!socket.destroyed && socket.write(`${'x'.repeat(200)}${end}`));
      };
      socket.on('drain', talk);
      talk();
    }
  }
}
