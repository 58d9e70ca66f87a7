/**
 * The verdict's heart: folds one snapshot of the swarm after another into a `Rollout`, and says
 * what it means. Pure: the same snapshots give the same verdict, whatever the clock or network did.
 *
 * Identity comes before status: a service counts as converged only while its live spec is the
 * intended one and the tasks that Docker itself calls up to date run in every desired slot.
 */
import type { Reason } from '../errors.js';
import {
  delayMs,
  disablesHealthcheck,
  isJob,
  kindOf,
  limitsRestarts,
  maxRestarts,
  monitorMs,
  restartCondition,
  sameSpec,
  updateOrder,
  type Kind,
  type RestartCondition,
  type Service,
  type ServiceSpec,
  type Snapshot,
  type Task,
} from '../model.js';
import { classify, type Failure } from './classify.js';
import { deadlockOf, type Deadlock } from './deadlock.js';
import { departure } from './departure.js';
import type { End, Goal, Target, Verdict } from './goal.js';
import { eligibleNodes } from './placement.js';
import {
  calledOff,
  COMPLETE,
  hasToRun,
  isWanted,
  lenient,
  meantToRun,
  newestBy,
  ofThisRun,
  placeIn,
  rank,
  RUNNING,
  standing,
  waitsForLost,
} from './standing.js';

export type { End, Goal, Target, Verdict } from './goal.js';

/** How far one service is. */
export interface ServiceProgress {
  readonly name: string;
  readonly kind: Kind;
  /** Slots (or nodes, or completions) that must be there, and that are. */
  readonly wanted: number;
  readonly done: number;
  /** How many of those have ended with exit code 0, as they may. */
  readonly ended: number;
  /** Whether a task ended when it had been taken for one that runs: it may have been meant to. */
  readonly endedLate: boolean;
  /** Tasks of an earlier spec that are still meant to run. */
  readonly older: number;
  /** Tasks of the wanted spec that share a slot or node with another one. */
  readonly extra: number;
  readonly complete: boolean;
  readonly updating: boolean;
  /** Whether Swarm's updater waits for a task that will never come. */
  readonly waitsInVain: boolean;
  readonly failures: readonly Failure[];
  /** A failed task that Swarm does not start again, and since when. */
  readonly givenUp?: { readonly failure: Failure; readonly since: number };
  /** When a task of a job was last seen at work; Infinity while one is. */
  readonly workedAt?: number;
  /** Why tasks cannot be placed, in Docker's words. */
  readonly unplaced?: string;
  /**
   * Since when all that is wrong are tasks too many, of a former spec, or two in a slot or node; or since when
   * the updater has waited for a task of a lost node.
   */
  readonly leftoverSince?: number;
  /** Why Swarm cannot go on by itself, and since when that is so. */
  readonly deadlock?: Deadlock & { readonly since: number };
}

/** What a snapshot says of the swarm, without when. */
const PARTS = ['services', 'tasks', 'upToDate', 'nodes', 'healthchecked', 'imageless'] as const;

export interface Rollout {
  readonly goal: Goal;
  readonly at: number;
  readonly services: ReadonlyMap<string, ServiceProgress>;
  /** Services and tasks that should be gone and are not yet. */
  readonly lingering: number;
  /** The best state each slot has reached so far; moving forward means beating it. */
  readonly best: ReadonlyMap<string, number>;
  readonly lastProgressAt: number;
  /** Since when tasks that may end by themselves have been starting, by their ids. */
  readonly starting: ReadonlyMap<string, number>;
  /**
   * The tasks that everything rests on right now, and since when they have been the same; `proven`
   * where all of them ran long before the rollout began and have nothing to prove.
   */
  readonly holding?: { readonly tasks: string; readonly since: number; readonly proven: boolean };
  /** Where the swarm goes another way than it was asked to, and since when. */
  readonly departures: readonly End[];
  readonly departedAt?: number;
  /** The latest snapshot; one that says the very same needs no second thought. */
  readonly seen?: Snapshot;
  /** Once there, it stays. */
  readonly end?: End;
}

/**
 * Swarm takes tasks off a node that no longer meets their constraints, or no longer has what they reserve,
 * and places others elsewhere (swarmkit manager/orchestrator/constraintenforcer): no fault of theirs.
 */
