import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { renderStack } from '../../../src/compose/render.js';
import { RULE_IDS, RULES, type RuleId } from '../../../src/lint/catalog.js';
import { NEED_NODES } from '../../../src/lint/rules.js';
import type { JsonObject } from '../../../src/model.js';
import { lint, type Finding, type LintRequest } from '../../../src/lint/lint.js';

interface Asked {
  /** Engines of the nodes. */
  readonly engines?: readonly string[];
  readonly logins?: LintRequest['logins'];
  readonly ignore?: readonly RuleId[];
  readonly variables?: Readonly<Record<string, string>>;
  /** Those that are deployed; all of the files where it is not told. */
  readonly deployed?: readonly string[];
  readonly part?: 'files' | 'nodes';
  /** Of the stack, as the engine has them. */
  readonly networks?: LintRequest['networks'];
}

/** What the lint says of files. */
function lintOf(
  files: readonly string[],
  { engines, logins = [], ignore = [], variables = {}, deployed, part, networks = [] }: Asked = {},
): readonly Finding[] {
  const { written, services } = renderStack({
    files: files.map((text, index) => ({ path: `${'abc'[index]!}.yml`, text: Buffer.from(text) })),
    ...{ stack: 'demo', variables: new Map(Object.entries(variables)), allowUnset: false },
    ...{ workingDirectory: '/nowhere', home: undefined, readFile: () => Buffer.from('x') },
  });
  return lint({
    files: written(),
    services: new Set(deployed ?? services.keys()),
    nodes: engines?.map((engine, index) => ({ name: `node-${index + 1}`, engine })),
    ...{ logins, ignore, networks, stack: 'demo', ...(part === undefined ? {} : { part }) },
  });
}

/** Indents a block, to be put below a key. */
const below = (text: string, spaces: number): string =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => `${' '.repeat(spaces)}${line}\n`)
    .join('');

/** A service that nothing can be said against. */
const IDEAL = `image: registry.example.com/api:1.2.3
stop_grace_period: 30s
healthcheck:
  test: [CMD, curl, -f, http://localhost/]
  interval: 10s
  retries: 3
  start_period: 20s
ports: ["80:80"]
deploy:
  replicas: 3
  update_config:
    order: start-first
    failure_action: rollback
    monitor: 50s
  resources:
    limits: {memory: 256M}
`;
const stack = (service: string, rest = ''): string =>
  `services:\n  api:\n${below(service, 4)}${rest}`;
/** The ideal service with one line changed for others, or with lines at its end. */
const ideal = (from: string, to: string): string => {
  if (!IDEAL.includes(from)) throw new Error(`no ${from}`);
  return stack(IDEAL.replace(from, to));
};
const plus = (lines: string, rest = ''): string => stack(`${lines}\n${IDEAL}`, rest);
const onDb = (on: string): string =>
  `${plus(`depends_on: ${on}`)}  db: {image: "db:1", deploy: {restart_policy: {condition: none}}}\n`;
const TOP =
  'configs: {page: {file: ./page}}\nsecrets: {key: {file: ./key}, other: {file: ./other}}\n';
const DEPLOYED: Asked = { deployed: ['api'] };
const HOST_PORT = 'ports: [{target: 80, published: 80, mode: host}]';
const hostPort = (text: string): string => text.replace('ports: ["80:80"]', HOST_PORT);
const JOB = `image: registry.example.com/migrate:1
deploy:
  mode: replicated-job
  resources: {limits: {memory: 1G}}
`;

/** For each rule files that it speaks of, with the line of each finding, and files that it does not. */
interface Case {
  readonly fires: readonly (readonly [file: string, line: number, asked?: Asked])[];
  readonly silent: readonly (readonly [file: string, asked?: Asked])[];
}

