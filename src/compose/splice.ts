/**
 * Changes to the text of a stack file. The document is never written anew: only the source of the
 * scalars that must change is replaced, so that Docker's own YAML reader sees everything else
 * (octal modes, yes and no, anchors, comments) exactly as the user wrote it.
 */
import { isAlias, type Alias, type Node, type Pair, type Scalar } from 'yaml';
import type { Source } from './source.js';

export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** A variable that no manager has; see `rendered`. */
export const NEVER_SET = 'SWARM_DEPLOY_RENDERED';

/** What Docker casts an interpolated text to by its path: integers, floats and YAML 1.1 booleans. */
const CASTABLE =
  /^(?:[+-]?\.?[0-9][A-Za-z0-9_.+-]*|[+-]?inf(?:inity)?|nan|y|yes|true|on|n|no|false|off)$/i;

/**
 * The source of a value that was interpolated here.
 *
 * Docker's client interpolates once more, always, so a `$` is written `$$`. It also turns some values
 * into numbers and booleans by their path (`deploy.replicas`), but only where its own interpolation
 * changed the text (cli/compose/interpolation/interpolation.go). What could be such a value is
 * therefore written as the default of a variable that is never set: every version of the client
 * reads that (the template's pattern is the same since 17.x) and does its own casting.
 */
export function rendered(value: string): string {
  return CASTABLE.test(value)
    ? `"\${${NEVER_SET}:-${value}}"`
    : quoted(value.replaceAll('$', '$$$$'));
}

/** A double-quoted YAML scalar on one line that go-yaml and any YAML 1.2 reader read back as `value`. */
export function quoted(value: string): string {
  // Besides what must be escaped: the line breaks of YAML 1.1, which go-yaml folds into spaces, and
  // all that its reader refuses.
  const escaped = value.replace(
    /["\\]|[^ -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\u{10000}-\u{10ffff}]/gu,
    escape,
  );
  return `"${escaped}"`;
}

function escape(char: string): string {
  switch (char) {
    case '"':
    case '\\':
      return `\\${char}`;
    case '\n':
      return '\\n';
    case '\r':
      return '\\r';
    case '\t':
      return '\\t';
    default: {
      const code = char.charCodeAt(0);
      // Half of a surrogate pair has no UTF-8 form; what every encoder writes for it.
      if (code >= 0xd800 && code <= 0xdfff) return '\\ufffd';
      return code < 0x100
        ? `\\x${code.toString(16).padStart(2, '0')}`
        : `\\u${code.toString(16).padStart(4, '0')}`;
    }
  }
}

/** Replaces the source of a scalar or alias; an anchor stays, a tag that is not a string's goes. */
export function replaceNode(source: Source, node: Scalar | Alias, text: string): readonly Edit[] {
  const [start, end] = node.range ?? [0, 0];
  if (isAlias(node)) return [{ start, end, text }];
  const tag = tagBefore(source, node, start);
  if (start === end) {
    // An empty value: right behind the colon, dash, anchor or tag, before any comment.
    let at = start;
    while (at > 0 && /\s/.test(source.text[at - 1] ?? '')) at -= 1;
    return [...tag, { start: at, end: at, text: ` ${text}` }];
  }
  if (node.type !== 'BLOCK_LITERAL' && node.type !== 'BLOCK_FOLDED') {
    return [...tag, { start, end, text }];
  }
  const old = source.text.slice(start, end);
  const comment = /^[^\r\n#]*?(\s#[^\r\n]*)/.exec(old)?.[1] ?? '';
  const newline = /\r?\n$/.exec(old)?.[0] ?? '';
  return [...tag, { start, end, text: `${text}${comment}${newline}` }];
}

function tagBefore(source: Source, node: Scalar, start: number): readonly Edit[] {
  if (node.tag === undefined || /str$|^!$/.test(node.tag)) return [];
  const before = source.text.slice(Math.max(0, start - 1000), start);
  const match = /(![^\s,[\]{}]*)(?:\s+(?:&\S+\s*)?)?$/.exec(before);
  if (match === null) return [];
  const at = start - before.length + match.index;
  return [{ start: at, end: at + (match[1]?.length ?? 0), text: '' }];
}

/** Gives a value to a key that has none: `KEY:`, `KEY: ~`, or in flow style `KEY` alone. */
export function setValue(
  source: Source,
  pair: Pair<Node, Node | null>,
  text: string,
): readonly Edit[] {
  if (pair.value !== null) return replaceNode(source, pair.value as Scalar | Alias, text);
  const end = pair.key.range?.[1] ?? 0;
  const start = pair.key.range?.[0] ?? 0;
  const line = source.text.slice(source.text.lastIndexOf('\n', start - 1) + 1, start);
  // `? KEY` in block style has its value on a line of its own, under the question mark.
  const explicit = /^(\s*)\?\s+$/.exec(line);
  const added = explicit === null ? `: ${text}` : `\n${explicit[1] ?? ''}: ${text}`;
  return [{ start: end, end, text: added }];
}

/** Applies edits, none of which overlaps another. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  let result = '';
  let from = 0;
  for (const edit of inOrder(edits)) {
    result += text.slice(from, edit.start) + edit.text;
    from = edit.end;
  }
  return result + text.slice(from);
}

/** Where an offset of the old text is in the new one; before an insertion at that very place. */
export function movedOffset(offset: number, edits: readonly Edit[]): number {
  return edits
    .filter((edit) => edit.end <= offset && edit.start < offset)
    .reduce((sum, edit) => sum + edit.text.length - (edit.end - edit.start), offset);
}

function inOrder(edits: readonly Edit[]): readonly Edit[] {
  return [...edits].sort((a, b) => a.start - b.start || a.end - b.end);
}
