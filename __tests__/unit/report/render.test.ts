import { describe, expect, it } from '@jest/globals';
import { GREEN_OUTCOMES, RED_OUTCOMES } from '../../../src/errors.js';
import { failureLine } from '../../../src/report/failure.js';
import type { FailureReport, RunReport, ServiceReport } from '../../../src/report/outcome.js';
import {
  headline,
  isGreen,
  lastLine,
  outputsOf,
  reportOf,
  summaryOf,
} from '../../../src/report/render.js';

const serviceReport = (name: string, more: Partial<ServiceReport> = {}): ServiceReport => ({
  name,
  change: 'updated',
  image: 'api:2',
  digest: `sha256:${'2'.repeat(64)}`,
  previousImage: 'api:1',
  previousDigest: '',
  replicas: { running: 3, desired: 3 },
  outcome: 'healthy',
  reason: '',
  ...more,
});
const failure = (more: Partial<FailureReport> = {}): FailureReport => ({
  taskId: 't',
  service: 'shop_api',
  slot: 2,
  node: 'worker-1',
  reason: 'crash-loop',
  fatal: false,
  error: 'task: non-zero exit (137)',
  exitCode: 137,
  ...more,
});
const report = (more: Partial<RunReport> = {}): RunReport => ({
  stack: 'shop',
  mode: 'deploy',
  manager: 'deploy@m1:22',
  outcome: 'deployed',
  reason: '',
  message: 'All is well.',
  hint: '',
  position: undefined,
  problems: [],
  services: [serviceReport('shop_api')],
  failures: [],
  warnings: [],
  lint: [],
  timeline: [],
  durationMs: 12_345,
  inputs: {},
  tasks: [],
  revision: undefined,
  previousRevision: undefined,
  history: [],
  dossier: [],
  verification: [],
  ...more,
});
const outcomes = [...GREEN_OUTCOMES, ...RED_OUTCOMES];

describe('a service whose tasks end by themselves', () => {
  const row = (ended: number): string | undefined =>
    summaryOf(report({ services: [serviceReport('job', { ended })] }))
      .split('\n')
      .find((line) => line.startsWith('| job '));
  it('is completed, and is not said to run', () => {
    expect(row(3)).toContain('| ✅&nbsp;completed | 3/3 ended |');
  });
  it('is healthy as long as some of it runs', () => {
    expect(row(1)).toContain('| ✅&nbsp;healthy | 3/3, 1 ended |');
  });
});

it('a service that has nothing to run is not called healthy', () => {
  const services = [serviceReport('agent', { replicas: { running: 0, desired: 0 } })];
  expect(summaryOf(report({ services }))).toContain('| agent | ✅&nbsp;nothing to run | 0/0 |');
});

describe('outputs', () => {
  it.each(outcomes)('are all there at %s', (outcome) => {
    const outputs = outputsOf(report({ outcome, reason: 'timeout', services: [] }));
    expect([...outputs.keys()].sort()).toEqual([
      'changed-services',
      'duration',
      'has-changes',
      'outcome',
      'previous-revision',
      'reason',
      'revision',
      'services',
    ]);
    expect(outputs.get('outcome')).toBe(outcome);
    expect(outputs.get('changed-services')).toBe('[]');
    expect(outputs.get('services')).toBe('[]');
    expect(outputs.get('duration')).toBe('12.3');
  });
  it('name what changed', () => {
    const services = [
      serviceReport('a'),
      serviceReport('b', { change: 'unchanged' }),
      serviceReport('c', { change: 'removed' }),
    ];
    const outputs = outputsOf(report({ services }));
    expect(JSON.parse(outputs.get('changed-services') ?? '')).toEqual(['a', 'c']);
    expect(JSON.parse(outputs.get('services') ?? '')).toHaveLength(3);
    expect(Object.keys((JSON.parse(outputs.get('services') ?? '') as object[])[0] ?? {})).toEqual([
      'name',
      'change',
      'image',
      'digest',
      'previousImage',
      'replicas',
      'outcome',
      'reason',
    ]);
  });
});

