import { describe, expect, it } from '@jest/globals';
import type { Service, Snapshot, Task, TaskState } from '../../../src/model.js';
import { createNarrator } from '../../../src/report/narrator.js';
import {
  progressLog,
  standingLine,
  statesOf,
  transitions,
  waitingFor,
  wellText,
} from '../../../src/report/progress.js';
import { observe, type Goal, type Rollout } from '../../../src/rollout/observe.js';
import {
  begin,
  SERVICE,
  service,
  snapshot,
  spec,
  status,
  target,
  task,
} from '../../support/snapshots.js';

const seen = (now: Snapshot, aim: Partial<Goal> = {}): Rollout => observe(begin(aim), now);
const moves = (
  now: Snapshot,
  before: readonly Task[] = [],
  aim: Partial<Goal> = {},
): readonly string[] => transitions(statesOf(before), now, seen(now, aim));

describe('transitions', () => {
  it('tell what moved, where, and what Docker says', () => {
    const now = snapshot(0, [
      task('a', 'running'),
      task('b', 'failed', { Slot: 2, Err: 'task: non-zero exit (1)', NodeID: 'n2' }),
    ]);
    expect(moves(now)).toEqual([
      'shop_api.1 running on host-n1',
      'shop_api.2 failed on host-n2: task: non-zero exit (1)',
    ]);
  });
  it('leave out what has not moved, what is over in a moment, and what was there before', () => {
    const now = snapshot(0, [task('a', 'running'), task('b', 'accepted'), task('c', 'failed')]);
    expect(moves(now, [task('a', 'running')], { formerTasks: new Set(['c']) })).toEqual([]);
    expect(moves(now, [task('a', 'starting')], { formerTasks: new Set(['c']) })).toHaveLength(1);
  });
  it('leave out services that are not of this rollout', () => {
    expect(moves(snapshot(0, [task('a', 'running', { ServiceID: 'other' })]))).toEqual([]);
  });
  it('are summed up above twelve', () => {
    const many = (count: number): Snapshot =>
      snapshot(
        0,
        Array.from({ length: count }, (_, index) =>
          task(`t${index}`, index === 0 ? 'failed' : 'running'),
        ),
      );
    expect(moves(many(12))).toHaveLength(12);
    expect(moves(many(13))).toEqual(['shop_api failed: 1 task', 'shop_api running: 12 tasks']);
  });
  it('are safe to print', () => {
    expect(moves(snapshot(0, [task('a', 'failed', { Err: 'x\n::error::y\u001b[31m' })]))[0]).toBe(
      'shop_api.1 failed on host-n1: x ::error::y',
    );
  });
});

describe('standing', () => {
  it('says all that is known', () => {
    const now = snapshot(
      0,
      [
        task('a', 'running'),
        task('o', 'running', { Slot: 2 }),
        task('f', 'failed', { Slot: 2 }),
        task('p', 'pending', { Slot: 2, Err: 'no suitable node' }),
        task('q', 'pending', { Slot: 2 }),
      ],
      { old: ['o'] },
    );
    expect(standingLine(seen(now).services.get(SERVICE)!)).toBe(
      'shop_api 1/2 up to date and running, 1 still on another version, 1 too many, 1 failed, waiting for a node: no suitable node',
    );
  });
  it('counts completions of jobs', () => {
    const job = spec('x', { Mode: { ReplicatedJob: { TotalCompletions: 3 } } });
    const now = snapshot(0, [], { services: [service(job)] });
    expect(
      standingLine(seen(now, { targets: [target({ spec: job })] }).services.get(SERVICE)!),
    ).toBe('shop_api 0/3 completed');
  });
});

