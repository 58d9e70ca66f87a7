/**
 * The transport for a runner that is itself a manager (`host: local`): commands run through
 * @actions/exec, and nothing is sent anywhere.
 */
import { spawn } from 'node:child_process';
import { exec } from '@actions/exec';
import { ConnectionLost, TimedOut } from '../errors.js';
import { CommandEnded, CommandStream } from './command-stream.js';
import { commandLine, commandTitle } from './quote.js';
import type { CommandResult, RunOptions, Transport } from './transport.js';

const WHERE = 'the runner';

/**
 * Runs a command and then reads what the command left of its input. @actions/exec (3.0) listens for
 * no error of the input, so that a command which ends early, even before an empty input is closed,
 * would end this whole process with EPIPE. As over SSH, a program that is not there ends with 127.
 */
const DRAIN = '"$@"; status=$?; cat >/dev/null; exit "$status"';

/**
 * @param environment of the commands; the inputs of the action (`INPUT_*`), which hold credentials,
 *   are taken out of it
 */
export function localTransport(environment: NodeJS.ProcessEnv = process.env): Transport {
  const env = Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      value === undefined || name.startsWith('INPUT_') ? [] : [[name, value]],
    ),
  );
  const streams = new Set<CommandStream>();
  let closed = false;
  const assertUsable = (argv: readonly string[]): void => {
    // What can't be passed is refused as over SSH; @actions/exec would never return from it.
    commandLine(argv);
    if (closed) throw new ConnectionLost('the local transport was closed');
  };

  return {
    description: 'local',

    async run(argv, options = {}) {
      assertUsable(argv);
      return runLocally(argv, options, env);
    },

    async open(argv) {
      assertUsable(argv);
      const stream = await openLocally(argv, env);
      if (closed) {
        const lost = new ConnectionLost('the local transport was closed');
        stream.destroy(lost);
        throw lost;
      }
      streams.add(stream);
      stream.once('close', () => streams.delete(stream));
      return stream;
    },

    close() {
      closed = true;
      const lost = new ConnectionLost('the local transport was closed');
      for (const stream of streams) stream.destroy(lost);
      return Promise.resolve();
    },
  };
}

async function runLocally(
  argv: readonly string[],
  { input, timeoutMs, onOutput }: RunOptions,
  env: Record<string, string>,
): Promise<CommandResult> {
  const output: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] };
  const collect = (stream: 'stdout' | 'stderr') => (chunk: Buffer) => {
    output[stream].push(chunk);
    onOutput?.(chunk, stream);
  };
  const running = exec('sh', ['-c', DRAIN, 'sh', ...argv], {
    env,
    silent: true,
    ignoreReturnCode: true,
    // Never left out, or the input of the command stays open and it may wait for ever.
    input: Buffer.from(input ?? ''),
    listeners: { stdout: collect('stdout'), stderr: collect('stderr') },
  }).catch((cause: unknown) => {
    const { message } = cause as Error;
    throw new ConnectionLost(`no command can be started on ${WHERE}: ${message}`, { cause });
  });
  const code = await within(running, timeoutMs, commandTitle(argv));
  return {
    code,
    stdout: Buffer.concat(output.stdout),
    stderr: Buffer.concat(output.stderr),
  };
}

/**
 * Gives up waiting after so many milliseconds. @actions/exec does not hand out the process, so the
 * command itself can't be stopped; over SSH it could go on as well.
 */
async function within<T>(
  running: Promise<T>,
  timeoutMs: number | undefined,
  title: string,
): Promise<T> {
  if (timeoutMs === undefined) return running;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(
        new TimedOut(`"${title}" on ${WHERE} did not end within ${timeoutMs / 1000} s`, {
          hint: 'It may still be running there.',
        }),
      );
    }, timeoutMs);
  });
  try {
    return await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A stream in both directions is beyond @actions/exec, which takes the whole input beforehand:
 * here the process is started by Node itself.
 */
function openLocally(argv: readonly string[], env: Record<string, string>): Promise<CommandStream> {
  const [program = '', ...args] = argv;
  const title = commandTitle(argv);
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: 'pipe' });
    child.once('error', (error: NodeJS.ErrnoException) => {
      // Ends as it does in a shell, with 127 or 126 and a sentence.
      const [code, why] = error.code === 'ENOENT' ? [127, 'not found'] : [126, error.message];
      reject(new CommandEnded(title, WHERE, { code }, `${program}: ${why}`));
    });
    child.once('spawn', () => {
      const stream = new CommandStream({
        title,
        where: WHERE,
        stdin: child.stdin,
        stdout: child.stdout,
        stderr: child.stderr,
        abandon: () => child.kill(),
      });
      child.once('close', (code, signal) => stream.commandEnded(code, signal ?? undefined));
      resolve(stream);
    });
  });
}