const key = (line: string, harmless: readonly string[] = [], rest = ''): Case => ({
  fires: [[plus(line, rest), 3]],
  silent: [[stack(IDEAL)], ...harmless.map((each) => [plus(each, rest)] as const)],
});
const engine = (line: string, before: string, since: string): Case => ({
  fires: [[plus(line), 3, { engines: ['28.5.1', before] }]],
  silent: [
    [plus(line), { engines: [since] }],
    [plus(line), { engines: ['28.5.1'] }],
    [plus(line)],
    [stack(IDEAL), { engines: [before] }],
  ],
});
/** As the engine lists a network that the ideal stack would have made of `networks: {front: {}}`. */
const front = (definition: JsonObject = {}): Asked => ({
  networks: [
    {
      name: 'demo_front',
      definition: {
        Driver: 'overlay',
        Attachable: false,
        Internal: false,
        Options: { 'com.docker.network.driver.overlay.vxlanid_list': '4097' },
        Labels: { 'com.docker.stack.namespace': 'demo' },
        IPAM: { Config: [{ Subnet: '10.0.1.0/24' }] },
        ...definition,
      },
    },
  ],
});
const network = (text: string): string => stack(IDEAL, `networks:\n  front: ${text}\n`);
const AWS = { registry: 'registry.example.com', expires: 'a token' };

