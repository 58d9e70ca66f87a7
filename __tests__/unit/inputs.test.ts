/** The inputs as users give them, good and bad, and what is decided from them. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { formatDuration, MAX_DURATION_MS, parseDuration } from '../../src/duration.js';
import { InvalidInput, type Problem } from '../../src/errors.js';
import {
  describeInputs,
  type InputContext,
  inputNames,
  type InputName,
  type Inputs,
  parseInputs,
  secretValues,
} from '../../src/inputs.js';
import { Secret } from '../../src/secret.js';
import { checkPrivateKey } from '../../src/transport/private-key.js';

type Given = Partial<Record<InputName, string>>;

const FINGERPRINT = `SHA256:${createHash('sha256').update('host key').digest('base64').replace('=', '')}`;
const PEM =
  '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----\n';

/** The least that makes a deploy over SSH. */
const LEAST: Given = {
  stack: 'shop',
  host: 'deploy@manager.example.com',
  'private-key': PEM,
  'host-fingerprint': FINGERPRINT,
};

/** A line of known_hosts with a key blob as servers send them. */
function knownHostsLine(host: string): string {
  const field = (bytes: Buffer | string): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(bytes));
    return Buffer.concat([length, Buffer.from(bytes)]);
  };
  const blob = Buffer.concat([field('ssh-ed25519'), field(Buffer.alloc(32, 7))]);
  return `${host} ssh-ed25519 ${blob.toString('base64')}`;
}

function parse(given: Given, context: InputContext = {}): Inputs {
  return parseInputs((name) => given[name] ?? '', context);
}

function problemsOf(given: Given, context: InputContext = {}): readonly Problem[] {
  try {
    parse(given, context);
  } catch (error) {
    if (error instanceof InvalidInput) return error.problems;
    throw error;
  }
  return [];
}

/** The messages about the least inputs with these on top. */
const messages = (given: Given, context: InputContext = {}): readonly string[] =>
  problemsOf({ ...LEAST, ...given }, context).map(({ message }) => message);

const hints = (given: Given): string =>
  problemsOf({ ...LEAST, ...given })
    .map(({ hint }) => hint ?? '')
    .join('\n');

const ok = (given: Given, context: InputContext = {}): Inputs =>
  parse({ ...LEAST, ...given }, context);

const ssh = (given: Given, context: InputContext = {}) => {
  const { connection } = ok(given, context);
  if (connection.kind !== 'ssh') throw new Error('expected a connection by SSH');
  return connection;
};

describe('the least inputs', () => {
  it('become a deploy with every default', () => {
    const inputs = ok({});
    expect(inputs).toEqual({
      mode: 'deploy',
      stack: 'shop',
      connection: {
        kind: 'ssh',
        managers: [{ host: 'manager.example.com', port: 22, username: 'deploy' }],
        credentials: { privateKey: new Secret(PEM) },
        hostKeys: { kind: 'fingerprints', fingerprints: [FINGERPRINT] },
        connectTimeoutMs: 20_000,
      },
      docker: { sudo: false },
      registries: [],
      compose: { files: [], env: new Map(), envFiles: [], allowUnset: false, profiles: [] },
      lintIgnore: [],
      keepReplicas: false,
      prune: false,
      rotate: true,
      resolveImage: 'always',
      withRegistryAuth: true,
      watch: {
        wait: true,
        timeoutMs: 900_000,
        progressTimeoutMs: 300_000,
        stableForMs: 'auto',
        maxFailures: 3,
      },
      onFailure: 'rollback',
      verify: { checks: [], timeoutMs: 60_000 },
      lock: { on: true, timeoutMs: 15 * 60_000 },
      history: 10,
      revision: 'previous',
      onRerun: 'restore',
      onCancel: 'keep',
    });
  });

  it('are two on a runner that is itself a manager', () => {
    expect(parse({ stack: 'shop', host: 'local' }).connection).toEqual({ kind: 'local' });
  });

  it('are all told when none is given, as GitHub enforces none', () => {
    const found = problemsOf({});
    expect(found.map(({ message }) => message)).toEqual([
      'input stack: missing: the name of the stack',
      'input host: missing: the address of a swarm manager, or local',
      expect.stringMatching(/^input private-key: empty/),
      expect.stringMatching(/^input known-hosts: empty/),
    ]);
    expect(
      found.every(({ reason, hint }) => reason === 'input-invalid' && hint !== undefined),
    ).toBe(true);
  });

  it('may be empty or blank where there is a default', () => {
    const own = new Set<InputName>([
      'passphrase',
      'password',
      'jump-passphrase',
      'registry-password',
    ]);
    const blank = inputNames.filter((name) => LEAST[name] === undefined && !own.has(name));
    expect(blank).toHaveLength(inputNames.length - 8);
    expect(ok(Object.fromEntries(blank.map((name) => [name, ' \n '])))).toEqual(ok({}));
  });
});

