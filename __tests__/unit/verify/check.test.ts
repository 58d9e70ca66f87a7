import { describe, expect, it } from '@jest/globals';
import {
  complaint,
  expectationOf,
  fillIn,
  mendOf,
  parseCheck,
  secretsOf,
  shownUrl,
  type Answer,
  type Check,
} from '../../../src/verify/check.js';

const parsed = (text: string) => parseCheck(text, 1);

describe('a line', () => {
  it.each([
    ['https://shop.example', undefined, undefined],
    ['https://shop.example -> 204', 204, undefined],
    ['https://shop.example contains "version":"7"', undefined, '"version":"7"'],
    ['https://shop.example -> 401 contains please log in', 401, 'please log in'],
    [
      'https://shop.example   ->   200   contains   a -> 500 contains b',
      200,
      'a -> 500 contains b',
    ],
    ['http://[::1]:8080/x?y=z -> 301', 301, undefined],
  ])('%s', (text, status, contains) => {
    expect(parsed(text)).toMatchObject({ line: 1, status, contains });
  });

  it.each([
    'https://shop.example 204',
    'https://shop.example -> ok',
    'https://shop.example -> 2xx',
    'https://shop.example ->204',
    'https://shop.example -> 204 and more',
    'https://shop.example contains',
    'https://shop.example contains a'.replace(' a', '   '),
    'https://shop.example matches /a/',
    '-> 204',
    'shop.example/health',
    'ftp://shop.example/',
    'https://',
    'https://shop.example -> 100',
    'https://shop.example -> 999',
  ])('is refused: %s', (text) => {
    expect(parsed(text)).toEqual({ problem: expect.any(String) as unknown });
  });
});

it.each(['https://me:100%@shop.example/', 'http://p%zz@shop.example/'])('refuses %s', (url) => {
  expect(parseCheck(url, 1)).toEqual({ problem: expect.stringContaining('%25') });
  const line = { line: 1, url: '${U}', status: undefined, contains: undefined };
  expect(fillIn([line], new Map([['U', url]]), false).problems).toHaveLength(1);
});

describe('variables', () => {
  const variables = new Map([
    ['TAG', 'v7'],
    ['HOST', 'shop.example'],
    ['SLY', 'x -> 500 contains y'],
    ['EMPTY', ''],
  ]);
  const filled = (text: string, allowUnset = false) => {
    const line = parseCheck(text, 3);
    if ('problem' in line) throw new Error(line.problem);
    return fillIn([line], variables, allowUnset);
  };

  it('are filled in, in the URL and in the text', () => {
    expect(filled('https://${HOST}/x contains "version":"${TAG}"').checks).toEqual([
      {
        url: 'https://shop.example/x',
        shown: 'https://shop.example/x',
        status: undefined,
        contains: '"version":"v7"',
      },
    ]);
    expect(filled('https://${NONE:-other.example}/$$1').checks[0]?.url).toBe(
      'https://other.example/$1',
    );
  });

  it('never become a part of the grammar', () => {
    expect(filled('https://${HOST}/ contains ${SLY}').checks[0]?.contains).toBe(
      'x -> 500 contains y',
    );
    expect(filled('https://${HOST}/${SLY}').problems).toEqual([
      expect.objectContaining({
        message:
          'input verify, line 3: with its variables filled in, it has a URL with blanks in it',
      }),
    ]);
  });

  it('that are not set are an error with the line, unless that is allowed', () => {
    expect(filled('https://${HOST}/${NONE}')).toMatchObject({
      checks: [],
      problems: [
        {
          reason: 'variable-unset',
          message: 'input verify, line 3: the variable NONE is not set',
        },
      ],
    });
    expect(filled('https://${HOST}/${NONE}', true).checks[0]?.url).toBe('https://shop.example/');
    expect(filled('${NONE} -> 204', true).problems[0]?.message).toContain('no complete URL');
    expect(filled('https://${HOST} contains ${EMPTY}').problems[0]?.message).toContain(
      'asks for an empty text',
    );
  });
});

