/**
 * A stack deploy as a transaction with a history: what later runs do with what earlier ones left in
 * the swarm, and what several at once make of one stack.
 */
import { expect } from '@jest/globals';
import { gunzipSync } from 'node:zlib';
import {
  crashing,
  gated,
  history,
  lockOf,
  open,
  pieces,
  ROLLBACK,
  running,
  shaOf,
  start,
  stateOf,
  STRICT,
  urlOf,
  web,
  workflow,
} from '../support/history.js';
import {
  digestOf,
  onSwarm,
  quickUpdate,
  scenario,
  until,
  type Run,
  Stack,
} from '../support/swarm.js';

/** What a config holds, as text: the first one of what is in parts begins a gzip of its own. */
function contentText(data: Buffer): string {
  try {
    return gunzipSync(data).toString('utf8');
  } catch {
    return data.toString('latin1');
  }
}

onSwarm('the lock', () => {
  // First, as it takes longest.
  scenario('of a run that was killed in mid-rollout is taken over', async (stack) => {
    expect((await stack.deploy({ api: web(stack, 'v1') }, {}, workflow(1))).outcome).toBe(
      'deployed',
    );
    const killed = start((options) =>
      stack.deploy({ api: gated(stack, 'v2') }, {}, { ...options, ...workflow(2), post: false }),
    );
    await killed.said(/Watch the tasks/);
    killed.kill('SIGKILL');
    expect(await killed.ended).toMatchObject({ code: null, outcome: '(none)' });
    expect(await history(stack)).toEqual(['1 deployed', '2 pending']);
    expect(await lockOf(stack)).toMatchObject({ 'swarm-deploy.run-url': urlOf(2) });

    const next = await stack.deploy(
      { api: web(stack, 'v3') },
      { 'lock-timeout': '2m' },
      workflow(3),
    );
    expect(next).toMatchObject({
      outcome: 'deployed',
      code: 0,
      outputs: { revision: '3', 'previous-revision': '2' },
    });
    expect(next.log).toContain(`took over the lock of ${stack.name} from ${urlOf(2)}`);
    expect(next.log).toMatch(new RegExp(`^::warning.*revision 2 \\(${urlOf(2)}\\)`, 'm'));
    expect(await history(stack)).toEqual(['1 deployed', '2 interrupted', '3 deployed']);
    expect(await lockOf(stack)).toBeUndefined();
    expect(await running(stack, 'api')).toEqual([await stack.bed.digest('web:v3')]);
    // What never became healthy is no way back.
    const undo = await stack.run({ ...ROLLBACK, ...workflow(4) });
    expect(undo).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(await running(stack, 'api')).toEqual([await stack.bed.digest('web:v1')]);
  });

  scenario('of a run that was cancelled is given back by post', async (stack) => {
    expect((await stack.deploy({ api: web(stack, 'v1') }, {}, workflow(1))).outcome).toBe(
      'deployed',
    );
    const cancelled = start((options) =>
      stack.deploy({ api: gated(stack, 'v2') }, {}, { ...options, ...workflow(2) }),
    );
    await cancelled.said(/Watch the tasks/);
    cancelled.kill('SIGTERM');
    expect(await cancelled.ended).toMatchObject({ outcome: 'cancelled', code: 1, postCode: 0 });
    expect(await history(stack)).toEqual(['1 deployed', '2 cancelled']);
    expect(await lockOf(stack)).toBeUndefined();
    const next = await stack.deploy({ api: web(stack, 'v3') }, {}, workflow(3));
    expect(next).toMatchObject({ outcome: 'deployed', code: 0, report: { warnings: [] } });
    expect(next.log).not.toContain('is locked');
    expect(await running(stack, 'api')).toEqual([await stack.bed.digest('web:v3')]);
  });

  scenario('lets runs of one stack go one after the other, and no other wait', async (stack) => {
    const other = new Stack(stack.bed);
    try {
      const a = start((options) =>
        stack.deploy({ api: gated(stack, 'v1') }, {}, { ...options, ...workflow(1) }),
      );
      await a.said(/this is revision 1 of/);
      const b = start((options) =>
        stack.deploy({ api: web(stack, 'v2') }, {}, { ...options, ...workflow(2) }),
      );
      await b.said(new RegExp(`is locked since .* by ${urlOf(1)} \\(started by ann\\)`));

      const c = await stack.deploy(
        { api: web(stack, 'v3'), more: web(stack, 'v3') },
        { 'lock-timeout': '1s' },
        workflow(3),
      );
      expect(c).toMatchObject({ outcome: 'locked', reason: 'locked', code: 1, changed: [] });
      expect(c.log).toContain(urlOf(1));
      const d = await other.deploy({ api: web(other, 'v1') }, {}, workflow(4));
      expect(d.outcome).toBe('deployed');
      expect(d.log).not.toContain('is locked');

      // All the while, nobody but the first has written anything.
      expect(Object.keys(await stack.services())).toEqual(['api']);
      expect(await history(stack)).toEqual(['1 pending']);
      const { Spec } = await stack.service('api');
      expect(digestOf(Spec.TaskTemplate.ContainerSpec.Image)).toBe(
        await stack.bed.digest('web:v1'),
      );
      await open(stack, 'api');
      expect(await a.ended).toMatchObject({ outcome: 'deployed', outputs: { revision: '1' } });
      expect(await b.ended).toMatchObject({
        outcome: 'deployed',
        outputs: { revision: '2', 'previous-revision': '1' },
      });
      expect(Object.keys(await stack.services())).toEqual(['api']);
      expect(await running(stack, 'api')).toEqual([await stack.bed.digest('web:v2')]);
      expect(await history(stack)).toEqual(['1 deployed', '2 deployed']);
      expect(await lockOf(stack)).toBeUndefined();
    } finally {
      await other.remove();
    }
  });

  scenario('makes two runs at once end as one of them whole', async (stack) => {
    const both = (tag: string): object => ({ api: web(stack, tag), worker: web(stack, tag) });
    const runs = await Promise.all(
      [1, 2].map((id) => stack.deploy({ ...both(`v${id}`) }, {}, workflow(id))),
    );
    expect(runs.map(({ outcome }) => outcome)).toEqual(['deployed', 'deployed']);
    expect(await history(stack)).toEqual(['1 deployed', '2 deployed']);
    const revisions = await stack.revisions();
    expect(revisions.map((each) => each['run-url']).sort()).toEqual([urlOf(1), urlOf(2)]);
    const last = `v${revisions.at(-1)?.['run-id'] ?? ''}`;
    for (const service of ['api', 'worker'])
      expect(await running(stack, service)).toEqual([await stack.bed.digest(`web:${last}`)]);
    expect(await lockOf(stack)).toBeUndefined();
  });
});

