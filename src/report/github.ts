/**
 * The Actions runner: inputs, log, annotations, outputs, summary and state. The only module that
 * speaks to @actions/core.
 */
import {
  debug,
  endGroup,
  error as annotateError,
  getInput,
  getState,
  info,
  isDebug,
  notice as annotateNotice,
  saveState,
  setOutput,
  setSecret,
  startGroup,
  summary,
  warning as annotateWarning,
  type AnnotationProperties,
} from '@actions/core';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Position } from '../errors.js';
import { MAX_ANNOTATIONS, type Log, type Tone } from './narrator.js';
import type { RunReport } from './outcome.js';
import { annotationsOf } from './annotations.js';
import { headline, isGreen, outputsOf, reportOf, summaryOf } from './render.js';
import { safeLine, spokenTime } from './text.js';

/** The exact text of an input, as the workflow gave it. */
export const rawInput = (name: string): string => getInput(name, { trimWhitespace: false });

export const rememberState: (name: string, value: string) => void = saveState;
export const recallState: (name: string) => string = getState;
export const maskSecrets = (values: readonly string[]): void => values.forEach(setSecret);

function annotation(position: Position | undefined): AnnotationProperties {
  if (position === undefined) return {};
  return {
    file: position.file,
    ...(position.line === undefined ? {} : { startLine: position.line }),
    ...(position.column === undefined ? {} : { startColumn: position.column }),
  };
}

/** Escape sequences of the terminal that the page of a run draws. */
const STYLE: Readonly<Record<Tone, number>> = { good: 32, bad: 31, faint: 90 };
const paint = (code: number, text: string): string => `\u001b[${code}m${text}\u001b[0m`;

/** https://no-color.org: set to anything but the empty string. */
const isPlain = (): boolean => (process.env['NO_COLOR'] ?? '') !== '';

/** The time that a line begins with steps back, the rest says what it is about. */
function coloured(text: string, tone: Tone | undefined): string {
  if (isPlain()) return text;
  const [, time = '', rest = ''] = /^( *\d[\d:]* {2})?(.*)$/s.exec(text) ?? [];
  return `${time === '' ? '' : paint(STYLE.faint, time)}${tone === undefined || rest === '' ? rest : paint(STYLE[tone], rest)}`;
}

export const actionsLog: Log = {
  line: (text, tone) => info(coloured(text, tone)),
  warning: (text, position) => annotateWarning(text, annotation(position)),
  notice: (text, position) => annotateNotice(text, annotation(position)),
  startGroup,
  endGroup,
  ...(isDebug() ? { debug } : {}),
};

/**
 * Writes outputs, report and summary, and annotates a red end. Each is tried for itself: a runner
 * whose disk is full must still learn the verdict.
 * @returns whether the step is green
 */
export async function publish(run: RunReport): Promise<boolean> {
  const green = isGreen(run.outcome);
  const attempt = async (what: string, action: () => unknown): Promise<void> => {
    try {
      await action();
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      annotateWarning(safeLine(`could not write the ${what}: ${words}`));
    }
  };
  await attempt('outputs', () => {
    for (const [name, value] of outputsOf(run)) setOutput(name, value);
  });
  await attempt('report', () => {
    const path = join(
      process.env['RUNNER_TEMP'] ?? tmpdir(),
      `swarm-deploy-${randomBytes(8).toString('hex')}.json`,
    );
    writeFileSync(path, reportOf(run), { mode: 0o600, flag: 'wx' });
    setOutput('report', path);
  });
  if (process.env['GITHUB_STEP_SUMMARY'] !== undefined)
    await attempt('summary', () => summary.addRaw(summaryOf(run)).write());
  tell(run, green);
  return green;
}

function tell(run: RunReport, green: boolean): void {
  info('');
  if (green) {
    const text = `${headline(run)} ${safeLine(run.message)} (${spokenTime(run.durationMs)})`;
    info(coloured(text, 'good'));
    return;
  }
  annotationsOf(run).forEach(({ text, position }, index) => {
    // GitHub shows no more of them; one line, as what begins a line of the log may be a command.
    if (index >= MAX_ANNOTATIONS) info(`error: ${safeLine(text)}`);
    else annotateError(text, annotation(position));
  });
}
