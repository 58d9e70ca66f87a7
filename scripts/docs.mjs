/**
 * Writes the tables of inputs and outputs into docs/inputs.md, and into README.md where it has the
 * markers, from action.yml: between `<!-- inputs:start -->` and `<!-- inputs:end -->`, and likewise
 * `outputs`. `--check` writes nothing and fails when a table is stale.
 *
 * The comment above an input in action.yml is the title of the section that starts with it.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { isMap, isScalar, parseDocument } from 'yaml';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/**
 * @typedef {{ name: string, title?: string, description: string, required: boolean, default: string }} Entry
 */

/**
 * @param {string} text of action.yml
 * @param {'inputs' | 'outputs'} kind
 * @returns {Entry[]}
 */
export function entries(text, kind) {
  const map = parseDocument(text).get(kind);
  if (!isMap(map)) throw new Error(`action.yml has no ${kind}`);
  return map.items.map(({ key, value }, index) => {
    if (!isScalar(key) || !isMap(value)) throw new Error(`action.yml: ${kind} are not all maps`);
    // The parser gives a comment above the first key to the map around it.
    const title = (index === 0 ? map.commentBefore : key.commentBefore)?.trim();
    return {
      name: String(key.value),
      ...(title ? { title } : {}),
      description: String(value.get('description') ?? '').trim(),
      required: value.get('required') === true,
      default: String(value.get('default') ?? ''),
    };
  });
}

/** @param {string} text */
const cell = (text) => text.replaceAll('|', '\\|').replace(/\s+/g, ' ');

/**
 * @param {string} text of action.yml
 * @param {'inputs' | 'outputs'} kind
 * @returns {string} markdown
 */
export function table(text, kind) {
  if (kind === 'outputs')
    return [
      '| output | meaning |',
      '| --- | --- |',
      ...entries(text, kind).map((entry) => `| \`${entry.name}\` | ${cell(entry.description)} |`),
    ].join('\n');
  return entries(text, kind)
    .flatMap((entry) => [
      ...(entry.title
        ? ['', `### ${entry.title}`, '', '| input | default | meaning |', '| --- | --- | --- |']
        : []),
      `| \`${entry.name}\` | ${entry.required ? '**required**' : entry.default && `\`${entry.default}\``} | ${cell(entry.description)} |`,
    ])
    .join('\n');
}

/**
 * @param {string} page markdown with markers
 * @param {string} action text of action.yml
 * @param {'all' | 'some'} markers `all`: a page without a pair of markers is an error
 * @returns {Promise<string>} the page with fresh tables
 */
export async function withTables(page, action, markers) {
  const style = await resolveConfig(join(root, 'README.md'));
  for (const kind of /** @type {const} */ (['inputs', 'outputs'])) {
    const [start, end] = [`<!-- ${kind}:start -->`, `<!-- ${kind}:end -->`];
    const [from, to] = [page.indexOf(start), page.indexOf(end)];
    if (from < 0 && to < 0 && markers === 'some') continue;
    if (from < 0 || to < from)
      throw new Error(`the markers ${start} and ${end} are not both there`);
    const fresh = await format(table(action, kind), { ...style, parser: 'markdown' });
    page = `${page.slice(0, from + start.length)}\n\n${fresh.trim()}\n\n${page.slice(to)}`;
  }
  return page;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const action = readFileSync(join(root, 'action.yml'), 'utf8');
  for (const [file, markers] of /** @type {const} */ ([
    ['docs/inputs.md', 'all'],
    ['README.md', 'some'],
  ])) {
    const path = join(root, file);
    if (markers === 'some' && !existsSync(path)) continue;
    const page = readFileSync(path, 'utf8');
    const fresh = await withTables(page, action, markers);
    if (page === fresh) console.log(`${file} is fresh`);
    else if (process.argv.includes('--check')) {
      console.error(`${file} is not what action.yml says. Run: node scripts/docs.mjs`);
      process.exitCode = 1;
    } else {
      writeFileSync(path, fresh);
      console.log(`${file} written`);
    }
  }
}
