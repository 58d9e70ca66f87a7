/** The configs and secrets of the user's files: where they stand, and which no service needs. */
import type { Position } from '../errors.js';
import type { Field } from '../lint/field.js';
import type { Document } from './document.js';

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
