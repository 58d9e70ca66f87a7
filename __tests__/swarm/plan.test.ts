/** `mode: plan` on the real swarm, by the CLI of its manager: what it tells, and that it touches nothing. */
import { expect } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  onSwarm,
  quickUpdate,
  scenario,
  scenarios,
  until,
  type Run,
  type Stack,
} from '../support/swarm.js';

interface Planned {
  readonly hasChanges: boolean;
  readonly services: readonly {
    readonly name: string;
    readonly change: string;
    readonly restarts: string;
    readonly fields: readonly { readonly field: string; readonly before: string | null }[];
  }[];
  readonly objects: readonly {
    readonly kind: string;
    readonly name: string;
    readonly change: string;
  }[];
}

const planOf = (run: Run): Planned => (run.report as { plan: Planned }).plan;

/** All that a write would move, of the whole stack: specs, versions and ids of services and objects. */
async function stateOf(stack: Stack): Promise<unknown> {
  const services = Object.entries(await stack.services()).map(([name, service]) => [
    name,
    { ID: service.ID, Version: service.Version, Spec: service.Spec },
  ]);
  return { services, objects: await stack.objectSpecs(), ledger: await stack.ledger() };
}

/** Runs a plan, and proves that it has left the swarm as it was; the set-up looks at the managers. */
async function plan(
  stack: Stack,
  files: Record<string, string>,
  inputs: Record<string, string | boolean> = {},
): Promise<Run> {
  const before = await stateOf(stack);
  const run = await stack.run({ files, inputs: { mode: 'plan', ...inputs } });
  expect(await stateOf(stack)).toEqual(before);
  expect(run).toMatchObject({ outcome: 'planned', reason: '', code: 0, postCode: 0 });
  return run;
}

const file = (stack: Stack, services: Record<string, unknown>): Record<string, string> => ({
  'docker-stack.yml': stack.file(services),
});

/** The update that somebody made is over: Swarm writes its status, too. */
async function settled(stack: Stack): Promise<void> {
  await until(
    'the update is over',
    async () => (await stack.service('api')).UpdateStatus?.State === 'completed',
  );
}

const api = (stack: Stack, tag = 'v1'): Record<string, unknown> => ({
  image: stack.image('web', tag),
  environment: { MODE: 'one', PASSWORD: 'value-never-shown' },
  deploy: { replicas: 2, update_config: quickUpdate },
});

