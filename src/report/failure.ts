/** A failed task in words. */
import { exitCodeMeaning, type Failure } from '../rollout/classify.js';
import type { FailureReport } from './outcome.js';
import { safeLine } from './text.js';

/** `exit code 137 (killed ...): Docker's words`. */
export function failureWords({ reason, error, exitCode }: Failure): string {
  const meaning = exitCode === undefined ? undefined : exitCodeMeaning(exitCode);
  const exit =
    exitCode === undefined || reason === 'unhealthy'
      ? ''
      : `exit code ${exitCode}${meaning === undefined ? '' : ` (${meaning})`}: `;
  return safeLine(`${exit}${error}`);
}

/** `api.3 on worker-1: exit code 137 (killed ...): Docker's words`. */
export function failureLine(failure: FailureReport): string {
  const place = failure.slot === undefined ? failure.service : `${failure.service}.${failure.slot}`;
  const where = failure.node === '' ? place : `${place} on ${failure.node}`;
  return safeLine(`${where}: ${failureWords(failure)}`);
}
