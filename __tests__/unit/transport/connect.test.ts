import { afterEach, describe, expect, it } from '@jest/globals';
import { ConnectionLost, DeployError } from '../../../src/errors.js';
import { Secret } from '../../../src/secret.js';
import { connect } from '../../../src/transport/connect.js';
import type { ConnectOptions } from '../../../src/transport/connect.js';
import type { HostKeyPolicy } from '../../../src/transport/host-key.js';
import { parseKnownHosts } from '../../../src/transport/known-hosts.js';
import { ConnectFailed } from '../../../src/transport/ssh.js';
import type { SshOptions, SshTarget } from '../../../src/transport/ssh.js';
import type { Transport } from '../../../src/transport/transport.js';
import { makeKey, startSshServer } from '../../support/ssh-server.js';
import type { SshServer } from '../../support/ssh-server.js';

const target = (host: string): SshTarget => ({ host, port: 22, username: 'deploy' });
const busy = (host: string): ConnectFailed =>
  new ConnectFailed(`${host} is busy`, { transient: true, hint: 'wait' });
const gone = (host: string): ConnectFailed =>
  new ConnectFailed(`${host} does not exist`, { transient: false });
const refused = (host: string): DeployError =>
  new DeployError('auth-failed', 'invalid', `${host} refused the login`, { hint: 'a key' });
const wrongKey = (host: string): DeployError =>
  new DeployError('host-key', 'invalid', `${host} has another key`);

/** A world in which each host does what its list says, one item for each attempt. */
function world(script: Record<string, readonly (Error | 'up')[]>, random = 0.5) {
  const attempts: string[] = [];
  const pauses: number[] = [];
  const closed: string[] = [];
  const lines: string[] = [];
  const left = new Map(Object.entries(script).map(([host, steps]) => [host, [...steps]]));
  const options = (more: Partial<ConnectOptions> = {}): ConnectOptions => ({
    targets: Object.keys(script).map(target),
    credentials: {},
    hostKeys: { kind: 'off' },
    connectTimeoutMs: 1000,
    log: (line) => lines.push(line),
    world: {
      open: ({ target: { host } }: SshOptions): Promise<Transport> => {
        attempts.push(host);
        const step = left.get(host)?.shift();
        if (step === undefined) throw new Error(`no attempt at ${host} was expected`);
        if (step !== 'up') return Promise.reject(step);
        return Promise.resolve({
          description: host,
          run: () => Promise.reject(new Error('not needed')),
          open: () => Promise.reject(new Error('not needed')),
          close: () => {
            closed.push(host);
            return Promise.resolve();
          },
        });
      },
      sleep: (ms) => {
        pauses.push(ms);
        return Promise.resolve();
      },
      random: () => random,
    },
    ...more,
  });
  return { options, attempts, pauses, closed, lines };
}

const failure = async (promise: Promise<unknown>): Promise<DeployError> => {
  const error: unknown = await promise.then(
    () => {
      throw new Error('was expected to fail');
    },
    (each: unknown) => each,
  );
  expect(error).toBeInstanceOf(DeployError);
  return error as DeployError;
};

describe('order and retries', () => {
  it('takes the first host that answers and leaves the others alone', async () => {
    const { options, attempts, pauses } = world({ a: [busy('a')], b: ['up'], c: [] });
    expect((await connect(options())).description).toBe('b');
    expect([attempts, pauses]).toEqual([['a', 'b'], []]);
  });

  it('goes through all hosts before it comes back to the first', async () => {
    const { options, attempts, pauses, lines } = world({ a: [busy('a'), 'up'], b: [busy('b')] });
    expect((await connect(options())).description).toBe('a');
    expect([attempts, pauses]).toEqual([['a', 'b', 'a'], [1000]]);
    expect(lines).toEqual([
      'a is busy',
      'b is busy',
      'trying again in 1.0 s (round 2 of 3)',
      'connected to a',
    ]);
  });

  it.each([
    [0, [500, 1000]],
    [0.999, [1499, 2998]],
  ])('waits longer each time, with jitter (random %d)', async (random, expected) => {
    const { options, pauses } = world({ a: [busy('a'), busy('a'), busy('a')] }, random);
    await failure(connect(options()));
    expect(pauses).toEqual(expected);
  });

  it('lists every host and its last reason when none answered', async () => {
    const { options, attempts } = world({
      a: [busy('a'), busy('a'), new ConnectFailed('a cut the connection', { transient: true })],
      b: [busy('b'), busy('b'), busy('b')],
    });
    const error = await failure(connect(options()));
    expect(error).toBeInstanceOf(ConnectionLost);
    expect(error).toMatchObject({ reason: 'connection-lost', outcome: 'unreachable' });
    expect(error.message).toBe('no manager answered:\n- a cut the connection\n- b is busy');
    expect(error.hint).toMatch(/^wait\nCheck the input host .* up to 3 times/);
    expect(attempts).toHaveLength(6);
  });

  it('does not come back to a host that does not exist', async () => {
    const { options, attempts, pauses } = world({ a: [gone('a')], b: [busy('b'), 'up'] });
    expect((await connect(options())).description).toBe('b');
    expect([attempts, pauses]).toEqual([['a', 'b', 'b'], [1000]]);
    const lone = world({ a: [gone('a')] });
    const error = await failure(connect(lone.options()));
    expect(error.message).toBe('no manager answered: a does not exist');
    expect(lone.pauses).toEqual([]);
  });

  it('does not retry a refused login, but tries the other hosts', async () => {
    const { options, attempts } = world({ a: [refused('a')], b: [busy('b'), 'up'] });
    expect((await connect(options())).description).toBe('b');
    expect(attempts).toEqual(['a', 'b', 'b']);
  });

  it('ends with the refused login and says what became of the others', async () => {
    const error = await failure(
      connect(world({ a: [refused('a')], b: [busy('b'), busy('b'), busy('b')] }).options()),
    );
    expect(error).toMatchObject({ reason: 'auth-failed', outcome: 'invalid', hint: 'a key' });
    expect(error.message).toBe('a refused the login\nAlso: b is busy');
  });

  it('stops at once at a host key that is refused, whatever the other hosts are', async () => {
    const { options, attempts } = world({ a: [busy('a')], b: [wrongKey('b')], c: ['up'] });
    expect(await failure(connect(options()))).toMatchObject({ reason: 'host-key' });
    expect(attempts).toEqual(['a', 'b']);
  });

  it('lets an error through that is none of the connection', async () => {
    const { options } = world({ a: [new TypeError('a mistake in the code')], b: ['up'] });
    await expect(connect(options())).rejects.toThrow(TypeError);
  });
});

