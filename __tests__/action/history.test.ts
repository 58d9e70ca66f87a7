/** Whole runs with the lock and the history of a stack, on a pretended swarm and its clock. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { Engine } from '../../src/docker/engine.js';
import { isLeft, settleLeft, type Left } from '../../src/ledger/left.js';
import { readHistory, type History } from '../../src/ledger/history.js';
import type { Run } from '../../src/ledger/run.js';
import { imageOf, splitImage, type JsonObject } from '../../src/model.js';
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

/** What `post` does, and says. */
async function post(left: Left): Promise<readonly string[]> {
  const engine = new Engine(() => Promise.resolve(swarm.dial()));
  try {
    await engine.negotiate();
    return await settleLeft(engine, left);
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
/** The image of each service, by its name in the file. */
const stack = (): Readonly<Record<string, string>> =>
  Object.fromEntries(
    swarm
      .names()
      .map((name) => [
        name.replace('shop_', ''),
        splitImage(imageOf(swarm.byName(name).Spec)).name,
      ]),
  );
/** Services by their images: of a workflow that deploys a part of the stack. */
const part = (
  images: Readonly<Record<string, string>>,
  run: Partial<Run> = {},
  inputs: Asked['inputs'] = {},
): Promise<Attempt> =>
  go('none', {
    yaml: stackFile(
      Object.fromEntries(Object.entries(images).map(([name, image]) => [name, { image }])),
    ),
    run,
    inputs,
  });
/** What `docker service update --image` does. */
function byHand(name: string, image: string): void {
  const { Spec } = swarm.byName(`shop_${name}`);
  const template = Spec['TaskTemplate'] as JsonObject;
  const container = { ...(template['ContainerSpec'] as JsonObject), Image: image };
  swarm.write(Spec.Name, { ...Spec, TaskTemplate: { ...template, ContainerSpec: container } });
  swarm.settle();
}
/** What `docker service rm` does. */
function removeByHand(name: string): void {
  swarm.services.delete(swarm.byName(`shop_${name}`).ID);
  swarm.settle();
}
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

  it('without a history leaves none, as soon as something else runs', async () => {
    await go('api:1');
    const kept = configs();
    const failed = await go('api:crash', { inputs: { history: '0' } });
    expect(failed.report.outcome).toBe('rolled-back');
    const same = await go('api:1', { inputs: { history: '0' } });
    expect(same.report.outcome).toBe('unchanged');
    expect(configs()).toEqual(kept);
    await go('api:2', { inputs: { history: '0' } });
    expect(configs()).toEqual([]);
  });

  it('does not take for former what is not what ran', async () => {
    await go('api:1');
    byHand('api', 'api:7');
    expect((await go('api:2')).report).toMatchObject({ revision: 2, previousRevision: undefined });
    expect((await go('api:3')).report).toMatchObject({ revision: 3, previousRevision: 2 });
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

it('what would change the mode of a service is refused before anything is written', async () => {
  await go('api:1');
  removeByHand('api');
  const yaml = stackFile({ api: { image: 'api:2', global: true }, web: { image: 'web:2' } });
  await go('none', { yaml });
  const written = stackWrites().length;
  const { report } = await back('1');
  expect(report).toMatchObject({ outcome: 'invalid', reason: 'deploy-refused' });
  expect(report.message).toContain('shop_api is global and was replicated');
  expect(report.hint).toContain('docker service rm shop_api');
  expect(stackWrites()).toHaveLength(written);
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
    const { report, log, left } = await go('api:1', { inputs: { 'lock-timeout': '2m', ...login } });
    expect(report).toMatchObject({ outcome: 'locked', reason: 'locked' });
    // Nothing for `post` to do.
    expect(isLeft(left)).toBe(false);
    expect(log.join('\n')).toContain('https://x/other');
    expect(swarm.writes).toEqual([]);
    expect(swarm.requests).not.toContain('POST /auth');
  });

  it('of another run is not waited for where that is not wanted', async () => {
    hold();
    const { report } = await go('api:1', { inputs: { 'lock-timeout': '0s' } });
    expect(report.outcome).toBe('locked');
    expect(report.message).toContain('this run does not wait');
    expect(report.message).not.toContain('0 ms');
  });

  it('of another run is not what post gives back for one that was cancelled while it waited', async () => {
    hold();
    const cancel = new AbortController();
    swarm.onStep = () => cancel.abort(new Error('cancelled'));
    const { report, left } = await go('api:1', { cancel });
    expect(report.outcome).toBe('cancelled');
    expect(await post(left)).toEqual([]);
    expect(lock()?.id).toBe('other');
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

  it('brings back the services beside those of the files, too', async () => {
    await part({ api: 'api:1' });
    await part({ worker: 'worker:1' });
    await part({ api: 'api:2' });
    const { report } = await back();
    expect(report).toMatchObject({ outcome: 'deployed', revision: 4 });
    expect(stack()).toEqual({ api: 'api:1', worker: 'worker:1' });
  });

  it('brings back what a file no longer had and was left running', async () => {
    await part({ api: 'api:1', worker: 'worker:1' });
    await part({ api: 'api:2' });
    const second = swarm.names().map((name) => swarm.byName(name).Spec);
    await part({ api: 'api:3', worker: 'worker:3' });
    expect((await back('2')).report.outcome).toBe('deployed');
    expect(swarm.names().map((name) => swarm.byName(name).Spec)).toEqual(second);
    const { contentOf } = await history();
    const content = contentOf(4);
    if (content === 'incomplete') throw new Error('the newest revision is incomplete');
    expect(content.sealed?.services.map(({ name }) => name)).toEqual(['shop_api']);
    expect(content.sealed?.others.map(({ name, spec }) => [name, spec])).toEqual([
      ['shop_worker', second[1]],
    ]);
  });

  it('lets stay what was made by hand, and what had been there', async () => {
    await part({ api: 'api:1', worker: 'worker:1' });
    await part({ api: 'api:2' });
    await part({ api: 'api:3' });
    swarm.write('shop_hand', { ...swarm.byName('shop_worker').Spec, Name: 'shop_hand' });
    await back('2');
    expect(swarm.names()).toEqual(['shop_api', 'shop_hand', 'shop_worker']);
    await back('2', { inputs: { prune: 'true' } });
    expect(swarm.names()).toEqual(['shop_api', 'shop_worker']);
  });

  it('does not judge what it leaves alone', async () => {
    await part({ api: 'api:1' });
    await part({ worker: 'worker:crash' }, {}, { 'on-failure': 'keep' });
    await part({ api: 'api:2' });
    await part({ api: 'api:3' });
    expect((await back()).report.outcome).toBe('deployed');
    expect(stack()).toEqual({ api: 'api:2', worker: 'worker:crash' });
  });

  it('undoes a change by hand first', async () => {
    await go('api:1');
    await go('api:2');
    byHand('api', 'api:7');
    const { report, log } = await back();
    expect(report.outcome).toBe('deployed');
    expect(imageNow()).toBe('api:2');
    expect(log.join('\n')).toContain('what runs now is not what any revision left');
    await back();
    expect(imageNow()).toBe('api:1');
  });

  it('goes back from what runs where a run died before it wrote anything', async () => {
    await go('api:1');
    await go('api:2');
    await go('api:3', { inputs: { 'on-failure': 'keep' } });
    const dead = swarm.objects.find(({ name }) => name === 'shop.revision.3');
    if (dead?.labels === undefined) throw new Error('there is no such revision');
    const { ['swarm-deploy.sealed']: sealed, ...labels } = dead.labels;
    expect(sealed).toBe('1');
    dead.labels = { ...labels, 'swarm-deploy.status': 'pending' };
    swarm.write('shop_api', swarm.byName('shop_api').PreviousSpec ?? { Name: '' });
    swarm.settle();
    expect(imageNow()).toBe('api:2');
    await back();
    expect(imageNow()).toBe('api:1');
  });

  it('says nothing of images where it did not come to them', async () => {
    await go('api:1');
    swarm.objects = swarm.objects.filter(({ name }) => name !== 'shop.revision.1.2');
    const { report } = await back('1');
    expect(report).toMatchObject({ outcome: 'invalid', reason: 'revision-incomplete' });
    expect(report.message).toMatch(/^revision 1 cannot be brought back/);
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

  it('brings it back however the newer run ended: that may be what has to be undone', async () => {
    await go('api:1', { run: A });
    await go('api:crash', { inputs: { 'on-failure': 'keep' } });
    expect(imageNow()).toBe('api:crash');
    const { report } = await go('api:crash', { run: { ...A, attempt: 2 } });
    expect(report.outcome).toBe('deployed');
    expect(imageNow()).toBe('api:1');
    await go('api:crash');
    const again = await go('api:crash', { run: { ...A, attempt: 3 } });
    expect(again.report.outcome).toBe('unchanged');
  });

  it('leaves alone what others deploy into the same stack', async () => {
    await part({ api: 'api:1' }, A);
    await part({ worker: 'worker:1' });
    await part({ api: 'api:2' });
    await part({ worker: 'worker:2' });
    const again = { ...A, attempt: 2 };
    expect((await part({ api: 'api:9' }, again)).report.outcome).toBe('deployed');
    expect(stack()).toEqual({ api: 'api:1', worker: 'worker:2' });
    // Such a stack there never was: an undo takes the re-run back, and nothing else.
    expect((await back()).report.outcome).toBe('deployed');
    expect(stack()).toEqual({ api: 'api:2', worker: 'worker:2' });
    await part({ api: 'api:9' }, { ...A, attempt: 3 }, { prune: 'true' });
    expect(stack()).toEqual({ api: 'api:1' });
  });

  it('of one job of a matrix brings back what that job deployed', async () => {
    await part({ api: 'api:1' }, A);
    await part({ worker: 'worker:1' }, A);
    await part({ api: 'api:2' });
    await part({ worker: 'worker:2' });
    await part({ api: 'api:9' }, { ...A, attempt: 2 });
    expect(stack()).toEqual({ api: 'api:1', worker: 'worker:2' });
    await part({ worker: 'worker:9' }, { ...A, attempt: 2 });
    expect(stack()).toEqual({ api: 'api:1', worker: 'worker:1' });
  });

  it('warns where its revision was dropped, even if older ones were not', async () => {
    await go('api:1', { inputs: { history: '3' } });
    await go('api:2', { inputs: { history: '3' }, run: A });
    await go('api:2', { inputs: { history: '3' } });
    await go('api:3', { inputs: { history: '3' } });
    expect((await history()).revisions.map(({ number }) => number)).toEqual([4, 3, 1]);
    const { report } = await go('api:3', { run: { ...A, attempt: 2 } });
    expect(report.warnings.join()).toContain('this is a re-run, and the history');
    expect(report.warnings.join()).toContain('tags may mean other images by now');
  });

  it('of a run that never got there is warned about where a newer commit runs', async () => {
    const old = { ...A, commit: '1'.repeat(40) };
    await go('api:crash', { run: old });
    await go('api:2', { run: { commit: '2'.repeat(40) } });
    const { report } = await go('api:1', { run: { ...old, attempt: 2 } });
    expect(report.outcome).toBe('deployed');
    expect(report.warnings.join()).toContain('an older commit now goes over a newer one');
  });

  it('of a rollback to the previous one brings back what that did, and says so', async () => {
    for (const image of ['api:1', 'api:2']) await go(image);
    await back('previous', { run: A });
    for (const image of ['api:3', 'api:4']) await go(image);
    const { report, log } = await back('previous', { run: { ...A, attempt: 2 } });
    expect(report.message).toMatch(/^Revision 1, .*, as this is a re-run\./);
    expect(log.join('\n')).toContain('this is a re-run: bringing back revision 1');
    expect(imageNow()).toBe('api:1');
  });

  it('of a rollback goes where it is told, or back once more where that is asked for', async () => {
    for (const image of ['api:1', 'api:2', 'api:3']) await go(image);
    await back('previous', { run: A });
    expect(imageNow()).toBe('api:2');
    await back('3', { run: { ...A, attempt: 2 } });
    expect(imageNow()).toBe('api:3');
    await back('previous', { run: { ...A, attempt: 3 }, inputs: { 'on-rerun': 'redeploy' } });
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

  it('status tells what runs from what should', async () => {
    await go('api:1');
    await go('api:2');
    const look = (): Promise<Attempt> => go('none', { inputs: { mode: 'status' } });
    expect((await look()).report).toMatchObject({ revision: 2, previousRevision: 1 });
    byHand('api', 'api:7');
    const changed = await look();
    expect(changed.report).toMatchObject({ revision: undefined, previousRevision: 2 });
    expect(changed.report.message).toContain(
      'The newest good revision is 2, but what runs now is something else',
    );
    expect(changed.log.join('\n')).not.toContain('runs now)');
    removeByHand('api');
    const gone = await look();
    expect(gone.report.message).toBe('There is no stack shop in the swarm.');
    expect(gone.log.join('\n')).not.toContain('runs now');
  });

  it('remove takes a history of which there is no stack any more, and says so', async () => {
    await go('api:crash');
    const { report } = await go('none', { inputs: { mode: 'remove' } });
    expect(report.outcome).toBe('removed');
    expect(report.message).toContain('There is no stack shop any more');
    expect(swarm.objects).toEqual([]);
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
    expect(await post(left)).toEqual([
      "revision 2 of shop, which is this run's, is ended as cancelled",
      'the lock of shop is given back',
    ]);
    await post(left);
    expect(configs()).not.toContain('shop.lock');
    expect(await statuses()).toEqual(['2 cancelled', '1 deployed']);
  });
});
