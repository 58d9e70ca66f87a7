/** Reads the inputs for the connection: hosts, login and host keys. Used by `parseInputs` alone. */
import type { Problem } from '../errors.js';
import { Secret } from '../secret.js';
import type { HostKeyPolicy } from '../transport/host-key.js';
import { type KnownHost, parseFingerprints, parseKnownHosts } from '../transport/known-hosts.js';
import { JUMP_KEY_INPUTS, KEY_INPUTS, type KeyInputs } from '../transport/key-inputs.js';
import type { SshCredentials, SshJump, SshTarget } from '../transport/ssh.js';
import { EMPTY_SECRET, type Form, type Line, ODD } from './form.js';

export type Connection =
  | { readonly kind: 'local' }
  | {
      readonly kind: 'ssh';
      /** At least one, no two the same, in the order to try them. */
      readonly managers: readonly SshTarget[];
      readonly credentials: SshCredentials;
      /** The bastion through which they are reached, if any. */
      readonly jump?: SshJump;
      readonly hostKeys: HostKeyPolicy;
      /** Milliseconds for one attempt. */
      readonly connectTimeoutMs: number;
    };

export interface InputContext {
  /** `SSH_AUTH_SOCK` of the runner, where it is set. */
  readonly agentSocket?: string | undefined;
  /** Tells what is wrong with a private key, given its text as the user did and its passphrase. */
  readonly checkPrivateKey?: (
    key: Secret,
    passphrase: Secret | undefined,
    inputs: KeyInputs,
  ) => Problem | undefined;
}

/** How to reach a manager, from `host` and the inputs that go with it. */
export function readConnection(form: Form, context: InputContext): Connection {
  const lines = form.lines('host');
  const local = lines.find(({ text }) => text.toLowerCase() === 'local');
  if (local !== undefined) {
    if (lines.length > 1)
      form.reject(
        'host',
        'local stands with other hosts; accepted: local alone, or hosts to reach by SSH',
        'Use local where the runner is itself a manager; nothing is connected to then.',
        local.place,
      );
    else if (local.text !== 'local')
      form.reject(
        'host',
        `${form.shown(local.text)} is not accepted; accepted: local, in small letters`,
      );
    // The inputs for SSH are not looked at: one workflow can then serve runners of both kinds.
    return { kind: 'local' };
  }
  const targets = managers(form, lines);
  const login = credentials(form, context);
  const jump = jumpHost(form, context, login);
  return {
    kind: 'ssh',
    managers: targets,
    credentials: login,
    ...(jump === undefined ? {} : { jump }),
    hostKeys: hostKeys(form),
    connectTimeoutMs: form.duration('connect-timeout', 'not zero'),
  };
}

function managers(form: Form, lines: readonly Line[]): readonly SshTarget[] {
  const defaultPort = parsePort(form.text('port'));
  if (defaultPort === undefined)
    form.reject(
      'port',
      `${form.shown(form.text('port'))} is not a port; accepted: a number from 1 to 65535`,
    );
  const defaultUser = form.text('username');
  if (defaultUser !== '' && !isUser(defaultUser))
    form.reject(
      'username',
      defaultUser.includes(':')
        ? 'contains ":"; accepted: a login name alone' // what follows may be a password: not shown
        : `${form.shown(defaultUser)} is not a login name; accepted: a name without blanks`,
      defaultUser.includes(':') ? 'A password goes into the input password.' : undefined,
    );
  if (lines.length === 0 && !form.isBad('host'))
    form.reject(
      'host',
      'missing: the address of a swarm manager, or local',
      'host: deploy@manager.example.com',
    );

  const found = new Map<string, SshTarget>();
  for (const { text, place } of lines) {
    const address = parseAddress(text, (value) => form.shown(value));
    if ('problem' in address) {
      form.reject('host', `${address.problem}; ${ADDRESS_FORM}`, address.hint, place);
      continue;
    }
    const { host, port = defaultPort ?? 22, username = defaultUser } = address;
    if (username === '' && !form.isBad('username'))
      form.reject(
        'host',
        `${form.shown(text)} names no user, and username is not given`,
        `Set username, or write the user in front: ${form.shown(`deploy@${text}`)}`,
        place,
      );
    const target = { host, port, username };
    found.set(JSON.stringify(target), target);
  }
  return [...found.values()];
}

/** A port in decimal digits, or undefined. */
export function parsePort(text: string): number | undefined {
  return /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined;
}

/** Users of a directory may be called `user@domain` or `DOMAIN\user`; a colon starts a password. */
const isUser = (text: string): boolean => /^[^\s:]+$/.test(text) && !ODD.test(text);

type Address =
  | { readonly username?: string; readonly host: string; readonly port?: number }
  | { readonly problem: string; readonly hint?: string };

const ADDRESS_FORM = 'accepted: [user@]host[:port], IPv6 in brackets';

