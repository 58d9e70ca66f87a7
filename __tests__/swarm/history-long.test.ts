/**
 * The history of a stack over a long time and under hard conditions: many deploys, large ones, images
 * that are gone, jobs, and the loss of the manager that led the swarm.
 */
import { expect } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { askRegistry } from '../../testbed/lib/registry.mjs';
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
  onSwarm,
  ownSwarmScenario,
  quickUpdate,
  scenario,
  type Run,
  type Stack,
  until,
} from '../support/swarm.js';

/** For scenarios with much to do, on a machine that has to be shared. */
const LONG_MS = 20 * 60_000;

/** Names of all configs and secrets that begin with the stack's, labelled or not, the history apart. */
async function allNames(stack: Stack): Promise<readonly string[]> {
  const lists = (await Promise.all(
    ['/configs', '/secrets'].map((path) => stack.manager.api('GET', path)),
  )) as readonly (readonly { Spec: { Name: string } }[])[];
  return lists
    .flat()
    .map(({ Spec }) => Spec.Name)
    .filter((name) => name.startsWith(`${stack.name}-`))
    .sort();
}

/** Text that compression makes no smaller than that. */
const noise = (bytes: number): string => randomBytes(bytes).toString('base64');

/** The registry loses an image; who has pulled it still has it. */
async function forget(stack: Stack, repository: string, digest: string): Promise<void> {
  const path = `/v2/${repository}/manifests/${digest}`;
  const { status } = await askRegistry(stack.bed.registry.host, path, { method: 'DELETE' });
  expect(status).toBe(202);
  expect((await askRegistry(stack.bed.registry.host, path)).status).toBe(404);
}

