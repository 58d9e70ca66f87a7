#!/usr/bin/env node
/**
 * Command line of the test swarm: `node testbed/cli.mjs --help`.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

import { attach, DEFAULT_NAME, down, listNames, probe, status, up } from './index.mjs';
import { errorText } from './lib/wait.mjs';

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', () => process.exit(0));

const HELP = `A real Docker swarm on this Linux machine, for tests (needs root).

  up      [--name N] [--managers N] [--workers N] [--engine V] [--sftp] [--no-images]
          bring it up; one that is up already is checked and, if needed, repaired
  down    [--name N | --all]
          take it down and remove all of it
  status  [--name N]
          what is up; exit code 0: all of it works, 1: something is broken, 3: nothing is up
  env     [--name N]
          how to log in and deploy to it, as lines for a shell
  exec    [--name N] NODE COMMAND...
          run a command as root in a node (manager1, worker1, ...)
  probe   whether a test swarm can run on this machine

--name is "${DEFAULT_NAME}" unless told, --managers 1, --workers 2, --engine the distribution's own
(20.10, 26.1, 28.5, ...: from another Debian suite).`;

/** A mistake in the command line: its text and a hint, exit code 2. */
class UsageError extends Error {}

const EXIT = { ok: 0, failed: 1, usage: 2, nothing: 3 };
const say = (/** @type {string} */ line) => process.stdout.write(`${line}\n`);
const note = (/** @type {string} */ line) => process.stderr.write(`${line}\n`);

/** @type {Record<string, (args: string[]) => Promise<number>>} */
const COMMANDS = {
  up: runUp,
  down: runDown,
  status: runStatus,
  env: runEnv,
  exec: runExec,
  probe: runProbe,
};

/**
 * @param {string[]} args
 * @param {NonNullable<import('node:util').ParseArgsConfig['options']>} options
 * @returns {Record<string, string | boolean | undefined>}
 */
function parse(args, options) {
  try {
    const { values } = parseArgs({ args, options, allowNegative: true, strict: true });
    return /** @type {Record<string, string | boolean | undefined>} */ (values);
  } catch (error) {
    throw new UsageError(errorText(error));
  }
}

const NAME = { name: { type: /** @type {const} */ ('string'), default: DEFAULT_NAME } };

/** @param {string[]} args */
async function runUp(args) {
  const text = { type: /** @type {const} */ ('string') };
  const flag = { type: /** @type {const} */ ('boolean') };
  const values = parse(args, {
    ...NAME,
    managers: { ...text, default: '1' },
    workers: { ...text, default: '2' },
    engine: { ...text, default: 'default' },
    sftp: { ...flag, default: false },
    images: { ...flag, default: true },
  });
  const testbed = await up({
    name: String(values['name']),
    managers: count(values['managers'], '--managers'),
    workers: count(values['workers'], '--workers'),
    engine: String(values['engine']),
    sftp: values['sftp'] === true,
    images: values['images'] === true,
    log: note,
    signal: interruption(),
  });
  for (const { name, address } of testbed.nodes) say(`${name} ${address}`);
  if (!testbed.capabilities.ipvs) {
    note('No IPVS in this kernel: use tasks.SERVICE, not virtual addresses or published ports.');
  }
  return EXIT.ok;
}

/**
 * @param {unknown} value
 * @param {string} option
 */
function count(value, option) {
  if (/^\d$/.test(String(value))) return Number(value);
  throw new UsageError(`${option} takes a number, not "${value}".`);
}

/**
 * A first signal lets `up` take down what it has built; a second one ends at once.
 * @returns {AbortSignal}
 */
function interruption() {
  const controller = new AbortController();
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.once(name, () => {
      note(`${name}: taking down what was built`);
      controller.abort(new Error(`Interrupted by ${name}.`));
    });
  }
  return controller.signal;
}

