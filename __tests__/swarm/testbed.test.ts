/** What the other scenarios rest on: the test swarm itself. */
import { expect } from '@jest/globals';
import { until } from '../../testbed/lib/wait.mjs';
import { onSwarm, ownSwarmScenario, scenario } from '../support/swarm.js';

const NAMES = Array.from({ length: 24 }, (_, index) => `n${index + 1}`);
const TAGS = ['v1', 'v2', 'v3', 'v4'];

onSwarm('the test swarm', () => {
  scenario('takes many images at once, though they share layers', async (stack) => {
    const references = NAMES.flatMap((name) =>
      TAGS.map((tag) => ({ tag, reference: `own-${stack.name}-${name}:${tag}` })),
    );
    const pushed = await Promise.all(
      references.map(({ tag, reference }) =>
        stack.bed.pushImage(reference, {
          command: ['/bin/busybox', 'true'],
          env: [`VERSION=${tag}`],
        }),
      ),
    );
    expect(new Set(pushed).size).toBe(TAGS.length);
    expect(pushed).toEqual(
      await Promise.all(references.map(({ reference }) => stack.bed.digest(reference))),
    );
  });

  ownSwarmScenario(
    'starts an engine again that has crashed, as systemd would',
    { managers: 1, workers: 0 },
    async ({ manager }) => {
      // What ends a program of Go with the exit code of a panic.
      await manager.stopEngine('SIGABRT');
      await until('the engine is a manager again', async () => {
        const format = '{{.Swarm.ControlAvailable}}';
        return (await manager.docker('info', '--format', format)).trim() === 'true';
      });
    },
  );
});
