/**
 * One stack file on its way through: its variables are filled in, what it says about files,
 * environments and mounts is looked at, and the result is a list of edits to its text.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Alias,
  type Node,
  type Pair,
  type Scalar,
  type YAMLMap,
} from 'yaml';
import type { Position, Problem } from '../errors.js';
import { sanitised, type Attachments } from './attachments.js';
import { foreignDirective, hasForeignEscape } from './dialect.js';
import { interpolate, type Fault, type Interpolation, type Variables } from './interpolate.js';
import { problemAt, type Source } from './source.js';
import {
  applyEdits,
  movedOffset,
  quoted,
  rendered,
  replaceNode,
  setValue,
  type Edit,
} from './splice.js';
import { flowText, inlineAliases, outermost, removePairs, replaceCollection } from './structure.js';
import { addedFile, translate, type Added } from './translate.js';
import { plainType, readBoolean } from './spelling.js';
import { isNull, isTrue, Tree, type Entry } from './tree.js';
import { insertVersion, type VersionPlace } from './version.js';

/** What the files are rendered with. */
export interface RenderSettings {
  readonly stack: string;
  readonly variables: Variables;
  /** An unset variable is empty, with a warning, instead of a problem. */
  readonly allowUnset: boolean;
  /** Services that are not deployed: the files that they refer to may be missing. */
  readonly leftOut?: ReadonlyMap<string, unknown>;
  /** Configs and secrets that only such services use, as `configs.NAME` and `secrets.NAME`. */
  readonly unused?: ReadonlySet<string>;
}

export interface RenderedFile {
  /** Unique in the directory of the run, which attachments get a directory of their own in. */
  readonly name: string;
  readonly text: string;
  /** The path as the user gave it; '' where the file is none of the user's. */
  readonly origin: string;
  /** Where a `version:` would go; absent where the file has one. */
  readonly versionAt?: VersionPlace;
  /** What it is for clients before a major version; see `forClient`. Ascending. */
  readonly older?: readonly (Pick<RenderedFile, 'text' | 'versionAt'> & {
    readonly before: number;
  })[];
}

/** A key that clients before a major version refuse, as the warning that they get. */
export interface NewerKey extends Problem {
  readonly since: number;
}

/** Characters that variables may make of one file; Swarm takes 4 MiB for a whole service. */
const MAX_FILLED_IN = 4 * 1024 * 1024;

/** Faults of variables in one file; many more than are shown. */
const MAX_FAULTS = 1000;

const KINDS = { configs: 'config', secrets: 'secret' } as const;
/** An extension field that every client ignores, in place of the `name:` that all of them refuse. */
const RENAMED = 'x-swarm-deploy-name';

/** One stack file on its way through. */
export class Document {
  readonly tree: Tree;
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  /** Container variables that this file leaves empty. */
  readonly empty = new Set<string>();
  readonly version: string | undefined;
  readonly #values = new Map<Scalar, Interpolation>();
  /** Keys that are left out, with all that is under them. */
  readonly cut = new Set<Pair<Node, Node | null>>();
  /** Keys that only clients from a major version on take. */
  readonly newer = new Map<
    Pair<Node, Node | null>,
    { readonly path: string; readonly since: number }
  >();
  /** What is told without being a warning. */
  readonly notes: Problem[] = [];
  /** What services say in other words than Docker's, by their names. */
  readonly #added = new Map<string, Added>();
  /** What `label_file` gives services, by their names. */
  readonly labels = new Map<string, ReadonlyMap<string, string>>();
  /** Collections that become others, in flow style. */
  readonly #become = new Map<
    Node,
    { readonly holder: Entry['pair'] | undefined; readonly text: string }
  >();
  /** New text of scalars and aliases whose meaning, not just whose variables, is filled in. */
  readonly #replaced = new Map<Node | Pair<Node, Node | null>, string>();
  readonly #more: Edit[] = [];
  /** Whether variables could not be filled in, so that nothing can be said of the values with them. */
  hasFaults = false;
  #filled = 0;

