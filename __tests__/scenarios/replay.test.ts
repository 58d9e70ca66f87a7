/**
 * Rollouts as a real swarm went through them, replayed through `observe`: what the verdict is, and
 * when it came. When it may come is worked out here a second time, from what was done to the swarm.
 */
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Reason } from '../../src/errors.js';
import type { Snapshot, Task, UpdateState } from '../../src/model.js';
import {
  beginRollout,
  failuresOf,
  observe,
  verdict,
  type Rollout,
} from '../../src/rollout/observe.js';
import { loadTrace, traceNames, type Trace } from '../support/traces.js';

type Condition = (snapshot: Snapshot, trace: Trace) => boolean;

interface Expected {
  readonly end:
    | { readonly kind: 'converged' }
    | { readonly kind: 'superseded'; readonly service: string }
    | { readonly kind: 'failed'; readonly reason: Reason; readonly service: string };
  /** What the recording must have caught for the story to be the one that its title tells. */
  readonly shows: readonly Condition[];
  /**
   * The verdict comes with the first snapshot of this kind. A green one: with the first in which it
   * has held, with the same tasks, for as long as things have to be stable, and no update goes on.
   */
  readonly when: Condition;
  /** How much later it may come: Swarm stops an update before it says which task has failed. */
  readonly laterMs?: number;
  /** Whether tasks failed; unless told, they did where the end is red. */
  readonly failures?: 'some' | 'none';
  /** Whether all was well for a time, although the end is red. */
  readonly wasWell?: true;
}

const MAX_FAILURES = 3;
const CAUSE_MS = 3000;
const DEADLOCK_MS = 5000;

const ranks = (task: Task): boolean => task.DesiredState === 'running';
const isUpToDate = ({ upToDate }: Snapshot, { ID }: Task): boolean => upToDate.has(ID);

/** Ids of the tasks that run as they were asked to, or have ended well where they were to end. */
function standing(snapshot: Snapshot, state: 'running' | 'complete'): readonly string[] {
  return snapshot.tasks
    .filter((task) => isUpToDate(snapshot, task) && task.Status.State === state)
    .filter((task) => state === 'complete' || ranks(task))
    .map(({ ID }) => ID)
    .sort();
}

/** All of them run, in different places, and nothing else is meant to. */
const run =
  (count: number): Condition =>
  (snapshot) => {
    const ids = standing(snapshot, 'running');
    const places = snapshot.tasks.filter(({ ID }) => ids.includes(ID)).map(placeOf);
    return (
      new Set(places).size === count &&
      ids.length === count &&
      snapshot.tasks.every((task) => !ranks(task) || ids.includes(task.ID))
    );
  };
const placeOf = (task: Task): string => `${task.ServiceID} ${task.Slot ?? task.NodeID ?? ''}`;

const ended =
  (count: number): Condition =>
  (snapshot) =>
    standing(snapshot, 'complete').length === count;

/** Tasks of this deploy that did not end well. */
const failedIn = (snapshot: Snapshot, { goal }: Trace): readonly Task[] =>
  snapshot.tasks.filter(
    ({ ID, Status }) =>
      !goal.formerTasks.has(ID) && (Status.State === 'failed' || Status.State === 'rejected'),
  );
const failed =
  (count: number): Condition =>
  (snapshot, trace) =>
    failedIn(snapshot, trace).length >= count;

const update =
  (...states: readonly (UpdateState | undefined)[]): Condition =>
  ({ services }) =>
    services.some(({ UpdateStatus }) => states.includes(UpdateStatus?.State));
const not =
  (condition: Condition): Condition =>
  (...seen) =>
    !condition(...seen);
const all =
  (...conditions: readonly Condition[]): Condition =>
  (...seen) =>
    conditions.every((condition) => condition(...seen));
const any =
  (...conditions: readonly Condition[]): Condition =>
  (...seen) =>
    conditions.some((condition) => condition(...seen));
const after =
  (what: RegExp): Condition =>
  ({ at }, { events }) =>
    [...events].some(([event, time]) => what.test(event) && at >= time);
