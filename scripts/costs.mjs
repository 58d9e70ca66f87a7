/**
 * `npm run costs`: what each runtime dependency costs. `--help` says more.
 *
 * Bytes: how much smaller the bundle is without it, and without what only it needs. Start: the processor
 * time to load it alone, the least of several runs, so that other work on the machine counts little.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';

import { optionsOf } from './options.mjs';

/**
 * @type {(input: string, options: object) => Promise<{ code: string }>}
 */
const ncc = createRequire(import.meta.url)('@vercel/ncc');

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const PAGE = join(root, 'docs', 'dependencies.md');
const RUNS = 15;
/** Left out of the bundle: see scripts/build.mjs. */
const LEFT_OUT = 'undici';
const HELP = `Prints what each runtime dependency costs, in bytes of the bundle and in time to load.

  npm run costs [-- --write]

  --write  put the table into docs/dependencies.md, too
  --help   this text`;
const { write: isWritten } = optionsOf(HELP, {
  options: { write: { type: 'boolean', default: false } },
}).values;

/** @param {string} entry @param {readonly string[]} externals @returns {Promise<string>} code */
async function bundle(entry, externals) {
  const { code } = await ncc(entry, {
    cache: false,
    quiet: true,
    transpileOnly: true,
    externals: Object.fromEntries(externals.map((name) => [name, 'node:http'])),
  });
  return code;
}

mkdirSync(join(root, '.cache'), { recursive: true });
const scratch = mkdtempSync(join(root, '.cache', 'costs-'));

/** @param {string} name of a package @returns {Promise<number>} milliseconds of the processor */
async function start(name) {
  const entry = join(scratch, `${name.replaceAll('/', '-')}.js`);
  const built = entry.replace(/js$/, 'cjs');
  writeFileSync(entry, `import * as all from '${name}';\nglobalThis.all = all;\n`);
  writeFileSync(built, await bundle(entry, name === LEFT_OUT ? [] : [LEFT_OUT]));
  const script = `const from = process.cpuUsage();
require(process.argv[1]);
const { user, system } = process.cpuUsage(from);
console.log((user + system) / 1000);`;
  const times = Array.from({ length: RUNS }, () =>
    Number(execFileSync(process.execPath, ['-e', script, built], { encoding: 'utf8' })),
  );
  return Math.min(...times);
}

try {
  /** @type {{ dependencies: Record<string, string> }} */
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const entry = join(root, 'src', 'index.ts');
  const whole = (await bundle(entry, [LEFT_OUT])).length;
  const rows = [];
  for (const [name, version] of Object.entries(dependencies)) {
    const without = (await bundle(entry, [LEFT_OUT, name])).length;
    rows.push(row(`\`${name}\` ${version}`, whole - without, await start(name)));
  }
  const more = (await bundle(entry, [])).length - whole;
  rows.push(row(`\`${LEFT_OUT}\`, left out`, more, await start(LEFT_OUT)));
  const table = [
    '| package | bytes in the bundle | share | to load |',
    '| --- | ---: | ---: | ---: |',
    ...rows.map(({ name, bytes, ms }) => line(name, bytes, whole, ms)),
    `| **the bundle** | ${number(whole)} | 100 % | |`,
    '',
    `Node ${process.versions.node}; \`npm run costs -- --write\` measures anew.`,
  ].join('\n');
  console.log(table);
  if (isWritten) await write(table);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** @param {string} name @param {number} bytes @param {number} ms */
function row(name, bytes, ms) {
  return { name, bytes, ms };
}

/** @param {number} value */
function number(value) {
  return value.toLocaleString('en-US');
}

/** @param {string} name @param {number} bytes @param {number} whole @param {number} ms */
function line(name, bytes, whole, ms) {
  return `| ${name} | ${number(bytes)} | ${Math.round((bytes / whole) * 100)} % | ${ms.toFixed(0)} ms |`;
}

/** @param {string} table */
async function write(table) {
  const [from, to] = ['<!-- costs:start -->', '<!-- costs:end -->'];
  const page = readFileSync(PAGE, 'utf8');
  const [start, end] = [page.indexOf(from), page.indexOf(to)];
  if (start < 0 || end < start) throw new Error(`${PAGE} does not have ${from} and ${to}`);
  const fresh = `${page.slice(0, start + from.length)}\n\n${table}\n\n${page.slice(end)}`;
  writeFileSync(PAGE, await format(fresh, { ...(await resolveConfig(PAGE)), parser: 'markdown' }));
}
