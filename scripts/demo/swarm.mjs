/**
 * Looks at the swarm for itself, past the action: over the engines' own sockets, and by asking every
 * container.
 */
import { isDeepStrictEqual } from 'node:util';

import { until } from '../../testbed/lib/wait.mjs';
import { SERVICE, STACK, VISITOR } from './shop.mjs';

/**
 * @typedef {import('../../testbed/index.mjs').Testbed} Testbed
 *
 * @typedef {object} Replica
 * @property {string} task id
 * @property {string} node name
 * @property {string} digest of the image that it was started from
 * @property {string} answer what it serves
 *
 * @typedef {object} Reading
 * @property {any} spec of the service
 * @property {string} digest of the image that the service asks for
 * @property {readonly Replica[]} replicas those that run
 */

/**
 * @param {Testbed} testbed
 * @returns {Promise<Reading>}
 */
export async function readSwarm(testbed) {
  const { manager } = testbed;
  const filters = JSON.stringify({ service: [SERVICE], 'desired-state': ['running'] });
  const [service, tasks, nodes] = await Promise.all([
    manager.api('GET', `/services/${SERVICE}`),
    manager.api('GET', `/tasks?filters=${encodeURIComponent(filters)}`),
    manager.api('GET', '/nodes'),
  ]);
  /** @type {Map<string, string>} */
  const names = new Map(
    nodes.map((/** @type {any} */ node) => [node.ID, node.Description.Hostname]),
  );
  /** @type {any[]} */
  const running = tasks.filter((/** @type {any} */ task) => task.Status.State === 'running');
  const container = (/** @type {any} */ task) => task.Status.ContainerStatus.ContainerID;
  const answers = new Map(
    (
      await Promise.all(
        testbed.nodes.map((node) => {
          const here = running.filter((task) => names.get(task.NodeID) === node.name);
          return askContainers(node, here.map(container));
        }),
      )
    ).flat(),
  );
  return {
    spec: service.Spec,
    digest: digestIn(service.Spec.TaskTemplate.ContainerSpec.Image),
    replicas: running.map((task) => ({
      task: task.ID,
      node: names.get(task.NodeID) ?? '',
      digest: digestIn(task.Spec.ContainerSpec.Image),
      answer: answers.get(container(task)) ?? '',
    })),
  };
}

/** @param {string} image */
const digestIn = (image) => image.slice(image.indexOf('@') + 1);

/**
 * @param {import('../../testbed/index.mjs').SwarmNode} node
 * @param {readonly string[]} containers ids
 * @returns {Promise<[string, string][]>} what each answers
 */
async function askContainers(node, containers) {
  const ask = 'for id; do echo "$id $(docker exec "$id" wget -q -O - http://127.0.0.1/)"; done';
  const { stdout } = await node.exec(['sh', '-c', ask, 'sh', ...containers], { timeoutMs: 60_000 });
  return stdout
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]);
}

/**
 * @param {Reading} one
 * @param {Reading} other
 */
export const sameSpec = (one, other) => isDeepStrictEqual(one.spec, other.spec);

/**
 * Whether no node holds a registry login.
 * @param {Testbed} testbed
 */
export async function nobodyIsLoggedIn(testbed) {
  const look = 'ls /root/.docker/config.json /home/*/.docker/config.json 2>/dev/null | wc -l';
  const found = await Promise.all(testbed.nodes.map((node) => node.exec(look)));
  return found.every(({ code, stdout }) => code === 0 && stdout.trim() === '0');
}

/** A container beside the API, in the same network, that asks it all the time. */
export class Visitor {
  #testbed;
  #told = 0;

  /** @param {Testbed} testbed */
  constructor(testbed) {
    this.#testbed = testbed;
  }

  /**
   * Starts asking, and waits for the first answer.
   * @param {AbortSignal} signal
   */
  async start(signal) {
    const { manager, registry } = this.#testbed;
    const create = `set -eu
export DOCKER_CONFIG=$(mktemp -d)
trap 'rm -rf "$DOCKER_CONFIG"' EXIT
docker login --username "$1" --password-stdin "$2" >/dev/null 2>&1
docker service create --detach --quiet --with-registry-auth --name "$3" --network "$4" \\
  --constraint node.role==manager "$2/$3:1" >/dev/null`;
    const words = [registry.username, registry.host, VISITOR, `${STACK}_default`];
    const { code, stderr } = await manager.exec(['sh', '-c', create, 'sh', ...words], {
      input: registry.password,
      timeoutMs: 60_000,
    });
    if (code !== 0) throw new Error(`The visitor does not start: ${stderr.trim()}`);
    const answered = async () => (await this.#lines()).some(isAnswer);
    await until('the visitor gets an answer', answered, { timeoutMs: 60_000, signal });
    await this.news();
  }

  async #lines() {
    const text = await this.#testbed.manager.docker('service', 'logs', '--raw', VISITOR);
    return text.split('\n').filter(Boolean);
  }

  /**
   * What came of its requests since the last time.
   * @returns {Promise<{asked: number, failed: readonly string[], versions: string}>}
   */
  async news() {
    const lines = await this.#lines();
    const fresh = lines.slice(this.#told);
    this.#told = lines.length;
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const line of fresh.filter(isAnswer)) {
      const version = line.slice('answered '.length);
      counts.set(version, (counts.get(version) ?? 0) + 1);
    }
    return {
      asked: fresh.length,
      failed: fresh.filter((line) => !isAnswer(line)),
      versions: [...counts].map(([version, count]) => `${count} by ${version}`).join(', '),
    };
  }
}

/** @param {string} line */
const isAnswer = (line) => /^answered \d/.test(line);
