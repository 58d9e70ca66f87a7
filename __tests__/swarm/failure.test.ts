/** Deploys that fail: the run is red and says why, and the stack is exactly as it was. */
import { expect } from '@jest/globals';
import {
  digestOf,
  onSwarm,
  quickUpdate,
  scenario,
  scenarios,
  type LiveTask,
  type Run,
  type Stack,
} from '../support/swarm.js';

const BAD_IMAGES = [
  { bad: 'crash:v1', reason: 'crash-loop' },
  { bad: 'unhealthy:v1', reason: 'unhealthy' },
  { bad: 'nosuchimage:v9', reason: 'image-not-found' },
] as const;
const ACTIONS = ['pause', 'continue', 'rollback'] as const;

const imageOf = (stack: Stack, reference: string): string => {
  const [name = '', tag = ''] = reference.split(':');
  return stack.image(name, tag);
};

const wanted = (tasks: readonly LiveTask[]): readonly LiveTask[] =>
  tasks.filter(({ DesiredState }) => DesiredState !== 'shutdown' && DesiredState !== 'remove');

/** The former version alone is meant to run, and does, in every slot. */
async function expectFormer(stack: Stack, name: string, replicas: number): Promise<void> {
  const digest = await stack.bed.digest('web:v1');
  const tasks = wanted(await stack.tasks(name));
  expect(tasks.map(({ Status }) => Status.State)).toEqual(Array(replicas).fill('running'));
  expect(tasks.map(({ Spec }) => digestOf(Spec.ContainerSpec.Image))).toEqual(
    Array(replicas).fill(digest),
  );
}

function expectRed(run: Run): void {
  expect(run.code).toBe(1);
  expect(run.postCode).toBe(0);
  expect(run.log).toContain('::error');
  expect(run.summary).toContain(run.reason);
}

