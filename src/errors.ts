/**
 * The error vocabulary. Every way a run can end badly has one stable slug (`reason`), one outcome
 * that it leads to, and a sentence on what to do (`hint`). Expected ends of a rollout are values
 * (`Verdict`); these errors are for what could not be done.
 */

/** Stable slugs of the `reason` output. Documented in docs/reasons.md; a test keeps both equal. */
export const REASONS = [
  'image-not-found',
  'registry-auth',
  'registry-unreachable',
  'crash-loop',
  'unhealthy',
  'out-of-memory',
  'unschedulable',
  'exec-format',
  'command-not-found',
  'mount-invalid',
  'network-unavailable',
  'port-in-use',
  'host-port-deadlock',
  'task-rejected',
  'update-paused',
  'rolled-back-by-swarm',
  'job-failed',
  'verify-failed',
  'progress-timeout',
  'timeout',
  'deploy-refused',
  'compose-invalid',
  'variable-unset',
  'input-invalid',
  'auth-failed',
  'host-key',
  'not-a-manager',
  'engine-too-old',
  'docker-unavailable',
  'connection-lost',
  'locked',
  'no-such-revision',
  'revision-incomplete',
  'superseded',
  'cancelled',
  'internal',
] as const;
export type Reason = (typeof REASONS)[number];

/** Values of the `outcome` output that end the step green. */
export const GREEN_OUTCOMES = ['deployed', 'unchanged', 'planned', 'reported', 'removed'] as const;
/** Values of the `outcome` output that end the step red. */
export const RED_OUTCOMES = [
  'rolled-back',
  'rollback-failed',
  'failed',
  'superseded',
  'cancelled',
  'locked',
  'unreachable',
  'invalid',
] as const;
export type Outcome = (typeof GREEN_OUTCOMES)[number] | (typeof RED_OUTCOMES)[number];

/** Where in a file of the user's a problem lies; line and column count from 1. */
export interface Position {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
}

/** Something that could not be done, told so that the user can act on it. */
export class DeployError extends Error {
  readonly reason: Reason;
  /** The outcome the run ends with, if this error ends it. */
  readonly outcome: Outcome;
  /** What the user can do about it. */
  readonly hint?: string;
  readonly position?: Position;

  constructor(
    reason: Reason,
    outcome: Outcome,
    message: string,
    details: { hint?: string; position?: Position; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'DeployError';
    this.reason = reason;
    this.outcome = outcome;
    if (details.hint !== undefined) this.hint = details.hint;
    if (details.position !== undefined) this.position = details.position;
  }
}

/** A problem in the user's input; several are collected and reported together. */
export interface Problem {
  readonly reason: Reason;
  readonly message: string;
  readonly hint?: string;
  readonly position?: Position;
  /** The line of the file with a caret under the column. */
  readonly excerpt?: string;
}

/** For a line that has no place of its own for what can be done. */
export const withMend = ({ message, hint }: Problem): string =>
  hint === undefined ? message : `${message}. ${hint}`;

const withExcerpt = ({ message, excerpt }: Problem): string =>
  excerpt === undefined ? message : `${message}\n${excerpt}`;

/** Every bad input or file problem found, at once; nothing was connected or touched. */
export class InvalidInput extends DeployError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly [Problem, ...Problem[]]) {
    const [first] = problems;
    super(
      first.reason,
      'invalid',
      problems.length === 1
        ? withExcerpt(first)
        : `${problems.length} problems:\n${problems.map((p) => `- ${withExcerpt(p)}`).join('\n')}`,
      {
        ...(first.hint === undefined ? {} : { hint: first.hint }),
        ...(first.position === undefined ? {} : { position: first.position }),
      },
    );
    this.name = 'InvalidInput';
    this.problems = problems;
  }
}

/**
 * The connection ended before an answer came. Says nothing about what the other side did: a caller
 * reads the state back before it concludes anything or repeats a write.
 */
export class ConnectionLost extends DeployError {
  constructor(message: string, details: { hint?: string; cause?: unknown } = {}) {
    super('connection-lost', 'unreachable', message, details);
    this.name = 'ConnectionLost';
  }
}

/**
 * A command that did not end in the time it was given. The connection may be well, and the command
 * may still be running on the other side.
 */
export class TimedOut extends ConnectionLost {
  constructor(message: string, details: { hint?: string; cause?: unknown } = {}) {
    super(message, details);
    this.name = 'TimedOut';
  }
}
