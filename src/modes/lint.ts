/** The lint of a run: what it takes from inputs and swarm, and where its findings go. */
import { handedOver, type RenderedStack } from '../compose/render.js';
import type { StackObject } from '../docker/engine.js';
import type { Inputs } from '../inputs.js';
import { expiry } from '../lint/credentials.js';
import { lint } from '../lint/lint.js';
import type { Node } from '../model.js';
import type { World } from '../world.js';
import type { Deployment } from './deployment.js';

/**
 * Looks over the files as soon as they are read, and tells what it finds without knowing the swarm: also
 * a run that comes no further, for want of a connection or of the lock, has had its files looked at.
 * @returns the stack, to be looked at once more when the nodes are known
 */
export function tellFileLint(
  { narrator }: Pick<World, 'narrator'>,
  inputs: Inputs,
  rendered: RenderedStack,
): RenderedStack {
  const files = rendered.written();
  narrator.lint(
    lint({
      ...{ files, nodes: undefined, part: 'files', ignore: inputs.lintIgnore },
      ...{ stack: inputs.stack, networks: [] },
      services: new Set(rendered.services.keys()),
      logins: !inputs.withRegistryAuth
        ? []
        : inputs.registries.flatMap(({ registry, username, password }) => {
            const expires = expiry(registry, username, (prefix) =>
              password.reveal().startsWith(prefix),
            );
            return expires === undefined ? [] : [{ registry, expires }];
          }),
    }),
  );
  return { ...rendered, written: handedOver(files) };
}

/** Tells what is wrong with the files for the nodes that there are, and the networks of the stack. */
export function tellNodeLint(
  { inputs, session, world }: Pick<Deployment, 'inputs' | 'session' | 'world'>,
  { written, services }: RenderedStack,
  nodes: readonly Node[],
  objects: readonly StackObject[],
): void {
  const active = nodes.filter(
    ({ Spec, Status }) => Spec.Availability === 'active' && Status.State === 'ready',
  );
  const files = written();
  world.narrator.lint(
    lint({
      ...{ files, logins: [], part: 'nodes', ignore: inputs.lintIgnore },
      services: new Set(services.keys()),
      stack: inputs.stack,
      networks: objects.flatMap(({ name, definition }) =>
        definition === undefined ? [] : [{ name, definition }],
      ),
      nodes: active.map(({ ID, Description }) => ({
        name: Description?.Hostname ?? ID,
        engine: Description?.Engine?.EngineVersion ?? session.engineVersion.version,
      })),
    }),
  );
}