onSwarm('an update that fails', () => {
  scenarios(
    BAD_IMAGES.flatMap((image) => ACTIONS.map((action) => ({ ...image, action }))),
    ({ bad, action }) => `${bad} with failure_action ${action} is rolled back`,
    async (stack, { bad, reason, action }) => {
      const good = { image: stack.image('web'), deploy: { replicas: 2 } };
      expect((await stack.deploy({ api: good })).outcome).toBe('deployed');
      const specs = await stack.specs();
      const objects = await stack.objects();

      const run = await stack.deploy({
        api: {
          image: imageOf(stack, bad),
          deploy: {
            replicas: 2,
            update_config: { parallelism: 1, failure_action: action, monitor: '2s' },
          },
        },
      });
      expect(run.outcome).toBe('rolled-back');
      expectRed(run);
      // Swarm may stop, or go back, before the third failure is there.
      expect([
        reason,
        ...(action === 'pause' ? ['update-paused'] : []),
        ...(action === 'rollback' ? ['rolled-back-by-swarm'] : []),
      ]).toContain(run.reason);
      expect(run.services).toMatchObject([{ change: 'updated', outcome: 'restored', reason }]);
      expect(await stack.specs()).toEqual(specs);
      expect(await stack.objects()).toEqual(objects);
      await expectFormer(stack, 'api', 2);
    },
  );

  scenario('of one service of a stack puts back the others as well', async (stack) => {
    const web = (tag: string, image = 'web'): object => ({
      image: stack.image(image, tag),
      deploy: { replicas: 2, update_config: quickUpdate },
    });
    const still = web('v2');
    const before = await stack.deploy({ api: web('v1'), front: web('v1'), still });
    expect(before.outcome).toBe('deployed');
    const specs = await stack.specs();
    const version = (await stack.service('still')).Spec.TaskTemplate.ForceUpdate;
    const times = await stack.startTimes('still');

    const run = await stack.deploy({ api: web('v3'), front: web('v1', 'crash'), still });
    expect(run).toMatchObject({ outcome: 'rolled-back', code: 1 });
    expect(run.services.find(({ name }) => name.endsWith('front'))?.reason).toBe('crash-loop');
    expect(await stack.specs()).toEqual(specs);
    await expectFormer(stack, 'api', 2);
    await expectFormer(stack, 'front', 2);
    expect((await stack.service('still')).Spec.TaskTemplate.ForceUpdate).toBe(version);
    expect(await stack.startTimes('still')).toEqual(times);
    expect(
      Object.fromEntries(run.services.map(({ name, outcome }) => [name.split('_')[1], outcome])),
    ).toEqual({ api: 'restored', front: 'restored', still: 'untouched' });
  });

  scenario('takes along the network, config and secret that it brought', async (stack) => {
    const api = { image: stack.image('web'), deploy: { update_config: quickUpdate } };
    expect((await stack.deploy({ api })).outcome).toBe('deployed');
    const [specs, objects] = [await stack.specs(), await stack.objects()];
    const run = await stack.run({
      files: {
        'app.conf': 'listen = 80\n',
        token: 'canary-of-the-secret',
        'docker-stack.yml': stack.file(
          {
            api: {
              ...api,
              image: stack.image('crash'),
              configs: ['app'],
              secrets: ['token'],
              networks: ['extra'],
            },
          },
          {
            networks: {
              default: stack.network,
              extra: { ipam: { config: [{ subnet: stack.subnet }] } },
            },
            configs: { app: { file: './app.conf' } },
            secrets: { token: { file: './token' } },
          },
        ),
      },
    });
    expect(run).toMatchObject({ outcome: 'rolled-back', services: [{ reason: 'crash-loop' }] });
    expect(await stack.specs()).toEqual(specs);
    expect(await stack.objects()).toEqual(objects);
    await expectFormer(stack, 'api', 1);
  });

  scenario('gives configs the labels that they had', async (stack) => {
    const files = (image: string, release: string): Record<string, string> => ({
      'app.conf': 'listen = 80\n',
      'docker-stack.yml': stack.file(
        { api: { image, configs: ['app'], deploy: { update_config: quickUpdate } } },
        {
          networks: { default: stack.network },
          configs: { app: { file: './app.conf', labels: { release } } },
        },
      ),
    });
    const label = async (): Promise<unknown> => {
      const path = `/configs/${stack.name}_app`;
      return ((await stack.bed.manager.api('GET', path)) as { Spec: unknown }).Spec;
    };
    expect((await stack.run({ files: files(stack.image('web'), 'one') })).outcome).toBe('deployed');
    const before = await label();
    const run = await stack.run({ files: files(stack.image('crash'), 'two') });
    expect(run.outcome).toBe('rolled-back');
    expect(await label()).toEqual(before);
  });

  scenario('removes nothing, prune or not', async (stack) => {
    const api = { image: stack.image('web'), deploy: { update_config: quickUpdate } };
    const old = { image: stack.image('web') };
    expect((await stack.deploy({ api, old })).outcome).toBe('deployed');
    const [specs, times] = [await stack.specs(), await stack.startTimes('old')];
    const run = await stack.deploy(
      { api: { ...api, image: stack.image('crash') } },
      { prune: true, 'max-failures': 1 },
    );
    expect(run).toMatchObject({ outcome: 'rolled-back', services: [{ reason: 'crash-loop' }] });
    expect(await stack.specs()).toEqual(specs);
    expect(await stack.startTimes('old')).toEqual(times);
  });

  scenario('is left as it failed with on-failure: keep', async (stack) => {
    const api = { image: stack.image('web'), deploy: { update_config: quickUpdate } };
    expect((await stack.deploy({ api })).outcome).toBe('deployed');
    const run = await stack.deploy(
      { api: { ...api, image: stack.image('crash') } },
      { 'on-failure': 'keep' },
    );
    expect(run).toMatchObject({
      outcome: 'failed',
      code: 1,
      services: [{ outcome: 'failed', reason: 'crash-loop' }],
    });
    const { Spec } = await stack.service('api');
    expect(digestOf(Spec.TaskTemplate.ContainerSpec.Image)).toBe(
      await stack.bed.digest('crash:v1'),
    );
  });

  scenario('after several good ones goes back to the last of them', async (stack) => {
    const deploy = (image: string): Promise<Run> =>
      stack.deploy({
        api: {
          image: imageOf(stack, image),
          deploy: { replicas: 2, update_config: quickUpdate, rollback_config: quickUpdate },
        },
      });
    expect((await deploy('web:v3')).outcome).toBe('deployed');
    expect((await deploy('web:v1')).outcome).toBe('deployed');
    const specs = await stack.specs();
    expect((await deploy('crash:v1')).outcome).toBe('rolled-back');
    expect((await deploy('nosuchimage:v9')).outcome).toBe('rolled-back');
    expect(await stack.specs()).toEqual(specs);
    await expectFormer(stack, 'api', 2);
    const fixed = await deploy('web:v2');
    expect(fixed.outcome).toBe('deployed');
    const live = (await stack.service('api')).Spec.TaskTemplate.ContainerSpec.Image;
    expect(digestOf(live)).toBe(await stack.bed.digest('web:v2'));
  });

  scenario('by missing health in time says so, and goes back', async (stack) => {
    const api = { image: stack.image('web'), deploy: { update_config: quickUpdate } };
    expect((await stack.deploy({ api })).outcome).toBe('deployed');
    const specs = await stack.specs();
    const run = await stack.deploy(
      {
        api: {
          ...api,
          healthcheck: { test: ['CMD', 'false'], interval: '1s', retries: 1000 },
        },
      },
      { 'progress-timeout': '5s' },
    );
    expect(run).toMatchObject({ outcome: 'rolled-back', reason: 'progress-timeout', code: 1 });
    expect(await stack.specs()).toEqual(specs);
    await expectFormer(stack, 'api', 1);
  });
});