describe('all problems at once', () => {
  it('names every input, its value and what is accepted', () => {
    expect(
      messages({
        stack: 'my shop',
        port: '70000',
        timeout: '10',
        prune: 'yes',
        'on-failure': 'undo',
        mode: 'preview',
        'max-failures': '-1',
      }),
    ).toEqual([
      'input mode: "preview" is not accepted; accepted: deploy, rollback, plan, status or remove',
      'input stack: "my shop" is not a stack name; accepted: letters, digits, - and _, a letter or digit first',
      'input port: "70000" is not a port; accepted: a number from 1 to 65535',
      'input prune: "yes" is not a boolean; accepted: true or false',
      'input timeout: "10" is not a duration; accepted: 500ms, 30s, 10m or 1h30m',
      'input max-failures: "-1" is not a number of failures; accepted: a whole number, 0 or more',
      'input on-failure: "undo" is not accepted; accepted: rollback or keep',
    ]);
  });

  it('makes pasted characters visible that look like others', () => {
    expect(messages({ stack: 'my\u00a0shop' })[0]).toContain(
      '"my<U+00A0>shop" (with U+00A0, no-break space)',
    );
    expect(messages({ 'on-failure': '\u201ckeep\u201d' })[0]).toContain('curly quote');
    expect(messages({ stack: 'a\u200bb' })[0]).toContain('zero width space');
  });

  it('cuts long values', () => {
    const [message = ''] = messages({ stack: '!'.repeat(5000) });
    expect(message).toContain('... (cut)');
    expect(message.length).toBeLessThan(250);
  });

  it('never throws anything else, and never quotes a secret, whatever the inputs hold', () => {
    const secret = fc.stringMatching(/^[A-Za-z0-9+/]{12}s3cret[A-Za-z0-9+/]{12}$/);
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }),
      fc.constantFrom('local', 'true', '- {}', '-', '[', 'a=b', '::1', 'deploy@h:22', '10s', '\n'),
      fc
        .array(fc.constantFrom(...'[]{}:@=-*&!|#\'"\n \\%,/.a1'.split('')), { maxLength: 40 })
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...inputNames), text),
        secret,
        fc.constantFrom('private-key', 'passphrase', 'password', 'registry-password'),
        fc.subarray([...inputNames]),
        fc.constantFrom('', '\n', '@host', ': x', ' ', '=='),
        (given, hidden, at, alsoAt, behind) => {
          const also = Object.fromEntries(alsoAt.map((name) => [name, hidden + behind]));
          const found = problemsOf(
            { ...given, ...also, [at]: hidden },
            {
              checkPrivateKey,
            },
          );
          expect(JSON.stringify(found)).not.toContain(hidden);
        },
      ),
      { numRuns: 1500 },
    );
  });

  it('survives a list nested deeper than the parser can go', () => {
    for (const deep of ['[', '{a: ', '- ', '? ', '- [', '-\n '])
      expect(messages({ registries: deep.repeat(20_000) })).toEqual([
        expect.stringMatching(/^input registries: too long or too deep/),
      ]);
  });
});

