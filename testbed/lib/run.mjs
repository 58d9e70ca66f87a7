/**
 * Running short commands: output kept, a time limit always, one-sentence errors.
 */
import { spawn } from 'node:child_process';

/**
 * @typedef {object} RunOptions
 * @property {string | Buffer | undefined} [input] text for standard input
 * @property {number | undefined} [timeoutMs] limit, 60 s unless told
 * @property {NodeJS.ProcessEnv} [env]
 * @property {string} [cwd]
 *
 * @typedef {object} RunResult
 * @property {number} code exit code; 124 when the limit was reached, 127 when it could not start
 * @property {string} stdout
 * @property {string} stderr
 */

/**
 * Runs a command and never throws for its exit code.
 *
 * The child leads a process group of its own: `nsenter --pid` forks, and a signal to nsenter alone
 * would leave the real command running, so a time-out ends the whole group.
 * @param {readonly string[]} argv
 * @param {RunOptions} [options]
 * @returns {Promise<RunResult>}
 */
export function run(argv, options = {}) {
  const [command = '', ...args] = argv;
  const { input, timeoutMs = 60_000, env, cwd } = options;
  return new Promise((resolve) => {
    const child = spawn(command, args, { env, cwd, detached: true, stdio: 'pipe' });
    /** @type {Buffer[]} */
    const out = [];
    /** @type {Buffer[]} */
    const err = [];
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      endGroup(child.pid);
    }, timeoutMs);
    const text = (/** @type {Buffer[]} */ parts) => Buffer.concat(parts).toString('utf8');
    child.stdout.on('data', (/** @type {Buffer} */ part) => out.push(part));
    child.stderr.on('data', (/** @type {Buffer} */ part) => err.push(part));
    child.stdin.on('error', () => {}); // a command may exit before it has read everything
    child.stdin.end(input ?? '');
    child.on('error', (error) => {
      clearTimeout(timer);
      resolve({ code: 127, stdout: '', stderr: error.message });
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const note = timedOut ? `\n${command}: no answer within ${timeoutMs / 1000} s` : '';
      const status = timedOut ? 124 : (code ?? (signal ? 137 : 1));
      resolve({ code: status, stdout: text(out), stderr: text(err) + note });
    });
  });
}

/**
 * @param {number | undefined} pid leader of the group
 */
function endGroup(pid) {
  try {
    if (pid) process.kill(-pid, 'SIGKILL');
  } catch {
    // it ended in the meantime
  }
}

/**
 * Runs a command that has to succeed and gives its standard output.
 * @param {readonly string[]} argv
 * @param {RunOptions} [options]
 * @returns {Promise<string>}
 */
export async function must(argv, options) {
  const result = await run(argv, options);
  if (result.code !== 0) {
    const words = lastLines(result.stderr || result.stdout, 8) || 'no output';
    throw new Error(`\`${argv.join(' ')}\` failed with exit code ${result.code}: ${words}`);
  }
  return result.stdout;
}

/**
 * The end of a text, for error messages.
 * @param {string} text
 * @param {number} count
 */
export function lastLines(text, count) {
  return text.trim().split('\n').slice(-count).join('\n');
}

/**
 * Where a command is on PATH, as `command -v` says.
 * @param {string} name
 * @returns {Promise<boolean>}
 */
export async function hasCommand(name) {
  return (await run(['sh', '-c', 'command -v "$1"', 'sh', name])).code === 0;
}
