import { expect, it } from '@jest/globals';
import { ConnectionLost } from '../../src/errors.js';
import { removeLeft } from '../../src/post.js';
import { createNarrator } from '../../src/report/narrator.js';
import type { Connect } from '../../src/session.js';
import { FakeSwarm } from '../support/fake-swarm.js';
import { scriptedTransport } from '../support/scripted-transport.js';

const NAME = `swarm-deploy-${'0a'.repeat(16)}`;

it('post does not wait for a manager that is down before it cleans up on the others', async () => {
  const lines: string[] = [];
  const say = (line: string): void => {
    lines.push(line);
  };
  const narrator = createNarrator(
    { line: say, warning: say, notice: say, startGroup: say, endGroup: () => undefined },
    new FakeSwarm().clock,
  );
  const transport = scriptedTransport(() => ({}));
  let giveUp: (error: Error) => void = () => undefined;
  const down: Connect = () => new Promise((_, reject) => (giveUp = reject));
  const up: Connect = () => Promise.resolve(transport);
  const removing = removeLeft([down, up], NAME, narrator);
  await new Promise((resolve) => setImmediate(resolve));
  expect(transport.calls.map(({ argv }) => argv.at(-1))).toEqual([NAME]);
  giveUp(new ConnectionLost('manager1 did not answer'));
  await removing;
  expect(lines.join('\n')).toContain('nothing of the run is left on deploy@manager:22');
  expect(lines.join('\n')).toContain('could not clean up: manager1 did not answer');
});
