/** Whether the images that recorded services need can still be had. */
import type { Engine } from '../docker/engine.js';
import { imageOf, sameJson, type Service } from '../model.js';
import type { AuthFor, RecordedService } from './replay.js';

export interface Images {
  /** Of which it is certain that no node can start them: a line each for people. */
  readonly missing: readonly string[];
  /** That no node can pull any more; which nodes have them, a manager cannot see. */
  readonly doubtful: readonly string[];
}

/** The engine itself gives a registry 15 s to answer. */
const ANSWER_MS = 20_000;

/**
 * Asks for the images of those services that would be written: what runs already needs no pull.
 * @param live the services of the stack
 * @param nodes how many there are in the swarm
 */
export async function imagesFor(
  engine: Pick<Engine, 'hasImage' | 'registryHas'>,
  services: readonly RecordedService[],
  live: readonly Service[],
  nodes: number,
  authFor: AuthFor,
): Promise<Images> {
  const specs = new Map(live.map(({ Spec }) => [Spec.Name, Spec]));
  const users = new Map<string, string[]>();
  for (const { name, spec } of services) {
    const running = specs.get(name);
    if (running !== undefined && sameJson(running, spec)) continue;
    const image = imageOf(spec);
    users.set(image, [...(users.get(image) ?? []), name]);
  }
  const [missing, doubtful]: [string[], string[]] = [[], []];
  for (const [image, names] of users) {
    if ((await engine.registryHas(image, authFor(image), ANSWER_MS)) !== false) continue;
    const has = await engine.hasImage(image);
    if (nodes > 1) doubtful.push(`image ${image} of ${names.join(', ')}`);
    else if (!has) missing.push(`image ${image} of ${names.join(', ')}`);
  }
  return { missing, doubtful };
}
