/**
 * First step of the stack files: bytes become text that Docker's YAML reader will accept, and text
 * becomes a syntax tree that still knows where in the file everything stands. All scalars stay the
 * strings that were written (the failsafe schema): what `010` or `yes` means is for Docker to say.
 */
import {
  Composer,
  type CST,
  isMap,
  isScalar,
  LineCounter,
  Parser,
  type Document,
  type ParsedNode,
  type YAMLMap,
} from 'yaml';
import type { Position, Problem, Reason } from '../errors.js';
import { lexemesOf, TabWatch, unescapeQuotes } from './dialect.js';

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

/** More than Swarm could take in as one stack; large stack files have a tenth of it. */
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
  // Docker's reader takes a lone CR and some other characters for a line break, the parser here does
  // not: the two would see different documents.
  const lone = /\r(?!\n)/.exec(text);
  if (lone !== null) {
    return source.problem(lone.index, 'a carriage return without a line feed', {
      hint: 'Save the file with LF or CRLF line endings.',
    });
  }
  const separator = /[\x85\u2028\u2029]/.exec(text);
  if (separator !== null) {
    const code = separator[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, '0');
    return source.problem(
      separator.index,
      `the invisible character U+${code}, which Docker reads as a line break`,
      { hint: `Remove it; where it is meant, write "\\u${code}" between double quotes.` },
    );
  }
  return source;
}

export const TOO_DEEP = 'the file is nested too deeply';

/** Words, signs and line breaks: what bounds the parser's work. Large stack files have a tenth of it. */
export const MAX_TOKENS = 200_000;
/** Collections in collections while the text is read; more than twice what the tree lets pass. */
const MAX_PARSER_DEPTH = 250;
/** Only one may say anything, but an empty one after a last `---` is common. */
const MAX_DOCUMENTS = 50;

/** Thrown out of the parser where going on would tell nothing new. */
class Enough extends Error {}

interface SyntaxFault {
  readonly offset: number;
  readonly message: string;
}

const TAB = 'Tabs are not allowed as indentation';
/** Faults that are none for Docker's reader if all is well once lines need no indentation in them. */
const UNINDENTED = /^(?:Missing closing|Flow (?:map|sequence) in block collection)/;

type Composed = Document.Parsed<ParsedNode, false>;
type ErrorSource = number | readonly [number, ...number[]] | { readonly offset: number };

/**
 * The documents of a text, or its first errors of syntax: the parser stops there, and at the limits.
 * An error of its own costs it as much as some hundred characters, and a file of another kind is made
 * of errors.
 */