const CASES: Readonly<Record<RuleId, Case>> = {
  'ignored-build': key('build: .'),
  'ignored-cgroup-parent': key('cgroup_parent: m'),
  'ignored-cgroupns-mode': key('cgroupns_mode: host'),
  'ignored-container-name': key('container_name: api'),
  'ignored-depends-on': {
    fires: [
      [onDb('[db]'), 3, DEPLOYED],
      [onDb('{db: {condition: service_started}}'), 3, DEPLOYED],
    ],
    silent: [
      [onDb('{db: {condition: service_healthy}}'), DEPLOYED],
      [onDb('{db: {condition: service_completed_successfully}}'), DEPLOYED],
      [plus('depends_on: []')],
    ],
  },
  'ignored-devices': key('devices: [/dev/ttyUSB0]', ['devices: []']),
  'ignored-domainname': key('domainname: example.com'),
  'ignored-expose': key('expose: ["80"]', ['expose: []']),
  'ignored-external-links': key('external_links: [db]', ['external_links: []']),
  'ignored-ipc': key('ipc: host'),
  'ignored-links': key('links: [db]', ['links: []']),
  'ignored-mac-address': key('mac_address: 02:42:ac:11:65:43'),
  'ignored-network-address': key(
    'networks: {a: {ipv4_address: 10.0.0.2}}',
    ['networks: {a: {aliases: [b]}}', 'networks: [a]'],
    'networks: {a: {}}',
  ),
  'ignored-network-mode': key('network_mode: host'),
  'ignored-pid': key('pid: host'),
  'ignored-privileged': key('privileged: true', ['privileged: false']),
  'ignored-restart': {
    fires: [
      [plus('restart: always'), 3],
      [plus('restart: "no"'), 3],
      [
        plus('restart: unless-stopped').replace(
          'deploy:\n',
          'deploy:\n      restart_policy: {condition: any}\n',
        ),
        3,
      ],
    ],
    silent: [[stack(IDEAL.replace('deploy:\n', 'deploy:\n  restart_policy: {condition: any}\n'))]],
  },
  'ignored-security-opt': key('security_opt: [no-new-privileges]', ['security_opt: []']),
  'ignored-shm-size': key('shm_size: 64M'),
  'ignored-tmpfs': key('tmpfs: /run', ['tmpfs: []', 'volumes: [{type: tmpfs, target: /run}]']),
  'ignored-userns-mode': key('userns_mode: host'),

  'engine-sysctls': engine('sysctls: [net.core.somaxconn=4096]', '18.09.9', '19.03.0'),
  'engine-capabilities': engine('cap_add: [NET_ADMIN]', '19.03.15', '20.10.0'),
  'engine-ulimits': engine('ulimits: {nofile: 1000}', '19.03.15', '20.10.0'),
  'engine-pids-limit': {
    fires: [[ideal('{memory: 256M}', '{memory: 256M, pids: 9}'), 18, { engines: ['19.03.15'] }]],
    silent: [[ideal('{memory: 256M}', '{memory: 256M, pids: 9}'), { engines: ['20.10.24'] }]],
  },
  'engine-start-interval': {
    fires: [[ideal('retries: 3', 'retries: 3\n  start_interval: 1s'), 9, { engines: ['24.0.9'] }]],
    silent: [
      [ideal('retries: 3', 'retries: 3\n  start_interval: 1s'), { engines: ['25.0.0', '28.5.1'] }],
    ],
  },
  'engine-volume-subpath': {
    fires: [
      [
        plus(
          'volumes:\n  - type: volume\n    source: v\n    target: /v\n    volume:\n      subpath: s',
          'volumes: {v: {}}',
        ),
        8,
        { engines: ['25.0.5'] },
      ],
    ],
    silent: [
      [
        plus(
          'volumes: [{type: volume, source: v, target: /v, volume: {subpath: s}}]',
          'volumes: {v: {}}',
        ),
        { engines: ['26.1.0'] },
      ],
    ],
  },
  'engine-oom-score-adj': engine('oom_score_adj: 5', '26.1.4', '27.0.1'),

  'no-healthcheck': {
    fires: [
      [stack('image: a:1'), 2],
      [ideal('test: [CMD, curl, -f, http://localhost/]', 'disable: true'), 5],
      [ideal('[CMD, curl, -f, http://localhost/]', '[NONE]'), 5],
      [stack('image: a:1\ndeploy: {mode: global}'), 2],
      [stack('image: a:1\nports: [80]\ndeploy: {restart_policy: {condition: on-failure}}'), 2],
      // What people give their workers.
      [stack('image: a:1\ndeploy: {restart_policy: {condition: on-failure}}'), 2],
      [stack('image: a:1\nrestart: on-failure'), 2],
    ],
    silent: [
      [stack(IDEAL)],
      [stack(JOB)],
      [stack('image: a:1\ndeploy: {mode: global-job}')],
      [stack('image: a:1\ndeploy: {replicas: 0}')],
      [stack('image: a:1\ndeploy: {restart_policy: {condition: none}}')],
      [stack('image: a:1\nrestart: on-failure:3')],
      [stack('image: a:1\ndeploy: {restart_policy: {condition: on-failure, max_attempts: 3}}')],
    ],
  },
  'healthcheck-words': {
    fires: [
      [ideal('[CMD, curl, -f, http://localhost/]', '[CMD, "curl -f http://localhost/"]'), 6],
      [ideal('[CMD, curl, -f, http://localhost/]', '[CMD, curl, -f, http://x, "||", exit 1]'), 6],
      [ideal('[CMD, curl, -f, http://localhost/]', '[CMD, sh, -c, curl x, "&&", y]'), 6],
      [ideal('[CMD, curl, -f, http://localhost/]', '[CMD, curl, x, ">/dev/null", 2>&1]'), 6],
      [
        ideal(
          '[CMD, curl, -f, http://localhost/]',
          '\n    - CMD\n    - pg_isready\n    - $$$$USER',
        ),
        9,
      ],
      [
        ideal('[CMD, curl, -f, http://localhost/]', '[CMD, mysqladmin, "-p$$$${ROOT_PASSWORD}"]'),
        6,
      ],
      [ideal('[CMD, curl, -f, http://localhost/]', '[CMD-SHELL, curl, -f, http://localhost/]'), 6],
    ],
    silent: [
      [stack(IDEAL)],
      [stack('image: a:1')],
      [ideal('[CMD, curl, -f, http://localhost/]', 'curl -f http://localhost/ || exit $$$$ANY')],
      [
        ideal(
          '[CMD, curl, -f, http://localhost/]',
          '[CMD-SHELL, "pg_isready -U $$$$USER || exit 1"]',
        ),
      ],
      [ideal('[CMD, curl, -f, http://localhost/]', '[CMD, sh, -c, "curl -f $$$$URL || exit 1"]')],
      [ideal('[CMD, curl, -f, http://localhost/]', '[CMD, bash, -ec, "x $$$$URL; y"]')],
      [ideal('[CMD, curl, -f, http://localhost/]', '[CMD, /check]')],
      [ideal('[CMD, curl, -f, http://localhost/]', '[CMD, grep, "a b$$$$", /x]')],
      [ideal('[CMD, curl, -f, http://localhost/]', '[CMD, php, -r, "exit($$$$A);"]')],
      [ideal('[CMD, curl, -f, http://localhost/]', '[NONE]')],
    ],
  },
  'sysctl-of-the-node': {
    fires: [
      [stack('image: a:1\nsysctls: [vm.max_map_count=262144]'), 4],
      [stack('image: a:1\nsysctls:\n  net.core.somaxconn: 1\n  vm.overcommit_memory: 1'), 6],
      [stack('image: a:1\nsysctls: {fs/file-max: 1}'), 4],
    ],
    silent: [
      [stack(IDEAL)],
      [
        stack(
          'image: a:1\nsysctls: {net.ipv4.ip_forward: 1, net/core/somaxconn: 1, kernel.shmmax: 1, fs.mqueue.msg_max: 1}',
        ),
      ],
    ],
  },
  'stop-first-single-replica': {
    fires: [
      [stack('image: a:1'), 2],
      [stack(IDEAL.replace('replicas: 3', 'replicas: 1').replace('start-first', 'stop-first')), 14],
      [stack('image: a:1\nvolumes: [data:/data]', 'volumes: {data: {}}'), 2],
      [
        stack(
          'image: a:1\nvolumes: [data:/data:ro]\ndeploy: {update_config: {order: stop-first}}',
          'volumes: {data: {}}',
        ),
        5,
      ],
    ],
    silent: [
      [stack(IDEAL)],
      [ideal('replicas: 3', 'replicas: 1')],
      [ideal('start-first', 'stop-first')],
      [stack('image: a:1\ndeploy: {mode: global}')],
      [stack('image: a:1\ndeploy: {replicas: 0}')],
      [stack(JOB)],
      [
        stack(
          'image: a:1\nvolumes: [data:/data]\ndeploy: {update_config: {order: stop-first}}',
          'volumes: {data: {}}',
        ),
      ],
      [stack(`image: a:1\n${HOST_PORT}\ndeploy: {update_config: {order: stop-first}}`)],
    ],
  },
  'failure-action': {
    fires: [
      [stack('image: a:1'), 2],
      [ideal('failure_action: rollback', 'failure_action: pause'), 15],
      [ideal('failure_action: rollback', 'failure_action: continue'), 15],
      [ideal('    failure_action: rollback\n', ''), 13],
    ],
    silent: [[stack(IDEAL)], [stack(JOB)], [stack('image: a:1\ndeploy: {replicas: 0}')]],
  },
  'monitor-too-short': {
    fires: [
      [ideal('monitor: 50s', 'monitor: 49s'), 16],
      [ideal('    monitor: 50s\n', ''), 5],
      [ideal('interval: 10s', 'interval: 0s'), 16],
      [ideal('interval: 10s', 'interval: 1d'), 16],
      [ideal('retries: 3', 'retries: 4'), 16],
      [ideal('start_period: 20s', 'start_period: 1m0.5s'), 16],
    ],
    silent: [
      [stack(IDEAL)],
      [ideal('monitor: 50s', 'monitor: 0.5h')],
      [ideal('monitor: 50s', 'monitor: 1d')],
      [stack('image: a:1')],
      [ideal('test: [CMD, curl, -f, http://localhost/]', 'disable: true')],
      [stack(`${JOB}healthcheck: {test: [CMD, x]}`)],
    ],
  },
  'start-first-host-port': {
    fires: [
      [hostPort(stack(IDEAL)), 10],
      [
        stack(
          `image: a:1\n${HOST_PORT}\ndeploy: {mode: global, update_config: {order: start-first}}`,
        ),
        4,
      ],
    ],
    silent: [
      [stack(IDEAL)],
      [hostPort(ideal('start-first', 'stop-first'))],
      [stack(IDEAL).replace('["80:80"]', '[{target: 80, mode: host}]')],
      [stack(IDEAL).replace('["80:80"]', '[{target: 80, published: 0, mode: host}]')],
    ],
  },
  'host-port-replicas': {
    fires: [[hostPort(stack(IDEAL)), 10, { engines: ['28.5.1', '28.5.1'] }]],
    silent: [
      [hostPort(stack(IDEAL)), { engines: ['28.5.1', '28.5.1', '28.5.1'] }],
      [hostPort(stack(IDEAL))],
      [stack(IDEAL), { engines: ['28.5.1'] }],
    ],
  },
  'start-first-max-replicas': {
    fires: [
      [
        ideal('replicas: 3', 'replicas: 3\n  placement: {max_replicas_per_node: 1}'),
        13,
        { engines: ['28.5.1', '28.5.1', '28.5.1'] },
      ],
    ],
    silent: [
      [
        ideal('replicas: 3', 'replicas: 3\n  placement: {max_replicas_per_node: 2}'),
        { engines: ['28.5.1', '28.5.1'] },
      ],
      [ideal('replicas: 3', 'replicas: 3\n  placement: {max_replicas_per_node: 1}')],
      [
        ideal('replicas: 3', 'replicas: 3\n  placement: {max_replicas_per_node: 1}').replace(
          'start-first',
          'stop-first',
        ),
        { engines: ['28.5.1'] },
      ],
    ],
  },
  'update-all-at-once': {
    fires: [
      [ideal('order: start-first', 'parallelism: 0'), 14],
      [ideal('order: start-first', 'parallelism: 3'), 14],
      [stack('image: a:1\ndeploy:\n  mode: global\n  update_config:\n    parallelism: 0'), 7],
    ],
    silent: [
      [ideal('order: start-first', 'parallelism: 2')],
      [ideal('order: start-first', 'order: start-first\n    parallelism: 0')],
      [ideal('order: start-first', 'parallelism: 0').replace('replicas: 3', 'replicas: 1')],
      [stack(IDEAL)],
    ],
  },
  'local-volume-moves': {
    fires: [
      [plus('volumes: [data:/data]', 'volumes: {data: {}}'), 3, { engines: ['28.5.1', '28.5.1'] }],
      [
        plus('volumes: [{type: volume, source: data, target: /data}]', 'volumes: {data: }'),
        3,
        { engines: ['28.5.1', '28.5.1'] },
      ],
    ],
    silent: [
      [plus('volumes: [data:/data]', 'volumes: {data: {}}'), { engines: ['28.5.1'] }],
      [plus('volumes: [data:/data]', 'volumes: {data: {}}')],
      [plus('volumes: [data:/data:ro]', 'volumes: {data: {}}'), { engines: ['28.5.1', '28.5.1'] }],
      [
        plus('volumes: [data:/data]', 'volumes: {data: {driver: nfs}}'),
        { engines: ['28.5.1', '28.5.1'] },
      ],
      [
        plus('volumes: [data:/data]', 'volumes: {data: {driver_opts: {type: nfs}}}'),
        { engines: ['28.5.1', '28.5.1'] },
      ],
      [
        plus('volumes: [data:/data]', 'volumes: {data: {external: true}}'),
        { engines: ['28.5.1', '28.5.1'] },
      ],
      [plus('volumes: [/srv/data:/data, /cache]'), { engines: ['28.5.1', '28.5.1'] }],
      // A drive of Windows.
      [plus("volumes: ['C:\\data:C:\\app']"), { engines: ['28.5.1', '28.5.1'] }],
      [
        plus('volumes: [data:/data]', 'volumes: {data: {}}').replace(
          'replicas: 3',
          'placement: {constraints: [node.labels.data==true]}',
        ),
        { engines: ['28.5.1', '28.5.1'] },
      ],
      [
        stack('image: a:1\nvolumes: [data:/data]\ndeploy: {mode: global}', 'volumes: {data: {}}'),
        { engines: ['28.5.1', '28.5.1'] },
      ],
    ],
  },
  'no-stop-grace-period': {
    fires: [[ideal('stop_grace_period: 30s\n', ''), 9]],
    silent: [
      [stack(IDEAL)],
      [stack('image: a:1')],
      [stack('image: a:1\nports: [80]\ndeploy: {replicas: 0}')],
    ],
  },
  'mutable-tag': {
    fires: [
      [ideal(':1.2.3', ':latest'), 3],
      [ideal(':1.2.3', ''), 3],
      [stack('image: registry.example.com:5000/app'), 3],
      [stack('image: ${IMAGE}'), 3, { variables: { IMAGE: 'app' } }],
    ],
    silent: [
      [stack(IDEAL)],
      [stack(`image: app@sha256:${'0'.repeat(64)}`)],
      [stack(`image: app:latest@sha256:${'0'.repeat(64)}`)],
      [stack('image: app:${TAG:-1}')],
    ],
  },
  'no-resource-limits': {
    fires: [
      [ideal('    limits: {memory: 256M}', '    limits: {cpus: "1"}'), 18],
      [ideal('  resources:\n    limits: {memory: 256M}\n', ''), 2],
      [stack('image: a:1\ndeploy: {mode: replicated-job}'), 2],
      // Nothing is limited by it.
      [stack('image: a:1\nmem_limit: 0'), 2],
      [stack('image: a:1\nmem_limit: 0m'), 2],
    ],
    silent: [
      [
        ideal('  resources:\n    limits: {memory: 256M}\n', '').replace(
          '    image:',
          '    mem_limit: 256m\n    image:',
        ),
      ],
      [stack(IDEAL)],
      [stack(JOB)],
      [stack('image: a:1\ndeploy: {replicas: 0}')],
      [stack('image: a:1\nscale: 0')],
    ],
  },
  'network-stays': {
    fires: [
      [network('{attachable: true}'), 20, front()],
      [network('{internal: true}'), 20, front()],
      [network('{driver: bridge}'), 20, front()],
      [network('{labels: {a: b}}'), 20, front()],
      [network('{labels: [a=b]}'), 20, front({ Labels: { a: 'c' } })],
      [network('{}'), 20, front({ Labels: { a: 'c' } })],
      [network('{driver_opts: {encrypted: ""}}'), 20, front()],
      [network('{ipam: {config: [{subnet: 10.9.0.0/24}]}}'), 20, front()],
      [network('{name: demo_front, internal: true}'), 20, front()],
    ],
    silent: [
      [network('{}'), front()],
      [network('')],
      [network('{internal: true}')],
      [network('{attachable: true}'), front({ Attachable: true })],
      [network('{labels: {a: b}}'), front({ Labels: { a: 'b' } })],
      [network('{driver_opts: {encrypted: ""}}'), front({ Options: { encrypted: '' } })],
      [network('{ipam: {config: [{subnet: 10.0.1.0/24}]}}'), front()],
      [network('{name: another, internal: true}'), front()],
      [network('{external: true, name: demo_front}'), front({ Attachable: true })],
    ],
  },
  'attached-twice': {
    fires: [
      [plus('secrets:\n  - key\n  - source: key\n    target: other', TOP), 5],
      [plus('configs: [{source: page, target: /a}, {source: page, target: /b}]', TOP), 3],
    ],
    silent: [[plus('secrets: [key, other]\nconfigs: [page]', TOP)], [plus('secrets: [key]', TOP)]],
  },
  'job-update-config': {
    fires: [[stack(`${JOB}  update_config: {parallelism: 1}\n`), 7]],
    silent: [[stack(JOB)], [stack(IDEAL)]],
  },
  'expiring-credentials': {
    fires: [[stack(IDEAL), 3, { logins: [AWS] }]],
    silent: [
      [stack(IDEAL), { logins: [{ ...AWS, registry: 'other.example.com' }] }],
      [stack(IDEAL), { logins: [{ ...AWS, registry: '' }] }],
      [stack(IDEAL)],
    ],
  },
};

