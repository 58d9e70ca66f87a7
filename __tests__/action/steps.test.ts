/** What the picture of a run says became of each of its steps: none is well in which the run failed. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { RunReport } from '../../src/report/outcome.js';
import { summaryOf } from '../../src/report/render.js';
import { FakeSwarm } from '../support/fake-swarm.js';
import { logOf } from '../support/log-frames.js';
import { runAction, stackFile, type Asked } from '../support/run-action.js';

let swarm: FakeSwarm;

beforeEach(() => {
  swarm = new FakeSwarm();
  swarm.onLog = () => ({ bytes: logOf('fatal: no database') });
});

const run = async (image: string, more: Partial<Asked> = {}): Promise<RunReport> => {
  const yaml = stackFile({ api: { image, replicas: 2 } });
  return (await runAction(swarm, { yaml, ...more })).report;
};

const steps = ({ bars = [] }: RunReport): readonly string[] =>
  bars
    .filter(({ kind, name }) => kind === 'step' && !name.startsWith('Log of '))
    .map(({ name, state }) => `${name}: ${state}`);

const refuseUpdates = (): void => {
  swarm.onRequest = (request) =>
    /^POST \/services\/.*\/update/.test(request)
      ? { status: 400, body: '{"message":"no"}' }
      : undefined;
};
const verify = { verify: 'https://shop.example/' };

describe('the steps of a run', () => {
  beforeEach(async () => {
    expect((await run('api:1')).outcome).toBe('deployed');
  });

  it('are done where all is well', async () => {
    expect(steps(await run('api:2'))).toEqual(['Deploy the stack: done', 'Watch the tasks: done']);
    expect(steps(await run('api:2', { inputs: { mode: 'remove' } }))).toEqual([
      'Remove the services: done',
      'Wait for the tasks to be gone: done',
      'Remove networks, configs and secrets: done',
    ]);
  });

  it('have failed where the tasks do, and the way back is done', async () => {
    const report = await run('api:crash');
    expect(report.outcome).toBe('rolled-back');
    expect(steps(report)).toEqual([
      'Deploy the stack: done',
      'Watch the tasks: failed',
      'Roll back: done',
    ]);
    expect(summaryOf(report)).toMatch(/^ {2}✗ Watch the tasks .*:crit, /m);
  });

  it('have failed where the way back does', async () => {
    refuseUpdates();
    const report = await run('api:crash');
    expect(report.outcome).toBe('rollback-failed');
    expect(steps(report).slice(1)).toEqual(['Watch the tasks: failed', 'Roll back: failed']);
  });

  it('have failed where a check does', async () => {
    expect(steps(await run('api:2', { inputs: verify })).slice(1)).toEqual([
      'Watch the tasks: done',
      'Verify: failed',
      'Roll back: done',
    ]);
  });

  it('have failed where Docker refuses the stack', async () => {
    swarm.onCommand = (argv) =>
      argv.includes('deploy')
        ? { code: 1, stdout: Buffer.from(''), stderr: Buffer.from('no such option') }
        : undefined;
    expect(steps(await run('api:2'))).toEqual(['Deploy the stack: failed']);
  });

  it('have failed where something keeps what is to be removed', async () => {
    swarm.onRequest = (request) =>
      /^DELETE \/networks\//.test(request)
        ? { status: 403, body: '{"message":"network has active endpoints"}' }
        : undefined;
    const report = await run('api:1', { inputs: { mode: 'remove', timeout: '1m' } });
    expect(report.outcome).toBe('failed');
    expect(steps(report).at(-1)).toBe('Remove networks, configs and secrets: failed');
  });

  it('are cut off where the run is cancelled, and have not failed', async () => {
    const cancel = new AbortController();
    swarm.onStep = () => {
      if (swarm.byName('shop_api').UpdateStatus?.State === 'updating')
        cancel.abort(new Error('cancelled by SIGINT'));
    };
    const report = await run('api:2', { cancel });
    expect(report.outcome).toBe('cancelled');
    expect(steps(report).at(-1)).toMatch(/: open$/);
    expect(steps(report).join()).not.toContain('failed');
    expect(summaryOf(report)).toMatch(/^ {2}… Watch the tasks .*:done, /m);
  });
});
