/**
 * The story of a run: what happens in which order, and what each end means. It decides nothing by
 * itself that could be a pure function elsewhere, and knows the world only by its ports.
 */
import { authFor } from './docker/registry.js';
import { isWorkspaceName, removeWorkspace, workspaceName } from './docker/workspace.js';
import { DeployError, withMend } from './errors.js';
import { describeInputs, type Inputs } from './inputs.js';
import { refuseWithoutWait } from './compose/order.js';
import type { Places } from './compose/places.js';
import type { RenderedStack } from './compose/render.js';
import { forClient } from './compose/version.js';
import { acquire, type Lease } from './ledger/lease.js';
import type { History } from './ledger/history.js';
import { earlierOf, origin, overtakes, place, rerunOf, type Revision } from './ledger/revision.js';
import { hostnameOf } from './model.js';
import { deployFiles } from './modes/deploy.js';
import type { Deployment, Seen } from './modes/deployment.js';
import { fitToSwarm } from './modes/fit.js';
import { tellFileLint } from './modes/lint.js';
import { currentHistory, Record } from './modes/record.js';
import { showPlan } from './modes/plan.js';
import { removeStack } from './modes/remove.js';
import { deployRevision, wantedRevision } from './modes/rollback.js';
import { explainRefusal, rotate, sweep } from './modes/rotate.js';
import { showStatus } from './modes/status.js';
import type { RunReport } from './report/outcome.js';
import { plannedReports } from './report/plan.js';
import type { Narrator } from './report/narrator.js';
import { progressLog, standingLine } from './report/progress.js';
import { serviceReports, taskReports } from './report/services.js';
import { ImageHealthchecks } from './rollout/healthchecks.js';
import { MissingImages } from './rollout/images.js';
import { failuresOf } from './rollout/observe.js';
import { errorLine } from './report/text.js';
import { SnapshotReader } from './rollout/reader.js';
import { Session } from './session.js';
import type { Check } from './verify/check.js';
import { endingOf, type Ending, type World } from './world.js';

export type { World } from './world.js';

/** Runs the whole action; never throws: every way it can end is in the report. */
export async function run(world: World): Promise<RunReport> {
  const { narrator, clock } = world;
  const begun = clock.now();
  const known: { inputs?: Inputs; places?: Places; manager: string } = { manager: '' };
  const seen: Seen = {};
  const story = async (): Promise<Ending> => {
    const inputs = world.inputs();
    known.inputs = inputs;
    let rendered =
      inputs.mode === 'deploy' || inputs.mode === 'plan' ? world.renderStack(inputs) : undefined;
    if (rendered?.places !== undefined) known.places = rendered.places;
    if (rendered !== undefined && !inputs.watch.wait) refuseWithoutWait(rendered.waves);
    for (const note of rendered?.notes ?? []) narrator.say(note.message);
    for (const warning of rendered?.warnings ?? [])
      narrator.warn(withMend(warning), warning.position);
    if (rendered !== undefined) rendered = tellFileLint(world, inputs, rendered);
    // A plan is refused where the deploy would be.
    const checks = ['deploy', 'rollback', 'plan'].includes(inputs.mode) ? world.checks(inputs) : [];
    const opening = Session.open(world.connect(inputs), inputs.docker, narrator.debug);
    const session = await unless(world.signal, opening, (late) => late.close());
    try {
      known.manager = session.transport.description;
      narrator.say(
        `manager ${session.nodeName}: engine ${session.engineVersion.version}, ` +
          `CLI ${session.cliVersion.join('.')}`,
      );
      const fitted = rendered && forClient(rendered, session.cliVersion.join('.'));
      for (const warning of fitted?.warnings ?? [])
        narrator.warn(withMend(warning), warning.position);
      return await connected({
        world,
        inputs,
        session,
        seen,
        begun,
        checks,
        rendered: fitted?.stack,
      });
    } finally {
      await session.close();
    }
  };
  const told = story().catch((caught: unknown) => endingOf(caught, world.signal));
  const ending = cancelledAnyway(
    await Promise.race([told, cutShort(world.over, seen, narrator)]),
    world.signal,
  );
  if (ending.unfinished !== true) world.rememberUndo(undefined);
  return {
    stack: known.inputs?.stack ?? '',
    mode: known.inputs?.mode ?? 'deploy',
    manager: known.manager,
    outcome: ending.outcome,
    reason: ending.reason,
    message: ending.message,
    hint: ending.hint ?? '',
    position: ending.position,
    problems: ending.problems ?? [],
    services: ending.plan === undefined ? serviceReports(ending) : plannedReports(ending.plan),
    failures: (ending.rollout === undefined ? [] : failuresOf(ending.rollout)).map((failure) => ({
      ...failure,
      node: hostnameOf(ending.before?.nodes ?? [], failure.nodeId) ?? '',
    })),
    warnings: narrator.warnings(),
    lint: narrator.findings(),
    timeline: narrator.timeline(),
    bars: narrator.bars(),
    places: known.places,
    run: world.run,
    durationMs: clock.now() - begun,
    inputs: known.inputs === undefined ? {} : describeInputs(known.inputs),
    tasks: taskReports(seen.snapshot ?? ending.before),
    revision: ending.revision,
    previousRevision: ending.previousRevision,
    history: ending.history ?? [],
    plan: ending.plan,
    dossier: ending.dossier ?? [],
    verification: ending.verification ?? [],
  };
}