onSwarm('a first deploy that fails', () => {
  scenarios(
    BAD_IMAGES,
    ({ bad, reason }) => `${bad} ends red (${reason}) and leaves nothing`,
    async (stack, { bad, reason }) => {
      stack.useOverlay();
      const run = await stack.deploy({
        api: { image: imageOf(stack, bad), deploy: { replicas: 2 } },
      });
      expect(run).toMatchObject({
        outcome: 'rolled-back',
        reason,
        services: [
          { change: 'created', outcome: 'removed', reason, replicas: { running: 0, desired: 0 } },
        ],
      });
      expectRed(run);
      expect(await stack.services()).toEqual({});
      expect(await stack.objects()).toEqual([]);
      const report = run.report as { failures: { node: string; error: string }[] };
      expect(report.failures[0]?.node).toMatch(/^(manager|worker)\d$/);
      expect(report.failures[0]?.error).not.toBe('');
    },
  );

  scenario('by a process that dies later is not taken for a success', async (stack) => {
    const run = await stack.deploy(
      { api: { image: stack.image('crashlater') } },
      { 'stable-for': '12s', 'max-failures': 1 },
    );
    expect(run).toMatchObject({ outcome: 'rolled-back', reason: 'crash-loop', code: 1 });
    expect(await stack.services()).toEqual({});
  });

  scenario('is not made green by running it again', async (stack) => {
    const services = { api: { image: stack.image('crashlater') } };
    const inputs = { 'on-failure': 'keep', 'stable-for': '10s', 'max-failures': 1 };
    expect((await stack.deploy(services, inputs)).outcome).toBe('failed');
    expect(await stack.deploy(services, inputs)).toMatchObject({
      code: 1,
      outcome: 'failed',
      reason: 'crash-loop',
      services: [{ change: 'unchanged' }],
    });
  });

  scenario('is red where an unhealthy task ends with 0 and is not restarted', async (stack) => {
    const run = await stack.deploy({
      api: {
        image: stack.image('unhealthy', 'v2'),
        deploy: {
          restart_policy: { condition: 'on-failure' },
          placement: { constraints: ['node.role == manager'] },
        },
      },
    });
    expect(run).toMatchObject({ code: 1, outcome: 'rolled-back', reason: 'crash-loop' });
    expect(run.log).toContain('healthcheck');
  });

  scenario('ends when Swarm has given up, though more failures were allowed', async (stack) => {
    const run = await stack.deploy({
      api: {
        image: stack.image('crash'),
        deploy: { restart_policy: { condition: 'on-failure', max_attempts: 1, delay: '1s' } },
      },
    });
    expect(run).toMatchObject({ code: 1, outcome: 'rolled-back', reason: 'crash-loop' });
  });

  scenario('ends at the first failed task with max-failures: 1', async (stack) => {
    const run = await stack.deploy(
      { api: { image: stack.image('crash'), deploy: { restart_policy: { delay: '30s' } } } },
      { 'max-failures': 1 },
    );
    expect(run).toMatchObject({ outcome: 'rolled-back', reason: 'crash-loop' });
    expect((run.report as { failures: unknown[] }).failures).toHaveLength(1);
    expect(await stack.services()).toEqual({});
  });

  scenario('of a one-shot service with an exit code is a failed job', async (stack) => {
    const run = await stack.deploy({
      migrate: {
        image: stack.image('job-fail'),
        deploy: { restart_policy: { condition: 'none' } },
      },
    });
    expect(run).toMatchObject({ outcome: 'rolled-back', reason: 'job-failed', code: 1 });
    expect(run.summary).toContain('exit code 3');
    expect(await stack.services()).toEqual({});
  });

  scenario('because no node fits is unschedulable', async (stack) => {
    const run = await stack.deploy(
      {
        api: {
          image: stack.image('web'),
          deploy: { placement: { constraints: ['node.labels.disk == none'] } },
        },
      },
      { 'progress-timeout': '4s' },
    );
    expect(run).toMatchObject({ outcome: 'rolled-back', reason: 'unschedulable', code: 1 });
    expect(await stack.services()).toEqual({});
  });

  scenario('because its time is up says timeout', async (stack) => {
    const run = await stack.deploy(
      {
        api: {
          image: stack.image('web'),
          healthcheck: { test: ['CMD', 'false'], interval: '1s', retries: 1000 },
        },
      },
      { timeout: '15s' },
    );
    expect(run).toMatchObject({ outcome: 'rolled-back', reason: 'timeout', code: 1 });
    expect(await stack.services()).toEqual({});
    expect(await stack.objects()).toEqual([]);
  });

  scenarios(
    [
      { image: 'nocmd:v1', reason: 'command-not-found' },
      { image: 'oom:v1', reason: 'out-of-memory' },
    ],
    ({ image, reason }) => `${image} names the cause: ${reason}`,
    async (stack, { image, reason }) => {
      const run = await stack.deploy(
        {
          api: {
            image: imageOf(stack, image),
            deploy: { resources: { limits: { memory: '64M' } } },
          },
        },
        { 'stable-for': '10s' },
      );
      expect(run).toMatchObject({ outcome: 'rolled-back', reason });
      expect(await stack.services()).toEqual({});
    },
  );
});
