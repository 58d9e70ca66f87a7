/**
 * The workflows in examples/: each deploy step is run by the bundle with the inputs that it states,
 * over SSH, against a swarm in this process.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { parse } from 'yaml';
import { runStep } from '../../testbed/runner.mjs';
import { specOf } from '../support/fake-swarm.js';
import { makeKey, startSshServer, type SshServer } from '../support/ssh-server.js';
import { startSwarmHost, type SwarmHost } from '../support/swarm-host.js';

const ROOT = new URL('../../examples/', import.meta.url).pathname;
const ACTION = 'org/swarm-deploy@';
const AT_ONCE = 3;

interface Step {
  readonly uses?: string;
  readonly with?: Readonly<Record<string, string | number | boolean>>;
  readonly env?: Readonly<Record<string, string>>;
}
interface Workflow {
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly steps: readonly Step[];
        readonly strategy?: {
          readonly matrix: { readonly include: readonly Readonly<Record<string, string>>[] };
        };
      }
    >
  >;
}
type Result = Awaited<ReturnType<typeof runStep>>;
type Values = Readonly<Record<string, string>>;

const clientKey = makeKey();
const bastionKey = makeKey();
const SECRETS: Values = {
  'secrets.SSH_PRIVATE_KEY': clientKey.privateKey,
  'secrets.BASTION_PRIVATE_KEY': bastionKey.privateKey,
  'secrets.REGISTRY_TOKEN': 'canary-registry-token',
  'secrets.DOCKERHUB_TOKEN': 'canary-docker-hub-token',
  'secrets.OWN_REGISTRY_PASSWORD': 'canary-own-registry',
  'secrets.DATABASE_PASSWORD': 'canary-database-password',
  'steps.token.outputs.password': 'canary-ecr-password',
};
const FACTS: Values = {
  'vars.REGISTRY_USER': 'acme-bot',
  'vars.DOCKERHUB_USER': 'acme',
  'github.sha': '3f1c2aa0b0a84de2ba53b2cbb1d17ff6aa0c1f5e',
  'github.ref_name': 'v1.4.0',
  'github.event.number': '17',
  'github.event.pull_request.head.sha': '77d0a3159b0a84de2ba53b2cbb1d17ff6aa0c1f5',
  'github.event.release.tag_name': 'v1.4.0',
  'inputs.revision': 'previous',
  'inputs.tag': 'v1.4.0',
  'steps.ecr.outputs.registry': '123456789012.dkr.ecr.eu-central-1.amazonaws.com',
};
const LOGINS: Values = {
  'ghcr.io': 'canary-registry-token',
  '': 'canary-docker-hub-token',
  'registry.example.com:5000': 'canary-own-registry',
  '123456789012.dkr.ecr.eu-central-1.amazonaws.com': 'canary-ecr-password',
};

/** What a runner makes of `${{ }}`: of the names in an example, and nothing else. */
function filledIn(text: string, values: Values): string {
  return text.replace(/\$\{\{\s*(.*?)\s*\}\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`the test has no value for \${{ ${name} }}`);
    return value;
  });
}

const allFilledIn = (texts: Step['with'], values: Values): Record<string, string> =>
  Object.fromEntries(
    Object.entries(texts ?? {}).map(([name, text]) => [name, filledIn(String(text), values)]),
  );

interface Expected {
  /** Of each deploy step, in their order. */
  readonly outcomes: readonly string[];
  /** The services that run afterwards. */
  readonly services: readonly string[];
  /** Services that are there before, by image. */
  readonly before?: Readonly<Record<string, string>>;
  /** Networks that somebody has made. */
  readonly networks?: readonly string[];
  /** One-shot services. */
  readonly ends?: readonly string[];
  /** Whether the stack is deployed twice before, with another tag each time. */
  readonly deployedTwice?: boolean;
  readonly throughBastion?: boolean;
  readonly check?: (host: SwarmHost, results: readonly Result[]) => void;
}