const node =
  (state: string): Condition =>
  ({ nodes }) =>
    nodes.some(({ Status }) => Status.State === state);
const task =
  (state: Task['Status']['State'], count = 1): Condition =>
  ({ tasks }) =>
    tasks.filter(({ Status }) => Status.State === state).length >= count;
/** Tasks of both versions are meant to run. */
const mixed: Condition = (snapshot) =>
  new Set(snapshot.tasks.filter(ranks).map((each) => isUpToDate(snapshot, each))).size === 2;

/** It has been so for a while. */
const lasting =
  (ms: number, condition: Condition): Condition =>
  ({ at }, trace) => {
    const until = trace.snapshots.filter((each) => each.at <= at);
    const since = until.findLastIndex((each) => !condition(each, trace)) + 1;
    return at - (until[since]?.at ?? at) >= ms;
  };

const converged = { kind: 'converged' } as const;
const failure = (reason: Reason, service: string) => ({ kind: 'failed', reason, service }) as const;

const EXPECTED: Readonly<Record<string, Expected>> = {
  'start-first': {
    end: converged,
    // One more than there are replicas, at times.
    shows: [mixed, task('running', 5), update('completed')],
    when: run(4),
  },
  'stop-first': {
    end: converged,
    shows: [mixed, (snapshot) => snapshot.tasks.filter(isRunning).length === 2],
    when: run(3),
  },
  'node-lost': {
    end: converged,
    shows: [
      all(mixed, after(/is killed/)),
      // All run, as far as Swarm knows.
      all(run(5), not(node('down')), after(/is killed/)),
      all(not(run(5)), node('down')),
    ],
    when: run(5),
  },
  slow: {
    end: converged,
    shows: [task('preparing', 2), task('starting', 2), task('running', 2)],
    when: run(2),
  },
  scaled: { end: converged, shows: [not(run(4))], when: run(4) },
  labelled: { end: converged, shows: [run(2)], when: run(2) },
  'global-node-added': {
    end: converged,
    shows: [mixed, not(after(/gets the label/)), after(/gets the label/)],
    when: all(run(3), after(/gets the label/)),
  },
  'one-dies': {
    end: converged,
    shows: [all(run(3), not(after(/is killed/))), all(failed(1), run(3))],
    when: run(3),
    failures: 'some',
  },
  'global-node-paused': {
    // Not all of it is what was asked for, and never will be.
    end: failure('unschedulable', 'web'),
    shows: [all(update('completed'), mixed)],
    when: lasting(
      DEADLOCK_MS,
      all(mixed, (snapshot) => standing(snapshot, 'running').length === 2),
    ),
    failures: 'none',
  },
  'one-shot-again': {
    end: converged,
    // Swarm calls a task that has done its work an "early termination". Running is as good.
    shows: [update('paused'), ended(1)],
    when: any(run(1), ended(1)),
  },
  job: { end: converged, shows: [not(ended(3)), ended(3)], when: ended(3) },
  'global-job': { end: converged, shows: [not(ended(3)), ended(3)], when: ended(3) },
  'job-failing': {
    end: failure('job-failed', 'job'),
    shows: [failed(MAX_FAILURES + 1)],
    when: failed(MAX_FAILURES),
  },
  'image-missing': {
    end: failure('image-not-found', 'web'),
    shows: [task('rejected')],
    // What the registry says of it is in no trace: the node's words alone are counted.
    when: failed(MAX_FAILURES),
  },
  'never-healthy': {
    end: failure('unhealthy', 'web'),
    shows: [task('starting', 2)],
    when: failed(MAX_FAILURES),
  },
  flapping: {
    end: failure('crash-loop', 'web'),
    // There was a time when everything ran, at once, and of the new version.
    shows: [run(2)],
    when: failed(MAX_FAILURES),
    wasWell: true,
  },
  continued: {
    end: failure('crash-loop', 'web'),
    shows: [all(update('completed'), failed(6))],
    when: failed(MAX_FAILURES),
  },
  'all-may-fail': {
    end: failure('crash-loop', 'web'),
    shows: [all(update('completed'), failed(MAX_FAILURES))],
    when: failed(MAX_FAILURES),
  },
  paused: {
    end: failure('update-paused', 'web'),
    shows: [update('updating')],
    when: update('paused'),
    laterMs: CAUSE_MS,
  },
  several: {
    end: failure('update-paused', 'api'),
    shows: [all(update('paused'), update('updating', 'completed'))],
    when: update('paused'),
    laterMs: CAUSE_MS,
  },
  'rolled-back': {
    end: failure('rolled-back-by-swarm', 'web'),
    // In the end all is well again: with what was there before.
    shows: [all(update('rollback_completed'), run(3))],
    when: update('rollback_started', 'rollback_completed'),
    laterMs: CAUSE_MS,
  },
  'other-writer': {
    end: { kind: 'superseded', service: 'web' },
    shows: [mixed],
    when: ({ services }) => JSON.stringify(services[0]?.Spec).includes('WHO=else'),
  },
};

