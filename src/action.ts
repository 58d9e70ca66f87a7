/**
 * The story of a run: what happens in which order, and what each end means. It decides nothing by
 * itself that could be a pure function elsewhere, and knows the world only by its ports.
 */
import type { RenderedStack } from './compose/render.js';
import { composeVersionFor, withVersion } from './compose/version.js';
import { changesOf, type Changes } from './plan.js';
import { deployStack, logIn, type Deployed } from './deploy.js';
import {
  createWorkspace,
  removeWorkspace,
  stopCommand,
  upload,
  type Workspace,
} from './docker/workspace.js';
import type { Engine, StackObject } from './docker/engine.js';
import type { ConnectionLost } from './errors.js';
import { DeployError, InvalidInput, type Outcome, type Reason } from './errors.js';
import { describeInputs, type Inputs } from './inputs.js';
import {
  delayMs,
  hasOwnHealthcheck,
  hostnameOf,
  imageOf,
  isJob,
  kindOf,
  sameJson,
  splitImage,
  type Service,
  type Snapshot,
} from './model.js';
import { serviceReports, taskReports, type Fate } from './report/services.js';
import type { RunReport } from './report/outcome.js';
import { plural, safeLine } from './report/text.js';
import {
  beginRollout,
  leftoverTargets,
  failuresOf,
  type End,
  type Goal,
  type Rollout,
} from './rollout/observe.js';
import { rewrite } from './rollout/restore.js';
import { ImageHealthchecks } from './rollout/healthchecks.js';
import { SnapshotReader } from './rollout/reader.js';
import { rollBack } from './rollout/rollback.js';
import { settledTasks, stableForMs } from './rollout/stability.js';
import { wantedOf, watch, type Clock, type Watcher } from './rollout/watch.js';
import { progressLog, standingLine } from './report/progress.js';
import type { Narrator } from './report/narrator.js';
import { Session, type Connect } from './session.js';

/** Everything a run touches, from outside. */
export interface World {
  readonly inputs: () => Inputs;
  readonly renderStack: (inputs: Inputs) => RenderedStack;
  readonly connect: (inputs: Inputs) => Connect;
  readonly narrator: Narrator;
  readonly clock: Clock;
  /** 32 hexadecimal digits from a strong random source. */
  readonly randomName: () => string;
  /** Keeps the workspace's name for `post`; the empty string once it is gone. */
  readonly rememberWorkspace: (name: string) => void;
  readonly signal: AbortSignal;
}

/** How a deploy ended, before it is made into a report. */
interface Ending {
  readonly outcome: Outcome;
  readonly reason: Reason | '';
  readonly message: string;
  readonly hint?: string;
  readonly before?: Snapshot;
  readonly changes?: Changes;
  readonly rollout?: Rollout;
  /** The rollout back to where it was, if there was one. */
  readonly restored?: Rollout;
  readonly pruned?: readonly string[];
  /** What became of the services as a whole. */
  readonly fate: Fate;
  /** The service that the reason is about. */
  readonly culprit?: string;
}

const CLEAN_UP_LIMIT_MS = 30_000;
/** Between one attempt to make Swarm look again and the next, and the update's delay on top. */
const REWRITE_MS = 5000;
/** A deploy that was given little time is no reason to give up on the way back. */
const MIN_ROLLBACK_MS = 5 * 60_000;
const MIN_ROLLBACK_STILL_MS = 2 * 60_000;

/** Runs the whole action; never throws: every way it can end is in the report. */
export async function run(world: World): Promise<RunReport> {
  const { narrator, clock } = world;
  const begun = clock.now();
  let stack = '';
  let manager = '';
  let ending: Ending;
  let error: unknown;
  let described: object = {};
  const seen: Seen = {};
  try {
    const inputs = world.inputs();
    stack = inputs.stack;
    described = describeInputs(inputs);
    const rendered = world.renderStack(inputs);
    for (const warning of rendered.warnings) narrator.warn(warning.message, warning.position);
    const session = await Session.open(world.connect(inputs), inputs.docker);
    manager = session.transport.description;
    narrator.say(
      `manager ${session.nodeName}: engine ${session.engineVersion.version}, ` +
        `CLI ${session.cliVersion.join('.')}`,
    );
    try {
      ending = await deploy({
        world,
        inputs,
        rendered,
        session,
        seen,
        tell: progressLog(narrator),
        places: new Set(),
        reader: new SnapshotReader(inputs.stack),
        healthchecks: new ImageHealthchecks(),
      });
    } finally {
      await session.close();
    }
  } catch (caught) {
    error = caught;
    ending = endingOf(caught, world.signal);
  }
  return {
    stack,
    mode: 'deploy',
    manager,
    outcome: ending.outcome,
    reason: ending.reason,
    message: ending.message,
    hint: ending.hint ?? '',
    position: error instanceof DeployError ? error.position : undefined,
    problems: error instanceof InvalidInput ? error.problems : [],
    services: serviceReports(ending),
    failures: (ending.rollout === undefined ? [] : failuresOf(ending.rollout)).map((failure) => ({
      ...failure,
      node: hostnameOf(ending.before?.nodes ?? [], failure.nodeId) ?? '',
    })),
    warnings: narrator.warnings(),
    timeline: narrator.timeline(),
    durationMs: clock.now() - begun,
    inputs: described,
    tasks: taskReports(seen.snapshot ?? ending.before),
  };
}