const API = { outcomes: ['deployed'], services: ['shop_api'] };
const EXAMPLES: Readonly<Record<string, Expected>> = {
  'deploy-ghcr.yml': API,
  'deploy-docker-hub.yml': API,
  'deploy-ecr.yml': API,
  'deploy-own-registry.yml': API,
  'on-the-manager.yml': API,
  'notify.yml': API,
  'bastion.yml': { ...API, throughBastion: true },
  'staging-production.yml': {
    outcomes: ['deployed', 'deployed'],
    services: ['shop_api'],
    check: (_, results) => {
      const replicas = results.map(
        ({ outputs }) => /"desired":(\d+)/.exec(outputs['services'] ?? '')?.[1],
      );
      expect(replicas).toEqual(['1', '10']);
    },
  },
  'rollback.yml': {
    ...API,
    deployedTwice: true,
    check: ({ swarm }, [result]) => {
      expect(result?.outputs).toMatchObject({ revision: '3', 'previous-revision': '2' });
      expect(imageOf(swarm, 'shop_api')).toMatch(/^ghcr\.io\/acme\/shop:first@/);
    },
  },
  'plan.yml': {
    outcomes: ['planned'],
    services: ['shop_api'],
    before: { shop_api: 'example/api:v1' },
    check: ({ swarm }, [result]) => {
      expect(result?.outputs['has-changes']).toBe('true');
      expect(swarm.writes).toEqual([]);
    },
  },
  'preview.yml': {
    outcomes: ['deployed', 'removed'],
    services: [],
    networks: ['edge'],
    check: ({ swarm }) => {
      expect(swarm.writes).toContain('create shop-pr-17_api');
      expect(swarm.objects.map(({ name }) => name)).toEqual(['edge']);
    },
  },
  'matrix.yml': {
    outcomes: ['deployed', 'deployed', 'deployed'],
    services: ['edge_proxy', 'monitoring_metrics', 'shop_api'],
  },
  'migrations.yml': {
    outcomes: ['deployed'],
    services: ['shop_api', 'shop_migrate'],
    ends: ['shop_migrate'],
    check: ({ swarm }) => {
      const created = swarm.writes.filter((write) => /^create shop_/.test(write));
      expect(created).toEqual(['create shop_migrate', 'create shop_api']);
    },
  },
  'zero-downtime.yml': {
    outcomes: ['deployed'],
    services: ['shop_api', 'shop_proxy'],
    check: (_, [result]) => {
      const { verification } = result?.report as {
        readonly verification: readonly { readonly url: string; readonly ok: boolean }[];
      };
      expect(verification.map(({ url, ok }) => [new URL(url).pathname, ok])).toEqual([
        ['/health', true],
        ['/', true],
      ]);
      expect(asked).toEqual(expect.arrayContaining(['/health', '/']));
    },
  },
  'secrets.yml': {
    ...API,
    check: ({ secrets }) => {
      const held = [...secrets].filter(([name]) => name.startsWith('shop_database_password-'));
      expect(held.map(([, content]) => content)).toEqual(['canary-database-password']);
    },
  },
};

function imageOf(swarm: SwarmHost['swarm'], name: string): string {
  const template = swarm.byName(name).Spec['TaskTemplate'] as { ContainerSpec: { Image: string } };
  return template.ContainerSpec.Image;
}

/** The shop as its users reach it, which answers its version; and what it was asked for. */
const asked: string[] = [];
const shop = createServer((request, response) => {
  asked.push(request.url ?? '');
  response.end(FACTS['github.sha']);
});

interface Played {
  readonly results: readonly Result[];
  readonly services: readonly string[];
  readonly left: readonly string[];
  /** Connections that the bastion has passed on. */
  readonly forwarded: number;
  readonly check: () => void;
}

/** Runs the deploy steps of a workflow one after the other, on a host of their own. */
async function play(name: string, expected: Expected): Promise<Played> {
  const { ends, before = {}, networks = [], deployedTwice = false } = expected;
  const host = await startSwarmHost(ends);
  let server: SshServer | undefined;
  let bastion: SshServer | undefined;
  try {
    for (const [registry, password] of Object.entries(LOGINS))
      host.swarm.logins.set(registry, password);
    for (const network of networks) host.swarm.addObject('network', '', network);
    for (const [service, image] of Object.entries(before))
      host.swarm.services.set('service1', {
        ID: 'service1',
        Version: { Index: 10 },
        Spec: specOf('shop', service, { image }),
      });
    server = await startSshServer({ authorizedKeys: [clientKey], env: host.env });
    bastion = await startSshServer({ authorizedKeys: [bastionKey], forwards: 'pass' });
    const values: Values = {
      ...SECRETS,
      ...FACTS,
      'vars.SWARM_HOST': `deploy@${server.host}:${server.port}`,
      'vars.BASTION_HOST': `jump@${bastion.host}:${bastion.port}`,
      'vars.SSH_KNOWN_HOSTS': server.knownHosts + bastion.knownHosts,
      'vars.SHOP_URL': `http://127.0.0.1:${(shop.address() as AddressInfo).port}`,
    };
    if (deployedTwice)
      for (const tag of ['first', 'second'])
        await runAll('deploy-ghcr.yml', { ...values, 'github.sha': tag }, host);
    const results = await runAll(name, values, host);
    const services = host.swarm.names();
    return {
      results,
      services,
      forwarded: bastion.forwarded.length,
      left: host.left(),
      check: () => expected.check?.(host, results),
    };
  } finally {
    await server?.close();
    await bastion?.close();
    await host.close();
  }
}

