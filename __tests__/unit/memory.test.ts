import { describe, expect, it } from '@jest/globals';
import { getHeapStatistics } from 'node:v8';
import { clearMemory, dropBuffers, keepTidy, tidyMemory } from '../../src/memory.js';

const used = (): number => getHeapStatistics().used_heap_size;
const MIB = 1024 * 1024;

/** @returns bytes in use, most of them garbage */
function litter(): number {
  const before = used();
  const garbage: unknown[] = [];
  // Kept for now, so that V8 does not collect it by itself.
  for (let index = 0; used() < before + 200 * MIB; index += 1)
    garbage.push(Array.from({ length: 10_000 }, (_, item) => `${index} ${item}`));
  expect(garbage.length).toBeGreaterThan(1);
  return used();
}

describe('tidyMemory and clearMemory', () => {
  it('leave alone what is not a process of the action', () => {
    const full = litter();
    tidyMemory();
    clearMemory();
    expect(used()).toBeGreaterThan(full - 10 * MIB);
  });

  it.each([tidyMemory, clearMemory])('collect garbage once there is much of it', (collect) => {
    keepTidy();
    const full = litter();
    collect();
    expect(used()).toBeLessThan(full - 100 * MIB);
  });
});

describe('dropBuffers', () => {
  const bytes = (): number => process.memoryUsage().arrayBuffers;
  it('lets go of buffers that nobody has any more', async () => {
    dropBuffers();
    const before = bytes();
    let read: Buffer[] | undefined = Array.from({ length: 100 }, () => Buffer.alloc(64 * 1024));
    expect(bytes()).toBeGreaterThan(before + read.length * 64 * 1000);
    read = undefined;
    dropBuffers();
    // They are freed by a thread of V8's own.
    while (bytes() > before + MIB) await new Promise((resolve) => setImmediate(resolve));
  });
});
