import { describe, expect, it } from '@jest/globals';
import { changesOf } from '../../../src/plan.js';
import { serviceReports, type Fate } from '../../../src/report/services.js';
import { observe } from '../../../src/rollout/observe.js';
import { begin, SERVICE, service, snapshot, spec, target, task } from '../../support/snapshots.js';

const named = (ID: string, Name: string, image: string): ReturnType<typeof service> => ({
  ...service({ ...spec(image), Name }),
  ID,
});
const before = snapshot(0, [], {
  services: [
    named(SERVICE, 'shop_api', 'api:1'),
    named('s2', 'shop_web', 'web:1'),
    named('s4', 'shop_old', 'old:1'),
  ],
});
const live = [
  named(SERVICE, 'shop_api', 'api:2'),
  named('s2', 'shop_web', 'web:1'),
  named('s3', 'shop_new', 'new:1'),
  named('s4', 'shop_old', 'old:1'),
];
const changes = changesOf(before, live, ['shop_api', 'shop_web', 'shop_new']);
const rollout = observe(
  begin({ targets: changes.targets }),
  snapshot(1, [task('a', 'failed', { Err: 'task: non-zero exit (1)' })], { services: live }),
);
const outcomes = (fate: Fate, culprit?: string): Record<string, string> =>
  Object.fromEntries(
    serviceReports({
      reason: fate === 'healthy' ? '' : 'crash-loop',
      before,
      changes,
      rollout,
      fate,
      ...(culprit === undefined ? {} : { culprit }),
    }).map(({ name, outcome, reason }) => [
      name,
      reason === '' ? outcome : `${outcome}: ${reason}`,
    ]),
  );

describe('serviceReports', () => {
  it('says nothing where nothing is known', () => {
    expect(serviceReports({ reason: '', fate: 'unknown' })).toEqual([]);
  });
  it.each<[Fate, Record<string, string>]>([
    ['healthy', { shop_api: 'healthy', shop_new: 'healthy', shop_web: 'healthy' }],
    ['accepted', { shop_api: 'accepted: crash-loop', shop_new: 'accepted', shop_web: 'accepted' }],
    ['restored', { shop_api: 'restored: crash-loop', shop_new: 'removed', shop_web: 'untouched' }],
    [
      'untouched',
      { shop_api: 'untouched: crash-loop', shop_new: 'untouched', shop_web: 'untouched' },
    ],
    ['unknown', { shop_api: 'unknown: crash-loop', shop_new: 'unknown', shop_web: 'untouched' }],
    ['failed', { shop_api: 'failed: crash-loop', shop_new: 'unknown', shop_web: 'unknown' }],
  ])('%s', (fate, services) => {
    expect(outcomes(fate)).toEqual(services);
  });
  it('blames the culprit, even one without a failed task', () => {
    expect(outcomes('failed', 'shop_new')['shop_new']).toBe('failed: crash-loop');
  });
  it('shows images before and after, and what was pruned', () => {
    const reports = serviceReports({
      reason: '',
      before,
      changes,
      rollout,
      fate: 'healthy',
      pruned: ['shop_old'],
    });
    expect(reports.map(({ name }) => name)).toEqual([
      'shop_api',
      'shop_new',
      'shop_web',
      'shop_old',
    ]);
    expect(reports[0]).toMatchObject({
      change: 'updated',
      image: 'api:2',
      digest: 'sha256:1',
      previousImage: 'api:1',
      previousDigest: 'sha256:1',
    });
    expect(reports[1]).toMatchObject({ change: 'created', previousImage: '' });
    expect(reports[3]).toMatchObject({ change: 'removed', image: '', previousImage: 'old:1' });
  });
  it('shows how many run, of the restored where there was a restore', () => {
    const restored = observe(
      begin({ phase: 'restore', targets: [target({ spec: spec('api:1') })] }),
      snapshot(9, [task('x', 'running')], { services: [service(spec('api:1'))] }),
    );
    const [api, created] = serviceReports({
      reason: 'timeout',
      before,
      changes,
      rollout,
      restored,
      fate: 'restored',
    });
    expect(api?.replicas).toEqual({ running: 1, desired: 2 });
    expect(created?.replicas).toEqual({ running: 0, desired: 0 });
  });
  it('knows how many there ought to be where nobody looked', () => {
    const [api] = serviceReports({ reason: '', before, changes, fate: 'accepted' });
    expect(api?.replicas).toEqual({ running: 0, desired: 2 });
  });
});
