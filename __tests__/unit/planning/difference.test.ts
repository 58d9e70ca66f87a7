import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Json, JsonObject, Service, ServiceSpec } from '../../../src/model.js';
import { canonicalSpec } from '../../../src/planning/canonical.js';
import { fieldChanges, planOf, type Plan } from '../../../src/planning/difference.js';
import type { Caught } from '../../../src/planning/stand-in.js';

const NETWORKS = new Map([['net1', 'shop_default']]);
const VALUE = 'hunter2-hunter2';

/** As the engine keeps a service that uses nearly all there is (28.5). */
const KEPT: ServiceSpec = {
  Name: 'shop_api',
  Labels: { 'com.docker.stack.image': 'web:v1', 'com.docker.stack.namespace': 'shop' },
  TaskTemplate: {
    ContainerSpec: {
      Image: 'web:v1@sha256:aa',
      Labels: { 'com.docker.stack.namespace': 'shop', team: 'a' },
      Command: ['/bin/sh'],
      Args: ['-c', 'run'],
      Hostname: 'h',
      Env: ['A=1', `PASSWORD=${VALUE}`],
      Dir: '/d',
      User: '1',
      Groups: ['g'],
      Privileges: { CredentialSpec: null, SELinuxContext: null, NoNewPrivileges: false },
      TTY: true,
      OpenStdin: true,
      ReadOnly: true,
      StopSignal: 'SIGINT',
      StopGracePeriod: 45_000_000_000,
      Mounts: [
        {
          Type: 'volume',
          Source: 'v',
          Target: '/v',
          VolumeOptions: { Labels: { a: 'b' }, NoCopy: true },
        },
        {
          Type: 'bind',
          Source: '/s',
          Target: '/b',
          ReadOnly: true,
          BindOptions: { Propagation: 'rslave' },
        },
        { Type: 'tmpfs', Target: '/t', TmpfsOptions: { SizeBytes: 1_048_576 } },
      ],
      Healthcheck: {
        Test: ['CMD', 'true'],
        Interval: 90_000_000_000,
        Timeout: 10_000_000_000,
        StartPeriod: 40_000_000_000,
        Retries: 3,
      },
      Hosts: ['10.0.0.1 db'],
      DNSConfig: { Nameservers: ['1.1.1.1'], Search: ['x'], Options: ['o'] },
      Secrets: [
        {
          File: { Name: 'key', UID: '0', GID: '0', Mode: 292 },
          SecretID: 's1',
          SecretName: 'shop_key',
        },
      ],
      Configs: [
        {
          File: { Name: '/c', UID: '0', GID: '0', Mode: 292 },
          ConfigID: 'c1',
          ConfigName: 'shop_c',
        },
      ],
      Isolation: 'default',
      Init: true,
      Sysctls: { 'net.core.somaxconn': '4096' },
      CapabilityAdd: ['CAP_NET_ADMIN'],
      CapabilityDrop: ['ALL'],
      Ulimits: [{ Name: 'nofile', Hard: 2, Soft: 1 }],
    },
    Resources: {
      Limits: { NanoCPUs: 500_000_000, MemoryBytes: 67_108_864, Pids: 9 },
      Reservations: {
        MemoryBytes: 9_223_372_036_854_775_807n,
        GenericResources: [{ DiscreteResourceSpec: { Kind: 'gpu', Value: 1 } }],
      },
    },
    RestartPolicy: {
      Condition: 'on-failure',
      Delay: 5_000_000_000,
      MaxAttempts: 3,
      Window: 1_000_000,
    },
    Placement: {
      Constraints: ['node.role == manager'],
      Preferences: [{ Spread: { SpreadDescriptor: 'node.labels.zone' } }],
      MaxReplicas: 4,
      Platforms: [{ Architecture: 'amd64', OS: 'linux' }],
    },
    Networks: [{ Target: 'net1', Aliases: ['api'], DriverOpts: { a: 'b' } }],
    LogDriver: { Name: 'splunk', Options: { 'splunk-token': VALUE, tag: 't' } },
    ForceUpdate: 1,
    Runtime: 'container',
  },
  Mode: { Replicated: { Replicas: 3 } },
  UpdateConfig: {
    Parallelism: 2,
    Delay: 5_000_000_000,
    FailureAction: 'rollback',
    Monitor: 20_000_000_000,
    MaxFailureRatio: 0.1,
    Order: 'start-first',
  },
  RollbackConfig: {
    Parallelism: 1,
    FailureAction: 'pause',
    MaxFailureRatio: 0,
    Order: 'stop-first',
  },
  EndpointSpec: {
    Mode: 'vip',
    Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: 8080, PublishMode: 'host' }],
  },
};

