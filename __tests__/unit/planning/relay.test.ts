/** The relay's scripts as a shell of this machine runs them, with a program that calls `ssh` as the CLI does. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRelay } from '../../../src/planning/relay.js';
import { localTransport } from '../../../src/transport/local.js';

let path: string;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'swarm-deploy-relay-'));
});
afterEach(() => {
  rmSync(path, { recursive: true, force: true });
});

/** Answers each line with the same in capitals. */
function shout(stream: Duplex, used: () => void): void {
  stream.on('data', (chunk: Buffer) => {
    used();
    stream.write(chunk.toString('utf8').toUpperCase());
  });
}

/** Processes that have a file of the workspace open, or name it. */
function holders(): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .filter((pid) => {
      try {
        return readdirSync(`/proc/${pid}/fd`).some((fd) =>
          readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith(path),
        );
      } catch {
        return false;
      }
    });
}

async function untilNobodyHolds(): Promise<void> {
  while (holders().length > 0) await sleep(20);
}

/**
 * A connection as the CLI has it: what is written to descriptor 3 is sent, what comes is read from the input,
 * and the way there stays open for as long as the script likes.
 */
const connected = (script: string): string =>
  `in=$(mktemp -u) && mkfifo "$in" && ssh -o ConnectTimeout=30 -T -- swarm-deploy.invalid docker system dial-stdio <"$in" | ` +
  `{ exec 3>"$in"; rm "$in"; ${script}; }`;

/** Sends a line, prints the answer, and ends the connection. */
const TALK = connected('echo "$1" >&3; head -n 1; exec 3>&-; cat');

describe('the relay', () => {
  it('brings both directions of one connection after the other', async () => {
    const transport = localTransport();
    const relay = await openRelay(transport, { path }, shout);
    try {
      for (const word of ['one', 'two', 'three']) {
        const { stdout, code } = await relay.transport.run(['sh', '-c', TALK, 'sh', word]);
        expect([code, stdout.toString()]).toEqual([0, `${word.toUpperCase()}\n`]);
      }
    } finally {
      relay.close();
    }
    await untilNobodyHolds();
    await transport.close();
  });

  it('brings connections at the same time', async () => {
    const transport = localTransport();
    const relay = await openRelay(transport, { path }, shout);
    const both = await Promise.all(
      ['left', 'right'].map((word) => relay.transport.run(['sh', '-c', TALK, 'sh', word])),
    );
    expect(both.map(({ stdout }) => stdout.toString())).toEqual(['LEFT\n', 'RIGHT\n']);
    relay.close();
    await untilNobodyHolds();
    await transport.close();
  });

  it('leaves no process behind where nobody came, and none where the connection is lost', async () => {
    const unused = localTransport();
    await openRelay(unused, { path }, shout);
    while (holders().length === 0) await sleep(20);
    await unused.close();
    await untilNobodyHolds();

    const lost = localTransport();
    const relay = await openRelay(lost, { path }, (stream, used) =>
      stream.once('data', () => {
        used();
        void lost.close();
      }),
    );
    // The one that waits for an answer gets the end of it.
    const { stdout } = await relay.transport.run(['sh', '-c', TALK, 'sh', 'lost']);
    expect(stdout.toString()).toBe('');
    relay.close();
    await untilNobodyHolds();
  });

  it('brings what is large byte for byte', async () => {
    const transport = localTransport();
    const size = 3_000_000;
    const relay = await openRelay(transport, { path }, (stream, used) =>
      stream.once('data', () => {
        used();
        stream.write(Buffer.alloc(size, 'x'));
      }),
    );
    const script = connected(`echo go >&3; head -c ${size} | wc -c`);
    const { stdout } = await relay.transport.run(['sh', '-c', script]);
    expect(Number(stdout.toString())).toBe(size);
    relay.close();
    await transport.close();
  });

  it('says so where nothing may be executed', async () => {
    const transport = localTransport();
    const refusing = {
      ...transport,
      run: (argv: readonly string[], options = {}) =>
        transport.run(
          argv.map((word) => word.replace('chmod 700', 'chmod 600')),
          options,
        ),
    };
    await expect(openRelay(refusing, { path }, shout)).rejects.toMatchObject({
      reason: 'docker-unavailable',
      message: expect.stringContaining('nothing can be executed') as unknown,
      hint: expect.stringContaining('noexec') as unknown,
    });
    expect(existsSync(join(path, 'relay'))).toBe(true);
    await transport.close();
  });
});
