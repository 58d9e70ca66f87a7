/** A Unix socket in front of the engine's that counts what goes through it, connection by connection. */
import { chmodSync } from 'node:fs';
import { createServer, connect } from 'node:net';

/**
 * @typedef {object} Exchange one request and its answer
 * @property {number} at when the request came (Date.now)
 * @property {string} method
 * @property {string} path without the API version
 * @property {boolean} cli whether Docker's own CLI asked
 * @property {number} sent bytes of the request, head included
 * @property {number} received bytes of the answer, head included
 */

/**
 * @param {string} socketPath where to listen
 * @param {() => string} enginePath the socket of the engine
 * @returns {Promise<{exchanges: Exchange[], close: () => Promise<void>}>}
 */
export async function startCountingProxy(socketPath, enginePath) {
  /** @type {Exchange[]} */
  const exchanges = [];
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set();
  const server = createServer((client) => {
    const engine = connect(enginePath());
    /** @type {Exchange | undefined} */
    let open;
    for (const socket of [client, engine]) {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      socket.on('error', () => undefined);
    }
    // Nobody here pipelines: a request starts a chunk, and its answer ends before the next one.
    client.on('data', (chunk) => {
      const head = chunk.toString('latin1');
      const [, method, path] = /^([A-Z]+) (?:\/v[\d.]+)?(\/\S*) HTTP\/1\.1\r\n/.exec(head) ?? [];
      if (method !== undefined && path !== undefined) {
        const cli = /^user-agent: docker-client/im.test(head);
        open = { at: Date.now(), method, path, cli, sent: 0, received: 0 };
        exchanges.push(open);
      }
      if (open !== undefined) open.sent += chunk.length;
    });
    engine.on('data', (chunk) => {
      if (open !== undefined) open.received += chunk.length;
    });
    client.pipe(engine).pipe(client);
  });
  await new Promise((/** @type {(value: void) => void} */ done, failed) => {
    server.once('error', failed);
    server.listen(socketPath, () => done());
  });
  // The login user of the action has to reach it.
  chmodSync(socketPath, 0o666);
  return {
    exchanges,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
