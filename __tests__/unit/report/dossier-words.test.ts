/** The sentence that a reader gets for each of the failures that are met most: cause and mend. */
import { describe, expect, it } from '@jest/globals';
import type { Reason } from '../../../src/errors.js';
import type { JsonObject } from '../../../src/model.js';
import { wordsFor, type Facts } from '../../../src/report/dossier-words.js';

const IMAGE = 'registry.example/shop/api:2';

const facts = (reason: Reason, more: Partial<Facts> & { readonly template?: JsonObject } = {}) => ({
  reason,
  spec: {
    Name: 'shop_api',
    TaskTemplate: { ContainerSpec: { Image: IMAGE }, ...more.template },
    Mode: { Replicated: { Replicas: 2 } },
  },
  failures: [],
  waiting: [],
  message: '',
  unplaced: '',
  lastWords: '',
  unread: false,
  platforms: ['linux/amd64'],
  ...more,
});
const failures = (
  error: string,
  more: { readonly exitCode?: number; readonly fatal?: boolean; readonly times?: number } = {},
): Pick<Facts, 'failures'> => ({
  failures: Array.from({ length: more.times ?? 2 }, (_, index) => ({
    ...{ taskId: `t${index}`, service: 'shop_api', slot: index + 1, reason: 'crash-loop' as const },
    ...{ fatal: more.fatal ?? false, error, node: `worker-${index + 1}` },
    ...(more.exitCode === undefined ? {} : { exitCode: more.exitCode }),
  })),
});

const GiB = 2 ** 30;

