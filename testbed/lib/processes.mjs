/**
 * Processes, read from /proc: who is who, who is still there, and ending exactly those.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

import { until } from './wait.mjs';

/**
 * A process that can't be mistaken for a later one with the same number: proc(5) gives the start
 * time in clock ticks since boot as field 22 of /proc/PID/stat.
 * @typedef {{pid: number, start: string}} ProcessId
 *
 * @typedef {ProcessId & {ppid: number, state: string, comm: string}} ProcessInfo
 */

/** Every process that a testbed starts outside its nodes carries its id in this variable. */
export const MARKER = 'SWARM_DEPLOY_TESTBED';

/**
 * @param {number} pid
 * @returns {ProcessInfo | undefined} undefined: no such process
 */
export function describeProcess(pid) {
  const stat = readQuietly(`/proc/${pid}/stat`);
  // comm stands in parentheses and may itself hold spaces and parentheses: split at the last one
  const close = stat.lastIndexOf(')');
  if (close < 0) return undefined;
  const fields = stat.slice(close + 2).split(' ');
  return {
    pid,
    comm: stat.slice(stat.indexOf('(') + 1, close),
    state: fields[0] ?? '',
    ppid: Number(fields[1]),
    start: fields[19] ?? '',
  };
}

/**
 * A zombie counts as gone: it runs nothing, and its parent may be a first process that never reaps.
 * @param {ProcessId | undefined} id
 * @returns {boolean}
 */
export function isAlive(id) {
  const info = id && describeProcess(id.pid);
  return info !== undefined && info.start === id?.start && info.state !== 'Z';
}

/**
 * @returns {ProcessInfo[]} every process that is not a zombie
 */
export function listProcesses() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => describeProcess(Number(name)))
    .filter((info) => info !== undefined)
    .filter((info) => info.state !== 'Z');
}

/**
 * The process and PID namespace of a process, as the kernel names it; '' when it is gone.
 * @param {number} pid
 * @returns {string}
 */
export function pidNamespace(pid) {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return '';
  }
}

/**
 * Processes started with the marker of this testbed in their environment: finds those as well whose
 * number was never written down because `up` was killed in that very moment.
 * @param {string} id
 * @returns {ProcessInfo[]}
 */
export function listMarked(id) {
  const wanted = `${MARKER}=${id}`;
  return listProcesses().filter((info) => {
    return readQuietly(`/proc/${info.pid}/environ`).split('\0').includes(wanted);
  });
}

/**
 * Sends a signal to exactly that process, if it still is the same one.
 * @param {ProcessId} id
 * @param {NodeJS.Signals} signal
 */
export function signalProcess(id, signal) {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, signal);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH') throw error;
  }
}

/**
 * Ends processes and waits until they are gone.
 * @param {readonly ProcessId[]} ids
 * @param {NodeJS.Signals} [signal]
 */
export async function endProcesses(ids, signal = 'SIGKILL') {
  for (const id of ids) signalProcess(id, signal);
  const left = () => ids.filter(isAlive).map((id) => describeProcess(id.pid));
  await until(`these processes end after ${signal}`, () => left().length === 0, {
    detail: () => JSON.stringify(left()),
  });
}

/**
 * Its ends of the TCP connections over IPv4 that a process has, as proc_pid_net(5) lists them.
 * @param {number} pid
 * @returns {readonly number[]} local ports
 */
export function portsOf(pid) {
  /** @type {string[]} */
  let names = [];
  try {
    names = readdirSync(`/proc/${pid}/fd`);
  } catch {
    // it has ended
  }
  const inodes = new Set(names.map((name) => inodeOf(`/proc/${pid}/fd/${name}`)));
  return readQuietly(`/proc/${pid}/net/tcp`)
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => inodes.has(fields[9] ?? ''))
    .map((fields) => parseInt(fields[1]?.split(':')[1] ?? '', 16));
}

/** @param {string} path @returns {string | undefined} of the socket that it is */
function inodeOf(path) {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(path))?.[1];
  } catch {
    return undefined;
  }
}

/**
 * @param {string} path
 * @returns {string} '' when it can't be read: the process ended between two looks
 */
function readQuietly(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
