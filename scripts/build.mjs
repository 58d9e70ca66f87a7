/**
 * Builds `dist/`, the committed bundle that a runner executes. `--check` builds into a temporary
 * directory instead and fails when the committed one differs.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** @param {string} out */
function build(out) {
  rmSync(out, { recursive: true, force: true });
  execFileSync(
    process.execPath,
    [
      join(root, 'node_modules/@vercel/ncc/dist/ncc/cli.js'),
      'build',
      'src/index.ts',
      '--out',
      out,
      '--license',
      'licenses.txt',
      '--no-cache',
      '--transpile-only', // types are checked once, by `npm run typecheck`
      '--quiet',
    ],
    { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  // ssh2 ships a Windows helper for PuTTY's agent, which ncc copies along; no runner needs it here.
  for (const file of readdirSync(out, { recursive: true, encoding: 'utf8' }))
    if (file.endsWith('pagent.exe')) rmSync(join(out, file));
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
  build(fresh);
  if (process.argv.includes('--check')) check(fresh);
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
