/**
 * The fault matrix: what may break around a run, when, and what must come of it. Data for `npm test` and
 * `npm run faults`.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { portsOf } from '../../testbed/lib/processes.mjs';
import { until } from '../../testbed/lib/wait.mjs';
import { asBefore, runs } from './truth-table.mjs';
import { quickUpdate } from './stack.mjs';

/**
 * @typedef {import('./play-fault.mjs').Fault} Fault
 * @typedef {import('./play-fault.mjs').Scene} Scene
 * @typedef {import('./stack.mjs').Stack} Stack
 * @typedef {import('./live.js').Testbed} Testbed
 * @typedef {Fault['check']} Check
 */

const NEW = { outcome: 'deployed', reason: '', end: 'version 2 runs' };
const BACK = { outcome: 'rolled-back', end: 'as it was' };
const UNTOUCHED = { outcome: 'invalid', end: 'as it was' };
const CANCELLED = { outcome: 'cancelled', reason: 'cancelled' };
const DEAD = { outcome: '(none)', reason: '(none)' };

const SIX_ON_V2 = Object.fromEntries([1, 2, 3, 4, 5, 6].map((n) => [`s${n}`, 'web:v2 x1']));
/** @type {Check} */
const onV2 = runs({ api: 'web:v2 x2' });

/** The swarm goes on by itself, in its own time. @param {Check} check @returns {Check} */
const inTheEnd = (check) => async (stack, before) => {
  let error = /** @type {unknown} */ (undefined);
  const holds = async () => {
    try {
      await check(stack, before);
      return true;
    } catch (caught) {
      error = caught;
      return false;
    }
  };
  await until('the end', holds, { timeoutMs: 180_000, intervalMs: 500 }).catch(() => {
    throw error;
  });
};

/** @param {Scene} scene @param {string} name @param {string} tag @param {object} [deploy] @param {object} [more] */
const service = (scene, name, tag, deploy = {}, more = {}) => ({
  image: scene.image(name, tag),
  ...more,
  deploy: { replicas: 2, update_config: quickUpdate, ...deploy },
});

/** @param {string} name @param {string} tag @param {object} [deploy] @param {object} [more] */
const api = (name, tag, deploy, more) => (/** @type {Scene} */ scene) => ({
  api: service(scene, name, tag, deploy, more),
});

/** Takes 8 s to become healthy, so that something may happen meanwhile. */
const slow = api('slow', 'v2');
const slowRuns = runs({ api: 'slow:v2 x2' });
/** Never becomes healthy. */
const bad = api('unhealthy', 'v1');
const BAD = ['unhealthy', 'update-paused'];
/** A way back that takes 8 s. */
const slowBefore = api('slow', 'v1');
/** The former tasks are gone before the new ones start. */
const slowInstead = api('slow', 'v2', { update_config: { ...quickUpdate, order: 'stop-first' } });
/** Swarm goes on, though it ends tasks early of which it had not heard for long. */
const slowAnyway = api('slow', 'v2', {
  update_config: { ...quickUpdate, failure_action: 'continue' },
});

const WATCH = /::group::Watch the tasks/;
const STARTING = /\.\d+ starting on /;
const DEPLOY = /::group::Deploy the stack/;
const LOGIN = /::group::Log into the registry/;
const BACKWARDS = /::group::Roll back/;

/** @param {Scene} scene */
const proxied = (scene) => scene.openRegistry();
/** The login takes place at the proxy. @param {Scene} scene */
const atProxy = (scene) => ({ registry: scene.registry?.host ?? '' });
/** The registry of this case answers like this from now on. @param {import('../../testbed/lib/proxy.mjs').Answer} answer */
const answers = (answer) => async (/** @type {Scene} */ scene) => scene.registry?.set(answer);

/** @param {Scene} scene */
const linked = (scene) => scene.openLink();
/** @param {Scene} scene */
const viaLink = (scene) => scene.viaLink();

/** @param {Scene} scene */
const cut = (scene) => scene.cut();
/** @param {Scene} scene */
const drop = (scene) => scene.drop();
/** @param {NodeJS.Signals} signal */
const kill = (signal) => async (/** @type {Scene} */ scene) => scene.kill(signal);

/** As GitHub's runner does it. @param {Scene} scene */
async function asGitHubCancels(scene) {
  scene.kill('SIGINT');
  const ended = new Promise((resolve) => scene.child.once('exit', resolve));
  for (const [ms, signal] of /** @type {const} */ ([
    [7500, 'SIGTERM'],
    [2500, 'SIGKILL'],
  ])) {
    const over = await Promise.race([ended.then(() => true), sleep(ms).then(() => false)]);
    if (over) return;
    scene.child.kill(signal);
  }
}

/** Only once the command is at work: the digests are asked of a registry that takes its time. */
const inDeploy = {
  arrange: proxied,
  at: DEPLOY,
  inputs: (/** @type {Scene} */ scene) => ({ ...atProxy(scene) }),
};

/** @param {(scene: Scene) => Promise<unknown>} strike */
const slowly = (strike) => async (/** @type {Scene} */ scene) => {
  scene.registry?.set({ slowMs: 4000 });
  await scene.deploying();
  await strike(scene);
  scene.registry?.set('pass');
};

