/** Part 1: the action beside plain `ssh` + `docker`, on a real test swarm. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { until } from '../../testbed/lib/wait.mjs';
import { deployByAction, deployByHand, USER } from './contenders.mjs';
import { startCountingProxy } from './counting-proxy.mjs';
import { cpuBetween, expectOutcome, managerCpu, momentOf, summarize, WORDS } from './meter.mjs';

/**
 * @typedef {import('../../testbed/index.mjs').Testbed} Testbed
 *
 * @typedef {object} Bench what every measurement gets
 * @property {Testbed} testbed
 * @property {AbortSignal} signal
 * @property {(line: string) => void} log
 */

const HEALTH = ['CMD', '/bin/busybox', 'wget', '-q', '-O', '-', 'http://127.0.0.1/'];

/**
 * A stack file. Its services are on a network of their own, as any stack's are unless told otherwise.
 * @param {Record<string, object>} services
 */
const stackFile = (services) => JSON.stringify({ services }, null, 2);

/** @param {number} seconds */
const healthcheck = (seconds) => ({ test: HEALTH, interval: `${seconds}s`, timeout: '5s' });

/**
 * @param {Testbed} testbed
 * @param {string} stack
 * @returns {Promise<any[]>} its tasks that are meant to run
 */
async function tasksOf({ manager }, stack) {
  const filters = { label: [`com.docker.stack.namespace=${stack}`], 'desired-state': ['running'] };
  return manager.api('GET', `/tasks?filters=${encodeURIComponent(JSON.stringify(filters))}`);
}

/**
 * @param {Bench} bench
 * @param {string} stack
 */
async function removeStack({ testbed, signal }, stack) {
  await testbed.manager.docker('stack', 'rm', stack);
  const gone = async () => (await tasksOf(testbed, stack)).length === 0;
  await until(`the tasks of ${stack} are gone`, gone, { timeoutMs: 60_000, signal });
}

const UNCHANGED = 'unchanged';
/** Tasks younger than this have something to prove to the action, which the rival never asks. */
const SETTLED_MS = 31_000;

/** @param {Testbed} testbed */
const unchangedFile = (testbed) =>
  stackFile(
    Object.fromEntries(
      ['api', 'web', 'worker'].map((name) => [
        name,
        {
          image: testbed.image('web', 'v1'),
          environment: { LOG_LEVEL: 'info', NAME: name },
          healthcheck: healthcheck(5),
          deploy: { replicas: 2, update_config: { order: 'start-first' } },
        },
      ]),
    ),
  );

/**
 * Puts up the stack that is deployed unchanged later on, so that its tasks grow old meanwhile.
 * @param {Bench} bench
 */
export async function prepareUnchanged({ testbed, signal, log }) {
  log('a stack of three services, to be deployed unchanged later on');
  const step = await deployByAction(testbed, {
    stack: UNCHANGED,
    file: unchangedFile(testbed),
    signal,
  });
  expectOutcome(step, 'deployed');
}

/**
 * @param {Bench} bench
 * @param {number} rounds
 */