describe('the headline', () => {
  it.each(outcomes)('of %s is one of its own', (outcome) => {
    const line = headline(report({ outcome }));
    expect(line).toContain('shop');
    expect(outcomes.filter((other) => headline(report({ outcome: other })) === line)).toEqual([
      outcome,
    ]);
    expect(summaryOf(report({ outcome })).startsWith(isGreen(outcome) ? '## ✅' : '## ❌')).toBe(
      true,
    );
  });
  it('reads well where not even the stack is known', () => {
    const line = headline(report({ outcome: 'invalid', stack: '' }));
    expect(line).not.toMatch(/ {2}| ,/);
    // The mode is not known either.
    expect(line).not.toContain('deploy');
  });
  it('claims nothing where nobody waited', () => {
    const accepted = [
      serviceReport('shop_api', { outcome: 'accepted', replicas: { running: 0, desired: 3 } }),
    ];
    for (const outcome of ['deployed', 'unchanged'] as const)
      for (const mode of ['deploy', 'rollback']) {
        const run = report({ outcome, mode, services: accepted });
        expect(headline(run)).toMatch(/whether it runs was not waited for\.$/);
        expect(summaryOf(run).startsWith('## ⏳')).toBe(true);
        expect(summaryOf(run)).not.toContain('0/3');
      }
  });
  it('of a look is not said to be of a deploy', () => {
    for (const outcome of ['invalid', 'unreachable', 'cancelled', 'failed'] as const)
      expect(headline(report({ outcome, mode: 'status', services: [] }))).not.toContain('deploy');
  });
  it('is green for five outcomes and no other', () => {
    expect(outcomes.filter(isGreen)).toEqual([
      'deployed',
      'unchanged',
      'planned',
      'reported',
      'removed',
    ]);
  });
});

it.each([...RED_OUTCOMES])('the log of %s ends with outcome and reason', (outcome) => {
  expect(lastLine(report({ outcome, reason: 'timeout' }))).toBe(
    `Outcome ${outcome}, reason timeout (12.3 s)`,
  );
});

