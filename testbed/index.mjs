/**
 * A real Docker swarm on this one Linux machine, for tests, demos and benchmarks. See
 * docs/testbed.md.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { removeCgroups } from './lib/cgroups.mjs';
import { baseLayer, buildImage, standardImages } from './lib/images.mjs';
import {
  hostAddress,
  makeBridge,
  pickSubnet,
  removeNetwork,
  SERVICE_POOL,
} from './lib/network.mjs';
import { SwarmNode } from './lib/node.mjs';
import { cacheDirectory, missingTools, preparePackages } from './lib/packages.mjs';
import { endProcesses, isAlive, listMarked } from './lib/processes.mjs';
import {
  moveTag,
  PASSWORD,
  pushImage,
  readManifest,
  REGISTRY_PORT,
  startRegistry,
  USERNAME,
  writeRegistry,
} from './lib/registry.mjs';
import { hasCommand, run } from './lib/run.mjs';
import { makeClientKeys, PASSPHRASE } from './lib/ssh.mjs';
import {
  BASE_DIRECTORY,
  checkName,
  currentBootId,
  directoryOf,
  listNames,
  readState,
  writeState,
} from './lib/state.mjs';
import { errorText, until, withLock } from './lib/wait.mjs';

/**
 * @typedef {import('./lib/state.mjs').State} State
 * @typedef {import('./lib/state.mjs').Settings} Settings
 * @typedef {import('./lib/images.mjs').ImageDefinition} ImageDefinition
 *
 * @typedef {object} UpOptions
 * @property {string} [name] 'default' unless told
 * @property {number} [managers] 1 unless told
 * @property {number} [workers] 2 unless told
 * @property {'20.10' | '26.1' | '28.5' | 'default' | (string & {})} [engine]
 * @property {boolean} [sftp] whether sshd offers SFTP; off unless told
 * @property {readonly string[] | Record<string, readonly string[]>} [sshdConfig] additional lines
 *   of sshd_config: for all nodes, or by node name ('*' for all)
 * @property {boolean} [images] whether the registry gets the test images; on unless told
 * @property {(line: string) => void} [log] told what goes on
 * @property {AbortSignal} [signal] ends `up` and takes down what was made
 *
 * @typedef {{ok: true} | {ok: false, reason: string}} Probe
 *
 * @typedef {object} Ssh
 * @property {'root'} username
 * @property {string} privateKey
 * @property {string} privateKeyPath
 * @property {string} encryptedPrivateKey the same key, with a passphrase
 * @property {string} passphrase
 * @property {string} knownHosts the lines of all nodes
 * @property {string} knownHostsPath
 */

export const DEFAULT_NAME = 'default';
export { listNames } from './lib/state.mjs';
export { SwarmNode } from './lib/node.mjs';

/**
 * Whether a test swarm can run on this machine. Changes nothing.
 * @returns {Promise<Probe>}
 */
export async function probe() {
  const reason = await findObstacle();
  return reason === undefined ? { ok: true } : { ok: false, reason };
}

/** @returns {Promise<string | undefined>} the first thing that is in the way */
async function findObstacle() {
  if (process.platform !== 'linux') return 'A test swarm needs Linux.';
  if (process.getuid?.() !== 0) return 'A test swarm needs root: run this as root or with sudo.';
  for (const command of ['unshare', 'nsenter', 'mount']) {
    if (!(await hasCommand(command))) return `${command} is missing: install util-linux.`;
  }
  const missing = await missingTools();
  const apt = (await hasCommand('apt-get')) && (await hasCommand('dpkg'));
  if (!apt && missing.length > 0) return `Missing, and there is no apt: ${missing.join(', ')}.`;
  if (!apt && !existsSync(cacheDirectory())) return 'Its packages come by apt, which is missing.';
  const flags = [
    '-m',
    '-u',
    '-n',
    '-i',
    '-p',
    '--fork',
    '--propagation',
    'private',
    '--mount-proc',
  ];
  const namespaces = await run(['unshare', ...flags, 'mount', '-t', 'tmpfs', 'tmpfs', '/run']);
  if (namespaces.code !== 0) return `No permission for namespaces: ${namespaces.stderr.trim()}`;
  if (!/ cgroup2? /.test(readFileSync('/proc/self/mounts', 'utf8'))) {
    return 'No control groups are mounted on /sys/fs/cgroup.';
  }
  return undefined;
}

