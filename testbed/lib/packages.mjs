/**
 * The programs of the test swarm: Debian packages, downloaded by apt and unpacked into a directory
 * of their own. Nothing of them is installed, so no service is started and nothing of the machine
 * is changed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { cp, lstat, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { hasCommand, lastLines, must, run } from './run.mjs';
import { withLock } from './wait.mjs';

/** Raise it when the way the directories are made changes: old ones are then left aside. */
const LAYOUT = 1;

/** What every engine needs besides itself. runc stays the machine's own: others need its libc. */
const BASE_PACKAGES = [
  'openssh-server',
  'openssh-sftp-server',
  'docker-registry',
  'busybox-static',
  'tini',
  'runc',
];

/** What people have on a manager instead: another SSH server, other login shells. */
const LOGIN_PACKAGES = ['dropbear-bin', 'fish', 'tcsh'];

/** How a login that is no root may run some commands as root. */
const RIGHTS_PACKAGES = ['sudo'];

/** docker-cli is part of docker.io up to Debian 12. The shim has to fit its containerd. */
const ENGINE_PACKAGES = ['docker.io', 'docker-cli', 'containerd'];

/** Where engines of other versions are, by Debian suite. The version found there decides. */
const DEBIAN_SUITES = ['bookworm', 'trixie', 'forky', 'sid'];
/** Debian itself, and what its mirrors are signed with, for machines that are none: Ubuntu has a package of the keys. */
const DEBIAN = 'http://deb.debian.org/debian';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const KEYRING_PACKAGE = 'debian-archive-keyring';

/** Small tools this machine itself needs, by command: the package is installed if it is missing. */
const BASIC_TOOLS = { ip: 'iproute2', iptables: 'iptables', 'ssh-keygen': 'openssh-client' };

/** How the names of unfinished directories start. */
const DOWNLOAD = 'download-';

/** In each directory: the file names of the packages in it. */
const PACKAGE_LIST = 'packages.txt';

const QUIET = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' };
const APT_LIMIT_MS = 300_000;

/** @returns {string} kept between runs; safe to delete when nothing is up */
export function cacheDirectory() {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'swarm-deploy-testbed');
}

/**
 * @returns {Promise<string[]>} the small tools that are missing, as package names
 */
export async function missingTools() {
  const missing = [];
  for (const [command, name] of Object.entries(BASIC_TOOLS)) {
    if (!(await hasCommand(command))) missing.push(name);
  }
  return missing;
}

/**
 * Makes sure that everything is there and says where.
 * @param {string} engine '20.10', '26.1', ... or 'default'
 * @param {(line: string) => void} log
 * @returns {Promise<string[]>} directories to lay over the machine's own, uppermost first
 */
export async function preparePackages(engine, log) {
  const layers = [`engine-${engine}`, 'rights', 'logins', 'base'].map(layerPath);
  if (layers.every(existsSync) && (await missingTools()).length === 0) return layers;
  await withLock('packages', async () => {
    await installTools(log);
    await layer('base', log, (directory) => downloadOwn(BASE_PACKAGES, directory));
    await layer('logins', log, (directory) => downloadOwn(LOGIN_PACKAGES, directory));
    await layer('rights', log, (directory) => downloadOwn(RIGHTS_PACKAGES, directory));
    await layer(`engine-${engine}`, log, (directory) => {
      return downloadEngine(engine, directory);
    });
  });
  return layers;
}

/**
 * Other packages of this machine's own release, such as a benchmark needs: unpacked, not installed.
 * @param {string} name
 * @param {(line: string) => void} log
 * @returns {Promise<string>} directory of the package and of those of its dependencies that are
 *   missing here
 */
export async function preparePackage(name, log) {
  await withLock('packages', () =>
    layer(`package-${name}`, log, (directory) => downloadOwn([name], directory)),
  );
  return layerPath(`package-${name}`);
}

/**
 * @param {string} name
 * @returns {string} where a directory of unpacked packages is, once it is made
 */
function layerPath(name) {
  return join(cacheDirectory(), `${name}-${codename()}-${process.arch}-${LAYOUT}`);
}

/**
 * @param {(line: string) => void} log
 */
