/** `mode: plan` on a pretended swarm: what it says, and that it leaves everything as it is. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { outputsOf, reportOf, summaryOf } from '../../src/report/render.js';
import { exits, FakeSwarm } from '../support/fake-swarm.js';
import { givePlanningCli, type PlanningCli } from '../support/planning-swarm.js';
import { runAction, stackFile, type Asked, type Attempt } from '../support/run-action.js';

let swarm: FakeSwarm;
let cli: PlanningCli;

beforeEach(() => {
  swarm = new FakeSwarm();
  cli = givePlanningCli(swarm);
});

/** Whatever a plan comes to, it leaves nothing behind. */
afterEach(() => {
  expect(swarm.left()).toEqual([]);
  expect(cli.held()).toBe(0);
});

const deploy = (yaml: string, inputs: Asked['inputs'] = {}): Promise<Attempt> =>
  runAction(swarm, { yaml, inputs: { lock: 'true', history: '10', ...inputs } });

/** Plans, and makes sure that nothing in the swarm has moved, its counters included. */
async function plan(yaml: string, asked: Partial<Asked> = {}): Promise<Attempt> {
  const state = (): string =>
    JSON.stringify(
      [[...swarm.services.values()], swarm.objects, swarm.writes],
      (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value),
    );
  const [before, asking] = [state(), swarm.requests.length];
  const attempt = await runAction(swarm, {
    yaml,
    ...asked,
    inputs: { mode: 'plan', lock: 'true', history: '10', ...asked.inputs },
  });
  expect(state()).toBe(before);
  expect(
    swarm.requests.slice(asking).filter((request) => !/^(GET|POST \/auth)/.test(request)),
  ).toEqual([]);
  expect(attempt.remembered.at(-1)).toBe('');
  expect(attempt.left).toEqual({});
  return attempt;
}

const API = { image: 'api:1', replicas: 2, environment: ['TOKEN=first-value'] };

