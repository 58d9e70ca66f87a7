/** What a run may leave behind in the swarm when it dies, and what `post` does about it. */
import type { Engine } from '../docker/engine.js';
import { closeRevision } from './history.js';
import { releaseLeft, type LeaseState } from './lease.js';
import type { Ending, Open } from './revision.js';

/** Survives as JSON. */
export interface Left {
  readonly lease?: LeaseState | undefined;
  readonly revision?:
    { readonly stack: string; readonly open: Open; readonly end: Ending } | undefined;
}

/** Whether there is anything to be put right. */
export const isLeft = ({ lease, revision }: Left): boolean =>
  lease !== undefined || revision !== undefined;

/** Ends the run's revision and gives its lock back; repeatable, and no error where neither is there. */
export async function settleLeft(engine: Engine, { lease, revision }: Left): Promise<void> {
  if (revision !== undefined)
    await closeRevision(engine, revision.stack, revision.open, revision.end);
  if (lease !== undefined) await releaseLeft(engine, lease);
}
