/**
 * The way from the Docker CLI on a manager to the stand-in on the runner. The CLI is told to reach its
 * engine at an `ssh://` address: it then runs the first `ssh` on its PATH and speaks HTTP with that
 * program's input and output (docker/cli, cli/connhelper). The one that it finds is a script in the run's
 * own directory, which hands both over to two named pipes; a command of this run's connection holds their
 * other ends. So nothing listens anywhere, and the login needs no right to forward anything.
 */
import type { Duplex } from 'node:stream';
import type { Workspace } from '../docker/workspace.js';
import { DeployError } from '../errors.js';
import type { CommandResult, RunOptions, Transport } from '../transport/transport.js';

/** No host has this name (RFC 2606): should the CLI find another `ssh` after all, it gets nowhere. */
export const RELAY_HOST = 'ssh://swarm-deploy.invalid';

/**
 * What the CLI runs as `ssh`, once a connection: takes the next number, and copies both ways. The one that
 * reads for the CLI alone has its output open, so that the CLI sees the end when the relay is gone.
 */
const SSH = `#!/bin/sh
[ "$*" != try ] || exit 0
relay=\${0%/*/*}/relay
n=0
until mkdir "$relay/$n.taken" 2>/dev/null; do
  [ -d "$relay/$n.taken" ] || exit 1
  n=$((n+1))
done
tries=0
until [ -p "$relay/$n.down" ]; do
  tries=$((tries+1))
  [ "$tries" -le 600 ] || exit 1
  sleep 0.05 2>/dev/null || sleep 1
done
exec 3>"$relay/$n.up" 4<"$relay/$n.down"
cat <&4 3>&- &
reader=$!
exec >&3 3>&- 4<&-
cat
kill "$reader"
`;

/** Where nothing may be executed (noexec), the CLI would go on to the next `ssh` on its PATH. */
const PREPARE = `
umask 077
rm -rf -- "$1/relay" "$1/bin"
mkdir -- "$1/relay" "$1/bin" && cat > "$1/bin/ssh" && chmod 700 "$1/bin/ssh" || exit 1
"$1/bin/ssh" try
`;

const PREPARE_LIMIT_MS = 60_000;

/**
 * Holds the other ends of a pair of pipes. It opens both for reading and writing, which waits for
 * nobody, so that no process is left waiting where the CLI never comes. `down` gets its name last:
 * whoever sees it can use both.
 */
const HOLD = `
umask 077
up=$1/relay/$2.up
new=$1/relay/$2.new
mkfifo "$up" "$new" || exit 1
exec 5<&0 6<>"$new" 7<>"$up"
cat <"$up" 5<&- 6>&- 7>&- &
reader=$!
mv "$new" "$1/relay/$2.down"
cat <&5 >&6 7>&-
kill "$reader"
`;

/** Runs a command that finds the script above as \`ssh\`. */
const WITH_SSH = 'PATH=$1/bin:$PATH; export PATH; shift; exec "$@"';

const shell = (script: string, ...args: readonly string[]): readonly string[] => [
  'sh',
  '-c',
  script.trim(),
  'swarm-deploy',
  ...args,
];

export interface Relay {
  /** The transport on which the CLI, told to use {@link RELAY_HOST}, comes to the relay. */
  readonly transport: Transport;
  /** Ends all connections, and what holds them on the manager. */
  readonly close: () => void;
}

/**
 * @param onConnection is given each connection's stream before the CLI is there, and calls `used` when
 *   the CLI has come, so that the next one finds a place
 * @throws DeployError where the manager does not let a script run in the workspace
 */
export async function openRelay(
  transport: Transport,
  workspace: Workspace,
  onConnection: (stream: Duplex, used: () => void) => void,
): Promise<Relay> {
  const { path } = workspace;
  const prepared = await transport.run(shell(PREPARE, path), {
    input: SSH,
    timeoutMs: PREPARE_LIMIT_MS,
  });
  if (prepared.code !== 0) throw cannotPrepare(transport, path, prepared);
  const streams = new Set<Duplex>();
  let closed = false;
  const hold = async (number: number): Promise<void> => {
    const stream = await transport.open(shell(HOLD, path, String(number)));
    if (closed) {
      stream.destroy();
      return;
    }
    streams.add(stream);
    stream.once('close', () => streams.delete(stream));
    let isUsed = false;
    onConnection(stream, () => {
      if (isUsed) return;
      isUsed = true;
      // A lost connection is noticed by whoever waits for the command itself.
      hold(number + 1).catch(() => undefined);
    });
  };
  await hold(0);
  return {
    transport: {
      description: transport.description,
      run: (argv: readonly string[], options?: RunOptions) =>
        transport.run(shell(WITH_SSH, path, ...argv), options),
      open: (argv) => transport.open(argv),
      close: () => transport.close(),
    },
    close: () => {
      closed = true;
      for (const stream of streams) stream.destroy();
    },
  };
}

function cannotPrepare(
  { description }: Transport,
  path: string,
  { code, stderr }: CommandResult,
): DeployError {
  const words = stderr.toString('utf8').trim();
  return new DeployError(
    'docker-unavailable',
    'invalid',
    code === 126
      ? `nothing can be executed in ${path} on ${description}, and a plan needs one script there`
      : `cannot prepare the plan in ${path} on ${description}: ${words}`,
    {
      hint:
        code === 126
          ? 'The directory is on a file system mounted with noexec: set TMPDIR for the login user to one that is not.'
          : 'Check that /tmp (or TMPDIR) on the manager is writable and not full.',
    },
  );
}
