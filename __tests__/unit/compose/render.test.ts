import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parse } from 'yaml';
import { InvalidInput, type Problem } from '../../../src/errors.js';
import {
  renderStack,
  type FileContent,
  type RenderedStack,
  type RenderRequest,
} from '../../../src/compose/render.js';
import { composeVersionFor, forClient, withVersion } from '../../../src/compose/version.js';
import { parseCase } from './cases.js';

const DIRECTORY = Symbol('directory');

interface Options extends Partial<Omit<RenderRequest, 'variables' | 'files' | 'readFile'>> {
  /** A string is the text of a file. */
  readonly files?: Readonly<
    Record<string, string | Exclude<FileContent, string> | typeof DIRECTORY>
  >;
}

function render(
  stackFiles: string | Buffer | Readonly<Record<string, string | Buffer>>,
  variables: Readonly<Record<string, string>> = {},
  { files = {}, ...options }: Options = {},
): RenderedStack {
  const named =
    typeof stackFiles === 'string' || Buffer.isBuffer(stackFiles)
      ? { 'stack.yml': stackFiles }
      : stackFiles;
  return renderStack({
    files: Object.entries(named).map(([path, text]) => ({ path, text: Buffer.from(text) })),
    stack: 'demo',
    variables: new Map(Object.entries(variables)),
    allowUnset: false,
    workingDirectory: '/repo',
    home: '/home/me',
    readFile: (path) => {
      const content = files[path];
      if (content === undefined) return 'missing';
      if (content === DIRECTORY) return 'not-a-file';
      return typeof content === 'string' ? Buffer.from(content) : content;
    },
    ...options,
  });
}

function problems(...args: Parameters<typeof render>): readonly Problem[] {
  try {
    render(...args);
  } catch (error) {
    if (error instanceof InvalidInput) return error.problems;
    throw error;
  }
  return [];
}
const messages = (...args: Parameters<typeof render>): string[] =>
  problems(...args).map(({ message }) => message);
const text = (...args: Parameters<typeof render>): string => render(...args).files[0]!.text;

const WEB = 'services:\n  web:\n    image: nginx\n';

/** What Docker's client makes of a string, as docker/cli documents it: no variable is set. */
function dockerReads(value: string): string {
  return value.replace(
    /\$(?:(\$)|([_a-z][_a-z0-9]*)|\{[_a-z][_a-z0-9]*(?::?-([^}]*))?\}|)/gi,
    (match, dollar?: string, _name?: string, fallback?: string) => {
      if (dollar !== undefined) return '$';
      if (match === '$') throw new Error(`Docker refuses ${value}`);
      return fallback ?? '';
    },
  );
}

describe('cases that Docker itself has confirmed', () => {
  const fixtures = fileURLToPath(new URL('fixtures', import.meta.url));
  const names = readdirSync(fixtures).filter((name) => name.endsWith('.case'));

  it.each(names)('%s', (name) => {
    const given = parseCase(readFileSync(join(fixtures, name), 'utf8'));
    const files = Object.fromEntries(
      [...given.otherFiles].map(([path, content]) => [join('/repo', path), content]),
    );
    const stack = render(Object.fromEntries(given.stackFiles), given.variables, { files });
    const written = new Map([
      ...stack.files.map((file) => [file.name, file.text] as const),
      ...stack.attachments.map(
        (file) => [`attachments/${file.name}`, file.content.toString()] as const,
      ),
    ]);
    const visible = [...written].map(([path, body]) => [path, body.replaceAll('\r', '␍')]);
    expect(Object.fromEntries(visible)).toEqual(Object.fromEntries(given.rendered));
  });

  it('has a good number of them', () => {
    expect(names.length).toBeGreaterThanOrEqual(24);
  });
});

