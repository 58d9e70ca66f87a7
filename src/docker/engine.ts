/**
 * The Engine API over one long-lived `docker system dial-stdio`: HTTP with keep-alive on the
 * stream that the transport gives, so that a poll starts no process on the manager.
 */
import { createHash } from 'node:crypto';
import { Agent, request, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { isSafeNumber, parse, stringify } from 'lossless-json';
import { ConnectionLost, DeployError, TimedOut } from '../errors.js';
import {
  at,
  type Json,
  type JsonObject,
  type Node,
  type Service,
  type ServiceSpec,
  type Task,
} from '../model.js';
import { BodyReader, itemsOf } from './body.js';
import {
  distinct,
  listIn,
  nodeIn,
  objectAnswer,
  objectIn,
  serviceIn,
  taskIn,
  templateIn,
} from './well-formed.js';
import type { AuthConfig } from './registry.js';

/** The engine understood the request and refused it. */
export class EngineError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly request: string,
  ) {
    super(message);
    this.name = 'EngineError';
  }

  /** Whether it may be another answer later: 501 says what Swarm never does, as to change a service's mode. */
  get passes(): boolean {
    return this.status >= 500 && this.status !== 501;
  }
}

export interface EngineVersion {
  /** Such as `20.10.24`. */
  readonly version: string;
  readonly apiVersion: string;
}

export interface SwarmInfo {
  readonly isManager: boolean;
  /** `active`, `inactive`, `pending`, `error` or `locked`. */
  readonly state: string;
  readonly nodeName: string;
  /** The id of the swarm, as a manager with a leader knows it; else ''. */
  readonly swarmId: string;
  /** What the engine says is wrong, if anything. */
  readonly error: string;
}

/** A network, config or secret that belongs to a stack. */
export interface StackObject {
  readonly kind: 'network' | 'config' | 'secret';
  readonly id: string;
  readonly name: string;
  /** Of a config or secret: what `stack deploy` may have changed of one that was there. */
  readonly labels?: Json;
  /** Of a network: all that the engine lists of it. */
  readonly definition?: Json;
}

/** A config of the swarm, which never changes but for its labels. */
export interface SwarmConfig {
  readonly id: string;
  readonly name: string;
  /** Moves with every change of the labels. */
  readonly version: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly data: Buffer;
}

/** A list of the engine. Where nothing in it has changed, reading it again gives the very same one. */
export interface Listing<Item> {
  readonly items: readonly Item[];
  /** Of the answer's bytes. */
  readonly hash: string;
}

type Method = 'GET' | 'POST' | 'DELETE';
type Filters = Readonly<Record<string, readonly string[]>>;

export const STACK_LABEL = 'com.docker.stack.namespace';
/** On every config that holds a lock or a piece of a stack's history: what it is. */
export const LEDGER_LABEL = 'swarm-deploy.kind';
/** A request takes 3 to 5 ms; where nothing comes for this long, it has met a dead connection or engine. */
const REQUEST_TIMEOUT_MS = 15_000;
/** For an answer that comes bit by bit: the list of a large stack, or its history, on a slow line. */
const LONGEST_ANSWER_MS = 180_000;
/** Bytes that are sent in no time worth counting, and how many of the others a slow line takes in a millisecond. */
const SMALL_BODY = 64 * 1024;
const SLOW_LINE = 10;

/**
 * Numbers that a double cannot hold (a memory limit near 2^63) stay exact as bigint, so that a
 * kept spec can be written back as it was.
 */
function exactNumber(text: string): number | bigint {
  if (isSafeNumber(text)) return Number(text);
  return /^-?\d+$/.test(text) ? BigInt(text) : Number(text);
}

