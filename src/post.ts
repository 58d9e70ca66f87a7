/** `post`: what a run has left behind, and after one that was cancelled with `on-cancel: rollback` what it had no time for. */
import { authFor } from './docker/registry.js';
import { removeWorkspace } from './docker/workspace.js';
import { DeployError } from './errors.js';
import type { Inputs } from './inputs.js';
import { acquire, type Lease, type LeaseState } from './ledger/lease.js';
import { takeBack, type Undo } from './modes/cancel.js';
import type { Deployment } from './modes/deployment.js';
import type { Narrator } from './report/narrator.js';
import { errorLine } from './report/text.js';
import { progressLog } from './report/progress.js';
import { ImageHealthchecks } from './rollout/healthchecks.js';
import { MissingImages } from './rollout/images.js';
import { SnapshotReader } from './rollout/reader.js';
import type { RollBackResult } from './rollout/rollback.js';
import { Session, type Connect } from './session.js';
import type { World } from './world.js';

/**
 * Stops and removes what a run has left on managers; never throws. On all of them at once: to give one up that is down
 * takes a minute, and `post` may have five.
 * @param connects one for each of them
 */
export async function removeLeft(
  connects: readonly Connect[],
  name: string,
  narrator: Narrator,
): Promise<void> {
  const removeBy = async (connect: Connect): Promise<void> => {
    try {
      const transport = await connect(() => Promise.resolve());
      try {
        const gone = await removeWorkspace(transport, name);
        if (!gone) throw new Error(`${transport.description} would not remove it`);
        narrator.say(`nothing of the run is left on ${transport.description}`);
      } finally {
        await transport.close();
      }
    } catch (error) {
      narrator.warn(
        `could not clean up: ${errorLine(error)}; the directory ` +
          `${name} in the temporary directory of the manager may still hold a registry login`,
      );
    }
  };
  await Promise.all(connects.map(removeBy));
}

/**
 * Puts the stack back, under the lock of the run that is over.
 * @param lease of that run, where it had one
 * @returns how it went; what could not even be begun is a result, too
 */
export async function finishUndo(
  world: World,
  inputs: Inputs,
  undo: Undo,
  lease: LeaseState | undefined,
): Promise<Pick<RollBackResult, 'outcome' | 'message' | 'hint'>> {
  try {
    const session = await Session.open(world.connect(inputs), inputs.docker);
    try {
      const held = lease && (await lockAgain(world, session, lease));
      try {
        return (await takeBack(deploymentOf(world, inputs, session, held), undo, keepNothing))
          .result;
      } finally {
        await held?.release();
      }
    } finally {
      await session.close();
    }
  } catch (error) {
    const known = error instanceof DeployError ? error.outcome : undefined;
    const outcome = known === 'unreachable' || known === 'superseded' ? known : 'rollback-failed';
    return {
      outcome,
      message: errorLine(error),
      hint: `See what state it is in, on a manager: docker stack services ${undo.stack}; docker stack ps --no-trunc ${undo.stack}`,
    };
  }
}

/** Nothing comes after `post`. */
const keepNothing = (): void => undefined;

/** @throws DeployError where somebody else has taken it over: the stack is theirs now */
async function lockAgain(
  { clock, signal, narrator, run }: World,
  session: Session,
  { stack, holder }: LeaseState,
): Promise<Lease> {
  const lease = await acquire({
    ...{ stack, holder, clock, signal, timeoutMs: 0, again: true as const },
    ...{ runUrl: run.runUrl, actor: run.actor },
    settle: (action) => session.settle(action, { clock, signal, log: narrator.say }),
    engine: () => session.engine,
    say: narrator.say,
  });
  session.fence(() => lease.assertHeld());
  return lease;
}

function deploymentOf(
  world: World,
  inputs: Inputs,
  session: Session,
  lease: Lease | undefined,
): Deployment {
  const signal = lease === undefined ? world.signal : AbortSignal.any([world.signal, lease.signal]);
  return {
    ...{ inputs, session, lease, seen: {}, cancelled: world.signal, checks: [] },
    world: { ...world, signal },
    tell: progressLog(world.narrator),
    reader: new SnapshotReader(inputs.stack),
    healthchecks: new ImageHealthchecks(),
    images: new MissingImages((image) => authFor(inputs.registries, image)),
  };
}
