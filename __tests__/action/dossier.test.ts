/** What a failed run has gathered, and when; and the checks of `verify` in the story of a run. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { imageOf } from '../../src/model.js';
import { summaryOf } from '../../src/report/render.js';
import { FakeSwarm } from '../support/fake-swarm.js';
import { HOSTILE, logOf } from '../support/log-frames.js';
import { runAction, stackFile, type Asked } from '../support/run-action.js';

let swarm: FakeSwarm;

beforeEach(() => {
  swarm = new FakeSwarm();
});

const file = (image: string): string => stackFile({ api: { image, replicas: 2 } });
const run = (image: string, more: Partial<Asked> = {}) =>
  runAction(swarm, { yaml: file(image), ...more });

async function standing(): Promise<void> {
  expect((await run('api:1')).report.outcome).toBe('deployed');
  swarm.writes.length = 0;
  swarm.requests.length = 0;
}

describe('the dossier', () => {
  it('has cause, mend, tasks and log, read before anything is taken back', async () => {
    await standing();
    const writes: number[] = [];
    swarm.onLog = () => {
      writes.push(swarm.writes.length);
      return { bytes: logOf('starting', 'fatal: no database') };
    };
    const { report, log } = await run('api:crash');
    expect(report.outcome).toBe('rolled-back');
    expect(report.dossier).toEqual([
      expect.objectContaining({
        service: 'shop_api',
        reason: 'crash-loop',
        cause: expect.stringMatching(/^Its process ends with exit code 1.*fatal: no database\.$/),
        place: { file: 'compose.yaml', line: 1 },
        log: expect.objectContaining({ lines: ['starting', 'fatal: no database'], cut: 0 }),
      }),
    ]);
    expect(report.dossier[0]?.tasks[0]).toMatchObject({
      state: 'failed',
      exitCode: 1,
      node: expect.stringMatching(/^(manager|worker)-\d$/),
      error: 'task: non-zero exit (1)',
    });
    // The deploy itself is all that had been written by then.
    expect(writes).toEqual([1]);
    expect(swarm.writes.length).toBeGreaterThan(1);
    const [heading, first] = log.slice(log.findIndex((line) => line.startsWith('> Log of ')));
    expect(heading).toMatch(/^> Log of shop_api\.\d on \S+ \(last 2 lines\)$/);
    expect(first).toBe('  | starting');
  });

  it('of very many services does not say of those whose logs were not read that they wrote nothing', async () => {
    swarm.onLog = () => ({ bytes: logOf('fatal: no database') });
    const names = Array.from({ length: 25 }, (_, index) => `s${index}`);
    const yaml = stackFile(Object.fromEntries(names.map((name) => [name, { image: 'api:crash' }])));
    const { report } = await runAction(swarm, { yaml });
    const read = report.dossier.filter(({ cause }) => cause.includes('fatal: no database'));
    const others = report.dossier.filter(({ cause }) => !cause.includes('its log says'));
    expect([read.length, others.length]).toEqual([5, 15]);
    for (const { mend } of others) {
      expect(mend).toContain('the logs of the first ones alone were read');
      expect(mend).not.toContain('wrote nothing');
    }
    expect(summaryOf(report)).toContain('\nand 5 more services, as the table says\n');
  });

  it('says more than Docker does where a program that cannot run says so itself', async () => {
    swarm.onLog = () => ({ bytes: logOf('exec /app: exec format error') });
    const { report } = await run('api:crash');
    expect(report).toMatchObject({
      outcome: 'rolled-back',
      reason: 'exec-format',
      dossier: [{ reason: 'exec-format' }],
      services: [{ reason: 'exec-format' }],
    });
  });

  it('of a hostile container does no harm in the log', async () => {
    swarm.onLog = () => ({ bytes: logOf(...HOSTILE) });
    const { log } = await run('api:crash');
    for (const line of log) {
      expect(line).not.toMatch(/^\s*::|##\[/);
      expect(line).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
    }
    expect(log).toContain('  | ::stop-commands::token');
  });

  it('has no secret in it, wherever a container repeats one', async () => {
    const password = 'correct-horse-battery';
    swarm.logins.set('r.example', password);
    swarm.onLog = () => ({ bytes: logOf(`login with ${password}`, 'API_TOKEN is tok-1234567') });
    const { report, log } = await runAction(swarm, {
      yaml: stackFile({
        api: { image: 'r.example/api:crash', environment: ['API_TOKEN=tok-1234567'] },
      }),
      inputs: {
        registry: 'r.example',
        'registry-username': 'me',
        'registry-password': password,
      },
    });
    expect(report.dossier[0]?.log?.lines).toEqual(['login with ***', 'API_TOKEN is ***']);
    for (const text of [log.join('\n'), JSON.stringify(report)])
      expect(text).not.toMatch(/correct-horse|tok-1234567/);
  });

  it('does not wait for a log that hangs, and takes what came of it', async () => {
    await standing();
    swarm.onLog = () => ({ bytes: logOf('the last that came'), hangs: true });
    const { report } = await run('api:crash');
    expect(report.outcome).toBe('rolled-back');
    expect(report.dossier[0]?.log).toMatchObject({
      lines: ['the last that came'],
      note: 'its node gave no more of it within 3 s',
    });
  });

  /** Swarm has rolled it back before anybody could look. */
  async function undoneAtOnce() {
    const quick = (image: string) =>
      runAction(swarm, {
        yaml: stackFile({ api: { image, replicas: 2, failureAction: 'rollback' } }),
      });
    await quick('api:1');
    const before = structuredClone(swarm.byName('shop_api').Spec);
    swarm.afterServiceWritten = () => {
      swarm.settle();
      return undefined;
    };
    return { before, ...(await quick('api:crash')) };
  }

  it('tells what failed where Swarm was back before anybody could look', async () => {
    swarm.onLog = () => ({ bytes: logOf('fatal: no database') });
    const { before, report, log } = await undoneAtOnce();
    expect(swarm.byName('shop_api').UpdateStatus?.State).toBe('rollback_completed');
    expect(report).toMatchObject({
      outcome: 'rolled-back',
      reason: 'rolled-back-by-swarm',
      services: [{ image: 'api:crash', previousImage: 'api:1', reason: 'crash-loop' }],
      dossier: [
        {
          reason: 'crash-loop',
          cause: expect.stringMatching(/^Its process ends with exit code 1.*fatal: no database\.$/),
        },
      ],
    });
    expect(log.join('\n')).toMatch(/shop_api updated: api:1.* -> api:crash/);
    expect(swarm.byName('shop_api').Spec).toEqual(before);
  });

  it('is content with less where the task of that is forgotten', async () => {
    let asked = 0;
    swarm.onRequest = (line) => {
      if (!/^GET \/tasks\/[^/]+$/.test(line)) return undefined;
      asked += 1;
      return { status: 404, body: '{"message":"task not found"}' };
    };
    const { before, report } = await undoneAtOnce();
    expect(asked).toBe(1);
    expect(report).toMatchObject({ outcome: 'rolled-back', reason: 'rolled-back-by-swarm' });
    expect(swarm.byName('shop_api').Spec).toEqual(before);
  });

  it.each([
    ['an engine without an answer', 'refuse' as const, /could not be read: lost the connection/],
    ['an error', { status: 500, body: '{"message":"no log driver"}' }, /could not be read: no log/],
    ['none', { status: 404, body: '{"message":"gone"}' }, /has removed the task already/],
  ])('says why there is no log, and the rollback goes on: %s', async (_, instead, note) => {
    await standing();
    swarm.onRequest = (request) => (request.endsWith('/logs') ? instead : undefined);
    const { report } = await run('api:crash');
    expect(report.outcome).toBe('rolled-back');
    expect(report.dossier[0]?.log).toMatchObject({
      lines: [],
      note: expect.stringMatching(note),
    });
  });

  it('asks for no log where no container has run', async () => {
    await run('api:missing');
    expect(swarm.requests.filter((request) => request.includes('/logs'))).toEqual([]);
  });

  it('is empty where nothing failed', async () => {
    expect((await run('api:1')).report.dossier).toEqual([]);
  });
});