const canonical = (spec: ServiceSpec): JsonObject => canonicalSpec(spec, NETWORKS);

type Path = readonly (string | number)[];

/** Every text, number and boolean in a value, by the way to it. */
function leaves(value: Json | undefined, path: Path = []): readonly Path[] {
  if (typeof value !== 'object' || value === null) return value === null ? [] : [path];
  return Object.entries(value).flatMap(([key, item]) =>
    leaves(item as Json, [...path, Array.isArray(value) ? Number(key) : key]),
  );
}

function withLeaf(value: Json, [key, ...rest]: Path, change: (leaf: Json) => Json): Json {
  if (key === undefined) return change(value);
  const copy = (
    Array.isArray(value) ? [...(value as readonly Json[])] : { ...(value as JsonObject) }
  ) as Record<string | number, Json>;
  copy[key] = withLeaf(copy[key] as Json, rest, change);
  return copy;
}

function other(leaf: Json): Json {
  if (typeof leaf === 'boolean') return !leaf;
  if (typeof leaf === 'bigint') return leaf - 1n;
  return typeof leaf === 'number' ? leaf + 1 : `${leaf as string}x`;
}

const changesTo = (spec: ServiceSpec): ReturnType<typeof fieldChanges> =>
  fieldChanges(canonical(KEPT), canonical(spec));

/** What a file says in another way: no field of it may differ. */
const lineOf = (spec: ServiceSpec): readonly string[] =>
  changesTo(spec).map(
    ({ field, before, after }) => `${field}: ${before ?? '-'} -> ${after ?? '-'}`,
  );

const edited = (path: string, value: Json): ServiceSpec =>
  withLeaf(
    KEPT,
    path.split('.').map((key) => (/^\d+$/.test(key) ? Number(key) : key)),
    () => value,
  ) as ServiceSpec;

