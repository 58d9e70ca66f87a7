/** Managers behind a bastion, and what is said when one of the two hops fails. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { ConnectionLost, type DeployError } from '../../../src/errors.js';
import { Secret } from '../../../src/secret.js';
import { connect } from '../../../src/transport/connect.js';
import type { ConnectOptions } from '../../../src/transport/connect.js';
import type { SeenHostKey } from '../../../src/transport/host-key.js';
import { parseKnownHosts } from '../../../src/transport/known-hosts.js';
import { ConnectFailed, connectSsh, JumpFailed } from '../../../src/transport/ssh.js';
import type { SshJump, SshOptions, SshTarget } from '../../../src/transport/ssh.js';
import type { Transport } from '../../../src/transport/transport.js';
import { makeKey, startSshServer } from '../../support/ssh-server.js';
import type { SshServer, SshServerOptions } from '../../support/ssh-server.js';

const [user, jumpUser] = [makeKey(), makeKey('ecdsa')];
const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function serve(options: SshServerOptions = {}): Promise<SshServer> {
  const server = await startSshServer({ authorizedKeys: [user], ...options });
  cleanUps.push(() => server.close());
  return server;
}
const bastionWith = (options: SshServerOptions = {}): Promise<SshServer> =>
  serve({ authorizedKeys: [jumpUser], forwards: 'pass', ...options });

const target = ({ host, port }: SshServer, username = 'deploy'): SshTarget => ({
  host,
  port,
  username,
});
const jumpOver = (bastion: SshServer): SshJump => ({
  target: target(bastion, 'ops'),
  credentials: { privateKey: new Secret(jumpUser.privateKey) },
});

const optionsFor = (
  manager: SshServer,
  bastion: SshServer,
  more: Partial<SshOptions> = {},
): SshOptions => ({
  target: target(manager),
  credentials: { privateKey: new Secret(user.privateKey) },
  jump: jumpOver(bastion),
  hostKeys: {
    kind: 'known-hosts',
    entries: parseKnownHosts(manager.knownHosts + bastion.knownHosts).entries,
  },
  connectTimeoutMs: 10_000,
  ...more,
});

async function login(options: SshOptions): Promise<Transport> {
  const transport = await connectSsh(options);
  cleanUps.push(() => transport.close());
  return transport;
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  const error: unknown = await promise.then(
    () => {
      throw new Error('was expected to fail');
    },
    (each: unknown) => each,
  );
  if (!(error instanceof Error)) throw new Error('not an error', { cause: error });
  return error;
}
const jumpFailure = async (promise: Promise<unknown>): Promise<DeployError> => {
  const error = await failure(promise);
  if (!(error instanceof JumpFailed)) throw new Error('not of the bastion', { cause: error });
  return error.failure;
};

describe('through a bastion', () => {
  it('logs in to both, each with its own user and key, and runs commands on the manager', async () => {
    const [manager, bastion] = [await serve(), await bastionWith()];
    const transport = await login(optionsFor(manager, bastion));
    expect(transport.description).toBe(`deploy@127.0.0.1:${manager.port}`);
    expect((await transport.run(['echo', 'here'])).stdout.toString()).toBe('here\n');
    expect(bastion.attempts.at(-1)).toMatchObject({
      username: 'ops',
      fingerprint: jumpUser.fingerprint,
      accepted: true,
    });
    expect(manager.attempts.at(-1)).toMatchObject({
      username: 'deploy',
      fingerprint: user.fingerprint,
      accepted: true,
    });
    expect(bastion.forwarded).toEqual([`127.0.0.1:${manager.port}`]);
    expect([bastion.commands, manager.commands]).toEqual([[], [expect.stringContaining('here')]]);
  });

  it('brings a large upload through', async () => {
    const transport = await login(optionsFor(await serve(), await bastionWith()));
    const input = Buffer.alloc(3_000_000, 'x');
    const { stdout } = await transport.run(['cat'], { input });
    expect(stdout.equals(input)).toBe(true);
  }, 30_000);

  it('uses the login of the managers where the bastion has none of its own', async () => {
    const [manager, bastion] = [
      await serve({ authorizedKeys: [], password: 'pw' }),
      await bastionWith({ authorizedKeys: [], password: 'pw' }),
    ];
    const credentials = { password: new Secret('pw') };
    const jump = { target: target(bastion, 'ops'), credentials };
    await login(optionsFor(manager, bastion, { credentials, jump }));
    expect(bastion.attempts.at(-1)).toMatchObject({ method: 'password', accepted: true });
  });

  it('closes both', async () => {
    const [manager, bastion] = [await serve(), await bastionWith()];
    const transport = await connectSsh(optionsFor(manager, bastion));
    await transport.close();
    await transport.close();
    expect(await failure(transport.run(['true']))).toBeInstanceOf(ConnectionLost);
    await bastion.idle();
    await manager.idle();
  });

  it('asks both for the keys that fingerprints belong to', async () => {
    const kinds = ['ed25519', 'ecdsa', 'rsa'] as const;
    const [manager, bastion] = [
      await serve({ hostKeyKinds: kinds }),
      await bastionWith({ hostKeyKinds: kinds }),
    ];
    const fingerprints = [manager.hostKeys[1]!.fingerprint, bastion.hostKeys[2]!.fingerprint];
    const hostKeys = { kind: 'fingerprints', fingerprints } as const;
    const transport = await login(optionsFor(manager, bastion, { hostKeys }));
    expect(await transport.run(['true'])).toMatchObject({ code: 0 });
  });

  it('tells the keys of both where nobody checks them', async () => {
    const [manager, bastion] = [await serve(), await bastionWith()];
    const seen: SeenHostKey[] = [];
    await login(
      optionsFor(manager, bastion, {
        hostKeys: { kind: 'off' },
        onUnverified: (key) => seen.push(key),
      }),
    );
    expect(seen.map(({ port }) => port)).toEqual([bastion.port, manager.port]);
  });
});

describe('the hop that fails is named', () => {
  it('the host key of the bastion: nothing is sent to anybody', async () => {
    const [manager, bastion] = [await serve(), await bastionWith()];
    const { entries } = parseKnownHosts(manager.knownHosts);
    const error = await jumpFailure(
      connectSsh(optionsFor(manager, bastion, { hostKeys: { kind: 'known-hosts', entries } })),
    );
    expect(error).toMatchObject({ reason: 'host-key', outcome: 'invalid' });
    expect(error.message).toContain(`127.0.0.1:${bastion.port}`);
    expect([bastion.attempts, manager.connections]).toEqual([[], 0]);
  });

  it('the host key of the manager: no login is sent to it', async () => {
    const [manager, bastion] = [await serve(), await bastionWith()];
    const { entries } = parseKnownHosts(bastion.knownHosts);
    const error = await failure(
      connectSsh(optionsFor(manager, bastion, { hostKeys: { kind: 'known-hosts', entries } })),
    );
    expect(error).toMatchObject({ reason: 'host-key', outcome: 'invalid' });
    expect(error.message).toContain(`127.0.0.1:${manager.port}`);
    expect(manager.attempts).toEqual([]);
    await bastion.idle();
  });

  it('the login to the bastion, with the input that is to be set', async () => {
    const [manager, bastion] = [await serve(), await bastionWith({ authorizedKeys: [user] })];
    const error = await jumpFailure(connectSsh(optionsFor(manager, bastion)));
    expect(error).toMatchObject({ reason: 'auth-failed', outcome: 'invalid' });
    expect(error.message).toContain(
      `the jump host ops@127.0.0.1:${bastion.port} refused the login of ops`,
    );
    expect(manager.connections).toBe(0);
  });

  it('the login to the manager', async () => {
    const [manager, bastion] = [await serve({ authorizedKeys: [jumpUser] }), await bastionWith()];
    const error = await failure(connectSsh(optionsFor(manager, bastion)));
    expect(error).toMatchObject({ reason: 'auth-failed' });
    expect(error.message).toContain(
      `deploy@127.0.0.1:${manager.port} (through ops@127.0.0.1:${bastion.port}) refused the login of deploy`,
    );
  });

  it('a key of the bastion that cannot be used, by its own input', async () => {
    const [manager, bastion] = [await serve(), await bastionWith()];
    const privateKey = new Secret(makeKey('ed25519', 'a').privateKey);
    const jump = { target: target(bastion, 'ops'), credentials: { privateKey } };
    const error = await jumpFailure(connectSsh(optionsFor(manager, bastion, { jump })));
    expect(error.message).toMatch(/input jump-private-key: .* input jump-passphrase is empty/);
    expect(bastion.connections).toBe(0);
  });

  it.each<[NonNullable<SshServerOptions['forwards']> | 'refuse', boolean, RegExp]>([
    ['refuse', false, /the jump host ops@\S+ does not pass connections on to deploy@/],
    ['fail', true, /the jump host ops@\S+ cannot reach deploy@/],
    ['ignore', true, /the jump host ops@\S+ did not reach deploy@\S+ within 0\.5 s/],
  ])('a bastion that does not forward (%s)', async (how, transient, message) => {
    const manager = await serve();
    const bastion = await startSshServer({
      authorizedKeys: [jumpUser],
      ...(how === 'refuse' ? {} : { forwards: how }),
    });
    cleanUps.push(() => bastion.close());
    const error = await failure(
      connectSsh(optionsFor(manager, bastion, { connectTimeoutMs: 500 })),
    );
    expect(error).toBeInstanceOf(ConnectFailed);
    expect(error).toMatchObject({ transient });
    expect(error.message).toMatch(message);
    await bastion.idle();
  });

  it('a manager that says nothing, within the one limit for both', async () => {
    const [manager, bastion] = [
      await serve({ misbehave: () => 'silent' }),
      await bastionWith({ banner: 'hello\n' }),
    ];
    const error = await failure(
      connectSsh(optionsFor(manager, bastion, { connectTimeoutMs: 600 })),
    );
    expect(error.message).toMatch(
      /^deploy@\S+ \(through ops@\S+\) .*did not finish the SSH handshake within 0\.6 s/,
    );
  });

  it('a bastion where nothing listens', async () => {
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    listener.close();
    const manager = await serve();
    const jump = { ...jumpOver(manager), target: { host: '127.0.0.1', port, username: 'ops' } };
    const error = await jumpFailure(connectSsh(optionsFor(manager, manager, { jump })));
    expect(error).toMatchObject({ transient: true });
    expect(error.message).toBe(
      `the jump host ops@127.0.0.1:${port} refused the connection: nothing listens at this port`,
    );
  });
});

describe('a way that is lost', () => {
  it.each<[string, string, (bastion: SshServer) => void]>([
    ['cut', 'at once', (bastion) => bastion.drop()],
    ['half-open', 'at once', (bastion) => bastion.freeze()],
    ['half-open', 'after 0.02 s', (bastion) => void setTimeout(() => bastion.freeze(), 20)],
    ['half-open', 'after 0.03 s', (bastion) => void setTimeout(() => bastion.freeze(), 30)],
  ])(
    'ends what runs when the bastion is %s %s, and says that it is the bastion',
    async (_, __, lose) => {
      const [manager, bastion] = [await serve(), await bastionWith()];
      const transport = await login(optionsFor(manager, bastion, { keepaliveMs: 40 }));
      const error = await failure(
        transport.run(['sh', '-c', 'echo begun; sleep 60'], { onOutput: () => lose(bastion) }),
      );
      expect(error).toBeInstanceOf(ConnectionLost);
      expect(error.message).toBe(
        `the connection to deploy@127.0.0.1:${manager.port} was lost: the jump host ops@127.0.0.1:${bastion.port} is gone`,
      );
    },
  );

  // Whenever it falls silent between two questions to the bastion, which are its only signs of life then.
  it.each([0, 0.1, 0.2, 0.3])(
    'ends what runs when the manager behind a bastion that is well says nothing more after %d s',
    async (pause) => {
      const [manager, bastion] = [await serve(), await bastionWith()];
      const transport = await login(optionsFor(manager, bastion, { keepaliveMs: 400 }));
      const script = `sleep ${pause}; echo begun; sleep 60`;
      const error = await failure(
        transport.run(['sh', '-c', script], { onOutput: () => manager.freeze() }),
      );
      expect(error.message).toMatch(/was lost: nothing was heard from it for 1\.2 s/);
      await bastion.idle();
    },
  );
});

describe('several managers', () => {
  const options = (
    managers: readonly SshServer[],
    bastion: SshServer,
    more: Partial<ConnectOptions> = {},
  ): ConnectOptions => ({
    targets: managers.map((manager) => target(manager)),
    credentials: { privateKey: new Secret(user.privateKey) },
    jump: jumpOver(bastion),
    hostKeys: {
      kind: 'known-hosts',
      entries: parseKnownHosts([bastion, ...managers].map((each) => each.knownHosts).join(''))
        .entries,
    },
    connectTimeoutMs: 10_000,
    log: () => undefined,
    world: { sleep: () => Promise.resolve() },
    ...more,
  });

  it('are tried in turn through the one bastion', async () => {
    const [dead, well, bastion] = [
      await serve({ misbehave: () => 'hang-up' }),
      await serve(),
      await bastionWith(),
    ];
    const lines: string[] = [];
    const transport = await connect(options([dead, well], bastion, { log: (l) => lines.push(l) }));
    cleanUps.push(() => transport.close());
    expect(transport.description).toBe(`deploy@127.0.0.1:${well.port}`);
    expect(lines.at(-1)).toBe(
      `connected to deploy@127.0.0.1:${well.port} through the jump host ops@127.0.0.1:${bastion.port}`,
    );
  });

  it('are all given up at once where the bastion refuses the login', async () => {
    const [first, second] = [await serve(), await serve()];
    const bastion = await bastionWith({ authorizedKeys: [user] });
    const error = await failure(connect(options([first, second], bastion)));
    expect(error).toMatchObject({ reason: 'auth-failed', outcome: 'invalid' });
    expect([bastion.connections, first.connections, second.connections]).toEqual([1, 0, 0]);
  });

  it('wait for a bastion that is busy, which is asked once a round', async () => {
    const [first, second] = [await serve(), await serve()];
    const bastion = await bastionWith({ misbehave: (n) => (n < 3 ? 'too-many' : undefined) });
    const transport = await connect(options([first, second], bastion));
    cleanUps.push(() => transport.close());
    expect(transport.description).toContain(`:${first.port}`);
    expect(bastion.connections).toBe(3);
  });

  it('end with what was wrong at the bastion', async () => {
    const bastion = await bastionWith({ misbehave: () => 'hang-up' });
    const error = await failure(connect(options([await serve(), await serve()], bastion)));
    expect(error).toMatchObject({ reason: 'connection-lost', outcome: 'unreachable' });
    expect(error.message).toMatch(/^no manager answered: the jump host ops@/);
    expect(bastion.connections).toBe(3);
  });
});
