import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { ConnectionLost } from '../../../src/errors.js';
import { CommandEnded } from '../../../src/transport/command-stream.js';
import { localTransport } from '../../../src/transport/local.js';

const local = localTransport();

afterEach(() => {
  jest.restoreAllMocks();
});

describe('run', () => {
  it('gives exit code and both outputs and prints nothing itself', async () => {
    const stdout = jest.spyOn(process.stdout, 'write').mockReturnValue(true);
    const stderr = jest.spyOn(process.stderr, 'write').mockReturnValue(true);
    const result = await local.run(['sh', '-c', 'printf "[out]"; printf "[err]" >&2; exit 3']);
    expect(stdout.mock.calls).toEqual([]);
    // Node may have warnings of its own to print there.
    expect(stderr.mock.calls.join()).not.toMatch(/\[(out|err|command)\]/);
    expect(result).toEqual({ code: 3, stdout: Buffer.from('[out]'), stderr: Buffer.from('[err]') });
    expect(local.description).toBe('local');
  });

  it('passes arguments on byte for byte, with and without input', async () => {
    const args = ['', "it's", '$(id) `id` \\ "', 'two\nlines', 'Grüße 🚀', 'trailing '];
    for (const input of ['', 'some']) {
      const { stdout } = await local.run(['printf', '%s\\0', ...args], { input });
      expect(stdout.toString()).toBe(args.map((arg) => `${arg}\0`).join(''));
    }
  });

  it('closes the input at once when there is none', async () => {
    expect(await local.run(['cat'])).toMatchObject({ code: 0, stdout: Buffer.alloc(0) });
  });

  it('brings 5 MB through in both directions byte for byte', async () => {
    const input = randomBytes(5_000_000);
    const { code, stdout } = await local.run(['cat'], { input });
    expect(code).toBe(0);
    expect(stdout.equals(input)).toBe(true);
  });

  it('survives a command that leaves its input unread', async () => {
    const input = randomBytes(5_000_000);
    expect(await local.run(['true'], { input })).toMatchObject({ code: 0 });
    expect(await local.run(['sh', '-c', 'exec 0<&-; exit 4'], { input })).toMatchObject({
      code: 4,
    });
  });

  it('reports a signal that ended the command as a shell does', async () => {
    const result = await local.run(['sh', '-c', 'printf before; kill -TERM $$']);
    expect(result).toMatchObject({ code: 128 + 15, stdout: Buffer.from('before') });
  });

  it('survives commands that end before their empty input is closed', async () => {
    // Each one of them could end this process with EPIPE.
    const ended = await Promise.all(Array.from({ length: 10 }, () => local.run(['true'])));
    expect(ended.every(({ code }) => code === 0)).toBe(true);
  });

  it.each([[''], ['input']])(
    'says clearly that a program is not there (input "%s")',
    async (input) => {
      const result = await local.run(['no-such-program', 'x'], { input });
      expect(result.code).toBe(127);
      expect(result.stderr.toString()).toMatch(/no-such-program.*not found/);
    },
  );

  it('refuses arguments that can not be passed', async () => {
    await expect(local.run(['echo', 'a\0b'])).rejects.toThrow(RangeError);
    await expect(local.open(['echo', 'a\0b'])).rejects.toThrow(RangeError);
    await expect(local.run([])).rejects.toThrow(RangeError);
  });

  it('shows output as it arrives', async () => {
    const heard: string[] = [];
    await local.run(['sh', '-c', 'echo out; echo err >&2'], {
      onOutput: (chunk, stream) => heard.push(`${stream}:${chunk.toString()}`),
    });
    expect(heard.sort()).toEqual(['stderr:err\n', 'stdout:out\n']);
  });

  it('gives a command up that does not end in time', async () => {
    const error: unknown = await local
      .run(['sleep', '1'], { timeoutMs: 20 })
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ConnectionLost);
    expect((error as Error).message).toMatch(/"sleep 1" on the runner did not end within 0\.02 s/);
  });

  it('keeps the inputs of the action out of the environment of commands', async () => {
    const transport = localTransport({
      PATH: process.env['PATH'],
      HOME: '/home/x',
      'INPUT_PRIVATE-KEY': 'key',
      'INPUT_REGISTRY-PASSWORD': 'password',
    });
    const { stdout } = await transport.run(['env']);
    expect(stdout.toString()).toContain('HOME=/home/x');
    expect(stdout.toString()).not.toContain('INPUT_');
    const stream = await transport.open(['env']);
    stream.end();
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString()).toContain('HOME=/home/x');
    expect(Buffer.concat(chunks).toString()).not.toContain('INPUT_');
  });
});

describe('open', () => {
  it('carries bytes both ways and ends cleanly with its input', async () => {
    const stream = await local.open(['cat']);
    const blob = randomBytes(5_000_000);
    stream.end(blob);
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(blob)).toBe(true);
  });

  it('ends with what the command wrote to standard error', async () => {
    const stream = await local.open(['sh', '-c', 'echo "no such thing" >&2; exit 9']);
    const [error] = (await once(stream.resume(), 'error')) as [CommandEnded];
    expect(error).toBeInstanceOf(CommandEnded);
    expect(error).toMatchObject({ code: 9, stderr: 'no such thing' });
    expect(error.message).toBe('"sh" on the runner ended with exit code 9: no such thing');
  });

  it('names the signal that ended the command', async () => {
    const stream = await local.open(['sh', '-c', 'kill -KILL $$']);
    const [error] = (await once(stream.resume(), 'error')) as [CommandEnded];
    expect(error).toMatchObject({ code: null, signal: 'SIGKILL' });
  });

  it('says clearly that a program is not there', async () => {
    const error: unknown = await local.open(['no-such-program']).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CommandEnded);
    expect(error).toMatchObject({ code: 127 });
    expect((error as Error).message).toMatch(
      /on the runner ended with exit code 127: no-such-program: not found$/,
    );
  });

  it('survives a command that does not read what it is sent', async () => {
    const stream = await local.open(['sh', '-c', 'exec 0<&-; exit 5']);
    stream.write(randomBytes(1_000_000));
    const [error] = (await once(stream.resume(), 'error')) as [CommandEnded];
    expect(error).toMatchObject({ code: 5 });
  });
});

describe('close', () => {
  it('ends open streams and refuses what comes later, also twice', async () => {
    const transport = localTransport();
    const stream = await transport.open(['cat']);
    const ended = once(stream, 'error');
    await transport.close();
    await transport.close();
    expect((await ended)[0]).toBeInstanceOf(ConnectionLost);
    await expect(transport.run(['true'])).rejects.toBeInstanceOf(ConnectionLost);
    await expect(transport.open(['true'])).rejects.toBeInstanceOf(ConnectionLost);
  });

  it('leaves no command behind that was just being opened', async () => {
    const transport = localTransport();
    // An argument by which the process is found among all others.
    const mark = `${Date.now()}.${process.pid}`;
    const opening = transport.open(['sleep', mark]);
    await transport.close();
    await expect(opening).rejects.toBeInstanceOf(ConnectionLost);
    const running = (): string | undefined =>
      readdirSync('/proc').find((pid) => {
        try {
          return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(mark);
        } catch {
          return false; // Ended meanwhile.
        }
      });
    for (let looks = 0; running() !== undefined && looks < 200; looks++) await delay(25);
    const left = running();
    if (left !== undefined) process.kill(Number(left));
    expect(left).toBeUndefined();
  });
});
