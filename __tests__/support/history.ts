/** What the suites of lock and history share: workflow runs, services for them, and what is left. */
import { createHash } from 'node:crypto';
import { digestOf, quickUpdate, until, type Run, type RunOptions, type Stack } from './swarm.js';

/** The commit of a workflow run. */
export const shaOf = (id: number): string =>
  createHash('sha1').update(`commit ${id}`).digest('hex');
export const urlOf = (id: number): string => `https://github.com/org/shop/actions/runs/${id}`;

/** The runner's variables of a workflow run. */
export const workflow = (id: number, attempt = 1): { readonly env: Record<string, string> } => ({
  env: {
    GITHUB_SERVER_URL: 'https://github.com',
    GITHUB_REPOSITORY: 'org/shop',
    GITHUB_SHA: shaOf(id),
    GITHUB_REF: 'refs/heads/main',
    GITHUB_ACTOR: 'ann',
    GITHUB_RUN_ID: String(id),
    GITHUB_RUN_NUMBER: String(id),
    GITHUB_RUN_ATTEMPT: String(attempt),
    GITHUB_WORKFLOW: 'Deploy',
    GITHUB_JOB: 'deploy',
    GITHUB_ACTION: 'swarm',
  },
});

/** The first failed task is the verdict. */
export const STRICT = { 'max-failures': 0 };
export const ROLLBACK = { inputs: { mode: 'rollback' } };

/** A service that is replaced in one go. */
export const web = (stack: Stack, tag: string, more: object = {}): object => ({
  image: stack.image('web', tag),
  deploy: { replicas: 2, update_config: quickUpdate },
  ...more,
});

export const crashing = (stack: Stack): object => ({
  image: stack.image('crash'),
  deploy: { replicas: 2, update_config: quickUpdate },
});

const GATE = '/tmp/open';

/** Runs that are healthy as soon as `open` lets them, and not before. */
export const gated = (stack: Stack, tag: string): object =>
  web(stack, tag, {
    healthcheck: {
      test: ['CMD', '/bin/busybox', 'test', '-e', GATE],
      interval: '1s',
      start_period: '10m',
    },
  });

/** Lets the two tasks of a gated service become healthy; those of a former version are none. */
export async function open(stack: Stack, service: string): Promise<void> {
  const opened = new Set<string>();
  await until('the gated tasks run', async () => {
    const tasks = (await stack.tasks(service)).filter(
      ({ DesiredState, Spec, Status }) =>
        DesiredState === 'running' &&
        Spec.ContainerSpec.Healthcheck?.Test?.includes(GATE) === true &&
        (Status.ContainerStatus?.ContainerID ?? '') !== '',
    );
    for (const task of tasks.filter(({ ID }) => !opened.has(ID)))
      try {
        await stack.inside(task, 'busybox', 'touch', GATE);
        opened.add(task.ID);
      } catch {
        return false; // its container has been created, but does not run yet
      }
    return opened.size === 2;
  });
}

/** Digests of what runs. */
export async function running(stack: Stack, service: string): Promise<readonly string[]> {
  const tasks = await stack.running(service);
  return [...new Set(tasks.map(({ Spec }) => digestOf(Spec.ContainerSpec.Image)))];
}

/** All that a run could write to, the engine's own counters included. */
export async function stateOf(stack: Stack): Promise<unknown> {
  const [services, objects, ledger] = [
    await stack.services(),
    await stack.objectSpecs(),
    await stack.ledger(),
  ];
  return { services, objects, ledger };
}

/** Number and end of every revision, oldest first: `1 deployed`, `4 deployed as 1`. */
export async function history(stack: Stack): Promise<readonly string[]> {
  return (await stack.revisions()).map(
    ({ number, status, source }) =>
      `${number} ${status}${source === undefined ? '' : ` as ${source}`}`,
  );
}

/** Names of the configs that hold the history. */
export const pieces = async (stack: Stack): Promise<readonly string[]> =>
  Object.keys(await stack.ledger()).filter((name) => name.includes('.revision.'));

export const lockOf = async (stack: Stack): Promise<unknown> =>
  (await stack.ledger())[`${stack.name}.lock`];

/** A run that is still under way. */
export interface Started {
  readonly ended: Promise<Run>;
  /** Waits for a line of its log. */
  readonly said: (words: RegExp) => Promise<void>;
  readonly kill: (signal: NodeJS.Signals) => void;
}

export function start(run: (options: RunOptions) => Promise<Run>): Started {
  const lines: string[] = [];
  let over = false;
  let kill: Started['kill'] = () => undefined;
  const ended = run({
    onLine: (line) => lines.push(line),
    onStart: (child) => (kill = (signal) => child.kill(signal)),
  }).finally(() => (over = true));
  return {
    ended,
    kill: (signal) => kill(signal),
    said: async (words) => {
      await until(
        `the run says ${String(words)}`,
        () => {
          if (lines.some((line) => words.test(line))) return true;
          if (over) throw new Error(`the run ended without ${String(words)}`);
          return false;
        },
        { timeoutMs: 120_000 },
      );
    },
  };
}
