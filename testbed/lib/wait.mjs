/**
 * Waiting for conditions, with a limit and a clear error; and a lock between processes.
 */
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * @typedef {object} WaitOptions
 * @property {number} [timeoutMs] limit, two minutes unless told
 * @property {number} [intervalMs] pause between two looks, 50 ms unless told
 * @property {() => string | Promise<string>} [detail] text added to the error, e.g. a log's tail
 * @property {AbortSignal | undefined} [signal]
 */

/**
 * Looks until `condition` gives something truthy. An error it throws counts as "not yet" and is
 * shown if the limit is reached.
 * @template T
 * @param {string} what the condition in words: "the registry answers"
 * @param {() => T | Promise<T>} condition
 * @param {WaitOptions} [options]
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, condition, options = {}) {
  const { timeoutMs = 120_000, intervalMs = 50, detail, signal } = options;
  const end = Date.now() + timeoutMs;
  let reason = '';
  for (;;) {
    signal?.throwIfAborted();
    try {
      const value = await condition();
      if (value) return value;
      reason = '';
    } catch (error) {
      reason = errorText(error);
    }
    if (Date.now() >= end) break;
    await sleep(intervalMs);
  }
  const parts = [`Not true within ${timeoutMs / 1000} s: ${what}.`, reason, await detail?.()];
  throw new Error(parts.filter(Boolean).join('\n'));
}

/**
 * @param {unknown} error
 * @returns {string}
 */
export function errorText(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Runs `work` while no other process of this machine holds the lock of that name.
 *
 * The lock is a listening socket in Linux' abstract namespace (unix(7)): no file is left behind and
 * the kernel frees it when its holder dies, also by `kill -9`.
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} work
 * @param {{timeoutMs?: number, signal?: AbortSignal | undefined}} [options]
 * @returns {Promise<T>}
 */
export async function withLock(name, work, options = {}) {
  const { timeoutMs = 300_000, signal } = options;
  const what = `the lock "${name}" is free (another process is using this test swarm)`;
  const release = await until(what, () => tryLock(name), { timeoutMs, intervalMs: 100, signal });
  try {
    return await work();
  } finally {
    await release();
  }
}

/**
 * @param {string} name
 * @returns {Promise<(() => Promise<void>) | undefined>} gives the lock back; undefined: it is held
 */
function tryLock(name) {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    const release = () =>
      new Promise((/** @type {(value: void) => void} */ done) => {
        server.close(() => done());
      });
    server.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(`\0swarm-deploy-testbed:${name}`, () => resolve(release));
    server.unref();
  });
}
