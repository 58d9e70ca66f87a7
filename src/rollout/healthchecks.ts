/** Which services have a healthcheck that only their image knows of. */
import type { Engine } from '../docker/engine.js';
import { imageOf, kindOf, type Snapshot } from '../model.js';
import type { Target } from './goal.js';

const NONE: ReadonlySet<string> = new Set();

/**
 * Asked only of services whose tasks end although nothing in the spec says that they should not: a
 * one-shot task ends well, one that was stopped as unhealthy may look the same.
 */
export class ImageHealthchecks {
  /** By image; the managers that have not got it cannot tell. */
  readonly #known = new Map<string, boolean>();
  #last = NONE;

  /** @returns ids of services; the same set as long as nothing in it has changed */
  async of(
    engine: Engine,
    targets: readonly Target[],
    { tasks }: Snapshot,
  ): Promise<ReadonlySet<string>> {
    const oneShots = targets.filter(({ spec }) => {
      const kind = kindOf(spec);
      return 'oneShot' in kind && kind.oneShot;
    });
    if (oneShots.length === 0) return NONE;
    const ended = new Set(
      tasks.filter(({ Status }) => Status.State === 'complete').map(({ ServiceID }) => ServiceID),
    );
    const found = new Set<string>();
    for (const { id, spec } of oneShots) {
      if (!ended.has(id)) continue;
      const image = imageOf(spec);
      const known = this.#known.get(image) ?? (await engine.imageHasHealthcheck(image));
      if (known !== undefined) this.#known.set(image, known);
      if (known === true) found.add(id);
    }
    const same = found.size === this.#last.size && [...found].every((id) => this.#last.has(id));
    if (!same) this.#last = found;
    return this.#last;
  }
}
