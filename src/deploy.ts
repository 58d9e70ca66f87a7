/** Logging into registries, and `docker stack deploy`: the one step that stays a command of the Docker CLI. */
import type { RenderedStack } from './compose/render.js';
import {
  deployFailure,
  dockerArgv,
  engineUnreachable,
  engineWentAway,
  isLeaderless,
  isTransientDeployError,
  loginFailure,
  portHolder,
  stackDeployArgs,
  withoutVariables,
  type DockerCommand,
} from './docker/cli.js';
import { EngineError, type Engine } from './docker/engine.js';
import { authConfig, registryName, type AcceptedLogin } from './docker/registry.js';
import { runInWorkspace, UNWRITTEN, type Workspace } from './docker/workspace.js';
import { ConnectionLost, DeployError, TimedOut, type Reason } from './errors.js';
import type { Inputs, RegistryLogin } from './inputs.js';
import type { Narrator } from './report/narrator.js';
import { safeLine, spokenTime } from './report/text.js';
import type { Clock } from './rollout/watch.js';
import type { Session } from './session.js';
import type { CommandResult } from './transport/transport.js';

interface Surroundings {
  readonly narrator: Narrator;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const LOGIN_ATTEMPTS = 3;
/** The engine gives a registry 15 s for each of two requests (moby, registry/auth.go). */
const LOGIN_TIMEOUT_MS = 30_000;
const DEPLOY_ATTEMPTS = 8;
const RETRY_MS = 1000;
const MAX_RETRY_MS = 5000;

/**
 * How long the engine may go on with a request whose client is gone: 20 s for the digest of an image
 * and 20 s for the write (moby, daemon/cluster: swarmRequestTimeout).
 */
export const ENGINE_GRACE_MS = 45_000;
const TOO_LONG = {
  reason: 'timeout',
  message: 'docker stack deploy did not end within the timeout',
  hint: 'Does the engine answer? Is a registry slow to answer for the digest of an image?',
  begun: true,
} as const;

/**
 * Has the engine log into every registry. `docker login` would do the same, start a process for it, and
 * might leave the password with a credential helper of the manager.
 * @throws DeployError `registry-auth` or `registry-unreachable`
 * @throws ConnectionLost when it is the manager that does not answer any more
 */
export async function logIn(
  engine: Engine,
  logins: readonly RegistryLogin[],
  { narrator, clock, signal }: Surroundings,
): Promise<readonly AcceptedLogin[]> {
  const accepted: AcceptedLogin[] = [];
  for (const login of logins) {
    const name = registryName(login);
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      const result = await tryLogin(engine, login, signal);
      if ('identityToken' in result) {
        accepted.push(result);
        break;
      }
      const { reason, transient } = loginFailure(result.words);
      if (!transient || attempt === LOGIN_ATTEMPTS)
        throw new DeployError(
          reason,
          'invalid',
          `cannot log into ${name} as ${login.username}: ${result.words}`,
          {
            hint:
              reason === 'registry-auth'
                ? 'Check `registry-username` and `registry-password`; the token may have expired or lack the right to pull.'
                : `Check that the manager can reach ${name}, and that the input \`registry\` names it right.`,
          },
        );
      narrator.say(`login to ${name} failed (${result.words}); trying again`);
      await clock.sleep(RETRY_MS * attempt, signal);
    }
    narrator.say(`logged into ${name} as ${login.username}`);
  }
  return accepted;
}

/** A refusal is an answer too: it is not the connection that has to be mended. */
async function tryLogin(
  engine: Engine,
  login: RegistryLogin,
  signal: AbortSignal,
): Promise<AcceptedLogin | { readonly words: string }> {
  try {
    return {
      login,
      identityToken: await engine.logIn(authConfig(login), LOGIN_TIMEOUT_MS, signal),
    };
  } catch (error) {
    if (error instanceof TimedOut)
      return { words: `no answer within ${spokenTime(LOGIN_TIMEOUT_MS)}` };
    if (error instanceof EngineError) return { words: safeLine(error.message) };
    throw error;
  }
}

export interface Deployed {
  /** Set when the command failed; it may have written some services all the same. */
  readonly failure?: {
    readonly reason: Reason;
    readonly message: string;
    readonly hint: string;
    /** Not refused as a whole: it may have written something, somewhere. */
    readonly begun?: true;
  };
  /** It took more than one attempt, so that services may have been written more than once. */
  readonly repeated?: boolean;
}