/** One line of `host`. The user ends at the last `@`, as for ssh itself. */
function parseAddress(text: string, shown: (text: string) => string): Address {
  const wrong = (what: string, hint?: string): Address => ({
    problem: `${shown(text)} ${what}`,
    ...(hint === undefined ? {} : { hint }),
  });
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text)?.[0] ?? '';
  const plain = text.slice(scheme.length);
  const at = plain.lastIndexOf('@');
  const username = at < 0 ? undefined : plain.slice(0, at);
  const rest = plain.slice(at + 1);
  if (username?.includes(':') === true)
    return {
      problem: 'has ":" before the "@", as if a password stood there',
      hint: 'A password goes into the input password.',
    };
  if (scheme !== '')
    return wrong(
      'is a URL',
      `Write it without scheme and path: ${shown(plain.replace(/\/.*$/s, ''))}`,
    );
  if (/[\s,;]/.test(text)) return wrong('is more than one host', 'Write one host per line.');
  if (username !== undefined && !isUser(username)) return wrong('has no user before the "@"');
  if (isIpv6(rest))
    return wrong(
      'is an IPv6 address without brackets, in which a port cannot be told apart',
      `Write ${shown(`${plain.slice(0, at + 1)}[${rest}]`)}`,
    );

  const match = /^(?:\[(?<ipv6>[^[\]]*)\]|(?<name>[^:[\]]*))(?::(?<port>.*))?$/s.exec(rest);
  if (match === null) return wrong('is not a host');
  const { ipv6, name, port: digits } = match.groups ?? {};
  if (ipv6 !== undefined && !isIpv6(ipv6)) return wrong('has no IPv6 address in its brackets');
  const wrongName = name === undefined ? undefined : hostNameProblem(name);
  if (wrongName !== undefined) return wrong(wrongName);
  const port = digits === undefined ? undefined : parsePort(digits);
  if (digits !== undefined && port === undefined)
    return wrong('has no port after the ":", which is a number from 1 to 65535');
  return {
    host: ipv6 ?? name ?? '',
    ...(username === undefined ? {} : { username }),
    ...(port === undefined ? {} : { port }),
  };
}

/** With or without a zone, as in `fe80::1%eth0`. */
export function isIpv6(text: string): boolean {
  const address = /^([0-9a-f:.]*:[0-9a-f:.]*)(?:%[0-9a-z._~-]+)?$/i.exec(text)?.[1];
  return address !== undefined && URL.canParse(`http://[${address}]/`);
}

/** Underscores are no part of host names, yet resolvers and container networks take them. */
export function hostNameProblem(name: string): string | undefined {
  if (name === '') return 'names no host';
  if (/[^\u0020-\u007e]/.test(name))
    return 'has characters outside ASCII (an international name is written in its xn-- form)';
  const labels = name.replace(/\.$/, '').split('.');
  if (labels.every((label) => /^\d+$/.test(label)))
    return labels.length === 4 &&
      labels.every((label) => /^(?:0|[1-9]\d{0,2})$/.test(label) && Number(label) <= 255)
      ? undefined
      : 'is not an IPv4 address, which is four numbers from 0 to 255 without leading zeros';
  return name.length <= 253 &&
    labels.every((label) => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label))
    ? undefined
    : 'is not a host name';
}

function credentials(form: Form, { agentSocket, checkPrivateKey }: InputContext): SshCredentials {
  const privateKey = form.isGiven('private-key')
    ? new Secret(form.exact('private-key'))
    : undefined;
  const passphrase = form.secret('passphrase');
  const password = form.secret('password');
  const agent = privateKey === undefined && agentSocket !== '' ? agentSocket : undefined;

  if (privateKey === undefined && passphrase !== undefined)
    form.reject('passphrase', 'given, but private-key is empty', EMPTY_SECRET);
  else if (privateKey === undefined && password === undefined && agent === undefined)
    form.reject(
      'private-key',
      'empty, as is password, and there is no SSH agent (SSH_AUTH_SOCK): nothing to log in with',
      `private-key: \${{ secrets.SSH_PRIVATE_KEY }} - ${EMPTY_SECRET}`,
    );
  const wrongKey =
    privateKey && checkPrivateKey && checkPrivateKey(privateKey, passphrase, KEY_INPUTS);
  if (wrongKey !== undefined) form.adopt('private-key', wrongKey);
  return {
    ...(privateKey === undefined ? {} : { privateKey }),
    ...(privateKey === undefined || passphrase === undefined ? {} : { passphrase }),
    ...(password === undefined ? {} : { password }),
    ...(agent === undefined ? {} : { agentSocket: agent }),
  };
}

/** As for ssh itself, 22 is the port of a bastion that names none: `port` is that of the managers. */
const JUMP_PORT = 22;

