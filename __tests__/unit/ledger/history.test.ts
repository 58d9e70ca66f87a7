import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { Engine } from '../../../src/docker/engine.js';
import { ConnectionLost, DeployError } from '../../../src/errors.js';
import type {
  OpeningContent,
  RevisionContent,
  SealedContent,
} from '../../../src/ledger/content.js';
import {
  closeRevision,
  openRevision,
  readHistory,
  sealRevision,
  trimHistory,
  type Draft,
} from '../../../src/ledger/history.js';
import type { Ending, Open, Revision } from '../../../src/ledger/revision.js';
import { runFacts } from '../../../src/ledger/run.js';
import { FakeSwarm } from '../../support/fake-swarm.js';

const STACK = 'shop';

let swarm: FakeSwarm;
let engine: Engine;
let ids: number;

beforeEach(() => {
  swarm = new FakeSwarm();
  engine = new Engine(async () => swarm.dial());
  ids = 0;
});
afterEach(() => engine.close());

const small: OpeningContent = {
  files: [{ name: 'docker-stack.yml', text: 'services: { api: { image: "api:1" } }\n' }],
  attachments: [{ name: 'app.env', content: Buffer.from('A=1\n') }],
};
/** Three parts, as noise does not compress. */
const large = (): OpeningContent => ({
  files: small.files,
  attachments: [{ name: 'noise', content: randomBytes(800_000) }],
});
const sealed = (image = 'api:1@sha256:00'): SealedContent => ({
  services: [
    {
      name: 'shop_api',
      spec: {
        Name: 'shop_api',
        TaskTemplate: {
          ContainerSpec: { Image: image },
          Resources: { Limits: { MemoryBytes: 9223372036854775807n } },
        },
      },
    },
  ],
  networks: [{ id: 'net1', name: 'shop_default' }],
  others: [{ name: 'shop_old' }],
  pinned: `services: {api: {image: "${image}"}}\n`,
});
const largeSealed = (): SealedContent => ({
  ...sealed(),
  pinned: randomBytes(400_000).toString('hex'),
});

const draft = (more: Partial<Draft> = {}): Draft => {
  ids += 1;
  return {
    id: `id${ids}`,
    mode: 'deploy',
    startedAt: '2026-11-22T10:00:00.000Z',
    locked: true,
    run: runFacts({ GITHUB_SHA: 'c0ffee00', GITHUB_ACTOR: 'ada' }),
    content: small,
    ...more,
  };
};
const deployed: Ending = { status: 'deployed', reason: '', durationMs: 1234 };
const crashed: Ending = { status: 'rolled-back', reason: 'crash-loop', durationMs: 99 };

/** A whole deploy. */
const make = async (ending: Ending = deployed, more: Partial<Draft> = {}): Promise<Open> => {
  const open = await openRevision(engine, STACK, draft(more));
  await sealRevision(engine, STACK, open, sealed(`api:${open.number}@sha256:0${open.number}`));
  await closeRevision(engine, STACK, open, ending);
  return open;
};
/** Comparing large buffers byte by byte takes seconds. */
const readable = (content: RevisionContent | 'incomplete'): unknown =>
  content === 'incomplete'
    ? content
    : {
        ...content,
        attachments: content.attachments.map(({ name, content: bytes }) => [
          name,
          bytes.toString('base64'),
        ]),
      };
const names = (): readonly string[] => swarm.objects.map(({ name }) => name).sort();
const numbers = async (): Promise<readonly number[]> =>
  (await readHistory(engine, STACK)).revisions.map(({ number }) => number);
const labelsOf = (name: string): Record<string, string> =>
  swarm.objects.find((each) => each.name === name)!.labels!;
const isWrite = (request: string): boolean => !request.startsWith('GET ');

/**
 * Does it again after every lost connection, as a session does.
 * @returns how many attempts it took
 */
async function settled<T>(effect: (engine: Engine) => Promise<T>): Promise<readonly [T, number]> {
  for (let attempt = 1; attempt < 50; attempt += 1) {
    try {
      return [await effect(engine), attempt];
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      engine.close();
      engine = new Engine(async () => swarm.dial());
    }
  }
  throw new Error('never settled');
}

