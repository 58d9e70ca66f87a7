/**
 * Runs once before the swarm project: brings up a test swarm of this run's own, and makes sure that
 * it goes away with it. Where none can run it says why; the suites then report their tests as
 * skipped.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { attach, down, probe, up } from '../../testbed/index.mjs';

const GUARD = fileURLToPath(new URL('../../testbed/guard.mjs', import.meta.url));

/** @param {string} line */
const say = (line) => process.stderr.write(`swarm: ${line}\n`);

/** Jest calls the tear-down in this process too, but may load its file apart from this one. */
const shared = /** @type {{ swarmTeardown?: () => Promise<void> }} */ (globalThis);

export default async function setup() {
  const borrowed = process.env['SWARM_DEPLOY_TESTBED'];
  if (borrowed) {
    await attach(borrowed);
    say(`using the test swarm ${borrowed}, which is up already`);
    return;
  }
  const possible = await probe();
  if (!possible.ok) {
    process.env['SWARM_DEPLOY_NO_SWARM'] = possible.reason;
    const warn = async () => {
      say('NOT RUN: no test on a real swarm was run on this machine.');
      say(`Reason: ${possible.reason}`);
    };
    shared.swarmTeardown = warn;
    await warn();
    return;
  }
  const name = `jest-${process.pid}`;
  const guard = spawn(process.execPath, [GUARD, name], {
    detached: true,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  await once(guard, 'spawn');
  guard.unref();
  const begun = performance.now();
  await up({ name, managers: 1, workers: 2, log: say });
  say(`took ${((performance.now() - begun) / 1000).toFixed(1)} s to come up`);
  process.env['SWARM_DEPLOY_TESTBED'] = name;
  shared.swarmTeardown = async () => {
    const left = await leftovers(name);
    await down(name);
    delete process.env['SWARM_DEPLOY_TESTBED'];
    guard.stdin.end();
    if (left !== '') throw new Error(`The runs have left something behind on the nodes:\n${left}`);
  };
}

/**
 * No run of any suite may leave its directory, or a registry login, on a node.
 * @param {string} name
 */
async function leftovers(name) {
  const { nodes } = await attach(name);
  const look =
    'ls -d /tmp/swarm-deploy-* 2>/dev/null; ' +
    'grep -l auth /root/.docker/config.json /home/*/.docker/config.json 2>/dev/null; true';
  const found = await Promise.all(
    nodes.map(async (node) => (await node.exec(look)).stdout.replace(/^/gm, `${node.name} `)),
  );
  return found.filter((text) => text.trim() !== '' && text.includes('/')).join('');
}
