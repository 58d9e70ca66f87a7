import { describe, expect, it } from '@jest/globals';
import type { Service } from '../../src/model.js';
import { changesOf, showsWrite } from '../../src/plan.js';
import { service, spec, status } from '../support/snapshots.js';

const names = ['shop_api'];
const before = (...services: readonly Service[]): { services: readonly Service[] } => ({
  services,
});
const changeOf = (former: Service | undefined, live: Service): string | undefined =>
  changesOf(before(...(former === undefined ? [] : [former])), [live], names).targets[0]?.change;

describe('changesOf', () => {
  it('compares specs, not versions', () => {
    const later = service(spec(), { Version: { Index: 99 }, PreviousSpec: spec() });
    expect(changeOf(undefined, service())).toBe('created');
    expect(changeOf(service(), later)).toBe('unchanged');
    expect(changeOf(service(spec('api:1')), later)).toBe('updated');
    expect(changeOf(service(spec('api:2', { Labels: { a: '1' } })), later)).toBe('updated');
  });
  it('takes a service of the same name and another id for a new one', () => {
    const changes = changesOf(before({ ...service(), ID: 'other' }), [service()], names);
    expect(changes.targets[0]?.change).toBe('created');
    expect(changes.created).toEqual([{ id: service().ID, name: 'shop_api' }]);
    expect(changes.updated).toEqual([]);
  });
  it('sees that a job has started again', () => {
    const job = (Index: number): Service =>
      service(spec(), { JobStatus: { JobIteration: { Index } } });
    expect(changeOf(job(1), job(2))).toBe('updated');
    expect(changeOf(job(2), job(2))).toBe('unchanged');
    expect(changeOf(service(), service(spec(), { JobStatus: { JobIteration: {} } }))).toBe(
      'unchanged',
    );
  });
  it('sees that Swarm has rolled back at once, and no rollback of long ago', () => {
    const old = status('rollback_completed');
    const fresh = status('rollback_started', { StartedAt: '2026-02-02T00:00:00Z' });
    const was = service(spec(), { UpdateStatus: old });
    expect(changeOf(was, service(spec(), { UpdateStatus: old }))).toBe('unchanged');
    expect(changeOf(was, service(spec(), { UpdateStatus: fresh }))).toBe('updated');
    expect(changeOf(service(), service(spec(), { UpdateStatus: fresh }))).toBe('updated');
    expect(changeOf(service(), service(spec(), { UpdateStatus: status('paused') }))).toBe(
      'unchanged',
    );
  });
  it('gives former services, in order, with the status that says nothing any more', () => {
    const stale = status('paused');
    const was = service(spec('api:1'), { UpdateStatus: stale });
    const web = { ...service({ ...spec(), Name: 'shop_web' }), ID: 's2' };
    const other = { ...service({ ...spec(), Name: 'shop_old' }), ID: 's3' };
    const changes = changesOf(
      before(was, web, other),
      [other, web, service()],
      ['shop_web', 'shop_api'],
    );
    expect(changes.targets.map(({ name, change }) => [name, change])).toEqual([
      ['shop_api', 'updated'],
      ['shop_web', 'unchanged'],
    ]);
    expect(changes.targets[0]).toMatchObject({ spec: spec(), staleStatus: stale });
    expect(changes.targets[1]).not.toHaveProperty('staleStatus');
    expect(changes.updated).toEqual([was]);
    expect(changes.orphans).toEqual([other]);
    expect(changes.any).toBe(true);
    expect(changes.lines).toEqual([
      'shop_api updated: api:1@sha256:1 -> api:2@sha256:1',
      'shop_web unchanged: api:2@sha256:1',
    ]);
  });
  it('is nothing where nothing changed, orphans or not', () => {
    const other = { ...service({ ...spec(), Name: 'shop_old' }), ID: 's3' };
    expect(changesOf(before(service(), other), [service(), other], names).any).toBe(false);
    expect(changesOf(before(), [], names)).toMatchObject({ targets: [], any: false, lines: [] });
  });
});

