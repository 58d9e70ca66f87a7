/** What the files use and do not make is looked for before anything is written. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { FakeSwarm } from '../support/fake-swarm.js';
import { givePlanningCli } from '../support/planning-swarm.js';
import { runAction, type Asked, type Attempt } from '../support/run-action.js';

let swarm: FakeSwarm;

beforeEach(() => {
  swarm = new FakeSwarm();
});

const YAML = `services:
  api:
    image: api:1
    networks: [shared, here]
    configs: [settings]
    secrets: [{source: token}]
networks:
  shared:
    external: true
    name: proxy
  here: {external: {name: host}}
  unused: {external: true}
configs:
  settings:
    external: true
secrets:
  token: {external: true, name: api-token}
`;

const run = (inputs: Asked['inputs'] = {}): Promise<Attempt> =>
  runAction(swarm, { yaml: YAML, inputs: { lock: 'true', history: '5', ...inputs } });

describe.each(['deploy', 'plan'])('mode: %s', (mode) => {
  beforeEach(() => {
    if (mode === 'plan') givePlanningCli(swarm);
  });

  it('tells all that is missing at its lines, and writes nothing to the stack', async () => {
    // Parts of names are no names.
    swarm.addObject('network', 'other', 'proxy-2');
    const before = swarm.objects.length;
    const { report } = await run({ mode });
    expect(report).toMatchObject({ outcome: 'invalid', reason: 'compose-invalid', services: [] });
    expect(report.problems.map(({ message }) => message)).toEqual([
      'compose.yaml:9:5: the external network proxy, which service api uses, does not exist in the swarm',
      'compose.yaml:15:5: the external config settings, which service api uses, does not exist in the swarm',
      'compose.yaml:17:11: the external secret api-token, which service api uses, does not exist in the swarm',
    ]);
    expect(report.problems[0]?.hint).toContain('docker network create --driver overlay proxy');
    expect(swarm.services.size).toBe(0);
    expect(swarm.objects).toHaveLength(before);
    expect(swarm.commands.filter(({ argv }) => argv.includes('deploy'))).toEqual([]);
    expect(swarm.left()).toEqual([]);
  });

  it('goes on where all of it is there', async () => {
    swarm.addObject('network', 'other', 'proxy');
    swarm.addObject('config', 'other', 'settings');
    swarm.addObject('secret', 'other', 'api-token');
    const { report } = await run({ mode });
    expect(report.outcome).toBe(mode === 'plan' ? 'planned' : 'deployed');
  });
});

it('tells a network of one node from one of the swarm', async () => {
  swarm.addObject('config', 'other', 'settings');
  swarm.addObject('secret', 'other', 'api-token');
  swarm.onRequest = (request) =>
    request === 'GET /networks'
      ? { status: 200, body: '[{"Id":"1","Name":"proxy","Scope":"local"}]' }
      : undefined;
  const { report } = await run();
  expect(report.problems.map(({ message }) => message)).toEqual([
    'compose.yaml:9:5: the external network proxy, which service api uses, is one of this manager alone (its scope is local)',
  ]);
});
