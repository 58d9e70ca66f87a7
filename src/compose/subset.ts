/**
 * Takes services out of the text of a stack file: those that are not in a profile that is asked for, or
 * not in this wave. As everywhere here the document is not written anew: whole lines go. What cannot be
 * taken out by lines (flow style, merge keys) is written as one flow mapping in its place, and an anchor
 * that goes along is given to its first alias.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Alias,
  type Node,
  type Pair,
  type YAMLMap,
} from 'yaml';
import { parseRoot, Source } from './source.js';
import { applyEdits, quoted, type Edit } from './splice.js';
import { isNull, Tree } from './tree.js';
import type { VersionPlace } from './version.js';

type Entries = YAMLMap<Node, Node | null>;
type EntryPair = Pair<Node, Node | null>;

/** A file as it is handed to Docker. */
interface Text {
  readonly name: string;
  readonly text: string;
  /** The same for older clients. */
  readonly older?: readonly { readonly text: string }[];
}

/**
 * The files with some of their services only. What else is in them stays: Docker itself leaves networks
 * out that no service uses.
 * @param keeps by the name in the file
 */
export function subset<File extends Text>(
  files: readonly File[],
  keeps: (service: string) => boolean,
): readonly File[] {
  const cut = (name: string, text: string): string =>
    withoutServices({ name, text }, (service) => !keeps(service));
  return files.map((file) => ({
    ...file,
    text: cut(file.name, file.text),
    ...(file.older && {
      older: file.older.map((each) => ({ ...each, text: cut(file.name, each.text) })),
    }),
  }));
}

/** A file as `RenderedFile` has it. */
interface Whole extends Text {
  readonly origin: string;
  readonly versionAt?: VersionPlace;
  readonly older?: readonly {
    readonly before: number;
    readonly text: string;
    readonly versionAt?: VersionPlace;
  }[];
}

/**
 * What `subset` takes out of a file, as a file beside it: the services each on one line, aliases and
 * merge keys written out.
 * @param takes by the name in the file
 * @param less the keys that lead to what is left out of each of them
 */
export function apart(
  { name, text, older }: Whole,
  takes: (service: string) => boolean,
  less: readonly string[],
): Whole {
  const written = (of: string): Pick<Whole, 'text' | 'versionAt'> => {
    const { tree } = parsed(name, of);
    const entries = [...tree.entries(tree.get(tree.root, 'services')).values()];
    const lines = entries
      .filter((entry) => takes(entry.name))
      .map(({ key, site }) => `  ${flowText(tree, key)}: ${flowText(tree, site, less)}`);
    const services = `services:\n${lines.join('\n')}\n`;
    const version = tree.get(tree.root, 'version');
    return version === null
      ? { text: services, versionAt: { offset: 0, before: '', after: '\n' } }
      : { text: `version: ${flowText(tree, version)}\n${services}` };
  };
  return {
    name: `apart-${name}`,
    origin: '',
    ...written(text),
    ...(older && {
      older: older.map((each) => ({ before: each.before, ...written(each.text) })),
    }),
  };
}

/** The text without the services that `goes` names; the very same where there are none. */
function withoutServices({ name, text }: Text, goes: (service: string) => boolean): string {
  const { source, tree } = parsed(name, text);
  const services = tree.entries(tree.root).get('services');
  if (services === undefined || !isMap(services.value)) return text;
  const gone = [...tree.entries(services.value).values()].filter((entry) => goes(entry.name));
  if (gone.length === 0) return text;
  const site = services.site === services.value ? undefined : (services.site ?? undefined);
  const map = services.value as Entries;
  const pairs = new Set(gone.map(({ pair }) => pair));
  return spliced(source, tree, takenOut(source, tree, map, pairs, site));
}

/** Reads a text that was rendered here, so that nothing is wrong with it. */
export function parsed(
  name: string,
  text: string,
): { readonly source: Source; readonly tree: Tree } {
  const source = new Source(name, text);
  const root = parseRoot(source);
  if (!isMap(root)) throw new TypeError(`${name} is no stack file: ${root[0]?.message ?? ''}`);
  return { source, tree: new Tree(source, root) };
}

const holds = ({ start, end }: Edit, offset: number): boolean => start <= offset && offset < end;

/** Cuts regions out, and gives the anchors in them to the first of their aliases outside. */
function spliced(source: Source, tree: Tree, regions: readonly Edit[]): string {
  const isIn = (offset: number): boolean => regions.some((region) => holds(region, offset));
  // A mapping that is written anew in its place keeps its anchor, and one that only loses lines, too.
  const isLost = ({ range }: Node): boolean =>
    regions.some(
      (region) =>
        range != null &&
        holds(region, range[0]) &&
        range[1] <= region.end &&
        !(range[0] === region.start && range[1] === region.end),
    );
  const given = new Set<Node>();
  const edits = [...regions];
  const aliases = [...tree.aliases, ...tree.keyAliases].sort((a, b) => startOf(a) - startOf(b));
  for (const alias of aliases) {
    const target = tree.resolve(alias);
    if (target === null || given.has(target)) continue;
    if (isIn(startOf(alias)) || !isLost(target)) continue;
    given.add(target);
    const [start = 0, end = 0] = alias.range ?? [];
    edits.push({ start, end, text: `&${alias.source} ${flowText(tree, target)}` });
  }
  return applyEdits(source.text, edits);
}