describe('the canonical form', () => {
  it('of what the CLI sends is that of what the engine keeps', () => {
    const sent: ServiceSpec = {
      Name: 'shop_api',
      Labels: { 'com.docker.stack.image': 'web:v1' },
      TaskTemplate: {
        ContainerSpec: {
          Image: 'web:v1',
          Privileges: { CredentialSpec: null, SELinuxContext: null },
          Env: null,
          DNSConfig: {},
        },
        RestartPolicy: {},
        Resources: {},
        Placement: {},
        Networks: [{ Target: 'shop_default', Aliases: ['api'] }],
        ForceUpdate: 0,
      },
      Mode: { Replicated: {} },
      UpdateConfig: { Parallelism: 0, MaxFailureRatio: 0, Order: '' },
      EndpointSpec: { Ports: [{ TargetPort: 80, PublishedPort: 8080 }] },
    };
    const kept: ServiceSpec = {
      Name: 'shop_api',
      Labels: { 'com.docker.stack.image': 'web:v1' },
      TaskTemplate: {
        ContainerSpec: {
          Image: 'web:v1',
          Isolation: 'default',
          Privileges: { CredentialSpec: null },
        },
        RestartPolicy: { Condition: 'any', MaxAttempts: 0 },
        Resources: { Limits: {}, Reservations: {} },
        Placement: {},
        Networks: [{ Target: 'net1', Aliases: ['api'] }],
        ForceUpdate: 0,
        Runtime: 'container',
      },
      Mode: { Replicated: { Replicas: 1 } },
      UpdateConfig: {
        Parallelism: 0,
        FailureAction: 'pause',
        MaxFailureRatio: 0,
        Order: 'stop-first',
      },
      EndpointSpec: {
        Mode: 'vip',
        Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: 8080, PublishMode: 'ingress' }],
      },
    };
    expect(canonical(sent)).toEqual(canonical(kept));
  });

  it('shows no credential of a command, and says that it is another one', () => {
    const command = (...words: string[]): ServiceSpec =>
      edited('TaskTemplate.ContainerSpec.Args', ['redis-server', '--requirepass', ...words]);
    const changes = fieldChanges(canonical(command('hunter2')), canonical(command('swordfish')));
    expect(changes).toEqual([
      { field: 'command', change: 'changed', redacted: true, before: null, after: null },
    ]);
    const more = fieldChanges(canonical(command('hunter2')), canonical(command('swordfish', '-x')));
    expect(more).toMatchObject([
      { redacted: false, after: expect.stringContaining('"***", "-x"') },
    ]);
    expect(JSON.stringify([changes, more])).not.toMatch(/hunter2|swordfish/);
  });

  it('has one order for a config or secret at several paths, as the CLI has none', () => {
    const spec = (secrets: readonly (readonly [string, string])[]): ServiceSpec => ({
      Name: 'shop_api',
      TaskTemplate: {
        ContainerSpec: {
          Secrets: secrets.map(([name, file]) => ({ SecretName: name, File: { Name: file } })),
        },
      },
    });
    const one = spec([['b', 'x'], ['a', 'key'], ['a', 'cert']]); // prettier-ignore
    const two = spec([['b', 'x'], ['a', 'cert'], ['a', 'key']]); // prettier-ignore
    const moved = spec([['a', 'key'], ['a', 'cert'], ['b', 'x']]); // prettier-ignore
    const less = spec([['b', 'x'], ['a', 'key']]); // prettier-ignore
    expect(canonical(one)).toEqual(canonical(two));
    // The order of different objects is the CLI's own, and one that differs is written.
    expect(canonical(one)).not.toEqual(canonical(moved));
    expect(canonical(one)).not.toEqual(canonical(less));
  });

  it('keeps what is no default: all at once, no replicas, no pause, no init', () => {
    const differ = (a: JsonObject, b: JsonObject): void =>
      expect(canonical({ Name: 'x', ...a })).not.toEqual(canonical({ Name: 'x', ...b }));
    differ({ UpdateConfig: { Parallelism: 0 } }, {});
    differ({ UpdateConfig: { Parallelism: 0 } }, { UpdateConfig: { Parallelism: 1 } });
    differ({ Mode: { Replicated: { Replicas: 0 } } }, { Mode: { Replicated: {} } });
    differ({ Mode: { Global: {} } }, { Mode: { GlobalJob: {} } });
    differ({ Mode: { ReplicatedJob: {} } }, { Mode: { Replicated: {} } });
    differ({ UpdateConfig: {} }, {});
    expect(canonical({ Name: 'x', UpdateConfig: {} })).toEqual(
      canonical({ Name: 'x', UpdateConfig: { Parallelism: 0 } }),
    );
    const task = (TaskTemplate: JsonObject): JsonObject => ({ TaskTemplate });
    differ(task({ RestartPolicy: { Delay: 0 } }), task({ RestartPolicy: {} }));
    differ(task({ RestartPolicy: {} }), task({}));
    differ(task({ ContainerSpec: { Init: false } }), task({ ContainerSpec: {} }));
    differ(task({ ContainerSpec: { StopGracePeriod: 0 } }), task({ ContainerSpec: {} }));
    differ(task({ ContainerSpec: { Args: [''] } }), task({ ContainerSpec: {} }));
  });
});

