/** The options of a command: `--help` is answered, and what is not known is told in one sentence. */
import { parseArgs } from 'node:util';

import { errorText } from '../testbed/lib/wait.mjs';

/** As of other commands. */
const USAGE = 2;

/**
 * Ends the process with a sentence for the person at the terminal.
 * @param {string} sentence
 * @returns {never}
 */
export function refuse(sentence) {
  console.error(sentence);
  process.exit(USAGE);
}

/**
 * @template {import('node:util').ParseArgsConfig} T
 * @param {string} help said at `--help`
 * @param {T} config of `parseArgs`
 * @param {readonly string[]} [args]
 * @returns {ReturnType<typeof parseArgs<T>>}
 */
export function optionsOf(help, config, args = process.argv.slice(2)) {
  if (args.includes('--help') || args.includes('-h')) {
    console.log(help);
    process.exit(0);
  }
  try {
    return parseArgs(/** @type {T} */ ({ ...config, args: [...args] }));
  } catch (error) {
    // Node adds how to write a word that begins with a dash.
    return refuse(`${errorText(error).split('. ')[0]}. See --help.`);
  }
}

/**
 * Those of the words that are none of these are told.
 * @param {readonly string[]} wanted
 * @param {readonly string[]} known
 * @param {string} what
 */
export function refuseUnknown(wanted, known, what) {
  const unknown = wanted.filter((name) => !known.includes(name));
  if (unknown.length > 0) refuse(`There is no ${what} ${unknown.join(', ')}. See --help.`);
}

/** Ends where no test swarm can run on this machine, and says why. */
export async function needTestbed() {
  const { probe } = await import('../testbed/index.mjs');
  const possible = await probe();
  if (!possible.ok) refuse(possible.reason);
}
