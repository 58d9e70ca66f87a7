/** Renders docs/truth-table.md and the runs in docs/engines.md from what was recorded beside them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { planFor } from '../../__tests__/support/play.mjs';
import { SECTIONS, TABLE } from '../../__tests__/support/truth-table.mjs';

/**
 * @typedef {import('../../__tests__/support/play.mjs').Plan} Plan
 *
 * @typedef {object} Result
 * @property {string} said the outcome and reason, or the exit code
 * @property {boolean} verdict whether it is right
 * @property {boolean} end whether the stack ended as it should
 * @property {number} seconds
 *
 * @typedef {{ expected: string, ours: Result, rival: Result }} Row
 * @typedef {{ engine: string, cli: string, limitSeconds: number, rows: Record<string, Row> }} Played
 * @typedef {{ passed: number, failed: number }} Counts
 * @typedef {{ engine: string, cli: string, table?: Counts, history?: Counts }} EngineRun
 */

const docs = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'docs');
export const PLAYED = join(docs, 'truth-table.json');
export const ENGINES = join(docs, 'engines.json');

/**
 * @template T
 * @param {string} path
 * @returns {T}
 */
export const read = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** @param {string} path @param {unknown} value */
export const write = (path, value) => {
  writeFileSync(path, `${JSON.stringify(value, undefined, 2)}\n`);
};

/**
 * What a row was played for; if the table asks for something else by now, the row is stale.
 * @param {Plan} plan
 */
export const expectation = ({ title, outcome, reason, end }) =>
  `${title}: ${outcome} (${[reason].flat().join(' or ')}), ${end}`;

const cell = (/** @type {string} */ text) => text.replaceAll('|', '\\|').replace(/\s+/g, ' ');

/** @param {Result} result */
function tell({ said, verdict, end }) {
  if (verdict && end) return `✅ ${said}`;
  return `❌ ${verdict ? said : `**${said}**`}${end ? '' : ', **not so**'}`;
}

/** @param {Plan} plan */
const right = ({ outcome, reason, end }) =>
  `${outcome}${reason === '' ? '' : ` (${[reason].flat().join(' or ')})`}: ${end}`;

/**
 * @param {Played} played
 * @returns {string} markdown
 * @throws if a scenario was not played, or was another one then
 */
export function truthTable({ engine, cli, limitSeconds, rows }) {
  const plans = TABLE.map((scenario) => planFor(scenario, engine));
  const stale = plans.filter((plan) => rows[plan.id]?.expected !== expectation(plan));
  if (stale.length > 0)
    throw new Error(
      `these scenarios are new or have changed: npm run truth-table -- ${stale.map(({ id }) => id).join(' ')}`,
    );
  const rowOf = (/** @type {Plan} */ { id }) => /** @type {Row} */ (rows[id]);
  /** @param {'ours' | 'rival'} who */
  const totals = (who) => {
    const results = plans.map((plan) => rowOf(plan)[who]);
    const count = (/** @type {(result: Result) => boolean} */ test) =>
      `${results.filter(test).length} of ${results.length}`;
    return [
      count(({ verdict, end }) => verdict && end),
      count(({ verdict }) => verdict),
      count(({ end }) => end),
      count(({ said }) => said === 'hangs'),
    ].join(' | ');
  };
  const longest = Math.max(...plans.map((plan) => rowOf(plan).ours.seconds));
  return [
    '# The truth table',
    '',
    '<!-- Written by `npm run truth-table` and `npm run docs`; do not edit. -->',
    '',
    'What may happen to a deploy, played on a real swarm of three nodes with the action, and with what',
    'is often written by hand: `ssh` to a manager, `docker login`, and',
    '`docker stack deploy --with-registry-auth --detach=false`, which waits by itself.',
    '',
    '- The **verdict** is right when it is green (exit code 0) if and only if every service runs what',
    '  was asked for. Of the action the outcome and reason must be the ones named here, too.',
    '- The **end** is right when the stack is what this table says, read back from the swarm itself:',
    '  specs word for word, tasks, networks, configs and secrets. After a failure that is the stack as',
    '  it was. The action is held to it the moment it ends; the other gets another 10 s for it.',
    `- A command that has not ended ${limitSeconds} s after it wrote the services (or after what is`,
    '  done to them meanwhile) **hangs**, and is ended. The longest run of the action, its rollback',
    `  included, took ${Math.ceil(longest)} s.`,
    '',
    `Docker Engine ${engine}, Docker CLI ${cli}. \`npm run truth-table\` plays all of it again,`,
    '`npm run truth-table -- ID...` some of it. The same table, the action alone, is part of `npm test`;',
    '[Engines](engines.md) has its results on others.',
    '',
    '| | right | verdict right | end right | hangs |',
    '| --- | --- | --- | --- | --- |',
    `| the action | ${totals('ours')} |`,
    `| \`stack deploy --detach=false\` | ${totals('rival')} |`,
    ...SECTIONS.flatMap(({ title, scenarios }) => [
      '',
      `## ${title}`,
      '',
      '| | what happens | right verdict and end | the action | `stack deploy` |',
      '| --- | --- | --- | --- | --- |',
      ...plans
        .filter(({ id }) => scenarios.some((scenario) => scenario.id === id))
        .map((plan) => {
          const { ours, rival } = rowOf(plan);
          const cells = [plan.title, right(plan), tell(ours), tell(rival)].map(cell);
          return `| \`${plan.id}\` | ${cells.join(' | ')} |`;
        }),
    ]),
    '',
  ].join('\n');
}

const GREEN = /^(exit 0|deployed|unchanged|planned|reported|removed)$/;

/**
 * The table in short, for those who have not heard of it.
 * @param {Played} played
 * @returns {string} markdown
 */
export function truthScores({ rows }) {
  const all = Object.values(rows);
  /** @param {string} name @param {(result: Result) => boolean} test */
  const row = (name, test) =>
    `| ${name} | ${all.filter(({ ours }) => test(ours)).length} | ${all.filter(({ rival }) => test(rival)).length} |`;
  return [
    `| of ${all.length} cases | swarm-deploy | \`docker stack deploy --detach=false\` |`,
    '| --- | ---: | ---: |',
    row('right verdict, and the stack is then what it should be', ({ verdict, end }) => {
      return verdict && end;
    }),
    row('green, though the deploy failed', ({ said, verdict }) => GREEN.test(said) && !verdict),
    row('hangs until somebody looks', ({ said }) => said === 'hangs'),
    row('leaves the stack as it should not be', ({ end }) => !end),
  ].join('\n');
}

/** @param {Counts} [counts] none where it has not been played */
const counted = (counts) =>
  counts === undefined ? 'not played' : `${counts.passed} passed, ${counts.failed} failed`;

/**
 * @param {readonly EngineRun[]} runs
 * @returns {string} markdown
 */
export const engineRuns = (runs) =>
  [
    '| engine | CLI | truth table | lock and history |',
    '| --- | --- | --- | --- |',
    ...runs.map(
      ({ engine, cli, table, history }) =>
        `| ${engine} | ${cli} | ${counted(table)} | ${counted(history)} |`,
    ),
  ].join('\n');
