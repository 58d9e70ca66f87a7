/** What a deploy would change: the specs that the Docker CLI would write, compared with the live ones. */
import {
  imageOf,
  isJob,
  kindOf,
  referencesOf,
  sameJson,
  type Json,
  type JsonObject,
  type Service,
  type ServiceSpec,
} from '../model.js';
import { canonicalSpec, isObject, without, type NetworkNames } from './canonical.js';
import { ORDER, specFields, type Field } from './fields.js';
import type { Caught, CaughtObject, ObjectKind } from './stand-in.js';

/** One field of a spec; null for a value that is not there, or that must not be shown. */
export interface FieldChange {
  /** In the words of a stack file where it has one. */
  readonly field: string;
  readonly change: 'added' | 'changed' | 'removed';
  /** Values of environment variables are never told. */
  readonly redacted: boolean;
  readonly before: string | null;
  readonly after: string | null;
}

/**
 * Whose tasks Swarm would replace: `all` of them, or those only that are on a node that no longer fits
 * (a change of the placement alone; swarmkit, orchestrator/task.go).
 */
export type Restarts = 'none' | 'misplaced' | 'all';

export interface PlannedService {
  readonly name: string;
  /** `left`: not in the files, and not removed. */
  readonly change: 'created' | 'updated' | 'unchanged' | 'removed' | 'left';
  readonly restarts: Restarts;
  /** A job runs again with every deploy, changed or not: without a field that changes it is updated, too. */
  readonly job: boolean;
  readonly image: string;
  readonly previousImage: string;
  /** Of those that have a number: how many tasks are asked for. */
  readonly replicas: number | null;
  readonly previousReplicas: number | null;
  /** Of a service that is there already; a created one is all new. */
  readonly fields: readonly FieldChange[];
}

export interface PlannedObject {
  readonly kind: ObjectKind;
  readonly name: string;
  /** `rotated`: takes the place of another one, whose content is not the same. */
  readonly change: 'created' | 'rotated' | 'relabelled';
  /** The one whose place it takes; '' for others. */
  readonly from: string;
  readonly fields: readonly FieldChange[];
}

export interface Plan {
  readonly hasChanges: boolean;
  readonly services: readonly PlannedService[];
  readonly objects: readonly PlannedObject[];
}

export interface Surroundings {
  readonly stack: string;
  readonly networks: NetworkNames;
  readonly prune: boolean;
}

export function planOf(caught: Caught, { stack, networks, prune }: Surroundings): Plan {
  const written = caught.services.map(({ live, spec }) => planService(live, spec, networks));
  const names = new Set(written.map(({ name }) => name));
  const others = caught.live
    .filter(({ Spec }) => !names.has(Spec.Name))
    .map((service) => otherService(service, prune));
  const services = [...written, ...others].sort(byName);
  const objects = plannedObjects(caught, stack);
  return {
    hasChanges:
      objects.length > 0 ||
      services.some(({ change }) => change !== 'unchanged' && change !== 'left'),
    services,
    objects,
  };
}

const byName = (a: { readonly name: string }, b: { readonly name: string }): number =>
  a.name.localeCompare(b.name, 'en');

function planService(
  live: Service | undefined,
  spec: ServiceSpec,
  networks: NetworkNames,
): PlannedService {
  const base = {
    name: spec.Name,
    job: isJob(kindOf(spec)),
    image: imageOf(spec),
    previousImage: live === undefined ? '' : imageOf(live.Spec),
    replicas: replicasOf(spec),
    previousReplicas: live === undefined ? null : replicasOf(live.Spec),
  };
  if (live === undefined) return { ...base, change: 'created', restarts: 'none', fields: [] };
  const [was, is] = [canonicalSpec(live.Spec, networks), canonicalSpec(spec, networks)];
  if (sameJson(was, is))
    return base.job
      ? { ...base, change: 'updated', restarts: 'all', fields: [] }
      : { ...base, change: 'unchanged', restarts: 'none', fields: [] };
  return {
    ...base,
    change: 'updated',
    restarts: restartsOf(was, is),
    fields: fieldChanges(was, is),
  };
}

function otherService({ Spec }: Service, prune: boolean): PlannedService {
  return {
    name: Spec.Name,
    change: prune ? 'removed' : 'left',
    restarts: 'none',
    job: isJob(kindOf(Spec)),
    image: prune ? '' : imageOf(Spec),
    previousImage: imageOf(Spec),
    replicas: prune ? 0 : replicasOf(Spec),
    previousReplicas: replicasOf(Spec),
    fields: [],
  };
}

function replicasOf(spec: ServiceSpec): number | null {
  const kind = kindOf(spec);
  if (kind.kind === 'replicated') return kind.replicas;
  return kind.kind === 'replicated-job' ? kind.completions : null;
}

