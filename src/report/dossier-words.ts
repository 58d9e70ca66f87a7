/** What made a service fail, and what mends it, in plain words: a sentence for each reason. */
import { takenPort } from '../compose/places.js';
import type { Reason } from '../errors.js';
import {
  at,
  delayMs,
  hasOwnHealthcheck,
  imageOf,
  isJob,
  kindOf,
  restartCondition,
  splitImage,
  type Json,
  type ServiceSpec,
} from '../model.js';
import { conceal } from '../planning/conceal.js';
import { exitCodeMeaning, type Failure } from '../rollout/classify.js';
import type { DossierTask } from './dossier.js';
import { plural, withoutControls } from './text.js';

/** What is known of a service that failed. */
export interface Facts {
  readonly reason: Reason;
  /** As it was asked for. */
  readonly spec: ServiceSpec;
  /** Of this reason; the last one is shown. */
  readonly failures: readonly (Failure & { readonly node: string })[];
  /** Its tasks that are still meant to run. */
  readonly waiting: readonly DossierTask[];
  /** The verdict's own words, where it is about this service. */
  readonly message: string;
  /** Why tasks cannot be placed, in Docker's words. */
  readonly unplaced: string;
  /** The line of the failed task's log that says most; '' where there is none. */
  readonly lastWords: string;
  /** Nobody has looked whether there is one. */
  readonly unread: boolean;
  /** `linux/x86_64` and the like, of the nodes. */
  readonly platforms: readonly string[];
}

export interface Words {
  readonly cause: string;
  readonly mend: string;
}

const MAX_WORDS = 400;
const short = (text: string, most = MAX_WORDS): string => {
  const flat = withoutControls(text).trim();
  return flat.length > most ? `${flat.slice(0, most)} ...` : flat;
};

/** Cause and mend without a full stop's worth of jargon; foreign text in them is not yet made safe. */
export function wordsFor(facts: Facts): Words {
  const { cause, mend } = WORDS[facts.reason]?.(facts) ?? {
    cause: facts.message === '' ? short(lastError(facts)) : facts.message,
    mend: "Docker's own words say what is wrong; mend that, then run the workflow again.",
  };
  const sentence = cause.replace(/^the node/, 'The node').replace(/[.\s]+$/, '');
  return { cause: `${sentence}.`, mend };
}

type Writer = (facts: Facts) => Words;

