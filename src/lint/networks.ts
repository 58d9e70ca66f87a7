/** Networks of the files that are there already and were others: Docker leaves them as they are. */
import { at, type Json } from '../model.js';
import type { Field } from './field.js';
import type { Found } from './rules.js';
import { isTrue } from './service.js';

/** A network of the stack, as the engine lists it. */
export interface LintNetwork {
  readonly name: string;
  readonly definition: Json;
}

/** What the client makes a network of where nothing is written (docker/cli, defaultNetworkDriver). */
const DRIVER = 'overlay';

/** @param files all of them at once */
export function networksThatDiffer(
  files: Field | undefined,
  stack: string,
  live: readonly LintNetwork[],
): readonly Found[] {
  return [...(files?.get('networks')?.entries ?? [])].flatMap(([key, field]) => {
    const external = field.get('external');
    if (external !== undefined && (external.isMap || isTrue(external.text))) return [];
    const name = field.get('name')?.text ?? `${stack}_${key}`;
    const there = live.find((network) => network.name === name);
    const [first, ...more] = there === undefined ? [] : differences(field, there.definition);
    if (first === undefined) return [];
    const names = [first, ...more].map((each) => `\`${each}\``).join(', ');
    return [
      {
        text: `network ${key}: ${names} ${more.length === 0 ? 'differs' : 'differ'} from what ${name} has, which stays as it is`,
        position: field.get(first)?.position ?? field.position,
      },
    ];
  });
}

/** The keys whose values are not those of the network. */
function differences(field: Field, definition: Json): readonly string[] {
  const flag = (key: string): boolean => isTrue(field.get(key)?.text);
  const subnets = (field.get('ipam', 'config')?.items ?? []).flatMap(
    (item) => item.get('subnet')?.text ?? [],
  );
  const known = list(at(definition, 'IPAM', 'Config')).map((config) => at(config, 'Subnet'));
  const labels = pairs(field.get('labels'));
  return [
    ...((field.get('driver')?.text ?? DRIVER) === at(definition, 'Driver') ? [] : ['driver']),
    ...(flag('attachable') === (at(definition, 'Attachable') === true) ? [] : ['attachable']),
    ...(flag('internal') === (at(definition, 'Internal') === true) ? [] : ['internal']),
    ...(sameLabels(labels, at(definition, 'Labels')) ? [] : ['labels']),
    // The driver adds options of its own.
    ...([...pairs(field.get('driver_opts'))].every(
      ([name, value]) => at(definition, 'Options', name) === value,
    )
      ? []
      : ['driver_opts']),
    ...(subnets.every((subnet) => known.includes(subnet)) ? [] : ['ipam']),
  ];
}

function sameLabels(written: ReadonlyMap<string, string>, live: Json | undefined): boolean {
  const others = Object.keys(typeof live === 'object' && live !== null ? live : {}).filter(
    (name) => !name.startsWith('com.docker.stack.') && !written.has(name),
  );
  return others.length === 0 && [...written].every(([name, value]) => at(live, name) === value);
}

/** Of a mapping, or of a list of `NAME=VALUE`. */
function pairs(field: Field | undefined): ReadonlyMap<string, string> {
  return new Map([
    ...[...(field?.entries ?? [])].map(([name, value]): [string, string] => [
      name,
      value.text ?? '',
    ]),
    ...(field?.items ?? []).map((item): [string, string] => {
      const [name = '', ...value] = (item.text ?? '').split('=');
      return [name, value.join('=')];
    }),
  ]);
}

const list = (value: Json | undefined): readonly Json[] =>
  Array.isArray(value) ? (value as readonly Json[]) : [];
