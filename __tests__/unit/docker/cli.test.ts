import { describe, expect, it } from '@jest/globals';
import {
  cliVersion,
  deployFailure,
  dockerArgv,
  engineUnreachable,
  engineWentAway,
  isAtLeast,
  isLeaderless,
  isTransientDeployError,
  loginFailure,
  stackDeployArgs,
  withoutVariables,
} from '../../../src/docker/cli.js';

describe('argument vectors', () => {
  it.each([
    [{ sudo: false }, ['docker', 'info']],
    [{ sudo: true }, ['sudo', '-n', 'docker', 'info']],
    [{ sudo: false, host: '/run/d.sock' }, ['docker', '--host', 'unix:///run/d.sock', 'info']],
    [{ sudo: false, host: 'tcp://h:1' }, ['docker', '--host', 'tcp://h:1', 'info']],
    [
      { sudo: true, host: 'unix:///a b', configDirectory: '/tmp/x/docker' },
      ['sudo', '-n', 'docker', '--config', '/tmp/x/docker', '--host', 'unix:///a b', 'info'],
    ],
  ])('%j', (command, argv) => {
    expect(dockerArgv(command, 'info')).toEqual(argv);
  });
  it('without variables', () => {
    expect(withoutVariables(['docker', 'x'], [])).toEqual(['docker', 'x']);
    expect(withoutVariables(['docker', 'x'], ['A', 'B'])).toEqual([
      'env',
      '-u',
      'A',
      '-u',
      'B',
      'docker',
      'x',
    ]);
  });
  const deploy = (version: readonly [number, number], more: object = {}): readonly string[] =>
    stackDeployArgs({
      stack: 'shop',
      files: ['/a', '/b'],
      version,
      withRegistryAuth: true,
      resolveImage: 'always',
      ...more,
    });
  it('stack deploy: only what the CLI knows', () => {
    const old = [
      'stack',
      'deploy',
      '--compose-file',
      '/a',
      '--compose-file',
      '/b',
      '--with-registry-auth',
      '--resolve-image',
      'always',
    ];
    expect(deploy([20, 10])).toEqual([...old, 'shop']);
    expect(deploy([25, 0])).not.toContain('--detach=true');
    expect(deploy([26, 0])).toEqual([...old, '--detach=true', 'shop']);
    expect(deploy([28, 5], { withRegistryAuth: false, resolveImage: 'never' })).toEqual([
      'stack',
      'deploy',
      '--compose-file',
      '/a',
      '--compose-file',
      '/b',
      '--resolve-image',
      'never',
      '--detach=true',
      'shop',
    ]);
  });
});

it.each([
  ['Docker version 28.2.2, build e6534b4', [28, 2]],
  ['Docker version 20.10.24+dfsg1, build 297e128', [20, 10]],
  ['Welcome!\nDocker version v24.0.7-ce, build x', [24, 0]],
  ['podman', undefined],
  ['', undefined],
])('the version in %j', (output, version) => {
  expect(cliVersion(output)).toEqual(version);
});
it('compares versions as numbers', () => {
  expect(isAtLeast([20, 10], [20, 10])).toBe(true);
  expect(isAtLeast([20, 9], [20, 10])).toBe(false);
  expect(isAtLeast([21, 0], [20, 10])).toBe(true);
  expect(isAtLeast([19, 99], [20, 10])).toBe(false);
});

it.each([
  [
    'Error response from daemon: Get "https://r/v2/": unauthorized: incorrect username or password',
    'registry-auth',
    false,
  ],
  ['denied: requested access to the resource is denied', 'registry-auth', false],
  [
    'Error: login attempt to https://r/v2/ failed with status: 401 Unauthorized',
    'registry-auth',
    false,
  ],
  ['dial tcp: lookup r: no such host', 'registry-unreachable', true],
  ['net/http: TLS handshake timeout', 'registry-unreachable', true],
  ['received unexpected HTTP status: 503 Service Unavailable', 'registry-unreachable', true],
])('login: %s', (stderr, reason, transient) => {
  expect(loginFailure(stderr)).toEqual({ reason, transient });
});

it.each([
  ['Error response from daemon: rpc error: code = Unknown desc = update out of sequence', true],
  [
    'failed to create service shop_api: Error response from daemon: network shop_default not found',
    true,
  ],
  ['Error response from daemon: network with name shop_default already exists', true],
  ['error while removing network: network shop_default has active endpoints', true],
  [
    'failed to create service x: Error response from daemon: rpc error: code = DeadlineExceeded desc = context deadline exceeded',
    true,
  ],
  [
    'Error response from daemon: rpc error: code = Unknown desc = The swarm does not have a leader.',
    true,
  ],
  [
    'Error response from daemon: rpc error: code = Unknown desc = raft: failed to process the request: node lost leader status',
    true,
  ],
  [
    'Error response from daemon: This node is not a swarm manager. Manager is being prepared or has trouble connecting to the cluster.',
    true,
  ],
  [
    'Error response from daemon: rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing"',
    true,
  ],
  [
    "failed to update service shop_api: Error response from daemon: This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state.",
    true,
  ],
  [
    'this node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again',
    true,
  ],
  [
    'failed to update service shop_api: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?',
    true,
  ],
  ['services.api.image must be a string', false],
  ['Error response from daemon: invalid reference format', false],
  ['', false],
])('passes by itself: %s', (stderr, transient) => {
  expect(isTransientDeployError(stderr) || isLeaderless(stderr)).toBe(transient);
});

it.each([
  ['services.api.ports.0 must be a number', 'compose-invalid'],
  ['failed to update service shop_api: Error response from daemon: bad', 'deploy-refused'],
  ['rpc error: code = InvalidArgument', 'deploy-refused'],
  ['this node is not a swarm manager. Use "docker swarm init"', 'docker-unavailable'],
  ['rpc error: code = DeadlineExceeded desc = context deadline exceeded', 'docker-unavailable'],
  ['network "x" is declared as external, but could not be found', 'deploy-refused'],
])('stack deploy: %s', (stderr, reason) => {
  expect(deployFailure(stderr)).toBe(reason);
});

it.each([
  [
    'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?',
    true,
  ],
  ['permission denied while trying to connect to the Docker daemon socket', true],
  ['no such image', false],
])('the engine: %s', (stderr, away) => {
  expect(engineUnreachable(stderr)).toBe(away);
});

it.each([
  [
    'error during connect: Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.51/services": read unix @->/run/docker.sock: read: connection reset by peer',
    true,
  ],
  [
    'Creating service shop_api\nerror during connect: Post "http://x/v1.41/services/create": EOF',
    true,
  ],
  [
    'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?',
    true,
  ],
  [
    'permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get "http://x": dial unix: connect: permission denied',
    false,
  ],
  [
    'image r.example.com/api:1 could not be accessed on a registry to record its digest: EOF',
    false,
  ],
  ['services.api.image must be a string', false],
])('the engine went away: %s', (stderr, away) => {
  expect(engineWentAway(stderr)).toBe(away);
});