/** Loses the connection at the nth write: before it arrives, or with its answer. */
function loseWrite(nth: number, arrives: boolean): void {
  let seen = 0;
  swarm.onRequest = (request) => {
    if (!isWrite(request)) return undefined;
    seen += 1;
    if (seen !== nth) return undefined;
    if (!arrives) return 'refuse';
    // The write goes on into the swarm, and no answer comes out.
    queueMicrotask(() => cut());
    return undefined;
  };
}
const lines: { destroy: (error?: Error) => void }[] = [];
function cut(): void {
  for (const line of lines.splice(0)) line.destroy(new ConnectionLost('the connection died'));
}
/** Remembers the streams of the swarm, so that they can be cut. */
function track(): void {
  const dial = swarm.dial.bind(swarm);
  swarm.dial = () => {
    const stream = dial();
    lines.push(stream);
    return stream;
  };
}
beforeEach(() => {
  lines.length = 0;
  track();
});

describe('a revision', () => {
  it('is opened, sealed and closed, and is all there afterwards', async () => {
    const open = await openRevision(engine, STACK, draft());
    expect(open).toEqual({ number: 1, id: 'id1' });
    const begun = await readHistory(engine, STACK);
    expect(begun.revisions).toMatchObject([
      { number: 1, id: 'id1', status: 'pending', commit: 'c0ffee00', locked: true },
    ]);
    expect(begun.revisions[0]).not.toHaveProperty('fingerprint');
    expect(begun.contentOf(1)).toEqual(small);

    expect(await sealRevision(engine, STACK, open, sealed())).toBe(true);
    expect(await closeRevision(engine, STACK, open, deployed)).toBe(true);
    const ended = await readHistory(engine, STACK);
    expect(ended.revisions).toMatchObject([
      { status: 'deployed', reason: '', durationMs: 1234, run: { actor: 'ada' } },
    ]);
    expect(ended.revisions[0]?.fingerprint).toMatch(/^[\da-f]{32}$/);
    expect(ended.contentOf(1)).toEqual({ ...small, sealed: sealed() });
    expect(names()).toEqual(['shop.revision.1', 'shop.revision.1.2']);
  });

  it('goes with the stack, and is no object of it', async () => {
    await make();
    for (const { labels } of swarm.objects)
      expect(labels).toMatchObject({
        'com.docker.stack.namespace': STACK,
        'swarm-deploy.kind': expect.stringMatching(/^revision(-part)?$/) as unknown,
      });
    expect(await engine.stackObjects(STACK)).toEqual([]);
  });

  it('is in as many configs as it takes', async () => {
    const content = large();
    const open = await openRevision(engine, STACK, draft({ content }));
    const more = largeSealed();
    await sealRevision(engine, STACK, open, more);
    expect(names()).toEqual(['', '.2', '.3', '.4', '.5'].map((part) => `shop.revision.1${part}`));
    expect(labelsOf('shop.revision.1.3')['swarm-deploy.part']).toBe('open/3/3');
    expect(labelsOf('shop.revision.1.5')['swarm-deploy.part']).toBe('sealed/2/2');
    const { contentOf } = await readHistory(engine, STACK);
    expect(readable(contentOf(1))).toEqual(readable({ ...content, sealed: more }));
  });

  it('knows whose content it deploys again, and the commit of that', async () => {
    await make();
    const source = { number: 3, source: 1, commit: 'beef' };
    const again = await openRevision(engine, STACK, draft({ mode: 'rollback', source }));
    const [newest] = (await readHistory(engine, STACK)).revisions;
    expect(newest).toMatchObject({ number: again.number, source: 1, commit: 'beef' });
    expect(newest?.run.commit).toBe('c0ffee00');
  });

  it('knows a copy of a part of the stack, and takes a copy of that for one of itself', async () => {
    await make();
    const part = { source: { number: 1, commit: '' }, mixed: true };
    const mixed = await openRevision(engine, STACK, draft({ mode: 'rollback', ...part }));
    const read = async (): Promise<Revision | undefined> =>
      (await readHistory(engine, STACK)).revisions[0];
    const source = await read();
    expect(source).toMatchObject({ number: mixed.number, source: 1, mixed: true });
    await openRevision(engine, STACK, draft({ mode: 'rollback', source: source! }));
    expect(await read()).toMatchObject({ source: mixed.number });
    expect(await read()).not.toHaveProperty('mixed');
    await openRevision(engine, STACK, draft({ mode: 'rollback', source: source!, mixed: true }));
    expect(await read()).toMatchObject({ source: 1, mixed: true });
  });

  it('works for a stack with a long name', async () => {
    const stack = 's'.repeat(63);
    const open = await openRevision(engine, stack, draft());
    await sealRevision(engine, stack, open, sealed());
    const other = `${'s'.repeat(62)}t`;
    await openRevision(engine, other, draft());
    expect((await readHistory(engine, stack)).contentOf(1)).toEqual({ ...small, sealed: sealed() });
    expect((await readHistory(engine, stack)).revisions).toHaveLength(1);
    for (const name of names()) expect(name.length).toBeLessThanOrEqual(64);
  });
});

