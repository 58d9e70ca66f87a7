/** Pages that look as GitHub shows a step's summary and its log, for one picture each. */
import { renderSummary, SUMMARY_CSS } from '../render-summary.mjs';

/** @typedef {'light' | 'dark'} Theme */

const WIDTH = 1012;

/** @param {string} text */
const escapeHtml = (text) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/**
 * The style of one theme, whatever the browser prefers.
 * @param {Theme} theme
 */
const themed = (theme) =>
  SUMMARY_CSS.replace(
    '@media (prefers-color-scheme: dark)',
    theme === 'dark' ? '@media all' : '@media not all',
  ).replace('color-scheme: light dark', `color-scheme: ${theme}`);

const MORE_CSS = `
html, body { overflow: hidden; }
body { padding: 24px; width: ${WIDTH - 48}px; box-sizing: content-box; }
.step { font-size: 14px; font-weight: 600; margin: 0 0 12px; color: var(--text); }
.step small { color: var(--muted); font-weight: 400; }
.summary table { font-size: 14px; }
.summary pre.mermaid { background: none; padding: 0; text-align: center; }
.summary pre .plus { color: #116329; background: #dafbe1; }
.summary pre .minus { color: #82071e; background: #ffebe9; }
.summary pre .bang { color: #953800; background: #ffd8b5; }
.dark .summary pre .plus { color: #aff5b4; background: #033a16; }
.dark .summary pre .minus { color: #ffdcd7; background: #67060c; }
.dark .summary pre .bang { color: #ffdfb6; background: #5a1e02; }
.log {
  background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 12px 0;
  font: 12px/20px ui-monospace, "Liberation Mono", Menlo, Consolas, monospace;
}
.log div { display: flex; padding: 0 16px 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.log i { flex: 0 0 48px; padding-right: 12px; text-align: right; color: var(--muted); font-style: normal; }
.log .in { padding-left: 16px; }
.log .group { font-weight: 600; }
.log .error { background: #ffebe9; color: #82071e; }
.log .warning { background: #fff8c5; color: #7d4e00; }
.log .notice { color: var(--muted); }
.log .c32 { color: #116329; } .log .c31 { color: #cf222e; } .log .c90 { color: #6e7781; }
.dark .log .error { background: #490202; color: #ffdcd7; }
.dark .log .warning { background: #3b2300; color: #f2cc60; }
.dark .log .c32 { color: #3fb950; } .dark .log .c31 { color: #ff7b72; } .dark .log .c90 { color: #8b949e; }
`;

/**
 * @param {string} title above it
 * @param {string} body HTML
 * @param {Theme} theme
 * @param {string} [script] HTML after it
 */
const page = (title, body, theme, script = '') => `<!doctype html>
<html lang="en" class="${theme}"><meta charset="utf-8">
<style>${themed(theme)}${MORE_CSS}</style>
<p class="step">${escapeHtml(title)}</p>
${body}
${script}
<script>
window.addEventListener('load', async () => {
  if (window.drawn) await window.drawn;
  document.documentElement.dataset.height = String(Math.ceil(document.documentElement.getBoundingClientRect().height));
});
</script></html>
`;

/**
 * @param {string} markdown
 * @param {Theme} theme
 * @param {string} mermaid address of Mermaid as one script
 */
export function summaryPage(markdown, theme, mermaid) {
  const html = renderSummary(markdown)
    .replace(
      /<pre><code class="language-mermaid">([\s\S]*?)<\/code><\/pre>/g,
      '<pre class="mermaid">$1</pre>',
    )
    .replace(
      /<pre><code class="language-diff">([\s\S]*?)<\/code><\/pre>/g,
      (_, text) => `<pre><code>${coloured(text)}</code></pre>`,
    );
  const settings = JSON.stringify({
    startOnLoad: false,
    theme: theme === 'dark' ? 'dark' : 'default',
    gantt: { useWidth: WIDTH - 98 },
  });
  return page(
    'deploy summary',
    `<main class="summary">\n${html}</main>`,
    theme,
    html.includes('class="mermaid"')
      ? `<script src="${mermaid}"></script>
<script>mermaid.initialize(${settings}); window.drawn = mermaid.run();</script>`
      : '',
  );
}

/** @param {string} text lines of a diff, as HTML */
const coloured = (text) =>
  text
    .split('\n')
    .map((line) => {
      const kind = { '+': 'plus', '-': 'minus', '!': 'bang' }[line[0] ?? ''];
      return kind === undefined ? line : `<span class="${kind}">${line}</span>`;
    })
    .join('\n');

/**
 * @param {string} log of the runner, with workflow commands
 * @param {Theme} theme
 */
export function logPage(log, theme) {
  const lines = log.replace(/\n+$/, '').split('\n');
  let inside = false;
  let number = 0;
  const rows = lines.flatMap((line) => {
    const [, name, data = ''] = /^::([a-z-]+)(?: [^:]*(?::(?!:)[^:]*)*)?::(.*)$/.exec(line) ?? [];
    const text = data.replaceAll('%0D', '').replaceAll('%0A', '\n').replaceAll('%25', '%');
    if (name === 'endgroup') {
      inside = false;
      return [];
    }
    if (name === 'debug') return [];
    number += 1;
    const row = (/** @type {string} */ kind, /** @type {string} */ html) =>
      `<div class="${kind}"><i>${number}</i><span class="${inside && kind !== 'group' ? 'in' : ''}">${html}</span></div>`;
    switch (name) {
      case 'group': {
        inside = false;
        const html = row('group', `▾ ${escapeHtml(text)}`);
        inside = true;
        return [html];
      }
      case 'error':
        return [row('error', `<b>Error:</b> ${escapeHtml(text)}`)];
      case 'warning':
        return [row('warning', `<b>Warning:</b> ${escapeHtml(text)}`)];
      case 'notice':
        return [row('notice', `<b>Notice:</b> ${escapeHtml(text)}`)];
      default:
        return [row('', ansi(line) || ' ')];
    }
  });
  return page('Run org/swarm-deploy@v1', `<main class="log">\n${rows.join('\n')}\n</main>`, theme);
}

/** The few colours that the action uses. @param {string} line */
const ansi = (line) =>
  escapeHtml(line)
    .replace(/\u001b\[(32|31|90)m/g, '<span class="c$1">')
    .replaceAll('\u001b[0m', '</span>');
