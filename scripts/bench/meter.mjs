/** Small instruments: medians, /proc, the machine, and timing a step of a workflow. */
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { performance } from 'node:perf_hooks';

import { listProcesses, pidNamespace } from '../../testbed/lib/processes.mjs';
import { runStep } from '../../testbed/runner.mjs';

/**
 * @typedef {object} Summary of one figure measured several times
 * @property {number} median
 * @property {number} min
 * @property {number} max
 * @property {readonly number[]} values in the order they were measured
 */

/** @param {readonly number[]} values @returns {number} the middle one, or the mean of the two */
export function median(values) {
  if (values.length === 0) throw new Error('There is nothing to take the median of.');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
}

/**
 * @param {readonly number[]} values
 * @param {number} [digits] after the point, 0 unless told
 * @returns {Summary}
 */
export function summarize(values, digits = 0) {
  const round = (/** @type {number} */ value) => Number(value.toFixed(digits));
  return {
    median: round(median(values)),
    min: round(Math.min(...values)),
    max: round(Math.max(...values)),
    values: values.map(round),
  };
}

/** What the figures were measured on. */
export function machine() {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
  };
}

/** Linux counts the CPU time of processes in hundredths of a second, whatever its own tick is. */
const TICK_MS = 10;

/**
 * CPU time of a process so far, user and system, its threads included.
 * @param {number} pid
 * @returns {number | undefined} milliseconds, in steps of 10; undefined: it has ended
 */
export function cpuMs(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // proc(5): fields 14 and 15; the name, field 2, may hold spaces.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return undefined;
  }
}

/**
 * The most memory that a process has had so far.
 * @param {number} pid
 * @returns {number | undefined} bytes; undefined: it has ended
 */
export function peakMemory(pid) {
  try {
    const kib = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined;
  }
}

/**
 * CPU time so far of a node's engine, and of the docker and sshd processes that serve its visitors.
 * @param {import('../../testbed/index.mjs').Testbed} testbed
 * @returns {Map<number, {name: 'dockerd' | 'visitors', ms: number}>} by process
 */
export function managerCpu(testbed) {
  const namespace = pidNamespace(testbed.state.nodes[0]?.init?.pid ?? 0);
  const served = listProcesses().filter(
    ({ pid, comm }) => /^(dockerd|docker|sshd.*)$/.test(comm) && pidNamespace(pid) === namespace,
  );
  return new Map(
    served.map(({ pid, comm }) => [
      pid,
      { name: comm === 'dockerd' ? 'dockerd' : 'visitors', ms: cpuMs(pid) ?? 0 },
    ]),
  );
}

/**
 * @param {ReturnType<typeof managerCpu>} before
 * @param {ReturnType<typeof managerCpu>} after
 * @param {'dockerd' | 'visitors'} name
 * @returns {number} milliseconds of the processes that were there at both times
 */
export function cpuBetween(before, after, name) {
  return [...after]
    .filter(([pid, one]) => one.name === name && before.has(pid))
    .reduce((sum, [pid, { ms }]) => sum + ms - (before.get(pid)?.ms ?? 0), 0);
}

/**
 * @typedef {object} TimedStep
 * @property {import('../../testbed/runner.mjs').StepResult} result
 * @property {number} mainMs from the start of the process of `main` to its end
 * @property {number} stepMs the same with `post`
 * @property {{at: number, text: string}[]} lines of the log, when they were printed (Date.now)
 * @property {number} peakBytes memory of `main`
 * @property {number} cpuMs of `main`
 *
 * @typedef {object} Watching
 * @property {AbortSignal} signal ends the step
 * @property {(line: string, pid: number) => void} [onLine]
 * @property {(pid: number) => void} [onStart]
 */

/** So often is a process looked at that is measured until it ends. */
const SAMPLE_MS = 20;

/**
 * Runs the committed action as the runner does, with a stopwatch.
 * @param {import('../../testbed/runner.mjs').Step} step
 * @param {Watching} watching
 * @returns {Promise<TimedStep>}
 */
export async function timeStep(step, { signal, onLine, onStart }) {
  signal.throwIfAborted();
  /** @type {TimedStep['lines']} */
  const lines = [];
  const measured = { peakBytes: 0, cpuMs: 0, mainMs: 0 };
  const began = performance.now();
  let pid = 0;
  const result = await runStep({
    ...step,
    onLine: (text) => {
      lines.push({ at: Date.now(), text });
      onLine?.(text, pid);
    },
    onStart: (child) => {
      pid = child.pid ?? 0;
      onStart?.(pid);
      const stop = () => void child.kill('SIGTERM');
      signal.addEventListener('abort', stop);
      const sampling = setInterval(() => {
        measured.peakBytes = peakMemory(pid) ?? measured.peakBytes;
        measured.cpuMs = cpuMs(pid) ?? measured.cpuMs;
      }, SAMPLE_MS);
      child.once('close', () => {
        measured.mainMs = performance.now() - began;
        clearInterval(sampling);
        signal.removeEventListener('abort', stop);
      });
    },
  });
  signal.throwIfAborted();
  return { result, stepMs: performance.now() - began, lines, ...measured };
}

/**
 * @param {TimedStep} step
 * @param {string} outcome
 */
export function expectOutcome({ result }, outcome) {
  if (result.outputs['outcome'] === outcome && result.code === 0 && result.postCode === 0) return;
  throw new Error(
    `The step ended ${result.outputs['outcome'] ?? 'without an outcome'} (exit code ${result.code}), ` +
      `not ${outcome}. Its log:\n${result.log.replaceAll(/^::add-mask::.*\n/gm, '')}`,
  );
}

/**
 * When the log first said something.
 * @param {TimedStep} step
 * @param {RegExp} words
 * @returns {number} as Date.now
 */
export function momentOf({ lines }, words) {
  const line = lines.find(({ text }) => words.test(text));
  if (line === undefined) throw new Error(`The log of the step does not say ${words}.`);
  return line.at;
}

/** The words of the log that the measurements go by. */
export const WORDS = {
  watching: /^::group::Watch the tasks/,
  allRun: /everything runs; now it must stay so for /,
  stayed: /stayed so for /,
};
