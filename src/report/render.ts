/** Turns the end of a run into what people and workflows read: outputs, step summary, report. */
import { GREEN_OUTCOMES, type Outcome, type Problem } from '../errors.js';
import { ganttLines } from './chart.js';
import { dossierSection, fenced } from './dossier-markdown.js';
import { failureLine } from './failure.js';
import { historyTable, link, webAddress } from './history.js';
import { isRestored, nextLines } from './next.js';
import { placeOf, type Finding } from '../lint/lint.js';
import { NOTHING, type Mask } from './dossier-log.js';
import type { RunReport, ServiceReport } from './outcome.js';
import { planSummary } from './plan.js';
import { stackTable, troubleTable } from './stack.js';
import {
  clockTime,
  code,
  imageCell,
  markdownTable,
  plural,
  safeCell,
  safeLine,
  safeProse,
  spokenTime,
  withoutControls,
} from './text.js';

/** GitHub drops a step's summary whole above 1 MiB; stay well below. */
const SUMMARY_LIMIT = 900_000;
const MAX_ROWS = 500;
const MAX_FAILURES = 20;
const MAX_PROBLEMS = 50;

export function isGreen(outcome: Outcome): boolean {
  return (GREEN_OUTCOMES as readonly string[]).includes(outcome);
}

/** Every output of action.yml but `report`, as strings. */
export function outputsOf(run: RunReport): ReadonlyMap<string, string> {
  return new Map([
    ['outcome', run.outcome],
    ['reason', run.reason],
    ['revision', run.revision?.toString() ?? ''],
    ['previous-revision', run.previousRevision?.toString() ?? ''],
    [
      'changed-services',
      JSON.stringify(
        run.services.filter(({ change }) => change !== 'unchanged').map(({ name }) => name),
      ),
    ],
    ['services', JSON.stringify(run.services.map(serviceOutput))],
    ['has-changes', run.plan === undefined ? '' : String(run.plan.hasChanges)],
    ['duration', (run.durationMs / 1000).toFixed(1)],
  ]);
}

function serviceOutput(service: ServiceReport): object {
  const { name, change, image, digest, previousImage, replicas, outcome, reason } = service;
  return { name, change, image, digest, previousImage, replicas, outcome, reason };
}

/** The verdict as a person would say it. */
export function headline(run: RunReport): string {
  const stack = run.stack === '' ? 'the stack' : run.stack;
  const what =
    run.mode === 'remove'
      ? 'removal'
      : run.mode === 'rollback'
        ? 'rollback'
        : run.mode === 'plan'
          ? 'plan'
          : run.mode === 'status'
            ? 'status report'
            : 'deploy';
  switch (run.outcome) {
    case 'deployed':
      if (isUnseen(run)) return `${stack} is in the swarm; whether it runs was not waited for.`;
      return run.mode === 'rollback'
        ? `${stack} is back to what it was: every service runs what was recorded.`
        : `${stack} is deployed: every service runs what was asked for.`;
    case 'unchanged':
      if (isUnseen(run))
        return `${stack} was in the swarm just so; whether it runs was not waited for.`;
      return `${stack} already ran exactly this; nothing was restarted.`;
    case 'planned':
      return run.plan?.hasChanges === true
        ? `A deploy would change ${stack}; nothing was touched.`
        : `A deploy would not change ${stack}; nothing was touched.`;
    case 'reported':
      if (run.services.length === 0) return `${stack} is not in the swarm; nothing was touched.`;
      return isWell(run)
        ? `${stack} runs as it should; nothing was touched.`
        : `${stack} does not run as it should; nothing was touched.`;
    case 'removed':
      return `${stack} is removed: nothing of it is left.`;
    case 'rolled-back':
      return `The ${what} of ${stack} failed and was rolled back: the stack is as it was before.`;
    case 'rollback-failed':
      return `The ${what} of ${stack} failed, AND THE ROLLBACK DID NOT SUCCEED. Look at the stack now.`;
    case 'failed':
      return `The ${what} of ${stack} failed.`;
    case 'superseded':
      return `The ${what} of ${stack} was overtaken by somebody else's change.`;
    case 'cancelled':
      return isRestored(run)
        ? `The ${what} of ${stack} was cancelled and rolled back: the stack is as it was before.`
        : `The ${what} of ${stack} was cancelled.`;
    case 'locked':
      return `The ${what} of ${stack} was not started: another run has its lock.`;
    case 'unreachable':
      return run.services.length === 0
        ? `The swarm of ${stack} could not be reached.`
        : `The connection to the swarm was lost in the middle of the ${what} of ${stack}: how it went on is not known.`;
    case 'invalid':
      // Of bad inputs nothing is known, not even the mode.
      return run.stack === ''
        ? 'Nothing was started: the inputs are not valid.'
        : `The ${what} of ${stack} was not started; nothing was touched.`;
  }
}

