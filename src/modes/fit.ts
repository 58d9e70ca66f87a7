/** What the files ask of the swarm as it is: what they use without making it, and how many replicas there are. */
import { scaledServices, withReplicas } from '../compose/replicas.js';
import type { External, RenderedStack } from '../compose/render.js';
import { problemAt } from '../compose/source.js';
import type { Engine } from '../docker/engine.js';
import { InvalidInput, type Problem } from '../errors.js';
import { plural } from '../report/text.js';
import { settle, type Deployment } from './deployment.js';

/**
 * The stack as it is deployed to this swarm; nothing is written for it.
 * @throws InvalidInput where something external is missing
 * @throws ConnectionLost
 */
export async function fitToSwarm(
  deployment: Deployment,
  rendered: RenderedStack,
): Promise<RenderedStack> {
  await settle(deployment, (engine) => demandExternals(engine, rendered));
  return await settleReplicas(deployment, rendered);
}

/**
 * Docker finds some of it only after it has made networks, configs and secrets.
 * @throws InvalidInput with all that is missing
 * @throws ConnectionLost
 */
export async function demandExternals(
  engine: Pick<Engine, 'existing'>,
  { externals }: Pick<RenderedStack, 'externals'>,
): Promise<void> {
  const problems: Problem[] = [];
  for (const kind of ['network', 'config', 'secret'] as const) {
    const asked = externals.filter((external) => external.kind === kind);
    if (asked.length === 0) continue;
    const names = asked.map(({ name }) => name);
    const found = await engine.existing(kind, names);
    for (const external of asked) {
      const scope = found.get(external.name);
      if (scope !== 'swarm') problems.push(missing(external, scope));
    }
  }
  const [problem, ...more] = problems;
  if (problem !== undefined) throw new InvalidInput([problem, ...more]);
}

const MAKE = {
  network: (name: string) => `docker network create --driver overlay ${name}`,
  config: (name: string) => `docker config create ${name} FILE`,
  secret: (name: string) => `docker secret create ${name} FILE`,
} as const;

function missing({ kind, name, position, service }: External, scope: string | undefined): Problem {
  const what = `the external ${kind} ${name}, which service ${service} uses,`;
  return scope === undefined
    ? problemAt(position, `${what} does not exist in the swarm`, {
        hint: `Create it on a manager first: ${MAKE[kind](name)}. Or leave \`external\` out, and it is made with the stack.`,
      })
    : problemAt(position, `${what} is one of this manager alone (its scope is ${scope})`, {
        hint: `Services take networks of the swarm: ${MAKE[kind](name)}.`,
      });
}

/** Tells where the swarm and the files differ, and puts the numbers that are kept into the files. */
async function settleReplicas(
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