describe('stack', () => {
  it.each(['shop', 'Shop-2_b', '1', 'a-', 'a'.repeat(61)])('%j is a name', (stack) => {
    expect(ok({ stack: ` ${stack}\n` }).stack).toBe(stack);
  });
  it.each(['-shop', '_shop', 'a.b', 'a b', 'a/b', '"a"', 'é', 'a\nb', '$(x)', 'a'.repeat(62)])(
    '%j is none',
    (stack) => {
      expect(messages({ stack })).toEqual([expect.stringMatching(/^input stack: ".*accepted: /)]);
    },
  );
});

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['10m', 600_000],
    ['1h30m', 5_400_000],
    ['90m', 5_400_000],
    ['2h0m1s', 7_201_000],
    ['576h', MAX_DURATION_MS],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
    expect(ok({ timeout: text }).watch.timeoutMs).toBe(ms);
  });

  it.each([
    '30',
    '0',
    '-1s',
    '+1s',
    '1.5h',
    '1,5h',
    '1 h',
    '1h 30m',
    '30m1h',
    '1h1h',
    '1d',
    '10M',
    's',
    '1e3s',
    '٣s',
    'auto',
  ])('%j is none', (text) => {
    expect(parseDuration(text)).toBeUndefined();
    expect(parseDuration('')).toBeUndefined();
    expect(messages({ timeout: text })).toEqual([
      `input timeout: "${text}" is not a duration; accepted: 500ms, 30s, 10m or 1h30m`,
    ]);
  });

  it('proposes units for a bare number', () => {
    expect(hints({ 'progress-timeout': '90' })).toContain('"90s" for seconds, "90m" for minutes');
  });

  it('fit a timer of Node, whose limit is 2^31-1 ms', () => {
    expect(MAX_DURATION_MS).toBeLessThan(2 ** 31);
    for (const text of ['577h', '576h1ms', '9'.repeat(400) + 's'])
      expect(messages({ timeout: text })).toEqual([expect.stringContaining('at most 576h')]);
  });

  it('may be zero for stable-for alone', () => {
    expect(ok({ 'stable-for': '0s' }).watch.stableForMs).toBe(0);
    for (const name of ['timeout', 'progress-timeout', 'connect-timeout'] as const)
      expect(messages({ [name]: '0s' })).toEqual([expect.stringMatching(/more than zero$/)]);
  });

  it('leave room for stable-for within timeout, where it is waited', () => {
    expect(messages({ 'stable-for': '10m', timeout: '10m' })).toEqual([
      'input stable-for: "10m" is not less than the timeout of 10m: no deploy could succeed',
    ]);
    expect(messages({ 'stable-for': '10m', timeout: '10m', wait: 'false' })).toEqual([]);
    expect(messages({ 'stable-for': '10m', timeout: 'x' })).toHaveLength(1);
  });

  it('are written as they are read', () => {
    fc.assert(
      fc.property(fc.nat({ max: MAX_DURATION_MS }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
    );
    expect([0, 1500, 90_000, 5_400_000].map(formatDuration)).toEqual([
      '0s',
      '1s500ms',
      '1m30s',
      '1h30m',
    ]);
  });
});

describe('booleans, choices and numbers', () => {
  it.each(['true', 'TRUE', ' True\n'])('%j is true', (sudo) => {
    expect(ok({ sudo }).docker.sudo).toBe(true);
  });
  it.each(['yes', '1', 'on', 'no', '0', 'truee', "'true'"])('%j is no boolean', (sudo) => {
    expect(messages({ sudo })).toEqual([
      `input sudo: "${sudo}" is not a boolean; accepted: true or false`,
    ]);
  });
  it('takes a choice only as it is written', () => {
    expect(ok({ 'resolve-image': 'never' }).resolveImage).toBe('never');
    expect(messages({ 'resolve-image': 'Never' })).toEqual([
      'input resolve-image: "Never" is not accepted; accepted: always, changed or never',
    ]);
  });
  it.each(['1.5', '1e3', '0x1', '3 4', '9'.repeat(30), 'three'])(
    '%j is no number of failures',
    (n) => {
      expect(messages({ 'max-failures': n })).toHaveLength(1);
    },
  );
  it('takes zero failures', () => {
    expect(ok({ 'max-failures': '0' }).watch.maxFailures).toBe(0);
  });
});

describe('host', () => {
  it.each([
    ['m1', { host: 'm1', port: 2200, username: 'ci' }],
    ['m_1.internal.', { host: 'm_1.internal.', port: 2200, username: 'ci' }],
    ['m1:22', { host: 'm1', port: 22, username: 'ci' }],
    ['root@10.0.0.1', { host: '10.0.0.1', port: 2200, username: 'root' }],
    ['root@10.0.0.1:65535', { host: '10.0.0.1', port: 65_535, username: 'root' }],
    ['[2001:db8::1]', { host: '2001:db8::1', port: 2200, username: 'ci' }],
    ['root@[fe80::1%eth0]:23', { host: 'fe80::1%eth0', port: 23, username: 'root' }],
    ['svc@corp@m1', { host: 'm1', port: 2200, username: 'svc@corp' }],
    ['CORP\\svc@m1', { host: 'm1', port: 2200, username: 'CORP\\svc' }],
    ['deploy@local', { host: 'local', port: 2200, username: 'deploy' }],
    ['localhost', { host: 'localhost', port: 2200, username: 'ci' }],
  ])('%j', (host, target) => {
    expect(ssh({ host, port: '2200', username: 'ci' }).managers).toEqual([target]);
  });

  it.each([
    ['ssh://deploy@m1:22/x', /is a URL/, '"deploy@m1:22"'],
    ['2001:db8::1', /without brackets/, '"[2001:db8::1]"'],
    ['root@::1', /without brackets/, '"root@[::1]"'],
    ['m1, m2', /more than one host/, 'one host per line'],
    ['m1 m2', /more than one host/, 'one host per line'],
    ['m1:', /no port after/, ''],
    ['m1:0', /no port after/, ''],
    ['m1:022', /no port after/, ''],
    ['m1:65536', /no port after/, ''],
    ['m1:22:23', /no port after/, ''],
    ['[2001:db8::1', /is not a host/, ''],
    ['[m1]:22', /no IPv6 address/, ''],
    ['[1::2::3]', /no IPv6 address/, ''],
    ['10.0.0.256', /not an IPv4 address/, ''],
    ['10.0.1', /not an IPv4 address/, ''],
    ['010.0.0.1', /not an IPv4 address/, ''],
    ['@m1', /no user before/, ''],
    ['root@', /names no host/, ''],
    ['-m1', /not a host name/, ''],
    ['m1..x', /not a host name/, ''],
    ['m$1', /not a host name/, ''],
    ['münchen.example', /xn--/, ''],
    ['m\u00a01', /no-break space/, ''],
  ])('%j is refused', (host, why, hint) => {
    const found = problemsOf({ ...LEAST, host, username: 'ci' });
    expect(found.map(({ message }) => message)).toEqual([expect.stringMatching(why)]);
    expect(found[0]?.message).toMatch(/^input host: .*; accepted: \[user@\]host\[:port\]/);
    expect(found[0]?.hint ?? '').toContain(hint);
  });

  it('tells the line, and takes each manager once, in order', () => {
    expect(messages({ host: 'deploy@a\n\n  deploy@b:x\n' })).toEqual([
      expect.stringMatching(/^input host, line 3: "deploy@b:x" has no port/),
    ]);
    expect(
      ssh({ host: '\r\n b \r\na\nb:22', username: 'x' }).managers.map(({ host }) => host),
    ).toEqual(['b', 'a']);
  });

  it('needs a user from somewhere', () => {
    expect(messages({ host: 'deploy@a\nb' })).toEqual([
      'input host, line 2: "b" names no user, and username is not given',
    ]);
    expect(messages({ host: 'b', username: 'a b' })).toEqual([
      expect.stringMatching(/^input username: "a b" is not a login name/),
    ]);
  });

  it('never shows a password that stands in it', () => {
    for (const given of [
      { host: 'deploy:hunter2@m1' },
      { host: 'ssh://deploy:hunter2@m1' },
      { username: 'deploy:hunter2', host: 'm1' },
    ]) {
      const [problem, ...more] = problemsOf({ ...LEAST, ...given });
      expect(more).toEqual([]);
      expect(JSON.stringify(problem)).not.toContain('hunter2');
      expect(problem?.hint).toContain('input password');
    }
  });

  it('is local alone', () => {
    expect(messages({ host: 'local\nm1' })).toEqual([
      expect.stringMatching(/^input host, line 1: local stands with/),
    ]);
    expect(messages({ host: 'Local' })).toEqual([expect.stringContaining('in small letters')]);
  });

  it('local does not look at the inputs for SSH, and keeps none of them', () => {
    const check = jest.fn(() => undefined);
    const inputs = ok(
      {
        host: 'local',
        port: 'x',
        'connect-timeout': 'x',
        'known-hosts': 'x',
        password: 'hunter2',
        'host-key-check': 'x',
      },
      { checkPrivateKey: check },
    );
    expect(inputs.connection).toEqual({ kind: 'local' });
    expect(secretValues(inputs)).toEqual([]);
    expect(check).not.toHaveBeenCalled();
  });
});

describe('login', () => {
  const agent = { agentSocket: '/run/agent.sock' };

  it('is by key, byte for byte; the agent is then not asked', () => {
    const { credentials } = ssh(
      { 'private-key': PEM, passphrase: ' open sesame \n', password: 'p\r\n' },
      agent,
    );
    expect(Object.keys(credentials).sort()).toEqual(['passphrase', 'password', 'privateKey']);
    expect(credentials.privateKey?.reveal()).toBe(PEM);
    expect(credentials.passphrase?.reveal()).toBe(' open sesame ');
    expect(credentials.password?.reveal()).toBe('p');
  });

  it('drops one line end of a password and no more', () => {
    expect(ssh({ password: 'a\n\n' }).credentials.password?.reveal()).toBe('a\n');
  });

  it('is by the agent where there is no key', () => {
    expect(ssh({ 'private-key': '' }, agent).credentials).toEqual({
      agentSocket: '/run/agent.sock',
    });
    expect(Object.keys(ssh({ 'private-key': '\n', password: 'x' }, agent).credentials)).toEqual([
      'password',
      'agentSocket',
    ]);
  });

  it('needs one of the three', () => {
    for (const context of [{}, { agentSocket: '' }])
      expect(messages({ 'private-key': ' ' }, context)).toEqual([
        'input private-key: empty, as is password, and there is no SSH agent (SSH_AUTH_SOCK): nothing to log in with',
      ]);
  });

  it('takes a passphrase without its key for a secret that could not be read', () => {
    expect(messages({ 'private-key': '', passphrase: 'x' }, agent)).toEqual([
      'input passphrase: given, but private-key is empty',
    ]);
  });

  it('has its key checked with the passphrase, and passes the problem on', () => {
    const checkKey = jest.fn<NonNullable<InputContext['checkPrivateKey']>>(() => ({
      reason: 'auth-failed',
      message: 'cannot be read: b3BlbnNzaC1rZXk',
      hint: 'phrase-1 is wrong',
    }));
    const [problem] = problemsOf(
      { ...LEAST, passphrase: 'phrase-1' },
      { checkPrivateKey: checkKey },
    );
    expect(
      checkKey.mock.calls[0]?.map((each) => (each instanceof Secret ? each.reveal() : each)),
    ).toEqual([PEM, 'phrase-1', { key: 'private-key', passphrase: 'passphrase' }]);
    expect(problem).toEqual({
      reason: 'auth-failed',
      message: 'input private-key: cannot be read: ***',
      hint: '*** is wrong',
    });
  });

  it('works together with the check of real keys', () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const good = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    expect(messages({ 'private-key': good }, { checkPrivateKey })).toEqual([]);
    expect(messages({ 'private-key': good.slice(0, 60) }, { checkPrivateKey })).toEqual([
      expect.stringMatching(/^input private-key: the key is cut off/),
    ]);
  });

  it('does not show a key that was put into another input', () => {
    for (const name of [
      'host',
      'known-hosts',
      'host-fingerprint',
      'username',
      'timeout',
      'stack',
    ] as const) {
      const found = problemsOf({
        ...LEAST,
        ...(name === 'known-hosts' ? { 'host-fingerprint': '' } : {}),
        [name]: PEM,
        'private-key': 'other',
      });
      expect(found.map(({ message }) => message)).toContain(`input ${name}: holds a private key`);
      expect(JSON.stringify(found)).not.toContain('b3BlbnNzaC1rZXk');
      expect(found.filter(({ message }) => message.startsWith(`input ${name}`))).toHaveLength(1);
    }
  });
});

