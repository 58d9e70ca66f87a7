/**
 * Every stack file of the corpus (see unit/compose/corpus.test.ts), as it stands: deployed on a real
 * swarm, a plan of the same input then has no changes, and writes nothing.
 *
 * Nobody has the images that most of them name. They are deployed on a swarm of their own, on which no
 * task is placed, so that nothing is pulled over and over; what is compared are specs. Files whose
 * services wait for one another need tasks: they run with an image of the test registry.
 */
import { afterAll, describe, expect, it } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Inputs, Testbed } from '../support/live.js';
import { spareSwarm } from '../support/spare-swarm.js';
import { onSwarm, scenario, Stack, testbed, type Run } from '../support/swarm.js';

const CORPUS = fileURLToPath(new URL('../corpus', import.meta.url));
const LIMIT_MS = 600_000;

interface Case {
  readonly name: string;
  /** By their paths. */
  readonly files: Readonly<Record<string, string>>;
  readonly inputs: Inputs;
  /** What two stacks cannot have at once. */
  readonly ports: readonly string[];
}

const cases = readdirSync(CORPUS)
  .filter((name) => !existsSync(join(CORPUS, name, 'problems.txt')))
  .sort()
  .map(readCase);

function readCase(name: string): Case {
  const directory = join(CORPUS, name);
  const files = Object.fromEntries(
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(directory.length + 1), readFileSync(path, 'utf8')]),
  );
  const {
    files: stackFiles = ['stack.yml'],
    env = {},
    envFiles = [],
  } = JSON.parse(files['case.json'] ?? '{}') as {
    files?: readonly string[];
    env?: Readonly<Record<string, string>>;
    envFiles?: readonly string[];
  };
  const text = Object.entries(files).flatMap(([path, each]) => (path.endsWith('.yml') ? each : []));
  const published = /published"?: *"?(\d+)|\b(\d{2,5}):\d{2,5}\b/g;
  return {
    name,
    files,
    inputs: {
      'compose-file': stackFiles.join('\n'),
      'env-file': envFiles.join('\n'),
      env: Object.entries(env)
        .map(([key, value]) => `${key}=${value}`)
        .join('\n'),
      history: 0,
      lock: false,
    },
    ports: [
      ...new Set(Array.from(text.join('\n').matchAll(published), ([, a, b]) => a ?? b ?? '')),
    ],
  };
}

/** What the files declare as external. */
const NETWORKS = ['proxy', 'shared'];
const CONFIGS = ['site'];
const SECRETS = [
  'cert',
  'prod_postgres',
  ...['gitlab', 'runner', 'nextcloud', 'collabora', 'mattermost', 'wiki', 'mail', 'vault'].map(
    (name) => `${name}_admin`,
  ),
  ...['registry', 'minio', 'sso'].map((name) => `${name}_admin`),
];

/** What the client of 20.10 does not know; every other file is deployed on every engine. */
const REFUSED_BY_20_10: ReadonlyMap<string, RegExp> = new Map([
  ['jobs', /`deploy\.mode: (replicated|global)-job` needs a Docker client of 23\.0 or newer/],
  ['depends-on-map', /`deploy\.mode: replicated-job` needs a Docker client of 23\.0 or newer/],
]);

const refusalOf = ({ bed }: Stack, name: string): RegExp | undefined =>
  bed.engineVersion.startsWith('20.10') ? REFUSED_BY_20_10.get(name) : undefined;

/** How a deploy of those ends whose services wait for one another. */
const IN_WAVES: ReadonlyMap<string, { readonly outcome: string; readonly inputs: Inputs }> =
  new Map([
    ['crlf-bom', { outcome: 'deployed', inputs: {} }],
    ['depends-on-map', { outcome: 'deployed', inputs: {} }],
    ['json-translated', { outcome: 'deployed', inputs: {} }],
    // Its healthchecks ask once a day: nobody waits for the first answer, and what is written stays.
    ['shared-translated', { outcome: 'failed', inputs: { timeout: '30s', 'on-failure': 'keep' } }],
  ]);

const spare = spareSwarm();
afterAll(() => spare.down());

let ready: Promise<Testbed> | undefined;
/** The swarm on which nothing runs, with what the files expect to be there. */
function idle(): Promise<Testbed> {
  ready ??= (async () => {
    const { name, engine } = await testbed();
    const bed = await spare.up(name, { engine, managers: 1, workers: 0, images: false });
    const { manager } = bed;
    await manager.docker('node', 'update', '--availability', 'drain', manager.name);
    for (const network of NETWORKS)
      await manager.docker('network', 'create', '--driver', 'overlay', network);
    for (const [kind, name] of [
      ...CONFIGS.map((each) => ['config', each] as const),
      ...SECRETS.map((each) => ['secret', each] as const),
    ]) {
      const made = await manager.exec(['docker', kind, 'create', name, '-'], { input: 'x' });
      if (made.code !== 0) throw new Error(`cannot create ${kind} ${name}: ${made.stderr}`);
    }
    return bed;
  })();
  return ready;
}