describe('a plan', () => {
  it('of a new stack creates all of it', async () => {
    const { report, log } = await plan(stackFile({ api: API, web: { image: 'web:1' } }));
    expect(report).toMatchObject({
      outcome: 'planned',
      reason: '',
      message: 'A deploy would make these changes: 2 services created, 1 network created.',
      services: [
        { name: 'shop_api', change: 'created', image: 'api:1', outcome: 'untouched' },
        { name: 'shop_web', change: 'created' },
      ],
    });
    expect(log).toContain('  + network shop_default: created');
    expect(log.join('\n')).toMatch(/\+ service shop_api: created, api:1@sha256:\w{12}, 2 tasks/);
    const outputs = outputsOf(report);
    expect(outputs.get('has-changes')).toBe('true');
    expect(outputs.get('changed-services')).toBe('["shop_api","shop_web"]');
  });

  it('right after a deploy of the same has no changes', async () => {
    const yaml = stackFile({ api: API, agent: { image: 'agent:1', global: true } });
    expect((await deploy(yaml)).report.outcome).toBe('deployed');
    const { report } = await plan(yaml);
    expect(report).toMatchObject({
      outcome: 'planned',
      message: 'No changes: a deploy would leave every service as it is.',
    });
    expect(outputsOf(report).get('has-changes')).toBe('false');
    expect(outputsOf(report).get('changed-services')).toBe('[]');
    expect(summaryOf(report)).toMatch(/^## ✅ A deploy would not change shop/);
  });

  it('of an update tells each field, and no value of a variable', async () => {
    await deploy(stackFile({ api: API, web: { image: 'web:1' } }));
    const { report, log } = await plan(
      stackFile({
        api: { ...API, image: 'api:2', environment: ['TOKEN=second-value', 'NEW=x-new-value'] },
        web: { image: 'web:1', replicas: 3 },
      }),
    );
    const summary = summaryOf(report);
    expect(summary).toContain('```diff\n! service shop_api: updated, its tasks restart\n');
    expect(summary).toMatch(
      /\n- {3}image: api:1@sha256:\w{12}\n\+ {3}image: api:2@sha256:\w{12}\n/,
    );
    expect(summary).toContain('\n!   environment.TOKEN: changed (value not shown)\n');
    expect(summary).toContain('\n+   environment.NEW: added (value not shown)\n');
    expect(summary).toContain('\n! service shop_web: updated, no task restarts, 2 tasks more\n');
    expect(summary).toContain('\n-   deploy.replicas: 1\n+   deploy.replicas: 3\n');
    const all = [reportOf(report), summary, ...log].join('\n');
    expect(all).not.toMatch(/first-value|second-value|new-value/);
    expect(JSON.parse(reportOf(report))).toMatchObject({
      plan: { hasChanges: true, services: [{ restarts: 'all' }, { restarts: 'none' }] },
    });
  });

  it('removes with prune what is not in the files, and says what is left without', async () => {
    await deploy(stackFile({ api: API, old: { image: 'old:1' } }));
    const yaml = stackFile({ api: API });
    const left = await plan(yaml);
    expect(outputsOf(left.report).get('has-changes')).toBe('false');
    expect(left.report.message).toMatch(/ 1 service not in the files is left running\.$/);
    const removed = await plan(yaml, { inputs: { prune: 'true' } });
    expect(outputsOf(removed.report).get('changed-services')).toBe('["shop_old"]');
    expect(removed.log).toContain(
      '  - service shop_old: removed, as it is not in the files (prune)',
    );
  });

  it('takes no lock: it goes on while another run has it', async () => {
    const yaml = stackFile({ api: API });
    await deploy(yaml);
    const holding = deploy(stackFile({ api: { ...API, image: 'api:slow' } }));
    await new Promise((resolve) => setImmediate(resolve));
    const { report } = await runAction(swarm, {
      yaml,
      inputs: { mode: 'plan', lock: 'true', 'lock-timeout': '0s' },
    });
    expect(report.outcome).toBe('planned');
    await holding;
  });

  it('logs into registries as a deploy does, and leaves no login behind', async () => {
    swarm.logins.set('registry.example.com', 'pass-word-1');
    const inputs = {
      registry: 'registry.example.com',
      'registry-username': 'user',
      'registry-password': 'pass-word-1',
    };
    const good = await plan(stackFile({ api: API }), { inputs });
    expect(good.report.outcome).toBe('planned');
    const command = swarm.commands.find(({ argv }) => argv.includes('stack'))?.argv ?? [];
    expect(command[command.indexOf('--config') + 1]).toMatch(/^\/tmp\/swarm-deploy-\w+\/docker$/);
    const bad = await plan(stackFile({ api: API }), {
      inputs: { ...inputs, 'registry-password': 'wrong' },
    });
    expect(bad.report).toMatchObject({ outcome: 'invalid', reason: 'registry-auth' });
  });
});

it('warns of a change of mode, which Swarm refuses', async () => {
  await deploy(stackFile({ api: API }));
  const { report } = await plan(stackFile({ api: { ...API, global: true } }));
  expect(report.warnings).toEqual([
    expect.stringContaining('shop_api is replicated and would become global') as unknown,
  ]);
});

describe('no plan', () => {
  it('where a check of the deploy cannot be made: invalid, with the same words', async () => {
    const verify = 'https://shop.example/ contains ${NONE}';
    const { report } = await deploy(stackFile({ api: API }), { mode: 'plan', verify });
    expect(report).toMatchObject({ outcome: 'invalid', reason: 'variable-unset' });
    const deployed = await deploy(stackFile({ api: API }), { verify });
    expect(deployed.report).toMatchObject({ outcome: 'invalid', message: report.message });
  });

  it('where Docker refuses the files: invalid, in its words', async () => {
    swarm.onCommand = (argv) =>
      argv.includes('stack')
        ? exits(1, 'services.api Additional property x is not allowed')
        : undefined;
    const { report } = await plan(stackFile({ api: API }));
    expect(report).toMatchObject({ outcome: 'invalid', reason: 'compose-invalid' });
    expect(report.message).toContain('Additional property x');
    expect(outputsOf(report).get('has-changes')).toBe('');
  });

  it('where the CLI asks for what a plan does not know: nothing is passed on', async () => {
    cli.extra = async (ask) => {
      await ask('DELETE', '/services/service000001');
    };
    const { report } = await plan(stackFile({ api: API }));
    expect(report).toMatchObject({ outcome: 'failed', reason: 'internal' });
    expect(report.message).toContain('DELETE /services/service000001');
  });

  it('of a run that was cancelled', async () => {
    const cancel = new AbortController();
    cli.extra = () => {
      cancel.abort(new Error('cancelled'));
      return new Promise(() => undefined);
    };
    const { report } = await plan(stackFile({ api: API }), { cancel });
    expect(report).toMatchObject({ outcome: 'cancelled', reason: 'cancelled' });
  });
});

it('is made again where the connection is lost on the way', async () => {
  let times = 0;
  cli.extra = () => {
    times += 1;
    if (times === 1) swarm.cut();
    return Promise.resolve();
  };
  const { report, log } = await plan(stackFile({ api: API }));
  expect(report).toMatchObject({ outcome: 'planned', services: [{ change: 'created' }] });
  expect(times).toBe(2);
  expect(log.join('\n')).toContain('connection lost');
});

it('warns of an image that its registry does not give, and of no other', async () => {
  cli.extra = async (ask) => {
    for (const image of ['api:missing', 'web:1', 'down:1'])
      await ask('GET', `/distribution/${image}/json`).catch(() => undefined);
  };
  swarm.onRequest = (request) =>
    request === 'GET /distribution/down:1/json'
      ? { status: 500, body: 'connection refused' }
      : undefined;
  const { log } = await plan(stackFile({ api: API }));
  expect(log.filter((line) => line.includes('is not to be had'))).toEqual([
    'warning: api:missing is not to be had from its registry (manifest unknown: manifest unknown): ' +
      'a deploy would fail, unless the nodes have the image already',
  ]);
});
