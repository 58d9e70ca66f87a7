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
  isJob,
  kindOf,
  maxRestarts,
  restartCondition,
  sameJson,
  TASK_STATES,
  type Kind,
  type Service,
  type ServiceSpec,
  type Snapshot,
  type Task,
  type UpdateStatus,
} from '../model.js';
import { classify, type Failure } from './classify.js';
import { eligibleNodes } from './placement.js';

/** What one service is meant to become. */
export interface Target {
  readonly id: string;
  readonly name: string;
  readonly change: 'created' | 'updated' | 'unchanged';
  /** The spec that must be live. */
  readonly spec: ServiceSpec;
  /**
   * In a restore: how many ran before. A stack that was broken before is restored when it is as
   * broken again.
   */
  readonly enough?: number;
  /** The update status from before, which says nothing about this rollout. */
  readonly staleStatus?: UpdateStatus;
}

/** What the whole rollout is meant to reach, and how long it may take. Times in milliseconds. */
export interface Goal {
  /** `restore` allows Swarm's own rollback states, and counts no failures: it is the last resort. */
  readonly phase: 'deploy' | 'restore';
  readonly targets: readonly Target[];
  /** Services that must be gone, with their tasks. */
  readonly gone: readonly { readonly id: string; readonly name: string }[];
  /** Ids of the tasks that were there before; their failures are not this rollout's. */
  readonly formerTasks: ReadonlySet<string>;
  /** Those of them that have run for long enough to have nothing to prove. */
  readonly settledTasks: ReadonlySet<string>;
  readonly startedAt: number;
  readonly stableForMs: number;
  readonly timeoutMs: number;
  readonly progressTimeoutMs: number;
  readonly maxFailures: number;
}

/** How far one service is. */
export interface ServiceProgress {
  readonly name: string;
  readonly kind: Kind;
  /** Slots (or nodes, or completions) that must be there, and that are. */
  readonly wanted: number;
  readonly done: number;
  /** Tasks of an earlier spec that are still meant to run. */
  readonly older: number;
  readonly complete: boolean;
  readonly updating: boolean;
  readonly failures: readonly Failure[];
  /** Why tasks cannot be placed, in Docker's words. */
  readonly unplaced?: string;
}

export interface Rollout {
  readonly goal: Goal;
  readonly at: number;
  readonly services: ReadonlyMap<string, ServiceProgress>;
  /** Services and tasks that should be gone and are not yet. */
  readonly lingering: number;
  /** The best state each slot has reached so far; moving forward means beating it. */
  readonly best: ReadonlyMap<string, number>;
  readonly lastProgressAt: number;
  /**
   * The tasks that everything rests on right now, and since when they have been the same; `proven`
   * where all of them ran long before the rollout began and have nothing to prove.
   */
  readonly holding?: { readonly tasks: string; readonly since: number; readonly proven: boolean };
  /** Since when Swarm goes another way than it was asked to. */
  readonly departedAt?: number;
  /** Once there, it stays. */
  readonly end?: End;
}

export type End =
  | { readonly kind: 'converged' }
  | { readonly kind: 'superseded'; readonly service: string; readonly message: string }
  | {
      readonly kind: 'failed';
      readonly reason: Reason;
      readonly service?: string;
      readonly message: string;
    };
export type Verdict = End | { readonly kind: 'waiting' };

const rank = (state: Task['Status']['State']): number => TASK_STATES.indexOf(state);
const RUNNING = rank('running');
const COMPLETE = rank('complete');

/** Meant to run, now or as soon as the updater lets it. */
const isWanted = (task: Task): boolean => rank(task.DesiredState) <= RUNNING;
const isRunning = (task: Task): boolean => task.Status.State === 'running' && isWanted(task);

