/**
 * `!reset` and `!override` of the Compose specification, which no client of `docker stack deploy`
 * knows: a key that carries one is taken out of the files merged before it, and with `!reset` of its
 * own file as well. Done on the texts, before anything else looks at them. What goes makes room for
 * blanks and comments, so that every line stays where it is.
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
import type { Problem } from '../errors.js';
import { parseRoot, Source } from './source.js';
import { replaceNode, type Edit, applyEdits } from './splice.js';
import { endOf, flowText, inlineAliases, outermost, removePairs, removeTag } from './structure.js';
import { Tree } from './tree.js';

/** A file that has been read. */
export interface ParsedFile {
  readonly source: Source;
  readonly root: YAMLMap;
}

type Path = readonly string[];
type AnyPair = Pair<Node, Node | null>;

/** What a file asks of the files before it. */
interface Request {
  readonly path: Path;
  readonly source: Source;
  readonly at: number;
}

const TAGS = ['!reset', '!override'];

/** Applies the tags of all files; the files as they were where there are none. */
export function applyResets(files: readonly ParsedFile[]): {
  readonly files: readonly ParsedFile[];
  readonly problems: readonly Problem[];
} {
  if (!files.some(({ source }) => /!reset|!override/.test(source.text)))
    return { files, problems: [] };
  const plans = files.map((file) => new Plan(file));
  // Trees that can't be trusted are reported by whoever reads them next.
  if (plans.some((plan) => !plan.isSound)) return { files, problems: [] };
  for (const [index, plan] of plans.entries()) {
    for (const request of plan.requests()) {
      for (const before of plans.slice(0, index)) {
        const obstacle = before.takeOut(request.path);
        if (obstacle === undefined) continue;
        plan.problems.push(
          request.source.problem(
            request.at,
            `\`${request.path.join('.')}\` can't be taken out of ${before.source.path}: ${obstacle}`,
          ),
        );
      }
    }
  }
  const problems = plans.flatMap((plan) => plan.problems);
  const results = plans.map((plan) => plan.result());
  return {
    files: results.flatMap((result) => ('root' in result ? [result] : [])),
    problems: [...problems, ...results.flatMap((result) => ('root' in result ? [] : result))],
  };
}

/** What becomes of one file. */
class Plan {
  readonly source: Source;
  readonly problems: Problem[] = [];
  readonly #root: YAMLMap;
  readonly #tree: Tree;
  readonly #cut = new Set<AnyPair>();
  readonly #untag = new Set<AnyPair>();
  /** Aliases and merged mappings that a key is taken out of in one of their places only. */
  readonly #without = new Map<Node, Path[]>();

  constructor({ source, root }: ParsedFile) {
    this.source = source;
    this.#root = root;
    this.#tree = new Tree(source, root);
    if (this.isSound) this.#readTags();
  }

  /** Whether the file is one that can be walked through: no cycles, no laughter of aliases. */
  get isSound(): boolean {
    return this.#tree.problems.length === 0;
  }

  /** The tags of this file are answered in it: a reset key goes, an override loses its tag. */
  #readTags(): void {
    for (const pair of this.#tree.owners.keys()) {
      const tag = pair.value?.tag;
      if (tag === '!reset') this.#cut.add(pair);
      if (tag === '!override') this.#untag.add(pair);
    }
    const inLists = (node: Node | null): void => {
      if (isSeq(node)) {
        for (const item of node.items as Node[]) {
          if (TAGS.includes(item.tag ?? ''))
            this.#problem(item, `\`${item.tag ?? ''}\` of an item of a list`);
          this.#insideItem(item);
        }
      } else if (isMap(node)) {
        for (const { value } of (node as YAMLMap<Node, Node | null>).items) inLists(value);
      }
    };
    inLists(this.#root);
  }

