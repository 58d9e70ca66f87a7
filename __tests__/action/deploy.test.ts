import { beforeEach, describe, expect, it } from '@jest/globals';
import { ConnectionLost, DeployError } from '../../src/errors.js';
import { imageOf, type Service } from '../../src/model.js';
import { digestOf, exits, FakeSwarm, ok } from '../support/fake-swarm.js';
import { runAction, stackFile, type Attempt } from '../support/run-action.js';

let swarm: FakeSwarm;

beforeEach(() => {
  swarm = new FakeSwarm();
});

const V1 = stackFile({
  api: { image: 'api:1', replicas: 3 },
  web: { image: 'web:1', replicas: 2 },
});
const V2 = stackFile({
  api: { image: 'api:2', replicas: 3 },
  web: { image: 'web:1', replicas: 2 },
});
const BROKEN = stackFile({
  api: { image: 'api:crash', replicas: 3 },
  web: { image: 'web:1', replicas: 2 },
});

/** The stack as its first version left it; what is written from here on is the run's own. */
async function standing(yaml = V1): Promise<void> {
  const { report } = await runAction(swarm, { yaml });
  expect(report.outcome).toBe('deployed');
  swarm.writes.length = 0;
  swarm.commands.length = 0;
  swarm.requests.length = 0;
}

const specs = (): unknown =>
  structuredClone([...swarm.services.values()].map(({ ID, Spec }) => [ID, Spec]));

function cleanedUp({ remembered }: Attempt): void {
  expect(swarm.left()).toEqual([]);
  expect(remembered.at(0)).toMatch(/^swarm-deploy-[0-9a-f]{32}$/);
  expect(remembered.at(-1)).toBe('');
}

const serviceOf = (attempt: Attempt, name: string): Attempt['report']['services'][number] => {
  const found = attempt.report.services.find((service) => service.name === name);
  if (found === undefined) throw new Error(`no ${name} in the report`);
  return found;
};

/** Swaps what the files say for a service behind the run's back. */
function someoneDeploys(image: string): void {
  const { Spec } = swarm.byName('shop_api');
  swarm.write('shop_api', {
    ...Spec,
    TaskTemplate: { ContainerSpec: { Image: image, Env: [] }, ForceUpdate: 0 },
  });
}

