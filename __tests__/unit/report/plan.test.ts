import { describe, expect, it } from '@jest/globals';
import type { FieldChange, Plan, PlannedService } from '../../../src/planning/difference.js';
import { planLines, planMessage, plannedReports, planSummary } from '../../../src/report/plan.js';

const service = (more: Partial<PlannedService> = {}): PlannedService => ({
  name: 'shop_api',
  change: 'updated',
  restarts: 'all',
  job: false,
  image: 'web:v2',
  previousImage: 'web:v1',
  replicas: 2,
  previousReplicas: 2,
  fields: [],
  ...more,
});
const field = (more: Partial<FieldChange>): FieldChange => ({
  field: 'image',
  change: 'changed',
  redacted: false,
  before: 'web:v1',
  after: 'web:v2',
  ...more,
});
const plan = (services: readonly PlannedService[], objects: Plan['objects'] = []): Plan => ({
  hasChanges: true,
  services,
  objects,
});

describe('a plan in words', () => {
  it.each([
    [service(), '! service shop_api: updated, its tasks restart'],
    [service({ replicas: 5 }), '! service shop_api: updated, its tasks restart, 3 tasks more'],
    [
      service({ restarts: 'none', replicas: 1 }),
      '! service shop_api: updated, no task restarts, 1 task fewer',
    ],
    [
      service({ restarts: 'misplaced' }),
      '! service shop_api: updated, tasks restart where their node fits no longer',
    ],
    [service({ job: true }), '! service shop_api: updated, and runs again: it is a job'],
    [service({ change: 'created', replicas: null }), '+ service shop_api: created, web:v2'],
  ])('tells a service on its line %#', (each, line) => {
    expect(planLines(plan([each])).map((text) => text.trimEnd())).toEqual([line.trim()]);
  });

  it('tells a digest where nothing else of an image is new', () => {
    const [a, b] = ['a'.repeat(64), 'b'.repeat(64)];
    const lines = planLines(
      plan([service({ fields: [field({ before: `web@sha256:${a}`, after: `web@sha256:${b}` })] })]),
    );
    expect(lines.slice(1)).toEqual([
      `-   image: web@sha256:${a.slice(0, 12)}`,
      `+   image: web@sha256:${b.slice(0, 12)}`,
    ]);
  });

  it('cuts what is long, and lets no foreign text out of its line or its fence', () => {
    const hostile = 'x\n```\n# a title ::error::no ##[error]no \u001b[31mred';
    const lines = planSummary(
      plan([
        service({
          name: '````\n',
          fields: [field({ field: 'command', before: hostile, after: 'y'.repeat(5000) })],
        }),
      ]),
    );
    expect(lines[2]).toBe('`````diff');
    expect(lines.at(-2)).toBe('`````');
    expect(lines).toHaveLength(8);
    expect(lines.every((line) => !line.includes('\n'))).toBe(true);
    expect(lines.join('')).not.toMatch(/##\[|\u001b/);
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThan(400);
  });

  it('sums up what would be done', () => {
    const objects: Plan['objects'] = [
      { kind: 'config', name: 'shop_b', change: 'rotated', from: 'shop_a', fields: [] },
      { kind: 'secret', name: 's', change: 'created', from: '', fields: [] },
    ];
    expect(
      planMessage(
        plan(
          [
            service(),
            service({ change: 'removed', restarts: 'none' }),
            service({ change: 'left', restarts: 'none' }),
          ],
          objects,
        ),
      ),
    ).toBe(
      'A deploy would make these changes: 1 service updated, 1 service removed, 1 config rotated, ' +
        '1 secret created. 1 service would restart tasks. 1 service not in the files is left running.',
    );
    const job = service({ restarts: 'all', job: true });
    expect(planMessage({ hasChanges: true, services: [job], objects: [] })).toBe(
      'A deploy would make these changes: 1 service updated. 1 service would restart tasks. A job runs again, as with every deploy.',
    );
  });

  it('reports services as those of a deploy, but for what is left', () => {
    expect(
      plannedReports(plan([service({ image: 'web:v2@sha256:ab' }), service({ change: 'left' })])),
    ).toEqual([
      expect.objectContaining({
        name: 'shop_api',
        image: 'web:v2',
        digest: 'sha256:ab',
        outcome: 'untouched',
      }),
    ]);
  });
});
