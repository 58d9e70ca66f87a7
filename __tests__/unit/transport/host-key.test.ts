import { describe, expect, it } from '@jest/globals';
import {
  hostKeyAlgorithms,
  hostKeyRefusal,
  judgeHostKey,
  seenHostKey,
  unverifiedWarning,
} from '../../../src/transport/host-key.js';
import type {
  HostKeyPolicy,
  HostKeyVerdict,
  SeenHostKey,
} from '../../../src/transport/host-key.js';
import { parseKnownHosts } from '../../../src/transport/known-hosts.js';
import { makeKey } from '../../support/ssh-server.js';

const ed25519 = makeKey('ed25519');
const other = makeKey('ed25519');
const rsa = makeKey('rsa');

const seen = (key = ed25519, host = 'host', port = 22): SeenHostKey =>
  seenHostKey(host, port, key.blob)!;
const knownHosts = (text: string): HostKeyPolicy => ({
  kind: 'known-hosts',
  entries: parseKnownHosts(text).entries,
});
const line = (name: string, key = ed25519): string =>
  `${name} ${key.type} ${key.blob.toString('base64')}\n`;

function refuse(
  policy: HostKeyPolicy,
  key: SeenHostKey,
): Extract<HostKeyVerdict, { accepted: false }> {
  const verdict = judgeHostKey(policy, key);
  if (verdict.accepted) throw new Error('was accepted');
  return verdict;
}

describe('judgeHostKey', () => {
  it('accepts a key of known_hosts and one with a pinned fingerprint', () => {
    expect(judgeHostKey(knownHosts(line('host')), seen())).toEqual({
      accepted: true,
      verified: true,
    });
    expect(
      judgeHostKey(
        { kind: 'fingerprints', fingerprints: [rsa.fingerprint, ed25519.fingerprint] },
        seen(),
      ),
    ).toEqual({ accepted: true, verified: true });
  });

  it('accepts any key where the check is off, and says that it is not verified', () => {
    expect(judgeHostKey({ kind: 'off' }, seen())).toEqual({ accepted: true, verified: false });
  });

  it.each<[string, HostKeyPolicy, string]>([
    ['unknown', knownHosts(line('elsewhere')), 'unknown'],
    ['unknown, with nothing pinned at all', knownHosts(''), 'unknown'],
    ['changed', knownHosts(line('host', other)), 'changed'],
    ['revoked', knownHosts(`${line('host')}@revoked ${line('host')}`), 'revoked'],
    [
      'not among the fingerprints',
      { kind: 'fingerprints', fingerprints: [other.fingerprint] },
      'mismatch',
    ],
    ['with no fingerprints given', { kind: 'fingerprints', fingerprints: [] }, 'mismatch'],
  ])('refuses a key that is %s', (_what, policy, why) => {
    expect(refuse(policy, seen()).why).toBe(why);
  });
});

describe('hostKeyAlgorithms', () => {
  const all = [
    'ssh-ed25519',
    'ecdsa-sha2-nistp256',
    'ecdsa-sha2-nistp384',
    'ecdsa-sha2-nistp521',
    'rsa-sha2-512',
    'rsa-sha2-256',
    'ssh-rsa',
  ];

  it('offers first what is pinned for this host, so that the server shows it', () => {
    const policy = knownHosts(line('a', rsa) + line('b') + line('[a]:2222'));
    expect(hostKeyAlgorithms(policy, 'a', 22).slice(0, 4)).toEqual([
      'rsa-sha2-512',
      'rsa-sha2-256',
      'ssh-rsa',
      'ssh-ed25519',
    ]);
    expect(hostKeyAlgorithms(policy, 'b', 22)).toEqual(all);
    expect(hostKeyAlgorithms(policy, 'c', 22)).toEqual(all);
  });

  it('does not ask for a type of which only a revoked key is known', () => {
    expect(hostKeyAlgorithms(knownHosts(`@revoked ${line('a', rsa)}`), 'a', 22)).toEqual(all);
  });

  it('leaves out the types that did not match', () => {
    const policy: HostKeyPolicy = { kind: 'fingerprints', fingerprints: [rsa.fingerprint] };
    expect(hostKeyAlgorithms(policy, 'a', 22, ['ssh-ed25519', 'ecdsa-sha2-nistp256'])).toEqual(
      all.filter((name) => name !== 'ssh-ed25519' && name !== 'ecdsa-sha2-nistp256'),
    );
    expect(hostKeyAlgorithms(policy, 'a', 22, all)).toEqual([]);
  });
});

describe('hostKeyRefusal', () => {
  it('shows what was seen, what was pinned and the lines to set', () => {
    const key = seen(ed25519, '2001:db8::1', 2222);
    const verdict = refuse(knownHosts(line('[2001:db8::1]:2222', other)), key);
    const error = hostKeyRefusal([key], verdict);
    expect(error).toMatchObject({ reason: 'host-key', outcome: 'invalid' });
    expect(error.message).toContain('[2001:db8::1]:2222');
    expect(error.message).toContain(`seen:   ssh-ed25519 ${ed25519.fingerprint}`);
    expect(error.message).toContain(`pinned: ssh-ed25519 ${other.fingerprint}`);
    expect(error.message).toContain('no login was sent');
    expect(error.hint).toContain(line('[2001:db8::1]:2222').trim());
    expect(error.hint).toMatch(/known-hosts[\s\S]*host-fingerprint/);
    expect(error.hint).toContain('ssh_host_ed25519_key.pub');
  });

  it('gives lines that then accept the key', () => {
    const key = seen(rsa, 'Host.Example', 2222);
    const { hint = '' } = hostKeyRefusal([key], refuse(knownHosts(''), key));
    const pasted = hint.split('\n').find((each) => each.includes(' ssh-rsa ')) ?? '';
    expect(judgeHostKey(knownHosts(pasted), key)).toEqual({ accepted: true, verified: true });
    const printed = /SHA256:\S+/.exec(hint)?.[0] ?? '';
    expect(judgeHostKey({ kind: 'fingerprints', fingerprints: [printed] }, key).accepted).toBe(
      true,
    );
  });

  it('never suggests to pin a revoked key', () => {
    const verdict = refuse(knownHosts(`@revoked ${line('host')}`), seen());
    const error = hostKeyRefusal([seen()], verdict);
    expect(error.message).toMatch(/@revoked/);
    expect(error.hint).not.toContain(ed25519.fingerprint);
    expect(error.hint).not.toContain(ed25519.blob.toString('base64'));
  });

  it('lists every key that was seen before a fingerprint was refused', () => {
    const policy: HostKeyPolicy = { kind: 'fingerprints', fingerprints: [other.fingerprint] };
    const keys = [seen(), seen(rsa)] as const;
    const { message, hint } = hostKeyRefusal([...keys], refuse(policy, keys[1]));
    for (const text of [ed25519.fingerprint, rsa.fingerprint, other.fingerprint]) {
      expect(message).toContain(text);
    }
    expect(hint).toContain('ssh_host_rsa_key.pub');
  });
});

describe('unverifiedWarning', () => {
  it('gives the lines to pin', () => {
    const text = unverifiedWarning(seen());
    expect(text).toContain('host-key-check: off');
    expect(text).toContain(line('host').trim());
    expect(text).toContain(ed25519.fingerprint);
  });
});

describe('seenHostKey', () => {
  it('is undefined for bytes that are no key', () => {
    expect(seenHostKey('host', 22, Buffer.from('nonsense'))).toBeUndefined();
  });
});
