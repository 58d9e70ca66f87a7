/**
 * The `version:` of a stack file. Clients before 23.0 take a file without one for version 1 and
 * refuse it; all of them refuse files of different versions in one deploy.
 */
import { isMap, isScalar } from 'yaml';
import { InvalidInput, type Problem } from '../errors.js';
import type { RenderedFile, RenderedStack } from './render.js';
import { parseRoot, Source } from './source.js';
import { applyEdits, quoted, replaceNode } from './splice.js';
import { Tree } from './tree.js';

/** Where a `version:` would go in a text, and what stands around it there. */
export interface VersionPlace {
  readonly offset: number;
  readonly before: string;
  readonly after: string;
}

/**
 * The newest version that a Docker client without a default takes (docker/cli, cli/compose/schema
 * at each tag), to be given to `withVersion`.
 * @param clientVersion such as `20.10.24`
 * @returns undefined for clients that need no `version:` at all
 */
export function composeVersionFor(clientVersion: string): string | undefined {
  const [major = 0, minor = 0] = clientVersion.split('.').map((part) => Number.parseInt(part, 10));
  if (!(major < 23)) return undefined;
  if (major >= 20) return '3.9';
  if (major >= 19) return '3.8';
  return major === 18 && minor >= 9 ? '3.7' : '3.6';
}

/**
 * The stack for one client: without the keys that it refuses, and with the `version:` that it needs.
 * @param clientVersion such as `20.10.24`
 * @returns with the warnings for what is left out
 * @throws InvalidInput where it refuses what nothing stands in for: some of it only after it has made
 *   networks, configs and secrets
 */
export function forClient(
  stack: RenderedStack,
  clientVersion: string,
): { readonly stack: RenderedStack; readonly warnings: readonly Problem[] } {
  const major = Number.parseInt(clientVersion, 10);
  const [first, ...more] = (stack.demands ?? [])
    .filter(({ since }) => major < since)
    .map(({ since, message, ...problem }) => ({
      ...problem,
      message: `${message} needs a Docker client of ${since}.0 or newer, and the manager's is ${clientVersion}`,
    }));
  if (first !== undefined) throw new InvalidInput([first, ...more]);
  const files = stack.files.map(({ older = [], ...file }) => {
    const fitting = older.find(({ before }) => major < before);
    return fitting === undefined
      ? file
      : { ...file, text: fitting.text, versionAt: fitting.versionAt };
  });
  return {
    stack: inNewestVersion({ ...stack, files } as RenderedStack, clientVersion),
    warnings: stack.newer.filter(({ since }) => major < since),
  };
}

/**
 * The files in the newest version that a client knows. Each only adds to the one before, and nothing is
 * done otherwise by it (docker/cli, cli/compose/schema/data and loader.go, 20.10 to 28.5); a client refuses
 * the keys that came after the version of the file, and a version that came after the client.
 * @param clientVersion such as `20.10.24`
 */
export function inNewestVersion<Stack extends RenderedStack>(
  stack: Stack,
  clientVersion: string,
): Stack {
  const known = composeVersionFor(clientVersion);
  const { composeVersion } = stack;
  if (composeVersion === undefined) return known === undefined ? stack : withVersion(stack, known);
  // From 23.0 on, that is the newest one of the client.
  const newest = known ?? '3';
  if (composeVersion === newest) return stack;
  const files = stack.files.map((file) => rewritten(file, newest));
  return { ...stack, composeVersion: newest, files };
}

function rewritten(file: RenderedFile, version: string): RenderedFile {
  const source = new Source(file.name, file.text);
  const root = parseRoot(source);
  if (!isMap(root)) throw new TypeError(`${file.name} was rendered into something unreadable`);
  const written = new Tree(source, root).entries(root).get('version')?.value;
  if (!isScalar(written)) return file;
  return { ...file, text: applyEdits(file.text, replaceNode(source, written, quoted(version))) };
}

/** Adds `version: "..."` to each file that has none; unchanged where all have one. */
export function withVersion<Stack extends RenderedStack>(stack: Stack, version: string): Stack {
  if (stack.files.every((file) => file.versionAt === undefined)) return stack;
  return {
    ...stack,
    composeVersion: stack.composeVersion ?? version,
    files: stack.files.map(({ versionAt, ...file }) => {
      if (versionAt === undefined) return file;
      return { ...file, text: insertVersion(file.text, versionAt, version) };
    }),
  };
}

/** Writes a `version:` into a rendered text. */
export function insertVersion(
  text: string,
  { offset, before, after }: VersionPlace,
  version: string,
): string {
  const key = before === '"' ? '"version"' : `${before}version`;
  return `${text.slice(0, offset)}${key}: "${version}"${after}${text.slice(offset)}`;
}
