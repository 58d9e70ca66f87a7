/** Which stack file is meant when the `compose-file` input names none. */

/** In the order in which they are looked for. */
export const COMPOSE_FILE_NAMES = [
  'docker-stack.yml',
  'docker-stack.yaml',
  'compose.yaml',
  'compose.yml',
  'docker-compose.yaml',
  'docker-compose.yml',
] as const;

/** The first of the known names that exists. */
export function discoverComposeFile(exists: (name: string) => boolean): string | undefined {
  return COMPOSE_FILE_NAMES.find((name) => exists(name));
}
