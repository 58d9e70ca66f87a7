/**
 * Writes the tables of the docs that say what the code says, each between the markers
 * `<!-- NAME:start -->` and `<!-- NAME:end -->`. `--check` writes nothing and fails when one is stale.
 *
 * `inputs` and `outputs` come from action.yml, into docs/inputs.md, and into README.md where it has
 * the markers; the comment above an input there is the title of the section that starts with it.
 * `task-causes` and `service-causes` come from src/rollout/causes.ts, into docs/reasons.md, `keys`
 * from src/compose/keys.ts, into docs/stack-files.md, `rules` from src/lint/catalog.ts, into
 * docs/lint.md, `report` from report.schema.json, into docs/report.md. `well` and `mistakes` in
 * docs/zero-downtime.md, and the prices in docs/lint.md, come from docs/downtime.json. The `runs` in
 * docs/engines.md, and all of docs/truth-table.md and docs/faults.md, come from the JSON beside them;
 * `truth-table` in README.md is the first in short.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { isMap, isScalar, parseDocument } from 'yaml';

import { mistakesTable, prices, wellTable } from './downtime/page.mjs';
import { faultMatrix, PLAYED as FAULTS_PLAYED } from './faults/page.mjs';
import { optionsOf } from './options.mjs';
import { ENGINES, engineRuns, PLAYED, read, truthScores, truthTable } from './truth-table/page.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/**
 * @typedef {{ name: string, title?: string, description: string, required: boolean, default: string }} Entry
 * @typedef {import('../src/rollout/causes.js').Cause} Cause
 * @typedef {{ TASK_CAUSES: readonly Cause[], SERVICE_CAUSES: readonly Cause[] }} Causes
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
 * @param {readonly Cause[]} causes
 * @param {string} heading of the first column
 * @returns {string} markdown
 */
export function causeTable(causes, heading) {
  /** @type {Record<Cause['effect'], string>} */
  const effects = {
    fatal: 'fatal',
    counted: 'counted',
    'progress-timeout': 'tolerated until `progress-timeout`',
    timeout: 'tolerated until `timeout`',
  };
  return [
    `| ${heading} | reason | effect |`,
    '| --- | --- | --- |',
    ...causes.map(
      ({ sign, reason, effect }) =>
        `| ${cell(sign)} | ${reason === undefined ? "the task's own" : `\`${reason}\``} | ${effects[effect]} |`,
    ),
  ].join('\n');
}

/** @param {string} text markdown */
const pretty = async (text) =>
  format(text, { ...(await resolveConfig(join(root, 'README.md'))), parser: 'markdown' });

/**
 * The markdown of a page with another text between a pair of markers.
 * @param {string} page
 * @param {string} name of the markers
 * @param {string} text markdown
 * @param {'all' | 'some'} markers `all`: a page without them is an error
 * @returns {Promise<string>}
 */
async function withText(page, name, text, markers) {
  const [start, end] = [`<!-- ${name}:start -->`, `<!-- ${name}:end -->`];
  const [from, to] = [page.indexOf(start), page.indexOf(end)];
  if (from < 0 && to < 0 && markers === 'some') return page;
  if (from < 0 || to < from) throw new Error(`the markers ${start} and ${end} are not both there`);
  const fresh = await pretty(text);
  return `${page.slice(0, from + start.length)}\n\n${fresh.trim()}\n\n${page.slice(to)}`;
}

/**
 * @param {string} page markdown with markers
 * @param {string} action text of action.yml
 * @param {'all' | 'some'} markers `all`: a page without a pair of markers is an error
 * @returns {Promise<string>} the page with fresh tables
 */
export async function withTables(page, action, markers) {
  for (const kind of /** @type {const} */ (['inputs', 'outputs']))
    page = await withText(page, kind, table(action, kind), markers);
  return page;
}

/**
 * @param {string} page markdown with markers
 * @param {Causes} causes
 * @returns {Promise<string>} the page with fresh tables
 */
export async function withCauses(page, { TASK_CAUSES, SERVICE_CAUSES }) {
  page = await withText(page, 'task-causes', causeTable(TASK_CAUSES, 'Docker says'), 'all');
  return withText(page, 'service-causes', causeTable(SERVICE_CAUSES, 'what happens'), 'all');
}

const FATES = {
  kept: 'taken as it is',
  translated: 'translated',
  dropped: 'left out',
  warned: 'left out, with a warning',
  refused: 'an error',
};

/**
 * @param {import('../src/compose/keys.js').Keys} keys
 * @param {string} [path] of what they are keys of
 * @returns {string[]} rows of all keys of which there is something to say
 */
function keyRows(keys, path = '') {
  return Object.entries(keys).flatMap(([name, { fate, how, mend, shape }]) => {
    const here = `${path}${name}`;
    const said = [how.replace(/^[a-z].*[^.]$/, (why) => `It ${why}.`), mend ?? ''].join(' ').trim();
    const row =
      fate === 'kept' && said === '' ? [] : [`| \`${here}\` | ${FATES[fate]} | ${cell(said)} |`];
    const inner = shape.keys ?? shape.list?.keys ?? shape.named?.keys;
    return [...row, ...(fate !== 'kept' || inner === undefined ? [] : keyRows(inner, `${here}.`))];
  });
}

