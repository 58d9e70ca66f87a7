/**
 * What a reader sees of rollouts as a real swarm went through them, and of whole runs: log, annotations and
 * summary, word for word, and the report (__tests__/stories). `npm run stories -- --accept` writes them anew,
 * to be read before they are kept.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { GREEN_OUTCOMES, RED_OUTCOMES } from '../../src/errors.js';
import { plays } from '../support/plays.js';
import { faultsOf } from '../support/report-schema.js';
import { storyText, tell, type Story } from '../support/story.js';
import { loadTrace, traceNames } from '../support/traces.js';

const FOLDER = new URL('../stories/', import.meta.url);
const ACCEPT = process.env['ACCEPT_STORIES'] === '1';

function compare(name: string, title: string, story: Story): void {
  const written = { [`${name}.txt`]: storyText(title, story), [`${name}.json`]: story.report };
  expect(faultsOf(story.report)).toEqual([]);
  if (ACCEPT) mkdirSync(FOLDER, { recursive: true });
  for (const [file, text] of Object.entries(written)) {
    const path = new URL(file, FOLDER);
    if (ACCEPT) writeFileSync(path, text);
    expect(text).toBe(readFileSync(path, 'utf8'));
  }
}

describe('what a reader sees of', () => {
  it.each(traceNames)('%s', (name) => {
    const trace = loadTrace(name);
    compare(name, `${trace.title} (engine ${trace.engine})`, tell(trace));
  });

  it.each(Object.keys(plays))('%s', async (name) => {
    const { title, play } = plays[name] ?? {};
    const story = await play?.();
    if (title === undefined || story === undefined) throw new Error(`no play ${name}`);
    compare(name, `${title} (simulated swarm)`, story);
  });
});

describe('the stories', () => {
  it('are those that there are, at least twelve of them from a real swarm', () => {
    const kept = readdirSync(FOLDER);
    const names = [...traceNames, ...Object.keys(plays)];
    expect(kept.sort()).toEqual(names.flatMap((name) => [`${name}.json`, `${name}.txt`]).sort());
    expect(traceNames.length).toBeGreaterThanOrEqual(12);
  });

  it('have every outcome', () => {
    const reports = readdirSync(FOLDER).filter((file) => file.endsWith('.json'));
    const outcomes = new Set(
      reports.map((file) => {
        const report: unknown = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8'));
        return (report as { readonly outcome: string }).outcome;
      }),
    );
    expect([...outcomes].sort()).toEqual([...GREEN_OUTCOMES, ...RED_OUTCOMES].sort());
  });
});
