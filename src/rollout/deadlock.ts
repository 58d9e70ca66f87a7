/**
 * Finds updates that Swarm can never finish by itself: what the new tasks wait for is held by the
 * former ones, and those are only stopped once the new ones run.
 */
import type { Reason } from '../errors.js';
import {
  at,
  hostnameOf,
  parallelism,
  updateOrder,
  type Json,
  type Kind,
  type Snapshot,
  type Task,
} from '../model.js';
import type { Target } from './goal.js';
import {
  calledOff,
  isRunning,
  isWanted,
  placeOf,
  rank,
  RUNNING,
  type Standing,
} from './standing.js';

/** Why an update cannot go on, for people, as the end of a sentence that begins with the service. */
export interface Deadlock {
  readonly reason: Reason;
  readonly message: string;
}

/** The words of swarmkit's scheduler (manager/scheduler/filter.go). */
const PORT_TAKEN = /host-mode port already in use on (\d+) node/;
const NODE_FULL = /max replicas per node limit exceed/;

/**
 * @param tasks of the target, at this moment
 * @returns undefined where something may still move
 */
export function deadlockOf(
  target: Target,
  kind: Kind,
  tasks: readonly Task[],
  stand: Standing,
  snapshot: Snapshot,
  formerTasks: ReadonlySet<string>,
): Deadlock | undefined {
  const wanted = tasks.filter(isWanted);
  const older = wanted.filter(({ ID }) => !snapshot.upToDate.has(ID));
  const current = wanted.filter(({ ID }) => snapshot.upToDate.has(ID));
  // One that takes its time to stop frees its place later on.
  if (older.length === 0 || tasks.some((task) => isLeaving(task, snapshot))) return undefined;
  // An earlier update from the same spec may have left such tasks, too.
  const fresh = tasks.filter(({ ID }) => !formerTasks.has(ID));
  return (
    pausedNodes(kind, older, current, stand, snapshot) ??
    startFirst(target, older, current) ??
    updaterGone(target, fresh, current, snapshot)
  );
}

/** Told to stop, and still there. What is on a lost node says nothing of itself any more. */
function isLeaving(task: Task, { nodes }: Snapshot): boolean {
  const { State } = task.Status;
  if (isWanted(task) || rank(State) < rank('assigned') || rank(State) > RUNNING) return false;
  return !nodes.some(({ ID, Status }) => ID === task.NodeID && Status.State === 'down');
}

/** All that an update does at a time are waits for tasks that were called off. */
function updaterGone(
  { spec }: Target,
  tasks: readonly Task[],
  current: readonly Task[],
  snapshot: Snapshot,
): Deadlock | undefined {
  const waits = calledOff(tasks, snapshot);
  const atOnce = parallelism(spec);
  if (atOnce === 0 || waits.length < atOnce || !current.every(isRunning)) return undefined;
  const { nodes } = snapshot;
  const names = [...new Set(waits.map(({ NodeID }) => hostnameOf(nodes, NodeID) ?? ''))];
  const where = names.filter(Boolean).join(', ');
  return {
    reason: 'unschedulable',
    message: `is not updated any further: Swarm waits for ever for a task${where === '' ? '' : ` on ${where}`} that was called off before it began, as when a node is drained in mid-update; deploy again`,
  };
}

/** Swarm neither adds nor updates anything on a paused node (manager/orchestrator/global). */
function pausedNodes(
  kind: Kind,
  older: readonly Task[],
  current: readonly Task[],
  stand: Standing,
  { nodes }: Snapshot,
): Deadlock | undefined {
  if (kind.kind !== 'global' || stand.done < stand.wanted || !current.every(isRunning))
    return undefined;
  const paused = new Set(
    nodes.filter(({ Spec }) => Spec.Availability === 'pause').map(({ ID }) => ID),
  );
  if (!older.every(({ NodeID = '' }) => paused.has(NodeID))) return undefined;
  const names = [...new Set(older.map(({ NodeID }) => hostnameOf(nodes, NodeID)))].join(', ');
  return {
    reason: 'unschedulable',
    message: `keeps its former version on ${names}: Swarm updates nothing on a paused node (docker node update --availability active, or drain)`,
  };
}

/** Every new task waits for a place that only the end of a former one would free. */
function startFirst(
  target: Target,
  older: readonly Task[],
  current: readonly Task[],
): Deadlock | undefined {
  if (updateOrder(target.spec) !== 'start-first') return undefined;
  const waiting = current.filter((task) => !isRunning(task));
  const errors = waiting.map(({ Status }) => (Status.State === 'pending' ? Status.Err : '') ?? '');
  const [error = ''] = errors;
  // A slot whose new task runs is about to lose its former one.
  const started = new Set(current.filter(isRunning).map(placeOf));
  if (waiting.length === 0 || older.some((task) => started.has(placeOf(task)))) return undefined;
  const taken = errors.map((text) => Number(PORT_TAKEN.exec(text)?.[1]));
  const held = holders(target, [...older, ...current]).size;
  // On more nodes than that somebody else holds it, too, who may yet go.
  if (taken.every((count) => count > 0 && count <= held))
    return {
      reason: 'host-port-deadlock',
      message: `cannot be updated start-first: its former tasks hold the host-mode port that the new ones need (${error}); use order: stop-first`,
    };
  if (errors.every((text) => NODE_FULL.test(text)))
    return {
      reason: 'unschedulable',
      message: `cannot be updated start-first: max_replicas_per_node leaves no room beside its former tasks (${error}); use order: stop-first, or a higher limit`,
    };
  return undefined;
}

interface Port {
  readonly PublishedPort?: number;
  readonly Protocol?: string;
}

/** The nodes on which tasks of the service hold a host-mode port that its spec asks for. */
function holders({ spec }: Target, tasks: readonly Task[]): ReadonlySet<string | undefined> {
  const ports = at(spec, 'EndpointSpec', 'Ports');
  const asked = new Set(
    (Array.isArray(ports) ? (ports as readonly Json[]) : [])
      .filter((port) => at(port, 'PublishMode') === 'host')
      .map((port) => portName(port as Port)),
  );
  const holds = ({ Status }: Task): boolean =>
    Status.PortStatus?.Ports?.some((port) => asked.has(portName(port))) === true;
  return new Set(tasks.filter(holds).map(({ NodeID }) => NodeID));
}

const portName = ({ PublishedPort = 0, Protocol = 'tcp' }: Port): string =>
  `${PublishedPort}/${Protocol}`;
