import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  current,
  isGood,
  labelsOf,
  origin,
  overtakes,
  previousOf,
  rerunOf,
  revisionOf,
  select,
  stale,
  STATUSES,
  surplus,
  type Revision,
} from '../../../src/ledger/revision.js';
import type { Run } from '../../../src/ledger/run.js';

const run: Run = {
  repository: 'acme/shop',
  commit: 'c0ffee00',
  ref: 'refs/heads/main',
  actor: 'ada',
  runUrl: '',
  runId: '100',
  runNumber: '1',
  attempt: 1,
  workflow: 'deploy',
  job: 'production',
  step: 'deploy',
};

const revision = (number: number, more: Partial<Revision> = {}): Revision => ({
  number,
  id: `id${number}`,
  status: 'deployed',
  reason: '',
  mode: 'deploy',
  commit: run.commit,
  startedAt: '2026-11-22T10:00:00.000Z',
  locked: true,
  fingerprint: `content of ${number}`,
  run,
  ...more,
});

const unsealed = (each: Revision): Revision => {
  const { fingerprint, ...rest } = each;
  expect(fingerprint).toBeDefined();
  return rest;
};

/** Told oldest first, as it happened: the numbers are given here. */
const history = (...told: readonly Partial<Revision>[]): readonly Revision[] =>
  told.map((more, index) => revision(index + 1, more)).reverse();

/** Of a stack that is as its history says. */
const undoOf = (revisions: readonly Revision[]): Revision | undefined =>
  previousOf(revisions, current(revisions));

const numberOf = (found: Revision | undefined): number | undefined => found?.number;

const good: Partial<Revision> = {};
const failed: Partial<Revision> = { status: 'failed' };
const invalid: Partial<Revision> = { status: 'invalid' };
const rolledBack: Partial<Revision> = { status: 'rolled-back' };
const pending: Partial<Revision> = { status: 'pending' };

const anyStatus = fc.constantFrom(...STATUSES);
const anyRevision = fc.record({
  status: anyStatus,
  fingerprint: fc.constantFrom('A', 'B', 'C', undefined),
  back: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
});
/** Histories as they may be found: gaps in the numbers, sources that are gone. */
const anyHistory = fc
  .array(fc.tuple(anyRevision, fc.integer({ min: 1, max: 3 })), { maxLength: 14 })
  .map((told) => {
    let number = 0;
    return told
      .map(([{ status, fingerprint, back }, step]): Revision => {
        number += step;
        const rest = unsealed(revision(number, { status }));
        return {
          ...rest,
          ...(fingerprint === undefined ? {} : { fingerprint }),
          ...(back === undefined || back >= number ? {} : { source: number - back }),
        };
      })
      .reverse();
  });

describe('current', () => {
  it.each(STATUSES)('tells whether content runs that is %s', (status) => {
    const left = ['pending', 'rolled-back', 'invalid'].includes(status);
    expect(numberOf(current(history(good, { status })))).toBe(left ? 1 : 2);
  });

  it('is nothing where nothing was ever left', () => {
    expect(current([])).toBeUndefined();
    expect(current(history(rolledBack, pending))).toBeUndefined();
  });
});

