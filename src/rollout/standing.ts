/** Counts what a service has, in one snapshot, against what its kind asks for. */
import { isJob, TASK_STATES, type Kind, type Service, type Snapshot, type Task } from '../model.js';
import type { Target } from './goal.js';
import { eligibleNodes } from './placement.js';

export const rank = (state: Task['Status']['State']): number => TASK_STATES.indexOf(state);
export const RUNNING = rank('running');
export const COMPLETE = rank('complete');

/** Meant to run, now or as soon as the updater lets it. */
export const isWanted = (task: Task): boolean => rank(task.DesiredState) <= RUNNING;
/** The same of a job's tasks, which are meant to run and then to complete. */
export const hasToRun = (kind: Kind, task: Task): boolean =>
  isJob(kind) ? rank(task.DesiredState) <= COMPLETE : isWanted(task);
export const isRunning = (task: Task): boolean => task.Status.State === 'running' && isWanted(task);

/**
 * The tasks of an update that Swarm called off before any node had them, as when their node is drained
 * just then. The updater waits for each until it runs or ends, and one that no node has never does
 * (tried; swarmkit manager/orchestrator/update/updater.go): the update stays `updating` for ever.
 */
export const calledOff = (tasks: readonly Task[], { upToDate }: Snapshot): readonly Task[] =>
  tasks.filter(
    (task) =>
      upToDate.has(task.ID) && !isWanted(task) && rank(task.Status.State) < rank('assigned'),
  );

/**
 * Whether Swarm's updater may wait for a task that a lost node had begun: its place has another one by now, but
 * what the node says of the lost one does not come any more, and the updater waits for that (tried).
 */
export function waitsForLost(tasks: readonly Task[], { upToDate, nodes }: Snapshot): boolean {
  const there = new Set(nodes.filter(({ Status }) => Status.State !== 'down').map(({ ID }) => ID));
  const isLost = (task: Task): boolean =>
    !isWanted(task) &&
    rank(task.Status.State) >= rank('assigned') &&
    rank(task.Status.State) < RUNNING &&
    !there.has(task.NodeID ?? '');
  const current = tasks.filter(({ ID }) => upToDate.has(ID));
  return current.some(isLost) && current.filter(isWanted).every(isRunning);
}

export function newestBy<Key>(tasks: readonly Task[], key: (task: Task) => Key): Map<Key, Task> {
  const newest = new Map<Key, Task>();
  for (const task of tasks) {
    const other = newest.get(key(task));
    if (other === undefined || isLater(task.CreatedAt, other.CreatedAt))
      newest.set(key(task), task);
  }
  return newest;
}

function isLater(a: string, b: string): boolean {
  const [left, right] = [Date.parse(a), Date.parse(b)];
  return left === right ? fraction(a) > fraction(b) : left > right;
}

/** Nine digits: Date reads three of them, and Go leaves out the zeros at the end. */
const fraction = (time: string): string => (/\.(\d+)/.exec(time)?.[1] ?? '').padEnd(9, '0');

/** The tasks of a job's present run, or all of a service that is none. */
export const ofThisRun = (
  kind: Kind,
  service: Service,
  tasks: readonly Task[],
): readonly Task[] => {
  const iteration = service.JobStatus?.JobIteration.Index ?? 0;
  return isJob(kind)
    ? tasks.filter(({ JobIteration }) => (JobIteration?.Index ?? 0) === iteration)
    : tasks;
};

/** Where a task stands: its slot, or its node for global services. */
export const placeOf = (task: Task): string =>
  task.Slot === undefined || task.Slot === 0 ? `@${task.NodeID ?? ''}` : String(task.Slot);

/** The same for a job of so many completions, whose slots count from 0; the engine leaves out a zero. */
export const placeIn =
  ({ kind }: Kind) =>
  (task: Task): string =>
    kind === 'replicated-job' ? String(task.Slot ?? 0) : placeOf(task);

export interface Standing {
  readonly wanted: number;
  readonly done: number;
  /** How many of those have ended with exit code 0, as they may. */
  readonly ended: number;
  readonly older: number;
  /** Tasks of the live spec that share a slot or node with another one. */
  readonly extra: number;
  readonly complete: boolean;
  /** What it rests on. */
  readonly holding: readonly Task[];
}

