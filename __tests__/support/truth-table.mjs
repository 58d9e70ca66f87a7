/**
 * The truth table: what may happen to a deploy on a real swarm, and what the verdict and the end state
 * must be. Data for `npm test` (ours), `npm run test:engines` (ours on every engine) and
 * `npm run truth-table` (side by side with `docker stack deploy --detach=false`).
 */
import assert from 'node:assert/strict';
import { until } from '../../testbed/lib/wait.mjs';
import { photograph, wantedTasks } from './play.mjs';
import { digestOf, quickUpdate } from './stack.mjs';

/**
 * @typedef {import('./stack.mjs').Stack} Stack
 * @typedef {import('./play.mjs').Photo} Photo
 * @typedef {import('./play.mjs').Plan} Plan
 * @typedef {import('./play.mjs').Scenario} Scenario
 * @typedef {import('./live.js').Run} Run
 * @typedef {Plan['check']} Check
 */

// What is deployed.

/** @param {Stack} stack @param {string} reference NAME:TAG */
const imageOf = (stack, reference) => {
  const [name = '', tag = ''] = reference.split(':');
  return stack.image(name, tag);
};

/**
 * A service; an update in one go unless told otherwise.
 * @param {Stack} stack
 * @param {string} image NAME:TAG
 * @param {object} [deploy]
 * @param {object} [more]
 */
const service = (stack, image, deploy = {}, more = {}) => ({
  image: imageOf(stack, image),
  ...more,
  deploy: { update_config: quickUpdate, ...deploy },
});

/**
 * The service `api` alone.
 * @param {string} image NAME:TAG
 * @param {object} [deploy]
 * @param {object} [more]
 * @returns {(stack: Stack) => Record<string, object>}
 */
const api = (image, deploy, more) => (stack) => ({ api: service(stack, image, deploy, more) });

/** Two replicas of version 1, which is what most scenarios begin with. */
const good = api('web:v1', { replicas: 2 });

/** @param {string} line of a shell @param {object} [more] */
const shell = (line, more = {}) => ({ command: ['/bin/busybox', 'sh', '-c', line], ...more });

const neverHealthy = { test: ['CMD', 'false'], interval: '1s', retries: 1000 };

// What the right end is.

/** @param {Awaited<ReturnType<typeof wantedTasks>>} tasks */
const states = (tasks) =>
  tasks
    .map(({ Slot, DesiredState, Status }) => `${Slot} ${Status.State} (${DesiredState})`)
    .join(', ');

/** @type {Check} */
const sameSpecs = async (stack, before) =>
  assert.deepEqual(await stack.specs(), before.specs, 'the specs are as before');

/** @type {Check} */
export const asBefore = async (stack, before) => {
  await sameSpecs(stack, before);
  assert.deepEqual(
    await stack.objectSpecs(),
    before.objects,
    'networks, configs and secrets are as before',
  );
  for (const [name, images] of Object.entries(before.images)) {
    const tasks = await wantedTasks(stack, name);
    assert.deepEqual(
      tasks.map(({ Spec }) => digestOf(Spec.ContainerSpec.Image)).sort(),
      images,
      `the tasks of ${name} are those of the former version: ${states(tasks)}`,
    );
    assert.equal(
      (await stack.running(name)).length,
      before.running[name]?.length,
      `as many tasks of ${name} run as before`,
    );
  }
};

/**
 * What runs: `{ api: 'web:v2 x3' }`. No other task is meant to run.
 * @param {Record<string, string>} wanted by service
 * @returns {Check}
 */
export const runs = (wanted) => async (stack) => {
  for (const [name, words] of Object.entries(wanted)) {
    const [image = '', count = ''] = words.split(' x');
    const digest = await stack.bed.digest(image);
    const { Spec } = await stack.service(name);
    assert.equal(digestOf(Spec.TaskTemplate.ContainerSpec.Image), digest, `${name} is ${image}`);
    const tasks = await wantedTasks(stack, name);
    assert.deepEqual(
      tasks.map((task) => [task.Status.State, digestOf(task.Spec.ContainerSpec.Image)]),
      Array.from({ length: Number(count) }, () => ['running', digest]),
      `tasks of ${name}`,
    );
  }
};

/** @param {readonly string[]} names @returns {Check} the very same tasks run as before */
const kept =
  (...names) =>
  async (stack, before) => {
    const now = await photograph(stack);
    for (const name of names)
      assert.deepEqual(now.running[name], before.running[name], `${name} was not restarted`);
  };

/** @param {readonly string[]} names @returns {Check} the stack has these services and no others */
const has =
  (...names) =>
  async (stack) =>
    assert.deepEqual(Object.keys(await stack.services()).sort(), [...names].sort());

/** @param {readonly Check[]} checks @returns {Check} */
const all =
  (...checks) =>
  async (stack, before) => {
    for (const check of checks) await check(stack, before);
  };

/** @param {readonly string[]} names @returns {Check} tasks on these nodes and no others */
const onNodes =
  (...names) =>
  async (stack) => {
    const tasks = await stack.running('api');
    const nodes = await Promise.all(tasks.map((task) => stack.nodeOf(task)));
    assert.deepEqual(nodes.map(({ name }) => name).sort(), names);
  };

/**
 * @param {Record<string, string>} states of the newest tasks, sorted: `{ migrate: 'complete' }`
 * @returns {Check}
 */
const ended = (states) => async (stack) => {
  for (const [name, words] of Object.entries(states)) {
    const tasks = await stack.tasks(name);
    assert.equal(
      tasks
        .map(({ Status }) => Status.State)
        .sort()
        .join(' '),
      words,
      name,
    );
  }
};

/** @param {number} count of completed tasks in the job's last run @returns {Check} */
const completed = (count) => async (stack) => {
  const { JobStatus } = await stack.service('job');
  const tasks = (await stack.tasks('job')).filter(
    (task) => task.JobIteration?.Index === JobStatus?.JobIteration.Index,
  );
  assert.deepEqual(
    tasks.map(({ Status }) => Status.State).filter((state) => state === 'complete').length,
    count,
  );
};

/** @param {string} name @param {number} replicas @returns {Check} */
const replicas = (name, replicas) => async (stack) =>
  assert.deepEqual((await stack.service(name)).Spec.Mode, { Replicated: { Replicas: replicas } });

/** @type {Check} */
const nothing = async (stack) => {
  assert.deepEqual(await stack.services(), {}, 'no service is left');
  assert.deepEqual(await stack.objects(), [], 'no network, config or secret is left');
};

// What a run must say besides its outcome.

/** @param {Run} run @returns {readonly {node: string, error: string}[]} */
const failuresOf = (run) => run.report.failures;

/** @param {number} count @returns {(run: Run) => void} */
const failed = (count) => (run) => assert.equal(failuresOf(run).length, count, 'failures');

/** @param {Run} run */
const namesTheNode = (run) => {
  assert.match(failuresOf(run)[0]?.node ?? '', /^(manager|worker)\d$/);
  assert.notEqual(failuresOf(run)[0]?.error ?? '', '');
};

/** @param {Record<string, string>} outcomes by service @returns {(run: Run) => void} */
const outcomes = (outcomes) => (run) =>
  assert.deepEqual(
    Object.fromEntries(run.services.map(({ name, outcome }) => [name.split('_')[1], outcome])),
    outcomes,
  );

/** @param {Record<string, string>} changes by service @returns {(run: Run) => void} */
const changes = (changes) => (run) =>
  assert.deepEqual(
    Object.fromEntries(run.services.map(({ name, change }) => [name.split('_')[1], change])),
    changes,
  );

// What somebody else does meanwhile, and before.

/** @param {readonly string[]} args @returns {(stack: Stack) => Promise<string>} */
const byHand =
  (...args) =>
  (stack) =>
    stack.manager.docker('service', ...args, `${stack.name}_api`);

/** @param {Stack} stack @param {string} node */
const label = (stack, node) =>
  stack.manager.docker('node', 'update', '--label-add', `${stack.name}=yes`, node);

/** @param {Stack} stack */
const onLabelled = (stack) => ({
  placement: { constraints: [`node.labels.${stack.name} == yes`] },
});

/** @param {string} availability @param {string} node */
const availability = (availability, node) => async (/** @type {Stack} */ stack) => {
  await stack.manager.docker('node', 'update', '--availability', availability, node);
};

/** @param {Stack} stack @param {string} node */
async function lose(stack, node) {
  await stack.bed.node(node).stopEngine('SIGKILL');
  const isDown = async () => {
    /** @type {{ Description: { Hostname: string }, Status: { State: string } }[]} */
    const nodes = await stack.manager.api('GET', '/nodes');
    return nodes.some(
      ({ Description, Status }) => Description.Hostname === node && Status.State === 'down',
    );
  };
  await until(`the swarm knows that ${node} is down`, isDown, { timeoutMs: 180_000 });
}

