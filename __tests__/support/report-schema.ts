/** The published schema of the report, and what a report has that it does not say. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { readFileSync } from 'node:fs';

export interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly enum?: readonly string[];
  readonly $defs?: Readonly<Record<string, Schema>>;
}

export const schema = JSON.parse(
  readFileSync(new URL('../../report.schema.json', import.meta.url), 'utf8'),
) as Schema;

/** The same, refusing what it does not name. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== 'object' || value === null) return value;
  const inner = Object.fromEntries(Object.entries(value).map(([key, each]) => [key, closed(each)]));
  return 'properties' in inner && 'type' in inner
    ? { ...inner, additionalProperties: false }
    : inner;
}

const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true });
const check = ajv.compile(closed(schema) as object);

/** @param report the file's text; everything in it that the schema does not say */
export function faultsOf(report: string): unknown {
  check(JSON.parse(report));
  return check.errors ?? [];
}