describe('previousOf', () => {
  it('undoes a good deploy, and one that was left as it failed', () => {
    expect(numberOf(undoOf(history(good, good)))).toBe(1);
    expect(numberOf(undoOf(history(good, failed)))).toBe(1);
  });

  it('skips what failed, and what was rolled back already', () => {
    expect(numberOf(undoOf(history(good, good, rolledBack)))).toBe(1);
    expect(numberOf(undoOf(history(good, failed, good)))).toBe(1);
  });

  it('goes one further back when it is done again', () => {
    const undone = history(good, good, rolledBack, { mode: 'rollback', source: 2 });
    expect(numberOf(undoOf(undone))).toBe(1);
    const again = history(good, good, { mode: 'rollback', source: 1 });
    expect(undoOf(again)).toBeUndefined();
  });

  it('tries again where an undo itself was rolled back', () => {
    expect(numberOf(undoOf(history(good, good, { ...rolledBack, source: 1 })))).toBe(1);
  });

  it('is nothing where there is nothing older, or the same runs under an older number', () => {
    expect(undoOf([])).toBeUndefined();
    expect(undoOf(history(good))).toBeUndefined();
    expect(undoOf(history({ fingerprint: 'A' }, { fingerprint: 'A' }))).toBeUndefined();
  });

  it('does not take two unknown contents for the same', () => {
    const unknown = unsealed(revision(1));
    expect(numberOf(undoOf([{ ...unknown, number: 2 }, unknown]))).toBe(1);
  });

  it('is the newest good one where what runs is no revision', () => {
    expect(numberOf(previousOf(history(good, good, failed), undefined))).toBe(2);
    expect(previousOf(history(failed), undefined)).toBeUndefined();
  });

  it('does not take a re-run beside newer services for the former state of the stack', () => {
    const copy = { mode: 'rollback', source: 1, fingerprint: 'mixed' } as const;
    expect(undoOf(history(good, good, good, copy))).toBeUndefined();
    expect(numberOf(undoOf(history(good, good, good, { ...copy, mixed: true })))).toBe(3);
  });

  it('goes strictly back and ends, however the deploys between ended', () => {
    fc.assert(
      fc.property(anyHistory, fc.array(anyStatus, { maxLength: 12 }), (found, endings) => {
        let revisions = found;
        for (const status of [...endings, ...Array<Revision['status']>(15).fill('deployed')]) {
          const target = undoOf(revisions);
          if (target === undefined) return;
          const now = current(revisions)!;
          expect(isGood(target)).toBe(true);
          expect(target.number).toBeLessThan(origin(now));
          expect(target.fingerprint === undefined || target.fingerprint !== now.fingerprint).toBe(
            true,
          );
          const nearer = revisions.filter(
            (each) => each.number > target.number && each.number < origin(now) && isGood(each),
          );
          for (const each of nearer) expect(each.fingerprint).toBe(now.fingerprint);
          const undo: Revision = {
            ...target,
            status,
            number: revisions[0]!.number + 1,
            mode: 'rollback',
            source: origin(target),
          };
          revisions = [undo, ...revisions];
          const runs = current(revisions)!;
          expect(origin(runs)).toBeLessThanOrEqual(origin(now));
          if (runs === undo) expect(origin(runs)).toBeLessThan(origin(now));
        }
        // Fourteen revisions have no more than thirteen before them.
        expect(undoOf(revisions)).toBeUndefined();
      }),
      { numRuns: 2000 },
    );
  });
});

describe('select', () => {
  const told = history(
    { commit: 'abcd1111' },
    { commit: 'abcd2222' },
    { commit: 'abcd2222', status: 'failed' },
    { commit: '1234567890', status: 'rolled-back' },
    { commit: 'abcd1111', mode: 'rollback', source: 1 },
  );
  const chosen = (text: string): unknown => {
    const selection = select(told, text, current(told));
    return 'revision' in selection ? [selection.kind, selection.revision.number] : selection;
  };

  it('takes previous for the undo', () => {
    const two = history(good, good);
    expect(select(two, 'previous', two[0])).toMatchObject({
      kind: 'found',
      revision: { number: 1 },
    });
    expect(select(two, 'previous', two[1])).toEqual({ kind: 'none' });
    expect(select(two, 'previous', undefined)).toMatchObject({ revision: { number: 2 } });
  });

  it('finds a number', () => {
    expect(chosen('2')).toEqual(['found', 2]);
    expect(chosen('3')).toEqual(['not-good', 3]);
    expect(chosen('9')).toEqual({ kind: 'none' });
    expect(chosen('02')).toEqual({ kind: 'none' });
    expect(select(history(pending), '1', undefined)).toMatchObject({ kind: 'not-good' });
  });

  it('finds the newest good revision of a commit, by the commit of its content', () => {
    expect(chosen('abcd2')).toEqual(['found', 2]);
    expect(chosen('ABCD1111')).toEqual(['found', 5]);
    expect(chosen('abcd11112')).toEqual({ kind: 'none' });
  });

  it('asks for more of a commit that is one of several, failed ones included', () => {
    expect(chosen('abcd')).toEqual({ kind: 'ambiguous', commits: ['abcd1111', 'abcd2222'] });
  });

  it('takes digits for a commit only from seven on', () => {
    expect(chosen('123456')).toEqual({ kind: 'none' });
    expect(chosen('1234567')).toEqual(['not-good', 4]);
    const both = [revision(1234567, { commit: 'ffff' }), revision(1, { commit: '1234567890' })];
    expect(select(both, '1234567', undefined)).toMatchObject({ revision: { number: 1234567 } });
  });

  it.each(['', 'abc', 'HEAD', 'xyz12345', '-1', ' 2', '2.0', '.*', 'previous '])(
    'finds nothing for %j',
    (text) => {
      expect(chosen(text)).toEqual({ kind: 'none' });
    },
  );
});

