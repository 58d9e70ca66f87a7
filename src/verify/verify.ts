/** The checks of `verify`, side by side, each asked again until it is well or the time is over. */
import type { Verification } from '../report/dossier.js';
import type { Mask } from '../report/dossier-log.js';
import { withoutControls } from '../report/text.js';
import type { Clock } from '../rollout/watch.js';
import { complaint, expectationOf, mendOf, type Answer, type Check } from './check.js';
import type { Probe } from './probe.js';

export interface Verifier {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly probe: Probe;
  /** Milliseconds for all of them. */
  readonly timeoutMs: number;
  /** For answers: nobody may read secrets that they repeat. */
  readonly mask: Mask;
  readonly say: (line: string) => void;
}

/** For one request, in milliseconds. */
const REQUEST_MS = 10_000;
const SHORTEST_REQUEST_MS = 1000;
/** Between one request and the next. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5000;
/** Characters, and lines, of a body that are kept. */
const BODY_HEAD = 1000;
const BODY_LINES = 20;
/** Characters that are looked at for that. */
const READ_HEAD = 20_000;

/**
 * Runs all checks.
 * @throws the signal's reason when it is aborted meanwhile
 */
export async function verify(
  checks: readonly Check[],
  verifier: Verifier,
): Promise<readonly Verification[]> {
  const until = verifier.clock.now() + verifier.timeoutMs;
  return await Promise.all(checks.map((check) => verifyOne(check, verifier, until)));
}

async function verifyOne(
  check: Check,
  { clock, signal, probe, mask, say }: Verifier,
  until: number,
): Promise<Verification> {
  const begun = clock.now();
  let pause = FIRST_PAUSE_MS;
  let told = '';
  for (let attempts = 1; ; attempts += 1) {
    const limit = Math.max(SHORTEST_REQUEST_MS, Math.min(REQUEST_MS, until - clock.now()));
    const answer = await probe(check.url, limit, signal);
    signal.throwIfAborted();
    const error = mask.apply(complaint(check, answer));
    const leftMs = until - clock.now();
    if (error === '' || leftMs <= 0) {
      const tookMs = clock.now() - begun;
      say(
        error === ''
          ? `${check.shown} answers ${mask.apply(expectationOf(check))}`
          : `${check.shown}: ${error}; the time for it is over`,
      );
      return {
        url: check.shown,
        expectation: mask.apply(expectationOf(check)),
        ok: error === '',
        ...('status' in answer ? { status: answer.status } : {}),
        tookMs,
        attempts,
        body: headOf(answer, mask),
        error,
        mend: error === '' ? '' : mendOf(check, answer),
      };
    }
    if (error !== told) say(`${check.shown}: ${error}; asking again`);
    told = error;
    await clock.sleep(Math.min(pause, leftMs), signal);
    pause = Math.min(pause * 1.5, LONGEST_PAUSE_MS);
  }
}

/** A binary body is of no use to anybody. */
function headOf(answer: Answer, mask: Mask): string {
  if (!('body' in answer) || answer.body.includes('\0')) return '';
  const masked = mask.apply(answer.body.slice(0, READ_HEAD));
  // Of a secret that goes on behind the end there may be a part left.
  const whole =
    answer.body.length > READ_HEAD
      ? masked.slice(0, Math.max(0, READ_HEAD - mask.longest))
      : masked;
  return whole
    .split(/\r?\n/, BODY_LINES)
    .map(withoutControls)
    .join('\n')
    .slice(0, BODY_HEAD)
    .trimEnd();
}
