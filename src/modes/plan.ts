/**
 * `mode: plan`: what a deploy of the same inputs would change. The manager's own `docker stack deploy`
 * runs on an engine that stands in for the real one: it reads the swarm as it is, and what it would write
 * is kept and compared. Nothing of the swarm is written, no lock is taken, and no revision is made.
 */
import type { RenderedStack } from '../compose/render.js';
import { deployStack } from '../deploy.js';
import { dockerArgv } from '../docker/cli.js';
import type { Workspace } from '../docker/workspace.js';
import { DeployError } from '../errors.js';
import { planOf, type Plan } from '../planning/difference.js';
import { openPassage } from '../planning/passage.js';
import { openRelay, RELAY_HOST } from '../planning/relay.js';
import { StandIn, type Caught } from '../planning/stand-in.js';
import { planLines, planMessage } from '../report/plan.js';
import type { Ending } from '../world.js';
import { forget, prepare, type Place } from './deploy.js';
import { settle, type Deployment } from './deployment.js';

export async function showPlan(deployment: Deployment, rendered: RenderedStack): Promise<Ending> {
  const { world, inputs } = deployment;
  const { narrator } = world;
  const place: Place = { name: `swarm-deploy-${world.randomName()}`, managers: new Set<string>() };
  world.rememberWorkspace(place.name);
  let plan: Plan;
  try {
    // All of it is reading: after a lost connection it is done again.
    plan = await settle(deployment, async (engine) => {
      const workspace = await prepare(deployment, rendered, place);
      const caught = await narrator.group('Ask Docker what it would write', () =>
        catchWrites(deployment, rendered, workspace),
      );
      const networks = await engine.networks();
      return planOf(caught, {
        stack: inputs.stack,
        networks: new Map(networks.map(({ id, name }) => [id, name])),
        prune: inputs.prune,
      });
    });
  } finally {
    await forget(deployment, place);
  }
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
): Promise<Caught> {
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
          workspace,
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
      return standIn.caught;
    } finally {
      relay.close();
    }
  } finally {
    real.close();
  }
}

/** What the CLI says it does, and does not. */
const isProgress = (text: string): boolean =>
  /^docker: (Creating|Updating|Removing) (network|config|secret|service) /.test(text) ||
  /^docker: (Since|In a future release,) --detach=false/.test(text);
