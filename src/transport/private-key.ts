/**
 * Turns the text of a private key input into a key that SSH can log in with, or into a problem that
 * says what was pasted instead. Runs while the inputs are checked, before anything is connected.
 */
import { createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import ssh2 from 'ssh2';
import type { ParsedKey } from 'ssh2';
import type { Problem } from '../errors.js';
import type { Secret } from '../secret.js';
import { KEY_INPUTS, keyInBase64, type KeyInputs } from './key-inputs.js';

/**
 * Undoes what copying through forms, shells and secret stores does to a key: CRLF, a missing last
 * newline, indentation, surrounding quotes, newlines written as `\n` or turned into spaces, and base64
 * of the whole file. The key itself is not touched, and text that is no key comes back trimmed.
 */
export function repairPrivateKey(text: string): string {
  let plain = (keyInBase64(text) ?? text).replace(/^\uFEFF/, '').trim();
  const [, , quoted] = /^(["'`])([\s\S]*)\1$/.exec(plain) ?? [];
  if (quoted !== undefined) plain = quoted.trim();
  if (plain.includes('-----BEGIN') || plain.startsWith('PuTTY-')) {
    plain = plain.replace(/\\r\\n|\\n|\\r/g, '\n');
  }
  const lines = plain.split(/\r\n|\n|\r/).map((line) => line.trim());
  const unindented = lines.join('\n');
  const [, label, body] =
    /-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----([\s\S]*?)-----END \1-----/.exec(unindented) ?? [];
  if (label === undefined || body === undefined) return unindented;
  // Headers (`Proc-Type: ...`) of the old encrypted format end with an empty line.
  const content = body
    .trim()
    .split('\n')
    .map((line) => line.trim());
  const headers = content.filter((line) => line.includes(':'));
  const data = content
    .filter((line) => !line.includes(':'))
    .join('')
    .replace(/\s+/g, '');
  return [
    `-----BEGIN ${label}-----`,
    ...(headers.length === 0 ? [] : [...headers, '']),
    ...(data.match(/.{1,70}/g) ?? []),
    `-----END ${label}-----`,
    '',
  ].join('\n');
}

/**
 * Keys that were unlocked before. To unlock one takes seconds on purpose (bcrypt, in JavaScript),
 * and it is needed for the check of the inputs and for each connection.
 */
const unlocked = new WeakMap<Secret, { readonly passphrase: string; readonly key: ParsedKey }>();

/**
 * Reads a private key. Never throws.
 * @returns the key, unlocked; or the problem, which never repeats any of the text
 */
export function readPrivateKey(
  text: Secret,
  passphrase?: Secret,
  inputs: KeyInputs = KEY_INPUTS,
): ParsedKey | Problem {
  const phrase = passphrase?.reveal() ?? '';
  const before = unlocked.get(text);
  if (before?.passphrase === phrase) return before.key;
  const repaired = repairPrivateKey(text.reveal());
  const foreign = notAPrivateKey(repaired, inputs);
  if (foreign !== undefined) return foreign;
  const encrypted = isEncrypted(repaired);
  if (encrypted && phrase === '') {
    return problem(
      `input ${inputs.key}: the key is protected by a passphrase, and the input ${inputs.passphrase} is empty`,
      `Set the input ${inputs.passphrase}, or use a key without one.`,
    );
  }
  const key = parse(repaired, encrypted ? phrase : undefined);
  if (key instanceof Error) {
    if (/unsupported openssh private key type: sk-/i.test(key.message)) {
      return problem(
        `input ${inputs.key}: the key lives on a hardware token, which is not there during the run`,
        NEW_KEY_HINT,
      );
    }
    return encrypted
      ? problem(
          `input ${inputs.key}: the key can not be unlocked with the input ${inputs.passphrase}`,
          'The passphrase is wrong, or the key was damaged when it was copied. `ssh-keygen -y -f <key>` asks for the passphrase and tells which.',
        )
      : problem(
          `input ${inputs.key}: the key can not be read (${key.message}); it may be cut off or damaged`,
          'Paste the whole file again, from the BEGIN line to the END line. `ssh-keygen -y -f <key>` tells whether a file is a sound key.',
        );
  }
  unlocked.set(text, { passphrase: phrase, key });
  return key;
}

/**
 * Checks the inputs `private-key` and `passphrase`.
 * @returns the problem (`auth-failed`), or `undefined` for a key that can be used
 */
export function checkPrivateKey(
  text: Secret,
  passphrase?: Secret,
  inputs: KeyInputs = KEY_INPUTS,
): Problem | undefined {
  const read = readPrivateKey(text, passphrase, inputs);
  return 'reason' in read ? read : undefined;
}

const NEW_KEY_HINT =
  'Make a key for deploys with `ssh-keygen -t ed25519 -f deploy-key`: the file deploy-key goes into the input, the line in deploy-key.pub into ~/.ssh/authorized_keys on the server.';

function problem(message: string, hint: string): Problem {
  return { reason: 'auth-failed', message, hint };
}

/** Recognises the other things that end up in this input. */
function notAPrivateKey(text: string, inputs: KeyInputs): Problem | undefined {
  const is = (what: string, hint: string): Problem => problem(`input ${inputs.key}: ${what}`, hint);
  if (text === '') return is('the text is empty', NEW_KEY_HINT);
  if (/^(ssh-|ecdsa-sha2-|sk-)\S+ +AAAA/.test(text) || /-----? ?BEGIN [^-]*PUBLIC KEY/.test(text)) {
    return is(
      'this is the public key; the private one is needed',
      'Paste the file without .pub, which begins with -----BEGIN. The public key goes into ~/.ssh/authorized_keys on the server.',
    );
  }
  // ssh2 reads version 2 of PuTTY's format, for these two types.
  if (/^PuTTY-User-Key-File-2: ssh-(rsa|dss)\n/.test(text)) return undefined;
  if (text.startsWith('PuTTY-User-Key-File-')) {
    return is(
      'this is a key in the format of PuTTY',
      'Convert it: `puttygen key.ppk -O private-openssh -o key`, or in PuTTYgen Conversions > Export OpenSSH key.',
    );
  }
  if (text.includes('PRIVATE KEY-----')) {
    return text.startsWith('-----BEGIN') && /-----END [A-Z0-9 ]*PRIVATE KEY-----/.test(text)
      ? undefined
      : is(
          'the key is cut off: a BEGIN line and an END line of the same kind are needed',
          'Paste the whole file, from the BEGIN line to the END line.',
        );
  }
  if (/^[~./][^\n]*$/.test(text)) {
    return is(
      'this looks like the path of a file; the text of the key is needed',
      'Put the content of the file into a secret and pass that.',
    );
  }
  return is(
    'this is not a private key: it has no -----BEGIN ... PRIVATE KEY----- line',
    NEW_KEY_HINT,
  );
}

function isEncrypted(text: string): boolean {
  if (text.startsWith('-----BEGIN ENCRYPTED PRIVATE KEY')) return true;
  if (/^Proc-Type: *4,ENCRYPTED/m.test(text)) return true;
  if (text.startsWith('PuTTY-')) return !/^Encryption: none$/m.test(text);
  if (!text.startsWith('-----BEGIN OPENSSH')) return false;
  // OpenSSH, PROTOCOL.key: a magic of 15 bytes, then the name of the cipher as a string.
  const bytes = Buffer.from(text.replace(/-----[^-]+-----/g, ''), 'base64');
  return bytes.length >= 23 && bytes.toString('latin1', 19, 19 + bytes.readUInt32BE(15)) !== 'none';
}

function parse(text: string, passphrase: string | undefined): ParsedKey | Error {
  try {
    const readable = /^-----BEGIN (ENCRYPTED )?PRIVATE KEY/.test(text)
      ? fromPkcs8(
          createPrivateKey({ key: text, ...(passphrase === undefined ? {} : { passphrase }) }),
        )
      : text;
    if (readable instanceof Error) return readable;
    const key = ssh2.utils.parseKey(readable, passphrase);
    if (key instanceof Error) return key;
    // One signature finds damage that the format doesn't show, before the server has to.
    const probe = Buffer.from('probe');
    // ssh2 signs with SHA-1 where an RSA key is given no algorithm; some systems forbid that.
    const algorithm = key.type === 'ssh-rsa' ? 'sha256' : undefined;
    const signature: Buffer | Error = key.sign(probe, algorithm);
    if (signature instanceof Error) return signature;
    return key.verify(probe, signature, algorithm)
      ? key
      : new Error('its two halves do not fit together');
  } catch (error) {
    // Anew: what OpenSSL throws has a `reason` of its own, which a problem has too.
    return new Error((error as Error).message);
  }
}

/**
 * A PKCS#8 key, which `openssl genrsa` and `genpkey` write since OpenSSL 3 and OpenSSH reads, in a
 * form that ssh2 reads: it knows the types' own PEM formats and that of OpenSSH only.
 */
function fromPkcs8(key: KeyObject): string | Error {
  const type = key.asymmetricKeyType;
  if (type === 'rsa') return key.export({ type: 'pkcs1', format: 'pem' }).toString();
  if (type === 'ec') return key.export({ type: 'sec1', format: 'pem' }).toString();
  if (type === 'ed25519') {
    const { d = '', x = '' } = key.export({ format: 'jwk' });
    return openSshEd25519(Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url'));
  }
  return new Error(`SSH has no keys of type ${type ?? 'unknown'}`);
}

/** The format `openssh-key-v1` (OpenSSH, PROTOCOL.key), not encrypted. */
function openSshEd25519(seed: Buffer, point: Buffer): string {
  const string = (bytes: Buffer | string): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(bytes));
    return Buffer.concat([length, Buffer.from(bytes)]);
  };
  const publicPart = Buffer.concat([string('ssh-ed25519'), string(point)]);
  const checks = Buffer.alloc(8);
  const privatePart = Buffer.concat([
    checks,
    publicPart,
    string(Buffer.concat([seed, point])),
    string(''),
  ]);
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7]).subarray(
    0,
    (8 - (privatePart.length % 8)) % 8,
  );
  const one = Buffer.from([0, 0, 0, 1]);
  const all = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    string('none'),
    string('none'),
    string(''),
    one,
    string(publicPart),
    string(Buffer.concat([privatePart, padding])),
  ]);
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${all.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}