describe('a service that may end', () => {
  const once = spec('x', {}, { RestartPolicy: { Condition: 'on-failure' } });
  const look = (at: number, ...states: readonly TaskState[]): Snapshot =>
    snapshot(
      at,
      states.map((state, index) => task(`t${index}`, state, { Slot: index + 1 })),
      { services: [service(once)] },
    );
  const aim = { targets: [target({ spec: once })] };
  const standingOf = (...states: readonly TaskState[]): string =>
    standingLine(seen(look(0, ...states), aim).services.get(SERVICE)!);

  it('is told by how many of its tasks have ended', () => {
    expect(standingOf('running', 'running')).toBe('shop_api 2/2 up to date and running');
    expect(standingOf('running', 'complete')).toBe(
      'shop_api 1 of 2 ended with exit code 0, 1 running',
    );
    expect(standingOf('complete', 'complete')).toBe(
      'shop_api 2 of 2 ended with exit code 0, none running',
    );
  });

  it('is not called healthy and stable once it has ended', () => {
    const web = target({ id: 'web', name: 'shop_web' });
    const two = (state: TaskState): Rollout => {
      const { tasks } = look(0, state, state);
      const both = [1, 2].map((Slot) => task(`w${Slot}`, 'running', { Slot, ServiceID: 'web' }));
      const services = [service(once), service(spec(), { ID: 'web' })];
      return seen(snapshot(0, [...tasks, ...both], { services }), {
        targets: [...aim.targets, web],
      });
    };
    expect(wellText(two('running'))).toBe('2 services, all healthy and stable');
    expect(wellText(two('complete'))).toBe(
      '1 service healthy and stable; shop_api 2 of 2 ended with exit code 0, none running',
    );
    expect(wellText(seen(look(0, 'complete', 'complete'), aim))).toBe(
      'shop_api 2 of 2 ended with exit code 0, none running',
    );
  });

  it('deserves a warning where it had been running when everything did', () => {
    const warned = (...looks: readonly Snapshot[]): readonly string[] => warningsOf(looks, aim);
    const ended = [look(300, 'complete', 'complete'), look(9000, 'complete', 'complete')];
    expect(warned(look(0, 'running', 'running'), ...ended)).toEqual([
      expect.stringContaining(
        'shop_api 2 of 2 ended with exit code 0, none running: its restart_policy',
      ),
    ]);
    expect(warned(look(0, 'starting', 'running'), ...ended)).toEqual([]);
    expect(warned(look(0, 'running', 'running'), look(9000, 'running', 'running'))).toEqual([]);
  });
});

/** What stands out in the log of these looks. */
function warningsOf(snapshots: readonly Snapshot[], aim: Partial<Goal>): readonly string[] {
  const nothing = (): void => undefined;
  const narrator = createNarrator(
    { line: nothing, warning: nothing, notice: nothing, startGroup: nothing, endGroup: nothing },
    { now: () => 0, sleep: () => Promise.resolve() },
  );
  const tell = progressLog(narrator);
  let rollout = begin(aim);
  for (const each of snapshots) {
    rollout = observe(rollout, each);
    tell(rollout, each);
  }
  return narrator.warnings();
}

describe('a service that nothing runs of', () => {
  const nowhere = spec(
    'agent:1',
    { Mode: { Global: {} } },
    { Placement: { Constraints: ['node.labels.edge == true'] } },
  );
  const looks = [0, 6000].map((at) => snapshot(at, [], { services: [service(nowhere)] }));
  const aim = { targets: [target({ spec: nowhere })] };

  it('is not called healthy', () => {
    expect(wellText(seen(looks[0]!, aim))).toBe('shop_api runs on no node');
    const none = spec('api:2', { Mode: { Replicated: { Replicas: 0 } } });
    expect(
      wellText(
        seen(snapshot(0, [], { services: [service(none)] }), { targets: [target({ spec: none })] }),
      ),
    ).toBe('shop_api is scaled to 0');
  });

  it('deserves a warning where it is one of every node, and was written', () => {
    expect(warningsOf(looks, aim)).toEqual([
      'shop_api runs on no node: none that is up and active meets its constraints (node.labels.edge == true)',
    ]);
    const same = { targets: [target({ spec: nowhere, change: 'unchanged' })] };
    expect(warningsOf(looks, same)).toEqual([]);
  });
});

it('says what is waited for', () => {
  const both = [task('a', 'running'), task('b', 'running', { Slot: 2 })];
  expect(waitingFor(seen(snapshot(0, [])))).toBe('shop_api 0/2 updated');
  expect(waitingFor(seen(snapshot(0, both)))).toContain('stability window');
  const updating = { services: [service(spec(), { UpdateStatus: status('updating') })] };
  expect(waitingFor(seen(snapshot(0, both, updating)))).toBe('Swarm to finish monitoring shop_api');
  const gone = { targets: [], gone: [{ id: SERVICE, name: 'shop_api' }] };
  expect(waitingFor(seen(snapshot(0, both), gone))).toBe(
    '3 of the removed services and tasks to go',
  );
});

