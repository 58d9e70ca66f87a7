/**
 * From the Compose specification to what `docker stack deploy` takes, key by key as `keys.ts` has it.
 * What Docker takes already is not touched, so that it is Docker's own reading of it that counts.
 */
import { isMap, isScalar, isSeq, type Node, type Pair } from 'yaml';
import type { Document } from './document.js';
import { FILE_KEYS, type Key, type Keys, type Kind, type Shape } from './keys.js';
import { isEveryAddress, readShortPort } from './ports.js';
import {
  plainType,
  printedNumber,
  readBoolean,
  readBytes,
  readDuration,
  readInteger,
} from './spelling.js';
import { quoted } from './splice.js';
import { isNull, type Entry } from './tree.js';

/** Where the keys of a service have their place under `deploy`. */
const LIMITS: Readonly<Record<string, readonly string[]>> = {
  cpus: ['resources', 'limits', 'cpus'],
  mem_limit: ['resources', 'limits', 'memory'],
  mem_reservation: ['resources', 'reservations', 'memory'],
  pids_limit: ['resources', 'limits', 'pids'],
  scale: ['replicas'],
};

/** Nothing at all in one of them says nothing, and Docker refuses it. */
const SECTIONS: readonly string[] = ['services', 'networks', 'volumes', 'configs', 'secrets'];

/** What Docker's schemas take for a name in them. */
const NAME = /^[\w.-]+$/;

/** Keys and their values in YAML's flow style. */
export type Added = { [key: string]: string | Added };

/** Translates a document. @returns what its services say under `deploy` in other words */
export function translate(document: Document): ReadonlyMap<string, Added> {
  return new Translator(document).run();
}

class Translator {
  /** The same mapping is looked at once for each role that it has. */
  readonly #seen = new Map<Node, Set<unknown>>();
  readonly #kept = new Set<Pair<Node, Node | null>>();

  constructor(readonly document: Document) {}

  run(): ReadonlyMap<string, Added> {
    const { document } = this;
    const { tree } = document;
    this.#keys(tree.root, FILE_KEYS, true, '');
    for (const pair of this.#kept) {
      if (!document.cut.has(pair)) continue;
      document.problem(
        pair.key,
        'this is used in several places through an anchor, and means different things there',
        'Write it out in each of the places.',
      );
    }
    const deploys = new Map<string, Added>();
    for (const { name, value } of tree.entries(tree.get(tree.root, 'services')).values()) {
      const deploy = this.#deploy(value);
      if (Object.keys(deploy).length > 0) deploys.set(name, deploy);
    }
    return deploys;
  }

