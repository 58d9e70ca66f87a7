/**
 * An Engine API with as large a stack as one likes, for measurements that no test swarm is large
 * enough for. It answers what the action asks, from objects that Docker 28.5 itself made
 * (engine-28.5.json), so that sizes are real; and it writes down every request.
 *
 * What it plays of Swarm: `stack deploy` writes every service; a changed one gets new tasks slot by
 * slot, each replacing its former one once it runs (start-first), and an UpdateStatus meanwhile.
 */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

import { bodyOf, Configs } from './configs.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const STACK_LABEL = 'com.docker.stack.namespace';

/**
 * @typedef {object} Scale
 * @property {string} stack
 * @property {number} services
 * @property {number} replicas of each
 * @property {number} [taskAgeMs] how long ago the tasks were made; an hour unless told. Below zero they
 *   stay young, however slow the machine is, and have to show that they stay up
 * @property {number} [slotsPerTick] how many slots an update takes on at once; 100 unless told
 * @property {number} [tickMs] how long each state of a task lasts; 200 unless told
 *
 * @typedef {object} SeenRequest
 * @property {number} at when it arrived, in milliseconds of this process's clock
 * @property {number} [answered] when the last byte was handed over
 * @property {string} method
 * @property {string} path without the API version
 * @property {URLSearchParams} query
 * @property {number} bytes of the answer's body
 * @property {number} connection one number a connection
 *
 * @typedef {object} SimulatedTask
 * @property {string} id
 * @property {number} slot
 * @property {number} version of the service's spec that it was made from
 * @property {string} image
 * @property {string} state
 * @property {string} desired
 * @property {string} nodeId
 * @property {string} created
 * @property {string} text as JSON
 *
 * @typedef {object} SimulatedService
 * @property {string} id
 * @property {string} name
 * @property {number} version of its spec, not of the object
 * @property {any} json
 * @property {string} text the same, with its status
 * @property {SimulatedTask[]} tasks
 *
 * @typedef {{service: SimulatedService, fresh: SimulatedTask, former: SimulatedTask | undefined}} Step
 */

/** Ids look like Swarm's: 25 digits of base 36, the same in every run. */
const idOf = (/** @type {string} */ name) =>
  BigInt(`0x${createHash('sha256').update(name).digest('hex')}`)
    .toString(36)
    .slice(0, 25);

const digestOf = (/** @type {string} */ name) =>
  `sha256:${createHash('sha256').update(name).digest('hex')}`;

/** The engine's times have nine digits of a second. */
const timeOf = (/** @type {number} */ ms) => new Date(ms).toISOString().replace('Z', '000000Z');

export class EngineSimulator {
  /** How many of its services the next `docker stack deploy` changes. */
  changes = 0;
  /** @type {SeenRequest[]} */
  requests = [];
  /** Told of every request before it is answered. @type {(request: SeenRequest) => void} */
  onRequest = () => undefined;
  #scale;
  #template;
  #server;
  /** @type {SimulatedService[]} */
  #services = [];
  #index = 1000;
  #configs = new Configs();
  #made = 0;
  /** Lists as they were last answered, until something moves. @type {Map<string, Buffer>} */
  #answers = new Map();
  /** @type {NodeJS.Timeout | undefined} */
  #ticking;
  /** Slots that an update has still to take on. @type {{service: SimulatedService, slot: number}[]} */
  #waiting = [];
  /** @type {Step[]} */
  #moving = [];

