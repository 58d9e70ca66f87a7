import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  agoText,
  alignedTable,
  clockTime,
  code,
  imageText,
  markdownTable,
  plural,
  safeCell,
  safeLine,
  safeProse,
  shortDigest,
  spokenTime,
} from '../../../src/report/text.js';

describe('safeLine', () => {
  it.each([
    ['plain words', 'plain words'],
    ['  spaces around \n', 'spaces around'],
    ['two\r\nlines\tand a tab', 'two lines and a tab'],
    ['\u001b[31mred\u001b[0m', 'red'],
    ['\u001b]0;title\u0007text', 'text'],
    ['\u001b]8;;http://evil\u001b\\link\u001b]8;;\u001b\\', 'link'],
    ['a\u001b[2K\u001b[1Ab', 'ab'],
    ['\u0000\u0008\u007f\u009b31mx', '31mx'],
    ['abc\u202edcba', 'abcdcba'],
    ['a\u200bb\u2066c\u2069d\u061ce\ufefff', 'abcdef'],
    ['##[error]oops', '## [error]oops'],
    ['words ##[set-env]', 'words ## [set-env]'],
    ['#\u0000#[error]', '## [error]'],
    ['#\u001b[0m#[error]', '## [error]'],
    ['日本 é 🙂', '日本 é 🙂'],
    ['', ''],
  ])('%j', (text, safe) => {
    expect(safeLine(text)).toBe(safe);
  });

  it.each([
    '::error::x',
    ' ::set-output name=a::b',
    '\u001b[0m::stop-commands::x',
    '\n::add-mask::x',
    '\u200b::error::x',
  ])('starts no workflow command: %j', (text) => {
    expect(safeLine(text).trimStart()).not.toMatch(/^::/);
  });

  it('cuts what is endless', () => {
    const long = safeLine('x'.repeat(1_000_000));
    expect(long.length).toBeLessThan(2010);
    expect(long).toMatch(/x \.\.\.$/);
  });

  it('is one harmless line, whatever comes in, and stays as it is', () => {
    const nasty = fc.constantFrom(
      '::',
      '##[',
      '\u001b[',
      '\u001b]',
      '\u0007',
      '\n',
      '\r',
      '\u202e',
      'm',
      '31',
      'x',
      ' ',
      '\u2028',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(nasty).map((parts) => parts.join('')),
        ),
        (text) => {
          const safe = safeLine(text);
          expect(safe).not.toMatch(
            /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069]/,
          );
          expect(safe.trimStart()).not.toMatch(/^::/);
          expect(safe).not.toContain('##[');
          expect(safeLine(safe).trim()).toBe(safe.trim());
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('safeCell', () => {
  it.each([
    ['a|b', 'a&#124;b'],
    ['<script>alert(1)</script>', '&lt;script&gt;alert(1)&lt;/script&gt;'],
    ['&lt;', '&amp;lt;'],
    ['[x](http://y)', '&#91;x&#93;(http&#58;//y)'],
    ['**b** _i_ `c` ~s~', '&#42;&#42;b&#42;&#42; &#95;i&#95; &#96;c&#96; &#126;s&#126;'],
    ['@someone $x #1', '<span>&#64;</span>someone &#36;x <span>&#35;</span>1'],
    ['a@b.example GH-7 # x', 'a<span>&#64;</span>b.example GH<span>-</span>7 &#35; x'],
    ['back\\slash', 'back&#92;slash'],
    ['a\nb', 'a b'],
    ['www.evil.example WWW.x', 'www&#46;evil.example WWW&#46;x'],
  ])('%j', (text, cell) => {
    expect(safeCell(text)).toBe(cell);
  });
  it('leaves nothing that could be markup', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const own = /&(?:amp|lt|gt|#\d+);|<span>(?:&#\d+;|-)<\/span>/g;
        expect(safeCell(text).replace(own, '')).not.toMatch(/[&<>\\`*_{}[\]|~@$:\n]/);
      }),
    );
  });
  it('has words of our own between backticks as code, and nothing else as markup', () => {
    expect(safeProse('set `a: <b>` or `c`')).toBe(
      'set <code>a&#58; &lt;b&gt;</code> or <code>c</code>',
    );
    expect(safeProse('one ` alone')).toBe('one &#96; alone');
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(safeProse(text).replace(/<code>|<\/code>|&#96;/g, '')).toBe(
          safeCell(text).replaceAll('&#96;', ''),
        );
      }),
    );
  });
  it('in a code span', () => {
    expect(code('</code><b>')).toBe('<code>&lt;/code&gt;&lt;b&gt;</code>');
    expect(code('')).toBe('');
  });
});

it.each([
  [0, '0:00'],
  [-5, '0:00'],
  [7999, '0:07'],
  [750_000, '12:30'],
  [3_723_000, '1:02:03'],
])('clockTime(%d) is %s', (ms, text) => {
  expect(clockTime(ms)).toBe(text);
});
it.each([
  [850, '850 ms'],
  [999.6, '1 s'],
  [7200, '7.2 s'],
  [59_949, '59.9 s'],
  [59_990, '1 min'],
  [60_000, '1 min'],
  [125_400, '2 min 5 s'],
  [119_600, '2 min'],
])('spokenTime(%d) is %s', (ms, text) => {
  expect(spokenTime(ms)).toBe(text);
});
it('counts and shortens', () => {
  expect([plural(0, 'task'), plural(1, 'task'), plural(2, 'task')]).toEqual([
    '0 tasks',
    '1 task',
    '2 tasks',
  ]);
  expect(shortDigest(`sha256:${'ab'.repeat(32)}`)).toBe('abababababab');
});
it.each([
  [0, '0 s'],
  [119, '119 s'],
  [120, '2 min'],
  [7200, '2 h'],
  [172_800, '2 d'],
])('agoText(%d) is %s', (seconds, text) => {
  expect(agoText(seconds)).toBe(text);
});
it('shortens the digest of an image', () => {
  expect(imageText('api:2', `sha256:${'ab'.repeat(32)}`)).toBe('api:2@sha256:abababababab');
  expect(imageText('api:2', '')).toBe('api:2');
});

describe('tables', () => {
  const head = ['name', 'nothing', 'number'];
  it('align in a log, without empty columns, and a long cell moves its own row only', () => {
    const long = 'x'.repeat(100);
    expect(
      alignedTable(head, [
        ['a', '', '1'],
        ['bb\n::error::', '', '2'],
        [long, '', '3'],
      ]),
    ).toEqual(['NAME          NUMBER', 'a             1', 'bb ::error::  2', `${long}  3`]);
    expect(alignedTable(head, [['::error::', '', '1']])[1]).toMatch(/^ ?: :error::/);
    expect(alignedTable(head, [])).toEqual([]);
  });
  it('in markdown', () => {
    expect(markdownTable(head, [['a', '', '1']])).toEqual([
      '| name | number |',
      '| --- | --- |',
      '| a | 1 |',
      '',
    ]);
    expect(markdownTable(head, [])).toEqual([]);
  });
});
