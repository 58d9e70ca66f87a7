/** The stack file that people have, with what Swarm ignores in it: it deploys, and every line is told. */
import { expect } from '@jest/globals';
import { onSwarm, scenario } from '../support/swarm.js';

onSwarm('the lint of a stack file', () => {
  scenario(
    'of ten replicas, with container_name and sysctls, has the right lines',
    async (stack) => {
      stack.useOverlay();
      // Its healthcheck asks by curl, which busybox has not; what it needs of it wget does, too.
      const name = `own-${stack.name}`;
      await stack.bed.pushImage(`${name}:v1`, {
        command: ['/bin/busybox', 'httpd', '-f', '-p', '80', '-h', '/www'],
        files: {
          'bin/curl': '#!/bin/sh\nexec busybox timeout 5 wget -qO- "$2"\n',
          'www/index.html': 'up',
        },
      });
      const file = `version: "3.7"
services:
  api:
    image: ${stack.image(name)}
    container_name: api
    command: ["/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www"]
    sysctls:
      - net.core.somaxconn=4096
    ports:
      - 80:80
      - 443:443
    healthcheck:
      test: ["CMD", "curl", "-f", "http://localhost"]
      interval: 1m30s
      timeout: 10s
      retries: 3
      start_period: 40s
    deploy:
      replicas: 10
networks:
  default:
    ipam: {config: [{subnet: ${stack.subnet}}]}
`;
      const run = await stack.run({
        files: { 'docker-stack.yml': file },
        // Before engine 25 the first probe comes after the interval, start_period or not.
        inputs: { timeout: '4m' },
      });
      expect(run).toMatchObject({ outcome: 'deployed', reason: '', code: 0 });
      expect(run.services).toMatchObject([{ replicas: { running: 10, desired: 10 } }]);
      const { lint } = run.report as {
        lint: readonly { id: string; level: string; line: number }[];
      };
      expect(lint.map(({ id, level, line }) => [line, level, id])).toEqual([
        [3, 'warning', 'failure-action'],
        [3, 'notice', 'no-resource-limits'],
        [5, 'warning', 'ignored-container-name'],
        [9, 'notice', 'no-stop-grace-period'],
        [12, 'warning', 'monitor-too-short'],
      ]);
      for (const { id, level, line } of lint)
        expect(run.log).toMatch(
          new RegExp(`^::${level} file=docker-stack\\.yml,line=${line}::.*\\(${id}\\)$`, 'm'),
        );
      expect(run.summary).toContain('Lint of the stack files: 3 warnings, 2 notices');
      // What is not warned of is there: the setting of the kernel, in the container.
      const tasks = await stack.running('api');
      expect(tasks).toHaveLength(10);
      for (const task of tasks)
        expect(await stack.inside(task, 'cat', '/proc/sys/net/core/somaxconn')).toBe('4096\n');
    },
    300_000,
  );
});
