import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { renderSummary } from '../../../scripts/render-summary.mjs';
import { revisionOf, type Revision } from '../../../src/ledger/revision.js';
import { runFacts } from '../../../src/ledger/run.js';
import { historyLines, historyTable } from '../../../src/report/history.js';

const run = {
  ...runFacts({}),
  ref: 'refs/heads/main',
  actor: 'ann',
  runUrl: 'https://github.com/o/r/actions/runs/7',
  runNumber: '42',
};
const revision = (number: number, more: Partial<Revision> = {}): Revision => ({
  number,
  id: `id${number}`,
  status: 'deployed',
  reason: '',
  mode: 'deploy',
  commit: 'c0ffee1'.padEnd(40, '0'),
  startedAt: '2026-11-22T10:15:42.123Z',
  durationMs: 14_000,
  locked: true,
  fingerprint: `content of ${number}`,
  run,
  ...more,
});
const withRun = (more: Partial<Revision['run']>): Revision =>
  revision(1, { run: { ...run, ...more } });
const rows = (revisions: readonly Revision[], max = 10): readonly string[] =>
  historyTable(revisions, STANDING, max)
    .filter((line) => line.startsWith('|'))
    .slice(2);
/** Of a row: revision, ended, started, took, commit, ref, by, run. */
const cells = (row: string | undefined): readonly string[] =>
  (row ?? '')
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());

const STANDING = { now: 4, previous: 1 };
/** Newest first: 4 runs, 2 is what an undo deploys. */
const told = [
  revision(4, { source: 3, fingerprint: 'content of 3', mode: 'rollback' }),
  revision(3, { commit: 'beef123' }),
  revision(2, { status: 'rolled-back', reason: 'crash-loop' }),
  revision(1),
];

describe('the log', () => {
  it('has a line for each revision, aligned, newest first', () => {
    expect(historyLines(told, STANDING)).toEqual([
      'REVISION      ENDED                    STARTED            TOOK  COMMIT   REF   BY   RUN',
      '4 (runs now)  deployed (as 3)          2026-11-22 10:15Z  14 s  c0ffee1  main  ann  https://github.com/o/r/actions/runs/7',
      '3             deployed                 2026-11-22 10:15Z  14 s  beef123  main  ann  https://github.com/o/r/actions/runs/7',
      '2             rolled-back: crash-loop  2026-11-22 10:15Z  14 s  c0ffee1  main  ann  https://github.com/o/r/actions/runs/7',
      '1 (previous)  deployed                 2026-11-22 10:15Z  14 s  c0ffee1  main  ann  https://github.com/o/r/actions/runs/7',
    ]);
  });

  it('says so where there is none', () => {
    expect(historyLines([], STANDING)).toEqual(['no revisions are recorded']);
  });

  it('leaves out columns of which nothing is known, as outside of GitHub', () => {
    const [head] = historyLines([revision(1, { commit: '', run: runFacts({}) })], STANDING);
    expect(head).toBe('REVISION      ENDED     STARTED            TOOK');
  });
});

describe('the summary', () => {
  it('has a row for each revision, newest first', () => {
    const all = rows(told).map(cells);
    expect(all.map(([number]) => number)).toEqual(['**4**, runs now', '3', '2', '**1**, previous']);
    expect(all.map(([, ended]) => ended)).toEqual([
      '✅ deployed (as 3)',
      '✅ deployed',
      '❌ rolled-back&#58; crash-loop',
      '✅ deployed',
    ]);
    expect(all[0]?.slice(2)).toEqual([
      '2026-11-22 10:15Z',
      '14 s',
      '<code>c0ffee1</code>',
      'main',
      'ann',
      '[42](https://github.com/o/r/actions/runs/7)',
    ]);
  });

  it('shows a revision that has not ended as that', () => {
    const open = revision(2, { status: 'pending' });
    expect(cells(rows([open])[0])[1]).toBe('⏳ pending');
    expect(cells(rows([open])[0])[0]).toBe('2');
  });

  it('tells a later attempt', () => {
    expect(rows([withRun({ attempt: 3 })])[0]).toContain('[42 attempt 3](');
  });

  it('says how many it leaves out, and where there is none', () => {
    expect(rows(told, 3)).toHaveLength(3);
    expect(historyTable(told, STANDING, 3).join('\n')).toContain('and 1 older revision');
    expect(historyTable(told, STANDING, 4).join('\n')).not.toContain('older');
    expect(historyTable([], STANDING, 4).join('\n')).toContain('No revisions are recorded.');
  });

  it.each([
    ['2026-11-22T10:15:42+09:00', ''],
    ['2026-11-22T10:15:42Z', '2026-11-22 10:15Z'],
    ['soon', ''],
  ])('a start of %j is shown as %j', (startedAt, text) => {
    expect(rows([revision(1, { startedAt })])[0]?.includes('2026')).toBe(text !== '');
    expect(historyLines([revision(1, { startedAt })], STANDING).join('\n')).toContain(text);
  });
});

