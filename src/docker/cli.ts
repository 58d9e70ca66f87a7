/** The Docker CLI as data: argument vectors out, its messages read. */
import type { Reason } from '../errors.js';

/** How the CLI is called on the manager. */
export interface DockerCommand {
  readonly sudo: boolean;
  /** The engine's socket, where it is not the default. */
  readonly host?: string;
  /** The configuration directory of this run, where it has logins of its own. */
  readonly configDirectory?: string;
}

/** 20.10: the first with jobs, `GET /services?status` and all that a verdict reads. */
export const MINIMUM_VERSION = [20, 10] as const;
/** `stack deploy --detach` exists from this CLI on; before, it never waited. */
const DETACH_VERSION = [26, 0] as const;

/**
 * The argument vector of a docker command. Options instead of environment variables, because sudo
 * passes no environment on.
 */
export function dockerArgv(command: DockerCommand, ...args: readonly string[]): readonly string[] {
  const { sudo, host, configDirectory } = command;
  return [
    ...(sudo ? ['sudo', '-n'] : []),
    'docker',
    ...(configDirectory === undefined ? [] : ['--config', configDirectory]),
    ...(host === undefined ? [] : ['--host', host.startsWith('/') ? `unix://${host}` : host]),
    ...args,
  ];
}

/** Without these a program is not found, or not its configuration. */
const NEEDED_VARIABLES = new Set(['PATH', 'HOME']);

/** Runs a command without some variables, whatever their names are; sudo passes none on anyway. */
export function withoutVariables(
  argv: readonly string[],
  names: readonly string[],
): readonly string[] {
  const unset = names.filter((name) => !NEEDED_VARIABLES.has(name));
  return unset.length === 0 ? argv : ['env', ...unset.flatMap((name) => ['-u', name]), ...argv];
}

/** `[major, minor]` from `Docker version 28.2.2, build e6534b4`, or undefined. */
export function cliVersion(output: string): readonly [number, number] | undefined {
  const match = /version v?(\d+)\.(\d+)/.exec(output);
  return match === null ? undefined : [Number(match[1]), Number(match[2])];
}

export function isAtLeast(
  version: readonly [number, number],
  minimum: readonly [number, number],
): boolean {
  return version[0] > minimum[0] || (version[0] === minimum[0] && version[1] >= minimum[1]);
}

export function stackDeployArgs(options: {
  readonly stack: string;
  readonly files: readonly string[];
  readonly version: readonly [number, number];
  readonly withRegistryAuth: boolean;
  readonly resolveImage: string;
}): readonly string[] {
  return [
    'stack',
    'deploy',
    ...options.files.flatMap((file) => ['--compose-file', file]),
    ...(options.withRegistryAuth ? ['--with-registry-auth'] : []),
    '--resolve-image',
    options.resolveImage,
    ...(isAtLeast(options.version, DETACH_VERSION) ? ['--detach=true'] : []),
    options.stack,
  ];
}

/**
 * Why a login failed, and whether trying again can help.
 * @param words of the engine
 */
export function loginFailure(words: string): {
  readonly reason: Reason;
  readonly transient: boolean;
} {
  // The registry's answer, as the engine quotes it: `unauthorized: incorrect username or password`,
  // `denied: ...`, or the bare status for registries that answer without a body.
  if (/unauthorized|denied|401|403|incorrect username|authentication required/i.test(words))
    return { reason: 'registry-auth', transient: false };
  return { reason: 'registry-unreachable', transient: true };
}

/**
 * The managers do not agree in time: they are too busy, too few of them are left, or another one
 * has just become their leader (swarmkit, manager/state/raft; moby, daemon/cluster). Or this one is none any
 * more, which the CLI says before it writes anything, and the engine at any time.
 */
const UNAVAILABLE =
  /DeadlineExceeded|swarm does not have a leader|lost leader status|code = Unavailable|manager is being prepared or has trouble connecting|not a swarm manager/i;

/**
 * Errors of `stack deploy` that go away by themselves: a write that lost against another one, networks that
 * a `stack rm` just before has not finished removing (moby#39891, tried), and an engine that restarts (tried).
 */
export function isTransientDeployError(stderr: string): boolean {
  return (
    /update out of sequence/i.test(stderr) ||
    /network \S+ not found/i.test(stderr) ||
    /network with name \S+ already exists/i.test(stderr) ||
    /has active endpoints/i.test(stderr) ||
    /cannot connect to the docker daemon/i.test(stderr)
  );
}

/**
 * The service that has a published port which another one was refused for. The command writes the services of a
 * stack in no order (docker/cli, deployServices): a port that moves from one to another is refused where its new
 * owner comes first (tried; swarmkit manager/controlapi/service.go, checkPortConflicts).
 */
export const portHolder = (words: string): string | undefined =>
  /port '\d+' is already in use by service '([^']+)'/.exec(words)?.[1];

/** The managers did not agree to what was asked for: some of it may have been done, or may yet be. */
export const isLeaderless = (stderr: string): boolean => UNAVAILABLE.test(stderr);

/**
 * The engine went away while the CLI spoke to it (docker/cli and moby, client): what it was asked for
 * last, it may have done. Not where it refuses whoever asks.
 */
export function engineWentAway(stderr: string): boolean {
  if (/permission denied/i.test(stderr)) return false;
  return /error during connect:|cannot connect to the docker daemon|^unexpected EOF$/im.test(
    stderr,
  );
}

/** What `stack deploy` says went wrong: an error in the files, or a refusal by the engine. */
export function deployFailure(stderr: string): Reason {
  if (UNAVAILABLE.test(stderr)) return 'docker-unavailable';
  return /error response from daemon|rpc error|failed to (create|update)|declared as external/i.test(
    stderr,
  )
    ? 'deploy-refused'
    : 'compose-invalid';
}

/** The engine cannot be reached from the CLI, in the CLI's words. */
export function engineUnreachable(stderr: string): boolean {
  return /cannot connect to the docker daemon|permission denied.*docker|docker\.sock|is the docker daemon running/i.test(
    stderr,
  );
}
