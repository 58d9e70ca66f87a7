/** Runs that are told to stop, on a fake swarm: what they still write, and what they leave to `post`. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { parseInputs, inputDefaults, type InputName } from '../../src/inputs.js';
import { undoFrom } from '../../src/modes/cancel.js';
import { finishUndo } from '../../src/post.js';
import { runFacts } from '../../src/ledger/run.js';
import type { LeaseState } from '../../src/ledger/lease.js';
import { imageOf } from '../../src/model.js';
import { createNarrator } from '../../src/report/narrator.js';
import type { RollBackResult } from '../../src/rollout/rollback.js';
import { FakeSwarm } from '../support/fake-swarm.js';
import { runAction, stackFile, type Attempt } from '../support/run-action.js';

let swarm: FakeSwarm;
let cancel: AbortController;

beforeEach(() => {
  swarm = new FakeSwarm();
  cancel = new AbortController();
});

const file = (image: string, ...more: readonly string[]): string =>
  stackFile({
    api: { image, replicas: 3 },
    web: { image: 'web:1', replicas: 2 },
    ...Object.fromEntries(more.map((name) => [name, { image: 'web:1' }])),
  });
const V1 = file('api:1');
const ROLLBACK = { 'on-cancel': 'rollback' } as const;

async function standing(yaml = V1): Promise<void> {
  expect((await runAction(swarm, { yaml })).report.outcome).toBe('deployed');
  swarm.writes.length = 0;
}

const specs = (): Record<string, unknown> =>
  structuredClone(
    Object.fromEntries([...swarm.services.values()].map(({ Spec }) => [Spec.Name, Spec])),
  );

const stop = (): void => cancel.abort(new Error('cancelled by SIGINT'));

/** Cancels once the swarm has begun with the new version. */
function stopInWatch(then: () => void = () => undefined): void {
  swarm.onStep = () => {
    if (cancel.signal.aborted || swarm.byName('shop_api').UpdateStatus?.State !== 'updating')
      return;
    stop();
    then();
  };
}

/** What `post` does with what a run has left. */
async function post(
  { undos }: Attempt,
  lease?: LeaseState,
): Promise<Pick<RollBackResult, 'outcome' | 'message'>> {
  const text = undos.at(-1);
  if (text === undefined) throw new Error('nothing was left to put back');
  const raw: Partial<Record<InputName, string>> = {
    ...{ stack: 'shop', host: 'local', 'stable-for': '1s', ...ROLLBACK },
  };
  const inputs = parseInputs((name) => raw[name] ?? inputDefaults[name], {
    agentSocket: undefined,
    checkPrivateKey: () => undefined,
  });
  const { signal } = new AbortController();
  const log = (): void => undefined;
  return await finishUndo(
    {
      inputs: () => inputs,
      renderStack: () => {
        throw new Error('post reads no files');
      },
      connect: () => swarm.connect,
      checks: () => [],
      probe: () => Promise.reject(new Error('post checks nothing')),
      narrator: createNarrator(
        { line: log, warning: log, notice: log, startGroup: log, endGroup: log },
        swarm.clock,
      ),
      clock: swarm.clock,
      today: () => new Date(0),
      randomName: () => '0'.repeat(32),
      run: runFacts({}),
      rememberWorkspace: log,
      rememberLeft: log,
      rememberUndo: log,
      ...{ signal, hurry: signal, over: signal },
    },
    inputs,
    undoFrom(text),
    lease,
  );
}

describe('on-cancel: keep', () => {
  it('writes nothing more, and says where the rollout stands', async () => {
    await standing();
    let writes = -1;
    stopInWatch(() => (writes = swarm.writes.length));
    const attempt = await runAction(swarm, { yaml: file('api:2'), cancel });
    expect(attempt.report).toMatchObject({ outcome: 'cancelled', reason: 'cancelled' });
    expect(attempt.report.message).toMatch(/Last seen: shop_api \d\/3 up to date and running/);
    expect(attempt.report.hint).toContain('docker stack services shop');
    expect(swarm.writes).toHaveLength(writes);
    expect(attempt.undos).toEqual([undefined]);
  });

  it('says so where it was being rolled back', async () => {
    await standing();
    swarm.onStep = () => {
      if (swarm.writes.length > 2 && !cancel.signal.aborted) stop();
    };
    const attempt = await runAction(swarm, { yaml: file('api:crash'), cancel });
    expect(attempt.report.outcome).toBe('cancelled');
    expect(attempt.report.message).toContain('It was being rolled back.');
  });

  it('before anything is deployed says that nothing was touched', async () => {
    await standing();
    swarm.onCommand = (argv) => {
      if (argv.join(' ').includes('mkdir')) stop();
      return undefined;
    };
    const attempt = await runAction(swarm, { yaml: file('api:2'), cancel });
    expect(attempt.report).toMatchObject({ outcome: 'cancelled' });
    expect(attempt.report.message).toContain('no service was touched');
    expect(swarm.writes).toEqual([]);
  });
});

