/** What of `rotate` is done before a deploy and after it, and what is not. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { renderStack, type RenderedStack } from '../../../src/compose/render.js';
import { ROTATED_LABEL } from '../../../src/compose/rotate.js';
import { Engine, STACK_LABEL, type StackObject } from '../../../src/docker/engine.js';
import { InvalidInput } from '../../../src/errors.js';
import type { Deployment } from '../../../src/modes/deployment.js';
import { rotate, sweep } from '../../../src/modes/rotate.js';
import type { ServicesEnding } from '../../../src/report/services.js';
import type { Ending } from '../../../src/world.js';
import { FakeSwarm } from '../../support/fake-swarm.js';

let swarm: FakeSwarm;
let engine: Engine;
let said: string[];

beforeEach(() => {
  swarm = new FakeSwarm();
  engine = new Engine(async () => swarm.dial());
  said = [];
});
afterEach(() => engine.close());

const RANDOM = '0123456789abcdef0123456789abcdef';

function deploymentOf(more: {
  readonly rotate?: boolean;
  readonly objects?: readonly StackObject[];
  readonly signal?: AbortSignal;
}): Deployment {
  const parts = {
    inputs: { stack: 'shop', rotate: more.rotate ?? true },
    seen: { objects: more.objects },
    session: {
      engine,
      cliVersion: [28, 5],
      settle: (action: (engine: Engine) => Promise<unknown>) => action(engine),
    },
    world: {
      narrator: { say: (line: string) => said.push(line) },
      clock: swarm.clock,
      signal: more.signal ?? new AbortController().signal,
      randomName: () => RANDOM,
    },
  };
  return parts as unknown as Deployment;
}

const stackOf = (sections: string): RenderedStack =>
  renderStack({
    files: [
      {
        path: 'docker-stack.yml',
        text: Buffer.from(`services: { web: { image: web } }\n${sections}`),
      },
    ],
    stack: 'shop',
    variables: new Map(),
    allowUnset: false,
    workingDirectory: '/checkout',
    home: undefined,
    readFile: (path) => Buffer.from(`content of ${path}`),
  });

describe('before a deploy', () => {
  it('asks nothing of the swarm where there is nothing to ask', async () => {
    for (const sections of [
      '',
      'configs: { a: { file: a } }',
      'secrets: { a: { external: true } }',
    ])
      await rotate(deploymentOf({}), stackOf(sections), true);
    await rotate(
      deploymentOf({ rotate: false }),
      stackOf('secrets: { a: { external: true } }'),
      true,
    );
    expect(swarm.requests).toEqual([]);
  });

  it('makes the key of the secrets once, and says nothing of it', async () => {
    const stack = stackOf('secrets: { a: { file: a } }');
    const first = await rotate(deploymentOf({}), stack, true);
    const second = await rotate(deploymentOf({}), stack, true);
    expect(second.objectNames).toEqual(first.objectNames);
    expect(swarm.objects.map(({ name }) => name)).toEqual(['shop.rotation-key']);
    expect(said).toEqual([]);
  });

  it('only looks for the key where nothing may be written', async () => {
    const stack = stackOf('secrets: { a: { file: a } }');
    expect((await rotate(deploymentOf({}), stack, false)).objectNames.size).toBe(1);
    expect(swarm.writes).toEqual([]);
    const deployed = await rotate(deploymentOf({}), stack, true);
    const planned = await rotate(deploymentOf({}), stack, false);
    expect(planned.objectNames).toEqual(deployed.objectNames);
  });

  it('leaves files, names and swarm alone without `rotate`', async () => {
    const stack = stackOf('configs: { a: { file: a } }\nsecrets: { b: { file: b } }');
    const same = await rotate(deploymentOf({ rotate: false }), stack, true);
    expect(same.files).toEqual(stack.files);
    expect(same.objectNames.size).toBe(0);
    expect(swarm.writes).toEqual([]);
  });

  it.each(['a%zz', '..', 'a b', '-a', 'a.', 'a/b', 'ä', 'a'.repeat(65)])(
    'refuses a name that is none, and asks the swarm nothing: %s',
    async (name) => {
      for (const [on, kind] of [
        [true, 'config'],
        [false, 'config'],
        [true, 'secret'],
      ] as const) {
        const yaml = `${kind}s: { a: { file: a, name: "${name}" } }`;
        const error = await rotate(deploymentOf({ rotate: on }), stackOf(yaml), true).catch(
          (caught: unknown) => caught,
        );
        expect(error).toBeInstanceOf(InvalidInput);
        expect((error as InvalidInput).problems).toMatchObject([
          {
            message: expect.stringContaining(`the \`name:\` of ${kind} a is none that`),
            position: { line: 2 },
          },
        ]);
      }
      expect(swarm.requests).toEqual([]);
    },
  );

  it.each([
    [true, 'configs: { a: { file: a, name: mine } }', 'mine', /Leave its `name:` out/],
    [false, 'configs: { a: { file: a, name: mine } }', 'mine', /Leave its `name:` out/],
    [false, 'configs: { a: { file: a } }', 'shop_a', /`rotate: true`/],
  ])('refuses new content under the same name (rotate: %s, %s)', async (on, yaml, name, hint) => {
    const deploying = (): Promise<unknown> =>
      rotate(deploymentOf({ rotate: on }), stackOf(yaml), true);
    await deploying(); // nothing of that name is there
    const data = Buffer.from('content of /checkout/a');
    const id = await engine.createConfig({ name, labels: {}, data });
    await deploying(); // the same is there
    await engine.removeConfig(id ?? '');
    await engine.createConfig({ name, labels: {}, data: Buffer.concat([data, Buffer.from('\n')]) });
    const error = await deploying().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(InvalidInput);
    expect((error as InvalidInput).problems).toEqual([
      {
        reason: 'compose-invalid',
        position: { file: 'docker-stack.yml', line: 2, column: yaml.includes('name') ? 26 : 12 },
        message: expect.stringContaining(
          `the content of config a has changed (a), but Swarm changes no content of a config that exists: ${name}`,
        ),
        hint: expect.stringMatching(hint),
      },
    ]);
  });
});

describe('after a deploy', () => {
  const old = (): StackObject => {
    swarm.addObject('config', 'shop', 'shop_app-0');
    const object = swarm.objects.at(-1);
    if (object === undefined) throw new Error('nothing was added');
    object.labels = { [STACK_LABEL]: 'shop', [ROTATED_LABEL]: 'app' };
    return { kind: 'config', id: object.id, name: object.name, labels: object.labels };
  };
  const ended = (fate: ServicesEnding['fate']): Ending => ({
    outcome: 'deployed',
    reason: '',
    message: '',
    fate,
  });

  it('removes what was replaced, and says so', async () => {
    await sweep(deploymentOf({ objects: [old()] }), ended('healthy'));
    expect(swarm.objects).toEqual([]);
    expect(said).toEqual(['removed config shop_app-0: nothing needs it any more']);
  });

  it('removes nothing without a verdict, or after a failure', async () => {
    const objects = [old()];
    for (const fate of ['accepted', 'failed', 'unknown', 'restored', 'untouched'] as const)
      await sweep(deploymentOf({ objects }), ended(fate));
    await sweep(deploymentOf({ objects, signal: AbortSignal.abort() }), ended('healthy'));
    expect(swarm.objects).toHaveLength(1);
    expect(swarm.requests).toEqual([]);
  });

  it('asks nothing where nothing was rotated before', async () => {
    await sweep(deploymentOf({}), ended('healthy'));
    await sweep(
      deploymentOf({ objects: [{ kind: 'config', id: 'x', name: 'shop_app', labels: {} }] }),
      ended('healthy'),
    );
    expect(swarm.requests).toEqual([]);
  });

  it('is no failure where it cannot be done', async () => {
    swarm.onRequest = (line) =>
      line.startsWith('DELETE') ? { status: 500, body: '{"message":"no leader"}' } : undefined;
    await sweep(deploymentOf({ objects: [old()] }), ended('healthy'));
    expect(said).toEqual([
      expect.stringMatching(/^old configs and secrets are left to the next deploy: .*no leader/),
    ]);
  });
});
