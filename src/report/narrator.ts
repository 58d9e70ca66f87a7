/** Tells a person what happens while it happens, and remembers it for the report. */
import type { Position } from '../errors.js';
import { byPlace, mostImportant, placeOf, type Finding } from '../lint/lint.js';
import type { Clock } from '../rollout/watch.js';
import { Chart, type Bar, type BarState } from './chart.js';
import type { TimelineEntry } from './outcome.js';
import { clockTime, plural, safeLine } from './text.js';

/** What a line of the log is about, for the eye; the words alone have to do, too. */
export type Tone = 'good' | 'bad' | 'faint';

/** Where the words go: the Actions log, or a test. */
export interface Log {
  readonly line: (text: string, tone?: Tone) => void;
  readonly warning: (text: string, position: Position | undefined) => void;
  readonly notice: (text: string, position: Position | undefined) => void;
  readonly startGroup: (name: string) => void;
  readonly endGroup: () => void;
  /** For whoever looks for a fault of the action itself; absent where nobody does. */
  readonly debug?: ((text: string) => void) | undefined;
}

export interface Narrator {
  /** One line of the log, with the time since the run began. */
  readonly say: (text: string, tone?: Tone) => void;
  /** What went wrong, so that it stands out in the log; not yet the verdict. */
  readonly fail: (text: string) => void;
  /** An entry in the summary, and an annotation: of those a step has ten, which the lint shares. */
  readonly warn: (text: string, position?: Position) => void;
  /** Lines that belong together under a title, if they have one, as those of a table do: without the time. */
  readonly block: (title: string, lines: readonly string[]) => void;
  /**
   * A foldable part of the log, and a step in the picture of the run. One that throws has failed, or was cut
   * off where the run is cancelled.
   * @param cameTo what became of a step that threw nothing; without it, all is well
   */
  readonly group: <T>(
    name: string,
    action: () => Promise<T>,
    cameTo?: (value: T) => BarState,
  ) => Promise<T>;
  readonly warnings: () => readonly string[];
  /** Findings of the lint: the most important ones as annotations, all of them in log and report; by and by. */
  readonly lint: (findings: readonly Finding[]) => void;
  readonly findings: () => readonly Finding[];
  readonly timeline: () => readonly TimelineEntry[];
  /** What took how long, for a picture of the run. */
  readonly chart: Chart;
  readonly bars: () => readonly Bar[];
  /** Requests and commands, one line each; undefined where debug logging is off, so that none are made. */
  readonly debug: ((text: string) => void) | undefined;
}

/** The timeline is for people: beyond this it says nothing more. */
const MAX_TIMELINE = 2000;
/** Of each level in one step; GitHub drops the rest. */
export const MAX_ANNOTATIONS = 10;
/** Of these the lint leaves some to what comes after it, and is more important. */
const LEFT_BY_LINT = { warning: 3, notice: 1 };
/** More findings than that are folded in the log, of which they would be the first page. */
const MAX_UNFOLDED = 20;

/** @param cancelled aborted when the run is cancelled */
export function createNarrator(log: Log, clock: Clock, cancelled?: AbortSignal): Narrator {
  const begun = clock.now();
  const timeline: TimelineEntry[] = [];
  const warnings: string[] = [];
  const findings: Finding[] = [];
  const annotated = { warning: 0, notice: 0 };
  /** As an annotation while there is room for one, and else as a line of the log. */
  const tell = (
    level: 'warning' | 'notice',
    text: string,
    position: Position | undefined,
    room = annotated[level] < MAX_ANNOTATIONS,
  ): void => {
    if (room) annotated[level] += 1;
    if (room) log[level](text, position);
    else log.line(`${level}: ${text}`);
  };
  const elapsed = (): number => clock.now() - begun;
  const chart = new Chart(elapsed);
  const say = (text: string, tone?: Tone): void => {
    const at = elapsed();
    const safe = safeLine(text);
    if (timeline.length < MAX_TIMELINE) timeline.push({ at, text: safe });
    log.line(`${clockTime(at).padStart(5)}  ${safe}`, tone);
  };
  const { debug } = log;
  return {
    say,
    fail: (text) => say(`FAILED  ${text}`, 'bad'),
    warn: (text, position) => {
      const safe = safeLine(text);
      if (warnings.includes(safe)) return;
      warnings.push(safe);
      tell('warning', safe, position);
    },
    block: (title, lines) => {
      if (lines.length === 0) return;
      if (title !== '') {
        log.line('');
        log.line(safeLine(title));
      }
      for (const line of lines) log.line(`  ${safeLine(line)}`);
    },
    group: async (name, action, cameTo = () => 'done') => {
      log.startGroup(safeLine(name));
      const close = chart.step(name);
      try {
        const value = await action();
        close(cameTo(value));
        return value;
      } catch (error) {
        close(cancelled?.aborted === true ? 'open' : 'failed');
        throw error;
      } finally {
        log.endGroup();
      }
    },
    warnings: () => warnings,
    lint: (found) => {
      // What the files say comes first, and what the nodes say of them may use half of what is left then.
      const again = findings.length > 0;
      const limit = (level: 'warning' | 'notice'): number => {
        const room = MAX_ANNOTATIONS - annotated[level];
        return Math.max(0, again ? Math.ceil(room / 2) : room - LEFT_BY_LINT[level]);
      };
      findings.push(...found);
      const chosen = mostImportant(found, { warning: limit('warning'), notice: limit('notice') });
      const many = found.length > MAX_UNFOLDED;
      if (many) log.startGroup(`Lint of the stack files: ${plural(found.length, 'finding')}`);
      for (const finding of found) {
        const { id, level, message, mend, file, line } = finding;
        const text = safeLine(`${placeOf(finding)}: ${message}. ${mend} (${id})`);
        tell(level, text, line === null ? { file } : { file, line }, chosen.has(finding));
      }
      if (many) log.endGroup();
    },
    findings: () => [...findings].sort(byPlace),
    timeline: () => timeline,
    chart,
    bars: () => chart.bars(),
    debug: debug && ((text) => debug(`${clockTime(elapsed()).padStart(5)}  ${safeLine(text)}`)),
  };
}
