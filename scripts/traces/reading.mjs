/**
 * Reads the swarm as the action does (`snapshot` in src/docker/engine.ts: the same requests in the
 * same order), reduced to what src/model.ts knows, and packs what was read.
 */
import { Agent, request } from 'node:http';

/**
 * @typedef {import('../../src/model.js').Service} Service
 * @typedef {import('../../src/model.js').Task} Task
 * @typedef {import('../../src/model.js').Node} Node
 *
 * @typedef {object} Look what the swarm said at one moment
 * @property {readonly Service[]} services
 * @property {readonly Task[]} tasks
 * @property {readonly string[]} upToDate ids of tasks
 * @property {readonly Node[]} nodes
 * @property {number} managerTime milliseconds since 1970
 */

/**
 * The keys of a value that are kept; `true` keeps the whole.
 * @typedef {{ readonly [key: string]: Shape | true }} Shape
 */

/** @type {Shape} */
const UPDATE_STATUS = { State: true, Message: true, StartedAt: true };
/** @type {Shape} */
const SERVICE = {
  ID: true,
  Version: true,
  Spec: true,
  PreviousSpec: true,
  UpdateStatus: UPDATE_STATUS,
  JobStatus: { JobIteration: true },
};
/** @type {Shape} */
const TASK = {
  ID: true,
  CreatedAt: true,
  ServiceID: true,
  Slot: true,
  NodeID: true,
  Status: {
    Timestamp: true,
    State: true,
    Message: true,
    Err: true,
    ContainerStatus: { ExitCode: true, ContainerID: true },
  },
  DesiredState: true,
  JobIteration: true,
};
/** @type {Shape} */
const NODE = {
  ID: true,
  Spec: { Role: true, Availability: true, Labels: true },
  Description: {
    Hostname: true,
    Platform: { Architecture: true, OS: true },
    Engine: { Labels: true },
  },
  Status: { State: true, Addr: true },
};

/**
 * @param {any} value
 * @param {Shape} shape
 * @returns {any}
 */
function reduced(value, shape) {
  return Object.fromEntries(
    Object.entries(shape).flatMap(([key, part]) => {
      const inner = value[key];
      if (inner === undefined || inner === null) return [];
      return [[key, part === true ? inner : reduced(inner, part)]];
    }),
  );
}

/** A manager's engine, over its own socket. */
export class Reader {
  #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  /** @param {string} socketPath */
  constructor(socketPath) {
    this.socketPath = socketPath;
  }

  close() {
    this.#agent.destroy();
  }

  /**
   * @param {string} stack
   * @returns {Promise<Look>}
   */
  async look(stack) {
    const label = [`com.docker.stack.namespace=${stack}`];
    const tasks = await this.#list('/tasks', { label });
    const upToDate = await this.#list('/tasks', { label, '_up-to-date': ['true'] });
    const nodes = await this.#list('/nodes', {});
    const services = await this.#list('/services', { label });
    return {
      services: services.items.map((item) => reduced(item, SERVICE)),
      tasks: tasks.items.map((item) => reduced(item, TASK)),
      upToDate: upToDate.items.map(({ ID }) => ID),
      nodes: nodes.items.map((item) => reduced(item, NODE)),
      managerTime: services.date,
    };
  }

  /**
   * @param {string} path
   * @param {Record<string, readonly string[]>} filters
   * @returns {Promise<{ items: any[], date: number }>}
   */
  #list(path, filters) {
    const query = `filters=${encodeURIComponent(JSON.stringify(filters))}`;
    const { socketPath } = this;
    return new Promise((resolve, reject) => {
      const options = { socketPath, path: `${path}?${query}`, agent: this.#agent };
      const outgoing = request(options, (incoming) => {
        incoming.setEncoding('utf8');
        let text = '';
        incoming.on('data', (part) => (text += part));
        incoming.on('error', reject);
        incoming.on('end', () => {
          if (incoming.statusCode !== 200) reject(new Error(`${path}: ${text}`));
          else resolve({ items: JSON.parse(text), date: Date.parse(incoming.headers.date ?? '') });
        });
      });
      outgoing.on('error', reject);
      outgoing.end();
    });
  }
}

/** Each different value once, in the order in which they came. */
class Table {
  /** @type {string[]} */
  rows = [];
  #indices = new Map();

  /**
   * @param {unknown} value
   * @returns {number} its index
   */
  add(value) {
    const text = JSON.stringify(value);
    const index = this.#indices.get(text) ?? this.rows.length;
    if (index === this.rows.length) {
      this.rows.push(text);
      this.#indices.set(text, index);
    }
    return index;
  }
}

/** Collects looks, and gives them as the text of a trace: JSON with a line for each value. */
export class Recording {
  #specs = new Table();
  #services = new Table();
  #tasks = new Table();
  #nodes = new Table();
  /** @type {{ at: number[], managerTime: number, content: string }[]} */
  #snapshots = [];
  /** @type {{ at: number, what: string }[]} */
  #events = [];
  #split = false;

  /** The index that the next different snapshot gets; it is told apart even if nothing differs. */
  cut() {
    this.#split = true;
    return this.#snapshots.length;
  }

  /**
   * @param {number} at milliseconds
   * @param {string} what
   */
  note(at, what) {
    this.#events.push({ at, what });
  }

  /**
   * @param {number} at milliseconds
   * @param {Look} look
   */
  add(at, look) {
    const services = look.services.map(({ Spec, PreviousSpec, ...rest }) =>
      this.#services.add({
        ...rest,
        Spec: this.#specs.add(Spec),
        ...(PreviousSpec === undefined ? {} : { PreviousSpec: this.#specs.add(PreviousSpec) }),
      }),
    );
    const current = new Set(look.upToDate);
    /** @param {boolean} isCurrent */
    const indices = (isCurrent) =>
      look.tasks
        .filter(({ ID }) => current.has(ID) === isCurrent)
        .map((task) => this.#tasks.add(task))
        .sort((a, b) => a - b);
    const nodes = look.nodes.map((node) => this.#nodes.add(node)).sort((a, b) => a - b);
    const content = JSON.stringify({
      services,
      upToDate: indices(true),
      older: indices(false),
      nodes,
    });
    const last = this.#snapshots.at(-1);
    if (last?.content === content && !this.#split) last.at.push(at);
    else this.#snapshots.push({ at: [at], managerTime: look.managerTime, content });
    this.#split = false;
  }

  /** @param {object} head what else the trace says */
  text(head) {
    const list = (/** @type {readonly string[]} */ rows) => `[\n${rows.join(',\n')}\n]`;
    const snapshots = this.#snapshots.map(
      ({ at, managerTime, content }) =>
        `{"at":${JSON.stringify(at)},"managerTime":${managerTime},${content.slice(1)}`,
    );
    const fields = Object.entries(head).map(([key, value]) => [key, JSON.stringify(value)]);
    const all = [
      ...fields,
      ['events', list(this.#events.map((event) => JSON.stringify(event)))],
      ['specs', list(this.#specs.rows)],
      ['services', list(this.#services.rows)],
      ['tasks', list(this.#tasks.rows)],
      ['nodes', list(this.#nodes.rows)],
      ['snapshots', list(snapshots)],
    ];
    return `{\n${all.map(([key, text]) => `"${key}": ${text}`).join(',\n')}\n}\n`;
  }
}
