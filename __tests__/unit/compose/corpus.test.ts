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
import { afterAll, describe, expect, it } from '@jest/globals';
import { loadStack } from '../../../src/compose-files.js';
import type { RenderedStack } from '../../../src/compose/render.js';
import { forClient } from '../../../src/compose/version.js';
import { InvalidInput } from '../../../src/errors.js';
import { dockerCli, parseOnly, stackConfig, writeFiles } from '../../support/docker-cli.js';

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

const docker = await dockerCli('28.5');
if ('reason' in docker) {
  it.skip(`means to Docker what is written (no client: ${docker.reason})`, () => undefined);
} else {
  describe('Docker 28', () => {
    it.each(taken)('%s means what is written', (name) => {
      const { files = ['stack.yml'], env = {}, misread } = settingsOf(name);
      const rendered = render(name);
      const after = stackConfig(
        docker.path,
        write(name, rendered),
        rendered.files.map((file) => file.name),
        {},
      );
      const directory = join(corpus, name);
      const before = stackConfig(docker.path, directory, files, env);
      const expected = existsSync(join(directory, 'expected.yml'))
        ? stackConfig(docker.path, directory, ['expected.yml'], {})
        : before;
      // What Docker takes needs nobody who says what it means.
      expect('merged' in before && misread === undefined).toBe(expected === before);
      expect(expected).toHaveProperty('merged');
      expect(after).toEqual(expected);
    });
  });
}

const old = await dockerCli('20.10');
if ('reason' in old) {
  it.skip(`is taken by Docker 20.10 (no client: ${old.reason})`, () => undefined);
} else {
  describe('Docker 20.10', () => {
    it.each(taken)('%s is taken', (name) => {
      const rendered = forClient(render(name), '20.10.24').stack;
      const directory = write(`${name}-20.10`, rendered);
      expect(
        parseOnly(
          old.path,
          directory,
          rendered.files.map((file) => file.name),
        ),
      ).toBe('');
    });
  });
}
