/** Somebody else writes to the same stack meanwhile: never a wrong verdict, never their loss. */
import { expect } from '@jest/globals';
import { digestOf, onSwarm, quickUpdate, scenario, until } from '../support/swarm.js';

onSwarm('with another writer', () => {
  scenario('a service that changes all the time is deployed or superseded', async (stack) => {
    const api = (tag: string): object => ({
      api: { image: stack.image('web', tag), deploy: { replicas: 2, update_config: quickUpdate } },
    });
    expect((await stack.deploy({ ...api('v1') })).outcome).toBe('deployed');
    const over = new AbortController();
    let writes = 0;
    const writing = (async () => {
      while (!over.signal.aborted) {
        const label = `writer=${writes}`;
        const command = ['docker', 'service', 'update', '--detach', '--label-add', label];
        const { code } = await stack.manager.exec([...command, `${stack.name}_api`]);
        if (code === 0) writes += 1;
      }
    })();
    let run;
    try {
      await until('the other one is at it', () => writes > 1);
      run = await stack.deploy({ ...api('v2') });
    } finally {
      over.abort();
      await writing;
    }
    expect(['deployed', 'superseded']).toContain(run.outcome);
    expect(run.code).toBe(run.outcome === 'deployed' ? 0 : 1);
    const v2 = await stack.bed.digest('web:v2');
    const { Spec } = await stack.service('api');
    // The other one only adds a label to what is there, and nobody rolled that back.
    expect(digestOf(Spec.TaskTemplate.ContainerSpec.Image)).toBe(v2);
    expect(Spec.Labels['writer']).toBe(String(writes - 1));
  });

  scenario('what the tests themselves write at the same time is all written', async (stack) => {
    const labels = Array.from({ length: 12 }, (_, index) => `${stack.name}-${index}`);
    const node = stack.bed.node('worker1').name;
    const write = (option: string, label: string): Promise<string> =>
      stack.manager.docker('node', 'update', option, label, node);
    await Promise.all(labels.map((label) => write('--label-add', label)));
    const [worker] = (await stack.manager.dockerJson('node', 'inspect', node)) as readonly {
      readonly Spec: { readonly Labels: Readonly<Record<string, string>> };
    }[];
    expect(Object.keys(worker?.Spec.Labels ?? {})).toEqual(expect.arrayContaining(labels));
    await Promise.all(labels.map((label) => write('--label-rm', label)));
  });
});
