/**
 * Where the values of `${...}` come from: the `env` input, then the env files, then the environment
 * of the step. Env files are read as docker compose reads them.
 */
import type { Problem } from '../errors.js';
import { interpolate, type Fault, type Variables } from './interpolate.js';
import { problemAt, Source, type SourceFile } from './source.js';

export type { Variables } from './interpolate.js';

export interface VariableSources {
  /** The `env` input; wins over everything. */
  readonly env: Variables;
  /** The `env-file` input in its order; a later file wins over an earlier one. */
  readonly envFiles: readonly SourceFile[];
  /** The environment of the step; an undefined value counts as not set. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** An unset variable in an env file is empty, with a warning, instead of a problem. */
  readonly allowUnset: boolean;
}

export interface CollectedVariables {
  readonly variables: Variables;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/**
 * What the runner gives the action and not the step: its inputs, with the credentials to get into the manager, and the
 * job's tokens for caches, artifacts and OpenID Connect. Whoever writes a stack file gets none of it.
 */
const OF_THE_ACTION = /^(?:INPUT_|ACTIONS_\w*TOKEN$)/;

/** All variables by precedence, and every problem of every env file. */
export function collectVariables(sources: VariableSources): CollectedVariables {
  const variables = new Map<string, string>();
  for (const [name, value] of Object.entries(sources.environment)) {
    if (value !== undefined && !OF_THE_ACTION.test(name)) variables.set(name, value);
  }
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  for (const file of sources.envFiles) {
    const parsed = parseDotenv(file, variables, sources.env);
    problems.push(...parsed.problems);
    (sources.allowUnset ? warnings : problems).push(...parsed.unset);
    for (const [name, value] of parsed.values) variables.set(name, value);
  }
  for (const [name, value] of sources.env) variables.set(name, value);
  return { variables, problems, warnings };
}

export interface Dotenv {
  readonly values: Variables;
  readonly problems: readonly Problem[];
  /** Variables used in values that nothing sets. */
  readonly unset: readonly Problem[];
}

/** Faults of variables in one env file; many more than are shown. */
const MAX_FAULTS = 1000;
// The spaces that do not end a line, as compose-go has them.
const BLANKS = /[\t\v\f\r \u0085\u00a0]*/y;

/**
 * Reads a dotenv file as docker compose does (compose-go, package dotenv): `export`, `KEY: value`,
 * single quotes literal, double quotes with escapes and variables, unquoted up to ` #`, quoted
 * values over several lines, and `KEY` alone for "take it from the environment".
 * @param outer what the file may refer to besides its own earlier keys
 * @param winners what outranks the file's own keys, in references as in the end
 */
export function parseDotenv(
  file: SourceFile,
  outer: Variables,
  winners: Variables = new Map(),
): Dotenv {
  const values = new Map<string, string>();
  const problems: Problem[] = [];
  const unset: Problem[] = [];
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(file.text);
  } catch {
    const problem = problemAt({ file: file.path }, 'the env file is not valid UTF-8', {
      reason: 'input-invalid',
    });
    return { values, problems: [problem], unset };
  }
  const source = new Source(file.path, text);
  // The file's own keys first: they outrank what is already there.
  const seen = new Map([...outer, ...winners]);
  const set = (name: string, value: string): void => {
    values.set(name, value);
    if (!winners.has(name)) seen.set(name, value);
  };
  const expand = (value: string, at: number): string => {
    const result = interpolate(value, seen);
    for (const fault of result.faults) {
      const found = text.indexOf(fault.expression, at);
      const where = found < 0 ? at : found;
      const list = fault.kind === 'unset' ? unset : problems;
      if (list.length >= MAX_FAULTS) break;
      list.push(source.problem(where, fault.message, dotenvHint(fault)));
    }
    return result.value;
  };
  const skipBlanks = (from: number): number => {
    BLANKS.lastIndex = from;
    BLANKS.exec(text);
    return BLANKS.lastIndex;
  };
  const lineEnd = (from: number): number => {
    const end = text.indexOf('\n', from);
    return end < 0 ? text.length : end;
  };

  let at = 0;
  for (;;) {
    while (at < text.length && /\s/.test(text[at] ?? '')) at += 1;
    if (at >= text.length) break;
    const end = lineEnd(at);
    if (text[at] === '#') {
      at = end;
      continue;
    }
    const exported = /^export[\t\v\f\r \u0085\u00a0]+/.exec(text.slice(at, end));
    const start = at + (exported?.[0].length ?? 0);
    const line = text.slice(start, end);
    const key = /^[^=:]*/.exec(line)?.[0] ?? '';
    const name = key.trim();
    if (!/^[\p{L}\p{N}_.\-[\]]+$/u.test(name)) {
      problems.push(
        source.problem(start, 'this line is not KEY=VALUE', {
          reason: 'input-invalid',
          hint: 'A value of several lines needs quotes around it.',
        }),
      );
      at = end;
      continue;
    }
    if (key.length === line.length) {
      const inherited = seen.get(name);
      if (inherited !== undefined) set(name, inherited);
      at = end;
      continue;
    }
    const valueAt = skipBlanks(start + key.length + 1);
    const quote = text[valueAt];
    if (quote !== '"' && quote !== "'") {
      const stop = lineEnd(valueAt);
      const [bare = ''] = text.slice(valueAt, stop).split(' #');
      set(name, expand(bare.trimEnd(), valueAt));
      at = stop;
      continue;
    }
    const quoted = readQuoted(text, valueAt);
    if (quoted === undefined) {
      problems.push(
        source.problem(valueAt, `the value of ${name} has no closing ${quote}`, {
          reason: 'input-invalid',
        }),
      );
      break;
    }
    set(name, quote === "'" ? quoted.value : expand(unescape(quoted.value), valueAt));
    at = quoted.end;
    // docker compose goes on with another KEY=VALUE on the same line; anything else is a slip.
    const rest = text.slice(at, lineEnd(at)).trim();
    if (rest !== '' && !rest.startsWith('#') && !/[=:]/.test(rest)) {
      problems.push(
        source.problem(at, `unexpected text after the closing ${quote} of ${name}`, {
          reason: 'input-invalid',
        }),
      );
      at = lineEnd(at);
    }
  }
  return { values, problems, unset };
}

function dotenvHint(fault: Fault): { reason: Problem['reason']; hint?: string } {
  if (fault.kind === 'malformed') return { reason: 'input-invalid' };
  return {
    reason: 'variable-unset',
    hint: 'For a literal $ put the value in single quotes or write $$.',
  };
}

/** The text between the quotes; a quote after a backslash does not end it. */
function readQuoted(text: string, open: number): { value: string; end: number } | undefined {
  const quote = text[open];
  let value = '';
  for (let at = open + 1; at < text.length; at += 1) {
    const char = text[at] ?? '';
    if (char === quote) return { value, end: at + 1 };
    if (char === '\\' && at + 1 < text.length) {
      const next = text[at + 1] ?? '';
      value += next === quote ? quote : char + next;
      at += 1;
    } else {
      value += char;
    }
  }
  return undefined;
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '"': '"',
  '\\': '\\',
  // Interpolation comes after this and turns it into `$`.
  $: '$$',
};

function unescape(value: string): string {
  return value.replace(/\\(?:0([0-7]{3})|([abfnrtv$"\\]))/g, (_, octal?: string, char = '') =>
    octal === undefined
      ? (ESCAPES[char as string] ?? '')
      : String.fromCharCode(Number.parseInt(octal, 8) & 0xff),
  );
}
