/**
 * Every key of the Compose specification, and what becomes of it on the way to `docker stack deploy`.
 * The one table behind `translate.ts` and docs/stack-files.md. What Docker takes is by the schemas of
 * its client (docker/cli, cli/compose/schema/data, 3.9 of 20.10 to 3.13 of 28).
 */

/**
 * How a single value is written for Docker, whatever way the specification lets it be written:
 * - `bool`, `int`, `number`: Docker turns an interpolated text into it by itself
 * - `count`: an `int` that is not negative
 * - `plain-bool`, `plain-int`: it does not
 * - `size`: a text such as `64m`; `bytes`: a number of them
 * - `mode`: a file mode; a text is octal
 * - `port`, `mount`: the short form of one
 * - `entry`: of labels and variables, a text or a number
 */
export type Kind =
  | 'any'
  | 'text'
  | 'bool'
  | 'plain-bool'
  | 'int'
  | 'count'
  | 'plain-int'
  | 'number'
  | 'duration'
  | 'size'
  | 'bytes'
  | 'cpus'
  | 'port'
  | 'mount'
  | 'mode'
  | 'entry';

/** What may stand at a place. */
export interface Shape {
  readonly scalar?: Kind;
  readonly list?: Shape;
  /** Docker refuses a list that has the same text twice. */
  readonly unique?: true;
  /** A mapping with these keys. */
  readonly keys?: Keys;
  /** Of those keys, the ones that Docker wants in each file. */
  readonly required?: readonly string[];
  /** A mapping with names of the user's. */
  readonly named?: Shape;
  /** Nothing at all is fine with Docker. */
  readonly empty?: true;
  /** Whether Docker takes `x-` keys here; elsewhere they are left out. */
  readonly extensions?: true;
}

/**
 * - `kept`: Docker takes it; spellings that it refuses are turned into those that it takes
 * - `translated`: into its exact equivalent
 * - `dropped`: left out, as it means nothing to a deploy or says what Swarm does anyway
 * - `warned`: left out, with a warning
 * - `refused`: an error
 */
export type Fate = 'kept' | 'translated' | 'dropped' | 'warned' | 'refused';

export interface Key {
  readonly fate: Fate;
  readonly shape: Shape;
  /** What is done, or why it can't be: a sentence without its subject. Empty: just kept. */
  readonly how: string;
  /** What the user can do. */
  readonly mend?: string;
  /** The first major version of Docker's client that takes it. */
  readonly since?: number;
  /** Handled by a function of translate.ts. */
  readonly by?: Translation;
}

export type Keys = Readonly<Record<string, Key>>;

export type Translation =
  | 'depends_on'
  | 'env_file'
  | 'label_file'
  | 'extra_hosts'
  | 'devices'
  | 'limit'
  | 'scale'
  | 'pull_policy'
  | 'command'
  | 'published'
  | 'host_ip'
  | 'create_host_path'
  | 'default'
  | 'content'
  | 'environment';

const ANY: Shape = { scalar: 'any', list: { scalar: 'any' }, named: { scalar: 'any' } };
const text: Shape = { scalar: 'text' };
const bool: Shape = { scalar: 'bool' };
const int: Shape = { scalar: 'int' };
const count: Shape = { scalar: 'count' };
const duration: Shape = { scalar: 'duration' };
const texts: Shape = { list: text, unique: true };
const textOrTexts: Shape = { scalar: 'text', list: text, unique: true };
const words: Shape = { scalar: 'text', list: text };
const dict: Shape = { named: { scalar: 'entry', empty: true }, list: text, unique: true };
const options: Shape = { named: { scalar: 'entry' } };

const kept = (shape: Shape, how = ''): Key => ({ fate: 'kept', shape, how });
const since = (version: number, shape: Shape): Key => ({
  ...{ fate: 'kept', shape, since: version },
  how: `Left out with a warning for clients before ${version}, which refuse it.`,
});
const translated = (by: Translation, shape: Shape, how: string, mend?: string): Key => ({
  ...{ fate: 'translated', shape, how, by },
  ...(mend === undefined ? {} : { mend }),
});
const dropped = (how: string): Key => ({ fate: 'dropped', shape: ANY, how });
const warned = (how: string, mend?: string): Key => ({
  ...{ fate: 'warned', shape: ANY, how },
  ...(mend === undefined ? {} : { mend }),
});
const refused = (how: string, mend: string): Key => ({ fate: 'refused', shape: ANY, how, mend });