/** Where a number may stand that takes more digits than every double holds. */
const LONG_NUMBER = /[:[,]\s*-?\d{16}/;

/** The exact parser takes ten times as long, and nearly no answer needs it. */
export function parseJson(text: string): Json {
  return LONG_NUMBER.test(text)
    ? (parse(text, undefined, { parseNumber: exactNumber }) as Json)
    : (JSON.parse(text) as Json);
}

export function formatJson(value: Json): string {
  return stringify(value) ?? 'null';
}

/** Whether the swarm takes it as the name of a config or secret (swarmkit, manager/controlapi/common.go). */
export const isObjectName = (name: string): boolean =>
  name.length <= 64 && /^[a-zA-Z0-9](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9])?$/.test(name);

export class Engine {
  readonly #agent: Agent;
  /** How many requests are under way that wait for a registry. */
  #patient = 0;
  /** How many of them have an answer that is coming. */
  #arriving = 0;
  readonly #bodies = new BodyReader();
  readonly #shared = oneOfEach();
  readonly #fence: () => Promise<void>;
  readonly #trace: ((line: string) => void) | undefined;
  #prefix = '';
  /** From the `Date` of the last answer, whole seconds. */
  #managerTime: number | undefined;

  /**
   * @param openStream starts `docker system dial-stdio` and gives its input and output
   * @param fence awaited before every write to the stack; throws where this run may not write any more
   * @param trace takes a line for each request: what it asks for, what came, how much and how fast; neither
   *   bodies nor headers
   */
  constructor(
    openStream: () => Promise<Duplex>,
    fence: () => Promise<void> = () => Promise.resolve(),
    trace?: (line: string) => void,
  ) {
    this.#fence = fence;
    this.#trace = trace;
    this.#agent = new Agent({ keepAlive: true, maxSockets: 1, scheduling: 'fifo' });
    Object.assign(this.#agent, {
      createConnection: (_: unknown, done: (error: Error | null, stream?: Duplex) => void) => {
        openStream().then(
          (stream) => done(null, asSocket(stream)),
          (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
        );
        return undefined;
      },
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  /**
   * Asks for the version and speaks the engine's own newest API from then on: an older one would
   * leave out fields of a spec that it does not know, and a restored spec would lose them.
   */
  async negotiate(): Promise<EngineVersion> {
    const answer = objectAnswer('GET /version', await this.#call('GET', '/version'));
    const apiVersion = textAt(answer, 'ApiVersion');
    // It becomes part of every path.
    if (!/^\d+\.\d+$/.test(apiVersion))
      throw new DeployError('docker-unavailable', 'invalid', 'the engine did not say its version');
    this.#prefix = `/v${apiVersion}`;
    return { version: textAt(answer, 'Version') || 'unknown', apiVersion };
  }

  async swarmInfo(): Promise<SwarmInfo> {
    const info = objectAnswer('GET /info', await this.#call('GET', '/info'));
    return {
      isManager: at(info, 'Swarm', 'ControlAvailable') === true,
      state: textAt(info, 'Swarm', 'LocalNodeState') || 'inactive',
      nodeName: textAt(info, 'Name'),
      swarmId: textAt(info, 'Swarm', 'Cluster', 'ID'),
      error: textAt(info, 'Swarm', 'Error'),
    };
  }

  /**
   * Has the engine log into a registry; nothing of it is kept.
   * @param timeoutMs the registry may be slow
   * @returns the token that takes the password's place, '' where the registry gives none
   * @throws EngineError with the registry's words, or why the engine cannot reach it
   * @throws TimedOut
   * @throws ConnectionLost, also where `signal` ended it
   */
  async logIn(auth: AuthConfig, timeoutMs: number, signal: AbortSignal): Promise<string> {
    const body = { ...auth };
    const answer = await this.#send('POST', '/auth', jsonIn, { body, timeoutMs, signal });
    // 204, without a body, where there is no token.
    return textAt((answer ?? {}) as JsonObject, 'IdentityToken');
  }

  /**
   * The services of a stack with how many of their tasks run.
   * @param keep gives what to keep of a service as soon as it is read: the list of a large stack is
   *   never there as a whole a second time
   */
  async serviceList(
    stack: string,
    former?: Listing<Service>,
    keep: (service: Service) => Service = (service) => service,
  ): Promise<Listing<Service>> {
    const path = `/services${query({ filters: JSON.stringify(labelled(stack)), status: 'true' })}`;
    return await this.#listing(path, former, (item) => keep(withoutEndpoint(item)), parseJson);
  }

  /** One service with its exact spec, or undefined where there is none. */
  async service(id: string): Promise<Service | undefined> {
    try {
      return serviceIn(await this.#call('GET', `/services/${id}`));
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) return undefined;
      throw error;
    }
  }

  /**
   * @param scope a whole stack, or some of its services by their ids
   * @throws EngineError 404 when one of the services is gone
   */
  async tasks(scope: TaskScope, former?: Listing<Task>): Promise<Listing<Task>> {
    return await this.#listing(`/tasks${query({ filters: filtersOf(scope) })}`, former, (item) =>
      reduced(item, this.#shared),
    );
  }

  /** The template that a task was made from, or undefined where Swarm has forgotten the task. */
  async taskTemplate(id: string): Promise<JsonObject | undefined> {
    try {
      const task = await this.#call('GET', `/tasks/${encodeURIComponent(id)}`);
      return templateIn(task);
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) return undefined;
      throw error;
    }
  }

  /**
   * The ids of the tasks that run the live spec, by the filter that the CLI itself counts by: a task
   * carries no version of its spec.
   * @throws EngineError 404 when one of the services is gone
   */
  async upToDate(scope: TaskScope): Promise<readonly string[]> {
    const filters = filtersOf(scope, { '_up-to-date': ['true'] });
    const { items } = await this.#listing(`/tasks${query({ filters })}`, undefined, (item) =>
      textAt(item, 'ID'),
    );
    return items;
  }

  async nodes(former?: Listing<Node>): Promise<Listing<Node>> {
    return await this.#listing('/nodes', former, nodeIn);
  }

  /** From the `Date` of the engine's last answer: milliseconds since 1970, in whole seconds. */
  get managerTime(): number | undefined {
    return this.#managerTime;
  }

  /** Networks, configs and secrets that carry the stack's label, without what this action keeps there. */
  async stackObjects(stack: string): Promise<readonly StackObject[]> {
    const filters = labelled(stack);
    const networks = await this.#list('/networks', filters);
    const configs = await this.#list('/configs', filters);
    const secrets = await this.#list('/secrets', filters);
    return [
      ...networks.map((item) => ({
        kind: 'network' as const,
        id: textAt(item, 'Id'),
        name: textAt(item, 'Name'),
        definition: item,
      })),
      ...configs
        .filter((item) => !isLedger(swarmConfig(item)))
        .map((item) => named('config', item)),
      ...secrets.map((item) => named('secret', item)),
    ];
  }

  /**
   * Writes a spec, if the service is still at `version`.
   * @throws EngineError with `update out of sequence` when someone else wrote in between
   */
  async updateService(
    id: string,
    version: number,
    spec: ServiceSpec,
    options: {
      readonly registryAuthFrom?: 'spec' | 'previous-spec';
      readonly rollback?: 'previous';
    } = {},
    registryAuth?: string,
  ): Promise<void> {
    await this.#fence();
    const query = new URLSearchParams({ version: String(version), ...options });
    await this.#call('POST', `/services/${id}/update?${query.toString()}`, spec, registryAuth);
  }

  /**
   * @param registryAuth base64 of the credentials as JSON, as in the header `X-Registry-Auth`
   * @returns its id
   * @throws EngineError 409 where the name is taken
   */
  async createService(spec: ServiceSpec, registryAuth?: string): Promise<string> {
    await this.#fence();
    const answer = await this.#call('POST', '/services/create', spec, registryAuth);
    return newId('POST /services/create', answer);
  }

  async removeService(id: string): Promise<void> {
    await this.#fence();
    await this.#remove(`/services/${id}`);
  }

  /** All networks of the swarm, and those of the manager itself. */
  async networks(): Promise<readonly { readonly id: string; readonly name: string }[]> {
    const networks = await this.#list('/networks', {});
    return networks.map((item) => ({ id: textAt(item, 'Id'), name: textAt(item, 'Name') }));
  }

  /**
   * Which of these there are in the swarm, be they of a stack or not.
   * @returns by name, where each can be used: `swarm`, or `local` for a network of this manager alone
   */
  async existing(
    kind: 'network' | 'config' | 'secret',
    names: readonly string[],
  ): Promise<ReadonlyMap<string, string>> {
    const wanted = new Set(names);
    const found = new Map<string, string>();
    // The engine finds parts of names, too.
    for (const item of await this.#list(`/${kind}s`, { name: [...wanted] })) {
      const name = kind === 'network' ? textAt(item, 'Name') : textAt(item, 'Spec', 'Name');
      const scope = kind === 'network' ? textAt(item, 'Scope') : 'swarm';
      if (wanted.has(name) && found.get(name) !== 'swarm') found.set(name, scope);
    }
    return found;
  }

  /** The ids of all configs or secrets of the swarm. */
  async objectIds(kind: 'config' | 'secret'): Promise<ReadonlySet<string>> {
    return new Set((await this.#list(`/${kind}s`, {})).map((item) => textAt(item, 'ID')));
  }

  /** The configs that carry the stack's label, with their content. */
  async configs(stack: string): Promise<readonly SwarmConfig[]> {
    return (await this.#list('/configs', labelled(stack))).map(swarmConfig);
  }

  /**
   * One config, or undefined where there is none.
   * @param id or name; what cannot be a name is none, and is not asked for: `..` would be a path
   */
  async config(id: string): Promise<SwarmConfig | undefined> {
    if (!isObjectName(id)) return undefined;
    try {
      return swarmConfig(await this.#call('GET', `/configs/${id}`));
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) return undefined;
      throw error;
    }
  }

  /**
   * Atomic in the whole swarm: of several that create the same name at once, one gets an id.
   * @returns the id, or undefined where the name is taken
   * @throws EngineError where the swarm refuses the name or the size
   */
  async createConfig({
    name,
    labels,
    data,
  }: Pick<SwarmConfig, 'name' | 'labels' | 'data'>): Promise<string | undefined> {
    try {
      const answer = await this.#call('POST', '/configs/create', {
        Name: name,
        Labels: labels,
        Data: data.toString('base64'),
      });
      return newId('POST /configs/create', answer);
    } catch (error) {
      if (error instanceof EngineError && error.status === 409) return undefined;
      throw error;
    }
  }

  /**
   * Writes all labels of a config anew, if nobody has since it was read.
   * @returns false where somebody has, or where it is gone
   */
  async relabelConfig(
    { id, name, version, data }: SwarmConfig,
    labels: SwarmConfig['labels'],
  ): Promise<boolean> {
    try {
      await this.#call('POST', `/configs/${id}/update?version=${version}`, {
        Name: name,
        Labels: labels,
        Data: data.toString('base64'),
      });
      return true;
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      if (error.status === 404 || /out of sequence/i.test(error.message)) return false;
      throw error;
    }
  }

  /** Removes one of the action's own configs; none is no error. */
  async removeConfig(id: string): Promise<void> {
    await this.#remove(`/configs/${id}`);
  }

  /** Gives a config or secret the labels that it had; they are all of it that can change. */
  async restoreLabels(object: StackObject): Promise<void> {
    await this.#fence();
    const live = await this.#call('GET', `/${object.kind}s/${object.id}`);
    const index = at(live, 'Version', 'Index');
    const version = typeof index === 'number' ? String(index) : '';
    await this.#call('POST', `/${object.kind}s/${object.id}/update?version=${version}`, {
      ...(at(live, 'Spec') as JsonObject),
      Labels: object.labels ?? null,
    });
  }

