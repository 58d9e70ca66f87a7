/** The published schema of the report says all of it, and what it said once it goes on saying. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { ConnectionLost, GREEN_OUTCOMES, REASONS, RED_OUTCOMES } from '../../../src/errors.js';
import { TASK_STATES } from '../../../src/model.js';
import type { RunReport } from '../../../src/report/outcome.js';
import { reportOf } from '../../../src/report/render.js';
import { FakeSwarm } from '../../support/fake-swarm.js';
import { logOf } from '../../support/log-frames.js';
import { givePlanningCli } from '../../support/planning-swarm.js';
import { faultsOf, schema } from '../../support/report-schema.js';
import { runAction, stackFile, type Asked } from '../../support/run-action.js';

const faults = (run: RunReport): unknown => faultsOf(reportOf(run));

let swarm: FakeSwarm;
beforeEach(() => {
  swarm = new FakeSwarm();
  swarm.onLog = () => ({ bytes: logOf('fatal: no database') });
});

const file = (image: string): string => stackFile({ api: { image, replicas: 2 } });
const run = async (image: string, more: Partial<Asked> = {}): Promise<RunReport> =>
  (await runAction(swarm, { yaml: file(image), ...more })).report;
const inputs = (given: NonNullable<Asked['inputs']>): Partial<Asked> => ({ inputs: given });
const cancelled = new AbortController();
cancelled.abort(new Error('cancelled by SIGINT'));

/** A run for each outcome; the first version runs before. */
const RUNS: Readonly<Record<string, () => Promise<RunReport>>> = {
  deployed: () =>
    run('api:2', {
      ...inputs({ verify: 'https://shop.example/', history: '5' }),
      probe: async () => ({ status: 204, location: '', body: '', isWhole: true }),
    }),
  unchanged: () => run('api:1'),
  planned: () => {
    givePlanningCli(swarm);
    return run('api:2', inputs({ mode: 'plan' }));
  },
  reported: () => run('api:1', inputs({ mode: 'status', history: '5' })),
  removed: () => run('api:1', inputs({ mode: 'remove' })),
  'rolled-back': () => run('api:crash'),
  failed: () => run('api:2', inputs({ 'on-failure': 'keep', verify: 'https://shop.example/' })),
  'rollback-failed': () => {
    swarm.onRequest = (request) =>
      /^POST \/services\/.*\/update/.test(request)
        ? { status: 400, body: '{"message":"no"}' }
        : undefined;
    return run('api:crash');
  },
  superseded: () => {
    let done = false;
    swarm.onStep = () => {
      const { Spec } = swarm.byName('shop_api');
      if (done || !JSON.stringify(Spec.Name).includes('shop') || swarm.writes.length < 2) return;
      done = true;
      swarm.write('shop_api', { ...Spec, Labels: { ...(Spec['Labels'] as object), other: 'x' } });
    };
    return run('api:2');
  },
  cancelled: () => run('api:2', { cancel: cancelled }),
  locked: async () => {
    const cancel = new AbortController();
    swarm.onStep = () => {
      if (swarm.byName('shop_api').UpdateStatus?.State === 'updating')
        cancel.abort(new Error('cancelled by SIGINT'));
    };
    // Its lock is left to a post step that does not come.
    await run('api:2', { ...inputs({ lock: 'true' }), cancel });
    return run('api:3', inputs({ lock: 'true', 'lock-timeout': '3s' }));
  },
  unreachable: () => {
    swarm.onConnect = () => new ConnectionLost('no route to host');
    return run('api:2');
  },
  invalid: () => run('api:2', inputs({ timeout: 'soon', stack: '' })),
};

describe('the report', () => {
  it.each(Object.entries(RUNS))(
    'of a run that ends %s is as the schema says',
    async (outcome, play) => {
      expect((await run('api:1')).outcome).toBe('deployed');
      const report = await play();
      expect(report.outcome).toBe(outcome);
      expect(faults(report)).toEqual([]);
    },
  );

  it('of every outcome is checked', () => {
    expect(Object.keys(RUNS).sort()).toEqual([...GREEN_OUTCOMES, ...RED_OUTCOMES].sort());
  });

  it('has the fields of a dossier and of checks where there are such', async () => {
    await run('api:1');
    const [back, kept] = [await run('api:crash'), await RUNS['failed']?.()];
    expect([back.outcome, kept?.outcome]).toEqual(['rolled-back', 'failed']);
    expect(back.dossier[0]?.log?.lines).toEqual(['fatal: no database']);
    expect(kept?.verification[0]?.ok).toBe(false);
  });

  it('that says something else is found out', async () => {
    const good = await run('api:1');
    expect(faults({ ...good, outcome: 'fine' as never })).not.toEqual([]);
    expect(faults({ ...good, dossier: [{ unknown: true } as never] })).not.toEqual([]);
  });
});

describe('the schema', () => {
  it('knows all the words', () => {
    expect(schema.properties?.['outcome']?.enum).toEqual([...GREEN_OUTCOMES, ...RED_OUTCOMES]);
    expect(schema.$defs?.['reason']?.enum).toEqual(REASONS);
    expect(schema.$defs?.['reasonOrNone']?.enum).toEqual(['', ...REASONS]);
    expect(schema.$defs?.['dossierTask']?.properties?.['state']?.enum).toEqual(TASK_STATES);
  });

  it('has every field that it has had since version 1', () => {
    const fields = Object.entries({ report: schema, ...schema.$defs }).flatMap(
      ([name, { properties = {} }]) => Object.keys(properties).map((field) => `${name}.${field}`),
    );
    expect(fields).toEqual(expect.arrayContaining(SINCE_1));
  });
});

const of = (name: string, fields: string): readonly string[] =>
  fields.split(' ').map((field) => `${name}.${field}`);

/** Never shorter: whoever reads reports relies on these. */
const SINCE_1 = [
  ...of('report', 'version stack mode manager outcome reason message hint durationSeconds inputs'),
  ...of('report', 'revision previousRevision history plan services tasks failures dossier'),
  ...of('report', 'verification warnings lint problems timeline'),
  ...of('service', 'name change image digest previousImage replicas outcome reason state'),
  ...of('task', 'id service slot node state desiredState upToDate error'),
  ...of('failure', 'taskId service slot node reason fatal error exitCode timestamp'),
  ...of('dossier', 'service reason cause mend place tasks log'),
  ...of('dossierTask', 'taskId slot node state exitCode exitMeaning error at tookMs'),
  ...of('log', 'task node lines cut note'),
  ...of('verification', 'url expectation ok status tookMs attempts body error mend'),
];
