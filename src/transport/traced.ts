/** A transport that tells of its commands, for debug logging. */
import type { Transport } from './transport.js';

/** Takes one line. */
export type Trace = (line: string) => void;

const MAX_COMMAND = 600;
/** A longer argument, or one of several lines, is a script of this action's own. */
const MAX_ARGUMENT = 120;

/** The same transport, with a line for each command: how it ended, how much it wrote and how fast. */
export function traced(transport: Transport, trace: Trace): Transport {
  // Anybody on the manager can read it in the list of processes, so that no secret is in it.
  const told = (argv: readonly string[]): string => {
    const text = argv
      .map((word) => {
        if (word.length > MAX_ARGUMENT || word.includes('\n')) return `(${word.length} characters)`;
        return /^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word);
      })
      .join(' ');
    return text.length > MAX_COMMAND ? `${text.slice(0, MAX_COMMAND)}...` : text;
  };
  const since = (begun: number): string => `${(performance.now() - begun).toFixed(1)} ms`;
  const failed = (what: string, begun: number, error: unknown): void => {
    const words = error instanceof Error ? error.message : String(error);
    trace(`${what} -> ${words}, ${since(begun)}`);
  };
  return {
    description: transport.description,
    run: async (argv, options) => {
      const begun = performance.now();
      // What goes to standard input may be a password: it is not even counted.
      const what = `command: ${told(argv)}`;
      try {
        const result = await transport.run(argv, options);
        const { code, signal, stdout, stderr } = result;
        const end = code === null ? `ended by ${signal ?? 'a signal'}` : `exit code ${code}`;
        trace(`${what} -> ${end}, ${stdout.length + stderr.length} bytes, ${since(begun)}`);
        return result;
      } catch (error) {
        failed(what, begun, error);
        throw error;
      }
    },
    open: async (argv) => {
      const begun = performance.now();
      const what = `stream: ${told(argv)}`;
      try {
        const stream = await transport.open(argv);
        trace(`${what} -> open, ${since(begun)}`);
        return stream;
      } catch (error) {
        failed(what, begun, error);
        throw error;
      }
    },
    close: () => transport.close(),
  };
}
