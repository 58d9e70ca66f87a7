import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parse } from 'yaml';
import { renderStack, type RenderedStack } from '../../../src/compose/render.js';
import { orderOf } from '../../../src/compose/order.js';
import type { Condition, Dependency, Dependent } from '../../../src/compose/depends-on.js';
import { InvalidInput } from '../../../src/errors.js';

interface Options {
  readonly profiles?: readonly string[];
  readonly variables?: Readonly<Record<string, string>>;
}

const render = (files: string | readonly string[], more: Options = {}): RenderedStack =>
  renderStack({
    files: [files].flat().map((text, index) => ({
      path: index === 0 ? 'stack.yml' : `more${index}.yml`,
      text: Buffer.from(text),
    })),
    stack: 'shop',
    variables: new Map(Object.entries(more.variables ?? {})),
    allowUnset: false,
    workingDirectory: '/nowhere',
    home: undefined,
    readFile: () => 'missing',
    profiles: more.profiles ?? [],
  });

function problems(files: string | readonly string[], more: Options = {}): readonly string[] {
  try {
    render(files, more);
  } catch (error) {
    if (error instanceof InvalidInput)
      return error.problems.map(({ message, reason }) => {
        expect(reason).toBe('compose-invalid');
        return message;
      });
    throw error;
  }
  throw new Error('nothing is wrong with it');
}

const warnings = (files: string | readonly string[], more: Options = {}): readonly string[] =>
  render(files, more).warnings.map(({ message }) => message);

const waves = (files: string | readonly string[], more: Options = {}): readonly string[] =>
  render(files, more).waves.map(({ services, needs }) =>
    [
      services.join(' '),
      ...needs.map(({ service, completed }) => `${service}${completed ? '!' : ''}`),
    ].join(' < '),
  );

const WELL = '    healthcheck: {test: "true"}\n';
const ONCE = '    deploy: {restart_policy: {condition: none}}\n';
const service = (name: string, more = ''): string => `  ${name}:\n    image: ${name}\n${more}`;
const needs = (on: string, condition: string, more = ''): string =>
  `    depends_on:\n      ${on}:\n        condition: ${condition}\n${more}`;

