/**
 * What all measurements have in common: a log that tells how long it takes, an end by Ctrl-C that takes
 * everything down, and a test swarm of their own.
 */
import { existsSync } from 'node:fs';

import { down, listNames, probe } from '../../testbed/index.mjs';
import { errorText } from '../../testbed/lib/wait.mjs';
import { withTestbed } from '../../testbed/with.mjs';

/** @typedef {Parameters<Parameters<typeof withTestbed>[2]>[0]} Testbed */

const began = Date.now();

/** @param {string} line */
export const log = (line) =>
  console.error(`${String(Math.round((Date.now() - began) / 1000)).padStart(4)} s  ${line}`);

/** When it was measured, and how long that has taken so far. */
export const whenMeasured = () => ({
  date: new Date(began).toISOString().slice(0, 10),
  minutes: Math.round((Date.now() - began) / 6000) / 10,
});

/**
 * On a test swarm that is gone afterwards, however this process ends.
 * @template T
 * @param {string} kind of measurement: the test swarm is named after it
 * @param {Omit<import('../../testbed/index.mjs').UpOptions, 'name' | 'log'>} options
 * @param {(testbed: Testbed) => Promise<T>} work
 */
export async function onOwnSwarm(kind, options, work) {
  const possible = await probe();
  if (!possible.ok) throw new Error(possible.reason);
  // One that was killed together with its guard, as by a power cut, leaves a swarm behind.
  for (const name of listNames()) {
    const pid = new RegExp(`^${kind}-(\\d+)$`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await down(name);
  }
  return await withTestbed(`${kind}-${process.pid}`, { ...options, log }, work);
}

/**
 * Runs a measurement, and sets the exit code: 1 where what it found is not as it should be, 2 where it
 * could not be done, 130 where it was interrupted.
 * @param {(signal: AbortSignal) => Promise<boolean>} main
 */
export async function measured(main) {
  const interrupt = new AbortController();
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
    process.on(name, () => interrupt.abort(new Error(`${name}: everything was taken down`)));
  const { signal } = interrupt;
  try {
    process.exitCode = (await main(signal)) ? 0 : 1;
  } catch (error) {
    console.error(errorText(signal.aborted ? signal.reason : error));
    process.exitCode = signal.aborted ? 130 : 2;
  }
}
