import { describe, expect, it } from '@jest/globals';
import type {
  JsonObject,
  Service,
  ServiceSpec,
  Snapshot,
  Task,
  TaskState,
  UpdateStatus,
} from '../../../src/model.js';
import {
  leftoverTargets,
  failuresOf,
  isDue,
  observe,
  verdict,
  type Goal,
  type Rollout,
  type ServiceProgress,
  type Verdict,
} from '../../../src/rollout/observe.js';
import { placedTasks } from '../../../src/rollout/standing.js';
import { kindOf } from '../../../src/model.js';
import {
  begin,
  node,
  SERVICE,
  service,
  snapshot,
  spec,
  status,
  target,
  task,
  without,
} from '../../support/snapshots.js';

const RUNNING = [task('a', 'running'), task('b', 'running', { Slot: 2 })];

function through(start: Rollout, ...snapshots: readonly Snapshot[]): Rollout {
  return snapshots.reduce(observe, start);
}
const judge = (start: Rollout, ...snapshots: readonly Snapshot[]): Verdict =>
  verdict(through(start, ...snapshots));

/** The verdict when this stays for longer than the stability window. */
function lasting(
  tasks: readonly Task[],
  more: Parameters<typeof snapshot>[2] = {},
  aim: Partial<Goal> = {},
): Verdict {
  return judge(begin(aim), snapshot(0, tasks, more), snapshot(5000, tasks, more));
}
/** The same for a service of this spec. */
function lastingAs(
  is: ServiceSpec,
  tasks: readonly Task[],
  more: Parameters<typeof snapshot>[2] = {},
  live: Parameters<typeof service>[1] = {},
): Verdict {
  return lasting(
    tasks,
    { services: [service(is, live)], ...more },
    { targets: [target({ spec: is })] },
  );
}
const converged = { kind: 'converged' };
const waiting = { kind: 'waiting' };

describe('replicated', () => {
  it('is there when every slot runs an up-to-date task', () => {
    expect(lasting(RUNNING)).toEqual(converged);
  });

  it.each<[string, readonly Task[], readonly string[]]>([
    ['a slot is empty', [task('a', 'running')], []],
    ['two tasks share a slot', [task('a', 'running'), task('b', 'running')], []],
    ['a slot runs an older task', RUNNING, ['b']],
    ['an older task is still meant to run', [...RUNNING, task('o', 'running')], ['o']],
    ['an older task has not yet started', [...RUNNING, task('o', 'ready')], ['o']],
    ['a slot more runs', [...RUNNING, task('c', 'running', { Slot: 3 })], []],
    ['a task is on its way beside one that runs', [...RUNNING, task('c', 'starting')], []],
    [
      'a running task is told to stop',
      [RUNNING[0]!, { ...RUNNING[1]!, DesiredState: 'shutdown' }],
      [],
    ],
    ['a task only starts', [RUNNING[0]!, task('b', 'starting', { Slot: 2 })], []],
    ['a task is complete', [RUNNING[0]!, task('b', 'complete', { Slot: 2 })], []],
  ])('is not when %s', (_, tasks, old) => {
    expect(lasting(tasks, { old })).toEqual(waiting);
  });

  it('does not mind older tasks that have ended, or that are told to', () => {
    const older = [
      task('x', 'shutdown'),
      task('y', 'failed', { Slot: 2 }),
      task('z', 'running', { DesiredState: 'shutdown' }),
    ];
    expect(lasting([...RUNNING, ...older], { old: ['x', 'y', 'z'] })).toEqual(converged);
  });

  it('takes start-first for what it is: two tasks in a slot, then one', () => {
    const both = [...RUNNING, task('o', 'running', { Slot: 2 })];
    const start = through(
      begin(),
      snapshot(0, both, { old: ['o'] }),
      snapshot(9000, both, { old: ['o'] }),
    );
    expect(verdict(start)).toEqual(waiting);
    expect(judge(start, snapshot(9001, RUNNING), snapshot(14_000, RUNNING))).toEqual(waiting);
    expect(judge(start, snapshot(9001, RUNNING), snapshot(14_001, RUNNING))).toEqual(converged);
  });

  it('is there with no tasks for replicas: 0, and not before they are gone', () => {
    const none = spec('api:2', { Mode: { Replicated: { Replicas: 0 } } });
    expect(lastingAs(none, [])).toEqual(converged);
    expect(lastingAs(none, [task('o', 'running')], { old: ['o'] })).toEqual(waiting);
    expect(lastingAs(none, [task('o', 'running')])).toEqual(waiting);
  });
});

describe('global', () => {
  const is = spec('api:2', { Mode: { Global: {} } });
  const on = (ID: string, NodeID: string): Task => {
    return without(task(ID, 'running', { NodeID }), 'Slot');
  };
  it('wants one task on every eligible node', () => {
    expect(lastingAs(is, [on('a', 'n1'), on('b', 'n2')])).toEqual(converged);
    expect(lastingAs(is, [on('a', 'n1')])).toEqual(waiting);
  });
  it.each([
    ['down', { Status: { State: 'down' } }],
    ['drained', { Spec: { Availability: 'drain' } }],
    ['paused', { Spec: { Availability: 'pause' } }],
  ] as const)('does not count a node that is %s', (_, state) => {
    const nodes = [node('n1'), node('n2', state)];
    expect(lastingAs(is, [on('a', 'n1')], { nodes })).toEqual(converged);
  });
  it('is there with no task where no node is eligible', () => {
    expect(lastingAs(is, [], { nodes: [] })).toEqual(converged);
  });
  it('waits for older tasks on any node to go', () => {
    expect(lastingAs(is, [on('a', 'n1'), on('b', 'n2'), on('o', 'n2')], { old: ['o'] })).toEqual(
      waiting,
    );
  });
});

describe('jobs', () => {
  const job = spec('job:1', { Mode: { ReplicatedJob: { MaxConcurrent: 1, TotalCompletions: 2 } } });
  const live = { JobStatus: { JobIteration: { Index: 4 } } };
  const done = (ID: string, slot: number | undefined, Index: number): Task => {
    const rest = without(task(ID, 'complete', { JobIteration: { Index } }), 'Slot');
    return slot === undefined ? rest : { ...rest, Slot: slot };
  };
  it('wants all completions of this iteration; the first slot is 0 and left out', () => {
    expect(lastingAs(job, [done('a', undefined, 4), done('b', 1, 4)], {}, live)).toEqual(converged);
    expect(lastingAs(job, [done('a', undefined, 4)], {}, live)).toEqual(waiting);
    expect(lastingAs(job, [done('a', 1, 4), done('b', 1, 4)], {}, live)).toEqual(waiting);
  });
  it('counts nothing of an earlier iteration', () => {
    expect(lastingAs(job, [done('a', 0, 3), done('b', 1, 3)], {}, live)).toEqual(waiting);
  });
  it('of failed tasks counts those of this iteration, with the reason job-failed', () => {
    const failed = (Index: number): Task[] =>
      ['a', 'b', 'c'].map((id) =>
        task(id, 'failed', { JobIteration: { Index }, Err: 'task: non-zero exit (2)' }),
      );
    expect(lastingAs(job, failed(3), {}, live)).toEqual(waiting);
    expect(lastingAs(job, failed(4), {}, live)).toMatchObject({
      kind: 'failed',
      reason: 'job-failed',
    });
  });
  it('global: one completion on every eligible node', () => {
    const everywhere = spec('job:1', { Mode: { GlobalJob: {} } });
    const on = (ID: string, NodeID: string): Task => ({ ...done(ID, undefined, 4), NodeID });
    expect(lastingAs(everywhere, [on('a', 'n1'), on('b', 'n2')], {}, live)).toEqual(converged);
    expect(lastingAs(everywhere, [on('a', 'n1'), on('b', 'n1')], {}, live)).toEqual(waiting);
  });
  it('without completions is there at once', () => {
    const none = spec('job:1', {
      Mode: { ReplicatedJob: { MaxConcurrent: 0, TotalCompletions: 0 } },
    });
    expect(lastingAs(none, [], {}, live)).toEqual(converged);
  });
});

