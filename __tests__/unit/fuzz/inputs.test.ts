/** What a workflow gives: inputs, durations, registries, host keys, private keys. */
import { describe, expect } from '@jest/globals';
import fc from 'fast-check';
import { formatDuration, MAX_DURATION_MS, parseDuration } from '../../../src/duration.js';
import { InvalidInput } from '../../../src/errors.js';
import {
  credentialLines,
  describeInputs,
  inputNames,
  parseInputs,
  secretValues,
  type InputName,
} from '../../../src/inputs.js';
import { Secret } from '../../../src/secret.js';
import {
  fingerprint,
  lookup,
  parseFingerprints,
  parseKnownHosts,
} from '../../../src/transport/known-hosts.js';
import { checkPrivateKey, repairPrivateKey } from '../../../src/transport/private-key.js';
import { fuzz, soup } from '../../support/fuzz.js';
import { makeKey } from '../../support/ssh-server.js';

const KEY = makeKey();
const OTHER = makeKey('ecdsa');
const KEY_LINES = KEY.privateKey.split('\n').filter((line) => /^[A-Za-z0-9+/=]{20}/.test(line));

const GOOD: Readonly<Partial<Record<InputName, string>>> = {
  stack: 'shop',
  host: 'deploy@manager.example.com',
  'private-key': KEY.privateKey,
  'known-hosts': `manager.example.com ${KEY.type} ${KEY.blob.toString('base64')}`,
};
const WORDS = [
  ...['true', 'FALSE', 'yes', 'local', 'deploy', 'rollback', 'previous', 'auto', '0', '-1', '22'],
  ...['1h30m', '10m', '500ms', '99999999999999999999h', '65536', '::error::x', '##[error]', '${X}'],
  ...[
    'a@b:22',
    '[::1]:22',
    '[',
    ']',
    '@',
    ':',
    '/',
    'http://',
    'unix:///',
    ' ',
    '\t',
    '\r\n',
    '\n',
  ],
  ...[
    'KEY=VALUE',
    '=',
    '#',
    '-',
    '- ',
    '{',
    '}',
    "'",
    '"',
    '\\',
    '\u0000',
    '\u202e',
    '\ufeff',
    'é',
  ],
  ...['registry: ', 'username: ', 'password: ', 'ghcr.io', '&a ', '*a', '!!str ', '|\n', '>\n'],
  ...['SHA256:', '@revoked ', '*', '?', '!', '|1|', 'AAAA', 'x'.repeat(300)],
];
const anyText = soup(WORDS, 8);

/** A secret that no other text can hold by accident, with signs of YAML, shell and URL in it. */
const CANARY = fc
  .tuple(
    fc.string({
      unit: fc.constantFrom(...'a b c d e f 0 1 2 3 4 5 6 7 8 9'.split(' ')),
      minLength: 12,
      maxLength: 20,
    }),
    fc.constantFrom('', '"', "'", '\\', '$(x)', ' #', ': ', '\u0001', '%41', '::error::'),
  )
  .map(([text, sign]) => `kq${text}${sign}zz`);

const SECRET_INPUTS = ['passphrase', 'password', 'registry-password'] as const;

function parse(given: Readonly<Partial<Record<InputName, string>>>) {
  return parseInputs((name) => given[name] ?? '', { agentSocket: undefined, checkPrivateKey });
}

describe('inputs', () => {
  fuzz(
    'any inputs give one decided value or problems that name an input',
    12,
    fc.property(fc.dictionary(fc.constantFrom(...inputNames), anyText, { maxKeys: 6 }), (odd) => {
      try {
        expect(parse({ ...GOOD, ...odd }).stack).toMatch(/^[a-zA-Z0-9][\w-]*$/);
      } catch (error) {
        if (!(error instanceof InvalidInput)) throw error;
        expect(error.problems.length).toBeGreaterThan(0);
        for (const { message } of error.problems)
          expect(inputNames.some((name) => message.startsWith(`input ${name}`))).toBe(true);
      }
    }),
  );

  fuzz(
    'no secret is in a problem or in what the report says of the inputs, and each is masked',
    8,
    fc.property(
      fc.tuple(CANARY, CANARY, CANARY),
      CANARY,
      fc.dictionary(fc.constantFrom(...inputNames), anyText, { maxKeys: 3 }),
      fc.constantFrom<InputName[]>('host', 'stack', 'timeout', 'registry', 'revision', 'username'),
      (secrets, listed, odd, misplaced) => {
        const own = Object.fromEntries(SECRET_INPUTS.map((name, at) => [name, secrets[at]!]));
        const registries = `- registry: r.example.com\n  username: u\n  password: ${listed}\n`;
        const given = { ...GOOD, 'registry-username': 'u', registries, ...odd, ...own };
        // The usual accident: a secret in the input beside its own.
        const wrong = { ...given, [misplaced]: secrets[1] };
        for (const inputs of [given, wrong]) {
          const hidden = [...secrets, ...(inputs.registries === registries ? [listed] : [])];
          let said: string;
          try {
            const parsed = parse(inputs);
            if (inputs === wrong) continue; // Then it was taken for what the input is for.
            said = JSON.stringify(describeInputs(parsed)) + JSON.stringify(parsed);
            // As the run itself does: before the inputs are looked at, and once they are.
            const masked = [
              ...credentialLines((name) => inputs[name] ?? ''),
              ...secretValues(parsed),
            ];
            for (const secret of secrets) expect(masked).toContain(secret);
          } catch (error) {
            if (!(error instanceof InvalidInput)) throw error;
            said = JSON.stringify(error.problems) + error.message + String(error.stack);
          }
          for (const secret of hidden) {
            expect(said).not.toContain(secret);
            expect(said).not.toContain(JSON.stringify(secret).slice(1, -1));
          }
        }
      },
    ),
  );

  fuzz(
    'durations: any text is one or is not, and each is read back as it is written',
    10,
    fc.property(
      fc.oneof(
        soup(['1', '0', '9', 'h', 'm', 's', 'ms', ' ', '-', '.', 'd', '١', '9'.repeat(30)], 8),
        fc.nat(MAX_DURATION_MS),
      ),
      (given) => {
        if (typeof given === 'number') expect(parseDuration(formatDuration(given))).toBe(given);
        else {
          const ms = parseDuration(given) ?? 0;
          expect(Number.isSafeInteger(ms) || ms > MAX_DURATION_MS).toBe(true);
          expect(ms).toBeGreaterThanOrEqual(0);
        }
      },
    ),
  );

  fuzz(
    'registries: every password that YAML can quote arrives as it is',
    4,
    fc.property(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
      fc.boolean(),
      (password, single) => {
        fc.pre(password.trim() !== '' && !/[\p{C}\u0085\u2028\u2029]/u.test(password));
        const quoted = single ? `'${password.replaceAll("'", "''")}'` : JSON.stringify(password);
        const registries = `- registry: ghcr.io\n  username: u\n  password: ${quoted}\n`;
        const inputs = parse({ ...GOOD, registries });
        expect(inputs.registries[0]?.password.reveal()).toBe(password);
      },
    ),
  );
});

