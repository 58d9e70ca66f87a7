import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parse, parseDocument } from 'yaml';
import { FILE_KEYS, type Keys, type Shape } from '../../../src/compose/keys.js';
import { renderStack, type RenderedStack } from '../../../src/compose/render.js';
import {
  plainType,
  readBoolean,
  readBytes,
  readDuration,
  readInteger,
} from '../../../src/compose/spelling.js';
import { forClient } from '../../../src/compose/version.js';
import { withKeys } from '../../../scripts/docs.mjs';
import { InvalidInput, type Problem } from '../../../src/errors.js';

function render(
  text: string | Readonly<Record<string, string>>,
  variables: Readonly<Record<string, string>> = {},
): RenderedStack {
  const files = typeof text === 'string' ? { 'stack.yml': text } : text;
  return renderStack({
    files: Object.entries(files).map(([path, content]) => ({ path, text: Buffer.from(content) })),
    stack: 'demo',
    variables: new Map(Object.entries(variables)),
    allowUnset: false,
    workingDirectory: '/repo',
    home: undefined,
    readFile: () => 'missing',
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

describe('the table of keys', () => {
  const schemas = JSON.parse(
    readFileSync(new URL('./fixtures/schema-keys.json', import.meta.url), 'utf8'),
  ) as Record<string, readonly string[]>;

  /** What the table says of a path of a schema: `undefined` if nothing. */
  function find(path: string): string | undefined {
    let shape: Shape | undefined;
    let keys: Keys | undefined = FILE_KEYS;
    for (const name of path.split('.')) {
      if (name === '*') {
        shape = shape?.named ?? shape?.list?.named;
        keys = shape?.keys ?? shape?.list?.keys;
        continue;
      }
      const key = keys !== undefined && Object.hasOwn(keys, name) ? keys[name] : undefined;
      if (key === undefined) return undefined;
      // Below what goes, or has a function of its own, there is nothing to say.
      if (key.fate !== 'kept' || key.shape.named?.scalar === 'any') return key.fate;
      shape = key.shape;
      keys = shape.keys ?? shape.list?.keys;
    }
    return 'found';
  }

  it.each(Object.entries(schemas))('says something of every key of %s', (_, paths) => {
    expect(paths.length).toBeGreaterThan(100);
    expect(paths.filter((path) => !path.includes('x-') && find(path) === undefined)).toEqual([]);
  });

  it.each(['docker-3.9', 'docker-3.13'])('keeps what Docker takes: %s', (schema) => {
    const left = (schemas[schema] ?? []).filter((path) => {
      return ['dropped', 'warned', 'refused'].includes(find(path) ?? '');
    });
    expect(left).toEqual([]);
  });
});

describe('spellings', () => {
  it.each([
    ['1h30m', '1h30m'],
    ['10s500ms', '10s500ms'],
    ['1d', '24h'],
    ['1w2d', '168h48h'],
    ['1.5d', '36h'],
    ['0', '0'],
    ['1µs', '1µs'],
    ['30', undefined],
    ['', undefined],
    ['1 h', undefined],
    ['h', undefined],
    ['5x', undefined],
  ])('the duration %s is %s', (text, expected) => {
    expect(readDuration(text)).toBe(expected);
  });

  it.each([
    ['64m', 64 * 1024 ** 2],
    ['64Mi', 64 * 1024 ** 2],
    ['.5g', 512 * 1024 ** 2],
    ['1.g', 1024 ** 3],
    ['.g', undefined],
    ['1gb', 1024 ** 3],
    ['1.5 GiB', 1.5 * 1024 ** 3],
    ['512', 512],
    ['10b', 10],
    ['2K', 2048],
    ['1t', 1024 ** 4],
    ['m', undefined],
    ['1 x', undefined],
    ['-1m', undefined],
  ])('the size %s is %s', (text, expected) => {
    expect(readBytes(text)).toBe(expected);
  });

  it.each([
    ['010', '10'],
    ['-3', '-3'],
    ['+3', '3'],
    ['-0', '0'],
    ['00', '0'],
    ['1.0', undefined],
    ['0x1', undefined],
    ['', undefined],
  ])('the number %s is %s', (text, expected) => {
    expect(readInteger(text)).toBe(expected);
  });

  it('booleans are those of YAML 1.1', () => {
    expect(['y', 'Yes', 'TRUE', 'on'].map(readBoolean)).toEqual([true, true, true, true]);
    expect(['n', 'No', 'FALSE', 'off'].map(readBoolean)).toEqual([false, false, false, false]);
    expect(['', '1', 'tru'].map(readBoolean)).toEqual([undefined, undefined, undefined]);
  });

  it.each([
    ['true', 'bool'],
    ['yes', 'old-bool'],
    ['n', 'old-bool'],
    ['010', 'int'],
    ['0x1F', 'int'],
    ['1_000', 'int'],
    ['1.5', 'float'],
    ['1e3', 'float'],
    ['.inf', 'float'],
    ['2024-01-31', 'time'],
    ['~', 'null'],
    ['1.2.3', 'text'],
    ['8080:80', 'text'],
    ['"true"', 'text'],
  ])('%s is %s', (text, expected) => {
    const { contents } = parseDocument(text, { schema: 'failsafe' });
    expect(contents === null ? undefined : plainType(contents)).toBe(expected);
  });
});

describe('problems', () => {
  it('show the line with a caret', () => {
    const [problem] = problems('services:\n  web:\n    image: "w:${TAG}"\n');
    expect(problem?.excerpt).toBe(`  3 |     image: "w:\${TAG}"\n${' '.repeat(20)}^`);
  });

  it('guess what was meant', () => {
    const [problem] = problems('services:\n  web:\n    imag: w\n    image: w:1\n');
    expect(problem).toMatchObject({ hint: 'Is `image` meant?', position: { line: 3, column: 5 } });
  });

  it('never show the value of a secret', () => {
    const found = problems(
      'services:\n  web: {image: "w:1"}\nsecrets:\n  a: {environment: TOKEN}\n',
      { TOKEN: 's3cr3t'.repeat(100_000) },
    );
    expect(found).toHaveLength(1);
    expect(JSON.stringify(found)).not.toContain('s3cr3t');
  });
});

describe('!reset', () => {
  it('does not walk through a laughter of aliases', () => {
    const laughter = Array.from({ length: 18 }, (_, level) => {
      const inner =
        level === 0
          ? 'x: !reset null'
          : Array.from('abcdefghi', (key) => `${key}: *a${level - 1}`).join(', ');
      return `x-${level}: &a${level} {${inner}}`;
    });
    const source = `${laughter.join('\n')}\nservices:\n  web: {image: "w:1"}\n`;
    expect(problems(source)).toMatchObject([{ message: expect.stringContaining('expand it to') }]);
  });
});

describe('!reset and !override of what others have through an anchor', () => {
  const services = (base: string, over: string): unknown => {
    const [file] = render({ 'a.yml': base, 'b.yml': over }).files;
    return (parse(file?.text ?? '', { merge: true }) as { services: unknown }).services;
  };
  const OVER = 'services:\n  web:\n    environment: !override {B: 2}\n';

  it('leave it to them: only the service that they stand in loses the key', () => {
    const base =
      'services:\n  web: &web\n    image: a:1\n    environment: {A: 1}\n  worker:\n    <<: *web\n    image: b:1\n  copy: *web\n';
    expect(services(base, OVER)).toEqual({
      web: { image: 'a:1' },
      worker: { image: 'b:1', environment: { A: 1 } },
      copy: { image: 'a:1', environment: { A: 1 } },
    });
    expect(services(base, `${OVER}  worker:\n    environment: !reset null\n`)).toEqual({
      web: { image: 'a:1' },
      worker: { image: 'b:1' },
      copy: { image: 'a:1', environment: { A: 1 } },
    });
  });

  it('leave it to them where it is a key inside of theirs', () => {
    const base =
      'services:\n  web:\n    image: a:1\n    deploy: &deploy\n      replicas: 2\n      labels: {a: b}\n  worker:\n    image: b:1\n    deploy:\n      <<: *deploy\n      replicas: 3\n';
    expect(services(base, 'services: {web: {deploy: {labels: !reset null}}}\n')).toEqual({
      web: { image: 'a:1', deploy: { replicas: 2 } },
      worker: { image: 'b:1', deploy: { replicas: 3, labels: { a: 'b' } } },
    });
  });
});

describe('an item of a list that YAML reads as a mapping', () => {
  it.each([
    ['environment', 'FOO: bar'],
    ['labels', 'traefik.enable: true'],
    ['command', '--flag: x'],
  ])('of %s says what stands there and how it is written', (key, item) => {
    expect(problems(`services:\n  web:\n    image: w\n    ${key}:\n      - ${item}\n`)).toEqual([
      expect.objectContaining({
        message: `stack.yml:5:9: an item of \`services.web.${key}\` takes a single value, and this is a mapping`,
        hint: expect.stringContaining(
          'in quotes; a variable or label of a list is written NAME=VALUE',
        ),
      }),
    ]);
  });
});

describe('names in the sections', () => {
  it('are those that Docker takes', () => {
    const file = (section: string, name: string): string =>
      `services: {web: {image: w}}\n${section}:\n  "${name}": {external: true}\n`;
    for (const section of ['networks', 'volumes', 'configs', 'secrets']) {
      expect(problems(file(section, 'a.B-c_1'))).toEqual([]);
      for (const name of ['a b', 'a/b', 'ä', 'a@b'])
        expect(problems(file(section, name)).map(({ message }) => message)).toEqual([
          `stack.yml:3:3: \`${section}\` has the name ${name}, which Docker does not take`,
        ]);
    }
  });
});

describe('sizes as Kubernetes writes them', () => {
  it.each([
    ['64Mi', '64MiB'],
    ['1.5Gi', '1.5GiB'],
    ['64MiB', '64MiB'],
    ['64m', '64m'],
  ])('%s is %s', (written, expected) => {
    const { files } = render(
      `services:\n  web: {image: w, deploy: {resources: {limits: {memory: ${written}}}}}\n`,
    );
    expect(files[0]?.text).toContain(`memory: ${expected === written ? written : `"${expected}"`}`);
  });
});

describe('content and environment', () => {
  const stack = render(
    'services:\n  web: {image: "w:1"}\nconfigs:\n  c: {content: "a=$A\\n"}\n  d: {environment: A}\nsecrets:\n  s: {environment: A}\n',
    { A: 'va$lue' },
  );

  it('are carried along, secrets marked as such', () => {
    expect(stack.attachments.map(({ content, secret }) => [content.toString(), secret])).toEqual([
      ['a=va$lue\n', false],
      ['va$lue', false],
      ['va$lue', true],
    ]);
    expect(stack.files[0]?.text).not.toContain('va$lue');
  });
});

describe('a file mode out of a variable', () => {
  const attached = (mode: string): string =>
    `services: {web: {image: w, secrets: [{source: s, mode: "${mode}"}]}}\nsecrets: {s: {external: true}}\n`;
  const rendered = (mode: string): string => {
    const [file] = render(attached('${MODE}'), { MODE: mode }).files;
    return /mode: ("[^"]*"|\d+)/.exec(file?.text ?? '')?.[1] ?? '';
  };
  const warnings = (mode: string): readonly string[] =>
    render(attached('${MODE}'), { MODE: mode }).warnings.map(({ message }) => message);

  it('is what Docker makes of it, a decimal number, with a warning where it looks octal', () => {
    expect(rendered('0444')).toContain(':-0444}');
    expect(warnings('0444')).toEqual([
      expect.stringMatching(
        /^stack\.yml:1:56: `services\.web\.secrets\.mode`: .* is the mode 0674$/,
      ),
    ]);
    for (const plain of ['292', '444', '0']) expect(warnings(plain)).toEqual([]);
  });

  it('is octal where Docker would refuse it and it says so, and an error otherwise', () => {
    expect(rendered('0o444')).toBe('292');
    expect(warnings('0o444')).toEqual([]);
    expect(problems(attached('${MODE}'), { MODE: 'u=r' }).map(({ message }) => message)).toEqual([
      'stack.yml:1:56: `services.web.secrets.mode` takes a file mode such as 0440',
    ]);
  });

  it('that stands in the file as a text is octal', () => {
    const [file] = render(attached('0444')).files;
    expect(file?.text).toContain('mode: 292');
  });
});

describe('older clients', () => {
  const stack = render(
    'services:\n  web:\n    image: w:1\n    oom_score_adj: 5\n    healthcheck: {test: x, start_interval: 1s}\n',
  );
  const keys = (client: string): [string[], number] => {
    const fitted = forClient(stack, client);
    const { services } = parse(fitted.stack.files[0]?.text ?? '') as {
      services: { web: { healthcheck: object } };
    };
    return [
      [...Object.keys(services.web), ...Object.keys(services.web.healthcheck)],
      fitted.warnings.length,
    ];
  };

  it.each<[string, string[], number]>([
    ['20.10.24', ['image', 'healthcheck', 'test'], 2],
    ['24.0.9', ['image', 'healthcheck', 'test'], 2],
    ['26.1.5', ['image', 'healthcheck', 'test', 'start_interval'], 1],
    ['27.0.0', ['image', 'oom_score_adj', 'healthcheck', 'test', 'start_interval'], 0],
    ['28.5.2', ['image', 'oom_score_adj', 'healthcheck', 'test', 'start_interval'], 0],
  ])('%s', (client, expected, warnings) => {
    expect(keys(client)).toEqual([expected, warnings]);
  });
});

describe('keys that are left out', () => {
  type Value = string | readonly Value[] | { readonly [key: string]: Value };
  const word = fc.constantFrom('a', 'two words', 'x: y', '# no', 'on', '12', "it's");
  const text = (value: string): string => JSON.stringify(value);

  /** Writes a value in a style that the numbers choose: block, flow, comments, blank lines. */
  function write(value: Value, indent: string, choose: () => number): string {
    if (typeof value === 'string') {
      const pick = choose() % 4;
      if (pick === 0 && /^[a-z]$/.test(value)) return ` ${value === 'n' ? text(value) : value}`;
      if (pick === 1) return ` ${text(value)} # why`;
      if (pick === 2) return ` |-\n${indent}  ${value}`;
      return ` ${text(value)}`;
    }
    const list = Array.isArray(value);
    const items: [string, Value][] = list
      ? (value as readonly Value[]).map((item) => ['', item])
      : Object.entries(value);
    if (items.length === 0) return list ? ' []' : ' {}';
    if (choose() % 3 === 0) return ` ${flow(value, choose)}`;
    const head = choose() % 4 === 0 ? ' # head' : '';
    return (
      head +
      items
        .map(([name, item]) => {
          const gap = choose() % 5 === 0 ? `\n${indent}# between` : '';
          if (!list) return `${gap}\n${indent}${name}:${write(item, `${indent}  `, choose)}`;
          if (typeof item === 'object' && !Array.isArray(item) && choose() % 2 === 0) {
            const block = Object.entries(item)
              .map(([key, inner]) => `${key}:${write(inner, `${indent}    `, choose)}`)
              .join(`\n${indent}  `);
            if (block !== '') return `${gap}\n${indent}- ${block}`;
          }
          return `${gap}\n${indent}-${write(item, `${indent}  `, choose)}`;
        })
        .join('')
    );
  }
  function flow(value: Value, choose: () => number): string {
    if (typeof value === 'string') return text(value);
    if (Array.isArray(value))
      return `[${value.map((item: Value) => flow(item, choose)).join(', ')}]`;
    const comma = choose() % 3 === 0 && Object.keys(value).length > 0 ? ', ' : '';
    return `{${Object.entries(value)
      .map(([name, item]) => `${name}: ${flow(item, choose)}`)
      .join(', ')}${comma}}`;
  }

  const gone = { 'x-a': word, 'x-b': fc.constant({ deep: ['a', { b: 'c' }] }) };
  const port = fc.record(
    {
      target: fc.constant('80'),
      name: word,
      app_protocol: word,
      protocol: fc.constant('tcp'),
      ...gone,
    },
    { requiredKeys: ['target'] },
  );
  const service = fc.record(
    {
      image: fc.constant('i:1'),
      hostname: word,
      attach: fc.constant('false'),
      develop: fc.constant({ watch: [{ path: 'a', action: 'sync' }] }),
      pull_policy: fc.constant('always'),
      labels: fc.dictionary(fc.constantFrom('a', 'b', 'c'), word),
      ports: fc.array(port, { minLength: 1, maxLength: 3 }),
      logging: fc.record({ driver: word, ...gone }, { requiredKeys: [] }),
      annotations: fc.constant({ a: 'b' }),
    },
    { requiredKeys: ['image'] },
  );
  const DROPPED = [
    'attach',
    'develop',
    'pull_policy',
    'annotations',
    'name',
    'app_protocol',
    'x-a',
    'x-b',
  ];
  const without = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(without);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .filter(([name]) => !DROPPED.includes(name))
        .map(([name, inner]) => [name, without(inner)]),
    );
  };

  it('leave everything else as it was, in whatever style it is written', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom('s', 't', 'u'), service, { minKeys: 1 }),
        fc.array(fc.nat(1000), { minLength: 40, maxLength: 40 }),
        (services, choices) => {
          let at = 0;
          const choose = (): number => choices[at++ % choices.length] ?? 0;
          const source = `services:${write(services, '  ', choose)}\n`;
          const { files } = render(source);
          const read = parse(files[0]?.text ?? '', { schema: 'failsafe' }) as object;
          expect(read).toEqual({ services: without(services) });
        },
      ),
      { numRuns: 400 },
    );
  });
});

