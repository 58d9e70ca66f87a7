/** The short form of ports, beside what Docker's own client makes of the same texts. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isEveryAddress, readShortPort } from '../../../src/compose/ports.js';
import { renderStack, type RenderedStack } from '../../../src/compose/render.js';
import { InvalidInput, type Problem } from '../../../src/errors.js';
import { parseOnly, withDockerCli, writeFiles } from '../../support/docker-cli.js';

const TAKEN: readonly string[] = [
  ...['80', '0', '65535', '000080', '80:80', '080:80', '8080-8090:80', '8080-8090:80-90'],
  ...['80-90', '80-80:80', '80-90-100', '80/udp', '80/TCP', '80/', '80/tcp/udp', ':80'],
  ...['::80', '[]:80:80', '0.0.0.0:80:80', '[::]:80:80'],
];

/** Taken too, with the address that is lost. */
const ADDRESSED: readonly (readonly [port: string, address: string])[] = [
  ['127.0.0.1:80:80', '127.0.0.1'],
  ['127.0.0.1::80', '127.0.0.1'],
  ['1.2.3.4:80-90:80/udp', '1.2.3.4'],
  ['[::1]:80:80', '::1'],
  ['[1.2.3.4]:80:80', '1.2.3.4'],
  ['[::ffff:1.2.3.4]:1:1', '::ffff:1.2.3.4'],
];

const REFUSED: readonly string[] = [
  ...['65536', '8080-8091:80-90', '80:80-90', '90-80:1', '127.0.0.1:80', '::1:80:80'],
  ...[':::80:80', 'localhost:80:80', '300.1.1.1:80:80', '1:2:3', '80/icmp', '/tcp', ' 80:80'],
  ...['80:80 ', '80: 80', '80:', 'a:80', '80:a', '+80', '-80', '0x50:80', '80:80:80', '80-'],
  ...['[::1:80:80', '[fe80::1%eth0]:80:80', '8080:80-81', '1:2:3:4', '99999999999:1', ''],
];

describe('the short form of a port', () => {
  it.each(TAKEN)('%j is taken', (port) => {
    expect(readShortPort(port)).toEqual({ address: undefined });
  });

  it.each(ADDRESSED)('%j is taken, and names an address', (port, address) => {
    expect(readShortPort(port)).toEqual({ address });
  });

  it.each(REFUSED)('%j is refused', (port) => {
    expect(readShortPort(port)).toHaveProperty('problem');
  });

  it.each(['', '0.0.0.0', '::', '0:0::'])('%j is all addresses', (address) => {
    expect(isEveryAddress(address)).toBe(true);
  });

  it.each(['127.0.0.1', '::1', '10.0.0.0'])('%j is not', (address) => {
    expect(isEveryAddress(address)).toBe(false);
  });
});

const stack = (port: string): string =>
  `version: "3.9"\nservices:\n  web:\n    image: w:1\n    ports:\n      - "81:81"\n      - ${port}\n`;

function render(port: string): RenderedStack {
  return renderStack({
    files: [{ path: 'stack.yml', text: Buffer.from(stack(port)) }],
    ...{ stack: 'demo', variables: new Map([['ADDRESS', '10.1.2.3']]), allowUnset: false },
    ...{ workingDirectory: '/repo', home: undefined, readFile: () => 'missing' },
  });
}

describe('in a stack file', () => {
  it.each([
    ['"127.0.0.1:80:80"', '127.0.0.1'],
    ['"${ADDRESS}:80:80"', 'an address'],
    ['{target: 80, published: 80, host_ip: 127.0.0.1}', '127.0.0.1'],
    ['{target: 80, published: 80, host_ip: "::1"}', '::1'],
  ])('an address that Swarm loses is told at the line: %s', (port, address) => {
    expect(render(port).warnings).toMatchObject([
      {
        message: expect.stringMatching(`names ${address}, and Swarm publishes`),
        position: { line: 7 },
      },
    ]);
  });

  it.each([
    '80',
    '"0.0.0.0:80:80"',
    '"[::]:80:80"',
    '{target: 80, published: 80, host_ip: 0.0.0.0}',
  ])('all addresses are nothing to warn about: %s', (port) => {
    expect(render(port).warnings).toEqual([]);
  });

  it('what is none is an error at its line', () => {
    let problems: readonly Problem[] = [];
    try {
      render('"80:65536"');
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error;
      problems = error.problems;
    }
    expect(problems).toMatchObject([
      { message: expect.stringContaining('65536 is no port'), position: { line: 7, column: 9 } },
    ]);
  });
});

for (const engine of ['20.10', '28.5'])
  await withDockerCli(engine, `the client of Docker ${engine}`, (docker) => {
    let directory = '';
    beforeAll(() => {
      directory = mkdtempSync(join(tmpdir(), 'ports-'));
    });
    afterAll(() => {
      rmSync(directory, { recursive: true, force: true });
    });
    const said = (ports: readonly string[]): string => {
      const list = ports.map((port) => JSON.stringify(port)).join('\n      - ');
      writeFiles(directory, [['stack.yml', stack(list)]]);
      return parseOnly(docker, directory, ['stack.yml']);
    };

    it('takes the same', () => {
      expect(said([...TAKEN, ...ADDRESSED.map(([port]) => port)])).toBe('');
    });

    it('refuses the same', () => {
      for (const port of REFUSED) expect([port, said([port])]).not.toEqual([port, '']);
    });
  });