describe('opening', () => {
  it('takes the next number', async () => {
    expect((await make()).number).toBe(1);
    expect((await make(crashed)).number).toBe(2);
    expect((await make()).number).toBe(3);
    expect(await numbers()).toEqual([3, 2, 1]);
  });

  it('takes the one after it where somebody else was faster', async () => {
    swarm.onRequest = (request) => {
      if (request !== 'POST /configs/create') return undefined;
      swarm.onRequest = () => undefined;
      swarm.addObject('config', STACK, 'shop.revision.1');
      return undefined;
    };
    expect((await openRevision(engine, STACK, draft())).number).toBe(2);
  });

  it('gives each of several at once a number of its own', async () => {
    const engines = Array.from({ length: 4 }, () => new Engine(async () => swarm.dial()));
    const opened = await Promise.all(
      engines.map(async (each) => openRevision(each, STACK, draft())),
    );
    for (const each of engines) each.close();
    expect(opened.map(({ number }) => number).sort()).toEqual([1, 2, 3, 4]);
    const { revisions } = await readHistory(engine, STACK);
    for (const { number, id } of opened)
      expect(revisions.find((each) => each.number === number)?.id).toBe(id);
  });

  it('passes over numbers of which parts are left', async () => {
    const open = await openRevision(engine, STACK, draft({ content: large() }));
    swarm.objects = swarm.objects.filter(({ name }) => name !== `shop.revision.${open.number}`);
    expect((await openRevision(engine, STACK, draft())).number).toBe(2);
  });

  it.each([1, 2, 3])('is done once, whether or not write %i arrived', async (nth) => {
    for (const arrives of [false, true]) {
      swarm = new FakeSwarm();
      track();
      engine.close();
      engine = new Engine(async () => swarm.dial());
      const content = large();
      const mine = draft({ content });
      loseWrite(nth, arrives);
      const [open, attempts] = await settled((each) => openRevision(each, STACK, mine));
      expect(attempts).toBe(2);
      expect(open).toEqual({ number: 1, id: mine.id });
      expect(names()).toEqual(['shop.revision.1', 'shop.revision.1.2', 'shop.revision.1.3']);
      expect(swarm.writes).toHaveLength(3);
      const { contentOf } = await readHistory(engine, STACK);
      expect(readable(contentOf(1))).toEqual(readable(content));
    }
  });

  it('recognises its write where that arrives after it looked again', async () => {
    const mine = draft();
    await openRevision(engine, STACK, mine);
    const underWay = swarm.objects;
    swarm.objects = [];
    swarm.onRequest = (request) => {
      if (isWrite(request)) swarm.objects = underWay;
      return undefined;
    };
    expect(await openRevision(engine, STACK, mine)).toEqual({ number: 1, id: mine.id });
    expect(names()).toEqual(['shop.revision.1']);
  });

  it('ends where something else has the name of a part', async () => {
    swarm.addObject('config', 'other', 'shop.revision.1.2');
    const refused = openRevision(engine, STACK, draft({ content: large() }));
    await expect(refused).rejects.toThrow(DeployError);
    await expect(refused).rejects.toThrow('shop.revision.1.2');
  });
});