describe('docs/stack-files.md', () => {
  it('has the table of the keys', async () => {
    const page = readFileSync('docs/stack-files.md', 'utf8');
    expect(await withKeys(page, { FILE_KEYS })).toBe(page);
  });
});

describe('what stands in a list twice', () => {
  const problems = (service: string): readonly string[] => {
    try {
      renderStack({
        files: [{ path: 'a.yml', text: Buffer.from(`services: {a: {image: x, ${service}}}`) }],
        stack: 'shop',
        variables: new Map(),
        allowUnset: false,
        workingDirectory: '/nowhere',
        home: undefined,
        readFile: () => 'missing',
      });
      return [];
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error;
      return error.problems.map(({ message }) => message);
    }
  };

  it.each([
    'environment: [A=1, A=1]',
    'labels: [a, a]',
    'dns: [1.1.1.1, 1.1.1.1]',
    'ports: ["80:80", "80:80"]',
    'cap_add: [ALL, ALL]',
    'expose: ["80", "80"]',
    'networks: [default, default]',
  ])('is refused where Docker refuses it: %s', (service) => {
    expect(problems(service)).toEqual([
      expect.stringMatching(/^a\.yml:1:\d+: `services\.a\.\w+` has this twice, in line 1 already/),
    ]);
  });

  it.each([
    'command: [a, a]',
    'entrypoint: [a, a]',
    'healthcheck: {test: [CMD, a, a]}',
    'environment: [A=1, A=2]',
    'deploy: {placement: {constraints: [node.id==b, node.id==b]}}',
  ])('is taken where Docker takes it: %s', (service) => {
    expect(problems(service)).toEqual([]);
  });
});

