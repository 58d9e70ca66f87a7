/**
 * From the files of a user to what `docker stack deploy -c ... -c ...` gets on the manager:
 * variables filled in, files that the stack refers to attached, and nothing else touched. Docker's
 * own client merges the files and reads the YAML; every problem that it could only report from the
 * far side, or not at all, is found here with file and line.
 */
import { isMap } from 'yaml';
import { InvalidInput, type Problem } from '../errors.js';
import { Attachments, type Attachment, type FileAccess } from './attachments.js';
import { Document, type RenderedFile, type RenderSettings } from './document.js';
import { decodeText, parseRoot, problemAt, type SourceFile } from './source.js';
import { NEVER_SET } from './splice.js';
import { isNull } from './tree.js';
import { viewServices, type ServiceView } from './view.js';
import { fieldOf, type Field } from '../lint/field.js';

export { ATTACHMENTS_DIRECTORY, type Attachment, type FileContent } from './attachments.js';
export type { RenderedFile } from './document.js';
export type { SourceFile } from './source.js';
export type { ServiceView } from './view.js';

export interface RenderRequest extends RenderSettings, FileAccess {
  /** In the order in which Docker merges them. */
  readonly files: readonly SourceFile[];
}

export interface RenderedStack {
  readonly files: readonly RenderedFile[];
  readonly attachments: readonly Attachment[];
  readonly services: ReadonlyMap<string, ServiceView>;
  readonly networks: readonly string[];
  readonly volumes: readonly string[];
  readonly configs: readonly string[];
  readonly secrets: readonly string[];
  /** The `version:` of the files; undefined if none has one. A file added to them must have it too. */
  readonly composeVersion: string | undefined;
  /**
   * Variables that Docker's client must not find in its environment on the manager: it would put
   * their values where the files leave a container's variable empty or unset (docker/cli,
   * loader.go, updateEnvironment). Sorted.
   */
  readonly mustBeUnset: readonly string[];
  readonly warnings: readonly Problem[];
  /** What the user wrote, variables filled in, for the lint. */
  readonly written: Field | undefined;
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
  const attachments = new Attachments(request);
  const documents: Document[] = [];
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
    documents.push(new Document(source, root, request, attachments));
  }
  for (const document of documents) {
    problems.push(...document.problems);
    warnings.push(...document.warnings);
  }
  const services = viewServices(documents);
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
    }
    problems.push(...versionConflicts(documents));
  }
  if (problems.length > MAX_PROBLEMS) {
    const message = `${problems.length - MAX_PROBLEMS} more problems like these`;
    problems.splice(MAX_PROBLEMS, Infinity, { reason: 'compose-invalid', message });
  }
  const [problem, ...more] = problems;
  if (problem !== undefined) throw new InvalidInput([problem, ...more]);

  const composeVersion = documents.find((document) => document.version !== undefined)?.version;
  const names = (section: string): string[] => [
    ...new Set(
      documents.flatMap(({ tree }) => [...tree.entries(tree.get(tree.root, section)).keys()]),
    ),
  ];
  const mustBeUnset = new Set([NEVER_SET, ...attachments.empty]);
  for (const document of documents) document.empty.forEach((name) => mustBeUnset.add(name));
  return {
    files: documents.map((document, index) => document.rendered(index, composeVersion)),
    attachments: attachments.list,
    services,
    networks: names('networks'),
    volumes: names('volumes'),
    configs: names('configs'),
    secrets: names('secrets'),
    composeVersion,
    mustBeUnset: [...mustBeUnset].sort(),
    warnings,
    written: fieldOf(documents),
  };
}

/** Docker takes the version of the first file and refuses any other (loader.go, Load). */
function versionConflicts(documents: readonly Document[]): readonly Problem[] {
  const written = documents.filter((document) => document.version !== undefined);
  const [first] = written;
  return written
    .filter((document) => document.version !== first?.version)
    .map((document) =>
      problemAt(
        { file: document.source.path },
        `\`version\` is ${document.version ?? ''} here and ${first?.version ?? ''} in ${first?.source.path ?? ''}`,
        { hint: 'Give all files the same version, or leave it out of all but one.' },
      ),
    );
}
