/**
 * Where Docker's YAML reader (go-yaml, of YAML 1.1) and the parser here (of YAML 1.2) part: what only one
 * of them takes. Each file must be the same document for both, or be refused at its line.
 */
import { isScalar, Lexer, parseDocument, visit, type Node, type Pair, type Scalar } from 'yaml';

/**
 * The words and signs of a text.
 * @param loose as go-yaml reads it: inside of brackets and quotes no line has to be indented
 */
export function lexemesOf(text: string, loose: boolean): Generator<string> {
  const lexer = new Lexer();
  if (loose) loosen(lexer);
  return lexer.lex(text);
}

function loosen(lexer: Lexer): void {
  let indent = 0;
  let isQuoted = false;
  Object.defineProperty(lexer, 'indentNext', {
    get: () => (isQuoted || lexer['flowLevel'] > 0 ? 0 : indent),
    set: (next: number) => {
      indent = next;
    },
  });
  const scan = (lexer['parseQuotedScalar'] as () => Generator<string, unknown>).bind(lexer);
  lexer['parseQuotedScalar'] = function* () {
    isQuoted = true;
    try {
      return yield* scan();
    } finally {
      isQuoted = false;
    }
  };
}

/** Finds tabs where a line of a block begins, which go-yaml refuses even on empty lines and before comments. */
export class TabWatch {
  readonly offsets: number[] = [];
  #depth = 0;
  #isStart = true;
  #isScalar = false;

  /** @param offset where the lexeme begins */
  see(lexeme: string, offset: number): void {
    const wasScalar = this.#isScalar;
    this.#isScalar = lexeme === SCALAR;
    if (this.#isScalar || lexeme === DOCUMENT || lexeme === '\ufeff') return;
    if (!wasScalar && /^[ \t]+$/.test(lexeme)) {
      if (this.#isStart && this.#depth === 0 && lexeme.includes('\t'))
        this.offsets.push(offset + lexeme.indexOf('\t'));
      return;
    }
    if (!wasScalar && /^[[{]$/.test(lexeme)) this.#depth += 1;
    if (!wasScalar && /^[\]}]$/.test(lexeme)) this.#depth -= 1;
    this.#isStart = !wasScalar && /^(?:\r?\n|[-?])$/.test(lexeme);
  }
}

/** What the lexer puts before scalars and documents. */
const SCALAR = '\u001f';
const DOCUMENT = '\u0002';

/** `\'` between double quotes: a `'` for go-yaml, an error for YAML 1.2, which the parser keeps with its backslash. */
export function unescapeQuotes(root: Node | null, text: string): void {
  visit(root, {
    Scalar: (_, scalar) => {
      if (scalar.type !== 'QUOTE_DOUBLE' || !String(scalar.value).includes("\\'")) return;
      const [start = 0, end = 0] = scalar.range ?? [];
      const plain = text.slice(start, end).replace(ESCAPE, (each) => (each === "\\'" ? "'" : each));
      const { contents } = parseDocument(plain, { schema: 'failsafe' });
      if (isScalar(contents)) scalar.value = contents.value;
    },
  });
}

const ESCAPE = /\\[^]/g;

/** Escapes of YAML 1.2 and JSON that go-yaml refuses: `\/`, and the two halves of a character beyond the first 65536. */
export function hasForeignEscape(node: Node, text: string): node is Scalar {
  if (!isScalar(node) || node.type !== 'QUOTE_DOUBLE') return false;
  const [start = 0, end = 0] = node.range ?? [];
  const written = text.slice(start, end);
  if (!/\\(?:\/|u[dD])/.test(written)) return false;
  return [...written.matchAll(/\\(u[dD][89a-fA-F]|[^])/g)].some(
    ([, escape = '']) => escape === '/' || escape.length > 1,
  );
}

/** The version that a file says it is of where go-yaml would refuse it: what it reads is 1.1. */
export function foreignDirective(
  text: string,
  contentStart: number,
): { readonly start: number; readonly end: number } | undefined {
  const match = /^%YAML[ \t]+(\d+\.\d+)/m.exec(text.slice(0, contentStart));
  if (match?.[1] === undefined || match[1] === '1.1') return undefined;
  const end = match.index + match[0].length;
  return { start: end - match[1].length, end };
}

/** Whether the colon of a key is too far from its beginning: go-yaml then sees no key in it. */
export function isTornKey(pair: Pair<Node, Node | null>, text: string): boolean {
  const { start = [], sep = [] } = pair.srcToken ?? {};
  const colon = sep.find(({ type }) => type === 'map-value-ind')?.offset;
  if (colon === undefined || start.some(({ type }) => type === 'explicit-key-ind')) return false;
  const from = pair.key.range?.[0] ?? colon;
  return colon - from > 1024 || text.slice(from, colon).includes('\n');
}

/** What an anchor may be called for go-yaml. */
export const ANCHOR = /^[A-Za-z0-9_-]+$/;

const TAGGED: Readonly<Record<string, RegExp>> = {
  bool: /^(?:y|yes|true|on|n|no|false|off)$/i,
  int: /^[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-f_]+|[0-9][0-9_]*)$/i,
  float:
    /^(?:[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:e[-+]?[0-9]+)?|[-+]?\.inf|\.nan|[-+]?0x[0-9a-f_]+)$/i,
  null: /^(?:~|null)?$/i,
};

/** Whether go-yaml cannot make of a value what its tag says it is. */
export function isMistagged(scalar: Scalar): boolean {
  const kind = /^tag:yaml\.org,2002:(\w+)$/.exec(scalar.tag ?? '')?.[1] ?? '';
  return Object.hasOwn(TAGGED, kind) && TAGGED[kind]?.test(String(scalar.value)) === false;
}
