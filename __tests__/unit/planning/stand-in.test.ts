import { afterEach, describe, expect, it } from '@jest/globals';
import { Agent, request } from 'node:http';
import { duplexPair, type Duplex } from 'node:stream';
import { ConnectionLost } from '../../../src/errors.js';
import type { Json, JsonObject } from '../../../src/model.js';
import { asSocket, type Answer, type Passage } from '../../../src/planning/passage.js';
import { StandIn } from '../../../src/planning/stand-in.js';

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

let asked: Asked[] = [];
const agents: Agent[] = [];

afterEach(() => {
  asked = [];
  for (const agent of agents.splice(0)) agent.destroy();
});

const json = (value: Json, status = 200): Answer => ({
  status,
  headers: { 'content-type': 'application/json', 'api-version': '1.51' },
  body: Buffer.from(JSON.stringify(value)),
});

const API: JsonObject = {
  ID: 'api1',
  Version: { Index: 7 },
  Spec: { Name: 'shop_api', Labels: { 'com.docker.stack.namespace': 'shop' } },
};
const CONFIG: JsonObject = {
  ID: 'c1',
  Version: { Index: 3 },
  Spec: { Name: 'shop_c', Labels: { a: 'b' }, Data: 'b2xk' },
};

/** The real engine, as far as it is asked. */
const engine: Passage = (method, path, headers) => {
  asked.push({ method, path, headers });
  const [route = ''] = path.replace(/^\/v[\d.]+/, '').split('?');
  if (route === '/services') return Promise.resolve(json([API]));
  if (route === '/configs/shop_c') return Promise.resolve(json(CONFIG));
  if (route === '/secrets/shop_s')
    return Promise.resolve(json({ ID: 's1', Spec: { Name: 'shop_s', Labels: null } }));
  if (/^\/(networks|configs|secrets)$/.test(route)) return Promise.resolve(json([]));
  if (route === '/lost') return Promise.reject(new ConnectionLost('gone'));
  return Promise.resolve(
    route === '/_ping' || route.startsWith('/distribution')
      ? json({ ok: true })
      : json({ message: `no ${route}` }, 404),
  );
};

/** A client of the stand-in, as the Docker CLI is one: its requests one after the other. */
function clientOf(standIn: StandIn): {
  readonly send: (
    method: string,
    path: string,
    body?: Json,
    headers?: Record<string, string>,
  ) => Promise<{ readonly status: number; readonly headers: object; readonly body: Json }>;
  readonly used: () => number;
} {
  let used = 0;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  agents.push(agent);
  Object.assign(agent, {
    createConnection: (): Duplex => {
      const [near, far] = duplexPair();
      standIn.connect(far, () => (used += 1));
      return asSocket(near);
    },
  });
  return {
    used: () => used,
    send: (method, path, body, headers = {}) =>
      new Promise((resolve, reject) => {
        const sent = request(
          { agent, method, path, headers: { Host: 'docker', ...headers } },
          (incoming) => {
            const chunks: Buffer[] = [];
            incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
            incoming.once('end', () => {
              const text = Buffer.concat(chunks).toString('utf8');
              resolve({
                status: incoming.statusCode ?? 0,
                headers: incoming.headers,
                body: text === '' ? null : (JSON.parse(text) as Json),
              });
            });
          },
        );
        sent.once('error', reject);
        sent.end(body === undefined ? undefined : JSON.stringify(body));
      }),
  };
}

const filters = (value: Json): string => `filters=${encodeURIComponent(JSON.stringify(value))}`;
const LABEL = 'com.docker.stack.namespace=shop';

describe('what the CLI asks', () => {
  it('is asked of the real engine as it is, with the credentials for a registry', async () => {
    const { send, used } = clientOf(new StandIn(engine));
    const ping = await send('HEAD', '/_ping');
    expect(ping).toMatchObject({ status: 200, headers: { 'api-version': '1.51' } });
    await send('GET', '/v1.51/distribution/host:5000/web:v1/json', undefined, {
      'X-Registry-Auth': 'e30=',
      'User-Agent': 'Docker-Client',
    });
    expect(asked).toEqual([
      { method: 'HEAD', path: '/_ping', headers: {} },
      {
        method: 'GET',
        path: '/v1.51/distribution/host:5000/web:v1/json',
        headers: { 'X-Registry-Auth': 'e30=' },
      },
    ]);
    expect(used()).toBeGreaterThan(0);
  });

  it('is told what was written before: by label, by name, by id', async () => {
    const { send } = clientOf(new StandIn(engine));
    const made = await send('POST', '/v1.51/configs/create', {
      Name: 'shop_new',
      Labels: { 'com.docker.stack.namespace': 'shop' },
      Data: 'c2VjcmV0',
    });
    expect(made.status).toBe(201);
    const { ID } = made.body as { ID: string };
    for (const query of [
      filters({ label: { [LABEL]: true } }),
      filters({ label: [LABEL] }),
      filters({ name: ['shop_new'] }),
      filters({ id: [ID] }),
      '',
    ])
      expect((await send('GET', `/v1.51/configs?${query}`)).body).toMatchObject([
        { ID, Spec: { Name: 'shop_new' } },
      ]);
    for (const query of [
      filters({ label: ['com.docker.stack.namespace=other'] }),
      filters({ name: ['else'] }),
    ])
      expect((await send('GET', `/v1.51/configs?${query}`)).body).toEqual([]);
    for (const key of [ID, 'shop_new'])
      expect((await send('GET', `/v1.51/configs/${key}`)).body).toMatchObject({ ID });
    const again = await send('POST', '/v1.51/configs/create', { Name: 'shop_new', Data: '' });
    expect(again.status).toBe(409);
  });
});

