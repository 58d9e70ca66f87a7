/** A plan for people: lines for the log, a diff for the summary. All of its texts are foreign. */
import { splitImage } from '../model.js';
import type { FieldChange, Plan, PlannedObject, PlannedService } from '../planning/difference.js';
import type { ServiceReport } from './outcome.js';
import { imageText, plural, safeLine } from './text.js';

/** Longer values tell no more, and a summary has room for so much. */
const MAX_VALUE = 300;

/** One line of a diff: what is new, what is gone, what stays as it is, and what is said about it. */
interface Line {
  readonly sign: '+' | '-' | '!' | '=';
  readonly text: string;
}

/** The plan in one sentence. */
export function planMessage({ hasChanges, services, objects }: Plan): string {
  const count = (change: PlannedService['change']): number =>
    services.filter((service) => service.change === change).length;
  const jobs = services.filter(
    ({ job, change, fields }) => job && change === 'updated' && fields.length === 0,
  ).length;
  const again =
    jobs === 0
      ? ''
      : ` ${jobs === 1 ? 'A job runs' : `${jobs} jobs run`} again, as with every deploy.`;
  const left = count('left');
  const stay =
    left === 0
      ? ''
      : ` ${plural(left, 'service')} not in the files ${left === 1 ? 'is' : 'are'} left running.`;
  if (!hasChanges) return `No changes: a deploy would leave every service as it is.${stay}`;
  const said = (['created', 'updated', 'removed'] as const).flatMap((change) =>
    count(change) === 0 ? [] : [`${plural(count(change), 'service')} ${change}`],
  );
  const restarting = services.filter(({ restarts }) => restarts !== 'none').length;
  const kinds = (['network', 'config', 'secret'] as const).flatMap((kind) =>
    (['created', 'rotated', 'relabelled'] as const).flatMap((change) => {
      const found = objects.filter((object) => object.kind === kind && object.change === change);
      return found.length === 0 ? [] : [`${plural(found.length, kind)} ${change}`];
    }),
  );
  const all = [...said, ...kinds].join(', ');
  const restarts =
    count('updated') === 0
      ? ''
      : restarting === 0
        ? ' No task would be restarted.'
        : ` ${plural(restarting, 'service')} would restart tasks.`;
  return `A deploy would make these changes: ${all}.${restarts}${again}${stay}`;
}

/** For the log. */
export function planLines(plan: Plan): readonly string[] {
  return diffOf(plan).map(({ sign, text }) => safeLine(`${sign} ${text}`));
}

/** A fenced diff in GitHub's markdown, which colours it. */
export function planSummary(plan: Plan): readonly string[] {
  const lines = planLines(plan);
  if (lines.length === 0) return [];
  // Nothing in it may end the fence.
  const longest = Math.max(
    2,
    ...lines.flatMap((line) => (line.match(/`+/g) ?? []).map(({ length }) => length)),
  );
  const fence = '`'.repeat(longest + 1);
  return ['### Plan', '', `${fence}diff`, ...lines, fence, ''];
}

function diffOf({ services, objects }: Plan): readonly Line[] {
  return [...objects.flatMap(objectLines), ...services.flatMap(serviceLines)];
}

function objectLines({ kind, name, change, from, fields }: PlannedObject): readonly Line[] {
  switch (change) {
    case 'created':
      return [{ sign: '+', text: `${kind} ${name}: created` }];
    case 'rotated':
      return [
        { sign: '!', text: `${kind} ${name}: rotated, its content has changed` },
        { sign: '-', text: `  ${from}` },
        { sign: '+', text: `  ${name}` },
      ];
    case 'relabelled':
      return [
        { sign: '!', text: `${kind} ${name}: its labels change` },
        ...fields.flatMap(fieldLines),
      ];
  }
}

function serviceLines(service: PlannedService): readonly Line[] {
  const { name, change, fields } = service;
  const image = digestShort(service.image);
  switch (change) {
    case 'created':
      return [{ sign: '+', text: `service ${name}: created, ${image}${tasksText(service)}` }];
    case 'removed':
      return [{ sign: '-', text: `service ${name}: removed, as it is not in the files (prune)` }];
    case 'left':
      return [
        { sign: '=', text: `service ${name}: left running; it is not in the files (prune: false)` },
      ];
    case 'unchanged':
      return [
        {
          sign: '=',
          text: `service ${name}: unchanged`,
        },
      ];
    case 'updated':
      return [
        { sign: '!', text: `service ${name}: updated, ${restartText(service)}` },
        ...fields.flatMap(fieldLines),
      ];
  }
}

const tasksText = ({ replicas }: PlannedService): string =>
  replicas === null ? '' : `, ${plural(replicas, 'task')}`;

function restartText({ restarts, job, replicas, previousReplicas }: PlannedService): string {
  if (job) return 'and runs again: it is a job';
  const scaled =
    replicas === null || previousReplicas === null || replicas === previousReplicas
      ? ''
      : replicas > previousReplicas
        ? `, ${plural(replicas - previousReplicas, 'task')} more`
        : `, ${plural(previousReplicas - replicas, 'task')} fewer`;
  switch (restarts) {
    case 'all':
      return `its tasks restart${scaled}`;
    case 'misplaced':
      return `tasks restart where their node fits no longer${scaled}`;
    case 'none':
      return `no task restarts${scaled}`;
  }
}

function fieldLines({ field, change, redacted, before, after }: FieldChange): readonly Line[] {
  if (redacted)
    return [
      {
        sign: change === 'added' ? '+' : change === 'removed' ? '-' : '!',
        text: `  ${field}: ${change} (value not shown)`,
      },
    ];
  const [was, is] =
    field === 'image' ? [digestShort(before ?? ''), digestShort(after ?? '')] : [before, after];
  // Where only what is left out has changed, all of it has to be shown.
  const [left, right] = was === is ? [before, after] : [was, is];
  return [
    ...(before === null ? [] : [{ sign: '-' as const, text: `  ${field}: ${cut(left ?? '')}` }]),
    ...(after === null ? [] : [{ sign: '+' as const, text: `  ${field}: ${cut(right ?? '')}` }]),
  ];
}

const cut = (text: string): string =>
  text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}... (${text.length} characters)` : text;

function digestShort(image: string): string {
  const { name, digest = '' } = splitImage(image);
  return imageText(name, digest);
}

/** The services of the plan in the form in which those of a deploy are reported. */
export function plannedReports({ services }: Plan): readonly ServiceReport[] {
  return services
    .filter(({ change }) => change !== 'left')
    .map(({ name, change, image, previousImage, replicas }) => {
      const [now, was] = [splitImage(image), splitImage(previousImage)];
      return {
        name,
        change: change === 'left' ? 'unchanged' : change,
        image: now.name,
        digest: now.digest ?? '',
        previousImage: was.name,
        previousDigest: was.digest ?? '',
        replicas: { running: 0, desired: replicas ?? 0 },
        outcome: 'untouched',
        reason: '',
      };
    });
}
