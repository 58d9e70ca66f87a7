/**
 * A stack on the test swarm: runs the committed bundle on it as the runner would, and reads back from
 * the swarm what has become of it. Knows nothing of jest, so that scripts may use it too.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { runStep } from '../../testbed/runner.mjs';
import { until } from '../../testbed/lib/wait.mjs';

/**
 * @typedef {import('./live.js').LiveService} LiveService
 * @typedef {import('./live.js').LiveTask} LiveTask
 * @typedef {import('./live.js').Run} Run
 * @typedef {import('./live.js').RunOptions} RunOptions
 * @typedef {import('./live.js').Inputs} Inputs
 * @typedef {import('./live.js').Compose} Compose
 * @typedef {import('./live.js').Testbed} Testbed
 * @typedef {import('./live.js').Node} Node
 */

/** An update in one go and without a long look afterwards, unless a scenario is about that. */
export const quickUpdate = /** @type {const} */ ({
  parallelism: 0,
  order: 'start-first',
  monitor: '1s',
});

/** The label of configs that are the action's own. */
const LEDGER = 'swarm-deploy.kind';

/**
 * The digest that an image reference is pinned to.
 * @param {string} reference
 */
export const digestOf = (reference) => reference.split('@')[1] ?? '';

/**
 * @template T
 * @param {string | undefined} text
 * @param {T} none
 * @returns {T}
 */
const parsed = (text, none) => (text === undefined ? none : JSON.parse(text));

/** A stack of a scenario. */
export class Stack {
  /** @type {Run[]} */
  #runs = [];
  #overlay = false;

  /** @param {Testbed} bed */
  constructor(bed) {
    /** @readonly */
    this.bed = bed;
    /** @readonly */
    this.name = `t${randomBytes(4).toString('hex')}`;
    /**
     * Its own, as one that another stack has just given back can still be in use on a node.
     * @readonly
     */
    this.subnet = `10.${randomInt(128, 250)}.${randomInt(256)}.0/24`;
    /**
     * Who is deployed to, and asked what has become of it; another one, if a scenario takes it away.
     * @type {Node}
     */
    this.manager = bed.manager;
  }

  /**
   * @param {string} name
   * @param {string} [tag]
   */
  image(name, tag = 'v1') {
    return this.bed.image(name, tag);
  }

  /**
   * What a workflow would give to deploy this stack.
   * @returns {Inputs}
   */
  inputs() {
    const { ssh, registry } = this.bed;
    return {
      stack: this.name,
      host: this.manager.address,
      username: ssh.username,
      'private-key': ssh.privateKey,
      'known-hosts': ssh.knownHosts,
      registry: registry.host,
      'registry-username': registry.username,
      'registry-password': registry.password,
      'stable-for': '1s',
      timeout: '5m',
    };
  }

  /** Gives the stack a network of its own, as Docker does; it makes every start and stop slower. */
  useOverlay() {
    this.#overlay = true;
    return this;
  }

  /**
   * The default network of the stack: Docker's own one of each node, unless it has an overlay.
   * @returns {object}
   */
  get network() {
    return this.#overlay
      ? { ipam: { config: [{ subnet: this.subnet }] } }
      : { external: true, name: 'bridge' };
  }

  /**
   * The services in a stack file.
   * @param {Compose} services
   * @param {Compose} [more]
   */
  file(services, more = {}) {
    const networks = { default: this.network };
    return JSON.stringify({ services, networks, ...more }, undefined, 2);
  }

  /**
   * Runs the action once, `post` included, with whatever files the options bring.
   * @param {RunOptions} [options]
   * @returns {Promise<Run>}
   */
  async run({ inputs = {}, ...step } = {}) {
    const result = await runStep({ ...step, inputs: { ...this.inputs(), ...inputs } });
    const { outputs } = result;
    /** @type {Run} */
    const run = {
      ...result,
      outcome: outputs['outcome'] ?? '(none)',
      reason: outputs['reason'] ?? '(none)',
      changed: parsed(outputs['changed-services'], []),
      services: parsed(outputs['services'], []),
    };
    this.#runs.push(run);
    return run;
  }

