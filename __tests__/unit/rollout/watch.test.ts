import { describe, expect, it } from '@jest/globals';
import type { Snapshot, Task } from '../../../src/model.js';
import { observe, type Rollout } from '../../../src/rollout/observe.js';
import type { Wanted } from '../../../src/rollout/reader.js';
import { wantedOf, watch } from '../../../src/rollout/watch.js';
import { begin, service, snapshot, target, task } from '../../support/snapshots.js';

const RUNNING = [task('a', 'running'), task('b', 'running', { Slot: 2 })];
const STARTING = [task('a', 'running'), task('b', 'starting', { Slot: 2 })];

describe('what the next look has to read', () => {
  const after = (tasks: readonly Task[], more: Parameters<typeof begin>[0] = {}): Rollout =>
    observe(begin(more), snapshot(0, tasks));

  it('is everything at first', () => {
    expect(wantedOf(begin(), 0)).toBe('services');
  });

  it('is the services that are not complete', () => {
    expect(wantedOf(after(STARTING), 100)).toEqual(new Set(['service-1']));
    expect(wantedOf(after(RUNNING), 100)).toEqual(new Set());
  });

  it('is everything once the verdict depends on it', () => {
    expect(wantedOf(after(RUNNING), 4999)).toEqual(new Set());
    expect(wantedOf(after(RUNNING), 5000)).toBe('services');
  });

  it('is the whole stack while removed services linger', () => {
    const gone = [{ id: 'x', name: 'shop_x' }];
    const services = [service(), { ...service(), ID: 'x' }];
    const rollout = observe(begin({ gone }), snapshot(0, RUNNING, { services }));
    expect(wantedOf(rollout, 100)).toBe('stack');
  });
});

describe('watching', () => {
  interface Watched {
    readonly wanted: readonly Wanted[];
    readonly pauses: readonly number[];
    readonly end: string;
  }
  async function watched(
    read: (at: number) => readonly Task[],
    { tookMs = 0, goal = {} }: { tookMs?: number; goal?: Parameters<typeof begin>[0] } = {},
  ): Promise<Watched> {
    let time = 0;
    const wanted: Wanted[] = [];
    const pauses: number[] = [];
    const { end } = await watch(begin({ targets: [target()], ...goal }), {
      clock: {
        now: () => time,
        sleep: (ms) => {
          pauses.push(ms);
          time += ms;
          return Promise.resolve();
        },
      },
      read: (rollout) => {
        const asked = wantedOf(rollout, time);
        wanted.push(asked);
        const partial: Partial<Snapshot> = typeof asked === 'string' ? {} : { partial: true };
        const looked = { ...snapshot(time, read(time)), ...partial };
        time += tookMs;
        return Promise.resolve(looked);
      },
      onSnapshot: () => undefined,
      signal: new AbortController().signal,
    });
    return { wanted, pauses, end: end.kind };
  }

  it('reads all tasks at the start and at the end of the stability window alone', async () => {
    const { wanted, end } = await watched(() => RUNNING);
    expect(end).toBe('converged');
    expect(wanted.map((each) => (typeof each === 'string' ? each : each.size))).toEqual([
      'services',
      ...Array.from({ length: wanted.length - 2 }, () => 0),
      'services',
    ]);
    expect(wanted.length).toBeGreaterThan(15);
  });

  it('looks at the very end of the window', async () => {
    const { pauses } = await watched(() => RUNNING, { goal: { stableForMs: 1100 } });
    expect(pauses.reduce((sum, ms) => sum + ms, 0)).toBe(1100);
  });

  it('never lets more than half a second pass, and slows down where nothing moves', async () => {
    const { pauses, end } = await watched(() => STARTING, { goal: { timeoutMs: 40_000 } });
    expect(end).toBe('failed');
    expect(Math.max(...pauses)).toBeLessThan(500);
    expect(pauses.at(-1)).toBeGreaterThan(pauses[0] ?? Infinity);
  });

  it('takes a fifth of the time at most for looking, up to a limit', async () => {
    const slow = await watched(() => STARTING, { tookMs: 300, goal: { timeoutMs: 20_000 } });
    expect(new Set(slow.pauses)).toEqual(new Set([1200]));
    const slower = await watched(() => STARTING, { tookMs: 5000, goal: { timeoutMs: 40_000 } });
    expect(new Set(slower.pauses)).toEqual(new Set([5000]));
  });

  it('ends when it is told to', async () => {
    const cancel = new AbortController();
    cancel.abort(new Error('cancelled'));
    await expect(
      watch(begin(), {
        clock: { now: () => 0, sleep: () => Promise.resolve() },
        read: () => Promise.reject(new Error('must not be asked')),
        onSnapshot: () => undefined,
        signal: cancel.signal,
      }),
    ).rejects.toThrow('cancelled');
  });
});
