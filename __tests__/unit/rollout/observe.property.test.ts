import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { sameJson, TASK_STATES, type Snapshot, type Task } from '../../../src/model.js';
import { observe, verdict, type Rollout } from '../../../src/rollout/observe.js';
import { begin, service, snapshot, spec, status, target, task } from '../../support/snapshots.js';

/** Any state of a swarm that has one service of two replicas, sensible or not. */
const anyTask: fc.Arbitrary<Task> = fc
  .record({
    id: fc.integer({ min: 1, max: 6 }),
    state: fc.oneof(
      { weight: 6, arbitrary: fc.constant('running' as const) },
      fc.constantFrom(...TASK_STATES),
    ),
    slot: fc.integer({ min: 1, max: 3 }),
    wanted: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, fc.constant(false)),
  })
  .map(({ id, state, slot, wanted }) =>
    task(`t${id}`, state, {
      Slot: slot,
      DesiredState: wanted ? 'running' : 'shutdown',
      ...(state === 'failed' ? { Err: 'task: non-zero exit (1)' } : {}),
    }),
  );

interface Look {
  readonly tasks: readonly Task[];
  readonly old: readonly string[];
  readonly live: number;
  readonly state:
    'updating' | 'completed' | 'paused' | 'rollback_started' | 'rollback_completed' | undefined;
  readonly after: number;
}
const mostly = <T>(usual: T, ...others: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(usual) }, fc.constantFrom(...others));
const good: fc.Arbitrary<Look> = fc.constant({
  tasks: [task('t1', 'running', { Slot: 1 }), task('t2', 'running', { Slot: 2 })],
  old: [],
  live: 1,
  state: 'completed',
  after: 2500,
});
const anyLook: fc.Arbitrary<Look> = fc.oneof(
  { weight: 2, arbitrary: good },
  fc.record({
    tasks: fc.uniqueArray(anyTask, { maxLength: 5, selector: ({ ID }) => ID }),
    old: fc.subarray(['t1', 't2', 't3', 't4', 't5', 't6']),
    live: mostly(1, 0, 2),
    state: mostly<Look['state']>(
      undefined,
      'updating',
      'completed',
      'paused',
      'rollback_started',
      'rollback_completed',
    ),
    after: fc.integer({ min: 0, max: 20_000 }),
  }),
);

const SPECS = [spec('api:theirs'), spec(), spec('api:other')];

function snapshots(looks: readonly Look[]): readonly Snapshot[] {
  let at = 0;
  return looks.map((look) => {
    at += look.after;
    const live = service(
      SPECS[look.live],
      look.state === undefined ? {} : { UpdateStatus: status(look.state) },
    );
    return snapshot(at, look.tasks, { services: [live], old: look.old });
  });
}
const run = (list: readonly Snapshot[]): Rollout => list.reduce(observe, begin());
const sequence = fc.array(anyLook, { minLength: 1, maxLength: 12 });

describe('the verdict', () => {
  it('does not change by snapshots that come twice', () => {
    fc.assert(
      fc.property(
        sequence,
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 12, maxLength: 12 }),
        (looks, times) => {
          const once = snapshots(looks);
          const often = once.flatMap((each, index) =>
            Array.from({ length: times[index]! }, () => each),
          );
          expect(run(often)).toEqual(run(once));
        },
      ),
    );
  });

  it('does not change by snapshots that come late', () => {
    fc.assert(
      fc.property(
        sequence,
        fc.array(fc.tuple(fc.nat(11), fc.nat(11)), { maxLength: 8 }),
        (looks, delays) => {
          const inOrder = snapshots(looks);
          const list = [...inOrder];
          for (const [from, by] of delays) {
            const late = inOrder[from];
            if (late === undefined) continue;
            // After one that was taken later: what came first must not be seen as news.
            const after = list.findIndex(({ at }) => at > late.at);
            if (after >= 0)
              list.splice(Math.max(after + 1, Math.min(list.length, after + by)), 0, late);
          }
          expect(run(list)).toEqual(run(inOrder));
        },
      ),
    );
  });

  it('stays once it is there', () => {
    fc.assert(
      fc.property(sequence, sequence, (first, second) => {
        const all = snapshots([...first, ...second]);
        let rollout = begin();
        for (const each of all) {
          const before = verdict(rollout);
          rollout = observe(rollout, each);
          if (before.kind !== 'waiting') expect(verdict(rollout)).toBe(before);
        }
      }),
    );
  });

  it('is converged only while everything is as it was asked for', () => {
    let seen = 0;
    fc.assert(
      fc.property(sequence, (looks) => {
        let rollout = begin();
        for (const each of snapshots(looks)) {
          if (verdict(rollout).kind !== 'waiting') return;
          rollout = observe(rollout, each);
          if (verdict(rollout).kind !== 'converged') continue;
          seen += 1;
          const [live] = each.services;
          expect(sameJson(live?.Spec, target().spec)).toBe(true);
          expect(['updating', 'paused', 'rollback_started', 'rollback_completed']).not.toContain(
            live?.UpdateStatus?.State,
          );
          const wanted = each.tasks.filter(({ DesiredState }) => DesiredState === 'running');
          expect(wanted.every(({ ID }) => each.upToDate.has(ID))).toBe(true);
          const slots = wanted
            .filter(({ Status }) => Status.State === 'running')
            .map(({ Slot }) => Slot);
          expect(new Set(slots).size).toBe(2);
        }
      }),
      { numRuns: 1000 },
    );
    // The property would say nothing if no sequence ever got there.
    expect(seen).toBeGreaterThan(50);
  });

  it('is never converged where Swarm has rolled back', () => {
    fc.assert(
      fc.property(
        sequence,
        fc.constantFrom('rollback_started', 'rollback_completed'),
        (looks, state) => {
          const tasks = [task('t1', 'running', { Slot: 1 }), task('t2', 'running', { Slot: 2 })];
          const list = snapshots(looks);
          const last = list.at(-1)!.at;
          const rolledBack = [0, 6000, 12_000].map((after) =>
            snapshot(last + after, tasks, {
              services: [
                service(spec('api:1'), { UpdateStatus: status(state as 'rollback_started') }),
              ],
            }),
          );
          const before = verdict(run(list));
          const after = verdict(run([...list, ...rolledBack]));
          if (before.kind === 'waiting') expect(after).toMatchObject({ kind: 'failed' });
          else expect(after).toEqual(before);
        },
      ),
    );
  });
});
