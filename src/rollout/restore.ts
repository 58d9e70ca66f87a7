/**
 * Puts a stack back as it was: kept specs are written over changed services, created services and
 * what came with them are removed. Works from the state it reads, so it can be repeated after a
 * lost connection, and does nothing where Swarm itself already went back.
 */
import { EngineError, type Engine, type StackObject } from '../docker/engine.js';
import { at, isPaused, nudged, sameJson, type Service, type ServiceSpec } from '../model.js';
import type { Target } from './goal.js';

/** What was there before the deploy, and what the deploy made of it. */
export interface Undo {
  /** Services as they were before; their specs are restored exactly. */
  readonly changed: readonly Service[];
  readonly created: readonly { readonly id: string; readonly name: string }[];
}

/** What the deploy wrote for a service; anything else that is live is somebody else's. */
export type Intended = ReadonlyMap<string, ServiceSpec>;

const MAX_CONFLICTS = 20;

/** A service that the engine would not have restored or removed. */
export interface Refusal {
  readonly name: string;
  /** In the engine's words. */
  readonly why: string;
}

export interface Restored {
  /**
   * Names of services that run neither what was there before nor what was deployed: somebody else
   * changed them, and they are left alone.
   */
  readonly foreign: readonly string[];
  readonly refused: readonly Refusal[];
}

/** Attempts at what the engine refuses, half a second apart. */
const PASSES = 5;
const PASS_MS = 500;

/**
 * Writes until every changed service has its former spec and every created one is gone.
 * @param sleep milliseconds
 */
export async function restore(
  engine: Engine,
  undo: Undo,
  intended: Intended,
  log: (line: string) => void,
  sleep: (ms: number) => Promise<void>,
): Promise<Restored> {
  const foreign: string[] = [];
  const refused = new Map<string, EngineError>();
  // What is tried again is told once.
  const told = new Set<string>();
  const tell = (line: string): void => {
    if (!told.has(line)) log(line);
    told.add(line);
  };
  // One that cannot go back is no reason for the others to stay.
  const attempt = async (name: string, action: () => Promise<void>): Promise<void> => {
    refused.delete(name);
    try {
      await action();
    } catch (error) {
      // An engine that has trouble of its own is asked again, from the start.
      if (!(error instanceof EngineError) || error.passes) throw error;
      refused.set(name, error);
    }
  };
  const putBack = async (former: Service): Promise<void> =>
    await attempt(former.Spec.Name, async () => {
      if (!(await restoreService(engine, former, intended.get(former.ID), tell)))
        foreign.push(former.Spec.Name);
    });
  for (const former of undo.changed) await putBack(former);
  for (const { id, name } of undo.created)
    await attempt(name, async () => {
      log(`removing ${name}, which this deploy created`);
      await engine.removeService(id);
    });
  // A published port that another service has taken over is free once that one is back or gone, and a
  // moment later (swarmkit manager/controlapi/service.go, checkPortConflicts).
  for (let pass = 2; pass <= PASSES; pass += 1) {
    const again = undo.changed.filter(({ Spec }) => refused.has(Spec.Name));
    if (again.length === 0) break;
    await sleep(PASS_MS);
    for (const former of again) await putBack(former);
  }
  for (const [name, { request, message }] of refused)
    log(`the engine refused ${request} for ${name}: ${message}`);
  return { foreign, refused: [...refused].map(([name, { message: why }]) => ({ name, why })) };
}

/** @returns false where the service is somebody else's by now */
async function restoreService(
  engine: Engine,
  former: Service,
  intended: ServiceSpec | undefined,
  log: (line: string) => void,
): Promise<boolean> {
  const { Name: name } = former.Spec;
  for (let attempt = 1; ; attempt += 1) {
    const live = await engine.service(former.ID);
    if (live === undefined) return false;
    if (sameJson(live.Spec, former.Spec)) {
      if (!isPaused(live)) return true;
      log(`${name} already has its former spec, but Swarm paused on the way back: resuming`);
    } else if (intended !== undefined && !isOurs(live.Spec, intended)) return false;
    else log(`restoring the former spec of ${name}`);
    try {
      await engine.updateService(former.ID, live.Version.Index, former.Spec, wayBack(live, former));
      return true;
    } catch (error) {
      const conflict = error instanceof EngineError && /out of sequence/i.test(error.message);
      if (!conflict || attempt >= MAX_CONFLICTS) throw error;
    }
  }
}

/** What was deployed, or what Swarm went back to where the write before its last one was a nudge's. */
const isOurs = (live: ServiceSpec, intended: ServiceSpec): boolean =>
  sameJson(live, intended) || sameJson(live, nudged(intended));

/** Writes the spec that is live once more, so that Swarm looks at the service again; unless it moves. */
export async function rewrite(engine: Engine, { id, spec }: Target): Promise<void> {
  const live = await engine.service(id);
  if (live === undefined || !sameJson(live.Spec, spec)) return;
  try {
    await engine.updateService(id, live.Version.Index, live.Spec, { registryAuthFrom: 'spec' });
  } catch (error) {
    if (!isInVain(error)) throw error;
  }
}

/** It only helps Swarm along: what the engine would not have is no end of the watch. */
const isInVain = (error: unknown): boolean =>
  error instanceof EngineError && (!error.passes || /out of sequence/i.test(error.message));

/**
 * Has Swarm's updater begin anew: one that waits for a task on a lost node waits for ever, and takes no notice
 * of a spec that it works toward already (swarmkit manager/orchestrator/update/updater.go). So the service gets
 * a label and loses it again; what runs already is left alone. May be repeated after a lost connection.
 */
export async function nudge(engine: Engine, { id, spec }: Target): Promise<void> {
  const marked = nudged(spec);
  let isMarked = false;
  for (let attempt = 1; attempt <= MAX_CONFLICTS; attempt += 1) {
    const live = await engine.service(id);
    if (live === undefined) return;
    if (sameJson(live.Spec, marked)) isMarked = true;
    else if (isMarked || !sameJson(live.Spec, spec)) return;
    const next = isMarked ? spec : marked;
    try {
      await engine.updateService(id, live.Version.Index, next, { registryAuthFrom: 'spec' });
      if (isMarked) return;
    } catch (error) {
      // The updater writes the status of its work at any time.
      if (!isInVain(error)) throw error;
    }
  }
}

/**
 * The kept spec says nothing of registry credentials, which the engine never shows. They are those
 * of the spec that is live, or of the one before. Where that one is what is to be restored, Swarm's
 * own rollback gives the same spec back and is the only way that honours `rollback_config`.
 */
function wayBack(
  live: Service,
  former: Service,
): { readonly registryAuthFrom?: 'spec' | 'previous-spec'; readonly rollback?: 'previous' } {
  const previousIsFormer =
    live.PreviousSpec !== undefined && sameJson(live.PreviousSpec, former.Spec);
  if (!previousIsFormer) return { registryAuthFrom: 'spec' };
  return at(former.Spec, 'RollbackConfig') === undefined
    ? { registryAuthFrom: 'previous-spec' }
    : { rollback: 'previous' };
}

/**
 * Removes networks, configs and secrets that were not there before. Those still in use stay and
 * are named: a network is free only once the last task on it has stopped.
 * @returns what could not be removed
 */
export async function removeObjects(
  engine: Engine,
  objects: readonly StackObject[],
): Promise<readonly StackObject[]> {
  const left: StackObject[] = [];
  for (const object of objects) if (!(await engine.removeObject(object))) left.push(object);
  return left;
}
