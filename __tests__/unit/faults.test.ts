import { expect, it } from '@jest/globals';
import { FAULTS } from '../support/faults.mjs';
import { expectation, faultMatrix, type Played, type Row } from '../../scripts/faults/page.mjs';

/** All of the matrix, as if each case had ended well. */
function played(change: (rows: Record<string, Row>) => void = () => undefined): Played {
  const rows = Object.fromEntries(
    FAULTS.map((fault) => {
      const expected = expectation(fault);
      const row: Row = {
        ...{ expected, said: fault.outcome, verdict: true, end: true },
        ...{ left: [], next: '', seconds: 12.3 },
      };
      return [fault.id, row];
    }),
  );
  change(rows);
  return { engine: '20.10.24', cli: '20.10.24', rows };
}

function alter(rows: Record<string, Row>, id: string, row: Partial<Row>): void {
  const former = rows[id];
  if (former === undefined) throw new Error(`no such case: ${id}`);
  rows[id] = { ...former, ...row };
}

it('has a row for each case, and totals', () => {
  const page = faultMatrix(played());
  for (const { id } of FAULTS) expect(page).toContain(`| \`${id}\` |`);
  const all = FAULTS.length;
  for (const what of ['right verdict', 'right end of the stack', 'nothing left behind'])
    expect(page).toContain(`| ${what} | ${all} of ${all} |`);
  expect(page).toContain('took 13 s');
});

it('refuses results of a case that was another one then, or was not played', () => {
  const stale = played((rows) => alter(rows, 'cut-watch', { expected: 'something else' }));
  expect(() => faultMatrix(stale)).toThrow('npm run faults -- --record cut-watch');
  const missing = played((rows) => delete rows['cut-watch']);
  expect(() => faultMatrix(missing)).toThrow('npm run faults -- --record cut-watch');
});

it('marks what is wrong', () => {
  const page = faultMatrix(
    played((rows) => {
      alter(rows, 'cut-watch', { said: 'failed (internal)', verdict: false });
      alter(rows, 'cut-deploy', { end: false });
      alter(rows, 'cut-login', { left: ['lock shop.lock'] });
    }),
  );
  expect(page).toContain('❌ **failed (internal)**');
  expect(page).toContain('**not version 2 runs**');
  expect(page).toContain('**lock shop.lock**');
  expect(page).toContain('✅ deployed');
});
