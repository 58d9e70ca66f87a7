/**
 * What the swarm keeps for configs and secrets that are named by their content: the key that the names
 * of secrets are made with, and the objects themselves for as long as something needs them.
 */
import { isRotated } from '../compose/rotate.js';
import {
  LEDGER_LABEL,
  STACK_LABEL,
  type Engine,
  type StackObject,
  type SwarmConfig,
} from '../docker/engine.js';
import { DeployError } from '../errors.js';
import { referencesOf, type ServiceSpec } from '../model.js';
import { readHistory } from './history.js';
import { ledgerName } from './names.js';

const KEY = 'rotation-key';
const LEAST_BYTES = 16;

/**
 * The key of a stack's secrets, or undefined where it has none yet.
 * @throws DeployError `internal` where something else has its name
 */
export async function readRotationKey(engine: Engine, stack: string): Promise<Buffer | undefined> {
  const name = ledgerName(stack, KEY);
  const config = await engine.config(name);
  if (config?.name !== name) return undefined;
  if (isKey(config, stack)) return config.data;
  throw new DeployError('internal', 'invalid', `something else has the name of config ${name}`, {
    hint: `Remove it if nothing needs it: docker config rm ${name}`,
  });
}

const isKey = ({ labels, data }: SwarmConfig, stack: string): boolean =>
  labels[LEDGER_LABEL] === KEY && labels[STACK_LABEL] === stack && data.length >= LEAST_BYTES;

/**
 * The key of a stack's secrets, made where it has none. Of several that make one at once, all get the
 * one that the swarm has taken.
 * @param fresh random; kept in the swarm and shown nowhere
 * @throws DeployError `internal` where something else has its name
 */
export async function rotationKey(engine: Engine, stack: string, fresh: Buffer): Promise<Buffer> {
  const known = await readRotationKey(engine, stack);
  if (known !== undefined) return known;
  const labels = { [STACK_LABEL]: stack, [LEDGER_LABEL]: KEY };
  const id = await engine.createConfig({ name: ledgerName(stack, KEY), labels, data: fresh });
  if (id !== undefined) return fresh;
  const taken = await readRotationKey(engine, stack);
  if (taken !== undefined) return taken;
  throw new DeployError('internal', 'invalid', `the key of ${stack} went as soon as it was made`, {
    hint: 'Was the stack removed meanwhile? Run this again.',
  });
}

/**
 * Removes those that nothing needs any more: no live spec, no spec that Swarm itself would go back to,
 * and no revision that is kept. What a service uses, whosever it is, the swarm refuses to remove.
 * @param candidates of this stack; only those named by their content are looked at
 * @param names of those that the files have now, used by a service or not
 * @returns what was removed
 */
export async function removeUnneeded(
  engine: Engine,
  stack: string,
  candidates: readonly StackObject[],
  names: ReadonlySet<string>,
): Promise<readonly StackObject[]> {
  const old = candidates.filter((object) => isRotated(object) && !names.has(object.name));
  if (old.length === 0) return [];
  const { items } = await engine.serviceList(stack);
  const needed = new Set<string>();
  const need = (spec: ServiceSpec | undefined): void => {
    if (spec !== undefined) for (const { id } of referencesOf(spec)) needed.add(id);
  };
  for (const { Spec, PreviousSpec } of items) [Spec, PreviousSpec].forEach(need);
  const left = (): readonly StackObject[] => old.filter(({ id }) => !needed.has(id));
  if (left().length === 0) return [];
  const { revisions, contentOf } = await readHistory(engine, stack);
  for (const { number } of revisions) {
    const content = contentOf(number);
    // What is not whole cannot be brought back, and one that was never sealed neither.
    if (content === 'incomplete' || content.sealed === undefined) continue;
    for (const { spec } of [...content.sealed.services, ...content.sealed.others]) need(spec);
  }
  const removed: StackObject[] = [];
  for (const object of left()) if (await engine.removeObject(object)) removed.push(object);
  return removed;
}
