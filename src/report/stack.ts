/** The services of a stack as they stand at one look: values for the report, and tables for people. */
import {
  at,
  hostnameOf,
  isJob,
  type Json,
  type Service,
  type ServiceSpec,
  type Snapshot,
  type Task,
} from '../model.js';
import type { Failure } from '../rollout/classify.js';
import type { ServiceProgress } from '../rollout/observe.js';
import { COMPLETE, isRunning, placeOf, rank, RUNNING } from '../rollout/standing.js';
import { failureWords } from './failure.js';
import type { Health, PlaceState, ServiceReport, ServiceState } from './outcome.js';
import {
  agoText,
  alignedTable,
  code,
  imageCell,
  imageText,
  markdownTable,
  plural,
  safeCell,
  safeLine,
} from './text.js';

/**
 * @param ofImage whether the service's image has a healthcheck; undefined where that is not known
 */
export function serviceState(
  service: Service,
  progress: ServiceProgress,
  snapshot: Snapshot,
  ofImage: boolean | undefined,
): ServiceState {
  const tasks = snapshot.tasks.filter(({ ServiceID }) => ServiceID === service.ID);
  const waiting = tasks.filter((task) => isWaiting(task, service));
  const running = tasks.filter(isJob(progress.kind) ? isAtWork : isRunning);
  const healthcheck = healthcheckOf(service.Spec, ofImage);
  const places = placesOf(progress, waiting, running, snapshot);
  const { State: update = '', Message: updateMessage = '' } = service.UpdateStatus ?? {};
  return {
    mode: progress.kind.kind,
    health: healthOf(progress, {
      ...{ waiting: waiting.length, running: running.length, healthcheck },
      unstable: places.some(
        ({ lastFailure }) => (lastFailure?.secondsAgo ?? Infinity) <= UNSTABLE_S,
      ),
    }),
    healthcheck,
    older: progress.older,
    extra: progress.extra,
    update,
    updateMessage,
    tasks: places,
  };
}

/** What is said of a healthcheck in the spec counts before that of the image. */
function healthcheckOf(spec: ServiceSpec, ofImage: boolean | undefined): boolean | null {
  const test = at(spec, 'TaskTemplate', 'ContainerSpec', 'Healthcheck', 'Test');
  if (!Array.isArray(test) || test.length === 0) return ofImage ?? null;
  return (test as readonly Json[])[0] !== 'NONE';
}

/** Whether the spec leaves it to the image whether there is a healthcheck. */
export const asksImage = (spec: ServiceSpec): boolean => healthcheckOf(spec, undefined) === null;

const isAtWork = ({ Status }: Task): boolean => Status.State === 'running';

/** On the way to run; tasks of jobs are meant to complete. */
const isWaiting = ({ Status, DesiredState, JobIteration }: Task, service: Service): boolean =>
  rank(Status.State) < RUNNING &&
  rank(DesiredState) <= COMPLETE &&
  (JobIteration?.Index ?? 0) === (service.JobStatus?.JobIteration.Index ?? 0);

/** One that fails again and again runs in between. Swarm itself forgets no failure so soon. */
const UNSTABLE_S = 5 * 60;

interface Counts {
  readonly waiting: number;
  readonly running: number;
  readonly healthcheck: boolean | null;
  /** A task has failed lately. */
  readonly unstable: boolean;
}

function healthOf(
  { kind, complete, wanted, updating, failures, unplaced }: ServiceProgress,
  { waiting, running, healthcheck, unstable }: Counts,
): Health {
  const ends = isJob(kind) || ('oneShot' in kind && kind.oneShot);
  if (complete) {
    if (wanted === 0) return kind.kind.startsWith('global') ? 'no-node' : 'idle';
    if (isJob(kind) || running === 0) return 'completed';
    if (unstable) return 'unstable';
    return healthcheck === null ? 'running' : healthcheck ? 'healthy' : 'no-healthcheck';
  }
  const calm = failures.length === 0 && unplaced === undefined;
  if (calm && updating) return 'updating';
  if (calm && isJob(kind) && running > 0) return 'in-progress';
  if (calm && waiting > 0) return 'starting';
  if (running > 0) return 'degraded';
  return ends && waiting === 0 ? 'failed' : 'down';
}