describe('one-shot', () => {
  const once = (Condition: string): ServiceSpec =>
    spec('once:1', { Mode: { Replicated: { Replicas: 1 } } }, { RestartPolicy: { Condition } });
  it.each(['none', 'on-failure'])('%s: complete is success', (condition) => {
    expect(lastingAs(once(condition), [task('a', 'complete')])).toEqual(converged);
  });
  it('is no success for a service that is meant to keep running', () => {
    const three = ['a', 'b', 'c'].map((id) => task(id, 'complete'));
    expect(lasting(three)).toMatchObject({ kind: 'failed', reason: 'crash-loop' });
  });
  it('none: one failure is the end, on-failure: it may still do', () => {
    const failed = [task('a', 'failed', { Err: 'task: non-zero exit (1)' })];
    expect(lastingAs(once('none'), failed)).toMatchObject({ kind: 'failed', reason: 'job-failed' });
    expect(lastingAs(once('on-failure'), failed)).toEqual(waiting);
  });
  it('forgives that Swarm pauses the update of one that has ended well', () => {
    const paused = { UpdateStatus: status('paused') };
    expect(lastingAs(once('none'), [task('a', 'complete')], {}, paused)).toEqual(converged);
    expect(lastingAs(once('none'), [task('a', 'starting')], {}, paused)).toMatchObject({
      reason: 'update-paused',
    });
  });
  it('takes the newest task of a slot for its state, by time to the nanosecond', () => {
    const at = (ID: string, state: 'complete' | 'failed', CreatedAt: string): Task =>
      task(ID, state, { CreatedAt });
    const order = (first: string, second: string): Verdict =>
      lastingAs(once('on-failure'), [at('a', 'failed', first), at('b', 'complete', second)]);
    expect(order('2026-01-01T00:00:01Z', '2026-01-01T00:00:02Z')).toEqual(converged);
    expect(order('2026-01-01T00:00:02Z', '2026-01-01T00:00:01Z')).toEqual(waiting);
    // Go leaves out the zeros at the end of a fraction.
    expect(order('2026-01-01T00:00:00.123Z', '2026-01-01T00:00:00.1234Z')).toEqual(converged);
    expect(order('2026-01-01T00:00:00.1234Z', '2026-01-01T00:00:00.123Z')).toEqual(waiting);
    expect(order('2026-01-01T00:00:00Z', '2026-01-01T00:00:00.0001Z')).toEqual(converged);
    expect(order('2026-01-01T00:00:00.123456789Z', '2026-01-01T00:00:00.12345678Z')).toEqual(
      waiting,
    );
  });
});

describe('identity before status', () => {
  it('is superseded when the live spec is another, however well it runs', () => {
    expect(lasting(RUNNING, { services: [service(spec('api:theirs'))] })).toMatchObject({
      kind: 'superseded',
      service: 'shop_api',
    });
  });
  it('is superseded when the service is gone', () => {
    expect(lasting([], { services: [] })).toMatchObject({ kind: 'superseded' });
  });
  it('names somebody else before Swarm', () => {
    const two = [target({ id: 's0', name: 'shop_a' }), target()];
    const services = [
      { ...service(spec(), { UpdateStatus: status('paused') }), ID: 's0' },
      service(spec('api:theirs')),
    ];
    expect(lasting([], { services }, { targets: two })).toMatchObject({ kind: 'superseded' });
  });
  it('is rolled back by Swarm: the former spec, and no previous one', () => {
    const services = [service(spec('api:1'), { UpdateStatus: status('rollback_started') })];
    expect(lasting([], { services })).toMatchObject({
      kind: 'failed',
      reason: 'rolled-back-by-swarm',
      message: expect.stringContaining('it is rollback_started'),
    });
  });
  it('names what the task died of, which Swarm does not', () => {
    const services = [service(spec('api:1'), { UpdateStatus: status('rollback_completed') })];
    const tasks = [task('new', 'failed', { Err: 'task: non-zero exit (42)' })];
    const end = judge(begin(), snapshot(0, tasks, { services, old: ['new'] }));
    expect(end).toMatchObject({
      reason: 'rolled-back-by-swarm',
      message: expect.stringContaining('non-zero exit (42)'),
    });
  });
  it('is superseded when somebody asked for the rollback', () => {
    const services = [
      service(spec('api:1'), { PreviousSpec: spec(), UpdateStatus: status('rollback_started') }),
    ];
    expect(lasting([], { services })).toMatchObject({ kind: 'superseded' });
  });
  it.each(['rollback_started', 'rollback_paused', 'rollback_completed'] as const)(
    'is never converged at %s, even with the right spec',
    (state) => {
      const services = [service(spec(), { UpdateStatus: status(state) })];
      expect(lasting(RUNNING, { services })).toMatchObject({ reason: 'rolled-back-by-swarm' });
    },
  );
  it('is paused by Swarm', () => {
    const services = [service(spec(), { UpdateStatus: status('paused') })];
    expect(lasting(RUNNING, { services })).toMatchObject({ reason: 'update-paused' });
  });
  it('waits a moment for the cause, which shows later than what Swarm did about it', () => {
    const paused = { services: [service(spec(), { UpdateStatus: status('paused') })] };
    const starting = [task('a', 'starting'), task('b', 'running', { Slot: 2 })];
    const failed = [task('a', 'failed', { Err: 'it broke' }), task('b', 'running', { Slot: 2 })];
    const first = through(begin(), snapshot(1000, starting, paused));
    expect(verdict(first)).toEqual(waiting);
    expect(judge(first, snapshot(1250, failed, paused))).toMatchObject({
      reason: 'update-paused',
      message: expect.stringContaining('it broke'),
    });
    const missing = [
      task('a', 'rejected', { Err: 'No such image: api:2' }),
      task('b', 'running', { Slot: 2 }),
    ];
    const unresolved = spec('api:2', { TaskTemplate: { ContainerSpec: { Image: 'api:2' } } });
    const live = { services: [service(unresolved, { UpdateStatus: status('paused') })] };
    const aim = { targets: [target({ spec: unresolved })] };
    const asked = { ...snapshot(1250, missing, live), imageless: new Set([SERVICE]) };
    expect(judge(begin(aim), snapshot(1000, starting, live), asked)).toMatchObject({
      reason: 'image-not-found',
    });
  });
  it('does not wait for a cause for ever', () => {
    const paused = { services: [service(spec(), { UpdateStatus: status('paused') })] };
    const first = through(begin(), snapshot(1000, RUNNING, paused));
    expect(judge(first, snapshot(3999, RUNNING, paused))).toEqual(waiting);
    expect(judge(first, snapshot(4000, RUNNING, paused))).toMatchObject({
      reason: 'update-paused',
    });
  });
  it('takes no notice of a status from before', () => {
    const before = status('paused');
    const live = { services: [service(spec(), { UpdateStatus: before })] };
    const aim = { targets: [target({ staleStatus: before })] };
    expect(lasting(RUNNING, live, aim)).toEqual(converged);
    const again = status('paused', { StartedAt: '2026-01-02T00:00:00Z' });
    expect(
      lasting(RUNNING, { services: [service(spec(), { UpdateStatus: again })] }, aim),
    ).toMatchObject({ reason: 'update-paused' });
  });
  it('waits for Swarm to end an update', () => {
    const services = [service(spec(), { UpdateStatus: status('updating') })];
    const start = through(
      begin(),
      snapshot(0, RUNNING, { services }),
      snapshot(9000, RUNNING, { services }),
    );
    expect(verdict(start)).toEqual(waiting);
    expect(judge(start, snapshot(9001, RUNNING))).toEqual(converged);
  });
});

