/**
 * Standard input and output of a running command as one stream, for both transports. Node's http
 * takes it for a socket, which is how the Engine API is spoken over `docker system dial-stdio`.
 */
import { Duplex } from 'node:stream';
import type { Readable, Writable } from 'node:stream';
import { ConnectionLost } from '../errors.js';

/** The command behind a stream ended; what it wrote to standard error says why. */
export class CommandEnded extends ConnectionLost {
  /** Exit code; null when the process was ended by a signal. */
  readonly code: number | null;
  readonly signal?: string;
  /** The last of what the command wrote to standard error. */
  readonly stderr: string;

  constructor(
    title: string,
    where: string,
    end: { readonly code: number | null; readonly signal?: string },
    stderr: string,
  ) {
    const how =
      end.code === null ? `by signal ${end.signal ?? '(unknown)'}` : `with exit code ${end.code}`;
    super(`"${title}" on ${where} ended ${how}${stderr === '' ? '' : `: ${stderr}`}`);
    this.name = 'CommandEnded';
    this.code = end.code;
    if (end.signal !== undefined) this.signal = end.signal;
    this.stderr = stderr;
  }
}

/** Bytes of standard error that are kept for the message. */
const TAIL = 4096;

/** Bytes: the answers of an engine may be large, and a stop and go for every piece of them costs. */
const READ_AHEAD = 1024 * 1024;

/** The pipes of a command that runs already. */
export interface CommandPipes {
  readonly title: string;
  readonly where: string;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Gives the command up; called once, when the stream is destroyed from this side. */
  readonly abandon: () => void;
}

export class CommandStream extends Duplex {
  readonly #pipes: CommandPipes;
  #stderr = Buffer.alloc(0);
  #end: Error | 'clean' | undefined;
  #idle: NodeJS.Timeout | undefined;
  #idleMs = 0;

  constructor(pipes: CommandPipes) {
    super({ allowHalfOpen: true, readableHighWaterMark: READ_AHEAD });
    this.#pipes = pipes;
    // The stream can fail before whoever asked for it had a chance to listen.
    this.on('error', () => undefined);
    pipes.stdout.on('data', (chunk: Buffer) => {
      this.#touch();
      if (!this.push(chunk)) pipes.stdout.pause();
    });
    pipes.stderr.on('data', (chunk: Buffer) => {
      this.#stderr = Buffer.concat([this.#stderr, chunk]).subarray(-TAIL);
    });
    // A command that closes its input early is no failure by itself: its end tells what happened.
    for (const pipe of [pipes.stdin, pipes.stdout, pipes.stderr]) pipe.on('error', () => undefined);
  }

  /** The command ended, and everything it wrote has been pushed. */
  commandEnded(code: number | null, signal?: string): void {
    const { title, where } = this.#pipes;
    const stderr = this.#stderr.toString('utf8').trim();
    this.#finish(
      code === 0 && this.writableEnded
        ? 'clean'
        : new CommandEnded(
            title,
            where,
            { code, ...(signal === undefined ? {} : { signal }) },
            stderr,
          ),
    );
  }

  /** The connection to the command ended; what became of the command is not known. */
  connectionLost(error: ConnectionLost): void {
    this.#finish(error);
  }

  #finish(end: Error | 'clean'): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    if (end === 'clean') this.push(null);
    // Later, so that a command which ends at once does so in sight of whoever opened it.
    else setImmediate(() => this.#fail());
  }

  /** Destroys the stream, but never data that has arrived and was not read yet. */
  #fail(): void {
    if (this.#end instanceof Error && this.readableLength === 0) this.destroy(this.#end);
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    if (this.#end instanceof Error && this.readableLength === 0) setImmediate(() => this.#fail());
    return chunk;
  }

  override _read(): void {
    this.#pipes.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#touch();
    this.#pipes.stdin.write(chunk, () => done());
  }

  override _final(done: () => void): void {
    this.#pipes.stdin.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#idle);
    if (this.#end === undefined) this.#pipes.abandon();
    done(error);
  }

  // What Node's http calls on a socket of its agent besides the methods of a stream. The pipe has
  // no packets to delay and no life of its own to keep.

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  /** Emits `timeout` after so many milliseconds without a byte in either direction; 0: never. */
  setTimeout(ms: number, listener?: () => void): this {
    this.#idleMs = ms;
    if (listener !== undefined) this.once('timeout', listener);
    this.#touch();
    return this;
  }

  #touch(): void {
    clearTimeout(this.#idle);
    if (this.#idleMs > 0 && !this.destroyed) {
      this.#idle = setTimeout(() => this.emit('timeout'), this.#idleMs);
    }
  }
}
