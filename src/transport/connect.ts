/**
 * Finds a manager to work on: tries the hosts in their order, comes back to those that may just be
 * busy or restarting, and stops at once where trying again would be wrong.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ConnectionLost, DeployError } from '../errors.js';
import type { HostKeyPolicy, SeenHostKey } from './host-key.js';
import { ConnectFailed, connectSsh, describeTarget, JumpFailed } from './ssh.js';
import type { SshCredentials, SshJump, SshOptions, SshTarget } from './ssh.js';
import type { Transport } from './transport.js';

export interface ConnectOptions {
  /** In the order of preference. */
  readonly targets: readonly SshTarget[];
  readonly credentials: SshCredentials;
  /** The way to all of them, where it is not direct. */
  readonly jump?: SshJump | undefined;
  readonly hostKeys: HostKeyPolicy;
  /** Milliseconds, per attempt. */
  readonly connectTimeoutMs: number;
  /** Takes one line for each thing that a reader of the log wants to know. */
  readonly log: (line: string) => void;
  /** Called with a host key that nobody checked (policy `off`), once per host. */
  readonly onUnverified?: (seen: SeenHostKey) => void;
  /** Refuses a host that is not fit for the work by throwing a DeployError; the next is tried. */
  readonly accept?: (transport: Transport) => Promise<void>;
  /** How often the whole list is gone through. Default: 3. */
  readonly rounds?: number;
  /** The world, for tests. */
  readonly world?: Partial<ConnectWorld>;
}

export interface ConnectWorld {
  readonly open: (options: SshOptions) => Promise<Transport>;
  readonly sleep: (ms: number) => Promise<unknown>;
  /** From 0 up to 1, as Math.random. */
  readonly random: () => number;
}

/** Milliseconds before the second round; doubled for each one after it, half of it at random. */
const BACKOFF_MS = 1000;

/**
 * Connects to the first host that answers and is accepted.
 *
 * Errors that may pass are retried, all hosts in turn, with growing pauses. A refused login or a
 * host that is not accepted rules that host out, and one at the bastion all of them. A refused host
 * key ends it all: when one of the servers is not who it should be, nothing is started on the others
 * either.
 * @throws DeployError `host-key`; the first refusal (login, or what `accept` threw) when no host
 *   is left; ConnectionLost with every host and its reason when none of them answered
 */
export async function connect(options: ConnectOptions): Promise<Transport> {
  const { targets, jump, log, accept, rounds = 3 } = options;
  const { open, sleep, random }: ConnectWorld = {
    open: connectSsh,
    sleep: delay,
    random: Math.random,
    ...options.world,
  };
  const warned = new Set<string>();
  const refusals: DeployError[] = [];
  const reasons = new Map<SshTarget, ConnectionLost>();
  let left = [...targets];

  for (let round = 1; left.length > 0; round += 1) {
    for (const target of left) {
      try {
        const transport = await open({
          target,
          credentials: options.credentials,
          jump,
          hostKeys: options.hostKeys,
          connectTimeoutMs: options.connectTimeoutMs,
          onUnverified: (seen) => {
            const place = `${seen.host} ${seen.port}`;
            if (!warned.has(place)) options.onUnverified?.(seen);
            warned.add(place);
          },
        });
        try {
          await accept?.(transport);
        } catch (error) {
          await transport.close();
          throw error;
        }
        const through =
          jump === undefined ? '' : ` through the jump host ${describeTarget(jump.target)}`;
        log(`connected to ${transport.description}${through}`);
        return transport;
      } catch (caught) {
        const ofAll = caught instanceof JumpFailed;
        const error: unknown = ofAll ? caught.failure : caught;
        if (!(error instanceof DeployError) || error.reason === 'host-key') throw error;
        if (ofAll && jump !== undefined) {
          log(error.message);
          const passes = error instanceof ConnectFailed && error.transient;
          if (!passes) left = [];
          if (error instanceof ConnectionLost) reasons.set(jump.target, error);
          else refusals.push(error);
          break;
        }
        if (error instanceof ConnectionLost) {
          reasons.set(target, error);
          if (error instanceof ConnectFailed && !error.transient) {
            left = left.filter((each) => each !== target);
          }
        } else {
          refusals.push(error);
          reasons.delete(target);
          left = left.filter((each) => each !== target);
        }
        log(error.message);
      }
    }
    if (round >= rounds || left.length === 0) break;
    const pause = Math.round(BACKOFF_MS * 2 ** (round - 1) * (0.5 + random()));
    log(`trying again in ${(pause / 1000).toFixed(1)} s (round ${round + 1} of ${rounds})`);
    await sleep(pause);
  }
  throw nobody([...reasons.values()], refusals, rounds);
}

function nobody(
  lost: readonly ConnectionLost[],
  [refusal]: readonly DeployError[],
  rounds: number,
): DeployError {
  if (refusal !== undefined) {
    if (lost.length === 0) return refusal;
    return new DeployError(
      refusal.reason,
      refusal.outcome,
      [refusal.message, ...lost.map(({ message }) => `Also: ${message}`)].join('\n'),
      { ...(refusal.hint === undefined ? {} : { hint: refusal.hint }), cause: refusal },
    );
  }
  const [only] = lost;
  const hints = [...new Set(lost.flatMap(({ hint }) => (hint === undefined ? [] : [hint])))];
  return new ConnectionLost(
    lost.length === 1 && only !== undefined
      ? `no manager answered: ${only.message}`
      : ['no manager answered:', ...lost.map(({ message }) => `- ${message}`)].join('\n'),
    {
      hint: [
        ...hints,
        `Check the input host and that its port is open to the runner. Hosts were tried up to ${rounds} times.`,
      ].join('\n'),
      cause: only,
    },
  );
}
