/**
 * Plays a case of the fault matrix: deploys what is there before, has a fault strike a run at its moment, and
 * reads back the verdict, the end of the stack, and what is left behind of the run.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { errorText, until } from '../../testbed/lib/wait.mjs';
import { portsOf } from '../../testbed/lib/processes.mjs';
import { startLink, startRegistryProxy } from '../../testbed/lib/proxy.mjs';
import { photograph } from './play.mjs';
import { Stack } from './stack.mjs';

/**
 * @typedef {import('./live.js').Testbed} Testbed
 * @typedef {import('./live.js').Inputs} Inputs
 * @typedef {import('./live.js').Compose} Compose
 * @typedef {import('./live.js').Run} Run
 * @typedef {import('./live.js').RunOptions} RunOptions
 * @typedef {import('./play.mjs').Photo} Photo
 *
 * @typedef {'shared' | 'managers' | 'workers'} Lane which test swarm it is played on: one that it shares with
 *   other cases at the same time, or alone on one of three managers and a worker, or of one and two
 *
 * @typedef {object} Fault
 * @property {string} id
 * @property {string} fault what happens
 * @property {string} when it strikes
 * @property {Lane} [lane] 'shared' unless told
 * @property {((scene: Scene) => Compose) | null} [before] services deployed first; null: none
 * @property {(scene: Scene) => Promise<unknown>} [arrange] after that
 * @property {(scene: Scene) => Promise<unknown>} [already] what is broken when the run starts, so that nothing can
 *   be read any more for the comparison
 * @property {(scene: Scene) => Compose} [deploy] the services of the run that it strikes
 * @property {(scene: Scene) => Inputs} [inputs]
 * @property {(scene: Scene) => Omit<RunOptions, 'inputs'>} [step]
 * @property {RegExp} [at] the line of the run's log at which it strikes; else with its start
 * @property {(scene: Scene) => Promise<unknown>} strike
 * @property {(scene: Scene) => Promise<unknown>} [repair] once the run has ended
 * @property {string} outcome '(none)' where the run does not live to tell one
 * @property {string | readonly string[]} reason any of them
 * @property {string} end how the stack is in the end, in words
 * @property {(stack: Stack, before: Photo) => Promise<void>} check that, in the swarm
 * @property {(run: Run, scene: Scene) => void | Promise<void>} [says] what the run must say besides
 * @property {boolean} [next] whether the next run of the stack has to be played, too
 * @property {readonly string[]} [leaves] what a run without `post` cannot but leave, until the next one
 *
 * @typedef {object} Result
 * @property {string} said outcome and reason
 * @property {string} wrong what is not as it should be of the verdict; '' where nothing is
 * @property {string} wrongEnd the same of the stack
 * @property {readonly string[]} left behind
 * @property {string} next what the next run said, or ''
 * @property {number} seconds that the run took
 * @property {string} story the logs, for whoever has to look into it
 */

const GREEN = ['deployed', 'unchanged', 'removed'];
/** The time after which a lock may be taken over, and what it takes a busy machine to see that. */
const LEASE_S = 60;

/**
 * How long a run has waited for the lock, by its own log.
 * @param {string} log
 * @returns {number} seconds
 */
function waitedFor(log) {
  const at = (/** @type {RegExp} */ line) => {
    const found = line.exec(log);
    return found === null ? undefined : Number(found[1]) * 60 + Number(found[2]);
  };
  const from = at(/^ *(\d+):(\d\d) {2}\S+ is locked/m);
  const to = at(/^ *(\d+):(\d\d) {2}(?:took over the lock|this is revision)/m);
  return from === undefined || to === undefined ? 0 : to - from;
}

/** A case while it is played. */
export class Scene {
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #child;
  /** @type {string[]} */
  #lines = [];
  /** @type {(() => Promise<unknown>)[]} */
  #closing = [];

  /** @param {Testbed} bed */
  constructor(bed) {
    /** @readonly */
    this.bed = bed;
    /** @readonly */
    this.stack = new Stack(bed);
    /** @type {import('../../testbed/lib/proxy.mjs').RegistryProxy | undefined} */
    this.registry = undefined;
    /** @type {import('../../testbed/lib/proxy.mjs').Link | undefined} */
    this.link = undefined;
    /** The directory of the runner's files. */
    this.home = '';
    /** What a case keeps for itself. */
    this.notes = /** @type {Record<string, unknown>} */ ({});
  }

