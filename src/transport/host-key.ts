/**
 * Decides whether a server is the one that the user means, by its host key alone and before
 * anything of ours is sent, and words the refusal so that the right key can be pinned.
 */
import { DeployError } from '../errors.js';
import { entriesFor, knownHostsLine, lookup, publicKey } from './known-hosts.js';
import type { KnownHost, PublicKey } from './known-hosts.js';

export type HostKeyPolicy =
  | { readonly kind: 'known-hosts'; readonly entries: readonly KnownHost[] }
  | { readonly kind: 'fingerprints'; readonly fingerprints: readonly string[] }
  | { readonly kind: 'off' };

/** A key that a server showed and proved to own. */
export interface SeenHostKey extends PublicKey {
  /** Name or address as the user gave it, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

export type HostKeyVerdict =
  /** `verified` is false where the check is off. */
  | { readonly accepted: true; readonly verified: boolean }
  | {
      readonly accepted: false;
      readonly why: 'unknown' | 'changed' | 'revoked' | 'mismatch';
      /** What is pinned for this host instead, for the message. */
      readonly pinned: readonly string[];
    };

/**
 * Signature algorithms for host keys in the order of preference, by the type of key that they use.
 * The names that ssh2 offers by default; `ssh-rsa` (SHA-1) comes last of all.
 */
const ALGORITHMS: readonly (readonly [algorithm: string, keyType: string])[] = [
  ['ssh-ed25519', 'ssh-ed25519'],
  ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp256'],
  ['ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp384'],
  ['ecdsa-sha2-nistp521', 'ecdsa-sha2-nistp521'],
  ['rsa-sha2-512', 'ssh-rsa'],
  ['rsa-sha2-256', 'ssh-rsa'],
  ['ssh-rsa', 'ssh-rsa'],
];

/** What is to be done with a server that shows this key. */
export function judgeHostKey(policy: HostKeyPolicy, seen: SeenHostKey): HostKeyVerdict {
  switch (policy.kind) {
    case 'off':
      return { accepted: true, verified: false };
    case 'fingerprints':
      return policy.fingerprints.includes(seen.fingerprint)
        ? { accepted: true, verified: true }
        : { accepted: false, why: 'mismatch', pinned: policy.fingerprints };
    case 'known-hosts': {
      const verdict = lookup(policy.entries, seen.host, seen.port, seen.blob);
      if (verdict === 'match') return { accepted: true, verified: true };
      return typeof verdict === 'string'
        ? { accepted: false, why: verdict, pinned: [] }
        : {
            accepted: false,
            why: 'changed',
            pinned: verdict.changed.map((key) => `${key.type} ${key.fingerprint}`),
          };
    }
  }
}

/**
 * The host key algorithms to offer to a server, the most wanted first; empty when none is left.
 *
 * A server has several keys, and the client's order decides which one it shows. Types that
 * known_hosts has for the host come first, as ssh(1) does it; the others stay on the list, so that
 * a server without the pinned type is refused for the key it shows and not for a lack of algorithms.
 * A fingerprint doesn't tell its type: after a mismatch the caller asks again without the types
 * that were seen.
 * @param refusedTypes types of key that the server showed already and that did not match
 */
export function hostKeyAlgorithms(
  policy: HostKeyPolicy,
  host: string,
  port: number,
  refusedTypes: readonly string[] = [],
): readonly string[] {
  const pinned = new Set(
    policy.kind === 'known-hosts'
      ? entriesFor(policy.entries, host, port)
          .filter((entry) => !entry.revoked)
          .map((entry) => entry.key.type)
      : [],
  );
  const left = ALGORITHMS.filter(([, type]) => !refusedTypes.includes(type));
  return [
    ...left.filter(([, type]) => pinned.has(type)),
    ...left.filter(([, type]) => !pinned.has(type)),
  ].map(([algorithm]) => algorithm);
}

/** A key blob as the server sent it, put together with where it was seen. */
export function seenHostKey(host: string, port: number, blob: Buffer): SeenHostKey | undefined {
  const key = publicKey(blob);
  return key === undefined ? undefined : { ...key, host, port };
}

/** The lines to paste into the inputs, once the key is known to be right. */
export function pinningHint(seen: readonly SeenHostKey[]): string {
  return [
    'Compare the fingerprint on another way, for example on the console of the server with',
    ...seen.map((key) => `  ssh-keygen -lf /etc/ssh/ssh_host_${keyFile(key.type)}_key.pub`),
    'Only if it is the same, set the input known-hosts to',
    ...seen.map((key) => `  ${knownHostsLine(key.host, key.port, key)}`),
    'or the input host-fingerprint to',
    ...seen.slice(0, 1).map((key) => `  ${key.fingerprint}`),
  ].join('\n');
}

function keyFile(type: string): string {
  if (type === 'ssh-rsa') return 'rsa';
  return type.startsWith('ecdsa-') ? 'ecdsa' : 'ed25519';
}

/** The warning for a connection whose host key nobody checked (`host-key-check: off`). */
export function unverifiedWarning(seen: SeenHostKey): string {
  return (
    `The host key of ${place(seen)} was not checked (host-key-check: off): whoever answers at this ` +
    `address gets the login. It showed ${seen.type} ${seen.fingerprint}.\n${pinningHint([seen])}`
  );
}

/**
 * The error for a server that was refused. Says what was seen, what was pinned and, as a hint, what
 * to set.
 * @param seen the keys that the server showed, in the order of the attempts
 * @param verdict on the last of them
 */
export function hostKeyRefusal(
  seen: readonly [SeenHostKey, ...SeenHostKey[]],
  verdict: Extract<HostKeyVerdict, { accepted: false }>,
): DeployError {
  const [first] = seen;
  const where = place(first);
  const message = {
    revoked: `The host key of ${where} is marked @revoked in known-hosts`,
    changed: `The host key of ${where} is not the one in known-hosts. Either the server was set up anew, or somebody else answers at its address`,
    unknown: `The host key of ${where} is not known: known-hosts has no line for it`,
    mismatch: `The host key of ${where} matches no line of host-fingerprint`,
  }[verdict.why];
  const shown = seen.map((key) => `\n  seen:   ${key.type} ${key.fingerprint}`);
  const pinned =
    verdict.pinned.length === 0
      ? ['\n  pinned: no key for this host']
      : verdict.pinned.map((key) => `\n  pinned: ${key}`);
  return new DeployError(
    'host-key',
    'invalid',
    [`${message}; no login was sent to it.`, ...shown, ...pinned].join(''),
    {
      hint:
        verdict.why === 'revoked'
          ? 'A revoked key is never accepted. Give the server a new host key, or find out who answers at its address.'
          : pinningHint(seen),
    },
  );
}

function place(key: SeenHostKey): string {
  return key.host.includes(':') ? `[${key.host}]:${key.port}` : `${key.host}:${key.port}`;
}
