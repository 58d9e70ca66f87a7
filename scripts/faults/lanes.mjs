/** Plays the fault matrix: most cases side by side on one test swarm, the others alone on one of their own. */
import { playFault } from '../../__tests__/support/play-fault.mjs';
import { withTestbed } from '../../testbed/with.mjs';

/**
 * @typedef {import('../../__tests__/support/live.js').Testbed} Testbed
 * @typedef {import('../../__tests__/support/play-fault.mjs').Fault} Fault
 * @typedef {import('../../__tests__/support/play-fault.mjs').Lane} Lane
 * @typedef {import('../../__tests__/support/play-fault.mjs').Result} Result
 */

/** @type {Record<Exclude<Lane, 'shared'>, { managers: number, workers: number }>} */
const BEDS = { managers: { managers: 3, workers: 1 }, workers: { managers: 1, workers: 2 } };

/** @param {Fault} fault */
const laneOf = ({ lane = 'shared' }) => lane;

/**
 * Each case as soon as its lane comes to it; those of the test swarms of their own one after the other.
 * @param {Testbed} shared
 * @param {readonly Fault[]} faults
 * @param {number} atOnce how many at a time on the shared one
 * @param {(line: string) => void} [log]
 * @returns {ReadonlyMap<string, Promise<Result>>} by id; rejected where a case did not come about
 */
export function playLanes(shared, faults, atOnce, log = () => {}) {
  /** @type {Map<string, { play: (bed: Testbed) => Promise<void>, fail: (error: unknown) => void, done: Promise<Result> }>} */
  const cases = new Map();
  for (const fault of faults) {
    /** @type {(result: Result) => void} */
    let resolve = () => {};
    /** @type {(error: unknown) => void} */
    let fail = () => {};
    /** @type {Promise<Result>} */
    const done = new Promise((settled, failed) => {
      resolve = settled;
      fail = failed;
    });
    done.catch(() => {}); // whoever asks for it hears of it
    const play = (/** @type {Testbed} */ bed) => playFault(fault, bed).then(resolve, fail);
    cases.set(fault.id, { play, fail, done });
  }
  const play = async (/** @type {Testbed} */ bed, /** @type {Fault[]} */ queue) => {
    for (let fault = queue.shift(); fault; fault = queue.shift())
      await cases.get(fault.id)?.play(bed);
  };
  const together = faults.filter((fault) => laneOf(fault) === 'shared');
  for (let worker = 0; worker < atOnce; worker += 1) void play(shared, together);
  for (const lane of /** @type {const} */ (['managers', 'workers'])) {
    const queue = faults.filter((fault) => laneOf(fault) === lane);
    if (queue.length === 0) continue;
    const mine = [...queue];
    const name = `${shared.name}-${lane}`.slice(-31).replace(/^-+/, '');
    withTestbed(name, { engine: shared.engine, ...BEDS[lane], log }, (bed) =>
      play(bed, queue),
    ).catch((error) => {
      for (const { id } of mine) cases.get(id)?.fail(error);
    });
  }
  return new Map([...cases].map(([id, { done }]) => [id, done]));
}
