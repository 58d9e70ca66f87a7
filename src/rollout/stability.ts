/** How long a rollout has to hold before it counts, and which tasks need not prove themselves. */
import {
  at,
  kindOf,
  monitorMs,
  isJob,
  restartCondition,
  sameJson,
  type JsonObject,
  type Service,
  type ServiceSpec,
  type Snapshot,
  type Task,
} from '../model.js';
import type { Changes } from '../plan.js';
import { hasFailed } from './observe.js';
import { placeOf, standing } from './standing.js';

const MIN_STABLE_MS = 5000;
/** A task that has run for this long has shown that it can, however long ago it was created. */
const SETTLED_MS = 30_000;
/** Failures younger than this say that a service is not well now. */
const RECENT_MS = 120_000;

/**
 * `auto` is the longest monitor of what changed: how long Swarm itself would count a failure. Where
 * tasks of the very spec have failed just before, a few good seconds prove nothing.
 * @param asked milliseconds, or `auto`
 * @returns milliseconds
 */
export function stableForMs(
  asked: number | 'auto',
  { targets }: Pick<Changes, 'targets'>,
  before: Snapshot,
): number {
  if (asked !== 'auto') return asked;
  const changed = targets.filter(({ change }) => change !== 'unchanged');
  const monitors = (changed.length > 0 ? changed : targets).map(({ spec }) => monitorMs(spec));
  const former = new Map(before.services.map((service) => [service.ID, service]));
  const kept = new Map(
    targets
      .filter(({ id, spec }) => keepsTasks(former.get(id), spec))
      .map(({ id, spec }) => [id, spec]),
  );
  const flapping = before.tasks.some((task) => {
    const spec = kept.get(task.ServiceID);
    return spec !== undefined && failedJustBefore(task, spec, before);
  });
  return Math.max(MIN_STABLE_MS, ...monitors, ...(flapping ? [SETTLED_MS] : []));
}

/** Whether a task of the spec that is live has failed a moment ago. */
const failedJustBefore = (task: Task, spec: ServiceSpec, before: Snapshot): boolean =>
  before.upToDate.has(task.ID) &&
  hasFailed(task, kindOf(spec), restartCondition(spec)) &&
  sinceMs(task, before) < RECENT_MS;

/**
 * The slots, or nodes, of a service in which a task failed a moment ago and none has lasted since: the
 * service was failing there already. None of a job's.
 */
export function unsteadyPlaces({ ID, Spec }: Service, before: Snapshot): ReadonlySet<string> {
  if (isJob(kindOf(Spec))) return new Set();
  const tasks = before.tasks.filter(({ ServiceID }) => ServiceID === ID);
  const settled = settledTasks(before);
  const lasts = (task: Task): boolean =>
    settled.has(task.ID) && !hasFailed(task, kindOf(Spec), restartCondition(Spec));
  const steady = new Set(tasks.filter(lasts).map(placeOf));
  const failing = tasks.filter((task) => failedJustBefore(task, Spec, before)).map(placeOf);
  return new Set(failing.filter((place) => !steady.has(place)));
}

/**
 * Whether a service that is meant to keep running had all that it asks for, and nothing of it had just
 * failed.
 */
export function ranInFull(service: Service, before: Snapshot): boolean {
  const kind = kindOf(service.Spec);
  const tasks = before.tasks.filter(({ ServiceID }) => ServiceID === service.ID);
  return (
    !(isJob(kind) || ('oneShot' in kind && kind.oneShot)) &&
    standing(kind, service, tasks, before).complete &&
    unsteadyPlaces(service, before).size === 0
  );
}

/**
 * Whether Swarm leaves the tasks of before alone, as when only a label changes: those of another task
 * or endpoint it replaces, those that merely may be placed elsewhere it does not (swarmkit
 * manager/orchestrator/task.go, IsTaskDirty).
 */
function keepsTasks(former: Service | undefined, spec: ServiceSpec): boolean {
  return former !== undefined && sameJson(madeInto(former.Spec), madeInto(spec));
}

/** What of a spec its tasks are made from. */
function madeInto({ TaskTemplate, EndpointSpec }: ServiceSpec): JsonObject {
  return {
    TaskTemplate: { ...(at(TaskTemplate) as JsonObject | undefined), Placement: undefined },
    EndpointSpec,
  };
}

/**
 * How long a task has been in its state, and no longer than there has been such a task. Nodes stamp the
 * state, the manager stamps the creation.
 */
const sinceMs = ({ CreatedAt, Status }: Task, { managerTime }: Snapshot): number =>
  managerTime === undefined || Status.Timestamp === undefined
    ? 0
    : managerTime - Math.max(Date.parse(CreatedAt), Date.parse(Status.Timestamp));

/**
 * The ids of the tasks that have run for long enough by now to have nothing to prove, and of those
 * that ended well as long ago.
 */
export function settledTasks(before: Snapshot): ReadonlySet<string> {
  return new Set(
    before.tasks
      .filter(({ Status }) => Status.State === 'running' || Status.State === 'complete')
      .filter((task) => sinceMs(task, before) >= SETTLED_MS)
      .map(({ ID }) => ID),
  );
}
