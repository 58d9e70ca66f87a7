/**
 * Files that a stack refers to (`env_file`, configs, secrets): read on the runner, carried along
 * under a name of their own, each once.
 */
import { basename, isAbsolute, join, resolve } from 'node:path';
import type { Position, Problem } from '../errors.js';
import { renderDotenv, renderEnvFile, type RenderedEnvFile } from './env-file.js';
import type { Variables } from './interpolate.js';
import { problemAt } from './source.js';
import { parseDotenv } from './variables.js';

/** What reading a file gives; the reader tells apart what a message must tell apart. */
export type FileContent = Buffer | 'missing' | 'not-a-file' | { readonly error: string };

/** Where files are looked for, and what their variables are. */
export interface FileAccess {
  readonly variables: Variables;
  /** Absolute directory of the first stack file: what relative paths in all of them refer to. */
  readonly workingDirectory: string;
  /** What `~` stands for. */
  readonly home: string | undefined;
  readonly readFile: (absolutePath: string) => FileContent;
}

/** Where attachments are written, inside of the directory that the rendered files are written to. */
export const ATTACHMENTS_DIRECTORY = 'attachments';

export interface Attachment {
  /** In the attachments directory. */
  readonly name: string;
  readonly content: Buffer;
  /** The path as it stands in the stack file. */
  readonly origin: string;
  /** Whether it is the content of a Docker secret, which is written nowhere else. */
  secret: boolean;
}

/** Upper limits, exclusive; swarmkit, api/validation/secrets.go and manager/controlapi/config.go. */
const OBJECT_LIMITS = { configs: 1000 * 1024, secrets: 500 * 1024 } as const;

export interface EnvFileOptions {
  /** It may be missing. */
  readonly optional?: boolean;
  /** Read as Docker Compose reads it: quotes, escapes, variables. */
  readonly dotenv?: boolean;
  /** Meant to be read line by line. */
  readonly raw?: boolean;
}

function wrongSize(content: Buffer, role: keyof typeof OBJECT_LIMITS): string | undefined {
  const limit = OBJECT_LIMITS[role];
  if (content.length === 0) return 'is empty, which Swarm refuses';
  if (content.length < limit) return undefined;
  return `has ${content.length} bytes; Swarm takes less than ${limit}`;
}

/** The files that the stack refers to, each once. */
export class Attachments {
  readonly list: Attachment[] = [];
  /** Variables that env files leave empty. */
  readonly empty: string[] = [];
  /** What in env files is likely to be meant otherwise. */
  readonly warnings: Problem[] = [];
  readonly #known = new Map<string, string | readonly Problem[]>();
  /** What env files set, by what stands for them in the rendered text. */
  readonly #variables = new Map<string, Pick<RenderedEnvFile, 'names' | 'broken'>>();

  constructor(readonly access: FileAccess) {}

  /** The path on the runner that a path in a stack file means. */
  absolute(path: string): string {
    const { home, workingDirectory } = this.access;
    if (home !== undefined && /^~(?:$|\/)/.test(path)) return join(home, path.slice(1));
    return resolve(workingDirectory, path);
  }

