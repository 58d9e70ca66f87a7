/** Tells a person what happens while it happens, and remembers it for the report. */
import type { Position } from '../errors.js';
import { mostImportant, placeOf, type Finding } from '../lint/lint.js';
import type { Clock } from '../rollout/watch.js';
import type { TimelineEntry } from './outcome.js';
import { clockTime, safeLine } from './text.js';

/** Where the words go: the Actions log, or a test. */
export interface Log {
  readonly line: (text: string) => void;
  readonly warning: (text: string, position: Position | undefined) => void;
  readonly notice: (text: string, position: Position | undefined) => void;
  readonly startGroup: (name: string) => void;
  readonly endGroup: () => void;
}

export interface Narrator {
  /** One line of the log, with the time since the run began. */
  readonly say: (text: string) => void;
  /** What went wrong, so that it stands out in the log; not yet the verdict. */
  readonly fail: (text: string) => void;
  /** An annotation, and an entry in the summary. */
  readonly warn: (text: string, position?: Position) => void;
  /** Lines that belong together under a title, as those of a table do: without the time. */
  readonly block: (title: string, lines: readonly string[]) => void;
  /** A foldable part of the log. */
  readonly group: <T>(name: string, action: () => Promise<T>) => Promise<T>;
  readonly warnings: () => readonly string[];
  /** Findings of the lint: the most important ones as annotations, all of them in log and report. */
  readonly lint: (findings: readonly Finding[]) => void;
  readonly findings: () => readonly Finding[];
  readonly timeline: () => readonly TimelineEntry[];
}

/** The timeline is for people: beyond this it says nothing more. */
const MAX_TIMELINE = 2000;
/** Of each kind in one step; GitHub drops the rest. */
const MAX_ANNOTATIONS = 10;

export function createNarrator(log: Log, clock: Clock): Narrator {
  const begun = clock.now();
  const timeline: TimelineEntry[] = [];
  const warnings: string[] = [];
  const findings: Finding[] = [];
  const say = (text: string): void => {
    const at = clock.now() - begun;
    const safe = safeLine(text);
    if (timeline.length < MAX_TIMELINE) timeline.push({ at, text: safe });
    log.line(`${clockTime(at).padStart(5)}  ${safe}`);
  };
  return {
    say,
    fail: (text) => say(`FAILED  ${text}`),
    warn: (text, position) => {
      const safe = safeLine(text);
      if (warnings.includes(safe)) return;
      warnings.push(safe);
      log.warning(safe, position);
    },
    block: (title, lines) => {
      if (lines.length === 0) return;
      log.line('');
      log.line(safeLine(title));
      for (const line of lines) log.line(`  ${safeLine(line)}`);
    },
    group: async (name, action) => {
      log.startGroup(name);
      try {
        return await action();
      } finally {
        log.endGroup();
      }
    },
    warnings: () => warnings,
    lint: (found) => {
      findings.push(...found);
      const annotated = mostImportant(found, MAX_ANNOTATIONS);
      for (const finding of found) {
        const { id, level, message, mend, file, line } = finding;
        const text = safeLine(`${placeOf(finding)}: ${message}. ${mend} (${id})`);
        if (annotated.has(finding)) log[level](text, line === null ? { file } : { file, line });
        else log.line(`${level}: ${text}`);
      }
    },
    findings: () => findings,
    timeline: () => timeline,
  };
}
