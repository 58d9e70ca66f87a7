import { afterEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { LEDGER_LABEL, STACK_LABEL, type SwarmConfig } from '../../../src/docker/engine.js';
import { ConnectionLost } from '../../../src/errors.js';
import {
  acquire,
  LeaseLost,
  releaseLeft,
  type Every,
  type Lease,
  type LockEngine,
} from '../../../src/ledger/lease.js';
import {
  holderOf,
  isDead,
  sighted,
  TTL_MS,
  type Sighting,
} from '../../../src/ledger/lease-state.js';
import type { Clock } from '../../../src/rollout/watch.js';
import { Session } from '../../../src/session.js';
import { FakeSwarm } from '../../support/fake-swarm.js';

const NAME = 'shop.lock';

/** Everything that can go on without the clock does. */
async function rest(): Promise<void> {
  for (let turn = 0; turn < 15; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** One clock for several runs: it moves when the test says so, and wakes them in order. */
class Time {
  #now = 5000;
  #sleepers: { at: number; wake: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  wakeAt(at: number, wake: () => void): () => void {
    const sleeper = { at, wake };
    this.#sleepers.push(sleeper);
    return () => {
      this.#sleepers = this.#sleepers.filter((each) => each !== sleeper);
    };
  }

  get sleeping(): number {
    return this.#sleepers.length;
  }

  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    await rest();
    for (;;) {
      const at = Math.min(...this.#sleepers.map((each) => each.at));
      if (at > end) break;
      this.#now = Math.max(this.#now, at);
      const due = this.#sleepers.filter((each) => each.at === at);
      this.#sleepers = this.#sleepers.filter((each) => each.at !== at);
      for (const { wake } of due) wake();
      await rest();
    }
    this.#now = end;
  }
}

type Request = 'look' | 'create' | 'relabel' | 'remove';

/** The configs of a swarm, and whoever wrote to the stack with what lock there was. */
class Swarm {
  readonly time = new Time();
  readonly requests: string[] = [];
  lock: SwarmConfig | undefined;
  #index = 0;

  write(labels: SwarmConfig['labels'], before = this.lock): SwarmConfig {
    this.#index += 1;
    const made = { id: `id${this.#index}`, name: NAME, data: Buffer.from('x') };
    return (this.lock = { ...(before ?? made), version: this.#index, labels });
  }

  get holder(): string | undefined {
    return this.lock && holderOf(this.lock).id;
  }

  /** Gives the lock to another run, as if it had taken it over. */
  steal(id: string): void {
    this.write({
      ...this.lock!.labels,
      'swarm-deploy.holder': id,
      'swarm-deploy.run-url': `url/${id}`,
    });
  }
}

/** A run on a machine of its own: its connection can be lost, and its process stopped for a while. */
class Run implements LockEngine {
  readonly said: string[] = [];
  readonly cancel = new AbortController();
  lose: (request: Request) => 'before' | 'after' | undefined = () => undefined;
  connected = true;
  reconnects = true;
  ticking = 0;
  mostAtOnce = 0;
  /** What its requests wait for, while it goes on itself. */
  stuck: Promise<void> | undefined;
  #atOnce = 0;
  #resumed: { readonly promise: Promise<void>; readonly resume: () => void } | undefined;

  constructor(
    readonly swarm: Swarm,
    readonly id: string,
  ) {}

  pause(): void {
    let resume = (): void => undefined;
    const promise = new Promise<void>((resolve) => (resume = resolve));
    this.#resumed ??= { promise, resume };
  }

  resume(): void {
    this.#resumed?.resume();
    this.#resumed = undefined;
  }

  /** Lets so much time go by without a beat that somebody else may have the lock. */
  async stale(): Promise<void> {
    this.pause();
    await this.swarm.time.pass(31_000);
    this.resume();
  }

  async awake(): Promise<void> {
    while (this.#resumed !== undefined) await this.#resumed.promise;
  }

  async #request<T>(request: Request, answer: () => T): Promise<T> {
    await this.awake();
    this.#atOnce += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#atOnce);
    try {
      await this.stuck;
      if (!this.connected) throw new ConnectionLost('the connection is closed');
      const loss = this.lose(request);
      if (loss !== undefined) this.connected = false;
      if (loss === 'before') throw new ConnectionLost('lost before it arrived');
      await new Promise((resolve) => setImmediate(resolve));
      this.swarm.requests.push(`${this.id} ${request}`);
      const result = answer();
      if (loss === 'after') throw new ConnectionLost('lost before the answer');
      return result;
    } finally {
      this.#atOnce -= 1;
      await this.awake();
    }
  }

  config(name: string): Promise<SwarmConfig | undefined> {
    expect(name).toBe(NAME);
    return this.#request('look', () => this.swarm.lock);
  }

  createConfig({ name, labels, data }: Omit<SwarmConfig, 'id' | 'version'>) {
    expect([name, data.length > 0]).toEqual([NAME, true]);
    return this.#request('create', () =>
      this.swarm.lock === undefined ? this.swarm.write(labels).id : undefined,
    );
  }

  relabelConfig({ id, version }: SwarmConfig, labels: SwarmConfig['labels']): Promise<boolean> {
    return this.#request('relabel', () => {
      if (this.swarm.lock?.id !== id || this.swarm.lock.version !== version) return false;
      this.swarm.write(labels);
      return true;
    });
  }

  removeConfig(id: string): Promise<void> {
    return this.#request('remove', () => {
      if (this.swarm.lock?.id === id) this.swarm.lock = undefined;
    });
  }

  readonly clock: Clock = {
    now: () => this.swarm.time.now(),
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      const { time } = this.swarm;
      await new Promise<void>((resolve) => {
        const cancel = (): void => {
          forget();
          resolve();
        };
        const forget = time.wakeAt(time.now() + ms, () => {
          signal?.removeEventListener('abort', cancel);
          resolve();
        });
        signal?.addEventListener('abort', cancel, { once: true });
      });
      await this.awake();
      signal?.throwIfAborted();
    },
  };

  readonly every: Every = (ms, call) => {
    const { time } = this.swarm;
    this.ticking += 1;
    let forget = (): void => undefined;
    const next = (): void => {
      forget = time.wakeAt(time.now() + ms, () => {
        next();
        if (this.#resumed === undefined) call();
      });
    };
    next();
    return {
      stop: () => {
        forget();
        forget = () => undefined;
        this.ticking = 0;
      },
    };
  };

  settle = async <T>(action: (engine: LockEngine) => Promise<T>): Promise<T> => {
    for (;;) {
      this.cancel.signal.throwIfAborted();
      try {
        return await action(this);
      } catch (error) {
        if (!(error instanceof ConnectionLost) || !this.reconnects) throw error;
        await this.clock.sleep(1000, this.cancel.signal);
        this.connected = true;
      }
    }
  };

  acquire(timeoutMs = 900_000, timer: 'fake' | 'real' = 'fake'): Promise<Lease> {
    const lease = acquire({
      stack: 'shop',
      holder: this.id,
      runUrl: `url/${this.id}`,
      actor: 'alice',
      timeoutMs,
      settle: this.settle,
      engine: () => this,
      clock: this.clock,
      signal: this.cancel.signal,
      say: (line) => this.said.push(line),
      ...(timer === 'fake' && { every: this.every }),
    });
    // Whoever awaits it is told as well.
    lease.catch(() => undefined);
    return lease;
  }
}

