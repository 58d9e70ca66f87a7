import { describe, expect, it } from '@jest/globals';
import type { Service, ServiceSpec, Task } from '../../../src/model.js';
import { calmMs, changedMeanwhile, joined, marked } from '../../../src/modes/waves.js';
import { changesOf } from '../../../src/plan.js';
import { continueRollout, failuresOf, observe, verdict } from '../../../src/rollout/observe.js';
import { begin, goal, service, snapshot, spec, target, task } from '../../support/snapshots.js';

const ONCE = spec(
  'migrate:1',
  { Mode: { Replicated: { Replicas: 1 } } },
  {
    RestartPolicy: { Condition: 'none' },
  },
);
const one = (ID: string, Name: string, more: Partial<ServiceSpec> = {}): Service =>
  service({ ...spec(), Mode: { Replicated: { Replicas: 1 } }, ...more, Name }, { ID });
const of = (ServiceID: string, ID: string, state: Task['Status']['State'], more = {}): Task =>
  task(ID, state, { ServiceID, ...more });

describe('a target that must end', () => {
  const migrate = service({ ...ONCE, Name: 'shop_migrate' });
  const aim = { targets: [target({ spec: migrate.Spec })], stableForMs: 0 };
  const ending = { ...aim, targets: [target({ spec: migrate.Spec, mustEnd: true })] };
  const services = [migrate];

  it('is not there while it runs, as it is where nobody waits for its end', () => {
    const running = snapshot(0, [task('t', 'running')], { services });
    expect(verdict(observe(begin(aim), running)).kind).toBe('converged');
    expect(verdict(observe(begin(ending), running)).kind).toBe('waiting');
    const ended = snapshot(1, [task('t', 'complete')], { services });
    expect(verdict(observe(observe(begin(ending), running), ended)).kind).toBe('converged');
  });

  it('makes progress as long as it works', () => {
    const later = snapshot(3_000_000, [task('t', 'running')], { services });
    const start = begin({ ...ending, timeoutMs: 9_000_000 });
    const first = observe(start, snapshot(0, [task('t', 'running')], { services }));
    expect(verdict(observe(first, later)).kind).toBe('waiting');
  });
});

describe('what is needed for now', () => {
  const [db, web] = [one('db', 'shop_db'), one('web', 'shop_web')];
  const targets = [
    target({ id: 'db', name: 'shop_db', spec: db.Spec }),
    target({ id: 'web', name: 'shop_web', spec: web.Spec }),
  ];
  const aim = { targets, needed: new Set(['db']), stableForMs: 0 };
  const services = [db, web];

  it('is all that is waited for', () => {
    const half = snapshot(0, [of('db', 'd', 'running'), of('web', 'w', 'starting')], { services });
    expect(verdict(observe(begin(aim), half)).kind).toBe('converged');
    const other = snapshot(0, [of('db', 'd', 'starting'), of('web', 'w', 'running')], { services });
    expect(verdict(observe(begin(aim), other)).kind).toBe('waiting');
  });

  it('is not all that may fail', () => {
    const tasks = [
      of('db', 'd', 'starting'),
      of('web', 'w', 'rejected', { Err: 'exec format error' }),
    ];
    const end = verdict(observe(begin(aim), snapshot(0, tasks, { services })));
    expect(end).toMatchObject({ kind: 'failed', reason: 'exec-format', service: 'shop_web' });
  });

  it('does not wait for the update of another service', () => {
    const updating = { ...web, UpdateStatus: { State: 'updating' as const } };
    const tasks = [of('db', 'd', 'running'), of('web', 'w', 'running')];
    const look = snapshot(0, tasks, { services: [db, updating] });
    expect(verdict(observe(begin(aim), look)).kind).toBe('converged');
    expect(verdict(observe(begin({ ...aim, needed: new Set(['web']) }), look)).kind).toBe(
      'waiting',
    );
  });

  it('has failures that count on in the next wave', () => {
    const fails = [1, 2].map((count) => of('web', `w${count}`, 'failed', { Err: 'exit 1' }));
    const look = snapshot(5, [of('db', 'd', 'running'), ...fails], { services });
    const first = observe(begin({ ...aim, maxFailures: 3 }), look);
    expect(verdict(first).kind).toBe('converged');
    const next = continueRollout(first, goal({ targets, maxFailures: 3 }), 6);
    expect(verdict(next).kind).toBe('waiting');
    expect(failuresOf(next)).toHaveLength(2);
    // The very same look is looked at again, as the goal is another one.
    expect(verdict(observe(next, { ...look, at: 7 })).kind).toBe('waiting');
    expect(observe(next, { ...look, at: 7 }).services.size).toBe(2);
    const third = [...look.tasks, of('web', 'w3', 'failed', { Err: 'exit 1' })];
    expect(verdict(observe(next, snapshot(8, third, { services })))).toMatchObject({
      kind: 'failed',
      service: 'shop_web',
    });
  });

  it('has time of its own to move forward, and none of its own to end', () => {
    const look = snapshot(0, [of('db', 'd', 'running'), of('web', 'w', 'starting')], { services });
    const first = observe(begin({ ...aim, progressTimeoutMs: 100, timeoutMs: 250 }), look);
    const next = continueRollout(
      first,
      goal({ targets, progressTimeoutMs: 100, timeoutMs: 250 }),
      200,
    );
    expect(verdict(observe(next, { ...look, at: 201 })).kind).toBe('waiting');
    expect(verdict(observe(next, { ...look, at: 250 }))).toMatchObject({ reason: 'timeout' });
  });
});