describe('sealing', () => {
  it('changes nothing the second time, whatever it is given', async () => {
    const open = await openRevision(engine, STACK, draft());
    await sealRevision(engine, STACK, open, sealed());
    const written = [...swarm.writes];
    expect(await sealRevision(engine, STACK, open, sealed())).toBe(true);
    expect(await sealRevision(engine, STACK, open, sealed('other'))).toBe(true);
    expect(swarm.writes).toEqual(written);
    expect((await readHistory(engine, STACK)).contentOf(1)).toEqual({ ...small, sealed: sealed() });
  });

  it.each([1, 2, 3])('is done once, whether or not write %i arrived', async (nth) => {
    for (const arrives of [false, true]) {
      const open = await openRevision(engine, STACK, draft());
      const before = swarm.writes.length;
      const content = largeSealed();
      loseWrite(nth, arrives);
      const [found, attempts] = await settled((each) => sealRevision(each, STACK, open, content));
      swarm.onRequest = () => undefined;
      expect([found, attempts]).toEqual([true, 2]);
      expect(swarm.writes.length - before).toBe(3);
      const { contentOf } = await readHistory(engine, STACK);
      expect(contentOf(open.number)).toEqual({ ...small, sealed: content });
    }
  });

  it('begins anew where another content was sealed half-way', async () => {
    const open = await openRevision(engine, STACK, draft());
    loseWrite(2, false);
    await expect(sealRevision(engine, STACK, open, largeSealed())).rejects.toThrow(ConnectionLost);
    swarm.onRequest = () => undefined;
    expect((await readHistory(engine, STACK)).contentOf(1)).toEqual(small);
    const content = largeSealed();
    await settled((each) => sealRevision(each, STACK, open, content));
    expect((await readHistory(engine, STACK)).contentOf(1)).toEqual({ ...small, sealed: content });
  });

  it('is no error where the stack was removed', async () => {
    const open = await openRevision(engine, STACK, draft());
    swarm.objects = [];
    expect(await sealRevision(engine, STACK, open, sealed())).toBe(false);
    expect(names()).toEqual([]);
  });

  it('does not take another revision with its number for it', async () => {
    const open = await openRevision(engine, STACK, draft());
    swarm.objects = [];
    await openRevision(engine, STACK, draft());
    expect(await sealRevision(engine, STACK, open, sealed())).toBe(false);
    expect(await closeRevision(engine, STACK, open, deployed)).toBe(false);
    expect((await readHistory(engine, STACK)).revisions).toMatchObject([{ status: 'pending' }]);
  });
});