  /**
   * Runs the action on these services.
   * @param {Compose} services
   * @param {Inputs} [inputs]
   * @param {RunOptions} [options]
   * @returns {Promise<Run>}
   */
  async deploy(services, inputs = {}, options = {}) {
    const files = { 'docker-stack.yml': this.file(services), ...options.files };
    return this.run({ ...options, files, inputs: { ...options.inputs, ...inputs } });
  }

  /**
   * Puts a stack file, and what it refers to, on the manager, as a checkout there would have them.
   * @param {string} directory
   * @param {{services: Compose, more?: Compose, files?: Record<string, string>}} content
   */
  async putFiles(directory, { services, more, files = {} }) {
    // The 20.10 client takes a file without a version for version 1.
    const all = { ...files, 'docker-stack.yml': this.file(services, { version: '3.9', ...more }) };
    for (const [name, input] of Object.entries(all)) {
      const script = 'umask 077; mkdir -p "$(dirname "$1")" && cat >"$1"';
      const command = ['sh', '-c', script, 'sh', `${directory}/${name}`];
      const { code, stderr } = await this.manager.exec(command, { input });
      if (code !== 0) throw new Error(`cannot write ${name}: ${stderr}`);
    }
  }

  /**
   * Has the manager's own CLI deploy, as somebody who logged in there would; waits for nothing.
   * @param {{services: Compose, more?: Compose, files?: Record<string, string>}} content
   */
  async dockerDeploy(content) {
    const { registry } = this.bed;
    const directory = `/tmp/by-hand-${this.name}`;
    await this.putFiles(directory, content);
    const script = `set -e; cd "$3"; export DOCKER_CONFIG="$3/.docker"; trap 'rm -r "$3"' EXIT
      printf %s "$PASSWORD" | docker login --username ${registry.username} --password-stdin "$1"
      docker stack deploy --with-registry-auth -c docker-stack.yml "$2"`;
    const { code, stderr } = await this.manager.exec(
      ['sh', '-c', script, 'sh', registry.host, this.name, directory],
      { env: { PASSWORD: registry.password } },
    );
    if (code !== 0) throw new Error(`docker stack deploy: ${stderr}`);
  }

  /** The logs of the runs, for the message of a failed test. */
  story() {
    return this.#runs
      .map(({ log, postLog, outputs }) => `${log}${postLog}\n${JSON.stringify(outputs)}`)
      .join('\n----\n');
  }

