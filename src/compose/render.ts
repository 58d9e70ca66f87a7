/**
 * From the files of a user to what `docker stack deploy -c ... -c ...` gets on the manager:
 * variables filled in, files that the stack refers to attached, and nothing else touched. Docker's
 * own client merges the files and reads the YAML; every problem that it could only report from the
 * far side, or not at all, is found here with file and line.
 */
import { isMap } from 'yaml';
import { InvalidInput, type Position, type Problem } from '../errors.js';
import { Attachments, type Attachment, type FileAccess } from './attachments.js';
import { checkConversion } from './conversion.js';
import { readDependsOn } from './depends-on.js';
import { Document, type NewerKey, type RenderedFile, type RenderSettings } from './document.js';
import { readMerge } from './merge.js';
import { externalsOf, positionsOf, unusedObjects, type External } from './objects.js';
import { orderOf, type Wave } from './order.js';
import { placesOf, type Places } from './places.js';
import { readProfiles } from './profiles.js';
import { withReplicas } from './replicas.js';
import { checkRefusals } from './refusals.js';
import { applyResets, type ParsedFile } from './reset.js';
import { decodeText, parseRoot, problemAt, type SourceFile } from './source.js';
import { NEVER_SET } from './splice.js';
import { subset } from './subset.js';
import { isNull } from './tree.js';
import { addedFile } from './translate.js';
import { viewServices, type ServiceView } from './view.js';
import { insertVersion } from './version.js';
import { fieldOf, type Field } from '../lint/field.js';

export { ATTACHMENTS_DIRECTORY, type Attachment, type FileContent } from './attachments.js';
export type { RenderedFile } from './document.js';
export type { External } from './objects.js';
export type { Need, Wave } from './order.js';
export type { SourceFile } from './source.js';
export type { ServiceView } from './view.js';

export interface RenderRequest extends RenderSettings, FileAccess {
  /** In the order in which Docker merges them. */
  readonly files: readonly SourceFile[];
  /** The Compose profiles that are asked for; none where there is no input. */
  readonly profiles?: readonly string[];
}

export interface RenderedStack {
  readonly files: readonly RenderedFile[];
  readonly attachments: readonly Attachment[];
  readonly services: ReadonlyMap<string, ServiceView>;
  /** The services in the order in which `depends_on` has them deployed. */
  readonly waves: readonly Wave[];
  readonly networks: readonly string[];
  readonly volumes: readonly string[];
  readonly configs: readonly string[];
  readonly secrets: readonly string[];
  /** Where configs and secrets stand in the user's files, by `configs.KEY` and `secrets.KEY`. */
  readonly objectPositions: ReadonlyMap<string, Position>;
  /** What services use and the files do not make. */
  readonly externals: readonly External[];
  /** The `version:` of the files; undefined if none has one. A file added to them must have it too. */
  readonly composeVersion: string | undefined;
  /**
   * Variables that Docker's client must not find in its environment on the manager: it would put
   * their values where the files leave a container's variable empty or unset (docker/cli,
   * loader.go, updateEnvironment). Sorted.
   */
  readonly mustBeUnset: readonly string[];
  readonly warnings: readonly Problem[];
  /** Keys that older clients must do without; see `forClient`. */
  readonly newer: readonly NewerKey[];
  /** What older clients refuse, and nothing stands in for; see `forClient`. */
  readonly demands?: readonly NewerKey[];
  /** What else was done to the files that somebody may want to know. */
  readonly notes: readonly Problem[];
  /**
   * What the user wrote, variables filled in, for the lint. Handed over once: the documents behind it are
   * many times larger than the files, and nothing else needs them.
   */
  readonly written: () => Field | undefined;
  /** Where in the user's files what fails has its place. */
  readonly places?: Places;
}

/** Nobody reads more, and a file of another kind can have a hundred thousand. */
const MAX_PROBLEMS = 200;

/**
 * Renders all files of a stack.
 * @throws InvalidInput with every problem of every file
 */
