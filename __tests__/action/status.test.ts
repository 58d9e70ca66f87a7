/** `mode: status` on a pretended swarm: what it shows, and that it only looks. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { reportOf, summaryOf } from '../../src/report/render.js';
import { FakeSwarm } from '../support/fake-swarm.js';
import { runAction, stackFile, type Asked, type Attempt } from '../support/run-action.js';

let swarm: FakeSwarm;
let runs = 0;

beforeEach(() => {
  swarm = new FakeSwarm();
});

async function go(yaml: string, inputs: Asked['inputs'] = {}): Promise<Attempt> {
  runs += 1;
  const runId = String(1000 + runs);
  return await runAction(swarm, {
    yaml,
    inputs: { lock: 'true', history: '10', ...inputs },
    run: { repository: 'o/r', runId, runNumber: runId, runUrl: `https://x/${runId}` },
  });
}

/** Looks, and makes sure that nothing was written and no command of a deploy was run. */
async function look(): Promise<Attempt> {
  const [writes, commands] = [swarm.writes.length, swarm.commands.length];
  const attempt = await go('', { mode: 'status' });
  expect(swarm.writes).toHaveLength(writes);
  expect(swarm.commands.slice(commands).map(({ argv }) => argv.at(-1))).toEqual(['--version']);
  expect(attempt.report).toMatchObject({ outcome: 'reported', reason: '' });
  return attempt;
}

/** The lines under a title. */
function under(log: readonly string[], title: string): readonly string[] {
  const start = log.indexOf(title) + 1;
  const rest = start === 0 ? [] : log.slice(start);
  const end = rest.findIndex((line) => !line.startsWith('  '));
  return (end < 0 ? rest : rest.slice(0, end)).map((line) => line.slice(2));
}

describe('a stack that is well', () => {
  it('is shown with its history in log, summary and report', async () => {
    await go(
      stackFile({
        api: { image: 'api:1', replicas: 2 },
        agent: { image: 'agent:1', global: true },
      }),
    );
    await go(
      stackFile({
        api: { image: 'api:2', replicas: 2 },
        agent: { image: 'agent:1', global: true },
      }),
    );
    const { report, log } = await look();
    expect(report).toMatchObject({ revision: 2, previousRevision: 1 });
    expect(report.message).toBe('Its 2 services are as they are meant to be.');

    const [head, agent, api] = under(log, 'Services of shop');
    expect(head).toMatch(/^SERVICE +MODE +RUNNING +IMAGE +HEALTH/);
    expect(agent).toMatch(
      /^shop_agent +global +3\/3 +agent:1@sha256:[0-9a-f]{12} +running, healthcheck unknown/,
    );
    expect(api).toMatch(
      /^shop_api +replicated +2\/2 +api:2@sha256:[0-9a-f]{12} +running, healthcheck unknown +completed/,
    );
    expect(under(log, 'Tasks that do not run, or have failed')).toEqual([]);
    expect(under(log, 'History of shop').map((line) => line.split(/ {2,}/)[0])).toEqual([
      'REVISION',
      '2 (runs now)',
      '1 (previous)',
    ]);

    const summary = summaryOf(report);
    expect(summary).toMatch(/^## ✅ /);
    expect(summary.match(/^### .*/gm)).toEqual(['### Services', '### History']);

    const json = JSON.parse(reportOf(report)) as Record<string, unknown>;
    expect(json).toMatchObject({
      services: [
        { name: 'shop_agent', outcome: 'healthy', state: { mode: 'global', health: 'running' } },
        { name: 'shop_api', outcome: 'healthy', state: { mode: 'replicated', tasks: [] } },
      ],
      history: [{ number: 2, status: 'deployed' }, { number: 1 }],
    });
  });

  it('is healthy where its images have a healthcheck', async () => {
    await go(stackFile({ api: { image: 'api:1' }, web: { image: 'web:1' } }));
    swarm.onRequest = (request) => {
      const image = /^GET \/images\/(\w+)/.exec(request)?.[1];
      if (image === undefined) return undefined;
      const Healthcheck = image === 'api' ? { Test: ['CMD', 'x'] } : null;
      return { status: 200, body: JSON.stringify({ Config: { Healthcheck } }) };
    };
    const { report } = await look();
    expect(report.services.map(({ state }) => state?.health)).toEqual([
      'healthy',
      'no-healthcheck',
    ]);
  });
});

describe('a stack that is not', () => {
  it('is green, and says what is wrong, where and why', async () => {
    await go(stackFile({ api: { image: 'api:1', replicas: 2 }, web: { image: 'web:1' } }));
    const bad = stackFile({ api: { image: 'api:crash', replicas: 2 }, web: { image: 'web:1' } });
    await go(bad, { 'on-failure': 'keep' });
    const { report, log } = await look();
    expect(report.message).toMatch(/^Not as they are meant to be, 1 of 2 services: shop_api d/);
    expect(report.services).toMatchObject([
      { name: 'shop_api', outcome: 'failed', reason: 'crash-loop' },
      { name: 'shop_web', outcome: 'healthy', reason: '' },
    ]);
    const trouble = under(log, 'Tasks that do not run, or have failed').join('\n');
    expect(trouble).toContain('shop_api: update paused due to failure');
    expect(trouble).toMatch(
      /^shop_api\.\d on (manager|worker)-\d: .*failed .*exit code 1: task: non-zero exit \(1\)$/m,
    );
    expect(under(log, 'History of shop')[1]).toMatch(/^2 \(runs now\) +failed/);
    const summary = summaryOf(report);
    expect(summary).toMatch(/^## ⚠️ /);
    expect(summary).toContain('### Tasks that do not run, or have failed');
  });

  it('is not there at all: green, and says so', async () => {
    const { report, log } = await look();
    expect(report.message).toBe('There is no stack shop in the swarm.');
    expect(report).toMatchObject({ services: [], history: [], revision: undefined });
    expect(under(log, 'Services of shop')).toEqual([]);
    expect(under(log, 'History of shop')).toEqual(['no revisions are recorded']);
    expect(summaryOf(report)).toContain('No revisions are recorded.');
  });
});
