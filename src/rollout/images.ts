/**
 * Which images are not there. A node says `No such image` whatever it was that kept it from pulling one:
 * only the registry can say that there is none (tried).
 */
import type { Engine } from '../docker/engine.js';
import { imageOf, splitImage, type Snapshot } from '../model.js';
import { NO_IMAGE } from './causes.js';
import type { Target } from './goal.js';

const NONE: ReadonlySet<string> = new Set();
/** A registry that is away must not keep the swarm from being looked at. */
const ANSWER_MS = 3000;

/** Asked only of images that Docker found no digest for, once a node could not pull them. */
export class MissingImages {
  readonly #auth: (image: string) => string | undefined;
  /** The tasks that it was asked for. */
  readonly #asked = new Set<string>();
  #missing = NONE;

  /** @param auth credentials for an image's registry, as in the header `X-Registry-Auth` */
  constructor(auth: (image: string) => string | undefined) {
    this.#auth = auth;
  }

  /**
   * Asks again for each task that failed.
   * @returns ids of services; the same set as long as nothing in it has changed
   */
  async missing(
    engine: Engine,
    targets: readonly Target[],
    { tasks, upToDate }: Snapshot,
  ): Promise<ReadonlySet<string>> {
    const unresolved = new Map(
      targets
        .map(({ id, spec }) => [id, imageOf(spec)] as const)
        .filter(([id, image]) => splitImage(image).digest === undefined && !this.#missing.has(id)),
    );
    if (unresolved.size === 0) return this.#missing;
    for (const { ID, ServiceID, Status } of tasks) {
      const image = unresolved.get(ServiceID);
      if (image === undefined || !upToDate.has(ID) || this.#asked.has(ID)) continue;
      if (Status.State !== 'rejected' || !NO_IMAGE.test(Status.Err ?? '')) continue;
      this.#asked.add(ID);
      if ((await engine.registryHas(image, this.#auth(image), ANSWER_MS)) !== false) continue;
      this.#missing = new Set([...this.#missing, ServiceID]);
      unresolved.delete(ServiceID);
    }
    return this.#missing;
  }
}