describe('verify', () => {
  const well = { status: 200, location: '', body: 'v2', isWhole: true };
  const inputs = { verify: 'https://shop.example/ contains ${TAG}', env: 'TAG=v2' };

  it('is asked after convergence, and is green where all is well', async () => {
    await standing();
    const asked: [string, boolean][] = [];
    const { report, log } = await run('api:2', {
      inputs,
      probe: async (url) => {
        asked.push([url, swarm.running('shop_api').length === 2]);
        return asked.length === 1 ? { error: 'nothing listens there' } : well;
      },
    });
    expect(report).toMatchObject({ outcome: 'deployed', reason: '' });
    expect(report.verification).toMatchObject([{ ok: true, attempts: 2, status: 200 }]);
    expect(asked).toEqual([
      ['https://shop.example/', true],
      ['https://shop.example/', true],
    ]);
    expect(log).toContain('> Verify');
  });

  it('that fails is a failed deploy, rolled back before anything is pruned', async () => {
    await standing();
    const before = structuredClone(swarm.byName('shop_api').Spec);
    const { report } = await run('api:2', {
      inputs: { ...inputs, prune: 'true' },
      probe: async () => ({ ...well, body: 'v1' }),
    });
    expect(report).toMatchObject({
      outcome: 'rolled-back',
      reason: 'verify-failed',
      dossier: [],
      verification: [{ ok: false, body: 'v1' }],
    });
    expect(report.message).toContain('its body does not have v2 in it');
    expect(swarm.byName('shop_api').Spec).toEqual(before);
  });

  it('leaves the stack as it is where that is asked for', async () => {
    await standing();
    const { report } = await run('api:2', { inputs: { ...inputs, 'on-failure': 'keep' } });
    expect(report).toMatchObject({ outcome: 'failed', reason: 'verify-failed' });
  });

  it('looks at the tasks once more: one that died of the checks is not green', async () => {
    await standing();
    const { report } = await run('api:2', {
      inputs,
      probe: async () => {
        for (const task of swarm.tasks)
          if (task.Status.State === 'running') {
            task.Status = { State: 'failed', Err: 'task: non-zero exit (1)' };
            task.DesiredState = 'shutdown';
          }
        swarm.onStep = () => {
          if (imageOf(swarm.byName('shop_api').Spec).startsWith('api:2'))
            for (const task of swarm.tasks)
              if (task.Status.State === 'running')
                task.Status = { State: 'failed', Err: 'task: non-zero exit (1)' };
        };
        return well;
      },
    });
    expect(report).toMatchObject({ outcome: 'rolled-back', reason: 'crash-loop' });
  });

  it.each([true, false])(
    'starts the stability window again where a task dies: %s',
    async (dies) => {
      let asked = Infinity;
      const { report } = await run('api:1', {
        inputs: { ...inputs, 'stable-for': '20s' },
        probe: async () => {
          asked = swarm.clock.now();
          const [first] = dies ? swarm.running('shop_api') : [];
          for (const task of swarm.tasks)
            if (task.ID === first)
              task.Status = { State: 'failed', Err: 'task: non-zero exit (1)' };
          // Another one is there in its place long before the answer.
          swarm.settle();
          return well;
        },
      });
      expect(report.outcome).toBe('deployed');
      expect(swarm.clock.now() - asked >= 20_000).toBe(dies);
    },
  );

  it('with a variable that is not set connects to nothing', async () => {
    const { report } = await run('api:2', {
      inputs: { verify: 'https://shop.example/${NONE}' },
    });
    expect(report).toMatchObject({ outcome: 'invalid', reason: 'variable-unset' });
    expect(swarm.connections).toBe(0);
  });

  it.each(['plan', 'status', 'remove'])('has no part in mode %s', async (mode) => {
    await standing();
    const { report } = await run('api:1', { inputs: { ...inputs, env: '', mode } });
    expect(report.verification).toEqual([]);
  });
});
