/**
 * Plays a scenario of the truth table with one tool: deploys what is there before, photographs the
 * stack, lets the tool deploy, and has the end state checked by what the swarm itself says.
 */
import assert from 'node:assert/strict';
import { digestOf } from './stack.mjs';

/**
 * @typedef {import('./stack.mjs').Stack} Stack
 * @typedef {import('./live.js').Compose} Compose
 * @typedef {import('./live.js').Inputs} Inputs
 * @typedef {import('./live.js').LiveTask} LiveTask
 * @typedef {import('./live.js').Run} Run
 *
 * @typedef {object} Deploy what a workflow has in its files and says in its step
 * @property {Compose} services
 * @property {Compose} [more] other top-level keys of the stack file
 * @property {Record<string, string>} [files] beside the stack file
 * @property {Inputs} [inputs]
 *
 * @typedef {object} Photo the stack before the deploy, as the swarm shows it
 * @property {Record<string, unknown>} specs
 * @property {Record<string, unknown>} objects networks, configs and secrets
 * @property {Record<string, readonly string[]>} running ids of running tasks
 * @property {Record<string, readonly string[]>} images what the tasks that are meant to run are of
 *
 * @typedef {object} Expected
 * @property {string} outcome
 * @property {string | readonly string[]} reason any of them, where Swarm may be faster or slower
 *
 * @typedef {object} Plan
 * @property {string} id
 * @property {string} title what happens
 * @property {(stack: Stack) => Compose | readonly Compose[]} [before] services deployed first
 * @property {(stack: Stack) => Promise<void>} [arrange] after that, before the photograph
 * @property {(stack: Stack) => Compose} deploy the services of the deploy in question
 * @property {(stack: Stack) => Omit<Deploy, 'services' | 'inputs'>} [more]
 * @property {(stack: Stack) => Omit<Deploy, 'services' | 'inputs'>} [moreBefore]
 * @property {Inputs} [inputs]
 * @property {(stack: Stack) => Promise<unknown>} [disturb] while the deploy is being waited for
 * @property {(stack: Stack) => Promise<unknown>} [race] from right before the deploy on
 * @property {boolean} [alone] it disturbs nodes; `repair` of the test swarm undoes that
 * @property {boolean} [overlay] the stack has a network of its own
 * @property {string} outcome
 * @property {string | readonly string[]} reason
 * @property {string | readonly string[] | undefined} [cause] the reason given for a service
 * @property {string} end the right end in words
 * @property {(stack: Stack, before: Photo) => Promise<void>} check the right end, in the swarm
 * @property {((run: Run, stack: Stack) => void | Promise<void>) | undefined} [says] what our run must say besides
 *
 * @typedef {Plan & {except?: Record<string, Partial<Plan>>}} Scenario `except`: by the start of an
 *   engine's version, what is otherwise there
 *
 * @typedef {object} Tool
 * @property {(stack: Stack, deploy: Deploy) => Promise<unknown>} establish
 * @property {(stack: Stack, deploy: Deploy, onWatch: () => Promise<unknown>) => Promise<unknown>} deploy
 */

const GREEN = ['deployed', 'unchanged', 'planned', 'reported', 'removed'];

/** @param {Pick<Plan, 'outcome'>} plan */
export const isGreen = ({ outcome }) => GREEN.includes(outcome);

/**
 * @param {Scenario} scenario
 * @param {string} engineVersion
 * @returns {Plan}
 */
export function planFor({ except = {}, ...plan }, engineVersion) {
  const key = Object.keys(except).find((version) => engineVersion.startsWith(`${version}.`));
  return { ...plan, ...(key === undefined ? {} : except[key]) };
}

/** @param {LiveTask} task */
const isWanted = ({ DesiredState }) => !['shutdown', 'remove'].includes(DesiredState);

/**
 * The tasks that are meant to run, whether they do or not.
 * @param {Stack} stack
 * @param {string} name
 */
export async function wantedTasks(stack, name) {
  return (await stack.tasks(name)).filter(
    (task) => isWanted(task) && task.Status.State !== 'complete',
  );
}

/** @param {readonly LiveTask[]} tasks */
const digests = (tasks) => tasks.map(({ Spec }) => digestOf(Spec.ContainerSpec.Image)).sort();

/**
 * @param {Stack} stack
 * @returns {Promise<Photo>}
 */