const startOf = (node: Node | Alias): number => node.range?.[0] ?? 0;

/**
 * The edits that take pairs out of a mapping.
 * @param site the alias that stands for it, where it is not written in its place
 */
function takenOut(
  source: Source,
  tree: Tree,
  map: Entries,
  pairs: ReadonlySet<EntryPair>,
  site?: Node,
): readonly Edit[] {
  const kept = map.items.filter((pair) => !pairs.has(pair));
  const byLines =
    site === undefined &&
    map.flow !== true &&
    kept.length > 0 &&
    [...pairs].every((pair) => map.items.includes(pair)) &&
    map.items.every(({ key }) => beginsLine(source, key));
  if (byLines)
    return map.items.flatMap((pair, index) =>
      pairs.has(pair) ? [linesOf(source, pair, map.items[index + 1])] : [],
    );
  const entries = [...tree.entries(map).values()].filter(({ pair }) => !pairs.has(pair));
  const text = `{${entries.map(({ key, site: value }) => `${flowText(tree, key)}: ${flowText(tree, value)}`).join(', ')}}`;
  const [start = 0, end = 0] = (site ?? map).range ?? [];
  const newline = site === undefined && map.flow !== true ? lineEnd(source.text, start, end) : '';
  return [{ start, end, text: text + newline }];
}

/** The line break that a block mapping ends with, if its last value takes it in. */
const lineEnd = (text: string, start: number, end: number): string =>
  /\r?\n$/.exec(text.slice(start, end))?.[0] ?? '';

/** Whether a key has its line for itself up to its value, with nothing but its `?` before it. */
function beginsLine({ text }: Source, key: Node): boolean {
  if (isScalar(key) && (key.anchor !== undefined || key.tag !== undefined)) return false;
  const start = startOf(key);
  return /^ *(?:\? +)?$/.test(text.slice(text.lastIndexOf('\n', start - 1) + 1, start));
}

/**
 * From the line of a key to that of the next one, or to the end of its value and the comments behind
 * it: a comment that is left behind could become part of a block scalar above.
 */
function linesOf({ text }: Source, { key, value }: EntryPair, next: EntryPair | undefined): Edit {
  const lineOf = (offset: number): number => text.lastIndexOf('\n', offset - 1) + 1;
  const start = lineOf(startOf(key));
  if (next !== undefined) return { start, end: lineOf(startOf(next.key)), text: '' };
  let end = Math.max(key.range?.[1] ?? 0, value?.range?.[1] ?? 0);
  const following = (from: number): number => {
    const newline = text.indexOf('\n', from);
    return newline < 0 ? text.length : newline + 1;
  };
  if (text[end - 1] !== '\n') end = following(end);
  while (end < text.length && /^[ \t]*(?:#|\r?$)/.test(text.slice(end, following(end)).trimEnd()))
    end = following(end);
  return { start, end, text: '' };
}

/** What is neither a number nor anything else for any reader of YAML has to be quoted in a flow mapping. */
const SAFE = /^[\w.~+/-](?:[\w.~+/@-]|:(?=[\w./])| (?=[\w+/-]))*$/;

/**
 * A node as one line of flow style, aliases and merge keys written out.
 * @param less the keys that lead to what is left out; none for nothing
 */
export function flowText(tree: Tree, node: Node | null, less: readonly string[] = []): string {
  const target = tree.resolve(node);
  if (target === null) return '~';
  const tag = tagOf(target);
  if (isSeq(target))
    return `${tag}[${tree
      .items(target)
      .map((item) => flowText(tree, item))
      .join(', ')}]`;
  if (isMap(target)) {
    const [first, ...rest] = less;
    const entries = [...tree.entries(target).values()]
      .filter(({ name }) => name !== first || rest.length > 0)
      .map(
        ({ name, key, site }) =>
          `${flowText(tree, key)}: ${flowText(tree, site, name === first ? rest : [])}`,
      );
    return `${tag}{${entries.join(', ')}}`;
  }
  if (!isScalar(target)) return '~';
  const value = String(target.value);
  const plain = target.type === 'PLAIN' || target.type === undefined;
  if (tag === '' && isNull(target)) return value === '' ? '~' : value;
  return tag + (plain && SAFE.test(value) ? value : quoted(value));
}

const CORE = 'tag:yaml.org,2002:';

function tagOf(node: Node): string {
  const tag = isAlias(node) ? undefined : node.tag;
  if (tag === undefined) return '';
  if (tag.startsWith(CORE)) return `!!${tag.slice(CORE.length)} `;
  return tag.startsWith('!') ? `${tag} ` : `!<${tag}> `;
}