const NO_CPU = 'is not among what Swarm limits';
const CPU_MEND = 'Use deploy.resources.limits.cpus.';
const NO_HOOKS = 'would not be run: Swarm has no hooks of the container lifecycle';

const rollout: Shape = {
  keys: {
    parallelism: kept(count),
    delay: kept(duration),
    failure_action: kept(text),
    monitor: kept(duration),
    max_failure_ratio: kept({ scalar: 'number' }),
    order: kept(text),
  },
};

const deploy: Shape = {
  empty: true,
  keys: {
    mode: kept(text),
    endpoint_mode: kept(text),
    replicas: kept(count),
    labels: kept(dict),
    rollback_config: kept(rollout),
    update_config: kept(rollout),
    resources: kept({
      keys: {
        limits: kept({
          keys: {
            cpus: kept({ scalar: 'cpus' }, 'A number is written as the text that Docker wants.'),
            memory: kept({ scalar: 'size' }),
            pids: kept({ scalar: 'plain-int' }),
          },
        }),
        reservations: kept({
          keys: {
            cpus: kept({ scalar: 'cpus' }, 'A number is written as the text that Docker wants.'),
            memory: kept({ scalar: 'size' }),
            generic_resources: kept({
              list: {
                keys: {
                  discrete_resource_spec: kept({
                    keys: { kind: kept(text), value: kept({ scalar: 'plain-int' }) },
                  }),
                },
              },
            }),
            devices: refused(
              'has no equivalent: Swarm reserves devices as generic resources',
              'Declare the devices as generic resources of the nodes (dockerd: node-generic-resources) and use generic_resources.',
            ),
          },
        }),
      },
    }),
    restart_policy: kept({
      keys: {
        condition: kept(text),
        delay: kept(duration),
        max_attempts: kept(count),
        window: kept(duration),
      },
    }),
    placement: kept({
      keys: {
        constraints: kept({ list: text }),
        preferences: kept({ list: { keys: { spread: kept(text) } } }),
        max_replicas_per_node: kept(count),
      },
    }),
  },
};

const reference: Shape = {
  list: {
    scalar: 'text',
    keys: {
      source: kept(text),
      target: kept(text),
      uid: kept(text),
      gid: kept(text),
      mode: kept(
        { scalar: 'mode' },
        'A text is octal, as for Docker Compose. Digits out of a variable are decimal for Docker: a warning where they begin with 0.',
      ),
    },
  },
};

const ports: Shape = {
  unique: true,
  list: {
    scalar: 'port',
    keys: {
      mode: kept(text),
      target: kept(count),
      published: translated(
        'published',
        { scalar: 'count' },
        "A quoted port is written as a number; one of a range can't be chosen by Swarm: an error.",
      ),
      protocol: kept(text),
      name: warned('is a label that Swarm has no place for'),
      app_protocol: warned('is a hint that Swarm has no place for'),
      host_ip: translated(
        'host_ip',
        text,
        'All addresses (`0.0.0.0`, `::`) are what Swarm publishes on anyway; any other one gets a warning, as it does in the short form.',
        'Protect the port with a firewall, or do not publish it.',
      ),
    },
  },
};

const serviceNetworks: Shape = {
  list: text,
  unique: true,
  named: {
    empty: true,
    keys: {
      aliases: kept(texts),
      ipv4_address: kept(text),
      ipv6_address: kept(text),
      driver_opts: since(27, options),
      interface_name: warned('is not something that Swarm lets a service choose'),
      link_local_ips: warned('is not something that Swarm gives to a task'),
      mac_address: warned('is not something that Swarm lets a service choose'),
      priority: warned('has no equivalent: Swarm does not order the networks of a task'),
      gw_priority: warned('has no equivalent: the gateway of a task is that of docker_gwbridge'),
    },
  },
};

