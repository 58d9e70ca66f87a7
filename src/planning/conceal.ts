/**
 * What people write credentials into besides environment variables: words of a command, a healthcheck,
 * a label. By the names that go before them, as a plan cannot know what a value of a former deploy was.
 */
import type { Json } from '../model.js';

export const CONCEALED = '***';

/** What the name of something that holds a credential has in it. */
export const CREDENTIAL =
  /pass(?:w|phrase|code)|requirepass|masterauth|secret|token|credential|api[-_.]?key|access[-_.]?key|private[-_.]?key|basic-?auth|bearer/i;
/** Bounded, and from the start of a word on: what is told may be megabytes without a space. */
const NAME = `(?<![\\w.-])[\\w.-]{0,60}(?:${CREDENTIAL.source}|\\bpass\\b)[\\w.-]{0,60}`;
/** A name that says where the credential is, which is none itself. */
const PLACE = /(?:file|path|dir|name|id)["']?$/i;
/** A file, or a variable that a shell in the container fills in. */
const REFERENCE = /^["']?(?:\$(?:\w+|\{[^}]*\}|\([^)]*\))["']?$|\/run\/secrets\/)/;
/** A value as a shell takes it for one: all of what is quoted. */
const VALUE = `"[^"]{0,2000}"|'[^']{0,2000}'|["']?[^\\s"';&|]+`;

const OPTION = new RegExp(`^(?=-)${NAME}$`, 'i');
/** A word by itself, whose value ends where the word does. */
const WHOLE = new RegExp(`^(${NAME}=)(.+)$`, 'is');
const ASSIGNED = new RegExp(`(${NAME}["']?\\s*[=:]\\s*)((?:bearer|basic)\\s+)?(${VALUE})`, 'gi');
const FOLLOWED = new RegExp(`((?<!\\S)(?=-)${NAME}\\s+)(?!["']?-)(${VALUE})`, 'gi');
const HEADER = /(authorization["']?\s*:\s*(?:bearer|basic|token)?\s*)([^\s"']+)/gi;
const USER_INFO =
  /((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}:\/\/)([^\s/@"':]{0,200}:)?([^\s"']{1,2000})@/gi;
/** `mysqladmin ping -pVALUE`: the one option of its kind that takes no space. */
const MYSQL = new RegExp(`(\\b(?:mysql|mariadb)\\w{0,30}\\b[^|;&]{0,500}?\\s-p)(${VALUE})`, 'gi');

/** A text without the credentials in it. */
export function concealText(text: string): string {
  return text
    .replace(USER_INFO, (whole, scheme: string, user: string | undefined, rest: string) => {
      if (user === undefined && !/^https?:/i.test(scheme)) return whole;
      return REFERENCE.test(rest) ? whole : `${scheme}${user ?? ''}${CONCEALED}@`;
    })
    .replace(HEADER, (_, lead: string, value: string) => hide(lead, value))
    .replace(ASSIGNED, (_, lead: string, kind: string | undefined, value: string) =>
      hide(`${lead}${kind ?? ''}`, value),
    )
    .replace(FOLLOWED, (_, lead: string, value: string) => hide(lead, value))
    .replace(MYSQL, (_, lead: string, value: string) => hide(lead, value));
}

/** A value after its name, unless that says where the credential is. */
function hide(lead: string, value: string): string {
  if (REFERENCE.test(value) || PLACE.test(lead.replace(/["'\s=:]+$/, ''))) return lead + value;
  const quote = /^["']/.exec(value)?.[0] ?? '';
  return `${lead}${quote}${CONCEALED}${quote}`;
}

/** The same for each text of a value; of a list of words, one may name the next. */
export function conceal(value: Json): Json {
  if (typeof value === 'string') return concealText(value);
  if (Array.isArray(value)) {
    const words = value as readonly Json[];
    const ofMysql = words.some(
      (word) => typeof word === 'string' && /(?:mysql|mariadb)\w*$/i.test(word),
    );
    return words.map((word, index) => {
      const before = words[index - 1];
      if (typeof word !== 'string') return conceal(word);
      if (ofMysql && /^-p./.test(word)) return `-p${CONCEALED}`;
      const [, lead, rest = ''] = WHOLE.exec(word) ?? [];
      if (lead !== undefined && (word.startsWith('-') || !/\s/.test(word))) return hide(lead, rest);
      const named = typeof before === 'string' && OPTION.test(before) && !PLACE.test(before);
      return named && !REFERENCE.test(word) && !word.startsWith('-')
        ? CONCEALED
        : concealText(word);
    });
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, conceal(each ?? null)]),
  );
}
