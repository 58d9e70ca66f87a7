/**
 * What the release workflow needs.
 * `node scripts/release.mjs pack TAG DIRECTORY` writes the files of a release: the action as an archive,
 * its bundle, the SBOM, their checksums, and the notes from CHANGELOG.md.
 * `node scripts/release.mjs tags TAG` reads all tags from its input, and prints those that follow TAG.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { sbom } from './check/supply.mjs';
import { followers, notesOf, versionOf } from './release/versions.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [verb, tag = '', directory = ''] = process.argv.slice(2);

if (verb === 'tags') {
  for (const follower of followers(tag, readFileSync(0, 'utf8').split('\n'))) console.log(follower);
} else if (verb === 'pack' && directory !== '') {
  pack(resolve(directory));
} else {
  console.error('release.mjs pack TAG DIRECTORY | release.mjs tags TAG');
  process.exitCode = 2;
}

/** @param {string} out */
function pack(out) {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  if (versionOf(tag) === undefined || tag !== `v${version}`)
    throw new Error(`the tag is ${tag}, package.json has ${version}`);
  mkdirSync(out, { recursive: true });
  writeFileSync(
    join(out, 'notes.md'),
    notesOf(readFileSync(join(root, 'CHANGELOG.md'), 'utf8'), tag),
  );
  writeFileSync(join(out, 'sbom.cdx.json'), `${JSON.stringify(sbom(root), undefined, 2)}\n`);
  copyFileSync(join(root, 'dist', 'index.js'), join(out, 'index.js'));
  // From the commit, so that two of one commit are the same bytes.
  const files = ['action.yml', 'action-types.yml', 'dist', 'LICENSE', 'README.md'];
  execFileSync('git', ['archive', '-o', join(out, 'swarm-deploy.tar.gz'), 'HEAD', ...files], {
    cwd: root,
    stdio: 'inherit',
  });
  const sums = ['swarm-deploy.tar.gz', 'index.js', 'sbom.cdx.json'].map((name) => {
    const digest = createHash('sha256')
      .update(readFileSync(join(out, name)))
      .digest('hex');
    return `${digest}  ${name}\n`;
  });
  writeFileSync(join(out, 'checksums.txt'), sums.join(''));
}
