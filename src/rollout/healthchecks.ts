/**
 * Tells a one-shot task that did its work from one that was killed as unhealthy and stopped in good order:
 * both end `complete` with exit code 0, and nothing else is said of them (tried).
 */
import type { Engine } from '../docker/engine.js';
import {
  at,
  imageOf,
  kindOf,
  type Json,
  type ServiceSpec,
  type Snapshot,
  type Task,
} from '../model.js';
import type { Target } from './goal.js';
import { rank } from './standing.js';

const NONE: ReadonlySet<string> = new Set();
const SECOND = 1e9;
/** Docker's own (moby daemon/health.go). */
const DEFAULTS = { Interval: 30 * SECOND, StartInterval: 5 * SECOND, Retries: 3 };
/** A node tells the manager a little later that it has started a container. */
const LATE_MS = 15_000;

/**
 * How long a container must have run, at the least, until its healthcheck can have failed it. What the
 * spec leaves open is the image's.
 * @param image the healthcheck that the image brings, or null
 * @returns milliseconds; undefined where there is no healthcheck
 */
export function soonestUnhealthyMs(spec: ServiceSpec, image: Json): number | undefined {
  const own = at(spec, 'TaskTemplate', 'ContainerSpec', 'Healthcheck');
  const [test] = [own, image]
    .map((healthcheck) => at(healthcheck, 'Test'))
    .filter((words) => Array.isArray(words) && words.length > 0) as (readonly Json[])[];
  if (test === undefined || test[0] === 'NONE') return undefined;
  const value = (key: string): number => Number(at(own, key) ?? 0) || Number(at(image, key) ?? 0);
  const interval = value('Interval') || DEFAULTS.Interval;
  const retries = value('Retries') || DEFAULTS.Retries;
  // Once the check has passed, its failures count within the start period, too: that adds nothing.
  const first =
    value('StartPeriod') > 0
      ? Math.min(interval, value('StartInterval') || DEFAULTS.StartInterval)
      : interval;
  return (first + (retries - 1) * interval) / 1e6;
}

/** Asked only of services that may end by themselves, once a task of theirs has. */
export class ImageHealthchecks {
  /** By image; the managers that have not got it cannot tell. */
  readonly #known = new Map<string, Json>();
  /** When a task was last seen without a container, in the watcher's milliseconds. */
  readonly #waiting = new Map<string, number>();
  /** How long a task that has ended has run at the most. */
  readonly #ran = new Map<string, number>();
  #last = NONE;

  /**
   * @param now milliseconds on the clock of `snapshot.at`
   * @returns ids of services with a task that ended `complete` and may have been killed as unhealthy;
   *   the same set as long as nothing in it has changed
   */
  async of(
    engine: Engine,
    targets: readonly Target[],
    snapshot: Snapshot,
    now: number,
  ): Promise<ReadonlySet<string>> {
    const oneShots = new Map(
      targets.flatMap(({ id, spec }) => {
        const kind = kindOf(spec);
        return 'oneShot' in kind && kind.oneShot ? [[id, spec] as const] : [];
      }),
    );
    if (oneShots.size === 0) return NONE;
    const found = new Set<string>();
    for (const task of snapshot.tasks) {
      const spec = oneShots.get(task.ServiceID);
      if (spec === undefined || !snapshot.upToDate.has(task.ID)) continue;
      if (rank(task.Status.State) < STARTING) this.#waiting.set(task.ID, snapshot.at);
      if (task.Status.State !== 'complete') continue;
      const soonest = soonestUnhealthyMs(spec, await this.#ofImage(engine, imageOf(spec)));
      if (soonest !== undefined && this.#longest(task, now) >= soonest) found.add(task.ServiceID);
    }
    const same = found.size === this.#last.size && [...found].every((id) => this.#last.has(id));
    if (!same) this.#last = found;
    return this.#last;
  }

  async #ofImage(engine: Engine, image: string): Promise<Json> {
    const known = this.#known.get(image) ?? (await engine.imageHealthcheck(image));
    if (known !== undefined) this.#known.set(image, known);
    return known ?? null;
  }

  /** Of the time that the swarm gave it, and what was seen of it. */
  #longest({ ID, CreatedAt, UpdatedAt = '' }: Task, now: number): number {
    const existed = Date.parse(UpdatedAt) - Date.parse(CreatedAt);
    const waited = this.#waiting.get(ID) ?? -Infinity;
    const ran =
      this.#ran.get(ID) ??
      Math.min(Number.isNaN(existed) ? Infinity : existed, now - waited + LATE_MS);
    this.#ran.set(ID, ran);
    return ran;
  }
}

const STARTING = rank('starting');
