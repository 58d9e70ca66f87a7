import { describe, expect, it } from '@jest/globals';
import { getHeapStatistics } from 'node:v8';
import { tidyMemory } from '../../src/memory.js';

const used = (): number => getHeapStatistics().used_heap_size;
const MIB = 1024 * 1024;

describe('tidyMemory', () => {
  it('collects what is garbage once there is much of it', () => {
    tidyMemory();
    const before = used();
    let garbage: unknown[] | undefined = [];
    // Kept for now, so that V8 does not collect it by itself.
    for (let index = 0; used() < 2 * before + 200 * MIB; index += 1)
      garbage.push(Array.from({ length: 10_000 }, (_, item) => `${index} ${item}`));
    expect(garbage.length).toBeGreaterThan(1);
    garbage = undefined;
    const full = used();
    tidyMemory();
    expect(used()).toBeLessThan(full - 100 * MIB);
  });
});