  /**
   * The healthcheck that an image brings, where this manager has the image.
   * @returns null where it brings none, undefined where the manager has not got it
   */
  async imageHealthcheck(image: string): Promise<Json | undefined> {
    try {
      const answer = await this.#call('GET', `/images/${image}/json`);
      return at(answer, 'Config', 'Healthcheck') ?? null;
    } catch (error) {
      if (error instanceof EngineError) return undefined;
      throw error;
    }
  }

  /** Whether this manager has the image. */
  async hasImage(image: string): Promise<boolean> {
    try {
      await this.#call('GET', `/images/${image}/json`);
      return true;
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) return false;
      throw error;
    }
  }

  /**
   * Has the engine ask the image's registry.
   * @param registryAuth base64 of the credentials as JSON, as in the header `X-Registry-Auth`
   * @param timeoutMs for the registry's answer
   * @returns undefined where there was no clear answer: it is down, or lets nobody in
   */
  async registryHas(
    image: string,
    registryAuth: string | undefined,
    timeoutMs: number,
  ): Promise<boolean | undefined> {
    try {
      await this.#send('GET', `/distribution/${image}/json`, jsonIn, { registryAuth, timeoutMs });
      return true;
    } catch (error) {
      if (error instanceof TimedOut) return undefined;
      if (!(error instanceof EngineError)) throw error;
      return /manifest unknown|name unknown/i.test(error.message) ? false : undefined;
    }
  }

  /**
   * What a task has written last, as a log stream (`decodeLog`), wherever in the swarm it ran. A node
   * that does not answer, or a container that writes without end, ends nothing but this reading.
   * @param tail entries of the log, which are lines or pieces of 16 KiB of them
   * @param limits milliseconds for all of it, and bytes
   * @returns with what ended it; for all but `all` there may be more
   * @throws EngineError 404 where Swarm has forgotten the task, or with why there is no log
   * @throws ConnectionLost
   */
  async taskLog(
    id: string,
    tail: number,
    limits: { readonly timeoutMs: number; readonly maxBytes: number },
  ): Promise<{ readonly bytes: Buffer; readonly ended: 'all' | 'time' | 'size' }> {
    const path = `/tasks/${encodeURIComponent(id)}/logs${query({ stdout: '1', stderr: '1', tail: String(tail) })}`;
    const chunks: Buffer[] = [];
    let size = 0;
    const read = (): Buffer => Buffer.concat(chunks).subarray(0, limits.maxBytes);
    return await new Promise((resolve, reject) => {
      const outgoing = request(
        { agent: this.#agent, path: `${this.#prefix}${path}`, headers: { Host: 'docker' } },
        (incoming) => {
          incoming.on('data', (chunk: Buffer) => {
            chunks.push(chunk);
            size += chunk.length;
            if (size >= limits.maxBytes) stop('size');
          });
          incoming.once('end', () => {
            const status = incoming.statusCode ?? 0;
            if (status >= 200 && status < 300) resolve({ bytes: read(), ended: 'all' });
            else reject(new EngineError(status, refusalIn(read()) || `HTTP ${status}`, path));
          });
          incoming.once('error', (error: Error) => reject(connectionLost(error)));
        },
      );
      // The stream behind it goes with it: the engine would go on writing into the next answer.
      const stop = (ended: 'time' | 'size'): void => {
        resolve({ bytes: read(), ended });
        outgoing.destroy();
      };
      const timer = setTimeout(() => stop('time'), limits.timeoutMs);
      outgoing.once('close', () => clearTimeout(timer));
      outgoing.once('error', (error: Error) => reject(connectionLost(error)));
      outgoing.end();
    });
  }

  /** @returns false when the object is still in use */
  async removeObject(object: StackObject): Promise<boolean> {
    await this.#fence();
    try {
      await this.#remove(`/${object.kind}s/${object.id}`);
      return true;
    } catch (error) {
      // 403: network has active endpoints; 400: config or secret is in use by a service.
      if (error instanceof EngineError && [400, 403, 409, 412].includes(error.status)) return false;
      throw error;
    }
  }

  async #remove(path: string): Promise<void> {
    try {
      await this.#call('DELETE', path);
    } catch (error) {
      if (!(error instanceof EngineError && error.status === 404)) throw error;
    }
  }

  async #list(path: string, filters: Filters): Promise<readonly JsonObject[]> {
    const answer = await this.#call('GET', `${path}${query({ filters: JSON.stringify(filters) })}`);
    return listIn(`GET ${path}`, answer);
  }

  async #listing<Item extends string | { readonly ID: string }>(
    path: string,
    former: Listing<Item> | undefined,
    itemOf: (item: JsonObject) => Item,
    // Nothing but specs is ever written back.
    parseBody: (text: string) => Json = JSON.parse,
  ): Promise<Listing<Item>> {
    return await this.#send('GET', path, (bytes, what) => {
      const hash = createHash('sha256').update(bytes).digest('base64');
      if (hash === former?.hash) return former;
      const items = parsed(what, bytes, () => itemsOf(bytes, what, parseBody, itemOf)) ?? [];
      return { hash, items: distinct(what, items) };
    });
  }

  async #call(method: Method, path: string, body?: Json, registryAuth?: string): Promise<Json> {
    return await this.#send(method, path, jsonIn, { body, registryAuth });
  }

  #send<Result>(
    method: Method,
    path: string,
    use: Use<Result>,
    { body, registryAuth, timeoutMs, signal }: Sending = {},
  ): Promise<Result> {
    const what = `${method} ${path.split('?')[0] ?? path}`;
    const payload = body === undefined ? undefined : Buffer.from(formatJson(body));
    const sendingMs = Math.max(0, (payload?.length ?? 0) - SMALL_BODY) / SLOW_LINE;
    const limitMs = (timeoutMs ?? REQUEST_TIMEOUT_MS) + Math.ceil(sendingMs);
    const told = this.#trace && requestTrace(this.#trace, method, path, payload?.length ?? 0);
    return new Promise<Result>((resolve, reject) => {
      const outgoing = request(
        {
          agent: this.#agent,
          signal,
          method,
          path: `${this.#prefix}${path}`,
          headers: {
            Host: 'docker',
            ...(registryAuth === undefined ? {} : { 'X-Registry-Auth': registryAuth }),
            ...(payload === undefined
              ? {}
              : { 'Content-Type': 'application/json', 'Content-Length': payload.length }),
          },
        },
        (incoming) => {
          const time = Date.parse(incoming.headers.date ?? '');
          if (!Number.isNaN(time)) this.#managerTime = time;
          const latest = performance.now() + LONGEST_ANSWER_MS;
          incoming.on('data', () => {
            if (performance.now() < latest) timer.refresh();
          });
          this.#arriving += 1;
          outgoing.once('close', () => (this.#arriving -= 1));
          const count = (bytes: Buffer): void =>
            told?.(`${incoming.statusCode ?? 0}`, bytes.length);
          this.#answer(incoming, what, use, count).then(resolve, reject);
        },
      );
      let isSent = false;
      const isPatient = timeoutMs !== undefined;
      const timer = setTimeout(() => {
        // Requests wait for each other, and one that waits for a registry is no sign of a dead engine; nor is one
        // whose answer is coming, but a write must not come later than the lock is trusted.
        const waits = !isPatient && this.#patient > 0;
        if (!isSent && (waits || (method === 'GET' && this.#arriving > 0))) {
          timer.refresh();
          return;
        }
        const words = `the engine did not answer ${what} within ${limitMs / 1000} s`;
        outgoing.destroy(isPatient ? new TimedOut(words) : new ConnectionLost(words));
      }, limitMs);
      if (isPatient) this.#patient += 1;
      outgoing.once('socket', () => {
        isSent = true;
        timer.refresh();
      });
      outgoing.once('close', () => {
        clearTimeout(timer);
        if (isPatient) this.#patient -= 1;
      });
      outgoing.once('error', (error: Error) => {
        told?.(error.message, 0);
        reject(connectionLost(error));
      });
      outgoing.end(payload);
    });
  }

  /** @throws EngineError where the engine refused */
  async #answer<Result>(
    incoming: IncomingMessage,
    what: string,
    use: Use<Result>,
    count: (bytes: Buffer) => void,
  ): Promise<Result> {
    const status = incoming.statusCode ?? 0;
    const arrived = { whole: false };
    try {
      return await this.#bodies.read(incoming, (bytes) => {
        arrived.whole = true;
        count(bytes);
        if (status >= 200 && status < 300) return use(bytes, what);
        throw new EngineError(status, refusalIn(bytes) || `HTTP ${status}`, what);
      });
    } catch (error) {
      throw arrived.whole || error instanceof DeployError
        ? error
        : new ConnectionLost(`lost the connection to the engine in the answer to ${what}`, {
            cause: error,
          });
    }
  }
}