/** @param {Stack} stack @param {string} state */
const updateIs = (stack, state) =>
  until(
    `the update is ${state}`,
    async () => (await stack.service('api')).UpdateStatus?.State === state,
    { timeoutMs: 180_000 },
  );

/** Services without tasks, which only take their time to be written. @param {Stack} stack @param {string} image */
const twelve = (stack, image) =>
  Object.fromEntries(
    Array.from({ length: 12 }, (_, index) => [
      `s${index + 1}`,
      service(stack, image, { replicas: 0 }),
    ]),
  );

/** Gives the first service that the deploy writes another image. @param {string} image */
const hijack = (image) => async (/** @type {Stack} */ stack) => {
  const former = await stack.services();
  const written = async () =>
    Object.values(await stack.services()).find(
      ({ ID, Version }) =>
        Version.Index !== Object.values(former).find((each) => each.ID === ID)?.Version.Index,
    );
  const { ID, Version, Spec } = await until('a service was written', written, {
    timeoutMs: 180_000,
    intervalMs: 1,
  });
  const { TaskTemplate } = Spec;
  const ContainerSpec = { ...TaskTemplate.ContainerSpec, Image: imageOf(stack, image) };
  await stack.manager.api('POST', `/services/${ID}/update?version=${Version.Index}`, {
    ...{ ...Spec, TaskTemplate: { ...TaskTemplate, ContainerSpec } },
  });
};

/** A volume on one node remembers how often a task has started. @param {number} bad starts */
const badStarts = (bad) =>
  shell(
    `echo >>/data/starts; [ "$$(busybox wc -l </data/starts)" -gt ${bad} ] || exit 1; ` +
      'trap "exit 0" TERM; busybox sleep 100000 & wait',
    { volumes: ['data:/data'] },
  );
const onManager = { placement: { constraints: ['node.role == manager'] } };

/** On the manager, and start-first. @param {string} image */
const hostPort = (image) =>
  api(image, onManager, { ports: [{ target: 80, published: 18080, mode: 'host' }] });

/** @param {string} image */
const onePerNode = (image) => api(image, { replicas: 3, placement: { max_replicas_per_node: 1 } });

/** @param {Stack} stack */
const failing = (stack) =>
  until(
    'a task has failed',
    async () => (await stack.tasks('api')).some(({ Status }) => Status.State === 'failed'),
    { timeoutMs: 180_000 },
  );

/** @param {Stack} stack */
const running = (stack) =>
  until(
    'a task runs',
    async () => (await stack.tasks('api')).some(({ Status }) => Status.State === 'running'),
    { timeoutMs: 180_000 },
  );

/**
 * An update by hand that has done one of two tasks, and waits.
 * @param {string} delay
 */
const halfWay = (delay) => async (/** @type {Stack} */ stack) => {
  const flags = ['--detach', '--update-parallelism', '1', '--update-delay', delay];
  await byHand('update', ...flags, '--env-add', 'HALF=way')(stack);
  const isHalfWay = async () => {
    const tasks = await stack.running('api');
    return tasks.filter(({ Spec }) => Spec.ContainerSpec.Env?.includes('HALF=way')).length === 1;
  };
  await until('the update is half-way', isHalfWay, { timeoutMs: 180_000 });
};

/** @param {string} image */
const withRollbackConfig = (image) =>
  api(image, {
    replicas: 3,
    rollback_config: { parallelism: 1, order: 'stop-first', monitor: '1s' },
  });

/**
 * The stacks in which Swarm has been rolling back. What UpdateStatus says in the end is no proof: an
 * updater that finds nothing left to do may write `completed` over `rollback_completed` (swarmkit's
 * completeUpdate; seen on 20.10).
 * @type {WeakSet<Stack>}
 */
const rolledBack = new WeakSet();

/** @param {Stack} stack */
async function watchForRollback(stack) {
  const isRollingBack = async () =>
    (await stack.service('api')).UpdateStatus?.State.startsWith('rollback_');
  await until('Swarm rolls back', isRollingBack, { timeoutMs: 180_000 }).then(
    () => rolledBack.add(stack),
    () => undefined, // for `check` to tell
  );
}

/** @param {string} image */
const withConfig = (image) => api(image, {}, { configs: ['app'] });

/** @param {string} release */
const configLabelled = (release) => (/** @type {Stack} */ stack) => ({
  more: {
    networks: { default: stack.network },
    configs: { app: { file: './app.conf', labels: { release } } },
  },
  files: { 'app.conf': 'listen = 80\n' },
});

/** Takes 4 s to stop. @param {string} marker */
const stubborn = (marker) =>
  api(
    'stubborn:v1',
    { replicas: 2, update_config: { parallelism: 0, order: 'stop-first', monitor: '1s' } },
    { stop_grace_period: '4s', environment: { MARKER: marker } },
  );

/** On two of three nodes, start-first; takes 7 s to stop. @param {string} MARKER */
const slowHostPort = (MARKER) =>
  api(
    'stubborn:v1',
    { replicas: 2, update_config: { parallelism: 1, order: 'start-first', monitor: '1s' } },
    {
      stop_grace_period: '7s',
      environment: { MARKER },
      ports: [{ target: 80, published: 18081, mode: 'host' }],
    },
  );

// The client of 20.10 knows no jobs: they are refused before anything is written.
const noJobs = /** @type {Record<string, Partial<Plan>>} */ ({
  '20.10': {
    before: () => [],
    outcome: 'invalid',
    reason: 'compose-invalid',
    cause: undefined,
    end: 'refused by this client; nothing is started',
    check: nothing,
    says: undefined,
  },
});

/** @param {string} image @param {string} mode @param {string} [marker] @param {object} [deploy] */
const job =
  (image, mode, marker = '', deploy = {}) =>
  (/** @type {Stack} */ stack) => ({
    job: {
      image: imageOf(stack, image),
      environment: { MARKER: marker },
      deploy: { mode, restart_policy: { condition: 'none' }, ...deploy },
    },
  });

const withVolume = () => ({ more: { volumes: { data: {} } } });

/** Good once in the life of its volume. @param {Stack} stack */
const jobOnce = (stack) => ({
  job: {
    image: imageOf(stack, 'web:v1'),
    entrypoint: ['/bin/busybox', 'sh', '-c', '[ ! -e /data/done ] && touch /data/done || exit 3'],
    volumes: ['data:/data'],
    deploy: { mode: 'replicated-job', restart_policy: { condition: 'none' }, ...onManager },
  },
});

/** @param {string} image @param {string} condition @param {string} [marker] */
const oneShot =
  (image, condition, marker = '') =>
  (/** @type {Stack} */ stack) => ({
    migrate: service(
      stack,
      image,
      { restart_policy: { condition, delay: '1s' } },
      { environment: { MARKER: marker } },
    ),
  });

/** Twice in all. */
const givesUp = { condition: 'on-failure', max_attempts: 1, delay: '1s' };

/** @param {string} line what the job does */
const workFor = (line) => (/** @type {Stack} */ stack) => ({
  job: {
    image: imageOf(stack, 'nohealth:v1'),
    ...shell(line),
    deploy: { mode: 'replicated-job', restart_policy: { condition: 'none' } },
  },
});

/** @param {string} marker @param {number} parallelism of its update; one by one with long pauses */
const runOnce = (marker, parallelism) => (/** @type {Stack} */ stack) => ({
  migrate: service(
    stack,
    'job-ok:v1',
    {
      replicas: 2,
      restart_policy: { condition: 'none' },
      update_config: { parallelism, delay: parallelism === 0 ? '0s' : '8s', monitor: '2s' },
    },
    { environment: { MARKER: marker } },
  ),
});

/** @param {string} [color] */
const crashingLater = (color = '') =>
  api('crashlater:v1', { labels: { color }, restart_policy: { delay: '1s' } });

const BAD = [
  { bad: 'crash:v1', what: 'exits at once', reason: 'crash-loop' },
  { bad: 'unhealthy:v1', what: 'is never healthy', reason: 'unhealthy' },
  { bad: 'nosuchimage:v9', what: 'is of an image that is not there', reason: 'image-not-found' },
];
const ACTIONS = ['pause', 'continue', 'rollback'];

/** Swarm may stop, or go back, before the failure itself is there to be read. */
const swarms = (/** @type {string} */ action) => [
  ...(action === 'pause' ? ['update-paused'] : []),
  ...(action === 'rollback' ? ['rolled-back-by-swarm'] : []),
];

/**
 * Faults of which the engine says precisely what they are, on a first deploy and on an update.
 * @type {readonly {id: string, what: string, reason: string | readonly string[], image: string, deploy?: object,
 *   more?: object, inputs?: Record<string, string>}[]}
 */
