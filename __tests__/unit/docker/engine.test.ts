import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { Engine, EngineError, formatJson, parseJson } from '../../../src/docker/engine.js';
import { ConnectionLost, DeployError, TimedOut } from '../../../src/errors.js';
import { sameJson } from '../../../src/model.js';

interface Asked {
  readonly line: string;
  readonly body: string;
  readonly headers: IncomingMessage['headers'];
}

let server: Server;
let engine: Engine;
let asked: Asked[];
let streams: Socket[];
let reply: (request: Asked, response: ServerResponse) => void;

const json = (response: ServerResponse, value: string, status = 200): void => {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(value);
};

beforeEach(async () => {
  asked = [];
  streams = [];
  reply = (_, response) => json(response, '[]');
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const one = { line: `${method} ${url}`, body: Buffer.concat(chunks).toString(), headers };
      asked.push(one);
      reply(one, response);
    });
  });
  server.keepAliveTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  engine = new Engine(async () => {
    const socket = connect(port, '127.0.0.1');
    streams.push(socket);
    await once(socket, 'connect');
    return socket;
  });
});

afterEach(async () => {
  engine.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const failure = async (promise: Promise<unknown>): Promise<Error> => {
  const error: unknown = await promise.then(
    (value) => new TypeError(`was expected to fail, gave ${JSON.stringify(value)}`),
    (each: unknown) => each,
  );
  expect(error).toBeInstanceOf(Error);
  return error as Error;
};

it.each(['..', 'a%zz', 'a/b', 'a b', '', 'a?x=1'])(
  'does not ask for a config by what cannot be a name: %j',
  async (name) => {
    expect(await engine.config(name)).toBeUndefined();
    expect(asked).toEqual([]);
  },
);

describe('the version', () => {
  it('is asked for once, and spoken from then on', async () => {
    reply = ({ line }, response) =>
      json(
        response,
        line.endsWith('/version') ? '{"Version":"20.10.24","ApiVersion":"1.41"}' : '[]',
      );
    expect(await engine.negotiate()).toEqual({ version: '20.10.24', apiVersion: '1.41' });
    await engine.nodes();
    expect(asked.map(({ line }) => line)).toEqual(['GET /version', 'GET /v1.41/nodes']);
  });

  it.each(['{}', '[]', '"1.41"', '{"ApiVersion":1.41}', '{"ApiVersion":"1.41/../.."}'])(
    'that is not said is an error: %s',
    async (answer) => {
      reply = (_, response) => json(response, answer);
      expect(await failure(engine.negotiate())).toBeInstanceOf(DeployError);
    },
  );

  it.each([
    ['{"Name":"m","Swarm":{"ControlAvailable":true,"LocalNodeState":"active"}}', true, 'active'],
    ['{"Name":"m","Swarm":{"ControlAvailable":false,"LocalNodeState":"active"}}', false, 'active'],
    ['{"Name":"m"}', false, 'inactive'],
  ])('info %s', async (body, isManager, state) => {
    reply = (_, response) => json(response, body);
    expect(await engine.swarmInfo()).toEqual({
      isManager,
      state,
      nodeName: 'm',
      swarmId: '',
      error: '',
    });
  });
});

it('tells a trace what was asked, what came and how much, and no body or header', async () => {
  const lines: string[] = [];
  const seen = new Engine(
    async () => {
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
      await once(socket, 'connect');
      return socket;
    },
    undefined,
    (line) => lines.push(line.replace(/[\d.]+ ms$/, 'N ms')),
  );
  try {
    await seen.tasks({ stack: 'shop' });
    reply = (_, response) => json(response, '{"message":"no"}', 500);
    await failure(seen.createService({ Name: 'hunter2' }, 'hunter3'));
    reply = (_, response) => void response.destroy();
    await failure(seen.nodes());
  } finally {
    seen.close();
  }
  expect(lines).toEqual([
    'engine: GET /tasks filters={"label":["com.docker.stack.namespace=shop"]} -> 200, 2 bytes, N ms',
    'engine: POST /services/create (18 bytes) -> 500, 16 bytes, N ms',
    expect.stringMatching(/^engine: GET \/nodes -> .+, 0 bytes, N ms$/),
  ]);
  expect(lines.join()).not.toContain('hunter');
});

describe('exactness', () => {
  const text =
    '{"Name":"api","Max":9223372036854775807,"Min":-9223372036854775808,"Limit":9007199254740993,' +
    '"Small":12,"Zero":0,"Share":0.25,"Text":"a \\u2028 \\"é\\" 日本","None":null,"List":[1,9223372036854775807],"Empty":{}}';

  it('keeps every digit of a spec that is read and written back', async () => {
    reply = ({ line }, response) =>
      json(
        response,
        line.startsWith('GET') ? `{"ID":"s","Version":{"Index":5},"Spec":${text}}` : '',
      );
    const service = await engine.service('s');
    await engine.updateService('s', 5, service!.Spec, { registryAuthFrom: 'previous-spec' });
    const [, update] = asked;
    expect(update?.line).toBe('POST /services/s/update?version=5&registryAuthFrom=previous-spec');
    expect(update?.headers['content-length']).toBe(String(Buffer.byteLength(update?.body ?? '')));
    expect(update?.body).toBe(text.replaceAll('\\u2028', '\u2028'));
  });

  it('keeps it through lists too', async () => {
    reply = (_, response) => json(response, `[{"ID":"s","Version":{"Index":5},"Spec":${text}}]`);
    const {
      items: [service],
    } = await engine.serviceList('shop');
    expect(service?.Spec['Max']).toBe(9223372036854775807n);
    expect(sameJson(parseJson(formatJson(service!.Spec)), service?.Spec)).toBe(true);
  });

  it('asks for a rollback in the words of the API', async () => {
    await engine.updateService('s', 7, { Name: 'api' }, { rollback: 'previous' });
    expect(asked[0]?.line).toBe('POST /services/s/update?version=7&rollback=previous');
  });
});

describe('reading', () => {
  const filtersOf = ({ line }: Asked): unknown =>
    JSON.parse(new URL(line.slice(4), 'http://x').searchParams.get('filters') ?? 'null');
  const label = ['com.docker.stack.namespace=my stack'];

  it('asks for the tasks of a stack or of some services, and for those of the live spec', async () => {
    await engine.tasks({ stack: 'my stack' });
    await engine.upToDate({ stack: 'my stack' });
    await engine.tasks({ services: ['a', 'b'] });
    await engine.upToDate({ services: ['a', 'b'] });
    expect(asked.map(filtersOf)).toEqual([
      { label },
      { label, '_up-to-date': ['true'] },
      { service: ['a', 'b'] },
      { service: ['a', 'b'], '_up-to-date': ['true'] },
    ]);
  });

  it('keeps of a task what decisions need', async () => {
    const kept = {
      ID: 't',
      CreatedAt: '2026-01-01T00:00:00.5Z',
      ServiceID: 's',
      Slot: 2,
      NodeID: 'n',
      DesiredState: 'running',
      JobIteration: { Index: 3 },
      Status: {
        Timestamp: '2026-01-01T00:00:01Z',
        State: 'failed',
        Message: 'started',
        Err: 'task: non-zero exit (3)',
        ContainerStatus: { ContainerID: 'c', ExitCode: 3 },
      },
    };
    const task = {
      ...kept,
      Spec: { ContainerSpec: { Env: ['A=1'] } },
      NetworksAttachments: [],
      Status: { ...kept.Status, ContainerStatus: { ...kept.Status.ContainerStatus, PID: 7 } },
    };
    const small = {
      ID: 'u',
      CreatedAt: '',
      ServiceID: 's',
      DesiredState: 'running',
      Status: { State: 'new' },
    };
    reply = (_, response) => json(response, JSON.stringify([task, small]));
    const { items } = await engine.tasks({ stack: 'shop' });
    expect(items).toEqual([kept, small]);
  });

  it('gives the same list again while the engine says the same', async () => {
    const one = '[{"ID":"s","Version":{"Index":5},"Spec":{"Name":"api"}}]';
    let text = one;
    reply = (_, response) => json(response, text);
    const first = await engine.serviceList('my stack');
    expect(filtersOf(asked[0]!)).toEqual({ label });
    expect(new URL(asked[0]!.line.slice(4), 'http://x').searchParams.get('status')).toBe('true');
    expect(await engine.serviceList('my stack', first)).toBe(first);
    text = one.replace('5', '6');
    const second = await engine.serviceList('my stack', first);
    expect(second).not.toBe(first);
    expect(second.items).toMatchObject([{ Version: { Index: 6 } }]);
    text = one;
    expect((await engine.serviceList('my stack', second)).items).toEqual(first.items);
  });

  it('does not take a fault in what reads an answer for a lost connection', async () => {
    reply = (_, response) =>
      json(response, '[{"ID":"s","Version":{"Index":5},"Spec":{"Name":"a"}}]');
    const listing = engine.serviceList('shop', undefined, () => {
      throw new RangeError('a fault');
    });
    await expect(listing).rejects.toThrow(new RangeError('a fault'));
    reply = (_, response) => json(response, '<html>');
    await expect(engine.serviceList('shop')).rejects.toThrow(/is no JSON: <html>/);
  });

  it('lists what belongs to a stack', async () => {
    reply = ({ line }, response) =>
      json(
        response,
        line.includes('/networks')
          ? '[{"Id":"n1","Name":"shop_default"}]'
          : `[{"ID":"${line.includes('/configs') ? 'c1' : 's1'}","Spec":{"Name":"x","Labels":{"a":"b"}}}]`,
      );
    expect(await engine.stackObjects('shop')).toEqual([
      {
        kind: 'network',
        id: 'n1',
        name: 'shop_default',
        definition: { Id: 'n1', Name: 'shop_default' },
      },
      { kind: 'config', id: 'c1', name: 'x', labels: { a: 'b' } },
      { kind: 'secret', id: 's1', name: 'x', labels: { a: 'b' } },
    ]);
  });

  it('takes null for an empty list', async () => {
    reply = (_, response) => json(response, 'null');
    expect((await engine.nodes()).items).toEqual([]);
  });

  it('puts characters together that arrive in pieces', async () => {
    reply = (_, response) => {
      const bytes = Buffer.from('[{"ID":"ü日本","Spec":{},"Status":{}}]');
      response.writeHead(200);
      for (const byte of bytes) response.write(Buffer.from([byte]));
      response.end();
    };
    expect((await engine.nodes()).items).toEqual([{ ID: 'ü日本', Spec: {}, Status: {} }]);
  });
});

describe('one stream', () => {
  it('serves a hundred requests, one after another and at once', async () => {
    for (let count = 0; count < 50; count += 1) await engine.nodes();
    await Promise.all(Array.from({ length: 50 }, () => engine.nodes()));
    expect(asked).toHaveLength(100);
    expect(streams).toHaveLength(1);
  });

  it('goes on after an error of the engine', async () => {
    reply = ({ line }, response) =>
      line.includes('tasks') ? json(response, '{"message":"no"}', 500) : json(response, '[]');
    await failure(engine.tasks({ stack: 'shop' }));
    await engine.nodes();
    expect(streams).toHaveLength(1);
  });

  it('is made again after it died, and the request it died in is lost', async () => {
    reply = ({ line }, response) => {
      if (line.includes('tasks')) response.socket?.destroy();
      else json(response, '[]');
    };
    expect(await failure(engine.tasks({ stack: 'shop' }))).toBeInstanceOf(ConnectionLost);
    expect((await engine.nodes()).items).toEqual([]);
    expect(streams).toHaveLength(2);
  });

  it('that dies while nobody asks is made again', async () => {
    await engine.nodes();
    const [first] = streams;
    first?.destroy();
    await once(first!, 'close');
    expect((await engine.nodes()).items).toEqual([]);
    expect(streams).toHaveLength(2);
  });

  it('that dies in the middle of an answer is lost', async () => {
    reply = (_, response) => {
      response.writeHead(200, { 'Content-Length': '1000' });
      response.write('[{"ID":');
      setImmediate(() => response.socket?.destroy());
    };
    expect(await failure(engine.nodes())).toBeInstanceOf(ConnectionLost);
  });

  it('that speaks no HTTP is lost', async () => {
    reply = (_, response) => {
      response.socket?.end('bash: docker: command not found\n');
    };
    expect(await failure(engine.nodes())).toBeInstanceOf(ConnectionLost);
  });

  it('that cannot be opened is lost, or whatever the transport says', async () => {
    const plain = new Engine(() => Promise.reject(new Error('no route')));
    expect(await failure(plain.nodes())).toBeInstanceOf(ConnectionLost);
    const own = new DeployError('auth-failed', 'invalid', 'refused');
    const told = new Engine(() => Promise.reject(own));
    expect(await failure(told.nodes())).toBe(own);
  });

  it('on which nothing is said for 15 s is given up', async () => {
    await engine.nodes();
    let arrived = (): void => undefined;
    const there = new Promise<void>((resolve) => (arrived = resolve));
    reply = () => arrived();
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
    try {
      const waiting = failure(engine.nodes());
      await there;
      jest.advanceTimersByTime(14_999);
      let over = false;
      void waiting.then(() => (over = true));
      await new Promise((resolve) => setImmediate(resolve));
      expect(over).toBe(false);
      jest.advanceTimersByTime(1);
      const error = await waiting;
      expect(error).toBeInstanceOf(ConnectionLost);
      expect(error.message).toBe('the engine did not answer GET /nodes within 15 s');
    } finally {
      jest.useRealTimers();
    }
    reply = (_, response) => json(response, '[]');
    expect((await engine.nodes()).items).toEqual([]);
  });

  describe('on a slow line', () => {
    let slow: ServerResponse;
    let arrived: Promise<void>;
    /** An answer that comes bit by bit, with a request for another one behind it. */
    const begin = (): void => {
      let there = (): void => undefined;
      arrived = new Promise<void>((resolve) => (there = resolve));
      reply = ({ line }, response) => {
        if (!line.includes('/tasks')) {
          json(response, '[]');
          return;
        }
        slow = response;
        response.writeHead(200, { 'Content-Type': 'application/json' });
        response.write('[');
        there();
      };
    };
    const bit = async (ms: number): Promise<void> => {
      slow.write(' '.repeat(1000));
      for (let turn = 0; turn < 20; turn += 1)
        await new Promise((resolve) => setImmediate(resolve));
      jest.advanceTimersByTime(ms);
    };

    beforeEach(async () => {
      await engine.nodes();
      begin();
      jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
    });
    afterEach(() => void jest.useRealTimers());

    it('an answer may take its time as long as it comes, and those behind it wait', async () => {
      const tasks = engine.tasks({ stack: 'shop' });
      const behind = engine.nodes();
      await arrived;
      for (let count = 0; count < 10; count += 1) await bit(12_000);
      slow.end(']');
      expect((await tasks).items).toEqual([]);
      expect((await behind).items).toEqual([]);
      expect(streams).toHaveLength(1);
    });

    it('one that stops in the middle is given up', async () => {
      const tasks = failure(engine.tasks({ stack: 'shop' }));
      await arrived;
      await bit(14_000);
      await bit(15_000);
      const error = await tasks;
      expect(error).toBeInstanceOf(ConnectionLost);
    });

    it('one that never ends is given up as well', async () => {
      const over = jest.fn();
      const tasks = failure(engine.tasks({ stack: 'shop' })).finally(over);
      await arrived;
      for (let count = 0; count < 17; count += 1) await bit(10_000);
      expect(over).not.toHaveBeenCalled();
      for (let count = 0; count < 4; count += 1) await bit(10_000);
      expect(await tasks).toBeInstanceOf(ConnectionLost);
    });

    it('a write does not wait behind it for longer than the lock is trusted', async () => {
      const tasks = engine.tasks({ stack: 'shop' });
      tasks.catch(() => undefined);
      await arrived;
      const write = failure(engine.removeService('abc'));
      await bit(8000);
      await bit(8000);
      slow.end(']');
      expect(await write).toBeInstanceOf(ConnectionLost);
      expect(asked.map(({ line }) => line)).not.toContain('DELETE /services/abc');
    });

    it('what is large may take long to be sent', async () => {
      const posted: Asked[] = [];
      reply = (one) => posted.push(one);
      const data = Buffer.alloc(300_000);
      const writing = failure(engine.createConfig({ name: 'large', labels: {}, data }));
      let over = false;
      void writing.then(() => (over = true));
      while (posted.length === 0) await new Promise((resolve) => setImmediate(resolve));
      jest.advanceTimersByTime(40_000);
      await new Promise((resolve) => setImmediate(resolve));
      expect(over).toBe(false);
      jest.advanceTimersByTime(20_000);
      expect(await writing).toBeInstanceOf(ConnectionLost);
    });
  });

  it('is not lost while a registry is waited for in front of it', async () => {
    await engine.nodes();
    const waiting: ServerResponse[] = [];
    let arrived = (): void => undefined;
    const there = new Promise<void>((resolve) => (arrived = resolve));
    reply = ({ line }, response) => {
      if (line.includes('/auth')) {
        waiting.push(response);
        arrived();
      } else json(response, '[]');
    };
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
    try {
      const auth = { username: 'u', password: 'p', serveraddress: 'slow.example' };
      const login = engine.logIn(auth, 30_000, new AbortController().signal);
      const listed = engine.nodes();
      listed.catch(() => undefined);
      await there;
      jest.advanceTimersByTime(29_000);
      json(waiting[0] as ServerResponse, '{"Status":"Login Succeeded"}');
      expect(await login).toBe('');
      expect((await listed).items).toEqual([]);
    } finally {
      jest.useRealTimers();
    }
  });
});

describe('refusals', () => {
  it("carry the engine's words, status and what was asked, without the query", async () => {
    reply = (_, response) => json(response, '{"message":"update out of sequence"}', 500);
    const error = await failure(engine.updateService('s', 1, { Name: 'api' }));
    expect(error).toBeInstanceOf(EngineError);
    expect(error).toMatchObject({
      status: 500,
      message: 'update out of sequence',
      request: 'POST /services/s/update',
    });
  });

  it.each([
    ['<html><body>502 Bad Gateway</body></html>', '<html><body>502 Bad Gateway</body></html>'],
    ['', 'HTTP 502'],
    ['{"message":5}', '{"message":5}'],
  ])('of something that is no engine: %s', async (body, message) => {
    reply = (_, response) => json(response, body, 502);
    expect(await failure(engine.nodes())).toMatchObject({ status: 502, message });
  });

  it.each(['<html>welcome</html>', '[{"ID":', 'OK'])(
    'an answer that is no JSON says so: %s',
    async (body) => {
      reply = (_, response) => json(response, body);
      for (const ask of [() => engine.nodes(), () => engine.serviceList('shop')]) {
        const error = await failure(ask());
        expect(error).toBeInstanceOf(DeployError);
        expect(error.message).toContain('no JSON');
      }
    },
  );

  it('404 is no service, and nothing to remove', async () => {
    reply = (_, response) => json(response, '{"message":"not found"}', 404);
    expect(await engine.service('s')).toBeUndefined();
    await engine.removeService('s');
    expect(await engine.removeObject({ kind: 'config', id: 'c', name: 'c' })).toBe(true);
  });

  it.each([400, 403, 409, 412])('%i: an object that is in use stays', async (status) => {
    reply = (_, response) => json(response, '{"message":"in use"}', status);
    expect(await engine.removeObject({ kind: 'network', id: 'n', name: 'n' })).toBe(false);
    expect(asked[0]?.line).toBe('DELETE /networks/n');
  });

  it('others are errors', async () => {
    reply = (_, response) => json(response, '{"message":"broken"}', 500);
    expect(
      await failure(engine.removeObject({ kind: 'secret', id: 's', name: 's' })),
    ).toBeInstanceOf(EngineError);
    expect(await failure(engine.removeService('s'))).toBeInstanceOf(EngineError);
  });
});

describe('registries', () => {
  const auth = { username: 'ci', password: 'pass', serveraddress: 'r.example.com' };
  const answers = (status: number, body: string): void => {
    reply = (_, response) => {
      response.writeHead(status, { 'Content-Type': 'application/json' });
      response.end(body);
    };
  };
  const { signal } = new AbortController();

  it('are logged into by the engine', async () => {
    answers(200, '{"Status":"Login Succeeded","IdentityToken":"t"}');
    expect(await engine.logIn(auth, 1000, signal)).toBe('t');
    expect(asked[0]?.line).toBe('POST /auth');
    expect(JSON.parse(asked[0]?.body ?? '')).toEqual(auth);
    answers(204, '');
    expect(await engine.logIn(auth, 1000, signal)).toBe('');
  });

  it('refuse in their own words', async () => {
    answers(401, '{"message":"unauthorized: incorrect username or password"}');
    expect(await failure(engine.logIn(auth, 1000, signal))).toMatchObject({
      status: 401,
      message: 'unauthorized: incorrect username or password',
    });
  });

  it('that take too long are no lost connection', async () => {
    reply = () => undefined;
    expect(await failure(engine.logIn(auth, 20, signal))).toBeInstanceOf(TimedOut);
  });

  it('that do not answer say nothing', async () => {
    reply = () => undefined;
    expect(await engine.registryHas('r/api', undefined, 20)).toBeUndefined();
  });

  it('are not waited for by a run that is cancelled', async () => {
    const cancel = new AbortController();
    reply = () => cancel.abort();
    expect(await failure(engine.logIn(auth, 60_000, cancel.signal))).toBeInstanceOf(ConnectionLost);
  });

  it.each([
    [200, '{}', true],
    [404, '{"message":"manifest unknown: manifest unknown"}', false],
    [404, '{"message":"errors: name unknown: repository name not known to registry"}', false],
    [401, '{"message":"unauthorized: authentication required"}', undefined],
    [500, '{"message":"Get https://r/v2/: dial tcp: connection refused"}', undefined],
    [500, '{"message":"Head https://r/v2/api/manifests/9: no basic auth credentials"}', undefined],
    [404, '{"message":"page not found"}', undefined],
  ])('%i %s: has it is %s', async (status, body, expected) => {
    answers(status, body);
    expect(await engine.registryHas('r/api@sha256:1', 'auth', 5000)).toBe(expected);
    expect(asked[0]).toMatchObject({ line: 'GET /distribution/r/api@sha256:1/json' });
    expect(asked[0]?.headers['x-registry-auth']).toBe('auth');
  });
});

it('reads the healthcheck of an image, where the manager has it', async () => {
  const Healthcheck = { Test: ['CMD', 'check'], Interval: 5_000_000_000 };
  const read = async (body: unknown, status = 200): Promise<unknown> => {
    reply = (_, response) => json(response, JSON.stringify(body), status);
    return await engine.imageHealthcheck('api:2');
  };
  expect(await read({ Config: { Healthcheck } })).toEqual(Healthcheck);
  expect(await read({ Config: {} })).toBeNull();
  expect(await read({ message: 'No such image' }, 404)).toBeUndefined();
});
