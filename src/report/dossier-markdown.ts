/** The failure dossier in the step summary: markdown that is safe whatever a container wrote. */
import type { Dossier, DossierTask, ServiceDossier, TaskLog, Verification } from './dossier.js';
import {
  code,
  markdownTable,
  plural,
  safeCell,
  safeProse,
  spokenTime,
  withoutControls,
} from './text.js';

/** Services of which all is shown; of the others the cause alone. */
const MAX_WHOLE = 10;
/** Characters of all logs together: a summary has a limit, and the report has the rest. */
const MAX_LOGS = 200_000;
const MAX_CHECKS = 20;

/** Lines of markdown; none where nothing failed. */
export interface DossierSection {
  /** What failed and why, most important first. */
  readonly lead: readonly string[];
  /** The evidence, folded. */
  readonly details: readonly string[];
}

/** @param verification the checks of `verify` */
export function dossierSection(
  dossier: Dossier,
  verification: readonly Verification[] = [],
): DossierSection {
  const failed = verification.filter(({ ok }) => !ok).slice(0, MAX_CHECKS);
  if (dossier.length + failed.length === 0) return { lead: [], details: [] };
  let room = MAX_LOGS;
  const details = dossier.slice(0, MAX_WHOLE).flatMap((service) => {
    const log = logLines(service.log, room);
    room -= log.reduce((sum, { length }) => sum + length + 1, 0);
    return [...tasksOf(service), ...log];
  });
  return {
    lead: ['### What failed', '', ...dossier.flatMap(summaryOf), ...failed.flatMap(checkLines)],
    details: [...details, ...failed.flatMap(answerLines)],
  };
}

const summaryOf = ({ service, reason, cause, mend, place }: ServiceDossier): readonly string[] => [
  `**${safeCell(service)}** ${code(reason)}: ${safeCell(cause)}`,
  '',
  ...(place === undefined ? [] : [`**Where:** ${code(`${place.file}:${place.line}`)}`, '']),
  `**To mend it:** ${safeProse(mend)}`,
  '',
];

const folded = (title: string, lines: readonly string[]): readonly string[] => [
  `<details><summary>${title}</summary>`,
  '',
  ...lines,
  '',
  '</details>',
  '',
];

function tasksOf({ service, tasks }: ServiceDossier): readonly string[] {
  if (tasks.length === 0) return [];
  const head = ['task', 'node', 'state', 'after', 'exit code', 'Docker says', 'id'];
  return folded(
    `${plural(tasks.length, 'task')} of ${code(service)}`,
    markdownTable(
      head,
      tasks.map((task) => taskRow(service, task)),
    ).slice(0, -1),
  );
}

const taskRow = (service: string, task: DossierTask): readonly string[] => [
  safeCell(task.slot === undefined ? service : `${service}.${task.slot}`),
  safeCell(task.node),
  task.state,
  task.tookMs === undefined ? '' : spokenTime(task.tookMs),
  task.exitCode === undefined
    ? ''
    : `${task.exitCode}${task.exitMeaning === undefined ? '' : `, ${safeCell(task.exitMeaning)}`}`,
  safeCell(task.error),
  code(task.taskId.slice(0, 12)),
];

/** @param room characters that it may have; the last lines are the ones that count */
function logLines(log: TaskLog | undefined, room: number): readonly string[] {
  if (log === undefined) return [];
  const { task, node, lines, cut, note } = log;
  const kept: string[] = [];
  let used = 0;
  for (const line of lines.toReversed()) {
    const text = withoutControls(line).trimEnd();
    used += text.length + 1;
    if (used > room) break;
    kept.unshift(text);
  }
  const where = `${code(task)}${node === '' ? '' : ` on ${code(node)}`}`;
  const notes = [
    ...(kept.length < lines.length ? ['the lines before are in the report'] : []),
    ...(cut > 0 ? [`${plural(cut, 'character')} of long lines are left out`] : []),
    ...(note === undefined ? [] : [note]),
  ];
  const said = notes.length === 0 ? [] : [safeCell(`(${notes.join('; ')})`)];
  if (kept.length === 0) return [`Log of ${where}: ${said.join('') || 'nothing'}`, ''];
  const count = kept.length === 1 ? 'last line' : `last ${kept.length} lines`;
  return folded(`Log of ${where}, ${count}`, [
    ...fenced(kept),
    ...(said.length === 0 ? [] : ['', ...said]),
  ]);
}

/** Text as it is: the fence is longer than any run of backticks in it. */
export function fenced(lines: readonly string[]): readonly string[] {
  const longest = lines
    .flatMap((line) => line.match(/`+/g) ?? [])
    .reduce((most, { length }) => Math.max(most, length), 2);
  const fence = '`'.repeat(longest + 1);
  return [`${fence}text`, ...lines, fence];
}

function checkLines(check: Verification): readonly string[] {
  const { url, expectation, error, mend, status, attempts, tookMs } = check;
  const tries = `${plural(attempts, 'attempt')} in ${spokenTime(tookMs)}`;
  const said = status === undefined ? tries : `last status ${status}, ${tries}`;
  return [
    `**${code(url)}** did not answer ${code(expectation)}: ${safeCell(error)} (${said})`,
    '',
    `**To mend it:** ${safeProse(mend)}`,
    '',
  ];
}

const answerLines = ({ url, body }: Verification): readonly string[] =>
  body === ''
    ? []
    : folded(
        `How the answer of ${code(url)} begins`,
        fenced(body.split('\n').map(withoutControls)),
      );