/** Whether a stack that was looked at is there, and every service of it as it is meant to be. */
const isWell = ({ services }: RunReport): boolean =>
  services.length > 0 && services.every(({ outcome }) => outcome === 'healthy');

/** With `wait: false`: the swarm has accepted what was asked for, and nobody has seen any of it run. */
const isUnseen = ({ services }: RunReport): boolean =>
  services.some(({ outcome }) => outcome === 'accepted');

/** The last line of the log. What happened stands before it in a red run, as its annotations. */
export const lastLine = (run: RunReport): string =>
  isGreen(run.outcome)
    ? `${headline(run)} ${safeLine(run.message)} (${spokenTime(run.durationMs)})`
    : `Outcome ${run.outcome}, reason ${run.reason} (${spokenTime(run.durationMs)})`;

/**
 * Whether the headline says all of what became of the stack, so that the cause comes next, and then the verdict in
 * the words of Docker.
 */
export const causeFirst = ({ outcome }: RunReport): boolean =>
  outcome === 'rolled-back' || outcome === 'failed';

/** A service that was put back is well again: the reason is why it had to be. */
function outcomeCell({ outcome, reason, ended, replicas }: ServiceReport): string {
  // What has ended well is well, and is not called healthy; nor is what has nothing to run.
  if (reason === '' && outcome === 'healthy')
    return ended === replicas.running
      ? 'completed'
      : replicas.desired === 0
        ? 'nothing to run'
        : outcome;
  if (reason === '') return outcome;
  const wentBack = outcome === 'restored' || outcome === 'removed';
  return wentBack ? `${outcome} after ${code(reason)}` : `${outcome}: ${code(reason)}`;
}

const SIGNS: Readonly<Record<ServiceReport['outcome'], string>> = {
  failed: '❌&nbsp;',
  unknown: '⚠️&nbsp;',
  restored: '↩️&nbsp;',
  healthy: '✅&nbsp;',
  accepted: '',
  removed: '',
  untouched: '',
};

/** `3/3`, and how many of these do not run any more, as they may. */
function runningCell({
  replicas: { running, desired },
  ended = 0,
  outcome,
}: ServiceReport): string {
  // One is gone, at the other nobody has looked.
  if (outcome === 'removed' || outcome === 'accepted') return '';
  const all = `${running}/${desired}`;
  if (ended === 0) return all;
  return ended === running ? `${all} ended` : `${all}, ${ended} ended`;
}

/** What tells most comes first: a phone shows the first columns alone. */
const HEAD = [
  'service',
  'outcome',
  'running',
  'change',
  'image before',
  'image asked for',
  'took',
] as const;

/** @param took milliseconds that each service was on its way, by its name */
const serviceRow =
  (took: ReadonlyMap<string, number>) =>
  (service: ServiceReport): readonly string[] => {
    const { name, outcome } = service;
    const ms = took.get(name);
    // What was not moved has one image.
    const same =
      service.image === service.previousImage && service.digest === service.previousDigest;
    return [
      safeCell(name),
      `${SIGNS[outcome]}${outcomeCell(service)}`,
      runningCell(service),
      service.change,
      same ? '' : imageCell(service.previousImage, service.previousDigest),
      imageCell(service.image, service.digest),
      ms === undefined ? '' : spokenTime(ms).replaceAll(' ', '&nbsp;'),
    ];
  };