describe('failures', () => {
  const failed = (ID: string, Err = 'task: non-zero exit (1)'): Task => task(ID, 'failed', { Err });
  it.each([
    [0, 1],
    [1, 1],
    [2, 2],
    [3, 3],
  ])('max-failures %i: the rollout is doomed by failure %i', (maxFailures, deadly) => {
    let rollout = begin({ maxFailures });
    const tasks: Task[] = [];
    for (let count = 1; count <= deadly; count += 1) {
      expect(verdict(rollout)).toEqual(waiting);
      tasks.push(failed(`t${count}`));
      rollout = observe(rollout, snapshot(count, tasks));
    }
    expect(verdict(rollout)).toMatchObject({
      kind: 'failed',
      reason: 'crash-loop',
      service: 'shop_api',
    });
    expect(failuresOf(rollout)).toHaveLength(deadly);
  });
  it('count once each, and go on counting when Swarm has forgotten the task', () => {
    const rollout = through(
      begin(),
      snapshot(0, [failed('a')]),
      snapshot(1, [failed('a')]),
      snapshot(2, []),
      snapshot(3, [failed('b')]),
    );
    expect(failuresOf(rollout).map(({ taskId }) => taskId)).toEqual(['a', 'b']);
    expect(verdict(observe(rollout, snapshot(4, [failed('c')])))).toMatchObject({ kind: 'failed' });
  });
  it('of tasks that were there before are not ours', () => {
    const tasks = ['a', 'b', 'c', 'd'].map((id) => failed(id));
    const aim = { formerTasks: new Set(['a', 'b', 'c', 'd']) };
    expect(judge(begin(aim), snapshot(0, tasks))).toEqual(waiting);
  });
  it('of tasks of the former spec are not ours', () => {
    const tasks = ['a', 'b', 'c', 'd'].map((id) => failed(id));
    expect(judge(begin(), snapshot(0, tasks, { old: ['a', 'b', 'c', 'd'] }))).toEqual(waiting);
  });
  it('are none where Swarm takes tasks off a node that no longer fits', () => {
    const evicted = (id: string): Task =>
      task(id, 'rejected', { Err: 'assigned node no longer meets constraints' });
    const tasks = ['a', 'b', 'c', 'd'].map((id) => evicted(id));
    expect(judge(begin({ maxFailures: 0 }), snapshot(0, tasks))).toEqual(waiting);
    // One that is never started again stays away.
    const once = spec('api:2', {}, { RestartPolicy: { Condition: 'none' } });
    const live = { services: [service(once)] };
    expect(
      judge(begin({ targets: [target({ spec: once })] }), snapshot(0, tasks, live)),
    ).toMatchObject({ kind: 'failed', reason: 'task-rejected' });
  });
  it('are counted for each service by itself', () => {
    const two = [target(), target({ id: 's2', name: 'shop_web' })];
    const services = [service(), { ...service(), ID: 's2' }];
    const tasks = [failed('a'), failed('b'), { ...failed('c'), ServiceID: 's2' }];
    expect(judge(begin({ targets: two }), snapshot(0, tasks, { services }))).toEqual(waiting);
  });
  it('that can never heal end it at once', () => {
    const bare = { ...spec(), TaskTemplate: { ContainerSpec: { Image: 'api:none' } } };
    const gone = [task('a', 'rejected', { Err: 'No such image: api:none' })];
    const aim = { targets: [target({ spec: bare })], maxFailures: 99 };
    const live = snapshot(0, gone, { services: [service(bare)] });
    expect(judge(begin(aim), { ...live, imageless: new Set([SERVICE]) })).toMatchObject({
      reason: 'image-not-found',
      message: 'shop_api cannot start: No such image: api:none',
    });
    // The registry may have been away for a moment.
    expect(judge(begin(aim), live)).toEqual(waiting);
    expect(judge(begin({ maxFailures: 99 }), snapshot(0, gone))).toEqual(waiting);
  });
  it('give the reason that most of them share', () => {
    const tasks = [
      failed('a', 'task: non-zero exit (137): dockerexec: unhealthy container'),
      failed('b'),
      failed('c', 'task: non-zero exit (137): dockerexec: unhealthy container'),
    ];
    expect(judge(begin(), snapshot(0, tasks))).toMatchObject({ reason: 'unhealthy' });
  });
});

describe('stability', () => {
  it('begins anew with a replaced task', () => {
    const other = [RUNNING[0]!, task('c', 'running', { Slot: 2 })];
    const start = through(begin(), snapshot(0, RUNNING), snapshot(4000, other));
    expect(judge(start, snapshot(5000, other), snapshot(8999, other))).toEqual(waiting);
    expect(judge(start, snapshot(9000, other))).toEqual(converged);
  });
  it('begins anew after a gap, though the tasks are the same', () => {
    const start = through(
      begin(),
      snapshot(0, RUNNING),
      snapshot(3000, []),
      snapshot(4000, RUNNING),
    );
    expect(judge(start, snapshot(8999, RUNNING))).toEqual(waiting);
    expect(judge(start, snapshot(9000, RUNNING))).toEqual(converged);
  });
  it('is not waited for where all tasks ran long before', () => {
    const aim = { formerTasks: new Set(['a', 'b']), stableForMs: 60_000 };
    expect(judge(begin(aim), snapshot(0, RUNNING))).toEqual(converged);
    expect(judge(begin({ ...aim, formerTasks: new Set(['a']) }), snapshot(0, RUNNING))).toEqual(
      waiting,
    );
  });
});

