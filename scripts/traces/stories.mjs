/**
 * The rollouts that are recorded: what a stack was, what it is asked to become, what happens to it
 * meanwhile, and when the story is over.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * @typedef {import('../../testbed/index.mjs').Testbed} Testbed
 * @typedef {import('./reading.mjs').Look} Look
 *
 * @typedef {object} Scene what a story may do to the swarm
 * @property {Testbed} bed
 * @property {string} stack
 * @property {(what: string) => void} note writes into the trace that something was done
 * @property {(what: string, condition: (look: Look) => boolean) => Promise<Look>} until waits for a
 *   look at the swarm
 * @property {(services: object) => Promise<void>} deploy by the manager's own `docker stack deploy`
 * @property {(...args: string[]) => Promise<void>} docker a command of the manager's CLI with a login
 *
 * @typedef {object} Story
 * @property {string} name of the trace; its stack has one that begins so
 * @property {string} title
 * @property {string[]} services the services that are deployed, by their short names
 * @property {boolean} [alone] whether it disturbs others
 * @property {(scene: Scene) => Promise<unknown>} [before] what is there when the deploy begins
 * @property {(scene: Scene) => Promise<unknown>} deploy
 * @property {(scene: Scene) => Promise<unknown>} [meanwhile]
 * @property {(look: Look) => boolean} over the outcome can be seen; some seconds more are recorded
 * @property {number} [afterMs] how many, where the usual ones are too few
 * @property {(scene: Scene) => Promise<unknown>} [undo] what it did to the swarm, other than the stack
 */

/** How long the action wants a task to have run for it to have nothing to prove, and a bit. */
const SETTLED_MS = 32_000;

const ENDED_BADLY = ['failed', 'rejected'];

/**
 * Tasks of the live spec in one of these states.
 * @param {Look} look
 * @param {readonly string[]} states
 */
const current = ({ tasks, upToDate }, states) =>
  tasks.filter((task) => upToDate.includes(task.ID) && states.includes(task.Status.State)).length;

/** @param {number} count */
const running = (count) => (/** @type {Look} */ look) => {
  const meant = look.tasks.filter(({ DesiredState }) => DesiredState === 'running');
  return (
    meant.length === count &&
    meant.every(({ ID, Status }) => Status.State === 'running' && look.upToDate.includes(ID))
  );
};

/** @param {number} count */
const failed = (count) => (/** @type {Look} */ look) => current(look, ENDED_BADLY) >= count;

/** @param {number} count */
const completed = (count) => (/** @type {Look} */ look) => current(look, ['complete']) >= count;

/** @param {string} state */
const update = (state) => (/** @type {Look} */ look) =>
  look.services.some(({ UpdateStatus }) => UpdateStatus?.State === state);

/** @param {((look: Look) => boolean)[]} conditions */
const all =
  (...conditions) =>
  (/** @type {Look} */ look) =>
    conditions.every((condition) => condition(look));

/**
 * @param {Testbed} bed
 * @returns {Story[]}
 */
