/**
 * What a reader gets to see of a recorded rollout (scripts/record-traces.mjs): log, annotations and summary,
 * from the very code that makes them of a run, on the recording's clock.
 */
import { shortName } from '../../src/compose/places.js';
import { renderStack } from '../../src/compose/render.js';
import { at, imageOf, hostnameOf, kindOf, type Json } from '../../src/model.js';
import { annotationsOf } from '../../src/report/annotations.js';
import { failedServices, serviceDossier } from '../../src/report/dossier-facts.js';
import { createNarrator } from '../../src/report/narrator.js';
import type { RunReport } from '../../src/report/outcome.js';
import { progressLog, wellText } from '../../src/report/progress.js';
import { summaryOf } from '../../src/report/render.js';
import { serviceReports } from '../../src/report/services.js';
import {
  beginRollout,
  failuresOf,
  observe,
  verdict,
  type Rollout,
  type Target,
} from '../../src/rollout/observe.js';
import type { Trace } from './traces.js';

/** Names of rollouts have the stack's random part in them: the same story recorded again reads the same. */
const withoutRandom = (text: string): string => text.replace(/-[0-9a-f]{6}(?=[_ ,.:;]|\b)/g, '');

/** A stack file that has the services of a trace. */
function stackFile(targets: readonly Target[], stack: string): string {
  return [
    'services:',
    ...targets.flatMap(({ name, spec }) => {
      const test = at(spec, 'TaskTemplate', 'ContainerSpec', 'Healthcheck', 'Test');
      const constraints = at(spec, 'TaskTemplate', 'Placement', 'Constraints');
      const action = at(spec, 'UpdateConfig', 'FailureAction');
      const { kind } = kindOf(spec);
      return [
        `  ${name.slice(stack.length + 1)}:`,
        `    image: ${imageOf(spec).split('@')[0] ?? ''}`,
        ...(test === undefined ? [] : ['    healthcheck:', `      test: ${flow(test)}`]),
        '    deploy:',
        `      mode: ${kind}`,
        ...(constraints === undefined
          ? []
          : ['      placement:', `        constraints: ${flow(constraints)}`]),
        ...(action === undefined
          ? []
          : ['      update_config:', `        failure_action: ${flow(action)}`]),
      ];
    }),
    '',
  ].join('\n');
}

const flow = (value: Json): string => JSON.stringify(value);

export interface Story {
  readonly file: string;
  readonly log: readonly string[];
  readonly annotations: readonly string[];
  readonly summary: string;
}

/** Plays a trace to its end, as with `on-failure: keep`. @throws where it has none */
export function tell({ goal, snapshots, stack }: Trace): Story {
  let now = goal.startedAt;
  const log: string[] = [];
  const annotations: string[] = [];
  const place = (position?: { readonly file: string; readonly line?: number }): string =>
    position === undefined ? '' : ` ${position.file}:${position.line ?? ''}`;
  const narrator = createNarrator(
    {
      line: (text) => log.push(text),
      warning: (text, position) => annotations.push(`warning${place(position)}: ${text}`),
      notice: (text, position) => annotations.push(`notice${place(position)}: ${text}`),
      startGroup: (name) => log.push(`> ${name}`),
      endGroup: () => undefined,
    },
    { now: () => now, sleep: () => Promise.resolve() },
  );
  const show = progressLog(narrator);
  const close = narrator.chart.step('Watch the tasks');
  let rollout: Rollout = beginRollout(goal);
  for (const snapshot of snapshots) {
    now = snapshot.at;
    rollout = observe(rollout, snapshot);
    show(rollout, snapshot);
    if (rollout.end !== undefined) break;
  }
  close();
  const end = verdict(rollout);
  if (end.kind === 'waiting') throw new Error(`${stack}: the trace has no end`);
  if (end.kind !== 'converged') narrator.fail(end.message);
  const file = stackFile(goal.targets, stack);
  const changed = goal.targets.some(({ change }) => change !== 'unchanged');
  const reason = end.kind === 'failed' ? end.reason : end.kind === 'superseded' ? end.kind : '';
  const nodes = rollout.seen?.nodes ?? [];
  const { places } = renderStack({
    files: [{ path: 'docker-stack.yml', text: Buffer.from(file) }],
    ...{ stack, variables: new Map(), allowUnset: false },
    ...{ workingDirectory: '/nowhere', home: undefined, readFile: () => 'missing' },
  });
  const run: RunReport = {
    stack,
    mode: 'deploy',
    manager: 'deploy@manager-1',
    outcome:
      end.kind === 'converged'
        ? changed
          ? 'deployed'
          : 'unchanged'
        : end.kind === 'superseded'
          ? 'superseded'
          : 'failed',
    reason,
    message:
      end.kind === 'converged'
        ? `${wellText(rollout)}.`
        : end.kind === 'superseded'
          ? `${end.message}; it was left alone, and nothing was rolled back.`
          : `${end.message}. The stack is left as it failed (on-failure: keep).`,
    hint: '',
    position: undefined,
    problems: [],
    services: serviceReports({
      reason,
      changes: {
        ...{ targets: goal.targets, updated: [], created: [], orphans: [], any: changed },
        ...{ foreign: [], lines: [] },
      },
      rollout,
      fate: end.kind === 'converged' ? 'healthy' : end.kind === 'superseded' ? 'unknown' : 'failed',
      ...(end.kind === 'converged' || end.service === undefined ? {} : { culprit: end.service }),
    }),
    failures: failuresOf(rollout).map((failure) => ({
      ...failure,
      node: hostnameOf(nodes, failure.nodeId) ?? '',
    })),
    warnings: narrator.warnings(),
    lint: [],
    timeline: narrator.timeline(),
    bars: narrator.bars(),
    places,
    durationMs: now - goal.startedAt,
    inputs: {},
    tasks: [],
    revision: 7,
    previousRevision: 6,
    history: [],
    dossier:
      end.kind === 'failed'
        ? failedServices(rollout, end).map((service) =>
            serviceDossier(service, undefined, places, shortName(stack, service.target.name)),
          )
        : [],
    verification: [],
  };
  for (const { text, position } of annotationsOf(run))
    annotations.push(`error${place(position)}: ${text}`);
  return {
    file: withoutRandom(file),
    log: log.map(withoutRandom),
    annotations: annotations.map(withoutRandom),
    summary: withoutRandom(summaryOf(run)),
  };
}

/** A story as the text of its golden file. */
export function storyText({ title, engine }: Trace, story: Story): string {
  const part = (name: string, text: string): string => `==== ${name}\n${text.trimEnd()}\n`;
  return [
    `${title} (engine ${engine})\n`,
    part('docker-stack.yml', story.file),
    part('log', story.log.join('\n')),
    part('annotations', story.annotations.join('\n')),
    part('summary', story.summary),
  ].join('\n');
}
