/**
 * The committed bundle as the runner starts it, `main` and then `post`, against an SSH server in
 * this process and a docker command that plays a part.
 */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runStep } from '../../testbed/runner.mjs';
import {
  makeKey,
  startSshServer,
  type SshServer,
  type SshServerOptions,
} from '../support/ssh-server.js';

const HERE = dirname(fileURLToPath(import.meta.url));
const FAKE = join(HERE, '..', 'support', 'swarm-fake-docker.mjs');
const BUNDLE = join(HERE, '..', '..', 'dist', 'index.js');

type Step = Parameters<typeof runStep>[0];
type Result = Awaited<ReturnType<typeof runStep>>;

const OUTPUTS = [
  'changed-services',
  'duration',
  'has-changes',
  'outcome',
  'previous-revision',
  'reason',
  'report',
  'revision',
  'services',
];
const CANARIES = {
  passphrase: 'canary-passphrase-1',
  password: 'canary-password-2',
  registry: 'canary-registry-3',
};
const STACK = 'services:\n  api:\n    image: example/api:v1\n';

const clientKey = makeKey();
const lockedKey = makeKey('ed25519', CANARIES.passphrase);

let home: string;
let servers: SshServer[];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'swarm-deploy-bundle-'));
  servers = [];
});

afterEach(async () => {
  await Promise.all(servers.map((server) => server.close()));
  rmSync(home, { recursive: true, force: true });
});

/** A host with a docker command that plays this. */
async function startHost(play: object = {}, options: SshServerOptions = {}): Promise<SshServer> {
  for (const name of ['bin', 'tmp', 'docker']) mkdirSync(join(home, name));
  const docker = join(home, 'bin', 'docker');
  writeFileSync(docker, `#!/bin/sh\nexec "${process.execPath}" "${FAKE}" "$@"\n`);
  chmodSync(docker, 0o755);
  writeFileSync(join(home, 'docker', 'play.json'), JSON.stringify(play));
  const server = await startSshServer({
    authorizedKeys: [clientKey, lockedKey],
    env: {
      PATH: `${join(home, 'bin')}:${process.env['PATH'] ?? ''}`,
      HOME: home,
      TMPDIR: join(home, 'tmp'),
      FAKE_DOCKER: join(home, 'docker'),
    },
    ...options,
  });
  servers.push(server);
  return server;
}

function run(
  server: SshServer,
  inputs: Step['inputs'] = {},
  more: Partial<Step> = {},
): Promise<Result> {
  return runStep({
    files: { 'compose.yaml': STACK },
    ...more,
    inputs: {
      stack: 'shop',
      host: `deployer@${server.host}:${server.port}`,
      'private-key': clientKey.privateKey,
      'known-hosts': server.knownHosts,
      'stable-for': '200ms',
      ...inputs,
    },
  });
}

