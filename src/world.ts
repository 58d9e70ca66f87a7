/** What a run touches from outside, and how it can end. */
import type { RenderedStack } from './compose/render.js';
import { DeployError, InvalidInput, type Outcome, type Position, type Problem } from './errors.js';
import type { Inputs } from './inputs.js';
import type { Left } from './ledger/left.js';
import type { Undo } from './modes/cancel.js';
import type { Revision } from './ledger/revision.js';
import type { Run } from './ledger/run.js';
import type { Plan } from './planning/difference.js';
import type { Dossier, Verification } from './report/dossier.js';
import type { Narrator } from './report/narrator.js';
import type { ServicesEnding } from './report/services.js';
import type { Clock } from './rollout/watch.js';
import type { Connect } from './session.js';
import type { Check } from './verify/check.js';
import type { Probe } from './verify/probe.js';

/** Everything a run touches, from outside. */
export interface World {
  readonly inputs: () => Inputs;
  readonly renderStack: (inputs: Inputs) => RenderedStack;
  /** What `verify` asks for, with its variables filled in. */
  readonly checks: (inputs: Inputs) => readonly Check[];
  readonly probe: Probe;
  readonly connect: (inputs: Inputs) => Connect;
  readonly narrator: Narrator;
  readonly clock: Clock;
  /** The time of day, for the history. */
  readonly today: () => Date;
  /** 32 hexadecimal digits from a strong random source. */
  readonly randomName: () => string;
  /** The workflow run that this is part of. */
  readonly run: Run;
  /** Keeps the workspace's name for `post`; the empty string once it is gone. */
  readonly rememberWorkspace: (name: string) => void;
  /** Keeps a part of what `post` has to put right in the swarm; undefined once it is right. */
  readonly rememberLeft: (part: Left) => void;
  /** Keeps what `post` puts the stack back to, if this run does not come to it; undefined once it has. */
  readonly rememberUndo: (undo: Undo | undefined) => void;
  /** Aborted when the run is cancelled: nothing new is begun. */
  readonly signal: AbortSignal;
  /** Aborted when what a cancelled run still does is to be left to `post`. */
  readonly hurry: AbortSignal;
  /** Aborted when there is time for the report alone. */
  readonly over: AbortSignal;
}

/** How a run ended, before it is made into a report. */
export interface Ending extends ServicesEnding {
  readonly outcome: Outcome;
  readonly message: string;
  readonly hint?: string;
  /** Where in a file of the user's the reason lies. */
  readonly position?: Position;
  /** Everything that is wrong, where it is more than one thing. */
  readonly problems?: readonly Problem[];
  /** The revision that this run made, or that runs now. */
  readonly revision?: number;
  readonly previousRevision?: number;
  /** For people: newest first. */
  readonly history?: readonly Revision[];
  /** With `mode: plan`. */
  readonly plan?: Plan;
  /** Of a deploy that failed: the evidence. */
  readonly dossier?: Dossier;
  /** What became of the checks of `verify`, in their order. */
  readonly verification?: readonly Verification[];
  /** A stack that is to be put back is not yet, and `post` goes on. */
  readonly unfinished?: true;
}

/** What an error means that ended the run before there was a verdict. */
export function endingOf(error: unknown, signal: AbortSignal): Ending {
  if (signal.aborted)
    return {
      outcome: 'cancelled',
      reason: 'cancelled',
      message: 'The run was cancelled. Whatever the swarm had accepted by then goes on there.',
      fate: 'unknown',
    };
  if (error instanceof DeployError)
    return {
      outcome: error.outcome,
      reason: error.reason,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.position === undefined ? {} : { position: error.position }),
      ...(error instanceof InvalidInput ? { problems: error.problems } : {}),
      fate: 'unknown',
    };
  return {
    outcome: 'failed',
    reason: 'internal',
    message: `unexpected error: ${error instanceof Error ? error.message : String(error)}`,
    hint: 'This is a fault of the action. Please report it with the log of a run with debug logging.',
    fate: 'unknown',
  };
}
