import { describe, expect, it } from '@jest/globals';
import {
  distinct,
  listIn,
  Malformed,
  nodeIn,
  objectIn,
  serviceIn,
  taskIn,
} from '../../../src/docker/well-formed.js';
import type { Json } from '../../../src/model.js';
import { node, service, task } from '../../support/snapshots.js';

const good = {
  service: { ...service() } as unknown as Record<string, Json>,
  task: { ...task('t1', 'running') } as unknown as Record<string, Json>,
  node: { ...node('n1') } as unknown as Record<string, Json>,
};

describe('what an engine says is taken as it is', () => {
  it('where it is well formed', () => {
    expect(serviceIn(good.service)).toBe(good.service);
    expect(taskIn(good.task)).toBe(good.task);
    expect(nodeIn(good.node)).toBe(good.node);
  });

  it('with nothing where Go writes null, with more than is known, and states of the future', () => {
    expect(() => nodeIn({ ...good.node, Description: null, New: [1] })).not.toThrow();
    expect(() =>
      serviceIn({ ...good.service, UpdateStatus: { State: 'levitating' } }),
    ).not.toThrow();
    expect(() => taskIn({ ...good.task, Status: { State: 'dreaming' } })).not.toThrow();
    expect(listIn('GET /tasks', null)).toEqual([]);
  });
});

describe('what is wrong is told with its place', () => {
  it.each<[string, () => unknown]>([
    [
      'service "service-1": Spec.Name is missing',
      () => serviceIn({ ...good.service, Spec: { Labels: null } }),
    ],
    [
      'service "service-1": Spec.Name is the number 7, not a text with something in it',
      () => serviceIn({ ...good.service, Spec: { Name: 7 } }),
    ],
    [
      'service "shop_api": Version.Index is a text, not a whole number',
      () => serviceIn({ ...good.service, Version: { Index: '7' } }),
    ],
    [
      'service "shop_api": ServiceStatus.RunningTasks is the number -1, not a whole number',
      () => serviceIn({ ...good.service, ServiceStatus: { RunningTasks: -1 } }),
    ],
    [
      'service "shop_api": Spec.Labels is an object, not an object of texts',
      () => serviceIn({ ...good.service, Spec: { Name: 'shop_api', Labels: { a: 1 } } }),
    ],
    ['task "t1": Status is null, not an object', () => taskIn({ ...good.task, Status: null })],
    [
      'task "t1": Status is a list, not an object',
      () => taskIn({ ...good.task, Status: [] as Json }),
    ],
    [
      'task "t1": DesiredState is a text, not a state of tasks',
      () => taskIn({ ...good.task, DesiredState: 'levitating' }),
    ],
    ['a task: ID is an empty text', () => taskIn({ ...good.task, ID: '' })],
    ['task "t1": NodeID is null, not a text', () => taskIn({ ...good.task, NodeID: null })],
    ['a task is a list', () => taskIn([])],
    [
      'node "host-n1": Spec is missing',
      () => nodeIn({ ID: 'n1', Description: { Hostname: 'host-n1' } }),
    ],
    ['GET /x lists "a" twice', () => distinct('GET /x', [{ ID: 'a' }, { ID: 'b' }, { ID: 'a' }])],
    ['a config is null', () => objectIn('config', null)],
    ['GET /x gave an object for a list', () => listIn('GET /x', {})],
    ['GET /x gave a list with true in it', () => listIn('GET /x', [{}, true])],
  ])('%s', (words, read) => {
    expect(read).toThrow(Malformed);
    expect(read).toThrow(words);
  });

  it('as a truth that could not be read, in a message that is safe to print', () => {
    const hostile = { ...good.service, Spec: { Name: '\u001b[2J::error::x' }, Version: {} };
    let error: unknown;
    try {
      serviceIn(hostile);
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({ outcome: 'unreachable', reason: 'docker-unavailable' });
    expect((error as Error).message).not.toContain('\u001b');
  });
});
