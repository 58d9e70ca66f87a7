/**
 * A docker CLI for hosts that have none: the commands of a deploy, and an Engine API with one stack
 * of one service. It plays what `play.json` in FAKE_DOCKER says, and writes down in `calls.log` how
 * it was called.
 */
import { appendFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Duplex } from 'node:stream';
import { join } from 'node:path';
import { bodyOf, Configs } from '../../scripts/bench/configs.mjs';

/**
 * @typedef {object} Play
 * @property {string} [version] of CLI and engine
 * @property {boolean} [worker] the node is no manager
 * @property {string} [loginError] what a registry says to a login that fails
 * @property {string} [deployOutput] what `docker stack deploy` prints
 * @property {string} [deployError] what it says when it fails
 * @property {string} [image] of the service
 * @property {string} [taskState] of its task; 'running' unless told
 * @property {string} [taskError]
 * @property {string} [hostname] of the node
 */

const directory = process.env['FAKE_DOCKER'] ?? '';
const argv = process.argv.slice(2);
/** @type {Play} */
const play = JSON.parse(readFileSync(join(directory, 'play.json'), 'utf8'));
appendFileSync(join(directory, 'calls.log'), `${JSON.stringify(argv)}\n`);

const mark = (/** @type {string} */ name) => writeFileSync(join(directory, name), '');
const isMarked = (/** @type {string} */ name) => existsSync(join(directory, name));

/** @param {string} path */
function get(path) {
  const live = isMarked('deployed') && !isMarked('removed');
  const time = '2026-01-02T03:04:05.000000006Z';
  const state = play.taskState ?? 'running';
  switch (path.replace(/^\/v[\d.]+/, '')) {
    case '/version':
      return { Version: play.version ?? '28.5.1', ApiVersion: '1.51' };
    case '/info':
      return {
        Name: play.hostname ?? 'host1',
        Swarm: { ControlAvailable: play.worker !== true, LocalNodeState: 'active' },
      };
    case '/nodes':
      return [
        {
          ID: 'node1',
          Spec: { Role: 'manager', Availability: 'active' },
          Description: { Hostname: play.hostname ?? 'host1' },
          Status: { State: 'ready' },
        },
      ];
    case '/services':
    case '/services/service1': {
      const services = live
        ? [
            {
              ID: 'service1',
              // Every deploy writes it.
              Version: { Index: 10 + statSync(join(directory, 'deployed')).size },
              Spec: {
                Name: 'shop_api',
                Labels: {},
                TaskTemplate: {
                  ContainerSpec: { Image: play.image ?? `example/api:v1@sha256:${'0'.repeat(64)}` },
                },
                Mode: { Replicated: { Replicas: 1 } },
              },
            },
          ]
        : [];
      return path.endsWith('service1') ? services[0] : services;
    }
    case '/tasks': {
      const failed = state === 'failed' || state === 'rejected';
      return live
        ? [
            {
              ID: 'task1',
              CreatedAt: time,
              ServiceID: 'service1',
              Slot: 1,
              NodeID: 'node1',
              DesiredState: failed ? 'shutdown' : 'running',
              Spec: { ContainerSpec: {} },
              Status: {
                State: state,
                Timestamp: time,
                Err: play.taskError,
                ContainerStatus: { ExitCode: failed ? 1 : 0 },
              },
            },
          ]
        : [];
    }
    default:
      return [];
  }
}

function serveEngine() {
  const configs = new Configs();
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://docker');
    const path = url.pathname.replace(/^\/v[\d.]+/, '');
    if (path.startsWith('/configs')) {
      const { method = '' } = request;
      const [status, value] = configs.answer(method, path, url.searchParams, await bodyOf(request));
      response.writeHead(status, { 'Content-Type': 'application/json' });
      response.end(value === '' ? '' : JSON.stringify(value));
      return;
    }
    if (path === '/auth') {
      const refusal = play.loginError;
      response.writeHead(refusal === undefined ? 200 : 500, { 'Content-Type': 'application/json' });
      response.end(
        JSON.stringify(refusal === undefined ? { IdentityToken: '' } : { message: refusal }),
      );
      return;
    }
    if (request.method === 'DELETE') mark('removed');
    const answer = request.method === 'GET' ? get(url.pathname) : {};
    response.writeHead(answer === undefined ? 404 : 200, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(answer ?? { message: 'no such service' }));
  });
  server.keepAliveTimeout = 0;
  const stream = Duplex.from({ readable: process.stdin, writable: process.stdout });
  stream.on('error', () => process.exit(0));
  process.stdin.once('end', () => process.exit(0));
  server.emit('connection', stream);
}

/** @param {string} error */
function fail(error) {
  process.stderr.write(`${error}\n`);
  process.exitCode = 1;
}

const words = argv.join(' ');
if (words === '--version')
  process.stdout.write(`Docker version ${play.version ?? '28.5.1'}, build 0\n`);
else if (words.includes('system dial-stdio')) serveEngine();
else if (words.includes('stack deploy')) {
  process.stdout.write(`${play.deployOutput ?? 'Creating service shop_api'}\n`);
  if (play.deployError === undefined) appendFileSync(join(directory, 'deployed'), '.');
  else fail(play.deployError);
} else fail(`docker: '${words}' is not a docker command.`);