/**
 * What is waited for, unless the run is cancelled first.
 * @param late called with what comes all the same
 * @throws the reason of the signal
 */
async function unless<T>(
  signal: AbortSignal,
  waiting: Promise<T>,
  late: (value: T) => Promise<void>,
): Promise<T> {
  const cancelled = aborted(signal);
  const first = await Promise.race([waiting.then((value) => ({ value })), cancelled]);
  if (first !== undefined) return first.value;
  waiting.then(late).catch(() => undefined);
  throw signal.reason;
}

const aborted = (signal: AbortSignal): Promise<undefined> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });

/** The end of a cancelled run that something holds up: the runner would end it without any report. */
async function cutShort(over: AbortSignal, seen: Seen, narrator: Narrator): Promise<Ending> {
  await aborted(over);
  narrator.say('what was under way has not stopped in time: the report comes without it');
  const last =
    seen.rollout === undefined
      ? ''
      : ` Last seen: ${[...seen.rollout.services.values()].map(standingLine).join('; ')}.`;
  return {
    outcome: 'cancelled',
    reason: 'cancelled',
    message: `The run was cancelled, and what it was doing did not stop in time; the post step cleans up.${last}`,
    fate: 'unknown',
    unfinished: true,
  };
}

/** A run that had nothing left to do but to clean up was cancelled all the same, and is told so. */
function cancelledAnyway(ending: Ending, signal: AbortSignal): Ending {
  if (!signal.aborted || ending.outcome === 'cancelled') return ending;
  return {
    ...ending,
    outcome: 'cancelled',
    reason: 'cancelled',
    message: `The run was cancelled when it had come to its end: ${ending.outcome}. ${ending.message}`,
  };
}

interface Connected {
  readonly world: World;
  readonly inputs: Inputs;
  readonly session: Session;
  readonly seen: Seen;
  readonly begun: number;
  readonly checks: readonly Check[];
  readonly rendered: RenderedStack | undefined;
}

/** With a manager, and with the lock of the stack where anything may be written. */
async function connected({
  world,
  inputs,
  session,
  seen,
  begun,
  checks,
  rendered,
}: Connected): Promise<Ending> {
  const base = {
    ...{ inputs, session, seen, checks, cancelled: world.signal },
    tell: progressLog(world.narrator),
    reader: new SnapshotReader(inputs.stack),
    healthchecks: new ImageHealthchecks(),
    images: new MissingImages((image) => authFor(inputs.registries, image)),
  };
  if (inputs.mode === 'status') return await showStatus({ ...base, world, lease: undefined });
  if (inputs.mode === 'plan' && rendered !== undefined)
    return await showPlan({ ...base, world, lease: undefined }, rendered);
  const lease = inputs.lock.on ? await lock(world, inputs, session) : undefined;
  try {
    const signal =
      lease === undefined ? world.signal : AbortSignal.any([world.signal, lease.signal]);
    const deployment = { ...base, lease, world: { ...world, signal } };
    return await write(deployment, rendered, begun);
  } finally {
    // A cancelled run writes nothing more: its lock is left to `post`.
    if (lease !== undefined && !world.signal.aborted && (await lease.release()))
      world.rememberLeft({ lease: undefined });
  }
}

async function lock(world: World, inputs: Inputs, session: Session): Promise<Lease> {
  const { clock, signal, narrator, run: facts } = world;
  const holder = world.randomName();
  world.rememberLeft({ lease: { stack: inputs.stack, holder } });
  try {
    const lease = await acquire({
      stack: inputs.stack,
      holder,
      runUrl: facts.runUrl,
      actor: facts.actor,
      timeoutMs: inputs.lock.timeoutMs,
      settle: (action) => session.settle(action, { clock, signal, log: narrator.say }),
      engine: () => session.engine,
      clock,
      signal,
      say: narrator.say,
    });
    session.fence(() => lease.assertHeld());
    if (lease.tookOver !== undefined) await buryDead(session, lease.tookOver.id, narrator);
    return lease;
  } catch (error) {
    // Refused is not had. Where that is not known, `post` has a look.
    if (error instanceof DeployError && error.reason === 'locked')
      world.rememberLeft({ lease: undefined });
    throw error;
  }
}

/** A run that died had no `post`: its command must not write any more, its files hold logins and secrets. */
async function buryDead(session: Session, holder: string, narrator: Narrator): Promise<void> {
  const name = workspaceName(holder);
  if (!isWorkspaceName(name)) return;
  try {
    await removeWorkspace(session.transport, name);
  } catch (error) {
    narrator.say(`the directory ${name} of that run could not be removed: ${errorLine(error)}`);
  }
}

