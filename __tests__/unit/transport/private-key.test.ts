import { describe, expect, it } from '@jest/globals';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import ssh2 from 'ssh2';
import { Secret } from '../../../src/secret.js';
import {
  checkPrivateKey,
  readPrivateKey,
  repairPrivateKey,
} from '../../../src/transport/private-key.js';
import { makeKey } from '../../support/ssh-server.js';

const ed25519 = makeKey('ed25519');
const encrypted = makeKey('ed25519', 'open sesame');
const PASSPHRASE = 'open sesame';

const secret = (text: string): Secret => new Secret(text);
const check = (text: string, passphrase?: string): ReturnType<typeof checkPrivateKey> =>
  checkPrivateKey(secret(text), passphrase === undefined ? undefined : secret(passphrase));

/** The public half of what was read, or the problem. */
function publicHalf(text: string, passphrase?: string): string {
  const read = readPrivateKey(
    secret(text),
    passphrase === undefined ? undefined : secret(passphrase),
  );
  return 'reason' in read ? read.message : read.getPublicSSH().toString('base64');
}

const lock = { cipher: 'aes-256-cbc', passphrase: PASSPHRASE };
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const ec = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
const edwards = generateKeyPairSync('ed25519').privateKey;

describe('formats', () => {
  it.each([
    ['OpenSSH, ed25519', ed25519.privateKey],
    ['OpenSSH, RSA', makeKey('rsa').privateKey],
    ['OpenSSH, ECDSA', makeKey('ecdsa').privateKey],
    ['PEM, RSA', rsa.export({ type: 'pkcs1', format: 'pem' }).toString()],
    ['PEM, EC', ec.export({ type: 'sec1', format: 'pem' }).toString()],
    [
      'PEM, EC, behind its parameters',
      `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${ec.export({ type: 'sec1', format: 'pem' }).toString()}`,
    ],
    ['PKCS#8, RSA', rsa.export({ type: 'pkcs8', format: 'pem' }).toString()],
    ['PKCS#8, EC', ec.export({ type: 'pkcs8', format: 'pem' }).toString()],
    ['PKCS#8, ed25519', edwards.export({ type: 'pkcs8', format: 'pem' }).toString()],
  ])('%s is read', (_format, text) => {
    expect(check(text)).toBeUndefined();
    // A passphrase that is not needed does no harm.
    expect(check(text, 'unused')).toBeUndefined();
  });

  it.each([
    ['OpenSSH, ed25519', encrypted.privateKey],
    ['OpenSSH, RSA', makeKey('rsa', PASSPHRASE).privateKey],
    ['PEM, RSA', rsa.export({ type: 'pkcs1', format: 'pem', ...lock }).toString()],
    ['PEM, EC', ec.export({ type: 'sec1', format: 'pem', ...lock }).toString()],
    ['PKCS#8, RSA', rsa.export({ type: 'pkcs8', format: 'pem', ...lock }).toString()],
    ['PKCS#8, ed25519', edwards.export({ type: 'pkcs8', format: 'pem', ...lock }).toString()],
  ])('%s is read with its passphrase alone', (_format, text) => {
    expect(check(text, PASSPHRASE)).toBeUndefined();
    for (const none of [undefined, '']) {
      const problem = check(text, none);
      expect(problem?.reason).toBe('auth-failed');
      expect(problem?.message).toMatch(
        /private-key.*protected by a passphrase.*passphrase is empty/,
      );
    }
    const problem = check(text, 'wrong');
    expect(problem?.reason).toBe('auth-failed');
    expect(problem?.message).toMatch(/can not be unlocked with the input passphrase/);
    expect(check(repairPrivateKey(text.replaceAll('\n', '\r\n    ')), PASSPHRASE)).toBeUndefined();
  });

  it('PuTTY, version 2, RSA is read, and with its passphrase alone', () => {
    const of = (name: string): string =>
      readFileSync(new URL(`../../support/keys/${name}`, import.meta.url), 'utf8');
    expect(check(of('plain.ppk'))).toBeUndefined();
    expect(check(of('plain.ppk').replaceAll('\n', '\r\n  '), 'unused')).toBeUndefined();
    expect(check(of('locked.ppk'), PASSPHRASE)).toBeUndefined();
    expect(check(of('locked.ppk'))?.message).toMatch(/protected by a passphrase/);
    expect(check(of('locked.ppk'), 'wrong')?.message).toMatch(/can not be unlocked/);
  });

  it('reads a PKCS#8 key as the same key', () => {
    const jwk = edwards.export({ format: 'jwk' });
    const parsed = Buffer.from(
      publicHalf(edwards.export({ type: 'pkcs8', format: 'pem' }).toString()),
      'base64',
    );
    expect(parsed.subarray(-32).equals(Buffer.from(jwk.x ?? '', 'base64url'))).toBe(true);
  });

  it('refuses PKCS#8 keys that SSH does not have', () => {
    const { privateKey } = generateKeyPairSync('ed448');
    expect(check(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())?.message).toMatch(
      /no keys of type ed448/,
    );
  });
});