describe('rerunOf', () => {
  const other: Run = { ...run, runId: '200' };
  const again: Run = { ...run, attempt: 2 };

  /** Of a step whose files always have the same services. */
  const rerun = (revisions: readonly Revision[], asking: Run): unknown =>
    rerunOf(revisions, asking, () => true);

  it('restores what the run deployed where other runs deployed since', () => {
    expect(rerun(history({ run }, { run: other }), again)).toMatchObject({
      kind: 'restore',
      revision: { number: 1 },
    });
  });

  it.each([
    ['the first attempt', history({ run }, { run: other }), run],
    ['nothing else since', history({ run }), again],
    [
      'nothing of others since but what was refused',
      history({ run }, { run: other, ...invalid }),
      again,
    ],
    ['only others before', history({ run: other }, { run }), again],
    ['a first attempt that failed', history({ run, ...failed }, { run: other }), again],
    ['another step of the run since', history({ run }, { run: { ...run, step: 'x' } }), again],
    ['no history', [], again],
    ['a whole history without it', history({ run: other }), again],
    ['a run without an id', history({ run: { ...run, runId: '' } }), { ...again, runId: '' }],
    ['its own attempt alone', history({ run: again }, { run: other }), again],
  ])('deploys as usual: %s', (_, revisions, asking) => {
    expect(rerun(revisions, asking)).toEqual({ kind: 'ordinary' });
  });

  it.each([{ job: 'staging' }, { step: 'second' }, { repository: 'acme/other' }, { runId: '101' }])(
    'takes nothing of %j for its own',
    (odd) => {
      const told = history({ run: { ...run, ...odd } }, { run: other });
      expect(rerun(told, again)).toEqual({ kind: 'ordinary' });
    },
  );

  it.each(STATUSES)('counts a newer run whose revision is %s, if it was started', (status) => {
    const kind = status === 'invalid' ? 'ordinary' : 'restore';
    expect(rerun(history({ run }, { run: other, status }), again)).toMatchObject({ kind });
  });

  it('says when the history is not whole and has nothing of the run', () => {
    expect(rerun([revision(5, { run: other })], again)).toEqual({ kind: 'forgotten' });
    const gap = [revision(3, { run: other }), revision(1, { run: other })];
    expect(rerun(gap, again)).toEqual({ kind: 'forgotten' });
    const refused = [revision(3, { run, ...failed }), revision(1, { run: other })];
    expect(rerunOf(refused, again, () => undefined)).toEqual({ kind: 'ordinary' });
  });

  it('tells the jobs of a matrix apart by what they deploy', () => {
    const told = history({ run }, { run }, { run: other });
    const only = (number: number) => (each: Revision) => each.number === number;
    for (const number of [1, 2])
      expect(rerunOf(told, again, only(number))).toMatchObject({
        kind: 'restore',
        revision: { number },
      });
    expect(rerunOf(told, again, () => false)).toEqual({ kind: 'ordinary' });
    expect(rerunOf([told[0]!, told[2]!], again, () => false)).toEqual({ kind: 'forgotten' });
  });

  it('restores again what a former re-run restored', () => {
    const told = history({ run }, { run: other }, { run: again, mode: 'rollback', source: 1 });
    expect(rerun(told, { ...run, attempt: 3 })).toMatchObject({
      kind: 'restore',
      revision: { number: 3, source: 1 },
    });
  });

  it('deploys as usual after a re-run that deployed from its files', () => {
    const told = history({ run }, { run: other }, { run: again });
    expect(rerun(told, { ...run, attempt: 3 })).toEqual({ kind: 'ordinary' });
  });
});

