/** What all modes share: the connection, and looking at the swarm through it. */
import type { Engine, StackObject } from '../docker/engine.js';
import type { Inputs } from '../inputs.js';
import type { Lease } from '../ledger/lease.js';
import { delayMs, type Snapshot } from '../model.js';
import type { ImageHealthchecks } from '../rollout/healthchecks.js';
import type { MissingImages } from '../rollout/images.js';
import { leftoverTargets, type End, type Rollout } from '../rollout/observe.js';
import type { SnapshotReader } from '../rollout/reader.js';
import { nudge, rewrite } from '../rollout/restore.js';
import { wantedOf, watch, type Watcher } from '../rollout/watch.js';
import type { Session } from '../session.js';
import type { Check } from '../verify/check.js';
import type { BarState } from '../report/chart.js';
import type { World } from '../world.js';

/** A run that is connected to a manager. */
export interface Deployment {
  /** Its signal ends the run's writes: cancelled, or the lock is lost. */
  readonly world: World;
  readonly inputs: Inputs;
  readonly session: Session;
  readonly tell: Watcher['onSnapshot'];
  readonly seen: Seen;
  readonly reader: SnapshotReader;
  readonly healthchecks: ImageHealthchecks;
  readonly images: MissingImages;
  /** What must answer after convergence. */
  readonly checks: readonly Check[];
  /** Aborted when the run is cancelled, and then only. */
  readonly cancelled: AbortSignal;
  /** The stack's lock, where it is asked for. */
  readonly lease: Lease | undefined;
}

/** What the swarm was last seen doing, for a run that is cut short. */
export interface Seen {
  rollout?: Rollout;
  snapshot?: Snapshot;
  /** Networks, configs and secrets of the stack before anything was written. */
  objects?: readonly StackObject[];
  /** Everything is what was asked for, verified: from here on there is nothing to put back. */
  well?: true;
  /** The run was stopped while it wrote: the engine may not be done with what it was asked for. */
  writing?: boolean;
}

/** Between one attempt to make Swarm look again and the next, and the update's delay on top. */
const REWRITE_MS = 5000;

/** Asks the swarm until it answers. */
export function settle<T>(
  { world: { clock, signal, narrator }, session }: Deployment,
  action: (engine: Engine) => Promise<T>,
): Promise<T> {
  return session.settle(action, { clock, signal, log: narrator.say });
}

/** What became of a step that looked, for the picture of the run. */
export const cameTo = ({ end }: { readonly end: End }): BarState =>
  end.kind === 'converged' ? 'done' : 'failed';

/** Watches a rollout to its end, telling what moves. */
export async function look(
  deployment: Deployment,
  rollout: Rollout,
): Promise<{ readonly rollout: Rollout; readonly end: End }> {
  const { world, tell, seen } = deployment;
  const rewritten = new Map<string, number>();
  return await watch(rollout, {
    clock: world.clock,
    read: async (now) => {
      for (const target of leftoverTargets(now)) {
        const last = rewritten.get(target.id);
        if (world.clock.now() - (last ?? -Infinity) < delayMs(target.spec) + REWRITE_MS) continue;
        rewritten.set(target.id, world.clock.now());
        if (last === undefined)
          world.narrator.say(
            `${target.name} has tasks left over that Swarm does not stop by itself: writing its spec again`,
          );
        // While an updater works toward the same spec, Swarm takes no notice of a write (tried).
        const again = last === undefined ? rewrite : nudge;
        await settle(deployment, (engine) => again(engine, target));
      }
      return await readSwarm(deployment, now);
    },
    onSnapshot: (now, snapshot) => {
      Object.assign(seen, { rollout: now, snapshot });
      tell(now, snapshot);
    },
    signal: world.signal,
  });
}

/** The swarm, and of services that end by themselves whether they were meant to. */
export async function readSwarm(deployment: Deployment, rollout: Rollout): Promise<Snapshot> {
  const { world, reader, healthchecks, images } = deployment;
  return await settle(deployment, async (engine) => {
    const now = world.clock.now();
    const snapshot = await reader.read(engine, now, wantedOf(rollout, now));
    const { targets } = rollout.goal;
    const healthchecked = await healthchecks.of(engine, targets, snapshot, world.clock.now());
    return {
      ...snapshot,
      healthchecked,
      imageless: await images.missing(engine, targets, snapshot),
    };
  });
}
