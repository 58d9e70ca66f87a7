/** What the swarm would refuse in a service, after networks, configs and secrets of the stack were made. */
import { describe, expect, it } from '@jest/globals';
import { renderStack } from '../../../src/compose/render.js';
import { InvalidInput, type Problem } from '../../../src/errors.js';

function problems(texts: readonly string[], stack = 'shop'): readonly Problem[] {
  try {
    renderStack({
      files: texts.map((text, index) => ({
        path: `${'abc'[index]!}.yml`,
        text: Buffer.from(text),
      })),
      ...{
        stack,
        variables: new Map([
          ['BRANCH', 'feature/x'],
          ['NONE', ''],
        ]),
        allowUnset: false,
      },
      ...{ workingDirectory: '/nowhere', home: undefined, readFile: () => Buffer.from('x') },
    });
  } catch (error) {
    if (!(error instanceof InvalidInput)) throw error;
    return error.problems;
  }
  return [];
}

const TOP =
  'volumes: {vv: {}, w: {}}\nconfigs: {c: {external: true}, d: {external: true}}\nsecrets: {s: {external: true}, t: {external: true}}\n';
/** A service of lines in a file of its own, and what stands beside it. */
const web = (lines: string, rest = ''): string =>
  `services:\n  web:\n    image: w:1\n    ${lines}\n${rest}${TOP}`;
const image = (name: string): string => `services:\n  web:\n    image: ${name}\n`;
const other = (lines: string): string => `  other:\n    image: o:1\n    ${lines}\n`;

