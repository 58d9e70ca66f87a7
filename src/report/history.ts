/** The history of a stack for people: lines of a log, rows of a summary. */
import { current, isGood, origin, type Revision } from '../ledger/revision.js';
import { code, safeCell, safeLine, spokenTime } from './text.js';

/** `12 deployed 2026-11-22 10:15Z, 1a2b3c4 of main by ann, 14 s: https://...`, newest first. */
export function historyLines(revisions: readonly Revision[]): readonly string[] {
  if (revisions.length === 0) return ['no revisions are recorded'];
  const now = current(revisions);
  return revisions.map((revision) => {
    const { number, run } = revision;
    const mark = revision === now ? ' (runs now)' : '';
    const url = run.runUrl === '' ? '' : `: ${run.runUrl}`;
    return safeLine(
      `revision ${number}${mark}: ${wordsOf(revision).filter(Boolean).join(', ')}${url}`,
    );
  });
}

function wordsOf(revision: Revision): readonly string[] {
  const { run, durationMs } = revision;
  return [
    statusText(revision),
    whenText(revision),
    [commitText(revision), refText(run.ref)].filter(Boolean).join(' of '),
    run.actor === '' ? '' : `by ${run.actor}`,
    durationMs === undefined ? '' : spokenTime(durationMs),
  ];
}

/** A table in GitHub's markdown, newest first. */
export function historyTable(revisions: readonly Revision[], max: number): readonly string[] {
  if (revisions.length === 0) return [];
  const now = current(revisions);
  const rows = revisions.slice(0, max).map((revision) => {
    const { number, run, durationMs } = revision;
    const label = run.attempt > 1 ? `${run.runNumber} attempt ${run.attempt}` : run.runNumber;
    const link = run.runUrl === '' ? '' : `[${safeCell(label || 'run')}](${run.runUrl})`;
    return [
      revision === now ? `**${number}**, runs now` : String(number),
      `${isGood(revision) ? '✅' : revision.status === 'pending' ? '⏳' : '❌'} ${safeCell(statusText(revision))}`,
      whenText(revision),
      commitText(revision) === '' ? '' : code(commitText(revision)),
      safeCell(refText(run.ref)),
      safeCell(run.actor),
      durationMs === undefined ? '' : spokenTime(durationMs),
      link,
    ];
  });
  return [
    '| revision | ended | started | commit | ref | by | took | run |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...rows.map((cells) => `| ${cells.join(' | ')} |`),
    '',
  ];
}

/** `deployed (as 3)`, `rolled-back: unhealthy`. */
function statusText(revision: Revision): string {
  const { status, reason, number } = revision;
  const as = origin(revision) === number ? '' : ` (as ${origin(revision)})`;
  return `${status}${as}${reason === '' || reason === status ? '' : `: ${reason}`}`;
}

const whenText = ({ startedAt }: Revision): string =>
  /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(startedAt)
    ? `${startedAt.slice(0, 16).replace('T', ' ')}Z`
    : '';

const commitText = ({ commit }: Revision): string =>
  /^[0-9a-f]{7,64}$/.test(commit) ? commit.slice(0, 7) : '';

const refText = (ref: string): string => ref.replace(/^refs\/(heads|tags)\//, '');
