/** The engine's log streams: what containers wrote, cut into lines again. */

export interface LogText {
  /** Oldest first; what is no UTF-8 is shown as U+FFFD. */
  readonly lines: readonly string[];
  /** What the engine itself says went wrong; '' where nothing did. */
  readonly error: string;
}

/** A frame is led by its stream, three zeros and its length (moby, pkg/stdcopy). */
const HEAD = 8;
const ENGINE = 3;

/**
 * Takes a log apart. A frame holds a line or a piece of one: the engine cuts lines at 16 KiB, and may
 * put pieces of the other stream in between.
 * @param isRaw without frames, as a container with a terminal writes it
 */
export function decodeLog(bytes: Buffer, isRaw: boolean): LogText {
  if (isRaw) return { lines: linesIn(bytes), error: '' };
  const lines: { readonly frame: number; readonly text: string }[] = [];
  const errors: Buffer[] = [];
  const open = new Map<number, { readonly pieces: Buffer[]; frame: number }>();
  const close = (stream: number): void => {
    const { pieces = [], frame = 0 } = open.get(stream) ?? {};
    lines.push(...linesIn(Buffer.concat(pieces)).map((text) => ({ frame, text })));
    open.delete(stream);
  };
  let at = 0;
  for (let frame = 0; at + HEAD <= bytes.length; frame += 1) {
    const stream = bytes[at] ?? 0;
    if (stream > ENGINE || bytes.readUIntBE(at + 1, 3) !== 0) break;
    const end = at + HEAD + bytes.readUInt32BE(at + 4);
    const body = bytes.subarray(at + HEAD, end);
    at = end;
    if (stream === ENGINE) {
      errors.push(body);
      continue;
    }
    const line = open.get(stream) ?? { pieces: [], frame };
    open.set(stream, line);
    line.pieces.push(body);
    line.frame = frame;
    if (body.at(-1) === NEWLINE) close(stream);
  }
  for (const stream of [...open.keys()]) close(stream);
  const text = lines.sort((a, b) => a.frame - b.frame).map((line) => line.text);
  // Neither frames nor a terminal's output: better shown as it is than not at all.
  if (at < bytes.length && at + HEAD <= bytes.length) text.push(...linesIn(bytes.subarray(at)));
  return { lines: text, error: Buffer.concat(errors).toString('utf8').trim() };
}

const NEWLINE = 10;

function linesIn(bytes: Buffer): readonly string[] {
  if (bytes.length === 0) return [];
  const lines = bytes.toString('utf8').split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}
