/**
 * Runs jest, in this very process so that ending it ends everything. All suites by default;
 * arguments are passed on. `JEST_RESULTS` names a file for the results as JSON.
 */
import { run } from 'jest';

const results = process.env['JEST_RESULTS'];
await run([
  ...(results === undefined ? [] : ['--json', `--outputFile=${results}`]),
  ...process.argv.slice(2),
]);
