/**
 * The evidence of a failed deploy, read before a rollback takes it away: Swarm removes the tasks, and
 * with them what their containers wrote. Nothing here may hold a rollback up for long, or keep it from
 * happening.
 */
import type { Places } from '../compose/places.js';
import { decodeLog } from '../docker/log-stream.js';
import { EngineError } from '../docker/engine.js';
import { secretValues } from '../inputs.js';
import type { ServiceSpec } from '../model.js';
import type { Dossier, ServiceDossier, TaskLog } from '../report/dossier.js';
import { failedServices, serviceDossier, type Witness } from '../report/dossier-facts.js';
import { credentialsIn, maskOf, tidyLog, type Mask } from '../report/dossier-log.js';
import { errorLine } from '../report/text.js';
import type { End, Rollout } from '../rollout/observe.js';
import { secretsOf } from '../verify/check.js';
import type { Deployment } from './deployment.js';

/** What a change knows of itself that is worth telling when it fails. */
export interface Background {
  readonly places?: Places | undefined;
  /** Lines that nobody may read: contents of secrets. */
  readonly confidential?: readonly string[];
}

/** Lines of a log that are shown. */
export const LOG_LINES = 50;
/** Services whose logs are read. */
const MAX_LOGS = 5;
/** For one log, in milliseconds: reading one takes 50 to 200 ms (tried). */
const LOG_TIMEOUT_MS = 3000;
/** For all of them. */
const LOGS_TIMEOUT_MS = 6000;
/** Of one log: 50 pieces of 16 KiB, and some. */
const LOG_BYTES = 1024 * 1024;

/** What nobody may read, of all that a run knows. */
export const maskFor = (
  { inputs, checks }: Pick<Deployment, 'inputs' | 'checks'>,
  confidential: readonly string[],
  specs: readonly ServiceSpec[],
): Mask =>
  maskOf([
    ...secretValues(inputs),
    ...checks.flatMap(secretsOf),
    ...confidential,
    ...specs.flatMap(credentialsIn),
  ]);

/** Gathers the dossier of what failed. Never throws: what cannot be read is said in it. */
export async function gather(
  deployment: Deployment,
  rollout: Rollout,
  end: Extract<End, { kind: 'failed' }>,
  { places, confidential = [] }: Background,
): Promise<Dossier> {
  const { inputs, world } = deployment;
  // What a check found wrong is no task's fault.
  if (end.reason === 'verify-failed') return [];
  const failed = failedServices(rollout, end);
  const mask = maskFor(
    deployment,
    confidential,
    failed.map(({ target }) => target.spec),
  );
  const until = world.clock.now() + LOGS_TIMEOUT_MS;
  const dossier: ServiceDossier[] = [];
  let read = 0;
  for (const service of failed) {
    const leftMs = Math.min(LOG_TIMEOUT_MS, until - world.clock.now());
    const wanted = service.witness !== undefined && read < MAX_LOGS && leftMs > 0;
    if (wanted) read += 1;
    const log =
      wanted && !world.signal.aborted
        ? await logOf(deployment, service.witness, mask, leftMs)
        : service.witness && 'unread';
    const name = service.target.name.slice(inputs.stack.length + 1);
    dossier.push(masked(serviceDossier(service, log, places, name), mask));
  }
  return dossier;
}

async function logOf(
  { session }: Deployment,
  { taskId, task, node, isRaw, driver }: Witness,
  mask: Mask,
  timeoutMs: number,
): Promise<TaskLog> {
  const none = (note: string): TaskLog => ({ task, node, lines: [], cut: 0, note });
  // The engine answers as if there had been no output (tried on 20.10).
  if (driver === 'none') return none('its log driver is "none": Docker keeps no output');
  try {
    const limits = { timeoutMs, maxBytes: LOG_BYTES };
    const { bytes, ended } = await session.engine.taskLog(taskId, LOG_LINES, limits);
    const { lines, error } = decodeLog(bytes, isRaw);
    const notes = [
      ...(error === '' ? [] : [mask.apply(error)]),
      ...(ended === 'time' ? [`its node gave no more of it within ${timeoutMs / 1000} s`] : []),
      ...(ended === 'size' ? ['it is too long to be read to its end'] : []),
      ...(lines.length > 0 || error !== '' || ended === 'time'
        ? []
        : [
            driver === ''
              ? 'it wrote nothing, or the log driver of its node keeps nothing'
              : `it wrote nothing, or its log driver "${driver}" keeps nothing`,
          ]),
    ];
    return {
      ...{ task, node, ...tidyLog(lines, mask, LOG_LINES) },
      ...(notes.length === 0 ? {} : { note: notes.join('; ') }),
    };
  } catch (error) {
    if (error instanceof EngineError && error.status === 404)
      return none('Swarm has removed the task already, and its output with it');
    return none(`it could not be read: ${mask.apply(errorLine(error))}`);
  }
}

const masked = (service: ServiceDossier, { apply }: Mask): ServiceDossier => ({
  ...service,
  cause: apply(service.cause),
  mend: apply(service.mend),
  tasks: service.tasks.map((task) => ({ ...task, error: apply(task.error) })),
});

/** Tells it in the log: cause, place and mend where everybody sees them, the output folded. */
export async function tell(
  { world: { narrator } }: Pick<Deployment, 'world'>,
  dossier: Dossier,
): Promise<void> {
  for (const { service, cause, mend, place, log } of dossier) {
    narrator.say(
      `${service}: ${cause}${place === undefined ? '' : ` (${place.file}:${place.line})`}`,
    );
    narrator.say(`to mend it: ${mend}`);
    if (log === undefined) continue;
    const { task, node, lines, note } = log;
    const where = node === '' ? task : `${task} on ${node}`;
    const count =
      lines.length === 0 ? '' : ` (last ${lines.length === 1 ? 'line' : `${lines.length} lines`})`;
    await narrator.group(`Log of ${where}${count}`, () => {
      narrator.block('', [
        ...lines.map((line) => `| ${line}`),
        ...(note === undefined ? [] : [`(${note})`]),
      ]);
      return Promise.resolve();
    });
  }
}
