/**
 * What a stack's lock says, and when one that waits for it may take it over. Clocks of machines are
 * never compared: a lock is dead when it has not moved for a while on the clock of who looks at it.
 */
import { LEDGER_LABEL, STACK_LABEL, type SwarmConfig } from '../docker/engine.js';
import { safeLine } from '../report/text.js';

/** A lock that has not moved for this long may be taken over. */
export const TTL_MS = 45_000;
/** How often the holder moves it. */
export const BEAT_MS = 10_000;
/**
 * How long after a confirmed beat the holder may start a write without another: what it starts by then
 * has 15 s to arrive before anyone else may hold the lock, which is as long as a request may take.
 */
export const TRUST_MS = TTL_MS - 15_000;
/** Of the time between two looks, this much counts: while the swarm is silent its holder cannot beat. */
const LONGEST_GAP_MS = 5000;

/** Who holds a lock, as it says itself; `''` where it does not. */
export interface Holder {
  /** Random, of one run. */
  readonly id: string;
  readonly runUrl: string;
  readonly actor: string;
  /** ISO 8601, by the holder's clock: for people only. */
  readonly since: string;
}

const HOLDER = 'swarm-deploy.holder';
const RUN_URL = 'swarm-deploy.run-url';
const ACTOR = 'swarm-deploy.actor';
const SINCE = 'swarm-deploy.since';
const BEAT = 'swarm-deploy.beat';

export function lockLabels(stack: string, holder: Holder, beat: number): SwarmConfig['labels'] {
  return {
    [STACK_LABEL]: stack,
    [LEDGER_LABEL]: 'lock',
    [HOLDER]: holder.id,
    [RUN_URL]: holder.runUrl,
    [ACTOR]: holder.actor,
    [SINCE]: holder.since,
    [BEAT]: String(beat),
  };
}

/** Whether it is a lock at all; somebody may have given the name to a config of their own. */
export const isLock = ({ labels }: SwarmConfig): boolean => labels[LEDGER_LABEL] === 'lock';

export function holderOf({ labels }: SwarmConfig): Holder {
  const text = (label: string): string => labels[label] ?? '';
  return { id: text(HOLDER), runUrl: text(RUN_URL), actor: text(ACTOR), since: text(SINCE) };
}

export const nextBeat = ({ labels }: SwarmConfig): number => (Number(labels[BEAT]) || 0) + 1;

/** `https://... (started by alice)`, safe to print. */
export function described({ runUrl, actor }: Pick<Holder, 'runUrl' | 'actor'>): string {
  const run = safeLine(runUrl) || 'a run that does not say its URL';
  return actor === '' ? run : `${run} (started by ${safeLine(actor)})`;
}

/** A lock as it has been seen until now. */
export interface Sighting {
  readonly id: string;
  readonly version: number;
  /** When it was last seen, on the clock of who looks. */
  readonly at: number;
  /** How long it has been watched without moving, in milliseconds. */
  readonly stillMs: number;
}

/** @param at milliseconds on the clock of who looks, once the answer was there */
export function sighted(
  { id, version }: SwarmConfig,
  former: Sighting | undefined,
  at: number,
): Sighting {
  const moved = former?.id !== id || former.version !== version;
  const stillMs = moved ? 0 : former.stillMs + Math.min(at - former.at, LONGEST_GAP_MS);
  return { id, version, at, stillMs };
}

export const isDead = ({ stillMs }: Sighting): boolean => stillMs >= TTL_MS;