  /** @param {Scale} scale */
  constructor(scale) {
    this.#scale = { taskAgeMs: 3_600_000, slotsPerTick: 100, tickMs: 200, ...scale };
    this.#template = JSON.parse(readFileSync(join(HERE, 'engine-28.5.json'), 'utf8'));
    // As in every real stack, tasks carry the networks and labels of their own stack.
    const renamed = JSON.stringify(this.#template)
      .replaceAll('"shop"', JSON.stringify(scale.stack))
      .replaceAll('"shop_', JSON.stringify(`${scale.stack}_`).slice(0, -1));
    this.#template = JSON.parse(renamed);
    const created = Date.now() - this.#scale.taskAgeMs;
    for (let number = 1; number <= scale.services; number += 1)
      this.#services.push(this.#makeService(serviceName(number), created));
    let connections = 0;
    /** @type {WeakMap<import('node:net').Socket, number>} */
    const numbers = new WeakMap();
    this.#server = createServer(async (request, response) => {
      const { socket } = request;
      const connection = numbers.get(socket) ?? ++connections;
      if (!numbers.has(socket)) numbers.set(socket, connection);
      const url = new URL(request.url ?? '/', 'http://docker');
      const path = url.pathname.replace(/^\/v[\d.]+(?=\/)/, '');
      const method = request.method ?? '';
      const text = await bodyOf(request);
      const [status, body] = path.startsWith('/configs')
        ? this.#answerConfigs(method, path, url.searchParams, text)
        : this.#answer(method, path, url.searchParams);
      /** @type {SeenRequest} */
      const seen = {
        at: performance.now(),
        method,
        path,
        query: url.searchParams,
        bytes: body.length,
        connection,
      };
      // The fake CLI's own words to the simulator are none of the Engine API.
      if (!path.startsWith('/_simulator')) {
        this.requests.push(seen);
        this.onRequest(seen);
      }
      response.writeHead(status, {
        'Api-Version': this.#template.version.ApiVersion,
        'Content-Type': 'application/json',
        'Content-Length': body.length,
      });
      response.end(body, () => (seen.answered = performance.now()));
    });
    this.#server.keepAliveTimeout = 0;
  }

  /** @param {string} socketPath */
  async listen(socketPath) {
    await new Promise((/** @type {(value: void) => void} */ done, failed) => {
      this.#server.once('error', failed);
      this.#server.listen(socketPath, () => done());
    });
  }

  async close() {
    clearInterval(this.#ticking);
    await new Promise((/** @type {(value: void) => void} */ done) => {
      this.#server.close(() => done());
      this.#server.closeAllConnections();
    });
  }

  /** The ids of its services, those first that a deploy changes first. */
  get serviceIds() {
    return this.#services.map(({ id }) => id);
  }

  get taskCount() {
    return this.#services.reduce((sum, { tasks }) => sum + tasks.length, 0);
  }

  /** Whether an update is under way. */
  get isMoving() {
    return this.#waiting.length + this.#moving.length > 0;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {URLSearchParams} query
   * @param {string} body
   * @returns {[number, Buffer]}
   */
  #answerConfigs(method, path, query, body) {
    const [status, value] = this.#configs.answer(method, path, query, body);
    return [status, value === '' ? Buffer.alloc(0) : json(value)];
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {URLSearchParams} query
   * @returns {[number, Buffer]}
   */
  #answer(method, path, query) {
    const { version, info, nodes, networks, secrets } = this.#template;
    if (method === 'POST' && path === '/_simulator/deploy') {
      this.#deploy();
      return [200, Buffer.from('{}')];
    }
    // Any login will do.
    if (method === 'POST' && path === '/auth') return [200, json({ IdentityToken: '' })];
    if (method === 'HEAD' || path === '/_ping') return [200, Buffer.from('OK')];
    if (method !== 'GET') return failure(501, `the simulator does not do ${method} ${path}`);
    const filters = filtersOf(query);
    switch (path) {
      case '/version':
        return [200, json(version)];
      case '/info':
        return [200, json({ ...info, SystemTime: timeOf(Date.now()) })];
      case '/nodes':
        return [200, json(nodes)];
      case '/networks':
        return [200, json(networks)];
      case '/secrets':
        return [200, json(secrets)];
      case '/services':
        return [200, this.#list(path, query, () => this.#selectServices(filters, query))];
      case '/tasks':
        return [200, this.#list(path, query, () => this.#selectTasks(filters))];
      default: {
        const id = /^\/services\/([^/]+)$/.exec(path)?.[1];
        const service = this.#services.find((one) => one.id === id || one.name === id);
        if (service !== undefined) return [200, Buffer.from(withoutStatus(service.text))];
        return failure(404, `page not found: ${path}`);
      }
    }
  }

  /**
   * @param {string} path
   * @param {URLSearchParams} query
   * @param {() => readonly string[]} select
   */
  #list(path, query, select) {
    const key = `${path}?${String(query)}`;
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    const fresh = Buffer.from(`[${select().join(',')}]\n`);
    this.#answers.set(key, fresh);
    return fresh;
  }

  /**
   * @param {Filters} filters
   * @param {URLSearchParams} query
   */
  #selectServices(filters, query) {
    const inStack = matches(filters.get('label'), `${STACK_LABEL}=${this.#scale.stack}`);
    const chosen = this.#services.filter(
      ({ id, name }) =>
        inStack && matches(filters.get('id'), id) && matches(filters.get('name'), name),
    );
    const status = ['1', 'true'].includes(query.get('status') ?? '');
    return chosen.map(({ text }) => (status ? text : withoutStatus(text)));
  }

  /** @param {Filters} filters */
  #selectTasks(filters) {
    if (!matches(filters.get('label'), `${STACK_LABEL}=${this.#scale.stack}`)) return [];
    const current = filters.get('_up-to-date')?.has('true') === true;
    const wanted = filters.get('service');
    const desired = filters.get('desired-state');
    return this.#services
      .filter(({ id, name }) => wanted === undefined || wanted.has(id) || wanted.has(name))
      .flatMap((service) =>
        service.tasks
          .filter((task) => !current || task.version === service.version)
          .filter((task) => matches(desired, task.desired))
          .map(({ text }) => text),
      );
  }

  /**
   * @param {string} name
   * @param {number} created
   * @returns {SimulatedService}
   */
  #makeService(name, created) {
    const fullName = `${this.#scale.stack}_${name}`;
    const service = structuredClone(this.#template.service);
    const image = `registry.example:5000/${name}:v1`;
    Object.assign(service, {
      ID: idOf(fullName),
      CreatedAt: timeOf(created),
      UpdatedAt: timeOf(created),
    });
    delete service.UpdateStatus;
    service.Spec.Name = fullName;
    service.Spec.Labels['com.docker.stack.image'] = image;
    service.Spec.TaskTemplate.ContainerSpec.Image = `${image}@${digestOf(image)}`;
    service.Spec.Mode = { Replicated: { Replicas: this.#scale.replicas } };
    service.PreviousSpec = structuredClone(service.Spec);
    /** @type {SimulatedService} */
    const made = { id: service.ID, name: fullName, version: 1, json: service, text: '', tasks: [] };
    for (let slot = 1; slot <= this.#scale.replicas; slot += 1)
      made.tasks.push(this.#makeTask(made, slot, 'running', created));
    this.#touch(made);
    return made;
  }

  /**
   * @param {SimulatedService} service
   * @param {number} slot
   * @param {string} state
   * @param {number} created
   * @returns {SimulatedTask}
   */
  #makeTask(service, slot, state, created) {
    this.#made += 1;
    const { nodes } = this.#template;
    /** @type {SimulatedTask} */
    const task = {
      id: idOf(`task ${this.#made}`),
      slot,
      version: service.version,
      image: service.json.Spec.TaskTemplate.ContainerSpec.Image,
      state,
      desired: 'running',
      nodeId: nodes[this.#made % nodes.length].ID,
      created: timeOf(created),
      text: '',
    };
    this.#setState(service, task, state, created);
    return task;
  }

  /**
   * @param {SimulatedService} service
   * @param {SimulatedTask} task
   * @param {string} state
   * @param {number} [at]
   */
  #setState(service, task, state, at = Date.now()) {
    task.state = state;
    const shown = structuredClone(this.#template.task);
    Object.assign(shown, {
      ID: task.id,
      Version: { Index: (this.#index += 1) },
      CreatedAt: task.created,
      UpdatedAt: timeOf(at),
      ServiceID: service.id,
      Slot: task.slot,
      NodeID: task.nodeId,
      DesiredState: task.desired,
    });
    shown.Spec.ContainerSpec.Image = task.image;
    Object.assign(shown.Status, { Timestamp: timeOf(at), State: state, Message: state });
    task.text = JSON.stringify(shown);
  }

  /** @param {SimulatedService} service writes it anew, as every change of it does */
  #touch(service) {
    const wanted = service.tasks.filter(({ desired }) => desired === 'running');
    const running = service.tasks.filter(({ state }) => state === 'running');
    service.text = JSON.stringify({
      ...service.json,
      ServiceStatus: {
        RunningTasks: running.length,
        DesiredTasks: Math.min(wanted.length, this.#scale.replicas),
        CompletedTasks: 0,
      },
    });
    this.#answers.clear();
  }

  /** `docker stack deploy`: every service is written, changed or not. */
  #deploy() {
    const now = timeOf(Date.now());
    const changed = new Set(this.#services.slice(0, this.changes));
    for (const service of this.#services) {
      const { json } = service;
      json.PreviousSpec = json.Spec;
      json.Version = { Index: (this.#index += 1) };
      json.UpdatedAt = now;
      delete json.UpdateStatus;
      if (changed.has(service)) {
        service.version += 1;
        json.Spec = structuredClone(json.Spec);
        const label = json.Spec.Labels['com.docker.stack.image'].replace(/:v\d+$/, '');
        const image = `${label}:v${service.version}`;
        json.Spec.Labels['com.docker.stack.image'] = image;
        json.Spec.TaskTemplate.ContainerSpec.Image = `${image}@${digestOf(image)}`;
        json.UpdateStatus = { State: 'updating', StartedAt: now, Message: 'update in progress' };
      }
      this.#touch(service);
    }
    if (changed.size === 0) return;
    for (let slot = 1; slot <= this.#scale.replicas; slot += 1)
      for (const service of changed) this.#waiting.push({ service, slot });
    clearInterval(this.#ticking);
    this.#ticking = setInterval(() => this.#tick(), this.#scale.tickMs);
  }

  /** One step of an update: new tasks go on by one state, and the next slots are taken on. */
  #tick() {
    /** @type {Set<SimulatedService>} */
    const touched = new Set();
    /** @type {Step[]} */
    const still = [];
    for (const step of this.#moving) {
      const { service, fresh, former } = step;
      touched.add(service);
      if (fresh.state === 'preparing') this.#setState(service, fresh, 'starting');
      else if (fresh.state === 'starting') {
        this.#setState(service, fresh, 'running');
        if (former === undefined) continue;
        former.desired = 'shutdown';
        this.#setState(service, former, 'running');
      } else {
        if (former !== undefined) this.#setState(service, former, 'shutdown');
        continue;
      }
      still.push(step);
    }
    for (const { service, slot } of this.#waiting.splice(0, this.#scale.slotsPerTick)) {
      touched.add(service);
      const former = service.tasks.find((task) => task.slot === slot && task.desired === 'running');
      const fresh = this.#makeTask(service, slot, 'preparing', Date.now());
      service.tasks.push(fresh);
      still.push({ service, fresh, former });
    }
    this.#moving = still;
    const busy = new Set([...this.#waiting, ...this.#moving].map(({ service }) => service));
    for (const service of touched) {
      if (!busy.has(service)) {
        Object.assign(service.json.UpdateStatus, {
          State: 'completed',
          CompletedAt: timeOf(Date.now()),
          Message: 'update completed',
        });
        service.json.Version = { Index: (this.#index += 1) };
      }
      this.#touch(service);
    }
    if (!this.isMoving) clearInterval(this.#ticking);
  }
}

/** @typedef {Map<string, ReadonlySet<string>>} Filters */

/** @param {URLSearchParams} query */
function filtersOf(query) {
  const text = query.get('filters');
  /** @type {Record<string, string[] | Record<string, boolean>>} */
  const read = text === null || text === '' ? {} : JSON.parse(text);
  // The engine takes lists and, as its own CLI sends them, maps of values to true.
  return new Map(
    Object.entries(read).map(([name, values]) => [
      name,
      new Set(Array.isArray(values) ? values : Object.keys(values)),
    ]),
  );
}

/**
 * @param {ReadonlySet<string> | undefined} allowed
 * @param {string} value
 */
const matches = (allowed, value) => allowed === undefined || allowed.has(value);

/** @param {string} text of a service */
const withoutStatus = (text) => text.replace(/,"ServiceStatus":\{[^}]*\}(?=\}$)/, '');

/** @param {unknown} value */
const json = (value) => Buffer.from(`${JSON.stringify(value)}\n`);

/**
 * @param {number} status
 * @param {string} message
 * @returns {[number, Buffer]}
 */
const failure = (status, message) => [status, json({ message })];

const serviceName = (/** @type {number} */ number) => `svc-${String(number).padStart(4, '0')}`;

/**
 * A stack file for the services of a simulator, as people write them.
 * @param {number} from number of the first service
 * @param {number} to number of the last one
 */
export function stackFile(from, to) {
  const services = [];
  for (let number = from; number <= to; number += 1) {
    const name = serviceName(number);
    services.push(`  ${name}:
    image: registry.example:5000/${name}:v1
    command: ['/bin/busybox', 'sh', '/run.sh']
    environment:
      DATABASE_URL: postgres://shop@db.internal:5432/${name}
      CACHE_URL: redis://cache.internal:6379/0
      LOG_LEVEL: info
      FEATURES: checkout,search,recommendations
    labels: { com.example.team: checkout, com.example.component: api }
    networks: [backend, frontend]
    healthcheck:
      test: ['CMD', '/bin/busybox', 'wget', '-q', '-O', '-', 'http://127.0.0.1/']
      interval: 10s
    deploy:
      replicas: 10
      update_config: { parallelism: 2, order: start-first, failure_action: rollback }
      resources: { limits: { cpus: '0.5', memory: 256M } }
`);
  }
  return `services:\n${services.join('')}networks:\n  backend: {}\n  frontend: {}\n`;
}

/**
 * A directory with a `docker` that talks to a simulator, to be put first in PATH. It writes down in
 * `calls` how it was called, one line a call.
 * @param {string} directory
 * @param {string} socketPath of the simulator
 * @returns {{bin: string, calls: string}}
 */
export function installFakeDocker(directory, socketPath) {
  const bin = join(directory, 'bin');
  const calls = join(directory, 'calls');
  mkdirSync(bin, { recursive: true });
  writeFileSync(calls, '');
  const docker = join(bin, 'docker');
  const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", "'\\''")}'`;
  // The version by the shell: one process less, as for the real one.
  writeFileSync(
    docker,
    `#!/bin/sh
echo "$*" >>${quoted(calls)}
[ "$*" = --version ] && exec echo 'Docker version 28.5.2, build 0'
exec ${quoted(process.execPath)} ${quoted(join(HERE, 'fake-docker.mjs'))} ${quoted(socketPath)} "$@"
`,
  );
  chmodSync(docker, 0o755);
  return { bin, calls };
}