/** Loses the connection once, at that request. */
function once(request: Request, when: 'before' | 'after'): Run['lose'] {
  let lost = false;
  return (each) => {
    if (lost || each !== request) return undefined;
    lost = true;
    return when;
  };
}

const outcomeOf = async (promise: Promise<unknown>): Promise<unknown> => {
  let outcome: unknown = 'pending';
  promise.then(
    () => (outcome = 'done'),
    (error: unknown) => (outcome = error),
  );
  await rest();
  return outcome;
};

let swarm = new Swarm();
const runs = (...ids: string[]): Run[] => ids.map((id) => new Run(swarm, id));

afterEach(() => {
  swarm = new Swarm();
});

describe('acquire', () => {
  it('makes a lock that says whose it is', async () => {
    const [a] = runs('a') as [Run];
    const lease = await a.acquire();
    expect(swarm.lock?.labels).toMatchObject({
      [STACK_LABEL]: 'shop',
      [LEDGER_LABEL]: 'lock',
      'swarm-deploy.holder': 'a',
      'swarm-deploy.run-url': 'url/a',
      'swarm-deploy.actor': 'alice',
    });
    expect(Date.parse(swarm.lock?.labels['swarm-deploy.since'] ?? '')).not.toBeNaN();
    expect(swarm.requests).toEqual(['a create']);
    expect(lease.tookOver).toBeUndefined();
    expect(a.said).toEqual([]);
  });

  it('lets one of two win that come at once; the other follows when it is released', async () => {
    const [a, b] = runs('a', 'b') as [Run, Run];
    const [first, second] = [a.acquire(), b.acquire()];
    const lease = await Promise.race([first, second]);
    await rest();
    expect(swarm.requests.filter((each) => each.endsWith('create'))).toHaveLength(2);
    const [winner, loser, waiting] = swarm.holder === 'a' ? [a, b, second] : [b, a, first];
    expect(await outcomeOf(waiting)).toBe('pending');
    await swarm.time.pass(10_000);
    expect(swarm.holder).toBe(winner.id);
    expect(await lease.release()).toBe(true);
    await swarm.time.pass(1000);
    expect((await waiting).tookOver).toBeUndefined();
    expect(swarm.holder).toBe(loser.id);
  });

  it('says who has it, again every 30 s, and when it is another', async () => {
    const [a, b] = runs('a', 'b') as [Run, Run];
    const lease = await a.acquire();
    const waiting = b.acquire();
    await swarm.time.pass(29_500);
    expect(b.said).toHaveLength(1);
    expect(b.said[0]).toMatch(
      /^shop is locked since \d{4}-.*Z by url\/a \(started by alice\); waiting for at most 15 min$/,
    );
    await swarm.time.pass(1000);
    expect(b.said).toHaveLength(2);
    swarm.steal('c');
    await swarm.time.pass(1000);
    expect(b.said).toHaveLength(3);
    expect(b.said[2]).toContain('url/c');
    b.cancel.abort(new Error('cancelled'));
    await expect(waiting).rejects.toThrow('cancelled');
    await lease.release();
    expect(swarm.time.sleeping).toBe(0);
  });

  it('asks once a second while it waits', async () => {
    const [a, b] = runs('a', 'b') as [Run, Run];
    await a.acquire();
    void b.acquire();
    await swarm.time.pass(100);
    const before = swarm.requests.filter((each) => each === 'b look').length;
    await swarm.time.pass(20_000);
    expect(swarm.requests.filter((each) => each === 'b look')).toHaveLength(before + 20);
    expect(swarm.requests.filter((each) => /^b (?!look)/.test(each))).toEqual(['b create']);
  });

  it('prints nothing that a label could make of the log', async () => {
    const [b] = runs('b') as [Run];
    swarm.write({
      [LEDGER_LABEL]: 'lock',
      'swarm-deploy.holder': 'x',
      'swarm-deploy.run-url': 'url\n::error::boo',
      'swarm-deploy.actor': 'eve\u001b[2J\r\n##[error]boo',
      'swarm-deploy.since': 'then\n::stop-commands::x',
    });
    const waiting = b.acquire(2000);
    await swarm.time.pass(3000);
    const error = (await outcomeOf(waiting)) as Error;
    for (const text of [...b.said, error.message]) expect(text).not.toMatch(/[\n\r\u001b]|##\[/);
    expect(b.said).toHaveLength(1);
  });

  it.each([0, 2500, 60_000])('gives up after a timeout of %i ms, not sooner', async (timeoutMs) => {
    const [a, b] = runs('a', 'b') as [Run, Run];
    await a.acquire();
    const waiting = b.acquire(timeoutMs);
    await rest();
    if (timeoutMs > 0) {
      await swarm.time.pass(timeoutMs - 1);
      expect(await outcomeOf(waiting)).toBe('pending');
      await swarm.time.pass(1);
    }
    expect(await outcomeOf(waiting)).toMatchObject({
      reason: 'locked',
      outcome: 'locked',
      hint: expect.stringContaining('url/a') as unknown,
    });
    expect(swarm.requests.filter((each) => /^b (relabel|remove)/.test(each))).toEqual([]);
    expect(swarm.holder).toBe('a');
  });

  it('leaves alone a config of somebody that has the name', async () => {
    const [a] = runs('a') as [Run];
    const theirs = swarm.write({ mine: 'yes' });
    await expect(a.acquire()).rejects.toMatchObject({ reason: 'locked', outcome: 'locked' });
    expect(swarm.lock).toEqual(theirs);
  });
});

describe('a lost connection in acquire', () => {
  it.each(['before', 'after'] as const)('%s the lock was made', async (when) => {
    const [a] = runs('a') as [Run];
    a.lose = once('create', when);
    const acquiring = a.acquire();
    await swarm.time.pass(2000);
    const lease = await acquiring;
    expect(swarm.holder).toBe('a');
    expect(lease.tookOver).toBeUndefined();
    const found = when === 'after' ? ['a create', 'a look', 'a relabel'] : [];
    expect(swarm.requests).toEqual(['a create', ...found]);
    await lease.release();
    expect(swarm.lock).toBeUndefined();
  });

  it.each(['before', 'after'] as const)('%s a dead holder was overtaken', async (when) => {
    const [b] = runs('b') as [Run];
    swarm.write({
      [LEDGER_LABEL]: 'lock',
      'swarm-deploy.holder': 'a',
      'swarm-deploy.run-url': 'url/a',
    });
    b.lose = once('relabel', when);
    const acquiring = b.acquire();
    await swarm.time.pass(60_000);
    expect((await acquiring).tookOver?.runUrl).toBe('url/a');
    expect(b.said.filter((line) => line.includes('took over'))).toHaveLength(1);
    expect(swarm.holder).toBe('b');
  });

  it('that is for good leaves nobody locked out for long', async () => {
    const [a, b] = runs('a', 'b') as [Run, Run];
    a.lose = once('create', 'after');
    a.reconnects = false;
    await expect(a.acquire()).rejects.toBeInstanceOf(ConnectionLost);
    expect(swarm.holder).toBe('a');
    const acquiring = b.acquire();
    await swarm.time.pass(TTL_MS + 2000);
    expect((await acquiring).tookOver?.id).toBe('a');
  });
});

describe('a holder that died', () => {
  it('is overtaken once, by one of three; the others wait for that one', async () => {
    const all = runs('a', 'b', 'c', 'd') as [Run, Run, Run, Run];
    const [a, ...waiters] = all;
    await a.acquire();
    const leases: Lease[] = [];
    for (const waiter of waiters) void waiter.acquire().then((lease) => leases.push(lease));
    await swarm.time.pass(20_000);
    a.pause(); // and never again
    await swarm.time.pass(TTL_MS - 11_000);
    expect(leases).toHaveLength(0);
    await swarm.time.pass(13_000);
    expect(leases).toHaveLength(1);
    expect(leases[0]?.tookOver?.runUrl).toBe('url/a');
    const relabels = swarm.requests.filter((each) => /^[bcd] relabel/.test(each));
    expect(new Set(relabels).size).toBeGreaterThan(1); // They did race.
    await swarm.time.pass(200_000);
    expect(leases).toHaveLength(1);
    await leases[0]?.release();
    await swarm.time.pass(1000);
    expect(leases).toHaveLength(2);
    expect(leases[1]?.tookOver).toBeUndefined();
    const said = waiters.flatMap((waiter) => waiter.said);
    expect(
      said.filter((line) => line.startsWith('took over the lock of shop from url/a')),
    ).toHaveLength(1);
  });

  it('is not one while only the waiter heard nothing: the silence of the swarm counts little', () => {
    const lock = swarm.write({});
    let seen: Sighting = sighted(lock, undefined, 0);
    for (let at = 0; at <= 9000; at += 1000) seen = sighted(lock, seen, at);
    seen = sighted(lock, seen, 200_000);
    expect(isDead(seen)).toBe(false);
    for (let at = 201_000; at < 231_000; at += 1000) seen = sighted(lock, seen, at);
    expect(isDead(seen)).toBe(false);
    seen = sighted(lock, seen, 231_000);
    expect(isDead(seen)).toBe(true);
    expect(isDead(sighted({ ...lock, version: 99 }, seen, 232_000))).toBe(false);
    expect(isDead(sighted({ ...lock, id: 'other' }, seen, 232_000))).toBe(false);
  });

  it('that was only paused is told before it writes, and leaves the lock to the other', async () => {
    const [a, b] = runs('a', 'b') as [Run, Run];
    const lease = await a.acquire();
    const acquiring = b.acquire();
    await swarm.time.pass(15_000);
    a.pause();
    await swarm.time.pass(60_000);
    const other = await acquiring;
    const { length } = swarm.requests;
    const asked = a.awake().then(() => lease.assertHeld());
    asked.catch(() => undefined);
    a.resume();
    await expect(asked).rejects.toBeInstanceOf(LeaseLost);
    await expect(asked).rejects.toMatchObject({
      reason: 'superseded',
      outcome: 'superseded',
      message: expect.stringContaining('url/b') as unknown,
    });
    expect(lease.signal.reason).toBeInstanceOf(LeaseLost);
    await swarm.time.pass(30_000);
    expect(await lease.release()).toBe(true);
    expect(swarm.requests.slice(length).filter((each) => /^a (?!look)/.test(each))).toEqual([]);
    expect(a.ticking).toBe(0);
    expect(swarm.holder).toBe('b');
    await expect(other.assertHeld()).resolves.toBeUndefined();
  });

  it('that was only paused is stopped in what it does, though it asks nothing', async () => {
    const [a, b] = runs('a', 'b') as [Run, Run];
    const lease = await a.acquire();
    const acquiring = b.acquire();
    a.pause();
    await swarm.time.pass(60_000);
    await acquiring;
    expect(lease.signal.aborted).toBe(false);
    a.resume();
    await swarm.time.pass(1000);
    expect(lease.signal.aborted).toBe(true);
    expect(a.ticking).toBe(0);
    await expect(lease.assertHeld()).rejects.toBe(lease.signal.reason);
  });
});

describe('a lease', () => {
  it('is kept for as long as it takes, with a beat every ten seconds', async () => {
    const [a, b] = runs('a', 'b') as [Run, Run];
    const lease = await a.acquire();
    void b.acquire();
    await swarm.time.pass(600_000);
    expect(swarm.holder).toBe('a');
    const beats = swarm.requests.filter((each) => each === 'a relabel').length;
    expect(beats).toBeGreaterThan(50);
    expect(beats).toBeLessThanOrEqual(60);
    expect(lease.signal.aborted).toBe(false);
    await lease.release();
  });

  it('asks nobody before a write while its beat is fresh, and else beats first', async () => {
    const [a] = runs('a') as [Run];
    const lease = await a.acquire();
    await swarm.time.pass(5000);
    let { length } = swarm.requests;
    await lease.assertHeld();
    expect(swarm.requests).toHaveLength(length);
    a.pause();
    await swarm.time.pass(29_000);
    a.resume();
    ({ length } = swarm.requests);
    await lease.assertHeld();
    expect(swarm.requests.slice(length)).toEqual(['a look', 'a relabel']);
  });

  it('never beats twice at once', async () => {
    const [a] = runs('a') as [Run];
    const lease = await a.acquire();
    a.pause();
    await swarm.time.pass(40_000);
    a.resume();
    const { length } = swarm.requests;
    // The clock is due for one, and three writes ask for one.
    const asked = [lease.assertHeld(), lease.assertHeld(), lease.assertHeld()];
    await swarm.time.pass(1000);
    await Promise.all(asked);
    expect(swarm.requests.slice(length)).toEqual(['a look', 'a relabel']);
    // Nor while one hangs.
    let answer = (): void => undefined;
    a.stuck = new Promise((resolve) => (answer = resolve));
    await swarm.time.pass(60_000);
    const waiting = lease.assertHeld();
    await swarm.time.pass(5000);
    a.stuck = undefined;
    answer();
    await waiting;
    await swarm.time.pass(1000);
    await lease.release();
    expect(a.mostAtOnce).toBe(1);
  });

  it.each(['before', 'after'] as const)(
    'survives a connection lost %s a beat: tried again on the next one, told once',
    async (when) => {
      const [a] = runs('a') as [Run];
      const lease = await a.acquire();
      a.lose = once('relabel', when);
      await swarm.time.pass(20_000);
      // In the background it connects no other.
      expect(a.connected).toBe(false);
      expect(a.said.filter((line) => line.includes('could not be renewed'))).toHaveLength(1);
      await swarm.time.pass(5000);
      await lease.assertHeld();
      expect(a.connected).toBe(false);
      await swarm.time.pass(6000);
      const asked = lease.assertHeld();
      await swarm.time.pass(3000);
      await asked;
      expect(a.connected).toBe(true);
      expect(swarm.holder).toBe('a');
      const beats = swarm.requests.length;
      await swarm.time.pass(12_000);
      expect(swarm.requests.length).toBeGreaterThan(beats);
    },
  );

  it('is lost where another takes it between the look and the beat', async () => {
    const [a] = runs('a') as [Run];
    const lease = await a.acquire();
    a.pause();
    await swarm.time.pass(31_000);
    a.resume();
    a.lose = (request) => {
      if (request === 'relabel') swarm.steal('b');
      return undefined;
    };
    await expect(lease.assertHeld()).rejects.toMatchObject({ by: { id: 'b' } });
    await lease.release();
    expect(swarm.holder).toBe('b');
  });

  it('counts a beat from when it was sent, however late its answer', async () => {
    const [a] = runs('a') as [Run];
    const lease = await a.acquire();
    let answer = (): void => undefined;
    a.lose = () => {
      a.lose = () => undefined;
      a.stuck = new Promise((resolve) => (answer = resolve));
      return undefined;
    };
    await swarm.time.pass(31_000);
    a.stuck = undefined;
    answer();
    await rest();
    const beats = (): number => swarm.requests.filter((each) => each === 'a relabel').length;
    expect(beats()).toBe(1);
    await swarm.time.pass(1500);
    expect(beats()).toBe(2);
    await lease.release();
  });

  it('beats at once when there is a connection again', async () => {
    const [a] = runs('a') as [Run];
    await a.acquire();
    a.connected = false;
    await swarm.time.pass(25_000);
    a.connected = true;
    const { version } = swarm.lock!;
    await swarm.time.pass(1000);
    expect(swarm.lock!.version).toBeGreaterThan(version);
  });

  it('does not pretend where the swarm cannot be asked', async () => {
    const [a] = runs('a') as [Run];
    const lease = await a.acquire();
    a.connected = false;
    a.reconnects = false;
    await swarm.time.pass(31_000);
    await expect(lease.assertHeld()).rejects.toBeInstanceOf(ConnectionLost);
  });

  it('makes a lock again that somebody removed', async () => {
    const [a, b] = runs('a', 'b') as [Run, Run];
    const lease = await a.acquire();
    swarm.lock = undefined;
    await swarm.time.pass(12_000);
    expect(swarm.holder).toBe('a');
    expect(a.said).toEqual(['the lock of shop had been removed; it was made again']);
    await expect(lease.assertHeld()).resolves.toBeUndefined();
    void b.acquire();
    await swarm.time.pass(60_000);
    expect(swarm.holder).toBe('a');
    await lease.release();
  });

  it.each(['before', 'after'] as const)(
    'makes it again also where the connection is lost %s that',
    async (when) => {
      const [a] = runs('a') as [Run];
      const lease = await a.acquire();
      a.pause();
      await swarm.time.pass(31_000);
      a.resume();
      swarm.lock = undefined;
      a.lose = once('create', when);
      const asked = lease.assertHeld();
      await swarm.time.pass(2000);
      await asked;
      expect(swarm.holder).toBe('a');
      await lease.release();
      expect(swarm.lock).toBeUndefined();
    },
  );

  it('is lost where somebody removed it and another was faster', async () => {
    const [a, b] = runs('a', 'b') as [Run, Run];
    const lease = await a.acquire();
    swarm.lock = undefined;
    await b.acquire();
    await swarm.time.pass(12_000);
    expect(lease.signal.reason).toMatchObject({ by: { id: 'b' } });
    await lease.release();
    expect(swarm.holder).toBe('b');
  });
});

describe('release', () => {
  it('removes the lock, and nothing goes on after it', async () => {
    const [a] = runs('a') as [Run];
    const lease = await a.acquire();
    await swarm.time.pass(15_000);
    expect(await lease.release()).toBe(true);
    expect(swarm.lock).toBeUndefined();
    expect([a.ticking, swarm.time.sleeping]).toEqual([0, 0]);
    const { length } = swarm.requests;
    await swarm.time.pass(100_000);
    expect(swarm.requests).toHaveLength(length);
    expect(swarm.lock).toBeUndefined();
    await expect(lease.assertHeld()).rejects.toThrow('after its release');
  });

  it('asks nothing before while its beat is fresh', async () => {
    const [a] = runs('a') as [Run];
    const lease = await a.acquire();
    await swarm.time.pass(25_000);
    const { length } = swarm.requests;
    expect(await lease.release()).toBe(true);
    expect(swarm.requests.slice(length)).toEqual(['a remove']);
  });

  it('looks first where the machine was suspended meanwhile', async () => {
    const [a] = runs('a') as [Run];
    const lease = await a.acquire();
    const wall = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 60_000);
    swarm.steal('b');
    const { length } = swarm.requests;
    expect(await lease.release()).toBe(true);
    wall.mockRestore();
    expect(swarm.requests.slice(length)).toEqual(['a look']);
    expect(swarm.holder).toBe('b');
  });

  it('leaves what somebody made in place of a lock that was removed', async () => {
    const [a, b] = runs('a', 'b') as [Run, Run];
    const lease = await a.acquire();
    swarm.lock = undefined;
    await b.acquire();
    expect(await lease.release()).toBe(true);
    expect(swarm.holder).toBe('b');
  });

  it('waits for a beat that is under way, which would make the lock again', async () => {
    const [a] = runs('a') as [Run];
    const lease = await a.acquire();
    swarm.lock = undefined;
    a.lose = (request) => {
      if (request === 'create') a.pause();
      return undefined;
    };
    await swarm.time.pass(12_000);
    const releasing = lease.release();
    expect(await outcomeOf(releasing)).toBe('pending');
    a.resume();
    expect(await releasing).toBe(true);
    expect(swarm.lock).toBeUndefined();
  });

  it.each(['look', 'relabel', 'remove'] as const)(
    'ends well where the connection is lost at its %s',
    async (request) => {
      for (const when of ['before', 'after'] as const) {
        swarm = new Swarm();
        const [a, b] = runs('a', 'b') as [Run, Run];
        const lease = await a.acquire();
        await a.stale();
        a.lose = once(request, when);
        expect(await lease.release()).toBe(false);
        expect(a.said.at(-1)).toContain('could not be removed');
        expect(swarm.lock === undefined).toBe(request === 'remove' && when === 'after');
        // What `post` does on a connection of its own.
        a.connected = true;
        const there = swarm.lock !== undefined;
        expect(await releaseLeft(a, { stack: 'shop', holder: 'a' })).toBe(there);
        expect(swarm.lock).toBeUndefined();
        await b.acquire();
        expect(await releaseLeft(a, { stack: 'shop', holder: 'a' })).toBe(false);
        expect(swarm.holder).toBe('b');
      }
    },
  );

  it("leaves another's lock", async () => {
    const [a] = runs('a') as [Run];
    const lease = await a.acquire();
    await a.stale();
    swarm.steal('b');
    expect(await lease.release()).toBe(true);
    expect(swarm.holder).toBe('b');
    swarm.lock = swarm.write({ mine: 'yes' }, undefined);
    expect(await releaseLeft(a, { stack: 'shop', holder: 'a' })).toBe(false);
    expect(swarm.lock.labels).toEqual({ mine: 'yes' });
  });

  it('leaves a lock that is taken over between the look and the removal', async () => {
    const [a] = runs('a') as [Run];
    const lease = await a.acquire();
    await a.stale();
    a.lose = (request) => {
      if (request === 'relabel') swarm.steal('b');
      return undefined;
    };
    expect(await lease.release()).toBe(true);
    expect(swarm.holder).toBe('b');
  });

  it('comes after a cancellation too', async () => {
    const [a] = runs('a') as [Run];
    const lease = await a.acquire();
    a.cancel.abort(new Error('cancelled'));
    expect(await lease.release()).toBe(true);
    expect(swarm.lock).toBeUndefined();
  });
});

