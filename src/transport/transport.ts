/**
 * The port to the machine that runs the Docker CLI: over SSH or on the runner itself. Everything
 * above speaks in argument vectors and byte streams and does not know which of the two it is.
 */
import type { Duplex } from 'node:stream';

export interface CommandResult {
  /** Exit code; null when the process was ended by a signal. */
  readonly code: number | null;
  readonly signal?: string;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export interface RunOptions {
  /** Written to standard input, which is then closed. Default: closed at once. */
  readonly input?: string | Uint8Array;
  /** Milliseconds until the command is given up with a `ConnectionLost`. Default: no limit. */
  readonly timeoutMs?: number;
  /** Called with every chunk of output as it arrives. */
  readonly onOutput?: (chunk: Buffer, stream: 'stdout' | 'stderr') => void;
}

export interface Transport {
  /** For messages: `deploy@10.0.0.1:22` or `local`. */
  readonly description: string;
  /**
   * Runs one command; a non-zero exit is a result, not an error.
   * @param argv program and arguments, passed on byte for byte: nothing is expanded by a shell
   * @throws ConnectionLost when the connection ended before the exit status was known
   */
  run(argv: readonly string[], options?: RunOptions): Promise<CommandResult>;
  /**
   * Starts a long-running command and gives its standard input and output as one stream. The
   * stream is destroyed with an error when the command or the connection ends.
   * @throws ConnectionLost when the command could not be started
   */
  open(argv: readonly string[]): Promise<Duplex>;
  /** Ends the connection. Safe to call twice. */
  close(): Promise<void>;
}
