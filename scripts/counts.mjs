/**
 * Prints what failed of a test run, from the JSON that jest wrote, and as the last line its counts: who has
 * only the end of a long log finds there what to mend.
 */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

/**
 * @typedef {object} Suite
 * @property {string} name path of the file
 * @property {string} [message] why it could not be run
 * @property {readonly { status: string, fullName: string, failureMessages: readonly string[] }[]} assertionResults
 *
 * @typedef {object} Results as `jest --json` writes them, as far as they are of use here
 * @property {number} numPassedTests
 * @property {number} numFailedTests
 * @property {number} numPendingTests
 * @property {number} [numRuntimeErrorTestSuites] suites that cannot be loaded: they fail without a test
 * @property {readonly Suite[]} [testResults]
 */

/** How much of what a test says stands here. */
const LINES = 12;
const WIDTH = 300;

/** @param {string} message @returns {string} its first lines, indented */
const head = (message) =>
  stripVTControlCharacters(message)
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(0, LINES)
    .map((line) => `    ${line.slice(0, WIDTH)}\n`)
    .join('');

/** @param {readonly Suite[]} suites @returns {string[]} what failed, with the first lines of why */
function failures(suites) {
  return suites.flatMap(({ name, message, assertionResults }) => {
    const file = relative(process.cwd(), name);
    const failed = assertionResults.filter(({ status }) => status === 'failed');
    if (failed.length === 0 && assertionResults.length === 0 && message)
      return [`FAILED ${file}\n${head(message)}`];
    return failed.map(
      ({ fullName, failureMessages }) =>
        `FAILED ${file}: ${fullName}\n${failureMessages.map(head).join('')}`,
    );
  });
}

/** @type {Results} */
let results = { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0 };
try {
  results = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
} catch {
  console.log('The test run left no result.');
}
for (const failure of failures(results.testResults ?? [])) console.log(failure);
const { numPassedTests: passed, numPendingTests: skipped } = results;
const failed = results.numFailedTests + (results.numRuntimeErrorTestSuites ?? 0);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = passed > 0 && failed === 0 ? 0 : 1;