describe('the summary', () => {
  it('shows a service in one row of as many cells as the head has', () => {
    const text = summaryOf(
      report({
        services: [
          serviceReport('shop_api|x', { reason: 'unhealthy', outcome: 'failed', image: 'a|b' }),
        ],
      }),
    );
    const rows = text.split('\n').filter((line) => line.startsWith('|'));
    expect(rows).toHaveLength(3);
    for (const row of rows) expect(row.split('|')).toHaveLength(8);
    expect(rows[2]).toMatch(/failed: (<code>)?unhealthy/);
    expect(rows[2]).toContain('<code>222222222222</code>');
  });
  it('shows failed services first, then by name', () => {
    const services = [
      serviceReport('z', { outcome: 'untouched' }),
      serviceReport('y'),
      serviceReport('b', { outcome: 'failed' }),
      serviceReport('a', { outcome: 'failed' }),
      serviceReport('x', { outcome: 'restored' }),
      serviceReport('w', { outcome: 'unknown' }),
    ];
    const names = summaryOf(report({ services }))
      .split('\n')
      .slice(6)
      .filter((line) => line.startsWith('|'))
      .map((line) => line.split(' ')[1]);
    expect(names).toEqual(['a', 'b', 'w', 'x', 'y', 'z']);
  });
  it('stays far below the limit of GitHub with 2,000 services and hostile names', () => {
    const services = Array.from({ length: 2000 }, (_, index) =>
      serviceReport(`${'<|&'.repeat(60)}${index}`),
    );
    const failures = Array.from({ length: 5000 }, () => failure({ error: '*'.repeat(100_000) }));
    const warnings = Array.from({ length: 500 }, () => '|'.repeat(5000));
    const text = summaryOf(
      report({ outcome: 'failed', services, failures, warnings, message: '<'.repeat(50_000) }),
    );
    expect(Buffer.byteLength(text)).toBeLessThan(1024 * 1024);
    expect(text.startsWith('## ❌')).toBe(true);
    expect(text).toMatch(/1500 more services|too long for a summary/);
    expect(
      text
        .split('\n')
        .filter((line) => line.startsWith('|'))
        .every((line) => line.endsWith('|')),
    ).toBe(true);
  });
  it('of 200 services with failures says on its first lines what failed, and is far below the limit', () => {
    const services = Array.from({ length: 200 }, (_, index) =>
      serviceReport(`shop_s${String(index).padStart(3, '0')}`, {
        ...(index % 20 === 7
          ? { outcome: 'failed', reason: 'unhealthy' }
          : index % 3 === 0
            ? { outcome: 'restored' }
            : { change: 'unchanged', outcome: 'untouched' }),
      }),
    );
    const failed = services.filter(({ outcome }) => outcome === 'failed');
    const dossier = failed.map(({ name }, index) => ({
      service: name,
      reason: 'unhealthy' as const,
      cause: `Its healthcheck does not pass (${index}).`,
      mend: 'Mend what the check finds.',
      place: { file: 'docker-stack.yml', line: 10 * index + 1 },
      tasks: [],
    }));
    const bars = services.map(({ name, outcome }, index) => ({
      ...{ kind: 'rollout' as const, name, from: 1000, to: 2000 + index, reached: '0/3' },
      state: outcome === 'failed' ? ('failed' as const) : ('done' as const),
    }));
    const text = summaryOf(
      report({
        ...{ outcome: 'rolled-back', reason: 'unhealthy', services, dossier, bars },
        ...{ revision: 8, previousRevision: 7 },
        message: '3 tasks of shop_s007 failed.',
        failures: failed.flatMap(({ name }) => [failure({ service: name })]),
      }),
    );
    expect(Buffer.byteLength(text)).toBeLessThan(100_000);
    const [head, ...rest] = text.split('\n').filter((line) => line !== '');
    expect(head).toMatch(/^## ❌ The deploy of shop failed and was rolled back/);
    expect(rest.slice(0, 6).join('\n')).toMatch(
      /shop&#95;s007[^]*healthcheck does not pass \(0\)[^]*docker-stack\.yml&#58;1<[^]*Mend what the check finds/,
    );
    // What failed and what was put back; those that nothing happened to are folded.
    const [loud = '', quiet = ''] = text.split('services that did not change</summary>');
    expect(loud.split('\n').filter((line) => line.includes('❌&nbsp;failed'))).toHaveLength(10);
    expect(loud).not.toContain('untouched');
    expect(quiet.split('\n').filter((line) => line.includes(' | untouched | '))).toHaveLength(
      services.filter(({ outcome }) => outcome === 'untouched').length,
    );
    expect(text).toContain('Revision 7 runs, as before');
    expect(text).toContain('and 176 more services, not drawn');
  });
  it('says the cause first where the headline says what became of the stack, and else the verdict', () => {
    const order = (outcome: RunReport['outcome']): readonly number[] => {
      const known = { service: 'shop_api', reason: 'unhealthy' as const, tasks: [] };
      const text = summaryOf(
        report({
          ...{ outcome, message: 'As it is now.', hint: 'Do this.' },
          dossier: [{ ...known, cause: 'It is not well.', mend: 'Mend it.' }],
        }),
      );
      const places = ['It is not well.', 'Mend it.', 'As it is now.', 'Do this.'].map((words) =>
        text.indexOf(words),
      );
      expect(Math.min(...places)).toBeGreaterThan(0);
      return places.map((place) => places.filter((other) => other < place).length);
    };
    expect(order('rolled-back')).toEqual([0, 1, 2, 3]);
    expect(order('failed')).toEqual([0, 1, 2, 3]);
    expect(order('rollback-failed')).toEqual([2, 3, 0, 1]);
  });
  it('of a stack that was looked at says how it is', () => {
    const looked = (...outcomes: readonly ServiceReport['outcome'][]): string =>
      summaryOf(
        report({
          outcome: 'reported',
          services: outcomes.map((outcome) => serviceReport('shop_api', { outcome })),
        }),
      ).split('\n')[0] ?? '';
    expect(looked('healthy')).toBe('## ✅ shop runs as it should; nothing was touched.');
    expect(looked('healthy', 'failed')).toBe(
      '## ⚠️ shop does not run as it should; nothing was touched.',
    );
    expect(looked()).toBe('## ⚠️ shop is not in the swarm; nothing was touched.');
  });
  it('closes what is open where it is cut', () => {
    const plan = {
      hasChanges: true,
      objects: [],
      services: Array.from({ length: 30_000 }, (_, index) => ({
        ...{ name: `shop_${index}`, change: 'created' as const, image: 'a:1', previousImage: '' },
        ...{ replicas: 1, previousReplicas: null, job: false, restarts: 'none' as const },
        fields: [],
      })),
    };
    const text = summaryOf(report({ outcome: 'planned', plan: plan }));
    expect(Buffer.byteLength(text)).toBeLessThan(1024 * 1024);
    expect(text.match(/^```/gm)).toHaveLength(2);
    expect(text.trimEnd().split('\n').at(-1)).toMatch(/^The rest is too long for a summary/);
  });
  it('says what can be done next, and takes no strange name into a command', () => {
    const said = (more: Partial<RunReport>): string =>
      summaryOf(report({ revision: 8, previousRevision: 7, ...more }));
    expect(said({})).toContain(
      'To go back to revision 7</summary>\n\n```yaml\nwith:\n  mode: rollback\n  stack: shop\n  revision: 7\n  # host, login and registry: as in this step\n```',
    );
    expect(said({ outcome: 'failed' })).toContain('docker stack ps --no-trunc shop');
    expect(said({ outcome: 'rollback-failed' })).toContain('To deploy revision 7 again:');
    expect(said({ outcome: 'unreachable' })).toContain('mode&#58; status');
    expect(said({ outcome: 'unreachable', services: [] })).not.toContain('mode&#58; status');
    const back = [serviceReport('shop_api', { outcome: 'restored' })];
    expect(said({ outcome: 'cancelled' })).toContain('mode&#58; status');
    expect(said({ outcome: 'cancelled', services: back })).not.toContain('mode&#58; status');
    expect(said({ outcome: 'cancelled', services: back })).toMatch(
      /^## .* cancelled and rolled back/,
    );
    const gone = [serviceReport('shop_api', { outcome: 'removed', change: 'removed' })];
    expect(said({ outcome: 'cancelled', services: gone })).toContain('shop was cancelled.');
    expect(said({ stack: 'a; rm -rf /', outcome: 'failed' })).not.toContain('docker stack ps');
  });
  it('links to its run, where that is a plain address', () => {
    const link = (runUrl: string): string => summaryOf(report({ run: { runUrl } as never }));
    expect(link('https://github.com/o/r/actions/runs/1')).toContain(
      '[The log of this run](https://github.com/o/r/actions/runs/1)',
    );
    expect(link('javascript:alert(1)')).not.toContain('The log of this run');
  });
  it('shows failures, warnings, problems and what to do as text', () => {
    const text = summaryOf(
      report({
        outcome: 'rolled-back',
        reason: 'crash-loop',
        hint: 'Look <here>',
        failures: [failure({ error: '</details><img src=x>\u001b[31m' })],
        warnings: ['a `warning`'],
        problems: [
          { reason: 'input-invalid', message: 'one *', hint: 'Look `<here>`' },
          { reason: 'input-invalid', message: 'two' },
        ],
      }),
    );
    expect(text).toContain('&lt;/details&gt;&lt;img src=x&gt;');
    expect(text).toContain(
      '2 problems:\n\n- **one &#42;**<br>Look <code>&lt;here&gt;</code>\n- **two**',
    );
    // Each has its own.
    expect(text).not.toContain('What to do');
    expect(text).toContain('1 warning<');
    expect(text).toContain(
      'Outcome <code>rolled-back</code>, reason <code>crash-loop</code>, 12.3 s',
    );
    expect(summaryOf(report({ outcome: 'invalid', hint: 'Look <here>' }))).toContain(
      '**What to do:** Look &lt;here&gt;',
    );
  });
  it('counts findings of the levels that there are', () => {
    const finding = {
      ...{ id: 'no-healthcheck' as const, level: 'warning' as const, file: 'a.yml', line: 3 },
      ...{ column: null, message: 'no healthcheck', mend: 'Add one.', service: 'api' },
    };
    const title = (lint: RunReport['lint']): string =>
      /<summary>(Lint[^<]*)</.exec(summaryOf(report({ lint })))?.[1] ?? '';
    expect(title([finding])).toBe('Lint of the stack files: 1 warning');
    expect(title([finding, { ...finding, level: 'notice' }])).toBe(
      'Lint of the stack files: 1 warning, 1 notice',
    );
  });
  it('shows one problem with its line of the file, and lists what a message lists', () => {
    const position = { file: 'a.yml', line: 3, column: 9 };
    const problem = {
      ...{ reason: 'compose-invalid' as const, position, hint: 'Mend it.' },
      ...{ message: 'a.yml:3:9: it is <bad>', excerpt: '3 | ```x\n      ^' },
    };
    const text = summaryOf(
      report({ outcome: 'invalid', message: 'flat', hint: 'Mend it.', problems: [problem] }),
    );
    expect(text).toContain(
      '<code>a.yml&#58;3</code> it is &lt;bad&gt;\n\n````text\n3 | ```x\n      ^\n````\n\n**What to do:** Mend it.\n',
    );
    expect(text).not.toContain('flat');
    expect(
      summaryOf(report({ outcome: 'unreachable', message: 'nobody answered:\n- a\n- b' })),
    ).toContain('nobody answered&#58;\n\n- a\n- b\n');
  });
});

it.each<[Partial<FailureReport>, string]>([
  [
    {},
    'shop_api.2 on worker-1: exit code 137 (killed (SIGKILL): out of memory, or did not stop in time): task: non-zero exit (137)',
  ],
  [
    { reason: 'unhealthy', error: 'unhealthy container' },
    'shop_api.2 on worker-1: unhealthy container',
  ],
  [{ exitCode: 3, error: 'x' }, 'shop_api.2 on worker-1: exit code 3: x'],
  [{ node: '', error: '::error::x', exitCode: 3 }, 'shop_api.2: exit code 3: ::error::x'],
])('a failure %j', (more, line) => {
  expect(failureLine(failure(more))).toBe(line);
});

it('writes a report that is JSON, whole', () => {
  const text = reportOf(report({ failures: [failure()], timeline: [{ at: 61_234.5, text: 'x' }] }));
  expect(JSON.parse(text)).toMatchObject({
    version: 1,
    outcome: 'deployed',
    durationSeconds: 12.345,
    failures: [{ slot: 2 }],
    timeline: [{ at: '1:01', ms: 61_235, text: 'x' }],
  });
});
