/** YAML that Docker's reader and the parser here read differently: one document for both, or an error at its line. */
import { afterAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { renderStack, type RenderedStack } from '../../../src/compose/render.js';
import { printedNumber } from '../../../src/compose/spelling.js';
import { InvalidInput } from '../../../src/errors.js';
import { stackConfig, withDockerCli, writeFiles } from '../../support/docker-cli.js';

const WEB = 'services:\n  web:\n    image: web:1\n';

/** What Docker takes as it is: it must not be refused, nor read otherwise. */
const TAKEN: Readonly<Record<string, string>> = {
  'a quote with a backslash': `${WEB}    command: ["it\\'s", "a \\\\'b'", "\\\\\\'"]\n`,
  'a variable in a text with such a quote': `${WEB}    user: "\${A}\\'s $$5"\n`,
  'items below their key': `${WEB}    command: [\n    "a",\n    "b"\n    ]\n    user: u\n`,
  'a mapping in braces below its key': `${WEB}    labels: {\n    "a": "b",\n    "c": "d" }\n    user: u\n`,
  'brackets in brackets at the first column': `${WEB}    ports: [\n{\ntarget: 80\n}\n]\n`,
  'a text in quotes that goes on at the first column': `${WEB}    command: "a\nb" # c\n    user: u\n`,
  'a text in quotes with an empty line': `${WEB}    command: 'a\n\n b'\n    user: u\n`,
  'quotes in brackets': `${WEB}    command: ["a\nb"]\n    user: u\n`,
  'a plain text in braces': `${WEB}    labels: {a: x\n y, c: d}\n    user: u\n`,
  'a comment in brackets': `${WEB}    command: [a,\n# c\n    b]\n    user: u\n`,
  'tabs in brackets': `${WEB}    command: [\n\ta,\n\t b]\n    user: u\n`,
  'tabs in quotes': `${WEB}    command: "x\n\ty"\n    user: u\n`,
  'a brace after a tab': `${WEB}    labels: {a: b,\n\t}\n    user: u\n`,
  'tabs between a key and its value, and behind it': `${WEB}    user:\tu\t\n    command:\t\n      - a\t# c\n`,
  'a tab in a block of text': `${WEB}    command: |\n      a\n      \tb\n`,
  'its own version of YAML': `%YAML 1.1\n---\n${WEB}`,
  'an alias as a key': `x-k: &k foo\n${WEB}    labels:\n      *k : x\n`,
  'tags that say what a value is': `${WEB}    tty: !!bool "true"\n    user: !!str 5\n    environment: {A: !!int "5", B: !!float 5}\n`,
  'keys of many kinds': `${WEB}    labels:\n      ? complex\n      : x\n      "a b" : c\n`,
};

/** What Docker refuses, and something else that it takes means the same. */
const MENDED: Readonly<Record<string, readonly [string, string]>> = {
  'slashes with a backslash, as PHP writes JSON': [
    '{"services":{"web":{"image":"a\\/b:1","command":["\\/bin\\/sh","\\\\/x"],"labels":{"a\\/b":"$$\\/"}}}}',
    'services: {web: {image: "a/b:1", command: ["/bin/sh", "\\\\/x"], labels: {"a/b": "$$/"}}}\n',
  ],
  'characters as two halves, as Python writes JSON': [
    '{"services":{"web":{"image":"web:1","labels":{"\\ud83d\\ude00":"a \\ud83d\\ude00 \\\\ud83d"}}}}',
    'services: {web: {image: "web:1", labels: {"\\U0001F600": "a \\U0001F600 \\\\ud83d"}}}\n',
  ],
  'the version 1.2 of YAML': [`# c\n%YAML 1.2\n---\n${WEB}`, WEB],
};

/** What Docker refuses, told at its line. */
const REFUSED: Readonly<Record<string, readonly [string, string]>> = {
  'a line of tabs': [`${WEB}\t\n    user: u\n`, '4:1: invalid YAML: Tabs'],
  'a tab among spaces': [`${WEB}  \t\n    user: u\n`, '4:3: invalid YAML: Tabs'],
  'a tab before a comment': [
    `${WEB}    command:\n    - a\n\t# c\n    - b\n`,
    '6:1: invalid YAML: Tabs',
  ],
  'a tab at the end': [`${WEB}\t`, '4:1: invalid YAML: Tabs'],
  'a tab at the beginning': [`\t\n${WEB}`, '1:1: invalid YAML: Tabs'],
  'a tab after a dash': [`${WEB}    command:\n      -\ta\n`, '5:8: invalid YAML: Tabs'],
  'a tab after a question mark': [
    `${WEB}    labels:\n      ? \ta\n      : b\n`,
    '5:9: invalid YAML: Tabs',
  ],
  'a tab after brackets': [`${WEB}    command: [a,\n      b]\n\t\n`, '6:1: invalid YAML: Tabs'],
  'an unknown escape': [`${WEB}    command: ["\\d+"]\n`, '4:16: invalid YAML: Invalid escape'],
  'a text with a colon': [`${WEB}    command: echo a: b\n`, '4:14: invalid YAML: Nested mappings'],
  'a text with an at': [`${WEB}    command: @x\n`, '4:14: invalid YAML: Plain value cannot start'],
  'a template without quotes': [
    `${WEB}    hostname: {{.Node.Hostname}}\n`,
    '4:16: a key is a text',
  ],
  'a list as a key': [`${WEB}    labels:\n      ? [a, b]\n      : x\n`, '5:9: a key is a text'],
  'a key without a name': [`${WEB}    labels: {"": x}\n`, '4:14: `services.web.labels` has a key'],
  'nothing as a key': [`${WEB}    labels: {~: x}\n`, '4:14: `services.web.labels` has a key'],
  'a long key': [
    `${WEB}    labels:\n      ${'k'.repeat(1025)}: x\n`,
    "5:7: Docker's YAML reader wants a key",
  ],
  'a colon in the next line': [
    '{"services"\n:\n{"web":{"image":"web:1"}}}\n',
    "1:2: Docker's YAML reader wants",
  ],
  'an anchor with a dot': [
    `x-k: &a.b c\n${WEB}    user: *a.b\n`,
    '1:11: the anchor &a.b has a name',
  ],
  'a number that is none': [
    `${WEB}    environment: {A: !!int x}\n`,
    '4:28: this value is not what its tag',
  ],
  'a null that is none': [
    `${WEB}    environment: {A: !!null x}\n`,
    '4:29: this value is not what its tag',
  ],
};

/** What Docker takes for a line break, so that something stands in the file that nobody sees. */
const HIDDEN = ['\u0085', '\u2028', '\u2029'];

function render(text: string): RenderedStack {
  return renderStack({
    files: [{ path: 'stack.yml', text: Buffer.from(text) }],
    ...{ stack: 'shop', variables: new Map([['A', "x'y"]]), allowUnset: false },
    ...{ workingDirectory: '/nowhere', home: undefined, readFile: () => 'missing' as const },
  });
}

function problems(text: string): InvalidInput['problems'] | readonly [] {
  try {
    render(text);
    return [];
  } catch (error) {
    if (error instanceof InvalidInput) return error.problems;
    throw error;
  }
}

describe('what Docker refuses', () => {
  it.each(Object.entries(REFUSED))('is told at its line: %s', (_, [text, expected]) => {
    const [first, ...others] = problems(text);
    expect(first?.message).toContain(`stack.yml:${expected}`);
    expect(others).toEqual([]);
  });

  it.each([
    ['a line of tabs', 'Write spaces instead, or nothing in an empty line.'],
    ['an unknown escape', 'Write \\\\ for a backslash, or put single quotes around the text.'],
    ['a text with a colon', 'Quote a text that has ": " in it, or ":" at its end.'],
    ['a text with an at', 'Quote the text.'],
    ['a template without quotes', 'Quote it where a text is meant: "{{.Node.Hostname}}".'],
  ])('comes with what mends it: %s', (name, hint) => {
    expect(problems(REFUSED[name]?.[0] ?? '')[0]?.hint).toBe(hint);
  });

  it('is told as the parser sees it where lines are less indented and something else is wrong', () => {
    const text = `${WEB}    command: [\n    "a"\n    ]\n    user: "b" c\n`;
    const messages = problems(text).map(({ message }) => message);
    expect(messages[0]).toContain('stack.yml:5:5: invalid YAML: Flow sequence in block collection');
    expect(messages.at(-1)).toContain('stack.yml:7:15: invalid YAML: Unexpected scalar');
  });
});

describe('invisible characters that Docker takes for a line break', () => {
  const places = [
    (char: string) => `${WEB}    # text${char}    privileged: true\n`,
    (char: string) => `${WEB}    user: "a${char}b"\n`,
    (char: string) => `${WEB}    command: |\n      a${char}b\n`,
  ];
  it.each(HIDDEN.flatMap((char) => places.map((place) => [place(char)])))('%j', (text) => {
    expect(problems(text)).toEqual([
      expect.objectContaining({
        message: expect.stringMatching(
          /stack\.yml:\d:\d+: the invisible character U\+(?:0085|202[89]), /,
        ),
      }),
    ]);
  });

  it('are fine where they are written as escapes', () => {
    expect(problems(`${WEB}    user: "a\\u2028b\\u0085"\n`)).toEqual([]);
  });
});

const NUMBERS = [
  ...[
    '0',
    '7',
    '010',
    '0o17',
    '0123',
    '089',
    '0x1F',
    '0b11',
    '+1',
    '-1',
    '-010',
    '1_000',
    '00',
    '-0',
  ],
  ...[
    '1.0',
    '1.10',
    '.5',
    '1.',
    '1e3',
    '1e10',
    '1E-7',
    '0.0001',
    '0.00001',
    '1234567.5',
    '12345.678',
  ],
  ...[
    '9223372036854775807',
    '18446744073709551615',
    '18446744073709551616',
    '-9223372036854775808',
  ],
  ...[
    '100000000000000000000',
    '0.1',
    '1.5e300',
    '123456789012345678',
    '20',
    '-1.50',
    '1e21',
    '1e20',
  ],
];

describe('a number where Docker has a text', () => {
  const env = (number: string): string => `${WEB}    environment: {A: ${number}}\n`;
  it.each(NUMBERS)('%s has a warning if it does not arrive so', (number) => {
    const { warnings } = render(env(number));
    expect(warnings.map(({ position, hint }) => [position, hint])).toEqual(
      printedNumber(number) === number
        ? []
        : [[{ file: 'stack.yml', line: 4, column: 22 }, 'Quote it, as in "010" or "1.10".']],
    );
  });

  it.each(['"010"', "'1.10'", '"${A}"', '1.2.3', '01:30'])('%s has none', (value) => {
    expect(render(env(value)).warnings).toEqual([]);
  });

  it('shows no value, has an octal one in labels, and none in a list or a build', () => {
    const text = `${WEB}    labels: {a: 010}\n    environment: [A=010]\n    build: {context: ., args: {A: 010}}\n`;
    const [warning, ...others] = render(text).warnings;
    expect(others).toEqual([]);
    expect(warning?.message).toBe(
      'stack.yml:4:17: `services.web.labels.a`: Docker reads a number here and prints it anew, so that it arrives otherwise than it is written',
    );
  });
});

await withDockerCli('28.5', 'Docker 28', (docker) => {
  const work = mkdtempSync(join(tmpdir(), 'dialect-'));
  afterAll(() => rmSync(work, { recursive: true, force: true }));
  let number = 0;
  const config = (
    text: string,
    env: Readonly<Record<string, string>> = {},
  ): ReturnType<typeof stackConfig> => {
    const directory = join(work, String((number += 1)));
    writeFiles(directory, [['stack.yml', text]]);
    return stackConfig(docker, directory, ['stack.yml'], env);
  };
  const rendered = (text: string): string =>
    render(text)
      .files.map((file) => file.text)
      .join();

  it.each(Object.entries(TAKEN))('takes, and reads the same: %s', (_, text) => {
    const before = config(text, { A: "x'y" });
    expect(before).toHaveProperty('merged');
    expect(config(rendered(text))).toEqual(before);
  });

  it.each(Object.entries(MENDED))(
    'refuses, and takes what is made of it: %s',
    (_, [text, meant]) => {
      expect(config(text)).toHaveProperty('refusal');
      const after = config(rendered(text));
      expect(after).toHaveProperty('merged');
      expect(after).toEqual(config(meant));
    },
  );

  it.each(Object.entries(REFUSED))('refuses too: %s', (_, [text]) => {
    expect(config(text)).toHaveProperty('refusal');
  });

  it('prints numbers as is said here', () => {
    const lines = NUMBERS.map((each, index) => `      N${index}: ${each}\n`);
    const { merged } = config(`${WEB}    environment:\n${lines.join('')}`) as {
      merged: { services: { web: { environment: Record<string, string> } } };
    };
    const { environment } = merged.services.web;
    expect(NUMBERS.map((_, index) => environment[`N${index}`])).toEqual(NUMBERS.map(printedNumber));
  });
});