function jumpHost(
  form: Form,
  { checkPrivateKey }: InputContext,
  login: SshCredentials,
): SshJump | undefined {
  const lines = form.lines('jump-host');
  const [line, ...more] = lines;
  const privateKey = form.isGiven('jump-private-key')
    ? new Secret(form.exact('jump-private-key'))
    : undefined;
  const passphrase = form.secret('jump-passphrase');
  if (privateKey === undefined && passphrase !== undefined)
    form.reject('jump-passphrase', 'given, but jump-private-key is empty', EMPTY_SECRET);
  if (line === undefined) {
    if (privateKey !== undefined && !form.isBad('jump-host'))
      form.reject(
        'jump-private-key',
        'given, but jump-host is empty',
        'Without jump-host the managers are connected to directly.',
      );
    return undefined;
  }
  const wrongKey =
    privateKey && checkPrivateKey && checkPrivateKey(privateKey, passphrase, JUMP_KEY_INPUTS);
  if (wrongKey !== undefined) form.adopt('jump-private-key', wrongKey);
  if (more.length > 0 || line.text.includes(',')) {
    form.reject(
      'jump-host',
      'names more than one host; accepted: one, [user@]host[:port]',
      'For a chain of them, let the last one be reached from the runner, or run the job on a runner inside.',
    );
    return undefined;
  }
  const target = jumpTarget(form, line);
  if (target === undefined) return undefined;
  return {
    target,
    credentials:
      privateKey === undefined
        ? login
        : { privateKey, ...(passphrase === undefined ? {} : { passphrase }) },
  };
}

function jumpTarget(form: Form, { text }: Line): SshTarget | undefined {
  const address = parseAddress(text, (value) => form.shown(value));
  if ('problem' in address) {
    form.reject('jump-host', `${address.problem}; ${ADDRESS_FORM}`, address.hint);
    return undefined;
  }
  const { host, port = JUMP_PORT, username = form.text('username') } = address;
  if (username !== '') return { host, port, username };
  form.reject(
    'jump-host',
    `${form.shown(text)} names no user, and username is not given`,
    `Write the user in front: ${form.shown(`deploy@${text}`)}`,
  );
  return undefined;
}

const HOW_TO_PIN =
  'Give the lines that `ssh-keyscan HOST` prints (`-p PORT` for another port) as known-hosts, once ' +
  'their fingerprints (`ssh-keygen -lf FILE`) are those that `ssh-keygen -lf ' +
  '/etc/ssh/ssh_host_ed25519_key.pub` prints on the host itself.';

function hostKeys(form: Form): HostKeyPolicy {
  // Turned off on purpose: what a key would be checked against need not even be well formed then.
  if (form.choice('host-key-check', ['strict', 'off']) === 'off') return { kind: 'off' };
  const listed = form.isGiven('known-hosts');
  const pinned = form.isGiven('host-fingerprint');
  if (listed && pinned)
    form.reject(
      'host-fingerprint',
      'given, and known-hosts too; accepted: one of them',
      'With both it is unclear whether a host key must match one or both.',
    );
  else if (!listed && !pinned && !form.isBad('host-key-check'))
    form.reject(
      'known-hosts',
      'empty, as is host-fingerprint: the key of the host cannot be checked',
      HOW_TO_PIN,
    );
  const entries = listed ? knownHosts(form) : [];
  const found = pinned ? fingerprints(form) : [];
  return pinned ? { kind: 'fingerprints', fingerprints: found } : { kind: 'known-hosts', entries };
}

function knownHosts(form: Form): readonly KnownHost[] {
  if (form.isBad('known-hosts')) return [];
  const { entries, problems } = parseKnownHosts(form.exact('known-hosts'));
  for (const problem of problems) form.adopt('known-hosts', problem);
  if (entries.every(({ revoked }) => revoked) && problems.length === 0)
    form.reject('known-hosts', 'holds no key to trust', HOW_TO_PIN);
  return entries;
}

function fingerprints(form: Form): readonly string[] {
  const lines = form.lines('host-fingerprint').filter(({ text }) => !text.startsWith('#'));
  const found = new Set<string>();
  for (const { text, place } of lines) {
    const [fingerprint] = parseFingerprints(text).fingerprints;
    if (fingerprint !== undefined) found.add(fingerprint);
    else
      form.reject(
        'host-fingerprint',
        `${form.shown(text)} is not accepted; accepted: SHA256: and 43 characters of base64`,
        fingerprintHint(text),
        place,
      );
  }
  if (lines.length === 0 && !form.isBad('host-fingerprint'))
    form.reject('host-fingerprint', 'holds no fingerprint', HOW_TO_PIN);
  return [...found];
}

function fingerprintHint(text: string): string {
  if (/\bMD5:|^(?:[0-9a-f]{2}:){15}[0-9a-f]{2}$/i.test(text))
    return 'MD5 fingerprints are too weak to trust; `ssh-keygen -l -E sha256 -f FILE` prints the other.';
  if (/^(?:SHA256:)?(?:[0-9a-f]{2}:?){32}$/i.test(text))
    return 'This is hexadecimal; `ssh-keygen -l -f FILE` prints the fingerprint in base64.';
  if (/^(?:\S+ )?(?:ssh-|ecdsa-|sk-)\S+ AAAA/.test(text))
    return 'This is a public key, not its fingerprint: with the host in front it is a line for known-hosts.';
  return 'Copy it whole from `ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub`, run on the host.';
}
