import { describe, expect, it } from '@jest/globals';
import { renderStack } from '../../../src/compose/render.js';
import { annotationsOf } from '../../../src/report/annotations.js';
import type { FailureReport, RunReport, ServiceReport } from '../../../src/report/outcome.js';

const FILE = `services:
  api:
    image: api:2
    healthcheck: { test: [CMD, x] }
  web:
    image: web:2
`;
const { places } = renderStack({
  files: [{ path: 'stack.yml', text: Buffer.from(FILE) }],
  ...{ stack: 'shop', variables: new Map(), allowUnset: false },
  ...{ workingDirectory: '/nowhere', home: undefined, readFile: () => 'missing' },
});
const service = (name: string, reason: ServiceReport['reason']): ServiceReport => ({
  ...{ name, change: 'updated', image: 'a', digest: '', previousImage: 'b', previousDigest: '' },
  ...{ replicas: { running: 0, desired: 1 }, outcome: 'failed', reason },
});
const failure = (name: string, more: Partial<FailureReport> = {}): FailureReport => ({
  ...{ taskId: 't', service: name, slot: 1, node: 'n1', reason: 'unhealthy', fatal: false },
  ...{ error: 'unhealthy container' },
  ...more,
});
const report = (more: Partial<RunReport>): RunReport => ({
  ...{ stack: 'shop', mode: 'deploy', manager: '', outcome: 'failed', reason: 'image-not-found' },
  ...{ message: 'It failed.', hint: 'Look.', position: undefined, problems: [], services: [] },
  ...{ failures: [], warnings: [], lint: [], timeline: [], durationMs: 1, inputs: {}, tasks: [] },
  ...{ revision: undefined, previousRevision: undefined, history: [], places },
  ...{ dossier: [], verification: [] },
  ...more,
});
const at = (more: Partial<RunReport>): readonly string[] =>
  annotationsOf(report(more)).map(
    ({ text, position }) =>
      `${position?.file ?? ''}:${position?.line ?? ''} ${text.replaceAll('\n', ' / ')}`,
  );

describe('annotations', () => {
  it('are none where the run is green', () => {
    expect(at({ outcome: 'deployed', services: [service('shop_api', 'unhealthy')] })).toEqual([]);
  });
  it('put the verdict where the cause is, and each other service at its own line', () => {
    expect(
      at({
        services: [service('shop_api', 'unhealthy'), service('shop_web', 'image-not-found')],
        failures: [failure('shop_api')],
      }),
    ).toEqual([
      'stack.yml:6 The deploy of shop failed. / It failed. / Look.',
      'stack.yml:4 shop_api failed as well: unhealthy / shop_api.1 on n1: unhealthy container',
    ]);
  });
  it('say the cause and the mend where they are known', () => {
    const known = {
      ...{ service: 'shop_api', reason: 'unhealthy' as const, tasks: [] },
      ...{ cause: 'It is not well.', mend: 'Mend it.' },
    };
    expect(
      at({
        dossier: [known, { ...known, service: 'shop_web', place: { file: 'x.yml', line: 9 } }],
      }),
    ).toEqual([
      'stack.yml:4 The deploy of shop failed. / It is not well. / Mend it. / It failed. / Look.',
      'x.yml:9 shop_web failed as well: unhealthy / It is not well. / Mend it.',
    ]);
  });
  it('say the mend of a check that failed', () => {
    const check = {
      ...{ url: 'https://shop.example/', expectation: '2xx', ok: false, tookMs: 5, attempts: 2 },
      ...{ body: '', error: 'it answered 503', mend: 'See what it writes.' },
    };
    const verification = [{ ...check, ok: true, mend: '' }, check];
    expect(at({ reason: 'verify-failed', verification, places: undefined })).toEqual([
      ': The deploy of shop failed. / It failed. / See what it writes. / Look.',
    ]);
  });
  it('keep the verdict before the cause where the stack is not what it was', () => {
    const dossier = [
      {
        ...{ service: 'shop_api', reason: 'unhealthy' as const, tasks: [] },
        ...{ cause: 'It is not well.', mend: 'Mend it.' },
      },
    ];
    expect(at({ outcome: 'rollback-failed', dossier })[0]).toMatch(
      / It failed\. \/ It is not well\. \/ Mend it\. \/ Look\.$/,
    );
  });
  it('have no place where none is known, and the one of the verdict where it has one', () => {
    expect(at({ places: undefined, services: [service('shop_api', 'unhealthy')] })[0]).toMatch(
      /^: /,
    );
    expect(at({ position: { file: 'a.yml', line: 1 } })[0]).toMatch(/^a\.yml:1 /);
  });
  it('are the problems where there are several', () => {
    const problem = { reason: 'compose-invalid', message: 'bad', hint: 'do' } as const;
    expect(
      at({ outcome: 'invalid', problems: [{ ...problem, position: { file: 'a.yml' } }, problem] }),
    ).toEqual(['a.yml: bad / do', ': bad / do']);
  });
  it('hold nothing that the runner takes for a command', () => {
    const text = annotationsOf(report({ message: 'x\n::set-output name=a::b\n##[error]y' }))[0];
    expect(text?.text).not.toMatch(/^::|##\[/m);
  });
});
