import { describe, expect, it } from '@jest/globals';
import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import {
  fingerprint,
  knownHostsLine,
  lookup,
  parseFingerprints,
  parseKnownHosts,
  publicKey,
} from '../../../src/transport/known-hosts.js';
import type { KnownHostVerdict } from '../../../src/transport/known-hosts.js';
import { makeKey } from '../../support/ssh-server.js';

const key = makeKey('ed25519');
const other = makeKey('ed25519');
const rsa = makeKey('rsa');
const K = `${key.type} ${key.blob.toString('base64')}`;
const OTHER = `${other.type} ${other.blob.toString('base64')}`;
const RSA = `${rsa.type} ${rsa.blob.toString('base64')}`;

function hashedName(name: string): string {
  const salt = Buffer.from('0123456789abcdefghij');
  const hash = createHmac('sha1', salt).update(name).digest();
  return `|1|${salt.toString('base64')}|${hash.toString('base64')}`;
}

function verdict(text: string, host: string, port = 22, blob = key.blob): KnownHostVerdict {
  const { entries, problems } = parseKnownHosts(text);
  expect(problems).toEqual([]);
  return lookup(entries, host, port, blob);
}

const kind = (result: KnownHostVerdict): string =>
  typeof result === 'string' ? result : 'changed';

describe('lookup', () => {
  it.each<[string, string, string, number, string]>([
    ['a plain name', `host.example ${K}`, 'host.example', 22, 'match'],
    ['a name in other case', `Host.Example ${K}`, 'HOST.example', 22, 'match'],
    ['another name', `host.example ${K}`, 'host.example.org', 22, 'unknown'],
    ['a name of which it is the end', `example ${K}`, 'host.example', 22, 'unknown'],
    ['a dot that is no wildcard', `host.example ${K}`, 'hostxexample', 22, 'unknown'],
    ['one of a list', `a,b,10.0.0.1 ${K}`, '10.0.0.1', 22, 'match'],
    ['IPv6 on port 22', `2001:db8::1 ${K}`, '2001:db8::1', 22, 'match'],
    ['IPv6 on another port', `[2001:db8::1]:2222 ${K}`, '2001:db8::1', 2222, 'match'],
    ['a name with its port', `[host]:2222 ${K}`, 'host', 2222, 'match'],
    ['a name with another port', `[host]:2222 ${K}`, 'host', 2223, 'unknown'],
    ['a name with port, asked on 22', `[host]:2222 ${K}`, 'host', 22, 'unknown'],
    ['the bare name on another port, as ssh(1)', `host ${K}`, 'host', 2222, 'match'],
    ['another key under the bare name', `host ${OTHER}`, 'host', 2222, 'unknown'],
    [
      'the bare name, overruled by the port',
      `host ${K}\n[host]:2222 ${OTHER}`,
      'host',
      2222,
      'changed',
    ],
    ['a hashed name', `${hashedName('host')} ${K}`, 'HOST', 22, 'match'],
    ['another hashed name', `${hashedName('host')} ${K}`, 'host2', 22, 'unknown'],
    ['a hashed name with port', `${hashedName('[host]:2222')} ${K}`, 'host', 2222, 'match'],
    ['port 22 in brackets', `[host]:22 ${K}`, 'host', 22, 'match'],
    ['port 22 in brackets, negated', `*,![host]:22 ${K}`, 'host', 22, 'unknown'],
    ['an address with port 22', `[2001:db8::1]:22 ${K}`, '2001:db8::1', 22, 'match'],
    ['a star', `*.example ${K}`, 'a.b.example', 22, 'match'],
    ['a star alone', `* ${K}`, 'host', 2222, 'match'],
    ['a star with port', `[*.example]:2222 ${K}`, 'a.example', 2222, 'match'],
    ['a question mark', `node-? ${K}`, 'node-1', 22, 'match'],
    ['a question mark for two', `node-? ${K}`, 'node-12', 22, 'unknown'],
    ['a negated name', `*.example,!bad.example ${K}`, 'bad.example', 22, 'unknown'],
    ['a negated name in front', `!bad.example,*.example ${K}`, 'bad.example', 22, 'unknown'],
    ['beside a negated name', `*.example,!bad.example ${K}`, 'good.example', 22, 'match'],
    ['a negated name alone', `!bad.example ${K}`, 'good.example', 22, 'unknown'],
    ['another key', `host ${OTHER}`, 'host', 22, 'changed'],
    ['a key of another type only', `host ${RSA}`, 'host', 22, 'changed'],
    ['one of several keys', `host ${RSA}\nhost ${OTHER}\nhost ${K}`, 'host', 22, 'match'],
    ['a revoked key', `host ${K}\n@revoked * ${K}`, 'host', 22, 'revoked'],
    ['a revoked key, elsewhere', `host ${K}\n@revoked other ${K}`, 'host', 22, 'match'],
    [
      'a key revoked for the bare name',
      `[host]:22222 ${K}\n@revoked host ${K}`,
      'host',
      22222,
      'revoked',
    ],
    ['another key revoked', `host ${K}\n@revoked host ${OTHER}`, 'host', 22, 'match'],
    ['revoked keys only', `@revoked host ${OTHER}`, 'host', 22, 'unknown'],
  ])('%s', (_what, text, host, port, expected) => {
    expect(kind(verdict(text, host, port))).toBe(expected);
  });

  it('matches wildcards as a regular expression would, of any pattern', () => {
    const part = fc.constantFrom('*', '?', 'a', 'b', '.', '[', ']', ':22', '(', '+');
    const word = fc.array(part, { minLength: 1, maxLength: 8 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(word, fc.stringMatching(/^[ab.]{1,6}$/), (pattern, host) => {
        const source = pattern
          // The usual port, written out, is the same as none.
          .replace(/^\[([^\]]+)\]:22$/, '$1')
          .replace(/[.+^${}()|[\]\\]/g, '\\$&')
          .replaceAll('*', '.*')
          .replaceAll('?', '.');
        const wanted = new RegExp(`^${source}$`, 's').test(host);
        expect(verdict(`${pattern} ${K}`, host)).toBe(wanted ? 'match' : 'unknown');
      }),
      { numRuns: 2000 },
    );
  });

  it('does not take ages for many wildcards and a long name', () => {
    // As a regular expression this takes longer than the universe is old.
    const pattern = `${'*m'.repeat(60)}*x`;
    expect(verdict(`${pattern} ${K}`, 'm'.repeat(250))).toBe('unknown');
    expect(verdict(`${pattern} ${K}`, `${'m'.repeat(250)}x`)).toBe('match');
  });

  it('lists the keys that are known instead', () => {
    const result = verdict(`host ${OTHER}\nhost ${RSA}\nelse ${K}\n@revoked host ${RSA}`, 'host');
    expect(result).toMatchObject({
      changed: [
        { type: 'ssh-ed25519', fingerprint: other.fingerprint },
        { type: 'ssh-rsa', fingerprint: rsa.fingerprint },
      ],
    });
  });

  it('knows a host by the very line that it prints for it', () => {
    fc.assert(
      fc.property(fc.domain(), fc.integer({ min: 1, max: 65535 }), (host, port) => {
        const line = knownHostsLine(host, port, { ...key, type: key.type });
        expect(verdict(line, host, port)).toBe('match');
        expect(kind(verdict(line, host, port, other.blob))).toBe('changed');
        expect(verdict(line, `x${host}`, port)).toBe('unknown');
      }),
    );
  });
});

