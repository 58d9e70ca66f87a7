/**
 * Writes recorded specs over a stack. The very same spec is not written at all, so that what already
 * runs as it was recorded is not touched; but where Swarm has paused on the way to it.
 */
import type { Deployed } from '../deploy.js';
import { portHolder } from '../docker/cli.js';
import { EngineError, type Engine } from '../docker/engine.js';
import { imageOf, isPaused, referencesOf, sameJson, type ServiceSpec } from '../model.js';

/** A service as it was recorded. */
export interface RecordedService {
  /** In full, with the stack's. */
  readonly name: string;
  readonly spec: ServiceSpec;
}

/** Credentials for an image's registry, as the engine takes them, if there are any. */
export type AuthFor = (image: string) => string | undefined;

/**
 * What recorded services name by id and the swarm no longer has: each a line for people. A config or
 * secret that was made anew under its old name may hold something else, and is not the same.
 * @param networks the names of those that were there when the services were recorded, by id
 */
export async function missingFor(
  engine: Engine,
  services: readonly RecordedService[],
  networks: ReadonlyMap<string, string>,
): Promise<readonly string[]> {
  const live = {
    network: new Set((await engine.networks()).map(({ id }) => id)),
    config: await engine.objectIds('config'),
    secret: await engine.objectIds('secret'),
  };
  const missing = new Set<string>();
  for (const { name, spec } of services)
    for (const { kind, id, name: own } of referencesOf(spec)) {
      const known = kind === 'network' ? networks.get(id) : own;
      if (known !== undefined && !live[kind].has(id)) missing.add(`${kind} ${known} of ${name}`);
    }
  return [...missing];
}

const MAX_CONFLICTS = 20;

/** A port that a service has given up is free a moment later. */
const PORT_ATTEMPTS = 5;
const PORT_MS = 500;

/**
 * Creates what is not there and writes what differs. Repeatable: after a lost connection it goes on
 * where it was.
 * @param stack whose services they are
 * @param sleep milliseconds
 * @returns as `docker stack deploy`: a failure may have written some services all the same
 */
export async function applySpecs(
  engine: Engine,
  stack: string,
  services: readonly RecordedService[],
  authFor: AuthFor,
  log: (line: string) => void,
  sleep: (ms: number) => Promise<void>,
): Promise<Deployed> {
  const names = new Set(services.map(({ name }) => name));
  let attempts = PORT_ATTEMPTS;
  try {
    let left = services;
    while (left.length > 0) {
      const refused: { recorded: RecordedService; error: EngineError }[] = [];
      for (const recorded of left)
        try {
          await applySpec(engine, stack, recorded, authFor, log);
        } catch (error) {
          // Another one of these may have its port, as yet.
          if (!(error instanceof EngineError) || !names.has(portHolder(error.message) ?? ''))
            throw error;
          refused.push({ recorded, error });
        }
      const [first] = refused;
      if (first !== undefined && refused.length === left.length) {
        if (attempts === 0) throw first.error;
        attempts -= 1;
        await sleep(PORT_MS);
      }
      left = refused.map(({ recorded }) => recorded);
    }
    return { repeated: false };
  } catch (error) {
    if (!(error instanceof EngineError) || error.passes) throw error;
    const holder = portHolder(error.message);
    return {
      failure: {
        reason: 'deploy-refused',
        message: `the engine refused ${error.request}: ${error.message}`,
        hint:
          holder?.startsWith(`${stack}_`) === true && !names.has(holder)
            ? `${holder}, which the revision does not have, has the port, and goes only once everything else is well, which here it cannot be: docker service rm ${holder}, then run this again.`
            : 'What the revision needs may be gone from the swarm; deploy its files instead.',
      },
    };
  }
}

async function applySpec(
  engine: Engine,
  stack: string,
  { name, spec }: RecordedService,
  authFor: AuthFor,
  log: (line: string) => void,
): Promise<void> {
  const auth = authFor(imageOf(spec));
  for (let attempt = 1; ; attempt += 1) {
    const { items } = await engine.serviceList(stack);
    const live = items.find(({ Spec }) => Spec.Name === name);
    try {
      if (live === undefined) {
        log(`creating ${name}`);
        await engine.createService(spec, auth);
      } else if (!sameJson(live.Spec, spec) || isPaused(live)) {
        log(
          sameJson(live.Spec, spec)
            ? `${name} already has the recorded spec, but Swarm paused on the way to it: resuming`
            : `writing the recorded spec of ${name}`,
        );
        // The engine never shows credentials: those of the live spec are the newest there are.
        await engine.updateService(
          live.ID,
          live.Version.Index,
          spec,
          { registryAuthFrom: 'spec' },
          auth,
        );
      }
      return;
    } catch (error) {
      const conflict =
        error instanceof EngineError &&
        (error.status === 409 || /out of sequence/i.test(error.message));
      if (!conflict || attempt >= MAX_CONFLICTS) throw error;
    }
  }
}