/** Nothing became of it, or nothing had to: few readers look for it among the others. */
const isQuiet = ({ change, outcome, reason }: ServiceReport): boolean =>
  change === 'unchanged' && reason === '' && (outcome === 'healthy' || outcome === 'untouched');

/** More rows than that hide the others. */
const MAX_QUIET = 10;

/** What changed in a table; those that did not in a folded one where there are many. */
function servicesTable(run: RunReport): readonly string[] {
  const took = new Map(
    (run.bars ?? [])
      .filter(({ kind }) => kind === 'rollout')
      .map(({ name, from, to }) => [name, to - from]),
  );
  const row = serviceRow(took);
  const all = ranked(run.services);
  const quiet = all.filter(isQuiet);
  const fold = quiet.length > MAX_QUIET && quiet.length < all.length;
  const loud = fold ? all.filter((service) => !isQuiet(service)) : all;
  const table = (services: readonly ServiceReport[]): readonly string[] => [
    ...markdownTable(HEAD, services.slice(0, MAX_ROWS).map(row)),
    ...(services.length > MAX_ROWS
      ? [`and ${plural(services.length - MAX_ROWS, 'more service')}`, '']
      : []),
  ];
  return [
    ...table(loud),
    ...(fold ? folded(`${plural(quiet.length, 'service')} that did not change`, table(quiet)) : []),
  ];
}

const folded = (title: string, lines: readonly string[]): readonly string[] => [
  `<details><summary>${title}</summary>`,
  '',
  ...lines,
  '',
  '</details>',
  '',
];

/** Docker's words on each failed task, where nothing has told what they mean. */
function failuresOf({ failures }: RunReport): readonly string[] {
  if (failures.length === 0) return [];
  return [
    `**${plural(failures.length, 'failed task')}**`,
    '',
    ...failures
      .slice(0, MAX_FAILURES)
      .map((failure) => `- ${code(failure.reason)} ${safeCell(failureLine(failure))}`),
    '',
    ...(failures.length > MAX_FAILURES ? [`and ${failures.length - MAX_FAILURES} more`, ''] : []),
  ];
}

/** Of very many services that failed, a dossier tells of the first ones. */
function othersOf({ dossier, services }: RunReport): readonly string[] {
  if (dossier.length === 0) return [];
  const told = new Set(dossier.map(({ service }) => service));
  const left = services.filter(({ name, reason }) => reason !== '' && !told.has(name)).length;
  return left === 0 ? [] : [`and ${plural(left, 'more service')}, as the table says`, ''];
}

/** The step summary in GitHub's markdown, most important first and below the size limit. */
export function summaryOf(run: RunReport): string {
  const verdict = verdictLines(run);
  const looked = run.outcome === 'reported';
  const { lead, details } = dossierSection(run.dossier, run.verification);
  const more = looked ? [] : othersOf(run);
  const lines = [
    `## ${signOf(run)} ${safeCell(headline(run))}`,
    '',
    ...(causeFirst(run) ? [...lead, ...more, ...verdict] : [...verdict, ...lead, ...more]),
    ...details,
  ];
  if (lead.length === 0 && !looked) lines.push(...failuresOf(run));
  if (looked) lines.push(...stateOf(run));
  else if (run.plan !== undefined) lines.push(...planSummary(run.plan));
  else if (run.services.length > 0) lines.push(...servicesTable(run));
  lines.push(...nextLines(run));
  const chart = ganttLines(run.bars ?? [], run.durationMs);
  if (chart.length > 0) lines.push('### Timeline', '', ...chart);
  if (run.warnings.length > 0) {
    const left = run.warnings.length - MAX_FAILURES;
    lines.push(
      ...folded(plural(run.warnings.length, 'warning'), [
        ...run.warnings.slice(0, MAX_FAILURES).map((warning) => `- ${safeProse(warning)}`),
        ...(left > 0 ? ['', `and ${left} more, in the log and the report`] : []),
      ]),
    );
  }
  lines.push(...lintOf(run.lint));
  const where = run.manager === '' ? '' : ` through ${code(run.manager)}`;
  const page = webAddress(run.run?.runUrl ?? '');
  lines.push(
    `Outcome ${code(run.outcome)}${run.reason === '' ? '' : `, reason ${code(run.reason)}`}, ` +
      (run.revision === undefined ? '' : `revision ${run.revision}, `) +
      `${spokenTime(run.durationMs)}${where}.${page === '' ? '' : ` ${link('The log of this run', page)}.`}`,
    '',
  );
  return cutToLimit(lines);
}

