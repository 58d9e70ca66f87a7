/** Other hands and Swarm itself, at the moments in which they are easily mistaken for this run. */
import { beforeEach, expect, it } from '@jest/globals';
import { at, imageOf } from '../../src/model.js';
import { exits, FakeSwarm } from '../support/fake-swarm.js';
import { runAction, stackFile } from '../support/run-action.js';

let swarm: FakeSwarm;
beforeEach(() => {
  swarm = new FakeSwarm();
});
const file = (image: string): string =>
  stackFile({ api: { image, replicas: 3, failureAction: 'rollback' } });
const specs = (): unknown =>
  structuredClone([...swarm.services.values()].map(({ ID, Spec }) => [ID, Spec]));
const find = (name: string) => [...swarm.services.values()].find(({ Spec }) => Spec.Name === name);
const image = (name: string): string => imageOf(swarm.byName(name).Spec);
/** Somebody, or the engine by itself, writes another image. */
function writes(name: string, Image: string): void {
  const { Spec } = swarm.byName(name);
  const TaskTemplate = { ContainerSpec: { Image, Env: [] }, ForceUpdate: 0 };
  swarm.write(name, { ...Spec, TaskTemplate });
}
const stop = (cancel: AbortController): void => cancel.abort(new Error('cancelled by SIGINT'));

it('what the engine still does for a stopped command is put back, too', async () => {
  await runAction(swarm, { yaml: file('api:1') });
  const before = specs();
  const cancel = new AbortController();
  let due = Infinity;
  swarm.onCommand = (argv) => {
    if (!argv.includes('stack')) return undefined;
    // The engine asks the registry for a digest: the command is stopped, its request is not.
    due = swarm.clock.now() + 2000;
    stop(cancel);
    return exits(137, '');
  };
  swarm.onStep = () => {
    if (swarm.clock.now() < due) return;
    due = Infinity;
    writes('shop_api', 'api:2');
  };
  const inputs = { 'on-cancel': 'rollback' } as const;
  const { undos } = await runAction(swarm, { yaml: file('api:2'), cancel, inputs });
  await swarm.clock.sleep(3000);
  if (undos.at(-1) === undefined) expect(specs()).toEqual(before); // else `post` goes on
});

/** As swarmkit's checkPortConflicts: nobody gets a port that another service has. */
function holds(port: () => boolean, of: string): void {
  swarm.onRequest = (line) =>
    line === `POST /services/${find(of)?.ID ?? ''}/update` && port()
      ? {
          status: 400,
          body: '{"message":"rpc error: code = InvalidArgument desc = port \'80\' is already in use by service"}',
        }
      : undefined;
}

it('a port that a created service has taken over does not keep the way back', async () => {
  await runAction(swarm, { yaml: stackFile({ web: { image: 'web:1' } }) });
  const before = specs();
  holds(() => find('shop_proxy') !== undefined, 'shop_web');
  const yaml = stackFile({ web: { image: 'web:2' }, proxy: { image: 'proxy:crash' } });
  expect((await runAction(swarm, { yaml })).report.outcome).toBe('rolled-back');
  expect(specs()).toEqual(before);
});

it('nor does one that an updated service has taken over', async () => {
  const yaml = (n: number, more = {}): string =>
    stackFile({ a: { image: `a:${n}` }, b: { image: `b:${n}` }, ...more });
  await runAction(swarm, { yaml: yaml(1) });
  const before = specs();
  holds(() => image('shop_b').includes('b:2'), 'shop_a');
  const { report } = await runAction(swarm, { yaml: yaml(2, { c: { image: 'c:crash' } }) });
  expect(report.outcome).toBe('rolled-back');
  expect(specs()).toEqual(before);
});

const takenBy = (holder: string): string =>
  `failed to update service shop_web: Error response from daemon: rpc error: code = InvalidArgument desc = port '80' is already in use by service '${holder}' (abc) as an ingress port`;

it('a port that another service of the files has, as yet, is waited for', async () => {
  const yaml = (tag: number): string =>
    stackFile({ web: { image: `web:${tag}` }, proxy: { image: `proxy:${tag}` } });
  await runAction(swarm, { yaml: yaml(1) });
  let commands = 0;
  swarm.onCommand = (argv) => {
    if (!argv.includes('stack')) return undefined;
    commands += 1;
    return commands < 3 ? exits(1, takenBy('shop_proxy')) : undefined;
  };
  expect((await runAction(swarm, { yaml: yaml(2) })).report.outcome).toBe('deployed');
  expect(commands).toBe(3);
});

