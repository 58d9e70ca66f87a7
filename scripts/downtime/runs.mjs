/**
 * What happens to the stack of examples/stacks/zero-downtime.yml while clients ask it all the time.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { until } from '../../testbed/lib/wait.mjs';
import { runStep } from '../../testbed/runner.mjs';
import { between, figuresOf, outageSeconds } from './figures.mjs';
import { BROKEN, HASTY, VERSIONS } from './images.mjs';
import { BIN_MS, startLoad } from './load-process.mjs';

/**
 * @typedef {import('../../testbed/index.mjs').Testbed} Testbed
 * @typedef {import('./figures.mjs').Figures} Figures
 * @typedef {import('./load.mjs').Group} Group
 * @typedef {import('./load.mjs').Bin} Bin
 *
 * @typedef {object} Bench what every run gets
 * @property {Testbed} testbed
 * @property {string} stack
 * @property {number} port on the first manager, where the proxy listens
 * @property {number} replicas
 * @property {readonly Group[]} groups
 * @property {string} [subnet] of the stack's network; Docker chooses one unless told
 * @property {AbortSignal} signal
 * @property {(line: string) => void} log
 *
 * @typedef {object} Settings of one deploy
 * @property {string} tag
 * @property {number} [replicas]
 * @property {string} [change] a stack file over the example's
 * @property {string} [outcome] that is expected, `deployed` unless told
 * @property {Record<string, string>} [inputs] more of them
 *
 * @typedef {object} Phase
 * @property {string} name
 * @property {number} from seconds since the clients began
 * @property {number} to
 * @property {string} [outcome] of the deploy in it
 * @property {string} [reason]
 * @property {Figures} figures
 *
 * @typedef {object} Second of the picture
 * @property {number} at seconds since the clients began
 * @property {Record<string, number>} answers by version, a second
 * @property {number} failed a second
 * @property {number} p99 milliseconds
 *
 * @typedef {object} Played
 * @property {readonly Phase[]} phases
 * @property {readonly Second[]} seconds
 * @property {Figures} all
 * @property {readonly string[]} samples of failures, word by word
 * @property {readonly string[]} lint ids of the findings about `api`
 */

const EXAMPLES = new URL('../../examples/stacks/', import.meta.url);
const example = (/** @type {string} */ name) => readFileSync(new URL(name, EXAMPLES), 'utf8');

/** With nothing going on, before and after what is measured. */
const CALM_MS = 6000;
const BEGIN_MS = 10_000;
/** For what comes about by itself. */
const LIMIT_MS = 120_000;

/**
 * What the test swarm needs: without IPVS in the kernel a port is reached in host mode alone, and a
 * service on the address of its tasks, as the example has it anyway.
 * @param {Bench} bench
 */
const onTestbed = ({ port, subnet, testbed }) => `services:
  proxy:
    ports: !override
      - { target: 8080, published: ${port}, mode: host }
    deploy:
      replicas: 1
      placement: { constraints: [node.hostname == ${testbed.manager.name}] }
      update_config: { order: stop-first }
${subnet === undefined ? '' : `networks: { default: { ipam: { config: [{ subnet: ${subnet} }] } } }\n`}`;

/**
 * Runs the committed action as the runner does.
 * @param {Bench} bench
 * @param {Settings} settings
 */
async function deploy(bench, settings) {
  const { tag, replicas = bench.replicas, change, outcome = 'deployed' } = settings;
  const { testbed, stack, signal } = bench;
  const { manager, ssh, registry } = testbed;
  const files = [
    'zero-downtime.yml',
    'testbed.yml',
    ...(change === undefined ? [] : ['change.yml']),
  ];
  /** @type {(() => void) | undefined} */
  let stop;
  signal.throwIfAborted();
  const result = await runStep({
    inputs: {
      stack,
      host: `root@${manager.address}`,
      'private-key': ssh.privateKey,
      'known-hosts': ssh.knownHosts,
      registry: registry.host,
      'registry-username': registry.username,
      'registry-password': registry.password,
      'compose-file': files.join('\n'),
      env: [
        `IMAGE=${registry.host}/api`,
        `TAG=${tag}`,
        `PROXY_IMAGE=${registry.host}/proxy:1`,
        `REPLICAS=${replicas}`,
      ].join('\n'),
      ...settings.inputs,
    },
    files: {
      'haproxy.cfg': example('haproxy.cfg'),
      'zero-downtime.yml': example('zero-downtime.yml'),
      'testbed.yml': onTestbed(bench),
      ...(change === undefined ? {} : { 'change.yml': change }),
    },
    onStart: (child) => {
      stop = () => void child.kill('SIGTERM');
      signal.addEventListener('abort', stop);
    },
  });
  if (stop !== undefined) signal.removeEventListener('abort', stop);
  signal.throwIfAborted();
  if (result.outputs['outcome'] !== outcome || result.postCode !== 0)
    throw new Error(
      `The deploy of ${tag} ended ${result.outputs['outcome'] ?? 'without an outcome'}, not ${outcome}. ` +
        `Its log:\n${result.log.replaceAll(/^::add-mask::.*\n/gm, '')}`,
    );
  return result;
}

