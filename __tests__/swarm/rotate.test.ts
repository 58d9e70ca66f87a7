/**
 * Configs and secrets that change, on the real swarm: what is in the containers, what the swarm keeps,
 * and what is nowhere to be found afterwards.
 */
import { expect } from '@jest/globals';
import { gunzipSync } from 'node:zlib';
import { crashing, stateOf, STRICT, web, workflow } from '../support/history.js';
import { onSwarm, scenario, type Run, type RunOptions, type Stack } from '../support/swarm.js';

const CONF = '/etc/app.conf';
const TOKEN = '/run/secrets/token';

const content = {
  configs: [{ source: 'conf', target: CONF }],
  secrets: ['token'],
};
const sections = {
  configs: { conf: { file: './conf' } },
  secrets: { token: { file: './token' } },
};

/** One that has both, one that shares the config, and one that has neither. */
const services = (stack: Stack, api: object = web(stack, 'v1')): Record<string, object> => ({
  api: { ...api, ...content },
  other: web(stack, 'v1', { configs: content.configs, deploy: { replicas: 1 } }),
  steady: { image: stack.image('nohealth'), stop_grace_period: '1s' },
});

interface Files {
  readonly conf: string;
  readonly token: string;
}

function deploy(
  stack: Stack,
  { conf, token }: Files,
  { inputs = {}, ...options }: RunOptions & { readonly api?: object; readonly more?: object } = {},
): Promise<Run> {
  const { api, more = sections, ...step } = options;
  return stack.run({
    ...step,
    inputs: { history: 0, ...STRICT, ...inputs },
    files: {
      ...{ conf, token, ...step.files },
      'docker-stack.yml': stack.file(services(stack, api), {
        networks: { default: stack.network },
        ...more,
      }),
    },
  });
}

/** What all containers of a service have at a path, each once. */
async function inside(stack: Stack, service: string, path: string): Promise<readonly string[]> {
  const tasks = await stack.running(service);
  const read = tasks.map((task) => stack.inside(task, 'busybox', 'base64', path));
  const texts = (await Promise.all(read)).map((text) => Buffer.from(text, 'base64').toString());
  return [...new Set(texts)];
}

/** When every container of the stack started. */
async function starts(stack: Stack): Promise<Record<string, string>> {
  const all = await Promise.all(
    ['api', 'other', 'steady'].map((service) => stack.startTimes(service)),
  );
  return Object.assign({}, ...all) as Record<string, string>;
}

const rotated = (kind: string, stack: Stack): RegExp =>
  new RegExp(`^${stack.name}_${kind}-[0-9a-f]{12}$`);

/** Names of the configs and secrets whose name their content decides. */
const named = async (stack: Stack, key: string): Promise<readonly string[]> =>
  (await stack.objects()).filter((name) => rotated(key, stack).test(name));

const kinds = async (stack: Stack): Promise<readonly string[]> =>
  Object.values(await stack.ledger()).map((labels) => labels['swarm-deploy.kind'] ?? '');

/** Every place in which a secret must not be once a run is over. */
async function expectNoTrace(stack: Stack, secret: string, runs: readonly Run[]): Promise<void> {
  const look = 'grep -rslF -- "$1" /tmp /var/tmp /root /home; true';
  for (const node of stack.bed.nodes)
    expect((await node.exec(['sh', '-c', look, 'sh', secret])).stdout).toBe('');
  const configs = (await stack.manager.api('GET', '/configs')) as readonly {
    readonly Spec: { readonly Data: string };
  }[];
  const forms = [secret, Buffer.from(secret).toString('base64')];
  for (const { Spec } of configs) {
    const data = Buffer.from(Spec.Data, 'base64');
    const text = data[0] === 0x1f ? gunzipSync(data).toString() : data.toString('latin1');
    for (const form of forms) expect(text).not.toContain(form);
  }
  for (const run of runs) for (const form of forms) expect(JSON.stringify(run)).not.toContain(form);
}

