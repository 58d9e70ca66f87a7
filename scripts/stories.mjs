#!/usr/bin/env node
/**
 * `npm run stories`: what a reader sees of recorded rollouts and of whole runs, compared word for word with
 * __tests__/stories.
 * `--help` says more.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { optionsOf } from './options.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const HELP = `Compares log, annotations, summary and report of recorded rollouts, and of whole runs on the simulated swarm,
with __tests__/stories.

  npm run stories [-- OPTIONS]

  --accept  write them anew, as they are now; to be read before they are kept
  --record  record the rollouts on the test swarm first (npm run record-traces), then as --accept
  --help    this text`;

/** @param {readonly string[]} args @param {Record<string, string>} [env] */
function run(args, env = {}) {
  const { status } = spawnSync(process.execPath, args, {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (status !== 0) process.exit(status ?? 1);
}

const { accept, record } = optionsOf(HELP, {
  options: {
    accept: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
  },
}).values;
if (record) run(['scripts/record-traces.mjs']);
const node = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
const tests = ['--selectProjects', 'unit', '--testPathPatterns', 'scenarios/stories'];
run([...node, 'scripts/test.mjs', ...tests], accept || record ? { ACCEPT_STORIES: '1' } : {});