describe('closing', () => {
  /** Somebody else changes the labels, each time just before this run does. */
  const interfere = (times: number): void => {
    let left = times;
    swarm.onRequest = (request) => {
      if (!request.endsWith('/update') || left === 0) return undefined;
      left -= 1;
      const object = swarm.objects.find(({ id }) => request.includes(id))!;
      object.version = (object.version ?? 0) + 1;
      object.labels = { ...object.labels, note: `from ${left}` };
      return undefined;
    };
  };

  it('is repeated where somebody else wrote meanwhile, and keeps what they wrote', async () => {
    const open = await openRevision(engine, STACK, draft());
    interfere(3);
    expect(await closeRevision(engine, STACK, open, crashed)).toBe(true);
    expect(labelsOf('shop.revision.1')).toMatchObject({ note: 'from 0' });
    expect((await readHistory(engine, STACK)).revisions).toMatchObject([
      { status: 'rolled-back', reason: 'crash-loop', durationMs: 99 },
    ]);
  });

  it('gives up on somebody who never stops', async () => {
    const open = await openRevision(engine, STACK, draft());
    interfere(Infinity);
    await expect(closeRevision(engine, STACK, open, crashed)).rejects.toThrow(DeployError);
  });

  it('is written once, whether or not the write arrived', async () => {
    for (const arrives of [false, true]) {
      const open = await openRevision(engine, STACK, draft());
      const before = swarm.writes.length;
      loseWrite(1, arrives);
      const closed = await settled((each) => closeRevision(each, STACK, open, deployed));
      swarm.onRequest = () => undefined;
      expect(closed).toEqual([true, 2]);
      expect(swarm.writes.length - before).toBe(1);
    }
  });

  it('is no error where the stack was removed, even in between', async () => {
    const open = await openRevision(engine, STACK, draft());
    swarm.onRequest = (request) => {
      if (request.endsWith('/update')) swarm.objects = [];
      return undefined;
    };
    expect(await closeRevision(engine, STACK, open, deployed)).toBe(false);
  });

  it('lets nobody call a revision interrupted that has ended', async () => {
    const [ended, dead] = [await make(), await openRevision(engine, STACK, draft())];
    const interrupted: Ending = { status: 'interrupted', reason: '' };
    expect(await closeRevision(engine, STACK, ended, interrupted)).toBe(true);
    expect(await closeRevision(engine, STACK, dead, interrupted)).toBe(true);
    const found = (await readHistory(engine, STACK)).revisions.map(({ status }) => status);
    expect(found).toEqual(['interrupted', 'deployed']);
  });

  it('takes the word of the run itself over that of others', async () => {
    const open = await openRevision(engine, STACK, draft());
    await closeRevision(engine, STACK, open, { status: 'interrupted', reason: 'superseded' });
    await closeRevision(engine, STACK, open, deployed);
    expect((await readHistory(engine, STACK)).revisions).toMatchObject([
      { status: 'deployed', reason: '' },
    ]);
  });
});

