/** A test swarm of a suite's own, beside the one that all share; it goes away with the suite. */
import { randomBytes } from 'node:crypto';
import { withTestbed } from '../../testbed/with.mjs';
import type { UpOptions } from '../../testbed/index.mjs';
import type { Testbed } from './live.js';

export interface SpareSwarm {
  /** To be called once. @param beside the name of the swarm that all share */
  readonly up: (beside: string, options: UpOptions) => Promise<Testbed>;
  /** Also where it never came up. */
  readonly down: () => Promise<void>;
}

export function spareSwarm(): SpareSwarm {
  let end = (): void => undefined;
  const over = new Promise<void>((resolve) => (end = resolve));
  let whole: Promise<void> = Promise.resolve();
  return {
    up: (beside, options) =>
      new Promise((resolve, reject) => {
        const name = `${beside}-${randomBytes(2).toString('hex')}`;
        whole = withTestbed(name, options, async (bed) => {
          resolve(bed);
          await over;
        });
        whole.catch(reject);
      }),
    down: async () => {
      end();
      await whole;
    },
  };
}
