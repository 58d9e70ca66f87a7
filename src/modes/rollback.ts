/**
 * `mode: rollback`, and the re-run of an old run: a recorded revision, by the exact specs that its
 * services had. Files alone would not do: their tags may mean other images by now.
 */
import { logIn } from '../deploy.js';
import { authFor } from '../docker/registry.js';
import { DeployError } from '../errors.js';
import {
  templateOf,
  type OpeningContent,
  type OtherService,
  type SealedContent,
} from '../ledger/content.js';
import type { History } from '../ledger/history.js';
import { isGood, origin, place, select, type Revision } from '../ledger/revision.js';
import { running } from '../ledger/running.js';
import { kindOf, sameJson, type Service, type Snapshot } from '../model.js';
import { plural } from '../report/text.js';
import { imagesFor } from '../rollout/needed-images.js';
import { applySpecs, missingFor, type AuthFor, type RecordedService } from '../rollout/replay.js';
import type { Ending } from '../world.js';
import { settle, type Deployment } from './deployment.js';
import type { Record } from './record.js';
import { readBefore, transact } from './transaction.js';

/**
 * Finds the revision that the input `revision` means.
 * @throws DeployError `no-such-revision`
 */
export async function wantedRevision(
  deployment: Deployment,
  history: History,
  wanted: string,
): Promise<Revision> {
  const { revisions, stack } = history;
  const undo = wanted === 'previous';
  const now = undo
    ? running(history, await settle(deployment, (engine) => deployment.reader.services(engine)))
    : undefined;
  const found = select(revisions, wanted, now);
  if (undo && now === undefined && found.kind === 'found')
    deployment.world.narrator.say(
      'what runs now is not what any revision left: it was changed by hand, or by a run that was cut short',
    );
  if (found.kind === 'found') return found.revision;
  const hint = `${listOf(revisions)} \`mode: status\` shows all of it.`;
  const refuse = (message: string): DeployError =>
    new DeployError('no-such-revision', 'invalid', message, { hint });
  if (found.kind === 'ambiguous')
    throw refuse(`revision ${wanted} is the start of several commits: ${found.commits.join(', ')}`);
  if (found.kind === 'not-good')
    throw refuse(
      `revision ${found.revision.number} of ${stack} never became healthy (${found.revision.status})`,
    );
  throw refuse(
    !undo
      ? `${stack} has no revision ${wanted}`
      : now === undefined
        ? `there is no good revision of ${stack}`
        : `there is no good revision of ${stack} older than the one that runs now, which is ${now.number}`,
  );
}

function listOf(revisions: readonly Revision[]): string {
  const good = revisions.filter(isGood);
  if (good.length === 0) return 'No good revision is recorded.';
  const items = good.map((each) => {
    const commit = each.commit === '' ? '' : ` ${each.commit.slice(0, 7)}`;
    const same = each.source === undefined ? '' : `, the same as ${origin(each)}`;
    return `${each.number} (${each.startedAt.slice(0, 16)}Z${commit}${same})`;
  });
  return `Good ones: ${items.join(', ')}.`;
}

/**
 * From a revision to a verdict. What it needs is looked for before anything is written.
 *
 * `mode: rollback` brings back the stack as a whole: the services of the revision and those that were
 * beside them; what newer revisions brought goes once everything else is well. A re-run of a deploy
 * brings back its own services alone, as others may deploy other parts of the stack.
 * @throws DeployError `revision-incomplete` where the swarm no longer has all that it needs, `deploy-refused`
 *   where a service has another mode by now
 */