const EVICTED = 'assigned node no longer meets constraints';

/** Whether a task has ended as it must not. */
export function hasFailed(task: Task, kind: Kind, condition: RestartCondition): boolean {
  // Nothing is started again where that is never to be.
  if (task.Status.Err === EVICTED && condition !== 'none') return false;
  if (task.Status.State === 'failed' || task.Status.State === 'rejected') return true;
  if (task.Status.State !== 'complete' || isJob(kind)) return false;
  return !('oneShot' in kind && kind.oneShot);
}

/** The start of a rollout: nothing has been seen yet. */
export function beginRollout(goal: Goal): Rollout {
  return {
    goal,
    at: goal.startedAt,
    services: new Map(),
    lingering: goal.gone.length,
    best: new Map(),
    lastProgressAt: goal.startedAt,
    starting: new Map(),
    departures: [],
  };
}

/**
 * Folds one snapshot into the rollout. Snapshots older than what is known, and any after the end,
 * change nothing.
 */
export function observe(rollout: Rollout, snapshot: Snapshot): Rollout {
  if (rollout.end !== undefined || snapshot.at < rollout.at) return rollout;
  const { seen } = rollout;
  const still = seen !== undefined && PARTS.every((part) => seen[part] === snapshot[part]);
  const next = still
    ? { ...rollout, at: snapshot.at, seen: snapshot }
    : { ...fold(rollout, snapshot), seen: snapshot };
  const end = endOf(next, snapshot.partial === true);
  return end === undefined ? next : { ...next, end };
}