  #insideItem(node: Node | null): void {
    if (isSeq(node)) for (const item of node.items as Node[]) this.#insideItem(item);
    if (!isMap(node)) return;
    for (const { key, value } of (node as YAMLMap<Node, Node | null>).items) {
      if (TAGS.includes(value?.tag ?? ''))
        this.#problem(key, `\`${value?.tag ?? ''}\` inside of a list`);
      this.#insideItem(value);
    }
  }

  #problem(node: Node, what: string): void {
    this.problems.push(
      this.source.problem(
        node.range?.[0] ?? 0,
        `${what} takes nothing out of the files before: items of lists have no names`,
        { hint: 'Give the tag to the key of the list.' },
      ),
    );
  }

  /** The paths of all tagged keys, those that come by aliases and merge keys included. */
  requests(): readonly Request[] {
    const found: Request[] = [];
    const walk = (node: Node | null, path: Path): void => {
      if (path.length > 20) return;
      for (const entry of this.#tree.entries(node).values()) {
        const here = [...path, entry.name];
        if (TAGS.includes(entry.value?.tag ?? '')) {
          found.push({ path: here, source: this.source, at: entry.key.range?.[0] ?? 0 });
        } else if (isMap(entry.value)) walk(entry.value, here);
      }
    };
    walk(this.#root, []);
    return found;
  }

  /** Takes a key out, if it is there. @returns why that can't be done */
  takeOut(path: Path): string | undefined {
    const tree = this.#tree;
    let node: Node | null = this.#root;
    let isShared = false;
    for (const [depth, name] of path.entries()) {
      const map = tree.resolve(node);
      if (isSeq(map)) return `\`${path.slice(0, depth).join('.')}\` is a list there`;
      if (!isMap(map)) return undefined;
      const entry = tree.entries(map).get(name);
      if (entry === undefined) return undefined;
      const rest = path.slice(depth);
      const isLast = rest.length === 1;
      if (!isShared) {
        const isOwn = tree.owners.get(entry.pair) === map;
        const merges = this.#merges(map as YAMLMap<Node, Node | null>);
        // A key of its own hides a merged one, which would appear when it goes.
        if (!isOwn || isLast) {
          for (const merge of merges) {
            if (!tree.entries(merge).has(name)) continue;
            if (!isAlias(merge)) return 'it comes there by a `<<` without an alias';
            this.#share(merge, rest);
            if (!isOwn) isShared = true;
          }
        }
        if (isOwn && isLast) {
          this.#cut.add(entry.pair);
          this.#keepElsewhere(entry.key);
        }
        if (isOwn && !isLast && isAlias(entry.site)) {
          this.#share(entry.site, rest.slice(1));
          isShared = true;
        }
      }
      node = entry.value;
    }
    return undefined;
  }

  #merges(map: YAMLMap<Node, Node | null>): readonly Node[] {
    return map.items.flatMap(({ key, value }): Node[] => {
      if (!isScalar(key) || key.value !== '<<' || value === null) return [];
      return isSeq(value) ? (value.items as Node[]) : [value];
    });
  }

  /** What others have of a mapping through its anchor they keep: the tag is of one place. */
  #keepElsewhere(key: Node): void {
    const at = key.range?.[0] ?? 0;
    for (const alias of this.#tree.aliases) {
      const target = this.#tree.resolve(alias);
      const from = target?.range?.[0];
      if (target === null || from === undefined || at < from || at >= endOf(target)) continue;
      if (!this.#without.has(alias)) this.#without.set(alias, []);
    }
  }

  #share(alias: Alias, path: Path): void {
    this.#without.set(alias, [...(this.#without.get(alias) ?? []), path]);
  }

  result(): ParsedFile | readonly Problem[] {
    const { source } = this;
    const tree = this.#tree;
    const owners = new Map<YAMLMap<Node, Node | null>, Set<AnyPair>>();
    for (const pair of this.#cut) {
      const map = tree.owners.get(pair);
      if (map !== undefined) owners.set(map, (owners.get(map) ?? new Set()).add(pair));
    }
    const cuts = [...owners].flatMap(([map, pairs]) => removePairs(source, map, pairs));
    const edits: Edit[] = cuts.map((edit) => blanked(source.text, edit));
    for (const [alias, paths] of this.#without) {
      if (!isAlias(alias)) continue;
      edits.push(...replaceNode(source, alias, flowText(tree, source, alias, paths)));
    }
    edits.push(...inlineAliases(tree, source, cuts, (target) => flowText(tree, source, target)));
    for (const pair of this.#untag)
      edits.push(...removeTag(pair).map((edit) => blanked(source.text, edit)));
    if (edits.length === 0) return { source, root: this.#root };
    const changed = new Source(source.path, applyEdits(source.text, outermost(edits)));
    const root = parseRoot(changed);
    return isMap(root) ? { source: changed, root } : root;
  }
}

/** The edit with blanks for what goes; whole lines become comments, which end a block of text above. */
function blanked(text: string, { start, end, text: added }: Edit): Edit {
  const old = text.slice(start, end);
  const whole = added === '' && (start === 0 || text[start - 1] === '\n') && /\n$|^$/.test(old);
  const blank = old.replace(/[^\r\n]/g, ' ');
  if (whole) return { start, end, text: blank.replace(/^ /gm, '#') };
  return { start, end, text: added + blank.slice(added.length) };
}
