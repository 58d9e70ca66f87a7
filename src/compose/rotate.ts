/**
 * Configs and secrets that change. Swarm never changes the content of one that exists, so each gets a
 * name that its content decides: new content is a new object, which the services refer to, and the same
 * content is the same object, so that nothing restarts.
 *
 * The names stand in a stack file of their own, given to Docker after all others: of a config or secret
 * that several files define, its client takes the definition in the last one as a whole (docker/cli,
 * cli/compose/loader/merge.go). What the user wrote stays as it is, anchors and merge keys included.
 */
import { createHash, createHmac } from 'node:crypto';
import { isMap, isScalar, isSeq, type Node } from 'yaml';
import type { Position } from '../errors.js';
import { at, type Json } from '../model.js';
import { interpolate } from './interpolate.js';
import { ATTACHMENTS_DIRECTORY, type RenderedFile, type RenderedStack } from './render.js';
import { parseRoot, Source } from './source.js';
import { quoted, rendered } from './splice.js';
import { Tree, type Entry } from './tree.js';

export type ObjectKind = 'config' | 'secret';

/** A config or secret whose content the files bring. */
export interface FileObject {
  readonly kind: ObjectKind;
  /** What the services of the file call it by. */
  readonly key: string;
  /** The `name:` that the files give it. */
  readonly ownName: string | undefined;
  readonly content: Buffer;
  /** The file of the content as it stands in the stack file. */
  readonly origin: string;
  /** In the user's own file. */
  readonly position: Position | undefined;
  /** What is written there, and what aliases in it stand for. */
  readonly entries: ReadonlyMap<string, Entry>;
  readonly tree: Tree;
}

/** On a config or secret that was named by its content: its key in the files. */
export const ROTATED_LABEL = 'swarm-deploy.rotated';
/** Whether a config or secret was named by its content, and so is this action's to remove. */
export const isRotated = ({ labels }: { readonly labels?: Json }): boolean =>
  at(labels, ROTATED_LABEL) !== undefined;
/** On a secret with a name of the user's own, since the swarm shows no content: see `contentMark`. */
export const CONTENT_LABEL = 'swarm-deploy.content';

/** What the engine allows for a name (swarmkit, manager/controlapi/common.go). */
const LONGEST_NAME = 64;
const HASH_DIGITS = 12;
const SECTIONS = { configs: 'config', secrets: 'secret' } as const;

/**
 * `STACK_KEY-HASH`, cut in front of the hash where it would be too long; the hash is of stack and key,
 * too, so that no two of them share a name.
 * @param secretKey only who has it can tell what a hash is of; undefined for what is no secret
 * @param driver its `template_driver`, which decides what a task sees of the content; the engine never
 *   changes that of an object that exists, and does not say so
 */
export function rotatedName(
  stack: string,
  key: string,
  content: Uint8Array,
  secretKey?: Buffer,
  driver?: string,
): string {
  const hash = secretKey === undefined ? createHash('sha256') : createHmac('sha256', secretKey);
  // No name of a stack starts like that.
  if (driver !== undefined) hash.update(`\0${driver}\0`);
  const digits = hash
    .update(`${stack}\0${key}\0`)
    .update(content)
    .digest('hex')
    .slice(0, HASH_DIGITS);
  return `${`${stack}_${key}`.slice(0, LONGEST_NAME - HASH_DIGITS - 1)}-${digits}`;
}

/** What tells whether a secret of this name still has the same content, to who has the key. */
export function contentMark(name: string, content: Uint8Array, secretKey: Buffer): string {
  const mac = createHmac('sha256', secretKey).update(`${name}\0`).update(content).digest('hex');
  return `${keyMark(secretKey)}.${mac.slice(0, 2 * HASH_DIGITS)}`;
}

/** A mark that was made with another key, since lost, says nothing. */
export const isMarkOf = (mark: string, secretKey: Buffer): boolean =>
  mark.startsWith(`${keyMark(secretKey)}.`);

const keyMark = (secretKey: Buffer): string =>
  createHash('sha256').update(secretKey).digest('hex').slice(0, 8);

/** Those that get their name from their content. */
export const rotates = ({ ownName }: FileObject): boolean => ownName === undefined;

export interface RotateSettings {
  readonly stack: string;
  /** Random, and the same for every deploy of this stack; needed where there are secrets. */
  readonly secretKey: Buffer | undefined;
}

export interface RotatedStack extends RenderedStack {
  /** What is named by its content: the names by `config KEY` and `secret KEY`. */
  readonly objectNames: ReadonlyMap<string, string>;
}

/**
 * Names every config and secret whose content the files bring by that content, but for those with a
 * `name:` of the user's own.
 * @param objects what `fileObjects` found in it
 */
