/** What a workflow run says of itself, as it is kept with what the run did to a stack. */
import { safeLine } from '../report/text.js';

/** Texts are short single lines, '' where the runner did not say. */
export interface Run {
  /** `owner/name`. */
  readonly repository: string;
  readonly commit: string;
  /** `refs/heads/main`. */
  readonly ref: string;
  /** Who started this attempt. */
  readonly actor: string;
  /** The page of this very attempt. */
  readonly runUrl: string;
  /** Grows from run to run, on all of a server. */
  readonly runId: string;
  /** Counts the runs of one workflow. */
  readonly runNumber: string;
  /** Counts from 1; more is a re-run. */
  readonly attempt: number;
  readonly workflow: string;
  readonly job: string;
  /** The step's id, or what the runner calls it by. */
  readonly step: string;
}

const MAX_LENGTH = 512;

/** Foreign text as a short line: no control characters, at most 512 characters. */
export function shortLine(text: string): string {
  return Array.from(safeLine(text)).slice(0, MAX_LENGTH).join('');
}

/** A whole number above 0 in decimal digits, else `fallback`. */
export function countIn<Fallback>(text: string | undefined, fallback: Fallback): number | Fallback {
  return text !== undefined && /^[1-9]\d{0,14}$/.test(text) ? Number(text) : fallback;
}

/** Facts of the run from the variables that GitHub's runner sets; none of them is relied on. */
export function runFacts(environment: Readonly<Record<string, string | undefined>>): Run {
  const fact = (name: string): string => shortLine(environment[`GITHUB_${name}`] ?? '');
  const repository = fact('REPOSITORY');
  const runId = fact('RUN_ID');
  const attempt = countIn(environment['GITHUB_RUN_ATTEMPT'], 1);
  return {
    repository,
    commit: fact('SHA'),
    ref: fact('REF'),
    actor: fact('TRIGGERING_ACTOR') || fact('ACTOR'),
    runUrl: runUrlOf(fact('SERVER_URL'), repository, runId, attempt),
    runId,
    runNumber: fact('RUN_NUMBER'),
    attempt,
    workflow: fact('WORKFLOW_REF') || fact('WORKFLOW'),
    job: fact('JOB'),
    step: fact('ACTION'),
  };
}

/** Nothing but a link of the form that is known: it is printed where people click on it. */
function runUrlOf(server: string, repository: string, runId: string, attempt: number): string {
  if (!/^https?:\/\/[\w.:[\]-]+\/?$/.test(server)) return '';
  if (!/^[\w.-]+\/[\w.-]+$/.test(repository) || !/^\d+$/.test(runId)) return '';
  const run = `${server.replace(/\/$/, '')}/${repository}/actions/runs/${runId}`;
  return attempt > 1 ? `${run}/attempts/${attempt}` : run;
}