describe('values', () => {
  // NUL can be in no environment; half a surrogate pair has no bytes.
  const anyValue = fc.string({ unit: 'binary' }).map((value) => value.replaceAll('\0', ''));
  const places = {
    plain: (x: string) => `    labels:\n      k: ${x}\n`,
    double: (x: string) => `    labels:\n      k: "${x}"\n`,
    single: (x: string) => `    labels:\n      k: '${x}'\n`,
    literal: (x: string) => `    labels:\n      k: |-\n        ${x}\n      l: m\n`,
    folded: (x: string) => `    labels:\n      k: >-\n        ${x}\n`,
    flow: (x: string) => `    labels: {a: b, k: "${x}", c: d}\n`,
    anchored: (x: string) => `    labels: {a: &a "${x}", k: *a}\n`,
  };

  it('arrive byte for byte wherever they are written', () => {
    fc.assert(
      fc.property(anyValue, fc.constantFrom(...Object.keys(places)), (value, place) => {
        const source = `${WEB}${places[place as keyof typeof places]('${X}')}`;
        const read = parse(text(source, { X: value })) as {
          services: { web: { labels: { k: string } } };
        };
        expect(dockerReads(read.services.web.labels.k)).toBe(value);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    'two  words ',
    '"q\'',
    '$(id)',
    '`id`',
    '$&',
    '${X}',
    '$$',
    'a\nb\n',
    '010',
    'true',
    '1e3',
    'null',
    '~',
    '# no comment',
    ': -',
    'ü☃𝒳',
    '\u0085\u2028\ufeff',
    '',
  ])('%j arrives', (value) => {
    const source = `${WEB}    environment:\n      A: \${X}\n      B:\n    command: ["<$X>"]\n`;
    const { web } = (
      parse(text(source, { X: value, B: value })) as {
        services: { web: { environment: Record<string, string>; command: string[] } };
      }
    ).services;
    expect(dockerReads(web.environment['A']!)).toBe(value);
    expect(dockerReads(web.environment['B']!)).toBe(value);
    expect(dockerReads(web.command[0]!)).toBe(`<${value}>`);
  });

  it('are left for Docker to cast where it casts what it interpolated itself', () => {
    expect(text(`${WEB}    deploy: {replicas: "\${N}"}\n`, { N: '3' })).toContain(
      'replicas: "${SWARM_DEPLOY_RENDERED:-3}"',
    );
    expect(text(`${WEB}    hostname: \${N}\n`, { N: 'a3' })).toContain('hostname: "a3"');
  });

  it('of half a surrogate pair become what every encoder writes for it', () => {
    expect(text(`${WEB}    hostname: \${N}\n`, { N: 'a\ud800b' })).toContain('"a\\ufffdb"');
  });
});

describe('the rest of the text', () => {
  it('stays byte for byte', () => {
    const source = `# \${NOT} a $variable\n${WEB}    labels:   {  "a" : 0444, b: "yes" }  # $$ \${C}\n    stop_signal: a$$b\n    user: $U # kept\n`;
    expect(text(source, { U: 'me' })).toBe(source.replace('$U #', '"me" #'));
  });

  it('leaves keys alone', () => {
    expect(text(`${WEB}    labels:\n      $KEY: v\n      "\${KEY}": w\n`)).toContain('"${KEY}": w');
  });

  it('keeps what an anchor means elsewhere when its own place gets a value', () => {
    const source = `${WEB}    environment:\n      A: &none\n      B: *none\n    labels: {l: *none}\n`;
    expect(text(source, { A: '1', B: '2' })).toContain(
      'A: &none "1"\n      B: "2"\n    labels: {l: null}',
    );
  });

  it('keeps a key that is an alias of an interpolated value', () => {
    const source = `${WEB}    labels:\n      a: &v "$X"\n      *v : b\n`;
    expect(text(source, { X: '1' })).toContain('"$X" : b');
  });

  it('has no byte order mark', () => {
    expect(text(`\ufeff${WEB}`)).toBe(WEB);
  });
});

describe('environment without values', () => {
  it('is filled from the runner, and left unset where the runner has none', () => {
    const stack = render(
      `${WEB}    environment: [A, B=1, C, D=, "E=$X"]\n  b:\n    image: x\n    environment: {F: , G: ~, H: "", I: }\n`,
      { A: 'a$b', F: 'f', X: '', I: '' },
    );
    expect(stack.files[0]!.text).toContain('environment: ["A=a$$b", B=1, C, D=, "E="]');
    expect(stack.files[0]!.text).toContain('{F: "f" , G: ~, H: "", I: "" }');
    // Docker's client would fill these from the manager's environment.
    expect(stack.mustBeUnset).toEqual(['C', 'D', 'E', 'G', 'H', 'I', 'SWARM_DEPLOY_RENDERED']);
  });

  it('is found through anchors and merge keys', () => {
    const source = `x-env: &env\n  A:\nx-list: &list [A]\n${WEB}    environment:\n      <<: *env\n  b: {image: x, environment: *list}\n`;
    const rendered = text(source, { A: '1' });
    expect(rendered).toContain('x-env: &env\n  A: "1"\n');
    expect(rendered).toContain('x-list: &list ["A=1"]');
  });
});

describe('files that a stack refers to', () => {
  const source = `${WEB}    env_file: ./a.env\nconfigs:\n  c: {file: "\${DIR}/c.txt"}\nsecrets:\n  s: {file: ~/s}\n  t: {external: true, name: q}\n  u: {external: "\${YES}"}\n`;
  const files = { '/repo/a.env': 'A\n', '/repo/d/c.txt': '${A} $$', '/home/me/s': 's' };

  it('go along, and the text says where they are', () => {
    const { attachments, files: rendered } = render(
      source,
      { DIR: 'd', A: '1', YES: 'true' },
      { files },
    );
    expect(
      attachments.map(({ name, content, origin }) => [name, content.toString(), origin]),
    ).toEqual([
      ['001-a.env', 'A=1\n', './a.env'],
      ['002-c.txt', '${A} $$', 'd/c.txt'],
      ['003-s', 's', '~/s'],
    ]);
    expect(rendered[0]!.text).toContain('env_file: "./attachments/001-a.env"');
    expect(rendered[0]!.text).toContain('file: "./attachments/003-s"');
  });

  it('go along once, however often they are used', () => {
    const twice = `x-f: &f ./c\n${WEB}configs:\n  a: {file: *f}\n  b: {file: c}\nsecrets:\n  s: {file: ../repo/c}\n`;
    const stack = render(twice, {}, { files: { '/repo/c': 'x' } });
    expect(stack.attachments).toHaveLength(1);
    expect(stack.files[0]!.text).toContain('x-f: &f ./c\n');
    expect(stack.files[0]!.text.match(/attachments\/001-c/g)).toHaveLength(3);
  });

  it('have harmless names on the manager', () => {
    const odd = `${WEB}configs:\n  a: {file: "x/$(id) 'é.txt"}\n`;
    const { attachments } = render(odd, {}, { files: { "/repo/x/$(id) 'é.txt": 'x' } });
    expect(attachments[0]!.name).toBe('001-__id____.txt');
  });

  it.each<[string, Options['files'], string]>([
    ['is missing', {}, 'stack.yml:5:13: config c: the file ./f does not exist (looked at /repo/f)'],
    ['is a directory', { '/repo/f': DIRECTORY }, 'config c: the file ./f is not a file'],
    [
      "can't be read",
      { '/repo/f': { error: 'denied' } },
      "config c: the file ./f can't be read: denied",
    ],
    ['is empty', { '/repo/f': Buffer.alloc(0) }, 'config c: the file ./f is empty'],
    [
      'is too large',
      { '/repo/f': Buffer.alloc(1000 * 1024) },
      'config c: the file ./f has 1024000 bytes; Swarm takes less than 1024000',
    ],
  ])('a file that %s is told with its place', (_, present, message) => {
    const found = messages(`${WEB}configs:\n  c: {file: ./f}\n`, {}, { files: present ?? {} });
    expect(found).toEqual([expect.stringContaining(message)]);
  });

  it('takes what is just below the limits', () => {
    const present = {
      '/repo/f': Buffer.alloc(500 * 1024 - 1),
      '/repo/g': Buffer.alloc(500 * 1024),
    };
    expect(messages(`${WEB}secrets:\n  s: {file: ./f}\n`, {}, { files: present })).toEqual([]);
    expect(messages(`${WEB}secrets:\n  s: {file: ./g}\n`, {}, { files: present })).toHaveLength(1);
  });

  it.each([
    ['e', 1],
    ['[e, e2]', 2],
    ['[{path: e}]', 0],
    ['[{path: e, format: raw}]', 0],
  ])('tells what an env_file means to Docker Compose alone: %s', (written, count) => {
    const files = { '/repo/e': 'A="x"\n', '/repo/e2': 'A="x"\n' };
    const { warnings } = render(`${WEB}    env_file: ${written}\n`, {}, { files });
    expect(warnings).toHaveLength(count);
  });

  it('tells what is wrong inside of an env_file, once', () => {
    const twice = `${WEB}    env_file: [e]\n  b: {image: x, env_file: e}\n`;
    expect(messages(twice, {}, { files: { '/repo/e': 'A=1\nexport B=1\n' } })).toEqual([
      'e:2:1: a variable name with a space in it',
    ]);
  });

  it('does not look for a file whose name has an unset variable', () => {
    expect(messages(`${WEB}    env_file: \${NO}/x\n`)).toEqual([
      'stack.yml:4:15: the variable NO is not set',
    ]);
  });

  it('refuses configs without a source', () => {
    expect(messages(`${WEB}configs:\n  c: {}\n`)).toEqual([
      'stack.yml:5:3: config c has neither `file` nor `external: true`',
    ]);
  });
});

describe('bind mounts', () => {
  it.each(['./d:/x', '.:/x', '../d:/x:ro', '~/d:/x', '${D}:/x'])('%s is refused', (volume) => {
    expect(messages(`${WEB}    volumes:\n      - "${volume}"\n`, { D: './e' })).toEqual([
      expect.stringMatching(
        /^stack.yml:5:9: service web: the bind mount of .* not an absolute path$/,
      ),
    ]);
  });

  it('is refused in the long form', () => {
    const source = `${WEB}    volumes:\n      - type: bind\n        source: d\n        target: /x\n`;
    expect(messages(source)).toEqual([expect.stringContaining('stack.yml:6:17: service web')]);
  });

  it.each(['/d:/x', 'named:/x', '/x', 'C:\\d:/x', '${D}:/x', '\\\\.\\pipe\\d:/x'])(
    '%s is fine',
    (volume) => {
      const source = `${WEB}    volumes: ['${volume}']\nvolumes: {named: {}}\n`;
      expect(messages(source, { D: '/e' })).toEqual([]);
    },
  );
});

describe('problems', () => {
  it('of all files are told together, with their places', () => {
    const found = problems({
      'a.yml': `${WEB}    user: "$A \${B:?say B}"\n    labels:\n      x: >-\n        y\n        \${C}\n`,
      'sub/b.yml': 'services:\n  web:\n  - [\n',
      'c.yml': 'services:\n  web: {image: "${D"}\n',
    });
    expect(found.map(({ reason, position }) => [reason, position])).toEqual([
      ['compose-invalid', { file: 'sub/b.yml', line: 4, column: 1 }],
      ['variable-unset', { file: 'a.yml', line: 4, column: 12 }],
      ['variable-unset', { file: 'a.yml', line: 4, column: 15 }],
      ['variable-unset', { file: 'a.yml', line: 8, column: 9 }],
      ['compose-invalid', { file: 'c.yml', line: 2, column: 17 }],
    ]);
    expect(found[2]!.message).toContain('the required variable B is not set: say B');
  });

  it('of an unset variable are warnings where it is allowed', () => {
    const stack = render(`${WEB}    user: "a\${NO}"\n`, {}, { allowUnset: true });
    expect(stack.files[0]!.text).toContain('user: "a"');
    expect(stack.warnings).toMatchObject([
      { reason: 'variable-unset', position: { file: 'stack.yml', line: 4, column: 13 } },
    ]);
    expect(problems(`${WEB}    user: \${NO:?}\n`, {}, { allowUnset: true })).toHaveLength(1);
  });

  it('of syntax come with the line and a caret', () => {
    expect(problems('services:\n  web:\n\timage: x\n')).toMatchObject([
      {
        // What is told apart from the words, as a summary shows it, is not among them.
        message: expect.stringMatching(/^stack.yml:3:1: invalid YAML: .*$/),
        excerpt: '  3 |  image: x\n      ^',
      },
    ]);
  });

  it('of unquoted variables in flow style come with the cure', () => {
    expect(problems(`${WEB}    command: [a, \${X}]\n`, { X: '1' })[0]!.hint).toContain('Quote');
  });

  it.each<[string, string | Buffer, string]>([
    ['an empty file', '', 'the file is empty'],
    ['comments only', '# c\n', 'the file is empty'],
    ['a list', '- a\n', 'a stack file is a mapping'],
    ['a word', 'a\n', 'a stack file is a mapping'],
    ['two documents', `${WEB}---\nservices: {}\n`, 'stack.yml:5:1: a second YAML document'],
    ['no services', 'networks: {}\n', 'there is no service'],
    ['empty services', 'services:\n', 'there is no service'],
    ['a list of services', 'services: [a]\n', '`services` must be a mapping'],
    ['a service of nothing', 'services:\n  a:\n', 'stack.yml:2:3: the service a must be a mapping'],
    [
      'a duplicate key',
      `${WEB}    image: b\n`,
      'stack.yml:4:5: the key `image` is there already, in line 3',
    ],
    ['two merges', `${WEB}    <<: {}\n    <<: {}\n`, 'the key `<<` is there already'],
    [
      'an unknown alias',
      `${WEB}    user: *no\n`,
      'stack.yml:4:11: the alias *no has no anchor &no',
    ],
    ['a circle', `${WEB}    a: &a [*a]\n`, 'the alias *a stands inside of what it refers to'],
    ['a merge of a word', `${WEB}    <<: x\n`, '`<<` takes a mapping'],
    ['a NUL', `${WEB}    user: a\0b\n`, 'stack.yml:4:12: the control character U+0000'],
    ['bytes that are no text', Buffer.from([0xc3, 0x28, 0xff]), 'this is not a text file'],
    ['a lone CR', 'services:\r  web:\r', 'a carriage return without a line feed'],
    ['ten megabytes', Buffer.alloc(10 * 1024 * 1024, 'a'), 'the file has 10485760 bytes'],
    ['deep nesting', `a: ${'['.repeat(5000)}`, 'nested too deeply'],
    ['deep nesting, closed', `a: ${'['.repeat(300)}${']'.repeat(300)}`, 'nested too deeply'],
    ['version 2', `version: "2.4"\n${WEB}`, 'stack.yml:1:10: `version` 2.4 is none that'],
    ['a number for a version', `version: 3.8\n${WEB}`, '`version` must be a string'],
  ])('%s', (_, source, message) => {
    expect(messages(source)).toEqual([expect.stringContaining(message)]);
  });

  it('of a laughter of aliases', () => {
    const lines = Array.from(
      'bcdefghij',
      (name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[index]!}`).join(', ')}]`,
    );
    expect(messages(`a: &a [x]\n${lines.join('\n')}\n${WEB}`)).toEqual([
      expect.stringContaining('the aliases of this file expand it'),
    ]);
    const merges = Array.from(
      'bcdefghij',
      (name, index) =>
        `${name}: &${name} {<<: [${Array(9).fill(`*${'abcdefghi'[index]!}`).join(', ')}]}`,
    );
    expect(messages(`a: &a {k: v}\n${merges.join('\n')}\n${WEB}`)).toHaveLength(1);
  });

  it('are told in a number that can be read', () => {
    const found = messages(`x-a: [${'$A, '.repeat(1000)}]\n${WEB}`);
    expect(found).toHaveLength(201);
    expect(found.at(-1)).toBe('800 more problems like these');
  });

  it('are all that arbitrary text leads to', () => {
    const parts = fc.constantFrom(
      ...['services:', '\n', '  ', ' ', 'web:', 'image: ', 'x', '- ', '{', '}', '[', ']', ',', '"'],
      ...["'", '&a ', '*a', '!t ', '|', '>', '$X', '${X', '${X:-', '#', '? ', ': ', '<<: ', '\t'],
      ...['environment:', 'env_file:', 'volumes:', '~', 'null', '---', '...', '%', '\r\n', 'é'],
    );
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(parts, { maxLength: 40 }).map((list) => list.join('')),
      fc.array(parts, { maxLength: 20 }).map((list) => `${WEB}    ${list.join('')}`),
    );
    fc.assert(
      fc.property(texts, (source) => {
        try {
          render(source, { X: '1' }, { allowUnset: true });
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidInput);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('name', () => {
  it('is taken from Docker, which refuses it, in whatever style it is written', () => {
    expect(text(`name: demo\n${WEB}`)).toBe(`"x-swarm-deploy-name": demo\n${WEB}`);
    expect(text('{"name":"demo","services":{"web":{"image":"x"}}}')).toBe(
      '{"x-swarm-deploy-name":"demo","services":{"web":{"image":"x"}}}',
    );
    expect(text(`name: &n demo\nservices: {web: {image: *n}}\n`)).toContain('image: *n');
  });

  it('warns where it is another than the stack', () => {
    expect(render(`name: demo\n${WEB}`).warnings).toEqual([]);
    expect(render(`name: other\n${WEB}`).warnings).toMatchObject([
      { position: { file: 'stack.yml', line: 1, column: 1 } },
    ]);
  });

  it('needs no variables, and is one itself', () => {
    expect(text(`name: \${NO}\n${WEB}    user: $COMPOSE_PROJECT_NAME\n`)).toContain('user: "demo"');
    expect(
      text(`${WEB}    user: $COMPOSE_PROJECT_NAME\n`, { COMPOSE_PROJECT_NAME: 'mine' }),
    ).toContain('user: "mine"');
  });
});

describe('version', () => {
  it('is added for clients that need it, in whatever style the file is written', () => {
    const added = (source: string): string => withVersion(render(source), '3.8').files[0]!.text;
    expect(added(WEB)).toBe(`version: "3.8"\n${WEB}`);
    expect(added(`# c\n---\n# d\n${WEB}`)).toBe(`# c\n---\n# d\nversion: "3.8"\n${WEB}`);
    expect(added(`%YAML 1.1\n---\n${WEB}`)).toBe(`%YAML 1.1\n---\nversion: "3.8"\n${WEB}`);
    expect(added('  services:\n    web: {image: x}\n')).toBe(
      '  version: "3.8"\n  services:\n    web: {image: x}\n',
    );
    expect(added('{"services":{"web":{"image":"x"}}}')).toBe(
      '{"version": "3.8", "services":{"web":{"image":"x"}}}',
    );
    expect(added(`name: demo\n${WEB}`)).toContain('version: "3.8"\n"x-swarm-deploy-name"');
    expect(added(`version: "3.1"\n${WEB}`)).toBe(`version: "3.1"\n${WEB}`);
  });

  it('is that of the other files where only some have one, since Docker refuses a mixture', () => {
    const stack = render({ 'a.yml': WEB, 'b.yml': `version: "3.7"\n${WEB}` });
    expect(stack.composeVersion).toBe('3.7');
    expect(stack.files.map((file) => file.text.split('\n')[0])).toEqual([
      'version: "3.7"',
      'version: "3.7"',
    ]);
    expect(
      messages({ 'a.yml': `version: "3.8"\n${WEB}`, 'b.yml': `version: "3.7"\n${WEB}` }),
    ).toEqual(['b.yml:1:1: `version` is 3.7 here and 3.8 in a.yml:1']);
  });

  it('comes out of a variable as Docker needs it: before it interpolates', () => {
    expect(text(`version: "\${V}"\n${WEB}`, { V: '3' })).toContain('version: "3"');
  });

  it.each([
    ['3.0', '28.5.1', '3'],
    ['3.8', '28.5.1', '3'],
    ['3.13', '23.0.0', '3'],
    ['3', '28.5.1', '3'],
    ['3', '20.10.24', '3.9'],
    ['3.3', '20.10.24', '3.9'],
    ['3.13', '20.10.24', '3.9'],
    ['3.9', '19.03.15', '3.8'],
    ['3.9', '20.10.24', '3.9'],
  ])('%s is, for the client %s, %s: the newest that it knows', (written, client, version) => {
    const [a, b] = [`# a\nversion: '${written}' # old\n${WEB}`, `${WEB}version: "${written}"\n`];
    const stack = render({ 'a.yml': a, 'b.yml': b, 'c.yml': WEB });
    const fitted = forClient(stack, client).stack;
    expect(fitted.composeVersion).toBe(version);
    const same = written === version;
    expect(fitted.files.map((file) => file.text)).toEqual([
      same ? a : `# a\nversion: "${version}" # old\n${WEB}`,
      same ? b : `${WEB}version: "${version}"\n`,
      `version: "${version}"\n${WEB}`,
    ]);
  });

  it('lets Docker take what came after it: all that an old file may say now', () => {
    const { stack } = forClient(
      render(
        'version: "3.8"\nname: demo\nservices:\n  web:\n    image: w\n    healthcheck: {test: x, start_interval: 1s}\n',
      ),
      '28.5.1',
    );
    expect(stack.files[0]!.text).toContain('version: "3"');
    expect(stack.files[0]!.text).toContain('start_interval: 1s');
  });

  it.each([
    ['18.06.3-ce', '3.6'],
    ['18.09.9', '3.7'],
    ['19.03.15', '3.8'],
    ['20.10.24', '3.9'],
    ['23.0.0', undefined],
    ['28.2.2', undefined],
    ['library-import', undefined],
  ])('for the client %s is %s', (client, version) => {
    expect(composeVersionFor(client)).toBe(version);
  });
});

describe('the view of the services', () => {
  const stack = render(
    {
      'a.yml':
        'x-b: &b {image: "b:$T", healthcheck: {test: x}}\nservices:\n  web:\n    <<: *b\n    deploy: {mode: replicated, replicas: "$N"}\n  off:\n    image: o\n    healthcheck: {disable: true}\nnetworks: {n: {}}\nvolumes: {v: {}}\n',
      'b.yml':
        'services:\n  web:\n    image: c:$T\n  off: {healthcheck: {timeout: 5s}}\n  none: {image: n, healthcheck: {test: [NONE]}, deploy: {mode: global}}\nsecrets: {s: {external: true}}\nnetworks: {m: {}}\n',
    },
    { T: '1', N: '4' },
  );

  it('has what the last file says', () => {
    expect(stack.services.get('web')).toEqual({
      name: 'web',
      image: 'c:1',
      healthcheck: 'declared',
      mode: 'replicated',
      replicas: 4,
      position: { file: 'a.yml', line: 3, column: 3 },
      imagePosition: { file: 'b.yml', line: 3, column: 5 },
    });
    expect(stack.services.get('off')).toMatchObject({ healthcheck: 'disabled', image: 'o' });
    expect(stack.services.get('none')).toMatchObject({ healthcheck: 'disabled', mode: 'global' });
  });

  it('has the names of everything else', () => {
    expect([stack.networks, stack.volumes, stack.configs, stack.secrets]).toEqual([
      ['n', 'm'],
      ['v'],
      [],
      ['s'],
    ]);
  });

  it('warns where clients disagree about a merge key', () => {
    const { warnings } = render(
      'x-a: &b {image: a}\nservices:\n  w:\n    image: own\n    <<: *b\n',
    );
    expect(warnings).toMatchObject([{ position: { line: 5, column: 5 } }]);
    expect(
      render('x-a: &b {image: a}\nservices:\n  w:\n    <<: *b\n    image: own\n').warnings,
    ).toEqual([]);
  });
});
