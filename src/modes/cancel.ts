/**
 * `on-cancel: rollback`: a stack is put back whose run was told to stop. The run itself has a few
 * seconds, so the former specs are written first; `post` goes on where it had to stop. Both work from
 * what is live, so that either may come first, and again.
 */
import { formatJson, parseJson, type StackObject } from '../docker/engine.js';
import { ConnectionLost } from '../errors.js';
import { sameJson, type Json, type Service, type Snapshot } from '../model.js';
import { ENGINE_GRACE_MS } from '../deploy.js';
import { changesOf, type Changes } from '../plan.js';
import { errorLine } from '../report/text.js';
import { rollBack, type RollBackResult } from '../rollout/rollback.js';
import { stableForMs } from '../rollout/stability.js';
import type { Ending } from '../world.js';
import { look, settle, type Deployment } from './deployment.js';

/** What a stack is put back to; survives as text. */
export interface Undo {
  readonly stack: string;
  /** Full names of the services that the run was to write. */
  readonly names: readonly string[];
  readonly before: Snapshot;
  /** Networks, configs and secrets of the stack before anything was written. */
  readonly objects: readonly StackObject[];
  /** Full names of those whose former spec may have been written back already. */
  readonly begun: readonly string[];
  /** The run was stopped while it wrote: the engine may not be done with what it was asked for. */
  readonly cut?: true;
}

/** Less than the five minutes after which GitHub ends a cancelled job. */
const LIMIT_MS = 4 * 60_000;
const STILL_MS = 2 * 60_000;
const CLEAN_UP_LIMIT_MS = 20_000;

/** Numbers that no double holds stay exact: the specs are written back. */
export function undoText({ stack, names, before, objects, begun, cut }: Undo): string {
  const { at, services, tasks, upToDate, nodes } = before;
  const kept = { stack, names, objects, begun, at, services, tasks, nodes, ...(cut && { cut }) };
  return formatJson({ ...kept, upToDate: [...upToDate] } as unknown as Json);
}

/** @param text of `undoText` */
export function undoFrom(text: string): Undo {
  const { stack, names, objects, begun, cut, upToDate, ...before } = parseJson(
    text,
  ) as unknown as Omit<Snapshot, 'upToDate'> &
    Omit<Undo, 'before'> & { readonly upToDate: readonly string[] };
  return {
    stack,
    names,
    objects,
    begun,
    ...(cut && { cut }),
    before: { ...before, upToDate: new Set(upToDate) },
  };
}

export interface TakenBack {
  readonly result: RollBackResult;
  readonly changes: Changes;
}

/** A command that was stopped may have had one request under way. */
const ROUNDS = 3;

/**
 * Puts the stack back, and watches that it runs as before.
 * @param remember called with what is known before anything is written
 * @throws the reason of the deployment's signal; what was written by then stays
 */
export async function takeBack(
  deployment: Deployment,
  undo: Undo,
  remember: (undo: Undo) => void,
): Promise<TakenBack> {
  let known = undo;
  let last: TakenBack | undefined;
  const { clock, signal } = deployment.world;
  const quietAt = clock.now() + (undo.cut === true ? ENGINE_GRACE_MS : 0);
  for (let round = 1; ; round += 1) {
    let found = await differences(deployment, known, round > 1);
    while (found.nothing && clock.now() < quietAt) {
      remember(known);
      await clock.sleep(1000, signal);
      found = await differences(deployment, known, round > 1);
    }
    if (last !== undefined && (found.nothing || round > ROUNDS)) return last;
    known = { ...undo, begun: found.changes.updated.map(({ Spec }) => Spec.Name) };
    remember(known);
    const result = found.nothing
      ? ({ outcome: 'rolled-back', message: 'It had changed nothing.' } as const)
      : await putBack(deployment, undo, found);
    const { foreign } = found;
    last = {
      changes: found.changes,
      result:
        foreign.length === 0
          ? result
          : {
              ...result,
              outcome: 'superseded',
              message: `${result.message} ${foreign.join(', ')} had been changed by someone else meanwhile and was left alone.`,
            },
    };
    if (last.result.outcome !== 'rolled-back') return last;
  }
}

interface Differences {
  readonly changes: Changes;
  readonly brought: readonly StackObject[];
  readonly relabelled: readonly StackObject[];
  /** Services that are now somebody else's. */
  readonly foreign: readonly string[];
  readonly nothing: boolean;
}

