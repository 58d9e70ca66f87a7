/**
 * Whether what the engine says has the form that everything after it relies on: decided once, where
 * an answer comes in, so that no decision is made on a field that is missing or of another type.
 * What is not read is not looked at: engines of other versions say more, or less.
 */
import { DeployError } from '../errors.js';
import {
  TASK_STATES,
  type Json,
  type JsonObject,
  type Node,
  type Service,
  type Task,
} from '../model.js';
import { safeLine } from '../report/text.js';

/** An answer that no engine gives: the truth about the stack could not be read. */
export class Malformed extends DeployError {
  /** @param what is wrong, and of what: `service "shop_api": Spec.Name is missing` */
  constructor(what: string) {
    super(
      'docker-unavailable',
      'unreachable',
      `an answer of the Docker engine cannot be used: ${what}`,
      {
        hint: 'Something between this run and the engine changes its answers, or the engine is of a kind that is not known here. Compare: docker version, on the manager.',
      },
    );
    this.name = 'Malformed';
  }
}

type Form = 'text' | 'name' | 'state' | 'number' | 'count' | 'object' | 'texts' | 'objects';

interface Field {
  readonly path: readonly string[];
  readonly form: Form;
  /**
   * Whether it must be there: `inside`, where what it is a part of is. Else it may be absent; an
   * object or a list also null.
   */
  readonly needed: boolean | 'inside';
}

/** As engines call them; `allocated` is `pending` by its name of old (moby, api/types/swarm/task.go). */
const STATES: ReadonlySet<Json> = new Set([...TASK_STATES, 'allocated']);

