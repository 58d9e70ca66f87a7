/**
 * The way back of a failed deploy: restores, watches that the stack runs as before, and removes
 * what the deploy brought. Happens at most once a run.
 */
import { EngineError, type Engine, type StackObject } from '../docker/engine.js';
import { ConnectionLost } from '../errors.js';
import { isJob, kindOf, sameJson, type Snapshot } from '../model.js';
import type { Changes } from '../plan.js';
import type { Narrator } from '../report/narrator.js';
import { beginRollout, type End, type Goal, type Rollout } from './observe.js';
import { placedTasks } from './standing.js';
import { removeObjects, restore } from './restore.js';
import type { Clock } from './watch.js';

export interface RollBackRequest {
  readonly stack: string;
  readonly before: Snapshot;
  readonly changes: Changes;
  readonly objects: {
    /** Networks, configs and secrets that the deploy brought. */
    readonly brought: readonly StackObject[];
    /** Configs and secrets as they were before the deploy changed their labels. */
    readonly relabelled: readonly StackObject[];
  };
  readonly limits: { readonly timeoutMs: number; readonly progressTimeoutMs: number };
  readonly stableForMs: number;
  readonly world: {
    readonly narrator: Narrator;
    readonly clock: Clock;
    readonly signal: AbortSignal;
  };
  readonly watch: (start: Rollout) => Promise<{ readonly rollout: Rollout; readonly end: End }>;
  /** Repeats on a new connection what a lost one interrupted. */
  readonly settle: <T>(action: (engine: Engine) => Promise<T>) => Promise<T>;
  readonly cleanUpLimitMs: number;
}

export interface RollBackResult {
  readonly outcome: 'rolled-back' | 'rollback-failed' | 'superseded' | 'unreachable';
  readonly message: string;
  readonly hint?: string;
  readonly rollout?: Rollout;
}

/** @returns how it went; a failed rollback is a result, told loudly */
export async function rollBack(request: RollBackRequest): Promise<RollBackResult> {
  try {
    return await attempt(request);
  } catch (error) {
    if (error instanceof ConnectionLost)
      return {
        outcome: 'unreachable',
        message: `The rollback could not be finished: ${error.message}.`,
        hint: lookHint(request.stack),
      };
    if (!(error instanceof EngineError)) throw error;
    return {
      outcome: 'rollback-failed',
      message: `The rollback failed: the engine refused ${error.request}: ${error.message}`,
      hint: lookHint(request.stack),
    };
  }
}

async function attempt(request: RollBackRequest): Promise<RollBackResult> {
  const { before, changes, world, settle, limits, stack } = request;
  const { narrator, clock } = world;
  const intended = new Map(changes.targets.map(({ id, spec }) => [id, spec]));
  // A job that ran again from the same spec has nothing to go back to, and cannot be undone.
  const updated = changes.updated.filter(
    ({ ID, Spec }) => !isJob(kindOf(Spec)) || !sameJson(Spec, intended.get(ID)),
  );
  const undo = { changed: updated, created: changes.created };
  const foreign = await settle((engine) => restore(engine, undo, intended, narrator.say));
  for (const object of request.objects.relabelled) {
    narrator.say(`restoring the labels of ${object.kind} ${object.name}`);
    await settle((engine) => engine.restoreLabels(object));
  }
  const ours = updated.filter(({ Spec }) => !foreign.includes(Spec.Name));

  const formerTasks = new Set(before.tasks.map(({ ID }) => ID));
  const goal: Goal = {
    phase: 'restore',
    targets: ours.map((former) => ({
      id: former.ID,
      name: former.Spec.Name,
      change: 'updated',
      spec: former.Spec,
      enough: placedTasks(former, kindOf(former.Spec), before),
    })),
    gone: changes.created,
    formerTasks,
    settledTasks: formerTasks,
    startedAt: clock.now(),
    stableForMs: request.stableForMs,
    timeoutMs: limits.timeoutMs,
    progressTimeoutMs: limits.progressTimeoutMs,
    maxFailures: Infinity,
  };
  const { rollout, end } = await request.watch(beginRollout(goal));
  if (end.kind !== 'converged')
    return {
      outcome: end.kind === 'superseded' ? 'superseded' : 'rollback-failed',
      message: `The rollback did not succeed: ${end.message}`,
      hint: lookHint(stack),
      rollout,
    };
  const left = await removeBrought(request);
  if (foreign.length > 0)
    return {
      outcome: 'superseded',
      message: `${foreign.join(', ')} had been changed by someone else meanwhile and was left alone; everything else is as it was before.`,
      hint: lookHint(stack),
      rollout,
    };
  return {
    outcome: 'rolled-back',
    message:
      'The stack is verified to be as it was before.' +
      (left.length === 0
        ? ''
        : ` Still there, because something else uses it: ${left.map(({ kind, name }) => `${kind} ${name}`).join(', ')}.`),
    rollout,
  };
}

/** A network is free only when the last task on it has stopped, a moment after its service. */
async function removeBrought(request: RollBackRequest): Promise<readonly StackObject[]> {
  const { world, settle, cleanUpLimitMs } = request;
  const deadline = world.clock.now() + cleanUpLimitMs;
  let left = request.objects.brought;
  for (;;) {
    const remaining = left;
    left = await settle((engine) => removeObjects(engine, remaining));
    if (left.length === 0 || world.clock.now() >= deadline) return left;
    await world.clock.sleep(500, world.signal);
  }
}

const lookHint = (stack: string): string =>
  `Look at it on a manager: docker stack services ${stack}; docker stack ps --no-trunc ${stack}`;