describe('green', () => {
  it('deploys a new stack', async () => {
    const attempt = await runAction(swarm, { yaml: V1 });
    expect(attempt.report).toMatchObject({
      stack: 'shop',
      outcome: 'deployed',
      reason: '',
      manager: 'deploy@manager-1:22',
    });
    expect(serviceOf(attempt, 'shop_api')).toEqual({
      name: 'shop_api',
      change: 'created',
      image: 'api:1',
      digest: `sha256:${digestOf('api:1')}`,
      previousImage: '',
      previousDigest: '',
      replicas: { running: 3, desired: 3 },
      outcome: 'healthy',
      reason: '',
    });
    expect(swarm.running('shop_api')).toHaveLength(3);
    cleanedUp(attempt);
  });

  it('updates what differs and leaves the rest running', async () => {
    await standing();
    const web = swarm.running('shop_web');
    const attempt = await runAction(swarm, { yaml: V2 });
    expect(attempt.report.outcome).toBe('deployed');
    expect(serviceOf(attempt, 'shop_api')).toMatchObject({
      change: 'updated',
      previousImage: 'api:1',
      image: 'api:2',
    });
    expect(serviceOf(attempt, 'shop_web')).toMatchObject({ change: 'unchanged' });
    expect(swarm.running('shop_web')).toEqual(web);
    cleanedUp(attempt);
  });

  it('holds for the whole stability window, and no further', async () => {
    await standing();
    let since: number | undefined;
    const now = (): number => swarm.clock.now();
    swarm.onStep = () => {
      const api = swarm.services.get(swarm.byName('shop_api').ID);
      if (api?.UpdateStatus?.State === 'completed') since ??= now();
    };
    await runAction(swarm, { yaml: V2, inputs: { 'stable-for': '20s' } });
    const held = now() - (since ?? Infinity);
    expect(held).toBeGreaterThanOrEqual(20_000);
    expect(held).toBeLessThan(22_000);
  });

  it('says unchanged, restarts nothing and does not wait, when all runs already', async () => {
    await standing();
    const tasks = swarm.tasks.map(({ ID }) => ID);
    const begun = swarm.clock.now();
    const attempt = await runAction(swarm, { yaml: V1 });
    expect(attempt.report).toMatchObject({ outcome: 'unchanged', reason: '' });
    expect(attempt.report.services.map(({ change }) => change)).toEqual(['unchanged', 'unchanged']);
    expect(swarm.tasks.map(({ ID }) => ID)).toEqual(tasks);
    expect(swarm.clock.now() - begun).toBeLessThan(2000);
    cleanedUp(attempt);
  });

  it('does not call an unchanged stack unchanged while it is broken', async () => {
    await standing();
    swarm.onStep = () => {
      for (const task of swarm.tasks)
        if (task.Slot === 2) task.Status = { State: 'failed', Err: 'task: non-zero exit (3)' };
    };
    swarm.advance(0);
    const attempt = await runAction(swarm, { yaml: V1 });
    expect(attempt.report.outcome).toBe('failed');
    expect(attempt.report.message).toContain('there is nothing to roll back');
    expect(swarm.writes.filter((line) => /^(restore|rollback|remove)/.test(line))).toEqual([]);
  });

  it('returns at once with wait: false', async () => {
    const attempt = await runAction(swarm, {
      yaml: stackFile({ api: { image: 'api:crash' } }),
      inputs: { wait: 'false' },
    });
    expect(attempt.report.outcome).toBe('deployed');
    expect(serviceOf(attempt, 'shop_api')).toMatchObject({ outcome: 'accepted' });
    expect(swarm.names()).toEqual(['shop_api']);
    cleanedUp(attempt);
  });

  it('serves one connection and one stream, whatever the number of looks', async () => {
    await runAction(swarm, { yaml: V1, inputs: { 'stable-for': '20s' } });
    expect([swarm.connections, swarm.streams]).toEqual([1, 1]);
    const perLook = swarm.commands.filter(({ argv }) => argv.includes('dial-stdio'));
    expect(perLook).toEqual([]);
    const asked = (path: string): number =>
      swarm.requests.filter((line) => line.startsWith(`GET ${path}`)).length;
    expect(asked('/services')).toBeGreaterThan(50);
    // Tasks that do not move are looked at twice: when all is well, and when it has stayed so.
    expect(asked('/tasks')).toBeLessThan(asked('/services'));
    expect(swarm.commands.filter(({ argv }) => argv.includes('docker'))).toHaveLength(2);
  });

  it('has Swarm look again at two tasks in one slot, until it does', async () => {
    let doubled = false;
    // An updater that is still at it takes no notice of the first time.
    const mended = (): boolean =>
      swarm.writes.filter((write) => write.startsWith('restore')).length === 3;
    swarm.onStep = () => {
      if (!swarm.names().includes('shop_api')) return;
      const [first] = swarm.running('shop_api');
      if (!doubled && swarm.running('shop_api').length === 3) {
        const one = swarm.tasks.find(({ ID }) => ID === first)!;
        swarm.tasks.push({ ...one, ID: 'second', Status: { ...one.Status } });
        doubled = true;
      }
      if (mended()) swarm.tasks = swarm.tasks.filter(({ ID }) => ID !== 'second');
    };
    const attempt = await runAction(swarm, { yaml: V1 });
    expect([doubled, attempt.report.outcome]).toEqual([true, 'deployed']);
    expect(swarm.writes.filter((write) => write.startsWith('restore'))).toEqual([
      'restore shop_api (spec)',
      // An updater begins anew for another spec alone: a label comes, and goes again.
      'restore shop_api (spec)',
      'restore shop_api (spec)',
    ]);
    expect(swarm.byName('shop_api').PreviousSpec?.['Labels']).toMatchObject({
      'swarm-deploy.nudge': 'x',
    });
    expect(swarm.byName('shop_api').Spec['Labels']).not.toHaveProperty(['swarm-deploy.nudge']);
    expect(attempt.log.join('\n')).toContain('tasks left over');
    expect(swarm.running('shop_api')).toHaveLength(3);
  });

  it('prunes after success alone', async () => {
    await standing();
    const yaml = stackFile({ api: { image: 'api:crash', replicas: 3 } });
    const failed = await runAction(swarm, { yaml, inputs: { prune: 'true' } });
    expect(failed.report.outcome).toBe('rolled-back');
    expect(swarm.names()).toEqual(['shop_api', 'shop_web']);

    const good = stackFile({ api: { image: 'api:3', replicas: 3 } });
    const kept = await runAction(swarm, { yaml: good });
    expect(kept.report.outcome).toBe('deployed');
    expect(swarm.names()).toEqual(['shop_api', 'shop_web']);
    expect(kept.log.join('\n')).toContain('not in the file, left running: shop_web');

    const pruned = await runAction(swarm, { yaml: good, inputs: { prune: 'true' } });
    expect(pruned.report.outcome).toBe('deployed');
    expect(swarm.names()).toEqual(['shop_api']);
    expect(serviceOf(pruned, 'shop_web')).toMatchObject({ change: 'removed', outcome: 'removed' });
  });
});