onSwarm('a long history', () => {
  scenario(
    'of 30 deploys leaves nothing behind but what it keeps',
    async (stack) => {
      /** Names change at a pace of their own: every time, every third, every fourth. */
      const names = (id: number): { conf: string; token: string; net: string } => ({
        conf: `${stack.name}-conf-${id}`,
        token: `${stack.name}-token-${Math.floor(id / 3)}`,
        net: `${stack.name}-net-${Math.floor(id / 4)}`,
      });
      const deploy = (id: number, image: string): Promise<Run> => {
        const { conf, token, net } = names(id);
        return stack.run({
          ...workflow(id),
          inputs: { ...STRICT, history: 3, 'stable-for': '0s' },
          files: {
            conf,
            token,
            'docker-stack.yml': stack.file(
              {
                api: {
                  image: stack.image(image),
                  environment: { DEPLOY: String(id) },
                  stop_grace_period: '1s',
                  configs: ['conf'],
                  secrets: ['token'],
                  deploy: { update_config: quickUpdate },
                },
                // Holds a network without the time that tasks take to get on and off it.
                idle: {
                  image: stack.image('nohealth'),
                  networks: ['net'],
                  deploy: { replicas: 0 },
                },
              },
              {
                configs: { conf: { file: './conf', name: conf } },
                secrets: { token: { file: './token', name: token } },
                networks: { default: stack.network, net: { name: net } },
              },
            ),
          },
        });
      };
      const objectsOf = (...ids: readonly number[]): readonly string[] =>
        [...new Set(ids.flatMap((id) => Object.values(names(id))))].sort();

      const specs: unknown[] = [];
      for (let id = 1; id <= 30; id += 1) {
        const bad = id === 15;
        const { outcome } = await deploy(id, bad ? 'crash' : 'nohealth');
        expect({ id, outcome }).toEqual({ id, outcome: bad ? 'rolled-back' : 'deployed' });
        // What the bad one brought is gone again, and the place of 12 is its own now.
        if (bad) expect(await stack.objects()).toEqual(objectsOf(13, 14));
        expect((await stack.revisions()).length).toBeLessThanOrEqual(3);
        specs[id] = await stack.specs();
      }
      expect(specs[15]).toEqual(specs[14]);
      expect(await history(stack)).toEqual(['28 deployed', '29 deployed', '30 deployed']);
      expect(await pieces(stack)).toHaveLength(3 * 2);
      expect(await stack.objects()).toEqual(objectsOf(28, 29, 30));
      expect(await allNames(stack)).toEqual(
        objectsOf(28, 29, 30).filter((name) => !name.includes('-net-')),
      );
      expect(Object.keys(await stack.services()).sort()).toEqual(['api', 'idle']);

      const undo = await stack.run({
        ...workflow(31),
        inputs: { mode: 'rollback', revision: '28', history: 3, 'stable-for': '0s' },
      });
      expect(undo).toMatchObject({ outcome: 'deployed', outputs: { revision: '31' } });
      expect(await stack.specs()).toEqual(specs[28]);
    },
    LONG_MS,
  );

  scenario(
    'holds what takes several configs, and brings it back',
    async (stack) => {
      const configs = ['a', 'b', 'c'];
      const deploy = (id: number, kept = 10): Promise<Run> => {
        const bulky = (tag: string): object => ({
          ...web(stack, tag, { configs }),
          deploy: { update_config: quickUpdate, labels: { noise: noise(150_000) } },
        });
        const named = configs.map((name) => [
          name,
          { file: `./${name}`, name: `${stack.name}-${name}-${id}` },
        ]);
        return stack.run({
          ...workflow(id),
          inputs: { history: kept },
          files: {
            ...Object.fromEntries(configs.map((name) => [name, noise(250_000)])),
            env: Array.from({ length: 10 }, (_, index) => `NOISE${index}=${noise(15_000)}\n`).join(
              '',
            ),
            'docker-stack.yml': stack.file(
              { api: bulky(`v${id}`), more: { ...bulky(`v${id}`), env_file: './env' } },
              { configs: Object.fromEntries(named) as object },
            ),
          },
        });
      };
      expect(await deploy(1)).toMatchObject({ outcome: 'deployed', code: 0 });
      const [specs, objects] = [await stack.specs(), await stack.objectSpecs()];
      expect(await deploy(2)).toMatchObject({ outcome: 'deployed', code: 0 });
      for (const revision of await stack.revisions()) {
        expect(Number(revision['parts'])).toBeGreaterThanOrEqual(3);
        expect(Number(revision['sealed'])).toBeGreaterThanOrEqual(2);
      }
      expect(Object.keys(await stack.ledger()).sort()).toEqual(
        (await stack.revisions())
          .flatMap(({ number = '', parts, sealed }) =>
            Array.from({ length: Number(parts) + Number(sealed) }, (_, index) =>
              [stack.name, 'revision', number, ...(index === 0 ? [] : [index + 1])].join('.'),
            ),
          )
          .sort(),
      );
      const status = await stack.run({ ...workflow(3), inputs: { mode: 'status' } });
      expect(status).toMatchObject({
        outcome: 'reported',
        outputs: { revision: '2', 'previous-revision': '1' },
        report: { history: [{ number: 2 }, { number: 1, commit: shaOf(1) }] },
      });

      const undo = await stack.run({ ...ROLLBACK, ...workflow(4) });
      expect(undo).toMatchObject({ outcome: 'deployed', outputs: { revision: '3' } });
      expect(await stack.specs()).toEqual(specs);
      expect(await stack.objectSpecs()).toMatchObject(objects);
      expect(await running(stack, 'api')).toEqual([await stack.bed.digest('web:v1')]);

      // Without one of its parts it is none that could be brought back.
      await stack.manager.docker('config', 'rm', `${stack.name}.revision.2.2`);
      const before = await stateOf(stack);
      const broken = await stack.run({
        inputs: { mode: 'rollback', revision: '2' },
        ...workflow(5),
      });
      expect(broken).toMatchObject({ outcome: 'invalid', reason: 'revision-incomplete', code: 1 });
      expect(await stateOf(stack)).toEqual(before);

      // All parts go with it.
      expect(
        await stack.deploy({ api: web(stack, 'v3') }, { history: 1 }, workflow(6)),
      ).toMatchObject({ outcome: 'deployed', code: 0 });
      expect(await history(stack)).toEqual(['4 deployed']);
      expect(Object.keys(await stack.ledger())).toHaveLength(2);
    },
    LONG_MS,
  );
});

