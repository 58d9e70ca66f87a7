/**
 * Stories of whole runs, beside those of rollouts that were recorded: every other way in which a run ends, played
 * by the whole action on the simulated swarm and its clock.
 */
import { ConnectionLost } from '../../src/errors.js';
import type { InputName } from '../../src/inputs.js';
import { runFacts } from '../../src/ledger/run.js';
import { FakeSwarm } from './fake-swarm.js';
import { frame, HOSTILE, logOf } from './log-frames.js';
import { givePlanningCli } from './planning-swarm.js';
import { runAction, type Asked, type Attempt } from './run-action.js';
import { storyOf, type Story } from './story.js';

export interface Play {
  readonly title: string;
  readonly play: () => Promise<Story>;
}

interface Scene {
  readonly swarm: FakeSwarm;
  /** Deploys with this tag of the api, in a workflow run of its own. */
  readonly deploy: (tag: string, more?: Partial<Asked>) => Promise<Attempt>;
}

const yaml = (tag: string): string => `services:
  api:
    image: api:${tag}
    environment:
      LOG_LEVEL: info
    deploy:
      replicas: 3
  web:
    image: web:34
    deploy:
      replicas: 2
`;

/** Of the lint one story tells. */
const USUAL = {
  history: '10',
  'lint-ignore': 'no-healthcheck\nfailure-action\nno-resource-limits',
};

function scene(): Scene {
  const swarm = new FakeSwarm();
  swarm.keepsTime = true;
  let number = 40;
  const deploy = async (tag: string, more: Partial<Asked> = {}): Promise<Attempt> => {
    number += 1;
    return await runAction(swarm, {
      yaml: yaml(tag),
      ...more,
      inputs: { ...USUAL, ...more.inputs },
      run: runFacts({
        GITHUB_SERVER_URL: 'https://github.com',
        GITHUB_REPOSITORY: 'example/shop',
        GITHUB_SHA: `${number}c0ffee${'0'.repeat(32)}`,
        GITHUB_REF: 'refs/heads/main',
        GITHUB_ACTOR: 'octocat',
        GITHUB_RUN_ID: String(11_000_000 + number),
        GITHUB_RUN_NUMBER: String(number),
        GITHUB_WORKFLOW: 'deploy',
        GITHUB_JOB: 'deploy',
      }),
    });
  };
  return { swarm, deploy };
}

/** A play on a swarm where the first version runs already. */
const after =
  (act: (scene: Scene) => Promise<Attempt>, tag = '18') =>
  async (): Promise<Story> => {
    const made = scene();
    const { report } = await made.deploy('18');
    if (report.outcome !== 'deployed') throw new Error(`the first deploy: ${report.message}`);
    return storyOf(await act(made), yaml(tag));
  };

const asked = (inputs: Partial<Record<InputName, string>>): Partial<Asked> => ({ inputs });

/** Cancels once the swarm has begun with the new version. */
function cancelInMidRollout(swarm: FakeSwarm, cancel: AbortController): void {
  swarm.onStep = () => {
    if (!cancel.signal.aborted && swarm.byName('shop_api').UpdateStatus?.State === 'updating')
      cancel.abort(new Error('cancelled by SIGINT'));
  };
}

