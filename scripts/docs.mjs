/**
 * Writes what is generated in the docs. `--check` writes nothing and fails when something is stale.
 *
 * - The tables of inputs and outputs in docs/inputs.md, and in README.md where it has the markers,
 *   from action.yml: between `<!-- inputs:start -->` and `<!-- inputs:end -->`, likewise `outputs`.
 * - docs/truth-table.md, and the runs in docs/engines.md, from the JSON beside them.
 *
 * The comment above an input in action.yml is the title of the section that starts with it.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { isMap, isScalar, parseDocument } from 'yaml';

import { ENGINES, engineRuns, PLAYED, read, truthTable } from './truth-table/page.mjs';

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
  for (const kind of /** @type {const} */ (['inputs', 'outputs'])) {
    if (markers === 'some' && !page.includes(`<!-- ${kind}:`)) continue;
    page = await between(page, kind, table(action, kind));
  }
  return page;
}

/**
 * @param {string} page markdown
 * @param {string} name of the markers
 * @param {string} text goes between them
 * @returns {Promise<string>}
 */
async function between(page, name, text) {
  const [start, end] = [`<!-- ${name}:start -->`, `<!-- ${name}:end -->`];
  const [from, to] = [page.indexOf(start), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the markers ${start} and ${end} are not both there`);
  const fresh = await pretty(text);
  return `${page.slice(0, from + start.length)}\n\n${fresh.trim()}\n\n${page.slice(to)}`;
}

/** @param {string} text markdown */
const pretty = async (text) =>
  format(text, { ...(await resolveConfig(join(root, 'README.md'))), parser: 'markdown' });

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const action = readFileSync(join(root, 'action.yml'), 'utf8');
  /** @type {readonly { file: string, from: string, fresh: (page: string) => Promise<string> }[]} */
  const pages = [
    {
      file: 'docs/inputs.md',
      from: 'action.yml',
      fresh: (page) => withTables(page, action, 'all'),
    },
    { file: 'README.md', from: 'action.yml', fresh: (page) => withTables(page, action, 'some') },
    {
      file: 'docs/truth-table.md',
      from: 'docs/truth-table.json',
      fresh: () => pretty(truthTable(read(PLAYED))),
    },
    {
      file: 'docs/engines.md',
      from: 'docs/engines.json',
      fresh: (page) => between(page, 'runs', engineRuns(read(ENGINES))),
    },
  ];
  for (const { file, from, fresh } of pages) {
    const path = join(root, file);
    const page = existsSync(path) ? readFileSync(path, 'utf8') : '';
    const wanted = await fresh(page);
    if (page === wanted) console.log(`${file} is fresh`);
    else if (process.argv.includes('--check')) {
      console.error(`${file} is not what ${from} says. Run: node scripts/docs.mjs`);
      process.exitCode = 1;
    } else {
      writeFileSync(path, wanted);
      console.log(`${file} written`);
    }
  }
}
