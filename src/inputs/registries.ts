/** Reads the inputs for registry logins. Used by `parseInputs` alone. */
import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { Secret } from '../secret.js';
import { isIpv6, parsePort } from './connection.js';
import {
  alternatives,
  EMPTY_SECRET,
  type Form,
  type InputName,
  ODD,
  withoutLineEnd,
} from './form.js';

export interface RegistryLogin {
  /** Host, with its port where it has one; '' is Docker Hub. */
  readonly registry: string;
  readonly username: string;
  readonly password: Secret;
}

/** The logins, from `registry` with its kin and from `registries`; one for each registry. */
export function readRegistries(form: Form): readonly RegistryLogin[] {
  const found = new Map<string, RegistryLogin>();
  const add = (login: RegistryLogin, name: InputName, place?: string): void => {
    const { registry } = login;
    if (!found.has(registry)) found.set(registry, login);
    else
      form.reject(
        name,
        `${registry === '' ? 'Docker Hub' : form.shown(registry)} has a login already; accepted: one for each registry`,
        'Give it either in registry, registry-username and registry-password, or in registries.',
        place,
      );
  };
  const single = singleRegistry(form);
  if (single !== undefined) add(single, 'registry');
  if (form.isGiven('registries'))
    for (const { place, ...login } of registryList(form)) add(login, 'registries', place);
  return [...found.values()];
}

function singleRegistry(form: Form): RegistryLogin | undefined {
  const text = form.text('registry');
  const registry = registryHost(text);
  if ('problem' in registry)
    form.reject(
      'registry',
      `${text.includes('@') ? 'it' : form.shown(text)} ${registry.problem}`,
      registry.hint,
    );
  const username = form.text('registry-username');
  const password = form.secret('registry-password');
  if (username === '' && password === undefined) return undefined;
  if (username === '')
    form.reject('registry-username', 'empty, but registry-password is given', EMPTY_SECRET);
  else if (!isRegistryUser(username))
    form.reject('registry-username', `it ${REGISTRY_USER_PROBLEM}`);
  if (password === undefined)
    form.reject('registry-password', 'empty, but registry-username is given', EMPTY_SECRET);
  else if (password.reveal().trim() === '')
    form.reject('registry-password', 'it consists of blanks, which Docker takes for no password');
  if ('problem' in registry || password === undefined) return undefined;
  return { registry: registry.host, username, password };
}

/** Docker keeps `USER:PASSWORD` in its configuration and ends the user at the first colon. */
const isRegistryUser = (text: string): boolean => !/[:\r\n]/.test(text) && !ODD.test(text);
const REGISTRY_USER_PROBLEM =
  'contains ":" or a control character, which Docker cannot keep in the name of a user';

type RegistryHost =
  { readonly host: string } | { readonly problem: string; readonly hint?: string };

const REGISTRY_FORM = 'is not a registry; accepted: host or host:port';

/**
 * What `docker login` is to be called with. Docker keeps a login under the host alone: scheme, path
 * and the `/v1/` of old are dropped (docker/cli, ConvertToHostname), and Docker Hub has a key of its
 * own, '' here. A path other than an API's is refused rather than dropped: it asks for a login to
 * one repository, which there is not.
 */
