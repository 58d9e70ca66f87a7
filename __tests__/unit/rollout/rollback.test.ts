import { describe, expect, it } from '@jest/globals';
import { EngineError, type Engine } from '../../../src/docker/engine.js';
import type { Service, ServiceSpec } from '../../../src/model.js';
import { changesOf } from '../../../src/plan.js';
import { observe } from '../../../src/rollout/observe.js';
import { ranAgain, rollBack, type RollBackResult } from '../../../src/rollout/rollback.js';
import { service, snapshot, spec } from '../../support/snapshots.js';

const named = (name: string, image = `${name}:1`, more: Partial<Service> = {}): Service => ({
  ...service({ ...spec(image), Name: name, Mode: { Replicated: { Replicas: 0 } } }, more),
  ID: `id-${name}`,
});
const asJob = (one: Service, Index: number): Service => ({
  ...one,
  Spec: { ...one.Spec, Mode: { ReplicatedJob: { TotalCompletions: 1 } } },
  JobStatus: { JobIteration: { Index } },
});

/** A stack that was deployed over, in an engine that refuses some writes. */
class World {
  readonly live: Map<string, Service>;
  readonly log: string[] = [];
  refuse: (id: string) => EngineError | undefined = () => undefined;

  constructor(
    readonly before: readonly Service[],
    live: readonly Service[],
  ) {
    this.live = new Map(live.map((each) => [each.ID, each]));
  }

  #write(id: string, effect: () => void): void {
    const refusal = this.refuse(id);
    if (refusal !== undefined) throw refusal;
    effect();
  }

  readonly engine = {
    service: async (id: string) => this.live.get(id),
    updateService: async (id: string, _: number, Spec: ServiceSpec) =>
      this.#write(id, () => this.live.set(id, { ...this.live.get(id)!, Spec })),
    removeService: async (id: string) => this.#write(id, () => this.live.delete(id)),
  } as unknown as Engine;

  async rollBack(failedJobs: readonly string[] = []): Promise<RollBackResult> {
    const services = [...this.live.values()];
    const changes = changesOf(
      { services: this.before },
      services,
      services.map(({ Spec }) => Spec.Name),
    );
    const narrator = { say: (line: string) => this.log.push(line) };
    const clock = { now: () => 0, sleep: async () => undefined };
    return await rollBack({
      stack: 'shop',
      before: { ...snapshot(0, []), services: this.before },
      changes,
      objects: { brought: [], relabelled: [] },
      failedJobs,
      limits: { timeoutMs: 1000, progressTimeoutMs: 1000 },
      stableForMs: 0,
      world: { narrator, clock, signal: new AbortController().signal } as never,
      watch: async (start) => {
        const rollout = observe(start, {
          ...snapshot(1, []),
          services: [...this.live.values()],
        });
        return { rollout, end: { kind: 'converged' } };
      },
      settle: (action) => action(this.engine),
      cleanUpLimitMs: 0,
    });
  }

  get images(): readonly unknown[] {
    return [...this.live.values()].map(({ Spec }) => [
      Spec.Name,
      (Spec['TaskTemplate'] as { ContainerSpec: { Image: string } }).ContainerSpec.Image,
    ]);
  }
}

describe('an engine that refuses one service', () => {
  const before = ['a', 'b', 'c'].map((name) => named(name));
  const after = ['a', 'b', 'c', 'd'].map((name) => named(name, `${name}:2`));
  const gone = (what: string): EngineError =>
    new EngineError(400, 'rpc error: config not found: conf', what);

  it('gets all others back, and is told by name', async () => {
    const world = new World(before, after);
    world.refuse = (id) => (id === 'id-a' ? gone('POST /services/id-a/update') : undefined);
    const result = await world.rollBack();
    expect(world.images).toEqual([
      ['a', 'a:2@sha256:1'],
      ['b', 'b:1@sha256:1'],
      ['c', 'c:1@sha256:1'],
    ]);
    expect(result.outcome).toBe('rollback-failed');
    expect(result.message).toBe(
      'The rollback did not succeed: a is still as it was deployed: rpc error: config not found: conf; ' +
        'b 0/0 up to date and running; c 0/0 up to date and running; d is gone again.',
    );
    expect(result.hint).toContain('docker stack ps --no-trunc shop');
    expect(world.log.join('\n')).toContain('for a: rpc error: config not found');
  });

  it('is told so, too, where it would not remove one', async () => {
    const world = new World(before, after);
    world.refuse = (id) => (id === 'id-d' ? gone('DELETE /services/id-d') : undefined);
    const result = await world.rollBack();
    expect(result.outcome).toBe('rollback-failed');
    expect(result.message).toContain('d is still as it was deployed');
    expect(world.images.slice(0, 3)).toEqual(
      ['a', 'b', 'c'].map((name) => [name, `${name}:1@sha256:1`]),
    );
  });

  it('is asked again where it has trouble of its own', async () => {
    const world = new World(before, after);
    world.refuse = () => new EngineError(503, 'no leader', 'POST /services/id-a/update');
    expect((await world.rollBack()).outcome).toBe('rollback-failed');
    expect(world.log.join('\n')).not.toContain('refused');
  });
});

describe('a job that the deploy started again', () => {
  const job = named('job');
  const api = named('api');

  it('is no job that has another spec now, and no service', () => {
    const changes = (live: Service): ReturnType<typeof changesOf> =>
      changesOf({ services: [asJob(job, 1)] }, [live], ['job']);
    expect(ranAgain(asJob(job, 1), changes(asJob(job, 2)))).toBe(true);
    expect(ranAgain(asJob(job, 1), changes(asJob(named('job', 'job:2'), 2)))).toBe(false);
    expect(ranAgain(api, changesOf({ services: [api] }, [api], ['api']))).toBe(false);
  });

  it('and that fails is not undone, and nobody says that it was', async () => {
    const world = new World([asJob(job, 1), api], [asJob(job, 2), named('api', 'api:2')]);
    const result = await world.rollBack(['job']);
    expect(result.outcome).toBe('rollback-failed');
    expect(result.message).toMatch(/^Everything else is verified .* but job was started again/);
    expect(result.hint).toContain('docker service rm job');
    expect(world.images).toContainEqual(['api', 'api:1@sha256:1']);
  });

  it('and that is well is no matter', async () => {
    const world = new World([asJob(job, 1), api], [asJob(job, 2), named('api', 'api:2')]);
    expect((await world.rollBack()).outcome).toBe('rolled-back');
  });
});
