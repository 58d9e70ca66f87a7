/** Pure: what the docs say of docs/downtime.json. */

/**
 * @typedef {import('./figures.mjs').Figures} Figures
 *
 * @typedef {object} Results docs/downtime.json
 * @property {string} date
 * @property {number} minutes
 * @property {ReturnType<typeof import('../bench/meter.mjs').machine>} machine
 * @property {string} engine
 * @property {string} proxy version of HAProxy
 * @property {{ clients: number, replicas: number, groups: import('./load.mjs').Group[], warmUpMs: number }} load
 * @property {import('./runs.mjs').Played} well
 * @property {readonly import('./runs.mjs').Price[]} mistakes
 */

/** @param {number} count */
const number = (count) => count.toLocaleString('en-US');

/** @param {number} ms */
const time = (ms) => (ms >= 10_000 ? `${Math.round(ms / 1000)} s` : `${number(Math.round(ms))} ms`);

/** @param {Record<string, number>} failures */
const kinds = (failures) =>
  Object.entries(failures)
    .sort(([, a], [, b]) => b - a)
    .map(([kind, count]) => `${number(count)} × ${kind}`)
    .join(', ');

/** @param {readonly (readonly string[])[]} rows the first one is the head */
const table = ([head = [], ...rows]) =>
  [head, head.map((_, index) => (index === 0 ? '---' : '---:')), ...rows]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n');

/** @param {Figures} figures */
const times = ({ p50, p95, p99, max }) => [p50, p95, p99, max].map(time);

/**
 * The well-configured run.
 * @param {Results} results
 * @returns {string} markdown
 */
export function wellTable({ date, machine, engine, proxy, load, well }) {
  const { phases, all } = well;
  const rows = phases.flatMap((phase, index) => {
    if (phase.name === 'calm') return [];
    const { name, from, to, outcome, figures } = phase;
    const edge = name === 'before' || name === 'after';
    const around = [phases[index - 1], phases[index + 1]].map((calm) =>
      calm === undefined || edge ? '' : time(calm.figures.p99),
    );
    return [
      [
        outcome === undefined ? name : `${name}${name.includes(outcome) ? '' : `: \`${outcome}\``}`,
        `${Math.round(to - from)} s`,
        number(figures.requests),
        `**${number(figures.failed)}**`,
        ...times(figures),
        ...around,
      ],
    ];
  });
  const groups = load.groups
    .map(
      ({ clients, everyMs, holdMs }) =>
        `${clients} ask every ${everyMs / 1000} s and are held ${holdMs / 1000} s`,
    )
    .join(', ');
  return `${table([
    ['', 'time', 'requests', 'failed', 'p50', 'p95', 'p99', 'max', 'p99 before', 'p99 after'],
    ...rows,
    ['**all of it**', '', number(all.requests), `**${number(all.failed)}**`, ...times(all), '', ''],
  ])}

${load.clients} clients, each on a connection of its own that it keeps: ${groups}; ${load.replicas} replicas that take
${load.warmUpMs / 1000} s to start; Docker ${engine}, HAProxy ${proxy}, ${machine.cores} cores (${machine.cpu}) for everything,
the clients included. Times are those beyond what the server was told to take. Measured ${date}.`;
}

/**
 * What each mistake costs.
 * @param {Results} results
 * @returns {string} markdown
 */
export function mistakesTable({ well, mistakes, load }) {
  const update = well.phases.find(({ name }) => name.startsWith('update'));
  return table([
    ['one update', 'requests', 'failed', 'out for', 'how they failed', 'lint'],
    ...(update === undefined
      ? []
      : [
          [
            `${load.replicas} replicas, as in the example`,
            number(update.figures.requests),
            `**${number(update.figures.failed)}**`,
            '0 s',
            kinds(update.figures.failures),
            '',
          ],
        ]),
    ...mistakes.map(({ title, figures, outage, rule }) => [
      title,
      number(figures.requests),
      `**${number(figures.failed)}**`,
      `${outage} s`,
      kinds(figures.failures),
      rule === '' ? '' : `[${rule}](lint.md#${rule})`,
    ]),
  ]);
}

/**
 * A sentence for each rule of the lint that has a price.
 * @param {Results} results
 * @returns {Record<string, string>} markdown by the rule's id
 */
export function prices({ load, mistakes }) {
  return Object.fromEntries(
    mistakes
      .filter(({ rule }) => rule !== '')
      .map(({ rule, title, figures, outage }) => [
        rule,
        `[Measured](zero-downtime.md#what-each-mistake-costs) with ${load.clients} clients, ${title}: ${number(figures.failed)} of ` +
          `${number(figures.requests)} requests failed in one update` +
          `${outage > 0 ? `, and the API was out for ${outage} s` : ''}.`,
      ]),
  );
}
