import { expect, it } from '@jest/globals';
import { EngineError, type Engine } from '../../../src/docker/engine.js';
import { ConnectionLost } from '../../../src/errors.js';
import type { Service, ServiceSpec } from '../../../src/model.js';
import type { Target } from '../../../src/rollout/goal.js';
import { nudge } from '../../../src/rollout/restore.js';
import { service, spec } from '../../support/snapshots.js';

const target = { id: 's1', name: 'shop_api', change: 'updated', spec: spec('api:2') } as Target;
const marked: ServiceSpec = { ...target.spec, Labels: { 'swarm-deploy.nudge': 'x' } };

/** An engine with one service; `fault` is asked before each write, by its number from 1. */
function engineOf(live: Service | undefined, fault: (write: number) => Error | undefined) {
  const written: ServiceSpec[] = [];
  let writes = 0;
  const engine = {
    service: async () => Promise.resolve(live),
    updateService: async (_: string, version: number, next: ServiceSpec) => {
      const error = fault((writes += 1));
      if (error !== undefined) throw error;
      expect(version).toBe(live?.Version.Index);
      written.push(next);
      live = { ...live!, Version: { Index: version + 1 }, Spec: next };
      return Promise.resolve();
    },
  };
  return { engine: engine as unknown as Engine, written, live: () => live };
}
const none = (): undefined => undefined;

it('gives the service a label and takes it away again', async () => {
  const { engine, written, live } = engineOf(service(target.spec), none);
  await nudge(engine, target);
  expect(written).toEqual([marked, target.spec]);
  expect(live()?.Spec).toEqual(target.spec);
});

it('keeps labels that are there', async () => {
  const own = { ...target.spec, Labels: { team: 'shop' } };
  const { engine, written } = engineOf(service(own), none);
  await nudge(engine, { ...target, spec: own });
  expect(written).toEqual([{ ...own, Labels: { team: 'shop', 'swarm-deploy.nudge': 'x' } }, own]);
});

it('writes again where Swarm wrote the status of its update meanwhile', async () => {
  const conflict = new EngineError(500, 'update out of sequence', 'POST /services/s1/update');
  const { engine, written } = engineOf(service(target.spec), (write) =>
    write === 1 || write === 3 ? conflict : undefined,
  );
  await nudge(engine, target);
  expect(written).toEqual([marked, target.spec]);
});

it('takes the label away when it is called again after a lost connection', async () => {
  const { engine, written, live } = engineOf(service(target.spec), (write) =>
    write === 2 ? new ConnectionLost('gone') : undefined,
  );
  await expect(nudge(engine, target)).rejects.toThrow(ConnectionLost);
  await nudge(engine, target);
  expect(written).toEqual([marked, target.spec]);
  expect(live()?.Spec).toEqual(target.spec);
});

it.each([
  ['was removed', undefined],
  ['is somebody else’s', service(spec('theirs:1'))],
])('leaves a service alone that %s', async (_, live) => {
  const { engine, written } = engineOf(live, none);
  await nudge(engine, target);
  expect(written).toEqual([]);
});
