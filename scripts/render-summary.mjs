/**
 * Renders a step summary as GitHub does: markdown in, a fragment of HTML out. A summary quotes what
 * containers and engines said, so it is data: of the HTML in it only plain formatting comes through,
 * links lead to the web only, and nothing in it is fetched.
 *
 * Command line: `node scripts/render-summary.mjs summary.md out.html`
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Marked } from 'marked';

/** What a summary may write as HTML itself; attributes never come through. */
const PLAIN_TAGS = new Set(
  'b blockquote br code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i ins kbd li ol p pre s samp small span strong sub summary sup table tbody td th thead tr ul var'.split(
    ' ',
  ),
);
const VOID_TAGS = new Set(['br', 'hr', 'img', 'input']);

/** @param {string} text */
const escapeHtml = (text) =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');

/**
 * HTML as it stands in the markdown: known tags without their attributes, the rest shown as text.
 * @param {string} html
 */
function plainHtml(html) {
  const parts = html.replace(/<!--[\s\S]*?(?:-->|$)/g, '').split(/(<[^<>]*>)/);
  return parts
    .map((part) => {
      const tag = /^<(\/?)([a-z][a-z0-9]*)(?:[\s/][^<>]*)?>$/i.exec(part);
      const name = tag?.[2]?.toLowerCase() ?? '';
      if (PLAIN_TAGS.has(name)) return `<${tag?.[1] ?? ''}${name}>`;
      return part.replaceAll('<', '&lt;').replaceAll('>', '&gt;');
    })
    .join('');
}

/** @param {string} href */
const isWebAddress = (href) => /^(?:https?:\/\/|mailto:|#)/i.test(href);

const marked = new Marked({
  gfm: true,
  renderer: {
    html: ({ text }) => plainHtml(text),
    link({ href, tokens }) {
      const text = this.parser.parseInline(tokens);
      if (!isWebAddress(href)) return text;
      return `<a href="${escapeHtml(href)}" rel="nofollow noopener">${text}</a>`;
    },
    image: ({ text }) => escapeHtml(text),
  },
});

/**
 * Closes what was left open and drops what was never opened, so that nothing in a fragment can reach
 * out of the element it is put into.
 * @param {string} html of which every `<` begins a tag
 */
function balanced(html) {
  /** @type {string[]} */
  const open = [];
  const text = html.replace(/<(\/?)([a-z][a-z0-9]*)[^>]*>/gi, (tag, slash, name) => {
    if (VOID_TAGS.has(name)) return slash === '' ? tag : '';
    if (slash === '') {
      open.push(name);
      return tag;
    }
    const at = open.lastIndexOf(name);
    if (at < 0) return '';
    return open
      .splice(at)
      .reverse()
      .map((one) => `</${one}>`)
      .join('');
  });
  return (
    text +
    open
      .reverse()
      .map((name) => `</${name}>`)
      .join('')
  );
}

/**
 * @param {string} markdown of a step summary
 * @returns {string} a fragment of HTML, safe to put into a page
 */
export function renderSummary(markdown) {
  return balanced(marked.parse(markdown, { async: false }));
}

/** How a summary looks on GitHub, light and dark; for a fragment inside `.summary`. */
export const SUMMARY_CSS = `
:root {
  color-scheme: light dark;
  --page: #f6f8fa; --card: #ffffff; --text: #1f2328; --muted: #59636e; --line: #d1d9e0;
  --row: #f6f8fa; --code: #818b981f; --link: #0969da;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #010409; --card: #0d1117; --text: #f0f6fc; --muted: #9198a1; --line: #3d444d;
    --row: #151b23; --code: #656c7633; --link: #4493f8;
  }
}
body {
  margin: 0; background: var(--page); color: var(--text); line-height: 1.5; font-size: 16px;
  font-family: -apple-system, BlinkMacSystemFont, "Segoe UI", "Noto Sans", Helvetica, Arial,
    sans-serif, "Apple Color Emoji", "Segoe UI Emoji", "Noto Color Emoji";
}
.summary {
  background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 24px;
  overflow-wrap: break-word;
}
.summary > :first-child { margin-top: 0; }
.summary > :last-child { margin-bottom: 0; }
.summary h1, .summary h2 {
  margin: 24px 0 16px; padding-bottom: .3em; border-bottom: 1px solid var(--line);
  font-weight: 600; line-height: 1.25;
}
.summary h1 { font-size: 2em; }
.summary h2 { font-size: 1.5em; }
.summary h3 { margin: 24px 0 16px; font-size: 1.25em; font-weight: 600; line-height: 1.25; }
.summary p, .summary ul, .summary ol, .summary table, .summary details, .summary pre {
  margin: 0 0 16px;
}
.summary ul, .summary ol { padding-left: 2em; }
.summary li + li { margin-top: .25em; }
.summary table {
  border-collapse: collapse; display: block; width: max-content; max-width: 100%; overflow: auto;
}
.summary th, .summary td { padding: 6px 13px; border: 1px solid var(--line); text-align: left; }
.summary th { font-weight: 600; }
.summary tr:nth-child(2n) td { background: var(--row); }
.summary code {
  padding: .2em .4em; border-radius: 6px; background: var(--code); font-size: 85%;
  font-family: ui-monospace, SFMono-Regular, "SF Mono", Menlo, Consolas, "Liberation Mono",
    monospace;
}
.summary pre { padding: 16px; overflow: auto; border-radius: 6px; background: var(--row); }
.summary pre code { padding: 0; background: none; }
.summary a { color: var(--link); }
.summary summary { cursor: pointer; }
`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [source, target] = process.argv.slice(2);
  if (source === undefined || target === undefined) {
    console.error('Usage: node scripts/render-summary.mjs summary.md out.html');
    process.exitCode = 2;
  } else {
    const fragment = renderSummary(readFileSync(source, 'utf8'));
    writeFileSync(
      target,
      `<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n` +
        `<meta name="viewport" content="width=device-width">\n<title>Step summary</title>\n` +
        `<style>${SUMMARY_CSS}body { padding: 24px; }</style>\n` +
        `<main class="summary">\n${fragment}</main>\n</html>\n`,
    );
  }
}
