/** The lint in a whole run: where its findings go, and that nothing is said twice. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { ConnectionLost } from '../../src/errors.js';
import { FakeSwarm } from '../support/fake-swarm.js';
import { runAction } from '../support/run-action.js';

let swarm: FakeSwarm;
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

describe('a run that comes no further', () => {
  const once = (log: readonly string[]): number =>
    log.filter((line) => line.includes('(no-healthcheck)')).length;

  it('has said what its files say, where no manager can be reached', async () => {
    const refused = new ConnectionLost('connect ECONNREFUSED');
    const attempt = runAction(swarm, { yaml: YAML, connect: () => Promise.reject(refused) });
    const { report, log } = await attempt;
    expect(report.outcome).toBe('unreachable');
    expect(report.lint.map(({ id }) => id)).toEqual(['no-healthcheck']);
    expect(once(log)).toBe(1);
  });

  it('has said it where the stack is locked', async () => {
    const holder = new AbortController();
    const held = runAction(swarm, {
      yaml: YAML,
      inputs: { lock: 'true', 'stable-for': '5m' },
      cancel: holder,
    });
    await swarm.clock.sleep(1000, holder.signal);
    const { report, log } = await runAction(swarm, {
      yaml: YAML,
      inputs: { lock: 'true', 'lock-timeout': '5s' },
    });
    expect(report.outcome).toBe('locked');
    expect(report.lint.map(({ id }) => id)).toEqual(['no-healthcheck']);
    expect(once(log)).toBe(1);
    await held;
  });

  it('has said it where the client of the manager refuses the files', async () => {
    swarm.cliVersion = '20.10.24';
    const yaml = YAML.replace('replicas: 2', 'mode: replicated-job');
    const { report } = await runAction(swarm, { yaml: `${yaml}  b: {image: b}\n` });
    expect(report.outcome).toBe('invalid');
    expect(report.lint.map(({ id }) => id)).toContain('no-healthcheck');
  });

  it('says of what it leaves out of the files what can be done about it', async () => {
    const yaml = `${YAML}    platform: linux/amd64\n    oom_score_adj: 5\n`;
    const { report, log } = await runAction(swarm, { yaml });
    expect(report.outcome).toBe('deployed');
    const warning =
      'compose.yaml:8:5: `services.api.platform` is not passed on by `docker stack deploy`; it is left out. ' +
      'Choose the nodes with deploy.placement.constraints, `node.platform.arch == x86_64`.';
    expect(report.warnings).toContain(warning);
    expect(log).toContain(`warning: ${warning}`);
  });

  it('sends ten warnings at most, be they of the lint or others', async () => {
    const services = Array.from(
      { length: 30 },
      (_, index) => `  s${index}: {image: "a:latest", pull_policy: never, container_name: x}\n`,
    );
    const { report, annotations } = await runAction(swarm, {
      yaml: `services:\n${services.join('')}`,
    });
    expect(report.outcome).toBe('deployed');
    expect(report.warnings.length).toBeGreaterThan(10);
    expect(report.lint.length).toBeGreaterThan(60);
    expect(annotations.filter((level) => level === 'warning')).toHaveLength(10);
    expect(annotations.filter((level) => level === 'notice').length).toBeLessThanOrEqual(10);
  });
});