describe('the log', () => {
  function logged(snapshots: readonly Snapshot[], aim: Partial<Goal> = {}): readonly string[] {
    const lines: string[] = [];
    const say = (text: string): void => {
      lines.push(text);
    };
    const narrator = createNarrator(
      { line: say, warning: say, notice: say, startGroup: say, endGroup: () => undefined },
      { now: () => 0, sleep: () => Promise.resolve() },
    );
    const tell = progressLog(narrator);
    let rollout = begin(aim);
    for (const each of snapshots) {
      rollout = observe(rollout, each);
      tell(rollout, each);
    }
    return lines.map((line) => line.replace(/^ *0:00 {2}/, ''));
  }
  it('says each thing once', () => {
    const now = [task('a', 'running')];
    expect(logged([snapshot(0, now), snapshot(250, now), snapshot(2500, now)])).toEqual([
      'shop_api.1 running on host-n1',
      'shop_api 1/2 updated',
    ]);
  });
  it('tells each step of a task, and how far the service is', () => {
    const look = (at: number, first: TaskState, second?: TaskState): Snapshot =>
      snapshot(at, [
        task('a', first),
        ...(second === undefined ? [] : [task('b', second, { Slot: 2, NodeID: 'n2' })]),
      ]);
    expect(
      logged([
        look(0, 'preparing'),
        look(1000, 'starting'),
        look(2000, 'running', 'starting'),
        look(3000, 'running', 'running'),
      ]),
    ).toEqual([
      'shop_api.1 preparing on host-n1',
      'shop_api 0/2 updated, 1 preparing on host-n1',
      'shop_api.1 starting on host-n1',
      'shop_api.1 running on host-n1',
      'shop_api.2 starting on host-n2',
      'shop_api 1/2 updated, 1 starting on host-n2',
      'shop_api.2 running on host-n2',
      'shop_api 2/2 updated',
      'everything runs; now it must stay so for 5 s',
    ]);
  });
  it('does not call updated what runs another spec than the one that was asked for', () => {
    const both = [task('a', 'running'), task('b', 'running', { Slot: 2 })];
    const live = (more: Partial<Service>): Snapshot =>
      snapshot(0, both, { services: [service(spec('api:1'), more)] });
    expect(logged([live({ UpdateStatus: status('rollback_completed') })])).toContain(
      'shop_api taken back by Swarm, 2/2 running',
    );
    expect(logged([live({})])).toContain('shop_api changed by somebody else, 2/2 running');
  });
  it('stays calm with 500 tasks of 200 services, 40 of which crash again and again', () => {
    const services = Array.from({ length: 200 }, (_, index) =>
      service(spec('x', { Name: `shop_s${index}`, Mode: { Replicated: { Replicas: 3 } } }), {
        ID: `s${index}`,
      }),
    );
    const aim = {
      targets: services.map(({ ID, Spec }) => target({ id: ID, name: Spec.Name, spec: Spec })),
      maxFailures: 1000,
    };
    // A task more runs with every look; each second one of the first 40 services fails once more.
    const looks = Array.from({ length: 200 }, (_, turn) =>
      snapshot(
        turn * 1500,
        [
          ...Array.from({ length: Math.min(500, 3 * turn) }, (__, index) =>
            task(`t${index}`, 'running', {
              ServiceID: `s${index % 200}`,
              Slot: 1 + Math.floor(index / 200),
            }),
          ),
          ...Array.from({ length: turn }, (__, index) =>
            task(`f${index}`, 'failed', { ServiceID: `s${index % 40}`, Slot: 9, Err: 'boom' }),
          ),
        ],
        { services },
      ),
    );
    const lines = logged(looks, aim);
    expect(lines.length).toBeLessThan(260);
    expect(lines.filter((line) => line.includes('failed on host-n1: boom'))).toHaveLength(60);
    expect(lines).toContain('so many tasks fail that from here on they are counted, not told');
    expect(lines).toContainEqual(
      expect.stringMatching(/^\d+ of 200 services done: \d+\/600 tasks, \d+ failed$/),
    );
  });
  it('tells a failure at once, and what the stability window holds', () => {
    const both = [task('b', 'running'), task('c', 'running', { Slot: 2 })];
    const failed = task('a', 'failed', { Err: 'task: non-zero exit (1)' });
    const lines = logged([
      snapshot(0, []),
      snapshot(100, [failed]),
      snapshot(2000, [failed, ...both]),
      snapshot(7000, [failed, ...both]),
    ]);
    expect(lines[1]).toBe('shop_api.1 failed on host-n1: task: non-zero exit (1)');
    expect(lines.at(-2)).toBe('everything runs; now it must stay so for 5 s');
    expect(lines.at(-1)).toBe('stayed so for 5 s');
  });
  it('shows that it lives every 30 s, and not after the end', () => {
    const now = [task('a', 'running')];
    const at = [0, 10_000, 29_999, 30_000, 45_000, 60_000, 90_000].map((ms) => snapshot(ms, now));
    const lines = logged(at, { progressTimeoutMs: 90_000 });
    expect(lines.filter((line) => line.startsWith('waiting for shop_api 1/2'))).toHaveLength(2);
  });
});
