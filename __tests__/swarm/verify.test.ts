/** `verify` on the real swarm: what answers decides, after everything has converged. */
import { expect } from '@jest/globals';
import type { Verification } from '../../src/report/dossier.js';
import type { Compose } from '../support/live.js';
import { onSwarm, quickUpdate, scenario, type Run, type Stack } from '../support/swarm.js';

const checksOf = (run: Run): readonly Verification[] =>
  (run.report as { verification: readonly Verification[] }).verification;

let ports = 18_700;

/** One that answers its version on a port of the first manager, and one that the deploys change. */
const files = (stack: Stack, published: number, job: string): Compose => ({
  api: {
    image: stack.image('web', 'v1'),
    stop_grace_period: '1s',
    ports: [{ target: 80, published, mode: 'host' }],
    deploy: { placement: { constraints: ['node.role == manager'] } },
  },
  worker: {
    image: stack.image('nohealth', job),
    stop_grace_period: '1s',
    deploy: { update_config: quickUpdate },
  },
});

onSwarm('verify', () => {
  scenario('is green where everything answers, and rolls back where it does not', async (stack) => {
    const port = (ports += 1);
    const url = `http://${stack.manager.address}:${port}/`;
    const first = await stack.deploy(files(stack, port, 'v1'), {
      env: 'TAG=v1',
      verify: `${url}\n${url}nothing-here -> 404\n${url} -> 200 contains \${TAG}`,
    });
    expect(first).toMatchObject({ outcome: 'deployed', reason: '', code: 0 });
    expect(checksOf(first).map(({ ok, status }) => [ok, status])).toEqual([
      [true, 200],
      [true, 404],
      [true, 200],
    ]);
    const specs = await stack.specs();

    const second = await stack.deploy(files(stack, port, 'v2'), {
      verify: `${url} contains v9`,
      'verify-timeout': '3s',
    });
    expect(second).toMatchObject({ outcome: 'rolled-back', reason: 'verify-failed', code: 1 });
    expect(checksOf(second)).toEqual([
      expect.objectContaining({ url, ok: false, status: 200, body: 'v1' }),
    ]);
    expect(second.log).toContain('its body does not have v9 in it');
    expect(second.summary).toContain('its body does not have v9 in it');
    expect(await stack.specs()).toEqual(specs);
    const [task] = await stack.running('worker');
    expect(task?.Spec.ContainerSpec.Image).toContain('nohealth:v1');
  });

  scenario('removes nothing before the checks have passed', async (stack) => {
    const port = (ports += 1);
    const url = `http://${stack.manager.address}:${port}/`;
    const extra = { image: stack.image('nohealth'), stop_grace_period: '1s' };
    const both = { ...files(stack, port, 'v1'), extra };
    expect((await stack.deploy(both)).outcome).toBe('deployed');
    const run = await stack.deploy(files(stack, port, 'v2'), {
      prune: true,
      verify: `${url} -> 500`,
      'verify-timeout': '2s',
    });
    expect(run).toMatchObject({ outcome: 'rolled-back', reason: 'verify-failed' });
    expect(Object.keys(await stack.services()).sort()).toEqual(['api', 'extra', 'worker']);
  });
});
