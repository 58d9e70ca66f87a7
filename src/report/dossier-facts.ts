/** Reads out of the last look at a rollout what a dossier holds of each service that failed. */
import { placeOf, type Places } from '../compose/places.js';
import type { Reason } from '../errors.js';
import { at, hostnameOf, type Snapshot, type Task } from '../model.js';
import { exitCodeMeaning, type Failure } from '../rollout/classify.js';
import { leadingFailure, type End, type Rollout, type Target } from '../rollout/observe.js';
import { placeOf as taskPlace, rank, RUNNING } from '../rollout/standing.js';
import type { Dossier, DossierTask, ServiceDossier, TaskLog } from './dossier.js';
import { complains, wordsFor, type Facts } from './dossier-words.js';

/** A task whose output says more than Docker does. */
export interface Witness {
  readonly taskId: string;
  /** `shop_api.3`; without a number for global services. */
  readonly task: string;
  readonly node: string;
  /** Its output comes without frames. */
  readonly isRaw: boolean;
  /** The log driver that the service asks for; '' for the default of the node's engine. */
  readonly driver: string;
}

/** A service that failed, before its log is read. */
export interface FailedService {
  readonly target: Target;
  readonly facts: Facts;
  readonly tasks: readonly DossierTask[];
  /** Undefined where no container has run. */
  readonly witness: Witness | undefined;
}

/** Services of which a dossier tells; nobody reads more. */
const MAX_SERVICES = 20;
/** Tasks of one service, the latest ones. */
const MAX_TASKS = 20;

/** What only says that something has failed, where a failed task says what. */
const UNSPECIFIC: readonly Reason[] = [
  'update-paused',
  'rolled-back-by-swarm',
  'progress-timeout',
  'timeout',
];

/** The services that failed, the one that ended the rollout first. */
export function failedServices(
  rollout: Rollout,
  end: Extract<End, { kind: 'failed' }>,
): readonly FailedService[] {
  const { seen, goal, services } = rollout;
  if (seen === undefined) return [];
  const failed = goal.targets.filter(
    ({ id, name }) => name === end.service || (services.get(id)?.failures.length ?? 0) > 0,
  );
  const first = failed.filter(({ name }) => name === end.service);
  const others = failed.filter(({ name }) => name !== end.service);
  return [...first, ...others]
    .slice(0, MAX_SERVICES)
    .map((target) => failedService(target, rollout, seen, end));
}

function failedService(
  target: Target,
  { services, goal }: Rollout,
  seen: Snapshot,
  end: Extract<End, { kind: 'failed' }>,
): FailedService {
  const progress = services.get(target.id);
  const all = progress?.failures ?? [];
  const isCulprit = target.name === end.service;
  const lead = leadingFailure(all)?.reason;
  const reason: Reason =
    isCulprit && (lead === undefined || !UNSPECIFIC.includes(end.reason))
      ? end.reason
      : (lead ?? end.reason);
  const failures = all
    .filter((failure) => failure.reason === reason)
    .map((failure) => ({ ...failure, node: hostnameOf(seen.nodes, failure.nodeId) ?? '' }));
  const tasks = tasksOf(target, seen, goal.formerTasks, all);
  const alive = (task: DossierTask): boolean => rank(task.state) <= RUNNING;
  const waiting = tasks.filter((task) => alive(task) && task.state !== 'running');
  const ran = failures.filter(hasRun).at(-1);
  const spoke =
    ran === undefined
      ? tasks.filter((task) => alive(task) && rank(task.state) >= rank('starting')).at(-1)
      : { ...ran, node: ran.node };
  const { spec } = target;
  return {
    target,
    facts: {
      ...{ reason, spec, failures, waiting },
      message: isCulprit ? end.message : '',
      unplaced: progress?.unplaced ?? '',
      ...{ lastWords: '', unread: false },
      platforms: platformsOf(seen),
    },
    tasks: tasks.slice(-MAX_TASKS),
    witness:
      spoke === undefined
        ? undefined
        : {
            taskId: spoke.taskId,
            task: spoke.slot === undefined ? target.name : `${target.name}.${spoke.slot}`,
            node: spoke.node,
            isRaw: at(spec, 'TaskTemplate', 'ContainerSpec', 'TTY') === true,
            driver: textOf(at(spec, 'TaskTemplate', 'LogDriver', 'Name')),
          },
  };
}

/** One whose container was made, but could not be started, has written nothing. */
const hasRun = ({ exitCode, error }: Failure): boolean =>
  exitCode !== undefined && !/starting container failed/i.test(error);

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** As builds name what engines call by the names of kernels. */
const BUILD_NAMES: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  aarch64: 'arm64',
  armv7l: 'arm/v7',
  armv6l: 'arm/v6',
  i686: '386',
};

function platformsOf({ nodes }: Snapshot): readonly string[] {
  const platforms = nodes.flatMap(({ Description }) => {
    const { OS, Architecture } = Description?.Platform ?? {};
    if (OS === undefined || Architecture === undefined) return [];
    return [`${OS}/${BUILD_NAMES[Architecture] ?? Architecture}`];
  });
  return [...new Set(platforms)].sort();
}

