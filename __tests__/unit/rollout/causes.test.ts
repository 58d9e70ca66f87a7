/** The table of causes does what it says: each of them is shown to `observe`. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { causeTable, withCauses } from '../../../scripts/docs.mjs';
import type { Reason } from '../../../src/errors.js';
import type { ServiceSpec, Snapshot, Task } from '../../../src/model.js';
import {
  causeOf,
  SERVICE_CAUSES,
  TASK_CAUSES,
  type Cause,
  type TaskCause,
} from '../../../src/rollout/causes.js';
import { observe, verdict, type Rollout, type Verdict } from '../../../src/rollout/observe.js';
import {
  begin,
  service,
  SERVICE,
  snapshot,
  spec,
  status,
  target,
  task,
} from '../../support/snapshots.js';

const MAX_FAILURES = 3;
const SECOND = 1000;
const TIMEOUT = 600 * SECOND;
const PROGRESS_TIMEOUT = 60 * SECOND;

/** A task that has failed of each cause, with the spec that it was made from. */
interface Example {
  readonly error: string;
  readonly state?: 'failed' | 'rejected';
  readonly exitCode?: number;
  readonly spec?: ServiceSpec;
  readonly imageless?: boolean;
}

const unresolved = spec('', {}, { ContainerSpec: { Image: 'api:9' } });
const limited = spec('api:2', {}, { Resources: { Limits: { MemoryBytes: 1 << 20 } } });
const job = spec('api:2', { Mode: { ReplicatedJob: { TotalCompletions: 1 } } });

/** In the order of the table. */
const EXAMPLES: readonly Example[] = [
  { error: 'task: non-zero exit (137): dockerexec: unhealthy container' },
  { error: 'pull access denied for api, repository does not exist', state: 'rejected' },
  { error: 'No such image: api:9', state: 'rejected', spec: unresolved, imageless: true },
  { error: 'No such image: api:9', state: 'rejected', spec: unresolved },
  { error: 'exec /app: exec format error' },
  { error: 'exec: "serve": executable file not found in $PATH: unknown' },
  { error: 'invalid mount config for type "bind"', state: 'rejected' },
  { error: 'Bind for 0.0.0.0:80 failed: port is already allocated' },
  { error: 'network shop_default not found', state: 'rejected' },
  { error: 'No such container: shop_api.1.x9' },
  { error: 'something odd', state: 'rejected' },
  { error: 'task: non-zero exit (137)', exitCode: 137, spec: limited },
  { error: 'task: non-zero exit (1)', exitCode: 1, spec: job },
  { error: 'task: non-zero exit (1)', exitCode: 1 },
];

const start = (is: ServiceSpec): Rollout => begin({ targets: [target({ spec: is })] });
const look = (at: number, is: ServiceSpec, tasks: readonly Task[], more = {}): Snapshot =>
  snapshot(at, tasks, { services: [service(is, more)] });

/** What the verdict is when so many tasks have failed of it. */
function after(count: number, { error, state = 'failed', exitCode, ...more }: Example): Verdict {
  const is = more.spec ?? spec();
  const tasks = Array.from({ length: count }, (_, index) =>
    task(`t${index}`, state, {
      Slot: index + 1,
      Status: {
        State: state,
        Err: error,
        ...(exitCode === undefined ? {} : { ContainerStatus: { ExitCode: exitCode } }),
      },
    }),
  );
  const imageless = new Set(more.imageless === true ? [SERVICE] : []);
  return verdict(observe(start(is), { ...look(SECOND, is, tasks), imageless }));
}

const rows = <Row extends Cause>(causes: readonly Row[]): readonly (readonly [string, Row])[] =>
  causes.map((cause) => [cause.sign, cause] as const);

describe('a task that has failed', () => {
  it.each(rows(TASK_CAUSES))('%s', (_, cause: TaskCause) => {
    const example = EXAMPLES[TASK_CAUSES.indexOf(cause)]!;
    const { reason } = cause;
    expect(after(1, example)).toMatchObject(
      cause.effect === 'fatal' ? { kind: 'failed', reason } : { kind: 'waiting' },
    );
    if (cause.effect === 'fatal') return;
    expect(after(MAX_FAILURES - 1, example)).toEqual({ kind: 'waiting' });
    expect(after(MAX_FAILURES, example)).toMatchObject({ kind: 'failed', reason });
  });

  it('has a cause, whatever it died of', () => {
    expect(EXAMPLES).toHaveLength(TASK_CAUSES.length);
    const facts = { rejected: false, exitCode: undefined, memoryLimited: false, job: false };
    for (const error of ['', 'nobody has seen this before'])
      expect(causeOf({ ...facts, imageless: false, error })).toBe(TASK_CAUSES.at(-1));
  });
});

