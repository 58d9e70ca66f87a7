/** A failed deploy is rolled back at most once, whatever goes wrong on the way back. */
import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ConnectionLost } from '../../src/errors.js';
import { FakeSwarm, type Answer } from '../support/fake-swarm.js';
import { runAction, stackFile } from '../support/run-action.js';

const CONFLICT: Answer = { status: 500, body: '{"message":"rpc error: update out of sequence"}' };
const NO_LEADER: Answer = {
  status: 500,
  body: '{"message":"rpc error: The swarm does not have a leader"}',
};

/** What happens to a request of the way back, or to the connection right after a write of it. */
const FAULTS = ['lost', 'conflict', 'no-leader', 'answer-lost', 'unreachable'] as const;
type Fault = (typeof FAULTS)[number] | undefined;

const stack = (
  image: string,
  failureAction: 'pause' | 'continue' | 'rollback',
  more = {},
): string =>
  stackFile({
    api: { image, replicas: 3, failureAction },
    // Changed by the deploy, too, and well.
    web: { image: image === 'api:1' ? 'web:1' : 'web:2', replicas: 2, failureAction },
    ...more,
  });

it('writes each service at most once on the way back', async () => {
  const outcomes = new Set<string>();
  let answersLost = 0;
  let written = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('api:crash', 'api:unhealthy', 'api:missing'),
      fc.constantFrom('pause', 'continue', 'rollback'),
      fc.array(fc.option(fc.constantFrom(...FAULTS), { nil: undefined }), { maxLength: 8 }),
      async (image, failureAction, faults) => {
        const swarm = new FakeSwarm();
        await runAction(swarm, { yaml: stack('api:1', failureAction) });
        const before = structuredClone([...swarm.services.values()].map(({ Spec }) => Spec));
        swarm.writes.length = 0;

        const left: Fault[] = [...faults];
        let failed = false;
        let loseAnswer = false;
        const push = swarm.writes.push.bind(swarm.writes);
        swarm.writes.push = (...lines) => {
          const length = push(...lines);
          if (loseAnswer) {
            answersLost += 1;
            swarm.cut();
          }
          loseAnswer = false;
          return length;
        };
        swarm.onRequest = (line) => {
          // What the deploy wrote is written, and the first write on the way back is about to be.
          failed ||= line.endsWith('/update') || line.startsWith('DELETE');
          const fault = failed ? left.shift() : undefined;
          if (fault === 'conflict') return line.endsWith('/update') ? CONFLICT : undefined;
          if (fault === 'no-leader') return NO_LEADER;
          if (fault === 'answer-lost') loseAnswer = true;
          if (fault === 'unreachable') swarm.onConnect = () => new ConnectionLost('no route');
          return fault === 'lost' || fault === 'unreachable' ? 'refuse' : undefined;
        };
        const { report } = await runAction(swarm, {
          yaml: stack(image, failureAction, { extra: { image: 'extra:1' } }),
        });

        outcomes.add(report.outcome);
        const back = swarm.writes.flatMap(
          (line) => /^(?:restore|rollback|remove) (shop_\w+)( \(|$)/.exec(line)?.[1] ?? [],
        );
        written += back.length;
        expect(back).toEqual([...new Set(back)]);
        if (report.outcome === 'rolled-back')
          expect([...swarm.services.values()].map(({ Spec }) => Spec)).toEqual(before);
      },
    ),
    {
      numRuns: 10,
      examples: [
        ['api:crash', 'pause', ['answer-lost']],
        ['api:missing', 'continue', ['conflict', 'lost', 'answer-lost', 'no-leader']],
      ],
    },
  );
  // The property would say little if they all ended the same way.
  expect(outcomes).toContain('rolled-back');
  expect(written).toBeGreaterThan(0);
  expect(answersLost).toBeGreaterThan(0);
});
