/** What a deploy did to each service, by comparing specs before and after; nothing else is trusted. */
import {
  imageOf,
  isSameRollback,
  nudged,
  sameJson,
  splitImage,
  type Service,
  type ServiceSpec,
  type Snapshot,
} from './model.js';
import type { Target } from './rollout/observe.js';

export interface Changes {
  /** The services of the files, as they are meant to be now. */
  readonly targets: readonly Target[];
  /** Services as they were before this deploy changed them. */
  readonly updated: readonly Service[];
  readonly created: readonly { readonly id: string; readonly name: string }[];
  /** Services of the stack that are not in the files. */
  readonly orphans: readonly Service[];
  /** Whether any service was created or updated. */
  readonly any: boolean;
  /** Names of services that somebody else wrote at the same time: what is live may be theirs. */
  readonly foreign: readonly string[];
  /** A line each for people. */
  readonly lines: readonly string[];
}

const iterationOf = (service: Service): number => service.JobStatus?.JobIteration.Index ?? 0;

/**
 * Whether the deploy changed the service. A job starts again with every deploy, and a service that
 * Swarm rolled back at once has its former spec: both were changed all the same.
 */
function wasChanged(former: Service, live: Service): boolean {
  if (!sameJson(former.Spec, live.Spec) || iterationOf(former) !== iterationOf(live)) return true;
  return wasTakenBack(former, live);
}

function wasTakenBack(former: Service, live: Service): boolean {
  const state = live.UpdateStatus?.State;
  return (
    state?.startsWith('rollback_') === true &&
    !isSameRollback(former.UpdateStatus, live.UpdateStatus) &&
    sameJson(former.Spec, live.Spec)
  );
}

/** The services that Swarm has rolled back already: their live spec is the one from before. */
export const takenBack = (
  before: Pick<Snapshot, 'services'>,
  live: readonly Service[],
): readonly Service[] =>
  live.filter((service) => {
    const former = before.services.find(({ ID }) => ID === service.ID);
    return former !== undefined && wasTakenBack(former, service);
  });

/**
 * Whether the service shows that it was written since, after a write whose answer was lost. Its version
 * does not tell: it also moves with the status of an update, which Swarm writes by itself. A write like
 * the one before it leaves nothing that shows; such a service does not count as written.
 * @param former the service right before; undefined where there was none
 */
export function showsWrite(former: Service | undefined, live: Service): boolean {
  if (former?.ID !== live.ID || wasChanged(former, live)) return true;
  // Every write puts the spec that it replaces there, and takes the status of the last update away.
  const isKept = (previous: Service['PreviousSpec']): boolean =>
    previous !== undefined && sameJson(previous, former.Spec);
  return (
    (isKept(live.PreviousSpec) && !isKept(former.PreviousSpec)) ||
    (former.UpdateStatus?.State !== undefined && live.UpdateStatus?.State === undefined)
  );
}

/**
 * Whether somebody else wrote the service while it was deployed. The engine keeps the spec before the
 * last write (moby, `PreviousSpec`), and `stack deploy` writes every service once, changed or not
 * (docker/cli, deployServices): so that must be the spec from before, or none of a created service.
 * @param repeated our own write may have come twice
 */
function wasWrittenByOthers(
  former: Service | undefined,
  live: Service,
  repeated: boolean,
): boolean {
  const previous = live.PreviousSpec;
  if (former !== undefined && former.ID !== live.ID) return true; // somebody removed it
  if (
    repeated &&
    previous !== undefined &&
    [live.Spec, nudged(live.Spec)].some((own) => sameJson(previous, own))
  )
    return false;
  if (repeated && previous !== undefined && sameJson(live.Spec, nudged(previous))) return false;
  if (former?.ID !== live.ID) return previous !== undefined;
  if (previous !== undefined && sameJson(previous, former.Spec)) return false;
  // Not written at all, or taken back by Swarm itself, which forgets the spec that it takes back.
  return !(
    sameJson(live.Spec, former.Spec) &&
    (previous === undefined ||
      (former.PreviousSpec !== undefined && sameJson(previous, former.PreviousSpec)))
  );
}

/**
 * @param before the swarm before the deploy
 * @param live the stack's services after it
 * @param names full names of the services in the files
 * @param repeated whether services may have been written more than once
 * @param meant by their ids, the specs of services that Swarm has rolled back already
 */
export function changesOf(
  before: Pick<Snapshot, 'services'>,
  live: readonly Service[],
  names: readonly string[],
  repeated = false,
  meant: ReadonlyMap<string, ServiceSpec> = new Map(),
): Changes {
  const wanted = new Set(names);
  const formerByName = new Map(before.services.map((service) => [service.Spec.Name, service]));
  const targets: Target[] = [];
  const updated: Service[] = [];
  const created: { id: string; name: string }[] = [];
  const foreign: string[] = [];
  const lines: string[] = [];
  for (const service of [...live].sort((a, b) => a.Spec.Name.localeCompare(b.Spec.Name, 'en'))) {
    const { Name: name } = service.Spec;
    if (!wanted.has(name)) continue;
    const former = formerByName.get(name);
    const change =
      former?.ID !== service.ID ? 'created' : wasChanged(former, service) ? 'updated' : 'unchanged';
    const spec = meant.get(service.ID) ?? service.Spec;
    targets.push({
      id: service.ID,
      name,
      change,
      spec,
      ...(former?.UpdateStatus === undefined ? {} : { staleStatus: former.UpdateStatus }),
    });
    if (wasWrittenByOthers(former, service, repeated)) foreign.push(name);
    if (change === 'created') created.push({ id: service.ID, name });
    if (change === 'updated' && former !== undefined) updated.push(former);
    lines.push(describe(name, change, former?.Spec, spec));
  }
  return {
    targets,
    updated,
    created,
    orphans: live.filter(({ Spec }) => !wanted.has(Spec.Name)),
    any: updated.length > 0 || created.length > 0,
    foreign,
    lines,
  };
}

function describe(
  name: string,
  change: Target['change'],
  former: ServiceSpec | undefined,
  spec: ServiceSpec,
): string {
  const [was, is] = [former === undefined ? '' : imageOf(former), imageOf(spec)];
  if (change !== 'updated' || was === is) return `${name} ${change}: ${short(is)}`;
  return `${name} ${change}: ${short(was)} -> ${short(is)}`;
}

/** The reference with its digest shortened. */
function short(image: string): string {
  const { name, digest } = splitImage(image);
  return digest === undefined ? name : `${name}@${digest.slice(0, 19)}`;
}
