import { expect, it } from '@jest/globals';
import { authConfig, authFor, configFile, type AuthConfig } from '../../../src/docker/registry.js';
import type { RegistryLogin } from '../../../src/inputs.js';
import { Secret } from '../../../src/secret.js';

const login = (registry: string, password = 'pass'): RegistryLogin => ({
  ...{ registry, username: 'ci' },
  password: new Secret(password),
});
const decoded = (text: string): string => Buffer.from(text, 'base64').toString('utf8');

it('a login is known to Docker by the host, and Docker Hub by its address of old', () => {
  expect(authConfig(login('ghcr.io'))).toEqual({
    ...{ username: 'ci', password: 'pass', serveraddress: 'ghcr.io' },
  });
  expect(authConfig(login('')).serveraddress).toBe('https://index.docker.io/v1/');
});

it('the configuration holds the passwords as Docker does, colons and all', () => {
  const file = JSON.parse(
    configFile([
      { login: login('ghcr.io', 'a:b é'), identityToken: '' },
      { login: login(''), identityToken: '' },
    ]),
  ) as { auths: Record<string, { auth: string }> };
  expect(Object.keys(file)).toEqual(['auths']);
  expect(Object.entries(file.auths).map(([key, { auth }]) => [key, decoded(auth)])).toEqual([
    ['ghcr.io', 'ci:a:b é'],
    ['https://index.docker.io/v1/', 'ci:pass'],
  ]);
});

it('a token takes the place of the password', () => {
  const file = configFile([{ login: login('r.example.com'), identityToken: 'token' }]);
  expect(JSON.parse(file)).toEqual({
    auths: {
      'r.example.com': {
        auth: Buffer.from('ci:').toString('base64'),
        identitytoken: 'token',
      },
    },
  });
});

it.each([
  ['nginx', 'https://index.docker.io/v1/'],
  ['docker.io/org/api:v1', 'https://index.docker.io/v1/'],
  ['org/api@sha256:0', 'https://index.docker.io/v1/'],
  ['ghcr.io/org/api', 'ghcr.io'],
  ['localhost/api', undefined],
  ['ghcr.io.example.com/api', undefined],
])('%s is pulled with the login of %s', (image, address) => {
  const header = authFor([login(''), login('ghcr.io')], image);
  const sent = JSON.parse(header === undefined ? '{}' : decoded(header)) as AuthConfig;
  expect(sent.serveraddress).toBe(address);
});

it('the header is URL-safe and padded', () => {
  const header = authFor([login('', '???>>>~~~')], 'nginx');
  expect(header).toMatch(/^[\w-]+=*$/);
  expect((header?.length ?? 0) % 4).toBe(0);
});
