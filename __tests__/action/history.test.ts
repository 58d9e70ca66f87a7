/** Whole runs with the lock and the history of a stack, on a pretended swarm and its clock. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { Engine } from '../../src/docker/engine.js';
import { settleLeft } from '../../src/ledger/left.js';
import { readHistory, type History } from '../../src/ledger/history.js';
import { imageOf, splitImage } from '../../src/model.js';
import { FakeSwarm } from '../support/fake-swarm.js';
import { runAction, stackFile, type Asked, type Attempt } from '../support/run-action.js';

let swarm: FakeSwarm;
let runs = 0;

beforeEach(() => {
  swarm = new FakeSwarm();
});

const ON = { lock: 'true', history: '10' };
const file = (image: string): string => stackFile({ api: { image, replicas: 2 } });

/** A run of a workflow of its own, unless told. */
async function go(image: string, asked: Partial<Asked> = {}): Promise<Attempt> {
  runs += 1;
  const runId = String(1000 + runs);
  return await runAction(swarm, {
    yaml: file(image),
    ...asked,
    inputs: { ...ON, ...asked.inputs },
    run: { repository: 'o/r', runId, runUrl: `https://x/${runId}`, commit: '', ...asked.run },
  });
}

const back = (revision = 'previous', more: Partial<Asked> = {}): Promise<Attempt> =>
  go('none', { ...more, inputs: { mode: 'rollback', revision, ...more.inputs } });

async function history(): Promise<History> {
  const engine = new Engine(() => Promise.resolve(swarm.dial()));
  try {
    await engine.negotiate();
    return await readHistory(engine, 'shop');
  } finally {
    engine.close();
  }
}

const imageNow = (): string => {
  const [service] = swarm.services.values();
  return service === undefined ? '' : splitImage(imageOf(service.Spec)).name;
};
const statuses = async (): Promise<readonly string[]> =>
  (await history()).revisions.map(({ number, status }) => `${number} ${status}`);
const configs = (): readonly string[] =>
  swarm.objects.filter(({ kind }) => kind === 'config').map(({ name }) => name);
/** What was written to the stack itself. */
const stackWrites = (): readonly string[] => swarm.writes.filter((line) => !/ config /.test(line));

describe('a deploy', () => {
  it('takes the lock first, records itself before it writes, and gives the lock back', async () => {
    const { report } = await go('api:1');
    expect(report).toMatchObject({ outcome: 'deployed', revision: 1, previousRevision: undefined });
    const [lock, revision] = swarm.writes;
    expect([lock, revision]).toEqual(['create config shop.lock', 'create config shop.revision.1']);
    expect(swarm.writes.indexOf('create shop_api')).toBeGreaterThan(1);
    expect(swarm.writes.at(-1)).toBe('remove config shop.lock');
    expect(await statuses()).toEqual(['1 deployed']);
  });

  it('that fails is recorded as what it was, and does not count', async () => {
    await go('api:1');
    const { report } = await go('api:crash');
    expect(report).toMatchObject({ outcome: 'rolled-back', revision: 2, previousRevision: 1 });
    expect((await go('api:2')).report).toMatchObject({ revision: 3, previousRevision: 1 });
    expect(await statuses()).toEqual(['3 deployed', '2 rolled-back', '1 deployed']);
  });

  it('keeps its files and exact specs, and never more revisions than it should', async () => {
    for (const image of ['api:1', 'api:2', 'api:3', 'api:4'])
      await go(image, { inputs: { history: '2' } });
    const kept = await history();
    expect(kept.revisions.map(({ number }) => number)).toEqual([4, 3]);
    const content = kept.contentOf(4);
    if (content === 'incomplete') throw new Error('the newest revision is incomplete');
    expect(content.files.map(({ text }) => text).join('')).toContain('api:4');
    expect(content.sealed?.services.map(({ spec }) => spec)).toEqual(
      [...swarm.services.values()].map(({ Spec }) => Spec),
    );
    expect(content.sealed?.pinned).toMatch(/image: api:4@sha256:/);
  });

  it('without a history leaves none', async () => {
    await go('api:1');
    await go('api:2', { inputs: { history: '0' } });
    expect(configs()).toEqual([]);
  });

  it('ends the revision of a run that died', async () => {
    await go('api:1');
    const dead = swarm.objects.find(({ name }) => name === 'shop.revision.1');
    if (dead?.labels === undefined) throw new Error('there is no such revision');
    dead.labels = { ...dead.labels, 'swarm-deploy.status': 'pending' };
    const { report } = await go('api:2');
    expect(await statuses()).toEqual(['2 deployed', '1 interrupted']);
    expect(report.warnings.join()).toContain('revision 1');
  });
});

