/** Which revision runs: seen in the swarm, since people change services by hand, and runs get killed. */
import { sameJson, type Service, type ServiceSpec } from '../model.js';
import { templateOf, type OtherService, type SealedContent } from './content.js';
import type { History } from './history.js';
import { current, isGood, type Revision } from './revision.js';

/**
 * The revision whose services, and those beside them, have the task templates that are live: the one
 * that should run, if it is that, or else the newest good one whose whole stack it is. How many tasks
 * there are does not count, as people scale by hand.
 * @param live the services of the stack
 * @returns undefined where what runs is no revision's
 */
export function running(history: History, live: readonly Service[]): Revision | undefined {
  const specs = new Map(live.map(({ Spec }) => [Spec.Name, Spec]));
  const sealedOf = (revision: Revision): SealedContent | undefined => {
    const content = history.contentOf(revision.number);
    return content === 'incomplete' ? undefined : content.sealed;
  };
  const runs = ({ name, spec }: OtherService): boolean => {
    const now = specs.get(name);
    return now !== undefined && (spec === undefined || sameTemplate(now, spec));
  };
  const now = current(history.revisions);
  const sealed = now && sealedOf(now);
  // What came or went beside its services since then is not its own.
  if (sealed?.services.every(runs) === true)
    if (sealed.others.every((other) => !specs.has(other.name) || runs(other))) return now;
  return history.revisions.filter(isGood).find((revision) => {
    const whole = sealedOf(revision);
    if (whole === undefined) return false;
    const all = [...whole.services, ...whole.others];
    return all.length === specs.size && all.every(runs);
  });
}

const sameTemplate = (a: ServiceSpec, b: ServiceSpec): boolean =>
  sameJson(templateOf(a), templateOf(b));
