/**
 * Part 2: the whole action on a simulated engine that holds 1,000 services with 10,000 tasks. What it
 * costs is read from outside, from /proc and from what the simulator was asked.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { EngineSimulator, installFakeDocker, stackFile } from './engine-simulator.mjs';
import { cpuMs, expectOutcome, timeStep, WORDS } from './meter.mjs';

/** @typedef {import('./engine-simulator.mjs').SeenRequest} SeenRequest */

const STACK = 'large';
const HOUR_MS = 3_600_000;
const SERVICES = 1000;
const TASKS = 10_000;
/** Two files, as one may have half a megabyte. */
const FILES = {
  'stack-1.yml': stackFile(1, SERVICES / 2),
  'stack-2.yml': stackFile(SERVICES / 2 + 1, SERVICES),
};

/**
 * What the looks at the swarm asked for. One look lists the services once, whatever else it asks.
 * @param {readonly SeenRequest[]} requests
 * @returns {{polls: number, requestsPerPoll: number, bytesPerPoll: number, answerMsPerPoll: number}}
 */
export function pollsOf(requests) {
  const polls = requests.filter(({ path }) => path === '/services').length;
  const each = (/** @type {(request: SeenRequest) => number} */ figure) =>
    requests.reduce((sum, request) => sum + figure(request), 0) / polls;
  return {
    polls,
    requestsPerPoll: Number(each(() => 1).toFixed(2)),
    bytesPerPoll: Math.round(each(({ bytes }) => bytes)),
    answerMsPerPoll: Math.round(each(({ at, answered }) => (answered ?? at) - at)),
  };
}

/**
 * What the looks cost that asked for nothing but the services, as nothing had moved.
 * @param {readonly SeenRequest[]} requests
 * @param {ReadonlyMap<SeenRequest, number>} spent CPU time of the action by then, in milliseconds
 */
function idlePolls(requests, spent) {
  const isListing = (/** @type {SeenRequest | undefined} */ one) => one?.path === '/services';
  // From one such request to the next, with no other one between: all that the first one led to.
  const polls = requests.flatMap((request, index) => {
    const next = requests[index + 1];
    if (next === undefined || !isListing(request) || !isListing(next)) return [];
    const cpu = (spent.get(next) ?? 0) - (spent.get(request) ?? 0);
    return [{ cpu, bytes: request.bytes, apart: next.at - request.at }];
  });
  if (polls.length === 0) return undefined;
  const mean = (/** @type {(poll: (typeof polls)[number]) => number} */ figure) =>
    polls.reduce((sum, poll) => sum + figure(poll), 0) / polls.length;
  return {
    polls: polls.length,
    // A mean: the kernel counts in steps of 10 ms, which the sum evens out.
    cpuMsPerPoll: Number(mean(({ cpu }) => cpu).toFixed(1)),
    bytesPerPoll: Math.round(mean(({ bytes }) => bytes)),
    msApart: Math.round(mean(({ apart }) => apart)),
  };
}

/**
 * @param {object} options
 * @param {'unchanged' | 'update'} options.deploy
 * @param {number} options.replicas of each service
 * @param {number} options.taskAgeMs
 * @param {string} options.stableFor
 * @param {AbortSignal} options.signal
 */
async function runOnce({ deploy, replicas, taskAgeMs, stableFor, signal }) {
  const home = mkdtempSync(join(tmpdir(), 'swarm-deploy-bench-'));
  const socketPath = join(home, 'engine.sock');
  const simulator = new EngineSimulator({
    stack: STACK,
    services: SERVICES,
    replicas,
    taskAgeMs,
  });
  simulator.changes = deploy === 'update' ? SERVICES : 0;
  await simulator.listen(socketPath);
  try {
    const { bin, calls } = installFakeDocker(home, socketPath);
    /** CPU time of the action when it asked. @type {Map<SeenRequest, number>} */
    const spent = new Map();
    let running = 0;
    simulator.onRequest = (request) => void spent.set(request, cpuMs(running) ?? 0);
    /** @type {Record<'watching' | 'allRun' | 'stayed', {cpuMs: number, at: number} | undefined>} */
    const marks = { watching: undefined, allRun: undefined, stayed: undefined };
    const step = await timeStep(
      {
        inputs: {
          stack: STACK,
          host: 'local',
          'compose-file': Object.keys(FILES).join('\n'),
          'registry-username': 'user',
          'registry-password': 'password',
          'stable-for': stableFor,
        },
        files: FILES,
        env: { PATH: `${bin}:${process.env['PATH'] ?? ''}` },
      },
      {
        signal,
        onStart: (pid) => (running = pid),
        onLine: (text, pid) => {
          for (const name of /** @type {(keyof typeof marks)[]} */ (Object.keys(marks)))
            if (marks[name] === undefined && WORDS[name].test(text))
              marks[name] = { cpuMs: cpuMs(pid) ?? 0, at: performance.now() };
        },
      },
    );
    expectOutcome(step, deploy === 'update' ? 'deployed' : 'unchanged');
    const { watching, allRun, stayed } = marks;
    const span = (/** @type {typeof watching} */ from, /** @type {typeof watching} */ to) => {
      if (from === undefined || to === undefined) return undefined;
      const cpu = to.cpuMs - from.cpuMs;
      const polls = pollsOf(simulator.requests.filter(({ at }) => at >= from.at && at < to.at));
      return {
        seconds: Math.round(to.at - from.at) / 1000,
        cpuMs: cpu,
        cpuMsPerPoll: Number((cpu / polls.polls).toFixed(1)),
        ...polls,
      };
    };
    return {
      seconds: Number((step.mainMs / 1000).toFixed(1)),
      cpuMs: step.cpuMs,
      peakMiB: Math.round(step.peakBytes / 2 ** 20),
      tasksAtTheEnd: simulator.taskCount,
      requests: simulator.requests.length,
      dialStdio: readFileSync(calls, 'utf8')
        .split('\n')
        .filter((line) => /dial-stdio$/.test(line)).length,
      moving: span(watching, allRun),
      still: span(allRun, stayed),
      idle: idlePolls(simulator.requests, spent),
    };
  } finally {
    await simulator.close();
    rmSync(home, { recursive: true, force: true });
  }
}

/**
 * @param {{quick: boolean, signal: AbortSignal, log: (line: string) => void}} options
 */
export async function measureScale({ quick, signal, log }) {
  const replicas = TASKS / SERVICES;
  log(`unchanged deploy of ${SERVICES} services with ${TASKS} tasks`);
  const unchanged = await runOnce({
    deploy: 'unchanged',
    replicas,
    taskAgeMs: HOUR_MS,
    stableFor: 'auto',
    signal,
  });
  // Young tasks have to show that they stay: a long watch in which nothing moves.
  const stableFor = quick ? '15s' : '40s';
  log(`the same with tasks that must stay for ${stableFor}`);
  const still = await runOnce({
    deploy: 'unchanged',
    replicas,
    taskAgeMs: -HOUR_MS,
    stableFor,
    signal,
  });
  log('an update of every service');
  const update = await runOnce({
    deploy: 'update',
    // Every slot keeps its former task: as many tasks in the end.
    replicas: replicas / 2,
    taskAgeMs: HOUR_MS,
    stableFor: '5s',
    signal,
  });
  return { services: SERVICES, tasks: TASKS, unchanged, still, update };
}
