/**
 * What the swarm itself refuses in a service (swarmkit, manager/controlapi/service.go and common.go), or
 * takes for something else without a word: by then the services before it, and the networks, configs and
 * secrets of the stack have been made. Found here, nothing is, and the answer has a file and a line.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Problem } from '../errors.js';
import type { Field } from '../lint/field.js';
import { portOf, type PortNumbers } from './ports.js';
import { problemAt } from './source.js';
import { readBytes, readDuration } from './spelling.js';
import { isTrue } from './tree.js';

/** Every name of the swarm's: STACK_SERVICE, and networks. In one way to read it, so that no name takes long. */
const NAME = /^[a-zA-Z0-9](?:[-_]*[A-Za-z0-9])*$/;
const LONGEST_NAME = 63;
const LEAST_MEMORY = 4 * 1024 * 1024;
const LEAST_CPUS = 0.001;

// The grammar of distribution/reference, after the host.
const REPOSITORY =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const HOST =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;

/** Docker's own drivers for networks of a single node; a plugin's may span the swarm. */
const OF_ONE_NODE = ['bridge', 'host', 'null', 'macvlan', 'ipvlan'];

/** A port that a service publishes. */
interface Published extends PortNumbers {
  readonly isHost: boolean;
  readonly field: Field;
}

/** Looks at the services that are deployed, with all files merged. */
export function checkRefusals(
  files: Field | undefined,
  stack: string,
  isIncluded: (service: string) => boolean,
): readonly Problem[] {
  const problems: Problem[] = [];
  const networks = new Set<string>();
  const published = new Map<string, { readonly service: string; readonly port: Published }>();
  for (const [name, service] of files?.get('services')?.entries ?? []) {
    if (!isIncluded(name) || !service.isMap) continue;
    const refuse = (at: Field, message: string, hint: string): void => {
      problems.push(problemAt(at.position, `service ${name}: ${message}`, { hint }));
    };
    const full = `${stack}_${name}`;
    if (!NAME.test(full) || full.length > LONGEST_NAME)
      problems.push(
        problemAt(
          service.firstPosition,
          full.length > LONGEST_NAME
            ? `service ${name}: with the stack in front, ${full}, its name has more than ${LONGEST_NAME} characters`
            : `service ${name}: a service is named by letters, digits, and - and _ between them`,
          { hint: 'The swarm would refuse it after networks, configs and secrets were made.' },
        ),
      );
    for (const network of networksOf(service)) {
      if (!networks.has(network)) checkNetwork(files, stack, network, refuse);
      networks.add(network);
    }
    checkImage(service, refuse);
    checkNumbers(service, refuse);
    checkMounts(service, refuse);
    checkTargets(service, refuse);
    for (const port of portsOf(service, refuse))
      for (const number of port.numbers) {
        const place = `${number}/${port.protocol}`;
        const other = published.get(place);
        published.set(place, other ?? { service: name, port });
        if (other === undefined || (port.isHost && other.port.isHost && other.service !== name))
          continue;
        if (other.service === name && !isOfOneFile(service)) continue;
        refuse(
          port.field,
          `port ${place} is published already, by ${other.service === name ? 'the same service' : other.service} in line ${other.port.field.position.line ?? 0}`,
          'In a swarm each port is published once. Give one of the two another number.',
        );
        break;
      }
  }
  return problems;
}

type Refuse = (at: Field, message: string, hint: string) => void;

/** Docker's merge of several files keeps one of each kind of item; see `merge.ts`. */
const isOfOneFile = (service: Field): boolean =>
  isDeepStrictEqual(service.position, service.firstPosition);

/** The keys of what a service is attached to. */
function networksOf(service: Field): readonly string[] {
  const networks = service.get('networks');
  const named = [
    ...(networks?.entries.keys() ?? []),
    ...(networks?.items ?? []).flatMap(({ text }) => text ?? []),
  ];
  return named.length > 0 ? named : ['default'];
}

