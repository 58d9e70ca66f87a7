/**
 * What is known of the services that made a deploy fail, gathered before a rollback takes the evidence
 * away: what their tasks did, what the failed one said, what that means and what mends it.
 */
import type { Reason } from '../errors.js';
import type { TaskState } from '../model.js';

/** One entry for each service that failed, the one that ended the rollout first. */
export type Dossier = readonly ServiceDossier[];

export interface ServiceDossier {
  /** Its full name, `shop_api`. */
  readonly service: string;
  readonly reason: Reason;
  /** What happened, in plain words; one sentence. */
  readonly cause: string;
  /** What to do about it; one or two sentences. */
  readonly mend: string;
  /** The line of the stack file that the cause is about; counts from 1. */
  readonly place?: { readonly file: string; readonly line: number };
  /** The tasks of its failed slots or nodes, in the order in which they were made. */
  readonly tasks: readonly DossierTask[];
  /** What the failed task wrote last. */
  readonly log?: TaskLog;
}

/** A task as it was last seen. */
export interface DossierTask {
  readonly taskId: string;
  /** Absent for global services. */
  readonly slot?: number;
  /** Its name; '' where it was never placed. */
  readonly node: string;
  readonly state: TaskState;
  readonly exitCode?: number;
  /** Where the exit code is more than the application's own choice. */
  readonly exitMeaning?: string;
  /** Docker's own words, in full; '' where it has not failed. */
  readonly error: string;
  /** When it came to that state: RFC 3339, on the clock of its node; '' where it does not say. */
  readonly at: string;
  /** Milliseconds from its creation until then; absent where Swarm has forgotten the task. */
  readonly tookMs?: number;
}

/** Output of a container: foreign text, as it came but for what is cut and masked. */
export interface TaskLog {
  /** `shop_api.3`; without a number for global services. */
  readonly task: string;
  readonly node: string;
  /** The last ones, oldest first. */
  readonly lines: readonly string[];
  /** How many characters of these lines are left out, as they are too long. */
  readonly cut: number;
  /** Why there are no lines, or not all of them. */
  readonly note?: string;
}

/** What became of one check of the input `verify`. */
export interface Verification {
  /** Without user, password and values of a query. */
  readonly url: string;
  /** What it must answer, for people: `2xx`, `204 containing "version":"7"`. */
  readonly expectation: string;
  readonly ok: boolean;
  /** Of the last answer; absent where there was none. */
  readonly status?: number;
  /** Milliseconds from the first attempt to the end of the last one. */
  readonly tookMs: number;
  readonly attempts: number;
  /** The beginning of the last answer's body; foreign text. */
  readonly body: string;
  /** What is wrong with it, in plain words; '' where nothing is. */
  readonly error: string;
  /** What to do about it; '' where nothing is wrong. */
  readonly mend: string;
}
