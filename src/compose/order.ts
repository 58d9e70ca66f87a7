/**
 * From what services depend on to the waves that they are deployed in. Only conditions order: a service
 * is in the first wave that comes after all it has to wait for. Pure.
 */
import { InvalidInput, type Position, type Problem } from '../errors.js';
import type { Dependency, Dependent } from './depends-on.js';
import { problemAt } from './source.js';

/** Something that a wave waits for. */
export interface Need {
  readonly service: string;
  /** Not only running, but done: every task has ended with exit code 0. */
  readonly completed: boolean;
  /** Where that is said first. */
  readonly position: Position;
}

/** Services that are deployed at once. */
export interface Wave {
  readonly services: readonly string[];
  /** Services of earlier waves; none of the first. */
  readonly needs: readonly Need[];
}

export interface Order {
  /** One at least; more where there are conditions. */
  readonly waves: readonly Wave[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/**
 * @param services that are deployed
 * @param leftOut those that are not, with the profiles that would bring them
 */
export function orderOf(
  services: ReadonlyMap<string, Dependent>,
  leftOut: ReadonlyMap<string, readonly string[]> = new Map(),
): Order {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  for (const service of services.values())
    for (const [on, dependency] of service.dependencies) {
      const said = judged(service, on, dependency, services.get(on), leftOut.get(on));
      if (said?.kind === 'problem') problems.push(said.problem);
      if (said?.kind === 'warning') warnings.push(said.problem);
    }
  const order = sorted(services);
  const cycle = cycleIn(services, order);
  if (cycle !== undefined) problems.push(cycle);
  const all = { services: [...services.keys()], needs: [] };
  return { waves: problems.length > 0 ? [all] : wavesOf(services, order), problems, warnings };
}

interface Said {
  readonly kind: 'problem' | 'warning';
  readonly problem: Problem;
}

/** What is wrong with one dependency. */
function judged(
  { name }: Dependent,
  on: string,
  { condition, required, position }: Dependency,
  needed: Dependent | undefined,
  profiles: readonly string[] | undefined,
): Said | undefined {
  const say = (kind: Said['kind'], message: string, hint: string): Said => ({
    kind,
    problem: problemAt(position, `service ${name} ${message}`, { hint }),
  });
  if (needed === undefined) {
    // Compose forgives what a profile leaves out, never a name that is nowhere.
    if (profiles !== undefined && !required) return undefined;
    return say(
      'problem',
      `depends on undefined service ${on}`,
      profiles === undefined
        ? `There is no service ${on} in the files.`
        : `It has the profiles ${profiles.join(', ')}, none of which is asked for: name one in the input profiles, or write \`required: false\`.`,
    );
  }
  if (condition === 'service_completed_successfully' && needed.ends === undefined)
    return say(
      'problem',
      `waits for ${on} to complete, which never ends: Swarm starts it again`,
      needed.healthcheck === 'declared'
        ? `A service with a healthcheck is meant to keep running. Leave it out, and give ${on} \`deploy: {mode: replicated-job}\`, or \`deploy: {restart_policy: {condition: none}}\`.`
        : `Give ${on} \`deploy: {mode: replicated-job}\` (Docker 23 and newer), or \`deploy: {restart_policy: {condition: none}}\`; \`restart: "no"\` is lost on the way to Swarm.`,
    );
  if (condition !== 'service_started' && needed.isScaledToNothing === true)
    return say(
      'warning',
      `waits for ${on}, which has no replicas: there is nothing to wait for`,
      `Give ${on} a replica, or leave the dependency out.`,
    );
  if (condition === 'service_healthy' && needed.ends === 'job')
    return say(
      'warning',
      `waits for ${on} to be healthy, which is a job: it waits until that has completed`,
      'Write `condition: service_completed_successfully`.',
    );
  if (condition !== 'service_healthy' || needed.ends !== undefined) return undefined;
  if (needed.healthcheck === 'disabled')
    return say(
      'problem',
      `waits for ${on} to be healthy, which has its healthcheck disabled`,
      'Give it one, or wait for `service_started`.',
    );
  if (needed.healthcheck === 'none')
    return say(
      'warning',
      `waits for ${on} to be healthy, which has no healthcheck here: unless its image has one, it only has to run`,
      `Give ${on} a \`healthcheck\`.`,
    );
  return undefined;
}

/**
 * The services, each after all that it depends on, as far as there is no cycle; one through any kind of
 * dependency is an error, as in Compose.
 */
function sorted(services: ReadonlyMap<string, Dependent>): readonly Dependent[] {
  const missing = new Map<string, number>();
  const dependents = new Map<string, Dependent[]>();
  for (const service of services.values()) {
    const known = [...service.dependencies.keys()].filter((on) => services.has(on));
    missing.set(service.name, known.length);
    for (const on of known) {
      const list = dependents.get(on);
      if (list === undefined) dependents.set(on, [service]);
      else list.push(service);
    }
  }
  const found = [...services.values()].filter(({ name }) => missing.get(name) === 0);
  // Grows while it is gone through.
  for (const { name } of found)
    for (const dependent of dependents.get(name) ?? []) {
      const left = (missing.get(dependent.name) ?? 0) - 1;
      missing.set(dependent.name, left);
      if (left === 0) found.push(dependent);
    }
  return found;
}

/** Where not all services could be sorted: each of the others depends on another one of them. */
function cycleIn(
  services: ReadonlyMap<string, Dependent>,
  order: readonly Dependent[],
): Problem | undefined {
  const clear = new Set(order.map(({ name }) => name));
  const path = new Set<string>();
  let here = [...services.values()].find(({ name }) => !clear.has(name));
  while (here !== undefined) {
    const next = [...here.dependencies].find(([on]) => services.has(on) && !clear.has(on));
    path.add(here.name);
    const [on = '', dependency] = next ?? [];
    if (dependency !== undefined && path.has(on)) {
      const names = [...path];
      return problemAt(
        dependency.position,
        `dependency cycle detected: ${[...names.slice(names.indexOf(on)), on].join(' -> ')}`,
        { hint: 'No order of these services can be right. Leave one of the dependencies out.' },
      );
    }
    here = services.get(on);
  }
  return undefined;
}

const isOrdering = ({ condition }: Dependency): boolean => condition !== 'service_started';

/** @param order the same services, each after all that it depends on */
function wavesOf(
  services: ReadonlyMap<string, Dependent>,
  order: readonly Dependent[],
): readonly Wave[] {
  const needsOf = ({ dependencies }: Dependent): readonly (readonly [string, Dependency])[] =>
    [...dependencies].filter(([on, each]) => isOrdering(each) && services.has(on));
  const levels = new Map<string, number>();
  for (const service of order)
    levels.set(
      service.name,
      needsOf(service).reduce((level, [on]) => Math.max(level, (levels.get(on) ?? 0) + 1), 0),
    );
  const waves: { services: string[]; needs: Map<string, Need> }[] = [];
  for (const service of services.values()) {
    const level = levels.get(service.name) ?? 0;
    while (waves.length <= level) waves.push({ services: [], needs: new Map() });
    const wave = waves[level];
    wave?.services.push(service.name);
    for (const [on, { condition, position }] of needsOf(service)) {
      const known = wave?.needs.get(on);
      const completed = condition === 'service_completed_successfully';
      wave?.needs.set(on, {
        service: on,
        completed: completed || known?.completed === true,
        position: known?.position ?? position,
      });
    }
  }
  return waves.map(({ services: names, needs }) => ({
    services: names,
    needs: [...needs.values()],
  }));
}

/**
 * An order takes waiting.
 * @throws InvalidInput where nobody is to wait
 */
export function refuseWithoutWait(waves: readonly Wave[]): void {
  const [need] = waves.flatMap(({ needs }) => needs);
  if (need === undefined) return;
  throw new InvalidInput([
    problemAt(
      need.position,
      `something waits for ${need.service} here, and with wait: false nobody waits`,
      {
        reason: 'input-invalid',
        hint: 'Leave the input wait out, or the condition.',
      },
    ),
  ]);
}
