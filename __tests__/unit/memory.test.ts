import { describe, expect, it } from '@jest/globals';
import { getHeapStatistics } from 'node:v8';
import { dropBuffers, tidyMemory } from '../../src/memory.js';

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
