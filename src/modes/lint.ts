/** The lint of a run: what it takes from inputs and swarm, and where its findings go. */
import type { RenderedStack } from '../compose/render.js';
import { expiry } from '../lint/credentials.js';
import { lint } from '../lint/lint.js';
import type { Node } from '../model.js';
import type { Deployment } from './deployment.js';

/** Looks over the files that are about to be deployed, and tells what it finds. */
export function tellLint(
  { inputs, session, world }: Pick<Deployment, 'inputs' | 'session' | 'world'>,
  { written, services }: RenderedStack,
  nodes: readonly Node[],
): void {
  const active = nodes.filter(
    ({ Spec, Status }) => Spec.Availability === 'active' && Status.State === 'ready',
  );
  world.narrator.lint(
    lint({
      files: written(),
      services: new Set(services.keys()),
      nodes:
        active.length === 0
          ? undefined
          : active.map(({ ID, Description }) => ({
              name: Description?.Hostname ?? ID,
              engine: Description?.Engine?.EngineVersion ?? session.engineVersion.version,
            })),
      logins: !inputs.withRegistryAuth
        ? []
        : inputs.registries.flatMap(({ registry, username, password }) => {
            const expires = expiry(registry, username, (prefix) =>
              password.reveal().startsWith(prefix),
            );
            return expires === undefined ? [] : [{ registry, expires }];
          }),
      ignore: inputs.lintIgnore,
    }),
  );
}
