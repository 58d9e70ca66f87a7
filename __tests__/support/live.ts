/** What is read back of a scenario: the parts of the Engine API and of a run's outputs that count. */
import type { attach } from '../../testbed/index.mjs';
import type { runStep } from '../../testbed/runner.mjs';

export type Testbed = Awaited<ReturnType<typeof attach>>;
export type Node = Testbed['manager'];
type Step = Parameters<typeof runStep>[0];
type StepResult = Awaited<ReturnType<typeof runStep>>;

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
  readonly JobStatus?: { readonly JobIteration: { readonly Index: number } };
  readonly UpdateStatus?: { readonly State: string; readonly Message: string };
}

export interface LiveTask {
  readonly ID: string;
  readonly CreatedAt: string;
  readonly ServiceID: string;
  readonly NodeID?: string;
  readonly Slot?: number;
  readonly JobIteration?: { readonly Index: number };
  readonly DesiredState: string;
  readonly Spec: {
    readonly ContainerSpec: {
      readonly Image: string;
      readonly Env?: readonly string[];
      readonly Healthcheck?: { readonly Test?: readonly string[] };
    };
  };
  readonly Status: {
    readonly State: string;
    readonly Timestamp: string;
    readonly Err?: string;
    readonly ContainerStatus?: { readonly ContainerID: string };
  };
}

export interface ServiceOutput {
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

export type Inputs = Record<string, string | number | boolean>;
export type Compose = Record<string, unknown>;

export interface RunOptions extends Omit<Step, 'inputs'> {
  readonly inputs?: Inputs;
}