describe('whatever happens', () => {
  it('nobody writes to the stack while another has the lock', async () => {
    let writes = 0;
    let takeovers = 0;
    const event = fc.record({
      who: fc.nat(3),
      what: fc.constantFrom('pause', 'resume', 'lose before', 'lose after', 'release', 'rest'),
      ms: fc.integer({ min: 0, max: 40_000 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 5, maxLength: 30 }), async (events) => {
        swarm = new Swarm();
        const all = runs('a', 'b', 'c', 'd');
        const wrong: string[] = [];
        const leases = new Map<Run, Lease>();
        for (const run of all)
          void (async () => {
            const lease = await run.acquire(10_000_000);
            leases.set(run, lease);
            if (lease.tookOver !== undefined) takeovers += 1;
            for (;;) {
              await run.clock.sleep(700);
              await lease.assertHeld();
              writes += 1;
              if (swarm.holder !== run.id)
                wrong.push(`${run.id} wrote in the lock of ${swarm.holder}`);
            }
          })().catch(() => undefined);
        for (const { who, what, ms } of events) {
          const run = all[who]!;
          if (what === 'pause') run.pause();
          if (what === 'resume') run.resume();
          if (what.startsWith('lose'))
            run.lose = once(
              ms % 2 === 0 ? 'relabel' : 'create',
              what === 'lose after' ? 'after' : 'before',
            );
          if (what === 'release') void leases.get(run)?.release();
          await swarm.time.pass(ms);
        }
        expect(wrong).toEqual([]);
      }),
      { numRuns: 25 },
    );
    expect(writes).toBeGreaterThan(100);
    expect(takeovers).toBeGreaterThan(0);
  });
});

