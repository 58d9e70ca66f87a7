#!/usr/bin/env node
/**
 * Proves that the test swarm works and leaves nothing behind: `node testbed/selfcheck.mjs [ENGINE]`.
 * Ends with exit code 1 at the first thing that is not as it should be.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { attach, down, probe, status, up } from './index.mjs';
import { differences, familyOf, remains, snapshot } from './lib/leftovers.mjs';
import { preparePackages } from './lib/packages.mjs';
import { isAlive } from './lib/processes.mjs';
import { run } from './lib/run.mjs';
import { readState } from './lib/state.mjs';
import { until } from './lib/wait.mjs';

/**
 * @typedef {import('./index.mjs').Testbed} Testbed
 * @typedef {import('./index.mjs').SwarmNode} SwarmNode
 */

const NAME = `selfcheck-${process.pid}`;
const CLI = fileURLToPath(new URL('cli.mjs', import.meta.url));
const started = Date.now();

/** @param {string} line */
function say(line) {
  process.stdout.write(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}\n`);
}

/**
 * @param {string} what
 * @param {() => Promise<void>} work
 */
async function step(what, work) {
  const begin = Date.now();
  await work();
  say(`ok: ${what} (${((Date.now() - begin) / 1000).toFixed(1)} s)`);
}

/**
 * @param {Testbed} testbed
 * @param {SwarmNode} node
 * @param {string[]} command
 * @param {string[]} [options]
 */
async function ssh({ ssh: login }, node, command, options = []) {
  const flags = ['-F', 'none', '-o', 'BatchMode=yes', '-o', 'IdentitiesOnly=yes'];
  const trust = ['-o', `UserKnownHostsFile=${login.knownHostsPath}`];
  const strict = ['-o', 'StrictHostKeyChecking=yes', '-i', login.privateKeyPath, ...options];
  return run(['ssh', ...flags, ...trust, ...strict, `root@${node.address}`, ...command]);
}

/** @param {Testbed} testbed */
async function checkSsh(testbed) {
  for (const node of testbed.nodes) {
    const answer = await ssh(testbed, node, ['hostname; docker version -f {{.Client.Version}}']);
    assert.equal(answer.stdout, `${node.name}\n${testbed.engineVersion}\n`, answer.stderr);
  }
  const sftp = await ssh(testbed, testbed.manager, ['sftp'], ['-s']);
  assert.notEqual(sftp.code, 0, 'SFTP has to be off');
}

/**
 * @param {string} tag
 * @param {Testbed} testbed
 */
const stack = (tag, testbed) => `
version: '3.8'
services:
  web:
    image: ${testbed.image('web', tag)}
    deploy:
      mode: global
`;

/**
 * Logs in on the manager for this one command, as a deploy does, and leaves no login behind.
 * @param {Testbed} testbed
 * @param {string} tag
 */
async function deploy(testbed, tag) {
  const { host, username } = testbed.registry;
  const script = `
    set -e
    export DOCKER_CONFIG=$(mktemp -d)
    trap 'rm -r "$DOCKER_CONFIG"' EXIT
    docker login --username ${username} --password-stdin ${host} 2>&1
    docker stack deploy --with-registry-auth --compose-file /tmp/stack.yml check 2>&1`;
  const text = stack(tag, testbed);
  await testbed.manager.exec('cat >/tmp/stack.yml', { input: text });
  const { code, stdout } = await testbed.manager.exec(script, { input: testbed.registry.password });
  assert.equal(code, 0, stdout);
}

/**
 * @param {Testbed} testbed
 * @param {string} image
 */
async function waitForTasks({ manager, nodes }, image) {
  const running = async () => {
    const filters = encodeURIComponent('{"service":["check_web"],"desired-state":["running"]}');
    /** @type {any[]} */
    const tasks = await manager.api('GET', `/tasks?filters=${filters}`);
    const good = tasks.filter(({ Status, Spec }) => {
      return Status.State === 'running' && Spec.ContainerSpec.Image.startsWith(image);
    });
    return good.length === nodes.length && good.length === tasks.length;
  };
  const detail = () => manager.docker('service', 'ps', '--no-trunc', 'check_web');
  await until(`${image} runs on each node`, running, { timeoutMs: 90_000, detail });
}

/** @param {Testbed} testbed */
async function checkDeploy(testbed) {
  for (const node of testbed.nodes) {
    const pull = await node.exec(['docker', 'pull', testbed.image('web')]);
    assert.notEqual(pull.code, 0, `${node.name} could pull without a login`);
  }
  await deploy(testbed, 'v1');
  await waitForTasks(testbed, testbed.image('web', 'v1'));
  for (const node of testbed.nodes) {
    const login = await node.exec('cat /root/.docker/config.json');
    assert.notEqual(login.code, 0, `${node.name} has a login`);
  }
}

/**
 * Every node's task answers over the overlay network, so traffic between the nodes gets through.
 * @param {Testbed} testbed
 * @param {string} version
 */
async function checkNetwork({ nodes, manager }, version) {
  const [id = ''] = (await manager.docker('ps', '-q', '--filter', 'name=check_web')).split('\n');
  const lookUp = ['exec', id, 'busybox', 'nslookup', 'tasks.web', '127.0.0.11'];
  const found = await until('all tasks have a name on the network', async () => {
    const text = await manager.docker(...lookUp);
    const addresses = [...text.matchAll(/^Address(?: \d+)?: (10\.\d+\.\d+\.\d+)/gm)];
    return addresses.length === nodes.length ? addresses.map(([, address]) => address) : undefined;
  });
  for (const address of found) {
    // Debian's busybox 1.35 crashes at `wget -T`
    const limited = ['exec', id, 'busybox', 'timeout', '5'];
    const get = [...limited, 'wget', '-q', '-O', '-', `http://${address}/`];
    assert.equal(await manager.docker(...get), version);
  }
}

