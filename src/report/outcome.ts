/** The end of a run as one value: what outputs, summary, annotations and report are made from. */
import type { Outcome, Position, Problem, Reason } from '../errors.js';
import type { Places } from '../compose/places.js';
import type { Finding } from '../lint/lint.js';
import type { Run } from '../ledger/run.js';
import type { Revision } from '../ledger/revision.js';
import type { Kind, UpdateState } from '../model.js';
import type { Plan } from '../planning/difference.js';
import type { Failure } from '../rollout/classify.js';
import type { Bar } from './chart.js';
import type { Dossier, Verification } from './dossier.js';

/**
 * How well a service does what it is meant to. Well: `healthy`, `no-healthcheck` (all tasks run, and
 * nothing tells more), `running` (the same, and this manager does not know whether the image has a
 * healthcheck), `completed`, `idle` (no task is asked for), `no-node` (a global service that fits
 * none). Perhaps soon: `in-progress` (a job), `starting`, `updating`, `unstable` (all tasks run, but
 * one failed in the last five minutes). Else `degraded` (some tasks run), `down` (none), `failed` (and
 * none will).
 */
export type Health =
  | 'healthy'
  | 'no-healthcheck'
  | 'running'
  | 'completed'
  | 'idle'
  | 'no-node'
  | 'in-progress'
  | 'starting'
  | 'updating'
  | 'unstable'
  | 'degraded'
  | 'down'
  | 'failed';

/** A slot or node where no task runs that should, or where tasks have failed. */
export interface PlaceState {
  /** `shop_api.3`; without a number for global services. */
  readonly name: string;
  readonly node: string;
  /** Of the task that is there now, in Docker's words; '' where there is none. */
  readonly state: string;
  /** Since when it is so. */
  readonly seconds: number | null;
  readonly error: string;
  /** Failed tasks that Swarm still remembers: at most five, however long ago. */
  readonly failures: number;
  readonly lastFailure: {
    readonly reason: Reason;
    readonly node: string;
    readonly secondsAgo: number | null;
    readonly error: string;
  } | null;
}

/** What one service is doing, at one look. */
export interface ServiceState {
  readonly mode: Kind['kind'];
  readonly health: Health;
  /** null where this manager cannot tell, as it has not got the image. */
  readonly healthcheck: boolean | null;
  /** Tasks of another version that are still meant to run. */
  readonly older: number;
  /** Tasks that share their slot or node with another one. */
  readonly extra: number;
  /** Swarm's own update status and its message; '' where there was no update. */
  readonly update: UpdateState | '';
  readonly updateMessage: string;
  readonly tasks: readonly PlaceState[];
}

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
  /** How many of the running ones have ended with exit code 0, as they may; absent where none has. */
  readonly ended?: number;
  readonly outcome:
    'healthy' | 'accepted' | 'failed' | 'restored' | 'removed' | 'untouched' | 'unknown';
  readonly reason: Reason | '';
  /** With `mode: status`. */
  readonly state?: ServiceState;
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
  /** What the lint found in the stack files, by file and line. */
  readonly lint: readonly Finding[];
  readonly timeline: readonly TimelineEntry[];
  /** What took how long. */
  readonly bars?: readonly Bar[];
  /** Where in the stack files what fails has its place; absent where none were deployed. */
  readonly places?: Places | undefined;
  /** The workflow run that this was part of. */
  readonly run?: Run;
  readonly durationMs: number;
  /** The decided inputs without any secret. */
  readonly inputs: object;
  readonly tasks: readonly TaskReport[];
  /** The revision that this run made, or that runs now. */
  readonly revision: number | undefined;
  readonly previousRevision: number | undefined;
  /** With `mode: status`: newest first. */
  readonly history: readonly Revision[];
  /** With `mode: plan`. */
  readonly plan?: Plan | undefined;
  /** Of a deploy that failed: the evidence; empty otherwise. */
  readonly dossier: Dossier;
  /** What became of the checks of `verify`, in their order. */
  readonly verification: readonly Verification[];
}
