/**
 * The connection to a manager as the rest of a run uses it: one transport, one engine on it, and a
 * way to get both again when they are lost.
 */
import {
  cliVersion,
  dockerArgv,
  isAtLeast,
  MINIMUM_VERSION,
  type DockerCommand,
} from './docker/cli.js';
import { Engine, EngineError, type EngineVersion } from './docker/engine.js';
import { ConnectionLost, DeployError, TimedOut } from './errors.js';
import { errorLine, safeLine } from './report/text.js';
import type { Clock } from './rollout/watch.js';
import { traced, type Trace } from './transport/traced.js';
import type { CommandResult, Transport } from './transport/transport.js';

/** Makes a connection that `accept` agrees to, trying one manager after another. */
export type Connect = (accept: (transport: Transport) => Promise<void>) => Promise<Transport>;

interface Line {
  readonly transport: Transport;
  readonly engine: Engine;
  readonly engineVersion: EngineVersion;
  readonly cliVersion: readonly [number, number];
  readonly nodeName: string;
  readonly swarmId: string;
}

/** What patience takes. */
export interface Patience {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
}

/** Long enough for an engine to restart or a leader to be elected. */
const PATIENCE_MS = 180_000;
const RETRY_MS = 1000;
/**
 * After the first login that was refused; three times as long after each further one. A machine that goes down or
 * comes up refuses everybody (pam_nologin), but servers shut out who keeps trying (fail2ban).
 */
const REFUSED_MS = 5000;
/** Longer than the managers take to elect a leader, most often; then others of the hosts may have one. */
const LEADERLESS_MS = 15_000;
/** The same words are told again after this long, in milliseconds. */
const TELL_MS = 30_000;
/** For one command that only looks. */
const PROBE_LIMIT_MS = 15_000;

function gaveUp(error: Error): ConnectionLost {
  return new ConnectionLost(`the swarm could not be read any more: ${error.message}`, {
    cause: error,
    hint: 'Check that a manager can be reached, then run the workflow again: nothing was rolled back because of the connection.',
  });
}

export class Session {
  readonly #connect: Connect;
  readonly #docker: DockerCommand;
  readonly #trace: Trace | undefined;
  #line!: Line;
  #reconnecting: Promise<void> | undefined;
  #seeking: Promise<void> | undefined;
  /** How many wait for an answer: where nobody does, the connection stays as it is. */
  #waiting = 0;
  #closed = false;
  /** Of the swarm that the run began with; '' where no manager has said it yet. */
  #swarmId = '';
  #fence: (() => Promise<void>) | undefined;

  private constructor(connect: Connect, docker: DockerCommand, trace: Trace | undefined) {
    this.#connect = connect;
    this.#docker = docker;
    this.#trace = trace;
  }

  /**
   * @param trace takes a line for each command and request, for debug logging
   * @throws DeployError `not-a-manager`, `engine-too-old`, `docker-unavailable`, or why there is no
   *   connection
   */
  static async open(connect: Connect, docker: DockerCommand, trace?: Trace): Promise<Session> {
    const session = new Session(connect, docker, trace);
    // One without a leader is taken, too: it is waited for, and others are asked meanwhile.
    session.#line = await session.#openLine(false);
    return session;
  }

  /** From here on nothing is written to the stack before `fence` has agreed to it. */
  fence(fence: () => Promise<void>): void {
    this.#fence = fence;
  }

