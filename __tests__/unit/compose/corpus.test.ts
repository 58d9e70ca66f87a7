/**
 * Stack files of every shape, in __tests__/corpus, one directory each:
 * - `stack.yml`, or the files that `case.json` lists under `files`; its `env` are the variables
 * - `warnings.txt`: what they warn of, a line each; none where there is no such file
 * - `problems.txt`: why they are refused; nothing else is looked at then
 * - `expected.yml`: what they mean, where Docker refuses them as they are
 *
 * Where Docker takes the files, what is rendered of them must mean the same to it.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { loadStack } from '../../../src/compose-files.js';
import type { RenderedStack } from '../../../src/compose/render.js';
import { forClient } from '../../../src/compose/version.js';
import { InvalidInput } from '../../../src/errors.js';
import { parseOnly, stackConfig, withDockerCli, writeFiles } from '../../support/docker-cli.js';

const corpus = fileURLToPath(new URL('../../corpus', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'corpus-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

interface Settings {
  readonly files?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly envFiles?: readonly string[];
  /** Why `expected.yml` counts although Docker takes the files: what it does against the specification. */
  readonly misread?: string;
}

const names = readdirSync(corpus).sort();
const lines = (path: string): string[] =>
  existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
const settingsOf = (name: string): Settings => {
  const path = join(corpus, name, 'case.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Settings) : {};
};

function render(name: string): RenderedStack {
  const { files = ['stack.yml'], env = {}, envFiles = [] } = settingsOf(name);
  return loadStack(
    { files, env: new Map(Object.entries(env)), envFiles, allowUnset: false },
    'corpus',
    { cwd: join(corpus, name), environment: {}, home: undefined },
  );
}

/** Writes what is rendered where Docker can read it. */
function write(name: string, { files, attachments }: RenderedStack): string {
  const directory = join(work, name);
  writeFiles(directory, [
    ...files.map((file) => [file.name, file.text] as const),
    ...attachments.map((file) => [`attachments/${file.name}`, file.content] as const),
  ]);
  return directory;
}

const refused = names.filter((name) => existsSync(join(corpus, name, 'problems.txt')));
const taken = names.filter((name) => !refused.includes(name));

it('has enough of them', () => {
  expect(names.length).toBeGreaterThanOrEqual(60);
});

it.each(refused)('%s is refused at its lines', (name) => {
  const where = { cwd: join(corpus, name) };
  let problems: readonly string[] = [];
  try {
    render(name);
  } catch (error) {
    if (!(error instanceof InvalidInput)) throw error;
    problems = error.problems.map(({ message }) => message.replaceAll(where.cwd, '.'));
  }
  expect(problems).toEqual(lines(join(where.cwd, 'problems.txt')));
});

it.each(taken)('%s has its warnings', (name) => {
  const warnings = render(name).warnings.map(({ message }) => message);
  expect(warnings).toEqual(lines(join(corpus, name, 'warnings.txt')));
});

await withDockerCli('28.5', 'Docker 28', (docker) => {
  it.each(taken)('%s means what is written', (name) => {
    const { files = ['stack.yml'], env = {}, misread } = settingsOf(name);
    const rendered = render(name);
    const after = stackConfig(
      docker,
      write(name, rendered),
      rendered.files.map((file) => file.name),
      {},
    );
    const directory = join(corpus, name);
    const before = stackConfig(docker, directory, files, env);
    const expected = existsSync(join(directory, 'expected.yml'))
      ? stackConfig(docker, directory, ['expected.yml'], {})
      : before;
    // What Docker takes needs nobody who says what it means.
    expect('merged' in before && misread === undefined).toBe(expected === before);
    expect(expected).toHaveProperty('merged');
    expect(after).toEqual(expected);
  });

  it('means the same with any variables and expressions', () => {
    const chars = (text: string): fc.Arbitrary<string> =>
      fc.string({ unit: fc.constantFrom(...Array.from(text)) });
    const tricky = ['010', 'true', 'no', 'null', '~', '1e3', '0x1', '', 'a b', '$x', '$$', "it's"];
    const value = fc.oneof(
      fc.constantFrom(
        ...tricky,
        '"',
        '\\',
        '# c',
        ': x',
        '{{.Node.ID}}',
        'a\nb\n',
        '- x',
        '*a',
        '&a',
        '!t',
      ),
      chars('ab1 $"\'\\#:{}[]&*!|>%@`,?-=~ü☃\n\t'),
    );
    const plain = chars('ab1 "\'\\#:[]&*!|>%@`,?-=~ü☃\n\t/.');
    // What Docker knows of the specification; the rest has files of its own.
    const expression = fc.oneof(
      plain,
      fc.constantFrom('$A', '${A}', '${B}', '${N:?no}', '${B?no}', '$$', '$${A}', '$A$B', '${A-x}'),
      fc
        .tuple(fc.constantFrom('A', 'B', 'EMPTY', 'UNSET'), fc.constantFrom(':-', '-'), plain)
        // In `${A-x:-y}` Docker takes `A-x` for the name.
        .filter(([, , word]) => word !== '' && !word.includes(':-'))
        .map(([name, operator, word]) => `\${${name}${operator}${word}}`),
    );
    const text = fc
      .array(expression, { minLength: 1, maxLength: 4 })
      .map((all) => all.join(''))
      // Docker takes `$A-x` for `${A-x}`, to the end of the text; the specification has the braces.
      .filter((all) => !/\$[A-Z]+(?::?[-?]|[ab1])/.test(all));
    const number = fc.constantFrom('${N}', '$N', '${UNSET:-7}', '${N:-7}', '${EMPTY:-0}');
    let run = 0;
    fc.assert(
      fc.property(
        fc.array(text, { minLength: 60, maxLength: 60 }),
        fc.record({ A: value, B: value, N: fc.nat(500).map(String) }),
        fc.array(number, { minLength: 3, maxLength: 3 }),
        fc.constantFrom('yes', 'off', 'TRUE', 'n'),
        (texts, given, numbers, flag) => {
          const quote = (item: string): string => JSON.stringify(item);
          const variables = { ...given, EMPTY: '', FLAG: flag };
          const source = [
            'services:',
            '  web:',
            '    image: web:1',
            '    tty: ${FLAG}',
            `    command: [${texts.slice(0, 20).map(quote).join(', ')}]`,
            '    labels:',
            ...texts.slice(20, 40).map((item, index) => `      l${index}: ${quote(item)}`),
            '    environment:',
            ...texts.slice(40).map((item, index) => `      - ${quote(`E${index}=x${item}`)}`),
            `    healthcheck: {test: x, retries: "${numbers[0] ?? ''}"}`,
            `    deploy: {replicas: "${numbers[1] ?? ''}", update_config: {parallelism: "${numbers[2] ?? ''}"}}`,
            '',
          ].join('\n');
          run += 1;
          const [before, after] = [`property-${run}`, `property-${run}-rendered`];
          writeFiles(join(work, before), [['stack.yml', source]]);
          const rendered = loadStack(
            { files: ['stack.yml'], env: new Map(), envFiles: [], allowUnset: false },
            'corpus',
            { cwd: join(work, before), environment: variables, home: undefined },
          );
          const names = rendered.files.map((file) => file.name);
          const expected = stackConfig(docker, join(work, before), ['stack.yml'], variables);
          expect(expected).toHaveProperty('merged');
          expect(stackConfig(docker, write(after, rendered), names, {})).toEqual(expected);
        },
      ),
      { numRuns: 12, endOnFailure: true },
    );
  });
});

await withDockerCli('20.10', 'Docker 20.10', (docker) => {
  const fitting = taken.filter((name) => render(name).demands?.length === 0);
  it.each(fitting)('%s is taken', (name) => {
    const rendered = forClient(render(name), '20.10.24').stack;
    const directory = write(`${name}-20.10`, rendered);
    expect(
      parseOnly(
        docker,
        directory,
        rendered.files.map((file) => file.name),
      ),
    ).toBe('');
  });
});
