/**
 * Whatever stands at whatever key: what is not refused here, at its line and before anything is
 * connected, Docker's own client takes; and what that takes is not refused, but for what it would find
 * out later. Its schema is not copied: the client itself is asked.
 */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FILE_KEYS, type Shape } from '../../../src/compose/keys.js';
import { renderStack, type RenderedStack } from '../../../src/compose/render.js';
import { InvalidInput, type Problem } from '../../../src/errors.js';
import { stackConfig, withDockerCli, writeFiles } from '../../support/docker-cli.js';

/** One of so many candidates is looked at; 1 for all of them, which takes minutes. */
const STEP = 5;
/** One of so many that are refused here is given to the client, which takes a process each. */
const REFUSED_STEP = 5;

/** Of every type and spelling, as they stand in a file. */
const VALUES = [
  ...['~', '""', 'text', '0', '-1', '1.5', 'true', '"1"', '0x10', '2024-01-01', '.inf', '64m'],
  ...['"80:80"', '{}', '{a: ~}', '{a: b}', '{a: 1}', '{a: true}', '{a: []}', '[]', '[~]', '[a]'],
  ...['[a, a]', '[1, 1]', '[[]]', '[{a: b}]', '["a=b", "a=b"]', '["80:80", "80:80"]', '[CMD]'],
];

interface Place {
  readonly path: string;
  readonly values: readonly string[];
  /** The text of the object that has a value there. */
  readonly around: (value: string) => string;
}

/** Every key of the specification, in mappings and lists, one level in each other. */
function placesIn(shape: Shape, path: string, around: Place['around']): readonly Place[] {
  const { keys = {}, list, named, required = [] } = shape;
  const beside = (name: string): string =>
    required
      .filter((other) => other !== name)
      .map((other) => `${other}: ${other === 'type' ? 'volume' : '1'}, `)
      .join('');
  return [
    { path, values: VALUES, around },
    ...Object.entries(keys)
      .filter(([, { fate }]) => fate === 'kept' || fate === 'translated')
      .flatMap(([name, key]) =>
        placesIn(key.shape, `${path}.${name}`, (value) =>
          around(`{${beside(name)}${name}: ${value}}`),
        ),
      ),
    ...Object.keys({ unknown: 1, 'x-own': 1 }).map((name) => ({
      path: `${path}.${name}`,
      values: ['text'],
      around: (value: string) => around(`{${name}: ${value}}`),
    })),
    ...(list === undefined ? [] : placesIn(list, `${path}[]`, (value) => around(`[${value}]`))),
    ...(named === undefined
      ? []
      : placesIn(named, `${path}.*`, (value) => around(`{name-1: ${value}}`))),
  ];
}

interface Candidate {
  readonly section: string;
  readonly path: string;
  readonly value: string;
  readonly text: string;
}

const SECTIONS = ['services', 'networks', 'volumes', 'configs', 'secrets'];

const all = SECTIONS.flatMap((section): Candidate[] => {
  const { keys = {} } = FILE_KEYS[section]?.shape.named ?? {};
  return Object.entries(keys)
    .filter(([, { fate }]) => fate === 'kept' || fate === 'translated')
    .flatMap(([name, { shape }]) => placesIn(shape, name, (value) => `${name}: ${value}`))
    .flatMap(({ path, values, around }) =>
      values.map((value) => ({ section, path, value, text: around(value) })),
    );
});

/** One file of all of them, each an object of its own. */
function fileOf(several: readonly Candidate[]): string {
  const lines = SECTIONS.flatMap((section) => {
    const mine = several
      .map(({ text, section: its }, index) => ({ text, its, index }))
      .filter(({ its }) => its === section)
      .map(({ text, index }) => {
        const base =
          section === 'services' && !text.startsWith('image:')
            ? 'image: a, '
            : (section === 'configs' || section === 'secrets') &&
                !/^(?:file|external|content|environment|driver):/.test(text)
              ? 'file: ./there, '
              : '';
        return `  o${index}: {${base}${text}}`;
      });
    if (section === 'services') mine.push('  base: {image: a, networks: [default]}');
    return mine.length === 0 ? [] : [`${section}:`, ...mine];
  });
  return `${lines.join('\n')}\n`;
}

const candidates = all.filter((_, index) => index % STEP === 0);

/** The lines of the file that each candidate stands in: one each. */
function lineOf(one: Candidate, text: string, index: number): number {
  const lines = text.split('\n');
  const section = lines.indexOf(`${one.section}:`);
  return lines.findIndex((line, at) => at > section && line.startsWith(`  o${index}: `)) + 1;
}

