/** Entry of the bundle, for `main` and `post` alike; the only place that fails the step. */
import { randomBytes } from 'node:crypto';
import { homedir } from 'node:os';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from './action.js';
import { Cancellation } from './cancel.js';
import { loadChecks, loadStack } from './compose-files.js';
import { credentialLines, parseInputs, secretValues, type Inputs } from './inputs.js';
import { isLeft, settleLeft, type Left } from './ledger/left.js';
import { runFacts } from './ledger/run.js';
import { undoFrom, undoText, type Undo } from './modes/cancel.js';
import { finishUndo, removeLeft } from './post.js';
import { keepTidy, keepYoungSmall } from './memory.js';
import { createNarrator, type Narrator } from './report/narrator.js';
import {
  actionsLog,
  addSummary,
  annotateFailure,
  isPost,
  keepText,
  maskSecrets,
  publish,
  rawInput,
  recallState,
  rememberState,
  takeText,
} from './report/github.js';
import type { Clock } from './rollout/watch.js';
import { errorLine, safeCell, safeLines } from './report/text.js';
import { Session, type Connect } from './session.js';
import { connect } from './transport/connect.js';
import { unverifiedWarning } from './transport/host-key.js';
import { localTransport } from './transport/local.js';
import type { World } from './world.js';
import { checkPrivateKey } from './transport/private-key.js';
import { secretsOf } from './verify/check.js';
import { probe } from './verify/probe.js';

const clock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal === undefined ? {} : { signal }),
};

function readInputs(): Inputs {
  // Before anything can be said of them: inputs that are refused are told of, too.
  maskSecrets(credentialLines(rawInput));
  const inputs = parseInputs(rawInput, {
    agentSocket: process.env['SSH_AUTH_SOCK'],
    checkPrivateKey,
  });
  maskSecrets(secretValues(inputs));
  return inputs;
}

function connector({ connection }: Inputs, narrator: Narrator): Connect {
  if (connection.kind === 'local')
    return async (accept) => {
      const transport = localTransport();
      await accept(transport);
      return transport;
    };
  return (accept) =>
    connect({
      targets: connection.managers,
      credentials: connection.credentials,
      jump: connection.jump,
      hostKeys: connection.hostKeys,
      connectTimeoutMs: connection.connectTimeoutMs,
      log: narrator.say,
      onUnverified: (seen) => narrator.warn(unverifiedWarning(seen)),
      accept,
    });
}

/** The run's world; `left` is kept by whoever asks for it. */
function worldOf(narrator: Narrator, cancellation: Cancellation): World {
  let left: Left = {};
  const { signal, hurry, over } = cancellation;
  return {
    inputs: readInputs,
    renderStack: (inputs) =>
      loadStack(inputs.compose, inputs.stack, {
        cwd: process.cwd(),
        environment: process.env,
        home: homedir(),
      }),
    checks: (inputs) => {
      const checks = loadChecks(inputs.verify.checks, inputs.compose, {
        cwd: process.cwd(),
        environment: process.env,
        home: homedir(),
      });
      maskSecrets(checks.flatMap(secretsOf));
      return checks;
    },
    probe,
    connect: (inputs) => connector(inputs, narrator),
    narrator,
    clock,
    randomName: () => randomBytes(16).toString('hex'),
    today: () => new Date(),
    run: runFacts(process.env),
    rememberWorkspace: (name) => rememberState('workspace', name),
    rememberLeft: (part) => {
      left = { ...left, ...part };
      rememberState('left', isLeft(left) ? JSON.stringify(left) : '');
    },
    rememberUndo: (undo) => keepText(undo === undefined ? undefined : undoText(undo)),
    ...{ signal, hurry, over },
  };
}

async function main(): Promise<void> {
  keepYoungSmall();
  keepTidy();
  const cancellation = new Cancellation();
  const narrator = createNarrator(actionsLog, clock, cancellation.signal);
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.on(name, () => {
      if (!cancellation.signal.aborted) narrator.say(`${name}: stopping; nothing new is begun`);
      cancellation.signalled(name);
    });
  const green = await publish(await run(worldOf(narrator, cancellation)));
  process.exitCode = green ? 0 : 1;
  // What did not stop in time must not keep the process until the runner kills it.
  if (cancellation.signal.aborted) process.exit();
}

/** What main could not put right, because it was cancelled, lost the connection or was killed. */
async function post(): Promise<void> {
  const workspace = recallState('workspace');
  const left = recallState('left');
  const undo = takeText();
  if (workspace === '' && left === '' && undo === undefined) return;
  const narrator = createNarrator(actionsLog, clock);
  const inputs = readInputs();
  const known = left === '' ? {} : (JSON.parse(left) as Left);
  if (workspace !== '') {
    // On every manager that the run may have been connected to.
    const connects = eachManager(inputs).map((each) => connector(each, narrator));
    await removeLeft(connects, workspace, narrator);
  }
  if (undo !== undefined) await endUndo(inputs, undoFrom(undo), known, narrator);
  if (left !== '') await endInSwarm(inputs, known, narrator);
}

/** The stack of a cancelled run, as it was before. */
async function endUndo(
  inputs: Inputs,
  undo: Undo,
  { lease }: Left,
  narrator: Narrator,
): Promise<void> {
  narrator.say(`putting ${undo.stack} back, as its run was cancelled (on-cancel: rollback)`);
  const world = worldOf(narrator, new Cancellation());
  const { outcome, message, hint } = await finishUndo(world, inputs, undo, lease);
  const words = `${undo.stack} after the cancelled run: ${outcome}. ${message}`;
  const isBack = outcome === 'rolled-back';
  if (isBack) narrator.say(words);
  else {
    annotateFailure(hint === undefined ? words : `${words}\n${hint}`);
    process.exitCode = 1;
  }
  await addSummary(`${isBack ? '↩️' : '❌'} ${safeCell(words)}\n\n`);
}

/** The lock and the revision of a run that is over, by whatever manager answers. */
async function endInSwarm(inputs: Inputs, left: Left, narrator: Narrator): Promise<void> {
  try {
    const session = await Session.open(connector(inputs, narrator), inputs.docker);
    try {
      const done = await settleLeft(session.engine, left);
      for (const line of done) narrator.say(line);
      if (done.length === 0) narrator.say('nothing of this run is left in the swarm');
    } finally {
      await session.close();
    }
  } catch (error) {
    narrator.warn(
      `could not end this run in the swarm: ${errorLine(error)}; its lock expires by itself within a minute`,
    );
  }
}

function eachManager(inputs: Inputs): readonly Inputs[] {
  const { connection } = inputs;
  if (connection.kind === 'local') return [inputs];
  return connection.managers.map((manager) => ({
    ...inputs,
    connection: { ...connection, managers: [manager] },
  }));
}

(isPost() ? post() : main()).catch((error: unknown) => {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  for (const line of safeLines(text).split('\n')) actionsLog.line(line);
  process.exitCode = 1;
});
