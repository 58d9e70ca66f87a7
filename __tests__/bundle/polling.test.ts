/**
 * What watching asks of the engine, counted at the engine: the committed bundle on a simulated one.
 * Counts are compared with each other, never with a clock.
 */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  EngineSimulator,
  installFakeDocker,
  stackFile,
  type SeenRequest,
} from '../../scripts/bench/engine-simulator.mjs';
import { runStep } from '../../testbed/runner.mjs';

const SERVICES = 20;
const REPLICAS = 3;

let home: string;
let simulator: EngineSimulator;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'swarm-deploy-polling-'));
});

afterEach(async () => {
  await simulator.close();
  rmSync(home, { recursive: true, force: true });
});

interface Watched {
  readonly outcome: string | undefined;
  /** Everything that was asked while it watched, look by look: each ends with the services. */
  readonly looks: readonly (readonly SeenRequest[])[];
  /** How the docker command was called, one line a call. */
  readonly calls: readonly string[];
}

/** Runs a deploy of young tasks, which therefore have to show that they stay. */
async function deploy(changes: number): Promise<Watched> {
  const socket = join(home, 'engine.sock');
  simulator = new EngineSimulator({
    stack: 'shop',
    services: SERVICES,
    replicas: REPLICAS,
    taskAgeMs: -3_600_000,
  });
  simulator.changes = changes;
  await simulator.listen(socket);
  const { bin, calls } = installFakeDocker(home, socket);
  let before = 0;
  const { outputs } = await runStep({
    // What is asked of the ledger is none of the watch.
    inputs: { stack: 'shop', host: 'local', 'stable-for': '6s', lock: 'false', history: '0' },
    files: { 'compose.yaml': stackFile(1, SERVICES) },
    env: { PATH: `${bin}:${process.env['PATH'] ?? ''}` },
    onLine: (line) => {
      if (line.startsWith('::group::Deploy the stack')) before = simulator.requests.length;
    },
  });
  // The services are read once after the deploy, to see what it changed; then the watch begins.
  const [, ...watching] = simulator.requests
    .slice(before)
    .filter(({ path }) => !path.startsWith('/configs'));
  const looks: SeenRequest[][] = [[]];
  for (const request of watching) {
    looks.at(-1)?.push(request);
    if (request.path === '/services') looks.push([]);
  }
  return {
    outcome: outputs['outcome'],
    looks: looks.filter((look) => look.length > 0),
    calls: readFileSync(calls, 'utf8').trim().split('\n'),
  };
}

const asksForTasks = (look: readonly SeenRequest[]): boolean =>
  look.some(({ path }) => path === '/tasks');

/** The ids of the services whose tasks were asked for; the whole stack's where it was all of them. */
const servicesAskedFor = (look: readonly SeenRequest[]): readonly string[] =>
  look
    .filter(({ path }) => path === '/tasks')
    .flatMap(({ query }) => {
      const filters = JSON.parse(query.get('filters') ?? '{}') as { service?: string[] };
      return filters.service ?? simulator.serviceIds;
    });

describe('a watch in which nothing moves', () => {
  it('is one request a look, and reads tasks at its start and for its verdict alone', async () => {
    const { outcome, looks } = await deploy(0);
    expect(outcome).toBe('unchanged');
    const [first = [], ...rest] = looks;
    const last = rest.pop() ?? [];
    expect(asksForTasks(first)).toBe(true);
    expect(asksForTasks(last)).toBe(true);
    expect(rest.length).toBeGreaterThan(0);
    expect(rest.map((look) => look.map(({ path }) => path))).toEqual(rest.map(() => ['/services']));
  });

  it('is one connection, and one process on the manager', async () => {
    const { calls } = await deploy(0);
    expect(calls.filter((call) => call.endsWith('system dial-stdio'))).toHaveLength(1);
    expect(new Set(simulator.requests.map(({ connection }) => connection)).size).toBe(1);
  });
});

describe('a watch of an update', () => {
  it('reads the tasks of the services that move, and not of the others', async () => {
    const moving = 2;
    const { outcome, looks } = await deploy(moving);
    expect(outcome).toBe('deployed');
    const [first = [], ...rest] = looks;
    const last = rest.pop() ?? [];
    const all = [...simulator.serviceIds].sort();
    expect([...new Set(servicesAskedFor(first))].sort()).toEqual(all);
    expect([...new Set(servicesAskedFor(last))].sort()).toEqual(all);
    const asked = rest.flatMap(servicesAskedFor);
    expect([...new Set(asked)].sort()).toEqual(simulator.serviceIds.slice(0, moving).sort());
  });
});
