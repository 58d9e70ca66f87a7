/** What Docker's merge of several files loses is told: Docker's own client of 28.5 says what is left. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { renderStack, type RenderedStack } from '../../../src/compose/render.js';
import { stackConfig, withDockerCli, writeFiles } from '../../support/docker-cli.js';

const render = (...texts: readonly string[]): RenderedStack =>
  renderStack({
    files: texts.map((text, index) => ({ path: `${index}.yml`, text: Buffer.from(text) })),
    stack: 'shop',
    variables: new Map([['PORT', '443']]),
    allowUnset: false,
    workingDirectory: '/nowhere',
    home: undefined,
    readFile: () => 'missing',
  });

const PROXY = 'services:\n  proxy:\n    image: p\n    ports: ["443:443", "${PORT}:443/udp"]\n';
const AGAIN = 'services:\n  proxy: {environment: {A: "1"}}\n';
const CHECK =
  'services:\n  api:\n    image: a\n    healthcheck:\n      interval: 10s\n      test: [CMD, old]\n';

const told = (...texts: readonly string[]): readonly string[] =>
  render(...texts).warnings.map(({ message }) => message);

describe('what is lost in a merge', () => {
  it('is told at its line, with what took its place', () => {
    const [warning, ...more] = render(PROXY, AGAIN).warnings;
    expect(more).toEqual([]);
    expect(warning).toMatchObject({
      message:
        '0.yml:4:13: service proxy: 443/tcp is lost: where several files name a service, Docker keeps one item of `ports` for each published port, here 443/udp of 0.yml:4',
      hint: 'Write all `ports` of proxy into the last file that names it, as `ports: !override`.',
      position: { file: '0.yml', line: 4, column: 13 },
    });
  });

  it.each([
    ['one file', [PROXY]],
    ['another service in the other file', [PROXY, 'services:\n  web: {image: w}\n']],
    ['ports in the last file alone', [AGAIN.replace('{', '{image: p, '), PROXY]],
    ['an override', [PROXY, PROXY.replace('ports:', 'ports: !override')]],
    ['a port that goes over itself', [PROXY.replace(/, .*]/, ']'), PROXY.replace(/, .*]/, ']')]],
    ['one healthcheck', [CHECK, 'services:\n  api: {healthcheck: {retries: 2}}\n']],
    [
      'a healthcheck that is overridden',
      [CHECK, 'services:\n  api: {healthcheck: {test: !override [CMD, new]}}\n'],
    ],
  ])('is nothing with %s', (_, texts) => {
    expect(told(...texts)).toEqual([]);
  });

  it.each([
    ['ports of two files', ['53:53'], ['53:53/udp'], ['53/tcp is lost']],
    ['ports that only the container has', ['80', '81'], [], ['80/tcp without a port of the host']],
    ['a range', ['8000-8002:80-82', '8001:9/udp'], [], ['8001/tcp is lost']],
    [
      'long forms',
      ['{target: 53, published: 53}', '{target: 53, published: 53, protocol: udp}'],
      [],
      ['53/tcp is lost'],
    ],
  ])('is told of %s', (_, first, second, expected) => {
    const file = (ports: readonly string[]): string =>
      `services:\n  dns: {image: d, ports: [${ports.map((port) => (port.startsWith('{') ? port : `"${port}"`)).join(', ')}]}\n`;
    const found = told(file(first), file(second));
    expect(found).toHaveLength(expected.length);
    for (const [index, words] of expected.entries()) expect(found[index]).toContain(words);
  });

  it('is told of a secret at two paths', () => {
    const secrets = 'services:\n  proxy: {secrets: [s, {source: s, target: t}]}\n';
    const declared = 'secrets: {s: {external: true}}\n';
    expect(told(PROXY.replace(/, .*]/, ']'), secrets + declared, AGAIN)).toEqual([
      '1.yml:2:21: service proxy: s at s is lost: where several files name a service, Docker keeps one item of `secrets` for each secret, here s at t of 1.yml:2',
    ]);
  });

  it('is told of healthchecks that become one', () => {
    const other = 'services:\n  api:\n    healthcheck:\n      test: curl localhost\n';
    const { warnings } = render(CHECK, other);
    expect(warnings).toMatchObject([
      {
        message:
          '1.yml:4:7: service api: Docker puts this `test` behind the one of 0.yml:6, and the healthcheck runs the two as one command',
        hint: 'Write `test: !override` in front of the list or text: then it is the only one.',
      },
    ]);
  });
});

await withDockerCli('28.5', 'Docker 28', (docker) => {
  let directory = '';
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'merge-'));
  });
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  const merged = (...texts: readonly string[]): unknown => {
    const { files } = render(...texts);
    writeFiles(
      directory,
      files.map(({ name, text }) => [name, text] as const),
    );
    return stackConfig(
      docker,
      directory,
      files.map(({ name }) => name),
      {},
    );
  };

  it('loses what is told, and nothing with the mend', () => {
    const ports = (found: readonly object[]): object => ({
      merged: { services: { proxy: { ports: found } } },
    });
    const [tcp, udp] = ['tcp', 'udp'].map((protocol) => ({ published: 443, protocol }));
    expect(merged(PROXY, AGAIN)).toMatchObject(ports([udp as object]));
    expect(merged(PROXY, PROXY.replace('ports:', 'ports: !override'))).toMatchObject(
      ports([tcp as object, udp as object]),
    );
  });

  it('runs two healthchecks as one, and one with the mend', () => {
    const other = (test: string): string => `services:\n  api: {healthcheck: {test: ${test}}}\n`;
    const check = (test: readonly string[]): object => ({
      merged: { services: { api: { healthcheck: { test, interval: '10s' } } } },
    });
    expect(merged(CHECK, other('[CMD, new]'))).toMatchObject(check(['CMD', 'old', 'CMD', 'new']));
    expect(merged(CHECK, other('!override new'))).toMatchObject(check(['CMD-SHELL', 'new']));
    expect(merged(CHECK, 'services:\n  api: {healthcheck: !override {disable: true}}\n')).toEqual({
      merged: { services: { api: expect.objectContaining({ healthcheck: { disable: true } }) } },
    });
  });
});
