/**
 * `$NAME` and `${...}` in one string, by the rules of the Compose specification. Knows nothing of
 * YAML: the stack files and the dotenv files both use it. A value that comes out of a variable is
 * never looked at again.
 */

/** Variables by name, as decided by `variables.ts`. */
export type Variables = ReadonlyMap<string, string>;

export interface Fault {
  readonly kind: 'unset' | 'required' | 'malformed';
  /** The expression as it is written, to find it in the file. */
  readonly expression: string;
  readonly message: string;
}

export interface Interpolation {
  readonly value: string;
  /**
   * `none`: nothing that looks like a variable. `escapes`: only `$$`, which Docker itself turns into
   * `$`. `variables`: the text must be replaced by the value.
   */
  readonly used: 'none' | 'escapes' | 'variables';
  readonly faults: readonly Fault[];
}

/** Defaults in defaults in defaults; nobody means more than this. */
const MAX_NESTING = 50;
/** Characters of one value: a variable that is used a thousand times is a thousand times as long. */
const MAX_LENGTH = 1024 * 1024;
/** Faults of one value; nobody reads more. */
const MAX_FAULTS = 200;
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;

/**
 * Interpolates one string. A lone `$` that starts no name stays what it is, as Compose has it
 * (Docker's own client refuses it). Braces in a default are counted, as compose-go does:
 * `${X:-{"a":1}}` has the default `{"a":1}`.
 */
export function interpolate(text: string, variables: Variables, nesting = 0): Interpolation {
  if (!text.includes('$')) return { value: text, used: 'none', faults: [] };
  let value = '';
  let used: Interpolation['used'] = 'none';
  const faults: Fault[] = [];
  let braces: Braces | undefined;
  let from = 0;
  for (let at = text.indexOf('$'); at >= 0; at = text.indexOf('$', from)) {
    value += text.slice(from, at);
    if (faults.length >= MAX_FAULTS) return { value, used, faults: faults.slice(0, MAX_FAULTS) };
    if (value.length > MAX_LENGTH) {
      const message = `with its variables filled in, this value has more than ${MAX_LENGTH} characters`;
      return { value: '', used, faults: [{ kind: 'malformed', expression: '$', message }] };
    }
    if (text[at + 1] === '$') {
      value += '$';
      from = at + 2;
      if (used === 'none') used = 'escapes';
      continue;
    }
    used = 'variables';
    if (text[at + 1] !== '{') {
      const name = nameAt(text, at + 1);
      from = at + 1 + name.length;
      if (name === '') value += '$';
      else value += plain(name, `$${name}`, variables, faults);
      continue;
    }
    braces ??= pairBraces(text);
    const end = braces.get(at + 1) ?? text.indexOf('}', at + 1);
    if (end < 0) {
      faults.push({
        kind: 'malformed',
        expression: text.slice(at),
        message: `\`${brief(text.slice(at))}\` has no closing brace`,
      });
      return { value: value + text.slice(at), used, faults };
    }
    from = end + 1;
    value += braced(text.slice(at, from), variables, nesting, faults);
  }
  return { value: value + text.slice(from), used, faults };
}

function nameAt(text: string, at: number): string {
  NAME.lastIndex = at;
  return NAME.exec(text)?.[0] ?? '';
}

type Braces = ReadonlyMap<number, number>;

/** Where each opening brace is closed, for those that are. All at once: texts of braces alone exist. */
function pairBraces(text: string): Braces {
  const pairs = new Map<number, number>();
  const open: number[] = [];
  for (let at = text.indexOf('{'); at >= 0 && at < text.length; at += 1) {
    if (text[at] === '{') open.push(at);
    else if (text[at] === '}') {
      const start = open.pop();
      if (start !== undefined) pairs.set(start, at);
    }
  }
  return pairs;
}

function plain(name: string, expression: string, variables: Variables, faults: Fault[]): string {
  const value = variables.get(name);
  if (value !== undefined) return value;
  faults.push({ kind: 'unset', expression, message: `the variable ${name} is not set` });
  return '';
}

/** The value of one `${...}`. The word after the operator is read only if it is used. */
function braced(
  expression: string,
  variables: Variables,
  nesting: number,
  faults: Fault[],
): string {
  const inner = expression.slice(2, -1);
  const name = nameAt(inner, 0);
  const rest = inner.slice(name.length);
  const operator = /^:?[-+?]/.exec(rest)?.[0] ?? '';
  if (name === '' || (operator === '' && rest !== '')) {
    const why =
      name === ''
        ? 'a variable name has letters, digits and _ and starts with no digit'
        : `after the name there may be one of :- - :? ? :+ + and nothing else`;
    faults.push({
      kind: 'malformed',
      expression,
      message: `\`${brief(expression)}\` is no variable: ${why}`,
    });
    return expression;
  }
  if (operator === '') return plain(name, expression, variables, faults);

  const word = (): string => {
    if (nesting >= MAX_NESTING) {
      faults.push({
        kind: 'malformed',
        expression,
        message: `\`${brief(expression)}\` is nested more than ${MAX_NESTING} levels deep`,
      });
      return '';
    }
    const nested = interpolate(rest.slice(operator.length), variables, nesting + 1);
    faults.push(...nested.faults);
    return nested.value;
  };
  const value = variables.get(name);
  const counts = value !== undefined && (value !== '' || !operator.startsWith(':'));
  switch (operator.slice(-1)) {
    case '+':
      return counts ? word() : '';
    case '-':
      return counts ? value : word();
    default: {
      if (counts) return value;
      const said = interpolate(rest.slice(operator.length), variables, MAX_NESTING);
      const state = value === undefined ? 'is not set' : 'is empty';
      faults.push({
        kind: 'required',
        expression,
        message: `the required variable ${name} ${state}${said.value === '' ? '' : `: ${said.value}`}`,
      });
      return '';
    }
  }
}

function brief(expression: string): string {
  const [line = ''] = expression.split('\n');
  return line.length > 60 ? `${line.slice(0, 60)}...` : line;
}
