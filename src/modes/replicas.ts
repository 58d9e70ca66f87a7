/** `keep-replicas`: services that have another number of replicas than the files say. */
import { scaledServices, withReplicas } from '../compose/replicas.js';
import type { RenderedStack } from '../compose/render.js';
import { plural } from '../report/text.js';
import { settle, type Deployment } from './deployment.js';

/**
 * Tells where the swarm and the files differ, and puts the number that is kept into the files.
 * @throws ConnectionLost
 */
export async function settleReplicas(
  deployment: Deployment,
  rendered: RenderedStack,
): Promise<RenderedStack> {
  const { inputs, world, reader } = deployment;
  const live = await settle(deployment, (engine) => reader.services(engine));
  const scaled = scaledServices(inputs.stack, rendered.services, live);
  for (const { name, live: now, written } of scaled)
    world.narrator.say(
      inputs.keepReplicas
        ? `${name} keeps ${plural(now, 'replica')}, where the files say ${written} (keep-replicas: true)`
        : `${name} has ${plural(now, 'replica')}, and gets the ${written} of the files (keep-replicas: true keeps ${now})`,
    );
  if (!inputs.keepReplicas) return rendered;
  return withReplicas(rendered, new Map(scaled.map((each) => [each.service, each.live])));
}
