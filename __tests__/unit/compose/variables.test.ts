import { describe, expect, it } from '@jest/globals';
import { collectVariables, parseDotenv } from '../../../src/compose/variables.js';

const outer = new Map([
  ['OUTER', 'outer'],
  ['TAKEN', 'from outside'],
]);
const parse = (text: string): Record<string, string> => {
  const { values, problems, unset } = parseDotenv({ path: '.env', text: Buffer.from(text) }, outer);
  expect([...problems, ...unset]).toEqual([]);
  return Object.fromEntries(values);
};
const messages = (text: string): string[] => {
  const { problems, unset } = parseDotenv({ path: '.env', text: Buffer.from(text) }, outer);
  return [...problems, ...unset].map(({ message }) => message);
};

describe('parseDotenv', () => {
  it.each<[string, string, Record<string, string>]>([
    ['plain', 'A=1\nB=two words\n', { A: '1', B: 'two words' }],
    ['comments and blank lines', '# c\n\n  # d\nA=1', { A: '1' }],
    ['an inline comment', 'A=1 # c\nB=1#2\n', { A: '1', B: '1#2' }],
    ['export', 'export A=1\nexport\tB="2"\n', { A: '1', B: '2' }],
    ['a key called export', 'export=1\n', { export: '1' }],
    ['spaces around', '  A = 1  \n', { A: '1' }],
    ['a colon', 'A: 1\n', { A: '1' }],
    ['an equals sign in the value', 'A=b=c\n', { A: 'b=c' }],
    ['empty', 'A=\nB=""\nC=\'\'\n', { A: '', B: '', C: '' }],
    ['CRLF', 'A=1\r\nB="2"\r\nC=\r\n', { A: '1', B: '2', C: '' }],
    ['a byte order mark', '\ufeffA=1\n', { A: '1' }],
    ['single quotes', "A='$OUTER \\n ${X} # c'\n", { A: '$OUTER \\n ${X} # c' }],
    ['a quote in single quotes', "A='it\\'s'\n", { A: "it's" }],
    ['double quotes', 'A="a # b" # c\n', { A: 'a # b' }],
    ['escapes', 'A="\\n\\t\\\\ \\" \\$OUTER \\x"\n', { A: '\n\t\\ " $OUTER \\x' }],
    ['no escapes without quotes', 'A=a\\nb\n', { A: 'a\\nb' }],
    ['interpolation', 'A=1\nB=$A${OUTER}\nC="${A}-${NO:-d}"\n', { A: '1', B: '1outer', C: '1-d' }],
    ['own keys before others', 'TAKEN=mine\nA=$TAKEN\n', { TAKEN: 'mine', A: 'mine' }],
    ['$$', 'A=a$$b\n', { A: 'a$b' }],
    ['several lines', 'A="one\ntwo"\nB=\'x\n# y\'\nC=3', { A: 'one\ntwo', B: 'x\n# y', C: '3' }],
    ['a key alone', 'OUTER\nNOWHERE\nA=1\n', { OUTER: 'outer', A: '1' }],
    ['a key alone at the end', 'export OUTER', { OUTER: 'outer' }],
    ['the last of two', 'A=1\nA=2\n', { A: '2' }],
    ['unicode', 'A=ü☃\n', { A: 'ü☃' }],
  ])('%s', (_, text, expected) => {
    expect(parse(text)).toEqual(expected);
  });

  it.each([
    ['A=1\nB="open\nC=1\n', '.env:2:3: the value of B has no closing "'],
    ['A=1\n\nnot a line!\n', '.env:3:1: this line is not KEY=VALUE'],
    ['=1\n', '.env:1:1: this line is not KEY=VALUE'],
    ['A="1" x\n', '.env:1:6: unexpected text after the closing " of A'],
    ['A=1\nB=x${NO}\n', '.env:2:4: the variable NO is not set'],
    ['A="a\n $NO"\n', '.env:2:2: the variable NO is not set'],
    ['A=${NO:?say it}\n', '.env:1:3: the required variable NO is not set: say it'],
    ['A=${B\n', '.env:1:3: `${B` has no closing brace'],
  ])('%j: %s', (text, expected) => {
    expect(messages(text)).toEqual([expected]);
  });

  it('goes on after a bad line', () => {
    expect(messages('bad line!\nA=1\nworse line!\n')).toHaveLength(2);
  });

  it('refuses what is not UTF-8', () => {
    const { problems } = parseDotenv(
      { path: '.env', text: Buffer.from([0x41, 0x3d, 0xff]) },
      outer,
    );
    expect(problems).toMatchObject([{ reason: 'input-invalid', position: { file: '.env' } }]);
  });
});

describe('collectVariables', () => {
  const file = (text: string, path = '.env') => ({ path, text: Buffer.from(text) });

  it('has env win over env files, a later file over an earlier, and both over the environment', () => {
    const { variables } = collectVariables({
      env: new Map([['A', 'env']]),
      envFiles: [file('A=1\nB=1\nC=1\n'), file('B=2\nD=$C$E\n')],
      environment: { A: 'e', B: 'e', C: 'e', E: 'e', F: undefined },
      allowUnset: false,
    });
    expect(Object.fromEntries(variables)).toEqual({ A: 'env', B: '2', C: '1', D: '1e', E: 'e' });
  });

  it('takes the names of Object for names', () => {
    const { variables } = collectVariables({
      env: new Map(),
      envFiles: [file('constructor=1\n__proto__=2\n')],
      environment: {},
      allowUnset: false,
    });
    expect([variables.get('constructor'), variables.get('__proto__')]).toEqual(['1', '2']);
    expect(variables.get('toString')).toBeUndefined();
  });

  it('collects the problems of all files, and warns of unset ones where they are allowed', () => {
    const sources = {
      env: new Map<string, string>(),
      envFiles: [file('A=$NO\n', 'a.env'), file('no line!\n', 'b.env')],
      environment: {},
    };
    const strict = collectVariables({ ...sources, allowUnset: false });
    expect(strict.problems.map(({ position }) => position?.file).sort()).toEqual([
      'a.env',
      'b.env',
    ]);
    const lenient = collectVariables({ ...sources, allowUnset: true });
    expect(lenient.problems).toHaveLength(1);
    expect(lenient.warnings).toMatchObject([{ reason: 'variable-unset' }]);
    expect(lenient.variables.get('A')).toBe('');
  });
});
