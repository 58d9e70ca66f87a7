/**
 * The history of a stack in the swarm: each revision is a config object whose labels say what became
 * of it, with further ones for what does not fit into it. Everything here can be repeated as a whole
 * after a lost connection, whether or not what was written last arrived.
 */
import { isRotated } from '../compose/rotate.js';
import { LEDGER_LABEL, STACK_LABEL, type Engine, type SwarmConfig } from '../docker/engine.js';
import { DeployError } from '../errors.js';
import { referencesOf } from '../model.js';
import {
  fingerprintOf,
  openingFrom,
  openingParts,
  sealedFrom,
  sealedParts,
  type OpeningContent,
  type RevisionContent,
  type SealedContent,
} from './content.js';
import { ledgerName } from './names.js';
import {
  labelsOf,
  origin,
  place,
  revisionOf,
  surplus,
  type Ending,
  type Open,
  type Revision,
} from './revision.js';
import { countIn, shortLine } from './run.js';

export interface History {
  readonly stack: string;
  /** Newest first. */
  readonly revisions: readonly Revision[];
  /** The number that the next revision gets, if nobody else makes one meanwhile. */
  readonly next: number;
  /** `incomplete` where the swarm does not hold all of it, or something else. */
  readonly contentOf: (number: number) => RevisionContent | 'incomplete';
}

/** What a revision begins with. */
export interface Draft extends Pick<Revision, 'id' | 'mode' | 'startedAt' | 'locked' | 'run'> {
  /** Whose content is deployed again. */
  readonly source?: Pick<Revision, 'number' | 'source' | 'mixed' | 'commit'>;
  /** See `Revision`. */
  readonly mixed?: boolean;
  readonly content: OpeningContent;
}

/** How many parts the content has, the config of the revision itself included. */
const OPENING_LABEL = 'swarm-deploy.parts';
/** How many parts the sealed content has; absent until all of them are there. */
const SEALED_LABEL = 'swarm-deploy.sealed';
const FINGERPRINT_LABEL = 'swarm-deploy.fingerprint';
const STATUS_LABEL = 'swarm-deploy.status';
/** The highest number that was given, where that revision has been dropped. */
const HIGHEST_LABEL = 'swarm-deploy.highest';
const ID_LABEL = 'swarm-deploy.id';
const REVISION_LABEL = 'swarm-deploy.revision';
/** `open/2/3`: the second of three. */
const PART_LABEL = 'swarm-deploy.part';

const MAX_CONFLICTS = 50;

/** A config of the history. */
interface Piece {
  readonly config: SwarmConfig;
  /** Of the revision. */
  readonly number: number;
  readonly id: string;
  /** Absent for the revision itself. */
  readonly part?: string;
}

/** @throws ConnectionLost, EngineError */
export async function readHistory(engine: Engine, stack: string): Promise<History> {
  const pieces = await readPieces(engine, stack);
  return {
    stack,
    revisions: revisionsOf(pieces),
    next: highest(pieces) + 1,
    contentOf: (number) => {
      const piece = pieces.find((each) => each.number === number && each.part === undefined);
      return (piece && contentOf(pieces, piece)) ?? 'incomplete';
    },
  };
}

/**
 * Writes a pending revision under the next free number. Repeated with the same `id` it finds and
 * completes what it wrote before.
 * @param expected the number that it gets if nobody has made one since the history was read
 * @throws DeployError `internal` where something that is no part of the history has its names
 */