/** Counts what the service has against what its kind asks for. */
export function standing(
  kind: Kind,
  service: Service,
  tasks: readonly Task[],
  snapshot: Snapshot,
): Standing {
  const current = tasks.filter((task) => snapshot.upToDate.has(task.ID));
  const older = tasks.filter((task) => isWanted(task) && !snapshot.upToDate.has(task.ID)).length;

  if (kind.kind === 'replicated-job' || kind.kind === 'global-job') {
    const completed = ofThisRun(kind, service, tasks).filter(
      (task) => task.Status.State === 'complete',
    );
    const places = new Set(completed.map(placeIn(kind)));
    const eligible =
      kind.kind === 'global-job' ? eligibleNodes(snapshot.nodes, kind.constraints) : [];
    const wanted = kind.kind === 'global-job' ? eligible.length : kind.completions;
    const done =
      kind.kind === 'global-job'
        ? eligible.filter((node) => places.has(`@${node.ID}`)).length
        : Math.min(places.size, wanted);
    return {
      wanted,
      done,
      ended: done,
      older: 0,
      extra: 0,
      complete: done >= wanted,
      holding: completed,
    };
  }

  const running = current.filter(isRunning);
  // What a place ran last counts: an earlier task of the live spec says nothing after one of another.
  const latest = kind.oneShot ? newestBy(tasks, placeOf) : [];
  const good = new Map(
    [...latest].filter(
      ([, task]) => task.Status.State === 'complete' && snapshot.upToDate.has(task.ID),
    ),
  );
  for (const task of running) good.set(placeOf(task), task);
  const starting = current.filter((task) => isWanted(task) && !isRunning(task)).length;
  const extra = sharing(current, snapshot);

  if (kind.kind === 'global') {
    const eligible = eligibleNodes(snapshot.nodes, kind.constraints);
    const done = eligible.filter((node) => good.has(`@${node.ID}`)).length;
    return {
      wanted: eligible.length,
      done,
      ended: Math.max(0, done - running.length),
      older,
      extra,
      complete: done === eligible.length && older === 0 && extra === 0,
      holding: [...good.values()],
    };
  }
  // More tasks than asked for means that Swarm has not scaled down yet; finished one-shot slots beyond
  // the number are history.
  const tooMany = running.length > kind.replicas;
  const done = Math.min(good.size, kind.replicas);
  return {
    wanted: kind.replicas,
    done,
    ended: Math.max(0, done - running.length),
    older,
    extra,
    complete: done === kind.replicas && older === 0 && starting === 0 && extra === 0 && !tooMany,
    holding: [...good.values()],
  };
}

/**
 * Tasks that are one too many in their place. A task that fails while an update replaces it leaves two
 * (tried): the update's own, and the one that Swarm starts again, from the new spec as well.
 */
function sharing(current: readonly Task[], { nodes }: Snapshot): number {
  const down = new Set(nodes.filter(({ Status }) => Status.State === 'down').map(({ ID }) => ID));
  const here = current.filter((task) => isWanted(task) && !down.has(task.NodeID ?? ''));
  return here.length - new Set(here.map(placeOf)).size;
}

/**
 * How many slots, nodes or completions of a service do their work in one snapshot, of whatever
 * version: what a restored service has to have again. An update that was left half-way cannot be
 * brought back by its spec, and must not be called restored when less of it runs than before.
 * @param unsteady places that do not count
 */
export function placedTasks(
  service: Service,
  kind: Kind,
  snapshot: Snapshot,
  unsteady: ReadonlySet<string> = new Set(),
): number {
  const place = placeIn(kind);
  const tasks = snapshot.tasks.filter(
    (task) => task.ServiceID === service.ID && !unsteady.has(place(task)),
  );
  const { done, wanted } = standing(kind, service, tasks, snapshot);
  const running = new Set(tasks.filter(isRunning).map(placeOf)).size;
  return Math.min(wanted, Math.max(done, isJob(kind) ? 0 : running));
}

/** A restored service need not be better than it was. */
export function lenient(
  stand: Standing,
  kind: Kind,
  { enough, unsteady = new Set() }: Pick<Target, 'enough' | 'unsteady'>,
): Standing {
  if (enough === undefined || enough >= stand.wanted) return stand;
  const place = placeIn(kind);
  const holding = stand.holding.filter((task) => !unsteady.has(place(task)));
  const done = unsteady.size === 0 ? stand.done : holding.length;
  return { ...stand, complete: stand.older === 0 && done >= enough, holding };
}

/** What has a healthcheck is meant to keep running, whatever its restart policy says. */
export function meantToRun(kind: Kind, healthchecked: boolean): Kind {
  return healthchecked && 'oneShot' in kind ? { ...kind, oneShot: false } : kind;
}
