/** Names that content decides: what they are, what they keep, and the file that gives them to Docker. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { parse } from 'yaml';
import { renderStack, type RenderedStack } from '../../../src/compose/render.js';
import {
  contentMark,
  fileObjects,
  isMarkOf,
  rotatedName,
  rotateStack,
  type RotatedStack,
} from '../../../src/compose/rotate.js';
import { withVersion } from '../../../src/compose/version.js';

const KEY = Buffer.alloc(16, 7);
const OTHER_KEY = Buffer.alloc(16, 8);

interface Definition {
  readonly name?: string;
  readonly file?: string;
  readonly labels?: Record<string, string> | readonly string[];
  readonly template_driver?: string;
}

function render(
  yaml: string | readonly string[],
  files: Readonly<Record<string, string>> = { app: 'content', other: 'something else' },
  variables: Readonly<Record<string, string>> = {},
): RenderedStack {
  return renderStack({
    files: [yaml].flat().map((text, index) => ({ path: `${index}.yml`, text: Buffer.from(text) })),
    stack: 'shop',
    variables: new Map(Object.entries(variables)),
    allowUnset: false,
    workingDirectory: '/checkout',
    home: undefined,
    readFile: (path) => {
      const content = files[path.slice('/checkout/'.length)];
      return content === undefined ? 'missing' : Buffer.from(content);
    },
  });
}

const rotated = (stack: RenderedStack, secretKey = KEY): RotatedStack =>
  rotateStack(stack, fileObjects(stack), { stack: 'shop', secretKey });

/** What the added file says. */
function added({ files }: RenderedStack): {
  readonly version?: string;
  readonly configs?: Record<string, Definition>;
  readonly secrets?: Record<string, Definition>;
} {
  expect(files.at(-1)?.name).toMatch(/^\d+-names\.yml$/);
  return parse(files.at(-1)?.text ?? '') as ReturnType<typeof added>;
}

const WEB = 'services: { web: { image: web, configs: [app] } }\n';
const nameOf = (key: string, content: string, secretKey?: Buffer, driver?: string): string =>
  rotatedName('shop', key, Buffer.from(content), secretKey, driver);

describe('a name that content decides', () => {
  const letter = fc.constantFrom('a', 'b', 'X', 'Z', '0', '9');
  const mark = fc.constantFrom('-', '_');
  const stackName = fc
    .tuple(letter, fc.string({ unit: fc.oneof(letter, mark), maxLength: 60, size: 'max' }))
    .map((parts) => parts.join(''));
  const key = fc.string({
    unit: fc.oneof(letter, mark, fc.constant('.')),
    minLength: 1,
    maxLength: 80,
    size: 'max',
  });
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 });
  const secretKey = fc.constantFrom(undefined, KEY, OTHER_KEY);

  it('is one that Docker takes, and the same for the same', () => {
    fc.assert(
      fc.property(stackName, key, bytes, secretKey, (stack, each, content, secret) => {
        const name = rotatedName(stack, each, content, secret);
        expect(name.length).toBeLessThanOrEqual(64);
        // swarmkit, manager/controlapi/common.go: isValidConfigOrSecretName
        expect(name).toMatch(/^[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?$/);
        expect(name).toBe(rotatedName(stack, each, content.slice(), secret));
        const start = `${stack}_${each}`;
        if (start.length <= 51) expect(name.slice(0, -12)).toBe(`${start}-`);
      }),
    );
  });

  it('is cut in front of its hash', () => {
    const names = [50, 51, 52, 80].map((length) =>
      rotatedName('shop', 'k'.repeat(length - 'shop_'.length), KEY),
    );
    expect(names.map((name) => name.length)).toEqual([63, 64, 64, 64]);
    expect(new Set(names.map((name) => name.slice(-12))).size).toBe(4);
    expect(names.slice(1).map((name) => name.slice(0, 52))).toEqual(
      Array<string>(3).fill(`shop_${'k'.repeat(46)}-`),
    );
  });

  it('is another one for one byte more, less or different', () => {
    fc.assert(
      fc.property(
        stackName,
        key,
        bytes,
        secretKey,
        fc.nat(),
        (stack, each, content, secret, at) => {
          const name = (changed: Uint8Array): string => rotatedName(stack, each, changed, secret);
          const flipped = content.slice();
          flipped[at % content.length] = (flipped[at % content.length] ?? 0) ^ 1;
          const names = [content, flipped, new Uint8Array([...content, 10]), content.slice(1)];
          expect(new Set(names.map(name)).size).toBe(4);
        },
      ),
    );
  });

  it('is another one for another stack, key or secret key, however long they are', () => {
    fc.assert(
      fc.property(stackName, key, bytes, (stack, each, content) => {
        const names = [
          rotatedName(stack, each, content),
          rotatedName(`${stack}x`, each, content),
          rotatedName(stack, `${each}x`, content),
          rotatedName(stack, each, content, KEY),
          rotatedName(stack, each, content, OTHER_KEY),
          rotatedName(stack, each, content, undefined, 'golang'),
          rotatedName(stack, each, content, KEY, 'golang'),
          rotatedName(stack, each, content, undefined, 'other'),
        ];
        expect(new Set(names).size).toBe(8);
      }),
    );
    // `a_b` + `c` and `a` + `b_c`: the same in front of the hash.
    expect(rotatedName('a_b', 'c', KEY)).not.toBe(rotatedName('a', 'b_c', KEY));
  });

  it('is another one with another template driver, which the engine would never change', () => {
    const named = (driver: string): string | undefined =>
      added(
        rotated(
          render(`${WEB}configs: { app: { file: ./app${driver} } }\n`, undefined, { D: 'golang' }),
        ),
      ).configs?.['app']?.name;
    const names = ['', ', template_driver: golang', ', template_driver: "${D}"'].map(named);
    expect(names[0]).toBe(nameOf('app', 'content'));
    expect(names[1]).toBe(nameOf('app', 'content', undefined, 'golang'));
    expect(names[2]).toBe(names[1]);
  });

  it('does not tell the content of a secret, nor that two have the same', () => {
    const plain = createHash('sha256').update('content').digest('hex').slice(0, 12);
    expect(nameOf('app', 'content', KEY)).not.toContain(plain);
    expect(nameOf('app', 'content', KEY).slice(-12)).not.toBe(nameOf('app', 'content').slice(-12));
    expect(nameOf('a', 'content', KEY).slice(-12)).not.toBe(nameOf('b', 'content', KEY).slice(-12));
  });
});

