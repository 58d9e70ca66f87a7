/**
 * Stands in for the Actions runner: runs the committed bundle with a step's inputs, first `main`,
 * then `post`, and reads back what it wrote to the runner's files.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const BUNDLE = join(dirname(fileURLToPath(import.meta.url)), '..', 'dist', 'index.js');

/**
 * @typedef {object} StepResult
 * @property {number | null} code exit code of `main`; null when it was ended by a signal
 * @property {string} log what `main` printed, standard error included
 * @property {number | null} postCode exit code of `post`
 * @property {string} postLog
 * @property {Record<string, string>} outputs
 * @property {Record<string, string>} state what `main` saved for `post`
 * @property {readonly string[]} workspaces names of all directories that it ever noted for `post`
 * @property {readonly string[]} leftInTemp what is in RUNNER_TEMP after `post`, the report apart
 * @property {string} summary
 * @property {any} report the JSON of the file that the output `report` names
 */

/**
 * @typedef {object} Step
 * @property {Record<string, string | number | boolean>} inputs `with:` of the step
 * @property {Record<string, string>} [files] written into the workspace first, by relative path
 * @property {Record<string, string>} [env] environment of the step
 * @property {string} [workspace] an existing directory to run in; default: a fresh one
 * @property {(line: string) => void} [onLine] every line as it is printed
 * @property {(child: import('node:child_process').ChildProcess) => void} [onStart]
 * @property {boolean} [post] false: leave `post` out, as a machine that dies does
 * @property {boolean} [deaf] true: a runner that takes no state from standard output
 * @property {(home: string) => void} [onHome] called before `main` with the directory of its files:
 *   `temp`, `github_output`, `github_state`, `github_step_summary`
 */

/**
 * Runs one step to its end.
 * @param {Step} step
 * @returns {Promise<StepResult>}
 */
