/** Renders docs/faults.md from what was recorded beside it. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { FAULTS, SECTIONS } from '../../__tests__/support/faults.mjs';

/**
 * @typedef {import('../../__tests__/support/play-fault.mjs').Fault} Fault
 * @typedef {import('../../__tests__/support/play-fault.mjs').Result} Result
 *
 * @typedef {object} Row
 * @property {string} expected what it was played for
 * @property {string} said
 * @property {boolean} verdict whether it is right
 * @property {boolean} end whether the stack ended as it should
 * @property {readonly string[]} left behind
 * @property {string} next what the next run said, or ''
 * @property {number} seconds
 *
 * @typedef {{ engine: string, cli: string, rows: Record<string, Row> }} Played
 */

const docs = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'docs');
export const PLAYED = join(docs, 'faults.json');

/**
 * What a row was played for; if the matrix asks for something else by now, the row is stale.
 * @param {Fault} fault
 */
export const expectation = ({ fault, when, outcome, reason, end }) =>
  `${fault}, ${when}: ${outcome} (${[reason].flat().join(' or ')}), ${end}`;

/** @param {Fault} fault @param {Result} result @returns {Row} */
export const rowOf = (fault, { said, wrong, wrongEnd, left, next, seconds }) => ({
  ...{ expected: expectation(fault), said, verdict: wrong === '', end: wrongEnd === '' },
  ...{ left, next, seconds },
});

const cell = (/** @type {string} */ text) => text.replaceAll('|', '\\|').replace(/\s+/g, ' ');

/** @param {Row} row */
const mark = (row) => (row.verdict && row.end && row.left.length === 0 ? '✅' : '❌');

/** @param {Fault} fault @param {Row} row */
function said(fault, row) {
  const words = fault.outcome === '(none)' ? 'killed, no verdict' : row.said;
  return `${mark(row)} ${row.verdict ? words : `**${words}**`}`;
}

/** @param {Fault} fault @param {Row} row */
function left({ leaves }, row) {
  const parts = [
    row.left.length > 0 ? `**${row.left.join('; ')}**` : 'nothing',
    ...(leaves === undefined ? [] : ['before the next run: what the dead one could not remove']),
    ...(row.next === '' ? [] : [`next run: ${row.next}`]),
  ];
  return parts.join('; ');
}

/**
 * @param {Played} played
 * @returns {string} markdown
 * @throws if a case was not played, or was another one then
 */
export function faultMatrix({ engine, cli, rows }) {
  const stale = FAULTS.filter((fault) => rows[fault.id]?.expected !== expectation(fault));
  if (stale.length > 0)
    throw new Error(
      `these cases are new or have changed: npm run faults -- --record ${stale.map(({ id }) => id).join(' ')}`,
    );
  const rowFor = (/** @type {Fault} */ { id }) => /** @type {Row} */ (rows[id]);
  const count = (/** @type {(row: Row) => boolean} */ test) =>
    `${FAULTS.filter((fault) => test(rowFor(fault))).length} of ${FAULTS.length}`;
  const longest = Math.max(...FAULTS.map((fault) => rowFor(fault).seconds));
  return [
    '# The fault matrix',
    '',
    '<!-- Written by `npm run faults -- --record` and `npm run docs`; do not edit. -->',
    '',
    'What may break around a run, played on a real swarm: each case deploys a stack, has the fault strike a run',
    'of the action at that moment, and reads back from the swarm and from the nodes what has become of it.',
    '',
    '- No case ends green that should not, and none is rolled back because a connection was lost.',
    '- **Left behind** is what there is of the run once `post` is through: locks, revisions that have not ended,',
    '  directories and registry logins on nodes, processes there, files of the runner. A runner that is killed',
    '  outright runs no `post`: then the next run of the stack has to work, at once or when the lease is over',
    '  (45 s), and clean up after it.',
    `- The longest run took ${Math.ceil(longest)} s.`,
    '',
    `Docker Engine ${engine}, Docker CLI ${cli}. \`npm run faults\` plays all of it again, \`npm run faults -- ID...\``,
    'some of it; the same matrix is part of `npm test`, where `FAULTS="ID ID"` chooses.',
    '',
    '| | |',
    '| --- | --- |',
    `| right verdict | ${count(({ verdict }) => verdict)} |`,
    `| right end of the stack | ${count(({ end }) => end)} |`,
    `| nothing left behind | ${count((row) => row.left.length === 0)} |`,
    ...SECTIONS.flatMap(({ title, faults }) => [
      '',
      `## ${title}`,
      '',
      '| | fault | strikes | the stack in the end | the run | left behind |',
      '| --- | --- | --- | --- | --- | --- |',
      ...faults.map((fault) => {
        const row = rowFor(fault);
        const end = row.end ? fault.end : `**not ${fault.end}**`;
        const cells = [fault.fault, fault.when, end, said(fault, row), left(fault, row)].map(cell);
        return `| \`${fault.id}\` | ${cells.join(' | ')} |`;
      }),
    ]),
    '',
    '## Not played',
    '',
    "- A **node's clock** that is wrong: the nodes of the test swarm share the clock of one machine, and Linux has no",
    '  namespace for the time of day.',
    "- A full disk **below the engine's own data directory**, which the test machine shares with all nodes.",
    '',
  ].join('\n');
}
