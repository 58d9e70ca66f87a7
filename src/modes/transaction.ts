/**
 * A change of a stack as a whole: applied, watched until it is true, or taken back. What applies it,
 * stack files or a recorded revision, makes no difference from there on.
 */
import type { Deployed } from '../deploy.js';
import type { Inputs } from '../inputs.js';
import type { StackObject } from '../docker/engine.js';
import { ConnectionLost } from '../errors.js';
import {
  hasOwnHealthcheck,
  imageOf,
  isJob,
  kindOf,
  pausesMs,
  sameJson,
  splitImage,
} from '../model.js';
import type { Service, Snapshot, Task } from '../model.js';
import { clearMemory } from '../memory.js';
import { changesOf, takenBack, type Changes } from '../plan.js';
import { preciseReason } from '../report/dossier-facts.js';
import { standingLine, wellText } from '../report/progress.js';
import {
  beginRollout,
  continueRollout,
  failuresOf,
  observe,
  type End,
  type Goal,
  type Rollout,
} from '../rollout/observe.js';
import { meantSpecs } from '../rollout/meant.js';
import { jobHint, ranAgain, rollBack } from '../rollout/rollback.js';
import { settledTasks, stableForMs } from '../rollout/stability.js';
import { verify } from '../verify/verify.js';
import { endingOf, type Ending } from '../world.js';
import { takeBackNow, type Undo } from './cancel.js';
import { cameTo, look, settle, type Deployment } from './deployment.js';
import { gather, maskFor, tell, type Background } from './evidence.js';
import {
  byName,
  calmMs,
  caughtUp,
  changedMeanwhile,
  joined,
  marked,
  needsText,
  waveTitle,
  wentBack,
  type ChangeWave,
} from './waves.js';

/** What is to become of a stack. */
export interface Change {
  /** Full names of the services that it has to have. */
  readonly names: readonly string[];
  /**
   * Writes it, or one wave of it; afterwards only the swarm says how far that came.
   * @param wave from 0
   * @param live the services of the stack right before that
   * @param startedAt milliseconds, where the time for the whole rollout runs already
   */
  readonly apply: (
    wave: number,
    live: readonly Service[],
    startedAt: number | undefined,
  ) => Promise<Deployed>;
  /** Where it is written in waves: all of `names`, each in one of them. */
  readonly waves?: readonly ChangeWave[];
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
  /** Every service is written, changed or not: where none is, it was done to another swarm. */
  readonly writesAll?: true;
  /** The lint has said already which of them have no healthcheck. */
  readonly linted?: true;
  /** For the dossier, where it fails. */
  readonly background?: Background;
}

/** What was there before anything was written. */
export interface Before {
  readonly before: Snapshot;
  readonly objectsBefore: readonly StackObject[];
}

interface Context extends Before {
  readonly deployment: Deployment;
  readonly change: Change;
  /** Of all waves that were written. */
  readonly changes: Changes;
  readonly startedAt: number;
  /** Ids of the tasks that each service had before it was written. */
  readonly formerTasks: ReadonlySet<string>;
  /** As far as it was watched between waves. */
  readonly rollout?: Rollout;
  /** Full names of the services whose wave was never written. */
  readonly unreached: readonly string[];
}

/** What one wave came to. */
interface Written {
  readonly context: Context;
  readonly deployed: Deployed;
  readonly live: readonly Service[];
}

const CLEAN_UP_LIMIT_MS = 30_000;
/** A deploy that was given little time is no reason to give up on the way back. */
const MIN_ROLLBACK_MS = 5 * 60_000;
const MIN_ROLLBACK_STILL_MS = 2 * 60_000;

/** Reads everything that a change may have to be taken back to. */
export function readBefore(deployment: Deployment): Promise<Before> {
  const { reader, world, inputs } = deployment;
  return settle(deployment, async (engine) => {
    const before = await reader.read(engine, world.clock.now(), 'services');
    const objectsBefore = await engine.stackObjects(inputs.stack);
    deployment.seen.objects = objectsBefore;
    return { before, objectsBefore };
  });
}

