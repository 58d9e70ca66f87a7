/** `rotate`: configs and secrets named by their content, before a deploy and after it. */
import type { RenderedStack } from '../compose/render.js';
import {
  CONTENT_LABEL,
  contentMark,
  fileObjects,
  isMarkOf,
  isRotated,
  rotateStack,
  rotates,
  type FileObject,
  type RotatedStack,
} from '../compose/rotate.js';
import { problemAt } from '../compose/source.js';
import { isObjectName, type Engine } from '../docker/engine.js';
import { InvalidInput, type Problem } from '../errors.js';
import { readRotationKey, removeUnneeded, rotationKey } from '../ledger/rotated.js';
import { at } from '../model.js';
import { errorLine } from '../report/text.js';
import type { Ending } from '../world.js';
import { settle, type Deployment } from './deployment.js';

/** The files as they are deployed, and what in them keeps its name whatever its content is. */
export interface Rotated extends RotatedStack {
  /** By `config NAME` and `secret NAME`. */
  readonly fixed: ReadonlyMap<string, FileObject>;
}

/**
 * Names what the files bring, or leaves it to Docker (`rotate: false`). Nothing of the stack is written.
 * @param keep whether a key that is made for the stack's secrets is kept in the swarm; a plan writes nothing
 * @throws InvalidInput where the content of something has changed that keeps its name
 */
export async function rotate(
  deployment: Deployment,
  rendered: RenderedStack,
  keep: boolean,
): Promise<Rotated> {
  const { inputs, world } = deployment;
  const { stack } = inputs;
  const objects = fileObjects(rendered);
  const [misnamed, ...others] = objects.filter(isMisnamed).map(misnamedProblem);
  if (misnamed !== undefined) throw new InvalidInput([misnamed, ...others]);
  const secretKey =
    inputs.rotate && objects.some(({ kind }) => kind === 'secret')
      ? await settle(deployment, async (engine) => {
          const fresh = Buffer.from(world.randomName(), 'hex');
          if (keep) return await rotationKey(engine, stack, fresh);
          return (await readRotationKey(engine, stack)) ?? fresh;
        })
      : undefined;
  const fixed = new Map(
    objects
      .filter((object) => !inputs.rotate || !rotates(object))
      .map((object) => [`${object.kind} ${object.ownName ?? `${stack}_${object.key}`}`, object]),
  );
  if (fixed.size > 0) {
    const [problem, ...more] = await settle(deployment, (engine) =>
      changedUnderTheirNames(engine, stack, fixed, secretKey),
    );
    if (problem !== undefined) throw new InvalidInput([problem, ...more]);
  }
  if (!inputs.rotate) return { ...rendered, objectNames: new Map(), fixed };
  return { ...rotateStack(rendered, objects, { stack, secretKey }), fixed };
}

const isMisnamed = ({ ownName }: FileObject): boolean =>
  ownName !== undefined && !isObjectName(ownName);

function misnamedProblem({ kind, key, origin, position }: FileObject): Problem {
  return problemAt(
    position ?? { file: origin },
    `the \`name:\` of ${kind} ${key} is none that the swarm takes`,
    {
      hint: 'Letters and digits, and between them `-`, `_` and `.`, at most 64 characters; or leave it out, so that the content decides the name.',
    },
  );
}

/** Swarm would refuse them half-way, with a riddle: "only updates to Labels are allowed". */
async function changedUnderTheirNames(
  engine: Engine,
  stack: string,
  fixed: Rotated['fixed'],
  secretKey: Buffer | undefined,
): Promise<readonly Problem[]> {
  const marked = secretKey !== undefined && [...fixed.values()].some(isSecret);
  const secrets = marked ? (await engine.stackObjects(stack)).filter(isSecret) : [];
  const problems: Problem[] = [];
  for (const [place, object] of fixed) {
    const { kind, content } = object;
    const name = nameIn(place);
    let changed = false;
    if (kind === 'config') {
      const live = await engine.config(name);
      changed = live?.name === name && !live.data.equals(content);
    } else if (secretKey !== undefined) {
      // The swarm shows no content: known is what this action has marked.
      const live = secrets.find((secret) => secret.name === name);
      const mark = at(live?.labels, CONTENT_LABEL);
      changed =
        typeof mark === 'string' &&
        isMarkOf(mark, secretKey) &&
        mark !== contentMark(name, content, secretKey);
    }
    if (changed) problems.push(changedProblem(object, name));
  }
  return problems;
}

const isSecret = ({ kind }: { readonly kind: string }): boolean => kind === 'secret';
const nameIn = (place: string): string => place.slice(place.indexOf(' ') + 1);

/** Docker's riddle about something of which it was not known before, told at file and line. */
export function explainRefusal(
  { world }: Deployment,
  ending: Ending,
  fixed: Rotated['fixed'] | undefined,
): Ending {
  const [, place = ''] =
    /failed to update ((?:config|secret) [\w.-]+):.*only updates to Labels are allowed/i.exec(
      ending.message,
    ) ?? [];
  const object = fixed?.get(place);
  if (object === undefined) return ending;
  const { message, position, hint = '' } = changedProblem(object, nameIn(place));
  world.narrator.warn(message, position);
  return {
    ...ending,
    hint: `${message}. ${hint}`,
    ...(position === undefined ? {} : { position }),
  };
}

function changedProblem(
  { kind, key, ownName, origin, position }: FileObject,
  name: string,
): Problem {
  return problemAt(
    position ?? { file: origin },
    `the content of ${kind} ${key} has changed (${origin}), but Swarm changes no content of a ${kind} that exists: ${name}`,
    {
      hint:
        ownName === undefined
          ? 'With `rotate: true` it gets a name that its content decides.'
          : `Leave its \`name:\` out, so that its content decides its name; or give it another one.`,
    },
  );
}

/**
 * After a success, removes what was named by its content and is not needed any more. What does not work
 * out now does the next time.
 * @param names of what the files have now
 */
export async function sweep(
  deployment: Deployment,
  { fate }: Ending,
  names: ReadonlyMap<string, string> = new Map(),
): Promise<void> {
  const { inputs, world, session, seen } = deployment;
  const candidates = (seen.objects ?? []).filter(isRotated);
  if (fate !== 'healthy' || candidates.length === 0 || world.signal.aborted) return;
  try {
    const current = new Set(names.values());
    const removed = await removeUnneeded(session.engine, inputs.stack, candidates, current);
    for (const { kind, name } of removed)
      world.narrator.say(`removed ${kind} ${name}: nothing needs it any more`);
  } catch (error) {
    world.narrator.say(`old configs and secrets are left to the next deploy: ${errorLine(error)}`);
  }
}
