/**
 * The real test swarm for the suites: each scenario gets a stack of its own, runs the committed
 * bundle on it as the runner would, and reads back from the swarm what has become of it.
 */
import { describe, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { withTestbed } from '../../testbed/with.mjs';
import { attach } from '../../testbed/index.mjs';
import { until } from '../../testbed/lib/wait.mjs';
import type { Node, Testbed } from './live.js';
import { digestOf, quickUpdate, Stack } from './stack.mjs';

export { digestOf, quickUpdate, Stack, until };
export type { LiveService, LiveTask, Node, Run, RunOptions, Testbed } from './live.js';

/** Set by the global set-up: the swarm to use, or why there is none. */
const NAME = process.env['SWARM_DEPLOY_TESTBED'];
const OBSTACLE = process.env['SWARM_DEPLOY_NO_SWARM'];

/** Longer than any scenario takes: the test swarm may have to share its machine. */
const LIMIT_MS = 900_000;

let attached: Promise<Testbed> | undefined;

/** The test swarm that the global set-up has brought up. */
export function testbed(): Promise<Testbed> {
  if (NAME === undefined) throw new Error('The global set-up of the swarm project did not run.');
  attached ??= attach(NAME);
  return attached;
}

/** A group of scenarios; reported as skipped, with the reason, where no swarm can run. */
export function onSwarm(title: string, scenarios: () => void): void {
  if (OBSTACLE === undefined) describe(title, scenarios);
  else describe.skip(`${title} (NOT RUN: ${OBSTACLE})`, scenarios);
}

/**
 * One scenario, on a stack of its own that is removed afterwards. Scenarios of a file run a few at a
 * time, as most of what they do is waiting.
 */
export function scenario(
  title: string,
  body: (stack: Stack) => Promise<void>,
  limitMs = LIMIT_MS,
): void {
  it.concurrent(title, () => onSharedSwarm(body), limitMs);
}

/** The same scenario for each row. */
export function scenarios<Row>(
  rows: readonly Row[],
  title: (row: Row) => string,
  body: (stack: Stack, row: Row) => Promise<void>,
): void {
  for (const row of rows) scenario(title(row), (stack) => body(stack, row));
}

/** A scenario that no other one may disturb. */
export function aloneScenario(title: string, body: (stack: Stack) => Promise<void>): void {
  it(title, () => onSharedSwarm(body), LIMIT_MS);
}

/** A scenario on a test swarm of its own, with the same engine, which goes away with it. */
export function ownSwarmScenario(
  title: string,
  nodes: { readonly managers: number; readonly workers: number },
  body: (stack: Stack) => Promise<void>,
): void {
  const play = async (): Promise<void> => {
    const { name, engine } = await testbed();
    await withTestbed(`${name}-${randomBytes(2).toString('hex')}`, { engine, ...nodes }, (bed) =>
      withStory(new Stack(bed), body),
    );
  };
  it.concurrent(title, play, LIMIT_MS);
}

async function onSharedSwarm(body: (stack: Stack) => Promise<void>): Promise<void> {
  const stack = new Stack(await testbed());
  try {
    await withStory(stack, body);
  } finally {
    await stack.remove();
  }
}

/** Adds the logs of its runs to the message of a scenario that fails. */
async function withStory(stack: Stack, body: (stack: Stack) => Promise<void>): Promise<void> {
  try {
    await body(stack);
  } catch (error) {
    const words = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(`${words}\n\n${stack.story()}`);
  }
}

/** What a node's sshd logged from now on. */
export function sshdLogOf(node: Node): () => readonly string[] {
  const read = (): string => readFileSync(join(node.directory, 'log', 'sshd.log'), 'utf8');
  const before = read().length;
  return () => read().slice(before).split('\n').filter(Boolean);
}
