/** `mode: status`: what runs, how well, and how it came to it. Reads only, and needs no lock. */
import { readHistory } from '../ledger/history.js';
import { previousOf, type Revision } from '../ledger/revision.js';
import { running } from '../ledger/running.js';
import { checksHealth, imageOf, type Service } from '../model.js';
import { changesOf } from '../plan.js';
import { historyLines } from '../report/history.js';
import type { ServiceReport } from '../report/outcome.js';
import { serviceReports } from '../report/services.js';
import { asksImage, healthText, stackLines, troubleLines } from '../report/stack.js';
import { plural } from '../report/text.js';
import { beginRollout, observe } from '../rollout/observe.js';
import type { Ending } from '../world.js';
import { readSwarm, settle, type Deployment } from './deployment.js';

/** The log is for reading; all of it stands in the report. */
const MAX_TROUBLE = 50;
const MAX_NAMED = 10;

export async function showStatus(deployment: Deployment): Promise<Ending> {
  const { world, inputs } = deployment;
  const { narrator, clock } = world;
  const recorded = await settle(deployment, (engine) => readHistory(engine, inputs.stack));
  const { revisions } = recorded;
  const live = await settle(deployment, (engine) => deployment.reader.services(engine));
  const names = live.map(({ Spec }) => Spec.Name);
  const changes = changesOf({ services: live }, live, names);
  const start = beginRollout({
    phase: 'deploy',
    targets: changes.targets,
    gone: [],
    formerTasks: new Set(),
    settledTasks: new Set(),
    startedAt: clock.now(),
    stableForMs: 0,
    timeoutMs: Infinity,
    progressTimeoutMs: Infinity,
    maxFailures: Infinity,
  });
  const before = await readSwarm(deployment, start);
  deployment.seen.snapshot = before;
  const seen = {
    reason: '',
    before,
    changes,
    rollout: observe(start, before),
    fate: 'seen',
    healthchecks: await imageHealthchecks(deployment, before.services),
  } as const;
  const services = serviceReports(seen);
  narrator.block(`Services of ${inputs.stack}`, stackLines(services));
  narrator.block('Tasks that do not run, or have failed', troubleLines(services, MAX_TROUBLE));
  const now = running(recorded, before.services);
  const previous = previousOf(revisions, now);
  narrator.block(
    `History of ${inputs.stack}`,
    historyLines(revisions, { now: now?.number, previous: previous?.number }),
  );
  return {
    ...seen,
    outcome: 'reported',
    message:
      services.length === 0
        ? `There is no stack ${inputs.stack} in the swarm.`
        : `${summed(services)}${now === undefined ? strangeText(previous) : ''}`,
    history: revisions,
    ...(now === undefined ? {} : { revision: now.number }),
    ...(previous === undefined ? {} : { previousRevision: previous.number }),
  };
}

/** Where what runs is not what any revision left, so that an undo deploys the newest good one. */
function strangeText(newestGood: Revision | undefined): string {
  if (newestGood === undefined) return '';
  return (
    ` The newest good revision is ${newestGood.number}, but what runs now is something else: ` +
    'it was changed by hand, or by a run that failed or was cut short.'
  );
}

/** By image, where this manager has it. */
async function imageHealthchecks(
  deployment: Deployment,
  services: readonly Service[],
): Promise<ReadonlyMap<string, boolean>> {
  const images = services.map(({ Spec }) => Spec).filter(asksImage);
  const known = new Map<string, boolean>();
  for (const image of new Set(images.map(imageOf))) {
    const brought = await settle(deployment, (engine) => engine.imageHealthcheck(image));
    if (brought !== undefined) known.set(image, checksHealth(brought));
  }
  return known;
}

function summed(services: readonly ServiceReport[]): string {
  const behind = services.filter(({ outcome }) => outcome !== 'healthy');
  const count = plural(services.length, 'service');
  if (behind.length === 0)
    return services.length === 1
      ? 'Its one service is as it is meant to be.'
      : `Its ${count} are as they are meant to be.`;
  const named = behind
    .slice(0, MAX_NAMED)
    .map(({ name, state }) => (state === undefined ? name : `${name} ${healthText(state)}`));
  const more = behind.length > MAX_NAMED ? `; and ${behind.length - MAX_NAMED} more` : '';
  return `Not as they are meant to be, ${behind.length} of ${count}: ${named.join('; ')}${more}.`;
}