describe('parseKnownHosts', () => {
  it('reads what an editor made of it: comments, blank lines, CRLF, tabs, a byte order mark', () => {
    const text = `\uFEFF# host:22 SSH-2.0-OpenSSH\r\n\r\n  a\t${K.replace(' ', '\t')}  root@a\r\n   \r\n@revoked\tb ${OTHER}`;
    const { entries, problems } = parseKnownHosts(text);
    expect(problems).toEqual([]);
    expect(entries.map(({ line, revoked }) => [line, revoked])).toEqual([
      [3, false],
      [5, true],
    ]);
  });

  it.each([
    ['a certificate authority', `@cert-authority * ${K}`, /@cert-authority.*not supported/],
    ['an unknown marker', `@trusted * ${K}`, /marker "@trusted"/],
    ['no key', 'host ssh-ed25519', /found 2 of the 3/],
    ['no type', 'host', /found 1 of the 3/],
    ['no host', K, /host name in front/],
    ['a fingerprint', key.fingerprint, /fingerprint/],
    ['a key that is cut off', `host ${K.slice(0, -9)}`, /cut off/],
    ['a key with a wrong character', `host ${K.slice(0, -9)}*${K.slice(-8)}`, /can not be read/],
    [
      'a type that is not that of the key',
      `host ssh-rsa ${K.split(' ')[1] ?? ''}`,
      /of type ssh-ed25519/,
    ],
    ['a broken hash', `|1|abc|def ${K}`, /host name/],
    ['a hash in a list', `a,${hashedName('b')} ${K}`, /host name/],
    ['an empty name in a list', `a,,b ${K}`, /host name/],
    ['a key of protocol 1', 'host 1024 35 1234567890', /can not be read/],
  ])('names input and line of %s', (_what, line, message) => {
    const { entries, problems } = parseKnownHosts(`ok ${K}\n\n${line}\nok2 ${OTHER}`);
    expect(entries).toHaveLength(2);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.reason).toBe('input-invalid');
    expect(problems[0]?.message).toMatch(/^input known-hosts, line 3: /);
    expect(problems[0]?.message).toMatch(message);
    expect(problems[0]?.hint).toBeDefined();
  });

  it('reports every bad line at once', () => {
    const { problems } = parseKnownHosts('a\nb ssh-rsa\n@cert-authority c', 'jump-known-hosts');
    expect(problems.map(({ message }) => message.split(':')[0])).toEqual([
      'input jump-known-hosts, line 1',
      'input jump-known-hosts, line 2',
      'input jump-known-hosts, line 3',
    ]);
  });

  it('never throws, and never accepts a key that is not there', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const { entries } = parseKnownHosts(text);
        expect(lookup(entries, 'host', 22, key.blob)).toBe('unknown');
      }),
    );
  });
});

