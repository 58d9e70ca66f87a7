/**
 * The real test swarm for the suites: each scenario gets a stack of its own, runs the committed
 * bundle on it as the runner would, and reads back from the swarm what has become of it.
 */
import { describe, it } from '@jest/globals';
import { randomBytes, randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runStep } from '../../testbed/runner.mjs';
import { attach } from '../../testbed/index.mjs';
import { until } from '../../testbed/lib/wait.mjs';

export { until };
export type Testbed = Awaited<ReturnType<typeof attach>>;
export type Node = Testbed['manager'];
type Step = Parameters<typeof runStep>[0];
type StepResult = Awaited<ReturnType<typeof runStep>>;

/** Set by the global set-up: the swarm to use, or why there is none. */
const NAME = process.env['SWARM_DEPLOY_TESTBED'];
const OBSTACLE = process.env['SWARM_DEPLOY_NO_SWARM'];

/** Longer than any scenario takes: the test swarm may have to share its machine. */
const LIMIT_MS = 240_000;

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
export function scenario(title: string, body: (stack: Stack) => Promise<void>): void {
  it.concurrent(title, () => withStack(body), LIMIT_MS);
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
  it(title, () => withStack(body), LIMIT_MS);
}

async function withStack(body: (stack: Stack) => Promise<void>): Promise<void> {
  const stack = new Stack(await testbed());
  try {
    await body(stack);
  } catch (error) {
    const words = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(`${words}\n\n${stack.story()}`);
  } finally {
    await stack.remove();
  }
}

/** As the Engine API gives it, as far as the scenarios look. */
export interface LiveService {
  readonly ID: string;
  readonly Version: { readonly Index: number };
  readonly Spec: {
    readonly Name: string;
    readonly Labels: Readonly<Record<string, string>>;
    readonly Mode: Readonly<Record<string, { readonly Replicas?: number }>>;
    readonly TaskTemplate: {
      readonly ForceUpdate: number;
      readonly ContainerSpec: { readonly Image: string; readonly Env?: readonly string[] };
    };
  };
  readonly UpdateStatus?: { readonly State: string; readonly Message: string };
}

export interface LiveTask {
  readonly ID: string;
  readonly CreatedAt: string;
  readonly ServiceID: string;
  readonly NodeID?: string;
  readonly Slot?: number;
  readonly DesiredState: string;
  readonly Spec: { readonly ContainerSpec: { readonly Image: string } };
  readonly Status: {
    readonly State: string;
    readonly Err?: string;
    readonly ContainerStatus?: { readonly ContainerID: string };
  };
}

interface ServiceOutput {
  readonly name: string;
  readonly change: string;
  readonly image: string;
  readonly digest: string;
  readonly previousImage: string;
  readonly replicas: { readonly running: number; readonly desired: number };
  readonly outcome: string;
  readonly reason: string;
}

/** One run of the action. */
export interface Run extends StepResult {
  readonly outcome: string;
  readonly reason: string;
  readonly changed: readonly string[];
  readonly services: readonly ServiceOutput[];
}

type Inputs = Record<string, string | number | boolean>;
type Compose = Record<string, unknown>;

export interface RunOptions extends Omit<Step, 'inputs'> {
  readonly inputs?: Inputs;
}

/** An update in one go and without a long look afterwards, unless a scenario is about that. */
export const quickUpdate = { parallelism: 0, order: 'start-first', monitor: '1s' } as const;

/** A stack of a scenario. */
export class Stack {
  readonly name = `t${randomBytes(4).toString('hex')}`;
  /** Its own, as one that another stack has just given back can still be in use on a node. */
  readonly subnet = `10.${randomInt(128, 250)}.${randomInt(256)}.0/24`;
  readonly #runs: Run[] = [];
  #overlay = false;

  constructor(readonly bed: Testbed) {}

  get manager(): Node {
    return this.bed.manager;
  }

  image(name: string, tag = 'v1'): string {
    return this.bed.image(name, tag);
  }

  /** What a workflow would give to deploy this stack. */
  inputs(): Inputs {
    const { ssh, registry, manager } = this.bed;
    return {
      stack: this.name,
      host: manager.address,
      username: ssh.username,
      'private-key': ssh.privateKey,
      'known-hosts': ssh.knownHosts,
      registry: registry.host,
      'registry-username': registry.username,
      'registry-password': registry.password,
      'stable-for': '1s',
      timeout: '2m',
    };
  }

  /** Gives the stack a network of its own, as Docker does; it makes every start and stop slower. */
  useOverlay(): this {
    this.#overlay = true;
    return this;
  }

  /** The default network of the stack: Docker's own one of each node, unless it has an overlay. */
  get network(): object {
    return this.#overlay
      ? { ipam: { config: [{ subnet: this.subnet }] } }
      : { external: true, name: 'bridge' };
  }

  /** The services in a stack file. */
  file(services: Compose, more: Compose = {}): string {
    const networks = { default: this.network };
    return JSON.stringify({ services, networks, ...more }, undefined, 2);
  }