/** Somebody else's lock, which is given up when the case says so. @param {Scene} scene */
async function lockIt(scene) {
  const { stack } = scene;
  const Labels = {
    'com.docker.stack.namespace': stack.name,
    'swarm-deploy.kind': 'lock',
    'swarm-deploy.holder': 'a'.repeat(32),
    'swarm-deploy.run-url': 'https://example.org/runs/1',
    'swarm-deploy.actor': 'alice',
    'swarm-deploy.since': '2026-01-01T00:00:00.000Z',
    'swarm-deploy.beat': '1',
  };
  const made = await stack.manager.api('POST', '/configs/create', {
    ...{ Name: `${stack.name}.lock`, Labels, Data: 'eA==' },
  });
  scene.notes['lock'] = made.ID;
}
/** @param {Scene} scene */
const unlockIt = (scene) => scene.stack.manager.docker('config', 'rm', String(scene.notes['lock']));

/** @type {readonly Fault[]} */
const CONNECTION = [
  {
    id: 'cut-login',
    fault: "the session's sshd is killed",
    when: 'while it logs into the registry, before anything is written',
    at: LOGIN,
    strike: cut,
    ...NEW,
    check: onV2,
  },
  {
    id: 'cut-deploy',
    fault: "the session's sshd is killed",
    when: 'while `docker stack deploy` runs',
    ...inDeploy,
    strike: slowly(cut),
    ...NEW,
    check: onV2,
  },
  {
    id: 'cut-writing',
    fault: "the session's sshd is killed",
    when: 'at the first service that `docker stack deploy` has written, of 6',
    before: (scene) => six(scene, 'v1'),
    deploy: (scene) => six(scene, 'v2'),
    at: /docker: Updating service/,
    strike: cut,
    ...NEW,
    check: runs(SIX_ON_V2),
  },
  {
    id: 'cut-deployed',
    fault: "the session's sshd is killed",
    when: 'right after `docker stack deploy`',
    at: WATCH,
    strike: cut,
    ...NEW,
    check: onV2,
  },
  {
    id: 'cut-watch',
    fault: "the session's sshd is killed, five times",
    when: 'in the watch, every 2 s',
    deploy: slow,
    at: WATCH,
    strike: async (scene) => {
      for (let count = 0; count < 5; count += 1) {
        if (scene.child.exitCode !== null) return;
        await scene.cut();
        await sleep(2000);
      }
    },
    ...NEW,
    check: slowRuns,
  },
  {
    id: 'cut-rollback',
    fault: "the session's sshd is killed",
    when: 'in the rollback',
    before: slowBefore,
    deploy: bad,
    at: BACKWARDS,
    strike: cut,
    ...BACK,
    reason: BAD,
    check: asBefore,
  },
  {
    id: 'cut-waiting',
    fault: "the session's sshd is killed",
    when: 'while it waits for the lock of another run',
    arrange: lockIt,
    at: /is locked/,
    strike: async (scene) => {
      await scene.cut();
      await scene.said(/connection lost/);
      await unlockIt(scene);
    },
    ...NEW,
    check: onV2,
  },
  {
    id: 'drop-deploy',
    fault: 'packets of the connection are dropped from then on',
    when: 'while `docker stack deploy` runs',
    ...inDeploy,
    strike: slowly(drop),
    ...NEW,
    check: onV2,
  },
  {
    id: 'drop-watch',
    fault: 'packets of the connection are dropped from then on',
    when: 'in the watch',
    deploy: slow,
    at: WATCH,
    strike: drop,
    ...NEW,
    check: slowRuns,
  },
  {
    id: 'drop-rollback',
    fault: 'packets of the connection are dropped from then on',
    when: 'in the rollback',
    before: slowBefore,
    deploy: bad,
    at: BACKWARDS,
    strike: drop,
    ...BACK,
    reason: BAD,
    check: asBefore,
  },
  {
    id: 'late-packets',
    fault: 'every packet is 150 ms late',
    when: 'all the time',
    arrange: async (scene) => (await linked(scene)).delay(150),
    inputs: viaLink,
    strike: () => Promise.resolve(),
    ...NEW,
    check: onV2,
  },
  {
    id: 'slow-line',
    fault: 'no more than 20 KB pass in a second, and what the stack keeps in the swarm is 400 KB',
    when: 'all the time',
    arrange: async (scene) => {
      const { stack } = scene;
      await stack.manager.api('POST', '/configs/create', {
        Name: `${stack.name}_large`,
        Labels: { 'com.docker.stack.namespace': stack.name },
        Data: randomBytes(300_000).toString('base64'),
      });
      (await linked(scene)).narrow(20_000);
    },
    inputs: viaLink,
    strike: () => Promise.resolve(),
    ...NEW,
    check: onV2,
    says: (run) => assert.doesNotMatch(run.log, /connection lost/),
  },
  {
    id: 'gone-a-while',
    fault: 'the manager cannot be reached for 20 s',
    when: 'in the watch',
    arrange: linked,
    inputs: viaLink,
    deploy: slow,
    at: WATCH,
    strike: async (scene) => {
      scene.link?.set('cut');
      await sleep(20_000);
      scene.link?.set('pass');
    },
    ...NEW,
    check: slowRuns,
  },
  {
    id: 'gone-for-good',
    fault: 'the manager cannot be reached any more',
    when: 'in the watch of a version that never becomes healthy',
    arrange: linked,
    inputs: viaLink,
    deploy: bad,
    at: WATCH,
    strike: async (scene) => scene.link?.set('cut'),
    outcome: 'unreachable',
    reason: 'connection-lost',
    end: 'as it was deployed: nothing is rolled back',
    leaves: ['lock', 'open revision'],
    check: async (stack) => {
      const { Spec } = await stack.service('api');
      assert.match(Spec.TaskTemplate.ContainerSpec.Image, /unhealthy:v1@/);
    },
    says: (run) => assert.match(run.log, /nothing was rolled back/),
    next: true,
  },
  {
    id: 'gone-first',
    fault: 'the manager cannot be reached',
    when: 'from the start',
    arrange: async (scene) => (await linked(scene)).set('cut'),
    inputs: (scene) => ({ ...viaLink(scene), 'connect-timeout': '3s' }),
    strike: () => Promise.resolve(),
    outcome: 'unreachable',
    reason: 'connection-lost',
    end: 'as it was',
    check: asBefore,
  },
];

