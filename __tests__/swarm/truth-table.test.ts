/** The truth table, for the action: verdict, reason and the end state as the swarm shows it. */
import { describe, expect, it } from '@jest/globals';
import { prove } from '../support/play.mjs';
import { aloneScenario, onSwarm, scenarios } from '../support/swarm.js';
import { SECTIONS, TABLE } from '../support/truth-table.mjs';

for (const { title, scenarios: rows } of SECTIONS)
  onSwarm(`truth table: ${title}`, () => {
    scenarios(
      rows.filter(({ alone }) => alone !== true),
      (row) => `${row.id}: ${row.title}`,
      async (stack, row) => {
        await prove(row, stack);
      },
    );
  });

// Last: jest begins with all concurrent scenarios of the file, and waits for them in this order.
onSwarm('truth table: with nodes in trouble', () => {
  for (const row of TABLE.filter(({ alone }) => alone === true))
    aloneScenario(`${row.id}: ${row.title}`, async (stack) => {
      await prove(row, stack);
    });
});

describe('the table', () => {
  it('names each scenario once, and has enough of them', () => {
    const ids = TABLE.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThanOrEqual(45);
  });
});
