#!/usr/bin/env node
/**
 * `npm run record-traces`: records on a real swarm what the action sees of a rollout, from before the
 * deploy until well after its end, for each story in traces/stories.mjs. The traces are replayed
 * through `observe` by __tests__/scenarios. `--help` says more.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { attach, listNames, up } from '../testbed/index.mjs';
import { until as waitUntil } from '../testbed/lib/wait.mjs';
import { withTestbed } from '../testbed/with.mjs';
import { needTestbed, optionsOf, refuseUnknown } from './options.mjs';
import { Reader, Recording } from './traces/reading.mjs';
import { stories } from './traces/stories.mjs';

/**
 * @typedef {import('../testbed/index.mjs').Testbed} Testbed
 * @typedef {import('./traces/reading.mjs').Look} Look
 * @typedef {import('./traces/stories.mjs').Story} Story
 */

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), '../__tests__/scenarios/traces');
const HELP = `Records rollouts on a real swarm into __tests__/scenarios/traces.

  npm run record-traces [-- OPTIONS] [STORY...]

  --name NAME      of the test swarm (default: traces); one that is up already is used, and left up
  --engine ENGINE  of the test swarm (default: the distribution's own)
  --keep           leave the test swarm up
  --help           this text

Without the names of stories all of them are recorded, which takes some five minutes.`;

/** The pause between two looks; the action's own while something moves. */
const PAUSE_MS = 250;
/** How long is recorded after the outcome can be seen: longer than any window of stability. */
const AFTER_MS = 12_000;
const LIMIT_MS = 120_000;
/** So that looks stay short on two cores. */
const AT_ONCE = 3;

/**
 * @param {Testbed} bed
 * @param {Story} story
 * @returns {Promise<string>} the trace
 */
async function record(bed, story) {
  const { manager, registry } = bed;
  // Tasks of a removed job stay for long, and carry the name of its stack.
  const stack = `${story.name}-${randomBytes(3).toString('hex')}`;
  const reader = new Reader(manager.socketPath);
  const recording = new Recording();
  let begun = performance.now();
  let end = Infinity;
  const now = () => Math.round(performance.now() - begun);
  const isRecent = Number((await manager.docker('--version')).match(/version (\d+)/)?.[1]) >= 26;

  /** @param {string} script @param {string} input @param {readonly string[]} args */
  const withLogin = async (script, input, args) => {
    const { code, stderr } = await manager.exec(
      [
        'sh',
        '-c',
        `set -e; umask 077; export DOCKER_CONFIG="/tmp/traces-$1"; mkdir "$DOCKER_CONFIG"
        trap 'rm -r "$DOCKER_CONFIG"' EXIT
        cat >"$DOCKER_CONFIG/stack.yml"
        printf %s "$PASSWORD" | docker login -u ${registry.username} --password-stdin ${registry.host}
        shift; ${script}`,
        'sh',
        `${stack}-${now()}`,
        ...args,
      ],
      { input, env: { PASSWORD: registry.password } },
    );
    if (code !== 0) throw new Error(`${stack}: ${args.join(' ')}: ${stderr}`);
  };
  /** @type {import('./traces/stories.mjs').Scene} */
  const scene = {
    bed,
    stack,
    note: (what) => recording.note(now(), what),
    docker: (...args) => withLogin('docker "$@"', '', args),
    deploy: (services) =>
      withLogin(
        `docker stack deploy ${isRecent ? '--detach=true' : ''} --with-registry-auth -c "$DOCKER_CONFIG/stack.yml" ${stack}`,
        // The 20.10 client takes a file without a version for version 1. Docker's own network of
        // each node spares the seconds that an overlay takes to come and go.
        JSON.stringify({
          version: '3.9',
          services,
          networks: { default: { external: true, name: 'bridge' } },
        }),
        [],
      ),
    until: async (what, condition) => {
      /** @type {Look | undefined} */
      let look;
      const seen = async () => condition((look = await reader.look(stack)));
      await waitUntil(`${stack}: ${what}`, seen, { timeoutMs: LIMIT_MS, intervalMs: PAUSE_MS });
      return /** @type {Look} */ (look);
    },
  };

  try {
    await story.before?.(scene);
    begun = performance.now();
    recording.add(now(), await reader.look(stack));
    scene.note('deploy');
    // Looks during the command show nothing that those after it do not, but belong to the story.
    const deployed = { done: false, accepted: -1 };
    const hurry = new AbortController();
    const acting = (async () => {
      await story.deploy(scene);
      scene.note('accepted');
      deployed.done = true;
      // The action looks as soon as the command has ended.
      hurry.abort();
      await story.meanwhile?.(scene);
    })();
    const limit = performance.now() + LIMIT_MS;
    const looking = (async () => {
      while (performance.now() < end) {
        if (deployed.done && deployed.accepted < 0) deployed.accepted = recording.cut();
        const at = now();
        const look = await reader.look(stack);
        recording.add(at, look);
        if (deployed.done && end === Infinity && story.over(look))
          end = performance.now() + (story.afterMs ?? AFTER_MS);
        if (performance.now() > limit)
          throw new Error(`${stack}: no end in time; last seen: ${JSON.stringify(look)}`);
        await sleep(PAUSE_MS, undefined, deployed.done ? {} : { signal: hurry.signal }).catch(
          () => undefined,
        );
      }
    })();
    await Promise.all([acting, looking]);
    const { Version: engine } = await manager.api('GET', '/version');
    return recording.text({
      title: story.title,
      engine,
      stack,
      names: story.services.map((service) => `${stack}_${service}`),
      before: 0,
      accepted: deployed.accepted,
    });
  } finally {
    end = 0;
    await story.undo?.(scene);
    await manager.docker('stack', 'rm', stack);
    reader.close();
  }
}

async function main() {
  const { values, positionals } = optionsOf(HELP, {
    allowPositionals: true,
    options: {
      name: { type: 'string', default: 'traces' },
      engine: { type: 'string', default: 'default' },
      keep: { type: 'boolean', default: false },
    },
  });
  await needTestbed();
  const { name, engine } = values;
  const options = { engine, log: console.error };
  /** @param {Testbed} bed */
  const recordAll = async (bed) => {
    const known = stories(bed);
    refuseUnknown(
      positionals,
      known.map((story) => story.name),
      'story',
    );
    const wanted = known.filter(
      (story) => positionals.length === 0 || positionals.includes(story.name),
    );
    mkdirSync(FOLDER, { recursive: true });
    /** @param {Story[]} queue */
    const work = async (queue) => {
      for (let story = queue.shift(); story !== undefined; story = queue.shift()) {
        const text = await record(bed, story);
        writeFileSync(join(FOLDER, `${story.name}.json`), text);
        console.log(`${story.name}: ${Math.ceil(text.length / 1000)} kB`);
      }
    };
    const together = wanted.filter(({ alone }) => alone !== true);
    const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, () => work(together)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    await work(wanted.filter(({ alone }) => alone === true));
  };
  if (listNames().includes(name)) await recordAll(await attach(name));
  else if (values.keep) await recordAll(await up({ ...options, name }));
  else await withTestbed(name, options, recordAll);
}

await main();