describe('trimming', () => {
  it('leaves at most the limit, with all parts gone of what went', async () => {
    for (let round = 1; round <= 5; round += 1)
      await make(deployed, { content: round === 2 ? large() : small });
    expect(await trimHistory(engine, STACK, 2)).toEqual([3, 2, 1]);
    expect(names()).toEqual([4, 5].flatMap((n) => [`shop.revision.${n}`, `shop.revision.${n}.2`]));
    expect(await trimHistory(engine, STACK, 2)).toEqual([]);
    expect((await readHistory(engine, STACK)).contentOf(4)).toMatchObject({ files: small.files });
    expect((await make()).number).toBe(6);
  });

  it('takes everything along at 0, and nothing of others', async () => {
    await make();
    await openRevision(engine, 'other', draft());
    swarm.addObject('config', STACK, 'shop_app');
    await trimHistory(engine, STACK, 0);
    expect(names()).toEqual(['other.revision.1', 'shop_app']);
  });

  it('removes parts whose revision is gone, or which are of a former one with its number', async () => {
    const open = await openRevision(engine, STACK, draft({ content: large() }));
    swarm.objects = swarm.objects.filter(({ name }) => name !== 'shop.revision.1');
    await make();
    const part = { ...swarm.objects.find(({ name }) => name === 'shop.revision.1.2')! };
    swarm.objects.push({ ...part, id: 'stray', name: 'shop.revision.2.9' });
    expect(part.labels?.['swarm-deploy.id']).toBe(open.id);
    expect(await trimHistory(engine, STACK, 10)).toEqual([]);
    expect(names()).toEqual(['shop.revision.2', 'shop.revision.2.2']);
  });

  it('never gives the number again of one that failed and went first', async () => {
    await make();
    await make(crashed);
    expect(await trimHistory(engine, STACK, 1)).toEqual([2]);
    const writes = swarm.writes.length;
    await trimHistory(engine, STACK, 1);
    expect(swarm.writes).toHaveLength(writes);
    expect((await make(crashed)).number).toBe(3);
    await trimHistory(engine, STACK, 1);
    expect((await make()).number).toBe(4);
    await trimHistory(engine, STACK, 1);
    expect((await make()).number).toBe(5);
    expect(await numbers()).toEqual([5, 4]);
  });

  it.each([1, 2, 3, 4, 5])('ends the same, whether or not write %i arrived', async (nth) => {
    for (const arrives of [false, true]) {
      swarm.objects = [];
      await make(deployed, { content: large() });
      await make();
      const last = await make(crashed);
      loseWrite(nth, arrives);
      const [, attempts] = await settled((each) => trimHistory(each, STACK, 1));
      swarm.onRequest = () => undefined;
      expect(attempts).toBe(2);
      const kept = last.number - 1;
      expect(names()).toEqual([`shop.revision.${kept}`, `shop.revision.${kept}.2`]);
      expect((await openRevision(engine, STACK, draft())).number).toBe(last.number + 1);
    }
  });

  describe('takes along networks, configs and secrets', () => {
    /** A revision whose service uses these objects of the swarm. */
    const using = async (...used: readonly string[]): Promise<void> => {
      const of = (wanted: string): readonly { id: string; name: string }[] =>
        swarm.objects.filter(({ kind, name }) => kind === wanted && used.includes(name));
      const open = await openRevision(engine, STACK, draft());
      await sealRevision(engine, STACK, open, {
        ...sealed(`api:${open.number}`),
        services: [
          {
            name: 'shop_api',
            spec: {
              Name: 'shop_api',
              TaskTemplate: {
                ContainerSpec: {
                  Image: `api:${open.number}`,
                  Configs: of('config').map(({ id, name }) => ({ ConfigID: id, ConfigName: name })),
                  Secrets: of('secret').map(({ id, name }) => ({ SecretID: id, SecretName: name })),
                },
                Networks: of('network').map(({ id }) => ({ Target: id })),
              },
            },
          },
        ],
      });
      await closeRevision(engine, STACK, open, deployed);
    };
    const left = (): readonly string[] =>
      names().filter((name) => !name.startsWith('shop.revision.'));
    const trim = async (limit: number): Promise<readonly string[]> => {
      const lines: string[] = [];
      await trimHistory(engine, STACK, limit, (line) => lines.push(line));
      return lines;
    };

    beforeEach(() => {
      for (const round of [1, 2, 3]) {
        swarm.addObject('config', STACK, `shop_conf${round}`);
        swarm.addObject('secret', STACK, `shop_token${round}`);
        swarm.addObject('network', STACK, `shop_net${round}`);
      }
    });

    it('that no other revision needs', async () => {
      await using('shop_conf1', 'shop_token1', 'shop_net1');
      await using('shop_conf2', 'shop_token1', 'shop_net2');
      await using('shop_conf3', 'shop_token3', 'shop_net1');
      expect(await trim(3)).toEqual([]);
      expect(left()).toHaveLength(9);
      expect(await trim(2)).toEqual([
        'removed config shop_conf1: no revision that is kept needs it',
      ]);
      expect(await trim(1)).toEqual(
        ['network shop_net2', 'config shop_conf2', 'secret shop_token1'].map(
          (each) => `removed ${each}: no revision that is kept needs it`,
        ),
      );
      // Nobody knows of the second token and the third network what they are for.
      expect(left()).toEqual(
        ['shop_conf3', 'shop_net1', 'shop_net3', 'shop_token2', 'shop_token3'].sort(),
      );
    });

    it('but not those of a service that a revision has beside those of its files', async () => {
      await using('shop_conf1');
      await using('shop_conf2');
      const first = (await readHistory(engine, STACK)).contentOf(1);
      if (first === 'incomplete' || first.sealed === undefined) throw new Error('not sealed');
      const open = await openRevision(engine, STACK, draft());
      const others = first.sealed.services.map(({ spec }) => ({ name: 'shop_other', spec }));
      await sealRevision(engine, STACK, open, { ...sealed(), others });
      await closeRevision(engine, STACK, open, deployed);
      expect(await trim(1)).toEqual([
        'removed config shop_conf2: no revision that is kept needs it',
      ]);
      expect(left()).toContain('shop_conf1');
    });

    it('but not those of others, or in use', async () => {
      swarm.addObject('config', 'other', 'outside');
      swarm.objects.find(({ name }) => name === 'shop_token1')!.busy = 1;
      await using('shop_conf1', 'shop_token1', 'outside');
      await using('shop_conf2');
      expect(await trim(1)).toEqual([
        'removed config shop_conf1: no revision that is kept needs it',
      ]);
      expect(left()).toEqual(expect.arrayContaining(['outside', 'shop_token1', 'shop_conf2']));
    });

    it('the next time, where the connection was lost on the way', async () => {
      await using('shop_conf1', 'shop_token1', 'shop_net1');
      await using('shop_conf2', 'shop_token2', 'shop_net2');
      loseWrite(2, false);
      const [, attempts] = await settled((each) => trimHistory(each, STACK, 1));
      expect(attempts).toBe(2);
      expect(left().filter((name) => name.endsWith('1'))).toEqual([]);
      expect(await numbers()).toEqual([2]);
    });
  });

  it('takes revisions before their parts', async () => {
    await make();
    await make();
    await trimHistory(engine, STACK, 1);
    const removed = swarm.writes.filter((each) => each.startsWith('remove'));
    expect(removed).toEqual(['remove config shop.revision.1', 'remove config shop.revision.1.2']);
  });
});