export async function openRevision(
  engine: Engine,
  stack: string,
  draft: Draft,
  expected?: number,
): Promise<Open> {
  const { id, source, mixed = false, content, ...rest } = draft;
  const [first, ...further] = openingParts(content);
  if (first === undefined) throw new TypeError('a revision without content');
  let least = expected ?? 1;
  for (let attempt = 0; attempt < MAX_CONFLICTS; attempt += 1) {
    // The first guess is nearly always right, and creating it tells.
    const guess = attempt === 0 && expected !== undefined;
    const pieces = guess ? [] : await readPieces(engine, stack);
    const mine = pieces.find((each) => each.part === undefined && each.id === id);
    if (mine !== undefined) {
      await writeParts(engine, stack, mine, { kind: 'open', parts: further, from: 2 });
      return { number: mine.number, id };
    }
    const number = Math.max(least, highest(pieces) + 1);
    const revision: Revision = {
      ...rest,
      number,
      id,
      status: 'pending',
      reason: '',
      commit: source?.commit ?? draft.run.commit,
      ...(source === undefined ? {} : { source: mixed ? origin(source) : place(source) }),
      ...(mixed ? { mixed } : {}),
    };
    const created = await engine.createConfig({
      name: ledgerName(stack, `revision.${number}`),
      labels: {
        ...labelsOf(revision),
        [STACK_LABEL]: stack,
        [LEDGER_LABEL]: 'revision',
        [OPENING_LABEL]: String(1 + further.length),
      },
      data: first,
    });
    if (created !== undefined && further.length === 0) return { number, id };
    // A name that is taken may be our own, of a write whose answer was lost: look again.
    if (created === undefined) least = number + 1;
  }
  throw new DeployError('internal', 'invalid', `no number is free for a new revision of ${stack}`, {
    hint: `Look at docker config ls --filter label=${STACK_LABEL}=${stack} on a manager.`,
  });
}

/**
 * Adds what is known once the stack has been deployed. Sealing a revision again changes nothing.
 * @returns false where the revision is gone, as after `docker stack rm`
 */
export async function sealRevision(
  engine: Engine,
  stack: string,
  open: Open,
  sealed: SealedContent,
): Promise<boolean> {
  const mine = await readOne(engine, stack, open);
  if (mine === undefined) return false;
  const labels = await writeSealed(engine, stack, mine, sealed);
  return await relabel(engine, stack, open, () => labels, mine);
}

/** @returns the labels that make it count, none where the revision has been sealed before */
async function writeSealed(
  engine: Engine,
  stack: string,
  mine: Piece,
  sealed: SealedContent,
): Promise<SwarmConfig['labels']> {
  if (mine.config.labels[SEALED_LABEL] !== undefined) return {};
  const parts = sealedParts(sealed);
  const from = 1 + countIn(mine.config.labels[OPENING_LABEL], 1);
  await writeParts(engine, stack, mine, { kind: 'sealed', parts, from });
  return { [SEALED_LABEL]: String(parts.length), [FINGERPRINT_LABEL]: fingerprintOf(sealed) };
}

/**
 * Says how a revision ended. `interrupted`, which only others say of it, holds for a pending one alone.
 * @param sealed what `sealRevision` would add, where that was not done before
 * @returns false where the revision is gone, as after `docker stack rm`
 */
export async function closeRevision(
  engine: Engine,
  stack: string,
  open: Open,
  ending: Ending,
  sealed?: SealedContent,
): Promise<boolean> {
  const mine = await readOne(engine, stack, open);
  if (mine === undefined) return false;
  const seal = sealed === undefined ? {} : await writeSealed(engine, stack, mine, sealed);
  const change = (labels: SwarmConfig['labels']): SwarmConfig['labels'] =>
    ending.status === 'interrupted' && labels[STATUS_LABEL] !== 'pending'
      ? {}
      : { ...labelsOf({ ...revisionOf(open.number, labels), ...ending }), ...seal };
  return await relabel(engine, stack, open, change, mine);
}

/**
 * Removes the revisions beyond `limit` (see `surplus`), parts whose revision is gone, and what none
 * but those revisions needed.
 * @param log told of networks, configs and secrets that are removed
 * @returns the numbers of the revisions that were removed
 */
