/**
 * The test images, built in memory: a layer with busybox that all share, and a small one of their
 * own, so that digests differ and pushing takes a moment. No engine is needed to make them.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

/**
 * @typedef {object} Health
 * @property {string[]} test as in the image format: ['CMD', ...] or ['CMD-SHELL', line]
 * @property {number} interval seconds
 * @property {number} retries
 *
 * @typedef {object} ImageDefinition
 * @property {string[]} command
 * @property {Health} [health]
 * @property {Record<string, string | Buffer>} [files] content by path, executable
 * @property {readonly Layer[]} [layers] between busybox and the files, such as `layerOfFiles` makes
 * @property {string[]} [env]
 *
 * @typedef {{mediaType: string, digest: string, size: number}} Descriptor
 * @typedef {{descriptor: Descriptor, body: Buffer}} Blob
 * @typedef {Blob & {diffId: string}} Layer
 *
 * @typedef {object} BuiltImage
 * @property {Blob[]} blobs layers and configuration
 * @property {Blob} manifest
 */

const TYPES = {
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
};

/** Commands that work by name in a container besides `/bin/busybox NAME`. */
const APPLETS = 'sh cat echo env false hostname httpd ls nc nslookup sleep test true wget'.split(
  ' ',
);

const SECOND = 1e9;

/** Answers the version on / as long as it runs, and ends at once when told to. */
const SERVE = [
  'echo "$NAME $VERSION: listening on port 80"',
  'busybox httpd -f -p 80 -h /www &',
  'wait',
];

/** The first process of a container ignores a signal that it does not handle: handle it. */
const STOP = `trap 'echo "$NAME $VERSION: stopping"; exit \${STOP_CODE:-0}' TERM INT`;

const SLEEP = ['busybox sleep 2147483647 &', 'wait'];

/** Health as seen from outside: the answer on / is the version. */
const PAGE = ['CMD-SHELL', 'test "$(busybox wget -q -O - http://127.0.0.1/)" = "$VERSION"'];

/**
 * @param {string[]} lines of a shell script
 * @returns {Pick<ImageDefinition, 'command' | 'files'>}
 */
const script = (lines) => ({
  command: ['/bin/busybox', 'sh', '/run.sh'],
  files: { 'run.sh': `${lines.join('\n')}\n` },
});

/** @type {Record<string, {versions: string[]} & ImageDefinition>} */
const KINDS = {
  web: {
    versions: ['v1', 'v2', 'v3'],
    ...script([STOP, ...SERVE]),
    health: { test: PAGE, interval: 1, retries: 10 },
  },
  // v1 exits 143 when the engine ends it: its task is `failed`. v2 exits 0, as a program that ends
  // in an orderly way: then its task is `complete`, although it never was healthy.
  unhealthy: {
    versions: ['v1', 'v2'],
    ...script(['[ "$VERSION" = v1 ] && STOP_CODE=143', STOP, ...SERVE]),
    health: { test: ['CMD-SHELL', 'echo "not well"; exit 1'], interval: 1, retries: 2 },
  },
  slow: {
    versions: ['v1', 'v2'],
    ...script([STOP, '(busybox sleep 8; echo yes >/ready) &', ...SERVE]),
    health: { test: ['CMD', '/bin/busybox', 'test', '-e', '/ready'], interval: 1, retries: 30 },
  },
  crash: {
    versions: ['v1'],
    ...script(['echo "fatal: no database at db:5432" >&2', 'exit 1']),
  },
  crashlater: {
    versions: ['v1'],
    ...script([
      STOP,
      'echo "started"',
      'busybox sleep 7 &',
      'wait',
      'echo "fatal: lost the database" >&2',
      'exit 1',
    ]),
  },
  nohealth: { versions: ['v1', 'v2'], ...script([STOP, 'echo "$NAME $VERSION: up"', ...SLEEP]) },
  'job-ok': { versions: ['v1'], ...script(['echo "migrated"', 'exit 0']) },
  'job-fail': { versions: ['v1'], ...script(['echo "fatal: migration 7" >&2', 'exit 3']) },
  stubborn: {
    versions: ['v1'],
    ...script(["trap '' TERM INT", 'echo "staying"', 'while :; do busybox sleep 1; done']),
  },
  // bounded on purpose: without a memory limit on the service it ends by itself
  oom: {
    versions: ['v1'],
    command: ['/bin/busybox', 'dd', 'if=/dev/zero', 'of=/dev/null', 'bs=512M', 'count=4'],
  },
  // neither a binary nor a script with an interpreter line
  noexec: { versions: ['v1'], command: ['/start'], files: { start: 'not a program\n' } },
  nocmd: { versions: ['v1'], command: ['/there-is-no-such-program'] },
};