/** What is wrong, and what to do about it: of several problems each for itself. */
function verdictLines({ message, problems, hint }: RunReport): readonly string[] {
  const [only, ...others] = problems;
  if (only === undefined) return [...prose('', message), ...toDo(hint)];
  if (others.length === 0)
    return [`${placeText(only)}${safeProse(bare(only))}`, '', ...excerptOf(only), ...toDo(hint)];
  const left = problems.length - MAX_PROBLEMS;
  return [
    `${plural(problems.length, 'problem')}:`,
    '',
    ...problems.slice(0, MAX_PROBLEMS).flatMap((problem) => {
      const { hint: mend = '' } = problem;
      const words = `- ${placeText(problem)}**${safeProse(bare(problem))}**`;
      const excerpt = excerptOf(problem).map((line) => (line === '' ? '' : `  ${line}`));
      return excerpt.length === 0
        ? [mend === '' ? words : `${words}<br>${safeProse(mend)}`]
        : [words, '', ...excerpt, ...(mend === '' ? [] : [`  ${safeProse(mend)}`, ''])];
    }),
    ...(left > 0 ? ['', `and ${plural(left, 'more problem')}`] : []),
    '',
  ];
}

const toDo = (hint: string): readonly string[] =>
  hint === '' ? [] : prose('**What to do:** ', hint);

/** Each line a paragraph, and those that are items a list. @param label markdown before the first one */
function prose(label: string, text: string): readonly string[] {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  if (lines.length === 0) return label === '' ? [] : [label.trimEnd(), ''];
  return lines.flatMap((line, index) => {
    const item = /^- /.test(line);
    const shown = `${index === 0 ? label : ''}${item ? '- ' : ''}${safeProse(item ? line.slice(2) : line)}`;
    return item && lines[index + 1]?.startsWith('- ') === true ? [shown] : [shown, ''];
  });
}

const placeText = ({ position }: Problem): string => {
  if (position === undefined) return '';
  const { file, line } = position;
  return `${code(line === undefined ? file : `${file}:${line}`)} `;
};

/** What a problem says, without the place that is shown beside it. */
function bare({ message, position }: Problem): string {
  const [place = ''] = /^\S+?:\d+(?::\d+)?: /.exec(message) ?? [];
  return position !== undefined && place.startsWith(`${position.file}:`)
    ? message.slice(place.length)
    : message;
}

const excerptOf = ({ excerpt }: Problem): readonly string[] =>
  excerpt === undefined ? [] : [...fenced(excerpt.split('\n').map(withoutControls)), ''];

/** Folded, with the first ones of many. */
function lintOf(findings: readonly Finding[]): readonly string[] {
  if (findings.length === 0) return [];
  const counts = (['warning', 'notice'] as const).flatMap((level) => {
    const count = findings.filter((finding) => finding.level === level).length;
    return count === 0 ? [] : [plural(count, level)];
  });
  const rows = findings.slice(0, MAX_ROWS).map((finding) => {
    const { id, level, message, mend } = finding;
    return `| ${code(placeOf(finding))} | ${level} | ${safeProse(`${message}.`)} ${safeProse(mend)} | ${code(id)} |`;
  });
  return [
    `<details><summary>Lint of the stack files: ${counts.join(', ')}</summary>`,
    '',
    '| where | level | what, and how to mend it | rule |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
    ...(findings.length > MAX_ROWS ? [`and ${findings.length - MAX_ROWS} more`, ''] : []),
    '</details>',
    '',
  ];
}

