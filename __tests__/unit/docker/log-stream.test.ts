import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decodeLog } from '../../../src/docker/log-stream.js';
import { frame, logOf } from '../../support/log-frames.js';

describe('a log stream', () => {
  it('is lines of both streams, in the order in which they ended', () => {
    const bytes = Buffer.concat([
      frame(1, 'one\n'),
      frame(2, 'two\n'),
      frame(1, 'a line with\nanother\r\n'),
    ]);
    expect(decodeLog(bytes, false)).toEqual({
      lines: ['one', 'two', 'a line with', 'another'],
      error: '',
    });
  });

  it('has long lines in pieces, and what the other stream wrote in between', () => {
    const bytes = Buffer.concat([
      frame(1, 'x'.repeat(16384)),
      frame(2, 'oops\n'),
      frame(1, 'y'.repeat(16384)),
      frame(1, 'z\n'),
    ]);
    const { lines } = decodeLog(bytes, false);
    expect(lines).toEqual(['oops', `${'x'.repeat(16384)}${'y'.repeat(16384)}z`]);
  });

  it('puts characters together that a piece has cut', () => {
    const euro = Buffer.from('€');
    const bytes = Buffer.concat([
      frame(1, euro.subarray(0, 1)),
      frame(1, Buffer.concat([euro.subarray(1), Buffer.from('\n')])),
    ]);
    expect(decodeLog(bytes, false).lines).toEqual(['€']);
  });

  it('keeps a last line without an end, and empty lines', () => {
    const bytes = Buffer.concat([frame(1, '\n'), frame(1, 'last words')]);
    expect(decodeLog(bytes, false).lines).toEqual(['', 'last words']);
  });

  it('shows bytes that are no UTF-8 as such', () => {
    expect(decodeLog(frame(1, Buffer.from([0x61, 0xff, 0xfe, 0x0a])), false).lines).toEqual([
      'a\ufffd\ufffd',
    ]);
  });

  it("tells the engine's own words apart", () => {
    const bytes = Buffer.concat([frame(1, 'one\n'), frame(3, 'error grabbing logs: no node\n')]);
    expect(decodeLog(bytes, false)).toEqual({
      lines: ['one'],
      error: 'error grabbing logs: no node',
    });
  });

  it('is taken as far as it goes where it was cut off', () => {
    const bytes = logOf('one', 'two');
    expect(decodeLog(bytes.subarray(0, bytes.length - 2), false).lines).toEqual(['one', 'tw']);
    expect(decodeLog(bytes.subarray(0, 14), false).lines).toEqual(['one']);
  });

  it('of a terminal has no frames', () => {
    expect(decodeLog(Buffer.from('one\r\ntwo\r\n'), true).lines).toEqual(['one', 'two']);
  });

  it('is shown as it is where it is not framed, though it should be', () => {
    expect(decodeLog(Buffer.from('plain text\n'), false).lines).toEqual(['plain text']);
  });

  it('never throws, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, isRaw) => {
        expect(decodeLog(Buffer.from(bytes), isRaw).lines).toBeInstanceOf(Array);
      }),
    );
  });
});
