/**
 * What is left of a run that is told to stop. GitHub's runner sends SIGINT, SIGTERM 7.5 s later, and
 * 2.5 s after that ends the process; then `post` runs, as long as the job's own limit allows (5 min).
 */

/** After the first signal; before the runner's second one, so that there is time to report. */
export const HURRY_MS = 6000;
/** After the first signal: the report takes the rest. */
export const OVER_MS = 8500;
/** The same after a second signal, whenever that comes. */
export const OVER_AT_ONCE_MS = 1000;

/** Calls once, after so many milliseconds, and keeps no process alive. */
export type After = (ms: number, call: () => void) => void;

const afterTimer: After = (ms, call) => {
  setTimeout(call, ms).unref();
};

/** The three steps in which a run gives up what it does. */
export class Cancellation {
  readonly #signal = new AbortController();
  readonly #hurry = new AbortController();
  readonly #over = new AbortController();
  readonly #after: After;

  constructor(after: After = afterTimer) {
    this.#after = after;
  }

  /** Nothing new is begun from here on. */
  get signal(): AbortSignal {
    return this.#signal.signal;
  }
  /** What is put back because of it is left to `post`. */
  get hurry(): AbortSignal {
    return this.#hurry.signal;
  }
  /** What has not stopped by itself is not waited for any more. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** @param name of the signal that the process got */
  signalled(name: string): void {
    const reason = new Error(`cancelled by ${name}`);
    const again = this.signal.aborted;
    this.#signal.abort(reason);
    if (again) this.#hurry.abort(reason);
    else this.#after(HURRY_MS, () => this.#hurry.abort(reason));
    this.#after(again ? OVER_AT_ONCE_MS : OVER_MS, () => {
      this.#hurry.abort(reason);
      this.#over.abort(reason);
    });
  }
}