describe('a deploy that fails', () => {
  it.each(['pause', 'continue', 'rollback'] as const)(
    'puts everything back as it was (failure_action %s)',
    async (failureAction) => {
      for (const image of ['api:crash', 'api:unhealthy', 'api:missing']) {
        swarm = new FakeSwarm();
        await standing(
          stackFile({
            api: { image: 'api:1', replicas: 3, failureAction },
            web: { image: 'web:1', replicas: 2 },
          }),
        );
        const before = specs();
        const web = swarm.running('shop_web');
        const attempt = await runAction(swarm, {
          yaml: stackFile({
            api: { image, replicas: 3, failureAction },
            web: { image: 'web:1', replicas: 2 },
          }),
        });
        expect(attempt.report.outcome).toBe('rolled-back');
        expect(attempt.report.reason).not.toBe('');
        expect(specs()).toEqual(before);
        expect(swarm.running('shop_api')).toHaveLength(3);
        expect(swarm.running('shop_web')).toEqual(web);
        expect(attempt.report.failures.length).toBeGreaterThan(0);
        expect(serviceOf(attempt, 'shop_api')).toMatchObject({ outcome: 'restored' });
        expect(serviceOf(attempt, 'shop_web')).toMatchObject({ outcome: 'untouched', reason: '' });
        cleanedUp(attempt);
      }
    },
  );

  it('writes the service that changed, once, and no other', async () => {
    await standing();
    const attempt = await runAction(swarm, { yaml: BROKEN });
    expect(attempt.report).toMatchObject({ outcome: 'rolled-back' });
    const own = swarm.writes.filter((line) => !line.startsWith('update '));
    expect(own).toEqual(['restore shop_api (previous-spec)']);
  });

  it('says what it still waited for when its time is up', async () => {
    let died = -Infinity;
    swarm.onStep = (now) => {
      if (!swarm.names().includes('shop_api') || now - died < 7000) return;
      died = now;
      for (const { Slot, Status } of swarm.tasks)
        if (Slot === 1 && Status.State === 'running')
          Object.assign(Status, { State: 'failed', Err: 'task: non-zero exit (3)' });
    };
    const { report } = await runAction(swarm, {
      yaml: stackFile({ api: { image: 'api:1' }, web: { image: 'web:1', replicas: 0 } }),
      inputs: { 'stable-for': '20s', timeout: '30s', 'max-failures': '100' },
    });
    expect(report).toMatchObject({ outcome: 'rolled-back', reason: 'timeout' });
    expect(report.message).toMatch(
      /^shop_api runs, but has not stayed so for stable-for in time; last failure: .*exit \(3\)/,
    );
  });

  it('says which task failed, where, and with what', async () => {
    await standing();
    const { report, log } = await runAction(swarm, { yaml: BROKEN });
    expect(report.failures[0]).toMatchObject({
      service: 'shop_api',
      reason: 'crash-loop',
      exitCode: 1,
      error: 'task: non-zero exit (1)',
    });
    expect(report.failures[0]?.node).toMatch(/^(manager|worker)-\d$/);
    expect(log.join('\n')).toContain('task: non-zero exit (1)');
  });

  it('goes back by Swarm itself where the service has a rollback_config', async () => {
    await standing();
    const api = swarm.byName('shop_api');
    api.Spec = { ...api.Spec, RollbackConfig: { Parallelism: 0, Order: 'start-first' } };
    const before = specs();
    swarm.afterServiceWritten = (name) => {
      const service = swarm.byName(name);
      if (name === 'shop_api' && service.PreviousSpec !== undefined)
        service.Spec = {
          ...service.Spec,
          RollbackConfig: { Parallelism: 0, Order: 'start-first' },
        };
      return undefined;
    };
    const attempt = await runAction(swarm, { yaml: BROKEN });
    expect(attempt.report.outcome).toBe('rolled-back');
    expect(swarm.writes).toContain('rollback shop_api');
    expect(specs()).toEqual(before);
  });

  it('removes a first deploy with all that it brought', async () => {
    const attempt = await runAction(swarm, { yaml: BROKEN });
    expect(attempt.report).toMatchObject({ outcome: 'rolled-back', reason: 'crash-loop' });
    expect(swarm.names()).toEqual([]);
    expect(swarm.objects).toEqual([]);
    expect(swarm.tasks).toEqual([]);
    expect(serviceOf(attempt, 'shop_web')).toMatchObject({ change: 'created', outcome: 'removed' });
    cleanedUp(attempt);
  });

  it('leaves networks that were there before', async () => {
    swarm.addObject('network', 'shop', 'shop_default');
    await runAction(swarm, { yaml: BROKEN });
    expect(swarm.objects.map(({ name }) => name)).toEqual(['shop_default']);
  });

  it('leaves it as it failed with on-failure: keep', async () => {
    await standing();
    const attempt = await runAction(swarm, { yaml: BROKEN, inputs: { 'on-failure': 'keep' } });
    expect(attempt.report.outcome).toBe('failed');
    expect(attempt.report.message).toContain('on-failure: keep');
    expect(swarm.writes.filter((line) => /^(restore|rollback|remove)/.test(line))).toEqual([]);
    expect(serviceOf(attempt, 'shop_api')).toMatchObject({ outcome: 'failed' });
    expect(serviceOf(attempt, 'shop_web')).toMatchObject({ outcome: 'healthy' });
    cleanedUp(attempt);
  });

  it('ends a first deploy that crashes well within a minute', async () => {
    const begun = swarm.clock.now();
    await runAction(swarm, { yaml: BROKEN });
    expect(swarm.clock.now() - begun).toBeLessThan(60_000);
  });

  it('is loud when what was there before does not come up again', async () => {
    await standing();
    const former = new Set(swarm.tasks.map(({ ID }) => ID));
    swarm.onStep = () => {
      // The former image is gone meanwhile: no new task of it starts.
      for (const task of swarm.tasks)
        if (!former.has(task.ID) && task.template.includes(digestOf('api:1')))
          task.Status = { State: 'rejected', Err: 'No such image: api:1' };
    };
    const attempt = await runAction(swarm, {
      yaml: BROKEN,
      inputs: { 'progress-timeout': '20s' },
    });
    expect(attempt.report.outcome).toBe('rollback-failed');
    expect(attempt.report.reason).toBe('update-paused');
    expect(attempt.report.message).toContain('The rollback did not succeed');
    expect(attempt.report.hint).toContain('docker stack ps');
    expect(serviceOf(attempt, 'shop_api').outcome).toBe('unknown');
    cleanedUp(attempt);
  });

  it.each([
    ['recovers', 'rolled-back'],
    ['does not recover', 'rollback-failed'],
  ])('sees whether a service recovers that it broke without a change: %s', async (how, outcome) => {
    await standing();
    let isBroken = false;
    swarm.onStep = () => {
      if (imageOf(swarm.byName('shop_api').Spec).startsWith('api:2')) isBroken = true;
      else if (how === 'recovers') isBroken = false;
      const { ID } = swarm.byName('shop_web');
      for (const { ServiceID, Status } of isBroken ? swarm.tasks : [])
        if (ServiceID === ID && Status.State === 'running')
          Object.assign(Status, { State: 'failed', Err: 'task: non-zero exit (1)' });
    };
    const { report } = await runAction(swarm, { yaml: V2 });
    expect(report).toMatchObject({ outcome, reason: 'crash-loop' });
    expect(imageOf(swarm.byName('shop_api').Spec)).toMatch(/^api:1/);
    if (how === 'recovers') expect(swarm.running('shop_web')).not.toEqual([]);
    else expect(report.message).toContain('shop_web');
    expect(swarm.writes.filter((line) => line.includes('shop_web'))).toEqual(['update shop_web']);
  });

  it('is loud when the engine refuses the way back', async () => {
    await standing();
    swarm.onRequest = (line) =>
      line.endsWith('/update') ? { status: 400, body: '{"message":"invalid spec"}' } : undefined;
    const attempt = await runAction(swarm, { yaml: BROKEN });
    expect(attempt.report.outcome).toBe('rollback-failed');
    expect(attempt.report.message).toContain('invalid spec');
    cleanedUp(attempt);
  });

  it('writes again when somebody is a moment faster', async () => {
    await standing();
    const before = specs();
    let conflicts = 0;
    swarm.onRequest = (line) => {
      if (!line.endsWith('/update') || conflicts >= 3) return undefined;
      conflicts += 1;
      return { status: 500, body: '{"message":"rpc error: desc = update out of sequence"}' };
    };
    const attempt = await runAction(swarm, { yaml: BROKEN });
    expect([attempt.report.outcome, conflicts]).toEqual(['rolled-back', 3]);
    expect(specs()).toEqual(before);
  });
});

