/**
 * The syntax tree of one stack file, with aliases and merge keys followed. One pass in the order of
 * the file finds what every later step needs: which scalars are values, what each alias stands for,
 * and whether the document is one that Docker can read at all.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Alias,
  type Node,
  type Pair,
  type Scalar,
} from 'yaml';
import type { YAMLMap, YAMLSeq } from 'yaml';
import type { Problem } from '../errors.js';
import { ANCHOR, isMistagged, isTornKey } from './dialect.js';
import { TOO_DEEP, type Source } from './source.js';

/** Deeper than any stack file; keeps every recursion here far from the end of the stack. */
const MAX_DEPTH = 100;
/** Nodes after expansion of aliases; go-yaml gives up at ten times what is written, roughly. */
const MAX_EXPANDED = 200_000;

/** A key of a mapping, merge keys included, and where its value is written. */
export interface Entry {
  readonly name: string;
  readonly key: Node;
  /** The pair that holds it; in the merged mapping if it came by `<<`. */
  readonly pair: Pair<Node, Node | null>;
  /** The value as written: may be an alias. Null where there is not even a `:`. */
  readonly site: Node | null;
  /** The value with aliases followed. */
  readonly value: Node | null;
}

export class Tree {
  /** Scalars in value position, each once, in the order of the file. */
  readonly values: Scalar[] = [];
  readonly aliases: Alias[] = [];
  /** Aliases that stand where a key is. */
  readonly keyAliases: Alias[] = [];
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  /** The mapping that a pair is written in. */
  readonly owners = new Map<Pair<Node, Node | null>, YAMLMap<Node, Node | null>>();
  readonly #source: Source;
  readonly #targets = new Map<Alias, Node>();
  readonly #entries = new Map<YAMLMap, ReadonlyMap<string, Entry>>();
  readonly #sizes = new Map<Node, number>();
  #merged = 0;

