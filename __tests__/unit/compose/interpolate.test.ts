import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { interpolate } from '../../../src/compose/interpolate.js';

const variables = new Map([
  ['SET', 'value'],
  ['EMPTY', ''],
  ['TRICKY', '${SET} $SET $$ $& `x`'],
  ['lower_1', 'low'],
  ['_', 'underscore'],
]);
const value = (text: string): string => interpolate(text, variables).value;
const faults = (text: string): string[] =>
  interpolate(text, variables).faults.map(({ kind, message }) => `${kind}: ${message}`);

describe('interpolate', () => {
  it.each([
    ['nothing', 'nothing'],
    ['$SET ${SET}', 'value value'],
    ['a$SET.b', 'avalue.b'],
    ['$SET-alpine', 'value-alpine'],
    ['${lower_1}$_', 'lowunderscore'],
    ['$$SET $${SET} $$$SET', '$SET ${SET} $value'],
    ['${TRICKY}', '${SET} $SET $$ $& `x`'],
    ['${EMPTY}|${EMPTY:-d}|${EMPTY-d}', '|d|'],
    ['${NO:-d}|${NO-d}|${NO:-}|${NO-}', 'd|d||'],
    ['${SET:-d}|${SET-d}', 'value|value'],
    ['${SET:+r}|${SET+r}|${EMPTY:+r}|${EMPTY+r}|${NO:+r}|${NO+r}', 'r|r||r||'],
    ['${SET:?e}|${SET?e}|${EMPTY?e}', 'value|value|'],
    ['${NO:-${SET}}', 'value'],
    ['${NO:-a${ALSO:-b${SET:+c}}d}', 'abcd'],
    ['${NO:-$$5}', '$5'],
    ['${NO:-{"a":{"b":1}}}!', '{"a":{"b":1}}!'],
    ['${NO:-{}', '{'],
    ['${SET:-{"a":1}}!', 'value!'],
    ['${NO:-a?b:-c+d}', 'a?b:-c+d'],
    ['${SET:-${NO}}', 'value'],
    ['${SET:-${broken}', 'value'],
    ['${NO:+${ALSO}}', ''],
    ['line\n${SET}\nline', 'line\nvalue\nline'],
    ['$(date) $ 5$', '$(date) $ 5$'],
    ['$1 $- $é', '$1 $- $é'],
  ])('%j is %j', (text, expected) => {
    expect(faults(text)).toEqual([]);
    expect(value(text)).toBe(expected);
  });

  it.each([
    ['${NO}', 'unset: the variable NO is not set'],
    ['$NO', 'unset: the variable NO is not set'],
    ['${SET:+${NO}}', 'unset: the variable NO is not set'],
    ['${NO:?why}', 'required: the required variable NO is not set: why'],
    ['${NO?}', 'required: the required variable NO is not set'],
    ['${EMPTY:?set $SET}', 'required: the required variable EMPTY is empty: set value'],
    ['${SET', 'malformed: `${SET` has no closing brace'],
    ['${}', 'malformed: `${}` is no variable: a variable name has letters'],
    ['${1A}', 'malformed: `${1A}` is no variable: a variable name has letters'],
    ['${ SET }', 'malformed: `${ SET }` is no variable: a variable name has letters'],
    ['${SET!}', 'malformed: `${SET!}` is no variable: after the name there may be one of'],
    ['${SET:x}', 'malformed: `${SET:x}` is no variable: after the name there may be one of'],
  ])('%j: %s', (text, expected) => {
    expect(faults(text)).toEqual([expect.stringContaining(expected)]);
  });

  it('tells every fault of a text', () => {
    expect(faults('${A} $B ${C:?c}')).toHaveLength(3);
  });

  it('tells escapes, which Docker resolves, from variables, which it must not see', () => {
    const used = (text: string): string => interpolate(text, variables).used;
    expect(['a', 'a $$ b', 'a $$ $SET', 'a $ b'].map(used)).toEqual([
      'none',
      'escapes',
      'variables',
      'variables',
    ]);
  });

  it('gives any value through untouched', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(interpolate('<${X}>', new Map([['X', text]])).value).toBe(`<${text}>`);
      }),
    );
  });

  it('ends on any text', () => {
    const parts = fc.constantFrom('$', '{', '}', '$$', '${', ':-', '?', '+', 'A', ' ', '\n');
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 60 }), (texts) => {
        expect(typeof value(texts.join(''))).toBe('string');
      }),
    );
  });
});
