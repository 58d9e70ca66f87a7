/**
 * The transport over SSH. node-ssh makes the connection; commands run on channels of the ssh2
 * client below it, because node-ssh (13.2) resolves a command whose connection was lost, decodes
 * output chunk by chunk and stops listening for errors once it is connected.
 */
import { connect as connectSocket } from 'node:net';
import type { Socket } from 'node:net';
import { NodeSSH, SSHError } from 'node-ssh';
import ssh2 from 'ssh2';
import type {
  AnyAuthMethod,
  Client,
  ClientChannel,
  IdentityCallback,
  ParsedKey,
  Prompt,
} from 'ssh2';
import { ConnectionLost, TimedOut, DeployError, InvalidInput } from '../errors.js';
import type { Secret } from '../secret.js';
import { CommandStream } from './command-stream.js';
import { hostKeyAlgorithms, hostKeyRefusal, judgeHostKey, seenHostKey } from './host-key.js';
import type { HostKeyPolicy, HostKeyVerdict, SeenHostKey } from './host-key.js';
import { fingerprint } from './known-hosts.js';
import { readPrivateKey } from './private-key.js';
import { commandLine, commandTitle } from './quote.js';
import type { CommandResult, RunOptions, Transport } from './transport.js';

export interface SshTarget {
  /** Name or address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly username: string;
}

/** What to log in with; whatever is given is tried, in this order. */
export interface SshCredentials {
  readonly privateKey?: Secret;
  readonly passphrase?: Secret;
  /** Path of the socket of a running ssh-agent. */
  readonly agentSocket?: string;
  /** For password login and for the first question of keyboard-interactive login. */
  readonly password?: Secret;
}

export interface SshOptions {
  readonly target: SshTarget;
  readonly credentials: SshCredentials;
  readonly hostKeys: HostKeyPolicy;
  /** Milliseconds for TCP connection, handshake and login together. */
  readonly connectTimeoutMs: number;
  /** Called with the key of a server that nobody checked (policy `off`), before the login. */
  readonly onUnverified?: (seen: SeenHostKey) => void;
  /**
   * Milliseconds between two questions whether the server is still there, asked when nothing was
   * heard; after three the connection counts as lost. Default: 5000.
   */
  readonly keepaliveMs?: number;
}

/** A connection that did not come about. */
export class ConnectFailed extends ConnectionLost {
  /** Whether the same attempt may succeed a moment later. */
  readonly transient: boolean;