export function stories(bed) {
  const web = bed.image('web', 'v1');
  const web2 = bed.image('web', 'v2');
  const crash = bed.image('crash', 'v1');
  const rolling = { parallelism: 1, order: 'start-first', monitor: '5s' };

  /**
   * A service of some replicas is updated from one image to another.
   * @param {object} updateConfig
   * @param {{ from?: string, to?: string, replicas?: number, more?: object }} [options]
   * @returns {Pick<Story, 'services' | 'before' | 'deploy'>}
   */
  const updated = (updateConfig, { from = web, to = web2, replicas = 3, more = {} } = {}) => {
    const services = (/** @type {string} */ image) => ({
      web: { image, deploy: { replicas, update_config: updateConfig, ...more } },
    });
    return {
      services: ['web'],
      before: async ({ deploy, until }) => {
        await deploy(services(from));
        await until('the former version runs', running(replicas));
      },
      deploy: ({ deploy }) => deploy(services(to)),
    };
  };

  return [
    {
      name: 'start-first',
      title: 'A rolling update, start-first, one task at a time',
      ...updated({ ...rolling, monitor: '1s' }, { replicas: 4 }),
      over: all(running(4), update('completed')),
    },
    {
      name: 'stop-first',
      title: 'A rolling update, stop-first, one task at a time',
      ...updated({ ...rolling, order: 'stop-first', monitor: '1s' }),
      over: all(running(3), update('completed')),
    },
    {
      name: 'paused',
      title: 'The new version exits at once; Swarm pauses the update',
      ...updated({ ...rolling, failure_action: 'pause' }, { to: crash }),
      over: update('paused'),
    },
    {
      name: 'rolled-back',
      title: 'The new version exits at once; Swarm rolls the update back',
      ...updated({ ...rolling, failure_action: 'rollback' }, { to: crash }),
      over: update('rollback_completed'),
    },
    {
      name: 'continued',
      title: 'The new version exits at once; Swarm goes on until nothing of it runs',
      ...updated({ ...rolling, monitor: '1s', failure_action: 'continue' }, { to: crash }),
      over: all(update('completed'), failed(6)),
    },
    {
      name: 'all-may-fail',
      title: 'The new version exits at once, and max_failure_ratio is 1: completed all the same',
      ...updated(
        { ...rolling, parallelism: 0, failure_action: 'pause', max_failure_ratio: 1 },
        { to: crash },
      ),
      over: all(update('completed'), failed(6)),
    },
    {
      name: 'flapping',
      title: 'The new version runs for some seconds, then exits, again and again',
      ...updated(
        { ...rolling, parallelism: 0, monitor: '10s', failure_action: 'continue' },
        {
          to: bed.image('crashlater', 'v1'),
          replicas: 2,
          more: { restart_policy: { delay: '1s' } },
        },
      ),
      over: failed(6),
    },
    {
      name: 'one-dies',
      title: 'All is well for a moment, then one task dies and is replaced',
      ...updated(
        { ...rolling, parallelism: 0, failure_action: 'continue' },
        { more: { restart_policy: { delay: '0s' } } },
      ),
      meanwhile: async ({ until, note }) => {
        const look = await until('all run', running(3));
        await sleep(2000);
        const [task] = look.tasks.filter(({ DesiredState }) => DesiredState === 'running');
        note('a task is killed');
        await bed
          .node(hostOf(look, task?.NodeID) ?? '')
          .docker('kill', task?.Status.ContainerStatus?.ContainerID ?? '');
      },
      over: all(running(3), failed(1)),
    },
    {
      name: 'other-writer',
      title: 'Somebody else writes the service in mid-rollout',
      ...updated({ ...rolling, delay: '2s' }),
      meanwhile: async ({ stack, until, docker, note }) => {
        await until('the first new task runs', (look) => current(look, ['running']) === 1);
        note('somebody else writes');
        await docker('service', 'update', '--detach', '--env-add', 'WHO=else', `${stack}_web`);
      },
      over: ({ services }) =>
        services.some(({ Spec }) => JSON.stringify(Spec).includes('WHO=else')),
    },
    {
      name: 'scaled',
      title: 'Nothing but the number of replicas changes',
      services: ['web'],
      before: async ({ deploy, until }) => {
        await deploy({ web: { image: web, deploy: { replicas: 2 } } });
        await until('two run', running(2));
      },
      deploy: ({ deploy }) => deploy({ web: { image: web, deploy: { replicas: 4 } } }),
      over: running(4),
    },
    {
      name: 'labelled',
      title: 'Nothing but a label of the service changes, and its tasks have run for long',
      services: ['web'],
      before: async ({ deploy, until }) => {
        await deploy({ web: { image: web, deploy: { replicas: 2 } } });
        await until('two run', running(2));
        await sleep(SETTLED_MS);
      },
      deploy: ({ deploy }) =>
        deploy({ web: { image: web, deploy: { replicas: 2, labels: { tier: 'front' } } } }),
      over: running(2),
    },
    {
      name: 'several',
      title: 'One of three services exits at once: one updated, one paused, one as it was',
      services: ['api', 'cache', 'web'],
      before: async ({ deploy, until }) => {
        const deployed = { replicas: 2, update_config: { ...rolling, failure_action: 'pause' } };
        const service = { image: web, deploy: deployed };
        await deploy({ api: service, cache: service, web: service });
        await until('six run', running(6));
      },
      deploy: ({ deploy }) => {
        const deployed = { replicas: 2, update_config: { ...rolling, failure_action: 'pause' } };
        return deploy({
          api: { image: crash, deploy: deployed },
          cache: { image: web, deploy: deployed },
          web: { image: web2, deploy: deployed },
        });
      },
      over: all(update('paused'), update('completed')),
    },
    {
      name: 'image-missing',
      title: 'The first deploy of an image that is not in the registry',
      services: ['web'],
      deploy: ({ deploy }) =>
        deploy({ web: { image: bed.image('web', 'no-such-tag'), deploy: { replicas: 2 } } }),
      over: failed(2),
    },
    {
      name: 'never-healthy',
      title: 'The first deploy of an image whose healthcheck never passes',
      services: ['web'],
      deploy: ({ deploy }) =>
        deploy({ web: { image: bed.image('unhealthy', 'v1'), deploy: { replicas: 2 } } }),
      over: failed(4),
    },
    {
      name: 'one-shot-again',
      title: 'A one-shot service that has ended well runs again, and ends well',
      services: ['task'],
      before: async ({ deploy, until }) => {
        await deploy(oneShot(bed, '1'));
        await until('it has ended', completed(1));
      },
      deploy: ({ deploy }) => deploy(oneShot(bed, '2')),
      over: all(completed(1), update('paused')),
    },
    {
      name: 'job',
      title: 'A replicated job runs again: three completions, two at a time',
      services: ['job'],
      before: async ({ until, ...scene }) => {
        await createJob(bed, scene, 'job-ok', [
          '--mode=replicated-job',
          '--replicas=3',
          '--max-concurrent=2',
        ]);
        await until('it has ended', completed(3));
      },
      deploy: ({ docker, stack }) =>
        docker('service', 'update', '--detach', '--env-add', 'RUN=2', `${stack}_job`),
      over: ({ tasks, services: [service] }) =>
        tasks.filter(
          ({ JobIteration, Status }) =>
            JobIteration?.Index === service?.JobStatus?.JobIteration.Index &&
            Status.State === 'complete',
        ).length === 3,
    },
    {
      name: 'job-failing',
      title: 'A replicated job fails each time it is tried',
      services: ['job'],
      deploy: (scene) =>
        createJob(bed, scene, 'job-fail', ['--mode=replicated-job', '--restart-delay=1s']),
      over: failed(4),
    },
    {
      name: 'global-job',
      title: 'A global job, on all nodes',
      services: ['job'],
      deploy: (scene) => createJob(bed, scene, 'job-ok', ['--mode=global-job']),
      over: completed(3),
    },
    {
      name: 'global-node-added',
      title: 'A global service is updated, and gets one node more in mid-rollout',
      services: ['web'],
      alone: true,
      before: async ({ deploy, until, bed: { manager } }) => {
        for (const node of ['manager1', 'worker1'])
          await manager.docker('node', 'update', '--label-add', 'front=yes', node);
        await deploy(onFront(web));
        await until('two run', running(2));
      },
      deploy: ({ deploy }) => deploy(onFront(web2)),
      meanwhile: async ({ until, note, bed: { manager } }) => {
        await until('the first new task runs', (look) => current(look, ['running']) === 1);
        note('worker2 gets the label');
        await manager.docker('node', 'update', '--label-add', 'front=yes', 'worker2');
      },
      over: all(running(3), update('completed')),
      undo: async ({ bed: { manager } }) => {
        for (const node of ['manager1', 'worker1', 'worker2'])
          await manager
            .docker('node', 'update', '--label-rm', 'front', node)
            .catch((/** @type {Error} */ error) => {
              // A story that ended early has not given it to all.
              if (!error.message.includes("doesn't exist")) throw error;
            });
      },
    },
    {
      name: 'global-node-paused',
      title:
        'A global service is updated, except on a node that is paused: Swarm calls it completed',
      services: ['web'],
      alone: true,
      before: async ({ deploy, until, bed: { manager } }) => {
        await deploy(everywhere(web));
        await until('three run', running(3));
        await manager.docker('node', 'update', '--availability', 'pause', 'worker2');
      },
      deploy: ({ deploy }) => deploy(everywhere(web2)),
      over: all(update('completed'), (look) => current(look, ['running']) === 2),
      undo: async ({ bed: { manager } }) => {
        await manager.docker('node', 'update', '--availability', 'active', 'worker2');
      },
    },
    {
      name: 'slow',
      title: 'The first deploy of an image that is slow to pull and slow to become healthy',
      services: ['web'],
      alone: true,
      deploy: async ({ deploy, note, stack }) => {
        // Its own, so that no node has it; far from the registry, so that pulling it takes seconds.
        await bed.pushImage(`${stack}:v1`, {
          command: [
            '/bin/busybox',
            'sh',
            '-c',
            'trap "exit 0" TERM; busybox sleep 8; echo >/ready; while :; do busybox sleep 1; done',
          ],
          health: {
            test: ['CMD', '/bin/busybox', 'test', '-e', '/ready'],
            interval: 1,
            retries: 30,
          },
          files: { stamp: String(Date.now()) },
        });
        for (const worker of workers(bed))
          await worker.exec('tc qdisc add dev eth0 root netem delay 400ms');
        note('the workers are far away');
        await deploy({
          web: {
            image: bed.image(stack, 'v1'),
            deploy: { replicas: 2, placement: { constraints: ['node.role == worker'] } },
          },
        });
      },
      over: running(2),
      undo: async () => {
        for (const worker of workers(bed)) await worker.exec('tc qdisc del dev eth0 root');
      },
    },
    {
      name: 'node-lost',
      title: 'A node dies in mid-rollout, with tasks of the new version',
      alone: true,
      // A window that is longer than Swarm takes to see that a node is gone.
      ...updated({ ...rolling, monitor: '30s' }, { replicas: 5 }),
      afterMs: 65_000,
      meanwhile: async ({ until, note }) => {
        // Late, when the updater has given the last new task to another node: it waits for ever for
        // one on a node that dies then, and may leave two tasks in a slot that it comes to later.
        /** @type {string | undefined} */
        let lost;
        await until('the last new task starts, and another worker runs a new one', (look) => {
          const [last, ...more] = look.tasks.filter(
            ({ ID, Status }) => look.upToDate.includes(ID) && Status.State === 'starting',
          );
          lost = workers(bed).find(({ name }) =>
            look.tasks.some(
              ({ ID, NodeID, Status }) =>
                Status.State === 'running' &&
                look.upToDate.includes(ID) &&
                hostOf(look, NodeID) === name &&
                hostOf(look, last?.NodeID) !== name,
            ),
          )?.name;
          return more.length === 0 && current(look, ['running']) === 4 && lost !== undefined;
        });
        await bed.node(lost ?? '').stopEngine('SIGKILL');
        note(`the engine of ${lost} is killed`);
      },
      over: all(running(5), ({ nodes }) => nodes.some(({ Status }) => Status.State === 'down')),
      undo: nodesBack,
    },
  ];
}

