/** What the reader of a run can do next, as text of the step summary. */
import type { RunReport } from './outcome.js';
import { code } from './text.js';

/** What the same step needs to bring a revision back, to be copied. */
const backTo = ({ stack }: RunReport, revision: number): readonly string[] => [
  '```yaml',
  'with:',
  '  mode: rollback',
  `  stack: ${stack}`,
  `  revision: ${revision}`,
  '  # host, login and registry: as in this step',
  '```',
  '',
];

const folded = (title: string, lines: readonly string[]): readonly string[] => [
  `<details><summary>${title}</summary>`,
  '',
  ...lines,
  '</details>',
  '',
];

/** On a manager; only names that Docker takes get that far. */
const lookCommands = ({ stack }: RunReport): readonly string[] => [
  '```sh',
  `docker stack services ${stack}`,
  `docker stack ps --no-trunc ${stack}`,
  '```',
  '',
];

const lookAgain = (): readonly string[] => [
  `A run with ${code('mode: status')} says what runs now, and what is wrong with it.`,
  '',
];

/** Whether what a run had changed is as it was before. */
export const isRestored = ({ services }: RunReport): boolean =>
  services.some(({ outcome }) => outcome === 'restored' || outcome === 'removed') &&
  services.every(
    ({ outcome, change }) =>
      change !== 'removed' && ['restored', 'removed', 'untouched'].includes(outcome),
  );

/** Markdown; empty where there is nothing to do, and where the message says it all. */
export function nextLines(run: RunReport): readonly string[] {
  const { outcome, revision, previousRevision } = run;
  // What is not known to be a name does not go into a command.
  if (!/^[\w.-]+$/.test(run.stack)) return [];
  switch (outcome) {
    case 'deployed':
      return previousRevision === undefined || previousRevision === revision
        ? []
        : folded(`To go back to revision ${previousRevision}`, backTo(run, previousRevision));
    case 'rolled-back':
      return previousRevision === undefined
        ? []
        : [`Revision ${previousRevision} runs, as before; nothing has to be undone.`, ''];
    case 'failed':
      return [
        ...(previousRevision === undefined
          ? []
          : [`To go back to revision ${previousRevision}:`, '', ...backTo(run, previousRevision)]),
        ...folded('To look at it on a manager', lookCommands(run)),
      ];
    case 'rollback-failed':
      return [
        'To look at it, on a manager:',
        '',
        ...lookCommands(run),
        ...(previousRevision === undefined
          ? []
          : [
              `To deploy revision ${previousRevision} again:`,
              '',
              ...backTo(run, previousRevision),
            ]),
      ];
    case 'cancelled':
    case 'unreachable':
      // Back where it was, or never reached.
      if (isRestored(run) || (outcome === 'unreachable' && run.services.length === 0)) return [];
      return lookAgain();
    case 'superseded':
      return lookAgain();
    case 'planned':
      return run.plan?.hasChanges === true
        ? [`The same step with ${code('mode: deploy')} makes it so.`, '']
        : [];
    case 'reported':
      return previousRevision === undefined ||
        run.services.every((each) => each.outcome !== 'failed')
        ? []
        : folded(`To go back to revision ${previousRevision}`, backTo(run, previousRevision));
    case 'unchanged':
    case 'removed':
    case 'locked':
    case 'invalid':
      return [];
  }
}
