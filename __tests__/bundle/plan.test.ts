/** The committed bundle makes a plan over SSH, through the shell of the host and pipes there. */
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runStep } from '../../testbed/runner.mjs';
import { makeKey, startSshServer, type SshServer } from '../support/ssh-server.js';

const support = (name: string): string =>
  fileURLToPath(new URL(`../support/${name}`, import.meta.url));
const clientKey = makeKey();

let home: string;
let server: SshServer;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'swarm-deploy-plan-'));
  for (const name of ['bin', 'tmp', 'docker']) mkdirSync(join(home, name));
  const docker = join(home, 'bin', 'docker');
  const node = (file: string): string => `exec "${process.execPath}" "${support(file)}" "$@"`;
  writeFileSync(
    docker,
    `#!/bin/sh\ncase "$*" in *ssh://*) ${node('planning-docker.mjs')} ;; esac\n${node('swarm-fake-docker.mjs')}\n`,
  );
  chmodSync(docker, 0o755);
  writeFileSync(join(home, 'docker', 'play.json'), JSON.stringify({}));
  // One service is there.
  writeFileSync(join(home, 'docker', 'deployed'), '');
  server = await startSshServer({
    authorizedKeys: [clientKey],
    env: {
      PATH: `${join(home, 'bin')}:${process.env['PATH'] ?? ''}`,
      HOME: home,
      TMPDIR: join(home, 'tmp'),
      FAKE_DOCKER: join(home, 'docker'),
    },
  });
});

afterEach(async () => {
  await server.close();
  rmSync(home, { recursive: true, force: true });
});

it('is made of what the CLI would write, and leaves nothing', async () => {
  const result = await runStep({
    files: { 'compose.yaml': 'services:\n  api:\n    image: example/api:v2\n' },
    inputs: {
      mode: 'plan',
      stack: 'shop',
      host: `deployer@${server.host}:${server.port}`,
      'private-key': clientKey.privateKey,
      'known-hosts': server.knownHosts,
    },
  });
  expect(result).toMatchObject({ code: 0, postCode: 0 });
  expect(result.outputs).toMatchObject({
    outcome: 'planned',
    reason: '',
    revision: '',
    'has-changes': 'true',
    'changed-services': '["shop_api"]',
  });
  expect(
    readFileSync(join(home, 'docker', 'answers.log'), 'utf8')
      .trim()
      .split('\n'),
  ).toEqual([
    'GET /info 200',
    'GET /services 200',
    'POST /services/service1/update?version=10 200',
    'POST /secrets/create 201',
  ]);
  expect(result.summary).toMatch(/-   image: example\/api:v1.*\n\+   image: example\/api:v2/);
  expect(result.summary).toContain('+   environment.TOKEN: added (value not shown)');
  expect(result.summary).toContain('+ secret shop_key: created');
  expect(JSON.stringify(result)).not.toMatch(/canary-variable-4|Y2FuYXJ5/);
  expect(readdirSync(join(home, 'tmp'))).toEqual([]);
});