/** What the rollout is after a snapshot that differs from the one before. */
function fold(rollout: Rollout, snapshot: Snapshot): Rollout {
  const { goal } = rollout;
  const byService = new Map<string, Task[]>();
  for (const task of snapshot.tasks) {
    const list = byService.get(task.ServiceID);
    if (list === undefined) byService.set(task.ServiceID, [task]);
    else list.push(task);
  }
  const live = new Map(snapshot.services.map((service) => [service.ID, service]));
  const services = new Map<string, ServiceProgress>();
  const best = new Map(rollout.best);
  const starting = new Map<string, number>();
  const holding: string[] = [];
  const departures: End[] = [];
  let moved = false;

  const advance = (key: string, value: number): void => {
    if (value > (best.get(key) ?? -Infinity)) {
      best.set(key, value);
      moved = true;
    }
  };

  for (const target of goal.targets) {
    const service = live.get(target.id);
    const tasks = byService.get(target.id) ?? [];
    const former = rollout.services.get(target.id);
    const declared = kindOf(target.spec);
    const mayEnd = 'oneShot' in declared && declared.oneShot && !disablesHealthcheck(target.spec);
    if (mayEnd)
      for (const { ID, Status } of tasks)
        if (Status.State === 'starting') starting.set(ID, rollout.starting.get(ID) ?? snapshot.at);
    const unwell = mayEnd ? neverHealthy(rollout, tasks) : NOBODY;
    const kind = meantToRun(
      declared,
      snapshot.healthchecked?.has(target.id) === true ||
        unwell.size > 0 ||
        // What is known once stays known.
        (former !== undefined && 'oneShot' in former.kind && !former.kind.oneShot),
    );
    const stand =
      service === undefined
        ? { wanted: 0, done: 0, ended: 0, older: 0, extra: 0, complete: false, holding: [] }
        : lenient(
            standing(kind, service, countedTasks(goal, tasks, snapshot), snapshot),
            kind,
            target,
          );
    const failures = collectFailures(
      former?.failures ?? [],
      goal,
      target,
      kind,
      tasks,
      snapshot,
      service,
      unwell,
    );
    const lost =
      service === undefined ? undefined : givenUp(target, kind, service, tasks, snapshot);
    const thisRun = service === undefined ? [] : ofThisRun(kind, service, tasks);
    const works =
      (isJob(kind) || target.mustEnd === true) &&
      thisRun.some((task) => task.Status.State === 'running' && hasToRun(kind, task));
    const workedAt = works
      ? Infinity
      : former?.workedAt === Infinity
        ? rollout.at
        : former?.workedAt;
    const unplaced = tasks.find(
      (task) =>
        task.Status.State === 'pending' &&
        isWanted(task) &&
        snapshot.upToDate.has(task.ID) &&
        (task.Status.Err ?? '') !== '',
    )?.Status.Err;
    // Of a global service that fits no node Swarm's updater never says that it is done (tried).
    const isIdle = stand.wanted === 0 && !tasks.some(isWanted);
    const updating =
      !isIdle &&
      (service?.UpdateStatus?.State === 'updating' ||
        service?.UpdateStatus?.State === 'rollback_started');
    const leftover =
      stand.extra + stand.older > 0 &&
      (stand.done >= stand.wanted || (updating && waitsForLost(tasks, snapshot)));
    const deadlock = deadlockOf(target, kind, tasks, stand, snapshot, goal.formerTasks);
    const end = departure(goal, target, service, stand.complete);
    // What somebody else has changed of it since is no part of a way back that has nothing to write there.
    const isElsewhere =
      goal.phase === 'restore' && target.change === 'unchanged' && end?.kind === 'superseded';
    services.set(target.id, {
      name: target.name,
      kind,
      wanted: stand.wanted,
      done: stand.done,
      ended: stand.ended,
      endedLate: former?.endedLate === true || (stand.ended > 0 && endsLate(rollout, kind, tasks)),
      older: stand.older,
      extra: stand.extra,
      complete:
        isElsewhere || (stand.complete && (target.mustEnd !== true || stand.ended >= stand.wanted)),
      updating,
      waitsInVain:
        service?.UpdateStatus?.State === 'updating' && calledOff(tasks, snapshot).length > 0,
      failures,
      ...(lost === undefined
        ? {}
        : {
            givenUp: {
              failure: lost,
              since:
                former?.givenUp?.failure.taskId === lost.taskId
                  ? former.givenUp.since
                  : snapshot.at,
            },
          }),
      ...(workedAt === undefined ? {} : { workedAt }),
      ...(unplaced === undefined ? {} : { unplaced }),
      ...(leftover ? { leftoverSince: former?.leftoverSince ?? snapshot.at } : {}),
      ...(deadlock === undefined
        ? {}
        : { deadlock: { ...deadlock, since: former?.deadlock?.since ?? snapshot.at } }),
    });
    if (isNeeded(goal, target.id)) holding.push(...stand.holding.map(({ ID }) => ID));
    if (end !== undefined && !isElsewhere) departures.push(end);

    const place = placeIn(kind);
    for (const task of thisRun)
      if (snapshot.upToDate.has(task.ID) && rank(task.Status.State) <= COMPLETE)
        // What had been done before is no way that this rollout has come.
        if (!(task.Status.State === 'complete' && goal.formerTasks.has(task.ID)))
          advance(`${target.id} ${place(task)}`, rank(task.Status.State));
    advance(`${target.id} older`, -stand.older);
  }

  const goneIds = new Set(goal.gone.map(({ id }) => id));
  const lost = new Set(
    snapshot.nodes.filter((node) => node.Status.State === 'down').map((node) => node.ID),
  );
  const lingering =
    snapshot.services.filter((service) => goneIds.has(service.ID)).length +
    snapshot.tasks.filter(
      (task) =>
        goneIds.has(task.ServiceID) &&
        rank(task.Status.State) <= RUNNING &&
        !lost.has(task.NodeID ?? ''),
    ).length;
  if (lingering < rollout.lingering) moved = true;

  const allComplete =
    lingering === 0 && [...services].every(([id, each]) => each.complete || !isNeeded(goal, id));
  const tasks = holding.sort().join(' ');
  const held = allComplete
    ? rollout.holding?.tasks === tasks
      ? rollout.holding
      : {
          tasks,
          since: snapshot.at,
          proven: holding.every((id) => goal.settledTasks.has(id)),
        }
    : undefined;
  return {
    goal,
    at: snapshot.at,
    services,
    lingering,
    best,
    lastProgressAt: moved ? snapshot.at : rollout.lastProgressAt,
    starting,
    ...(held === undefined ? {} : { holding: held }),
    departures,
    ...(departures.length === 0 ? {} : { departedAt: rollout.departedAt ?? snapshot.at }),
  };
}