describe('what is shown of a URL', () => {
  it.each([
    ['https://shop.example/health', 'https://shop.example/health'],
    ['https://me:geheim@shop.example/x', 'https://***@shop.example/x'],
    ['https://me:ge@heim@shop.example/x', 'https://***@shop.example/x'],
    [
      'https://shop.example/x?token=abc&quick&a=b=c#top',
      'https://shop.example/x?token=***&***&a=***',
    ],
    ['https://${USER}:${PASSWORD}@shop.example/', 'https://***@shop.example/'],
  ])('%s', (url, shown) => {
    expect(shownUrl(url)).toBe(shown);
  });

  it('leaves out a password, which nobody else may read either', () => {
    const check = { url: 'https://me:ge%40heim@shop.example/' } as Check;
    expect(secretsOf(check)).toEqual(['ge%40heim', 'ge@heim', 'me:ge@heim']);
    expect(secretsOf({ url: 'https://shop.example/' } as Check)).toEqual([]);
  });
});

describe('an answer', () => {
  const check = (more: Partial<Check> = {}): Check => ({
    url: 'https://shop.example/',
    shown: 'https://shop.example/',
    status: undefined,
    contains: undefined,
    ...more,
  });
  const answer = (more: object = {}): Answer => ({
    ...{ status: 200, location: '', body: 'all is well', isWhole: true },
    ...more,
  });

  it.each([200, 204, 299])('of %i is well where nothing is asked for', (status) => {
    expect(complaint(check(), answer({ status }))).toBe('');
  });

  it.each([199, 300, 404, 500])('of %i is not', (status) => {
    expect(complaint(check(), answer({ status }))).toContain(`it answered ${status}`);
  });

  it('has to be the status that is asked for, and no other', () => {
    expect(complaint(check({ status: 204 }), answer({ status: 204 }))).toBe('');
    expect(complaint(check({ status: 204 }), answer())).toBe('it answered 200');
    expect(complaint(check({ status: 404 }), answer({ status: 404 }))).toBe('');
  });

  it('that leads elsewhere is told, and not followed', () => {
    const moved = answer({ status: 301, location: 'https://a:b@www.shop.example/?session=1' });
    expect(complaint(check(), moved)).toBe(
      'it answered 301, a redirect to https://***@www.shop.example/?session=***; redirects are not followed: ' +
        'give the URL that it leads to, or ask for -> 301',
    );
    expect(complaint(check({ status: 301 }), moved)).toBe('');
  });

  it('has to have the text in its body, where one is asked for', () => {
    expect(complaint(check({ contains: 'is well' }), answer())).toBe('');
    expect(complaint(check({ contains: 'v7' }), answer())).toBe(
      'it answered 200, but its body does not have v7 in it',
    );
    expect(complaint(check({ contains: 'v7' }), answer({ isWhole: false }))).toContain(
      'the first MiB of its body',
    );
    // The status comes first.
    expect(complaint(check({ contains: 'v7' }), answer({ status: 502 }))).toBe('it answered 502');
  });

  it('that came in part is no answer, but for the text in it', () => {
    const half = answer({ isWhole: false, unfinished: 'its body did not end within 10 s' });
    expect(complaint(check(), half)).toBe('it answered 200, but its body did not end within 10 s');
    expect(complaint(check({ contains: 'v7' }), half)).toContain('did not end within 10 s');
    expect(complaint(check({ contains: 'is well' }), half)).toBe('');
    expect(complaint(check({ status: 204 }), half)).toBe('it answered 200');
    expect(mendOf(check(), half)).toMatch(/whose answer comes to its end/);
  });

  it('that never came is an error', () => {
    expect(complaint(check(), { error: 'nothing listens there' })).toBe('nothing listens there');
  });

  it.each([
    [{}, { error: 'nothing listens there' }, /^Check that the runner gets there/],
    [{}, { status: 503 }, /^The summary shows how the answer begins, and docker service logs/],
    [{}, { status: 404 }, /^Correct the URL or the status/],
    [{ status: 204 }, { status: 200 }, /^Correct the URL or the status/],
    [
      { status: 503, contains: 'v7' },
      { status: 503 },
      /^The summary shows .* from a cache or another host/,
    ],
    [{ contains: 'v7' }, { status: 200 }, /^The summary shows .* from a cache or another host/],
  ])('that is not well has its mend: %j, %j', (asked, given, words) => {
    expect(mendOf(check(asked), 'error' in given ? given : answer(given))).toMatch(words);
  });

  it('is told with what was asked for', () => {
    expect(expectationOf(check())).toBe('2xx');
    expect(expectationOf(check({ status: 204, contains: 'x' }))).toBe('204 and a body with x');
  });
});