const FAULTS = [
  {
    id: 'no-command',
    what: 'its command is not there',
    image: 'nocmd:v1',
    reason: 'command-not-found',
  },
  {
    id: 'no-program',
    what: 'its command is no program',
    image: 'noexec:v1',
    // A newer runc starts the container before it fails: the engine then knows of exit code 1 alone.
    reason: ['exec-format', 'crash-loop'],
  },
  {
    id: 'out-of-memory',
    what: 'it takes more memory than it may',
    image: 'oom:v1',
    deploy: { resources: { limits: { memory: '64M' } } },
    reason: 'out-of-memory',
    inputs: { 'stable-for': '10s' },
  },
  {
    id: 'bad-mount',
    what: 'a bind mount has no source',
    image: 'web:v2',
    more: { volumes: [{ type: 'bind', source: '/there/is/none', target: '/data' }] },
    reason: 'mount-invalid',
  },
  {
    id: 'port-in-use',
    what: "a host-mode port is the node's own",
    image: 'web:v2',
    more: { ports: [{ target: 80, published: 7946, mode: 'host' }] },
    reason: 'port-in-use',
  },
  {
    id: 'no-user',
    what: 'its user is not there, so that its container cannot be started',
    image: 'web:v2',
    more: { user: 'nosuch' },
    reason: 'task-rejected',
  },
  {
    id: 'no-node',
    what: 'no node meets the constraint',
    image: 'web:v2',
    deploy: { placement: { constraints: ['node.labels.disk == none'] } },
    reason: 'unschedulable',
    inputs: { 'progress-timeout': '4s' },
  },
  {
    id: 'no-room',
    what: 'no node has the memory it reserves',
    image: 'web:v2',
    deploy: { resources: { reservations: { memory: '4000G' } } },
    reason: 'unschedulable',
    inputs: { 'progress-timeout': '4s' },
  },
];

/** @type {readonly Scenario[]} */
const SUCCESSES = [
  {
    id: 'first-replicated',
    title: 'a first deploy of a replicated service',
    deploy: good,
    outcome: 'deployed',
    reason: '',
    end: '2 tasks run version 1',
    check: all(has('api'), runs({ api: 'web:v1 x2' })),
  },
  ...['start-first', 'stop-first'].map(
    (order) =>
      /** @type {Scenario} */ ({
        id: `update-${order}`,
        title: `an update one by one, ${order}`,
        overlay: order === 'start-first',
        before: api('web:v1', { replicas: 3 }),
        deploy: api('web:v2', {
          replicas: 3,
          update_config: { parallelism: 1, order, delay: '0s', monitor: '1s' },
        }),
        outcome: 'deployed',
        reason: '',
        end: '3 tasks run version 2, each answers so',
        check: all(runs({ api: 'web:v2 x3' }), async (stack, before) => {
          const tasks = await stack.running('api');
          assert.deepEqual(
            tasks.filter(({ ID }) => before.running['api']?.includes(ID)),
            [],
          );
          for (const task of tasks)
            assert.equal(
              await stack.inside(task, 'wget', '-q', '-O', '-', 'http://127.0.0.1/'),
              'v2',
            );
          assert.equal((await stack.service('api')).UpdateStatus?.State, 'completed');
        }),
        says: async (run, stack) => {
          const [v1, v2] = [await stack.bed.digest('web:v1'), await stack.bed.digest('web:v2')];
          assert.deepEqual(run.changed, [`${stack.name}_api`]);
          const [{ change, image, digest, previousImage, replicas, outcome } = {}] = run.services;
          assert.deepEqual(
            { change, image, digest, previousImage, replicas, outcome },
            {
              change: 'updated',
              image: stack.image('web', 'v2'),
              digest: v2,
              previousImage: stack.image('web', 'v1'),
              replicas: { running: 3, desired: 3 },
              outcome: 'healthy',
            },
          );
          for (const text of [v1.slice(7, 19), v2.slice(7, 19)])
            assert.ok(run.summary.includes(text));
        },
      }),
  ),
  {
    id: 'update-all-at-once',
    title: 'an update of all replicas at once, stop-first (parallelism 0)',
    before: good,
    deploy: api('web:v2', { replicas: 2, update_config: { parallelism: 0, monitor: '1s' } }),
    outcome: 'deployed',
    reason: '',
    end: '2 tasks run version 2',
    check: runs({ api: 'web:v2 x2' }),
  },
  {
    id: 'update-host-port',
    title: 'start-first with a host-mode port and a free node; the former tasks take 7 s to stop',
    before: slowHostPort('1'),
    deploy: slowHostPort('2'),
    outcome: 'deployed',
    reason: '',
    end: '2 tasks of the new spec',
    check: all(runs({ api: 'stubborn:v1 x2' }), async (stack) => {
      for (const { Spec } of await stack.running('api'))
        assert.deepEqual(Spec.ContainerSpec.Env, ['MARKER=2']);
    }),
  },
  {
    id: 'update-with-delay',
    title: 'an update delay that is longer than the progress-timeout',
    before: good,
    deploy: api('web:v2', {
      replicas: 2,
      update_config: { parallelism: 1, order: 'start-first', delay: '7s', monitor: '1s' },
    }),
    inputs: { 'progress-timeout': '6s' },
    outcome: 'deployed',
    reason: '',
    end: '2 tasks run version 2',
    check: runs({ api: 'web:v2 x2' }),
  },
  {
    id: 'unchanged',
    title: 'the same again',
    before: (stack) => ({
      api: service(stack, 'web:v1', { replicas: 2 }),
      cache: { image: stack.image('nohealth'), deploy: { mode: 'global' } },
      never: service(stack, 'web:v1', { replicas: 0 }),
    }),
    deploy: (stack) => ({
      api: service(stack, 'web:v1', { replicas: 2 }),
      cache: { image: stack.image('nohealth'), deploy: { mode: 'global' } },
      never: service(stack, 'web:v1', { replicas: 0 }),
    }),
    outcome: 'unchanged',
    reason: '',
    end: 'the same tasks as before, none restarted',
    check: all(asBefore, kept('api', 'cache', 'never'), async (_, before) =>
      assert.deepEqual(
        Object.values(before.running)
          .map(({ length }) => length)
          .sort(),
        [0, 2, 3],
      ),
    ),
    says: (run) => {
      assert.deepEqual(run.changed, []);
      changes({ api: 'unchanged', cache: 'unchanged', never: 'unchanged' })(run);
    },
  },
  {
    id: 'scale-up',
    title: 'replicas from 1 to 3, nothing else',
    before: api('nohealth:v1', { replicas: 1 }),
    deploy: api('nohealth:v1', { replicas: 3 }),
    outcome: 'deployed',
    reason: '',
    end: '3 tasks, the first one not restarted',
    check: all(runs({ api: 'nohealth:v1 x3' }), async (stack, before) => {
      const { running } = await photograph(stack);
      assert.ok(before.running['api']?.every((id) => running['api']?.includes(id)));
    }),
    says: (run) => assert.deepEqual(run.services[0]?.replicas, { running: 3, desired: 3 }),
  },
  {
    id: 'scale-down',
    title: 'replicas from 3 to 2, nothing else',
    before: api('nohealth:v1', { replicas: 3 }),
    deploy: api('nohealth:v1', { replicas: 2 }),
    outcome: 'deployed',
    reason: '',
    end: '2 of the 3 tasks go on',
    check: all(runs({ api: 'nohealth:v1 x2' }), async (stack, before) => {
      const { running } = await photograph(stack);
      assert.ok(running['api']?.every((id) => before.running['api']?.includes(id)));
    }),
    says: (run) => assert.deepEqual(run.services[0]?.replicas, { running: 2, desired: 2 }),
  },
  {
    id: 'scale-to-zero',
    title: 'replicas from 2 to 0',
    before: api('nohealth:v1', { replicas: 2 }),
    deploy: api('nohealth:v1', { replicas: 0 }),
    outcome: 'deployed',
    reason: '',
    end: 'no task is meant to run',
    check: all(runs({ api: 'nohealth:v1 x0' }), replicas('api', 0)),
  },
  {
    id: 'scaled-by-hand',
    title: 'somebody has scaled the service by hand since',
    before: api('nohealth:v1', { replicas: 2 }),
    arrange: async (stack) => {
      await stack.manager.docker('service', 'scale', `${stack.name}_api=3`);
    },
    deploy: api('nohealth:v1', { replicas: 2 }),
    outcome: 'deployed',
    reason: '',
    end: 'the 2 replicas of the file',
    check: all(runs({ api: 'nohealth:v1 x2' }), replicas('api', 2)),
  },
  {
    id: 'label-only',
    title: 'only a label of the service changes',
    before: api('web:v1', { replicas: 2, labels: { 'org.example.version': '1' } }),
    deploy: api('web:v1', { replicas: 2, labels: { 'org.example.version': '2' } }),
    outcome: 'deployed',
    reason: '',
    end: 'the new label, no task restarted',
    check: all(kept('api'), async (stack) =>
      assert.equal((await stack.service('api')).Spec.Labels['org.example.version'], '2'),
    ),
    says: (run, stack) => assert.deepEqual(run.changed, [`${stack.name}_api`]),
  },
  {
    id: 'slow-health',
    title: 'a first deploy that takes 8 s to be healthy',
    deploy: api('slow:v1', { replicas: 2 }),
    outcome: 'deployed',
    reason: '',
    end: '2 healthy tasks',
    check: all(runs({ api: 'slow:v1 x2' }), async (stack) => {
      for (const task of await stack.running('api'))
        assert.equal(await stack.inside(task, 'sh', '-c', 'test -e /ready && echo ok'), 'ok\n');
    }),
  },
  {
    id: 'slow-health-update',
    title: 'an update that takes 8 s to be healthy, start-first',
    before: good,
    deploy: api('slow:v2', { replicas: 2 }),
    outcome: 'deployed',
    reason: '',
    end: '2 healthy tasks of the new version',
    check: runs({ api: 'slow:v2 x2' }),
  },
  {
    id: 'bad-starts',
    title: 'a process that ends twice before it stays up, max-failures 3',
    deploy: api('nohealth:v1', { ...onManager, restart_policy: { delay: '1s' } }, badStarts(2)),
    more: withVolume,
    inputs: { 'stable-for': '4s' },
    outcome: 'deployed',
    reason: '',
    end: 'it runs',
    check: runs({ api: 'nohealth:v1 x1' }),
    says: failed(2),
  },
  {
    id: 'after-a-pause',
    title: 'the fix of an update that Swarm has paused',
    before: good,
    arrange: async (stack) => {
      await byHand('update', '--detach', '--args', '/bin/busybox false')(stack);
      await updateIs(stack, 'paused');
    },
    deploy: api('web:v2', { replicas: 2 }),
    outcome: 'deployed',
    reason: '',
    end: '2 tasks run version 2',
    check: runs({ api: 'web:v2 x2' }),
  },
  {
    id: 'during-an-update',
    title: 'an earlier update is still half-way',
    before: good,
    arrange: halfWay('10m'),
    deploy: api('web:v2', { replicas: 2 }),
    outcome: 'deployed',
    reason: '',
    end: '2 tasks run version 2',
    check: runs({ api: 'web:v2 x2' }),
  },
  {
    id: 'slow-stop',
    title: 'an update, stop-first, of a process that ignores SIGTERM',
    before: stubborn('1'),
    deploy: stubborn('2'),
    outcome: 'deployed',
    reason: '',
    end: '2 new tasks, the former ones are gone',
    check: all(runs({ api: 'stubborn:v1 x2' }), async (stack, before) => {
      for (const { ID, Status } of await stack.tasks('api'))
        assert.equal(Status.State === 'running', !before.running['api']?.includes(ID));
    }),
  },
  ...[{ mode: 'replicated', replicas: 2 }, { mode: 'global' }].map(
    (deploy) =>
      /** @type {Scenario} */ ({
        id: `fix-${deploy.mode}`,
        title: `the fix of a ${deploy.mode} service that exits at once, again and again`,
        arrange: async (stack) => {
          const broken = api('crash:v1', { ...deploy, restart_policy: { delay: '1s' } });
          await stack.dockerDeploy({ services: broken(stack) });
          await failing(stack);
        },
        deploy: api('web:v2', deploy),
        outcome: 'deployed',
        reason: '',
        end: 'as many tasks as there should be, and no more',
        check: runs({ api: `web:v2 x${deploy.replicas ?? 3}` }),
      }),
  ),
  {
    id: 'several-at-once',
    title: 'created, updated, unchanged and pruned in one deploy',
    before: (stack) => ({
      front: service(stack, 'web:v1'),
      still: service(stack, 'web:v1'),
      old: service(stack, 'nohealth:v1'),
    }),
    deploy: (stack) => ({
      front: service(stack, 'web:v2'),
      still: service(stack, 'web:v1'),
      fresh: service(stack, 'web:v3'),
    }),
    inputs: { prune: true },
    outcome: 'deployed',
    reason: '',
    end: 'each as the file says, the unchanged one not restarted',
    check: all(
      has('front', 'still', 'fresh'),
      runs({ front: 'web:v2 x1', still: 'web:v1 x1', fresh: 'web:v3 x1' }),
      kept('still'),
    ),
    says: changes({ front: 'updated', still: 'unchanged', fresh: 'created', old: 'removed' }),
  },
  {
    id: 'prune-only',
    title: 'a service is no longer in the file, with prune',
    before: (stack) => ({ ...good(stack), old: service(stack, 'nohealth:v1') }),
    deploy: good,
    inputs: { prune: true },
    outcome: 'deployed',
    reason: '',
    end: 'it is gone, the other not restarted',
    check: all(has('api'), kept('api')),
    says: (run, stack) => {
      assert.deepEqual(run.changed, [`${stack.name}_old`]);
      outcomes({ api: 'healthy', old: 'removed' })(run);
    },
  },
  {
    id: 'no-prune',
    title: 'a service is no longer in the file, without prune',
    before: (stack) => ({ ...good(stack), old: service(stack, 'nohealth:v1') }),
    deploy: good,
    outcome: 'unchanged',
    reason: '',
    end: 'both run on',
    check: all(has('api', 'old'), kept('api', 'old')),
  },
  {
    id: 'zero-of-a-missing-image',
    title: 'replicas: 0 of an image that is not there',
    deploy: api('nosuchimage:v9', { replicas: 0 }),
    outcome: 'deployed',
    reason: '',
    end: 'the service, without tasks',
    check: all(has('api'), replicas('api', 0)),
  },
];

