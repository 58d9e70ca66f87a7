/**
 * A host for whole runs of the bundle: `docker` on its PATH speaks with a `FakeSwarm` in this
 * process, on the time of the machine.
 */
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { FakeSwarm } from './fake-swarm.js';

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const STEP_MS = 20;

interface Declared {
  readonly secrets?: Readonly<Record<string, { file?: string; name?: string }>>;
}

export interface SwarmHost {
  readonly swarm: FakeSwarm;
  /** Of commands on it. */
  readonly env: Record<string, string>;
  /** What the secrets of the swarm hold, by name. */
  readonly secrets: ReadonlyMap<string, string>;
  /** What runs left in the directory for temporary files. */
  left(): readonly string[];
  close(): Promise<void>;
}

/** @param ends services, by full name, whose tasks end well and are not started again */
export async function startSwarmHost(ends: readonly string[] = []): Promise<SwarmHost> {
  const home = mkdtempSync(join(tmpdir(), 'swarm-deploy-host-'));
  for (const name of ['bin', 'tmp', 'docker']) mkdirSync(join(home, name));
  const socketPath = join(home, 'swarm.sock');
  const docker = join(home, 'bin', 'docker');
  const node = (...words: string[]): string =>
    `exec "${process.execPath}" ${words.map((word) => `"${word}"`).join(' ')} "$@"`;
  writeFileSync(
    docker,
    `#!/bin/sh
case "$*" in *ssh://*) ${node(script('planning-docker.mjs'))} ;; esac
${node(script('swarm-host-docker.mjs'), socketPath)}
`,
  );
  chmodSync(docker, 0o755);

  const swarm = new FakeSwarm();
  swarm.advance(Date.now() - swarm.clock.now());
  swarm.onStep = () => {
    endTasks(swarm, ends);
  };
  swarm.afterServiceWritten = (name) => {
    if (ends.includes(name)) neverRestart(swarm, name);
    return undefined;
  };
  const ticking = setInterval(() => {
    swarm.advance(Math.max(STEP_MS, Date.now() - swarm.clock.now()));
  }, STEP_MS);

  const secrets = new Map<string, string>();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    void serve(socket, swarm, secrets);
  });
  server.listen(socketPath);
  await once(server, 'listening');

  return {
    swarm,
    secrets,
    env: {
      PATH: `${join(home, 'bin')}:${process.env['PATH'] ?? ''}`,
      HOME: home,
      TMPDIR: join(home, 'tmp'),
      FAKE_DOCKER: join(home, 'docker'),
    },
    left: () => readdirSync(join(home, 'tmp')),
    async close() {
      clearInterval(ticking);
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
      rmSync(home, { recursive: true, force: true });
    },
  };
}

async function serve(
  socket: Socket,
  swarm: FakeSwarm,
  secrets: Map<string, string>,
): Promise<void> {
  const argv = JSON.parse(await firstLine(socket)) as string[];
  if (argv.includes('dial-stdio')) {
    const api = swarm.dial();
    socket.pipe(api).pipe(socket);
    socket.once('close', () => api.destroy());
    return;
  }
  for (const path of filesOf(argv)) takeOver(path, argv.at(-1) ?? '', swarm, secrets);
  const { code, stdout, stderr } = swarm.run(['docker', ...argv], {});
  socket.end(JSON.stringify({ code, stdout: String(stdout), stderr: String(stderr) }));
}

/** Reads to the end of the first line, and leaves the rest in the stream, paused. */
function firstLine(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let seen = Buffer.alloc(0);
    const take = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk]);
      const end = seen.indexOf('\n');
      if (end < 0) return;
      socket
        .off('data', take)
        .pause()
        .unshift(seen.subarray(end + 1));
      resolve(seen.toString('utf8', 0, end));
    };
    socket.on('data', take);
  });
}

const filesOf = (argv: readonly string[]): readonly string[] =>
  argv.filter((_, index) => argv[index - 1] === '--compose-file');

/** A stack file on the host's disk for the swarm's own `stack deploy`; and the secrets it declares. */
function takeOver(
  path: string,
  stack: string,
  swarm: FakeSwarm,
  secrets: Map<string, string>,
): void {
  // Values that Docker casts are defaults of variables that are never set.
  const text = readFileSync(path, 'utf8').replace(/"?\$\{\w+:-([^}]*)\}"?/g, '$1');
  swarm.disk.set(path, Buffer.from(text));
  const { secrets: declared = {} } = parse(text, {
    logLevel: 'silent',
  }) as Declared;
  for (const [key, { file, name }] of Object.entries(declared)) {
    const full = name ?? `${stack}_${key}`;
    if (name !== undefined) swarm.addObject('secret', stack, full);
    const content = file === undefined ? undefined : resolve(dirname(path), file);
    if (content !== undefined && existsSync(content))
      secrets.set(full, readFileSync(content, 'utf8'));
  }
}

function neverRestart(swarm: FakeSwarm, name: string): void {
  const { Spec } = swarm.byName(name);
  Object.assign(Spec['TaskTemplate'] as object, { RestartPolicy: { Condition: 'none' } });
}

/** Tasks of these that run have ended well, and none takes their place. */
function endTasks(swarm: FakeSwarm, names: readonly string[]): void {
  for (const { ID, Spec } of swarm.services.values()) {
    if (!names.includes(Spec.Name)) continue;
    const mine = swarm.tasks.filter((task) => task.ServiceID === ID);
    for (const task of mine)
      if (task.Status.State === 'running')
        Object.assign(task, { DesiredState: 'shutdown' }).Status.State = 'complete';
    if (mine.some(({ Status }) => Status.State === 'complete'))
      swarm.tasks = swarm.tasks.filter(
        (task) => task.ServiceID !== ID || task.Status.State === 'complete',
      );
  }
}