/** `name` is a text that is not empty, `count` a whole number from 0 on, `texts` a map to texts. */
const IS: Readonly<Record<Form, (value: Json) => boolean>> = {
  text: (value) => typeof value === 'string',
  name: (value) => typeof value === 'string' && value !== '',
  state: (value) => STATES.has(value),
  number: (value) => typeof value === 'number' && Number.isFinite(value),
  count: (value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0,
  object: isObject,
  texts: (value) => isObject(value) && Object.values(value).every((one) => typeof one === 'string'),
  objects: (value) => Array.isArray(value) && (value as readonly Json[]).every(isObject),
};

/** As Go writes what is empty; a text or a number it never writes so. */
const MAY_BE_NULL: ReadonlySet<Form> = new Set(['object', 'texts', 'objects']);

const WORDS: Readonly<Record<Form, string>> = {
  text: 'a text',
  name: 'a text with something in it',
  state: 'a state of tasks',
  number: 'a number',
  count: 'a whole number',
  object: 'an object',
  texts: 'an object of texts',
  objects: 'a list of objects',
};

const must = (path: string, form: Form): Field => ({ path: path.split('.'), form, needed: true });
const mustInside = (path: string, form: Form): Field => ({
  ...must(path, form),
  needed: 'inside',
});
const may = (path: string, form: Form): Field => ({ path: path.split('.'), form, needed: false });

const SERVICE: readonly Field[] = [
  must('ID', 'name'),
  must('Version.Index', 'count'),
  must('Spec', 'object'),
  must('Spec.Name', 'name'),
  may('Spec.Labels', 'texts'),
  may('Spec.TaskTemplate', 'object'),
  may('Spec.Mode', 'object'),
  may('PreviousSpec', 'object'),
  may('UpdateStatus', 'object'),
  may('UpdateStatus.State', 'text'),
  may('UpdateStatus.Message', 'text'),
  may('UpdateStatus.StartedAt', 'text'),
  may('JobStatus', 'object'),
  mustInside('JobStatus.JobIteration', 'object'),
  may('JobStatus.JobIteration.Index', 'count'),
  may('ServiceStatus', 'object'),
  may('ServiceStatus.RunningTasks', 'count'),
  may('ServiceStatus.DesiredTasks', 'count'),
  may('ServiceStatus.CompletedTasks', 'count'),
];

const TASK: readonly Field[] = [
  must('ID', 'name'),
  must('CreatedAt', 'text'),
  may('UpdatedAt', 'text'),
  must('ServiceID', 'name'),
  may('Slot', 'count'),
  may('NodeID', 'text'),
  // One that is not known would have to be taken for one that is meant to run, or not to.
  must('DesiredState', 'state'),
  may('JobIteration', 'object'),
  may('JobIteration.Index', 'count'),
  must('Status', 'object'),
  must('Status.State', 'name'),
  may('Status.Timestamp', 'text'),
  may('Status.Message', 'text'),
  may('Status.Err', 'text'),
  may('Status.ContainerStatus', 'object'),
  may('Status.ContainerStatus.ExitCode', 'number'),
  may('Status.ContainerStatus.ContainerID', 'text'),
  may('Status.PortStatus', 'object'),
  may('Status.PortStatus.Ports', 'objects'),
];

const NODE: readonly Field[] = [
  must('ID', 'name'),
  must('Spec', 'object'),
  may('Spec.Role', 'text'),
  may('Spec.Availability', 'text'),
  may('Spec.Labels', 'texts'),
  may('Description', 'object'),
  may('Description.Hostname', 'text'),
  may('Description.Platform', 'object'),
  may('Description.Platform.Architecture', 'text'),
  may('Description.Platform.OS', 'text'),
  may('Description.Engine', 'object'),
  may('Description.Engine.EngineVersion', 'text'),
  may('Description.Engine.Labels', 'texts'),
  must('Status', 'object'),
  may('Status.State', 'text'),
  may('Status.Addr', 'text'),
];

/** Of a config or secret. */
const OBJECT: readonly Field[] = [
  must('ID', 'name'),
  may('Version.Index', 'count'),
  must('Spec', 'object'),
  must('Spec.Name', 'name'),
  may('Spec.Labels', 'texts'),
  may('Spec.Data', 'text'),
];

/** @throws Malformed */
export function serviceIn(item: Json): Service {
  return checked('service', item, SERVICE, ['Spec', 'Name']) as unknown as Service;
}

/** @throws Malformed */
export function taskIn(item: Json): Task {
  return checked('task', item, TASK, ['ID']) as unknown as Task;
}

/** What a task was made from; in lists nobody asks for it. @throws Malformed */
export function templateIn(item: Json): JsonObject {
  const { Spec } = checked('task', item, [...TASK, must('Spec', 'object')], ['ID']);
  return Spec as JsonObject;
}

/** @throws Malformed */
export function nodeIn(item: Json): Node {
  return checked('node', item, NODE, ['Description', 'Hostname']) as unknown as Node;
}

/** A config or a secret. @throws Malformed */
export function objectIn(kind: 'config' | 'secret', item: Json): JsonObject {
  return checked(kind, item, OBJECT, ['Spec', 'Name']);
}

/**
 * The items of a list; Go writes null for an empty one.
 * @param what was asked for, as `GET /networks`
 * @throws Malformed where it is another value, or one of the items is no object
 */
export function listIn(what: string, answer: Json): readonly JsonObject[] {
  if (answer === null) return [];
  if (!Array.isArray(answer)) throw new Malformed(`${what} gave ${kindOf(answer)} for a list`);
  const items = answer as readonly Json[];
  const wrong = items.find((item) => !isObject(item));
  if (wrong !== undefined) throw new Malformed(`${what} gave a list with ${kindOf(wrong)} in it`);
  return items as readonly JsonObject[];
}

/**
 * A list in which everything has an id of its own, or of such ids.
 * @throws Malformed where one is there twice: which of both is true?
 */
export function distinct<Item extends string | { readonly ID: string }>(
  what: string,
  items: readonly Item[],
): readonly Item[] {
  const ids = new Set<string>();
  for (const item of items) {
    const id = typeof item === 'string' ? item : item.ID;
    if (ids.has(id)) throw new Malformed(`${what} lists "${safeLine(id).slice(0, 80)}" twice`);
    ids.add(id);
  }
  return items;
}

/** An answer that is one object. @param what as for `listIn` @throws Malformed */
export function objectAnswer(what: string, answer: Json): JsonObject {
  if (!isObject(answer)) throw new Malformed(`${what} gave ${kindOf(answer)} for an object`);
  return answer;
}

function checked(
  kind: string,
  item: Json,
  fields: readonly Field[],
  nameAt: readonly string[],
): JsonObject {
  if (!isObject(item)) throw new Malformed(`a ${kind} is ${kindOf(item)}`);
  for (const { path, form, needed } of fields) {
    const value = valueAt(item, path);
    const absent = value === undefined || (value === null && MAY_BE_NULL.has(form));
    if (absent && !needed) continue;
    if (absent && needed === 'inside' && !isObject(valueAt(item, path.slice(0, -1)))) continue;
    if (value !== undefined && IS[form](value)) continue;
    const given = value === undefined ? 'missing' : `${kindOf(value)}, not ${WORDS[form]}`;
    throw new Malformed(`${titled(kind, item, nameAt)}: ${path.join('.')} is ${given}`);
  }
  return item;
}

/** Undefined where the path ends early, or leads through something that is no object. */
function valueAt(item: JsonObject, path: readonly string[]): Json | undefined {
  let here: Json | undefined = item;
  for (const key of path) {
    if (!isObject(here)) return undefined;
    here = Object.hasOwn(here, key) ? here[key] : undefined;
  }
  return here;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `service "shop_api"`, by its id where it has no name. */
function titled(kind: string, item: JsonObject, nameAt: readonly string[]): string {
  const name = [valueAt(item, nameAt), item['ID']].find(
    (one) => typeof one === 'string' && one !== '',
  );
  return typeof name === 'string' ? `${kind} "${safeLine(name).slice(0, 80)}"` : `a ${kind}`;
}

function kindOf(value: Json): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return value === '' ? 'an empty text' : 'a text';
  if (typeof value === 'boolean') return String(value);
  return typeof value === 'object' ? 'an object' : `the number ${value}`;
}
