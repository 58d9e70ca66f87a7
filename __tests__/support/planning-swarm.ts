/**
 * A Docker CLI for the fake swarm that speaks to whatever engine it is told to reach by `ssh://`, as a
 * plan has it do: the requests of `stack deploy`, one after the other.
 */
import { Agent, request } from 'node:http';
import { duplexPair, type Duplex } from 'node:stream';
import { formatJson, parseJson } from '../../src/docker/engine.js';
import { ConnectionLost } from '../../src/errors.js';
import { at, type Json, type JsonObject } from '../../src/model.js';
import { asSocket } from '../../src/planning/passage.js';
import { RELAY_HOST } from '../../src/planning/relay.js';
import type { Connect } from '../../src/session.js';
import type { CommandResult, Transport } from '../../src/transport/transport.js';
import { exits, ok, specOf, type FakeSwarm } from './fake-swarm.js';

/** Sends one request to the engine that the CLI was told to use. @throws Refusal */
export type Ask = (method: string, path: string, body?: Json) => Promise<Json>;

class Refusal extends Error {}

export interface PlanningCli {
  /** What the CLI asks before it writes services; a test may add to it. */
  extra: (ask: Ask) => Promise<void>;
  /** Relays that are held open on the manager now. */
  readonly held: () => number;
}

/** Has the swarm's managers run the scripts of a plan. */
export function givePlanningCli(swarm: FakeSwarm): PlanningCli {
  let waiting: Duplex[] = [];
  const streams = new Set<Duplex>();
  const cli: PlanningCli = { extra: () => Promise.resolve(), held: () => streams.size };
  const connect = swarm.connect;

  const wrapped = (transport: Transport): Transport => ({
    description: transport.description,
    close: () => transport.close(),
    open: async (argv) => {
      if (!argv.some((word) => word.includes('mkfifo'))) return await transport.open(argv);
      const [near, far] = duplexPair();
      for (const side of [near, far]) side.on('error', () => undefined);
      streams.add(near);
      near.once('close', () => {
        streams.delete(near);
        far.destroy();
        waiting = waiting.filter((other) => other !== far);
      });
      waiting.push(far);
      return near;
    },
    run: async (argv, options = {}) => {
      if (argv.some((word) => word.includes('/bin/ssh'))) {
        swarm.commands.push({ argv, input: '' });
        return ok();
      }
      const index = argv.indexOf('stack');
      if (index < 0 || !argv.includes(RELAY_HOST)) return await transport.run(argv, options);
      swarm.commands.push({ argv, input: '' });
      const instead = swarm.onCommand(argv);
      if (instead instanceof Error) throw instead;
      if (instead !== undefined) return instead;
      const stream = waiting.shift();
      if (stream === undefined) return exits(1, 'ssh: nobody is there');
      try {
        return await deploy(swarm, cli, argv.slice(index), stream);
      } finally {
        stream.destroy();
      }
    },
  });

  const planning: Connect = async (accept) => {
    let mine: Transport | undefined;
    await connect(async (transport) => {
      mine = wrapped(transport);
      await accept(mine);
    });
    return mine as Transport;
  };
  Object.assign(swarm, { connect: planning });
  return cli;
}

/** `docker stack deploy`, as far as the tests need it. */
async function deploy(
  swarm: FakeSwarm,
  cli: PlanningCli,
  words: readonly string[],
  stream: Duplex,
): Promise<CommandResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  Object.assign(agent, { createConnection: () => asSocket(stream) });
  const ask: Ask = (method, path, body) =>
    new Promise((resolve, reject) => {
      const sent = request(
        { agent, method, path: `/v1.51${path}`, headers: { Host: 'docker' } },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.once('error', reject);
          incoming.once('end', () => {
            const text = Buffer.concat(chunks).toString('utf8');
            if ((incoming.statusCode ?? 500) < 300) resolve(text === '' ? null : parseJson(text));
            else reject(new Refusal(`Error response from daemon: ${text}`));
          });
        },
      );
      sent.once('error', reject);
      sent.end(body === undefined ? undefined : formatJson(body));
    });
  const stack = words.at(-1) ?? '';
  const filters = `filters=${encodeURIComponent(
    JSON.stringify({ label: [`com.docker.stack.namespace=${stack}`] }),
  )}`;
  try {
    await ask('GET', '/info');
    const networks = (await ask('GET', `/networks?${filters}`)) as readonly Json[];
    if (!networks.some((network) => at(network, 'Name') === `${stack}_default`))
      await ask('POST', '/networks/create', {
        Name: `${stack}_default`,
        Labels: { 'com.docker.stack.namespace': stack },
      });
    await cli.extra(ask);
    const live = (await ask('GET', `/services?${filters}`)) as readonly JsonObject[];
    const services = swarm.servicesOf(words);
    if (!(services instanceof Map)) return services;
    for (const [short, service] of services) {
      const name = `${stack}_${short}`;
      const spec = specOf(stack, name, service);
      const former = live.find((each) => at(each, 'Spec', 'Name') === name);
      const id = former?.['ID'] as string | undefined;
      const version = Number(at(former, 'Version', 'Index') ?? 0);
      if (id === undefined) await ask('POST', '/services/create', spec);
      else await ask('POST', `/services/${id}/update?version=${version}`, spec);
    }
    return ok();
  } catch (error) {
    if (error instanceof Refusal) return exits(1, error.message);
    throw new ConnectionLost(`the command was lost: ${String(error)}`);
  } finally {
    agent.destroy();
  }
}