export async function trimHistory(
  engine: Engine,
  stack: string,
  limit: number,
  log: (line: string) => void = () => undefined,
): Promise<readonly number[]> {
  const pieces = await readPieces(engine, stack);
  const revisions = revisionsOf(pieces);
  const dropped = surplus(revisions, limit);
  const [kept] = revisions.filter(({ number }) => !dropped.includes(number));
  const last = highest(pieces);
  // No number is given twice, even if its revision went first.
  if (kept !== undefined && kept.number < last)
    await relabel(engine, stack, kept, () => ({ [HIGHEST_LABEL]: String(last) }));
  const [staying, leaving] = [new Set<Piece>(), new Set<Piece>()];
  for (const each of pieces)
    if (each.part === undefined) (dropped.includes(each.number) ? leaving : staying).add(each);
  // While the revisions are there: cut short, it is done the next time.
  const freed = idsIn(pieces, leaving);
  if (freed.size > 0) for (const id of idsIn(pieces, staying)) freed.delete(id);
  await removeUnused(engine, stack, freed, log);
  // A revision goes before its parts: what is left half-way is no revision any more.
  for (const each of pieces)
    if (each.part !== undefined && ![...staying].some((owner) => isOf(owner, each)))
      leaving.add(each);
  for (const { config } of leaving) await engine.removeConfig(config.id);
  return dropped;
}

/** Of the networks, configs and secrets that the services of revisions name, and those beside them. */
function idsIn(pieces: readonly Piece[], revisions: Iterable<Piece>): Set<string> {
  const ids = new Set<string>();
  for (const revision of revisions) {
    const { services = [], others = [] } = contentOf(pieces, revision)?.sealed ?? {};
    for (const { spec } of [...services, ...others])
      if (spec !== undefined) for (const { id } of referencesOf(spec)) ids.add(id);
  }
  return ids;
}

/**
 * Removes objects that are the stack's own (external ones are not), as Docker lets them pile up when
 * their names change. The swarm refuses to remove what a live service uses, whosever it is.
 */
async function removeUnused(
  engine: Engine,
  stack: string,
  ids: ReadonlySet<string>,
  log: (line: string) => void,
): Promise<void> {
  if (ids.size === 0) return;
  for (const object of await engine.stackObjects(stack))
    // A spec that Swarm itself would go back to may need what was named by its content: see rotated.ts.
    if (ids.has(object.id) && !isRotated(object) && (await engine.removeObject(object)))
      log(`removed ${object.kind} ${object.name}: no revision that is kept needs it`);
}

async function readPieces(engine: Engine, stack: string): Promise<readonly Piece[]> {
  return (await engine.configs(stack)).flatMap((config) => {
    const piece = pieceOf(stack, config);
    return piece === undefined ? [] : [piece];
  });
}

/** A revision without its parts, or undefined where it is gone. */
async function readOne(engine: Engine, stack: string, open: Open): Promise<Piece | undefined> {
  const config = await engine.config(ledgerName(stack, `revision.${open.number}`));
  const piece = config && pieceOf(stack, config);
  return piece && isOf(piece, open) ? piece : undefined;
}

/** Numbers are read from the name, which is one of its kind in the swarm and never changes. */
function pieceOf(stack: string, config: SwarmConfig): Piece | undefined {
  const { name, labels } = config;
  const [, revision, part] = /\.revision\.(\d+)(?:\.(\d+))?$/.exec(name) ?? [];
  const number = countIn(revision, undefined);
  if (number === undefined) return undefined;
  const kind = part === undefined ? 'revision' : 'revision-part';
  const suffix = part === undefined ? `revision.${number}` : `revision.${number}.${part}`;
  if (labels[LEDGER_LABEL] !== kind || name !== ledgerName(stack, suffix)) return undefined;
  const piece = { config, number, id: shortLine(labels[ID_LABEL] ?? '') };
  return part === undefined ? piece : { ...piece, part: labels[PART_LABEL] ?? '' };
}

const isOf = (piece: Piece, { number, id }: Open): boolean =>
  piece.part === undefined && piece.number === number && piece.id === id;

function revisionsOf(pieces: readonly Piece[]): readonly Revision[] {
  return pieces
    .filter(({ part }) => part === undefined)
    .map(({ number, config }) => revisionOf(number, config.labels))
    .sort((a, b) => b.number - a.number);
}

