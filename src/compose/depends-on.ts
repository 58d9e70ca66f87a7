/**
 * The `depends_on` of services, as Docker Compose reads and merges it. Docker's own client takes a list
 * alone, and does nothing with it; what is asked for here is kept by deploying in waves.
 */
import { isMap, isSeq, type Node } from 'yaml';
import type { Position, Problem } from '../errors.js';
import type { Document } from './document.js';
import { problemAt } from './source.js';
import { isNull, isTrue, type Entry } from './tree.js';

const CONDITIONS = [
  'service_started',
  'service_healthy',
  'service_completed_successfully',
] as const;
export type Condition = (typeof CONDITIONS)[number];

export interface Dependency {
  readonly condition: Condition;
  /** Whether a service that is left out is an error. */
  readonly required: boolean;
  readonly position: Position;
}

/** A service as far as the order of services goes. */
export interface Dependent {
  readonly name: string;
  readonly dependencies: ReadonlyMap<string, Dependency>;
  /** How a task of it can end well, so that it is not started again; undefined where it cannot. */
  readonly ends: 'job' | 'one-shot' | undefined;
  readonly healthcheck: 'none' | 'declared' | 'disabled';
  /** It has `replicas: 0`: it is well at once, with no task at all. */
  readonly isScaledToNothing?: boolean;
}

export interface Dependents {
  readonly services: ReadonlyMap<string, Dependent>;
  /** Whether any `depends_on` is a mapping, which Docker's client refuses. */
  readonly any: boolean;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** What several files say of a service adds up; of one dependency the last file wins. */
export function readDependsOn(
  documents: readonly Document[],
  views: ReadonlyMap<
    string,
    { readonly healthcheck: Dependent['healthcheck']; readonly replicas: number | undefined }
  >,
): Dependents {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const services = new Map<string, Dependent>();
  const deploys = new Map<string, Settings>();
  let any = false;
  for (const document of documents) {
    const { tree } = document;
    if (tree.problems.length > 0) continue;
    for (const service of tree.entries(tree.get(tree.root, 'services')).values()) {
      const entries = tree.entries(service.value);
      const deploy = entries.get('deploy')?.value;
      const mode = document.value(tree.get(deploy, 'mode'));
      const policy = tree.get(deploy, 'restart_policy');
      const condition = document.value(tree.get(policy, 'condition'));
      const restart = document.value(entries.get('restart')?.value ?? null);
      const settings = {
        ...deploys.get(service.name),
        ...(mode === undefined ? {} : { mode }),
        ...(isMap(policy) ? { hasPolicy: true } : {}),
        ...(condition === undefined ? {} : { condition }),
        ...(restart === undefined ? {} : { restart }),
      };
      deploys.set(service.name, settings);
      const entry = entries.get('depends_on');
      if (isMap(entry?.value)) any = true;
      const read = new Reader(document, service.name).read(entry);
      problems.push(...read.problems);
      warnings.push(...read.warnings);
      const { healthcheck = 'none', replicas } = views.get(service.name) ?? {};
      services.set(service.name, {
        name: service.name,
        dependencies: new Map([
          ...(services.get(service.name)?.dependencies ?? []),
          ...read.dependencies,
        ]),
        ends: endsBy(settings, healthcheck),
        healthcheck,
        isScaledToNothing: replicas === 0 && settings.mode?.startsWith('global') !== true,
      });
    }
  }
  return { services, any, problems, warnings };
}

/** What decides whether a service comes to an end. */
interface Settings {
  readonly mode?: string;
  /** Whether there is a `deploy.restart_policy`. */
  readonly hasPolicy?: boolean;
  /** Of it. */
  readonly condition?: string;
  readonly restart?: string;
}

/** As `kindOf` decides it from the spec that Docker makes of this. */
function endsBy(
  { mode = '', hasPolicy = false, condition = '', restart = '' }: Settings,
  healthcheck: Dependent['healthcheck'],
): Dependent['ends'] {
  if (mode === 'replicated-job' || mode === 'global-job') return 'job';
  const isOneShot = hasPolicy
    ? condition === 'none' || condition === 'on-failure'
    : // What Docker's client makes of `restart` where there is no policy (convertRestartPolicy).
      /^on-failure(?::|$)/.test(restart);
  return isOneShot && healthcheck !== 'declared' ? 'one-shot' : undefined;
}

/** Reads one `depends_on` of one file. */
class Reader {
  readonly #document: Document;
  readonly #service: string;
  readonly dependencies = new Map<string, Dependency>();
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];