const volumes: Shape = {
  list: {
    scalar: 'mount',
    required: ['type'],
    keys: {
      type: kept(text),
      source: kept(text),
      target: kept(text),
      read_only: kept(bool),
      consistency: kept(text),
      bind: kept({
        keys: {
          propagation: kept(text),
          create_host_path: translated(
            'create_host_path',
            { scalar: 'plain-bool' },
            '`false` is what Swarm does anyway; `true` gets a warning: the path must exist on the nodes.',
            'Create the directory on every node that may run the service.',
          ),
          recursive: warned('is not passed on by `docker stack deploy`'),
          selinux: warned(
            'is not passed on by `docker stack deploy`',
            'Label the directory on the nodes.',
          ),
        },
      }),
      volume: kept({
        keys: {
          nocopy: kept(bool),
          subpath: kept(text, 'Takes effect from Docker 26 on.'),
          labels: warned(
            'is not passed on by `docker stack deploy`',
            'Write labels at the volume, under the top-level volumes.',
          ),
        },
      }),
      tmpfs: kept({
        keys: {
          size: kept({ scalar: 'bytes' }, 'A text such as `64m` is written in bytes.'),
          mode: warned('is not passed on by `docker stack deploy`: the mode is 1777'),
        },
      }),
      image: refused(
        "can't be given: the schema of `docker stack deploy` has no options for image mounts",
        'Mount the image without `subpath`.',
      ),
    },
  },
};

