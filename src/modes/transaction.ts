/**
 * A change of a stack as a whole: applied, watched until it is true, or taken back. What applies it,
 * stack files or a recorded revision, makes no difference from there on.
 */
import type { Deployed } from '../deploy.js';
import type { Inputs } from '../inputs.js';
import type { StackObject } from '../docker/engine.js';
import {
  hasOwnHealthcheck,
  imageOf,
  isJob,
  kindOf,
  pausesMs,
  sameJson,
  splitImage,
} from '../model.js';
import type { Service, Snapshot } from '../model.js';
import { changesOf, type Changes } from '../plan.js';
import { standingLine, wellText } from '../report/progress.js';
import { beginRollout, failuresOf, type End, type Goal, type Rollout } from '../rollout/observe.js';
import { jobHint, ranAgain, rollBack } from '../rollout/rollback.js';
import { settledTasks, stableForMs } from '../rollout/stability.js';
import { endingOf, type Ending } from '../world.js';
import { look, settle, type Deployment } from './deployment.js';

/** What is to become of a stack. */
export interface Change {
  /** Full names of the services that it has to have. */
  readonly names: readonly string[];
  /** Writes it; afterwards only the swarm says how far that came. */
  readonly apply: () => Promise<Deployed>;
  /**
   * Called once the swarm has accepted all of it.
   * @param others services that it does not name and that stay
   */
  readonly accepted: (changes: Changes, others: readonly Service[]) => Promise<void>;
  /** Which of the services that it does not name go, once everything else is well. */
  readonly removes: (orphan: Service) => boolean;
  /** Which of them belong to it all the same, and only did not have to be written. */
  readonly keeps?: (orphan: Service) => boolean;
  /** Where a service stands, for people: its file, the files, a revision. */
  readonly origin: string;
  /** The lint has said already which of them have no healthcheck. */
  readonly linted?: true;
}

/** What was there before anything was written. */
export interface Before {
  readonly before: Snapshot;
  readonly objectsBefore: readonly StackObject[];
}

interface Context extends Before {
  readonly deployment: Deployment;
  readonly change: Change;
  readonly changes: Changes;
  readonly startedAt: number;
}

const CLEAN_UP_LIMIT_MS = 30_000;
/** A deploy that was given little time is no reason to give up on the way back. */
const MIN_ROLLBACK_MS = 5 * 60_000;
const MIN_ROLLBACK_STILL_MS = 2 * 60_000;

/** Reads everything that a change may have to be taken back to. */
export function readBefore(deployment: Deployment): Promise<Before> {
  const { reader, world, inputs } = deployment;
  return settle(deployment, async (engine) => ({
    before: await reader.read(engine, world.clock.now(), 'services'),
    objectsBefore: await engine.stackObjects(inputs.stack),
  }));
}

/** Makes a change of a stack come true, or takes it back. */
export async function transact(
  deployment: Deployment,
  { before, objectsBefore }: Before,
  change: Change,
): Promise<Ending> {
  const { world, reader } = deployment;
  const deployed = await world.narrator.group('Deploy the stack', change.apply);
  const live = await settle(deployment, (engine) => reader.services(engine));
  const changes = changesOf(before, live, change.names, deployed.repeated);
  const startedAt = world.clock.now();
  for (const line of changes.lines) world.narrator.say(line);
  for (const line of weakEvidence(change, changes)) world.narrator.say(line);
  for (const line of withoutDigest(deployment.inputs, changes)) world.narrator.warn(line);
  const context = { deployment, before, objectsBefore, change, changes, startedAt };
  try {
    // What is removed goes after a verdict alone.
    const { wait } = deployment.inputs.watch;
    const others = changes.orphans.filter((orphan) => !(wait && change.removes(orphan)));
    if (deployed.failure === undefined && changes.foreign.length === 0)
      await change.accepted(changes, others);
    return await judge(context, deployed, live);
  } catch (interruption) {
    return interrupted(context, interruption);
  }
}

