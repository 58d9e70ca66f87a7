/**
 * A value of the stack files as the lint sees it: in all files at once, the last one winning. Not
 * Docker's merge: nothing is deployed from it, and what it is asked for are single keys.
 */
import { isMap, isSeq, type Node } from 'yaml';
import type { Document } from '../compose/document.js';
import { isNull } from '../compose/tree.js';
import type { Position } from '../errors.js';

/** What one file says there. */
interface Layer {
  readonly document: Document;
  readonly node: Node | null;
  /** The key, or for an item of a list the item. */
  readonly at: Node;
}

export class Field {
  /** At least one; the last one wins. */
  readonly #layers: readonly [Layer, ...Layer[]];

  constructor(layers: readonly [Layer, ...Layer[]]) {
    this.#layers = layers;
  }

  /** Of the last file that says something. */
  get position(): Position {
    const { document, at } = this.#last;
    return document.position(at);
  }

  /** Of the first file that says something. */
  get firstPosition(): Position {
    const [{ document, at }] = this.#layers;
    return document.position(at);
  }

  /** The value of a scalar, its variables filled in; undefined for others and for YAML's null. */
  get text(): string | undefined {
    const { document, node } = this.#last;
    return isNull(node) ? undefined : document.value(node);
  }

  get isMap(): boolean {
    const { document, node } = this.#last;
    return isMap(document.tree.resolve(node));
  }

  /** Keys and values of a mapping; empty for anything else. */
  get entries(): ReadonlyMap<string, Field> {
    this.#entries ??= this.#readEntries();
    return this.#entries;
  }
  #entries: ReadonlyMap<string, Field> | undefined;

  #readEntries(): ReadonlyMap<string, Field> {
    const found = new Map<string, [Layer, ...Layer[]]>();
    for (const { document, node } of this.#layers)
      for (const { name, key, value, site } of document.tree.entries(node).values()) {
        const layer: Layer = { document, node: value, at: key };
        const tag = site?.tag ?? value?.tag;
        const before = found.get(name);
        if (tag === '!reset') found.delete(name);
        else if (before === undefined || tag === '!override') found.set(name, [layer]);
        else if (!isNull(value)) before.push(layer);
      }
    return new Map([...found].map(([name, layers]) => [name, new Field(layers)]));
  }

  /** The items of a list, those of all files. */
  get items(): readonly Field[] {
    return this.#layers.flatMap(({ document, node }) =>
      document.tree
        .items(node)
        .map((item) => new Field([{ document, node: document.tree.resolve(item), at: item }])),
    );
  }

  get isList(): boolean {
    const { document, node } = this.#last;
    return isSeq(document.tree.resolve(node));
  }

  /** The value at a path of keys. */
  get(...path: readonly [string, ...string[]]): Field | undefined {
    const [name, ...rest] = path;
    const [next, ...more] = rest;
    const field = this.entries.get(name);
    return next === undefined ? field : field?.get(next, ...more);
  }

  get #last(): Layer {
    return this.#layers.at(-1) ?? this.#layers[0];
  }
}

/** All of the files; undefined where none can be read. */
export function fieldOf(documents: readonly Document[]): Field | undefined {
  const [first, ...more] = documents.map((document) => ({
    document,
    node: document.tree.root,
    at: document.tree.root,
  }));
  return first === undefined ? undefined : new Field([first, ...more]);
}
