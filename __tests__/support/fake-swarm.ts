/**
 * A swarm of one process for tests of whole runs: the part of the Engine API that src/docker/engine.ts
 * speaks, a `docker` command that knows `--version` and `stack deploy`, a disk, and an
 * orchestrator that moves tasks on one state at a time whenever the clock does. What a task comes to
 * is decided by the name of its image: `crash`, `unhealthy`, `missing`, `stuck`, `slow`; all others
 * become healthy. Time is the test's own: nothing here waits.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { duplexPair, type Duplex } from 'node:stream';
import { parse as parseYaml } from 'yaml';
import { formatJson, parseJson } from '../../src/docker/engine.js';
import { ConnectionLost } from '../../src/errors.js';
import {
  at,
  kindOf,
  type Json,
  type JsonObject,
  type Node,
  type ServiceSpec,
  type Task,
  type TaskState,
  type UpdateStatus,
} from '../../src/model.js';
import type { Clock } from '../../src/rollout/watch.js';
import type { Connect } from '../../src/session.js';
import type { CommandResult, RunOptions, Transport } from '../../src/transport/transport.js';

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

export interface FakeService {
  readonly ID: string;
  Version: { Index: number };
  Spec: ServiceSpec;
  PreviousSpec?: ServiceSpec;
  UpdateStatus?: UpdateStatus;
}

type FakeTask = Writable<Omit<Task, 'Status'>> & {
  readonly Spec: JsonObject;
  Status: Writable<Task['Status']>;
  /** The task template it was made from, to tell whether it is up to date. */
  readonly template: string;
  steps: number;
};

interface FakeObject {
  readonly kind: 'network' | 'config' | 'secret';
  readonly id: string;
  readonly name: string;
  readonly stack: string;
  /** For networks: steps of the clock until the last task has left. */
  busy: number;
  version?: number;
  labels?: Record<string, string>;
  /** Of a config, in base64. */
  data?: string;
}

/** What a test does instead of, or before, the fake: undefined lets the fake go on. */
export type Intercept<Subject> = (subject: Subject) => 'refuse' | Answer | undefined;
export interface Answer {
  readonly status: number;
  readonly body: string;
}

export interface Command {
  readonly argv: readonly string[];
  readonly input: string;
}

export const ok = (stdout = ''): CommandResult => ({
  code: 0,
  stdout: Buffer.from(stdout),
  stderr: Buffer.alloc(0),
});
export const exits = (code: number, stderr: string): CommandResult => ({
  code,
  stdout: Buffer.alloc(0),
  stderr: Buffer.from(stderr),
});

const template = (spec: ServiceSpec): string => formatJson(at(spec, 'TaskTemplate') ?? null);
const imageOfTask = (task: FakeTask): string => {
  const image = at(task.Spec, 'ContainerSpec', 'Image');
  return typeof image === 'string' ? image : '';
};
const wanted = (task: FakeTask): boolean => task.DesiredState === 'running';

/** The order in which a task that becomes healthy gets there, a state for each step. */
const WAY: readonly TaskState[] = ['new', 'assigned', 'preparing', 'starting', 'running'];

export class FakeSwarm {
  readonly services = new Map<string, FakeService>();
  tasks: FakeTask[] = [];
  objects: FakeObject[] = [];
  nodes: Node[] = ['manager-1', 'worker-1', 'worker-2'].map((name, index) => ({
    ID: `node${index + 1}`,
    Spec: { Role: index === 0 ? 'manager' : 'worker', Availability: 'active' },
    Description: { Hostname: name },
    Status: { State: 'ready', Addr: `10.0.0.${index + 1}` },
  }));

  engineVersion = '28.5.1';
  cliVersion = '28.5.1';
  isManager = true;
  /** Whether answers are dated by the clock of the swarm, and not by that of the machine. */
  keepsTime = false;
  /** Credentials by registry; the key of Docker Hub is ''. */
  readonly logins = new Map<string, string>();
  /** What a registry gives in place of the password. */
  identityToken = '';

  /** Requests of the Engine API, without the version, in order: `GET /services?...`. */
  readonly requests: string[] = [];
  /** Everything that changed the swarm, whoever did it. */
  readonly writes: string[] = [];
  readonly commands: Command[] = [];
  /** Directories and files on the managers, by path. */
  readonly disk = new Map<string, Buffer | 'directory'>();
  /** The manager that answers the next connection. */
  answering = 'deploy@manager-1:22';
  connections = 0;
  streams = 0;