describe('on-cancel: rollback', () => {
  it('puts the stack back and verifies it, where there is time', async () => {
    await standing();
    const before = specs();
    stopInWatch();
    const attempt = await runAction(swarm, {
      yaml: file('api:2', 'extra'),
      cancel,
      inputs: ROLLBACK,
    });
    expect(attempt.report).toMatchObject({ outcome: 'cancelled', reason: 'cancelled' });
    expect(attempt.report.message).toContain('verified to be as it was before');
    expect(specs()).toEqual(before);
    const outcomes = attempt.report.services.map(({ name, outcome }) => [name, outcome]);
    expect(outcomes).toContainEqual(['shop_api', 'restored']);
    expect(outcomes).toContainEqual(['shop_extra', 'removed']);
    expect(attempt.undos.at(-1)).toBeUndefined();
  });

  it('writes the former specs before it watches, and leaves the rest to post', async () => {
    await standing();
    const before = specs();
    const hurry = new AbortController();
    stopInWatch();
    swarm.onRequest = (line) => {
      if (cancel.signal.aborted && line.includes('/update')) hurry.abort(new Error('no time'));
      return undefined;
    };
    const attempt = await runAction(swarm, {
      yaml: file('api:2'),
      cancel,
      hurry,
      inputs: ROLLBACK,
    });
    expect(attempt.report.outcome).toBe('cancelled');
    expect(attempt.report.message).toContain('post step goes on');
    expect(specs()).toEqual(before);
    // Written already, so that only what was kept says which services have to be looked at.
    expect(undoFrom(attempt.undos.at(-1) ?? '').begun).toEqual(['shop_api']);
    swarm.onRequest = () => undefined;
    expect(await post(attempt)).toMatchObject({
      outcome: 'rolled-back',
      message: 'The stack is verified to be as it was before.',
    });
    expect(specs()).toEqual(before);
  });

  it('is done by post alone where the run had no time at all', async () => {
    await standing();
    const before = specs();
    const hurry = new AbortController();
    stopInWatch(() => hurry.abort(new Error('no time')));
    const attempt = await runAction(swarm, {
      ...{ yaml: file('api:2', 'extra'), cancel, hurry, inputs: ROLLBACK },
    });
    expect(attempt.report.outcome).toBe('cancelled');
    expect(specs()).not.toEqual(before);
    expect(await post(attempt)).toMatchObject({
      outcome: 'rolled-back',
      message: 'The stack is verified to be as it was before.',
    });
    expect(specs()).toEqual(before);
    expect(await post(attempt)).toMatchObject({ outcome: 'rolled-back' });
  });

  it('leaves alone what somebody else has changed since', async () => {
    await standing();
    const hurry = new AbortController();
    stopInWatch(() => hurry.abort(new Error('no time')));
    const attempt = await runAction(swarm, {
      yaml: file('api:2'),
      cancel,
      hurry,
      inputs: ROLLBACK,
    });
    const { Spec } = swarm.byName('shop_api');
    const theirs = { ...Spec, TaskTemplate: { ContainerSpec: { Image: 'api:9', Env: [] } } };
    swarm.write('shop_api', theirs);
    expect(await post(attempt)).toMatchObject({ outcome: 'superseded' });
    expect(swarm.byName('shop_api').Spec).toEqual(theirs);
  });

  it('does not touch a stack whose lock somebody else has', async () => {
    await standing();
    const hurry = new AbortController();
    stopInWatch(() => hurry.abort(new Error('no time')));
    const attempt = await runAction(swarm, {
      ...{ yaml: file('api:2'), cancel, hurry, inputs: { ...ROLLBACK, lock: 'true' } },
    });
    const { lease } = attempt.left;
    if (lease === undefined) throw new Error('the lock is not left to post');
    const now = specs();
    expect(await post(attempt, { ...lease, holder: 'f'.repeat(32) })).toMatchObject({
      outcome: 'superseded',
      message: expect.stringContaining('was lost to') as unknown as string,
    });
    expect(specs()).toEqual(now);
    expect(await post(attempt, lease)).toMatchObject({ outcome: 'rolled-back' });
    expect(specs()).not.toEqual(now);
  });

  it('leaves alone what a later run has deployed, which took the lock over and gave it back', async () => {
    await standing();
    const hurry = new AbortController();
    stopInWatch();
    swarm.onRequest = (line) => {
      if (cancel.signal.aborted && line.includes('/services/') && line.includes('/update'))
        hurry.abort(new Error('no time'));
      return undefined;
    };
    const attempt = await runAction(swarm, {
      yaml: file('api:2'),
      cancel,
      hurry,
      inputs: { ...ROLLBACK, lock: 'true' },
    });
    expect(attempt.report.outcome).toBe('cancelled');
    const { lease } = attempt.left;
    if (lease === undefined) throw new Error('the lock is not left to post');
    swarm.onRequest = () => undefined;
    swarm.onStep = () => undefined;
    // A step with if: always() takes a minute before post has its turn.
    const next = await runAction(swarm, { yaml: file('api:3'), inputs: { lock: 'true' } });
    expect(next.report.outcome).toBe('deployed');
    expect(next.log.join('\n')).toContain('took over the lock');
    const theirs = specs();
    const result = await post(attempt, lease);
    expect([result, imageOf(swarm.byName('shop_api').Spec)]).toMatchObject([
      { outcome: 'superseded' },
      expect.stringContaining('api:3'),
    ]);
    expect(specs()).toEqual(theirs);
  });

  it('does not take back a deploy that was verified before the run was cut short', async () => {
    await standing(file('api:1', 'old'));
    const over = new AbortController();
    swarm.onRequest = (line) => {
      if (line.startsWith('DELETE /services/')) {
        stop();
        over.abort(new Error('x'));
      }
      return undefined;
    };
    const inputs = { ...ROLLBACK, prune: 'true' };
    const attempt = await runAction(swarm, { yaml: file('api:2'), cancel, over, inputs });
    expect(attempt.report.outcome).toBe('cancelled');
    await new Promise((resolve) => setTimeout(resolve, 100));
    swarm.onRequest = () => undefined;
    const names = swarm.names();
    const left = attempt.undos.at(-1);
    const result = left === undefined ? 'nothing is put back' : await post(attempt);
    expect([names, result, imageOf(swarm.byName('shop_api').Spec)]).toEqual([
      ['shop_api', 'shop_web'],
      'nothing is put back',
      expect.stringContaining('api:2'),
    ]);
  });

  it('what the engine refuses is a result, and one line', async () => {
    await standing();
    const hurry = new AbortController();
    stopInWatch(() => hurry.abort(new Error('no time')));
    const attempt = await runAction(swarm, {
      ...{ yaml: file('api:2'), cancel, hurry, inputs: ROLLBACK },
    });
    swarm.onRequest = (line) =>
      line.startsWith('GET /services')
        ? { status: 400, body: JSON.stringify({ message: 'no\n::stop-commands::x' }) }
        : undefined;
    const result = await post(attempt);
    expect(result.outcome).toBe('rollback-failed');
    expect(result.message).not.toMatch(/\n/);
  });

  it('keeps what is verified already', async () => {
    await standing(file('api:1', 'old'));
    swarm.onRequest = (line) => {
      if (line.startsWith('DELETE /services/')) stop();
      return undefined;
    };
    const inputs = { ...ROLLBACK, prune: 'true' };
    const attempt = await runAction(swarm, { yaml: file('api:2'), cancel, inputs });
    expect(attempt.report.outcome).toBe('cancelled');
    expect(imageOf(swarm.byName('shop_api').Spec)).toContain('api:2');
    expect(attempt.undos.at(-1)).toBeUndefined();
  });
});