/**
 * Brings up a swarm, or gives the one of that name that is up already: then checks it, repairs it,
 * or replaces it if that fails or if it was made with other settings.
 * @param {UpOptions} [options]
 * @returns {Promise<Testbed>}
 */
export async function up(options = {}) {
  const { name = DEFAULT_NAME, log = () => {}, signal } = options;
  checkName(name);
  const settings = readSettings(options);
  const obstacle = await probe();
  if (!obstacle.ok) throw new Error(obstacle.reason);
  return withLock(
    `name ${name}`,
    async () => {
      const running = await reuse(name, settings, log);
      if (running) return running;
      const layers = await preparePackages(settings.engine, log);
      signal?.throwIfAborted();
      const state = await plan(name, settings, layers);
      try {
        return await build(new Testbed(state), log, signal);
      } catch (error) {
        await takeDown(state);
        throw error;
      }
    },
    { signal },
  );
}

/**
 * @param {UpOptions} options
 * @returns {Settings}
 */
function readSettings(options) {
  const { managers = 1, workers = 2, engine = 'default', sftp = false, images = true } = options;
  const nodes = managers + workers;
  if (managers < 1 || workers < 0 || !(nodes <= 5)) {
    throw new Error('A test swarm has at least one manager and at most five nodes.');
  }
  if (!/^(default|\d+\.\d+)$/.test(engine)) {
    throw new Error(`"${engine}" is no engine version: say 20.10, 26.1, 28.5 or default.`);
  }
  const lines = options.sshdConfig ?? [];
  const byNode = Array.isArray(lines) ? { '*': lines } : lines;
  const sshdConfig = Object.fromEntries(
    Object.entries(byNode).map(([key, all]) => [key, [...all]]),
  );
  return { managers, workers, engine, sftp, images, sshdConfig };
}

/**
 * @param {string} name
 * @param {Settings} settings
 * @param {(line: string) => void} log
 * @returns {Promise<Testbed | undefined>}
 */
async function reuse(name, settings, log) {
  const state = readState(name);
  if (!state) return undefined;
  const same = JSON.stringify(state.settings) === JSON.stringify(settings);
  if (same && isWhole(state)) {
    try {
      const testbed = await new Testbed(state).load();
      await testbed.repair();
      return testbed;
    } catch (error) {
      log(`Replacing the test swarm ${name}: ${errorText(error)}`);
    }
  } else {
    log(`Replacing the test swarm ${name}: ${same ? 'it is incomplete' : 'it has other settings'}`);
  }
  await takeDown(state);
  return undefined;
}

/** @param {State} state */
function isWhole(state) {
  const sameBoot = state.bootId === currentBootId();
  return state.ready && sameBoot && state.nodes.every(({ init }) => isAlive(init));
}

/**
 * Decides on names and addresses of everything and writes them down before anything is made.
 * @param {string} name
 * @param {Settings} settings
 * @param {string[]} layers
 * @returns {Promise<State>}
 */
async function plan(name, settings, layers) {
  return withLock('plan', async () => {
    const id = randomBytes(4).toString('hex');
    const others = listNames().map((other) => readState(other)?.subnet ?? '');
    const { subnet, gateway } = await pickSubnet(others.filter(Boolean));
    const roles = [
      ...Array.from({ length: settings.managers }, () => /** @type {const} */ ('manager')),
      ...Array.from({ length: settings.workers }, () => /** @type {const} */ ('worker')),
    ];
    const nodes = roles.map((role, index) => {
      const number = role === 'manager' ? index + 1 : index + 1 - settings.managers;
      const address = hostAddress(subnet, 11 + index);
      return { name: `${role}${number}`, role, address, veth: `sdv${id}-${index}` };
    });
    /** @type {State} */
    const state = {
      id,
      name,
      bootId: currentBootId(),
      settings,
      bridge: `sdb${id}`,
      gateway,
      subnet,
      cgroup: `/swarm-deploy-testbed-${id}`,
      layers,
      disk: true,
      nodes,
      ready: false,
    };
    writeState(state);
    return state;
  });
}

