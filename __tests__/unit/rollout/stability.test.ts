import { describe, expect, it } from '@jest/globals';
import type { Service, ServiceSpec, Snapshot, Task, TaskState } from '../../../src/model.js';
import type { Target } from '../../../src/rollout/goal.js';
import { settledTasks, stableForMs, unsteadyPlaces } from '../../../src/rollout/stability.js';
import { service, snapshot, spec, target, task, without } from '../../support/snapshots.js';

const NOW = Date.parse('2026-01-01T01:00:00Z');
const ago = (seconds: number): string => new Date(NOW - seconds * 1000).toISOString();

/** A task that was created so many seconds ago, and has been in its state for so many. */
const since = (state: TaskState, created: number, inState: number, ID = 'a'): Task => {
  const made = task(ID, state, { CreatedAt: ago(created) });
  return { ...made, Status: { ...made.Status, Timestamp: ago(inState) } };
};
const before = (tasks: readonly Task[], is: Service = service()): Snapshot => ({
  ...snapshot(0, tasks, { services: [is] }),
  managerTime: NOW,
});

describe('a task has nothing to prove', () => {
  it.each<[string, Task, boolean]>([
    ['when it has run for half a minute', since('running', 31, 30), true],
    ['not before', since('running', 30, 29), false],
    ['not by its age: it waited for its turn', since('running', 600, 5), false],
    ['not as long as it does not run', since('ready', 600, 600), false],
    ['not where its node is behind the time', since('running', 5, 600), false],
    ['when it ended well long ago', since('complete', 600, 590), true],
    ['not when it failed', since('failed', 600, 590), false],
  ])('%s', (_, is, settled) => {
    expect(settledTasks(before([is])).has(is.ID)).toBe(settled);
  });

  it('not where nobody knows since when', () => {
    expect(settledTasks(before([task('a', 'running', { CreatedAt: ago(600) })])).size).toBe(0);
    const noClock = without(before([since('running', 600, 600)]), 'managerTime') as Snapshot;
    expect(settledTasks(noClock).size).toBe(0);
  });
});

describe('a place is not steady', () => {
  const unsteady = (tasks: readonly Task[], is: Service = service()): readonly string[] => [
    ...unsteadyPlaces(is, before(tasks, is)),
  ];
  const failed = since('failed', 60, 50, 'f');

  it('where a task failed just before, and the next has not lasted', () => {
    expect(unsteady([failed, since('running', 20, 20)])).toEqual(['1']);
    expect(unsteady([failed])).toEqual(['1']);
  });
  it('where it ended with exit code 0 although it is meant to keep running', () => {
    expect(unsteady([since('complete', 100, 50), since('running', 20, 20, 'b')])).toEqual(['1']);
  });
  it('unless the next one has', () => {
    expect(unsteady([failed, since('running', 40, 35)])).toEqual([]);
  });
  it('but for what failed long ago, elsewhere, or as another version', () => {
    const runs = { ...since('running', 20, 20), Slot: 2 };
    expect(unsteady([since('failed', 600, 130, 'f'), since('running', 20, 20)])).toEqual([]);
    expect(unsteady([failed, runs])).toEqual(['1']);
    const old = { ...before([failed]), upToDate: new Set<string>() };
    expect(unsteadyPlaces(service(), old).size).toBe(0);
  });
  it('of a global service by its node, and of a job never', () => {
    const global = spec('api:2', { Mode: { Global: {} } });
    const there = { ...failed, Slot: undefined } as unknown as Task;
    expect(unsteady([there], service(global))).toEqual(['@n1']);
    const job = spec('api:2', { Mode: { ReplicatedJob: { TotalCompletions: 1 } } });
    expect(unsteady([failed], service(job))).toEqual([]);
  });
});

describe('stable-for', () => {
  const auto = (more: Partial<Target>, tasks: readonly Task[], former?: ServiceSpec): number =>
    stableForMs('auto', { targets: [target(more)] }, before(tasks, service(former)));
  const justNow = [since('failed', 600, 100)];

  it('is what was asked for', () => {
    expect(stableForMs(1, { targets: [target()] }, before(justNow))).toBe(1);
  });
  it('is the longest monitor of what changed, at least 5 s', () => {
    const monitored = (seconds: number): ServiceSpec =>
      spec('api:2', { UpdateConfig: { Monitor: seconds * 1e9 } });
    expect(auto({ spec: monitored(1) }, [])).toBe(5000);
    expect(auto({ spec: monitored(20) }, [])).toBe(20_000);
  });

  it('is longer where tasks of an unchanged service have failed just before', () => {
    expect(auto({ change: 'unchanged' }, justNow)).toBe(30_000);
  });
  it('goes by when they failed, not by when they were created', () => {
    expect(auto({ change: 'unchanged' }, [since('failed', 600, 121)])).toBe(5000);
  });
  it('counts an exit code 0, too, where the service is meant to keep running', () => {
    const ended = [since('complete', 100, 50)];
    expect(auto({ change: 'unchanged' }, ended)).toBe(30_000);
    const once = spec('api:2', {}, { RestartPolicy: { Condition: 'none' } });
    expect(auto({ change: 'unchanged', spec: once }, ended, once)).toBe(5000);
  });

  it.each<[string, ServiceSpec]>([
    ['a label', spec('api:2', { Labels: { team: 'blue' } })],
    ['the update config', spec('api:2', { UpdateConfig: { Parallelism: 2 } })],
    ['the number of replicas', spec('api:2', { Mode: { Replicated: { Replicas: 3 } } })],
    ['where it may run', spec('api:2', {}, { Placement: { Constraints: ['node.role==worker'] } })],
  ])('is longer where only %s of such a service changes: its tasks stay', (_, is) => {
    expect(auto({ spec: is }, justNow)).toBe(30_000);
  });
  it.each<[string, ServiceSpec]>([
    ['image', spec('api:3')],
    ['endpoint', spec('api:2', { EndpointSpec: { Mode: 'dnsrr' } })],
  ])('is not where another %s replaces its tasks', (_, is) => {
    expect(auto({ spec: is }, justNow)).toBe(5000);
  });
  it('is not for a service that is new', () => {
    expect(auto({ id: 'other', change: 'created' }, justNow)).toBe(5000);
  });
});
