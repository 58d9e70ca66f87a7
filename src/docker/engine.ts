/**
 * The Engine API over one long-lived `docker system dial-stdio`: HTTP with keep-alive on the
 * stream that the transport gives, so that a poll starts no process on the manager.
 */
import { Agent, request, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { isSafeNumber, parse, stringify } from 'lossless-json';
import { ConnectionLost, DeployError } from '../errors.js';
import {
  at,
  type Json,
  type JsonObject,
  type Node,
  type Service,
  type ServiceSpec,
  type Snapshot,
  type Task,
} from '../model.js';

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
}

type Method = 'GET' | 'POST' | 'DELETE';
type Filters = Readonly<Record<string, readonly string[]>>;

const STACK_LABEL = 'com.docker.stack.namespace';
/** A request takes 3 to 5 ms; one that takes this long has met a dead connection or engine. */
const REQUEST_TIMEOUT_MS = 15_000;

/**
 * Numbers that a double cannot hold (a memory limit near 2^63) stay exact as bigint, so that a
 * kept spec can be written back as it was.
 */
function exactNumber(text: string): number | bigint {
  if (isSafeNumber(text)) return Number(text);
  return /^-?\d+$/.test(text) ? BigInt(text) : Number(text);
}

export function parseJson(text: string): Json {
  return parse(text, undefined, { parseNumber: exactNumber }) as Json;
}

export function formatJson(value: Json): string {
  return stringify(value) ?? 'null';
}

export class Engine {
  readonly #agent: Agent;
  #prefix = '';
  /** From the `Date` of the last answer, whole seconds. */
  #managerTime: number | undefined;

  /** @param openStream starts `docker system dial-stdio` and gives its input and output */
  constructor(openStream: () => Promise<Duplex>) {
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
    const answer = (await this.#call('GET', '/version')) as {
      Version?: string;
      ApiVersion?: string;
    };
    if (answer.ApiVersion === undefined)
      throw new DeployError('docker-unavailable', 'invalid', 'the engine did not say its version');
    this.#prefix = `/v${answer.ApiVersion}`;
    return { version: answer.Version ?? 'unknown', apiVersion: answer.ApiVersion };
  }

  async swarmInfo(): Promise<SwarmInfo> {
    const info = (await this.#call('GET', '/info')) as {
      Name?: string;
      Swarm?: { ControlAvailable?: boolean; LocalNodeState?: string; Error?: string };
    };
    return {
      isManager: info.Swarm?.ControlAvailable === true,
      state: info.Swarm?.LocalNodeState ?? 'inactive',
      nodeName: info.Name ?? '',
      error: info.Swarm?.Error ?? '',
    };
  }

