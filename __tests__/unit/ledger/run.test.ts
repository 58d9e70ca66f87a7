import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { countIn, runFacts, shortLine } from '../../../src/ledger/run.js';

const environment = {
  GITHUB_SERVER_URL: 'https://github.com',
  GITHUB_REPOSITORY: 'acme/shop',
  GITHUB_SHA: '8c1f0de6a1b2c3d4e5f60718293a4b5c6d7e8f90',
  GITHUB_REF: 'refs/heads/main',
  GITHUB_ACTOR: 'ada',
  GITHUB_TRIGGERING_ACTOR: 'grace',
  GITHUB_RUN_ID: '15000000001',
  GITHUB_RUN_NUMBER: '42',
  GITHUB_RUN_ATTEMPT: '1',
  GITHUB_WORKFLOW: 'Deploy',
  GITHUB_WORKFLOW_REF: 'acme/shop/.github/workflows/deploy.yml@refs/heads/main',
  GITHUB_JOB: 'production',
  GITHUB_ACTION: '__acme_swarm-deploy',
};

describe('runFacts', () => {
  it('reads what the runner says', () => {
    expect(runFacts(environment)).toEqual({
      repository: 'acme/shop',
      commit: environment.GITHUB_SHA,
      ref: 'refs/heads/main',
      actor: 'grace',
      runUrl: 'https://github.com/acme/shop/actions/runs/15000000001',
      runId: '15000000001',
      runNumber: '42',
      attempt: 1,
      workflow: environment.GITHUB_WORKFLOW_REF,
      job: 'production',
      step: '__acme_swarm-deploy',
    });
  });

  it('links a re-run to its own attempt', () => {
    const run = runFacts({ ...environment, GITHUB_RUN_ATTEMPT: '3' });
    expect(run.attempt).toBe(3);
    expect(run.runUrl).toBe('https://github.com/acme/shop/actions/runs/15000000001/attempts/3');
  });

  it('falls back to who started the run, and to the name of the workflow', () => {
    const run = runFacts({
      ...environment,
      GITHUB_TRIGGERING_ACTOR: '',
      GITHUB_WORKFLOW_REF: undefined,
    });
    expect([run.actor, run.workflow]).toEqual(['ada', 'Deploy']);
  });

  it('knows nothing outside of a workflow', () => {
    const { attempt, ...texts } = runFacts({});
    expect(attempt).toBe(1);
    expect(new Set(Object.values(texts))).toEqual(new Set(['']));
  });

  it.each([
    { GITHUB_SERVER_URL: 'javascript:alert(1)' },
    { GITHUB_SERVER_URL: 'https://evil.example/?' },
    { GITHUB_REPOSITORY: 'acme/shop/../../evil' },
    { GITHUB_RUN_ID: '1/../..' },
    { GITHUB_RUN_ID: '' },
  ])('makes no link of %j', (odd) => {
    expect(runFacts({ ...environment, ...odd }).runUrl).toBe('');
  });

  it("links to a server of one's own", () => {
    const run = runFacts({ ...environment, GITHUB_SERVER_URL: 'http://git.acme.example:8443/' });
    expect(run.runUrl).toBe('http://git.acme.example:8443/acme/shop/actions/runs/15000000001');
  });

  it.each(['0', '-1', '1.5', 'x', '', '1e3', '9'.repeat(30)])(
    'takes attempt %j for the first',
    (text) => {
      expect(runFacts({ ...environment, GITHUB_RUN_ATTEMPT: text }).attempt).toBe(1);
    },
  );

  it('is short lines without control characters, whatever the variables hold', () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.constantFrom('\u001b[31mred', 'a\r\n::error::b', '\u0000', '\u202egnp', 'x'.repeat(9000)),
    );
    fc.assert(
      fc.property(fc.array(hostile, { minLength: 13, maxLength: 13 }), (values) => {
        const names = Object.keys(environment);
        const run = runFacts(Object.fromEntries(names.map((name, index) => [name, values[index]])));
        for (const text of Object.values(run).map(String)) {
          expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
          expect(text).not.toMatch(/^::/);
          expect(Array.from(text).length).toBeLessThanOrEqual(600);
        }
      }),
    );
  });
});

describe('shortLine', () => {
  it('cuts after 512 characters, never through one', () => {
    expect(shortLine('y'.repeat(512))).toHaveLength(512);
    expect(shortLine(`${'y'.repeat(511)}\u{1f680}\u{1f680}`)).toBe(`${'y'.repeat(511)}\u{1f680}`);
  });
});

describe('countIn', () => {
  it('reads whole numbers above 0 and nothing else', () => {
    expect(['1', '007', '0', '12 ', '999999999999999'].map((text) => countIn(text, -1))).toEqual([
      1, -1, -1, -1, 999999999999999,
    ]);
    expect(countIn(undefined, undefined)).toBeUndefined();
  });
});
