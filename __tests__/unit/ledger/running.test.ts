import { describe, expect, it } from '@jest/globals';
import type { OtherService, SealedContent } from '../../../src/ledger/content.js';
import type { History } from '../../../src/ledger/history.js';
import type { Revision } from '../../../src/ledger/revision.js';
import { runFacts } from '../../../src/ledger/run.js';
import { running } from '../../../src/ledger/running.js';
import type { Service, ServiceSpec } from '../../../src/model.js';

const spec = (name: string, image: string, template: object = {}, replicas = 1): ServiceSpec => ({
  Name: `shop_${name}`,
  TaskTemplate: { ContainerSpec: { Image: image }, ForceUpdate: 0, ...template },
  Mode: { Replicated: { Replicas: replicas } },
});
const recorded = (name: string, image: string): { name: string; spec: ServiceSpec } => ({
  name: `shop_${name}`,
  spec: spec(name, image),
});
const live = (...specs: readonly ServiceSpec[]): readonly Service[] =>
  specs.map((Spec) => ({ ID: Spec.Name, Version: { Index: 1 }, Spec }));

interface Told {
  readonly status?: Revision['status'];
  readonly services?: SealedContent['services'];
  readonly others?: readonly OtherService[];
}

/** Told oldest first; one without services was never sealed. */
function history(...told: readonly Told[]): History {
  const revisions = told.map(({ status = 'deployed' }, index): Revision => ({
    number: index + 1,
    id: `id${index}`,
    status,
    reason: '',
    mode: 'deploy',
    commit: '',
    startedAt: '',
    locked: true,
    run: runFacts({}),
  }));
  return {
    stack: 'shop',
    revisions: revisions.reverse(),
    next: told.length + 1,
    contentOf: (number) => {
      const { services, others = [] } = told[number - 1] ?? {};
      const opening = { files: [], attachments: [] };
      if (services === undefined) return opening;
      return { ...opening, sealed: { services, others, networks: [], pinned: '' } };
    },
  };
}
const api1 = { services: [recorded('api', 'api:1')] };
const api2 = { services: [recorded('api', 'api:2')] };
const worker1 = { services: [recorded('worker', 'worker:1')] };

describe('what runs', () => {
  it('is the current revision, whatever it is scaled to and how often it was restarted', () => {
    expect(running(history(api1, api2), live(spec('api', 'api:2')))?.number).toBe(2);
    const restarted = spec('api', 'api:2', { ForceUpdate: 3 }, 5);
    expect(running(history(api1, api2), live(restarted))?.number).toBe(2);
    const failed = history(api1, { ...api2, status: 'failed' });
    expect(running(failed, live(spec('api', 'api:2')))?.number).toBe(2);
  });

  it('is nothing that is recorded where somebody changed it by hand', () => {
    expect(running(history(api1, api2), live(spec('api', 'api:3')))).toBeUndefined();
    const limited = spec('api', 'api:2', { Resources: { Limits: { MemoryBytes: 1 } } });
    expect(running(history(api1, api2), live(limited))).toBeUndefined();
    expect(running(history(api1, api2), live())).toBeUndefined();
    expect(running(history(), live(spec('api', 'api:1')))).toBeUndefined();
  });

  it('is a former one where it was put back by hand', () => {
    expect(running(history(api1, api2), live(spec('api', 'api:1')))?.number).toBe(1);
  });

  it('is the newest good one where a run died before it wrote, none where it had begun', () => {
    const two = { services: [...api1.services, ...worker1.services] };
    const told = history(two, { status: 'interrupted' });
    const [api, worker] = [spec('api', 'api:1'), spec('worker', 'worker:1')];
    expect(running(told, live(api, worker))?.number).toBe(1);
    expect(running(told, live(spec('api', 'api:2'), worker))).toBeUndefined();
    expect(running(told, live(api, worker, spec('new', 'new:1')))).toBeUndefined();
    expect(running(told, live(api))).toBeUndefined();
  });

  it('is judged by the services beside those of the files, too', () => {
    const told = history(api1, { ...worker1, others: api1.services });
    const [api, worker] = [spec('api', 'api:1'), spec('worker', 'worker:1')];
    expect(running(told, live(api, worker))?.number).toBe(2);
    expect(running(told, live(spec('api', 'api:2'), worker))).toBeUndefined();
    // One more, or one less, beside its own services is nobody's doing.
    expect(running(told, live(api, worker, spec('hand', 'hand:1')))?.number).toBe(2);
    expect(running(told, live(worker))?.number).toBe(2);
  });

  it('takes the names of an older record for what they are', () => {
    const told = history({ ...worker1, others: [{ name: 'shop_api' }] }, { status: 'interrupted' });
    const worker = spec('worker', 'worker:1');
    expect(running(told, live(spec('api', 'api:7'), worker))?.number).toBe(1);
    expect(running(told, live(spec('odd', 'odd:1'), worker))).toBeUndefined();
  });
});
