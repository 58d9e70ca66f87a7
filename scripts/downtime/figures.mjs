/** Pure: from what ended in each span of time to the figures of a phase. */

/**
 * @typedef {import('./load.mjs').Bin} Bin
 *
 * @typedef {object} Figures
 * @property {number} requests
 * @property {number} failed
 * @property {Record<string, number>} failures by kind
 * @property {number} p50 milliseconds beyond what the server was told to take; so are the others
 * @property {number} p95
 * @property {number} p99
 * @property {number} max
 */

/** Times are counted on levels that are two per cent apart. */
const LEVELS = 50;

/** @param {number} ms @returns {number} */
export const levelOf = (ms) => Math.round(Math.log1p(ms) * LEVELS);

/** @param {number} level @returns {number} milliseconds */
const msOf = (level) => Math.expm1(level / LEVELS);

/** @param {Record<string, number>} counts */
export const total = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);

/**
 * @param {readonly Bin[]} bins
 * @param {number} from Date.now
 * @param {number} to
 * @returns {Bin[]} those that start in between
 */
export const between = (bins, from, to) => bins.filter(({ at }) => at >= from && at < to);

/**
 * @param {readonly Bin[]} bins
 * @returns {Figures}
 */
export function figuresOf(bins) {
  /** @type {Map<number, number>} */
  const levels = new Map();
  /** @type {Record<string, number>} */
  const failures = {};
  for (const { added, failures: kinds } of bins) {
    for (const [level, count] of added) levels.set(level, (levels.get(level) ?? 0) + count);
    for (const [kind, count] of Object.entries(kinds))
      failures[kind] = (failures[kind] ?? 0) + count;
  }
  const sorted = [...levels].sort(([a], [b]) => a - b);
  const answered = sorted.reduce((sum, [, count]) => sum + count, 0);
  const quantile = (/** @type {number} */ share) => {
    let left = share * answered;
    const found = sorted.find(([, count]) => (left -= count) <= 0);
    return round(msOf((found ?? sorted.at(-1) ?? [0])[0]));
  };
  return {
    requests: answered + total(failures),
    failed: total(failures),
    failures,
    p50: quantile(0.5),
    p95: quantile(0.95),
    p99: quantile(0.99),
    max: round(Math.max(0, ...bins.map(({ maxMs }) => maxMs))),
  };
}

/** @param {number} ms */
const round = (ms) => (ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms));

/**
 * How long the API was out: spans in which more requests failed than were answered, or none came back.
 * @param {readonly Bin[]} bins in order
 * @param {number} binMs
 * @returns {number} seconds
 */
export function outageSeconds(bins, binMs) {
  const [first, last] = [bins[0], bins.at(-1)];
  if (first === undefined || last === undefined) return 0;
  const spans = (last.at - first.at) / binMs + 1;
  const good = bins.filter(
    ({ answers, failures }) => total(answers) > 0 && total(answers) >= total(failures),
  );
  return ((spans - good.length) * binMs) / 1000;
}
