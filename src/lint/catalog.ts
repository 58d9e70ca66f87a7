/**
 * What the lint looks for: the table that docs/lint.md is made from (`npm run docs`). Imports nothing,
 * as the docs are made without a build. The checks are in rules.ts, one for each id.
 */

/** `warning`: something does not do what it says, or a deploy can hurt. `notice`: worth a thought. */
export type Level = 'warning' | 'notice';

export interface Rule {
  /** Title of its section in the docs. */
  readonly group: 'Ignored by Swarm' | 'Depends on the engine' | 'Dangers to a rolling update';
  readonly level: Level;
  /** When it fires. */
  readonly when: string;
  readonly reason: string;
  readonly mend: string;
}

/** What `docker stack deploy` reads and does nothing with (docker/cli, UnsupportedProperties and others). */
const ignored = (key: string, level: Level, reason: string, mend: string): Rule => ({
  ...{ group: 'Ignored by Swarm', level, reason, mend },
  when: `A service has \`${key}\`.`,
});

/** What nodes with an older engine leave out of a container without a word. */
const engine = (key: string, since: string, mend: string): Rule => ({
  ...{ group: 'Depends on the engine', level: 'warning', mend },
  when: `A service has \`${key}\`, and a node that is up runs an engine before ${since}.`,
  reason: `Engines before ${since} do not know it for services and start the container without it.`,
});

const danger = (level: Level, when: string, reason: string, mend: string): Rule => ({
  ...{ group: 'Dangers to a rolling update', level, when, reason, mend },
});