  async #openLine(led: boolean): Promise<Line> {
    const fence = async (): Promise<void> => this.#fence?.();
    const wanted = { led, swarmId: this.#swarmId };
    const line = await openLine(this.#connect, this.#docker, fence, this.#trace, wanted);
    if (this.#swarmId === '') this.#swarmId = line.swarmId;
    return line;
  }

  get transport(): Transport {
    return this.#line.transport;
  }
  get engine(): Engine {
    return this.#line.engine;
  }
  get engineVersion(): EngineVersion {
    return this.#line.engineVersion;
  }
  get cliVersion(): readonly [number, number] {
    return this.#line.cliVersion;
  }
  /** The manager's own name for itself. */
  get nodeName(): string {
    return this.#line.nodeName;
  }

  /**
   * Gets an answer from the swarm, however often it takes: connects again where the connection was
   * lost, and waits where the swarm has no leader or the engine is restarting. A manager that is cut
   * off from the others has none either, so that after a while those are asked. For reads, and for
   * writes that look at the state first.
   * @throws ConnectionLost when there was no answer for three minutes
   */
  async settle<T>(action: (engine: Engine) => Promise<T>, patience: Patience): Promise<T> {
    this.#waiting += 1;
    try {
      return await this.#settle(action, patience);
    } finally {
      this.#waiting -= 1;
    }
  }

  async #settle<T>(
    action: (engine: Engine) => Promise<T>,
    { clock, signal, log }: Patience,
  ): Promise<T> {
    const deadline = clock.now() + PATIENCE_MS;
    let seekAt = clock.now() + LEADERLESS_MS;
    for (;;) {
      signal.throwIfAborted();
      const line = this.#line;
      try {
        return await action(line.engine);
      } catch (error) {
        const lost = error instanceof ConnectionLost;
        // 500 and 503: no leader, or the engine is starting or stopping.
        const passing = error instanceof EngineError && error.passes;
        if (!lost && !passing) throw error;
        if (clock.now() >= deadline) throw gaveUp(error);
        log(`${lost ? 'connection lost' : 'the swarm does not answer'}: ${error.message}`);
        await clock.sleep(RETRY_MS, signal);
        // One that was demoted meanwhile: another one of the hosts may be a manager still.
        const demoted = /not a swarm manager/i.test(error.message);
        if (this.#line !== line) continue; // another one has met the same, and connected again
        if (lost || demoted) {
          // Others may have met the same loss: one connection for all of them.
          this.#reconnecting ??= this.#reconnect(deadline, { clock, signal, log }).finally(
            () => (this.#reconnecting = undefined),
          );
          await this.#reconnecting;
        } else if (clock.now() >= seekAt && this.#seeking === undefined) {
          seekAt = clock.now() + LEADERLESS_MS;
          log('looking for a manager that has a leader');
          this.#seeking = this.#seek(line, log).finally(() => (this.#seeking = undefined));
        }
      }
    }
  }

  /** Goes over to a manager that has a leader, where there is one; the line that is there stays until then. */
  async #seek(line: Line, log: (line: string) => void): Promise<void> {
    let found;
    try {
      found = await this.#openLine(true);
    } catch (error) {
      log(`there is none: ${errorLine(error)}`);
      return;
    }
    const isWanted =
      this.#waiting > 0 && this.#line === line && this.#reconnecting === undefined && !this.#closed;
    if (isWanted) this.#line = found;
    await closeLine(isWanted ? line : found);
  }

  async #reconnect(deadline: number, { clock, signal, log }: Patience): Promise<void> {
    await closeLine(this.#line);
    let told = { words: '', at: -Infinity };
    let refusedMs = REFUSED_MS;
    for (;;) {
      signal.throwIfAborted();
      try {
        this.#line = await this.#openLine(true);
        return;
      } catch (error) {
        // Even a refusal may pass here: a manager that restarts is for a while none.
        if (!(error instanceof DeployError)) throw error;
        if (error.reason === 'host-key' || clock.now() >= deadline) throw gaveUp(error);
        if (error.message !== told.words || clock.now() - told.at >= TELL_MS) {
          told = { words: error.message, at: clock.now() };
          log(`still no connection: ${error.message}`);
        }
        if (error.reason === 'auth-failed') {
          await clock.sleep(Math.min(refusedMs, deadline - clock.now()), signal);
          refusedMs *= 3;
        } else await clock.sleep(RETRY_MS, signal);
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await closeLine(this.#line);
  }
}

async function closeLine({ engine, transport }: Line): Promise<void> {
  engine.close();
  await transport.close();
}

/** What a manager has to be. */
interface Wanted {
  /** Whether it has to have a leader. */
  readonly led: boolean;
  /** '': of any swarm. */
  readonly swarmId: string;
}

async function openLine(
  connect: Connect,
  docker: DockerCommand,
  fence: () => Promise<void>,
  trace: Trace | undefined,
  wanted: Wanted,
): Promise<Line> {
  let found: Omit<Line, 'transport'> | undefined;
  const seen = (transport: Transport): Transport =>
    trace === undefined ? transport : traced(transport, trace);
  const transport = await connect(async (candidate) => {
    found = await probe(seen(candidate), docker, fence, trace, wanted);
  });
  if (found === undefined) throw new Error('connected without a check of the manager');
  return { transport: seen(transport), ...found };
}

/** Is this a manager, new enough, and one of those that are wanted? */
async function probe(
  transport: Transport,
  docker: DockerCommand,
  fence: () => Promise<void>,
  trace: Trace | undefined,
  wanted: Wanted,
): Promise<Omit<Line, 'transport'>> {
  const engine = new Engine(
    () => transport.open(dockerArgv(docker, 'system', 'dial-stdio')),
    fence,
    trace,
  );
  try {
    const asking = engine
      .negotiate()
      .catch(async (error: unknown) => {
        throw await explain(transport, docker, error);
      })
      .then(async (version) => ({ version, info: await engine.swarmInfo() }));
    const [cli, { version: engineVersion, info }] = await Promise.all([
      probeCli(transport, docker),
      asking,
    ]);
    const number = cliVersion(`version ${engineVersion.version}`);
    if (number !== undefined && !isAtLeast(number, MINIMUM_VERSION))
      throw tooOld('Docker engine', engineVersion.version, transport.description);
    if (!info.isManager) throw notAManager(transport.description, info.state, info.error);
    if (wanted.led && info.error !== '') throw leaderless(transport.description, info.error);
    const { nodeName, swarmId } = info;
    if (wanted.swarmId !== '' && swarmId !== '' && swarmId !== wanted.swarmId)
      throw stranger(transport.description);
    return { engine, engineVersion, cliVersion: cli, nodeName, swarmId };
  } catch (error) {
    engine.close();
    throw error;
  }
}

async function probeCli(
  transport: Transport,
  docker: DockerCommand,
): Promise<readonly [number, number]> {
  const result = await transport
    .run(dockerArgv(docker, '--version'), { timeoutMs: PROBE_LIMIT_MS })
    .catch((error: unknown) => {
      throw error instanceof TimedOut ? hangs(error, docker) : error;
    });
  const version = cliVersion(result.stdout.toString('utf8'));
  if (result.code !== 0 || version === undefined) throw cannotRun(transport, docker, result);
  if (!isAtLeast(version, MINIMUM_VERSION))
    throw tooOld('Docker CLI', version.join('.'), transport.description);
  return version;
}

function cannotRun(
  { description }: Transport,
  docker: DockerCommand,
  { code, stdout, stderr }: CommandResult,
): DeployError {
  const words = stderr.toString('utf8').trim() || stdout.toString('utf8', 0, 200).trim();
  // `nologin` says so on standard output, `false` says nothing.
  const hasNoShell =
    code === 1 && (words === '' || /account is (currently )?not available/i.test(words));
  const hint = /password change required/i.test(words)
    ? 'The password of the login user has expired: log in once by hand and change it, or let it never expire (`sudo chage --maxdays -1 USER`).'
    : hasNoShell
      ? 'The login user needs a shell that runs commands, not nologin or false: `sudo usermod --shell /bin/sh USER` there.'
      : docker.sudo
        ? 'The login user must be allowed to run docker by sudo without a password.'
        : 'Install Docker there, or check the PATH of non-interactive logins.';
  return new DeployError(
    'docker-unavailable',
    'invalid',
    `cannot run docker on ${description}: ${words || `exit code ${code ?? 'none'}`}`,
    { hint },
  );
}

/** The login went well and the first command does not end: there is nothing to wait for. */
const hangs = (error: TimedOut, docker: DockerCommand): DeployError =>
  new DeployError('docker-unavailable', 'invalid', error.message, {
    hint: docker.sudo
      ? 'Does sudo ask something there, or does the login shell wait in its start file?'
      : 'Does the login shell wait in its start file (.bashrc, .profile, ...), or for a home directory that does not answer?',
    cause: error,
  });

function tooOld(what: string, version: string, where: string): DeployError {
  return new DeployError(
    'engine-too-old',
    'invalid',
    `the ${what} on ${where} is ${version}; ${MINIMUM_VERSION.join('.')} or newer is needed`,
    { hint: 'Update Docker on the manager.' },
  );
}

function notAManager(where: string, state: string, error: string): DeployError {
  const detail =
    state === 'active'
      ? 'it is a worker of a swarm'
      : `it is not part of a running swarm (state: ${state}${error === '' ? '' : `, ${error}`})`;
  return new DeployError('not-a-manager', 'invalid', `${where} is not a swarm manager: ${detail}`, {
    hint: 'Give the address of a manager in the input `host`; `docker node ls` on a manager lists them.',
  });
}

/** What was begun in one swarm must not go on in another. */
const stranger = (where: string): DeployError =>
  new DeployError(
    'not-a-manager',
    'unreachable',
    `${where} is a manager of another swarm than the one that this run began with`,
    {
      hint: 'The input `host` takes managers of one swarm; deploy to another one in a step of its own.',
    },
  );

/** It asks the leader for what `GET /info` says of the swarm (moby, daemon/cluster), and gives the error. */
const leaderless = (where: string, error: string): DeployError =>
  new DeployError(
    'docker-unavailable',
    'unreachable',
    `${where} does not get an answer from the swarm's managers: ${safeLine(error)}`,
    {
      hint: 'More than half of the managers must reach each other: docker node ls on one of them.',
    },
  );

/** The engine did not answer through the CLI: the CLI's own words say why. */
async function explain(
  transport: Transport,
  docker: DockerCommand,
  error: unknown,
): Promise<unknown> {
  if (!(error instanceof ConnectionLost)) return error;
  const result = await transport.run(
    dockerArgv(docker, 'version', '--format', '{{.Server.Version}}'),
    { timeoutMs: PROBE_LIMIT_MS },
  );
  if (result.code === 0) return await chatter(transport, error);
  const words = result.stderr.toString('utf8').trim();
  return new DeployError(
    'docker-unavailable',
    'invalid',
    `the Docker engine on ${transport.description} cannot be used: ${words || error.message}`,
    {
      hint: /permission denied/i.test(words)
        ? 'Add the login user to the group `docker` there, or set the input `sudo: true`.'
        : 'Check that the engine runs there; a socket that is not the default goes into the input `docker-host`.',
      cause: error,
    },
  );
}

/** A login shell that prints something mixes it with the answers of the engine. */
async function chatter(transport: Transport, error: ConnectionLost): Promise<Error> {
  const { stdout } = await transport.run(['true'], { timeoutMs: PROBE_LIMIT_MS });
  if (stdout.length === 0) return error;
  return new DeployError(
    'docker-unavailable',
    'invalid',
    `the login shell on ${transport.description} prints text of its own, which mixes with Docker's answers: ` +
      safeLine(stdout.toString('utf8', 0, 200)),
    {
      hint: 'Its start file (.bashrc, .profile, config.fish, ...) must print nothing for logins that are not interactive; in .bashrc: [[ $- == *i* ]] || return',
      cause: error,
    },
  );
}
