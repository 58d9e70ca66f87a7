/** A change that is written in waves: what each waits for, and what they come to together. */
import {
  at,
  hasOwnHealthcheck,
  isJob,
  kindOf,
  sameJson,
  type Service,
  type Snapshot,
} from '../model.js';
import type { Changes } from '../plan.js';
import type { Target } from '../rollout/observe.js';

/** Services that are written together, by their full names. */
export interface ChangeWave {
  readonly names: readonly string[];
  /** What has to have converged before they are; `completed`: all of it ended with exit code 0. */
  readonly needs: readonly { readonly name: string; readonly completed: boolean }[];
}

/**
 * Of services of which nothing but a running process is known: one that dies of its first errors does
 * so within moments. What has a healthcheck, or has ended well, has nothing more to show here; that all
 * of it holds is seen at the end.
 */
const CALM_MS = 2000;

/** How long what a wave needs has to hold before that wave, in milliseconds. */
export function calmMs(needed: readonly Target[]): number {
  const unchecked = needed.some(
    ({ spec, mustEnd, change }) =>
      change !== 'unchanged' &&
      mustEnd !== true &&
      !isJob(kindOf(spec)) &&
      !hasOwnHealthcheck(spec),
  );
  return unchecked ? CALM_MS : 0;
}

/** The changes of a wave, with what has to end for a later one. */
export function marked(changes: Changes, waves: readonly ChangeWave[]): Changes {
  const ending = new Set(
    waves.flatMap(({ needs }) =>
      needs.filter(({ completed }) => completed).map(({ name }) => name),
    ),
  );
  if (ending.size === 0) return changes;
  return {
    ...changes,
    targets: changes.targets.map((target) =>
      ending.has(target.name) ? { ...target, mustEnd: true } : target,
    ),
  };
}

/**
 * What the waves so far and another one come to.
 * @param names full names of the services of all waves
 */
export function joined(
  former: Changes | undefined,
  changes: Changes,
  live: readonly Service[],
  names: readonly string[],
): Changes {
  const wanted = new Set(names);
  const orphans = live.filter(({ Spec }) => !wanted.has(Spec.Name));
  if (former === undefined) return { ...changes, orphans };
  return {
    targets: byName([...former.targets, ...changes.targets]),
    updated: [...former.updated, ...changes.updated],
    created: [...former.created, ...changes.created],
    orphans,
    any: former.any || changes.any,
    foreign: [...former.foreign, ...changes.foreign],
    lines: [...former.lines, ...changes.lines],
  };
}

/** As `changesOf` has them. */
export const byName = (targets: readonly Target[]): readonly Target[] =>
  [...targets].sort((a, b) => a.name.localeCompare(b.name, 'en'));

/**
 * The services from before, and where Swarm has ended somebody's update since by going back, as it went: it
 * forgets the spec that it takes back.
 */
export function caughtUp(before: Snapshot, live: readonly Service[]): Snapshot {
  const back = (was: Service): Service | undefined =>
    live.find(
      (is) =>
        is.ID === was.ID &&
        is.UpdateStatus?.State?.startsWith('rollback_') === true &&
        is.PreviousSpec === undefined &&
        was.PreviousSpec !== undefined &&
        sameJson(is.Spec, was.PreviousSpec),
    );
  return { ...before, services: before.services.map((was) => back(was) ?? was) };
}

/**
 * The same of what was written right after Swarm had gone back: it shows in what that was written over, the
 * spec before the one that was on its way.
 * @param live the services that were written, once
 */
export function wentBack(before: Snapshot, live: readonly Service[]): Snapshot {
  const back = ({ PreviousSpec, UpdateStatus, ...was }: Service): Service | undefined => {
    const is = live.find(({ ID }) => ID === was.ID);
    const mayGoBack =
      UpdateStatus?.State === 'updating' &&
      at(was.Spec, 'UpdateConfig', 'FailureAction') === 'rollback';
    return mayGoBack &&
      PreviousSpec !== undefined &&
      is?.PreviousSpec !== undefined &&
      !sameJson(is.Spec, was.Spec) &&
      !sameJson(is.PreviousSpec, was.Spec) &&
      sameJson(is.PreviousSpec, PreviousSpec)
      ? { ...was, Spec: PreviousSpec }
      : undefined;
  };
  return { ...before, services: before.services.map((was) => back(was) ?? was) };
}

/** Which of these services are not what they were before, although nobody here has written them. */
export function changedMeanwhile(
  { services }: Pick<Snapshot, 'services'>,
  live: readonly Service[],
  names: readonly string[],
): readonly string[] {
  const named = (all: readonly Service[], name: string): Service | undefined =>
    all.find(({ Spec }) => Spec.Name === name);
  return names.filter((name) => {
    const [was, is] = [named(services, name), named(live, name)];
    if (was === undefined || is === undefined) return was !== is;
    return was.ID !== is.ID || !sameJson(was.Spec, is.Spec);
  });
}

/** `shop_db to be healthy, shop_migrate to complete`. */
export const needsText = (needs: ChangeWave['needs']): string =>
  needs
    .map(({ name, completed }) => `${name} to ${completed ? 'complete' : 'be healthy'}`)
    .join(', ');

/** The title of what is written of a wave. */
export function waveTitle(stack: string, waves: readonly ChangeWave[], index: number): string {
  if (waves.length === 1) return 'Deploy the stack';
  const names = (waves[index]?.names ?? []).map((name) => name.slice(stack.length + 1));
  return `Deploy wave ${index + 1} of ${waves.length}: ${names.join(', ')}`;
}
