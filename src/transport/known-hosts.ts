/**
 * Reads the text of the `known-hosts` and `host-fingerprint` inputs and finds what is known of a
 * server's key. Follows the file format of sshd(8), section SSH_KNOWN_HOSTS FILE FORMAT, and the
 * lookup of ssh(1).
 */
import { createHash, createHmac } from 'node:crypto';
import type { Problem } from '../errors.js';

/** A public key as SSH carries it. */
export interface PublicKey {
  /** Name of the key type, as `ssh-ed25519`. */
  readonly type: string;
  /** `SHA256:...`, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  readonly blob: Buffer;
}

type HostNames =
  | { readonly kind: 'patterns'; readonly patterns: readonly string[] }
  | { readonly kind: 'hashed'; readonly salt: Buffer; readonly hash: Buffer };

/** One line of a known_hosts file. */
export interface KnownHost {
  /** In the text, counted from 1. */
  readonly line: number;
  readonly revoked: boolean;
  readonly names: HostNames;
  readonly key: PublicKey;
}

/** What known_hosts says of a key: `changed` lists the keys that are known instead. */
export type KnownHostVerdict =
  'match' | 'unknown' | 'revoked' | { readonly changed: readonly PublicKey[] };

/** `SHA256:` and the base64 without padding of the hash of a key blob, as OpenSSH prints it. */
export function fingerprint(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/**
 * Reads a key blob: a sequence of strings, each with its length in front (RFC 4253, 6.6), of which
 * the first names the type. `undefined` when it is cut off or is no key at all.
 */
export function publicKey(blob: Buffer): PublicKey | undefined {
  const fields: Buffer[] = [];
  for (let at = 0; at < blob.length;) {
    if (at + 4 > blob.length) return undefined;
    const end = at + 4 + blob.readUInt32BE(at);
    if (end > blob.length) return undefined;
    fields.push(blob.subarray(at + 4, end));
    at = end;
  }
  const [name, ...rest] = fields;
  if (name === undefined || rest.length === 0) return undefined;
  const type = name.toString('latin1');
  if (!/^[a-z0-9][a-z0-9@.-]+$/i.test(type)) return undefined;
  return { type, fingerprint: fingerprint(blob), blob };
}

/** The name under which ssh(1) looks a server up: with its port only where that is not 22. */
export function lookupName(host: string, port: number): string {
  const name = host.toLowerCase();
  return port === 22 ? name : `[${name}]:${port}`;
}

/** The line that `ssh-keyscan` would print for this key. */
export function knownHostsLine(host: string, port: number, key: PublicKey): string {
  return `${lookupName(host, port)} ${key.type} ${key.blob.toString('base64')}`;
}

/**
 * Reads known_hosts text. Never throws: what can't be used is a problem that names the input and
 * the line, and all of them are found at once.
 * @param input name of the input that the text came from, for the messages
 */
export function parseKnownHosts(
  text: string,
  input = 'known-hosts',
): { readonly entries: readonly KnownHost[]; readonly problems: readonly Problem[] } {
  const entries: KnownHost[] = [];
  const problems: Problem[] = [];
  text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\n|\r/)
    .forEach((raw, index) => {
      const content = raw.trim();
      if (content === '' || content.startsWith('#')) return;
      const line = index + 1;
      const entry = parseLine(content, line);
      if ('names' in entry) entries.push(entry);
      else {
        problems.push({
          reason: 'input-invalid',
          message: `input ${input}, line ${line}: ${entry.message}`,
          hint: entry.hint,
        });
      }
    });
  return { entries, problems };
}

const SCAN_HINT =
  'A line is a host name, a key type and the key, as `ssh-keyscan <host>` prints it.';

function parseLine(content: string, line: number): KnownHost | { message: string; hint: string } {
  const words = content.split(/[ \t]+/);
  const marker = content.startsWith('@') ? words.shift() : undefined;
  if (marker === '@cert-authority') {
    return {
      message: 'host certificates (@cert-authority) are not supported',
      hint: "List the server's own public key instead, as `ssh-keyscan <host>` prints it.",
    };
  }
  if (marker !== undefined && marker !== '@revoked') {
    return { message: `unknown marker "${marker}"; only @revoked is accepted`, hint: SCAN_HINT };
  }
  const [names = '', type, encoded] = words;
  if (/^(SHA256|MD5):/.test(names)) {
    return {
      message: 'this is a fingerprint, not a known_hosts line',
      hint: 'Fingerprints go into the input host-fingerprint.',
    };
  }
  if (/^(ssh-|ecdsa-sha2-|sk-)/.test(names) && type?.startsWith('AAAA') === true) {
    return { message: 'the host name in front of the key type is missing', hint: SCAN_HINT };
  }
  if (type === undefined || encoded === undefined) {
    return {
      message: `expected a host name, a key type and a key, but found ${words.length} of the 3`,
      hint: SCAN_HINT,
    };
  }
  const blob = base64(encoded);
  const key = blob === undefined ? undefined : publicKey(blob);
  if (key === undefined) {
    return {
      message: `the key of "${names}" can not be read; it may be cut off or broken over two lines`,
      hint: SCAN_HINT,
    };
  }
  if (key.type !== type) {
    return {
      message: `the key of "${names}" is of type ${key.type}, but the line calls it ${type}`,
      hint: SCAN_HINT,
    };
  }
  const parsed = parseNames(names);
  if (parsed === undefined) {
    return { message: `the host name "${names}" can not be read`, hint: SCAN_HINT };
  }
  return { line, revoked: marker === '@revoked', names: parsed, key };
}

function parseNames(text: string): HostNames | undefined {
  if (!text.startsWith('|')) {
    // Names are compared as ssh(1) does it: in lower case, the pattern too.
    // `[host]:22` is the bare name to ssh(1), which never writes it so; people do.
    const patterns = text
      .toLowerCase()
      .split(',')
      .map((pattern) => pattern.replace(/^(!?)\[([^\]]+)\]:22$/, '$1$2'));
    return patterns.some((pattern) => /^!?$|^\|/.test(pattern))
      ? undefined
      : { kind: 'patterns', patterns };
  }
  const [, salted, hashed] = /^\|1\|([^|]+)\|([^|]+)$/.exec(text) ?? [];
  const salt = base64(salted ?? '');
  const hash = base64(hashed ?? '');
  return salt?.length === 20 && hash?.length === 20 ? { kind: 'hashed', salt, hash } : undefined;
}

