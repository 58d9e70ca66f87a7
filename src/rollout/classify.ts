/** What the error of a task means: a stable reason, and whether it can heal by trying again. */
import type { Reason } from '../errors.js';
import { at, type ServiceSpec, type Task } from '../model.js';
import { causeOf } from './causes.js';

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

/** Docker says nothing of a task that ended `complete`: all of these look the same (tried). */
const ENDED =
  'the process ended (exit code 0), but the service is meant to keep running; ' +
  'a container that fails its healthcheck and stops in good order ends so, too, ' +
  'and so does one whose node had its Docker engine killed';

/** The engine's own words for a container that its restart has removed. */
const NO_CONTAINER = /no such container/i;
const LOST = 'its node lost the container, as when its Docker engine is restarted';

/** What is known of a task beside itself. */
export interface Circumstances {
  /** Jobs and tasks that are never restarted get the reason `job-failed`. */
  readonly job: boolean;
  /** Swarm does not replace this task: its failure cannot heal. */
  readonly final: boolean;
  /** The registry says that it has no such image. */
  readonly imageless: boolean;
}

function memoryIsLimited(spec: ServiceSpec): boolean {
  return Boolean(at(spec, 'TaskTemplate', 'Resources', 'Limits', 'MemoryBytes'));
}

/**
 * Why a task that ended has ended.
 * @param spec the spec the task was made from
 */
export function classify(
  task: Task,
  service: string,
  spec: ServiceSpec,
  { job, final, imageless }: Circumstances,
): Failure {
  const error = task.Status.Err ?? '';
  // A rejected task never ran, and the engine gives it an exit code of 0 all the same.
  const exitCode =
    task.Status.State === 'rejected' ? undefined : task.Status.ContainerStatus?.ExitCode;
  const { reason, effect } = causeOf({
    error,
    rejected: task.Status.State === 'rejected',
    exitCode,
    memoryLimited: memoryIsLimited(spec),
    job,
    imageless,
  });
  return {
    taskId: task.ID,
    service,
    ...(task.Slot === undefined ? {} : { slot: task.Slot }),
    ...(task.NodeID === undefined || task.NodeID === '' ? {} : { nodeId: task.NodeID }),
    reason,
    fatal: effect === 'fatal' || final,
    error: wordsOf(task.Status),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(task.Status.Timestamp === undefined ? {} : { timestamp: task.Status.Timestamp }),
  };
}

function wordsOf({ State, Err = '', Message = State }: Task['Status']): string {
  if (Err === '') return State === 'complete' ? ENDED : Message;
  return NO_CONTAINER.test(Err) ? `${Err} (${LOST})` : Err;
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
