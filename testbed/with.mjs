/** A test swarm for as long as some work takes; it goes away with this process, however that ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { down, up } from './index.mjs';

const GUARD = fileURLToPath(new URL('guard.mjs', import.meta.url));

/**
 * @template T
 * @param {string} name
 * @param {import('./index.mjs').UpOptions} options
 * @param {(bed: Awaited<ReturnType<typeof up>>) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withTestbed(name, options, work) {
  const guard = spawn(process.execPath, [GUARD, name], {
    detached: true,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  await once(guard, 'spawn');
  guard.unref();
  try {
    return await work(await up({ ...options, name }));
  } finally {
    await down(name);
    guard.stdin?.end();
  }
}