async function runAll(name: string, values: Values, host: SwarmHost): Promise<readonly Result[]> {
  const { jobs } = parse(readFileSync(join(ROOT, name), 'utf8')) as Workflow;
  const results: Result[] = [];
  for (const { steps, strategy } of Object.values(jobs))
    for (const entry of strategy?.matrix.include ?? [{}])
      for (const step of steps.filter(({ uses }) => uses?.startsWith(ACTION) === true)) {
        const all = {
          ...values,
          ...Object.fromEntries(
            Object.entries(entry).map(([key, value]) => [`matrix.${key}`, value]),
          ),
        };
        results.push(
          await runStep({
            inputs: allFilledIn(step.with, all),
            // For `host: local`, docker and its files are those of the host, too.
            env: {
              ...host.env,
              ...allFilledIn(step.env, all),
              ...runFacts(results.length, values),
            },
            files: stackFiles(),
          }),
        );
      }
  return results;
}

/** Every step is a workflow run of its own. */
const runFacts = (number: number, values: Values): Record<string, string> => ({
  GITHUB_RUN_ID: `${Date.now()}${number}`,
  GITHUB_SHA: values['github.sha'] ?? '',
});

const stackFiles = (): Record<string, string> =>
  Object.fromEntries(
    readdirSync(join(ROOT, 'stacks')).map((name) => [
      `stacks/${name}`,
      readFileSync(join(ROOT, 'stacks', name), 'utf8'),
    ]),
  );

const names = readdirSync(ROOT).filter((name) => name.endsWith('.yml'));
const played = new Map<string, Promise<Played>>();
let running: Promise<unknown> = Promise.resolve();

beforeAll(async () => {
  shop.listen(0, '127.0.0.1');
  await once(shop, 'listening');
  const waiting = Object.entries(EXAMPLES);
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [name, expected] = next;
      starts.get(name)?.(play(name, expected));
      await played.get(name)?.catch(() => undefined);
    }
  };
  const starts = new Map<string, (value: Promise<Played>) => void>();
  for (const name of Object.keys(EXAMPLES)) {
    const promise = new Promise<Played>((resolve) => starts.set(name, resolve));
    promise.catch(() => undefined); // its own test tells
    played.set(name, promise);
  }
  running = Promise.all(Array.from({ length: AT_ONCE }, lane));
});

afterAll(async () => {
  await running;
  shop.close();
});

describe('examples', () => {
  it('are all played, and all in their index', () => {
    expect(Object.keys(EXAMPLES).sort()).toEqual([...names].sort());
    const index = readFileSync(join(ROOT, 'README.md'), 'utf8');
    for (const name of names) expect(index).toContain(`[${name}](${name})`);
  });

  it.each(Object.entries(EXAMPLES))('%s does what it says', async (name, expected) => {
    const { results, services, left, forwarded, check } = await played.get(name)!;
    for (const [index, { log, code, postCode, outputs, state }] of results.entries()) {
      const outcome = expected.outcomes[index];
      expect({ outcome: outputs['outcome'], log }).toEqual({ outcome, log });
      expect({ code, postCode, workspace: state['workspace'] ?? '' }).toEqual({
        code: 0,
        postCode: 0,
        workspace: '',
      });
      // The files are such that there is nothing to say about them.
      expect(log).not.toMatch(/^::(warning|error)/m);
    }
    expect(results).toHaveLength(expected.outcomes.length);
    expect(services).toEqual(expected.services);
    expect(left).toEqual([]);
    expect(forwarded > 0).toBe(expected.throughBastion === true);
    const said = JSON.stringify(results).replaceAll(/::add-mask::[^\\]*\\n/g, '');
    for (const secret of Object.values(SECRETS).filter((each) => each.startsWith('canary-')))
      expect(said).not.toContain(secret);
    check();
  });
});
