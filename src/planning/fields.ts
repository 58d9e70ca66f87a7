/**
 * A canonical spec as fields, by the words of a stack file where it has some: what a person compares.
 * Values of environment variables, and of options that hold a credential, are compared and never shown.
 */
import { createHash } from 'node:crypto';
import { formatDuration } from '../duration.js';
import { at, type Json, type JsonObject } from '../model.js';
import { isObject, listOf, without } from './canonical.js';
import { conceal, CREDENTIAL } from './conceal.js';

export interface Field {
  /** In the words of a stack file: `deploy.replicas`; else where it is in the spec. */
  readonly name: string;
  /** What is compared; of a value that must not be shown a hash. */
  readonly value: string;
  /** What is shown; undefined where the value must not be. */
  readonly shown: string | undefined;
  /** Some of what is shown has a credential left out. */
  readonly concealed?: true;
}

type Shape = (name: string, value: Json) => readonly Field[];

const text = (value: Json): string => (typeof value === 'string' ? value : stable(value));

/** JSON with its keys in order. */
function stable(value: Json): string {
  if (Array.isArray(value)) return `[${(value as readonly Json[]).map(stable).join(', ')}]`;
  if (!isObject(value)) return typeof value === 'bigint' ? value.toString() : JSON.stringify(value);
  const items = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}: ${stable(value[key] ?? null)}`);
  return `{${items.join(', ')}}`;
}

const plain: Shape = (name, value) => {
  const shown = text(conceal(value));
  if (shown === text(value)) return [{ name, value: stable(value), shown }];
  return [{ name, value: hashOf(stable(value)), shown, concealed: true }];
};

const as =
  (show: (value: Json) => string): Shape =>
  (name, value) => [{ name, value: stable(value), shown: show(value) }];

/** Nanoseconds as `1m30s`; what is no whole millisecond as it is. */
const duration = as((value) => {
  const ms = Number(value) / 1e6;
  return Number.isInteger(ms) && ms >= 0 ? formatDuration(ms) : `${text(value)}ns`;
});

/** Bytes as `512M`, in units of 1024 as in a stack file. */
const bytes = as((value) => {
  const size = BigInt(typeof value === 'bigint' ? value : Number(value));
  const units = ['', 'K', 'M', 'G', 'T'];
  let unit = 0;
  let rest = size;
  while (rest !== 0n && rest % 1024n === 0n && unit < units.length - 1) {
    rest /= 1024n;
    unit += 1;
  }
  return `${rest}${units[unit] ?? ''}`;
});

const cpus = as((value) => String(Number(value) / 1e9));
const octal = (value: Json): string => `0${Number(value).toString(8)}`;

/** What keeps a value to itself, and still tells one from another. */
function hidden(name: string, value: string): Field {
  return { name, value: hashOf(value), shown: undefined };
}

const hashOf = (value: string): string => createHash('sha256').update(value).digest('base64');

/** A map of texts, a field for each key. */
const map: Shape = (name, value) =>
  Object.entries(isObject(value) ? value : {}).flatMap(([key, item]) => {
    const field = `${name}.${key}`;
    if (CREDENTIAL.test(key)) return [hidden(field, stable(item ?? null))];
    return fieldsOf(field, item ?? null);
  });

/**
 * A list whose items have names of their own: a field for each, and one for the order, since that counts
 * too (Swarm compares lists item by item).
 */
const keyed =
  (keyOf: (item: Json) => string, each: (name: string, item: Json) => readonly Field[]): Shape =>
  (name, value) => {
    const times = new Map<string, number>();
    const keys: string[] = [];
    const fields = listOf(value).flatMap((item) => {
      const key = keyOf(item);
      const time = (times.get(key) ?? 0) + 1;
      times.set(key, time);
      const unique = time === 1 ? key : `${key} (${time})`;
      keys.push(unique);
      return each(`${name}.${unique}`, item);
    });
    return [...fields, { name: `${name}${ORDER}`, value: stable(keys), shown: keys.join(', ') }];
  };

/** Ends the name of a field that is the order of a list. */
export const ORDER = ', in order';

const environment = keyed(
  (item) => text(item).split('=', 1)[0] ?? '',
  (name, item) => [hidden(name, text(item))],
);

const string = (value: Json | undefined): string => (value === undefined ? '' : text(value));

const attachment = (kind: 'Config' | 'Secret'): Shape =>
  keyed(
    (item) => string(at(item, 'File', 'Name')) || string(at(item, `${kind}Name`)),
    (name, item) => {
      const [id, source] = [at(item, `${kind}ID`), at(item, `${kind}Name`)];
      const file = at(item, 'File');
      return [
        // The same name may stand for another object by now: its id says which.
        { name, value: stable([source ?? null, id ?? null]), shown: string(source) },
        ...optional(`${name}.uid`, at(file, 'UID')),
        ...optional(`${name}.gid`, at(file, 'GID')),
        ...optional(`${name}.mode`, at(file, 'Mode'), as(octal)),
        ...inside(name, {
          ...without(isObject(file) ? file : {}, 'Name', 'UID', 'GID', 'Mode'),
          ...without(item as JsonObject, 'File', `${kind}ID`, `${kind}Name`),
        }),
      ];
    },
  );

const mounts = keyed(
  (item) => string(at(item, 'Target')),
  (name, item) => {
    const { Type: type, Source: source, VolumeOptions: volume = {}, ...rest } = item as JsonObject;
    return [
      {
        name,
        value: stable([type ?? null, source ?? null]),
        shown: `${string(type)} ${string(source)}`.trim(),
      },
      ...inside(name, { ...without(rest, 'Target'), volume }),
    ];
  },
);

const ports = keyed(
  (item) =>
    `${string(at(item, 'PublishedPort')) || 'any'}:${string(at(item, 'TargetPort'))}/${string(at(item, 'Protocol'))}`,
  (name, item) => plain(name, at(item, 'PublishMode') ?? 'ingress'),
);

const networks = keyed(
  (item) => string(at(item, 'Target')),
  (name, item) => {
    const { Aliases: aliases, ...rest } = item as JsonObject;
    return [
      {
        name,
        value: stable(aliases ?? null),
        shown:
          aliases === undefined ? 'attached' : `aliases ${listOf(aliases).map(text).join(', ')}`,
      },
      ...inside(name, without(rest, 'Target')),
    ];
  },
);

/** Names of the stack file and how the values are shown, by where they are in the spec. */
const WORDS: Readonly<Record<string, readonly [string, Shape]>> = {
  Labels: ['deploy.labels', map],
  'Mode.Name': ['deploy.mode', plain],
  'Mode.Replicas': ['deploy.replicas', plain],
  'Mode.MaxConcurrent': ['deploy.replicas at a time', plain],
  'Mode.TotalCompletions': ['deploy.replicas', plain],
  'EndpointSpec.Mode': ['deploy.endpoint_mode', plain],
  'EndpointSpec.Ports': ['ports', ports],
  'TaskTemplate.Networks': ['networks', networks],
  'TaskTemplate.ForceUpdate': ['force update', plain],
  'TaskTemplate.LogDriver.Name': ['logging.driver', plain],
  'TaskTemplate.LogDriver.Options': ['logging.options', map],
  'TaskTemplate.Placement.Constraints': ['deploy.placement.constraints', plain],
  'TaskTemplate.Placement.Preferences': ['deploy.placement.preferences', plain],
  'TaskTemplate.Placement.MaxReplicas': ['deploy.placement.max_replicas_per_node', plain],
  'TaskTemplate.Placement.Platforms': ["the image's platforms", plain],
  ...container({
    Image: ['image', plain],
    Labels: ['labels', map],
    Command: ['entrypoint', plain],
    Args: ['command', plain],
    Hostname: ['hostname', plain],
    Env: ['environment', environment],
    Dir: ['working_dir', plain],
    User: ['user', plain],
    Groups: ['group_add', plain],
    StopSignal: ['stop_signal', plain],
    StopGracePeriod: ['stop_grace_period', duration],
    TTY: ['tty', plain],
    OpenStdin: ['stdin_open', plain],
    ReadOnly: ['read_only', plain],
    Mounts: ['volumes', mounts],
    'Healthcheck.Test': ['healthcheck.test', plain],
    'Healthcheck.Interval': ['healthcheck.interval', duration],
    'Healthcheck.Timeout': ['healthcheck.timeout', duration],
    'Healthcheck.Retries': ['healthcheck.retries', plain],
    'Healthcheck.StartPeriod': ['healthcheck.start_period', duration],
    'Healthcheck.StartInterval': ['healthcheck.start_interval', duration],
    Hosts: ['extra_hosts', plain],
    'DNSConfig.Nameservers': ['dns', plain],
    'DNSConfig.Search': ['dns_search', plain],
    'DNSConfig.Options': ['dns_opt', plain],
    Secrets: ['secrets', attachment('Secret')],
    Configs: ['configs', attachment('Config')],
    Isolation: ['isolation', plain],
    Init: ['init', plain],
    Sysctls: ['sysctls', map],
    CapabilityAdd: ['cap_add', plain],
    CapabilityDrop: ['cap_drop', plain],
    Ulimits: ['ulimits', plain],
    'Privileges.CredentialSpec': ['credential_spec', plain],
  }),
  ...resources('Limits', 'limits'),
  ...resources('Reservations', 'reservations'),
  'TaskTemplate.RestartPolicy.Condition': ['deploy.restart_policy.condition', plain],
  'TaskTemplate.RestartPolicy.Delay': ['deploy.restart_policy.delay', duration],
  'TaskTemplate.RestartPolicy.MaxAttempts': ['deploy.restart_policy.max_attempts', plain],
  'TaskTemplate.RestartPolicy.Window': ['deploy.restart_policy.window', duration],
  ...update('UpdateConfig', 'update_config'),
  ...update('RollbackConfig', 'rollback_config'),
};

type Words = Readonly<Record<string, readonly [string, Shape]>>;

function container(words: Words): Words {
  return under('TaskTemplate.ContainerSpec', '', words);
}

function resources(kind: string, name: string): Words {
  return under(`TaskTemplate.Resources.${kind}`, `deploy.resources.${name}.`, {
    NanoCPUs: ['cpus', cpus],
    MemoryBytes: ['memory', bytes],
    Pids: ['pids', plain],
    GenericResources: ['generic_resources', plain],
  });
}

function update(kind: string, name: string): Words {
  return under(kind, `deploy.${name}.`, {
    Parallelism: ['parallelism', plain],
    Delay: ['delay', duration],
    FailureAction: ['failure_action', plain],
    Monitor: ['monitor', duration],
    MaxFailureRatio: ['max_failure_ratio', plain],
    Order: ['order', plain],
  });
}

function under(path: string, prefix: string, words: Words): Words {
  return Object.fromEntries(
    Object.entries(words).map(([key, [name, shape]]) => [
      `${path}.${key}`,
      [`${prefix}${name}`, shape] as const,
    ]),
  );
}

const optional = (name: string, value: Json | undefined, shape: Shape = plain): readonly Field[] =>
  value === undefined || value === null ? [] : shape(name, value);

const inside = (name: string, object: JsonObject): readonly Field[] =>
  Object.entries(object).flatMap(([key, item]) => fieldsOf(`${name}.${key}`, item ?? null));

/** What has no words of its own, by where it is; a credential is hidden by the name of its key. */
function fieldsOf(name: string, value: Json): readonly Field[] {
  if (isObject(value) && Object.keys(value).length > 0)
    return Object.entries(value).flatMap(([key, item]) =>
      CREDENTIAL.test(key) && !isObject(item)
        ? [hidden(`${name}.${key}`, stable(item ?? null))]
        : fieldsOf(`${name}.${key}`, item ?? null),
    );
  return plain(name, value);
}

/** @param spec in its canonical form */
export function specFields(spec: JsonObject, path = ''): readonly Field[] {
  return Object.entries(spec).flatMap(([key, value]) => {
    const place = path === '' ? key : `${path}.${key}`;
    const known = WORDS[place];
    if (known !== undefined) return known[1](known[0], value ?? null);
    return isObject(value) && Object.keys(value).length > 0
      ? specFields(value, place)
      : plain(place, value ?? null);
  });
}
