/** Reads of the Docker CLI, passed on to the real engine over a `docker system dial-stdio` of their own. */
import { Agent, request } from 'node:http';
import type { Duplex } from 'node:stream';
import { ConnectionLost } from '../errors.js';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: Buffer;
}

/**
 * Asks the real engine. There is no way to write through it: it takes no body and no other method.
 * @throws ConnectionLost
 */
export type Passage = (
  method: 'GET' | 'HEAD',
  path: string,
  headers: Readonly<Record<string, string>>,
) => Promise<Answer>;

/** The engine gives a registry 20 s for the digest of an image (moby, daemon/cluster). */
const ANSWER_TIMEOUT_MS = 60_000;
/** They say how the bytes came here, and not what they are. */
const OF_THE_WAY = new Set(['connection', 'transfer-encoding', 'content-length', 'keep-alive']);

/** @param open starts `docker system dial-stdio` and gives its input and output */
export function openPassage(open: () => Promise<Duplex>): {
  readonly passage: Passage;
  readonly close: () => void;
} {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, scheduling: 'fifo' });
  Object.assign(agent, {
    createConnection: (_: unknown, done: (error: Error | null, stream?: Duplex) => void) => {
      open().then(
        (stream) => done(null, asSocket(stream)),
        (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
      );
      return undefined;
    },
  });
  const passage: Passage = (method, path, headers) =>
    new Promise((resolve, reject) => {
      const lost = (cause: Error): void =>
        reject(
          cause instanceof ConnectionLost
            ? cause
            : new ConnectionLost(`lost the connection to the engine: ${cause.message}`, { cause }),
        );
      const asked = request(
        { agent, method, path, headers: { Host: 'docker', ...headers } },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.once('error', lost);
          incoming.once('end', () =>
            resolve({
              status: incoming.statusCode ?? 0,
              headers: Object.fromEntries(
                Object.entries(incoming.headers).flatMap(([name, value]) =>
                  value === undefined || OF_THE_WAY.has(name) ? [] : [[name, value]],
                ),
              ),
              body: Buffer.concat(chunks),
            }),
          );
        },
      );
      const timer = setTimeout(
        () => asked.destroy(new ConnectionLost(`the engine did not answer ${method} ${path}`)),
        ANSWER_TIMEOUT_MS,
      );
      asked.once('close', () => clearTimeout(timer));
      asked.once('error', lost);
      asked.end();
    });
  return { passage, close: () => agent.destroy() };
}

/** What node:http asks of a socket beyond being a stream. */
export function asSocket(stream: Duplex): Duplex {
  const same = (): Duplex => stream;
  return Object.assign(stream, {
    ...{ setKeepAlive: same, setNoDelay: same, setTimeout: same, ref: same, unref: same },
  });
}
