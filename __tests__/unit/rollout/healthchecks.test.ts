import { describe, expect, it } from '@jest/globals';
import type { Engine } from '../../../src/docker/engine.js';
import type { Json, JsonObject, ServiceSpec, Snapshot, Task } from '../../../src/model.js';
import { ImageHealthchecks, soonestUnhealthyMs } from '../../../src/rollout/healthchecks.js';
import { SERVICE, service, snapshot, spec, target, task } from '../../support/snapshots.js';

const S = 1e9;
const TEST = ['CMD', 'check'];
const withOwn = (Healthcheck: JsonObject, Condition = 'none'): ServiceSpec =>
  spec(
    'api:2',
    {},
    { ContainerSpec: { Image: 'api:2', Healthcheck }, RestartPolicy: { Condition } },
  );
const ONCE = spec('api:2', {}, { RestartPolicy: { Condition: 'none' } });
const QUICK = { Test: TEST, Interval: 2 * S, Retries: 3 };

describe('how soon a healthcheck can fail a container', () => {
  it.each<[string, JsonObject, Json, number | undefined]>([
    ['there is none', {}, null, undefined],
    ['the image has none', {}, { Test: ['NONE'] }, undefined],
    ['the file has turned it off', { Test: ['NONE'] }, QUICK, undefined],
    ['by default: three times 30 s', {}, { Test: TEST }, 90_000],
    ["the image's own", {}, QUICK, 6000],
    ['the file has another test', { Test: TEST, Retries: 1 }, QUICK, 2000],
    ['the file has another interval', { Test: [], Interval: 10 * S }, QUICK, 30_000],
    ['zeros are the defaults', { Interval: 0, Retries: 0 }, { Test: TEST, Retries: 0 }, 90_000],
    // The check may pass in the start period, and fail from then on.
    ['a long start period does not help', {}, { ...QUICK, StartPeriod: 60 * S }, 6000],
    [
      'the start interval may be shorter',
      {},
      { ...QUICK, StartPeriod: S, StartInterval: S / 2 },
      4500,
    ],
    ['which is 5 s by default', {}, { Test: TEST, StartPeriod: S }, 65_000],
  ])('%s', (_, own, image, ms) => {
    expect(soonestUnhealthyMs(withOwn(own), image)).toBe(ms);
  });
});

/** An engine that has images with these healthchecks. */
function engineWith(image: Json | undefined): Engine & { readonly asked: string[] } {
  const asked: string[] = [];
  const imageHealthcheck = (name: string): Promise<Json | undefined> => {
    asked.push(name);
    return Promise.resolve(image);
  };
  return { asked, imageHealthcheck } as unknown as Engine & { readonly asked: string[] };
}

/** A task that ended well after so many seconds, by the swarm's clock. */
const complete = (seconds: number, id = 'a'): Task =>
  task(id, 'complete', {
    CreatedAt: '2026-01-01T00:00:00Z',
    UpdatedAt: new Date(Date.UTC(2026, 0, 1, 0, 0, seconds)).toISOString(),
  });

const look = (at: number, tasks: readonly Task[], is = ONCE): Snapshot =>
  snapshot(at, tasks, { services: [service(is)] });

async function suspects(image: Json | undefined, looks: readonly Snapshot[]): Promise<string[]> {
  const healthchecks = new ImageHealthchecks();
  let found: ReadonlySet<string> = new Set();
  for (const each of looks) {
    const targets = [target({ spec: each.services[0]!.Spec })];
    found = await healthchecks.of(engineWith(image), targets, each, each.at + 100);
  }
  return [...found];
}

describe('a one-shot task that ended well', () => {
  it('did its work where it ended before its healthcheck can have failed it', async () => {
    expect(await suspects({ Test: TEST }, [look(0, [complete(3)])])).toEqual([]);
    expect(await suspects({ Test: TEST }, [look(0, [complete(89)])])).toEqual([]);
    expect(await suspects({ Test: TEST }, [look(0, [complete(90)])])).toEqual([SERVICE]);
  });

  it('did its work where nothing checks its health', async () => {
    expect(await suspects(null, [look(0, [complete(900)])])).toEqual([]);
    expect(await suspects(undefined, [look(0, [complete(900)])])).toEqual([]);
    const off = withOwn({ Test: ['NONE'] });
    expect(await suspects(QUICK, [look(0, [complete(900)], off)])).toEqual([]);
  });

  it('is not counted the time that it waited for its image', async () => {
    const slow = [
      look(0, [task('a', 'assigned')]),
      look(100_000, [task('a', 'preparing')]),
      look(103_000, [complete(103)]),
    ];
    expect(await suspects({ Test: TEST }, slow)).toEqual([]);
    expect(await suspects({ Test: TEST }, slow.slice(2))).toEqual([SERVICE]);
    // A node may be late to say that it has started the container.
    expect(await suspects({ Test: TEST, Retries: 1, Interval: 18 * S }, slow)).toEqual([SERVICE]);
  });

  it('has run no longer for being looked at again', async () => {
    const slow = [
      look(100_000, [task('a', 'preparing')]),
      look(103_000, [complete(103)]),
      look(900_000, [complete(103)]),
    ];
    expect(await suspects({ Test: TEST }, slow)).toEqual([]);
  });

  it('may have been killed where nobody knows how long it ran', async () => {
    expect(await suspects({ Test: TEST }, [look(0, [task('a', 'complete')])])).toEqual([SERVICE]);
  });

  it('is not judged by tasks of another version', async () => {
    const before = snapshot(0, [complete(900)], { services: [service(ONCE)], old: ['a'] });
    expect(await suspects({ Test: TEST }, [before])).toEqual([]);
  });
});

describe('the manager is asked for an image', () => {
  it('only of what may end by itself, once it has', async () => {
    const engine = engineWith({ Test: TEST });
    const healthchecks = new ImageHealthchecks();
    const of = (one: Snapshot): Promise<ReadonlySet<string>> =>
      healthchecks.of(engine, [target({ spec: one.services[0]!.Spec })], one, one.at);
    await of(look(0, [complete(900)], spec()));
    await of(look(0, [complete(900)], withOwn(QUICK)));
    await of(look(0, [task('a', 'running')]));
    expect(engine.asked).toEqual([]);
    const first = await of(look(1, [complete(900)]));
    const second = await of(look(2, [complete(900), complete(900, 'b')]));
    expect(engine.asked).toHaveLength(1);
    // The same object: nothing has changed for `observe`.
    expect(second).toBe(first);
  });
});
