import { describe, expect, it } from '@jest/globals';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { BodyReader, itemsOf } from '../../../src/docker/body.js';
import { dropBuffers } from '../../../src/memory.js';
import type { Json, JsonObject } from '../../../src/model.js';

const text = (bytes: Buffer): string => bytes.toString('utf8');
const parse = (piece: string): Json => JSON.parse(piece) as Json;
const same = (item: JsonObject): JsonObject => item;
const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

describe('BodyReader', () => {
  it('gives the bytes of one answer after the other, whatever their sizes', async () => {
    const reader = new BodyReader();
    const bodies = ['a', 'ü🚀'.repeat(50_000), '', 'b'.repeat(70_000)];
    for (const body of bodies) {
      const bytes = Buffer.from(body);
      const pieces = [bytes.subarray(0, 65_537), bytes.subarray(65_537)];
      expect(await reader.read(Readable.from(pieces), text)).toBe(body);
    }
  });

  it('keeps two answers apart that come at the same time', async () => {
    const reader = new BodyReader();
    const slow = new Readable({ read: () => undefined });
    const first = reader.read(slow, text);
    slow.push('fir');
    await turn();
    expect(await reader.read(Readable.from([Buffer.from('second')]), text)).toBe('second');
    slow.push('st');
    slow.push(null);
    expect(await first).toBe('first');
    expect(await reader.read(Readable.from([Buffer.from('third')]), text)).toBe('third');
  });

  it('lets go of what came while more of it comes', async () => {
    const reader = new BodyReader();
    const piece = 64 * 1024;
    const answer = function* (): Generator<Buffer> {
      for (let index = 0; index < 96; index += 1) {
        most = Math.max(most, process.memoryUsage().arrayBuffers);
        yield Buffer.alloc(piece, index);
      }
    };
    let most = 0;
    // The buffer that holds all of it is there from then on.
    const first = await reader.read(Readable.from(answer()), (bytes) => bytes.length);
    expect(first).toBe(96 * piece);
    dropBuffers();
    const before = process.memoryUsage().arrayBuffers;
    most = 0;
    await reader.read(Readable.from(answer()), (bytes) => bytes.length);
    expect(most - before).toBeLessThan(48 * piece);
  });

  it('says when an answer ends before its time', async () => {
    const reader = new BodyReader();
    const broken = new Readable({ read: () => undefined });
    const reading = reader.read(broken, text);
    broken.push('half of');
    broken.destroy();
    await expect(reading).rejects.toThrow('Premature close');
  });
});

describe('itemsOf', () => {
  const many = Array.from({ length: 4000 }, (_, index) => ({
    ID: `id-${index}`,
    Err: 'a "quoted" },{"ID":"x"} ü🚀',
    Ports: [{ PublishedPort: index }, { PublishedPort: 1 }],
  }));

  it('parses a long list in pieces of which none is long', () => {
    const lengths: number[] = [];
    const items = itemsOf(
      bytesOf(many),
      'GET /tasks',
      (piece) => {
        lengths.push(piece.length);
        return parse(piece);
      },
      same,
    );
    expect(items).toEqual(many);
    expect(lengths.length).toBeGreaterThan(4);
    // From 100 KB on, V8 parses into its old generation.
    expect(Math.max(...lengths)).toBeLessThan(2 * 64 * 1024);
  });

  it('reads a list right whose items hold what looks like items', () => {
    const nested = many.map((item) => ({ ...item, Inner: [{ ID: 'a' }, { ID: 'b' }] }));
    expect(itemsOf(bytesOf(nested), 'GET /tasks', parse, same)).toEqual(nested);
  });

  it.each(['null', '[]'])('finds no items in %s', (answer) => {
    expect(itemsOf(Buffer.from(`${answer}\n`), 'GET /tasks', parse, same)).toEqual([]);
  });

  it.each([
    ['{}', 'GET /tasks gave an object for a list'],
    ['"text"', 'GET /tasks gave a text for a list'],
    ['[{"ID":"a"},null]', 'GET /tasks gave a list with null in it'],
  ])('takes %s for no list', (answer, message) => {
    expect(() => itemsOf(Buffer.from(answer), 'GET /tasks', parse, same)).toThrow(message);
  });

  it('refuses what is no JSON, in a long list too', () => {
    expect(() => itemsOf(Buffer.from('<html>'), 'GET /tasks', parse, same)).toThrow(SyntaxError);
    const cut = bytesOf(many).subarray(0, -300);
    expect(() => itemsOf(cut, 'GET /tasks', parse, same)).toThrow(SyntaxError);
  });
});
