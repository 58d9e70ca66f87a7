/** A stack file that gives each service the very image that it ran, whatever its tag means by now. */
import { stringify } from 'yaml';
import { imageOf, type ServiceSpec } from '../model.js';

/**
 * To be given to `docker stack deploy` after the files of a revision.
 * @param services with their full names, as they ran
 * @param version the `version:` of the files, which all files of a stack must share
 */
export function pinnedFile(
  stack: string,
  services: readonly { readonly name: string; readonly spec: ServiceSpec }[],
  version: string | undefined,
): string {
  const prefix = `${stack}_`;
  const images = services.map(({ name, spec }) => [
    name.startsWith(prefix) ? name.slice(prefix.length) : name,
    { image: imageOf(spec).replaceAll('$', '$$$$') },
  ]);
  return stringify({
    ...(version === undefined ? {} : { version }),
    services: Object.fromEntries(images) as object,
  });
}