/** @type {readonly Scenario[]} */
const GLOBAL = [
  {
    id: 'global-first',
    title: 'a first deploy of a global service',
    deploy: api('web:v1', { mode: 'global' }),
    outcome: 'deployed',
    reason: '',
    end: 'a task on each node',
    check: all(runs({ api: 'web:v1 x3' }), onNodes('manager1', 'worker1', 'worker2')),
    says: (run) => assert.deepEqual(run.services[0]?.replicas, { running: 3, desired: 3 }),
  },
  {
    id: 'global-update',
    title: 'an update of a global service',
    before: api('web:v1', { mode: 'global' }),
    deploy: api('web:v2', { mode: 'global' }),
    outcome: 'deployed',
    reason: '',
    end: 'version 2 on each node',
    check: all(runs({ api: 'web:v2 x3' }), onNodes('manager1', 'worker1', 'worker2')),
  },
  {
    id: 'global-constraint',
    title: 'a global service with a constraint that one node meets',
    arrange: async (stack) => void (await label(stack, 'worker1')),
    deploy: (stack) => api('web:v1', { mode: 'global', ...onLabelled(stack) })(stack),
    outcome: 'deployed',
    reason: '',
    end: 'a task on that node',
    check: all(runs({ api: 'web:v1 x1' }), onNodes('worker1')),
  },
  {
    id: 'global-nowhere',
    title: 'a global service with a constraint that no node meets',
    deploy: (stack) => api('web:v1', { mode: 'global', ...onLabelled(stack) })(stack),
    outcome: 'deployed',
    reason: '',
    end: 'the service, without tasks',
    check: all(has('api'), runs({ api: 'web:v1 x0' })),
  },
  {
    id: 'global-node-added',
    title: 'a second node meets the constraint in mid-rollout',
    arrange: async (stack) => void (await label(stack, 'worker1')),
    deploy: (stack) => api('slow:v1', { mode: 'global', ...onLabelled(stack) })(stack),
    disturb: (stack) => label(stack, 'worker2'),
    outcome: 'deployed',
    reason: '',
    end: 'a task on both',
    check: all(runs({ api: 'slow:v1 x2' }), onNodes('worker1', 'worker2')),
  },
  {
    id: 'global-node-removed',
    title: 'a node no longer meets the constraint in mid-rollout',
    arrange: async (stack) => {
      for (const node of ['worker1', 'worker2']) await label(stack, node);
    },
    deploy: (stack) => api('slow:v1', { mode: 'global', ...onLabelled(stack) })(stack),
    disturb: (stack) => stack.manager.docker('node', 'update', '--label-rm', stack.name, 'worker2'),
    outcome: 'deployed',
    reason: '',
    end: 'a task on the other',
    check: all(runs({ api: 'slow:v1 x1' }), onNodes('worker1')),
  },
  {
    id: 'evicted',
    title:
      'the node of two replicas no longer meets the constraint in mid-rollout, another one does',
    arrange: async (stack) => void (await label(stack, 'worker1')),
    deploy: (stack) => api('slow:v1', { replicas: 2, ...onLabelled(stack) })(stack),
    disturb: async (stack) => {
      await until('both are there', async () => (await stack.tasks('api')).length === 2);
      await label(stack, 'worker2');
      await stack.manager.docker('node', 'update', '--label-rm', stack.name, 'worker1');
    },
    inputs: { 'max-failures': '0' },
    outcome: 'deployed',
    reason: '',
    end: 'both on the other node',
    check: all(runs({ api: 'slow:v1 x2' }), onNodes('worker2', 'worker2')),
    says: failed(0),
  },
  {
    id: 'global-crash',
    title: 'an update of a global service exits at once',
    before: api('web:v1', { mode: 'global' }),
    deploy: api('crash:v1', { mode: 'global', restart_policy: { delay: '1s' } }),
    outcome: 'rolled-back',
    reason: ['crash-loop', 'update-paused'],
    cause: 'crash-loop',
    end: 'version 1 on each node',
    check: all(asBefore, runs({ api: 'web:v1 x3' })),
  },
  {
    id: 'global-drained',
    title: 'a global service, one node is drained',
    alone: true,
    arrange: availability('drain', 'worker2'),
    deploy: api('web:v1', { mode: 'global' }),
    outcome: 'deployed',
    reason: '',
    end: 'a task on the two others',
    check: all(runs({ api: 'web:v1 x2' }), onNodes('manager1', 'worker1')),
  },
  {
    id: 'global-paused',
    title: 'a global service, one node is paused',
    alone: true,
    arrange: availability('pause', 'worker2'),
    deploy: api('web:v1', { mode: 'global' }),
    outcome: 'deployed',
    reason: '',
    end: 'a task on the two others',
    check: onNodes('manager1', 'worker1'),
  },
  {
    id: 'global-paused-update',
    title: 'an update of a global service, one node is paused: Swarm leaves its task alone',
    alone: true,
    before: api('web:v1', { mode: 'global' }),
    arrange: availability('pause', 'worker2'),
    deploy: api('web:v2', { mode: 'global' }),
    outcome: 'rolled-back',
    reason: 'unschedulable',
    end: 'version 1 on each node',
    check: all(asBefore, runs({ api: 'web:v1 x3' })),
    says: (run) => assert.match(run.log, /::error.*worker2/),
  },
  {
    id: 'global-drained-meanwhile',
    title: 'a node is drained while a global service is updated',
    alone: true,
    before: api('web:v1', { mode: 'global' }),
    deploy: api('slow:v2', { mode: 'global' }),
    disturb: availability('drain', 'worker2'),
    outcome: 'deployed',
    reason: '',
    end: 'the new version on the two others',
    check: all(runs({ api: 'slow:v2 x2' }), onNodes('manager1', 'worker1')),
  },
  {
    id: 'global-down',
    title: 'an update of a global service, one node is down',
    alone: true,
    before: api('web:v1', { mode: 'global' }),
    arrange: (stack) => lose(stack, 'worker2'),
    deploy: api('web:v2', { mode: 'global' }),
    outcome: 'deployed',
    reason: '',
    end: 'version 2 on the two others',
    check: async (stack) => {
      const digest = await stack.bed.digest('web:v2');
      const tasks = (await wantedTasks(stack, 'api')).filter(
        ({ Spec }) => digestOf(Spec.ContainerSpec.Image) === digest,
      );
      const nodes = await Promise.all(
        tasks.filter(({ Status }) => Status.State === 'running').map((task) => stack.nodeOf(task)),
      );
      assert.deepEqual(nodes.map(({ name }) => name).sort(), ['manager1', 'worker1']);
    },
  },
  {
    id: 'node-lost',
    title: 'a node is lost when the new tasks run already, within stable-for',
    alone: true,
    deploy: api('web:v1', { replicas: 3 }),
    disturb: async (stack) => {
      await until('all run', async () => (await stack.running('api')).length === 3, {
        timeoutMs: 180_000,
      });
      await lose(stack, 'worker2');
    },
    inputs: { 'stable-for': '40s' },
    outcome: 'deployed',
    reason: '',
    end: '3 tasks on the two others',
    check: all(runs({ api: 'web:v1 x3' }), async (stack) => {
      const tasks = await stack.running('api');
      const nodes = await Promise.all(tasks.map((task) => stack.nodeOf(task)));
      assert.ok(!nodes.some(({ name }) => name === 'worker2'));
    }),
  },
  {
    id: 'node-lost-updating',
    title: 'a node is lost while it starts a new task, and Swarm waits for that task for ever',
    alone: true,
    before: api('web:v1', { replicas: 3 }),
    deploy: api('slow:v2', { replicas: 3 }),
    disturb: (stack) => lose(stack, 'worker2'),
    outcome: 'deployed',
    reason: '',
    end: '3 tasks of version 2 on the two others',
    check: runs({ api: 'slow:v2 x3' }),
  },
];

