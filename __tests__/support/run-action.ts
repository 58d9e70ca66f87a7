/** Runs the whole action of src/action.ts on a fake swarm, on its clock, and keeps all it said. */
import { run } from '../../src/action.js';
import { renderStack } from '../../src/compose/render.js';
import { inputDefaults, parseInputs, type InputName } from '../../src/inputs.js';
import type { Left } from '../../src/ledger/left.js';
import { runFacts, type Run } from '../../src/ledger/run.js';
import { undoText } from '../../src/modes/cancel.js';
import { createNarrator } from '../../src/report/narrator.js';
import type { RunReport } from '../../src/report/outcome.js';
import { InvalidInput } from '../../src/errors.js';
import type { Connect } from '../../src/session.js';
import { fillIn } from '../../src/verify/check.js';
import type { Probe } from '../../src/verify/probe.js';
import type { FakeSwarm } from './fake-swarm.js';

export interface Attempt {
  readonly report: RunReport;
  readonly log: readonly string[];
  /** The levels of those lines of the log that are annotations, too. */
  readonly annotations: readonly ('warning' | 'notice')[];
  /** What was kept for `post`, in order; ends with '' where the run cleaned up itself. */
  readonly remembered: readonly string[];
  /** What `post` would put the stack back to, in order; the last one counts, undefined is nothing. */
  readonly undos: readonly (string | undefined)[];
  /** What `post` would have to put right in the swarm. */
  readonly left: Left;
}

export interface Asked {
  readonly yaml: string;
  readonly inputs?: Partial<Record<InputName, string>>;
  readonly cancel?: AbortController;
  /** Aborted when a cancelled run is to leave the rest to `post`. */
  readonly hurry?: AbortController;
  /** Aborted when there is time for the report alone. */
  readonly over?: AbortController;
  /** The workflow run; attempt 1 of one without a number where it is not told. */
  readonly run?: Partial<Run>;
  /** Answers the checks of `verify`. */
  readonly probe?: Probe;
  /** In place of the connection to the fake swarm. */
  readonly connect?: Connect;
}

let runs = 0;

export async function runAction(swarm: FakeSwarm, asked: Asked): Promise<Attempt> {
  const log: string[] = [];
  const annotations: ('warning' | 'notice')[] = [];
  const remembered: string[] = [];
  const raw: Partial<Record<InputName, string>> = {
    stack: 'shop',
    host: 'local',
    timeout: '10m',
    'progress-timeout': '1m',
    'stable-for': '1s',
    lock: 'false',
    history: '0',
    ...asked.inputs,
  };
  const undos: (string | undefined)[] = [];
  let left: Left = {};
  runs += 1;
  const name = runs.toString(16).padStart(32, '0');
  const report = await run({
    inputs: () =>
      parseInputs((input) => raw[input] ?? inputDefaults[input], {
        agentSocket: undefined,
        checkPrivateKey: () => undefined,
      }),
    renderStack: (inputs) =>
      renderStack({
        files: [{ path: 'compose.yaml', text: Buffer.from(asked.yaml) }],
        stack: inputs.stack,
        variables: new Map(),
        allowUnset: false,
        profiles: inputs.compose.profiles,
        workingDirectory: '/nowhere',
        home: undefined,
        readFile: () => 'missing',
      }),
    checks: ({ verify, compose }) => {
      const { checks, problems } = fillIn(verify.checks, compose.env, false);
      const [first, ...more] = problems;
      if (first !== undefined) throw new InvalidInput([first, ...more]);
      return checks;
    },
    probe: asked.probe ?? (() => Promise.resolve({ error: 'nobody answers in this test' })),
    connect: () => asked.connect ?? swarm.connect,
    narrator: createNarrator(
      {
        line: (text) => log.push(text),
        warning: (text) => {
          annotations.push('warning');
          log.push(`warning: ${text}`);
        },
        notice: (text) => {
          annotations.push('notice');
          log.push(`notice: ${text}`);
        },
        startGroup: (text) => log.push(`> ${text}`),
        endGroup: () => undefined,
      },
      swarm.clock,
      (asked.cancel ?? new AbortController()).signal,
    ),
    clock: swarm.clock,
    today: () => new Date(Date.UTC(2026, 0, 1) + swarm.clock.now()),
    randomName: () => name,
    run: { ...runFacts({}), ...asked.run },
    rememberWorkspace: (text) => remembered.push(text),
    rememberLeft: (part) => {
      left = { ...left, ...part };
    },
    rememberUndo: (undo) => undos.push(undo === undefined ? undefined : undoText(undo)),
    signal: (asked.cancel ?? new AbortController()).signal,
    hurry: (asked.hurry ?? new AbortController()).signal,
    over: (asked.over ?? new AbortController()).signal,
  });
  return { report, log, annotations, remembered, left, undos };
}

/** A stack file of services by name: the image, and what else it says. */
export function stackFile(
  services: Readonly<
    Record<
      string,
      {
        readonly image: string;
        readonly replicas?: number;
        readonly global?: boolean;
        readonly failureAction?: 'pause' | 'continue' | 'rollback';
        readonly environment?: readonly string[];
      }
    >
  >,
): string {
  return JSON.stringify({
    services: Object.fromEntries(
      Object.entries(services).map(([name, service]) => [
        name,
        {
          image: service.image,
          environment: service.environment ?? [],
          deploy: {
            ...(service.global === true ? { mode: 'global' } : { replicas: service.replicas ?? 1 }),
            update_config: { failure_action: service.failureAction ?? 'pause' },
          },
        },
      ]),
    ),
  });
}