/**
 * @param {string} page markdown with markers
 * @param {{ FILE_KEYS: import('../src/compose/keys.js').Keys }} keys
 * @returns {Promise<string>} the page with a fresh table
 */
export async function withKeys(page, { FILE_KEYS }) {
  const rows = keyRows(FILE_KEYS).filter((row) => !row.includes('Ignored like all of'));
  const text = ['| key | what becomes of it | |', '| --- | --- | --- |', ...rows].join('\n');
  return withText(page, 'keys', text, 'all');
}

/**
 * @param {readonly [string, import('../src/lint/catalog.js').Rule][]} rules by id
 * @param {Record<string, string>} [measured] what it costs not to follow a rule, by its id
 * @returns {string} markdown
 */
export function ruleSections(rules, measured = {}) {
  const groups = [...new Set(rules.map(([, { group }]) => group))];
  return groups
    .flatMap((group) => [
      `## ${group}`,
      '',
      ...rules
        .filter(([, rule]) => rule.group === group)
        .flatMap(([id, { level, when, reason, mend }]) => [
          `### ${id}`,
          '',
          `${level === 'warning' ? 'Warning' : 'Notice'}. ${when}`,
          '',
          `**Why:** ${reason}`,
          '',
          ...(measured[id] === undefined ? [] : [`**Price:** ${measured[id]}`, '']),
          `**Mend:** ${mend}`,
          '',
        ]),
    ])
    .join('\n');
}

/**
 * @typedef {{ description?: string, type?: string | string[], enum?: string[], const?: unknown, $ref?: string,
 *   items?: Field, oneOf?: Field[], properties?: Record<string, Field>, required?: string[],
 *   $defs?: Record<string, Field> }} Field a part of report.schema.json
 */

/** @param {Field} field @returns {string} markdown */
function typeText({ type, enum: words, const: only, $ref, items, oneOf, properties }) {
  if ($ref !== undefined) {
    const name = $ref.replace('#/$defs/', '');
    return `[${name}](#${name.toLowerCase()})`;
  }
  if (only !== undefined) return `\`${JSON.stringify(only)}\``;
  if (words !== undefined)
    return words.length > 15
      ? 'a word'
      : words.map((word) => (word === '' ? 'empty' : `\`${word}\``)).join(', ');
  if (items !== undefined) return `list of ${typeText(items)}`;
  if (oneOf !== undefined) return oneOf.map(typeText).join(' or ');
  if (properties !== undefined)
    return `object: ${Object.keys(properties)
      .map((name) => `\`${name}\``)
      .join(', ')}`;
  return [type ?? ''].flat().join(' or ');
}

/**
 * @param {Field} schema of the report
 * @returns {string} markdown: a table for it, and one for each of its parts
 */
export function reportTables(schema) {
  /** @param {Field} part @returns {string[]} */
  const table = ({ properties = {}, required = [] }) => [
    '| field | type | meaning |',
    '| --- | --- | --- |',
    ...Object.entries(properties).map(([name, field]) => {
      const always = required.includes(name) ? '' : ' (not always there)';
      return `| \`${name}\` | ${cell(typeText(field))}${always} | ${cell(field.description ?? '')} |`;
    }),
    '',
  ];
  return [
    ...table(schema),
    ...Object.entries(schema.$defs ?? {}).flatMap(([name, part]) => [
      `## ${name}`,
      '',
      part.description ?? '',
      '',
      ...(part.properties === undefined ? [] : table(part)),
    ]),
  ].join('\n');
}