describe('jump-host', () => {
  const JUMP_PEM = PEM.replaceAll('b3Blbn', 'anVtcC');
  const jumpOf = (given: Given): unknown => {
    const { connection } = parse({ ...LEAST, ...given });
    return connection.kind === 'ssh' ? connection.jump : undefined;
  };

  it.each<[string, Given, object]>([
    ['ops@bastion', {}, { host: 'bastion', port: 22, username: 'ops' }],
    ['ops@bastion:2200', {}, { host: 'bastion', port: 2200, username: 'ops' }],
    // As for ssh itself, the port of the managers is not that of the bastion.
    ['bastion', { username: 'u', port: '2222' }, { host: 'bastion', port: 22, username: 'u' }],
    ['ops@[2001:db8::7]:2200', {}, { host: '2001:db8::7', port: 2200, username: 'ops' }],
  ])('%s', (text, more, target) => {
    expect(jumpOf({ 'jump-host': text, ...more })).toMatchObject({ target });
  });

  it('is not used where it is empty', () => {
    expect(jumpOf({})).toBeUndefined();
    expect(jumpOf({ 'jump-host': ' \n' })).toBeUndefined();
  });

  it('is logged in to as the managers are, or with a key of its own and nothing else', () => {
    const { connection } = parse({ ...LEAST, 'jump-host': 'a@b', password: 'pass-1' });
    if (connection.kind !== 'ssh') throw new Error('not by SSH');
    expect(connection.jump?.credentials).toBe(connection.credentials);
    expect(
      jumpOf({
        'jump-host': 'a@b',
        password: 'pass-1',
        'jump-private-key': JUMP_PEM,
        'jump-passphrase': 'phrase-2',
      }),
    ).toEqual({
      target: { host: 'b', port: 22, username: 'a' },
      credentials: { privateKey: new Secret(JUMP_PEM), passphrase: new Secret('phrase-2') },
    });
  });

  it.each<[Given, string]>([
    [
      { 'jump-host': 'bastion' },
      'input jump-host: "bastion" names no user, and username is not given',
    ],
    [
      { 'jump-host': 'a@b\na@c' },
      'input jump-host: names more than one host; accepted: one, [user@]host[:port]',
    ],
    [
      { 'jump-host': 'a@b,a@c' },
      'input jump-host: names more than one host; accepted: one, [user@]host[:port]',
    ],
    [
      { 'jump-host': 'a@b:0' },
      'input jump-host: "a@b:0" has no port after the ":", which is a number from 1 to 65535; accepted: [user@]host[:port], IPv6 in brackets',
    ],
    [{ 'jump-private-key': PEM }, 'input jump-private-key: given, but jump-host is empty'],
    [
      { 'jump-host': 'a@b', 'jump-passphrase': 'x' },
      'input jump-passphrase: given, but jump-private-key is empty',
    ],
  ])('%j', (given, message) => {
    expect(messages(given)).toEqual([message]);
  });

  it('has its key checked under its own name, and shows neither key nor passphrase', () => {
    const found = problemsOf(
      { ...LEAST, 'jump-host': 'a@b', 'jump-private-key': JUMP_PEM, 'jump-passphrase': 'phrase-2' },
      {
        checkPrivateKey: (key, passphrase, { key: name }) =>
          name === 'private-key'
            ? undefined
            : {
                reason: 'auth-failed',
                message: `input ${name}: ${key.reveal().split('\n')[1] ?? ''} with ${passphrase?.reveal() ?? ''}`,
              },
      },
    );
    expect(found).toEqual([
      { reason: 'auth-failed', message: 'input jump-private-key: *** with ***' },
    ]);
  });

  it('is masked in plain, too, where it was given in base64', () => {
    const packed = Buffer.from(JUMP_PEM).toString('base64');
    const inputs = parse({ ...LEAST, 'jump-host': 'a@b', 'jump-private-key': packed });
    expect(secretValues(inputs)).toEqual(expect.arrayContaining([packed, 'anVtcCNzaC1rZXk']));
  });

  it('is masked and told of like the rest', () => {
    const inputs = parse({
      ...LEAST,
      'jump-host': 'a@b',
      'jump-private-key': JUMP_PEM,
      'jump-passphrase': 'phrase-2',
    });
    expect(secretValues(inputs)).toEqual(expect.arrayContaining(['anVtcCNzaC1rZXk', 'phrase-2']));
    expect(describeInputs(inputs)).toMatchObject({
      jumpHost: { host: 'b', port: 22, username: 'a' },
    });
    expect(JSON.stringify(describeInputs(inputs))).not.toMatch(/anVtcC|phrase-2/);
  });
});

