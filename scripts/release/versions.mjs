/** Which tags follow a release. Pure. */

/** @typedef {readonly [number, number, number]} Version */

/** @param {string} tag @returns {Version | undefined} of `v1.2.3`, nothing of anything else */
export function versionOf(tag) {
  const match = /^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/.exec(tag);
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3])];
}

/** @param {Version} a @param {Version} b */
const compare = (a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];

/**
 * `v1` and `v1.2` for `v1.2.3`, each as long as no later release of its line is there: a mend of an
 * older line does not take `v1` back.
 * @param {string} tag of the release
 * @param {readonly string[]} tags all that there are
 * @returns {readonly string[]}
 * @throws when the tag is no version
 */
export function followers(tag, tags) {
  const version = versionOf(tag);
  if (version === undefined) throw new Error(`${tag} is no version: v1.2.3`);
  const [major, minor] = version;
  const later = tags.flatMap((each) => {
    const other = versionOf(each);
    return other !== undefined && compare(other, version) > 0 ? [other] : [];
  });
  return [
    ...(later.some((other) => other[0] === major) ? [] : [`v${major}`]),
    ...(later.some((other) => other[0] === major && other[1] === minor)
      ? []
      : [`v${major}.${minor}`]),
  ];
}

/**
 * What the changelog says about a version.
 * @param {string} changelog markdown with a heading `## 1.2.3` a version
 * @param {string} tag
 * @returns {string} without the heading
 * @throws when it says nothing
 */
export function notesOf(changelog, tag) {
  const heading = `## ${tag.replace(/^v/, '')}`;
  const lines = changelog.split('\n');
  const from = lines.findIndex((line) => line === heading || line.startsWith(`${heading} `));
  const length = lines.slice(from + 1).findIndex((line) => line.startsWith('## '));
  const to = length < 0 ? lines.length : from + 1 + length;
  const notes =
    from < 0
      ? ''
      : lines
          .slice(from + 1, to)
          .join('\n')
          .trim();
  if (notes === '') throw new Error(`CHANGELOG.md says nothing about ${heading.slice(3)}`);
  return `${notes}\n`;
}
