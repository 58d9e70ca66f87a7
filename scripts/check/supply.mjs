/** What the bundle is made of: the SBOM, and the licenses of all that is in it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * @typedef {object} Component
 * @property {string} name
 * @property {string} version
 * @property {string} purl
 *
 * @typedef {{ bomFormat: string, components: Component[] }} Sbom
 *
 * @typedef {object} Locked a package of package-lock.json
 * @property {string} version
 * @property {string} [integrity]
 * @property {string} [license]
 * @property {boolean} [dev]
 * @property {boolean} [optional]
 * @property {Record<string, string>} [dependencies]
 * @property {Record<string, string>} [optionalDependencies]
 */

/** @param {string} name @param {string} version */
const purlOf = (name, version) => `pkg:npm/${name.replace('@', '%40')}@${version}`;

/**
 * The SBOM of what runs, in the form of CycloneDX 1.6, from package-lock.json alone: no time and no
 * random number is in it, so that the same sources give the same file.
 * @param {string} root of the repository
 * @returns {Sbom & Record<string, unknown>}
 */
export function sbom(root) {
  /** @type {{ name: string, version: string, packages: Record<string, Locked> }} */
  const { name, version, packages } = JSON.parse(
    readFileSync(join(root, 'package-lock.json'), 'utf8'),
  );
  const runs = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);
  const named = runs.map(([path, locked]) => {
    const own = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    return { path, name: own, locked, ref: purlOf(own, locked.version) };
  });
  /** @param {string} path @param {Locked | undefined} locked */
  const refsOf = (path, locked) =>
    Object.keys({ ...locked?.dependencies, ...locked?.optionalDependencies })
      .map((wanted) => nearest(named, path, wanted)?.ref)
      .filter((ref) => ref !== undefined)
      .sort();
  const self = purlOf(name, version);
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: { type: 'application', 'bom-ref': self, name, version, purl: self },
    },
    components: named.map(({ name: own, locked, ref }) => ({
      type: 'library',
      'bom-ref': ref,
      name: own,
      version: locked.version,
      purl: ref,
      scope: locked.optional === true ? 'optional' : 'required',
      ...(locked.license === undefined ? {} : { licenses: [{ license: { id: locked.license } }] }),
      ...(locked.integrity === undefined ? {} : { hashes: [hashOf(locked.integrity)] }),
    })),
    dependencies: [
      { ref: self, dependsOn: refsOf('', packages['']) },
      ...named.map(({ path, locked, ref }) => ({ ref, dependsOn: refsOf(path, locked) })),
    ],
  };
}

/**
 * The package that node finds under a name, looking from a package's own directory upwards.
 * @template {{ path: string }} Item
 * @param {readonly Item[]} all
 * @param {string} from
 * @param {string} name
 * @returns {Item | undefined}
 */
function nearest(all, from, name) {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const path = `${at === '' ? '' : `${at}/`}node_modules/${name}`;
    const found = all.find((item) => item.path === path);
    if (found !== undefined || at === '') return found;
  }
}

/** @param {string} integrity as in package-lock.json, `sha512-` and base64 */
function hashOf(integrity) {
  const [kind = '', value = ''] = integrity.split('-');
  return {
    alg: kind.replace(/^sha/, 'SHA-'),
    content: Buffer.from(value, 'base64').toString('hex'),
  };
}

/**
 * @param {Sbom} made
 * @param {readonly string[]} dependencies that package.json names
 * @returns {string[]} problems
 */
export function sbomProblems(made, dependencies) {
  const named = new Set(made.components.map(({ name }) => name));
  return [
    ...(made.bomFormat === 'CycloneDX' ? [] : [`the SBOM has the format ${made.bomFormat}`]),
    ...dependencies
      .filter((name) => !named.has(name))
      .map((name) => `the SBOM does not have ${name}`),
    ...made.components
      .filter(({ version, purl }) => !version || !purl?.startsWith('pkg:npm/'))
      .map(({ name }) => `the SBOM has no version or no address of ${name}`),
  ];
}

/**
 * Whether code of a package is in a bundle: one of the long lines of its files.
 * @param {string} bundle
 * @param {string} directory of the package
 */
export function isBundled(bundle, directory) {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((path) =>
    /^(?!.*(node_modules|test|example)).*\.[cm]?js$/.test(path),
  );
  const lines = files.flatMap((path) =>
    readFileSync(join(directory, path), 'utf8')
      .split('\n')
      .map((line) => line.trim())
      // Imports and comments are written anew, or go.
      .filter((line) => line.length > 40 && /^[\t\x20-\x7e]*$/.test(line))
      .filter((line) => !/^(\/\/|\*|\/\*|import |export )|require\(/.test(line)),
  );
  const found = lines.filter((line) => bundle.includes(line));
  return found.length > lines.length / 10;
}

/**
 * @param {string} licenses dist/licenses.txt
 * @param {readonly { name: string, license: string, text: boolean }[]} packages whose code is in the
 *   bundle: the license that they say they have, and whether they bring its text
 * @param {readonly string[]} free licenses that may be in it
 * @returns {string[]} problems
 */
export function licenseProblems(licenses, packages, free) {
  const lines = licenses.split('\n');
  return packages.flatMap(({ name, license, text }) => {
    const at = lines.findIndex((line, index) => line === name && lines[index + 1] === license);
    if (!free.includes(license)) return [`${name} has the license ${license}`];
    if (at < 0) return [`dist/licenses.txt does not have ${name}, ${license}`];
    return text && (lines[at + 2] ?? '') === ''
      ? [`dist/licenses.txt has no text of the license of ${name}`]
      : [];
  });
}