describe('the lock', () => {
  const hold = (labels: Record<string, string> = {}): void => {
    swarm.objects.push({
      ...{ kind: 'config', id: 'other', name: 'shop.lock', stack: 'shop', busy: 0, version: 1 },
      labels: {
        'com.docker.stack.namespace': 'shop',
        'swarm-deploy.kind': 'lock',
        'swarm-deploy.holder': 'f'.repeat(32),
        'swarm-deploy.run-url': 'https://x/other',
        ...labels,
      },
      data: 'eA==',
    });
  };
  const lock = (): (typeof swarm.objects)[number] | undefined =>
    swarm.objects.find(({ name }) => name === 'shop.lock');

  it('of another run is waited for, and nothing is touched', async () => {
    hold();
    // The other one is alive.
    swarm.onStep = () => {
      const other = lock();
      if (other !== undefined) other.version = (other.version ?? 0) + 1;
    };
    const login = { 'registry-username': 'ci', 'registry-password': 'correct horse' };
    const { report, log } = await go('api:1', { inputs: { 'lock-timeout': '2m', ...login } });
    expect(report).toMatchObject({ outcome: 'locked', reason: 'locked' });
    expect(log.join('\n')).toContain('https://x/other');
    expect(swarm.writes).toEqual([]);
    expect(swarm.requests).not.toContain('POST /auth');
  });

  it('of a dead run is taken over', async () => {
    hold();
    const { report, log } = await go('api:1');
    expect(report.outcome).toBe('deployed');
    expect(log.join('\n')).toContain('took over the lock of shop');
    expect(lock()).toBeUndefined();
  });

  it('that is lost ends the run, which writes nothing more', async () => {
    await go('api:1');
    let wrote: number | undefined;
    swarm.onStep = () => {
      if (!stackWrites().includes('update shop_api') || wrote !== undefined) return;
      swarm.objects = swarm.objects.filter(({ name }) => name !== 'shop.lock');
      hold();
      wrote = stackWrites().length;
      // As long as it takes until the run does not trust its last beat any more.
      swarm.advance(60_000);
    };
    const { report } = await go('api:crash');
    expect(wrote).toBeDefined();
    expect(report).toMatchObject({ outcome: 'superseded', reason: 'superseded' });
    expect(report.message).toContain('https://x/other');
    expect(stackWrites()).toHaveLength(wrote ?? -1);
    expect(lock()?.id).toBe('other');
  });

  it('can be done without', async () => {
    hold();
    expect((await go('api:1', { inputs: { lock: 'false' } })).report.outcome).toBe('deployed');
    expect(lock()?.id).toBe('other');
  });
});

describe('mode: rollback', () => {
  it('is an undo: one further back each time, never forward, never to a failed one', async () => {
    await go('api:1');
    await go('api:2');
    await go('api:crash');
    const [first] = [...swarm.services.values()].map(({ ID }) => ID);
    expect((await back()).report).toMatchObject({ outcome: 'deployed', revision: 4 });
    expect(imageNow()).toBe('api:1');
    const writes = stackWrites().length;
    const again = await back();
    expect(again.report).toMatchObject({ outcome: 'invalid', reason: 'no-such-revision' });
    expect(again.report.hint).toContain('Good ones:');
    expect(stackWrites()).toHaveLength(writes);
    expect((await back('2')).report.outcome).toBe('deployed');
    expect(imageNow()).toBe('api:2');
    expect((await back('3')).report).toMatchObject({ reason: 'no-such-revision' });
    expect([...swarm.services.keys()]).toEqual([first]);
  });

  it('by a commit finds what was deployed from it', async () => {
    await go('api:1', { run: { commit: 'abc1234'.padEnd(40, '0') } });
    await go('api:2', { run: { commit: 'def5678'.padEnd(40, '0') } });
    expect((await back('abc1')).report.outcome).toBe('deployed');
    expect(imageNow()).toBe('api:1');
  });

  it('writes nothing that already is as it was recorded', async () => {
    await go('api:1');
    const writes = stackWrites().length;
    expect((await back('1')).report.outcome).toBe('unchanged');
    expect(stackWrites()).toHaveLength(writes);
  });

  it('that fails is taken back itself', async () => {
    await go('api:slow');
    await go('api:2');
    const before = structuredClone([...swarm.services.values()].map(({ Spec }) => Spec));
    const { report } = await back('1', { inputs: { timeout: '5s' } });
    expect(report).toMatchObject({ outcome: 'rolled-back', reason: 'timeout' });
    expect([...swarm.services.values()].map(({ Spec }) => Spec)).toEqual(before);
  });

  it('removes what newer revisions brought, and creates what they removed', async () => {
    await go('none', { yaml: stackFile({ api: { image: 'api:1' }, old: { image: 'old:1' } }) });
    const two = { api: { image: 'api:2' }, extra: { image: 'extra:1' } };
    await go('none', { yaml: stackFile(two), inputs: { prune: 'true' } });
    expect(swarm.names()).toEqual(['shop_api', 'shop_extra']);
    expect((await back()).report.outcome).toBe('deployed');
    expect(swarm.names()).toEqual(['shop_api', 'shop_old']);
  });
});

