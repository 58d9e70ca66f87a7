/** What Docker's client would refuse only after it has made networks, configs and secrets. */
import { describe, expect, it } from '@jest/globals';
import { renderStack, type RenderedStack } from '../../../src/compose/render.js';
import { forClient } from '../../../src/compose/version.js';
import { InvalidInput } from '../../../src/errors.js';

function render(files: readonly string[], profiles: readonly string[] = []): RenderedStack {
  return renderStack({
    files: files.map((text, index) => ({ path: `${'abc'[index]!}.yml`, text: Buffer.from(text) })),
    ...{ stack: 'demo', variables: new Map([['S', 'hunter2']]), allowUnset: false, profiles },
    ...{ workingDirectory: '/nowhere', home: undefined, readFile: () => Buffer.from('x') },
  });
}

/** The problems of an attempt. */
function problems(attempt: () => unknown): readonly string[] {
  try {
    attempt();
  } catch (error) {
    if (!(error instanceof InvalidInput)) throw error;
    for (const { position, hint, reason, excerpt } of error.problems) {
      expect([position?.line, hint, excerpt]).not.toContain(undefined);
      expect(reason).toBe('compose-invalid');
    }
    return error.problems.map(({ message }) => message);
  }
  return [];
}

/** A service of lines, and what stands beside the services. */
const stack = (lines: string, rest = ''): string =>
  `services:\n  web:\n    image: w:1\n${lines
    .split('\n')
    .map((line) => `    ${line}\n`)
    .join('')}${rest}`;
const mount = (fields: string): string => `volumes: [{${fields}, target: /x}]`;
const TOP =
  'networks: {n: {}}\nvolumes: {vol: {}}\nconfigs: {c: {external: true}}\nsecrets: {s: {external: true}}\n';

describe('what the swarm takes', () => {
  it.each([
    'healthcheck: {test: [CMD, x]}',
    'healthcheck: {test: [CMD-SHELL, x]}',
    'healthcheck: {test: [NONE]}',
    'healthcheck: {test: []}',
    'healthcheck: {test: "true"}',
    'deploy: {restart_policy: {condition: on-failure}, endpoint_mode: dnsrr}',
    'deploy: {update_config: {failure_action: rollback, order: start-first}}',
    'deploy: {rollback_config: {failure_action: rollback, order: start-first}}',
    'deploy: {placement: {constraints: ["node.role==worker", " node.labels.a != b "]}}',
    'deploy: {placement: {constraints: [Node.Role == Manager , node.role != leader, engine.labels.a.b == c d]}}',
    'deploy: {placement: {constraints: [node.id == x, node.hostname != x, node.ip == 10.0.0.0/8, node.platform.os == linux, node.platform.arch == x86_64]}}',
    'deploy: {placement: {constraints: ["node.labels.a-b_c.d == x$()*+-./:?[]\\\\^_|y z"]}}',
  ])('is no problem: %s', (lines) => {
    expect(problems(() => render([stack(lines)]))).toEqual([]);
  });
});

describe('what is wrong in several ways', () => {
  const text = (environment: string): string =>
    `services:\n  web:\n    image: w\n    label: {a: b}\n    user: ${environment}\n    volumes: ["nope:/x"]\n    ports: [{published: 80, target: 80, mode: hots}]\n`;

  it('is told at once', () => {
    expect(problems(() => render([text('u')]))).toEqual([
      expect.stringContaining('4:5: `services.web.label` is no key'),
      expect.stringContaining('6:15: service web: there is no nope in the top-level `volumes`'),
      expect.stringContaining('7:41: service web: `ports.mode` takes ingress or host'),
    ]);
  });

  it('is told of what is there: not where a variable could not be filled in', () => {
    let told = 0;
    try {
      render([text('$UNSET')]);
    } catch (error) {
      told = error instanceof InvalidInput ? error.problems.length : 0;
    }
    expect(told).toBe(2);
  });

  it('is told once for each line', () => {
    expect(
      problems(() => render(['services:\n  web: {image: w, label: {}, volumes: ["nope:/x"]}\n'])),
    ).toHaveLength(1);
  });
});

