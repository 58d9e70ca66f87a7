/** Files that are made to hurt, or that are no stack files at all: a clear error, and little work. */
import { describe, expect, it, jest } from '@jest/globals';
import { Parser } from 'yaml';
import { renderEnvFile } from '../../../src/compose/env-file.js';
import { renderStack } from '../../../src/compose/render.js';
import { MAX_FILE_BYTES, MAX_TOKENS } from '../../../src/compose/source.js';
import { parseDotenv } from '../../../src/compose/variables.js';
import { InvalidInput } from '../../../src/errors.js';

const WEB = 'services:\n  web:\n    image: nginx\n';
const KB = 1024;

/** What rendering says of a text: its problems, or the rendered text. */
function outcome(text: string | Buffer, variables = new Map<string, string>()): readonly string[] {
  try {
    const { files } = renderStack({
      files: [{ path: 'stack.yml', text: Buffer.from(text) }],
      ...{ stack: 'demo', variables, allowUnset: false },
      ...{ workingDirectory: '/nowhere', home: undefined, readFile: () => 'missing' as const },
    });
    return files.map((file) => `rendered: ${file.text}`);
  } catch (error) {
    if (error instanceof InvalidInput) return error.problems.map(({ message }) => message);
    throw error;
  }
}

/** Milliseconds of processor time; the better of two, as others use the machine, too. */
function cost(action: () => unknown): number {
  return Math.min(
    ...[1, 2].map(() => {
      const before = process.cpuUsage();
      action();
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000;
    }),
  );
}

/** An honest stack file of about this many bytes. */
function honest(bytes: number): string {
  const service = (index: number): string =>
    `  s${index}:\n    image: registry.example.com/team/app:${index}\n` +
    '    environment:\n      A: "one"\n      B: two\n    ports:\n      - "80"\n';
  const each = service(1000).length;
  return `services:\n${Array.from({ length: Math.floor(bytes / each) }, (_, i) => service(i)).join('')}`;
}

const repeated = (line: string, bytes = 480 * KB): string =>
  line.repeat(Math.floor(bytes / line.length));

/** Almost all of each is errors of syntax: of the lexer, the parser, the composer, or all of them. */
const broken = (line: string): string => repeated(line, 150 * KB);
const BROKEN: Readonly<Record<string, string>> = {
  'closing brackets': broken(']\n'),
  'closing braces on one line': broken('}'),
  'aliases without a name': broken('* \n'),
  'words after a quote': broken('a: "b" c\n'),
  commas: `[${broken(',')}`,
  'lists behind keys': broken('a: - b\n'),
  'tags on tags': broken('a: !x !y z\n'),
  'anchors on anchors': broken('&a &b &c\n'),
  tabs: broken('a:\n\tb: c\n'),
  'brackets that braces close': repeated('[a,', 450) + broken('}\n'),
  'a good beginning': honest(20 * KB) + broken('a: "b" c\n'),
};

describe('a file of hundreds of kilobytes that is almost all errors', () => {
  const measure = honest(150 * KB);
  const budget = cost(() => outcome(measure));

  it.each(Object.entries(BROKEN))('%s', (_, text) => {
    const said = outcome(text);
    expect(said).toHaveLength(11);
    for (const line of said.slice(0, 10))
      expect(line).toMatch(/^stack\.yml:\d+:\d+: invalid YAML: /);
    expect(said[10]).toBe('stack.yml: and more errors of syntax after these');
    // Before, the worst of them took ten times as long as a good file of their size.
    expect(cost(() => outcome(text))).toBeLessThan(3 * budget);
  });
});

