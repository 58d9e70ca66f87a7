/** The `profiles` of services: which of them are in, as Docker Compose has it. */
import { isSeq } from 'yaml';
import type { Problem } from '../errors.js';
import type { Document } from './document.js';
import { problemAt } from './source.js';
import { isNull } from './tree.js';

/** Asks for every profile. */
const ALL = '*';

export interface Profiled {
  /** Names of the services that are in. */
  readonly included: ReadonlySet<string>;
  /** Those that no profile asks for, with the profiles that would. */
  readonly leftOut: ReadonlyMap<string, readonly string[]>;
  /** Whether there is a `profiles:` at all. */
  readonly any: boolean;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/**
 * Decides which services are in: those without profiles, and those of which one is asked for. Several
 * files add up their lists, as Compose merges them.
 */
export function readProfiles(documents: readonly Document[], asked: readonly string[]): Profiled {
  const profiles = new Map<string, Set<string>>();
  const problems: Problem[] = [];
  let any = false;
  for (const document of documents) {
    const { tree } = document;
    if (tree.problems.length > 0) continue;
    for (const service of tree.entries(tree.get(tree.root, 'services')).values()) {
      const known = profiles.get(service.name) ?? new Set<string>();
      profiles.set(service.name, known);
      const entry = tree.entries(service.value).get('profiles');
      if (entry === undefined) continue;
      any = true;
      if (isNull(entry.value)) continue;
      const names = tree.items(entry.value).map((item) => ({ item, name: document.value(item) }));
      const odd = isSeq(entry.value)
        ? names.find(({ name }) => name === undefined || !PROFILE.test(name))
        : { item: entry.key };
      if (odd !== undefined)
        problems.push(
          problemAt(
            document.position(odd.item),
            `service ${service.name}: \`profiles\` is a list of names: letters, digits, and . _ - behind the first`,
            { hint: 'Write profiles: [debug].' },
          ),
        );
      for (const { name } of names) if (name !== undefined) known.add(name);
    }
  }
  const wanted = new Set(asked);
  const known = [...new Set([...profiles.values()].flatMap((names) => [...names]))].sort();
  const isIn = (names: ReadonlySet<string>): boolean =>
    names.size === 0 || wanted.has(ALL) || [...names].some((name) => wanted.has(name));
  const unknown = [...wanted].filter((name) => name !== ALL && !known.includes(name));
  return {
    included: new Set([...profiles].filter(([, names]) => isIn(names)).map(([name]) => name)),
    leftOut: new Map(
      [...profiles].filter(([, names]) => !isIn(names)).map(([name, names]) => [name, [...names]]),
    ),
    any,
    problems,
    warnings: unknown.map((name) => ({
      reason: 'input-invalid',
      message:
        `input profiles: no service has the profile ${name}; ` +
        (known.length === 0 ? 'the files have no profiles' : `known: ${known.join(', ')}`),
    })),
  };
}

/** As the Compose specification has it (compose-spec.json). */
export const PROFILE = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
