/** What keeps a deploy from beginning, found before anything is written, and where it is told. */
import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { InvalidInput, type Problem } from '../../src/errors.js';
import { FakeSwarm } from '../support/fake-swarm.js';
import { runAction } from '../support/run-action.js';

let swarm: FakeSwarm;
beforeEach(() => {
  swarm = new FakeSwarm();
});

const JOB = `services:
  migrate:
    image: app:1
    deploy:
      mode: replicated-job
`;

describe('a client that knows no jobs', () => {
  it.each(['deploy', 'plan'])(
    'is told of before anything is written, by mode: %s',
    async (mode) => {
      swarm.cliVersion = '20.10.24';
      const closing: (() => boolean)[] = [];
      const { report, remembered } = await runAction(swarm, {
        yaml: JOB,
        inputs: { mode },
        connect: async (accept) => {
          const transport = await swarm.connect(accept);
          const close = jest.spyOn(transport, 'close');
          closing.push(() => close.mock.calls.length > 0);
          return transport;
        },
      });
      // A connection that is left open keeps the step from ending.
      expect(closing.map((isClosed) => isClosed())).toEqual([true]);
      expect(report).toMatchObject({
        ...{ outcome: 'invalid', reason: 'compose-invalid' },
        position: { file: 'compose.yaml', line: 5, column: 7 },
        problems: [
          {
            message: expect.stringMatching(
              /^compose\.yaml:5:7: .*replicated-job.* needs a Docker client of 23\.0 or newer, and the manager's is 20\.10$/,
            ),
            hint: expect.stringContaining('restart_policy'),
          },
        ],
      });
      expect(swarm.writes).toEqual([]);
      expect(swarm.commands.filter(({ argv }) => argv.includes('deploy'))).toEqual([]);
      expect([...swarm.disk]).toEqual([]);
      expect(remembered).toEqual([]);
    },
  );
});

describe('what is found wrong while the stack is written', () => {
  const problem = (line: number): Problem => ({
    ...{ reason: 'compose-invalid', message: `line ${line}`, hint: 'mend it' },
    position: { file: 'compose.yaml', line },
  });

  it.each([1, 2])('stands at file and line, be it one problem or several: %i', async (count) => {
    const problems: [Problem, ...Problem[]] = [problem(3), ...(count === 1 ? [] : [problem(4)])];
    swarm.onCommand = (argv) => (argv.includes('deploy') ? new InvalidInput(problems) : undefined);
    const { report } = await runAction(swarm, { yaml: 'services: {api: {image: "a:1"}}' });
    expect(report).toMatchObject({
      ...{ outcome: 'invalid', reason: 'compose-invalid', problems },
      position: { file: 'compose.yaml', line: 3 },
    });
  });
});