const holders = new Map<string, Promise<unknown>>();
/** One after the other where they publish the same port: a swarm gives it to one service at a time. */
async function inTurn(
  stack: Stack,
  ports: readonly string[],
  work: () => Promise<unknown>,
): Promise<void> {
  const places = ports.map((port) => `${stack.bed.name} ${port}`);
  const former = places.flatMap((place) => holders.get(place) ?? []);
  const mine = Promise.allSettled(former)
    .then(work)
    .finally(() => stack.remove());
  for (const place of places) holders.set(place, mine);
  await mine;
}

interface Planned {
  readonly hasChanges: boolean;
  readonly services: readonly {
    readonly name: string;
    readonly change: string;
    readonly job: boolean;
    readonly fields: readonly unknown[];
  }[];
}

/** All that a write would move; one of a service leaves the former spec behind. */
async function stateOf(stack: Stack): Promise<unknown> {
  const services = Object.entries(await stack.services()).map(([name, service]) => {
    const { ID, Spec, PreviousSpec } = service as typeof service & { PreviousSpec?: unknown };
    return { name, ID, Spec, PreviousSpec };
  });
  return { services, objects: await stack.objectSpecs(), ledger: await stack.ledger() };
}

/** Deploys, plans the same, and compares. */
async function prove(
  stack: Stack,
  { name, files, inputs }: Case,
  { outcome, inputs: more }: { readonly outcome: string; readonly inputs: Inputs },
): Promise<Run> {
  const step = { files, inputs: { ...inputs, ...more } };
  const plan = { files, inputs: { ...step.inputs, mode: 'plan' } };
  const run = await stack.run(step);
  const refusal = refusalOf(stack, name);
  if (refusal !== undefined) {
    const planned = await stack.run(plan);
    for (const { reason, code, postCode, log } of [run, planned]) {
      expect({ reason, code, postCode }).toEqual({
        reason: 'compose-invalid',
        code: 1,
        postCode: 0,
      });
      expect(log).toMatch(refusal);
    }
    expect(await stateOf(stack)).toEqual({ services: [], objects: {}, ledger: {} });
    return run;
  }
  expect(run.outcome).toBe(outcome);
  const live = Object.keys(await stack.services()).map((service) => `${stack.name}_${service}`);
  expect(run.changed.toSorted()).toEqual(live.toSorted());

  const before = await stateOf(stack);
  const planned = await stack.run(plan);
  const { services } = (planned.report as { plan: Planned }).plan;
  expect(services.flatMap(({ fields }) => fields)).toEqual([]);
  expect(services.map((service) => service.name).toSorted()).toEqual(live.toSorted());
  // A job runs again with every deploy.
  const jobs = services.filter(({ job }) => job).map((service) => service.name);
  expect(planned).toMatchObject({ outcome: 'planned', code: 0, postCode: 0 });
  expect(planned.changed.toSorted()).toEqual(jobs.toSorted());
  expect(planned.outputs['has-changes']).toBe(String(jobs.length > 0));
  expect(await stateOf(stack)).toEqual(before);
  return run;
}

onSwarm('right after a deploy a plan of the same file has no changes, but for jobs', () => {
  it('for all that the corpus has', () => {
    expect(cases.length).toBeGreaterThanOrEqual(50);
    const names = cases.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining([...IN_WAVES.keys(), ...REFUSED_BY_20_10.keys()]));
  });

  // First, as they take longest.
  describe('in waves', () => {
    for (const each of cases.filter(({ name }) => IN_WAVES.has(name)))
      scenario(
        each.name,
        async (stack) => {
          const image = `corpus-${stack.name}`;
          await stack.bed.pushImage(`${image}:v1`, {
            command: ['/bin/busybox', 'httpd', '-f', '-p', '80'],
            files: { 'bin/migrate': '#!/bin/sh\nexit 0\n' },
            health: { test: ['CMD', '/bin/busybox', 'true'], interval: 1, retries: 3 },
          });
          const files = Object.fromEntries(
            Object.entries(each.files).map(([path, text]) => [
              path,
              text.replaceAll(/(\bimage"?: ?"?)[\w:${}]+/g, `$1${stack.image(image)}`),
            ]),
          );
          await inTurn(stack, each.ports, async () => {
            const how = IN_WAVES.get(each.name) ?? { outcome: '', inputs: {} };
            const run = await prove(stack, { ...each, files }, how);
            // Refused, it does not come that far.
            if (refusalOf(stack, each.name) === undefined) expect(run.log).toMatch(/wave 1 of/);
          });
        },
        // Three of them wait for one another.
        2 * LIMIT_MS,
      );
  });

  describe('on a swarm that runs nothing', () => {
    const nobodyWaits = {
      outcome: 'deployed',
      inputs: {
        wait: false,
        'resolve-image': 'never',
        // For each image the client of 20.10 would look up the address of its registry.
        'with-registry-auth': false,
        'registry-username': '',
        'registry-password': '',
      },
    };
    for (const each of cases.filter(({ name }) => !IN_WAVES.has(name)))
      it.concurrent(
        each.name,
        async () => {
          const stack = new Stack(await idle());
          await inTurn(stack, each.ports, () => prove(stack, each, nobodyWaits)).catch(
            (error: unknown) => {
              const words = error instanceof Error ? (error.stack ?? '') : String(error);
              throw new Error(`${words}\n\n${stack.story()}`);
            },
          );
        },
        LIMIT_MS,
      );
  });
});