describe('time', () => {
  const stuck = (state: Task['Status']['State']): Task[] => [task('a', state), RUNNING[1]!];
  it('without progress ends it, forward moves alone start it again', () => {
    const start = through(
      begin(),
      snapshot(0, stuck('preparing')),
      snapshot(50_000, stuck('starting')),
      // Back and forth again is no progress.
      snapshot(80_000, stuck('preparing')),
      snapshot(100_000, stuck('starting')),
    );
    expect(judge(start, snapshot(109_999, stuck('starting')))).toEqual(waiting);
    expect(judge(start, snapshot(110_000, stuck('starting')))).toMatchObject({
      kind: 'failed',
      reason: 'progress-timeout',
      service: 'shop_api',
      message: expect.stringContaining('1 of 2'),
    });
  });
  it('a crash loop is no progress', () => {
    let rollout = begin({ maxFailures: 99 });
    for (let at = 0; at < 60_000; at += 1000)
      rollout = observe(
        rollout,
        snapshot(at, [task(`t${at}`, at % 2000 === 0 ? 'starting' : 'preparing')]),
      );
    expect(verdict(rollout)).toEqual(waiting);
    expect(judge(rollout, snapshot(60_000, []))).toMatchObject({ reason: 'progress-timeout' });
  });
  it('lets an update delay pass', () => {
    const slow = spec('api:2', { UpdateConfig: { Delay: 30e9 } });
    const aim = { targets: [target({ spec: slow })] };
    const at = (ms: number): Snapshot =>
      snapshot(ms, stuck('starting'), { services: [service(slow)] });
    expect(judge(begin(aim), at(0), at(89_999))).toEqual(waiting);
    expect(judge(begin(aim), at(0), at(90_000))).toMatchObject({ reason: 'progress-timeout' });
  });
  it("lets the delay of Swarm's own way back pass on the way back", () => {
    const slow = spec('api:2', { RollbackConfig: { Delay: 30e9 } });
    const at = (ms: number): Snapshot =>
      snapshot(ms, stuck('starting'), { services: [service(slow)] });
    const aim = { phase: 'restore' as const, targets: [target({ spec: slow })] };
    expect(judge(begin(aim), at(0), at(89_999))).toEqual(waiting);
    expect(judge(begin(aim), at(0), at(90_000))).toMatchObject({ reason: 'progress-timeout' });
    const forward = { ...aim, phase: 'deploy' as const };
    expect(judge(begin(forward), at(0), at(60_000))).toMatchObject({ reason: 'progress-timeout' });
  });
  it('runs out at the timeout, stable window or not', () => {
    const aim = { timeoutMs: 4000 };
    expect(judge(begin(aim), snapshot(0, RUNNING), snapshot(4000, RUNNING))).toMatchObject({
      reason: 'timeout',
    });
  });
  it('says what Swarm says of tasks that fit no node', () => {
    const Err = 'no suitable node (insufficient resources on 2 nodes)';
    const tasks = [RUNNING[0]!, task('b', 'pending', { Slot: 2, Err })];
    expect(judge(begin(), snapshot(0, tasks), snapshot(60_000, tasks))).toEqual({
      kind: 'failed',
      reason: 'unschedulable',
      service: 'shop_api',
      message: `shop_api has tasks that fit no node: ${Err}`,
    });
  });
  it('says what former tasks reserve, where new ones are to run beside them', () => {
    const Err = 'no suitable node (insufficient resources on 2 nodes)';
    const tasks = [task('o', 'running'), task('b', 'pending', { Err })];
    const message = (Order: string, former: readonly string[]): unknown => {
      const is = spec('api:2', { UpdateConfig: { Order } });
      const more = { services: [service(is)], old: former };
      const aim = { targets: [target({ spec: is })] };
      return judge(begin(aim), snapshot(0, tasks, more), snapshot(60_000, tasks, more));
    };
    const hint = { message: expect.stringContaining('keep what they have reserved') };
    expect(message('start-first', ['o'])).toMatchObject(hint);
    expect(message('stop-first', ['o'])).not.toMatchObject(hint);
    expect(message('start-first', [])).not.toMatchObject(hint);
  });
  it('does not say that a task failed where Swarm may only have ended it early', () => {
    const UpdateStatus = status('paused', {
      Message: 'update paused due to failure or early termination of task 9x8y7z',
    });
    const paused = { services: [service(spec(), { UpdateStatus })] };
    const end = judge(begin(), snapshot(0, RUNNING, paused), snapshot(3000, RUNNING, paused));
    expect(end).toMatchObject({
      reason: 'update-paused',
      message: 'Swarm paused the update of shop_api after a task failed or was ended early',
    });
  });
});

describe('a restore', () => {
  const back = (more: Partial<Goal> = {}): Rollout =>
    begin({ phase: 'restore', maxFailures: Infinity, ...more });
  it('is there when as many run as before, and no later task is left', () => {
    const aim = { targets: [target({ enough: 1 })] };
    const one = [task('a', 'running')];
    expect(judge(back(aim), snapshot(0, one), snapshot(5000, one))).toEqual(converged);
    const newer = [...one, task('n', 'running', { Slot: 2 })];
    expect(
      judge(back(aim), snapshot(0, newer, { old: ['n'] }), snapshot(5000, newer, { old: ['n'] })),
    ).toEqual(waiting);
    expect(
      judge(back({ targets: [target({ enough: 2 })] }), snapshot(0, one), snapshot(5000, one)),
    ).toEqual(waiting);
  });
  it('asks nothing of a slot that failed again and again before', () => {
    const aim = { targets: [target({ enough: 1, unsteady: new Set(['2']) })] };
    const looks = (steady: boolean, ...flapping: string[]): readonly Snapshot[] =>
      flapping.map((ID, index) =>
        snapshot(index * 3000, [
          task('a', steady ? 'running' : 'starting'),
          task(ID, 'running', { Slot: 2 }),
        ]),
      );
    expect(judge(back(aim), ...looks(true, 'b', 'c', 'd'))).toEqual(converged);
    // Its own steady ones it does need, and they have to last.
    expect(judge(back(aim), ...looks(false, 'b', 'c', 'd'))).toEqual(waiting);
    expect(judge(back(aim), ...looks(true, 'b', 'c'))).toEqual(waiting);
  });
  it.each(['rollback_completed', 'rollback_paused', 'paused'] as const)(
    'does not mind %s when everything runs',
    (state) => {
      const services = [service(spec(), { UpdateStatus: status(state) })];
      expect(
        judge(back(), snapshot(0, RUNNING, { services }), snapshot(5000, RUNNING, { services })),
      ).toEqual(converged);
    },
  );
  it('that Swarm has paused half-way has failed', () => {
    const services = [service(spec(), { UpdateStatus: status('rollback_paused') })];
    const looks = [0, 3000].map((at) => snapshot(at, [], { services }));
    expect(judge(back(), ...looks)).toMatchObject({ reason: 'update-paused' });
  });
  it('waits for rollback_started to end', () => {
    const services = [service(spec(), { UpdateStatus: status('rollback_started') })];
    expect(
      judge(back(), snapshot(0, RUNNING, { services }), snapshot(9000, RUNNING, { services })),
    ).toEqual(waiting);
  });
  it('does not wait for it where there is nothing to go back: Swarm never ends it then', () => {
    const nowhere = spec(
      'api:2',
      { Mode: { Global: {} } },
      { Placement: { Constraints: ['node.labels.a == b'] } },
    );
    const services = [service(nowhere, { UpdateStatus: status('rollback_started') })];
    const aim = { targets: [target({ spec: nowhere })] };
    const looks = [0, 5000].map((at) => snapshot(at, [], { services }));
    expect(judge(back(aim), ...looks)).toEqual(converged);
    // One that is still there is brought to its end.
    const older = [0, 9000].map((at) =>
      snapshot(at, [task('a', 'running')], { services, old: ['a'] }),
    );
    expect(judge(back(aim), ...older)).toEqual(waiting);
  });
  it('counts no failures: it is the last resort', () => {
    const tasks = ['a', 'b', 'c', 'd', 'e'].map((id) =>
      task(id, 'failed', { Err: 'exec format error' }),
    );
    expect(judge(back(), snapshot(0, tasks))).toEqual(waiting);
  });
  it('is superseded when somebody writes meanwhile', () => {
    expect(judge(back(), snapshot(0, RUNNING, { services: [service(spec('x'))] }))).toMatchObject({
      kind: 'superseded',
    });
  });
  it('waits for as long as what must be gone may take to stop', () => {
    const leaving = { id: SERVICE, name: 'shop_api', graceMs: 120_000 };
    const stops = task('t1', 'running', { DesiredState: 'remove' });
    const at = (ms: number): Verdict =>
      verdict(
        observe(begin({ targets: [], gone: [leaving] }), snapshot(ms, [stops], { services: [] })),
      );
    expect(at(100_000).kind).toBe('waiting');
    expect(at(179_000).kind).toBe('waiting');
    expect(at(181_000)).toMatchObject({ kind: 'failed', reason: 'progress-timeout' });
  });

  it('waits for what must be gone: the service, then its tasks, but not those on a lost node', () => {
    const aim = { targets: [], gone: [{ id: SERVICE, name: 'shop_api' }] };
    const none = { services: [] };
    expect(judge(back(aim), snapshot(0, []), snapshot(9000, []))).toEqual(waiting);
    expect(judge(back(aim), snapshot(0, RUNNING, none), snapshot(9000, RUNNING, none))).toEqual(
      waiting,
    );
    expect(judge(back(aim), snapshot(0, [], none))).toEqual(converged);
    const lost = { services: [], nodes: [node('n1', { Status: { State: 'down' } })] };
    expect(judge(back(aim), snapshot(0, RUNNING, lost))).toEqual(converged);
    const ever = judge(back(aim), snapshot(0, RUNNING, none), snapshot(60_000, RUNNING, none));
    expect(ever).toMatchObject({
      reason: 'progress-timeout',
      message: expect.stringContaining('gone'),
    });
  });
});

