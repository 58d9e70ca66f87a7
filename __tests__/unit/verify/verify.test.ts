import { describe, expect, it } from '@jest/globals';
import { maskOf } from '../../../src/report/dossier-log.js';
import type { Answer, Check } from '../../../src/verify/check.js';
import { verify, type Verifier } from '../../../src/verify/verify.js';

const check = (url: string, more: Partial<Check> = {}): Check => ({
  ...{ url, shown: url, status: undefined, contains: undefined },
  ...more,
});
const answer = (status: number, body = ''): Answer => ({
  ...{ status, location: '', body, isWhole: true },
});

/** @param answers of each URL, one after the other; the last one again and again */
function verifier(answers: Record<string, readonly Answer[]>, more: Partial<Verifier> = {}) {
  let now = 0;
  const asked: string[] = [];
  const said: string[] = [];
  const limits: number[] = [];
  return {
    asked,
    said,
    limits,
    clock: {
      now: () => now,
      sleep: async (ms: number, signal?: AbortSignal) => {
        signal?.throwIfAborted();
        now += ms;
      },
    },
    signal: new AbortController().signal,
    probe: async (url: string, timeoutMs: number) => {
      const before = asked.filter((each) => each === url).length;
      asked.push(url);
      limits.push(timeoutMs);
      const list = answers[url] ?? [];
      return list[Math.min(before, list.length - 1)] ?? { error: 'nobody is there' };
    },
    timeoutMs: 10_000,
    mask: maskOf(['geheim']),
    say: (line: string) => said.push(line),
    ...more,
  };
}

describe('verify', () => {
  it('asks again until the answer is well', async () => {
    const world = verifier({ 'http://a/': [answer(503), { error: 'refused' }, answer(200, 'ok')] });
    expect(await verify([check('http://a/')], world)).toEqual([
      {
        url: 'http://a/',
        expectation: '2xx',
        ok: true,
        status: 200,
        tookMs: 1250,
        attempts: 3,
        body: 'ok',
        error: '',
        mend: '',
      },
    ]);
    expect(world.said).toEqual([
      'http://a/: it answered 503; asking again',
      'http://a/: refused; asking again',
      'http://a/ answers 2xx',
    ]);
  });

  it('gives up when the time for all of them is over, and says the same thing once', async () => {
    const world = verifier({ 'http://a/': [answer(200)], 'http://b/': [answer(500, 'oops')] });
    const [a, b] = await verify([check('http://a/'), check('http://b/')], world);
    expect(a).toMatchObject({ ok: true, attempts: 1 });
    expect(b).toMatchObject({ ok: false, status: 500, body: 'oops', error: 'it answered 500' });
    expect(world.clock.now()).toBe(10_000);
    expect(b?.attempts).toBeGreaterThan(3);
    expect(world.said.filter((line) => line.includes('asking again'))).toHaveLength(1);
    expect(Math.max(...world.limits)).toBe(10_000);
    expect(Math.min(...world.limits)).toBe(1000);
  });

  it('asks once at least, however little time there is', async () => {
    const world = verifier({ 'http://a/': [answer(200)] }, { timeoutMs: 1 });
    expect((await verify([check('http://a/')], world))[0]).toMatchObject({ ok: true });
  });

  it('keeps the beginning of a body without secrets and terminal tricks', async () => {
    const body = `geheim \u001b[2Jone\ntwo${'x'.repeat(30_000)}`;
    const world = verifier({ 'http://a/': [answer(500, body)] });
    const [a] = await verify([check('http://a/')], world);
    expect(a?.body.startsWith('*** one\ntwoxxx')).toBe(true);
    expect(a?.body).toHaveLength(1000);
    const binary = verifier({ 'http://a/': [answer(500, 'a\0b')] });
    expect((await verify([check('http://a/')], binary))[0]?.body).toBe('');
  });

  it('stops where the run is cancelled', async () => {
    const cancel = new AbortController();
    const world = verifier({ 'http://a/': [answer(500)] }, { signal: cancel.signal });
    const running = verify([check('http://a/')], {
      ...world,
      probe: async () => {
        cancel.abort(new Error('cancelled by SIGINT'));
        return { error: 'aborted' };
      },
    });
    await expect(running).rejects.toThrow('cancelled by SIGINT');
  });
});
