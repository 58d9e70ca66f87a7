/**
 * The private registry on the bridge: Debian's docker-registry with a login, and its HTTP API.
 */
import { request } from 'node:http';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { spawnDetached } from './spawn.mjs';
import { lastLines } from './run.mjs';
import { writeLines } from './ssh.mjs';
import { until } from './wait.mjs';

export const REGISTRY_PORT = 5000;
export const USERNAME = 'deployer';
export const PASSWORD = 'only-for-tests';

/** bcrypt of PASSWORD, the one kind of hash that the registry takes; cheap (cost 5) on purpose. */
const HTPASSWD = `${USERNAME}:$2y$05$0hmDvOfXHCbQ9SUaPLAFx.q9ZxBVcuJtcdNbQ4t7xLI9nqyHv7xwS`;

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {import('node:http').IncomingHttpHeaders} headers
 * @property {string} text
 *
 * @typedef {object} AskOptions
 * @property {string} [method]
 * @property {Buffer | string} [body]
 * @property {Record<string, string>} [headers]
 * @property {boolean} [anonymous] without the login
 */

/**
 * @param {string} directory
 * @param {string} host ADDRESS:PORT
 */
export async function writeRegistry(directory, host) {
  await mkdir(join(directory, 'data'), { recursive: true });
  await writeLines(join(directory, 'htpasswd'), [HTPASSWD]);
  const config = {
    version: 0.1,
    log: { level: 'warn', accesslog: { disabled: false } },
    storage: { filesystem: { rootdirectory: join(directory, 'data') }, delete: { enabled: true } },
    auth: { htpasswd: { realm: 'testbed', path: join(directory, 'htpasswd') } },
    http: { addr: host, secret: 'only-for-tests' },
  };
  // JSON is YAML
  await writeLines(join(directory, 'config.yml'), [JSON.stringify(config)]);
}

/**
 * @param {{directory: string, host: string, id: string, layers: readonly string[]}} options
 * @returns {Promise<import('./processes.mjs').ProcessId>} the process, once it answers
 */
export async function startRegistry({ directory, host, id, layers }) {
  const log = join(directory, 'registry.log');
  const program = join(layers.at(-1) ?? '', 'usr/bin/docker-registry');
  const command = [program, 'serve', join(directory, 'config.yml')];
  const started = spawnDetached(command, { id, log });
  const answers = async () => (await askRegistry(host, '/v2/', { anonymous: true })).status === 401;
  await until(`the registry at ${host} asks for a login`, answers, {
    detail: async () => `${log}:\n${lastLines(await readFile(log, 'utf8'), 15)}`,
  });
  return started;
}

/**
 * @param {string} host
 * @param {string} path
 * @param {AskOptions} [options]
 * @returns {Promise<Answer>}
 */