/** The keys of a service. */
export const SERVICE_KEYS: Keys = {
  annotations: warned('has no equivalent in Swarm', 'Use labels or deploy.labels.'),
  attach: dropped('Says what `docker compose up` shows; a deploy has no such log.'),
  blkio_config: refused(NO_CPU, 'Remove it; Swarm does not limit block devices.'),
  build: kept(
    {
      scalar: 'text',
      keys: {
        context: kept(text),
        dockerfile: kept(text),
        args: kept(dict),
        labels: kept(dict),
        cache_from: kept(texts),
        network: kept(text),
        target: kept(text),
        shm_size: kept(text),
        extra_hosts: translated('extra_hosts', ANY, ''),
        ...Object.fromEntries(
          [
            ...[
              'additional_contexts',
              'cache_to',
              'dockerfile_inline',
              'entitlements',
              'isolation',
            ],
            ...['no_cache', 'no_cache_filter', 'platforms', 'privileged', 'provenance', 'pull'],
            ...['sbom', 'secrets', 'ssh', 'tags', 'ulimits'],
          ].map((name) => [name, dropped('Ignored like all of `build`.')]),
        ),
      },
    },
    'Ignored by Swarm; a service with no `image` is an error.',
  ),
  cap_add: kept(texts),
  cap_drop: kept(texts),
  cgroup: warned('has no equivalent in Swarm: the nodes decide'),
  cgroup_parent: kept(text, 'Ignored by Swarm.'),
  cgroupns_mode: kept(text, 'Ignored by Swarm.'),
  command: translated('command', words, '`null` is left out: the image decides.'),
  configs: kept(reference),
  container_name: kept(text, 'Ignored by Swarm.'),
  cpu_count: refused(NO_CPU, CPU_MEND),
  cpu_percent: refused(NO_CPU, CPU_MEND),
  cpu_period: refused(NO_CPU, 'Use deploy.resources.limits.cpus: cpu_quota divided by cpu_period.'),
  cpu_quota: refused(NO_CPU, 'Use deploy.resources.limits.cpus: cpu_quota divided by cpu_period.'),
  cpu_rt_period: refused(NO_CPU, CPU_MEND),
  cpu_rt_runtime: refused(NO_CPU, CPU_MEND),
  cpu_shares: refused(NO_CPU, 'Use deploy.resources.reservations.cpus or limits.cpus.'),
  cpus: translated('limit', { scalar: 'cpus' }, 'Becomes deploy.resources.limits.cpus.'),
  cpuset: refused(NO_CPU, CPU_MEND),
  credential_spec: kept({ keys: { config: kept(text), file: kept(text), registry: kept(text) } }),
  depends_on: translated(
    'depends_on',
    ANY,
    'A mapping becomes the list that Docker takes.',
    'Swarm restarts no service because another was restarted.',
  ),
  deploy: kept(deploy),
  develop: dropped('Says what `docker compose watch` does; nothing of it concerns a deploy.'),
  device_cgroup_rules: refused('has no equivalent in Swarm', 'Remove it.'),
  devices: translated(
    'devices',
    ANY,
    'Mappings become the texts that Docker takes. Ignored by Swarm.',
  ),
  dns: kept(textOrTexts),
  dns_opt: refused(
    'is not passed on by `docker stack deploy`',
    'Set it in the dns-opts of the Docker daemons.',
  ),
  dns_search: kept(textOrTexts),
  domainname: kept(text, 'Ignored by Swarm.'),
  entrypoint: translated('command', words, '`null` is left out: the image decides.'),
  env_file: translated(
    'env_file',
    ANY,
    'The file is carried along. Written as a mapping it is read as Docker Compose reads it (quotes, `${...}`), with `format: raw` line by line; where `required: false` it may be missing. Written as a path it is read as Docker reads it: line by line.',
  ),
  environment: kept(dict),
  expose: kept({ list: { scalar: 'entry' }, unique: true }, 'Ignored by Swarm.'),
  extends: refused(
    'is not known to `docker stack deploy`',
    'Give what is shared an anchor (`x-base: &base`) and merge it (`<<: *base`), or use several files in compose-file.',
  ),
  external_links: kept(texts, 'Ignored by Swarm.'),
  extra_hosts: translated(
    'extra_hosts',
    ANY,
    '`host=address`, and several addresses of a host, become lines `host:address`.',
  ),
  gpus: refused(
    'has no equivalent: Swarm reserves devices as generic resources',
    'Declare the GPUs as generic resources of the nodes and use deploy.resources.reservations.generic_resources.',
  ),
  group_add: refused(
    'has no equivalent in `docker stack deploy`',
    'Set the group with `user: "uid:gid"`, or in the image.',
  ),
  healthcheck: kept({
    keys: {
      disable: kept(bool),
      interval: kept(duration),
      retries: kept(count),
      test: kept(words),
      timeout: kept(duration),
      start_period: kept(duration),
      start_interval: since(25, duration),
    },
  }),
  hostname: kept(text),
  image: kept(text),
  init: kept({ scalar: 'plain-bool' }),
  ipc: kept(text, 'Ignored by Swarm.'),
  isolation: kept(text),
  label_file: translated(
    'label_file',
    words,
    'Its lines become labels, read as Docker Compose reads them; those under `labels` win.',
  ),
  labels: kept(dict),
  links: kept(texts, 'Ignored by Swarm.'),
  logging: kept({
    keys: { driver: kept(text), options: kept({ named: { scalar: 'entry', empty: true } }) },
  }),
  mac_address: kept(text, 'Ignored by Swarm.'),
  mem_limit: translated('limit', { scalar: 'size' }, 'Becomes deploy.resources.limits.memory.'),
  mem_reservation: translated(
    'limit',
    { scalar: 'size' },
    'Becomes deploy.resources.reservations.memory.',
  ),
  mem_swappiness: refused('is not passed on by `docker stack deploy`', 'Remove it.'),
  memswap_limit: refused(
    'is not passed on by `docker stack deploy`',
    'Remove it; the memory itself is limited by deploy.resources.limits.memory.',
  ),
  models: refused('has no equivalent in Swarm', 'Run the model as a service of its own.'),
  network_mode: kept(text, 'Ignored by Swarm.'),
  networks: kept(serviceNetworks),
  oom_kill_disable: refused('has no equivalent in Swarm', 'Remove it.'),
  oom_score_adj: since(27, int),
  pid: kept({ scalar: 'text', empty: true }, 'Ignored by Swarm.'),
  pids_limit: translated('limit', { scalar: 'int' }, 'Becomes deploy.resources.limits.pids.'),
  platform: warned(
    'is not passed on by `docker stack deploy`',
    'Choose the nodes with deploy.placement.constraints, `node.platform.arch == x86_64`.',
  ),
  ports: kept(
    ports,
    'In the short form, an address other than all of them (`127.0.0.1:80:80`) gets a warning: Swarm publishes on all addresses of the nodes.',
  ),
  post_start: refused(NO_HOOKS, 'Do it in the entrypoint of the image.'),
  pre_start: refused(NO_HOOKS, 'Do it in the entrypoint of the image, or in a job of its own.'),
  pre_stop: refused(NO_HOOKS, 'Handle the stop signal in the container.'),
  privileged: kept(bool, 'Ignored by Swarm.'),
  profiles: dropped('Decides with the input `profiles` which services there are.'),
  provider: refused('has no equivalent in Swarm', 'Remove the service.'),
  pull_policy: translated(
    'pull_policy',
    { scalar: 'text' },
    '`always`, `missing` and `if_not_present` are what Swarm does with `resolve-image`; others get a warning.',
    'The input `resolve-image` decides.',
  ),
  pull_refresh_after: warned(
    'has no equivalent: Swarm pulls what is deployed',
    'Deploy again for a newer image.',
  ),
  read_only: kept(bool),
  restart: kept(
    text,
    'Read as a deploy.restart_policy where none is written; `no` is lost, and next to a policy any value is.',
  ),
  runtime: refused(
    'has no equivalent in Swarm',
    'Set default-runtime for the Docker daemons of the nodes, and choose those with deploy.placement.constraints.',
  ),
  scale: translated('scale', count, 'Becomes deploy.replicas.'),
  secrets: kept(reference),
  security_opt: kept(texts, 'Ignored by Swarm.'),
  shm_size: kept(text, 'Ignored by Swarm.'),
  stdin_open: kept(bool),
  stop_grace_period: kept(duration),
  stop_signal: kept(text),
  storage_opt: refused('has no equivalent in Swarm', 'Remove it.'),
  sysctls: kept(dict),
  tmpfs: kept(textOrTexts),
  tty: kept(bool),
  ulimits: kept({
    named: {
      scalar: 'int',
      keys: { soft: kept(int), hard: kept(int) },
      required: ['soft', 'hard'],
    },
  }),
  use_api_socket: refused(
    'has no equivalent in Swarm',
    'Mount /var/run/docker.sock as a bind mount, on managers only.',
  ),
  user: kept(text),
  userns_mode: kept(text, 'Ignored by Swarm.'),
  uts: warned('has no equivalent in Swarm: each task has a namespace of its own'),
  volumes: kept(volumes),
  volumes_from: refused(
    'is not known to `docker stack deploy`',
    'Mount the same volume in both services.',
  ),
  volume_driver: refused(
    'is not known to `docker stack deploy`',
    'Write `driver` at the volume, under the top-level volumes.',
  ),
  working_dir: kept(text),
};