  /** Asked before every request of the API, with `GET /tasks` and the like. */
  onRequest: Intercept<string> = () => undefined;
  /** Asked before every command; a result takes its place, an error is thrown. */
  onCommand: (argv: readonly string[]) => CommandResult | Error | undefined = () => undefined;
  /** Asked before every new connection; an error refuses it. */
  onConnect: () => Error | undefined = () => undefined;
  /** After each service that `stack deploy` wrote; an error text ends the command there. */
  afterServiceWritten: (name: string) => string | Error | undefined = () => undefined;
  /** After each step of the clock. */
  onStep: (now: number) => void = () => undefined;

  /** The log stream of a task, by its id; `hangs`: after that it stays open. Undefined: there is none. */
  onLog: (task: string) => { readonly bytes: Buffer; readonly hangs?: true } | undefined = () =>
    undefined;

  #now = 1_000_000;
  #ids = 0;
  #index = 10;
  #lines = new Set<FakeTransport>();
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        answer(response, 500, { message: `fake swarm: ${String(error)}` });
      });
    });
    this.#server.keepAliveTimeout = 0;
  }

  readonly clock: Clock = {
    now: () => this.#now,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      this.advance(ms);
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    },
  };

  readonly connect: Connect = async (accept) => {
    const refusal = this.onConnect();
    if (refusal !== undefined) throw refusal;
    this.connections += 1;
    const transport = new FakeTransport(this);
    this.#lines.add(transport);
    try {
      await accept(transport);
    } catch (error) {
      await transport.close();
      throw error;
    }
    return transport;
  };

  /** Cuts every connection there is, as a dead network does. */
  cut(): void {
    for (const line of this.#lines) line.die();
    this.#lines = new Set();
  }

  /** A stream that speaks the Engine API, as `docker system dial-stdio` gives it. */
  dial(): Duplex {
    this.streams += 1;
    const [near, far] = duplexPair();
    for (const side of [near, far]) side.on('error', () => undefined);
    // The two ends of a pair die apart; those of a connection together.
    near.once('close', () => far.destroy());
    far.once('close', () => near.destroy(new Error('read ECONNRESET')));
    this.#server.emit('connection', Object.assign(far, { setTimeout: () => far }));
    return near;
  }

  byName(name: string): FakeService {
    const found = [...this.services.values()].find(({ Spec }) => Spec.Name === name);
    if (found === undefined) throw new Error(`no service ${name} in the fake swarm`);
    return found;
  }

  names(): readonly string[] {
    return [...this.services.values()].map(({ Spec }) => Spec.Name).sort();
  }

  /** Ids of the tasks that run now. */
  running(name: string): readonly string[] {
    const { ID } = this.byName(name);
    return this.tasks
      .filter((task) => task.ServiceID === ID && wanted(task) && task.Status.State === 'running')
      .map((task) => task.ID)
      .sort();
  }

  /** Files that are still on the disk. */
  left(): readonly string[] {
    return [...this.disk.keys()].sort();
  }

  advance(ms: number): void {
    this.#now += ms;
    this.step();
    this.onStep(this.#now);
  }

  /** Lets everything come to rest. */
  settle(steps = 30): void {
    for (let step = 0; step < steps; step += 1) this.step();
  }

  id(prefix: string): string {
    this.#ids += 1;
    return `${prefix}${String(this.#ids).padStart(6, '0')}`;
  }

  /** Writes a service as a client of the API does. */
  write(name: string, spec: ServiceSpec): void {
    const live = [...this.services.values()].find(({ Spec }) => Spec.Name === name);
    this.#index += 1;
    if (live === undefined) {
      const ID = this.id('service');
      this.writes.push(`create ${name}`);
      this.services.set(ID, { ID, Version: { Index: this.#index }, Spec: spec });
      return;
    }
    this.writes.push(`update ${name}`);
    this.#update(live, spec);
  }

  #update(live: FakeService, spec: ServiceSpec): void {
    const restarts = template(live.Spec) !== template(spec);
    live.PreviousSpec = live.Spec;
    live.Spec = spec;
    this.#index += 1;
    live.Version = { Index: this.#index };
    delete live.UpdateStatus;
    if (restarts) live.UpdateStatus = this.#status('updating', 'update in progress');
  }

  #status(State: NonNullable<UpdateStatus['State']>, Message: string): UpdateStatus {
    return { State, Message, StartedAt: new Date(this.#now + this.#index).toISOString() };
  }

  addObject(kind: FakeObject['kind'], stack: string, name: string): void {
    if (this.objects.some((each) => each.kind === kind && each.name === name)) return;
    this.writes.push(`create ${kind} ${name}`);
    this.objects.push({ kind, id: this.id(kind), name, stack, busy: 0 });
  }

  // The orchestrator.

  step(): void {
    for (const object of this.objects) if (object.busy > 0) object.busy -= 1;
    for (const service of this.services.values()) this.#orchestrate(service);
    this.tasks = this.tasks.filter((task) => this.services.has(task.ServiceID));
  }

  #orchestrate(service: FakeService): void {
    const mine = this.tasks.filter((task) => task.ServiceID === service.ID);
    const isGlobal = at(service.Spec, 'Mode', 'Global') !== undefined;
    const replicas = Number(at(service.Spec, 'Mode', 'Replicated', 'Replicas') ?? 1);
    const places: readonly (number | string)[] = isGlobal
      ? this.nodes.filter((node) => node.Status.State !== 'down').map((node) => node.ID)
      : Array.from({ length: replicas }, (_, index) => index + 1);
    const current = template(service.Spec);
    const placeOf = (task: FakeTask): number | string => task.Slot ?? task.NodeID ?? '';
    for (const task of mine) {
      this.#advanceTask(task);
      const extra = !places.includes(placeOf(task));
      if (wanted(task) && (extra || task.template !== current)) {
        task.DesiredState = 'shutdown';
        if (task.Status.State !== 'failed' && task.Status.State !== 'rejected')
          task.Status.State = 'shutdown';
      }
    }
    this.#judge(service, mine, current);
    for (const place of places)
      if (!mine.some((task) => wanted(task) && placeOf(task) === place))
        this.tasks.push(this.#newTask(service, place));
    for (const place of places) this.#forget(mine.filter((task) => placeOf(task) === place));
  }

  /** Swarm keeps five past tasks of each slot. */
  #forget(ofPlace: readonly FakeTask[]): void {
    const past = new Set(ofPlace.filter((task) => !wanted(task)).slice(0, -5));
    if (past.size > 0) this.tasks = this.tasks.filter((task) => !past.has(task));
  }

  #newTask(service: FakeService, place: number | string): FakeTask {
    const CreatedAt = new Date(this.#now).toISOString();
    return {
      ID: this.id('task'),
      CreatedAt,
      ServiceID: service.ID,
      ...(typeof place === 'number'
        ? { Slot: place, NodeID: this.nodes[place % this.nodes.length]?.ID ?? '' }
        : { NodeID: place }),
      Status: { State: 'new', Timestamp: CreatedAt },
      DesiredState: 'running',
      Spec: at(service.Spec, 'TaskTemplate') as JsonObject,
      template: template(service.Spec),
      steps: 0,
    };
  }

  #advanceTask(task: FakeTask): void {
    if (!wanted(task) || task.Status.State === 'failed' || task.Status.State === 'rejected') {
      task.DesiredState = 'shutdown';
      return;
    }
    const image = imageOfTask(task);
    task.steps += 1;
    const state = WAY[Math.min(task.steps, WAY.length - 1)] ?? 'running';
    const fails = (kind: 'failed' | 'rejected', Err: string, ExitCode?: number): void => {
      task.Status = {
        State: kind,
        Err,
        Timestamp: new Date(this.#now).toISOString(),
        ContainerStatus: { ExitCode: ExitCode ?? 0 },
      };
    };
    if (/missing/.test(image) && state === 'starting')
      fails('rejected', `No such image: ${image.replace(/@.*/, '')}`);
    else if (/crash/.test(image) && state === 'running')
      fails('failed', 'task: non-zero exit (1)', 1);
    else if (/unhealthy/.test(image) && state === 'running')
      fails('failed', 'task: non-zero exit (137): dockerexec: unhealthy container', 137);
    else if (/stuck/.test(image) && state === 'running') task.Status.State = 'starting';
    else if (/slow/.test(image) && state === 'running' && task.steps < 60)
      task.Status.State = 'starting';
    else task.Status.State = state;
  }

  /** What Swarm's updater makes of it: done, paused, or on the way back. */
  #judge(service: FakeService, mine: readonly FakeTask[], current: string): void {
    const state = service.UpdateStatus?.State;
    if (state !== 'updating' && state !== 'rollback_started') return;
    const ours = mine.filter((task) => task.template === current);
    const action = at(service.Spec, 'UpdateConfig', 'FailureAction') ?? 'pause';
    const broken = ours.find(({ Status: { State } }) => State === 'failed' || State === 'rejected');
    const why = `update paused due to failure or early termination of task ${broken?.ID ?? ''}`;
    if (broken !== undefined && state === 'rollback_started')
      service.UpdateStatus = this.#status('rollback_paused', `rollback paused: ${broken.ID}`);
    else if (broken !== undefined && action === 'pause')
      service.UpdateStatus = this.#status('paused', why);
    else if (broken !== undefined && action === 'rollback' && service.PreviousSpec !== undefined) {
      service.Spec = service.PreviousSpec;
      delete service.PreviousSpec;
      this.#index += 1;
      service.Version = { Index: this.#index };
      service.UpdateStatus = this.#status(
        'rollback_started',
        `update rolled back due to failure or early termination of task ${broken.ID}`,
      );
    } else if (
      (ours.length > 0 || at(service.Spec, 'Mode', 'Replicated', 'Replicas') === 0) &&
      ours.filter(wanted).every((task) => task.Status.State === 'running')
    )
      service.UpdateStatus =
        state === 'updating'
          ? this.#status('completed', 'update completed')
          : this.#status('rollback_completed', 'rollback completed');
  }

  // The Engine API.

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    const url = new URL(request.url ?? '/', 'http://docker');
    const path = url.pathname.replace(/^\/v\d+\.\d+/, '');
    const method = request.method ?? 'GET';
    if (this.keepsTime) response.setHeader('Date', new Date(this.#now).toUTCString());
    this.requests.push(`${method} ${path}${url.search}`);
    const instead = this.onRequest(`${method} ${path}`);
    if (instead === 'refuse') {
      request.socket.destroy();
      return;
    }
    if (instead !== undefined) {
      response.writeHead(instead.status, { 'Content-Type': 'application/json' });
      response.end(instead.body);
      return;
    }
    const [, task] = /^\/tasks\/([^/]+)\/logs$/.exec(path) ?? [];
    const log = task === undefined ? undefined : this.onLog(task);
    if (log !== undefined) {
      response.writeHead(200, {});
      response.write(log.bytes);
      if (log.hangs !== true) response.end();
      return;
    }
    const [status, value] = this.#answer(method, path, url.searchParams, body);
    answer(response, status, value);
  }

  #answer(
    method: string,
    path: string,
    query: URLSearchParams,
    body: string,
  ): readonly [number, Json] {
    const filters = JSON.parse(query.get('filters') ?? '{}') as Record<string, string[]>;
    const stack = filters['label']?.[0]?.split('=')[1];
    const ofStack = (spec: ServiceSpec): boolean =>
      at(spec, 'Labels', 'com.docker.stack.namespace') === stack;
    const [, kind = '', id = '', verb = ''] = path.split('/');
    if (path === '/version')
      return [200, { Version: this.engineVersion, ApiVersion: '1.51', MinAPIVersion: '1.24' }];
    if (path === '/info')
      return [
        200,
        {
          Name: 'manager-1',
          Swarm: { LocalNodeState: 'active', ControlAvailable: this.isManager, Error: '' },
        },
      ];
    if (path === '/auth') return this.#logIn(body);
    if (!this.isManager) return [503, { message: 'This node is not a swarm manager.' }];
    if (kind === 'distribution')
      return path.includes('missing')
        ? [404, { message: 'manifest unknown: manifest unknown' }]
        : [200, {}];
    if (path === '/nodes') return [200, this.nodes as unknown as Json];
    if (path === '/tasks') {
      const asked = filters['service'];
      const gone = asked?.find((each) => !this.services.has(each));
      if (gone !== undefined) return [404, { message: `service ${gone} not found` }];
      const mine = this.tasks.filter((task) => {
        const service = this.services.get(task.ServiceID);
        if (service === undefined) return false;
        if (asked === undefined ? !ofStack(service.Spec) : !asked.includes(service.ID))
          return false;
        return filters['_up-to-date'] === undefined || task.template === template(service.Spec);
      });
      return [200, mine];
    }
    if (kind === 'tasks') {
      const found = this.tasks.find(({ ID }) => ID === id);
      return found === undefined ? [404, { message: `task ${id} not found` }] : [200, found];
    }
    if (path === '/services') {
      const mine = [...this.services.values()].filter(({ Spec }) => ofStack(Spec));
      const all =
        query.get('status') === 'true'
          ? mine.map((service) => ({ ...service, ServiceStatus: this.#statusOf(service) }))
          : mine;
      return [200, all as unknown as Json];
    }
    if (path === '/services/create') {
      const spec = parseJson(body) as ServiceSpec;
      if (this.names().includes(spec.Name))
        return [409, { message: `${spec.Name} already exists` }];
      this.write(spec.Name, spec);
      return [201, { ID: [...this.services.keys()].at(-1) ?? '' }];
    }
    if (kind === 'services') {
      const service = this.services.get(id);
      if (service === undefined) return [404, { message: `service ${id} not found` }];
      if (method === 'GET') return [200, service as unknown as Json];
      if (method === 'DELETE') return this.#removeService(service);
      if (verb === 'update') return this.#updateService(service, query, body);
    }
    if (['networks', 'configs', 'secrets'].includes(kind)) {
      const named = filters['name'];
      if (method === 'GET' && id === '' && named !== undefined)
        return [200, this.objects.filter(isNamed(kind, named)).map(shown)];
      if (method === 'GET' && id === '') return [200, this.#objectsOf(kind, stack)];
      if (method === 'DELETE') return this.#removeObject(id);
      if (kind === 'configs' && id === 'create') return this.#createConfig(body);
      // As Docker does it, configs are found by name, too.
      const object = this.objects.find(
        (each) => each.id === id || (each.kind === 'config' && each.name === id),
      );
      if (object === undefined) return [404, { message: `${kind} ${id} not found` }];
      if (method === 'GET') return [200, shown(object)];
      if (verb === 'update') return this.#relabel(object, query, body);
    }
    return [404, { message: `page not found: ${method} ${path}` }];
  }

  #statusOf({ ID }: FakeService): JsonObject {
    const mine = this.tasks.filter(({ ServiceID }) => ServiceID === ID);
    return {
      RunningTasks: mine.filter(({ Status }) => Status.State === 'running').length,
      DesiredTasks: mine.filter(wanted).length,
      CompletedTasks: 0,
    };
  }

  #objectsOf(kinds: string, stack: string | undefined): Json {
    return this.objects
      .filter((object) => `${object.kind}s` === kinds && object.stack === stack)
      .map(shown);
  }

  #logIn(body: string): readonly [number, Json] {
    const { serveraddress, password } = JSON.parse(body) as Record<string, string>;
    const registry = serveraddress === 'https://index.docker.io/v1/' ? '' : (serveraddress ?? '');
    if (this.logins.get(registry) !== password)
      return [401, { message: 'unauthorized: incorrect username or password' }];
    const IdentityToken = this.identityToken;
    return [200, { Status: 'Login Succeeded', IdentityToken }];
  }

  #createConfig(body: string): readonly [number, Json] {
    const { Name, Labels, Data } = JSON.parse(body) as {
      Name: string;
      Labels: Record<string, string>;
      Data: string;
    };
    if (this.objects.some(({ kind, name }) => kind === 'config' && name === Name))
      return [
        409,
        { message: `rpc error: code = AlreadyExists desc = config ${Name} already exists` },
      ];
    const stack = Labels['com.docker.stack.namespace'] ?? '';
    this.#index += 1;
    this.#ids += 1;
    const id = `config${this.#ids}`;
    const rest = { busy: 0, version: this.#index, labels: Labels, data: Data };
    this.objects.push({ kind: 'config', id, name: Name, stack, ...rest });
    this.writes.push(`create config ${Name}`);
    return [201, { ID: id }];
  }

  #relabel(object: FakeObject, query: URLSearchParams, body: string): readonly [number, Json] {
    if (query.get('version') !== String(object.version ?? 0))
      return [500, { message: 'rpc error: code = Unknown desc = update out of sequence' }];
    this.#index += 1;
    object.version = this.#index;
    object.labels = (JSON.parse(body) as { Labels: Record<string, string> }).Labels;
    this.writes.push(`relabel ${object.kind} ${object.name}`);
    return [200, null];
  }

  #removeService(service: FakeService): readonly [number, Json] {
    this.writes.push(`remove ${service.Spec.Name}`);
    this.services.delete(service.ID);
    for (const object of this.objects) if (object.kind === 'network') object.busy = 3;
    return [200, null];
  }

  #updateService(
    service: FakeService,
    query: URLSearchParams,
    body: string,
  ): readonly [number, Json] {
    if (query.get('version') !== String(service.Version.Index))
      return [500, { message: 'rpc error: code = Unknown desc = update out of sequence' }];
    if (query.get('rollback') === 'previous') {
      if (service.PreviousSpec === undefined)
        return [400, { message: 'rpc error: service does not have a previous spec' }];
      this.writes.push(`rollback ${service.Spec.Name}`);
      this.#update(service, service.PreviousSpec);
      service.UpdateStatus = this.#status('rollback_started', 'manually requested rollback');
      return [200, {}];
    }
    const spec = parseJson(body) as ServiceSpec;
    if (kindOf(spec).kind !== kindOf(service.Spec).kind)
      return [
        501,
        { message: 'rpc error: code = Unimplemented desc = service mode change is not allowed' },
      ];
    this.writes.push(`restore ${service.Spec.Name} (${query.get('registryAuthFrom') ?? ''})`);
    this.#update(service, spec);
    return [200, {}];
  }

  #removeObject(id: string): readonly [number, Json] {
    const object = this.objects.find(
      (each) => each.id === id || (each.kind === 'config' && each.name === id),
    );
    if (object === undefined) return [404, { message: `${id} not found` }];
    if (object.busy > 0) return [403, { message: `${object.name} has active endpoints` }];
    this.writes.push(`remove ${object.kind} ${object.name}`);
    this.objects = this.objects.filter((each) => each !== object);
    return [200, null];
  }

  // The command line.

  run(argv: readonly string[], options: RunOptions): CommandResult {
    const input = Buffer.from(options.input ?? '').toString('utf8');
    this.commands.push({ argv, input });
    // The logins of a command are written just before it.
    if (argv[2]?.includes('/docker/config.json') === true)
      this.disk.set(`${argv[4] ?? ''}/docker/config.json`, Buffer.from(input));
    const instead = this.onCommand(argv);
    if (instead instanceof Error) throw instead;
    if (instead !== undefined) return instead;
    const words = [...argv];
    // The process notes its number and becomes the command.
    if (words[2]?.includes('exec "$@"') === true) words.splice(0, 5);
    while (words[0] === 'env' || words[0] === '-u') words.splice(0, words[0] === 'env' ? 1 : 2);
    if (words[0] === 'sh') return this.#shell(words[2] ?? '', words.slice(4), input);
    if (words.shift() !== 'docker') return exits(127, `${argv[0] ?? ''}: command not found`);
    if (words[0] === '--config') words.splice(0, 2);
    if (words[0] === '--version') return ok(`Docker version ${this.cliVersion}, build fake`);
    if (words[0] === 'stack') return this.#stackDeploy(words, options);
    return exits(1, `docker: '${words.join(' ')}' is not a docker command`);
  }

  #shell(script: string, args: readonly string[], input: string): CommandResult {
    const [argument = ''] = args;
    if (script.includes('mkdir')) {
      const path = `/tmp/${argument}`;
      if (this.disk.has(path)) return exits(1, `mkdir: ${path}: File exists`);
      for (const part of ['', '/docker', '/attachments']) this.disk.set(path + part, 'directory');
      if (args[1] !== undefined) this.disk.set(`${path}/${args[1]}`, Buffer.from(input));
      return ok(path);
    }
    if (script.includes('cat >')) {
      if (!this.disk.has(argument.replace(/\/[^/]*$/, '')))
        return exits(2, `sh: cannot create ${argument}: Directory nonexistent`);
      this.disk.set(argument, Buffer.from(input));
      return ok();
    }
    if (!script.includes('rm -rf'))
      return script.includes('/cmdline') ? ok() : exits(127, `sh: what is ${script}?`);
    for (const path of this.disk.keys())
      if (path.startsWith(`/tmp/${argument}`)) this.disk.delete(path);
    return ok();
  }

  /** The services of the files of a command, merged as far as the tests need it. */
  servicesOf(words: readonly string[]): Map<string, Record<string, unknown>> | CommandResult {
    const services = new Map<string, Record<string, unknown>>();
    for (const [index, word] of words.entries()) {
      if (word !== '--compose-file') continue;
      const file = this.disk.get(words[index + 1] ?? '');
      if (!Buffer.isBuffer(file)) return exits(1, `open ${words[index + 1] ?? ''}: no such file`);
      const parsed = parseYaml(file.toString('utf8')) as {
        services?: Record<string, Record<string, unknown>>;
      };
      for (const [name, service] of Object.entries(parsed.services ?? {})) {
        const before = services.get(name);
        const deploy = { ...(before?.['deploy'] as object), ...(service['deploy'] as object) };
        services.set(name, { ...before, ...service, deploy });
      }
    }
    return services;
  }

  #stackDeploy(words: readonly string[], options: RunOptions): CommandResult {
    const stack = words.at(-1) ?? '';
    const services = this.servicesOf(words);
    if (!(services instanceof Map)) return services;
    this.addObject('network', stack, `${stack}_default`);
    for (const [short, service] of services) {
      const name = `${stack}_${short}`;
      const exists = this.names().includes(name);
      options.onOutput?.(
        Buffer.from(`${exists ? 'Updating' : 'Creating'} service ${name}\n`),
        'stdout',
      );
      this.write(name, specOf(stack, name, service));
      const trouble = this.afterServiceWritten(name);
      if (trouble instanceof Error) throw trouble;
      if (trouble !== undefined) return exits(1, trouble);
    }
    return ok();
  }
}