describe('what no task says by itself', () => {
  const running = [task('t1', 'running'), task('t2', 'running', { Slot: 2 })];
  const starting = [task('t1', 'starting'), task('t2', 'starting', { Slot: 2 })];
  const crashed = task('t3', 'failed', { Slot: 3, Err: 'task: non-zero exit (1)' });
  const noNode = task('t1', 'pending', { Err: 'no suitable node (scheduling constraints ...)' });
  const neverAgain = spec('api:2', {}, { RestartPolicy: { Condition: 'none' } });

  const startFirst = { UpdateConfig: { Order: 'start-first' } };
  const HELD = { PublishedPort: 80, Protocol: 'tcp' };
  const ports = { EndpointSpec: { Ports: [{ ...HELD, PublishMode: 'host' }] } };
  const hostPort = spec('api:2', { ...startFirst, ...ports });
  const waitsBesideFormer = (is: ServiceSpec, Err: string): readonly Snapshot[] =>
    [0, 4.9 * SECOND, 5 * SECOND].map((at) => ({
      ...look(at, is, [
        { ...task('o', 'running'), Status: { State: 'running', PortStatus: { Ports: [HELD] } } },
        task('t1', 'pending', { NodeID: '', Err }),
      ]),
      upToDate: new Set(['t1']),
    }));

  /** Each cause in the order of the table, until it is known: when, what, and the reason it then has. */
  const SHOWN: readonly {
    readonly is?: ServiceSpec;
    readonly looks: readonly Snapshot[];
    readonly reason: Reason;
  }[] = [
    {
      is: neverAgain,
      looks: [look(SECOND, neverAgain, [crashed])],
      reason: 'job-failed',
    },
    {
      looks: [look(SECOND, spec(), [crashed], { UpdateStatus: status('paused') })],
      reason: 'update-paused',
    },
    {
      looks: [
        look(SECOND, spec('api:1'), running, { UpdateStatus: status('rollback_completed') }),
        look(4 * SECOND, spec('api:1'), running, { UpdateStatus: status('rollback_completed') }),
      ],
      reason: 'rolled-back-by-swarm',
    },
    {
      is: hostPort,
      looks: waitsBesideFormer(hostPort, 'host-mode port already in use on 1 node'),
      reason: 'host-port-deadlock',
    },
    {
      is: spec('api:2', startFirst),
      looks: waitsBesideFormer(spec('api:2', startFirst), 'max replicas per node limit exceed'),
      reason: 'unschedulable',
    },
    {
      looks: [SECOND, PROGRESS_TIMEOUT, SECOND + PROGRESS_TIMEOUT].map((at) =>
        look(at, spec(), [noNode]),
      ),
      reason: 'unschedulable',
    },
    {
      looks: [SECOND, PROGRESS_TIMEOUT, SECOND + PROGRESS_TIMEOUT].map((at) =>
        look(at, spec(), starting),
      ),
      reason: 'progress-timeout',
    },
    {
      // A new slot again and again, until the time is over.
      looks: Array.from({ length: TIMEOUT / PROGRESS_TIMEOUT + 1 }, (_, index) =>
        look(index * PROGRESS_TIMEOUT, spec(), [task('t1', 'starting', { Slot: index + 1 })]),
      ),
      reason: 'timeout',
    },
  ];

  it.each(rows(SERVICE_CAUSES))('%s', (_, cause) => {
    const { looks, reason, is = spec() } = SHOWN[SERVICE_CAUSES.indexOf(cause)]!;
    if (cause.reason !== undefined) expect(reason).toBe(cause.reason);
    const verdicts: Verdict[] = [];
    looks.reduce((rollout, each) => {
      const next = observe(rollout, each);
      verdicts.push(verdict(next));
      return next;
    }, start(is));
    expect(verdicts.at(-1)).toMatchObject({ kind: 'failed', reason });
    // Not a look before. (What Swarm did may take some seconds to have a task's error beside it.)
    for (const each of verdicts.slice(0, -1)) expect(each).toEqual({ kind: 'waiting' });
    const limits = {
      fatal: 5 * SECOND,
      'progress-timeout': SECOND + PROGRESS_TIMEOUT,
      timeout: TIMEOUT,
    };
    expect(cause.effect).not.toBe('counted');
    if (cause.effect !== 'counted')
      expect(looks.at(-1)!.at).toBeLessThanOrEqual(limits[cause.effect]);
    if (cause.effect !== 'fatal') expect(looks.length).toBeGreaterThan(2);
  });
});

describe('the table in docs/reasons.md', () => {
  const page = readFileSync('docs/reasons.md', 'utf8');

  it('is the one of the code', async () => {
    expect(await withCauses(page, { TASK_CAUSES, SERVICE_CAUSES })).toBe(page);
  });

  it('has a line for each cause, and changes with it', async () => {
    for (const causes of [TASK_CAUSES, SERVICE_CAUSES])
      expect(causeTable(causes, 'x').split('\n')).toHaveLength(2 + causes.length);
    const [first, ...others] = TASK_CAUSES;
    const changed = [{ ...first!, effect: 'fatal' as const }, ...others];
    expect(await withCauses(page, { TASK_CAUSES: changed, SERVICE_CAUSES })).not.toBe(page);
  });

  it('names only reasons that are explained above it', () => {
    const explained = page.slice(0, page.indexOf('## What it takes'));
    for (const { reason } of [...TASK_CAUSES, ...SERVICE_CAUSES])
      if (reason !== undefined) expect(explained).toContain(`| \`${reason}\``);
  });
});