it('one that a service has which is not in the files is refused at once', async () => {
  await runAction(swarm, { yaml: file('api:1') });
  let commands = 0;
  swarm.onCommand = (argv) => {
    if (!argv.includes('stack')) return undefined;
    commands += 1;
    return exits(1, takenBy('shop_proxy'));
  };
  const { report } = await runAction(swarm, { yaml: file('api:2') });
  expect(report).toMatchObject({ outcome: 'invalid', reason: 'deploy-refused' });
  expect(commands).toBe(1);
});

it('one that the former name of a service has is told as such, after the way back, too', async () => {
  const yaml = (tag: number, web: string): string =>
    stackFile({ api: { image: `api:${tag}` }, [web]: { image: 'web:1' } });
  const inputs = { history: '10', prune: 'true' };
  await runAction(swarm, { yaml: yaml(1, 'proxy'), inputs });
  swarm.afterServiceWritten = () => takenBy('shop_proxy');
  const { report } = await runAction(swarm, { yaml: yaml(2, 'web'), inputs });
  expect(report).toMatchObject({ outcome: 'rolled-back', reason: 'deploy-refused' });
  expect(report.hint).toContain('docker service rm shop_proxy, then run this again');
  expect(swarm.names()).toEqual(['shop_api', 'shop_proxy']);
});

it('and so is one that newer services have, where the former one is to come back', async () => {
  const inputs = { history: '10' };
  await runAction(swarm, { yaml: stackFile({ proxy: { image: 'web:1' } }), inputs });
  swarm.services.delete(swarm.byName('shop_proxy').ID);
  await runAction(swarm, { yaml: stackFile({ web: { image: 'web:1' } }), inputs });
  swarm.onRequest = (line) =>
    line === 'POST /services/create'
      ? { status: 400, body: JSON.stringify({ message: takenBy('shop_web') }) }
      : undefined;
  const back = { ...inputs, mode: 'rollback', revision: '1' };
  const { report } = await runAction(swarm, { yaml: '', inputs: back });
  expect(report).toMatchObject({ outcome: 'invalid', reason: 'deploy-refused' });
  expect(report.hint).toContain('shop_web, which the revision does not have, has the port');
});

it.each([
  ['in one pass more', 'shop_b', true],
  ['not where it stays taken', 'shop_c', false],
])('mode: rollback brings back ports that have moved: %s', async (_, holder, comes) => {
  const yaml = (n: number): string => stackFile({ a: { image: `a:${n}` }, b: { image: `b:${n}` } });
  const inputs = { history: '10' };
  await runAction(swarm, { yaml: yaml(1), inputs });
  const before = specs();
  await runAction(swarm, { yaml: yaml(2), inputs });
  const after = specs();
  swarm.onRequest = (line) =>
    line === `POST /services/${find('shop_a')?.ID ?? ''}/update` &&
    (!comes || image('shop_b').includes('b:2'))
      ? { status: 400, body: JSON.stringify({ message: takenBy(holder) }) }
      : undefined;
  const back = { ...inputs, mode: 'rollback', revision: '1' };
  const { report } = await runAction(swarm, { yaml: yaml(2), inputs: back });
  expect(report.outcome).toBe(comes ? 'deployed' : 'invalid');
  expect(specs()).toEqual(comes ? before : after);
});

/** Two tasks in a slot of version 2, which only an updater that begins anew stops (as in deploy.test.ts). */
function untilNudged(then: () => void): void {
  let state: 'first' | 'doubled' | 'nudged' = 'first';
  swarm.onStep = () => {
    const api = find('shop_api');
    if (api === undefined) return;
    const [first] = swarm.running('shop_api');
    if (
      state === 'first' &&
      image('shop_api').includes('api:2') &&
      swarm.running('shop_api').length === 3
    ) {
      const one = swarm.tasks.find(({ ID }) => ID === first)!;
      swarm.tasks.push({ ...one, ID: 'second', Status: { ...one.Status } });
      state = 'doubled';
    }
    const marked = api.PreviousSpec && at(api.PreviousSpec, 'Labels', 'swarm-deploy.nudge') === 'x';
    if (state !== 'doubled' || marked !== true) return;
    swarm.tasks = swarm.tasks.filter(({ ID }) => ID !== 'second');
    state = 'nudged';
    then();
  };
}