function newestBy<Key>(tasks: readonly Task[], key: (task: Task) => Key): Map<Key, Task> {
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

/** Where a task stands: its slot, or its node for global services. */
const placeOf = (task: Task): string =>
  task.Slot === undefined || task.Slot === 0 ? `@${task.NodeID ?? ''}` : String(task.Slot);

interface Standing {
  readonly wanted: number;
  readonly done: number;
  readonly older: number;
  readonly complete: boolean;
  readonly holding: readonly string[];
}

/** Counts what the service has against what its kind asks for. */
function standing(
  kind: Kind,
  service: Service,
  tasks: readonly Task[],
  snapshot: Snapshot,
): Standing {
  const current = tasks.filter((task) => snapshot.upToDate.has(task.ID));
  const older = tasks.filter((task) => isWanted(task) && !snapshot.upToDate.has(task.ID)).length;

  if (kind.kind === 'replicated-job' || kind.kind === 'global-job') {
    const iteration = service.JobStatus?.JobIteration.Index ?? 0;
    const completed = tasks.filter(
      (task) => (task.JobIteration?.Index ?? 0) === iteration && task.Status.State === 'complete',
    );
    // A job's slots count from 0, and the engine leaves out a zero.
    const places = new Set(
      completed.map((task) =>
        kind.kind === 'global-job' ? (task.NodeID ?? '') : String(task.Slot ?? 0),
      ),
    );
    const eligible =
      kind.kind === 'global-job' ? eligibleNodes(snapshot.nodes, kind.constraints) : [];
    const wanted = kind.kind === 'global-job' ? eligible.length : kind.completions;
    const done =
      kind.kind === 'global-job'
        ? eligible.filter((node) => places.has(node.ID)).length
        : Math.min(places.size, wanted);
    return {
      wanted,
      done,
      older: 0,
      complete: done >= wanted,
      holding: completed.map((task) => task.ID),
    };
  }

  const isGood = (task: Task): boolean =>
    isRunning(task) || (kind.oneShot && task.Status.State === 'complete');
  const running = current.filter(isRunning);
  const latest = newestBy(current, placeOf);
  const good = new Map([...latest].filter(([, task]) => isGood(task)));
  for (const task of running) good.set(placeOf(task), task);
  const starting = current.filter((task) => isWanted(task) && !isRunning(task)).length;

  if (kind.kind === 'global') {
    const eligible = eligibleNodes(snapshot.nodes, kind.constraints);
    const done = eligible.filter((node) => good.has(`@${node.ID}`)).length;
    return {
      wanted: eligible.length,
      done,
      older,
      complete: done === eligible.length && older === 0,
      holding: [...good.values()].map((task) => task.ID),
    };
  }
  // More tasks than asked for means that Swarm has not scaled down yet, or not yet taken the second
  // one out of a slot; finished one-shot slots beyond the number are history.
  const tooMany = running.length > kind.replicas;
  const done = Math.min(good.size, kind.replicas);
  return {
    wanted: kind.replicas,
    done,
    older,
    complete: done === kind.replicas && older === 0 && starting === 0 && !tooMany,
    holding: [...good.values()].map((task) => task.ID),
  };
}

/**
 * How many slots, nodes or completions of a service do their work in one snapshot, of whatever
 * version: what a restored service has to have again. An update that was left half-way cannot be
 * brought back by its spec, and must not be called restored when less of it runs than before.
 */
export function placedTasks(service: Service, kind: Kind, snapshot: Snapshot): number {
  const tasks = snapshot.tasks.filter((task) => task.ServiceID === service.ID);
  const { done, wanted } = standing(kind, service, tasks, snapshot);
  const running = new Set(tasks.filter(isRunning).map(placeOf)).size;
  return Math.min(wanted, Math.max(done, isJob(kind) ? 0 : running));
}

/** A restored service need not be better than it was. */
function lenient(stand: Standing, enough: number | undefined): Standing {
  if (enough === undefined || enough >= stand.wanted) return stand;
  return { ...stand, complete: stand.older === 0 && stand.done >= enough };
}

/** What has a healthcheck is meant to keep running, whatever its restart policy says. */
function meantToRun(kind: Kind, healthchecked: boolean): Kind {
  return healthchecked && 'oneShot' in kind ? { ...kind, oneShot: false } : kind;
}

function hasFailed(task: Task, kind: Kind): boolean {
  if (task.Status.State === 'failed' || task.Status.State === 'rejected') return true;
  if (task.Status.State !== 'complete' || isJob(kind)) return false;
  return !('oneShot' in kind && kind.oneShot);
}

const isStale = (status: UpdateStatus, stale: UpdateStatus | undefined): boolean =>
  stale !== undefined &&
  status.State === stale.State &&
  status.StartedAt === stale.StartedAt &&
  status.Message === stale.Message;

/** Whether the swarm says that the service goes, or went, another way than was asked for. */
function departure(
  goal: Goal,
  target: Target,
  service: Service | undefined,
  complete: boolean,
): End | undefined {
  const { name } = target;
  if (service === undefined)
    return {
      kind: 'superseded',
      service: name,
      message: `service ${name} was removed by someone else while it was being deployed`,
    };
  const intended = sameJson(service.Spec, target.spec);
  const status =
    service.UpdateStatus === undefined || isStale(service.UpdateStatus, target.staleStatus)
      ? undefined
      : service.UpdateStatus;
  const rolledBack = status?.State?.startsWith('rollback_') === true;
  // Swarm's own rollback forgets the spec it left (PreviousSpec is nil); one that somebody asked
  // for swaps the two (swarmkit manager/controlapi/service.go, orchestrator/update/updater.go).
  const byHand = service.PreviousSpec !== undefined;
  if (rolledBack && (goal.phase === 'deploy' || !intended) && !(byHand && !intended))
    return {
      kind: 'failed',
      reason: 'rolled-back-by-swarm',
      service: name,
      message: `Swarm rolled back ${name}${because(status)}`,
    };
  if (!intended)
    return {
      kind: 'superseded',
      service: name,
      message: `service ${name} was changed by someone else while it was being deployed`,
    };
  const paused = status?.State === 'paused' || status?.State === 'rollback_paused';
  // Swarm pauses for a one-shot task that ended well, too ("early termination"), and a restored
  // service that runs again in full is what was asked for, however it got there.
  const kind = kindOf(target.spec);
  const forgiven = complete && (goal.phase === 'restore' || ('oneShot' in kind && kind.oneShot));
  if (paused && !forgiven)
    return {
      kind: 'failed',
      reason: 'update-paused',
      service: name,
      message: `Swarm paused the update of ${name}${because(status)}`,
    };
  return undefined;
}

/** Swarm's message names a task by its id, which tells nobody anything; the cause is added later. */
function because({ Message: message = '' }: UpdateStatus): string {
  if (/failure or early termination of task/.test(message)) return ' after a task failed';
  return message === '' || message.startsWith('rollback') ? '' : `: ${message}`;
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
  };
}