describe('somebody else', () => {
  it('is left alone: a service written during the watch', async () => {
    await standing();
    let written = false;
    swarm.onStep = () => {
      if (written || swarm.byName('shop_api').UpdateStatus?.State !== 'updating') return;
      written = true;
      someoneDeploys('api:theirs');
    };
    const attempt = await runAction(swarm, { yaml: V2 });
    expect(attempt.report).toMatchObject({ outcome: 'superseded', reason: 'superseded' });
    expect(JSON.stringify(at('shop_api'))).toContain('api:theirs');
    expect(swarm.writes.filter((line) => /^(restore|rollback|remove)/.test(line))).toEqual([]);
    cleanedUp(attempt);
  });

  it('is left alone: a service written between failure and way back', async () => {
    await standing(
      stackFile({ api: { image: 'api:1' }, web: { image: 'web:1' }, job: { image: 'job:1' } }),
    );
    const web = swarm.byName('shop_web').Spec;
    swarm.onRequest = (line) => {
      // The first thing that the way back reads after the list of networks.
      if (line === 'GET /secrets' && swarm.byName('shop_web').Spec !== web) {
        swarm.onRequest = () => undefined;
        someoneDeploys('api:theirs');
      }
      return undefined;
    };
    const attempt = await runAction(swarm, {
      yaml: stackFile({
        api: { image: 'api:2' },
        web: { image: 'web:crash' },
        job: { image: 'job:1' },
      }),
    });
    expect(attempt.report.outcome).toBe('superseded');
    expect(attempt.report.message).toContain('shop_api had been changed by someone else');
    expect(JSON.stringify(at('shop_api'))).toContain('api:theirs');
    expect(swarm.byName('shop_web').Spec).toEqual(web);
  });

  it('may have removed a service', async () => {
    await standing();
    let gone = false;
    swarm.onStep = () => {
      if (!gone) swarm.services.delete(swarm.byName('shop_web').ID);
      gone = true;
    };
    const attempt = await runAction(swarm, { yaml: V2 });
    expect(attempt.report).toMatchObject({ outcome: 'superseded' });
    expect(attempt.report.message).toContain('shop_web was removed by someone else');
  });

  const at = (name: string): unknown => swarm.byName(name).Spec['TaskTemplate'];
});

