/**
 * `mode: rollback`, and the re-run of an old run: a recorded revision, by the exact specs that its
 * services had. Files alone would not do: their tags may mean other images by now.
 */
import { logIn } from '../deploy.js';
import { authFor } from '../docker/registry.js';
import { DeployError } from '../errors.js';
import type { OpeningContent, SealedContent } from '../ledger/content.js';
import type { History } from '../ledger/history.js';
import { isGood, origin, select, type Revision } from '../ledger/revision.js';
import { applySpecs, missingFor } from '../rollout/replay.js';
import type { Ending } from '../world.js';
import { settle, type Deployment } from './deployment.js';
import type { Record } from './record.js';
import { readBefore, transact } from './transaction.js';

/** Finds the revision that the input `revision` means. */
export function wantedRevision(history: History, wanted: string): Revision {
  const { revisions, stack } = history;
  const found = select(revisions, wanted);
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
    wanted === 'previous'
      ? `there is no good revision of ${stack} older than the one that runs now`
      : `${stack} has no revision ${wanted}`,
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
 * From a revision to a verdict. What it needs is looked for before anything is written; services that
 * newer revisions brought go once everything else is well.
 * @throws DeployError `revision-incomplete` where the swarm no longer has all that it needs
 */
export async function deployRevision(
  deployment: Deployment,
  history: History,
  revision: Revision,
  record: Record,
): Promise<Ending> {
  const { world, inputs } = deployment;
  const { content, sealed } = contentOf(history, revision);
  await checkLogins(deployment);
  const networks = new Map(sealed.networks.map(({ id, name }) => [id, name]));
  const [before, missing] = [
    await readBefore(deployment),
    await settle(deployment, (engine) => missingFor(engine, sealed.services, networks)),
  ];
  if (missing.length > 0)
    throw incomplete(revision, `the swarm no longer has ${missing.join(', ')}`);
  const names = sealed.services.map(({ name }) => name);
  const brought = broughtSince(history, revision, [...names, ...sealed.others]);
  await record.open({ content, version: versionIn(content) });
  return await transact(deployment, before, {
    names,
    origin: `revision`,
    apply: () => {
      record.applying();
      return settle(deployment, (engine) =>
        applySpecs(
          engine,
          inputs.stack,
          sealed.services,
          inputs.withRegistryAuth ? (image) => authFor(inputs.registries, image) : () => undefined,
          world.narrator.say,
        ),
      );
    },
    accepted: (changes, others) => record.seal(changes, others),
    removes: ({ Spec }) => inputs.prune || brought.has(Spec.Name),
  });
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

/** Services that revisions since then have deployed, and that are not meant to be there. */
function broughtSince(
  history: History,
  revision: Revision,
  wanted: readonly string[],
): ReadonlySet<string> {
  const later = history.revisions.filter(({ number }) => number > origin(revision));
  const names = later.flatMap(({ number }) => {
    const content = history.contentOf(number);
    return content === 'incomplete' ? [] : (content.sealed?.services ?? []).map(({ name }) => name);
  });
  return new Set(names.filter((name) => !wanted.includes(name)));
}
