/** What a red run puts at lines of the stack files, most important first. */
import { placeOf, shortName } from '../compose/places.js';
import type { Position, Reason } from '../errors.js';
import { failureLine } from './failure.js';
import type { RunReport } from './outcome.js';
import { causeFirst, headline, isGreen } from './render.js';
import { safeLines } from './text.js';

/** An error; its text may have several lines, all of them safe. */
export interface Annotation {
  readonly text: string;
  readonly position: Position | undefined;
}

const paragraphs = (...texts: readonly (string | undefined)[]): string =>
  texts
    .map((text) => safeLines(text ?? ''))
    .filter((text) => text !== '')
    .join('\n');

/** A service that made the run fail. */
interface Culprit {
  readonly service: string;
  readonly reason: Reason;
}

/** Those with a dossier, then the others; the one whose reason is that of the run before the rest. */
export function culpritsOf({ dossier, services, reason }: RunReport): readonly Culprit[] {
  const known = new Set(dossier.map(({ service }) => service));
  const others = services.flatMap((service): readonly Culprit[] =>
    service.reason === '' || known.has(service.name)
      ? []
      : [{ service: service.name, reason: service.reason }],
  );
  const first = (culprit: Culprit): number => (culprit.reason === reason ? 0 : 1);
  return [...dossier, ...others.sort((a, b) => first(a) - first(b))];
}

/** Where the files say what a service failed of. */
function placeIn(run: RunReport, { service, reason }: Culprit): Position | undefined {
  const failure = run.failures.findLast((each) => each.service === service);
  // Of what never ran, Docker's words are in the verdict alone.
  const words = failure?.error ?? run.message;
  return (
    run.dossier.find((each) => each.service === service)?.place ??
    placeOf(run.places, shortName(run.stack, service), reason, words)
  );
}

/**
 * The verdict, at the line that it is about, and each other service that failed at its own; or every problem
 * of inputs and files. Nothing where the run is green.
 */
export function annotationsOf(run: RunReport): readonly Annotation[] {
  if (isGreen(run.outcome)) return [];
  if (run.problems.length > 1)
    return run.problems.map(({ message, excerpt, hint, position }) => ({
      text: paragraphs(message, excerpt, hint),
      position,
    }));
  const culprits = culpritsOf(run);
  const [main, ...others] = culprits;
  const told = run.dossier.find(({ service }) => service === main?.service);
  const unanswered = run.verification.find(({ ok }) => !ok);
  const why = [told?.cause, told?.mend];
  const verdict = [run.message, told === undefined ? unanswered?.mend : undefined];
  const at = run.position ?? (main === undefined ? undefined : placeIn(run, main));
  return [
    {
      text: paragraphs(
        headline(run),
        ...(causeFirst(run) ? [...why, ...verdict] : [...verdict, ...why]),
        run.hint,
      ),
      position: at,
    },
    ...others.map((culprit) => {
      const { service, reason } = culprit;
      const known = run.dossier.find((each) => each.service === service);
      const failure = run.failures.findLast((each) => each.service === service);
      const words =
        known !== undefined
          ? paragraphs(known.cause, known.mend)
          : failure === undefined
            ? ''
            : failureLine(failure);
      return {
        text: paragraphs(`${service} failed as well: ${reason}`, words),
        position: placeIn(run, culprit),
      };
    }),
  ];
}