  async services(stack: string): Promise<readonly Service[]> {
    return (await this.#list('/services', {
      label: [`${STACK_LABEL}=${stack}`],
    })) as unknown as readonly Service[];
  }

  /** One service with its exact spec, or undefined where there is none. */
  async service(id: string): Promise<Service | undefined> {
    try {
      return (await this.#call('GET', `/services/${id}`)) as unknown as Service;
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) return undefined;
      throw error;
    }
  }

  async tasks(stack: string, more: Filters = {}): Promise<readonly Task[]> {
    return (await this.#list('/tasks', {
      label: [`${STACK_LABEL}=${stack}`],
      ...more,
    })) as unknown as readonly Task[];
  }

  async nodes(): Promise<readonly Node[]> {
    return (await this.#list('/nodes')) as unknown as readonly Node[];
  }

  /**
   * Everything a verdict needs. Tasks are read before services: a spec that changes in between is
   * then seen as changed, instead of being judged by the tasks of the one before.
   * @param at milliseconds on the caller's clock
   */
  async snapshot(stack: string, at: number): Promise<Snapshot> {
    const tasks = await this.tasks(stack);
    // The filter that the CLI itself counts by; a task carries no version of its spec.
    const upToDate = await this.tasks(stack, { '_up-to-date': ['true'] });
    const nodes = await this.nodes();
    const services = await this.services(stack);
    return {
      at,
      services,
      tasks,
      nodes,
      upToDate: new Set(upToDate.map((task) => task.ID)),
      ...(this.#managerTime === undefined ? {} : { managerTime: this.#managerTime }),
    };
  }

  /** Networks, configs and secrets that carry the stack's label. */
  async stackObjects(stack: string): Promise<readonly StackObject[]> {
    const filters = { label: [`${STACK_LABEL}=${stack}`] };
    const networks = await this.#list('/networks', filters);
    const configs = await this.#list('/configs', filters);
    const secrets = await this.#list('/secrets', filters);
    return [
      ...networks.map((item) => ({
        kind: 'network' as const,
        id: textAt(item, 'Id'),
        name: textAt(item, 'Name'),
      })),
      ...configs.map((item) => named('config', item)),
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
  ): Promise<void> {
    const query = new URLSearchParams({ version: String(version), ...options });
    await this.#call('POST', `/services/${id}/update?${query.toString()}`, spec);
  }

  async removeService(id: string): Promise<void> {
    await this.#remove(`/services/${id}`);
  }

  /** Gives a config or secret the labels that it had; they are all of it that can change. */
  async restoreLabels(object: StackObject): Promise<void> {
    const live = await this.#call('GET', `/${object.kind}s/${object.id}`);
    const index = at(live, 'Version', 'Index');
    const version = typeof index === 'number' ? String(index) : '';
    await this.#call('POST', `/${object.kind}s/${object.id}/update?version=${version}`, {
      ...(at(live, 'Spec') as JsonObject),
      Labels: object.labels ?? null,
    });
  }

  /**
   * Whether the image has a healthcheck of its own, where this manager has the image.
   * @returns undefined where it has not
   */
  async imageHasHealthcheck(image: string): Promise<boolean | undefined> {
    try {
      const answer = await this.#call('GET', `/images/${image}/json`);
      const test = at(answer, 'Config', 'Healthcheck', 'Test');
      return Array.isArray(test) && test.length > 0 && test[0] !== 'NONE';
    } catch (error) {
      if (error instanceof EngineError) return undefined;
      throw error;
    }
  }

  /** @returns false when the object is still in use */
  async removeObject(object: StackObject): Promise<boolean> {
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

  async #list(path: string, filters: Filters = {}): Promise<readonly JsonObject[]> {
    const query =
      Object.keys(filters).length === 0
        ? ''
        : `?filters=${encodeURIComponent(JSON.stringify(filters))}`;
    const answer = await this.#call('GET', `${path}${query}`);
    return Array.isArray(answer) ? (answer as readonly JsonObject[]) : [];
  }

  #call(method: Method, path: string, body?: Json): Promise<Json> {
    // Only specs are ever written back; the exact parser takes several times as long.
    const parseBody = path.startsWith('/services')
      ? parseJson
      : (JSON.parse as (text: string) => Json);
    const what = `${method} ${path.split('?')[0] ?? path}`;
    const payload = body === undefined ? undefined : Buffer.from(formatJson(body));
    return new Promise<Json>((resolve, reject) => {
      const outgoing = request(
        {
          agent: this.#agent,
          method,
          path: `${this.#prefix}${path}`,
          headers: {
            Host: 'docker',
            ...(payload === undefined
              ? {}
              : { 'Content-Type': 'application/json', 'Content-Length': payload.length }),
          },
        },
        (incoming) => {
          const time = Date.parse(incoming.headers.date ?? '');
          if (!Number.isNaN(time)) this.#managerTime = time;
          collect(incoming, what, parseBody).then(resolve, reject);
        },
      );
      const timer = setTimeout(() => {
        outgoing.destroy(
          new ConnectionLost(
            `the engine did not answer ${what} within ${REQUEST_TIMEOUT_MS / 1000} s`,
          ),
        );
      }, REQUEST_TIMEOUT_MS);
      outgoing.once('close', () => clearTimeout(timer));
      outgoing.once('error', (error: Error) => {
        reject(
          error instanceof DeployError
            ? error
            : new ConnectionLost(`lost the connection to the engine: ${error.message}`, {
                cause: error,
              }),
        );
      });
      outgoing.end(payload);
    });
  }
}

function textAt(item: JsonObject, ...path: readonly string[]): string {
  const value = at(item, ...path);
  return typeof value === 'string' ? value : '';
}

function named(kind: 'config' | 'secret', item: JsonObject): StackObject {
  return {
    kind,
    id: textAt(item, 'ID'),
    name: textAt(item, 'Spec', 'Name'),
    labels: at(item, 'Spec', 'Labels') ?? null,
  };
}

async function collect(
  incoming: IncomingMessage,
  what: string,
  parseBody: (text: string) => Json,
): Promise<Json> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
  } catch (error) {
    throw error instanceof DeployError
      ? error
      : new ConnectionLost(`lost the connection to the engine in the answer to ${what}`, {
          cause: error,
        });
  }
  const text = Buffer.concat(chunks).toString('utf8');
  const status = incoming.statusCode ?? 0;
  if (status >= 200 && status < 300) {
    if (text.trim() === '') return null;
    try {
      return parseBody(text);
    } catch (error) {
      throw new DeployError(
        'docker-unavailable',
        'unreachable',
        `the answer to ${what} is no JSON: ${text.trim().slice(0, 200)}`,
        { hint: 'Something other than the Docker engine answers on its socket.', cause: error },
      );
    }
  }
  let message = text.trim();
  try {
    const parsed = JSON.parse(text) as { message?: unknown };
    if (typeof parsed.message === 'string') message = parsed.message;
  } catch {
    // Not JSON: the text itself is the best there is.
  }
  throw new EngineError(status, message === '' ? `HTTP ${status}` : message, what);
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
