/** The live log of a rollout: what changed from one snapshot to the next, in Docker's words. */
import { at, hostnameOf, isJob, sameSpec, type Json, type Snapshot, type Task } from '../model.js';
import type { Goal, Rollout, ServiceProgress, Target } from '../rollout/observe.js';
import type { Chart } from './chart.js';
import type { Narrator, Tone } from './narrator.js';
import { plural, safeLine, spokenTime } from './text.js';

/** Above this many tasks moving between two looks, only sums are logged. */
const MAX_LINES_A_LOOK = 12;

/** Up to this many tasks in a rollout, each step of each of them is told. */
const FEW_TASKS = 24;
/** Beyond these, failures are counted. */
const MAX_FAILURES_OF_A_SERVICE = 5;
const MAX_FAILURES = 60;

/** Said when a task gets there; what lies between is over in a moment. */
const TOLD = new Set(['preparing', 'starting', 'running', 'complete', 'failed', 'rejected']);
const ENDED = new Set(['complete', 'failed', 'rejected']);
/** On the way to run, in Docker's order; what comes before is over in a moment or waits for a node. */
const ON_THE_WAY = ['assigned', 'accepted', 'preparing', 'ready', 'starting'] as const;

export type TaskStates = ReadonlyMap<string, string>;

/** The state of every task, to compare the next snapshot with. */
export function statesOf(tasks: readonly Task[]): TaskStates {
  return new Map(tasks.map((task) => [task.ID, task.Status.State]));
}

/** The tasks of this rollout that got to one of these states since the last look. */
function movedTasks(
  before: TaskStates,
  snapshot: Snapshot,
  { goal, services }: Rollout,
  told: ReadonlySet<string>,
): readonly Task[] {
  return snapshot.tasks.filter(
    (task) =>
      services.has(task.ServiceID) &&
      !goal.formerTasks.has(task.ID) &&
      // On the way back, what becomes of the failed version's tasks is no news.
      (goal.phase === 'deploy' || snapshot.upToDate.has(task.ID)) &&
      told.has(task.Status.State) &&
      before.get(task.ID) !== task.Status.State,
  );
}

/** `api.3 running on worker-2`: a line for each task of this rollout that got somewhere. */
export function transitions(
  before: TaskStates,
  snapshot: Snapshot,
  rollout: Rollout,
  told: ReadonlySet<string> = TOLD,
): readonly string[] {
  return linesOf(movedTasks(before, snapshot, rollout, told), snapshot, rollout).map(
    ({ text }) => text,
  );
}

interface Line {
  readonly text: string;
  readonly tone?: Tone;
}

const toneOf = (state: string): Pick<Line, 'tone'> =>
  state === 'failed' || state === 'rejected' ? { tone: 'bad' } : {};

function linesOf(
  moved: readonly Task[],
  { nodes }: Snapshot,
  { services }: Rollout,
): readonly Line[] {
  const nameOf = (task: Task): string => services.get(task.ServiceID)?.name ?? task.ServiceID;
  if (moved.length > MAX_LINES_A_LOOK) {
    const sums = new Map<string, { readonly state: string; count: number }>();
    for (const task of moved) {
      const { State: state } = task.Status;
      const key = `${nameOf(task)} ${state}`;
      const sum = sums.get(key);
      if (sum === undefined) sums.set(key, { state, count: 1 });
      else sum.count += 1;
    }
    const lines = [...sums].map(([key, { state, count }]) => ({
      text: safeLine(`${key}: ${plural(count, 'task')}`),
      ...toneOf(state),
    }));
    if (lines.length <= MAX_LINES_A_LOOK) return lines;
    const states = new Map<string, number>();
    for (const { state, count } of sums.values())
      states.set(state, (states.get(state) ?? 0) + count);
    return [...states].map(([state, count]) => ({
      text: `${plural(count, 'task')} of ${plural(lines.length, 'service')} ${state}`,
      ...toneOf(state),
    }));
  }
  return moved.map((task) => {
    const place = task.Slot === undefined ? nameOf(task) : `${nameOf(task)}.${task.Slot}`;
    const node = hostnameOf(nodes, task.NodeID);
    const { State: state, Err: error = '' } = task.Status;
    const text = `${place} ${state}${node === undefined ? '' : ` on ${node}`}${error === '' ? '' : `: ${error}`}`;
    return { text: safeLine(text), ...toneOf(state) };
  });
}