export async function photograph(stack) {
  const specs = await stack.specs();
  /** @type {Photo} */
  const photo = { specs, objects: await stack.objectSpecs(), running: {}, images: {} };
  for (const name of Object.keys(specs)) {
    photo.running[name] = (await stack.running(name)).map(({ ID }) => ID);
    photo.images[name] = digests(await wantedTasks(stack, name));
  }
  return photo;
}

/**
 * Deploys what was there before, and plays the scenario up to the tool's verdict.
 * @template Verdict
 * @param {Plan} plan
 * @param {Stack} stack
 * @param {{establish: Tool['establish'], deploy: (stack: Stack, deploy: Deploy,
 *   onWatch: () => Promise<unknown>) => Promise<Verdict>}} tool
 * @returns {Promise<{verdict: Verdict, before: Photo, seconds: number}>} `seconds`: what the tool took
 */
export async function play(plan, stack, tool) {
  if (plan.overlay === true) stack.useOverlay();
  for (const services of [plan.before?.(stack) ?? []].flat())
    await tool.establish(stack, { services, ...plan.moreBefore?.(stack) });
  await plan.arrange?.(stack);
  const before = await photograph(stack);
  /** @type {Promise<unknown> | undefined} */
  let disturbing;
  const onWatch = () => {
    disturbing ??= plan.disturb?.(stack) ?? Promise.resolve();
    disturbing.catch(() => undefined); // awaited below
    return disturbing;
  };
  const racing = plan.race?.(stack);
  racing?.catch(() => undefined); // awaited below
  const begun = performance.now();
  const verdict = await tool.deploy(
    stack,
    {
      services: plan.deploy(stack),
      ...plan.more?.(stack),
      ...(plan.inputs === undefined ? {} : { inputs: plan.inputs }),
    },
    onWatch,
  );
  const seconds = Math.round((performance.now() - begun) / 100) / 10;
  await disturbing;
  await racing;
  return { verdict, before, seconds };
}

/** @type {{establish: Tool['establish'], deploy: (stack: Stack, deploy: Deploy, onWatch: () => Promise<unknown>) => Promise<Run>}} */
export const ours = {
  establish: async (stack, { services, more, files }) => {
    const { outcome } = await stack.run({
      files: { ...files, 'docker-stack.yml': stack.file(services, more) },
    });
    assert.ok(['deployed', 'unchanged'].includes(outcome), `the stack before: ${outcome}`);
  },
  deploy: (stack, { services, more, files, inputs }, onWatch) =>
    stack.run({
      files: { ...files, 'docker-stack.yml': stack.file(services, more) },
      ...(inputs === undefined ? {} : { inputs }),
      onLine: (line) => {
        if (line.includes('::group::Watch')) void onWatch();
      },
    }),
};

/**
 * @param {string | readonly string[]} expected
 * @param {string | undefined} actual
 * @param {string} what
 */
function assertOneOf(expected, actual, what) {
  assert.ok(
    [expected].flat().includes(actual ?? ''),
    `${what}: ${actual}, not ${[expected].flat().join(' or ')}`,
  );
}

/**
 * Whether our run said what it must.
 * @param {Plan} plan
 * @param {Run} run
 */
export function assertVerdict(plan, run) {
  assert.equal(`${run.outcome} (${run.reason})`.replace(/ \(.*/, ''), plan.outcome, run.reason);
  assertOneOf(plan.reason, run.reason, 'reason');
  assert.deepEqual([run.code, run.postCode], [isGreen(plan) ? 0 : 1, 0], 'exit codes');
  if (plan.cause !== undefined) {
    const reasons = run.services.map(({ reason }) => reason).filter((reason) => reason !== '');
    for (const reason of reasons) assertOneOf(plan.cause, reason, 'cause');
    assert.notEqual(reasons.length, 0, 'no service has a cause');
  }
  if (isGreen(plan)) return;
  assert.match(run.log, /::error/);
  assert.ok(run.summary.includes(run.reason), 'the summary has the reason');
}

/**
 * The whole scenario for ours, asserted, the clean-up included.
 * @param {Scenario} scenario
 * @param {Stack} stack
 * @returns {Promise<Run>}
 */
export async function prove(scenario, stack) {
  const plan = planFor(scenario, stack.bed.engineVersion);
  try {
    const { verdict, before } = await play(plan, stack, ours);
    assertVerdict(plan, verdict);
    await plan.check(stack, before);
    await plan.says?.(verdict, stack);
    return verdict;
  } finally {
    if (plan.alone === true) await stack.bed.repair();
  }
}
