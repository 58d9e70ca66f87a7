/**
 * An engine that stands in for the manager's own one while `docker stack deploy` runs: what the CLI asks
 * is asked of the real engine, and what it would write is kept here and written nowhere. So a plan is made
 * of the very specs that the CLI of that manager would send. Only what is named here is answered at all.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { formatJson, parseJson } from '../docker/engine.js';
import { at, type Json, type JsonObject, type Service, type ServiceSpec } from '../model.js';
import { without } from './canonical.js';
import { asSocket, type Answer, type Passage } from './passage.js';

export type ObjectKind = 'network' | 'config' | 'secret';

/** A service as `docker stack deploy` would write it. */
export interface CaughtService {
  /** As the CLI saw it; undefined where it would be created. */
  readonly live: Service | undefined;
  readonly spec: ServiceSpec;
}

/** A network, config or secret that `docker stack deploy` would create, or write anew. */
export interface CaughtObject {
  readonly kind: ObjectKind;
  readonly name: string;
  /** What is sent, without the content of configs and secrets. */
  readonly spec: JsonObject;
  /** As it is; undefined where it would be created. */
  readonly live: JsonObject | undefined;
}

export interface Caught {
  readonly services: readonly CaughtService[];
  readonly objects: readonly CaughtObject[];
  /** The stack's services as the CLI saw them. */
  readonly live: readonly Service[];
}

type Kind = ObjectKind | 'service';
const KINDS: ReadonlyMap<string, Kind> = new Map([
  ['services', 'service'],
  ['networks', 'network'],
  ['configs', 'config'],
  ['secrets', 'secret'],
]);

/** What else is passed on: it tells of the engine and of images, and changes nothing. */
const PASSED_ON = [/^\/_ping$/, /^\/version$/, /^\/info$/, /^\/distribution\/.+\/json$/];

/** As the engine gives them: an id of the swarm's own kind, which none of its own has. */
const idOf = (number: number): string => `plan${String(number).padStart(21, '0')}`;

interface Created {
  readonly kind: Kind;
  readonly id: string;
  readonly item: JsonObject;
}

export class StandIn {
  readonly #passage: Passage;
  readonly #server: Server;
  readonly #services: CaughtService[] = [];
  readonly #objects: CaughtObject[] = [];
  readonly #created: Created[] = [];
  /** What was read of the swarm, by kind and id: what a write is compared with. */
  readonly #seen = new Map<string, JsonObject>();
  #live: readonly Service[] = [];
  readonly #unknownImages = new Map<string, string>();
  #loss: Error | undefined;
  #refused: string | undefined;

