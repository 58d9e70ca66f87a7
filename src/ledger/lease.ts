/**
 * One deploy of a stack at a time, whoever starts it: a lease on a config of the swarm. Creating a
 * config is atomic and changing its labels is a compare-and-swap, so two never hold it at once; a
 * holder that dies is overtaken, and one that only seemed dead is told so before it writes again.
 */
import type { Engine, SwarmConfig } from '../docker/engine.js';
import { DeployError } from '../errors.js';
import { safeLine, spokenTime } from '../report/text.js';
import type { Clock } from '../rollout/watch.js';
import {
  BEAT_MS,
  described,
  holderOf,
  isDead,
  isLock,
  lockLabels,
  nextBeat,
  sighted,
  TRUST_MS,
  TTL_MS,
  type Holder,
  type Sighting,
} from './lease-state.js';
import { ledgerName } from './names.js';

/** What of the engine a lease needs. */
export type LockEngine = Pick<Engine, 'config' | 'createConfig' | 'relabelConfig' | 'removeConfig'>;

/** Calls again and again until it is stopped, and keeps no process alive. */
export type Every = (ms: number, call: () => void) => { readonly stop: () => void };

export interface LeaseRequest {
  readonly stack: string;
  /** Random and this run's own; it must be kept for `releaseLeft` before a lease is asked for. */
  readonly holder: string;
  readonly runUrl: string;
  readonly actor: string;
  /** How long to wait for another run, in milliseconds. */
  readonly timeoutMs: number;
  /** Gets an answer however often the connection has to be made again for it: `Session.settle`. */
  readonly settle: <T>(action: (engine: LockEngine) => Promise<T>) => Promise<T>;
  /** The connection there is now, if it is one still. */
  readonly engine: () => LockEngine;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
  readonly every?: Every;
  /** The lock is this run's already, or lost: it is neither made nor taken over. */
  readonly again?: true;
}

/** What `post` has to know of a lease to end it: strings that survive as JSON. */
export type LeaseState = Pick<LeaseRequest, 'stack' | 'holder'>;

const LOOK_MS = 1000;
const TELL_MS = 30_000;
/** How soon a beat that failed is tried again. */
const TICK_MS = 1000;

/** Configs must not be empty; this is for who finds it. */
const DATA = Buffer.from(
  'A run of swarm-deploy holds the lock of this stack. Its labels say which; it expires by itself.\n',
);

const everyTimer: Every = (ms, call) => {
  const timer = setInterval(call, ms);
  timer.unref();
  return { stop: () => clearInterval(timer) };
};

/** The lock is no longer this run's: it must not write to the stack any more. */
export class LeaseLost extends DeployError {
  /** @param by who has it now; undefined where that is not known */
  constructor(
    stack: string,
    readonly by: Holder | undefined,
  ) {
    super(
      'superseded',
      'superseded',
      `the lock of ${stack} was lost to ${by === undefined ? 'somebody else' : described(by)}; ` +
        'this run writes nothing more',
      { hint: 'Look at what the other run made of the stack before this one is started again.' },
    );
    this.name = 'LeaseLost';
  }
}

/**
 * Waits until the stack is this run's alone, and says meanwhile whose it is.
 * @throws LeaseLost with `again`, where it is not there or somebody else's
 * @throws DeployError `locked` after `timeoutMs`, or where somebody's own config has the lock's name
 * @throws ConnectionLost when there was no answer for as long as `settle` is patient; then, as when
 *   the run is cancelled here, a lock may have been made that is left to `releaseLeft` or to expire
 */
export async function acquire(request: LeaseRequest): Promise<Lease> {
  const { stack, timeoutMs, settle, clock, signal, say } = request;
  const deadline = clock.now() + timeoutMs;
  const attempt = new Attempt(request);
  let told: { readonly at: number; readonly id: string } | undefined;
  for (;;) {
    const result = await settle((engine) => attempt.make(engine));
    const now = clock.now();
    if (result.kind === 'held') {
      if (result.tookOver !== undefined)
        say(
          `took over the lock of ${stack} from ${described(result.tookOver)}: ` +
            `it had given no sign of life for ${spokenTime(TTL_MS)}`,
        );
      return new Lease(request, result);
    }
    if (now >= deadline) throw locked(request, result.by);
    const { by } = result;
    if (by !== undefined && (told?.id !== by.id || now >= told.at + TELL_MS)) {
      told = { at: now, id: by.id };
      const since = by.since === '' ? '' : ` since ${safeLine(by.since)}`;
      say(
        `${stack} is locked${since} by ${described(by)}; ` +
          `waiting for at most ${spokenTime(deadline - now)}`,
      );
    }
    await clock.sleep(Math.min(LOOK_MS, deadline - now), signal);
  }
}

