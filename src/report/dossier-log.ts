/** Output of containers made fit to be kept and shown: harmless, short, without secrets. */
import type { ServiceSpec } from '../model.js';
import { at } from '../model.js';
import { CREDENTIAL } from '../planning/conceal.js';
import { withoutControls } from './text.js';

/** Characters of a line that are kept. */
export const MAX_LOG_LINE = 1000;
/** Characters of a line that are looked at: a line may have megabytes, and there may be many secrets. */
const MAX_READ = 20_000;

/** Takes secrets out of foreign text. */
export interface Mask {
  readonly apply: (text: string) => string;
  /** Characters of the longest secret. */
  readonly longest: number;
}

const HIDDEN = '***';

/** Where there are no secrets. */
export const NOTHING: Mask = { apply: (text) => text, longest: 0 };

/** Without halves of characters, as a cut may leave them. */
const wellFormed = (text: string): string => Buffer.from(text, 'utf8').toString('utf8');

/**
 * The digits of base64 that a text has in whatever it is a part of, by where in a group of three bytes it begins:
 * as in the header of a login, or in a file with other lines around it.
 */
function inBase64(text: string): readonly string[] {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length < MIN_ENCODED) return [];
  return [0, 1, 2].flatMap((lead) => {
    const digits = Buffer.concat([Buffer.alloc(lead), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    // Those at both ends say something of what stands beside it, too.
    const whole = Math.floor(((lead + bytes.length) * 8) / 6);
    const own = digits.slice(Math.ceil((lead * 8) / 6), whole);
    return [own, own.replaceAll('+', '-').replaceAll('/', '_')];
  });
}

/**
 * @param secrets each a line; also looked for as JSON, URLs and base64 spell them
 */
export function maskOf(secrets: readonly string[]): Mask {
  const spellings = new Set(
    secrets
      .filter((secret) => secret !== '')
      .flatMap((secret) => [
        secret,
        withoutControls(secret),
        JSON.stringify(secret).slice(1, -1),
        encodeURIComponent(wellFormed(secret)),
        ...inBase64(secret),
      ])
      .filter((spelling) => spelling.length >= MIN_SECRET),
  );
  // The longest first: one may be a part of another.
  const sorted = [...spellings].sort((a, b) => b.length - a.length);
  return {
    apply: (text) =>
      sorted.reduce(
        (rest, secret) => (secret.length > rest.length ? rest : rest.replaceAll(secret, HIDDEN)),
        text,
      ),
    longest: sorted[0]?.length ?? 0,
  };
}

/** Characters: what is shorter protects nothing, and hiding it garbles everything. */
const MIN_SECRET = 4;
/** Bytes: the digits of what is shorter are found in anything. */
const MIN_ENCODED = 6;
/** The same for values of environment variables, which may be `true` or `false`. */
const MIN_VALUE = 6;
/** A variable that says where the credential is, which is none itself. */
const REFERENCE = /(?:file|path|dir|name|id)$/i;

/** Values in a service's environment that are credentials by their names, or stand in a URL as one. */
export function credentialsIn(spec: ServiceSpec): readonly string[] {
  const environment = at(spec, 'TaskTemplate', 'ContainerSpec', 'Env');
  if (!Array.isArray(environment)) return [];
  return (environment as readonly unknown[]).flatMap((each) => {
    if (typeof each !== 'string') return [];
    const cut = each.indexOf('=');
    if (cut < 0) return [];
    const [name, value] = [each.slice(0, cut), each.slice(cut + 1)];
    const named = CREDENTIAL.test(name) && !REFERENCE.test(name) ? value.split(/\r?\n/) : [];
    const inUrl = /^[a-z][a-z0-9+.-]*:\/\/[^\s/@:]*:([^\s@]+)@/i.exec(value)?.[1] ?? '';
    return [...named, inUrl].filter((text) => text.length >= MIN_VALUE);
  });
}

/**
 * The last lines of a log, each without terminal tricks and secrets, and of bearable length.
 * @returns with how many characters were left out of them
 */
export function tidyLog(
  lines: readonly string[],
  mask: Mask,
  maxLines: number,
): { readonly lines: readonly string[]; readonly cut: number } {
  let cut = 0;
  const kept = lines.slice(-maxLines).map((line) => {
    const read = withoutControls(line.slice(0, MAX_READ));
    const masked = mask.apply(read);
    // Of a secret that goes on behind the end there may be a part left.
    const whole =
      line.length > MAX_READ ? masked.slice(0, Math.max(0, masked.length - mask.longest)) : masked;
    const short = wellFormed(whole.slice(0, MAX_LOG_LINE)).trimEnd();
    if (whole.length > MAX_LOG_LINE || line.length > MAX_READ)
      cut += Math.max(0, line.length - short.length);
    return short;
  });
  return { lines: kept, cut };
}
