/** The configs and secrets of the user's files: where they stand, and which no service needs. */
import { isMap } from 'yaml';
import type { Position } from '../errors.js';
import type { Field } from '../lint/field.js';
import type { Document } from './document.js';
import { isNull, isTrue } from './tree.js';

/**
 * By `configs.KEY` and `secrets.KEY`: its `name:` in the last file that defines it, or its key there.
 */
export function positionsOf(documents: readonly Document[]): ReadonlyMap<string, Position> {
  const positions = new Map<string, Position>();
  for (const document of documents) {
    const { tree } = document;
    if (tree.problems.length > 0) continue;
    for (const section of ['configs', 'secrets'])
      for (const { name, key, value } of tree.entries(tree.get(tree.root, section)).values()) {
        const own = tree.entries(value).get('name');
        positions.set(`${section}.${name}`, document.position(own?.key ?? key));
      }
  }
  return positions;
}

/**
 * Those that services which are left out use and no other does, as `configs.NAME` and `secrets.NAME`: as
 * for Docker Compose their files may be missing, and they are not created. What no service uses at all
 * is created, as Docker does it.
 */
export function unusedObjects(
  files: Field | undefined,
  leftOut: ReadonlyMap<string, unknown>,
): ReadonlySet<string> {
  const unused = new Set<string>();
  const used = new Set<string>();
  for (const [name, service] of files?.get('services')?.entries ?? []) {
    const uses = leftOut.has(name) ? unused : used;
    for (const section of ['configs', 'secrets'] as const)
      for (const item of service.get(section)?.items ?? [])
        uses.add(`${section}.${(item.isMap ? item.get('source') : item)?.text ?? ''}`);
    const config = service.get('credential_spec', 'config')?.text;
    if (config !== undefined) uses.add(`configs.${config}`);
  }
  for (const object of used) unused.delete(object);
  return unused;
}

/** Something that the files use and do not make: it has to be in the swarm already. */
export interface External {
  readonly kind: 'network' | 'config' | 'secret';
  /** In the swarm. */
  readonly name: string;
  /** Where the files say that it is external. */
  readonly position: Position;
  /** The first service that uses it. */
  readonly service: string;
}

const KINDS = { networks: 'network', configs: 'config', secrets: 'secret' } as const;
type Section = keyof typeof KINDS;
/** Networks that every node has for itself, for which Docker's client does not look either. */
const OF_EACH_NODE = /^(?:bridge|host|none|default|container:.*)$/;

/**
 * What is external and used by a service that is deployed. Volumes are not among it: each node has its
 * own, and makes one where there is none.
 */
export function externalsOf(
  documents: readonly Document[],
  files: Field | undefined,
  isIncluded: (service: string) => boolean,
): readonly External[] {
  const declared = new Map<string, Pick<External, 'kind' | 'name' | 'position'> | undefined>();
  for (const document of documents)
    for (const section of Object.keys(KINDS) as Section[]) {
      const { tree } = document;
      for (const { name: key, value } of tree.entries(tree.get(tree.root, section)).values()) {
        const external = tree.entries(value).get('external');
        const own =
          document.value(tree.get(external?.value, 'name')) ??
          document.value(tree.get(value, 'name'));
        const is =
          external !== undefined &&
          (isMap(external.value) || isTrue(document.value(external.value))) &&
          !isNull(external.value);
        // The definition in the last file counts, as a whole.
        declared.set(
          `${section}.${key}`,
          is
            ? { kind: KINDS[section], name: own ?? key, position: document.position(external.key) }
            : undefined,
        );
      }
    }
  const found = new Map<string, External>();
  for (const [service, field] of files?.get('services')?.entries ?? []) {
    if (!isIncluded(service)) continue;
    for (const place of usesOf(field)) {
      const object = declared.get(place);
      if (object === undefined || found.has(place)) continue;
      if (object.kind === 'network' && OF_EACH_NODE.test(object.name)) continue;
      found.set(place, { ...object, service });
    }
  }
  return [...found.values()];
}

/** What a service refers to, as `networks.KEY` and so on. */
function usesOf(service: Field): readonly string[] {
  const networks = service.get('networks');
  const named = [
    ...(networks?.entries.keys() ?? []),
    ...(networks?.items ?? []).flatMap(({ text }) => text ?? []),
  ];
  const config = service.get('credential_spec', 'config')?.text;
  return [
    ...(named.length > 0 ? named : ['default']).map((name) => `networks.${name}`),
    ...(['configs', 'secrets'] as const).flatMap((section) =>
      (service.get(section)?.items ?? []).map(
        (item) => `${section}.${(item.isMap ? item.get('source') : item)?.text ?? ''}`,
      ),
    ),
    ...(config === undefined ? [] : [`configs.${config}`]),
  ];
}
