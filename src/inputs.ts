/**
 * The first step of every run: the raw text of the action's inputs becomes one decided value, or
 * every problem at once. Pure: nothing here reads the environment, a file or the network.
 */
import { formatDuration } from './duration.js';
import { InvalidInput } from './errors.js';
import {
  type Connection,
  hostNameProblem,
  type InputContext,
  isIpv6,
  parsePort,
  readConnection,
} from './inputs/connection.js';
import { PROFILE } from './compose/profiles.js';
import { Form, type InputName, named, ODD, secretLines } from './inputs/form.js';
import { RULE_IDS, type RuleId } from './lint/catalog.js';
import { nearest } from './lint/nearest.js';
import { keyInBase64 } from './transport/key-inputs.js';
import { readRegistries, type RegistryLogin } from './inputs/registries.js';

export type { Connection, InputContext } from './inputs/connection.js';
export { credentialLines, inputDefaults, type InputName, inputNames } from './inputs/form.js';
export type { RegistryLogin } from './inputs/registries.js';

const MODES = ['deploy', 'rollback', 'plan', 'status', 'remove'] as const;
export type Mode = (typeof MODES)[number];

/** What the user asked for, decided: nothing after this looks at an input's text again. */
export interface Inputs {
  readonly mode: Mode;
  readonly stack: string;
  readonly connection: Connection;
  readonly docker: {
    readonly sudo: boolean;
    /** A value for `DOCKER_HOST` on the manager, as a URL; absent for the default socket. */
    readonly host?: string;
  };
  readonly registries: readonly RegistryLogin[];
  readonly compose: {
    /** Paths as given; empty when they are to be discovered. */
    readonly files: readonly string[];
    readonly env: ReadonlyMap<string, string>;
    readonly envFiles: readonly string[];
    readonly allowUnset: boolean;
    /** Compose profiles whose services are in, too; `*` for all of them. */
    readonly profiles: readonly string[];
  };
  /** Rules of the lint that are not looked at. */
  readonly lintIgnore: readonly RuleId[];
  /** Whether a service that was scaled by hand keeps the number of replicas that it has now. */
  readonly keepReplicas: boolean;
  readonly prune: boolean;
  /** Whether configs and secrets are named by their content. */
  readonly rotate: boolean;
  readonly resolveImage: 'always' | 'changed' | 'never';
  readonly withRegistryAuth: boolean;
  readonly watch: {
    readonly wait: boolean;
    readonly timeoutMs: number;
    readonly progressTimeoutMs: number;
    readonly stableForMs: number | 'auto';
    readonly maxFailures: number;
  };
  readonly onFailure: 'rollback' | 'keep';
  readonly lock: { readonly on: boolean; readonly timeoutMs: number };
  /** How many revisions the swarm keeps of the stack. */
  readonly history: number;
  /** Which revision `mode: rollback` deploys again: `previous`, a number or the start of a commit SHA. */
  readonly revision: string;
  readonly onRerun: 'restore' | 'redeploy';
  readonly onCancel: 'keep' | 'rollback';
}

/**
 * Decides what the user asked for.
 * @param raw the exact text of an input, '' where it is not given (GitHub enforces no `required`).
 *   An input of blanks alone counts as not given and takes its default.
 * @throws InvalidInput with every problem of every input; no message holds the text of a secret
 */
export function parseInputs(raw: (name: InputName) => string, context: InputContext): Inputs {
  const form = new Form(raw);
  const inputs: Inputs = {
    mode: form.choice('mode', MODES),
    stack: stackName(form),
    connection: readConnection(form, context),
    docker: docker(form),
    registries: readRegistries(form),
    compose: {
      files: paths(form, 'compose-file'),
      env: variables(form),
      envFiles: paths(form, 'env-file'),
      allowUnset: form.flag('allow-unset'),
      profiles: profiles(form),
    },
    lintIgnore: lintIgnore(form),
    keepReplicas: form.flag('keep-replicas'),
    prune: form.flag('prune'),
    rotate: form.flag('rotate'),
    resolveImage: form.choice('resolve-image', ['always', 'changed', 'never']),
    withRegistryAuth: form.flag('with-registry-auth'),
    watch: watch(form),
    onFailure: form.choice('on-failure', ['rollback', 'keep']),
    lock: { on: form.flag('lock'), timeoutMs: form.duration('lock-timeout', 'zero allowed') },
    history: history(form),
    revision: revision(form),
    onRerun: form.choice('on-rerun', ['restore', 'redeploy']),
    onCancel: form.choice('on-cancel', ['keep', 'rollback']),
  };
  const [first, ...more] = form.problems;
  if (first !== undefined) throw new InvalidInput([first, ...more]);
  return inputs;
}

/**
 * Every text that must not appear in a log, one line each, as the runner masks line by line. Lines
 * of fewer than 4 characters are left out: masking them would garble the log and protect nothing.
 */