/** The modes that write, each from what the history says. */
async function write(
  deployment: Deployment,
  rendered: RenderedStack | undefined,
  begun: number,
): Promise<Ending> {
  const { inputs, world } = deployment;
  if (inputs.mode === 'remove') return await removeStack(deployment);
  const history = await currentHistory(deployment);
  const again =
    rendered === undefined ? await back(deployment, history) : rerun(deployment, history, rendered);
  const files =
    again === undefined && rendered !== undefined
      ? await rotate(deployment, await fitToSwarm(deployment, rendered), true)
      : undefined;
  const record = new Record(deployment, history, again?.revision);
  let ending: Ending;
  try {
    if (again !== undefined)
      ending = await deployRevision(deployment, history, again.revision, record);
    else if (files !== undefined) ending = await deployFiles(deployment, files, record);
    else throw new Error('there are neither files nor a revision to deploy');
  } catch (error) {
    ending = endingOf(error, deployment.cancelled);
  }
  ending = explainRefusal(deployment, ending, files?.fixed);
  if (ending.outcome === 'cancelled' && !record.applied) ending = { ...ending, ...UNTOUCHED };
  const closed = await record.close(ending, world.clock.now() - begun);
  await sweep(deployment, closed, files?.objectNames);
  if (again === undefined || !record.applied) return closed;
  const why = again.isRerun ? ', as this is a re-run' : '';
  const what = `Revision ${again.name}, with the very images that it ran${why}.`;
  return { ...closed, message: `${what} ${closed.message}` };
}

const UNTOUCHED = {
  message: 'The run was cancelled before anything was deployed: no service was touched.',
  fate: 'untouched',
} as const;

/** A recorded revision that is to be deployed. */
interface Again {
  readonly revision: Revision;
  /** For people: its number, or that of the one it is a copy of, and its commit. */
  readonly name: string;
  readonly isRerun: boolean;
}

/** What `mode: rollback` brings back. */
async function back(deployment: Deployment, history: History): Promise<Again> {
  const { inputs, world } = deployment;
  const { narrator, run: facts } = world;
  // A number or a commit says what is meant, a re-run or not.
  if (inputs.revision === 'previous' && inputs.onRerun === 'restore') {
    const revision = earlierOf(history.revisions, facts);
    if (revision !== undefined) {
      const name = `${place(revision)}${detail(revision)}`;
      narrator.say(
        `this is a re-run: bringing back revision ${name}, as this run did before, ` +
          'instead of going back from what runs now (on-rerun: redeploy does that)',
      );
      return { revision, name, isRerun: true };
    }
    if (rerunOf(history.revisions, facts, () => undefined).kind === 'forgotten')
      narrator.warn(`${FORGOTTEN}: it goes back from what runs now`);
  }
  const revision = await wantedRevision(deployment, history, inputs.revision);
  const name = `${revision.number}${detail(revision)}`;
  narrator.say(`going back to revision ${name}`);
  return { revision, name, isRerun: false };
}

/** What a re-run brings back, or undefined where it is a deploy like any other. */
function rerun(
  { inputs, world }: Deployment,
  history: History,
  { services }: RenderedStack,
): Again | undefined {
  const { narrator, run: facts } = world;
  const names = new Set([...services.keys()].map((service) => `${inputs.stack}_${service}`));
  const found = rerunOf(history.revisions, facts, ({ number }) => {
    const content = history.contentOf(number);
    if (content === 'incomplete' || content.sealed === undefined) return undefined;
    const recorded = content.sealed.services;
    return recorded.length === names.size && recorded.every(({ name }) => names.has(name));
  });
  if (found.kind === 'restore' && inputs.onRerun === 'restore') {
    const { revision } = found;
    const name = `${origin(revision)}${detail(revision)}`;
    narrator.say(
      `this is a re-run: bringing back revision ${name}, as this run deployed it, ` +
        'instead of deploying its files anew (on-rerun: redeploy does that)',
    );
    return { revision, name, isRerun: true };
  }
  if (found.kind === 'forgotten' && inputs.onRerun === 'restore')
    narrator.warn(
      `${FORGOTTEN}: its files are deployed anew, and tags may mean other images by now`,
    );
  const newer = overtakes(history.revisions, facts);
  if (newer !== undefined)
    narrator.warn(
      `this run was started before ${newer.run.runUrl === '' ? `that of revision ${newer.number}` : newer.run.runUrl}, ` +
        `which has deployed revision ${newer.number}${detail(newer)} since: an older commit now goes over a newer one`,
    );
  return undefined;
}

const FORGOTTEN =
  'this is a re-run, and the history, from which older revisions were removed, has nothing of what this run deployed before, if it did';

const detail = ({ commit }: Revision): string => (commit === '' ? '' : ` (${commit.slice(0, 7)})`);
