import { describe, expect, it } from '@jest/globals';
import { renderEnvFile } from '../../../src/compose/env-file.js';

const variables = new Map([
  ['SET', 'a b "c" $d'],
  ['EMPTY', ''],
  ['LINES', 'a\nb'],
  ['NUL', 'a\0b'],
]);
const render = (text: string | Buffer) =>
  renderEnvFile({ path: 'app.env', text: Buffer.from(text) }, variables);

describe('renderEnvFile', () => {
  it('gives a key alone the value of the runner and leaves all else as it is', () => {
    const { content, problems, empty } = render(
      '\ufeff# c\r\n\n  A="x" # y \r\nSET\r\n  EMPTY\nNOWHERE\nB=\nC=$SET ${SET}',
    );
    expect(problems).toEqual([]);
    expect(content.toString()).toBe(
      '\ufeff# c\r\n\n  A="x" # y \r\nSET=a b "c" $d\r\nEMPTY=\n#NOWHERE\nB=\nC=$SET ${SET}',
    );
    expect(empty).toEqual(['EMPTY', 'B']);
  });

  it('takes a value with line breaks out, unless a later line has the name', () => {
    const { content, problems, broken, names } = render('A=1\nLINES\nB=2\n');
    expect(problems).toEqual([]);
    expect(content.toString()).toBe('A=1\n#LINES\nB=2\n');
    expect([...broken]).toEqual([['LINES', 'a\nb']]);
    expect([...names]).toEqual(['A', 'LINES', 'B']);
    expect([...render('LINES\nLINES=one\n').broken]).toEqual([]);
  });

  it.each([
    ['A=1\nB="hunter2"\n', 'app.env:2:1: B: the quotes are part of the value for Docker'],
    ["A='hunter2' \r\n", 'app.env:1:1: A: the quotes are part of the value for Docker'],
    ['A="hunter2" # c\n', 'app.env:1:1: A: quotes and comment are part of the value for Docker'],
    ['A=hunter2 # c\n', 'app.env:1:1: A: the comment is part of the value for Docker'],
    [
      'A=http://${HOST:-hunter2}/\n',
      'app.env:1:1: A: Docker puts no variable in the place of ${...} here',
    ],
    [
      Array.from({ length: 8 }, (_, i) => `A${i}="hunter2"\n`).join('# c\n'),
      'app.env:1:1: A0: the quotes are part of the value for Docker; see also line 3, 5, 7, 9, 11 and more',
    ],
  ])('tells once what Docker Compose reads otherwise, and no value: %j', (text, expected) => {
    const { warnings, problems, content } = render(text);
    expect(problems).toEqual([]);
    expect(warnings.map(({ message }) => message)).toEqual([expected]);
    expect(JSON.stringify(warnings)).not.toContain('hunter2');
    expect(content.toString()).toBe(text);
  });

  it.each(['A={"a": "b"}', 'A="', 'A=say "x"', 'A=a#b', 'A=$x', 'A=p@$$w', 'A=', '# "x"', 'SET'])(
    'says nothing of what both read alike, or nearly: %j',
    (text) => {
      expect(render(text).warnings).toEqual([]);
    },
  );

  it('hands the very bytes on where nothing is to be filled in', () => {
    const text = Buffer.from('A=1\nB=2');
    expect(renderEnvFile({ path: 'a', text }, variables).content).toBe(text);
  });

  it.each([
    ['A=1\nexport B=2\n', 'app.env:2:1: a variable name with a space in it'],
    ['SET \n', 'app.env:1:1: a variable name with a space in it'],
    ['=1\n', 'app.env:1:1: a line without a variable name'],
    [
      'A=1\nNUL\n',
      'app.env:2:1: the value of NUL has a NUL in it, which no variable of a container can hold',
    ],
    [`A=${'x'.repeat(65534)}\n`, 'app.env:1:1: a line of 65536 bytes or more; Docker refuses it'],
  ])('refuses what Docker would refuse or lose', (text, message) => {
    expect(render(text).problems.map((problem) => problem.message)).toEqual([message]);
  });

  it('refuses what is not UTF-8', () => {
    expect(render(Buffer.from([0x41, 0x3d, 0xff])).problems).toHaveLength(1);
  });
});