/** @type {readonly Scenario[]} */
const JOBS = [
  {
    id: 'one-shot',
    title: 'a one-shot service (restart_policy none) exits 0',
    deploy: oneShot('job-ok:v1', 'none'),
    outcome: 'deployed',
    reason: '',
    end: 'one completed task',
    check: ended({ migrate: 'complete' }),
  },
  {
    id: 'one-shot-healthcheck',
    title:
      'two one-shot services of an image with a healthcheck exit 0: one at once, one has turned it off',
    deploy: (stack) => {
      const once = { ...onManager, restart_policy: { condition: 'none' } };
      const off = shell('sleep 3', { healthcheck: { disable: true } });
      return {
        api: service(stack, 'web:v1', onManager),
        quick: service(stack, 'web:v1', once, shell('exit 0')),
        long: service(stack, 'web:v1', once, off),
      };
    },
    // It is to end while the stack is being watched, later than the healthcheck could have failed it.
    inputs: { 'stable-for': '6s' },
    outcome: 'deployed',
    reason: '',
    end: 'a completed task of each',
    check: all(runs({ api: 'web:v1 x1' }), ended({ quick: 'complete', long: 'complete' })),
  },
  {
    id: 'one-shot-again',
    title: 'a one-shot service runs again: Swarm pauses its update although it exits 0',
    before: oneShot('job-ok:v1', 'none', '1'),
    deploy: oneShot('job-ok:v1', 'none', '2'),
    outcome: 'deployed',
    reason: '',
    end: 'a second completed task',
    check: all(ended({ migrate: 'complete complete' }), async (stack) => {
      const { Spec } = await stack.service('migrate');
      assert.deepEqual(Spec.TaskTemplate.ContainerSpec.Env, ['MARKER=2']);
    }),
  },
  {
    id: 'one-shot-fails',
    title: 'a one-shot service (restart_policy none) exits 3',
    deploy: oneShot('job-fail:v1', 'none'),
    outcome: 'rolled-back',
    reason: 'job-failed',
    end: 'nothing is left',
    check: nothing,
    says: (run) => assert.match(run.summary, /exit code 3/),
  },
  {
    id: 'one-shot-update-fails',
    title: 'a one-shot service that was good exits 3',
    before: oneShot('job-ok:v1', 'none'),
    deploy: oneShot('job-fail:v1', 'none'),
    outcome: 'rolled-back',
    reason: 'job-failed',
    end: 'the former spec',
    check: asBefore,
  },
  {
    id: 'on-failure',
    title: 'a service with restart_policy on-failure exits 0',
    deploy: oneShot('job-ok:v1', 'on-failure'),
    outcome: 'deployed',
    reason: '',
    end: 'one completed task',
    check: ended({ migrate: 'complete' }),
  },
  {
    id: 'on-failure-fails',
    title: 'a service with restart_policy on-failure exits 3',
    deploy: oneShot('job-fail:v1', 'on-failure'),
    outcome: 'rolled-back',
    reason: ['crash-loop', 'job-failed'],
    end: 'nothing is left',
    check: nothing,
    says: failed(3),
  },
  {
    id: 'job',
    title: 'a replicated job of 3 completions',
    deploy: job('job-ok:v1', 'replicated-job', '', { replicas: 3 }),
    outcome: 'deployed',
    reason: '',
    end: '3 completed tasks',
    check: completed(3),
    except: noJobs,
  },
  {
    id: 'job-again',
    title: 'the same replicated job again',
    before: job('job-ok:v1', 'replicated-job', '', { replicas: 2 }),
    deploy: job('job-ok:v1', 'replicated-job', '', { replicas: 2 }),
    outcome: 'deployed',
    reason: '',
    end: '2 completed tasks of the second run',
    check: completed(2),
    except: noJobs,
  },
  {
    id: 'job-fails',
    title: 'a replicated job exits 3',
    deploy: job('job-fail:v1', 'replicated-job'),
    outcome: 'rolled-back',
    reason: 'job-failed',
    end: 'nothing is left',
    check: nothing,
    except: noJobs,
  },
  {
    id: 'job-again-fails',
    title: 'the same replicated job again, which exits 3 this time',
    before: jobOnce,
    moreBefore: withVolume,
    deploy: jobOnce,
    more: withVolume,
    outcome: 'failed',
    reason: 'job-failed',
    end: 'the spec as it was; Swarm goes on trying, and nothing undoes that',
    check: sameSpecs,
    except: noJobs,
  },
  {
    id: 'job-update-fails',
    title: 'a replicated job that was good exits 3',
    before: job('job-ok:v1', 'replicated-job'),
    deploy: job('job-fail:v1', 'replicated-job'),
    outcome: 'rolled-back',
    reason: 'job-failed',
    end: 'the former spec, which Swarm runs once more',
    check: all(sameSpecs, completed(1)),
    except: noJobs,
  },
  {
    id: 'global-job',
    title: 'a global job',
    deploy: job('job-ok:v1', 'global-job'),
    outcome: 'deployed',
    reason: '',
    end: 'a completed task on each node',
    check: completed(3),
    except: noJobs,
  },
  {
    id: 'global-job-again',
    title: 'a global job with another environment',
    before: job('job-ok:v1', 'global-job', '1'),
    deploy: job('job-ok:v1', 'global-job', '2'),
    outcome: 'deployed',
    reason: '',
    end: 'a completed task on each node, of the second run',
    check: completed(3),
    except: noJobs,
  },
  {
    id: 'global-job-fails',
    title: 'a global job exits 3',
    deploy: job('job-fail:v1', 'global-job'),
    outcome: 'rolled-back',
    reason: 'job-failed',
    end: 'nothing is left',
    check: nothing,
    except: noJobs,
  },
  {
    id: 'job-max-attempts',
    title: 'a replicated job exits 3, and Swarm gives up after the second (max_attempts 1)',
    deploy: job('job-fail:v1', 'replicated-job', '', { restart_policy: givesUp }),
    outcome: 'rolled-back',
    reason: 'job-failed',
    end: 'nothing is left',
    check: nothing,
    says: failed(2),
    except: noJobs,
  },
  {
    id: 'job-works-on',
    title: 'a job runs again, for longer than progress-timeout',
    before: workFor('busybox sleep 1'),
    deploy: workFor('busybox sleep 8'),
    inputs: { 'progress-timeout': '5s' },
    outcome: 'deployed',
    reason: '',
    end: 'a completed task of the second run',
    check: completed(1),
    except: noJobs,
  },
  {
    id: 'one-shot-there-and-back',
    title: 'a one-shot service runs A, B, and A again: Swarm pauses after the first of two',
    before: (stack) => [runOnce('A', 0)(stack), runOnce('B', 0)(stack)],
    deploy: runOnce('A', 1),
    outcome: 'rolled-back',
    reason: 'update-paused',
    end: 'the spec of B',
    check: sameSpecs,
  },
];

