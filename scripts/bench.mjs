#!/usr/bin/env node
/**
 * `npm run bench`: measures the committed action beside plain `ssh` + `docker` on a real test swarm,
 * and alone on a simulated engine with 10,000 tasks. Writes docs/performance.json, and from it
 * docs/performance.md. Exit code 1: a target is not met.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';

import { log, measured, onOwnSwarm, whenMeasured } from './bench/frame.mjs';
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
 * @param {Options} options
 * @param {AbortSignal} signal
 */
const measureSwarm = ({ engine, rounds, quick }, signal) =>
  onOwnSwarm('bench', { engine, signal }, async (testbed) => {
    await testbed.pushImage(LATE, LATE_IMAGE);
    const bench = { testbed, signal, log };
    await prepareUnchanged(bench);
    const knowing = await measureKnowing(bench, quick ? 3 : 10);
    const rolling = await measureRolling(bench, quick ? 1 : 5);
    const watching = await measureWatching(bench);
    const unchanged = await measureUnchanged(bench, rounds);
    await forgetLogin(testbed);
    return { engine: testbed.engineVersion, unchanged, rolling, knowing, watching };
  });

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

/** @param {AbortSignal} signal @returns {Promise<boolean>} whether every target is met */
async function main(signal) {
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
  const { quick, only } = options;
  const swarm = only === 'scale' ? undefined : await measureSwarm(options, signal);
  const scale = only === 'swarm' ? undefined : await measureScale({ quick, signal, log });
  /** @type {Results} */
  const results = {
    ...whenMeasured(),
    machine: machine(),
    ...(swarm === undefined ? {} : { swarm }),
    ...(scale === undefined ? {} : { scale }),
  };
  if (quick || only !== undefined) console.log(JSON.stringify(results, null, 2));
  else await write(results);
  return tell(results);
}

await measured(main);