async function installTools(log) {
  const missing = await missingTools();
  if (missing.length === 0) return;
  log(`Installing ${missing.join(', ')}`);
  const install = ['apt-get', 'install', '--yes', '--no-install-recommends', ...missing];
  await withFreshLists(() => must(install, { env: QUIET, timeoutMs: APT_LIMIT_MS }));
}

/**
 * Makes one directory of unpacked packages, once a machine. It is moved into place when complete,
 * so an interrupted download is never taken for a whole one.
 * @param {string} name
 * @param {(line: string) => void} log
 * @param {(directory: string) => Promise<void>} download puts .deb files into the directory
 */
async function layer(name, log, download) {
  const cache = cacheDirectory();
  const target = layerPath(name);
  if (existsSync(target)) return;
  log(`Downloading packages: ${name}`);
  await mkdir(cache, { recursive: true });
  for (const left of await readdir(cache)) {
    // of an interrupted download: nobody else is at it, as this runs under a lock
    if (left.startsWith(DOWNLOAD)) await rm(join(cache, left), { recursive: true });
  }
  const temporary = await mkdtemp(join(cache, DOWNLOAD));
  try {
    const debs = join(temporary, 'debs');
    const root = join(temporary, 'root');
    await mkdir(debs);
    await mkdir(root);
    await download(debs);
    const files = (await readdir(debs)).filter((file) => file.endsWith('.deb'));
    for (const file of files) await must(['dpkg', '-x', join(debs, file), root]);
    await mergeUsr(root);
    await writeFile(join(root, PACKAGE_LIST), files.join('\n'));
    await rename(root, target);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/**
 * Some packages still put files into /bin or /lib, which are links into /usr on Debian 12 and
 * later. Only /usr is laid over the machine's own.
 * @param {string} root
 */
async function mergeUsr(root) {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    const from = join(root, name);
    if (!existsSync(from) || (await lstat(from)).isSymbolicLink()) continue;
    const options = { recursive: true, verbatimSymlinks: true, force: true };
    await cp(from, join(root, 'usr', name), options);
  }
}

/**
 * @param {readonly string[]} layers
 * @param {string} name
 * @returns {string} version of a package in them, without its epoch: '9.2p1-2+deb12u10'
 */
export function versionIn(layers, name) {
  const lists = layers.map((path) => readFileSync(join(path, PACKAGE_LIST), 'utf8')).join('\n');
  const line = lists.split('\n').find((file) => file.startsWith(`${name}_`)) ?? '';
  return (line.split('_')[1] ?? '').replace(/^\d+%3a/, '');
}

/** @returns {string} 'bookworm' and so on; packages of one release don't run on another */
function codename() {
  const text = readFileSync('/etc/os-release', 'utf8');
  return /^VERSION_CODENAME=(\S+)/m.exec(text)?.[1] ?? 'unknown';
}

/**
 * @param {string} name of a package
 * @param {readonly string[]} [options] of apt
 * @returns {Promise<string>} the version that apt would take; '' when there is none
 */
async function ownVersion(name, options = []) {
  const text = await must(['apt-cache', ...options, 'policy', name], { env: QUIET });
  const version = /^ {2}Candidate: (\S+)/m.exec(text)?.[1] ?? '';
  return version === '(none)' ? '' : version;
}

/**
 * Downloads packages of this machine's own release, with those of their dependencies that are
 * missing here: apt's simulation knows which.
 * @param {readonly string[]} names
 * @param {string} directory
 */
async function downloadOwn(names, directory) {
  await withFreshLists(async () => {
    const known = await existing(names);
    const simulate = ['apt-get', 'install', '--simulate', '--no-install-recommends', ...known];
    const plan = await must(simulate, { env: QUIET, timeoutMs: APT_LIMIT_MS });
    const missing = [...plan.matchAll(/^Inst (\S+)/gm)].map((match) => match[1] ?? '');
    await aptDownload([...new Set([...known, ...missing])], directory, []);
  });
}

/**
 * @param {readonly string[]} names
 * @returns {Promise<string[]>} those that this release has; all but docker-cli have to be there
 */
async function existing(names) {
  const known = [];
  for (const name of names) {
    if (await ownVersion(name)) known.push(name);
    else if (name !== 'docker-cli') throw new Error(`apt knows no package ${name} on this machine`);
  }
  return known;
}

/**
 * Does it again after `apt-get update` if it fails: lists may be missing, or so old that they name
 * files which are no longer on the mirror.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function withFreshLists(work) {
  try {
    return await work();
  } catch {
    await must(['apt-get', 'update'], { env: QUIET, timeoutMs: APT_LIMIT_MS });
    return work();
  }
}

/**
 * apt drops to the user _apt for downloads, who can't write below /root: so do it as root.
 * @param {readonly string[]} names
 * @param {string} directory
 * @param {readonly string[]} options
 */
async function aptDownload(names, directory, options) {
  const command = ['apt-get', ...options, '-o', 'APT::Sandbox::User=root', 'download', ...names];
  await must(command, { cwd: directory, env: QUIET, timeoutMs: APT_LIMIT_MS });
}

/**
 * @param {string} engine
 * @param {string} directory
 */
async function downloadEngine(engine, directory) {
  const own = engine === 'default' || (await ownVersion('docker.io')).startsWith(`${engine}.`);
  if (own) await downloadOwn(ENGINE_PACKAGES, directory);
  else await downloadOther(engine, directory);
}

/**
 * Downloads an engine from another Debian suite, with lists and settings in a directory of our own:
 * the machine's apt is not touched.
 * @param {string} engine
 * @param {string} directory
 */
async function downloadOther(engine, directory) {
  const mirror = await debianMirror();
  const keyring = await debianKeyring(join(directory, 'keyring'));
  const problems = [];
  for (const suite of DEBIAN_SUITES) {
    const options = await privateApt(
      join(directory, `apt-${suite}`),
      `[signed-by=${keyring}] ${mirror} ${suite} main`,
    );
    const updated = await run(['apt-get', ...options, 'update'], {
      env: QUIET,
      timeoutMs: APT_LIMIT_MS,
    });
    if (updated.code !== 0) problems.push(`${suite}: ${lastLines(updated.stderr, 2)}`);
    const version = await ownVersion('docker.io', options);
    if (!version.startsWith(`${engine}.`)) continue;
    const names = [];
    for (const name of ENGINE_PACKAGES) {
      if (await ownVersion(name, options)) names.push(name);
    }
    return aptDownload(names, directory, options);
  }
  const searched = `No Debian suite of ${DEBIAN_SUITES.join(', ')} has Docker ${engine}.`;
  throw new Error([searched, ...problems].join('\n'));
}

/**
 * @returns {Promise<string>} the address of the mirror that this machine's own apt uses, or Debian's own
 */
async function debianMirror() {
  const format = '$(REPO_URI) $(RELEASE)';
  const command = ['apt-get', 'indextargets', '--format', format];
  const text = await must([...command, 'Created-By: Packages', 'Origin: Debian'], { env: QUIET });
  const lines = text
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
  const main = lines.find(([, release]) => release && !release.includes('-'));
  return main?.[0] || DEBIAN;
}

/**
 * @param {string} directory where they go if this machine has not got them
 * @returns {Promise<string>} the file of the keys that Debian signs with
 */
async function debianKeyring(directory) {
  if (existsSync(KEYRING)) return KEYRING;
  await mkdir(directory);
  await withFreshLists(() => aptDownload([KEYRING_PACKAGE], directory, []));
  for (const file of await readdir(directory))
    if (file.endsWith('.deb')) await must(['dpkg', '-x', join(directory, file), directory]);
  return join(directory, KEYRING);
}

/**
 * @param {string} directory
 * @param {string} source as in sources.list, without its first word
 * @returns {Promise<string[]>} options that make apt use nothing but this directory
 */
async function privateApt(directory, source) {
  for (const name of ['state/lists/partial', 'cache/archives/partial', 'parts']) {
    await mkdir(join(directory, name), { recursive: true });
  }
  const sources = join(directory, 'sources.list');
  await writeFile(sources, `deb ${source}\n`);
  const settings = {
    'Dir::Etc::sourcelist': sources,
    'Dir::Etc::sourceparts': join(directory, 'parts'),
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': join(directory, 'parts'),
    'Dir::State': join(directory, 'state'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(directory, 'cache'),
    'APT::Sandbox::User': 'root',
  };
  return Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
}