describe('limits', () => {
  it.each([
    ['bytes', 'a'.repeat(MAX_FILE_BYTES + 1), `the file has ${MAX_FILE_BYTES + 1} bytes`],
    ['words and signs', repeated(': \n'), `more than ${MAX_TOKENS} words, signs and line breaks`],
    ['line breaks', WEB + repeated('\n'), `more than ${MAX_TOKENS} words, signs and line breaks`],
    ['documents', repeated('---\n'), 'more than 50 YAML documents'],
    ['documents that end', `a: b\n${repeated('...\nc: d\n')}`, 'more than 50 YAML documents'],
    ['depth, in brackets', repeated('[a,'), 'nested too deeply'],
    ['depth, in dashes', repeated('- '), 'nested too deeply'],
    ['depth, in questions', repeated('? '), 'nested too deeply'],
    ['depth, by indentation', honestDepth(300), 'nested too deeply'],
  ])('of %s', (_, text, message) => {
    const said = outcome(text);
    expect(said).toEqual([expect.stringContaining(message)]);
  });

  it('name the errors of syntax that come before them, as those are what is wrong', () => {
    expect(outcome(`a: "b" c\n${repeated(': \n')}`)).toEqual([
      expect.stringMatching(/^stack\.yml:1:8: invalid YAML: Unexpected scalar at node end/),
    ]);
  });

  it('leave every stack in peace that is not far beyond what Swarm takes', () => {
    for (const text of [
      honest(500 * KB),
      JSON.stringify(jsonStack(3000)),
      `${WEB}${' '.repeat(400 * KB)}`,
    ])
      expect(outcome(text)).toEqual([`rendered: ${text}`]);
    const content = `${WEB}x-text: |\n${repeated('  a line of a text\n')}`;
    expect(outcome(content)).toEqual([`rendered: ${content}`]);
    expect(outcome(`${WEB}---\n`)).toHaveLength(1);
  });
});

function honestDepth(levels: number): string {
  return Array.from({ length: levels }, (_, level) => `${' '.repeat(level)}a:\n`).join('');
}

function jsonStack(services: number): object {
  const service = { image: 'a:1', ports: ['80'], environment: { A: '1', B: '2' } };
  return {
    services: Object.fromEntries(Array.from({ length: services }, (_, i) => [`s${i}`, service])),
  };
}

