/** `npm run test:engines`: the truth table and the suites of lock and history on every supported engine. `--help` says more. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { prove } from '../__tests__/support/play.mjs';
import { TABLE } from '../__tests__/support/truth-table.mjs';
import { errorText } from '../testbed/lib/wait.mjs';
import { needTestbed, optionsOf, refuse, refuseUnknown } from './options.mjs';
import { ENGINES as RECORD, read, write } from './truth-table/page.mjs';
import { onOwnStack, playAll } from './truth-table/pool.mjs';
import { withTestbed } from '../testbed/with.mjs';

const ENGINES = ['20.10', '26.1', '28.5'];
const AT_ONCE = 5;
const ROOT = fileURLToPath(new URL('..', import.meta.url));

/**
 * @typedef {import('../__tests__/support/live.js').Testbed} Testbed
 * @typedef {import('./truth-table/page.mjs').EngineRun} EngineRun
 * @typedef {import('./truth-table/page.mjs').Counts} Counts
 * @typedef {Counts & { failures: readonly string[] }} Result
 *
 * @typedef {object} JestResults what `jest --json` writes, as far as it is read here
 * @property {number} numRuntimeErrorTestSuites
 * @property {{ name: string, assertionResults: { status: string, title: string, duration?: number | null,
 *   failureMessages: string[] }[] }[]} testResults
 */

const SUITES = /** @type {const} */ ({ table: playTable, history: playHistory });
const NAMES = /** @type {(keyof typeof SUITES)[]} */ (Object.keys(SUITES));

const HELP = `Plays the truth table and the suites of lock and history on one engine after another, each on a test swarm of
its own, and prints the counts.

  npm run test:engines [-- OPTIONS] [ENGINE...]

  --suite NAME  ${NAMES.join(' or ')}, more than once for several (default: all)
  --only ID     one scenario of the truth table, more than once for several
  --record      keep the counts of whole suites in docs/engines.json, for docs/engines.md
  --help        this text

Engines are ${ENGINES.join(', ')} unless told. Needs what the test swarm needs: Linux with apt (Debian, Ubuntu) and root.`;

const { values, positionals } = optionsOf(HELP, {
  options: {
    record: { type: 'boolean', default: false },
    suite: { type: 'string', multiple: true, default: [] },
    only: { type: 'string', multiple: true, default: [] },
  },
  allowPositionals: true,
});
const { record, only } = values;
const asked = values.suite.length > 0 ? values.suite : only.length > 0 ? ['table'] : NAMES;
refuseUnknown(asked, NAMES, 'suite');
refuseUnknown(
  only,
  TABLE.map(({ id }) => id),
  'scenario of the truth table',
);
if (record && only.length > 0) refuse('--record takes the counts of whole suites.');

/**
 * @param {Testbed} bed
 * @returns {Promise<Result>}
 */
async function playTable(bed) {
  const scenarios = TABLE.filter(({ id }) => only.length === 0 || only.includes(id));
  /** @type {string[]} */
  const failures = [];
  await playAll(scenarios, AT_ONCE, async (scenario) => {
    const begun = performance.now();
    const seconds = () => ((performance.now() - begun) / 1000).toFixed(1);
    try {
      const { outcome, reason } = await onOwnStack(bed, scenario, prove);
      console.log(`${bed.engine} ok ${scenario.id}: ${outcome} ${reason} (${seconds()} s)`);
    } catch (error) {
      failures.push(scenario.id);
      console.log(`${bed.engine} FAILED ${errorText(error)} (${seconds()} s)`);
    }
  });
  const failed = failures.length;
  return { passed: scenarios.length - failed, failed, failures };
}

/**
 * Has jest play the suites, in a process of its own, on this very test swarm.
 * @param {Testbed} bed
 * @returns {Promise<Result>}
 */
async function playHistory(bed) {
  const directory = mkdtempSync(join(tmpdir(), 'engines-'));
  const results = join(directory, 'results.json');
  const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
  const suites = ['--selectProjects', 'swarm', '--testPathPatterns', '__tests__/swarm/history'];
  try {
    const child = spawn(process.execPath, [...jest, 'scripts/test.mjs', '--verbose', ...suites], {
      cwd: ROOT,
      env: { ...process.env, SWARM_DEPLOY_TESTBED: bed.name, JEST_RESULTS: results },
      stdio: 'inherit',
    });
    await once(child, 'close');
    return countsOf(JSON.parse(readFileSync(results, 'utf8')));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/**
 * One that was not run has not passed; nor has a file that could not be loaded.
 * @param {JestResults} results
 * @returns {Result}
 */
function countsOf({ testResults }) {
  const scenarios = testResults.flatMap(({ assertionResults }) => assertionResults);
  const passed = scenarios.filter(({ status }) => status === 'passed').length;
  const failures = [
    ...scenarios.filter(({ status }) => status !== 'passed').map(({ title }) => title),
    ...testResults
      .filter(({ assertionResults }) => assertionResults.length === 0)
      .map(({ name }) => name),
  ];
  return { passed, failed: failures.length, failures };
}

await needTestbed();
/** @type {EngineRun[]} */
const runs = [];
/** @type {string[]} */
const lines = [];
for (const engine of positionals.length === 0 ? ENGINES : positionals)
  await withTestbed(`table-${process.pid}`, { engine, log: console.error }, async (bed) => {
    const cli = (await bed.manager.docker('version', '--format', '{{.Client.Version}}')).trim();
    /** @type {EngineRun} */
    const run = { engine: bed.engineVersion, cli };
    runs.push(run);
    for (const name of NAMES.filter((each) => asked.includes(each))) {
      const { passed, failed, failures } = await SUITES[name](bed);
      run[name] = { passed, failed };
      lines.push(
        `Docker ${run.engine}, ${name}: ${passed} passed, ${failed} failed`,
        ...failures.map((each) => `  failed: ${each}`),
      );
      if (passed === 0 || failed > 0) process.exitCode = 1;
    }
  });
console.log(`\n${lines.join('\n')}`);
if (record) {
  const series = (/** @type {EngineRun} */ { engine }) => engine.split('.').slice(0, 2).join('.');
  const known = /** @type {EngineRun[]} */ (read(RECORD));
  const others = known.filter((run) => !runs.some((each) => series(each) === series(run)));
  // A suite that was not played keeps its counts, unless they are those of another version.
  const merged = runs.map((run) => ({
    ...known.find(({ engine, cli }) => engine === run.engine && cli === run.cli),
    ...run,
  }));
  write(
    RECORD,
    [...others, ...merged].sort((a, b) =>
      a.engine.localeCompare(b.engine, 'en', { numeric: true }),
    ),
  );
}
