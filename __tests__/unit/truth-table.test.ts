import { expect, it } from '@jest/globals';
import { planFor } from '../support/play.mjs';
import { TABLE } from '../support/truth-table.mjs';
import {
  expectation,
  truthScores,
  truthTable,
  type Played,
  type Row,
} from '../../scripts/truth-table/page.mjs';

const ENGINE = '28.5.2';
const ours = { said: 'deployed', verdict: true, end: true, seconds: 12.3 };
const rival = { said: 'hangs', verdict: false, end: true, seconds: 75 };

/** All of the table, as if each scenario had ended like this. */
function played(change: (rows: Record<string, Row>) => void = () => undefined): Played {
  const rows = Object.fromEntries(
    TABLE.map((scenario) => {
      const plan = planFor(scenario, ENGINE);
      return [plan.id, { expected: expectation(plan), ours, rival }];
    }),
  );
  change(rows);
  return { engine: ENGINE, cli: '28.5.2', limitSeconds: 75, rows };
}

it('has a row for each scenario, and totals', () => {
  const page = truthTable(played());
  const all = TABLE.length;
  for (const { id } of TABLE) expect(page).toContain(`| \`${id}\` |`);
  expect(page).toContain(
    `| the action | ${all} of ${all} | ${all} of ${all} | ${all} of ${all} | 0 of ${all} |`,
  );
  expect(page).toContain(
    `| \`stack deploy --detach=false\` | 0 of ${all} | 0 of ${all} | ${all} of ${all} | ${all} of ${all} |`,
  );
  expect(page).toContain('took 13 s');
});

it('refuses results of a scenario that was another one then, or was not played', () => {
  const stale = played((rows) => {
    const row = rows['unchanged'];
    if (row === undefined) throw new Error('no such scenario');
    rows['unchanged'] = { ...row, expected: 'the same again: deployed (), all of them' };
  });
  expect(() => truthTable(stale)).toThrow('npm run truth-table -- unchanged');
  const missing = played((rows) => delete rows['keep']);
  expect(() => truthTable(missing)).toThrow('npm run truth-table -- keep');
});

it('marks what is wrong', () => {
  const page = truthTable(
    played((rows) => {
      const row = rows['keep'];
      if (row === undefined) throw new Error('no such scenario');
      rows['keep'] = { ...row, rival: { said: 'exit 0', verdict: true, end: false, seconds: 1 } };
    }),
  );
  expect(page).toContain('| ❌ exit 0, **not so** |');
  expect(page).toContain('| ❌ **hangs** |');
  expect(page).toContain('| ✅ deployed |');
});

it('counts in short what goes wrong with either', () => {
  const wrong = { said: 'exit 0', verdict: false, end: false, seconds: 1 };
  const text = truthScores(
    played((rows) => {
      const [first, second] = Object.keys(rows);
      if (first === undefined || second === undefined) throw new Error('no scenarios');
      rows[first] = { expected: '', ours: { ...ours, verdict: false }, rival: wrong };
      rows[second] = { expected: '', ours, rival: { ...wrong, verdict: true, end: true } };
    }),
  );
  const all = TABLE.length;
  expect(text.split('\n').slice(2)).toEqual([
    `| right verdict, and the stack is then what it should be | ${all - 1} | 1 |`,
    '| green, though the deploy failed | 1 | 1 |',
    `| hangs until somebody looks | 0 | ${all - 2} |`,
    '| leaves the stack as it should not be | 0 | 1 |',
  ]);
});
