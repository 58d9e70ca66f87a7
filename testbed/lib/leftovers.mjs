/**
 * What of a testbed is on this machine outside its nodes: to prove that `down` leaves nothing.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';

import { findCgroupNames, findCgroups } from './cgroups.mjs';
import { listMarked, listProcesses, pidNamespace } from './processes.mjs';
import { must } from './run.mjs';
import { BASE_DIRECTORY, directoryOf, listNames, readState } from './state.mjs';

/** Programs that a testbed runs. */
const PROGRAMS =
  /^(dockerd|containerd|containerd-shim|docker-proxy|docker-registry|sshd|tini|unshare|busybox|runc)/;

/** Places of an engine of the machine's own. None of them may change. */
const FOREIGN = [
  '/etc/docker',
  '/etc/containerd',
  '/opt/containerd',
  '/run/containerd',
  '/run/docker',
  '/run/docker.sock',
  '/var/lib/containerd',
  '/var/lib/docker',
  '/root/.docker',
];

/**
 * @param {import('./state.mjs').State} state
 * @returns {Promise<string[]>} what is there of exactly this testbed; its id is in all its names
 */
export async function remains(state) {
  const marked = listMarked(state.id).map(({ pid, comm }) => `process ${pid} ${comm}`);
  const groups = findCgroups(state.cgroup).map((path) => `cgroup ${path}`);
  const named = (await snapshot(state.name)).filter((line) => line.includes(state.id));
  const directory = directoryOf(state.name);
  return [...marked, ...groups, ...named, ...(existsSync(directory) ? [directory] : [])];
}

/**
 * The machine as it is, a line a thing. Things of other testbeds, which may come and go meanwhile,
 * are left out.
 * @param {string} [ownName] the testbed that is looked at
 * @returns {Promise<string[]>}
 */
export async function snapshot(ownName) {
  const others = listNames().filter((name) => name !== ownName);
  const ids = others.map((name) => readState(name)?.id ?? '').filter(Boolean);
  const lines = [
    ...(await commandLines('link', ['ip', '-oneline', 'link', 'show'])).map(linkName),
    ...(await commandLines('route', ['ip', '-4', 'route', 'show'])),
    ...(await commandLines('netns', ['ip', 'netns', 'list'])),
    ...(await commandLines('filter', ['iptables', '--wait', '--list-rules'])),
    ...(await commandLines('nat', ['iptables', '--wait', '-t', 'nat', '--list-rules'])),
    ...readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .map((line) => `mount ${line}`),
    ...['/tmp', '/var/tmp', BASE_DIRECTORY, '/run/netns'].flatMap((path) => entries(path, others)),
    ...findCgroupNames().map((path) => `cgroup ${path}`),
    ...FOREIGN.map((path) => `foreign ${path} ${stamp(path)}`),
    ...programs(ids),
  ];
  return lines.filter((line) => !ids.some((id) => line.includes(id)));
}

/**
 * @param {readonly string[]} before
 * @param {readonly string[]} after
 * @returns {string[]} what came and what went
 */
export function differences(before, after) {
  const came = after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`);
  const went = before.filter((line) => !after.includes(line)).map((line) => `- ${line}`);
  return [...came, ...went];
}

/**
 * @param {string} label
 * @param {readonly string[]} argv
 */
async function commandLines(label, argv) {
  return (await must(argv))
    .split('\n')
    .filter(Boolean)
    .map((line) => `${label} ${line}`);
}

/**
 * @param {string} line of `ip -oneline`, which also tells life times and queue states
 * @returns {string} the interface, and the address if there is one
 */
function linkName(line) {
  const [, name = line] = /^link \d+: ([^:@\s]+)/.exec(line) ?? [];
  return `link ${name}`;
}

/**
 * Other programs use /tmp as well: there, names that an engine or a testbed gives count.
 * @param {string} directory
 * @param {readonly string[]} otherNames
 * @returns {string[]}
 */
function entries(directory, otherNames) {
  if (!existsSync(directory)) return [];
  const temporary = /^(swarm-deploy-testbed|docker|containerd|runc)/;
  const known = [...otherNames, ...(otherNames.length > 0 ? [basename(BASE_DIRECTORY)] : [])];
  return readdirSync(directory)
    .filter((name) => !directory.endsWith('tmp') || temporary.test(name))
    .filter((name) => !known.includes(name))
    .map((name) => `file ${directory}/${name}`);
}

/**
 * @param {string} path
 * @returns {string} changes when the file or directory is written to
 */
function stamp(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats ? `changed ${stats.mtimeMs}` : 'is not there';
}

/**
 * @param {readonly string[]} otherIds
 * @returns {string[]} programs of the kinds that a testbed runs, outside of all nodes
 */
function programs(otherIds) {
  const others = new Set(otherIds.flatMap(listMarked).map(({ pid }) => pid));
  const here = pidNamespace(process.pid);
  return listProcesses()
    .filter(({ comm, pid }) => PROGRAMS.test(comm) && !others.has(pid))
    .filter(({ pid }) => pidNamespace(pid) === here)
    .map(({ comm, pid, start }) => `process ${pid} ${start} ${comm}`);
}

/**
 * @param {string} id of a testbed that is up
 * @returns {import('./processes.mjs').ProcessInfo[]} all its processes, in nodes and containers too
 */
export function familyOf(id) {
  const all = listProcesses();
  const family = new Set(listMarked(id).map(({ pid }) => pid));
  for (let size = -1; size !== family.size;) {
    size = family.size;
    for (const { pid, ppid } of all) if (family.has(ppid)) family.add(pid);
  }
  return all.filter(({ pid }) => family.has(pid));
}
