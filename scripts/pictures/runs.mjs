/**
 * The runs that the pictures show: a small shop, deployed to a real swarm by the committed action.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { runStep } from '../../testbed/runner.mjs';

const STACK = 'shop';

const STACK_FILE = `services:
  api:
    image: \${REGISTRY}/api:\${TAG}
    environment:
      LOG_LEVEL: \${LOG_LEVEL:-info}
    healthcheck:
      test: ['CMD', '/bin/busybox', 'wget', '-q', '-O', '-', 'http://127.0.0.1/health']
      interval: 1s
      retries: 2
    deploy:
      replicas: 4
      resources: { limits: { memory: 64M } }
      update_config:
        order: start-first
        parallelism: 2
        monitor: 5s
        failure_action: rollback
  web:
    image: \${REGISTRY}/web:\${WEB_TAG:-3.4.0}
    healthcheck:
      test: ['CMD', '/bin/busybox', 'wget', '-q', '-O', '-', 'http://127.0.0.1/health']
      interval: 1s
    deploy:
      replicas: 2
      resources: { limits: { memory: 64M } }
      update_config:
        order: start-first
        monitor: 2s
        failure_action: rollback
  worker:
    image: \${REGISTRY}/web:3.4.0
    healthcheck:
      test: ['CMD', '/bin/busybox', 'true']
      interval: 1s
    deploy:
      resources: { limits: { memory: 64M } }
      update_config:
        order: start-first
        failure_action: rollback
`;

/**
 * @param {string} words that the process says once it has started
 * @param {boolean} healthy
 */
const server = (words, healthy) => ({
  command: ['/bin/busybox', 'sh', '/run.sh'],
  files: {
    'run.sh': `trap 'exit 143' TERM INT\n${words}\nbusybox httpd -f -p 80 -h /www &\nwait\n`,
    ...(healthy ? { 'www/health': 'ok' } : { 'www/other': 'x' }),
  },
});

const GOOD = server('echo "listening on port 80"', true);
const BROKEN = server(
  [
    'echo "listening on port 80"',
    'echo "ERROR: table orders has no column paid_at: the schema is version 41, this release needs 42"',
    'echo "GET /health 503: not ready, schema too old"',
  ].join('\n'),
  false,
);

/** @param {import('../../testbed/index.mjs').Testbed} bed */
async function pushImages(bed) {
  await Promise.all([
    bed.pushImage('api:1.8.0', GOOD),
    bed.pushImage('api:1.9.0', { ...GOOD, files: { ...GOOD.files, 'www/version': '1.9.0' } }),
    bed.pushImage('api:1.9.1', BROKEN),
    bed.pushImage('web:3.4.0', { ...GOOD, files: { ...GOOD.files, 'www/version': 'web 3.4.0' } }),
    bed.pushImage('web:3.5.0', { ...GOOD, files: { ...GOOD.files, 'www/version': 'web 3.5.0' } }),
  ]);
}

/** @param {number} number of the run */
const workflow = (number) => ({
  GITHUB_SERVER_URL: 'https://github.com',
  GITHUB_REPOSITORY: 'example/shop',
  GITHUB_SHA: `${number}c0ffee${'0'.repeat(33)}`.slice(0, 40),
  GITHUB_REF: 'refs/heads/main',
  GITHUB_ACTOR: 'octocat',
  GITHUB_RUN_ID: String(11_000_000 + number),
  GITHUB_RUN_NUMBER: String(number),
  GITHUB_RUN_ATTEMPT: '1',
  GITHUB_WORKFLOW: 'deploy',
  GITHUB_JOB: 'deploy',
});

/**
 * @typedef {object} Picture
 * @property {string} name
 * @property {string} log as the runner shows it, colours and workflow commands included
 * @property {string} summary markdown
 */

/**
 * Plays the runs, one after another, on a stack of their own.
 * @param {import('../../testbed/index.mjs').Testbed} bed
 * @param {(text: string) => void} say
 * @returns {Promise<Picture[]>}
 */
export async function playRuns(bed, say) {
  const { manager, ssh, registry } = bed;
  await pushImages(bed);
  let number = 40;
  /**
   * @param {Record<string, string>} env of the stack file
   * @param {Record<string, string>} [more] inputs
   */
  const step = async (env, more = {}) => {
    number += 1;
    const { log, summary, code } = await runStep({
      inputs: {
        stack: STACK,
        host: `deploy@${manager.address}`,
        'private-key': ssh.privateKey,
        'known-hosts': ssh.knownHosts,
        registry: registry.host,
        'registry-username': registry.username,
        'registry-password': registry.password,
        env: Object.entries({ REGISTRY: registry.host, ...env })
          .map((pair) => pair.join('='))
          .join('\n'),
        ...more,
      },
      files: { 'docker-stack.yml': STACK_FILE },
      env: { ...workflow(number), NO_COLOR: '' },
    });
    return { code, summary, log: withoutMasks(log) };
  };
  /**
   * @param {string} name
   * @param {number} expected exit code
   * @param {Awaited<ReturnType<typeof step>>} run
   */
  const picture = (name, expected, { code, log, summary }) => {
    if (code !== expected) throw new Error(`${name} ended with ${code ?? 'a signal'}:\n${log}`);
    say(`${name}: recorded`);
    return { name, log, summary };
  };
  const pictures = [];
  try {
    say('a first deploy');
    picture('before', 0, await step({ TAG: '1.8.0' }));
    const good = picture('good', 0, await step({ TAG: '1.9.0' }));
    pictures.push(good);
    pictures.push(
      picture(
        'plan',
        0,
        await step({ TAG: '1.9.1', WEB_TAG: '3.5.0', LOG_LEVEL: 'debug' }, { mode: 'plan' }),
      ),
    );
    pictures.push(picture('failed', 1, await step({ TAG: '1.9.1', WEB_TAG: '3.5.0' })));
    pictures.push(picture('status', 0, await step({ TAG: '1.9.0' }, { mode: 'status' })));
  } finally {
    await manager.docker('stack', 'rm', STACK);
    await sleep(1000);
  }
  return pictures;
}

/** What the runner hides is not for a file, and shows nothing. @param {string} log */
const withoutMasks = (log) =>
  log
    .split('\n')
    .filter((line) => !line.startsWith('::add-mask::'))
    .join('\n');