/** @param {Testbed} testbed */
async function checkFaults(testbed) {
  const { manager, nodes, registry } = testbed;
  const worker = nodes.at(-1);
  assert(worker);
  const session = ssh(testbed, manager, ['echo started; sleep 60']);
  const open = () => manager.exec(`grep -c '^Starting session' /var/log/sshd.log`);
  const before = Number((await open()).stdout);
  await until('the session is open', async () => Number((await open()).stdout) > before);
  assert((await manager.killSsh()) > 0, 'there was a session to end');
  assert.equal((await session).code, 255);

  await worker.link('down');
  await worker.stopEngine('SIGKILL');
  await manager.stopEngine('SIGSTOP');
  await registry.stop();
  assert.equal((await status(NAME)).state, 'broken');
}

/** @param {import('./index.mjs').UpOptions} options */
async function checkRepair(options) {
  const { id } = readState(NAME) ?? {};
  const again = await up(options);
  assert.equal(again.state.id, id, 'the same swarm');
  assert.equal((await status(NAME)).state, 'up');
  const { nodes } = await attach(NAME);
  assert.equal(nodes.length, 3);
}

/** @param {readonly string[]} before */
async function checkNothingLeft(before) {
  const none = async () => differences(before, await snapshot(NAME)).length === 0;
  const detail = async () => differences(before, await snapshot(NAME)).join('\n');
  // network namespaces are taken apart by the kernel a moment after their last process
  await until('nothing is left', none, { timeoutMs: 5000, detail });
}

/**
 * Interrupts an `up` at a random moment of its work.
 * @param {NodeJS.Signals} signal
 * @param {number} progress how many nodes are to be there first
 */
async function interruptUp(signal, progress) {
  const child = spawn(process.execPath, [CLI, 'up', '--name', NAME], { stdio: 'ignore' });
  const exit = once(child, 'exit');
  const made = () => readState(NAME)?.nodes.filter(({ init }) => init).length ?? -1;
  await until('up has come that far', () => made() >= progress, { intervalMs: 5 });
  child.kill(signal);
  const [code] = await exit;
  assert.notEqual(code, 0);
}

async function main() {
  const engine = process.argv[2] ?? 'default';
  const options = { name: NAME, engine, log: say };
  const possible = await probe();
  assert(possible.ok, possible.ok ? '' : possible.reason);
  await preparePackages(engine, say);
  const before = await snapshot(NAME);
  const testbed = await up(options);
  await step('SSH to all nodes, without SFTP', () => checkSsh(testbed));
  await step('a private image on nodes without a login', () => checkDeploy(testbed));
  await step('traffic between the nodes', () => checkNetwork(testbed, 'v1'));
  await step('a rolling update', async () => {
    await deploy(testbed, 'v2');
    await waitForTasks(testbed, testbed.image('web', 'v2'));
    await checkNetwork(testbed, 'v2');
  });
  await step('a second up gives the same', () => checkRepair(options));
  await step('faults', () => checkFaults(testbed));
  await step('up repairs it', () => checkRepair(options));
  const { state } = testbed;
  const family = familyOf(state.id);
  assert(family.length > 15, 'nodes with engines and containers have many processes');
  await step('down', testbed.down.bind(testbed));
  await step('nothing is left', async () => {
    assert.deepEqual(await remains(state), []);
    assert.deepEqual(family.filter(isAlive), []);
    await checkNothingLeft(before);
  });
  for (const progress of [0, 2]) {
    await step(`up killed with ${progress} nodes made, then down`, async () => {
      await interruptUp('SIGKILL', progress);
      assert.equal(await down(NAME), true);
      await checkNothingLeft(before);
    });
    await step(`up interrupted with ${progress} nodes made`, async () => {
      await interruptUp('SIGINT', progress);
      await checkNothingLeft(before);
    });
  }
  say('All of it is as it should be.');
}

try {
  await main();
} catch (error) {
  say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exitCode = 1;
} finally {
  await down(NAME);
}
