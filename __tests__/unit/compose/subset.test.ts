/** Docker's own client of 28.5 says what a file means, with and without some of its services. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { subset } from '../../../src/compose/subset.js';
import { withDockerCli } from '../../support/docker-cli.js';

interface Config {
  services: Record<string, Record<string, unknown>>;
}

let docker = '';
let directory = '';

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'subset-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** What Docker reads in files, or why it does not. */
function config(texts: readonly string[]): Config | string {
  const names = texts.map((text, index) => {
    writeFileSync(join(directory, `${index}.yml`), text);
    return `${index}.yml`;
  });
  const result = spawnSync(docker, ['stack', 'config', ...names.flatMap((name) => ['-c', name])], {
    cwd: directory,
    encoding: 'utf8',
    env: { DOCKER_CONFIG: directory },
  });
  if (result.status !== 0) return result.stderr;
  const read = parse(result.stdout) as Config & Record<string, unknown>;
  // What an extension field shows of services that went is nothing that is deployed.
  return Object.fromEntries(
    Object.entries(read).filter(([key]) => !key.startsWith('x-')),
  ) as unknown as Config;
}

const without = (texts: readonly string[], gone: readonly string[]): readonly string[] =>
  subset(
    texts.map((text, index) => ({ name: `${index}.yml`, text })),
    (name) => !gone.includes(name),
  ).map(({ text }) => text);

/** What is left is what Docker had read, less the services that went. */
function expectSubset(texts: readonly string[], gone: readonly string[]): void {
  const all = config(texts);
  if (typeof all === 'string') throw new Error(`${all}\n${texts.join('\n')}`);
  all.services = Object.fromEntries(
    Object.entries(all.services).filter(([name]) => !gone.includes(name)),
  );
  const rest = without(texts, gone);
  const read = config(rest);
  if (typeof read === 'string') throw new Error(`${read}\n${rest.join('\n---\n')}`);
  expect(read).toEqual(all);
}

const CASES: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  [
    'an anchor that goes with its service',
    [
      'services:\n  a: &a\n    image: x\n    labels: {k: "1"}\n  b:\n    <<: *a\n    user: u\n  c: *a\n',
    ],
    ['a'],
  ],
  [
    'an anchor inside of a service, which more than one service uses',
    [
      'services:\n  a:\n    image: x\n    environment: &env\n      A: 1\n      B: "010"\n      C: on\n      D: |\n        two\n        lines\n' +
        '  b: {image: y, environment: *env}\n  c:\n    image: z\n    environment:\n      <<: *env\n      A: 2\n',
    ],
    ['a'],
  ],
  [
    'anchors in anchors',
    [
      'services:\n  a: &a\n    image: &i x\n    labels: &l {k: *i, m: 010, n: "~", o: ~}\n  b: {image: *i, labels: *l}\n  c: *a\n  d: *a\n',
    ],
    ['a', 'c'],
  ],
  [
    'an anchor that is defined anew',
    [
      'x-a: &a {k: "1"}\nservices:\n  a: {image: x, labels: &a {k: "2"}}\n  b: {image: x, labels: *a}\n' +
        '  c: {image: x, labels: &a {k: "3"}}\n  d: {image: x, labels: *a}\n',
    ],
    ['a', 'b'],
  ],
  [
    'an anchor that is a key, too',
    [
      'services:\n  a:\n    image: x\n    labels: {v: &k name}\n  b:\n    image: y\n    labels:\n      *k : value\n',
    ],
    ['a'],
  ],
  [
    'the last one, with comments behind it',
    [
      'services:\n  a:\n    image: x\n    command: |\n      one\n  b:\n    image: y\n      # deep\n\n   # less\n# end\n',
    ],
    ['b'],
  ],
  [
    'the last one on one line, with a comment as deep as a scalar above',
    [
      'services:\n  a:\n    image: x\n    environment:\n      A: |\n        one\n  b: {image: y}\n        # deep\n',
    ],
    ['b'],
  ],
  [
    'one between block scalars, with comments as deep as those',
    [
      'services:\n  a:\n    image: x\n    command: |+\n      one\n\n\n  b:\n    image: y\n      # not of the scalar above\n  c:\n    image: z\n    command: >-\n      two\n\n      three\nvolumes: {}\n',
    ],
    ['b'],
  ],
  ['all of them', ['services:\n  a:\n    image: x\n', 'services:\n  b:\n    image: y\n'], ['a']],
  ['all, with the last line open', ['services:\n  a:\n    image: x\n  b:\n    image: y'], ['b']],
  [
    'of several files',
    [
      'services:\n  a:\n    image: x\n  b:\n    image: y\n',
      'services:\n  b:\n    user: u\n  a:\n    user: v\n',
    ],
    ['b'],
  ],
  [
    'in flow style',
    ['services: {a: {image: x}, "b": {image: y, labels: &l [a=b]}, c: {image: z, labels: *l}}\n'],
    ['b'],
  ],
  [
    'in flow style over lines',
    ['{\n  "services": {\n    "a": {"image": "x"}, # one\n    "b": {"image": "y"}\n  }\n}\n'],
    ['a'],
  ],
  [
    'with CRLF',
    [
      'services:\r\n  a:\r\n    image: x\r\n    command: |\r\n      one\r\n  b:\r\n    image: y\r\n    # end\r\nnetworks: {}\r\n',
    ],
    ['b'],
  ],
  [
    'with explicit keys',
    ['services:\n  ? a\n  : image: x\n  ? "b"\n  : image: y\n  ? c\n  :\n    image: z\n'],
    ['b'],
  ],
  [
    'with an anchor before a key',
    ['services:\n  &k a:\n    image: x\n  b:\n    image: y\n    hostname: *k\n'],
    ['a'],
  ],
  [
    'services that are an alias',
    ['x-s: &s\n  a: {image: x}\n  b: {image: y}\nservices: *s\n'],
    ['a'],
  ],
  [
    'services that are merged',
    ['x-s: &s\n  a: {image: x}\n  b: {image: y}\nservices:\n  <<: *s\n  c:\n    image: z\n'],
    ['b'],
  ],
  [
    'merged ones, of which none goes',
    ['x-s: &s\n  a: {image: x}\nservices:\n  <<: *s\n  b:\n    image: y\n  c:\n    image: z\n'],
    ['c'],
  ],
  [
    'services with an anchor of their own',
    ['services: &s\n  a: {image: x}\n  b: {image: y}\nx-again: *s\n'],
    ['a'],
  ],
  [
    'a service with tags',
    [
      'services:\n  a: &a\n    image: !!str x\n    environment: {A: !!str 010, B: !!int "7", C: 0x1F, D: 1.5, E: 2001-01-01}\n  b: *a\n',
    ],
    ['a'],
  ],
  [
    'text that only looks harmless',
    [
      'services:\n  a: &a\n    image: x\n    labels: {a: "a: b", b: \'it\'\'s\', c: "# no", d: "", e: " ", f: "[x", g: x#y, h: "-", i: "\\ttab"}\n    command: ["sh", "-c", "echo $$HOME; {x}, [y]"]\n  b: *a\n',
    ],
    ['a'],
  ],
];

