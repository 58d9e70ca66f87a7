/**
 * Plays the truth table with the action on every supported engine, one after another, each on a test
 * swarm of its own, and prints the counts:
 * `npm run test:engines [-- [--record] [--only ID]... [ENGINE...]]`.
 * `--record` keeps the counts in docs/engines.json, for docs/engines.md.
 */
import { parseArgs } from 'node:util';

import { prove } from '../__tests__/support/play.mjs';
import { TABLE } from '../__tests__/support/truth-table.mjs';
import { probe } from '../testbed/index.mjs';
import { errorText } from '../testbed/lib/wait.mjs';
import { ENGINES as RECORD, read, write } from './truth-table/page.mjs';
import { onOwnStack, playAll } from './truth-table/pool.mjs';
import { withTestbed } from './truth-table/testbed.mjs';

const ENGINES = ['20.10', '26.1', '28.5'];
const AT_ONCE = 5;

/** @typedef {import('./truth-table/page.mjs').EngineRun} EngineRun */

const { values, positionals } = parseArgs({
  options: {
    record: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
  },
  allowPositionals: true,
});
const scenarios = TABLE.filter(({ id }) => values.only.length === 0 || values.only.includes(id));

/**
 * @param {string} name of the engine
 * @returns {Promise<{ run: EngineRun, failed: readonly string[] }>}
 */
async function playOn(name) {
  return withTestbed(`table-${process.pid}`, name, async (bed) => {
    const cli = (await bed.manager.docker('version', '--format', '{{.Client.Version}}')).trim();
    /** @type {string[]} */
    const failed = [];
    let passed = 0;
    await playAll(scenarios, AT_ONCE, async (scenario) => {
      const begun = performance.now();
      const seconds = () => ((performance.now() - begun) / 1000).toFixed(1);
      try {
        const { outcome, reason } = await onOwnStack(bed, scenario, prove);
        passed += 1;
        console.log(`${name} ok ${scenario.id}: ${outcome} ${reason} (${seconds()} s)`);
      } catch (error) {
        failed.push(scenario.id);
        console.log(`${name} FAILED ${errorText(error)} (${seconds()} s)`);
      }
    });
    return { run: { engine: bed.engineVersion, cli, passed, failed: failed.length }, failed };
  });
}

const possible = await probe();
if (!possible.ok) throw new Error(possible.reason);
/** @type {EngineRun[]} */
const runs = [];
/** @type {string[]} */
const lines = [];
for (const name of positionals.length === 0 ? ENGINES : positionals) {
  const { run, failed } = await playOn(name);
  runs.push(run);
  lines.push(
    `Docker ${run.engine}: ${run.passed} passed, ${run.failed} failed`,
    ...failed.map((id) => `  failed: ${id}`),
  );
  if (run.passed === 0 || run.failed > 0) process.exitCode = 1;
}
console.log(`\n${lines.join('\n')}`);
if (values.record) {
  const series = (/** @type {EngineRun} */ { engine }) => engine.split('.').slice(0, 2).join('.');
  const played = new Set(runs.map(series));
  const known = /** @type {EngineRun[]} */ (read(RECORD));
  const others = known.filter((run) => !played.has(series(run)));
  write(
    RECORD,
    [...others, ...runs].sort((a, b) => a.engine.localeCompare(b.engine, 'en', { numeric: true })),
  );
}
