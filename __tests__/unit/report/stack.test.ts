import { describe, expect, it } from '@jest/globals';
import type { Service, ServiceSpec, Task } from '../../../src/model.js';
import { changesOf } from '../../../src/plan.js';
import type { ServiceReport, ServiceState } from '../../../src/report/outcome.js';
import { serviceReports } from '../../../src/report/services.js';
import { stackLines, stackTable, troubleLines, troubleTable } from '../../../src/report/stack.js';
import { observe } from '../../../src/rollout/observe.js';
import { begin, service, snapshot, spec, status, task } from '../../support/snapshots.js';

const NOW = Date.parse('2026-01-01T00:10:00Z');
const ago = (seconds: number): string => new Date(NOW - seconds * 1000).toISOString();

interface Look {
  readonly spec?: ServiceSpec;
  readonly more?: Partial<Service>;
  readonly tasks?: readonly Task[];
  readonly old?: readonly string[];
  readonly image?: boolean;
}

/** The report of a service that is looked at; of `shop_api` with two replicas, unless told. */
function look({ spec: is = spec(), more = {}, tasks = [], old = [], image }: Look): ServiceReport {
  const services = [service(is, more)];
  const before = { ...snapshot(1, tasks, { services, old }), managerTime: NOW };
  const changes = changesOf({ services }, services, [is.Name]);
  const rollout = observe(begin({ targets: changes.targets }), before);
  const healthchecks = new Map(image === undefined ? [] : [['api:2@sha256:1', image]]);
  const [found] = serviceReports({
    reason: '',
    before,
    changes,
    rollout,
    fate: 'seen',
    healthchecks,
  });
  if (found === undefined) throw new Error('no report of the service');
  return found;
}
const stateOf = (asked: Look): ServiceState => {
  const { state } = look(asked);
  if (state === undefined) throw new Error('no state in the report');
  return state;
};

const both = [task('a', 'running'), task('b', 'running', { Slot: 2, NodeID: 'n2' })];
const failed = (ID: string, seconds: number, Slot = 1): Task =>
  task(ID, 'failed', {
    Slot,
    Status: {
      State: 'failed',
      Err: 'task: non-zero exit (1)',
      Timestamp: ago(seconds),
      ContainerStatus: { ExitCode: 1 },
    },
  });
const waiting = (state: 'pending' | 'starting', seconds: number, Err?: string): Task =>
  task('w', state, {
    Status: { State: state, Timestamp: ago(seconds), ...(Err === undefined ? {} : { Err }) },
  });
const withHealth = (Test: readonly string[]): ServiceSpec =>
  spec('api:2', {}, { ContainerSpec: { Image: 'api:2@sha256:1', Healthcheck: { Test } } });
const job = spec('api:2', { Mode: { ReplicatedJob: { TotalCompletions: 1 } } });
const once = spec('api:2', {}, { RestartPolicy: { Condition: 'none' } });
const global = spec('api:2', { Mode: { Global: {} } });
const nowhere = spec(
  'api:2',
  { Mode: { Global: {} } },
  { Placement: { Constraints: ['node.id==x'] } },
);