/** What an error means that ended the run before there was a verdict. */
function endingOf(error: unknown, signal: AbortSignal): Ending {
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

interface Deployment {
  readonly world: World;
  readonly inputs: Inputs;
  readonly rendered: RenderedStack;
  readonly session: Session;
  readonly tell: Watcher['onSnapshot'];
  readonly seen: Seen;
  /** Managers on which the workspace may be; more than one after a fail-over. */
  readonly places: Set<string>;
  readonly reader: SnapshotReader;
  readonly healthchecks: ImageHealthchecks;
}

/** What the swarm was last seen doing, for a run that is cut short. */
interface Seen {
  rollout?: Rollout;
  snapshot?: Snapshot;
}

/** From a connected manager to a verdict; the workspace is gone afterwards, whatever happened. */
async function deploy(deployment: Deployment): Promise<Ending> {
  const { world } = deployment;
  const name = `swarm-deploy-${world.randomName()}`;
  world.rememberWorkspace(name);
  try {
    return await deployIn(deployment, name);
  } finally {
    await forget(deployment, name);
  }
}

/** Removes the workspace, if it is there; what cannot be reached is left to the post step. */
async function forget({ world, session, places }: Deployment, name: string): Promise<void> {
  if (places.size === 0) return;
  try {
    if (!(await removeWorkspace(session.transport, name))) return;
    places.delete(session.transport.description);
    if (places.size === 0) world.rememberWorkspace('');
    else world.narrator.say(`clean-up on ${[...places].join(', ')} is left to the post step`);
  } catch (error) {
    // `post` tries again on a connection of its own.
    world.narrator.say(`clean-up is left to the post step: ${messageOf(error)}`);
  }
}

async function deployIn(deployment: Deployment, workspaceName: string): Promise<Ending> {
  const { world, inputs, rendered, session } = deployment;
  const { narrator, clock, signal } = world;
  const { stack } = inputs;

  const preparing = prepare(deployment, workspaceName).then(async (made) => {
    if (inputs.registries.length > 0)
      await narrator.group('Log into the registry', () =>
        logIn(session, { inputs, workspace: made }, world),
      );
    return made;
  });
  const reading = settle(deployment, async (engine) => ({
    before: await deployment.reader.read(engine, clock.now(), 'services'),
    objectsBefore: await engine.stackObjects(stack),
  }));
  // Both come to their end, whatever the other does: a directory must not be made after its removal.
  await Promise.allSettled([preparing, reading]);
  const [workspace, { before, objectsBefore }] = await Promise.all([preparing, reading]);
  signal.throwIfAborted();

  const names = [...rendered.services.keys()].map((service) => `${stack}_${service}`);
  const deployed = await narrator.group('Deploy the stack', () =>
    deployStack(
      session,
      {
        inputs,
        rendered,
        workspace,
        wasWritten: (loss) =>
          recover(deployment, { loss, before, names, workspaceName, workspace }),
      },
      world,
    ),
  );
  // From here on only the engine is asked: credentials lie there no longer than they are needed.
  const [live] = await Promise.all([
    settle(deployment, (engine) => deployment.reader.services(engine)),
    forget(deployment, workspaceName),
  ]);
  const changes = changesOf(before, live, names);
  const startedAt = clock.now();
  for (const line of changes.lines) narrator.say(line);
  for (const line of weakEvidence(rendered, changes)) narrator.say(line);

  const context = { deployment, before, objectsBefore, changes, startedAt };
  try {
    return await judge(context, deployed, live, names);
  } catch (interruption) {
    return interrupted(context, interruption);
  }
}

/** From what the swarm has accepted to what became of it. */
async function judge(
  context: Context,
  deployed: Deployed,
  live: readonly Service[],
  names: readonly string[],
): Promise<Ending> {
  const { deployment, before, changes, startedAt } = context;
  const { inputs, world } = deployment;
  const { narrator } = world;
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
  if (inputs.prune && !inputs.watch.wait)
    narrator.say('nothing is pruned: that takes a verdict (wait: true)');
  const missing = names.find((name) => !live.some(({ Spec }) => Spec.Name === name));
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
  const { world, seen, inputs } = deployment;
  const ending = endingOf(interruption, world.signal);
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
function weakEvidence(rendered: RenderedStack, changes: Changes): readonly string[] {
  return changes.targets
    .filter(({ change }) => change !== 'unchanged')
    .filter(({ spec }) => !isJob(kindOf(spec)) && !hasOwnHealthcheck(spec))
    .map(
      ({ name, spec }) =>
        `${name} has no healthcheck in its ${rendered.files.length === 1 ? 'file' : 'files'}: unless ` +
        `${splitImage(imageOf(spec)).name} has one, "running" only means that its process has started`,
    );
}

interface Context {
  readonly deployment: Deployment;
  readonly before: Snapshot;
  readonly objectsBefore: readonly StackObject[];
  readonly changes: Changes;
  readonly startedAt: number;
}

async function prepare(
  { session, rendered, places }: Deployment,
  name: string,
): Promise<Workspace> {
  const version = composeVersionFor(session.cliVersion.join('.'));
  const { files } = version === undefined ? rendered : withVersion(rendered, version);
  places.add(session.transport.description);
  const workspace = await createWorkspace(session.transport, name);
  await upload(session.transport, workspace, [
    ...files.map(({ name: file, text }) => ({ name: file, content: text })),
    ...rendered.attachments.map(({ name: file, content }) => ({
      name: `attachments/${file}`,
      content,
    })),
  ]);
  return workspace;
}

/** The swarm, and of services that end by themselves whether they were meant to. */
async function readSwarm(deployment: Deployment, rollout: Rollout): Promise<Snapshot> {
  const { world, reader, healthchecks } = deployment;
  return await settle(deployment, async (engine) => {
    const now = world.clock.now();
    const snapshot = await reader.read(engine, now, wantedOf(rollout, now));
    const healthchecked = await healthchecks.of(engine, rollout.goal.targets, snapshot);
    return { ...snapshot, healthchecked };
  });
}

/** Watches a rollout to its end, telling what moves. */
async function look(
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
        // While an updater works toward the same spec, Swarm takes no notice of a write (tried).
        if (world.clock.now() - (last ?? -Infinity) < delayMs(target.spec) + REWRITE_MS) continue;
        rewritten.set(target.id, world.clock.now());
        if (last === undefined)
          world.narrator.say(
            `${target.name} has tasks left over that Swarm does not stop by itself: writing its spec again`,
          );
        await settle(deployment, (engine) => rewrite(engine, target));
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

/** Asks the swarm until it answers. */
function settle<T>(
  { world: { clock, signal, narrator }, session }: Deployment,
  action: (engine: Engine) => Promise<T>,
): Promise<T> {
  return session.settle(action, { clock, signal, log: narrator.say });
}

/**
 * After a connection lost in mid-deploy: `stack deploy` writes each service once, so that a service
 * which has not moved was not reached. The directory may be gone, or on the manager before.
 */
async function recover(
  deployment: Deployment,
  loss: {
    readonly loss: ConnectionLost;
    readonly before: Snapshot;
    readonly names: readonly string[];
    readonly workspaceName: string;
    readonly workspace: Workspace;
  },
): Promise<boolean> {
  const { world, session, inputs } = deployment;
  world.narrator.say(`connection lost while the stack was being deployed: ${loss.loss.message}`);
  const live = await settle(deployment, async (engine) => {
    // What was sent over the lost connection must not write any more from here on.
    await stopCommand(session.transport, loss.workspace);
    return await deployment.reader.services(engine);
  });
  const former = new Map(loss.before.services.map((service) => [service.ID, service]));
  const written = loss.names.every((name) => {
    const service = live.find(({ Spec }) => Spec.Name === name);
    return service !== undefined && former.get(service.ID)?.Version.Index !== service.Version.Index;
  });
  if (written) return true;
  await settle(deployment, async () => {
    await removeWorkspace(session.transport, loss.workspaceName);
    const workspace = await prepare(deployment, loss.workspaceName);
    await logIn(session, { inputs, workspace }, world);
  });
  return false;
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
  const { deployment, before, changes } = context;
  const { inputs, world } = deployment;
  const pruned: string[] = [];
  if (inputs.prune)
    for (const orphan of changes.orphans) {
      world.signal.throwIfAborted();
      world.narrator.say(`pruning ${orphan.Spec.Name}, which is no longer in the files`);
      await settle(deployment, (engine) => engine.removeService(orphan.ID));
      pruned.push(orphan.Spec.Name);
    }
  else if (changes.orphans.length > 0)
    world.narrator.say(
      `not in the files, left running: ${changes.orphans.map(({ Spec }) => Spec.Name).join(', ')} (prune: true removes them)`,
    );
  const any = changes.any || pruned.length > 0;
  return {
    outcome: any ? 'deployed' : 'unchanged',
    reason: '',
    message: any
      ? `${plural(changes.targets.length, 'service')}, all healthy and stable.`
      : 'Every service runs what was asked for already, healthy; no task was restarted.',
    before,
    changes,
    rollout,
    pruned,
    fate: 'healthy',
  };
}

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
  if (!changes.any && !objects.any)
    return {
      ...common,
      outcome: 'failed',
      reason,
      message: `${message}. This deploy changed no service, so there is nothing to roll back.`,
      fate: 'failed',
    };
  const result = await world.narrator.group('Roll back', () =>
    rollBack({
      stack: inputs.stack,
      before,
      changes,
      objects,
      limits: {
        timeoutMs: Math.max(inputs.watch.timeoutMs, MIN_ROLLBACK_MS),
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

const messageOf = (error: unknown): string =>
  safeLine(error instanceof Error ? error.message : String(error));
