/** `npm run fuzz`: the properties of `__tests__/unit/fuzz` with very many cases. `--help` says more. */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { optionsOf, refuse } from './options.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const DEFAULT_CASES = '120000';

const HELP = `Plays the properties of __tests__/unit/fuzz with very many cases, and prints how many of each.

  npm run fuzz [-- OPTIONS]

  --cases N      of all properties together (default: ${DEFAULT_CASES})
  --seed NUMBER  the same one with the same number of cases plays the same cases (default: a new one, which is printed)
  --help         this text`;

const { values } = optionsOf(HELP, {
  options: { cases: { type: 'string', default: DEFAULT_CASES }, seed: { type: 'string' } },
});
const seed = values.seed ?? String(randomInt(2 ** 31));
for (const [name, text] of Object.entries({ cases: values.cases, seed }))
  if (!/^\d{1,10}$/.test(text))
    refuse(`--${name} takes a whole number, not "${text}". See --help.`);

const directory = mkdtempSync(join(tmpdir(), 'swarm-deploy-fuzz-'));
const log = join(directory, 'counts');
writeFileSync(log, '');
const begun = performance.now();
process.stdout.write(`seed ${seed}, ${values.cases} cases\n`);
try {
  const child = spawn(
    process.execPath,
    [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      join(ROOT, 'scripts', 'test.mjs'),
      ...['--selectProjects', 'unit', '--testPathPatterns', 'unit/fuzz/', '--silent'],
    ],
    {
      cwd: ROOT,
      env: { ...process.env, FUZZ_CASES: values.cases, FUZZ_SEED: seed, FUZZ_LOG: log },
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  // What is in the temporary directory goes with this process, interrupted or not.
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
    process.on(name, () => child.kill(name));
  const [code] = await once(child, 'close');
  /** @type {{ title: string, cases: number, failed: boolean }[]} */
  const counts = readFileSync(log, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  for (const { title, cases, failed } of counts)
    process.stdout.write(`${String(cases).padStart(8)}  ${failed ? 'FAILED  ' : ''}${title}\n`);
  const total = counts.reduce((sum, { cases }) => sum + cases, 0);
  const failures = counts.filter(({ failed }) => failed).length;
  const seconds = Math.round((performance.now() - begun) / 1000);
  process.stdout.write(
    `${String(total).padStart(8)}  cases in ${counts.length} properties, ${failures} failed, ` +
      `seed ${seed}, ${seconds} s\n`,
  );
  if (total < Number(values.cases))
    process.stdout.write('fewer cases were played than asked for\n');
  process.exitCode = code === 0 && failures === 0 && total >= Number(values.cases) ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
