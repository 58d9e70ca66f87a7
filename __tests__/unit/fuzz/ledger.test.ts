/** What is found in the swarm's configs, where anybody with access may have written anything. */
import { describe, expect } from '@jest/globals';
import fc from 'fast-check';
import {
  isGood,
  STATUSES,
  labelsOf,
  revisionOf,
  select,
  surplus,
} from '../../../src/ledger/revision.js';
import { openingFrom, openingParts, sealedFrom } from '../../../src/ledger/content.js';
import { described, holderOf, lockLabels, nextBeat } from '../../../src/ledger/lease-state.js';
import { ledgerName } from '../../../src/ledger/names.js';
import { isObjectName } from '../../../src/docker/engine.js';
import { safeLine } from '../../../src/report/text.js';
import { fuzz } from '../../support/fuzz.js';

const NAMES = Object.keys(
  labelsOf(revisionOf(1, { 'swarm-deploy.status': 'good', 'swarm-deploy.source': '0' })),
);
const anyLabel = fc.oneof(
  fc.constantFrom(
    '',
    '0',
    '-1',
    '1e9',
    '9'.repeat(40),
    'true',
    ...STATUSES,
    'rollback',
    '::error::x',
  ),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.anything({ maxDepth: 1 }),
);

describe('the ledger', () => {
  fuzz(
    'a revision is read from any labels, and read again from its own as the same',
    6,
    fc.property(
      fc.integer({ min: 1, max: 10_000 }),
      fc.dictionary(fc.constantFrom(...NAMES), anyLabel),
      (number, labels) => {
        const revision = revisionOf(number, labels);
        expect(revision.number).toBe(number);
        expect(STATUSES).toContain(revision.status);
        if (revision.source !== undefined) expect(revision.source).toBeLessThan(number);
        const own = labelsOf(revision);
        for (const text of Object.values(own)) expect(typeof text).toBe('string');
        expect(labelsOf(revisionOf(number, own))).toEqual(own);
        // Only what ended well is ever chosen by itself.
        const { kind } = select([revision], 'previous', undefined);
        expect(kind === 'found').toBe(isGood(revision));
        expect(surplus([revision], 1)).toEqual([]);
      },
    ),
  );

  fuzz(
    'a holder is read from any labels, and its own come back',
    4,
    fc.property(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.nat(),
      (actor, runUrl, beat) => {
        const holder = { id: 'f'.repeat(32), actor, runUrl, since: '' };
        const labels = lockLabels('shop', holder, beat);
        const config = { id: 'c', name: 'n', version: 1, data: Buffer.alloc(1), labels };
        expect(holderOf(config)).toEqual(holder);
        expect(nextBeat(config)).toBe(beat + 1);
        const words = described(holder);
        expect(safeLine(words)).toBe(words.trim());
      },
    ),
  );

  fuzz(
    'contents of any bytes are read, or are no contents',
    4,
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 60 }).map((bytes) => [Buffer.from(bytes)]),
        fc.tuple(fc.string({ maxLength: 30 }), fc.nat(), fc.nat(255)).map(([text, at, byte]) => {
          const [part = Buffer.alloc(0)] = openingParts({
            files: [{ name: 'a', text }],
            attachments: [],
          });
          part[at % part.length] = byte;
          return [part];
        }),
      ),
      (parts) => {
        for (const read of [openingFrom(parts), sealedFrom(parts)])
          expect(['object', 'undefined']).toContain(typeof read);
      },
    ),
  );

  fuzz(
    'every name of a config of a stack is one that the swarm takes',
    2,
    fc.property(
      fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_-]{0,60}$/),
      fc.constantFrom('lock', 'r1', 'r999999.2'),
      (stack, suffix) => expect(isObjectName(ledgerName(stack, suffix))).toBe(true),
    ),
  );
});
