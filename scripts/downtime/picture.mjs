/** Pure: the pictures of docs/zero-downtime.md, as SVG. */
import { total } from './figures.mjs';

/**
 * @typedef {import('./page.mjs').Results} Results
 * @typedef {import('./runs.mjs').Second} Second
 * @typedef {'light' | 'dark'} Theme
 */

const WIDTH = 1012;

/** @type {Record<Theme, Record<'back' | 'text' | 'muted' | 'line' | 'band' | 'failed' | 'time', string> & { versions: string[] }>} */
const COLOURS = {
  light: {
    back: '#ffffff',
    text: '#1f2328',
    muted: '#59636e',
    line: '#d1d9e0',
    band: '#f0f3f6',
    failed: '#cf222e',
    time: '#9a6700',
    versions: ['#54aeff', '#2da44e', '#a475f9', '#1b7c83'],
  },
  dark: {
    back: '#0d1117',
    text: '#f0f6fc',
    muted: '#9198a1',
    line: '#3d444d',
    band: '#1c222a',
    failed: '#ff7b72',
    time: '#d29922',
    versions: ['#388bfd', '#3fb950', '#ab7df8', '#39c5cf'],
  },
};

/** @param {number} value */
const round = (value) => Math.round(value * 10) / 10;

/** @param {string} text */
const escapeXml = (text) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** @param {number} count */
const number = (count) => count.toLocaleString('en-US');

/**
 * @param {number} x
 * @param {number} y
 * @param {string} words
 * @param {string} colour
 * @param {{ size?: number, bold?: boolean, anchor?: 'start' | 'middle' | 'end' }} [more]
 */
const text = (x, y, words, colour, { size = 12, bold = false, anchor = 'start' } = {}) =>
  `<text x="${round(x)}" y="${round(y)}" fill="${colour}" font-size="${size}" text-anchor="${anchor}"${
    bold ? ' font-weight="600"' : ''
  }>${escapeXml(words)}</text>`;

/**
 * @param {number} height
 * @param {string} back
 * @param {readonly string[]} parts
 */