const isNeeded = ({ needed }: Goal, id: string): boolean => needed?.has(id) !== false;

/**
 * Goes on to another goal, as when more services are deployed: what is known of those so far, their
 * failures above all, stays known.
 * @param at milliseconds; whatever moves forward does so from here on
 */
export function continueRollout(rollout: Rollout, goal: Goal, at: number): Rollout {
  const { services, best, starting } = rollout;
  return { ...beginRollout(goal), at: rollout.at, services, best, starting, lastProgressAt: at };
}

const NOBODY: ReadonlySet<string> = new Set();

/**
 * Containers take up to some seconds to start (up to 9 s were seen, on busy machines), in which their
 * tasks are `starting`. One that is so for longer waits for its healthcheck.
 */
const START_MS = 10_000;

/**
 * The tasks that ended with exit code 0 when they had been starting for long, and that were never seen
 * running: a healthcheck of their image, which only managers that have the image can tell of, has
 * never passed, and Swarm has stopped them.
 */
function neverHealthy({ starting, at }: Rollout, tasks: readonly Task[]): ReadonlySet<string> {
  const found = tasks.filter(
    ({ ID, Status }) =>
      // At the last look it still was.
      Status.State === 'complete' && at - (starting.get(ID) ?? at) >= START_MS,
  );
  return found.length === 0 ? NOBODY : new Set(found.map(({ ID }) => ID));
}

/** What a one-shot service has run meanwhile cannot be undone, and does not speak against a way back. */
function countedTasks(
  { phase }: Goal,
  tasks: readonly Task[],
  { upToDate }: Snapshot,
): readonly Task[] {
  return phase === 'deploy'
    ? tasks
    : tasks.filter((task) => upToDate.has(task.ID) || isWanted(task));
}

/** Whether a task has ended since the last look, in which everything ran, itself included. */
function endsLate({ holding, seen }: Rollout, kind: Kind, tasks: readonly Task[]): boolean {
  if (holding === undefined || seen === undefined || isJob(kind)) return false;
  const ended = new Set(
    tasks.filter(({ Status }) => Status.State === 'complete').map(({ ID }) => ID),
  );
  return seen.tasks.some(({ ID, Status }) => Status.State === 'running' && ended.has(ID));
}

/**
 * The failure of a task that Swarm does not start again, as `max_attempts` are used up, or as it starts
 * none again; be it one of before this deploy, in a service that did not change. Until Swarm has
 * seen to a task that failed, that one itself is still wanted; then another is, in its place, unless
 * Swarm has given up.
 */
function givenUp(
  { name, spec }: Target,
  kind: Kind,
  service: Service,
  tasks: readonly Task[],
  { upToDate, nodes }: Snapshot,
): Failure | undefined {
  const condition = restartCondition(spec);
  if (!limitsRestarts(spec) && condition !== 'none') return undefined;
  const place = placeIn(kind);
  const thisRun = ofThisRun(kind, service, tasks);
  const alive = new Set(
    thisRun
      .filter(
        (task) =>
          hasToRun(kind, task) ||
          (task.Status.State === 'complete' && !hasFailed(task, kind, condition)),
      )
      .map(place),
  );
  const dead = [...newestBy(thisRun, place)].filter(
    ([where, task]) =>
      !alive.has(where) && upToDate.has(task.ID) && hasFailed(task, kind, condition),
  );
  const places = 'constraints' in kind ? eligibleNodes(nodes, kind.constraints) : undefined;
  const [, task] =
    dead.find(([where]) =>
      places === undefined
        ? // One that was scaled away is dead, too.
          !('replicas' in kind) || alive.size < kind.replicas
        : places.some(({ ID }) => where === `@${ID}`),
    ) ?? [];
  return task === undefined
    ? undefined
    : classify(task, name, spec, { job: isJob(kind), final: true, imageless: false });
}