describe('the address of a run', () => {
  it.each([
    'https://github.com/o/r/actions/runs/7/attempts/2',
    'http://ghes.example:8443/o/r.x_y-z/actions/runs/7',
    'https://[2001:db8::1]:8443/o/r/actions/runs/7',
    'https://x/1001',
  ])('%s is a link', (runUrl) => {
    expect(rows([withRun({ runUrl })])[0]).toContain(`[42](${runUrl})`);
    expect(historyLines([withRun({ runUrl })], STANDING)[1]).toContain(runUrl);
  });

  it.each([
    'javascript:alert(1)',
    'data:text/html,x',
    'file:///etc/passwd',
    '//evil.example/x',
    'https://github.com@evil.example/o/r',
    'https://x/a) <img src=x> [y](https://evil.example',
    'https://x/a b',
    'https://x/a|b',
    'https://x/a`b',
    'https://x/a<b>',
    'https://x/(a)',
    'https://x/a\\b',
    'https://x/a"b',
    'https://x/a&b',
    ' https://x/a',
    'https://',
    'not at all',
  ])('%j is none, and is shown nowhere', (runUrl) => {
    const text = historyTable([withRun({ runUrl })], STANDING, 10).join('\n');
    expect(text).not.toContain('](');
    expect(cells(rows([withRun({ runUrl })])[0])[7]).toBe('42');
    expect(historyLines([withRun({ runUrl })], STANDING)[1]).toMatch(/ann {2}42$/);
  });
});

describe('a history that somebody else wrote', () => {
  const nasty = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc
      .array(
        fc.constantFrom(
          ...['|', '\n', '\r', '`', '<img src=x onerror=y>', '</table>', '](', '[x](http://evil)'],
          ...[
            '::error::',
            '##[group]',
            '\u001b[31m',
            '\u202e',
            '**',
            '&lt;',
            '@all',
            'https://x/',
            ' ',
          ],
          ...['![i](http://evil/i.png)', 'www.evil.example', '\\', '<!--', 'x', '-->', '# ', '- '],
        ),
        { maxLength: 8 },
      )
      .map((parts) => parts.join('')),
  );
  const labels = fc.record({
    'swarm-deploy.status': fc.oneof(fc.constantFrom('deployed', 'pending'), nasty),
    'swarm-deploy.reason': nasty,
    'swarm-deploy.commit': nasty,
    'swarm-deploy.started': nasty,
    'swarm-deploy.ref': nasty,
    'swarm-deploy.actor': nasty,
    'swarm-deploy.run-url': nasty,
    'swarm-deploy.run-number': nasty,
    'swarm-deploy.attempt': fc.oneof(fc.constant('2'), nasty),
  });

  it('cannot write markup: a row is a row, and links lead where their address says', () => {
    fc.assert(
      fc.property(labels, (hostile) => {
        const lines = historyTable([revision(2), revisionOf(1, hostile)], STANDING, 10);
        const [good, bad] = lines.filter((line) => line.startsWith('|')).slice(2);
        expect(bad?.split('|')).toHaveLength(good?.split('|').length ?? 0);
        const html = renderSummary(lines.join('\n'));
        expect(html.match(/<tr>/g)).toHaveLength(3);
        const tags = new Set(
          (html.match(/<\/?[a-z0-9]+/g) ?? []).map((tag) => tag.replace('/', '')),
        );
        for (const tag of ['<h3', '<table', '<thead', '<tbody', '<tr', '<th', '<td', '<strong'])
          tags.delete(tag);
        for (const tag of ['<code', '<a', '<span']) tags.delete(tag);
        expect([...tags]).toEqual([]);
        for (const [, href] of html.matchAll(/<a href="([^"]*)"/g))
          expect(href).toMatch(/^https?:\/\/[\w.:/-]+$/);
        expect(html.match(/<a /g)?.length ?? 0).toBeLessThanOrEqual(2);
      }),
      { numRuns: 300 },
    );
  });

  it('cannot command the runner or the terminal', () => {
    fc.assert(
      fc.property(labels, (hostile) => {
        const lines = historyLines([revision(2), revisionOf(1, hostile)], STANDING);
        expect(lines).toHaveLength(3);
        for (const line of lines) {
          expect(line.trimStart()).not.toMatch(/^::/);
          expect(line).not.toContain('##[');
          expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
        }
      }),
      { numRuns: 300 },
    );
  });
});
