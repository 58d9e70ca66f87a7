#!/usr/bin/env node
/**
 * `npm run bench`: measures the committed action beside plain `ssh` + `docker` on a real test swarm,
 * and alone on a simulated engine with 10,000 tasks. Writes docs/performance.json, and from it
 * docs/performance.md. Exit code 1: a target is not met.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';

import { down, listNames, probe, up } from '../testbed/index.mjs';
import { errorText } from '../testbed/lib/wait.mjs';
import { machine } from './bench/meter.mjs';
import { page, targetsOf } from './bench/page.mjs';
import { measureScale } from './bench/scale.mjs';
import {
  forgetLogin,
  LATE,
  LATE_IMAGE,
  measureKnowing,
  measureRolling,
  measureUnchanged,
  measureWatching,
  prepareUnchanged,
} from './bench/swarm.mjs';

/** @typedef {import('./bench/page.mjs').Results} Results */

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const JSON_FILE = join(ROOT, 'docs', 'performance.json');
const PAGE_FILE = join(ROOT, 'docs', 'performance.md');
const HELP = `Measures the committed action (dist/index.js) and writes docs/performance.md.

  npm run bench [-- OPTIONS]

  --rounds N    rounds of the unchanged deploy (default: 11)
  --quick       fewer rounds and samples of everything, and nothing is written
  --only PART   swarm or scale; nothing is written
  --engine V    engine and CLI of the test swarm (default: 28.5)
  --render      write docs/performance.md anew from docs/performance.json, and measure nothing

Needs what the test swarm needs: Linux with apt (Debian, Ubuntu) and root. Takes some eight minutes, on
a machine that should have nothing else to do.`;

const interrupt = new AbortController();
for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
  process.on(name, () => interrupt.abort(new Error(`${name}: everything was taken down`)));

const began = Date.now();
const log = (/** @type {string} */ line) =>
  console.error(`${String(Math.round((Date.now() - began) / 1000)).padStart(4)} s  ${line}`);

/** @param {string[]} args */
function readOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      engine: { type: 'string', default: '28.5' },
      render: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const rounds = Number(values.rounds ?? (values.quick ? 3 : 11));
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${values.rounds}?`);
  const { only } = values;
  if (only !== undefined && only !== 'swarm' && only !== 'scale')
    throw new Error(`--only ${only}?`);
  return { ...values, only, rounds };
}

/** @typedef {ReturnType<typeof readOptions>} Options */

/**
 * On a test swarm of its own, which is gone afterwards, however this process ends.
 * @param {Options} options
 */
async function measureSwarm({ engine, rounds, quick }) {
  const { signal } = interrupt;
  // A benchmark that was killed together with its guard, as by a power cut, leaves a swarm behind.
  for (const name of listNames()) {
    const pid = /^bench-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await down(name);
  }
  const name = `bench-${process.pid}`;
  const guard = spawn(process.execPath, [join(ROOT, 'testbed', 'guard.mjs'), name], {
    detached: true,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const guarded = new Promise((done) => guard.once('close', done));
  try {
    const testbed = await up({ name, engine, log, signal });
    await testbed.pushImage(LATE, LATE_IMAGE);
    const bench = { testbed, signal, log };
    await prepareUnchanged(bench);
    const knowing = await measureKnowing(bench, quick ? 3 : 10);
    const rolling = await measureRolling(bench, quick ? 1 : 5);
    const watching = await measureWatching(bench);
    const unchanged = await measureUnchanged(bench, rounds);
    await forgetLogin(testbed);
    return { engine: testbed.engineVersion, unchanged, rolling, knowing, watching };
  } finally {
    await down(name);
    guard.stdin.end();
    await guarded;
  }
}

/** @param {Results} results */
async function write(results) {
  const settings = await resolveConfig(PAGE_FILE);
  const json = await format(JSON.stringify(results), { ...settings, parser: 'json' });
  writeFileSync(JSON_FILE, json);
  await render(results);
}

/** @param {Results} results */
async function render(results) {
  const settings = await resolveConfig(PAGE_FILE);
  writeFileSync(PAGE_FILE, await format(page(results), { ...settings, parser: 'markdown' }));
}

/** @param {Results} results */
function tell(results) {
  const targets = targetsOf(results);
  for (const { what, target, measured, met } of targets)
    console.log(`${met ? 'met    ' : 'NOT MET'}  ${what}: ${measured} (target: ${target})`);
  return targets.every(({ met }) => met);
}

/** @returns {Promise<boolean>} whether every target is met */
async function main() {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(HELP);
    return true;
  }
  if (options.render) {
    const results = JSON.parse(readFileSync(JSON_FILE, 'utf8'));
    await render(results);
    return tell(results);
  }
  if (options.only !== 'scale') {
    const possible = await probe();
    if (!possible.ok) throw new Error(possible.reason);
  }
  const { signal } = interrupt;
  const { quick } = options;
  const swarm = options.only === 'scale' ? undefined : await measureSwarm(options);
  const scale = options.only === 'swarm' ? undefined : await measureScale({ quick, signal, log });
  /** @type {Results} */
  const results = {
    date: new Date(began).toISOString().slice(0, 10),
    minutes: Math.round((Date.now() - began) / 6000) / 10,
    machine: machine(),
    ...(swarm === undefined ? {} : { swarm }),
    ...(scale === undefined ? {} : { scale }),
  };
  if (quick || options.only !== undefined) console.log(JSON.stringify(results, null, 2));
  else await write(results);
  return tell(results);
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error(errorText(interrupt.signal.aborted ? interrupt.signal.reason : error));
  process.exitCode = interrupt.signal.aborted ? 130 : 2;
}
