/** `keep-replicas` in whole runs on a pretended swarm. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { at, imageOf } from '../../src/model.js';
import { FakeSwarm } from '../support/fake-swarm.js';
import { givePlanningCli } from '../support/planning-swarm.js';
import { runAction, stackFile, type Asked, type Attempt } from '../support/run-action.js';

let swarm: FakeSwarm;

beforeEach(() => {
  swarm = new FakeSwarm();
});

const FILE = stackFile({
  agent: { image: 'agent:1', global: true },
  api: { image: 'api:1', replicas: 3 },
  web: { image: 'web:1', replicas: 2 },
});

const deploy = (yaml: string, inputs: Asked['inputs'] = {}): Promise<Attempt> =>
  runAction(swarm, { yaml, inputs });

/** As `docker service scale` does it. */
function scale(name: string, replicas: number): void {
  const { Spec } = swarm.byName(name);
  swarm.write(name, { ...Spec, Mode: { Replicated: { Replicas: replicas } } });
  swarm.settle();
}

const replicas = (name: string): unknown =>
  at(swarm.byName(name).Spec, 'Mode', 'Replicated', 'Replicas');

const said = ({ log }: Attempt): readonly string[] =>
  log.flatMap((line) => (line.includes('keep-replicas') ? [line.replace(/^[ \d:]+/, '')] : []));

describe('a service that was scaled by hand', () => {
  it('gets the number of the files, and that is said', async () => {
    await deploy(FILE);
    scale('shop_api', 5);
    const attempt = await deploy(FILE);
    expect(attempt.report).toMatchObject({
      outcome: 'deployed',
      services: [{ name: 'shop_agent' }, { name: 'shop_api', change: 'updated' }, {}],
    });
    expect(replicas('shop_api')).toBe(3);
    expect(said(attempt)).toEqual([
      'shop_api has 5 replicas, and gets the 3 of the files (keep-replicas: true keeps 5)',
    ]);
  });

  it.each([5, 1, 0])('keeps the number that it has where that is asked for: %d', async (number) => {
    await deploy(FILE);
    scale('shop_api', number);
    const attempt = await deploy(FILE.replace('api:1', 'api:2'), { 'keep-replicas': 'true' });
    expect(attempt.report).toMatchObject({
      outcome: 'deployed',
      services: [
        { name: 'shop_agent', change: 'unchanged' },
        {
          name: 'shop_api',
          change: 'updated',
          image: 'api:2',
          replicas: { running: number, desired: number },
        },
        { name: 'shop_web', change: 'unchanged', replicas: { desired: 2 } },
      ],
    });
    expect(replicas('shop_api')).toBe(number);
    expect(said(attempt)).toEqual([
      `shop_api keeps ${number === 1 ? '1 replica' : `${number} replicas`}, where the files say 3 (keep-replicas: true)`,
    ]);
    // And a deploy of the same changes nothing.
    const again = await deploy(FILE.replace('api:1', 'api:2'), { 'keep-replicas': 'true' });
    expect(again.report.outcome).toBe('unchanged');
  });

  it('is recorded as it ran, so that a rollback brings that number back', async () => {
    const keep = { 'keep-replicas': 'true', history: '10' };
    await deploy(FILE, keep);
    scale('shop_api', 4);
    expect((await deploy(FILE.replace('api:1', 'api:2'), keep)).report.revision).toBe(2);
    expect((await deploy(FILE.replace('api:1', 'api:3'), { history: '10' })).report.revision).toBe(
      3,
    );
    expect(replicas('shop_api')).toBe(3);
    const back = await deploy('', { mode: 'rollback', history: '10' });
    expect(back.report).toMatchObject({ outcome: 'deployed', revision: 4 });
    expect(replicas('shop_api')).toBe(4);
  });

  it('keeps it in a rollback and in a re-run, too, where that is asked for', async () => {
    const history = { history: '10' };
    const first = { runId: '1', repository: 'example/shop', attempt: 1 };
    await runAction(swarm, { yaml: FILE, inputs: history, run: first });
    const second = { yaml: FILE.replace('api:1', 'api:2'), inputs: history };
    await runAction(swarm, { ...second, run: { ...first, runId: '2' } });
    scale('shop_api', 5);
    const keep = { ...history, 'keep-replicas': 'true' };
    const back = await deploy('', { ...keep, mode: 'rollback' });
    expect(back.report).toMatchObject({ outcome: 'deployed', revision: 3 });
    expect(imageOf(swarm.byName('shop_api').Spec)).toMatch(/^api:1/);
    expect(replicas('shop_api')).toBe(5);
    expect(said(back)).toEqual([
      'shop_api keeps 5 replicas, where revision 1 has 3 (keep-replicas: true)',
    ]);
    const again = { ...first, runId: '2', attempt: 2 };
    const rerun = await runAction(swarm, { ...second, inputs: keep, run: again });
    expect(rerun.report).toMatchObject({ outcome: 'deployed', revision: 4 });
    expect(rerun.report.message).toContain('as this is a re-run');
    expect(imageOf(swarm.byName('shop_api').Spec)).toMatch(/^api:2/);
    expect(replicas('shop_api')).toBe(5);
    // Where nobody asks for it, it gets the number of then, and that is said.
    const plain = await deploy('', { ...history, mode: 'rollback' });
    expect(replicas('shop_api')).toBe(3);
    expect(said(plain)).toEqual([
      'shop_api has 5 replicas, and gets the 3 of revision 1 (keep-replicas: true keeps 5)',
    ]);
  });

  it('has the number that it keeps in a plan, too', async () => {
    givePlanningCli(swarm);
    await deploy(FILE);
    scale('shop_api', 5);
    const applied = await deploy(FILE, { mode: 'plan' });
    expect(applied.report.plan).toMatchObject({
      hasChanges: true,
      services: [
        {},
        { name: 'shop_api', fields: [{ field: 'deploy.replicas', before: '5', after: '3' }] },
        {},
      ],
    });
    expect(said(applied)).toHaveLength(1);
    const kept = await deploy(FILE, { mode: 'plan', 'keep-replicas': 'true' });
    expect(kept.report.plan).toMatchObject({ hasChanges: false });
  });
});

it('is told of no service that is new, global, or has the number of the files', async () => {
  const first = await deploy(FILE, { 'keep-replicas': 'true' });
  const second = await deploy(FILE, { 'keep-replicas': 'true' });
  expect([...said(first), ...said(second)]).toEqual([]);
  expect(second.report.outcome).toBe('unchanged');
});
