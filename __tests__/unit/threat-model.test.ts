/** docs/threat-model.md: each promise names a test, and there is such a test. */
import { describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';

const file = (name: string): URL => new URL(`../../${name}`, import.meta.url);
const page = readFileSync(file('docs/threat-model.md'), 'utf8');
const [, table = ''] = page.split('## Promises and their tests');
const promises = [...table.matchAll(/^\| (?!promise|-)(.+?) +\| `(.+?)`: (.+?) +\|$/gm)].map(
  ([, promise = '', path = '', title = '']) => ({ promise, path, title }),
);

describe('the threat model', () => {
  it('has a test for every promise', () => {
    const rows = table.split('\n').filter((line) => /^\| (?!promise|-)/.test(line));
    expect(rows.length).toBeGreaterThan(15);
    expect(promises).toHaveLength(rows.length);
  });

  it.each(promises)('$promise', ({ path, title }) => {
    expect(existsSync(file(path))).toBe(true);
    const code = readFileSync(file(path), 'utf8');
    // The words as they stand there, in quotes, as the title of a test.
    expect(
      [`'${title}'`, `"${title}"`, `\`${title}\``].some((quoted) => code.includes(quoted)),
    ).toBe(true);
    expect(code).not.toMatch(/\b(?:it|test|describe|scenario)\.(?:skip|todo|only)\b/);
  });
});