/**
 * Folds one snapshot into the rollout. Snapshots older than what is known, and any after the end,
 * change nothing.
 */
export function observe(rollout: Rollout, snapshot: Snapshot): Rollout {
  if (rollout.end !== undefined || snapshot.at < rollout.at) return rollout;
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
    const kind = meantToRun(kindOf(target.spec), snapshot.healthchecked?.has(target.id) === true);
    const stand =
      service === undefined
        ? { wanted: 0, done: 0, older: 0, complete: false, holding: [] }
        : lenient(standing(kind, service, tasks, snapshot), target.enough);
    const failures = collectFailures(
      former?.failures ?? [],
      goal,
      target,
      kind,
      tasks,
      snapshot.upToDate,
      service,
    );
    const unplaced = tasks.find(
      (task) =>
        task.Status.State === 'pending' &&
        isWanted(task) &&
        snapshot.upToDate.has(task.ID) &&
        (task.Status.Err ?? '') !== '',
    )?.Status.Err;
    services.set(target.id, {
      name: target.name,
      kind,
      wanted: stand.wanted,
      done: stand.done,
      older: stand.older,
      complete: stand.complete,
      updating:
        service?.UpdateStatus?.State === 'updating' ||
        service?.UpdateStatus?.State === 'rollback_started',
      failures,
      ...(unplaced === undefined ? {} : { unplaced }),
    });
    holding.push(...stand.holding);
    const end = departure(goal, target, service, stand.complete);
    if (end !== undefined) departures.push(end);

    for (const task of tasks)
      if (snapshot.upToDate.has(task.ID) && rank(task.Status.State) <= COMPLETE)
        advance(`${target.id} ${placeOf(task)}`, rank(task.Status.State));
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

  const progress = [...services.values()];
  const allComplete = progress.every(({ complete }) => complete) && lingering === 0;
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
  const next: Rollout = {
    goal,
    at: snapshot.at,
    services,
    lingering,
    best,
    lastProgressAt: moved ? snapshot.at : rollout.lastProgressAt,
    ...(held === undefined ? {} : { holding: held }),
    ...(departures.length === 0 ? {} : { departedAt: rollout.departedAt ?? snapshot.at }),
  };
  const end = endOf(next, departures);
  return end === undefined ? next : { ...next, end };
}