describe('a subset', () => {
  it('is the very same text where nothing goes', () => {
    const text = 'services:\n  a: {image: x} # one\n';
    expect(without([text], ['z'])).toEqual([text]);
  });

  it('keeps every other line as it was written', () => {
    const text =
      '# top\nservices:\n  # about a\n  a:\n    image: x   # pinned\n  b:\n    image: y\n  c: { image: z }\nvolumes:\n';
    expect(without([text], ['b'])).toEqual([
      '# top\nservices:\n  # about a\n  a:\n    image: x   # pinned\n  c: { image: z }\nvolumes:\n',
    ]);
  });
});

await withDockerCli('28.5', 'a subset, as Docker reads it,', (path) => {
  docker = path;

  it.each(CASES)('leaves the rest as it was: %s', (_, texts, gone) => {
    expectSubset(texts, gone);
  });

  it('is what Docker makes of the original, for generated files', () => {
    let compared = 0;
    fc.assert(
      fc.property(stack(), ({ texts, gone }) => {
        const all = config(texts);
        // As a merge key after a key that it holds, which this client refuses.
        if (typeof all === 'string') return;
        compared += 1;
        expectSubset(texts, gone);
      }),
      { numRuns: 50 },
    );
    expect(compared).toBeGreaterThan(30);
  });
});