/** `2 of 3 ended with exit code 0, 1 running`: what is left of a service that may end. */
function endedText({ done, ended, wanted, kind }: ServiceProgress): string | undefined {
  if (ended === 0 || kind.kind.endsWith('job')) return undefined;
  const running = ended === done ? 'none' : done - ended;
  return `${ended} of ${wanted} ended with exit code 0, ${running} running`;
}

/** `api 7/10 up to date and running, 3 still on another version`. */
export function standingLine(progress: ServiceProgress): string {
  const { name, kind, done, wanted, older, extra, failures, unplaced } = progress;
  const noun = kind.kind.endsWith('job') ? 'completed' : 'up to date and running';
  return safeLine(
    [
      `${name} ${endedText(progress) ?? `${done}/${wanted} ${noun}`}`,
      ...(older === 0 ? [] : [`${older} still on another version`]),
      ...(extra === 0 ? [] : [`${extra} too many`]),
      ...(failures.length === 0 ? [] : [`${failures.length} failed`]),
      ...(unplaced === undefined ? [] : [`waiting for a node: ${unplaced}`]),
    ].join(', '),
  );
}

/** Of each service, once for a list of tasks. */
const coming = new WeakMap<readonly Task[], ReadonlyMap<string, readonly Task[]>>();

function comingTasks(tasks: readonly Task[]): ReadonlyMap<string, readonly Task[]> {
  const known = coming.get(tasks);
  if (known !== undefined) return known;
  const states: ReadonlySet<string> = new Set(ON_THE_WAY);
  const found = new Map<string, Task[]>();
  for (const task of tasks) {
    const { Status, DesiredState, ServiceID } = task;
    // Those of a job are meant to complete; those that wait for their turn to start, to be ready.
    if (!states.has(Status.State) || !['ready', 'running', 'complete'].includes(DesiredState))
      continue;
    const list = found.get(ServiceID);
    if (list === undefined) found.set(ServiceID, [task]);
    else list.push(task);
  }
  coming.set(tasks, found);
  return found;
}

/** `1 starting on worker-2, 2 preparing on worker-1`: tasks on their way to run. */
function onTheWay(id: string, { goal, seen }: Rollout): readonly string[] {
  if (seen === undefined) return [];
  const tasks = (comingTasks(seen.tasks).get(id) ?? []).filter(
    ({ ID }) => seen.upToDate.has(ID) && !goal.formerTasks.has(ID),
  );
  return ON_THE_WAY.flatMap((state) => {
    const here = tasks.filter(({ Status }) => Status.State === state);
    if (here.length === 0) return [];
    const nodes = new Set(here.map(({ NodeID }) => hostnameOf(seen.nodes, NodeID) ?? ''));
    nodes.delete('');
    const where =
      nodes.size === 0
        ? ''
        : ` on ${nodes.size > MAX_NODES ? plural(nodes.size, 'node') : [...nodes].sort().join(', ')}`;
    return [`${here.length} ${state}${where}`];
  });
}
const MAX_NODES = 3;

/** What a service has come to, as a reader of the log wants it: `api 7/10 updated, 1 failed`. */
function reachedText(id: string, progress: ServiceProgress, rollout: Rollout): readonly string[] {
  const { goal } = rollout;
  const { name, kind, done, wanted, older, extra, failures, unplaced } = progress;
  const other = otherThanAsked(id, rollout);
  const change = targetOf(goal, id)?.change;
  const noun = kind.kind.endsWith('job')
    ? 'completed'
    : goal.phase === 'restore'
      ? 'as before'
      : change === 'updated'
        ? 'updated'
        : 'running';
  return [
    other === undefined
      ? `${name} ${endedText(progress) ?? `${done}/${wanted} ${noun}`}`
      : `${name} ${other}, ${done}/${wanted} running`,
    // Before that, they are what the new ones replace.
    ...(older === 0 || done < wanted ? [] : [`${older} still on another version`]),
    ...(extra === 0 ? [] : [`${extra} too many`]),
    ...(failures.length === 0 ? [] : [`${failures.length} failed`]),
    ...(unplaced === undefined ? [] : [`waiting for a node: ${unplaced}`]),
  ];
}