export async function measureUnchanged({ testbed, signal, log }, rounds) {
  const deploy = { stack: UNCHANGED, file: unchangedFile(testbed), signal };
  const ids = async () => (await tasksOf(testbed, UNCHANGED)).map(({ ID }) => ID).sort();
  const oldEnough = async () =>
    (await tasksOf(testbed, UNCHANGED)).every(
      ({ CreatedAt }) => Date.now() - Date.parse(CreatedAt) > SETTLED_MS,
    );
  await until('the tasks are old enough', oldEnough, { timeoutMs: 60_000, signal });
  const before = await ids();
  /** @type {Record<'main' | 'step' | 'waiting' | 'detached' | 'leastDetached', number[]>} */
  const times = { main: [], step: [], waiting: [], detached: [], leastDetached: [] };
  const contenders = [
    async () => {
      const step = await deployByAction(testbed, deploy);
      expectOutcome(step, 'unchanged');
      times.main.push(step.mainMs);
      times.step.push(step.stepMs);
    },
    async () => {
      times.waiting.push(
        await deployByHand(testbed, { ...deploy, detach: false, connections: 'three' }),
      );
    },
    async () => {
      times.detached.push(
        await deployByHand(testbed, { ...deploy, detach: true, connections: 'three' }),
      );
    },
    async () => {
      times.leastDetached.push(
        await deployByHand(testbed, { ...deploy, detach: true, connections: 'one' }),
      );
    },
  ];
  for (let round = 0; round < rounds; round += 1) {
    log(`unchanged deploy, round ${round + 1} of ${rounds}`);
    // Each time another one goes first: what the machine is about falls on all alike.
    for (let turn = 0; turn < contenders.length; turn += 1)
      await contenders[(round + turn) % contenders.length]?.();
  }
  const after = await ids();
  if (JSON.stringify(after) !== JSON.stringify(before))
    throw new Error('An unchanged deploy restarted tasks: the files of the two sides differ.');
  return {
    services: 3,
    tasks: before.length,
    rounds,
    action: summarize(times.main),
    actionWithPost: summarize(times.step),
    waiting: summarize(times.waiting),
    detached: summarize(times.detached),
    detachedOneConnection: summarize(times.leastDetached),
  };
}

const ROLLING = 'rolling';
const REPLICAS = 10;
const MONITOR_S = 5;

/**
 * @param {Testbed} testbed
 * @param {string} tag
 * @param {object} [update] of update_config
 */
const rollingFile = (testbed, tag, update = {}) =>
  stackFile({
    api: {
      image: testbed.image('web', tag),
      healthcheck: healthcheck(1),
      deploy: {
        replicas: REPLICAS,
        update_config: {
          parallelism: 2,
          order: 'start-first',
          monitor: `${MONITOR_S}s`,
          ...update,
        },
      },
    },
  });

/**
 * When the last task of the running version got to running, by its own word.
 * @param {Testbed} testbed
 * @param {string} stack
 */
async function lastRunning(testbed, stack) {
  const tasks = await tasksOf(testbed, stack);
  return Math.max(...tasks.map(({ Status }) => Date.parse(Status.Timestamp)));
}

/**
 * @param {Bench} bench
 * @param {number} rounds
 */
export async function measureRolling({ testbed, signal, log }, rounds) {
  let turn = 0;
  const nextFile = () => rollingFile(testbed, ['v1', 'v2'][(turn += 1) % 2] ?? '');
  log(`rolling update: the first deploy of ${REPLICAS} replicas`);
  expectOutcome(
    await deployByAction(testbed, { stack: ROLLING, file: nextFile(), signal }),
    'deployed',
  );
  /** @type {Record<'main' | 'mainAfter' | 'waiting' | 'waitingAfter', number[]>} */
  const times = { main: [], mainAfter: [], waiting: [], waitingAfter: [] };
  const byAction = async () => {
    const inputs = { 'stable-for': `${MONITOR_S}s` };
    const step = await deployByAction(testbed, {
      stack: ROLLING,
      file: nextFile(),
      inputs,
      signal,
    });
    const ended = Date.now() - (step.stepMs - step.mainMs);
    expectOutcome(step, 'deployed');
    times.main.push(step.mainMs);
    times.mainAfter.push(ended - (await lastRunning(testbed, ROLLING)));
  };
  const byHand = async () => {
    const deploy = { stack: ROLLING, file: nextFile(), detach: false, signal };
    times.waiting.push(await deployByHand(testbed, { ...deploy, connections: 'three' }));
    times.waitingAfter.push(Date.now() - (await lastRunning(testbed, ROLLING)));
  };
  for (let round = 0; round < rounds; round += 1) {
    log(`rolling update, round ${round + 1} of ${rounds}`);
    for (const contender of round % 2 === 0 ? [byAction, byHand] : [byHand, byAction])
      await contender();
  }
  return {
    replicas: REPLICAS,
    parallelism: 2,
    stableForS: MONITOR_S,
    rounds,
    action: summarize(times.main),
    waiting: summarize(times.waiting),
    actionAfterLastTask: summarize(times.mainAfter),
    waitingAfterLastTask: summarize(times.waitingAfter),
  };
}