  constructor(message: string, details: { transient: boolean; hint?: string; cause?: unknown }) {
    super(message, details);
    this.name = 'ConnectFailed';
    this.transient = details.transient;
  }
}

/** How a target is named in messages, as `deploy@10.0.0.1:22`. */
export function describeTarget({ host, port, username }: SshTarget): string {
  return `${username}@${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * Connects and logs in. The server's key is judged in the key exchange, before the user name or
 * any credential is sent.
 * @throws InvalidInput (`auth-failed`) for a private key that can't be used; nothing was connected
 * @throws DeployError `host-key` for a server whose key is refused, `auth-failed` for a refused login
 * @throws ConnectFailed when the server can't be reached or does not speak SSH
 */
export async function connectSsh(options: SshOptions): Promise<Transport> {
  const { target, hostKeys, credentials } = options;
  let key: ParsedKey | undefined;
  if (credentials.privateKey !== undefined) {
    const read = readPrivateKey(credentials.privateKey, credentials.passphrase);
    if ('reason' in read) throw new InvalidInput([read]);
    key = read;
  }
  const seen: SeenHostKey[] = [];
  let verdict: RefusedKey['verdict'] | undefined;
  for (;;) {
    const refusedTypes = seen.map(({ type }) => type);
    const algorithms = hostKeyAlgorithms(hostKeys, target.host, target.port, refusedTypes);
    const attempt =
      algorithms.length === 0 ? 'no-other-key' : await attemptConnect(options, key, algorithms);
    if (typeof attempt === 'object' && 'run' in attempt) return attempt;
    if (attempt !== 'no-other-key') {
      seen.push(attempt.seen);
      verdict = attempt.verdict;
      // A fingerprint may be that of another key of the server: ask for those as well.
      if (hostKeys.kind === 'fingerprints') continue;
    }
    const [first, ...others] = seen;
    if (first === undefined || verdict === undefined) {
      throw new ConnectFailed(
        `${describeTarget(target)} offers no host key of a type that is supported`,
        { transient: false, hint: 'Give the server a key of type ed25519: `ssh-keygen -A`.' },
      );
    }
    throw hostKeyRefusal([first, ...others], verdict);
  }
}

interface RefusedKey {
  readonly seen: SeenHostKey;
  readonly verdict: Extract<HostKeyVerdict, { accepted: false }>;
}

/** One connection with one list of host key algorithms. */
async function attemptConnect(
  options: SshOptions,
  key: ParsedKey | undefined,
  algorithms: readonly string[],
): Promise<Transport | RefusedKey | 'no-other-key'> {
  const { target, hostKeys, connectTimeoutMs, onUnverified } = options;
  const { host, port, username } = target;
  const where = describeTarget(target);
  const keepaliveMs = options.keepaliveMs ?? 5000;
  const login = new Login(options, key);
  const progress: {
    phase: Phase;
    refused?: RefusedKey;
    unreadableKey?: boolean;
    warned?: boolean;
  } = { phase: 'connecting' };

  // Our own socket: a small answer must not wait for the acknowledgement of the one before it, and
  // the watch over a silent connection counts its bytes.
  const socket = connectSocket({ host, port, noDelay: true });
  const ssh = new NodeSSH();
  const connecting = ssh.connect({
    sock: socket,
    host,
    port,
    username,
    readyTimeout: connectTimeoutMs,
    // ssh2 asks; whether anything is heard is judged below.
    keepaliveInterval: keepaliveMs,
    keepaliveCountMax: Number.MAX_SAFE_INTEGER,
    algorithms: { serverHostKey: [...algorithms] as never[], compress: ['none'] },
    hostVerifier: (blob: Buffer) => {
      const shown = seenHostKey(host, port, blob);
      if (shown === undefined) {
        progress.unreadableKey = true;
        return false;
      }
      const verdict = judgeHostKey(hostKeys, shown);
      if (!verdict.accepted) {
        progress.refused = { seen: shown, verdict };
        return false;
      }
      // The keys are exchanged anew from time to time; the warning is for the first time.
      if (!verdict.verified && progress.warned !== true) onUnverified?.(shown);
      progress.warned = true;
      return true;
    },
    authHandler: (accepted, partial, next) => {
      login.next(accepted, partial, next);
    },
  });
  const client = ssh.connection;
  // For the whole life of the connection: an error without a listener ends the process.
  client?.on('error', () => undefined);
  client?.on('connect', () => (progress.phase = 'handshake'));
  client?.on('handshake', () => (progress.phase = 'login'));
  client?.on('change password', () => {
    login.passwordExpired = true;
    socket.destroy();
  });
  try {
    await connecting;
  } catch (cause) {
    socket.destroy();
    const { phase, refused, unreadableKey } = progress;
    if (refused !== undefined) return refused;
    const { message } = facts(cause);
    if (message.includes('no matching host key format')) return 'no-other-key';
    const loginFailure = phase === 'login' ? login.failure(cause) : undefined;
    if (loginFailure !== undefined) throw loginFailure;
    if (unreadableKey === true) {
      throw new ConnectFailed(`${where} showed a host key that can not be read`, {
        transient: false,
      });
    }
    throw connectFailure(where, phase, connectTimeoutMs, cause);
  }
  if (client === null)
    throw new ConnectFailed(`${where} closed the connection`, { transient: true });
  return new SshTransport(client, socket, where, keepaliveMs);
}

type Phase = 'connecting' | 'handshake' | 'login';

/** The login: which method comes next, and what to say when none was accepted. */
class Login {
  readonly #target: SshTarget;
  readonly #waiting: ('key' | 'agent' | 'password' | 'keyboard-interactive')[] = [];
  readonly #tried: string[] = [];
  readonly #questions: string[] = [];
  readonly #agent: RecordingAgent | undefined;
  readonly #key: ParsedKey | undefined;
  readonly #password: string | undefined;
  #accepted: readonly string[] = [];
  passwordExpired = false;

  constructor({ target, credentials }: SshOptions, key: ParsedKey | undefined) {
    this.#target = target;
    this.#key = key;
    this.#password = credentials.password?.reveal();
    if (key !== undefined) this.#waiting.push('key');
    if (credentials.agentSocket !== undefined) {
      this.#agent = new RecordingAgent(credentials.agentSocket);
      this.#waiting.push('agent');
    }
    if (this.#password !== undefined) this.#waiting.push('password', 'keyboard-interactive');
  }

  /**
   * ssh2 asks for the next method. The first is `none`, as ssh(1) does it: the answer lists the
   * methods that the server accepts, and attempts that it would count against us are left out.
   */
  next(
    accepted: readonly string[] | null,
    _partial: boolean | null,
    proceed: (method: AnyAuthMethod) => void,
  ): void {
    const { username } = this.#target;
    if (accepted === null) {
      proceed({ type: 'none', username });
      return;
    }
    this.#accepted = accepted;
    const index = this.#waiting.findIndex((method) =>
      accepted.includes(method === 'key' || method === 'agent' ? 'publickey' : method),
    );
    const [method] = index === -1 ? [] : this.#waiting.splice(index, 1);
    if (method === 'key' && this.#key !== undefined) {
      this.#tried.push(`private key ${describeKey(this.#key)}`);
      proceed({ type: 'publickey', username, key: this.#key });
    } else if (method === 'agent' && this.#agent !== undefined) {
      proceed({ type: 'agent', username, agent: this.#agent });
    } else if (method === 'password' && this.#password !== undefined) {
      this.#tried.push('password');
      proceed({ type: 'password', username, password: this.#password });
    } else if (method === 'keyboard-interactive') {
      this.#tried.push('keyboard-interactive');
      proceed({
        type: 'keyboard-interactive',
        username,
        prompt: (_name, _instructions, _language, prompts, finish) => {
          finish(this.#answers(prompts));
        },
      });
    } else {
      proceed(false as never); // ssh2's word for: there is nothing left; its types lack it
    }
  }

  /** The password goes to the first hidden question alone: a second one asks for something else. */
  #answers(prompts: readonly Prompt[]): string[] {
    return prompts.map(({ prompt, echo }) => {
      const first = this.#questions.length === 0;
      this.#questions.push(prompt.trim());
      return first && echo !== true ? (this.#password ?? '') : '';
    });
  }

  /** The error for a login that the server refused, or `undefined` if it broke off otherwise. */
  failure(cause: unknown): DeployError | undefined {
    const { message, level } = facts(cause);
    const { username } = this.#target;
    const where = describeTarget(this.#target);
    const refusal = (text: string, hint: string): DeployError =>
      new DeployError('auth-failed', 'invalid', text, { hint, cause });
    if (this.passwordExpired) {
      return refusal(
        `${where} wants the password of ${username} to be changed before it lets anyone in`,
        'Log in once by hand and change it, or log in with a key.',
      );
    }
    if (level === 'agent') {
      return refusal(
        `${where}: the ssh-agent did not sign: ${message}`,
        'Check that the agent is unlocked and asks for no confirmation.',
      );
    }
    const tooMany = /too many authentication failures/i.test(message);
    if (level !== 'client-authentication' && !tooMany) return undefined;
    const keys = this.#agent?.identities ?? [];
    const tried = [
      ...this.#tried,
      ...keys.map((each) => `key of the agent ${describeKey(each)}`),
      ...(this.#agent?.problem === undefined ? [] : [this.#agent.problem]),
    ];
    const offered = this.#key ?? keys[0];
    const lines = [
      `Tried: ${tried.length === 0 ? 'nothing, as no login that it accepts was given' : tried.join(', ')}.`,
      ...(this.#accepted.length === 0 ? [] : [`It accepts: ${this.#accepted.join(', ')}.`]),
      ...(this.#questions.length > 1 ? [`It asked: ${this.#questions.join(', ')}.`] : []),
    ];
    const hints = [
      ...(tooMany
        ? ['The server gave up before every key was tried: pass the right one as private-key.']
        : []),
      ...(offered !== undefined && this.#accepted.includes('publickey')
        ? [
            `On the server, ~/.ssh/authorized_keys of ${username} must hold this line:\n  ${offered.type} ${offered.getPublicSSH().toString('base64')}`,
            'and only that user may write to the file, to .ssh and to the home directory.',
          ]
        : []),
      ...(offered === undefined && this.#accepted.includes('publickey')
        ? ['The server wants a key: set the input private-key.']
        : []),
      ...(offered !== undefined && !this.#accepted.includes('publickey')
        ? ['The server takes no keys: see PubkeyAuthentication in its sshd_config.']
        : []),
    ];
    return refusal(
      `${where} refused the login of ${username}. ${lines.join(' ')}`,
      hints.length === 0 ? 'Check username and password.' : hints.join('\n'),
    );
  }
}

function describeKey(key: ParsedKey): string {
  return `${key.type} ${fingerprint(key.getPublicSSH())}`;
}

/**
 * The agent behind a socket, which remembers the keys that it held. An agent that is not there has
 * no keys, so that another way to log in gets its turn: an error would end the attempt.
 */
class RecordingAgent extends ssh2.OpenSSHAgent {
  readonly #socket: string;
  identities: readonly ParsedKey[] = [];
  problem: string | undefined;

  constructor(socket: string) {
    super(socket);
    this.#socket = socket;
  }

  override getIdentities(done: IdentityCallback<ParsedKey>): void {
    super.getIdentities((error, keys) => {
      this.identities = (keys ?? []).filter((key): key is ParsedKey => 'getPublicSSH' in key);
      if (error != null) {
        this.problem = `an ssh-agent at ${this.#socket} that can not be reached`;
      } else if (this.identities.length === 0) {
        this.problem = `an ssh-agent at ${this.#socket} that holds no key`;
      }
      done(null, [...this.identities]);
    });
  }
}

interface Facts {
  readonly message: string;
  readonly code: string | number | undefined;
  readonly level: string | undefined;
}

/** What an error of ssh2, of a socket or of the resolver says of itself. */
function facts(error: unknown): Facts {
  if (typeof error !== 'object' || error === null) {
    return { message: String(error), code: undefined, level: undefined };
  }
  const { message, code, level, errors } = error as Partial<Record<string, unknown>>;
  // Node tries the addresses of a name in turn; the sum of the failures has an empty message.
  const inner: unknown[] = Array.isArray(errors) ? errors : [];
  const messages = [...new Set(inner.map((each) => facts(each).message))];
  return {
    message: typeof message === 'string' && message !== '' ? message : messages.join(', '),
    code: typeof code === 'string' || typeof code === 'number' ? code : undefined,
    level: typeof level === 'string' ? level : undefined,
  };
}

/** What the codes of the system say, and whether it may pass. */
const NETWORK: Readonly<Record<string, readonly [text: string, transient: boolean]>> = {
  ECONNREFUSED: ['refused the connection: nothing listens at this port', true],
  ECONNRESET: ['cut the connection', true],
  EPIPE: ['cut the connection', true],
  ECONNABORTED: ['cut the connection', true],
  ETIMEDOUT: ['did not answer', true],
  EHOSTUNREACH: ['can not be reached: no route to the host', true],
  EHOSTDOWN: ['can not be reached: the host is down', true],
  ENETUNREACH: ['can not be reached: no route to its network', true],
  EAI_AGAIN: ['can not be looked up: the name server did not answer', true],
  ENOTFOUND: ['can not be looked up: there is no such host name', false],
};

/** SSH_DISCONNECT_TOO_MANY_CONNECTIONS of RFC 4253, 11.1. */
const TOO_MANY_CONNECTIONS = 12;

function connectFailure(
  where: string,
  phase: Phase,
  timeoutMs: number,
  cause: unknown,
): ConnectFailed {
  const { message, code, level } = facts(cause);
  const failed = (text: string, transient: boolean, hint?: string): ConnectFailed =>
    new ConnectFailed(`${where} ${text}`, {
      transient,
      cause,
      ...(hint === undefined ? {} : { hint }),
    });
  if (level === 'client-timeout') {
    const seconds = timeoutMs / 1000;
    return failed(
      {
        connecting: `did not answer within ${seconds} s: no TCP connection`,
        handshake: `accepted the connection but did not finish the SSH handshake within ${seconds} s`,
        login: `did not finish the login within ${seconds} s`,
      }[phase],
      true,
      phase === 'connecting'
        ? 'Does a firewall let the runner through? Hosted runners come from changing addresses.'
        : 'Is it an SSH server, and is it overloaded? The input connect-timeout gives it more time.',
    );
  }
  // node-ssh gives the code ETIMEDOUT to a connection that was closed without an error.
  const closed = cause instanceof SSHError || message.includes('lost before handshake');
  const known = typeof code === 'string' && !closed ? NETWORK[code] : undefined;
  if (known !== undefined) return failed(known[0], known[1]);
  if (code === TOO_MANY_CONNECTIONS) return failed(`has too many connections: ${message}`, true);
  // sshd closes without a word when MaxStartups is reached, and so does one that is restarting.
  if (closed) {
    return failed(
      phase === 'login'
        ? 'closed the connection during the login'
        : 'closed the connection before the SSH handshake',
      true,
      'A server that is starting, that has too many logins at once (MaxStartups) or that blocks this address does so.',
    );
  }
  if (level === 'handshake' || level === 'protocol' || phase === 'handshake') {
    return failed(
      `did not complete the SSH handshake: ${message}`,
      false,
      'Is this the port of an SSH server, and a current one?',
    );
  }
  return failed(`broke the connection off: ${message}`, true);
}

/** Silent questions until a connection counts as lost. */
const KEEPALIVES = 3;

class SshTransport implements Transport {
  readonly description: string;
  readonly #client: Client;
  readonly #socket: Socket;
  readonly #waiting = new Set<(lost: ConnectionLost) => void>();
  readonly #closed: Promise<void>;
  readonly #watch: NodeJS.Timeout;
  #lost: ConnectionLost | undefined;

  constructor(client: Client, socket: Socket, description: string, keepaliveMs: number) {
    this.#client = client;
    this.#socket = socket;
    this.description = description;
    client.on('error', (cause) => this.#lose(facts(cause).message, cause));
    this.#closed = new Promise((resolve) => {
      client.once('close', () => {
        clearInterval(this.#watch);
        this.#lose('the server closed it');
        resolve();
      });
    });
    // ssh2's own keepalive hears the answers to its questions only, which wait in line behind a
    // large upload on a slow line. Here every byte is a sign of life. Ticks are counted and not
    // time, so that a process which was held up itself does not blame the server.
    const ticksPerQuestion = 4;
    let [heard, silent] = [socket.bytesRead, 0];
    this.#watch = setInterval(() => {
      silent = socket.bytesRead === heard ? silent + 1 : 0;
      heard = socket.bytesRead;
      if (silent < KEEPALIVES * ticksPerQuestion) return;
      this.#lose(`nothing was heard from it for ${(KEEPALIVES * keepaliveMs) / 1000} s`);
    }, keepaliveMs / ticksPerQuestion);
    this.#watch.unref();
  }

  run(argv: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
    const { input, timeoutMs, onOutput } = options;
    const title = commandTitle(argv);
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      let settled = false;
      const settle = (): void => {
        settled = true;
        clearTimeout(timer);
        this.#waiting.delete(fail);
      };
      const fail = (error: Error): void => {
        settle();
        reject(error);
      };
      let channel: ClientChannel | undefined;
      if (timeoutMs !== undefined) {
        timer = setTimeout(() => {
          fail(
            new TimedOut(
              `"${title}" on ${this.description} did not end within ${timeoutMs / 1000} s`,
              { hint: 'It may still be running there.' },
            ),
          );
          channel?.close();
        }, timeoutMs);
      }
      this.#exec(argv, title, fail, (opened) => {
        if (settled) {
          opened.close();
          return;
        }
        channel = opened;
        const output: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] };
        const collect = (stream: 'stdout' | 'stderr') => (chunk: Buffer) => {
          output[stream].push(chunk);
          onOutput?.(chunk, stream);
        };
        opened.on('data', collect('stdout'));
        opened.stderr.on('data', collect('stderr'));
        const end = exitOf(opened);
        let open = 2;
        const closed = (): void => {
          open -= 1;
          if (open > 0) return;
          const exit = end();
          if (exit === undefined) {
            fail(this.#noExitStatus(title));
            return;
          }
          settle();
          resolve({
            ...exit,
            stdout: Buffer.concat(output.stdout),
            stderr: Buffer.concat(output.stderr),
          });
        };
        opened.once('close', closed);
        opened.stderr.once('end', closed);
        // The remote side may end before it has read everything; its exit status says whether
        // that is a failure.
        opened.on('error', () => undefined);
        opened.end(input);
      });
    });
  }

  open(argv: readonly string[]): Promise<CommandStream> {
    const title = commandTitle(argv);
    return new Promise((resolve, reject) => {
      this.#exec(argv, title, reject, (channel) => {
        this.#waiting.delete(reject);
        const stream = new CommandStream({
          title,
          where: this.description,
          stdin: channel,
          stdout: channel,
          stderr: channel.stderr,
          abandon: () => channel.close(),
        });
        const lose = (lost: ConnectionLost): void => stream.connectionLost(lost);
        this.#waiting.add(lose);
        const end = exitOf(channel);
        channel.once('close', () => {
          this.#waiting.delete(lose);
          const exit = end();
          if (exit === undefined) stream.connectionLost(this.#noExitStatus(title));
          else stream.commandEnded(exit.code, exit.signal);
        });
        resolve(stream);
      });
    });
  }

  async close(): Promise<void> {
    this.#lost ??= new ConnectionLost(`the connection to ${this.description} was closed`);
    this.#fail(this.#lost);
    this.#client.end();
    // A server that is gone does not say goodbye.
    const impatience = setTimeout(() => this.#socket.destroy(), 1000);
    await this.#closed;
    clearTimeout(impatience);
  }

  /**
   * Starts a command. `started` runs in the very turn in which the server confirmed it: the output
   * and the end of a short command are in the same packet, and a promise would come too late.
   */
  #exec(
    argv: readonly string[],
    title: string,
    failed: (error: Error) => void,
    started: (channel: ClientChannel) => void,
  ): void {
    try {
      const command = commandLine(argv);
      if (this.#lost !== undefined) {
        failed(this.#lost);
        return;
      }
      this.#waiting.add(failed);
      this.#client.exec(command, (error, channel) => {
        if (error === undefined) {
          started(channel);
          return;
        }
        this.#waiting.delete(failed);
        failed(
          this.#lost ??
            new ConnectionLost(`${this.description} did not start "${title}": ${error.message}`, {
              hint: 'Its sshd may forbid commands to this user (ForceCommand, a login shell that is none) or more of them at once (MaxSessions).',
              cause: error,
            }),
        );
      });
    } catch (error) {
      this.#waiting.delete(failed);
      failed(
        error instanceof RangeError
          ? error
          : new ConnectionLost(`the connection to ${this.description} is closed`, { cause: error }),
      );
    }
  }

  #noExitStatus(title: string): ConnectionLost {
    return (
      this.#lost ??
      new ConnectionLost(
        `${this.description} ended "${title}" without telling its exit status: the process that served the connection was killed, or the server is going down`,
      )
    );
  }

  #lose(why: string, cause?: unknown): void {
    if (this.#lost === undefined) {
      this.#lost = new ConnectionLost(`the connection to ${this.description} was lost: ${why}`, {
        ...(cause === undefined ? {} : { cause }),
      });
      this.#socket.destroy();
    }
    this.#fail(this.#lost);
  }

  #fail(lost: ConnectionLost): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const fail of waiting) fail(lost);
  }
}

/** Listens for the exit status, or the signal, of the process on a channel. */
function exitOf(channel: ClientChannel): () => Pick<CommandResult, 'code' | 'signal'> | undefined {
  let exit: Pick<CommandResult, 'code' | 'signal'> | undefined;
  channel.on('exit', (code: number | null, signal?: string) => {
    // ssh2 puts SIG in front of a name that RFC 4254, 6.10 has without it.
    exit = { code, ...(signal === undefined ? {} : { signal: signal.replace(/^SIGSIG/, 'SIG') }) };
  });
  return () => exit;
}