describe('overtakes', () => {
  const newer = { run: { ...run, runId: '1000' }, commit: 'newer' };

  it('is what a newer run deployed', () => {
    expect(numberOf(overtakes(history(newer), run))).toBe(1);
    expect(numberOf(overtakes(history({ ...newer, ...failed }), run))).toBe(1);
    expect(numberOf(overtakes(history(newer), { ...run, attempt: 2 }))).toBe(1);
  });

  it.each([
    ['nothing runs', history({ ...newer, ...rolledBack }), run],
    ['it is an older run', history({ ...newer, run: { ...run, runId: '99' } }), run],
    ['it is the same run', history({ ...newer, run }), run],
    ['it is the same commit', history({ ...newer, commit: run.commit }), run],
    ['the repository is another', history(newer), { ...run, repository: 'acme/other' }],
    ['the run says nothing of itself', history(newer), { ...run, runId: '' }],
    ['its run said nothing', history({ ...newer, run: { ...run, runId: '' } }), run],
  ])('is nothing where %s', (_, revisions, asking) => {
    expect(overtakes(revisions, asking)).toBeUndefined();
  });

  it('counts ids beyond what a double holds', () => {
    const [older, later] = ['9007199254740992', '9007199254740993'];
    expect(
      overtakes(history({ ...newer, run: { ...run, runId: later } }), { ...run, runId: older }),
    ).toBeDefined();
  });
});