/** @type {readonly Scenario[]} */
const FIRST_FAILURES = [
  ...BAD.map(
    ({ bad, what, reason }) =>
      /** @type {Scenario} */ ({
        id: `first-${reason}`,
        title: `a first deploy ${what}`,
        overlay: true,
        deploy: api(bad, { replicas: 2 }),
        outcome: 'rolled-back',
        reason,
        cause: reason,
        end: 'nothing is left',
        check: nothing,
        says: (run) => {
          namesTheNode(run);
          const [{ change, outcome, replicas } = {}] = run.services;
          assert.deepEqual(
            { change, outcome, replicas },
            { change: 'created', outcome: 'removed', replicas: { running: 0, desired: 0 } },
          );
        },
      }),
  ),
  ...FAULTS.map(
    ({ id, what, reason, image, deploy, more, inputs = {} }) =>
      /** @type {Scenario} */ ({
        id: `first-${id}`,
        title: `a first deploy: ${what}`,
        deploy: api(image, { restart_policy: { delay: '1s' }, ...deploy }, more),
        inputs,
        outcome: 'rolled-back',
        reason,
        end: 'nothing is left',
        check: nothing,
      }),
  ),
  {
    id: 'first-crash-later',
    title: 'a first deploy exits after 7 s',
    deploy: api('crashlater:v1'),
    inputs: { 'stable-for': '12s', 'max-failures': 1 },
    outcome: 'rolled-back',
    reason: 'crash-loop',
    end: 'nothing is left',
    check: nothing,
  },
  {
    id: 'first-unhealthy-exit-0',
    title: 'a first deploy is never healthy, and exits 0 when it is stopped for that',
    deploy: api('unhealthy:v2', { replicas: 2, restart_policy: { delay: '1s' } }),
    outcome: 'rolled-back',
    reason: 'crash-loop',
    end: 'nothing is left',
    check: nothing,
    says: (run) => assert.match(run.log, /healthcheck/),
  },
  {
    id: 'first-unhealthy-exit-0-once',
    title: 'the same, and it is not restarted (restart_policy on-failure)',
    deploy: api('unhealthy:v2', { ...onManager, restart_policy: { condition: 'on-failure' } }),
    outcome: 'rolled-back',
    reason: 'crash-loop',
    end: 'nothing is left',
    check: nothing,
    says: (run) => assert.match(run.log, /healthcheck/),
  },
  {
    id: 'first-unhealthy-exit-0-elsewhere',
    title: 'the same where no manager has the image, after 12 s',
    arrange: async (stack) => {
      await stack.bed.pushImage('unwell:v1', {
        command: ['/bin/busybox', 'sh', '-c', 'trap "exit 0" TERM; busybox sleep 100000 & wait'],
        health: { test: ['CMD', '/bin/busybox', 'false'], interval: 6, retries: 2 },
      });
    },
    deploy: api('unwell:v1', {
      placement: { constraints: ['node.role == worker'] },
      restart_policy: { condition: 'on-failure' },
    }),
    outcome: 'rolled-back',
    reason: 'unhealthy',
    end: 'nothing is left',
    check: nothing,
    says: (run) => assert.match(run.log, /healthcheck of its image/),
  },
  {
    id: 'max-attempts',
    title: 'a first deploy exits at once, and Swarm gives up after the second (max_attempts 1)',
    deploy: api('crash:v1', {
      restart_policy: { condition: 'on-failure', max_attempts: 1, delay: '1s' },
    }),
    outcome: 'rolled-back',
    reason: 'crash-loop',
    end: 'nothing is left',
    check: nothing,
    says: failed(2),
  },
  {
    id: 'max-attempts-window',
    title: 'the same, with a window',
    deploy: api('crash:v1', { restart_policy: { ...givesUp, window: '120s' } }),
    outcome: 'rolled-back',
    reason: 'crash-loop',
    end: 'nothing is left',
    check: nothing,
    says: failed(2),
  },
  {
    id: 'pull-denied',
    title:
      'a first deploy of a private image without a login: Docker says only that it is not there',
    arrange: async (stack) => {
      // One that no node has yet: a node would use it without asking.
      await stack.bed.pushImage(`own-${stack.name}:v1`, { command: ['/bin/busybox', 'true'] });
    },
    deploy: (stack) => api(`own-${stack.name}:v1`, { restart_policy: { delay: '1s' } })(stack),
    inputs: { 'registry-username': '', 'registry-password': '' },
    outcome: 'rolled-back',
    // The engine tells its own log alone that the registry refused it.
    reason: 'image-not-found',
    end: 'nothing is left',
    check: nothing,
  },
  {
    id: 'no-driver',
    title: 'a first deploy with a network of a driver that is not there',
    deploy: api('web:v1', {}, { networks: ['extra'] }),
    more: (stack) => ({
      more: { networks: { default: stack.network, extra: { driver: 'none-of-these' } } },
    }),
    outcome: 'invalid',
    reason: 'deploy-refused',
    end: 'nothing is left',
    check: nothing,
  },
  {
    id: 'first-slow-stop',
    title: 'a first deploy is never healthy and ignores SIGTERM',
    overlay: true,
    deploy: api(
      'stubborn:v1',
      {},
      {
        stop_grace_period: '5s',
        healthcheck: { test: ['CMD', 'false'], interval: '1s', retries: 2 },
      },
    ),
    inputs: { 'max-failures': 1 },
    outcome: 'rolled-back',
    reason: 'unhealthy',
    end: 'nothing is left, not even its network',
    check: nothing,
  },
  {
    id: 'red-again',
    title: 'the same again, of what starts, and exits after 7 s each time',
    arrange: async (stack) => {
      await stack.dockerDeploy({ services: api('crashlater:v1')(stack) });
      await failing(stack);
    },
    deploy: api('crashlater:v1'),
    inputs: { 'stable-for': '10s', 'max-failures': 1 },
    outcome: 'failed',
    reason: 'crash-loop',
    end: 'the same spec',
    check: sameSpecs,
    says: changes({ api: 'unchanged' }),
  },
  {
    id: 'red-again-labelled',
    title: 'the same with another label, stable-for auto',
    arrange: async (stack) => {
      await stack.dockerDeploy({ services: crashingLater()(stack) });
      await failing(stack);
    },
    deploy: crashingLater('blue'),
    inputs: { 'stable-for': 'auto', 'max-failures': 1 },
    outcome: 'rolled-back',
    reason: 'crash-loop',
    end: 'the former spec',
    check: sameSpecs,
    says: changes({ api: 'updated' }),
  },
  {
    id: 'red-again-between',
    title: 'the same, deployed while it runs between two exits',
    arrange: async (stack) => {
      await stack.dockerDeploy({ services: crashingLater()(stack) });
      await failing(stack);
      await running(stack);
    },
    deploy: crashingLater('blue'),
    inputs: { 'stable-for': 'auto', 'max-failures': 1 },
    outcome: 'rolled-back',
    reason: 'crash-loop',
    end: 'the former spec',
    check: sameSpecs,
    says: changes({ api: 'updated' }),
  },
  {
    id: 'first-global-crash',
    title: 'a first deploy of a global service exits at once',
    deploy: api('crash:v1', { mode: 'global' }),
    outcome: 'rolled-back',
    reason: 'crash-loop',
    end: 'nothing is left',
    check: nothing,
  },
  {
    id: 'flapping',
    title: 'a first deploy is healthy, then exits 1, again and again',
    deploy: api(
      'web:v1',
      { restart_policy: { delay: '1s' } },
      shell('busybox sleep 4; exit 1', {
        healthcheck: { test: ['CMD', 'true'], interval: '1s' },
      }),
    ),
    inputs: { 'stable-for': '8s' },
    outcome: 'rolled-back',
    reason: 'crash-loop',
    end: 'nothing is left',
    check: nothing,
    says: failed(3),
  },
  {
    id: 'flapping-exit-0',
    title: 'a first deploy is healthy, then ends with exit code 0, again and again',
    deploy: api(
      'web:v1',
      { restart_policy: { delay: '1s' } },
      shell('busybox sleep 4; exit 0', {
        healthcheck: { test: ['CMD', 'true'], interval: '1s' },
      }),
    ),
    inputs: { 'stable-for': '8s' },
    outcome: 'rolled-back',
    reason: 'crash-loop',
    end: 'nothing is left',
    check: nothing,
  },
  {
    id: 'sick-later',
    title: 'a first deploy is healthy, and unhealthy after 4 s',
    deploy: api(
      'web:v1',
      { restart_policy: { delay: '1s' } },
      shell('trap "exit 0" TERM; (busybox sleep 4; echo >/sick) & busybox sleep 100000 & wait', {
        healthcheck: { test: ['CMD', 'test', '!', '-e', '/sick'], interval: '1s', retries: 1 },
      }),
    ),
    inputs: { 'stable-for': '10s', 'max-failures': 1 },
    outcome: 'rolled-back',
    // Asked to end it exits 0, and the engine then says nothing of its health.
    reason: ['unhealthy', 'crash-loop'],
    end: 'nothing is left',
    check: nothing,
  },
  ...[
    { max: 0, count: 1 },
    { max: 1, count: 1 },
    { max: 3, count: 3 },
  ].map(
    ({ max, count }) =>
      /** @type {Scenario} */ ({
        id: `max-failures-${max}`,
        title: `a first deploy of one task exits at once, max-failures ${max}`,
        deploy: api('crash:v1', { restart_policy: { delay: '2s' } }),
        inputs: { 'max-failures': max },
        outcome: 'rolled-back',
        reason: 'crash-loop',
        end: 'nothing is left',
        check: nothing,
        says: failed(count),
      }),
  ),
  {
    id: 'first-timeout',
    title: 'a first deploy is never healthy, and its time is up',
    deploy: api('web:v1', {}, { healthcheck: neverHealthy }),
    inputs: { timeout: '15s' },
    outcome: 'rolled-back',
    reason: 'timeout',
    end: 'nothing is left',
    check: nothing,
  },
  {
    id: 'first-keep',
    title: 'a first deploy exits at once, on-failure: keep',
    deploy: api('crash:v1', { restart_policy: { delay: '1s' } }),
    inputs: { 'on-failure': 'keep', 'max-failures': 1 },
    outcome: 'failed',
    reason: 'crash-loop',
    end: 'the service, as it failed',
    check: has('api'),
    says: outcomes({ api: 'failed' }),
  },
];