describe('docker stack deploy', () => {
  it.each([
    ['updates', standing],
    ['creates', () => Promise.resolve()],
  ])('that %s in another swarm than the one that is watched is told', async (_, arrange) => {
    await arrange();
    const before = specs();
    // As where the docker context of the login user is not that of a config directory of the run's own.
    swarm.onCommand = (argv) => (argv.includes('stack') ? ok('') : undefined);
    const attempt = await runAction(swarm, { yaml: V2 });
    const { outcome, reason, message, hint } = attempt.report;
    expect([outcome, reason]).toEqual(['failed', 'docker-unavailable']);
    expect(message).toContain('nothing of it has come to the swarm of deploy@manager-1:22');
    expect(hint).toContain('docker-host');
    expect(specs()).toEqual(before);
    cleanedUp(attempt);
  });

  it('refused before it wrote anything: invalid, and nothing touched', async () => {
    await standing();
    const before = specs();
    swarm.onCommand = (argv) =>
      argv.includes('deploy') && argv.includes('stack')
        ? exits(1, 'services.api.ports.0 must be a number')
        : undefined;
    const attempt = await runAction(swarm, { yaml: V2 });
    expect(attempt.report).toMatchObject({ outcome: 'invalid', reason: 'compose-invalid' });
    expect(attempt.report.message).toContain('ports.0 must be a number');
    expect([specs(), swarm.writes]).toEqual([before, []]);
    cleanedUp(attempt);
  });

  it('failed half-way: rolled back', async () => {
    await standing();
    const before = specs();
    swarm.afterServiceWritten = (name) =>
      name === 'shop_api' ? 'Error response from daemon: invalid mount' : undefined;
    const attempt = await runAction(swarm, { yaml: V2 });
    expect(attempt.report).toMatchObject({ outcome: 'rolled-back', reason: 'deploy-refused' });
    expect(specs()).toEqual(before);
    expect(swarm.running('shop_api')).toHaveLength(3);
    cleanedUp(attempt);
  });

  it('failed half-way with on-failure: keep: left as it is', async () => {
    await standing();
    swarm.afterServiceWritten = () => 'Error response from daemon: invalid mount';
    const attempt = await runAction(swarm, { yaml: V2, inputs: { 'on-failure': 'keep' } });
    expect(attempt.report.outcome).toBe('failed');
    expect(swarm.writes).toEqual(['update shop_api']);
  });

  it('brought a network and then failed: the network goes', async () => {
    swarm.onCommand = (argv) => {
      if (!argv.includes('stack')) return undefined;
      swarm.addObject('network', 'shop', 'shop_default');
      return exits(1, 'failed to create service shop_api: Error response from daemon: bad port');
    };
    const attempt = await runAction(swarm, { yaml: V1 });
    expect(attempt.report).toMatchObject({ outcome: 'rolled-back', reason: 'deploy-refused' });
    expect(swarm.objects).toEqual([]);
    cleanedUp(attempt);
  });

  it('is repeated where what failed passes by itself', async () => {
    await standing();
    let refusals = 0;
    swarm.onCommand = (argv) => {
      if (!argv.includes('stack') || refusals === 3) return undefined;
      refusals += 1;
      return exits(1, 'Error response from daemon: rpc error: desc = update out of sequence');
    };
    const attempt = await runAction(swarm, { yaml: V2 });
    expect(attempt.report.outcome).toBe('deployed');
    expect(refusals).toBe(3);
  });

  it('is not repeated for ever', async () => {
    await standing();
    let runs = 0;
    swarm.onCommand = (argv) => {
      if (!argv.includes('stack')) return undefined;
      runs += 1;
      return exits(1, 'network shop_default not found');
    };
    const attempt = await runAction(swarm, { yaml: V2 });
    expect([attempt.report.outcome, runs]).toEqual(['invalid', 8]);
  });
});

describe('before anything is written', () => {
  const registry = {
    registry: 'registry.example.com',
    'registry-username': 'ci',
    'registry-password': 'correct horse',
  };

  it('a refused login is invalid, and nothing is deployed', async () => {
    await standing();
    swarm.logins.set('registry.example.com', 'another');
    const attempt = await runAction(swarm, { yaml: V2, inputs: registry });
    expect(attempt.report).toMatchObject({ outcome: 'invalid', reason: 'registry-auth' });
    expect(swarm.writes).toEqual([]);
    expect(swarm.requests.filter((line) => line === 'POST /auth')).toHaveLength(1);
    cleanedUp(attempt);
  });

  it('a login is in the directory of this run for as long as docker needs it', async () => {
    swarm.logins.set('registry.example.com', 'correct horse');
    let config = '';
    swarm.onCommand = (argv) => {
      if (!argv.includes('stack')) return undefined;
      const path = argv[argv.indexOf('--config') + 1] ?? '';
      expect(path).toMatch(/^\/tmp\/swarm-deploy-[0-9a-f]{32}\/docker$/);
      config = String(swarm.disk.get(`${path}/config.json`));
      return undefined;
    };
    const attempt = await runAction(swarm, { yaml: V1, inputs: registry });
    expect(attempt.report.outcome).toBe('deployed');
    const auth = Buffer.from('ci:correct horse').toString('base64');
    expect(JSON.parse(config)).toEqual({ auths: { 'registry.example.com': { auth } } });
    const words = swarm.commands.flatMap(({ argv }) => argv).join('\n');
    expect(words).not.toMatch(new RegExp(`correct horse|${auth}`));
    expect(JSON.stringify(attempt)).not.toMatch(new RegExp(`correct horse|${auth}`));
    cleanedUp(attempt);
  });

  it('a worker is no host', async () => {
    swarm.isManager = false;
    const attempt = await runAction(swarm, { yaml: V1 });
    expect(attempt.report).toMatchObject({ outcome: 'invalid', reason: 'not-a-manager' });
    expect(attempt.report.message).toContain('a worker');
    expect([swarm.writes, swarm.left(), attempt.remembered]).toEqual([[], [], []]);
  });

  it.each([
    ['engine', { engineVersion: '19.03.15' }],
    ['CLI', { cliVersion: '18.09.1' }],
  ])('an old %s is said to be too old', async (what, versions) => {
    Object.assign(swarm, versions);
    const attempt = await runAction(swarm, { yaml: V1 });
    expect(attempt.report).toMatchObject({ outcome: 'invalid', reason: 'engine-too-old' });
    expect(attempt.report.message).toContain(`the Docker ${what} on`);
    expect(attempt.report.message).toContain('20.10 or newer is needed');
    expect([swarm.writes, swarm.left()]).toEqual([[], []]);
  });

  it('bad inputs are told together before anything is connected', async () => {
    const attempt = await runAction(swarm, {
      yaml: V1,
      inputs: { timeout: 'soon', 'max-failures': '-1', prune: 'yes' },
    });
    expect(attempt.report).toMatchObject({ outcome: 'invalid', reason: 'input-invalid' });
    expect(attempt.report.problems).toHaveLength(3);
    expect(swarm.connections).toBe(0);
  });

  it('a bad file is told with its line before anything is connected', async () => {
    const attempt = await runAction(swarm, { yaml: 'services:\n  api:\n    image: ${NOWHERE}\n' });
    expect(attempt.report).toMatchObject({ outcome: 'invalid', reason: 'variable-unset' });
    expect(attempt.report.position).toMatchObject({ file: 'compose.yaml', line: 3 });
    expect(swarm.connections).toBe(0);
  });

  it('a swarm that cannot be reached is unreachable', async () => {
    swarm.onConnect = () => new ConnectionLost('no manager answered');
    const attempt = await runAction(swarm, { yaml: V1 });
    expect(attempt.report).toMatchObject({ outcome: 'unreachable', reason: 'connection-lost' });
  });

  it('a disk that is full is said', async () => {
    swarm.onCommand = (argv) =>
      argv.join(' ').includes('cat >') ? exits(1, 'No space left on device') : undefined;
    const attempt = await runAction(swarm, { yaml: V1 });
    expect(attempt.report.outcome).toBe('invalid');
    expect(attempt.report.message).toContain('No space left on device');
    expect(swarm.writes).toEqual([]);
    cleanedUp(attempt);
  });

  it('leaves no directory behind when reading the swarm fails while it is being made', async () => {
    let release = (): void => undefined;
    const slow = new Promise<void>((resolve) => (release = resolve));
    const { connect } = swarm;
    const late: typeof connect = async (accept) => {
      const transport = await connect(accept);
      const run = transport.run.bind(transport);
      transport.run = async (argv, options) => {
        if (!argv.join(' ').includes('mkdir')) return await run(argv, options);
        // On its way to the manager already: it is done there, whether or not anybody waits.
        await slow;
        return swarm.run(argv, options ?? {});
      };
      return transport;
    };
    Object.assign(swarm, { connect: late });
    swarm.onRequest = (line) => {
      if (line !== 'GET /tasks') return undefined;
      setTimeout(release, 100);
      return { status: 400, body: '{"message":"a bad day"}' };
    };
    const attempt = await runAction(swarm, { yaml: V1 });
    expect(attempt.report.message).toContain('a bad day');
    await slow;
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    cleanedUp(attempt);
  });
});