const isRunning = (each: Task): boolean => each.Status.State === 'running' && ranks(each);

/** The first snapshot with which the verdict may come. */
function due({ end, when }: Expected, trace: Trace): Snapshot {
  const { goal, snapshots } = trace;
  let since: Snapshot | undefined;
  for (const snapshot of snapshots) {
    if (!when(snapshot, trace)) {
      since = undefined;
      continue;
    }
    if (end.kind !== 'converged') return snapshot;
    if (since === undefined || !isDeepStrictEqual(tasksOf(since), tasksOf(snapshot)))
      since = snapshot;
    const proven = tasksOf(snapshot).every((id) => goal.settledTasks.has(id));
    const held = proven || snapshot.at - since.at >= goal.stableForMs;
    if (held && !update('updating')(snapshot, trace)) return snapshot;
  }
  throw new Error(`${trace.name} does not show its end`);
}
const tasksOf = (snapshot: Snapshot): readonly string[] => [
  ...standing(snapshot, 'running'),
  ...standing(snapshot, 'complete'),
];

function replay({ goal }: Trace, snapshots: readonly Snapshot[]): Rollout {
  return snapshots.reduce(observe, beginRollout(goal));
}

/** By Node's own comparison: jest's takes many times as long. */
const same = (a: Rollout, b: Rollout): boolean => isDeepStrictEqual(a, b);

const traces = traceNames.map(loadTrace);

it('there is a trace for each story, and a story for each trace', () => {
  expect([...traceNames].sort()).toEqual(Object.keys(EXPECTED).sort());
});

