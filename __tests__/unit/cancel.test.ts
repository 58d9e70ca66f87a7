import { expect, it } from '@jest/globals';
import { Cancellation, HURRY_MS, OVER_AT_ONCE_MS, OVER_MS } from '../../src/cancel.js';

/** What GitHub's runner leaves between its first signal and the end of the process. */
const SECOND_SIGNAL_MS = 7500;
const END_MS = 10_000;

function started(): {
  readonly cancellation: Cancellation;
  readonly pass: (ms: number) => void;
  readonly state: () => readonly boolean[];
} {
  let now = 0;
  const timers: { readonly at: number; readonly call: () => void }[] = [];
  const cancellation = new Cancellation((ms, call) => timers.push({ at: now + ms, call }));
  return {
    cancellation,
    pass: (ms) => {
      const [from, to] = [now, now + ms];
      now = to;
      for (const { at, call } of timers) if (at > from && at <= to) call();
    },
    state: () => {
      const { signal, hurry, over } = cancellation;
      return [signal, hurry, over].map(({ aborted }) => aborted);
    },
  };
}

it('gives up in three steps, all of them before the runner ends the process', () => {
  const { cancellation, pass, state } = started();
  expect(state()).toEqual([false, false, false]);
  cancellation.signalled('SIGINT');
  expect(state()).toEqual([true, false, false]);
  expect(cancellation.signal.reason).toEqual(new Error('cancelled by SIGINT'));
  pass(HURRY_MS);
  expect(state()).toEqual([true, true, false]);
  pass(OVER_MS - HURRY_MS);
  expect(state()).toEqual([true, true, true]);
  expect(HURRY_MS).toBeLessThan(SECOND_SIGNAL_MS);
  expect(OVER_MS).toBeLessThan(END_MS);
  expect(SECOND_SIGNAL_MS + OVER_AT_ONCE_MS).toBeLessThan(END_MS);
});

it('leaves the rest to post at a second signal', () => {
  const { cancellation, pass, state } = started();
  cancellation.signalled('SIGINT');
  pass(10);
  cancellation.signalled('SIGTERM');
  expect(state()).toEqual([true, true, false]);
  expect(cancellation.signal.reason).toEqual(new Error('cancelled by SIGINT'));
  pass(OVER_AT_ONCE_MS);
  expect(state()).toEqual([true, true, true]);
});
