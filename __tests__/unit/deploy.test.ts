import { describe, expect, it } from '@jest/globals';
import type { RenderedStack } from '../../src/compose/render.js';
import { deployStack, logIn, type Deployed } from '../../src/deploy.js';
import { EngineError, type Engine } from '../../src/docker/engine.js';
import type { AuthConfig } from '../../src/docker/registry.js';
import { UNWRITTEN } from '../../src/docker/workspace.js';
import { ConnectionLost, DeployError, TimedOut } from '../../src/errors.js';
import { inputDefaults, parseInputs, type InputName, type Inputs } from '../../src/inputs.js';
import { createNarrator } from '../../src/report/narrator.js';
import type { Session } from '../../src/session.js';
import { scriptedTransport, type Call, type Step } from '../support/scripted-transport.js';

const inputsOf = (more: Partial<Record<InputName, string>> = {}): Inputs => {
  const raw: Partial<Record<InputName, string>> = { stack: 'shop', host: 'local', ...more };
  return parseInputs((name) => raw[name] ?? inputDefaults[name], {});
};
const LOGIN = {
  registry: 'r.example.com',
  'registry-username': 'ci',
  'registry-password': ' pass\tword ',
};

/** A run in which commands go as scripted; sleeping only moves the clock. */
function world(
  script: (call: Call, count: number) => Step | Error,
  more: Partial<Record<InputName, string>> = {},
) {
  const transport = scriptedTransport(script);
  const lines: string[] = [];
  const pauses: number[] = [];
  let now = 0;
  const cancel = new AbortController();
  const say = (text: string): void => {
    lines.push(text);
  };
  const clock = {
    now: () => now,
    sleep: async (ms: number) => {
      pauses.push(ms);
      now += ms;
    },
  };
  const narrator = createNarrator(
    { line: say, warning: say, notice: say, startGroup: say, endGroup: () => undefined },
    clock,
  );
  const session = { transport, cliVersion: [28, 5] };
  const inputs = inputsOf(more);
  let workspace = { path: '/tmp/run' };
  const around = { narrator, clock, signal: cancel.signal };
  const rendered = {
    files: [{ name: 'stack-1.yml' }, { name: 'stack-2.yml' }],
    mustBeUnset: ['NOTHING'],
  } as unknown as RenderedStack;
  return {
    transport,
    lines,
    pauses,
    cancel,
    around,
    /** Another manager, where the directory lies elsewhere. */
    moveTo: (path: string, cliVersion: number[]): void => {
      workspace = { path };
      session.cliVersion = cliVersion;
    },
    deploy: (
      wasWritten: (loss: ConnectionLost) => Promise<boolean> = () =>
        Promise.reject(new Error('not needed')),
    ): Promise<Deployed> =>
      deployStack(
        session as unknown as Session,
        {
          inputs,
          rendered,
          workspace: () => workspace,
          mayWrite: () => Promise.resolve(),
          wasWritten,
        },
        around,
      ),
  };
}
const failure = async (promise: Promise<unknown>): Promise<DeployError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (each: unknown) => each,
  );
  expect(error).toBeInstanceOf(DeployError);
  return error as DeployError;
};

describe('logIn', () => {
  type Reply = string | Error;
  const playing = (replies: (count: number) => Reply, more: typeof LOGIN | object = LOGIN) => {
    const asked: AuthConfig[] = [];
    const engine = {
      logIn: async (auth: AuthConfig): Promise<string> => {
        asked.push(auth);
        const reply = replies(asked.length);
        if (reply instanceof Error) throw reply;
        return reply;
      },
    } as unknown as Engine;
    const { around, ...rest } = world(() => new Error('no command was expected'), more);
    const act = () => logIn(engine, inputsOf(more).registries, around);
    return { ...rest, asked, act };
  };
  const refuses = (status: number, words: string): Error =>
    new EngineError(status, words, 'POST /auth');

  it('sends the very password, and shows it to nobody', async () => {
    const { asked, lines, act } = playing(() => 'token');
    expect(await act()).toMatchObject([
      { login: { registry: 'r.example.com', username: 'ci' }, identityToken: 'token' },
    ]);
    expect(asked).toEqual([
      { username: 'ci', password: ' pass\tword ', serveraddress: 'r.example.com' },
    ]);
    expect(lines).toContain(' 0:00  logged into r.example.com as ci');
    expect(lines.join('\n')).not.toContain('pass\tword');
  });
  it('does nothing where there is nothing to log into', async () => {
    const { asked, act } = playing(() => '', {});
    expect(await act()).toEqual([]);
    expect(asked).toEqual([]);
  });
  it('asks a registry that refuses once, and says so', async () => {
    const { asked, act } = playing(() =>
      refuses(401, 'unauthorized: incorrect username or password'),
    );
    expect(await failure(act())).toMatchObject({
      reason: 'registry-auth',
      outcome: 'invalid',
      message: 'cannot log into r.example.com as ci: unauthorized: incorrect username or password',
    });
    expect(asked).toHaveLength(1);
  });
  it.each([
    refuses(500, 'Get "https://r.example.com/v2/": dial tcp: i/o timeout'),
    new TimedOut('no answer'),
  ])('asks one that does not answer three times: %s', async (error) => {
    const { asked, pauses, act } = playing(() => error);
    expect(await failure(act())).toMatchObject({
      reason: 'registry-unreachable',
      outcome: 'invalid',
    });
    expect([asked.length, pauses.length]).toEqual([3, 2]);
  });
  it('goes on where it passes', async () => {
    const { asked, act } = playing((count) => (count === 1 ? refuses(500, 'EOF') : ''));
    await act();
    expect(asked).toHaveLength(2);
  });
  it('leaves a lost connection to whoever can make another', async () => {
    const { asked, act } = playing(() => new ConnectionLost('gone'));
    await expect(act()).rejects.toThrow('gone');
    expect(asked).toHaveLength(1);
  });
  it('starts nothing when cancelled', async () => {
    const { asked, cancel, act } = playing(() => '');
    cancel.abort(new Error('cancelled'));
    await expect(act()).rejects.toThrow('cancelled');
    expect(asked).toEqual([]);
  });
});