describe('accept', () => {
  const notAManager = (host: string): DeployError =>
    new DeployError('not-a-manager', 'invalid', `${host} is a worker`);

  it('goes on to the next host when one is not accepted, and closes it', async () => {
    const { options, closed } = world({ a: ['up'], b: ['up'] });
    const accept = async ({ description }: Transport): Promise<void> => {
      if (description === 'a') throw notAManager('a');
    };
    expect((await connect(options({ accept }))).description).toBe('b');
    expect(closed).toEqual(['a']);
  });

  it('ends with the first rejection when no host is accepted, and retries none', async () => {
    const { options, attempts, closed } = world({ a: ['up'], b: ['up'] });
    const accept = async ({ description }: Transport): Promise<void> => {
      throw notAManager(description);
    };
    const error = await failure(connect(options({ accept })));
    expect(error).toMatchObject({ reason: 'not-a-manager', message: 'a is a worker' });
    expect([attempts, closed]).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ]);
  });

  it('retries a host that was lost while it was looked at', async () => {
    const { options, closed } = world({ a: ['up', 'up'] });
    let looks = 0;
    const accept = async (): Promise<void> => {
      looks += 1;
      if (looks === 1) throw new ConnectionLost('lost at once');
    };
    expect((await connect(options({ accept }))).description).toBe('a');
    expect(closed).toEqual(['a']);
  });

  it('closes the connection when accept fails otherwise', async () => {
    const { options, closed } = world({ a: ['up'], b: ['up'] });
    const accept = async (): Promise<void> => {
      throw new TypeError('a mistake in the code');
    };
    await expect(connect(options({ accept }))).rejects.toThrow(TypeError);
    expect(closed).toEqual(['a']);
  });
});

describe('over real connections', () => {
  const key = makeKey('ed25519');
  const hostKey = makeKey('ed25519');
  const servers: SshServer[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.close();
  });

  async function serve(options: Parameters<typeof startSshServer>[0] = {}): Promise<SshServer> {
    const server = await startSshServer({ authorizedKeys: [key], hostKeys: [hostKey], ...options });
    servers.push(server);
    return server;
  }

  const options = (hosts: readonly SshServer[], hostKeys: HostKeyPolicy): ConnectOptions => ({
    targets: hosts.map(({ host, port }) => ({ host, port, username: 'deploy' })),
    credentials: { privateKey: new Secret(key.privateKey) },
    hostKeys,
    connectTimeoutMs: 10_000,
    log: () => undefined,
    world: { sleep: () => Promise.resolve() },
  });
  const pinned: HostKeyPolicy = { kind: 'fingerprints', fingerprints: [hostKey.fingerprint] };

  it('gets in when the server has room again', async () => {
    const server = await serve({
      misbehave: (connection) => (connection < 3 ? 'too-many' : undefined),
    });
    const transport = await connect(options([server], pinned));
    expect(await transport.run(['true'])).toMatchObject({ code: 0 });
    expect(server.connections).toBe(3);
    await transport.close();
  });

  it('gives up after three rounds of a server that hangs up', async () => {
    const server = await serve({ misbehave: () => 'hang-up' });
    const error = await failure(connect(options([server], pinned)));
    expect(error).toBeInstanceOf(ConnectionLost);
    expect(server.connections).toBe(3);
  });

  it('starts nothing anywhere when the second of two managers is not who it should be', async () => {
    const first = await serve({ misbehave: () => 'hang-up' });
    const second = await serve({ hostKeys: [makeKey('ed25519')] });
    const third = await serve();
    const { entries } = parseKnownHosts(
      [first, second, third]
        .map(({ port }) => `[127.0.0.1]:${port} ${hostKey.type} ${hostKey.blob.toString('base64')}`)
        .join('\n'),
    );
    const error = await failure(
      connect(options([first, second, third], { kind: 'known-hosts', entries })),
    );
    expect(error).toMatchObject({ reason: 'host-key', outcome: 'invalid' });
    expect(second.connections).toBe(1);
    expect([...second.attempts, ...third.attempts]).toEqual([]);
  });

  it('warns once of a host key that nobody checked, over all attempts', async () => {
    const server = await serve();
    const warnings: string[] = [];
    let looks = 0;
    const transport = await connect({
      ...options([server], { kind: 'off' }),
      onUnverified: ({ fingerprint }) => warnings.push(fingerprint),
      accept: async () => {
        looks += 1;
        if (looks < 3) throw new ConnectionLost('lost at once');
      },
    });
    expect(warnings).toEqual([hostKey.fingerprint]);
    await transport.close();
  });
});