  constructor(
    readonly source: Source,
    root: YAMLMap,
    readonly settings: RenderSettings,
    readonly attachments: Attachments,
  ) {
    this.tree = new Tree(source, root);
    this.#interpolate();
    // Structure that can't be trusted has been reported; what would be found in it is noise.
    if (this.tree.problems.length === 0) {
      this.version = this.#readVersion();
      this.#renameName();
      this.#readServices();
      this.#readObjects('configs');
      this.#readObjects('secrets');
      for (const [service, deploy] of translate(this)) this.#add(service, { deploy });
    }
    this.problems.push(...this.tree.problems);
    this.warnings.push(...this.tree.warnings);
  }

  /** The value of a scalar, variables filled in; undefined for anything else. */
  value(node: Node | null): string | undefined {
    const scalar = this.tree.resolve(node);
    if (!isScalar(scalar)) return undefined;
    return this.#values.get(scalar)?.value ?? String(scalar.value);
  }

  position(node: Node): Position {
    return this.source.position(node.range?.[0] ?? 0);
  }

  #add(service: string, added: Added): void {
    this.#added.set(service, { ...this.#added.get(service), ...added });
  }

  /**
   * The file for Docker, and one before it where keys of services have become others, which Docker
   * merges. Behind it, one of two ports that share a number would be lost; see `losesInMerge`.
   */
  rendered(index: number, composeVersion: string | undefined): readonly RenderedFile[] {
    const main = this.#main(index, composeVersion);
    if (this.#added.size === 0) return [main];
    const name = `${index}-deploy-${sanitised(this.source.path)}`;
    const text = addedFile(this.#added);
    const version = this.version ?? composeVersion;
    const versionAt = { offset: 0, before: '', after: '\n' };
    const file = { name, origin: this.source.path };
    return [
      version === undefined
        ? { ...file, text, versionAt }
        : { ...file, text: insertVersion(text, versionAt, version) },
      main,
    ];
  }

  /** Whether variables are filled in in a scalar. */
  isFilledIn(scalar: Scalar): boolean {
    return this.#values.get(scalar)?.used === 'variables';
  }

  /** A value of ours as Docker must find it, which interpolates once more. */
  written(value: string): string {
    return quoted(escaped(value));
  }

  /** Another collection in the place of the value of a key. */
  become({ site, pair }: Entry, text: string): void {
    if (site !== null && isAlias(site)) this.replace(site, text);
    else if (site !== null) this.#become.set(site, { holder: pair, text });
  }

  /** Something else in the place of a mapping in a list. */
  becomeItem(item: Node, text: string): void {
    if (isAlias(item)) this.replace(item, text);
    else this.#become.set(item, { holder: undefined, text });
  }

  /** What older clients than each key needs must do without; problems for `forClient`. */
  newerKeys(): readonly NewerKey[] {
    return [...this.newer].map(([{ key }, { path, since }]) => ({
      since,
      ...problemAt(
        this.position(key),
        `\`${path}\` is known to Docker's client from ${since} on, and left out for the one of the manager`,
      ),
    }));
  }

  #main(index: number, composeVersion: string | undefined): RenderedFile {
    const thresholds = [...new Set([...this.newer.values()].map(({ since }) => since))].sort(
      (a, b) => a - b,
    );
    const older = thresholds.map((before) => ({
      before,
      ...this.#text(index, composeVersion, before),
    }));
    const file = this.#text(index, composeVersion);
    return older.length === 0 ? file : { ...file, older };
  }

  /** @param before the major version that clients are older than */
  #text(index: number, composeVersion: string | undefined, before = 0): RenderedFile {
    const edits = this.#edits(before);
    const text = applyEdits(this.source.text, edits);
    const name = `${index}-${sanitised(this.source.path)}`;
    const file = { name, origin: this.source.path };
    if (this.version !== undefined) return { ...file, text };
    const flow = this.tree.root.flow === true;
    const start = this.tree.root.range?.[0] ?? 0;
    const line = this.source.text.lastIndexOf('\n', start - 1) + 1;
    const indent = /^[ ]*/.exec(this.source.text.slice(line, start))?.[0] ?? '';
    const versionAt = flow
      ? { offset: movedOffset(start + 1, edits), before: '"', after: ', ' }
      : { offset: movedOffset(line, edits), before: indent, after: '\n' };
    // Docker refuses files of different versions: those without one take that of the others.
    if (composeVersion === undefined) return { ...file, text, versionAt };
    return { ...file, text: insertVersion(text, versionAt, composeVersion) };
  }

  #interpolate(): void {
    const { allowUnset, stack } = this.settings;
    // The Compose specification makes the project's name known to the files.
    const variables = this.settings.variables.has('COMPOSE_PROJECT_NAME')
      ? this.settings.variables
      : new Map([...this.settings.variables, ['COMPOSE_PROJECT_NAME', stack]]);
    const name = this.tree.entries(this.tree.root).get('name')?.value;
    for (const scalar of this.tree.values) {
      const result = interpolate(String(scalar.value), variables);
      if (result.used === 'none') continue;
      if (!this.#mayFill(result.value, scalar)) break;
      this.#values.set(scalar, result);
      if (scalar === name) continue; // never reaches Docker
      const [start = 0, end = 0] = scalar.range ?? [];
      let from = start;
      for (const fault of result.faults) {
        const found = this.source.text.indexOf(fault.expression, from);
        const at = found >= 0 && found < end ? found : start;
        if (found >= 0 && found < end) from = found + 1;
        const lenient = allowUnset && fault.kind === 'unset';
        const list = lenient ? this.warnings : this.problems;
        this.hasFaults ||= !lenient;
        if (list.length >= MAX_FAULTS) continue;
        list.push(
          this.source.problem(at, lenient ? `${fault.message}; it is empty` : fault.message, {
            reason: fault.kind === 'malformed' ? 'compose-invalid' : 'variable-unset',
            ...(lenient ? {} : { hint: faultHint(fault) }),
          }),
        );
      }
    }
  }

  #readVersion(): string | undefined {
    const entry = this.tree.entries(this.tree.root).get('version');
    if (entry === undefined) return undefined;
    const version = this.value(entry.value) ?? '';
    const at = entry.site ?? entry.key;
    const number =
      isScalar(entry.value) && entry.value.type === 'PLAIN' && /^[0-9.]+$/.test(version);
    if (number && entry.value.tag === undefined) {
      this.problem(at, '`version` must be a string', `Write version: "${version}", in quotes.`);
    } else if (!/^3(?:\.[0-9]+)?$/.test(version)) {
      this.problem(
        at,
        `\`version\` ${version} is none that Docker deploys a stack from`,
        'Swarm takes 3 to 3.13; newer Docker clients need no `version` at all.',
      );
    }
    return version;
  }

  /** All clients refuse the `name:` of modern Compose files; the stack has its name already. */
  #renameName(): void {
    const entry = this.tree.entries(this.tree.root).get('name');
    if (entry === undefined) return;
    const name = this.value(entry.value) ?? '';
    if (name !== this.settings.stack) {
      this.warnings.push(
        this.source.problem(
          entry.key.range?.[0] ?? 0,
          `\`name\` is ${name}, but the stack is deployed as ${this.settings.stack}`,
          { hint: 'The input `stack` decides; `name` is left out.' },
        ),
      );
    }
    // Renamed, not cut out: its value may carry an anchor, and it may stand in { } with commas.
    const [start = 0, end = 0] = entry.key.range ?? [];
    this.#more.push({ start, end, text: `"${RENAMED}"` });
  }

  #readServices(): void {
    const services = this.tree.entries(this.tree.root).get('services');
    if (services === undefined || isNull(services.value)) return;
    if (!isMap(services.value)) {
      this.problem(services.site ?? services.key, '`services` must be a mapping');
      return;
    }
    for (const service of this.tree.entries(services.value).values()) {
      if (!isMap(service.value)) {
        this.problem(
          service.key,
          `the service ${service.name} must be a mapping`,
          'Write its `image` and so on below it, indented; or take the line out.',
        );
        continue;
      }
      if (this.settings.leftOut?.has(service.name) === true) continue;
      const entries = this.tree.entries(service.value);
      this.#readEnvironment(entries.get('environment'));
      this.#readEnvFiles(service.name, entries.get('env_file'), entries.get('environment'));
      this.#readLabelFiles(service.name, entries.get('label_file'));
      this.#readVolumes(service.name, entries.get('volumes'));
    }
  }

  /** Variables without a value are the runner's, not the manager's on which the client runs. */
  #readEnvironment(environment: Entry | undefined): void {
    const node = environment?.value ?? null;
    for (const { name, pair, site, value } of this.tree.entries(node).values()) {
      if (isNull(value)) {
        const known = this.settings.variables.get(name);
        if (known === undefined || known === '') this.empty.add(name);
        if (known !== undefined) this.replace(site ?? pair, quoted(escaped(known)));
      } else if (this.value(value) === '') {
        this.empty.add(name);
      }
    }
    for (const item of this.tree.items(node)) {
      const text = isNull(this.tree.resolve(item)) ? undefined : this.value(item);
      if (text === undefined) continue;
      const equals = text.indexOf('=');
      if (equals < 0) {
        const known = this.settings.variables.get(text);
        if (known === undefined || known === '') this.empty.add(text);
        if (known !== undefined) this.replace(item, quoted(escaped(`${text}=${known}`)));
      } else if (equals === text.length - 1) {
        this.empty.add(text.slice(0, equals));
      }
    }
  }

  #readEnvFiles(service: string, entry: Entry | undefined, environment: Entry | undefined): void {
    if (entry === undefined) return;
    const { value, site } = entry;
    const items = isSeq(value) ? this.tree.items(value) : site === null ? [] : [site];
    const what = `env_file of service ${service}`;
    if (isMap(value)) {
      const mend = 'Write `- path: ...` below `env_file:`.';
      this.problem(entry.key, `${what}: a mapping stands in a list`, mend);
      return;
    }
    const paths = items.map((item) => this.#attachEnvFile(item, what));
    const found = paths.filter((path) => path !== undefined);
    this.#addBroken(service, found, environment);
    // The last of two wins, and Docker refuses a list that has the same twice.
    const once = found.filter((path, index) => found.lastIndexOf(path) === index);
    if (
      isSeq(value) &&
      (once.length < items.length || items.some((item) => isMap(this.tree.resolve(item))))
    ) {
      this.become(entry, `[${once.map(quoted).join(', ')}]`);
      return;
    }
    for (const [index, item] of items.entries()) {
      const path = paths[index];
      if (path !== undefined) this.replace(item, quoted(path));
    }
  }

  /** What no env file can hold for Docker becomes `environment`, which wins over env files. */
  #addBroken(service: string, files: readonly string[], environment: Entry | undefined): void {
    const own = environment?.value ?? null;
    const names = new Set([
      ...this.tree.entries(own).keys(),
      ...this.tree.items(own).map((item) => (this.value(item) ?? '').split('=')[0] ?? ''),
    ]);
    const values = [...this.attachments.broken(files)].filter(([name]) => !names.has(name));
    if (values.length === 0) return;
    this.#add(service, {
      environment: Object.fromEntries(
        values.map(([name, value]) => [name, this.written(value)] as const),
      ),
    });
  }

  /** Lines of files that become labels; `labels` of any file win, so that they go before all. */
  #readLabelFiles(service: string, entry: Entry | undefined): void {
    if (entry === undefined) return;
    const { value, site } = entry;
    const items = isSeq(value) ? this.tree.items(value) : site === null ? [] : [site];
    const labels = new Map<string, string>();
    for (const item of items) {
      const path = this.value(item);
      // What else may stand there is told with all other keys.
      if (path === undefined || isNull(this.tree.resolve(item)) || this.isFaulty(item)) continue;
      const what = `label_file of service ${service}`;
      const read = this.attachments.labels(path, what, this.position(item), labels);
      if ('size' in read) for (const [name, text] of read) labels.set(name, text);
      else this.problems.push(...read);
    }
    if (labels.size > 0) this.labels.set(service, labels);
  }

  /** @returns what stands for the file in the rendered text; undefined where there is none */
  #attachEnvFile(item: Node, what: string): string | undefined {
    const file = this.tree.resolve(item);
    const parts = this.tree.entries(file);
    for (const { name, key } of parts.values()) {
      if (['path', 'required', 'format'].includes(name) || name.startsWith('x-')) continue;
      this.problem(key, `${what}: \`${name}\` is no key of the Compose specification`);
    }
    const at = isMap(file) ? (parts.get('path')?.site ?? null) : item;
    const path = this.value(at);
    if (at === null || path === undefined || isNull(this.tree.resolve(at))) {
      if (isMap(file)) this.problem(item, `${what}: there is no \`path\``);
      return undefined;
    }
    if (this.isFaulty(at)) return undefined;
    const format = parts.get('format');
    if (format !== undefined && this.value(format.value) !== 'raw') {
      this.problem(format.key, `${what}: the only \`format\` is raw`, 'Leave it out otherwise.');
      return undefined;
    }
    const attached = this.attachments.add(path, what, 'env_file', this.position(at), {
      optional: readBoolean(this.value(parts.get('required')?.value ?? null) ?? '') === false,
      // Docker's own reading, line by line, of what Docker takes; Compose's of what it refuses.
      dotenv: isMap(file) && format === undefined,
      raw: format !== undefined,
    });
    if (attached === undefined || typeof attached === 'string') return attached;
    this.problems.push(...attached);
    return undefined;
  }

  #readObjects(section: 'configs' | 'secrets'): void {
    const objects = this.tree.get(this.tree.root, section);
    for (const object of this.tree.entries(objects).values()) {
      if (this.settings.unused?.has(`${section}.${object.name}`) === true) {
        this.cut.add(object.pair);
        continue;
      }
      const entries = this.tree.entries(object.value);
      const what = `${KINDS[section]} ${object.name}`;
      const external = entries.get('external')?.value ?? null;
      if (isMap(external) || isTrue(this.value(external))) continue;
      const file = entries.get('file');
      const given = ['file', 'content', 'environment'].filter((name) => entries.has(name));
      const [source] = given;
      if (given.length > 1) {
        this.problem(object.key, `${what} has ${given.join(' and ')}`, 'Keep one of them.');
      } else if (file !== undefined) {
        this.#attach(file.site ?? file.key, what, section);
      } else if (source !== undefined) {
        this.#attachValue(entries.get(source), what, section);
      } else if (!entries.has('driver')) {
        this.problem(object.key, `${what} has neither \`file\` nor \`external: true\``);
      }
    }
  }

  /** `content` and `environment` become a file that is carried along. */
  #attachValue(entry: Entry | undefined, what: string, section: 'configs' | 'secrets'): void {
    if (entry === undefined) return;
    const { name, key, site } = entry;
    const written = this.value(site);
    if (site === null || written === undefined || isNull(entry.value)) {
      this.problem(key, `${what}: \`${name}\` has no value`);
      return;
    }
    if (name === 'content' && section === 'secrets') return; // no key of the specification
    if (this.isFaulty(site)) return;
    const value = name === 'content' ? written : this.settings.variables.get(written);
    if (value === undefined) {
      this.problems.push(
        problemAt(this.position(site), `${what}: the variable ${written} is not set`, {
          reason: 'variable-unset',
          hint: 'Set it in `env`, `env-file` or the `env:` of the step.',
        }),
      );
      return;
    }
    const attached = this.attachments.addValue(value, what, name, section, this.position(site));
    if (typeof attached !== 'string') {
      this.problems.push(...attached);
      return;
    }
    const [start = 0, end = 0] = key.range ?? [];
    this.#more.push({ start, end, text: '"file"' });
    this.replace(site, quoted(attached));
  }

  #attach(site: Node, what: string, role: 'configs' | 'secrets'): void {
    const path = this.value(site);
    if (path === undefined || isNull(this.tree.resolve(site)) || this.isFaulty(site)) return;
    const attached = this.attachments.add(path, what, role, this.position(site));
    if (attached === undefined) return;
    if (typeof attached === 'string') this.replace(site, quoted(attached));
    else this.problems.push(...attached);
  }

  /** A path is one on the nodes; a relative one would come to lie in the manager's directory of this run. */
  #readVolumes(service: string, entry: Entry | undefined): void {
    for (const item of this.tree.items(entry?.value ?? null)) {
      const volume = this.tree.resolve(item);
      let source = '';
      let at = item;
      if (isMap(volume)) {
        if (this.value(this.tree.get(volume, 'type')) !== 'bind') continue;
        const written = this.tree.entries(volume).get('source');
        source = this.value(written?.value ?? null) ?? '';
        at = written?.site ?? item;
        if (source === '' || /^(?:[/\\]|[A-Za-z]:)/.test(source)) continue;
      } else {
        const text = this.value(item) ?? '';
        source = text.split(':')[0] ?? '';
        // As docker/cli, internal/volumespec: a source is a path only if it looks like one.
        if (text.length <= 2 || !text.includes(':') || !/^[.~]/.test(source)) continue;
      }
      if (this.isFaulty(at)) continue;
      this.problem(
        at,
        `service ${service}: the bind mount of ${source} is not an absolute path`,
        'It is a path on the nodes, which do not have the checkout. Write an absolute path that exists on every node that may run the service, or ship files as `configs:`.',
      );
    }
  }

  /** Whether the variables of a scalar could not be filled in, which has been reported. */
  isFaulty(node: Node): boolean {
    const scalar = this.tree.resolve(node);
    const faults = isScalar(scalar) ? (this.#values.get(scalar)?.faults ?? []) : [];
    return faults.some((fault) => fault.kind !== 'unset' || !this.settings.allowUnset);
  }

  /** Whether the text of variables still is of a size that could be deployed; says so once if not. */
  #mayFill(text: string, at: Node): boolean {
    const before = this.#filled;
    this.#filled += text.length;
    if (this.#filled <= MAX_FILLED_IN) return true;
    if (before <= MAX_FILLED_IN)
      this.problem(
        at,
        `with its variables filled in, the file has more than ${MAX_FILLED_IN} characters here`,
        'Ship large contents as `configs:` or `secrets:` instead.',
      );
    return false;
  }

  /** Gives a scalar or an alias another text. */
  replace(site: Node | Pair<Node, Node | null>, text: string): void {
    if (!this.#mayFill(text, isPair(site) ? site.key : site)) return;
    const before = this.#replaced.get(site);
    if (before !== undefined && before !== text) {
      this.problem(
        isPair(site) ? site.key : site,
        'this is used in several places through an anchor, and means different things there',
        'Write it out in each of the places.',
      );
    }
    this.#replaced.set(site, text);
  }

  problem(node: Node, message: string, hint?: string): void {
    this.problems.push(problemAt(this.position(node), message, hint === undefined ? {} : { hint }));
  }

  note(node: Node, message: string): void {
    this.notes.push(problemAt(this.position(node), message));
  }

  warn(node: Node, message: string, hint?: string): void {
    this.warnings.push(problemAt(this.position(node), message, hint === undefined ? {} : { hint }));
  }

  #edits(before: number): readonly Edit[] {
    const edits = [...this.#more];
    const version = this.tree.entries(this.tree.root).get('version')?.value;
    const directive = foreignDirective(this.source.text, this.tree.root.range?.[0] ?? 0);
    if (directive !== undefined) edits.push({ ...directive, text: '1.1' });
    for (const scalar of this.tree.values) {
      const text =
        this.#replaced.get(scalar) ??
        this.#filledIn(scalar, scalar === version) ??
        (hasForeignEscape(scalar, this.source.text) ? quoted(String(scalar.value)) : undefined);
      if (text !== undefined) edits.push(...replaceNode(this.source, scalar, text));
    }
    for (const alias of this.tree.aliases) {
      const text = this.#replaced.get(alias) ?? this.#restored(alias);
      if (text !== undefined) edits.push(...replaceNode(this.source, alias, text));
    }
    for (const alias of this.tree.keyAliases) {
      // Docker interpolates no keys: a key keeps what the anchor said before.
      const scalar = this.tree.resolve(alias);
      if (!isScalar(scalar)) continue;
      if (this.#replaced.has(scalar) || this.#filledIn(scalar, false) !== undefined) {
        edits.push(...replaceNode(this.source, alias, quoted(String(scalar.value))));
      }
    }
    for (const [site, text] of this.#replaced) {
      if (isPair(site)) edits.push(...setValue(this.source, site, text));
    }
    const structure: Edit[] = [];
    const owners = new Map<YAMLMap<Node, Node | null>, Set<Pair<Node, Node | null>>>();
    const late = [...this.newer].flatMap(([pair, { since }]) =>
      before > 0 && since >= before ? [pair] : [],
    );
    for (const pair of [...this.cut, ...late]) {
      const map = this.tree.owners.get(pair);
      if (map === undefined) continue;
      const pairs = owners.get(map) ?? new Set();
      owners.set(map, pairs.add(pair));
    }
    for (const [map, pairs] of owners) structure.push(...removePairs(this.source, map, pairs));
    for (const [node, { holder, text }] of this.#become) {
      structure.push(...replaceCollection(this.source, node, holder, text));
    }
    // A key such as `on` is no text for go-yaml v2, and refused.
    for (const { key } of this.tree.owners.keys()) {
      if (isAlias(key)) continue;
      const isText = ['text', 'null'].includes(plainType(key));
      if (isText && !hasForeignEscape(key, this.source.text)) continue;
      const [start = 0, end = 0] = key.range ?? [];
      edits.push({ start, end, text: quoted(this.tree.text(key) ?? '') });
    }
    edits.push(
      ...inlineAliases(this.tree, this.source, structure, (target, alias) => {
        return this.#replaced.get(alias) ?? this.#flow(target, new Set([...this.cut, ...late]));
      }),
    );
    return outermost([...structure, ...edits]);
  }

  #flow(node: Node | null, cut: ReadonlySet<Entry['pair']>): string {
    const written = (value: Node): string | undefined =>
      isScalar(value)
        ? (this.#replaced.get(value) ?? this.#filledIn(value, false))
        : this.#become.get(value)?.text;
    return flowText(this.tree, this.source, node, [], written, (pair) => cut.has(pair));
  }

  /** The new text of a scalar with variables. `version` is read before Docker interpolates. */
  #filledIn(scalar: Scalar, isVersion: boolean): string | undefined {
    const result = this.#values.get(scalar);
    if (result?.used !== 'variables') return undefined;
    return isVersion ? quoted(result.value) : rendered(result.value);
  }

  /** What an alias must say where its anchor now has a text that is right at the anchor only. */
  #restored(alias: Alias): string | undefined {
    const scalar = this.tree.resolve(alias);
    if (!isScalar(scalar) || !this.#replaced.has(scalar)) return undefined;
    const filledIn = this.#filledIn(scalar, false);
    if (filledIn !== undefined) return filledIn;
    if (isNull(scalar)) return 'null';
    const plain = scalar.type === 'PLAIN' && !String(scalar.value).includes('\n');
    return plain ? String(scalar.value) : quoted(String(scalar.value));
  }
}

function isPair(site: Node | Pair<Node, Node | null>): site is Pair<Node, Node | null> {
  return 'key' in site && !('range' in site);
}

function escaped(value: string): string {
  return value.replaceAll('$', '$$$$');
}

function faultHint(fault: Fault): string {
  if (fault.kind === 'malformed') return 'For a literal $ write $$.';
  if (fault.kind === 'required') return 'Set it in `env`, `env-file` or the `env:` of the step.';
  return 'Set it in `env`, `env-file` or the `env:` of the step, give it a default (${NAME:-default}), or write $$ for a literal $. `allow-unset: true` makes it empty.';
}
