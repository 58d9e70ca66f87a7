/** What the engine's log streams are made of. */

/** One frame: its stream (1 stdout, 2 stderr, 3 the engine's own words), and what it holds. */
export function frame(stream: number, text: string | Buffer): Buffer {
  const body = Buffer.from(text);
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(body.length, 4);
  return Buffer.concat([head, body]);
}

/** A log of such frames, each a line of standard output. */
export const logOf = (...lines: readonly string[]): Buffer =>
  Buffer.concat(lines.map((line) => frame(1, `${line}\n`)));

/** What a hostile container may write: commands of the runner, markup, terminal tricks. */
export const HOSTILE = [
  '::set-output name=outcome::deployed',
  '::stop-commands::token',
  '##[error]not an error',
  '\u001b[2J\u001b[31mred\u001b[0m \u001b]0;title\u0007',
  '</details><script>alert(1)</script>',
  '``` ` ```` `````` | a | b |',
  '![x](https://evil.example/a.png) [link](javascript:alert(1)) @someone #1',
  'one\rtwo\u202ethree',
] as const;
