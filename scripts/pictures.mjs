#!/usr/bin/env node
/**
 * `npm run pictures`: draws the pictures of the README, in a browser without a window, from what real runs
 * have written. `--record` plays these runs on the test swarm first. `--help` says more.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { attach, listNames } from '../testbed/index.mjs';
import { withTestbed } from '../testbed/with.mjs';
import { needTestbed, optionsOf, refuse } from './options.mjs';
import { browse, needBrowser, run } from './pictures/browser.mjs';
import { logPage, summaryPage } from './pictures/page.mjs';
import { playRuns } from './pictures/runs.mjs';

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), '..', 'docs', 'pictures');
const RECORDED = join(FOLDER, 'recorded');
const THEMES = /** @type {const} */ (['light', 'dark']);
/** Of what GitHub draws diagrams with. */
const MERMAID = 'mermaid@11';
const WIDTH = 1012;
/** Beyond that a reader scrolls; the first screen has to tell. */
const MAX_HEIGHT = 1600;

const HELP = `Draws the pictures in docs/pictures.

  npm run pictures [-- OPTIONS] [NAME...]

  --record     play the runs on the test swarm first, with dist/index.js as it is
  --name NAME  of the test swarm (default: pictures); one that is up already is used, and left up
  --out DIR    where the pictures go (default: docs/pictures)
  --help       this text

Needs Debian or Ubuntu: a browser (chromium) is installed where there is none, and Mermaid is fetched by
npm for the time of the command. --record needs root, as the test swarm does.`;

/**
 * @param {string} home a directory of this run
 * @returns {string} the address of Mermaid as one script
 */
function fetchMermaid(home) {
  const [archive] = run('npm', ['pack', '--silent', MERMAID], home).trim().split('\n').slice(-1);
  run('tar', ['-xzf', archive ?? '', 'package/dist/mermaid.min.js'], home);
  return pathToFileURL(join(home, 'package', 'dist', 'mermaid.min.js')).href;
}

/**
 * @param {string} home
 * @param {string} html
 * @param {string} picture
 */
function draw(home, html, picture) {
  const file = join(home, 'page.html');
  writeFileSync(file, html);
  const { href } = pathToFileURL(file);
  const profile = `--user-data-dir=${join(home, 'profile')}`;
  const size = (/** @type {number} */ height) => `--window-size=${WIDTH},${height}`;
  const dom = browse([profile, size(1000), '--dump-dom'], href);
  const height = Number(/ data-height="(\d+)"/.exec(dom)?.[1]);
  if (!(height > 0)) throw new Error(`${picture}: the page was not drawn in time`);
  if (
    /Syntax error in text|class="error-icon"/.test(
      dom.replace(/<style[\s\S]*?<\/style>/g, '').replace(/<script[\s\S]*?<\/script>/g, ''),
    )
  )
    throw new Error(`${picture}: Mermaid could not read its diagram`);
  browse([profile, size(Math.min(height, MAX_HEIGHT)), `--screenshot=${picture}`], href);
}

/** @param {string} name of the test swarm */
async function record(name) {
  await needTestbed();
  const pictures = listNames().includes(name)
    ? await playRuns(await attach(name), console.log)
    : await withTestbed(name, { log: console.error }, (bed) => playRuns(bed, console.log));
  mkdirSync(RECORDED, { recursive: true });
  for (const { name: each, log, summary } of pictures) {
    writeFileSync(join(RECORDED, `${each}.log`), log);
    writeFileSync(join(RECORDED, `${each}.md`), summary);
  }
}

async function main() {
  const { values, positionals } = optionsOf(HELP, {
    allowPositionals: true,
    options: {
      record: { type: 'boolean', default: false },
      name: { type: 'string', default: 'pictures' },
      out: { type: 'string', default: FOLDER },
    },
  });
  if (values.record) await record(values.name);
  if (!existsSync(RECORDED)) refuse('Nothing is recorded yet: --record does that.');
  needBrowser();
  const home = mkdtempSync(join(tmpdir(), 'pictures-'));
  try {
    const mermaid = fetchMermaid(home);
    mkdirSync(values.out, { recursive: true });
    const files = readdirSync(RECORDED).filter(
      (file) => positionals.length === 0 || positionals.includes(file.replace(/\.\w+$/, '')),
    );
    for (const file of files)
      for (const theme of THEMES) {
        const text = readFileSync(join(RECORDED, file), 'utf8');
        const isLog = file.endsWith('.log');
        const html = isLog ? logPage(text, theme) : summaryPage(text, theme, mermaid);
        const name = `${file.replace(/\.\w+$/, '')}-${isLog ? 'log' : 'summary'}-${theme}.png`;
        draw(home, html, join(values.out, name));
        console.log(name);
      }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

await main();
