/** What the figures say: the targets, and docs/performance.md. Pure: figures in, text out. */

/**
 * @typedef {import('./meter.mjs').Summary} Summary
 * @typedef {Awaited<ReturnType<typeof import('./swarm.mjs').measureUnchanged>>} Unchanged
 * @typedef {Awaited<ReturnType<typeof import('./swarm.mjs').measureRolling>>} Rolling
 * @typedef {Awaited<ReturnType<typeof import('./swarm.mjs').measureKnowing>>} Knowing
 * @typedef {Awaited<ReturnType<typeof import('./swarm.mjs').measureWatching>>} Watching
 * @typedef {Awaited<ReturnType<typeof import('./scale.mjs').measureScale>>} Scale
 *
 * @typedef {object} Swarm
 * @property {string} engine full version
 * @property {Unchanged} unchanged
 * @property {Rolling} rolling
 * @property {Knowing} knowing
 * @property {Watching} watching
 *
 * @typedef {object} Results
 * @property {string} date
 * @property {number} minutes
 * @property {ReturnType<typeof import('./meter.mjs').machine>} machine
 * @property {Swarm} [swarm]
 * @property {Scale} [scale]
 *
 * @typedef {object} Target
 * @property {string} what
 * @property {string} target
 * @property {string} measured
 * @property {boolean} met
 */

const seconds = (/** @type {number} */ ms) => `${(ms / 1000).toFixed(2)} s`;
const range = (/** @type {Summary} */ { min, max }) => `${seconds(min)} to ${seconds(max)}`;
const ratio = (/** @type {number} */ a, /** @type {number} */ b) => `${(a / b).toFixed(2)} ×`;
const kilobytes = (/** @type {number} */ bytes) =>
  bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1000).toFixed(1)} kB`;

/**
 * @param {Results} results
 * @returns {readonly Target[]} of what was measured
 */
export function targetsOf({ swarm, scale }) {
  /** @type {Target[]} */
  const targets = [];
  if (swarm !== undefined) {
    const { unchanged, rolling, knowing } = swarm;
    // The harder of the two floors: a workflow that puts everything into one connection.
    const more = unchanged.action.median - unchanged.detachedOneConnection.median;
    targets.push({
      what: 'unchanged deploy, more than one `ssh` with login and `--detach=true` (median)',
      target: 'at most 0.40 s',
      measured: seconds(more),
      met: more <= 400,
    });
    targets.push({
      what: "rolling update, beside the rival's own wait for the same time (median)",
      target: 'no slower',
      measured: `${seconds(rolling.action.median)} against ${seconds(rolling.waiting.median)}`,
      met: rolling.action.median <= rolling.waiting.median,
    });
    for (const [kind, { afterTask }] of /** @type {const} */ ([
      ['soon', knowing.fast],
      ['after 26 s', knowing.late],
    ]))
      targets.push({
        what: `delay to know of a task that runs ${kind} (worst of ${knowing.samples})`,
        target: 'at most 0.50 s',
        measured: seconds(afterTask.max),
        met: afterTask.max <= 500,
      });
  }
  if (scale !== undefined) {
    const cpu = scale.still.idle?.cpuMsPerPoll ?? Infinity;
    targets.push({
      what: `CPU of a poll of ${scale.tasks} tasks when nothing moved`,
      target: 'under 50 ms',
      measured: `${cpu} ms`,
      met: cpu < 50,
    });
    const peak = Math.max(scale.unchanged.peakMiB, scale.still.peakMiB, scale.update.peakMiB);
    targets.push({
      what: `memory of the whole process with ${scale.tasks} tasks (worst of three runs)`,
      target: 'under 200 MB',
      measured: `${Math.round(peak * 1.048576)} MB`,
      met: peak * 1.048576 < 200,
    });
  }
  return targets;
}

/** @param {readonly (readonly (string | number)[])[]} rows the first one is the head */
const table = (rows) =>
  rows
    .map((row) => `| ${row.join(' | ')} |`)
    .flatMap((line, index) =>
      index === 0 ? [line, `|${' --- |'.repeat(rows[0]?.length ?? 0)}`] : [line],
    )
    .join('\n');

/**
 * @param {Results} results
 * @returns {string} markdown
 */
export function page(results) {
  const { date, machine, swarm, scale, minutes } = results;
  const engine = swarm === undefined ? '' : `, Docker engine and CLI ${swarm.engine}`;
  return `# Performance

<!-- Written by \`npm run bench\`; the raw figures are in performance.json beside it. -->

Measured on ${date} in one run of ${minutes} minutes: ${machine.cores} cores (${machine.cpu}), ${machine.memoryGiB} GiB, Linux
${machine.kernel}, Node ${machine.node}${engine}. All nodes of the test swarm, its registry and the
"runner" share that machine, so the times hold side by side, not in themselves.

\`\`\`sh
sudo npm run bench               # measures, and writes this page
npm run bench -- --render        # writes it anew from performance.json
\`\`\`

The rival is what a workflow does without an action: OpenSSH's \`ssh\` with \`docker login\`, a second one
with the stack file on its standard input, a third one with \`docker stack deploy\`.

${table([
  ['target', 'asked for', 'measured', ''],
  ...targetsOf(results).map(({ what, target, measured, met }) => [
    what,
    target,
    measured,
    met ? 'met' : '**not met**',
  ]),
])}
${swarm === undefined ? '' : swarmPart(swarm)}${scale === undefined ? '' : scalePart(scale)}`;
}