describe('a connection that is lost', () => {
  /** Cuts once, at the first moment that the condition holds. */
  function cutWhen(condition: () => boolean): () => boolean {
    let done = false;
    swarm.onStep = () => {
      if (done || !condition()) return;
      done = true;
      swarm.cut();
    };
    return () => done;
  }
  const updating = (): boolean => swarm.byName('shop_api').UpdateStatus?.State === 'updating';

  it('in the watch is made again, and nothing is rolled back', async () => {
    await standing();
    const wasCut = cutWhen(updating);
    const attempt = await runAction(swarm, { yaml: V2 });
    expect([attempt.report.outcome, wasCut()]).toEqual(['deployed', true]);
    expect(attempt.log.join('\n')).toContain('connection lost');
    expect(swarm.writes.filter((line) => /^(restore|rollback|remove)/.test(line))).toEqual([]);
    cleanedUp(attempt);
  });

  it('in the watch of a broken deploy still ends rolled back', async () => {
    await standing();
    const before = specs();
    const wasCut = cutWhen(updating);
    const attempt = await runAction(swarm, { yaml: BROKEN });
    expect([attempt.report.outcome, wasCut()]).toEqual(['rolled-back', true]);
    expect(specs()).toEqual(before);
    cleanedUp(attempt);
  });

  it('for good is unreachable, never a rollback, and left to post', async () => {
    await standing();
    cutWhen(() => {
      if (!updating()) return false;
      swarm.onConnect = () => new ConnectionLost('no route to host');
      return true;
    });
    const attempt = await runAction(swarm, { yaml: BROKEN });
    expect(attempt.report).toMatchObject({ outcome: 'unreachable', reason: 'connection-lost' });
    expect(swarm.writes.filter((line) => /^(restore|rollback|remove)/.test(line))).toEqual([]);
    // The directory was not needed any more, and was gone by then.
    cleanedUp(attempt);
  });

  it('for good in the deploy command is unreachable, and left to post', async () => {
    await standing();
    swarm.afterServiceWritten = () => {
      swarm.onConnect = () => new ConnectionLost('no route to host');
      swarm.cut();
      return new ConnectionLost('cut');
    };
    const attempt = await runAction(swarm, { yaml: BROKEN });
    expect(attempt.report).toMatchObject({ outcome: 'unreachable', reason: 'connection-lost' });
    expect(swarm.writes.filter((line) => /^(restore|rollback|remove)/.test(line))).toEqual([]);
    expect(attempt.remembered).toEqual([expect.stringMatching(/^swarm-deploy-/)]);
    expect(attempt.log.join('\n')).toContain('left to the post step');
    expect(attempt.report.message).toContain(
      'Last seen before the stack was written: shop_api 3/3 up to date and running; shop_web 2/2',
    );
    expect(attempt.report.hint).toContain('docker stack ps --no-trunc shop');
  });

  it('while the engine restarts is waited for', async () => {
    await standing();
    let refused = 0;
    const wasCut = cutWhen(() => {
      if (!updating()) return false;
      swarm.onConnect = () => {
        refused += 1;
        return refused > 5
          ? undefined
          : new DeployError('docker-unavailable', 'invalid', 'Cannot connect to the Docker daemon');
      };
      return true;
    });
    const attempt = await runAction(swarm, { yaml: V2 });
    expect([attempt.report.outcome, wasCut()]).toEqual(['deployed', true]);
  });

  it.each(['docker-unavailable', 'not-a-manager', 'host-key', 'auth-failed'] as const)(
    'and is refused afterwards (%s) is unreachable: the stack was touched already',
    async (reason) => {
      await standing();
      cutWhen(() => {
        if (!updating()) return false;
        swarm.onConnect = () => new DeployError(reason, 'invalid', 'refused for good');
        return true;
      });
      const attempt = await runAction(swarm, { yaml: V2 });
      expect(attempt.report.outcome).toBe('unreachable');
      expect(attempt.report.message).toContain('refused for good');
    },
  );

  it('before stack deploy wrote anything: the command is repeated', async () => {
    await standing();
    let cuts = 0;
    swarm.onCommand = (argv) => {
      if (!argv.includes('stack') || cuts > 0) return undefined;
      cuts += 1;
      swarm.cut();
      return new ConnectionLost('the connection died');
    };
    const attempt = await runAction(swarm, { yaml: V2 });
    expect([attempt.report.outcome, cuts]).toEqual(['deployed', 1]);
    expect(swarm.commands.filter(({ argv }) => argv.includes('stack'))).toHaveLength(2);
    cleanedUp(attempt);
  });

  it('before stack deploy wrote anything, while the version moves for another reason', async () => {
    await standing();
    await runAction(swarm, { yaml: V1 }); // unchanged, so that the spec before the last write is the one that runs
    let cuts = 0;
    swarm.onCommand = (argv) => {
      if (!argv.includes('stack') || cuts > 0) return undefined;
      cuts += 1;
      // As the status of an update that was under way does it.
      for (const service of swarm.services.values()) service.Version.Index += 1;
      swarm.cut();
      return new ConnectionLost('the connection died');
    };
    const attempt = await runAction(swarm, { yaml: V2 });
    expect([attempt.report.outcome, cuts]).toEqual(['deployed', 1]);
    expect(swarm.byName('shop_api').Spec).toMatchObject({
      TaskTemplate: { ContainerSpec: { Image: expect.stringContaining('api:2') as unknown } },
    });
    cleanedUp(attempt);
  });

  it('by the engine alone, in the middle of stack deploy: read, and the command is repeated', async () => {
    await standing();
    let away = 0;
    swarm.afterServiceWritten = () => {
      away += 1;
      return away > 1
        ? undefined
        : 'error during connect: Post "http://%2Fvar%2Frun%2Fdocker.sock/v1.51/services/create": EOF';
    };
    const attempt = await runAction(swarm, { yaml: V2 });
    expect(attempt.report.outcome).toBe('deployed');
    expect(swarm.commands.filter(({ argv }) => argv.includes('stack'))).toHaveLength(2);
    expect(attempt.log.join('\n')).toContain('the engine of deploy@manager-1:22 went away');
    cleanedUp(attempt);
  });

  it('and another manager answers: what the first one holds is left to post', async () => {
    await standing();
    let cuts = 0;
    swarm.onCommand = (argv) => {
      if (!argv.includes('stack') || cuts > 0) return undefined;
      cuts += 1;
      swarm.answering = 'deploy@manager-2:22';
      swarm.cut();
      return new ConnectionLost('the connection died');
    };
    const { report, remembered, log } = await runAction(swarm, { yaml: V2 });
    expect(report.outcome).toBe('deployed');
    expect(remembered.at(-1)).toMatch(/^swarm-deploy-/);
    expect(log.join('\n')).toContain('clean-up on deploy@manager-1:22 is left to the post step');
  });

  it('in the middle of stack deploy: the command is repeated', async () => {
    await standing();
    let cuts = 0;
    swarm.afterServiceWritten = () => {
      if (cuts > 0) return undefined;
      cuts += 1;
      swarm.cut();
      return new ConnectionLost('the connection died');
    };
    const attempt = await runAction(swarm, { yaml: V2 });
    expect([attempt.report.outcome, cuts]).toEqual(['deployed', 1]);
    expect(serviceOf(attempt, 'shop_api')).toMatchObject({ change: 'updated' });
    cleanedUp(attempt);
  });

  it('after stack deploy wrote everything: it is seen, and not repeated', async () => {
    await standing();
    swarm.afterServiceWritten = (name) => {
      if (name !== 'shop_web') return undefined;
      swarm.cut();
      return new ConnectionLost('the connection died');
    };
    const attempt = await runAction(swarm, { yaml: V2 });
    expect(attempt.report.outcome).toBe('deployed');
    expect(swarm.commands.filter(({ argv }) => argv.includes('stack'))).toHaveLength(1);
    cleanedUp(attempt);
  });

  it('in the way back does not stop it', async () => {
    await standing();
    const before = specs();
    let cuts = 0;
    swarm.onRequest = (line) => {
      if (!line.endsWith('/update') || cuts > 0) return undefined;
      cuts += 1;
      return 'refuse';
    };
    const attempt = await runAction(swarm, { yaml: BROKEN });
    expect([attempt.report.outcome, cuts]).toEqual(['rolled-back', 1]);
    expect(specs()).toEqual(before);
  });

  it('in the way back, for good, is said', async () => {
    await standing();
    swarm.onRequest = (line) => {
      if (!line.endsWith('/update')) return undefined;
      swarm.onConnect = () => new ConnectionLost('no route to host');
      return 'refuse';
    };
    const attempt = await runAction(swarm, { yaml: BROKEN });
    expect(attempt.report.outcome).toBe('unreachable');
    expect(attempt.report.message).toContain('The rollback could not be finished');
  });
});

