/** The committed bundle among hostile words, and what it reaches out for. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runStep } from '../../testbed/runner.mjs';
import { makeKey, startSshServer, type SshServer } from '../support/ssh-server.js';

const HERE = dirname(fileURLToPath(import.meta.url));
const FAKE = join(HERE, '..', 'support', 'swarm-fake-docker.mjs');
const WATCH = join(HERE, '..', 'support', 'watch-connections.cjs');

type Result = Awaited<ReturnType<typeof runStep>>;
const clientKey = makeKey();
let home: string;
let server: SshServer;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'swarm-deploy-safety-'));
});
afterEach(async () => {
  await server.close();
  rmSync(home, { recursive: true, force: true });
});

/** A host whose docker command plays this. @param before shell text that it runs first */
async function startHost(play: object, before = ''): Promise<void> {
  for (const name of ['bin', 'tmp', 'docker']) mkdirSync(join(home, name));
  const docker = join(home, 'bin', 'docker');
  writeFileSync(docker, `#!/bin/sh\n${before}\nexec "${process.execPath}" "${FAKE}" "$@"\n`);
  chmodSync(docker, 0o755);
  writeFileSync(join(home, 'docker', 'play.json'), JSON.stringify(play));
  server = await startSshServer({
    authorizedKeys: [clientKey],
    env: {
      PATH: `${join(home, 'bin')}:${process.env['PATH'] ?? ''}`,
      HOME: home,
      TMPDIR: join(home, 'tmp'),
      FAKE_DOCKER: join(home, 'docker'),
    },
  });
}

const run = (
  inputs: Record<string, string | number> = {},
  env: Record<string, string> = {},
): Promise<Result> =>
  runStep({
    files: { 'compose.yaml': 'services:\n  api:\n    image: example/api:v1\n' },
    env,
    inputs: {
      stack: 'shop',
      host: `deployer@${server.host}:${server.port}`,
      'private-key': clientKey.privateKey,
      'known-hosts': server.knownHosts,
      'stable-for': '200ms',
      ...inputs,
    },
  });

const ATTACK = [
  '::set-output name=outcome::deployed',
  '##[error]not from the action',
  '\u001b[2J\u001b]0;title\u0007\u202e',
  '::stop-commands::token',
  '</code></details><img src=x onerror=y>[x](http://evil.example)@someone',
  '```',
  '| a | b |',
].join('\n');

/** What the action itself may say to the runner. */
const OWN = new Set(['add-mask', 'endgroup', 'error', 'group', 'notice', 'warning', 'debug']);

function expectHarmless({ log, postLog, summary }: Result): void {
  for (const line of `${log}\n${postLog}`.split('\n')) {
    const command = /^\s*::([\w-]+)/.exec(line)?.[1];
    if (command !== undefined) expect(OWN).toContain(command);
    expect(line).not.toContain('##[');
    expect(line).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
  }
  expect(summary).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
  expect(summary).not.toMatch(/<img|\]\(http|@someone/);
  expect(summary).not.toMatch(/^\| a \|/m);
}

describe('hostile words', () => {
  it.each<[string, object, string]>([
    ['of an engine that says its version', { version: `28.5.1 ${ATTACK}` }, ''],
    ['of a registry that refuses', { loginError: `unauthorized: ${ATTACK}` }, ''],
    [
      'of a container, a node and an image',
      {
        taskState: 'failed',
        taskError: ATTACK,
        hostname: ATTACK,
        image: `example/api:v1${ATTACK}`,
      },
      '',
    ],
    ['of the command that deploys', { deployError: ATTACK, deployOutput: ATTACK }, ''],
    ['that the client prints in front of all it does', {}, `printf '%s' '${ATTACK}' >&2`],
    ['instead of an answer', {}, `printf '%s' '${ATTACK}'`],
  ])('%s stay words', async (_, play, before) => {
    await startHost(play, before);
    const result = await run({
      'max-failures': 0,
      'registry-username': 'user',
      'registry-password': 'canary-registry',
      'connect-timeout': '5s',
    });
    expect(result.outputs['outcome']).toMatch(/^[a-z-]+$/);
    for (const text of Object.values(result.outputs)) expect(text).not.toMatch(/[\n\u001b]/);
    expectHarmless(result);
  });
});

it('a registry that repeats the login has none of it in the report', async () => {
  const password = 'canary-registry';
  const auth = Buffer.from(`user:${password}`).toString('base64');
  await startHost({ loginError: `unauthorized: ${password}, Basic ${auth}` });
  const login = { 'registry-username': 'user', 'registry-password': password };
  const result = await run({ ...login, 'connect-timeout': '5s' });
  const report = JSON.stringify(result.report);
  expect(result.outputs).toMatchObject({ outcome: 'invalid', reason: 'registry-auth' });
  expect(report).toContain('unauthorized: ***, Basic ***');
  expect(report).not.toContain(password);
  expect(report).not.toContain(auth);
});

describe('from the runner', () => {
  it('it connects to the manager alone, looks nothing up, and starts and loads nothing', async () => {
    await startHost({});
    const watched = join(home, 'watched');
    const env = { NODE_OPTIONS: `--require ${WATCH}`, WATCHED: watched };
    const result = await run({}, env);
    expect(result.outputs['outcome']).toBe('deployed');
    const seen = new Set(readFileSync(watched, 'utf8').trim().split('\n'));
    // ssh2 tries for faster parts of its own beside the bundle, where there are none.
    const isOwn = (line: string): boolean =>
      /^load (?:.*dist\/index\.js|\.\/crypto\/.*sshcrypto\.node|\.\.\/.*cpufeatures\.node)$/.test(
        line,
      );
    expect([...seen].filter((line) => !isOwn(line))).toEqual([
      `connect ${server.host}:${server.port}`,
    ]);
  });
});