describe('two tasks of the wanted spec in one place', () => {
  const GLOBAL = spec('api:2', { Mode: { Global: {} } });
  const everywhere = [
    without(task('a', 'running', { NodeID: 'n1' }), 'Slot'),
    without(task('b', 'running', { NodeID: 'n2' }), 'Slot'),
  ] as readonly Task[];
  const second = without(task('c', 'running', { NodeID: 'n2' }), 'Slot') as Task;
  const look = (at: number, more?: UpdateStatus): Snapshot =>
    snapshot(at, [...everywhere, second], {
      services: [service(GLOBAL, more === undefined ? {} : { UpdateStatus: more })],
    });
  const aim = { targets: [target({ spec: GLOBAL })] };

  it('are one too many in a slot', () => {
    expect(lasting([...RUNNING, task('c', 'running', { Slot: 2 })])).toEqual(waiting);
    expect(lasting([...RUNNING, task('c', 'starting', { Slot: 2 })])).toEqual(waiting);
  });

  it('are one too many on a node', () => {
    expect(lastingAs(GLOBAL, everywhere)).toEqual(converged);
    expect(lastingAs(GLOBAL, [...everywhere, second])).toEqual(waiting);
    const starting = { ...second, Status: { State: 'starting' as const } };
    expect(lastingAs(GLOBAL, [...everywhere, starting])).toEqual(waiting);
  });

  it('are no trouble on a node that is down', () => {
    const nodes = [node('n1'), node('n2', { Status: { State: 'down' } })];
    expect(lastingAs(GLOBAL, [...everywhere, second], { nodes })).toEqual(converged);
  });

  it('are named once Swarm has done nothing about them for a while', () => {
    const start = observe(begin(aim), look(0));
    expect(leftoverTargets(observe(start, look(2999)))).toEqual([]);
    expect(leftoverTargets(observe(start, look(3000)))).toEqual(aim.targets);
    expect(leftoverTargets(observe(start, snapshot(3000, everywhere)))).toEqual([]);
  });

  it('are named when the time is over', () => {
    expect(judge(begin(aim), look(0), look(60_000))).toMatchObject({
      reason: 'progress-timeout',
      message: expect.stringContaining('at 2 of 2, with 1 task too many'),
    });
  });

  it('are left to Swarm for longer while it updates', () => {
    const updating = status('updating');
    const start = observe(begin(aim), look(0, updating));
    expect(leftoverTargets(observe(start, look(9999, updating)))).toEqual([]);
    expect(leftoverTargets(observe(start, look(10_000, updating)))).toEqual(aim.targets);
  });
});

describe('a former task that Swarm does not stop', () => {
  const look = (at: number, more: readonly Task[]): Snapshot =>
    snapshot(at, [...RUNNING, ...more], {
      old: ['o'],
      services: [service(spec(), { UpdateStatus: status('updating') })],
    });
  const former = task('o', 'running', { Slot: 2 });

  it('is named where all that is new runs', () => {
    const start = observe(begin(), look(0, [former]));
    expect(leftoverTargets(observe(start, look(9999, [former])))).toEqual([]);
    expect(leftoverTargets(observe(start, look(10_000, [former])))).toHaveLength(1);
    expect(leftoverTargets(observe(start, look(10_000, [])))).toEqual([]);
  });

  describe('while the updater waits for a task of a lost node', () => {
    const nodes = [node('n1'), node('n2', { Status: { State: 'down' } })];
    const gone = task('lost', 'starting', { Slot: 1, NodeID: 'n2', DesiredState: 'shutdown' });
    /** One of two is updated, the other one is still to come. */
    const halfWay = (at: number, tasks: readonly Task[], more: Partial<Snapshot> = {}): Snapshot =>
      snapshot(at, [RUNNING[0]!, former, ...tasks], {
        old: ['o'],
        services: [service(spec(), { UpdateStatus: status('updating') })],
        ...more,
      });
    const named = (tasks: readonly Task[], more: Partial<Snapshot>, at = 10_000): number =>
      leftoverTargets(observe(observe(begin(), halfWay(0, tasks, more)), halfWay(at, tasks, more)))
        .length;

    it('is named before all that is new runs', () => {
      expect(named([gone], { nodes })).toBe(1);
      expect(named([gone], { nodes }, 9999)).toBe(0);
      expect(named([{ ...gone, NodeID: 'left' }], { nodes })).toBe(1);
    });
    it.each<[string, readonly Task[], Partial<Snapshot>]>([
      ['no node is lost', [gone], {}],
      ['nothing of it was begun there', [{ ...gone, Status: { State: 'pending' } }], { nodes }],
      ['the task had run', [{ ...gone, Status: { State: 'failed' } }], { nodes }],
      ['another one is on its way', [gone, task('c', 'starting', { Slot: 2 })], { nodes }],
    ])('is left to Swarm where %s', (_, tasks, more) => {
      expect(named(tasks, more)).toBe(0);
    });
    it('is left to Swarm for the pause that was asked for', () => {
      const delayed = spec('api:2', { UpdateConfig: { Delay: 60_000_000_000 } });
      const services = [service(delayed, { UpdateStatus: status('updating') })];
      const start = begin({ targets: [target({ spec: delayed })] });
      const at = (now: number): number =>
        leftoverTargets(
          observe(
            observe(start, halfWay(0, [gone], { nodes, services })),
            halfWay(now, [gone], { nodes, services }),
          ),
        ).length;
      expect([at(69_999), at(70_000)]).toEqual([0, 1]);
    });
  });

  it('is left to Swarm while new ones are on their way', () => {
    const onTheWay = (at: number): Snapshot =>
      snapshot(at, [RUNNING[0]!, task('b', 'starting', { Slot: 2 }), former], { old: ['o'] });
    const start = observe(begin(), onTheWay(0));
    expect(leftoverTargets(observe(start, onTheWay(30_000)))).toEqual([]);
  });
});