onSwarm('a plan', () => {
  scenario('of a new stack creates it, and nothing is created', async (stack) => {
    stack.useOverlay();
    const run = await plan(stack, file(stack, { api: api(stack) }));
    expect(run.outputs['has-changes']).toBe('true');
    expect(planOf(run)).toMatchObject({
      hasChanges: true,
      services: [{ name: `${stack.name}_api`, change: 'created' }],
      objects: [{ kind: 'network', name: `${stack.name}_default`, change: 'created' }],
    });
    expect(run.changed).toEqual([`${stack.name}_api`]);
    expect(await stateOf(stack)).toEqual({ services: [], objects: {}, ledger: {} });
  });

  scenario('of the same, of an update, with and without prune', async (stack) => {
    const old = { image: stack.image('web') };
    const files = file(stack, { api: api(stack), old });
    expect((await stack.run({ files })).outcome).toBe('deployed');
    const started = await stack.startTimes('api');

    const same = await plan(stack, files);
    expect([same.outputs['has-changes'], same.changed]).toEqual(['false', []]);
    expect(same.log).toContain('No changes');

    const next = file(stack, {
      api: {
        ...api(stack, 'v2'),
        environment: { MODE: 'two', PASSWORD: 'value-never-shown' },
        healthcheck: { test: ['CMD', 'true'], interval: '10s' },
        deploy: { replicas: 3, update_config: quickUpdate, labels: { color: 'red' } },
      },
    });
    const update = await plan(stack, next);
    const [service] = planOf(update).services;
    expect(service).toMatchObject({
      name: `${stack.name}_api`,
      change: 'updated',
      restarts: 'all',
    });
    expect(service?.fields.map(({ field }) => field).sort()).toEqual([
      'deploy.labels.color',
      'deploy.replicas',
      'environment.MODE',
      'healthcheck.interval',
      'healthcheck.test',
      'image',
    ]);
    const digest = (await stack.bed.digest('web:v2')).slice(7, 19);
    expect(update.summary).toContain(`+   image: ${stack.image('web', 'v2')}@sha256:${digest}`);
    expect(update.summary).toContain('environment.MODE: changed (value not shown)');
    expect(update.summary).toContain(`${stack.name}_old: left running`);
    expect(JSON.stringify([update.log, update.summary, update.report])).not.toContain(
      'value-never-shown',
    );

    const pruned = await plan(stack, next, { prune: true });
    expect(pruned.changed.toSorted()).toEqual([`${stack.name}_api`, `${stack.name}_old`]);
    expect(await stack.startTimes('api')).toEqual(started);

    // And a deploy does what was planned.
    const done = await stack.run({ files: next, inputs: { prune: true } });
    expect(done.changed.toSorted()).toEqual(pruned.changed.toSorted());
    expect((await plan(stack, next, { prune: true })).outputs['has-changes']).toBe('false');
  });

  scenario(
    'of a stack that somebody else has changed shows what a deploy would undo',
    async (stack) => {
      const files = file(stack, { api: api(stack) });
      expect((await stack.run({ files })).outcome).toBe('deployed');
      await stack.manager.docker(
        ...['service', 'update', '--detach', '--env-add', 'DEBUG=1', '--replicas', '1'],
        ...['--label-add', 'by=hand', '--limit-memory', '64M', `${stack.name}_api`],
      );
      await settled(stack);
      const run = await plan(stack, files);
      expect(planOf(run).services[0]).toMatchObject({
        restarts: 'all',
        fields: [
          { field: 'deploy.labels.by', change: 'removed', before: 'hand' },
          { field: 'environment.DEBUG', change: 'removed', redacted: true, before: null },
          { field: 'deploy.resources.limits.memory', change: 'removed', before: '64M' },
          { field: 'deploy.replicas', before: '1', after: '2' },
        ].map((each) => expect.objectContaining(each) as unknown),
      });
    },
  );

  scenario('and a deploy keep the replicas of a service that was scaled by hand', async (stack) => {
    const replicas = async (): Promise<number | undefined> =>
      (await stack.service('api')).Spec.Mode['Replicated']?.Replicas;
    const keep = { 'keep-replicas': true };
    const [first, next] = [
      file(stack, { api: api(stack) }),
      file(stack, { api: api(stack, 'v2') }),
    ];
    expect((await stack.run({ files: first, inputs: keep })).outcome).toBe('deployed');
    for (const number of [3, 0]) {
      await stack.manager.docker(
        ...['service', 'scale', '--detach', `${stack.name}_api=${number}`],
      );
      const same = await plan(stack, number === 0 ? next : first, keep);
      expect(same.outputs['has-changes']).toBe('false');
      const run = await stack.run({ files: next, inputs: keep });
      expect(run).toMatchObject({
        outcome: number === 0 ? 'unchanged' : 'deployed',
        services: [{ replicas: { running: number, desired: number } }],
      });
      expect(run.log).toContain(`_api keeps ${number} replicas, where the files say 2`);
      expect(await replicas()).toBe(number);
      expect(run.services.map(({ image }) => image.split(':').at(-1))).toEqual(['v2']);
    }
    const applied = await plan(stack, next);
    expect(planOf(applied).services[0]?.fields).toEqual([
      expect.objectContaining({ field: 'deploy.replicas', before: '0', after: '2' }),
    ]);
    const run = await stack.run({ files: next });
    expect(run.outcome).toBe('deployed');
    expect(run.log).toContain('_api has 0 replicas, and gets the 2 of the files');
    expect(await replicas()).toBe(2);
    // What ran is what a revision brings back.
    const back = await stack.run({ inputs: { mode: 'rollback', revision: 2 } });
    expect(back.outcome).toBe('deployed');
    expect(await replicas()).toBe(3);
  });

  scenario('says whose tasks restart as Swarm does it', async (stack) => {
    stack.useOverlay();
    const deploy = (more: object): object => ({
      ...api(stack),
      deploy: { replicas: 2, update_config: quickUpdate, ...more },
    });
    const base = file(stack, { api: deploy({}) });
    expect((await stack.run({ files: base })).outcome).toBe('deployed');
    for (const [restarts, changed] of [
      ['none', deploy({ labels: { a: 'b' } })],
      [
        'misplaced',
        deploy({ labels: { a: 'b' }, placement: { constraints: ['node.platform.os == linux'] } }),
      ],
      ['all', { ...deploy({ labels: { a: 'b' } }), labels: { c: 'd' } }],
      ['all', { ...deploy({ endpoint_mode: 'dnsrr' }), labels: { c: 'd' } }],
    ] as const) {
      const files = file(stack, { api: changed });
      const started = await stack.startTimes('api');
      expect(planOf(await plan(stack, files)).services[0]?.restarts).toBe(restarts);
      expect((await stack.run({ files })).outcome).toBe('deployed');
      const now = await stack.startTimes('api');
      if (restarts === 'all')
        expect(Object.keys(started).filter((task) => task in now)).toEqual([]);
      else expect(now).toEqual(started);
    }
  });

  scenario('is refused as the deploy would be, and nothing is left', async (stack) => {
    const files = {
      'docker-stack.yml': stack.file(
        { api: { ...api(stack), networks: ['default', 'shared'] } },
        {
          networks: {
            default: stack.network,
            shared: { external: true, name: `absent-${stack.name}` },
          },
        },
      ),
    };
    for (const mode of ['plan', 'deploy']) {
      const run = await stack.run({ files, inputs: { mode } });
      expect(run).toMatchObject({
        outcome: 'invalid',
        reason: 'compose-invalid',
        code: 1,
        postCode: 0,
      });
      expect(run.outputs['has-changes']).toBe('');
      expect(run.log).toContain(
        `the external network absent-${stack.name}, which service api uses, does not exist`,
      );
      expect(await stateOf(stack)).toEqual({ services: [], objects: {}, ledger: {} });
    }
  });

  scenario('warns of an image that the registry does not have', async (stack) => {
    const image = stack.image('web', 'absent');
    const run = await plan(stack, file(stack, { api: { image } }));
    expect(run.outputs['has-changes']).toBe('true');
    expect(run.log).toMatch(
      new RegExp(`::warning.*${image} is not to be had from its registry \\(.+\\)`),
    );
  });

  scenario('works for a login that may do no more than use Docker', async (stack) => {
    const files = file(stack, { api: api(stack) });
    expect((await stack.run({ files, inputs: { username: 'deploy' } })).outcome).toBe('deployed');
    const run = await plan(stack, files, { username: 'deploy' });
    expect(run.outputs['has-changes']).toBe('false');
  });
});

