/**
 * The run's own directory on the manager: the rendered stack files and, under `docker/`, the
 * registry logins. Readable by the login user alone, and gone when the run is over.
 */
import { ConnectionLost, DeployError, TimedOut } from '../errors.js';
import type { CommandResult, RunOptions, Transport } from '../transport/transport.js';

export interface Workspace {
  /** Absolute path on the manager. */
  readonly path: string;
  /** The `config.json` of its commands: written only when one of them begins. */
  readonly logins?: string;
}

export interface WorkspaceFile {
  readonly name: string;
  readonly content: string | Uint8Array;
}

const NAME = /^swarm-deploy-[0-9a-f]{32}$/;
const PARALLEL_UPLOADS = 4;
/** For one file, on a slow line; a disk that hangs is no reason to keep the stack's lock for hours. */
const WRITE_LIMIT_MS = 5 * 60_000;
/** For stopping a command and removing what little there is. */
const REMOVE_LIMIT_MS = 60_000;

/** @param id 32 hexadecimal digits from a strong random source */
export const workspaceName = (id: string): string => `swarm-deploy-${id}`;

/** Whether it is one: what others say is no path until then. */
export const isWorkspaceName = (name: string): boolean => NAME.test(name);

/**
 * No core dump of what handles secrets, here and in all that is started from here. A shell that does not
 * know the option says so, and goes on.
 */
const NO_CORE = 'ulimit -c 0 2>/dev/null';

/**
 * `mkdir` without `-p` fails where the path exists, so that nobody can have prepared it; the name
 * is chosen by the runner, so that `post` knows it even if the answer never arrives.
 */
const CREATE = `
umask 077
${NO_CORE}
base=\${TMPDIR:-/tmp}
mkdir -- "$base/$1" && mkdir -- "$base/$1/docker" "$base/$1/attachments" || exit
[ $# = 1 ] || cat > "$base/$1/$2" || exit
printf %s "$base/$1"
`;
const WRITE = `umask 077; ${NO_CORE}; cat > "$1"`;

const shell = (script: string, ...args: readonly string[]): readonly string[] => [
  'sh',
  '-c',
  script.trim(),
  'swarm-deploy',
  ...args,
];

/**
 * @param name `swarm-deploy-` and 32 hexadecimal digits from a strong random source
 * @param first written by the same command: most deploys have one file
 * @throws DeployError when the manager refuses (full disk, read-only)
 * @throws TimedOut when it does not get done with it
 */
export async function createWorkspace(
  transport: Transport,
  name: string,
  first?: WorkspaceFile,
): Promise<Workspace> {
  if (!isWorkspaceName(name)) throw new Error(`not a workspace name: ${name}`);
  const result =
    first === undefined
      ? await transport.run(shell(CREATE, name), { timeoutMs: WRITE_LIMIT_MS })
      : await transport.run(shell(CREATE, name, first.name), {
          input: first.content,
          timeoutMs: WRITE_LIMIT_MS,
        });
  if (result.code !== 0)
    throw new DeployError(
      'docker-unavailable',
      'invalid',
      `cannot create a directory for this run on ${transport.description}: ${result.stderr.toString('utf8').trim()}`,
      { hint: 'Check that /tmp (or TMPDIR) on the manager is writable and not full.' },
    );
  return { path: result.stdout.toString('utf8') };
}

/**
 * Writes files by `cat`, which works where the SFTP subsystem is off.
 * @throws DeployError when a file could not be written whole
 * @throws TimedOut when the manager does not get done with one
 */
export async function upload(
  transport: Transport,
  workspace: Workspace,
  files: readonly WorkspaceFile[],
): Promise<void> {
  const queue = [...files];
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const result = await transport.run(shell(WRITE, `${workspace.path}/${file.name}`), {
        input: file.content,
        timeoutMs: WRITE_LIMIT_MS,
      });
      if (result.code !== 0)
        throw new DeployError(
          'docker-unavailable',
          'invalid',
          `cannot write ${file.name} on ${transport.description}: ${result.stderr.toString('utf8').trim()}`,
          { hint: 'Check that /tmp (or TMPDIR) on the manager is not full.' },
        );
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_UPLOADS }, worker));
}

