#!/usr/bin/env node
/**
 * `npm run demo`: four deploys to a real swarm, by the committed action, with what the swarm says
 * afterwards. Everything it makes is gone at the end; see demo/caretaker.mjs.
 */
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { down, listNames, probe, up } from '../testbed/index.mjs';
import { errorText } from '../testbed/lib/wait.mjs';
import { runStep } from '../testbed/runner.mjs';
import { pushImages, REPLICAS, STACK, STACK_FILE, stepInputs, stepText } from './demo/shop.mjs';
import { nobodyIsLoggedIn, readSwarm, sameSpec, Visitor } from './demo/swarm.mjs';
import { actionsLog, bold, dim, green, headline, red, say } from './demo/terminal.mjs';

/**
 * @typedef {import('../testbed/index.mjs').Testbed} Testbed
 * @typedef {import('./demo/swarm.mjs').Reading} Reading
 */

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const KEPT = 'demo-kept';
const HELP = `Four deploys to a real Docker swarm, by the committed action (dist/index.js).

  npm run demo [-- OPTIONS]

  --keep        leave the swarm up, and say how to look at it and how to take it down
  --html FILE   where the step summaries go (default: demo-summary.html here)
  --no-html     do without that file
  --help        this text

Needs Linux with apt (Debian, Ubuntu), root, and Node 20 or newer. Nothing is installed as a service,
and a Docker engine that is there already is not touched.`;

/** One sentence for the person at the terminal: no fault of the demo's. */
class Obstacle extends Error {}

/** How the demo came to an end that was asked for. */
const INTERRUPTED = 130;
const interrupt = new AbortController();

function listenForTheEnd() {
  const end = (/** @type {string} */ why) => {
    if (interrupt.signal.aborted) {
      say(dim('Still taking everything down; nothing else is needed.'));
      return;
    }
    interrupt.abort(new Error(why));
    say(`\n${why}: taking everything down.`);
  };
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(name, () => end(name));
  }
  // A terminal that went away, or the end of a pipe: there is nobody left to show it to.
  const lost = () => interrupt.abort(new Error('nobody is listening any more'));
  process.stdout.on('error', lost);
  process.stderr.on('error', lost);
}

