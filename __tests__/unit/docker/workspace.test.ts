import { describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  createWorkspace,
  removeWorkspace,
  runInWorkspace,
  UNWRITTEN,
  upload,
} from '../../../src/docker/workspace.js';
import { DeployError, TimedOut } from '../../../src/errors.js';
import { localTransport } from '../../../src/transport/local.js';
import type { Transport } from '../../../src/transport/transport.js';
import { scriptedTransport } from '../../support/scripted-transport.js';

const NAME = `swarm-deploy-${'0a'.repeat(16)}`;

describe('on a real disk', () => {
  /** This machine, with a temporary directory of the test's own. */
  async function onDisk(
    test: (transport: Transport, base: string) => Promise<void>,
  ): Promise<void> {
    const base = mkdtempSync(join(tmpdir(), 'work space '));
    const local = localTransport();
    const transport: Transport = {
      ...local,
      description: local.description,
      run: (argv, options) => local.run(['env', `TMPDIR=${base}`, ...argv], options),
    };
    try {
      await test(transport, base);
    } finally {
      await local.close();
      rmSync(base, { recursive: true, force: true });
    }
  }

  it('is for the login user alone, takes every byte, and goes whole', async () => {
    await onDisk(async (transport, base) => {
      const workspace = await createWorkspace(transport, NAME, { name: 'first', content: 'one\n' });
      expect(workspace.path).toBe(join(base, NAME));
      expect(readFileSync(join(base, NAME, 'first'), 'utf8')).toBe('one\n');
      expect(statSync(join(base, NAME, 'first')).mode & 0o777).toBe(0o600);
      const bytes = Buffer.from(Array.from({ length: 1024 }, (_, index) => index % 256));
      await upload(transport, workspace, [
        { name: 'a.yml', content: 'image: "$(x) `y` \'z\'"\r\n' },
        { name: 'attachments/raw', content: bytes },
        { name: 'attachments/empty', content: '' },
      ]);
      for (const path of ['', '/docker', '/attachments'])
        expect(statSync(workspace.path + path).mode & 0o777).toBe(0o700);
      expect(statSync(join(workspace.path, 'a.yml')).mode & 0o777).toBe(0o600);
      expect(readFileSync(join(workspace.path, 'a.yml'), 'utf8')).toBe(
        'image: "$(x) `y` \'z\'"\r\n',
      );
      expect(readFileSync(join(workspace.path, 'attachments/raw'))).toEqual(bytes);
      expect(await removeWorkspace(transport, NAME)).toBe(true);
      expect(readdirSync(base)).toEqual([]);
      expect(await removeWorkspace(transport, NAME)).toBe(true);
    });
  });

  it('lets nothing that runs in it leave a core dump', async () => {
    await onDisk(async (transport) => {
      const made = await createWorkspace(transport, NAME);
      // A login that allows core dumps, as far as this machine lets it.
      const allow = ['sh', '-c', 'ulimit -S -c "$(ulimit -H -c)"; exec "$@"', 'sh'];
      const dumping: Transport = {
        ...transport,
        description: transport.description,
        run: (argv, options) => transport.run([...allow, ...argv], options),
      };
      for (const workspace of [made, { ...made, logins: '{}' }]) {
        const { stdout } = await runInWorkspace(
          dumping,
          workspace,
          ['sh', '-c', 'ulimit -c', workspace.path],
          {},
          new AbortController().signal,
        );
        expect(stdout.toString()).toBe('0\n');
      }
    });
  });

  it.each(['pid', 'docker/config.json'])('says so where the disk is full for %s', async (file) => {
    await onDisk(async (transport) => {
      const made = { ...(await createWorkspace(transport, NAME)), logins: '{}' };
      execFileSync('ln', ['-s', '/dev/full', join(made.path, file)]);
      const argv = ['sh', '-c', 'echo began', made.path];
      const { signal } = new AbortController();
      const { code, stdout, stderr } = await runInWorkspace(transport, made, argv, {}, signal);
      expect([code, stdout.toString()]).toEqual([1, '']);
      expect(stderr.toString()).toContain(UNWRITTEN);
    });
  });

  it('takes no directory that somebody has prepared, nor follows a link', async () => {
    await onDisk(async (transport, base) => {
      execFileSync('ln', ['-s', '/', join(base, NAME)]);
      await expect(createWorkspace(transport, NAME)).rejects.toThrow('cannot create a directory');
      expect(await removeWorkspace(transport, NAME)).toBe(true);
      expect([existsSync('/etc'), readdirSync(base)]).toEqual([true, []]);
    });
  });
});

describe('refusals', () => {
  it.each([
    '',
    'swarm-deploy-',
    `../${NAME}`,
    `${NAME}/..`,
    `${NAME}0`,
    NAME.toUpperCase(),
    `${NAME}\n`,
  ])('touches nothing called %j', async (name) => {
    const transport = scriptedTransport(() => ({}));
    await expect(createWorkspace(transport, name)).rejects.toThrow('not a workspace name');
    await expect(removeWorkspace(transport, name)).rejects.toThrow('not a workspace name');
    expect(transport.calls).toEqual([]);
  });
  it('say what the manager said', async () => {
    const full = scriptedTransport(() => ({ code: 1, stderr: 'No space left on device\n' }));
    for (const attempt of [
      createWorkspace(full, NAME),
      upload(full, { path: '/tmp/x' }, [{ name: 'a.yml', content: '' }]),
    ]) {
      const error: unknown = await attempt.then(
        () => undefined,
        (each: unknown) => each,
      );
      expect(error).toBeInstanceOf(DeployError);
      expect(error).toMatchObject({
        outcome: 'invalid',
        message: expect.stringMatching(/on deploy@manager:22: No space left on device$/),
      });
    }
    expect(await removeWorkspace(full, NAME)).toBe(false);
  });
  it('are not waited for for ever, where a disk hangs', async () => {
    const stuck: Transport = {
      ...scriptedTransport(() => ({})),
      run: (_, { timeoutMs } = {}) =>
        timeoutMs === undefined
          ? new Promise(() => undefined)
          : Promise.reject(new TimedOut('late')),
    };
    for (const attempt of [
      createWorkspace(stuck, NAME),
      createWorkspace(stuck, NAME, { name: 'a.yml', content: '' }),
      upload(stuck, { path: '/tmp/x' }, [{ name: 'a.yml', content: '' }]),
      removeWorkspace(stuck, NAME),
    ])
      await expect(Promise.race([attempt, sleep(1000)])).rejects.toThrow('late');
  });
  it('send contents by standard input, never as an argument', async () => {
    const transport = scriptedTransport(() => ({}));
    await upload(transport, { path: '/tmp/x' }, [{ name: 'a.yml', content: 'a secret' }]);
    expect(transport.calls[0]?.options.input).toBe('a secret');
    expect(transport.calls[0]?.argv.join(' ')).not.toContain('a secret');
  });
});