/** Labels of a service, its number of tasks and how it is updated are no part of what a task is. */
function restartsOf(was: JsonObject, is: JsonObject): Restarts {
  if (!sameJson(was['EndpointSpec'], is['EndpointSpec'])) return 'all';
  const [former, next] = [was['TaskTemplate'], is['TaskTemplate']];
  if (sameJson(former, next)) return 'none';
  return sameJson(withoutPlacement(former), withoutPlacement(next)) ? 'misplaced' : 'all';
}

const withoutPlacement = (template: Json | undefined): Json =>
  without(isObject(template) ? template : {}, 'Placement');

/** The label in which the CLI keeps the image as the file has it, without a digest. */
const IMAGE_LABEL = 'deploy.labels.com.docker.stack.image';

/** @returns at least one change, where the two are not the same */
export function fieldChanges(was: JsonObject, is: JsonObject): readonly FieldChange[] {
  const [before, after] = [grouped(specFields(was)), grouped(specFields(is))];
  const names = [...new Set([...before.keys(), ...after.keys()])];
  const differing = names.filter((name) => before.get(name)?.value !== after.get(name)?.value);
  return differing
    .filter((name) => {
      // The order of a list says something only where its items are the same.
      if (name.endsWith(ORDER)) {
        const list = `${name.slice(0, -ORDER.length)}.`;
        return !differing.some((other) => other.startsWith(list));
      }
      return name !== IMAGE_LABEL || !differing.includes('image');
    })
    .map((name) => changeOf(name, before.get(name), after.get(name)))
    .sort((a, b) => rank(a) - rank(b));
}

/** The image is what people look for. */
const rank = ({ field }: FieldChange): number => (field === 'image' ? 0 : 1);

/** Two fields of one name are one, so that neither hides the other. */
function grouped(fields: readonly Field[]): ReadonlyMap<string, Field> {
  const all = new Map<string, Field>();
  for (const field of fields) {
    const other = all.get(field.name);
    all.set(
      field.name,
      other === undefined
        ? field
        : {
            name: field.name,
            value: JSON.stringify([other.value, field.value]),
            shown:
              other.shown === undefined || field.shown === undefined
                ? undefined
                : `${other.shown}, ${field.shown}`,
            ...(other.concealed === true || field.concealed === true ? { concealed: true } : {}),
          },
    );
  }
  return all;
}

function changeOf(name: string, was: Field | undefined, is: Field | undefined): FieldChange {
  // Two objects of one name, one after the other: then all of the value has to be told.
  const alike = was?.shown !== undefined && was.shown === is?.shown;
  const untold = alike && (was.concealed === true || is.concealed === true);
  return {
    field: name === IMAGE_LABEL ? 'image, as the file has it' : name,
    change: was === undefined ? 'added' : is === undefined ? 'removed' : 'changed',
    redacted: untold || (is ?? was)?.shown === undefined,
    before: untold ? null : ((alike ? was.value : was?.shown) ?? null),
    after: untold ? null : ((alike ? is.value : is?.shown) ?? null),
  };
}

function plannedObjects(caught: Caught, stack: string): readonly PlannedObject[] {
  const replaced = replacements(caught, stack);
  return caught.objects
    .flatMap((object): readonly PlannedObject[] => {
      const { kind, name, live } = object;
      if (live !== undefined) {
        const fields = labelChanges(object, live);
        return fields.length === 0 ? [] : [{ kind, name, change: 'relabelled', from: '', fields }];
      }
      const from = replaced.get(`${kind} ${name}`) ?? '';
      return [{ kind, name, change: from === '' ? 'created' : 'rotated', from, fields: [] }];
    })
    .sort((a, b) => a.kind.localeCompare(b.kind, 'en') || byName(a, b));
}

/** Labels are all that can change of a config or secret. */
function labelChanges({ spec }: CaughtObject, live: JsonObject): readonly FieldChange[] {
  const labels = (of: JsonObject): JsonObject => {
    const { Labels } = of;
    return isObject(Labels) ? Labels : {};
  };
  return fieldChanges({ Labels: labels(live) }, { Labels: labels(spec) }).map((change) => ({
    ...change,
    field: change.field.replace(/^deploy\./, ''),
  }));
}

/** The names of configs and secrets that live services use, by the new one that takes their place. */
function replacements(caught: Caught, stack: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const { live, spec } of caught.services)
    for (const kind of ['config', 'secret'] as const) {
      const [was, is] = [live === undefined ? [] : namesOf(live.Spec, kind), namesOf(spec, kind)];
      for (const name of is) {
        const key = keyOf(name, stack);
        const former = was.find((each) => !is.includes(each) && keyOf(each, stack) === key);
        if (former !== undefined) found.set(`${kind} ${name}`, former);
      }
    }
  return found;
}

/** `app` of `shop_app`, and of `shop_app-0123456789ab`, whose end is made of the content. */
const keyOf = (name: string, stack: string): string =>
  name.replace(new RegExp(`^${stack}_`), '').replace(/-[0-9a-f]{12}$/, '');

function namesOf(spec: ServiceSpec, kind: 'config' | 'secret'): readonly string[] {
  return referencesOf(spec).flatMap((each) => (each.kind === kind ? [each.name ?? ''] : []));
}
