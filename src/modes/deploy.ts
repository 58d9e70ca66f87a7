/** `mode: deploy`: the stack files, by `docker stack deploy` in a directory of the run's own. */
import type { RenderedStack } from '../compose/render.js';
import { composeVersionFor, withVersion } from '../compose/version.js';
import { deployStack, logIn } from '../deploy.js';
import { configFile } from '../docker/registry.js';
import {
  createWorkspace,
  removeWorkspace,
  stopCommand,
  upload,
  type Workspace,
} from '../docker/workspace.js';
import type { ConnectionLost } from '../errors.js';
import type { Snapshot } from '../model.js';
import { errorLine } from '../report/text.js';
import type { Ending } from '../world.js';
import { settle, type Deployment } from './deployment.js';
import { tellLint } from './lint.js';
import { openingOf, type Record } from './record.js';
import { readBefore, transact } from './transaction.js';

/** Where the files of a run lie on the managers. */
interface Place {
  readonly name: string;
  /** Managers on which the workspace may be; more than one after a fail-over. */
  readonly managers: Set<string>;
}

/** From stack files to a verdict; the workspace is gone afterwards, whatever happened. */
export async function deployFiles(
  deployment: Deployment,
  rendered: RenderedStack,
  record: Record,
): Promise<Ending> {
  const { world } = deployment;
  const place = { name: `swarm-deploy-${world.randomName()}`, managers: new Set<string>() };
  world.rememberWorkspace(place.name);
  try {
    return await deployIn(deployment, rendered, record, place);
  } finally {
    await forget(deployment, place);
  }
}

/** Removes the workspace, if it is there; what cannot be reached is left to the post step. */
async function forget({ world, session }: Deployment, { name, managers }: Place): Promise<void> {
  if (managers.size === 0) return;
  try {
    if (!(await removeWorkspace(session.transport, name))) return;
    managers.delete(session.transport.description);
    if (managers.size === 0) world.rememberWorkspace('');
    else world.narrator.say(`clean-up on ${[...managers].join(', ')} is left to the post step`);
  } catch (error) {
    // `post` tries again on a connection of its own.
    world.narrator.say(`clean-up is left to the post step: ${errorLine(error)}`);
  }
}

async function deployIn(
  deployment: Deployment,
  rendered: RenderedStack,
  record: Record,
  place: Place,
): Promise<Ending> {
  const { world, inputs, session } = deployment;
  const preparing = settle(deployment, () => prepare(deployment, rendered, place));
  const reading = readBefore(deployment);
  // Both come to their end, whatever the other does: a directory must not be made after its removal.
  const [, looked] = await Promise.allSettled([preparing, reading]);
  if (looked.status === 'fulfilled') tellLint(deployment, rendered, looked.value.before.nodes);
  const [workspace, before] = await Promise.all([preparing, reading]);
  world.signal.throwIfAborted();

  await record.open(openingOf(rendered));
  const names = [...rendered.services.keys()].map((service) => `${inputs.stack}_${service}`);
  return await transact(deployment, before, {
    names,
    origin: rendered.files.length === 1 ? 'file' : 'files',
    linted: true,
    apply: () =>
      deployStack(
        session,
        {
          inputs,
          rendered,
          workspace,
          mayWrite: async () => {
            await deployment.lease?.assertHeld();
            record.applying();
          },
          wasWritten: (loss) =>
            recover(deployment, {
              ...{ loss, before: before.before, names, rendered, place, workspace },
            }),
        },
        world,
      ),
    // From here on only the engine is asked: credentials lie there no longer than they are needed.
    accepted: async (changes, others) => {
      await Promise.all([record.seal(changes, others), forget(deployment, place)]);
    },
    removes: () => inputs.prune,
  });
}

/** Puts the files on the manager, and beside them the logins that the registries have accepted. */
async function prepare(
  { session, inputs, world }: Deployment,
  rendered: RenderedStack,
  { name, managers }: Place,
): Promise<Workspace> {
  const version = composeVersionFor(session.cliVersion.join('.'));
  const { files } = version === undefined ? rendered : withVersion(rendered, version);
  const { transport } = session;
  // Again, after the connection was lost: half of it may be there, be it under another name of the host.
  if (managers.size > 0) await removeWorkspace(transport, name);
  managers.add(transport.description);
  const loggingIn =
    inputs.registries.length === 0
      ? undefined
      : world.narrator.group('Log into the registry', () =>
          logIn(session.engine, inputs.registries, world),
        );
  const uploading = createWorkspace(transport, name).then(async (made) => {
    await upload(transport, made, [
      ...files.map(({ name: file, text }) => ({ name: file, content: text })),
      ...rendered.attachments.map(({ name: file, content }) => ({
        name: `attachments/${file}`,
        content,
      })),
    ]);
    return made;
  });
  await Promise.allSettled([loggingIn, uploading]);
  const [accepted, workspace] = await Promise.all([loggingIn, uploading]);
  if (accepted !== undefined)
    await upload(transport, workspace, [
      { name: 'docker/config.json', content: configFile(accepted) },
    ]);
  return workspace;
}

/**
 * After a connection lost in mid-deploy: `stack deploy` writes each service once, so that a service
 * which has not moved was not reached. The directory may be gone, or on the manager before.
 */
async function recover(
  deployment: Deployment,
  lost: {
    readonly loss: ConnectionLost;
    readonly before: Snapshot;
    readonly names: readonly string[];
    readonly rendered: RenderedStack;
    readonly place: Place;
    readonly workspace: Workspace;
  },
): Promise<boolean> {
  const { world, session } = deployment;
  world.narrator.say(`connection lost while the stack was being deployed: ${lost.loss.message}`);
  const live = await settle(deployment, async (engine) => {
    // What was sent over the lost connection must not write any more from here on.
    await stopCommand(session.transport, lost.workspace);
    return await deployment.reader.services(engine);
  });
  const former = new Map(lost.before.services.map((service) => [service.ID, service]));
  const written = lost.names.every((name) => {
    const service = live.find(({ Spec }) => Spec.Name === name);
    return service !== undefined && former.get(service.ID)?.Version.Index !== service.Version.Index;
  });
  if (written) return true;
  await settle(deployment, () => prepare(deployment, lost.rendered, lost.place));
  return false;
}
