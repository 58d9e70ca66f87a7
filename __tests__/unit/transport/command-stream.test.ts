import { describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { ConnectionLost } from '../../../src/errors.js';
import { CommandStream } from '../../../src/transport/command-stream.js';

function command() {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const abandoned: string[] = [];
  const stream = new CommandStream({
    title: 'docker system dial-stdio',
    where: 'a@b:22',
    stdin,
    stdout,
    stderr,
    abandon: () => abandoned.push('abandoned'),
  });
  return { stream, stdin, stdout, stderr, abandoned };
}

describe('CommandStream', () => {
  it('keeps what arrived before the end for a reader that comes late', async () => {
    const { stream, stdout } = command();
    stdout.write('last words');
    await once(stream, 'readable');
    stream.commandEnded(1);
    for (let turns = 0; turns < 5; turns += 1) await turn();
    expect(stream.destroyed).toBe(false);
    expect(String(stream.read())).toBe('last words');
    expect(await once(stream, 'error')).toMatchObject([{ code: 1 }]);
  });

  it('ends in sight of whoever gets it only a moment later', async () => {
    const { stream } = command();
    // As in a transport: the promise is resolved in the very turn in which the connection is lost,
    // and Node emits the errors of a turn before it goes on with whoever awaits.
    const given = new Promise<CommandStream>((resolve) => {
      setImmediate(() => {
        stream.connectionLost(new ConnectionLost('gone'));
        resolve(stream);
      });
    });
    const [error] = (await once((await given).resume(), 'error')) as [Error];
    expect(error.message).toBe('gone');
  });

  it('holds the command back while nobody reads', async () => {
    const { stream, stdout } = command();
    stdout.write(Buffer.alloc(2_000_000));
    await once(stream, 'readable');
    await turn();
    expect(stdout.isPaused()).toBe(true);
    stream.resume();
    await turn();
    expect(stdout.isPaused()).toBe(false);
  });

  it('tells only the last of a long standard error', async () => {
    const { stream, stderr } = command();
    stderr.end(`${'x'.repeat(10_000)}the reason`);
    await once(stderr, 'end');
    stream.commandEnded(null, 'SIGKILL');
    const [error] = (await once(stream.resume(), 'error')) as [Error];
    expect(error.message.length).toBeLessThan(5000);
    expect(error.message).toMatch(
      /^"docker system dial-stdio" on a@b:22 ended by signal SIGKILL: x+the reason$/,
    );
  });

  it('gives the command up once when it is destroyed, and never one that ended by itself', async () => {
    const dropped = command();
    dropped.stream.destroy();
    dropped.stream.destroy();
    await once(dropped.stream, 'close');
    expect(dropped.abandoned).toEqual(['abandoned']);
    const ended = command();
    ended.stream.commandEnded(1);
    await once(ended.stream, 'error');
    expect(ended.abandoned).toEqual([]);
  });
});