/** From what the swarm has accepted to what became of it. */
async function judge(
  context: Context,
  deployed: Deployed,
  live: readonly Service[],
): Promise<Ending> {
  const { deployment, before, changes, change, startedAt } = context;
  const { inputs, world } = deployment;
  const { narrator } = world;
  const [foreign] = changes.foreign;
  if (foreign !== undefined)
    return await fail(
      context,
      {
        kind: 'superseded',
        service: foreign,
        message: `${changes.foreign.join(', ')} was changed by someone else while the stack was being deployed`,
      },
      undefined,
    );
  if (deployed.failure !== undefined) {
    const { reason, message, hint } = deployed.failure;
    if (!changes.any && !(await objectChanges(context)).any)
      return {
        // Refused as a whole; but one that ran out of time had been started.
        outcome: reason === 'timeout' ? 'failed' : 'invalid',
        reason,
        message,
        hint,
        before,
        changes,
        fate: 'untouched',
      };
    return await fail(context, { kind: 'failed', reason, message }, undefined);
  }
  const leaves = changes.orphans.filter(change.removes);
  if (leaves.length > 0 && !inputs.watch.wait)
    narrator.say('nothing is removed: that takes a verdict (wait: true)');
  const missing = change.names.find((name) => !live.some(({ Spec }) => Spec.Name === name));
  if (missing !== undefined)
    return {
      outcome: 'superseded',
      reason: 'superseded',
      message: `service ${missing} was removed by someone else right after it was deployed`,
      before,
      changes,
      culprit: missing,
      fate: 'unknown',
    };
  if (!inputs.watch.wait)
    return {
      outcome: changes.any ? 'deployed' : 'unchanged',
      reason: '',
      message: 'The swarm has accepted the stack; as asked, nobody waited for it (wait: false).',
      before,
      changes,
      fate: 'accepted',
    };
  const goal: Goal = {
    phase: 'deploy',
    targets: changes.targets,
    gone: [],
    formerTasks: new Set(before.tasks.map(({ ID }) => ID)),
    settledTasks: settledTasks(before),
    startedAt,
    stableForMs: stableForMs(inputs.watch.stableForMs, changes, before),
    timeoutMs: inputs.watch.timeoutMs,
    progressTimeoutMs: inputs.watch.progressTimeoutMs,
    maxFailures: inputs.watch.maxFailures,
  };
  const { rollout, end } = await narrator.group('Watch the tasks', () =>
    look(deployment, beginRollout(goal)),
  );
  if (end.kind === 'converged') return await succeed(context, rollout);
  return await fail(context, end, rollout);
}

/** A run that was cut short after the swarm had been written to. */
function interrupted(context: Context, interruption: unknown): Ending {
  const { deployment, before, changes } = context;
  const { seen, inputs } = deployment;
  const ending = endingOf(interruption, deployment.cancelled);
  const last =
    seen.rollout === undefined
      ? ''
      : ` Last seen: ${[...seen.rollout.services.values()].map(standingLine).join('; ')}.`;
  return {
    ...ending,
    message: `${ending.message}${last}`,
    hint:
      ending.hint ??
      `See how it went on: docker stack services ${inputs.stack}; docker stack ps --no-trunc ${inputs.stack}`,
    before,
    changes,
    ...(seen.rollout === undefined ? {} : { rollout: seen.rollout }),
  };
}

/** Without a healthcheck, running only means that the process has started. */
function weakEvidence({ origin, linted }: Change, changes: Changes): readonly string[] {
  if (linted === true) return [];
  return changes.targets
    .filter(({ change }) => change !== 'unchanged')
    .filter(({ spec }) => !isJob(kindOf(spec)) && !hasOwnHealthcheck(spec))
    .map(
      ({ name, spec }) =>
        `${name} has no healthcheck in its ${origin}: unless ` +
        `${splitImage(imageOf(spec)).name} has one, "running" only means that its process has started`,
    );
}

/**
 * Docker asks the registry what a tag means right now. Where there was no answer, each node takes what
 * it finds, and that may be an image of before.
 */
function withoutDigest({ resolveImage }: Inputs, changes: Changes): readonly string[] {
  if (resolveImage === 'never') return [];
  return changes.targets
    .filter(
      ({ change, spec }) =>
        change !== 'unchanged' && splitImage(imageOf(spec)).digest === undefined,
    )
    .map(
      ({ name, spec }) =>
        `${name} runs ${imageOf(spec)} without a digest, as no registry gave one: a node that has ` +
        'an older image of that name runs that one',
    );
}

/** What the deploy did to networks, configs and secrets. */
interface ObjectChanges {
  readonly brought: readonly StackObject[];
  /** As they were, of those whose labels are others now. */
  readonly relabelled: readonly StackObject[];
  readonly any: boolean;
}

async function objectChanges({ deployment, objectsBefore }: Context): Promise<ObjectChanges> {
  const { inputs } = deployment;
  const former = new Map(objectsBefore.map((object) => [object.id, object]));
  const now = await settle(deployment, (engine) => engine.stackObjects(inputs.stack));
  const brought = now.filter(({ id }) => !former.has(id));
  const relabelled = now.flatMap(({ id, labels }) => {
    const was = former.get(id);
    return was === undefined || sameJson(was.labels, labels) ? [] : [was];
  });
  return { brought, relabelled, any: brought.length + relabelled.length > 0 };
}