describe('what no client can convert', () => {
  it.each<[string, string]>([
    ['deploy: {mode: sometimes}', '4:14: service web: there is no such mode'],
    [
      'deploy: {mode: global, replicas: 2}',
      '4:28: service web: replicas do not go with `deploy.mode: global`',
    ],
    [
      'deploy: {mode: global-job, replicas: 2}',
      '4:32: service web: replicas do not go with `deploy.mode: global-job`',
    ],
    ['scale: 2\ndeploy: {mode: global}', '4:5: service web: replicas do not go with'],
    [
      'healthcheck: {test: ["true"]}',
      "4:26: service web: a healthcheck's `test` starts with one of",
    ],
    ['healthcheck: {test: [curl, -f, x]}', "4:26: service web: a healthcheck's `test` starts with"],
    [
      'deploy: {restart_policy: {condition: always}}',
      '4:31: service web: `deploy.restart_policy.condition` takes none, on-failure or any',
    ],
    [
      'deploy: {update_config: {failure_action: rolback}}',
      '4:30: service web: `deploy.update_config.failure_action` takes pause, continue or rollback',
    ],
    [
      'deploy: {rollback_config: {failure_action: stop}}',
      '4:32: service web: `deploy.rollback_config.failure_action` takes',
    ],
    [
      'deploy: {update_config: {order: first}}',
      '4:30: service web: `deploy.update_config.order` takes stop-first or start-first',
    ],
    [
      'deploy: {rollback_config: {order: first}}',
      '4:32: service web: `deploy.rollback_config.order` takes',
    ],
    ['deploy: {endpoint_mode: ip}', '4:14: service web: `deploy.endpoint_mode` takes vip or dnsrr'],
    [
      'deploy: {placement: {constraints: [node.role=manager]}}',
      '4:40: service web: a constraint compares with == or !=',
    ],
    [
      'deploy: {placement: {constraints: ["node.labels.a == "]}}',
      '4:40: service web: a constraint compares with == or !=',
    ],
    [
      'deploy: {placement: {constraints: [role == manager]}}',
      '4:40: service web: no node ever meets a constraint on `role`, which the swarm does not know',
    ],
    [
      'deploy: {placement: {constraints: [node.label.db != b]}}',
      '4:40: service web: no node ever meets a constraint on `node.label.db`',
    ],
    [
      `deploy: {placement: {constraints: ['node.labels.db == "b"']}}`,
      '4:40: service web: the swarm does not take this constraint, for its signs or letters',
    ],
    [
      'deploy: {placement: {constraints: ["node.labels.a!b == b"]}}',
      '4:40: service web: a constraint compares with == or !=',
    ],
    [
      'deploy: {placement: {constraints: ["node.labels.größe == b"]}}',
      '4:40: service web: the swarm does not take this constraint',
    ],
    [
      'deploy: {placement: {constraints: [node.role == leader]}}',
      '4:40: service web: no node has the role leader',
    ],
    ['healthcheck: {test: NONE}', '4:19: service web: `test: NONE` runs a command of that name'],
    ['restart: sometimes', '4:5: service web: there is no such restart policy'],
    ['restart: on-failure:x', '4:5: service web: there is no such restart policy'],
    [
      'healthcheck: {test: x, disable: true}',
      '4:28: service web: a healthcheck cannot be disabled and have a `test`',
    ],
    [
      'healthcheck: {test: [NONE], disable: true}',
      '4:33: service web: a healthcheck cannot be disabled and have a `test`',
    ],
    ['networks: [n, nope]', '4:19: service web: there is no nope in the top-level `networks`'],
    ['networks: {nope: {}}', '4:16: service web: there is no nope in the top-level `networks`'],
    ['secrets: [s, nope]', '4:18: service web: there is no nope in the top-level `secrets`'],
    ['configs: [{source: nope}]', '4:16: service web: there is no nope in the top-level `configs`'],
    ['volumes: ["nope:/x"]', '4:15: service web: there is no nope in the top-level `volumes`'],
    [
      mount('type: volume, source: nope'),
      '4:30: service web: there is no nope in the top-level `volumes`',
    ],
    [
      mount('type: cluster, source: nope'),
      '4:31: service web: there is no nope in the top-level `volumes`',
    ],
    [mount('type: odd'), '4:16: service web: there is no such type of mount'],
    [mount('type: toString'), '4:16: service web: there is no such type of mount'],
    [mount('type: tmpfs, source: a'), '4:29: service web: a mount of type tmpfs has no `source`'],
    [
      mount('type: volume, tmpfs: {size: 5}'),
      '4:30: service web: `tmpfs` options do not go with a mount of type volume',
    ],
    [
      mount('type: bind, source: /a, volume: {nocopy: true}'),
      '4:40: service web: `volume` options do not go with a mount of type bind',
    ],
    [mount('type: npipe'), '4:15: service web: a mount of type npipe needs a `source`'],
    [mount('type: image'), '4:15: service web: a mount of type image needs a `source`'],
    [
      'credential_spec: {file: a, registry: b}',
      '4:32: service web: `credential_spec` takes one of file and registry',
    ],
    [
      'credential_spec: {config: nope}',
      '4:23: service web: there is no nope in the top-level `configs`',
    ],
  ])('%s', (lines, message) => {
    expect(problems(() => render([stack(lines, TOP)]))).toEqual([
      expect.stringContaining(`a.yml:${message}`),
    ]);
  });

  it.each([
    'deploy: {mode: replicated, replicas: 2}\nrestart: "no"',
    'deploy: {mode: global}\nrestart: on-failure:3',
    'restart: sometimes\ndeploy: {restart_policy: {condition: any}}',
    'healthcheck: {disable: true}',
    'healthcheck: {test: x, disable: false}',
    'healthcheck: {test: [], disable: true}',
    'networks: [n, default]',
    'networks: {n: {aliases: [x]}, default: {}}',
    'network_mode: host',
    'secrets: [s, {source: s, target: t}]\nconfigs: [c]',
    'volumes: ["vol:/x", /anonymous, "/here:/y", "C:/x:/w", {type: volume, target: /v}]',
    'volumes: [{type: tmpfs, target: /t, tmpfs: {size: 5}}, {type: cluster, source: "group:a", target: /g}]',
    'credential_spec: {config: c}',
    'x-any: {mode: odd}',
  ])('not %s', (lines) => {
    expect(problems(() => render([stack(lines, TOP)]))).toEqual([]);
  });

  it('is looked for in all files together, where Docker merges them', () => {
    const first = stack('networks: [n]\nvolumes: ["gone:/x"]\ndeploy: {replicas: 2}');
    const second =
      'services: {web: {volumes: ["vol:/x"], deploy: {mode: global}}}\nnetworks: {n: {}}\nvolumes: {vol: {}}\n';
    expect(problems(() => render([first, second]))).toEqual([
      expect.stringMatching(/^a\.yml:6:14: service web: replicas do not go with/),
    ]);
    expect(problems(() => render([first, second.replace(', deploy: {mode: global}', '')]))).toEqual(
      [],
    );
  });

  it('is not looked for in services that profiles leave out', () => {
    const both = `${stack('user: u')}  late: {image: l, profiles: [late], networks: [nope]}\n`;
    expect(problems(() => render([both]))).toEqual([]);
    expect(problems(() => render([both], ['late']))).toHaveLength(1);
  });

  it('shows no value of a variable', () => {
    const lines = 'restart: ${S}\nvolumes: [{type: "${S}", target: /x}]\ndeploy: {mode: "${S}"}';
    const found = problems(() => render([stack(lines)]));
    expect(found).toHaveLength(3);
    expect(found.join('\n')).not.toContain('hunter2');
  });
});

