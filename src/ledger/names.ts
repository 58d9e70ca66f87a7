/** Names of the config objects in which the action keeps what it has to remember of a stack. */
import { createHash } from 'node:crypto';

/** What the engine allows for the name of a config. */
const LONGEST = 64;
const HASH_DIGITS = 8;

/**
 * `STACK.suffix`. A stack's name has no dot, so no config of a stack file has such a name. A stack
 * whose name is too long for it is cut and told apart by a hash of its whole name.
 */
export function ledgerName(stack: string, suffix: string): string {
  const plain = `${stack}.${suffix}`;
  if (plain.length <= LONGEST) return plain;
  const hash = createHash('sha256').update(stack).digest('hex').slice(0, HASH_DIGITS);
  const room = LONGEST - suffix.length - hash.length - '-.'.length;
  return `${stack.slice(0, room)}-${hash}.${suffix}`;
}
