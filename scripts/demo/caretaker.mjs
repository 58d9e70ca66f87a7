/**
 * Takes the demo's swarm down when the demo has ended, however it ended: it waits for the end of its
 * standard input, which the kernel closes even after `kill -9`. In a session of its own, so that a
 * Ctrl-C, or a terminal that goes away, does not reach it.
 *
 * Usage: `node caretaker.mjs NAME`; the word `keep` on standard input leaves the swarm up.
 */
import { down } from '../../testbed/index.mjs';
import { errorText } from '../../testbed/lib/wait.mjs';

for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
  process.on(name, () => {});
process.stderr.on('error', () => {});

let words = '';
for await (const chunk of process.stdin) words += String(chunk);
if (words.trim() !== 'keep') {
  try {
    await down(process.argv[2]);
  } catch (error) {
    process.stderr.write(`${errorText(error)}\n`);
    process.exitCode = 1;
  }
}