export function renderStack(request: RenderRequest): RenderedStack {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  let attachments = new Attachments(request);
  let documents: Document[] = [];
  const parsed: ParsedFile[] = [];
  for (const file of request.files) {
    const source = decodeText(file);
    if ('message' in source) {
      problems.push(source);
      continue;
    }
    const root = parseRoot(source);
    if (!isMap(root)) {
      problems.push(...root);
      continue;
    }
    parsed.push({ source, root });
  }
  const reset = applyResets(parsed);
  problems.push(...reset.problems);
  for (const { source, root } of reset.files) {
    documents.push(new Document(source, root, request, attachments));
  }
  const profiles = readProfiles(documents, request.profiles ?? []);
  const { leftOut } = profiles;
  let unused: ReadonlySet<string> = new Set();
  if (leftOut.size > 0) {
    attachments = new Attachments(request);
    unused = unusedObjects(fieldOf(documents), leftOut);
    const settings = { ...request, leftOut, unused };
    documents = documents.map(
      ({ source, tree }) => new Document(source, tree.root, settings, attachments),
    );
  }
  for (const document of documents) {
    problems.push(...document.problems);
    warnings.push(...document.warnings);
  }
  const views = viewServices(documents);
  const dependsOn = readDependsOn(documents, views);
  const included = <Each>(all: ReadonlyMap<string, Each>): ReadonlyMap<string, Each> =>
    new Map([...all].filter(([name]) => profiles.included.has(name)));
  const services = included(views);
  const order = orderOf(included(dependsOn.services), leftOut);
  for (const part of [profiles, dependsOn, order]) {
    problems.push(...part.problems);
    warnings.push(...part.warnings);
  }
  warnings.push(...attachments.warnings);
  warnings.push(...readMerge(documents, (name) => services.has(name)));
  const readable = documents.filter(({ tree }) => tree.problems.length === 0);
  if (readable.length === request.files.length) {
    const none = documents.every(({ tree }) => {
      const written = tree.get(tree.root, 'services');
      return isNull(written) || (isMap(written) && tree.entries(written).size === 0);
    });
    if (none) {
      const [first] = documents;
      problems.push(
        problemAt({ file: first?.source.path ?? '' }, 'there is no service in `services:`', {
          hint: 'A stack has at least one service with an `image:`.',
        }),
      );
    } else if (services.size === 0 && leftOut.size > 0) {
      problems.push(allLeftOut(documents, leftOut));
    }
    problems.push(...versionConflicts(documents));
    if (problems.length === 0) problems.push(...imageless(services.values()));
  }
  const written = fieldOf(documents);
  const isWhole =
    readable.length === request.files.length && documents.every(({ hasFaults }) => !hasFaults);
  const conversion = isWhole ? checkConversion(written, (name) => services.has(name)) : undefined;
  if (conversion !== undefined) {
    // Of what is wrong with a line already, they would only say what follows from it.
    const told = new Set(problems.map(lineOf));
    problems.push(
      ...[
        ...conversion.problems,
        ...checkRefusals(written, request.stack, (name) => services.has(name)),
      ].filter((problem) => !told.has(lineOf(problem))),
    );
  }
  if (problems.length > MAX_PROBLEMS) {
    const message = `${problems.length - MAX_PROBLEMS} more problems like these`;
    problems.splice(MAX_PROBLEMS, Infinity, { reason: 'compose-invalid', message });
  }
  const [problem, ...more] = withExcerpts(problems, parsed);
  if (problem !== undefined) throw new InvalidInput([problem, ...more]);

  const composeVersion = documents.find((document) => document.version !== undefined)?.version;
  const names = (section: string): string[] =>
    [
      ...new Set(
        documents.flatMap(({ tree }) => [...tree.entries(tree.get(tree.root, section)).keys()]),
      ),
    ].filter((name) => !unused.has(`${section}.${name}`));
  const mustBeUnset = new Set([NEVER_SET, ...attachments.empty]);
  for (const document of documents) document.empty.forEach((name) => mustBeUnset.add(name));
  const all = [
    ...labelsFile(documents, composeVersion),
    ...documents.flatMap((document, index) => document.rendered(index, composeVersion)),
  ];
  const files = leftOut.size === 0 ? all : subset(all, (name) => !leftOut.has(name));
  const toNothing = [...services].filter(([, view]) => view.goesToNothing === true);
  const stack: RenderedStack = {
    files,
    attachments: attachments.list,
    services,
    waves: order.waves,
    networks: names('networks'),
    volumes: names('volumes'),
    configs: names('configs'),
    secrets: names('secrets'),
    objectPositions: positionsOf(documents),
    externals: externalsOf(documents, written, (name) => services.has(name)),
    composeVersion,
    mustBeUnset: [...mustBeUnset].sort(),
    warnings,
    newer: documents.flatMap((document) => document.newerKeys()),
    demands: withExcerpts(conversion?.demands ?? [], parsed),
    notes: documents.flatMap((document) => document.notes),
    written: handedOver(written),
    places: placesOf(written),
  };
  return withReplicas(stack, new Map(toNothing.map(([name]) => [name, 0])));
}