describe('the health of a service', () => {
  it.each<[string, Look, string, string]>([
    ['all run, the image has a healthcheck', { tasks: both, image: true }, 'healthy', 'healthy'],
    ['all run, the image has none', { tasks: both, image: false }, 'no-healthcheck', 'healthy'],
    ['all run, the image is not here', { tasks: both }, 'running', 'healthy'],
    [
      'its own healthcheck',
      { spec: withHealth(['CMD', 'x']), tasks: both, image: false },
      'healthy',
      'healthy',
    ],
    [
      'switched off',
      { spec: withHealth(['NONE']), tasks: both, image: true },
      'no-healthcheck',
      'healthy',
    ],
    ['one starts', { tasks: both.slice(0, 1), image: true }, 'degraded', 'failed'],
    ['none is there', {}, 'down', 'failed'],
    ['the first starts', { tasks: [waiting('starting', 3)] }, 'starting', 'unknown'],
    [
      'an update',
      { tasks: both.slice(0, 1), more: { UpdateStatus: status('updating') } },
      'updating',
      'unknown',
    ],
    [
      'a paused update',
      { tasks: both, old: ['b'], more: { UpdateStatus: status('paused') } },
      'degraded',
      'failed',
    ],
    ['fails again and again', { tasks: [...both, failed('f', 20)] }, 'unstable', 'unknown'],
    ['failed long ago', { tasks: [...both, failed('f', 301)] }, 'running', 'healthy'],
    [
      'fails and does not run',
      { tasks: [waiting('starting', 1), failed('f', 9)] },
      'down',
      'failed',
    ],
    [
      'scaled to zero',
      { spec: spec('api:2', { Mode: { Replicated: { Replicas: 0 } } }) },
      'idle',
      'healthy',
    ],
    ['fits no node', { spec: nowhere }, 'no-node', 'healthy'],
    ['a job is done', { spec: job, tasks: [task('a', 'complete')] }, 'completed', 'healthy'],
    [
      'a job runs',
      { spec: job, tasks: [task('a', 'running', { DesiredState: 'complete' })] },
      'in-progress',
      'unknown',
    ],
    ['a job failed', { spec: job, tasks: [failed('a', 9)] }, 'failed', 'failed'],
    [
      'a one-shot task is done',
      { spec: once, tasks: [task('a', 'complete'), task('b', 'complete', { Slot: 2 })] },
      'completed',
      'healthy',
    ],
  ])('%s', (_, asked, health, outcome) => {
    expect(stateOf(asked).health).toBe(health);
    expect(look(asked)).toMatchObject({ change: 'unchanged', outcome });
  });

  it('comes with a reason where it is bad, and with none where it is good', () => {
    expect(look({ tasks: both }).reason).toBe('');
    expect(look({ tasks: [failed('f', 9)] }).reason).toBe('crash-loop');
    expect(look({ tasks: [waiting('pending', 3, 'no suitable node')] }).reason).toBe(
      'unschedulable',
    );
    const paused = { UpdateStatus: status('paused') };
    expect(look({ tasks: both, old: ['b'], more: paused }).reason).toBe('update-paused');
  });

  it('counts what is there: running, of another version', () => {
    expect(look({ tasks: both, old: ['b'] })).toMatchObject({
      replicas: { running: 1, desired: 2 },
      state: { older: 1, mode: 'replicated', update: '' },
    });
  });
});

