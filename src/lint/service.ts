/** What the rules ask of one service, read from the files with the defaults of Docker and Swarm. */
import { readDuration } from '../compose/spelling.js';
import type { Position } from '../errors.js';
import type { Field } from './field.js';

export interface Port {
  readonly published: string | undefined;
  readonly host: boolean;
  readonly position: Position;
}

export interface Mount {
  readonly type: string;
  readonly source: string | undefined;
  readonly readOnly: boolean;
  readonly field: Field;
}

/** A service of the files. */
export interface LintService {
  readonly name: string;
  readonly field: Field;
  readonly isGlobal: boolean;
  readonly isJob: boolean;
  /** Of a service that is not global; undefined where it is no number. */
  readonly replicas: number | undefined;
  /** Meant to run until somebody stops it: no job, not scaled to nothing, not a task that just ends. */
  readonly keepsRunning: boolean;
  readonly healthcheck: Field | undefined;
  readonly isHealthchecked: boolean;
  readonly update: Field | undefined;
  readonly order: string;
  readonly ports: readonly Port[];
  readonly mounts: readonly Mount[];
}

export function readService(name: string, field: Field): LintService {
  const mode = field.get('deploy', 'mode')?.text ?? 'replicated';
  const isJob = mode.endsWith('-job');
  const isGlobal = mode.startsWith('global');
  const replicas = numberOf((field.get('scale') ?? field.get('deploy', 'replicas'))?.text ?? '1');
  const healthcheck = field.get('healthcheck');
  const test = healthcheck?.get('test');
  const [first] = test?.items ?? [];
  const disabled = isTrue(healthcheck?.get('disable')?.text) || first?.text === 'NONE';
  const isHealthchecked = healthcheck?.isMap === true && !disabled;
  const ports = (field.get('ports')?.items ?? []).map(readPort);
  const ends = !isHealthchecked && ports.length === 0 && isMeantToEnd(field);
  const update = field.get('deploy', 'update_config');
  return {
    ...{ name, field, isGlobal, isJob, healthcheck, isHealthchecked, update, ports },
    replicas: isGlobal ? undefined : replicas,
    keepsRunning: !isJob && !ends && (isGlobal || replicas !== 0),
    order: update?.get('order')?.text ?? 'stop-first',
    mounts: (field.get('volumes')?.items ?? []).map(readMount),
  };
}

/**
 * `on-failure` alone is what people give their workers and caches; with a number of attempts it is a task
 * that is to come to an end. `restart` counts as Docker's client translates it.
 */
function isMeantToEnd(field: Field): boolean {
  const policy = field.get('deploy', 'restart_policy');
  if (policy === undefined) return /^on-failure:[1-9]/.test(field.get('restart')?.text ?? '');
  const condition = policy.get('condition')?.text ?? 'any';
  const attempts = numberOf(policy.get('max_attempts')?.text) ?? 0;
  return condition === 'none' || (condition === 'on-failure' && attempts > 0);
}

function readPort(field: Field): Port {
  if (field.isMap)
    return {
      published: field.get('published')?.text,
      host: field.get('mode')?.text === 'host',
      position: field.position,
    };
  // The short form is always `ingress`: [[address:]published:]target[/protocol]
  const parts = (field.text ?? '').split('/')[0]?.split(':') ?? [];
  return {
    published: parts.length > 1 ? parts.at(-2) : undefined,
    host: false,
    position: field.position,
  };
}

function readMount(field: Field): Mount {
  if (field.isMap)
    return {
      type: field.get('type')?.text ?? 'volume',
      source: field.get('source')?.text,
      readOnly: isTrue(field.get('read_only')?.text),
      field,
    };
  // A drive of Windows has a colon of its own: no volume is named by one letter.
  const [, first = '', second, options = ''] =
    /^([A-Za-z]:[^:]*|[^:]*)(?::([A-Za-z]:[^:]*|[^:]*))?(?::(.*))?$/.exec(field.text ?? '') ?? [];
  const source = second === undefined ? undefined : first;
  const isPath = source !== undefined && /^(?:[.~/\\]|[A-Za-z]:)/.test(source);
  return {
    type: isPath ? 'bind' : 'volume',
    source,
    readOnly: options.split(',').includes('ro'),
    field,
  };
}

export function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]{1,15}$/.test(text.trim()) ? Number(text) : undefined;
}

export function isTrue(text: string | undefined): boolean {
  return ['true', 'yes', 'on', 'y'].includes(text?.toLowerCase() ?? '');
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ...{ ns: 1e-6, us: 1e-3, µs: 1e-3, μs: 1e-3, ms: 1 },
  ...{ s: 1000, m: 60_000, h: 3_600_000 },
};

/** Milliseconds of a duration as the files may have it, such as `1m30s` or `2d`; undefined if it is none. */
export function durationMs(written: string | undefined): number | undefined {
  const text = written === undefined ? undefined : readDuration(written);
  if (text === undefined || text.startsWith('-')) return undefined;
  return [...text.matchAll(/([\d.]+)(ns|us|µs|μs|ms|s|m|h)/g)].reduce(
    (sum, [, number = '0', unit = 's']) => sum + Number(number) * (UNIT_MS[unit] ?? 0),
    0,
  );
}