const lineOf = ({ position }: Problem): string => `${position?.file ?? ''}:${position?.line ?? ''}`;

/** Gives a value once, and holds it no longer. */
export function handedOver<Value>(value: Value): () => Value | undefined {
  let left: Value | undefined = value;
  return () => {
    const given = left;
    left = undefined;
    return given;
  };
}

function imageless(services: Iterable<ServiceView>): readonly Problem[] {
  return [...services]
    .filter(({ image }) => image === undefined)
    .map(({ name, position }) =>
      problemAt(position, `the service ${name} has no \`image\``, {
        hint: 'Swarm builds nothing: build and push the image first, and name it here.',
      }),
    );
}

/** Shows the lines of the stack files that problems are in; other files may hold secrets. */
function withExcerpts<Each extends Problem>(
  problems: readonly Each[],
  files: readonly ParsedFile[],
): Each[] {
  const sources = new Map(files.map(({ source }) => [source.path, source]));
  return problems.map((problem) => {
    const { file = '', line, column } = problem.position ?? {};
    const source = sources.get(file);
    if (source === undefined || line === undefined || column === undefined) return problem;
    return { ...problem, excerpt: source.excerpt(source.offset(line, column)) };
  });
}

function allLeftOut(
  documents: readonly Document[],
  leftOut: ReadonlyMap<string, readonly string[]>,
): Problem {
  const known = [...new Set([...leftOut.values()].flat())].sort().join(', ');
  return problemAt(
    { file: documents[0]?.source.path ?? '' },
    'every service is left out: each has profiles, and none of them is asked for',
    { hint: `Name one in the input profiles: ${known}.` },
  );
}

/** Labels out of files go before everything, as those of the stack files win over them. */
function labelsFile(
  documents: readonly Document[],
  composeVersion: string | undefined,
): readonly RenderedFile[] {
  const services = new Map<string, Record<string, string>>();
  for (const document of documents)
    for (const [service, labels] of document.labels) {
      const texts = [...labels].map(([name, value]) => [name, document.written(value)] as const);
      services.set(service, { ...services.get(service), ...Object.fromEntries(texts) });
    }
  if (services.size === 0) return [];
  const text = addedFile(new Map([...services].map(([service, labels]) => [service, { labels }])));
  const versionAt = { offset: 0, before: '', after: '\n' };
  const file = { name: 'labels.yml', origin: '' };
  return [
    composeVersion === undefined
      ? { ...file, text, versionAt }
      : { ...file, text: insertVersion(text, versionAt, composeVersion) },
  ];
}

/** Docker takes the version of the first file and refuses any other (loader.go, Load). */
function versionConflicts(documents: readonly Document[]): readonly Problem[] {
  const written = documents.flatMap((document) => {
    const { tree, version } = document;
    const key = tree.entries(tree.root).get('version')?.key;
    return version === undefined || key === undefined
      ? []
      : [{ version, position: document.position(key) }];
  });
  const [first] = written;
  return written
    .filter(({ version }) => version !== first?.version)
    .map(({ version, position }) => {
      const { file = '', line = 0 } = first?.position ?? {};
      return problemAt(
        position,
        `\`version\` is ${version} here and ${first?.version ?? ''} in ${file}:${line}`,
        { hint: 'Give all files the same version, or leave it out of all but one.' },
      );
    });
}
