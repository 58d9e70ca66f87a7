/** What the files say arrives in the swarm as it stands: values, files, several files, variables. */
import { expect } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onSwarm, quickUpdate, scenario, type Stack } from '../support/swarm.js';

/** Each is a trap for a shell, for YAML, for a replacement or for Docker's interpolation. */
const VALUES: Readonly<Record<string, string>> = {
  SPACES: 'a  b   c',
  BLANKS_AROUND: '  in the middle  ',
  TAB: '\ta\tb\t',
  SINGLE: "it's",
  DOUBLE: 'say "hi"',
  BOTH: `'"'"'`,
  COMMAND: '$(touch /tmp/owned)',
  BACKTICKS: '`id`',
  VARIABLE: '${HOME} $HOME $1 $?',
  AMPERSAND: "$& $` $' $$",
  DOLLARS: '$ $$ $$$ $$$$',
  BACKSLASHES: '\\ \\\\ \\n \\0',
  LINES: 'first\nsecond\n\nfourth',
  LAST_LINE: 'ends with a line break\n',
  RETURN: 'a\r\nb',
  OCTAL: '010',
  BOOLEAN: 'true',
  NORWAY: 'no',
  NOTHING: 'null',
  TILDE: '~',
  EXPONENT: '1e3',
  HEX: '0x1F',
  SEXAGESIMAL: '22:30:00',
  DATE: '2024-01-02',
  FLOAT: '1.10',
  BIG: '12345678901234567890',
  UNICODE: 'grüße 世界 🚀 \u00a0',
  EMPTY: '',
  HASH: 'a # b',
  COLON: 'a: b',
  FLOW: '{a: [b, c]}',
  STAR: '*.txt & !x | > y',
  DASH: '- a',
  PERCENT: '%s %d 100%',
  EQUALS: 'a=b=c',
  GLOB: '/* ?',
  JSON: '{"a":"b\\"c"}',
};

