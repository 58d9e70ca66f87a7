/** Prints the counts of a test run, from the JSON that jest wrote, as one line. */
import { readFileSync } from 'node:fs';

let counts = { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0, numTotalTests: 0 };
try {
  counts = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
} catch {
  console.log('The test run left no result.');
}
const { numPassedTests: passed, numFailedTests: failed, numPendingTests: skipped } = counts;
// A suite that cannot be loaded fails without a test of its own.
const broken =
  /** @type {{ numRuntimeErrorTestSuites?: number }} */ (counts).numRuntimeErrorTestSuites ?? 0;
console.log(`${passed} passed, ${failed + broken} failed, ${skipped} skipped`);
process.exitCode = passed > 0 && failed + broken === 0 ? 0 : 1;