/** The tasks of this rollout in the slots, or on the nodes, where one has failed or does not run. */
function tasksOf(
  { id }: Target,
  { tasks, nodes }: Snapshot,
  former: ReadonlySet<string>,
  failures: readonly Failure[],
): readonly DossierTask[] {
  const byId = new Map(failures.map((failure) => [failure.taskId, failure]));
  const mine = tasks.filter((task) => task.ServiceID === id && !former.has(task.ID));
  const troubled = new Set([
    ...failures.map(({ slot, nodeId }) => taskPlace({ Slot: slot, NodeID: nodeId } as Task)),
    ...mine.filter(({ Status }) => rank(Status.State) < RUNNING).map(taskPlace),
  ]);
  const known = new Set(mine.map(({ ID }) => ID));
  const forgotten = failures.filter(({ taskId }) => !known.has(taskId));
  return [
    ...forgotten.map((failure): DossierTask => ({
      taskId: failure.taskId,
      ...(failure.slot === undefined ? {} : { slot: failure.slot }),
      node: hostnameOf(nodes, failure.nodeId) ?? '',
      state: failure.exitCode === undefined ? 'rejected' : 'failed',
      ...exitOf(failure.exitCode, failure),
      error: failure.error,
      at: failure.timestamp ?? '',
    })),
    ...mine
      .filter((task) => troubled.has(taskPlace(task)))
      .sort((a, b) => (a.CreatedAt < b.CreatedAt ? -1 : a.CreatedAt > b.CreatedAt ? 1 : 0))
      .map((task): DossierTask => {
        const { State, Timestamp = '', Err = '', ContainerStatus } = task.Status;
        const failure = byId.get(task.ID);
        const tookMs = Date.parse(Timestamp) - Date.parse(task.CreatedAt);
        const hasEnded = rank(State) > RUNNING && State !== 'rejected';
        return {
          taskId: task.ID,
          ...(task.Slot === undefined ? {} : { slot: task.Slot }),
          node: hostnameOf(nodes, task.NodeID) ?? '',
          state: State,
          ...exitOf(hasEnded ? ContainerStatus?.ExitCode : undefined, failure),
          error: failure?.error ?? Err,
          at: Timestamp,
          ...(Number.isNaN(tookMs) ? {} : { tookMs: Math.max(0, tookMs) }),
        };
      }),
  ];
}

function exitOf(
  exitCode: number | undefined,
  failure: Failure | undefined,
): Pick<DossierTask, 'exitCode' | 'exitMeaning'> {
  if (exitCode === undefined) return {};
  const exitMeaning =
    failure?.reason === 'unhealthy'
      ? 'stopped for its healthcheck'
      : failure?.reason === 'out-of-memory'
        ? 'killed (SIGKILL) under its memory limit: out of memory'
        : exitCodeMeaning(exitCode);
  return { exitCode, ...(exitMeaning === undefined ? {} : { exitMeaning }) };
}

/**
 * The dossier of one service.
 * @param found the log of its witness; `unread` where there was no time for it
 * @param shortName the service as the stack files name it
 */
export function serviceDossier(
  { target, facts, tasks }: FailedService,
  found: TaskLog | 'unread' | undefined,
  places: Places | undefined,
  shortName: string,
): ServiceDossier {
  const log = found === 'unread' ? undefined : found;
  const { failures, unplaced, message } = facts;
  const lastWords = tellingLine(log?.lines ?? []);
  const reason = preciser(facts.reason, lastWords);
  const words = unplaced || failures.at(-1)?.error || message;
  const place = placeOf(places, shortName, placeReason(reason, facts), words);
  return {
    service: target.name,
    reason,
    ...wordsFor({ ...facts, reason, lastWords, unread: found === 'unread' }),
    ...(place?.line === undefined ? {} : { place: { file: place.file, line: place.line } }),
    tasks,
    ...(log === undefined ? {} : { log }),
  };
}

/** The last line that speaks of an error, as runtimes print more below it; else the last one. */
const tellingLine = (lines: readonly string[]): string =>
  lines.slice(-TELLING_LINES).findLast(complains) ??
  lines.findLast((line) => line.trim() !== '') ??
  '';

const TELLING_LINES = 30;

/** Some runtimes start a program that cannot run, and only its output says so (runc 1.1 does). */
const preciser = (reason: Reason, lastWords: string): Reason =>
  isVague(reason) && /exec format error$/i.test(lastWords) ? 'exec-format' : reason;

const isVague = (reason: Reason | ''): boolean =>
  reason === 'crash-loop' || reason === 'job-failed';

/** The reason of a service's failure, as its log has it where that says more than Docker does. */
export function preciseReason<T extends Reason | ''>(
  reason: T,
  service: string | undefined,
  dossier: Dossier | undefined,
): T | 'exec-format' {
  const told = dossier?.find((each) => each.service === service)?.reason;
  return isVague(reason) && told === 'exec-format' ? told : reason;
}

/** What is waited for says where to look. */
const STANDING_AT: Partial<Readonly<Record<DossierTask['state'], Reason>>> = {
  pending: 'unschedulable',
  preparing: 'image-not-found',
  starting: 'unhealthy',
};

function placeReason(reason: Reason, { waiting }: Facts): Reason {
  const state = waiting[0]?.state;
  return reason === 'progress-timeout' || reason === 'timeout'
    ? ((state && STANDING_AT[state]) ?? reason)
    : reason;
}
