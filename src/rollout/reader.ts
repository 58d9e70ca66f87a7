/**
 * Reads snapshots of a stack, and only what may have changed since the last one: a look at a stack in
 * which nothing moves is one request, however many tasks it has.
 */
import { EngineError, type Engine, type Listing, type TaskScope } from '../docker/engine.js';
import { ConnectionLost } from '../errors.js';
import { clearMemory, tidyMemory } from '../memory.js';
import {
  kindOf,
  sameSpec,
  type Node,
  type Service,
  type ServiceSpec,
  type Snapshot,
  type Task,
} from '../model.js';

/**
 * Whose tasks are to be read: those of every service (`services`), of whatever carries the stack's
 * label, services that were removed too (`stack`), or of some services by their ids, which makes a
 * partial snapshot.
 */
export type Wanted = 'services' | 'stack' | ReadonlySet<string>;

/**
 * Tasks are 2 to 3 kB each, and every slot keeps some of its past ones. Those of a large stack are
 * asked for in pieces: in one, the answer takes more memory than all the rest of a run.
 */
const SLOTS_AT_A_TIME = 120;
/** Each id takes its part of the request's one line. */
const SERVICES_AT_A_TIME = 200;

/** What a question for tasks gave, and the services as they were known when it was asked. */
interface Answer {
  readonly tasks: Listing<Task>;
  readonly upToDate: readonly string[];
  readonly services: Listing<Service> | undefined;
}

/** A service's tasks, and the ids of those of its live spec. */
interface Share {
  readonly tasks: Task[];
  readonly upToDate: string[];
}

/** Everything of a service but its spec that may change. */
const stateOf = ({ Version, UpdateStatus, JobStatus, ServiceStatus }: Service): string =>
  JSON.stringify([Version, UpdateStatus, JobStatus, ServiceStatus]);

export class SnapshotReader {
  readonly #stack: string;
  #engine: Engine | undefined;
  #services: Listing<Service> | undefined;
  #nodes: Listing<Node> | undefined;
  /** The last answers by the scope that was asked for, of looks at all tasks and at some. */
  readonly #answers = { whole: new Map<string, Answer>(), partial: new Map<string, Answer>() };
  #shares = new Map<string, Share>();
  /** Services to which something has happened since their tasks were read, or meanwhile. */
  readonly #moved = new Set<string>();
  /** All shares together, the same object until one changes. */
  #whole: Pick<Snapshot, 'tasks' | 'upToDate'> | undefined;
  /** The newest version of each service that was seen, whichever manager gave it. */
  readonly #newest = new Map<string, number>();

  constructor(stack: string) {
    this.#stack = stack;
  }

