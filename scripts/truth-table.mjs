/** `npm run truth-table`: the truth table, with the action and with Docker's own command. `--help` says more. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { assertVerdict, isGreen, ours, planFor, play } from '../__tests__/support/play.mjs';
import { TABLE } from '../__tests__/support/truth-table.mjs';
import { errorText, until } from '../testbed/lib/wait.mjs';
import { needTestbed, optionsOf, refuseUnknown } from './options.mjs';
import { expectation, PLAYED, read, write } from './truth-table/page.mjs';
import { onOwnStack, playAll } from './truth-table/pool.mjs';
import { LIMIT_MS, rival } from './truth-table/rival.mjs';
import { withTestbed } from '../testbed/with.mjs';

/**
 * @typedef {import('../__tests__/support/play.mjs').Plan} Plan
 * @typedef {import('../__tests__/support/play.mjs').Photo} Photo
 * @typedef {import('../__tests__/support/stack.mjs').Stack} Stack
 * @typedef {import('../__tests__/support/live.js').Testbed} Testbed
 * @typedef {import('./truth-table/page.mjs').Result} Result
 * @typedef {import('./truth-table/page.mjs').Row} Row
 * @typedef {import('./truth-table/page.mjs').Played} Played
 * @typedef {Result & { detail: string }} Told
 */

const ENGINE = '28.5';
/** Half of the time goes into waiting for commands that hang. */
const AT_ONCE = 8;
/** A verdict of ours is a promise about this moment; a rival's end state gets time to come about. */
const SETTLE_MS = 10_000;

/**
 * @param {Plan} plan
 * @param {Stack} stack
 * @param {Photo} before
 * @returns {Promise<string>} what is not as it should be
 */
async function wrongAtEnd(plan, stack, before) {
  try {
    await plan.check(stack, before);
    return '';
  } catch (error) {
    return errorText(error);
  }
}

/** @param {Plan} plan @param {Stack} stack @returns {Promise<Told>} */
async function playOurs(plan, stack) {
  const { verdict: run, before, seconds } = await play(plan, stack, ours);
  const wrong = await wrongAtEnd(plan, stack, before);
  let verdict = '';
  try {
    assertVerdict(plan, run);
    await plan.says?.(run, stack);
  } catch (error) {
    verdict = errorText(error);
  }
  const said = run.reason === '' ? run.outcome : `${run.outcome} (${run.reason})`;
  const detail = `${verdict} ${wrong}`.trim();
  return { said, verdict: verdict === '', end: wrong === '', seconds, detail };
}

/** @param {Plan} plan @param {Stack} stack @returns {Promise<Told>} */
async function playRival(plan, stack) {
  try {
    const { verdict: run, before, seconds } = await play(plan, stack, rival);
    const said = run.hangs ? 'hangs' : `exit ${run.code}`;
    const verdict = !run.hangs && (run.code === 0) === isGreen(plan);
    let wrong = '';
    await until(
      'the right end',
      async () => (wrong = await wrongAtEnd(plan, stack, before)) === '',
      { timeoutMs: SETTLE_MS, intervalMs: 500 },
    ).catch(() => undefined);
    const [words = ''] = run.output.trim().split('\n').slice(-1);
    const detail = `${words} ${wrong}`;
    return { said, verdict, end: wrong === '', seconds, detail };
  } finally {
    await rival.clean(stack);
  }
}

/**
 * @param {Testbed} bed
 * @param {readonly Plan[]} plans
 * @param {(plan: Plan, row: Row) => void} keep
 */
async function playBoth(bed, plans, keep) {
  let count = 0;
  await playAll(plans, AT_ONCE, async (plan) => {
    try {
      const { detail, ...our } = await onOwnStack(bed, plan, playOurs);
      const { detail: theirs, ...other } = await onOwnStack(bed, plan, playRival);
      keep(plan, { expected: expectation(plan), ours: our, rival: other });
      console.error(`${(count += 1)}/${plans.length} ${plan.id}: ${tell(our)} | ${tell(other)}`);
      if (!our.verdict || !our.end) {
        process.exitCode = 1;
        console.error(`  ours: ${detail}`);
      }
      if (!other.verdict || !other.end) console.error(`  rival: ${theirs.split('\n')[0]}`);
    } catch (error) {
      // The scenario itself did not come about: that proves nothing for anybody.
      process.exitCode = 1;
      console.error(`not played: ${errorText(error)}`);
    }
  });
}

/** @param {Result} result */
const tell = ({ said, verdict, end, seconds }) =>
  `${said}${verdict ? '' : ' (wrong)'}${end ? '' : ' (end wrong)'} ${seconds.toFixed(0)} s`;

const HELP = `Plays the truth table on Docker ${ENGINE} with the action and with \`docker stack deploy --detach=false\`, keeps what
came of it in docs/truth-table.json, and renders docs/truth-table.md from that.

  npm run truth-table [-- ID...]

  ID      of scenarios that are played again; the rest is kept (default: all)
  --help  this text

Needs what the test swarm needs: Linux with apt (Debian, Ubuntu) and root.`;

const { positionals: ids } = optionsOf(HELP, { options: {}, allowPositionals: true });
refuseUnknown(
  ids,
  TABLE.map(({ id }) => id),
  'scenario',
);
await needTestbed();

await withTestbed(`table-${process.pid}`, { engine: ENGINE, log: console.error }, async (bed) => {
  const engine = bed.engineVersion;
  const cli = (await bed.manager.docker('version', '--format', '{{.Client.Version}}')).trim();
  /** @type {Played} */
  const played = { engine, cli, limitSeconds: LIMIT_MS / 1000, rows: {} };
  if (ids.length > 0 && existsSync(PLAYED)) {
    const { rows, ...former } = /** @type {Played} */ (read(PLAYED));
    if (former.engine !== engine || former.cli !== cli)
      throw new Error(`the others were played on ${former.engine}: play all of it again`);
    Object.assign(played.rows, rows);
  }
  const plans = TABLE.filter(({ id }) => ids.length === 0 || ids.includes(id)).map((scenario) =>
    planFor(scenario, engine),
  );
  await playBoth(bed, plans, ({ id }, row) => {
    played.rows[id] = row;
    // In the order of the table, and without what is no longer in it; each time, in case of an interruption.
    const rows = TABLE.filter((scenario) => played.rows[scenario.id] !== undefined).map(
      (scenario) => [scenario.id, played.rows[scenario.id]],
    );
    write(PLAYED, { ...played, rows: Object.fromEntries(rows) });
  });
});

const docs = join(dirname(fileURLToPath(import.meta.url)), 'docs.mjs');
if (spawnSync(process.execPath, [docs], { stdio: 'inherit' }).status !== 0) process.exitCode = 1;
