import { describe, expect, it } from '@jest/globals';
import { Chart, ganttLines, type Bar } from '../../../src/report/chart.js';

const bar = (more: Partial<Bar> = {}): Bar => ({
  kind: 'rollout',
  name: 'shop_api',
  from: 1000,
  to: 4500,
  state: 'done',
  reached: '3/3',
  ...more,
});
const drawn = (bars: readonly Bar[], durationMs = 20_000): readonly string[] =>
  ganttLines(bars, durationMs).filter((line) => line.startsWith('  '));

describe('a chart', () => {
  it('has a bar from the first look at a service that is not there yet until it is', () => {
    let now = 0;
    const chart = new Chart(() => now);
    const close = chart.step('Watch');
    chart.service('rollout', 'still', 'done', '1/1');
    chart.service('rollout', 'api', 'open', '0/2');
    now = 500;
    chart.service('rollout', 'api', 'failed', '1/2');
    chart.service('rollout', 'web', 'open', '0/1');
    now = 900;
    chart.service('rollout', 'api', 'done', '2/2');
    now = 1000;
    close('done');
    chart.close('rollout');
    now = 2000;
    chart.service('rollout', 'api', 'done', '2/2');
    expect(chart.bars()).toEqual([
      { kind: 'step', name: 'Watch', from: 0, to: 1000, state: 'done', reached: '' },
      { kind: 'rollout', name: 'api', from: 0, to: 900, state: 'done', reached: '2/2' },
      { kind: 'rollout', name: 'web', from: 500, to: 1000, state: 'open', reached: '0/1' },
    ]);
  });
  it('shows what goes on as far as it came', () => {
    let now = 0;
    const chart = new Chart(() => now);
    chart.step('Watch');
    now = 70;
    expect(chart.bars()).toMatchObject([{ to: 70, state: 'open' }]);
  });
});

describe('the gantt', () => {
  it('is what Mermaid reads', () => {
    expect(
      ganttLines(
        [
          bar({ kind: 'step', name: 'Deploy the stack', from: 0, to: 1000, reached: '' }),
          bar({ kind: 'step', name: 'over in no time', from: 0, to: 20, reached: '' }),
          bar({ state: 'failed', reached: '1/3' }),
          bar({ kind: 'back', from: 5000, to: 3_725_042 }),
        ],
        3_725_042,
      ),
    ).toEqual([
      '```mermaid',
      'gantt',
      ' dateFormat YYYY-MM-DD HH:mm:ss.SSS',
      ' axisFormat %H:%M:%S',
      ' tickInterval 600second',
      ' section Rollout',
      '  ✗ shop_api 1/3 3.5 s :crit, 2000-01-01 00:00:01.000, 3500ms',
      ' section Back again',
      '  ✓ shop_api 3/3 62 min :2000-01-01 00:00:05.000, 3720042ms',
      '```',
      '',
    ]);
  });
  it('is none where nothing was rolled out', () => {
    expect(ganttLines([bar({ kind: 'step' })], 5000)).toEqual([]);
  });
  it('has few bars, those that failed and those that took longest, and says how many it leaves out', () => {
    const many = Array.from({ length: 500 }, (_, index) =>
      bar({
        name: `s${index}`,
        to: 1000 + index,
        ...(index % 100 === 0 ? { state: 'failed' as const } : {}),
      }),
    );
    const lines = drawn(many);
    expect(lines).toHaveLength(24);
    expect(lines.filter((line) => line.includes('✗'))).toHaveLength(5);
    expect(lines.at(-1)).toContain('s499');
    expect(ganttLines(many, 20_000)).toContain('and 476 more services, not drawn');
    expect(ganttLines(many, 20_000).join('\n').length).toBeLessThan(5000);
  });
  it('tells services apart whose names begin alike, and counts one that goes there and back once', () => {
    const name = (index: number): string => `shop_${'long-name-'.repeat(5)}${index}`;
    const both = Array.from({ length: 20 }, (_, index) => [
      bar({ name: name(index), state: 'failed' }),
      bar({ name: name(index), kind: 'back' }),
    ]).flat();
    const lines = drawn(both);
    expect(lines[0]).toMatch(/^ {2}✗ \.\.\.\S+long-name-0 3\/3 /);
    expect(lines[1]).toContain('long-name-1 3/3');
    expect(ganttLines(both, 20_000).join('\n')).not.toContain('not drawn');
    const more = [
      ...both,
      ...Array.from({ length: 30 }, (_, i) => bar({ name: `x${i}`, to: 1001 })),
    ];
    expect(ganttLines(more, 20_000)).toContain('and 30 more services, not drawn');
  });
  it.each(['a:b', 'x;y\nend', '```', 'a #quot; b', '%%{init}%%', '<script>', 'click x call y()'])(
    'takes the name %j for no words of its own',
    (name) => {
      const [line = ''] = drawn([bar({ name })]);
      expect(line).toMatch(/^ {2}✓ [^:;#%<`\n]*:2000-/);
    },
  );
});