/** Why what runs is not what was asked for, whatever is well of it; undefined where it is. */
function otherThanAsked(id: string, { goal, seen }: Rollout): string | undefined {
  const target = targetOf(goal, id);
  const live = seen?.services.find(({ ID }) => ID === id);
  if (target === undefined || live === undefined || sameSpec(live.Spec, target.spec))
    return undefined;
  const takenBack = live.UpdateStatus?.State?.startsWith('rollback_') === true;
  return takenBack ? 'taken back by Swarm' : 'changed by somebody else';
}

const targets = new WeakMap<Goal, ReadonlyMap<string, Target>>();

/** The target of a service, by its id. */
function targetOf(goal: Goal, id: string): Target | undefined {
  const known = targets.get(goal) ?? new Map(goal.targets.map((target) => [target.id, target]));
  targets.set(goal, known);
  return known.get(id);
}

/** `api 7/10 updated, 1 starting on worker-2`: how far a service is right now. */
export function progressLine(id: string, progress: ServiceProgress, rollout: Rollout): string {
  const [reached = '', ...rest] = reachedText(id, progress, rollout);
  return safeLine([reached, ...onTheWay(id, rollout), ...rest].join(', '));
}

/** What a rollout that is well has come to, as one sentence without its full stop. */
export function wellText({ services }: Rollout): string {
  const all = [...services.values()];
  const over = all.filter((each) => isJob(each.kind) || each.ended > 0);
  const idle = all.filter((each) => each.wanted === 0 && !over.includes(each));
  if (over.length + idle.length === 0)
    return `${plural(all.length, 'service')}, ${all.length === 1 ? '' : 'all '}healthy and stable`;
  const well = all.length - over.length - idle.length;
  return [
    ...(well === 0 ? [] : [`${plural(well, 'service')} healthy and stable`]),
    ...over.map(standingLine),
    ...(idle.length > MAX_NAMED
      ? [`${idle.length} services have nothing to run`]
      : idle.map(({ name, kind }) =>
          safeLine(`${name} ${kind.kind === 'global' ? 'runs on no node' : 'is scaled to 0'}`),
        )),
  ].join('; ');
}

/** What nobody may have meant: a service of each node that there is none for, as where a label is misspelt. */
function nowhere({ services, goal, end }: Rollout): readonly string[] {
  if (end?.kind !== 'converged' || goal.phase !== 'deploy') return [];
  return goal.targets.flatMap(({ id, name, change, spec }) => {
    const progress = services.get(id);
    const kind = progress?.kind.kind;
    if (change === 'unchanged' || progress?.wanted !== 0) return [];
    if (kind !== 'global' && kind !== 'global-job') return [];
    const constraints = at(spec, 'TaskTemplate', 'Placement', 'Constraints');
    const asked = (Array.isArray(constraints) ? (constraints as readonly Json[]) : []).filter(
      (each) => typeof each === 'string',
    );
    return [
      `${name} runs on no node: none that is up and active ` +
        (asked.length === 0 ? 'takes it' : `meets its constraints (${asked.join(', ')})`),
    ];
  });
}

/** What nobody may have meant: services that may end, and whose tasks did after they had been running. */
function endedLate({ services, goal, end }: Rollout): readonly string[] {
  if (end?.kind !== 'converged' || goal.phase !== 'deploy') return [];
  return [...services.values()]
    .filter((each) => each.endedLate && each.ended > 0)
    .map(
      (each) =>
        `${standingLine(each)}: its restart_policy takes that for its end, and Swarm does not start ` +
        'it again; a service that is meant to keep running needs the condition any',
    );
}

