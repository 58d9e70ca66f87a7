/**
 * The way back of a failed deploy: restores, watches that the stack runs as before, and removes
 * what the deploy brought. Happens at most once a run.
 */
import { EngineError, type Engine, type StackObject } from '../docker/engine.js';
import { ConnectionLost } from '../errors.js';
import { isJob, kindOf, sameJson, stopGraceMs, type Service, type Snapshot } from '../model.js';
import type { Changes } from '../plan.js';
import type { Narrator } from '../report/narrator.js';
import { standingLine } from '../report/progress.js';
import {
  beginRollout,
  continueRollout,
  type End,
  type Goal,
  type Rollout,
  type Target,
} from './observe.js';
import { ranInFull, unsteadyPlaces } from './stability.js';
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
  /** Jobs that this deploy started again from the spec that they had, and that failed. */
  readonly failedJobs: readonly string[];
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
  const updated = changes.updated.filter((former) => !ranAgain(former, changes));
  const undo = { changed: updated, created: changes.created };
  const { foreign, refused } = await settle((engine) =>
    restore(engine, undo, intended, narrator.say, (ms) => clock.sleep(ms, world.signal)),
  );
  for (const object of request.objects.relabelled) {
    narrator.say(`restoring the labels of ${object.kind} ${object.name}`);
    await settle((engine) => engine.restoreLabels(object));
  }
  const left = new Set([...foreign, ...refused.map(({ name }) => name)]);
  const ours = updated.filter(({ Spec }) => !left.has(Spec.Name));
  const removed = changes.created
    .filter(({ name }) => !left.has(name))
    .map(({ id, name }) => {
      const spec = intended.get(id);
      return { id, name, graceMs: spec === undefined ? 0 : stopGraceMs(spec) };
    });

  const formerTasks = new Set(before.tasks.map(({ ID }) => ID));
  const goal: Goal = {
    phase: 'restore',
    targets: [
      ...ours.map((former) => {
        const unsteady = unsteadyPlaces(former, before);
        return {
          id: former.ID,
          name: former.Spec.Name,
          change: 'updated' as const,
          spec: former.Spec,
          enough: placedTasks(former, kindOf(former.Spec), before, unsteady),
          unsteady,
        };
      }),
      ...bystanders(changes, before),
    ],
    gone: removed,
    formerTasks,
    settledTasks: formerTasks,
    startedAt: clock.now(),
    stableForMs: request.stableForMs,
    timeoutMs: limits.timeoutMs + Math.max(0, ...removed.map(({ graceMs }) => graceMs)),
    progressTimeoutMs: limits.progressTimeoutMs,
    maxFailures: Infinity,
  };
  for (const { name, unsteady } of goal.targets)
    if (unsteady !== undefined && unsteady.size > 0)
      narrator.say(
        `${name} was failing before this deploy, too (${unsteady.size} of its tasks): that is no more than it has to be again`,
      );
  let { rollout, end } = await request.watch(beginRollout(goal));
  for (let time = 1; time <= RESUMPTIONS && mayGoOn(end, goal); time += 1) {
    narrator.say(`${end.message}; going on (${time} of at most ${RESUMPTIONS} times)`);
    const again = { changed: ours, created: [] };
    await settle((engine) =>
      restore(engine, again, intended, narrator.say, (ms) => clock.sleep(ms, world.signal)),
    );
    ({ rollout, end } = await request.watch(continueRollout(rollout, goal, clock.now())));
  }
  const refusals = refused.map(({ name, why }) => `${name} is still as it was deployed: ${why}`);
  if (end.kind !== 'converged')
    return {
      outcome: end.kind === 'superseded' ? 'superseded' : 'rollback-failed',
      message: `The rollback did not succeed: ${sentence([end.message, ...standing(rollout), ...refusals])}`,
      hint: lookHint(stack),
      rollout,
    };
  const remaining = await removeBrought(request);
  const stays =
    remaining.length === 0
      ? ''
      : ` Still there, because something else uses it: ${remaining.map(({ kind, name }) => `${kind} ${name}`).join(', ')}.`;
  if (refused.length > 0)
    return {
      outcome: 'rollback-failed',
      message: `The rollback did not succeed: ${sentence([...refusals, ...standing(rollout), ...removed.map(({ name }) => `${name} is gone again`)])}${stays}`,
      hint: lookHint(stack),
      rollout,
    };
  if (foreign.length > 0)
    return {
      outcome: 'superseded',
      message: `${foreign.join(', ')} had been changed by someone else meanwhile and was left alone; everything else is as it was before.`,
      hint: lookHint(stack),
      rollout,
    };
  if (request.failedJobs.length > 0)
    return {
      outcome: 'rollback-failed',
      message:
        `Everything else is verified to be as it was before, but ${request.failedJobs.join(', ')} was started again ` +
        `by this deploy, from the spec that it had, and nothing undoes that: Swarm goes on trying.${stays}`,
      hint: jobHint(request.failedJobs),
      rollout,
    };
  return {
    outcome: 'rolled-back',
    message: `The stack is verified to be as it was before.${stays}`,
    rollout,
  };
}

/**
 * A former version may need a second try, too, as while what it waits for comes back: at the first task of it
 * that fails, Swarm stops, or turns round once more, and leaves the stack half-way.
 */
const RESUMPTIONS = 3;

/** Whether it was Swarm that did not go on, and that would if it were asked to: nothing runs again what has ended. */
const mayGoOn = (end: End, { targets }: Goal): end is Extract<End, { readonly kind: 'failed' }> => {
  if (end.kind !== 'failed') return false;
  if (end.reason !== 'update-paused' && end.reason !== 'rolled-back-by-swarm') return false;
  const target = targets.find(({ name }) => name === end.service);
  const kind = target && kindOf(target.spec);
  return !(kind !== undefined && 'oneShot' in kind && kind.oneShot);
};

/**
 * What nobody has to put back, and what the deploy may have brought down all the same: a service fails for
 * want of another one, too. What was not well before is left out.
 */
const bystanders = ({ targets }: Changes, before: Snapshot): readonly Target[] =>
  targets
    .filter(({ id, change }) => {
      const former = before.services.find(({ ID }) => ID === id);
      return change === 'unchanged' && former !== undefined && ranInFull(former, before);
    })
    .map(({ id, name, change, spec, staleStatus }) => ({
      ...{ id, name, change, spec },
      ...(staleStatus && { staleStatus }),
    }));

/** Whether a job was started again from the same spec: there is nothing to go back to. */
export function ranAgain({ ID, Spec }: Service, { targets }: Changes): boolean {
  const intended = targets.find(({ id }) => id === ID)?.spec;
  return isJob(kindOf(Spec)) && intended !== undefined && sameJson(Spec, intended);
}

/** Where every service stands that was put back, and what else does not run as before. */
const standing = ({ goal, services }: Rollout): readonly string[] => {
  const bystanding = new Set(
    goal.targets.filter(({ change }) => change === 'unchanged').map(({ id }) => id),
  );
  return [...services]
    .filter(([id, { complete }]) => !complete || !bystanding.has(id))
    .map(([, progress]) => standingLine(progress));
};

const sentence = (parts: readonly string[]): string => `${parts.join('; ')}.`;

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

/** What ends a job that fails again and again. */
export const jobHint = (names: readonly string[]): string =>
  `See why: docker service logs ${names[0] ?? ''}; to end it: docker service rm ${names.join(' ')}`;

const lookHint = (stack: string): string =>
  `Look at it on a manager: docker stack services ${stack}; docker stack ps --no-trunc ${stack}`;
