import { describe, expect, it } from '@jest/globals';
import { EngineError, type Engine } from '../../../src/docker/engine.js';
import type { JsonObject, Service, ServiceSpec } from '../../../src/model.js';
import { changesOf } from '../../../src/plan.js';
import { observe, type End } from '../../../src/rollout/observe.js';
import { ranAgain, rollBack, type RollBackResult } from '../../../src/rollout/rollback.js';
import { service, snapshot, spec, without } from '../../support/snapshots.js';

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
  /** What was written, in order. */
  readonly written: string[] = [];
  refuse: (id: string) => EngineError | undefined = () => undefined;
  /** How a watch ends, once what that means has been done to the services. */
  watched: () => End = () => ({ kind: 'converged' });

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
      this.#write(id, () => {
        this.written.push(id);
        this.live.set(id, { ...without(this.live.get(id)!, 'UpdateStatus'), Spec });
      }),
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
        const end = this.watched();
        const rollout = observe(start, {
          ...snapshot(1, []),
          services: [...this.live.values()],
        });
        return { rollout, end };
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

describe('a former version of which a task fails on the way back', () => {
  const before = ['a', 'b'].map((name) => named(name));
  const after = ['a', 'b'].map((name) => named(name, `${name}:2`));
  const paused: End = {
    kind: 'failed',
    reason: 'update-paused',
    service: 'a',
    message: 'Swarm paused the update of a after a task failed or was ended early',
  };

  /** @param times how often Swarm does not go on by itself */
  const stopping = (
    times: number,
    how: () => Partial<Service>,
    end: End,
    template: JsonObject = {},
  ): World => {
    const asked = ({ Spec, ...rest }: Service): Service => ({
      ...rest,
      Spec: { ...Spec, TaskTemplate: { ...(Spec['TaskTemplate'] as JsonObject), ...template } },
    });
    const world = new World(before.map(asked), after.map(asked));
    let left = times;
    world.watched = () => {
      if (left === 0) return { kind: 'converged' };
      left -= 1;
      world.live.set('id-a', { ...world.live.get('id-a')!, ...how() });
      return end;
    };
    return world;
  };

  it.each(['paused', 'rollback_paused'] as const)(
    'is gone on with where Swarm says %s',
    async (State) => {
      const world = stopping(3, () => ({ UpdateStatus: { State } }), paused);
      expect((await world.rollBack()).outcome).toBe('rolled-back');
      // What goes on by itself is not written again.
      expect(world.written).toEqual(['id-a', 'id-b', 'id-a', 'id-a', 'id-a']);
      expect(world.log.join('\n')).toContain('ended early; going on (3 of at most 3 times)');
    },
  );

  it('is written again where Swarm has turned round once more', async () => {
    const taken = (): Partial<Service> => ({
      Spec: after[0]!.Spec,
      UpdateStatus: { State: 'rollback_completed' },
    });
    const end: End = { ...paused, reason: 'rolled-back-by-swarm' };
    const world = stopping(1, taken, end);
    expect((await world.rollBack()).outcome).toBe('rolled-back');
    expect(world.images).toEqual([
      ['a', 'a:1@sha256:1'],
      ['b', 'b:1@sha256:1'],
    ]);
  });

  it('is given up where it fails each time', async () => {
    const world = stopping(Infinity, () => ({ UpdateStatus: { State: 'paused' } }), paused);
    const result = await world.rollBack();
    expect(result.outcome).toBe('rollback-failed');
    expect(result.message).toContain(paused.message);
    expect(world.written).toHaveLength(5);
  });

  it('is not gone on with where it is meant to end: nothing runs that again', async () => {
    const world = stopping(1, () => ({ UpdateStatus: { State: 'paused' } }), paused, {
      RestartPolicy: { Condition: 'none' },
    });
    expect((await world.rollBack()).outcome).toBe('rollback-failed');
    expect(world.written).toEqual(['id-a', 'id-b']);
  });

  it('is not gone on with where its time is over', async () => {
    const world = stopping(1, () => ({}), { ...paused, reason: 'timeout' });
    expect((await world.rollBack()).outcome).toBe('rollback-failed');
    expect(world.written).toEqual(['id-a', 'id-b']);
  });
});
