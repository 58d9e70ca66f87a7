/** Words for people, from values: safe to print whatever a container or Docker put into them. */

/** ANSI escape sequences, whole; a lone escape character is taken by the control characters. */
const ANSI = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
/** Control characters, and the format characters that reorder or hide text. */
const CONTROL =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const MAX_LINE = 2000;

/** Foreign text on one line and without terminal tricks, nothing else changed. */
export const withoutControls = (text: string): string =>
  text
    .replace(ANSI, '')
    .replace(/[\r\n\t]+/g, ' ')
    .replace(CONTROL, '');

/**
 * One line of foreign text as it may stand in a log: no terminal tricks, no line breaks, nothing
 * that the runner takes for a workflow command (`::name::` at the start, `##[name]` anywhere).
 */
export function safeLine(text: string): string {
  const flat = withoutControls(text).replaceAll('##[', '## [').trim();
  const cut = flat.length > MAX_LINE ? `${flat.slice(0, MAX_LINE)} ...` : flat;
  return cut.startsWith('::') ? ` ${cut.replace(/^::/, ': :')}` : cut;
}

/** Foreign text as it may stand in a markdown table cell: shown as it is, never as markup. */
export function safeCell(text: string): string {
  const escaped = safeLine(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/[\\`*_{}[\]#|~@$:]/g, (character) => `&#${character.charCodeAt(0)};`);
  // GitHub makes links of these by itself: of the first in markdown, of the others in the HTML that comes of it.
  return escaped
    .replace(/(www)\./gi, '$1&#46;')
    .replace(/&#64;|&#35;(?=\d)/g, '<span>$&</span>')
    .replace(/\b(gh)-(?=\d)/gi, '$1<span>-</span>');
}

/** The same, with what stands between backticks as code, as it is in words of our own. */
export const safeProse = (text: string): string =>
  safeCell(text).replace(/&#96;((?:(?!&#96;).)+)&#96;/g, '<code>$1</code>');

/** Foreign text in a code span of a table cell. */
export function code(text: string): string {
  return text === '' ? '' : `<code>${safeCell(text)}</code>`;
}

/** `0:07`, `12:30`, `1:02:03`. */
export function clockTime(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const pad = (value: number): string => String(value).padStart(2, '0');
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

/** `850 ms`, `7.2 s`, `2 min 5 s`. */
export function spokenTime(ms: number): string {
  if (Math.round(ms) < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1).replace(/\.0$/, '')} s`;
  const seconds = Math.round(ms / 1000);
  return seconds % 60 === 0
    ? `${Math.floor(seconds / 60)} min`
    : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** `sha256:` and the first 12 digits, as Docker shortens ids. */
export function shortDigest(digest: string): string {
  return digest.replace(/^sha256:/, '').slice(0, 12);
}

/** `name:tag@sha256:...`, with the digest shortened. */
export function imageText(image: string, digest: string): string {
  return digest === '' ? image : `${image}@sha256:${shortDigest(digest)}`;
}

/** The same in a table cell. */
export function imageCell(image: string, digest: string): string {
  if (image === '') return '';
  return digest === '' ? code(image) : `${code(image)} ${code(shortDigest(digest))}`;
}

/** How long something is ago or goes on, in one unit: `12 s`, `5 min`, `3 h`, `2 d`. */
export function agoText(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 120 * 60) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

type Cells = readonly string[];

/** Without the columns that are empty in every row. */
function filled(head: Cells, rows: readonly Cells[]): readonly Cells[] {
  const kept = head.map((_, column) => rows.some((cells) => (cells[column] ?? '') !== ''));
  return [head, ...rows].map((cells) => cells.filter((_, column) => kept[column]));
}

/** A longer cell moves those behind it in its own row only. */
const MAX_COLUMN = 72;

/** Foreign text in aligned columns under a head, for a log; none where there are no rows. */
export function alignedTable(head: Cells, rows: readonly Cells[]): readonly string[] {
  if (rows.length === 0) return [];
  const safe = rows.map((cells) => cells.map(safeLine));
  const table = filled(
    head.map((title) => title.toUpperCase()),
    safe,
  );
  const widths = (table[0] ?? []).map((_, column) =>
    table.reduce((most, cells) => {
      const { length } = cells[column] ?? '';
      return length > MAX_COLUMN ? most : Math.max(most, length);
    }, 0),
  );
  return table.map((cells) =>
    safeLine(cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')),
  );
}

/** Cells that are markdown already as a table of GitHub's; none where there are no rows. */
export function markdownTable(head: Cells, rows: readonly Cells[]): readonly string[] {
  if (rows.length === 0) return [];
  const [titles = [], ...lines] = filled(head, rows);
  const line = (cells: Cells): string => `| ${cells.join(' | ')} |`;
  return [line(titles), line(titles.map(() => '---')), ...lines.map(line), ''];
}

/** `1 task`, `3 tasks`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Foreign text of several lines, each of them safe, and as far from the margin as it was. */
export function safeLines(text: string): string {
  const lines = text.split(/\r?\n/).map((line) => {
    const [margin = ''] = /^ {0,200}/.exec(line) ?? [];
    const safe = safeLine(line);
    return safe === '' ? '' : `${margin}${safe}`;
  });
  return lines.join('\n').replace(/^\n+|\s+$/g, '');
}

/** What an error says, on one line. */
export const errorLine = (error: unknown): string =>
  safeLine(error instanceof Error ? error.message : String(error));
