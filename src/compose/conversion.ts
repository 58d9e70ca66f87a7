/**
 * What Docker's client finds wrong with services only while it makes specs of them (docker/cli,
 * cli/compose/convert): by then it has created the networks, configs and secrets of the stack. Found
 * here, nothing is created, and the answer has a file and a line.
 */
import type { Problem } from '../errors.js';
import type { Field } from '../lint/field.js';
import type { NewerKey } from './document.js';
import { problemAt } from './source.js';

export interface Conversion {
  /** What no client can convert. */
  readonly problems: readonly Problem[];
  /** What clients before a major version cannot convert, and what nothing can be put in place of. */
  readonly demands: readonly NewerKey[];
}

/** Looks at the services that are deployed, with all files merged. */
export function checkConversion(
  files: Field | undefined,
  isIncluded: (service: string) => boolean,
): Conversion {
  const check = new Check(files);
  for (const [name, service] of files?.get('services')?.entries ?? [])
    if (isIncluded(name) && service.isMap) check.service(name, service);
  return check;
}

/** The first client of each mode and mount type that not all have: docker/cli#2907, #3606 and #5845. */
const MODES_SINCE = 23;
const MOUNTS_SINCE: Readonly<Record<string, number>> = { cluster: 23, image: 28 };

const MODES = ['replicated', 'global', 'replicated-job', 'global-job'];
/** Each type of mount, and the options that are not for it. */
const MOUNTS: Readonly<Record<string, readonly string[]>> = {
  volume: ['tmpfs', 'bind', 'cluster', 'image'],
  bind: ['volume', 'tmpfs', 'cluster', 'image'],
  tmpfs: ['bind', 'volume', 'cluster', 'image'],
  npipe: ['volume', 'tmpfs', 'image'],
  image: ['volume', 'bind', 'tmpfs', 'cluster'],
  cluster: ['tmpfs', 'bind', 'volume'],
};
const RESTARTS = /^(?:no|always|unless-stopped|on-failure)?(?::[+-]?\d+)?$/;

/** Any other first word of a healthcheck's list: moby, daemon/health.go, starts no probe for it. */
const PROBES = ['NONE', 'CMD', 'CMD-SHELL'];
const WORDS: readonly (readonly [readonly [string, ...string[]], readonly string[]])[] = [
  [
    ['deploy', 'restart_policy', 'condition'],
    ['none', 'on-failure', 'any'],
  ],
  [
    ['deploy', 'update_config', 'failure_action'],
    ['pause', 'continue', 'rollback'],
  ],
  [
    ['deploy', 'rollback_config', 'failure_action'],
    ['pause', 'continue', 'rollback'],
  ],
  [
    ['deploy', 'update_config', 'order'],
    ['stop-first', 'start-first'],
  ],
  [
    ['deploy', 'rollback_config', 'order'],
    ['stop-first', 'start-first'],
  ],
  [
    ['deploy', 'endpoint_mode'],
    ['vip', 'dnsrr'],
  ],
];

/** What swarmkit compares (manager/constraint, NodeMatches); by anything else no node is found. */
const NODE_FACT =
  /^(?:node\.(?:id|hostname|ip|role|platform\.os|platform\.arch|labels\..+)|engine\.labels\..+)$/i;
/** As swarmkit has it (manager/constraint, valuePattern; each sign tried on 20.10). */
const CONSTRAINT_VALUE = /^[a-z0-9:\-_\s.*()?+[\]\\^$|/]+$/i;
const ROLE = /^(?:manager|worker)\s*$/i;

class Check implements Conversion {
  readonly problems: Problem[] = [];
  readonly demands: NewerKey[] = [];
  readonly #files: Field | undefined;

  constructor(files: Field | undefined) {
    this.#files = files;
  }

  service(name: string, service: Field): void {
    this.#mode(name, service);
    this.#restart(name, service);
    this.#healthcheck(name, service);
    this.#words(name, service);
    this.#references(name, service);
    for (const mount of lastOfEachTarget(service.get('volumes')?.items ?? []))
      this.#mount(name, mount);
    this.#credentials(name, service);
  }

