/** Docker's own client, of the versions that the test swarms run; it needs no engine to read files. */
import { describe } from '@jest/globals';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import { probe } from '../../testbed/index.mjs';
import { preparePackages } from '../../testbed/lib/packages.mjs';

/**
 * A group of tests with the client of an engine. On a machine where no test swarm can run, no client can
 * be had either: then they are reported as skipped, with the reason. Where one can run and the client
 * can't be had nevertheless, that is a failure.
 * @param tests given the path of the client
 */
export async function withDockerCli(
  engine: string,
  title: string,
  tests: (docker: string) => void,
): Promise<void> {
  const possible = await probe();
  if (!possible.ok) {
    describe.skip(`${title} (NOT RUN: ${possible.reason})`, () => {
      tests('');
    });
    return;
  }
  const [layer = ''] = await preparePackages(engine, () => undefined);
  const docker = join(layer, 'usr/bin/docker');
  execFileSync(docker, ['--version'], { stdio: 'ignore' });
  describe(title, () => {
    tests(docker);
  });
}

export function writeFiles(
  directory: string,
  files: Iterable<readonly [string, string | Buffer]>,
): void {
  for (const [name, content] of files) {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
}

interface Merged {
  readonly services?: Readonly<Record<string, Record<string, unknown>>>;
  readonly configs?: Readonly<Record<string, { file?: string }>>;
  readonly secrets?: Readonly<Record<string, { file?: string }>>;
}

/** What Docker makes of stack files: by `docker stack config`, with the files that they refer to. */
export function stackConfig(
  docker: string,
  directory: string,
  names: readonly string[],
  env: Readonly<Record<string, string>>,
): { readonly merged: unknown } | { readonly refusal: string } {
  const run = spawnSync(docker, ['stack', 'config', ...names.flatMap((name) => ['-c', name])], {
    cwd: directory,
    encoding: 'utf8',
    env: { DOCKER_CONFIG: directory, ...env },
  });
  if (run.status !== 0) return { refusal: run.stderr };
  const all = parse(run.stdout) as Merged & Record<string, unknown>;
  const merged = Object.fromEntries(
    Object.entries(all).filter(([key]) => key !== 'version' && !key.startsWith('x-')),
  ) as Merged;
  // Paths differ on purpose; what they lead to must not.
  for (const section of [merged.configs, merged.secrets]) {
    for (const object of Object.values(section ?? {})) {
      if (object.file !== undefined) object.file = readFileSync(object.file, 'latin1');
    }
  }
  for (const service of Object.values(merged.services ?? {})) delete service['env_file'];
  return { merged };
}

/** What a client says to the files of a deploy before it looks for an engine; '' if nothing. */
export function parseOnly(docker: string, directory: string, names: readonly string[]): string {
  const run = spawnSync(
    docker,
    ['stack', 'deploy', ...names.flatMap((name) => ['-c', name]), 'corpus'],
    {
      cwd: directory,
      encoding: 'utf8',
      env: { DOCKER_CONFIG: directory, DOCKER_HOST: 'tcp://127.0.0.1:1' },
    },
  );
  return run.stderr.includes('Cannot connect to the Docker daemon') ? '' : run.stderr || 'no error';
}
