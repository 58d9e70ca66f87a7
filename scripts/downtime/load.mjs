/**
 * Clients that ask all the time, each over a connection of its own that it keeps: a process of its
 * own, so that nothing else in the benchmark delays them. Started by load-process.mjs.
 *
 * @typedef {object} Group clients that ask for the same
 * @property {number} clients
 * @property {number} everyMs from the start of one request of a client to the start of its next; not more
 *   than `holdMs`: without a pause, but for one after a failure
 * @property {number} holdMs how long the server is to take for the answer
 *
 * @typedef {object} Bin what ended in one span of time
 * @property {number} at Date.now at its start
 * @property {Record<string, number>} answers by version
 * @property {Record<string, number>} failures by kind
 * @property {[level: number, count: number][]} added time beyond `holdMs`; see `levelOf`
 * @property {number} maxMs
 */
import { Agent, request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { levelOf } from './figures.mjs';

/** Failures that are shown word by word. */
const SAMPLES = 40;
/** One that asks without a pause waits so long after a failure, as nobody asks ten times a second. */
const AGAIN_MS = 1000;
/** Beyond the time that a request is held: then a client gives up. */
const PATIENCE_MS = 30_000;

/** @type {{ host: string, port: number, groups: Group[], binMs: number }} */
const { host, port, groups, binMs } = JSON.parse(process.argv[2] ?? '');

/** @type {Map<number, { bin: Bin, added: Map<number, number> }>} */
const bins = new Map();
/** @type {string[]} */
const samples = [];
let stopped = false;

/**
 * @param {Agent} agent
 * @param {number} holdMs
 * @returns {Promise<{ version: string } | { failure: string, words: string }>}
 */
function ask(agent, holdMs) {
  return new Promise((resolve) => {
    const fail = (/** @type {string} */ failure, words = failure) => resolve({ failure, words });
    const outgoing = request(
      { host, port, agent, path: `/work?ms=${holdMs}`, timeout: holdMs + PATIENCE_MS },
      (incoming) => {
        let body = '';
        incoming.setEncoding('utf8');
        incoming.on('data', (part) => void (body += String(part)));
        incoming.once('error', (error) => fail('answer cut off', error.message));
        incoming.once('end', () => {
          if (incoming.statusCode === 200) resolve({ version: body });
          else
            fail(`HTTP ${incoming.statusCode}`, `HTTP ${incoming.statusCode} ${body.slice(0, 80)}`);
        });
      },
    );
    outgoing.once('timeout', () => outgoing.destroy(new Error('no answer in time')));
    outgoing.once('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      const kind =
        { ECONNREFUSED: 'connection refused', ECONNRESET: 'connection cut' }[error.code ?? ''] ??
        error.message;
      fail(kind, `${error.code ?? ''} ${error.message}`);
    });
    outgoing.end();
  });
}

/** @param {number} at */
function binAt(at) {
  const start = Math.floor(at / binMs) * binMs;
  let found = bins.get(start);
  if (found === undefined) {
    /** @type {Bin} */
    const bin = { at: start, answers: {}, failures: {}, added: [], maxMs: 0 };
    found = { bin, added: new Map() };
    bins.set(start, found);
  }
  return found;
}

/**
 * @param {Group} group
 * @param {number} delayMs so that clients do not ask all at once
 */
async function client({ everyMs, holdMs }, delayMs) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const first = performance.now() + delayMs;
  await sleep(delayMs);
  while (!stopped) {
    const began = performance.now();
    const answer = await ask(agent, holdMs);
    const took = performance.now() - began;
    const { bin, added } = binAt(Date.now());
    if ('version' in answer) {
      bin.answers[answer.version] = (bin.answers[answer.version] ?? 0) + 1;
      const beyond = Math.max(0, took - holdMs);
      added.set(levelOf(beyond), (added.get(levelOf(beyond)) ?? 0) + 1);
      bin.maxMs = Math.max(bin.maxMs, beyond);
    } else {
      bin.failures[answer.failure] = (bin.failures[answer.failure] ?? 0) + 1;
      if (samples.length < SAMPLES) {
        const when = new Date().toISOString().slice(11, 23);
        samples.push(`${when} after ${Math.round(took)} of ${holdMs} ms: ${answer.words}`);
      }
    }
    // At its own times, also after all have waited for the same: else they would ask at once ever after.
    const now = performance.now();
    const next = first + Math.ceil((now - first) / everyMs) * everyMs;
    if (!stopped && everyMs > holdMs) await sleep(next - now);
    else if (!stopped && 'failure' in answer) await sleep(AGAIN_MS);
  }
  agent.destroy();
}

// Ctrl-C reaches the whole terminal; the benchmark says when it is over.
for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
  process.on(name, () => {});
process.once('disconnect', () => process.exit(1));
process.once('message', () => void (stopped = true));

await Promise.all(
  groups.flatMap((group) =>
    Array.from({ length: group.clients }, (_, index) =>
      client(group, (index * group.everyMs) / group.clients),
    ),
  ),
);
const all = [...bins.values()].sort((a, b) => a.bin.at - b.bin.at);
process.send?.(
  { bins: all.map(({ bin, added }) => ({ ...bin, added: [...added] })), samples },
  () => process.disconnect(),
);
