/**
 * How many replicas a service has in the swarm, and what the files say: the number is put into the
 * rendered files, so that Docker deploys it and a revision records it.
 */
import { kindOf, type Service } from '../model.js';
import type { RenderedFile, RenderedStack } from './render.js';
import { apart, subset } from './subset.js';
import { addedFile } from './translate.js';
import { insertVersion } from './version.js';
import type { ServiceView } from './view.js';

/** A service that has another number of replicas than the files say. */
export interface Scaled {
  /** As the files call it. */
  readonly service: string;
  /** As the swarm calls it. */
  readonly name: string;
  readonly live: number;
  readonly written: number;
}

/**
 * The services that are replicated now, and will be by the files, with different numbers; jobs and
 * global services have none, and what is created has no former one.
 * @param live services of the stack
 */
export function scaledServices(
  stack: string,
  services: ReadonlyMap<string, Pick<ServiceView, 'mode' | 'replicas'>>,
  live: readonly Pick<Service, 'Spec'>[],
): readonly Scaled[] {
  const former = new Map(live.map(({ Spec }) => [Spec.Name, kindOf(Spec)]));
  return [...services].flatMap(([service, { mode = '', replicas: written = 1 }]) => {
    const name = `${stack}_${service}`;
    const kind = former.get(name);
    if (kind?.kind !== 'replicated' || !['', 'replicated'].includes(mode)) return [];
    return kind.replicas === written ? [] : [{ service, name, live: kind.replicas, written }];
  });
}

/** The stack with other numbers of replicas for some of its services. */
export function withReplicas(
  stack: RenderedStack,
  replicas: ReadonlyMap<string, number>,
): RenderedStack {
  if (replicas.size === 0) return stack;
  const { services, composeVersion } = stack;
  // To a client before 23.0 a number of 0 is none, and does not go over that of another file (tried).
  const toNothing = (service: string): boolean => replicas.get(service) === 0;
  const files = stack.files.flatMap((file): readonly RenderedFile[] => {
    const others = subset([file], (service) => !toNothing(service));
    return others[0]?.text === file.text
      ? [file]
      : [...others, apart(file, toNothing, ['deploy', 'replicas'])];
  });
  const text = addedFile(
    new Map(
      [...replicas].map(([service, number]) => [service, { deploy: { replicas: String(number) } }]),
    ),
  );
  const versionAt = { offset: 0, before: '', after: '\n' };
  const last: RenderedFile = {
    name: `${files.length}-replicas.yml`,
    origin: '',
    ...(composeVersion === undefined
      ? { text, versionAt }
      : { text: insertVersion(text, versionAt, composeVersion) }),
  };
  return {
    ...stack,
    files: [...files, last],
    services: new Map(
      [...services].map(([name, view]) => [
        name,
        { ...view, replicas: replicas.get(name) ?? view.replicas },
      ]),
    ),
  };
}
