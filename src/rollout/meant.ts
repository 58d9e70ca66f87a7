/**
 * What a service was to become that Swarm has rolled back before anybody could look: on a busy machine
 * `stack deploy` takes longer to end than a task takes to fail (seen on 20.10).
 */
import { EngineError, type Engine } from '../docker/engine.js';
import type { Service, ServiceSpec, Snapshot } from '../model.js';
import { takenBack } from '../plan.js';

/**
 * Swarm's own rollback leaves the spec that it gave up nowhere but in the tasks that were made from it.
 * @param live the stack's services after `stack deploy`
 * @returns by the id of the service; one is missing where no such task is left
 */
export async function meantSpecs(
  engine: Engine,
  before: Snapshot,
  live: readonly Service[],
): Promise<ReadonlyMap<string, ServiceSpec>> {
  const services = takenBack(before, live);
  const meant = new Map<string, ServiceSpec>();
  if (services.length === 0) return meant;
  const known = new Set(before.tasks.map(({ ID }) => ID));
  try {
    const scope = { services: services.map(({ ID }) => ID) };
    const { items: tasks } = await engine.tasks(scope);
    // Those of the way back.
    for (const id of await engine.upToDate(scope)) known.add(id);
    for (const { ID, Spec } of services) {
      const task = tasks.find((each) => each.ServiceID === ID && !known.has(each.ID));
      const TaskTemplate = task && (await engine.taskTemplate(task.ID));
      if (TaskTemplate !== undefined) meant.set(ID, { ...Spec, TaskTemplate });
    }
  } catch (error) {
    // A service that is gone: the watch says so.
    if (!(error instanceof EngineError) || error.passes) throw error;
  }
  return meant;
}