it('what Swarm rolls back to after a nudge is put back', async () => {
  await runAction(swarm, { yaml: file('api:1') });
  const before = specs();
  untilNudged(() => {
    // The updater has begun anew, and a task fails within its monitor.
    const task = swarm.tasks.find(({ ID }) => ID === swarm.running('shop_api')[0])!;
    task.Status = { State: 'failed', Err: 'task: non-zero exit (1)' };
    swarm.byName('shop_api').UpdateStatus = { State: 'updating', Message: '', StartedAt: 'now' };
  });
  const step = swarm.onStep;
  swarm.onStep = (now) => {
    step(now);
    // It is of the very template that Swarm goes back to: the fake would pause for it again.
    if (find('shop_api')?.UpdateStatus?.State === 'rollback_started')
      swarm.tasks = swarm.tasks.filter(({ Status }) => Status.State !== 'failed');
  };
  const { report } = await runAction(swarm, {
    yaml: file('api:2'),
    inputs: { 'stable-for': '1m' },
  });
  expect(report.outcome).toBe('rolled-back');
  expect(specs()).toEqual(before);
});

it('on-cancel: rollback puts the stack back after a nudge', async () => {
  await runAction(swarm, { yaml: file('api:1') });
  const before = specs();
  const cancel = new AbortController();
  untilNudged(() => stop(cancel));
  const inputs = { 'on-cancel': 'rollback', 'stable-for': '1m' } as const;
  const { report } = await runAction(swarm, { yaml: file('api:2'), cancel, inputs });
  expect(report.message).toContain('verified to be as it was before');
  expect(specs()).toEqual(before);
});

it('a service that somebody removed, and that this deploy made again, is not "as it was before"', async () => {
  const yaml = (api: string, web: string): string =>
    stackFile({ api: { image: api }, web: { image: web } });
  await runAction(swarm, { yaml: yaml('api:1', 'web:1') });
  let gone = false;
  swarm.onCommand = (argv) => {
    if (!gone && argv.includes('stack')) gone = swarm.services.delete(swarm.byName('shop_web').ID);
    return undefined;
  };
  const { report } = await runAction(swarm, { yaml: yaml('api:crash', 'web:2') });
  expect([report.outcome, gone]).toEqual(['superseded', true]);
  expect(swarm.names()).toContain('shop_web');
});

it('wait: false is not green where Swarm is known to have rolled back', async () => {
  await runAction(swarm, { yaml: file('api:1'), inputs: { history: '10' } });
  swarm.afterServiceWritten = () => {
    swarm.settle();
    return undefined;
  };
  const inputs = { wait: 'false', history: '10' };
  const { report } = await runAction(swarm, { yaml: file('api:crash'), inputs });
  expect(swarm.byName('shop_api').UpdateStatus?.State).toBe('rollback_completed');
  expect(report).toMatchObject({ outcome: 'rolled-back', reason: 'rolled-back-by-swarm' });
});

it('mode: rollback to what Swarm is on its way back to is green', async () => {
  const inputs = { history: '10' };
  await runAction(swarm, { yaml: file('api:1'), inputs });
  writes('shop_api', 'api:crash');
  const state = (): string | undefined => swarm.byName('shop_api').UpdateStatus?.State;
  for (let n = 0; n < 50 && state() !== 'rollback_started'; n += 1) swarm.step();
  expect(state()).toBe('rollback_started');
  const { StartedAt = '' } = swarm.byName('shop_api').UpdateStatus ?? {};
  swarm.onRequest = () => {
    // Swarm keeps the time; the fake makes a new one for each state.
    const api = swarm.byName('shop_api');
    if (state() === 'rollback_completed') api.UpdateStatus = { ...api.UpdateStatus, StartedAt };
    return undefined;
  };
  const { report } = await runAction(swarm, {
    yaml: file('api:1'),
    inputs: { ...inputs, mode: 'rollback', revision: '1' },
  });
  expect([report.outcome, state()]).toEqual(['deployed', 'rollback_completed']);
});

