/** Texts that can be found wherever they get to, in whatever form; and the places to look for them. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { Node, Run, Stack } from './swarm.js';

/** Unique, and different in each of its forms: with signs of URLs, JSON, shells and base64. */
export const canary = (name: string): string =>
  `cny-${name}-${randomBytes(6).toString('hex')}+"/?&$\\é`;

/** Base64 of a text wherever it stands in other text: without what its neighbours decide. */
function base64Cores(text: string): readonly string[] {
  return [0, 1, 2].map((shift) => {
    const bytes = Buffer.concat([Buffer.alloc(shift), Buffer.from(text)]);
    const whole = bytes.toString('base64').replace(/=+$/, '');
    const start = shift === 0 ? 0 : 4;
    return whole.slice(start, Math.floor(bytes.length / 3) * 4);
  });
}

/** A text as it is, as base64, in a URL, in JSON and in hexadecimal. */
export function formsOf(text: string): readonly string[] {
  const cores = base64Cores(text);
  const json = JSON.stringify(text).slice(1, -1);
  return [
    ...new Set([
      text,
      json,
      JSON.stringify(json).slice(1, -1),
      encodeURIComponent(text),
      new URLSearchParams({ x: text }).toString().slice(2),
      ...cores,
      ...cores.map((core) => core.replaceAll('+', '-').replaceAll('/', '_')),
      Buffer.from(text).toString('hex'),
    ]),
  ];
}

/** The lines of a private key that are the key. */
export const keyLines = (key: string): readonly string[] =>
  key.split('\n').filter((line) => /^[A-Za-z0-9+/=]{16,}$/.test(line));

/** Which of the needles are in a text, for a message that shows none of them. */
export const found = (text: string, needles: readonly string[]): readonly string[] =>
  needles.filter((needle) => text.includes(needle)).map((needle) => needle.slice(0, 14));

export interface Sampled {
  readonly looks: number;
  readonly hits: readonly string[];
  /** The command lines that were seen. */
  readonly seen: readonly string[];
}

/** Looks at all processes of the nodes and of this one's children until `end` is called. */
export async function sampleProcesses(
  nodes: readonly Node[],
  needles: readonly string[],
): Promise<{ readonly end: () => Promise<Sampled> }> {
  const script = fileURLToPath(new URL('./process-sampler.mjs', import.meta.url));
  const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const inits = nodes.map(({ socketPath }) => Number(socketPath.split('/')[2]));
  // What a step is given is in the environment of the step itself: that is how a runner does it.
  const asked = { roots: [process.pid, ...inits], needles, exempt: 'dist/index.js' };
  child.stdin.write(`${JSON.stringify(asked)}\n`);
  await lines.next();
  return {
    end: async () => {
      child.stdin.end();
      const last = await lines.next();
      await once(child, 'exit');
      return JSON.parse(String(last.value)) as Sampled;
    },
  };
}

/** Everything that a run prints or writes, but the lines that ask the runner to mask something. */
export const tracesOf = ({ log, postLog, summary, report, outputs, state }: Run): string =>
  [
    `${log}\n${postLog}`.replace(/^::add-mask::.*$/gm, ''),
    summary,
    JSON.stringify([report, outputs, state]),
  ].join('\n');

/** Where something may be left on a node. Docker's own store of secrets and logins is the swarm's. */
const PLACES = ['/tmp', '/root', '/home', '/run', '/var/log', '/etc', '/var/lib/docker'];

/** Files of a node with one of the needles in it; what the swarm itself keeps secrets in is left out. */
export async function filesWith(
  node: Node,
  needles: readonly string[],
): Promise<readonly string[]> {
  const command = [
    ...['grep', '-rlasF', '-D', 'skip', '-f', '-'],
    ...['--exclude-dir=swarm', '--exclude-dir=secrets', ...PLACES],
  ];
  const { stdout } = await node.exec(command, { input: `${needles.join('\n')}\n` });
  return stdout.split('\n').filter(Boolean);
}

/** All that the swarm shows to whoever may ask: objects, contents of configs, containers. */
export async function shownBySwarm(stack: Stack): Promise<string> {
  const lists = ['/services', '/tasks', '/secrets', '/networks', '/nodes'];
  const texts: unknown[] = [];
  for (const path of lists) texts.push(await stack.manager.api('GET', path));
  const configs = (await stack.manager.api('GET', '/configs')) as readonly {
    readonly Spec: { readonly Name: string; readonly Labels: object; readonly Data: string };
  }[];
  for (const { Spec } of configs) {
    const data = Buffer.from(Spec.Data, 'base64');
    const text = data[0] === 0x1f ? gunzipSync(data).toString() : data.toString();
    texts.push(Spec.Name, Spec.Labels, text);
    // Attachments are base64 in the content.
    for (const [word] of text.matchAll(/[A-Za-z0-9+/]{16,}={0,2}/g))
      texts.push(Buffer.from(word, 'base64').toString());
  }
  for (const node of stack.bed.nodes) {
    const containers = (await node.api('GET', '/containers/json?all=1')) as readonly {
      Id: string;
    }[];
    for (const { Id } of containers) texts.push(await node.api('GET', `/containers/${Id}/json`));
  }
  return texts.map((each) => (typeof each === 'string' ? each : JSON.stringify(each))).join('\n');
}
