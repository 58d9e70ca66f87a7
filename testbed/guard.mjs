/**
 * Takes a test swarm down once its owner is gone, however it ended: a crash, Ctrl-C and `kill -9`
 * leave no time to clean up. The owner starts this detached and keeps the other end of its standard
 * input open; the kernel closes that with the owner.
 *
 *     node testbed/guard.mjs NAME
 */
import { down } from './index.mjs';

const [name] = process.argv.slice(2);
if (name === undefined) throw new Error('Which test swarm? node testbed/guard.mjs NAME');

// Whoever is to be outlived may take the terminal along.
for (const signal of /** @type {const} */ (['SIGHUP', 'SIGINT', 'SIGTERM'])) {
  process.on(signal, () => {});
}
process.stderr.on('error', () => {});

for await (const _ of process.stdin);
if (await down(name)) process.stderr.write(`The test swarm ${name} lost its owner: taken down.\n`);