  constructor(passage: Passage) {
    this.#passage = passage;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        this.#loss ??= error instanceof Error ? error : new Error(String(error));
        refuse(response, 503, `the plan was given up: ${this.#loss.message}`);
      });
    });
    // The CLI's connection has no time limit of its own; the command has.
    Object.assign(this.#server, { keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0 });
  }

  /** @param used is called with the connection's first request */
  connect(stream: Duplex, used: () => void): void {
    this.#users.set(stream, used);
    stream.once('error', () => stream.destroy());
    this.#server.emit('connection', asSocket(stream));
  }
  readonly #users = new WeakMap<Duplex, () => void>();

  /** Why the real engine did not answer, if it did not. */
  get loss(): Error | undefined {
    return this.#loss;
  }

  /** Images that their registry does not have or does not give, with the engine's words. */
  get unknownImages(): ReadonlyMap<string, string> {
    return this.#unknownImages;
  }

  /** The first request that a plan has no answer for. */
  get refused(): string | undefined {
    return this.#refused;
  }

  get caught(): Caught {
    return { services: this.#services, objects: this.#objects, live: this.#live };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#users.get(request.socket)?.();
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = '', url = '' } = request;
    const { pathname, searchParams } = new URL(url, 'http://docker');
    const path = pathname.replace(/^\/v\d+\.\d+(?=\/)/, '');
    const body = Buffer.concat(chunks).toString('utf8');
    const [, collection = '', ...rest] = path.split('/');
    const kind = KINDS.get(collection);
    const forward = (): Promise<Answer> =>
      this.#passage(method === 'HEAD' ? 'HEAD' : 'GET', url, headersFor(request));
    const isRead = method === 'GET' || method === 'HEAD';
    if (isRead && PASSED_ON.some((known) => known.test(path))) {
      const answer = await forward();
      this.#noteImage(path, answer);
      pass(response, answer);
    } else if (method === 'GET' && kind !== undefined && path === `/${collection}`) {
      this.#list(response, kind, searchParams, await forward());
    } else if (method === 'GET' && kind !== undefined && rest.length === 1) {
      const made = this.#find(kind, decodeURIComponent(rest[0] ?? ''));
      if (made !== undefined) reply(response, 200, made.item);
      else {
        const answer = await forward();
        if (answer.status === 200) this.#remember(kind, parseJson(answer.body.toString('utf8')));
        pass(response, answer);
      }
    } else if (method === 'POST' && kind !== undefined && rest.join('/') === 'create') {
      this.#create(response, kind, parseJson(body) as JsonObject);
    } else if (
      method === 'POST' &&
      kind !== undefined &&
      kind !== 'network' &&
      rest.length === 2 &&
      rest[1] === 'update'
    ) {
      this.#update(response, kind, decodeURIComponent(rest[0] ?? ''), parseJson(body));
    } else {
      this.#refused ??= `${method} ${path}`;
      refuse(response, 501, `a plan has no answer to ${method} ${path}`);
    }
  }

  #noteImage(path: string, { status, body }: Answer): void {
    const [, image] = /^\/distribution\/(.+)\/json$/.exec(path) ?? [];
    // 404 and 401 are those of newer engines; older ones say with 500 what the registry said.
    if (image === undefined || status < 400) return;
    const words = messageIn(body);
    if (status === 500 && !/denied|unauthorized|unknown|not found/i.test(words)) return;
    this.#unknownImages.set(decodeURIComponent(image), words);
  }

  #list(response: ServerResponse, kind: Kind, query: URLSearchParams, answer: Answer): void {
    if (answer.status !== 200) {
      pass(response, answer);
      return;
    }
    const items = parseJson(answer.body.toString('utf8')) as readonly JsonObject[] | null;
    for (const item of items ?? []) this.#remember(kind, item);
    if (kind === 'service') this.#live = (items ?? []) as unknown as readonly Service[];
    const filters = filtersIn(query.get('filters'));
    const made = this.#created.filter((each) => each.kind === kind && matches(each, filters));
    if (made.length === 0) pass(response, answer);
    else reply(response, 200, [...(items ?? []), ...made.map(({ item }) => item)]);
  }

  #remember(kind: Kind, item: Json): void {
    const id = textAt(item, kind === 'network' ? 'Id' : 'ID');
    this.#seen.set(`${kind} ${id}`, item as JsonObject);
  }

  #find(kind: Kind, idOrName: string): Created | undefined {
    return this.#created.find(
      (each) => each.kind === kind && (each.id === idOrName || nameOf(each) === idOrName),
    );
  }

  #create(response: ServerResponse, kind: Kind, spec: JsonObject): void {
    const name = textAt(spec, 'Name');
    if (this.#find(kind, name) !== undefined) {
      refuse(response, 409, `${kind} ${name} already exists`);
      return;
    }
    const id = idOf(this.#created.length + 1);
    if (kind === 'service') this.#services.push({ live: undefined, spec: spec as ServiceSpec });
    else this.#objects.push({ kind, name, spec: withoutData(spec), live: undefined });
    this.#created.push({
      kind,
      id,
      item:
        kind === 'network'
          ? { ...spec, Id: id, Scope: 'swarm' }
          : { ID: id, Version: { Index: 1 }, Spec: withoutData(spec) },
    });
    reply(response, 201, kind === 'network' ? { Id: id, Warning: '' } : { ID: id });
  }

  #update(response: ServerResponse, kind: Exclude<Kind, 'network'>, id: string, spec: Json): void {
    const live = this.#seen.get(`${kind} ${id}`);
    if (live === undefined) {
      refuse(response, 404, `${kind} ${id} not found`);
      return;
    }
    if (kind === 'service') {
      this.#services.push({ live: live as unknown as Service, spec: spec as ServiceSpec });
      reply(response, 200, { Warnings: null });
      return;
    }
    // A secret's content can be read by nobody; whether it is another one only a write would tell.
    const [was, is] = [textAt(live, 'Spec', 'Data'), textAt(spec, 'Data')];
    if (kind === 'config' && is !== '' && is !== was) {
      refuse(
        response,
        400,
        'rpc error: code = InvalidArgument desc = only updates to Labels are allowed',
      );
      return;
    }
    this.#objects.push({
      kind,
      name: textAt(spec, 'Name'),
      spec: withoutData(spec as JsonObject),
      live: withoutData(at(live, 'Spec') as JsonObject),
    });
    reply(response, 200, null);
  }
}

/** What the engine says in an answer that is an error. */
function messageIn(body: Buffer): string {
  const text = body.toString('utf8');
  try {
    return textAt(parseJson(text), 'message');
  } catch {
    return text;
  }
}

const withoutData = (spec: JsonObject): JsonObject => without(spec, 'Data');

const nameOf = ({ kind, item }: Created): string =>
  kind === 'network' ? textAt(item, 'Name') : textAt(item, 'Spec', 'Name');

function textAt(value: Json | undefined, ...path: readonly string[]): string {
  const found = at(value, ...path);
  return typeof found === 'string' ? found : '';
}

/** Lists by key; the client sends maps (`{"label":{"a=b":true}}`), older ones lists. */
function filtersIn(text: string | null): ReadonlyMap<string, readonly string[]> {
  const parsed = JSON.parse(text ?? '{}') as Record<string, readonly string[] | object>;
  return new Map(
    Object.entries(parsed).map(([key, values]) => [
      key,
      Array.isArray(values) ? (values as string[]) : Object.keys(values),
    ]),
  );
}

/** As the engine matches them: any value of a key, but every label. */
function matches(created: Created, filters: ReadonlyMap<string, readonly string[]>): boolean {
  const { kind, id, item } = created;
  const labels = at(item, ...(kind === 'network' ? ['Labels'] : ['Spec', 'Labels']));
  return [...filters].every(([key, values]) => {
    if (values.length === 0) return true;
    if (key === 'id') return values.some((value) => id.startsWith(value));
    if (key === 'name') return values.some((value) => nameOf(created).includes(value));
    if (key === 'label')
      return values.every((value) => {
        const [name = '', ...rest] = value.split('=');
        const label = at(labels, name);
        return rest.length === 0 ? label !== undefined : label === rest.join('=');
      });
    return true;
  });
}

/** Of what the CLI sends the engine needs no more than the credentials for a registry. */
function headersFor({ headers }: IncomingMessage): Readonly<Record<string, string>> {
  const auth = headers['x-registry-auth'];
  return typeof auth === 'string' ? { 'X-Registry-Auth': auth } : {};
}

function pass(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...headers, 'Content-Length': body.length });
  response.end(body);
}

function reply(response: ServerResponse, status: number, value: Json): void {
  const body = Buffer.from(value === null ? '' : formatJson(value));
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': body.length });
  response.end(body);
}

function refuse(response: ServerResponse, status: number, message: string): void {
  if (!response.headersSent) reply(response, status, { message });
}
