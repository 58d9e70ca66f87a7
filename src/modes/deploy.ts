/** `mode: deploy`: the stack files, by `docker stack deploy` in a directory of the run's own. */
import type { RenderedFile, RenderedStack } from '../compose/render.js';
import { subset } from '../compose/subset.js';
import { inNewestVersion } from '../compose/version.js';
import { deployStack, logIn } from '../deploy.js';
import { configFile } from '../docker/registry.js';
import {
  createWorkspace,
  removeWorkspace,
  stopCommand,
  upload,
  workspaceName,
  type Workspace,
} from '../docker/workspace.js';
import type { ConnectionLost } from '../errors.js';
import { secretLines } from '../inputs/form.js';
import type { Service } from '../model.js';
import { showsWrite } from '../plan.js';
import { errorLine } from '../report/text.js';
import type { Transport } from '../transport/transport.js';
import type { Ending } from '../world.js';
import { settle, type Deployment } from './deployment.js';
import { tellNodeLint } from './lint.js';
import { openingOf, type Record } from './record.js';
import { readBefore, transact } from './transaction.js';

/** Where the files of a run lie on the managers. */
export interface Place {
  readonly name: string;
  /** Managers on which the workspace may be; more than one after a fail-over. */
  readonly managers: Set<string>;
  /** Where it was last made ready, and on which connection. */
  ready?: { readonly on: Transport; readonly workspace: Workspace };
}

/** From stack files to a verdict; the workspace is gone afterwards, whatever happened. */
export async function deployFiles(
  deployment: Deployment,
  rendered: RenderedStack,
  record: Record,
): Promise<Ending> {
  const { world } = deployment;
  // Whoever takes the lock over from a run that has died knows by it where that one's files lie.
  const name = workspaceName(deployment.lease?.holder ?? world.randomName());
  const place: Place = { name, managers: new Set<string>() };
  world.rememberWorkspace(place.name);
  try {
    return await deployIn(deployment, rendered, record, place);
  } finally {
    await forget(deployment, place);
  }
}

/** Removes the workspace, if it is there; what cannot be reached is left to the post step. */
export async function forget(
  { world, session }: Deployment,
  { name, managers }: Place,
): Promise<void> {
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
  if (looked.status === 'fulfilled') {
    const { before, objectsBefore } = looked.value;
    tellNodeLint(deployment, rendered, before.nodes, objectsBefore);
  }
  const [, before] = await Promise.all([preparing, reading]);
  world.signal.throwIfAborted();

  await record.open(openingOf(rendered));
  const full = (service: string): string => `${inputs.stack}_${service}`;
  const waves = rendered.waves.map(({ services, needs }) => ({
    names: services.map(full),
    needs: needs.map(({ service, completed }) => ({ name: full(service), completed })),
  }));
  return await transact(deployment, before, {
    names: [...rendered.services.keys()].map(full),
    waves,
    origin: rendered.files.filter(({ origin }) => origin !== '').length === 1 ? 'file' : 'files',
    linted: true,
    writesAll: true,
    background: { places: rendered.places, confidential: secretsIn(rendered) },
    apply: async (wave, live, startedAt) => {
      // While the waves before were watched, another manager may have taken over.
      if (place.ready?.on !== session.transport)
        await settle(deployment, () => prepare(deployment, rendered, place));
      const names = waves[wave]?.names ?? [];
      return await deployStack(
        session,
        {
          inputs,
          rendered: { ...rendered, files: rendered.files.map(nameIn(rendered, wave)) },
          workspace: () => readyIn(place),
          mayWrite: async () => {
            await deployment.lease?.assertHeld();
            record.applying();
          },
          wasWritten: (loss) => recover(deployment, { loss, live, names, rendered, place }),
          until: startedAt === undefined ? undefined : startedAt + inputs.watch.timeoutMs,
        },
        world,
      );
    },
    // From here on only the engine is asked: credentials lie there no longer than they are needed.
    accepted: async (changes, others) => {
      await Promise.all([record.seal(changes, others), forget(deployment, place)]);
    },
    removes: () => inputs.prune,
  });
}

/** The contents of the secrets that the files bring, line by line. */
const secretsIn = ({ attachments }: RenderedStack): readonly string[] =>
  attachments
    .filter(({ secret }) => secret)
    .flatMap(({ content }) => secretLines(content.toString('utf8')));

/** Puts the files on the manager, and beside them the logins that the registries have accepted. */
export async function prepare(
  { session, inputs, world }: Deployment,
  rendered: RenderedStack,
  place: Place,
): Promise<Workspace> {
  const { name, managers } = place;
  // After a fail-over it may be another client than the one that the files were made for.
  const stack = inNewestVersion(rendered, session.cliVersion.join('.'));
  const files = stack.waves.flatMap((_, wave) => waveFiles(stack, wave));
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
  const [first, ...others] = files.map(({ name: file, text }) => ({ name: file, content: text }));
  const uploading = createWorkspace(transport, name, first).then(async (made) => {
    await upload(transport, made, [
      ...others,
      ...rendered.attachments.map(({ name: file, content }) => ({
        name: `attachments/${file}`,
        content,
      })),
    ]);
    return made;
  });
  await Promise.allSettled([loggingIn, uploading]);
  const [accepted, made] = await Promise.all([loggingIn, uploading]);
  const workspace = accepted === undefined ? made : { ...made, logins: configFile(accepted) };
  place.ready = { on: transport, workspace };
  return workspace;
}

function readyIn({ ready }: Place): Workspace {
  if (ready === undefined) throw new Error('the directory of the run was never made ready');
  return ready.workspace;
}

/**
 * The files that deploy one wave: those of the stack, with its services alone. They lie beside each
 * other, as the paths in them start there.
 */
function waveFiles({ files, waves }: RenderedStack, wave: number): readonly RenderedFile[] {
  const services = new Set(waves[wave]?.services);
  const own = waves.length === 1 ? files : subset(files, (service) => services.has(service));
  return own.map(nameIn({ waves }, wave));
}

/** A file under the name that it has in a wave; its own where there is but one. */
const nameIn =
  ({ waves }: Pick<RenderedStack, 'waves'>, wave: number) =>
  (file: RenderedFile): RenderedFile =>
    waves.length === 1 ? file : { ...file, name: `wave${wave + 1}-${file.name}` };

/**
 * After a connection lost in mid-deploy: whether every service shows the write. Where one does not, the
 * command is to be repeated, which changes nothing in those that were reached. The directory may be
 * gone, or on the manager before.
 */
async function recover(
  deployment: Deployment,
  lost: {
    readonly loss: ConnectionLost;
    /** The services as they were right before. */
    readonly live: readonly Service[];
    readonly names: readonly string[];
    readonly rendered: RenderedStack;
    readonly place: Place;
  },
): Promise<boolean> {
  const { world, session } = deployment;
  world.narrator.say(`connection lost while the stack was being deployed: ${errorLine(lost.loss)}`);
  const live = await settle(deployment, async (engine) => {
    // What was sent over the lost connection must not write any more from here on.
    await stopCommand(session.transport, readyIn(lost.place));
    return await deployment.reader.services(engine);
  });
  const former = new Map(lost.live.map((service) => [service.ID, service]));
  const written = lost.names.every((name) => {
    const service = live.find(({ Spec }) => Spec.Name === name);
    return service !== undefined && showsWrite(former.get(service.ID), service);
  });
  if (written) return true;
  await settle(deployment, () => prepare(deployment, lost.rendered, lost.place));
  return false;
}