describe('what the swarm refuses', () => {
  it.each<[string, string]>([
    [
      image('ghcr.io/MyOrg/app:1'),
      '3:5: service web: `image` ghcr.io/MyOrg/app:1 has capital letters',
    ],
    [
      image('app:${BRANCH}'),
      '3:5: service web: `image` app:feature/x has a tag that is none: feature/x',
    ],
    [image('"app:${NONE}"'), '3:5: service web: `image` app: has a tag that is none: nothing'],
    [image('"${NONE}"'), '3:5: service web: `image` is empty'],
    [image('"${NONE}/app:1"'), '3:5: service web: `image` /app:1 is no image'],
    [image('https://ghcr.io/a/b'), '3:5: service web: `image` https://ghcr.io/a/b is no image'],
    [image('a b'), '3:5: service web: `image` a b is no image'],
    [
      web('ports: [{published: 80}]'),
      '4:13: service web: a port without a `target`, the port of the container',
    ],
    [web('volumes: [data]'), '4:15: service web: the mount is at data, which is no absolute path'],
    [web('volumes: ["vv:data"]'), '4:15: service web: the mount is at data, which is no absolute'],
    [
      web('volumes: [{type: volume, source: vv, target: ./data}]'),
      '4:15: service web: the mount is at ./data, which is no absolute path',
    ],
    [
      web('networks: [back]', 'networks: {back: {driver: bridge}}\n'),
      '5:19: service web: the network back: a service needs one that spans the nodes, and bridge is of one node',
    ],
    [
      web('init: true', 'networks: {default: {driver: macvlan}}\n'),
      '5:22: service web: the network default: a service needs one that spans the nodes',
    ],
    [image('app@sha256:abc'), '3:5: service web: `image` app@sha256:abc is no image'],
    ['services:\n  my.app: {image: w}\n', '2:3: service my.app: a service is named by letters'],
    ['services:\n  web-: {image: w}\n', '2:3: service web-: a service is named by letters'],
    [
      `services:\n  ${'w'.repeat(59)}: {image: w}\n`,
      `2:3: service ${'w'.repeat(59)}: with the stack in front`,
    ],
    [
      web('ports: [{target: 80, mode: hots}]'),
      '4:26: service web: `ports.mode` takes ingress or host',
    ],
    [
      web('ports: [{target: 80, protocol: upd}]'),
      '4:26: service web: `ports.protocol` takes tcp or udp or sctp',
    ],
    [
      web('networks: [my.net]', 'networks: {my.net: {}}\n'),
      '5:12: service web: the network shop_my.net: the swarm names it by letters, digits, and - and _',
    ],
    [
      web('networks: {n: {}}', 'networks: {n: {name: "a b"}}\n'),
      '5:16: service web: the network a b: the swarm names it by letters, digits, and - and _',
    ],
    [
      web('ports: ["80:80", {target: 81, published: 80}]'),
      '4:22: service web: port 80/tcp is published already, by the same service in line 4',
    ],
    [
      web('ports: ["80:80"]', other('ports: ["79-81:1-3"]')),
      '7:13: service other: port 80/tcp is published already, by web in line 4',
    ],
    [
      web('ports: ["80:80"]', other('ports: [{target: 1, published: 80, mode: host}]')),
      '7:13: service other: port 80/tcp is published already, by web in line 4',
    ],
    [
      web('deploy: {endpoint_mode: dnsrr}\n    ports: ["80:80"]'),
      '5:13: service web: a port in mode ingress does not go with `deploy.endpoint_mode: dnsrr`',
    ],
    [
      web('deploy: {resources: {limits: {memory: 512}}}'),
      '4:35: service web: 512 bytes of memory are less than the 4 MiB',
    ],
    [web('mem_limit: 2m'), '4:5: service web: 2097152 bytes of memory are less than the 4 MiB'],
    [
      web('deploy: {resources: {reservations: {cpus: "0.0005"}}}'),
      '4:41: service web: the swarm takes no less than 0.001 CPUs',
    ],
    [
      web('deploy: {update_config: {max_failure_ratio: 20}}'),
      '4:30: service web: `max_failure_ratio` is a share from 0 to 1',
    ],
    [
      web('deploy: {restart_policy: {delay: -5s}}'),
      '4:31: service web: `deploy.restart_policy.delay` is negative',
    ],
    [
      web('volumes: ["vv:/data", {type: volume, source: w, target: /data}]'),
      '4:27: service web: there is a mount at /data already, in line 4',
    ],
    [
      web('secrets: [s, {source: t, target: s}]'),
      '4:18: service web: the secrets s and t both go to s',
    ],
    [
      web('configs: [{source: c, target: /x}, {source: d, target: /x}]'),
      '4:40: service web: the configs c and d both go to /x',
    ],
  ])('is told at its line: %j', (text, expected) => {
    const found = problems([text]);
    expect(found.map(({ message }) => message)).toEqual([
      expect.stringContaining(`a.yml:${expected}`),
    ]);
    expect(found[0]?.hint).toBeDefined();
    expect(found[0]?.excerpt).toContain('^');
  });

  it.each<[string, ...string[]]>([
    [image('w')],
    [image('registry.example.com:5000/team/app:1.2_a-B')],
    [image('localhost/app')],
    [image('"[::1]:5000/app:1"')],
    [image('MyOrg/app')], // a host, for Docker
    [image('a__b/c--d/e.f')],
    [image(`app:1@sha256:${'a1'.repeat(32)}`)],
    ['services:\n  my_web-1: {image: w}\n'],
    [web('ports: ["53:53", "53:53/udp", "80", 80-82, {target: 80, mode: HOST, protocol: TCP}]')],
    [web('ports: ["53:53"]', other('ports: ["53:53/udp"]'))],
    [
      web(
        'ports: [{target: 1, published: 80, mode: host}]',
        other('ports: [{target: 1, published: 80, mode: host}]'),
      ),
    ],
    [web('deploy: {endpoint_mode: dnsrr}\n    ports: [{target: 1, published: 80, mode: host}]')],
    [web('deploy: {resources: {limits: {memory: 4m, cpus: "0.001"}, reservations: {memory: 0}}}')],
    [web('deploy: {update_config: {max_failure_ratio: 1, delay: 0s}}')],
    [
      web(
        'networks: [a.b, c.d, net_-1]',
        'networks: {a.b: {external: true}, c.d: {driver: weaveworks/net-plugin:2}, net_-1: {}}\n',
      ),
    ],
    [web('volumes: [/anon, "vv:/x", {type: volume, target: "{{.Service.Name}}"}]')],
    [web('init: true', 'networks: {unused: {driver: bridge}}\n')],
    [web('networks: [host]', 'networks: {host: {external: true, driver: host}}\n')],
    [web('volumes: ["C:\\\\a:C:\\\\b", "C:\\\\a:D:\\\\b"]')],
    // Docker's merge keeps one of each.
    [web('volumes: ["vv:/data"]'), web('volumes: ["vv:/data:ro"]')],
    [web('ports: ["80:80"]'), web('ports: ["80:81"]')],
    [web('secrets: [s]'), web('secrets: [{source: s, target: s}]')],
  ])('is not what it takes: %j', (...texts) => {
    expect(problems(texts).map(({ message }) => message)).toEqual([]);
  });
});
