/** `mode: status`: what runs, how well, and how it came to it. Reads only, and needs no lock. */
import { readHistory } from '../ledger/history.js';
import { current, previousOf } from '../ledger/revision.js';
import { changesOf } from '../plan.js';
import { standingLine } from '../report/progress.js';
import { plural } from '../report/text.js';
import { beginRollout, observe } from '../rollout/observe.js';
import type { Ending } from '../world.js';
import { readSwarm, settle, type Deployment } from './deployment.js';
import { historyLines } from '../report/history.js';

export async function showStatus(deployment: Deployment): Promise<Ending> {
  const { world, inputs } = deployment;
  const { narrator, clock } = world;
  const history = await settle(deployment, (engine) => readHistory(engine, inputs.stack));
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
  const rollout = observe(start, before);
  deployment.seen.snapshot = before;
  const standing = [...rollout.services.values()];
  for (const progress of standing) narrator.say(standingLine(progress));
  for (const line of historyLines(history.revisions)) narrator.say(line);
  const now = current(history.revisions);
  const previous = previousOf(history.revisions);
  const behind = standing.filter(({ complete }) => !complete);
  return {
    outcome: 'reported',
    reason: '',
    message:
      live.length === 0
        ? `There is no stack ${inputs.stack} in the swarm.`
        : behind.length === 0
          ? `${plural(live.length, 'service')}, all of them run as they are meant to.`
          : `Not as they are meant to be: ${behind.map(standingLine).join('; ')}.`,
    before,
    changes,
    rollout,
    fate: 'failed',
    history: history.revisions,
    ...(now === undefined ? {} : { revision: now.number }),
    ...(previous === undefined ? {} : { previousRevision: previous.number }),
  };
}