onSwarm('the history', () => {
  scenario('brings back a whole stack, by steps, number and commit', async (stack) => {
    const digest = async (tag: string): Promise<string> => stack.bed.digest(`web:${tag}`);
    const deploy = (id: number, services: object, text: string): Promise<Run> =>
      stack.run({
        ...workflow(id),
        inputs: STRICT,
        files: {
          [`conf-${text}`]: text,
          'docker-stack.yml': stack.file(
            { ...services },
            { configs: { conf: { file: `./conf-${text}`, name: `${stack.name}-conf-${text}` } } },
          ),
        },
      });
    const configs = ['conf'];
    const steady = web(stack, 'v1');
    const first = await deploy(1, { api: web(stack, 'v1', { configs }), steady }, 'one');
    expect(first).toMatchObject({ outcome: 'deployed', outputs: { revision: '1' } });
    const v1 = await stack.specs();

    const second = await deploy(
      2,
      { api: web(stack, 'v2', { configs }), steady, extra: web(stack, 'v3') },
      'two',
    );
    expect(second).toMatchObject({
      outcome: 'deployed',
      outputs: { revision: '2', 'previous-revision': '1' },
    });
    const v2 = await stack.specs();
    const objects = await stack.objectSpecs();

    const third = await deploy(
      3,
      { api: { ...crashing(stack), configs }, steady, extra: web(stack, 'v3'), more: steady },
      'three',
    );
    expect(third).toMatchObject({ outcome: 'rolled-back', code: 1, outputs: { revision: '3' } });
    expect(await stack.specs()).toEqual(v2);
    expect(await stack.objectSpecs()).toEqual(objects);
    expect(await running(stack, 'api')).toEqual([await digest('v2')]);

    // Docker's own deploy writes every service; what is brought back is written where it differs.
    const untouched = await stack.service('steady');
    const undo = await stack.run({ ...ROLLBACK, ...workflow(4) });
    expect(undo).toMatchObject({
      outcome: 'deployed',
      code: 0,
      outputs: { revision: '4', 'previous-revision': '2' },
    });
    expect(undo.log).toContain('revision 1');
    expect(await stack.specs()).toEqual(v1);
    expect(await running(stack, 'api')).toEqual([await digest('v1')]);

    const before = await stateOf(stack);
    const again = await stack.run({ ...ROLLBACK, ...workflow(5) });
    expect(again).toMatchObject({ outcome: 'invalid', reason: 'no-such-revision', code: 1 });
    const { hint } = again.report as { hint: string };
    expect(hint).toContain(shaOf(1).slice(0, 7));
    expect(hint).toContain(shaOf(2).slice(0, 7));
    expect(hint).not.toContain(shaOf(3).slice(0, 7));
    const bad = await stack.run({ inputs: { mode: 'rollback', revision: '3' }, ...workflow(6) });
    expect(bad).toMatchObject({ outcome: 'invalid', reason: 'no-such-revision', code: 1 });
    expect(bad.log).toContain('rolled-back');
    expect(await stateOf(stack)).toEqual(before);

    const byNumber = await stack.run({
      inputs: { mode: 'rollback', revision: '2' },
      ...workflow(7),
    });
    expect(byNumber).toMatchObject({ outcome: 'deployed', outputs: { revision: '5' } });
    expect(await stack.specs()).toEqual(v2);
    expect(await running(stack, 'api')).toEqual([await digest('v2')]);
    expect(await running(stack, 'extra')).toEqual([await digest('v3')]);

    const bySha = await stack.run({
      inputs: { mode: 'rollback', revision: shaOf(1).slice(0, 8) },
      ...workflow(8),
    });
    expect(bySha).toMatchObject({ outcome: 'deployed', outputs: { revision: '6' } });
    expect(await stack.specs()).toEqual(v1);
    expect(await running(stack, 'api')).toEqual([await digest('v1')]);
    expect(await stack.service('steady')).toEqual(untouched);
    expect(await history(stack)).toEqual([
      '1 deployed',
      '2 deployed',
      '3 rolled-back',
      '4 deployed as 1',
      '5 deployed as 2',
      '6 deployed as 1',
    ]);
    expect(await lockOf(stack)).toBeUndefined();
  });

  scenario('lets a re-run bring back what its tag meant then', async (stack) => {
    const tag = `tag-${stack.name}`;
    const [v1, v2] = [await stack.bed.tagImage('web:v1', tag), await stack.bed.digest('web:v2')];
    const services = { api: web(stack, tag) };
    const deploy = (id: number, attempt: number, inputs = {}): Promise<Run> =>
      stack.deploy(services, inputs, workflow(id, attempt));
    expect((await deploy(100, 1)).outcome).toBe('deployed');
    const specs = await stack.specs();
    await stack.bed.tagImage('web:v2', tag);
    expect((await deploy(101, 1)).outcome).toBe('deployed');
    expect(await running(stack, 'api')).toEqual([v2]);

    const rerun = await deploy(100, 2);
    expect(rerun).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(rerun.log).toMatch(/re-run: bringing back revision 1\b/);
    expect(rerun.summary).toContain('re-run');
    expect(await stack.specs()).toEqual(specs);
    expect(await running(stack, 'api')).toEqual([v1]);
    expect((await stack.revisions()).at(-1)).toMatchObject({
      ...{ number: '3', source: '1', commit: shaOf(100), attempt: '2' },
      'run-url': `${urlOf(100)}/attempts/2`,
    });

    const redeploy = await deploy(100, 3, { 'on-rerun': 'redeploy' });
    expect(redeploy.outcome).toBe('deployed');
    expect(redeploy.log).not.toContain('bringing back');
    expect(await running(stack, 'api')).toEqual([v2]);
  });

  scenario('knows a second attempt from an undo, and a run that comes late', async (stack) => {
    const deploy = (service: object, id: number, attempt = 1): Promise<Run> =>
      stack.deploy({ api: service }, STRICT, workflow(id, attempt));
    expect((await deploy(web(stack, 'v1'), 100)).outcome).toBe('deployed');
    expect((await deploy(crashing(stack), 102)).outcome).toBe('rolled-back');
    const second = await deploy(web(stack, 'v2'), 102, 2);
    expect(second).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(second.log).not.toContain('re-run');
    expect(await running(stack, 'api')).toEqual([await stack.bed.digest('web:v2')]);

    const late = await deploy(web(stack, 'v3'), 101);
    expect(late.outcome).toBe('deployed');
    expect(late.log).toMatch(/^::warning.*older commit/m);
    expect(late.log).toContain(`${urlOf(102)}/attempts/2`);
    expect(await running(stack, 'api')).toEqual([await stack.bed.digest('web:v3')]);
    expect(await history(stack)).toEqual([
      '1 deployed',
      '2 rolled-back',
      '3 deployed',
      '4 deployed',
    ]);
  });

  scenario('goes back as a whole, but re-runs only what the run had deployed', async (stack) => {
    const tag = `tag-${stack.name}`;
    await stack.bed.tagImage('web:v1', tag);
    const part = (service: string, id: number, attempt = 1): Promise<Run> =>
      stack.deploy({ [service]: web(stack, tag) }, {}, workflow(id, attempt));
    // Two jobs of a matrix: the runner's variables are the same for both.
    for (const service of ['api', 'worker'])
      expect((await part(service, 100)).outcome).toBe('deployed');
    const both = await stack.specs();
    await stack.bed.tagImage('web:v2', tag);
    expect((await part('api', 101)).outcome).toBe('deployed');
    const second = await stack.specs();
    const keep = { ...STRICT, 'on-failure': 'keep' };
    const bad = await stack.deploy({ worker: crashing(stack) }, keep, workflow(101));
    expect(bad).toMatchObject({ outcome: 'failed', outputs: { revision: '4' } });

    const undo = await stack.run({ ...ROLLBACK, ...workflow(102) });
    expect(undo).toMatchObject({ outcome: 'deployed', outputs: { revision: '5' } });
    expect(await stack.specs()).toEqual(second);
    const api = await part('api', 100, 2);
    expect(api.log).toMatch(/re-run: bringing back revision 1\b/);
    expect(api).toMatchObject({ outcome: 'deployed', changed: [`${stack.name}_api`] });
    const worker = await part('worker', 100, 2);
    expect(worker.log).toMatch(/re-run: bringing back revision 2\b/);
    expect(worker).toMatchObject({ outcome: 'unchanged', code: 0, changed: [] });
    expect(await stack.specs()).toEqual(both);
    expect(await history(stack)).toEqual([
      '1 deployed',
      '2 deployed',
      '3 deployed',
      '4 failed',
      '5 deployed as 3',
      '6 deployed as 1',
      '7 unchanged as 2',
    ]);
  });

  scenario('looks at what runs, and undoes what was done by hand first', async (stack) => {
    for (const [id, tag] of [
      [1, 'v1'],
      [2, 'v2'],
    ] as const)
      expect((await stack.deploy({ api: web(stack, tag) }, {}, workflow(id))).outcome).toBe(
        'deployed',
      );
    const { manager } = stack.bed;
    const name = `${stack.name}_api`;
    const status = (): Promise<Run> => stack.run({ inputs: { mode: 'status' }, ...workflow(9) });
    await manager.docker('service', 'scale', '--detach', `${name}=1`);
    expect(await status()).toMatchObject({ outputs: { revision: '2', 'previous-revision': '1' } });
    const image = stack.image('web', 'v3');
    await manager.docker('service', 'update', '--detach', '--image', image, name);
    const changed = await status();
    expect(changed).toMatchObject({ outputs: { revision: '', 'previous-revision': '2' } });
    expect(changed.log).toContain('what runs now is something else');
    for (const tag of ['v2', 'v1']) {
      expect((await stack.run({ ...ROLLBACK, ...workflow(3) })).outcome).toBe('deployed');
      expect(await running(stack, 'api')).toEqual([await stack.bed.digest(`web:${tag}`)]);
    }
  });

  scenario('restores every spec with all that it refers to', async (stack) => {
    const { manager } = stack.useOverlay().bed;
    const outside = `outside-${stack.name}`;
    const config = { Name: outside, Labels: {}, Data: Buffer.from('by hand').toString('base64') };
    await manager.api('POST', '/configs/create', config);
    await manager.docker('network', 'create', '--driver', 'overlay', outside);
    // Only a login brings it to a node.
    const private1 = await stack.bed.pushImage(`own-${stack.name}:v1`, {
      command: ['/bin/busybox', 'sleep', '1000000'],
    });
    try {
      const deploy = (id: number, tag: string, own: object): Promise<Run> =>
        stack.run({
          ...workflow(id),
          files: {
            token: `canary-${stack.name}`,
            'docker-stack.yml': stack.file(
              {
                api: {
                  image: stack.image('web', tag),
                  configs: [{ source: 'outside', target: '/etc/outside', mode: 0o440 }],
                  secrets: ['token'],
                  networks: { front: { aliases: [`api-${tag}`] }, outside: {} },
                  environment: { VERSION: tag, TEXT: 'a "b" $$c' },
                  labels: { version: tag },
                  stop_grace_period: '7s',
                  deploy: {
                    labels: { version: tag },
                    replicas: tag === 'v1' ? 2 : 3,
                    update_config: quickUpdate,
                    rollback_config: { parallelism: 2, order: 'stop-first', monitor: '2s' },
                    restart_policy: { condition: 'any', delay: '3s', max_attempts: 4 },
                    resources: {
                      limits: { cpus: '0.50', memory: tag === 'v1' ? '64M' : '96M' },
                      reservations: { cpus: '0.05', memory: '16M' },
                    },
                    placement: {
                      constraints: ['node.role == worker'],
                      preferences: [{ spread: 'node.hostname' }],
                    },
                  },
                },
                own: {
                  networks: ['default'],
                  stop_grace_period: '1s',
                  deploy: {
                    update_config: quickUpdate,
                    placement: { constraints: ['node.hostname == worker1'] },
                  },
                  ...own,
                },
                steady: { image: stack.image('nohealth'), networks: ['default'] },
              },
              {
                configs: { outside: { external: true, name: outside } },
                secrets: { token: { file: './token' } },
                networks: {
                  default: { external: true, name: 'bridge' },
                  front: stack.network,
                  outside: { external: true, name: outside },
                },
              },
            ),
          },
        });
      expect((await deploy(1, 'v1', { image: stack.image(`own-${stack.name}`) })).outcome).toBe(
        'deployed',
      );
      const [specs, objects] = [await stack.specs(), await stack.objectSpecs()];
      const second = await deploy(2, 'v2', { image: stack.image('nohealth', 'v2') });
      expect(second).toMatchObject({
        outcome: 'deployed',
        changed: [`${stack.name}_api`, `${stack.name}_own`],
      });
      expect(await stack.specs()).not.toEqual(specs);
      const worker = stack.bed.node('worker1');
      await worker.docker('rmi', '--force', `${stack.image(`own-${stack.name}`)}@${private1}`);

      const steady = await stack.service('steady');
      // The credentials are those that the swarm has kept.
      const undo = await stack.run({
        ...workflow(3),
        inputs: { mode: 'rollback', 'registry-username': '', 'registry-password': '' },
      });
      expect(undo).toMatchObject({ outcome: 'deployed', code: 0, changed: second.changed });
      expect(await stack.specs()).toEqual(specs);
      expect(await stack.objectSpecs()).toEqual(objects);
      expect(await stack.service('steady')).toEqual(steady);
      expect(await running(stack, 'own')).toEqual([private1]);
      expect(await running(stack, 'api')).toEqual([await stack.bed.digest('web:v1')]);
      expect(await stack.running('api')).toHaveLength(2);

      const data = await manager
        .api('GET', '/configs')
        .then((all: unknown) =>
          (all as readonly { Spec: { Name: string; Data: string } }[])
            .filter(({ Spec }) => Spec.Name.startsWith(stack.name))
            .map(({ Spec }) => Buffer.from(Spec.Data, 'base64')),
        );
      expect(data.length).toBeGreaterThan(3);
      for (const each of data) expect(contentText(each)).not.toContain(`canary-${stack.name}`);
    } finally {
      await stack.remove();
      for (const kind of ['config', 'network'])
        await until(`the ${kind} of the scenario is free`, async () => {
          const { code } = await manager.exec(['docker', kind, 'rm', outside]);
          return code === 0;
        });
    }
  });

  scenario('takes a rollback that fails back as well', async (stack) => {
    const node = (change: string): Promise<string> =>
      stack.manager.docker('node', 'update', `--label-${change}`, 'worker1');
    await node(`add=${stack.name}=yes`);
    const pinned = {
      ...web(stack, 'v1'),
      deploy: {
        update_config: quickUpdate,
        placement: { constraints: [`node.labels.${stack.name} == yes`] },
      },
    };
    const both = { api: pinned, more: web(stack, 'v1') };
    expect((await stack.deploy(both, {}, workflow(1))).outcome).toBe('deployed');
    const second = { api: web(stack, 'v2'), extra: web(stack, 'v2') };
    expect((await stack.deploy(second, { prune: true }, workflow(2))).outcome).toBe('deployed');
    const specs = await stack.specs();
    await node(`rm=${stack.name}`);

    const run = await stack.run({
      inputs: { mode: 'rollback', 'progress-timeout': '5s' },
      ...workflow(3),
    });
    expect(run).toMatchObject({ outcome: 'rolled-back', reason: 'unschedulable', code: 1 });
    expect(await stack.specs()).toEqual(specs);
    expect(await running(stack, 'api')).toEqual([await stack.bed.digest('web:v2')]);
    expect(await history(stack)).toEqual(['1 deployed', '2 deployed', '3 rolled-back as 1']);
  });

  scenario('keeps as many revisions as it is told to, and no orphans', async (stack) => {
    const deploy = (id: number, kept = 2): Promise<Run> =>
      stack.run({
        ...workflow(id),
        inputs: { history: kept },
        files: {
          conf: 'the same in all',
          token: 'the same in all',
          'docker-stack.yml': stack.file(
            {
              api: {
                image: stack.image('nohealth'),
                environment: { DEPLOY: String(id) },
                stop_grace_period: '1s',
                configs: ['conf'],
                secrets: ['token'],
                deploy: { update_config: quickUpdate },
              },
            },
            {
              configs: { conf: { file: './conf' } },
              secrets: { token: { file: './token' } },
              networks: { default: stack.network, own: { driver: 'overlay' } },
            },
          ),
        },
      });
    expect((await deploy(1)).outcome).toBe('deployed');
    const objects = await stack.objectSpecs();
    const perRevision = (await pieces(stack)).length;
    let specs;
    for (const id of [2, 3, 4, 5, 6]) {
      if (id === 6) specs = await stack.specs();
      expect((await deploy(id)).outcome).toBe('deployed');
      expect((await stack.revisions()).length).toBeLessThanOrEqual(2);
    }
    expect(await history(stack)).toEqual(['5 deployed', '6 deployed']);
    expect(await stack.objectSpecs()).toEqual(objects);
    expect(await pieces(stack)).toHaveLength(2 * perRevision);

    const undo = await stack.run({ ...workflow(7), inputs: { mode: 'rollback', history: 2 } });
    expect(undo).toMatchObject({ outcome: 'deployed', outputs: { revision: '7' } });
    expect(await stack.specs()).toEqual(specs);
    expect(await stack.objectSpecs()).toEqual(objects);
    expect((await pieces(stack)).length).toBeLessThanOrEqual(2 * perRevision);

    // Told to keep none, it must not leave one that says of itself to be what runs.
    expect(await deploy(8, 0)).toMatchObject({ outcome: 'deployed', outputs: { revision: '' } });
    expect(await pieces(stack)).toEqual([]);
    expect(await stack.objectSpecs()).toEqual(objects);
  });

  scenario('refuses a revision whose config is gone, and touches nothing', async (stack) => {
    const deploy = (id: number, name: string): Promise<Run> =>
      stack.run({
        ...workflow(id),
        files: {
          conf: name,
          'docker-stack.yml': stack.file(
            {
              api: {
                image: stack.image('nohealth'),
                stop_grace_period: '1s',
                configs: ['conf'],
                deploy: { update_config: quickUpdate },
              },
            },
            { configs: { conf: { file: './conf', name } } },
          ),
        },
      });
    const [one, two] = [`one-${stack.name}`, `two-${stack.name}`];
    expect((await deploy(1, one)).outcome).toBe('deployed');
    expect((await deploy(2, two)).outcome).toBe('deployed');
    await stack.manager.docker('config', 'rm', one);
    const before = await stateOf(stack);
    const run = await stack.run({ ...ROLLBACK, ...workflow(3) });
    expect(run).toMatchObject({ outcome: 'invalid', reason: 'revision-incomplete', code: 1 });
    expect(run.log).toContain(`config ${one} of ${stack.name}_api`);
    expect(await stateOf(stack)).toEqual(before);
  });
});

