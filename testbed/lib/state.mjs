/**
 * What is known of a testbed, in a JSON file. It is written before anything is made, so that `down`
 * finds everything even if `up` was killed half-way.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** On a disk as a rule (a file system in memory would hold every image of every node). */
export const BASE_DIRECTORY = '/var/tmp/swarm-deploy-testbed';

/**
 * @typedef {import('./processes.mjs').ProcessId} ProcessId
 *
 * @typedef {object} Settings what `up` was asked for
 * @property {number} managers
 * @property {number} workers
 * @property {string} engine
 * @property {boolean} sftp
 * @property {boolean} images
 * @property {Record<string, string[]>} sshdConfig lines by node name, '*' for all
 *
 * @typedef {object} NodeState
 * @property {string} name
 * @property {'manager' | 'worker'} role
 * @property {string} address
 * @property {string} veth its network interface on this machine's side
 * @property {ProcessId} [init] the first process of its namespaces
 *
 * @typedef {object} State
 * @property {string} id
 * @property {string} name
 * @property {string} bootId
 * @property {Settings} settings
 * @property {string} bridge
 * @property {string} gateway the bridge's address
 * @property {string} subnet
 * @property {string} cgroup
 * @property {string[]} layers directories with unpacked packages, uppermost first
 * @property {boolean} disk whether node data is on disk (else in memory)
 * @property {NodeState[]} nodes
 * @property {ProcessId} [registry]
 * @property {string} [engineVersion]
 * @property {{ipvs: boolean}} [capabilities]
 * @property {boolean} ready
 */

/**
 * @param {string} name
 * @returns {string} the directory that holds everything of this testbed
 */
export function directoryOf(name) {
  return join(BASE_DIRECTORY, name);
}

/**
 * A name ends up in paths, so it has to be a plain word.
 * @param {string} name
 */
export function checkName(name) {
  if (!/^[a-z0-9][a-z0-9-]{0,30}$/.test(name)) {
    throw new Error(`"${name}" is no name for a testbed: use a-z, 0-9 and -, at most 31 letters.`);
  }
}

/**
 * @param {string} name
 * @returns {State | undefined} undefined: there is none
 */
export function readState(name) {
  checkName(name);
  try {
    return JSON.parse(readFileSync(join(directoryOf(name), 'state.json'), 'utf8'));
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Written beside and moved into place: a reader never sees half a file.
 * @param {State} state
 */
export function writeState(state) {
  const directory = directoryOf(state.name);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const temporary = join(directory, `state.json.${process.pid}`);
  writeFileSync(temporary, JSON.stringify(state, undefined, 2));
  renameSync(temporary, join(directory, 'state.json'));
}

/**
 * @returns {string[]} names of all testbeds of which something is left
 */
export function listNames() {
  try {
    return readdirSync(BASE_DIRECTORY).filter((name) => readState(name) !== undefined);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return [];
    throw error;
  }
}

/**
 * Process numbers and start times mean nothing after a reboot: this tells one boot from another.
 * @returns {string}
 */
export function currentBootId() {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