/** @type {readonly Scenario[]} */
const UPDATE_FAILURES = [
  ...BAD.flatMap(({ bad, what, reason }) =>
    ACTIONS.map(
      (action) =>
        /** @type {Scenario} */ ({
          id: `update-${reason}-${action}`,
          title: `an update ${what}, failure_action ${action}`,
          before: good,
          deploy: api(bad, {
            replicas: 2,
            update_config: { parallelism: 1, failure_action: action, monitor: '2s' },
          }),
          outcome: 'rolled-back',
          reason: [reason, ...swarms(action)],
          cause: reason,
          end: '2 tasks of version 1, as before',
          check: all(asBefore, runs({ api: 'web:v1 x2' })),
          says: (run) => {
            const [{ change, outcome } = {}] = run.services;
            assert.deepEqual({ change, outcome }, { change: 'updated', outcome: 'restored' });
          },
        }),
    ),
  ),
  ...FAULTS.map(
    ({ id, what, reason, image, deploy, more, inputs = {} }) =>
      /** @type {Scenario} */ ({
        id: `update-${id}`,
        title: `an update: ${what}`,
        before: good,
        deploy: api(
          image,
          {
            replicas: 2,
            restart_policy: { delay: '1s' },
            update_config: { order: 'start-first', failure_action: 'continue', monitor: '1s' },
            ...deploy,
          },
          more,
        ),
        inputs,
        outcome: 'rolled-back',
        reason,
        end: '2 tasks of version 1, as before',
        check: all(asBefore, runs({ api: 'web:v1 x2' })),
      }),
  ),
  {
    id: 'host-port-start-first',
    title: 'start-first with a host-mode port that the former task holds',
    before: hostPort('web:v1'),
    deploy: hostPort('web:v2'),
    outcome: 'rolled-back',
    reason: 'host-port-deadlock',
    end: 'the former task, not restarted',
    check: all(asBefore, kept('api')),
  },
  {
    id: 'max-replicas-per-node',
    title: 'start-first with max_replicas_per_node 1 and a replica on each node',
    before: onePerNode('web:v1'),
    deploy: onePerNode('web:v2'),
    outcome: 'rolled-back',
    reason: 'unschedulable',
    end: 'the 3 former tasks, not restarted',
    check: all(asBefore, kept('api')),
  },
  {
    id: 'update-crash-later-short-monitor',
    title: 'an update exits after 7 s, when Swarm no longer looks (monitor 1 s)',
    before: good,
    deploy: api('crashlater:v1', { replicas: 2 }),
    inputs: { 'stable-for': '12s', 'max-failures': 1 },
    outcome: 'rolled-back',
    reason: 'crash-loop',
    end: '2 tasks of version 1, as before',
    check: asBefore,
  },
  {
    id: 'update-crash-later-rollback',
    title: 'an update exits after 7 s, while Swarm still looks; failure_action rollback',
    before: good,
    deploy: api('crashlater:v1', {
      replicas: 2,
      update_config: {
        parallelism: 0,
        order: 'start-first',
        failure_action: 'rollback',
        monitor: '15s',
      },
    }),
    inputs: { 'stable-for': 'auto' },
    outcome: 'rolled-back',
    reason: ['rolled-back-by-swarm', 'crash-loop'],
    cause: 'crash-loop',
    end: '2 tasks of version 1, as before',
    check: asBefore,
  },
  {
    id: 'max-failure-ratio',
    title: 'one slot of three exits at once; max_failure_ratio 0.5 lets Swarm call it completed',
    before: api('web:v1', { replicas: 3 }),
    deploy: api(
      'nohealth:v1',
      {
        replicas: 3,
        restart_policy: { delay: '1s' },
        update_config: {
          parallelism: 1,
          failure_action: 'rollback',
          max_failure_ratio: 0.5,
          monitor: '1s',
        },
      },
      shell('[ "$$SLOT" != 2 ] || exit 1; trap "exit 0" TERM; busybox sleep 100000 & wait', {
        environment: { SLOT: '{{.Task.Slot}}' },
      }),
    ),
    outcome: 'rolled-back',
    reason: 'crash-loop',
    end: '3 tasks of version 1, as before',
    check: asBefore,
  },
  {
    id: 'max-failure-ratio-1',
    title: 'all exit at once; max_failure_ratio 1 lets Swarm call it completed',
    before: good,
    deploy: api('crash:v1', {
      replicas: 2,
      restart_policy: { delay: '1s' },
      update_config: { failure_action: 'rollback', max_failure_ratio: 1, monitor: '1s' },
    }),
    outcome: 'rolled-back',
    reason: 'crash-loop',
    end: '2 tasks of version 1, as before',
    check: asBefore,
  },
  {
    id: 'update-unhealthy-exit-0',
    title: 'an update is never healthy, and exits 0 when it is stopped for that',
    before: good,
    deploy: api('unhealthy:v2', { replicas: 2, restart_policy: { delay: '1s' } }),
    outcome: 'rolled-back',
    reason: ['crash-loop', 'update-paused'],
    cause: 'crash-loop',
    end: '2 tasks of version 1, as before',
    check: all(asBefore, runs({ api: 'web:v1 x2' })),
  },
  {
    id: 'fails-during-an-update',
    title: 'an update exits at once, and an earlier one was still half-way',
    before: good,
    arrange: halfWay('10s'),
    deploy: api('crash:v1', { replicas: 2 }),
    outcome: 'rolled-back',
    reason: ['crash-loop', 'update-paused'],
    cause: 'crash-loop',
    end: '2 tasks of version 1, with the spec of the earlier update',
    check: all(sameSpecs, runs({ api: 'web:v1 x2' })),
  },
  {
    id: 'rollback-config',
    title: 'an update exits at once; the former version has a rollback_config',
    before: withRollbackConfig('web:v1'),
    deploy: withRollbackConfig('crash:v1'),
    outcome: 'rolled-back',
    reason: ['crash-loop', 'update-paused'],
    cause: 'crash-loop',
    end: "3 tasks of version 1, brought back by Swarm's own rollback, as configured",
    disturb: watchForRollback,
    check: all(asBefore, async (stack) =>
      assert.ok(rolledBack.has(stack), "Swarm's own rollback brought it back"),
    ),
  },
  {
    id: 'config-labels',
    title: 'an update that exits at once changes the labels of a config',
    before: withConfig('web:v1'),
    moreBefore: configLabelled('one'),
    deploy: withConfig('crash:v1'),
    more: configLabelled('two'),
    outcome: 'rolled-back',
    reason: ['crash-loop', 'update-paused'],
    cause: 'crash-loop',
    end: 'as before, the labels too',
    check: all(asBefore, runs({ api: 'web:v1 x1' })),
  },
  {
    id: 'update-not-healthy-in-time',
    title: 'an update does not become healthy within progress-timeout',
    before: api('web:v1'),
    deploy: api('web:v1', {}, { healthcheck: neverHealthy }),
    inputs: { 'progress-timeout': '5s' },
    outcome: 'rolled-back',
    reason: 'progress-timeout',
    end: 'the former task',
    check: all(asBefore, runs({ api: 'web:v1 x1' })),
  },
  {
    id: 'one-of-several',
    title: 'one of three services exits at once',
    before: (stack) => ({
      api: service(stack, 'web:v1', { replicas: 2 }),
      front: service(stack, 'web:v1', { replicas: 2 }),
      still: service(stack, 'web:v2', { replicas: 2 }),
    }),
    deploy: (stack) => ({
      api: service(stack, 'web:v3', { replicas: 2 }),
      front: service(stack, 'crash:v1', { replicas: 2 }),
      still: service(stack, 'web:v2', { replicas: 2 }),
    }),
    outcome: 'rolled-back',
    reason: ['crash-loop', 'update-paused'],
    end: 'all three as before, the unchanged one not restarted',
    check: all(asBefore, kept('still')),
    says: (run) => {
      outcomes({ api: 'restored', front: 'restored', still: 'untouched' })(run);
      assert.equal(run.services.find(({ name }) => name.endsWith('front'))?.reason, 'crash-loop');
    },
  },
  {
    id: 'created-beside-updated',
    title: 'a new service cannot be pulled, beside a good update',
    before: good,
    deploy: (stack) => ({
      api: service(stack, 'web:v2', { replicas: 2 }),
      fresh: service(stack, 'nosuchimage:v9'),
    }),
    outcome: 'rolled-back',
    reason: 'image-not-found',
    end: 'the update undone, the new service gone',
    check: all(asBefore, has('api'), runs({ api: 'web:v1 x2' })),
    says: outcomes({ api: 'restored', fresh: 'removed' }),
  },
  {
    id: 'brings-objects',
    title: 'an update that exits at once brings a network, a config and a secret',
    before: api('web:v1'),
    deploy: (stack) => ({
      api: service(
        stack,
        'crash:v1',
        {},
        { configs: ['app'], secrets: ['token'], networks: ['extra'] },
      ),
    }),
    more: (stack) => ({
      more: {
        networks: {
          default: stack.network,
          extra: { ipam: { config: [{ subnet: stack.subnet }] } },
        },
        configs: { app: { file: './app.conf' } },
        secrets: { token: { file: './token' } },
      },
      files: { 'app.conf': 'listen = 80\n', token: 'canary-of-the-secret' },
    }),
    outcome: 'rolled-back',
    reason: ['crash-loop', 'update-paused'],
    cause: 'crash-loop',
    end: 'as before; network, config and secret are gone',
    check: all(asBefore, runs({ api: 'web:v1 x1' })),
  },
  {
    id: 'refused-half-way',
    title: 'Docker takes a new config, and then refuses the service (its mode changes)',
    before: good,
    deploy: api('web:v2', { mode: 'global' }, { configs: ['app'] }),
    more: configLabelled('one'),
    outcome: 'rolled-back',
    reason: 'deploy-refused',
    end: '2 tasks of version 1, not restarted; the config is gone',
    check: all(asBefore, kept('api')),
  },
  {
    id: 'fails-with-prune',
    title: 'an update exits at once, and a service is no longer in the file, with prune',
    before: (stack) => ({ ...api('web:v1')(stack), old: service(stack, 'web:v1') }),
    deploy: api('crash:v1'),
    inputs: { prune: true, 'max-failures': 1 },
    outcome: 'rolled-back',
    reason: ['crash-loop', 'update-paused'],
    end: 'both services as before',
    check: all(asBefore, kept('old')),
  },
  {
    id: 'keep',
    title: 'an update exits at once, on-failure: keep',
    before: api('web:v1'),
    deploy: api('crash:v1'),
    inputs: { 'on-failure': 'keep' },
    outcome: 'failed',
    reason: ['crash-loop', 'update-paused'],
    cause: 'crash-loop',
    end: 'the new spec, as it failed',
    check: async (stack) => {
      const { Spec } = await stack.service('api');
      assert.equal(
        digestOf(Spec.TaskTemplate.ContainerSpec.Image),
        await stack.bed.digest('crash:v1'),
      );
    },
    says: outcomes({ api: 'failed' }),
  },
];

