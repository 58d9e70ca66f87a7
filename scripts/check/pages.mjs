/** Links between pages. Pure: what is there comes in as data. */
import { posix } from 'node:path';

/** @typedef {{ path: string, text: string }} Page */

/** @param {string} text markdown @returns {string} without code */
const withoutCode = (text) =>
  text.replace(/^ *(```|~~~)[\s\S]*?^ *\1/gm, '').replace(/`[^`\n]*`/g, '');

/**
 * The anchors that GitHub gives to the headings of a page.
 * @param {string} text markdown
 * @returns {Set<string>}
 */
export function anchors(text) {
  /** @type {Map<string, number>} */
  const seen = new Map();
  const slugs = [
    ...text.replace(/^ *(```|~~~)[\s\S]*?^ *\1/gm, '').matchAll(/^#{1,6} +(.+?) *#*$/gm),
  ].map(([, title = '']) => {
    const slug = title
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-');
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    return count === 0 ? slug : `${slug}-${count}`;
  });
  return new Set(slugs);
}

/**
 * @param {readonly Page[]} pages
 * @param {ReadonlySet<string>} files all paths there are, directories too
 * @returns {string[]} problems: links inside of the repository that lead nowhere
 */
export function deadLinks(pages, files) {
  const known = new Map(pages.map(({ path, text }) => [path, anchors(text)]));
  return pages.flatMap(({ path, text }) =>
    [...withoutCode(text).matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^[a-z][a-z+.-]*:/i.test(target))
      .flatMap((target) => {
        const [file = '', anchor] = target.split('#');
        const goal = file === '' ? path : posix.normalize(posix.join(posix.dirname(path), file));
        const there = goal.replace(/\/$/, '');
        if (!files.has(there)) return [`${path}: ${target} is not there`];
        if (anchor === undefined || !known.has(there)) return [];
        return known.get(there)?.has(anchor)
          ? []
          : [`${path}: ${target}: no heading of ${there} has this anchor`];
      }),
  );
}