  constructor(
    source: Source,
    readonly root: YAMLMap,
  ) {
    this.#source = source;
    const expanded = this.#walk(root, new Map(), [], false);
    if (expanded > MAX_EXPANDED && expanded > 10 * this.#sizes.size) {
      this.#problem(
        root,
        `the aliases of this file expand it to ${expanded.toExponential(0)} nodes`,
      );
    }
  }

  /** Follows an alias to what it stands for. */
  resolve(node: Node | null): Node | null {
    return isAlias(node) ? (this.#targets.get(node) ?? null) : node;
  }

  /** The string of a scalar or of an alias to one; undefined for collections. */
  text(node: Node | null): string | undefined {
    const resolved = this.resolve(node);
    return isScalar(resolved) ? String(resolved.value) : undefined;
  }

  /** The value of a key, aliases followed. */
  get(map: Node | null | undefined, name: string): Node | null {
    return this.entries(map).get(name)?.value ?? null;
  }

  /** The items of a list as written. */
  items(list: Node | null): readonly Node[] {
    const resolved = this.resolve(list);
    return isSeq(resolved) ? (resolved as YAMLSeq<Node>).items : [];
  }

  /**
   * The keys of a mapping with merge keys applied: own keys win over merged ones, earlier merges
   * over later ones. Empty for anything that is no mapping.
   */
  entries(node: Node | null | undefined): ReadonlyMap<string, Entry> {
    const map = this.resolve(node ?? null);
    if (!isMap(map)) return new Map();
    const known = this.#entries.get(map);
    if (known !== undefined) return known;
    const entries = new Map<string, Entry>();
    const merges: { pair: Pair<Node, Node | null>; before: ReadonlySet<string> }[] = [];
    for (const pair of (map as YAMLMap<Node, Node | null>).items) {
      if (isMergeKey(pair.key)) {
        merges.push({ pair, before: new Set(entries.keys()) });
        continue;
      }
      const name = this.text(pair.key);
      if (name === undefined) continue;
      const value = this.resolve(pair.value);
      entries.set(name, { name, key: pair.key, pair, site: pair.value, value });
    }
    for (const { pair, before } of merges) this.#merge(pair, before, entries);
    this.#entries.set(map, entries);
    return entries;
  }

  #merge(
    pair: Pair<Node, Node | null>,
    before: ReadonlySet<string>,
    entries: Map<string, Entry>,
  ): void {
    const value = this.resolve(pair.value);
    for (const source of isSeq(value) ? this.items(value) : [value]) {
      const map = this.resolve(source);
      if (!isMap(map)) {
        this.#problem(pair.key, '`<<` takes a mapping, or a list of mappings');
        continue;
      }
      for (const entry of this.entries(map).values()) {
        this.#merged += 1;
        if (this.#merged === MAX_EXPANDED) {
          this.#problem(pair.key, 'the merge keys of this file expand to too much');
        }
        if (this.#merged >= MAX_EXPANDED) return;
        const own = entries.get(entry.name);
        if (own === undefined) entries.set(entry.name, entry);
        else if (before.has(entry.name) && own.value !== entry.value) {
          // go-yaml v2 applies keys and merges in their order (decode.go, mapping); v3 as YAML says.
          this.warnings.push(
            this.#source.problem(
              pair.key.range?.[0] ?? 0,
              `\`<<\` stands after \`${entry.name}\`, which it contains too: a Docker client before 28 lets the merged value win, newer ones your own`,
              { hint: 'Write `<<` as the first key of the mapping.' },
            ),
          );
        }
      }
    }
  }

  #problem(node: Node, message: string, hint?: string): void {
    this.problems.push(
      this.#source.problem(node.range?.[0] ?? 0, message, hint === undefined ? {} : { hint }),
    );
  }

  /** @returns the number of nodes once all aliases are expanded */
  #walk(node: Node | null, anchors: Map<string, Node>, parents: Node[], isKey: boolean): number {
    if (node === null) return 1;
    if (isAlias(node)) return this.#follow(node, anchors, parents, isKey);
    if (node.anchor !== undefined && node.anchor !== '') {
      anchors.set(node.anchor, node);
      if (!ANCHOR.test(node.anchor))
        this.#problem(
          node,
          `the anchor &${node.anchor} has a name that Docker's YAML reader refuses`,
          'Anchors are named by letters, digits, - and _.',
        );
    }
    let size = 1;
    if (isScalar(node)) {
      if (isMistagged(node)) this.#problem(node, 'this value is not what its tag says');
      if (!isKey) this.values.push(node);
    } else if (parents.length >= MAX_DEPTH) {
      if (!this.problems.some((problem) => problem.message.endsWith(TOO_DEEP))) {
        this.#problem(node, TOO_DEEP);
      }
    } else {
      parents.push(node);
      if (isSeq(node)) {
        for (const item of (node as YAMLSeq<Node>).items) {
          size += this.#walk(item, anchors, parents, isKey);
        }
      } else if (isMap(node)) {
        const names = new Map<string, Node>();
        for (const pair of (node as YAMLMap<Node, Node | null>).items) {
          this.owners.set(pair, node as YAMLMap<Node, Node | null>);
          size += this.#walk(pair.key, anchors, parents, true);
          this.#noteKey(pair.key, names);
          if (isTornKey(pair, this.#source.text))
            this.#problem(
              pair.key,
              "Docker's YAML reader wants a key and its colon on one line, and at most 1024 characters of them",
            );
          size += this.#walk(pair.value, anchors, parents, isKey);
        }
      }
      parents.pop();
    }
    this.#sizes.set(node, size);
    return size;
  }

  #follow(alias: Alias, anchors: Map<string, Node>, parents: Node[], isKey: boolean): number {
    const target = anchors.get(alias.source);
    if (target === undefined) {
      this.#problem(alias, `the alias *${alias.source} has no anchor &${alias.source} before it`);
      return 1;
    }
    if (parents.includes(target)) {
      this.#problem(alias, `the alias *${alias.source} stands inside of what it refers to`);
      return 1;
    }
    this.#targets.set(alias, target);
    (isKey ? this.keyAliases : this.aliases).push(alias);
    return this.#sizes.get(target) ?? 1;
  }

  #noteKey(key: Node, names: Map<string, Node>): void {
    const name = this.text(key);
    if (name === undefined) {
      if (!isAlias(key) || this.#targets.has(key))
        this.#problem(
          key,
          'a key is a text, and this is a mapping or a list',
          'Quote it where a text is meant: "{{.Node.Hostname}}".',
        );
      return;
    }
    const first = names.get(name);
    if (first === undefined) {
      names.set(name, key);
      return;
    }
    const { line } = this.#source.position(first.range?.[0] ?? 0);
    this.#problem(
      key,
      `the key \`${name}\` is there already, in line ${line}`,
      isMergeKey(key) ? 'Merge several mappings as `<<: [*a, *b]`.' : 'Keep one of the two.',
    );
  }
}

function isMergeKey(key: Node): boolean {
  return isScalar(key) && key.value === '<<' && (key.type === 'PLAIN' || key.tag !== undefined);
}

/** Whether a value is YAML's null: nothing, `~` or `null`, unquoted. */
export function isNull(node: Node | null): boolean {
  if (node === null) return true;
  if (!isScalar(node)) return false;
  const plain = node.type === 'PLAIN' || node.type === undefined;
  const untagged = node.tag === undefined || node.tag.endsWith('null');
  return plain && untagged && ['', '~', 'null', 'Null', 'NULL'].includes(String(node.value));
}

/** Whether a written value is true for go-yaml and for Docker's cast of an interpolated one. */
export function isTrue(text: string | undefined): boolean {
  return text !== undefined && ['true', 'yes', 'on', 'y'].includes(text.toLowerCase());
}