onSwarm('the modes', () => {
  scenario('remove: all is gone, and a deploy works at once', async (stack) => {
    stack.useOverlay();
    const remove = { inputs: { mode: 'remove' } };
    const absent = await stack.run({ ...remove, ...workflow(1) });
    expect(absent).toMatchObject({ outcome: 'removed', code: 0, changed: [] });
    expect(absent.log).toContain(`no stack ${stack.name}`);
    expect(await stateOf(stack)).toEqual({ services: {}, objects: {}, ledger: {} });

    const deploy = (id: number): Promise<Run> =>
      stack.run({
        ...workflow(id),
        files: {
          conf: 'text',
          token: 'text',
          'docker-stack.yml': stack.file(
            { api: web(stack, 'v1', { configs: ['conf'], secrets: ['token'] }) },
            {
              configs: { conf: { file: './conf' } },
              secrets: { token: { file: './token' } },
              networks: { default: stack.network },
            },
          ),
        },
      });
    expect((await deploy(2)).outcome).toBe('deployed');
    expect(await stack.objects()).toHaveLength(3);
    const gone = (await stack.service('api')).ID;
    const removed = await stack.run({ ...remove, ...workflow(3) });
    expect(removed).toMatchObject({
      outcome: 'removed',
      code: 0,
      changed: [`${stack.name}_api`],
      services: [{ change: 'removed', outcome: 'removed' }],
    });
    expect(await stateOf(stack)).toEqual({ services: {}, objects: {}, ledger: {} });
    const tasks = (await stack.manager.api('GET', '/tasks')) as readonly { ServiceID: string }[];
    expect(tasks.filter(({ ServiceID }) => ServiceID === gone)).toEqual([]);

    expect(await deploy(4)).toMatchObject({ outcome: 'deployed', outputs: { revision: '1' } });
    expect(await stack.running('api')).toHaveLength(2);
  });

  scenario('status: shows the stack and its history, and touches nothing', async (stack) => {
    const status = (id: number): Promise<Run> =>
      stack.run({ ...workflow(id), inputs: { mode: 'status' } });
    expect(await status(1)).toMatchObject({
      outcome: 'reported',
      code: 0,
      outputs: { revision: '', 'previous-revision': '' },
      report: { history: [] },
    });
    for (const tag of ['v1', 'v2'])
      expect(
        (await stack.deploy({ api: web(stack, tag) }, {}, workflow(tag === 'v1' ? 2 : 3))).outcome,
      ).toBe('deployed');
    expect((await stack.deploy({ api: crashing(stack) }, STRICT, workflow(4))).outcome).toBe(
      'rolled-back',
    );
    const before = await stateOf(stack);
    const run = await status(5);
    expect(await stateOf(stack)).toEqual(before);
    expect(run).toMatchObject({
      outcome: 'reported',
      code: 0,
      changed: [],
      outputs: { revision: '2', 'previous-revision': '1' },
      services: [{ name: `${stack.name}_api`, replicas: { running: 2, desired: 2 } }],
      report: {
        history: [
          { number: 3, status: 'rolled-back', run: { runUrl: urlOf(4) } },
          { number: 2, status: 'deployed', commit: shaOf(3), run: { actor: 'ann' } },
          { number: 1, status: 'deployed', run: { ref: 'refs/heads/main', runId: '2' } },
        ],
      },
    });
    const rows = run.summary.split('\n').filter((line) => /^\| (\*\*)?\d/.test(line));
    expect(rows).toHaveLength(3);
    expect(rows[0]).toMatch(/^\| 3 \|.*rolled-back/);
    expect(rows[1]).toMatch(/^\| \*\*2\*\*, runs now \| ✅ deployed \|/);
    expect(rows[2]).toContain(`(${urlOf(2)})`);
    for (const number of [1, 2, 3])
      expect(run.log).toMatch(new RegExp(`^ +${number} .*\\d{4}-`, 'm'));
  });
});

