/** `npm run faults`: plays the fault matrix on a test swarm. `--help` says more. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { FAULTS } from '../__tests__/support/faults.mjs';
import { attach } from '../testbed/index.mjs';
import { errorText } from '../testbed/lib/wait.mjs';
import { playLanes } from './faults/lanes.mjs';
import { PLAYED, rowOf } from './faults/page.mjs';
import { needTestbed, optionsOf, refuseUnknown } from './options.mjs';
import { read, write } from './truth-table/page.mjs';
import { withTestbed } from '../testbed/with.mjs';

/**
 * @typedef {import('../__tests__/support/live.js').Testbed} Testbed
 * @typedef {import('./faults/page.mjs').Played} Played
 */

const AT_ONCE = Number(process.env['AT_ONCE'] ?? 6);

const HELP = `Plays the fault matrix (__tests__/support/faults.mjs) on a test swarm.

  npm run faults [-- OPTIONS] [ID...]

  --record   keep what came of it in docs/faults.json, of the other cases what was there, and render docs/faults.md
  --verbose  print all that a run has said that did not end as it should
  --help     this text

SWARM_DEPLOY_TESTBED names a test swarm that is up already, AT_ONCE how many cases are played beside each other (6).
Needs what the test swarm needs: Linux with apt (Debian, Ubuntu) and root.`;

const { values, positionals: ids } = optionsOf(HELP, {
  options: {
    record: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const { record, verbose } = values;
refuseUnknown(
  ids,
  FAULTS.map(({ id }) => id),
  'case',
);
await needTestbed();

/** @param {Testbed} bed */
async function playOn(bed) {
  const engine = bed.engineVersion;
  const cli = (await bed.manager.docker('version', '--format', '{{.Client.Version}}')).trim();
  /** @type {Played} */
  const played = { engine, cli, rows: {} };
  if (ids.length > 0 && existsSync(PLAYED))
    Object.assign(played.rows, /** @type {Played} */ (read(PLAYED)).rows);
  const faults = FAULTS.filter(({ id }) => ids.length === 0 || ids.includes(id));
  const results = playLanes(bed, faults, AT_ONCE);
  let count = 0;
  await Promise.all(
    faults.map(async (fault) => {
      try {
        const result = await results.get(fault.id);
        if (result === undefined) throw new Error(`${fault.id} was not played`);
        const row = rowOf(fault, result);
        played.rows[fault.id] = row;
        if (record) keep(played);
        const well = row.verdict && row.end && row.left.length === 0;
        if (!well) process.exitCode = 1;
        const { said, wrong, wrongEnd, left, seconds, next } = result;
        const progress = `${(count += 1)}/${faults.length}`;
        console.error(
          `${progress} ${well ? 'ok ' : 'BAD'} ${fault.id}: ${said} ${seconds} s ${next}`,
        );
        for (const [what, text] of Object.entries({ wrong, wrongEnd, left: left.join('; ') }))
          if (text !== '') console.error(`  ${what}: ${text}`);
        if (!well && verbose) console.error(result.story);
      } catch (error) {
        process.exitCode = 1;
        console.error(`not played: ${errorText(error)}`);
      }
    }),
  );
}

/** In the order of the matrix, and without what is no longer in it. @param {Played} played */
function keep(played) {
  const rows = FAULTS.flatMap(({ id }) => {
    const row = played.rows[id];
    return row === undefined ? [] : [[id, row]];
  });
  write(PLAYED, { ...played, rows: Object.fromEntries(rows) });
}

const borrowed = process.env['SWARM_DEPLOY_TESTBED'];
if (borrowed !== undefined) await playOn(await attach(borrowed));
else await withTestbed(`faults-${process.pid}`, { log: console.error }, playOn);

if (record) {
  const docs = join(dirname(fileURLToPath(import.meta.url)), 'docs.mjs');
  if (spawnSync(process.execPath, [docs], { stdio: 'inherit' }).status !== 0) process.exitCode = 1;
}
