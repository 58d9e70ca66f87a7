/** Small builders of what the swarm says, for tests of the pure modules. */
import type {
  JsonObject,
  Node,
  Service,
  ServiceSpec,
  Snapshot,
  Task,
  TaskState,
  UpdateState,
  UpdateStatus,
} from '../../src/model.js';
import { beginRollout, type Goal, type Rollout, type Target } from '../../src/rollout/observe.js';

export const SERVICE = 'service-1';

export function spec(image = 'api:2', more: JsonObject = {}, task: JsonObject = {}): ServiceSpec {
  return {
    Name: 'shop_api',
    TaskTemplate: { ContainerSpec: { Image: `${image}@sha256:1` }, ...task },
    Mode: { Replicated: { Replicas: 2 } },
    ...more,
  };
}

export const service = (is: ServiceSpec = spec(), more: Partial<Service> = {}): Service => ({
  ID: SERVICE,
  Version: { Index: 7 },
  Spec: is,
  ...more,
});

export const status = (State: UpdateState, more: Partial<UpdateStatus> = {}): UpdateStatus => ({
  State,
  Message: `it is ${State}`,
  StartedAt: '2026-01-01T00:00:00Z',
  ...more,
});

const ENDED: readonly TaskState[] = ['complete', 'shutdown', 'failed', 'rejected'];

export function task(
  ID: string,
  state: TaskState,
  more: Partial<Task> & { Err?: string } = {},
): Task {
  const { Err, ...rest } = more;
  return {
    ID,
    CreatedAt: '2026-01-01T00:00:00Z',
    ServiceID: SERVICE,
    Slot: 1,
    NodeID: 'n1',
    DesiredState: ENDED.includes(state) ? 'shutdown' : 'running',
    Status: { State: state, ...(Err === undefined ? {} : { Err }) },
    ...rest,
  };
}

export const node = (ID: string, more: Partial<Node> = {}): Node => ({
  ID,
  Spec: { Role: 'worker', Availability: 'active' },
  Description: { Hostname: `host-${ID}` },
  Status: { State: 'ready', Addr: '10.0.0.1' },
  ...more,
});

/** `old` holds the ids of tasks of another spec; all others are up to date. */
export function snapshot(
  at: number,
  tasks: readonly Task[],
  more: {
    readonly services?: readonly Service[];
    readonly old?: readonly string[];
    readonly nodes?: readonly Node[];
  } = {},
): Snapshot {
  const old = new Set(more.old ?? []);
  return {
    at,
    tasks,
    services: more.services ?? [service()],
    nodes: more.nodes ?? [node('n1'), node('n2')],
    upToDate: new Set(tasks.map(({ ID }) => ID).filter((id) => !old.has(id))),
  };
}

export const target = (more: Partial<Target> = {}): Target => ({
  id: SERVICE,
  name: 'shop_api',
  change: 'updated',
  spec: spec(),
  ...more,
});

export function goal(more: Partial<Goal> = {}): Goal {
  return {
    phase: 'deploy',
    targets: [target()],
    gone: [],
    formerTasks: new Set(),
    settledTasks: more.formerTasks ?? new Set(),
    startedAt: 0,
    stableForMs: 5000,
    timeoutMs: 600_000,
    progressTimeoutMs: 60_000,
    maxFailures: 3,
    ...more,
  };
}

export const begin = (more: Partial<Goal> = {}): Rollout => beginRollout(goal(more));

/** The same without some of its keys, as the engine leaves them out. */
export function without<T extends object, Key extends keyof T>(
  value: T,
  ...keys: readonly Key[]
): Omit<T, Key> {
  const left = Object.entries(value).filter(([key]) => !(keys as readonly string[]).includes(key));
  return Object.fromEntries(left) as Omit<T, Key>;
}
