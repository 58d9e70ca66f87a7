/** What a rollout is meant to reach, and how it can end. */
import type { Reason } from '../errors.js';
import type { ServiceSpec, UpdateStatus } from '../model.js';

/** What one service is meant to become. */
export interface Target {
  readonly id: string;
  readonly name: string;
  readonly change: 'created' | 'updated' | 'unchanged';
  /** The spec that must be live. */
  readonly spec: ServiceSpec;
  /**
   * In a restore: how many ran before. A stack that was broken before is restored when it is as
   * broken again.
   */
  readonly enough?: number;
  /** In a restore: the places in which tasks failed again and again before; nothing is asked of them. */
  readonly unsteady?: ReadonlySet<string>;
  /** It is not enough that it runs: all of it has to end well, as another service waits for that. */
  readonly mustEnd?: boolean;
  /** The update status from before, which says nothing about this rollout. */
  readonly staleStatus?: UpdateStatus;
}

/** A service that is to go. */
export interface Leaving {
  readonly id: string;
  readonly name: string;
  /** How long its tasks may take to stop: a pause that the user asked for. */
  readonly graceMs?: number;
}

/** What the whole rollout is meant to reach, and how long it may take. Times in milliseconds. */
export interface Goal {
  /** `restore` allows Swarm's own rollback states, and counts no failures: it is the last resort. */
  readonly phase: 'deploy' | 'restore';
  readonly targets: readonly Target[];
  /** The targets, by their ids, that have to converge for now; all where it is not said. */
  readonly needed?: ReadonlySet<string>;
  /** Services that must be gone, with their tasks. */
  readonly gone: readonly Leaving[];
  /** Ids of the tasks that were there before; their failures are not this rollout's. */
  readonly formerTasks: ReadonlySet<string>;
  /** Those of them that have run for long enough to have nothing to prove. */
  readonly settledTasks: ReadonlySet<string>;
  readonly startedAt: number;
  readonly stableForMs: number;
  readonly timeoutMs: number;
  readonly progressTimeoutMs: number;
  readonly maxFailures: number;
}

export type End =
  | { readonly kind: 'converged' }
  | { readonly kind: 'superseded'; readonly service: string; readonly message: string }
  | {
      readonly kind: 'failed';
      readonly reason: Reason;
      readonly service?: string;
      readonly message: string;
    };
export type Verdict = End | { readonly kind: 'waiting' };
