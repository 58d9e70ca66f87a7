#!/usr/bin/env node
/**
 * `npm run bench:downtime`: clients ask an API on a real test swarm all the time, while the committed
 * action updates it, an update fails, it is scaled, and a worker leaves; then the same with one mistake
 * at a time. `--record` writes docs/downtime.json, its pictures and the tables made of it. Exit code 1: a
 * request of the well-configured run failed.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';

import { log, measured, onOwnSwarm, whenMeasured } from './bench/frame.mjs';
import { machine } from './bench/meter.mjs';
import { pushImages, WARM_UP_MS } from './downtime/images.mjs';
import { mistakesTable, wellTable } from './downtime/page.mjs';
import { mistakesPicture, wellPicture } from './downtime/picture.mjs';
import { playMistakes, playWell } from './downtime/runs.mjs';
import { browse, needBrowser } from './pictures/browser.mjs';

/** @typedef {import('./downtime/page.mjs').Results} Results */

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const JSON_FILE = join(ROOT, 'docs', 'downtime.json');
const PICTURES = join(ROOT, 'docs', 'pictures');
const THEMES = /** @type {const} */ (['light', 'dark']);
const PORT = 8080;
/** Of the proxy's log, where a request failed. */
const PROXY_LINES = 40;
const HELP = `Counts the requests that are lost while the action deploys (dist/index.js), on a test swarm of its own.

  npm run bench:downtime [-- OPTIONS]

  --record         write docs/downtime.json, docs/pictures/downtime-*.png, and the tables in the docs
  --json FILE      write the figures there
  --only PART      well or mistakes; nothing is recorded
  --clients N      (default: 500) one in ten asks for what takes long
  --every MS       from one request of a client to its next (default: 1000)
  --hold MS        how long the server takes for the answer (default: 500)
  --long MS        how long for one client in ten, which asks without a pause (default: 15000; 0: none)
  --replicas N     (default: 10)
  --engine V       engine and CLI of the test swarm (default: 28.5)
  --render         draw the pictures and the tables anew from docs/downtime.json, and measure nothing

Needs what the test swarm needs: Linux with apt (Debian, Ubuntu) and root; for pictures a browser, which
is installed where there is none. Takes some eight minutes, on a machine that should have nothing else to do.`;

/** @param {string[]} args */
function readOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      record: { type: 'boolean', default: false },
      json: { type: 'string' },
      only: { type: 'string' },
      clients: { type: 'string', default: '500' },
      every: { type: 'string', default: '1000' },
      hold: { type: 'string', default: '500' },
      long: { type: 'string', default: '15000' },
      replicas: { type: 'string', default: '10' },
      engine: { type: 'string', default: '28.5' },
      render: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { only } = values;
  if (only !== undefined && only !== 'well' && only !== 'mistakes')
    throw new Error(`--only ${only}? It is well or mistakes.`);
  if (only !== undefined && values.record) throw new Error('--record takes all of it.');
  const number = (
    /** @type {'clients' | 'every' | 'hold' | 'long' | 'replicas'} */ name,
    least = 1,
  ) => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= least) return value;
    throw new Error(`--${name} ${values[name]}? It is a whole number from ${least} on.`);
  };
  const clients = number('clients', 10);
  const [everyMs, holdMs, longMs] = [number('every'), number('hold', 0), number('long', 0)];
  const long = longMs === 0 ? 0 : Math.round(clients / 10);
  const groups = [
    { clients: clients - long, everyMs, holdMs },
    ...(long === 0 ? [] : [{ clients: long, everyMs: longMs, holdMs: longMs }]),
  ];
  return { ...values, only, clients, groups, replicas: number('replicas') };
}

/**
 * @param {ReturnType<typeof readOptions>} options
 * @param {AbortSignal} signal
 * @returns {Promise<Partial<Results>>}
 */
const measure = ({ engine, only, clients, groups, replicas }, signal) =>
  onOwnSwarm('downtime', { engine, images: false, signal }, async (testbed) => {
    const { proxyVersion } = await pushImages(testbed, log);
    const bench = { testbed, stack: 'shop', port: PORT, replicas, groups, signal, log };
    const well = only === 'mistakes' ? undefined : await playWell(bench);
    if (well !== undefined && well.all.failed > 0) {
      for (const line of well.samples) log(line);
      const said = await testbed.manager.docker('service', 'logs', '--raw', 'shop_proxy');
      const lines = said.split('\n').filter((line) => / "[A-Z]+ \//.test(line));
      for (const line of lines.slice(0, PROXY_LINES)) log(line);
    }
    const mistakes = only === 'well' ? undefined : await playMistakes(bench);
    return {
      ...whenMeasured(),
      machine: machine(),
      engine: testbed.engineVersion,
      proxy: proxyVersion,
      load: { clients, replicas, groups, warmUpMs: WARM_UP_MS },
      ...(well && { well }),
      ...(mistakes && { mistakes }),
    };
  });

/** @param {unknown} results @param {string} path */
async function writeJson(results, path) {
  const settings = await resolveConfig(JSON_FILE);
  writeFileSync(path, await format(JSON.stringify(results), { ...settings, parser: 'json' }));
}

/**
 * The pictures of docs/downtime.json, and all tables of the docs.
 * @param {Results} results
 */
async function render(results) {
  needBrowser();
  const home = mkdtempSync(join(tmpdir(), 'downtime-'));
  try {
    for (const theme of THEMES)
      for (const [name, svg] of Object.entries({
        well: wellPicture(results, theme),
        mistakes: mistakesPicture(results, theme),
      })) {
        const [, width = '', height = ''] = /width="(\d+)" height="(\d+)"/.exec(svg) ?? [];
        const file = join(home, 'page.html');
        const page = `<!doctype html><meta charset="utf-8"><style>body { margin: 0 }</style>${svg}`;
        writeFileSync(file, page);
        const picture = join(PICTURES, `downtime-${name}-${theme}.png`);
        const profile = `--user-data-dir=${join(home, 'profile')}`;
        const size = [`--window-size=${width},${height}`, '--force-device-scale-factor=2'];
        browse([profile, ...size, `--screenshot=${picture}`], pathToFileURL(file).href);
        console.log(picture);
      }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
  const docs = spawn(process.execPath, [join(ROOT, 'scripts', 'docs.mjs')], { stdio: 'inherit' });
  const code = await new Promise((done) => docs.once('close', done));
  if (code !== 0) throw new Error('The tables of the docs could not be written.');
}

/** @param {AbortSignal} signal @returns {Promise<boolean>} whether the well-configured run lost nothing */
async function main(signal) {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(HELP);
    return true;
  }
  if (options.render) {
    await render(JSON.parse(readFileSync(JSON_FILE, 'utf8')));
    return true;
  }
  const results = await measure(options, signal);
  const { well, mistakes } = results;
  if (options.json !== undefined) await writeJson(results, options.json);
  if (options.record) {
    await writeJson(results, JSON_FILE);
    await render(/** @type {Results} */ (results));
  }
  const all = /** @type {Results} */ ({ mistakes: [], well: { phases: [] }, ...results });
  if (well !== undefined) console.log(`${wellTable(all)}\n`);
  if (mistakes !== undefined) console.log(mistakesTable(all));
  log('done');
  return well === undefined || well.all.failed === 0;
}

await measured(main);
