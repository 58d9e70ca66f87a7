/**
 * What a reader gets to see of a recorded rollout (scripts/record-traces.mjs), or of a whole run: log,
 * annotations, summary and report, from the very code that makes them of a run, on the clock of the recording.
 */
import { shortName } from '../../src/compose/places.js';
import { renderStack } from '../../src/compose/render.js';
import { at, imageOf, hostnameOf, kindOf, type Json } from '../../src/model.js';
import { annotationsOf } from '../../src/report/annotations.js';
import { failedServices, serviceDossier } from '../../src/report/dossier-facts.js';
import { createNarrator } from '../../src/report/narrator.js';
import type { RunReport } from '../../src/report/outcome.js';
import { progressLog, wellText } from '../../src/report/progress.js';
import { lastLine, reportOf, summaryOf } from '../../src/report/render.js';
import { serviceReports, taskReports } from '../../src/report/services.js';
import {
  beginRollout,
  failuresOf,
  observe,
  verdict,
  type Rollout,
  type Target,
} from '../../src/rollout/observe.js';
import { describeInputs, inputDefaults, parseInputs, type InputName } from '../../src/inputs.js';
import type { Attempt } from './run-action.js';
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
  /** The file, as it is written. */
  readonly report: string;
}

const place = (position?: { readonly file: string; readonly line?: number }): string =>
  position === undefined ? '' : ` ${position.file}:${position.line ?? ''}`;

const errorsOf = (run: RunReport): readonly string[] =>
  annotationsOf(run).map(({ text, position }) => `error${place(position)}: ${text}`);

/** A whole run as a story. */
export function storyOf({ report: run, log }: Attempt, file: string): Story {
  return {
    file,
    log: [...log, ...verdictOf(run)].map(onOneDay),
    annotations: errorsOf(run).map(onOneDay),
    summary: onOneDay(summaryOf(run)),
    report: onOneDay(reportOf(run)),
  };
}

/** Some times are those of the machine that plays a run. */
const onOneDay = (text: string): string =>
  text.replace(
    /\b20(?!26-01-01)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g,
    '2026-01-01T00:00:00.000Z',
  );

/** The end of the log; a red run has its annotations before it. */
const verdictOf = (run: RunReport): readonly string[] => ['', lastLine(run)];

/** The inputs of a story, where nothing else is said. */
function inputsOf(stack: string): object {
  const given: Partial<Record<InputName, string>> = { stack, host: 'local', 'on-failure': 'keep' };
  return describeInputs(
    parseInputs((name) => given[name] ?? inputDefaults[name], {
      agentSocket: undefined,
      checkPrivateKey: () => undefined,
    }),
  );
}

/** Plays a trace to its end, as with `on-failure: keep`. @throws where it has none */
export function tell({ goal, snapshots, stack }: Trace): Story {
  let now = goal.startedAt;
  const log: string[] = [];
  const annotations: string[] = [];
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
  const end = verdict(rollout);
  close(end.kind === 'converged' ? 'done' : 'failed');
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
    inputs: inputsOf(withoutRandom(stack)),
    tasks: taskReports(rollout.seen),
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
  annotations.push(...errorsOf(run));
  return {
    file: withoutRandom(file),
    log: [...log, ...verdictOf(run)].map(withoutRandom),
    annotations: annotations.map(withoutRandom),
    summary: withoutRandom(summaryOf(run)),
    report: withoutRandom(reportOf(run)),
  };
}

/** A story, but for its report, as the text of its golden file. */
export function storyText(title: string, story: Story): string {
  const part = (name: string, text: string): string => `==== ${name}\n${text.trimEnd()}\n`;
  return [
    `${title}\n`,
    part('stack file', story.file),
    part('log', story.log.join('\n')),
    part('annotations', story.annotations.join('\n')),
    part('summary', story.summary),
  ].join('\n');
}