  get child() {
    if (this.#child === undefined) throw new Error('The run has not been started.');
    return this.#child;
  }

  get log() {
    return this.#lines.join('\n');
  }

  /** @param {import('node:child_process').ChildProcess} child */
  begin(child) {
    this.#child = child;
  }

  /** @param {string} line */
  hear(line) {
    this.#lines.push(line);
  }

  /** Done when the case is over. @param {() => Promise<unknown>} close */
  later(close) {
    this.#closing.push(close);
  }

  async close() {
    for (const close of this.#closing.reverse()) await close();
  }

  /** Puts a proxy of this case between the swarm and the registry. */
  async openRegistry() {
    const { registry, state } = this.bed;
    this.registry = await startRegistryProxy(state.gateway, registry.host);
    this.later(() => this.registry?.close() ?? Promise.resolve());
    return this.registry;
  }

  /** Puts a link of this case between its run and the manager's sshd. */
  async openLink() {
    const { manager } = this.stack;
    this.link = await startLink(this.bed.state.gateway, manager);
    this.later(() => this.link?.close() ?? Promise.resolve());
    return this.link;
  }

  /** @returns {Inputs} of a run that connects by way of the link */
  viaLink() {
    const { link, stack } = this;
    if (link === undefined) throw new Error('There is no link.');
    const key = stack.manager.hostKeyLine.replace(/^\S+/, `[${link.address}]:${link.port}`);
    return { host: `${link.address}:${link.port}`, 'known-hosts': key };
  }

  /** @param {string} name @param {string} tag */
  image(name, tag) {
    return this.registry === undefined
      ? this.stack.image(name, tag)
      : `${this.registry.host}/${name}:${tag}`;
  }

  /** Waits until the run has said something. @param {RegExp} words */
  async said(words) {
    await until(`the run says ${words}`, () => words.test(this.log), { timeoutMs: 120_000 });
  }

  /** Ends the sshd processes of this run's connections. */
  async cut() {
    const count = await until('the run is connected', () =>
      this.stack.manager.killSshOf(portsOf(this.child.pid ?? 0)),
    );
    assert.ok(count > 0);
  }

  /** Drops all packets of this run's connections that come to the manager. */
  async drop() {
    const { manager } = this.stack;
    const ports = await until('the run is connected', async () => {
      const found = portsOf(this.child.pid ?? 0);
      return found.length > 0 ? found : undefined;
    });
    await manager.dropPackets(ports);
    this.later(() => manager.passPackets());
  }

  /** @param {NodeJS.Signals} signal */
  kill(signal) {
    if (!this.child.kill(signal)) throw new Error('The run had ended before.');
  }

  /** The directory of the run on the manager, once it is there. */
  async directory() {
    const saved = await until('the run has noted its directory', () => {
      const text = readFileSync(`${this.home}/github_state`, 'utf8');
      return /swarm-deploy-[0-9a-f]{32}/.exec(text)?.[0];
    });
    const path = `/tmp/${saved}`;
    await until(`${path} is there`, async () => (await this.on('test', '-d', path)) === 0, {
      intervalMs: 20,
    });
    return path;
  }

  /** Runs a command on the manager. @param {string[]} command */
  async on(...command) {
    return (await this.stack.manager.exec(command)).code;
  }

  /** Waits until `docker stack deploy` of this run is at work. */
  async deploying() {
    const path = await this.directory();
    const look = `for p in /proc/[0-9]*/cmdline; do
      tr '\\0' ' ' <"$p" 2>/dev/null | grep -q "^docker .*$1.*stack deploy" && exit 0; done; exit 1`;
    await until(
      'docker stack deploy runs',
      async () => (await this.on('sh', '-c', look, 'sh', path)) === 0,
      { timeoutMs: 180_000, intervalMs: 20 },
    );
  }
}

/**
 * @param {Fault} fault
 * @param {Testbed} bed
 * @returns {Promise<Result>}
 * @throws where the case did not come about, which proves nothing
 */
export async function playFault(fault, bed) {
  const scene = new Scene(bed);
  const { stack } = scene;
  try {
    return await play(fault, scene);
  } catch (error) {
    throw new Error(`${fault.id}: ${errorText(error)}\n${scene.log}\n${stack.story()}`, {
      cause: error,
    });
  } finally {
    await scene.close();
    if ((fault.lane ?? 'shared') !== 'shared') await bed.repair();
    await stack.remove();
  }
}

/** @param {Scene} scene @param {string} tag */
const usual = ({ stack }, tag) => ({
  api: {
    image: stack.image('web', tag),
    deploy: {
      replicas: 2,
      update_config: { parallelism: 0, order: 'start-first', monitor: '1s' },
    },
  },
});

/** @param {Fault} fault @param {Scene} scene @returns {Promise<Result>} */
async function play(fault, scene) {
  const { stack } = scene;
  if (fault.before !== null) {
    const { outcome } = await stack.deploy(fault.before?.(scene) ?? usual(scene, 'v1'));
    assert.equal(outcome, 'deployed', 'the stack before');
  }
  await fault.arrange?.(scene);
  const before = await photograph(stack);
  await fault.already?.(scene);
  /** @type {Promise<unknown> | undefined} */
  let striking;
  const strike = () => {
    striking ??= fault.strike(scene);
    striking.catch(() => undefined); // awaited below
  };
  const begun = performance.now();
  const { env, ...step } = fault.step?.(scene) ?? {};
  const run = await stack.run({
    files: {
      'docker-stack.yml': stack.file(fault.deploy?.(scene) ?? usualNext(scene)),
      ...step.files,
    },
    ...step,
    inputs: { 'stable-for': '2s', ...fault.inputs?.(scene) },
    ...(env === undefined ? {} : { env }),
    onHome: (home) => {
      scene.home = home;
    },
    onStart: (child) => {
      scene.begin(child);
      if (fault.at === undefined) strike();
    },
    onLine: (line) => {
      scene.hear(line);
      if (fault.at?.test(line) === true) strike();
    },
  });
  const seconds = Math.round((performance.now() - begun) / 100) / 10;
  assert.ok(striking !== undefined, 'the fault never struck');
  await striking;
  await fault.repair?.(scene);
  const wrong = await failing(async () => {
    await fault.says?.(run, scene);
    assertVerdict(fault, run);
  });
  const wrongEnd = await failing(() => fault.check(stack, before));
  const left = (await leftBehind(scene, [run])).filter(
    (item) => fault.leaves?.some((kind) => item.startsWith(kind)) !== true,
  );
  let next = '';
  if (fault.next === true) {
    const after = await stack.deploy(usual(scene, 'v3'), {}, {});
    const waited = waitedFor(after.log);
    next = after.outcome;
    if (after.outcome !== 'deployed') left.push(`the next run: ${after.outcome}`);
    if (waited > LEASE_S) left.push(`a lock that blocked the next run for ${waited} s`);
    left.push(...(await leftBehind(scene, [run, after])));
  }
  const said = run.reason === '' ? run.outcome : `${run.outcome} (${run.reason})`;
  const wrongNow = seconds > 600 ? `${wrong} it took ${seconds} s`.trim() : wrong;
  return { said, wrong: wrongNow, wrongEnd, left, next, seconds, story: stack.story() };
}

/** @param {Scene} scene */
const usualNext = (scene) => {
  const { api } = usual(scene, 'v2');
  return { api: { ...api, image: scene.image('web', 'v2') } };
};

/** @param {() => unknown} check @returns {Promise<string>} */
async function failing(check) {
  try {
    await check();
    return '';
  } catch (error) {
    return errorText(error);
  }
}

/** @param {Fault} fault @param {Run} run */
function assertVerdict(fault, run) {
  assert.equal(run.outcome, fault.outcome, `${run.outcome} (${run.reason})`);
  if (fault.outcome === '(none)') {
    assert.equal(run.code, null, 'exit code');
    return;
  }
  assert.ok([fault.reason].flat().includes(run.reason), `reason ${run.reason}`);
  assert.deepEqual([run.code, run.postCode], [GREEN.includes(run.outcome) ? 0 : 1, 0]);
  if (!GREEN.includes(run.outcome)) assert.match(run.log, /^::error/m);
}

/**
 * What runs have left: locks, open revisions, directories, logins and processes on nodes, files on the runner.
 * @param {Scene} scene
 * @param {readonly Run[]} runs
 * @returns {Promise<string[]>}
 */
async function leftBehind({ stack, bed }, runs) {
  const ledger = Object.entries(await stack.ledger());
  const locks = ledger.filter(([, labels]) => labels['swarm-deploy.kind'] === 'lock');
  const open = ledger.filter(([, labels]) => labels['swarm-deploy.status'] === 'pending');
  const names = runs.flatMap(({ workspaces }) => workspaces);
  const look = `for name do ls -d "/tmp/$name" 2>/dev/null
      for p in $(grep -lsa -- "$name" /proc/[0-9]*/cmdline); do
        [ "$p" = "/proc/$$/cmdline" ] || echo "process $(tr '\\0' ' ' <"$p" 2>/dev/null)"; done; done
    grep -ls auth /root/.docker/config.json /home/*/.docker/config.json; true`;
  /** A process may just be ending: what is there at two looks is left. */
  const onNodes = async () => {
    const all = await Promise.all(
      bed.nodes
        .filter(({ isUp }) => isUp)
        .map(async (node) => {
          const { stdout } = await node.exec(['sh', '-c', look, 'sh', ...names]);
          return stdout
            .split('\n')
            .filter((line) => !/^(process)?\s*$/.test(line) && !line.includes('for name do'))
            .map(
              (line) =>
                `${line.startsWith('/root') || line.startsWith('/home') ? 'login' : line.startsWith('process') ? 'process' : 'directory'} on ${node.name}: ${line}`,
            );
        }),
    );
    return all.flat();
  };
  let found = await onNodes();
  if (found.length > 0)
    await until('nothing is left', async () => (found = await onNodes()).length === 0, {
      timeoutMs: 15_000,
      intervalMs: 300,
    }).catch(() => undefined);
  return [
    ...locks.map(([name]) => `lock ${name}`),
    ...open.map(([name]) => `open revision ${name}`),
    ...found,
    ...runs.flatMap(({ leftInTemp }) => leftInTemp.map((name) => `file of the runner: ${name}`)),
  ];
}
