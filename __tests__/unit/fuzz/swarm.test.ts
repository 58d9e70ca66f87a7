/**
 * What an engine says, with fields missing, of other types and with surprising values: through the
 * engine's client, the look at the swarm, the verdict and all that is told of it.
 */
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import fc from 'fast-check';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { Engine, EngineError } from '../../../src/docker/engine.js';
import { distinct, Malformed, nodeIn, serviceIn, taskIn } from '../../../src/docker/well-formed.js';
import { DeployError } from '../../../src/errors.js';
import {
  sameJson,
  TASK_STATES,
  type Json,
  type JsonObject,
  type Snapshot,
} from '../../../src/model.js';
import type { Changes } from '../../../src/plan.js';
import { createNarrator } from '../../../src/report/narrator.js';
import { progressLog } from '../../../src/report/progress.js';
import { serviceReports, taskReports, type Fate } from '../../../src/report/services.js';
import { stackLines, stackTable, troubleLines, troubleTable } from '../../../src/report/stack.js';
import { beginRollout, failuresOf, observe, verdict } from '../../../src/rollout/observe.js';
import { SnapshotReader } from '../../../src/rollout/reader.js';
import { fuzz } from '../../support/fuzz.js';
import { goal, node, service, spec, status, target, task } from '../../support/snapshots.js';

const SERVICES = [
  service(),
  service(spec(), { UpdateStatus: status('completed'), PreviousSpec: spec('api:1') }),
  service(spec('api:2', { Mode: { Global: {} } }), { UpdateStatus: status('updating') }),
  service(spec('api:2', { Mode: { ReplicatedJob: { TotalCompletions: 2 } } }), {
    JobStatus: { JobIteration: { Index: 1 } },
  }),
] as unknown as readonly JsonObject[];
const TASKS = [
  task('t1', 'running', { Slot: 1 }),
  task('t2', 'running', { Slot: 2, NodeID: 'n2' }),
  task('t3', 'failed', {
    Slot: 2,
    Status: {
      State: 'failed',
      Err: 'task: non-zero exit (1)',
      Timestamp: '2026-01-01T00:00:00Z',
      ContainerStatus: { ExitCode: 1, ContainerID: 'c' },
      PortStatus: { Ports: [{ PublishedPort: 80, Protocol: 'tcp' }] },
    },
  }),
] as unknown as readonly JsonObject[];
const NODES = [node('n1'), node('n2')] as unknown as readonly JsonObject[];

const SURPRISES: readonly Json[] = [
  ...[
    null,
    true,
    false,
    0,
    -1,
    1,
    0.5,
    1e308,
    '',
    'x',
    '0',
    '::error::x',
    '\u001b[2J',
    '__proto__',
  ],
  ...[[], [null], [[]], ['x'], [{}], {}, { Index: 'x' }, { length: 3 }, { constructor: null }],
  ...TASK_STATES,
  ...[
    'rollback_completed',
    'paused',
    'levitating',
    '2026-13-45T99:99:99Z',
    'n1',
    'service-1',
    't1',
  ],
];
/** Where in an object, by the numbers of its keys, and what is put there; undefined takes it out. */
type Wound = readonly [path: readonly number[], put: Json | undefined];
const wound: fc.Arbitrary<Wound> = fc.tuple(
  fc.array(fc.nat(30), { minLength: 1, maxLength: 4 }),
  fc.option(fc.constantFrom(...SURPRISES), { nil: undefined }),
);

/** The value with one thing in it changed. */
function wounded(value: Json, [path, put]: Wound): Json {
  const [first = 0, ...rest] = path;
  if (typeof value !== 'object' || value === null) return put ?? null;
  const keys = Object.keys(value);
  const key = keys[first % Math.max(1, keys.length)];
  if (key === undefined) return put ?? null;
  const entries = Object.entries(value as JsonObject).flatMap(([name, inner]) => {
    if (name !== key) return [[name, inner] as const];
    if (rest.length > 0 && typeof inner === 'object' && inner !== null)
      return [[name, wounded(inner, [rest, put])] as const];
    return put === undefined ? [] : [[name, put] as const];
  });
  return Array.isArray(value)
    ? entries.map(([, inner]) => inner ?? null)
    : Object.fromEntries(entries);
}

interface Said {
  readonly services: readonly Json[];
  readonly tasks: readonly Json[];
  readonly nodes: readonly Json[];
}
const one = (from: readonly JsonObject[]): fc.Arbitrary<Json> =>
  fc
    .tuple(fc.constantFrom(...from), fc.array(wound, { maxLength: 2 }))
    .map(([item, wounds]) => wounds.reduce<Json>(wounded, item));
/** Mostly as it should be, so that a verdict is ever reached. */
const mostly = (good: readonly JsonObject[]): fc.Arbitrary<readonly Json[]> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant(good) },
    { weight: 4, arbitrary: fc.array(one(good), { maxLength: 4 }) },
  );
const said: fc.Arbitrary<Said> = fc.record({
  services: fc.oneof(
    { weight: 2, arbitrary: fc.constant(SERVICES.slice(0, 1)) },
    { weight: 3, arbitrary: one(SERVICES).map((item) => [item]) },
    { weight: 1, arbitrary: fc.array(one(SERVICES), { maxLength: 3 }) },
  ),
  tasks: fc.oneof(
    { weight: 2, arbitrary: fc.constant(TASKS.slice(0, 2)) },
    { weight: 3, arbitrary: mostly(TASKS) },
  ),
  nodes: mostly(NODES),
});

