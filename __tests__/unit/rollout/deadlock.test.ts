import { describe, expect, it } from '@jest/globals';
import type { ServiceSpec, Snapshot, Task } from '../../../src/model.js';
import { observe, verdict, type Verdict } from '../../../src/rollout/observe.js';
import { begin, node, service, snapshot, spec, target, task } from '../../support/snapshots.js';

const PORTS = { EndpointSpec: { Ports: [{ PublishedPort: 8080, PublishMode: 'host' }] } };
const START_FIRST = { UpdateConfig: { Order: 'start-first' } };
const TAKEN = 'no suitable node (host-mode port already in use on 2 nodes)';
const FULL = 'no suitable node (max replicas per node limit exceed)';

const HOST_PORT = spec('api:2', { ...PORTS, ...START_FIRST });
const LIMITED = spec('api:2', START_FIRST, { Placement: { MaxReplicas: 1 } });
const pending = (id: string, slot: number, Err: string): Task => ({
  ...task(id, 'pending', { Slot: slot, NodeID: '' }),
  Status: { State: 'pending', Err },
});
/** Runs and holds a host-mode port. */
const former = (id: string, slot: number, NodeID = 'n1', port = 8080): Task => ({
  ...task(id, 'running', { Slot: slot, NodeID }),
  Status: {
    State: 'running',
    PortStatus: { Ports: [{ PublishedPort: port, Protocol: 'tcp' }] },
  },
});

/** What is said of a swarm that stays like this for as long. */
function lasting(
  is: ServiceSpec,
  tasks: readonly Task[],
  more: { readonly old?: readonly string[]; readonly nodes?: Snapshot['nodes'] },
  forMs = 5000,
  phase: 'deploy' | 'restore' = 'deploy',
): Verdict {
  const services = [service(is, { UpdateStatus: { State: 'updating' } })];
  return verdict(
    [0, forMs].reduce(
      (rollout, at) => observe(rollout, snapshot(at, tasks, { services, ...more })),
      begin({ phase, targets: [target({ spec: is })] }),
    ),
  );
}

const OLD = [former('o1', 1, 'n1'), former('o2', 2, 'n2')];
const old = ['o1', 'o2'];
const BLOCKED = [...OLD, pending('p1', 1, TAKEN)];

describe('start-first with a host-mode port', () => {
  it('that the former tasks hold on every node cannot go on', () => {
    const end = lasting(HOST_PORT, BLOCKED, { old });
    expect(end).toMatchObject({
      kind: 'failed',
      reason: 'host-port-deadlock',
      service: 'shop_api',
    });
    expect(end).toMatchObject({ message: expect.stringContaining(TAKEN) });
    expect(end).toMatchObject({ message: expect.stringContaining('stop-first') });
  });

  it('is given the time that Swarm takes to look again', () => {
    expect(lasting(HOST_PORT, BLOCKED, { old }, 4999)).toEqual({ kind: 'waiting' });
  });

  it('is as blocked when its last free node is taken by a new task', () => {
    const tasks = [former('n', 1), former('o2', 2, 'n2'), pending('p2', 2, TAKEN)];
    expect(lasting(HOST_PORT, tasks, { old: ['o2'] })).toMatchObject({
      reason: 'host-port-deadlock',
    });
  });

  it.each<[string, ServiceSpec, readonly Task[]]>([
    ['a new task is on its way', HOST_PORT, [...BLOCKED, task('s', 'starting', { Slot: 2 })]],
    [
      'a former task is about to be stopped',
      HOST_PORT,
      [...BLOCKED, task('r', 'running', { Slot: 2 })],
    ],
    ['the order is stop-first', spec('api:2', PORTS), BLOCKED],
    ['the port is not in host mode', spec('api:2', START_FIRST), BLOCKED],
    [
      'it waits for something else',
      HOST_PORT,
      [...OLD, pending('p1', 1, 'insufficient resources')],
    ],
    ['nothing is said yet', HOST_PORT, [...OLD, pending('p1', 1, '')]],
    ['the task has a node already', HOST_PORT, [...OLD, task('p1', 'assigned', { Err: TAKEN })]],
    ['nothing waits', HOST_PORT, OLD],
  ])('may go on where %s', (_, is, tasks) => {
    expect(lasting(is, tasks, { old })).toEqual({ kind: 'waiting' });
  });

  it('may go on where somebody else holds the port', () => {
    expect(lasting(HOST_PORT, [pending('p1', 1, TAKEN)], {})).toEqual({ kind: 'waiting' });
    const third = TAKEN.replace('2 nodes', '3 nodes');
    expect(lasting(HOST_PORT, [...OLD, pending('p1', 1, third)], { old })).toEqual({
      kind: 'waiting',
    });
  });

  it('may go on where the former tasks do not hold that port', () => {
    const others = [former('o1', 1, 'n1', 9090), former('o2', 2, 'n2', 9090)];
    const tasks = [...others, pending('p1', 1, TAKEN)];
    expect(lasting(HOST_PORT, tasks, { old })).toEqual({ kind: 'waiting' });
    const none = [task('o1', 'running'), task('o2', 'running', { Slot: 2, NodeID: 'n2' })];
    expect(lasting(HOST_PORT, [...none, pending('p1', 1, TAKEN)], { old })).toEqual({
      kind: 'waiting',
    });
  });

  it('may go on while a former task is on its way out', () => {
    const leaving = { ...former('o3', 3, 'n3'), DesiredState: 'shutdown' as const };
    const tasks = [...BLOCKED.slice(0, 2), pending('p1', 1, TAKEN), leaving];
    const all = [...old, 'o3'];
    const nodes = [node('n1'), node('n2'), node('n3')];
    expect(lasting(HOST_PORT, tasks, { old: all, nodes })).toEqual({ kind: 'waiting' });
    // On a node that is lost it says so for ever.
    const lost = [...nodes.slice(0, 2), node('n3', { Status: { State: 'down' } })];
    expect(lasting(HOST_PORT, tasks, { old: all, nodes: lost })).toMatchObject({
      reason: 'host-port-deadlock',
    });
  });

  it('does not end a way back', () => {
    expect(lasting(HOST_PORT, BLOCKED, { old }, 5000, 'restore')).toEqual({ kind: 'waiting' });
  });

  it('is not blocked any more once something has moved', () => {
    const services = [service(HOST_PORT, { UpdateStatus: { State: 'updating' } })];
    const look = (at: number, tasks: readonly Task[]): Snapshot =>
      snapshot(at, tasks, { services, old });
    const rollout = [
      look(0, BLOCKED),
      look(4000, [...OLD, task('p1', 'starting', { Slot: 1 })]),
      look(6000, BLOCKED),
      look(10_999, BLOCKED),
    ].reduce(observe, begin({ targets: [target({ spec: HOST_PORT })] }));
    expect(verdict(rollout)).toEqual({ kind: 'waiting' });
    expect(verdict(observe(rollout, look(11_000, BLOCKED)))).toMatchObject({ kind: 'failed' });
  });
});