/** @param {Scene} scene @param {string} tag */
const six = (scene, tag) =>
  Object.fromEntries(
    [1, 2, 3, 4, 5, 6].map((n) => [`s${n}`, service(scene, 'web', tag, { replicas: 1 })]),
  );

/** @type {readonly Fault[]} */
const REGISTRY = [
  ...[
    {
      id: 'stopped',
      answer: /** @type {const} */ ('refuse'),
      words: 'is stopped',
      reason: 'registry-unreachable',
    },
    { id: '401', answer: 401, words: 'answers 401', reason: 'registry-auth' },
    { id: '429', answer: 429, words: 'answers 429', reason: 'registry-unreachable' },
    { id: '500', answer: 500, words: 'answers 500', reason: 'registry-unreachable' },
    {
      id: 'hangs',
      answer: /** @type {const} */ ('hang'),
      words: 'does not answer',
      reason: 'registry-unreachable',
    },
  ].map(
    ({ id, answer, words, reason }) =>
      /** @type {Fault} */ ({
        id: `login-${id}`,
        fault: `the registry ${words}`,
        when: 'at the login',
        arrange: async (scene) => (await proxied(scene)).set(answer),
        inputs: atProxy,
        strike: () => Promise.resolve(),
        ...UNTOUCHED,
        reason,
        check: asBefore,
      }),
  ),
  ...[
    {
      id: 'stopped',
      answer: /** @type {const} */ ('refuse'),
      words: 'is stopped',
    },
    { id: '401', answer: 401, words: 'answers 401' },
    { id: '429', answer: 429, words: 'answers 429' },
    { id: '500', answer: 500, words: 'answers 500' },
  ].map(
    ({ id, answer, words }) =>
      /** @type {Fault} */ ({
        id: `pull-${id}`,
        fault: `the registry ${words}`,
        when: 'after the login: no digest, no pull',
        arrange: proxied,
        inputs: (scene) => ({ ...atProxy(scene), 'progress-timeout': '20s' }),
        deploy: (scene) => ({ api: service(scene, 'web', 'v2', {}, { labels: { fault: id } }) }),
        at: DEPLOY,
        strike: answers(answer),
        ...BACK,
        // As it is told: Docker's own word for whatever keeps an image from coming is "No such image".
        reason: ['update-paused', 'image-not-found', 'registry-unreachable', 'registry-auth'],
        check: inTheEnd(asBefore),
        says: (run) => assert.match(run.log, /No such image: \S+\/web:v2/),
      }),
  ),
  {
    id: 'registry-crawls',
    fault: 'each answer of the registry takes 3 s',
    when: 'all the time',
    arrange: async (scene) => (await proxied(scene)).set({ slowMs: 3000 }),
    inputs: atProxy,
    strike: () => Promise.resolve(),
    ...NEW,
    check: onV2,
  },
  {
    id: 'registry-crawls-back',
    fault: 'each answer of the registry takes 1 s',
    when: 'all the time: Swarm has rolled one service back before the others are written',
    before: (scene) => ({ api: service(scene, 'web', 'v1'), ...six(scene, 'v1') }),
    arrange: async (scene) => (await proxied(scene)).set({ slowMs: 1000 }),
    deploy: (scene) => ({
      api: {
        // Its registry is another one, which answers at once.
        image: scene.stack.image('web', 'v9'),
        deploy: { replicas: 2, update_config: { ...quickUpdate, failure_action: 'rollback' } },
      },
      ...six(scene, 'v2'),
    }),
    inputs: atProxy,
    strike: () => Promise.resolve(),
    ...BACK,
    reason: 'rolled-back-by-swarm',
    check: inTheEnd(asBefore),
    says: (run) => assert.match(run.log, /_api: .* could not pull \S+\/web:v9/),
  },
  {
    id: 'registry-again',
    fault: 'the registry answers 500 once',
    when: 'at the first login',
    arrange: async (scene) => (await proxied(scene)).set(500),
    inputs: atProxy,
    at: /login to .* failed/,
    strike: answers('pass'),
    ...NEW,
    check: onV2,
  },
];

/** The runner's time of day is moved: by so much, or once a file is there. */
const CLOCK = `
const RealDate = Date, fs = require('node:fs');
const by = () => Number(process.env.CLOCK_BY) *
  (!process.env.CLOCK_WHEN || fs.existsSync(process.env.CLOCK_WHEN) ? 1 : 0);
globalThis.Date = class Date extends RealDate {
  constructor(...args) { super(...(args.length === 0 ? [RealDate.now() + by()] : args)); }
  static now() { return RealDate.now() + by(); }
};
`;

/** @param {Scene} scene @param {number} hours @param {string} [when] a file */
function movedClock(scene, hours, when = '') {
  const path = `/var/tmp/clock-${scene.stack.name}.cjs`;
  writeFileSync(path, CLOCK);
  scene.later(async () => rmSync(path, { force: true }));
  return {
    env: {
      NODE_OPTIONS: `--require=${path}`,
      CLOCK_BY: String(hours * 3_600_000),
      CLOCK_WHEN: when,
    },
  };
}

