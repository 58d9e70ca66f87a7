import { beforeEach, describe, expect, it } from '@jest/globals';
import { ConnectionLost, DeployError, TimedOut } from '../../src/errors.js';
import type { Engine } from '../../src/docker/engine.js';
import type { Node } from '../../src/model.js';
import { Session, type Patience } from '../../src/session.js';
import { exits, FakeSwarm, ok } from '../support/fake-swarm.js';

let swarm: FakeSwarm;
let lines: string[];
let patience: Patience;

beforeEach(() => {
  swarm = new FakeSwarm();
  lines = [];
  patience = {
    clock: swarm.clock,
    signal: new AbortController().signal,
    log: (line) => lines.push(line),
  };
});

const open = (): Promise<Session> => Session.open(swarm.connect, { sudo: false });
const failure = async (promise: Promise<unknown>): Promise<DeployError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (each: unknown) => each,
  );
  expect(error).toBeInstanceOf(DeployError);
  return error as DeployError;
};

describe('a session', () => {
  it('knows whom it speaks to', async () => {
    const session = await open();
    expect(session).toMatchObject({
      nodeName: 'manager-1',
      cliVersion: [28, 5],
      engineVersion: { version: '28.5.1', apiVersion: '1.51' },
    });
    await session.close();
    await session.close();
  });
  it.each([
    ['a worker', () => (swarm.isManager = false), 'not-a-manager', 'a worker of a swarm'],
    [
      'no docker',
      () => (swarm.onCommand = () => exits(127, 'sh: docker: not found')),
      'docker-unavailable',
      'not found',
    ],
    [
      'an old CLI',
      () => (swarm.onCommand = () => ok('Docker version 19.03.1')),
      'engine-too-old',
      '19.3',
    ],
    ['an old engine', () => (swarm.engineVersion = '20.9.1'), 'engine-too-old', '20.10 or newer'],
    [
      'a login shell that hangs',
      () => (swarm.onCommand = () => new TimedOut('"docker" did not end within 15 s')),
      'docker-unavailable',
      'did not end within 15 s',
    ],
  ])('refuses %s', async (_, arrange, reason, words) => {
    arrange();
    const error = await failure(open());
    expect(error).toMatchObject({ reason, outcome: 'invalid' });
    expect(error.message).toContain(words);
    expect(error.hint).toBeTruthy();
  });
  it.each(['This account is currently not available.\n', ''])(
    'tells a login user without a shell from a missing docker: %j',
    async (stdout) => {
      swarm.onCommand = () => ({ ...exits(1, ''), stdout: Buffer.from(stdout) });
      const error = await failure(open());
      expect(error.message).toContain(stdout.trim() || 'exit code 1');
      expect(error.hint).toContain('usermod --shell');
    },
  );
  it('tells what to do about a password that has expired', async () => {
    const words = 'Password change required but no TTY available.';
    swarm.onCommand = () => exits(1, `WARNING: Your password has expired.\n${words}`);
    const error = await failure(open());
    expect(error.message).toContain(words);
    expect(error.hint).toContain('change it');
  });
  it("gives the CLI's own words where the engine does not answer", async () => {
    swarm.onRequest = () => 'refuse';
    swarm.onCommand = (argv) =>
      argv.includes('version') ? exits(1, 'permission denied while trying to connect') : undefined;
    expect(await failure(open())).toMatchObject({
      reason: 'docker-unavailable',
      message: expect.stringContaining('permission denied'),
      hint: expect.stringContaining('sudo: true'),
    });
  });
});

const nodesOf = async (engine: Engine): Promise<readonly Node[]> => (await engine.nodes()).items;