/** States of tasks of which no container is left that answers. */
const ENDED = ['complete', 'shutdown', 'failed', 'rejected', 'remove', 'orphaned'];

/**
 * Until every old container has answered what it had, and all the new ones run.
 * @param {Bench} bench
 * @param {number} replicas
 */
async function settle({ testbed, stack, signal }, replicas) {
  const filters = encodeURIComponent(JSON.stringify({ service: [`${stack}_api`] }));
  const done = async () => {
    /** @type {any[]} */
    const tasks = await testbed.manager.api('GET', `/tasks?filters=${filters}`);
    const alive = tasks.filter(({ Status }) => !ENDED.includes(Status.State));
    const good = alive.filter(
      ({ Status, DesiredState }) => Status.State === 'running' && DesiredState === 'running',
    );
    return good.length === replicas && alive.length === replicas;
  };
  await until('old tasks have ended', done, { timeoutMs: LIMIT_MS, intervalMs: 500, signal });
}

/** @param {Bench} bench @param {string} version */
async function answers({ testbed, port, signal }, version) {
  const ask = async () => {
    const answer = await fetch(`http://${testbed.manager.address}:${port}/`, {
      signal: AbortSignal.timeout(5000),
    });
    return (await answer.text()) === version && answer.ok;
  };
  await until('the API answers through the proxy', ask, { timeoutMs: LIMIT_MS, signal });
}

/**
 * @typedef {{ outputs?: Record<string, string> } | undefined} Told what a phase's deploy says
 *
 * @typedef {Omit<Played, 'lint'> & { bins: (from: number, to: number) => readonly Bin[] }} Loaded
 *   `bins`: of so many seconds since the clients began
 */

/**
 * Lets the clients ask while one thing after the other happens, with calm in between.
 * @param {Bench} bench
 * @param {readonly (readonly [name: string, act: () => Promise<Told | void>])[]} acts
 * @returns {Promise<Loaded>}
 */
async function underLoad({ testbed, port, groups, signal, log }, acts) {
  const stop = startLoad({ host: testbed.manager.address, port, groups }, signal);
  /** @type {{name: string, from: number, to: number, outputs?: Record<string, string>}[]} */
  const spans = [];
  const span = async (
    /** @type {string} */ name,
    /** @type {() => Promise<Told | void>} */ act,
  ) => {
    const from = Date.now();
    const told = await act();
    spans.push({ name, from, to: Date.now(), ...(told?.outputs && { outputs: told.outputs }) });
  };
  const longest = Math.max(...groups.map(({ holdMs }) => holdMs));
  /** @type {import('./load-process.mjs').Loaded} */
  let loaded;
  try {
    // Until the first long request has been answered, there is less to do than there will be.
    await sleep(longest + 1000, undefined, { signal });
    await span('before', () => sleep(BEGIN_MS, undefined, { signal }));
    for (const [name, act] of acts) {
      log(`under load: ${name}`);
      await span(name, act);
      await span('calm', () => sleep(CALM_MS, undefined, { signal }));
    }
  } finally {
    loaded = await stop();
  }
  const { bins, samples } = loaded;
  const began = spans[0]?.from ?? 0;
  const seen = between(bins, began, (spans.at(-1)?.to ?? 0) + longest + 1000);
  const last = spans.length - 1;
  const seconds = (/** @type {number} */ at) => Math.round((at - began) / 100) / 10;
  return {
    phases: spans.map(({ name, from, to, outputs }, index) => ({
      name: index === last ? 'after' : name,
      from: seconds(from),
      to: seconds(to),
      ...(outputs && { outcome: outputs['outcome'] ?? '', reason: outputs['reason'] ?? '' }),
      // What ends after all is over was under way in the last phase.
      figures: figuresOf(between(bins, from, index === last ? Infinity : to)),
    })),
    seconds: pictured(between(seen, began, spans[last]?.to ?? 0), began),
    all: figuresOf(between(bins, began, Infinity)),
    samples,
    bins: (from, to) => between(bins, began + from * 1000, began + to * 1000),
  };
}

