/** Registry logins in the forms in which Docker takes them. */
import type { RegistryLogin } from '../inputs.js';

/** Docker Hub's name where logins are kept (docker/cli, registry.IndexServer). */
const HUB = 'https://index.docker.io/v1/';
const HUB_HOSTS = new Set(['', 'docker.io', 'index.docker.io']);

/** A login that a registry has accepted. */
export interface AcceptedLogin {
  readonly login: RegistryLogin;
  /** What the registry wants to see from now on in place of the password; '' where it said nothing. */
  readonly identityToken: string;
}

/** What `POST /auth` takes, and the header `X-Registry-Auth` after it. */
export interface AuthConfig {
  readonly username: string;
  readonly password: string;
  readonly serveraddress: string;
}

/** For people. */
export const registryName = ({ registry }: RegistryLogin): string =>
  registry === '' ? 'Docker Hub' : registry;

export const authConfig = ({ registry, username, password }: RegistryLogin): AuthConfig => ({
  username,
  password: password.reveal(),
  serveraddress: registry === '' ? HUB : registry,
});

/**
 * The `config.json` that `docker login` would leave behind. A login kept there also stops the CLI from
 * looking for a credential helper on the manager (docker/cli, DetectDefaultStore), which `docker login`
 * would hand the password to.
 */
export function configFile(accepted: readonly AcceptedLogin[]): string {
  const auths = accepted.map(({ login, identityToken }) => {
    const { username, password, serveraddress } = authConfig(login);
    // One that has a token is kept without its password.
    const auth = Buffer.from(`${username}:${identityToken === '' ? password : ''}`);
    return [
      serveraddress,
      {
        auth: auth.toString('base64'),
        ...(identityToken !== '' && { identitytoken: identityToken }),
      },
    ];
  });
  return JSON.stringify({ auths: Object.fromEntries(auths) as unknown });
}

/** Credentials for the registry of an image, as in the header `X-Registry-Auth`. */
export function authFor(logins: readonly RegistryLogin[], image: string): string | undefined {
  const [host = ''] = image.split('/');
  // The rule of distribution/reference: anything else is a path on Docker Hub.
  const registry = image.includes('/') && /[.:]|^localhost$/.test(host) ? host : '';
  const login = logins.find(
    (each) =>
      each.registry === registry || (HUB_HOSTS.has(each.registry) && HUB_HOSTS.has(registry)),
  );
  if (login === undefined) return undefined;
  // URL-safe and padded: without the padding the engine takes it for no credentials (tried, 28.5).
  return Buffer.from(JSON.stringify(authConfig(login)))
    .toString('base64')
    .replaceAll('+', '-')
    .replaceAll('/', '_');
}
