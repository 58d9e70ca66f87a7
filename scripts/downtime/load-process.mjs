/** The clients, as the benchmark holds them. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {import('./load.mjs').Group} Group
 * @typedef {import('./load.mjs').Bin} Bin
 * @typedef {{ bins: readonly Bin[], samples: readonly string[] }} Loaded
 */

export const BIN_MS = 500;

/**
 * Starts asking.
 * @param {{ host: string, port: number, groups: readonly Group[] }} goal
 * @param {AbortSignal} signal ends it at once
 * @returns {() => Promise<Loaded>} stops: nothing new is asked, and what is under way is waited for
 */
export function startLoad(goal, signal) {
  const script = fileURLToPath(new URL('./load.mjs', import.meta.url));
  const child = fork(script, [JSON.stringify({ ...goal, binMs: BIN_MS })]);
  const kill = () => void child.kill('SIGKILL');
  signal.addEventListener('abort', kill);
  /** @type {Loaded | undefined} */
  let loaded;
  child.on('message', (message) => {
    loaded = /** @type {Loaded} */ (message);
  });
  const ended = new Promise((done) => {
    child.once('close', done);
    child.once('error', done);
  });
  return async () => {
    if (child.connected) child.send('stop');
    await ended;
    signal.removeEventListener('abort', kill);
    signal.throwIfAborted();
    if (loaded === undefined) throw new Error('The clients ended before they were told to.');
    return loaded;
  };
}