describe('what ends by itself', () => {
  const restarts = (attempts: number, Window = 0): ServiceSpec =>
    spec('api:2', {}, { RestartPolicy: { Condition: 'any', MaxAttempts: attempts, Window } });
  const crash = (id: string): Task => task(id, 'failed', { Err: 'task: non-zero exit (1)' });

  it('is doomed once Swarm has given a slot up, however many failures are allowed', () => {
    const tasks = [crash('a'), crash('b')];
    expect(lastingAs(restarts(1), tasks)).toMatchObject({ kind: 'failed', reason: 'crash-loop' });
    const again = (Slot: number): Task => task('next', 'ready', { Slot, DesiredState: 'running' });
    expect(lastingAs(restarts(2), [...tasks, again(1)])).toEqual(waiting);
    expect(lastingAs(restarts(1, 5_000_000_000), [...tasks, again(1)])).toEqual(waiting);
    const two = [crash('a'), { ...crash('b'), Slot: 2 }];
    expect(lastingAs(restarts(1), [...two, again(1), { ...again(2), ID: 'n2' }])).toEqual(waiting);
  });

  it('is not done where its image has a healthcheck', () => {
    const is = spec('api:2', {}, { RestartPolicy: { Condition: 'on-failure' } });
    const tasks = [task('a', 'complete'), task('b', 'complete', { Slot: 2 })];
    expect(lastingAs(is, tasks)).toEqual(converged);
    const live = {
      ...snapshot(0, tasks, { services: [service(is)] }),
      healthchecked: new Set([SERVICE]),
    };
    expect(judge(begin({ targets: [target({ spec: is })] }), live)).toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('healthcheck'),
    });
  });
});

it('places tasks as the verdict does', () => {
  const now = snapshot(0, RUNNING, { old: ['b'] });
  // One up to date, one of another version: both do their work.
  expect(placedTasks(service(), kindOf(spec()), now)).toBe(2);
  const ended = snapshot(0, [task('a', 'running'), task('b', 'failed', { Slot: 2 })], {});
  expect(placedTasks(service(), kindOf(spec()), ended)).toBe(1);
  expect(placedTasks({ ...service(), ID: 'other' }, kindOf(spec()), now)).toBe(0);
});

describe('a partial snapshot', () => {
  const partial = (at: number, tasks: readonly Task[]): Snapshot => ({
    ...snapshot(at, tasks),
    partial: true,
  });

  it('converges nothing; the next whole one does', () => {
    const start = through(begin(), snapshot(0, RUNNING), partial(4000, RUNNING));
    const later = observe(start, partial(9000, RUNNING));
    expect(verdict(later)).toEqual(waiting);
    expect(isDue(later)).toBe(true);
    expect(judge(later, snapshot(9001, RUNNING))).toEqual(converged);
  });

  it('keeps the time that everything has held, and a replaced task begins it again', () => {
    const start = through(begin(), partial(0, RUNNING), partial(5000, RUNNING));
    const other = [task('c', 'running'), RUNNING[1]!];
    const replaced = observe(start, snapshot(5001, other));
    expect(verdict(replaced)).toEqual(waiting);
    expect(isDue(replaced)).toBe(false);
  });

  it('is enough to fail', () => {
    const failed = task('x', 'failed', { Err: 'exec format error' });
    expect(judge(begin(), partial(0, [failed]))).toMatchObject({ reason: 'exec-format' });
  });
});

describe('a snapshot that says the very same', () => {
  const first = snapshot(0, RUNNING);
  const again = (at: number): Snapshot => ({ ...first, at });

  it('lets the time pass', () => {
    const start = through(begin(), first, again(4999));
    expect(verdict(start)).toEqual(waiting);
    expect(judge(start, again(5000))).toEqual(converged);
  });

  it('leaves everything else as it is', () => {
    const start = observe(begin(), first);
    const next = observe(start, again(1000));
    expect(next).toEqual({ ...start, at: 1000, seen: again(1000) });
    expect(next.services).toBe(start.services);
  });

  it('ends what waits for a cause, or for progress', () => {
    const paused = { services: [service(spec(), { UpdateStatus: status('paused') })] };
    const stopped = snapshot(0, RUNNING, paused);
    const start = observe(begin(), stopped);
    expect(judge(start, { ...stopped, at: 2999 })).toEqual(waiting);
    expect(judge(start, { ...stopped, at: 3000 })).toMatchObject({ reason: 'update-paused' });
    const stuck = snapshot(0, [task('a', 'preparing')]);
    const still = observe(begin(), stuck);
    expect(judge(still, { ...stuck, at: 59_999 })).toEqual(waiting);
    expect(judge(still, { ...stuck, at: 60_000 })).toMatchObject({ reason: 'progress-timeout' });
  });

  it('of which one part differs is thought about again', () => {
    const start = observe(begin(), first);
    const upToDate = new Set(['a']);
    expect(observe(start, { ...again(1), upToDate }).services.get(SERVICE)?.done).toBe(1);
  });
});