describe('variables that blow a file up', () => {
  const user = (text: string): string => `${WEB}    user: "${text}"\n`;
  const BIG = new Map([['BIG', 'x'.repeat(100_000)]]);

  it('tells the first of a hundred thousand unset ones, wherever they stand', () => {
    const texts = [
      user(repeated('$A')),
      user(`\${X:-${repeated('$A')}}`),
      user(repeated('\\x24{A}')),
      `${WEB}    command:\n${repeated('      - $A$A$A$A\n')}`,
    ];
    for (const text of texts) {
      const said = outcome(text);
      expect(said[0]).toContain('the variable A is not set');
      expect(said.length).toBeLessThanOrEqual(201);
    }
  });

  it('pairs braces that nobody closes in one pass', () => {
    const text = user(repeated('${A:-{}'));
    expect(outcome(text)).toEqual([expect.stringMatching(/^rendered: .*\{\{\{/s)]);
    const [small, large] = [60, 480].map((kb) => user(repeated('${A:-{}', kb * KB)));
    const base = Math.max(
      1,
      cost(() => outcome(small!)),
    );
    // Eight times as much: about eight times the time, and not sixty-four.
    expect(cost(() => outcome(large!))).toBeLessThan(32 * base);
  });

  it('refuses nesting beyond reason, and reads what is below', () => {
    const nested = (levels: number): string =>
      user(`${'${A:-'.repeat(levels)}x${'}'.repeat(levels)}`);
    expect(outcome(nested(50))).toEqual([expect.stringMatching(/^rendered: .*user: .*x/s)]);
    expect(outcome(nested(50_000))).toEqual([
      expect.stringContaining('is nested more than 50 levels deep'),
    ]);
    expect(outcome(user('${A:-'.repeat(90_000)))).toEqual([
      expect.stringContaining('has no closing brace'),
    ]);
  });

  it('refuses what no stack could hold: in one value, in many, in a list of names', () => {
    const bigs = (line: (index: number) => string): string =>
      `${WEB}    environment:\n${Array.from({ length: 9000 }, (_, i) => line(i)).join('')}`;
    expect(outcome(user(repeated('$BIG')), BIG)).toEqual([
      expect.stringContaining('stack.yml:4:12: with its variables filled in, this value has more'),
    ]);
    const names = new Map(Array.from({ length: 9000 }, (_, i) => [`BIG${i}`, 'x'.repeat(100_000)]));
    for (const [text, variables] of [
      [bigs((i) => `      E${i}: $BIG\n`), BIG],
      [bigs((i) => `      - BIG${i}\n`), names],
    ] as const)
      expect(outcome(text, variables)).toEqual([
        expect.stringMatching(
          /^stack\.yml:4\d:\d+: with its variables filled in, the file has more/,
        ),
      ]);
  });

  it('refuses a laughter of variables in an env file', () => {
    const names = Array.from('BCDEFGHIJKLM');
    const lines = names.map(
      (name, index) => `${name}=${`$${'ABCDEFGHIJKL'[index]!}`.repeat(10)}\n`,
    );
    const { problems } = parseDotenv(
      { path: '.env', text: Buffer.from(`A=${'x'.repeat(100)}\n${lines.join('')}`) },
      new Map(),
    );
    expect(problems[0]?.message).toMatch(
      /^\.env:6:3: with its variables filled in, this value has/,
    );
  });
});

describe('names, images and values of env files', () => {
  const LONG: Readonly<Record<string, (length: number) => unknown>> = {
    'a name of a service': (length) =>
      outcome(`services:\n  ? ${'a'.repeat(length)}!\n  : {image: i}\n`),
    'an image': (length) =>
      ['a', 'a-', 'a.', 'a/', 'a:', 'A-'].map((part) =>
        outcome(`services: {a: {image: "${part.repeat(length / 2)}!"}}\n`),
      ),
    'a value of an env file': (length) =>
      ['${a', '"', '" ', "' ", ' ', '" #'].map((part) =>
        renderEnvFile(
          { path: 'app.env', text: Buffer.from(`A="${part.repeat(length / 2)}!\n`) },
          new Map(),
        ),
      ),
  };
  it.each(Object.entries(LONG))('%s: as long as it is, looked at in one pass', (_, look) => {
    const [small, large] = [8, 64].map((kb) => cost(() => look(kb * KB)));
    // Eight times as much: about eight times the time, and not sixty-four, or no end.
    expect(large!).toBeLessThan(32 * Math.max(2, small!));
  });
});

describe('what editors and shells leave in files', () => {
  it('reads a byte order mark, CRLF and UTF-16', () => {
    const text = honest(20 * KB);
    expect(outcome(`\ufeff${text}`)).toEqual([`rendered: ${text}`]);
    const crlf = text.replaceAll('\n', '\r\n');
    expect(outcome(crlf)).toEqual([`rendered: ${crlf}`]);
    expect(outcome(Buffer.from(`\ufeff${text}`, 'utf16le'))).toEqual([`rendered: ${text}`]);
  });

  it('refuses tabs, the same key twice, and bytes that are no text, at their place', () => {
    expect(outcome('services:\n\tweb:\n')).toEqual([
      expect.stringMatching(/^stack\.yml:2:1: invalid YAML: Tabs are not allowed as indentation/),
    ]);
    expect(outcome(`${WEB}    image: two\n`)).toEqual([
      'stack.yml:4:5: the key `image` is there already, in line 3',
    ]);
    expect(outcome(Buffer.alloc(500 * KB))).toEqual([
      expect.stringContaining('the control character U+0000'),
    ]);
    const noise = Buffer.from(Array.from({ length: 400 * KB }, (_, index) => (index * 7919) % 256));
    expect(outcome(noise)).toEqual([expect.stringContaining('this is not a text file')]);
  });
});

describe('work that is not done', () => {
  it('is to read on behind the tenth error of syntax', () => {
    const read = jest.spyOn(Parser.prototype, 'next');
    try {
      expect(outcome(broken(']\n'))).toHaveLength(11);
      expect(read.mock.calls.length).toBeGreaterThan(9);
      expect(read.mock.calls.length).toBeLessThan(100);
    } finally {
      read.mockRestore();
    }
  });

  it('is to list all that there is at each of thousands of slips', () => {
    const services = Array.from(
      { length: 150 },
      (_, i) => `  s${i}: {image: a, volumes: [xx:/x]}\n`,
    );
    const volumes = Array.from({ length: 2000 }, (_, i) => `  volume${i}: {}\n`);
    try {
      renderStack({
        files: [
          {
            path: 'stack.yml',
            text: Buffer.from(`services:\n${services.join('')}volumes:\n${volumes.join('')}`),
          },
        ],
        ...{ stack: 'demo', variables: new Map(), allowUnset: false },
        ...{ workingDirectory: '/nowhere', home: undefined, readFile: () => 'missing' as const },
      });
      throw new Error('nothing was found');
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error;
      expect(error.problems).toHaveLength(150);
      for (const { hint } of error.problems) {
        expect(hint).toContain('volume0, volume1, ');
        expect(hint?.length).toBeLessThan(250);
      }
    }
  });
});

it('a limit is told as the limit, not as what cutting the text there would make of it', () => {
  const keys = Array.from({ length: 45_000 }, (_, index) => ` k${index}:\n`).join('');
  for (const start of ['x-a:\n', 'x-ab:\n # c\n', 'x-ab:\n # c\n # d\n'])
    expect(outcome(`${WEB}${start}${keys}`)).toEqual([
      expect.stringContaining(`more than ${MAX_TOKENS} words, signs and line breaks`),
    ]);
});