function collectFailures(
  known: readonly Failure[],
  goal: Goal,
  target: Target,
  kind: Kind,
  tasks: readonly Task[],
  { upToDate, imageless }: Snapshot,
  service: Service | undefined,
  unwell: ReadonlySet<string>,
): readonly Failure[] {
  // Tasks of the former version may go on failing until they are replaced: those are not ours.
  // Once Swarm has rolled back, ours are the ones that are no longer up to date.
  const intended = service !== undefined && sameSpec(service.Spec, target.spec);
  const seen = new Set(known.map(({ taskId }) => taskId));
  const iteration = service?.JobStatus?.JobIteration.Index ?? 0;
  const condition = restartCondition(target.spec);
  const fresh = tasks.filter(
    (task) =>
      !goal.formerTasks.has(task.ID) &&
      !seen.has(task.ID) &&
      upToDate.has(task.ID) === intended &&
      hasFailed(task, kind, condition) &&
      (!isJob(kind) || (task.JobIteration?.Index ?? 0) === iteration),
  );
  if (fresh.length === 0) return known;
  const oneShot = isJob(kind) || ('oneShot' in kind && kind.oneShot && condition === 'none');
  // Swarm gives a slot up after so many attempts.
  const attempts = maxRestarts(target.spec) + 1;
  const failuresIn = (task: Task): number =>
    known.filter(({ slot }) => slot === task.Slot).length +
    fresh.filter(({ Slot }) => Slot === task.Slot).length;
  const isFinal = (task: Task): boolean =>
    condition === 'none' ||
    (condition === 'on-failure' && task.Status.State === 'complete') ||
    (task.Slot !== undefined && failuresIn(task) >= attempts);
  return [
    ...known,
    ...fresh.map((task): Failure => {
      const failure = classify(task, target.name, target.spec, {
        job: oneShot,
        final: isFinal(task),
        imageless: imageless?.has(target.id) === true,
      });
      return unwell.has(task.ID)
        ? { ...failure, reason: 'unhealthy', error: NEVER_HEALTHY }
        : failure;
    }),
  ];
}

/** Docker itself says nothing of it. */
const NEVER_HEALTHY =
  'the task ended (exit code 0) after a long start, without ever running: a healthcheck of its image ' +
  'has not passed; a service that is meant to end needs `healthcheck: {disable: true}`';

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** The reason that most failures share; the latest one among equals. */
export function leadingFailure(failures: readonly Failure[]): Failure | undefined {
  const counts = new Map<Reason, number>();
  for (const { reason } of failures) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return failures.reduce<Failure | undefined>(
    (lead, failure) =>
      lead === undefined || (counts.get(failure.reason) ?? 0) >= (counts.get(lead.reason) ?? 0)
        ? failure
        : lead,
    undefined,
  );
}

/**
 * Swarm stops or goes back a moment before the failed task says that it has failed (tried): so long
 * is its cause waited for.
 */
const CAUSE_MS = 3000;
/** Longer than Swarm takes to start a failed task again, or to make another that does so later. */
const GIVEN_UP_MS = 3000;
/** Longer than Swarm's scheduler and updater take to see what has become free. */
const DEADLOCK_MS = 5000;

/** Swarm's own way back has a pause of its own. */
const pauseMs = ({ phase }: Goal, spec: ServiceSpec): number =>
  Math.max(delayMs(spec), phase === 'restore' ? delayMs(spec, 'RollbackConfig') : 0);