describe('waves', () => {
  it('are one without conditions, and the text is as it was', () => {
    const text = `services:\n${service('a', '    depends_on: [b]\n')}${service('b', '    depends_on:\n      - c\n')}${service('c')}`;
    expect(waves(text)).toEqual(['a b c']);
    expect(render(text).files[0]?.text).toBe(text);
  });

  it('are one where services only have to be started, and the client gets a list', () => {
    const text = `services:\n${service('a', needs('b', 'service_started'))}${service('b')}`;
    expect(waves(text)).toEqual(['a b']);
    expect(parse(render(text).files[0]?.text ?? '')).toEqual({
      services: { a: { image: 'a', depends_on: ['b'] }, b: { image: 'b' } },
    });
  });

  it('follow conditions', () => {
    const text =
      'services:\n' +
      service('api', needs('migrate', 'service_completed_successfully')) +
      service('web', '    depends_on: [api]\n') +
      service('migrate', ONCE + needs('db', 'service_healthy')) +
      service('db', WELL);
    expect(waves(text)).toEqual(['web db', 'migrate < db', 'api < migrate!']);
  });

  it('wait for jobs, and for what is both healthy and complete to be complete', () => {
    const job = '    deploy: {mode: replicated-job}\n';
    const text =
      'services:\n' +
      service('job', job) +
      service('a', needs('job', 'service_healthy')) +
      service('b', needs('job', 'service_completed_successfully')) +
      service('c', needs('job', 'service_healthy'));
    expect(waves(text)).toEqual(['job', 'a b c < job!']);
  });

  it('wait for the end of what Docker gives such a restart policy', () => {
    const text = (more: string): string =>
      `services:\n${service('a', needs('b', 'service_completed_successfully'))}${service('b', more)}`;
    expect(waves(text('    restart: on-failure\n'))).toEqual(['b', 'a < b!']);
    expect(waves(text('    restart: on-failure:3\n'))).toEqual(['b', 'a < b!']);
    expect(waves([text('    restart: "no"\n'), 'services:\n  b: {restart: on-failure}\n'])).toEqual(
      ['b', 'a < b!'],
    );
    // Next to a policy, it says nothing.
    for (const policy of ['{condition: any}', '{delay: 1s}', '{}'])
      expect(
        problems(text(`    restart: on-failure\n    deploy: {restart_policy: ${policy}}\n`)),
      ).toHaveLength(1);
  });

  it('add up over files, the last one of a dependency wins', () => {
    const one = `services:\n${service('a', needs('b', 'service_healthy'))}${service('b', WELL)}${service('c', WELL)}`;
    expect(waves([one, `services:\n  a:\n${needs('c', 'service_healthy')}`])).toEqual([
      'b c',
      'a < b < c',
    ]);
    expect(waves([one, 'services:\n  a:\n    depends_on: [b]\n'])).toEqual(['a b c']);
    const again = `services:\n  b:\n${ONCE}    healthcheck: {test: [NONE]}\n  a:\n${needs('b', 'service_completed_successfully')}`;
    expect(waves([one, again])).toEqual(['b c', 'a < b!']);
  });

  it('read variables, anchors and merge keys', () => {
    const text =
      `x-needs: &needs\n  b: {condition: "\${HOW}"}\nx-a: &a\n  depends_on:\n    <<: *needs\nservices:\n` +
      `  a:\n    <<: *a\n    image: a\n  c: {image: c, depends_on: *needs}\n${service('b', WELL)}`;
    expect(waves(text, { variables: { HOW: 'service_healthy' } })).toEqual(['b', 'a c < b']);
    expect(problems(text, { variables: { HOW: 'service_ready' } })).toHaveLength(2);
  });

  it('are found for thousands of services in a row', () => {
    const list = Array.from(
      { length: 8000 },
      (_, index) => `  s${index}: {image: x, depends_on: [s${index + 1}]}\n`,
    ).join('');
    expect(render(`services:\n${list}  s8000: {image: x}\n`).waves).toHaveLength(1);
    expect(problems(`services:\n${list}  s8000: {image: x, depends_on: [s0]}\n`)).toHaveLength(1);
  });

  it('are right for any dependencies without a cycle', () => {
    const conditions: readonly Condition[] = [
      'service_started',
      'service_healthy',
      'service_completed_successfully',
    ];
    const graph = fc.array(
      fc.array(fc.record({ on: fc.nat(), condition: fc.constantFrom(...conditions) }), {
        maxLength: 4,
      }),
      { minLength: 1, maxLength: 12 },
    );
    fc.assert(
      fc.property(graph, fc.boolean(), (edges, backwards) => {
        const services = new Map<string, Dependent>();
        edges.forEach((list, index) => {
          const dependencies = new Map<string, Dependency>();
          // Of those before it alone: no cycle.
          if (index > 0)
            for (const { on, condition } of list)
              dependencies.set(`s${on % index}`, {
                ...{ condition, required: true, position: { file: 'f' } },
              });
          services.set(`s${index}`, {
            ...{ name: `s${index}`, dependencies, ends: 'job', healthcheck: 'declared' },
          });
        });
        const given = backwards ? new Map([...services].reverse()) : services;
        const { waves: found, problems: wrong } = orderOf(given);
        expect(wrong).toEqual([]);
        const placeOf = (name: string): number =>
          found.findIndex((wave) => wave.services.includes(name));
        expect(found.flatMap((wave) => wave.services).sort()).toEqual([...services.keys()].sort());
        for (const { name, dependencies } of services.values()) {
          const before = [...dependencies].filter(
            ([, each]) => each.condition !== 'service_started',
          );
          for (const [on] of before) expect(placeOf(on)).toBeLessThan(placeOf(name));
          // No later than it must be.
          const latest = Math.max(-1, ...before.map(([on]) => placeOf(on)));
          expect(placeOf(name)).toBe(latest + 1);
          for (const [on, { condition }] of before)
            expect(found[placeOf(name)]?.needs).toContainEqual(
              expect.objectContaining(
                condition === 'service_completed_successfully'
                  ? { service: on, completed: true }
                  : { service: on },
              ),
            );
        }
      }),
    );
  });
});