describe('host keys', () => {
  const listed = { 'host-fingerprint': '', 'known-hosts': knownHostsLine('manager.example.com') };

  it('come from known-hosts', () => {
    const { hostKeys } = ssh(listed);
    expect(hostKeys.kind === 'known-hosts' && hostKeys.entries).toHaveLength(1);
  });

  it('are needed, and the hint says how to get them', () => {
    const [problem, ...more] = problemsOf({ ...LEAST, 'host-fingerprint': '' });
    expect(more).toEqual([]);
    expect(problem?.message).toBe(
      'input known-hosts: empty, as is host-fingerprint: the key of the host cannot be checked',
    );
    expect(problem?.hint).toMatch(/ssh-keyscan.*fingerprints/s);
  });

  it('come from one input only', () => {
    expect(messages({ ...listed, 'host-fingerprint': FINGERPRINT })).toEqual([
      'input host-fingerprint: given, and known-hosts too; accepted: one of them',
    ]);
  });

  it('are all checked, line by line', () => {
    expect(
      messages({
        ...listed,
        'known-hosts': `x\n${knownHostsLine('a')}\n@cert-authority * ssh-ed25519 AAAA`,
      }),
    ).toEqual([
      expect.stringMatching(/^input known-hosts, line 1: /),
      expect.stringMatching(/^input known-hosts, line 3: .*cert-authority/),
    ]);
  });

  it('are at least one', () => {
    for (const text of ['# nothing', `@revoked ${knownHostsLine('a')}`])
      expect(messages({ ...listed, 'known-hosts': text })).toEqual([
        'input known-hosts: holds no key to trust',
      ]);
    expect(messages({ 'host-fingerprint': '# nothing' })).toEqual([
      'input host-fingerprint: holds no fingerprint',
    ]);
  });

  it('are fingerprints, one a line, each once', () => {
    const other = `SHA256:${'A'.repeat(43)}`;
    expect(
      ssh({ 'host-fingerprint': ` ${FINGERPRINT} \n${other}=\n\n${FINGERPRINT}` }).hostKeys,
    ).toEqual({
      kind: 'fingerprints',
      fingerprints: [FINGERPRINT, other],
    });
  });

  it.each([
    ['MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48', 'MD5'],
    ['16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48', 'MD5'],
    ['ab'.repeat(32), 'hexadecimal'],
    [FINGERPRINT.slice(0, -1), 'Copy it whole'],
    [`${FINGERPRINT}A`, 'Copy it whole'],
    ['SHA256:', 'Copy it whole'],
    [FINGERPRINT.slice(7), 'Copy it whole'],
    [knownHostsLine('h'), 'known-hosts'],
  ])('%j is no fingerprint', (text, hint) => {
    expect(messages({ 'host-fingerprint': text })).toEqual([
      expect.stringMatching(
        /^input host-fingerprint: .*accepted: SHA256: and 43 characters of base64$/,
      ),
    ]);
    expect(hints({ 'host-fingerprint': text })).toContain(hint);
  });

  it('need not be there, or well formed, with the check turned off', () => {
    expect(ssh({ 'host-key-check': 'off', 'known-hosts': 'x' }).hostKeys).toEqual({ kind: 'off' });
    expect(ssh({ 'host-key-check': 'off', 'host-fingerprint': '' }).hostKeys).toEqual({
      kind: 'off',
    });
  });

  it('are not turned off by anything else', () => {
    for (const check of ['Off', 'no', 'false', 'accept-new'])
      expect(messages({ 'host-key-check': check, 'host-fingerprint': '' })).toEqual([
        `input host-key-check: "${check}" is not accepted; accepted: strict or off`,
      ]);
  });
});

