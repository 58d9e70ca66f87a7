/**
 * The transport over SSH. node-ssh makes the connection; commands run on channels of the ssh2
 * client below it, because node-ssh (13.2) resolves a command whose connection was lost, decodes
 * output chunk by chunk and stops listening for errors once it is connected.
 */
import { connect as connectSocket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';
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
import { safeLine } from '../report/text.js';
import type { Secret } from '../secret.js';
import { addressLimitMs } from './addresses.js';
import { CommandStream } from './command-stream.js';
import { hostKeyAlgorithms, hostKeyRefusal, judgeHostKey, seenHostKey } from './host-key.js';
import type { HostKeyPolicy, HostKeyVerdict, SeenHostKey } from './host-key.js';
import { fingerprint } from './known-hosts.js';
import { JUMP_KEY_INPUTS, KEY_INPUTS, type KeyInputs } from './key-inputs.js';
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

/** A bastion: a host that leads to others, which cannot be reached from here. */
export interface SshJump {
  readonly target: SshTarget;
  readonly credentials: SshCredentials;
}

export interface SshOptions {
  readonly target: SshTarget;
  readonly credentials: SshCredentials;
  /** The way to the target, where it is not direct. Its host key is checked in the same way. */
  readonly jump?: SshJump | undefined;
  readonly hostKeys: HostKeyPolicy;
  /** Milliseconds for TCP connection, handshake and login together, of the bastion too. */
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

/** What went wrong at the bastion: no other host behind it can be reached either. */
export class JumpFailed extends Error {
  readonly failure: DeployError;

  constructor(failure: DeployError) {
    super(failure.message, { cause: failure });
    this.name = 'JumpFailed';
    this.failure = failure;
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
 * @throws JumpFailed with one of these, where it is the bastion's
 */
export async function connectSsh(options: SshOptions): Promise<Transport> {
  return await establish(options);
}

async function establish(options: SshOptions): Promise<SshTransport> {
  const { target, credentials, jump, connectTimeoutMs } = options;
  const key = usableKey(credentials, KEY_INPUTS);
  const until = performance.now() + connectTimeoutMs;
  const anotherLine = (): Promise<SshTransport> => establish(options);
  if (jump === undefined) {
    const where = describeTarget(target);
    const dial = dialDirectly(target, options);
    const hop = { target, credentials, key, where, inputs: KEY_INPUTS, dial };
    return await logIn(options, hop, until, anotherLine);
  }
  const bastion = await logInToBastion(options, jump, until);
  const where = `${describeTarget(target)} (through ${describeTarget(jump.target)})`;
  const dial = (): Promise<Duplex> => bastion.forward(target, until, connectTimeoutMs);
  const hop = { target, credentials, key, where, inputs: KEY_INPUTS, dial, bastion };
  try {
    return await logIn(options, hop, until, anotherLine);
  } catch (error) {
    await bastion.close();
    throw error;
  }
}

async function logInToBastion(
  options: SshOptions,
  { target, credentials }: SshJump,
  until: number,
): Promise<SshTransport> {
  const inputs = credentials === options.credentials ? KEY_INPUTS : JUMP_KEY_INPUTS;
  const where = `the jump host ${describeTarget(target)}`;
  try {
    const key = usableKey(credentials, inputs);
    const hop = { target, credentials, key, where, inputs, dial: dialDirectly(target, options) };
    return await logIn(options, hop, until);
  } catch (error) {
    throw error instanceof DeployError ? new JumpFailed(error) : error;
  }
}

function usableKey(
  { privateKey, passphrase }: SshCredentials,
  inputs: KeyInputs,
): ParsedKey | undefined {
  if (privateKey === undefined) return undefined;
  const read = readPrivateKey(privateKey, passphrase, inputs);
  if ('reason' in read) throw new InvalidInput([read]);
  return read;
}

/** One of the machines on the way: the bastion, the manager. */
interface Hop {
  readonly target: SshTarget;
  readonly credentials: SshCredentials;
  readonly key: ParsedKey | undefined;
  /** For messages. */
  readonly where: string;
  /** The inputs that its key comes from. */
  readonly inputs: KeyInputs;
  /** Makes the stream that SSH is spoken on. It may still be connecting. */
  readonly dial: () => Duplex | Promise<Duplex>;
  /** What the stream goes through; it ends with the connection. */
  readonly bastion?: SshTransport;
}

const dialDirectly =
  ({ host, port }: SshTarget, { connectTimeoutMs }: SshOptions) =>
  (): Duplex =>
    connectSocket({
      host,
      port,
      // A small answer must not wait for the acknowledgement of the one before it.
      noDelay: true,
      autoSelectFamilyAttemptTimeout: addressLimitMs(connectTimeoutMs),
    });

/** Logs in to one machine, asking for its host keys in turn where only a fingerprint is pinned. */
async function logIn(
  options: SshOptions,
  hop: Hop,
  until: number,
  anotherLine?: () => Promise<SshTransport>,
): Promise<SshTransport> {
  const { hostKeys } = options;
  const { host, port } = hop.target;
  const seen: SeenHostKey[] = [];
  let verdict: RefusedKey['verdict'] | undefined;
  for (;;) {
    const refusedTypes = seen.map(({ type }) => type);
    const algorithms = hostKeyAlgorithms(hostKeys, host, port, refusedTypes);
    const attempt =
      algorithms.length === 0
        ? 'no-other-key'
        : await attemptConnect(options, hop, algorithms, until, anotherLine);
    if (typeof attempt === 'object' && 'run' in attempt) return attempt;
    if (attempt !== 'no-other-key') {
      seen.push(attempt.seen);
      verdict = attempt.verdict;
      // A fingerprint may be that of another key of the server: ask for those as well.
      if (hostKeys.kind === 'fingerprints') continue;
    }
    const [first, ...others] = seen;
    if (first === undefined || verdict === undefined) {
      throw new ConnectFailed(`${hop.where} offers no host key of a type that is supported`, {
        transient: false,
        hint: 'Give the server a key of type ed25519: `ssh-keygen -A`.',
      });
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
  hop: Hop,
  algorithms: readonly string[],
  until: number,
  anotherLine: (() => Promise<SshTransport>) | undefined,
): Promise<SshTransport | RefusedKey | 'no-other-key'> {
  const { hostKeys, connectTimeoutMs, onUnverified } = options;
  const { host, port, username } = hop.target;
  const { where } = hop;
  const keepaliveMs = options.keepaliveMs ?? 5000;
  const login = new Login(hop);
  const progress: {
    phase: Phase;
    refused?: RefusedKey;
    unreadableKey?: boolean;
    warned?: boolean;
  } = { phase: hop.bastion === undefined ? 'connecting' : 'handshake' };

  const stream = await hop.dial();
  const ssh = new NodeSSH();
  const connecting = ssh.connect({
    sock: stream,
    host,
    port,
    username,
    readyTimeout: Math.max(1, Math.ceil(until - performance.now())),
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
    stream.destroy();
  });
  try {
    await connecting;
  } catch (cause) {
    stream.destroy();
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
  return new SshTransport(client, stream, { hop, keepaliveMs, anotherLine });
}

type Phase = 'connecting' | 'handshake' | 'login';

/** The login: which method comes next, and what to say when none was accepted. */
class Login {
  readonly #target: SshTarget;
  readonly #where: string;
  readonly #inputs: KeyInputs;
  readonly #waiting: ('key' | 'agent' | 'password' | 'keyboard-interactive')[] = [];
  readonly #tried: string[] = [];
  readonly #questions: string[] = [];
  readonly #agent: RecordingAgent | undefined;
  readonly #key: ParsedKey | undefined;
  readonly #password: string | undefined;
  #accepted: readonly string[] = [];
  passwordExpired = false;

  constructor({ target, credentials, key, where, inputs }: Hop) {
    this.#target = target;
    this.#where = where;
    this.#inputs = inputs;
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
    const where = this.#where;
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
        ? [
            `The server gave up before every key was tried (MaxAuthTries): pass the right one as ${this.#inputs.key}.`,
          ]
        : []),
      ...(offered !== undefined && this.#accepted.includes('publickey')
        ? [
            `On the server, ~/.ssh/authorized_keys of ${username} must hold this line:\n  ${offered.type} ${offered.getPublicSSH().toString('base64')}`,
            'and only that user may write to the file, to .ssh and to the home directory.',
          ]
        : []),
      ...(offered === undefined && this.#accepted.includes('publickey')
        ? [`The server wants a key: set the input ${this.#inputs.key}.`]
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

/** What ssh2 offers that current servers have, by the word for it in ssh2's own errors. */
const ALGORITHMS_OF: Readonly<Record<string, string>> = {
  'key exchange': 'curve25519-sha256 or diffie-hellman-group16-sha512 (KexAlgorithms)',
  cipher: 'aes256-gcm@openssh.com, chacha20-poly1305@openssh.com or aes256-ctr (Ciphers)',
  MAC: 'hmac-sha2-256-etm@openssh.com or hmac-sha2-512-etm@openssh.com (MACs)',
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
    const [, which] = /no matching .*(key exchange|cipher|MAC)/.exec(message) ?? [];
    const wanted = which === undefined ? undefined : ALGORITHMS_OF[which];
    return failed(
      `did not complete the SSH handshake: ${message}`,
      false,
      wanted === undefined
        ? 'Is this the port of an SSH server, and a current one?'
        : `Its sshd_config must allow one that this action knows, such as ${wanted}. \`sudo sshd -T\` there shows what it allows.`,
    );
  }
  return failed(`broke the connection off: ${message}`, true);
}

/** Why a channel was not opened (RFC 4254, 5.1). */
const FORBIDDEN = 1;
const UNKNOWN_KIND = 3;

/** What a server says that opens no channel; no description where it was not the server. */
function refusedChannel(error: Error | undefined): {
  readonly reason?: number;
  readonly description?: string;
} {
  const [, description] = /^\(SSH\) Channel open failure: ?(.*)$/s.exec(error?.message ?? '') ?? [];
  if (description === undefined) return {};
  const { reason } = error as { reason?: unknown };
  return {
    description: description === '' ? 'without a reason' : safeLine(description),
    ...(typeof reason === 'number' ? { reason } : {}),
  };
}

/** How often a command is begun again that was refused though none runs, and the pause that grows. */
const REFUSED_AGAIN = 5;
const REFUSED_PAUSE_MS = 50;

/** Silent questions until a connection counts as lost. */
const KEEPALIVES = 3;
/** How often it is looked, from one of them to the next, whether anything was heard. */
const TICKS_PER_QUESTION = 4;

class SshTransport implements Transport {
  readonly description: string;
  readonly #client: Client;
  readonly #stream: Duplex;
  readonly #bastion: SshTransport | undefined;
  readonly #anotherLine: (() => Promise<SshTransport>) | undefined;
  readonly #waiting = new Set<(lost: ConnectionLost) => void>();
  readonly #closed: Promise<void>;
  readonly #watch: NodeJS.Timeout;
  #lost: ConnectionLost | undefined;
  /** Commands that run here, or are about to. */
  #sessions = 0;
  /** More of them than this the server does not allow on one connection, as far as is known. */
  #maxSessions = Infinity;
  /** For those beyond that. */
  #spare: Promise<SshTransport> | undefined;
  /** Whether a command has ended on it. */
  #used = false;
  #silent = 0;

  constructor(
    client: Client,
    stream: Duplex,
    {
      hop,
      keepaliveMs,
      anotherLine,
    }: {
      readonly hop: Hop;
      readonly keepaliveMs: number;
      readonly anotherLine: (() => Promise<SshTransport>) | undefined;
    },
  ) {
    this.#client = client;
    this.#stream = stream;
    this.#bastion = hop.bastion;
    this.#anotherLine = anotherLine;
    this.description = describeTarget(hop.target);
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
    stream.on('data', () => (this.#silent = 0));
    this.#watch = setInterval(() => {
      this.#silent += 1;
      if (this.#silent < KEEPALIVES * TICKS_PER_QUESTION) return;
      this.#lose(`nothing was heard from it for ${(KEEPALIVES * keepaliveMs) / 1000} s`);
    }, keepaliveMs / TICKS_PER_QUESTION);
    this.#watch.unref();
  }

  /**
   * A stream to a host that can be reached from this one.
   * @param until when to give up, in milliseconds on the clock of `performance`
   * @throws ConnectFailed when there is none by then, or it is refused
   */
  async forward(target: SshTarget, until: number, timeoutMs: number): Promise<Duplex> {
    const [here, there] = [`the jump host ${this.description}`, describeTarget(target)];
    return await new Promise((resolve, reject) => {
      const fail = (words: string, transient: boolean, hint: string): void =>
        reject(new ConnectFailed(`${here} ${words}`, { transient, hint }));
      const timer = setTimeout(
        () => {
          fail(
            `did not reach ${there} within ${timeoutMs / 1000} s`,
            true,
            'Does a firewall let the jump host through to the manager?',
          );
        },
        Math.max(1, until - performance.now()),
      );
      const answer = (error: Error | undefined, channel?: ClientChannel): void => {
        clearTimeout(timer);
        const { reason, description } = refusedChannel(error);
        if (channel !== undefined) resolve(channel);
        else if (this.#lost !== undefined || description === undefined)
          reject(
            new ConnectFailed(`${here} closed the connection before it reached ${there}`, {
              transient: true,
              cause: error,
            }),
          );
        else if (reason === FORBIDDEN || reason === UNKNOWN_KIND)
          fail(
            `does not pass connections on to ${there}: ${description}`,
            false,
            'See AllowTcpForwarding and PermitOpen in its sshd_config, and restrict, no-port-forwarding or permitopen in authorized_keys.',
          );
        else
          fail(
            `cannot reach ${there}: ${description}`,
            true,
            'The jump host looks the name up and connects to it; see the input host.',
          );
      };
      try {
        this.#client.forwardOut('127.0.0.1', 0, target.host, target.port, answer);
      } catch (error) {
        answer(error as Error);
      }
    });
  }

  /**
   * Whether nothing more can be done on it, or it looks so: one that is well is silent from one question to the
   * next, and until its answer is there.
   */
  get #isAway(): boolean {
    const isSilent = this.#silent > 1.5 * TICKS_PER_QUESTION;
    return this.#lost !== undefined || this.#stream.destroyed || isSilent;
  }

  run(argv: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
    const { input, timeoutMs, onOutput } = options;
    const title = commandTitle(argv);
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      let settled = false;
      let line: SshTransport | undefined;
      const settle = (): void => {
        settled = true;
        clearTimeout(timer);
        if (line !== undefined) line.#waiting.delete(fail);
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
      this.#exec(argv, title, fail, (opened, by) => {
        if (settled) {
          by.#waiting.delete(fail);
          opened.close();
          return;
        }
        [channel, line] = [opened, by];
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
            fail(by.#noExitStatus(title));
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
      this.#exec(argv, title, reject, (channel, by) => {
        by.#waiting.delete(reject);
        const stream = new CommandStream({
          title,
          where: this.description,
          stdin: channel,
          stdout: channel,
          stderr: channel.stderr,
          abandon: () => channel.close(),
        });
        const lose = (lost: ConnectionLost): void => stream.connectionLost(lost);
        by.#waiting.add(lose);
        const end = exitOf(channel);
        channel.once('close', () => {
          by.#waiting.delete(lose);
          const exit = end();
          if (exit === undefined) stream.connectionLost(by.#noExitStatus(title));
          else stream.commandEnded(exit.code, exit.signal);
        });
        resolve(stream);
      });
    });
  }

  async close(): Promise<void> {
    this.#lost ??= new ConnectionLost(`the connection to ${this.description} was closed`);
    this.#fail(this.#lost);
    const spare = this.#spare?.then(
      (line) => line.close(),
      () => undefined, // it never came about
    );
    this.#client.end();
    // A server that is gone does not say goodbye.
    const impatience = setTimeout(() => this.#cut(), 1000);
    await this.#closed;
    clearTimeout(impatience);
    await Promise.all([this.#bastion?.close(), spare]);
  }

  /** Ends it without a word, and what it goes through. */
  #cut(): void {
    this.#stream.destroy();
    if (this.#bastion !== undefined) this.#bastion.#cut();
  }

  /**
   * Starts a command, on another connection where the server allows no more of them on this one.
   * `started` runs in the very turn in which the server confirmed it: the output and the end of a
   * short command are in the same packet, and a promise would come too late.
   */
  #exec(
    argv: readonly string[],
    title: string,
    failed: (error: Error) => void,
    started: (channel: ClientChannel, by: SshTransport) => void,
    again = 0,
  ): void {
    try {
      const command = commandLine(argv);
      if (this.#lost !== undefined) {
        failed(this.#lost);
        return;
      }
      if (this.#sessions >= this.#maxSessions) {
        this.#execElsewhere(argv, title, failed, started);
        return;
      }
      this.#waiting.add(failed);
      this.#sessions += 1;
      this.#client.exec(command, (error, channel) => {
        if (error === undefined) {
          channel.once('close', () => {
            this.#sessions -= 1;
            this.#used = true;
          });
          started(channel, this);
          return;
        }
        this.#sessions -= 1;
        const refused = this.#lost === undefined && refusedChannel(error).description !== undefined;
        // sshd counts a command that has ended until it is done with the packets that it has read, and this
        // request is among these as often as not (tried, MaxSessions 1; OpenSSH, session.c and serverloop.c).
        if (refused && this.#sessions === 0 && this.#used && again < REFUSED_AGAIN) {
          const retry = (): void => {
            if (this.#waiting.delete(failed)) this.#exec(argv, title, failed, started, again + 1);
          };
          setTimeout(retry, again * REFUSED_PAUSE_MS);
          return;
        }
        this.#waiting.delete(failed);
        if (refused && this.#sessions > 0 && this.#anotherLine !== undefined) {
          this.#maxSessions = Math.min(this.#maxSessions, this.#sessions);
          this.#execElsewhere(argv, title, failed, started);
          return;
        }
        failed(
          this.#lost ??
            new ConnectionLost(`${this.description} did not start "${title}": ${error.message}`, {
              hint: 'Its sshd may forbid commands to this user: ForceCommand, a login shell that is none, or MaxSessions 0.',
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

  /** Starts a command on the spare connection, which is made for the first of them. */
  #execElsewhere(
    argv: readonly string[],
    title: string,
    failed: (error: Error) => void,
    started: (channel: ClientChannel, by: SshTransport) => void,
  ): void {
    this.#waiting.add(failed);
    const spare = (this.#spare ??= this.#makeSpare());
    spare.then(
      (line) => {
        // Unless it has failed already, with this connection.
        if (!this.#waiting.delete(failed)) return;
        if (line.#lost === undefined) {
          line.#exec(argv, title, failed, started);
          return;
        }
        // One that was lost since is made again, once it is needed.
        if (this.#spare === spare) this.#spare = undefined;
        this.#execElsewhere(argv, title, failed, started);
      },
      (error: unknown) => {
        if (!this.#waiting.delete(failed)) return;
        failed(
          new ConnectionLost(
            `${this.description} allows no more than ${this.#maxSessions} of our commands at once on one connection, and another connection failed: ${facts(error).message}`,
            { hint: 'See MaxSessions and MaxStartups in its sshd_config.', cause: error },
          ),
        );
      },
    );
  }

  async #makeSpare(): Promise<SshTransport> {
    if (this.#anotherLine === undefined) throw new Error('no other connection is to be had');
    try {
      return await this.#anotherLine();
    } catch (error) {
      this.#spare = undefined;
      throw error;
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
      const bastion = this.#bastion;
      const [what, reason] = [
        `the connection to ${this.description} was lost`,
        // The one behind it can say nothing then.
        bastion !== undefined && bastion.#isAway
          ? `the jump host ${bastion.description} is gone`
          : why,
      ];
      this.#lost = new ConnectionLost(`${what}: ${reason}`, {
        ...(cause === undefined ? {} : { cause }),
      });
      this.#cut();
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
