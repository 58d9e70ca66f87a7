/**
 * `docker stack deploy` as a plan has the CLI run it: speaks with an engine through the `ssh` on its PATH,
 * as docker/cli's connhelper does. Writes down every answer in `answers.log` of FAKE_DOCKER.
 */
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { Duplex } from 'node:stream';
import { join } from 'node:path';

const directory = process.env['FAKE_DOCKER'] ?? '';
const host = new URL(process.argv[process.argv.indexOf('--host') + 1] ?? '').host;
const words = ['-o', 'ConnectTimeout=30', '-T', '--', host, 'docker', 'system', 'dial-stdio'];
const ssh = spawn('ssh', words, { stdio: ['pipe', 'pipe', 'inherit'] });
const stream = Duplex.from({ readable: ssh.stdout, writable: ssh.stdin });
const same = () => stream;
Object.assign(stream, {
  setTimeout: same,
  setNoDelay: same,
  setKeepAlive: same,
  ref: same,
  unref: same,
});
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
Object.assign(agent, { createConnection: () => stream });

/**
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<void>}
 */
const ask = (method, path, body) =>
  new Promise((resolve, reject) => {
    const sent = request(
      { agent, method, path: `/v1.51${path}`, headers: { Host: 'docker' } },
      (answer) => {
        appendFileSync(join(directory, 'answers.log'), `${method} ${path} ${answer.statusCode}\n`);
        answer.resume().once('end', resolve);
      },
    );
    sent.once('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });

const image = `example/api:v2@sha256:${'b'.repeat(64)}`;
const spec = {
  Name: 'shop_api',
  Labels: {},
  TaskTemplate: { ContainerSpec: { Image: image, Env: ['TOKEN=canary-variable-4'] } },
  Mode: { Replicated: {} },
};
await ask('GET', '/info');
await ask('GET', '/services');
await ask('POST', '/services/service1/update?version=10', spec);
await ask('POST', '/secrets/create', { Name: 'shop_key', Data: 'Y2FuYXJ5' });
agent.destroy();
ssh.stdin.end();
process.exit(0);