  /** Runs the action once, `post` included, with whatever files the options bring. */
  async run({ inputs = {}, ...step }: RunOptions = {}): Promise<Run> {
    const result = await runStep({ ...step, inputs: { ...this.inputs(), ...inputs } });
    const { outputs } = result;
    const run: Run = {
      ...result,
      outcome: outputs['outcome'] ?? '(none)',
      reason: outputs['reason'] ?? '(none)',
      changed: parsed<readonly string[]>(outputs['changed-services'], []),
      services: parsed<readonly ServiceOutput[]>(outputs['services'], []),
    };
    this.#runs.push(run);
    return run;
  }

  /** Runs the action on these services. */
  async deploy(services: Compose, inputs: Inputs = {}, options: RunOptions = {}): Promise<Run> {
    const files = { 'docker-stack.yml': this.file(services), ...options.files };
    return this.run({ ...options, files, inputs: { ...options.inputs, ...inputs } });
  }

  /** The logs of the runs, for the message of a failed test. */
  story(): string {
    return this.#runs
      .map(({ log, postLog, outputs }) => `${log}${postLog}\n${JSON.stringify(outputs)}`)
      .join('\n----\n');
  }

  get #filter(): string {
    const label = [`com.docker.stack.namespace=${this.name}`];
    return `filters=${encodeURIComponent(JSON.stringify({ label }))}`;
  }

  /** The live services by their names in the file. */
  async services(): Promise<Record<string, LiveService>> {
    const found = (await this.manager.api('GET', `/services?${this.#filter}`)) as LiveService[];
    return Object.fromEntries(
      found.map((service) => [service.Spec.Name.slice(this.name.length + 1), service]),
    );
  }

  async service(name: string): Promise<LiveService> {
    const found = (await this.services())[name];
    if (found === undefined) throw new Error(`The swarm has no service ${this.name}_${name}.`);
    return found;
  }

  /** Every task the swarm still knows, of one service. */
  async tasks(name: string): Promise<readonly LiveTask[]> {
    const filters = encodeURIComponent(JSON.stringify({ service: [`${this.name}_${name}`] }));
    return (await this.manager.api('GET', `/tasks?filters=${filters}`)) as LiveTask[];
  }

  /** The tasks that are meant to run, and do. */
  async running(name: string): Promise<readonly LiveTask[]> {
    const tasks = await this.tasks(name);
    return tasks
      .filter(
        ({ DesiredState, Status }) => DesiredState === 'running' && Status.State === 'running',
      )
      .sort((a, b) => a.ID.localeCompare(b.ID));
  }

  /** Names of the networks, configs and secrets of the stack. */
  async objects(): Promise<readonly string[]> {
    const networks = (await this.manager.api('GET', `/networks?${this.#filter}`)) as {
      Name: string;
    }[];
    const named = await Promise.all(
      ['configs', 'secrets'].map(
        async (kind) =>
          (await this.manager.api('GET', `/${kind}?${this.#filter}`)) as {
            Spec: { Name: string };
          }[],
      ),
    );
    return [
      ...networks.map(({ Name }) => Name),
      ...named.flat().map(({ Spec }) => Spec.Name),
    ].sort();
  }

  /** The node that a task runs on. */
  async nodeOf(task: LiveTask): Promise<Node> {
    const node = (await this.manager.api('GET', `/nodes/${task.NodeID ?? ''}`)) as {
      Description: { Hostname: string };
    };
    return this.bed.node(node.Description.Hostname);
  }

  /** Runs a command in a task's container, on whichever node it is. */
  async inside(task: LiveTask, ...command: readonly string[]): Promise<string> {
    const node = await this.nodeOf(task);
    return node.docker('exec', task.Status.ContainerStatus?.ContainerID ?? '', ...command);
  }

  /** When the container of each running task started, as its node's engine says. */
  async startTimes(name: string): Promise<Record<string, string>> {
    const times = (await this.running(name)).map(async (task) => {
      const node = await this.nodeOf(task);
      const id = task.Status.ContainerStatus?.ContainerID ?? '';
      const container = (await node.api('GET', `/containers/${id}/json`)) as {
        State: { StartedAt: string };
      };
      return [task.ID, container.State.StartedAt] as const;
    });
    return Object.fromEntries(await Promise.all(times));
  }

  /** What must be the same again after a failed deploy: every spec, word for word. */
  async specs(): Promise<Record<string, LiveService['Spec']>> {
    const services = await this.services();
    return Object.fromEntries(Object.entries(services).map(([name, { Spec }]) => [name, Spec]));
  }

  async remove(): Promise<void> {
    await this.manager.docker('stack', 'rm', this.name);
  }
}

function parsed<T>(text: string | undefined, none: T): T {
  return text === undefined ? none : (JSON.parse(text) as T);
}

/** The digest that an image reference is pinned to. */
export const digestOf = (reference: string): string => reference.split('@')[1] ?? '';

/** What a node's sshd logged from now on. */
export function sshdLogOf(node: Node): () => readonly string[] {
  const read = (): string => readFileSync(join(node.directory, 'log', 'sshd.log'), 'utf8');
  const before = read().length;
  return () => read().slice(before).split('\n').filter(Boolean);
}