/** @returns tells what came of a request: its status or error, and the bytes of the answer */
function requestTrace(
  trace: (line: string) => void,
  method: Method,
  path: string,
  sent: number,
): (result: string, bytes: number) => void {
  const begun = performance.now();
  const what = `${method} ${decoded(path)}${sent === 0 ? '' : ` (${sent} bytes)`}`;
  return (result, bytes) => {
    const took = (performance.now() - begun).toFixed(1);
    trace(`engine: ${what} -> ${result}, ${bytes} bytes, ${took} ms`);
  };
}

/** A path with a query that a person can read; lists of hundreds of ids tell no more than their start. */
function decoded(path: string): string {
  const [place = '', ...parameters] = path.split('?');
  // As the query was made; takes any text.
  const values = [...new URLSearchParams(parameters.join('?'))].map((pair) => pair.join('='));
  const text = [place, ...values].join(' ');
  return text.length > MAX_TRACED ? `${text.slice(0, MAX_TRACED)}...` : text;
}
const MAX_TRACED = 200;

const connectionLost = (error: Error): Error =>
  error instanceof DeployError
    ? error
    : new ConnectionLost(`lost the connection to the engine: ${error.message}`, { cause: error });

/** Whose tasks. */
export type TaskScope = { readonly stack: string } | { readonly services: readonly string[] };

