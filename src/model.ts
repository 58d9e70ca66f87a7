/**
 * The swarm's own words, as the Engine API spells them, reduced to what decisions need. A spec is
 * kept whole as parsed JSON, so that it can be written back exactly; the accessors below read it.
 */

export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

/** A service spec exactly as the engine gave it; unknown fields included. */
export type ServiceSpec = JsonObject & { readonly Name: string };

export type UpdateState =
  | 'updating'
  | 'paused'
  | 'completed'
  | 'rollback_started'
  | 'rollback_paused'
  | 'rollback_completed';

export interface UpdateStatus {
  readonly State?: UpdateState;
  readonly Message?: string;
  readonly StartedAt?: string;
}

export interface Service {
  readonly ID: string;
  readonly Version: { readonly Index: number };
  readonly Spec: ServiceSpec;
  readonly PreviousSpec?: ServiceSpec;
  readonly UpdateStatus?: UpdateStatus;
  readonly JobStatus?: { readonly JobIteration: { readonly Index?: number } };
  /** Where it was asked for. `RunningTasks` counts those of a former spec, too. */
  readonly ServiceStatus?: {
    readonly RunningTasks?: number;
    readonly DesiredTasks?: number;
    readonly CompletedTasks?: number;
  };
}

/** In the order a task goes through them; `shutdown` and later are ends. */
export const TASK_STATES = [
  'new',
  'pending',
  'assigned',
  'accepted',
  'preparing',
  'ready',
  'starting',
  'running',
  'complete',
  'shutdown',
  'failed',
  'rejected',
  'remove',
  'orphaned',
] as const;
export type TaskState = (typeof TASK_STATES)[number];

export interface Task {
  readonly ID: string;
  readonly CreatedAt: string;
  /** When the swarm last wrote it, by the same clock as `CreatedAt`. */
  readonly UpdatedAt?: string;
  readonly ServiceID: string;
  /** Counts from 1 (from 0 for jobs); absent for global services. */
  readonly Slot?: number;
  readonly NodeID?: string;
  readonly Status: {
    readonly Timestamp?: string;
    readonly State: TaskState;
    readonly Message?: string;
    readonly Err?: string;
    readonly ContainerStatus?: { readonly ExitCode?: number; readonly ContainerID?: string };
    /** The host-mode ports that it holds on its node. */
    readonly PortStatus?: {
      readonly Ports?: readonly { readonly PublishedPort?: number; readonly Protocol?: string }[];
    };
  };
  readonly DesiredState: TaskState;
  readonly JobIteration?: { readonly Index?: number };
}

export interface Node {
  readonly ID: string;
  readonly Spec: {
    readonly Role?: string;
    readonly Availability?: 'active' | 'pause' | 'drain';
    readonly Labels?: Readonly<Record<string, string>>;
  };
  readonly Description?: {
    readonly Hostname?: string;
    readonly Platform?: { readonly Architecture?: string; readonly OS?: string };
    readonly Engine?: {
      readonly EngineVersion?: string;
      readonly Labels?: Readonly<Record<string, string>>;
    };
  };
  readonly Status: { readonly State?: string; readonly Addr?: string };
}

/** Everything the swarm said at one moment; `upToDate` holds the ids of tasks of the live spec. */
export interface Snapshot {
  /** Milliseconds on the clock of the watcher. */
  readonly at: number;
  readonly services: readonly Service[];
  readonly tasks: readonly Task[];
  readonly upToDate: ReadonlySet<string>;
  readonly nodes: readonly Node[];
  /** The tasks of services that had settled are those of an earlier look. */
  readonly partial?: true;
  /** Milliseconds since 1970 on the manager's clock, which stamps the creation of tasks. */
  readonly managerTime?: number;
  /** Services with tasks that ended well by their exit code, and may have been killed as unhealthy. */
  readonly healthchecked?: ReadonlySet<string>;
  /** Services whose image is not in its registry: it said so when it was asked. */
  readonly imageless?: ReadonlySet<string>;
}

/** Whether both tell of one rollback, at whatever point: Swarm keeps the time at which it began. */
export const isSameRollback = (a: UpdateStatus | undefined, b: UpdateStatus | undefined): boolean =>
  a?.State?.startsWith('rollback_') === true &&
  b?.State?.startsWith('rollback_') === true &&
  a.StartedAt === b.StartedAt;

/** Until it is written again, Swarm leaves a service as it was when it paused. */
export const isPaused = ({ UpdateStatus }: Pick<Service, 'UpdateStatus'>): boolean =>
  UpdateStatus?.State === 'paused' || UpdateStatus?.State === 'rollback_paused';

/** What a service is meant to be doing, decided from its spec. */
export type Kind =
  | { readonly kind: 'replicated'; readonly replicas: number; readonly oneShot: boolean }
  | { readonly kind: 'global'; readonly constraints: readonly string[]; readonly oneShot: boolean }
  | { readonly kind: 'replicated-job'; readonly completions: number }
  | { readonly kind: 'global-job'; readonly constraints: readonly string[] };