describe('the words', () => {
  it.each<[string, ReturnType<typeof facts>, string, string]>([
    [
      'a missing image',
      facts('image-not-found', failures('No such image', { fatal: true })),
      `The registry has no image ${IMAGE}.`,
      'Check the name and the tag in `image:`, and that it was pushed before this step;',
    ],
    [
      'a pull that the registry refuses',
      facts('registry-auth', failures('pull access denied', { times: 1 })),
      `The registry did not let worker-1 pull ${IMAGE}: pull access denied.`,
      'Give registry-username and registry-password of an account that may pull it',
    ],
    [
      'a crash',
      facts('crash-loop', {
        ...failures('task: non-zero exit (1)', { exitCode: 1 }),
        lastWords: 'fatal: no database',
      }),
      'Its process ends with exit code 1, 2 times on worker-1 and worker-2; its log says: fatal: no database.',
      'Mend what its log complains of.',
    ],
    [
      'a crash without a word',
      facts('crash-loop', failures('task: non-zero exit (1)', { exitCode: 1, times: 1 })),
      'Its process ends with exit code 1 on worker-1.',
      `Run ${IMAGE} by hand with the same command and environment to see why`,
    ],
    [
      'a healthcheck that fails',
      facts('unhealthy', {
        ...failures('unhealthy container'),
        lastWords: 'ERROR: no table orders',
        template: {
          ContainerSpec: {
            Image: IMAGE,
            Healthcheck: { Test: ['CMD', 'curl', '-f', 'http://localhost/'] },
          },
        },
      }),
      'Its healthcheck "curl -f http://localhost/" does not pass: 2 tasks on worker-1 and worker-2 were stopped for it; its log says: ERROR: no table orders.',
      `Run the check in a container of ${IMAGE} and mend what it finds; if the service only takes longer to start, raise healthcheck.start_period (now 0 s).`,
    ],
    [
      'a healthcheck that fails, of a service that complains of nothing',
      facts('unhealthy', { ...failures('unhealthy container'), lastWords: 'listening' }),
      'The healthcheck of its image does not pass: 2 tasks on worker-1 and worker-2 were stopped for it.',
      "raise healthcheck.start_period (now the image's own).",
    ],
    [
      'too little memory',
      facts('out-of-memory', {
        ...failures('task: non-zero exit (137)', { exitCode: 137, times: 1 }),
        template: { Resources: { Limits: { MemoryBytes: GiB / 4 } } },
      }),
      'It takes more memory than its limit of 256 MiB: 1 task on worker-1 was killed for it (exit code 137).',
      'Raise deploy.resources.limits.memory, or make the service use less.',
    ],
    [
      'a program for another processor',
      facts('exec-format', failures('exec format error', { times: 1 })),
      `The program of ${IMAGE} does not run on worker-1: it is for another processor, or a script without a #! line.`,
      'Build the image for the platform of the nodes (linux/amd64)',
    ],
    [
      'a command that is not there',
      facts(
        'command-not-found',
        failures('exec: "/app": stat /app: no such file or directory', { times: 1 }),
      ),
      `There is no command /app in ${IMAGE}.`,
      'Correct command or entrypoint, or put the program into the image',
    ],
    [
      'a label that no node has',
      facts('unschedulable', {
        unplaced: 'no suitable node (scheduling constraints not satisfied on 3 nodes)',
        template: { Placement: { Constraints: ['node.labels.disk == ssd'] } },
      }),
      'No node can run it: scheduling constraints not satisfied on 3 nodes; it asks for node.labels.disk == ssd.',
      'Correct deploy.placement.constraints, or give a node what they ask for',
    ],
    [
      'more than any node has',
      facts('unschedulable', {
        unplaced: 'no suitable node (insufficient resources on 3 nodes)',
        template: { Resources: { Reservations: { NanoCPUs: 2e9, MemoryBytes: 64 * GiB } } },
      }),
      'No node can run it: insufficient resources on 3 nodes; each task reserves 2 CPUs and 64 GiB of memory.',
      'Lower deploy.resources.reservations, or make room: add a node or remove services.',
    ],
    [
      'a node that was paused with a task of the former version on it',
      facts('unschedulable', {
        message:
          'shop_api keeps its former version on worker-2: Swarm updates nothing on a paused node (docker node update --availability active, or drain)',
      }),
      'It keeps its former version on worker-2: Swarm updates nothing on a paused node (docker node update --availability active, or drain).',
      'Set that node to active or drain, then run the workflow again.',
    ],
    [
      'an update that waits for a task that was called off',
      facts('unschedulable', {
        message:
          'shop_api is not updated any further: Swarm waits for ever for a task on worker-2 that was called off before it began, as when a node is drained in mid-update; deploy again',
      }),
      'It is not updated any further: Swarm waits for ever for a task on worker-2 that was called off before it began, as when a node is drained in mid-update; deploy again.',
      'Run the workflow again: a new update does not wait for that task.',
    ],
    [
      'an update that a limit for each node leaves no room',
      facts('unschedulable', {
        unplaced: 'no suitable node (max replicas per node limit exceed)',
        message:
          'shop_api cannot be updated start-first: max_replicas_per_node leaves no room beside its former tasks',
      }),
      'No node can run it: max replicas per node limit exceed.',
      'Raise deploy.placement.max_replicas_per_node, lower replicas, add a node, or set deploy.update_config.order: stop-first.',
    ],
    [
      'an update that Swarm paused though nothing failed',
      facts('update-paused', { message: 'Swarm paused the update of shop_api' }),
      'Swarm paused the update (failure_action: pause): Swarm paused the update of shop_api.',
      'No task of it was seen to fail: Swarm stops, too, where one is ended early, as when its node is drained; and with a task-history-limit of 0 it forgets',
    ],
    [
      'one that Swarm took back as what is meant to end has ended',
      facts('rolled-back-by-swarm', {
        message: 'Swarm rolled back shop_api',
        template: { RestartPolicy: { Condition: 'on-failure' } },
      }),
      'Swarm rolled the service back by itself (failure_action: rollback): Swarm rolled back shop_api.',
      'No task of it was seen to fail: Swarm takes one that ends within monitor, be it with exit code 0, for a failed update. Where it is meant to end, set deploy.update_config.failure_action: continue',
    ],
    [
      'a port in use',
      facts('port-in-use', failures('listen tcp4 0.0.0.0:8080: bind: address already in use')),
      'Port 8080 is already in use on worker-1 and worker-2.',
      'Stop what listens there or publish another port;',
    ],
    [
      'a port in use, where Docker names that of the container, too',
      facts(
        'port-in-use',
        failures(
          'driver failed programming external connectivity on endpoint shop_api.1 (4379f3da): failed to bind ' +
            'host port for 0.0.0.0:8080:172.17.0.2:80/tcp: address already in use',
        ),
      ),
      'Port 8080 is already in use on worker-1 and worker-2.',
      'Stop what listens there or publish another port;',
    ],
    [
      'a mount without its source',
      facts(
        'mount-invalid',
        failures(
          'invalid mount config for type "bind": bind source path does not exist: /srv/data',
          {
            times: 1,
          },
        ),
      ),
      'A mount needs /srv/data, which does not exist on worker-1.',
      'Create it on every node that may run the service',
    ],
    [
      'a sysctl of the whole kernel, which no other node takes either',
      facts(
        'task-rejected',
        failures('sysctl "vm.max_map_count" is not in a separate kernel namespace', { times: 1 }),
      ),
      'worker-1 could not start its task: sysctl "vm.max_map_count" is not in a separate kernel namespace.',
      'Remove it from sysctls, and set it on every node that may run the service',
    ],
    [
      'a capability that there is not',
      facts(
        'task-rejected',
        failures('invalid CapAdd: unknown capability: "CAP_NET_FOO"', { times: 1 }),
      ),
      'worker-1 could not start its task: invalid CapAdd: unknown capability: "CAP_NET_FOO".',
      'Correct cap_add and cap_drop.',
    ],
    [
      'a limit that is above the other',
      facts(
        'task-rejected',
        failures('error setting rlimit type 7: invalid argument', { times: 1 }),
      ),
      'worker-1 could not start its task: error setting rlimit type 7: invalid argument.',
      'Correct ulimits: soft is no more than hard.',
    ],
    [
      'a job that fails',
      facts('job-failed', {
        ...failures('task: non-zero exit (3)', { exitCode: 3, times: 1 }),
        lastWords: 'fatal: migration 7',
      }),
      'The job ended with exit code 3; its log says: fatal: migration 7.',
      'Mend what its log complains of, then run the workflow again.',
    ],
    [
      'a job of Swarm, which every deploy runs',
      facts('job-failed', {
        ...failures('task: non-zero exit (3)', { exitCode: 3, times: 1 }),
        spec: { Name: 'shop_migrate', TaskTemplate: {}, Mode: { ReplicatedJob: {} } },
        lastWords: 'fatal: migration 7',
      }),
      'The job ended with exit code 3; its log says: fatal: migration 7.',
      'Mend what its log complains of, then run the workflow again: a job runs anew with every deploy.',
    ],
    [
      'a job that wrote nothing',
      facts('job-failed', failures('task: non-zero exit (3)', { exitCode: 3, times: 1 })),
      'The job ended with exit code 3.',
      `Run ${IMAGE} by hand with the same command and environment to see why: it wrote nothing that could be read.`,
    ],
    [
      'a start that takes too long',
      facts('progress-timeout', {
        waiting: [{ taskId: 't', node: 'worker-1', state: 'starting', error: '', at: '' }],
        message: 'nothing moved for 5 min',
      }),
      'A task on worker-1 stays "starting": it runs, and its healthcheck has not passed yet.',
      'Look at its log and at the healthcheck',
    ],
  ])('on %s', (_, given, cause, mend) => {
    const words = wordsFor(given);
    expect(words.cause).toBe(cause);
    expect(words.mend).toContain(mend);
  });
});
