/**
 * One form for the spec that the Docker CLI sends and for the one that the engine keeps of it. The engine
 * fills in defaults and ids, and leaves out what is empty; where two specs have the same canonical form,
 * writing one over the other changes nothing (proved on engines 20.10 and 28.5 for every file of the
 * corpus, see __tests__/swarm/plan-corpus.test.ts).
 */
import { at, type Json, type JsonObject, type ServiceSpec } from '../model.js';

/** Names of networks by their ids, as the CLI sends names and the engine keeps ids. */
export type NetworkNames = ReadonlyMap<string, string>;

export function canonicalSpec(spec: ServiceSpec, networks: NetworkNames): JsonObject {
  const task = objectAt(spec, 'TaskTemplate');
  const { Runtime, ForceUpdate, ...template } = task;
  // The older place for networks (API 1.24) holds a copy of the other or nothing.
  const { Networks: former, Mode, EndpointSpec, UpdateConfig, RollbackConfig, ...rest } = spec;
  const attached = listOf(task['Networks']).length > 0 ? task['Networks'] : former;
  return tidy({
    ...rest,
    Mode: canonicalMode(Mode),
    EndpointSpec: canonicalEndpoint(EndpointSpec),
    UpdateConfig: canonicalUpdate(UpdateConfig),
    RollbackConfig: canonicalUpdate(RollbackConfig),
    TaskTemplate: {
      ...template,
      ...(Runtime === 'container' ? {} : { Runtime }),
      ...(isZero(ForceUpdate) ? {} : { ForceUpdate }),
      ContainerSpec: canonicalContainer(objectAt(task, 'ContainerSpec')),
      RestartPolicy: canonicalRestart(task['RestartPolicy']),
      Networks: listOf(attached).map((each) => ({
        ...(each as JsonObject),
        Target: networks.get(textOf(at(each, 'Target'))) ?? at(each, 'Target'),
      })),
    },
  }) as JsonObject;
}

function canonicalContainer(container: JsonObject): JsonObject {
  const { Isolation, Privileges, ...rest } = container;
  const { NoNewPrivileges, ...privileges } = objectAt({ Privileges }, 'Privileges');
  return {
    ...rest,
    Configs: canonicalAttachments('Config', container['Configs']),
    Secrets: canonicalAttachments('Secret', container['Secrets']),
    ...(Isolation === 'default' ? {} : { Isolation }),
    Privileges: { ...privileges, ...(NoNewPrivileges === false ? {} : { NoNewPrivileges }) },
    Mounts: listOf(container['Mounts']).map((each) => {
      const mount = each as JsonObject;
      const { Consistency, Type, ...others } = mount;
      return {
        ...others,
        Type: Type ?? 'bind',
        ...(Consistency === 'default' ? {} : { Consistency }),
      };
    }),
  };
}

/**
 * Docker's client sorts attachments by the name of the object alone, and one object that is attached at
 * two paths comes in any order: docker/cli `ParseSecrets` walks a map. No difference of the files.
 */
function canonicalAttachments(kind: 'Config' | 'Secret', value: Json | undefined): Json {
  const nameOf = (item: Json): string => textOf(at(item, `${kind}Name`));
  const fileOf = (item: Json): string => textOf(at(item, 'File', 'Name'));
  const items = listOf(value);
  const sorted = new Map<string, Json[]>();
  for (const item of items.toSorted((one, other) => (fileOf(one) < fileOf(other) ? -1 : 1)))
    sorted.set(nameOf(item), [...(sorted.get(nameOf(item)) ?? []), item]);
  return items.map((item) => sorted.get(nameOf(item))?.shift() ?? item);
}

/** The engine counts from zero attempts and restarts on any end, unless told. */
function canonicalRestart(policy: Json | undefined): Json | undefined {
  if (!isObject(policy)) return undefined;
  const { MaxAttempts, Condition, ...rest } = policy;
  return {
    ...rest,
    Condition: Condition ?? 'any',
    ...(isZero(MaxAttempts) ? {} : { MaxAttempts }),
  };
}

/** One without any setting is not the same as none: it has a parallelism of 0, all at once. */
function canonicalUpdate(config: Json | undefined): Json | undefined {
  if (!isObject(config)) return undefined;
  const { Delay, Monitor, MaxFailureRatio, ...rest } = config;
  return {
    Parallelism: 0,
    FailureAction: 'pause',
    Order: 'stop-first',
    ...withoutEmpty(rest),
    ...(isZero(Delay) ? {} : { Delay }),
    ...(isZero(Monitor) ? {} : { Monitor }),
    ...(isZero(MaxFailureRatio) ? {} : { MaxFailureRatio }),
  };
}

/** By its own name, as an empty object says what it is. */
function canonicalMode(mode: Json | undefined): JsonObject {
  if (isObject(at(mode, 'Global'))) return { Name: 'global' };
  if (isObject(at(mode, 'GlobalJob'))) return { Name: 'global-job' };
  if (isObject(at(mode, 'ReplicatedJob'))) {
    const MaxConcurrent = at(mode, 'ReplicatedJob', 'MaxConcurrent') ?? 1;
    const TotalCompletions = at(mode, 'ReplicatedJob', 'TotalCompletions') ?? MaxConcurrent;
    return { Name: 'replicated-job', MaxConcurrent, TotalCompletions };
  }
  return { Name: 'replicated', Replicas: at(mode, 'Replicated', 'Replicas') ?? 1 };
}

function canonicalEndpoint(endpoint: Json | undefined): JsonObject {
  const { Mode, Ports, ...rest } = isObject(endpoint) ? endpoint : {};
  return {
    ...rest,
    Mode: textOf(Mode) === '' ? 'vip' : Mode,
    Ports: listOf(Ports).map((each) => {
      const { PublishedPort, ...port } = each as JsonObject;
      return {
        Protocol: 'tcp',
        PublishMode: 'ingress',
        ...withoutEmpty(port),
        ...(isZero(PublishedPort) ? {} : { PublishedPort }),
      };
    }),
  };
}

/** Without what is empty, at any depth; items of lists stay, whatever they are. */
function tidy(value: Json | undefined): Json | undefined {
  if (Array.isArray(value))
    return (value as readonly Json[]).map((item) => (isObject(item) ? (tidy(item) ?? {}) : item));
  if (!isObject(value)) return value;
  return withoutEmpty(
    Object.fromEntries(Object.entries(value).map(([key, item]) => [key, tidy(item)])),
  );
}

function withoutEmpty(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([, item]) => !isEmpty(item)));
}

/** An object without some of its keys. */
export function without(object: JsonObject, ...keys: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));
}

const isEmpty = (value: Json | undefined): boolean =>
  value === undefined ||
  value === null ||
  value === '' ||
  (Array.isArray(value) && value.length === 0) ||
  (isObject(value) && Object.keys(value).length === 0);

const isZero = (value: Json | undefined): boolean =>
  value === undefined || value === null || Number(value) === 0;

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const listOf = (value: Json | undefined): readonly Json[] =>
  Array.isArray(value) ? (value as readonly Json[]) : [];

const textOf = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

function objectAt(value: JsonObject, key: string): JsonObject {
  const found = value[key];
  return isObject(found) ? found : {};
}
