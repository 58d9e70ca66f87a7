/** Plays many scenarios on one test swarm: most of what they do is waiting, so a few at a time. */
import { errorText } from '../../testbed/lib/wait.mjs';
import { Stack } from '../../__tests__/support/stack.mjs';

/**
 * @typedef {import('../../__tests__/support/live.js').Testbed} Testbed
 */

/**
 * Those that disturb nodes come last, one after the other.
 * @template {{ alone?: boolean }} Plan
 * @param {readonly Plan[]} plans
 * @param {number} atOnce how many of the others at a time
 * @param {(plan: Plan) => Promise<void>} playOne
 */
export async function playAll(plans, atOnce, playOne) {
  const left = plans.filter(({ alone }) => alone !== true);
  const work = async () => {
    for (let plan = left.shift(); plan !== undefined; plan = left.shift()) await playOne(plan);
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  for (const plan of plans.filter(({ alone }) => alone === true)) await playOne(plan);
}

/**
 * Gives a player a stack of its own, and takes it away again.
 * @template {{ id: string, alone?: boolean }} Plan
 * @template Result
 * @param {Testbed} bed
 * @param {Plan} plan
 * @param {(plan: Plan, stack: Stack) => Promise<Result>} player
 * @returns {Promise<Result>}
 * @throws with the logs of the stack's runs
 */
export async function onOwnStack(bed, plan, player) {
  const stack = new Stack(bed);
  try {
    return await player(plan, stack);
  } catch (error) {
    throw new Error(`${plan.id}: ${errorText(error)}\n${stack.story()}`, { cause: error });
  } finally {
    await stack.remove();
    if (plan.alone === true) await bed.repair();
  }
}
