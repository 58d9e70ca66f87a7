/** `mode: remove`: the whole stack, and the wait until all of it is really gone. */
import { isLedger, type Engine, type StackObject } from '../docker/engine.js';
import { isLock } from '../ledger/lease-state.js';
import { stopGraceMs } from '../model.js';
import { plural } from '../report/text.js';
import { beginRollout } from '../rollout/observe.js';
import { removeObjects } from '../rollout/restore.js';
import type { Ending } from '../world.js';
import { cameTo, look, settle, type Deployment } from './deployment.js';
import { readBefore } from './transaction.js';

const RETRY_MS = 500;

/** Services first, since they hold everything else; then what they used; the history last. */
export async function removeStack(deployment: Deployment): Promise<Ending> {
  const { world, inputs } = deployment;
  const { narrator, clock, signal } = world;
  const { before, objectsBefore } = await readBefore(deployment);
  const ledger = await settle(deployment, (engine) => engine.configs(inputs.stack));
  const history = ledger.filter((config) => isLedger(config) && !isLock(config));
  const nothing = before.services.length === 0 && objectsBefore.length === 0;
  if (nothing && history.length === 0)
    return {
      outcome: 'removed',
      reason: '',
      message: `There is no stack ${inputs.stack}: nothing had to be removed.`,
      fate: 'untouched',
    };
  if (nothing) {
    await removeHistory(deployment, history);
    return {
      outcome: 'removed',
      reason: '',
      message: `There is no stack ${inputs.stack} any more; what was left of its history is removed.`,
      fate: 'untouched',
    };
  }
  const startedAt = clock.now();
  const changes = {
    ...{ targets: [], updated: [], created: [], foreign: [], lines: [], orphans: before.services },
    any: before.services.length > 0,
  };
  const pruned: string[] = [];
  const result = { before, changes, pruned };
  await narrator.group('Remove the services', async () => {
    for (const { ID, Spec } of before.services) {
      signal.throwIfAborted();
      narrator.say(`removing ${Spec.Name}`);
      await settle(deployment, (engine) => engine.removeService(ID));
      pruned.push(Spec.Name);
    }
  });
  const { end } = await narrator.group(
    'Wait for the tasks to be gone',
    () =>
      look(
        deployment,
        beginRollout({
          phase: 'deploy',
          targets: [],
          gone: before.services.map(({ ID, Spec }) => ({
            id: ID,
            name: Spec.Name,
            graceMs: stopGraceMs(Spec),
          })),
          formerTasks: new Set(),
          settledTasks: new Set(),
          startedAt,
          stableForMs: 0,
          timeoutMs: inputs.watch.timeoutMs,
          progressTimeoutMs: inputs.watch.progressTimeoutMs,
          maxFailures: Infinity,
        }),
      ),
    cameTo,
  );
  if (end.kind !== 'converged')
    return {
      ...result,
      outcome: 'failed',
      reason: end.kind === 'failed' ? end.reason : 'superseded',
      message: `${end.message}. The services are removed; networks, configs and secrets are left.`,
      hint: `See which tasks are left: docker stack ps --no-trunc ${inputs.stack}; then run this again.`,
      fate: 'unknown',
    };
  const left = await narrator.group(
    'Remove networks, configs and secrets',
    () => removeAll(deployment, startedAt + inputs.watch.timeoutMs),
    (remaining) => (remaining.length === 0 ? 'done' : 'failed'),
  );
  if (left.length > 0) {
    const names = left.map(({ kind, name }) => `${kind} ${name}`).join(', ');
    return {
      ...result,
      outcome: 'failed',
      reason: 'timeout',
      message: `Still there, because something else uses it: ${names}.`,
      hint: 'Remove what uses it (another stack, a container), then run this again.',
      fate: 'unknown',
    };
  }
  await removeHistory(deployment, history);
  return {
    ...result,
    outcome: 'removed',
    reason: '',
    message: `Gone: ${[plural(pruned.length, 'service'), ...objectsText(objectsBefore)].join(', ')}${history.length === 0 ? '' : ', and the history with them'}.`,
    fate: 'healthy',
  };
}

async function removeHistory(
  deployment: Deployment,
  history: readonly { readonly id: string }[],
): Promise<void> {
  await settle(deployment, async (engine) => {
    for (const { id } of history) await engine.removeConfig(id);
  });
}

/**
 * A network is free only when the last task on it has stopped, and goes a moment after it was told to
 * (tried): gone is what is no longer listed.
 */
async function removeAll(
  deployment: Deployment,
  deadline: number,
): Promise<readonly StackObject[]> {
  const { world, inputs } = deployment;
  const list = (engine: Engine): Promise<readonly StackObject[]> =>
    engine.stackObjects(inputs.stack);
  for (let told = new Set<string>(); ;) {
    const left = await settle(deployment, list);
    for (const { kind, name, id } of left)
      if (!told.has(id)) world.narrator.say(`removing ${kind} ${name}`);
    told = new Set(left.map(({ id }) => id));
    await settle(deployment, (engine) => removeObjects(engine, left));
    if (left.length === 0) return [];
    if (world.clock.now() >= deadline) return await settle(deployment, list);
    await world.clock.sleep(RETRY_MS, world.signal);
  }
}

/** `2 networks`, `1 config`. */
function objectsText(objects: readonly StackObject[]): readonly string[] {
  return (['network', 'config', 'secret'] as const).flatMap((kind) => {
    const count = objects.filter((object) => object.kind === kind).length;
    return count === 0 ? [] : [plural(count, kind)];
  });
}