/** Node's own decoder skips what it doesn't know, so a damaged key would pass as another one. */
function base64(text: string): Buffer | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '')
    ? bytes
    : undefined;
}

/** The lines of known_hosts that speak of this server, revoked keys included. */
export function entriesFor(
  entries: readonly KnownHost[],
  host: string,
  port: number,
): readonly KnownHost[] {
  const name = lookupName(host, port);
  const own = entries.filter((entry) => listsName(entry.names, name));
  if (port === 22) return own;
  // ssh(1) takes a key that is known for the bare name where the one with the port is unknown.
  const bare = entries.filter((entry) => listsName(entry.names, lookupName(host, 22)));
  return own.some((entry) => !entry.revoked)
    ? [...own, ...bare.filter((entry) => entry.revoked)]
    : [...new Set([...own, ...bare])];
}

/**
 * Whether this server is known by this key.
 * @param host name or address as the user gave it, IPv6 without brackets
 */
export function lookup(
  entries: readonly KnownHost[],
  host: string,
  port: number,
  keyBlob: Buffer,
): KnownHostVerdict {
  const found = entriesFor(entries, host, port);
  const same = found.filter((entry) => entry.key.blob.equals(keyBlob));
  if (same.some((entry) => entry.revoked)) return 'revoked';
  if (same.length > 0) return 'match';
  // Another key under the bare name is no alarm: on another port another server may well listen.
  const name = lookupName(host, port);
  const known = found
    .filter((entry) => !entry.revoked && listsName(entry.names, name))
    .map((entry) => entry.key);
  return known.length === 0 ? 'unknown' : { changed: known };
}

function listsName(names: HostNames, name: string): boolean {
  if (names.kind === 'hashed') {
    return createHmac('sha1', names.salt).update(name).digest().equals(names.hash);
  }
  const matching = names.patterns.filter((pattern) =>
    fits(pattern.startsWith('!') ? pattern.slice(1) : pattern, name),
  );
  // One negated match takes the whole line out, wherever it stands in the list.
  return matching.length > 0 && matching.every((pattern) => !pattern.startsWith('!'));
}

/**
 * Whether a pattern fits all of a name: `*` is any text and `?` any one character; brackets are plain, they
 * enclose a host with port. Not by a regular expression, which takes ages for many `*` and a long name.
 */
function fits(pattern: string, name: string): boolean {
  let [at, read] = [0, 0];
  /** The last `*`, and how far the text that it stands for reaches. */
  let star: { readonly at: number; until: number } | undefined;
  while (read < name.length) {
    const sign = pattern[at];
    if (sign === '*') {
      star = { at, until: read };
      at += 1;
    } else if (sign === '?' || sign === name[read]) {
      at += 1;
      read += 1;
    } else if (star !== undefined) {
      star.until += 1;
      at = star.at + 1;
      read = star.until;
    } else return false;
  }
  return /^\**$/.test(pattern.slice(at));
}

/**
 * Reads the `host-fingerprint` input: one `SHA256:...` a line, with or without padding; a line as
 * `ssh-keygen -lf` prints it is accepted too. Never throws.
 */
export function parseFingerprints(
  text: string,
  input = 'host-fingerprint',
): { readonly fingerprints: readonly string[]; readonly problems: readonly Problem[] } {
  const fingerprints: string[] = [];
  const problems: Problem[] = [];
  text.split(/\r\n|\n|\r/).forEach((raw, index) => {
    const content = raw.trim();
    if (content === '' || content.startsWith('#')) return;
    const word = content.split(/\s+/).find((part) => part.startsWith('SHA256:')) ?? '';
    const digest = base64(word.slice('SHA256:'.length));
    if (digest?.length === 32) {
      fingerprints.push(`SHA256:${digest.toString('base64').replace(/=+$/, '')}`);
      return;
    }
    // Only what looks like a fingerprint is repeated: a private key in the wrong input must not be.
    const value = content.includes(':') && content.length < 200 ? `"${content}"` : 'this';
    problems.push({
      reason: 'input-invalid',
      message: `input ${input}, line ${index + 1}: ${value} is not a fingerprint of the form SHA256:<43 characters of base64>`,
      hint: 'On the server, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints it. A whole public key goes into the input known-hosts.',
    });
  });
  return { fingerprints, problems };
}