  get #filter() {
    const label = [`com.docker.stack.namespace=${this.name}`];
    return `filters=${encodeURIComponent(JSON.stringify({ label }))}`;
  }

  /**
   * The live services by their names in the file.
   * @returns {Promise<Record<string, LiveService>>}
   */
  async services() {
    /** @type {LiveService[]} */
    const found = await this.manager.api('GET', `/services?${this.#filter}`);
    return Object.fromEntries(
      found.map((service) => [service.Spec.Name.slice(this.name.length + 1), service]),
    );
  }

  /** @param {string} name */
  async service(name) {
    const found = (await this.services())[name];
    if (found === undefined) throw new Error(`The swarm has no service ${this.name}_${name}.`);
    return found;
  }

  /**
   * Every task the swarm still knows, of one service.
   * @param {string} name
   * @returns {Promise<readonly LiveTask[]>}
   */
  async tasks(name) {
    const filters = encodeURIComponent(JSON.stringify({ service: [`${this.name}_${name}`] }));
    return this.manager.api('GET', `/tasks?filters=${filters}`);
  }

  /**
   * The tasks that are meant to run, and do.
   * @param {string} name
   */
  async running(name) {
    const tasks = await this.tasks(name);
    return tasks
      .filter(
        ({ DesiredState, Status }) => DesiredState === 'running' && Status.State === 'running',
      )
      .sort((a, b) => a.ID.localeCompare(b.ID));
  }

  /**
   * The networks, configs and secrets of the stack by name, as far as they must not change; those of
   * the action's own are not among them.
   * @returns {Promise<Record<string, unknown>>}
   */
  async objectSpecs() {
    /** @type {{ Name: string, Id: string, Labels: object }[]} */
    const networks = await this.manager.api('GET', `/networks?${this.#filter}`);
    /** @type {{ ID: string, Spec: { Name: string, Labels: Record<string, string> } }[][]} */
    const named = await Promise.all(
      ['configs', 'secrets'].map((kind) => this.manager.api('GET', `/${kind}?${this.#filter}`)),
    );
    return Object.fromEntries([
      ...networks.map(({ Name, Id, Labels }) => [Name, { Id, Labels }]),
      ...named
        .flat()
        .filter(({ Spec }) => Spec.Labels[LEDGER] === undefined)
        .map(({ ID, Spec }) => [Spec.Name, { ID, Spec }]),
    ]);
  }

  /**
   * Names and labels of the configs in which the action keeps the lock and the history of the stack.
   * @returns {Promise<Record<string, Record<string, string>>>}
   */
  async ledger() {
    /** @type {{ Spec: { Name: string, Labels: Record<string, string> } }[]} */
    const configs = await this.manager.api('GET', `/configs?${this.#filter}`);
    return Object.fromEntries(
      configs
        .filter(({ Spec }) => Spec.Labels[LEDGER] !== undefined)
        .map(({ Spec }) => [Spec.Name, Spec.Labels]),
    );
  }

  /**
   * The recorded revisions, oldest first, by what their labels say.
   * @returns {Promise<readonly Record<string, string>[]>}
   */
  async revisions() {
    return Object.values(await this.ledger())
      .filter((labels) => labels[LEDGER] === 'revision')
      .map((labels) =>
        Object.fromEntries(
          Object.entries(labels).map(([name, text]) => [name.replace('swarm-deploy.', ''), text]),
        ),
      )
      .sort((a, b) => Number(a['number']) - Number(b['number']));
  }

  /**
   * Names of the networks, configs and secrets of the stack.
   * @returns {Promise<readonly string[]>}
   */
  async objects() {
    return Object.keys(await this.objectSpecs()).sort();
  }

  /**
   * The node that a task runs on.
   * @param {LiveTask} task
   */
  async nodeOf(task) {
    /** @type {{ Description: { Hostname: string } }} */
    const node = await this.manager.api('GET', `/nodes/${task.NodeID ?? ''}`);
    return this.bed.node(node.Description.Hostname);
  }

  /**
   * Runs a command in a task's container, on whichever node it is.
   * @param {LiveTask} task
   * @param {readonly string[]} command
   */
  async inside(task, ...command) {
    const node = await this.nodeOf(task);
    return node.docker('exec', task.Status.ContainerStatus?.ContainerID ?? '', ...command);
  }

  /**
   * When the container of each running task started, as its node's engine says.
   * @param {string} name
   * @returns {Promise<Record<string, string>>}
   */
  async startTimes(name) {
    const times = (await this.running(name)).map(async (task) => {
      const node = await this.nodeOf(task);
      const id = task.Status.ContainerStatus?.ContainerID ?? '';
      /** @type {{ State: { StartedAt: string } }} */
      const container = await node.api('GET', `/containers/${id}/json`);
      return /** @type {const} */ ([task.ID, container.State.StartedAt]);
    });
    return Object.fromEntries(await Promise.all(times));
  }

  /**
   * What must be the same again after a failed deploy: every spec, word for word.
   * @returns {Promise<Record<string, LiveService['Spec']>>}
   */
  async specs() {
    const services = await this.services();
    return Object.fromEntries(Object.entries(services).map(([name, { Spec }]) => [name, Spec]));
  }

  /** `docker stack rm` fails where a network vanishes between its list and its removal. */
  async remove() {
    await until(
      `${this.name} can be removed`,
      async () => (await this.manager.exec(['docker', 'stack', 'rm', this.name])).code === 0,
      { timeoutMs: 180_000, intervalMs: 1000 },
    );
  }
}
