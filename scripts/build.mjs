/**
 * Builds `dist/`, the committed bundle that a runner executes. `--check` builds into a temporary
 * directory instead and fails when the committed one differs.
 */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { optionsOf } from './options.mjs';

/**
 * @type {(input: string, options: object) => Promise<{ code: string,
 *   assets: Record<string, { source: string | Buffer }> }>}
 */
const ncc = createRequire(import.meta.url)('@vercel/ncc');

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const HELP = `Builds dist/, the committed bundle that a runner executes.

  npm run build [-- --check]

  --check  build into a temporary directory instead, and fail where the committed one differs
  --help   this text`;
const { check: isCheck } = optionsOf(HELP, {
  options: { check: { type: 'boolean', default: false } },
}).values;

/** @param {string} out */
async function build(out) {
  const { code, assets } = await ncc(join(root, 'src/index.ts'), {
    cache: false,
    license: 'licenses.txt',
    quiet: true,
    transpileOnly: true, // types are checked once, by `npm run typecheck`
    // @actions/core loads it for OpenID Connect tokens, which nothing here asks for; it would take a
    // third of the time that the bundle needs to start, and that is paid by `main` and by `post`.
    externals: { undici: 'node:http' },
  });
  write(join(out, 'index.js'), inAscii(code));
  for (const [name, { source }] of Object.entries(assets))
    // ssh2 brings a Windows helper for PuTTY's agent along; no runner needs it here.
    if (!name.endsWith('pagent.exe')) write(join(out, name), source);
}

/**
 * The same program in printable ASCII: one character beyond Latin-1 makes V8 keep the whole source
 * with two bytes for each, and a zero byte makes git call the file binary.
 * @param {string} code with such characters in strings, regular expressions and comments only
 */
function inAscii(code) {
  return code.replace(
    /[^\t\n\r\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** @param {string} path @param {string | Buffer} content */
function write(path, content) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/** @param {string} directory @returns {Map<string, string>} */
function contents(directory) {
  return new Map(
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
      .map((path) => [path.slice(directory.length + 1), readFileSync(path, 'latin1')]),
  );
}

const scratch = mkdtempSync(join(tmpdir(), 'swarm-deploy-build-'));
try {
  const fresh = join(scratch, 'dist');
  await build(fresh);
  if (isCheck) check(fresh);
  else replace(fresh, join(root, 'dist'));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** @param {string} fresh what the sources build */
function check(fresh) {
  const [want, have] = [contents(fresh), contents(join(root, 'dist'))];
  const stale = [...new Set([...want.keys(), ...have.keys()])].filter(
    (name) => want.get(name) !== have.get(name),
  );
  if (stale.length === 0) return console.log('dist/ is fresh');
  console.error(`dist/ is not what src/ builds: ${stale.join(', ')}. Run: npm run build`);
  process.exitCode = 1;
}

/**
 * Puts a finished build in the place of the one before, so that there is one at any time.
 * @param {string} fresh
 * @param {string} dist
 */
function replace(fresh, dist) {
  rmSync(dist, { recursive: true, force: true });
  cpSync(fresh, dist, { recursive: true });
}