/** @param {Scene} scene */
const jumpFile = (scene) => `/var/tmp/jump-${scene.stack.name}`;

/** @param {number} hours @returns {(scene: Scene) => Promise<unknown>} a run whose clock is wrong has the lock */
const holdLock = (hours) => async (scene) => {
  const { stack } = scene;
  const { promise, resolve } = withResolvers();
  // Longer than the time after which a lock that does not move may be taken over.
  const other = stack.deploy(
    { api: service(scene, 'web', 'v3') },
    { 'stable-for': '50s' },
    {
      ...movedClock(scene, hours),
      onLine: (line) => {
        if (WATCH.test(line)) resolve(undefined);
      },
    },
  );
  await Promise.race([promise, other]);
  scene.notes['other'] = other;
};

function withResolvers() {
  /** @type {(value: unknown) => void} */
  let resolve = () => undefined;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

/** @type {readonly Fault[]} */
const RUNNER = [
  {
    id: 'killed-deploy',
    fault: 'the runner is killed, and runs no `post`',
    when: 'while `docker stack deploy` runs',
    ...inDeploy,
    step: () => ({ post: false }),
    strike: slowly(kill('SIGKILL')),
    ...DEAD,
    end: 'as the swarm had accepted it; the next run takes the lock over',
    leaves: ['lock', 'open revision', 'directory', 'process', 'file'],
    check: inTheEnd(onV2),
    next: true,
  },
  {
    id: 'killed-watch',
    fault: 'the runner is killed, and runs no `post`',
    when: 'in the watch',
    deploy: slow,
    at: WATCH,
    step: () => ({ post: false }),
    strike: kill('SIGKILL'),
    ...DEAD,
    end: 'the swarm goes on; the next run takes the lock over',
    leaves: ['lock', 'open revision', 'directory'],
    check: inTheEnd(slowRuns),
    next: true,
  },
  {
    id: 'killed-rollback',
    fault: 'the runner is killed, and runs no `post`',
    when: 'in the rollback',
    before: slowBefore,
    deploy: bad,
    at: /restoring the former spec/,
    step: () => ({ post: false }),
    strike: async (scene) => {
      await until('the former spec is written', async () => {
        const { Spec } = await scene.stack.service('api');
        return /slow:v1@/.test(Spec.TaskTemplate.ContainerSpec.Image);
      });
      scene.kill('SIGKILL');
    },
    ...DEAD,
    end: 'as it was; the next run takes the lock over',
    leaves: ['lock', 'open revision', 'directory'],
    check: inTheEnd(asBefore),
    next: true,
  },
  {
    id: 'killed-post',
    fault: 'the process is killed, and `post` runs',
    when: 'while `docker stack deploy` runs',
    ...inDeploy,
    strike: slowly(kill('SIGKILL')),
    ...DEAD,
    end: 'as it was, or as the swarm had accepted it: nothing is half written',
    check: async () => undefined,
    next: true,
  },
  {
    id: 'runner-files',
    fault: "the runner's files cannot be written, its directory for temporary files is missing",
    when: 'all the time',
    step: () => ({
      env: {
        ...{ GITHUB_OUTPUT: '/nowhere/output', GITHUB_STATE: '/nowhere/state' },
        ...{ GITHUB_STEP_SUMMARY: '/nowhere/summary', RUNNER_TEMP: '/nowhere' },
      },
    }),
    strike: () => Promise.resolve(),
    ...NEW,
    check: onV2,
    says: (run) => assert.equal(run.log.match(/^::warning::could not write/gm)?.length, 1),
  },
  {
    id: 'runner-disk',
    fault: "the runner's disk is full",
    when: 'all the time; the version never becomes healthy',
    deploy: bad,
    step: () => ({
      env: {
        ...{ GITHUB_OUTPUT: '/dev/full', GITHUB_STATE: '/dev/full' },
        ...{ GITHUB_STEP_SUMMARY: '/dev/full', RUNNER_TEMP: '/dev/full' },
      },
    }),
    strike: () => Promise.resolve(),
    ...BACK,
    reason: BAD,
    check: asBefore,
    says: (run) => assert.match(run.log, /^::warning::could not write .*ENOSPC/m),
  },
  {
    id: 'clock-ahead',
    fault: "the runner's clock is 6 h ahead",
    when: 'all the time',
    step: (scene) => movedClock(scene, 6),
    strike: () => Promise.resolve(),
    ...NEW,
    check: onV2,
    next: true,
  },
  {
    id: 'clock-behind',
    fault: "the runner's clock is 6 h behind",
    when: 'all the time; the version never becomes healthy',
    deploy: bad,
    step: (scene) => movedClock(scene, -6),
    strike: () => Promise.resolve(),
    ...BACK,
    reason: BAD,
    check: asBefore,
    next: true,
  },
  {
    id: 'clock-lock',
    fault: 'the clock of the run that has the lock is 6 h behind',
    when: 'while this one waits for it',
    arrange: holdLock(-6),
    at: /is locked/,
    strike: async (scene) => scene.notes['other'],
    ...NEW,
    check: onV2,
    says: (run) => assert.doesNotMatch(run.log, /took over the lock/),
  },
  {
    id: 'clock-jumps',
    fault: "the runner's clock jumps ahead by 1 h",
    when: 'in the watch',
    deploy: slow,
    at: WATCH,
    step: (scene) => movedClock(scene, 1, jumpFile(scene)),
    strike: async (scene) => {
      writeFileSync(jumpFile(scene), '');
      scene.later(async () => rmSync(jumpFile(scene), { force: true }));
    },
    ...NEW,
    check: slowRuns,
  },
];

const ROLLBACK = () => ({ 'on-cancel': 'rollback' });

/** @type {readonly Fault[]} */
const CANCEL = [
  {
    id: 'cancel-connect',
    fault: 'SIGINT',
    when: 'while it connects to a manager that does not answer',
    arrange: async (scene) => (await linked(scene)).set('stall'),
    inputs: viaLink,
    strike: async (scene) => {
      await until('it connects', () => portsOf(scene.child.pid ?? 0).length > 0);
      scene.kill('SIGINT');
    },
    ...CANCELLED,
    end: 'as it was',
    check: asBefore,
  },
  {
    id: 'cancel-waiting',
    fault: 'SIGTERM',
    when: 'while it waits for the lock of another run',
    arrange: lockIt,
    at: /is locked/,
    strike: kill('SIGTERM'),
    repair: unlockIt,
    ...CANCELLED,
    end: 'as it was',
    check: asBefore,
  },
  {
    id: 'cancel-login',
    fault: 'SIGINT',
    when: 'while it logs into a registry that does not answer',
    arrange: async (scene) => (await proxied(scene)).set('hang'),
    inputs: atProxy,
    at: LOGIN,
    strike: kill('SIGINT'),
    ...CANCELLED,
    end: 'as it was',
    check: asBefore,
  },
  {
    id: 'cancel-upload',
    fault: 'SIGINT',
    when: 'while its files are being written on the manager',
    strike: async (scene) => {
      await scene.directory();
      scene.kill('SIGINT');
    },
    ...CANCELLED,
    end: 'as it was',
    check: asBefore,
  },
  {
    id: 'cancel-deploy',
    fault: 'SIGINT',
    when: 'while `docker stack deploy` runs, before it has written anything',
    ...inDeploy,
    strike: slowly(kill('SIGINT')),
    ...CANCELLED,
    end: 'as it was: the command was stopped',
    check: asBefore,
  },
  {
    id: 'cancel-watch',
    fault: 'SIGINT',
    when: 'in the watch',
    deploy: slow,
    at: WATCH,
    strike: kill('SIGINT'),
    ...CANCELLED,
    end: 'the swarm goes on to version 2',
    check: inTheEnd(slowRuns),
    says: (run) => assert.match(run.summary, /Last seen/),
  },
  {
    id: 'cancel-watch-term',
    fault: 'SIGTERM',
    when: 'in the watch',
    deploy: slow,
    at: WATCH,
    strike: kill('SIGTERM'),
    ...CANCELLED,
    end: 'the swarm goes on to version 2',
    check: inTheEnd(slowRuns),
  },
  {
    id: 'cancel-rollback',
    fault: 'SIGINT',
    when: 'in the rollback, once the former spec is written',
    before: slowBefore,
    deploy: bad,
    at: /restoring the former spec/,
    strike: async (scene) => {
      await until('the former spec is written', async () => {
        const { Spec } = await scene.stack.service('api');
        return /slow:v1@/.test(Spec.TaskTemplate.ContainerSpec.Image);
      });
      scene.kill('SIGINT');
    },
    ...CANCELLED,
    end: 'the swarm goes on to what was there before',
    check: inTheEnd(asBefore),
    says: (run) => assert.match(run.log, /It was being rolled back/),
  },
  {
    id: 'cancel-prune',
    fault: 'SIGINT',
    when: 'while services that are no longer in the files are removed',
    before: (scene) => ({ api: service(scene, 'web', 'v1'), ...six(scene, 'v1') }),
    arrange: linked,
    inputs: (scene) => ({ ...viaLink(scene), prune: true }),
    at: /pruning /,
    strike: async (scene) => {
      // What is left to remove takes a while, so that the signal cannot come too late.
      scene.link?.delay(500);
      scene.kill('SIGINT');
    },
    ...CANCELLED,
    end: 'version 2 runs; what was not removed is still there',
    check: onV2,
  },
  {
    id: 'cancel-unlock',
    fault: 'SIGINT',
    when: 'at the end, while the revision is closed and the lock given back',
    before: (scene) => ({ api: service(scene, 'web', 'v1'), old: service(scene, 'web', 'v1') }),
    arrange: linked,
    inputs: (scene) => ({ ...viaLink(scene), prune: true }),
    at: /pruning /,
    strike: async (scene) => {
      // What is left to do takes a while, so that the signal cannot come too late.
      scene.link?.delay(500);
      await until(
        'the service is gone',
        async () => (await scene.stack.services())['old'] === undefined,
        { intervalMs: 5 },
      );
      scene.kill('SIGINT');
    },
    ...CANCELLED,
    end: 'version 2 runs',
    check: onV2,
  },
  {
    id: 'undo-watch',
    fault: 'SIGINT, SIGTERM 7.5 s later, with `on-cancel: rollback`',
    when: 'in the watch',
    deploy: slow,
    inputs: ROLLBACK,
    at: WATCH,
    strike: asGitHubCancels,
    ...CANCELLED,
    end: 'as it was',
    check: asBefore,
  },
  {
    id: 'undo-first',
    fault: 'SIGINT, SIGTERM 7.5 s later, with `on-cancel: rollback`',
    when: 'in the watch of the first deploy',
    before: null,
    deploy: slow,
    inputs: ROLLBACK,
    at: WATCH,
    strike: asGitHubCancels,
    ...CANCELLED,
    end: 'there is no stack',
    check: asBefore,
  },
  {
    id: 'undo-deploy',
    fault: 'SIGINT, SIGTERM 7.5 s later, with `on-cancel: rollback`',
    when: 'when `docker stack deploy` has written the first of 6 services',
    before: (scene) => six(scene, 'v1'),
    deploy: (scene) => six(scene, 'v2'),
    inputs: ROLLBACK,
    at: /docker: Updating service/,
    strike: asGitHubCancels,
    ...CANCELLED,
    end: 'as it was',
    check: asBefore,
  },
  {
    id: 'undo-slow',
    fault: 'SIGINT, SIGTERM 7.5 s later, with `on-cancel: rollback`',
    when: 'in the watch; what was there before is gone, and takes 8 s to become healthy',
    before: slowBefore,
    deploy: slowInstead,
    inputs: ROLLBACK,
    at: STARTING,
    strike: asGitHubCancels,
    ...CANCELLED,
    end: 'as it was, finished by `post`',
    check: asBefore,
    says: (run) => assert.match(run.postLog, /rolled-back\. The stack is verified/),
  },
  {
    id: 'undo-killed',
    fault: 'SIGKILL, with `on-cancel: rollback`',
    when: 'in the watch',
    deploy: slow,
    inputs: ROLLBACK,
    at: WATCH,
    strike: kill('SIGKILL'),
    ...DEAD,
    end: 'as it was, by `post` alone',
    check: asBefore,
    says: (run) => assert.match(run.postLog, /rolled-back\. The stack is verified/),
  },
];

/** @param {Scene} scene */
const allManagers = ({ bed }) => ({
  host: bed.nodes
    .filter(({ role }) => role === 'manager')
    .map(({ address }) => address)
    .join('\n'),
  'connect-timeout': '5s',
});

/** The managers, the one that the run is connected to first. @param {Scene} scene */
function managersOf({ bed, stack }) {
  const others = bed.nodes.filter((node) => node.role === 'manager' && node !== stack.manager);
  const [second, third] = others;
  if (second === undefined || third === undefined) throw new Error('There are not three managers.');
  return { first: stack.manager, second, third };
}

/** Another manager is asked from now on. @param {Scene} scene */
const askAnother = (scene) => {
  scene.stack.manager = managersOf(scene).second;
};

/** The leader is alone, and the runner reaches it all the same. @param {Scene} scene */
async function cutOff(scene) {
  const { first, second, third } = managersOf(scene);
  askAnother(scene);
  const others = scene.bed.nodes.filter((node) => node !== first);
  scene.later(async () => {
    await first.passPackets();
    // It asks for votes in a term that is ahead of theirs: they elect their leader once more.
    await until('there is a leader again', () => hasLeader([first]), { timeoutMs: 120_000 });
  });
  await first.cutOff(others.map(({ address }) => address));
  await until('the others have a leader', () => hasLeader([second, third]), {
    timeoutMs: 180_000,
  });
}

/** Its part in the swarm from now on is that of a worker. @param {Scene} scene */
async function demote(scene) {
  const { first, second } = managersOf(scene);
  askAnother(scene);
  scene.later(async () => {
    await second.docker('node', 'promote', first.name);
    await until('it is a manager again', () => hasLeader([first]), { timeoutMs: 120_000 });
  });
  await second.docker('node', 'demote', first.name);
  await until('it is no manager', async () => !(await hasLeader([first])), { timeoutMs: 120_000 });
}

/** @param {readonly Testbed['nodes'][number][]} managers any of them */
async function hasLeader(managers) {
  const looks = managers.map((node) => node.exec(['docker', 'node', 'ls']));
  return (await Promise.all(looks)).some(({ code }) => code === 0);
}

/** @param {Scene} scene */
async function loseQuorum(scene) {
  const { first, second, third } = managersOf(scene);
  await Promise.all([second.stopEngine('SIGKILL'), third.stopEngine('SIGKILL')]);
  await until('there is no leader', async () => !(await hasLeader([first])), {
    timeoutMs: 180_000,
  });
}

/** @param {Scene} scene */
async function regainQuorum(scene) {
  const { first, second, third } = managersOf(scene);
  await Promise.all([second.startEngine(), third.startEngine()]);
  await until('there is a leader', () => hasLeader([first]), { timeoutMs: 180_000 });
}

/** @type {readonly Fault[]} */
const MANAGERS = [
  {
    id: 'leader-killed',
    fault: 'dockerd of the leader, which it is connected to, is killed',
    when: 'in the watch',
    deploy: slow,
    inputs: allManagers,
    at: WATCH,
    strike: async (scene) => {
      const { first } = managersOf(scene);
      askAnother(scene);
      await first.stopEngine('SIGKILL');
    },
    ...NEW,
    check: inTheEnd(slowRuns),
  },
  {
    id: 'leader-stopped',
    fault: 'dockerd of a manager, which it is connected to, hangs (SIGSTOP)',
    when: 'in the watch',
    deploy: slow,
    inputs: allManagers,
    at: WATCH,
    strike: async (scene) => {
      const { first } = managersOf(scene);
      askAnother(scene);
      await first.stopEngine('SIGSTOP');
    },
    ...NEW,
    check: inTheEnd(slowRuns),
  },
  {
    id: 'manager-unplugged',
    fault: 'the manager that it is connected to loses its network',
    when: 'in the watch',
    deploy: slow,
    inputs: allManagers,
    at: WATCH,
    strike: async (scene) => {
      const { first } = managersOf(scene);
      askAnother(scene);
      await first.link('down');
    },
    ...NEW,
    check: inTheEnd(slowRuns),
    leaves: ['directory on manager1'],
  },
  {
    id: 'leader-killed-deploy',
    fault: 'dockerd of the leader, which it is connected to, is killed',
    when: 'while `docker stack deploy` runs',
    ...inDeploy,
    inputs: (scene) => ({ ...allManagers(scene), ...atProxy(scene) }),
    strike: async (scene) => {
      scene.registry?.set({ slowMs: 4000 });
      await scene.deploying();
      const { first } = managersOf(scene);
      askAnother(scene);
      await first.stopEngine('SIGKILL');
      scene.registry?.set('pass');
    },
    ...NEW,
    check: inTheEnd(onV2),
  },
  {
    id: 'demoted',
    fault: 'the manager that it is connected to is demoted',
    when: 'in the watch',
    deploy: slow,
    inputs: allManagers,
    at: WATCH,
    strike: demote,
    ...NEW,
    check: inTheEnd(slowRuns),
  },
  {
    id: 'demoted-deploy',
    fault: 'the manager that it is connected to is demoted',
    when: 'while `docker stack deploy` runs',
    ...inDeploy,
    inputs: (scene) => ({ ...allManagers(scene), ...atProxy(scene) }),
    before: (scene) => six(scene, 'v1'),
    deploy: (scene) => six(scene, 'v2'),
    strike: slowly(demote),
    ...NEW,
    check: inTheEnd(runs(SIX_ON_V2)),
  },
  {
    id: 'leader-cut-off',
    fault: 'the leader, which it is connected to, is cut off from all other nodes',
    when: 'in the watch',
    deploy: slow,
    inputs: allManagers,
    at: WATCH,
    strike: cutOff,
    ...NEW,
    check: inTheEnd(slowRuns),
  },
  {
    id: 'leader-cut-off-deploy',
    fault: 'the leader, which it is connected to, is cut off from all other nodes',
    when: 'while `docker stack deploy` runs',
    ...inDeploy,
    inputs: (scene) => ({ ...allManagers(scene), ...atProxy(scene) }),
    strike: slowly(cutOff),
    ...NEW,
    check: inTheEnd(onV2),
  },
  {
    id: 'quorum-lost',
    fault: 'two of three managers are killed',
    when: 'before the run',
    already: loseQuorum,
    inputs: allManagers,
    strike: () => Promise.resolve(),
    repair: regainQuorum,
    outcome: 'unreachable',
    reason: 'connection-lost',
    end: 'as it was',
    check: inTheEnd(asBefore),
    says: (run) => assert.match(run.log, /^::error.*swarm does not have a leader/m),
    next: true,
  },
  {
    id: 'quorum-deploy',
    fault: 'two of three managers are killed, and come back 15 s later',
    when: 'while `docker stack deploy` runs',
    ...inDeploy,
    inputs: (scene) => ({ ...allManagers(scene), ...atProxy(scene) }),
    strike: slowly(async (scene) => {
      await loseQuorum(scene);
      scene.registry?.set('pass');
      await sleep(15_000);
      await regainQuorum(scene);
    }),
    ...NEW,
    check: inTheEnd(onV2),
  },
  {
    id: 'quorum-a-while',
    fault: 'two of three managers are killed, and come back 15 s later',
    when: 'in the watch',
    deploy: slow,
    inputs: allManagers,
    at: WATCH,
    strike: async (scene) => {
      const { second, third } = managersOf(scene);
      await Promise.all([second.stopEngine('SIGKILL'), third.stopEngine('SIGKILL')]);
      await sleep(15_000);
      await Promise.all([second.startEngine(), third.startEngine()]);
    },
    ...NEW,
    check: inTheEnd(slowRuns),
  },
  {
    id: 'quorum-rollback',
    fault: 'two of three managers are killed, and come back 15 s later',
    when: 'in the rollback',
    before: slowBefore,
    deploy: bad,
    inputs: allManagers,
    at: BACKWARDS,
    strike: async (scene) => {
      const { second, third } = managersOf(scene);
      await Promise.all([second.stopEngine('SIGKILL'), third.stopEngine('SIGKILL')]);
      await sleep(15_000);
      await Promise.all([second.startEngine(), third.startEngine()]);
    },
    ...BACK,
    reason: BAD,
    check: inTheEnd(asBefore),
  },
];

/** @param {'drain' | 'pause'} availability */
const make =
  (availability) =>
  (/** @type {Scene} */ { stack }) =>
    stack.manager.docker('node', 'update', '--availability', availability, 'worker2');

const three = { replicas: 3 };

/** @type {readonly Fault[]} */
const NODES = [
  {
    id: 'engine-restarts',
    fault: 'dockerd of the only manager is stopped, and started 3 s later',
    when: 'in the watch',
    deploy: slow,
    at: WATCH,
    strike: async ({ stack }) => {
      await stack.manager.stopEngine('SIGTERM');
      await sleep(3000);
      await stack.manager.startEngine();
    },
    ...NEW,
    check: inTheEnd(slowRuns),
  },
  {
    id: 'engine-hangs',
    fault: 'dockerd of the only manager hangs for 25 s (SIGSTOP)',
    when: 'in the watch',
    deploy: slowAnyway,
    at: WATCH,
    strike: async ({ stack }) => {
      await stack.manager.stopEngine('SIGSTOP');
      await sleep(25_000);
      await stack.manager.startEngine();
    },
    ...NEW,
    check: inTheEnd(slowRuns),
  },
  {
    id: 'engine-killed-deploy',
    fault: 'dockerd of the only manager is killed, and started again',
    when: 'while `docker stack deploy` runs',
    ...inDeploy,
    strike: async (scene) => {
      scene.registry?.set({ slowMs: 4000 });
      await scene.deploying();
      await scene.stack.manager.stopEngine('SIGKILL');
      scene.registry?.set('pass');
      await scene.stack.manager.startEngine();
    },
    ...NEW,
    check: inTheEnd(onV2),
  },
  {
    id: 'engine-killed-rollback',
    fault: 'dockerd of the only manager is killed, and started again',
    when: 'in the rollback',
    before: slowBefore,
    deploy: bad,
    at: BACKWARDS,
    strike: async ({ stack }) => {
      await stack.manager.stopEngine('SIGKILL');
      await stack.manager.startEngine();
    },
    ...BACK,
    reason: BAD,
    check: inTheEnd(asBefore),
  },
  {
    id: 'worker-killed',
    fault: 'dockerd of a worker is killed for good',
    when: 'in the watch, when its new task runs',
    deploy: api('web', 'v2', three),
    inputs: () => ({ 'stable-for': '30s' }),
    at: WATCH,
    strike: async ({ bed, stack }) => {
      await until('all run', async () => (await stack.running('api')).length >= 3);
      await bed.node('worker2').stopEngine('SIGKILL');
    },
    ...NEW,
    end: 'version 2 runs on the other nodes',
    check: inTheEnd(runs({ api: 'web:v2 x3' })),
  },
  {
    id: 'worker-drained',
    fault: 'a worker is drained',
    when: 'in the watch',
    before: api('web', 'v1', three),
    deploy: api('slow', 'v2', three),
    at: WATCH,
    strike: make('drain'),
    ...NEW,
    end: 'version 2 runs on the other nodes',
    check: inTheEnd(runs({ api: 'slow:v2 x3' })),
  },
  {
    id: 'worker-leaves',
    fault: 'a worker leaves the swarm (`docker swarm leave`)',
    when: 'in the watch',
    before: api('web', 'v1', three),
    deploy: api('slow', 'v2', three),
    at: WATCH,
    strike: ({ bed }) => bed.node('worker2').docker('swarm', 'leave'),
    repair: async ({ bed, stack: { manager } }) => {
      const worker = bed.node('worker2');
      await manager.docker('node', 'rm', '--force', 'worker2');
      const token = await manager.docker('swarm', 'join-token', '--quiet', 'worker');
      await worker.docker('swarm', 'join', '--token', token.trim(), `${manager.address}:2377`);
    },
    ...NEW,
    end: 'version 2 runs on the other nodes',
    check: inTheEnd(runs({ api: 'slow:v2 x3' })),
  },
  {
    id: 'worker-paused',
    fault: 'a worker is paused: it gets no new tasks',
    when: 'in the watch',
    before: api('web', 'v1', three),
    deploy: api('slow', 'v2', three),
    at: WATCH,
    strike: make('pause'),
    ...NEW,
    check: inTheEnd(runs({ api: 'slow:v2 x3' })),
  },
  {
    id: 'disk-upload',
    fault: "the disk of the manager's /tmp is full",
    when: 'when the files are written there',
    arrange: ({ stack }) => stack.manager.fillDisk('/tmp'),
    strike: () => Promise.resolve(),
    repair: ({ stack }) => stack.manager.freeDisk('/tmp'),
    ...UNTOUCHED,
    reason: 'docker-unavailable',
    check: inTheEnd(asBefore),
    says: (run, { stack }) => {
      assert.match(run.log, /[Nn]o space left on device/);
      assert.match(run.log, /\/tmp/);
      return emptyDisk(stack);
    },
  },
  {
    id: 'disk-login',
    fault: "the disk of the manager's /tmp is full",
    when: 'when the login is written there, after the files',
    arrange: async (scene) => {
      await scene.stack.manager.fillDisk('/tmp', 256);
      await proxied(scene);
      scene.registry?.set({ slowMs: 1500 });
    },
    inputs: atProxy,
    strike: async (scene) => {
      const path = await scene.directory();
      const isThere = async () =>
        (await scene.on('sh', '-c', `cat ${path}/*.y*ml | grep -q .`)) === 0;
      await until('the files are written', isThere, { intervalMs: 20 });
      await scene.stack.manager.useUp('/tmp');
    },
    repair: async ({ stack }) => stack.manager.freeDisk('/tmp'),
    ...UNTOUCHED,
    reason: 'docker-unavailable',
    check: inTheEnd(asBefore),
    says: (run) => assert.match(run.log, /^::error::.*A disk of the manager is full/m),
  },
];

/** @param {Stack} stack */
async function emptyDisk({ manager }) {
  const { stdout } = await manager.exec('ls /tmp');
  assert.doesNotMatch(stdout, /swarm-deploy-/);
}

/**
 * @param {NonNullable<Fault['lane']>} lane
 * @param {readonly Fault[]} faults
 * @returns {readonly Fault[]}
 */
const inLane = (lane, faults) => faults.map((fault) => ({ ...fault, lane }));

export const SECTIONS = [
  { title: 'The connection', faults: CONNECTION },
  { title: 'The registry', faults: REGISTRY },
  { title: 'The runner', faults: RUNNER },
  { title: 'Cancelled', faults: CANCEL },
  { title: 'Managers', faults: inLane('managers', MANAGERS) },
  { title: 'Nodes and disks', faults: inLane('workers', NODES) },
];

export const FAULTS = SECTIONS.flatMap(({ faults }) => faults);