describe.each(traces.map((trace) => [trace.title, trace] as const))('%s', (_, trace) => {
  const { goal, snapshots } = trace;
  const expected = EXPECTED[trace.name]!;
  const whole = replay(trace, snapshots);
  const endsAt = snapshots.findIndex(({ at }) => at === whole.at);

  it('is what was recorded', () => {
    expect(goal.targets.map(({ name }) => name)).not.toEqual([]);
    for (const condition of expected.shows)
      expect(snapshots.some((snapshot) => condition(snapshot, trace))).toBe(true);
  });

  it('ends as it must', () => {
    const { end } = expected;
    const service = 'service' in end ? { service: `${trace.stack}_${end.service}` } : {};
    expect(verdict(whole)).toMatchObject({ ...end, ...service });
  });

  it('ends when it can be known, and no look before', () => {
    const first = due(expected, trace);
    expect(whole.at).toBeGreaterThanOrEqual(first.at);
    // With one look more, as the pace of the looks was what it was.
    const latest = snapshots.find(({ at }) => at >= first.at + (expected.laterMs ?? 0));
    expect(whole.at).toBeLessThanOrEqual(latest?.at ?? 0);
  });

  it('counts the tasks that failed until then', () => {
    const seen = new Set(
      snapshots.slice(0, endsAt + 1).flatMap((each) => failedIn(each, trace).map(({ ID }) => ID)),
    );
    expect(
      failuresOf(whole)
        .map(({ taskId }) => taskId)
        .sort(),
    ).toEqual([...seen].sort());
    const { failures = expected.end.kind === 'failed' ? 'some' : 'none' } = expected;
    expect(seen.size > 0).toBe(failures === 'some');
    // A red end that has a task to show for it says what it died of.
    if (expected.end.kind === 'failed' && failures === 'some')
      expect(verdict(whole)).toMatchObject({ message: expect.stringMatching(/: \S/) });
  });

  it('keeps its verdict, whatever comes after', () => {
    let rollout = beginRollout(goal);
    const verdicts = snapshots.map((each) => verdict((rollout = observe(rollout, each))));
    const waiting = Array.from({ length: endsAt }, () => ({ kind: 'waiting' }));
    expect(verdicts.slice(0, endsAt)).toEqual(waiting);
    for (const each of verdicts.slice(endsAt)) expect(each).toBe(verdicts[endsAt]);
    expect(same(rollout, whole)).toBe(true);
  });

  it('has the intended specs live where it ends green', () => {
    if (verdict(whole).kind !== 'converged') return;
    const live = snapshots[endsAt]!.services;
    expect(goal.targets.map(({ id, spec }) => [id, spec])).toEqual(
      goal.targets.map(({ id }) => [id, live.find(({ ID }) => ID === id)?.Spec]),
    );
  });

  it('comes to the same with looks that come twice', () => {
    const times = fc.array(fc.integer({ min: 1, max: 3 }), {
      minLength: snapshots.length,
      maxLength: snapshots.length,
    });
    fc.assert(
      fc.property(times, (counts) => {
        const often = snapshots.flatMap((each, index) =>
          Array.from({ length: counts[index]! }, () => each),
        );
        expect(same(replay(trace, often), whole)).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  it('comes to the same with looks that come again, late', () => {
    const delays = fc.array(
      fc.record({ from: fc.nat(snapshots.length - 2), by: fc.integer({ min: 1, max: 60 }) }),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(delays, (late) => {
        const list = snapshots.flatMap((each, index) => [
          each,
          // What was seen `by` looks ago, after what has been seen since.
          ...late.filter(({ from, by }) => from + by === index).map(({ from }) => snapshots[from]!),
        ]);
        expect(same(replay(trace, list), whole)).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  /** Which looks there are: any, or every so many, as at a slower pace. */
  const selection = fc.oneof(
    fc.array(fc.boolean(), { minLength: snapshots.length, maxLength: snapshots.length }),
    fc
      .tuple(fc.integer({ min: 2, max: 24 }), fc.nat(23))
      .map(([pace, first]) => snapshots.map((_each, index) => (index + first) % pace === 0)),
  );

  it('comes to the same verdict with fewer looks and other windows, and no sooner', () => {
    const green = expected.end.kind === 'converged';
    // A red one may have been well for a moment.
    const windows = green ? [0, 1000, goal.stableForMs] : [goal.stableForMs];
    fc.assert(
      fc.property(
        selection,
        fc.nat(endsAt),
        fc.constantFrom(...windows),
        (taken, from, stableForMs) => {
          const fewer: Trace = {
            ...trace,
            goal: { ...goal, stableForMs },
            snapshots: snapshots.filter(
              (_each, index) => index >= endsAt || (index >= from && taken[index]!),
            ),
          };
          const rollout = replay(fewer, fewer.snapshots);
          expect(verdict(rollout).kind).toBe(expected.end.kind);
          if (green) expect(rollout.at).toBe(due(expected, fewer).at);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('is never the other colour, whichever looks are missing, and with no window at all', () => {
    const wrong = expected.end.kind === 'converged' ? ['failed', 'superseded'] : ['converged'];
    const windows = expected.wasWell === true ? [goal.stableForMs] : [0, goal.stableForMs];
    fc.assert(
      fc.property(
        selection,
        fc.nat(snapshots.length),
        fc.constantFrom(...windows),
        (taken, until, stableForMs) => {
          const some = snapshots.slice(0, until).filter((_each, index) => taken[index]!);
          const rollout = replay({ ...trace, goal: { ...goal, stableForMs } }, some);
          expect(wrong).not.toContain(verdict(rollout).kind);
        },
      ),
      { numRuns: 40 },
    );
  });
});