describe('with a session', () => {
  /** Docker finds a config by its name too; the fake knows ids alone. */
  const byName = (fake: FakeSwarm): ReturnType<FakeSwarm['onRequest']> => {
    const lock = fake.objects.find(({ name }) => name === NAME);
    if (lock === undefined) return { status: 404, body: '{"message":"not found"}' };
    const { id, version, labels, data } = lock;
    const shown = {
      ID: id,
      Version: { Index: version },
      Spec: { Name: NAME, Labels: labels, Data: data },
    };
    return { status: 200, body: JSON.stringify(shown) };
  };

  it('connects again as often as it has to', async () => {
    const fake = new FakeSwarm();
    const refused = new Set<string>();
    fake.onRequest = (request) => {
      if (/configs/.test(request) && !refused.has(request)) {
        refused.add(request);
        return 'refuse';
      }
      return request === `GET /configs/${NAME}` ? byName(fake) : undefined;
    };
    const session = await Session.open(fake.connect, { sudo: false });
    const { signal } = new AbortController();
    const { clock } = fake;
    const said: string[] = [];
    const lease = await acquire({
      stack: 'shop',
      holder: 'a',
      runUrl: 'url/a',
      actor: 'alice',
      timeoutMs: 0,
      settle: (action) => session.settle(action, { clock, signal, log: () => undefined }),
      engine: () => session.engine,
      clock,
      signal,
      say: (line) => said.push(line),
      every: () => ({ stop: () => undefined }),
    });
    expect(fake.connections).toBe(2);
    fake.advance(31_000);
    fake.cut();
    await lease.assertHeld();
    expect(fake.connections).toBe(5);
    expect(fake.writes).toEqual([`create config ${NAME}`, `relabel config ${NAME}`]);
    expect(await lease.release()).toBe(false);
    expect(await releaseLeft(session.engine, { stack: 'shop', holder: 'a' })).toBe(true);
    expect(fake.objects).toEqual([]);
    expect(said).toEqual([expect.stringContaining('could not be removed')]);
    await session.close();
  });
});

describe('the timer of a lease', () => {
  it('keeps no process alive, and ends with it', async () => {
    const started = jest.spyOn(globalThis, 'setInterval');
    const stopped = jest.spyOn(globalThis, 'clearInterval');
    const [a] = runs('a') as [Run];
    const lease = await a.acquire(0, 'real');
    expect(started).toHaveBeenCalledTimes(1);
    const timer = started.mock.results[0]?.value as NodeJS.Timeout;
    expect(timer.hasRef()).toBe(false);
    await lease.release();
    expect(stopped).toHaveBeenCalledWith(timer);
    started.mockRestore();
    stopped.mockRestore();
  });
});