/**
 * Runs `docker stack deploy`, again where what failed goes away by itself: the command changes
 * nothing that is already as the files say, so repeating it is safe.
 */
export async function deployStack(
  session: Pick<Session, 'transport' | 'cliVersion'>,
  {
    inputs,
    rendered,
    workspace,
    mayWrite,
    wasWritten,
    until,
  }: {
    readonly inputs: Inputs;
    readonly rendered: RenderedStack;
    /** Where the files lie: after a fail-over, on another manager. */
    readonly workspace: () => Workspace;
    /** Throws where the stack is not this run's to write any more. */
    readonly mayWrite: () => Promise<void>;
    /**
     * After a lost connection: connects again, and makes ready for the command to be repeated.
     * @returns true where there is no need, because every service has been written
     */
    readonly wasWritten: (loss: ConnectionLost) => Promise<boolean>;
    /** When the time for the whole rollout is over, where it runs already. */
    readonly until?: number | undefined;
  },
  { narrator, clock, signal }: Surroundings,
): Promise<Deployed> {
  const deadline = until ?? clock.now() + inputs.watch.timeoutMs;
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    await mayWrite();
    const place = workspace();
    const printer = linePrinter(narrator);
    let result;
    try {
      result = await runInWorkspace(
        session.transport,
        place,
        deployArgv(inputs, rendered, place, session.cliVersion),
        { timeoutMs: Math.max(1, deadline - clock.now()), onOutput: printer.push },
        signal,
      );
    } catch (error) {
      if (error instanceof TimedOut) {
        narrator.say('docker stack deploy takes too long and was stopped');
        await clock.sleep(ENGINE_GRACE_MS, signal);
        return { failure: TOO_LONG, repeated: attempt > 1 };
      }
      if (!(error instanceof ConnectionLost)) throw error;
      // The command may have ended, gone on or stopped half-way: the swarm itself has to say.
      if (attempt === DEPLOY_ATTEMPTS) throw error;
      if (await wasWritten(error)) return { repeated: attempt > 1 };
      narrator.say('the stack was not deployed in full; repeating the command');
      continue;
    }
    printer.end();
    const repeated = attempt > 1;
    if (result.code === 0) return { repeated };
    const words = result.stderr.toString('utf8').trim();
    const away = engineWentAway(words);
    if ((away || isLeaderless(words)) && attempt < DEPLOY_ATTEMPTS) {
      const what = away ? 'went away' : 'does not get an answer from the managers';
      const loss = new ConnectionLost(
        `the engine of ${session.transport.description} ${what}: ${saidIn(words)}`,
      );
      if (await wasWritten(loss)) return { repeated };
      narrator.say('the stack was not deployed in full; repeating the command');
      await clock.sleep(RETRY_MS, signal);
      continue;
    }
    const holder = portHolder(words);
    const ofStack = holder?.startsWith(`${inputs.stack}_`) === true;
    const moves = ofStack && rendered.services.has(holder.slice(inputs.stack.length + 1));
    if (!(isTransientDeployError(words) || moves) || attempt === DEPLOY_ATTEMPTS) {
      const failure = explain(words, result);
      return {
        failure: ofStack && !moves ? { ...failure, hint: stays(holder) } : failure,
        repeated,
      };
    }
    narrator.say(`that passes by itself; trying again (${attempt} of ${DEPLOY_ATTEMPTS - 1})`);
    await clock.sleep(Math.min(RETRY_MS * attempt, MAX_RETRY_MS), signal);
  }
}

function deployArgv(
  inputs: Inputs,
  rendered: RenderedStack,
  workspace: Workspace,
  version: readonly [number, number],
): readonly string[] {
  const docker: DockerCommand =
    inputs.registries.length === 0
      ? inputs.docker
      : { ...inputs.docker, configDirectory: `${workspace.path}/docker` };
  return withoutVariables(
    dockerArgv(
      docker,
      ...stackDeployArgs({
        stack: inputs.stack,
        files: rendered.files.map(({ name }) => `${workspace.path}/${name}`),
        version,
        withRegistryAuth: inputs.withRegistryAuth,
        resolveImage: inputs.resolveImage,
      }),
    ),
    rendered.mustBeUnset,
  );
}

