/** The benchmark of lost requests, in short: examples/stacks/zero-downtime.yml under load. */
import { expect } from '@jest/globals';
import { pushImages } from '../../scripts/downtime/images.mjs';
import { playShort } from '../../scripts/downtime/runs.mjs';
import { aloneScenario, onSwarm } from '../support/swarm.js';

onSwarm('downtime', () => {
  aloneScenario('no request is lost, unless the healthcheck is missing', async (stack) => {
    await pushImages(stack.bed, () => undefined);
    const { good, bad, lint } = await playShort({
      testbed: stack.bed,
      stack: stack.name,
      subnet: stack.subnet,
      port: 18_900,
      replicas: 2,
      groups: [
        { clients: 20, everyMs: 250, holdMs: 100 },
        { clients: 2, everyMs: 3000, holdMs: 3000 },
      ],
      signal: new AbortController().signal,
      log: () => undefined,
    });
    expect(good.requests).toBeGreaterThan(100);
    expect(good.failures).toEqual({});
    expect(bad.failures).toMatchObject({ 'HTTP 503': expect.any(Number) });
    expect(lint).toContain('no-healthcheck');
  });
});