const WORDS: Partial<Readonly<Record<Reason, Writer>>> = {
  'image-not-found': (facts) =>
    splitImage(imageOf(facts.spec)).digest === undefined ? imageMissing(facts) : imageKept(facts),
  'registry-auth': (facts) => ({
    cause: `The registry did not let ${nodes(facts)} pull ${image(facts)}: ${short(lastError(facts))}`,
    mend: 'Give registry-username and registry-password of an account that may pull it (a token may have expired), and leave with-registry-auth at true.',
  }),
  'crash-loop': crashed,
  unhealthy: (facts) => ({
    cause: `${healthcheck(facts)} does not pass${tasksSay(facts, 'stopped for it')}${complains(facts.lastWords) ? lastWords(facts) : ''}`,
    mend: `Run the check in a container of ${image(facts)} and mend what it finds; if the service only takes longer to start, raise healthcheck.start_period (now ${startPeriod(facts.spec)}).`,
  }),
  'out-of-memory': (facts) => ({
    cause: `It takes more memory than its limit of ${sizeText(at(facts.spec, 'TaskTemplate', 'Resources', 'Limits', 'MemoryBytes'))}${tasksSay(facts, 'killed for it (exit code 137)')}`,
    mend: 'Raise deploy.resources.limits.memory, or make the service use less.',
  }),
  'exec-format': (facts) => ({
    cause: `The program of ${image(facts)} does not run on ${nodes(facts)}: it is for another processor, or a script without a #! line`,
    mend: `Build the image for the platform of the nodes${facts.platforms.length === 0 ? '' : ` (${facts.platforms.join(', ')})`}, as by docker buildx build --platform; a script begins with #!/bin/sh.`,
  }),
  'command-not-found': commandMissing,
  'mount-invalid': (facts) => {
    const path = /source path does not exist: ?(\S+)/i.exec(lastError(facts))?.[1];
    return {
      cause:
        path === undefined
          ? `A mount cannot be made on ${nodes(facts)}: ${short(lastError(facts))}`
          : `A mount needs ${path}, which does not exist on ${nodes(facts)}`,
      mend: 'Create it on every node that may run the service, use a named volume, or keep the service to nodes that have it (deploy.placement.constraints).',
    };
  },
  'network-unavailable': (facts) => ({
    cause: `A network of it cannot be set up on ${nodes(facts)}: ${short(lastError(facts))}`,
    mend: /overlap/i.test(lastError(facts))
      ? 'Addresses of a stack that was just removed may still be in use: run the workflow again, or give the network a subnet of its own.'
      : 'Check that the network exists, and that its driver is there on that node (docker network ls).',
  }),
  'port-in-use': (facts) => {
    const port = takenPort(lastError(facts));
    return {
      cause: `${port === undefined ? 'A host-mode port' : `Port ${port}`} is already in use on ${nodes(facts)}`,
      mend: 'Stop what listens there or publish another port; where it is the former task of the same service, set deploy.update_config.order: stop-first.',
    };
  },
  'host-port-deadlock': (facts) => ({
    cause: facts.message,
    mend: 'Set deploy.update_config.order: stop-first for services with host-mode ports.',
  }),
  'task-rejected': (facts) => ({
    cause: `${nodes(facts)} could not start its task: ${short(lastError(facts))}`,
    mend:
      OF_THE_FILES.find(({ pattern }) => pattern.test(lastError(facts)))?.mend ??
      "Docker's words say what is wrong on that node; mend it there, or keep the service to other nodes (deploy.placement.constraints).",
  }),
  'job-failed': (facts) => ({
    cause: `The job ended with ${exitText(facts)}${lastWords(facts)}`,
    mend:
      facts.lastWords === ''
        ? byHand(facts)
        : `Mend what its log complains of, then run the workflow again${isJob(kindOf(facts.spec)) ? ': a job runs anew with every deploy' : ''}.`,
  }),
  unschedulable: unplaceable,
  'update-paused': (facts) => ({
    cause: `Swarm paused the update (failure_action: pause)${colon(facts.message)}`,
    mend: stoppedEarly(facts),
  }),
  'rolled-back-by-swarm': (facts) => ({
    cause: `Swarm rolled the service back by itself (failure_action: rollback)${colon(facts.message)}`,
    mend: stoppedEarly(facts),
  }),
  'progress-timeout': late,
  timeout: late,
};

/**
 * Where a task of it was seen to fail, the reason is that one's. Swarm's updater makes no difference between
 * one that failed and one that ended (swarmkit, manager/orchestrator/update/updater.go).
 */
function stoppedEarly({ spec }: Facts): string {
  const kind = kindOf(spec);
  return 'oneShot' in kind && kind.oneShot
    ? 'No task of it was seen to fail: Swarm takes one that ends within monitor, be it with exit code 0, for a failed update. Where it is meant to end, set deploy.update_config.failure_action: continue, or make it a job (deploy.mode: replicated-job).'
    : 'No task of it was seen to fail: Swarm stops, too, where one is ended early, as when its node is drained; and with a task-history-limit of 0 it forgets at once those that failed. Look at the nodes (docker node ls) and at its tasks, then run the workflow again.';
}

const colon = (text: string): string => (text === '' ? '' : `: ${text}`);
const image = ({ spec }: Facts): string => splitImage(imageOf(spec)).name;
const lastError = ({ failures, message }: Facts): string => failures.at(-1)?.error ?? message;

