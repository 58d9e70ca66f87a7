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
  const cycle = cycleIn(services);
  if (cycle !== undefined) problems.push(cycle);
  const all = { services: [...services.keys()], needs: [] };
  return { waves: problems.length > 0 ? [all] : wavesOf(services), problems, warnings };
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
        : `Give ${on} \`deploy: {mode: replicated-job}\` (Docker 23 and newer), or \`deploy: {restart_policy: {condition: none}}\`; Swarm ignores \`restart:\`.`,
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

/** A cycle is one through any kind of dependency, as in Compose. */
function cycleIn(services: ReadonlyMap<string, Dependent>): Problem | undefined {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (name: string): Problem | undefined => {
    if (done.has(name)) return undefined;
    path.push(name);
    for (const [on, { position }] of services.get(name)?.dependencies ?? []) {
      const at = path.indexOf(on);
      if (at >= 0)
        return problemAt(
          position,
          `dependency cycle detected: ${[...path.slice(at), on].join(' -> ')}`,
          { hint: 'No order of these services can be right. Leave one of the dependencies out.' },
        );
      const found = visit(on);
      if (found !== undefined) return found;
    }
    path.pop();
    done.add(name);
    return undefined;
  };
  for (const name of services.keys()) {
    const found = visit(name);
    if (found !== undefined) return found;
  }
  return undefined;
}

const isOrdering = ({ condition }: Dependency): boolean => condition !== 'service_started';

/** Without cycles. */
function wavesOf(services: ReadonlyMap<string, Dependent>): readonly Wave[] {
  const levels = new Map<string, number>();
  const needsOf = ({ dependencies }: Dependent): readonly (readonly [string, Dependency])[] =>
    [...dependencies].filter(([on, each]) => isOrdering(each) && services.has(on));
  const levelOf = (service: Dependent): number => {
    const known = levels.get(service.name);
    if (known !== undefined) return known;
    const before = needsOf(service).flatMap(([on]) => services.get(on) ?? []);
    const level = Math.max(0, ...before.map((each) => levelOf(each) + 1));
    levels.set(service.name, level);
    return level;
  };
  const waves: { services: string[]; needs: Map<string, Need> }[] = [];
  for (const service of services.values()) {
    const level = levelOf(service);
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
