/** Looks at the swarm until a rollout has ended: the clock and the engine around `observe`. */
import type { Snapshot } from '../model.js';
import { isDue, observe, verdict, type End, type Rollout } from './observe.js';
import type { Wanted } from './reader.js';

export interface Clock {
  /** Milliseconds that only go forward, whatever happens to the time of day. */
  now(): number;
  /** @throws the signal's reason when it is aborted meanwhile */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Watcher {
  readonly clock: Clock;
  /** Reads the swarm, however often the connection has to be made again for it. */
  readonly read: (rollout: Rollout) => Promise<Snapshot>;
  /** Told of every snapshot, with the rollout that it led to. */
  readonly onSnapshot: (rollout: Rollout, snapshot: Snapshot) => void;
  readonly signal: AbortSignal;
}

/** With what a look takes, what happens is known within half a second. */
const PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;
const SHORTEST_PAUSE_MS = 20;
/** Looking takes at most this part of the time, however large the stack. */
const SHARE = 1 / 5;

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
    const begun = clock.now();
    const snapshot = await read(rollout);
    rollout = observe(rollout, snapshot);
    onSnapshot(rollout, snapshot);
    const end = verdict(rollout);
    if (end.kind !== 'waiting') return { rollout, end };
    await clock.sleep(pauseMs(rollout, clock.now() - begun), signal);
  }
}

/**
 * Whose tasks the next look has to read: all of them where it is to decide that everything is well,
 * else those of services that are not.
 * @param at milliseconds, when that look is
 */
export function wantedOf(rollout: Rollout, at: number): Wanted {
  // The tasks of removed services are still in the way.
  if (rollout.lingering > 0) return 'stack';
  if (rollout.seen === undefined || isDue({ ...rollout, at })) return 'services';
  return new Set([...rollout.services].flatMap(([id, { complete }]) => (complete ? [] : [id])));
}

/**
 * How long to wait for the next look: never past the end of a stability window.
 * @param tookMs how long the last one took
 */
function pauseMs(rollout: Rollout, tookMs: number): number {
  const { goal, at, holding } = rollout;
  if (isDue(rollout)) return SHORTEST_PAUSE_MS;
  const usual = Math.min(LONGEST_PAUSE_MS, Math.max(PAUSE_MS, tookMs * (1 / SHARE - 1)));
  const windowEnds = holding === undefined ? Infinity : holding.since + goal.stableForMs - at;
  return Math.max(SHORTEST_PAUSE_MS, Math.min(usual, windowEnds > 0 ? windowEnds : usual));
}
