/** What other users of the manager, and a login with few rights, can and cannot do. */
import { expect } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { createWorkspace, upload } from '../../src/docker/workspace.js';
import type { Transport } from '../../src/transport/transport.js';
import {
  aloneScenario,
  onSwarm,
  ownSwarmScenario,
  type Node,
  type Stack,
} from '../support/swarm.js';

/** As `deploy`, who may use Docker, or `guest`, who has an account and nothing else. */
const asUser = (user: 'deploy' | 'guest', ...argv: readonly string[]): readonly string[] => {
  const id = user === 'deploy' ? 2001 : 2002;
  return ['setpriv', `--reuid=${id}`, `--regid=${id}`, '--clear-groups', ...argv];
};

/** The node's shell for a user, in place of a connection. */
function shellOf(node: Node, user: 'deploy' | 'guest'): Pick<Transport, 'run' | 'description'> {
  return {
    description: node.name,
    run: async (argv, options = {}) => {
      const input = options.input === undefined ? {} : { input: Buffer.from(options.input) };
      const { code, stdout, stderr } = await node.exec(asUser(user, ...argv), input);
      return { code, stdout: Buffer.from(stdout), stderr: Buffer.from(stderr) };
    },
  };
}

onSwarm('another user of the manager', () => {
  aloneScenario('can neither read nor prepare the directory of a run', async (stack) => {
    const { manager } = stack;
    const transport = shellOf(manager, 'deploy') as Transport;
    const guest = async (script: string, ...args: readonly string[]) =>
      await manager.exec(asUser('guest', 'sh', '-c', script, 'sh', ...args));
    const nameOf = (): string => `swarm-deploy-${randomBytes(16).toString('hex')}`;

    const workspace = await createWorkspace(transport, nameOf(), { name: 'a', content: 'secret' });
    await upload(transport, workspace, [{ name: 'attachments/b', content: 'secret' }]);
    for (const script of [
      'ls "$1"',
      'cat "$1/a"',
      'cat "$1/attachments/b"',
      'echo x > "$1/a"',
      'echo x > "$1/docker/config.json"',
      'mv "$1" "$1.mine"',
      'rm -rf "$1"',
      'ln -s /etc/passwd "$1/link"',
    ])
      expect((await guest(script, workspace.path)).code).not.toBe(0);
    const inside = await manager.exec([
      'cat',
      `${workspace.path}/a`,
      `${workspace.path}/attachments/b`,
    ]);
    expect(inside.stdout).toBe('secretsecret');
    await manager.exec(['rm', '-r', workspace.path]);

    // If the name were known beforehand, which takes guessing 128 random bits.
    for (const prepare of [
      'mkdir -m 777 "/tmp/$1"',
      'mkdir -m 777 "/tmp/$1.own" && ln -s "/tmp/$1.own" "/tmp/$1"',
      'ln -s "/tmp/$1.nowhere" "/tmp/$1"',
      'echo mine > "/tmp/$1"',
    ]) {
      const name = nameOf();
      expect((await guest(prepare, name)).code).toBe(0);
      const made = createWorkspace(transport, name, { name: 'a', content: 'secret' });
      await expect(made).rejects.toThrow(/cannot create a directory for this run/);
      const written = await manager.exec(`grep -rs secret /tmp/${name} /tmp/${name}.*`);
      expect(written.stdout).toBe('');
      await manager.exec(`rm -rf /tmp/${name} /tmp/${name}.*`);
    }
  });
});

const api = (stack: Stack): Record<string, object> => ({ api: { image: stack.image('web') } });

onSwarm('a login with few rights', () => {
  ownSwarmScenario(
    'deploys: a user of the group docker, by a key that is restricted in authorized_keys',
    { managers: 1, workers: 0 },
    async (stack) => {
      const { manager } = stack;
      const file = '/home/deploy/.ssh/authorized_keys';
      const { stdout: plain } = await manager.exec(['cat', file]);
      const key = plain.trim();
      const allow = async (options: string): Promise<void> => {
        const { code } = await manager.exec(`cat > ${file}`, { input: `${options} ${key}\n` });
        expect(code).toBe(0);
      };
      const gateway = stack.bed.registry.host.replace(/:\d+$/, '');

      await allow(`restrict,from="${gateway}"`);
      const run = await stack.deploy(api(stack), { username: 'deploy' });
      expect(run).toMatchObject({ outcome: 'deployed', code: 0 });
      const again = await stack.run({ inputs: { username: 'deploy', mode: 'rollback' } });
      // Nothing earlier is there to go back to: it was asked, by the same few rights.
      expect(again).toMatchObject({ reason: 'no-such-revision' });

      await allow('restrict,from="192.0.2.1"');
      const elsewhere = await stack.deploy(api(stack), { username: 'deploy' });
      expect(elsewhere).toMatchObject({ outcome: 'invalid', reason: 'auth-failed' });
    },
  );
  ownSwarmScenario(
    'deploys over a socket of its own, as that of a rootless engine, and by no other',
    { managers: 1, workers: 0 },
    async (stack) => {
      const { manager } = stack;
      const socket = '/run/user/2002/docker.sock';
      const must = async (script: string, input = ''): Promise<void> => {
        const { code, stderr } = await manager.exec(script, { input });
        expect([code, stderr]).toEqual([0, '']);
      };
      const hosts = ['unix:///var/run/docker.sock', `unix://${socket}`];
      await must(
        'mkdir -p /etc/docker && cat >/etc/docker/daemon.json && install -d -m 700 -o 2002 -g 2002 /run/user/2002',
        JSON.stringify({ hosts }),
      );
      await manager.stopEngine();
      await manager.startEngine();
      await must(`chown 2002:2002 ${socket} && chmod 600 ${socket}`);
      const run = await stack.deploy(api(stack), {
        username: 'guest',
        'docker-host': `unix://${socket}`,
      });
      expect(run).toMatchObject({ outcome: 'deployed', code: 0 });
      const other = await stack.deploy(api(stack), { username: 'guest' });
      expect(other).toMatchObject({ outcome: 'invalid', reason: 'docker-unavailable' });
      expect(other.log).toMatch(/permission denied/i);
    },
  );
});
