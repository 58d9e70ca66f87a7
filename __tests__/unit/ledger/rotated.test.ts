/** The key of a stack's secrets, and what is removed of configs and secrets that were rotated. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ROTATED_LABEL } from '../../../src/compose/rotate.js';
import { Engine, LEDGER_LABEL, STACK_LABEL, type StackObject } from '../../../src/docker/engine.js';
import {
  closeRevision,
  openRevision,
  sealRevision,
  trimHistory,
} from '../../../src/ledger/history.js';
import { readRotationKey, removeUnneeded, rotationKey } from '../../../src/ledger/rotated.js';
import { runFacts } from '../../../src/ledger/run.js';
import type { ServiceSpec } from '../../../src/model.js';
import { FakeSwarm } from '../../support/fake-swarm.js';

const STACK = 'shop';
const FRESH = Buffer.alloc(16, 1);
const OTHER = Buffer.alloc(16, 2);

let swarm: FakeSwarm;
let engine: Engine;

beforeEach(() => {
  swarm = new FakeSwarm();
  engine = new Engine(async () => swarm.dial());
});
afterEach(() => engine.close());

describe('the key of a stack’s secrets', () => {
  it('is made once, labelled as the stack’s and as the action’s own', async () => {
    expect(await readRotationKey(engine, STACK)).toBeUndefined();
    expect(await rotationKey(engine, STACK, FRESH)).toEqual(FRESH);
    expect(await rotationKey(engine, STACK, OTHER)).toEqual(FRESH);
    expect(await readRotationKey(engine, STACK)).toEqual(FRESH);
    expect(swarm.objects).toMatchObject([
      {
        kind: 'config',
        name: 'shop.rotation-key',
        labels: { [STACK_LABEL]: STACK, [LEDGER_LABEL]: 'rotation-key' },
      },
    ]);
    expect(await engine.stackObjects(STACK)).toEqual([]);
  });

  it('is another one for another stack', async () => {
    await rotationKey(engine, STACK, FRESH);
    expect(await rotationKey(engine, 'other', OTHER)).toEqual(OTHER);
  });

  it('is the one that the swarm has taken, of several made at once', async () => {
    const engines = Array.from({ length: 4 }, () => new Engine(async () => swarm.dial()));
    const keys = await Promise.all(
      engines.map((each, index) => rotationKey(each, STACK, Buffer.alloc(16, index))),
    );
    engines.forEach((each) => each.close());
    expect(new Set(keys.map((key) => key.toString('hex'))).size).toBe(1);
    expect(keys[0]).toEqual(await readRotationKey(engine, STACK));
    expect(swarm.objects).toHaveLength(1);
  });

  it.each([
    ['not ours', { [STACK_LABEL]: STACK }, FRESH],
    ['another stack’s', { [STACK_LABEL]: 'other', [LEDGER_LABEL]: 'rotation-key' }, FRESH],
    ['too short', { [STACK_LABEL]: STACK, [LEDGER_LABEL]: 'rotation-key' }, Buffer.from('x')],
  ])('is none that is %s', async (_, labels, data) => {
    await engine.createConfig({ name: 'shop.rotation-key', labels, data });
    await expect(rotationKey(engine, STACK, FRESH)).rejects.toMatchObject({
      reason: 'internal',
      message: 'something else has the name of config shop.rotation-key',
    });
  });
});

describe('what nothing needs any more', () => {
  const object = (kind: 'config' | 'secret', name: string, labels: object = {}): StackObject => {
    swarm.addObject(kind, STACK, name);
    const made = swarm.objects.at(-1);
    if (made === undefined) throw new Error('nothing was added');
    made.labels = { [STACK_LABEL]: STACK, [ROTATED_LABEL]: 'key', ...labels };
    return { kind, id: made.id, name, labels: made.labels };
  };
  const spec = (service: string, ...objects: readonly StackObject[]): ServiceSpec => {
    const of = (kind: 'config' | 'secret', prefix: string): readonly Record<string, string>[] =>
      objects
        .filter((each) => each.kind === kind)
        .map(({ id, name }) => ({ [`${prefix}ID`]: id, [`${prefix}Name`]: name }));
    return {
      Name: `shop_${service}`,
      Labels: { [STACK_LABEL]: STACK },
      TaskTemplate: {
        ContainerSpec: {
          Image: 'x',
          Configs: of('config', 'Config'),
          Secrets: of('secret', 'Secret'),
        },
      },
    };
  };
  const remove = async (
    candidates: readonly StackObject[],
    names: readonly string[] = [],
  ): Promise<readonly string[]> =>
    (await removeUnneeded(engine, STACK, candidates, new Set(names))).map(({ name }) => name);
  const left = (): readonly string[] => swarm.objects.map(({ name }) => name);

  it('goes, and is all that goes', async () => {
    const [live, former, old, secret] = [
      object('config', 'live'),
      object('secret', 'former'),
      object('config', 'old'),
      object('secret', 'old-secret'),
    ];
    swarm.write('shop_api', spec('api', former));
    swarm.write('shop_api', spec('api', live));
    expect(await remove([live, former, old, secret])).toEqual(['old', 'old-secret']);
    expect(left()).toEqual(['live', 'former']);
  });

  it('is never what this action did not make', async () => {
    swarm.addObject('config', STACK, 'theirs');
    const { id } = swarm.objects[0] ?? { id: '' };
    const network: StackObject = { kind: 'network', id: 'net', name: 'net' };
    const theirs: StackObject = { kind: 'config', id, name: 'theirs', labels: {} };
    const asked = swarm.requests.length;
    expect(await remove([theirs, network, { ...theirs, labels: null }])).toEqual([]);
    expect(left()).toEqual(['theirs']);
    expect(swarm.requests).toHaveLength(asked);
  });

  it('is not what the files have, used or not', async () => {
    const [unused, old] = [object('config', 'unused'), object('config', 'old')];
    expect(await remove([unused, old], ['unused'])).toEqual(['old']);
  });

  it('is not what a kept revision would bring back, with what was beside it', async () => {
    const [recorded, beside, never] = [
      object('config', 'recorded'),
      object('secret', 'beside'),
      object('config', 'never-sealed'),
    ];
    const open = await openRevision(engine, STACK, {
      id: 'id1',
      mode: 'deploy',
      startedAt: '2026-01-01T00:00:00.000Z',
      locked: true,
      run: runFacts({}),
      content: { files: [{ name: 'a', text: 'never-sealed' }], attachments: [] },
    });
    await sealRevision(engine, STACK, open, {
      services: [{ name: 'shop_api', spec: spec('api', recorded) }],
      networks: [],
      others: [{ name: 'shop_old', spec: spec('old', beside) }, { name: 'shop_older' }],
      pinned: '',
    });
    const end = { status: 'deployed', reason: '', durationMs: 1 } as const;
    await closeRevision(engine, STACK, open, end);
    expect(await remove([recorded, beside, never])).toEqual(['never-sealed']);

    // Swarm itself may still go back to it, even if no revision does.
    swarm.write('shop_api', spec('api', recorded));
    swarm.write('shop_api', spec('api'));
    await trimHistory(engine, STACK, 0);
    expect(left()).toEqual(['recorded', 'beside']);
    expect(await remove([recorded, beside])).toEqual(['beside']);
  });

  it('stays where the swarm says that something uses it', async () => {
    const [used, old] = [object('config', 'used'), object('config', 'old')];
    swarm.onRequest = (line) =>
      line === `DELETE /configs/${used.id}`
        ? { status: 400, body: '{"message":"config used is in use by: web"}' }
        : undefined;
    expect(await remove([used, old])).toEqual(['old']);
    expect(left()).toEqual(['used']);
  });

  it('costs nothing where all of it is what the files have', async () => {
    const live = object('config', 'live');
    const asked = swarm.requests.length;
    expect(await remove([live], ['live'])).toEqual([]);
    expect(swarm.requests).toHaveLength(asked);
  });
});
