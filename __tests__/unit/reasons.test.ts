import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { GREEN_OUTCOMES, REASONS, RED_OUTCOMES } from '../../src/errors.js';

const page = readFileSync('docs/reasons.md', 'utf8');
const rows = [...page.matchAll(/^\| `([a-z-]+)` +\|/gm)].map((match) => match[1]);

describe('docs/reasons.md', () => {
  it('has a row for each reason, and for no other', () => {
    expect([...rows].sort()).toEqual([...REASONS].sort());
  });

  it('is linked to every outcome of the README', () => {
    const readme = readFileSync('README.md', 'utf8');
    const outcomes = [...readme.matchAll(/^\| `([a-z-]+)` +\| (green|red)/gm)];
    expect(outcomes.filter((match) => match[2] === 'green').map((match) => match[1])).toEqual([
      ...GREEN_OUTCOMES,
    ]);
    expect(outcomes.filter((match) => match[2] === 'red').map((match) => match[1])).toEqual([
      ...RED_OUTCOMES,
    ]);
  });
});