export const plays: Readonly<Record<string, Play>> = {
  'run-first': {
    title: 'The first deploy of a stack',
    play: async () => storyOf(await scene().deploy('18', asked({ 'lint-ignore': '' })), yaml('18')),
  },
  'run-updated': {
    title: 'An update of one service of two',
    play: after(({ deploy }) => deploy('19'), '19'),
  },
  'run-unchanged': {
    title: 'The same again',
    play: after(({ deploy }) => deploy('18'), '18'),
  },
  'run-rolled-back': {
    title: 'The new version exits at once, and the deploy is rolled back',
    play: after(({ swarm, deploy }) => {
      swarm.onLog = () => ({ bytes: logOf('starting', 'fatal: no database at db:5432') });
      return deploy('crash');
    }, 'crash'),
  },
  'run-hostile-log': {
    title: 'The new version exits at once, and its log is hostile',
    play: after(({ swarm, deploy }) => {
      const endless = 'x'.repeat(1_000_000);
      swarm.onLog = () => ({
        bytes: Buffer.concat([
          logOf(...HOSTILE, endless),
          frame(1, Buffer.from([0x6e, 0x6f, 0x74, 0x20, 0xff, 0xfe, 0x80, 0x0a])),
          logOf('the end'),
        ]),
      });
      return deploy('crash');
    }, 'crash'),
  },
  'run-rollback-failed': {
    title: 'The new version exits at once, and the engine refuses the way back',
    play: after(({ swarm, deploy }) => {
      swarm.onLog = () => ({ bytes: logOf('fatal: no database at db:5432') });
      swarm.onRequest = (request) =>
        /^POST \/services\/.*\/update/.test(request)
          ? { status: 400, body: '{"message":"rpc error: code = InvalidArgument desc = no"}' }
          : undefined;
      return deploy('crash');
    }, 'crash'),
  },
  'run-verify-failed': {
    title: 'Everything is healthy, and a URL does not answer as it should',
    play: after(
      ({ deploy }) =>
        deploy('19', {
          ...asked({
            verify: 'https://shop.example/health\nhttps://shop.example/version contains "19"',
            'verify-timeout': '5s',
          }),
          probe: async (url) => ({
            status: url.endsWith('health') ? 503 : 200,
            location: '',
            body: url.endsWith('health') ? 'not ready: no database\n' : '{"version":"18"}',
            isWhole: true,
          }),
        }),
      '19',
    ),
  },
  'run-kept': {
    title: 'No node can pull the image, and on-failure is keep',
    play: after(({ deploy }) => deploy('missing', asked({ 'on-failure': 'keep' })), 'missing'),
  },
  'run-superseded': {
    title: 'Somebody else changes the service while it is deployed',
    play: after(({ swarm, deploy }) => {
      const former = swarm.writes.length;
      let done = false;
      swarm.onStep = () => {
        if (done || swarm.writes.length < former + 2) return;
        done = true;
        const { Spec } = swarm.byName('shop_api');
        swarm.write('shop_api', { ...Spec, Labels: { ...(Spec['Labels'] as object), by: 'hand' } });
      };
      return deploy('19');
    }, '19'),
  },
  'run-cancelled': {
    title: 'The run is cancelled while the tasks are watched',
    play: after(({ swarm, deploy }) => {
      const cancel = new AbortController();
      cancelInMidRollout(swarm, cancel);
      return deploy('19', { cancel });
    }, '19'),
  },
  'run-cancelled-rolled-back': {
    title: 'The run is cancelled while the tasks are watched, and on-cancel is rollback',
    play: after(({ swarm, deploy }) => {
      const cancel = new AbortController();
      cancelInMidRollout(swarm, cancel);
      return deploy('19', { ...asked({ 'on-cancel': 'rollback' }), cancel });
    }, '19'),
  },
  'run-unreachable': {
    title: 'No manager answers',
    play: after(({ swarm, deploy }) => {
      swarm.onConnect = () =>
        new ConnectionLost(
          'no manager answered:\n- manager-1:22: connection refused\n- manager-2:22: connection refused',
          { hint: 'Check the input host and that its port is open to the runner.' },
        );
      return deploy('19');
    }, '19'),
  },
  'run-connection-lost': {
    title: 'The connection is lost while the tasks are watched, and does not come back',
    play: after(({ swarm, deploy }) => {
      swarm.onStep = () => {
        if (swarm.byName('shop_api').UpdateStatus?.State !== 'updating') return;
        swarm.onStep = () => undefined;
        swarm.onConnect = () => new ConnectionLost('connect ETIMEDOUT');
        swarm.cut();
      };
      return deploy('19');
    }, '19'),
  },
  'run-locked': {
    title: 'Another run has the lock, and keeps it',
    play: after(async ({ swarm, deploy }) => {
      const cancel = new AbortController();
      cancelInMidRollout(swarm, cancel);
      // Its lock is left to a post step that does not come.
      await deploy('19', { ...asked({ lock: 'true' }), cancel });
      swarm.onStep = () => undefined;
      return await deploy('20', asked({ lock: 'true', 'lock-timeout': '3s' }));
    }, '20'),
  },
  'run-inputs-invalid': {
    title: 'Several inputs are not valid',
    play: async () =>
      storyOf(
        await scene().deploy('18', asked({ timeout: 'soon', 'on-failure': 'maybe', host: '' })),
        yaml('18'),
      ),
  },
  'run-files-invalid': {
    title: 'The stack file has variables that are not set',
    play: async () => {
      const text = yaml('${TAG}').replace('info', '${LEVEL:?say how much}');
      return storyOf(await scene().deploy('', { yaml: text }), text);
    },
  },
  'run-login-refused': {
    title: 'The registry refuses the login',
    play: after(({ swarm, deploy }) => {
      swarm.logins.set('registry.example', 'right');
      return deploy(
        '19',
        asked({
          registry: 'registry.example',
          'registry-username': 'ci',
          'registry-password': 'wrong-password',
        }),
      );
    }, '19'),
  },
  'run-not-a-manager': {
    title: 'The host is a worker',
    play: after(({ swarm, deploy }) => {
      swarm.isManager = false;
      return deploy('19');
    }, '19'),
  },
  'run-rollback': {
    title: 'mode: rollback',
    play: after(async ({ deploy }) => {
      await deploy('19');
      return await deploy('', asked({ mode: 'rollback' }));
    }),
  },
  'run-no-such-revision': {
    title: 'mode: rollback, and there is nothing to go back to',
    play: after(({ deploy }) => deploy('', asked({ mode: 'rollback' }))),
  },
  'run-plan': {
    title: 'mode: plan',
    play: after(({ swarm, deploy }) => {
      givePlanningCli(swarm);
      return deploy('19', asked({ mode: 'plan' }));
    }, '19'),
  },
  'run-status': {
    title: 'mode: status, with a history that has a failure in it',
    play: after(async ({ swarm, deploy }) => {
      swarm.onLog = () => ({ bytes: logOf('fatal: no database at db:5432') });
      await deploy('crash');
      await deploy('19');
      return await deploy('', asked({ mode: 'status' }));
    }),
  },
  'run-status-bad': {
    title: 'mode: status of a stack that is not well',
    play: after(async ({ swarm, deploy }) => {
      await deploy('crash', asked({ 'on-failure': 'keep' }));
      swarm.settle(3);
      return await deploy('', asked({ mode: 'status' }));
    }),
  },
  'run-removed': {
    title: 'mode: remove',
    play: after(({ deploy }) => deploy('', asked({ mode: 'remove' }))),
  },
  'run-not-waited': {
    title: 'An update that nobody waits for (wait: false)',
    play: after(({ deploy }) => deploy('19', asked({ wait: 'false' })), '19'),
  },
};
