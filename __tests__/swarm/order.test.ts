/** Services in the order of their conditions, proved by the times that the swarm itself gives. */
import { expect } from '@jest/globals';
import {
  onSwarm,
  quickUpdate,
  scenario,
  scenarios,
  type LiveTask,
  type Stack,
} from '../support/swarm.js';

type Service = Record<string, unknown>;

const after = (...names: readonly string[]): Service =>
  Object.fromEntries(names.map((name) => [name, { condition: 'service_completed_successfully' }]));

/** Works for a while, and then ends. */
const migration = (stack: Stack, marker: string, code: number, deploy: Service): Service => ({
  image: stack.image('nohealth'),
  command: ['/bin/busybox', 'sh', '-c', `busybox sleep 2; exit ${code}`],
  environment: { MARKER: marker },
  deploy,
});

const api = (stack: Stack, tag: string, more: Service = {}): Service => ({
  image: stack.image('web', tag),
  stop_grace_period: '1s',
  deploy: { replicas: 2, update_config: quickUpdate },
  ...more,
});

const KINDS = [
  {
    kind: 'one-shot service',
    deploy: { restart_policy: { condition: 'none' }, update_config: quickUpdate },
  },
  { kind: 'job', deploy: { mode: 'replicated-job', restart_policy: { condition: 'none' } } },
];

/** The client of 20.10 refuses jobs. */
const knowsJobs = ({ bed }: Stack): boolean => !bed.engineVersion.startsWith('20.10');

const times = (tasks: readonly LiveTask[], of: (task: LiveTask) => string): readonly number[] =>
  tasks.map((task) => Date.parse(of(task)));

/** The tasks of a service that there were not before. */
async function fresh(
  stack: Stack,
  name: string,
  former: readonly LiveTask[] = [],
): Promise<readonly LiveTask[]> {
  const known = new Set(former.map(({ ID }) => ID));
  return (await stack.tasks(name)).filter(({ ID }) => !known.has(ID));
}

/** Every one of the first was done before any of the others was even made. */
function expectOrder(done: readonly LiveTask[], made: readonly LiveTask[]): void {
  expect(done.length).toBeGreaterThan(0);
  expect(made.length).toBeGreaterThan(0);
  const last = Math.max(...times(done, ({ Status }) => Status.Timestamp));
  expect(Math.min(...times(made, ({ CreatedAt }) => CreatedAt))).toBeGreaterThanOrEqual(last);
}

