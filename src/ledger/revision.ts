/**
 * The revisions of a stack as values, and every decision that is made from them. A list of revisions
 * is newest first, throughout.
 */
import { countIn, shortLine, type Run } from './run.js';

/** How a deploy ended, as far as it has; `unknown` where the swarm holds something unreadable. */
export const STATUSES = [
  'pending',
  'deployed',
  'unchanged',
  'rolled-back',
  'rollback-failed',
  'failed',
  'superseded',
  'cancelled',
  'unreachable',
  'interrupted',
  'invalid',
  'unknown',
] as const;
export type Status = (typeof STATUSES)[number];

/** One deploy of the stack. */
export interface Revision {
  /** Counts from 1 for each stack; never given twice. */
  readonly number: number;
  /** Random, in hex: tells whose write it was where an answer was lost. */
  readonly id: string;
  readonly status: Status;
  /** A slug of the `reason` output, or ''. */
  readonly reason: string;
  readonly mode: 'deploy' | 'rollback';
  /** The commit that the content comes from: that of the source, where there is one. */
  readonly commit: string;
  /** The number of the revision that had this content first, if it is deployed again. */
  readonly source?: number;
  /** Only the services of the source's files are those of the source: a re-run leaves others alone. */
  readonly mixed?: true;
  /** ISO 8601, in UTC. */
  readonly startedAt: string;
  readonly durationMs?: number;
  /** Whether it was made under the stack's lock. */
  readonly locked: boolean;
  /** The same for the same services; there is none before the stack has been deployed. */
  readonly fingerprint?: string;
  /** The run that made it. */
  readonly run: Run;
}

/** What identifies a revision for its own run. */
export type Open = Pick<Revision, 'number' | 'id'>;

/** How a revision ended. */
export type Ending = Pick<Revision, 'status' | 'reason' | 'durationMs'>;

/** What runs is what was asked for. */
export function isGood({ status }: Pick<Revision, 'status'>): boolean {
  return status === 'deployed' || status === 'unchanged';
}

/** The number of the revision that had the content first. */
export function origin(revision: Pick<Revision, 'number' | 'source'>): number {
  return revision.source ?? revision.number;
}

/** The number from which an undo goes back: a copy of a whole stack stands where that stood. */
export function place(revision: Pick<Revision, 'number' | 'source' | 'mixed'>): number {
  return revision.mixed === true ? revision.number : origin(revision);
}

/** These left the stack as it was before, or have not ended. */
const LEFT_NOTHING: readonly Status[] = ['pending', 'rolled-back', 'invalid'];

/** The revision whose content should run now, wholly or in part, by how the runs ended. */
export function current(revisions: readonly Revision[]): Revision | undefined {
  return revisions.find(({ status }) => !LEFT_NOTHING.includes(status));
}

const differ = (a: Revision, b: Revision): boolean =>
  a.fingerprint === undefined || a.fingerprint !== b.fingerprint;

/**
 * What an undo deploys: the newest good revision from before what runs now had its content first.
 * Deploying it moves that point back, so that the next undo goes further back.
 * @param now what runs; undefined where that is no revision's, which an undo takes back
 */
export function previousOf(
  revisions: readonly Revision[],
  now: Revision | undefined,
): Revision | undefined {
  if (now === undefined) return revisions.find(isGood);
  return revisions.find((each) => isGood(each) && each.number < place(now) && differ(each, now));
}

export type Selection =
  | { readonly kind: 'found'; readonly revision: Revision }
  | { readonly kind: 'none' }
  /** The text begins several commits. */
  | { readonly kind: 'ambiguous'; readonly commits: readonly string[] }
  /** There is such a revision, but what it deployed never became healthy. */
  | { readonly kind: 'not-good'; readonly revision: Revision };

/** What git itself takes for an abbreviation, and what nobody takes for a revision's number. */
const SHORTEST_COMMIT = 4;
const SHORTEST_NUMERIC_COMMIT = 7;

/**
 * The revision that `previous`, a number or the start of a commit's SHA means.
 * @param now what runs, as for `previousOf`
 */
