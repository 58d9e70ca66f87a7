/** Ways to the manager: keys, pinned host keys, fail-over, other users, and no SSH at all. */
import { expect } from '@jest/globals';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onSwarm, scenario, sshdLogOf, type Stack } from '../support/swarm.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

const api = (stack: Stack): object => ({ api: { image: stack.image('web') } });

onSwarm('a manager is reached', () => {
  scenario('with a key that has a passphrase, and a pinned fingerprint', async (stack) => {
    const { encryptedPrivateKey, passphrase } = stack.bed.ssh;
    const run = await stack.deploy(
      { ...api(stack) },
      {
        'private-key': encryptedPrivateKey,
        passphrase,
        'known-hosts': '',
        'host-fingerprint': stack.manager.fingerprint,
      },
    );
    expect(run).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(run.log.replace(/^::add-mask::.*$/gm, '')).not.toContain(passphrase);
    expect(await stack.running('api')).toHaveLength(1);
  });

  scenario('with a wrong passphrase it is not, and no server is asked', async (stack) => {
    const run = await stack.deploy(
      { ...api(stack) },
      { 'private-key': stack.bed.ssh.encryptedPrivateKey, passphrase: 'not this one' },
    );
    expect(run).toMatchObject({ outcome: 'invalid', reason: 'auth-failed', code: 1 });
    expect(run.log).toContain('passphrase');
    expect(await stack.services()).toEqual({});
  });

  scenario('past hosts that are dead or no manager', async (stack) => {
    const { bed, manager } = stack;
    const run = await stack.deploy(
      { ...api(stack) },
      { host: `${manager.address}:1\n${bed.node('worker1').address}\nroot@${manager.address}:22` },
    );
    expect(run).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(run.log).toContain(`${manager.address}:1`);
    expect(await stack.running('api')).toHaveLength(1);
  });

  scenario('as a user that may run docker by sudo alone', async (stack) => {
    // The nodes have no sudo: this one takes `-n` alone, passes no environment on, and is root.
    const { manager } = stack;
    const install = `
      cp /usr/bin/env /usr/local/bin/as-root && chmod 4755 /usr/local/bin/as-root
      cat >/usr/local/bin/sudo && chmod 755 /usr/local/bin/sudo`;
    const sudo = `#!/bin/sh
[ "$1" = -n ] || { echo 'sudo: a terminal is required to read the password' >&2; exit 1; }
shift
exec /usr/local/bin/as-root -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
`;
    expect((await manager.exec(`mkdir -p /usr/local/bin; ${install}`, { input: sudo })).code).toBe(
      0,
    );
    const run = await stack.deploy({ ...api(stack) }, { username: 'guest', sudo: true });
    expect(run).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(await stack.running('api')).toHaveLength(1);
    const left = await manager.exec('find /tmp -maxdepth 1 -name "swarm-deploy-*" -user guest');
    expect(left).toMatchObject({ code: 0, stdout: '' });
  });

  scenario('with host: local, from the manager itself', async (stack) => {
    const { manager } = stack;
    // A node sees most of this machine's files, but has a /root of its own.
    const home = mkdtempSync(join(manager.directory, 'root', 'local-'));
    try {
      for (const name of ['dist/index.js', 'testbed/runner.mjs', 'action.yml']) {
        mkdirSync(dirname(join(home, name)), { recursive: true });
        copyFileSync(join(ROOT, name), join(home, name));
      }
      copyFileSync(process.execPath, join(home, 'node'));
      const { host, ...inputs } = stack.inputs();
      expect(host).toBe(manager.address);
      const step = {
        inputs: {
          ...inputs,
          host: 'local',
          username: '',
          'private-key': '',
          'known-hosts': '',
          'stable-for': '2s',
        },
        files: { 'compose.yaml': stack.file({ api: { image: stack.image('web') } }) },
      };
      writeFileSync(
        join(home, 'run.mjs'),
        `import { runStep } from './testbed/runner.mjs';
         console.log(JSON.stringify(await runStep(${JSON.stringify(step)})));`,
      );
      const inside = `/root/${basename(home)}`;
      const log = sshdLogOf(manager);
      const { stdout, stderr } = await manager.exec([`${inside}/node`, `${inside}/run.mjs`], {
        timeoutMs: 120_000,
      });
      expect(stderr).toBe('');
      const run = JSON.parse(stdout) as { code: number; log: string; outputs: object };
      expect({ log: run.log, ...run.outputs }).toMatchObject({ outcome: 'deployed', reason: '' });
      expect(run.code).toBe(0);
      expect(await stack.running('api')).toHaveLength(1);
      expect(log().filter((line) => line.includes(`from ${manager.address}`))).toEqual([]);
    } finally {
      rmSync(home, { recursive: true });
    }
  });
});