describe('each rule', () => {
  it('has a case that fires, and one that does not', () => {
    for (const id of RULE_IDS) {
      expect([id, CASES[id].fires.length > 0]).toEqual([id, true]);
      expect([id, CASES[id].silent.length > 0]).toEqual([id, true]);
    }
  });

  it.each(RULE_IDS.map((id) => [id]))('%s', (id) => {
    for (const [file, line, asked] of CASES[id].fires) {
      const found = lintOf([file], asked).filter((finding) => finding.id === id);
      expect([file, found.map((finding) => finding.line)]).toEqual([file, [line]]);
      const service = id === 'network-stays' ? '' : 'api';
      expect(found[0]).toMatchObject({ service, file: 'a.yml', mend: RULES[id].mend });
      expect(lintOf([file], { ...asked, ignore: [id] }).map((other) => other.id)).not.toContain(id);
    }
    for (const [file, asked] of CASES[id].silent)
      expect([file, lintOf([file], asked).filter((finding) => finding.id === id)]).toEqual([
        file,
        [],
      ]);
  });

  it('has a section in docs/lint.md, and no other has', () => {
    const page = readFileSync('docs/lint.md', 'utf8');
    const sections = [...page.matchAll(/^### ([a-z0-9-]+)$/gm)].map((match) => match[1]);
    expect(sections.toSorted()).toEqual([...RULE_IDS].toSorted());
  });
});

describe('files that nothing can be said against', () => {
  it.each([
    ['a service', stack(IDEAL)],
    ['a job', stack(JOB)],
    [
      'a task that ends',
      stack(
        'image: a:1\ndeploy: {restart_policy: {condition: none}, resources: {limits: {memory: 1G}}}',
      ),
    ],
    ['scaled to nothing', stack('image: a:1\nports: [80]\ndeploy: {replicas: 0}')],
    [
      'a database',
      stack(
        IDEAL.replace(
          'replicas: 3',
          'replicas: 1\n  placement: {constraints: [node.hostname == a]}',
        )
          .replace('start-first', 'stop-first')
          .replace('ports:', 'volumes: [data:/data]\nports:'),
        'volumes: {data: {}}',
      ),
    ],
    [
      'a global one',
      stack(
        hostPort(IDEAL).replace('replicas: 3', 'mode: global').replace('start-first', 'stop-first'),
      ),
    ],
  ])('%s', (_, file) => {
    expect(lintOf([file], { engines: ['28.5.1', '20.10.24'] })).toEqual([]);
  });
});

describe('a host port of 0, which Swarm chooses', () => {
  it.each([
    ['0', []],
    ['"0"', []],
    ['8080', ['start-first-host-port']],
  ])('%s', (published, expected) => {
    const file = stack(hostPort(IDEAL).replace('published: 80', `published: ${published}`));
    const ids = lintOf([file], { engines: ['28.5.1'] }).map(({ id }) => id);
    expect(ids.filter((id) => id.includes('host-port')).slice(0, 1)).toEqual(expected);
  });
});

describe('the rules that ask for the swarm', () => {
  it.each(RULE_IDS)('%s finds without them all or nothing', (id) => {
    for (const [file, , asked = {}] of CASES[id].fires) {
      const known = lintOf([file], { engines: ['28.5.1'], ...asked }).filter(
        (each) => each.id === id,
      );
      const blind: Asked = Object.fromEntries(
        Object.entries(asked).filter(([key]) => key !== 'engines' && key !== 'networks'),
      );
      const found = lintOf([file], blind).filter((each) => each.id === id);
      expect(found).toEqual(NEED_NODES.has(id) ? [] : known);
    }
  });

  it('are the other part of all of them', () => {
    const file = plus('sysctls: [net.a=1]\nrestart: always');
    const asked = { engines: ['18.09.0'] };
    const parts = (['files', 'nodes'] as const).map((part) => lintOf([file], { ...asked, part }));
    expect(parts.map((part) => part.map(({ id }) => id))).toEqual([
      ['ignored-restart'],
      ['engine-sysctls'],
    ]);
    expect(lintOf([file], asked)).toHaveLength(2);
  });
});

describe('several files', () => {
  it('are looked over for the services that are deployed', () => {
    const file = `${stack(IDEAL)}  idle:\n    image: a\n`;
    expect(lintOf([file], { deployed: ['api'] })).toEqual([]);
    expect(lintOf([file]).map(({ service }) => service)).toContain('idle');
  });

  it('are judged as one, the last one winning, each finding where it is written', () => {
    const base = 'services:\n  api:\n    image: a\n    container_name: x\n';
    const over = stack(IDEAL);
    expect(lintOf([base, over]).map(({ id, file, line }) => [id, file, line])).toEqual([
      ['ignored-container-name', 'a.yml', 4],
    ]);
    const worse = 'services:\n  api:\n    deploy:\n      update_config:\n        monitor: 1s\n';
    expect(lintOf([over, worse]).map(({ id, file, line }) => [id, file, line])).toEqual([
      ['monitor-too-short', 'b.yml', 5],
    ]);
  });

  it('follow anchors and merge keys to where it is written', () => {
    const file = `x-base: &base\n  privileged: true\n${stack(`<<: *base\n${IDEAL}`)}`;
    expect(lintOf([file]).map(({ id, line }) => [id, line])).toEqual([['ignored-privileged', 2]]);
  });

  it('show what is ignored, and never the values', () => {
    const secret = 'hunter2-hunter2';
    const keys = ['container_name', 'domainname', 'network_mode', 'ipc', 'shm_size', 'pid'];
    const file = stack(
      `${keys.map((each) => `${each}: \${S}`).join('\n')}\nimage: app:\${S}\n` +
        'hostname: "${S}"\ncommand: run ${S}',
    );
    const found = lintOf([file], { variables: { S: secret }, engines: ['18.09.0'] });
    expect(found.length).toBeGreaterThan(keys.length);
    expect(JSON.stringify(found)).not.toContain(secret);
  });
});