describe('what an older client cannot convert', () => {
  const says = (lines: string, client: string): readonly string[] => {
    const rendered = render([stack(lines, TOP)]);
    return problems(() => forClient(rendered, client));
  };

  it.each<[string, string, string, string]>([
    [
      'deploy: {mode: replicated-job}',
      '20.10.24',
      '23.0.0',
      "a.yml:4:14: service web: `deploy.mode: replicated-job` needs a Docker client of 23.0 or newer, and the manager's is 20.10.24",
    ],
    [
      'deploy: {mode: global-job}',
      '20.10.24',
      '28.5.2',
      'a.yml:4:14: service web: `deploy.mode: global-job` needs a Docker client of 23.0',
    ],
    [
      mount('type: cluster, source: vol'),
      '20.10.24',
      '23.0.6',
      'a.yml:4:16: service web: a mount of type cluster needs a Docker client of 23.0',
    ],
    [
      mount('type: image, source: w'),
      '27.5.1',
      '28.0.0',
      'a.yml:4:16: service web: a mount of type image needs a Docker client of 28.0',
    ],
  ])('%s', (lines, older, newer, message) => {
    expect(says(lines, older)).toEqual([expect.stringContaining(message)]);
    expect(says(lines, newer)).toEqual([]);
  });

  it('names every place', () => {
    const two = `${stack('deploy: {mode: replicated-job}')}  b: {image: b, deploy: {mode: global-job}}\n`;
    expect(problems(() => forClient(render([two]), '20.10.24'))).toHaveLength(2);
  });
});