/** A network that is made. */
function checkNetwork(files: Field | undefined, stack: string, key: string, refuse: Refuse): void {
  const network = files?.get('networks', key);
  const external = network?.get('external');
  if (network === undefined || external?.isMap === true || isTrue(external?.text)) return;
  const driver = network.get('driver');
  if (driver !== undefined && OF_ONE_NODE.includes(driver.text ?? ''))
    refuse(
      driver,
      `the network ${key}: a service needs one that spans the nodes, and ${driver.text ?? ''} is of one node`,
      'Leave `driver` out, or write overlay.',
    );
  const own = network.get('name');
  const name = own?.text ?? `${stack}_${key}`;
  if (NAME.test(name) || (driver?.text ?? 'overlay') !== 'overlay') return;
  refuse(
    own ?? network,
    `the network ${name}: the swarm names it by letters, digits, and - and _ between them`,
    'Give it another name.',
  );
}

function checkImage(service: Field, refuse: Refuse): void {
  const image = service.get('image');
  const text = image?.text;
  if (image === undefined || text === undefined) return;
  if (text === '') {
    refuse(image, '`image` is empty', 'Name an image; is a variable in it empty?');
    return;
  }
  const [before = '', ...digests] = text.split('@');
  const slash = before.indexOf('/');
  const first = before.slice(0, slash);
  // The rule of distribution/reference: anything else is a path on Docker Hub.
  const isHost = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || /[A-Z]/.test(first));
  const rest = isHost ? before.slice(slash + 1) : before;
  // A tag with a slash in it looks like the port of a host.
  const [, path = '', tag] =
    /^([^:[]+):(?!\d*\/)([^]*\/[^]*)$/.exec(before) ?? /^([^:]*)(?::([^]*))?$/.exec(rest) ?? [];
  const wrong =
    path !== path.toLowerCase()
      ? ['has capital letters in its name', 'Write all but the tag in small letters.']
      : tag !== undefined && !TAG.test(tag)
        ? [
            `has a tag that is none: ${tag === '' ? 'nothing' : tag}`,
            'A tag has letters, digits, _ . and -, at most 128 of them. Of a branch such as feature/x, make feature-x.',
          ]
        : !REPOSITORY.test(path) ||
            (isHost && !HOST.test(first)) ||
            digests.length > 1 ||
            digests.some((digest) => !DIGEST.test(digest))
          ? ['is no image', 'It is written [host/]name[:tag][@digest]; is a variable in it empty?']
          : undefined;
  const [what, hint] = wrong ?? [];
  if (what !== undefined && hint !== undefined) refuse(image, `\`image\` ${text} ${what}`, hint);
}

function checkNumbers(service: Field, refuse: Refuse): void {
  for (const kind of ['limits', 'reservations'] as const) {
    const resource = service.get('deploy', 'resources', kind);
    const memory =
      resource?.get('memory') ?? service.get(kind === 'limits' ? 'mem_limit' : 'mem_reservation');
    const bytes = readBytes(memory?.text ?? '') ?? 0;
    if (memory !== undefined && bytes > 0 && bytes < LEAST_MEMORY)
      refuse(
        memory,
        `${bytes} bytes of memory are less than the 4 MiB that the swarm takes`,
        'A number without a unit is bytes: write 512m for megabytes.',
      );
    const cpus = resource?.get('cpus') ?? (kind === 'limits' ? service.get('cpus') : undefined);
    const number = Number(cpus?.text ?? '');
    if (cpus !== undefined && number > 0 && number < LEAST_CPUS)
      refuse(cpus, `the swarm takes no less than ${LEAST_CPUS} CPUs`, 'A half is 0.5.');
  }
  const ratio = service.get('deploy', 'update_config', 'max_failure_ratio');
  const share = Number(ratio?.text ?? '0');
  if (ratio !== undefined && (share < 0 || share > 1))
    refuse(ratio, '`max_failure_ratio` is a share from 0 to 1', 'A fifth is 0.2.');
  for (const [section, key] of [
    ['update_config', 'delay'],
    ['update_config', 'monitor'],
    ['restart_policy', 'delay'],
    ['restart_policy', 'window'],
  ] as const) {
    const duration = service.get('deploy', section, key);
    if (/^-.*[1-9]/.test(readDuration(duration?.text ?? '') ?? '') && duration !== undefined)
      refuse(duration, `\`deploy.${section}.${key}\` is negative`, 'Write it without the sign.');
  }
}