/** How a rollout ends, if it ends here. Order: can never heal, somebody else, Swarm, counts, time. */
function endOf(rollout: Rollout, partial: boolean): End | undefined {
  const { goal, at, services, departures } = rollout;
  const progress = [...services.values()];

  if (goal.phase === 'deploy')
    for (const { name, failures } of progress) {
      const fatal = failures.find((failure) => failure.fatal);
      if (fatal !== undefined)
        return {
          kind: 'failed',
          reason: fatal.reason,
          service: name,
          message: `${name} cannot start: ${fatal.error}`,
        };
    }
  const departed =
    departures.find(({ kind }) => kind === 'superseded') ??
    departures.find(({ kind }) => kind === 'failed');
  if (departed !== undefined) {
    const end = withCause(departed, progress);
    // On the way back, a one-shot task that ended well makes Swarm pause before it is shown as complete.
    const passing = end.kind === 'failed' && (goal.phase === 'restore' || end === departed);
    return passing && at - (rollout.departedAt ?? at) < CAUSE_MS ? undefined : end;
  }

  if (goal.phase === 'deploy')
    for (const { name, failures } of progress) {
      const lead = leadingFailure(failures);
      if (lead !== undefined && failures.length >= Math.max(1, goal.maxFailures))
        return {
          kind: 'failed',
          reason: lead.reason,
          service: name,
          message: `${plural(failures.length, 'task')} of ${name} failed: ${lead.error}`,
        };
    }

  const stuck = progress.find(({ deadlock }) => at - (deadlock?.since ?? at) >= DEADLOCK_MS);
  if (goal.phase === 'deploy' && stuck?.deadlock !== undefined)
    return {
      kind: 'failed',
      reason: stuck.deadlock.reason,
      service: stuck.name,
      message: `${stuck.name} ${stuck.deadlock.message}`,
    };

  const over = progress.find(({ givenUp }) => at - (givenUp?.since ?? at) >= GIVEN_UP_MS);
  if (goal.phase === 'deploy' && over?.givenUp !== undefined)
    return {
      kind: 'failed',
      reason: over.givenUp.failure.reason,
      service: over.name,
      message: `${givenUpText(over.name, goal)}: ${over.givenUp.failure.error}`,
    };

  const { holding } = rollout;
  if (isDue(rollout) && !partial) return { kind: 'converged' };

  // An update delay is a pause that the user asked for, not one without progress.
  const patience =
    goal.progressTimeoutMs + Math.max(0, ...goal.targets.map(({ spec }) => pauseMs(goal, spec)));
  // A job moves forward as long as it works; how long that may take, `timeout` says.
  const isStill = (workedAt = -Infinity, pause = 0): boolean =>
    at - Math.max(rollout.lastProgressAt, workedAt) >= patience + pause;
  const still = progress.find(({ complete, workedAt }) => !complete && isStill(workedAt));
  // What was asked to stop may take its time, too.
  const leavingMs = Math.max(0, ...goal.gone.map(({ graceMs = 0 }) => graceMs));
  const stays = rollout.lingering > 0 && isStill(undefined, leavingMs);
  const nothingMoves = holding === undefined && (still !== undefined || stays);
  const late =
    at - goal.startedAt >= goal.timeoutMs
      ? { reason: 'timeout' as const, limit: 'in time' }
      : nothingMoves
        ? { reason: 'progress-timeout' as const, limit: 'and nothing has moved for too long' }
        : undefined;
  if (late === undefined) return undefined;
  if (holding !== undefined && progress.every(({ complete }) => complete)) return notYet(progress);
  const behind = still ?? progress.find(({ complete }) => !complete);
  const unplaced = progress.find((service) => service.unplaced !== undefined);
  if (unplaced?.unplaced !== undefined && !unplaced.complete)
    return {
      kind: 'failed',
      reason: 'unschedulable',
      service: unplaced.name,
      message: `${unplaced.name} has tasks that fit no node: ${unplaced.unplaced}${roomFor(unplaced, goal)}`,
    };
  const lead = leadingFailure(behind?.failures ?? []);
  return {
    kind: 'failed',
    reason: late.reason,
    ...(behind === undefined ? {} : { service: behind.name }),
    message:
      behind === undefined
        ? `${plural(rollout.lingering, 'service or task')} that should be gone still there`
        : `${behind.name} is at ${behind.done} of ${behind.wanted}` +
          (behind.older === 0
            ? ''
            : `, with ${plural(behind.older, 'task')} still on another version,`) +
          (behind.extra === 0 ? '' : `, with ${plural(behind.extra, 'task')} too many,`) +
          ` ${late.limit}` +
          (lead === undefined ? '' : `; last failure: ${lead.error}`),
  };
}

/** The time is up, and all runs that should, but has not done so for long enough. */
function notYet(progress: readonly ServiceProgress[]): End {
  const monitored = progress.find(({ updating }) => updating);
  const unsteady = monitored ?? progress.find(({ failures }) => failures.length > 0);
  const lead = leadingFailure(unsteady?.failures ?? []);
  return {
    kind: 'failed',
    reason: 'timeout',
    ...(unsteady === undefined ? {} : { service: unsteady.name }),
    message:
      (monitored === undefined
        ? `${unsteady?.name ?? 'everything'} runs, but has not stayed so for stable-for in time`
        : `${monitored.name} runs, but Swarm has not finished its update in time`) +
      (lead === undefined ? '' : `; last failure: ${lead.error}`),
  };
}