/** On two clocks of this run: the first never jumps, the second goes on while a machine is suspended. */
interface Moment {
  readonly now: number;
  readonly wallMs: number;
}
const momentOf = (clock: Clock): Moment => ({ now: clock.now(), wallMs: Date.now() });

interface Held {
  readonly kind: 'held';
  readonly me: Holder;
  /** The id of the lock's config. */
  readonly lockId: string;
  /** Before the write that was accepted was sent. */
  readonly confirmed: Moment;
  readonly tookOver: Holder | undefined;
}
/** By somebody else; undefined where the lock changed hands at this very moment. */
interface Taken {
  readonly kind: 'taken';
  readonly by: Holder | undefined;
}

/** Looks at the lock and takes it if it can. */
class Attempt {
  readonly #request: LeaseRequest;
  #sighting: Sighting | undefined;
  /** The dead holder whose lock it tried to take: the answer to that may have been lost. */
  #taking: { readonly lockId: string; readonly from: Holder } | undefined;

  constructor(request: LeaseRequest) {
    this.#request = request;
  }

  /** May be repeated after a lost connection: a write that did arrive is known by its holder. */
  async make(engine: LockEngine): Promise<Held | Taken> {
    const { stack, holder, runUrl, actor, clock, again } = this.#request;
    const me: Holder = { id: holder, runUrl, actor, since: new Date().toISOString() };
    const name = ledgerName(stack, 'lock');
    const look = async (): Promise<SwarmConfig | undefined> => await engine.config(name);

    const held = (lockId: string, confirmed: Moment, tookOver?: Holder): Held => ({
      ...{ kind: 'held', me, lockId, confirmed, tookOver },
    });
    // Most often it is free, and creating it tells. Who waits has seen it, and writes nothing in vain.
    let lock = this.#sighting === undefined && again !== true ? undefined : await look();
    let at = momentOf(clock);
    if (again === true && (lock === undefined || holderOf(lock).id !== holder))
      throw new LeaseLost(stack, lock && holderOf(lock));
    if (lock === undefined) {
      const created = await createLock(engine, stack, me);
      if (created !== undefined) return held(created, at);
      lock = await look();
      at = momentOf(clock);
      if (lock === undefined) return { kind: 'taken', by: undefined };
    }
    if (!isLock(lock)) throw notALock(stack, name);
    const by = holderOf(lock);
    this.#sighting = sighted(lock, this.#sighting, at.now);
    if (by.id !== holder) {
      if (!isDead(this.#sighting)) return { kind: 'taken', by };
      this.#taking = { lockId: lock.id, from: by };
    }
    const taken = await engine.relabelConfig(lock, lockLabels(stack, me, nextBeat(lock)));
    if (!taken) return { kind: 'taken', by: undefined };
    return held(lock.id, at, this.#taking?.lockId === lock.id ? this.#taking.from : undefined);
  }
}

/** A lock that this run has. It is kept alive in the background until it is released or lost. */
export class Lease {
  /** Who had it and died; undefined where it was free. */
  readonly tookOver: Holder | undefined;
  readonly #request: LeaseRequest;
  readonly #me: Holder;
  readonly #lost = new AbortController();
  readonly #ticking: { readonly stop: () => void };
  #lockId: string;
  #confirmed: Moment;
  /** The beat that is under way: there is never a second one. */
  #beating: Promise<void> | undefined;
  #released = false;
  #troubled = false;

  /** For `acquire`. */
  constructor(request: LeaseRequest, { me, lockId, confirmed, tookOver }: Held) {
    this.#request = request;
    this.#me = me;
    this.#lockId = lockId;
    this.#confirmed = confirmed;
    this.tookOver = tookOver;
    this.#ticking = (request.every ?? everyTimer)(TICK_MS, () => this.#tick());
  }

  /** Of this run, as the lock shows it to the next one. */
  get holder(): string {
    return this.#request.holder;
  }

  /** Aborted, with a LeaseLost, as soon as it is known that the lock is not this run's any more. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * To be called before every write to the stack. Asks the swarm only where the last beat is not fresh.
   * @throws LeaseLost where somebody else has the lock, or had it meanwhile
   * @throws ConnectionLost when there was no answer for as long as `settle` is patient
   */
  async assertHeld(): Promise<void> {
    for (;;) {
      if (this.#released) throw new Error('a lease was used after its release');
      this.signal.throwIfAborted();
      if (this.#ageMs() < TRUST_MS) return;
      // One in the background may fail: it does not connect again.
      if (this.#beating === undefined) await this.#beat(this.#request.settle);
      else await this.#beating.catch(() => undefined);
    }
  }

  /**
   * Ends it: no beat comes after. Uses the connection there is, and connects no other.
   * @returns false where the lock may still be there and this run's: for `releaseLeft`, or to expire
   */
  async release(): Promise<boolean> {
    const { stack, engine, say } = this.#request;
    this.#released = true;
    this.#ticking.stop();
    await this.#beating?.catch(() => undefined);
    if (this.signal.aborted) return true;
    try {
      // Until a beat is old, it is certain whose it is.
      if (this.#ageMs() >= TRUST_MS) await releaseLeft(engine(), this.#request);
      else await engine().removeConfig(this.#lockId);
      return true;
    } catch (error) {
      say(`the lock of ${stack} could not be removed, and expires by itself: ${messageOf(error)}`);
      return false;
    }
  }

  #ageMs(): number {
    const { now, wallMs } = momentOf(this.#request.clock);
    return Math.max(now - this.#confirmed.now, wallMs - this.#confirmed.wallMs);
  }

  #tick(): void {
    if (this.#beating !== undefined || this.#ageMs() < BEAT_MS) return;
    const { stack, engine, say } = this.#request;
    this.#beat((action) => action(engine())).catch((error: unknown) => {
      if (this.#troubled || error instanceof LeaseLost) return;
      this.#troubled = true;
      say(`the lock of ${stack} could not be renewed, which is tried again: ${messageOf(error)}`);
    });
  }

  async #beat(
    via: (action: (engine: LockEngine) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const renewing = async (): Promise<void> => await via((engine) => this.#renew(engine));
    this.#beating = renewing();
    try {
      await this.#beating;
    } finally {
      this.#beating = undefined;
    }
  }

  /** May be repeated after a lost connection. Where a write of its own came between, it changes nothing. */
  async #renew(engine: LockEngine): Promise<void> {
    const { stack, holder, clock, say } = this.#request;
    const name = ledgerName(stack, 'lock');
    let lock = await engine.config(name);
    const at = momentOf(clock);
    if (lock === undefined) {
      const created = await createLock(engine, stack, this.#me);
      if (created !== undefined) {
        say(`the lock of ${stack} had been removed; it was made again`);
        this.#confirm(created, at);
        return;
      }
      lock = await engine.config(name);
    }
    const by = lock && holderOf(lock);
    if (lock === undefined || by?.id !== holder) throw this.#lose(by);
    if (await engine.relabelConfig(lock, lockLabels(stack, this.#me, nextBeat(lock))))
      this.#confirm(lock.id, at);
  }

  /** @param at before the write was sent: nobody can have seen it earlier */
  #confirm(lockId: string, at: Moment): void {
    this.#lockId = lockId;
    this.#confirmed = at;
    this.#troubled = false;
  }

  #lose(by: Holder | undefined): LeaseLost {
    const error = new LeaseLost(this.#request.stack, by);
    this.#ticking.stop();
    this.#lost.abort(error);
    return error;
  }
}

/**
 * Removes the lock of a run that has ended; another's is left alone.
 * @returns whether there was one
 * @throws ConnectionLost | EngineError where it is not known
 */
export async function releaseLeft(
  engine: LockEngine,
  { stack, holder }: LeaseState,
): Promise<boolean> {
  const name = ledgerName(stack, 'lock');
  for (;;) {
    const lock = await engine.config(name);
    if (lock === undefined) return false;
    const me = holderOf(lock);
    if (me.id !== holder) return false;
    // A removal does not say of which version. After a beat nobody can take the lock over for 45 s.
    if (await engine.relabelConfig(lock, lockLabels(stack, me, nextBeat(lock)))) {
      await engine.removeConfig(lock.id);
      return true;
    }
  }
}

/** @returns its id, or undefined where there is one */
async function createLock(
  engine: LockEngine,
  stack: string,
  me: Holder,
): Promise<string | undefined> {
  const name = ledgerName(stack, 'lock');
  return await engine.createConfig({ name, labels: lockLabels(stack, me, 0), data: DATA });
}

function locked({ stack, timeoutMs }: LeaseRequest, by: Holder | undefined): DeployError {
  const whose = by === undefined ? 'another run' : described(by);
  const waited =
    timeoutMs === 0
      ? ', and this run does not wait (lock-timeout: 0s)'
      : `, which did not end within ${spokenTime(timeoutMs)}`;
  return new DeployError(
    'locked',
    'locked',
    `${stack} is locked by ${whose}${waited}; nothing was touched`,
    {
      hint: `Wait for ${safeLine(by?.runUrl ?? '') || 'the other run'}, or raise \`lock-timeout\`.`,
    },
  );
}

function notALock(stack: string, name: string): DeployError {
  return new DeployError(
    'locked',
    'locked',
    `${stack} cannot be locked: the config ${name} is there already and is no lock of this action`,
    { hint: `Remove it (docker config rm ${name}), or give it another name.` },
  );
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