describe('the mark of a secret with a name of its own', () => {
  it('tells other content, but not to who has another key', () => {
    const mark = contentMark('db', Buffer.from('one'), KEY);
    expect(mark).toBe(contentMark('db', Buffer.from('one'), KEY));
    expect(mark).not.toBe(contentMark('db', Buffer.from('two'), KEY));
    expect(mark).not.toBe(contentMark('api', Buffer.from('one'), KEY));
    expect(isMarkOf(mark, KEY)).toBe(true);
    expect(isMarkOf(mark, OTHER_KEY)).toBe(false);
  });
});

describe('rotating a stack', () => {
  it('names configs and secrets by their content, in a file after all others', () => {
    const stack = render(
      `${WEB}configs: { app: { file: app } }\nsecrets:\n  db:\n    file: other\n`,
    );
    const result = rotated(stack);
    expect(result.files.slice(0, -1)).toEqual(stack.files);
    expect(added(result)).toEqual({
      configs: {
        app: {
          name: nameOf('app', 'content'),
          file: './attachments/001-app',
          labels: { 'swarm-deploy.rotated': 'app' },
        },
      },
      secrets: {
        db: {
          name: nameOf('db', 'something else', KEY),
          file: './attachments/002-other',
          labels: { 'swarm-deploy.rotated': 'db' },
        },
      },
    });
    expect([...result.objectNames]).toEqual([
      ['config app', nameOf('app', 'content')],
      ['secret db', nameOf('db', 'something else', KEY)],
    ]);
    expect(result.files.at(-1)?.text).not.toContain('something else');
  });

  it('goes by what Docker is given, however it came to be there', () => {
    const stack = render(`${WEB}configs: { app: { external: true } }
secrets: { db: { file: app } }`);
    const [file] = stack.files;
    if (file === undefined) throw new Error('nothing was rendered');
    const translated: RenderedStack = {
      ...stack,
      files: [
        {
          ...file,
          text: `${WEB}configs: { app: { external: true } }
secrets: { db: { "file": "./attachments/env-DB" } }`,
        },
      ],
      attachments: [
        { name: 'env-DB', content: Buffer.from('hunter2'), origin: 'DB', secret: true },
      ],
    };
    const result = rotated(translated);
    expect(added(result).secrets?.['db']?.name).toBe(nameOf('db', 'hunter2', KEY));
    expect(JSON.stringify(result.files)).not.toContain('hunter2');
    expect(fileObjects(translated)[0]?.position).toEqual({ file: '0.yml', line: 3, column: 12 });
  });

  it('leaves a stack alone that brings no content', () => {
    const none = render('services: { web: { image: web } }');
    expect(rotated(none).files).toEqual(none.files);
    const external = render(
      `${WEB}configs: { app: { external: true }, b: { external: { name: x } }, c: { external: "yes", name: d } }`,
    );
    expect(rotated(external).files).toEqual(external.files);
    const driver = render(`${WEB}configs: { app: { external: true } }
secrets: { db: { driver: vault, name: x } }`);
    expect(rotated(driver).files).toEqual(driver.files);
  });

  it('keeps a name of the user’s own, filled in or not, and marks the content of a secret', () => {
    const stack = render(
      `${WEB}configs: { app: { file: app, name: "own_\${TAG}" } }
secrets: { db: { file: app, name: "\${NUMBER}" }, more: { file: app, name: "" } }`,
      undefined,
      { TAG: 'v1', NUMBER: '017' },
    );
    expect(fileObjects(stack).map(({ key, ownName }) => [key, ownName])).toEqual([
      ['app', 'own_v1'],
      ['db', '017'],
      ['more', undefined],
    ]);
    expect(added(rotated(stack))).toEqual({
      secrets: {
        db: {
          name: '${SWARM_DEPLOY_RENDERED:-017}',
          file: './attachments/001-app',
          labels: { 'swarm-deploy.content': contentMark('017', Buffer.from('content'), KEY) },
        },
        more: {
          name: nameOf('more', 'content', KEY),
          file: './attachments/001-app',
          labels: { 'swarm-deploy.rotated': 'more' },
        },
      },
    });
  });

  it('keeps labels in both forms and what else there is, as Docker will read it', () => {
    const stack = render(
      `${WEB}
x-labels: &labels { team: shop, price: "$$1.50", "a b": 'c: d' }
configs:
  app: &app
    file: app
    template_driver: golang
    external: false
    labels: { <<: *labels, version: 1.50, empty: , tag: "\${TAG}", swarm-deploy.rotated: mine }
    x-mine: { a: b }
  list: { file: app, labels: [a=b, "c=\${TAG}"] }
  alias: *app
  merged:
    <<: *app
    file: other
`,
      undefined,
      { TAG: 'on' },
    );
    const text = rotated(stack).files.at(-1)?.text ?? '';
    expect(text).toContain('"version": 1.50\n');
    expect(text).toContain('"empty": \n');
    const labels = {
      team: 'shop',
      price: '$$1.50',
      'a b': 'c: d',
      version: 1.5,
      empty: null,
      tag: '${SWARM_DEPLOY_RENDERED:-on}',
    };
    const common = { file: './attachments/001-app', template_driver: 'golang' };
    expect(parse(text)).toEqual({
      configs: {
        app: {
          ...common,
          name: nameOf('app', 'content', undefined, 'golang'),
          labels: { ...labels, 'swarm-deploy.rotated': 'app' },
        },
        list: {
          file: './attachments/001-app',
          name: nameOf('list', 'content'),
          labels: ['a=b', 'c=on', 'swarm-deploy.rotated=list'],
        },
        alias: {
          ...common,
          name: nameOf('alias', 'content', undefined, 'golang'),
          labels: { ...labels, 'swarm-deploy.rotated': 'alias' },
        },
        merged: {
          ...common,
          file: './attachments/002-other',
          name: nameOf('merged', 'something else', undefined, 'golang'),
          labels: { ...labels, 'swarm-deploy.rotated': 'merged' },
        },
      },
    });
  });

  it('goes by the last file that defines it', () => {
    const first = `${WEB}configs: { app: { file: app, labels: { a: b } }, b: { file: app }, c: { external: true }, d: { file: app, name: own } }`;
    const second =
      'configs: { app: { file: other }, b: { external: true }, c: { file: app }, d: { file: app } }';
    const { configs } = added(rotated(render([first, second])));
    expect(Object.keys(configs ?? {}).sort()).toEqual(['app', 'c', 'd']);
    expect(configs?.['app']).toEqual({
      name: nameOf('app', 'something else'),
      file: './attachments/002-other',
      labels: { 'swarm-deploy.rotated': 'app' },
    });
  });

  it('has the version of the files', () => {
    const stack = render([`version: "3.8"\n${WEB}configs: { app: { file: app } }`, 'services: {}']);
    const { files, composeVersion } = rotated(stack);
    expect(composeVersion).toBe('3.8');
    const versions = files.map(({ text }) => (parse(text) as { version?: string }).version);
    expect(versions).toEqual(['3.8', '3.8', '3.8']);
  });

  it('has no version where the files have none, and the one that they get', () => {
    const result = rotated(render(`${WEB}configs: { app: { file: app } }`));
    expect(added(result).version).toBeUndefined();
    expect(added(withVersion(result, '3.9'))).toMatchObject({
      version: '3.9',
      configs: { app: { file: './attachments/001-app' } },
    });
  });

  it('knows where each one stands in the files of the user', () => {
    const stack = render([
      `${WEB}configs:\n  app:\n    file: app\n    name: own\n`,
      'secrets:\n  db: { file: app }\n',
    ]);
    expect(fileObjects(stack).map(({ position }) => position)).toEqual([
      { file: '0.yml', line: 5, column: 5 },
      { file: '1.yml', line: 2, column: 3 },
    ]);
  });
});
