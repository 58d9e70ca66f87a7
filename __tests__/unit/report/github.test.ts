import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { actionsLog } from '../../../src/report/github.js';
import { createNarrator } from '../../../src/report/narrator.js';

const { NO_COLOR } = process.env;
afterEach(() => {
  jest.restoreAllMocks();
  if (NO_COLOR === undefined) delete process.env['NO_COLOR'];
  else process.env['NO_COLOR'] = NO_COLOR;
});

/** What goes to the runner while something is said. */
function printed(noColour: string | undefined, action: () => void): string {
  if (noColour === undefined) delete process.env['NO_COLOR'];
  else process.env['NO_COLOR'] = noColour;
  const parts: string[] = [];
  jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
    parts.push(String(text));
    return true;
  });
  action();
  jest.restoreAllMocks();
  return parts.join('');
}
const narrator = createNarrator(actionsLog, { now: () => 0, sleep: () => Promise.resolve() });

describe('the log', () => {
  it('has colour for the eye: the time is faint, and what it is about green or red', () => {
    expect(printed(undefined, () => narrator.say('all is well', 'good'))).toBe(
      '\u001b[90m 0:00  \u001b[0m\u001b[32mall is well\u001b[0m\n',
    );
    expect(printed('', () => narrator.fail('boom'))).toBe(
      '\u001b[90m 0:00  \u001b[0m\u001b[31mFAILED  boom\u001b[0m\n',
    );
    expect(printed(undefined, () => narrator.say('plain'))).toBe(
      '\u001b[90m 0:00  \u001b[0mplain\n',
    );
  });
  it('has none where NO_COLOR is set', () => {
    for (const tone of ['good', 'bad', 'faint'] as const)
      expect(printed('1', () => narrator.say('all is well', tone))).toBe(' 0:00  all is well\n');
  });
  it('takes no colour from elsewhere', () => {
    expect(printed('1', () => narrator.say('a \u001b[31mred\u001b[0m word'))).toBe(
      ' 0:00  a red word\n',
    );
  });
});

it('annotates a file as the repository has it', () => {
  for (const file of ['./stacks/shop.yml', 'stacks/../stacks/shop.yml', 'stacks/shop.yml'])
    expect(printed('1', () => actionsLog.warning('look', { file, line: 3 }))).toBe(
      '::warning file=stacks/shop.yml,line=3::look\n',
    );
});

it('debug lines carry the time and are one line each; without debug logging none are made', () => {
  const lines: string[] = [];
  const nothing = (): void => undefined;
  const log = {
    ...{ line: nothing, warning: nothing, notice: nothing, startGroup: nothing, endGroup: nothing },
  };
  const clock = { now: () => 0, sleep: () => Promise.resolve() };
  createNarrator({ ...log, debug: (text) => lines.push(text) }, clock).debug?.('GET /x\n::y::');
  expect(lines).toEqual([' 0:00  GET /x ::y::']);
  expect(createNarrator(log, clock).debug).toBeUndefined();
});