describe('docker-host', () => {
  it.each([
    ['/run/user/1000/docker.sock', 'unix:///run/user/1000/docker.sock'],
    ['unix:///run/user/1000/docker.sock', 'unix:///run/user/1000/docker.sock'],
    ['tcp://127.0.0.1:2375', 'tcp://127.0.0.1:2375'],
    ['tcp://[::1]:2375', 'tcp://[::1]:2375'],
  ])('%s', (text, host) => {
    expect(ok({ 'docker-host': text }).docker.host).toBe(host);
  });
  it.each([
    'docker.sock',
    '~/docker.sock',
    '/run/user/$UID/docker.sock',
    'unix://docker.sock',
    'unix:///',
    'ssh://m1',
    'tcp://m1',
    'tcp://m1:0',
    'http://m1:1',
    '/a b',
  ])('%s is refused', (text) => {
    expect(messages({ 'docker-host': text })).toEqual([
      expect.stringMatching(/^input docker-host: .*accepted: a socket/),
    ]);
  });
});

describe('registries', () => {
  const login = { 'registry-username': ' octocat ', 'registry-password': ' p w \n' };
  const logins = (given: Given) =>
    ok(given).registries.map(({ registry, username, password }) => [
      registry,
      username,
      password.reveal(),
    ]);

  it.each([
    ['', ''],
    ['docker.io', ''],
    ['index.docker.io', ''],
    ['https://index.docker.io/v1/', ''],
    ['ghcr.io', 'ghcr.io'],
    ['https://ghcr.io/', 'ghcr.io'],
    ['http://registry:5000/v2/', 'registry:5000'],
    ['localhost', 'localhost'],
    ['localhost:5000', 'localhost:5000'],
    ['[::1]:5000', '[::1]:5000'],
    ['10.0.0.1:5000', '10.0.0.1:5000'],
    ['registry-1.docker.io', 'registry-1.docker.io'],
  ])('%j is %j', (registry, host) => {
    expect(logins({ ...login, registry })).toEqual([[host, 'octocat', ' p w ']]);
  });

  it.each([
    ['ghcr.io/org/image', 'ghcr.io, not ghcr.io/org/image'],
    ['https://', ''],
    ['ghcr_io.example', ''],
    ['ghcr.io:', ''],
    ['ghcr.io:99999', ''],
    ['ghcr..io', ''],
    ['hub.docker.com', 'leave it empty'],
    ['myorg', 'in full'],
    ['ghcr.io, docker.io', ''],
  ])('%j is refused', (registry, hint) => {
    expect(messages({ registry })).toEqual([expect.stringMatching(/^input registry: "/)]);
    expect(hints({ registry })).toContain(hint);
  });

  it('needs no minutes for a long name that is none', () => {
    expect(messages({ registry: `${'a'.repeat(50_000)}_` })).toHaveLength(1);
  });

  it('does not show credentials in the address', () => {
    const found = problemsOf({ ...LEAST, registry: 'https://octocat:hunter2@ghcr.io' });
    expect(found).toHaveLength(1);
    expect(JSON.stringify(found)).not.toContain('hunter2');
  });

  it('means a login with both or none of user and password', () => {
    expect(ok({ registry: 'ghcr.io' }).registries).toEqual([]);
    expect(messages({ 'registry-username': 'x' })).toEqual([
      'input registry-password: empty, but registry-username is given',
    ]);
    expect(messages({ 'registry-password': 'x' })).toEqual([
      'input registry-username: empty, but registry-password is given',
    ]);
    expect(messages({ 'registry-username': 'x', 'registry-password': '  ' })).toHaveLength(1);
    expect(messages({ 'registry-username': 'a:b', 'registry-password': 'x' })).toHaveLength(1);
  });

  it('may be several, in YAML, where everything is text', () => {
    const registries = `
# ours
- registry: ghcr.io  # GitHub
  username: octocat
  password: 'it''s #1: *&!'
- { username: 0x10, password: 010 }
- registry: https://registry.example.com:5000/
  username: true
  password: |
    {
      "json": "key"
    }
`;
    expect(logins({ registries })).toEqual([
      ['ghcr.io', 'octocat', "it's #1: *&!"],
      ['', '0x10', '010'],
      ['registry.example.com:5000', 'true', '{\n  "json": "key"\n}'],
    ]);
  });

  it('may be JSON', () => {
    const registries = JSON.stringify([
      { registry: 'ghcr.io', username: 'a', password: 'p"\\\n#' },
    ]);
    expect(logins({ registries })).toEqual([['ghcr.io', 'a', 'p"\\\n#']]);
  });

  it.each([
    ['registry: ghcr.io', 'line 1, column 1: not a list of registries'],
    ['text', 'line 1, column 1: not a list of registries'],
    ['[]', 'line 1, column 1: not a list of registries'],
    ['- ghcr.io', 'line 1, column 3: not an entry'],
    [
      '- username: u\n  password: hunter2\n  url: x',
      'line 3, column 3: unknown key; accepted: registry, username or password',
    ],
    [
      '- username: u\n  password: hunter2\n  password: hunter2',
      'line 3, column 3: a key stands there twice',
    ],
    ['- username: u\n  password: *hunter2', 'line 2, column 13: the password starts with *'],
    ['- username: u\n  password: &hunter2', 'line 2, column 21: the password starts with &'],
    ['- username: u\n  password: !hunter2 x', 'line 2, column 22: the password starts with !'],
    ['- username: u\n  password: @hunter2', 'line 2, column 13: not valid YAML'],
    ['- username: u\n  password: %hunter2', 'line 2, column 13: not valid YAML'],
    ['- username: u\n  password: [hunter2]', 'line 2, column 13: the password is not plain text'],
    [
      '- username: u\n  password: hunter2 #x',
      'line 2, column 13: the password has a comment behind it',
    ],
    [
      '- username: u\n  password: hunter2\n    hunter3',
      'line 2, column 13: the password goes over several lines',
    ],
    [
      '- username: u\n  password: "hunter2\n    hunter3"',
      'line 2, column 13: the password goes over several lines',
    ],
    ['- username: u\n  password: hunter2: x', 'line 2, column'],
    ['- {username: u, password: x,hunter2}', 'line 1, column 29: unknown key'],
    ['- username: u\n  password:', 'line 2, column 12: the password is missing'],
    ['- password: hunter2', 'line 1, column 3: the username is missing'],
    [
      '- registry: ghcr.io/hunter2\n  username: u\n  password: x',
      'line 1, column 13: the registry is not a registry',
    ],
    ['- username: u\n\tpassword: hunter2', 'line 2, column 2: a tab'],
    ['- username: u\n  password: x\n---\n- hunter2', 'line 3, column 1: a second YAML document'],
  ])('%j is refused with its place and without its text', (registries, expected) => {
    const found = problemsOf({ ...LEAST, registries });
    expect(found.map(({ message }) => message)).toEqual([
      expect.stringContaining(`input registries, ${expected}`),
    ]);
    expect(JSON.stringify(found)).not.toContain('hunter');
  });

  it('tells all that is wrong with all entries', () => {
    expect(
      messages({ registries: '- {registry: a/b}\n- {username: "a:b", password: *x}\n' }).map(
        (m) => /line.*?: the \w+/.exec(m)?.[0],
      ),
    ).toEqual([
      'line 1, column 14: the registry',
      'line 1, column 3: the username',
      'line 1, column 3: the password',
      'line 2, column 31: the password',
      'line 2, column 14: the username',
    ]);
  });

  it('takes a comment behind a quoted password', () => {
    expect(
      logins({
        registries: '- {username: u}\n'.replace(
          '{username: u}',
          "username: u\n  password: 'a' # mine\n  # more",
        ),
      }),
    ).toEqual([['', 'u', 'a']]);
  });

  it('is one login for each registry', () => {
    const registries =
      '- {registry: docker.io, username: a, password: b}\n- {registry: ghcr.io, username: a, password: b}\n- {registry: https://ghcr.io, username: a, password: b}';
    expect(messages({ ...login, registries })).toEqual([
      'input registries, line 1, column 3: Docker Hub has a login already; accepted: one for each registry',
      'input registries, line 3, column 3: "ghcr.io" has a login already; accepted: one for each registry',
    ]);
  });
});

describe('stack files', () => {
  it('are paths, one a line', () => {
    const { compose } = ok({
      'compose-file': ' a b.yml \n\n  ./ü.yml',
      'env-file': '.env\r\n.env.prod\r\n',
    });
    expect(compose.files).toEqual(['a b.yml', './ü.yml']);
    expect(compose.envFiles).toEqual(['.env', '.env.prod']);
  });
  it('are not read from standard input', () => {
    expect(messages({ 'compose-file': 'a.yml\n-' })).toEqual([
      expect.stringMatching(/^input compose-file, line 2: "-"/),
    ]);
  });
});

describe('env', () => {
  const env = (text: string) => Object.fromEntries(ok({ env: text }).compose.env);

  it('keeps values byte for byte', () => {
    const values = {
      A: ' $(x) `y` $& "q" \'s\' # no=comment ',
      B: '',
      C: '010',
      D: 'äöü\u00a0\t',
      E: '=',
      _f1: '\\n',
    };
    const text = Object.entries(values)
      .map(([key, value]) => `${key}=${value}`)
      .join('\n');
    expect(env(text)).toEqual(values);
    expect(env(`${text}\n`)).toEqual(values);
  });

  it('does so for any value of one line', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        fc.pre(!/[\n]|\r$/.test(value));
        expect(env(`A=1\nB=${value}\nC=2`)).toEqual({ A: '1', B: value, C: '2' });
      }),
    );
  });

  it('takes indentation, blank lines and CRLF for what they are', () => {
    expect(env('  A=1\r\n\r\n \t\r\n  B=2 \r\n')).toEqual({ A: '1', B: '2 ' });
  });

  it.each([
    ['A=1\nhunter2', 'line 2: no "=" in it'],
    ['A=1\n# hunter2', 'line 2: no "=" in it'],
    ['=hunter2', 'line 1: no name before'],
    ['hunter 2=x', 'line 1: a space in the name'],
    ['hunter2 =x', 'line 1: a space in the name'],
    ['hunter+2==', 'line 1: "+" in the name'],
    ['hunter\u00a02=x', 'line 1: U+00A0, no-break space in the name'],
    ['2hunter=x', 'line 1: the name before the "=" starts with a digit'],
    ['export A=hunter', 'line 1: "export" before the name'],
    ['A=1\n\nA=hunter2', 'line 3: A is given already in line 1'],
  ])('%j is refused with its line and without its text', (text, expected) => {
    const found = problemsOf({ ...LEAST, env: text });
    expect(found.map(({ message }) => message)).toEqual([
      expect.stringContaining(`input env, ${expected}`),
    ]);
    expect(JSON.stringify(found)).not.toContain('hunter');
  });

  it('says where a secret of several lines can go', () => {
    expect(hints({ env: `KEY=${PEM}` })).toContain('env: of the step');
    expect(JSON.stringify(problemsOf({ ...LEAST, env: `KEY=${PEM}` }))).not.toContain('b3BlbnNz');
  });
});

