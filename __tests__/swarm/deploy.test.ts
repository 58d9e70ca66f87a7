/** What only the action does, or takes several deploys; all else is in the truth table. */
import { expect } from '@jest/globals';
import {
  digestOf,
  onSwarm,
  quickUpdate,
  scenario,
  testbed,
  type LiveTask,
  type Node,
  type Run,
  type Stack,
} from '../support/swarm.js';

const digests = (tasks: readonly LiveTask[]): readonly string[] => [
  ...new Set(tasks.map(({ Spec }) => digestOf(Spec.ContainerSpec.Image))),
];

/** Nodes that have a registry login of their own. */
async function loggedIn(nodes: readonly Node[]): Promise<readonly string[]> {
  const found = await Promise.all(
    nodes.map(async (node) => {
      const look = "grep -ls '\"auth' /root/.docker/config.json /home/*/.docker/config.json";
      return (await node.exec(look)).stdout === '' ? [] : [node.name];
    }),
  );
  return found.flat();
}

async function nodesOf(stack: Stack, tasks: readonly LiveTask[]): Promise<readonly string[]> {
  const nodes = await Promise.all(tasks.map((task) => stack.nodeOf(task)));
  return nodes.map(({ name }) => name).sort();
}

onSwarm('a deploy', () => {
  scenario('runs a private image on workers that never logged in', async (stack) => {
    const { nodes } = stack.useOverlay().bed;
    expect(await loggedIn(nodes)).toEqual([]);
    // Nobody has pulled this one yet.
    const name = `own-${stack.name}`;
    const digest = await stack.bed.pushImage(`${name}:v1`, {
      command: ['/bin/busybox', 'sleep', '1000000'],
    });
    const run = await stack.deploy({
      api: {
        image: stack.image(name),
        stop_grace_period: '1s',
        deploy: { replicas: 4, placement: { constraints: ['node.role == worker'] } },
      },
    });
    expect(run).toMatchObject({ outcome: 'deployed', reason: '', code: 0, postCode: 0 });
    const tasks = await stack.running('api');
    expect(tasks).toHaveLength(4);
    expect(digests(tasks)).toEqual([digest]);
    expect([...new Set(await nodesOf(stack, tasks))]).toEqual(['worker1', 'worker2']);
    expect(await loggedIn(nodes)).toEqual([]);
    expect(run.changed).toEqual([`${stack.name}_api`]);
    expect(run.services).toEqual([
      {
        name: `${stack.name}_api`,
        change: 'created',
        image: stack.image(name),
        digest,
        previousImage: '',
        replicas: { running: 4, desired: 4 },
        outcome: 'healthy',
        reason: '',
      },
    ]);
  });

  scenario('of a service without a healthcheck holds it to stable-for', async (stack) => {
    const run = await stack.deploy(
      { api: { image: stack.image('nohealth'), deploy: { replicas: 2 } } },
      { 'stable-for': '3s' },
    );
    expect(run.outcome).toBe('deployed');
    expect(await stack.running('api')).toHaveLength(2);
    const started = Object.values(await stack.startTimes('api')).map((time) => Date.parse(time));
    const { now } = await stack.manager.api('GET', '/info').then((info: unknown) => ({
      now: Date.parse((info as { SystemTime: string }).SystemTime),
    }));
    expect(now - Math.max(...started)).toBeGreaterThanOrEqual(3000);
  });

  scenario('with wait: false returns once the swarm has accepted it', async (stack) => {
    const run = await stack.deploy(
      { api: { image: stack.image('unhealthy'), deploy: { replicas: 1 } } },
      { wait: false },
    );
    expect(run).toMatchObject({
      outcome: 'deployed',
      code: 0,
      services: [{ outcome: 'accepted' }],
    });
    expect(Object.keys(await stack.services())).toEqual(['api']);
  });

  scenario('works where the stack was removed a moment ago', async (stack) => {
    // Its network may still be going away while the new one is asked for.
    stack.useOverlay();
    const api = { image: stack.image('web'), deploy: { replicas: 2 } };
    expect((await stack.deploy({ api })).outcome).toBe('deployed');
    await stack.remove();
    const run = await stack.deploy({ api });
    expect(run).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(await stack.running('api')).toHaveLength(2);
    expect(await stack.objects()).toEqual([`${stack.name}_default`]);
  });

  scenario('after failed ones succeeds, and those have left nothing', async (stack) => {
    const deploy = (image: string, tag: string): Promise<Run> =>
      stack.deploy({
        api: {
          image: stack.image(image, tag),
          deploy: { replicas: 2, update_config: quickUpdate, rollback_config: quickUpdate },
        },
      });
    expect((await deploy('web', 'v3')).outcome).toBe('deployed');
    expect((await deploy('web', 'v1')).outcome).toBe('deployed');
    const specs = await stack.specs();
    expect((await deploy('crash', 'v1')).outcome).toBe('rolled-back');
    expect((await deploy('nosuchimage', 'v9')).outcome).toBe('rolled-back');
    expect(await stack.specs()).toEqual(specs);
    expect(digests(await stack.running('api'))).toEqual([await stack.bed.digest('web:v1')]);
    expect((await deploy('web', 'v2')).outcome).toBe('deployed');
    expect(digests(await stack.running('api'))).toEqual([await stack.bed.digest('web:v2')]);
  });
});

onSwarm('the test swarm', () => {
  scenario('has SFTP off, so that every other scenario proves a deploy without it', async () => {
    for (const node of (await testbed()).nodes)
      expect((await node.exec('sshd -T | grep -i subsystem')).stdout).toBe('');
  });
});
