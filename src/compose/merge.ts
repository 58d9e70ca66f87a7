/**
 * What Docker's merge of several files loses or mixes up without a word (docker/cli,
 * cli/compose/loader/merge.go): it tells ports apart by their number of the host alone, attachments of
 * configs and secrets by their source, and puts one list of a healthcheck behind the other.
 */
import { isMap, type Node } from 'yaml';
import type { Problem } from '../errors.js';
import type { Document } from './document.js';
import { portOf } from './ports.js';
import { problemAt } from './source.js';
import { isNull, type Entry } from './tree.js';

const LISTS = ['ports', 'configs', 'secrets'] as const;

/** An item of a list in one of the files. */
interface Item {
  readonly document: Document;
  readonly node: Node;
  /** What the merge tells items apart by. */
  readonly key: string;
  /** What people tell them apart by. */
  readonly label: string;
}

/** Of services that several files name, what is not in the swarm afterwards as it is written. */
export function readMerge(
  documents: readonly Document[],
  isIncluded: (service: string) => boolean,
): readonly Problem[] {
  const sound = documents.filter(({ tree }) => tree.problems.length === 0);
  const services = new Map<string, { document: Document; entry: Entry }[]>();
  for (const document of sound) {
    const { tree } = document;
    for (const entry of tree.entries(tree.get(tree.root, 'services')).values())
      services.set(entry.name, [...(services.get(entry.name) ?? []), { document, entry }]);
  }
  return [...services].flatMap(([service, places]) => {
    if (places.length < 2 || !isIncluded(service)) return [];
    const lost = LISTS.flatMap((list) =>
      lostItems(
        places.map(({ document, entry }) => {
          const written = document.tree.get(entry.value, list);
          return document.tree
            .items(written)
            .flatMap((node) => itemsOf(document, node, list).map((item) => ({ ...item, node })));
        }),
      ).map(([item, to]) => {
        const { file, line } = to.document.position(to.node);
        const what = list === 'ports' ? 'published port' : list.slice(0, -1);
        return problemAt(
          item.document.position(item.node),
          `service ${service}: ${item.label} is lost: where several files name a service, Docker keeps one item of \`${list}\` for each ${what}, here ${to.label} of ${file}:${line ?? 0}`,
          {
            hint: `Write all \`${list}\` of ${service} into the last file that names it, as \`${list}: !override\`.`,
          },
        );
      }),
    );
    return [...lost, ...appendedTests(service, places)];
  });
}

/** Each item that another one takes the place of, and that one. */
function lostItems(files: readonly (readonly Item[])[]): readonly (readonly [Item, Item])[] {
  const kept = new Map<string, Item>();
  const lost = new Map<Node, readonly [Item, Item]>();
  const first = files.findIndex((items) => items.length > 0);
  for (const item of first === files.length - 1 ? [] : files.flat()) {
    const before = kept.get(item.key);
    // The same port in another file is meant to go over it.
    if (before !== undefined && before.label !== item.label) lost.set(before.node, [before, item]);
    kept.set(item.key, item);
  }
  return [...lost.values()];
}

function itemsOf(
  document: Document,
  node: Node,
  list: (typeof LISTS)[number],
): readonly Omit<Item, 'node'>[] {
  const { tree } = document;
  const isLong = isMap(tree.resolve(node));
  const part = (name: string): string => document.value(tree.get(node, name)) ?? '';
  const text = document.value(node) ?? '';
  if (list !== 'ports') {
    const key = isLong ? part('source') : text;
    return [{ document, key, label: `${key} at ${part('target') || key}` }];
  }
  const { numbers, isPublished, protocol } = isLong
    ? portOf(`${part('published')}:${part('target')}`, part('protocol'))
    : portOf(...text.split('/'));
  return numbers.map((number) => ({
    document,
    key: isPublished ? number : '0',
    label: `${number}/${protocol}${isPublished ? '' : ' without a port of the host'}`,
  }));
}

function appendedTests(
  service: string,
  places: readonly { readonly document: Document; readonly entry: Entry }[],
): readonly Problem[] {
  const tests = places.flatMap(({ document, entry }) => {
    const healthcheck = document.tree.get(entry.value, 'healthcheck');
    const test = document.tree.entries(healthcheck).get('test');
    return test === undefined || isNull(test.value) ? [] : [{ document, key: test.key }];
  });
  const [first, ...others] = tests;
  if (first === undefined) return [];
  const { file, line } = first.document.position(first.key);
  return others.map(({ document, key }) =>
    problemAt(
      document.position(key),
      `service ${service}: Docker puts this \`test\` behind the one of ${file}:${line ?? 0}, and the healthcheck runs the two as one command`,
      { hint: 'Write `test: !override` in front of the list or text: then it is the only one.' },
    ),
  );
}