const labelled = (stack: string): Filters => ({ label: [`${STACK_LABEL}=${stack}`] });

const filtersOf = (scope: TaskScope, more: Filters = {}): string =>
  JSON.stringify({
    ...('stack' in scope ? labelled(scope.stack) : { service: scope.services }),
    ...more,
  });

const query = (parameters: Readonly<Record<string, string>>): string =>
  `?${new URLSearchParams(parameters).toString()}`;

/** Nothing is decided by virtual addresses. */
function withoutEndpoint(item: JsonObject): Service {
  const { Version, Spec, PreviousSpec, UpdateStatus, JobStatus, ServiceStatus } = serviceIn(item);
  return {
    ID: textAt(item, 'ID'),
    Version,
    Spec,
    ...(PreviousSpec && { PreviousSpec }),
    ...(UpdateStatus && { UpdateStatus }),
    ...(JobStatus && { JobStatus }),
    ...(ServiceStatus && { ServiceStatus }),
  };
}

/** Gives the same string for equal ones: parsed JSON has a copy of each for every task that says it. */
function oneOfEach(): (text: string) => string {
  const known = new Map<string, string>();
  return (text) => {
    const one = known.get(text);
    if (one !== undefined) return one;
    known.set(text, text);
    return text;
  };
}

/**
 * What decisions need of a task: its spec is most of it, and ten thousand of them fill a memory. Plain
 * literals: a spread gives each object a hidden class of its own, which is larger than the task (V8 12).
 */
