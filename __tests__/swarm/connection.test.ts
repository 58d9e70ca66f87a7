/** Ways to the manager: keys, pinned host keys, fail-over, other users, and no SSH at all. */
import { expect } from '@jest/globals';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

  scenario(
    'as a user that may run docker by sudo alone, by the documented rules',
    async (stack) => {
      const { manager } = stack;
      const { 1: rules = '' } =
        /\n```\n(Cmnd_Alias SWARM_DEPLOY = .*?)```/s.exec(
          readFileSync(join(ROOT, 'docs/threat-model.md'), 'utf8'),
        ) ?? [];
      expect(rules).toContain('\ndeploy ALL=(root) NOPASSWD: SWARM_DEPLOY\n');
      // `deploy` may use Docker here without it.
      const ofGuest = rules.replace('\ndeploy ALL=', '\nguest ALL=');
      const install = `
      set -e
      mkdir -p /etc/sudoers.d
      printf '%s\\n' 'Defaults env_reset' '@includedir /etc/sudoers.d' >/etc/sudoers
      printf '%s\\n' 'account required pam_permit.so' 'session required pam_permit.so' >/etc/pam.d/sudo
      cat >/etc/sudoers.d/swarm-deploy
      chmod 440 /etc/sudoers /etc/sudoers.d/swarm-deploy
      visudo -c`;
      const { code, stderr } = await manager.exec(install, { input: ofGuest });
      expect([code, stderr]).toEqual([0, '']);
      const guest = ['setpriv', '--reuid=2002', '--regid=2002', '--clear-groups', 'sudo', '-n'];
      expect((await manager.exec([...guest, 'docker', '--version'])).code).toBe(0);
      for (const refused of [
        ['docker', 'ps'],
        ['sh', '-c', 'id'],
        ['cat', '/etc/shadow'],
      ])
        expect((await manager.exec([...guest, ...refused])).code).not.toBe(0);

      const inputs = { username: 'guest', sudo: true };
      const run = await stack.deploy({ ...api(stack) }, inputs);
      expect(run).toMatchObject({ outcome: 'deployed', code: 0 });
      expect(await stack.running('api')).toHaveLength(1);
      // What sudo lets through may also be stopped.
      const next = { api: { image: stack.image('web', 'v2') } };
      let cancel = (): void => undefined;
      const cancelled = await stack.run({
        inputs,
        files: { 'docker-stack.yml': stack.file(next) },
        onStart: (child) => (cancel = () => child.kill('SIGINT')),
        onLine: (line) => {
          if (line.includes('::group::Deploy the stack')) cancel();
        },
      });
      expect(cancelled).toMatchObject({ outcome: 'cancelled', postCode: 0 });
      const left = await manager.exec('find /tmp -maxdepth 1 -name "swarm-deploy-*" -user guest');
      expect(left).toMatchObject({ code: 0, stdout: '' });
    },
  );

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