/**
 * @param {readonly Bin[]} bins
 * @param {number} began
 * @returns {Second[]}
 */
function pictured(bins, began) {
  const first = bins[0]?.at ?? 0;
  const count = Math.ceil(((bins.at(-1)?.at ?? first) + BIN_MS - first) / 1000);
  return Array.from({ length: count }, (_, index) => {
    const from = first + index * 1000;
    const second = between(bins, from, from + 1000);
    /** @type {Record<string, number>} */
    const answers = {};
    for (const bin of second)
      for (const [version, number] of Object.entries(bin.answers))
        answers[version] = (answers[version] ?? 0) + number;
    const { failed, p99 } = figuresOf(second);
    return { at: Math.round((from - began) / 100) / 10, answers, failed, p99 };
  });
}

/** @param {import('../../testbed/runner.mjs').StepResult} result */
const findings = ({ report }) => [
  ...new Set(
    report.lint
      .filter((/** @type {any} */ { service }) => service === 'api')
      .map((/** @type {any} */ { id }) => String(id)),
  ),
];

/**
 * The stack as the example has it: two updates, one that fails, twice the replicas, a node less.
 * @param {Bench} bench
 * @returns {Promise<Played>}
 */
export async function playWell(bench) {
  const { testbed, stack, replicas, signal } = bench;
  const { manager } = testbed;
  const [first, second, third] = VERSIONS;
  const twice = replicas * 2;
  bench.log(`deploying ${first}, ${replicas} replicas`);
  const result = await deploy(bench, { tag: first });
  await answers(bench, first);
  await settle(bench, replicas);
  const update = (/** @type {string} */ tag, /** @type {string} */ outcome) => async () => {
    const step = await deploy(bench, { tag, outcome });
    await settle(bench, replicas);
    return step;
  };
  const leaving = testbed.nodes.at(-1);
  if (leaving?.role !== 'worker') throw new Error('There is no worker that could leave.');
  const played = await underLoad(bench, [
    [`update ${first} → ${second}`, update(second, 'deployed')],
    [`update ${second} → ${third}`, update(third, 'deployed')],
    [`${BROKEN} fails, rolled back`, update(BROKEN, 'rolled-back')],
    [
      `scaled ${replicas} → ${twice}`,
      async () => {
        await manager.docker('service', 'scale', '--detach', `${stack}_api=${twice}`);
        await settle(bench, twice);
      },
    ],
    [
      'a worker leaves',
      async () => {
        await manager.docker('node', 'update', '--availability', 'drain', leaving.name);
        await settle(bench, twice);
        const empty = async () =>
          (await leaving.docker('ps', '--quiet', '--filter', `name=${stack}_`)).trim() === '';
        await until('the worker is empty', empty, { timeoutMs: LIMIT_MS, signal });
        await leaving.docker('swarm', 'leave');
      },
    ],
  ]);
  const { phases, seconds, all, samples } = played;
  return { phases, seconds, all, samples, lint: findings(result) };
}

/**
 * @typedef {object} Mistake an update that costs something, and one that does not, to compare
 * @property {string} id
 * @property {string} title
 * @property {string} rule of the lint that warns; '' where none can know
 *
 * @typedef {Mistake & { lint: readonly string[], figures: Figures, outage: number, seconds: readonly Second[] }} Price
 */

/** @type {Record<'health' | 'grace' | 'hasty' | 'startFirst' | 'stopFirst', Mistake>} */
const MISTAKES = {
  health: { id: 'no-healthcheck', title: 'no healthcheck', rule: 'no-healthcheck' },
  grace: { id: 'no-grace', title: 'no stop_grace_period', rule: 'no-stop-grace-period' },
  hasty: { id: 'hasty', title: 'the API ends at once on SIGTERM', rule: '' },
  startFirst: { id: 'start-first', title: 'one replica, start-first', rule: '' },
  stopFirst: {
    id: 'stop-first',
    title: 'one replica, stop-first',
    rule: 'stop-first-single-replica',
  },
};