describe('an update that waits in vain', () => {
  // What a drained node leaves: the updater's own task for it, called off before the node had it.
  const off = task('c', 'pending', { Slot: 3, NodeID: 'n3', DesiredState: 'shutdown' });
  const services = [service(spec(), { UpdateStatus: status('updating') })];
  const over = (tasks: readonly Task[], forMs: number, is = services): Verdict =>
    judge(begin(), snapshot(0, tasks, { services: is }), snapshot(forMs, tasks, { services: is }));

  it('counts as over once Swarm would have said so', () => {
    expect(over([...RUNNING, off], 10_000)).toEqual(converged);
    expect(over([...RUNNING, off], 9_999)).toEqual(waiting);
  });

  it('is given the time that its monitor and delay take', () => {
    const slow = spec('api:2', { UpdateConfig: { Monitor: 20e9, Delay: 30e9 } });
    const is = [service(slow, { UpdateStatus: status('updating') })];
    const goal = { targets: [target({ spec: slow })] };
    const looks = (at: number): Verdict =>
      judge(begin(goal), ...[0, at].map((t) => snapshot(t, [...RUNNING, off], { services: is })));
    expect(looks(65_999)).toEqual(waiting);
    expect(looks(66_000)).toEqual(converged);
  });

  it.each<[string, readonly Task[], Service[]]>([
    ['nothing was called off', RUNNING, services],
    ['a node had the task', [...RUNNING, { ...off, Status: { State: 'assigned' } }], services],
    ['the task is still wanted', [...RUNNING, { ...off, DesiredState: 'ready' }], services],
    [
      'Swarm rolls back',
      [...RUNNING, off],
      [service(spec(), { UpdateStatus: status('rollback_started') })],
    ],
  ])('is under way when %s', (_, tasks, is) => {
    expect(over(tasks, 50_000, is)).not.toEqual(converged);
  });
});

it('a way back that pauses is given the moment in which its one-shot task shows as complete', () => {
  const once = spec(
    'once:1',
    { Mode: { Replicated: { Replicas: 1 } } },
    {
      RestartPolicy: { Condition: 'none' },
    },
  );
  const services = [service(once, { UpdateStatus: status('paused') })];
  const start = begin({
    phase: 'restore',
    maxFailures: Infinity,
    targets: [target({ spec: once })],
  });
  const paused = snapshot(1000, [task('a', 'starting')], { services });
  expect(judge(start, paused)).toEqual(waiting);
  const done = (at: number): Snapshot => snapshot(at, [task('a', 'complete')], { services });
  expect(judge(start, paused, done(1300), done(6300))).toEqual(converged);
  const stuck = snapshot(4000, [task('a', 'starting')], { services });
  expect(judge(start, paused, stuck)).toMatchObject({ kind: 'failed', reason: 'update-paused' });
});

describe('a one-shot service', () => {
  const once = (Condition: string, more: JsonObject = {}): ServiceSpec =>
    spec(
      'once:1',
      { Mode: { Replicated: { Replicas: 1 } } },
      { RestartPolicy: { Condition }, ...more },
    );
  const at = (ID: string, state: TaskState, second: number): Task =>
    task(ID, state, { CreatedAt: `2026-01-01T00:00:0${second}Z` });

  describe('that runs A, B, and A again', () => {
    const is = once('none');
    const looks = (tasks: readonly Task[], more: Parameters<typeof service>[1] = {}): Verdict =>
      lastingAs(is, tasks, { services: [service(is, more)], old: ['b'] });
    it('has run A when A was the last that it ran', () => {
      const [a, b] = [at('a', 'complete', 1), at('b', 'complete', 2)];
      expect(looks([a, b])).toEqual(waiting);
      expect(looks([a, b, at('c', 'complete', 3)])).toEqual(converged);
    });
    it('is red where Swarm pauses before it does', () => {
      const paused = { UpdateStatus: status('paused') };
      expect(looks([at('a', 'complete', 1), at('b', 'complete', 2)], paused)).toMatchObject({
        reason: 'update-paused',
      });
    });
    it('is back where it was, whatever it ran meanwhile', () => {
      const tasks = [at('a', 'complete', 1), at('b', 'failed', 2)];
      const services = [service(is)];
      const back = begin({ phase: 'restore', targets: [target({ spec: is, enough: 1 })] });
      const look = (ms: number): Snapshot => snapshot(ms, tasks, { services, old: ['b'] });
      expect(judge(back, look(0), look(5000))).toEqual(converged);
    });
  });

  describe('whose image may have a healthcheck that no manager knows of', () => {
    /** It is starting for so long, with looks every second, and is then seen in these states. */
    const after = (ms: number, is: ServiceSpec, ...states: readonly TaskState[]): Verdict => {
      const services = [service(is)];
      const look = (time: number, state: TaskState): Snapshot =>
        snapshot(time, [task('a', state)], { services });
      const looks = Array.from({ length: ms / 1000 + 1 }, (_, second) =>
        look(second * 1000, 'starting'),
      );
      const ends = [0, 6000].flatMap((later) =>
        states.map((state, index) => look(ms + 250 * (index + 1) + later, state)),
      );
      return judge(begin({ targets: [target({ spec: is })] }), ...looks, ...ends);
    };
    it.each(['none', 'on-failure'])(
      '%s: was never healthy when it ends after a long start without having run',
      (condition) => {
        expect(after(10_000, once(condition), 'complete')).toMatchObject({
          kind: 'failed',
          reason: 'unhealthy',
          message: expect.stringContaining('healthcheck of its image'),
        });
      },
    );
    it('has done its work when it was seen running', () => {
      expect(after(10_000, once('none'), 'running', 'complete')).toEqual(converged);
    });
    it('has done its work when only its container took a while to start', () => {
      expect(after(9000, once('none'), 'complete')).toEqual(converged);
    });
    it('has done its work where the file says that no healthcheck holds', () => {
      const ContainerSpec = { Image: 'once:1@sha256:1', Healthcheck: { Test: ['NONE'] } };
      expect(after(10_000, once('none', { ContainerSpec }), 'complete')).toEqual(converged);
    });
    it('is judged by looks: a gap between them is no long start', () => {
      const is = once('none');
      const services = [service(is)];
      const look = (ms: number, state: TaskState): Snapshot =>
        snapshot(ms, [task('a', state)], { services });
      const start = begin({ targets: [target({ spec: is })] });
      const looks = [look(0, 'starting'), look(60_000, 'complete'), look(65_000, 'complete')];
      expect(judge(start, ...looks.slice(1))).toEqual(converged);
      expect(
        judge({ ...start, goal: { ...start.goal, progressTimeoutMs: 70_000 } }, ...looks),
      ).toEqual(converged);
    });
  });

  it('says how many of its tasks ended, and whether they had been running', () => {
    const is = once('on-failure');
    const look = (ms: number, state: TaskState): Snapshot =>
      snapshot(ms, [task('a', state)], { services: [service(is)] });
    const start = begin({ targets: [target({ spec: is })] });
    const progress = (...looks: readonly Snapshot[]): ServiceProgress =>
      through(start, ...looks).services.get(SERVICE)!;
    expect(progress(look(0, 'running'))).toMatchObject({ done: 1, ended: 0, endedLate: false });
    expect(progress(look(0, 'starting'), look(1, 'complete'))).toMatchObject({
      done: 1,
      ended: 1,
      endedLate: false,
    });
    const late = [look(0, 'running'), look(1, 'complete'), look(2, 'complete')];
    expect(progress(...late)).toMatchObject({ done: 1, ended: 1, endedLate: true });
  });
});

