/** A transport whose commands a test answers one by one. */
import type { CommandResult, RunOptions, Transport } from '../../src/transport/transport.js';

export interface Call {
  readonly argv: readonly string[];
  readonly options: RunOptions;
}

export type Step = Partial<Omit<CommandResult, 'stdout' | 'stderr'>> & {
  readonly stdout?: string;
  readonly stderr?: string;
};

/** @param script gives the result of a command, or the error that it ends with */
export function scriptedTransport(
  script: (call: Call, count: number) => Step | Error,
): Transport & { readonly calls: readonly Call[] } {
  const calls: Call[] = [];
  return {
    calls,
    description: 'deploy@manager:22',
    run: async (argv, options = {}) => {
      const call = { argv, options };
      calls.push(call);
      const step = script(call, calls.length);
      if (step instanceof Error) throw step;
      const { stdout = '', stderr = '', code = 0, ...signal } = step;
      if (stdout !== '') options.onOutput?.(Buffer.from(stdout), 'stdout');
      if (stderr !== '') options.onOutput?.(Buffer.from(stderr), 'stderr');
      return { code, ...signal, stdout: Buffer.from(stdout), stderr: Buffer.from(stderr) };
    },
    open: () => Promise.reject(new Error('no streams here')),
    close: () => Promise.resolve(),
  };
}
