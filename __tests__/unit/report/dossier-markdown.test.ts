import { describe, expect, it } from '@jest/globals';
import { marked } from 'marked';
import type { ServiceDossier, Verification } from '../../../src/report/dossier.js';
import { dossierSection as sectionOf } from '../../../src/report/dossier-markdown.js';
import { HOSTILE } from '../../support/log-frames.js';

const service = (more: Partial<ServiceDossier> = {}): ServiceDossier => ({
  service: 'shop_api',
  reason: 'crash-loop',
  cause: 'Its process ends with exit code 1.',
  mend: 'Mend what its log complains of.',
  place: { file: 'stack.yml', line: 7 },
  tasks: [
    {
      taskId: 'abcdefghijklmnop',
      slot: 2,
      node: 'worker-1',
      state: 'failed',
      exitCode: 137,
      exitMeaning: 'killed',
      error: 'task: non-zero exit (137)',
      at: '2026-01-01T00:00:07Z',
      tookMs: 7000,
    },
  ],
  log: { task: 'shop_api.2', node: 'worker-1', lines: ['fatal: no database'], cut: 0 },
  ...more,
});

const check = (more: Partial<Verification> = {}): Verification => ({
  url: 'https://shop.example/health',
  expectation: '2xx',
  ok: false,
  status: 503,
  tookMs: 60_000,
  attempts: 14,
  body: 'upstream is down',
  error: 'it answered 503',
  mend: 'See what it writes.',
  ...more,
});

const dossierSection = (...given: Parameters<typeof sectionOf>): string => {
  const { lead, details } = sectionOf(...given);
  return [...lead, ...details].join('\n');
};

/** Text of what a browser would show, without what is folded. */
const unfolded = (markdown: string): string =>
  markdown.replace(/<details>[^]*?^<\/details>$/gm, '');

describe('the dossier in the summary', () => {
  it('is nothing where nothing failed', () => {
    expect(dossierSection([])).toBe('');
    expect(dossierSection([], [check({ ok: true })])).toBe('');
  });

  it('tells cause, place and mend before anything is unfolded', () => {
    const text = unfolded(dossierSection([service()]));
    expect(text).toContain('Its process ends with exit code 1.');
    expect(text).toContain('<code>stack.yml&#58;7</code>');
    expect(text).toContain('Mend what its log complains of.');
    expect(text).not.toContain('fatal: no database');
  });

  it('has the tasks with node, exit code, its meaning and all of the id that is needed', () => {
    expect(dossierSection([service()])).toContain(
      '| shop&#95;api.2 | worker-1 | failed | 7 s | 137, killed | task&#58; non-zero exit (137) | <code>abcdefghijkl</code> |',
    );
  });

  it('shows a log whatever is in it, and nothing of it as markup', () => {
    const log = { task: 'shop_api.2', node: 'worker-1', lines: HOSTILE, cut: 0 };
    const html = marked.parse(dossierSection([service({ log })]), { async: false });
    expect(html).not.toMatch(/<script|<img|javascript:alert\(1\)"|<h1/);
    expect(html.match(/<details>/g)).toHaveLength(2);
    expect(html.match(/<\/details>/g)).toHaveLength(2);
    const [, shown = ''] = /<pre><code[^>]*>([^]*?)<\/code><\/pre>/.exec(html) ?? [];
    expect(shown.trimEnd().split('\n')).toHaveLength(HOSTILE.length);
    expect(shown).toContain('&lt;/details&gt;&lt;script&gt;');
    expect(shown).toContain('``` ` ```` `````` | a | b |');
    expect(shown).not.toMatch(/[\u001b\u202e]/);
  });

  it('keeps the last lines of logs that are too long for a summary', () => {
    const lines = Array.from({ length: 50 }, (_, index) => `${index} ${'x'.repeat(990)}`);
    const log = { task: 'shop_api.2', node: 'worker-1', lines, cut: 100 };
    const text = dossierSection(Array.from({ length: 20 }, () => service({ log })));
    expect(text.length).toBeLessThan(300_000);
    expect(text).toContain('\n49 xxx');
    expect(text).toContain('the lines before are in the report');
    expect(text).toContain('100 characters of long lines are left out');
  });

  it('says why there is no log', () => {
    const log = { task: 'shop_api.2', node: '', lines: [], cut: 0, note: 'it wrote *nothing*' };
    expect(dossierSection([service({ log })])).toContain(
      'Log of <code>shop&#95;api.2</code>: (it wrote &#42;nothing&#42;)',
    );
  });

  it('has the checks that failed, with how the answer begins', () => {
    const text = dossierSection([], [check(), check({ url: 'https://ok.example', ok: true })]);
    expect(text).toContain(
      '**<code>https&#58;//shop.example/health</code>** did not answer <code>2xx</code>: it answered 503 (last status 503, 14 attempts in 1 min)',
    );
    expect(unfolded(text)).toContain('**To mend it:** See what it writes.');
    expect(text).toContain('```text\nupstream is down\n```');
    expect(text).not.toContain('ok.example');
  });

  it('shows a body whatever is in it, and nothing of it as markup', () => {
    const html = marked.parse(dossierSection([], [check({ body: HOSTILE.join('\n') })]), {
      async: false,
    });
    expect(html).not.toMatch(/<script|<img/);
    expect(html.match(/<\/details>/g)).toHaveLength(1);
  });
});