function givenUpText(service: string, { targets }: Goal): string {
  const target = targets.find(({ name }) => name === service);
  if (target === undefined || restartCondition(target.spec) !== 'none')
    return `Swarm has given up a task of ${service}, its max_attempts are used up`;
  const text = `a task of ${service} has failed, and its restart_policy starts none again`;
  return target.change === 'unchanged'
    ? `${text}; it did so before this deploy, which changed nothing of it (docker service update --force ${service} runs it once more)`
    : text;
}

/** What the reservations of former tasks may have to do with it. */
function roomFor({ name, older, unplaced = '' }: ServiceProgress, { targets }: Goal): string {
  const isStartFirst = targets.some(
    (target) => target.name === name && updateOrder(target.spec) === 'start-first',
  );
  return isStartFirst && older > 0 && unplaced.includes('insufficient resources')
    ? '; with order: start-first the former tasks keep what they have reserved until the new ones run'
    : '';
}

/**
 * Whether all that is missing for `converged` is a look at every task: everything has held for long
 * enough, as far as is known, and no update is under way. One that only waits for a task that was called
 * off is not: once the monitor is over, Swarm will never touch what runs on its account.
 */
export function isDue({ goal, at, services, holding }: Rollout): boolean {
  if (holding === undefined) return false;
  const heldMs = at - holding.since;
  if (!holding.proven && heldMs < goal.stableForMs) return false;
  return goal.targets.every(({ id, spec }) => {
    if (!isNeeded(goal, id)) return true;
    const { updating = false, waitsInVain = false } = services.get(id) ?? {};
    return !updating || (waitsInVain && heldMs >= updaterEndMs(spec) + IN_VAIN_MS);
  });
}

/** More than enough for Swarm's updater to say that it is done, counted from when it should be. */
const IN_VAIN_MS = 5000;

/**
 * How long Swarm's updater goes on after its last task runs: the pause after it, and then the monitor,
 * which is never shorter than that pause (swarmkit manager/orchestrator/update/updater.go).
 */
const updaterEndMs = (spec: ServiceSpec): number =>
  delayMs(spec) + Math.max(monitorMs(spec), delayMs(spec) + 1000);

/** Longer than Swarm takes where it goes on by itself: between updates, and in one. */
const LEFTOVER_MS = 3000;
const LEFTOVER_IN_UPDATE_MS = 10_000;

/**
 * The services of which Swarm leaves tasks running for ever that are too many (tried): two in one
 * place, where one failed just as an update replaced it; or former ones, where the updater waits for
 * a task on a node that was lost. It looks again once their spec is written again, the same as it is.
 */
export function leftoverTargets({ goal, at, services }: Rollout): readonly Target[] {
  return goal.targets.filter(({ id, spec }) => {
    const found = services.get(id);
    if (found?.leftoverSince === undefined) return false;
    const { leftoverSince, updating, done, wanted } = found;
    // Between two parts of an update is the pause that was asked for.
    const pause = done < wanted ? delayMs(spec) : 0;
    return at - leftoverSince >= (updating ? LEFTOVER_IN_UPDATE_MS + pause : LEFTOVER_MS);
  });
}

/** Swarm only names the task that made it stop; what that task died of is the cause. */
function withCause(end: End, progress: readonly ServiceProgress[]): End {
  if (end.kind !== 'failed') return end;
  const lead = leadingFailure(progress.find(({ name }) => name === end.service)?.failures ?? []);
  return lead === undefined ? end : { ...end, message: `${end.message}: ${lead.error}` };
}

/** What the rollout means so far. */
export function verdict(rollout: Rollout): Verdict {
  return rollout.end ?? { kind: 'waiting' };
}

/** All failures seen, in the order they were seen per service. */
export function failuresOf(rollout: Rollout): readonly Failure[] {
  return [...rollout.services.values()].flatMap(({ failures }) => failures);
}
