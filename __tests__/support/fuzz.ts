/**
 * Properties that are to hold for whatever comes in. In the test run with a few thousand cases from a
 * fixed seed; `npm run fuzz` plays the same ones with very many and a seed of its own.
 */
import { it } from '@jest/globals';
import fc from 'fast-check';
import { appendFileSync } from 'node:fs';

/** The seed of the test run: a failure there is the same one on every machine. */
const FIXED_SEED = 20_260_102;
const SEED = Number(process.env['FUZZ_SEED'] ?? FIXED_SEED);
/** Of all properties together. */
const CASES = Number(process.env['FUZZ_CASES'] ?? 5000);
/** Where the counts go; a line of JSON for each property. */
const LOG = process.env['FUZZ_LOG'];
/** Only a hang takes longer. */
const LIMIT_MS = 1_500_000;

/** A property, or a whole one that is awaited. */
type Property<Values> = fc.IRawProperty<Values>;

/**
 * Plays a property.
 * @param share of all cases, in percent
 * @param perRun how many cases one run of the property is, where it makes a batch of them
 */
export function fuzz<Values>(
  title: string,
  share: number,
  property: Property<Values>,
  perRun = 1,
): void {
  it(
    title,
    async () => {
      const numRuns = Math.max(1, Math.ceil((CASES * share) / 100 / perRun));
      const details = await fc.check(property, { numRuns, seed: SEED });
      if (LOG !== undefined)
        appendFileSync(
          LOG,
          `${JSON.stringify({ title, cases: details.numRuns * perRun, failed: details.failed })}\n`,
        );
      if (details.failed) throw new Error(await fc.asyncDefaultReportMessage(details));
    },
    LIMIT_MS,
  );
}

/** Text of fragments that mean something to the reader, mixed with any text at all. */
export const soup = (
  fragments: readonly string[],
  maxLength = 25,
  other: fc.Arbitrary<string> = fc.string({ unit: 'binary', maxLength: 6 }),
): fc.Arbitrary<string> =>
  fc
    .array(
      fc.oneof(
        { weight: 6, arbitrary: fc.constantFrom(...fragments) },
        { weight: 1, arbitrary: other },
      ),
      { maxLength },
    )
    .map((parts) => parts.join(''));

/** A document with some bytes changed, taken out or put in, as a damaged or hostile one has. */
export const damaged = (documents: readonly string[]): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      fc.constantFrom(...documents),
      fc.array(fc.tuple(fc.nat(), fc.nat(6), fc.uint8Array({ maxLength: 6 })), { maxLength: 6 }),
    )
    .map(([document, wounds]) =>
      wounds.reduce((bytes, [at, taken, put]) => {
        const from = at % (bytes.length + 1);
        return Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(from + taken)]);
      }, Buffer.from(document)),
    );