/** What the rollout waits for right now, for the heartbeat. */
export function waitingFor(rollout: Rollout): string {
  const behind = [...rollout.services].filter(([, { complete }]) => !complete);
  if (behind.length > 0) {
    const named = behind
      .slice(0, MAX_NAMED)
      .map(([id, progress]) => progressLine(id, progress, rollout));
    const more = behind.length - named.length;
    return [...named, ...(more === 0 ? [] : [`and ${plural(more, 'more service')}`])].join('; ');
  }
  if (rollout.lingering > 0) return `${rollout.lingering} of the removed services and tasks to go`;
  const updating = [...rollout.services.values()].filter((service) => service.updating);
  const inVain = updating.filter(({ waitsInVain }) => waitsInVain);
  if (inVain.length > 0)
    return `the monitor of ${inVain.map(({ name }) => name).join(', ')} to be over: Swarm will not say so, as it waits for a task that was called off`;
  if (updating.length > 0)
    return `Swarm to finish monitoring ${updating.map(({ name }) => name).join(', ')}`;
  return 'everything to stay as it is for the stability window';
}

/** ` (+ .9 .1 on manager-1, .3 on worker-2)`: the tasks that began to run, node by node. */
function arrivalsText(tasks: readonly Task[], snapshot: Snapshot): string {
  if (tasks.length === 0) return '';
  const byNode = new Map<string, Task[]>();
  for (const task of tasks) {
    const node = hostnameOf(snapshot.nodes, task.NodeID) ?? 'an unknown node';
    byNode.set(node, [...(byNode.get(node) ?? []), task]);
  }
  const parts = [...byNode].map(([node, here]) => {
    const slots = here.flatMap(({ Slot }) => (Slot === undefined ? [] : [`.${Slot}`]));
    const few = tasks.length <= MAX_LINES_A_LOOK && slots.length === here.length;
    return `${few ? slots.join(' ') : here.length} on ${node}`;
  });
  return safeLine(`(+ ${parts.join(', ')})`);
}

const MAX_NAMED = 5;
const HEARTBEAT_MS = 30_000;
const RUNNING = new Set(['running']);

/** What goes well is told in lines this far apart, in milliseconds: calm, however many tasks there are. */
const lullMs = (tasks: number): number =>
  tasks <= FEW_TASKS ? 1000 : tasks <= 100 ? 3000 : 10_000;

/** `142 of 200 services done: 312/500 tasks, 40 on their way, 3 failed`. */
function sumLine({ services, goal, seen }: Rollout, tasks: number): string {
  const all = [...services.values()];
  const count = (of: (each: ServiceProgress) => number): number =>
    all.reduce((sum, each) => sum + of(each), 0);
  const onWay = [...comingTasks(seen?.tasks ?? [])]
    .filter(([id]) => services.has(id))
    .flatMap(([, here]) => here.filter(({ ID }) => !goal.formerTasks.has(ID))).length;
  const failed = count(({ failures }) => failures.length);
  return [
    `${all.filter(({ complete }) => complete).length} of ${plural(all.length, 'service')} done: ${count(({ done }) => done)}/${plural(tasks, 'task')}`,
    ...(onWay === 0 ? [] : [`${onWay} on their way`]),
    ...(failed === 0 ? [] : [`${failed} failed`]),
  ].join(', ');
}

/** Of these failures those that are told; of many, the first ones of each service. */
function worthTelling(
  moved: readonly Task[],
  told: Map<string, number>,
  narrator: Narrator,
): readonly Task[] {
  const total = (): number => [...told.values()].reduce((sum, each) => sum + each, 0);
  return moved.filter(({ ServiceID, Status }) => {
    if (Status.State === 'complete') return true;
    const before = told.get(ServiceID) ?? 0;
    if (before < MAX_FAILURES_OF_A_SERVICE && total() < MAX_FAILURES) {
      told.set(ServiceID, before + 1);
      if (total() === MAX_FAILURES)
        narrator.say('so many tasks fail that from here on they are counted, not told', 'faint');
      return true;
    }
    return false;
  });
}

/**
 * Logs a rollout as it is seen: failures at once and one by one, the steps of each task where there are
 * few and sums where there are many, and what is waited for when nothing moves.
 */
