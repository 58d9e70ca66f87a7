/** What took how long in a run, service by service, and the picture of it that GitHub draws. */
import { plural, spokenTime } from './text.js';

/** `open`: it was cut off, or the run ended before it did. */
export type BarState = 'done' | 'failed' | 'open';

/** Times are milliseconds since the run began. */
export interface Bar {
  /** A step is a phase of the run; a rollout is a service on its way, `back` on the way back. */
  readonly kind: 'step' | 'rollout' | 'back';
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly state: BarState;
  /** How far a service came, as `3/3`; '' for steps. */
  readonly reached: string;
}

interface Open extends Omit<Bar, 'to' | 'state' | 'reached'> {
  to: number | undefined;
  state: BarState;
  reached: string;
}

/** Services of a stack that is larger are not told apart. */
const MAX_BARS = 4000;

/** Collects bars while the run goes on. */
export class Chart {
  readonly #now: () => number;
  readonly #bars: Open[] = [];
  readonly #services = new Map<string, Open>();

  /** @param now milliseconds since the run began */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** @returns ends the step, as one that came to this; `open`: as one that was cut off */
  step(name: string): (state: BarState) => void {
    const bar = this.#add('step', name);
    return (state) => {
      bar.to = this.#now();
      bar.state = state;
    };
  }

  /**
   * A service as it was last seen.
   * @param kind of the rollout
   * @param reached such as `2/3`
   */
  service(kind: 'rollout' | 'back', name: string, state: BarState, reached: string): void {
    const key = `${kind} ${name}`;
    let bar = this.#services.get(key);
    if (bar === undefined) {
      // What is as it should be from the first look on has taken no time.
      if (state === 'done') return;
      bar = this.#add(kind, name);
      this.#services.set(key, bar);
    }
    if (bar.state === state && bar.reached === reached) return;
    bar.state = state;
    bar.reached = reached;
    bar.to = state === 'done' ? this.#now() : undefined;
  }

  /** All of them, those that are not over as far as they came. */
  bars(): readonly Bar[] {
    const now = this.#now();
    return this.#bars.map((bar) => ({ ...bar, to: bar.to ?? now }));
  }

  /** Services that did not get there have come to their end with the phase that they were in. */
  close(kind: 'rollout' | 'back'): void {
    for (const bar of this.#services.values()) if (bar.kind === kind) bar.to ??= this.#now();
  }

  #add(kind: Bar['kind'], name: string): Open {
    const from = this.#now();
    const bar: Open = { kind, name, from, to: undefined, state: 'open', reached: '' };
    if (this.#bars.length < MAX_BARS) this.#bars.push(bar);
    return bar;
  }
}

/** More of them are a wall on a phone, and GitHub draws no diagram of more than 50,000 characters. */
const MAX_DRAWN = 24;
const MAX_STEPS = 10;
const MAX_NAME = 48;
/** Of the whole; shorter steps are not seen, and left out unless they failed. */
const LEAST_SHARE = 0.01;
/** Seconds between two marks of the axis, of which there is room for ten. */
const TICKS = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600];

const WEIGHT: Readonly<Record<BarState, number>> = { failed: 0, open: 1, done: 2 };

/** The bars that tell most: what failed, then what took longest; in the order in which they began. */
function chosen(bars: readonly Bar[], max: number): readonly Bar[] {
  const ranked = [...bars].sort(
    (a, b) => WEIGHT[a.state] - WEIGHT[b.state] || b.to - b.from - (a.to - a.from),
  );
  const kept = new Set(ranked.slice(0, max));
  return bars.filter((bar) => kept.has(bar)).sort((a, b) => a.from - b.from);
}

const SIGN: Readonly<Record<BarState, string>> = { done: '✓', failed: '✗', open: '…' };
/** Those with a tag, but `crit`, have names beside their bars in black, also on GitHub's black. */
const TAG: Readonly<Record<BarState, string>> = { done: '', failed: 'crit, ', open: 'done, ' };
const SECTION: Readonly<Record<Bar['kind'], string>> = {
  step: 'Steps',
  rollout: 'Rollout',
  back: 'Back again',
};

/** Mermaid ends a name at a colon, and a line at a semicolon; `#` and `%` begin something else. */
function nameOf({ name, kind }: Bar): string {
  const plain = name.replace(/[^\p{L}\p{N} _.,()/-]+/gu, ' ').trim();
  if (plain.length <= MAX_NAME) return plain;
  const most = MAX_NAME - 3;
  // Services begin alike, with the name of their stack.
  return kind === 'step' ? `${plain.slice(0, most)}...` : `...${plain.slice(-most)}`;
}

/** Both ends of the picture go by local time, so that a clock that starts at midnight reads as elapsed. */
function clock(ms: number): string {
  const pad = (value: number, digits = 2): string => String(value).padStart(digits, '0');
  const [h, m, s] = [
    Math.floor(ms / 3_600_000),
    Math.floor(ms / 60_000) % 60,
    Math.floor(ms / 1000) % 60,
  ];
  return `2000-01-${pad(1 + Math.floor(h / 24))} ${pad(h % 24)}:${pad(m)}:${pad(s)}.${pad(ms % 1000, 3)}`;
}

function line(bar: Bar): string {
  const { from, to, state, reached } = bar;
  const words = [nameOf(bar), reached, spokenTime(to - from)].filter((text) => text !== '');
  const tookMs = Math.max(1, Math.round(to - from));
  return `  ${SIGN[state]} ${words.join(' ')} :${TAG[state]}${clock(Math.round(from))}, ${tookMs}ms`;
}

/**
 * A Mermaid gantt in a fence, with a line on what is left out; none where nothing was rolled out.
 * @param durationMs of the whole run
 */
export function ganttLines(bars: readonly Bar[], durationMs: number): readonly string[] {
  const services = bars.filter(({ kind }) => kind !== 'step');
  if (services.length === 0) return [];
  const seen = ({ kind, from, to, state }: Bar): boolean =>
    kind === 'step' && (state === 'failed' || to - from >= durationMs * LEAST_SHARE);
  const drawn = [...chosen(bars.filter(seen), MAX_STEPS), ...chosen(services, MAX_DRAWN)];
  const sections = (['step', 'rollout', 'back'] as const).flatMap((kind) => {
    const here = drawn.filter((bar) => bar.kind === kind);
    return here.length === 0 ? [] : [` section ${SECTION[kind]}`, ...here.map(line)];
  });
  const names = new Set(services.map(({ name }) => name));
  for (const { name } of drawn) names.delete(name);
  const left = names.size;
  return [
    '```mermaid',
    'gantt',
    ' dateFormat YYYY-MM-DD HH:mm:ss.SSS',
    ` axisFormat ${durationMs < 3_600_000 ? '%M:%S' : '%H:%M:%S'}`,
    ` tickInterval ${TICKS.find((seconds) => durationMs / 1000 / seconds <= 10) ?? 7200}second`,
    ...sections,
    '```',
    '',
    ...(left > 0 ? [`and ${plural(left, 'more service')}, not drawn`, ''] : []),
  ];
}
