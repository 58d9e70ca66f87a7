import { describe, expect, it } from '@jest/globals';
import { ledgerName } from '../../../src/ledger/names.js';

/** What Swarm takes for the name of a config. */
const VALID = /^(?=.{1,64}$)[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?$/;

describe('ledgerName', () => {
  it('is the stack and the suffix', () => {
    expect(ledgerName('shop', 'lock')).toBe('shop.lock');
    expect(ledgerName('shop', 'revision.12.1')).toBe('shop.revision.12.1');
  });

  it('leaves a name alone that just fits', () => {
    const stack = 's'.repeat(59);
    expect(ledgerName(stack, 'lock')).toBe(`${stack}.lock`);
    expect(ledgerName(`${stack}s`, 'lock')).not.toContain(`${stack}s`);
  });

  it.each([59, 60, 61, 63, 64, 200])('is valid for a stack name of %i characters', (length) => {
    for (const suffix of ['lock', 'revision.1', 'revision.1234567.12'])
      expect(ledgerName('s'.repeat(length), suffix)).toMatch(VALID);
  });

  it('tells long names apart that begin alike, and one suffix from another', () => {
    const [one, other] = [`${'s'.repeat(70)}1`, `${'s'.repeat(70)}2`];
    expect(ledgerName(one, 'lock')).not.toBe(ledgerName(other, 'lock'));
    expect(ledgerName(one, 'lock')).toBe(ledgerName(one, 'lock'));
    expect(ledgerName(one, 'revision.1')).not.toBe(ledgerName(one, 'revision.2'));
  });

  it('cuts a long name as it did for what is already stored', () => {
    expect(ledgerName('s'.repeat(70), 'lock')).toBe(`${'s'.repeat(50)}-861038c1.lock`);
  });
});
