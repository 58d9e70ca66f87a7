/** The check of each rule of the catalog, on one service at a time; credentials apart. */
import { formatDuration } from '../duration.js';
import type { Position } from '../errors.js';
import { RULE_IDS, RULES, type RuleId } from './catalog.js';
import type { Field } from './field.js';
import { durationMs, numberOf, type LintService } from './service.js';

/** What the rules know besides the files; what is not known makes the rules that need it silent. */
export interface Surroundings {
  /** Nodes that are up and take tasks. */
  readonly nodes: readonly LintNode[] | undefined;
  /** The top-level `volumes` of the files. */
  readonly volumes: ReadonlyMap<string, Field>;
}

export interface LintNode {
  readonly name: string;
  /** Such as `20.10.24`; undefined where the node does not say. */
  readonly engine: string | undefined;
}

export interface Found {
  /** What stands in the message after the name of the service. */
  readonly text: string;
  readonly position: Position;
}

type Check = (service: LintService, surroundings: Surroundings) => readonly Found[];

const NOTHING: readonly Found[] = [];
const found = (text: string, position: Position): readonly Found[] => [{ text, position }];

/** A key that is there, whatever its value; those that say "no" to what nobody does say nothing wrong. */
const ignored =
  (key: string, harmless: (field: Field) => boolean = () => false): Check =>
  ({ field }) => {
    const at = field.get(key);
    if (at === undefined || harmless(at)) return NOTHING;
    return found(`\`${key}\` is ignored`, at.position);
  };
const isFalse = ({ text }: Field): boolean => ['false', 'no', 'off', 'n'].includes(text ?? '');
const isEmpty = ({ text, items, entries }: Field): boolean =>
  (text === undefined || text === '') && items.length === 0 && entries.size === 0;

/** Fields that nodes with an older engine leave out. */
const engine =
  (
    since: readonly [number, number],
    fields: (service: LintService) => readonly LabelledField[],
  ): Check =>
  (service, { nodes = [] }) => {
    const old = nodes.filter(({ engine: version }) => isBefore(version, since));
    const [first] = old;
    if (first === undefined) return NOTHING;
    const others = old.length === 1 ? '' : ` and ${old.length - 1} more`;
    return fields(service).map(({ label, field }) => ({
      text: `\`${label}\` is ignored on node ${first.name}${others}, where the engine is ${first.engine ?? ''}`,
      position: field.position,
    }));
  };

interface LabelledField {
  readonly label: string;
  readonly field: Field;
}

const at =
  (...paths: readonly (readonly [string, ...string[]])[]) =>
  ({ field }: LintService): readonly LabelledField[] =>
    paths.flatMap((path) => {
      const there = field.get(...path);
      return there === undefined || isEmpty(there) ? [] : [{ label: path.join('.'), field: there }];
    });

function isBefore(version: string | undefined, since: readonly [number, number]): boolean {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version ?? '') ?? [];
  if (major === undefined) return false;
  return Number(major) < since[0] || (Number(major) === since[0] && Number(minor) < since[1]);
}

const hostPorts = ({ ports }: LintService): LintService['ports'] =>
  ports.filter(({ host, published }) => host && published !== undefined && published !== '0');

/** Mounts that two tasks on one node, the old and the new one, would write to at once. */
const writes = ({ mounts }: LintService): boolean =>
  mounts.some(
    ({ type, source, readOnly }) =>
      !readOnly && source !== undefined && ['volume', 'bind', 'cluster'].includes(type),
  );

const where = (service: LintService, ...path: readonly [string, ...string[]]): Position =>
  service.field.get(...path)?.position ?? service.field.firstPosition;

/** Between commands, as a word of its own. */
const OPERATOR = /^(?:\|\|?|&&|;|\d?>{1,2}(?:&\d|\/dev\/null)?)$/;

/** Of a container's own namespaces (runc, libcontainer/configs/validate). */
const OWN_SYSCTL =
  /^(?:net\.|fs\.mqueue\.|kernel\.(?:msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced|domainname)$)/;

/** As Docker has them where nothing is written; Swarm's own of `monitor`. */
const HEALTHCHECK = { interval: 30_000, startPeriod: 0, retries: 3 };
const MONITOR_MS = 5000;

/** Zero stands for the default, as Docker has it. */
function or(value: number | undefined, otherwise: number): number {
  return value === undefined || value === 0 ? otherwise : value;
}

