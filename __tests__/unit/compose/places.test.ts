import { describe, expect, it } from '@jest/globals';
import { placeOf, shortName, type Places } from '../../../src/compose/places.js';
import { renderStack } from '../../../src/compose/render.js';
import { REASONS, type Reason } from '../../../src/errors.js';

function placesOf(...files: readonly string[]): Places {
  const { places } = renderStack({
    files: files.map((text, index) => ({ path: `${'abc'[index]!}.yml`, text: Buffer.from(text) })),
    ...{ stack: 'shop', variables: new Map([['TAG', '2']]), allowUnset: false },
    ...{ workingDirectory: '/nowhere', home: undefined, readFile: () => Buffer.from('x') },
  });
  return places!;
}

const FULL = `services:
  api:
    image: api:\${TAG}
    command: [serve]
    entrypoint: [/run]
    healthcheck:
      test: [CMD, check]
      interval: 2s
    networks: [front]
    ports:
      - "8080:80"
      - target: 443
        published: 8443
    volumes:
      - data:/data
      - /srv/files:/files
    deploy:
      replicas: 3
      placement:
        constraints: [node.labels.disk == ssd]
        max_replicas_per_node: 1
      resources:
        limits: { memory: 64M }
        reservations: { memory: 32M }
      update_config:
        order: start-first
        failure_action: pause
  bare:
    image: bare
networks: { front: {} }
volumes: { data: {} }
`;
const places = placesOf(FULL);
const lineOf = (reason: Reason, words?: string, service = 'api'): string | undefined => {
  const line = placeOf(places, service, reason, words)?.line;
  return line === undefined ? undefined : FULL.split('\n')[line - 1]!.trim();
};

describe('the place of a failure', () => {
  it.each<[Reason, string, string]>([
    ['image-not-found', 'No such image: api:2', 'image: api:${TAG}'],
    ['registry-auth', '', 'image: api:${TAG}'],
    ['exec-format', '', 'image: api:${TAG}'],
    ['unhealthy', 'unhealthy container', 'test: [CMD, check]'],
    ['command-not-found', '', 'entrypoint: [/run]'],
    ['crash-loop', 'task: non-zero exit (1)', 'command: [serve]'],
    ['out-of-memory', '', 'limits: { memory: 64M }'],
    ['unschedulable', '', 'constraints: [node.labels.disk == ssd]'],
    [
      'unschedulable',
      'no suitable node (scheduling constraints not satisfied on 3 nodes)',
      'constraints: [node.labels.disk == ssd]',
    ],
    [
      'unschedulable',
      'no suitable node (max replicas per node limit exceed)',
      'max_replicas_per_node: 1',
    ],
    [
      'unschedulable',
      'no suitable node (insufficient resources on 3 nodes)',
      'reservations: { memory: 32M }',
    ],
    ['unschedulable', 'no suitable node (host-mode port already in use on 3 nodes)', 'ports:'],
    [
      'mount-invalid',
      'invalid mount config for type "bind": bind source path does not exist: /srv/files',
      '- /srv/files:/files',
    ],
    ['mount-invalid', 'something else', 'volumes:'],
    ['port-in-use', 'Bind for 0.0.0.0:8443 failed: port is already allocated', '- target: 443'],
    [
      'port-in-use',
      'failed to bind host port for 0.0.0.0:8443:172.17.0.2:80/tcp: address already in use',
      '- target: 443',
    ],
    ['host-port-deadlock', '', 'order: start-first'],
    ['update-paused', '', 'failure_action: pause'],
    ['network-unavailable', '', 'networks: [front]'],
    ['timeout', '', 'api:'],
  ])('%s (%s) is at "%s"', (reason, words, line) => {
    expect(lineOf(reason, words)).toBe(line);
  });

  it('is the service or its image where nothing nearer is written, whatever the reason', () => {
    for (const reason of REASONS)
      expect(['bare:', 'image: bare']).toContain(lineOf(reason, '', 'bare'));
    expect(lineOf('unhealthy', '', 'bare')).toBe('image: bare');
    expect(lineOf('unschedulable', '', 'bare')).toBe('bare:');
  });

  it('is in the file that has the last word', () => {
    const both = placesOf(FULL, 'services:\n  api:\n    image: other\n');
    expect(placeOf(both, 'api', 'image-not-found')).toMatchObject({ file: 'b.yml', line: 3 });
    expect(placeOf(both, 'api', 'unhealthy')).toMatchObject({ file: 'a.yml', line: 7 });
  });

  it('is nowhere where the files have no such service, or are not known', () => {
    expect(placeOf(places, 'web', 'timeout')).toBeUndefined();
    expect(placeOf(undefined, 'api', 'timeout')).toBeUndefined();
  });
});

it('names services as the files do', () => {
  expect(shortName('shop', 'shop_api')).toBe('api');
  expect(shortName('shop', 'shop_shop_api')).toBe('shop_api');
  expect(shortName('shop', 'other')).toBe('other');
});