describe('what Swarm has given up', () => {
  const attempts = (mode: JsonObject, policy: JsonObject = {}): ServiceSpec =>
    spec('api:2', { Mode: mode }, { RestartPolicy: { MaxAttempts: 1, ...policy } });
  const once = attempts({ Replicated: { Replicas: 1 } }, { Window: 120e9 });
  const crash = (ID: string, more: Partial<Task> = {}): Task =>
    task(ID, 'failed', { Err: 'task: non-zero exit (1)', ...more });
  const over = (
    is: ServiceSpec,
    tasks: readonly Task[],
    ms = 3000,
    more: Parameters<typeof snapshot>[2] = {},
    aim: Partial<Goal> = {},
  ): Verdict => {
    const services = [service(is, { JobStatus: { JobIteration: { Index: 4 } } })];
    const start = begin({ targets: [target({ spec: is })], ...aim });
    return judge(start, ...[0, ms].map((at) => snapshot(at, tasks, { services, ...more })));
  };
  const failed = { kind: 'failed', reason: 'crash-loop' };

  it.each<[string, ServiceSpec, Task]>([
    ['a slot, with a window', once, crash('a')],
    ['a node', attempts({ Global: {} }), without(crash('a'), 'Slot')],
  ])('%s: is doomed a moment later', (_, is, dead) => {
    expect(over(is, [dead])).toMatchObject(failed);
    expect(over(is, [dead], 2999)).toEqual(waiting);
  });
  it.each<[string, ServiceSpec]>([
    ['the first slot of a job', attempts({ ReplicatedJob: { TotalCompletions: 1 } })],
    ['a node of a global job', attempts({ GlobalJob: {} })],
  ])('%s: is doomed a moment later', (_, is) => {
    const dead = without(crash('a', { JobIteration: { Index: 4 } }), 'Slot') as Task;
    expect(over(is, [dead])).toMatchObject({ kind: 'failed', reason: 'job-failed' });
    expect(over(is, [{ ...dead, JobIteration: { Index: 3 } }])).toEqual(waiting);
    // Swarm has not seen to it yet.
    expect(over(is, [{ ...dead, DesiredState: 'complete' }])).toEqual(waiting);
  });
  it('counts the first slot of a job as one, whatever node it was tried on', () => {
    const is = attempts({ ReplicatedJob: { TotalCompletions: 1 } });
    const JobIteration = { Index: 4 };
    const again = task('b', 'running', {
      JobIteration,
      NodeID: 'n2',
      CreatedAt: '2026-01-02T00:00:00Z',
    });
    const tasks = [crash('a', { JobIteration }), again].map(
      (each) => without(each, 'Slot') as Task,
    );
    expect(over(is, tasks)).toEqual(waiting);
  });

  const wanted = { DesiredState: 'running' as const };
  it.each<[string, ServiceSpec, readonly Task[]]>([
    ['Swarm has not seen to it yet', once, [crash('a', wanted)]],
    ['another is on its way', once, [crash('a'), task('b', 'ready', wanted)]],
    ['there is no limit', spec(), [crash('a')]],
    [
      'it was on a node that is not meant to have one',
      attempts({ Global: {} }),
      [without(crash('a', { NodeID: 'n9' }), 'Slot')],
    ],
  ])('is not so while %s', (_, is, tasks) => {
    expect(over(is, tasks)).toEqual(waiting);
  });
  it('is not so of a slot that was scaled away, or of another version', () => {
    const scaled = [task('b', 'starting'), crash('a', { Slot: 2 })];
    expect(over(once, scaled)).toEqual(waiting);
    expect(over(once, [crash('a')], 3000, { old: ['a'] })).toEqual(waiting);
  });
  it('is so of what was given up before the deploy, too', () => {
    expect(over(once, [crash('a')], 3000, {}, { formerTasks: new Set(['a']) })).toMatchObject(
      failed,
    );
  });
  it('is so of a task that nobody starts again, which failed in an earlier deploy', () => {
    const is = spec(
      'api:2',
      { Mode: { Replicated: { Replicas: 1 } } },
      { RestartPolicy: { Condition: 'none' } },
    );
    const aim = {
      formerTasks: new Set(['a']),
      targets: [target({ spec: is, change: 'unchanged' as const })],
    };
    expect(over(is, [crash('a')], 3000, {}, aim)).toMatchObject({
      ...failed,
      message: expect.stringMatching(/starts none again; it did so before this deploy.*--force/),
    });
    expect(over(is, [crash('a')], 2999, {}, aim)).toEqual(waiting);
    // A new one is on its way, or did well, or the failed one is of another version.
    const newer = { CreatedAt: '2026-01-02T00:00:00Z' };
    expect(over(is, [crash('a'), task('b', 'starting', newer)], 3000, {}, aim)).toEqual(waiting);
    expect(over(is, [crash('a')], 3000, { old: ['a'] }, aim)).toEqual(waiting);
  });
  it('is left alone on the way back', () => {
    expect(over(once, [crash('a')], 3000, {}, { phase: 'restore' })).toEqual(waiting);
  });
});

describe('a job and its progress', () => {
  const job = spec('job:1', { Mode: { ReplicatedJob: { MaxConcurrent: 1, TotalCompletions: 2 } } });
  const services = [service(job, { JobStatus: { JobIteration: { Index: 4 } } })];
  const aim = { targets: [target({ spec: job })] };
  const run = (ID: string, state: TaskState, Slot: number, Index = 4): Task =>
    task(ID, state, {
      Slot,
      JobIteration: { Index },
      DesiredState: state === 'failed' ? 'shutdown' : 'complete',
    });
  const look = (at: number, ...tasks: readonly Task[]): Snapshot =>
    snapshot(at, tasks, { services });
  const stuck = { kind: 'failed', reason: 'progress-timeout' };

  it('of its run before, nothing counts', () => {
    const former = [run('x', 'complete', 0, 3), run('y', 'complete', 1, 3)];
    const start = through(
      begin(aim),
      look(0, ...former),
      look(50_000, ...former, run('a', 'starting', 0)),
    );
    expect(judge(start, look(60_000, ...former, run('a', 'preparing', 0)))).toEqual(waiting);
    expect(judge(start, look(110_000, ...former, run('a', 'starting', 0)))).toMatchObject(stuck);
  });

  it('is made as long as it works', () => {
    const works = [0, 50_000, 300_000].map((at) => look(at, run('a', 'running', 0)));
    expect(judge(begin(aim), ...works)).toEqual(waiting);
    const late = { ...works[0]!, at: 600_000 };
    expect(judge(begin(aim), works[0]!, late)).toMatchObject({ reason: 'timeout' });
  });

  it('is waited for anew when it stops working', () => {
    const start = through(
      begin(aim),
      look(0, run('a', 'running', 0)),
      look(300_000, run('a', 'running', 0)),
    );
    const again = (at: number): Snapshot => look(at, run('a', 'failed', 0), run('b', 'ready', 0));
    expect(judge(start, again(300_250), again(359_999))).toEqual(waiting);
    expect(judge(start, again(300_250), again(360_000))).toMatchObject(stuck);
  });

  it('is no progress of another service', () => {
    const two = [target({ spec: job }), target({ id: 's2', name: 'shop_web' })];
    const live = [...services, service(spec(), { ID: 's2' })];
    const tasks = [run('a', 'running', 0), task('w', 'pending', { ServiceID: 's2' })];
    const looks = [0, 60_000].map((at) => snapshot(at, tasks, { services: live }));
    expect(judge(begin({ targets: two }), ...looks)).toMatchObject({
      ...stuck,
      service: 'shop_web',
    });
  });
});