/**
 * @returns {{ref: string, definition: ImageDefinition}[]} all standard images
 */
export function standardImages() {
  return Object.entries(KINDS).flatMap(([name, { versions, ...definition }]) =>
    versions.map((version) => ({
      ref: `${name}:${version}`,
      definition: {
        ...definition,
        env: [`NAME=${name}`, `VERSION=${version}`],
        files: { 'www/index.html': version, ...definition.files },
      },
    })),
  );
}

/**
 * @param {string} busybox path of a static busybox
 * @returns {Layer} what all images have in common
 */
export function baseLayer(busybox) {
  const links = APPLETS.map((name) => tarEntry(`bin/${name}`, '2', Buffer.alloc(0), 'busybox'));
  const directories = ['bin/', 'tmp/', 'etc/'].map((name) => tarEntry(name, '5', Buffer.alloc(0)));
  return layerOf([...directories, tarEntry('bin/busybox', '0', readFileSync(busybox)), ...links]);
}

/**
 * @param {Layer} base
 * @param {ImageDefinition} definition
 * @returns {BuiltImage}
 */
export function buildImage(base, definition) {
  const files = Object.entries(definition.files ?? {});
  const layers = [base, ...(definition.layers ?? []), layerOfFiles(files)];
  const config = jsonBlob(TYPES.config, imageConfig(definition, layers));
  const manifest = jsonBlob(TYPES.manifest, {
    schemaVersion: 2,
    mediaType: TYPES.manifest,
    config: config.descriptor,
    layers: layers.map((layer) => layer.descriptor),
  });
  return { blobs: [...layers, config], manifest };
}

/**
 * @param {ImageDefinition} definition
 * @param {readonly Layer[]} layers
 */
function imageConfig({ command, health, env = [] }, layers) {
  const check = health && {
    Test: health.test,
    Interval: health.interval * SECOND,
    // No scenario is about a slow check: on a busy machine it may take its time.
    Timeout: 60 * SECOND,
    Retries: health.retries,
  };
  return {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    created: '2024-01-01T00:00:00Z',
    config: { Env: ['PATH=/bin', ...env], Cmd: command, WorkingDir: '/', Healthcheck: check },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map(() => ({ created: '2024-01-01T00:00:00Z', created_by: 'testbed' })),
  };
}

/**
 * @param {readonly (readonly [path: string, content: string | Buffer])[]} files all executable
 * @returns {Layer} which several images may share
 */
export function layerOfFiles(files) {
  return layerOf(files.map(([path, content]) => tarEntry(path, '0', Buffer.from(content))));
}

/**
 * @param {readonly Buffer[]} entries
 * @returns {Layer}
 */
function layerOf(entries) {
  const tar = Buffer.concat([...entries, Buffer.alloc(1024)]);
  return { ...blob(TYPES.layer, gzipSync(tar)), diffId: digestOf(tar) };
}

/**
 * @param {string} mediaType
 * @param {unknown} value
 */
function jsonBlob(mediaType, value) {
  return blob(mediaType, Buffer.from(JSON.stringify(value)));
}

/**
 * @param {string} mediaType
 * @param {Buffer} body
 * @returns {Blob}
 */
function blob(mediaType, body) {
  return { descriptor: { mediaType, digest: digestOf(body), size: body.length }, body };
}

/** @param {Buffer} body */
function digestOf(body) {
  return `sha256:${createHash('sha256').update(body).digest('hex')}`;
}

/**
 * One entry of a tar archive in the ustar format of POSIX.1-1988: a header block of 512 bytes, the
 * content, zeros up to the next full block.
 * @param {string} path
 * @param {'0' | '2' | '5'} type file, symbolic link, directory
 * @param {Buffer} content
 * @param {string} [target] of a link
 * @returns {Buffer}
 */
function tarEntry(path, type, content, target = '') {
  const header = Buffer.alloc(512);
  const octal = (/** @type {number} */ value) => value.toString(8).padStart(11, '0');
  header.write(path, 0, 100);
  header.write('0000755', 100);
  header.write('0000000', 108);
  header.write('0000000', 116);
  header.write(octal(content.length), 124);
  header.write(octal(0), 136);
  header.fill(' ', 148, 156); // the checksum counts its own field as spaces
  header.write(type, 156);
  header.write(target, 157, 100);
  header.write('ustar\u000000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}