  /**
   * Tasks are read before services: a spec that changes in between is then seen as changed, instead
   * of being judged by the tasks of the one before. What has not changed since the last snapshot is
   * the same object in this one.
   * @param engine one that was not asked before (a new connection) is asked for everything
   * @param at milliseconds on the caller's clock
   */
  async read(engine: Engine, at: number, wanted: Wanted): Promise<Snapshot> {
    const partial = typeof wanted !== 'string' && engine === this.#engine;
    if (engine !== this.#engine) {
      this.#engine = undefined;
      this.#forgetAnswers();
      // How many slots there are decides how their tasks are asked for.
      this.#services = await engine.serviceList(this.#stack);
    }
    const ids = partial ? [...new Set([...wanted, ...this.#moved])] : this.#allServices();
    const kind = partial ? 'partial' : 'whole';
    if (!partial) clearMemory();
    await this.#readTasks(engine, wanted === 'stack' ? undefined : ids, kind);
    if (!partial || this.#nodesMatter(ids)) this.#nodes = await engine.nodes(this.#nodes);
    tidyMemory();
    const services = await this.#readServices(engine);
    tidyMemory();
    this.#engine = engine;
    return {
      at,
      services: services.items,
      ...this.#together(),
      nodes: this.#nodes?.items ?? [],
      ...(partial ? { partial } : {}),
      ...(engine.managerTime === undefined ? {} : { managerTime: engine.managerTime }),
    };
  }

  /** The services as they are now. What has changed of them has its tasks read at the next look. */
  async services(engine: Engine): Promise<readonly Service[]> {
    if (engine !== this.#engine)
      return this.#notOlder((await engine.serviceList(this.#stack)).items);
    return (await this.#readServices(engine)).items;
  }

  #forgetAnswers(): void {
    this.#answers.whole.clear();
    this.#answers.partial.clear();
  }

  #allServices(): readonly string[] {
    return this.#services?.items.map(({ ID }) => ID) ?? [];
  }

  /** @param ids of services; undefined for all that carries the stack's label */
  async #readTasks(
    engine: Engine,
    ids: readonly string[] | undefined,
    kind: 'whole' | 'partial',
  ): Promise<void> {
    const answers = this.#answers[kind];
    const former = new Map(answers);
    answers.clear();
    try {
      for (const scope of this.#scopes(ids)) {
        answers.set(...(await this.#ask(engine, scope, former)));
        tidyMemory();
      }
    } catch (error) {
      // Some of it is known anew, and what belonged together before does not any more.
      this.#forgetAnswers();
      // One of the services has gone meanwhile.
      if (!(error instanceof EngineError && error.status === 404)) throw error;
      await this.#ask(engine, { stack: this.#stack }, new Map());
    }
    for (const id of ids ?? this.#allServices()) this.#moved.delete(id);
  }

  #scopes(ids: readonly string[] | undefined): readonly TaskScope[] {
    const all = ids === undefined || ids.length === this.#services?.items.length;
    const slots = new Map(
      this.#services?.items.map(({ ID, ServiceStatus }) => [ID, ServiceStatus?.DesiredTasks ?? 0]),
    );
    const total = [...slots.values()].reduce((sum, count) => sum + count, 0);
    if (ids === undefined || (all && total <= SLOTS_AT_A_TIME)) return [{ stack: this.#stack }];
    const pieces: string[][] = [];
    let room = 0;
    for (const id of ids) {
      const piece = pieces.at(-1);
      room -= slots.get(id) ?? 0;
      if (piece === undefined || room < 0 || piece.length >= SERVICES_AT_A_TIME) {
        pieces.push([id]);
        room = SLOTS_AT_A_TIME - (slots.get(id) ?? 0);
      } else piece.push(id);
    }
    return pieces.map((services) => ({ services }));
  }

  async #ask(
    engine: Engine,
    scope: TaskScope,
    former: ReadonlyMap<string, Answer>,
  ): Promise<readonly [string, Answer]> {
    const key = JSON.stringify(scope);
    const known = former.get(key);
    const tasks = await engine.tasks(scope, known?.tasks);
    // What is up to date follows from tasks and services: the same ones, the same answer.
    const same = tasks === known?.tasks && known.services === this.#services;
    const upToDate = same ? known.upToDate : await engine.upToDate(scope);
    if (!same) this.#share(scope, tasks.items, new Set(upToDate));
    return [key, { tasks, upToDate, services: this.#services }];
  }

  #share(scope: TaskScope, tasks: readonly Task[], upToDate: ReadonlySet<string>): void {
    const shares = new Map<string, Share>();
    if ('services' in scope) for (const id of scope.services) shares.set(id, emptyShare());
    const former = new Map<string, Task>();
    for (const id of new Set(tasks.map(({ ServiceID }) => ServiceID)))
      for (const task of this.#shares.get(id)?.tasks ?? []) former.set(task.ID, task);
    for (const task of tasks) {
      const share = shares.get(task.ServiceID) ?? emptyShare();
      shares.set(task.ServiceID, share);
      const was = former.get(task.ID);
      share.tasks.push(was !== undefined && isStill(was, task) ? was : task);
      if (upToDate.has(task.ID)) share.upToDate.push(task.ID);
    }
    if ('stack' in scope) this.#shares = shares;
    else for (const [id, share] of shares) this.#shares.set(id, share);
    this.#whole = undefined;
  }

  #together(): Pick<Snapshot, 'tasks' | 'upToDate'> {
    const shares = [...this.#shares.values()];
    this.#whole ??= {
      tasks: shares.flatMap(({ tasks }) => tasks),
      upToDate: new Set(shares.flatMap(({ upToDate }) => upToDate)),
    };
    return this.#whole;
  }

  /** Which nodes there are decides over global services, and every node has to have its name. */
  #nodesMatter(ids: readonly string[]): boolean {
    const read = new Set(ids);
    const isGlobal = ({ ID, Spec }: Service): boolean =>
      read.has(ID) && kindOf(Spec).kind.startsWith('global');
    if (this.#services?.items.some(isGlobal) === true) return true;
    const known = new Set(this.#nodes?.items.map(({ ID }) => ID));
    return ids.some((id) =>
      this.#shares.get(id)?.tasks.some(({ NodeID = '' }) => NodeID !== '' && !known.has(NodeID)),
    );
  }

  async #readServices(engine: Engine): Promise<Listing<Service>> {
    const former = this.#services;
    const before = new Map(former?.items.map((service) => [service.ID, service]));
    const moved: string[] = [];
    this.#services = await engine.serviceList(this.#stack, former, (service) => {
      const was = before.get(service.ID);
      if (was !== undefined && stateOf(was) === stateOf(service)) return was;
      moved.push(service.ID);
      return was === undefined ? service : withSpecsOf(was, service);
    });
    for (const id of moved) this.#moved.add(id);
    this.#notOlder(this.#services.items);
    return this.#services;
  }

  /**
   * Managers pass reads on to their leader, but one that was just cut off from the others takes itself for
   * the leader still, and answers for up to some ten seconds with what was true before (swarmkit,
   * manager/state/raft).
   * @throws ConnectionLost where something was seen already that this manager does not know of
   */
  #notOlder(services: readonly Service[]): readonly Service[] {
    for (const { ID, Spec, Version } of services) {
      const newest = this.#newest.get(ID) ?? 0;
      if (Version.Index < newest)
        throw new ConnectionLost(
          `the manager knows ${Spec.Name} as it was before: version ${Version.Index}, where ${newest} was seen already`,
        );
      this.#newest.set(ID, Version.Index);
    }
    return services;
  }
}

/**
 * A service with the specs that were known already, where they are the same: the very same object is
 * the quickest to compare, and specs are the largest part of what is kept.
 */
function withSpecsOf(was: Service, service: Service): Service {
  const known = [was.Spec, ...(was.PreviousSpec === undefined ? [] : [was.PreviousSpec])];
  const keep = (spec: ServiceSpec): ServiceSpec =>
    known.find((other) => sameSpec(spec, other)) ?? spec;
  const { PreviousSpec } = service;
  return {
    ...service,
    Spec: was.Version.Index === service.Version.Index ? was.Spec : keep(service.Spec),
    ...(PreviousSpec === undefined ? {} : { PreviousSpec: keep(PreviousSpec) }),
  };
}

/** Most tasks of a look are past ones, which are kept once however often they are read. */
const isStill = (was: Task, task: Task): boolean =>
  was.DesiredState === task.DesiredState &&
  was.NodeID === task.NodeID &&
  was.Status.State === task.Status.State &&
  was.Status.Timestamp === task.Status.Timestamp &&
  was.Status.Err === task.Status.Err;

const emptyShare = (): Share => ({ tasks: [], upToDate: [] });