/** @param {string[]} args */
function readOptions(args) {
  try {
    return parseArgs({
      args,
      options: {
        keep: { type: 'boolean', default: false },
        html: { type: 'string', default: 'demo-summary.html' },
        'no-html': { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new Obstacle(`${errorText(error)}. See --help.`);
  }
}

/** @param {boolean} html whether the page is wanted, which takes a package */
async function checkMachine(html) {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    throw new Obstacle(`The demo needs Node 20 or newer; this is ${process.version}.`);
  }
  if (!existsSync(join(ROOT, 'dist', 'index.js'))) {
    throw new Obstacle('dist/index.js is missing: it is part of the repository, check it out.');
  }
  const possible = await probe();
  if (!possible.ok) throw new Obstacle(possible.reason);
  if (html && !existsSync(join(ROOT, 'node_modules', 'marked', 'package.json'))) {
    await installMarked();
  }
}

/**
 * Of all development dependencies the demo needs one, which depends on nothing: installs that, as
 * package-lock.json has it, and moves it into place when it is whole.
 */
async function installMarked() {
  say('Installing one package, marked, for the page at the end (npm ci) ...');
  const path = 'node_modules/marked';
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  const { version, integrity } = lock.packages[path];
  const own = { name: 'demo', version: '0.0.0', dependencies: { marked: version } };
  mkdirSync(join(ROOT, 'node_modules'), { recursive: true });
  const home = mkdtempSync(join(ROOT, 'node_modules', '.demo-'));
  try {
    writeFileSync(join(home, 'package.json'), JSON.stringify(own));
    const packages = { '': own, [path]: { version, integrity } };
    const ownLock = { ...own, lockfileVersion: 3, requires: true, packages };
    writeFileSync(join(home, 'package-lock.json'), JSON.stringify(ownLock));
    await npmCi(home);
    rmSync(join(ROOT, path), { recursive: true, force: true });
    renameSync(join(home, path), join(ROOT, path));
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** @param {string} cwd */
async function npmCi(cwd) {
  const { signal } = interrupt;
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const child = spawn('npm', ['ci', ...quiet], {
    cwd,
    stdio: ['ignore', 'ignore', 'pipe'],
    signal,
  });
  let words = '';
  child.stderr.on('data', (chunk) => void (words += String(chunk)));
  const code = await new Promise((done) => {
    child.once('close', done);
    child.once('error', (error) => done((words ||= error.message)));
  });
  signal.throwIfAborted();
  if (code !== 0) throw new Obstacle(`npm ci failed; --no-html does without it. ${words.trim()}`);
}

/**
 * Starts what takes the swarm down in the end.
 * @param {string} name
 * @returns {(word: 'keep' | 'down') => Promise<void>}
 */
function startCaretaker(name) {
  const script = join(ROOT, 'scripts', 'demo', 'caretaker.mjs');
  const child = spawn(process.execPath, [script, name], {
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let words = '';
  child.stderr.on('data', (chunk) => void (words += String(chunk)));
  child.stdin.on('error', () => {});
  const ended = new Promise((done) => {
    child.once('close', done);
    child.once('error', (error) => done((words = error.message)));
  });
  return async (word) => {
    child.stdin.end(word);
    if ((await ended) === 0) return;
    const command = `node testbed/cli.mjs down --name ${name}`;
    throw new Error(`The swarm could not be taken down (${words.trim()}). Try: ${command}`);
  };
}

/** Swarms of demos whose caretaker was killed as well, as by a power cut. */
async function sweep() {
  for (const name of listNames()) {
    const pid = /^demo-(\d+)$/.exec(name)?.[1];
    if (name !== KEPT && (pid === undefined || existsSync(`/proc/${pid}`))) continue;
    say(`Taking down what an earlier demo left up (${name}) ...`);
    await down(name);
  }
}

/** Everything that was looked at, and what did not hold. */
const proofs = { held: 0, broken: /** @type {string[]} */ ([]) };

/**
 * @param {boolean} holds
 * @param {string} claim
 * @param {string} [seen] what was seen instead
 */
function prove(holds, claim, seen = '') {
  if (holds) proofs.held += 1;
  else proofs.broken.push(seen === '' ? claim : `${claim} (seen: ${seen})`);
  say(`  ${holds ? green('✓') : red('✗')} ${claim}${holds || seen === '' ? '' : `: ${seen}`}`);
}

/**
 * Runs one deploy as a step of a workflow.
 * @param {Testbed} testbed
 * @param {string} tag
 */
async function deploy(testbed, tag) {
  const { ssh, registry } = testbed;
  const { signal } = interrupt;
  /** @type {(() => void) | undefined} */
  let stop;
  signal.throwIfAborted();
  try {
    return await runStep({
      inputs: stepInputs(testbed, tag),
      files: { 'docker-stack.yml': STACK_FILE },
      onLine: actionsLog([ssh.privateKey, registry.password]),
      onStart: (child) => {
        stop = () => {
          child.kill('SIGTERM');
          const hard = setTimeout(() => child.kill('SIGKILL'), 5000);
          child.once('close', () => clearTimeout(hard));
        };
        if (signal.aborted) stop();
        else signal.addEventListener('abort', stop);
      },
    });
  } finally {
    if (stop) signal.removeEventListener('abort', stop);
    signal.throwIfAborted();
  }
}

/**
 * Shows what runs where.
 * @param {Testbed} testbed
 * @param {Reading} reading
 */
function showReplicas(testbed, { replicas }) {
  say();
  say(bold('Read back from the swarm, each container asked for its version:'));
  for (const { name } of testbed.nodes) {
    const answers = replicas.filter(({ node }) => node === name).map(({ answer }) => answer);
    const count = `${answers.length} ${answers.length === 1 ? 'replica ' : 'replicas'}`;
    say(`  ${name.padEnd(10)}${count}   ${answers.join('  ')}`);
  }
}

/**
 * @param {Reading} reading
 * @param {string} tag
 * @param {string} digest
 */
function proveVersion({ replicas, ...service }, tag, digest) {
  const good = replicas.filter((one) => one.answer === tag && one.digest === digest);
  const all = good.length === REPLICAS && replicas.length === REPLICAS;
  prove(
    all && service.digest === digest,
    `${REPLICAS} of ${REPLICAS} replicas run api:${tag} (${digest.slice(0, 19)})`,
    `${good.length} of ${replicas.length} running ones`,
  );
}

/**
 * @param {Visitor} visitor
 * @param {string} when
 * @returns {Promise<number>} how many requests it made
 */
async function proveAnswers(visitor, when) {
  const { asked, failed, versions } = await visitor.news();
  prove(
    asked > 0 && failed.length === 0,
    `every request ${when} was answered: ${asked} of ${asked} (${versions})`,
    `${failed.length} of ${asked} were not; the first: ${failed[0] ?? 'none was made'}`,
  );
  return asked;
}

/**
 * @param {import('../testbed/runner.mjs').StepResult} step
 * @param {string} outcome
 * @param {number} code
 */
function proveOutcome({ outputs, code: seen }, outcome, code) {
  prove(
    outputs['outcome'] === outcome && seen === code,
    `outcome ${outcome}, exit code ${code}`,
    `outcome ${outputs['outcome'] ?? 'none'}, exit code ${seen ?? 'none'}`,
  );
}

/**
 * @param {Testbed} testbed
 * @param {string | undefined} htmlPath
 * @returns {Promise<void>}
 */
async function play(testbed, htmlPath) {
  const { signal } = interrupt;
  const digest = (/** @type {string} */ tag) => testbed.digest(`api:${tag}`);
  /** @type {{title: string, summary: string}[]} */
  const acts = [];
  const act = async (/** @type {string} */ title, /** @type {string} */ tag) => {
    const heading = `Act ${acts.length + 1}: ${title}`;
    headline(heading);
    const step = await deploy(testbed, tag);
    acts.push({ title: heading, summary: step.summary });
    const reading = await readSwarm(testbed);
    showReplicas(testbed, reading);
    return { step, reading };
  };

  const first = await act(`the first deploy, ${REPLICAS} replicas of api:1.0.0`, '1.0.0');
  proveOutcome(first.step, 'deployed', 0);
  proveVersion(first.reading, '1.0.0', await digest('1.0.0'));
  prove(
    await nobodyIsLoggedIn(testbed),
    'the image is private, and no node holds a registry login',
    'a login was left behind',
  );

  const visitor = new Visitor(testbed);
  say(dim('  From now on a container in the same network asks http://tasks.api/ without pause.'));
  await visitor.start(signal);

  const second = await act('a rolling update to api:1.1.0, start-first', '1.1.0');
  proveOutcome(second.step, 'deployed', 0);
  proveVersion(second.reading, '1.1.0', await digest('1.1.0'));
  let asked = await proveAnswers(visitor, 'during the update');

  const third = await act('api:1.2.0 is broken, its health page answers 404', '1.2.0');
  proveOutcome(third.step, 'rolled-back', 1);
  proveVersion(third.reading, '1.1.0', await digest('1.1.0'));
  prove(
    sameSpec(second.reading, third.reading),
    'the spec of the service is deep-equal to the one before',
    'it differs',
  );
  const tasks = new Set(second.reading.replicas.map(({ task }) => task));
  const kept = third.reading.replicas.filter(({ task }) => tasks.has(task)).length;
  asked += await proveAnswers(visitor, 'during failure and rollback');
  say(
    dim(
      `  ${kept} of these ${REPLICAS} containers ran before the deploy and were never restarted.`,
    ),
  );

  const fourth = await act('the same with the mistake fixed, api:1.2.1', '1.2.1');
  proveOutcome(fourth.step, 'deployed', 0);
  proveVersion(fourth.reading, '1.2.1', await digest('1.2.1'));
  asked += await proveAnswers(visitor, 'during the update');

  say();
  if (htmlPath !== undefined) {
    const { summaryPage } = await import('./demo/page.mjs');
    writeFileSync(htmlPath, summaryPage(acts));
    say(`The four step summaries: ${htmlPath}`);
  }
  conclusion = () => {
    if (proofs.broken.length > 0) return;
    say(
      bold(
        green(
          `Proven: ${proofs.held} of ${proofs.held} checks hold. 3 deploys of ${REPLICAS} replicas went live, ` +
            `1 broken one was rolled back to the exact spec and digest before it, ` +
            `and ${asked} of ${asked} requests were answered meanwhile.`,
        ),
      ),
    );
  };
}

/** @type {(() => void) | undefined} said once everything is down */
let conclusion;

/** @returns {Promise<number>} exit code */
async function main() {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    say(HELP);
    return 0;
  }
  const { signal } = interrupt;
  const html = options['no-html'] ? undefined : resolve(options.html);
  listenForTheEnd();
  await checkMachine(html !== undefined);
  await sweep();
  const began = Date.now();
  const name = options.keep ? KEPT : `demo-${process.pid}`;
  const finish = startCaretaker(name);
  let played = false;
  try {
    say('Bringing up a swarm of three nodes, each with sshd and Docker, and a private registry:');
    const log = (/** @type {string} */ line) => say(dim(`  ${line}`));
    const testbed = await up({ name, managers: 1, workers: 2, images: false, log, signal });
    await pushImages(testbed);
    say(`\n${bold('docker-stack.yml')}\n\n${indented(STACK_FILE)}`);
    say(`${bold('The step of the workflow')}\n\n${indented(stepText(testbed))}`);
    await play(testbed, html);
    played = true;
  } finally {
    const keep = options.keep && played;
    if (!keep) say(dim('Taking everything down ...'));
    await finish(keep ? 'keep' : 'down');
  }
  signal.throwIfAborted();
  if (options.keep) {
    say(`
The swarm is up. Look at it, and take it down when you are done:
  node testbed/cli.mjs exec --name ${name} manager1 docker stack ps ${STACK}
  node testbed/cli.mjs env --name ${name}     # addresses, keys, registry
  node testbed/cli.mjs down --name ${name}
`);
  }
  say(dim(`Took ${Math.round((Date.now() - began) / 1000)} s in all.`));
  conclusion?.();
  if (proofs.broken.length === 0) return 0;
  say(red(`NOT PROVEN, ${proofs.broken.length} did not hold:`));
  for (const claim of proofs.broken) say(red(`  ✗ ${claim}`));
  return 1;
}

/** @param {string} text */
const indented = (text) => text.replace(/^(?=.)/gm, '    ');

try {
  process.exitCode = await main();
} catch (error) {
  if (interrupt.signal.aborted) {
    // `finally` may have failed after the interruption: then that is what must be told
    const left = /could not be taken down/.test(errorText(error));
    say(left ? red(errorText(error)) : 'Everything is down.');
    process.exitCode = INTERRUPTED;
  } else {
    process.stderr.write(`${red(errorText(error))}\n`);
    process.exitCode = 1;
  }
}