/** The slots or nodes where no task runs that should, or where tasks have failed. */
function placesOf(
  { name, failures }: ServiceProgress,
  waiting: readonly Task[],
  running: readonly Task[],
  snapshot: Snapshot,
): readonly PlaceState[] {
  const keys = new Set([...waiting.map(placeOf), ...failures.map(placeOfFailure)]);
  const places = [...keys].map((key): PlaceState => {
    const here = (task: Task): boolean => placeOf(task) === key;
    const task = waiting.find(here) ?? running.find(here);
    const failed = failures.filter((failure) => placeOfFailure(failure) === key);
    const last = latestFailure(failed);
    const slot = task?.Slot ?? last?.slot;
    return {
      name: slot === undefined ? name : `${name}.${slot}`,
      node: hostnameOf(snapshot.nodes, task?.NodeID ?? last?.nodeId) ?? '',
      state: task?.Status.State ?? '',
      seconds: secondsSince(task?.Status.Timestamp, snapshot),
      error: task?.Status.Err ?? '',
      failures: failed.length,
      lastFailure:
        last === undefined
          ? null
          : {
              reason: last.reason,
              node: hostnameOf(snapshot.nodes, last.nodeId) ?? '',
              secondsAgo: secondsSince(last.timestamp, snapshot),
              error: failureWords(last),
            },
    };
  });
  return places.sort((a, b) =>
    `${a.name} ${a.node}`.localeCompare(`${b.name} ${b.node}`, 'en', { numeric: true }),
  );
}

const placeOfFailure = ({ slot, nodeId }: Failure): string =>
  placeOf({ Slot: slot, NodeID: nodeId } as Task);

/** The one that ended last, as far as they say when. */
export const latestFailure = (failures: readonly Failure[]): Failure | undefined =>
  failures.reduce<Failure | undefined>(
    (last, each) =>
      last === undefined || endedAt(each.timestamp) >= endedAt(last.timestamp) ? each : last,
    undefined,
  );

const endedAt = (timestamp = ''): number => Date.parse(timestamp) || 0;

/** Whole seconds on the swarm's own clocks, of which each node has one. */
function secondsSince(timestamp: string | undefined, { managerTime }: Snapshot): number | null {
  if (timestamp === undefined || managerTime === undefined) return null;
  const ms = managerTime - Date.parse(timestamp);
  return Number.isNaN(ms) ? null : Math.max(0, Math.round(ms / 1000));
}

interface Words {
  readonly sign: '✅' | '⚠️' | '⏳' | '❌';
  readonly words: string;
  /** The service is what it is meant to be, or on its way there. */
  readonly well: 'yes' | 'soon' | 'no';
}

const HEALTH: Readonly<Record<Health, Words>> = {
  healthy: { sign: '✅', well: 'yes', words: 'healthy' },
  'no-healthcheck': { sign: '✅', well: 'yes', words: 'running, no healthcheck' },
  running: { sign: '✅', well: 'yes', words: 'running, healthcheck unknown' },
  completed: { sign: '✅', well: 'yes', words: 'completed' },
  idle: { sign: '✅', well: 'yes', words: 'nothing to run' },
  'no-node': { sign: '⚠️', well: 'yes', words: 'no node fits' },
  unstable: { sign: '⚠️', well: 'soon', words: 'unstable' },
  'in-progress': { sign: '⏳', well: 'soon', words: 'in progress' },
  starting: { sign: '⏳', well: 'soon', words: 'starting' },
  updating: { sign: '⏳', well: 'soon', words: 'updating' },
  degraded: { sign: '❌', well: 'no', words: 'degraded' },
  down: { sign: '❌', well: 'no', words: 'down' },
  failed: { sign: '❌', well: 'no', words: 'failed' },
};

export const wellness = (health: Health): Words['well'] => HEALTH[health].well;

/** `degraded, 1 on another version`. */
export function healthText({ health, older, extra }: ServiceState): string {
  return [
    HEALTH[health].words,
    ...(older === 0 ? [] : [`${older} on another version`]),
    ...(extra === 0 ? [] : [`${extra} too many`]),
  ].join(', ');
}

interface Shown {
  readonly service: ServiceReport;
  readonly state: ServiceState;
}

const shown = (services: readonly ServiceReport[]): readonly Shown[] =>
  services.flatMap((service) =>
    service.state === undefined ? [] : [{ service, state: service.state }],
  );

/** In the log; in the summary, what tells most comes first, as a phone shows the first columns alone. */
const HEAD = ['service', 'mode', 'running', 'image', 'health', 'update'];
const SUMMARY_HEAD = ['service', 'health', 'running', 'update', 'mode', 'image'];

const running = ({ replicas }: ServiceReport): string => `${replicas.running}/${replicas.desired}`;
const updateText = ({ update }: ServiceState): string => update.replaceAll('_', ' ');

