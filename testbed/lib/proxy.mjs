/**
 * Servers that stand between a run and what it talks to, and misbehave: in front of an sshd, and in front of
 * the registry. Each belongs to one test alone.
 */
import { createServer as createHttpServer, request } from 'node:http';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * @typedef {'pass' | 'stall' | 'cut'} Line `stall`: nothing gets through, and nobody is told; `cut`: what is
 *   open ends, and new connections are refused at once
 *
 * @typedef {object} Link
 * @property {string} address of the proxy
 * @property {number} port
 * @property {(line: Line) => void} set
 * @property {(ms: number) => void} delay how late every piece arrives, in either direction
 * @property {(bytesPerSecond: number) => void} narrow how much gets through, in either direction
 * @property {() => Promise<void>} close
 *
 * @typedef {'pass' | 'hang' | 'refuse' | number | { readonly slowMs: number }} Answer a number: that HTTP
 *   status to everything
 *
 * @typedef {object} RegistryProxy
 * @property {string} host ADDRESS:PORT
 * @property {(answer: Answer) => void} set
 * @property {() => readonly string[]} asked the requests so far: METHOD PATH
 * @property {() => Promise<void>} close
 */

/**
 * @param {import('node:net').Server} server
 * @param {string} address
 * @returns {Promise<number>} the port
 */
function listen(server, address) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, address, () => {
      const at = server.address();
      resolve(typeof at === 'object' && at !== null ? at.port : 0);
    });
  });
}

/** @param {import('node:net').Socket} to @param {Buffer} data @param {number} bytesPerSecond */
async function trickle(to, data, bytesPerSecond) {
  const size = Math.ceil(bytesPerSecond / 10);
  for (let at = 0; at < data.length && !to.destroyed; at += size) {
    const piece = data.subarray(at, at + size);
    await sleep((1000 * piece.length) / bytesPerSecond);
    to.write(piece);
  }
}

/**
 * @param {string} address to listen on
 * @param {{address: string, port: number}} target
 * @returns {Promise<Link>}
 */
export async function startLink(address, target) {
  /** @type {Line} */
  let line = 'pass';
  let lateMs = 0;
  let bytesPerSecond = Infinity;
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set();
  const server = createServer((near) => {
    if (line === 'cut') {
      near.destroy();
      return;
    }
    const far = connect({ host: target.address, port: target.port });
    for (const [from, to] of /** @type {const} */ ([
      [near, far],
      [far, near],
    ])) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      let last = Promise.resolve();
      from.on('data', (/** @type {Buffer} */ data) => {
        if (line === 'stall') return;
        if (bytesPerSecond < Infinity) {
          from.pause();
          void trickle(to, data, bytesPerSecond).then(() => from.resume());
          return;
        }
        if (lateMs === 0) {
          to.write(data);
          return;
        }
        const due = sleep(lateMs);
        last = last.then(() => due).then(() => void to.write(data));
      });
    }
  });
  const port = await listen(server, address);
  return {
    address,
    port,
    set: (wanted) => {
      line = wanted;
      if (wanted === 'cut') for (const socket of sockets) socket.destroy();
    },
    delay: (ms) => {
      lateMs = ms;
    },
    narrow: (rate) => {
      bytesPerSecond = rate;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/**
 * @param {string} address to listen on
 * @param {string} registry ADDRESS:PORT
 * @returns {Promise<RegistryProxy>}
 */
export async function startRegistryProxy(address, registry) {
  /** @type {Answer} */
  let answer = 'pass';
  /** @type {string[]} */
  const asked = [];
  const server = createHttpServer((incoming, outgoing) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    const now = answer;
    if (now === 'refuse') {
      incoming.socket.destroy();
      return;
    }
    if (now === 'hang') return;
    if (typeof now === 'number') {
      const headers = now === 401 ? { 'WWW-Authenticate': 'Basic realm="testbed"' } : {};
      outgoing.writeHead(now, { 'Content-Type': 'application/json', ...headers });
      outgoing.end(JSON.stringify({ errors: [{ code: 'DENIED', message: `fault ${now}` }] }));
      return;
    }
    const forward = () => {
      const { method, url, headers } = incoming;
      const onward = request(new URL(url ?? '/', `http://${registry}`), {
        method,
        agent: false,
        headers: { ...headers, host: registry },
      });
      onward.on('response', (response) => {
        outgoing.writeHead(response.statusCode ?? 502, response.headers);
        response.pipe(outgoing);
      });
      onward.on('error', () => outgoing.destroy());
      incoming.pipe(onward);
    };
    if (now === 'pass') forward();
    else setTimeout(forward, now.slowMs);
  });
  server.on('connection', (socket) => {
    if (answer === 'refuse') socket.destroy();
  });
  const port = await listen(server, address);
  return {
    host: `${address}:${port}`,
    set: (wanted) => {
      answer = wanted;
      if (wanted === 'refuse') server.closeAllConnections();
    },
    asked: () => asked,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