export function select(
  revisions: readonly Revision[],
  text: string,
  now: Revision | undefined,
): Selection {
  if (text === 'previous') return selected(previousOf(revisions, now));
  const numbered = revisions.find(({ number }) => String(number) === text);
  if (numbered !== undefined) return selected(numbered);
  const shortest = /^\d+$/.test(text) ? SHORTEST_NUMERIC_COMMIT : SHORTEST_COMMIT;
  if (text.length < shortest || !/^[\da-f]+$/i.test(text)) return { kind: 'none' };
  const matching = revisions.filter(({ commit }) => commit.startsWith(text.toLowerCase()));
  const commits = [...new Set(matching.map(({ commit }) => commit))];
  if (commits.length > 1) return { kind: 'ambiguous', commits };
  return selected(matching.find(isGood) ?? matching[0]);
}

function selected(revision: Revision | undefined): Selection {
  if (revision === undefined) return { kind: 'none' };
  return { kind: isGood(revision) ? 'found' : 'not-good', revision };
}

export type Rerun =
  /** What this run deployed once, before other runs deployed something else. */
  | { readonly kind: 'restore'; readonly revision: Revision }
  | { readonly kind: 'ordinary' }
  /** Nothing of this run is recorded, and the history is not whole any more. */
  | { readonly kind: 'forgotten' };

const sameRun = (a: Run, b: Run): boolean =>
  a.runId !== '' && a.runId === b.runId && a.repository === b.repository;

const madeBy = (revisions: readonly Revision[], run: Run): readonly Revision[] =>
  revisions.filter(
    (each) => sameRun(each.run, run) && each.run.job === run.job && each.run.step === run.step,
  );

/** The newest good revision that an earlier attempt of this very step has made. */
export function earlierOf(revisions: readonly Revision[], run: Run): Revision | undefined {
  if (run.attempt <= 1 || run.runId === '') return undefined;
  return madeBy(revisions, run).find((each) => isGood(each) && each.run.attempt < run.attempt);
}

/**
 * What a deploy is, given that it may be a re-run.
 * @param isOurs whether the services of a revision are those of the files: the jobs of a matrix are
 *   one to the runner's variables. Undefined where a revision does not say.
 */
export function rerunOf(
  revisions: readonly Revision[],
  run: Run,
  isOurs: (revision: Revision) => boolean | undefined,
): Rerun {
  if (run.attempt <= 1 || run.runId === '') return { kind: 'ordinary' };
  const mine = madeBy(revisions, run).filter((each) => isOurs(each) !== false);
  if (mine.length === 0) return { kind: isWhole(revisions) ? 'ordinary' : 'forgotten' };
  const revision = earlierOf(mine, run);
  if (revision === undefined) return { kind: 'ordinary' };
  // Since its content was first deployed: a second re-run restores what the first one restored. How
  // the others ended does not count: a deploy that failed may be what has to be undone.
  const overtaken = revisions.some(
    ({ status, number, run: other }) =>
      status !== 'invalid' && number > origin(revision) && !sameRun(other, run),
  );
  return overtaken ? { kind: 'restore', revision } : { kind: 'ordinary' };
}

/** Whether no revision is missing, as far as their numbers tell. */
const isWhole = (revisions: readonly Revision[]): boolean =>
  revisions.length >= (revisions[0]?.number ?? 0);

/**
 * The current revision, if it is another commit's from a newer run of the same repository: this run
 * was started before it, and deploys over it late or again.
 */
export function overtakes(revisions: readonly Revision[], run: Run): Revision | undefined {
  const now = current(revisions);
  if (now === undefined || now.run.repository !== run.repository) return undefined;
  if (!/^\d+$/.test(run.runId) || !/^\d+$/.test(now.run.runId)) return undefined;
  return now.commit !== run.commit && BigInt(now.run.runId) > BigInt(run.runId) ? now : undefined;
}

/**
 * The numbers of the revisions to drop, so that at most `limit` stay. What runs, the newest good one
 * and what has not ended stay in any case, so does what an undo would deploy if `limit` is 2 or more.
 * 0 drops all.
 */