  /**
   * Attaches a file and gives what stands for its path in the rendered text, or why it can't be.
   * @param what for messages: `config app`
   */
  add(
    path: string,
    what: string,
    role: 'env_file' | 'configs' | 'secrets',
    at: Position,
    { optional = false, dotenv = false, raw = false }: EnvFileOptions = {},
  ): string | undefined | readonly Problem[] {
    const content = this.read(path, what, at);
    if (content === 'missing' && optional) return undefined;
    if (content === 'missing') return [this.#unreadable(path, what, at, content)];
    if (!Buffer.isBuffer(content)) return content;
    if (role !== 'env_file') {
      const wrong = wrongSize(content, role);
      if (wrong !== undefined) return [problemAt(at, `${what}: the file ${path} ${wrong}`)];
    }
    const absolute = this.absolute(path);
    const key = `${role === 'env_file' ? (dotenv ? 'dotenv' : 'env') : 'raw'}:${absolute}`;
    const known = this.#known.get(key);
    if (known !== undefined) {
      const same = this.list.find(({ name }) => known === `./${ATTACHMENTS_DIRECTORY}/${name}`);
      if (same !== undefined && role === 'secrets') same.secret = true;
      return known;
    }
    if (role !== 'env_file') return this.#attach(key, path, content, role === 'secrets');
    const render = dotenv ? renderDotenv : renderEnvFile;
    const file = render({ path, text: content }, this.access.variables);
    if (file.problems.length > 0) {
      // Reported where the file is first used.
      this.#known.set(key, []);
      return file.problems;
    }
    this.empty.push(...file.empty);
    if (!raw) this.warnings.push(...file.warnings);
    const reference = this.#attach(key, path, file.content, false);
    this.#variables.set(reference, file);
    return reference;
  }

  /**
   * What env files set that they cannot hold as lines, the last of them winning.
   * @param references as `add` gave them, in their order
   */
  broken(references: readonly string[]): ReadonlyMap<string, string> {
    const found = new Map<string, string>();
    for (const reference of references) {
      const { names, broken } = this.#variables.get(reference) ?? {};
      for (const name of names ?? []) found.delete(name);
      for (const [name, value] of broken ?? []) found.set(name, value);
    }
    return found;
  }

  /**
   * Reads a file that a stack refers to.
   * @param what for messages: `config app`
   */
  read(path: string, what: string, at: Position): Buffer | 'missing' | readonly Problem[] {
    const content = this.access.readFile(this.absolute(path));
    return Buffer.isBuffer(content) || content === 'missing'
      ? content
      : [this.#unreadable(path, what, at, content)];
  }

  #unreadable(
    path: string,
    what: string,
    at: Position,
    content: Exclude<FileContent, Buffer>,
  ): Problem {
    const why =
      content === 'missing'
        ? 'does not exist'
        : content === 'not-a-file'
          ? 'is not a file'
          : `can't be read: ${content.error}`;
    return problemAt(at, `${what}: the file ${path} ${why} (looked at ${this.absolute(path)})`, {
      hint:
        isAbsolute(path) || path.startsWith('~')
          ? 'The path is one on the runner.'
          : `Relative paths start at the directory of the first stack file, ${this.access.workingDirectory}.`,
    });
  }

  /** The labels of a file, read as Docker Compose reads it; variables in it are labels before. */
  labels(
    path: string,
    what: string,
    at: Position,
    before: ReadonlyMap<string, string>,
  ): ReadonlyMap<string, string> | readonly Problem[] {
    const content = this.read(path, what, at);
    if (content === 'missing') return [this.#unreadable(path, what, at, content)];
    if (!Buffer.isBuffer(content)) return content;
    const { values, problems, unset } = parseDotenv({ path, text: content }, before);
    return problems.length + unset.length > 0 ? [...problems, ...unset] : values;
  }

  /**
   * Attaches a text that stands in the stack file, or in a variable that it names.
   * @param what for messages, which never hold the value: `secret token`
   * @param key `content` or `environment`
   */
  addValue(
    value: string,
    what: string,
    key: string,
    role: 'configs' | 'secrets',
    at: Position,
  ): string | readonly Problem[] {
    const content = Buffer.from(value);
    const wrong = wrongSize(content, role);
    if (wrong !== undefined) return [problemAt(at, `${what}: \`${key}\` ${wrong}`)];
    const known = this.#known.get(`${role}:${value}`);
    if (known !== undefined) return known;
    return this.#attach(`${role}:${value}`, `${key} of ${what}`, content, role === 'secrets');
  }

  #attach(key: string, origin: string, content: Buffer, secret: boolean): string {
    const number = String(this.list.length + 1).padStart(3, '0');
    const name = `${number}-${sanitised(origin)}`;
    this.list.push({ name, content, origin, secret });
    const reference = `./${ATTACHMENTS_DIRECTORY}/${name}`;
    this.#known.set(key, reference);
    return reference;
  }
}

/** The end of a path as a file name of harmless characters. */
export function sanitised(path: string): string {
  return basename(path)
    .replace(/[^A-Za-z0-9._-]/g, '_')
    .slice(-64);
}