describe('surplus', () => {
  it('is what is older than the newest ones', () => {
    expect(surplus(history(good, good, good, good), 3)).toEqual([1]);
    expect(surplus(history(good, good), 3)).toEqual([]);
    expect(surplus([], 3)).toEqual([]);
  });

  it('is all of them where none are to be kept', () => {
    expect(surplus(history(good, failed, pending), 0)).toEqual([3, 2, 1]);
  });

  it('is never what runs, nor what an undo deploys, however much failed since', () => {
    const told = history(good, good, rolledBack, rolledBack, rolledBack);
    expect(surplus(told, 3)).toEqual([4, 3]);
    expect(surplus(told, 2)).toEqual([5, 4, 3]);
    expect(surplus(told, 1)).toEqual([5, 4, 3, 1]);
    expect(surplus(history(good, failed), 1)).toEqual([]);
  });

  it('is first what can be had again from a newer one', () => {
    const told = history({ fingerprint: 'A' }, { fingerprint: 'B' }, { fingerprint: 'B' }, good);
    expect(surplus(told, 3)).toEqual([2]);
    expect(surplus(told, 4)).toEqual([]);
    const unhealthy = history({ fingerprint: 'A' }, { ...failed, fingerprint: 'A' }, good, good);
    expect(surplus(unhealthy, 3)).toEqual([1]);
  });

  it('keeps every promise, whatever the history', () => {
    fc.assert(
      fc.property(anyHistory, fc.integer({ min: 0, max: 8 }), (revisions, limit) => {
        const dropped = surplus(revisions, limit);
        const kept = revisions.filter(({ number }) => !dropped.includes(number));
        expect(new Set(dropped).size).toBe(dropped.length);
        expect(kept.length + dropped.length).toBe(revisions.length);
        if (limit === 0) {
          expect(kept).toEqual([]);
          return;
        }
        const must = new Set(
          [
            current(revisions),
            revisions.find(isGood),
            limit >= 2 ? undoOf(revisions) : undefined,
            ...revisions.filter(({ status }) => status === 'pending'),
          ].filter((each) => each !== undefined),
        );
        for (const each of must) expect(kept).toContain(each);
        expect(kept.length).toBe(Math.min(revisions.length, Math.max(limit, must.size)));
        // Trimming changes nothing that a later decision rests on, and once is enough.
        expect(current(kept)).toBe(current(revisions));
        if (limit >= 2) expect(undoOf(kept)).toBe(undoOf(revisions));
        expect(surplus(kept, limit)).toEqual([]);
        // A content that was worth a place is not lost to a second copy of another.
        const copies = kept.filter(
          (each) =>
            !must.has(each) &&
            kept.some(
              (other) =>
                isGood(other) &&
                other.number > each.number &&
                other.fingerprint !== undefined &&
                other.fingerprint === each.fingerprint,
            ),
        );
        if (copies.length > 0)
          for (const number of dropped) {
            const lost = revisions.find((each) => each.number === number)!;
            expect(
              kept.some(
                (other) =>
                  isGood(other) &&
                  other.number > number &&
                  other.fingerprint !== undefined &&
                  other.fingerprint === lost.fingerprint,
              ),
            ).toBe(true);
          }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('stale', () => {
  const start = Date.parse('2026-11-22T10:00:00.000Z');
  const hour = 60 * 60 * 1000;
  const unlocked = { ...pending, locked: false };

  it('is every pending revision that was made under the lock', () => {
    const told = history(good, pending, failed, pending);
    expect(stale(told, start).map(({ number }) => number)).toEqual([4, 2]);
  });

  it('leaves one without the lock an hour', () => {
    expect(stale(history(unlocked), start + hour)).toEqual([]);
    expect(stale(history(unlocked), start + hour + 1)).toHaveLength(1);
    expect(stale(history({ ...unlocked, startedAt: 'soon' }), start)).toHaveLength(1);
  });
});

describe('labels', () => {
  const text = fc.string({ unit: 'grapheme-ascii', maxLength: 20 }).map((each) => each.trim());
  const plain = text.filter((each) => !each.startsWith('::') && !each.includes('##['));

  it('hold all of a revision', () => {
    fc.assert(
      fc.property(
        fc.record(
          {
            number: fc.integer({ min: 2, max: 1e9 }),
            id: plain,
            status: anyStatus,
            reason: plain,
            mode: fc.constantFrom('deploy' as const, 'rollback' as const),
            commit: plain,
            source: fc.constant(1),
            mixed: fc.constant(true as const),
            startedAt: plain,
            durationMs: fc.nat(),
            locked: fc.boolean(),
            fingerprint: plain.filter((each) => each !== ''),
            run: fc.record({
              repository: plain,
              commit: plain,
              ref: plain,
              actor: plain,
              runUrl: plain,
              runId: plain,
              runNumber: plain,
              attempt: fc.integer({ min: 1, max: 1000 }),
              workflow: plain,
              job: plain,
              step: plain,
            }),
          },
          {
            requiredKeys: [
              'number',
              'id',
              'status',
              'reason',
              'mode',
              'commit',
              'startedAt',
              'locked',
              'run',
            ],
          },
        ),
        (whole) => {
          expect(revisionOf(whole.number, labelsOf(whole as Revision))).toEqual(whole);
        },
      ),
    );
  });

  it('are read as far as they can be, whatever they are', () => {
    const names = Object.keys(labelsOf(revision(2, { source: 1, mixed: true, durationMs: 3 })));
    const odd = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('-1', '0', '1e9', 'NaN', '9'.repeat(40), 'x'.repeat(9000), null, 7, {}),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), odd), (labels) => {
        const read = revisionOf(7, labels);
        expect(read.number).toBe(7);
        expect(STATUSES).toContain(read.status);
        expect(origin(read)).toBeLessThanOrEqual(7);
        expect(read.durationMs ?? 0).toBeGreaterThanOrEqual(0);
        for (const value of Object.values({ ...read, ...read.run }).map(String))
          expect(value.length).toBeLessThanOrEqual(1024);
      }),
    );
    expect(revisionOf(3, {})).toMatchObject({ status: 'unknown', locked: false });
    expect(revisionOf(3, { 'swarm-deploy.source': '3' })).not.toHaveProperty('source');
    expect(revisionOf(3, { 'swarm-deploy.source': '2' })).toHaveProperty('source', 2);
  });
});
