/** Where the configs and secrets of the user's files stand. */
import type { Position } from '../errors.js';
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