describe('the fields that differ', () => {
  it('are none where specs are equal, whatever the order of their keys', () => {
    const turned = (value: Json): Json =>
      Array.isArray(value)
        ? (value as readonly Json[]).map(turned)
        : typeof value === 'object' && value !== null
          ? Object.fromEntries(
              Object.entries(value as JsonObject)
                .reverse()
                .map(([key, item]) => [key, turned(item as Json)]),
            )
          : value;
    expect(changesTo(turned(KEPT) as ServiceSpec)).toEqual([]);
  });

  it('are at least one for any leaf that changes, and never hold the value of a variable', () => {
    const all = leaves(KEPT).filter((path) => path.join('.') !== 'Name');
    expect(all.length).toBeGreaterThan(80);
    for (const path of all) {
      const spec = withLeaf(KEPT, path, other) as ServiceSpec;
      const changes = changesTo(spec);
      expect([path.join('.'), changes.length > 0]).toEqual([path.join('.'), true]);
      expect(JSON.stringify(changes)).not.toContain(VALUE);
    }
  });

  it('are at least one for any leaf that goes', () => {
    // What the engine fills in, or what says nothing, is the same when it is not there.
    const silent =
      /Isolation|Runtime|NoNewPrivileges|RollbackConfig\.|Protocol|EndpointSpec\.Mode|Mounts\.\d\.Type/;
    for (const path of leaves(KEPT)) {
      const place = path.join('.');
      if (silent.test(place) || place === 'Name' || typeof path.at(-1) === 'number') continue;
      const gone = withLeaf(KEPT, path, () => null) as ServiceSpec;
      expect([place, changesTo(gone).length > 0]).toEqual([place, true]);
    }
  });

  it('never show an environment, whatever is in it', () => {
    const value = fc.string({ minLength: 9, maxLength: 40 }).map((text) => `${text}~value~`);
    const variables = fc.array(
      fc
        .tuple(fc.stringMatching(/^[A-Z][A-Z_]{0,5}$/), value)
        .map(([name, text]) => `${name}=${text}`),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(variables, variables, (was, is) => {
        const of = (Env: readonly string[]): JsonObject =>
          canonical({ Name: 'x', TaskTemplate: { ContainerSpec: { Env } } });
        const changes = fieldChanges(of(was), of(is));
        expect(changes.length > 0).toBe(JSON.stringify(was) !== JSON.stringify(is));
        expect(JSON.stringify(changes)).not.toContain('~value~');
      }),
    );
  });

  it.each([
    [
      'TaskTemplate.ContainerSpec.Image',
      'web:v2@sha256:bb',
      'image: web:v1@sha256:aa -> web:v2@sha256:bb',
    ],
    [
      'TaskTemplate.ContainerSpec.Healthcheck.Interval',
      10_000_000_000,
      'healthcheck.interval: 1m30s -> 10s',
    ],
    ['TaskTemplate.ContainerSpec.StopGracePeriod', 0, 'stop_grace_period: 45s -> 0s'],
    [
      'TaskTemplate.Resources.Limits.MemoryBytes',
      536_870_912,
      'deploy.resources.limits.memory: 64M -> 512M',
    ],
    [
      'TaskTemplate.Resources.Limits.NanoCPUs',
      1_500_000_000,
      'deploy.resources.limits.cpus: 0.5 -> 1.5',
    ],
    ['TaskTemplate.RestartPolicy.Window', 1500, 'deploy.restart_policy.window: 1ms -> 1500ns'],
    ['TaskTemplate.ContainerSpec.Configs.0.File.Mode', 0o440, 'configs./c.mode: 0444 -> 0440'],
    ['TaskTemplate.ContainerSpec.Env.1', 'PASSWORD=other', 'environment.PASSWORD: - -> -'],
    ['TaskTemplate.LogDriver.Options.splunk-token', 'x', 'logging.options.splunk-token: - -> -'],
    ['TaskTemplate.ContainerSpec.Args.1', 'walk', 'command: ["-c", "run"] -> ["-c", "walk"]'],
    ['Mode.Replicated.Replicas', 5, 'deploy.replicas: 3 -> 5'],
    ['EndpointSpec.Ports.0.PublishMode', 'ingress', 'ports.8080:80/tcp: host -> ingress'],
  ])('%s is told in the words of a stack file', (path, value, line) => {
    expect(lineOf(edited(path, value))).toEqual([line]);
  });

  it('tell that the order of a list is another one', () => {
    const Env = [`PASSWORD=${VALUE}`, 'A=1'];
    expect(lineOf(edited('TaskTemplate.ContainerSpec.Env', Env))).toEqual([
      'environment, in order: A, PASSWORD -> PASSWORD, A',
    ]);
  });

  it('tell what is not known yet by where it is', () => {
    expect(lineOf({ ...KEPT, Novelty: { Level: 3 } })).toEqual(['Novelty.Level: - -> 3']);
  });
});

