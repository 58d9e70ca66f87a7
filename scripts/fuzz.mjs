/**
 * Plays the properties of `__tests__/unit/fuzz` with very many cases and prints how many of each:
 *
 *     npm run fuzz -- [--cases 120000] [--seed NUMBER]
 *
 * The seed is printed; the same one with the same number of cases plays the same cases.
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const DEFAULT_CASES = '120000';

const { values } = parseArgs({
  options: { cases: { type: 'string', default: DEFAULT_CASES }, seed: { type: 'string' } },
});
const seed = values.seed ?? String(randomInt(2 ** 31));
for (const [name, text] of Object.entries({ cases: values.cases, seed }))
  if (!/^\d{1,10}$/.test(text)) {
    process.stderr.write(`fuzz: --${name} takes a whole number, not "${text}"\n`);
    process.exit(2);
  }

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
