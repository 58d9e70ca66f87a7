/**
 * Durations as people write them in inputs (`1h30m`) and as logs show them, to and from
 * milliseconds. Pure; whoever takes a duration decides which lengths make sense for it.
 */

/** The accepted spellings, for messages. */
export const DURATION_FORMS = '500ms, 30s, 10m or 1h30m';

/**
 * The longest duration any input takes, in milliseconds: 24 days. Node turns a timer of more than
 * 2^31-1 ms (24.85 days) into one of 1 ms, so a longer "timeout" would end at once.
 */
export const MAX_DURATION_MS = 24 * 24 * 3_600_000;

const UNITS = [
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const;

/** Whole numbers, each with its unit, the largest unit first and no unit twice. */
const PATTERN = /^(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/;

/**
 * Milliseconds of `500ms`, `30s`, `10m`, `1h30m` and their like; undefined for anything else: signs,
 * decimals, spaces, capital letters, other units and numbers without a unit. The result may exceed
 * `MAX_DURATION_MS`.
 */
export function parseDuration(text: string): number | undefined {
  const match = PATTERN.exec(text);
  if (match === null) return undefined;
  return UNITS.reduce((sum, [, ms], index) => sum + Number(match[index + 1] ?? 0) * ms, 0);
}

/**
 * The shortest spelling that `parseDuration` reads back as the same length: `1h30m`, `1s500ms`,
 * `0s`.
 * @param ms milliseconds, a non-negative whole number; others are rounded to the nearest one
 */
export function formatDuration(ms: number): string {
  let rest = Math.max(0, Math.round(ms));
  let text = '';
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) text += `${count}${unit}`;
  }
  return text === '' ? '0s' : text;
}