const imageMissing = (facts: Facts): Words => ({
  cause: facts.failures.some(({ fatal }) => fatal)
    ? `The registry has no image ${image(facts)}`
    : `${nodes(facts)} could not pull ${image(facts)}: there is no such image, or its registry does not answer or lets no node in`,
  mend: 'Check the name and the tag in `image:`, and that it was pushed before this step; a private image needs registry-username and registry-password, and with-registry-auth at true.',
});

/** Docker had the digest from the registry: what a node lacks is the way to it. */
const imageKept = (facts: Facts): Words => ({
  cause: `The registry has ${image(facts)}, but ${nodes(facts)} could not pull it: it has no login for it, or does not reach the registry`,
  mend: 'Give registry-username and registry-password and leave with-registry-auth at true, so that the nodes can log in; and check that they reach the registry.',
});

/** `worker-1`, `worker-1 and worker-2`, `4 nodes`. */
function nodes({ failures }: Facts): string {
  const names = [...new Set(failures.map(({ node }) => node))].filter((name) => name !== '').sort();
  if (names.length === 0) return 'the node';
  return names.length > 3 ? `${names.length} nodes` : listed(names);
}

const listed = (names: readonly string[]): string =>
  names.length < 2
    ? names.join('')
    : `${names.slice(0, -1).join(', ')} and ${names.slice(-1).join('')}`;

/** `: 3 tasks on worker-1 were stopped for it`. */
function tasksSay(facts: Facts, what: string): string {
  const count = facts.failures.length;
  if (count === 0) return '';
  return `: ${plural(count, 'task')} on ${nodes(facts)} ${count === 1 ? 'was' : 'were'} ${what}`;
}

const COMPLAINT = /\b(?:fatal|panic|[a-z]*error|[a-z]*exception)\b/i;

/** Whether a line of a log speaks of an error. */
export const complains = (line: string): boolean => COMPLAINT.test(line);

const lastWords = ({ lastWords: words }: Facts): string =>
  words === '' ? '' : `; its log says: ${short(words, 200)}`;

const byHand = (facts: Facts): string => {
  const run = `un ${image(facts)} by hand with the same command and environment to see why`;
  return facts.unread
    ? `So many services have failed that the logs of the first ones alone were read: mend what these complain of, or r${run}.`
    : `R${run}: it wrote nothing that could be read.`;
};

function exitText({ failures }: Facts): string {
  const code = failures.at(-1)?.exitCode;
  if (code === undefined) return 'an error';
  const meaning = code === 0 ? undefined : exitCodeMeaning(code);
  return `exit code ${code}${meaning === undefined ? '' : ` (${meaning})`}`;
}

function crashed(facts: Facts): Words {
  const last = facts.failures.at(-1);
  const times = facts.failures.length;
  const often = times > 1 ? `, ${times} times` : '';
  const where = `${often} on ${nodes(facts)}`;
  if (last?.exitCode === 0)
    return {
      cause: `Its process ends by itself in good order (exit code 0)${where}, though the service is meant to keep running${lastWords(facts)}`,
      mend: `Keep it in the foreground; a service that is meant to end takes deploy.restart_policy.condition: none or on-failure${restartCondition(facts.spec) === 'any' ? '' : ' and no healthcheck'}, or mode: replicated-job.`,
    };
  return {
    cause: `Its process ends with ${exitText(facts)}${where}${lastWords(facts)}`,
    mend:
      last?.exitCode === 137
        ? 'Look whether the node ran out of memory (dmesg on it), and give the service deploy.resources.limits.memory; else something kills it.'
        : facts.lastWords === ''
          ? byHand(facts)
          : 'Mend what its log complains of.',
  };
}