export function secretValues(inputs: Inputs): readonly string[] {
  const { connection: by, registries: logins } = inputs;
  const credentials = by.kind === 'ssh' ? [by.credentials, by.jump?.credentials ?? {}] : [];
  const texts = [
    ...credentials
      .flatMap(({ privateKey, passphrase, password }) => [privateKey, passphrase, password])
      .map((secret) => secret?.reveal() ?? '')
      .flatMap((text) => [text, keyInBase64(text) ?? '']),
    ...logins.flatMap(({ username, password }) => [
      password.reveal(),
      // As Docker writes both into its config.json.
      Buffer.from(`${username}:${password.reveal()}`, 'utf8').toString('base64'),
    ]),
  ];
  return [...new Set(texts.flatMap(secretLines))];
}

/**
 * Docker's own check of a stack name refuses blanks and quotes alone (docker/cli,
 * cli/command/stack/common.go), but every service is called `STACK_SERVICE`, and the swarm takes
 * `^[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*$` of at most 63 characters (swarmkit,
 * manager/controlapi/common.go). Refused here is a name that no service could ever have in front.
 */
const STACK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_-]*$/;
const LONGEST_STACK_NAME = 63 - '_x'.length;

function stackName(form: Form): string {
  const name = form.text('stack');
  if (form.isBad('stack')) return name;
  if (name === '') form.reject('stack', 'missing: the name of the stack', 'stack: shop');
  else if (!STACK_NAME.test(name))
    form.reject(
      'stack',
      `${form.shown(name)} is not a stack name; accepted: letters, digits, - and _, a letter or digit first`,
      'Services are called STACK_SERVICE, and the swarm accepts no other characters in that.',
    );
  else if (name.length > LONGEST_STACK_NAME)
    form.reject(
      'stack',
      `${form.shown(name)} has ${name.length} characters; accepted: at most ${LONGEST_STACK_NAME}`,
      'Services are called STACK_SERVICE, and the swarm accepts at most 63 characters for that.',
    );
  return name;
}

