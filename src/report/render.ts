/** Turns the end of a run into what people and workflows read: outputs, step summary, report. */
import { GREEN_OUTCOMES, type Outcome } from '../errors.js';
import { dossierSection } from './dossier-markdown.js';
import { failureLine } from './failure.js';
import { historyTable } from './history.js';
import { placeOf, type Finding } from '../lint/lint.js';
import type { RunReport, ServiceReport } from './outcome.js';
import { planSummary } from './plan.js';
import { stackTable, troubleTable } from './stack.js';
import { clockTime, code, imageCell, plural, safeCell, spokenTime } from './text.js';

/** GitHub drops a step's summary whole above 1 MiB; stay well below. */
const SUMMARY_LIMIT = 900_000;
const MAX_ROWS = 500;
const MAX_FAILURES = 20;

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
          : 'deploy';
  switch (run.outcome) {
    case 'deployed':
      return run.mode === 'rollback'
        ? `${stack} is back at what it was: every service runs what was recorded.`
        : `${stack} is deployed: every service runs what was asked for.`;
    case 'unchanged':
      return `${stack} already ran exactly this; nothing was restarted.`;
    case 'planned':
      return run.plan?.hasChanges === true
        ? `A deploy would change ${stack}; nothing was touched.`
        : `A deploy would not change ${stack}; nothing was touched.`;
    case 'reported':
      return `The state of ${stack}; nothing was touched.`;
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
      return `The ${what} of ${stack} was cancelled.`;
    case 'locked':
      return `The ${what} of ${stack} was not started: another run has its lock.`;
    case 'unreachable':
      return `The swarm of ${stack} could not be reached.`;
    case 'invalid':
      // Of bad inputs nothing is known, not even the mode.
      return run.stack === ''
        ? 'Nothing was started: the inputs are not valid.'
        : `The ${what} of ${stack} was not started; nothing was touched.`;
  }
}

/** A service that was put back is well again: the reason is why it had to be. */
function outcomeCell({ outcome, reason }: ServiceReport): string {
  if (reason === '') return outcome;
  const wentBack = outcome === 'restored' || outcome === 'removed';
  return wentBack ? `${outcome} after ${code(reason)}` : `${outcome}: ${code(reason)}`;
}

function serviceRow(service: ServiceReport): string {
  const { replicas } = service;
  const cells = [
    safeCell(service.name),
    service.change,
    imageCell(service.previousImage, service.previousDigest),
    imageCell(service.image, service.digest),
    service.outcome === 'removed' ? '' : `${replicas.running}/${replicas.desired}`,
    outcomeCell(service),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** The step summary in GitHub's markdown, most important first and below the size limit. */
export function summaryOf(run: RunReport): string {
  const lines = [
    `## ${signOf(run)} ${safeCell(headline(run))}`,
    '',
    ...(run.message === '' ? [] : [safeCell(run.message), '']),
    ...(run.problems.length < 2
      ? []
      : [...run.problems.map(({ message }) => `- ${safeCell(message)}`), '']),
    ...(run.hint === '' ? [] : [`**What to do:** ${safeCell(run.hint)}`, '']),
    ...dossierSection(run.dossier, run.verification)
      .split('\n')
      .filter((line, index) => index > 0 || line !== ''),
  ];
  if (run.outcome === 'reported') lines.push(...stateOf(run));
  else if (run.plan !== undefined) lines.push(...planSummary(run.plan));
  else if (run.services.length > 0) {
    lines.push(
      '| service | change | image before | image asked for | running | outcome |',
      '| --- | --- | --- | --- | --- | --- |',
      ...ranked(run.services).slice(0, MAX_ROWS).map(serviceRow),
      '',
    );
    if (run.services.length > MAX_ROWS)
      lines.push(`and ${plural(run.services.length - MAX_ROWS, 'more service')}`, '');
  }
  if (run.outcome !== 'reported' && run.failures.length > 0) {
    lines.push(
      `**${plural(run.failures.length, 'failed task')}**`,
      '',
      ...run.failures
        .slice(0, MAX_FAILURES)
        .map((failure) => `- ${code(failure.reason)} ${safeCell(failureLine(failure))}`),
      '',
    );
    if (run.failures.length > MAX_FAILURES)
      lines.push(`and ${run.failures.length - MAX_FAILURES} more`, '');
  }
  if (run.warnings.length > 0)
    lines.push(
      `<details><summary>${plural(run.warnings.length, 'warning')}</summary>`,
      '',
      ...run.warnings.slice(0, MAX_FAILURES).map((warning) => `- ${safeCell(warning)}`),
      '',
      '</details>',
      '',
    );
  lines.push(...lintOf(run.lint));
  const where = run.manager === '' ? '' : ` through ${code(run.manager)}`;
  lines.push(
    `Outcome ${code(run.outcome)}${run.reason === '' ? '' : `, reason ${code(run.reason)}`}, ` +
      (run.revision === undefined ? '' : `revision ${run.revision}, `) +
      `${spokenTime(run.durationMs)}${where}.`,
    '',
  );
  return cutToLimit(lines);
}

/** Folded, with the first ones of many. */
function lintOf(findings: readonly Finding[]): readonly string[] {
  if (findings.length === 0) return [];
  const count = (level: Finding['level']): string =>
    plural(findings.filter((finding) => finding.level === level).length, level);
  const rows = findings.slice(0, MAX_ROWS).map((finding) => {
    const { id, level, message, mend } = finding;
    return `| ${code(placeOf(finding))} | ${level} | ${safeCell(`${message}.`)} ${safeCell(mend)} | ${code(id)} |`;
  });
  return [
    `<details><summary>Lint of the stack files: ${count('warning')}, ${count('notice')}</summary>`,
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

/** Green says that the state was read, not that it is good. */
function signOf({ outcome, services }: RunReport): string {
  if (!isGreen(outcome)) return '❌';
  const well = services.every((service) => service.outcome === 'healthy');
  return outcome === 'reported' && !well ? '⚠️' : '✅';
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

function cutToLimit(lines: readonly string[]): string {
  let size = 0;
  const kept: string[] = [];
  for (const line of lines) {
    size += Buffer.byteLength(line) + 1;
    if (size > SUMMARY_LIMIT) {
      kept.push('', 'The rest is too long for a summary; it stands in the report.');
      break;
    }
    kept.push(line);
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

/** The report file: everything of the run, no secrets. */
export function reportOf(run: RunReport): string {
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
  return `${JSON.stringify(report, null, 2)}\n`;
}