/** Green says that the state was read, not that it is good; or that it was written, not that it runs. */
function signOf(run: RunReport): string {
  if (!isGreen(run.outcome)) return '❌';
  if (isUnseen(run)) return '⏳';
  return run.outcome === 'reported' && !isWell(run) ? '⚠️' : '✅';
}

/** With `mode: status`: what runs, what does not, and how it came to it. */
const stateOf = ({
  services,
  history,
  revision,
  previousRevision,
}: RunReport): readonly string[] => [
  ...stackTable(services, MAX_ROWS),
  ...troubleTable(services, MAX_FAILURES),
  ...historyTable(history, { now: revision, previous: previousRevision }, MAX_ROWS),
];

/** Cuts between lines, and closes what is open there. */
function cutToLimit(lines: readonly string[]): string {
  let size = 0;
  const kept: string[] = [];
  let fence = '';
  let details = 0;
  for (const line of lines) {
    size += Buffer.byteLength(line) + 1;
    if (size > SUMMARY_LIMIT) {
      if (fence !== '') kept.push(fence);
      kept.push('', ...Array.from({ length: details }, () => '</details>'), '');
      kept.push('The rest is too long for a summary; it stands in the log and the report.');
      break;
    }
    kept.push(line);
    const [mark = ''] = /^ *`{3,}/.exec(line) ?? [];
    if (fence === '') {
      fence = mark;
      details += line.startsWith('<details>') ? 1 : line === '</details>' ? -1 : 0;
    } else if (mark === fence && line === mark) fence = '';
  }
  return `${kept.join('\n')}\n`;
}

const ORDER: Readonly<Record<ServiceReport['outcome'], number>> = {
  failed: 0,
  unknown: 1,
  restored: 2,
  healthy: 3,
  accepted: 4,
  removed: 5,
  untouched: 6,
};

function ranked(services: readonly ServiceReport[]): readonly ServiceReport[] {
  return [...services].sort(
    (a, b) => ORDER[a.outcome] - ORDER[b.outcome] || a.name.localeCompare(b.name, 'en'),
  );
}

/** Fields whose words are this action's or Docker's own, which other programs read. */
const VOCABULARY: ReadonlySet<string> = new Set(['mode', 'outcome', 'reason', 'change', 'state']);

/**
 * The report file: everything of the run, no secrets. The runner masks what it shows, and no file: a registry
 * or a node may repeat a credential in what it says.
 * @param mask of all that the runner masks
 */
export function reportOf(run: RunReport, mask: Mask = NOTHING): string {
  const report = {
    version: 1,
    stack: run.stack,
    mode: run.mode,
    manager: run.manager,
    outcome: run.outcome,
    reason: run.reason,
    message: run.message,
    hint: run.hint,
    durationSeconds: Number((run.durationMs / 1000).toFixed(3)),
    inputs: run.inputs,
    revision: run.revision ?? null,
    previousRevision: run.previousRevision ?? null,
    history: run.history,
    plan: run.plan ?? null,
    services: run.services,
    tasks: run.tasks,
    failures: run.failures,
    dossier: run.dossier,
    verification: run.verification,
    warnings: run.warnings,
    lint: run.lint,
    problems: run.problems,
    timeline: run.timeline.map(({ at, text }) => ({ at: clockTime(at), ms: Math.round(at), text })),
  };
  const shown = (key: string, value: unknown): unknown =>
    typeof value === 'string' && !VOCABULARY.has(key) ? mask.apply(value) : value;
  return `${JSON.stringify(report, shown, 2)}\n`;
}