describe('repairPrivateKey', () => {
  const text = ed25519.privateKey;
  const whole = publicHalf(text);

  it.each([
    ['CRLF', text.replaceAll('\n', '\r\n')],
    ['CR alone', text.replaceAll('\n', '\r')],
    ['no last newline', text.trimEnd()],
    ['more last newlines', `${text}\n\n \n`],
    ['indentation', text.replaceAll('\n', '\n      ')],
    ['tabs and trailing blanks', text.replaceAll('\n', '  \t\n\t')],
    ['literal \\n in one line', text.replaceAll('\n', '\\n')],
    ['literal \\r\\n in one line', text.replaceAll('\n', '\\r\\n')],
    ['double quotes around', `"${text}"`],
    ['single quotes and literal \\n', `'${text.replaceAll('\n', '\\n')}'`],
    ['newlines turned into spaces', text.replaceAll('\n', ' ')],
    ['newlines lost', text.replaceAll('\n', '')],
    ['blank lines between', text.replaceAll('\n', '\n\n')],
    ['text around', `my key:\n${text}\nthanks`],
    ['a byte order mark', `\uFEFF${text}`],
    ['base64', Buffer.from(text).toString('base64')],
    [
      'base64 in lines, of a file with CRLF',
      `${
        Buffer.from(text.replaceAll('\n', '\r\n'))
          .toString('base64')
          .match(/.{1,76}/g)
          ?.join('\n') ?? ''
      }\n`,
    ],
  ])('undoes %s', (_damage, damaged) => {
    expect(publicHalf(damaged)).toBe(whole);
  });

  it('gives the same text for the same key, however it was damaged', () => {
    const repaired = repairPrivateKey(text);
    expect(repaired.endsWith('-----\n')).toBe(true);
    expect(repairPrivateKey(repaired)).toBe(repaired);
    expect(repairPrivateKey(text.replaceAll('\n', '\\n'))).toBe(repaired);
  });

  it('leaves text that is no key as it is', () => {
    expect(repairPrivateKey('  C:\\new\\key ')).toBe('C:\\new\\key');
  });
});

describe('a key that is read again', () => {
  it('is not unlocked again, which takes seconds, except with another passphrase', () => {
    const text = secret(encrypted.privateKey);
    const first = readPrivateKey(text, secret(PASSPHRASE));
    expect('reason' in first).toBe(false);
    expect(readPrivateKey(text, secret(PASSPHRASE))).toBe(first);
    expect(checkPrivateKey(text, secret('wrong'))).toBeDefined();
    expect(checkPrivateKey(text)).toBeDefined();
  });
});

describe('what is no usable key', () => {
  const lines = ed25519.privateKey.trim().split('\n');
  const body = lines.slice(1, -1).join('');
  const damaged = Buffer.from(body, 'base64');
  // In the private half: it ends with 64 bytes of key, a comment and up to 7 bytes of padding.
  damaged[damaged.length - 65] = (damaged[damaged.length - 65] ?? 0) ^ 1;

  it.each<[string, string, RegExp]>([
    ['nothing', ' \n', /is empty/],
    ['a public key', ed25519.publicLine, /public key/],
    [
      'a public key in PEM',
      '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----',
      /public key/,
    ],
    [
      'a public key of RFC 4716',
      '---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----',
      /public key/,
    ],
    ['a key of PuTTY', 'PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n', /PuTTY/],
    [
      'base64 of something else',
      Buffer.from('hunter2 '.repeat(9)).toString('base64'),
      /not a private key/,
    ],
    [
      'base64 of half a key',
      Buffer.from(ed25519.privateKey.slice(0, 120)).toString('base64'),
      /cut off/,
    ],
    ['a path', '~/.ssh/id_ed25519', /path/],
    ['anything else', 'hunter2 is my password', /not a private key/],
    ['no END line', lines.slice(0, -1).join('\n'), /cut off/],
    ['no BEGIN line', lines.slice(1).join('\n'), /cut off/],
    ['half of it', [...lines.slice(0, 2), lines.at(-1)].join('\n'), /can not be read/],
    [
      'a flipped bit',
      `${lines[0] ?? ''}\n${damaged.toString('base64')}\n${lines.at(-1) ?? ''}`,
      /can not be read/,
    ],
  ])('%s', (_what, text, message) => {
    const problem = check(text);
    expect(problem?.reason).toBe('auth-failed');
    expect(problem?.message).toMatch(/^input private-key: /);
    expect(problem?.message).toMatch(message);
    expect(problem?.hint).toBeDefined();
    // Whatever it was, it may be a secret.
    expect(inspect(problem)).not.toContain('hunter2');
    expect(inspect(problem)).not.toContain(body.slice(60, 90));
  });

  it('says that a key on a hardware token is of no use here', () => {
    // What ssh-keygen -t ed25519-sk writes names this type where the others name theirs.
    const text = Buffer.from(body, 'base64')
      .toString('latin1')
      .replaceAll('\0\0\0\x0bssh-ed25519', '\0\0\0\x1ask-ssh-ed25519@openssh.com');
    const blob = Buffer.from(text, 'latin1');
    // Both halves grew, and say so in their lengths.
    const grown = 26 - 11;
    const publicAt = 'openssh-key-v1\0'.length + 4 + 4 + 4 + 4 + 4 + 4;
    blob.writeUInt32BE(blob.readUInt32BE(publicAt) + grown, publicAt);
    const privateAt = publicAt + 4 + blob.readUInt32BE(publicAt);
    blob.writeUInt32BE(blob.readUInt32BE(privateAt) + grown, privateAt);
    const key = `${lines[0] ?? ''}\n${blob.toString('base64')}\n${lines.at(-1) ?? ''}`;
    expect(check(key)?.message).toMatch(/hardware token/);
  });

  it('names the inputs of the bastion where they are meant', () => {
    const inputs = { key: 'jump-private-key', passphrase: 'jump-passphrase' };
    expect(checkPrivateKey(secret(encrypted.privateKey), undefined, inputs)?.message).toMatch(
      /jump-private-key.*jump-passphrase/,
    );
  });

  it('takes keys as ssh2 makes them', () => {
    expect(ssh2.utils.parseKey(repairPrivateKey(ed25519.privateKey))).not.toBeInstanceOf(Error);
  });
});
