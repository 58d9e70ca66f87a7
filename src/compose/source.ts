/**
 * First step of the stack files: bytes become text that Docker's YAML reader will accept, and text
 * becomes a syntax tree that still knows where in the file everything stands. All scalars stay the
 * strings that were written (the failsafe schema): what `010` or `yes` means is for Docker to say.
 */
import { isMap, isScalar, LineCounter, parseAllDocuments, type YAMLMap } from 'yaml';
import type { Position, Problem, Reason } from '../errors.js';

/** A file as the user named it, and its bytes. */
export interface SourceFile {
  readonly path: string;
  readonly text: Buffer;
}

/** The text of a file and the places in it. */
export class Source {
  readonly #lines: LineCounter;

  constructor(
    readonly path: string,
    readonly text: string,
    lines: LineCounter = countLines(text),
  ) {
    this.#lines = lines;
  }

  /** Line and column, from 1, of an offset into the text. */
  position(offset: number): Position & { readonly line: number; readonly column: number } {
    const { line, col } = this.#lines.linePos(Math.max(0, Math.min(offset, this.text.length)));
    return { file: this.path, line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  /** The offset of a place in the text. */
  offset(line: number, column: number): number {
    return (this.#lines.lineStarts[line - 1] ?? 0) + column - 1;
  }

  /** A problem at an offset; its message starts with file, line and column. */
  problem(offset: number, message: string, more: ProblemDetails = {}): Problem {
    return problemAt(this.position(offset), message, more);
  }

  /** The line of an offset with a caret under it, for errors of syntax. */
  excerpt(offset: number): string {
    const { line, column } = this.position(offset);
    const start = this.#lines.lineStarts[line - 1] ?? 0;
    const end = this.text.indexOf('\n', start);
    const whole = this.text.slice(start, end < 0 ? undefined : end).replace(/\r$/, '');
    // A window around the column: a minified JSON file is one line of many kilobytes.
    const from = Math.max(0, column - 41);
    const shown = whole.slice(from, from + 80).replaceAll('\t', ' ');
    const gutter = `  ${line} | `;
    return `${gutter}${shown}\n${' '.repeat(gutter.length + column - 1 - from)}^`;
  }
}

interface ProblemDetails {
  readonly reason?: Reason;
  readonly hint?: string;
}

function countLines(text: string): LineCounter {
  const lines = new LineCounter();
  lines.addNewLine(0);
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) {
    lines.addNewLine(at + 1);
  }
  return lines;
}

/** A problem whose message says where it is, since a list of messages is read without positions. */
export function problemAt(
  position: Position,
  message: string,
  { reason = 'compose-invalid', hint }: ProblemDetails = {},
): Problem {
  const place = [position.file, position.line, position.column].filter((part) => part != null);
  return {
    reason,
    message: `${place.join(':')}: ${message}`,
    position,
    ...(hint === undefined ? {} : { hint }),
  };
}

/** The parser needs about a second for this much; large stack files have a tenth of it. */
export const MAX_FILE_BYTES = 512 * 1024;
/** A broken quote makes a parser report every later line. */
const MAX_SYNTAX_PROBLEMS = 10;

/**
 * Decodes a file to the text that is handed on: no byte order mark, UTF-8 out of UTF-16 (what
 * PowerShell's `>` writes, and what Docker's YAML reader takes as well).
 */
export function decodeText(file: SourceFile): Source | Problem {
  const { path, text: bytes } = file;
  if (bytes.length > MAX_FILE_BYTES) {
    return problemAt(
      { file: path },
      `the file has ${bytes.length} bytes; a stack file may have ${MAX_FILE_BYTES}`,
    );
  }
  const encoding =
    bytes[0] === 0xff && bytes[1] === 0xfe
      ? 'utf-16le'
      : bytes[0] === 0xfe && bytes[1] === 0xff
        ? 'utf-16be'
        : 'utf-8';
  let text: string;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return problemAt({ file: path }, `this is not a text file: it is not valid ${encoding}`, {
      hint: 'Save the file as UTF-8.',
    });
  }
  const source = new Source(path, text);
  // What go-yaml's reader accepts (readerc.go); anything else is "control characters are not allowed".
  const control = /[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u.exec(text);
  if (control !== null) {
    const code = (control[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
    return source.problem(control.index, `the control character U+${code} is not allowed in YAML`);
  }
  // Docker's reader takes a lone CR for a line break, the parser here does not: the two would see
  // different documents.
  const lone = /\r(?!\n)/.exec(text);
  if (lone !== null) {
    return source.problem(lone.index, 'a carriage return without a line feed', {
      hint: 'Save the file with LF or CRLF line endings.',
    });
  }
  return source;
}

export const TOO_DEEP = 'the file is nested too deeply';

/** The one mapping that a stack file is, or everything that keeps it from being read as one. */
export function parseRoot(source: Source): YAMLMap | readonly Problem[] {
  // The parser would find out as well, by running out of stack again and again.
  if (/(?:[[{]\s*){200}/.test(source.text)) return [source.problem(0, TOO_DEEP)];
  const parsed = parseAllDocuments(source.text, {
    schema: 'failsafe',
    keepSourceTokens: true,
    prettyErrors: false,
    // Checked in the tree: the parser compares every pair of keys, which takes seconds on large maps.
    uniqueKeys: false,
    strict: false,
  });
  const documents = 'empty' in parsed ? [] : parsed;
  const errors = documents.flatMap((document) => document.errors);
  if (errors.some((error) => error.message.includes('call stack'))) {
    return [source.problem(0, TOO_DEEP)];
  }
  if (errors.length > 0) {
    const problems = errors.slice(0, MAX_SYNTAX_PROBLEMS).map((error) => {
      const [offset] = error.pos;
      const flow = /\$\{[^}]*$/.test(source.text.slice(Math.max(0, offset - 80), offset + 1));
      return source.problem(
        offset,
        `invalid YAML: ${error.message}\n${source.excerpt(offset)}`,
        flow ? { hint: 'Quote "${...}" inside of [ ] and { }: YAML reads its brace there.' } : {},
      );
    });
    const more = errors.length - problems.length;
    if (more > 0) problems.push(problemAt({ file: source.path }, `${more} more errors of syntax`));
    return problems;
  }
  const [first, ...others] = documents;
  const root = first?.contents;
  const written = (contents: unknown): boolean =>
    contents != null && !(isScalar(contents) && contents.range?.[0] === contents.range?.[1]);
  if (!written(root) && others.length === 0) {
    return [problemAt({ file: source.path }, 'the file is empty')];
  }
  // Docker reads the first document and silently drops the others. An empty one after a last `---`
  // loses nothing.
  const second = others.find((document) => written(document.contents));
  if (second !== undefined) {
    return [
      source.problem(second.contents?.range[0] ?? 0, 'a second YAML document in the same file', {
        hint: 'Write it into a file of its own and list both in compose-file.',
      }),
    ];
  }
  if (!isMap(root)) {
    return [
      source.problem(root?.range[0] ?? 0, 'a stack file is a mapping: `services:` and so on'),
    ];
  }
  return root;
}