describe('problems of order, at file and line', () => {
  it.each([
    [
      'a service that is nowhere',
      `services:\n${service('a', '    depends_on: [zz]\n')}`,
      ['stack.yml:4:18: service a depends on undefined service zz'],
    ],
    [
      'one that is nowhere, though not required',
      `services:\n${service('a', needs('zz', 'service_started', '        required: false\n'))}`,
      ['stack.yml:6:9: service a depends on undefined service zz'],
    ],
    [
      'a cycle of plain lists',
      `services:\n${service('a', '    depends_on: [b]\n')}${service('b', '    depends_on: [c]\n')}${service('c', '    depends_on: [a, b]\n')}`,
      ['stack.yml:10:18: dependency cycle detected: a -> b -> c -> a'],
    ],
    [
      'a service that waits for itself',
      `services:\n${service('a', WELL + needs('a', 'service_healthy'))}`,
      ['stack.yml:7:9: dependency cycle detected: a -> a'],
    ],
    [
      'a wait for an end that never comes',
      `services:\n${service('a', needs('b', 'service_completed_successfully'))}${service('b', '    restart: "no"\n')}`,
      ['stack.yml:6:9: service a waits for b to complete, which never ends: Swarm starts it again'],
    ],
    [
      'a wait for the end of what has a healthcheck',
      `services:\n${service('a', needs('b', 'service_completed_successfully'))}${service('b', ONCE + WELL)}`,
      ['stack.yml:6:9: service a waits for b to complete, which never ends: Swarm starts it again'],
    ],
    [
      'a wait for health where there is none',
      `services:\n${service('a', needs('b', 'service_healthy'))}${service('b', '    healthcheck: {disable: true}\n')}`,
      ['stack.yml:6:9: service a waits for b to be healthy, which has its healthcheck disabled'],
    ],
    [
      'an unknown condition',
      `services:\n${service('a', needs('b', 'healthy'))}${service('b')}`,
      ['stack.yml:6:9: service a: depends_on b has the condition healthy'],
    ],
    [
      'no condition',
      `services:\n${service('a', '    depends_on:\n      b: {required: true}\n')}${service('b')}`,
      ['stack.yml:5:7: service a: depends_on b has no `condition`'],
    ],
    [
      'a name alone',
      `services:\n${service('a', '    depends_on:\n      b:\n')}${service('b')}`,
      ['stack.yml:5:7: service a: depends_on b is a mapping with a `condition`'],
    ],
    [
      'a key that there is not',
      `services:\n${service('a', needs('b', 'service_started', '        timeout: 3s\n'))}${service('b')}`,
      ['stack.yml:7:9: service a: depends_on b has no key `timeout`'],
    ],
    [
      'a flag that is none',
      `services:\n${service('a', needs('b', 'service_started', '        required: maybe\n'))}${service('b')}`,
      ['stack.yml:7:9: service a: depends_on b: `required` is true or false'],
    ],
    [
      'neither list nor mapping',
      `services:\n${service('a', '    depends_on: b\n')}${service('b')}`,
      ['stack.yml:4:5: service a: `depends_on` is a list of services, or a mapping of them'],
    ],
  ])('%s', (_, text, expected) => {
    expect(problems(text)).toEqual(expected);
  });
});

describe('warnings of order', () => {
  it('say what Swarm has nothing for', () => {
    const more = '        restart: true\n        required: false\n';
    const text = `services:\n${service('a', needs('b', 'service_healthy', more))}${service('b')}`;
    expect(warnings(text)).toEqual([
      'stack.yml:7:9: service a: depends_on b: `restart: true` has no equivalent in Swarm: an update of b does not restart a',
      'stack.yml:8:9: service a: depends_on b: `required: false` only means that b may be left out; where it is deployed, its failure fails the deploy',
      'stack.yml:6:9: service a waits for b to be healthy, which has no healthcheck here: unless its image has one, it only has to run',
    ]);
  });

  it.each([
    ['service_healthy', 'deploy: {replicas: 0}', 'waits for b, which has no replicas'],
    ['service_healthy', 'scale: 0', 'waits for b, which has no replicas'],
    [
      'service_completed_successfully',
      'deploy: {replicas: 0, restart_policy: {condition: none}}',
      'waits for b, which has no replicas',
    ],
    ['service_healthy', 'deploy: {mode: replicated-job}', 'to be healthy, which is a job'],
  ])('say what is not waited for: %s of %s', (condition, lines, expected) => {
    const text = `services:\n${service('a', needs('b', condition))}${service('b', `    ${lines}\n`)}`;
    expect(warnings(text)).toEqual([expect.stringContaining(`stack.yml:6:9: service a`)]);
    expect(warnings(text)).toEqual([expect.stringContaining(expected)]);
  });

  it('are none where nothing is lost', () => {
    const more = '        restart: false\n        required: "true"\n';
    const text = `services:\n${service('a', needs('b', 'service_healthy', more))}${service('b', WELL)}`;
    expect(warnings(text)).toEqual([]);
    const plain = `services:\n${service('a', needs('b', 'service_started', '        required: false\n'))}${service('b')}`;
    expect(warnings(plain)).toEqual([]);
  });
});

