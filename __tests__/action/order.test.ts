import { beforeEach, describe, expect, it } from '@jest/globals';
import { imageOf } from '../../src/model.js';
import { FakeSwarm } from '../support/fake-swarm.js';
import { runAction, type Asked, type Attempt } from '../support/run-action.js';

let swarm: FakeSwarm;

beforeEach(() => {
  swarm = new FakeSwarm();
});

interface Service {
  readonly image: string;
  readonly after?: readonly string[];
  readonly profiles?: readonly string[];
  readonly replicas?: number;
}

/** Services that wait until others are healthy. */
const file = (services: Readonly<Record<string, Service>>): string =>
  JSON.stringify({
    services: Object.fromEntries(
      Object.entries(services).map(([name, { image, after = [], profiles, replicas = 1 }]) => [
        name,
        {
          image,
          deploy: { replicas },
          healthcheck: { test: 'true' },
          ...(profiles === undefined ? {} : { profiles }),
          depends_on: Object.fromEntries(after.map((on) => [on, { condition: 'service_healthy' }])),
        },
      ]),
    ),
  });

const three = (db: string, migrate: string, api: string): string =>
  file({
    api: { image: api, after: ['migrate'], replicas: 2 },
    db: { image: db },
    migrate: { image: migrate, after: ['db'] },
  });

const deploy = (yaml: string, more: Partial<Asked> = {}): Promise<Attempt> =>
  runAction(swarm, { yaml, ...more });

async function standing(yaml: string): Promise<void> {
  expect((await deploy(yaml)).report.outcome).toBe('deployed');
  swarm.writes.length = 0;
  swarm.commands.length = 0;
}

const specs = (): unknown =>
  structuredClone([...swarm.services.values()].map(({ ID, Spec }) => [ID, Spec]));

const outcomes = ({ report }: Attempt): Record<string, string> =>
  Object.fromEntries(report.services.map(({ name, outcome }) => [name, outcome]));

/** How many commands wrote the stack. */
const deploys = (): number =>
  swarm.commands.filter(({ argv }) => argv.includes('stack') && argv.includes('deploy')).length;