describe('settle', () => {
  it('gives what the swarm says', async () => {
    const session = await open();
    expect(await session.settle(nodesOf, patience)).toHaveLength(3);
    expect([swarm.connections, lines]).toEqual([1, []]);
    await session.close();
  });
  it('connects again where the connection was lost', async () => {
    const session = await open();
    swarm.cut();
    expect(await session.settle(nodesOf, patience)).toHaveLength(3);
    expect(swarm.connections).toBe(2);
    await session.close();
  });
  it('tells again and again that there is no connection only after a while', async () => {
    const session = await open();
    const [begun, words] = [swarm.clock.now(), ['no route to host', 'connection refused']];
    swarm.onConnect = () => {
      const elapsed = swarm.clock.now() - begun;
      return elapsed > 100_000
        ? undefined
        : new ConnectionLost(words[elapsed > 70_000 ? 1 : 0] ?? '');
    };
    swarm.cut();
    await session.settle((engine) => engine.nodes(), patience);
    const told = lines.filter((line) => line.startsWith('still no connection'));
    expect(told.filter((line) => line.endsWith(': no route to host'))).toHaveLength(3);
    expect(told.filter((line) => line.endsWith(': connection refused'))).toHaveLength(1);
    await session.close();
  });
  it('waits for a leader on the same connection', async () => {
    const session = await open();
    let refused = 0;
    swarm.onRequest = () => {
      refused += 1;
      return refused > 3
        ? undefined
        : { status: 503, body: '{"message":"The swarm does not have a leader"}' };
    };
    expect(await session.settle(nodesOf, patience)).toHaveLength(3);
    expect([swarm.connections, refused]).toEqual([1, 4]);
    await session.close();
  });
  describe('where the manager is cut off from the others', () => {
    const noLeader = 'The swarm does not have a leader';
    /** The first `count` connections lead to managers without a leader. */
    const cutOff = (count: number): void => {
      let hasLeader = false;
      swarm.onConnect = () => {
        hasLeader = swarm.connections >= count;
        return undefined;
      };
      const info = {
        Name: 'manager-1',
        Swarm: { LocalNodeState: 'active', ControlAvailable: true, Error: noLeader },
      };
      // What is on the first line stays so: of the requests only the newest line's go through.
      swarm.onRequest = (request) => {
        if (hasLeader) return undefined;
        return request.startsWith('GET /info')
          ? { status: 200, body: JSON.stringify(info) }
          : request.startsWith('GET /version')
            ? undefined
            : { status: 503, body: JSON.stringify({ message: noLeader }) };
      };
    };
    it('goes over to one that has a leader', async () => {
      cutOff(2);
      const session = await open();
      expect(await session.settle(nodesOf, patience)).toHaveLength(3);
      expect(swarm.connections).toBe(3);
      expect(lines).toContain('looking for a manager that has a leader');
      // The second had none either.
      expect(lines.join('\n')).toContain(
        `there is none: deploy@manager-1:22 does not get an answer`,
      );
      expect(lines.join('\n')).toContain(noLeader);
      await session.close();
    });
    it('stays while there is none, and takes the first answer', async () => {
      cutOff(Infinity);
      const session = await open();
      const until = swarm.clock.now() + 60_000;
      swarm.onStep = (now) => {
        if (now >= until) swarm.onRequest = () => undefined;
      };
      expect(await session.settle(nodesOf, patience)).toHaveLength(3);
      expect(swarm.connections).toBeGreaterThan(2);
      expect(session.transport.description).toBe('deploy@manager-1:22');
      await session.close();
    });
    it('does not take it for an answer when it connects again', async () => {
      const session = await open();
      swarm.cut();
      cutOff(3);
      expect(await session.settle(nodesOf, patience)).toHaveLength(3);
      expect(swarm.connections).toBe(4);
      await session.close();
    });
  });
  it('does not connect once more where another has done so meanwhile', async () => {
    const session = await open();
    let isLate = false;
    const late = session.settle(async (engine) => {
      if (isLate) return await nodesOf(engine);
      isLate = true;
      await session.settle(nodesOf, patience);
      throw new ConnectionLost('heard of it late');
    }, patience);
    swarm.cut();
    expect(await late).toHaveLength(3);
    expect(swarm.connections).toBe(2);
    await session.close();
  });
  it('looks for another manager when this one is none any more', async () => {
    const session = await open();
    const { connections } = swarm;
    swarm.isManager = false;
    swarm.onConnect = () => {
      swarm.isManager = true;
      return undefined;
    };
    expect(await session.settle(nodesOf, patience)).toHaveLength(3);
    expect(swarm.connections).toBe(connections + 1);
    await session.close();
  });
  it('goes over to no manager of another swarm', async () => {
    let id = 'one';
    swarm.onRequest = (request) => {
      const Swarm = { LocalNodeState: 'active', ControlAvailable: true, Cluster: { ID: id } };
      return request.startsWith('GET /info')
        ? { status: 200, body: JSON.stringify({ Name: 'manager-1', Swarm }) }
        : undefined;
    };
    const session = await open();
    swarm.onConnect = () => {
      id = swarm.connections < 3 ? 'two' : 'one';
      return undefined;
    };
    swarm.cut();
    expect(await session.settle(nodesOf, patience)).toHaveLength(3);
    expect(swarm.connections).toBe(4);
    expect(lines.join('\n')).toContain('deploy@manager-1:22 is a manager of another swarm');
    await session.close();
  });
  it('says at once what the engine refuses', async () => {
    const session = await open();
    swarm.onRequest = () => ({ status: 400, body: '{"message":"no"}' });
    await expect(session.settle((engine) => engine.nodes(), patience)).rejects.toThrow('no');
    expect(lines).toEqual([]);
    await session.close();
  });
  it('does not wait for what Swarm never does', async () => {
    const session = await open();
    const begun = swarm.clock.now();
    swarm.onRequest = () => ({ status: 501, body: '{"message":"service mode change"}' });
    await expect(session.settle(nodesOf, patience)).rejects.toThrow('service mode change');
    expect(swarm.clock.now()).toBe(begun);
    await session.close();
  });
  it.each([
    ['connection', () => swarm.cut()],
    ['leader', () => (swarm.onRequest = () => ({ status: 500, body: '{"message":"no leader"}' }))],
  ])('gives up in the end without a %s, as unreachable', async (_, arrange) => {
    const session = await open();
    arrange();
    swarm.onConnect = () => new DeployError('docker-unavailable', 'invalid', 'restarting');
    const begun = swarm.clock.now();
    const error = await failure(session.settle((engine) => engine.nodes(), patience));
    expect(error).toBeInstanceOf(ConnectionLost);
    expect(error.outcome).toBe('unreachable');
    expect(swarm.clock.now() - begun).toBeLessThan(300_000);
  });
  it('asks few times where the login is refused, as a machine that goes down refuses it for a while', async () => {
    const session = await open();
    const refused = new DeployError('auth-failed', 'invalid', 'refused the login');
    let tries = 0;
    const lasting = (times: number) => (): DeployError | undefined => {
      tries += 1;
      return tries > times ? undefined : refused;
    };
    swarm.cut();
    swarm.onConnect = lasting(3);
    expect(await session.settle(nodesOf, patience)).toHaveLength(3);
    [tries, swarm.onConnect] = [0, lasting(Infinity)];
    swarm.cut();
    const error = await failure(session.settle(nodesOf, patience));
    expect([error.outcome, tries]).toEqual(['unreachable', 5]);
    expect(error.message).toContain('refused the login');
  });
  it('stops when cancelled', async () => {
    const session = await open();
    const cancel = new AbortController();
    swarm.cut();
    swarm.onConnect = () => {
      cancel.abort(new Error('cancelled'));
      return new ConnectionLost('no route');
    };
    const waiting = session.settle((engine) => engine.nodes(), {
      ...patience,
      signal: cancel.signal,
    });
    await expect(waiting).rejects.toThrow('cancelled');
  });
});