onSwarm('a former image', () => {
  /** Two versions of an image of the stack's own, and a service of it on one node. */
  async function own(stack: Stack): Promise<{
    readonly repository: string;
    readonly digests: readonly string[];
    readonly deploy: (id: number, tag: string) => Promise<Run>;
  }> {
    const repository = `own-${stack.name}`;
    const push = (tag: string): Promise<string> =>
      stack.bed.pushImage(`${repository}:${tag}`, {
        command: ['/bin/busybox', 'sleep', '1000000'],
        // No other scenario may leave it on a node.
        env: [`VERSION=${tag}`, `STACK=${stack.name}`],
      });
    return {
      repository,
      digests: [await push('v1'), await push('v2')],
      deploy: (id, tag) =>
        stack.deploy(
          {
            api: {
              image: stack.image(repository, tag),
              stop_grace_period: '1s',
              deploy: {
                replicas: 2,
                update_config: quickUpdate,
                placement: { constraints: ['node.hostname == worker1'] },
              },
            },
            steady: web(stack, 'v1'),
          },
          STRICT,
          workflow(id),
        ),
    };
  }

  scenario('that the registry has lost comes back from the nodes', async (stack) => {
    const { repository, digests, deploy } = await own(stack);
    const [v1 = ''] = digests;
    expect((await deploy(1, 'v1')).outcome).toBe('deployed');
    const specs = await stack.specs();
    expect((await deploy(2, 'v2')).outcome).toBe('deployed');
    await forget(stack, repository, v1);

    const steady = await stack.service('steady');
    const undo = await stack.run({ ...ROLLBACK, ...workflow(3) });
    expect(undo).toMatchObject({ outcome: 'deployed', code: 0, changed: [`${stack.name}_api`] });
    expect(await stack.specs()).toEqual(specs);
    expect(await running(stack, 'api')).toEqual([v1]);
    expect(await stack.service('steady')).toEqual(steady);

    // The way back of a failed deploy goes there, too.
    const failed = await stack.deploy({ api: crashing(stack) }, STRICT, workflow(4));
    expect(failed).toMatchObject({ outcome: 'rolled-back', code: 1 });
    expect(await stack.specs()).toEqual(specs);
    expect(await running(stack, 'api')).toEqual([v1]);
    expect(await stack.running('api')).toHaveLength(2);
  });

  scenario('that nobody has any more leaves the stack as it is', async (stack) => {
    const { repository, digests, deploy } = await own(stack);
    const [v1 = '', v2] = digests;
    expect((await deploy(1, 'v1')).outcome).toBe('deployed');
    expect((await deploy(2, 'v2')).outcome).toBe('deployed');
    const [specs, tasks] = [await stack.specs(), await stack.startTimes('api')];
    await forget(stack, repository, v1);
    const worker = stack.bed.node('worker1');
    const image = `${stack.image(repository)}@${v1}`;
    const format = ['--format', '{{.Id}}', image];
    const id = (await worker.docker('image', 'inspect', ...format)).trim();
    // By its id: while a container that stops still uses it, only its name would go.
    await until('worker1 has lost the image', async () => {
      await worker.exec(['docker', 'image', 'rm', '--force', id]);
      return (await worker.exec(['docker', 'image', 'inspect', id])).code !== 0;
    });

    const run = await stack.run({ ...ROLLBACK, ...workflow(3) });
    expect(run).toMatchObject({ outcome: 'rolled-back', code: 1 });
    // Whether Swarm is first to pause its update or the run to give up.
    expect(['image-not-found', 'update-paused']).toContain(run.reason);
    expect(run.services).toContainEqual(
      expect.objectContaining({ name: `${stack.name}_api`, reason: 'image-not-found' }),
    );
    expect(run.log).toContain(`No such image: ${stack.image(repository)}@${v1}`);
    expect(await stack.specs()).toEqual(specs);
    expect(await running(stack, 'api')).toEqual([v2]);
    // Started first, the new ones have cost the old ones nothing.
    expect(await stack.startTimes('api')).toEqual(tasks);
    expect(await history(stack)).toEqual(['1 deployed', '2 deployed', '3 rolled-back as 1']);
  });
});