describe('deployStack', () => {
  const TRANSIENT =
    'Error response from daemon: rpc error: code = Unknown desc = update out of sequence';

  it('runs one command, with the login of this run only where there is one', async () => {
    const words = (argv: readonly string[] | undefined): string => argv?.slice(5).join(' ') ?? '';
    const plain = world(() => ({}));
    expect(await plain.deploy()).toEqual({ repeated: false });
    expect(words(plain.transport.calls[0]?.argv)).toBe(
      'env -u NOTHING docker stack deploy --compose-file /tmp/run/stack-1.yml --compose-file /tmp/run/stack-2.yml ' +
        '--with-registry-auth --resolve-image always --detach=true shop',
    );
    const own = world(() => ({}), LOGIN);
    await own.deploy();
    expect(words(own.transport.calls[0]?.argv)).toContain(
      'docker --config /tmp/run/docker stack deploy',
    );
  });
  it.each([TRANSIENT, 'network shop_default not found'])(
    'tries again after: %s',
    async (stderr) => {
      const { transport, pauses, deploy } = world((_, count) =>
        count < 4 ? { code: 1, stderr } : {},
      );
      expect(await deploy()).toEqual({ repeated: true });
      expect(transport.calls).toHaveLength(4);
      expect(pauses).toEqual([1000, 2000, 3000]);
    },
  );
  it('gives up in the end', async () => {
    const { transport, deploy } = world(() => ({ code: 1, stderr: TRANSIENT }));
    expect((await deploy()).failure).toMatchObject({ reason: 'deploy-refused' });
    expect(transport.calls).toHaveLength(8);
  });
  it('says at once what does not pass, without the lines that say nothing', async () => {
    const stderr = 'Ignoring unsupported options: build\nservices.api.ports.0 must be a number\n';
    const { transport, deploy } = world(() => ({ code: 1, stderr }));
    expect((await deploy()).failure).toMatchObject({
      reason: 'compose-invalid',
      message: 'docker stack deploy failed: services.api.ports.0 must be a number',
    });
    expect(transport.calls).toHaveLength(1);
  });
  it.each([
    [
      'permission denied while trying to connect to the Docker daemon socket',
      1,
      'docker-unavailable',
      'permission denied',
    ],
    ['cat: write error: No space left on device', 1, 'docker-unavailable', 'No space left'],
    [`echo: echo: I/O error\n${UNWRITTEN}`, 1, 'docker-unavailable', UNWRITTEN],
    ['', 137, 'docker-unavailable', 'exit code 137'],
    ['', null, 'docker-unavailable', 'ended by SIGKILL'],
    ['sudo: a password is required', 1, 'docker-unavailable', 'a password is required'],
    [
      "Sorry, user deploy is not allowed to execute '/usr/bin/docker stack deploy shop' as root on m1.",
      1,
      'docker-unavailable',
      'is not allowed to execute',
    ],
    [
      'open /tmp/swarm-deploy-0123456789abcdef0123456789abcdef/docker-stack.yml: no such file or directory',
      1,
      'docker-unavailable',
      'no such file or directory',
    ],
    [
      'open /tmp/swarm-deploy-0123456789abcdef0123456789abcdef/docker-stack.yml: permission denied',
      1,
      'docker-unavailable',
      'permission denied',
    ],
    [
      'Failed to initialize: unable to resolve docker endpoint: context "rootless": context not found: open /tmp/x/docker/contexts/meta/2c/meta.json: no such file or directory',
      1,
      'docker-unavailable',
      'context "rootless"',
    ],
    [
      'unable to resolve docker endpoint: context "rootless" does not exist',
      1,
      'docker-unavailable',
      'context "rootless"',
    ],
  ])('%j with code %s', async (stderr, code, reason, words) => {
    const { deploy } = world(() => ({ code, stderr, ...(code === null && { signal: 'SIGKILL' }) }));
    const found = (await deploy()).failure;
    expect(found?.hint).not.toContain('stack files');
    expect(found?.reason).toBe(reason);
    expect(found?.message).toContain(words);
  });
  it('tells what to do about a config that cannot change', async () => {
    const { deploy } = world(() => ({
      code: 1,
      stderr: 'Error response from daemon: only updates to Labels are allowed',
    }));
    expect((await deploy()).failure?.hint).toContain('new name');
  });
  it('and about a service whose mode cannot', async () => {
    const { deploy } = world(() => ({
      code: 1,
      stderr:
        'failed to update service shop_api: Error response from daemon: rpc error: code = Unimplemented desc = service mode change is not allowed',
    }));
    expect((await deploy()).failure?.hint).toContain('docker service rm');
  });
  it('prints whole lines, and nothing that a runner or terminal obeys', async () => {
    const { lines, deploy } = world(() => ({
      stdout: 'Updating service a\n::error::x\n\u001b[31mlast',
    }));
    await deploy();
    const said = lines.map((line) => line.replace(/^ *\d+:\d\d {2}/, ''));
    expect(said.slice(0, 1)).toEqual(['docker: Updating service a']);
    expect(said.at(-1)).toBe('docker: last');
    expect(lines.some((line) => line.trimStart().startsWith('::'))).toBe(false);
  });
  it('asks the swarm after a lost connection, and repeats only what was not written', async () => {
    const lost = new ConnectionLost('gone');
    const written = world(() => lost);
    expect(await written.deploy(() => Promise.resolve(true))).toEqual({ repeated: false });
    expect(written.transport.calls).toHaveLength(1);
    const open = world((_, count) => (count === 1 ? lost : {}));
    expect(await open.deploy(() => Promise.resolve(false))).toEqual({ repeated: true });
    expect(open.transport.calls).toHaveLength(2);
  });
  it.each([
    'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?',
    'Updating service shop_api (id: x)\nerror during connect: Post "http://%2Fvar%2Frun%2Fdocker.sock/v1.51/services/x/update": EOF',
    'failed to update service shop_api: Error response from daemon: rpc error: code = Unknown desc = The swarm does not have a leader.',
  ])('asks the swarm, too, when the engine or its leader went away: %s', async (stderr) => {
    const asked: string[] = [];
    const act = async (isWritten: boolean): Promise<[Deployed, number]> => {
      const { deploy, transport } = world((_, count) => (count === 1 ? { code: 1, stderr } : {}));
      const deployed = await deploy(async (loss) => {
        asked.push(loss.message);
        return Promise.resolve(isWritten);
      });
      return [deployed, transport.calls.length];
    };
    expect(await act(true)).toEqual([{ repeated: false }, 1]);
    expect(await act(false)).toEqual([{ repeated: true }, 2]);
    expect(asked).toHaveLength(2);
    expect(asked[0]).toMatch(
      /(went away|does not get an answer from the managers): (Cannot connect|error during connect|failed to update)/,
    );
  });
  it('goes by what is there of files and client once another manager is there', async () => {
    const { deploy, transport, moveTo } = world((_, count) =>
      count === 1 ? new ConnectionLost('gone') : {},
    );
    await deploy(() => {
      moveTo('/srv/tmp/run', [20, 10]);
      return Promise.resolve(false);
    });
    const [first, second] = transport.calls.map(({ argv }) => argv.join(' '));
    expect(first).toMatch(
      / \/tmp\/run env .* --compose-file \/tmp\/run\/stack-1.yml .*--detach=true/,
    );
    expect(second).toMatch(/ \/srv\/tmp\/run env .* --compose-file \/srv\/tmp\/run\/stack-1.yml /);
    expect(second).not.toMatch(/ \/tmp\/run|--detach/);
  });
  it('says that the engine is away where it stays so', async () => {
    const stderr = 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock';
    const { transport, deploy } = world(() => ({ code: 1, stderr }));
    expect((await deploy(() => Promise.resolve(false))).failure).toMatchObject({
      reason: 'docker-unavailable',
      message: `docker stack deploy failed: ${stderr}`,
    });
    expect(transport.calls).toHaveLength(8);
  });
  it('does not repeat for ever on a connection that keeps breaking', async () => {
    const { transport, deploy } = world(() => new ConnectionLost('gone'));
    expect(await failure(deploy(() => Promise.resolve(false)))).toBeInstanceOf(ConnectionLost);
    expect(transport.calls).toHaveLength(8);
  });
  it('starts nothing when cancelled', async () => {
    const { transport, cancel, deploy } = world(() => ({}));
    cancel.abort(new Error('cancelled'));
    await expect(deploy()).rejects.toThrow('cancelled');
    expect(transport.calls).toEqual([]);
  });
});
