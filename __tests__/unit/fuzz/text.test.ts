/** Words of containers, engines and file systems: in the log, in annotations, in the summary. */
import { describe, expect } from '@jest/globals';
import fc from 'fast-check';
import { lexer, type Token, type Tokens } from 'marked';
import { GREEN_OUTCOMES, REASONS, RED_OUTCOMES } from '../../../src/errors.js';
import { createNarrator } from '../../../src/report/narrator.js';
import type { RunReport } from '../../../src/report/outcome.js';
import { outputsOf, reportOf, summaryOf } from '../../../src/report/render.js';
import {
  alignedTable,
  code,
  markdownTable,
  safeCell,
  safeLine,
  safeLines,
} from '../../../src/report/text.js';
import { renderSummary } from '../../../scripts/render-summary.mjs';
import { fuzz, soup } from '../../support/fuzz.js';

const FRAGMENTS = [
  ...[
    '::',
    '::error::',
    '::add-mask::a',
    '::set-output name=outcome::deployed',
    '##[',
    '##[group]',
  ],
  ...['::stop-commands::x', '::', '%0A', '%0D', '\n', '\r', '\r\n', '\t', ' ', '\u2028', '\u0085'],
  ...[
    '\u001b',
    '\u001b[2J',
    '\u001b]0;t\u0007',
    '\u001b[31m',
    '\u009b',
    '\u0007',
    '\u0000',
    '\u0008',
  ],
  ...['\u202e', '\u2066', '\u200b', '\ufeff', '\u00ad', '\u{e0041}'],
  ...['`', '```', '~~~', '|', '||', '\\', '\\|', '<', '>', '<!--', '-->', '<script>', '</code>'],
  ...['</details>', '<img src=x onerror=y>', '<a href=//e>', '&lt;', '&', '&#60;', '[x](http://e)'],
  ...[
    '![x](//e)',
    'http://e.example',
    'www.e.example',
    '@someone',
    '#1',
    'gh-7',
    'o/r#2',
    '**',
    '__',
    '* ',
    '- ',
    '# ',
  ],
  ...[
    '> ',
    '1. ',
    '---',
    '===',
    '$x$',
    '{',
    '}',
    'e@e.example',
    'word',
    'é',
    '日本',
    '🙂',
    'x'.repeat(99),
  ],
];
const hostile = soup(FRAGMENTS, 12);

/** As the runner reads a line: a command at its start behind blanks, or of the old form anywhere. */
const isCommand = (line: string): boolean =>
  line.trimStart().startsWith('::') || line.includes('##[');
const TRICKS =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;

/** All pieces of a document, those inside of others too. */
function tokensOf(markdown: string): readonly Token[] {
  const found: Token[] = [];
  const visit = (tokens: readonly Token[]): void => {
    for (const token of tokens) {
      found.push(token);
      if (token.type === 'table') {
        const { header, rows } = token as Tokens.Table;
        for (const cell of [...header, ...rows.flat()]) visit(cell.tokens);
      } else if (token.type === 'list')
        for (const item of (token as Tokens.List).items) visit([item]);
      const { tokens: inner = [] } = token as { readonly tokens?: readonly Token[] };
      visit(inner);
    }
  };
  visit(lexer(markdown, { gfm: true }));
  return found;
}

const OWN_HTML = /^(?:<\/?(?:code|details|summary|span|br|sub|b|strong)>|[^<>]|\s)*$/;

/** What GitHub makes links of in HTML: mentions, issues and addresses, in text that no element parts. */
const LINKED = /@[a-z\d]|#\d|\bgh-\d/i;