/** @param fresh only what is live counts, and not what was begun before */
async function differences(
  deployment: Deployment,
  { stack, names, before, objects, begun }: Undo,
  fresh: boolean,
): Promise<Differences> {
  const { reader } = deployment;
  const live = await settle(deployment, (engine) => reader.services(engine));
  // Whatever was written twice was written by this run: waves repeat, and it has the lock.
  const found = changesOf(before, live, names, true);
  const former = new Map(before.services.map((service) => [service.Spec.Name, service]));
  const isBack = ({ Spec }: Service): boolean => sameJson(Spec, former.get(Spec.Name)?.Spec);
  const foreign = live
    .filter((service) => found.foreign.includes(service.Spec.Name) && !isBack(service))
    .map(({ Spec }) => Spec.Name);
  const specs = new Map(live.map(({ ID, Spec }) => [ID, Spec]));
  // What was watched until it was back, by Swarm's own rollback too, is back.
  const unlike = found.updated.filter(({ ID, Spec }) => !fresh || !sameJson(specs.get(ID), Spec));
  const changed = new Set([...(fresh ? [] : begun), ...unlike.map(({ Spec }) => Spec.Name)]);
  const updated = [...changed]
    .filter((name) => !foreign.includes(name))
    .flatMap((name) => former.get(name) ?? []);
  // One that was there before under another id somebody has removed: what stands there now stays.
  const created = found.created.filter(({ name }) => !foreign.includes(name) && !former.has(name));
  const now = await settle(deployment, (engine) => engine.stackObjects(stack));
  const known = new Map(objects.map((object) => [object.id, object]));
  const brought = now.filter(({ id }) => !known.has(id));
  const relabelled = now.flatMap(({ id, labels }) => {
    const was = known.get(id);
    return was === undefined || sameJson(was.labels, labels) ? [] : [was];
  });
  const count = updated.length + created.length + brought.length + relabelled.length;
  return {
    changes: { ...found, updated, created },
    ...{ brought, relabelled, foreign, nothing: count === 0 },
  };
}

async function putBack(
  deployment: Deployment,
  { stack, before }: Undo,
  { changes, brought, relabelled }: Differences,
): Promise<RollBackResult> {
  const { inputs, world } = deployment;
  return await rollBack({
    ...{ stack, before, changes, world },
    objects: { brought, relabelled },
    failedJobs: [],
    limits: { timeoutMs: LIMIT_MS, progressTimeoutMs: STILL_MS },
    stableForMs: stableForMs(inputs.watch.stableForMs, changes, before),
    watch: (start) => look(deployment, start),
    settle: (action) => settle(deployment, action),
    cleanUpLimitMs: CLEAN_UP_LIMIT_MS,
  });
}

/**
 * In the run that was cancelled: as much as there is time for.
 * @param ending what the run would end with otherwise
 */
export async function takeBackNow(
  deployment: Deployment,
  undo: Undo,
  ending: Ending,
): Promise<Ending> {
  const { world, lease } = deployment;
  const signals = [world.hurry, ...(lease === undefined ? [] : [lease.signal])];
  const hurried = { ...deployment, world: { ...world, signal: AbortSignal.any(signals) } };
  const { hint, ...rest } = ending;
  const common = { ...rest, before: undo.before };
  try {
    const { result, changes } = await world.narrator.group(
      'Roll back, as the run was cancelled',
      () => takeBack(hurried, undo, world.rememberUndo),
      (taken) => (taken.result.outcome === 'rolled-back' ? 'done' : 'failed'),
    );
    const done = result.outcome === 'rolled-back' || result.outcome === 'superseded';
    return {
      ...common,
      message: `The run was cancelled (on-cancel: rollback). ${result.message}${done ? '' : ` ${LEFT_TO_POST}`}`,
      ...hinted(result.hint ?? (done ? undefined : hint)),
      changes,
      ...(result.rollout === undefined ? {} : { restored: result.rollout }),
      fate: result.outcome === 'rolled-back' ? 'restored' : 'unknown',
      ...(done ? {} : { unfinished: true }),
    };
  } catch (error) {
    const why =
      world.hurry.aborted || error instanceof ConnectionLost ? '' : ` (${errorLine(error)})`;
    return {
      ...common,
      ...hinted(hint),
      message: `The run was cancelled (on-cancel: rollback), and its time was up before the stack was verified to be as before${why}. ${LEFT_TO_POST}`,
      unfinished: true,
    };
  }
}

const hinted = (hint: string | undefined): { readonly hint?: string } =>
  hint === undefined ? {} : { hint };

const LEFT_TO_POST = 'The post step goes on with it and says what became of it.';
