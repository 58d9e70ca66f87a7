/**
 * What makes a rollout fail, and how much of it that takes. The one table of it: `classify` judges
 * tasks by it, and scripts/docs.mjs writes it into docs/reasons.md.
 */
import type { Reason } from '../errors.js';

/**
 * `fatal`: ends the rollout at once, since trying again cannot help. `counted`: another node or
 * attempt may do better; `max-failures` of one service end it. The others are tolerated until the
 * input of that name is over.
 */
export type Effect = 'fatal' | 'counted' | 'progress-timeout' | 'timeout';

export interface Cause {
  /** What it looks like; markdown. */
  readonly sign: string;
  /** Undefined: the reason of the task that failed. */
  readonly reason: Reason | undefined;
  readonly effect: Effect;
}

/** What is known of a task that has failed. */
export interface Facts {
  /** Docker's own words. */
  readonly error: string;
  /** It never ran. */
  readonly rejected: boolean;
  readonly exitCode: number | undefined;
  readonly memoryLimited: boolean;
  /** It belongs to a job, or is never restarted. */
  readonly job: boolean;
  /** The registry says that it has no such image. */
  readonly imageless: boolean;
}

export interface TaskCause extends Cause {
  readonly reason: Reason;
  readonly effect: 'fatal' | 'counted';
  /** Words of moby's executor or of runc, 20.10 to 28; absent: any. */
  readonly pattern?: RegExp;
  /** What must be so besides. */
  readonly where?: (facts: Facts) => boolean;
}

/** Of a node that could not pull an image, for whatever reason. */
export const NO_IMAGE = /no such image|manifest unknown|manifest for .* not found/i;

const CRASHED: TaskCause = { sign: 'anything else', reason: 'crash-loop', effect: 'counted' };

/** Why one task has failed; the first match wins. */
export const TASK_CAUSES: readonly TaskCause[] = [
  {
    sign: '`unhealthy container`',
    pattern: /unhealthy container/i,
    reason: 'unhealthy',
    effect: 'counted',
  },
  {
    sign: '`pull access denied`, `unauthorized`, `no basic auth credentials`, `authentication required`',
    pattern: /pull access denied|unauthorized|no basic auth credentials|authentication required/i,
    reason: 'registry-auth',
    effect: 'counted',
  },
  {
    sign: '`No such image`, `manifest unknown`, `manifest for ... not found`, and the registry, asked by the manager, has no such image',
    pattern: NO_IMAGE,
    where: ({ imageless }) => imageless,
    reason: 'image-not-found',
    effect: 'fatal',
  },
  {
    sign: 'the same, and the registry has it, or does not answer',
    pattern: NO_IMAGE,
    reason: 'image-not-found',
    effect: 'counted',
  },
  {
    sign: '`exec format error`',
    pattern: /exec format error/i,
    reason: 'exec-format',
    effect: 'fatal',
  },
  {
    sign: '`executable file not found`, `exec: ... no such file or directory`, `exec: ... permission denied`',
    pattern: /executable file not found|exec: .*(no such file or directory|permission denied)/i,
    reason: 'command-not-found',
    effect: 'fatal',
  },
  {
    sign: '`invalid mount config`, `bind source path does not exist`, `error while mounting volume`',
    pattern: /invalid mount config|bind source path does not exist|error while mounting volume/i,
    reason: 'mount-invalid',
    effect: 'counted',
  },
  {
    sign: '`port is already allocated`, `address already in use`',
    pattern: /port is already allocated|address already in use/i,
    reason: 'port-in-use',
    effect: 'counted',
  },
  {
    sign: '`network ... not found`, `invalid pool request`, `could not find plugin` or `network`',
    // Includes `Pool overlaps with other one`, which is transient after another stack's removal.
    pattern: /network .* not found|invalid pool request|could not find (plugin|network)/i,
    reason: 'network-unavailable',
    effect: 'counted',
  },
  {
    sign: '`No such container`: its engine was restarted, or somebody removed the container',
    pattern: /no such container/i,
    reason: 'task-rejected',
    effect: 'counted',
  },
  {
    sign: 'anything else, rejected before it ran; or `starting container failed`',
    where: ({ rejected, error }) => rejected || /starting container failed/i.test(error),
    reason: 'task-rejected',
    effect: 'counted',
  },
  {
    sign: 'anything else, with exit code 137 under a memory limit',
    // The engine tells nobody that the kernel's OOM killer did it; under a limit, 137 says so.
    where: ({ exitCode, memoryLimited }) => exitCode === 137 && memoryLimited,
    reason: 'out-of-memory',
    effect: 'counted',
  },
  {
    sign: 'anything else, of a job or of a one-shot task with `restart_policy` `none`',
    where: ({ job }) => job,
    reason: 'job-failed',
    effect: 'counted',
  },
  CRASHED,
];

export function causeOf(facts: Facts): TaskCause {
  return (
    TASK_CAUSES.find(
      ({ pattern, where }) =>
        (pattern === undefined || pattern.test(facts.error)) &&
        (where === undefined || where(facts)),
    ) ?? CRASHED
  );
}

/** What no failed task says by itself; `observe` sees it in the service, or in what does not happen. */
export const SERVICE_CAUSES: readonly Cause[] = [
  {
    sign:
      'Swarm does not replace the task that failed: `restart_policy` is `none`, or `on-failure` and ' +
      'the exit code 0, or its `max_attempts` are used up',
    reason: undefined,
    effect: 'fatal',
  },
  { sign: 'Swarm paused the update', reason: 'update-paused', effect: 'fatal' },
  { sign: 'Swarm rolled the service back', reason: 'rolled-back-by-swarm', effect: 'fatal' },
  {
    sign:
      'the new tasks of an update with `order: start-first` wait for a host-mode port that the former ' +
      'ones hold on every node in question, none of them on its way out, for 5 s',
    reason: 'host-port-deadlock',
    effect: 'fatal',
  },
  {
    sign:
      'the same with the room that `max_replicas_per_node` leaves; or all that is left of a global ' +
      "service's former version is on paused nodes, for 5 s",
    reason: 'unschedulable',
    effect: 'fatal',
  },
  {
    sign: 'a task fits no node for another reason: `no suitable node (...)`',
    reason: 'unschedulable',
    effect: 'progress-timeout',
  },
  {
    sign: 'anything else, and nothing moves forward',
    reason: 'progress-timeout',
    effect: 'progress-timeout',
  },
  { sign: 'it moves, but never comes to its end', reason: 'timeout', effect: 'timeout' },
];
