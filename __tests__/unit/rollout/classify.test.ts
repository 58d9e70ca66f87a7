import { describe, expect, it } from '@jest/globals';
import { REASONS } from '../../../src/errors.js';
import type { JsonObject, Task } from '../../../src/model.js';
import { TASK_CAUSES } from '../../../src/rollout/causes.js';
import {
  classify,
  exitCodeMeaning,
  type Circumstances,
  type Failure,
} from '../../../src/rollout/classify.js';
import { spec, task, without } from '../../support/snapshots.js';

const failed = (
  Err: string,
  ExitCode?: number,
  State: 'failed' | 'rejected' | 'complete' = 'failed',
): Task =>
  task('t1', State, {
    Status: {
      State,
      Err,
      Message: 'started',
      Timestamp: '2026-01-01T00:00:05Z',
      ...(ExitCode === undefined ? {} : { ContainerStatus: { ExitCode } }),
    },
  });
const judged = (one: Task, is = spec(), more: Partial<Circumstances> = {}): Failure =>
  classify(one, 'shop_api', is, { job: false, final: false, imageless: false, ...more });

/** Docker's own words, from engines 20.10 to 28. */
const WORDS: readonly (readonly [string, string, boolean])[] = [
  ['task: non-zero exit (137): dockerexec: unhealthy container', 'unhealthy', false],
  [
    'pull access denied for api, repository does not exist or may require login',
    'registry-auth',
    false,
  ],
  ['Head "https://r/v2/": unauthorized: authentication required', 'registry-auth', false],
  ['no basic auth credentials', 'registry-auth', false],
  ['No such image: api:9@sha256:1', 'image-not-found', false],
  ['manifest for api:9 not found: manifest unknown: manifest unknown', 'image-not-found', false],
  ['failed to create task: exec /app: exec format error', 'exec-format', true],
  [
    'starting container failed: OCI runtime create failed: exec: "serve": executable file not found in $PATH: unknown',
    'command-not-found',
    true,
  ],
  ['runc: exec: "/x": stat /x: no such file or directory: unknown', 'command-not-found', true],
  ['runc: exec: "/x": permission denied: unknown', 'command-not-found', true],
  [
    'invalid mount config for type "bind": bind source path does not exist: /data',
    'mount-invalid',
    false,
  ],
  ['error while mounting volume "/v": failed to mount', 'mount-invalid', false],
  ['driver failed: Bind for 0.0.0.0:80 failed: port is already allocated', 'port-in-use', false],
  ['listen tcp4 0.0.0.0:80: bind: address already in use', 'port-in-use', false],
  [
    'invalid pool request: Pool overlaps with other one on this address space',
    'network-unavailable',
    false,
  ],
  ['network shop_default not found', 'network-unavailable', false],
  ['No such container: shop_api.1.lr0ztdu8tk3qfidkhq0xpy9dj', 'task-rejected', false],
  ['task: non-zero exit (3)', 'crash-loop', false],
  ['', 'crash-loop', false],
];

