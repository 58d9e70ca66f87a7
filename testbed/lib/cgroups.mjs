/**
 * Control groups that the engines' containers leave behind.
 */
import { readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

import { until } from './wait.mjs';

/**
 * Where a hierarchy is mounted differs (one on v2, one a controller on v1): ask the kernel.
 * @returns {string[]}
 */
function mountPoints() {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter((fields) => fields[2] === 'cgroup' || fields[2] === 'cgroup2')
    .map((fields) => fields[1] ?? '');
}

/**
 * @param {string} name of the parent group
 * @returns {string[]} its directories, one a hierarchy
 */
export function findCgroups(name) {
  const own = name.replace(/^\//, '');
  return mountPoints().flatMap((mount) => {
    return subdirectories(mount).includes(own) ? [join(mount, own)] : [];
  });
}

/**
 * @returns {string[]} all groups at the top of the hierarchies, where an engine makes its own
 */
export function findCgroupNames() {
  return mountPoints().flatMap((mount) => subdirectories(mount).map((name) => join(mount, name)));
}

/**
 * Removes the group and all below, bottom first: a cgroup directory goes by rmdir alone, and stays
 * busy for a moment after its last process ended.
 * @param {string} name
 */
export async function removeCgroups(name) {
  const gone = () => {
    for (const directory of findCgroups(name)) removeTree(directory);
    return findCgroups(name).length === 0;
  };
  await until(`the control groups ${name} are empty`, gone);
}

/**
 * @param {string} directory
 */
function removeTree(directory) {
  for (const name of subdirectories(directory)) removeTree(join(directory, name));
  rmdirSync(directory);
}

/**
 * @param {string} directory
 * @returns {string[]}
 */
function subdirectories(directory) {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return []; // gone in the meantime
  }
}
