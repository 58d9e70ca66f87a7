/**
 * Where in the stack files each cause of a failure has its place: kept small, as the documents that it is
 * read from are gone by the time that something fails.
 */
import type { Position, Reason } from '../errors.js';
import type { Field } from '../lint/field.js';

/** An item of a list, such as one of `volumes:`, with enough of it to know it again. */
interface Item {
  readonly text: string;
  readonly position: Position;
}

/** One service: its own line, the lines of its keys by their paths, and the items of its lists. */
interface ServicePlaces {
  readonly service: Position;
  readonly keys: ReadonlyMap<string, Position>;
  readonly items: ReadonlyMap<string, readonly Item[]>;
}

/** By the names that the files give their services. */
export type Places = ReadonlyMap<string, ServicePlaces>;

const KEYS = [
  'image',
  'command',
  'entrypoint',
  'healthcheck',
  'healthcheck.test',
  'mem_limit',
  'networks',
  'ports',
  'volumes',
  'deploy.mode',
  'deploy.replicas',
  'deploy.placement',
  'deploy.placement.constraints',
  'deploy.placement.max_replicas_per_node',
  'deploy.resources.limits',
  'deploy.resources.limits.memory',
  'deploy.resources.reservations',
  'deploy.restart_policy',
  'deploy.update_config',
  'deploy.update_config.order',
  'deploy.update_config.failure_action',
] as const;
type Key = (typeof KEYS)[number];

const LISTS = ['volumes', 'ports'] as const;

/** Reads the places out of all files at once; none where they cannot be read. */
export function placesOf(files: Field | undefined): Places {
  const services = files?.get('services')?.entries ?? new Map<string, Field>();
  return new Map([...services].map(([name, field]) => [name, read(field)]));
}

function read(service: Field): ServicePlaces {
  const keys = new Map<string, Position>();
  for (const key of KEYS) {
    const [first = '', ...rest] = key.split('.');
    const found = service.get(first, ...rest);
    if (found !== undefined) keys.set(key, found.position);
  }
  const items = new Map<string, readonly Item[]>();
  for (const list of LISTS) {
    const found = service.get(list)?.items ?? [];
    if (found.length > 0)
      items.set(
        list,
        found.map((item) => ({ text: textOf(item), position: item.position })),
      );
  }
  return { service: service.position, keys, items };
}

/** The scalars of an item, whether it is written short or long. */
const textOf = (item: Field): string =>
  item.isMap
    ? [...item.entries.values()].map(({ text = '' }) => text).join(' ')
    : (item.text ?? '');

/** Where Docker's own words say which of several things it was that left no node. */
const UNPLACED: readonly { readonly words: RegExp; readonly keys: readonly Key[] }[] = [
  {
    words: /scheduling constraints|constraint/i,
    keys: ['deploy.placement.constraints', 'deploy.placement'],
  },
  { words: /max replicas per node/i, keys: ['deploy.placement.max_replicas_per_node'] },
  { words: /insufficient resources/i, keys: ['deploy.resources.reservations'] },
  { words: /port/i, keys: ['ports'] },
  { words: /unsupported platform/i, keys: ['image'] },
  { words: /missing plugin|volume/i, keys: ['volumes', 'networks'] },
];

/** What in a service a reason is about, the nearest first; the service itself where nothing is nearer. */
const KEYS_OF: Partial<Readonly<Record<Reason, readonly Key[]>>> = {
  'image-not-found': ['image'],
  'registry-auth': ['image'],
  'registry-unreachable': ['image'],
  'exec-format': ['image'],
  // A healthcheck may come with the image.
  unhealthy: ['healthcheck.test', 'healthcheck', 'image'],
  'command-not-found': ['entrypoint', 'command', 'image'],
  'crash-loop': ['command', 'entrypoint', 'image'],
  'job-failed': ['command', 'entrypoint', 'image'],
  'out-of-memory': ['deploy.resources.limits.memory', 'mem_limit', 'deploy.resources.limits'],
  unschedulable: ['deploy.placement.constraints', 'deploy.placement', 'deploy.replicas'],
  'mount-invalid': ['volumes'],
  'network-unavailable': ['networks'],
  'port-in-use': ['ports'],
  'host-port-deadlock': ['deploy.update_config.order', 'ports'],
  'update-paused': ['deploy.update_config.failure_action', 'deploy.update_config'],
  'rolled-back-by-swarm': ['deploy.update_config.failure_action', 'deploy.update_config'],
};

/**
 * Where the files say what a failure is about: the `image:` line for a missing image, the `healthcheck:` for
 * a service that is not healthy.
 * @param service as the files name it
 * @param words Docker's own, which may name one of several volumes or ports
 * @returns undefined where the files have no such service, as in a rollback to a recorded revision
 */
export function placeOf(
  places: Places | undefined,
  service: string,
  reason: Reason,
  words = '',
): Position | undefined {
  const found = places?.get(service);
  if (found === undefined) return undefined;
  const list = reason === 'mount-invalid' ? 'volumes' : reason === 'port-in-use' ? 'ports' : '';
  const item = named(
    found.items.get(list) ?? [],
    reason === 'port-in-use' ? (takenPort(words) ?? words) : words,
  );
  if (item !== undefined) return item;
  const told =
    reason === 'unschedulable'
      ? UNPLACED.filter(({ words: pattern }) => pattern.test(words)).flatMap(({ keys }) => keys)
      : [];
  const keys = [...told, ...(KEYS_OF[reason] ?? [])];
  const key = keys.find((each) => found.keys.has(each));
  return key === undefined ? found.service : (found.keys.get(key) ?? found.service);
}

/** The port of the host that is taken, in Docker's words: where they name the container's too, that comes after it. */
export const takenPort = (words: string): string | undefined =>
  /(?:\[[\da-f:]*\]|\b\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})\b/i.exec(words)?.[1] ??
  /(?::|port )(\d{2,5})\b(?!.*(?::|port )\d{2,5}\b)/i.exec(words)?.[1];

/** The item with a word of Docker's in it that could be a path, a volume's name or a port. */
function named(items: readonly Item[], words: string): Position | undefined {
  const told = words.match(/\/[\w./-]+|\b\d{2,5}\b/g) ?? [];
  return items.find(({ text }) =>
    told.some((word) => text.split(/[:\s]/).includes(word.replace(/[.]$/, ''))),
  )?.position;
}

/** The name that the files give a service, of its full one. */
export const shortName = (stack: string, service: string): string =>
  service.startsWith(`${stack}_`) ? service.slice(stack.length + 1) : service;