/** Becomes healthy after 26 s: the action has settled into its slower pace by then. */
export const LATE = 'late:v1';
/** @type {import('../../testbed/lib/images.mjs').ImageDefinition} */
export const LATE_IMAGE = {
  command: ['/bin/busybox', 'sh', '/run.sh'],
  files: { 'run.sh': "trap 'exit 0' TERM\n(sleep 26; echo >/ready) & sleep 2147483647 & wait\n" },
  health: { test: ['CMD', '/bin/busybox', 'test', '-e', '/ready'], interval: 1, retries: 60 },
};

/** So often the engine is asked on its own socket, beside the action. */
const OBSERVE_MS = 50;

/**
 * Asks the engine when it first shows tasks as running, until `stop` is aborted.
 * @param {Testbed} testbed
 * @param {AbortSignal} stop
 * @returns {{shown: Map<string, number>, ended: Promise<void>}} by task, as Date.now
 */
function watchEngine({ manager }, stop) {
  /** @type {Map<string, number>} */
  const shown = new Map();
  const filters = encodeURIComponent(JSON.stringify({ 'desired-state': ['running'] }));
  const watch = async () => {
    while (!stop.aborted) {
      /** @type {any[]} */
      const tasks = await manager.api('GET', `/tasks?filters=${filters}`);
      const now = Date.now();
      for (const { ID, Status } of tasks)
        if (Status.State === 'running' && !shown.has(ID)) shown.set(ID, now);
      await sleep(OBSERVE_MS);
    }
  };
  const ended = watch();
  // Whoever awaits it gets the error; until then it must not end the process.
  ended.catch(() => undefined);
  return { shown, ended };
}

/**
 * One first deploy of a service, and how long after its last task ran the action knew.
 * @param {Bench} bench
 * @param {string} stack
 * @param {object} service
 * @param {ReadonlyMap<string, number>} shown
 */
async function knowOnce({ testbed, signal }, stack, service, shown) {
  // On Docker's own network of each node: one of the stack's own takes seconds to be made.
  const file = JSON.stringify({
    services: { app: { ...service, networks: ['outside'] } },
    networks: { outside: { external: true, name: 'bridge' } },
  });
  const inputs = { 'stable-for': '1s' };
  const step = await deployByAction(testbed, { stack, file, inputs, signal });
  expectOutcome(step, 'deployed');
  const known = momentOf(step, WORDS.allRun);
  const tasks = await tasksOf(testbed, stack);
  const allShown = () => tasks.every(({ ID }) => shown.has(ID));
  await until(`the engine shows the tasks of ${stack}`, allShown, { signal });
  const last = Math.max(...tasks.map(({ Status }) => Date.parse(Status.Timestamp)));
  const seen = Math.max(...tasks.map(({ ID }) => shown.get(ID) ?? NaN));
  return { afterTask: known - last, afterEngine: known - seen };
}

/**
 * @param {Bench} bench
 * @param {number} samples of each kind
 */
export async function measureKnowing(bench, samples) {
  const { testbed, log } = bench;
  const stop = new AbortController();
  const { shown, ended } = watchEngine(testbed, stop.signal);
  const names = Array.from({ length: samples }, (_, index) => String(index + 1));
  try {
    const fast = [];
    for (const name of names) {
      log(`delay to know, ${name} of ${samples}`);
      const service = { image: testbed.image('web', 'v1'), deploy: { replicas: 3 } };
      fast.push(await knowOnce(bench, `fast-${name}`, service, shown));
      await removeStack(bench, `fast-${name}`);
    }
    log(`delay to know, of ${samples} services that take 26 s to be healthy`);
    const late = await Promise.all(
      names.map(async (name, index) => {
        // Apart from each other, so that they meet the action at any point of its pause.
        await sleep(index * LATE_APART_MS);
        return knowOnce(bench, `late-${name}`, { image: testbed.image('late', 'v1') }, shown);
      }),
    );
    for (const name of names) await removeStack(bench, `late-${name}`);
    return { samples, fast: delays(fast), late: delays(late) };
  } finally {
    stop.abort();
    await ended;
  }
}
const LATE_APART_MS = 1370;