function healthcheck({ spec }: Facts): string {
  if (!hasOwnHealthcheck(spec)) return 'The healthcheck of its image';
  const test = at(spec, 'TaskTemplate', 'ContainerSpec', 'Healthcheck', 'Test');
  const shown = conceal(test ?? null);
  const [, ...words] = Array.isArray(shown) ? (shown as readonly Json[]) : [];
  const command = short(words.filter((word) => typeof word === 'string').join(' '), 120);
  return command !== '' ? `Its healthcheck "${command}"` : 'Its healthcheck';
}

function startPeriod(spec: ServiceSpec): string {
  const period = at(spec, 'TaskTemplate', 'ContainerSpec', 'Healthcheck', 'StartPeriod');
  const seconds = Number(period ?? 0) / 1e9;
  return seconds > 0
    ? `${Number(seconds.toFixed(1))} s`
    : hasOwnHealthcheck(spec)
      ? '0 s'
      : "the image's own";
}

/** @param bytes as a spec has them */
function sizeText(bytes: Json | undefined): string {
  const mib = Number(bytes ?? 0) / 2 ** 20;
  return mib >= 1024 && mib % 1024 === 0 ? `${mib / 1024} GiB` : `${Number(mib.toFixed(1))} MiB`;
}

function commandMissing(facts: Facts): Words {
  const words = lastError(facts);
  const name = /exec: \\?"([^"\\]+)\\?"/.exec(words)?.[1];
  const denied = /permission denied/i.test(words);
  return {
    cause:
      name === undefined
        ? `The command of the service is not in ${image(facts)}: ${short(words)}`
        : denied
          ? `The command ${name} in ${image(facts)} may not be executed`
          : `There is no command ${name} in ${image(facts)}`,
    mend: denied
      ? 'Give the file the right to be executed (chmod +x) in the image, or correct command or entrypoint.'
      : 'Correct command or entrypoint, or put the program into the image (an entrypoint script needs its interpreter there, too).',
  };
}

/** What no node can start a task with. */
const OF_THE_FILES: readonly { readonly pattern: RegExp; readonly mend: string }[] = [
  {
    pattern: /sysctl .* is not in a separate kernel namespace/i,
    mend: 'Remove it from sysctls, and set it on every node that may run the service (/etc/sysctl.d): it is one of the whole kernel, which no container can set.',
  },
  { pattern: /unknown capability/i, mend: 'Correct cap_add and cap_drop.' },
  {
    pattern: /setting rlimit.*invalid argument/i,
    mend: 'Correct ulimits: soft is no more than hard.',
  },
];

/** What Docker's counts of unfit nodes say, and what helps there. */
const UNFIT: readonly { readonly pattern: RegExp; readonly mend: string }[] = [
  {
    pattern: /scheduling constraints/i,
    mend: 'Correct deploy.placement.constraints, or give a node what they ask for (docker node update --label-add KEY=VALUE NODE).',
  },
  {
    pattern: /insufficient resources/i,
    mend: 'Lower deploy.resources.reservations, or make room: add a node or remove services.',
  },
  {
    pattern: /unsupported platform/i,
    mend: 'Build the image for the platform of the nodes (docker buildx build --platform).',
  },
  {
    pattern: /max replicas per node/i,
    mend: 'Raise deploy.placement.max_replicas_per_node, lower replicas, add a node, or set deploy.update_config.order: stop-first.',
  },
  {
    pattern: /host-mode port/i,
    mend: 'Each node has a host-mode port once: fewer replicas, another port, or deploy.update_config.order: stop-first.',
  },
  {
    pattern: /missing plugin/i,
    mend: 'Install the plugin of the volume, network or log driver on the nodes.',
  },
];

/** `; each task reserves 2 CPUs and 4 GiB of memory`. */
function reserved(spec: ServiceSpec): string {
  const of = (what: string): Json | undefined =>
    at(spec, 'TaskTemplate', 'Resources', 'Reservations', what);
  const cpus = Number(of('NanoCPUs') ?? 0) / 1e9;
  const parts = [
    ...(cpus > 0 ? [plural(Number(cpus.toFixed(3)), 'CPU')] : []),
    ...(Number(of('MemoryBytes') ?? 0) > 0 ? [`${sizeText(of('MemoryBytes'))} of memory`] : []),
  ];
  return parts.length === 0 ? '' : `; each task reserves ${parts.join(' and ')}`;
}

