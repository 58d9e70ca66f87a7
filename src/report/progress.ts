/** The live log of a rollout: what changed from one snapshot to the next, in Docker's words. */
import { hostnameOf, type Snapshot, type Task } from '../model.js';
import type { Rollout, ServiceProgress } from '../rollout/observe.js';
import type { Narrator } from './narrator.js';
import { plural, safeLine, spokenTime } from './text.js';

/** Above this many tasks moving between two looks, only sums are logged. */
const MAX_LINES_A_LOOK = 12;

/** Said when a task gets there; what lies between is over in a moment. */
const TOLD = new Set(['starting', 'running', 'complete', 'failed', 'rejected']);
const ENDED = new Set(['complete', 'failed', 'rejected']);

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
  const names = new Map([...rollout.services].map(([id, { name }]) => [id, name]));
  const moved = movedTasks(before, snapshot, rollout, told);
  if (moved.length > MAX_LINES_A_LOOK) {
    const sums = new Map<string, number>();
    for (const task of moved) {
      const key = `${names.get(task.ServiceID) ?? ''} ${task.Status.State}`;
      sums.set(key, (sums.get(key) ?? 0) + 1);
    }
    return [...sums].map(([key, count]) => safeLine(`${key}: ${plural(count, 'task')}`));
  }
  return moved.map((task) => {
    const name = names.get(task.ServiceID) ?? task.ServiceID;
    const place = task.Slot === undefined ? name : `${name}.${task.Slot}`;
    const node = hostnameOf(snapshot.nodes, task.NodeID);
    const error = task.Status.Err ?? '';
    return safeLine(
      `${place} ${task.Status.State}${node === undefined ? '' : ` on ${node}`}${error === '' ? '' : `: ${error}`}`,
    );
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

/** What a rollout that is well has come to, as one sentence without its full stop. */
export function wellText({ services }: Rollout): string {
  const all = [...services.values()];
  const over = all.filter((each) => each.kind.kind.endsWith('job') || each.ended > 0);
  if (over.length === 0) return `${plural(all.length, 'service')}, all healthy and stable`;
  const well = all.length - over.length;
  return [
    ...(well === 0 ? [] : [`${plural(well, 'service')} healthy and stable`]),
    ...over.map(standingLine),
  ].join('; ');
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
  const behind = [...rollout.services.values()].filter(({ complete }) => !complete);
  if (behind.length > 0) return behind.slice(0, 5).map(standingLine).join('; ');
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

const HEARTBEAT_MS = 30_000;
/** What goes well is told in lines this far apart, however many tasks there are. */
const LULL_MS = 1000;
const RUNNING = new Set(['running']);

/**
 * Logs a rollout as it is seen: failures at once and one by one, what goes well summed up, and what
 * is waited for when nothing moves.
 */
export function progressLog(narrator: Narrator): (rollout: Rollout, snapshot: Snapshot) => void {
  let states: TaskStates = new Map();
  let seen: readonly Task[] | undefined;
  const standings = new Map<string, string>();
  let arrivals = new Map<string, Task[]>();
  let spoken = -Infinity;
  let held = '';
  return (after, snapshot) => {
    const lines: string[] = [];
    // The reader gives the same list until something moves.
    if (snapshot.tasks !== seen) {
      lines.push(...transitions(states, snapshot, after, ENDED));
      for (const task of movedTasks(states, snapshot, after, RUNNING))
        arrivals.set(task.ServiceID, [...(arrivals.get(task.ServiceID) ?? []), task]);
      states = statesOf(snapshot.tasks);
      seen = snapshot.tasks;
    }

    const settled = after.holding !== undefined || after.end !== undefined;
    if (settled || lines.length > 0 || after.at - spoken >= LULL_MS) {
      for (const [id, progress] of after.services) {
        const line = standingLine(progress);
        if (standings.get(id) === line) continue;
        standings.set(id, line);
        lines.push(`${line} ${arrivalsText(arrivals.get(id) ?? [], snapshot)}`.trimEnd());
      }
      arrivals = new Map();
    }
    const { holding, goal, end } = after;
    const waits = holding !== undefined && !holding.proven && goal.stableForMs > 0;
    if (waits && holding.tasks !== held) {
      held = holding.tasks;
      if (end === undefined)
        lines.push(
          `${goal.needed === undefined ? 'everything' : 'what is waited for'} runs; now it must stay so for ${spokenTime(goal.stableForMs)}`,
        );
    }
    if (waits && end?.kind === 'converged')
      lines.push(`stayed so for ${spokenTime(goal.stableForMs)}`);
    if (lines.length === 0 && after.at - spoken >= HEARTBEAT_MS && end === undefined)
      lines.push(`waiting for ${waitingFor(after)}`);
    if (lines.length > 0) spoken = after.at;
    lines.forEach(narrator.say);
    for (const line of endedLate(after)) narrator.warn(line);
  };
}
