/** What later steps know of the services without redoing Docker's merge of the files. */
import { isMap, isSeq } from 'yaml';
import type { Position } from '../errors.js';
import type { Document } from './document.js';
import { isTrue, type Entry } from './tree.js';

/** A service as far as the files show it; the last file wins, as in Docker's merge. */
export interface ServiceView {
  readonly name: string;
  readonly image: string | undefined;
  readonly healthcheck: 'none' | 'declared' | 'disabled';
  /** As written: `replicated`, `global`, `replicated-job`, `global-job`. */
  readonly mode: string | undefined;
  readonly replicas: number | undefined;
  /** Its number is 0, and a file before has another one. */
  readonly goesToNothing?: true;
  /** The key of the service, where it is first declared. */
  readonly position: Position;
  /** The `image:` that counts. */
  readonly imagePosition: Position | undefined;
}

/** The services of all files by name. */
export function viewServices(documents: readonly Document[]): ReadonlyMap<string, ServiceView> {
  const views = new Map<string, ServiceView>();
  for (const document of documents) {
    if (document.tree.problems.length > 0) continue;
    const { tree } = document;
    for (const service of tree.entries(tree.get(tree.root, 'services')).values()) {
      const before = views.get(service.name);
      const entries = tree.entries(service.value);
      const image = entries.get('image');
      const deploy = entries.get('deploy')?.value;
      // Docker Compose's `scale` becomes deploy.replicas.
      const replicas =
        document.value(tree.get(deploy, 'replicas')) ??
        document.value(entries.get('scale')?.value ?? null) ??
        '';
      const name = document.value(image?.value ?? null);
      const toNothing = /^0+$/.test(replicas) && (before?.replicas ?? 0) > 0;
      views.set(service.name, {
        name: service.name,
        image: name ?? before?.image,
        healthcheck: viewHealthcheck(document, entries.get('healthcheck'), before?.healthcheck),
        mode: document.value(tree.get(deploy, 'mode')) ?? before?.mode,
        replicas: /^[0-9]+$/.test(replicas) ? Number(replicas) : before?.replicas,
        ...(toNothing ? { goesToNothing: true as const } : {}),
        position: before?.position ?? document.position(service.key),
        imagePosition:
          image === undefined || name === undefined
            ? before?.imagePosition
            : document.position(image.key),
      });
    }
  }
  return views;
}

/** A later file adds to a healthcheck; `disable: true` of any file stays (mergo drops no true). */
function viewHealthcheck(
  document: Document,
  entry: Entry | undefined,
  before: ServiceView['healthcheck'] = 'none',
): ServiceView['healthcheck'] {
  if (entry === undefined || !isMap(entry.value) || before === 'disabled') return before;
  const { tree } = document;
  const test = tree.get(entry.value, 'test');
  const [first = null] = tree.items(test);
  const none = isSeq(test) && document.value(first) === 'NONE';
  if (none || isTrue(document.value(tree.get(entry.value, 'disable')))) return 'disabled';
  return 'declared';
}