export async function deployRevision(
  deployment: Deployment,
  history: History,
  revision: Revision,
  record: Record,
): Promise<Ending> {
  const { world, inputs } = deployment;
  const whole = inputs.mode === 'rollback';
  const { content, sealed } = contentOf(history, revision);
  await checkLogins(deployment);
  const networks = new Map(sealed.networks.map(({ id, name }) => [id, name]));
  const before = await readBefore(deployment);
  const live = before.before.services;
  const recorded = settleReplicas(deployment, revision, sealed.services, live);
  const others = whole ? settleReplicas(deployment, revision, sealed.others, live) : [];
  const moved = movedSince(others, live);
  const services = [...recorded, ...moved];
  demandModes(revision, services, live);
  const missing = await settle(deployment, (engine) => missingFor(engine, services, networks));
  if (missing.length > 0)
    throw incomplete(revision, `the swarm no longer has ${missing.join(', ')}`);
  const auth: AuthFor = inputs.withRegistryAuth
    ? (image) => authFor(inputs.registries, image)
    : () => undefined;
  await checkImages(deployment, revision, services, before.before, auth);
  const kept = new Set([...sealed.services, ...sealed.others].map(({ name }) => name));
  const brought = broughtSince(history, revision);
  const removes = whole
    ? ({ Spec: { Name: name } }: Service): boolean =>
        !kept.has(name) && (inputs.prune || brought.has(name))
    : (): boolean => inputs.prune;
  const mixed = !whole && isMixed(sealed, inputs.prune && inputs.watch.wait ? [] : live);
  await record.open({ content, version: versionIn(content), mixed });
  return await transact(deployment, before, {
    names: services.map(({ name }) => name),
    origin: `revision`,
    apply: () => {
      record.applying();
      return settle(deployment, (engine) =>
        applySpecs(engine, inputs.stack, services, auth, world.narrator.say, (ms) =>
          world.clock.sleep(ms, world.signal),
        ),
      );
    },
    accepted: (changes, left) =>
      record.seal(
        changes,
        left,
        moved.map(({ name }) => name),
      ),
    removes,
    keeps: ({ Spec }) => whole && kept.has(Spec.Name),
  });
}

/**
 * Swarm would refuse it half-way.
 * @throws DeployError `deploy-refused`
 */
function demandModes(
  { number }: Revision,
  services: readonly RecordedService[],
  live: readonly Service[],
): void {
  const kinds = new Map(live.map(({ Spec }) => [Spec.Name, kindOf(Spec).kind]));
  const others = services.filter(
    ({ name, spec }) => (kinds.get(name) ?? kindOf(spec).kind) !== kindOf(spec).kind,
  );
  if (others.length === 0) return;
  const text = ({ name, spec }: RecordedService): string =>
    `${name} is ${kinds.get(name) ?? ''} and was ${kindOf(spec).kind}`;
  const names = others.map(({ name }) => name).join(' ');
  throw new DeployError(
    'deploy-refused',
    'invalid',
    `revision ${number} cannot be brought back: ${others.map(text).join(', ')}, and Swarm changes the mode of no service; nothing was touched`,
    { hint: `docker service rm ${names}, then run this again: what is gone is made as it was.` },
  );
}

/** Which of several nodes has an image, a manager cannot see. */
async function checkImages(
  deployment: Deployment,
  revision: Revision,
  services: readonly RecordedService[],
  { services: live, nodes }: Snapshot,
  auth: AuthFor,
): Promise<void> {
  const { missing, doubtful } = await settle(deployment, (engine) =>
    imagesFor(engine, services, live, nodes.length, auth),
  );
  if (missing.length > 0)
    throw incomplete(
      revision,
      `neither its registry nor this node, the only one, has ${missing.join(', ')}`,
    );
  for (const image of doubtful)
    deployment.world.narrator.warn(
      `the registry no longer has ${image}: only nodes that still have it can start it`,
    );
}

/** A registry that is down is no reason to stay: the nodes may have the images. */
async function checkLogins(deployment: Deployment): Promise<void> {
  const { world, inputs } = deployment;
  const { narrator } = world;
  if (inputs.registries.length === 0) return;
  try {
    await narrator.group('Log into the registry', () =>
      settle(deployment, (engine) => logIn(engine, inputs.registries, world)),
    );
  } catch (error) {
    if (!(error instanceof DeployError) || error.reason !== 'registry-unreachable') throw error;
    narrator.warn(`${error.message}; only what the nodes have already can start`);
  }
}

