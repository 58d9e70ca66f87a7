/** What became of each service, from the rollout and the verdict on the whole. */
import type { Reason } from '../errors.js';
import {
  hostnameOf,
  imageOf,
  isJob,
  kindOf,
  splitImage,
  type Service,
  type Snapshot,
} from '../model.js';
import type { Changes } from '../plan.js';
import type { Rollout, Target } from '../rollout/observe.js';
import type { Dossier } from './dossier.js';
import { preciseReason } from './dossier-facts.js';
import type { ServiceReport, TaskReport } from './outcome.js';
import { latestFailure, serviceState, wellness } from './stack.js';

/** What became of the services as a whole; `seen` where they were only looked at. */
export type Fate =
  'healthy' | 'accepted' | 'failed' | 'restored' | 'untouched' | 'unknown' | 'seen';

/** As much of the end of a run as the services' part of the report is made from. */
export interface ServicesEnding {
  readonly reason: Reason | '';
  readonly before?: Snapshot;
  readonly changes?: Changes;
  readonly rollout?: Rollout;
  /** The rollout back to where it was, if there was one. */
  readonly restored?: Rollout;
  readonly pruned?: readonly string[];
  readonly fate: Fate;
  /** Services that were to be written after others, and never were. */
  readonly unreached?: readonly string[];
  /** The service that the reason is about. */
  readonly culprit?: string;
  /** What is known of those that failed. */
  readonly dossier?: Dossier;
  /** Of services that were only looked at: whether their images have a healthcheck, where known. */
  readonly healthchecks?: ReadonlyMap<string, boolean>;
}

/** The end of a run that did something, or meant to. */
interface Acted extends ServicesEnding {
  readonly fate: Exclude<Fate, 'seen'>;
}

/** One entry for each service of the files, and for each that was pruned. */
export function serviceReports(ending: ServicesEnding): readonly ServiceReport[] {
  const { changes, before } = ending;
  if (changes === undefined) return [];
  const { fate } = ending;
  if (fate === 'seen') return changes.targets.flatMap((target) => seenReport(target, ending));
  const former = new Map((before?.services ?? []).map((service) => [service.Spec.Name, service]));
  return [
    ...changes.targets.map((target) =>
      reportOf(target, former.get(target.name), { ...ending, fate }),
    ),
    ...changes.orphans
      .filter(({ Spec }) => ending.pruned?.includes(Spec.Name) === true)
      .map((service) => removedReport(service)),
  ];
}

function reportOf(target: Target, former: Service | undefined, ending: Acted): ServiceReport {
  const now = splitImage(imageOf(target.spec));
  const was = former === undefined ? { name: '' } : splitImage(imageOf(former.Spec));
  const progress =
    ending.restored?.services.get(target.id) ?? ending.rollout?.services.get(target.id);
  const removed = ending.fate === 'restored' && target.change === 'created';
  const outcome = outcomeOf(target, ending);
  const ended = progress === undefined ? 0 : isJob(progress.kind) ? progress.done : progress.ended;
  return {
    name: target.name,
    change: target.change,
    image: now.name,
    digest: now.digest ?? '',
    previousImage: was.name,
    previousDigest: was.digest ?? '',
    replicas: removed
      ? { running: 0, desired: 0 }
      : { running: progress?.done ?? 0, desired: progress?.wanted ?? desiredOf(target) },
    ...(removed || ended === 0 ? {} : { ended }),
    outcome,
    reason: reasonOf(target, ending),
  };
}

/** A service as it stands, whatever became of it before. */
function seenReport(
  target: Target,
  { before, rollout, healthchecks }: ServicesEnding,
): readonly ServiceReport[] {
  const service = before?.services.find(({ ID }) => ID === target.id);
  const progress = rollout?.services.get(target.id);
  if (before === undefined || service === undefined || progress === undefined) return [];
  const full = imageOf(service.Spec);
  const { name: image, digest = '' } = splitImage(full);
  const state = serviceState(service, progress, before, healthchecks?.get(full));
  const well = wellness(state.health);
  const cause =
    latestFailure(progress.failures)?.reason ??
    (progress.unplaced !== undefined ? 'unschedulable' : '');
  return [
    {
      ...{ name: target.name, change: 'unchanged', image, digest },
      ...{ previousImage: image, previousDigest: digest },
      replicas: { running: progress.done, desired: progress.wanted },
      outcome: well === 'yes' ? 'healthy' : well === 'soon' ? 'unknown' : 'failed',
      reason:
        well === 'yes' ? '' : cause === '' && state.update === 'paused' ? 'update-paused' : cause,
      state,
    },
  ];
}

function desiredOf(target: Target): number {
  const kind = kindOf(target.spec);
  if (kind.kind === 'replicated') return kind.replicas;
  return kind.kind === 'replicated-job' ? kind.completions : 0;
}

function outcomeOf(target: Target, ending: Acted): ServiceReport['outcome'] {
  if (ending.unreached?.includes(target.name) === true) return 'untouched';
  switch (ending.fate) {
    case 'healthy':
    case 'accepted':
    case 'untouched':
      return ending.fate;
    case 'restored':
      if (target.change === 'created') return 'removed';
      return target.change === 'updated' ? 'restored' : 'untouched';
    case 'failed': {
      const progress = ending.rollout?.services.get(target.id);
      if (target.name === ending.culprit || (progress?.failures.length ?? 0) > 0) return 'failed';
      return progress?.complete === true ? 'healthy' : 'unknown';
    }
    case 'unknown':
      return target.change === 'unchanged' ? 'untouched' : 'unknown';
  }
}

/**
 * Why this very service is not well: what its tasks died of, where they did; '' for services that
 * only went back with the others.
 */
function reasonOf(target: Target, ending: ServicesEnding): Reason | '' {
  if (ending.reason === '') return '';
  const failure = ending.rollout?.services.get(target.id)?.failures.at(-1);
  const reason = failure?.reason ?? (target.name === ending.culprit ? ending.reason : '');
  return preciseReason(reason, target.name, ending.dossier);
}

function removedReport(service: Service): ServiceReport {
  const was = splitImage(imageOf(service.Spec));
  return {
    name: service.Spec.Name,
    change: 'removed',
    image: '',
    digest: '',
    previousImage: was.name,
    previousDigest: was.digest ?? '',
    replicas: { running: 0, desired: 0 },
    outcome: 'removed',
    reason: '',
  };
}

/** The tasks of a snapshot, for the report. */
export function taskReports(snapshot: Snapshot | undefined): readonly TaskReport[] {
  if (snapshot === undefined) return [];
  const names = new Map(snapshot.services.map((service) => [service.ID, service.Spec.Name]));
  return snapshot.tasks.map((task) => ({
    id: task.ID,
    service: names.get(task.ServiceID) ?? task.ServiceID,
    slot: task.Slot,
    node: hostnameOf(snapshot.nodes, task.NodeID) ?? '',
    state: task.Status.State,
    desiredState: task.DesiredState,
    upToDate: snapshot.upToDate.has(task.ID),
    error: task.Status.Err ?? '',
  }));
}