function collectFailures(
  known: readonly Failure[],
  goal: Goal,
  target: Target,
  kind: Kind,
  tasks: readonly Task[],
  upToDate: ReadonlySet<string>,
  service: Service | undefined,
): readonly Failure[] {
  // Tasks of the former version may go on failing until they are replaced: those are not ours.
  // Once Swarm has rolled back, ours are the ones that are no longer up to date.
  const intended = service !== undefined && sameJson(service.Spec, target.spec);
  const seen = new Set(known.map(({ taskId }) => taskId));
  const iteration = service?.JobStatus?.JobIteration.Index ?? 0;
  const fresh = tasks.filter(
    (task) =>
      !goal.formerTasks.has(task.ID) &&
      !seen.has(task.ID) &&
      upToDate.has(task.ID) === intended &&
      hasFailed(task, kind) &&
      (!isJob(kind) || (task.JobIteration?.Index ?? 0) === iteration),
  );
  if (fresh.length === 0) return known;
  const condition = restartCondition(target.spec);
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
    ...fresh.map((task) => classify(task, target.name, target.spec, oneShot, isFinal(task))),
  ];
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** The reason that most failures share; the latest one among equals. */
function leadingFailure(failures: readonly Failure[]): Failure | undefined {
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

/** How a rollout ends, if it ends here. Order: can never heal, somebody else, Swarm, counts, time. */
function endOf(rollout: Rollout, departures: readonly End[]): End | undefined {
  const { goal, at, services } = rollout;
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
    const unexplained = goal.phase === 'deploy' && end.kind === 'failed' && end === departed;
    return unexplained && at - (rollout.departedAt ?? at) < CAUSE_MS ? undefined : end;
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

  const { holding } = rollout;
  const updating = progress.some((service) => service.updating);
  const stable =
    holding !== undefined && (holding.proven || at - holding.since >= goal.stableForMs);
  if (stable && !updating) return { kind: 'converged' };

  // An update delay is a pause that the user asked for, not one without progress.
  const patience =
    goal.progressTimeoutMs + Math.max(0, ...goal.targets.map(({ spec }) => delayMs(spec)));
  const late =
    at - goal.startedAt >= goal.timeoutMs
      ? { reason: 'timeout' as const, limit: 'in time' }
      : holding === undefined && at - rollout.lastProgressAt >= patience
        ? { reason: 'progress-timeout' as const, limit: 'and nothing has moved for too long' }
        : undefined;
  if (late === undefined) return undefined;
  const behind = progress.find(({ complete }) => !complete) ?? progress.find((p) => p.updating);
  const unplaced = progress.find((service) => service.unplaced !== undefined);
  if (unplaced?.unplaced !== undefined && !unplaced.complete)
    return {
      kind: 'failed',
      reason: 'unschedulable',
      service: unplaced.name,
      message: `${unplaced.name} has tasks that fit no node: ${unplaced.unplaced}`,
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
          ` ${late.limit}` +
          (lead === undefined ? '' : `; last failure: ${lead.error}`),
  };
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
