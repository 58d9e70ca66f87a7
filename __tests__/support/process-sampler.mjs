/**
 * Reads the command lines and environments of processes again and again, until its input ends, and
 * says in which of them it saw one of some texts. What to look for comes as the first line of the input, so
 * that it is in no process list itself:
 *
 *     {"roots": [pid, ...], "needles": [...], "exempt": "part of a command line"}
 *
 * Looked at are the roots' descendants; the environment of those that are exempt is not.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setImmediate as breathe } from 'node:timers/promises';

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // it has ended meanwhile, or is the kernel's
  }
}

/** @param {ReadonlySet<number>} roots */
function descendants(roots) {
  /** @type {Map<number, number>} */
  const parents = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = read(`/proc/${name}/stat`);
    parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
  }
  const isOurs = (/** @type {number | undefined} */ pid) => {
    for (let here = pid; here !== undefined && here > 1; here = parents.get(here))
      if (roots.has(here)) return true;
    return false;
  };
  return [...parents.keys()].filter((pid) => pid !== process.pid && !roots.has(pid) && isOurs(pid));
}

const input = createInterface({ input: process.stdin });
let ended = false;
input.once('close', () => (ended = true));
const [first] = await new Promise((resolve) => input.once('line', (line) => resolve([line])));
/** @type {{ roots: number[], needles: string[], exempt: string }} */
const { roots, needles, exempt } = JSON.parse(first);
const wanted = needles.map((needle) => Buffer.from(needle).toString('latin1'));
/** @type {Set<string>} */
const hits = new Set();
/** @type {Set<string>} */
const seen = new Set();
let looks = 0;
process.stdout.write('ready\n');
// What is there when the input ends is seen, too.
for (let last = false; !last;) {
  last = ended;
  for (const pid of descendants(new Set(roots))) {
    const line = read(`/proc/${pid}/cmdline`);
    const words = line.replaceAll('\0', ' ').trim();
    if (words !== '') seen.add(words);
    const has = (/** @type {string} */ text) => wanted.some((needle) => text.includes(needle));
    if (has(line)) hits.add(`argv of ${words.slice(0, 60)}`);
    if (line.includes(exempt) || !has(read(`/proc/${pid}/environ`))) continue;
    // While a program starts, its environment is there before its command line: who it is shows now.
    const again = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
    if (again !== '' && !again.includes(exempt)) hits.add(`environ of ${again.slice(0, 60)}`);
  }
  looks += 1;
  await breathe();
}
process.stdout.write(`${JSON.stringify({ looks, hits: [...hits], seen: [...seen] })}\n`);
