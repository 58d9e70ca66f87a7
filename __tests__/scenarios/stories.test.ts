/**
 * What a reader sees of rollouts as a real swarm went through them: log, annotations and summary, word for
 * word (__tests__/stories). `npm run stories -- --accept` writes them anew, to be read before they are kept.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { storyText, tell } from '../support/story.js';
import { loadTrace, traceNames } from '../support/traces.js';

const FOLDER = new URL('../stories/', import.meta.url);
const ACCEPT = process.env['ACCEPT_STORIES'] === '1';

describe('what a reader sees of', () => {
  it.each(traceNames)('%s', (name) => {
    const trace = loadTrace(name);
    const text = storyText(trace, tell(trace));
    const file = new URL(`${name}.txt`, FOLDER);
    if (ACCEPT) {
      mkdirSync(FOLDER, { recursive: true });
      writeFileSync(file, text);
    }
    expect(text).toBe(readFileSync(file, 'utf8'));
  });
});

it('are at least twelve stories, half of them of failures', () => {
  const stories = traceNames.map((name) => tell(loadTrace(name)));
  expect(stories.length).toBeGreaterThanOrEqual(12);
  expect(stories.filter(({ summary }) => summary.startsWith('## ❌')).length).toBeGreaterThan(5);
});