describe('tasks that do not run', () => {
  it('are told with node, state and error, the last failure among several', () => {
    const tasks = [waiting('starting', 3), failed('f', 40), failed('g', 9), failed('h', 70)];
    expect(stateOf({ tasks }).tasks).toEqual([
      {
        ...{ name: 'shop_api.1', node: 'host-n1', state: 'starting', seconds: 3, error: '' },
        failures: 3,
        lastFailure: {
          ...{ reason: 'crash-loop', node: 'host-n1', secondsAgo: 9 },
          error: 'exit code 1: task: non-zero exit (1)',
        },
      },
    ]);
    expect(troubleLines([look({ tasks })], 9)).toEqual([
      'shop_api.1 on host-n1: starting for 3 s; failed 3 times, last 9 s ago: exit code 1: task: non-zero exit (1)',
    ]);
  });

  it('have no slot in a global service, and are told apart by node', () => {
    const at = (NodeID: string): Task =>
      ({ ...task(NodeID, 'starting'), Slot: undefined, NodeID }) as unknown as Task;
    const { tasks } = stateOf({ spec: global, tasks: [at('n2'), at('n1')] });
    expect(tasks.map(({ name, node: on }) => `${name} ${on}`)).toEqual([
      'shop_api host-n1',
      'shop_api host-n2',
    ]);
  });

  it('say what they wait for, and what Swarm said of the update', () => {
    const waits = { ...waiting('pending', 200, 'no suitable node'), NodeID: '' };
    const report = look({ tasks: [waits], more: { UpdateStatus: status('paused') } });
    expect(troubleLines([report], 9)).toEqual([
      'shop_api: it is paused',
      'shop_api.1: pending for 3 min: no suitable node',
    ]);
    const done = { UpdateStatus: status('rollback_completed') };
    expect(troubleLines([look({ tasks: both, more: done })], 9)).toEqual([]);
  });

  it('come first, then those that failed last, and the rest is counted', () => {
    const tasks = [
      both[0]!,
      waiting('starting', 1),
      failed('f', 50, 1),
      failed('g', 20, 2),
      failed('h', 10, 3),
    ].map((each) => (each.ID === 'w' ? { ...each, Slot: 4 } : each));
    const report = look({
      tasks: [...tasks, task('r2', 'running', { Slot: 2 }), task('r3', 'running', { Slot: 3 })],
    });
    const lines = troubleLines([report], 3);
    expect(lines.map((line) => line.slice(0, 10))).toEqual([
      'shop_api.4',
      'shop_api.3',
      'shop_api.2',
      'and 1 more',
    ]);
    expect(troubleTable([report], 3).join('\n')).toContain('and 1 more');
  });
});

describe('the tables', () => {
  const well = look({ tasks: both, image: true });
  const bad = { ...look({ tasks: [failed('f', 9)] }), name: 'shop_bad' };

  it('in the log: a line a service', () => {
    expect(stackLines([well, bad])).toEqual([
      'SERVICE   MODE        RUNNING  IMAGE           HEALTH',
      'shop_api  replicated  2/2      api:2@sha256:1  healthy',
      'shop_bad  replicated  0/2      api:2@sha256:1  down',
    ]);
  });

  it('in the summary: what is not well first', () => {
    const rows = stackTable([well, bad], 9).filter((line) => line.startsWith('| shop'));
    expect(rows).toEqual([
      '| shop&#95;bad | ❌ down | 0/2 | replicated | <code>api&#58;2</code> <code>1</code> |',
      '| shop&#95;api | ✅ healthy | 2/2 | replicated | <code>api&#58;2</code> <code>1</code> |',
    ]);
    expect(stackTable([look({ spec: nowhere }), bad], 9)[4]).toContain('shop&#95;bad');
    expect(stackTable([well, bad], 1).join('\n')).toContain('and 1 more service');
    expect(stackTable([], 1)).toEqual([]);
    expect(troubleTable([well], 1)).toEqual([]);
  });

  it('show foreign text as text', () => {
    const Err = '::error::\u001b[31m<img src=x>|[x](http://evil) `y`\n::set-output::';
    const hostile = look({
      tasks: [
        waiting('pending', 1, Err),
        { ...failed('f', 9), Status: { ...failed('f', 9).Status, Err } },
      ],
      more: { UpdateStatus: status('paused', { Message: Err }) },
    });
    const named = { ...hostile, name: '::warning::|<b>', image: 'a|<b>`c`' };
    const markdown = [...stackTable([named], 9), ...troubleTable([named], 9)];
    for (const line of markdown)
      expect(line.replace(/<\/?code>/g, '')).not.toMatch(/[<>`]|\]\(|\u001b/);
    const counts = markdown
      .filter((line) => line.startsWith('|'))
      .map((line) => line.split('|').length);
    expect(new Set(counts.slice(0, 3)).size).toBe(1);
    expect(new Set(counts.slice(3)).size).toBe(1);
    for (const line of [...stackLines([named]), ...troubleLines([named], 9)]) {
      expect(line.trimStart()).not.toMatch(/^::/);
      expect(line).not.toMatch(/[\u0000-\u001f]/);
    }
  });
});