/** A file as a person may write it, in all the styles that YAML has. */
function stack(): fc.Arbitrary<{ texts: readonly string[]; gone: readonly string[] }> {
  const service = fc.record({
    body: fc.constantFrom('block', 'flow', 'alias', 'merge', 'merges', 'json'),
    key: fc.constantFrom('plain', 'quoted', 'explicit'),
    anchor: fc.boolean(),
    command: fc.constantFrom('none', 'literal', 'kept', 'folded', 'plain', 'list'),
    labels: fc.constantFrom('none', 'anchor', 'alias', 'flow', 'list'),
    last: fc.constantFrom('command', 'labels'),
    comment: fc.constantFrom('', '# at the start', '        # deep', '\n\n', '\n# over\n'),
    value: fc.constantFrom(
      'x',
      '010',
      'yes',
      '1e3',
      '"a: b"',
      "'it''s'",
      '0x1f',
      '12:30',
      'a#b',
      '~',
    ),
    refer: fc.nat(),
  });
  return fc
    .record({
      services: fc.array(service, { minLength: 2, maxLength: 6 }),
      override: fc.boolean(),
      flow: fc.integer({ min: 0, max: 5 }),
      indent: fc.integer({ min: 1, max: 4 }),
      crlf: fc.boolean(),
      open: fc.boolean(),
      after: fc.constantFrom(
        '',
        'volumes:\n  v:\n',
        '# end\n',
        '      # deep end\nnetworks: {}\n',
        '...\n',
      ),
      gone: fc.array(fc.nat(), { minLength: 1, maxLength: 4 }),
    })
    .map(({ services, override, flow, indent, crlf, open, after, gone }) => {
      const names = services.map((_, index) => `s${index}`);
      const text = fileOf(services, flow === 0, ' '.repeat(indent)) + after;
      const more = names.map((name) => `  ${name}:\n    user: "${name}"\n`).join('');
      const texts = [text, ...(override ? [`services:\n${more}`] : [])]
        .map((each) => (open ? each.trimEnd() : each))
        .map((each) => (crlf ? each.replaceAll('\n', '\r\n') : each));
      const leaves = new Set(gone.map((index) => names[index % names.length] ?? ''));
      return { texts, gone: [...leaves] };
    });
}

interface Choice {
  readonly body: string;
  readonly key: string;
  readonly anchor: boolean;
  readonly command: string;
  readonly labels: string;
  readonly last: string;
  readonly comment: string;
  readonly value: string;
  readonly refer: number;
}

function fileOf(services: readonly Choice[], flow: boolean, step: string): string {
  const anchors: string[] = [];
  const labelAnchors: string[] = ['l'];
  const head = 'x-l: &l {shared: "1"}\nx-base: &base\n  image: base\n  hostname: h\n';
  const pick = (list: readonly string[], index: number): string => list[index % list.length] ?? '';
  const labelsOf = (index: number, { labels, refer, value }: Choice, inFlow: boolean): string => {
    if (labels === 'alias') return `*${pick(labelAnchors, refer)}`;
    if (labels === 'list') return '[a=b, "c=d"]';
    const text = inFlow || labels === 'flow' ? `{k: ${value}, "q": "r"}` : undefined;
    const anchor = labels === 'anchor' ? `&l${index % 3} ` : '';
    if (labels === 'anchor') labelAnchors.push(`l${index % 3}`);
    return anchor + (text ?? `\n${step.repeat(3)}k: ${value}\n${step.repeat(3)}"q": r`);
  };
  const commandOf = ({ command }: Choice): string => {
    const deep = `\n${step.repeat(3)}`;
    switch (command) {
      case 'literal':
        return `|${deep}one${deep} # two`;
      case 'kept':
        return `|+${deep}one\n\n`;
      case 'folded':
        return `>-${deep}one${deep}two`;
      case 'plain':
        return `one${deep}two`;
      default:
        return '["a", b]';
    }
  };
  const lines = services.map((choice, index) => {
    const name = choice.key === 'quoted' ? `"s${index}"` : `s${index}`;
    const anchor = choice.anchor ? `&a${index} ` : '';
    const refer = pick(anchors, choice.refer);
    let value: string;
    if (choice.body === 'alias' && refer !== '') value = `*${refer}`;
    else if (flow || choice.body === 'flow' || choice.body === 'json') {
      const labels = choice.labels === 'none' ? '' : `, labels: ${labelsOf(index, choice, true)}`;
      const image = choice.body === 'json' ? `"image": "i${index}"` : `image: i${index}`;
      value = `${anchor}{${image}${labels}}`;
    } else {
      const merge = choice.body === 'merge' ? (refer === '' ? '*base' : `*${refer}`) : '';
      const merges = choice.body === 'merges' ? `[*base${refer === '' ? '' : `, *${refer}`}]` : '';
      const parts = {
        command: choice.command === 'none' ? [] : [`command: ${commandOf(choice)}`],
        labels: choice.labels === 'none' ? [] : [`labels: ${labelsOf(index, choice, false)}`],
      };
      const keys = [
        ...(merge + merges === '' ? [] : [`<<: ${merge}${merges}`]),
        `image: i${index}`,
        ...(choice.last === 'command'
          ? [...parts.labels, ...parts.command]
          : [...parts.command, ...parts.labels]),
      ];
      value = `${anchor}\n${keys.map((key) => step.repeat(2) + key).join('\n')}`;
    }
    if (choice.anchor && !value.startsWith('*')) anchors.push(`a${index}`);
    if (flow) return `${name}: ${value}`;
    const written =
      choice.key === 'explicit'
        ? `${step}? ${name}\n${step}: ${value}`
        : `${step}${name}: ${value}`;
    return choice.comment === '' ? written : `${written}\n${choice.comment}`;
  });
  return flow
    ? `${head}services: {${lines.join(', ')}}\n`
    : `${head}services:\n${lines.join('\n')}\n`;
}