/** Updates that stand still although nodes could run the tasks: the verdict's words say which task is in the way. */
const STUCK: readonly { readonly pattern: RegExp; readonly mend: string }[] = [
  {
    pattern: /on a paused node/,
    mend: 'Set that node to active or drain, then run the workflow again.',
  },
  {
    pattern: /was called off before it began/,
    mend: 'Run the workflow again: a new update does not wait for that task.',
  },
];

function unplaceable(facts: Facts): Words {
  const stuck = STUCK.find(({ pattern }) => facts.unplaced === '' && pattern.test(facts.message));
  if (stuck !== undefined) {
    const { Name } = facts.spec;
    const { message } = facts;
    const cause = message.startsWith(`${Name} `) ? `It${message.slice(Name.length)}` : message;
    return { cause, mend: stuck.mend };
  }
  const words = facts.unplaced === '' ? facts.message : facts.unplaced;
  const constraints = at(facts.spec, 'TaskTemplate', 'Placement', 'Constraints');
  const asked =
    /constraints/i.test(words) && Array.isArray(constraints) && constraints.length > 0
      ? `; it asks for ${short((constraints as readonly Json[]).filter((each) => typeof each === 'string').join(', '), 200)}`
      : /insufficient resources/i.test(words)
        ? reserved(facts.spec)
        : '';
  const mends = UNFIT.filter(({ pattern }) => pattern.test(words)).map(({ mend }) => mend);
  return {
    cause: `No node can run it: ${short(words).replace(/^no suitable node \((.+)\)$/i, '$1')}${asked}`,
    mend:
      mends.join(' ') ||
      'Look at the nodes (docker node ls): none that is active and ready takes the task.',
  };
}

/** Where tasks are when nothing moves, and what that means. */
const STANDSTILL: Readonly<Record<string, { readonly cause: string; readonly mend: string }>> = {
  pending: {
    cause: 'no node has been found for it',
    mend: 'Look at placement and reservations, and at the nodes (docker node ls).',
  },
  assigned: {
    cause: 'its node has not taken it yet',
    mend: 'Look whether that node is well (docker node ls), and restart its engine if need be.',
  },
  accepted: {
    cause: 'its node has not begun yet',
    mend: 'Look whether that node is well (docker node ls), and restart its engine if need be.',
  },
  preparing: {
    cause: 'its image is being pulled, or a network or volume set up',
    mend: 'Large images and slow registries take time: raise progress-timeout, or pull the image to the nodes beforehand.',
  },
  starting: {
    cause: 'it runs, and its healthcheck has not passed yet',
    mend: 'Look at its log and at the healthcheck: a long start_period or many retries may be what is waited for; then raise progress-timeout.',
  },
};

function late(facts: Facts): Words {
  const behind = facts.waiting.filter(({ state }) => state in STANDSTILL);
  const [first] = behind;
  const known = first === undefined ? undefined : STANDSTILL[first.state];
  if (first === undefined || known === undefined) {
    const pause = delayMs(facts.spec) / 1000;
    return {
      cause: facts.message === '' ? short(lastError(facts)) : facts.message,
      mend: `Raise ${facts.reason} if it only needs longer${pause > 0 ? ` (its update_config has a delay of ${pause} s)` : ''}; else look at its tasks: docker service ps --no-trunc.`,
    };
  }
  const where = first.node === '' ? '' : ` on ${first.node}`;
  const more = behind.length > 1 ? `, as ${behind.length - 1} more` : '';
  return {
    cause: `A task${where} stays "${first.state}"${more}: ${known.cause}${first.error === '' ? '' : ` (${short(first.error)})`}${lastWords(facts)}`,
    mend: known.mend,
  };
}
