/** How long a rollout has to hold before it counts, and which tasks need not prove themselves. */
import { monitorMs, type Snapshot, type Task } from '../model.js';
import type { Changes } from '../plan.js';

const MIN_STABLE_MS = 5000;
/** A task that has run for this long has shown that it can. */
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
  const unchanged = new Set(
    targets.filter(({ change }) => change === 'unchanged').map(({ id }) => id),
  );
  const flapping = before.tasks.some(
    (task) =>
      unchanged.has(task.ServiceID) &&
      before.upToDate.has(task.ID) &&
      (task.Status.State === 'failed' || task.Status.State === 'rejected') &&
      ageMs(task, before) < RECENT_MS,
  );
  return Math.max(MIN_STABLE_MS, ...monitors, ...(flapping ? [SETTLED_MS] : []));
}

/** By the manager's clock, which stamps both ends. */
const ageMs = (task: Task, { managerTime }: Snapshot): number =>
  managerTime === undefined ? 0 : managerTime - Date.parse(task.CreatedAt);

/** The ids of the tasks that have run for long enough by now to have nothing to prove. */
export function settledTasks(before: Snapshot): ReadonlySet<string> {
  return new Set(
    before.tasks.filter((task) => ageMs(task, before) >= SETTLED_MS).map(({ ID }) => ID),
  );
}
