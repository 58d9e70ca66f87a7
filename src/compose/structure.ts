/**
 * Edits of mappings and lists, where `splice.ts` has those of scalars: a key is cut out with all that
 * stands under it, a collection becomes another one. Everything around stays as it was written.
 */
import { isMap, isScalar, isSeq, type Alias, type Node, type Pair, type YAMLMap } from 'yaml';
import type { Source } from './source.js';
import { quoted, replaceNode, type Edit } from './splice.js';
import type { Tree } from './tree.js';

type Entry = Pair<Node, Node | null>;
interface Token {
  readonly type: string;
  readonly offset: number;
  readonly source: string;
}
interface Tokens {
  readonly start?: readonly Token[];
  readonly sep?: readonly Token[];
}

const tokens = (pair: Entry): Tokens => pair.srcToken ?? {};

/** Where a pair starts: its `?`, anchor or tag counts in. */
function startOf(pair: Entry): number {
  const props = ['explicit-key-ind', 'anchor', 'tag'];
  const first = tokens(pair).start?.find(({ type }) => props.includes(type));
  return first?.offset ?? pair.key.range?.[0] ?? 0;
}

/** Behind the colon of a pair, and behind an anchor and a tag of its value. */
function propsEnd(pair: Entry): number {
  const props = ['map-value-ind', 'anchor', 'tag'];
  const last = tokens(pair)
    .sep?.filter(({ type }) => props.includes(type))
    .at(-1);
  return last === undefined ? (pair.key.range?.[1] ?? 0) : last.offset + last.source.length;
}

function pairEnd(pair: Entry): number {
  return pair.value === null ? propsEnd(pair) : Math.max(propsEnd(pair), endOf(pair.value));
}

/** Where the text of a value ends; the comments and line breaks behind it are not part of it. */
export function endOf(node: Node): number {
  if (isMap(node) && node.flow !== true) {
    const last = (node as YAMLMap<Node, Node | null>).items.at(-1);
    if (last !== undefined) return pairEnd(last);
  }
  if (isSeq(node) && node.flow !== true) {
    const last = node.items.at(-1) as Node | undefined;
    if (last !== undefined && last.range != null) return endOf(last);
  }
  return node.range?.[1] ?? 0;
}

/** Cuts keys out of a mapping; one that is left without any becomes `{}`. */
export function removePairs(
  source: Source,
  map: YAMLMap<Node, Node | null>,
  removed: ReadonlySet<Entry>,
): readonly Edit[] {
  const { text } = source;
  const { items } = map;
  const [first] = items;
  const last = items.at(-1);
  if (first === undefined || last === undefined) return [];
  const flow = map.flow === true;
  if (items.every((pair) => removed.has(pair))) {
    if (flow) return [{ start: map.range?.[0] ?? 0, end: map.range?.[1] ?? 0, text: '{}' }];
    const end = pairEnd(last);
    return [
      {
        start: startOf(first),
        end: text[end - 1] === '\n' ? lineBreak(text, end) : end,
        text: '{}',
      },
    ];
  }
  const edits: Edit[] = [];
  for (let at = 0; at < items.length; at += 1) {
    const from = items[at];
    if (from === undefined || !removed.has(from)) continue;
    let to = from;
    let next = items[at + 1];
    while (next !== undefined && removed.has(next)) {
      to = next;
      at += 1;
      next = items[at + 1];
    }
    const start = startOf(from);
    const end = pairEnd(to);
    const line = text.lastIndexOf('\n', start - 1) + 1;
    if (!flow && /^[ ]*$/.test(text.slice(line, start))) {
      const rest =
        text[end - 1] === '\n' ? 0 : (/^[^\n]*\n?/.exec(text.slice(end))?.[0].length ?? 0);
      edits.push({ start: line, end: end + rest, text: '' });
    } else if (next !== undefined) {
      edits.push({ start, end: startOf(next), text: '' });
    } else {
      const before = items[items.indexOf(from) - 1];
      edits.push({ start: before === undefined ? start : pairEnd(before), end, text: '' });
    }
  }
  return edits;
}

/** Before the line break that ends at `end`. */
function lineBreak(text: string, end: number): number {
  return text[end - 2] === '\r' ? end - 2 : end - 1;
}