onSwarm('waves', () => {
  scenarios(
    KINDS,
    ({ kind }) => `bring a migration, as a ${kind}, before its API, each time`,
    async (stack, { kind, deploy }) => {
      const version = (tag: string): Service => ({
        api: api(stack, tag, { depends_on: after('migrate') }),
        migrate: migration(stack, tag, 0, deploy),
      });
      if (kind === 'job' && !knowsJobs(stack)) {
        expect(await stack.deploy(version('v1'))).toMatchObject({ outcome: 'invalid' });
        expect(await stack.services()).toEqual({});
        return;
      }
      expect(await stack.deploy(version('v1'))).toMatchObject({ outcome: 'deployed', reason: '' });
      const [migrated, served] = [await stack.tasks('migrate'), await stack.tasks('api')];
      expect(migrated.map(({ Status }) => Status.State)).toEqual(['complete']);
      expectOrder(migrated, served);

      const run = await stack.deploy(version('v2'));
      expect(run).toMatchObject({ outcome: 'deployed', reason: '' });
      const again = await fresh(stack, 'migrate', migrated);
      expect(again.map(({ Status }) => Status.State)).toEqual(['complete']);
      const running = await stack.running('api');
      expect(running).toHaveLength(2);
      expectOrder(again, await fresh(stack, 'api', served));
      expect(run.log).toContain('Deploy wave 2 of 2: api');
    },
  );

  scenario('give published ports back that have moved to other services', async (stack) => {
    const healthy = (name: string): Service => ({
      depends_on: { [name]: { condition: 'service_healthy' } },
    });
    // Nothing has to run for a port to be taken.
    const idle = (tag: string, published?: number, more: Service = {}): Service => ({
      image: stack.image('web', tag),
      deploy: { replicas: 0 },
      ...(published === undefined ? {} : { ports: [{ target: 80, published }] }),
      ...more,
    });
    const [one, other] = [34_567, 34_568];
    const first = await stack.deploy({ a: idle('v1', one), b: idle('v1', other), c: idle('v1') });
    expect(first.outcome).toBe('deployed');
    const specs = await stack.specs();
    const run = await stack.deploy({
      // To a service that is new, and to one that is restored after its former owner.
      a: idle('v2'),
      b: idle('v2'),
      c: idle('v2', other, healthy('b')),
      d: idle('v2', one, healthy('a')),
      e: { image: stack.image('crash'), ...healthy('d') },
    });
    expect(run).toMatchObject({ outcome: 'rolled-back', reason: 'crash-loop' });
    expect(await stack.specs()).toEqual(specs);
  });

  scenarios(
    KINDS,
    ({ kind }) => `leave the API untouched where a migration, as a ${kind}, fails`,
    async (stack, { kind, deploy }) => {
      const version = (tag: string, code: number): Service => ({
        api: api(stack, tag, { depends_on: after('migrate') }),
        migrate: migration(stack, tag, code, deploy),
      });
      const first = await stack.deploy(version('v1', 0));
      if (kind === 'job' && !knowsJobs(stack)) {
        expect(first).toMatchObject({ outcome: 'invalid', reason: 'compose-invalid' });
        return;
      }
      expect(first.outcome).toBe('deployed');
      const [specs, objects] = [await stack.specs(), await stack.objects()];
      const [tasks, service] = [await stack.tasks('api'), await stack.service('api')];
      const run = await stack.deploy(version('v2', 3));
      expect(run).toMatchObject({ outcome: 'rolled-back', reason: 'job-failed' });
      expect(run.outputs['services']).toContain('untouched');
      expect(run.log).toContain(`${stack.name}_api, deployed after that, was not touched`);
      expect(await stack.specs()).toEqual(specs);
      expect(await stack.objects()).toEqual(objects);
      // Not even written: its version would have moved.
      expect((await stack.service('api')).Version).toEqual(service.Version);
      const ids = (all: readonly LiveTask[]): readonly string[] => all.map(({ ID }) => ID).sort();
      expect(ids(await stack.tasks('api'))).toEqual(ids(tasks));
      expect(await stack.running('api')).toHaveLength(2);
    },
  );

  scenario('three of them: a database, a migration, an API', async (stack) => {
    const services = (tag: string): Service => ({
      api: api(stack, tag, {
        depends_on: {
          ...after('migrate'),
          db: {
            condition: 'service_healthy',
          },
        },
      }),
      migrate: {
        ...migration(stack, tag, 0, { restart_policy: { condition: 'none' } }),
        depends_on: { db: { condition: 'service_healthy' } },
      },
      // Healthy after 8 s.
      db: { image: stack.image('slow'), stop_grace_period: '1s' },
    });
    expect((await stack.deploy(services('v1'))).outcome).toBe('deployed');
    const [db, migrate, served] = [
      await stack.tasks('db'),
      await stack.tasks('migrate'),
      await stack.tasks('api'),
    ];
    expectOrder(db, migrate);
    expectOrder(migrate, served);
    // The database is as it was: it holds nothing up, and goes on running.
    expect((await stack.deploy(services('v2'))).outcome).toBe('deployed');
    expect((await stack.running('db')).map(({ ID }) => ID)).toEqual(db.map(({ ID }) => ID));
    expectOrder(await fresh(stack, 'migrate', migrate), await fresh(stack, 'api', served));
    // All as it is: nothing runs again.
    const all = async (): Promise<unknown> =>
      Promise.all(['db', 'migrate'].map(async (name) => (await fresh(stack, name)).length));
    const before = await all();
    expect((await stack.deploy(services('v2'))).outcome).toBe('unchanged');
    expect(await all()).toEqual(before);
  });

  scenario('of a new stack leave nothing where the last one fails', async (stack) => {
    const run = await stack.deploy({
      api: api(stack, 'v1', { image: stack.image('crash'), depends_on: after('migrate') }),
      migrate: migration(stack, '', 0, { restart_policy: { condition: 'none' } }),
    });
    expect(run).toMatchObject({ outcome: 'rolled-back', reason: 'crash-loop' });
    expect(await stack.services()).toEqual({});
    expect(await stack.objects()).toEqual([]);
  });
});
