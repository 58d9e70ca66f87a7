/**
 * What the action is compared with: what people write by hand, `ssh` with `docker login` and
 * `docker stack deploy --with-registry-auth --detach=false`, which waits for the services itself.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { run } from '../../testbed/lib/run.mjs';
import { until } from '../../testbed/lib/wait.mjs';

/**
 * @typedef {import('../../__tests__/support/stack.mjs').Stack} Stack
 * @typedef {import('../../__tests__/support/play.mjs').Deploy} Deploy
 * @typedef {{ code: number, hangs: boolean, output: string }} RivalRun
 */

/**
 * A command that has not ended so long after it wrote the services, or after what is done to them
 * meanwhile, hangs. The action's own runs show that it is enough (see docs/truth-table.md).
 */
export const LIMIT_MS = 75_000;

/** Longer than the limit and anything that is done meanwhile. */
const BACKSTOP_MS = 10 * 60_000;

const quote = (/** @type {string} */ word) => `'${word.replaceAll("'", "'\\''")}'`;

/** @param {Stack} stack */
const directoryOf = (stack) => `/tmp/rival-${stack.name}`;

/**
 * @param {Stack} stack
 * @param {readonly string[]} command
 * @param {{ input?: string, timeoutMs?: number }} [options]
 */
function ssh(stack, command, options) {
  const { ssh: login } = stack.bed;
  const flags = ['-F', 'none', '-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes'];
  const known = ['-o', `UserKnownHostsFile=${login.knownHostsPath}`, '-i', login.privateKeyPath];
  const directory = directoryOf(stack);
  const remote =
    `cd ${directory} && export DOCKER_CONFIG=${directory}/.docker && echo $$ >pid && ` +
    `exec ${command.map(quote).join(' ')}`;
  return run(
    ['ssh', ...flags, ...known, `${login.username}@${stack.manager.address}`, remote],
    options,
  );
}

/** Ends the command that runs there, if one does: one that hangs outlives its session. @param {Stack} stack */
async function end(stack) {
  const script = 'kill -9 "$(cat "$1/pid")" 2>/dev/null';
  await stack.manager.exec(['sh', '-c', script, 'sh', directoryOf(stack)]);
}

/**
 * Whether the services are up as their file says, before the deploy in question begins.
 * @param {Stack} stack
 * @param {Deploy} deploy
 */
async function established(stack, { services }) {
  const live = await stack.services();
  for (const name of Object.keys(services)) {
    const service = live[name];
    if (service === undefined || service.UpdateStatus?.State === 'updating') return false;
    const { running, desired, completed } = await counts(stack, name);
    const isGlobal = service.Spec.Mode['Global'] !== undefined;
    const isUp = running === desired && (running > 0 || !isGlobal);
    const isDone = completed > 0 && running === 0;
    if (!isUp && !isDone) return false;
  }
  return true;
}

/** @param {Stack} stack @param {string} name */
async function counts(stack, name) {
  /** @type {{ Spec: { Name: string }, ServiceStatus: Record<string, number> }[]} */
  const all = await stack.manager.api('GET', '/services?status=true');
  const found = all.find(({ Spec }) => Spec.Name === `${stack.name}_${name}`)?.ServiceStatus;
  const completed = (await stack.tasks(name)).filter(({ Status }) => Status.State === 'complete');
  return {
    running: found?.['RunningTasks'] ?? -1,
    desired: found?.['DesiredTasks'] ?? -2,
    completed: completed.length,
  };
}

/** Changes when a service is written. @param {Stack} stack */
async function versions(stack) {
  const services = Object.values(await stack.services());
  return services
    .map(({ ID, Version }) => `${ID} ${Version.Index}`)
    .sort()
    .join('\n');
}

export const rival = {
  /** @param {Stack} stack @param {Deploy} deploy */
  async establish(stack, deploy) {
    await stack.dockerDeploy(deploy);
    await until('the stack before is up', () => established(stack, deploy), { timeoutMs: 90_000 });
  },

  /**
   * @param {Stack} stack
   * @param {Deploy} deploy
   * @param {() => Promise<unknown>} onWatch
   * @returns {Promise<RivalRun>}
   */
  async deploy(stack, deploy, onWatch) {
    const { registry } = stack.bed;
    const { inputs = {} } = deploy;
    await stack.putFiles(directoryOf(stack), deploy);
    if (inputs['registry-username'] !== '') {
      const login = await ssh(
        stack,
        ['docker', 'login', '--username', registry.username, '--password-stdin', registry.host],
        { input: registry.password },
      );
      if (login.code !== 0) throw new Error(`docker login: ${login.stderr}`);
    }
    const before = await versions(stack);
    const over = new AbortController();
    let hangs = false;
    const watchdog = async () => {
      const written = async () => (await versions(stack)) !== before;
      await until('the services are written', written, {
        timeoutMs: LIMIT_MS,
        signal: over.signal,
      });
      await onWatch();
      await sleep(LIMIT_MS, undefined, { signal: over.signal });
      hangs = true;
      await end(stack);
    };
    const watching = watchdog().catch(() => undefined); // the command has ended
    const { code, stdout, stderr } = await ssh(
      stack,
      [
        ...['docker', 'stack', 'deploy', '--with-registry-auth', '--detach=false'],
        ...(inputs['prune'] === true ? ['--prune'] : []),
        ...['-c', 'docker-stack.yml', stack.name],
      ],
      { timeoutMs: BACKSTOP_MS },
    );
    over.abort();
    await watching;
    return { code, hangs, output: `${stdout}${stderr}` };
  },

  /** @param {Stack} stack */
  async clean(stack) {
    await end(stack);
    await stack.manager.exec(['rm', '-rf', directoryOf(stack)]);
  },
};