export function rotateStack(
  stack: RenderedStack,
  objects: readonly FileObject[],
  settings: RotateSettings,
): RotatedStack {
  const { secretKey } = settings;
  const objectNames = new Map<string, string>();
  const lines: Record<ObjectKind, string[]> = { config: [], secret: [] };
  for (const { kind, key, content, ownName, entries, tree } of objects) {
    if (kind === 'secret' && secretKey === undefined) throw new TypeError('secrets without a key');
    const keyFor = kind === 'secret' ? secretKey : undefined;
    if (ownName !== undefined && keyFor === undefined) continue;
    const driver = valueOf(entries.get('template_driver')) || undefined;
    const name = ownName ?? rotatedName(settings.stack, key, content, keyFor, driver);
    if (ownName === undefined) objectNames.set(`${kind} ${key}`, name);
    const label: readonly [string, string] =
      ownName === undefined || keyFor === undefined
        ? [ROTATED_LABEL, key]
        : [CONTENT_LABEL, contentMark(ownName, content, keyFor)];
    const others = [...entries.values()].filter(
      ({ name: each, value }) =>
        isScalar(value) && !['name', 'labels', 'external'].includes(each) && !each.startsWith('x-'),
    );
    lines[kind].push(
      `  ${quoted(key)}:`,
      `    name: ${rendered(name)}`,
      ...others.map((entry) => `    ${quoted(entry.name)}: ${scalarText(entry.value)}`),
      ...labelLines(tree, entries.get('labels'), label),
    );
  }
  const text = (['config', 'secret'] as const)
    .filter((kind) => lines[kind].length > 0)
    .flatMap((kind) => [`${kind}s:`, ...lines[kind], ''])
    .join('\n');
  if (text === '') return { ...stack, objectNames };
  const { files, composeVersion } = stack;
  const file = { name: `${files.length}-names.yml`, origin: '' };
  const last: RenderedFile =
    composeVersion === undefined
      ? { ...file, text, versionAt: { offset: 0, before: '', after: '\n' } }
      : { ...file, text: `version: ${quoted(composeVersion)}\n${text}` };
  return { ...stack, files: [...files, last], objectNames };
}

/**
 * The configs and secrets whose content the files bring, each as the last file defines it; external
 * ones are not among them.
 */
export function fileObjects({
  files,
  attachments,
  configs,
  secrets,
  objectPositions,
}: RenderedStack): readonly FileObject[] {
  if (configs.length + secrets.length === 0) return [];
  const found = new Map<string, FileObject | undefined>();
  for (const { tree } of files.map(readBack))
    for (const section of ['configs', 'secrets'] as const)
      for (const { name: key, value } of tree.entries(tree.get(tree.root, section)).values()) {
        const entries = tree.entries(value);
        const path = valueOf(entries.get('file')) ?? '';
        const attachment = attachments.find(
          ({ name }) => path === `./${ATTACHMENTS_DIRECTORY}/${name}`,
        );
        const place = `${section}.${key}`;
        // A later definition takes the place of an earlier one as a whole. One without content of the
        // files is external, or a driver's.
        found.set(
          place,
          attachment === undefined
            ? undefined
            : {
                kind: SECTIONS[section],
                key,
                ownName: valueOf(entries.get('name')) || undefined,
                content: attachment.content,
                origin: attachment.origin,
                position: objectPositions.get(place),
                entries,
                tree,
              },
        );
      }
  return [...found.values()].filter((each) => each !== undefined);
}

interface ReadBack {
  readonly source: Source;
  readonly tree: Tree;
}

/** What was rendered is read as Docker will read it, wherever it came from. */
function readBack({ name, text }: RenderedFile): ReadBack {
  const source = new Source(name, text);
  const root = parseRoot(source);
  if (!isMap(root)) throw new TypeError(`${name} was rendered into something unreadable`);
  return { source, tree: new Tree(source, root) };
}

/** What Docker will take a rendered scalar for; undefined for anything else. */
const valueOf = (entry: Entry | undefined): string | undefined =>
  isScalar(entry?.value) ? interpolate(String(entry.value.value), new Map()).value : undefined;

/** A scalar as one line that Docker reads the same from. */
function scalarText(node: Node | null): string {
  if (!isScalar(node)) return '';
  const text = String(node.value);
  return node.type === 'PLAIN' && node.tag === undefined ? text : quoted(text);
}

function labelLines(
  tree: Tree,
  labels: Entry | undefined,
  [name, text]: readonly [string, string],
): readonly string[] {
  if (isSeq(labels?.value)) {
    const items = tree.items(labels.value).map((item) => scalarText(tree.resolve(item)));
    return [...items, quoted(`${name}=${text}`)].reduce<string[]>(
      (lines, item) => [...lines, `      - ${item}`],
      ['    labels:'],
    );
  }
  const entries = [...tree.entries(labels?.value).values()].filter((each) => each.name !== name);
  return [
    '    labels:',
    ...entries.map((each) => `      ${quoted(each.name)}: ${scalarText(each.value)}`),
    `      ${name}: ${quoted(text)}`,
  ];
}