/** An aligned table for the log. */
export function stackLines(services: readonly ServiceReport[]): readonly string[] {
  const rows = shown(services).map(({ service, state }) => [
    service.name,
    state.mode,
    running(service),
    imageText(service.image, service.digest),
    healthText(state),
    updateText(state),
  ]);
  return alignedTable(HEAD, rows);
}

/** A table in GitHub's markdown, what is not well first. */
export function stackTable(services: readonly ServiceReport[], max: number): readonly string[] {
  const all = [...shown(services)].sort((a, b) => urgency(a.state) - urgency(b.state));
  if (all.length === 0) return [];
  const rows = all
    .slice(0, max)
    .map(({ service, state }) => [
      safeCell(service.name),
      `${HEALTH[state.health].sign} ${safeCell(healthText(state))}`,
      running(service),
      safeCell(updateText(state)),
      state.mode,
      imageCell(service.image, service.digest),
    ]);
  return [
    '### Services',
    '',
    ...markdownTable(SUMMARY_HEAD, rows),
    ...(all.length > max ? [`and ${plural(all.length - max, 'more service')}`, ''] : []),
  ];
}

const urgency = ({ health }: ServiceState): number =>
  ['❌', '⏳', '⚠️', '✅'].indexOf(HEALTH[health].sign);

/** Updates that Swarm stopped or took back, in its own words. */
const stopped = (services: readonly ServiceReport[]): readonly string[] =>
  shown(services)
    .filter(
      ({ state }) => /paused|rollback_started/.test(state.update) && state.updateMessage !== '',
    )
    .map(({ service, state }) => `${service.name}: ${state.updateMessage}`);

/** Tasks that do not run first, then those that failed last. */
function places(services: readonly ServiceReport[]): readonly PlaceState[] {
  const rankOf = ({ state }: PlaceState): number => (state === 'running' ? 1 : 0);
  const ago = ({ lastFailure }: PlaceState): number => lastFailure?.secondsAgo ?? 0;
  return shown(services)
    .flatMap(({ state }) => state.tasks)
    .sort((a, b) => rankOf(a) - rankOf(b) || (rankOf(a) === 0 ? 0 : ago(a) - ago(b)));
}

const more = (count: number): readonly string[] => (count > 0 ? [`and ${count} more`] : []);

/** `starting for 3 s: Docker's words`. */
function standText({ state, seconds, error }: PlaceState): string {
  const since = seconds === null || state === 'running' ? '' : ` for ${agoText(seconds)}`;
  return state === '' ? '' : `${state}${since}${error === '' ? '' : `: ${error}`}`;
}

/** `4 times, last 12 s ago on worker-1`. */
function failuresText({ failures, lastFailure, node, state }: PlaceState): string {
  if (lastFailure === null) return '';
  const times = failures === 1 ? 'once' : `${failures} times`;
  const { secondsAgo, node: other } = lastFailure;
  const when =
    secondsAgo === null ? '' : `, ${failures === 1 ? '' : 'last '}${agoText(secondsAgo)} ago`;
  const elsewhere = state === '' || other === node || other === '' ? '' : ` on ${other}`;
  return `${times}${when}${elsewhere}`;
}

/** What keeps tasks from running, or made them fail: a line for each slot or node. */
export function troubleLines(services: readonly ServiceReport[], max: number): readonly string[] {
  const all = places(services);
  const lines = all.slice(0, max).map((place) => {
    const { name, node, lastFailure } = place;
    const failed =
      lastFailure === null ? '' : `failed ${failuresText(place)}: ${lastFailure.error}`;
    const said = [standText(place), failed].filter((text) => text !== '').join('; ');
    return safeLine(`${name}${node === '' ? '' : ` on ${node}`}: ${said}`);
  });
  return [...stopped(services).map(safeLine), ...lines, ...more(all.length - max)];
}

/** The same in GitHub's markdown. */
export function troubleTable(services: readonly ServiceReport[], max: number): readonly string[] {
  const all = places(services);
  const updates = stopped(services);
  if (all.length + updates.length === 0) return [];
  const rows = all
    .slice(0, max)
    .map((place) => [
      safeCell(place.name),
      safeCell(place.node),
      safeCell(standText(place)),
      safeCell(failuresText(place)),
      place.lastFailure === null
        ? ''
        : `${code(place.lastFailure.reason)} ${safeCell(place.lastFailure.error)}`,
    ]);
  return [
    '### Tasks that do not run, or have failed',
    '',
    ...updates.slice(0, max).map((text) => `- ${safeCell(text)}`),
    ...(updates.length === 0 ? [] : ['']),
    ...markdownTable(['task', 'node', 'now', 'failed', 'last failure'], rows),
    ...more(all.length - max),
    ...(all.length > max ? [''] : []),
  ];
}
