/**
 * The transport for a runner that is itself a manager (`host: local`): commands run through
 * @actions/exec, and nothing is sent anywhere.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { exec } from '@actions/exec';
import { ConnectionLost } from '../errors.js';
import { CommandEnded, CommandStream } from './command-stream.js';
import { commandTitle } from './quote.js';
import type { CommandResult, RunOptions, Transport } from './transport.js';

const WHERE = 'the runner';

/** Exit code of a POSIX shell for a program that it does not find. */
const NOT_FOUND = 127;

/**
 * Runs a command with its input and then reads what the command left of it: @actions/exec listens
 * for no error of the input, and a command that ends early would end this process with EPIPE.
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
  const assertOpen = (): void => {
    if (closed) throw new ConnectionLost('the local transport was closed');
  };

  return {
    description: 'local',

    async run(argv, options = {}) {
      assertOpen();
      return runLocally(argv, options, env);
    },

    async open(argv) {
      assertOpen();
      const stream = await openLocally(argv, env);
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
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  const bytes = Buffer.from(input ?? '');
  const [program = '', ...args] = bytes.length === 0 ? argv : ['sh', '-c', DRAIN, 'sh', ...argv];
  // @actions/exec takes its first argument apart at spaces, unless they are in double quotes.
  const running = exec(`"${program.replaceAll('"', '\\"')}"`, args, {
    env,
    silent: true,
    ignoreReturnCode: true,
    // Never left out, or the input of the command stays open and it may wait for ever.
    input: bytes,
    listeners: {
      stdout: (chunk) => {
        stdout.push(chunk);
        onOutput?.(chunk, 'stdout');
      },
      stderr: (chunk) => {
        stderr.push(chunk);
        onOutput?.(chunk, 'stderr');
      },
    },
  }).then(
    // The types of @actions/exec leave out that the code is null after a signal.
    (code: number | null) => code,
    (error: unknown) => {
      const [exitCode, text] = notStarted(argv, error);
      stderr.push(Buffer.from(`${text}\n`));
      return exitCode;
    },
  );
  const code = await within(running, timeoutMs, commandTitle(argv));
  // With `sh` in between, a signal that ended the command comes as 128 and its number.
  const signal = bytes.length > 0 && code !== null ? signalOf(code) : undefined;
  return {
    code: signal === undefined ? code : null,
    ...(signal === undefined ? {} : { signal }),
    stdout: Buffer.concat(stdout),
    stderr: Buffer.concat(stderr),
  };
}

function signalOf(code: number): string | undefined {
  return Object.entries(constants.signals).find(([, number]) => number + 128 === code)?.[0];
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
        new ConnectionLost(`"${title}" on ${WHERE} did not end within ${timeoutMs / 1000} s`, {
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

/** A program that can't be started ends as it does in a shell: with 127 or 126, and a sentence. */
function notStarted(
  argv: readonly string[],
  error: unknown,
): readonly [code: number, text: string] {
  const { message } = error as Error;
  const program = argv[0] ?? '';
  return /Unable to locate executable|ENOENT/.test(message)
    ? [NOT_FOUND, `${program}: not found on ${WHERE}: there is no such program in its PATH`]
    : [126, `${program}: can not be started on ${WHERE}: ${message}`];
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
    child.once('error', (error) => {
      const [code, text] = notStarted(argv, error);
      reject(new CommandEnded(title, WHERE, { code }, text));
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