/** The environment in the live spec, and that of the process in the container. */
async function environments(
  stack: Stack,
  service: string,
): Promise<readonly Readonly<Record<string, string>>[]> {
  const split = (lines: readonly string[]): Record<string, string> =>
    Object.fromEntries(
      lines
        .filter((line) => line !== '')
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
  const { Env = [] } = (await stack.service(service)).Spec.TaskTemplate.ContainerSpec;
  const [task] = await stack.running(service);
  if (task === undefined) throw new Error(`${service} does not run`);
  const process = await stack.inside(task, 'cat', '/proc/1/environ');
  return [split(Env), split(process.split('\0'))];
}

/** Fast to start and to stop; what it runs does not matter here. */
const quick = (stack: Stack, more: object): object => ({
  image: stack.image('nohealth'),
  deploy: { update_config: quickUpdate },
  ...more,
});

onSwarm('values of environment variables arrive byte for byte', () => {
  scenario('as they stand in the file', async (stack) => {
    const environment = Object.fromEntries(
      Object.entries(VALUES).map(([name, value]) => [name, value.replaceAll('$', '$$$$')]),
    );
    const run = await stack.deploy({ api: quick(stack, { environment }) });
    expect(run.outcome).toBe('deployed');
    for (const found of await environments(stack, 'api')) expect(found).toMatchObject(VALUES);
  });

  scenario('by variables, in every style of YAML', async (stack) => {
    const names = Object.keys(VALUES);
    const yaml = [
      'services:',
      '  plain:',
      `    image: &image ${stack.image('nohealth')}`,
      '    environment:',
      ...names.map((name) => `      ${name}: \${V_${name}}`),
      '  double:',
      '    image: *image',
      '    environment:',
      ...names.map((name) => `      ${name}: "\${V_${name}}"`),
      '  single:',
      '    image: *image',
      '    environment:',
      ...names.map((name) => `      ${name}: '\${V_${name}}'`),
      '  list:',
      '    image: *image',
      '    environment:',
      ...names.map((name) => `      - ${name}=\${V_${name}}`),
      '  folded:',
      '    image: *image',
      '    environment:',
      ...names.flatMap((name) => [`      ${name}: >-`, `        \${V_${name}}`]),
      'networks:',
      `  default: ${JSON.stringify(stack.network)}`,
      '',
    ].join('\n');
    const run = await stack.run({
      files: { 'compose.yaml': yaml },
      env: Object.fromEntries(names.map((name) => [`V_${name}`, VALUES[name] ?? ''])),
    });
    expect(run.outcome).toBe('deployed');
    for (const service of ['plain', 'double', 'single', 'list', 'folded'])
      for (const found of await environments(stack, service))
        expect({ service, ...found }).toMatchObject({ service, ...VALUES });
  });

  scenario('by the input env, which takes one line each', async (stack) => {
    const lines = Object.entries(VALUES).filter(([, value]) => !/[\r\n]/.test(value));
    const run = await stack.run({
      files: {
        'compose.yaml': stack.file({
          api: quick(stack, {
            environment: Object.fromEntries(lines.map(([name]) => [name, `\${V_${name}}`])),
          }),
        }),
      },
      inputs: { env: lines.map(([name, value]) => `V_${name}=${value}`).join('\n') },
    });
    expect(run.outcome).toBe('deployed');
    for (const found of await environments(stack, 'api'))
      expect(found).toMatchObject(Object.fromEntries(lines));
    expect((await stack.manager.exec('test -e /tmp/owned')).code).toBe(1);
  });
});

onSwarm('files that a stack refers to', () => {
  scenario('go along and have the very bytes', async (stack) => {
    const workspace = mkdtempSync(join(tmpdir(), 'swarm-deploy-files-'));
    try {
      const contents = {
        text: Buffer.from('plain ${NOT_A_VARIABLE} $$ `id`\r\nlast line without a break'),
        binary: Buffer.concat([
          Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
          randomBytes(300_000),
        ]),
        token: Buffer.from('s3cret "quoted" $(id)\n\n'),
        key: randomBytes(2000),
      };
      mkdirSync(join(workspace, 'deploy', 'conf'), { recursive: true });
      for (const [name, content] of Object.entries(contents))
        writeFileSync(join(workspace, 'deploy', 'conf', name), content);
      writeFileSync(join(workspace, 'deploy', 'app.env'), 'FROM_FILE=a value\nSECOND=2\n');
      const file = stack.file(
        {
          api: quick(stack, {
            env_file: './app.env',
            configs: [
              { source: 'text', target: '/etc/text' },
              { source: 'binary', target: '/etc/binary' },
            ],
            secrets: ['token', 'key'],
          }),
        },
        {
          networks: { default: stack.network },
          configs: { text: { file: './conf/text' }, binary: { file: './conf/binary' } },
          secrets: { token: { file: './conf/token' }, key: { file: './conf/key' } },
        },
      );
      writeFileSync(join(workspace, 'deploy', 'stack.yml'), file);
      const run = await stack.run({ workspace, inputs: { 'compose-file': 'deploy/stack.yml' } });
      expect(run.outcome).toBe('deployed');
      const [task] = await stack.running('api');
      const hashes = await stack.inside(
        task!,
        ...['busybox', 'sha256sum', '/etc/text', '/etc/binary'],
        ...['/run/secrets/token', '/run/secrets/key'],
      );
      expect(
        hashes
          .trim()
          .split('\n')
          .map((line) => line.split(/\s+/)[0]),
      ).toEqual(
        Object.values(contents).map((content) =>
          createHash('sha256').update(content).digest('hex'),
        ),
      );
      for (const found of await environments(stack, 'api'))
        expect(found).toMatchObject({ FROM_FILE: 'a value', SECOND: '2' });
      expect(run.log).not.toContain('s3cret');
      expect(JSON.stringify(run.report)).not.toContain('s3cret');
      expect(run.summary).not.toContain('s3cret');
    } finally {
      rmSync(workspace, { recursive: true });
    }
  });
});

onSwarm('stack files', () => {
  scenario('are merged in their order, as Docker merges them', async (stack) => {
    const run = await stack.run({
      files: {
        'base.yml': stack.file({
          api: quick(stack, { environment: { KEPT: 'base', CHANGED: 'base' } }),
        }),
        'production.yml': JSON.stringify({
          services: {
            api: { environment: { CHANGED: 'production' }, deploy: { replicas: 2 } },
            extra: quick(stack, {}),
          },
        }),
      },
      inputs: { 'compose-file': 'base.yml\nproduction.yml' },
    });
    expect(run.outcome).toBe('deployed');
    expect(await stack.running('api')).toHaveLength(2);
    expect(await stack.running('extra')).toHaveLength(1);
    for (const found of await environments(stack, 'api'))
      expect(found).toMatchObject({ KEPT: 'base', CHANGED: 'production' });
  });

  scenario('take variables from env, then env-file, then the environment', async (stack) => {
    const run = await stack.run({
      files: {
        'compose.yaml': stack.file({
          api: quick(stack, {
            environment: {
              FIRST: '${IN_ALL}',
              SECOND: '${IN_TWO}',
              THIRD: '${IN_ONE}',
              FOURTH: '${IN_NONE:-fallback}',
            },
          }),
        }),
        'a.env': 'IN_ALL=from env-file\nIN_TWO=from env-file\n',
      },
      inputs: { env: 'IN_ALL=from env', 'env-file': 'a.env' },
      env: {
        IN_ALL: 'from the environment',
        IN_TWO: 'from the environment',
        IN_ONE: 'from the environment',
      },
    });
    expect(run.outcome).toBe('deployed');
    for (const found of await environments(stack, 'api'))
      expect(found).toMatchObject({
        FIRST: 'from env',
        SECOND: 'from env-file',
        THIRD: 'from the environment',
        FOURTH: 'fallback',
      });
  });
});