it('reports even where something holds the run up', async () => {
  await standing();
  const over = new AbortController();
  swarm.onStep = () => {
    if (cancel.signal.aborted) return;
    stop();
    over.abort(new Error('cancelled by SIGINT'));
  };
  const attempt = await runAction(swarm, { yaml: file('api:2'), cancel, over });
  expect(attempt.report).toMatchObject({ outcome: 'cancelled', reason: 'cancelled' });
});

it('does not wait for a connection that is still being made', async () => {
  const late = new Promise<never>(() => undefined);
  setTimeout(stop, 10);
  const attempt = await runAction(swarm, { yaml: V1, cancel, connect: () => late });
  expect(attempt.report).toMatchObject({ outcome: 'cancelled', manager: '' });
});

it('removes what a dead run, whose lock it takes over, has left on the manager', async () => {
  await standing();
  stopInWatch();
  const dead = await runAction(swarm, { yaml: file('api:2'), cancel, inputs: { lock: 'true' } });
  const holder = dead.left.lease?.holder ?? '';
  expect(dead.remembered.at(0)).toBe(`swarm-deploy-${holder}`);
  // As if it had come to no clean-up.
  swarm.disk.set(`/tmp/swarm-deploy-${holder}`, 'directory');
  swarm.disk.set(`/tmp/swarm-deploy-${holder}/docker/config.json`, Buffer.from('{}'));
  const next = await runAction(swarm, { yaml: file('api:3'), inputs: { lock: 'true' } });
  expect(next.report.outcome).toBe('deployed');
  expect(next.log.join('\n')).toContain('took over the lock');
  expect(swarm.left()).toEqual([]);
});
