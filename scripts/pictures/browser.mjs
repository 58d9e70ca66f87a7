/** The browser without a window that draws the pictures. */
import { spawnSync } from 'node:child_process';

const BROWSER = 'chromium';

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {string} [cwd]
 * @returns {string} standard output
 */
export function run(command, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    timeout: 300_000,
  });
  if (status !== 0) {
    throw new Error(`${command} ${args[0] ?? ''}: ${error?.message ?? stderr.trim()}`);
  }
  return stdout;
}

/** Installs the browser where there is none. */
export function needBrowser() {
  if (spawnSync(BROWSER, ['--version']).status === 0) return;
  console.log(`installing ${BROWSER} ...`);
  run('apt-get', ['install', '-y', '--no-install-recommends', BROWSER, 'fonts-noto-color-emoji']);
}

/**
 * @param {readonly string[]} args
 * @param {string} address
 * @returns {string} standard output
 */
export const browse = (args, address) =>
  run(BROWSER, [
    ...['--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars'],
    // Whatever the clock says: until the diagrams are drawn.
    '--virtual-time-budget=20000',
    // Until every part is on the picture: on a busy machine some were white.
    '--run-all-compositor-stages-before-draw',
    ...args,
    address,
  ]);