/** @param {string[]} args */
async function runDown(args) {
  const { name, all } = parse(args, { ...NAME, all: { type: 'boolean', default: false } });
  const names = all === true ? listNames() : [String(name)];
  for (const one of names) say((await down(one)) ? `${one}: down` : `${one}: was not up`);
  return EXIT.ok;
}

/** @param {string[]} args */
async function runStatus(args) {
  const { name } = parse(args, { name: { type: 'string' } });
  const names = name === undefined ? listNames() : [String(name)];
  const all = await Promise.all(names.map((one) => status(one)));
  for (const { name: one, state, nodes, registry, engineVersion } of all) {
    const engine = engineVersion ? `, Docker ${engineVersion}` : '';
    say(`${one}: ${state}${engine}`);
    for (const node of nodes) {
      const engineState = node.engine ? 'engine answers' : 'engine does not answer';
      say(`  ${node.name} ${node.address}: ${node.up ? engineState : 'not running'}`);
    }
    if (state !== 'none') say(`  registry: ${registry ? 'running' : 'not running'}`);
  }
  if (all.every(({ state }) => state === 'none')) {
    if (all.length === 0) say('No test swarm is up.');
    return EXIT.nothing;
  }
  return all.every(({ state }) => state === 'up') ? EXIT.ok : EXIT.failed;
}

/** @param {string[]} args */
async function runEnv(args) {
  const { name } = parse(args, NAME);
  const { manager, nodes, ssh, registry, engineVersion } = await attach(String(name));
  const options = `-F none -o IdentitiesOnly=yes -o UserKnownHostsFile=${ssh.knownHostsPath}`;
  say(`# test swarm ${name}: Docker ${engineVersion}, ${nodes.length} nodes`);
  say(`# ssh ${options} -i ${ssh.privateKeyPath} root@${manager.address}`);
  const values = {
    TESTBED_HOST: manager.address,
    TESTBED_PORT: manager.port,
    TESTBED_USER: ssh.username,
    TESTBED_KEY: ssh.privateKeyPath,
    TESTBED_KNOWN_HOSTS: ssh.knownHostsPath,
    TESTBED_FINGERPRINT: manager.fingerprint,
    TESTBED_REGISTRY: registry.host,
    TESTBED_REGISTRY_USER: registry.username,
    TESTBED_REGISTRY_PASSWORD: registry.password,
  };
  for (const [key, value] of Object.entries(values)) say(`export ${key}='${value}'`);
  return EXIT.ok;
}

/** @param {string[]} args */
async function runExec(args) {
  const own = args[0] === '--name' ? args.slice(0, 2) : [];
  const { name } = parse(own, NAME);
  const [node, ...command] = args.slice(own.length);
  if (!node || command.length === 0) throw new UsageError('exec takes NODE and COMMAND.');
  const testbed = await attach(String(name));
  const [program = '', ...rest] = testbed.node(node).execCommand(command);
  const env = { ...testbed.node(node).environment, TERM: process.env['TERM'] ?? 'dumb' };
  const child = spawn(program, rest, { stdio: 'inherit', env });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? EXIT.failed));
  });
}

/** @param {string[]} args */
async function runProbe(args) {
  parse(args, {});
  const answer = await probe();
  say(answer.ok ? 'A test swarm can run here.' : answer.reason);
  return answer.ok ? EXIT.ok : EXIT.failed;
}

/**
 * @param {string[]} args
 * @returns {Promise<number>}
 */
async function main([command = '', ...args]) {
  if (['', 'help', '--help', '-h'].includes(command) || args[0] === '--help') {
    say(HELP);
    return command === '' ? EXIT.usage : EXIT.ok;
  }
  const work = COMMANDS[command];
  if (!work) throw new UsageError(`There is no command "${command}".`);
  return work(args);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  note(errorText(error));
  if (error instanceof UsageError) note('See --help.');
  process.exitCode = error instanceof UsageError ? EXIT.usage : EXIT.failed;
}