describe('a re-run', () => {
  const A = { runId: '1', attempt: 1 };

  it('brings back what its run deployed, after others have deployed', async () => {
    await go('api:1', { run: A });
    await go('api:2');
    const { report, log } = await go('api:9', { run: { ...A, attempt: 2 } });
    expect(report.outcome).toBe('deployed');
    expect(imageNow()).toBe('api:1');
    expect(log.join('\n')).toContain('this is a re-run');
    expect(report.message).toContain('Revision 1');
  });

  it('deploys its files where it is asked to, where nobody came between, or where it had failed', async () => {
    await go('api:1', { run: A });
    await go('api:2', { run: { ...A, attempt: 2 } });
    expect(imageNow()).toBe('api:2');
    await go('api:3');
    await go('api:4', { run: { ...A, attempt: 3 }, inputs: { 'on-rerun': 'redeploy' } });
    expect(imageNow()).toBe('api:4');
    const failed = { runId: '2', attempt: 1 };
    await go('api:crash', { run: failed });
    await go('api:5');
    await go('api:6', { run: { ...failed, attempt: 2 } });
    expect(imageNow()).toBe('api:6');
  });

  it('of a rollback stays where it went', async () => {
    for (const image of ['api:1', 'api:2', 'api:3']) await go(image);
    await back('previous', { run: A });
    const { report } = await back('previous', { run: { ...A, attempt: 2 } });
    expect(report.outcome).toBe('unchanged');
    expect(imageNow()).toBe('api:2');
  });

  it('is not what an older run is that comes late: that one is warned about', async () => {
    await go('api:2', { run: { runId: '20', commit: '2'.repeat(40) } });
    const { report } = await go('api:1', { run: { runId: '10', commit: '1'.repeat(40) } });
    expect(report.outcome).toBe('deployed');
    expect(report.warnings.join()).toContain('an older commit now goes over a newer one');
  });
});

describe('the other modes', () => {
  it('status shows and touches nothing', async () => {
    await go('api:1');
    const writes = swarm.writes.length;
    const { report } = await go('none', { inputs: { mode: 'status' } });
    expect(report).toMatchObject({ outcome: 'reported', revision: 1 });
    expect(report.history.map(({ status }) => status)).toEqual(['deployed']);
    expect(report.services).toMatchObject([{ name: 'shop_api', replicas: { running: 2 } }]);
    expect(swarm.writes).toHaveLength(writes);
  });

  it('remove takes all of it, the history too, and is green where there is nothing', async () => {
    await go('api:1');
    expect((await go('none', { inputs: { mode: 'remove' } })).report.outcome).toBe('removed');
    expect([swarm.names(), swarm.objects]).toEqual([[], []]);
    const { report } = await go('none', { inputs: { mode: 'remove' } });
    expect(report).toMatchObject({ outcome: 'removed' });
    expect(report.message).toContain('There is no stack shop');
    expect(swarm.objects).toEqual([]);
  });

  it('a cancelled run leaves its lock and its revision to post, which ends both', async () => {
    await go('api:1');
    const cancel = new AbortController();
    swarm.onStep = () => {
      if (stackWrites().includes('update shop_api')) cancel.abort(new Error('cancelled'));
    };
    const { report, left } = await go('api:slow', { cancel });
    expect(report.outcome).toBe('cancelled');
    expect(configs()).toContain('shop.lock');
    const engine = new Engine(() => Promise.resolve(swarm.dial()));
    await engine.negotiate();
    await settleLeft(engine, left);
    await settleLeft(engine, left);
    engine.close();
    expect(configs()).not.toContain('shop.lock');
    expect(await statuses()).toEqual(['2 cancelled', '1 deployed']);
  });
});
