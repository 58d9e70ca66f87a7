import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  at,
  delayMs,
  hasOwnHealthcheck,
  hostnameOf,
  imageOf,
  isJob,
  kindOf,
  monitorMs,
  pausesMs,
  restartCondition,
  sameJson,
  splitImage,
  type Json,
  type JsonObject,
} from '../../src/model.js';
import { node, spec } from '../support/snapshots.js';

const json: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<Json>(null, true, false, '', 'x', 0, 1, 2 ** 60),
    fc.bigInt(),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c', '__proto__'), tie('value'), { maxKeys: 3 }),
  ),
})).value;

describe('sameJson', () => {
  it.each(['constructor', 'toString', 'hasOwnProperty'])(
    'sees a label that is named like what every object inherits: %s',
    (name) => {
      const [without, labelled] = [{ Labels: {} }, { Labels: { [name]: 'x' } }];
      expect(sameJson(without, labelled)).toBe(false);
      expect(sameJson(labelled, without)).toBe(false);
    },
  );

  it.each<[Json | undefined, Json | undefined]>([
    [
      { a: 1, b: [2, { c: null }] },
      { b: [2, { c: null }], a: 1 },
    ],
    [{ a: undefined, b: 1 }, { b: 1 }],
    [{}, { a: undefined }],
    [9223372036854775807n, 9223372036854775807n],
    [undefined, undefined],
  ])('%j is %j', (a, b) => {
    expect([sameJson(a, b), sameJson(b, a)]).toEqual([true, true]);
  });
  it.each<[string, Json | undefined, Json | undefined]>([
    ['null and absent', { a: null }, {}],
    ['an empty list and an empty object', [], {}],
    ['an empty list and none', { a: [] }, {}],
    ['orders of a list', [1, 2], [2, 1]],
    ['lengths of a list', [1], [1, 1]],
    ['numbers and texts', 1, '1'],
    ['false and zero', false, 0],
    ['two numbers that one double holds', 9223372036854775807n, 9223372036854775806n],
    ['something and nothing', {}, undefined],
    ['null and an object', null, {}],
  ])('tells %s apart', (_, a, b) => {
    expect([sameJson(a, b), sameJson(b, a)]).toEqual([false, false]);
  });
  it('holds for a copy, and both ways', () => {
    fc.assert(
      fc.property(json, json, (a, b) => {
        expect(sameJson(a, structuredClone(a))).toBe(true);
        expect(sameJson(a, b)).toBe(sameJson(b, a));
      }),
    );
  });
});

describe('kindOf', () => {
  it.each<[JsonObject | undefined, object]>([
    [{ Replicated: { Replicas: 3 } }, { kind: 'replicated', replicas: 3, oneShot: false }],
    [{ Replicated: { Replicas: 0 } }, { kind: 'replicated', replicas: 0, oneShot: false }],
    [{ Replicated: {} }, { kind: 'replicated', replicas: 1, oneShot: false }],
    [undefined, { kind: 'replicated', replicas: 1, oneShot: false }],
    [{ Global: {} }, { kind: 'global', constraints: [], oneShot: false }],
    [{ GlobalJob: {} }, { kind: 'global-job', constraints: [] }],
    [{ ReplicatedJob: {} }, { kind: 'replicated-job', completions: 1 }],
    [{ ReplicatedJob: { MaxConcurrent: 2 } }, { kind: 'replicated-job', completions: 2 }],
    [
      { ReplicatedJob: { MaxConcurrent: 2, TotalCompletions: 5 } },
      { kind: 'replicated-job', completions: 5 },
    ],
    [{ ReplicatedJob: { TotalCompletions: 0 } }, { kind: 'replicated-job', completions: 0 }],
  ])('%j', (Mode, kind) => {
    const found = kindOf(spec('x', { Mode }));
    expect(found).toEqual(kind);
    expect(isJob(found)).toBe(found.kind.endsWith('job'));
  });
  it('knows what runs once, and where a global service may', () => {
    const once = (Condition: string): JsonObject => ({
      RestartPolicy: { Condition },
      Placement: { Constraints: ['node.role==worker', 7] },
    });
    const global = { Mode: { Global: {} } };
    expect(kindOf(spec('x', global, once('none')))).toMatchObject({
      oneShot: true,
      constraints: ['node.role==worker'],
    });
    expect(kindOf(spec('x', {}, once('on-failure')))).toMatchObject({ oneShot: true });
    expect(kindOf(spec('x', {}, once('any')))).toMatchObject({ oneShot: false });
    expect(restartCondition(spec('x', {}, once('whatever')))).toBe('any');
  });
});