/** Makes a change of a stack come true, or takes it back. */
export async function transact(
  deployment: Deployment,
  { before, objectsBefore }: Before,
  change: Change,
): Promise<Ending> {
  const waves = change.waves ?? [{ names: change.names, needs: [] }];
  const { inputs, world } = deployment;
  const undo: Undo = {
    ...{ stack: inputs.stack, names: change.names, before, objects: objectsBefore, begun: [] },
  };
  /** Kept for whoever has to take it back should this process die; while it writes, the engine may go on. */
  const remember = (more: Pick<Undo, 'cut'>): void => {
    if (inputs.onCancel === 'rollback') world.rememberUndo({ ...undo, ...more });
  };
  const wrote = async (index: number, former?: Context): Promise<Written> => {
    remember({ cut: true });
    const done = await write(deployment, { before, objectsBefore }, change, waves, index, former);
    remember({});
    return done;
  };
  let written: Written | undefined;
  try {
    written = await wrote(0);
    for (let next = 1; next < waves.length; next += 1) {
      const { context, deployed, live } = written;
      if (isRefused(context, deployed, live)) break;
      const waited = await waitFor(context, waves, next);
      if ('outcome' in waited) return waited;
      written = { ...written, context: waited };
      written = await wrote(next, waited);
    }
    const { context, deployed, live } = written;
    const { changes } = context;
    // What is removed goes after a verdict alone.
    const { wait } = deployment.inputs.watch;
    const others = changes.orphans.filter((orphan) => !(wait && change.removes(orphan)));
    if (deployed.failure === undefined && changes.foreign.length === 0)
      await change.accepted(changes, others);
    return await judge(context, deployed, live);
  } catch (interruption) {
    const { cancelled, seen } = deployment;
    if (written === undefined && !cancelled.aborted)
      throw withLastSeen(deployment, { before, objectsBefore }, change, interruption);
    const ending =
      written === undefined
        ? endingOf(interruption, cancelled)
        : interrupted(written.context, interruption);
    const undoes = cancelled.aborted && inputs.onCancel === 'rollback' && seen.well !== true;
    const cut = seen.writing === true ? { cut: true as const } : {};
    return undoes ? await takeBackNow(deployment, { ...undo, ...cut }, ending) : ending;
  }
}

/** Writes one wave, and sees what came of it. */
async function write(
  deployment: Deployment,
  { before: first, objectsBefore }: Before,
  change: Change,
  waves: readonly ChangeWave[],
  index: number,
  former?: Context,
): Promise<Written> {
  const { world, reader, inputs } = deployment;
  const read = (): Promise<readonly Service[]> =>
    settle(deployment, (engine) => reader.services(engine));
  const known = former === undefined ? first.services : await read();
  const names = waves[index]?.names ?? [];
  const mine = new Set(names);
  const planned =
    former === undefined
      ? first
      : caughtUp(
          former.before,
          known.filter(({ Spec }) => mine.has(Spec.Name)),
        );
  const moved = former === undefined ? [] : changedMeanwhile(planned, known, names);
  const done: Deployed =
    moved.length > 0
      ? {}
      : await world.narrator.group(
          waveTitle(inputs.stack, waves, index),
          async () => {
            const { seen } = deployment;
            seen.writing = true;
            const applied = await change.apply(index, known, former?.startedAt);
            seen.writing = false;
            return applied;
          },
          ({ failure }) => (failure === undefined ? 'done' : 'failed'),
        );
  const live = moved.length > 0 ? known : await read();
  const isLost =
    change.writesAll === true &&
    moved.length === 0 &&
    done.failure === undefined &&
    sameVersions(names, known, live);
  const deployed = isLost ? { ...done, failure: elsewhere(deployment) } : done;
  const once = moved.length === 0 && deployed.repeated !== true;
  const before = wentBack(planned, once ? live.filter(({ Spec }) => mine.has(Spec.Name)) : []);
  const meant = await settle(deployment, (engine) => meantSpecs(engine, before, live));
  const fresh = changesOf(before, live, names, deployed.repeated, meant);
  const made = moved.length > 0 ? { ...fresh, foreign: moved } : fresh;
  const startedAt = former?.startedAt ?? world.clock.now();
  for (const line of made.lines) world.narrator.say(line);
  for (const line of weakEvidence(change, made)) world.narrator.say(line);
  for (const line of withoutDigest(inputs, made)) world.narrator.warn(line);
  const changes = joined(former?.changes, marked(made, waves), live, change.names);
  const unreached = waves.slice(index + 1).flatMap((wave) => wave.names);
  const context = {
    ...{ deployment, before, objectsBefore, change, changes, startedAt, unreached },
    formerTasks: formerTasksOf(deployment, first, known, mine, former),
  };
  return {
    context: former?.rollout === undefined ? context : { ...context, rollout: former.rollout },
    deployed,
    live,
  };
}