  constructor(document: Document, service: string) {
    this.#document = document;
    this.#service = service;
  }

  read(entry: Entry | undefined): this {
    if (entry === undefined || isNull(entry.value)) return this;
    const { tree } = this.#document;
    if (isSeq(entry.value)) for (const item of tree.items(entry.value)) this.#item(item);
    else if (isMap(entry.value))
      for (const dependency of tree.entries(entry.value).values()) this.#mapping(dependency);
    else this.#problem(entry.key, '`depends_on` is a list of services, or a mapping of them');
    return this;
  }

  #item(item: Node): void {
    const name = this.#document.value(item);
    if (name === undefined) this.#problem(item, '`depends_on` is a list of names of services');
    else this.#add(name, item, {});
  }

  #mapping({ name, key, value }: Entry): void {
    if (!isMap(value)) {
      this.#problem(key, `depends_on ${name} is a mapping with a \`condition\``, HINT);
      return;
    }
    const document = this.#document;
    const entries = document.tree.entries(value);
    for (const each of entries.values())
      if (!/^(?:condition|required|restart|x-.*)$/.test(each.name))
        this.#problem(each.key, `depends_on ${name} has no key \`${each.name}\``, HINT);
    const condition = entries.get('condition');
    const written = document.value(condition?.value ?? null);
    const known = CONDITIONS.find((each) => each === written);
    if (known === undefined) {
      const what = written === undefined ? 'has no `condition`' : `has the condition ${written}`;
      this.#problem(condition?.key ?? key, `depends_on ${name} ${what}`, HINT);
      return;
    }
    const flag = (option: 'required' | 'restart', otherwise: boolean): boolean => {
      const given = entries.get(option);
      if (given === undefined) return otherwise;
      const text = document.value(given.value)?.toLowerCase() ?? '';
      if (!isTrue(text) && !['false', 'no', 'off', 'n'].includes(text))
        this.#problem(given.key, `depends_on ${name}: \`${option}\` is true or false`);
      return isTrue(text);
    };
    const required = flag('required', true);
    if (flag('restart', false))
      this.#warn(
        entries.get('restart')?.key ?? key,
        `depends_on ${name}: \`restart: true\` has no equivalent in Swarm: an update of ${name} does not restart ${this.#service}`,
      );
    this.#add(name, condition?.key ?? key, { condition: known, required });
    if (!required && known !== 'service_started')
      this.#warn(
        entries.get('required')?.key ?? key,
        `depends_on ${name}: \`required: false\` only means that ${name} may be left out; where it is deployed, its failure fails the deploy`,
      );
  }

  #add(name: string, node: Node, more: Partial<Dependency>): void {
    this.dependencies.set(name, {
      condition: 'service_started',
      required: true,
      position: this.#document.position(node),
      ...more,
    });
  }

  #problem(node: Node, message: string, hint?: string): void {
    this.problems.push(this.#said(node, message, hint));
  }

  #warn(node: Node, message: string): void {
    this.warnings.push(this.#said(node, message));
  }

  #said(node: Node, message: string, hint?: string): Problem {
    return problemAt(
      this.#document.position(node),
      `service ${this.#service}: ${message}`,
      hint === undefined ? {} : { hint },
    );
  }
}

const HINT = `A condition is one of ${CONDITIONS.join(', ')}; beside it there may be \`required\` and \`restart\`.`;