async function succeed(context: Context, rollout: Rollout): Promise<Ending> {
  const { deployment, before, change, changes } = context;
  const { world } = deployment;
  const pruned: string[] = [];
  for (const orphan of changes.orphans.filter(change.removes)) {
    world.signal.throwIfAborted();
    world.narrator.say(`pruning ${orphan.Spec.Name}, which is no longer in the ${change.origin}`);
    await settle(deployment, (engine) => engine.removeService(orphan.ID));
    pruned.push(orphan.Spec.Name);
  }
  const left = changes.orphans.filter(
    (orphan) => !change.removes(orphan) && change.keeps?.(orphan) !== true,
  );
  if (left.length > 0)
    world.narrator.say(
      `not in the ${change.origin}, left running: ${left.map(({ Spec }) => Spec.Name).join(', ')} (prune: true removes them)`,
    );
  const any = changes.any || pruned.length > 0;
  return {
    outcome: any ? 'deployed' : 'unchanged',
    reason: '',
    message: any
      ? `${wellText(rollout)}.`
      : `No task was restarted, every service is what was asked for already: ${wellText(rollout)}.`,
    before,
    changes,
    rollout,
    pruned,
    fate: 'healthy',
  };
}

/** As long as the tasks of before take to come back in their turn. */
const pausesOf = ({ ID, Spec }: Service, { tasks }: Snapshot): number =>
  pausesMs(
    Spec,
    tasks.filter(({ ServiceID, DesiredState }) => ServiceID === ID && DesiredState === 'running')
      .length,
  );

/** A deploy that did not succeed: left as it is, or put back. */
async function fail(
  context: Context,
  end: Exclude<End, { kind: 'converged' }>,
  rollout: Rollout | undefined,
): Promise<Ending> {
  const { deployment, before, changes } = context;
  const { inputs, world } = deployment;
  world.narrator.fail(end.message);
  const common = {
    before,
    changes,
    ...(rollout === undefined ? {} : { rollout }),
    ...(end.service === undefined ? {} : { culprit: end.service }),
  };
  if (end.kind === 'superseded')
    return {
      ...common,
      outcome: 'superseded',
      reason: 'superseded',
      message: `${end.message}; it was left alone, and nothing was rolled back.`,
      hint: 'Let one workflow at a time deploy a stack (`concurrency` in the workflow), then run this one again.',
      fate: 'unknown',
    };
  const { reason, message } = end;
  if (inputs.onFailure === 'keep')
    return {
      ...common,
      outcome: 'failed',
      reason,
      message: `${message}. The stack is left as it failed (on-failure: keep).`,
      fate: 'failed',
    };
  const objects = await objectChanges(context);
  const again = changes.updated.filter((former) => ranAgain(former, changes));
  const failing = new Set(
    (rollout === undefined ? [] : failuresOf(rollout)).map(({ service }) => service),
  );
  const failedJobs = again.map(({ Spec }) => Spec.Name).filter((name) => failing.has(name));
  if (changes.updated.length + changes.created.length === again.length && !objects.any) {
    const [jobs, one] = [again.map(({ Spec }) => Spec.Name).join(', '), again.length === 1];
    return {
      ...common,
      outcome: 'failed',
      reason,
      message:
        again.length === 0
          ? `${message}. This deploy changed no service, so there is nothing to roll back.`
          : `${message}. ${jobs} ran again from the ${one ? 'spec' : 'specs'} that ${one ? 'it' : 'they'} had, so there is nothing to roll back.`,
      ...(failedJobs.length === 0 ? {} : { hint: jobHint(failedJobs) }),
      fate: 'failed',
    };
  }
  const result = await world.narrator.group('Roll back', () =>
    rollBack({
      stack: inputs.stack,
      before,
      changes,
      objects,
      failedJobs,
      limits: {
        // The pauses that the user asked for come on top.
        timeoutMs:
          Math.max(inputs.watch.timeoutMs, MIN_ROLLBACK_MS) +
          Math.max(0, ...changes.updated.map((former) => pausesOf(former, before))),
        progressTimeoutMs: Math.max(inputs.watch.progressTimeoutMs, MIN_ROLLBACK_STILL_MS),
      },
      stableForMs: stableForMs(inputs.watch.stableForMs, changes, before),
      world,
      watch: (start) => look(deployment, start),
      settle: (action) => settle(deployment, action),
      cleanUpLimitMs: CLEAN_UP_LIMIT_MS,
    }),
  );
  return {
    ...common,
    outcome: result.outcome,
    reason: result.outcome === 'superseded' ? 'superseded' : reason,
    message: `${message}. ${result.message}`,
    ...(result.hint === undefined ? {} : { hint: result.hint }),
    ...(result.rollout === undefined ? {} : { restored: result.rollout }),
    fate: result.outcome === 'rolled-back' ? 'restored' : 'unknown',
  };
}