describe('a swarm without a leader', () => {
  const noLeader = {
    status: 500,
    body: JSON.stringify({
      message:
        "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of the managers are online.",
    }),
  };

  it('for a while is waited for: an election is no verdict', async () => {
    await standing();
    let refused = 0;
    swarm.onRequest = (line) => {
      const begun = refused > 0 || swarm.byName('shop_api').UpdateStatus?.State === 'updating';
      if (!begun || line !== 'GET /tasks' || refused >= 8) return undefined;
      refused += 1;
      return noLeader;
    };
    const attempt = await runAction(swarm, { yaml: V2 });
    expect([attempt.report.outcome, refused]).toEqual(['deployed', 8]);
  });

  it('for good is unreachable, in bounded time, and no rollback', async () => {
    await standing();
    swarm.onRequest = (line) =>
      swarm.byName('shop_api').UpdateStatus?.State === 'updating' && line === 'GET /tasks'
        ? noLeader
        : undefined;
    const begun = swarm.clock.now();
    swarm.onStep = () => {
      // A run that never ends would hang the test.
      if (swarm.clock.now() - begun > 3_600_000) throw new Error('watching for ever');
    };
    const attempt = await runAction(swarm, { yaml: stackFile({ api: { image: 'api:stuck' } }) });
    expect(attempt.report).toMatchObject({ outcome: 'unreachable', reason: 'connection-lost' });
    expect(attempt.report.message).toContain('does not have a leader');
    expect(swarm.writes.filter((line) => /^(restore|rollback|remove)/.test(line))).toEqual([]);
  });

  it('before the deploy is unreachable, and no fault of the action', async () => {
    swarm.onRequest = (line) => (line === 'GET /tasks' ? noLeader : undefined);
    const attempt = await runAction(swarm, { yaml: V1 });
    expect(attempt.report).toMatchObject({ outcome: 'unreachable', reason: 'connection-lost' });
    expect(swarm.writes).toEqual([]);
    cleanedUp(attempt);
  });
});

