/**
 * What a revision holds besides its labels, as bytes that fit into config objects: gzip of JSON, in
 * parts. No secret is ever in it.
 */
import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { formatJson, parseJson } from '../docker/engine.js';
import { at, type Json, type JsonObject, type ServiceSpec } from '../model.js';

/** What is known before anything is deployed. */
export interface OpeningContent {
  /** The rendered stack files, in the order in which Docker gets them. */
  readonly files: readonly { readonly name: string; readonly text: string }[];
  /** What the files refer to. */
  readonly attachments: readonly { readonly name: string; readonly content: Buffer }[];
}

/** What is known once the stack has been deployed. */
export interface SealedContent {
  /** With the exact spec of each as the engine shows it. */
  readonly services: readonly { readonly name: string; readonly spec: ServiceSpec }[];
  /** The networks that those specs name by id. */
  readonly networks: readonly { readonly id: string; readonly name: string }[];
  /** Services of the stack that are not in the files and were left running, as they were then. */
  readonly others: readonly OtherService[];
  /** A stack file that pins the images of the files to their digests, to be given after them. */
  readonly pinned: string;
}

export interface OtherService {
  readonly name: string;
  /** Absent where the record is of a version that kept names only. */
  readonly spec?: ServiceSpec;
}

export interface RevisionContent extends OpeningContent {
  /** Absent where the stack was never deployed. */
  readonly sealed?: SealedContent;
}

/** Engine 20.10 takes 500 kB in a config. */
const PART_BYTES = 400_000;
/** More than that is no stack file. */
const MAX_BYTES = 512 * 1024 * 1024;

/** One part or more, none of them empty. */
export function openingParts({ files, attachments }: OpeningContent): readonly Buffer[] {
  return packed({
    files: files.map(({ name, text }) => ({ name, text })),
    attachments: attachments.map(({ name, content }) => ({
      name,
      content: content.toString('base64'),
    })),
  });
}

/** One part or more, none of them empty. */
export function sealedParts({
  services,
  networks,
  others,
  pinned,
}: SealedContent): readonly Buffer[] {
  return packed({
    services: services.map(({ name, spec }) => ({ name, spec })),
    networks: networks.map(({ id, name }) => ({ id, name })),
    others: others.map(({ name, spec }) => (spec === undefined ? name : { name, spec })),
    pinned,
  });
}

/** @returns undefined where the parts are not whole or hold something else */
export function openingFrom(parts: readonly Buffer[]): OpeningContent | undefined {
  return unpacked(parts, (content) => ({
    files: objects(content, 'files').map((file) => ({
      name: text(file, 'name'),
      text: text(file, 'text'),
    })),
    attachments: objects(content, 'attachments').map((file) => ({
      name: text(file, 'name'),
      content: Buffer.from(text(file, 'content'), 'base64'),
    })),
  }));
}

/** @returns undefined where the parts are not whole or hold something else */
export function sealedFrom(parts: readonly Buffer[]): SealedContent | undefined {
  return unpacked(parts, (content) => ({
    services: objects(content, 'services').map(recorded),
    networks: objects(content, 'networks').map((network) => ({
      id: text(network, 'id'),
      name: text(network, 'name'),
    })),
    others: list(at(content, 'others')).map((each) =>
      typeof each === 'string' ? { name: each } : recorded(object(each)),
    ),
    pinned: text(content, 'pinned'),
  }));
}

/** What tasks are made from, but for how often they were restarted by hand (`service update --force`). */
export function templateOf({ TaskTemplate: template }: ServiceSpec): Json {
  return isObject(template) ? { ...template, ForceUpdate: undefined } : (template ?? null);
}

/**
 * The same for the same services of the whole stack, those beside the files' included, however often
 * they were created anew: networks count by their names, and by hand restarted tasks not at all.
 */
export function fingerprintOf({
  services,
  others,
  networks,
}: Pick<SealedContent, 'services' | 'others' | 'networks'>): string {
  const names = new Map(networks.map(({ id, name }) => [id, name]));
  const sorted = (value: Json | undefined): Json => {
    if (typeof value === 'string') return names.get(value) ?? value;
    if (Array.isArray(value)) return (value as readonly Json[]).map(sorted);
    if (!isObject(value)) return value ?? null;
    return Object.entries(value)
      .filter(([, each]) => each !== undefined)
      .sort(byName)
      .map(([key, each]) => [key, sorted(each)]);
  };
  const hash = createHash('sha256');
  const all: readonly OtherService[] = [...services, ...others];
  // One after the other: the JSON of a thousand services at once is tens of megabytes of memory.
  all
    .toSorted((one, other) => byText(one.name, other.name))
    .forEach(({ name, spec }, index) => {
      const value = spec === undefined ? null : sorted({ ...spec, TaskTemplate: templateOf(spec) });
      hash.update(`${index === 0 ? '[' : ','}${formatJson([name, value])}`);
    });
  return hash
    .update(all.length === 0 ? '[]' : ']')
    .digest('hex')
    .slice(0, 32);
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  byText(a, b);

function packed(content: Json): readonly Buffer[] {
  const bytes = gzipSync(formatJson(content), { level: 9 });
  const count = Math.ceil(bytes.length / PART_BYTES);
  return Array.from({ length: count }, (_, index) =>
    bytes.subarray(index * PART_BYTES, (index + 1) * PART_BYTES),
  );
}

/** The checksum of gzip tells whether the parts are whole. */
function unpacked<Content>(
  parts: readonly Buffer[],
  read: (content: Json) => Content,
): Content | undefined {
  try {
    const bytes = gunzipSync(Buffer.concat(parts), { maxOutputLength: MAX_BYTES });
    return read(parseJson(bytes.toString('utf8')));
  } catch {
    return undefined;
  }
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

// Each throws where the value is something else.

function recorded(service: JsonObject): { readonly name: string; readonly spec: ServiceSpec } {
  const spec = object(at(service, 'spec'));
  return { name: text(service, 'name'), spec: { ...spec, Name: text(spec, 'Name') } };
}

function object(value: Json | undefined): JsonObject {
  if (!isObject(value)) throw new TypeError('not an object');
  return value;
}

function list(value: Json | undefined): readonly Json[] {
  if (!Array.isArray(value)) throw new TypeError('not a list');
  return value as readonly Json[];
}

function string(value: Json | undefined): string {
  if (typeof value !== 'string') throw new TypeError('not a text');
  return value;
}

const objects = (value: Json, key: string): readonly JsonObject[] =>
  list(at(value, key)).map((each) => object(each));
const text = (value: Json, key: string): string => string(at(value, key));
