/** What the benchmark of lost requests makes of its counts. */
import { describe, expect, it } from '@jest/globals';
import { between, figuresOf, levelOf, outageSeconds } from '../../scripts/downtime/figures.mjs';
import type { Bin } from '../../scripts/downtime/load.mjs';
import { mistakesTable, prices, wellTable, type Results } from '../../scripts/downtime/page.mjs';
import { mistakesPicture, wellPicture } from '../../scripts/downtime/picture.mjs';

const bin = (at: number, more: Partial<Bin> = {}): Bin => ({
  at,
  answers: { '1.0.0': 10 },
  failures: {},
  added: [[levelOf(5), 10]],
  maxMs: 5,
  ...more,
});

describe('figures', () => {
  it('count answers and failures, and take percentiles of what was answered', () => {
    const figures = figuresOf([
      bin(0, { added: [[levelOf(5), 97]] }),
      bin(500, { added: [[levelOf(200), 3]], maxMs: 212, failures: { 'HTTP 503': 2 } }),
      bin(1000, { added: [], failures: { 'HTTP 503': 1, 'connection cut': 4 } }),
    ]);
    expect(figures).toMatchObject({
      requests: 107,
      failed: 7,
      failures: { 'HTTP 503': 3, 'connection cut': 4 },
      max: 212,
    });
    expect(Math.abs(figures.p50 - 5)).toBeLessThan(0.2);
    expect(Math.abs(figures.p95 - 5)).toBeLessThan(0.2);
    expect(Math.abs(figures.p99 - 200)).toBeLessThan(4);
    expect(figuresOf([])).toMatchObject({ requests: 0, failed: 0, p50: 0, max: 0 });
  });

  it('take the spans that start within a phase', () => {
    const bins = [bin(0), bin(500), bin(1000), bin(1500)];
    expect(between(bins, 500, 1500).map(({ at }) => at)).toEqual([500, 1000]);
  });

  it('say how long it was out: nothing came back, or more failed than was answered', () => {
    const bins = [
      bin(0),
      bin(500, { failures: { 'HTTP 503': 10 } }),
      bin(1000, { failures: { 'HTTP 503': 11 } }),
      bin(1500, { answers: {}, failures: { 'HTTP 503': 1 } }),
      // Nothing at all ended between 2000 and 3000.
      bin(3000),
    ];
    expect(outageSeconds(bins, 500)).toBe(2);
    expect(outageSeconds([], 500)).toBe(0);
  });
});

const FIGURES = {
  ...{ requests: 1200, failed: 0, failures: {}, p50: 1.2, p95: 8, p99: 20, max: 41 },
};
const seconds = [-1, -0.5, 0, 0.5].map((at) => ({
  at: at + 1,
  answers: { '1.0.0': 400, '1.1.0': at > 0 ? 100 : 0 },
  failed: at > 0 ? 30 : 0,
  p99: 12,
}));
const RESULTS: Results = {
  date: '2026-01-02',
  minutes: 7.5,
  machine: { cpu: 'A CPU', cores: 2, memoryGiB: 8, kernel: '6.1', node: 'v20.0.0' },
  engine: '28.5.2',
  proxy: '2.6.12',
  load: {
    clients: 500,
    replicas: 10,
    warmUpMs: 4000,
    groups: [{ clients: 500, everyMs: 1000, holdMs: 500 }],
  },
  well: {
    phases: [
      { name: 'before', from: 0, to: 1, figures: FIGURES },
      { name: 'update 1.0.0 → 1.1.0', from: 1, to: 1.5, outcome: 'deployed', figures: FIGURES },
      { name: 'after', from: 1.5, to: 2, figures: FIGURES },
    ],
    seconds,
    all: { ...FIGURES, requests: 3600 },
    samples: [],
    lint: [],
  },
  mistakes: [
    {
      id: 'no-healthcheck',
      title: 'no healthcheck',
      rule: 'no-healthcheck',
      lint: ['no-healthcheck'],
      figures: { ...FIGURES, failed: 1234, failures: { 'HTTP 503': 1230, 'connection cut': 4 } },
      outage: 3.5,
      seconds,
    },
    {
      ...{ id: 'start-first', title: 'one <replica>', rule: '', lint: [], outage: 0 },
      ...{ figures: FIGURES, seconds },
    },
  ],
};

describe('what the docs say of it', () => {
  it('has every phase with its outcome, and the sum', () => {
    const table = wellTable(RESULTS);
    expect(table).toContain('update 1.0.0 → 1.1.0: `deployed` | 1 s | 1,200 | **0** |');
    expect(table).toContain('**all of it** |  | 3,600 | **0** |');
    expect(table).toContain('500 ask every 1 s and are held 0.5 s');
  });

  it('has a price for each mistake, and for each rule that warns of it', () => {
    expect(mistakesTable(RESULTS)).toContain(
      '| no healthcheck | 1,200 | **1,234** | 3.5 s | 1,230 × HTTP 503, 4 × connection cut | [no-healthcheck](lint.md#no-healthcheck) |',
    );
    expect(Object.keys(prices(RESULTS))).toEqual(['no-healthcheck']);
    expect(prices(RESULTS)['no-healthcheck']).toContain(
      '1,234 of 1,200 requests failed in one update, and the API was out for 3.5 s.',
    );
  });

  it('is drawn as well-formed SVG in both themes, with failures in red', () => {
    for (const theme of ['light', 'dark'] as const)
      for (const svg of [wellPicture(RESULTS, theme), mistakesPicture(RESULTS, theme)]) {
        expect(svg).not.toMatch(/NaN|undefined|Infinity/);
        expect(svg.match(/<(text|path|rect)[^>]*fill="#(cf222e|ff7b72)"/)).not.toBeNull();
        expect([...svg.matchAll(/<text/g)]).toHaveLength([...svg.matchAll(/<\/text>/g)].length);
      }
    expect(wellPicture(RESULTS, 'light')).toContain('0 of 3,600 requests failed');
    expect(mistakesPicture(RESULTS, 'light')).toContain('one &lt;replica&gt;');
  });
});
