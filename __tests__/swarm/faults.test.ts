/**
 * The fault matrix: what may break around a run. Most cases are played side by side, on the test swarm of this
 * run; those that hit a whole swarm on two of their own at the same time. `FAULTS="ID ID"` chooses.
 */
import { beforeAll, describe, expect, it } from '@jest/globals';
import { playLanes } from '../../scripts/faults/lanes.mjs';
import { FAULTS, SECTIONS } from '../support/faults.mjs';
import type { Result } from '../support/play-fault.mjs';
import { onSwarm, testbed } from '../support/swarm.js';

const AT_ONCE = 4;
/** A case waits here until its turn has come: the whole matrix takes that long on a busy machine. */
const LIMIT_MS = 30 * 60_000;

const wanted = (process.env['FAULTS'] ?? '').split(/\s+/).filter(Boolean);
const chosen = FAULTS.filter(({ id }) => wanted.length === 0 || wanted.includes(id));

onSwarm('faults', () => {
  let results: ReadonlyMap<string, Promise<Result>>;

  beforeAll(async () => {
    results = playLanes(await testbed(), chosen, AT_ONCE);
  });

  for (const { title, faults } of SECTIONS) {
    const played = faults.filter((fault) => chosen.includes(fault));
    if (played.length === 0) continue;
    describe(title, () => {
      it.each(played.map((fault) => [fault.id, fault.fault, fault.when] as const))(
        '%s: %s, %s',
        async (id) => {
          const result = await results.get(id);
          if (result === undefined) throw new Error(`${id} was not played`);
          const { wrong, wrongEnd, left, story } = result;
          if (wrong !== '' || wrongEnd !== '' || left.length > 0)
            throw new Error([wrong, wrongEnd, ...left, story].join('\n'));
        },
        LIMIT_MS,
      );
    });
  }
});

describe('the matrix', () => {
  it('names each case once, and has enough of them', () => {
    const ids = FAULTS.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThanOrEqual(40);
    expect(wanted.filter((id) => !ids.includes(id))).toEqual([]);
  });
});
