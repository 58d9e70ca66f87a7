/**
 * Looks over the stack files as the user wrote them, for what Swarm ignores, what an engine in this
 * swarm does not know, and what makes a rolling update dangerous. Changes nothing.
 */
import { RULE_IDS, RULES, type Level, type RuleId } from './catalog.js';
import { registryOf, type LintLogin } from './credentials.js';
import type { Field } from './field.js';
import { networksThatDiffer, type LintNetwork } from './networks.js';
import { CHECKS, NEED_NODES, type LintNode } from './rules.js';
import { readService, type LintService } from './service.js';
import type { Position } from '../errors.js';

/** One thing found. */
export interface Finding {
  readonly id: RuleId;
  readonly level: Level;
  readonly message: string;
  readonly file: string;
  readonly line: number | null;
  /** As the files name it; '' for what is none. */
  readonly service: string;
  /** What to do about it. */
  readonly mend: string;
}

export interface LintRequest {
  /** All files at once. */
  readonly files: Field | undefined;
  /** Those that are deployed. */
  readonly services: ReadonlySet<string>;
  /** Nodes that are up and take tasks; undefined where they are not known. */
  readonly nodes: readonly LintNode[] | undefined;
  readonly stack: string;
  /** Those of the stack that are there; none where they are not known. */
  readonly networks: readonly LintNetwork[];
  /** Logins that expire and that the nodes get. */
  readonly logins: readonly LintLogin[];
  /** The `lint-ignore` input. */
  readonly ignore: readonly RuleId[];
  /** The rules that go by the files alone, or those that ask for the nodes; all where it is not told. */
  readonly part?: 'files' | 'nodes';
}

/** All findings, by file and line. */
export function lint(request: LintRequest): readonly Finding[] {
  const { files, services, nodes, logins, ignore, part } = request;
  const active = RULE_IDS.filter(
    (id) =>
      !ignore.includes(id) && (part === undefined || NEED_NODES.has(id) === (part === 'nodes')),
  );
  const read = [...(files?.get('services')?.entries ?? [])]
    .filter(([name, field]) => services.has(name) && field.isMap)
    .map(([name, field]) => readService(name, field));
  const volumes = files?.get('volumes')?.entries ?? new Map<string, Field>();
  const findings = read.flatMap((service) =>
    active.flatMap((id) =>
      id === 'expiring-credentials' || id === 'network-stays'
        ? []
        : CHECKS[id](service, { nodes, volumes }).map(({ text, position }) =>
            finding(id, service.name, text, position),
          ),
    ),
  );
  if (active.includes('network-stays'))
    findings.push(
      ...networksThatDiffer(files, request.stack, request.networks).map(({ text, position }) =>
        finding('network-stays', '', text, position),
      ),
    );
  if (active.includes('expiring-credentials')) findings.push(...expiring(read, logins));
  return findings.sort(byPlace);
}

/** As a reader of the files comes by them. */
export const byPlace = (a: Finding, b: Finding): number =>
  (a.file === b.file ? 0 : a.file < b.file ? -1 : 1) ||
  (a.line ?? 0) - (b.line ?? 0) ||
  RULE_IDS.indexOf(a.id) - RULE_IDS.indexOf(b.id);

function finding(id: RuleId, service: string, text: string, { file, line }: Position): Finding {
  const { group, level, reason, mend } = RULES[id];
  // Where a mend follows, a full stop comes with it.
  const why = group === 'Ignored by Swarm' ? `. ${reason.replace(/\.$/, '')}` : '';
  const message = `${service === '' ? '' : `service ${service}: `}${text}${why}`;
  return { id, level, message, file, line: line ?? null, service, mend };
}

/** One for each login, at the first image that is pulled with it. */
function expiring(
  services: readonly LintService[],
  logins: readonly LintLogin[],
): readonly Finding[] {
  return logins.flatMap(({ registry, expires }) => {
    const users = services.flatMap(({ name, field }) => {
      const image = field.get('image');
      return image?.text !== undefined && registryOf(image.text) === registryOf(`${registry}/`)
        ? [{ name, image }]
        : [];
    });
    const [first] = users;
    if (first === undefined) return [];
    const others = users.length === 1 ? '' : `, as ${users.length - 1} more do`;
    const text =
      `it pulls from ${registry === '' ? 'Docker Hub' : registry}${others}, where the login is ${expires}: ` +
      'a node that has to pull the image later cannot';
    return [finding('expiring-credentials', first.name, text, first.image.position)];
  });
}

const WEIGHT = {
  'Dangers to a rolling update': 0,
  'Depends on the engine': 1,
  'Ignored by Swarm': 2,
} as const;

/**
 * The findings that are worth one of the few annotations of a step: of each level at most `limits`, the
 * first of every rule before the second of any.
 */
export function mostImportant(
  findings: readonly Finding[],
  limits: Readonly<Record<Level, number>>,
): ReadonlySet<Finding> {
  const seen = new Map<RuleId, number>();
  const ranked = findings.map((each) => {
    const turn = seen.get(each.id) ?? 0;
    seen.set(each.id, turn + 1);
    return { each, turn };
  });
  ranked.sort((a, b) => a.turn - b.turn || weight(a.each) - weight(b.each));
  const chosen = (level: Level): readonly Finding[] =>
    ranked.flatMap(({ each }) => (each.level === level ? [each] : [])).slice(0, limits[level]);
  return new Set([...chosen('warning'), ...chosen('notice')]);
}

const weight = ({ id }: Finding): number => WEIGHT[RULES[id].group];

/** Where it is, as `compose.yaml:12`. */
export const placeOf = ({ file, line }: Finding): string =>
  line === null ? file : `${file}:${line}`;