const external: Shape = { scalar: 'bool', keys: { name: kept(text) } };

export const NETWORK_KEYS: Keys = {
  name: kept(text),
  driver: kept(text),
  driver_opts: kept(options),
  ipam: kept({
    keys: {
      driver: kept(text),
      config: kept({
        list: {
          keys: {
            subnet: kept(text),
            ...Object.fromEntries(
              ['ip_range', 'gateway', 'aux_addresses'].map((name) => [
                name,
                refused(
                  'is not known to `docker stack deploy`',
                  'Create the network with `docker network create` and make it `external: true`.',
                ),
              ]),
            ),
          },
        },
      }),
      options: refused(
        'is not known to `docker stack deploy`',
        'Create the network with `docker network create` and make it `external: true`.',
      ),
    },
  }),
  external: kept(external),
  internal: kept(bool),
  attachable: kept(bool),
  enable_ipv4: translated(
    'default',
    { scalar: 'plain-bool' },
    '`true` is what Swarm does anyway; `false` is an error.',
    'Remove it: an overlay network needs IPv4.',
  ),
  enable_ipv6: translated(
    'default',
    { scalar: 'plain-bool' },
    '`false` is what Swarm does anyway; `true` is an error.',
    'Create the network with `docker network create --ipv6 --driver overlay` and make it `external: true`.',
  ),
  labels: kept(dict),
};

export const VOLUME_KEYS: Keys = {
  name: kept(text),
  driver: kept(text),
  driver_opts: kept(options),
  external: kept(external),
  labels: kept(dict),
};

const object: Keys = {
  name: kept(text),
  file: kept(text, 'The file is carried along.'),
  external: kept(external),
  labels: kept(dict),
  template_driver: kept(text),
  environment: translated(
    'environment',
    text,
    'The value of the variable is carried along; it is never shown.',
  ),
};

export const CONFIG_KEYS: Keys = {
  ...object,
  content: translated('content', text, 'Carried along, with its variables filled in.'),
};

export const SECRET_KEYS: Keys = { ...object, driver: kept(text), driver_opts: kept(options) };

const object_ = (keys: Keys, more: Partial<Shape> = {}): Shape => ({
  named: { keys, extensions: true, ...more },
});

/** The keys of a stack file. */
export const FILE_KEYS: Keys = {
  version: kept(
    ANY,
    'From 3 on. Given to Docker as the newest that the client of the manager knows; each only adds to the one before.',
  ),
  name: kept(ANY, 'Left out: the input `stack` decides. A warning where the two differ.'),
  include: refused(
    'is not known to `docker stack deploy`',
    'List the files in the input compose-file instead.',
  ),
  models: refused('has no equivalent in Swarm', 'Run the model as a service of its own.'),
  services: kept(object_(SERVICE_KEYS)),
  networks: kept(object_(NETWORK_KEYS, { empty: true })),
  volumes: kept(object_(VOLUME_KEYS, { empty: true })),
  configs: kept(object_(CONFIG_KEYS)),
  secrets: kept(object_(SECRET_KEYS)),
};