describe('what the CLI writes', () => {
  const writes: readonly (readonly [string, Json])[] = [
    ['/v1.51/networks/create', { Name: 'shop_default', Driver: 'overlay' }],
    ['/v1.51/configs/create', { Name: 'shop_n', Data: 'eA==' }],
    ['/v1.51/secrets/create', { Name: 'shop_k', Data: 'eA==' }],
    ['/v1.51/services/create', { Name: 'shop_web' }],
    ['/v1.51/services/api1/update?version=7', { Name: 'shop_api', Labels: { x: 'y' } }],
    ['/v1.51/configs/c1/update?version=3', { Name: 'shop_c', Labels: null, Data: 'b2xk' }],
    ['/v1.51/secrets/s1/update?version=3', { Name: 'shop_s', Data: 'eA==' }],
  ];

  it('is kept, answered, and never sent on; no content of a config or secret is kept', async () => {
    const standIn = new StandIn(engine);
    const { send } = clientOf(standIn);
    for (const path of ['services', 'configs/shop_c', 'secrets/shop_s'])
      expect((await send('GET', `/v1.51/${path}`)).status).toBe(200);
    const reads = asked.length;
    for (const [path, body] of writes)
      expect([path, [200, 201].includes((await send('POST', path, body)).status)]).toEqual([
        path,
        true,
      ]);
    expect(asked).toHaveLength(reads);
    expect(asked.every(({ method }) => method === 'GET' || method === 'HEAD')).toBe(true);
    const { services, objects, live } = standIn.caught;
    expect(live).toEqual([API]);
    expect(services).toEqual([
      { live: undefined, spec: { Name: 'shop_web' } },
      { live: API, spec: { Name: 'shop_api', Labels: { x: 'y' } } },
    ]);
    expect(objects.map(({ kind, name, live: was }) => [kind, name, was !== undefined])).toEqual([
      ['network', 'shop_default', false],
      ['config', 'shop_n', false],
      ['secret', 'shop_k', false],
      ['config', 'shop_c', true],
      ['secret', 'shop_s', true],
    ]);
    expect(JSON.stringify(objects)).not.toMatch(/Data|eA==|b2xk/);
    expect(standIn.refused).toBeUndefined();
  });

  it('is refused where the swarm would: another content under the same name', async () => {
    const { send } = clientOf(new StandIn(engine));
    await send('GET', '/v1.51/configs/shop_c');
    const answer = await send('POST', '/v1.51/configs/c1/update?version=3', {
      Name: 'shop_c',
      Data: 'bmV3',
    });
    expect(answer).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('only updates to Labels are allowed') as unknown },
    });
  });

  it.each([
    ['DELETE', '/v1.51/services/api1'],
    ['POST', '/v1.51/services/api1'],
    ['POST', '/v1.51/services/api1/update/more'],
    ['POST', '/v1.51/networks/n1/update'],
    ['POST', '/v1.51/swarm/leave?force=1'],
    ['POST', '/v1.51/auth'],
    ['POST', '/_ping'],
    ['POST', '/info'],
    ['PUT', '/v1.51/services/create'],
    ['GET', '/v1.51/events'],
    ['GET', '/v1.51/containers/json'],
    ['GET', '/v1.51/services/api1/logs'],
    ['GET', '/v1.51/services/../swarm/unlockkey'],
    ['GET', '/v1.51/swarm/unlockkey'],
  ])('is refused where it is none of a deploy: %s %s', async (method, path) => {
    const standIn = new StandIn(engine);
    const { send } = clientOf(standIn);
    expect((await send(method, path)).status).toBe(501);
    expect(asked).toEqual([]);
    expect(standIn.refused).toContain(method);
  });
});

it('says so when the real engine does not answer', async () => {
  const standIn = new StandIn(() => Promise.reject(new ConnectionLost('gone')));
  const { send } = clientOf(standIn);
  expect((await send('GET', '/v1.51/info')).status).toBe(503);
  expect(standIn.loss).toBeInstanceOf(ConnectionLost);
});
