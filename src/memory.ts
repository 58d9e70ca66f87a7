/** Keeps the process small where a stack is very large: its runner may be the manager itself. */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Bytes. A usual stack needs a third of it. */
const SMALL = 80 * 1024 * 1024;
let nextAt = SMALL;
let isOurs = false;
let collect: ((scope?: { readonly type: 'minor' }) => void) | undefined;

function collector(): NonNullable<typeof collect> {
  if (collect !== undefined) return collect;
  // The one way to it without an option of the command line, which is not an action's to give.
  setFlagsFromString('--expose-gc');
  collect = runInNewContext('gc') as NonNullable<typeof collect>;
  setFlagsFromString('--no-expose-gc');
  return collect;
}

/**
 * Has V8 leave the young generation as large as it is: it would grow to three times 16 MB, of which a
 * stack of any size needs little. To be called once the program is loaded, which is faster with more.
 */
export function keepYoungSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}

/**
 * Says that the process is the action's own. Nothing is collected until then: in somebody else's process,
 * whose heap is large for reasons of its own, every look at the swarm would go through all of it.
 */
export function keepTidy(): void {
  isOurs = true;
}

/**
 * Collects garbage where there is much of it. V8 lets its heap grow to a multiple of the most that was
 * ever in use, and for a list of ten thousand tasks, read again and again, that is mostly garbage
 * (measured: 205 MB instead of 180). A heap of usual size is left alone.
 */
export function tidyMemory(): void {
  collectFrom(nextAt);
}

/**
 * The same at a turn of a run, where much of what was in use is garbage by now (measured: a peak of 177 MB
 * instead of 227, which came with the last look and the report).
 */
export function clearMemory(): void {
  collectFrom(SMALL);
}

/** @param least bytes in use */
function collectFrom(least: number): void {
  if (!isOurs || getHeapStatistics().used_heap_size < least) return;
  collector()();
  nextAt = Math.max(SMALL, 1.5 * getHeapStatistics().used_heap_size);
}

/**
 * Collects young garbage alone, in half a millisecond. For buffers that were read and let go: V8 counts
 * their bytes as if they were in its heap, and where that has no room left it goes through all of it, in
 * 50 ms, for what is garbage anyway.
 */
export function dropBuffers(): void {
  collector()({ type: 'minor' });
}