/**
 * @param {Testbed} testbed
 * @param {(line: string) => void} log
 * @param {AbortSignal} [signal]
 * @returns {Promise<Testbed>}
 */
async function build(testbed, log, signal) {
  const { state } = testbed;
  const directory = directoryOf(state.name);
  state.disk = await overlayWorks(directory);
  if (!state.disk) log(`overlayfs does not work on ${BASE_DIRECTORY}: node data is kept in memory`);
  await makeClientKeys(join(directory, 'keys'));
  await makeBridge(state.bridge, state.gateway);
  log(`Starting ${state.nodes.length} nodes on ${state.subnet}`);
  const registry = startWithImages(testbed);
  const results = await Promise.allSettled([
    registry,
    ...testbed.nodes.map(startNode(state, signal)),
  ]);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
  signal?.throwIfAborted();
  log('Joining the nodes to a swarm');
  await joinSwarm(testbed, signal);
  state.engineVersion = (await testbed.manager.api('GET', '/version')).Version;
  state.capabilities = { ipvs: await hasIpvs(testbed.manager) };
  state.ready = true;
  writeState(state);
  await testbed.load();
  log(`Up: Docker ${state.engineVersion}, first manager ${testbed.manager.address}`);
  return testbed;
}

/**
 * Overlays can't be stacked without end, nor is every file system good for the upper directory.
 * @param {string} directory
 */
async function overlayWorks(directory) {
  const at = join(directory, 'overlay-check');
  await mkdir(join(at, 'upper'), { recursive: true });
  await mkdir(join(at, 'work'));
  await mkdir(join(at, 'merged'));
  const options = `lowerdir=/etc,upperdir=${at}/upper,workdir=${at}/work`;
  const mount = ['mount', '-t', 'overlay', '-o', options, 'overlay', `${at}/merged`];
  const { code } = await run(['unshare', '--mount', '--propagation', 'private', ...mount]);
  await rm(at, { recursive: true });
  return code === 0;
}

/** @param {Testbed} testbed */
async function startWithImages(testbed) {
  const { state } = testbed;
  await writeRegistry(testbed.registryDirectory, testbed.registry.host);
  await testbed.registry.start();
  if (state.settings.images) await testbed.pushStandardImages();
}

/**
 * @param {State} state
 * @param {AbortSignal} [signal]
 */
const startNode = (state, signal) => async (/** @type {SwarmNode} */ node) => {
  await node.create();
  writeState(state);
  signal?.throwIfAborted();
  await Promise.all([node.startSsh(), node.startEngine()]);
};

/**
 * Managers join one after another: two changes of the raft group at once can be refused.
 * @param {Testbed} testbed
 * @param {AbortSignal} [signal]
 */
async function joinSwarm({ manager, nodes }, signal) {
  const pool = ['--default-addr-pool', SERVICE_POOL.cidr];
  const mask = ['--default-addr-pool-mask-length', String(SERVICE_POOL.size)];
  await manager.docker('swarm', 'init', '--advertise-addr', manager.address, ...pool, ...mask);
  const join = async (/** @type {SwarmNode} */ node) => {
    signal?.throwIfAborted();
    const token = await manager.docker('swarm', 'join-token', '--quiet', node.role);
    const address = ['--advertise-addr', node.address, `${manager.address}:2377`];
    await node.docker('swarm', 'join', '--token', token.trim(), ...address);
  };
  for (const node of nodes.slice(1)) if (node.role === 'manager') await join(node);
  await Promise.all(nodes.filter(({ role }) => role === 'worker').map(join));
  await waitForNodes(manager, nodes);
}

/**
 * @param {SwarmNode} manager
 * @param {readonly SwarmNode[]} nodes
 */
async function waitForNodes(manager, nodes) {
  const ready = async () => {
    /** @type {any[]} */
    const known = await manager.api('GET', '/nodes');
    const good = known.filter(({ Status, ManagerStatus }) => {
      return (
        Status.State === 'ready' && (ManagerStatus?.Reachability ?? 'reachable') === 'reachable'
      );
    });
    return good.length >= nodes.length;
  };
  const detail = async () => (await Promise.all(nodes.map((node) => node.logTail(5)))).join('\n');
  await until(`all ${nodes.length} nodes are ready`, ready, { timeoutMs: 180_000, detail });
}