function reduced(item: JsonObject, shared: (text: string) => string): Task {
  const task = taskIn(item);
  const { Timestamp, State, Message, Err, ContainerStatus: container, PortStatus } = task.Status;
  return {
    ID: task.ID,
    CreatedAt: task.CreatedAt,
    // How long a task has existed is asked of those only that ended by themselves.
    UpdatedAt: State === 'complete' ? task.UpdatedAt : undefined,
    ServiceID: shared(task.ServiceID),
    Slot: task.Slot,
    NodeID: task.NodeID && shared(task.NodeID),
    DesiredState: task.DesiredState,
    JobIteration: task.JobIteration,
    Status: {
      Timestamp,
      State,
      Message: Message && shared(Message),
      Err,
      ContainerStatus: container && {
        ExitCode: container.ExitCode,
        ContainerID: container.ContainerID,
      },
      PortStatus: PortStatus?.Ports && PortStatus,
    },
  } as Task;
}

function textAt(item: JsonObject, ...path: readonly string[]): string {
  const value = at(item, ...path);
  return typeof value === 'string' ? value : '';
}

/** The id of what was created. @throws Malformed where the engine does not say it */
function newId(what: string, answer: Json): string {
  return textAt(objectAnswer(what, answer), 'ID');
}

/** Whether the config is one of the action's own: a lock, or a piece of a history. */
export const isLedger = ({ labels }: Pick<SwarmConfig, 'labels'>): boolean =>
  labels[LEDGER_LABEL] !== undefined;