const silent = {
  line: () => undefined,
  warning: () => undefined,
  notice: () => undefined,
  startGroup: () => undefined,
  endGroup: () => undefined,
};
const clock = { now: () => 0, sleep: () => Promise.resolve() };

/** Undefined where the engine's words are refused as what no engine says. */
function taken({ services, tasks, nodes }: Said, at: number): Snapshot | undefined {
  try {
    const known = distinct('GET /tasks', tasks.map(taskIn));
    return {
      at,
      services: distinct('GET /services', services.map(serviceIn)),
      tasks: known,
      upToDate: new Set(known.map(({ ID }) => ID).filter((id) => id !== 't3')),
      nodes: distinct('GET /nodes', nodes.map(nodeIn)),
    };
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

/** What green has to mean, said once more without the code that decides it. */
function isTrulyThere({ services, tasks, upToDate }: Snapshot): boolean {
  const live = services.find(({ ID }) => ID === target().id);
  const running = tasks.filter(
    (each) =>
      each.ServiceID === target().id &&
      each.Status.State === 'running' &&
      // `ready` is on its way to `running`; what is beyond is to end.
      TASK_STATES.indexOf(each.DesiredState) <= TASK_STATES.indexOf('running') &&
      upToDate.has(each.ID),
  );
  return (
    live !== undefined &&
    sameJson(live.Spec, target().spec) &&
    // No engine leaves the slot out here; where one does, two tasks on two nodes are two.
    new Set(running.map(({ Slot, NodeID }) => Slot || `@${NodeID ?? ''}`)).size >= 2 &&
    !['updating', 'paused', 'rollback_started', 'rollback_paused', 'rollback_completed'].includes(
      live.UpdateStatus?.State ?? '',
    )
  );
}

const FATES: readonly Fate[] = ['healthy', 'failed', 'restored', 'unknown', 'seen'];

describe('what an engine says', () => {
  let [converged, refused, judged] = [0, 0, 0];

  fuzz(
    'is refused with its place, or gives a verdict that is true and can be told',
    12,
    fc.property(
      fc.array(said, { minLength: 1, maxLength: 3 }),
      fc.constantFrom(...FATES),
      (looks, fate) => {
        const tell = progressLog(createNarrator(silent, clock));
        let rollout = beginRollout(goal({ stableForMs: 1000 }));
        let first: Snapshot | undefined;
        // Each look twice, as what is to be stable has to be seen again.
        for (const [index, look] of looks.flatMap((each) => [each, each]).entries()) {
          const snapshot = taken(look, index * 20_000);
          if (snapshot === undefined) {
            refused += 1;
            continue;
          }
          judged += 1;
          first ??= snapshot;
          rollout = observe(rollout, snapshot);
          tell(rollout, snapshot);
          if (verdict(rollout).kind === 'converged') {
            converged += 1;
            expect(isTrulyThere(snapshot)).toBe(true);
          }
          if (verdict(rollout).kind !== 'waiting') break;
        }
        if (first === undefined) return;
        const changes = { targets: rollout.goal.targets, orphans: first.services };
        const reports = serviceReports({
          ...{ reason: '', fate, rollout, before: first },
          changes: changes as unknown as Changes,
        });
        JSON.stringify([reports, taskReports(first), failuresOf(rollout)]);
        stackLines(reports);
        stackTable(reports, 5);
        troubleLines(reports, 5);
        troubleTable(reports, 5);
      },
    ),
  );

  afterAll(() => {
    // The property would say little if it went one way only.
    expect(Math.min(converged, refused, judged)).toBeGreaterThan(20);
  });
});

describe('over the wire', () => {
  let server: Server;
  let answers: (path: string) => string;

  beforeAll(async () => {
    server = createServer((request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.end(answers(new URL(request.url ?? '', 'http://x').pathname));
    });
    server.keepAliveTimeout = 0;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  const anyAnswer = fc.oneof(
    fc.constantFrom(
      '',
      'null',
      '{}',
      '"x"',
      '7',
      '[null]',
      '[[]]',
      '<html>',
      '[{"ID":"a"',
      '{"a":',
    ),
    fc.json({ maxDepth: 2 }),
  );
  fuzz(
    'an answer of any kind is a snapshot, or an error that says so',
    1,
    fc.asyncProperty(
      said,
      fc.option(
        fc.tuple(fc.constantFrom('services', 'tasks', 'nodes', 'version', 'info'), anyAnswer),
        {
          nil: undefined,
        },
      ),
      async (look, odd) => {
        answers = (path) => {
          const what = path.split('/').at(-1) ?? '';
          if (odd?.[0] === what) return odd[1];
          if (what === 'version') return '{"Version":"28.5.1","ApiVersion":"1.51"}';
          if (what === 'info') return '{"Name":"m","Swarm":{"ControlAvailable":true}}';
          return JSON.stringify(
            what === 'services' || what === 'tasks' || what === 'nodes' ? look[what] : [],
          );
        };
        const { port } = server.address() as AddressInfo;
        const engine = new Engine(async () => {
          const socket = connect(port, '127.0.0.1');
          await once(socket, 'connect');
          return socket;
        });
        try {
          await engine.negotiate();
          await engine.swarmInfo();
          const snapshot = await new SnapshotReader('shop').read(engine, 0, 'stack');
          const rollout = observe(beginRollout(goal()), snapshot);
          expect(verdict(rollout).kind).not.toBe('converged');
          for (const { Spec } of snapshot.services) expect(typeof Spec.Name).toBe('string');
        } catch (error) {
          if (!(error instanceof DeployError || error instanceof EngineError)) throw error;
          expect(error.message).not.toBe('');
        } finally {
          engine.close();
        }
      },
    ),
  );
});
