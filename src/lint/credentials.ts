/** Registry logins that end before a node needs them again. */

/** Of a login what the lint may know; the password itself never gets here. */
export interface LintLogin {
  /** Host; '' is Docker Hub. */
  readonly registry: string;
  /** What it is that expires, for people. */
  readonly expires: string;
}

/**
 * What is known to expire of a login, by the forms that the registries document.
 * @returns for people, undefined where nothing is known to expire
 */
export function expiry(
  registry: string,
  username: string,
  passwordStartsWith: (prefix: string) => boolean,
): string | undefined {
  if (passwordStartsWith('ghs_')) return 'a token of this workflow, which ends with the job';
  if (username === 'AWS' && /(?:^|\.)ecr[.-]|^public\.ecr\.aws$/.test(registry))
    return 'a password of Amazon ECR, which ends after 12 hours';
  if (username === 'oauth2accesstoken' || username === '_dcgcloud_token')
    return 'an access token of Google, which ends after an hour';
  if (username === '00000000-0000-0000-0000-000000000000')
    return 'an access token of Azure, which ends after 3 hours';
  return undefined;
}

/** The host of an image; '' for Docker Hub, as in the inputs. */
export function registryOf(image: string): string {
  const [first = '', ...rest] = image.split('/');
  // The rule of distribution/reference: anything else is a path on Docker Hub.
  const isHost = rest.length > 0 && /[.:]|^localhost$/.test(first);
  if (!isHost || /^(?:index\.)?docker\.io$/.test(first)) return '';
  return first;
}