function expectNoLinks(html: string): void {
  const texts = html.replace(/<pre>[^]*?<\/pre>/g, '').split(/<[^>]*>/);
  for (const text of texts)
    expect(
      text.replace(/&#(\d+);/g, (_, digits: string) => String.fromCharCode(Number(digits))),
    ).not.toMatch(LINKED);
}

/** Nothing but what the action writes itself: no link, no picture, no HTML of anybody else. */
function expectOwnMarkup(markdown: string): void {
  for (const token of tokensOf(markdown)) {
    expect(['link', 'image', 'def']).not.toContain(token.type);
    if (token.type === 'html') expect(token.raw).toMatch(OWN_HTML);
  }
}

describe('one line', () => {
  fuzz(
    'starts no command, moves no cursor and is one line',
    10,
    fc.property(hostile, (text) => {
      const safe = safeLine(text);
      expect(isCommand(safe)).toBe(false);
      expect(safe).not.toMatch(TRICKS);
      expect(safe).not.toContain('\n');
    }),
  );

  fuzz(
    'of several lines each is so',
    3,
    fc.property(hostile, (text) => {
      for (const line of safeLines(text).split('\n')) {
        expect(isCommand(line)).toBe(false);
        expect(line).not.toMatch(TRICKS);
      }
    }),
  );

  fuzz(
    'of a table each is so, and has as many columns as the head',
    2,
    fc.property(fc.array(fc.tuple(hostile, hostile), { minLength: 1, maxLength: 4 }), (rows) => {
      for (const line of alignedTable(['name', 'what'], rows)) {
        expect(isCommand(line)).toBe(false);
        expect(line).not.toMatch(TRICKS);
      }
      const table = markdownTable(
        ['name', 'what'],
        rows.map(([name, what]) => [safeCell(`x${name}`), code(`x${what}`)]),
      );
      const [parsed] = lexer(table.join('\n'), { gfm: true });
      expect(parsed?.type).toBe('table');
      expect((parsed as Tokens.Table).rows).toHaveLength(rows.length);
      for (const row of (parsed as Tokens.Table).rows) expect(row).toHaveLength(2);
      expectOwnMarkup(table.join('\n'));
    }),
  );

  fuzz(
    'whoever says it: each line of the log is safe',
    3,
    fc.property(hostile, hostile, (text, other) => {
      const lines: string[] = [];
      const narrator = createNarrator(
        {
          line: (line) => lines.push(line),
          warning: (line) => lines.push(line),
          notice: (line) => lines.push(line),
          startGroup: (name) => lines.push(name),
          endGroup: () => undefined,
        },
        { now: () => 0, sleep: () => Promise.resolve() },
      );
      narrator.say(text);
      narrator.fail(text);
      narrator.warn(text);
      narrator.block(other, [text, other]);
      for (const line of lines) {
        expect(isCommand(line)).toBe(false);
        expect(line).not.toMatch(TRICKS);
        expect(line).not.toContain('\n');
      }
    }),
  );
});

describe('the end of a run', () => {
  const anyReport: fc.Arbitrary<RunReport> = fc
    .tuple(
      fc.array(hostile, { minLength: 12, maxLength: 12 }),
      fc.constantFrom(...GREEN_OUTCOMES, ...RED_OUTCOMES),
      fc.constantFrom('', ...REASONS),
    )
    .map(([texts, outcome, reason]) => {
      const text = (index: number): string => texts[index] ?? '';
      return {
        stack: text(0),
        mode: 'deploy',
        manager: text(1),
        outcome,
        reason,
        message: text(2),
        hint: text(3),
        position: undefined,
        problems: [4, 5].map((index) => ({ reason: 'internal' as const, message: text(index) })),
        services: [
          {
            ...{ name: text(6), change: 'updated', image: text(7), digest: text(8) },
            ...{ previousImage: text(9), previousDigest: '', replicas: { running: 1, desired: 1 } },
            ...{ outcome: 'healthy', reason: '' },
          },
        ],
        failures: [
          {
            ...{ taskId: text(0), service: text(1), node: text(10), reason: 'crash-loop' },
            ...{ fatal: false, error: text(11), exitCode: 1 },
          },
        ],
        warnings: [text(10), text(11)],
        lint: [
          {
            ...{ id: 'build-ignored', level: 'warning', file: text(4), line: 3, column: null },
            ...{ message: text(5), mend: text(6), service: text(7) },
          },
        ] as unknown as RunReport['lint'],
        timeline: [{ at: 1, text: safeLine(text(2)) }],
        durationMs: 5,
        inputs: {},
        tasks: [],
        revision: 1,
        previousRevision: undefined,
        history: [],
        dossier: [
          {
            ...{ service: text(6), reason: 'crash-loop', cause: text(0), mend: text(1) },
            place: { file: text(2), line: 3 },
            tasks: [
              {
                ...{ taskId: text(3), slot: 1, node: text(4), state: 'failed', exitCode: 1 },
                ...{ exitMeaning: text(5), error: text(7), at: text(8), tookMs: 5 },
              },
            ],
            log: { task: text(9), node: text(10), lines: texts, cut: 3, note: text(11) },
          },
        ],
        verification: [
          {
            ...{ url: text(1), expectation: text(2), ok: false, status: 500, tookMs: 5 },
            ...{ attempts: 2, body: text(3), error: text(4), mend: text(5) },
          },
        ],
        bars: [{ kind: 'rollout', name: text(6), from: 0, to: 5, state: 'failed', reached: '0/1' }],
      };
    });

  fuzz(
    'a summary has no markup but its own, outputs are one line each, the report is JSON',
    3,
    fc.property(anyReport, (run) => {
      const summary = summaryOf(run);
      expect(summary).not.toMatch(/\u001b|\r/);
      expectOwnMarkup(summary);
      const html = renderSummary(summary);
      expect((html.match(/<details>/g) ?? []).length).toBe(
        (html.match(/<\/details>/g) ?? []).length,
      );
      expect(html).not.toMatch(/<(?:a|img|script)\b/);
      expectNoLinks(html);
      // The timeline, commands where the stack's name is one, a log and an answer's body.
      expect(html.replace(/<pre><code class="language-(?:mermaid|sh|text)">/g, '')).not.toContain(
        '<pre',
      );
      expect((html.match(/language-text/g) ?? []).length).toBeLessThanOrEqual(2);
      // A fence that nobody closed would swallow the end.
      expect(html).toMatch(/Outcome <code>/);
      for (const text of outputsOf(run).values()) expect(text).not.toMatch(/[\r\n\u001b]/);
      expect(reportOf(run)).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
      JSON.parse(reportOf(run));
    }),
  );
});
