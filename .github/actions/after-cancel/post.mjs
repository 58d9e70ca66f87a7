/** Fails, and says why, if a cancelled deploy left anything that would block or mislead the next one. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';

const stack = process.env['INPUT_STACK'] ?? '';
const services = Number(process.env['INPUT_SERVICES']);

/** @param {...string} args @returns {string[]} the lines that docker prints */
const docker = (...args) =>
  execFileSync('docker', args, { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line !== '');

const ofStack = ['--filter', `label=com.docker.stack.namespace=${stack}`];
const configs = docker('config', 'ls', ...ofStack, '--format', '{{.Name}}');
const status = docker(
  'config',
  'inspect',
  '--format',
  '{{index .Spec.Labels "swarm-deploy.status"}}',
  `${stack}.revision.1`,
);
const live = docker('service', 'ls', ...ofStack, '--quiet').length;
const directories = readdirSync(tmpdir()).filter((name) =>
  /^swarm-deploy-[0-9a-f]{32}$/.test(name),
);

const problems = [
  ...(configs.includes(`${stack}.lock`) ? ['the lock is still taken'] : []),
  ...(status[0] === 'cancelled' ? [] : [`the revision is ${status[0]}, not cancelled`]),
  ...(live === services ? [] : [`the stack has ${live} services, not ${services}`]),
  ...directories.map((name) => `${name} is still there`),
];
for (const problem of problems) console.log(`::error::after-cancel: ${problem}`);
// .github/workflows/cancel-test.yml looks for this line: a cancelled run is cancelled whatever fails in it.
if (problems.length === 0) console.log(`after-cancel: ${stack} is left as it should be`);
else process.exitCode = 1;