class BoundedReader {
  readonly documents: Composed[] = [];
  readonly faults: SyntaxFault[] = [];
  /** Whether there are more errors of syntax than these. */
  stopped = false;
  /** Whether the first document has begun. */
  #begun = false;
  readonly #text: string;
  readonly #loose: boolean;
  readonly #tabs = new TabWatch();
  #hasQuoteEscape = false;
  readonly #parser = new Parser();
  readonly #composer = new Composer<ParsedNode, false>({
    schema: 'failsafe',
    keepSourceTokens: true,
    prettyErrors: false,
    // Checked in the tree: the parser compares every pair of keys, which takes seconds on large maps.
    uniqueKeys: false,
    strict: false,
  });

  /** @param loose with lines that are less indented than what they belong to, as Docker reads them */
  constructor(text: string, loose = false) {
    this.#text = text;
    this.#loose = loose;
    // The only way to hear of an error before the document that has it is complete.
    this.#composer['onError'] = (
      at: ErrorSource,
      code: unknown,
      message: string,
      warning = false,
    ) => {
      const offset = typeof at === 'number' ? at : 'offset' in at ? at.offset : at[0];
      if (code === 'BAD_DQ_ESCAPE' && text.startsWith("\\'", offset)) this.#hasQuoteEscape = true;
      else if (!warning) this.#fault({ offset, message });
    };
    try {
      const limit = this.#read(text);
      if (limit !== undefined) this.#endAt(this.#parser.offset, limit);
    } catch (error) {
      if (error instanceof Enough) this.stopped = true;
      else if (error instanceof RangeError) this.#endAt(0, TOO_DEEP);
      else throw error;
    }
    if (this.#hasQuoteEscape)
      for (const { contents } of this.documents) unescapeQuotes(contents, text);
  }

  /** @returns the limit that the text exceeds */
  #read(text: string): string | undefined {
    let tokens = 0;
    for (const lexeme of lexemesOf(text, this.#loose)) {
      tokens += 1;
      this.#tabs.see(lexeme, this.#parser.offset);
      if (tokens > MAX_TOKENS)
        return `the file has more than ${MAX_TOKENS} words, signs and line breaks; a stack file may have no more`;
      for (const token of this.#parser.next(lexeme)) this.#compose(token);
      if (this.#parser.stack.length > MAX_PARSER_DEPTH) return TOO_DEEP;
      if (this.documents.length > MAX_DOCUMENTS)
        return `the file has more than ${MAX_DOCUMENTS} YAML documents; a stack file has one`;
    }
    this.#finish(text.length);
    return undefined;
  }

  /** Where the text is cut short: errors before that are what is wrong with it, if there are some. */
  #endAt(offset: number, message: string): void {
    const early = offset === 0 ? [] : this.#errorsBefore(offset);
    this.documents.length = 0;
    this.stopped &&= early.length > 0;
    this.faults.splice(0, Infinity, ...(early.length > 0 ? early : [{ offset, message }]));
  }

  #errorsBefore(offset: number): readonly SyntaxFault[] {
    try {
      this.#finish(offset);
    } catch (error) {
      if (!(error instanceof Enough)) throw error;
      this.stopped = true;
    }
    // In the line of the cut it is the cut that makes them.
    const line = this.#text.lastIndexOf('\n', offset - 1) + 1;
    return this.faults.filter((fault) => fault.offset < line);
  }

  #finish(end: number): void {
    for (const token of this.#parser.end()) this.#compose(token);
    this.documents.push(...this.#composer.end(false, end));
    // Those that belong to no node, as a directive without a document.
    for (const { pos, message } of this.documents.flatMap(({ errors }) => errors))
      this.#fault({ offset: pos[0], message });
    if (this.faults.length === 0)
      for (const offset of this.#tabs.offsets) this.#fault({ offset, message: TAB });
  }

  #compose(token: CST.Token): void {
    if (token.type === 'error')
      this.#fault({
        offset: token.offset,
        message: token.source ? `${token.message}: ${JSON.stringify(token.source)}` : token.message,
      });
    else if (token.type === 'doc-end' && !this.#begun)
      this.#fault({ offset: token.offset, message: '`...` before any document' });
    else {
      this.#begun ||= token.type === 'document';
      this.documents.push(...this.#composer.next(token));
    }
  }

  #fault(fault: SyntaxFault): void {
    if (this.faults.length === (this.#loose ? 1 : MAX_SYNTAX_PROBLEMS)) throw new Enough();
    this.faults.push(fault);
  }
}

/** What mends an error of syntax. */
const MENDS: readonly (readonly [RegExp, string])[] = [
  [/^Tabs are not allowed/, 'Write spaces instead, or nothing in an empty line.'],
  [/^Invalid escape sequence/, 'Write \\\\ for a backslash, or put single quotes around the text.'],
  [/^Nested mappings are not allowed/, 'Quote a text that has ": " in it, or ":" at its end.'],
  [/^Plain value cannot start with/, 'Quote the text.'],
];

/** @param before what stands in front of the error, and its first character */
function hintFor(message: string, before: string): { readonly hint?: string } {
  if (/\$\{[^}]*$/.test(before))
    return { hint: 'Quote "${...}" inside of [ ] and { }: YAML reads its brace there.' };
  const hint = MENDS.find(([pattern]) => pattern.test(message))?.[1];
  return hint === undefined ? {} : { hint };
}

/** The one mapping that a stack file is, or everything that keeps it from being read as one. */
export function parseRoot(source: Source): YAMLMap | readonly Problem[] {
  const strict = new BoundedReader(source.text);
  const loose = strict.faults.some(({ message }) => UNINDENTED.test(message))
    ? new BoundedReader(source.text, true)
    : strict;
  const { documents, faults, stopped } = loose.faults.length === 0 ? loose : strict;
  if (faults.length > 0) {
    const inOrder = faults.toSorted((a, b) => a.offset - b.offset);
    const problems = inOrder.map(({ offset, message }): Problem => {
      const before = source.text.slice(Math.max(0, offset - 80), offset + 1);
      return {
        ...source.problem(offset, `invalid YAML: ${message}`, hintFor(message, before)),
        excerpt: source.excerpt(offset),
      };
    });
    if (stopped)
      problems.push(problemAt({ file: source.path }, 'and more errors of syntax after these'));
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
      source.problem(second.contents.range[0], 'a second YAML document in the same file', {
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