describe('max_replicas_per_node with start-first', () => {
  it('cannot go on where all nodes are full of former tasks', () => {
    const end = lasting(LIMITED, [...OLD, pending('p1', 1, FULL)], { old });
    expect(end).toMatchObject({ kind: 'failed', reason: 'unschedulable' });
    expect(end).toMatchObject({
      message: expect.stringContaining('max_replicas_per_node'),
    });
  });
});

describe('a global service on a paused node', () => {
  const GLOBAL = spec('api:2', { Mode: { Global: {} } });
  const on = (id: string, NodeID: string): Task => ({
    ...former(id, 0, NodeID),
    ...{ Slot: undefined as unknown as number },
  });
  const nodes = [node('n1'), node('n2', { Spec: { Role: 'worker', Availability: 'pause' } })];

  it('keeps its former version there: that is not what was asked for', () => {
    const end = lasting(GLOBAL, [on('a', 'n1'), on('o', 'n2')], { old: ['o'], nodes });
    expect(end).toMatchObject({ kind: 'failed', reason: 'unschedulable' });
    expect(end).toMatchObject({ message: expect.stringContaining('host-n2') });
  });

  it('is waited for while the other nodes are not done', () => {
    const tasks = [task('a', 'starting', { NodeID: 'n1' }), on('o', 'n2')];
    expect(lasting(GLOBAL, tasks, { old: ['o'], nodes })).toEqual({ kind: 'waiting' });
  });

  it('is waited for where a node that is not paused has a former task', () => {
    const tasks = [on('o1', 'n1'), on('o', 'n2')];
    expect(lasting(GLOBAL, tasks, { old: ['o1', 'o'], nodes })).toEqual({ kind: 'waiting' });
  });
});

describe('an update that waits for a task that was called off', () => {
  const ONE = spec('api:2', { UpdateConfig: { Parallelism: 1 } });
  const off = (id: string): Task => ({
    ...pending(id, 1, ''),
    DesiredState: 'shutdown',
    NodeID: 'n2',
  });

  it('cannot go on with the others', () => {
    const end = lasting(ONE, [off('c'), former('o2', 2)], { old });
    expect(end).toMatchObject({ kind: 'failed', reason: 'unschedulable' });
    expect(end).toMatchObject({ message: expect.stringContaining('on host-n2') });
  });

  it.each<[string, ServiceSpec, readonly Task[]]>([
    ['more are updated at a time', spec('api:2', { UpdateConfig: { Parallelism: 2 } }), []],
    ['all are updated at a time', spec('api:2', { UpdateConfig: {} }), []],
    ['another one is on its way', ONE, [task('s', 'starting', { Slot: 3 })]],
  ])('may go on when %s', (_, is, more) => {
    expect(lasting(is, [off('c'), former('o2', 2), ...more], { old })).toEqual({ kind: 'waiting' });
  });

  it('is not one that an earlier deploy has left', () => {
    const services = [service(ONE, { UpdateStatus: { State: 'updating' } })];
    const tasks = [off('c'), former('o2', 2)];
    const start = begin({ targets: [target({ spec: ONE })], formerTasks: new Set(['c']) });
    const looks = [0, 5000].map((at) => snapshot(at, tasks, { services, old }));
    expect(verdict(looks.reduce(observe, start))).toEqual({ kind: 'waiting' });
  });
});