export async function runStep(step) {
  const home = mkdtempSync(join(tmpdir(), 'swarm-deploy-runner-'));
  try {
    const workspace = step.workspace ?? join(home, 'workspace');
    mkdirSync(workspace, { recursive: true });
    for (const [name, text] of Object.entries(step.files ?? {})) {
      mkdirSync(dirname(join(workspace, name)), { recursive: true });
      writeFileSync(join(workspace, name), text);
    }
    mkdirSync(join(home, 'temp'));
    /** @type {Record<string, string>} */
    const files = {};
    for (const name of ['GITHUB_OUTPUT', 'GITHUB_STATE', 'GITHUB_STEP_SUMMARY', 'GITHUB_ENV']) {
      files[name] = join(home, name.toLowerCase());
      writeFileSync(files[name], '');
    }
    const inputs = Object.fromEntries(
      Object.entries({ ...defaultInputs(), ...step.inputs }).map(([name, value]) => [
        `INPUT_${name.replaceAll(' ', '_').toUpperCase()}`,
        String(value),
      ]),
    );
    const environment = {
      PATH: process.env['PATH'] ?? '',
      HOME: home,
      GITHUB_ACTIONS: 'true',
      // So that what is read back are words alone; a step may set it otherwise.
      NO_COLOR: '1',
      GITHUB_WORKSPACE: workspace,
      RUNNER_TEMP: join(home, 'temp'),
      ...files,
      ...inputs,
      ...step.env,
    };
    step.onHome?.(home);
    const main = await runBundle(environment, workspace, step);
    const noted = readCommandFile(files['GITHUB_STATE'] ?? '');
    const told = step.deaf === true ? {} : readCommands(main.log, 'save-state');
    const state = { ...last(noted), ...told };
    const outputs = {
      ...last(readCommandFile(files['GITHUB_OUTPUT'] ?? '')),
      ...readCommands(main.log, 'set-output'),
    };
    const report =
      outputs['report'] === undefined
        ? undefined
        : JSON.parse(readFileSync(outputs['report'], 'utf8'));
    const post =
      step.post === false
        ? { code: null, log: '' }
        : await runBundle(
            {
              ...environment,
              ...Object.fromEntries(
                Object.entries(state).map(([name, value]) => [`STATE_${name}`, value]),
              ),
            },
            workspace,
            step.onLine === undefined ? {} : { onLine: step.onLine },
          );
    return {
      code: main.code,
      log: main.log,
      postCode: post.code,
      postLog: post.log,
      outputs,
      state,
      workspaces: [...new Set(noted['workspace'] ?? [])].filter(Boolean),
      leftInTemp: readdirSync(join(home, 'temp')).filter(
        (name) => outputs['report'] !== join(home, 'temp', name),
      ),
      summary: readFileSync(files['GITHUB_STEP_SUMMARY'] ?? '', 'utf8'),
      report,
    };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/**
 * The defaults of action.yml, which the runner fills in for inputs that a step leaves out.
 * @returns {Record<string, string>}
 */
function defaultInputs() {
  const text = readFileSync(join(dirname(BUNDLE), '..', 'action.yml'), 'utf8');
  const section = /^inputs:\n([\s\S]*?)^\S/m.exec(text)?.[1] ?? '';
  /** @type {Record<string, string>} */
  const defaults = {};
  let name = '';
  for (const line of section.split('\n')) {
    const input = /^ {2}([\w-]+):\s*$/.exec(line);
    if (input?.[1] !== undefined) name = input[1];
    const value = /^ {4}default:\s*(.*)$/.exec(line)?.[1];
    if (value !== undefined) defaults[name] = value.replace(/^(['"])(.*)\1$/, '$2');
  }
  return defaults;
}

/**
 * @param {Record<string, string>} environment
 * @param {string} cwd
 * @param {Pick<Step, 'onLine' | 'onStart'>} watcher
 * @returns {Promise<{ code: number | null; log: string }>}
 */
function runBundle(environment, cwd, { onLine, onStart }) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BUNDLE], {
      cwd,
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onStart?.(child);
    let log = '';
    let rest = '';
    const take = (/** @type {Buffer} */ chunk) => {
      log += chunk.toString('utf8');
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      if (onLine !== undefined) lines.forEach(onLine);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('error', reject);
    child.once('close', (code) => {
      if (rest !== '') onLine?.(rest);
      resolve({ code, log });
    });
  });
}

/**
 * The values of a workflow command on standard output, which runners took before they had files for it.
 * @param {string} log
 * @param {string} command
 * @returns {Record<string, string>}
 */
function readCommands(log, command) {
  const found = [...log.matchAll(new RegExp(`^::${command} name=([^:]*)::(.*)$`, 'gm'))];
  const plain = (/** @type {string} */ text) =>
    text.replaceAll('%0D', '\r').replaceAll('%0A', '\n').replaceAll('%25', '%');
  return Object.fromEntries(found.map(([, name = '', value = '']) => [name, plain(value)]));
}

/**
 * @param {Record<string, readonly string[]>} values
 * @returns {Record<string, string>}
 */
const last = (values) =>
  Object.fromEntries(Object.entries(values).map(([name, all]) => [name, all.at(-1) ?? '']));

/**
 * Reads a file of `name=value` and `name<<DELIMITER` blocks, as the runner does.
 * @param {string} path
 * @returns {Record<string, string[]>} all values of each name; the last one counts
 */
function readCommandFile(path) {
  /** @type {Record<string, string[]>} */
  const values = {};
  const lines = readFileSync(path, 'utf8').split('\n');
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? '';
    const block = /^(.*?)<<(.+)$/.exec(line);
    if (block?.[1] !== undefined) {
      const end = lines.indexOf(block[2] ?? '', index + 1);
      (values[block[1]] ??= []).push(lines.slice(index + 1, end).join('\n'));
      index = end;
    } else if (line.includes('=')) {
      (values[line.slice(0, line.indexOf('='))] ??= []).push(line.slice(line.indexOf('=') + 1));
    }
  }
  return values;
}
