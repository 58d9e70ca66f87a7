/**
 * What the demo deploys: an API in four versions, the stack file, and the step of the workflow.
 */

export const STACK = 'shop';
export const SERVICE = `${STACK}_api`;
export const REPLICAS = 10;

/** The third answers 404 on its health page. */
export const VERSIONS = /** @type {const} */ (['1.0.0', '1.1.0', '1.2.0', '1.2.1']);
const BROKEN = '1.2.0';

export const STACK_FILE = `services:
  api:
    image: \${REGISTRY}/api:\${TAG}
    healthcheck:
      test: ['CMD', 'wget', '-q', '-O', '-', 'http://127.0.0.1/health']
      interval: 1s
      retries: 2
    deploy:
      replicas: ${REPLICAS}
      update_config:
        order: start-first
        parallelism: 5
        monitor: 5s
      rollback_config:
        order: start-first
        parallelism: 5
`;

/** Asks the API again and again, by name, as any other service of the stack would. */
const VISIT = `trap 'exit 0' TERM
while :; do
  if answer=$(busybox timeout 5 wget -q -O - http://tasks.api/ 2>&1); then echo "answered $answer"
  else echo "failed $answer"; fi
  busybox usleep 100000
done
`;

export const VISITOR = 'visitor';

/**
 * Puts the images into the private registry.
 * @param {import('../../testbed/index.mjs').Testbed} testbed
 */
export async function pushImages(testbed) {
  const shell = ['/bin/busybox', 'sh', '/run.sh'];
  const serve = "trap 'exit 143' TERM INT\nbusybox httpd -f -p 80 -h /www &\nwait\n";
  await Promise.all([
    testbed.pushImage(`${VISITOR}:1`, { command: shell, files: { 'run.sh': VISIT } }),
    ...VERSIONS.map((version) =>
      testbed.pushImage(`api:${version}`, {
        command: shell,
        files: {
          'run.sh': serve,
          'www/index.html': version,
          ...(version === BROKEN ? {} : { 'www/health': 'ok' }),
        },
      }),
    ),
  ]);
}

/**
 * The \`with:\` block of the step, as the runner hands it over.
 * @param {import('../../testbed/index.mjs').Testbed} testbed
 * @param {string} tag
 * @returns {Record<string, string>}
 */
export function stepInputs({ manager, ssh, registry }, tag) {
  return {
    stack: STACK,
    host: `deploy@${manager.address}`,
    'private-key': ssh.privateKey,
    'known-hosts': ssh.knownHosts,
    registry: registry.host,
    'registry-username': registry.username,
    'registry-password': registry.password,
    env: `REGISTRY=${registry.host}\nTAG=${tag}`,
  };
}

/**
 * The step as a user writes it.
 * @param {import('../../testbed/index.mjs').Testbed} testbed
 */
export function stepText({ manager, registry }) {
  return `- uses: org/swarm-deploy@v1
  with:
    stack: ${STACK}
    host: deploy@${manager.address}
    private-key: \${{ secrets.SSH_KEY }}
    known-hosts: \${{ vars.SSH_KNOWN_HOSTS }}
    registry: ${registry.host}
    registry-username: ${registry.username}
    registry-password: \${{ secrets.REGISTRY_PASSWORD }}
    env: |
      REGISTRY=${registry.host}
      TAG=\${{ inputs.tag }}
`;
}