function contentOf(
  history: History,
  revision: Revision,
): { readonly content: OpeningContent; readonly sealed: SealedContent } {
  const content = history.contentOf(revision.number);
  if (content === 'incomplete' || content.sealed === undefined)
    throw incomplete(revision, 'a part of its record is gone from the swarm');
  const { files, attachments, sealed } = content;
  return { content: { files, attachments }, sealed };
}

/** The files carry it themselves. */
const versionIn = ({ files }: OpeningContent): string | undefined =>
  /^version: *["']?([\d.]+)/m.exec(files[0]?.text ?? '')?.[1];

const incomplete = (revision: Revision, why: string): DeployError =>
  new DeployError(
    'revision-incomplete',
    'invalid',
    `revision ${revision.number} cannot be brought back: ${why}; nothing was touched`,
    { hint: 'Deploy the files of its commit instead, or choose another revision.' },
  );

/** Tells where the swarm and a revision differ in replicas, and keeps the numbers that are to be kept. */
function settleReplicas<Recorded extends OtherService>(
  { inputs, world }: Deployment,
  { number }: Revision,
  services: readonly Recorded[],
  live: readonly Service[],
): readonly Recorded[] {
  const specs = new Map(live.map(({ Spec }) => [Spec.Name, Spec]));
  return services.map((recorded) => {
    const { name, spec } = recorded;
    const now = specs.get(name);
    const [is, was] = [now, spec].map((each) => each && kindOf(each));
    if (now === undefined || spec === undefined) return recorded;
    if (is?.kind !== 'replicated' || was?.kind !== 'replicated') return recorded;
    if (is.replicas === was.replicas) return recorded;
    world.narrator.say(
      inputs.keepReplicas
        ? `${name} keeps ${plural(is.replicas, 'replica')}, where revision ${number} has ${was.replicas} (keep-replicas: true)`
        : `${name} has ${plural(is.replicas, 'replica')}, and gets the ${was.replicas} of revision ${number} (keep-replicas: true keeps ${is.replicas})`,
    );
    return inputs.keepReplicas ? { ...recorded, spec: { ...spec, Mode: now['Mode'] } } : recorded;
  });
}

/**
 * Of the services beside those of a revision the ones that are not as they were. What stays as it is
 * is not judged either: a service that was unwell all along must not keep others from going back.
 */
function movedSince(
  others: readonly OtherService[],
  live: readonly Service[],
): readonly RecordedService[] {
  const specs = new Map(live.map(({ Spec }) => [Spec.Name, Spec]));
  return others.flatMap(({ name, spec }) =>
    spec === undefined || sameJson(specs.get(name), spec) ? [] : [{ name, spec }],
  );
}

/** Whether what stays beside the services of a revision is something else than it was then. */
function isMixed({ services, others }: SealedContent, live: readonly Service[]): boolean {
  const own = new Set(services.map(({ name }) => name));
  const beside = live.filter(({ Spec }) => !own.has(Spec.Name));
  const same = ({ name, spec }: OtherService): boolean =>
    beside.some(
      ({ Spec }) =>
        Spec.Name === name && spec !== undefined && sameJson(templateOf(Spec), templateOf(spec)),
    );
  return beside.length !== others.length || !others.every(same);
}

/** Services that revisions since then have deployed. */
function broughtSince(history: History, revision: Revision): ReadonlySet<string> {
  const later = history.revisions.filter(({ number }) => number > place(revision));
  const names = later.flatMap(({ number }) => {
    const content = history.contentOf(number);
    return content === 'incomplete' ? [] : (content.sealed?.services ?? []).map(({ name }) => name);
  });
  return new Set(names);
}