/** The value at a path of object keys, or undefined where the path ends early. */
export function at(value: Json | undefined, ...path: readonly string[]): Json | undefined {
  let here: Json | undefined = value;
  for (const key of path) {
    if (typeof here !== 'object' || here === null || Array.isArray(here)) return undefined;
    here = (here as JsonObject)[key];
  }
  return here;
}

function text(value: Json | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function count(value: Json | undefined): number | undefined {
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : undefined;
}

function strings(value: Json | undefined): readonly string[] {
  return Array.isArray(value)
    ? (value as readonly Json[]).filter((item) => typeof item === 'string')
    : [];
}

/** The image as the service asks for it, tag and digest included. */
export function imageOf(spec: ServiceSpec): string {
  return text(at(spec, 'TaskTemplate', 'ContainerSpec', 'Image')) ?? '';
}

/** A network, config or secret that a spec names by its id. */
export interface Reference {
  readonly kind: 'network' | 'config' | 'secret';
  readonly id: string;
  /** A network has none in a spec. */
  readonly name?: string;
}

/** What a service cannot be created or updated without. */
export function referencesOf(spec: ServiceSpec): readonly Reference[] {
  const list = (...path: readonly string[]): readonly Json[] => {
    const found = at(spec, ...path);
    return Array.isArray(found) ? (found as readonly Json[]) : [];
  };
  const container = ['TaskTemplate', 'ContainerSpec'];
  return [
    ...list(...container, 'Configs').map((each) => ({
      kind: 'config' as const,
      id: text(at(each, 'ConfigID')) ?? '',
      name: text(at(each, 'ConfigName')) ?? '',
    })),
    ...list(...container, 'Secrets').map((each) => ({
      kind: 'secret' as const,
      id: text(at(each, 'SecretID')) ?? '',
      name: text(at(each, 'SecretName')) ?? '',
    })),
    ...[...list('TaskTemplate', 'Networks'), ...list('Networks')].map((each) => ({
      kind: 'network' as const,
      id: text(at(each, 'Target')) ?? '',
    })),
  ];
}

/** Whether a healthcheck checks anything. @param healthcheck of a spec, or of an image */
export function checksHealth(healthcheck: Json | undefined): boolean {
  const test = strings(at(healthcheck, 'Test'));
  return test.length > 0 && test[0] !== 'NONE';
}

/** Whether tasks of this spec are judged by a healthcheck of the service itself (not the image's). */
export const hasOwnHealthcheck = (spec: ServiceSpec): boolean =>
  checksHealth(at(spec, 'TaskTemplate', 'ContainerSpec', 'Healthcheck'));

/** Whether the service says that a healthcheck of its image does not hold for it. */
export function disablesHealthcheck(spec: ServiceSpec): boolean {
  return strings(at(spec, 'TaskTemplate', 'ContainerSpec', 'Healthcheck', 'Test'))[0] === 'NONE';
}

export type RestartCondition = 'any' | 'on-failure' | 'none';

/** `any` is the default. */
export function restartCondition(spec: ServiceSpec): RestartCondition {
  const condition = text(at(spec, 'TaskTemplate', 'RestartPolicy', 'Condition'));
  return condition === 'on-failure' || condition === 'none' ? condition : 'any';
}

/**
 * The update monitor in milliseconds: how long after starting a failure still counts for Swarm.
 * Swarm's default is 5 s (swarmkit api/defaults/service.go).
 */
export function monitorMs(spec: ServiceSpec): number {
  const nanoseconds = count(at(spec, 'UpdateConfig', 'Monitor'));
  return nanoseconds === undefined || nanoseconds === 0 ? 5000 : nanoseconds / 1e6;
}

/** Whether an update starts the new task of a slot before it stops the former one. */
export function updateOrder(spec: ServiceSpec): 'start-first' | 'stop-first' {
  return text(at(spec, 'UpdateConfig', 'Order')) === 'start-first' ? 'start-first' : 'stop-first';
}

/** Whether Swarm gives a slot up that goes on failing. */
export function limitsRestarts(spec: ServiceSpec): boolean {
  return (count(at(spec, 'TaskTemplate', 'RestartPolicy', 'MaxAttempts')) ?? 0) > 0;
}

/**
 * How often Swarm starts a failed task of a slot again; Infinity where there is no limit, or none that
 * a count tells: with a window, what failed before it is forgotten.
 */
export function maxRestarts(spec: ServiceSpec): number {
  const policy = at(spec, 'TaskTemplate', 'RestartPolicy');
  const attempts = count(at(policy, 'MaxAttempts')) ?? 0;
  const window = count(at(policy, 'Window')) ?? 0;
  return attempts === 0 || window > 0 ? Infinity : attempts;
}

/**
 * How many tasks an update replaces at a time; 0 for all of them, Swarm's default is 1
 * (swarmkit api/defaults/service.go).
 */
export function parallelism(spec: ServiceSpec): number {
  const config = at(spec, 'UpdateConfig');
  return config === undefined ? 1 : (count(at(config, 'Parallelism')) ?? 0);
}

/** How long a task may take to stop once it was asked to, in milliseconds; Docker's default is 10 s. */
export function stopGraceMs(spec: ServiceSpec): number {
  const nanoseconds = count(at(spec, 'TaskTemplate', 'ContainerSpec', 'StopGracePeriod'));
  return nanoseconds === undefined ? 10_000 : nanoseconds / 1e6;
}

export type UpdateConfig = 'UpdateConfig' | 'RollbackConfig';

/** The pause between the batches of an update, or of the way back, in milliseconds. */
export function delayMs(spec: ServiceSpec, config: UpdateConfig = 'UpdateConfig'): number {
  return (count(at(spec, config, 'Delay')) ?? 0) / 1e6;
}

/**
 * All the pauses that replacing the tasks of a service takes, by either of its configs, in milliseconds.
 * @param tasks how many there are
 */
export function pausesMs(spec: ServiceSpec, tasks: number): number {
  const pauses = (config: UpdateConfig): number => {
    // 0 is all at once, nothing is one at a time.
    const parallelism = count(at(spec, config, 'Parallelism')) ?? 1;
    const batches = parallelism === 0 ? 1 : Math.ceil(tasks / parallelism);
    return Math.max(0, batches - 1) * delayMs(spec, config);
  };
  return Math.max(pauses('UpdateConfig'), pauses('RollbackConfig'));
}

export function kindOf(spec: ServiceSpec): Kind {
  const mode = at(spec, 'Mode');
  const constraints = strings(at(spec, 'TaskTemplate', 'Placement', 'Constraints'));
  // A container that fails its healthcheck and answers SIGTERM with exit code 0 ends `complete`,
  // like a task that did its work (tried): what has a healthcheck is meant to keep running.
  const oneShot = restartCondition(spec) !== 'any' && !hasOwnHealthcheck(spec);
  if (at(mode, 'Global') !== undefined) return { kind: 'global', constraints, oneShot };
  if (at(mode, 'GlobalJob') !== undefined) return { kind: 'global-job', constraints };
  const job = at(mode, 'ReplicatedJob');
  if (job !== undefined) {
    const completions = count(at(job, 'TotalCompletions')) ?? count(at(job, 'MaxConcurrent')) ?? 1;
    return { kind: 'replicated-job', completions };
  }
  return { kind: 'replicated', replicas: count(at(mode, 'Replicated', 'Replicas')) ?? 1, oneShot };
}

export function isJob(kind: Kind): boolean {
  return kind.kind === 'replicated-job' || kind.kind === 'global-job';
}

/** A node's name for people. */
export function hostnameOf(nodes: readonly Node[], id: string | undefined): string | undefined {
  if (id === undefined || id === '') return undefined;
  return nodes.find((node) => node.ID === id)?.Description?.Hostname ?? id.slice(0, 12);
}

/** `repository:tag` and the digest apart, of an image reference that may have either. */
export function splitImage(image: string): { readonly name: string; readonly digest?: string } {
  const cut = image.indexOf('@');
  return cut < 0 ? { name: image } : { name: image.slice(0, cut), digest: image.slice(cut + 1) };
}

const compared = new WeakMap<
  ServiceSpec,
  { readonly other: ServiceSpec; readonly same: boolean }
>();

/** The same for specs, which are compared at every look: the last comparison is remembered. */
export function sameSpec(a: ServiceSpec, b: ServiceSpec): boolean {
  const known = compared.get(a);
  if (known?.other === b) return known.same;
  const same = sameJson(a, b);
  compared.set(a, { other: b, same });
  return same;
}

/** On a service for the moment in which Swarm's updater is made to begin anew. */
const MARK = 'swarm-deploy.nudge';

/** Restarts nothing: a label of the service, and of none of its tasks. */
export const nudged = (spec: ServiceSpec): ServiceSpec => ({
  ...spec,
  Labels: { ...(at(spec, 'Labels') as JsonObject | null), [MARK]: 'x' },
});

/** Two pieces of JSON with the same content; an absent key equals an undefined one. */
export function sameJson(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return (a as readonly Json[]).every((item, index) =>
      sameJson(item, (b as readonly Json[])[index]),
    );
  }
  const [left, right] = [a as JsonObject, b as JsonObject];
  return (
    Object.keys(left).every((key) => sameJson(left[key], right[key])) &&
    Object.keys(right).every((key) => Object.hasOwn(left, key) || right[key] === undefined)
  );
}