const live = (Spec: ServiceSpec): Service => ({
  ID: `id-${Spec.Name}`,
  Version: { Index: 1 },
  Spec,
});

const plan = (caught: Partial<Caught>, prune = false): Plan =>
  planOf(
    { services: [], objects: [], live: [], ...caught },
    { stack: 'shop', networks: NETWORKS, prune },
  );

describe('a plan', () => {
  const change = (path: string, value: Json): Plan =>
    plan({ services: [{ live: live(KEPT), spec: edited(path, value) }], live: [live(KEPT)] });

  it.each([
    ['TaskTemplate.ContainerSpec.Labels.team', 'b', 'all'],
    ['TaskTemplate.ForceUpdate', 2, 'all'],
    ['EndpointSpec.Ports', [], 'all'],
    ['TaskTemplate.Placement.Constraints', [], 'misplaced'],
    ['Labels.color', 'red', 'none'],
    ['Mode.Replicated.Replicas', 5, 'none'],
    ['UpdateConfig.Order', 'stop-first', 'none'],
  ])('says whose tasks a change of %s restarts', (path, value, restarts) => {
    const [service] = change(path, value).services;
    expect(service).toMatchObject({ change: 'updated', restarts });
  });

  it('has no changes where what is live would be written', () => {
    const same = plan({ services: [{ live: live(KEPT), spec: KEPT }], live: [live(KEPT)] });
    expect(same).toMatchObject({
      hasChanges: false,
      services: [{ change: 'unchanged', fields: [] }],
    });
  });

  it('calls a job updated that is as it was, since it runs again', () => {
    const job: ServiceSpec = { Name: 'shop_job', Mode: { ReplicatedJob: {} } };
    const again = plan({ services: [{ live: live(job), spec: job }], live: [live(job)] });
    expect(again).toMatchObject({
      hasChanges: true,
      services: [{ change: 'updated', restarts: 'all', job: true, fields: [] }],
    });
  });

  it('removes what is not in the files with prune, and leaves it without', () => {
    const there = { live: [live(KEPT)] };
    expect(plan(there, true)).toMatchObject({
      hasChanges: true,
      services: [{ change: 'removed', replicas: 0, previousReplicas: 3 }],
    });
    expect(plan(there)).toMatchObject({ hasChanges: false, services: [{ change: 'left' }] });
  });

  it('creates services and what they need', () => {
    const made = plan({
      services: [{ live: undefined, spec: KEPT }],
      objects: [{ kind: 'network', name: 'shop_default', spec: {}, live: undefined }],
    });
    expect(made).toMatchObject({
      hasChanges: true,
      services: [{ change: 'created', fields: [] }],
      objects: [{ kind: 'network', name: 'shop_default', change: 'created' }],
    });
  });

  it('tells a config whose name is made of its content as rotated', () => {
    const named = (ConfigName: string): ServiceSpec =>
      edited('TaskTemplate.ContainerSpec.Configs', [{ File: { Name: '/c' }, ConfigName }]);
    const [was, is] = ['shop_app-0123456789ab', 'shop_app-ba9876543210'];
    const rotated = plan({
      services: [{ live: live(named(was)), spec: named(is) }],
      objects: [{ kind: 'config', name: is, spec: {}, live: undefined }],
      live: [live(named(was))],
    });
    expect(rotated.objects).toEqual([
      { kind: 'config', name: is, change: 'rotated', from: was, fields: [] },
    ]);
    expect(rotated.services[0]?.fields).toMatchObject([
      { field: 'configs./c', before: was, after: is },
    ]);
  });

  it('counts a label of a config that is there, and nothing else of it', () => {
    const there = (Labels: JsonObject | null): Plan =>
      plan({
        objects: [
          { kind: 'config', name: 'shop_c', spec: { Labels }, live: { Labels: { a: 'b' } } },
        ],
      });
    expect(there({ a: 'b' }).hasChanges).toBe(false);
    expect(there(null)).toMatchObject({
      hasChanges: true,
      objects: [
        { change: 'relabelled', fields: [{ field: 'labels.a', change: 'removed', before: 'b' }] },
      ],
    });
  });
});