it.each<[Json | undefined, number]>([
  [undefined, 5000],
  [0, 5000],
  [30_000_000_000, 30_000],
  [30_000_000_000n, 30_000],
  [1, 0.000001],
])('monitorMs of %s ns is %d', (Monitor, ms) => {
  expect(monitorMs(spec('x', { UpdateConfig: { Monitor } }))).toBe(ms);
});
it.each([
  [{}, 5, 0],
  [{ UpdateConfig: { Delay: 2e9 } }, 5, 8000],
  [{ UpdateConfig: { Delay: 2e9, Parallelism: 2 } }, 5, 4000],
  [{ UpdateConfig: { Delay: 2e9, Parallelism: 0 } }, 5, 0],
  [{ UpdateConfig: { Delay: 2e9 }, RollbackConfig: { Delay: 3e9 } }, 2, 3000],
  [{ RollbackConfig: { Delay: 3e9 } }, 0, 0],
])('pausesMs of %j for %i tasks', (configs, tasks, ms) => {
  expect(pausesMs(spec('x', configs), tasks)).toBe(ms);
});
it('delayMs', () => {
  expect(delayMs(spec())).toBe(0);
  expect(delayMs(spec('x', { UpdateConfig: { Delay: 2_000_000_000 } }))).toBe(2000);
});
it.each<[Json | undefined, boolean]>([
  [undefined, false],
  [{ Test: [] }, false],
  [{ Test: ['NONE'] }, false],
  [{ Test: ['CMD', 'true'] }, true],
  [{ Interval: 5 }, false],
])('a healthcheck %j of its own: %s', (Healthcheck, own) => {
  const task = { ContainerSpec: { Image: 'x', Healthcheck } };
  expect(hasOwnHealthcheck(spec('x', {}, task))).toBe(own);
});
it.each([
  ['api', { name: 'api' }],
  ['reg:5000/a/api:1.2', { name: 'reg:5000/a/api:1.2' }],
  ['reg:5000/api:1@sha256:ab', { name: 'reg:5000/api:1', digest: 'sha256:ab' }],
  ['api@sha256:ab', { name: 'api', digest: 'sha256:ab' }],
  ['', { name: '' }],
])('splitImage of %s', (image, parts) => {
  expect(splitImage(image)).toEqual(parts);
});
it('reads what is there and nothing else', () => {
  expect(imageOf(spec('api:1'))).toBe('api:1@sha256:1');
  expect(imageOf({ Name: 'x' })).toBe('');
  expect(at({ a: { b: [1] } }, 'a', 'b')).toEqual([1]);
  expect(at({ a: { b: [1] } }, 'a', 'b', '0')).toBeUndefined();
  expect(at({ a: null }, 'a', 'b')).toBeUndefined();
  expect(at(undefined, 'a')).toBeUndefined();
});
it('names nodes for people', () => {
  const nodes = [node('n1'), { ...node('n2'), Description: {} }];
  expect(hostnameOf(nodes, 'n1')).toBe('host-n1');
  expect(hostnameOf(nodes, 'n2')).toBe('n2');
  expect(hostnameOf(nodes, 'abcdefghijklmnop')).toBe('abcdefghijkl');
  expect([hostnameOf(nodes, ''), hostnameOf(nodes, undefined)]).toEqual([undefined, undefined]);
});
