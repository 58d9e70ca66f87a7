/** A run's own entry in the stack's history: opened before anything is written, closed with the end. */
import type { RenderedStack } from '../compose/render.js';
import type { OpeningContent, SealedContent } from '../ledger/content.js';
import {
  closeRevision,
  openRevision,
  readHistory,
  sealRevision,
  trimHistory,
  type History,
} from '../ledger/history.js';
import {
  stale,
  type Ending as RevisionEnding,
  type Open,
  type Revision,
} from '../ledger/revision.js';
import { running } from '../ledger/running.js';
import type { Service } from '../model.js';
import { pinnedFile } from '../ledger/pinned.js';
import type { Changes } from '../plan.js';
import { errorLine } from '../report/text.js';
import type { Ending } from '../world.js';
import { settle, type Deployment } from './deployment.js';

/** What a revision deploys, if not files of its own. */
export type Source = Pick<Revision, 'number' | 'source' | 'mixed' | 'commit'>;

/** What a revision begins with. */
export interface Opening {
  readonly content: OpeningContent;
  /** The `version:` of the files, if they have one. */
  readonly version: string | undefined;
  /** See `Revision`. */
  readonly mixed?: boolean;
}

/** Reads the history, and ends in it what a dead run has left open. */
export async function currentHistory(deployment: Deployment): Promise<History> {
  const { world, inputs } = deployment;
  const read = (): Promise<History> =>
    settle(deployment, (engine) => readHistory(engine, inputs.stack));
  const history = await read();
  const left = stale(history.revisions, world.today().getTime());
  if (left.length === 0 || deployment.lease === undefined) return history;
  for (const revision of left) {
    const { number, run } = revision;
    world.narrator.warn(
      `revision ${number}${run.runUrl === '' ? '' : ` (${run.runUrl})`} was never ended: its run died or lost the lock in the middle of it; what it had written by then was there when this run began`,
    );
    await settle(deployment, (engine) =>
      closeRevision(engine, inputs.stack, revision, { status: 'interrupted', reason: '' }),
    );
  }
  return await read();
}

export class Record {
  readonly #deployment: Deployment;
  readonly #history: History;
  readonly #source: Source | undefined;
  readonly #id: string;
  readonly #startedAt: Date;
  #open: Open | undefined;
  #applying = false;
  #sealed: SealedContent | undefined;
  #version: string | undefined;

  /** @param source what a revision deploys again */
  constructor(deployment: Deployment, history: History, source?: Source) {
    this.#deployment = deployment;
    this.#history = history;
    this.#source = source;
    this.#id = deployment.world.randomName();
    this.#startedAt = deployment.world.today();
  }

  /** Whether the run came as far as writing to the stack, had there been anything to write. */
  get applied(): boolean {
    return this.#applying;
  }

  get #kept(): boolean {
    return this.#deployment.inputs.history > 0;
  }

  /** Writes the revision as pending; its rendered files are what it is, until it is sealed. */
  async open({ content, version, mixed = false }: Opening): Promise<void> {
    if (!this.#kept) return;
    const { world, inputs, lease } = this.#deployment;
    const source = this.#source;
    this.#open = await settle(this.#deployment, (engine) =>
      openRevision(
        engine,
        inputs.stack,
        {
          id: this.#id,
          mode: source === undefined ? 'deploy' : 'rollback',
          ...(source === undefined ? {} : { source, mixed }),
          startedAt: this.#startedAt.toISOString(),
          locked: lease !== undefined,
          run: world.run,
          content,
        },
        this.#history.next,
      ),
    );
    this.#version = version;
    this.#remember({ status: 'invalid', reason: 'cancelled' });
    world.narrator.say(`this is revision ${this.#open.number} of ${inputs.stack}`);
  }

  /** From here on a run that ends in whatever way may have written something. */
  applying(): void {
    this.#applying = true;
    this.#remember({ status: 'cancelled', reason: 'cancelled' });
  }

  /**
   * Adds what the swarm made of it: the exact spec of every service.
   * @param left services of the stack that stay beside those of the change
   * @param beside full names of those of the change that are not of the files
   */
  async seal(
    changes: Changes,
    left: readonly Service[],
    beside: readonly string[] = [],
  ): Promise<void> {
    const open = this.#open;
    if (open === undefined) return;
    const { inputs } = this.#deployment;
    const all = changes.targets.map(({ name, spec }) => ({ name, spec }));
    const services = all.filter(({ name }) => !beside.includes(name));
    const others = [
      ...all.filter(({ name }) => beside.includes(name)),
      ...left.map(({ Spec }) => ({ name: Spec.Name, spec: Spec })),
    ];
    await settle(this.#deployment, async (engine) => {
      const sealed = {
        services,
        networks: await engine.networks(),
        pinned: pinnedFile(inputs.stack, services, this.#version),
        others,
      };
      // What changed nothing is over in a moment: that is written with its end.
      if (changes.any) await sealRevision(engine, inputs.stack, open, sealed);
      else this.#sealed = sealed;
    });
  }

  /**
   * Writes how it ended and drops what is older than is kept. A run that was cancelled writes nothing
   * more, and one without a connection cannot: both leave it to `post`.
   */
  async close(ending: Ending, durationMs: number): Promise<Ending> {
    const { world, inputs } = this.#deployment;
    const before = ending.before && running(this.#history, ending.before.services);
    const named: Ending = {
      ...ending,
      ...(this.#open === undefined ? {} : { revision: this.#open.number }),
      ...(before === undefined ? {} : { previousRevision: before.number }),
    };
    const open = this.#open;
    if (open === undefined) {
      if (!this.#kept && ending.outcome === 'deployed') await this.#trim();
      return named;
    }
    const status = this.#applying ? statusOf(ending) : 'invalid';
    const end: RevisionEnding = { status, reason: ending.reason, durationMs };
    this.#remember(end);
    if (world.signal.aborted || ending.outcome === 'unreachable') return named;
    try {
      await settle(this.#deployment, (engine) =>
        closeRevision(engine, inputs.stack, open, end, this.#sealed),
      );
      this.#remember(undefined);
      if (this.#history.revisions.length >= inputs.history) await this.#trim();
    } catch (error) {
      world.narrator.say(
        `the end of revision ${open.number} is left to the post step: ${errorLine(error)}`,
      );
    }
    return named;
  }

  /** With `history: 0` all of it goes: none of it is what this run has deployed. */
  async #trim(): Promise<void> {
    const { world, inputs, session } = this.#deployment;
    try {
      await trimHistory(session.engine, inputs.stack, inputs.history, world.narrator.say);
    } catch (error) {
      world.narrator.say(`the history could not be shortened: ${errorLine(error)}`);
    }
  }

  #remember(end: RevisionEnding | undefined): void {
    const { world, inputs } = this.#deployment;
    const open = this.#open;
    world.rememberLeft({
      revision:
        end === undefined || open === undefined ? undefined : { stack: inputs.stack, open, end },
    });
  }
}

/** Of a run that has a revision; the other outcomes are of runs that have none. */
const statusOf = ({ outcome }: Ending): Revision['status'] =>
  outcome === 'planned' || outcome === 'reported' || outcome === 'removed' || outcome === 'locked'
    ? 'invalid'
    : outcome;

/** The rendered files and what they refer to; never the content of a Docker secret. */
export function openingOf(rendered: RenderedStack): Opening {
  return {
    version: rendered.composeVersion,
    content: {
      files: rendered.files.map(({ name, text }) => ({ name, text })),
      attachments: rendered.attachments
        .filter(({ secret }) => !secret)
        .map(({ name, content }) => ({ name, content })),
    },
  };
}
