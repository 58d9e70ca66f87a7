/**
 * `mode: plan`: what a deploy of the same inputs would change. The manager's own `docker stack deploy`
 * runs on an engine that stands in for the real one: it reads the swarm as it is, and what it would write
 * is kept and compared. Nothing of the swarm is written, no lock is taken, and no revision is made.
 */
import type { RenderedStack } from '../compose/render.js';
import { deployStack } from '../deploy.js';
import { dockerArgv } from '../docker/cli.js';
import { parseJson } from '../docker/engine.js';
import type { Workspace } from '../docker/workspace.js';
import { DeployError } from '../errors.js';
import { at, referencesOf, type Service } from '../model.js';
import type { NetworkNames } from '../planning/canonical.js';
import { planOf, type Plan } from '../planning/difference.js';
import { openPassage, type Passage } from '../planning/passage.js';
import { openRelay, RELAY_HOST } from '../planning/relay.js';
import { StandIn, type Caught } from '../planning/stand-in.js';
import { planLines, planMessage } from '../report/plan.js';
import { safeLine } from '../report/text.js';
import type { Ending } from '../world.js';
import { forget, prepare, type Place } from './deploy.js';
import { settle, type Deployment } from './deployment.js';
import { fitToSwarm } from './fit.js';
import { tellNodeLint } from './lint.js';
import { rotate } from './rotate.js';

export async function showPlan(deployment: Deployment, rendered: RenderedStack): Promise<Ending> {
  const { world, inputs } = deployment;
  const { narrator } = world;
  const place: Place = { name: `swarm-deploy-${world.randomName()}`, managers: new Set<string>() };
  world.rememberWorkspace(place.name);
  let plan: Plan;
  try {
    // All of it is reading: after a lost connection it is done again.
    const fitted = await fitToSwarm(deployment, rendered);
    const named = await rotate(deployment, fitted, false);
    const nodes = await settle(deployment, (engine) => engine.nodes());
    const objects = await settle(deployment, (engine) => engine.stackObjects(inputs.stack));
    tellNodeLint(deployment, rendered, nodes.items, objects);
    // What a deploy would do in waves is the same in one.
    const stack = { ...named, waves: [{ services: [...named.services.keys()], needs: [] }] };
    plan = await settle(deployment, async () => {
      const workspace = await prepare(deployment, stack, place);
      const { caught, networks, unknownImages } = await narrator.group(
        'Ask Docker what it would write',
        () => catchWrites(deployment, stack, workspace),
      );
      for (const [image, words] of unknownImages)
        narrator.warn(
          `${safeLine(image)} is not to be had from its registry (${safeLine(words)}): ` +
            'a deploy would fail, unless the nodes have the image already',
        );
      return planOf(caught, { stack: inputs.stack, networks, prune: inputs.prune });
    });
  } finally {
    await forget(deployment, place);
  }
  for (const { name, fields } of plan.services)
    for (const { field, before, after } of fields)
      if (field === 'deploy.mode')
        narrator.warn(
          `${name} is ${before ?? ''} and would become ${after ?? ''}: Swarm refuses that, and the deploy would fail; ` +
            'remove the service first, or give it another name',
        );
  narrator.block(`Plan for ${inputs.stack}`, planLines(plan));
  return { outcome: 'planned', reason: '', message: planMessage(plan), fate: 'untouched', plan };
}

/**
 * @throws DeployError where Docker refuses the files
 * @throws ConnectionLost
 */
async function catchWrites(
  { session, inputs, world }: Deployment,
  rendered: RenderedStack,
  workspace: Workspace,
): Promise<{
  readonly caught: Caught;
  readonly networks: NetworkNames;
  readonly unknownImages: ReadonlyMap<string, string>;
}> {
  const { narrator } = world;
  const { transport } = session;
  const real = openPassage(() => transport.open(dockerArgv(inputs.docker, 'system', 'dial-stdio')));
  const standIn = new StandIn(real.passage);
  try {
    const relay = await openRelay(transport, workspace, (stream, used) =>
      standIn.connect(stream, used),
    );
    try {
      const { failure } = await deployStack(
        { transport: relay.transport, cliVersion: session.cliVersion },
        {
          // The engine that it speaks with is this process: no right of the manager's is needed for that.
          inputs: { ...inputs, docker: { sudo: false, host: RELAY_HOST } },
          rendered,
          workspace: () => workspace,
          mayWrite: () => Promise.resolve(),
          wasWritten: (loss) => Promise.reject(loss),
        },
        {
          ...world,
          narrator: { ...narrator, say: (text) => isProgress(text) || narrator.say(text) },
        },
      );
      if (standIn.loss !== undefined) throw standIn.loss;
      if (standIn.refused !== undefined)
        throw new DeployError(
          'internal',
          'failed',
          `the Docker CLI asked for what a plan has no answer to: ${standIn.refused}`,
          { hint: 'Please report it, with the version of Docker on the manager.' },
        );
      if (failure !== undefined)
        throw new DeployError(failure.reason, 'invalid', failure.message, { hint: failure.hint });
      const { caught, unknownImages } = standIn;
      return { caught, unknownImages, networks: await networkNames(real.passage, caught.live) };
    } finally {
      relay.close();
    }
  } finally {
    real.close();
  }
}

/**
 * One by one: the swarm's own `bridge` and `host` are in no list (tried, 20.10 and 28.5).
 * @throws ConnectionLost
 */
async function networkNames(passage: Passage, live: readonly Service[]): Promise<NetworkNames> {
  const ids = live.flatMap(({ Spec }) =>
    referencesOf(Spec).flatMap(({ kind, id }) => (kind === 'network' ? [id] : [])),
  );
  const names = new Map<string, string>();
  for (const id of new Set(ids)) {
    const { status, body } = await passage('GET', `/networks/${encodeURIComponent(id)}`, {});
    const name = status === 200 ? at(parseJson(body.toString('utf8')), 'Name') : undefined;
    if (typeof name === 'string') names.set(id, name);
  }
  return names;
}

/** What the CLI says it does, and does not. */
const isProgress = (text: string): boolean =>
  /^docker: (Creating|Updating|Removing) (network|config|secret|service) /.test(text) ||
  /^docker: (Since|In a future release,) --detach=false/.test(text);
