import { beforeEach, describe, expect, it } from '@jest/globals';
import {
  EngineError,
  type Engine,
  type Listing,
  type TaskScope,
} from '../../../src/docker/engine.js';
import { ConnectionLost } from '../../../src/errors.js';
import type { Node, Service, Snapshot, Task } from '../../../src/model.js';
import { SnapshotReader, type Wanted } from '../../../src/rollout/reader.js';
import { node, service, spec, task } from '../../support/snapshots.js';

/** An engine that answers from memory and remembers what it was asked. */
class MemoryEngine {
  services: Service[] = [];
  all: Task[] = [];
  nodeItems: Node[] = [node('n1'), node('n2')];
  old = new Set<string>();
  managerTime = 7000;
  asked: string[] = [];
  /** Just before the answer to a question is made up. */
  onAsk: (question: string) => void = () => undefined;

  #list<Item>(question: string, items: readonly Item[], former?: Listing<Item>): Listing<Item> {
    const hash = JSON.stringify(items);
    this.asked.push(question);
    return hash === former?.hash
      ? former
      : { hash, items: JSON.parse(JSON.stringify(items)) as Item[] };
  }
  serviceList(
    _: string,
    former?: Listing<Service>,
    keep: (service: Service) => Service = (service) => service,
  ): Promise<Listing<Service>> {
    this.onAsk('services');
    const now = this.#list('services', this.services, former);
    return Promise.resolve(now === former ? now : { ...now, items: now.items.map(keep) });
  }
  #of(scope: TaskScope): Task[] {
    if ('stack' in scope) return this.all;
    const gone = scope.services.find((id) => !this.services.some(({ ID }) => ID === id));
    if (gone !== undefined) throw new EngineError(404, `service ${gone} not found`, 'GET /tasks');
    return this.all.filter(({ ServiceID }) => scope.services.includes(ServiceID));
  }
  async tasks(scope: TaskScope, former?: Listing<Task>): Promise<Listing<Task>> {
    const question = 'stack' in scope ? 'tasks' : `tasks ${scope.services.join(' ')}`;
    this.onAsk(question);
    return Promise.resolve(this.#list(question, this.#of(scope), former));
  }
  async upToDate(scope: TaskScope): Promise<readonly string[]> {
    const question = 'up to date';
    this.asked.push(question);
    this.onAsk(question);
    return Promise.resolve(
      this.#of(scope)
        .map(({ ID }) => ID)
        .filter((id) => !this.old.has(id)),
    );
  }
  nodes(former?: Listing<Node>): Promise<Listing<Node>> {
    return Promise.resolve(this.#list('nodes', this.nodeItems, former));
  }

  add(id: string, slots: number, more: Partial<Service> = {}): void {
    const count = { RunningTasks: slots, DesiredTasks: slots };
    this.services.push(service(spec(), { ID: id, ServiceStatus: count, ...more }));
    for (let slot = 1; slot <= slots; slot += 1)
      this.all.push(task(`${id}.${slot}`, 'running', { ServiceID: id, Slot: slot }));
  }
  change(id: string, more: Partial<Service>): void {
    this.services = this.services.map((one) => (one.ID === id ? { ...one, ...more } : one));
  }
  /** What has been asked since the last time. */
  questions(): readonly string[] {
    const { asked } = this;
    this.asked = [];
    return asked;
  }
}

let swarm: MemoryEngine;
let reader: SnapshotReader;
let time: number;
const read = (wanted: Wanted, engine = swarm): Promise<Snapshot> =>
  reader.read(engine as unknown as Engine, (time += 1), wanted);
const NONE = new Set<string>();
const ids = ({ tasks }: Snapshot): readonly string[] => tasks.map(({ ID }) => ID).sort();

beforeEach(() => {
  swarm = new MemoryEngine();
  reader = new SnapshotReader('shop');
  time = 0;
  swarm.add('a', 2);
  swarm.add('b', 1);
});

describe('the first look', () => {
  it('reads everything, tasks before services', async () => {
    swarm.old.add('a.2');
    const snapshot = await read('services');
    expect(snapshot).toMatchObject({ at: 1, managerTime: 7000 });
    expect(snapshot.partial).toBeUndefined();
    expect(ids(snapshot)).toEqual(['a.1', 'a.2', 'b.1']);
    expect([...snapshot.upToDate].sort()).toEqual(['a.1', 'b.1']);
    expect(snapshot.nodes).toHaveLength(2);
    expect(swarm.questions()).toEqual(['services', 'tasks', 'up to date', 'nodes', 'services']);
  });

  it('is whole, whatever was asked for', async () => {
    const snapshot = await read(NONE);
    expect([snapshot.partial, ids(snapshot)]).toEqual([undefined, ['a.1', 'a.2', 'b.1']]);
  });

  it('of an empty stack is empty', async () => {
    swarm.services = [];
    swarm.all = [];
    expect(await read('services')).toMatchObject({ services: [], tasks: [] });
  });
});

describe('a look at what does not move', () => {
  it('is one request, and gives the very same objects', async () => {
    const first = await read('services');
    await read(NONE);
    swarm.questions();
    for (let count = 0; count < 3; count += 1) {
      const next = await read(NONE);
      expect(next).toMatchObject({ at: time, partial: true });
      for (const part of ['services', 'tasks', 'upToDate', 'nodes'] as const)
        expect(next[part]).toBe(first[part]);
    }
    expect(swarm.questions()).toEqual(['services', 'services', 'services']);
  });

  it('at all tasks, too, gives the same objects and does not ask again which are up to date', async () => {
    const first = await read('services');
    swarm.questions();
    const next = await read('services');
    expect([next.tasks, next.upToDate, next.partial]).toEqual([
      first.tasks,
      first.upToDate,
      undefined,
    ]);
    expect(next.tasks).toBe(first.tasks);
    expect(swarm.questions()).toEqual(['tasks', 'nodes', 'services']);
  });
});

it('looks at some tasks do not make a look at all of them start anew', async () => {
  const first = await read('services');
  await read(new Set(['a']));
  await read(NONE);
  swarm.questions();
  expect((await read('services')).tasks).toEqual(first.tasks);
  expect(swarm.questions()).toEqual(['tasks', 'nodes', 'services']);
});

it('services can be read alone: what has changed of them is read at the next look', async () => {
  await read('services');
  swarm.change('b', { Version: { Index: 8 } });
  expect((await reader.services(swarm as unknown as Engine))[1]?.Version.Index).toBe(8);
  swarm.questions();
  await read(NONE);
  expect(swarm.questions()).toEqual(['tasks b', 'up to date', 'services']);
});

describe('a service that moves', () => {
  it('has its tasks read at the next look, the others not', async () => {
    await read('services');
    swarm.all = swarm.all.map((each) =>
      each.ID === 'b.1' ? task('b.1', 'failed', { ServiceID: 'b' }) : each,
    );
    swarm.change('b', { ServiceStatus: { RunningTasks: 0, DesiredTasks: 1 } });
    await read(NONE);
    swarm.questions();
    const next = await read(NONE);
    expect(swarm.questions()).toEqual(['tasks b', 'up to date', 'services']);
    expect(next.tasks.find(({ ID }) => ID === 'b.1')?.Status.State).toBe('failed');
    expect(ids(next)).toEqual(['a.1', 'a.2', 'b.1']);
  });

  it('while its tasks are being read has them read again', async () => {
    await read('services');
    swarm.onAsk = (question) => {
      if (question !== 'tasks b') return;
      swarm.onAsk = () => undefined;
      swarm.change('b', { Version: { Index: 8 }, Spec: spec('api:3') });
    };
    await read(new Set(['b']));
    swarm.old.add('b.1');
    const next = await read(NONE);
    expect([...next.upToDate].sort()).toEqual(['a.1', 'a.2']);
    await read(NONE);
    swarm.questions();
    await read(NONE);
    expect(swarm.questions()).toEqual(['services']);
  });

  it('keeps the same spec object while its version is the same', async () => {
    const [first] = (await read('services')).services;
    swarm.change('a', { ServiceStatus: { RunningTasks: 1, DesiredTasks: 2 } });
    const second = (await read(NONE)).services[0];
    expect(second).not.toBe(first);
    expect(second?.ServiceStatus?.RunningTasks).toBe(1);
    expect(second?.Spec).toBe(first?.Spec);
    swarm.change('a', { Version: { Index: 9 }, Spec: spec('api:9') });
    expect((await read(NONE)).services[0]?.Spec).toEqual(spec('api:9'));
  });

  it('only in its update status is seen', async () => {
    await read('services');
    swarm.change('a', { UpdateStatus: { State: 'paused' } });
    expect((await read(NONE)).services[0]?.UpdateStatus).toEqual({ State: 'paused' });
  });

  it('has its tasks read at every look that wants them', async () => {
    await read('services');
    swarm.questions();
    await read(new Set(['a']));
    await read(new Set(['a']));
    expect(swarm.questions()).toEqual(['tasks a', 'up to date', 'services', 'tasks a', 'services']);
  });

  it('may be new, or gone', async () => {
    await read('services');
    swarm.add('c', 1);
    expect((await read(NONE)).services).toHaveLength(3);
    expect(ids(await read(NONE))).toEqual(['a.1', 'a.2', 'b.1', 'c.1']);
    swarm.services = swarm.services.filter(({ ID }) => ID !== 'a');
    swarm.all = swarm.all.filter(({ ServiceID }) => ServiceID !== 'a');
    const next = await read(new Set(['a', 'b']));
    expect([next.services.length, ids(next)]).toEqual([2, ['b.1', 'c.1']]);
  });
});

describe('nodes', () => {
  it('are read again for a task on one that is not known', async () => {
    await read('services');
    swarm.nodeItems.push(node('n3'));
    swarm.all.push(task('b.2', 'running', { ServiceID: 'b', NodeID: 'n3' }));
    expect((await read(new Set(['b']))).nodes).toHaveLength(3);
  });

  it('are read with the tasks of a global service', async () => {
    swarm.add('g', 1, { Spec: spec('api:1', { Mode: { Global: {} } }) });
    await read('services');
    swarm.questions();
    await read(new Set(['a']));
    expect(swarm.questions()).not.toContain('nodes');
    await read(new Set(['g']));
    expect(swarm.questions()).toContain('nodes');
  });
});

describe('tasks', () => {
  it('of removed services are read with the whole stack', async () => {
    await read('services');
    swarm.services = swarm.services.filter(({ ID }) => ID !== 'a');
    expect(ids(await read('stack'))).toEqual(['a.1', 'a.2', 'b.1']);
  });

  it('of a large stack are read in pieces, each service once', async () => {
    for (let count = 0; count < 12; count += 1) swarm.add(`s${count}`, 50);
    const snapshot = await read('services');
    const pieces = swarm.questions().filter((question) => question.startsWith('tasks'));
    expect(pieces).toEqual([
      'tasks a b s0 s1',
      'tasks s2 s3',
      'tasks s4 s5',
      'tasks s6 s7',
      'tasks s8 s9',
      'tasks s10 s11',
    ]);
    expect(snapshot.tasks).toHaveLength(603);
    expect(snapshot.upToDate.size).toBe(603);
    expect((await read('services')).tasks).toBe(snapshot.tasks);
  });

  it('that say the same as before are the same objects, beside those that moved', async () => {
    const before = await read('services');
    const at = before.tasks.findIndex(({ ID }) => ID === 'a.1');
    swarm.all = swarm.all.map((was) =>
      was.ID === 'a.1' ? { ...was, Status: { ...was.Status, State: 'failed' } } : { ...was },
    );
    const after = await read('services');
    for (const [index, was] of before.tasks.entries())
      if (index === at) expect(after.tasks[index]?.Status.State).toBe('failed');
      else expect(after.tasks[index]).toBe(was);
  });

  it('of one that has more than fit a piece are read in one', async () => {
    swarm.add('huge', 900);
    await read('services');
    expect(swarm.questions().filter((question) => question.startsWith('tasks'))).toEqual([
      'tasks a b',
      'tasks huge',
    ]);
  });
});

it('another engine is asked for everything', async () => {
  await read('services');
  const other = new MemoryEngine();
  other.add('a', 3);
  const snapshot = await read(NONE, other);
  expect(snapshot.partial).toBeUndefined();
  expect(ids(snapshot)).toEqual(['a.1', 'a.2', 'a.3']);
});

it('a look that fails is made up for by the next', async () => {
  await read('services');
  swarm.change('b', { ServiceStatus: { RunningTasks: 0, DesiredTasks: 1 } });
  await read(NONE);
  swarm.onAsk = () => {
    throw new EngineError(500, 'no leader', 'GET /tasks');
  };
  await expect(read(NONE)).rejects.toThrow('no leader');
  swarm.onAsk = () => undefined;
  swarm.questions();
  await read(NONE);
  expect(swarm.questions()).toContain('tasks b');
});

describe('a manager that was cut off from the others', () => {
  const behind = (): MemoryEngine => {
    const other = new MemoryEngine();
    other.add('a', 2);
    other.add('b', 1);
    return other;
  };
  it('is not believed what it knows from before', async () => {
    swarm.change('b', { Version: { Index: 8 } });
    await read('services');
    const stale = behind();
    await expect(read('services', stale)).rejects.toThrow(ConnectionLost);
    await expect(reader.services(stale as unknown as Engine)).rejects.toThrow(
      /knows shop_api as it was before: version 7, where 8 was seen already/,
    );
    // Once it has caught up, it is.
    stale.change('b', { Version: { Index: 8 } });
    expect((await read('services', stale)).services[1]?.Version.Index).toBe(8);
  });
  it('is found out by what was seen of services alone, too', async () => {
    swarm.change('b', { Version: { Index: 8 } });
    await reader.services(swarm as unknown as Engine);
    await expect(read('services', behind())).rejects.toThrow(ConnectionLost);
  });
});
