import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { loadStack, type ComposeInputs } from '../../../src/compose-files.js';
import { COMPOSE_FILE_NAMES, discoverComposeFile } from '../../../src/compose/discover.js';
import type { RenderedStack } from '../../../src/compose/render.js';
import { InvalidInput } from '../../../src/errors.js';

let cwd = '';
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'compose-files-'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

const put = (path: string, text: string | Buffer): void => {
  mkdirSync(dirname(join(cwd, path)), { recursive: true });
  writeFileSync(join(cwd, path), text);
};
const load = (
  inputs: Partial<ComposeInputs> = {},
  environment: Record<string, string> = {},
): RenderedStack =>
  loadStack({ files: [], env: new Map(), envFiles: [], allowUnset: false, ...inputs }, 'demo', {
    cwd,
    environment,
    home: undefined,
  });
const messages = (...args: Parameters<typeof load>): string[] => {
  try {
    load(...args);
  } catch (error) {
    if (error instanceof InvalidInput) return error.problems.map(({ message }) => message);
    throw error;
  }
  return [];
};
const WEB = 'services:\n  web:\n    image: nginx\n';

describe('loadStack', () => {
  it('reads several files and what they refer to, from the directory of the first', () => {
    put('deploy/a.yml', `${WEB}    env_file: app.env\n    user: "$A$B$C"\n`);
    put('b.yml', 'services:\n  web:\n    env_file: [./app.env]\n');
    put('deploy/app.env', 'X=1\n');
    put('one.env', 'A=file\nB=one\n');
    put('two.env', 'B=two\n');
    const stack = load(
      {
        files: ['deploy/a.yml', 'b.yml'],
        env: new Map([['A', 'env']]),
        envFiles: ['one.env', 'two.env'],
      },
      { B: 'step', C: 'step' },
    );
    expect(stack.files.map(({ name, origin }) => [name, origin])).toEqual([
      ['0-a.yml', 'deploy/a.yml'],
      ['1-b.yml', 'b.yml'],
    ]);
    expect(stack.files[0]!.text).toContain('user: "envtwostep"');
    expect(stack.attachments.map(({ name }) => name)).toEqual(['001-app.env']);
  });

  it('finds the file where none is named', () => {
    put('docker-compose.yml', WEB);
    put('compose.yaml', WEB);
    mkdirSync(join(cwd, 'docker-stack.yml'));
    expect(load().files[0]!.origin).toBe('compose.yaml');
  });

  it('says what it looked for', () => {
    expect(messages()).toEqual([expect.stringContaining(COMPOSE_FILE_NAMES.join(', '))]);
  });

  it('tells everything that is wrong with all files at once', () => {
    put('a.yml', `${WEB}    user: $A\n    env_file: no.env\n`);
    put('bad.env', 'not a line!\n');
    put('huge.yml', Buffer.alloc(10 * 1024 * 1024, 'a'));
    mkdirSync(join(cwd, 'dir'));
    const found = messages({
      files: ['a.yml', 'missing.yml', 'dir', '-', 'huge.yml'],
      envFiles: ['bad.env'],
    });
    expect(found).toEqual([
      expect.stringContaining(`missing.yml does not exist (input compose-file, looked at ${cwd}/`),
      expect.stringContaining('dir is not a file'),
      expect.stringContaining('standard input'),
      expect.stringContaining("huge.yml can't be read: it has 10485760 bytes"),
      'bad.env:1:1: this line is not KEY=VALUE',
      'a.yml:4:11: the variable A is not set',
      expect.stringContaining(`the file no.env does not exist (looked at ${cwd}/no.env)`),
    ]);
  });

  it('does not blame variables that a missing env file may have', () => {
    put('a.yml', `${WEB}    user: $A\n`);
    expect(messages({ files: ['a.yml'], envFiles: ['no.env'] })).toEqual([
      expect.stringContaining('no.env does not exist (input env-file'),
    ]);
  });

  it('reads no device', () => {
    expect(messages({ files: ['/dev/zero'] })).toEqual([
      expect.stringContaining('/dev/zero is not a file'),
    ]);
  });

  const OWN = {
    'INPUT_PRIVATE-KEY': 'the\nkey',
    INPUT_PASSWORD: 'the password',
    ACTIONS_RUNTIME_TOKEN: 'the token',
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'the other',
  };
  it.each(Object.keys(OWN))("keeps what is the action's own from the files: %s", (name) => {
    put('all.env', `${name}\n`);
    put('a.yml', `${WEB}    environment: ['${name}']\n    env_file: all.env\n`);
    const { files, attachments, mustBeUnset } = load({ files: ['a.yml'] }, OWN);
    const sent = [...files.map(({ text }) => text), ...attachments.map(({ content }) => content)];
    expect(sent.join('\n')).not.toMatch(/\b(?:key|the)\b/);
    expect(mustBeUnset).toContain(name);
    const [short = ''] = /^\w+/.exec(name) ?? [];
    put('b.yml', `${WEB}    user: "\${${short}}"\n`);
    expect(messages({ files: ['b.yml'] }, OWN)).toEqual([
      `b.yml:4:12: the variable ${short} is not set`,
    ]);
  });

  it('reads nothing of processes, as the environment of this one', () => {
    symlinkSync('/proc/self/environ', join(cwd, 'link'));
    const config = (file: string): string => `configs: {c: {file: ${file}}}\n`;
    for (const file of ['/proc/self/environ', './link']) {
      put('a.yml', `${config(file)}${WEB}    configs: [c]\n`);
      expect(messages({ files: ['a.yml'] })).toEqual([expect.stringContaining('is not a file')]);
    }
  });

  it('passes warnings on', () => {
    put('compose.yml', `${WEB}    user: $A\n`);
    put('.env', 'B=$C\n');
    expect(load({ envFiles: ['.env'], allowUnset: true }).warnings).toHaveLength(2);
  });

  it('sees a file that it may not read', () => {
    put('compose.yml', WEB);
    chmodSync(join(cwd, 'compose.yml'), 0);
    // Root reads everything; either way the file counts as found.
    expect(messages().filter((message) => message.includes('looked for'))).toEqual([]);
  });
});

describe('discoverComposeFile', () => {
  it.each([
    [['compose.yml', 'docker-stack.yml'], 'docker-stack.yml'],
    [['docker-stack.yaml', 'compose.yaml'], 'docker-stack.yaml'],
    [['compose.yml', 'compose.yaml'], 'compose.yaml'],
    [['docker-compose.yml', 'compose.yml'], 'compose.yml'],
    [['docker-compose.yml', 'docker-compose.yaml'], 'docker-compose.yaml'],
    [['stack.yml'], undefined],
  ])('of %j takes %s', (present, expected) => {
    expect(discoverComposeFile((name) => present.includes(name))).toBe(expected);
  });
});
