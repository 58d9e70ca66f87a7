import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { runInWorkspace, stopCommand } from '../../../src/docker/workspace.js';
import { TimedOut } from '../../../src/errors.js';
import { localTransport } from '../../../src/transport/local.js';

let path = '';
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'swarm-deploy-stop-'));
});
afterEach(() => rmSync(path, { recursive: true, force: true }));

const transport = localTransport({ PATH: process.env['PATH'] ?? '' });
const never = new AbortController().signal;
/** Names the directory, as every command of a run does, and would go on for longer than any test. */
const endless = (): readonly string[] => ['sh', '-c', 'while :; do sleep 0.1; done', path];
const noted = (): string => readFileSync(join(path, 'pid'), 'utf8').trim();
const runs = (pid: string): boolean =>
  existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('a command that nobody waits for any more', () => {
  it('is stopped when it takes too long', async () => {
    const running = runInWorkspace(transport, { path }, endless(), { timeoutMs: 500 }, never);
    await expect(running).rejects.toBeInstanceOf(TimedOut);
    await until(() => !runs(noted()));
  });

  it('is stopped when the run is cancelled', async () => {
    const cancel = new AbortController();
    const running = runInWorkspace(transport, { path }, endless(), {}, cancel.signal);
    running.catch(() => undefined);
    await until(() => existsSync(join(path, 'pid')) && noted() !== '' && runs(noted()));
    cancel.abort(new Error('cancelled'));
    await expect(running).rejects.toThrow('cancelled');
    await until(() => !runs(noted()));
  });

  it('is stopped where sudo is its parent, which passes no SIGKILL on', async () => {
    const bin = join(path, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'sudo'), '#!/bin/sh\nshift\n"$@" &\nwait $!\n', { mode: 0o755 });
    const elevated = localTransport({ PATH: `${bin}:${process.env['PATH'] ?? ''}` });
    const cancel = new AbortController();
    const child = join(path, 'child');
    const endlessly = ['sh', '-c', 'echo $$ > "$1"; while :; do sleep 0.1; done', path, child];
    const running = runInWorkspace(
      elevated,
      { path },
      ['sudo', '-n', ...endlessly],
      {},
      cancel.signal,
    );
    running.catch(() => undefined);
    const numberIn = (file: string): string =>
      existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
    await until(() => numberIn(child) !== '');
    expect(numberIn(child)).not.toBe(noted());
    cancel.abort(new Error('cancelled'));
    await expect(running).rejects.toThrow('cancelled');
    const left = runs(numberIn(child));
    if (left) process.kill(Number(numberIn(child)), 'SIGKILL');
    expect(left).toBe(false);
  });

  it('is not mistaken for another process that has its number by now', async () => {
    const other = runInWorkspace(transport, { path }, ['sleep', '1'], {}, never).catch(
      () => undefined,
    );
    await until(() => existsSync(join(path, 'pid')) && noted() !== '');
    const pid = noted();
    // Its command line does not name the directory.
    await until(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep'));
    expect(await stopCommand(transport, { path })).toBe(true);
    expect(runs(pid)).toBe(true);
    await other;
  });

  it('is nothing to stop where nothing was started', async () => {
    expect(await stopCommand(transport, { path })).toBe(true);
  });
});

it('gives result and output of a command that ends', async () => {
  const command = ['sh', '-c', 'cat; echo a b; exit 7', path];
  const result = await runInWorkspace(transport, { path }, command, {}, never);
  expect([result.code, result.stdout.toString('utf8')]).toEqual([7, 'a b\n']);
});

it('writes the logins of a command before it begins, for the login user alone', async () => {
  mkdirSync(join(path, 'docker'));
  const command = [
    'sh',
    '-c',
    'cat "$0/docker/config.json"; stat -c %a "$0/docker/config.json"',
    path,
  ];
  const result = await runInWorkspace(
    transport,
    { path, logins: '{"auths":{}}' },
    command,
    {},
    never,
  );
  expect(result.stdout.toString('utf8')).toBe('{"auths":{}}600\n');
});

it('begins no command whose logins cannot be written', async () => {
  const command = ['sh', '-c', 'echo begun', path];
  const workspace = { path: join(path, 'gone'), logins: '{}' };
  const result = await runInWorkspace(transport, workspace, command, {}, never);
  expect([result.code, result.stdout.toString('utf8')]).toEqual([expect.any(Number), '']);
  expect(result.code).not.toBe(0);
});