/** @param {Swarm} swarm */
function swarmPart({ unchanged, rolling, knowing, watching }) {
  const { action, actionWithPost, waiting, detached, detachedOneConnection } = unchanged;
  const floor = detached.median;
  const deploys = /** @type {const} */ ([
    ['the action', action],
    ['the action and its `post`', actionWithPost],
    ['`--detach=false`', waiting],
    ['`--detach=true`, which waits for nothing', detached],
    ['`--detach=true`, login and file in the same `ssh`', detachedOneConnection],
  ]);
  return `
## A deploy that changes nothing

${unchanged.services} services, ${unchanged.tasks} tasks, all of which have run for a while; ${unchanged.rounds} rounds, one after the other in turn.
The action says \`unchanged\` only after it has seen every task healthy.

${table([
  ['', 'median', 'spread', `beside \`--detach=true\``],
  ...deploys.map(([what, one]) => [
    what,
    seconds(one.median),
    range(one),
    ratio(one.median, floor),
  ]),
])}

## A rolling update

${rolling.replicas} replicas, ${rolling.parallelism} at a time, start-first, with a healthcheck; afterwards everything must hold for ${rolling.stableForS} s.
${rolling.rounds} rounds in turn. "After the last task" is from its own record of running to the end of the deploy: the
part that is not Swarm's.

${table([
  ['', 'median', 'spread', 'after the last task, median', 'spread'],
  [
    'the action',
    seconds(rolling.action.median),
    range(rolling.action),
    seconds(rolling.actionAfterLastTask.median),
    range(rolling.actionAfterLastTask),
  ],
  [
    '`--detach=false`',
    seconds(rolling.waiting.median),
    range(rolling.waiting),
    seconds(rolling.waitingAfterLastTask.median),
    range(rolling.waitingAfterLastTask),
  ],
  [
    'ratio',
    ratio(rolling.action.median, rolling.waiting.median),
    '',
    ratio(rolling.actionAfterLastTask.median, rolling.waitingAfterLastTask.median),
    '',
  ],
])}

## How soon it knows

From the last task of a deploy turning \`running\` to the line of the log that says so, ${knowing.samples} deploys each. A
task's record is stamped on its node; the manager shows it a little later, which is Swarm's part.

${table([
  [
    '',
    "after the task's own record, median",
    'worst',
    'after the manager shows it, median',
    'worst',
  ],
  ...[
    /** @type {const} */ (['healthy within seconds', knowing.fast]),
    /** @type {const} */ (['healthy after 26 s of nothing', knowing.late]),
  ].map(([what, { afterTask, afterEngine }]) => [
    what,
    seconds(afterTask.median),
    seconds(afterTask.max),
    seconds(afterEngine.median),
    seconds(afterEngine.max),
  ]),
])}

## What watching costs

A service of ${watching.replicas} replicas. Requests and bytes are those between \`docker system dial-stdio\` and the engine,
heads included.

${table([
  ['', 'polls', 'in', 'requests a poll', 'bytes asked', 'bytes answered'],
  ...[
    /** @type {const} */ (['while the update runs', watching.moving]),
    /** @type {const} */ (['while nothing moves', watching.still]),
  ].map(([what, one]) => [
    what,
    one.polls,
    `${one.seconds} s`,
    one.requestsPerPoll,
    kilobytes(one.sentPerPoll),
    kilobytes(one.receivedPerPoll),
  ]),
])}

CPU of the manager while nothing moves, in milliseconds a second:

${table([
  ['who watches', '`dockerd`', '`docker` and `sshd` of the watcher'],
  ...[
    /** @type {const} */ (['the action', watching.manager.action]),
    /** @type {const} */ (['`--detach=false`', watching.manager.waiting]),
    /** @type {const} */ (['nobody', watching.manager.nobody]),
  ].map(([what, one]) => [what, one.dockerdMsPerS, one.visitorsMsPerS]),
])}
`;
}

/** @param {Scale} scale */
function scalePart({ services, tasks, unchanged, still, update }) {
  const { idle } = still;
  const { moving } = update;
  return `
## ${services} services, ${tasks} tasks

The whole action on a simulated engine, whose objects are copies of what Docker 28.5 itself answered. Its CPU
and memory are read from \`/proc\`.

${table([
  ['', 'tasks at the end', 'wall', 'CPU', 'peak memory', 'requests', '`dial-stdio`'],
  ...[
    /** @type {const} */ (['unchanged', unchanged]),
    /** @type {const} */ (['unchanged, young tasks must stay', still]),
    /** @type {const} */ (['every service is updated', update]),
  ].map(([what, run]) => [
    what,
    run.tasksAtTheEnd,
    `${run.seconds} s`,
    `${(run.cpuMs / 1000).toFixed(1)} s`,
    `${Math.round(run.peakMiB * 1.048576)} MB`,
    run.requests,
    run.dialStdio,
  ]),
])}

While it watches:

${table([
  ['', 'polls', 'CPU a poll', 'requests a poll', 'bytes a poll', 'a poll every'],
  ...(idle === undefined
    ? []
    : [
        [
          'nothing moves',
          idle.polls,
          `${idle.cpuMsPerPoll} ms`,
          1,
          kilobytes(idle.bytesPerPoll),
          seconds(idle.msApart),
        ],
      ]),
  ...(moving === undefined
    ? []
    : [
        [
          'every service is updated',
          moving.polls,
          `${moving.cpuMsPerPoll} ms`,
          moving.requestsPerPoll,
          kilobytes(moving.bytesPerPoll),
          seconds((moving.seconds * 1000) / moving.polls),
        ],
      ]),
])}
`;
}
