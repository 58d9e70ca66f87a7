/**
 * The edge of the stack files: finds and reads the files of the user on the runner and hands them
 * to the pure part, which decides everything.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { COMPOSE_FILE_NAMES, discoverComposeFile } from './compose/discover.js';
import type { Variables } from './compose/interpolate.js';
import { renderStack, type FileContent, type RenderedStack } from './compose/render.js';
import { MAX_FILE_BYTES, type SourceFile } from './compose/source.js';
import { collectVariables } from './compose/variables.js';
import { InvalidInput, type Problem } from './errors.js';
import { fillIn, type Check, type CheckLine } from './verify/check.js';

export interface ComposeInputs {
  /** The `compose-file` input; none: the file is looked for. */
  readonly files: readonly string[];
  /** The `env` input. */
  readonly env: Variables;
  /** The `env-file` input. */
  readonly envFiles: readonly string[];
  readonly allowUnset: boolean;
  /** The `profiles` input. */
  readonly profiles?: readonly string[];
}

export interface Surroundings {
  /** Absolute; relative paths in the inputs start here. */
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** What `~` stands for. */
  readonly home: string | undefined;
}

/**
 * Reads and renders the stack files.
 * @throws InvalidInput with every problem of every file
 */
export function loadStack(
  inputs: ComposeInputs,
  stack: string,
  { cwd, environment, home }: Surroundings,
): RenderedStack {
  const problems: Problem[] = [];
  const read = (paths: readonly string[], input: 'compose-file' | 'env-file'): SourceFile[] =>
    paths.flatMap((path) => {
      const absolute = resolve(cwd, path);
      // A file of gigabytes must not be read to be refused.
      const content =
        path === '-'
          ? { error: 'standard input is not available to an action; give a file' }
          : readFile(absolute, MAX_FILE_BYTES);
      if (Buffer.isBuffer(content)) return [{ path, text: content }];
      problems.push(unreadable(path, absolute, input, content));
      return [];
    });

  const paths = [...inputs.files];
  if (paths.length === 0) {
    const found = discoverComposeFile((name) => {
      const content = readFile(resolve(cwd, name));
      return content !== 'missing' && content !== 'not-a-file';
    });
    if (found === undefined) {
      problems.push({
        reason: 'input-invalid',
        message: `no stack file in ${cwd}: looked for ${COMPOSE_FILE_NAMES.join(', ')}`,
        hint: 'Name it in the input compose-file, and run actions/checkout before this step.',
      });
    } else {
      paths.push(found);
    }
  }
  const files = read(paths, 'compose-file');
  const envFiles = read(inputs.envFiles, 'env-file');
  const collected = collectVariables({
    env: inputs.env,
    envFiles,
    environment,
    allowUnset: inputs.allowUnset,
  });
  problems.push(...collected.problems);

  let rendered: RenderedStack | undefined;
  if (files.length > 0) {
    try {
      rendered = renderStack({
        files,
        stack,
        variables: collected.variables,
        // A missing env file would make every variable of it look unset.
        allowUnset: inputs.allowUnset || envFiles.length < inputs.envFiles.length,
        profiles: inputs.profiles ?? [],
        workingDirectory: dirname(resolve(cwd, paths[0] ?? '')),
        home,
        readFile: (path) => readFile(path),
      });
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error;
      problems.push(...error.problems);
    }
  }
  const [first, ...more] = problems;
  if (first !== undefined) throw new InvalidInput([first, ...more]);
  if (rendered === undefined) throw new TypeError('nothing was rendered and no problem was found');
  return { ...rendered, warnings: [...collected.warnings, ...rendered.warnings] };
}

/**
 * Fills in the variables of the `verify` input, from where those of the stack files come.
 * @throws InvalidInput with every problem of every line
 */
export function loadChecks(
  lines: readonly CheckLine[],
  inputs: ComposeInputs,
  { cwd, environment }: Surroundings,
): readonly Check[] {
  if (lines.length === 0) return [];
  const problems: Problem[] = [];
  const envFiles = inputs.envFiles.flatMap((path) => {
    const absolute = resolve(cwd, path);
    const content = readFile(absolute, MAX_FILE_BYTES);
    if (Buffer.isBuffer(content)) return [{ path, text: content }];
    problems.push(unreadable(path, absolute, 'env-file', content));
    return [];
  });
  const { env, allowUnset } = inputs;
  const { variables, problems: more } = collectVariables({
    env,
    envFiles,
    environment,
    allowUnset,
  });
  const filled = fillIn(lines, variables, allowUnset);
  const [first, ...others] = [...problems, ...more, ...filled.problems];
  if (first !== undefined) throw new InvalidInput([first, ...others]);
  return filled.checks;
}

/** Nothing that a stack refers to is larger; Swarm's own limits are far below. */
const MAX_READ_BYTES = 16 * 1024 * 1024;

function readFile(path: string, limit = MAX_READ_BYTES): FileContent {
  try {
    const stat = statSync(path);
    // The environment of this very process has the action's own credentials in it.
    if (!stat.isFile() || realpathSync(path).startsWith('/proc/')) return 'not-a-file';
    if (stat.size > limit) return { error: `it has ${stat.size} bytes, more than ${limit}` };
    return readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'missing';
    return { error: code === 'EACCES' ? 'permission denied' : message };
  }
}

function unreadable(
  path: string,
  absolute: string,
  input: string,
  content: Exclude<FileContent, Buffer>,
): Problem {
  const position = { file: path };
  const looked = `(input ${input}, looked at ${absolute})`;
  if (content === 'missing') {
    return {
      reason: 'input-invalid',
      message: `the file ${path} does not exist ${looked}`,
      hint: 'Paths start at the working directory of the job; run actions/checkout before this step.',
      position,
    };
  }
  const why = content === 'not-a-file' ? 'is not a file' : `can't be read: ${content.error}`;
  return { reason: 'input-invalid', message: `${path} ${why} ${looked}`, position };
}