/**
 * Virtual addresses of services and the ingress mesh need the kernel's IPVS. /proc/net/ip_vs is
 * there once it is loaded.
 * @param {SwarmNode} node
 */
async function hasIpvs(node) {
  const look = '[ -e /proc/net/ip_vs ] || { modprobe ip_vs && [ -e /proc/net/ip_vs ]; }';
  return (await node.exec(look)).code === 0;
}

/**
 * Ends and removes everything of a testbed, whatever there is of it.
 * @param {State} state
 */
async function takeDown(state) {
  const recorded = [...state.nodes.map(({ init }) => init), state.registry];
  const known = state.bootId === currentBootId() ? recorded.filter((one) => one !== undefined) : [];
  // the first process of a PID namespace takes all others in it along (pid_namespaces(7))
  await endProcesses([...known, ...listMarked(state.id)]);
  await removeNetwork(
    state.bridge,
    state.nodes.map(({ veth }) => veth),
  );
  await removeCgroups(state.cgroup);
  await rm(directoryOf(state.name), { recursive: true, force: true, maxRetries: 5 });
  await rmdir(BASE_DIRECTORY).catch(() => {}); // other testbeds may be in it
}

/**
 * Takes a testbed down. Does nothing if there is none of that name.
 * @param {string} [name]
 * @returns {Promise<boolean>} whether there was one
 */
export async function down(name = DEFAULT_NAME) {
  checkName(name);
  return withLock(`name ${name}`, async () => {
    const state = readState(name);
    if (!state) return false;
    await takeDown(state);
    return true;
  });
}

/**
 * @param {string} [name]
 * @returns {Promise<Testbed>} one that is up already
 */
export async function attach(name = DEFAULT_NAME) {
  const state = readState(name);
  if (!state) throw new Error(`There is no test swarm ${name}.`);
  if (!isWhole(state)) throw new Error(`The test swarm ${name} is not up: its state is broken.`);
  return new Testbed(state).load();
}

/**
 * @param {string} [name]
 * @returns {Promise<{name: string, state: 'none' | 'up' | 'broken', nodes: {name: string,
 *   role: string, address: string, up: boolean, engine: boolean}[], registry: boolean,
 *   engineVersion?: string | undefined}>}
 */
export async function status(name = DEFAULT_NAME) {
  const state = readState(name);
  if (!state) return { name, state: 'none', nodes: [], registry: false };
  const testbed = new Testbed(state);
  const nodes = await Promise.all(
    testbed.nodes.map(async (node) => {
      const { role, address, isUp } = node;
      return { name: node.name, role, address, up: isUp, engine: await node.engineAnswers() };
    }),
  );
  const registry = isAlive(state.registry);
  const whole = isWhole(state) && registry && nodes.every(({ engine }) => engine);
  const { engineVersion } = state;
  return { name, state: whole ? 'up' : 'broken', nodes, registry, engineVersion };
}

/** A swarm that is up. */
export class Testbed {
  /** @type {Ssh | undefined} */
  #ssh;

  /** @param {State} state */
  constructor(state) {
    /** @readonly */
    this.state = state;
    /** @readonly */
    this.name = state.name;
    /** @readonly */
    this.nodes = state.nodes.map((node) => new SwarmNode(state, node));
    /** @readonly */
    this.registry = new Registry(state);
  }