export function askRegistry(host, path, options = {}) {
  const { method = 'GET', body, headers = {}, anonymous } = options;
  const auth = anonymous ? undefined : `${USERNAME}:${PASSWORD}`;
  return new Promise((resolve, reject) => {
    const url = new URL(path, `http://${host}`);
    const outgoing = request(url, { method, headers, auth, agent: false }, (incoming) => {
      /** @type {Buffer[]} */
      const parts = [];
      incoming.on('data', (/** @type {Buffer} */ part) => parts.push(part));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const text = Buffer.concat(parts).toString('utf8');
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text });
      });
    });
    outgoing.setTimeout(20_000, () =>
      outgoing.destroy(new Error(`${url.href}: no answer in 20 s`)),
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

const MOST_AGAIN = 10;
const AGAIN_MS = 200;

/**
 * @param {string} host
 * @param {string} path
 * @param {number} expected
 * @param {AskOptions} [options]
 * @returns {Promise<Answer>}
 */
async function expectStatus(host, path, expected, options) {
  let answer = await askRegistry(host, path, options);
  // Its files have no locks: a tag that is read while another one is written may be an "unknown error".
  for (let again = 0; answer.status >= 500 && again < MOST_AGAIN; again += 1) {
    await sleep(AGAIN_MS);
    answer = await askRegistry(host, path, options);
  }
  if (answer.status === expected) return answer;
  const words = `${options?.method ?? 'GET'} ${path} answered ${answer.status}`;
  throw new Error(`The registry at ${host}: ${words}: ${answer.text.trim()}`);
}

/** @type {Map<string, Promise<unknown>>} */
const pushing = new Map();

/**
 * Pushes an image, after those that this process pushes there already: the registry's files have no
 * locks, and a layer that two images share is unknown while the second push writes its link again.
 * @param {string} host
 * @param {string} ref NAME:TAG
 * @param {import('./images.mjs').BuiltImage} image
 * @returns {Promise<string>} the digest
 */
export function pushImage(host, ref, image) {
  const pushed = (pushing.get(host) ?? Promise.resolve()).then(() => push(host, ref, image));
  pushing.set(
    host,
    pushed.catch(() => undefined),
  );
  return pushed;
}

/**
 * @param {string} host
 * @param {string} ref NAME:TAG
 * @param {import('./images.mjs').BuiltImage} image
 * @returns {Promise<string>} the digest
 */
async function push(host, ref, image) {
  const { name, tag } = splitRef(ref);
  for (const blob of image.blobs) await pushBlob(host, name, blob);
  return putManifest(host, name, tag, {
    text: image.manifest.body.toString('utf8'),
    type: image.manifest.descriptor.mediaType,
  });
}

/**
 * @param {string} host
 * @param {string} name
 * @param {import('./images.mjs').Blob} blob
 */
async function pushBlob(host, name, { descriptor, body }) {
  const { status } = await askRegistry(host, `/v2/${name}/blobs/${descriptor.digest}`, {
    method: 'HEAD',
  });
  if (status === 200) return;
  const uploads = `/v2/${name}/blobs/uploads/`;
  const started = await expectStatus(host, uploads, 202, { method: 'POST' });
  const url = new URL(started.headers.location ?? '', `http://${host}`);
  url.searchParams.set('digest', descriptor.digest);
  await expectStatus(host, url.pathname + url.search, 201, {
    method: 'PUT',
    body,
    headers: { 'Content-Type': 'application/octet-stream' },
  });
}

/**
 * @param {string} host
 * @param {string} name
 * @param {string} tag
 * @param {{text: string, type: string}} manifest
 * @returns {Promise<string>} the digest
 */
async function putManifest(host, name, tag, { text, type }) {
  const answer = await expectStatus(host, `/v2/${name}/manifests/${tag}`, 201, {
    method: 'PUT',
    body: text,
    headers: { 'Content-Type': type },
  });
  return String(answer.headers['docker-content-digest']);
}

/**
 * Lets another tag of the same image name point at what `from` points at, as `docker push` of a
 * mutable tag does.
 * @param {string} host
 * @param {string} from NAME:TAG
 * @param {string} to NAME:TAG, or a tag alone
 * @returns {Promise<string>} the digest
 */
export async function moveTag(host, from, to) {
  const source = splitRef(from);
  const target = to.includes(':') ? splitRef(to) : { name: source.name, tag: to };
  if (target.name !== source.name) {
    throw new Error(`A tag can move within one image name only, not from ${from} to ${to}.`);
  }
  const manifest = await readManifest(host, from);
  return putManifest(host, target.name, target.tag, manifest);
}

/**
 * @param {string} host
 * @param {string} ref
 * @returns {Promise<{text: string, type: string, digest: string}>}
 */
export async function readManifest(host, ref) {
  const { name, tag } = splitRef(ref);
  const type = 'application/vnd.docker.distribution.manifest.v2+json';
  const path = `/v2/${name}/manifests/${tag}`;
  const answer = await expectStatus(host, path, 200, { headers: { Accept: type } });
  return { text: answer.text, type, digest: String(answer.headers['docker-content-digest']) };
}

/**
 * @param {string} ref
 * @returns {{name: string, tag: string}}
 */
function splitRef(ref) {
  const [name = '', tag = 'latest'] = ref.split(':');
  return { name, tag };
}