/** Puts another value, in flow style, in the place of a collection. */
export function replaceCollection(
  source: Source,
  node: Node,
  holder: Entry | undefined,
  text: string,
): readonly Edit[] {
  const start =
    isMap(node) && node.flow !== true && node.items[0] !== undefined
      ? startOf(node.items[0] as Entry)
      : (node.range?.[0] ?? 0);
  let end = endOf(node);
  if (source.text[end - 1] === '\n') end = lineBreak(source.text, end);
  const block = (isMap(node) || isSeq(node)) && node.flow !== true;
  // Where a block stands below its key, a flow collection would have to be indented more.
  if (!block || holder === undefined) return [{ start, end, text }];
  const at = propsEnd(holder);
  return [
    { start: at, end: at, text: ` ${text}` },
    { start, end, text: '' },
  ];
}

/** Removes the tag of a value, `!override`. */
export function removeTag(pair: Entry): readonly Edit[] {
  const tag = tokens(pair).sep?.find(({ type }) => type === 'tag');
  return tag === undefined
    ? []
    : [{ start: tag.offset, end: tag.offset + tag.source.length, text: '' }];
}

/** What goes may carry an anchor that is needed elsewhere: its aliases get the value itself. */
export function inlineAliases(
  tree: Tree,
  source: Source,
  gone: readonly Edit[],
  text: (target: Node, alias: Alias) => string,
): readonly Edit[] {
  if (gone.length === 0) return [];
  const inside = (offset: number): boolean =>
    gone.some(({ start, end }) => offset > start && offset < end);
  return tree.aliases.flatMap((alias) => {
    const target = tree.resolve(alias);
    const from = target?.range?.[0];
    if (target === null || from === undefined || inside(alias.range?.[0] ?? 0)) return [];
    // What only loses its first key keeps its anchor.
    if (!gone.some(({ start, end }) => from > start && endOf(target) <= end)) return [];
    return replaceNode(source, alias, text(target, alias));
  });
}

/** Edits without those inside of what a larger one replaces anyway. */
export function outermost(edits: readonly Edit[]): readonly Edit[] {
  const kept: Edit[] = [];
  const order = [...edits].sort((a, b) => a.start - b.start || b.end - a.end);
  let covered: Edit | undefined;
  for (const edit of order) {
    if (covered !== undefined && edit.start > covered.start && edit.start < covered.end) continue;
    const last = kept.at(-1);
    if (
      last !== undefined &&
      last.start === edit.start &&
      last.end === edit.end &&
      last.text === edit.text &&
      edit.end > edit.start
    )
      continue;
    kept.push(edit);
    if (edit.end > edit.start && edit.end > (covered?.end ?? -1)) covered = edit;
  }
  return kept;
}

/**
 * A value in flow style on one line, for a place that can't share it any more.
 * @param without paths below it that are left out
 * @param written the text of a value, where it is not the one in the file
 * @param isCut keys that are left out wherever they come
 */
export function flowText(
  tree: Tree,
  source: Source,
  node: Node | null,
  without: readonly (readonly string[])[] = [],
  written: (value: Node) => string | undefined = () => undefined,
  isCut: (pair: Entry) => boolean = () => false,
): string {
  const value = tree.resolve(node);
  if (value === null) return 'null';
  const other = written(value);
  if (other !== undefined) return other;
  const below = (name: string): (readonly string[])[] =>
    without.filter(([head]) => head === name).map(([, ...rest]) => rest);
  if (isMap(value)) {
    const pairs = [...tree.entries(value).values()].flatMap(({ name, site, pair }) => {
      const paths = below(name);
      if (isCut(pair) || paths.some((path) => path.length === 0)) return [];
      return [`${quoted(name)}: ${flowText(tree, source, site, paths, written, isCut)}`];
    });
    return `{${pairs.join(', ')}}`;
  }
  if (isSeq(value)) {
    const items = tree.items(value).map((item) => flowText(tree, source, item, [], written, isCut));
    return `[${items.join(', ')}]`;
  }
  if (!isScalar(value)) return 'null';
  const raw = source.text.slice(value.range?.[0] ?? 0, value.range?.[1] ?? 0);
  if (value.type === 'PLAIN' && value.tag === undefined) {
    if (raw === '') return 'null';
    if (!/[,[\]{}#\n]|: |:$/.test(raw)) return raw;
  }
  return quoted(String(value.value));
}
