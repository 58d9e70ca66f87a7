/**
 * Runs jest on ES modules. All suites by default; arguments are passed on. `JEST_RESULTS` names a
 * file for the results as JSON.
 */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const results = process.env['JEST_RESULTS'];
const child = spawn(
  process.execPath,
  [
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    join(root, 'node_modules/jest/bin/jest.js'),
    ...(results === undefined ? [] : ['--json', `--outputFile=${results}`]),
    ...process.argv.slice(2),
  ],
  // With --json jest prints the results to standard output as well; its log goes to the other one.
  { cwd: root, stdio: ['inherit', results === undefined ? 'inherit' : 'ignore', 'inherit'] },
);
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM']))
  process.on(signal, () => child.kill(signal));
child.once('exit', (code, signal) => {
  process.exitCode = signal === null ? (code ?? 1) : 1;
});
