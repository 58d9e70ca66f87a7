/**
 * The failures that are met most: what the first screen of a run says of each, on the real swarm: what
 * happened, where in the files, and what mends it.
 */
import { expect } from '@jest/globals';
import type { Dossier } from '../../src/report/dossier.js';
import type { Compose, Inputs } from '../support/live.js';
import { aloneScenario, onSwarm, scenarios, type Run, type Stack } from '../support/swarm.js';

interface Failure {
  readonly what: string;
  readonly services: (stack: Stack) => Compose;
  readonly inputs?: Inputs;
  readonly reason: string;
  readonly cause: RegExp;
  readonly mend: RegExp;
  /** The line of the stack file that is shown has this in it. */
  readonly line: RegExp;
  /** The last lines of the failed task; none where no container has run. */
  readonly log?: readonly string[];
}

const quick = {
  update_config: { parallelism: 0, monitor: '1s' },
  restart_policy: { delay: '500ms' },
};

const api = (stack: Stack, image: string, deploy: object = {}, more: object = {}): Compose => {
  const [name = '', tag] = image.split(':');
  return {
    api: {
      image: stack.image(name, tag),
      stop_grace_period: '1s',
      ...more,
      deploy: { replicas: 1, ...quick, ...deploy },
    },
  };
};

const FAILURES: readonly Failure[] = [
  {
    what: 'a missing image',
    services: (stack) => api(stack, 'nosuch:v9'),
    reason: 'image-not-found',
    cause: /^The registry has no image \S+\/nosuch:v9\.$/,
    mend: /name and the tag in `image:`/,
    line: /"image"/,
  },
  {
    what: 'nodes without the registry login',
    services: (stack) => api(stack, `own-${stack.name}:v1`, onWorkers),
    inputs: { 'with-registry-auth': false },
    reason: 'image-not-found registry-auth',
    cause: /worker\d.* (?:could not pull \S+: there is no such image|pull \S+: )/,
    mend: /with-registry-auth at true/,
    line: /"image"/,
  },
  {
    what: 'a process that ends at once',
    services: (stack) => api(stack, 'crash:v1'),
    reason: 'crash-loop',
    cause:
      /^Its process ends with exit code 1, \d times on .*; its log says: fatal: no database at db:5432\.$/,
    mend: /^Mend what its log complains of\.$/,
    line: /"image"/,
    log: ['fatal: no database at db:5432'],
  },
  {
    what: 'a healthcheck that never passes',
    services: (stack) => api(stack, 'unhealthy:v1'),
    reason: 'unhealthy',
    cause: /^The healthcheck of its image does not pass: \d tasks on .* were stopped for it\.$/,
    mend: /Run the check in a container .*start_period/,
    line: /"image"/,
    log: ['unhealthy v1: listening on port 80', 'unhealthy v1: stopping'],
  },
  {
    what: 'more memory than the limit',
    services: (stack) =>
      api(stack, 'oom:v1', { ...onWorkers, resources: { limits: { memory: '32M' } } }),
    reason: 'out-of-memory',
    cause:
      /^It takes more memory than its limit of 32 MiB: \d tasks on worker.* were killed for it \(exit code 137\)\.$/,
    mend: /Raise deploy\.resources\.limits\.memory/,
    line: /"memory"/,
    log: [],
  },
  {
    what: 'a command that is not there',
    services: (stack) => api(stack, 'nocmd:v1'),
    reason: 'command-not-found',
    cause: /^There is no command \/there-is-no-such-program in \S+\/nocmd:v1\.$/,
    mend: /Correct command or entrypoint/,
    line: /"image"/,
  },
  {
    what: 'a program that is none',
    services: (stack) => api(stack, 'noexec:v1'),
    reason: 'exec-format',
    cause:
      /^The program of \S+\/noexec:v1 does not run on .*: it is for another processor, or a script without a #! line\.$/,
    mend: /Build the image for the platform of the nodes \(linux\/amd64\)/,
    line: /"image"/,
  },
  {
    what: 'no node with the label',
    services: (stack) =>
      api(stack, 'web:v1', { placement: { constraints: ['node.labels.disk == ssd'] } }),
    inputs: { 'progress-timeout': '5s' },
    reason: 'unschedulable',
    cause:
      /^No node can run it: scheduling constraints not satisfied on 3 nodes; it asks for node\.labels\.disk == ssd\.$/,
    mend: /docker node update --label-add/,
    line: /"constraints"/,
  },
  {
    what: 'no node with so much memory',
    services: (stack) => api(stack, 'web:v1', { resources: { reservations: { memory: '4000G' } } }),
    inputs: { 'progress-timeout': '5s' },
    reason: 'unschedulable',
    cause:
      /^No node can run it: insufficient resources on 3 nodes; each task reserves 4000 GiB of memory\.$/,
    mend: /Lower deploy\.resources\.reservations/,
    line: /"reservations"/,
  },
  {
    what: 'a port in use',
    services: (stack) =>
      api(stack, 'nohealth:v1', {}, { ports: [{ target: 80, published: 22, mode: 'host' }] }),
    reason: 'port-in-use',
    cause: /^Port 22 is already in use on .+\.$/,
    mend: /Stop what listens there/,
    line: /\{|22/,
  },
  {
    what: 'a mount without its source',
    services: (stack) => api(stack, 'nohealth:v1', {}, { volumes: ['/there/is/none:/data'] }),
    reason: 'mount-invalid',
    cause: /^A mount needs \/there\/is\/none, which does not exist on .+\.$/,
    mend: /Create it on every node/,
    line: /"\/there\/is\/none:\/data"/,
  },
  {
    what: 'a one-shot task that fails',
    services: (stack) =>
      api(stack, 'job-fail:v1', { restart_policy: { condition: 'none' }, update_config: {} }),
    reason: 'job-failed',
    cause: /^The job ended with exit code 3; its log says: fatal: migration 7\.$/,
    mend: /^Mend what its log complains of, then run the workflow again\.$/,
    line: /"image"/,
    log: ['fatal: migration 7'],
  },
  {
    what: 'a healthcheck that takes for ever',
    services: (stack) =>
      api(
        stack,
        'nohealth:v1',
        {},
        {
          healthcheck: {
            test: ['CMD', '/bin/busybox', 'false'],
            interval: '1s',
            retries: 1000,
          },
        },
      ),
    inputs: { 'progress-timeout': '6s' },
    reason: 'progress-timeout',
    cause:
      /^A task on \S+ stays "starting": it runs, and its healthcheck has not passed yet; its log says: nohealth v1: up\.$/,
    mend: /healthcheck: .*progress-timeout/,
    line: /"test"/,
    log: ['nohealth v1: up'],
  },
];

const onWorkers = { placement: { constraints: ['node.role == worker'] } };

const dossierOf = (run: Run): Dossier => (run.report as { dossier: Dossier }).dossier;

/** What a summary shows before anybody unfolds or scrolls: its first lines, as text. */
function firstScreen(summary: string): string {
  return summary
    .replace(/<details>[^]*?<\/details>/g, '')
    .replace(/&#(\d+);/g, (_, digits: string) => String.fromCharCode(Number(digits)))
    .replace(/<\/?(?:code|span)>/g, '')
    .split('\n')
    .slice(0, 25)
    .join('\n');
}

onSwarm('the dossier', () => {
  scenarios(
    FAILURES,
    ({ what }) => `of ${what} tells cause, place and mend`,
    async (stack, { services, inputs, reason, cause, mend, line, log }) => {
      // Nobody has pulled this one yet.
      await stack.bed.pushImage(`own-${stack.name}:v1`, { command: ['/bin/busybox', 'true'] });
      const wanted = services(stack);
      const run = await stack.deploy(wanted, inputs);
      expect(run.outcome).toBe('rolled-back');
      const [found] = dossierOf(run);
      expect(found).toMatchObject({ service: `${stack.name}_api` });
      if (found === undefined) return;
      expect(reason.split(' ')).toContain(found.reason);
      expect(found.cause).toMatch(cause);
      expect(found.mend).toMatch(mend);
      expect(found.tasks.length).toBeGreaterThan(0);
      expect(found.place?.file).toBe('docker-stack.yml');
      const shown = stack.file(wanted).split('\n')[(found.place?.line ?? 0) - 1];
      expect(shown).toMatch(line);
      if (log !== undefined) expect(found.log?.lines).toEqual(log);
      const place = `docker-stack.yml:${found.place?.line ?? ''}`;
      for (const text of [run.log, firstScreen(run.summary)])
        // What is between backticks is code in the summary.
        for (const words of [found.cause, place, found.mend])
          expect(text.replaceAll('`', '')).toContain(words.replaceAll('`', ''));
      // The evidence is read before it goes.
      const [read, back] = ['to mend it', '::group::Roll back'].map((words) =>
        run.log.indexOf(words),
      );
      expect(read).toBeGreaterThan(0);
      expect(back).toBeGreaterThan(read ?? 0);
    },
  );

  scenarios(
    ['json-file', 'local', 'none'],
    (driver) => `has the log of a worker's container, kept by "${driver}"`,
    async (stack, driver) => {
      const text = [
        "printf '::set-output name=outcome::deployed\\n'",
        "printf '\\033[2J</details><script>alert(1)</script> ``` | \\377\\n'",
        `echo "password: ${stack.bed.registry.password}"`,
        "busybox head -c 1000000 /dev/zero | busybox tr '\\0' x; echo",
        // Both streams have a way of their own into the log.
        'busybox sleep 1; echo "fatal: the end" >&2',
        'exit 7',
      ];
      const services = {
        api: {
          ...(api(stack, 'nohealth:v1', onWorkers)['api'] as object),
          command: ['/bin/busybox', 'sh', '-c', text.join('; ').replaceAll('$', '$$')],
          logging: { driver },
        },
      };
      const run = await stack.deploy(services, { 'stable-for': '4s' });
      expect(run).toMatchObject({ outcome: 'rolled-back', reason: 'crash-loop' });
      const [found] = dossierOf(run);
      if (driver === 'none') {
        expect(found?.log).toMatchObject({ lines: [], note: expect.stringContaining('"none"') });
        expect(run.log).toContain('its log driver is "none"');
        return;
      }
      expect(found?.cause).toMatch(/exit code 7, \d times on worker.*its log says: fatal: the end/);
      const lines = found?.log?.lines ?? [];
      expect(lines.at(-1)).toBe('fatal: the end');
      expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(1000);
      expect(found?.log?.cut).toBeGreaterThan(10_000);
      expect(run.log).toContain('  | fatal: the end');
      for (const shown of [run.log, run.summary]) {
        expect(shown).not.toMatch(/^\s*::set-output/m);
        expect(shown).not.toContain('\u001b[2J');
      }
      const password = `: ${stack.bed.registry.password}`;
      for (const shown of [run.log, run.summary, JSON.stringify(run.report)])
        expect(shown).not.toContain(`password${password}`);
      expect(Object.keys(await stack.services())).toEqual([]);
    },
  );
});

onSwarm('a node that does not answer', () => {
  aloneScenario('keeps nobody from rolling back for long', async (stack) => {
    const node = stack.bed.node('worker2');
    const deploy = {
      placement: { constraints: [`node.hostname == ${node.name}`] },
      restart_policy: { delay: '2s' },
    };
    const steps: Promise<unknown>[] = [];
    const once = (step: number, action: () => Promise<unknown>): void => {
      if (steps.length === step) steps.push(action());
    };
    const run = await stack.deploy(
      api(stack, 'crash:v1', deploy),
      { 'progress-timeout': '5s' },
      {
        onLine: (text) => {
          // It is asleep when the time is over, and the swarm does not know it yet.
          if (/ failed on /.test(text)) once(0, () => node.stopEngine('SIGSTOP'));
          if (text.includes('::group::Roll back')) once(1, () => node.startEngine());
        },
      },
    );
    await Promise.all(steps);
    expect(steps).toHaveLength(2);
    expect(run).toMatchObject({ outcome: 'rolled-back', reason: 'progress-timeout' });
    expect(dossierOf(run)[0]).toMatchObject({
      reason: 'crash-loop',
      log: { lines: [], note: 'its node gave no more of it within 3 s' },
    });
  });
});