it.each(['changes', 'removes'])(
  'what somebody %s meanwhile of what did not change does not keep the way back',
  async (verb) => {
    const yaml = (api: string): string =>
      stackFile({ api: { image: api }, web: { image: 'web:1' } });
    await runAction(swarm, { yaml: yaml('api:1') });
    let done = false;
    swarm.onRequest = (line) => {
      // Once the way back has begun.
      if (done || !/^POST .*update$/.test(line)) return undefined;
      done = true;
      if (verb === 'changes') writes('shop_web', 'web:theirs');
      else swarm.services.delete(swarm.byName('shop_web').ID);
      return undefined;
    };
    const { report } = await runAction(swarm, { yaml: yaml('api:crash') });
    expect([done, report.outcome]).toEqual([true, 'rolled-back']);
    expect(image('shop_api')).toMatch(/^api:1/);
  },
);

it('an update that was left half-way and goes on is not unchanged', async () => {
  await runAction(swarm, { yaml: file('api:1') });
  const [first] = swarm.running('shop_api');
  for (const task of swarm.tasks) if (task.ID === first) Object.assign(task, { template: 'old' });
  const { report } = await runAction(swarm, { yaml: file('api:1') });
  expect(swarm.running('shop_api')).not.toContain(first);
  expect(report).toMatchObject({ outcome: 'deployed', reason: '' });
  expect(report.services).toMatchObject([{ change: 'unchanged', outcome: 'healthy' }]);
  const again = await runAction(swarm, { yaml: file('api:1') });
  expect(again.report.outcome).toBe('unchanged');
});

it('mode: rollback goes on with a way back that Swarm has paused', async () => {
  const inputs = { history: '10' };
  await runAction(swarm, { yaml: file('api:1'), inputs });
  const api = swarm.byName('shop_api');
  const [first] = swarm.running('shop_api');
  const task = swarm.tasks.find(({ ID }) => ID === first);
  // Until the service is written again, one of its tasks stays as a failed deploy has left it.
  api.UpdateStatus = { State: 'rollback_paused', StartedAt: '2026-01-01T00:00:00Z' };
  const { template = '' } = task ?? {};
  const step = swarm.step.bind(swarm);
  swarm.step = () => {
    const paused = api.UpdateStatus?.State === 'rollback_paused';
    Object.assign(task ?? {}, { template: paused ? template : 'of api:2' });
    step();
    if (paused) Object.assign(task ?? {}, { template: 'of api:2' });
  };
  swarm.step();
  const { report } = await runAction(swarm, {
    yaml: file('api:1'),
    inputs: { ...inputs, mode: 'rollback', revision: '1' },
  });
  // No spec is another one, but not all of it ran already.
  expect(report).toMatchObject({ outcome: 'deployed', reason: '' });
  expect(swarm.running('shop_api')).toHaveLength(3);
  expect(swarm.running('shop_api')).not.toContain(first);
});

it('Swarm’s own rollback of a service before its wave is nobody else’s write', async () => {
  const healthcheck = { test: 'true' };
  const yaml = (db: string, api: string): string =>
    JSON.stringify({
      services: {
        api: {
          ...{ image: api, healthcheck, depends_on: { db: { condition: 'service_healthy' } } },
          deploy: { replicas: 1, update_config: { failure_action: 'rollback' } },
        },
        db: { image: db, deploy: { replicas: 1 }, healthcheck },
      },
    });
  await runAction(swarm, { yaml: yaml('db:1', 'api:1') });
  // As a run leaves it that was cancelled: Swarm rolls it back while db is waited for.
  writes('shop_api', 'api:crash');
  const { report } = await runAction(swarm, { yaml: yaml('db:2', 'api:2') });
  expect(report.outcome).toBe('deployed');
});

it.each([
  ['api:2', 'deployed', 'api:2'],
  ['api:1', 'deployed', 'api:1'],
  ['api:crash2', 'rolled-back', 'api:1'],
])('nor is it one right before the write: %s is %s, %s runs', async (next, outcome, runs) => {
  await runAction(swarm, { yaml: file('api:1') });
  // As a run leaves it that was cancelled.
  writes('shop_api', 'api:crash');
  swarm.onCommand = (argv) => {
    const state = (): string | undefined => swarm.byName('shop_api').UpdateStatus?.State;
    if (argv.includes('stack')) while (state() !== 'rollback_completed') swarm.step();
    return undefined;
  };
  const { report } = await runAction(swarm, { yaml: file(next) });
  expect(report.outcome).toBe(outcome);
  expect(image('shop_api').split('@')[0]).toBe(runs);
});
