/**
 * What can be checked of workflows, examples, docs and the release without GitHub:
 * `npm run check [-- NAME...]`. Prints one line a check, and every problem below it.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tmpdir } from 'node:os';
import { parse } from 'yaml';

import { deadLinks } from './check/pages.mjs';
import { isBundled, licenseProblems, sbom, sbomProblems } from './check/supply.mjs';
import { optionsOf, refuseUnknown } from './options.mjs';
import { gateProblems, lint, misuse, tooMuch, typeProblems, unpinned } from './check/workflows.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** @param {string} path */
const read = (path) => readFileSync(join(root, path), 'utf8');

/** @param {string} path */
const file = (path) => ({ path, text: read(path) });

const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '' && existsSync(join(root, path)));

/** @param {RegExp} pattern */
const those = (pattern) => tracked.filter((path) => pattern.test(path)).map(file);

const examples = those(/^examples\/[^/]+\.yml$/);
const workflows = [...those(/^\.github\/workflows\/[^/]+\.yml$/), ...examples];
const actions = those(/^\.github\/actions\/[^/]+\/action\.yml$/);
/** @type {import('./check/workflows.mjs').Action} */
const action = parse(read('action.yml'));
/** @type {{ dependencies: Record<string, string> }} */
const { dependencies } = JSON.parse(read('package.json'));

/** @returns {string[]} */
function spelling() {
  const cspell = join(root, 'node_modules', 'cspell', 'bin.mjs');
  const pages = tracked.filter((path) => path.endsWith('.md'));
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [cspell, '--no-progress', '--no-summary', '--no-color', '--config', '.cspell.json', ...pages],
    { cwd: root, encoding: 'utf8' },
  );
  const problems = stdout.split('\n').filter((line) => line !== '');
  return status === 0 || problems.length > 0 ? problems : [`cspell: ${stderr.trim()}`];
}

/** @returns {string[]} */
function words() {
  const list = read('.cspell.words.txt')
    .split('\n')
    .filter((line) => line !== '');
  const text = those(/\.md$/)
    .map((page) => page.text.toLowerCase())
    .join('\n');
  return list
    .filter((word) => !text.includes(word.toLowerCase()))
    .map((word) => `.cspell.words.txt: ${word} is in no page`);
}

/** @returns {string[]} */
function licenses() {
  const bundle = read('dist/index.js');
  const components = sbom(root).components;
  const inside = components.filter(({ name }) =>
    isBundled(bundle, join(root, 'node_modules', name)),
  );
  const free = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'Unlicense', '0BSD'];
  return [
    ...Object.keys(dependencies)
      .filter((name) => !inside.some((component) => component.name === name))
      .map((name) => `package.json has the dependency ${name}, and no code of it is in the bundle`),
    ...licenseProblems(
      read('dist/licenses.txt'),
      inside.map(({ name }) => {
        const directory = join(root, 'node_modules', name);
        const text = readdirSync(directory).some((entry) => /^licen[sc]e/i.test(entry));
        const { license, licenses: former } = JSON.parse(
          readFileSync(join(directory, 'package.json'), 'utf8'),
        );
        return { name, license: String(license ?? former?.[0]?.type), text };
      }),
      free,
    ),
  ];
}

/** A Node of another version than the one that runs this, from its npm package; unpacked, not installed. */
function otherNode() {
  const major = process.versions.node.startsWith('24.') ? '20' : '24';
  const { platform, arch } = process;
  if (platform !== 'linux' || !['x64', 'arm64'].includes(arch))
    return { major, missing: `no package for ${platform}` };
  const home = mkdtempSync(join(tmpdir(), 'swarm-deploy-node-'));
  const packed = spawnSync(
    'npm',
    ['pack', '--silent', '--pack-destination', home, `node-linux-${arch}@${major}`],
    { cwd: home, encoding: 'utf8' },
  );
  const archive = readdirSync(home).find((name) => name.endsWith('.tgz'));
  if (packed.status !== 0 || archive === undefined) {
    rmSync(home, { recursive: true, force: true });
    return { major, missing: 'its npm package cannot be had' };
  }
  mkdirSync(join(home, 'node'));
  execFileSync('tar', ['-xzf', archive, '-C', 'node', '--strip-components', '1'], { cwd: home });
  return { major, home, path: join(home, 'node', 'bin', 'node') };
}

/** @returns {string[]} */
function reproducible() {
  /** @param {string} node */
  const build = (node) => {
    const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
    const { status, stderr } = spawnSync(node, ['scripts/build.mjs', '--check'], {
      cwd: root,
      encoding: 'utf8',
    });
    console.log(`   built by Node ${version}: ${status === 0 ? 'the same bytes' : 'other bytes'}`);
    return status === 0 ? [] : [`Node ${version}: ${stderr.trim()}`];
  };
  const problems = [process.execPath, process.execPath].flatMap(build);
  const other = otherNode();
  if (other.path === undefined)
    console.log(`   not built by Node ${other.major}: ${other.missing}`);
  else
    try {
      problems.push(...build(other.path));
    } finally {
      rmSync(other.home, { recursive: true, force: true });
    }
  return problems;
}

/** @type {Record<string, () => string[]>} */
const CHECKS = {
  actionlint: () =>
    lint(
      workflows.map(({ path }) => path),
      root,
    ),
  pins: () => [...workflows, ...actions].flatMap(unpinned),
  permissions: () => workflows.flatMap(tooMuch),
  gate: () => gateProblems(file('.github/workflows/ci.yml')),
  examples: () => examples.flatMap((each) => misuse(each, action)),
  'action-types': () => typeProblems(read('action-types.yml'), read('action.yml')),
  links: () => {
    const directories = tracked.flatMap((path) =>
      path.split('/').map((_, index, parts) => parts.slice(0, index).join('/')),
    );
    return deadLinks(those(/\.md$/), new Set([...tracked, ...directories]));
  },
  spelling,
  words,
  sbom: () => sbomProblems(sbom(root), Object.keys(dependencies)),
  licenses,
  reproducible,
};

const HELP = `Checks what can be checked of workflows, examples, docs and the release without GitHub.

  npm run check [-- NAME...]

  NAME    ${Object.keys(CHECKS).join(', ')} (default: all)
  --help  this text`;
const { positionals: asked } = optionsOf(HELP, { options: {}, allowPositionals: true });
refuseUnknown(asked, Object.keys(CHECKS), 'check');
for (const [name, check] of Object.entries(CHECKS)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const problems = check();
  console.log(problems.length === 0 ? `ok ${name}` : `FAILED ${name}`);
  for (const problem of problems) console.log(`   ${problem}`);
  if (problems.length > 0) process.exitCode = 1;
}