describe('what Docker only finds out by itself, without a line', () => {
  const problems = (lines: string): readonly string[] => {
    try {
      renderStack({
        files: [
          { path: 'a.yml', text: Buffer.from(`services:\n  a:\n    image: x\n    ${lines}\n`) },
        ],
        ...{ stack: 'shop', variables: new Map(), allowUnset: false },
        ...{ workingDirectory: '/nowhere', home: undefined, readFile: () => 'missing' as const },
      });
      return [];
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error;
      return error.problems.map(({ message }) => message);
    }
  };

  it.each([
    [
      'deploy: {replicas: -1}',
      '4:24: `services.a.deploy.replicas` takes a whole number that is not',
    ],
    ['deploy: {update_config: {parallelism: "-1"}}', '4:43: `services.a.deploy.update_config.para'],
    ['scale: -2', '4:12: `services.a.scale` takes a whole number that is not negative'],
    ['healthcheck: {test: x, retries: -0x1}', '4:37: `services.a.healthcheck.retries` takes'],
    ['ports: [-1]', '4:13: `services.a.ports` takes [address:]'],
    ['ports: [70000]', '4:13: `services.a.ports` takes [address:]'],
    ['ports: [{target: -1}]', '4:22: `services.a.ports.target` takes a whole number that is not'],
    ['volumes: [{source: /a, target: /b}]', '4:15: `services.a.volumes` needs `type` when it is'],
    ['volumes: [""]', '4:15: `services.a.volumes` takes [source:]target'],
    ['volumes: ["a::b"]', '4:15: `services.a.volumes` takes [source:]target'],
    ['volumes: ["/a:/b:"]', '4:15: `services.a.volumes` takes [source:]target'],
    ['ulimits: {nofile: {soft: 1}}', '4:23: `services.a.ulimits.nofile` needs `hard` when it is'],
    [
      'ulimits: {nofile: {}}',
      '4:23: `services.a.ulimits.nofile` needs `soft` and `hard` when it is',
    ],
    ['devices: /dev/x', '4:14: `services.a.devices` takes a list, and this is a single value'],
    ['devices: [/dev/x, /dev/x]', '4:23: `services.a.devices` has this twice'],
    ['extra_hosts: ["a:1.1.1.1", "a:1.1.1.1"]', '4:32: `services.a.extra_hosts` has this twice'],
    ['expose: [~]', '4:14: `services.a.expose` has no value'],
    [
      'deploy: {update_config: {max_failure_ratio: .inf}}',
      '4:49: `services.a.deploy.update_config',
    ],
    ['deploy: {update_config: {order: ""}}', '4:30: service a: `deploy.update_config.order` takes'],
  ])('%s', (lines, expected) => {
    expect(problems(lines)).toEqual([expect.stringContaining(`a.yml:${expected}`)]);
  });

  it.each([
    'deploy: {replicas: 0, update_config: {parallelism: 0, max_failure_ratio: .5}}',
    'ports: [80, 65535, {target: 80, published: 0}]',
    'volumes: [/a, "/a:/b:ro", {type: volume, target: /c}]',
    'ulimits: {memlock: -1, nofile: {soft: -1, hard: -1}}',
    'oom_score_adj: -500',
    'pids_limit: -1',
    'extra_hosts: {a: [1.1.1.1, 1.1.1.1]}',
    'devices: [/dev/x, {source: /dev/y}]',
    'expose: [80, "81", 1000-1010]',
  ])('is not refused: %s', (lines) => {
    expect(problems(lines)).toEqual([]);
  });
});