  /** Reads keys and host keys. */
  async load() {
    for (const node of this.nodes) await node.loadHostKey();
    const keys = join(directoryOf(this.name), 'keys');
    const knownHosts = this.nodes.map(({ hostKeyLine }) => `${hostKeyLine}\n`).join('');
    const knownHostsPath = join(keys, 'known_hosts');
    await writeFile(knownHostsPath, knownHosts);
    this.#ssh = {
      username: 'root',
      privateKey: await readFile(join(keys, 'id_ed25519'), 'utf8'),
      privateKeyPath: join(keys, 'id_ed25519'),
      encryptedPrivateKey: await readFile(join(keys, 'id_ed25519_encrypted'), 'utf8'),
      passphrase: PASSPHRASE,
      knownHosts,
      knownHostsPath,
    };
    return this;
  }

  /** @returns {SwarmNode} the first manager */
  get manager() {
    const [first] = this.nodes;
    if (!first) throw new Error('A testbed without nodes.');
    return first;
  }

  /** @returns {Ssh} how to log in to any node */
  get ssh() {
    if (!this.#ssh) throw new Error('The testbed is not up yet.');
    return this.#ssh;
  }

  /** @returns {string} the engine asked for */
  get engine() {
    return this.state.settings.engine;
  }

  /** @returns {string} the full version of the engine */
  get engineVersion() {
    return this.state.engineVersion ?? '';
  }

  /** @returns {{ipvs: boolean}} what this machine's kernel lets a swarm do */
  get capabilities() {
    return this.state.capabilities ?? { ipvs: false };
  }

  /**
   * @param {string} name
   * @returns {SwarmNode}
   */
  node(name) {
    const found = this.nodes.find((node) => node.name === name);
    if (found) return found;
    throw new Error(`No node ${name} here: ${this.nodes.map((node) => node.name).join(', ')}.`);
  }

  /**
   * @param {string} name such as 'web'
   * @param {string} [tag]
   * @returns {string} the full reference
   */
  image(name, tag = 'v1') {
    return `${this.registry.host}/${name}:${tag}`;
  }

  /**
   * Lets another tag of an image name point at the same image: `tagImage('web:v2', 'stable')`.
   * @param {string} from NAME:TAG
   * @param {string} to TAG or NAME:TAG
   * @returns {Promise<string>} the digest
   */
  async tagImage(from, to) {
    return moveTag(this.registry.host, from, to);
  }

  /**
   * @param {string} ref NAME:TAG
   * @returns {Promise<string>} the digest that a tag points at now
   */
  async digest(ref) {
    return (await readManifest(this.registry.host, ref)).digest;
  }

  /**
   * Puts an image of a test's own into the registry.
   * @param {string} ref NAME:TAG
   * @param {ImageDefinition} definition
   * @returns {Promise<string>} the digest
   */
  async pushImage(ref, definition) {
    return pushImage(this.registry.host, ref, buildImage(this.#base(), definition));
  }

  #base() {
    return baseLayer(join(this.state.layers.at(-1) ?? '', 'usr/bin/busybox'));
  }

  /** Puts the standard images into the registry, or their tags back where they were. */
  async pushStandardImages() {
    const base = this.#base();
    const push = (/** @type {ReturnType<typeof standardImages>[number]} */ { ref, definition }) => {
      return pushImage(this.registry.host, ref, buildImage(base, definition));
    };
    await Promise.all(standardImages().map(push));
  }

  get registryDirectory() {
    return join(directoryOf(this.name), 'registry');
  }

  /** Undoes what fault helpers did: everything runs, is connected and takes tasks again. */
  async repair() {
    await Promise.all(this.nodes.map((node) => node.link('up')));
    await Promise.all([
      this.registry.start(),
      ...this.nodes.flatMap((node) => [node.configureSsh(), node.startEngine()]),
    ]);
    if (this.state.settings.images) await this.pushStandardImages();
    await waitForNodes(this.manager, this.nodes);
    /** @type {any[]} */
    const known = await this.manager.api('GET', '/nodes');
    for (const { ID } of known.filter((node) => node.Spec.Availability !== 'active')) {
      await this.manager.docker('node', 'update', '--availability', 'active', ID);
    }
  }

  /** Takes it down. */
  async down() {
    await down(this.name);
  }
}

/** The private registry of a testbed. */
class Registry {
  /** @type {State} */
  #state;

  /** @param {State} state */
  constructor(state) {
    this.#state = state;
    /** @readonly */
    this.host = `${state.gateway}:${REGISTRY_PORT}`;
    /** @readonly */
    this.username = USERNAME;
    /** @readonly */
    this.password = PASSWORD;
  }

  /** Starts it if it does not run, and waits until it answers. */
  async start() {
    if (isAlive(this.#process())) return;
    this.#state.registry = await startRegistry({
      directory: join(directoryOf(this.#state.name), 'registry'),
      host: this.host,
      id: this.#state.id,
      layers: this.#state.layers,
    });
    writeState(this.#state);
  }

  /** Connections to it are refused until `start`. */
  async stop() {
    const running = this.#process();
    if (running) await endProcesses([running]);
  }

  /** Another process may have restarted it: the file knows. */
  #process() {
    return readState(this.#state.name)?.registry;
  }
}
