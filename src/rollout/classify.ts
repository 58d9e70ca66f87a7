/**
 * What the error of a task means: a stable reason, and whether it can heal by trying again. The
 * table is the single source; docs/reasons.md repeats it.
 */
import type { Reason } from '../errors.js';
import { at, type ServiceSpec, type Task } from '../model.js';

export interface Failure {
  readonly taskId: string;
  readonly service: string;
  readonly slot?: number;
  readonly nodeId?: string;
  readonly reason: Reason;
  /** Trying again cannot help: the rollout is doomed by this one task. */
  readonly fatal: boolean;
  /** Docker's own words, in full. */
  readonly error: string;
  readonly exitCode?: number;
  /** RFC 3339, on the clock of the node that ran the task. */
  readonly timestamp?: string;
}

interface Rule {
  readonly pattern: RegExp;
  readonly reason: Reason;
  /** `counted`: another node or attempt may do better; `max-failures` decides. */
  readonly effect: 'fatal' | 'counted';
}

/** Docker says nothing of a task that ended `complete`; it may have been stopped as unhealthy (tried). */
const ENDED =
  'the process ended (exit code 0), but the service is meant to keep running; ' +
  'a container that fails its healthcheck and stops in good order ends so, too';

/** First match wins. Patterns are the words of moby's executor and of runc, 20.10 to 28. */
export const RULES: readonly Rule[] = [
  { pattern: /unhealthy container/i, reason: 'unhealthy', effect: 'counted' },
  {
    pattern: /pull access denied|unauthorized|no basic auth credentials|authentication required/i,
    reason: 'registry-auth',
    effect: 'counted',
  },
  {
    pattern: /no such image|manifest unknown|manifest for .* not found/i,
    reason: 'image-not-found',
    effect: 'counted',
  },
  { pattern: /exec format error/i, reason: 'exec-format', effect: 'fatal' },
  {
    pattern: /executable file not found|exec: .*(no such file or directory|permission denied)/i,
    reason: 'command-not-found',
    effect: 'fatal',
  },
  {
    pattern: /invalid mount config|bind source path does not exist|error while mounting volume/i,
    reason: 'mount-invalid',
    effect: 'counted',
  },
  {
    pattern: /port is already allocated|address already in use/i,
    reason: 'port-in-use',
    effect: 'counted',
  },
  {
    // Includes `Pool overlaps with other one`, which is transient after another stack's removal.
    pattern: /network .* not found|invalid pool request|could not find (plugin|network)/i,
    reason: 'network-unavailable',
    effect: 'counted',
  },
];

/**
 * An image that the manager could not resolve either: Swarm writes the digest into the spec when
 * the registry answers, so a reference without one that a node cannot pull is not there.
 */
function digestMissing(spec: ServiceSpec): boolean {
  const image = at(spec, 'TaskTemplate', 'ContainerSpec', 'Image');
  return typeof image === 'string' && !image.includes('@');
}

function memoryIsLimited(spec: ServiceSpec): boolean {
  return Boolean(at(spec, 'TaskTemplate', 'Resources', 'Limits', 'MemoryBytes'));
}

/**
 * Why a task that ended has ended.
 * @param spec the spec the task was made from
 * @param isJob jobs and tasks that are never restarted get the reason `job-failed`
 * @param final Swarm does not replace this task: its failure cannot heal
 */
export function classify(
  task: Task,
  service: string,
  spec: ServiceSpec,
  isJob: boolean,
  final: boolean,
): Failure {
  const error = task.Status.Err ?? '';
  // A rejected task never ran, and the engine gives it an exit code of 0 all the same.
  const exitCode =
    task.Status.State === 'rejected' ? undefined : task.Status.ContainerStatus?.ExitCode;
  const rule = RULES.find(({ pattern }) => pattern.test(error));
  let reason: Reason =
    rule?.reason ?? (task.Status.State === 'rejected' ? 'task-rejected' : 'crash-loop');
  let fatal = rule?.effect === 'fatal' || final;
  if (reason === 'image-not-found' && digestMissing(spec)) fatal = true;
  // The engine tells nobody that the kernel's OOM killer did it; under a limit, 137 says so.
  if (reason === 'crash-loop' && exitCode === 137 && memoryIsLimited(spec))
    reason = 'out-of-memory';
  if (reason === 'crash-loop' && isJob) reason = 'job-failed';
  return {
    taskId: task.ID,
    service,
    ...(task.Slot === undefined ? {} : { slot: task.Slot }),
    ...(task.NodeID === undefined || task.NodeID === '' ? {} : { nodeId: task.NodeID }),
    reason,
    fatal,
    error:
      error !== ''
        ? error
        : task.Status.State === 'complete'
          ? ENDED
          : (task.Status.Message ?? task.Status.State),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(task.Status.Timestamp === undefined ? {} : { timestamp: task.Status.Timestamp }),
  };
}

/** What an exit code means, where it is more than the application's own choice. */
export function exitCodeMeaning(code: number): string | undefined {
  switch (code) {
    case 0:
      return 'ended by itself';
    case 126:
      return 'the command cannot be executed';
    case 127:
      return 'command not found';
    case 134:
      return 'aborted (SIGABRT)';
    case 137:
      return 'killed (SIGKILL): out of memory, or did not stop in time';
    case 139:
      return 'segmentation fault (SIGSEGV)';
    case 143:
      return 'terminated (SIGTERM)';
    default:
      return undefined;
  }
}