onSwarm('a job', () => {
  scenario('runs again where its spec goes back, and there alone', async (stack) => {
    const job = (run: string): object => ({
      image: stack.image('job-ok'),
      environment: { RUN: run },
      deploy: { mode: 'replicated-job', replicas: 2, restart_policy: { condition: 'none' } },
    });
    const deploy = (id: number, api: object, run: string): Promise<Run> =>
      stack.deploy({ api, job: job(run) }, STRICT, workflow(id));

    if (stack.bed.engineVersion.startsWith('20.10.')) {
      // This client has no jobs (docs/engines.md): refused before there is a revision.
      expect((await stack.deploy({ api: web(stack, 'v1') }, {}, workflow(1))).outcome).toBe(
        'deployed',
      );
      const [services, objects] = [await stack.services(), await stack.objectSpecs()];
      const refused = await deploy(2, web(stack, 'v2'), 'one');
      expect(refused).toMatchObject({ outcome: 'invalid', reason: 'compose-invalid', code: 1 });
      expect(await stack.services()).toEqual(services);
      expect(await stack.objectSpecs()).toEqual(objects);
      expect(await history(stack)).toEqual(['1 deployed']);
      return;
    }

    /** What the completed tasks of its last run were given, and which run that was. */
    const lastRun = async (): Promise<{ iteration: number | undefined; env: unknown[] }> => {
      const { JobStatus } = await stack.service('job');
      const iteration = JobStatus?.JobIteration.Index;
      const tasks = (await stack.tasks('job')).filter(
        ({ JobIteration, Status }) =>
          JobIteration?.Index === iteration && Status.State === 'complete',
      );
      return { iteration, env: tasks.map(({ Spec }) => Spec.ContainerSpec.Env) };
    };
    const twice = (run: string): unknown[] => [[`RUN=${run}`], [`RUN=${run}`]];

    expect((await deploy(1, web(stack, 'v1'), 'one')).outcome).toBe('deployed');
    const one = await stack.specs();
    expect((await deploy(2, web(stack, 'v2'), 'two')).outcome).toBe('deployed');
    const two = await stack.specs();
    expect((await lastRun()).env).toEqual(twice('two'));

    const failed = await deploy(3, crashing(stack), 'three');
    expect(failed).toMatchObject({ outcome: 'rolled-back', code: 1 });
    expect(await stack.specs()).toEqual(two);
    expect((await lastRun()).env).toEqual(twice('two'));

    const undo = await stack.run({ ...ROLLBACK, ...workflow(4) });
    expect(undo).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(await stack.specs()).toEqual(one);
    expect((await lastRun()).env).toEqual(twice('one'));

    expect((await deploy(5, web(stack, 'v3'), 'one')).outcome).toBe('deployed');
    const before = await lastRun();
    const again = await stack.run({ ...ROLLBACK, ...workflow(6) });
    expect(again).toMatchObject({ outcome: 'deployed', changed: [`${stack.name}_api`] });
    expect(await stack.specs()).toEqual(one);
    expect(await lastRun()).toEqual(before);
    expect(await history(stack)).toEqual([
      '1 deployed',
      '2 deployed',
      '3 rolled-back',
      '4 deployed as 1',
      '5 deployed',
      '6 deployed as 1',
    ]);
  });
});

onSwarm('with three managers', () => {
  ownSwarmScenario('the loss of the leader', { managers: 3, workers: 0 }, async (stack) => {
    const { bed } = stack;
    const hosts = {
      host: bed.nodes.map(({ address }) => address).join('\n'),
      'connect-timeout': '5s',
    };
    const deploy = (id: number, attempt: number, service: object, inputs = {}): Promise<Run> =>
      stack.deploy({ api: service }, { ...hosts, ...inputs }, workflow(id, attempt));
    expect((await deploy(100, 1, web(stack, 'v1'))).outcome).toBe('deployed');
    const v1 = await stack.specs();
    expect((await deploy(101, 1, web(stack, 'v2'))).outcome).toBe('deployed');
    const ledger = await stack.ledger();

    const nodes = (await stack.manager.api('GET', '/nodes')) as readonly {
      Description: { Hostname: string };
      ManagerStatus?: { Leader?: boolean };
    }[];
    const leads = nodes.find(({ ManagerStatus }) => ManagerStatus?.Leader === true);
    const leader = bed.node(leads?.Description.Hostname ?? '');
    const other = bed.nodes.find(({ name }) => name !== leader.name);
    if (other === undefined) throw new Error('There is one node alone.');
    await leader.stopEngine('SIGKILL');
    stack.manager = other;

    // Nobody has waited for the others to agree on a new leader.
    const rerun = await deploy(100, 2, web(stack, 'v3'));
    expect(rerun).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(rerun.log).toMatch(/re-run: bringing back revision 1\b/);
    expect(await stack.specs()).toEqual(v1);
    expect(await running(stack, 'api')).toEqual([await bed.digest('web:v1')]);
    expect(await stack.ledger()).toMatchObject(ledger);

    const holder = start((options) =>
      stack.deploy({ api: gated(stack, 'v3') }, hosts, { ...options, ...workflow(102) }),
    );
    await holder.said(/this is revision 4 of/);
    const locked = await deploy(103, 1, web(stack, 'v2'), { 'lock-timeout': '1s' });
    expect(locked).toMatchObject({ outcome: 'locked', code: 1, changed: [] });
    expect(locked.log).toContain(urlOf(102));
    await open(stack, 'api');
    expect(await holder.ended).toMatchObject({ outcome: 'deployed', outputs: { revision: '4' } });

    // Now its machine is gone as well.
    await leader.link('down');
    const undo = await stack.run({ ...workflow(104), inputs: { ...hosts, mode: 'rollback' } });
    expect(undo).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(await stack.specs()).toEqual(v1);
    expect(await running(stack, 'api')).toEqual([await bed.digest('web:v1')]);
    expect(await history(stack)).toEqual([
      '1 deployed',
      '2 deployed',
      '3 deployed as 1',
      '4 deployed',
      '5 deployed as 1',
    ]);
    expect(await lockOf(stack)).toBeUndefined();
  });
});