/** What a shell says of a full disk is its own affair: that of Debian says `I/O error`. */
export const UNWRITTEN = "this run's directory on the manager cannot be written";
const GIVE_UP = `{ echo "${UNWRITTEN}" >&2; exit 1; }`;
/** Notes the process before it becomes the command, so that it can be stopped by its number. */
const NOTE = `${NO_CORE}; echo $$ > "$1/pid" || ${GIVE_UP}; shift; exec "$@"`;
/** The same, and what comes in is the registry logins. */
const NOTE_LOGINS = `umask 077; ${NO_CORE}; cat > "$1/docker/config.json" || ${GIVE_UP}; ${NOTE}`;

/**
 * Ends the process noted, if it is still the one that was noted (its command line names the
 * directory), and waits until it is gone. Without a terminal, closing the channel or even losing the
 * connection does not end a command on the other side.
 */
const STOP = `
below() {
  for each in /proc/[0-9]*; do
    value=
    while read -r key value rest; do
      [ "$key" != PPid: ] || break
    done 2>/dev/null < "$each/status"
    [ "$value" != "$1" ] || { ( below "\${each#/proc/}" ); echo "\${each#/proc/}"; }
  done
}
read -r pid 2>/dev/null < "$1/pid" || exit 0
for try in 1 2 3 4 5 6 7 8 9 10; do
  grep -q -- "$1" "/proc/$pid/cmdline" 2>/dev/null || exit 0
  for each in $(below "$pid") $pid; do
    kill -KILL "$each" 2>/dev/null || sudo -n kill -KILL "$each" 2>/dev/null
  done
  sleep 1
done
exit 1
`;
const STOP_LIMIT_MS = 20_000;
/** A command that a run has left behind goes with its directory: it is noted nowhere else. */
const REMOVE = `
set -- "\${TMPDIR:-/tmp}/$1"
( ${STOP.trim()} )
rm -rf -- "$1"
`;

/**
 * Runs a command that must not go on by itself when nobody waits for it any more.
 * @param argv names the workspace in one of its arguments
 * @throws TimedOut after `timeoutMs`, or the reason of the signal; the command was stopped before
 * @throws ConnectionLost when the connection ended; the command may still be running
 */
export async function runInWorkspace(
  transport: Transport,
  workspace: Workspace,
  argv: readonly string[],
  options: Omit<RunOptions, 'input'>,
  signal: AbortSignal,
): Promise<CommandResult> {
  signal.throwIfAborted();
  const { logins } = workspace;
  const running = transport.run(
    shell(logins === undefined ? NOTE : NOTE_LOGINS, workspace.path, ...argv),
    logins === undefined ? options : { ...options, input: logins },
  );
  // Whoever wins the race, the other one must not end the process.
  running.catch(() => undefined);
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([running, aborted]);
  } catch (error) {
    if (signal.aborted || error instanceof TimedOut) await stopCommand(transport, workspace);
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Stops what `runInWorkspace` left running. @returns whether nothing of it runs any more */
export async function stopCommand(transport: Transport, { path }: Workspace): Promise<boolean> {
  try {
    const result = await transport.run(shell(STOP, path), { timeoutMs: STOP_LIMIT_MS });
    return result.code === 0;
  } catch (error) {
    if (error instanceof ConnectionLost) return false;
    throw error;
  }
}

/**
 * Removes the directory; no error where there is none.
 * @returns whether it is gone
 * @throws TimedOut when the manager does not get done with it
 */
export async function removeWorkspace(transport: Transport, name: string): Promise<boolean> {
  if (!isWorkspaceName(name)) throw new Error(`not a workspace name: ${name}`);
  const result = await transport.run(shell(REMOVE, name), { timeoutMs: REMOVE_LIMIT_MS });
  return result.code === 0;
}
