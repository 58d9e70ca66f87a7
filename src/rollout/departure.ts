/** Tells whether the swarm goes, or went, another way than the rollout. */
import { isSameRollback, kindOf, sameSpec, type Service, type UpdateStatus } from '../model.js';
import type { End, Goal, Target } from './goal.js';

const isStale = (status: UpdateStatus, stale: UpdateStatus | undefined): boolean =>
  stale !== undefined &&
  status.State === stale.State &&
  status.StartedAt === stale.StartedAt &&
  status.Message === stale.Message;

/** Whether the swarm says that the service goes, or went, another way than was asked for. */
export function departure(
  goal: Goal,
  target: Target,
  service: Service | undefined,
  complete: boolean,
): End | undefined {
  const { name } = target;
  if (service === undefined)
    return {
      kind: 'superseded',
      service: name,
      message: `service ${name} was removed by someone else while it was being deployed`,
    };
  const intended = sameSpec(service.Spec, target.spec);
  const status =
    service.UpdateStatus === undefined || isStale(service.UpdateStatus, target.staleStatus)
      ? undefined
      : service.UpdateStatus;
  const rolledBack =
    status?.State?.startsWith('rollback_') === true &&
    !(intended && isSameRollback(target.staleStatus, status));
  // Swarm's own rollback forgets the spec it left (PreviousSpec is nil); one that somebody asked
  // for swaps the two (swarmkit manager/controlapi/service.go, orchestrator/update/updater.go).
  const byHand = service.PreviousSpec !== undefined;
  if (rolledBack && (goal.phase === 'deploy' || !intended) && !(byHand && !intended))
    return {
      kind: 'failed',
      reason: 'rolled-back-by-swarm',
      service: name,
      message: `Swarm rolled back ${name}${because(status)}`,
    };
  if (!intended)
    return {
      kind: 'superseded',
      service: name,
      message: `service ${name} was changed by someone else while it was being deployed`,
    };
  const paused = status?.State === 'paused' || status?.State === 'rollback_paused';
  // Swarm pauses for a one-shot task that ended well, too ("early termination"), and a restored
  // service that runs again in full is what was asked for, however it got there.
  const kind = kindOf(target.spec);
  const forgiven = complete && (goal.phase === 'restore' || ('oneShot' in kind && kind.oneShot));
  if (paused && !forgiven)
    return {
      kind: 'failed',
      reason: 'update-paused',
      service: name,
      message: `Swarm paused the update of ${name}${because(status)}`,
    };
  return undefined;
}

/** Swarm's message names a task by its id, which tells nobody anything; the cause is added later. */
function because({ Message: message = '' }: UpdateStatus): string {
  // As when its node is drained in mid-update: Swarm makes no difference.
  if (/failure or early termination of task/.test(message))
    return ' after a task failed or was ended early';
  return message === '' || message.startsWith('rollback') ? '' : `: ${message}`;
}
