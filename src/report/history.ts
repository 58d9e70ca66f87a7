/**
 * The history of a stack for people: tables for the log and for the summary, newest first. Whoever may
 * write configs into the swarm can write a history, so that every text in it is foreign.
 */
import { isGood, origin, type Revision } from '../ledger/revision.js';
import { alignedTable, code, markdownTable, plural, safeCell, spokenTime } from './text.js';

const HEAD = ['revision', 'ended', 'started', 'took', 'commit', 'ref', 'by', 'run'];

/** Numbers of revisions. */
export interface Standing {
  /** What runs, where that is a revision. */
  readonly now: number | undefined;
  /** What `mode: rollback` would deploy. */
  readonly previous: number | undefined;
}

/** An aligned table for the log. */
export function historyLines(
  revisions: readonly Revision[],
  standing: Standing,
): readonly string[] {
  if (revisions.length === 0) return ['no revisions are recorded'];
  const roleOf = roles(standing);
  const rows = revisions.map((revision) => {
    const role = roleOf(revision);
    return [
      role === '' ? String(revision.number) : `${revision.number} (${role})`,
      statusText(revision),
      startText(revision),
      tookText(revision),
      commitText(revision),
      refText(revision),
      revision.run.actor,
      webAddress(revision.run.runUrl) || labelText(revision),
    ];
  });
  return alignedTable(HEAD, rows);
}

/** A table in GitHub's markdown. */
export function historyTable(
  revisions: readonly Revision[],
  standing: Standing,
  max: number,
): readonly string[] {
  if (revisions.length === 0) return ['### History', '', 'No revisions are recorded.', ''];
  const roleOf = roles(standing);
  const rows = revisions.slice(0, max).map((revision) => {
    const role = roleOf(revision);
    return [
      role === '' ? String(revision.number) : `**${revision.number}**, ${role}`,
      `${signOf(revision)} ${safeCell(statusText(revision))}`,
      startText(revision),
      tookText(revision),
      code(commitText(revision)),
      safeCell(refText(revision)),
      safeCell(revision.run.actor),
      link(labelText(revision), webAddress(revision.run.runUrl)),
    ];
  });
  const left = revisions.length - rows.length;
  return [
    '### History',
    '',
    ...markdownTable(HEAD, rows),
    ...(left > 0 ? [`and ${plural(left, 'older revision')}`, ''] : []),
  ];
}

const roles =
  ({ now, previous }: Standing) =>
  ({ number }: Revision): string =>
    number === now ? 'runs now' : number === previous ? 'previous' : '';

function signOf(revision: Revision): string {
  if (isGood(revision)) return '✅';
  return revision.status === 'pending' ? '⏳' : '❌';
}

/** `deployed (as 3)`, `rolled-back: unhealthy`. */
function statusText(revision: Revision): string {
  const { status, reason, number } = revision;
  const as = origin(revision) === number ? '' : ` (as ${origin(revision)})`;
  return `${status}${as}${reason === '' || reason === status ? '' : `: ${reason}`}`;
}

const startText = ({ startedAt }: Revision): string =>
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/.test(startedAt)
    ? `${startedAt.slice(0, 16).replace('T', ' ')}Z`
    : '';

const tookText = ({ durationMs }: Revision): string =>
  durationMs === undefined ? '' : spokenTime(durationMs);

const commitText = ({ commit }: Revision): string =>
  /^[0-9a-f]{7,64}$/.test(commit) ? commit.slice(0, 7) : '';

const refText = ({ run }: Revision): string => run.ref.replace(/^refs\/(heads|tags)\//, '');

const labelText = ({ run }: Revision): string =>
  run.attempt > 1 ? `${run.runNumber} attempt ${run.attempt}`.trim() : run.runNumber;

/**
 * The address, if it is a plain one as run pages have it: nothing that ends a markdown link, and no
 * user name that makes it look like another site's.
 */
export const webAddress = (text: string): string =>
  /^https?:\/\/(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?(?:\/[\w.~%+/-]*)?$/i.test(text) ? text : '';

/** A link in markdown; its label alone where there is no address. */
export const link = (label: string, address: string): string =>
  address === '' ? safeCell(label) : `[${safeCell(label) || 'run'}](${address})`;
