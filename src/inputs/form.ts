/**
 * The form that the inputs are: their names and defaults, the reading of single ones, and the list
 * of what is wrong with them. Used by `parseInputs` alone.
 */
import { DURATION_FORMS, formatDuration, MAX_DURATION_MS, parseDuration } from '../duration.js';
import type { Problem } from '../errors.js';
import { Secret } from '../secret.js';

/** Every input with its default; '' where there is none. Equal to action.yml, which a test proves. */
export const inputDefaults = {
  mode: 'deploy',
  stack: '',
  host: '',
  port: '22',
  username: '',
  'private-key': '',
  passphrase: '',
  password: '',
  'known-hosts': '',
  'host-fingerprint': '',
  'host-key-check': 'strict',
  'jump-host': '',
  'jump-private-key': '',
  'jump-passphrase': '',
  'connect-timeout': '20s',
  sudo: 'false',
  'docker-host': '',
  registry: '',
  'registry-username': '',
  'registry-password': '',
  registries: '',
  'compose-file': '',
  env: '',
  'env-file': '',
  'allow-unset': 'false',
  profiles: '',
  'keep-replicas': 'false',
  'lint-ignore': '',
  prune: 'false',
  rotate: 'true',
  'resolve-image': 'always',
  'with-registry-auth': 'true',
  wait: 'true',
  timeout: '15m',
  'progress-timeout': '5m',
  'stable-for': 'auto',
  'max-failures': '3',
  'on-failure': 'rollback',
  lock: 'true',
  'lock-timeout': '15m',
  history: '10',
  revision: 'previous',
  'on-rerun': 'restore',
  'on-cancel': 'keep',
} as const;
export type InputName = keyof typeof inputDefaults;
export const inputNames = Object.keys(inputDefaults) as readonly InputName[];

const PRIVATE_KEY = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File-/;

/** Inputs that are one credential each. */
const CREDENTIALS: readonly InputName[] = [
  'private-key',
  'passphrase',
  'password',
  'jump-private-key',
  'jump-passphrase',
  'registry-password',
];
/** Those, and texts that may carry some: never shown. */
export const CONFIDENTIAL: readonly InputName[] = [...CREDENTIALS, 'registries', 'env'];

/** Hint where a secret was expected and is empty. */
export const EMPTY_SECRET =
  'A secret that does not exist, or that this workflow may not read (as in a pull request from a fork), is empty.';

/** One line of a list; `place` is absent where the input has no other line. */
export interface Line {
  readonly text: string;
  readonly place: string | undefined;
}

/**
 * Reads single inputs and gathers what is wrong with them. After a problem a reader goes on with
 * some valid value, so that the rest is checked too; `parseInputs` throws in the end.
 */
export class Form {
  readonly problems: Problem[] = [];
  readonly #raw: (name: InputName) => string;
  readonly #bad = new Set<InputName>();
  readonly #secrets: readonly string[];

  constructor(raw: (name: InputName) => string) {
    this.#raw = raw;
    this.#secrets = [...credentialLines(raw)].sort((a, b) => b.length - a.length);
    for (const name of inputNames)
      if (!CONFIDENTIAL.includes(name) && PRIVATE_KEY.test(raw(name)))
        this.reject(
          name,
          'holds a private key',
          'A private key goes into private-key or jump-private-key only.',
        );
  }

