import { describe, expect, it } from '@jest/globals';
import { credentialsIn, maskOf, MAX_LOG_LINE, tidyLog } from '../../../src/report/dossier-log.js';
import { spec } from '../../support/snapshots.js';
import { HOSTILE } from '../../support/log-frames.js';

const NOTHING = maskOf([]);

describe('lines of a log', () => {
  it('are the last ones', () => {
    expect(tidyLog(['one', 'two', 'three'], NOTHING, 2)).toEqual({
      lines: ['two', 'three'],
      cut: 0,
    });
  });

  it('have nothing that moves a terminal or hides text', () => {
    const { lines } = tidyLog(HOSTILE, NOTHING, 50);
    expect(lines.join('\n')).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
    expect(lines[3]).toBe('red');
  });

  it('are cut where they are long, and say by how much', () => {
    const { lines, cut } = tidyLog(['x'.repeat(1024 * 1024), 'short'], NOTHING, 50);
    expect(lines.map(({ length }) => length)).toEqual([MAX_LOG_LINE, 5]);
    expect(cut).toBe(1024 * 1024 - MAX_LOG_LINE);
  });

  it('do not end in half a character', () => {
    const { lines } = tidyLog([`${'x'.repeat(MAX_LOG_LINE - 1)}😀😀`], NOTHING, 50);
    expect(lines[0]).toBe(`${'x'.repeat(MAX_LOG_LINE - 1)}\ufffd`);
  });
});

describe('secrets', () => {
  const mask = maskOf(['hunter22', 'p@ss/word "x"', 'hunter2', 'abc']);

  it('are taken out, longer ones before their parts, and in other spellings', () => {
    expect(mask.apply('login hunter22 failed, hunter2!')).toBe('login *** failed, ***!');
    expect(mask.apply(`url=${encodeURIComponent('p@ss/word "x"')}`)).toBe('url=***');
    expect(mask.apply(JSON.stringify({ a: 'p@ss/word "x"' }))).toBe('{"a":"***"}');
  });

  it('are taken out of base64, wherever in it they stand', () => {
    for (const before of ['', 'u', 'me', 'app', 'user:'])
      for (const after of ['', '\n', '!!', 'end of it'])
        for (const digits of ['base64', 'base64url'] as const) {
          const text = Buffer.from(`${before}p@ss/wörd>>? "x"${after}`).toString(digits);
          const shown = maskOf(['p@ss/wörd>>? "x"']).apply(`Authorization: Basic ${text} refused`);
          expect(shown).toMatch(/^Authorization: Basic [\w+/=-]{0,8}\*\*\*[\w+/=-]{0,20} refused$/);
        }
  });

  it('that are short are not looked for in base64, whose digits they are', () => {
    expect(maskOf(['hello']).apply('aGVsbG8 of hello')).toBe('aGVsbG8 of ***');
  });

  it('of fewer than four characters would garble everything', () => {
    expect(mask.apply('abc')).toBe('abc');
  });

  it('do not hide behind terminal tricks', () => {
    expect(tidyLog(['hun\u001b[31mter22', 'hunter\u200b22'], mask, 50).lines).toEqual([
      '***',
      '***',
    ]);
  });

  it('do not show their first part where a line is cut', () => {
    const long = maskOf(['s'.repeat(30)]);
    for (let lead = 940; lead < 1000; lead += 1) {
      const { lines } = tidyLog([`${'x'.repeat(lead)}${'s'.repeat(30)}`], long, 50);
      expect(lines[0]).not.toContain('ss');
    }
    // As far as a line is looked at, whose text shrinks as secrets are taken out.
    const many = `${'s'.repeat(30)} `.repeat(700);
    for (let lead = 0; lead < 31; lead += 1)
      expect(tidyLog([`${'x'.repeat(lead)}${many}`], long, 50).lines[0]).not.toMatch(/ss/);
  });

  it('are also what a service has in its environment under such a name', () => {
    const found = credentialsIn(
      spec('api:1', {
        TaskTemplate: {
          ContainerSpec: {
            Env: [
              'DB_PASSWORD=correct horse',
              'API_TOKEN_FILE=/run/secrets/api',
              'LOG_LEVEL=verbose',
              'TOKEN_CHECK=true',
              'DATABASE_URL=postgres://app:wordpass@db:5432/app',
              'EMPTY',
            ],
          },
        },
      }),
    );
    expect(found).toEqual(['correct horse', 'wordpass']);
  });
});