describe('a connection that breaks again and again', () => {
  it('does not make the run watch for ever', async () => {
    await standing();
    const { connect } = swarm;
    let attempts = 0;
    Object.assign(swarm, {
      connect: (async (accept) => {
        attempts += 1;
        if (attempts > 5000) throw new Error('connecting for ever');
        return await connect(accept);
      }) satisfies typeof connect,
    });
    let begun = false;
    swarm.onRequest = (line) => {
      begun ||= swarm.byName('shop_api').UpdateStatus?.State === 'updating';
      return begun && line === 'GET /tasks' ? 'refuse' : undefined;
    };
    const attempt = await runAction(swarm, { yaml: V2 });
    expect(attempt.report.outcome).toBe('unreachable');
    expect(attempts).toBeLessThan(1000);
  });
});

describe('cancel', () => {
  it('in the watch stops, writes nothing more and cleans up', async () => {
    await standing();
    const cancel = new AbortController();
    let writes = 0;
    swarm.onStep = () => {
      if (cancel.signal.aborted || swarm.byName('shop_api').UpdateStatus?.State !== 'updating')
        return;
      writes = swarm.writes.length;
      cancel.abort(new Error('cancelled by SIGINT'));
    };
    const attempt = await runAction(swarm, { yaml: BROKEN, cancel });
    expect(attempt.report).toMatchObject({ outcome: 'cancelled', reason: 'cancelled' });
    expect(swarm.writes).toHaveLength(writes);
    cleanedUp(attempt);
  });

  it('before the deploy deploys nothing', async () => {
    const cancel = new AbortController();
    swarm.onRequest = (line) => {
      if (line === 'GET /networks') cancel.abort(new Error('cancelled by SIGTERM'));
      return undefined;
    };
    const attempt = await runAction(swarm, { yaml: V1, cancel });
    expect(attempt.report.outcome).toBe('cancelled');
    expect(swarm.writes).toEqual([]);
    cleanedUp(attempt);
  });
});

describe('clean-up', () => {
  it('is left to post where the directory cannot be removed', async () => {
    swarm.onCommand = (argv) =>
      argv.join(' ').includes('rm -rf') ? exits(1, 'Read-only file system') : undefined;
    const attempt = await runAction(swarm, { yaml: V1 });
    expect(attempt.report.outcome).toBe('deployed');
    expect(attempt.remembered).toEqual([expect.stringMatching(/^swarm-deploy-/)]);
  });

  it('never reports a service as something it is not', async () => {
    await standing();
    const kept: readonly Pick<Service, 'ID'>[] = [...swarm.services.values()];
    await runAction(swarm, { yaml: BROKEN });
    expect([...swarm.services.keys()]).toEqual(kept.map(({ ID }) => ID));
  });
});