/** Whether no service was written: every write counts up the version, one that changes nothing, too. */
function sameVersions(
  names: readonly string[],
  former: readonly Service[],
  live: readonly Service[],
): boolean {
  const versionIn = (services: readonly Service[], name: string): number | undefined =>
    services.find(({ Spec }) => Spec.Name === name)?.Version.Index;
  return (
    names.length > 0 && names.every((name) => versionIn(former, name) === versionIn(live, name))
  );
}

/** With a configuration directory of its own the CLI knows nothing of the login user's docker contexts (tried). */
const elsewhere = ({ session }: Deployment): NonNullable<Deployed['failure']> => ({
  reason: 'docker-unavailable',
  message:
    'docker stack deploy ended well, but nothing of it has come to the swarm of ' +
    `${session.transport.description}: it has written to another engine`,
  hint: 'Docker settings of the login user lead elsewhere (`docker context`, DOCKER_HOST): set docker-host to the socket of the engine that is meant.',
  begun: true,
});

/**
 * A service may fail for want of the waves before its own, and what it failed of until it was written is none
 * of this rollout's doing.
 */
function formerTasksOf(
  { seen }: Deployment,
  before: Snapshot,
  known: readonly Service[],
  names: ReadonlySet<string>,
  former: Context | undefined,
): ReadonlySet<string> {
  if (former === undefined) return idsOf(before.tasks);
  const own = idsOf(known.filter(({ Spec }) => names.has(Spec.Name)));
  const since = seen.snapshot?.tasks.filter(({ ServiceID }) => own.has(ServiceID)) ?? [];
  return new Set([...former.formerTasks, ...idsOf(since)]);
}

const idsOf = (items: readonly { readonly ID: string }[]): ReadonlySet<string> =>
  new Set(items.map(({ ID }) => ID));

/** Whether a wave is not what it was meant to be, so that there is nothing to wait for. */
const isRefused = (
  { changes, change, unreached }: Context,
  { failure }: Deployed,
  live: readonly Service[],
): boolean =>
  failure !== undefined ||
  changes.foreign.length > 0 ||
  missingOf(change.names, unreached, live) !== undefined;

/** A service that was written and is not there. */
const missingOf = (
  names: readonly string[],
  unreached: readonly string[],
  live: readonly Service[],
): string | undefined =>
  names.find((name) => !unreached.includes(name) && !live.some(({ Spec }) => Spec.Name === name));

/** Waits for what a wave needs, while everything that runs so far is watched. */
async function waitFor(
  context: Context,
  waves: readonly ChangeWave[],
  index: number,
): Promise<Context | Ending> {
  const { deployment, changes } = context;
  const { narrator } = deployment.world;
  const { names, needs } = waves[index] ?? { names: [], needs: [] };
  const needed = changes.targets.filter(({ name }) => needs.some((need) => need.name === name));
  const goal: Goal = {
    ...goalOf(context),
    needed: new Set(needed.map(({ id }) => id)),
    stableForMs: calmMs(needed),
  };
  const { rollout, end } = await narrator.group(
    `Wait for ${needsText(needs)}, before ${names.join(', ')}`,
    () => look(deployment, onTo(context, goal)),
    cameTo,
  );
  const reached = { ...context, rollout };
  return end.kind === 'converged' ? reached : await fail(reached, end, rollout);
}

/** The rollout to a goal, from where it was when the last wave began. */
const onTo = ({ rollout, deployment: { world } }: Context, goal: Goal): Rollout =>
  rollout === undefined ? beginRollout(goal) : continueRollout(rollout, goal, world.clock.now());

/** What everything that was written so far is to come to. */
const goalOf = ({
  deployment: { inputs },
  before,
  changes,
  startedAt,
  formerTasks,
}: Context): Goal => ({
  phase: 'deploy',
  targets: changes.targets,
  gone: [],
  formerTasks,
  settledTasks: settledTasks(before),
  startedAt,
  stableForMs: stableForMs(inputs.watch.stableForMs, changes, before),
  timeoutMs: inputs.watch.timeoutMs,
  progressTimeoutMs: inputs.watch.progressTimeoutMs,
  maxFailures: inputs.watch.maxFailures,
});

