/**
 * The images of the benchmark: the example's API on this machine's own Node, and Debian's HAProxy.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { layerOfFiles } from '../../testbed/lib/images.mjs';
import { preparePackage } from '../../testbed/lib/packages.mjs';
import { must } from '../../testbed/lib/run.mjs';

const EXAMPLE = fileURLToPath(new URL('../../examples/server.mjs', import.meta.url));

/** How long the API takes from its start until it listens. */
export const WARM_UP_MS = 4000;

/** The good versions, in the order they are deployed. */
export const VERSIONS = /** @type {const} */ (['1.0.0', '1.1.0', '1.2.0']);
/** Starts, and answers every request with an error. */
export const BROKEN = '1.3.0';
/** As 1.0.0 and 1.1.0, but ends at once when it is asked to stop. */
export const HASTY = /** @type {const} */ (['1.0.0-hasty', '1.1.0-hasty']);

const BROKEN_SERVER = `import { createServer } from 'node:http';
process.once('SIGTERM', () => process.exit(0));
console.log('error: relation "orders" does not exist');
createServer((_, response) => {
  response.statusCode = 500;
  response.end('relation "orders" does not exist');
}).listen(8080);
`;

/**
 * @param {import('../../testbed/index.mjs').Testbed} testbed
 * @param {(line: string) => void} log
 * @returns {Promise<{ proxyVersion: string }>}
 */
export async function pushImages(testbed, log) {
  const directory = await preparePackage('haproxy', log);
  log('Making the images');
  const proxy = join(directory, 'usr/sbin/haproxy');
  await testbed.pushImage('proxy:1', {
    command: ['/usr/sbin/haproxy', '-W', '-db', '-f', '/usr/local/etc/haproxy/haproxy.cfg'],
    layers: [layerOfFiles(await program(proxy, 'usr/sbin/haproxy', directory))],
  });
  const node = layerOfFiles(await program(process.execPath, 'bin/node'));
  const server = readFileSync(EXAMPLE, 'utf8');
  const hasty = `process.once('SIGTERM', () => process.exit(0));\n${server}`;
  /** @type {[version: string, server: string][]} */
  const versions = [
    ...VERSIONS.map((version) => /** @type {[string, string]} */ ([version, server])),
    ...HASTY.map((version) => /** @type {[string, string]} */ ([version, hasty])),
    [BROKEN, BROKEN_SERVER],
  ];
  for (const [version, text] of versions) {
    await testbed.pushImage(`api:${version}`, {
      command: ['/bin/node', '/server.mjs'],
      layers: [node],
      files: { 'server.mjs': text },
      env: [`VERSION=${version}`, `WARM_UP_MS=${WARM_UP_MS}`],
    });
  }
  const says = await must([proxy, '-v'], { env: libraryPath(directory) });
  return { proxyVersion: /version (\d+\.\d+\.\d+)/.exec(says)?.[1] ?? '' };
}

/** @param {string} [directory] of unpacked packages */
function libraryPath(directory) {
  if (directory === undefined) return {};
  const libraries = join(directory, 'usr/lib');
  const own = readdirSync(libraries).filter((name) => /-linux-gnu\w*$/.test(name));
  return { LD_LIBRARY_PATH: own.map((name) => join(libraries, name)).join(':') };
}

/**
 * A program with all that it needs to start.
 * @param {string} path of it here
 * @param {string} name of it in the image
 * @param {string} [directory] of unpacked packages: where the libraries are that this machine does not have
 * @returns {Promise<[path: string, content: Buffer][]>}
 */
async function program(path, name, directory) {
  const env = { PATH: process.env['PATH'], ...libraryPath(directory) };
  const list = await must(['ldd', path], { env });
  const libraries = [...list.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map((match) => match[1] ?? '');
  return [
    [name, readFileSync(path)],
    ...libraries.map((library) => {
      const inside = directory === undefined ? library : library.replace(directory, '');
      return /** @type {[string, Buffer]} */ ([inside.replace(/^\//, ''), readFileSync(library)]);
    }),
  ];
}