const calls = (): readonly string[][] =>
  readFileSync(join(home, 'docker', 'calls.log'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as string[]);

/** Everything that a run writes or prints, the lines that ask for masking left out. */
const traces = ({ log, postLog, summary, report, outputs, state }: Result): string =>
  [`${log}\n${postLog}`.replace(/^::add-mask::.*$/gm, ''), summary, report, outputs, state]
    .map((part) => (typeof part === 'string' ? part : JSON.stringify(part)))
    .join('\n');

/** The workflow commands in a log, by name. */
const commandsIn = (log: string): readonly string[] => [
  ...new Set([...log.matchAll(/^::([\w-]+)/gm)].map(([, name]) => name ?? '')),
];

function expectClean(result: Result): void {
  expect(readdirSync(join(home, 'tmp'))).toEqual([]);
  expect(result.state['workspace']).toBe('');
  expect(result.postCode).toBe(0);
}

describe('a deploy', () => {
  it('ends green with outputs, summary, report and state, and leaves nothing', async () => {
    const server = await startHost({ image: `example/api:v1@sha256:${'a'.repeat(64)}` });
    const result = await run(server, {
      'registry-username': 'user',
      'registry-password': CANARIES.registry,
    });
    expect(result.log).toContain('shop is deployed');
    expect(result.code).toBe(0);
    expect(Object.keys(result.outputs).sort()).toEqual(OUTPUTS);
    expect(result.outputs).toMatchObject({
      outcome: 'deployed',
      reason: '',
      'changed-services': '["shop_api"]',
    });
    expect(JSON.parse(result.outputs['services'] ?? '')).toEqual([
      {
        name: 'shop_api',
        change: 'created',
        image: 'example/api:v1',
        digest: `sha256:${'a'.repeat(64)}`,
        previousImage: '',
        replicas: { running: 1, desired: 1 },
        outcome: 'healthy',
        reason: '',
      },
    ]);
    expect(Number(result.outputs['duration'])).toBeGreaterThan(0);
    expect(result.summary).toContain('shop is deployed');
    expect(result.report).toMatchObject({ version: 1, outcome: 'deployed', stack: 'shop' });
    expect(result.state).toMatchObject({ main: 'started' });
    expectClean(result);
    const verbs = calls().map((argv) => argv.join(' ').replace(/--config \S+ /, ''));
    expect(verbs).toHaveLength(3);
    expect(verbs).toEqual(
      expect.arrayContaining([
        '--version',
        'system dial-stdio',
        expect.stringMatching(
          /^stack deploy --compose-file \S+ --with-registry-auth --resolve-image always --detach=true shop$/,
        ),
      ]),
    );
  });

  it('that fails ends red with the cause, rolled back', async () => {
    const server = await startHost({ taskState: 'failed', taskError: 'task: non-zero exit (1)' });
    const result = await run(server, { 'max-failures': 1 });
    expect(result.code).toBe(1);
    expect(result.outputs).toMatchObject({ outcome: 'rolled-back', reason: 'crash-loop' });
    expect(Object.keys(result.outputs).sort()).toEqual(OUTPUTS);
    expect(result.summary).toContain('non-zero exit');
    expect(result.log).toContain('::error');
    expectClean(result);
  });

  it('prints no secret of the inputs, whatever happens', async () => {
    const server = await startHost({}, { password: CANARIES.password });
    const secrets = [
      ...lockedKey.privateKey.split('\n').filter((line) => line.length > 40),
      ...Object.values(CANARIES),
      Buffer.from(`user:${CANARIES.registry}`).toString('base64'),
    ];
    const inputs = {
      'private-key': lockedKey.privateKey,
      passphrase: CANARIES.passphrase,
      password: CANARIES.password,
      'registry-username': 'user',
      'registry-password': CANARIES.registry,
    };
    const env = { RUNNER_DEBUG: '1' };
    const green = await run(server, inputs, { env });
    expect(green.outputs['outcome']).toBe('deployed');
    // Each of them is masked before anything else could print it.
    for (const secret of secrets) expect(green.log).toContain(`::add-mask::${secret}\n`);
    expect(green.log).toMatch(
      /^::debug:: *0:\d\d {2}engine: GET .*\/services .*-> 200, \d+ bytes/m,
    );
    expect(green.log).toMatch(/^::debug::.*command: .*docker .*stack deploy .*-> exit code 0/m);
    expect(green.log).toContain('engine: POST /auth');
    const refused = await run(server, { ...inputs, timeout: 'never' }, { env });
    expect(refused.outputs['outcome']).toBe('invalid');
    const unreachable = await run(
      server,
      { ...inputs, 'known-hosts': `${server.host} x y` },
      { env },
    );
    expect(unreachable.code).toBe(1);
    for (const secret of secrets)
      for (const result of [green, refused, unreachable])
        expect(traces(result)).not.toContain(secret);
  });

  it('writes its outputs where the summary cannot be written', async () => {
    const server = await startHost();
    const env = { GITHUB_STEP_SUMMARY: join(home, 'there', 'is', 'no', 'directory') };
    const result = await run(server, {}, { env });
    expect(result.outputs['outcome']).toBe('deployed');
    expect(result.code).toBe(0);
    expect(result.log).toContain('::warning::could not write the summary');
  });

  it('ends with its verdict and one warning where no file of the runner can be written', async () => {
    const server = await startHost();
    const nowhere = join(home, 'there', 'is', 'no', 'directory');
    const env = {
      ...{ GITHUB_OUTPUT: nowhere, GITHUB_STATE: nowhere, GITHUB_STEP_SUMMARY: nowhere },
      ...{ RUNNER_TEMP: nowhere, GITHUB_RUN_ID: '1', GITHUB_ACTION: 'deploy' },
    };
    const green = await run(server, {}, { env });
    expect([green.code, green.postCode]).toEqual([0, 0]);
    // As runners took them before they had files for it.
    expect(green.outputs).toMatchObject({ outcome: 'deployed', reason: '' });
    expect(green.state).toMatchObject({ main: 'started', workspace: '' });
    expect(green.log.match(/^::warning::could not write the .*$/gm)).toHaveLength(1);
    expect(green.log).toMatch(
      /^::warning::could not write the state for the post step, .*the outputs, the report, the summary: .*The verdict stands/m,
    );
    expect(readdirSync(join(home, 'tmp'))).toEqual([]);
  });

  it('that fails stays red where no file of the runner can be written', async () => {
    const server = await startHost({ taskState: 'failed' });
    const nowhere = join(home, 'there', 'is', 'no', 'directory');
    const env = { GITHUB_OUTPUT: nowhere, GITHUB_STATE: nowhere, RUNNER_TEMP: nowhere };
    const red = await run(server, { 'max-failures': 1 }, { env });
    expect([red.code, red.postCode]).toEqual([1, 0]);
    expect(red.outputs['outcome']).toBe('rolled-back');
  });

  it('is not deployed once more by post where a full disk has kept the state from being written', async () => {
    const server = await startHost();
    const env = { GITHUB_STATE: '/dev/full', GITHUB_RUN_ID: '1', GITHUB_ACTION: 'deploy' };
    const result = await run(server, {}, { env, deaf: true });
    expect(result).toMatchObject({ code: 0, postCode: 0 });
    expect(result.log).toContain('ENOSPC');
    // It knows by a file of its own alone.
    expect(result.postLog).toBe('');
    expect(result.leftInTemp).toEqual([]);
  });

  it('that is killed is cleaned up by post', async () => {
    const server = await startHost({ taskState: 'starting' });
    let kill = (): void => undefined;
    let left: readonly string[] = [];
    const result = await run(
      server,
      {},
      {
        onStart: (child) => {
          kill = () => child.kill('SIGKILL');
        },
        onLine: (line) => {
          if (!line.startsWith('::group::Deploy')) return;
          left = readdirSync(join(home, 'tmp'));
          kill();
        },
      },
    );
    expect(result.code).toBeNull();
    expect(left).toEqual([expect.stringMatching(/^swarm-deploy-[0-9a-f]{32}$/)]);
    expect(readdirSync(join(home, 'tmp'))).toEqual([]);
    expect(result.postCode).toBe(0);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('that gets %s is cancelled', async (signal) => {
    const server = await startHost({ taskState: 'starting' });
    let interrupt = (): void => undefined;
    const result = await run(
      server,
      {},
      {
        onStart: (child) => {
          interrupt = () => child.kill(signal);
        },
        onLine: (line) => {
          if (line.startsWith('::group::Watch')) interrupt();
        },
      },
    );
    expect(result.code).toBe(1);
    expect(result.outputs).toMatchObject({ outcome: 'cancelled', reason: 'cancelled' });
    expect(Object.keys(result.outputs).sort()).toEqual(OUTPUTS);
    expect(result.summary).not.toBe('');
    expectClean(result);
  });
});

describe('what a hostile manager says', () => {
  const ATTACK = [
    '::set-output name=outcome::deployed',
    '::add-mask::a',
    '##[error]not from the action',
    '\u001b[2J\u001b]0;title\u0007',
    '::stop-commands::token',
    'outcome<<ghadelimiter',
    'deployed',
    'ghadelimiter',
    'outcome=deployed',
  ].join('\n');

  it('never becomes a workflow command or an output', async () => {
    const server = await startHost({
      taskState: 'failed',
      taskError: ATTACK,
      deployOutput: ATTACK,
      hostname: ATTACK,
      image: `example/api:v1\n${ATTACK}`,
    });
    const result = await run(server, { 'max-failures': 1 });
    expect(result.code).toBe(1);
    expect(result.outputs['outcome']).toBe('rolled-back');
    expect(Object.keys(result.outputs).sort()).toEqual(OUTPUTS);
    expect([...commandsIn(result.log)].sort()).toEqual([
      // Notices are of the lint.
      ...['add-mask', 'endgroup', 'error', 'group', 'notice', 'warning'],
    ]);
    expect(result.log).not.toMatch(/^::add-mask::a$/m);
    expect(result.log).not.toContain('##[');
    expect(result.log + result.summary).not.toContain('\u001b');
    // Also not in the middle of a line that the runner would split at a carriage return.
    expect(result.log).not.toContain('\r');
  });

  it('never does so in the words of a refusal', async () => {
    const server = await startHost({ deployError: ATTACK });
    const result = await run(server);
    expect(result.code).toBe(1);
    expect(result.outputs['outcome']).toBe('invalid');
    expect(Object.keys(result.outputs).sort()).toEqual(OUTPUTS);
    expect([...commandsIn(result.log)].sort()).toEqual([
      ...['add-mask', 'endgroup', 'error', 'group', 'notice', 'warning'],
    ]);
    expect(result.log).not.toMatch(/^::add-mask::a$/m);
    expect(result.log + result.summary).not.toContain('\u001b');
  });
});

describe('a run is refused', () => {
  function expectInvalid(result: Result, reason: string): void {
    expect(result.code).toBe(1);
    expect(result.outputs).toMatchObject({ outcome: 'invalid', reason });
    expect(Object.keys(result.outputs).sort()).toEqual(OUTPUTS);
    expect(result.summary).toContain(reason);
    expect(result.postCode).toBe(0);
  }

  it('with all bad inputs at once, before anything is connected', async () => {
    const server = await startHost();
    const result = await run(server, {
      stack: 'not a stack',
      port: 'ninety',
      prune: 'perhaps',
      'max-failures': '-1',
      'registry-username': 'half',
    });
    expectInvalid(result, 'input-invalid');
    const errors = result.log.split('\n').filter((line) => line.startsWith('::error'));
    expect(errors).toHaveLength(5);
    for (const name of ['stack', 'port', 'prune', 'max-failures', 'registry-password'])
      expect(errors.some((line) => line.includes(name))).toBe(true);
    for (const value of ['not a stack', 'ninety', 'perhaps', '-1'])
      expect(result.log).toContain(value);
    expect(server.connections).toBe(0);
  });

  it('with ten annotations, which is what GitHub shows, and all problems in log and report', async () => {
    const server = await startHost();
    const services = Array.from({ length: 14 }, (_, i) => `  s${i}: {image: "a:1", odd${i}: 1}\n`);
    const result = await run(
      server,
      {},
      { files: { 'compose.yaml': `services:\n${services.join('')}` } },
    );
    expectInvalid(result, 'compose-invalid');
    const lines = result.log.split('\n');
    expect(lines.filter((line) => line.startsWith('::error'))).toHaveLength(10);
    expect(lines.filter((line) => /^error: compose\.yaml:\d+:/.test(line))).toHaveLength(4);
    expect(server.connections).toBe(0);
  });

  it('by a wrong host key, with no try to log in', async () => {
    const server = await startHost();
    const other = makeKey();
    const result = await run(server, {
      'known-hosts': `[${server.host}]:${server.port} ${other.type} ${other.blob.toString('base64')}`,
    });
    expectInvalid(result, 'host-key');
    expect(result.log).toContain(server.hostKeys[0]!.fingerprint);
    expect(result.log).toMatch(/known-hosts|host-fingerprint/);
    expect(server.connections).toBe(1);
    expect(server.attempts).toEqual([]);
    expect(server.commands).toEqual([]);
  });

  it('by a login that is not accepted', async () => {
    const server = await startHost();
    const stranger = makeKey();
    const result = await run(server, { 'private-key': stranger.privateKey });
    expectInvalid(result, 'auth-failed');
    expect(result.log).toContain('deployer');
    expect(server.attempts.map(({ accepted }) => accepted)).not.toContain(true);
    expect(server.commands).toEqual([]);
  });

  it('by a passphrase that is wrong, without a connection', async () => {
    const server = await startHost();
    const inputs = { 'private-key': lockedKey.privateKey, passphrase: 'not this one' };
    const result = await run(server, inputs);
    expectInvalid(result, 'auth-failed');
    expect(result.log).toContain('passphrase');
    expect(server.connections).toBe(0);
    const right = await run(server, { ...inputs, passphrase: CANARIES.passphrase });
    expect(right.outputs['outcome']).toBe('deployed');
  });

  it('where the host has no docker', async () => {
    const bin = join(home, 'only');
    mkdirSync(bin);
    for (const name of ['sh', 'mkdir', 'rm', 'cat', 'env'])
      symlinkSync(join('/bin', name), join(bin, name));
    const server = await startHost({}, { env: { PATH: bin, HOME: home, TMPDIR: home } });
    const result = await run(server);
    expectInvalid(result, 'docker-unavailable');
    expect(result.log).toContain('docker');
    expect(result.log).toMatch(/not found/);
  });

  it('where the host is a worker', async () => {
    const server = await startHost({ worker: true });
    const result = await run(server);
    expectInvalid(result, 'not-a-manager');
    expect(readdirSync(join(home, 'tmp'))).toEqual([]);
  });

  it('where Docker is too old', async () => {
    const server = await startHost({ version: '18.09.1' });
    const result = await run(server);
    expectInvalid(result, 'engine-too-old');
    expect(result.log).toContain('18.9');
    expect(result.log).toContain('20.10');
  });

  it('by the registry, and no stack is deployed', async () => {
    const server = await startHost({
      loginError: 'Get "https://r/v2/": unauthorized: incorrect username',
    });
    const result = await run(server, {
      'registry-username': 'user',
      'registry-password': CANARIES.registry,
    });
    expectInvalid(result, 'registry-auth');
    expect(calls().filter((argv) => argv.includes('deploy'))).toEqual([]);
    expectClean(result);
  });
});

describe('a server that does not serve', () => {
  it.each(['garbage', 'hang-up'] as const)('%s: unreachable, with its name', async (kind) => {
    const server = await startHost({}, { misbehave: () => kind });
    const result = await run(server, { 'connect-timeout': '2s' });
    expect(result.code).toBe(1);
    expect(result.outputs).toMatchObject({ outcome: 'unreachable', reason: 'connection-lost' });
    expect(Object.keys(result.outputs).sort()).toEqual(OUTPUTS);
    expect(result.log).toContain(`${server.host}:${server.port}`);
    expect(server.attempts).toEqual([]);
  });
});

describe('the start', () => {
  /** Milliseconds until the process prints something, or ends. */
  const untilFirstLine = (args: readonly string[]): Promise<number> =>
    new Promise((resolve, reject) => {
      const begun = performance.now();
      const env = { PATH: '', RUNNER_TEMP: home };
      const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'ignore'] });
      child.once('error', reject);
      let first: number | undefined;
      const note = (): void => {
        first ??= performance.now() - begun;
      };
      child.stdout.on('data', note);
      child.once('close', () => {
        note();
        resolve(first ?? 0);
      });
    });

  it('takes a few times that of Node itself', async () => {
    const [empty, bundle]: [number[], number[]] = [[], []];
    // By turns, so that a busy machine is equally unfair to both.
    for (let round = 0; round < 7; round += 1) {
      empty.push(await untilFirstLine(['-e', '0']));
      bundle.push(await untilFirstLine([BUNDLE]));
    }
    const [node, ours] = [Math.min(...empty), Math.min(...bundle)];
    process.stderr.write(
      `first line of the bundle after ${ours.toFixed(0)} ms (empty Node: ${node.toFixed(0)} ms)\n`,
    );
    expect(ours / node).toBeLessThan(10);
  });
});