const svg = (height, back, parts) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="-apple-system, 'Segoe UI', 'Noto Sans', 'Liberation Sans', Helvetica, Arial, sans-serif">
<rect width="${WIDTH}" height="${height}" fill="${back}"/>
${parts.join('\n')}
</svg>
`;

/**
 * @typedef {object} Plot where seconds and values are on the picture
 * @property {(seconds: number) => number} x
 * @property {(value: number) => number} y
 * @property {number} span of one bin, seconds
 */

/**
 * What was answered, version upon version, and on top what failed.
 * @param {readonly Second[]} seconds
 * @param {Plot} plot
 * @param {readonly { colour: string, of: (second: Second) => number }[]} layers from the bottom up
 */
function area(seconds, { x, y, span }, layers) {
  const bottoms = seconds.map(() => 0);
  return layers.map(({ colour, of }) => {
    const bars = seconds.flatMap((second, index) => {
      const value = of(second);
      if (value === 0) return [];
      const bottom = bottoms[index] ?? 0;
      bottoms[index] = bottom + value;
      const [left, right] = [x(second.at), x(second.at + span)];
      const [top, under] = [y(bottom + value), y(bottom)];
      // Half a pixel over the next one, so that no gap is seen between them.
      return `M${round(left)} ${round(top)}H${round(right + 0.4)}V${round(under)}H${round(left)}Z`;
    });
    return bars.length === 0 ? '' : `<path d="${bars.join('')}" fill="${colour}"/>`;
  });
}

/** @param {readonly Second[]} seconds */
const mostOf = (seconds) =>
  Math.max(1, ...seconds.map(({ answers, failed }) => total(answers) + failed));

/** @param {readonly Second[]} seconds */
const spanOf = (seconds) => (seconds[1]?.at ?? 1) - (seconds[0]?.at ?? 0);

/** @param {readonly Second[]} seconds */
const versionsOf = (seconds) => [
  ...new Set(seconds.flatMap(({ answers }) => Object.keys(answers))),
];

/**
 * The well-configured run: what was answered by whom, what failed, and how long it took.
 * @param {Results} results
 * @param {Theme} theme
 * @returns {string}
 */
export function wellPicture({ well, load }, theme) {
  const colours = COLOURS[theme];
  const { seconds, phases, all } = well;
  const [left, right, top, bottom] = [56, 16, 118, 318];
  const [timeTop, timeBottom] = [352, 412];
  const end = phases.at(-1)?.to ?? 1;
  const x = (/** @type {number} */ at) => left + (at / end) * (WIDTH - left - right);
  const step = [1, 2, 5]
    .flatMap((digit) => [1, 10, 100, 1000].map((power) => digit * power))
    .sort((a, b) => a - b)
    .find((one) => one * 3 >= mostOf(seconds));
  const levels = [0, 1, 2, 3].map((index) => index * (step ?? 10_000));
  const most = Math.max(mostOf(seconds), levels[3] ?? 0);
  const y = (/** @type {number} */ value) => bottom - (value / most) * (bottom - top);
  const slowest = Math.max(50, ...seconds.map(({ p99 }) => p99));
  const timeY = (/** @type {number} */ ms) =>
    timeBottom - (Math.min(ms, slowest) / slowest) * (timeBottom - timeTop);
  const versions = versionsOf(seconds);
  const bands = phases
    .filter(({ name }) => !['before', 'calm', 'after'].includes(name))
    .flatMap(({ name, from, to }) => {
      const words = name.split(/, | (?=→)/);
      const width = x(to) - x(from);
      return [
        `<rect x="${round(x(from))}" y="${top - 34}" width="${round(width)}" height="${timeBottom - top + 34}" fill="${colours.band}"/>`,
        ...words.map((line, index) =>
          text(
            x(from) + width / 2,
            top - 20 + index * 14 - (words.length - 1) * 2,
            line,
            colours.text,
            {
              anchor: 'middle',
              size: 11.5,
            },
          ),
        ),
      ];
    });
  const grid = levels.flatMap((value) => [
    `<path d="M${left} ${round(y(value))}H${WIDTH - right}" stroke="${colours.line}" stroke-width="0.5"/>`,
    text(left - 8, y(value) + 4, number(value), colours.muted, { anchor: 'end', size: 11 }),
  ]);
  const legend = [
    ...versions.map((version, index) => ({
      colour: colours.versions[index % colours.versions.length] ?? '',
      words: `answered by ${version}`,
    })),
    { colour: colours.failed, words: `failed: ${number(all.failed)}` },
  ].flatMap(({ colour, words }, index) => [
    `<rect x="${left + index * 158}" y="54" width="11" height="11" rx="2" fill="${colour}"/>`,
    text(left + 17 + index * 158, 64, words, colours.muted),
  ]);
  const line = seconds
    .map(({ at, p99 }, index) => `${index === 0 ? 'M' : 'L'}${round(x(at))} ${round(timeY(p99))}`)
    .join('');
  const ticks = Array.from({ length: Math.floor(end / 30) + 1 }, (_, index) => index * 30);
  const title =
    all.failed === 0
      ? `0 of ${number(all.requests)} requests failed`
      : `${number(all.failed)} of ${number(all.requests)} requests failed`;
  return svg(448, colours.back, [
    text(left, 34, title, all.failed === 0 ? colours.text : colours.failed, {
      size: 20,
      bold: true,
    }),
    text(WIDTH - right, 34, `${load.clients} clients, requests a second`, colours.muted, {
      anchor: 'end',
    }),
    ...legend,
    ...bands,
    ...grid,
    ...area(seconds, { x, y, span: spanOf(seconds) }, [
      ...versions.map((version, index) => ({
        colour: colours.versions[index % colours.versions.length] ?? '',
        of: (/** @type {Second} */ second) => second.answers[version] ?? 0,
      })),
      { colour: colours.failed, of: ({ failed }) => failed },
    ]),
    text(left, timeTop - 8, `added time, 99th percentile (ms)`, colours.muted, { size: 11 }),
    text(left - 8, timeTop + 4, number(Math.round(slowest)), colours.muted, {
      anchor: 'end',
      size: 11,
    }),
    text(left - 8, timeBottom + 4, '0', colours.muted, { anchor: 'end', size: 11 }),
    `<path d="M${left} ${timeBottom}H${WIDTH - right}" stroke="${colours.line}" stroke-width="0.5"/>`,
    `<path d="${line}" fill="none" stroke="${colours.time}" stroke-width="1.3"/>`,
    ...ticks.map((at) =>
      text(x(at), timeBottom + 20, `${at} s`, colours.muted, { anchor: 'middle', size: 11 }),
    ),
  ]);
}

/**
 * The same update with one mistake at a time, below one that has none.
 * @param {Results} results
 * @param {Theme} theme
 * @returns {string}
 */
export function mistakesPicture({ well, mistakes, load }, theme) {
  const colours = COLOURS[theme];
  const update = well.phases.find(({ name }) => name.startsWith('update'));
  const rows = [
    ...(update === undefined
      ? []
      : [
          {
            title: `${load.replicas} replicas, as in the example`,
            failed: update.figures.failed,
            outage: 0,
            seconds: well.seconds
              .filter(({ at }) => at >= update.from - 4 && at < update.to + 4)
              .map((one) => ({ ...one, at: one.at - update.from })),
          },
        ]),
    ...mistakes.map(({ title, figures, outage, seconds }) => ({
      title,
      failed: figures.failed,
      outage,
      seconds,
    })),
  ];
  const [left, right, top, height, gap] = [16, 250, 76, 54, 26];
  const first = -4;
  const last = Math.max(...rows.map(({ seconds }) => seconds.at(-1)?.at ?? 0)) + 1;
  const x = (/** @type {number} */ at) =>
    left + ((Math.min(at, last) - first) / (last - first)) * (WIDTH - left - right);
  const most = Math.max(...rows.map(({ seconds }) => mostOf(seconds)));
  const drawn = rows.flatMap(({ title, failed, outage, seconds }, index) => {
    const bottom = top + index * (height + gap) + height;
    const y = (/** @type {number} */ value) => bottom - (value / most) * height;
    const colour = failed === 0 ? colours.text : colours.failed;
    const price =
      failed === 0
        ? 'nothing failed'
        : `${number(failed)} failed${outage > 0 ? `, out for ${outage} s` : ''}`;
    return [
      ...area(seconds, { x, y, span: spanOf(seconds) }, [
        { colour: colours.versions[0] ?? '', of: ({ answers }) => total(answers) },
        { colour: colours.failed, of: (second) => second.failed },
      ]),
      `<path d="M${left} ${bottom}H${WIDTH - right}" stroke="${colours.line}" stroke-width="0.5"/>`,
      text(WIDTH - right + 16, bottom - height / 2 - 4, title, colours.text, { size: 13 }),
      text(WIDTH - right + 16, bottom - height / 2 + 14, price, colour, { size: 13, bold: true }),
    ];
  });
  const end = top + rows.length * (height + gap);
  const ticks = Array.from({ length: Math.floor(last / 10) + 1 }, (_, index) => index * 10);
  return svg(end + 18, colours.back, [
    text(left, 34, 'One mistake at a time, one update each', colours.text, {
      size: 20,
      bold: true,
    }),
    `<rect x="${left}" y="48" width="11" height="11" rx="2" fill="${colours.versions[0] ?? ''}"/>`,
    text(left + 17, 58, 'answered', colours.muted),
    `<rect x="${left + 96}" y="48" width="11" height="11" rx="2" fill="${colours.failed}"/>`,
    text(left + 113, 58, 'failed', colours.muted),
    ...drawn,
    `<path d="M${round(x(0))} ${top - 6}V${end - gap + 4}" stroke="${colours.muted}" stroke-width="0.7" stroke-dasharray="3 3"/>`,
    ...ticks.map((at) =>
      text(x(at), end, at === 0 ? 'deploy starts' : `${at} s`, colours.muted, {
        anchor: 'middle',
        size: 11,
      }),
    ),
  ]);
}
