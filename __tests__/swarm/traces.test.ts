/** What a run leaves on the manager and shows while it runs; how it ends when it is interrupted. */
import { expect } from '@jest/globals';
import { readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { listProcesses, pidNamespace } from '../../testbed/lib/processes.mjs';
import {
  aloneScenario,
  onSwarm,
  sshdLogOf,
  until,
  type Node,
  type RunOptions,
  type Stack,
} from '../support/swarm.js';

/** Only the scenarios of this file log in as this user, so what is his is theirs. */
const USER = 'deploy';
const USER_ID = 2001;
const CANARY = 'canary-in-the-secret-file';

/** A process, with its command line and environment. */
interface Seen {
  readonly id: string;
  readonly mine: boolean;
  readonly text: string;
}

/** Processes of the node itself, its containers left out. */
function processesOf(node: Node): readonly Seen[] {
  const init = Number(/^\/proc\/(\d+)\//.exec(node.socketPath)?.[1]);
  const namespace = pidNamespace(init);
  return listProcesses().flatMap(({ pid, start }) => {
    if (pidNamespace(pid) !== namespace) return [];
    try {
      const text = ['cmdline', 'environ'].map((name) =>
        readFileSync(`/proc/${pid}/${name}`, 'utf8'),
      );
      const mine = statSync(`/proc/${pid}`).uid === USER_ID;
      return [{ id: `${pid} ${start}`, mine, text: text.join('\0\0') }];
    } catch {
      return []; // it has ended meanwhile
    }
  });
}

const commandOf = (text: string): string => (text.split('\0\0')[0] ?? '').replaceAll('\0', ' ');

/** Directories of that user's runs. */
async function leftOf(node: Node): Promise<string> {
  const find = `find /tmp -maxdepth 1 -user ${USER} -name 'swarm-deploy-*'`;
  const { stdout } = await node.exec(find);
  return stdout;
}

/** The config that is the stack's lock, if it is there. */
const lockOf = (stack: Stack): Promise<string> =>
  stack.manager.docker('config', 'ls', '--quiet', '--filter', `name=${stack.name}.lock`);

async function expectClean({ manager }: Stack): Promise<void> {
  expect(await leftOf(manager)).toBe('');
  expect((await manager.exec(`find /home/${USER} -name config.json`)).stdout).toBe('');
  await until('no process of the run is left', () =>
    processesOf(manager).every(({ mine }) => !mine),
  );
}

/** A deploy that has to be watched for a while. */
const slowStep = (stack: Stack): RunOptions => ({
  inputs: { username: USER },
  files: {
    token: CANARY,
    'compose.yaml': stack.file(
      { api: { image: stack.image('slow'), secrets: ['token'], deploy: { replicas: 2 } } },
      {
        secrets: { token: { file: './token' } },
        networks: { default: stack.network },
      },
    ),
  },
});

onSwarm('a run', () => {
  aloneScenario(
    'shows no secret in a process, polls without processes, and leaves nothing',
    async (stack) => {
      const { manager, bed } = stack;
      const seen = new Map<string, Seen>();
      const sessions = sshdLogOf(manager);
      let sessionsAtWatch = -1;
      const over = new AbortController();
      const countSessions = (): number =>
        sessions().filter((line) => line.startsWith(`Starting session: command for ${USER} `))
          .length;
      const sampling = (async () => {
        while (!over.signal.aborted) {
          for (const one of processesOf(manager)) seen.set(`${one.id} ${one.text}`, one);
          await sleep(5);
        }
      })();
      let run;
      try {
        run = await stack.run({
          ...slowStep(stack),
          onLine: (line) => {
            if (line.includes('::group::Watch')) sessionsAtWatch = countSessions();
          },
        });
      } finally {
        over.abort();
        await sampling;
      }
      expect(run.outcome).toBe('deployed');

      const all = [...seen.values()];
      const texts = all.map(({ text }) => text);
      // The sampling works: it has seen the commands of the run.
      const mine = all.filter((one) => one.mine);
      const commands = mine.map(({ text }) => commandOf(text));
      for (const part of ['system dial-stdio', 'stack deploy'])
        expect(commands.some((command) => command.includes(part))).toBe(true);
      const secrets = [bed.registry.password, CANARY, bed.ssh.privateKey.split('\n')[2] ?? ''];
      const coded = Buffer.from(`${bed.registry.username}:${bed.registry.password}`);
      for (const secret of [...secrets, coded.toString('base64')]) {
        expect(secret).not.toBe('');
        expect(texts.filter((text) => text.includes(secret))).toEqual([]);
      }

      // One connection to the engine for all of the watching.
      const dials = mine.filter(({ text }) => /^docker .*system dial-stdio/.test(commandOf(text)));
      expect(new Set(dials.map(({ id }) => id)).size).toBe(1);
      expect(sessionsAtWatch).toBeGreaterThan(0);
      // After the start of the watching only the clean-up runs a command.
      expect(countSessions() - sessionsAtWatch).toBeLessThanOrEqual(2);
      await expectClean(stack);
    },
  );

  aloneScenario('that fails leaves nothing either', async (stack) => {
    const run = await stack.deploy(
      { api: { image: stack.image('crash') } },
      { username: USER, 'max-failures': 1 },
    );
    expect(run.outcome).toBe('rolled-back');
    await expectClean(stack);
  });

  aloneScenario('that is killed as it deploys is cleaned up by post', async (stack) => {
    let kill = (): void => undefined;
    const found: Promise<string>[] = [];
    const run = await stack.run({
      ...slowStep(stack),
      onStart: (child) => {
        kill = () => {
          found.push(leftOf(stack.manager).finally(() => child.kill('SIGKILL')));
        };
      },
      onLine: (line) => {
        if (line.includes('::group::Deploy')) kill();
      },
    });
    expect(run.code).toBeNull();
    expect(run.outcome).toBe('(none)');
    const [workspace] = await Promise.all(found);
    expect(workspace).toMatch(/^\/tmp\/swarm-deploy-[0-9a-f]{32}\n$/);
    expect(run.postCode).toBe(0);
    expect(run.postLog).toContain('nothing of the run is left on');
    expect(run.postLog).toContain(`the lock of ${stack.name} is given back`);
    expect(await lockOf(stack)).toBe('');
    await expectClean(stack);
  });

  aloneScenario('that is cancelled in mid-watch says so, and stops writing', async (stack) => {
    let interrupt = (): void => undefined;
    const run = await stack.run({
      ...slowStep(stack),
      onStart: (child) => {
        interrupt = () => child.kill('SIGINT');
      },
      onLine: (line) => {
        if (line.includes('::group::Watch')) interrupt();
      },
    });
    expect(run).toMatchObject({ outcome: 'cancelled', reason: 'cancelled', code: 1, postCode: 0 });
    expect(run.summary).toContain('cancelled');
    expect(run.outputs['report']).not.toBe('');
    expect(await lockOf(stack)).toBe('');
    await expectClean(stack);
    // Left to the swarm, which goes on with it.
    expect(Object.keys(await stack.services())).toEqual(['api']);
    await until('the swarm has started it', async () => (await stack.running('api')).length === 2);
  });
});