describe('a history that is damaged', () => {
  const without = (name: string): void => {
    swarm.objects = swarm.objects.filter((each) => each.name !== name);
  };

  it('is incomplete where a part is missing, of the files or of the services', async () => {
    for (const part of ['shop.revision.1.2', 'shop.revision.1.4']) {
      swarm.objects = [];
      const open = await openRevision(engine, STACK, draft({ content: large() }));
      await sealRevision(engine, STACK, open, sealed());
      without(part);
      const history = await readHistory(engine, STACK);
      expect(history.revisions).toHaveLength(1);
      expect(history.contentOf(1)).toBe('incomplete');
    }
  });

  it('is incomplete where a part is of somebody else or holds something else', async () => {
    await make();
    const part = swarm.objects.find(({ name }) => name === 'shop.revision.1.2')!;
    const { data, labels } = part;
    part.data = Buffer.from('no gzip').toString('base64');
    expect((await readHistory(engine, STACK)).contentOf(1)).toBe('incomplete');
    Object.assign(part, { data, labels: { ...labels, 'swarm-deploy.id': 'else' } });
    expect((await readHistory(engine, STACK)).contentOf(1)).toBe('incomplete');
    Object.assign(part, { labels });
    expect((await readHistory(engine, STACK)).contentOf(1)).not.toBe('incomplete');
  });

  it('is incomplete for a number that it does not have', async () => {
    expect((await readHistory(engine, STACK)).contentOf(1)).toBe('incomplete');
  });

  it('is read as far as it can be', async () => {
    await make();
    await make();
    const object = swarm.objects.find(({ name }) => name === 'shop.revision.1')!;
    object.labels = {
      'com.docker.stack.namespace': STACK,
      'swarm-deploy.kind': 'revision',
      'swarm-deploy.sealed': '-3',
      'swarm-deploy.parts': 'many',
      'swarm-deploy.highest': '1e9',
    };
    const history = await readHistory(engine, STACK);
    expect(history.revisions).toMatchObject([
      { number: 2, status: 'deployed' },
      { number: 1, status: 'unknown', id: '' },
    ]);
    expect(history.contentOf(1)).toBe('incomplete');
    expect((await make()).number).toBe(3);
  });

  it('has no place for what only looks like a part of it', async () => {
    for (const name of ['shop.revision.1', 'shop.revision.x', 'shop.revision.01', 'x.revision.1']) {
      swarm.addObject('config', STACK, name);
      swarm.objects.at(-1)!.labels = {
        'swarm-deploy.kind': name.endsWith('p.1') ? '' : 'revision',
      };
    }
    swarm.objects[0]!.labels = { 'com.docker.stack.namespace': STACK };
    expect(await numbers()).toEqual([]);
    expect((await openRevision(engine, STACK, draft())).number).toBe(2);
  });
});
