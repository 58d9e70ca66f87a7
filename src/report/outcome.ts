/** The end of a run as one value: what outputs, summary, annotations and report are made from. */
import type { Outcome, Position, Problem, Reason } from '../errors.js';
import type { Revision } from '../ledger/revision.js';
import type { Failure } from '../rollout/classify.js';

/** What became of one service. */
export interface ServiceReport {
  readonly name: string;
  readonly change: 'created' | 'updated' | 'unchanged' | 'removed';
  /** Reference without digest, and the digest where the registry gave one. */
  readonly image: string;
  readonly digest: string;
  readonly previousImage: string;
  readonly previousDigest: string;
  readonly replicas: { readonly running: number; readonly desired: number };
  readonly outcome:
    'healthy' | 'accepted' | 'failed' | 'restored' | 'removed' | 'untouched' | 'unknown';
  readonly reason: Reason | '';
}

export interface TimelineEntry {
  /** Milliseconds since the run began. */
  readonly at: number;
  readonly text: string;
}

/** A task as it was last seen. */
export interface TaskReport {
  readonly id: string;
  readonly service: string;
  readonly slot: number | undefined;
  readonly node: string;
  readonly state: string;
  readonly desiredState: string;
  readonly upToDate: boolean;
  readonly error: string;
}

/** A failure with its node's name. */
export interface FailureReport extends Failure {
  readonly node: string;
}

export interface RunReport {
  readonly stack: string;
  readonly mode: string;
  readonly manager: string;
  readonly outcome: Outcome;
  readonly reason: Reason | '';
  /** The verdict in one sentence. */
  readonly message: string;
  readonly hint: string;
  readonly position: Position | undefined;
  readonly problems: readonly Problem[];
  readonly services: readonly ServiceReport[];
  readonly failures: readonly FailureReport[];
  readonly warnings: readonly string[];
  readonly timeline: readonly TimelineEntry[];
  readonly durationMs: number;
  /** The decided inputs without any secret. */
  readonly inputs: object;
  readonly tasks: readonly TaskReport[];
  /** The revision that this run made, or that runs now. */
  readonly revision: number | undefined;
  readonly previousRevision: number | undefined;
  /** With `mode: status`: newest first. */
  readonly history: readonly Revision[];
}