/** @param {readonly {afterTask: number, afterEngine: number}[]} all */
const delays = (all) => ({
  afterTask: summarize(all.map(({ afterTask }) => afterTask)),
  afterEngine: summarize(all.map(({ afterEngine }) => afterEngine)),
});

/** How long nothing moves while it is watched. */
const CALM_S = 20;

/**
 * What watching costs the manager, while an update runs and while nothing moves.
 * @param {Bench} bench
 */
export async function measureWatching(bench) {
  const { testbed, signal, log } = bench;
  const { manager } = testbed;
  const update = { parallelism: REPLICAS, monitor: `${CALM_S}s` };
  const file = (/** @type {string} */ tag) => rollingFile(testbed, tag, update);
  const running = async (/** @type {string} */ tag) => {
    const tasks = await tasksOf(testbed, ROLLING);
    const good = tasks.filter(
      ({ Status, Spec }) =>
        Status.State === 'running' && Spec.ContainerSpec.Image.includes(`/web:${tag}`),
    );
    return good.length === REPLICAS && tasks.length === REPLICAS;
  };
  // From all running on, a span in the middle of the wait: its ends may do something else.
  const calm = async (/** @type {string} */ tag) => {
    await until(`all tasks run ${tag}`, () => running(tag), { timeoutMs: 120_000, signal });
    await sleep(3000);
    const [cpu, at] = [managerCpu(testbed), Date.now()];
    await sleep((CALM_S - 7) * 1000);
    const now = managerCpu(testbed);
    const seconds = (Date.now() - at) / 1000;
    const perSecond = (/** @type {'dockerd' | 'visitors'} */ name) =>
      Number((cpuBetween(cpu, now, name) / seconds).toFixed(1));
    const figures = { dockerdMsPerS: perSecond('dockerd'), visitorsMsPerS: perSecond('visitors') };
    return { figures, from: at, to: Date.now() };
  };

  const socket = join(manager.directory, 'tmp', 'bench-engine.sock');
  const proxy = await startCountingProxy(socket, () => manager.socketPath);
  try {
    log(`watching: the action, with ${CALM_S} s in which nothing moves`);
    const inputs = { 'docker-host': '/tmp/bench-engine.sock', 'stable-for': `${CALM_S}s` };
    const ours = calm('v3');
    const [step, byAction] = await Promise.all([
      deployByAction(testbed, { stack: ROLLING, file: file('v3'), inputs, signal }),
      ours,
    ]);
    expectOutcome(step, 'deployed');
    const asked = (/** @type {number} */ from, /** @type {number} */ to) => {
      const mine = proxy.exchanges.filter(({ at, cli }) => !cli && at >= from && at < to);
      const polls = mine.filter(({ path }) => /^\/services(\?|$)/.test(path)).length;
      const total = (/** @type {'sent' | 'received'} */ way) =>
        Math.round(mine.reduce((sum, one) => sum + one[way], 0) / polls);
      return {
        seconds: Number(((to - from) / 1000).toFixed(1)),
        polls,
        requestsPerPoll: Number((mine.length / polls).toFixed(2)),
        sentPerPoll: total('sent'),
        receivedPerPoll: total('received'),
      };
    };
    const moving = asked(momentOf(step, WORDS.watching), momentOf(step, WORDS.allRun));

    log('watching: docker stack deploy --detach=false');
    const theirs = calm('v1');
    const [, byHand] = await Promise.all([
      deployByHand(testbed, {
        stack: ROLLING,
        file: file('v1'),
        detach: false,
        connections: 'three',
        signal,
      }),
      theirs,
    ]);
    log('watching: nobody');
    const nobody = await calm('v1');
    return {
      replicas: REPLICAS,
      moving,
      still: asked(byAction.from, byAction.to),
      manager: { action: byAction.figures, waiting: byHand.figures, nobody: nobody.figures },
    };
  } finally {
    await proxy.close();
    rmSync(socket, { force: true });
  }
}

/** Takes away what plain `docker login` leaves on the manager. @param {Testbed} testbed */
export async function forgetLogin({ manager }) {
  await manager.exec(`rm -rf /home/${USER}/.docker /home/${USER}/docker-stack.yml`);
}