describe('a service that somebody else wrote meanwhile', () => {
  const [v1, v2, v3] = ['api:1', 'api:2', 'api:3'].map((image) => spec(image)) as [
    ReturnType<typeof spec>,
    ReturnType<typeof spec>,
    ReturnType<typeof spec>,
  ];
  const was = (PreviousSpec?: typeof v1): Service =>
    service(v1, PreviousSpec === undefined ? {} : { PreviousSpec });
  const is = (live: typeof v1, PreviousSpec?: typeof v1, more: Partial<Service> = {}): Service =>
    service(live, { ...(PreviousSpec === undefined ? {} : { PreviousSpec }), ...more });
  const foreign = (former: Service | undefined, live: Service, repeated = false): boolean =>
    changesOf(before(...(former === undefined ? [] : [former])), [live], names, repeated).foreign
      .length > 0;

  it.each([
    ['updated', was(), is(v2, v1)],
    ['updated again', was(v3), is(v2, v1)],
    ['unchanged, which is written all the same', was(v3), is(v1, v1)],
    ['created', undefined, is(v1)],
    ['not reached', was(v3), is(v1, v3)],
    ['not reached since it was created', was(), is(v1)],
    ['taken back by Swarm', was(), is(v1, undefined, { UpdateStatus: status('rollback_started') })],
  ])('is none: %s', (_, former, live) => {
    expect(foreign(former, live)).toBe(false);
  });

  it.each([
    ['after us', was(), is(v3, v2)],
    ['after us, to what was there before', was(), is(v1, v2)],
    ['before us', was(), is(v2, v3)],
    ['by a rollback of what was there before', was(v3), is(v3)],
    ['right after we created it', undefined, is(v3, v1)],
    ['the same as we, once more', was(), is(v2, v2)],
  ])('is one: %s', (_, former, live) => {
    expect(foreign(former, live)).toBe(true);
  });

  it('is none where we may have written twice', () => {
    expect(foreign(was(), is(v2, v2), true)).toBe(false);
    expect(foreign(undefined, is(v1, v1), true)).toBe(false);
    expect(foreign(was(), is(v3, v2), true)).toBe(true);
  });
});

describe('showsWrite', () => {
  const [one, two] = [spec('api:1'), spec('api:2')];
  it.each<[string, Service | undefined, Service, boolean]>([
    ['created', undefined, service(one), true],
    ['made anew under its name', { ...service(one), ID: 'other' }, service(one), true],
    ['changed', service(one), service(two, { PreviousSpec: one }), true],
    ['only a version that moved', service(one), service(one, { Version: { Index: 99 } }), false],
    [
      'a status that moved',
      service(one, { UpdateStatus: status('updating') }),
      service(one, { Version: { Index: 99 }, UpdateStatus: status('completed') }),
      false,
    ],
    ['the same written', service(one), service(one, { PreviousSpec: one }), true],
    [
      'the same written over another',
      service(one, { PreviousSpec: two }),
      service(one, { PreviousSpec: one }),
      true,
    ],
    [
      'the same written a second time, which does not show',
      service(one, { PreviousSpec: one }),
      service(one, { Version: { Index: 99 }, PreviousSpec: one }),
      false,
    ],
    [
      'a status that the write has cleared',
      service(one, { PreviousSpec: one, UpdateStatus: status('completed') }),
      service(one, { PreviousSpec: one }),
      true,
    ],
    [
      'a job that began again',
      service(one, { JobStatus: { JobIteration: { Index: 1 } } }),
      service(one, { JobStatus: { JobIteration: { Index: 2 } } }),
      true,
    ],
    [
      'taken back by Swarm since',
      service(one),
      service(one, { UpdateStatus: status('rollback_started') }),
      true,
    ],
  ])('%s', (_what, former, live, written) => {
    expect(showsWrite(former, live)).toBe(written);
  });
});