/** The highest number that was ever given, as far as the swarm still knows. */
function highest(pieces: readonly Piece[]): number {
  return pieces.reduce(
    (most, { number, config }) => Math.max(most, number, countIn(config.labels[HIGHEST_LABEL], 0)),
    0,
  );
}

function contentOf(pieces: readonly Piece[], revision: Piece): RevisionContent | undefined {
  const { labels, data } = revision.config;
  const parts = (kind: string, count: number, from: number): readonly Buffer[] =>
    Array.from({ length: Math.max(0, count - from + 1) }, (_, index) => {
      const part = `${kind}/${from + index}/${count}`;
      const found = pieces.find(
        (each) => each.part === part && each.number === revision.number && each.id === revision.id,
      );
      return found?.config.data ?? Buffer.alloc(0);
    });
  const opening = openingFrom([data, ...parts('open', countIn(labels[OPENING_LABEL], 1), 2)]);
  if (opening === undefined || labels[SEALED_LABEL] === undefined) return opening;
  const sealed = sealedFrom(parts('sealed', countIn(labels[SEALED_LABEL], 0), 1));
  return sealed && { ...opening, sealed };
}

interface Parts {
  readonly kind: 'open' | 'sealed';
  /** Those that get a config of their own. */
  readonly parts: readonly Buffer[];
  /** The number of the first of their configs. */
  readonly from: number;
}

/** Writes the parts that are not there yet. */
async function writeParts(
  engine: Engine,
  stack: string,
  { number, id }: Open,
  { kind, parts, from }: Parts,
): Promise<void> {
  // The config of the revision itself is the first part of the opening content.
  const offset = kind === 'open' ? 2 : 1;
  const count = parts.length + offset - 1;
  for (const [index, data] of parts.entries()) {
    const name = ledgerName(stack, `revision.${number}.${from + index}`);
    const part = `${kind}/${offset + index}/${count}`;
    const labels = {
      [STACK_LABEL]: stack,
      [LEDGER_LABEL]: 'revision-part',
      [REVISION_LABEL]: String(number),
      [ID_LABEL]: id,
      [PART_LABEL]: part,
    };
    const create = async (): Promise<boolean> =>
      (await engine.createConfig({ name, labels, data })) !== undefined;
    if (await create()) continue;
    // Of an answer that was lost, or sealed half-way and then deployed anew.
    const former = await engine.config(name);
    const mine = former && pieceOf(stack, former)?.id === id ? former : undefined;
    if (mine?.labels[PART_LABEL] === part && mine.data.equals(data)) continue;
    if (mine !== undefined) await engine.removeConfig(mine.id);
    if (await create()) continue;
    throw new DeployError('internal', 'failed', `something else has the name of config ${name}`, {
      hint: `Remove it if nothing needs it: docker config rm ${name}`,
    });
  }
}

/**
 * Changes labels of a revision, however often somebody else does meanwhile.
 * @param read the revision, where it was just read
 * @returns false where it is gone
 */
async function relabel(
  engine: Engine,
  stack: string,
  open: Open,
  change: (labels: SwarmConfig['labels']) => SwarmConfig['labels'],
  read?: Piece,
): Promise<boolean> {
  for (let attempt = 0; attempt < MAX_CONFLICTS; attempt += 1) {
    const piece = attempt === 0 && read !== undefined ? read : await readOne(engine, stack, open);
    if (piece === undefined) return false;
    const { labels } = piece.config;
    const changed = Object.entries(change(labels)).filter(([name, text]) => labels[name] !== text);
    if (changed.length === 0) return true;
    if (await engine.relabelConfig(piece.config, { ...labels, ...Object.fromEntries(changed) }))
      return true;
  }
  throw new DeployError(
    'internal',
    'failed',
    `revision ${open.number} of ${stack} was written by somebody else ${MAX_CONFLICTS} times in a row`,
  );
}