class FakeTransport implements Transport {
  readonly description: string;
  readonly #swarm: FakeSwarm;
  readonly #streams: Duplex[] = [];
  #dead = false;

  constructor(swarm: FakeSwarm) {
    this.#swarm = swarm;
    this.description = swarm.answering;
  }

  async run(argv: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#mustLive();
    const result = this.#swarm.run(argv, options);
    this.#mustLive();
    return result;
  }

  async open(): Promise<Duplex> {
    this.#mustLive();
    const stream = this.#swarm.dial();
    this.#streams.push(stream);
    return stream;
  }

  async close(): Promise<void> {
    this.die();
  }

  die(): void {
    this.#dead = true;
    for (const stream of this.#streams) stream.destroy(new ConnectionLost('the connection died'));
  }

  #mustLive(): void {
    if (this.#dead) throw new ConnectionLost('the connection is closed');
  }
}

/** As the engine filters: parts of names will do. */
const isNamed =
  (kinds: string, names: readonly string[]) =>
  ({ kind, name }: FakeObject): boolean =>
    `${kind}s` === kinds && names.some((each) => name.includes(each));

const shown = ({ id, name, kind, version, labels, data }: FakeObject): Json =>
  kind === 'network'
    ? { Id: id, Name: name, Scope: 'swarm' }
    : {
        ID: id,
        Version: { Index: version ?? 0 },
        Spec: {
          Name: name,
          ...(labels === undefined ? {} : { Labels: labels }),
          ...(data === undefined ? {} : { Data: data }),
        },
      };

function answer(response: ServerResponse, status: number, value: Json): void {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(value === null ? '' : formatJson(value));
}

/** The spec that Docker makes of a service of a stack file, as far as the tests need it. */
export function specOf(
  stack: string,
  name: string,
  service: Readonly<Record<string, unknown>>,
): ServiceSpec {
  const deploy = (service['deploy'] ?? {}) as Record<string, unknown>;
  const update = (deploy['update_config'] ?? {}) as Record<string, unknown>;
  const image = String(service['image']);
  return {
    Name: name,
    Labels: {
      'com.docker.stack.namespace': stack,
      'com.docker.stack.image': image,
      ...(deploy['labels'] as JsonObject | undefined),
    },
    TaskTemplate: {
      ContainerSpec: {
        // A registry that has the image says its digest; one that has not, says nothing.
        Image: /missing/.test(image) ? image : `${image}@sha256:${digestOf(image)}`,
        Env: (service['environment'] as Json | undefined) ?? [],
      },
      // Larger than a double holds: it must come back as it was.
      Resources: { Limits: { MemoryBytes: 9223372036854775807n } },
      ForceUpdate: 0,
    },
    Mode:
      deploy['mode'] === 'global'
        ? { Global: {} }
        : { Replicated: { Replicas: Number(deploy['replicas'] ?? 1) } },
    UpdateConfig: {
      Parallelism: 1,
      FailureAction: (update['failure_action'] as Json | undefined) ?? 'pause',
      Monitor: 5_000_000_000,
    },
    EndpointSpec: { Mode: 'vip' },
  };
}

export function digestOf(image: string): string {
  return Buffer.from(image).toString('hex').padEnd(64, '0').slice(0, 64);
}