const NO_HEALTHCHECK = 'services: { api: { healthcheck: !override { disable: true } } }\n';
const NO_GRACE = 'services: { api: { stop_grace_period: !reset null } }\n';
const STOP_FIRST = 'services: { api: { deploy: { update_config: { order: stop-first } } } }\n';

/** Of the picture, before and after the update. */
const AROUND_S = 4;

/**
 * The same load on the same stack, with one mistake at a time. What an update does wrong shows in that
 * update, what its tasks do wrong when they stop, in the next one; so each leads to the next.
 * @param {Bench} bench where the stack runs as the example has it
 * @returns {Promise<Price[]>}
 */
export async function playMistakes(bench) {
  const { testbed, stack, replicas } = bench;
  const [first, second, third] = VERSIONS;
  const [hasty] = HASTY;
  const quick = { inputs: { 'stable-for': '1s' } };
  /** @type {Record<string, readonly string[]>} */
  const lint = {};
  await deploy(bench, { tag: third, ...quick });
  await answers(bench, third);
  const measured = async (/** @type {Settings} */ settings) => {
    const step = await deploy(bench, { ...quick, ...settings });
    await settle(bench, settings.replicas ?? replicas);
    return step;
  };
  const { health, grace, hasty: atOnce, startFirst, stopFirst } = MISTAKES;
  const played = await underLoad(bench, [
    [
      health.id,
      async () => {
        const step = await measured({ tag: first, change: NO_HEALTHCHECK });
        lint[health.id] = findings(step);
      },
    ],
    [
      'with healthchecks, without grace',
      async () => {
        const step = await deploy(bench, { tag: second, change: NO_GRACE, ...quick });
        lint[grace.id] = findings(step);
      },
    ],
    [grace.id, () => measured({ tag: hasty })],
    [atOnce.id, () => measured({ tag: first })],
    [
      'one replica',
      async () => {
        await testbed.manager.docker('service', 'scale', '--detach', `${stack}_api=1`);
      },
    ],
    [
      startFirst.id,
      async () => {
        lint[startFirst.id] = findings(await measured({ tag: second, replicas: 1 }));
      },
    ],
    [
      stopFirst.id,
      async () => {
        const step = await measured({ tag: third, replicas: 1, change: STOP_FIRST });
        lint[stopFirst.id] = findings(step);
      },
    ],
  ]);
  return Object.values(MISTAKES).map((mistake) => priceOf(mistake, played, lint[mistake.id] ?? []));
}

/**
 * @param {Mistake} mistake
 * @param {Loaded} played
 * @param {readonly string[]} lint
 * @returns {Price}
 */
function priceOf(mistake, { phases, seconds, bins }, lint) {
  const index = phases.findIndex(({ name }) => name === mistake.id);
  const phase = phases[index];
  if (phase === undefined) throw new Error(`${mistake.id} was not played.`);
  const { from, to } = phase;
  return {
    ...mistake,
    lint,
    figures: phase.figures,
    outage: outageSeconds(bins(from, to), BIN_MS),
    seconds: seconds
      .filter(({ at }) => at >= from - AROUND_S && at < to + AROUND_S)
      .map((one) => ({ ...one, at: Math.round((one.at - from) * 10) / 10 })),
  };
}

/**
 * One good update and one without a healthcheck, for the tests.
 * @param {Bench} bench
 * @returns {Promise<{ good: Figures, bad: Figures, lint: readonly string[] }>}
 */
export async function playShort(bench) {
  const { replicas } = bench;
  const [first, second, third] = VERSIONS;
  const quick = { inputs: { 'stable-for': '1s' } };
  await deploy(bench, { tag: first, ...quick });
  await answers(bench, first);
  /** @type {readonly string[]} */
  let lint = [];
  const { phases } = await underLoad(bench, [
    [
      'good',
      async () => {
        await deploy(bench, { tag: second, ...quick });
        await settle(bench, replicas);
      },
    ],
    [
      'bad',
      async () => {
        lint = findings(await deploy(bench, { tag: third, change: NO_HEALTHCHECK, ...quick }));
        await settle(bench, replicas);
        await answers(bench, third);
      },
    ],
  ]);
  const of = (/** @type {string} */ name) => {
    const found = phases.find((phase) => phase.name === name);
    if (found === undefined) throw new Error(`${name} was not played.`);
    return found.figures;
  };
  return { good: of('good'), bad: of('bad'), lint };
}