describe('host keys', () => {
  const line = fc.oneof(
    soup([...WORDS, KEY.type, OTHER.type, KEY.blob.toString('base64'), 'm1', 'm1,m2', '[m1]:2222']),
    fc
      .tuple(
        fc.constantFrom('', '@revoked ', '@cert-authority '),
        soup(['*', '?', 'm1', 'm', '1', '!', ',', '.', '[', ']', ':2222', '(', '\\'], 14),
        fc.constantFrom(KEY, OTHER),
      )
      .map(
        ([marker, names, key]) => `${marker}${names} ${key.type} ${key.blob.toString('base64')}`,
      ),
  );
  fuzz(
    'known_hosts: whatever stands there, only a listed key is taken',
    8,
    fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
      const { entries, problems } = parseKnownHosts(lines.join('\n'));
      expect(problems.every(({ message }) => message.startsWith('input known-hosts'))).toBe(true);
      for (const key of [KEY, OTHER])
        for (const [host, port] of [
          ['m1', 22],
          ['m1', 2222],
          ['m'.repeat(250), 22],
        ] as const) {
          const verdict = lookup(entries, host, port, key.blob);
          if (verdict !== 'match') continue;
          const own = entries.filter((entry) => entry.key.blob.equals(key.blob));
          expect(own.some(({ revoked }) => !revoked)).toBe(true);
        }
    }),
  );

  fuzz(
    'fingerprints: each is read back, and nothing else is taken for one',
    4,
    fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      soup(['SHA256:', 'MD5:', 'A', '=', ' ', '\n', '#', '256 ', KEY.fingerprint], 10),
      (bytes, text) => {
        const print = fingerprint(bytes);
        expect(parseFingerprints(`${print}\r\n`).fingerprints).toEqual([print]);
        for (const found of parseFingerprints(text).fingerprints)
          expect(found).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
      },
    ),
  );
});

describe('private keys', () => {
  const mangled = fc
    .tuple(
      fc.constantFrom('\n', '\r\n', '\\n', '\\r\\n', ' ', '\n   ', '\n\t'),
      fc.constantFrom('', '"', "'", '`'),
      fc.constantFrom('', '\ufeff', '\n\n', '   '),
      fc.constantFrom('', '\n', '\n\n', '  '),
    )
    .map(
      ([between, quote, before, after]) =>
        `${before}${quote}${KEY.privateKey.trim().split('\n').join(between)}${quote}${after}`,
    );
  fuzz(
    'what copying does to a key is repaired, once and for all',
    2,
    fc.property(mangled, (text) => {
      expect(checkPrivateKey(new Secret(text), undefined)).toBeUndefined();
      expect(repairPrivateKey(repairPrivateKey(text))).toBe(repairPrivateKey(text));
    }),
  );

  fuzz(
    'of any other text a problem is told, which repeats nothing of it',
    4,
    fc.property(
      soup([
        ...['-----BEGIN OPENSSH PRIVATE KEY-----', '-----END OPENSSH PRIVATE KEY-----', '\n', ':'],
        ...['-----BEGIN RSA PRIVATE KEY-----', 'Proc-Type: 4,ENCRYPTED', 'PuTTY-User-Key-File-3: '],
        ...['-----BEGIN PUBLIC KEY-----', 'ssh-ed25519 AAAA', ...KEY_LINES],
      ]),
      (text) => {
        const problem = checkPrivateKey(new Secret(text), undefined);
        const said = JSON.stringify(problem ?? '');
        for (const each of KEY_LINES) expect(said).not.toContain(each);
        expect(repairPrivateKey(repairPrivateKey(text))).toBe(repairPrivateKey(text));
      },
    ),
  );
});
