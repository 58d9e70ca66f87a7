import { expect, it } from '@jest/globals';
import { imagesFor, type Images } from '../../../src/rollout/needed-images.js';
import { service, spec } from '../../support/snapshots.js';

const recorded = (name: string, image = 'r/api:1') => ({
  name,
  spec: { ...spec(image), Name: name },
});
const asked: string[] = [];

function images(
  registry: boolean | undefined,
  here: boolean,
  nodes: number,
  services = [recorded('shop_api')],
): Promise<Images> {
  asked.length = 0;
  const engine = {
    hasImage: async () => here,
    registryHas: async (image: string, auth?: string) => {
      asked.push(`${image} ${auth ?? ''}`);
      return registry;
    },
  };
  const live = [service({ ...spec('r/web:1'), Name: 'shop_web' })];
  return imagesFor(engine, services, live, nodes, () => 'auth');
}
const API = 'image r/api:1@sha256:1 of shop_api';

it.each([
  ['the registry has it', true, false, 1, [], []],
  ['the registry does not answer', undefined, false, 1, [], []],
  ['the only node has it', false, true, 1, [], []],
  ['nobody has it', false, false, 1, [API], []],
  ['one of several nodes may have it', false, false, 2, [], [API]],
  ['one of several nodes has it', false, true, 2, [], [API]],
])('%s', async (_, registry, here, nodes, missing, doubtful) => {
  expect(await images(registry, here, nodes)).toEqual({ missing, doubtful });
  expect(asked).toEqual(['r/api:1@sha256:1 auth']);
});

it('asks for each image once, and for none that runs already', async () => {
  const services = [
    ...['shop_a', 'shop_b'].map((name) => recorded(name)),
    recorded('shop_web', 'r/web:1'),
  ];
  expect((await images(false, false, 1, services)).missing).toEqual([
    'image r/api:1@sha256:1 of shop_a, shop_b',
  ]);
  expect(asked).toHaveLength(1);
});
