/**
 * Reads the bodies of answers into a buffer that is used again and again. The list of a large stack
 * has megabytes and comes several times a second; kept in the pieces in which it came, those outlive
 * the young generation and make V8 mark the whole heap for each look (measured: a third of its CPU).
 */
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { dropBuffers } from '../memory.js';
import type { Json, JsonObject } from '../model.js';
import { listIn } from './well-formed.js';

/** Bytes: most answers are smaller. */
const FIRST_SIZE = 64 * 1024;
/** Bytes: a larger buffer is not kept. */
const KEPT_SIZE = 16 * 1024 * 1024;
/** Bytes between one sweep and the next. */
const SWEEP_SIZE = 512 * 1024;

export class BodyReader {
  #spare: Buffer | undefined;

  /**
   * @param use is given the bytes, which are its own until it returns
   * @returns what `use` returned
   * @throws the error of the stream
   */
  async read<Result>(incoming: Readable, use: (bytes: Buffer) => Result): Promise<Result> {
    // Whoever reads has it alone: of a lost connection the last bytes may still be on their way.
    let buffer = this.#spare ?? Buffer.allocUnsafeSlow(FIRST_SIZE);
    this.#spare = undefined;
    let size = 0;
    let sweepAt = SWEEP_SIZE;
    incoming.on('data', (chunk: Buffer) => {
      if (size + chunk.length > buffer.length) {
        const larger = Buffer.allocUnsafeSlow(2 * (size + chunk.length));
        buffer.copy(larger, 0, 0, size);
        buffer = larger;
      }
      size += chunk.copy(buffer, size);
      if (size >= sweepAt) {
        dropBuffers();
        sweepAt = size + SWEEP_SIZE;
      }
    });
    await finished(incoming, { writable: false });
    const result = use(buffer.subarray(0, size));
    if (buffer.length <= KEPT_SIZE) this.#spare = buffer;
    return result;
  }
}

/** What V8 parses from a text of 100 KB or more goes straight to the old generation (json-parser.h, V8 11.3). */
const PIECE = 64 * 1024;
/** How one item of the engine's lists ends and the next begins; no string can hold it unescaped. */
const BETWEEN = '},{"ID":"';

/**
 * The items of a list. A long one is parsed in pieces, so that neither its text nor what is not kept of
 * the items lives for long, and the memory for ten thousand tasks stays a few of them.
 * @param what was asked for, for the message
 * @returns none where the bytes are null, as which Go writes an empty list
 * @throws SyntaxError where they are no JSON
 * @throws Malformed where they are another JSON value, or an item is no object
 */
export function itemsOf<Item>(
  bytes: Buffer,
  what: string,
  parse: (text: string) => Json,
  itemOf: (item: JsonObject) => Item,
): Item[] {
  const parsed = (piece: string): Item[] => listIn(what, parse(piece)).map(itemOf);
  const items: Item[] = [];
  try {
    for (const piece of piecesOf(bytes)) items.push(...parsed(piece));
    return items;
  } catch (error) {
    // Items in an item may look the same: then a cut was in the middle of one.
    if (!(error instanceof SyntaxError)) throw error;
    return parsed(bytes.toString('utf8'));
  }
}

function* piecesOf(list: Buffer): Generator<string> {
  let from = 0;
  for (;;) {
    const start = from === 0 ? '' : '[';
    const end = list.length - from > 2 * PIECE ? list.indexOf(BETWEEN, from + PIECE) : -1;
    yield (
      start +
      list.toString('utf8', from, end === -1 ? undefined : end + 1) +
      (end === -1 ? '' : ']')
    );
    if (end === -1) return;
    from = end + 2;
  }
}