/** @type {readonly Scenario[]} */
const OTHERS = [
  {
    id: 'superseded-by-a-write',
    title: 'somebody changes the service in mid-rollout',
    deploy: api('slow:v1'),
    disturb: byHand('update', '--detach', '--env-add', 'FROM=somebody'),
    outcome: 'superseded',
    reason: 'superseded',
    end: "the other's change stays",
    check: async (stack) => {
      const { Spec } = await stack.service('api');
      assert.deepEqual(Spec.TaskTemplate.ContainerSpec.Env, ['FROM=somebody']);
    },
  },
  {
    id: 'superseded-while-deploying',
    title: 'somebody writes one of 12 services while the others are still being deployed',
    before: (stack) => twelve(stack, 'web:v1'),
    deploy: (stack) => twelve(stack, 'web:v2'),
    race: hijack('web:v3'),
    outcome: 'superseded',
    reason: 'superseded',
    end: "the other's image stays",
    check: async (stack) => {
      const theirs = Object.values(await stack.services()).filter(
        ({ Spec }) => !/:v[12](@|$)/.test(Spec.TaskTemplate.ContainerSpec.Image),
      );
      assert.equal(theirs.length, 1);
    },
  },
  {
    id: 'superseded-by-removal',
    title: 'somebody removes the service in mid-rollout',
    deploy: api('slow:v1'),
    disturb: byHand('rm'),
    outcome: 'superseded',
    reason: 'superseded',
    end: 'it stays removed',
    check: has(),
  },
  {
    id: 'superseded-by-rollback',
    title: 'somebody rolls the service back by hand in mid-rollout',
    before: good,
    deploy: api('slow:v2', { replicas: 2 }),
    disturb: byHand('rollback', '--detach'),
    outcome: 'superseded',
    reason: 'superseded',
    end: 'version 1, as the other wants it',
    check: async (stack) => {
      const { Spec } = await stack.service('api');
      assert.equal(
        digestOf(Spec.TaskTemplate.ContainerSpec.Image),
        await stack.bed.digest('web:v1'),
      );
    },
  },
];

/** By what they are about, in the order of the page. */
export const SECTIONS = [
  { title: 'It works', scenarios: SUCCESSES },
  { title: 'Global services and nodes', scenarios: GLOBAL },
  { title: 'One-shot services and jobs', scenarios: JOBS },
  { title: 'A first deploy fails', scenarios: FIRST_FAILURES },
  { title: 'An update fails', scenarios: UPDATE_FAILURES },
  { title: 'Others at work', scenarios: OTHERS },
];

/** @type {readonly Scenario[]} */
export const TABLE = SECTIONS.flatMap(({ scenarios }) => scenarios);