export function progressLog(narrator: Narrator): (rollout: Rollout, snapshot: Snapshot) => void {
  let states: TaskStates = new Map();
  let seen: readonly Task[] | undefined;
  const standings = new Map<string, string>();
  const arrivals = new Map<string, Task[]>();
  const failures = new Map<string, number>();
  let spoken = -Infinity;
  let summed = -Infinity;
  let held = '';
  let told: Rollout['services'] | undefined;
  return (after, snapshot) => {
    const { holding, goal, end } = after;
    const lines: Line[] = [];
    // Services of which something was told right now: how far they are is told with it.
    const touched = new Set<string>();
    const tasks = [...after.services.values()].reduce((sum, { wanted }) => sum + wanted, 0);
    const few = tasks <= FEW_TASKS;
    // The reader gives the same list until something moves.
    if (snapshot.tasks !== seen) {
      const moved = movedTasks(states, snapshot, after, few ? TOLD : ENDED);
      const ended = new Set(
        worthTelling(
          moved.filter(({ Status }) => ENDED.has(Status.State)),
          failures,
          narrator,
        ),
      );
      const worth = moved.filter((task) => !ENDED.has(task.Status.State) || ended.has(task));
      lines.push(...linesOf(worth, snapshot, after));
      for (const { ServiceID } of worth) touched.add(ServiceID);
      if (!few)
        for (const task of movedTasks(states, snapshot, after, RUNNING))
          arrivals.set(task.ServiceID, [...(arrivals.get(task.ServiceID) ?? []), task]);
      states = statesOf(snapshot.tasks);
      seen = snapshot.tasks;
      for (const [id, progress] of after.services) draw(narrator.chart, id, progress, after);
    }

    const settled = holding !== undefined || end !== undefined;
    const due = settled || after.at - summed >= lullMs(tasks);
    if ((due || touched.size > 0) && after.services !== told) {
      if (due) [told, summed] = [after.services, after.at];
      const news: Line[] = [];
      for (const [id, progress] of after.services) {
        if (!due && !touched.has(id)) continue;
        const line = progressLine(id, progress, after);
        // Where each step of a task is told, it is told once.
        const key = few ? reachedText(id, progress, after).join(', ') : line;
        if (standings.get(id) === key) continue;
        standings.set(id, key);
        const arrived = arrivalsText(arrivals.get(id) ?? [], snapshot);
        arrivals.delete(id);
        news.push({
          text: `${line} ${arrived}`.trimEnd(),
          ...(progress.complete && otherThanAsked(id, after) === undefined ? { tone: 'good' } : {}),
        });
      }
      if (due) arrivals.clear();
      if (news.length <= MAX_LINES_A_LOOK) lines.push(...news);
      else lines.push({ text: sumLine(after, tasks) });
    }
    const waits = holding !== undefined && !holding.proven && goal.stableForMs > 0;
    if (waits && holding.tasks !== held) {
      held = holding.tasks;
      if (end === undefined)
        lines.push({
          text: `${goal.needed === undefined ? 'everything' : 'what is waited for'} runs; now it must stay so for ${spokenTime(goal.stableForMs)}`,
        });
    }
    if (waits && end?.kind === 'converged')
      lines.push({ text: `stayed so for ${spokenTime(goal.stableForMs)}`, tone: 'good' });
    if (lines.length === 0 && after.at - spoken >= HEARTBEAT_MS && end === undefined)
      lines.push({ text: `waiting for ${waitingFor(after)}`, tone: 'faint' });
    if (lines.length > 0) spoken = after.at;
    for (const { text, tone } of lines) narrator.say(text, tone);
    for (const line of [...endedLate(after), ...nowhere(after)]) narrator.warn(line);
    if (end !== undefined) narrator.chart.close(goal.phase === 'restore' ? 'back' : 'rollout');
  };
}

/** How far a service is, for the picture. */
function draw(chart: Chart, id: string, progress: ServiceProgress, rollout: Rollout): void {
  const { goal } = rollout;
  const isOther = otherThanAsked(id, rollout) !== undefined;
  const { name, complete, updating, done, wanted, failures } = progress;
  const over = complete && !updating && !isOther;
  chart.service(
    goal.phase === 'restore' ? 'back' : 'rollout',
    name,
    over ? 'done' : failures.length > 0 && goal.phase === 'deploy' ? 'failed' : 'open',
    isOther ? '' : targetOf(goal, id)?.mustEnd === true && over ? 'ended' : `${done}/${wanted}`,
  );
}
