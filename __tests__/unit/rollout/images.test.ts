import { describe, expect, it } from '@jest/globals';
import type { Engine } from '../../../src/docker/engine.js';
import type { Snapshot, Task } from '../../../src/model.js';
import { MissingImages } from '../../../src/rollout/images.js';
import { SERVICE, service, snapshot, spec, target, task } from '../../support/snapshots.js';

const UNRESOLVED = spec('', {}, { ContainerSpec: { Image: 'r.test/api:9' } });
const gone = (id: string, Err = 'No such image: r.test/api:9'): Task =>
  task(id, 'rejected', { Err });

/** @param answers whether the registry lacks the image, in turn */
function asking(...answers: readonly boolean[]): {
  readonly asked: unknown[][];
  readonly look: (tasks: readonly Task[], is?: typeof UNRESOLVED) => Promise<ReadonlySet<string>>;
} {
  const asked: unknown[][] = [];
  const registryHas = (...words: unknown[]): Promise<boolean> => {
    asked.push(words);
    return Promise.resolve(!(answers[asked.length - 1] ?? false));
  };
  const images = new MissingImages((image) => `login for ${image}`);
  const look = (tasks: readonly Task[], is = UNRESOLVED): Promise<ReadonlySet<string>> => {
    const now: Snapshot = snapshot(0, tasks, { services: [service(is)] });
    return images.missing({ registryHas } as unknown as Engine, [target({ spec: is })], now);
  };
  return { asked, look };
}

describe('an image that a node could not pull', () => {
  it('is missing where the registry says so; it is asked with the login', async () => {
    const { asked, look } = asking(true);
    const first = await look([gone('a')]);
    expect([...first]).toEqual([SERVICE]);
    expect(asked).toEqual([['r.test/api:9', 'login for r.test/api:9', expect.any(Number)]]);
    expect(await look([gone('a'), gone('b')])).toBe(first);
    expect(asked).toHaveLength(1);
  });

  it('is asked for again when the next task fails, and no sooner', async () => {
    const { asked, look } = asking(false, true);
    const none = await look([gone('a')]);
    expect(await look([gone('a')])).toBe(none);
    expect([none.size, asked.length]).toEqual([0, 1]);
    expect([...(await look([gone('a'), gone('b')]))]).toEqual([SERVICE]);
  });

  it.each<[string, readonly Task[], typeof UNRESOLVED]>([
    ['nothing has failed', [task('a', 'preparing')], UNRESOLVED],
    ['it failed of something else', [gone('a', 'network x not found')], UNRESOLVED],
    ['it ran', [task('a', 'failed', { Err: 'No such image: x' })], UNRESOLVED],
    ['its digest is known: the registry had it', [gone('a')], spec()],
  ])('is not asked for where %s', async (_, tasks, is) => {
    const { asked, look } = asking(true);
    expect((await look(tasks, is)).size).toBe(0);
    expect(asked).toEqual([]);
  });
});
