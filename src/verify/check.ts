/** The input `verify`: what its lines mean, and whether an answer is what they ask for. */
import { interpolate, type Variables } from '../compose/interpolate.js';
import type { Problem } from '../errors.js';

/** A line of the input: `URL [-> STATUS] [contains TEXT]`, its variables not yet filled in. */
export interface CheckLine {
  /** Counts from 1. */
  readonly line: number;
  readonly url: string;
  /** Undefined: any 2xx. */
  readonly status: number | undefined;
  /** What the body has to have in it, byte for byte as UTF-8. */
  readonly contains: string | undefined;
}

/** A check with its variables filled in. */
export interface Check extends Omit<CheckLine, 'line'> {
  /** The URL for people, without credentials: see `shownUrl`. */
  readonly shown: string;
}

/** What a URL answered, or why there was no answer. */
export type Answer =
  | {
      readonly status: number;
      /** The header `Location`; '' without one. */
      readonly location: string;
      /** As far as it was read. */
      readonly body: string;
      readonly isWhole: boolean;
      /** What kept the body from coming to its end, in plain words; absent where nothing did. */
      readonly unfinished?: string;
    }
  | { readonly error: string };

export const FORM = 'URL, URL -> STATUS, URL contains TEXT, or URL -> STATUS contains TEXT';
const LINE = /^(\S+)(?:\s+->\s+(\d{3}))?(?:\s+contains\s+(\S.*))?$/;

/**
 * Reads one line.
 * @returns what is wrong with it, where something is
 */
export function parseCheck(text: string, line: number): CheckLine | { readonly problem: string } {
  const [, url = '', status, contains] = LINE.exec(text) ?? [];
  if (url === '') return { problem: `is not a check; accepted: ${FORM}` };
  // One with variables is looked at when they are filled in.
  const wrong = url.includes('$') ? undefined : urlProblem(url);
  if (wrong !== undefined) return { problem: wrong };
  const number = status === undefined ? undefined : Number(status);
  if (number !== undefined && (number < 200 || number > 599))
    return { problem: `asks for the status ${number}; accepted: 200 to 599` };
  return { line, url, status: number, contains };
}

function urlProblem(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined)
    return 'has no complete URL; accepted: http://HOST/... or https://HOST/...';
  if (!isEncoded(url.username) || !isEncoded(url.password))
    return 'has a % in its user or password that encodes nothing; accepted: %25 for a %';
  return url.protocol === 'http:' || url.protocol === 'https:'
    ? undefined
    : `has a URL of ${url.protocol}//; accepted: http:// and https://`;
}

/** node:http throws at others. */
function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** Fills in the variables, as in the stack files. Their values never become a part of the grammar. */
export function fillIn(
  lines: readonly CheckLine[],
  variables: Variables,
  allowUnset: boolean,
): { readonly checks: readonly Check[]; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const checks = lines.flatMap(({ line, url, status, contains }): Check[] => {
    const before = problems.length;
    const filled = (text: string): string => {
      const { value, faults } = interpolate(text, variables);
      for (const { kind, message } of faults)
        if (kind !== 'unset' || !allowUnset)
          problems.push({
            reason: kind === 'malformed' ? 'input-invalid' : 'variable-unset',
            message: `input verify, line ${line}: ${message}`,
          });
      return value;
    };
    const [target, text] = [filled(url), contains === undefined ? undefined : filled(contains)];
    if (problems.length > before) return [];
    const wrong = /\s/.test(target) ? 'has a URL with blanks in it' : urlProblem(target);
    const empty = text === '' ? 'asks for an empty text' : undefined;
    const problem = wrong ?? empty;
    if (problem !== undefined) {
      const message = `input verify, line ${line}: with its variables filled in, it ${problem}`;
      problems.push({ reason: 'input-invalid', message });
      return [];
    }
    return [{ url: target, shown: shownUrl(target), status, contains: text }];
  });
  return { checks, problems };
}

/** A URL without user, password and the values of its query, each of which may be a credential. */
export function shownUrl(url: string): string {
  const [address = '', query] = url.replace(/#.*$/, '').split(/\?(.*)/s, 2);
  const bare = address.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/]*@/i, '$1***@');
  if (query === undefined || query === '') return bare;
  return `${bare}?${query
    .split('&')
    .map((part) => (part.includes('=') ? `${part.split('=')[0] ?? ''}=***` : '***'))
    .join('&')}`;
}

/** What of a check nobody may read. */
export function secretsOf({ url }: Check): readonly string[] {
  const { password, username } = new URL(url);
  return password === '' ? [] : [password, decoded(password), decoded(`${username}:${password}`)];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** `2xx`, `204 and a body with "version":"7"`. */
export const expectationOf = ({ status, contains }: Omit<CheckLine, 'line' | 'url'>): string =>
  `${status ?? '2xx'}${contains === undefined ? '' : ` and a body with ${contains}`}`;

/** What is wrong with an answer, in plain words; '' where nothing is. */
export function complaint(check: Check, answer: Answer): string {
  if ('error' in answer) return answer.error;
  const { status, location, body, isWhole, unfinished } = answer;
  if (!isWanted(check, status)) {
    const to = location === '' ? '' : ` to ${shownUrl(location)}`;
    return status >= 300 && status <= 399
      ? `it answered ${status}, a redirect${to}; redirects are not followed: give the URL that it leads to, or ask for -> ${status}`
      : `it answered ${status}`;
  }
  if (check.contains !== undefined && body.includes(check.contains)) return '';
  if (unfinished !== undefined) return `it answered ${status}, but ${unfinished}`;
  if (check.contains === undefined) return '';
  return `it answered ${status}, but ${isWhole ? '' : 'the first MiB of '}its body does not have ${check.contains} in it`;
}

/** What to do about an answer that is not as it should be. */
export function mendOf(check: Check, answer: Answer): string {
  const longer = 'if it only needs longer, raise verify-timeout';
  if ('error' in answer)
    return `Check that the runner gets there (name, published port, firewall, certificate); ${longer}.`;
  const { status, unfinished } = answer;
  if (isWanted(check, status) && unfinished !== undefined)
    return 'Ask for a URL whose answer comes to its end; one without an end, as server-sent events are, is checked by a text in it (contains).';
  if (isWanted(check, status))
    return `The summary shows how the answer begins, which may be from a cache or another host; ${longer}.`;
  if (status >= 500)
    return `The summary shows how the answer begins, and docker service logs what the service writes; ${longer}.`;
  return `Correct the URL or the status that verify asks for, or what answers there; ${longer}.`;
}

const isWanted = ({ status: wanted }: Check, status: number): boolean =>
  wanted === undefined ? status >= 200 && status <= 299 : status === wanted;
