/**
 * How many replicas a service has in the swarm, and what the files say: the number is put into the
 * rendered files, so that Docker deploys it and a revision records it.
 */
import { isMap } from 'yaml';
import { kindOf, type Service } from '../model.js';
import type { RenderedFile, RenderedStack } from './render.js';
import { apart, parsed, subset } from './subset.js';
import { addedFile } from './translate.js';
import type { Entry, Tree } from './tree.js';
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
  const { services } = stack;
  const losing = losesInMerge(stack.files);
  // To a client before 23.0 a number of 0 is none, and does not go over that of another file (tried).
  const isTaken = (service: string): boolean =>
    replicas.get(service) === 0 || (replicas.has(service) && losing.has(service));
  const files = stack.files.flatMap((file): readonly RenderedFile[] => {
    const others = subset([file], (service) => !isTaken(service));
    return others[0]?.text === file.text
      ? [file]
      : [...others, apart(file, isTaken, ['deploy', 'replicas'])];
  });
  const added = (name: string, goes: (service: string) => boolean): readonly RenderedFile[] => {
    const numbers = [...replicas].filter(([service]) => goes(service));
    return numbers.length === 0 ? [] : [numbersFile(name, numbers, stack.composeVersion)];
  };
  return {
    ...stack,
    files: named([
      ...added('replicas-before.yml', (service) => losing.has(service)),
      ...files,
      ...added(`${files.length}-replicas.yml`, (service) => !losing.has(service)),
    ]),
    services: new Map(
      [...services].map(([name, view]) => [
        name,
        { ...view, replicas: replicas.get(name) ?? view.replicas },
      ]),
    ),
  };
}

/** Each under a name of its own, also where numbers are put in a second time. */
function named(files: readonly RenderedFile[]): readonly RenderedFile[] {
  const names = new Set<string>();
  return files.map((file) => {
    let { name } = file;
    while (names.has(name)) name = `more-${name}`;
    names.add(name);
    return { ...file, name };
  });
}

function numbersFile(
  name: string,
  numbers: readonly (readonly [string, number])[],
  composeVersion: string | undefined,
): RenderedFile {
  const text = addedFile(
    new Map(
      numbers.map(([service, number]) => [service, { deploy: { replicas: String(number) } }]),
    ),
  );
  const versionAt = { offset: 0, before: '', after: '\n' };
  return {
    name,
    origin: '',
    ...(composeVersion === undefined
      ? { text, versionAt }
      : { text: insertVersion(text, versionAt, composeVersion) }),
  };
}

/**
 * The services of which Docker's client forgets something as soon as a file behind says anything of them:
 * in a merge, of all ports with one number of the host the last is left, and of all attachments of one
 * config or secret (docker/cli, cli/compose/loader/merge.go, `mergeSlice`). A file before does no harm.
 */
function losesInMerge(files: readonly RenderedFile[]): ReadonlySet<string> {
  const found = new Set<string>();
  for (const { name, text } of files) {
    const { tree } = parsed(name, text);
    for (const service of tree.entries(tree.get(tree.root, 'services')).values()) {
      const of = (key: string): readonly string[] => keysIn(tree, service.value, key);
      const ports = of('ports');
      const lists = [ports, of('configs'), of('secrets')];
      // Of a range nobody counts here what it has in common with another one.
      if (
        ports.some((port) => port.includes('-')) ||
        lists.some((list) => new Set(list).size < list.length)
      )
        found.add(service.name);
    }
  }
  return found;
}

/** What Docker's merge tells the items of a list apart by. */
function keysIn(tree: Tree, service: Entry['value'], key: string): readonly string[] {
  return tree.items(tree.get(service, key)).map((item) => {
    if (isMap(tree.resolve(item)))
      return tree.text(tree.get(item, key === 'ports' ? 'published' : 'source')) ?? '';
    const text = tree.text(item) ?? '';
    if (key !== 'ports') return text;
    const [ports = ''] = text.split('/');
    return ports.split(':').at(-2) ?? (ports.includes('-') ? '-' : '');
  });
}
