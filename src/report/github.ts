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
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, normalize } from 'node:path';
import type { Position } from '../errors.js';
import { MAX_ANNOTATIONS, type Log, type Tone } from './narrator.js';
import type { RunReport } from './outcome.js';
import { annotationsOf } from './annotations.js';
import { maskOf } from './dossier-log.js';
import { isGreen, lastLine, outputsOf, reportOf, summaryOf } from './render.js';
import { clearMemory } from '../memory.js';
import { safeLine, safeLines } from './text.js';

/** The exact text of an input, as the workflow gave it. */
export const rawInput = (name: string): string => getInput(name, { trimWhitespace: false });

/** What could not be written to the runner's files, and why. */
const unwritten = new Map<string, string>();

/**
 * Gives the runner a value by its file, or, where that cannot be written, on standard output, as runners
 * took it before they had files. What came into the file in part would be an error of the step.
 */
function give(variable: 'GITHUB_STATE' | 'GITHUB_OUTPUT', what: string, action: () => void): void {
  const path = process.env[variable];
  const size = sizeOf(path);
  try {
    action();
  } catch (error) {
    unwritten.set(what, wordsOf(error));
    if (path !== undefined && size !== undefined) cutBack(path, size);
    process.env[variable] = '';
    action();
  }
}

function sizeOf(path: string | undefined): number | undefined {
  return path === undefined ? undefined : statSync(path, { throwIfNoEntry: false })?.size;
}

function cutBack(path: string, size: number): void {
  try {
    truncateSync(path, size);
  } catch {
    // It cannot be written: then nothing was.
  }
}

const wordsOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

export const rememberState = (name: string, value: string): void =>
  give('GITHUB_STATE', 'state for the post step', () => saveState(name, value));

/**
 * Whether `main` of this very step has begun already. The state says so; where the runner's file for it
 * could not be written, an empty file does, which takes no room on a full disk.
 */
export function isPost(): boolean {
  const mark = markOf(process.env);
  if (getState('main') === 'started') return true;
  if (mark !== undefined && existsSync(mark)) {
    rmSync(mark, { force: true });
    return true;
  }
  rememberState('main', 'started');
  if (unwritten.size > 0 && mark !== undefined)
    try {
      writeFileSync(mark, '', { mode: 0o600 });
    } catch (error) {
      unwritten.set('mark of this step', wordsOf(error));
    }
  return false;
}

/** Of this step of this run alone: a mark that a dead one has left must not be taken for its own. */
function markOf(env: NodeJS.ProcessEnv): string | undefined {
  const { RUNNER_TEMP: directory, GITHUB_RUN_ID: id, GITHUB_ACTION: step } = env;
  if (directory === undefined || id === undefined || step === undefined) return undefined;
  const which = [id, env['GITHUB_RUN_ATTEMPT'], env['GITHUB_JOB'], step].join(' ');
  const name = createHash('sha256').update(which).digest('hex').slice(0, 32);
  return join(directory, `swarm-deploy-${name}.started`);
}

/** Where a file of this run may lie until the job ends. */
const fileOf = (kind: string): string =>
  join(
    process.env['RUNNER_TEMP'] ?? tmpdir(),
    `swarm-deploy-${randomBytes(8).toString('hex')}.${kind}`,
  );

let kept: string | undefined;

/**
 * Keeps a text for `post` that is too long for the state, in a file for this user alone.
 * @param text undefined: it is not needed any more
 */
export function keepText(text: string | undefined): void {
  if (text === undefined) {
    if (kept === undefined) return;
    rmSync(kept, { force: true });
    kept = undefined;
    rememberState('undo', '');
    return;
  }
  const path = kept ?? fileOf('undo');
  try {
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
    if (kept === undefined) rememberState('undo', path);
    kept = path;
  } catch (error) {
    rmSync(`${path}.new`, { force: true });
    unwritten.set('former state of the stack for the post step', wordsOf(error));
  }
}

/** @returns what `keepText` has kept; the file is gone then */
export function takeText(): string | undefined {
  const path = getState('undo');
  if (path === '' || !existsSync(path)) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } finally {
    rmSync(path, { force: true });
  }
}

export const recallState: (name: string) => string = getState;

/** What the runner masks on behalf of this run. */
const masked = new Set<string>();

/** Has the runner mask these lines from here on, in the log and in the summary. */
export function maskSecrets(values: readonly string[]): void {
  for (const value of values) {
    setSecret(value);
    masked.add(value);
  }
}

function annotation(position: Position | undefined): AnnotationProperties {
  if (position === undefined) return {};
  return {
    // As the repository has it: `./stack.yml` is no file of its for GitHub.
    file: normalize(position.file),
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

/** Adds a paragraph of markdown to the summary, where there is one. */
export async function addSummary(markdown: string): Promise<void> {
  if (process.env['GITHUB_STEP_SUMMARY'] === undefined) return;
  try {
    await summary.addRaw(markdown).write();
  } catch (error) {
    annotateWarning(safeLine(`could not write the summary: ${wordsOf(error)}`));
  }
}

/** An annotation that is red. */
export const annotateFailure = (text: string): void => annotateError(safeLines(text));

/**
 * Writes outputs, report and summary, and annotates a red end. Each is tried for itself: a runner
 * whose disk is full must still learn the verdict. What could not be written is one warning.
 * @returns whether the step is green
 */
export async function publish(run: RunReport): Promise<boolean> {
  clearMemory();
  const green = isGreen(run.outcome);
  const attempt = async (what: string, action: () => unknown): Promise<void> => {
    try {
      await action();
    } catch (error) {
      unwritten.set(what, wordsOf(error));
    }
  };
  await attempt('outputs', () => {
    for (const [name, value] of outputsOf(run)) output(name, value);
  });
  await attempt('report', () => {
    const path = fileOf('json');
    try {
      writeFileSync(path, reportOf(run, maskOf([...masked])), { mode: 0o600, flag: 'wx' });
    } catch (error) {
      rmSync(path, { force: true });
      throw error;
    }
    output('report', path);
  });
  if (process.env['GITHUB_STEP_SUMMARY'] !== undefined)
    await attempt('summary', () => summary.addRaw(summaryOf(run)).write());
  tell(run);
  if (unwritten.size > 0)
    annotateWarning(
      safeLine(
        `could not write the ${[...unwritten.keys()].join(', the ')}: ${[...new Set(unwritten.values())].join('; ')}. ` +
          'The verdict stands; look at the disk and the permissions of the runner.',
      ),
    );
  return green;
}

const output = (name: string, value: string): void =>
  give('GITHUB_OUTPUT', 'outputs', () => setOutput(name, value));

function tell(run: RunReport): void {
  info('');
  annotationsOf(run).forEach(({ text, position }, index) => {
    // GitHub shows no more of them; one line, as what begins a line of the log may be a command.
    if (index >= MAX_ANNOTATIONS) info(`error: ${safeLine(text)}`);
    else annotateError(text, annotation(position));
  });
  info(coloured(lastLine(run), isGreen(run.outcome) ? 'good' : 'bad'));
}