describe('profiles', () => {
  const FILE =
    'services:\n' +
    service('a') +
    service('b', '    profiles: [x, "y"]\n') +
    service('c', '    profiles:\n      - z\n') +
    service('d', '    profiles: []\n');

  it.each([
    [[], 'a d'],
    [['x'], 'a b d'],
    [['y', 'z'], 'a b c d'],
    [['*'], 'a b c d'],
  ])('%j', (asked, expected) => {
    const stack = render(FILE, { profiles: asked });
    expect([...stack.services.keys()].join(' ')).toBe(expected);
    const read = parse(stack.files[0]?.text ?? '') as { services: Record<string, object> };
    expect(Object.keys(read.services).join(' ')).toBe(expected);
    for (const each of Object.values(read.services)) expect(Object.keys(each)).toEqual(['image']);
    expect(stack.warnings).toEqual([]);
  });

  it('add up over files, and leave the service out of all of them', () => {
    const more = 'services:\n  a:\n    profiles: [late]\n  b: {user: u}\n';
    expect([...render([FILE, more]).services.keys()]).toEqual(['d']);
    const texts = render([FILE, more]).files.map(({ text }) => parse(text) as unknown);
    expect(texts).toEqual([{ services: { d: { image: 'd' } } }, { services: {} }]);
    expect([...render([FILE, more], { profiles: ['late'] }).services.keys()]).toEqual(['a', 'd']);
  });

  it('that nobody has are said, with those that there are', () => {
    expect(warnings(FILE, { profiles: ['x', 'q'] })).toEqual([
      'input profiles: no service has the profile q; known: x, y, z',
    ]);
    expect(warnings(`services:\n${service('a')}`, { profiles: ['q'] })).toEqual([
      'input profiles: no service has the profile q; the files have no profiles',
    ]);
  });

  describe('leave configs and secrets out that no other service uses', () => {
    const use = (name: string): string =>
      `    configs: [${name}]\n    secrets: [{source: ${name}}]\n`;
    const text =
      `services:\n${service('a')}${service('b', `    profiles: [x]\n${use('own')}`)}` +
      service('c', '    profiles: [x]\n    credential_spec: {config: cred}\n');
    const external = '{external: true}';
    const objects = (files: RenderedStack): unknown =>
      files.files.map((file) => {
        const { configs, secrets } = parse(file.text) as Record<string, object | null>;
        return [configs, secrets].map((section) => Object.keys(section ?? {}));
      });

    it.each([
      ['in blocks', '\n  own: &file\n    file: gone\n', '\n  own:\n    file: gone\n'],
      ['in flow', ' {own: {file: gone}}\n', ' {own: {file: gone}}\n'],
    ])('%s: their files may be missing', (_, configs, secrets) => {
      const stack = render(`${text}configs:${configs}secrets:${secrets}`);
      expect(objects(stack)).toEqual([[[], []]]);
      expect([stack.configs, stack.secrets, stack.attachments]).toEqual([[], [], []]);
    });

    it('also those of credential_spec, of several files, and with their anchors', () => {
      const first = `${text}configs:\n  cred: &it ${external}\n  kept: *it\nsecrets: {own: {file: gone}}\n`;
      const second = 'configs: {own: {file: gone}}\nsecrets: {own: {labels: {a: b}}}\n';
      const stack = render([first, second]);
      expect(objects(stack)).toEqual([
        [['kept'], []],
        [[], []],
      ]);
      expect(parse(stack.files[0]?.text ?? '')).toHaveProperty('configs.kept', { external: true });
    });

    it('not those that another service uses, or none at all, as Docker creates those', () => {
      const shared = `services:\n${service('a', use('own'))}${service('b', `    profiles: [x]\n${use('own')}`)}`;
      const tops =
        'configs: {own: {file: gone}}\nsecrets: {own: {external: true}, odd: {file: gone}}\n';
      expect(problems(`${shared}${tops}`)).toEqual([
        expect.stringContaining('config own: the file gone does not exist'),
        expect.stringContaining('secret odd: the file gone does not exist'),
      ]);
      expect(
        problems(
          `${text}configs: {own: {file: gone}, cred: ${external}}\nsecrets: {own: ${external}}`,
          { profiles: ['x'] },
        ),
      ).toHaveLength(1);
    });
  });

  it('that leave out what an included service needs are an error, as in Compose', () => {
    const text = `services:\n${service('a', '    depends_on: [b]\n')}${service('b', '    profiles: [x]\n')}`;
    expect(problems(text)).toEqual(['stack.yml:4:18: service a depends on undefined service b']);
    expect(waves(text, { profiles: ['x'] })).toEqual(['a b']);
    const optional = `services:\n${service('a', needs('b', 'service_healthy', '        required: false\n'))}${service('b', `${WELL}    profiles: [x]\n`)}`;
    expect(waves(optional)).toEqual(['a']);
    expect(waves(optional, { profiles: ['x'] })).toEqual(['b', 'a < b']);
  });

  it('leave out what a service refers to, too', () => {
    const text = `services:\n${service('a')}${service('b', '    profiles: [x]\n    env_file: missing.env\n    volumes: ["./here:/there"]\n')}`;
    expect(waves(text)).toEqual(['a']);
    expect(problems(text, { profiles: ['x'] })).toHaveLength(2);
  });

  it('do not make a cycle of what is left out', () => {
    const text = `services:\n${service('a')}${service('b', '    profiles: [x]\n    depends_on: [c]\n')}${service('c', '    profiles: [x]\n    depends_on: [b]\n')}`;
    expect(waves(text)).toEqual(['a']);
    expect(problems(text, { profiles: ['x'] })).toHaveLength(1);
  });

  it('that leave nothing are an error', () => {
    expect(problems(`services:\n${service('a', '    profiles: [x]\n')}`)).toEqual([
      'stack.yml: every service is left out: each has profiles, and none of them is asked for',
    ]);
  });

  it.each(['profiles: x', 'profiles: {x: y}', 'profiles: [x, ""]', 'profiles: [a b]'])(
    'are a list of names: %s',
    (line) => {
      expect(problems(`services:\n${service('a', `    ${line}\n`)}${service('b')}`)).toHaveLength(
        1,
      );
    },
  );
});

describe('a depends_on that is a mapping', () => {
  const map =
    '\n      b: {condition: service_healthy}\n      "c":\n        condition: service_started\n';
  it.each([
    `services:\n  a:\n    image: x\n    depends_on:${map}  b: {image: y}\n  c: {image: z}\n`,
    `x-d: &d${map.replaceAll('      ', '  ')}services:\n  a: {image: x, depends_on: *d}\n  b: {image: y}\n  c: {image: z}\n`,
    `services:\n  c: {image: z}\n  b:\n    image: y\n    depends_on: &d {c: {condition: service_started}}\n  a:\n    image: x\n    depends_on:\n      <<: *d\n      b: {condition: service_healthy}\n`,
    'services:\n  a:\n    image: x\n    depends_on: [b, c]\n  b: {image: y}\n  c: {image: z}\n',
  ])('becomes a list for the client: %j', (text) => {
    const [file] = render(text).files;
    const listed = parse(file?.text ?? '', { merge: true }) as {
      services: Record<string, { depends_on?: string[] }>;
    };
    expect([...(listed.services['a']?.depends_on ?? [])].sort()).toEqual(['b', 'c']);
  });
});