function swarmConfig(answer: Json): SwarmConfig {
  const item = objectIn('config', answer);
  const labels = at(item, 'Spec', 'Labels');
  const version = at(item, 'Version', 'Index');
  return {
    id: textAt(item, 'ID'),
    name: textAt(item, 'Spec', 'Name'),
    version: Number(version ?? 0),
    labels: typeof labels === 'object' && labels !== null ? (labels as Record<string, string>) : {},
    data: Buffer.from(textAt(item, 'Spec', 'Data'), 'base64'),
  };
}

function named(kind: 'config' | 'secret', answer: Json): StackObject {
  const item = objectIn(kind, answer);
  return {
    kind,
    id: textAt(item, 'ID'),
    name: textAt(item, 'Spec', 'Name'),
    labels: at(item, 'Spec', 'Labels') ?? null,
  };
}

interface Sending {
  readonly body?: Json | undefined;
  readonly registryAuth?: string | undefined;
  /** Where the engine itself waits for somebody: then there may be nothing wrong with the connection. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Makes something of an answer's bytes. */
type Use<Result> = (bytes: Buffer, what: string) => Result;

/** The words of a refusal. */
function refusalIn(bytes: Buffer): string {
  const text = bytes.toString('utf8').trim();
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === 'string') return message;
  } catch {
    // Not JSON: the text itself is the best there is.
  }
  return text;
}

const jsonIn: Use<Json> = (bytes, what) =>
  parsed(what, bytes, () => parseJson(bytes.toString('utf8')));

/** @returns null where there is no body */
function parsed<Result>(what: string, bytes: Buffer, parse: () => Result): Result | null {
  const start = bytes.toString('utf8', 0, 800).trim();
  if (start === '') return null;
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new DeployError(
      'docker-unavailable',
      'unreachable',
      `the answer to ${what} is no JSON: ${start.slice(0, 200)}`,
      { hint: 'Something other than the Docker engine answers on its socket.', cause: error },
    );
  }
}

/** What node:http asks of a socket beyond being a stream. */
function asSocket(stream: Duplex): Duplex {
  const same = (): Duplex => stream;
  return Object.assign(stream, {
    setKeepAlive: same,
    setNoDelay: same,
    setTimeout: same,
    ref: same,
    unref: same,
  });
}