function render(text: string): RenderedStack | readonly Problem[] {
  try {
    return renderStack({
      files: [{ path: 'stack.yml', text: Buffer.from(text) }],
      stack: 'shop',
      variables: new Map([['a', 'b']]),
      allowUnset: false,
      workingDirectory: '/nowhere',
      home: undefined,
      readFile: () => Buffer.from('A=1\n'),
    });
  } catch (error) {
    if (error instanceof InvalidInput) return error.problems;
    throw error;
  }
}

interface Judged {
  readonly taken: readonly Candidate[];
  readonly refused: ReadonlyMap<Candidate, string>;
}

/** Renders them in one file; those with problems are taken out until there are none. */
function judge(group: readonly Candidate[]): Judged {
  const refused = new Map<Candidate, string>();
  let left = group;
  for (;;) {
    const text = fileOf(left);
    const result = left.length === 0 ? undefined : render(text);
    if (result === undefined || 'files' in result) return { taken: left, refused };
    const lines = new Map(left.map((each, index) => [lineOf(each, text, index), each]));
    let found = 0;
    for (const { position, message } of result) {
      const one = lines.get(position?.line ?? 0);
      if (one === undefined) {
        if (!message.includes('more problems like these')) throw new Error(`nobody's: ${message}`);
        continue;
      }
      found += 1;
      if (!refused.has(one)) refused.set(one, message);
    }
    expect(found).toBeGreaterThan(0);
    left = left.filter((each) => !refused.has(each));
  }
}

/** What `docker stack config` takes, and why it is refused nevertheless. */
const TOLD: readonly RegExp[] = [
  // The client or the swarm refuses it while it deploys.
  /: service o\d+: /,
  / takes a number of CPUs /,
  // A slip that Docker drops without a word.
  / is no key of the Compose specification/,
  // Docker makes a limit of 0 of nothing.
  /`services\.o\d+\.ulimits\.name-1` has no value/,
];

await withDockerCli('28.5', 'what is not refused', (docker) => {
  let directory = '';
  const refused = new Map<Candidate, string>();
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'schema-'));
  });
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  /** What Docker refuses of what is rendered, each with its words. */
  function refusals(group: readonly Candidate[]): readonly string[] {
    const found: string[] = [];
    let left = group;
    for (;;) {
      const stack = left.length === 0 ? undefined : render(fileOf(left));
      if (stack === undefined || !('files' in stack)) return found;
      writeFiles(directory, [
        ...stack.files.map(({ name, text }) => [name, text] as const),
        ...stack.attachments.map(({ name, content }) => [`attachments/${name}`, content] as const),
      ]);
      const names = stack.files.map(({ name }) => name);
      const result = stackConfig(docker, directory, names, {});
      if ('merged' in result) return found;
      const index = left.length === 1 ? '0' : /\bo(\d+)\b/.exec(result.refusal)?.[1];
      if (index === undefined) {
        const half = Math.ceil(left.length / 2);
        return [...found, ...refusals(left.slice(0, half)), ...refusals(left.slice(half))];
      }
      const one = left[Number(index)];
      const [said = ''] = result.refusal.split('goroutine');
      found.push(`${one?.section} ${one?.path} = ${one?.value}: ${said.trim()}`);
      left = left.filter((each) => each !== one);
    }
  }

  it('is taken by the client, at every key with every type of value', () => {
    const found: string[] = [];
    let taken = 0;
    for (let from = 0; from < candidates.length; from += 100) {
      const judged = judge(candidates.slice(from, from + 100));
      for (const [one, message] of judged.refused) refused.set(one, message);
      taken += judged.taken.length;
      found.push(...refusals(judged.taken));
    }
    expect(taken).toBeGreaterThan(200);
    expect(found).toEqual([]);
  });

  it('and what is refused it refuses as well, or would later', () => {
    const sample = [...refused].filter(
      ([, message], index) =>
        index % REFUSED_STEP === 0 && !TOLD.some((pattern) => pattern.test(message)),
    );
    const found = sample.flatMap(([one, message]) => {
      writeFiles(directory, [['stack.yml', fileOf([one])]]);
      const result = stackConfig(docker, directory, ['stack.yml'], {});
      return 'merged' in result ? [`${one.section} ${one.path} = ${one.value}: ${message}`] : [];
    });
    expect(found).toEqual([]);
  });
});