/**
 * A module as it is now, without a build: it imports nothing but types.
 * @param {string} path
 * @returns {Promise<any>}
 */
async function moduleInCode(path) {
  const { default: typescript } = await import('typescript');
  const source = readFileSync(join(root, path), 'utf8');
  const { outputText } = typescript.transpileModule(source, {
    compilerOptions: {
      module: typescript.ModuleKind.ESNext,
      target: typescript.ScriptTarget.ES2022,
    },
  });
  return import(`data:text/javascript,${encodeURIComponent(outputText)}`);
}

const HELP = `Writes the tables of the docs that say what the code and the recorded figures say.

  npm run docs [-- --check]

  --check  write nothing, and fail where one is stale
  --help   this text`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { check } = optionsOf(HELP, {
    options: { check: { type: 'boolean', default: false } },
  }).values;
  const action = readFileSync(join(root, 'action.yml'), 'utf8');
  /** @type {Causes} */
  const causes = await moduleInCode('src/rollout/causes.ts');
  /** @type {typeof import('../src/compose/keys.js')} */
  const keys = await moduleInCode('src/compose/keys.ts');
  /** @type {typeof import('../src/lint/catalog.js')} */
  const { RULES } = await moduleInCode('src/lint/catalog.ts');
  /** @type {import('./downtime/page.mjs').Results} */
  const downtime = JSON.parse(readFileSync(join(root, 'docs/downtime.json'), 'utf8'));
  /** @type {readonly { file: string, source: string, fresh: (page: string) => Promise<string> }[]} */
  const pages = [
    {
      file: 'docs/inputs.md',
      source: 'action.yml',
      fresh: (page) => withTables(page, action, 'all'),
    },
    {
      file: 'README.md',
      source: 'action.yml or docs/truth-table.json',
      fresh: async (page) =>
        withText(
          await withTables(page, action, 'some'),
          'truth-table',
          truthScores(read(PLAYED)),
          'some',
        ),
    },
    {
      file: 'docs/reasons.md',
      source: 'src/rollout/causes.ts',
      fresh: (page) => withCauses(page, causes),
    },
    {
      file: 'docs/stack-files.md',
      source: 'src/compose/keys.ts',
      fresh: (page) => withKeys(page, keys),
    },
    {
      file: 'docs/lint.md',
      source: 'src/lint/catalog.ts and docs/downtime.json',
      fresh: async (page) =>
        pretty(
          await withText(
            page,
            'rules',
            ruleSections(Object.entries(RULES), prices(downtime)),
            'all',
          ),
        ),
    },
    {
      file: 'docs/zero-downtime.md',
      source: 'docs/downtime.json',
      fresh: async (page) => {
        const well = await withText(page, 'well', wellTable(downtime), 'all');
        return withText(well, 'mistakes', mistakesTable(downtime), 'all');
      },
    },
    {
      file: 'docs/report.md',
      source: 'report.schema.json',
      fresh: (page) =>
        withText(
          page,
          'report',
          reportTables(JSON.parse(readFileSync(join(root, 'report.schema.json'), 'utf8'))),
          'all',
        ),
    },
    {
      file: 'docs/truth-table.md',
      source: 'docs/truth-table.json',
      fresh: () => pretty(truthTable(read(PLAYED))),
    },
    {
      file: 'docs/faults.md',
      source: 'docs/faults.json',
      fresh: () => pretty(faultMatrix(read(FAULTS_PLAYED))),
    },
    {
      file: 'docs/engines.md',
      source: 'docs/engines.json',
      fresh: (page) => withText(page, 'runs', engineRuns(read(ENGINES)), 'all'),
    },
  ];
  for (const { file, source, fresh: freshen } of pages) {
    const path = join(root, file);
    const page = existsSync(path) ? readFileSync(path, 'utf8') : '';
    const fresh = await freshen(page);
    if (page === fresh) console.log(`${file} is fresh`);
    else if (check) {
      console.error(`${file} is not what ${source} says. Run: node scripts/docs.mjs`);
      process.exitCode = 1;
    } else {
      writeFileSync(path, fresh);
      console.log(`${file} written`);
    }
  }
}