const OWN = fileURLToPath(new URL('../support/plan-files', import.meta.url));

interface Case {
  readonly name: string;
  /** By the path under which the stack files look for them. */
  readonly files: (stack: Stack) => Record<string, string>;
  readonly composeFiles: readonly string[];
  readonly env: (stack: Stack) => Readonly<Record<string, string>>;
  readonly envFiles: readonly string[];
}

/** The files of this suite: their images are those of the test swarm. */
const own = readdirSync(OWN).map((name): Case => ({
  name,
  files: () => ({ [name]: readFileSync(join(OWN, name), 'utf8'), 'plain.conf': 'hello\n' }),
  composeFiles: [name],
  env: (stack) => ({ REGISTRY: stack.bed.registry.host, STACK: stack.name }),
  envFiles: [],
}));

onSwarm('right after a deploy of the same files a plan has no changes', () => {
  scenarios(
    own,
    ({ name }) => name,
    async (stack, each) => {
      const files = each.files(stack);
      const inputs = {
        'compose-file': each.composeFiles.join('\n'),
        'env-file': each.envFiles.join('\n'),
        env: Object.entries(each.env(stack))
          .map(([key, value]) => `${key}=${value}`)
          .join('\n'),
        wait: false,
      };
      const first = await stack.run({ files, inputs: { ...inputs, mode: 'plan' } });
      const run = await stack.run({ files, inputs });
      // The client of 20.10 knows no jobs, and says so of a plan as of a deploy.
      if (each.name.startsWith('since-23') && run.log.includes(', CLI 20.10')) {
        expect(first).toMatchObject({ outcome: 'invalid', reason: 'compose-invalid' });
        expect(run).toMatchObject({ reason: 'compose-invalid', code: 1 });
        return;
      }
      expect(run.outcome).toBe('deployed');
      const again = await stack.run({ files, inputs: { ...inputs, mode: 'plan' } });
      expect(planOf(again).services.flatMap(({ fields }) => fields)).toEqual([]);
      expect(again.outcome).toBe('planned');
      // A job runs again with every deploy; what else ends by itself does not.
      const ends = ['since-23-jobs.yml', 'modes.yml'].includes(each.name);
      const repeated = ends ? (await stack.run({ files, inputs })).changed : [];
      expect(again.changed.toSorted()).toEqual(repeated.toSorted());
      expect(again.changed.length > 0).toBe(each.name.startsWith('since-23'));
      expect(again.outputs['has-changes']).toBe(String(repeated.length > 0));
      // What was planned of the new stack is what the deploy then made.
      if (first.outcome === 'planned')
        expect(first.changed.toSorted()).toEqual(run.changed.toSorted());
    },
  );
});
