/** Deploys that succeed, and what the swarm runs afterwards. */
import { expect } from '@jest/globals';
import {
  digestOf,
  onSwarm,
  quickUpdate,
  scenario,
  scenarios,
  testbed,
  type LiveTask,
  type Node,
  type Stack,
} from '../support/swarm.js';

const UPDATE = { update_config: quickUpdate };
const ids = (tasks: readonly LiveTask[]): readonly string[] => tasks.map(({ ID }) => ID);
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

  scenarios(
    [{ order: 'start-first' }, { order: 'stop-first' }],
    ({ order }) => `updates from v1 to v2, ${order}`,
    async (stack, { order }) => {
      if (order === 'start-first') stack.useOverlay();
      const api = (tag: string): object => ({
        api: {
          image: stack.image('web', tag),
          deploy: {
            replicas: 3,
            update_config: { parallelism: 1, order, delay: '0s', monitor: '1s' },
          },
        },
      });
      const first = await stack.deploy({ ...api('v1') });
      expect(first.outcome).toBe('deployed');
      const former = await stack.running('api');
      const run = await stack.deploy({ ...api('v2') });
      expect(run).toMatchObject({ outcome: 'deployed', reason: '', code: 0 });

      const tasks = await stack.running('api');
      const [v1, v2] = [await stack.bed.digest('web:v1'), await stack.bed.digest('web:v2')];
      expect(tasks).toHaveLength(3);
      expect(digests(tasks)).toEqual([v2]);
      expect(digests(former)).toEqual([v1]);
      expect(ids(tasks).filter((id) => ids(former).includes(id))).toEqual([]);
      const live = await stack.service('api');
      expect(live.UpdateStatus?.State).toBe('completed');
      expect(digestOf(live.Spec.TaskTemplate.ContainerSpec.Image)).toBe(v2);
      // It says version 2 itself, on every node.
      for (const task of tasks)
        expect(await stack.inside(task, 'wget', '-q', '-O', '-', 'http://127.0.0.1/')).toBe('v2');

      expect(run.changed).toEqual([`${stack.name}_api`]);
      expect(run.services).toMatchObject([
        {
          change: 'updated',
          image: stack.image('web', 'v2'),
          digest: v2,
          previousImage: stack.image('web', 'v1'),
          replicas: { running: 3, desired: 3 },
          outcome: 'healthy',
        },
      ]);
      expect(run.summary).toContain(v1.slice(7, 19));
      expect(run.summary).toContain(v2.slice(7, 19));
    },
  );

  scenario('of the same input again is unchanged and restarts nothing', async (stack) => {
    const services = {
      api: { image: stack.image('web'), deploy: { replicas: 2, ...UPDATE } },
      cache: { image: stack.image('nohealth'), deploy: { mode: 'global' } },
      never: { image: stack.image('web'), deploy: { replicas: 0 } },
    };
    expect((await stack.deploy(services)).outcome).toBe('deployed');
    const times = [await stack.startTimes('api'), await stack.startTimes('cache')];
    const specs = await stack.specs();
    expect(times.map((each) => Object.keys(each).length)).toEqual([2, 3]);

    const run = await stack.deploy(services);
    expect(run).toMatchObject({ outcome: 'unchanged', reason: '', code: 0, changed: [] });
    expect(run.services.map(({ change }) => change)).toEqual([
      'unchanged',
      'unchanged',
      'unchanged',
    ]);
    expect([await stack.startTimes('api'), await stack.startTimes('cache')]).toEqual(times);
    expect(await stack.specs()).toEqual(specs);
    expect(await stack.tasks('never')).toEqual([]);
  });

  scenario('of a global service runs it on every node, and updates it there', async (stack) => {
    const agent = (tag: string): object => ({
      agent: { image: stack.image('web', tag), deploy: { mode: 'global', ...UPDATE } },
    });
    const first = await stack.deploy({ ...agent('v1') });
    expect(first.services).toMatchObject([{ replicas: { running: 3, desired: 3 } }]);
    expect(await nodesOf(stack, await stack.running('agent'))).toEqual([
      'manager1',
      'worker1',
      'worker2',
    ]);
    const run = await stack.deploy({ ...agent('v2') });
    expect(run.outcome).toBe('deployed');
    const tasks = await stack.running('agent');
    expect(await nodesOf(stack, tasks)).toEqual(['manager1', 'worker1', 'worker2']);
    expect(digests(tasks)).toEqual([await stack.bed.digest('web:v2')]);
  });

  scenario('scales up and down and to nothing without touching other tasks', async (stack) => {
    const scaled = async (replicas: number): Promise<readonly string[]> => {
      const run = await stack.deploy({
        api: { image: stack.image('nohealth'), deploy: { replicas, ...UPDATE } },
      });
      expect(run).toMatchObject({
        outcome: 'deployed',
        services: [{ replicas: { running: replicas, desired: replicas } }],
      });
      return ids(await stack.running('api'));
    };
    const one = await scaled(1);
    const three = await scaled(3);
    expect(three).toHaveLength(3);
    expect(three).toEqual(expect.arrayContaining([...one]));
    const two = await scaled(2);
    expect(two).toHaveLength(2);
    expect(three).toEqual(expect.arrayContaining([...two]));
    expect(await scaled(0)).toEqual([]);
    expect((await stack.service('api')).Spec.Mode).toEqual({ Replicated: { Replicas: 0 } });
  });

  scenario('that changes a service label only restarts nothing', async (stack) => {
    const labelled = (version: string): object => ({
      api: {
        image: stack.image('web'),
        deploy: { replicas: 2, labels: { 'org.example.version': version }, ...UPDATE },
      },
    });
    expect((await stack.deploy({ ...labelled('1') })).outcome).toBe('deployed');
    const times = await stack.startTimes('api');
    const run = await stack.deploy({ ...labelled('2') });
    expect(run).toMatchObject({ outcome: 'deployed', changed: [`${stack.name}_api`] });
    expect((await stack.service('api')).Spec.Labels['org.example.version']).toBe('2');
    expect(await stack.startTimes('api')).toEqual(times);
  });

  scenario('waits for a service that is slow to be healthy', async (stack) => {
    const run = await stack.deploy({
      api: { image: stack.image('slow'), deploy: { replicas: 2 } },
    });
    expect(run.outcome).toBe('deployed');
    const tasks = await stack.running('api');
    expect(tasks).toHaveLength(2);
    for (const task of tasks)
      expect(await stack.inside(task, 'sh', '-c', 'test -e /ready && echo ready')).toBe('ready\n');
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

  scenario('of a one-shot service is done when it has ended well', async (stack) => {
    const migrate = (marker: string): object => ({
      migrate: {
        image: stack.image('job-ok'),
        environment: { MARKER: marker },
        deploy: { restart_policy: { condition: 'none' }, update_config: { monitor: '1s' } },
      },
    });
    const first = await stack.deploy({ ...migrate('1') });
    expect(first.outcome).toBe('deployed');
    expect((await stack.tasks('migrate')).map(({ Status }) => Status.State)).toEqual(['complete']);
    // Swarm pauses the update of such a service even though it ends with exit code 0.
    const again = await stack.deploy({ ...migrate('2') });
    expect(again.outcome).toBe('deployed');
    const service = await stack.service('migrate');
    expect(service.Spec.TaskTemplate.ContainerSpec.Env).toEqual(['MARKER=2']);
    const tasks = await stack.tasks('migrate');
    expect(tasks).toHaveLength(2);
    expect(tasks.map(({ Status }) => Status.State)).toEqual(['complete', 'complete']);
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

  scenario('prunes what is no longer in the files, when asked to', async (stack) => {
    const api = { image: stack.image('web'), deploy: UPDATE };
    const old = { image: stack.image('nohealth') };
    expect((await stack.deploy({ api, old })).outcome).toBe('deployed');
    const kept = await stack.deploy({ api });
    expect(kept.outcome).toBe('unchanged');
    expect(Object.keys(await stack.services()).sort()).toEqual(['api', 'old']);
    const times = await stack.startTimes('api');

    const run = await stack.deploy({ api }, { prune: true });
    expect(run).toMatchObject({ outcome: 'deployed', changed: [`${stack.name}_old`] });
    expect(run.services.find(({ name }) => name.endsWith('_old'))).toMatchObject({
      change: 'removed',
      outcome: 'removed',
    });
    expect(Object.keys(await stack.services())).toEqual(['api']);
    expect(await stack.startTimes('api')).toEqual(times);
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
});

onSwarm('the test swarm', () => {
  scenario('has SFTP off, so that every other scenario proves a deploy without it', async () => {
    for (const node of (await testbed()).nodes)
      expect((await node.exec('sshd -T | grep -i subsystem')).stdout).toBe('');
  });
});