/** From what the swarm has accepted to what became of it. */
async function judge(
  context: Context,
  deployed: Deployed,
  live: readonly Service[],
): Promise<Ending> {
  const { deployment, before, changes, change } = context;
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
      context.rollout,
    );
  if (deployed.failure !== undefined) {
    const { reason, message, hint, begun } = deployed.failure;
    if (!changes.any && !(await objectChanges(context)).any)
      return {
        outcome: begun === true ? 'failed' : 'invalid',
        reason,
        message,
        hint,
        before,
        changes,
        fate: 'untouched',
      };
    const end = { kind: 'failed', reason, message } as const;
    return hinted(await fail(context, end, context.rollout), hint);
  }
  const leaves = changes.orphans.filter(change.removes);
  if (leaves.length > 0 && !inputs.watch.wait)
    narrator.say('nothing is removed: that takes a verdict (wait: true)');
  const missing = missingOf(change.names, context.unreached, live);
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
  const [undone] = takenBack(before, live).filter(({ Spec }) => change.names.includes(Spec.Name));
  if (!inputs.watch.wait && undone !== undefined) {
    const { Name: service } = undone.Spec;
    const message = `Swarm rolled back ${service}`;
    return await fail(
      context,
      { kind: 'failed', reason: 'rolled-back-by-swarm', service, message },
      context.rollout,
    );
  }
  if (!inputs.watch.wait)
    return {
      outcome: changes.any ? 'deployed' : 'unchanged',
      reason: '',
      message: 'The swarm has accepted the stack; as asked, nobody waited for it (wait: false).',
      before,
      changes,
      fate: 'accepted',
    };
  const { rollout, end } = await narrator.group(
    'Watch the tasks',
    () => look(deployment, onTo(context, goalOf(context))),
    cameTo,
  );
  if (end.kind !== 'converged') return await fail(context, end, rollout);
  return deployment.checks.length === 0
    ? await succeed(context, rollout)
    : await verified(context, rollout);
}

/** What to do about Docker's refusal is worth knowing after the way back, too. */
const hinted = (ending: Ending, hint: string): Ending => ({
  ...ending,
  hint: ending.hint === undefined ? hint : `${ending.hint}\n${hint}`,
});

/** What has converged must also answer as it should; nothing is removed before that. */
async function verified(context: Context, rollout: Rollout): Promise<Ending> {
  const { deployment, change, changes } = context;
  const { world, inputs, checks } = deployment;
  const { clock, signal, probe, narrator } = world;
  const { confidential = [] } = change.background ?? {};
  const specs = changes.targets.map(({ spec }) => spec);
  const begun = clock.now();
  const verification = await narrator.group(
    'Verify',
    () =>
      verify(checks, {
        ...{ clock, signal, probe, say: narrator.say },
        timeoutMs: inputs.verify.timeoutMs,
        mask: maskFor(deployment, confidential, specs),
      }),
    (all) => (all.every(({ ok }) => ok) ? 'done' : 'failed'),
  );
  const failed = verification.filter(({ ok }) => !ok);
  const [first] = failed;
  if (first !== undefined) {
    const count = checks.length === 1 ? 'the check' : `${failed.length} of ${checks.length} checks`;
    const message = `${count} of verify failed: ${first.url}: ${first.error}`;
    const end = { kind: 'failed', reason: 'verify-failed', message } as const;
    return { ...(await fail(context, end, rollout)), verification };
  }
  // The checks may have taken a while: one more look, that it is still so. What one of them has brought
  // down, and Swarm has replaced, has to hold as long as anything else.
  const { holding } = rollout;
  // What the checks took has a limit of its own.
  const startedAt = context.startedAt + clock.now() - begun;
  const again = await look(deployment, {
    ...continueRollout(rollout, goalOf({ ...context, startedAt }), clock.now()),
    ...(holding && { holding }),
  });
  const ending =
    again.end.kind === 'converged'
      ? await succeed(context, again.rollout)
      : await fail(context, again.end, again.rollout);
  return { ...ending, verification };
}

