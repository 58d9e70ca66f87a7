/**
 * How values are spelled: what go-yaml makes of a plain scalar, and the spellings of durations, byte
 * sizes, booleans and numbers that the Compose specification has and Docker's schemas do not.
 */
import { isScalar, type Node } from 'yaml';

/** `old-bool`: true or false for go-yaml v2 (clients up to 27), a text for v3. */
export type PlainType = 'text' | 'null' | 'bool' | 'old-bool' | 'int' | 'float' | 'time';

/** What a scalar is for Docker's YAML reader. Quoted and tagged ones are what they are said to be. */
export function plainType(node: Node): PlainType {
  if (!isScalar(node) || node.type !== 'PLAIN' || node.tag !== undefined) return 'text';
  const value = String(node.value);
  if (/^(?:|~|null|Null|NULL)$/.test(value)) return 'null';
  if (/^(?:true|True|TRUE|false|False|FALSE)$/.test(value)) return 'bool';
  if (/^(?:y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF)$/.test(value)) return 'old-bool';
  if (/^[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)$/.test(value)) return 'int';
  if (/^[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?$/.test(value))
    return 'float';
  if (/^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/.test(value)) return 'float';
  if (/^\d{4}-\d\d?-\d\d?(?:[Tt ].*)?$/.test(value)) return 'time';
  return 'text';
}

/**
 * The text that Docker makes of a plain number where it wants a text: go-yaml reads the number, and Go
 * prints it, so that `010` becomes `8`, `1.10` becomes `1.1` and `1e10` becomes `1e+10`.
 */
export function printedNumber(text: string): string {
  const digits = text.replaceAll('_', '').toLowerCase();
  const [, sign = '', rest = ''] = /^([-+]?)(.*)$/.exec(digits) ?? [];
  const minus = sign === '-' ? '-' : '';
  const octal = /^0o?([0-7]+)$/.exec(rest)?.[1];
  const whole = octal === undefined ? rest : `0o${octal}`;
  if (/^(?:0x[0-9a-f]+|0o[0-7]+|0b[01]+|0|[1-9]\d*)$/.test(whole)) {
    const value = BigInt(whole);
    if (minus === '' ? value < 2n ** 64n : value <= 2n ** 63n)
      return value === 0n ? '0' : `${minus}${value}`;
  }
  const [mantissa = '', exponent = ''] = Number(rest).toExponential().split('e');
  const power = Number(exponent);
  if (power >= -4 && power < 6) return `${minus}${Number(rest)}`;
  return `${minus}${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}

/** A boolean in any spelling of YAML 1.1, as Docker Compose casts it. */
export function readBoolean(text: string): boolean | undefined {
  if (/^(?:y|yes|true|on)$/i.test(text)) return true;
  return /^(?:n|no|false|off)$/i.test(text) ? false : undefined;
}

/** A whole number as Go's `strconv.Atoi` has it, which knows no octal. */
export function readInteger(text: string): string | undefined {
  const match = /^([-+]?)0*(\d+)$/.exec(text);
  if (match === null) return undefined;
  const [, sign, digits = ''] = match;
  return sign === '-' && digits !== '0' ? `-${digits}` : digits;
}

/**
 * A duration as Go reads it (`1h30m`, `10s500ms`); Docker Compose's days and weeks in hours.
 * @returns undefined for what is no duration, such as a number without a unit
 */
export function readDuration(text: string): string | undefined {
  if (/^[-+]?0$/.test(text)) return text;
  if (!/^[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h|d|w))+$/.test(text)) return undefined;
  return text.replace(/(\d+\.?\d*|\.\d+)([dw])/g, (_, number: string, unit: string) => {
    return `${Number(number) * (unit === 'd' ? 24 : 168)}h`;
  });
}

/**
 * Bytes of `64m`, `1gb`, `1.5 GiB` or a plain number, in powers of 1024 (docker/go-units,
 * RAMInBytes); undefined for anything else.
 */
export function readBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d*)?|\.\d+) ?([kKmMgGtTpP])?[iI]?[bB]?$/.exec(text);
  if (match === null) return undefined;
  const [, number, unit = ''] = match;
  const power = ['', 'k', 'm', 'g', 't', 'p'].indexOf(unit.toLowerCase());
  return Math.trunc(Number(number) * 1024 ** power);
}
