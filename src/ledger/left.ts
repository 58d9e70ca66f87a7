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

/**
 * Ends the run's revision and gives its lock back; repeatable, and no error where neither is there.
 * @returns what was done, a line each for people
 */
export async function settleLeft(
  engine: Engine,
  { lease, revision }: Left,
): Promise<readonly string[]> {
  const done: string[] = [];
  if (revision !== undefined) {
    const { stack, open, end } = revision;
    if (await closeRevision(engine, stack, open, end))
      done.push(
        `revision ${open.number} of ${stack}, which is this run's, is ended as ${end.status}`,
      );
  }
  if (lease !== undefined && (await releaseLeft(engine, lease)))
    done.push(`the lock of ${lease.stack} is given back`);
  return done;
}