function docker(form: Form): Inputs['docker'] {
  const sudo = form.flag('sudo');
  const text = form.text('docker-host');
  if (text === '') return { sudo };
  const path = text.replace(/^unix:\/\//, '');
  if (/^\/[^\s$~]*[^\s$~/]$/.test(path) && !ODD.test(path)) return { sudo, host: `unix://${path}` };
  const [, host = '', port = ''] = /^tcp:\/\/(\[.*\]|[^:/@]*):(\d+)$/.exec(text) ?? [];
  const ipv6 = /^\[(.*)\]$/.exec(host)?.[1];
  if (
    parsePort(port) !== undefined &&
    (ipv6 === undefined ? hostNameProblem(host) === undefined : isIpv6(ipv6))
  )
    return { sudo, host: text };
  form.reject(
    'docker-host',
    `${form.shown(text)} is not accepted; accepted: a socket on the manager, as unix:///PATH or /PATH, or tcp://HOST:PORT`,
    /[$~]/.test(text)
      ? 'Nothing is expanded here: write the path out, as in unix:///run/user/1000/docker.sock'
      : /^ssh:/i.test(text)
        ? 'The manager to connect to goes into host.'
        : 'docker-host: unix:///run/user/1000/docker.sock',
  );
  return { sudo };
}

function paths(form: Form, name: 'compose-file' | 'env-file'): readonly string[] {
  const found: string[] = [];
  for (const { text, place } of form.lines(name)) {
    if (text === '-')
      form.reject(
        name,
        '"-" is not accepted: there is no standard input to read',
        undefined,
        place,
      );
    else if (/[\p{Cc}\p{Cs}]/u.test(text))
      form.reject(
        name,
        `${form.shown(text)} is not a path; accepted: paths of files, one per line`,
        undefined,
        place,
      );
    else found.push(text);
  }
  return found;
}

function profiles(form: Form): readonly string[] {
  const found = new Set<string>();
  for (const { text, place } of form.lines('profiles'))
    if (text === '*' || PROFILE.test(text)) found.add(text);
    else
      form.reject(
        'profiles',
        `${form.shown(text)} is not a profile; accepted: letters, digits, . _ and -, a letter or digit first, or * for all`,
        text.includes(',') ? 'One profile per line.' : undefined,
        place,
      );
  return [...found];
}

function lintIgnore(form: Form): readonly RuleId[] {
  const found = new Set<RuleId>();
  for (const { text, place } of form.lines('lint-ignore')) {
    const id = RULE_IDS.find((known) => known === text);
    if (id !== undefined) found.add(id);
    else
      form.reject(
        'lint-ignore',
        `${form.shown(text)} is not a rule of the lint`,
        `Near it: ${nearest(text, RULE_IDS).join(', ')}. docs/lint.md has them all.`,
        place,
      );
  }
  return [...found];
}

/** What `${...}` in a stack file can name (docker/cli, cli/compose/template). */
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * `KEY=VALUE` lines, the value byte for byte. Messages give line numbers and no content: a line that
 * is no such line may be the middle of a secret of several.
 */
function variables(form: Form): ReadonlyMap<string, string> {
  const found = new Map<string, { readonly value: string; readonly place: string }>();
  const oneLine =
    'A value is one line; give one of several lines in the env: of the step or in an env-file.';
  for (const [index, line] of form.exact('env').split('\n').entries()) {
    // A YAML block has no CRLF, but text from a Windows file does: it ends the line, not the value.
    const text = line.replace(/\r$/, '').trimStart();
    if (text === '') continue;
    const place = `line ${index + 1}`;
    const equals = text.indexOf('=');
    const key = text.slice(0, Math.max(0, equals));
    const earlier = found.get(key);
    if (equals < 0)
      form.reject(
        'env',
        'no "=" in it; accepted: KEY=VALUE',
        text.startsWith('#') ? 'Inside a YAML block (|) there are no comments.' : oneLine,
        place,
      );
    else if (!VARIABLE_NAME.test(key)) form.reject('env', keyProblem(key), oneLine, place);
    else if (earlier !== undefined)
      form.reject('env', `${key} is given already in ${earlier.place}`, undefined, place);
    else found.set(key, { value: text.slice(equals + 1), place });
  }
  return new Map([...found].map(([key, { value }]) => [key, value]));
}

/** Shows no more of the name than one sign: it may be no name at all. */
function keyProblem(key: string): string {
  const accepted = 'accepted: letters, digits and _, no digit first';
  if (key === '') return `no name before the "="; ${accepted}`;
  if (key.startsWith('export '))
    return `"export" before the name, which is for shells; ${accepted}`;
  if (/^\d/.test(key)) return `the name before the "=" starts with a digit; ${accepted}`;
  const sign = Array.from(key).find((character) => !/[A-Za-z0-9_]/.test(character)) ?? '';
  const shown = sign === ' ' ? 'a space' : ODD.test(sign) ? named(sign) : `"${sign}"`;
  return `${shown} in the name before the "="; ${accepted}`;
}

function watch(form: Form): Inputs['watch'] {
  const wait = form.flag('wait');
  const timeoutMs = form.duration('timeout', 'not zero');
  const progressTimeoutMs = form.duration('progress-timeout', 'not zero');
  const stableForMs =
    form.text('stable-for') === 'auto'
      ? 'auto'
      : form.duration('stable-for', 'zero allowed', ', or auto');
  const known = !form.isBad('timeout') && !form.isBad('stable-for');
  if (wait && known && stableForMs !== 'auto' && stableForMs >= timeoutMs)
    form.reject(
      'stable-for',
      `"${formatDuration(stableForMs)}" is not less than the timeout of ${formatDuration(timeoutMs)}: no deploy could succeed`,
      'Make timeout longer than the rollout and stable-for together.',
    );
  const failures = form.text('max-failures');
  if (!/^\d{1,9}$/.test(failures))
    form.reject(
      'max-failures',
      `${form.shown(failures)} is not a number of failures; accepted: a whole number, 0 or more`,
    );
  return { wait, timeoutMs, progressTimeoutMs, stableForMs, maxFailures: Number(failures) };
}

function history(form: Form): number {
  const kept = form.text('history');
  if (!/^\d{1,3}$/.test(kept))
    form.reject(
      'history',
      `${form.shown(kept)} is not a number of revisions; accepted: a whole number from 0 to 999`,
    );
  return Number(kept);
}

function revision(form: Form): string {
  const text = form.text('revision');
  if (!/^(previous|\d{1,9}|[0-9a-f]{4,64})$/i.test(text))
    form.reject(
      'revision',
      `${form.shown(text)} is no revision; accepted: previous, a number, or the start of a commit SHA (4 digits or more)`,
      '`mode: status` lists the revisions of the stack.',
    );
  return text.toLowerCase();
}

/** The decided inputs for the report: no credential, and of variables only the names. */
export function describeInputs(inputs: Inputs): object {
  const { connection, registries, compose, docker, mode, stack, watch } = inputs;
  return {
    mode,
    stack,
    hosts:
      connection.kind === 'local'
        ? ['local']
        : connection.managers.map(({ host, port, username }) => ({ host, port, username })),
    ...(connection.kind === 'local' || connection.jump === undefined
      ? {}
      : { jumpHost: connection.jump.target }),
    hostKeys: connection.kind === 'local' ? 'none' : connection.hostKeys.kind,
    docker,
    registries: registries.map(({ registry, username }) => ({ registry, username })),
    compose: {
      files: compose.files,
      env: [...compose.env.keys()],
      envFiles: compose.envFiles,
      allowUnset: compose.allowUnset,
      profiles: compose.profiles,
    },
    lintIgnore: inputs.lintIgnore,
    keepReplicas: inputs.keepReplicas,
    prune: inputs.prune,
    rotate: inputs.rotate,
    resolveImage: inputs.resolveImage,
    withRegistryAuth: inputs.withRegistryAuth,
    onFailure: inputs.onFailure,
    watch,
    lock: inputs.lock,
    history: inputs.history,
    revision: inputs.revision,
    onRerun: inputs.onRerun,
    onCancel: inputs.onCancel,
  };
}