export function surplus(revisions: readonly Revision[], limit: number): readonly number[] {
  if (limit <= 0) return revisions.map(({ number }) => number);
  const now = current(revisions);
  const kept = new Set(
    [
      now,
      revisions.find(isGood),
      limit >= 2 ? previousOf(revisions, now) : undefined,
      ...revisions.filter(({ status }) => status === 'pending'),
    ].filter((each) => each !== undefined),
  );
  const repeated = (each: Revision): boolean =>
    [...kept].some((other) => isGood(other) && other.number > each.number && !differ(other, each));
  // What can be had again from a newer one goes first.
  for (const wanted of [(each: Revision) => !repeated(each), () => true])
    for (const each of revisions) if (kept.size < limit && wanted(each)) kept.add(each);
  return revisions.filter((each) => !kept.has(each)).map(({ number }) => number);
}

/** A run takes at most six hours on GitHub's own machines, but a rollout rarely a quarter of one. */
const ABANDONED_MS = 60 * 60 * 1000;

/**
 * Revisions that nobody will end, for a caller that holds the lock: those made under it are of runs
 * that lost it, others are of runs that may be alive until an hour has passed.
 * @param now milliseconds since 1970
 */
export function stale(revisions: readonly Revision[], now: number): readonly Revision[] {
  return revisions.filter(({ status, locked, startedAt }) => {
    if (status !== 'pending') return false;
    // Not `>`: what has no readable time is old.
    return locked || !(now - Date.parse(startedAt) <= ABANDONED_MS);
  });
}

const LABEL = 'swarm-deploy.';

/** The labels that hold all of a revision. */
export function labelsOf(revision: Revision): Readonly<Record<string, string>> {
  const { run } = revision;
  const texts: Readonly<Record<string, string | undefined>> = {
    number: String(revision.number),
    id: revision.id,
    status: revision.status,
    reason: revision.reason,
    mode: revision.mode,
    commit: revision.commit,
    source: revision.source?.toString(),
    mixed: revision.mixed?.toString(),
    started: revision.startedAt,
    duration:
      revision.durationMs === undefined ? undefined : String(Math.round(revision.durationMs)),
    locked: String(revision.locked),
    fingerprint: revision.fingerprint,
    repository: run.repository,
    'run-commit': run.commit,
    ref: run.ref,
    actor: run.actor,
    'run-url': run.runUrl,
    'run-id': run.runId,
    'run-number': run.runNumber,
    attempt: String(run.attempt),
    workflow: run.workflow,
    job: run.job,
    step: run.step,
  };
  return Object.fromEntries(
    Object.entries(texts).flatMap(([name, text]) =>
      text === undefined ? [] : [[LABEL + name, shortLine(text)]],
    ),
  );
}

/**
 * The revision that labels tell of, as far as they can be read.
 * @param number from the config's name, which nobody can change
 */
export function revisionOf(number: number, labels: Readonly<Record<string, unknown>>): Revision {
  const text = (name: string): string => {
    const value = labels[LABEL + name];
    return typeof value === 'string' ? shortLine(value) : '';
  };
  const status = STATUSES.find((each) => each === text('status')) ?? 'unknown';
  const source = countIn(text('source'), undefined);
  const duration = /^\d{1,15}$/.test(text('duration')) ? Number(text('duration')) : undefined;
  return {
    number,
    id: text('id'),
    status,
    reason: text('reason'),
    mode: text('mode') === 'rollback' ? 'rollback' : 'deploy',
    commit: text('commit'),
    // One that is not older would make an undo go forward.
    ...(source === undefined || source >= number ? {} : { source }),
    ...(text('mixed') === 'true' ? { mixed: true } : {}),
    startedAt: text('started'),
    ...(duration === undefined ? {} : { durationMs: duration }),
    locked: text('locked') === 'true',
    ...(text('fingerprint') === '' ? {} : { fingerprint: text('fingerprint') }),
    run: {
      repository: text('repository'),
      commit: text('run-commit'),
      ref: text('ref'),
      actor: text('actor'),
      runUrl: text('run-url'),
      runId: text('run-id'),
      runNumber: text('run-number'),
      attempt: countIn(text('attempt'), 1),
      workflow: text('workflow'),
      job: text('job'),
      step: text('step'),
    },
  };
}
