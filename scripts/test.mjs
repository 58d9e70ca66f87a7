/**
 * Runs jest: with arguments in this very process, which passes them on; without any, all suites in
 * lanes beside each other, as most of what the suites on the test swarm do is waiting. Each lane
 * that needs a test swarm has its own. `JEST_RESULTS` names a file for the results as JSON, in the
 * form that jest itself writes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { run } from 'jest';

const SELF = fileURLToPath(import.meta.url);

/** Suites on the test swarm that take long. */
const TABLE = ['swarm/truth-table'];
const LONG = ['swarm/history', 'swarm/plan', 'swarm/rotate', 'swarm/order'];
const FAULTS = ['swarm/faults'];

/**
 * What runs after one another in each lane. More lanes are no faster on two cores, and their scenarios
 * run into their limits. One run takes every suite that no other one names, so that none can be forgotten.
 * @type {Record<string, readonly (readonly string[])[]>}
 */
const LANES = {
  left: [swarm('--testPathPatterns', ...TABLE), swarm('--testPathPatterns', ...LONG)],
  right: [
    ['--selectProjects', 'unit', 'action', 'bundle'],
    swarm('--testPathIgnorePatterns', '/node_modules/', ...TABLE, ...LONG, ...FAULTS),
    swarm('--testPathPatterns', ...FAULTS),
  ],
};

/**
 * @param {readonly string[]} more
 * @returns {readonly string[]} arguments of jest
 */
function swarm(...more) {
  return ['--selectProjects', 'swarm', '--passWithNoTests', ...more];
}

/** How long a run that is over may go on for what is still open. */
const OPEN_MS = 30_000;

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
let ended = false;

/**
 * @param {string} lane
 * @param {readonly string[]} args of jest
 * @param {string} results where they go
 * @returns {Promise<boolean>} whether all tests passed
 */
async function play(lane, args, results) {
  if (ended) return false;
  const child = spawn(process.execPath, [...process.execArgv, SELF, ...args], {
    env: { ...process.env, JEST_RESULTS: results },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', (line) =>
      process.stdout.write(`${lane.padEnd(5)} | ${line}\n`),
    );
  const [code] = await once(child, 'close');
  running.delete(child);
  return code === 0;
}

/**
 * The results of several runs as those of one: numbers are added, lists put together.
 * @param {readonly Record<string, unknown>[]} parts
 * @returns {Record<string, unknown>}
 */
function merged(parts) {
  /** @type {Record<string, unknown>} */
  const whole = {};
  for (const part of parts)
    for (const [key, value] of Object.entries(part)) {
      const former = whole[key];
      if (typeof value === 'number' && key !== 'startTime')
        whole[key] = (typeof former === 'number' ? former : 0) + value;
      else if (Array.isArray(value))
        whole[key] = [...(Array.isArray(former) ? former : []), ...value];
      else if (typeof value === 'boolean') whole[key] = value && former !== false;
      else whole[key] ??= value;
    }
  return whole;
}

/** @param {string} directory for the results of each run */
async function playAll(directory) {
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
    process.on(signal, () => {
      ended = true;
      for (const child of running) child.kill(signal);
    });
  /** @type {string[]} */
  const files = [];
  const lanes = Object.entries(LANES).map(async ([lane, runs]) => {
    const begun = performance.now();
    let passed = true;
    for (const args of runs) {
      const file = join(directory, `${files.length}.json`);
      files.push(file);
      passed = (await play(lane, args, file)) && passed;
    }
    const seconds = Math.round((performance.now() - begun) / 1000);
    process.stdout.write(`${lane.padEnd(5)} | ${passed ? 'passed' : 'FAILED'} in ${seconds} s\n`);
    return passed;
  });
  const passed = (await Promise.all(lanes)).every(Boolean);
  const whole = merged(
    files.map((file) => {
      try {
        return JSON.parse(readFileSync(file, 'utf8'));
      } catch {
        // It ended before it had any.
        return { numRuntimeErrorTestSuites: 1, success: false };
      }
    }),
  );
  const wanted = process.env['JEST_RESULTS'];
  if (wanted !== undefined) writeFileSync(wanted, JSON.stringify(whole));
  const count = (/** @type {string} */ key) => Number(whole[key] ?? 0);
  process.stdout.write(
    `\nTests: ${count('numPassedTests')} passed, ` +
      `${count('numFailedTests') + count('numRuntimeErrorTestSuites')} failed, ` +
      `${count('numPendingTests')} skipped, in ${count('numTotalTestSuites')} suites\n`,
  );
  process.exitCode = passed ? 0 : 1;
}

const args = process.argv.slice(2);
const results = process.env['JEST_RESULTS'];
if (args.length > 0) {
  await run([...(results === undefined ? [] : ['--json', `--outputFile=${results}`]), ...args]);
  // What a failed test has left open must not keep the others' results from being told.
  setTimeout(() => {
    process.stderr.write('Ended by force: a test has left something open.\n');
    process.exit();
  }, OPEN_MS).unref();
} else {
  const directory = mkdtempSync(join(tmpdir(), 'swarm-deploy-results-'));
  try {
    await playAll(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