describe('waves', () => {
  it('write a service once what it needs runs', async () => {
    const order: string[] = [];
    const seen = new Map<string, string>();
    swarm.onStep = () => {
      for (const { Spec } of swarm.services.values())
        if (!seen.has(Spec.Name)) seen.set(Spec.Name, order.join(' '));
      for (const { Spec } of swarm.services.values())
        if (!order.includes(Spec.Name) && swarm.running(Spec.Name).length > 0)
          order.push(Spec.Name);
    };
    const attempt = await deploy(three('db:1', 'migrate:1', 'api:1'));
    expect(attempt.report).toMatchObject({ outcome: 'deployed', reason: '' });
    expect(Object.fromEntries(seen)).toEqual({
      shop_db: '',
      shop_migrate: 'shop_db',
      shop_api: 'shop_db shop_migrate',
    });
    expect(attempt.log.filter((line) => line.startsWith('> '))).toEqual([
      '> Deploy wave 1 of 3: db',
      '> Wait for shop_db to be healthy, before shop_migrate',
      '> Deploy wave 2 of 3: migrate',
      '> Wait for shop_migrate to be healthy, before shop_api',
      '> Deploy wave 3 of 3: api',
      '> Watch the tasks',
    ]);
    expect(outcomes(attempt)).toEqual({
      shop_api: 'healthy',
      shop_db: 'healthy',
      shop_migrate: 'healthy',
    });
    expect(swarm.left()).toEqual([]);
    expect(attempt.remembered.at(-1)).toBe('');
  });

  it('restart nothing and do not wait where all is as it was', async () => {
    const yaml = three('db:1', 'migrate:1', 'api:1');
    await standing(yaml);
    swarm.clock.now();
    const tasks = swarm.tasks.map(({ ID }) => ID);
    const attempt = await deploy(yaml);
    expect(attempt.report).toMatchObject({ outcome: 'unchanged', reason: '' });
    expect(swarm.tasks.map(({ ID }) => ID)).toEqual(tasks);
    // Each service is written once, as with one command for all.
    expect([...swarm.writes].sort()).toEqual([
      'update shop_api',
      'update shop_db',
      'update shop_migrate',
    ]);
  });

  it('stop at the one that fails, and all is put back once', async () => {
    await standing(three('db:1', 'migrate:1', 'api:1'));
    const before = specs();
    const api = swarm.running('shop_api');
    const attempt = await deploy(three('db:2', 'migrate:crash', 'api:2'));
    expect(attempt.report).toMatchObject({ outcome: 'rolled-back' });
    expect(attempt.report.message).toContain('shop_migrate');
    expect(attempt.report.message).toContain('shop_api, deployed after that, was not touched');
    expect(specs()).toEqual(before);
    expect(swarm.running('shop_api')).toEqual(api);
    expect(swarm.writes.filter((line) => line.includes('shop_api'))).toEqual([]);
    expect(swarm.writes.filter((line) => line.startsWith('restore')).sort()).toEqual([
      'restore shop_db (previous-spec)',
      'restore shop_migrate (previous-spec)',
    ]);
    expect(outcomes(attempt)).toEqual({
      shop_api: 'untouched',
      shop_db: 'restored',
      shop_migrate: 'restored',
    });
    expect(swarm.left()).toEqual([]);
  });

  it('of a new stack leave nothing where one fails', async () => {
    const attempt = await deploy(three('db:1', 'migrate:missing', 'api:1'));
    expect(attempt.report).toMatchObject({ outcome: 'rolled-back', reason: 'image-not-found' });
    expect(swarm.names()).toEqual([]);
    expect(swarm.objects).toEqual([]);
  });

  it('are put back as well where the last one fails', async () => {
    await standing(three('db:1', 'migrate:1', 'api:1'));
    const before = specs();
    const attempt = await deploy(three('db:2', 'migrate:2', 'api:crash'));
    expect(attempt.report).toMatchObject({ outcome: 'rolled-back' });
    expect(attempt.report.message).not.toContain('not touched');
    expect(specs()).toEqual(before);
  });

  it('are left as they failed with on-failure: keep', async () => {
    await standing(three('db:1', 'migrate:1', 'api:1'));
    const attempt = await deploy(three('db:2', 'migrate:crash', 'api:2'), {
      inputs: { 'on-failure': 'keep' },
    });
    expect(attempt.report).toMatchObject({ outcome: 'failed' });
    expect(attempt.report.message).toContain('shop_api, deployed after that, was not touched');
    expect(outcomes(attempt)).toMatchObject({ shop_api: 'untouched', shop_migrate: 'failed' });
    expect(swarm.writes.filter((line) => line.includes('restore'))).toEqual([]);
  });

  it('fail together where an earlier one breaks during a later one', async () => {
    await standing(three('db:1', 'migrate:1', 'api:1'));
    const before = specs();
    swarm.onStep = () => {
      const written = swarm.writes.includes('update shop_api');
      const restored = swarm.writes.some((line) => line.startsWith('restore'));
      for (const task of swarm.tasks)
        if (
          written &&
          !restored &&
          task.ServiceID === swarm.byName('shop_db').ID &&
          task.Status.State === 'running'
        )
          task.Status = { State: 'failed', Err: 'task: non-zero exit (1)' };
    };
    const attempt = await deploy(three('db:2', 'migrate:2', 'api:slow'));
    expect(attempt.report).toMatchObject({ outcome: 'rolled-back', reason: 'crash-loop' });
    expect(attempt.report.message).toContain('shop_db');
    expect(specs()).toEqual(before);
  });

  it('do not wait for a service that nobody needs', async () => {
    const yaml = (tag: string): string =>
      file({
        web: { image: tag === '1' ? 'web:1' : 'web:slow' },
        db: { image: `db:${tag}` },
        api: { image: `api:${tag}`, after: ['db'] },
      });
    await standing(yaml('1'));
    let web: string | undefined;
    swarm.onStep = () => {
      if (swarm.writes.includes('update shop_api'))
        web ??= swarm.byName('shop_web').UpdateStatus?.State;
    };
    const attempt = await deploy(yaml('2'));
    expect(attempt.report.outcome).toBe('deployed');
    expect(web).toBe('updating');
  });

  it('judge a service that failed for want of another one from its own wave on', async () => {
    const yaml = (db: string): string =>
      file({ api: { image: 'api:1', after: ['db'] }, db: { image: db } });
    await standing(yaml('db:1'));
    // Without a database that answers it dies, again and again.
    const isUp = (): boolean =>
      imageOf(swarm.byName('shop_db').Spec).startsWith('db:slow') &&
      swarm.running('shop_db').length === 1;
    let deaths = 0;
    swarm.onStep = () => {
      const { ID } = swarm.byName('shop_api');
      for (const task of isUp() ? [] : swarm.tasks)
        if (task.ServiceID === ID && task.Status.State === 'running') {
          task.Status = { State: 'failed', Err: 'task: non-zero exit (1)' };
          deaths += 1;
        }
    };
    const { report } = await deploy(yaml('db:slow'));
    expect(report).toMatchObject({ outcome: 'deployed', reason: '' });
    expect(deaths).toBeGreaterThan(3);
  });

  it('leave alone what somebody else changed before its wave', async () => {
    await standing(three('db:1', 'migrate:1', 'api:1'));
    let done = false;
    swarm.onStep = () => {
      if (done || !swarm.writes.includes('update shop_db')) return;
      done = true;
      const { Spec } = swarm.byName('shop_api');
      swarm.write('shop_api', {
        ...Spec,
        TaskTemplate: { ContainerSpec: { Image: 'api:theirs', Env: [] }, ForceUpdate: 0 },
      });
      swarm.writes.length = 0;
      swarm.writes.push('update shop_db');
    };
    const attempt = await deploy(three('db:2', 'migrate:2', 'api:2'));
    expect(attempt.report).toMatchObject({ outcome: 'superseded', reason: 'superseded' });
    expect(attempt.report.message).toContain('shop_api');
    expect(swarm.writes).not.toContain('update shop_api');
  });

  it('outlive the connection, between waves and within one', async () => {
    await standing(three('db:1', 'migrate:1', 'api:1'));
    const cuts = new Set(['update shop_db', 'update shop_migrate', 'update shop_api']);
    swarm.onStep = () => {
      for (const write of cuts)
        if (swarm.writes.includes(write)) {
          cuts.delete(write);
          swarm.answering = `deploy@manager-${cuts.size + 1}:22`;
          // The directory of the run is on the manager before.
          swarm.disk.clear();
          swarm.cut();
        }
    };
    const attempt = await deploy(three('db:2', 'migrate:2', 'api:2'));
    expect(attempt.report).toMatchObject({ outcome: 'deployed' });
    expect(cuts.size).toBe(0);
    expect(deploys()).toBe(3);
  });

  it('repeat one whose command was cut off, and none of the others', async () => {
    await standing(three('db:1', 'migrate:1', 'api:1'));
    let cut = false;
    swarm.onCommand = (argv) => {
      if (cut || !argv.some((word) => word.includes('wave2-'))) return undefined;
      if (!argv.includes('deploy')) return undefined;
      cut = true;
      swarm.cut();
      return undefined;
    };
    const attempt = await deploy(three('db:2', 'migrate:2', 'api:2'));
    expect(attempt.report).toMatchObject({ outcome: 'deployed' });
    expect(cut).toBe(true);
    expect(swarm.writes.filter((line) => line === 'update shop_db')).toHaveLength(1);
  });

  it('are not begun any more once the run is cancelled', async () => {
    await standing(three('db:1', 'migrate:1', 'api:1'));
    const cancel = new AbortController();
    swarm.onStep = () => {
      if (swarm.writes.includes('update shop_migrate')) cancel.abort();
    };
    const attempt = await deploy(three('db:2', 'migrate:2', 'api:2'), { cancel });
    expect(attempt.report).toMatchObject({ outcome: 'cancelled' });
    expect(attempt.report.message).toContain('Not begun: shop_api.');
    expect(swarm.writes).not.toContain('update shop_api');
  });

  it('share the time for the whole rollout', async () => {
    await standing(three('db:1', 'migrate:1', 'api:1'));
    const begun = swarm.clock.now();
    const attempt = await deploy(three('db:2', 'migrate:stuck', 'api:2'), {
      inputs: { timeout: '40s', 'progress-timeout': '10m' },
    });
    expect(attempt.report).toMatchObject({ outcome: 'rolled-back', reason: 'timeout' });
    expect(attempt.report.message).toContain('shop_migrate');
    expect(swarm.clock.now() - begun).toBeLessThan(120_000);
  });

  it('are refused with wait: false, before anything is connected', async () => {
    const attempt = await deploy(three('db:1', 'migrate:1', 'api:1'), {
      inputs: { wait: 'false' },
    });
    expect(attempt.report).toMatchObject({ outcome: 'invalid', reason: 'input-invalid' });
    expect(attempt.report.message).toContain('compose.yaml:1:');
    expect(swarm.connections).toBe(0);
  });

  it('are recorded as one revision', async () => {
    const inputs = { history: '10' };
    const attempt = await deploy(three('db:1', 'migrate:1', 'api:1'), { inputs });
    expect(attempt.report).toMatchObject({ outcome: 'deployed', revision: 1 });
    await deploy(three('db:2', 'migrate:2', 'api:2'), { inputs });
    const back = await deploy(three('db:1', 'migrate:1', 'api:1'), {
      inputs: { ...inputs, mode: 'rollback', revision: '1' },
    });
    expect(back.report).toMatchObject({ outcome: 'deployed' });
    expect(back.report.services.map(({ name, image }) => `${name} ${image}`)).toEqual([
      'shop_api api:1',
      'shop_db db:1',
      'shop_migrate migrate:1',
    ]);
  });
});

describe('profiles', () => {
  const yaml = file({
    api: { image: 'api:1' },
    debug: { image: 'debug:1', profiles: ['debug', 'dev'] },
  });

  it('leave a service out that none asks for', async () => {
    const attempt = await deploy(yaml);
    expect(attempt.report.outcome).toBe('deployed');
    expect(swarm.names()).toEqual(['shop_api']);
  });

  it.each(['dev', '*', 'other\ndebug'])('bring it with %j', async (profiles) => {
    const attempt = await deploy(yaml, { inputs: { profiles } });
    expect(attempt.report.outcome).toBe('deployed');
    expect(swarm.names()).toEqual(['shop_api', 'shop_debug']);
    const warned = attempt.report.warnings.join('\n');
    if (profiles.includes('other'))
      expect(warned).toContain('no service has the profile other; known: debug, dev');
    else expect(warned).toBe('');
  });
});