function explain(words: string, { code, signal }: CommandResult): NonNullable<Deployed['failure']> {
  const said = saidIn(words);
  const ofTheManager =
    said === '' ||
    engineUnreachable(words) ||
    diskFull(words) ||
    bySudo(words) ||
    ofAContext(words) ||
    seesNothing(words);
  const reason: Reason = ofTheManager ? 'docker-unavailable' : deployFailure(words);
  const end = code === null ? `it was ended by ${signal ?? 'a signal'}` : `exit code ${code}`;
  return {
    reason,
    message: `docker stack deploy failed: ${said || end}`,
    hint: said === '' ? KILLED : hintFor(reason, words),
  };
}

/** As where a service was renamed, which is another one to the swarm. */
const stays = (holder: string): string =>
  `${holder} is not in these stack files, and has the port. What is no longer in them is removed once everything ` +
  'else is well (prune: true), which here it cannot be. If it is the former name of a service: ' +
  `docker service rm ${holder}, then run this again.`;

/** Docker itself always says why. */
const KILLED =
  'Something on the manager has ended it: look at its memory (`dmesg` tells of processes that were killed for it).';

/** The lines of the command that say what went wrong, as one. */
function saidIn(words: string): string {
  const lines = words.split('\n').filter((line) => !/^(Ignoring|Updating|Creating)\b/.test(line));
  return safeLine(lines.join(' '));
}

/** Of the shell that writes the logins, or of the engine. */
const diskFull = (words: string): boolean =>
  words.includes(UNWRITTEN) || /no space left on device|disk quota exceeded/i.test(words);

/** sudo refuses this command, though it let others through. */
const bySudo = (words: string): boolean =>
  /^sudo: |^Sorry, user \S+ (?:is not allowed to execute|may not run sudo)/m.test(words);

/** The login's environment names one (`DOCKER_CONTEXT`), which a configuration directory of its own has not got. */
const ofAContext = (words: string): boolean =>
  /unable to resolve docker endpoint: context/i.test(words);

/** What was just written, and is not there for Docker's client: one from a snap has a /tmp of its own. */
const seesNothing = (words: string): boolean =>
  /open \S*\/swarm-deploy-[0-9a-f]{32}\/\S+: (?:no such file or directory|permission denied)/.test(
    words,
  );

function hintFor(reason: Reason, words: string): string {
  if (seesNothing(words))
    return 'Docker there does not see the directory of this run, as one that was installed as a snap does not see /tmp: install the packages of Docker instead, or have TMPDIR be a directory that it sees, as by `export TMPDIR=$HOME/tmp` in the first line of .bashrc of the login user.';
  if (diskFull(words))
    return 'A disk of the manager is full: make room in /tmp (or TMPDIR) and below /var/lib/docker there, then run this again.';
  if (bySudo(words))
    return 'The login user must be allowed to run `docker stack deploy` by sudo without a password; the threat model has the lines.';
  if (ofAContext(words))
    return 'The environment of the login names a Docker context (DOCKER_CONTEXT), and a registry login has settings of its own: set docker-host to the socket of the engine that is meant.';
  if (/not a swarm manager/i.test(words))
    return 'Was it demoted? Or do Docker settings of the login user lead to another engine (`docker context`, DOCKER_HOST)? Then set docker-host.';
  if (reason === 'docker-unavailable')
    return 'Look at the managers, on one of them: docker node ls. More than half of them must be reachable, and not overloaded.';
  if (/mode change is not allowed/i.test(words))
    return 'Swarm changes the mode of no service (replicated, global, a job): remove the one that is there (docker service rm), then run this again.';
  return /only updates to Labels are allowed/i.test(words)
    ? 'A config or secret cannot change its content under the same name: give it a new name.'
    : 'The message is from Docker on the manager; correct what it names in the stack files.';
}

/** Prints whole lines of output as they come. */
function linePrinter(narrator: Narrator): {
  readonly push: (chunk: Buffer) => void;
  readonly end: () => void;
} {
  let rest = '';
  const print = (line: string): void => {
    const safe = safeLine(line);
    if (safe !== '') narrator.say(`docker: ${safe}`);
  };
  return {
    push: (chunk) => {
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      lines.forEach(print);
    },
    end: () => print(rest),
  };
}