function registryHost(text: string): RegistryHost {
  if (text.includes('@'))
    return {
      problem: 'contains "@"; accepted: host or host:port',
      hint: 'User and password go into inputs of their own.',
    };
  const plain = text.replace(/^https?:\/\//i, '');
  const host = /^([^/]*)(?:\/(?:v[12]\/?)?)?$/i.exec(plain)?.[1];
  if (host === undefined)
    return { problem: REGISTRY_FORM, hint: 'Without the path: ghcr.io, not ghcr.io/org/image.' };
  if (text === '' || /^(?:index\.)?docker\.io$/i.test(host)) return { host: '' };
  if (/^(?:hub|www)\.docker\.com$/i.test(host))
    return { problem: 'is the web site of Docker Hub', hint: 'For Docker Hub leave it empty.' };
  const match = /^(?:\[(?<ipv6>[^[\]]*)\]|(?<name>[^:[\]]*))(?::(?<port>.*))?$/s.exec(host);
  const { ipv6, name = '', port } = match?.groups ?? {};
  if (
    !(ipv6 === undefined ? isRegistryName(name) : isIpv6(ipv6)) ||
    (port !== undefined && parsePort(port) === undefined)
  )
    return { problem: REGISTRY_FORM };
  // distribution/reference, splitDockerDomain: such a login would never be used.
  if (port === undefined && name !== 'localhost' && /^[a-z0-9-]+$/.test(name))
    return {
      problem: 'is no registry to Docker, which looks for images called so on Docker Hub',
      hint: 'Write the host in full, with a dot or its port, as in the image; for Docker Hub leave it empty.',
    };
  return { host };
}

/** The host of an image as Docker reads it (distribution/reference): no underscores. */
const isRegistryName = (name: string): boolean =>
  name.split('.').every((label) => /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/i.test(label));

const REGISTRY_KEYS = ['registry', 'username', 'password'] as const;
type RegistryKey = (typeof REGISTRY_KEYS)[number];
const REGISTRIES_FORM = 'accepted: a YAML list of {registry, username, password}';
const QUOTE_IT =
  "Put the value in single quotes, and write a single quote in it twice: password: 'it''s'";

/**
 * The logins of `registries`. A value that YAML would read differently than it is written (cut off
 * at ` #`, folded, taken for an alias) is a problem. Everything is text: `010` stays `010`.
 * Messages give positions and never quote: any piece of a broken list may be part of a password.
 */
function registryList(form: Form): readonly (RegistryLogin & { readonly place: string })[] {
  const text = form.exact('registries');
  if (isTooDeep(text)) {
    form.reject('registries', `too long or too deep; ${REGISTRIES_FORM}`);
    return [];
  }
  const lineCounter = new LineCounter();
  // The failsafe schema knows text only; the parser's own messages quote the source.
  const document = parseDocument(text, { schema: 'failsafe', prettyErrors: false, lineCounter });
  const place = (offset: number): string => {
    const { line, col } = lineCounter.linePos(offset);
    return `line ${Math.max(1, line)}, column ${Math.max(1, col)}`;
  };
  const reject: Reject = (offset, what, hint) =>
    form.reject('registries', what, hint, place(offset));

  const [error] = document.errors;
  if (error !== undefined) {
    const [offset] = error.pos;
    const line = text.slice(text.lastIndexOf('\n', offset - 1) + 1);
    reject(offset, ...yamlProblem(/^ *\t/.test(line) ? 'TAB_AS_INDENT' : error.code));
    return [];
  }
  const list: unknown = document.contents;
  if (!isSeq(list) || list.items.length === 0) {
    const offset = isNode(list) ? (list.range?.[0] ?? 0) : 0;
    reject(offset, `not a list of registries; ${REGISTRIES_FORM}`, REGISTRIES_EXAMPLE);
    return [];
  }
  return list.items.flatMap((item) => {
    const offset = isNode(item) ? (item.range?.[0] ?? 0) : 0;
    const login = registryEntry(item, offset, text, reject);
    return login === undefined ? [] : [{ ...login, place: place(offset) }];
  });
}

type Reject = (offset: number, what: string, hint?: string) => void;

const REGISTRIES_EXAMPLE =
  "- {registry: ghcr.io, username: octocat, password: '${{ secrets.GHCR_TOKEN }}'}";

function registryEntry(
  item: unknown,
  start: number,
  source: string,
  reject: Reject,
): RegistryLogin | undefined {
  if (!isMap(item)) {
    reject(start, `not an entry; ${REGISTRIES_FORM}`, REGISTRIES_EXAMPLE);
    return undefined;
  }
  let problems = 0;
  const wrong: Reject = (...problem) => {
    problems += 1;
    reject(...problem);
  };
  /** Undefined for a value that is a problem already. */
  const texts = new Map<RegistryKey, string | undefined>();
  const offsets = new Map<RegistryKey, number>();
  for (const { key, value } of item.items) {
    const keyOffset = isNode(key) ? (key.range?.[0] ?? start) : start;
    const known = REGISTRY_KEYS.find((name) => isScalar(key) && key.value === name);
    if (known === undefined) {
      wrong(keyOffset, `unknown key; accepted: ${alternatives(REGISTRY_KEYS)}`);
      continue;
    }
    const offset = isNode(value) ? (value.range?.[0] ?? keyOffset) : keyOffset;
    const misread = misreading(known, value, source);
    if (misread !== undefined) wrong(offset, `the ${known} ${misread}`, QUOTE_IT);
    offsets.set(known, offset);
    texts.set(known, misread === undefined && isScalar<string>(value) ? value.value : undefined);
  }

  const given = (key: RegistryKey): string | undefined => (texts.has(key) ? texts.get(key) : '');
  const offsetOf = (key: RegistryKey): number => offsets.get(key) ?? start;
  const registry = registryHost(given('registry')?.trim() ?? '');
  if ('problem' in registry)
    wrong(offsetOf('registry'), `the registry ${registry.problem}`, registry.hint);
  const username = given('username')?.trim();
  if (username === '') wrong(offsetOf('username'), 'the username is missing', EMPTY_SECRET);
  else if (username !== undefined && !isRegistryUser(username))
    wrong(offsetOf('username'), `the username ${REGISTRY_USER_PROBLEM}`);
  const password = given('password');
  if (password?.trim() === '') wrong(offsetOf('password'), 'the password is missing', EMPTY_SECRET);
  if (problems > 0 || 'problem' in registry || username === undefined || password === undefined)
    return undefined;
  return {
    registry: registry.host,
    username,
    password: new Secret(withoutLineEnd(password)),
  };
}

/** Why YAML does not read this value as it is written, if so. */
function misreading(key: RegistryKey, value: unknown, source: string): string | undefined {
  if (value === null) return undefined;
  if (isAlias(value)) return 'starts with *, a sign of YAML';
  if (!isScalar(value)) return 'is not plain text';
  if (value.anchor !== undefined) return 'starts with &, a sign of YAML';
  if (value.tag !== undefined) return 'starts with !, a sign of YAML';
  const [start, end] = value.range ?? [0, 0];
  const isBlock = value.type === 'BLOCK_LITERAL' || value.type === 'BLOCK_FOLDED';
  if (!isBlock && source.slice(start, end).includes('\n'))
    return 'goes over several lines, which YAML joins';
  // Behind a host a comment is meant as one; a password with " #" in it would lose its end.
  if (key === 'password' && value.type === 'PLAIN' && /^[ \t]+#/.test(source.slice(end)))
    return 'has a comment behind it: for YAML it ends before " #"';
  return undefined;
}

/**
 * The parser recurses. On text nested some thousand levels deep it can end the whole process (a
 * regular expression compiled when the stack is all but used up), which nothing can catch.
 */
const isTooDeep = (text: string): boolean =>
  text.length > 50_000 ||
  (text.match(/[[{]/g)?.length ?? 0) > 300 ||
  /(?:[-?:][ \t]+){30}/.test(text);

function yamlProblem(code: string): [what: string, hint?: string] {
  switch (code) {
    case 'DUPLICATE_KEY':
      return ['a key stands there twice', 'Each registry starts with a "- " of its own.'];
    case 'TAB_AS_INDENT':
      return ['a tab, which YAML does not take as indentation', 'Indent with spaces.'];
    case 'MULTIPLE_DOCS':
      return [`a second YAML document; ${REGISTRIES_FORM}`];
    default:
      return [`not valid YAML; ${REGISTRIES_FORM}`, QUOTE_IT];
  }
}