const rules = {
  'ignored-build': ignored(
    'build',
    'notice',
    'Swarm builds nothing: its nodes run the `image` that a registry has.',
    'Build and push the image in a step before this one; keep `build` in a file for development.',
  ),
  'ignored-cgroup-parent': ignored(
    'cgroup_parent',
    'warning',
    'Swarm services cannot choose the cgroup of their containers.',
    'Set limits in `deploy.resources`, or `cgroup-parent` in the daemon.json of the nodes.',
  ),
  'ignored-cgroupns-mode': ignored(
    'cgroupns_mode',
    'warning',
    'Swarm services cannot choose their cgroup namespace.',
    'Set `default-cgroupns-mode` in the daemon.json of the nodes.',
  ),
  'ignored-container-name': ignored(
    'container_name',
    'warning',
    'Swarm names containers itself, STACK_SERVICE.SLOT.ID, as there may be several of them.',
    'Remove it, and reach the service by its name in the network; a `hostname` may have templates like `{{.Task.Slot}}`.',
  ),
  'ignored-depends-on': ignored(
    'depends_on',
    'notice',
    'A list, or the condition `service_started`, orders nothing: Swarm starts all services at once.',
    'Let the service try again until it reaches what it needs, or use the condition `service_healthy` or `service_completed_successfully`.',
  ),
  'ignored-devices': ignored(
    'devices',
    'warning',
    'Swarm services get no devices of their node.',
    'Use generic resources (`deploy.resources.reservations.generic_resources`), or run that container outside of Swarm.',
  ),
  'ignored-domainname': ignored(
    'domainname',
    'warning',
    'Swarm services have no domain name.',
    'Write the full name into `hostname`.',
  ),
  'ignored-expose': ignored(
    'expose',
    'notice',
    'Services in the same network reach each other on every port.',
    'Remove it; use `ports` for what should be reached from outside.',
  ),
  'ignored-external-links': ignored(
    'external_links',
    'warning',
    'Swarm has no links between containers.',
    'Put both services into the same overlay network and use their names.',
  ),
  'ignored-ipc': ignored(
    'ipc',
    'warning',
    'Swarm services cannot share an IPC namespace.',
    'Remove it; mount a tmpfs at `/dev/shm` for more shared memory.',
  ),
  'ignored-links': ignored(
    'links',
    'warning',
    'Swarm has no links between containers, and no aliases by them.',
    'Use the service name, or `networks.NAME.aliases` for another one.',
  ),
  'ignored-mac-address': ignored(
    'mac_address',
    'warning',
    'Swarm chooses the MAC addresses of its containers.',
    'Remove it.',
  ),
  'ignored-network-address': ignored(
    'ipv4_address` or `ipv6_address',
    'warning',
    'Swarm gives out the addresses of services and tasks itself.',
    'Remove it, and use the service name: it stays the same.',
  ),
  'ignored-network-mode': ignored(
    'network_mode',
    'warning',
    'Swarm services are connected to networks only: the container gets an overlay network instead.',
    'For the network of the node, declare `networks: {outside: {external: true, name: host}}` and use it; for single ports, `mode: host`.',
  ),
  'ignored-pid': ignored(
    'pid',
    'warning',
    'Swarm services cannot share a PID namespace.',
    'Remove it, or run that container outside of Swarm.',
  ),
  'ignored-privileged': ignored(
    'privileged',
    'warning',
    'Swarm services cannot be privileged.',
    'Name the capabilities that it needs in `cap_add`, or run that container outside of Swarm.',
  ),
  'ignored-restart': ignored(
    'restart',
    'warning',
    'Swarm restarts by `deploy.restart_policy`, and always where there is none. Docker reads `always`, `unless-stopped` and `on-failure` as such a policy where none is written, and says itself that it does not support `restart`; `no` is lost, and next to a `restart_policy` any value is.',
    'Write `deploy.restart_policy` with the `condition` any, on-failure or none.',
  ),
  'ignored-security-opt': ignored(
    'security_opt',
    'warning',
    'Swarm services run with the security options of the node.',
    'Set them in the daemon.json of the nodes (`no-new-privileges`, `seccomp-profile`).',
  ),
  'ignored-shm-size': ignored(
    'shm_size',
    'warning',
    'Swarm services have 64 MiB in `/dev/shm`.',
    'Mount a tmpfs there: `{type: tmpfs, target: /dev/shm, tmpfs: {size: 268435456}}` in `volumes`.',
  ),
  'ignored-tmpfs': ignored(
    'tmpfs',
    'warning',
    'Docker drops it without a word: the container writes to its own layer instead.',
    'Mount it in `volumes`: `{type: tmpfs, target: /run}`.',
  ),
  'ignored-userns-mode': ignored(
    'userns_mode',
    'warning',
    'Swarm services have the user namespace of the node.',
    'Set `userns-remap` in the daemon.json of the nodes.',
  ),

  'engine-sysctls': engine('sysctls', '19.03', 'Update the node, or set it on the node itself.'),
  'engine-capabilities': engine(
    'cap_add` or `cap_drop',
    '20.10',
    'Update the node, or keep the service off it by a placement constraint.',
  ),
  'engine-ulimits': engine(
    'ulimits',
    '20.10',
    'Update the node, or set `default-ulimits` in its daemon.json.',
  ),
  'engine-pids-limit': engine(
    'deploy.resources.limits.pids',
    '20.10',
    'Update the node, or keep the service off it by a placement constraint.',
  ),
  'engine-start-interval': engine(
    'healthcheck.start_interval',
    '25.0',
    'Update the node, or choose `interval` and `start_period` such that it does without.',
  ),
  'engine-volume-subpath': engine(
    'volume.subpath` in a mount of `volumes',
    '26.0',
    'Update the node before anything is deployed: there, the whole volume is mounted.',
  ),
  'engine-oom-score-adj': engine(
    'oom_score_adj',
    '27.0',
    'Update the node, or keep the service off it by a placement constraint.',
  ),

  'no-healthcheck': danger(
    'warning',
    'A service that is to keep running has no `healthcheck` in the files, or disables it.',
    'Unless the image has one, "running" only means that a process has started: an update goes on over broken tasks.',
    'Add a `healthcheck` that asks for what the service is there for.',
  ),
  'healthcheck-words': danger(
    'warning',
    "A healthcheck's `test` is a list of words that a shell would have to read: `||` or `$NAME` behind `CMD`, one text with spaces in it as the only word, or several words behind `CMD-SHELL`.",
    'Docker starts `CMD` without a shell, and gives a shell the first word behind `CMD-SHELL` alone: most such checks never pass, and no task ever becomes healthy.',
    'Write the command as one text, which a shell reads: `test: curl -f http://localhost/ || exit 1`; or for `CMD` each word for itself.',
  ),
  'sysctl-of-the-node': danger(
    'warning',
    'A service sets a `sysctls` of the whole kernel, such as `vm.max_map_count` or `fs.file-max`.',
    'A container has those of its own namespaces alone (`net.*`, `fs.mqueue.*`, and of `kernel.*` those of System V IPC): with any other one, no task of it ever starts.',
    'Remove it from `sysctls`, and set it on every node that may run the service, in `/etc/sysctl.d`.',
  ),
  'stop-first-single-replica': danger(
    'warning',
    'A service has one replica, and an update stops it before the new one starts.',
    'It is down for as long as the new task takes to start, in every update.',
    'Set `deploy.update_config.order: start-first`, or run two replicas. Where two at once would be wrong, as with a volume or a host port, write `order: stop-first`, and this is taken as meant.',
  ),
  'failure-action': danger(
    'warning',
    '`deploy.update_config.failure_action` is not `rollback`.',
    'Swarm itself stops a failing update half-way, or goes on with it; whoever deploys without this action, or loses the connection, leaves it so.',
    'Set `deploy.update_config.failure_action: rollback`.',
  ),
  'monitor-too-short': danger(
    'warning',
    '`deploy.update_config.monitor` (5s where it is not set) is shorter than `start_period + interval * retries` of the healthcheck.',
    'A task can turn unhealthy after Swarm has stopped to look at it: the update counts as completed.',
    'Raise `monitor`, or let the healthcheck find out faster.',
  ),
  'start-first-host-port': danger(
    'warning',
    'A service publishes a port with `mode: host` and is updated with `order: start-first`.',
    'The new task needs the port that the old one still has: on that node it can never start.',
    'Use `order: stop-first`, or publish the port in `mode: ingress`.',
  ),
  'host-port-replicas': danger(
    'warning',
    'A service publishes a port with `mode: host` and has more replicas than the swarm has active nodes.',
    'A node has each port once: the replicas beyond that stay pending.',
    'Use `mode: global`, fewer replicas, or publish the port in `mode: ingress`.',
  ),
  'start-first-max-replicas': danger(
    'warning',
    'A service is updated with `order: start-first`, and `max_replicas_per_node` leaves no place for one task more.',
    'Old and new task count together: the new one stays pending, and the update never ends.',
    'Raise `max_replicas_per_node` by one, add a node, or use `order: stop-first`.',
  ),
  'update-all-at-once': danger(
    'warning',
    'A service with several replicas is updated with `order: stop-first` and a `parallelism` of 0, or of all of them.',
    'All tasks are stopped before the first new one runs.',
    'Set a `parallelism` below the number of replicas, or `order: start-first`.',
  ),
  'local-volume-moves': danger(
    'notice',
    'A replicated service without placement constraints has a named volume on local disk, in a swarm of several nodes.',
    'Each node has a volume of its own by that name: a task that comes up on another node starts with an empty one.',
    'Bind it to a node with `deploy.placement.constraints`, or use a volume driver that all nodes share.',
  ),
  'no-stop-grace-period': danger(
    'notice',
    'A service with `ports` has no `stop_grace_period`.',
    'Docker kills it ten seconds after it was asked to stop: requests that take longer are cut off in every update.',
    'Set `stop_grace_period` to what the longest request may take.',
  ),
  'mutable-tag': danger(
    'warning',
    'An image has no tag, or the tag `latest`, and no digest.',
    'The same file means another image tomorrow, and nobody can tell from it what runs.',
    'Deploy a tag of its own for each build, as the commit: `image: app:${GITHUB_SHA}`.',
  ),
  'no-resource-limits': danger(
    'notice',
    'A service has no `deploy.resources.limits.memory`.',
    'One task that leaks takes the memory of its node, and with it the other services there.',
    'Set `deploy.resources.limits.memory`, and `cpus` where it may starve others.',
  ),
  'network-stays': {
    group: 'Ignored by Swarm',
    level: 'warning',
    when: 'The files define a network otherwise than the one of the stack that is there.',
    reason: 'Docker creates the networks of a stack and never changes one.',
    mend: 'Give it another `name:` or key, so that it is made anew; or remove the stack first.',
  },
  'attached-twice': danger(
    'warning',
    'A service has the same config or secret at two paths.',
    "Docker's client writes the two in an order that differs from run to run, and Swarm replaces all tasks for it: a deploy that changes nothing may restart the service (docker/cli `ParseSecrets` and `ParseConfigs` walk a map of Go, and sort by the name of the object alone).",
    'Attach it once, or give the second path an entry of its own at the top level, with the same `file`.',
  ),
  'job-update-config': danger(
    'warning',
    'A job has `deploy.update_config`.',
    'Swarm refuses it: a job is run again, not updated.',
    'Remove `update_config` from it.',
  ),
  'expiring-credentials': danger(
    'warning',
    'The login of a registry that a service pulls from is one that expires: the token of the workflow (`GITHUB_TOKEN`), a password of Amazon ECR, an access token of Google or Azure.',
    'The nodes keep it with the service, and pull by it when a task is moved to another node, next week.',
    'Log in with credentials that last: a personal access token with `read:packages`, a service account key, a repository token. Where there are none, as for ECR, hand the nodes a new login before the old one expires, which restarts nothing: `docker service update --with-registry-auth SERVICE` on a manager that is logged in, or the same deploy again.',
  ),
} as const satisfies Readonly<Record<string, Rule>>;

export type RuleId = keyof typeof rules;
export const RULES: Readonly<Record<RuleId, Rule>> = rules;
export const RULE_IDS = Object.keys(rules) as readonly RuleId[];
