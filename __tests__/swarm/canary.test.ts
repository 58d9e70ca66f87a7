/**
 * Unique texts in every place in which a secret enters, and then a search for them in every place in
 * which one must not be: what runs print and write, what the swarm shows, files and processes of runner
 * and nodes.
 */
import { expect } from '@jest/globals';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  canary,
  filesWith,
  formsOf,
  found,
  keyLines,
  sampleProcesses,
  shownBySwarm,
  tracesOf,
} from '../support/canary.js';
import { crashing, STRICT, web } from '../support/history.js';
import { ownSwarmScenario, onSwarm, until, type Run, type Stack } from '../support/swarm.js';

/** The key of the test swarm with a passphrase of its own, which is in no argument of a command. */
function lockedKey(key: string, passphrase: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'canary-key-'));
  try {
    const path = join(directory, 'key');
    writeFileSync(path, key, { mode: 0o600 });
    const script = 'exec ssh-keygen -q -p -P "" -N "$(cat)" -f "$1"';
    // Before anything is sampled.
    const { status } = spawnSync('sh', ['-c', script, 'sh', path], { input: passphrase });
    expect(status).toBe(0);
    return readFileSync(path, 'utf8');
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Writes down every command that is asked for by SSH, and its environment, and runs it. */
const AUDIT = `#!/bin/sh
{ printf '%s\\n' "$SSH_ORIGINAL_COMMAND"; env; } >> "/tmp/audit-$(id -u)"
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
`;

async function audited(stack: Stack): Promise<void> {
  const { manager } = stack;
  const write = 'mkdir -p /opt/audit && cat > /opt/audit/run && chmod 755 /opt/audit/run';
  expect((await manager.exec(write, { input: AUDIT })).code).toBe(0);
  await manager.configureSsh(['ForceCommand /opt/audit/run']);
}

onSwarm('secrets', () => {
  ownSwarmScenario(
    'are nowhere but where they belong, whatever becomes of the run',
    { managers: 1, workers: 1 },
    async (stack) => {
      const { bed, manager } = stack;
      const secrets = {
        passphrase: canary('passphrase'),
        password: canary('password'),
        refused: canary('refused-login'),
        fromInput: canary('from-env-input'),
        fromStep: canary('from-step-env'),
        fromFile: canary('from-env-file').replaceAll(/["$\\]/g, ''),
        content: canary('file-content'),
        content2: canary('file-content-2'),
        ofUrl: canary('verify-url').replaceAll(/[^A-Za-z0-9]/g, ''),
        ofUrlVariable: canary('verify-variable').replaceAll(/[^A-Za-z0-9]/g, ''),
      };
      const locked = lockedKey(bed.ssh.privateKey, secrets.passphrase);
      /** Shown in the service itself, as it is asked for there; nowhere else. */
      const ofService = canary('service-env').replaceAll(/["$\\]/g, '');
      const { username, password } = bed.registry;
      const needles = [
        ...Object.values(secrets),
        password,
        `${username}:${password}`,
        ...keyLines(locked),
        ...keyLines(bed.ssh.privateKey).slice(1),
      ].flatMap(formsOf);
      await audited(stack);

      const runner = mkdtempSync(join(tmpdir(), 'canary-runner-'));
      const registries = (given: string): string =>
        JSON.stringify([{ registry: bed.registry.host, username, password: given }]);
      const deploy = async (
        api: object,
        {
          content = secrets.content,
          inputs = {},
          ...more
        }: Partial<Parameters<Stack['run']>[0]> & {
          content?: string;
        } = {},
      ): Promise<Run> => {
        for (const name of ['home', 'temp']) mkdirSync(join(runner, name), { recursive: true });
        return await stack.run({
          ...more,
          inputs: {
            ...STRICT,
            'private-key': locked,
            passphrase: secrets.passphrase,
            password: secrets.password,
            'registry-username': '',
            'registry-password': '',
            registries: registries(password),
            registry: '',
            env: `FROM_INPUT=${secrets.fromInput}\nOF_SERVICE=${ofService}\nOF_URL=${secrets.ofUrlVariable}`,
            // The registry knows neither of them.
            verify: [`probe:${secrets.ofUrl}`, 'probe:${OF_URL}']
              .map((who) => `http://${who}@${bed.registry.host}/v2/ -> 401`)
              .join('\n'),
            'env-file': 'secrets.env',
            ...inputs,
          },
          env: {
            RUNNER_DEBUG: '1',
            HOME: join(runner, 'home'),
            RUNNER_TEMP: join(runner, 'temp'),
            FROM_STEP: secrets.fromStep,
          },
          files: {
            token: `${content}\n`,
            'secrets.env': `FROM_FILE='${secrets.fromFile}'\n`,
            'docker-stack.yml': stack.file(
              {
                api: {
                  ...api,
                  secrets: ['a', 'b', 'c', 'd'],
                  environment: { OF_SERVICE: '${OF_SERVICE}' },
                },
              },
              {
                networks: { default: stack.network },
                secrets: {
                  a: { environment: 'FROM_INPUT' },
                  b: { environment: 'FROM_STEP' },
                  c: { environment: 'FROM_FILE' },
                  d: { file: './token' },
                },
              },
            ),
          },
        });
      };

      const sampler = await sampleProcesses(bed.nodes, needles);
      const runs: Run[] = [];
      try {
        const good = await deploy(web(stack, 'v1'));
        expect(good).toMatchObject({ outcome: 'deployed', code: 0 });
        const [task] = await stack.running('api');
        // They did arrive where they belong.
        expect(await stack.inside(task!, 'cat', '/run/secrets/a')).toBe(secrets.fromInput);
        expect(await stack.inside(task!, 'cat', '/run/secrets/c')).toBe(secrets.fromFile);
        expect(await stack.inside(task!, 'cat', '/run/secrets/d')).toBe(`${secrets.content}\n`);

        const bad = await deploy(crashing(stack), { content: secrets.content2 });
        expect(bad).toMatchObject({ outcome: 'rolled-back', code: 1 });

        const refused = await deploy(web(stack, 'v2'), {
          inputs: { registries: registries(secrets.refused) },
        });
        expect(refused).toMatchObject({ outcome: 'invalid', reason: 'registry-auth', code: 1 });

        let kill = (): void => undefined;
        const killed = await deploy(web(stack, 'v2'), {
          onStart: (child) => (kill = () => child.kill('SIGKILL')),
          onLine: (line) => {
            if (line.startsWith('::group::Deploy')) kill();
          },
        });
        expect(killed).toMatchObject({ code: null, postCode: 0 });

        const plan = await deploy(web(stack, 'v3'), { inputs: { mode: 'plan' } });
        expect(plan).toMatchObject({ outcome: 'planned', code: 0 });
        runs.push(good, bad, refused, killed, plan);
      } finally {
        const sampled = await sampler.end();
        expect(sampled.hits).toEqual([]);
        expect(sampled.looks).toBeGreaterThan(20);
        // What is short is seen too.
        expect(sampled.seen.some((words) => words.includes('stack deploy'))).toBe(true);
        expect(sampled.seen.some((words) => words.includes('dial-stdio'))).toBe(true);
      }

      for (const run of runs)
        expect(found(tracesOf(run), [...needles, ...formsOf(ofService)])).toEqual([]);
      // Each is masked, line by line, before anything else could print it.
      for (const text of [...keyLines(locked), secrets.passphrase, secrets.password, password])
        expect(runs[0]?.log).toContain(`::add-mask::${text}\n`);
      expect(found(await shownBySwarm(stack), needles)).toEqual([]);
      for (const node of bed.nodes) expect(await filesWith(node, needles)).toEqual([]);
      const left = await manager.exec('ls -A /tmp /home/deploy /root');
      expect(left.stdout).not.toContain('swarm-deploy-');
      const onRunner = spawnSync('grep', ['-rlasF', '-f', '-', runner], {
        input: `${needles.join('\n')}\n`,
      });
      expect(onRunner.stdout.toString()).toBe('');
      // The audit of commands did see them: it was among the files that were searched.
      const audit = await manager.exec('cat /tmp/audit-0');
      expect(audit.stdout).toContain('dial-stdio');
      rmSync(runner, { recursive: true });

      // The same search finds what is there.
      const planted = secrets.passphrase;
      await manager.exec('cat > /root/planted', { input: Buffer.from(planted).toString('base64') });
      expect(await filesWith(manager, needles)).toEqual(['/root/planted']);
      await manager.exec('rm /root/planted');
      const again = await sampleProcesses(bed.nodes, needles);
      const sleeper = spawn('sleep', ['30'], { env: { PLANTED: planted } });
      const there = (): boolean =>
        readFileSync(`/proc/${String(sleeper.pid)}/cmdline`, 'utf8').startsWith('sleep');
      await until('the planted process is there', async () => there());
      expect((await again.end()).hits).toEqual(['environ of sleep 30']);
      sleeper.kill();
      await once(sleeper, 'exit');
    },
  );
});
