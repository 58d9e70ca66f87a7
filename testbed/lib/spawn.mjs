/**
 * Processes that outlive the one that starts them.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

import { describeProcess, MARKER } from './processes.mjs';

/**
 * Starts a program in a session of its own, its output going to a file.
 * @param {readonly string[]} argv
 * @param {{id: string, log: string}} options
 * @returns {import('./processes.mjs').ProcessId}
 */
export function spawnDetached([command = '', ...args], { id, log }) {
  const output = openSync(log, 'a', 0o600);
  try {
    const child = spawn(command, args, {
      detached: true,
      cwd: '/',
      env: { PATH: process.env['PATH'], [MARKER]: id },
      stdio: ['ignore', output, output],
    });
    child.on('error', () => {}); // what waits for the program to answer shows its log
    child.unref();
    const info = child.pid === undefined ? undefined : describeProcess(child.pid);
    if (!info) throw new Error(`${command} does not start; see ${log}`);
    return { pid: info.pid, start: info.start };
  } finally {
    closeSync(output);
  }
}
