/**
 * The run's own directory on the manager: the rendered stack files and, under `docker/`, the
 * registry logins. Readable by the login user alone, and gone when the run is over.
 */
import { DeployError } from '../errors.js';
import type { Transport } from '../transport/transport.js';

export interface Workspace {
  /** Absolute path on the manager. */
  readonly path: string;
}

export interface WorkspaceFile {
  readonly name: string;
  readonly content: string | Uint8Array;
}

const NAME = /^swarm-deploy-[0-9a-f]{32}$/;
const PARALLEL_UPLOADS = 4;

/**
 * `mkdir` without `-p` fails where the path exists, so that nobody can have prepared it; the name
 * is chosen by the runner, so that `post` knows it even if the answer never arrives.
 */
const CREATE = `
umask 077
base=\${TMPDIR:-/tmp}
mkdir -- "$base/$1" && mkdir -- "$base/$1/docker" "$base/$1/attachments" && printf %s "$base/$1"
`;
const REMOVE = `rm -rf -- "\${TMPDIR:-/tmp}/$1"`;
const WRITE = `umask 077; cat > "$1"`;

const shell = (script: string, ...args: readonly string[]): readonly string[] => [
  'sh',
  '-c',
  script.trim(),
  'swarm-deploy',
  ...args,
];

/**
 * @param name `swarm-deploy-` and 32 hexadecimal digits from a strong random source
 * @throws DeployError when the manager refuses (full disk, read-only)
 */
export async function createWorkspace(transport: Transport, name: string): Promise<Workspace> {
  if (!NAME.test(name)) throw new Error(`not a workspace name: ${name}`);
  const result = await transport.run(shell(CREATE, name));
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
      });
      if (result.code !== 0)
        throw new DeployError(
          'docker-unavailable',
          'invalid',
          `cannot write ${file.name} on ${transport.description}: ${result.stderr.toString('utf8').trim()}`,
          { hint: 'Check that the disk of the manager is not full.' },
        );
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_UPLOADS }, worker));
}

/** Removes the directory; no error where there is none. @returns whether it is gone */
export async function removeWorkspace(transport: Transport, name: string): Promise<boolean> {
  if (!NAME.test(name)) throw new Error(`not a workspace name: ${name}`);
  const result = await transport.run(shell(REMOVE, name));
  return result.code === 0;
}