/** The key, which is in one config of the swarm and nowhere else. */
async function expectKeyHidden(stack: Stack, runs: readonly Run[]): Promise<void> {
  const config = (await stack.manager.api('GET', `/configs/${stack.name}.rotation-key`)) as {
    readonly Spec: { readonly Data: string };
  };
  const key = Buffer.from(config.Spec.Data, 'base64');
  expect(key.length).toBeGreaterThanOrEqual(16);
  for (const run of runs)
    for (const form of ['base64', 'hex'] as const)
      expect(JSON.stringify(run)).not.toContain(key.toString(form));
}

onSwarm('configs and secrets that change', () => {
  scenario('roll by one byte, stay by none, and go when nothing needs them', async (stack) => {
    const first = { conf: 'one\n', token: `${stack.name}-secret\n` };
    const runs = [await deploy(stack, first)];
    expect(runs[0]).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(await inside(stack, 'api', CONF)).toEqual([first.conf]);
    expect(await inside(stack, 'api', TOKEN)).toEqual([first.token]);
    const [objects, started] = [await stack.objectSpecs(), await starts(stack)];
    const [old, oldToken] = [await named(stack, 'conf'), await named(stack, 'token')];
    expect([old.length, oldToken.length]).toEqual([1, 1]);

    runs.push(await deploy(stack, first));
    expect(runs[1]).toMatchObject({ outcome: 'unchanged', code: 0, changed: [] });
    expect(await stack.objectSpecs()).toEqual(objects);
    expect(await starts(stack)).toEqual(started);

    // The last newline goes, and one byte comes.
    const second = { conf: 'one', token: `${first.token}x` };
    runs.push(await deploy(stack, second));
    expect(runs[2]).toMatchObject({
      outcome: 'deployed',
      code: 0,
      changed: [`${stack.name}_api`, `${stack.name}_other`],
    });
    for (const service of ['api', 'other'])
      expect(await inside(stack, service, CONF)).toEqual([second.conf]);
    expect(await inside(stack, 'api', TOKEN)).toEqual([second.token]);
    // What `docker service rollback` would go back to is still there.
    expect(await named(stack, 'conf')).toEqual(expect.arrayContaining([...old]));
    expect(await named(stack, 'token')).toEqual(expect.arrayContaining([...oldToken]));
    const now = await starts(stack);
    expect(Object.entries(now)).toEqual(
      expect.arrayContaining(Object.entries(await stack.startTimes('steady'))),
    );

    runs.push(await deploy(stack, second));
    expect(runs[3]).toMatchObject({ outcome: 'unchanged', code: 0, changed: [] });
    expect(await starts(stack)).toEqual(now);
    const left = [...(await named(stack, 'conf')), ...(await named(stack, 'token'))];
    expect(left).toHaveLength(2);
    for (const name of [...old, ...oldToken]) {
      expect(left).not.toContain(name);
      expect(runs[3]?.log).toContain(`${name}: nothing needs it any more`);
    }
    await expectNoTrace(stack, first.token.trim(), runs);
    await expectKeyHidden(stack, runs);
  });

  scenario('are back, all of them and no others, where the deploy fails', async (stack) => {
    const first = { conf: 'one', token: `${stack.name}-first` };
    const runs = [await deploy(stack, first, { inputs: { history: 5 }, ...workflow(1) })];
    expect(runs[0]).toMatchObject({ outcome: 'deployed', code: 0 });
    const [specs, objects] = [await stack.specs(), await stack.objectSpecs()];

    const second = { conf: 'two', token: `${stack.name}-second` };
    runs.push(
      await deploy(stack, second, {
        api: crashing(stack),
        inputs: { history: 5 },
        ...workflow(2),
      }),
    );
    expect(runs[1]).toMatchObject({ outcome: 'rolled-back', code: 1 });
    expect(runs[1]?.log).toMatch(new RegExp(`Creating config ${stack.name}_conf-[0-9a-f]{12}`));
    expect(await stack.specs()).toEqual(specs);
    expect(await stack.objectSpecs()).toEqual(objects);
    for (const service of ['api', 'other'])
      expect(await inside(stack, service, CONF)).toEqual([first.conf]);
    expect(await inside(stack, 'api', TOKEN)).toEqual([first.token]);
    for (const token of [first.token, second.token]) await expectNoTrace(stack, token, runs);
    await expectKeyHidden(stack, runs);
  });

  scenario('are kept for the revisions that are, which bring them back', async (stack) => {
    const history = { inputs: { history: 2 } };
    const texts = ['one', 'two', 'three'].map((text) => ({
      conf: text,
      token: `${stack.name}-${text}`,
    }));
    const [one, two, three] = texts as [Files, Files, Files];
    expect((await deploy(stack, one, { ...history, ...workflow(1) })).outcome).toBe('deployed');
    const [specs, [conf1 = '']] = [await stack.specs(), await named(stack, 'conf')];
    expect((await deploy(stack, two, { ...history, ...workflow(2) })).outcome).toBe('deployed');
    expect(await named(stack, 'conf')).toHaveLength(2);

    const back = await stack.run({ inputs: { mode: 'rollback', history: 2 }, ...workflow(3) });
    expect(back).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(await stack.specs()).toEqual(specs);
    for (const service of ['api', 'other'])
      expect(await inside(stack, service, CONF)).toEqual([one.conf]);
    expect(await inside(stack, 'api', TOKEN)).toEqual([one.token]);
    // The files that were rolled back are what runs.
    const same = await deploy(stack, one, { ...history, ...workflow(4) });
    expect(same).toMatchObject({ outcome: 'unchanged', changed: [] });

    // What runs, and what an undo would bring back.
    expect((await deploy(stack, three, { ...history, ...workflow(5) })).code).toBe(0);
    expect(await named(stack, 'conf')).toHaveLength(2);
    expect(await named(stack, 'conf')).toContain(conf1);
    expect(await inside(stack, 'api', CONF)).toEqual([three.conf]);
    // Only what runs.
    const last = await deploy(stack, three, { inputs: { history: 1 }, ...workflow(6) });
    expect(last).toMatchObject({ outcome: 'unchanged', changed: [] });
    expect(await named(stack, 'conf')).toHaveLength(1);
    expect(await named(stack, 'conf')).not.toContain(conf1);
    expect(await named(stack, 'token')).toHaveLength(1);
  });

  scenario('are taken away by the next good deploys where a bad one was kept', async (stack) => {
    const first = { conf: 'one', token: 'one' };
    expect((await deploy(stack, first)).outcome).toBe('deployed');
    const objects = await stack.objectSpecs();
    const bad = await deploy(
      stack,
      { conf: 'two', token: 'two' },
      { api: crashing(stack), inputs: { 'on-failure': 'keep' } },
    );
    expect(bad).toMatchObject({ outcome: 'failed', code: 1 });
    expect(await stack.objects()).toHaveLength(4);
    expect(await deploy(stack, first)).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(await inside(stack, 'api', CONF)).toEqual([first.conf]);
    expect(await deploy(stack, first)).toMatchObject({ outcome: 'unchanged', changed: [] });
    expect(await stack.objectSpecs()).toEqual(objects);
  });

  scenario('go with the stack, the key of the secrets included', async (stack) => {
    const files = { conf: 'text', token: 'text' };
    expect((await deploy(stack, files)).outcome).toBe('deployed');
    expect(await kinds(stack)).toEqual(['rotation-key']);
    const [name = ''] = await named(stack, 'token');
    expect((await stack.run({ inputs: { mode: 'remove' } })).outcome).toBe('removed');
    expect(await stateOf(stack)).toEqual({ services: {}, objects: {}, ledger: {} });

    // Another key: the hash says nothing of what it is a hash of.
    expect((await deploy(stack, files)).outcome).toBe('deployed');
    const [anew = ''] = await named(stack, 'token');
    expect(anew).not.toBe(name);
    await stack.remove();
    expect(await stack.ledger()).toEqual({});
  });

  scenario('rotate once where plain Docker had deployed them', async (stack) => {
    const files = { conf: 'text', token: 'text' };
    await stack.dockerDeploy({ services: services(stack), more: sections, files });
    const plain = [`${stack.name}_conf`, `${stack.name}_token`];
    expect(await stack.objects()).toEqual(plain);
    expect(await deploy(stack, files)).toMatchObject({
      outcome: 'deployed',
      changed: [`${stack.name}_api`, `${stack.name}_other`],
    });
    expect(await deploy(stack, files)).toMatchObject({ outcome: 'unchanged', changed: [] });
    // What this action did not make it does not remove.
    expect(await stack.objects()).toEqual(expect.arrayContaining(plain));
    expect(await stack.objects()).toHaveLength(4);
  });

  scenario('with names of their own are refused before anything is written', async (stack) => {
    const [conf, token] = [`conf-${stack.name}`, `token-${stack.name}`];
    const more = {
      configs: { conf: { file: './conf', name: conf } },
      secrets: { token: { file: './token', name: token, labels: { team: 'shop' } } },
    };
    const first = { conf: 'one', token: 'one' };
    expect((await deploy(stack, first, { more })).outcome).toBe('deployed');
    expect(await stack.objects()).toEqual([conf, token]);
    expect(await deploy(stack, first, { more })).toMatchObject({ outcome: 'unchanged' });
    const before = await stateOf(stack);

    const changed = await deploy(stack, { conf: 'two', token: 'two' }, { more });
    expect(changed).toMatchObject({ outcome: 'invalid', reason: 'compose-invalid', code: 1 });
    expect(changed.log).toMatch(
      /^::error .*file=docker-stack.yml,line=\d+.*the content of config conf has changed \(.\/conf\)/m,
    );
    expect(changed.log).toMatch(/^::error .*the content of secret token has changed/m);
    expect(await stateOf(stack)).toEqual(before);

    // A key that was lost must not keep anybody from deploying.
    await stack.manager.docker('config', 'rm', `${stack.name}.rotation-key`);
    expect(await deploy(stack, first, { more })).toMatchObject({ outcome: 'unchanged' });
    const again = await deploy(stack, { ...first, token: 'two' }, { more });
    expect(again).toMatchObject({ outcome: 'invalid', reason: 'compose-invalid' });
  });

  scenario('keep Docker’s names where they are not to rotate', async (stack) => {
    const inputs = { rotate: false };
    const files = { conf: 'one', token: 'one' };
    expect((await deploy(stack, files, { inputs })).outcome).toBe('deployed');
    const before = await stateOf(stack);
    expect(await stack.objects()).toEqual([`${stack.name}_conf`, `${stack.name}_token`]);
    expect(await stack.ledger()).toEqual({});
    const changed = await deploy(stack, { ...files, conf: 'two' }, { inputs });
    expect(changed).toMatchObject({ outcome: 'invalid', reason: 'compose-invalid', code: 1 });
    expect(await stateOf(stack)).toEqual(before);

    // The swarm does not show what is in a secret: Docker says it, and not where.
    const refused = await deploy(stack, { ...files, token: 'two' }, { inputs });
    expect(refused).toMatchObject({ outcome: 'invalid', reason: 'deploy-refused', code: 1 });
    expect(refused.log).toMatch(
      /^::warning .*file=docker-stack.yml,line=\d+.*the content of secret token has changed \(.\/token\)/m,
    );
    expect(refused.log).toContain('With `rotate: true` it gets a name that its content decides.');
    expect(await stateOf(stack)).toEqual(before);
  });

  scenario('are found in several files, through anchors and in old versions', async (stack) => {
    const image = JSON.stringify(stack.image('nohealth'));
    const first = `version: "3.3"
services:
  web:
    image: ${image}
    stop_grace_period: 1s
    configs: [a, b, c]
    secrets: [token]
networks: { default: { external: { name: bridge } } }
configs:
  a: &base
    file: ./one
    labels: { team: shop }
  b: *base
  c: { file: ./one }
secrets:
  token: { file: ./one, labels: [team=shop] }
`;
    const second = `version: "3.3"
configs:
  c:
    file: ./two
`;
    const files = { 'first.yml': first, 'second.yml': second, one: 'one', two: 'two' };
    const inputs = { 'compose-file': 'first.yml\nsecond.yml', history: 0 };
    const run = await stack.run({ inputs, files });
    expect(run).toMatchObject({ outcome: 'deployed', code: 0 });
    for (const [key, text] of Object.entries({ a: 'one', b: 'one', c: 'two' })) {
      expect(await named(stack, key)).toHaveLength(1);
      expect(await inside(stack, 'web', `/${key}`)).toEqual([text]);
    }
    const specs = Object.values(await stack.objectSpecs()) as readonly {
      readonly Spec: { readonly Name: string; readonly Labels: Record<string, string> };
    }[];
    const labelled = specs.filter(({ Spec }) => Spec.Labels['team'] === 'shop');
    expect(labelled.map(({ Spec }) => Spec.Labels['swarm-deploy.rotated']).sort()).toEqual([
      'a',
      'b',
      'token',
    ]);
    expect(await stack.run({ inputs, files })).toMatchObject({ outcome: 'unchanged' });
  });

  scenario('come from the environment of the step, and stay in no other place', async (stack) => {
    const valueOf = (word: string): string =>
      `${stack.name}-${word} $& $$ "quoted" \\\nsecond line`;
    const [first, second, third] = ['first', 'other', 'third'].map(valueOf) as [
      string,
      string,
      string,
    ];
    const runs: Run[] = [];
    const deployWith = async (token: string, id: number, api?: object): Promise<Run> => {
      const { env } = workflow(id);
      const run = await deploy(
        stack,
        { conf: 'same', token: 'a file that nothing names' },
        {
          ...(api !== undefined && { api }),
          more: { ...sections, secrets: { token: { environment: 'APP_TOKEN' } } },
          inputs: { history: 1 },
          env: { ...env, APP_TOKEN: token },
        },
      );
      runs.push(run);
      return run;
    };

    expect(await deployWith(first, 1)).toMatchObject({ outcome: 'deployed', code: 0 });
    expect(await inside(stack, 'api', TOKEN)).toEqual([first]);
    const [former = '', ...others] = await named(stack, 'token');
    expect(others).toEqual([]);
    const [started, all] = [await stack.startTimes('api'), await starts(stack)];

    // Those that have the secret are replaced, every one of them, and no others.
    expect(await deployWith(second, 2)).toMatchObject({
      outcome: 'deployed',
      changed: [`${stack.name}_api`],
    });
    expect(await inside(stack, 'api', TOKEN)).toEqual([second]);
    const now = await starts(stack);
    const tasks = Object.keys(all).filter((task) => task in now);
    expect(tasks.toSorted()).toEqual(
      Object.keys(all)
        .filter((task) => !(task in started))
        .toSorted(),
    );
    expect(await deployWith(second, 3)).toMatchObject({ outcome: 'unchanged', changed: [] });
    expect(await starts(stack)).toEqual(now);
    expect(await named(stack, 'token')).toHaveLength(1);
    expect(await named(stack, 'token')).not.toContain(former);

    // A third, with an image that does not start: as if nothing had been.
    const [specs, objects] = [await stack.specs(), await stack.objectSpecs()];
    const bad = await deployWith(third, 4, crashing(stack));
    expect(bad).toMatchObject({ outcome: 'rolled-back', code: 1 });
    expect(bad.log).toMatch(new RegExp(`Creating secret ${stack.name}_token-[0-9a-f]{12}`));
    expect(await stack.specs()).toEqual(specs);
    expect(await stack.objectSpecs()).toEqual(objects);
    expect(await inside(stack, 'api', TOKEN)).toEqual([second]);

    expect((await stack.revisions()).length).toBeGreaterThan(0);
    for (const word of ['first', 'other', 'third'])
      await expectNoTrace(stack, `${stack.name}-${word}`, runs);
    await expectKeyHidden(stack, runs);
  });
});