describe('secretValues', () => {
  it('has every line of every credential, but for the shortest', () => {
    const inputs = ok({
      'private-key': '  -----BEGIN X PRIVATE KEY-----\r\n  abcd\r\n  xyz\r\n',
      passphrase: 'open sesame',
      password: 'abc',
      'registry-username': 'octocat',
      'registry-password': 'token-1\nabc\ntoken-2',
      registries: '- {registry: ghcr.io, username: u, password: "  ghp_1"}',
    });
    expect([...secretValues(inputs)].sort()).toEqual(
      [
        '  -----BEGIN X PRIVATE KEY-----',
        '-----BEGIN X PRIVATE KEY-----',
        '  abcd',
        'abcd',
        'open sesame',
        'token-1',
        'token-2',
        '  ghp_1',
        'ghp_1',
        Buffer.from('octocat:token-1\nabc\ntoken-2').toString('base64'),
        Buffer.from('u:  ghp_1').toString('base64'),
      ].sort(),
    );
  });

  it('is empty without credentials, and leaves the values of env to the runner', () => {
    expect(secretValues(parse({ stack: 's', host: 'local', env: 'A=long enough' }))).toEqual([]);
  });

  it('shows no credential by way of the inputs themselves', () => {
    const inputs = ok({
      ...{ 'registry-username': 'octocat', 'registry-password': 'hunter22' },
      password: 'hunter23',
    });
    expect(JSON.stringify(inputs)).not.toContain('hunter2');
  });
});
