/**
 * Recorded rollouts (scripts/record-traces.mjs), as the snapshots that the action would have read,
 * and what it would have watched for.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Node, Service, ServiceSpec, Snapshot, Task } from '../../src/model.js';
import { changesOf } from '../../src/plan.js';
import type { Goal } from '../../src/rollout/goal.js';
import { settledTasks, stableForMs } from '../../src/rollout/stability.js';

const FOLDER = new URL('../scenarios/traces/', import.meta.url);

/** As it is stored: every value once, snapshots name them by index. */
interface Stored {
  readonly title: string;
  readonly engine: string;
  readonly stack: string;
  /** Full names of the services in the files. */
  readonly names: readonly string[];
  /** Indices of snapshots: the last before the deploy, the first after the swarm accepted it. */
  readonly before: number;
  readonly accepted: number;
  readonly events: readonly { readonly at: number; readonly what: string }[];
  readonly specs: readonly ServiceSpec[];
  readonly services: readonly (Omit<Service, 'Spec' | 'PreviousSpec'> & {
    readonly Spec: number;
    readonly PreviousSpec?: number;
  })[];
  readonly tasks: readonly Task[];
  readonly nodes: readonly Node[];
  readonly snapshots: readonly {
    /** Milliseconds; more than one where nothing had changed. */
    readonly at: readonly number[];
    readonly managerTime: number;
    readonly services: readonly number[];
    readonly upToDate: readonly number[];
    readonly older: readonly number[];
    readonly nodes: readonly number[];
  }[];
}

export interface Trace {
  readonly name: string;
  readonly title: string;
  readonly engine: string;
  readonly stack: string;
  /** When something was done to the swarm, by what was done; milliseconds. */
  readonly events: ReadonlyMap<string, number>;
  readonly goal: Goal;
  /** From the moment that the swarm had accepted the deploy. */
  readonly snapshots: readonly Snapshot[];
}

function pick<T>(values: readonly T[], index: number): T {
  const value = values[index];
  if (value === undefined) throw new Error(`a trace refers to entry ${index}, which is not there`);
  return value;
}

export const traceNames = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.slice(0, -'.json'.length));

export function loadTrace(name: string): Trace {
  const stored = JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), 'utf8')) as Stored;
  const services = stored.services.map(({ Spec, PreviousSpec, ...rest }): Service => ({
    ...rest,
    Spec: pick(stored.specs, Spec),
    ...(PreviousSpec === undefined ? {} : { PreviousSpec: pick(stored.specs, PreviousSpec) }),
  }));
  const groups = stored.snapshots.map((group): readonly Snapshot[] => {
    const upToDate = group.upToDate.map((index) => pick(stored.tasks, index));
    const content = {
      managerTime: group.managerTime,
      services: group.services.map((index) => pick(services, index)),
      tasks: [...upToDate, ...group.older.map((index) => pick(stored.tasks, index))],
      upToDate: new Set(upToDate.map(({ ID }) => ID)),
      nodes: group.nodes.map((index) => pick(stored.nodes, index)),
    };
    return group.at.map((at) => ({ ...content, at }));
  });
  const before = pick(pick(groups, stored.before), 0);
  const snapshots = groups.slice(stored.accepted).flat();
  return {
    name,
    title: stored.title,
    engine: stored.engine,
    stack: stored.stack,
    events: new Map(stored.events.map(({ what, at }) => [what, at])),
    goal: goalOf(before, pick(snapshots, 0), stored.names),
    snapshots,
  };
}

/** What the action would watch for, with the inputs that it has unless told. */
function goalOf(before: Snapshot, first: Snapshot, names: readonly string[]): Goal {
  const changes = changesOf(before, first.services, names);
  return {
    phase: 'deploy',
    targets: changes.targets,
    gone: [],
    formerTasks: new Set(before.tasks.map(({ ID }) => ID)),
    settledTasks: settledTasks(before),
    startedAt: first.at,
    stableForMs: stableForMs('auto', changes, before),
    timeoutMs: 15 * 60_000,
    progressTimeoutMs: 5 * 60_000,
    maxFailures: 3,
  };
}
