/** The lint in a whole run: where its findings go, and that nothing is said twice. */
import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { FakeSwarm } from '../support/fake-swarm.js';
import { runAction } from '../support/run-action.js';

let swarm: FakeSwarm;
jest.setTimeout(120_000);
beforeEach(() => {
  swarm = new FakeSwarm();
});

const YAML = `services:
  api:
    image: ghcr.io/shop/api:1
    deploy:
      replicas: 2
      update_config: {failure_action: rollback}
      resources: {limits: {memory: 64M}}
`;

describe('a deploy', () => {
  it('says what it found once, in log and report, and no longer a second time of the healthcheck', async () => {
    const { report, log } = await runAction(swarm, { yaml: YAML });
    expect(report.outcome).toBe('deployed');
    expect(report.lint.map(({ id, file, line, service }) => [id, file, line, service])).toEqual([
      ['no-healthcheck', 'compose.yaml', 2, 'api'],
    ]);
    expect(log.filter((line) => line.includes('no healthcheck'))).toEqual([
      expect.stringMatching(
        /^warning: compose\.yaml:2: service api: no healthcheck, unless .*\(no-healthcheck\)$/,
      ),
    ]);
    expect(report.warnings).toEqual([]);
  });

  it('says nothing of what is ignored', async () => {
    const { report, log } = await runAction(swarm, {
      yaml: YAML,
      inputs: { 'lint-ignore': 'no-healthcheck' },
    });
    expect(report.lint).toEqual([]);
    expect(log.filter((line) => line.includes('no healthcheck'))).toEqual([]);
  });

  it('knows a login that ends with the job, only if the nodes get it, and shows nothing of it', async () => {
    const inputs = {
      registry: 'ghcr.io',
      'registry-username': 'octocat',
      'registry-password': 'ghs_0123456789abcdef',
      'lint-ignore': 'no-healthcheck',
    };
    swarm.logins.set('ghcr.io', inputs['registry-password']);
    const { report, log } = await runAction(swarm, { yaml: YAML, inputs });
    expect(report.outcome).toBe('deployed');
    expect(report.lint).toEqual([
      expect.objectContaining({
        ...{ id: 'expiring-credentials', level: 'warning', file: 'compose.yaml', line: 3 },
        message: expect.stringMatching(
          /ghcr\.io.*a token of this workflow, which ends with the job/,
        ),
      }),
    ]);
    expect(JSON.stringify([report, log])).not.toContain('ghs_0123');
    const kept = await runAction(swarm, {
      yaml: YAML,
      inputs: { ...inputs, 'with-registry-auth': 'false' },
    });
    expect(kept.report.lint).toEqual([]);
  });

  it('tells also where the registry takes no login, and nothing is deployed', async () => {
    const inputs = {
      ...{ registry: 'ghcr.io', 'registry-username': 'octocat', 'registry-password': 'wrong' },
    };
    const { report } = await runAction(swarm, { yaml: YAML, inputs });
    expect(report.reason).toBe('registry-auth');
    expect(report.lint.map(({ id }) => id)).toEqual(['no-healthcheck']);
  });

  it('asks the nodes that are up for their engines', async () => {
    const yaml = YAML.replace('    image', '    oom_score_adj: 5\n    image');
    const found = async (): Promise<readonly string[]> =>
      (await runAction(swarm, { yaml })).report.lint
        .filter(({ id }) => id === 'engine-oom-score-adj')
        .map(({ message }) => message);
    const nodes = swarm.nodes as unknown as {
      Description: { Hostname: string; Engine?: object };
      Status: { State: string };
    }[];
    for (const node of nodes) node.Description.Engine = { EngineVersion: '28.5.1' };
    expect(await found()).toEqual([]);
    nodes[1]!.Description.Engine = { EngineVersion: '20.10.24' };
    expect(await found()).toEqual([
      `service api: \`oom_score_adj\` is ignored on node ${nodes[1]!.Description.Hostname}, where the engine is 20.10.24`,
    ]);
    nodes[1]!.Status.State = 'down';
    expect(await found()).toEqual([]);
  });
});