function checkMounts(service: Field, refuse: Refuse): void {
  const seen = new Map<string, Field>();
  for (const mount of service.get('volumes')?.items ?? []) {
    const text = mount.text ?? '';
    // A drive of Windows has a colon of its own.
    if (/^[A-Za-z]:/.test(text)) continue;
    const target = mount.isMap
      ? mount.get('target')?.text
      : (/^[^:]*:([^:]*)/.exec(text)?.[1] ?? text);
    if (target === undefined) continue;
    if (!/^[/\\]|^[A-Za-z]:|\{\{|^$/.test(target))
      refuse(
        mount,
        `the mount is at ${target}, which is no absolute path: no task of it could start`,
        'Write [source:]target, such as data:/data; a volume alone has no place in the container.',
      );
    if (!isOfOneFile(service)) continue;
    const before = seen.get(target);
    if (before === undefined) seen.set(target, mount);
    else
      refuse(
        mount,
        `there is a mount at ${target} already, in line ${before.position.line ?? 0}`,
        'Keep one of the two, or give one another path.',
      );
  }
}

/** Two objects at one path; of one object at two paths see `merge.ts`. */
function checkTargets(service: Field, refuse: Refuse): void {
  for (const kind of ['configs', 'secrets'] as const) {
    const items = (service.get(kind)?.items ?? []).flatMap((item) => {
      const source = (item.isMap ? item.get('source') : item)?.text;
      const target = (item.isMap ? item.get('target')?.text : undefined) || source;
      return source === undefined || target === undefined ? [] : [{ item, source, target }];
    });
    const kept = isOfOneFile(service)
      ? items
      : [...new Map(items.map((each) => [each.source, each])).values()];
    const seen = new Map<string, string>();
    for (const { item, source, target } of kept) {
      const before = seen.get(target);
      seen.set(target, source);
      if (before !== undefined)
        refuse(
          item,
          `the ${kind.slice(0, -1)}s ${before} and ${source} both go to ${target}`,
          'Give one of the two another `target`.',
        );
    }
  }
}

const MODES = ['ingress', 'host'];
const PROTOCOLS = ['tcp', 'udp', 'sctp'];

/** Checked each for itself. @returns those with a number of the host */
function portsOf(service: Field, refuse: Refuse): readonly Published[] {
  const isRoundRobin = service.get('deploy', 'endpoint_mode')?.text === 'dnsrr';
  return (service.get('ports')?.items ?? []).flatMap((field) => {
    const part = (name: string): string => field.get(name)?.text ?? '';
    for (const [key, words] of [
      ['mode', MODES],
      ['protocol', PROTOCOLS],
    ] as const) {
      const word = field.get(key);
      const text = word?.text ?? '';
      if (word !== undefined && text !== '' && !words.includes(text.toLowerCase()))
        refuse(
          word,
          `\`ports.${key}\` takes ${words.join(' or ')}`,
          `The swarm takes anything else for ${words[0] ?? ''}, without a word.`,
        );
    }
    if (field.isMap && /^0*$/.test(part('target')))
      refuse(
        field,
        'a port without a `target`, the port of the container: the swarm would publish 0',
        'Write it as `{target: 80, published: 8080}`.',
      );
    const isHost = field.isMap && part('mode').toLowerCase() === 'host';
    if (isRoundRobin && !isHost)
      refuse(
        field,
        'a port in mode ingress does not go with `deploy.endpoint_mode: dnsrr`',
        'Write it as `{target: 80, published: 80, mode: host}`, or use `endpoint_mode: vip`.',
      );
    const port = field.isMap
      ? portOf(`${part('published')}:${part('target')}`, part('protocol'))
      : portOf(...(field.text ?? '').split('/'));
    return port.isPublished ? [{ ...port, isHost, field }] : [];
  });
}
