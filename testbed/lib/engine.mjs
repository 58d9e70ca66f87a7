/**
 * The Engine API over a node's own socket, for readiness and for tests that look without a CLI.
 */
import { request } from 'node:http';

/**
 * @typedef {{status: number, text: string}} EngineAnswer
 */

/**
 * @param {string} socketPath
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body] sent as JSON
 * @param {number} [timeoutMs]
 * @returns {Promise<EngineAnswer>}
 */
export function askEngine(socketPath, method, path, body, timeoutMs = 30_000) {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = text === undefined ? {} : { 'Content-Type': 'application/json' };
    const outgoing = request({ socketPath, method, path, headers, agent: false }, (incoming) => {
      /** @type {Buffer[]} */
      const parts = [];
      incoming.on('data', (/** @type {Buffer} */ part) => parts.push(part));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const answer = Buffer.concat(parts).toString('utf8');
        resolve({ status: incoming.statusCode ?? 0, text: answer });
      });
    });
    outgoing.setTimeout(timeoutMs, () => {
      outgoing.destroy(new Error(`the engine did not answer ${method} ${path} in ${timeoutMs} ms`));
    });
    outgoing.on('error', reject);
    outgoing.end(text);
  });
}

/**
 * @param {string} socketPath
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {number} [timeoutMs]
 * @returns {Promise<any>} the JSON of the answer; undefined when it is empty
 */
export async function engineJson(socketPath, method, path, body, timeoutMs) {
  const { status, text } = await askEngine(socketPath, method, path, body, timeoutMs);
  if (status >= 400) throw new Error(`${method} ${path} answered ${status}: ${text.trim()}`);
  return text ? JSON.parse(text) : undefined;
}