  #mode(name: string, service: Field): void {
    const mode = service.get('deploy', 'mode');
    const text = mode?.text ?? '';
    if (mode === undefined || text === '') return;
    if (!MODES.includes(text)) {
      this.#refuse(
        mode,
        `service ${name}: there is no such mode`,
        `There are: ${MODES.join(', ')}.`,
      );
      return;
    }
    if (text.endsWith('-job'))
      this.#demand(
        mode,
        MODES_SINCE,
        `service ${name}: \`deploy.mode: ${text}\``,
        'Update Docker on the manager; or use `deploy: {restart_policy: {condition: none}}` instead of the mode: its task runs once with every version.',
      );
    if (!text.startsWith('global')) return;
    const replicas = service.get('deploy', 'replicas') ?? service.get('scale');
    if (replicas?.text !== undefined)
      this.#refuse(
        replicas,
        `service ${name}: replicas do not go with \`deploy.mode: ${text}\`, which has one task on each node`,
        'Remove one of the two.',
      );
  }

  #restart(name: string, service: Field): void {
    const restart = service.get('restart');
    const text = restart?.text ?? '';
    const policy = service.get('deploy', 'restart_policy');
    if (restart === undefined || policy?.isMap === true || RESTARTS.test(text)) return;
    this.#refuse(
      restart,
      `service ${name}: there is no such restart policy`,
      'There are: no, always, unless-stopped, on-failure, on-failure:3. Swarm itself goes by deploy.restart_policy.',
    );
  }

  #healthcheck(name: string, service: Field): void {
    const disable = service.get('healthcheck', 'disable');
    const test = service.get('healthcheck', 'test');
    const [first] = test?.items ?? [];
    if (first?.text !== undefined && !PROBES.includes(first.text))
      this.#refuse(
        first,
        `service ${name}: a healthcheck's \`test\` starts with one of ${PROBES.join(', ')}; with anything else no task ever becomes healthy`,
        'As a list: `["CMD", "curl", "-f", "http://localhost/"]`, or one text for the shell: `curl -f http://localhost/`.',
      );
    if (test?.text === 'NONE')
      this.#refuse(
        test,
        `service ${name}: \`test: NONE\` runs a command of that name; no task ever becomes healthy`,
        'To disable the healthcheck of the image, write `test: [NONE]` or `disable: true`.',
      );
    if (disable?.text?.toLowerCase() !== 'true' || test === undefined) return;
    if (test.text === undefined && test.items.length === 0) return;
    this.#refuse(
      disable,
      `service ${name}: a healthcheck cannot be disabled and have a \`test\``,
      'Keep one of the two; in a file that goes over another one, write `healthcheck: !override` and `disable: true` below it.',
    );
  }

  /** What takes one of a few words, and what the swarm compares with. */
  #words(name: string, service: Field): void {
    for (const [path, words] of WORDS) {
      const field = service.get(...path);
      const text = field?.text ?? '';
      if (
        field?.text !== undefined &&
        (text !== '' || path.includes('order')) &&
        !words.includes(text)
      )
        this.#refuse(
          field,
          `service ${name}: \`${path.join('.')}\` takes ${words.slice(0, -1).join(', ')} or ${words.at(-1) ?? ''}`,
          'Docker would refuse it after networks, configs and secrets were made.',
        );
    }
    for (const item of service.get('deploy', 'placement', 'constraints')?.items ?? [])
      if (item.text !== undefined) this.#constraint(name, item, item.text);
  }

  #constraint(name: string, item: Field, text: string): void {
    const [, key, operator = '', value = ''] =
      /^\s*([^\s=!]+)\s*(==|!=)\s*(\S.*)$/.exec(text) ?? [];
    if (key === undefined)
      this.#refuse(
        item,
        `service ${name}: a constraint compares with == or !=`,
        'Such as `node.role == worker` or `node.labels.zone != b`.',
      );
    else if (!NODE_FACT.test(key))
      this.#refuse(
        item,
        `service ${name}: no node ever meets a constraint on \`${key}\`, which the swarm does not know`,
        'There are node.id, node.hostname, node.ip, node.role, node.platform.os, node.platform.arch, node.labels.NAME and engine.labels.NAME.',
      );
    else if (!/^[\w.-]+$/.test(key) || !CONSTRAINT_VALUE.test(value))
      this.#refuse(
        item,
        `service ${name}: the swarm does not take this constraint, for its signs or letters`,
        'It takes letters from a to z, digits, spaces, and $ ( ) * + - . / : ? [ ] \\ ^ _ | in a value; quotes inside of it are among what it refuses.',
      );
    else if (/^node\.role$/i.test(key) && operator === '==' && !ROLE.test(value))
      this.#refuse(
        item,
        `service ${name}: no node has the role ${value.trim()}`,
        'A node is a manager or a worker.',
      );
  }

  #references(name: string, service: Field): void {
    const networks = service.get('networks');
    for (const [network, field] of networks?.isMap === true ? networks.entries : [])
      if (network !== 'default') this.#declared('networks', network, field, name);
    for (const item of networks?.items ?? [])
      if (item.text !== undefined && item.text !== 'default')
        this.#declared('networks', item.text, item, name);
    for (const kind of ['configs', 'secrets'] as const)
      for (const item of service.get(kind)?.items ?? []) {
        const source = item.isMap ? item.get('source') : item;
        if (source?.text !== undefined) this.#declared(kind, source.text, source, name);
      }
  }

  #mount(name: string, mount: Field): void {
    if (!mount.isMap) {
      const source = shortSource(mount.text ?? '');
      if (source !== undefined) this.#declared('volumes', source, mount, name);
      return;
    }
    const type = mount.get('type');
    const text = type?.text ?? '';
    if (type === undefined || text === '') return;
    const foreign = Object.hasOwn(MOUNTS, text) ? MOUNTS[text] : undefined;
    if (foreign === undefined) {
      this.#refuse(
        type,
        `service ${name}: there is no such type of mount`,
        `There are: ${Object.keys(MOUNTS).join(', ')}.`,
      );
      return;
    }
    const since = MOUNTS_SINCE[text];
    if (since !== undefined)
      this.#demand(
        type,
        since,
        `service ${name}: a mount of type ${text}`,
        'Update Docker on the manager, or use another type of mount.',
      );
    for (const option of foreign) {
      const found = mount.get(option);
      if (found?.isMap === true)
        this.#refuse(
          found,
          `service ${name}: \`${option}\` options do not go with a mount of type ${text}`,
          'Remove them, or mount another type.',
        );
    }
    const source = mount.get('source');
    const from = source?.text ?? '';
    if (from !== '' && source !== undefined) {
      if (text === 'tmpfs')
        this.#refuse(
          source,
          `service ${name}: a mount of type tmpfs has no \`source\``,
          'Remove it.',
        );
      else if (text === 'volume' || (text === 'cluster' && !from.startsWith('group:')))
        this.#declared('volumes', from, source, name);
    } else if (['npipe', 'image', 'cluster'].includes(text)) {
      this.#refuse(
        source ?? mount,
        `service ${name}: a mount of type ${text} needs a \`source\``,
        'Give it one.',
      );
    }
  }

  #credentials(name: string, service: Field): void {
    const spec = service.get('credential_spec');
    const given = ['config', 'file', 'registry'].flatMap((key) => {
      const field = spec?.get(key);
      return (field?.text ?? '') === '' || field === undefined ? [] : [{ key, field }];
    });
    const [first, second] = given;
    if (second !== undefined)
      this.#refuse(
        second.field,
        `service ${name}: \`credential_spec\` takes one of ${given.map(({ key }) => key).join(' and ')}`,
        'Keep one of them.',
      );
    if (first?.key === 'config')
      this.#declared('configs', first.field.text ?? '', first.field, name);
  }

  /** That the files have what a service refers to. */
  #declared(
    section: 'networks' | 'volumes' | 'configs' | 'secrets',
    name: string,
    at: Field,
    service: string,
  ): void {
    const known = this.#files?.get(section)?.entries ?? new Map<string, Field>();
    if (known.has(name)) return;
    this.#refuse(
      at,
      `service ${service}: there is no ${name} in the top-level \`${section}\``,
      `Declare it there${known.size === 0 ? '' : ` (there ${known.size === 1 ? 'is' : 'are'}: ${listed(known)})`}; with \`external: true\` if it exists already.`,
    );
  }

  #refuse(at: Field, message: string, hint: string): void {
    this.problems.push(problemAt(at.position, message, { hint }));
  }

  #demand(at: Field, since: number, message: string, hint: string): void {
    this.demands.push({ since, ...problemAt(at.position, message, { hint }) });
  }
}

const MAX_LISTED = 10;

/** The first names, for people. */
function listed(known: ReadonlyMap<string, unknown>): string {
  const names = [...known.keys()].slice(0, MAX_LISTED);
  return `${names.join(', ')}${known.size > names.length ? ', ...' : ''}`;
}

/** Of several files the last one has a target, as Docker merges mounts. */
function lastOfEachTarget(mounts: readonly Field[]): readonly Field[] {
  const last = new Map<string, Field>();
  for (const mount of mounts)
    last.set((mount.isMap ? mount.get('target')?.text : shortTarget(mount.text)) ?? '', mount);
  return [...last.values()];
}

const shortTarget = (text = ''): string => text.split(':')[1] ?? text;

/**
 * The volume that `volume:/path` names; undefined where there is none. One letter is taken for a drive
 * of Windows (docker/cli, cli/compose/loader/volume.go).
 */
function shortSource(text: string): string | undefined {
  const [source = '', target] = text.split(':');
  return target === undefined || source.length < 2 || /^[.~/\\]/.test(source) ? undefined : source;
}