onSwarm('prune', () => {
  scenario('takes every orphan, after success only', async (stack) => {
    const orphan = { image: stack.image('nohealth'), stop_grace_period: '1s' };
    expect(
      (await stack.deploy({ api: web(stack, 'v1'), one: orphan, two: orphan }, {}, workflow(1)))
        .outcome,
    ).toBe('deployed');
    const before = await stack.services();
    const failed = await stack.deploy(
      { api: crashing(stack) },
      { ...STRICT, prune: true },
      workflow(2),
    );
    expect(failed.outcome).toBe('rolled-back');
    const { one, two } = await stack.services();
    expect({ one, two }).toEqual({ one: before['one'], two: before['two'] });
    const run = await stack.deploy({ api: web(stack, 'v2') }, { prune: true }, workflow(3));
    expect(run).toMatchObject({ outcome: 'deployed', code: 0 });
    expect([...run.changed].sort()).toEqual(
      ['api', 'one', 'two'].map((name) => `${stack.name}_${name}`),
    );
    expect(Object.keys(await stack.services())).toEqual(['api']);
    // They are a part of what the revision was, for every attempt of the run that wants it back.
    for (const [attempt, outcome] of [
      [1, 'deployed'],
      [2, 'unchanged'],
    ] as const) {
      const undo = await stack.run({ ...ROLLBACK, ...workflow(4, attempt) });
      expect(undo).toMatchObject({ outcome, code: 0 });
      expect(Object.keys(await stack.services()).sort()).toEqual(['api', 'one', 'two']);
    }
  });
});
