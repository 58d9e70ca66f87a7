/** The two sides of the comparison: the action, and what a workflow does without it. */
import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';

import { timeStep } from './meter.mjs';

/** @typedef {import('../../testbed/index.mjs').Testbed} Testbed */

export const USER = 'deploy';
const STACK_FILE = 'docker-stack.yml';

/**
 * @typedef {object} Deploy
 * @property {string} stack
 * @property {string} file text of the stack file
 * @property {AbortSignal} signal
 */

/**
 * The action, as a workflow would use it.
 * @param {Testbed} testbed
 * @param {Deploy & {inputs?: Record<string, string>}} deploy
 */
export async function deployByAction({ manager, ssh, registry }, { stack, file, inputs, signal }) {
  return timeStep(
    {
      inputs: {
        stack,
        host: `${USER}@${manager.address}`,
        'private-key': ssh.privateKey,
        'known-hosts': ssh.knownHosts,
        registry: registry.host,
        'registry-username': registry.username,
        'registry-password': registry.password,
        ...inputs,
      },
      files: { [STACK_FILE]: file },
    },
    { signal },
  );
}

/**
 * `docker login` and `docker stack deploy` over OpenSSH's client, with the password and the file on
 * standard input.
 * @param {Testbed} testbed
 * @param {Deploy & {detach: boolean, connections: 'three' | 'one', onOutput?: (text: string) => void}} deploy
 *   `three`: one for the login, one for the file, one for the deploy, as steps of a workflow are
 *   written; `one`: everything in a single command, the least that it can take
 * @returns {Promise<number>} milliseconds
 */
export async function deployByHand(testbed, deploy) {
  const { registry } = testbed;
  const { stack, file, detach, connections, signal, onOutput } = deploy;
  const login = `docker login --username ${registry.username} --password-stdin ${registry.host}`;
  const run = `docker stack deploy --with-registry-auth --detach=${detach}`;
  const began = performance.now();
  if (connections === 'three') {
    await ssh(testbed, login, { input: registry.password, signal });
    await ssh(testbed, `cat >${STACK_FILE}`, { input: file, signal });
    await ssh(testbed, `${run} --compose-file ${STACK_FILE} ${stack}`, { signal, onOutput });
  } else {
    // `read` takes one line and leaves the rest of the input to the last command.
    const all = `read -r password && echo "$password" | ${login} && ${run} --compose-file - ${stack}`;
    await ssh(testbed, all, { input: `${registry.password}\n${file}`, signal, onOutput });
  }
  return performance.now() - began;
}

/**
 * @param {Testbed} testbed
 * @param {string} command
 * @param {{input?: string, signal: AbortSignal, onOutput?: ((text: string) => void) | undefined}} options
 * @returns {Promise<void>}
 */
function ssh({ manager, ssh: login }, command, { input = '', signal, onOutput }) {
  signal.throwIfAborted();
  const options = {
    BatchMode: 'yes',
    IdentitiesOnly: 'yes',
    StrictHostKeyChecking: 'yes',
    UserKnownHostsFile: login.knownHostsPath,
  };
  const argv = [
    ...['-F', 'none', '-i', login.privateKeyPath],
    ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    ...[`${USER}@${manager.address}`, command],
  ];
  return new Promise((resolve, reject) => {
    const child = spawn('ssh', argv, { stdio: 'pipe', signal });
    let words = '';
    const take = (/** @type {Buffer} */ chunk) => {
      words += chunk.toString('utf8');
      onOutput?.(chunk.toString('utf8'));
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`ssh ended with exit code ${code}: ${words.trim()}`));
    });
  });
}