describe('changes of several waves', () => {
  const before = { services: [one('db', 'shop_db'), one('api', 'shop_api'), one('x', 'shop_x')] };
  const names = ['shop_db', 'shop_api'];
  const image = { TaskTemplate: { ContainerSpec: { Image: 'new' } } };

  it('are those of all of them, and what is in none is left over', () => {
    const live = [one('db', 'shop_db', image), one('api', 'shop_api'), one('x', 'shop_x')];
    const first = joined(undefined, changesOf(before, live, ['shop_db']), live, names);
    expect(first.orphans.map(({ ID }) => ID)).toEqual(['x']);
    expect(first.updated.map(({ ID }) => ID)).toEqual(['db']);
    const both = joined(first, changesOf(before, live, ['shop_api']), live, names);
    expect(both.targets.map(({ id, change }) => `${id} ${change}`)).toEqual([
      'api unchanged',
      'db updated',
    ]);
    expect(both.updated.map(({ ID }) => ID)).toEqual(['db']);
    expect(both.any).toBe(true);
    expect(both.orphans.map(({ ID }) => ID)).toEqual(['x']);
  });

  it('know what has to end', () => {
    const changes = changesOf(before, before.services, names);
    const waves = [
      { names: ['shop_db'], needs: [] },
      { names: ['shop_api'], needs: [{ name: 'shop_db', completed: true }] },
    ];
    expect(marked(changes, waves).targets.map(({ mustEnd }) => mustEnd)).toEqual([undefined, true]);
  });

  it('are refused where somebody else was first', () => {
    const moved = (live: readonly Service[]): readonly string[] =>
      changedMeanwhile(before, live, ['shop_api', 'shop_new']);
    expect(moved(before.services)).toEqual([]);
    expect(moved([one('api', 'shop_api', image)])).toEqual(['shop_api']);
    expect(moved([one('other', 'shop_api')])).toEqual(['shop_api']);
    expect(moved([])).toEqual(['shop_api']);
    expect(moved([...before.services, one('n', 'shop_new')])).toEqual(['shop_new']);
  });

  it('hold a moment where nothing but a running process is known', () => {
    const healthy = spec(
      'api:1',
      {},
      {
        ContainerSpec: { Image: 'api:1', Healthcheck: { Test: ['CMD', 'true'] } },
      },
    );
    expect(calmMs([target()])).toBeGreaterThan(0);
    expect(calmMs([target({ change: 'unchanged' })])).toBe(0);
    expect(calmMs([target({ mustEnd: true })])).toBe(0);
    expect(calmMs([target({ spec: healthy })])).toBe(0);
    expect(calmMs([target({ spec: spec('j', { Mode: { ReplicatedJob: {} } }) })])).toBe(0);
  });
});