describe('against ssh-keygen (OpenSSH)', () => {
  // Written by `ssh-keygen -H`, from "host.example,10.0.0.1 ..." and "[2001:db8::1]:2222 ...".
  const file = `|1|AnOgbP+hzVQfzvZYRHB6Xh1QIro=|6lJ6qnCaIlyO5FXKdk+0tcDWaVw= ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBCiVql1B1iLxatTcpsA3v+mS43b7/kIIeggFC+wYN0A
|1|SoZ4Mv/JDkMAEA5Kcuc+//Pgpn4=|JEA+JoSXHZKybjREy8+b3sA35VA= ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBCiVql1B1iLxatTcpsA3v+mS43b7/kIIeggFC+wYN0A
|1|0jQ95L810ZOOw8UOMYVK6T8/LWQ=|XTMhikDNRDivxLlllLp1P/nCIDs= ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBD1syzSOBhRzfwA9rMOaQ5OllI3MhovXpH/Sbpg45Tn45pZdynOQhfKx8wtWQk3A6b5Xd6g+ZMaEWF/SAjNZ53I=
`;
  const [first, , third] = file
    .split('\n')
    .map((line) => Buffer.from(line.split(' ')[2] ?? '', 'base64')) as [Buffer, Buffer, Buffer];

  it('agrees on hashed names', () => {
    expect(verdict(file, 'host.example', 22, first)).toBe('match');
    expect(verdict(file, '10.0.0.1', 22, first)).toBe('match');
    expect(verdict(file, '2001:db8::1', 2222, third)).toBe('match');
    expect(verdict(file, '2001:db8::1', 22, third)).toBe('unknown');
    expect(kind(verdict(file, '10.0.0.1', 22, third))).toBe('changed');
  });

  it('agrees on types and fingerprints', () => {
    expect(publicKey(first)).toMatchObject({
      type: 'ssh-ed25519',
      fingerprint: 'SHA256:HbeFAFahlCne0evPMJEf0QZVltGRb1WLf01G3hiDHC4',
    });
    expect(fingerprint(third)).toBe('SHA256:cjkolojsp/z0UxcSGXQRe/pttHacvvXqfTaqrX2j6I8');
    expect(publicKey(third)?.type).toBe('ecdsa-sha2-nistp256');
  });

  it('takes no key that is cut off anywhere', () => {
    for (let end = 0; end < first.length; end += 1) {
      // Behind the type comes one string: nothing shorter is whole.
      expect(publicKey(first.subarray(0, end))).toBeUndefined();
    }
  });
});

describe('parseFingerprints', () => {
  it('takes them with padding, with comments and as ssh-keygen -l prints them', () => {
    const text = `# prod\r\n${key.fingerprint}=\n\n  256 ${other.fingerprint} root@host (ED25519)\n`;
    expect(parseFingerprints(text)).toEqual({
      fingerprints: [key.fingerprint, other.fingerprint],
      problems: [],
    });
  });

  it.each([
    ['MD5', 'MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48'],
    ['one that is cut off', key.fingerprint.slice(0, -1)],
    ['one with a wrong character', `${key.fingerprint.slice(0, -1)}*`],
    ['a whole key', K],
  ])('refuses %s and names input and line', (_what, line) => {
    const { fingerprints, problems } = parseFingerprints(`${key.fingerprint}\n${line}`);
    expect(fingerprints).toEqual([key.fingerprint]);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.message).toMatch(/^input host-fingerprint, line 2: /);
  });

  it('repeats nothing of a private key that was pasted here', () => {
    const { problems } = parseFingerprints(key.privateKey);
    expect(problems.length).toBeGreaterThan(3);
    const body = key.privateKey.split('\n')[1]!;
    expect(JSON.stringify(problems)).not.toContain(body.slice(0, 20));
  });
});