/** What the swarm did when nothing was written yet: the last that is known where no look came after it. */
function withLastSeen(
  deployment: Deployment,
  { before, objectsBefore }: Before,
  change: Change,
  error: unknown,
): unknown {
  if (!(error instanceof ConnectionLost)) return error;
  const changes = changesOf(before, before.services, change.names);
  const startedAt = before.at;
  const context = {
    ...{ deployment, before, objectsBefore, change, changes, startedAt, unreached: [] },
    formerTasks: idsOf(before.tasks),
  };
  const { services } = observe(beginRollout(goalOf(context)), before);
  const last = [...services.values()].map(standingLine).join('; ') || 'no service of it was there';
  return new ConnectionLost(
    `${error.message}. Last seen before the stack was written: ${last}. What was written since could not be read`,
    {
      cause: error,
      hint: [...(error.hint === undefined ? [] : [error.hint]), seeYourself(deployment)].join('\n'),
    },
  );
}

const seeYourself = ({ inputs: { stack } }: Deployment): string =>
  `See how it went on: docker stack services ${stack}; docker stack ps --no-trunc ${stack}`;

/** A run that was cut short after the swarm had been written to. */
function interrupted(context: Context, interruption: unknown): Ending {
  const { deployment, before } = context;
  const changes = withUnreached(context);
  const { seen } = deployment;
  const ending = endingOf(interruption, deployment.cancelled);
  const last =
    seen.rollout === undefined
      ? ''
      : `${seen.rollout.goal.phase === 'restore' ? ' It was being rolled back.' : ''} Last seen: ${[...seen.rollout.services.values()].map(standingLine).join('; ')}.`;
  return {
    ...ending,
    message: `${last === '' ? ending.message : fullStop(ending.message)}${last}${context.unreached.length === 0 ? '' : ` Not begun: ${context.unreached.join(', ')}.`}`,
    hint: ending.hint ?? seeYourself(deployment),
    before,
    changes,
    unreached: context.unreached,
    ...(seen.rollout === undefined ? {} : { rollout: seen.rollout }),
  };
}

/** The end of a sentence, where there is none yet. */
const fullStop = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

/** The changes, and the services that later waves were to change, as they are. */
function withUnreached({ before, changes, unreached }: Context): Changes {
  const { targets } = changesOf(before, before.services, unreached);
  return { ...changes, targets: byName([...changes.targets, ...targets]) };
}

/** What a wave that failed has kept from being touched. */
const untouched = (names: readonly string[]): string =>
  names.length === 0
    ? ''
    : `; ${names.join(', ')}, deployed after that, ${names.length === 1 ? 'was' : 'were'} not touched`;

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
  deployment.seen.well = true;
  clearMemory();
  world.rememberUndo(undefined);
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
  const any = changes.any || pruned.length > 0 || !restsOn(before.tasks, rollout);
  return {
    outcome: any ? 'deployed' : 'unchanged',
    reason: '',
    message: `${wellText(rollout)}.`,
    before,
    changes,
    rollout,
    pruned,
    fate: 'healthy',
  };
}

/** Where no spec differs, an update that was left half-way goes on all the same: then not all of it ran already. */
function restsOn(tasks: readonly Task[], { holding }: Rollout): boolean {
  const known = idsOf(tasks);
  return (
    holding === undefined || holding.tasks.split(' ').every((id) => id === '' || known.has(id))
  );
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
  const { deployment, before, change, changes, unreached } = context;
  const { inputs, world } = deployment;
  world.narrator.fail(end.message);
  // Before anything is taken back: what failed tasks wrote goes with them.
  const dossier =
    end.kind === 'failed' && rollout !== undefined
      ? await gather(deployment, rollout, end, change.background ?? {})
      : [];
  await tell(deployment, dossier);
  const common = {
    dossier,
    before,
    changes: withUnreached(context),
    unreached,
    ...(rollout === undefined ? {} : { rollout }),
    ...(end.service === undefined ? {} : { culprit: end.service }),
  };
  if (end.kind === 'superseded')
    return {
      ...common,
      outcome: 'superseded',
      reason: 'superseded',
      message: `${end.message}; it was left alone, and nothing was rolled back${untouched(unreached)}.`,
      hint: 'Let one workflow at a time deploy a stack (`concurrency` in the workflow), then run this one again.',
      fate: 'unknown',
    };
  const reason = preciseReason(end.reason, end.service, dossier);
  const message = `${end.message}${untouched(unreached)}`;
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
  const result = await world.narrator.group(
    'Roll back',
    () =>
      rollBack({
        stack: inputs.stack,
        before,
        changes: common.changes,
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
    ({ outcome }) => (outcome === 'rolled-back' ? 'done' : 'failed'),
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
