/** Runs that are refused before anything is started: a precise message, and nothing touched. */
import { expect } from '@jest/globals';
import { generateKeyPairSync } from 'node:crypto';
import { onSwarm, scenario, scenarios, sshdLogOf, type Run, type Stack } from '../support/swarm.js';

/** Everything that a write to the stack would change, the engine's own counters included. */
async function stateOf(stack: Stack): Promise<unknown> {
  return { services: await stack.services(), objects: await stack.objects() };
}

function expectInvalid(run: Run, reason: string): void {
  expect(run).toMatchObject({ outcome: 'invalid', reason, code: 1, postCode: 0, changed: [] });
  expect(run.log).toContain('::error');
  expect(run.summary).toContain(reason);
}

const file = (stack: Stack): Record<string, string> => ({
  'docker-stack.yml': stack.file({ api: { image: stack.image('web') } }),
});

onSwarm('a run is refused', () => {
  scenario(
    'when the host key is another: nothing was sent, and the way out is told',
    async (stack) => {
      // No other scenario logs in there.
      const host = stack.bed.node('worker2');
      const { publicKey } = generateKeyPairSync('ed25519');
      const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
      const name = Buffer.from('ssh-ed25519');
      const blob = Buffer.concat([
        Buffer.from([0, 0, 0, name.length]),
        name,
        Buffer.from([0, 0, 0, 32]),
        raw,
      ]);
      const log = sshdLogOf(host);
      const run = await stack.run({
        files: file(stack),
        inputs: {
          host: host.address,
          'known-hosts': `${host.address} ssh-ed25519 ${blob.toString('base64')}`,
        },
      });
      expectInvalid(run, 'host-key');
      expect(run.log).toContain(host.fingerprint);
      expect(run.log).toMatch(/known-hosts|host-fingerprint/);
      const lines = log();
      expect(lines.some((line) => line.startsWith('Connection from'))).toBe(true);
      expect(lines.filter((line) => /user|session|accepted|publickey/i.test(line))).toEqual([]);
    },
  );

  scenario('when the host key is not known at all', async (stack) => {
    const host = stack.manager;
    const run = await stack.run({
      files: file(stack),
      inputs: { 'known-hosts': '', 'host-fingerprint': `SHA256:${'A'.repeat(43)}` },
    });
    expectInvalid(run, 'host-key');
    expect(run.log).toContain(host.fingerprint);
    expect(run.log).toContain('host-fingerprint');
  });

  scenario('when the registry refuses the password', async (stack) => {
    const api = { image: stack.image('web') };
    expect((await stack.deploy({ api })).outcome).toBe('deployed');
    const before = await stateOf(stack);
    const run = await stack.deploy(
      { api: { image: stack.image('web', 'v2') }, more: api },
      { 'registry-password': 'not-the-password' },
    );
    expectInvalid(run, 'registry-auth');
    expect(run.log).toContain(stack.bed.registry.host);
    expect(run.log).toContain('registry-password');
    expect(run.log.replace(/^::add-mask::.*$/gm, '')).not.toContain('not-the-password');
    expect(await stateOf(stack)).toEqual(before);
  });

  scenario('when the host is a worker', async (stack) => {
    const host = stack.bed.node('worker1');
    const run = await stack.run({ files: file(stack), inputs: { host: host.address } });
    expectInvalid(run, 'not-a-manager');
    expect(run.log).toContain(host.address);
    expect(run.log).toContain('worker');
    expect(await stateOf(stack)).toEqual({ services: {}, objects: [] });
  });

  scenario('when the key opens no login', async (stack) => {
    const { privateKey } = generateKeyPairSync('ec', {
      namedCurve: 'prime256v1',
      privateKeyEncoding: { type: 'sec1', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    const run = await stack.run({ files: file(stack), inputs: { 'private-key': privateKey } });
    expectInvalid(run, 'auth-failed');
    expect(run.log).toContain('root');
  });

  scenario('when the login may not use Docker', async (stack) => {
    const run = await stack.run({ files: file(stack), inputs: { username: 'guest' } });
    expectInvalid(run, 'docker-unavailable');
    expect(run.log).toMatch(/permission denied/i);
    expect(run.log).toMatch(/sudo/);
  });

  scenario('when nobody listens at the port', async (stack) => {
    const run = await stack.run({ files: file(stack), inputs: { port: '1' } });
    expect(run).toMatchObject({ outcome: 'unreachable', reason: 'connection-lost', code: 1 });
    expect(run.log).toContain(`${stack.manager.address}:1`);
  });

  scenarios(
    [
      {
        title: 'the stack file is missing',
        inputs: { 'compose-file': 'deploy/stack.yml' },
        files: {},
        reason: 'input-invalid',
        words: ['deploy/stack.yml', 'does not exist', 'compose-file'],
      },
      {
        title: 'there is no stack file to discover',
        inputs: {},
        files: {},
        reason: 'input-invalid',
        words: ['docker-stack.yml', 'compose.yaml'],
      },
      {
        title: 'the YAML is broken',
        inputs: {},
        files: { 'compose.yaml': 'services:\n  api:\n    image: "web\n  more: [\n' },
        reason: 'compose-invalid',
        words: ['compose.yaml', /compose\.yaml:\d|file=compose\.yaml,line=\d/],
      },
      {
        title: 'a variable is unset',
        inputs: {},
        files: { 'compose.yaml': 'services:\n  api:\n    image: web:${TAG_OF_API}\n' },
        reason: 'variable-unset',
        words: ['TAG_OF_API', /compose\.yaml:3|file=compose\.yaml,line=3/],
      },
      {
        title: 'three inputs are bad, naming all of them',
        inputs: { timeout: 'soon', 'on-failure': 'panic', prune: 'maybe' },
        files: { 'compose.yaml': 'services:\n  api:\n    image: web\n' },
        reason: 'input-invalid',
        words: ['timeout', 'soon', 'on-failure', 'panic', 'rollback', 'prune', 'maybe', 'true'],
      },
    ] as const,
    ({ title }) => `when ${title}`,
    async (stack, { inputs, files, reason, words }) => {
      // A host that would be noticed: it is never asked.
      const host = stack.bed.node('worker2');
      const run = await stack.run({ inputs: { host: host.address, ...inputs }, files });
      expectInvalid(run, reason);
      for (const word of words) expect(run.log).toMatch(word);
      expect(run.log).not.toContain('connected');
    },
  );

  scenario('where something external is missing, and what was there stays', async (stack) => {
    const api = { image: stack.image('web') };
    expect((await stack.deploy({ api })).outcome).toBe('deployed');
    const [specs, objects] = [await stack.specs(), await stack.objects()];
    const run = await stack.run({
      files: {
        'docker-stack.yml': stack.file(
          { api: { ...api, networks: ['default', 'shared'] } },
          {
            networks: {
              default: stack.network,
              shared: { external: true, name: `absent-${stack.name}` },
            },
          },
        ),
      },
    });
    expect(run.code).toBe(1);
    expect(run.outcome).toBe('invalid');
    expect(run.reason).toBe('compose-invalid');
    expect(run.log).toContain(`absent-${stack.name}`);
    expect(await stack.specs()).toEqual(specs);
    expect(await stack.objects()).toEqual(objects);
  });
});