  /**
   * Adds a problem of the input, or of one line of it.
   * @param place `line 3`, or `line 3, column 5`, counted from 1
   */
  reject(name: InputName, what: string, hint?: string, place?: string): void {
    this.#bad.add(name);
    this.problems.push({
      reason: 'input-invalid',
      message: `input ${name}${place === undefined ? '' : `, ${place}`}: ${what}`,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  /** Adds a problem that another module found in the input, without any secret it may quote. */
  adopt(name: InputName, problem: Problem): void {
    const { reason, message, hint } = problem;
    const clean = (text: string) =>
      this.#secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), text);
    this.#bad.add(name);
    this.problems.push({
      reason,
      message: clean(message.startsWith(`input ${name}`) ? message : `input ${name}: ${message}`),
      ...(hint === undefined ? {} : { hint: clean(hint) }),
    });
  }

  isBad(name: InputName): boolean {
    return this.#bad.has(name);
  }

  isGiven(name: InputName): boolean {
    return this.#raw(name).trim() !== '';
  }

  /** The input byte for byte. */
  exact(name: InputName): string {
    return this.#raw(name);
  }

  /** The input without the blanks around it, or its default; its default too where it is bad. */
  text(name: InputName): string {
    const text = this.isBad(name) ? '' : this.#raw(name).trim();
    return text === '' ? inputDefaults[name] : text;
  }

  /** The lines of the input, trimmed, without the blank ones; none where it is bad. */
  lines(name: InputName): readonly Line[] {
    if (this.isBad(name)) return [];
    const lines = this.#raw(name)
      .split('\n')
      .map((line, index) => ({ text: line.trim(), place: `line ${index + 1}` }))
      .filter(({ text }) => text !== '');
    return lines.length > 1 ? lines : lines.map(({ text }) => ({ text, place: undefined }));
  }

  /**
   * A credential, byte for byte but for one line end at its end, which a YAML block or `echo` put
   * there; blanks may belong to it.
   */
  secret(name: InputName): Secret | undefined {
    const text = withoutLineEnd(this.#raw(name));
    return text === '' ? undefined : new Secret(text);
  }

  /** A value for a message: in quotes, with everything visible; '***' where it holds a secret. */
  shown(text: string): string {
    return this.#secrets.some((secret) => text.includes(secret)) ? '***' : visible(text);
  }

  choice<T extends string>(name: InputName, accepted: readonly [T, ...T[]]): T {
    const text = this.text(name);
    const found = accepted.find((value) => value === text);
    if (found === undefined)
      this.reject(name, `${this.shown(text)} is not accepted; accepted: ${alternatives(accepted)}`);
    return found ?? accepted[0];
  }

  flag(name: InputName): boolean {
    const text = this.text(name);
    const lower = text.toLowerCase();
    if (lower !== 'true' && lower !== 'false')
      this.reject(name, `${this.shown(text)} is not a boolean; accepted: true or false`);
    return lower === 'true';
  }

  /** Milliseconds. */
  duration(name: InputName, zero: 'zero allowed' | 'not zero', also = ''): number {
    const text = this.text(name);
    const ms = parseDuration(text);
    const accepted = `accepted: ${DURATION_FORMS}${also}`;
    if (ms === undefined)
      this.reject(
        name,
        `${this.shown(text)} is not a duration; ${accepted}`,
        /^\d+$/.test(text)
          ? `A number needs its unit: ${this.shown(`${text}s`)} for seconds, ${this.shown(`${text}m`)} for minutes.`
          : 'Durations are whole numbers, each with its unit (h, m, s, ms), the largest unit first.',
      );
    else if (ms > MAX_DURATION_MS)
      this.reject(
        name,
        `${this.shown(text)} is too long; accepted: at most ${formatDuration(MAX_DURATION_MS)}`,
      );
    else if (ms === 0 && zero === 'not zero')
      this.reject(name, `${this.shown(text)} leaves no time at all; ${accepted}, more than zero`);
    return ms ?? 0;
  }
}

/** Without the line end at its end. */
export const withoutLineEnd = (text: string): string => text.replace(/\r?\n$/, '');

/** Accepted words, for a message. */
export const alternatives = (values: readonly string[]): string =>
  values.length === 1
    ? `only ${values.join('')}`
    : `${values.slice(0, -1).join(', ')} or ${values.slice(-1).join('')}`;

const ODD_CHARACTERS: ReadonlyMap<string, string> = new Map([
  ['\t', 'tab'],
  ['\n', 'line feed'],
  ['\r', 'carriage return'],
  ['\u00a0', 'no-break space'],
  ['\u00ad', 'soft hyphen'],
  ['\u200b', 'zero width space'],
  ['\u200e', 'left-to-right mark'],
  ['\u2010', 'hyphen'],
  ['\u2011', 'no-break hyphen'],
  ['\u2013', 'en dash'],
  ['\u2014', 'em dash'],
  ['\u2018', 'curly quote'],
  ['\u2019', 'curly quote'],
  ['\u201c', 'curly quote'],
  ['\u201d', 'curly quote'],
  ['\u2026', 'ellipsis'],
  ['\u202f', 'narrow no-break space'],
  ['\u2060', 'word joiner'],
  ['\ufeff', 'byte order mark'],
]);

/** Controls, formats, lone surrogates, blanks but the space, and the signs that editors put in. */
export const ODD = /[\p{C}\p{Zl}\p{Zp}\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\u2010-\u2026]/u;

const codePoint = (character: string): string =>
  `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;

/** `U+00A0, no-break space`. */
export const named = (character: string): string => {
  const name = ODD_CHARACTERS.get(character);
  return name === undefined ? codePoint(character) : `${codePoint(character)}, ${name}`;
};

/** In quotes, at most 80 characters of it; what cannot be told by eye is escaped and named. */
function visible(text: string): string {
  const characters = Array.from(text);
  const kept = characters.slice(0, 80);
  const odd = [...new Set(kept.filter((character) => ODD.test(character)))];
  const quoted = kept
    .map((character) => (ODD.test(character) ? `<${codePoint(character)}>` : character))
    .join('');
  return (
    `"${quoted}"${characters.length > kept.length ? '... (cut)' : ''}` +
    (odd.length === 0 ? '' : ` (with ${odd.slice(0, 3).map(named).join('; ')})`)
  );
}

/**
 * The lines of a secret to keep out of logs and messages; those of fewer than 4 characters are left
 * out. Also without the blanks around them: a key's stray indentation is repaired before it is used.
 */
export function secretLines(text: string): readonly string[] {
  return text
    .split(/\r\n|\r|\n/)
    .flatMap((line) => [line, line.trim()])
    .filter((line) => line.trim().length >= 4);
}

/** The lines of all credentials that have an input of their own, whether they are any good or not. */
export const credentialLines = (raw: (name: InputName) => string): readonly string[] => [
  ...new Set(CREDENTIALS.flatMap((name) => secretLines(raw(name)))),
];