/** The rules that find nothing where the nodes are not known; the others do not ask for them. */
export const NEED_NODES: ReadonlySet<RuleId> = new Set([
  ...RULE_IDS.filter((id) => RULES[id].group === 'Depends on the engine'),
  'host-port-replicas',
  'start-first-max-replicas',
  'local-volume-moves',
  'network-stays',
]);

export const CHECKS: Readonly<
  Record<Exclude<RuleId, 'expiring-credentials' | 'network-stays'>, Check>
> = {
  'ignored-build': ignored('build'),
  'ignored-cgroup-parent': ignored('cgroup_parent'),
  'ignored-cgroupns-mode': ignored('cgroupns_mode'),
  'ignored-container-name': ignored('container_name'),
  'ignored-depends-on': ({ field }) => {
    const depends = field.get('depends_on');
    if (depends === undefined || isEmpty(depends)) return NOTHING;
    const orders = [...depends.entries.values()].some((one) => {
      const condition = one.get('condition')?.text ?? 'service_started';
      return condition !== 'service_started';
    });
    return orders ? NOTHING : found('`depends_on` orders nothing here', depends.position);
  },
  'ignored-devices': ignored('devices', isEmpty),
  'ignored-domainname': ignored('domainname'),
  'ignored-expose': ignored('expose', isEmpty),
  'ignored-external-links': ignored('external_links', isEmpty),
  'ignored-ipc': ignored('ipc'),
  'ignored-links': ignored('links', isEmpty),
  'ignored-mac-address': ignored('mac_address'),
  'ignored-network-address': ({ field }) =>
    [...(field.get('networks')?.entries.values() ?? [])].flatMap((network) =>
      ['ipv4_address', 'ipv6_address'].flatMap((key) => {
        const address = network.get(key);
        return address === undefined ? [] : found(`\`${key}\` is ignored`, address.position);
      }),
    ),
  'ignored-network-mode': ignored('network_mode'),
  'ignored-pid': ignored('pid'),
  'ignored-privileged': ignored('privileged', isFalse),
  'ignored-restart': ({ field }) => {
    const restart = field.get('restart');
    if (restart === undefined || isEmpty(restart)) return NOTHING;
    const why =
      field.get('deploy', 'restart_policy') !== undefined
        ? 'is ignored next to `deploy.restart_policy`'
        : restart.text === 'no' || restart.text === 'false'
          ? 'is ignored: without `deploy.restart_policy`, Swarm always restarts'
          : restart.text?.startsWith('on-failure') === true
            ? 'is read as a `deploy.restart_policy` with `condition: on-failure`'
            : 'says what Swarm does anyway';
    return found(`\`restart\` ${why}`, restart.position);
  },
  'ignored-security-opt': ignored('security_opt', isEmpty),
  'ignored-shm-size': ignored('shm_size'),
  'ignored-tmpfs': ignored('tmpfs', isEmpty),
  'ignored-userns-mode': ignored('userns_mode'),

  'engine-sysctls': engine([19, 3], at(['sysctls'])),
  'engine-capabilities': engine([20, 10], at(['cap_add'], ['cap_drop'])),
  'engine-ulimits': engine([20, 10], at(['ulimits'])),
  'engine-pids-limit': engine([20, 10], at(['deploy', 'resources', 'limits', 'pids'])),
  'engine-start-interval': engine([25, 0], at(['healthcheck', 'start_interval'])),
  'engine-volume-subpath': engine([26, 0], ({ mounts }) =>
    mounts.flatMap((mount) => {
      const field = mount.field.get('volume', 'subpath');
      return field === undefined ? [] : [{ label: 'volume.subpath', field }];
    }),
  ),
  'engine-oom-score-adj': engine([27, 0], at(['oom_score_adj'])),

  'no-healthcheck': (service) => {
    if (!service.keepsRunning || service.isHealthchecked) return NOTHING;
    if (service.healthcheck?.isMap === true)
      return found('the healthcheck is disabled', service.healthcheck.position);
    return found('no healthcheck, unless the image has one', service.field.firstPosition);
  },
  'healthcheck-words': ({ healthcheck, isHealthchecked }) => {
    const [probe, ...items] = healthcheck?.get('test')?.items ?? [];
    const words = items.map(({ text = '' }) => text);
    const [first, second] = items;
    if (!isHealthchecked || probe === undefined || first === undefined) return NOTHING;
    if (probe.text === 'CMD-SHELL')
      return second === undefined
        ? NOTHING
        : found('the shell of the healthcheck runs the first word alone', second.position);
    if (probe.text !== 'CMD') return NOTHING;
    if (second === undefined && /\S\s+\S/.test(first.text ?? ''))
      return found('the healthcheck runs a program with spaces in its name', first.position);
    // What comes behind it is a program of its own.
    const isScript = words.some((word) =>
      /^(?:-\w*[cer]|--?(?:eval|command|execute))$/i.test(word),
    );
    const odd = items.find(
      ({ text = '' }) => OPERATOR.test(text) || (!isScript && /\$\{?[A-Z_][A-Z0-9_]*/.test(text)),
    );
    if (odd === undefined) return NOTHING;
    return found(
      OPERATOR.test(odd.text ?? '')
        ? 'the healthcheck has no shell to read what stands between its commands'
        : 'the healthcheck has no shell to fill in its variables',
      odd.position,
    );
  },
  'sysctl-of-the-node': ({ field }) => {
    const sysctls = field.get('sysctls');
    const written = [
      ...[...(sysctls?.entries ?? [])].map(([name, at]) => ({ name, position: at.position })),
      ...(sysctls?.items ?? []).map(({ text = '', position }) => ({
        name: text.split('=')[0] ?? '',
        position,
      })),
    ];
    return written
      .filter(({ name }) => name !== '' && !OWN_SYSCTL.test(name.replaceAll('/', '.')))
      .flatMap(({ name, position }) => found(`no container can set ${name}`, position));
  },
  'stop-first-single-replica': (service) => {
    const { keepsRunning, isGlobal, replicas, order, update } = service;
    if (!keepsRunning || isGlobal || replicas !== 1 || order !== 'stop-first') return NOTHING;
    // Where two at once would be wrong, it is a choice; written out, one that was made.
    const hasToStop = writes(service) || hostPorts(service).length > 0;
    if (hasToStop && update?.get('order') !== undefined) return NOTHING;
    return found(
      'one replica, stopped before its successor starts: down in every update',
      where(service, 'deploy', 'update_config', 'order'),
    );
  },
  'failure-action': (service) => {
    if (!service.keepsRunning) return NOTHING;
    const action = service.update?.get('failure_action');
    if (action?.text === 'rollback') return NOTHING;
    const text =
      action?.text === 'continue'
        ? '`failure_action` goes on with an update that fails'
        : 'a failing update is paused half-way, not rolled back';
    return found(text, action?.position ?? service.update?.position ?? service.field.firstPosition);
  },
  'monitor-too-short': (service) => {
    const { healthcheck, update } = service;
    if (!service.keepsRunning || !service.isHealthchecked || healthcheck === undefined)
      return NOTHING;
    const read = (key: string): number | undefined => durationMs(healthcheck.get(key)?.text);
    const interval = or(read('interval'), HEALTHCHECK.interval);
    const retries = or(numberOf(healthcheck.get('retries')?.text), HEALTHCHECK.retries);
    const startPeriod = or(read('start_period'), HEALTHCHECK.startPeriod);
    const written = update?.get('monitor');
    const monitor = or(durationMs(written?.text), MONITOR_MS);
    const needed = startPeriod + interval * retries;
    if (monitor >= needed) return NOTHING;
    return found(
      `\`monitor\` is ${formatDuration(monitor)}${written === undefined ? ' by default' : ''}, ` +
        `and the healthcheck may take ${formatDuration(needed)} to find a task unhealthy ` +
        `(start_period ${formatDuration(startPeriod)} + interval ${formatDuration(interval)} * retries ${retries})`,
      written?.position ?? healthcheck.position,
    );
  },
  'start-first-host-port': (service) => {
    if (!service.keepsRunning || service.order !== 'start-first') return NOTHING;
    const [port] = hostPorts(service);
    if (port === undefined) return NOTHING;
    return found(
      '`start-first` cannot start the new task while the old one has the host port',
      port.position,
    );
  },
  'host-port-replicas': (service, { nodes }) => {
    const [port] = hostPorts(service);
    const { replicas = 0 } = service;
    if (!service.keepsRunning || port === undefined || nodes === undefined) return NOTHING;
    if (nodes.length === 0 || replicas <= nodes.length) return NOTHING;
    return found(
      `${replicas} replicas with a host port on ${nodes.length} active ${nodes.length === 1 ? 'node' : 'nodes'}: not all can run`,
      port.position,
    );
  },
  'start-first-max-replicas': (service, { nodes }) => {
    const limit = service.field.get('deploy', 'placement', 'max_replicas_per_node');
    const most = numberOf(limit?.text) ?? 0;
    const { replicas } = service;
    if (!service.keepsRunning || service.order !== 'start-first') return NOTHING;
    if (limit === undefined || most === 0 || nodes === undefined || nodes.length === 0)
      return NOTHING;
    if (replicas === undefined || replicas < most * nodes.length) return NOTHING;
    return found(
      `\`start-first\` needs a place for one task more, and ${most} per node on ${nodes.length} active ${nodes.length === 1 ? 'node' : 'nodes'} leaves none`,
      limit.position,
    );
  },
  'update-all-at-once': (service) => {
    const { replicas, isGlobal, update } = service;
    const parallelism = update?.get('parallelism');
    const several = isGlobal || (replicas ?? 0) > 1;
    if (!service.keepsRunning || !several || service.order !== 'stop-first') return NOTHING;
    const at_once = numberOf(parallelism?.text);
    if (parallelism === undefined || at_once === undefined) return NOTHING;
    if (at_once !== 0 && (isGlobal || at_once < (replicas ?? Infinity))) return NOTHING;
    return found('an update stops all tasks at once', parallelism.position);
  },
  'local-volume-moves': (service, { nodes, volumes }) => {
    const { keepsRunning, isGlobal, field, mounts } = service;
    if (!keepsRunning || isGlobal || nodes === undefined || nodes.length < 2) return NOTHING;
    if ((field.get('deploy', 'placement', 'constraints')?.items.length ?? 0) > 0) return NOTHING;
    return mounts.flatMap((mount) => {
      if (mount.type !== 'volume' || mount.source === undefined || mount.readOnly) return [];
      const volume = volumes.get(mount.source);
      const driver = volume?.get('driver')?.text ?? 'local';
      // One with options may be a network file system; one from outside may be anything.
      if (driver !== 'local' || volume?.get('driver_opts') !== undefined) return [];
      if (volume?.get('external') !== undefined) return [];
      return found(`the volume ${mount.source} is another one on each node`, mount.field.position);
    });
  },
  'no-stop-grace-period': (service) => {
    const { keepsRunning, ports, field } = service;
    if (!keepsRunning || ports.length === 0 || field.get('stop_grace_period') !== undefined)
      return NOTHING;
    return found(
      'it has ports, and no `stop_grace_period`: killed 10s after it was asked to stop',
      where(service, 'ports'),
    );
  },
  'mutable-tag': ({ field }) => {
    const image = field.get('image');
    const text = image?.text ?? '';
    if (image === undefined || text === '' || text.includes('@')) return NOTHING;
    const tag = /:([^:/]+)$/.exec(text)?.[1];
    if (tag !== undefined && tag !== 'latest') return NOTHING;
    return found(
      tag === undefined
        ? 'the image has no tag, which means `latest`: another image tomorrow'
        : 'the tag `latest` means another image tomorrow',
      image.position,
    );
  },
  'no-resource-limits': (service) => {
    const { isJob, isGlobal, replicas, field } = service;
    const idle = !isGlobal && replicas === 0;
    const limit = field.get('deploy', 'resources', 'limits', 'memory') ?? field.get('mem_limit');
    // 0 limits nothing, in whatever unit.
    if (idle || (limit !== undefined && !/^0+(?:\.0*)?[a-z ]*$/i.test(limit.text ?? '')))
      return NOTHING;
    const what = isJob ? 'the job' : 'it';
    return found(
      `no memory limit: ${what} may take all that its node has`,
      field.get('deploy', 'resources', 'limits')?.position ??
        field.get('deploy', 'resources')?.position ??
        field.firstPosition,
    );
  },
  'attached-twice': ({ field }) =>
    (['configs', 'secrets'] as const).flatMap((kind) => {
      const targets = new Map<string, string>();
      return (field.get(kind)?.items ?? []).flatMap((item) => {
        const source = item.isMap ? item.get('source')?.text : item.text;
        if (source === undefined) return [];
        const target = (item.isMap ? item.get('target')?.text : undefined) ?? source;
        const before = targets.get(source);
        targets.set(source, target);
        if (before === undefined || before === target) return [];
        const what = kind === 'configs' ? 'config' : 'secret';
        return found(
          `the ${what} ${source} is attached twice, as ${before} and as ${target}: a deploy without changes may restart all tasks`,
          item.position,
        );
      });
    }),
  'job-update-config': ({ isJob, update }) =>
    isJob && update !== undefined
      ? found('Swarm refuses `update_config` on a job', update.position)
      : NOTHING,
};