/** @param {Pick<Scene, 'bed' | 'until'>} scene */
async function nodesBack({ bed, until }) {
  await bed.repair();
  await until('all nodes are back', ({ nodes }) =>
    nodes.every(({ Status }) => Status.State === 'ready'),
  );
}

/** @param {Testbed} bed */
const workers = (bed) => bed.nodes.filter((node) => node !== bed.manager);

/**
 * @param {Look} look
 * @param {string | undefined} id
 */
const hostOf = ({ nodes }, id) => nodes.find(({ ID }) => ID === id)?.Description?.Hostname;

/**
 * @param {Testbed} bed
 * @param {string} run
 */
const oneShot = (bed, run) => ({
  task: {
    image: bed.image('job-ok', 'v1'),
    environment: { RUN: run },
    deploy: { restart_policy: { condition: 'none' } },
  },
});

/**
 * @param {string} image
 * @param {object} [more]
 */
const everywhere = (image, more) => ({
  web: {
    image,
    deploy: {
      mode: 'global',
      update_config: { parallelism: 1, order: 'stop-first', monitor: '1s', delay: '2s' },
      ...more,
    },
  },
});

/** @param {string} image */
const onFront = (image) =>
  everywhere(image, { placement: { constraints: ['node.labels.front == yes'] } });

/**
 * As `stack deploy` would: the client of Docker 20.10 knows jobs on its command line only.
 * @param {Testbed} bed
 * @param {Pick<Scene, 'docker' | 'stack'>} scene
 * @param {string} image
 * @param {readonly string[]} options
 */
async function createJob(bed, { docker, stack }, image, options) {
  const label = `com.docker.stack.namespace=${stack}`;
  await docker(
    ...['service', 'create', '--detach', '--with-registry-auth', '--name', `${stack}_job`],
    ...['--label', label, '--container-label', label, ...options, bed.image(image, 'v1')],
  );
}