  #keys(map: Node, keys: Keys, extensions: boolean, path: string): void {
    for (const entry of this.document.tree.entries(map).values()) {
      const { name, pair } = entry;
      const key = Object.hasOwn(keys, name) ? keys[name] : undefined;
      if (name.startsWith('x-')) {
        if (!extensions) this.document.cut.add(pair);
      } else if (key === undefined) {
        const near = Object.keys(keys).find((known) => isNear(known, name));
        this.document.problem(
          entry.key,
          `\`${path}${name}\` is no key of the Compose specification`,
          near === undefined
            ? `There are: ${Object.keys(keys).join(', ')}.`
            : `Is \`${near}\` meant?`,
        );
      } else {
        this.#entry(entry, key, `${path}${name}`);
      }
    }
  }

  #entry(entry: Entry, key: Key, path: string): void {
    const { document } = this;
    if (isNull(entry.value) && SECTIONS.includes(path)) {
      document.cut.add(entry.pair);
      return;
    }
    switch (key.fate) {
      case 'kept':
        this.#kept.add(entry.pair);
        if (key.since !== undefined) document.newer.set(entry.pair, { path, since: key.since });
        this.#shape(entry.site, entry, key.shape, path);
        return;
      case 'dropped':
        document.cut.add(entry.pair);
        if (entry.name !== 'profiles' && !path.includes('.build.'))
          document.note(entry.key, `\`${path}\` is left out: ${key.how}`);
        return;
      case 'warned':
        document.cut.add(entry.pair);
        document.warn(entry.key, `\`${path}\` ${key.how}; it is left out`, key.mend);
        return;
      case 'refused':
        document.problem(entry.key, `\`${path}\` ${key.how}`, key.mend);
        return;
      case 'translated':
        this.#translate(entry, key, path);
    }
  }

  /** Looks at a value by what may stand in its place. */
  #shape(site: Node | null, holder: Entry | Node, shape: Shape, path: string): void {
    const { document } = this;
    const value = document.tree.resolve(site);
    const at = site ?? ('pair' in holder ? holder.key : holder);
    const what = 'pair' in holder ? `\`${path}\`` : `an item of \`${path}\``;
    // Said already, where the services are read.
    if (!isMap(value) && /^services(?:\.[^.]+)?$/.test(path)) return;
    if (isNull(value)) {
      if (shape.empty !== true && shape.scalar !== 'any')
        document.problem(
          'pair' in holder ? holder.key : at,
          `\`${path}\` has no value`,
          'Leave the key out, or give it one.',
        );
      return;
    }
    if (value === null || site === null) return;
    if (isScalar(value)) {
      if (shape.scalar === undefined) this.#wrong(at, shape, what, 'a single value');
      else this.#spell(site, shape.scalar, path);
      return;
    }
    const seen = this.#seen.get(value) ?? new Set();
    this.#seen.set(value, seen);
    const role = shape.keys ?? shape;
    if (seen.has(role)) return;
    seen.add(role);
    if (isSeq(value)) {
      const { list } = shape;
      if (list === undefined) this.#wrong(at, shape, what, 'a list');
      else for (const item of document.tree.items(value)) this.#shape(item, item, list, path);
      if (shape.unique === true) this.#unique(document.tree.items(value), path);
      return;
    }
    const { keys, named, required = [] } = shape;
    if (keys !== undefined) {
      const missing = required.filter((name) => !document.tree.entries(value).has(name));
      if (missing.length > 0)
        document.problem(
          at,
          `\`${path}\` needs ${missing.map((name) => `\`${name}\``).join(' and ')} when it is a mapping`,
          'Docker demands it in every file.',
        );
      this.#keys(value, keys, shape.extensions === true, `${path}.`);
      return;
    }
    if (named === undefined) {
      this.#wrong(at, shape, what, 'a mapping');
      return;
    }
    for (const entry of document.tree.entries(value).values()) {
      if (path === 'services' && document.settings.leftOut?.has(entry.name) === true) continue;
      if (document.settings.unused?.has(`${path}.${entry.name}`) === true) continue;
      if (entry.name === '' || isNull(entry.key)) {
        document.problem(
          entry.key,
          `\`${path}\` has a key without a name`,
          'Quote it where it is meant: "null".',
        );
        continue;
      }
      if (SECTIONS.includes(path) && !NAME.test(entry.name))
        document.problem(
          entry.key,
          `\`${path}\` has the name ${entry.name}, which Docker does not take`,
          'Names here have letters, digits, and . _ - alone; what it is called in the swarm is for `name:` to say.',
        );
      this.#shape(entry.site, entry, named, `${path}.${entry.name}`);
    }
  }

  #unique(items: readonly Node[], path: string): void {
    const { document } = this;
    const seen = new Map<string, Node>();
    for (const item of items) {
      const text = document.value(item);
      if (text === undefined || document.isFaulty(item)) continue;
      const first = seen.get(text);
      if (first === undefined) seen.set(text, item);
      else
        document.problem(
          item,
          `\`${path}\` has this twice, in line ${document.position(first).line ?? 0} already, which Docker refuses`,
          'Remove one of the two.',
        );
    }
  }

  #wrong(at: Node, { scalar, list, keys, named }: Shape, what: string, is: string): void {
    const takes = [
      ...(scalar === undefined ? [] : ['a single value']),
      ...(list === undefined ? [] : ['a list']),
      ...(keys === undefined && named === undefined ? [] : ['a mapping']),
    ].join(' or ');
    // What people write for NAME=VALUE, and what a colon makes of a text.
    const isTorn = is === 'a mapping' && takes === 'a single value' && what.startsWith('an item');
    this.document.problem(
      at,
      `${what} takes ${takes}, and this is ${is}`,
      isTorn
        ? 'With ": " in it, YAML reads a mapping. Put the whole text in quotes; a variable or label of a list is written NAME=VALUE.'
        : undefined,
    );
  }

  /** Writes a value the way Docker takes it, if it is not so already. */
  #spell(site: Node, kind: Kind, path: string): void {
    const { document } = this;
    const scalar = document.tree.resolve(site);
    if (kind === 'any' || !isScalar(scalar) || document.isFaulty(site)) return;
    if (scalar.tag !== undefined && !/str$|^!$/.test(scalar.tag)) return;
    const value = document.value(site) ?? '';
    const filledIn = document.isFilledIn(scalar);
    const type = filledIn ? 'text' : plainType(scalar);
    const write = (text: string): void => document.replace(site, text);
    const refuse = (takes: string, hint?: string): void =>
      document.problem(site, `\`${path}\` takes ${takes}`, hint);
    switch (kind) {
      case 'text':
        if (type !== 'text') write(quoted(value));
        return;
      case 'mount':
        if (value === '' || (value.length > 2 && /^:|::|:$/.test(value)))
          refuse('[source:]target[:options], such as "data:/data:ro", none of them empty');
        else if (type !== 'text') write(quoted(value));
        return;
      case 'entry':
        if (type === 'bool') write(quoted(value.toLowerCase()));
        else if (type === 'old-bool' || type === 'time' || /^[-+]?\.(?:inf|nan)$/i.test(value))
          write(quoted(value));
        else if (
          (type === 'int' || type === 'float') &&
          printedNumber(value) !== value &&
          !/\.build\.|\.expose$/.test(path)
        )
          // The value itself is not shown: it may be one of the environment.
          document.warn(
            site,
            `\`${path}\`: Docker reads a number here and prints it anew, so that it arrives otherwise than it is written`,
            'Quote it, as in "010" or "1.10".',
          );
        return;
      case 'bool':
      case 'plain-bool': {
        const read = readBoolean(value);
        if (read === undefined) refuse('true or false');
        else if (type !== 'bool' && !(filledIn && kind === 'bool')) write(String(read));
        return;
      }
      case 'int':
      case 'count':
      case 'plain-int': {
        if (kind === 'count' && /^-.*[1-9a-f]/i.test(value)) {
          refuse('a whole number that is not negative');
          return;
        }
        if (type === 'int') return;
        const whole = type === 'float' && Number.isSafeInteger(Number(value));
        const read = whole ? String(Number(value)) : readInteger(value);
        if (read === undefined) refuse('a whole number');
        else if (!(filledIn && kind !== 'plain-int')) write(read);
        return;
      }
      case 'number':
        if (type === 'int' || (type === 'float' && /\d/.test(value))) return;
        if (value === '' || !Number.isFinite(Number(value))) refuse('a number');
        else if (!filledIn) write(value);
        return;
      case 'duration': {
        const read = readDuration(value);
        if (read === undefined)
          refuse('a duration such as 90s or 1h30m', 'A number needs a unit: ms, s, m, h, d or w.');
        else if (type !== 'text' || read !== value) write(quoted(read));
        return;
      }
      case 'size':
        if (readBytes(value) === undefined) refuse('a size such as 512m or 1gb');
        // As Kubernetes writes it; newer clients want all of `MiB`.
        else if (/[kmgtp]i$/i.test(value)) write(quoted(`${value}B`));
        else if (type !== 'text') write(quoted(value));
        return;
      case 'bytes': {
        if (type === 'int') return;
        const bytes = readBytes(value);
        if (bytes === undefined) refuse('a size such as 64m');
        else write(String(bytes));
        return;
      }
      case 'cpus':
        if (type === 'int' || type === 'float') write(quoted(value));
        else if (!/^\d*\.?\d+$|^\d+\.$|^\d+\/\d+$/.test(value))
          refuse('a number of CPUs such as 0.5');
        return;
      case 'port': {
        if (type === 'int' && !/^(?:-|[1-9]\d*$)/.test(value)) return;
        const read = readShortPort(value);
        if ('problem' in read)
          refuse(
            `[address:][published:]target[/protocol], such as "8080:80"${filledIn ? '' : `: ${read.problem}`}`,
            'Ports are 0 to 65535, and ranges of the same length: "8080-8090:80-90".',
          );
        else if (read.address !== undefined)
          this.#everywhere(site, path, filledIn ? 'an address' : read.address);
        return;
      }
      case 'mode':
        if (type === 'int' && !value.startsWith('-')) return;
        if (filledIn && /^[+-]?\d+$/.test(value)) {
          // What Docker makes of it (loader/interpolate.go, toInt) is what the stack has had so far.
          const octal = Number(value).toString(8).padStart(4, '0');
          if (/^0+[1-7]/.test(value))
            document.warn(
              site,
              `\`${path}\`: Docker reads digits out of a variable as a decimal number, also behind a 0: this is the mode ${octal}`,
              'Write the mode into the file, or `0o` before the digits of the variable.',
            );
          return;
        }
        if (/^(?:0o?)?[0-7]+$/.test(value))
          write(String(Number.parseInt(value.replace('o', ''), 8)));
        else refuse('a file mode such as 0440');
    }
  }

  #everywhere(at: Node, path: string, address: string): void {
    this.document.warn(
      at,
      `\`${path}\` names ${address}, and Swarm publishes the port on all addresses of the nodes`,
      'Protect the port with a firewall, or do not publish it.',
    );
  }

  #translate(entry: Entry, key: Key, path: string): void {
    const { document } = this;
    const { value, site, pair } = entry;
    switch (key.by) {
      case 'limit':
      case 'scale':
        this.#shape(site, entry, key.shape, path);
        document.cut.add(pair);
        return;
      case 'command':
        if (isNull(value)) document.cut.add(pair);
        else this.#shape(site, entry, key.shape, path);
        return;
      case 'published':
        if (/^\d+-\d+$/.test(document.value(value) ?? ''))
          document.problem(
            entry.key,
            `\`${path}\` is a range to choose from, which Swarm can't`,
            'Give one port, or publish each port of the range with a target of its own: "8080-8090:8080-8090".',
          );
        else this.#shape(site, entry, key.shape, path);
        return;
      case 'host_ip': {
        document.cut.add(pair);
        const address = document.value(value) ?? '';
        const shown = isScalar(value) && document.isFilledIn(value) ? 'an address' : address;
        if (!isEveryAddress(address)) this.#everywhere(entry.key, path, shown);
        return;
      }
      case 'pull_policy': {
        document.cut.add(pair);
        const policy = document.value(value) ?? '';
        if (['always', 'missing', 'if_not_present'].includes(policy)) return;
        document.warn(
          entry.key,
          `\`${path}\` ${policy} has no equivalent in Swarm; it is left out`,
          key.mend,
        );
        return;
      }
      case 'create_host_path':
        document.cut.add(pair);
        if (readBoolean(document.value(value) ?? '') === true)
          document.warn(
            entry.key,
            '`volumes.bind.create_host_path` is not done by Swarm: a task fails where the path is missing; it is left out',
            key.mend,
          );
        return;
      case 'default': {
        document.cut.add(pair);
        const wanted = readBoolean(document.value(value) ?? '');
        if (wanted !== (entry.name === 'enable_ipv4'))
          document.problem(entry.key, `\`${path}\` can't be chosen in a stack file`, key.mend);
        return;
      }
      case 'depends_on':
        this.#dependsOn(entry);
        return;
      case 'label_file':
        this.#shape(site, entry, key.shape, path);
        document.cut.add(pair);
        return;
      case 'extra_hosts':
        this.#extraHosts(entry, path);
        return;
      case 'devices':
        this.#devices(entry, path);
        return;
      case 'env_file':
      case 'content':
      case 'environment':
      case undefined: // done where files are attached
    }
  }

  /** Read for the waves of a deploy (`depends-on.ts`); Docker takes a list, and ignores it. */
  #dependsOn(entry: Entry): void {
    const { document } = this;
    if (isSeq(entry.value))
      this.#shape(entry.site, entry, { list: { scalar: 'text' } }, 'depends_on');
    if (!isMap(entry.value)) return;
    const names = [...document.tree.entries(entry.value).keys()].map(quoted);
    document.become(entry, `[${names.join(', ')}]`);
  }

  #extraHosts(entry: Entry, path: string): void {
    const { document } = this;
    const { tree } = document;
    const { value } = entry;
    const bare = (address: string): string => /^\[(.+)\]$/.exec(address)?.[1] ?? address;
    if (isMap(value)) {
      const hosts = [...tree.entries(value).values()];
      if (!hosts.some((host) => isSeq(host.value))) {
        this.#shape(entry.site, entry, { named: { scalar: 'text' } }, path);
        for (const { site } of hosts) {
          const address = document.value(site) ?? '';
          if (site !== null && bare(address) !== address)
            document.replace(site, quoted(bare(address)));
        }
        return;
      }
      const lines = hosts.flatMap(({ name, site, value: addresses }) =>
        (isSeq(addresses) ? tree.items(addresses) : [site]).map((address) =>
          document.written(`${name}:${bare(document.value(address) ?? '')}`),
        ),
      );
      document.become(entry, `[${[...new Set(lines)].join(', ')}]`);
      return;
    }
    this.#shape(entry.site, entry, { list: { scalar: 'text' }, unique: true }, path);
    for (const item of tree.items(value)) {
      const line = document.value(item) ?? '';
      const [, host = '', address = ''] = /^([^=:]+)[=:](.+)$/.exec(line) ?? [];
      if (host !== '' && line !== `${host}:${bare(address)}`)
        document.replace(item, document.written(`${host}:${bare(address)}`));
    }
  }

  #devices(entry: Entry, path: string): void {
    const { document } = this;
    const { tree } = document;
    const text = { scalar: 'any' } as const;
    const shape = { list: { scalar: 'text', named: text }, unique: true } as const;
    this.#shape(entry.site, entry, shape, path);
    for (const item of tree.items(entry.value)) {
      const device = tree.resolve(item);
      if (!isMap(device)) continue;
      const parts = ['source', 'target', 'permissions'].flatMap((name) => {
        const part = document.value(tree.get(device, name));
        return part === undefined ? [] : [part];
      });
      document.becomeItem(item, document.written(parts.join(':')));
    }
  }

  /** What Docker Compose has as keys of the service and Docker under `deploy`. */
  #deploy(service: Node | null): Added {
    const { document } = this;
    const { tree } = document;
    const result: Added = {};
    for (const { name, key, site, value } of tree.entries(service).values()) {
      const path = LIMITS[name];
      const text = document.value(value);
      if (path === undefined || text === undefined || site === null || document.isFaulty(site))
        continue;
      const other = ['deploy', ...path].reduce<Node | null>(
        (map, step) => tree.get(map, step),
        service,
      );
      const normal = (written: string): string => String(readBytes(written) ?? written);
      const there = document.value(other);
      if (there !== undefined && !isNull(other)) {
        if (normal(there) !== normal(text))
          document.problem(
            key,
            `\`${name}\` is ${text}, and \`deploy.${path.join('.')}\` is ${there}`,
            'Keep one of the two.',
          );
        continue;
      }
      // For Docker Compose nothing is limited then, as without the key.
      if (name !== 'scale' && !(Number.parseFloat(text) > 0)) continue;
      const last = path.at(-1) ?? '';
      let place = result;
      for (const step of path.slice(0, -1)) place = (place[step] ??= {}) as Added;
      place[last] = ['pids', 'replicas'].includes(last)
        ? (readInteger(text) ?? text)
        : quoted(text);
    }
    return result;
  }
}

/** Whether one name is a slip of the pen of the other: two edits at most. */
function isNear(known: string, written: string): boolean {
  if (Math.abs(known.length - written.length) > 2 || written.length < 3) return false;
  let row = Array.from({ length: written.length + 1 }, (_, index) => index);
  for (let i = 1; i <= known.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= written.length; j += 1) {
      const same = known[i - 1] === written[j - 1] ? 0 : 1;
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + same));
    }
    row = next;
  }
  return (row.at(-1) ?? 9) <= 2;
}

/** A generated file that gives services what they have said in other words. */
export function addedFile(services: ReadonlyMap<string, Added>): string {
  const write = (value: string | Added): string =>
    typeof value === 'string'
      ? value
      : `{${Object.entries(value)
          .map(([name, inner]) => `${/^\w+$/.test(name) ? name : quoted(name)}: ${write(inner)}`)
          .join(', ')}}`;
  const lines = [...services].map(([name, added]) => `  ${quoted(name)}: ${write(added)}`);
  return `services:\n${lines.join('\n')}\n`;
}
