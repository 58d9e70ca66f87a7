/** Looks at the swarm until a rollout has ended: the clock and the engine around `observe`. */
import type { Snapshot } from '../model.js';
import { observe, verdict, type End, type Rollout } from './observe.js';

export interface Clock {
  /** Milliseconds that only go forward, whatever happens to the time of day. */
  now(): number;
  /** @throws the signal's reason when it is aborted meanwhile */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Watcher {
  readonly clock: Clock;
  /** Reads the swarm, however often the connection has to be made again for it. */
  readonly read: () => Promise<Snapshot>;
  /** Told of every snapshot, with the rollout that it led to. */
  readonly onSnapshot: (rollout: Rollout, snapshot: Snapshot) => void;
  readonly signal: AbortSignal;
}

/** While something moves, and while nothing does. A poll takes the manager 5 to 15 ms. */
const FAST_MS = 250;
const SLOW_MS = 1000;
const CALM_AFTER_MS = 20_000;

/**
 * Polls until the rollout has ended.
 * @returns the rollout and how it ended
 * @throws ConnectionLost when the swarm could not be read any more
 */
export async function watch(
  start: Rollout,
  { clock, read, onSnapshot, signal }: Watcher,
): Promise<{ readonly rollout: Rollout; readonly end: End }> {
  let rollout = start;
  for (;;) {
    signal.throwIfAborted();
    const snapshot = await read();
    rollout = observe(rollout, snapshot);
    onSnapshot(rollout, snapshot);
    const end = verdict(rollout);
    if (end.kind !== 'waiting') return { rollout, end };
    await clock.sleep(pause(rollout), signal);
  }
}

/** How long to wait for the next look: never past the end of a stability window or a deadline. */
function pause(rollout: Rollout): number {
  const { goal, at, holding, lastProgressAt } = rollout;
  const usual = at - lastProgressAt > CALM_AFTER_MS ? SLOW_MS : FAST_MS;
  const windowEnds = holding === undefined ? Infinity : holding.since + goal.stableForMs - at;
  return Math.max(20, Math.min(usual, windowEnds > 0 ? windowEnds : usual));
}
