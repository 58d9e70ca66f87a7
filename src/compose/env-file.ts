/**
 * An `env_file` of a service on its way to the manager. Docker's client reads it line by line and
 * takes a `KEY` without `=` from the environment of the machine that it runs on, the manager; here
 * such lines get the runner's value. All other lines stay as they are, byte for byte.
 */
import type { Problem } from '../errors.js';
import type { Variables } from './interpolate.js';
import { problemAt, Source, type SourceFile } from './source.js';
import { parseDotenv } from './variables.js';

export interface RenderedEnvFile {
  readonly content: Buffer;
  readonly problems: readonly Problem[];
  /** What Docker reads otherwise than Docker Compose. */
  readonly warnings: readonly Problem[];
  /** Names that the file leaves empty. */
  readonly empty: readonly string[];
  /** All that the file sets. */
  readonly names: ReadonlySet<string>;
  /** Values with line breaks, which no line can hold: they have to get into the service another way. */
  readonly broken: ReadonlyMap<string, string>;
}

/**
 * Renders one file that is written for Docker Compose, with quotes, escapes and variables, as the
 * plain lines that Docker reads.
 */
export function renderDotenv(file: SourceFile, variables: Variables): RenderedEnvFile {
  const { values, problems, unset } = parseDotenv(file, new Map(), variables);
  const wrong = [...problems, ...unset];
  const empty: string[] = [];
  const lines: string[] = [];
  const broken = new Map<string, string>();
  for (const [name, value] of values) {
    if (value === '') empty.push(name);
    if (value.includes('\0')) {
      wrong.push(problemAt({ file: file.path }, NUL(name)));
    } else if (/[\r\n]/.test(value)) {
      broken.set(name, value);
      continue;
    } else if (Buffer.byteLength(`${name}=${value}`) >= MAX_LINE_BYTES) {
      wrong.push(
        problemAt({ file: file.path }, `the value of ${name} is too long for an env_file`),
      );
    }
    lines.push(`${name}=${value}\n`);
  }
  const names = new Set(values.keys());
  const content = Buffer.from(lines.join(''));
  return { content, problems: wrong, warnings: [], empty, names, broken };
}

const NUL = (name: string): string =>
  `the value of ${name} has a NUL in it, which no variable of a container can hold`;

/** The scanner of Docker's client gives up at a line of this size (Go, bufio.MaxScanTokenSize). */
const MAX_LINE_BYTES = 64 * 1024;

/**
 * Renders one file by the rules of docker/cli, pkg/kvfile: no quotes, no escapes, no variables. A
 * `KEY` that the runner does not have is commented out, so that the manager's own is not taken.
 */
export function renderEnvFile(file: SourceFile, variables: Variables): RenderedEnvFile {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(file.text);
  } catch {
    const problem = problemAt({ file: file.path }, 'the env_file is not valid UTF-8');
    const [names, broken] = [new Set<string>(), new Map<string, string>()];
    return { content: file.text, problems: [problem], warnings: [], empty: [], names, broken };
  }
  const source = new Source(file.path, text);
  const problems: Problem[] = [];
  const foreign: { readonly at: number; readonly message: string }[] = [];
  const empty: string[] = [];
  const resolved: string[] = [];
  const names = new Set<string>();
  const broken = new Map<string, string>();
  let offset = 0;
  const lines = text.split('\n').map((line) => {
    const at = offset;
    offset += line.length + 1;
    if (Buffer.byteLength(line) >= MAX_LINE_BYTES) {
      problems.push(
        source.problem(at, `a line of ${MAX_LINE_BYTES} bytes or more; Docker refuses it`),
      );
    }
    const ending = line.endsWith('\r') ? '\r' : '';
    const statement = line.slice(0, line.length - ending.length).trimStart();
    if (statement === '' || statement.startsWith('#')) return line;
    const equals = statement.indexOf('=');
    const name = equals < 0 ? statement : statement.slice(0, equals);
    if (name === '' || /[ \t]/.test(name)) {
      problems.push(
        source.problem(
          at,
          name === '' ? 'a line without a variable name' : 'a variable name with a space in it',
          {
            hint: 'Docker reads an env_file as plain KEY=VALUE lines, without `export` or spaces.',
          },
        ),
      );
      return line;
    }
    names.add(name);
    // The last line of a name wins.
    broken.delete(name);
    if (equals >= 0) {
      if (equals === statement.length - 1) empty.push(name);
      const message = FOREIGN.find(([form]) => form.test(statement.slice(equals + 1)))?.[1];
      if (message !== undefined) foreign.push({ at, message: `${name}: ${message}` });
      return line;
    }
    const value = variables.get(name);
    resolved.push(name);
    if (value === undefined) return `#${name}${ending}`;
    if (value === '') empty.push(name);
    if (value.includes('\0')) problems.push(source.problem(at, NUL(name)));
    if (/[\r\n]/.test(value)) {
      broken.set(name, value);
      return `#${name}${ending}`;
    }
    return `${name}=${value}${ending}`;
  });
  return {
    content: resolved.length > 0 ? Buffer.from(lines.join('\n')) : file.text,
    problems,
    warnings: foreignWarning(source, foreign),
    empty,
    names,
    broken,
  };
}

/** What means something to Docker Compose and nothing to Docker, in a value. */
const FOREIGN: readonly (readonly [RegExp, string])[] = [
  [/^\s*(["']).*\1\s*$/, 'the quotes are part of the value for Docker'],
  [/^\s*["'].*["']\s+#/, 'quotes and comment are part of the value for Docker'],
  [/\$\{\w[^}$]*\}/, 'Docker puts no variable in the place of ${...} here'],
  [/\s#/, 'the comment is part of the value for Docker'],
];

/** One for a file: most have as many such lines as any. Values are never shown. */
function foreignWarning(
  source: Source,
  [first, ...others]: readonly { readonly at: number; readonly message: string }[],
): readonly Problem[] {
  if (first === undefined) return [];
  const lines = others.map(({ at }) => source.position(at).line);
  const more =
    lines.length === 0
      ? ''
      : `; see also line ${lines.slice(0, 5).join(', ')}${lines.length > 5 ? ' and more' : ''}`;
  return [
    source.problem(first.at, `${first.message}${more}`, {
      hint: `Write \`- path: ${source.path}\` below \`env_file:\`: then it is read as Docker Compose reads it, and with \`format: raw\` line by line as it is now.`,
    }),
  ];
}