describe('classify', () => {
  it.each(WORDS)('%s', (words, reason, fatal) => {
    expect(judged(failed(words, 3))).toMatchObject({ reason, fatal, exitCode: 3 });
  });
  it('has an example of all words that are looked for', () => {
    for (const { pattern, reason } of TASK_CAUSES) {
      if (pattern === undefined) continue;
      const first = WORDS.find(([, expected]) => expected === reason);
      expect([pattern.source, pattern.test(first?.[0] ?? '')]).toEqual([pattern.source, true]);
      expect(REASONS).toContain(reason);
    }
  });
  it('has no hope for an image only where the registry says that there is none', () => {
    const unresolved = spec('x', {}, { ContainerSpec: { Image: 'api:9' } });
    const imageless = { imageless: true };
    expect(judged(failed('No such image: api:9'), unresolved, imageless).fatal).toBe(true);
    // A registry that was away for a moment makes the node say the same.
    expect(judged(failed('No such image: api:9'), unresolved).fatal).toBe(false);
    expect(judged(failed('task: non-zero exit (1)'), unresolved, imageless).fatal).toBe(false);
  });
  it('tells what the node did from what the process did', () => {
    const lost = judged(failed('No such container: shop_api.1.x9', 0));
    expect(lost).toMatchObject({ reason: 'task-rejected', fatal: false });
    expect(lost.error).toBe(
      'No such container: shop_api.1.x9 (its node lost the container, as when its Docker engine is restarted)',
    );
    const user = 'starting container failed: unable to find user nosuch: no matching entries';
    expect(judged(failed(user, 128))).toMatchObject({ reason: 'task-rejected', error: user });
    expect(judged(failed(user, 128), spec(), { job: true }).reason).toBe('task-rejected');
  });
  it('takes 137 under a limit for out of memory, and nothing else', () => {
    const limit = (MemoryBytes: bigint | number): JsonObject => ({
      ContainerSpec: { Image: 'a@b' },
      Resources: { Limits: { MemoryBytes } },
    });
    const killed = failed('task: non-zero exit (137)', 137);
    expect(judged(killed, spec('x', {}, limit(2n ** 62n))).reason).toBe('out-of-memory');
    expect(judged(killed, spec('x', {}, limit(0))).reason).toBe('crash-loop');
    expect(judged(killed).reason).toBe('crash-loop');
    expect(judged(killed, spec('x', {}, limit(5)), { job: true }).reason).toBe('out-of-memory');
    expect(judged(failed('task: non-zero exit (1)', 1), spec('x', {}, limit(5))).reason).toBe(
      'crash-loop',
    );
    const sick = failed('task: non-zero exit (137): dockerexec: unhealthy container', 137);
    expect(judged(sick, spec('x', {}, limit(5))).reason).toBe('unhealthy');
  });
  it('knows jobs, and what is never restarted', () => {
    const one = failed('task: non-zero exit (1)', 1);
    expect(judged(one, spec(), { job: true })).toMatchObject({
      reason: 'job-failed',
      fatal: false,
    });
    expect(judged(one, spec(), { job: true, final: true })).toMatchObject({
      reason: 'job-failed',
      fatal: true,
    });
    expect(judged(one, spec(), { final: true })).toMatchObject({
      reason: 'crash-loop',
      fatal: true,
    });
  });
  it('gives a rejected task no exit code', () => {
    const rejected = judged(failed('something odd', 0, 'rejected'));
    expect(rejected).toMatchObject({ reason: 'task-rejected', error: 'something odd' });
    expect(rejected).not.toHaveProperty('exitCode');
  });
  it('always says something', () => {
    expect(judged(failed('', 0, 'complete')).error).toContain('meant to keep running');
    expect(judged(failed('', 0, 'complete')).error).toContain('engine killed');
    expect(judged(failed('')).error).toBe('started');
    expect(judged(task('t', 'failed')).error).toBe('failed');
  });
  it('keeps where and when, and leaves out what is not known', () => {
    expect(judged(failed('x'))).toMatchObject({
      taskId: 't1',
      service: 'shop_api',
      slot: 1,
      nodeId: 'n1',
      timestamp: '2026-01-01T00:00:05Z',
    });
    const nowhere = without(task('t', 'failed'), 'Slot', 'NodeID');
    expect(Object.keys(judged(nowhere)).sort()).toEqual([
      'error',
      'fatal',
      'reason',
      'service',
      'taskId',
    ]);
  });
});

it.each([
  [0, 'ended by itself'],
  [126, 'cannot be executed'],
  [127, 'not found'],
  [134, 'SIGABRT'],
  [137, 'SIGKILL'],
  [139, 'SIGSEGV'],
  [143, 'SIGTERM'],
])('exit code %i: %s', (code, words) => {
  expect(exitCodeMeaning(code)).toContain(words);
});
it('leaves exit codes of the application to the application', () => {
  for (const code of [1, 2, 42, 255]) expect(exitCodeMeaning(code)).toBeUndefined();
});
