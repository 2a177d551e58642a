/**
 * Attaches a control socket to a mesh, so that the command line (or any program of the same user) can ask
 * and call through it. The socket is 0600 in a 0700 directory: who can open it is who runs the node.
 * All the same nothing a client sends is trusted: frames, requests in flight, connections and unread
 * replies are bounded, and a client that breaks the protocol loses its connection and nothing more.
 */
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { QuorateError } from '../errors.ts';
import type { Mesh } from '../mesh.ts';
import type { MeshOptions } from '../options.ts';
import type { Value } from '../value.ts';
import type { DiagnosisFacts } from './diagnosis.ts';
import { controlDirectory, prepareControlDirectory, socketPath } from './directory.ts';
import type { Operation } from './operation.ts';
import { operations } from './operations.ts';
import {
  asClientFrame,
  type ClientFrame,
  controlVersion,
  encodeFrame,
  FrameReader,
  maxReplyBytes,
  maxRequestBytes,
  type ServerFrame,
  type WireError,
} from './wire.ts';

export interface ControlOptions {
  /** The options the mesh was made with, so that `doctor` can check its data directory and bootstrap addresses. */
  readonly options?: Pick<MeshOptions, 'bootstrap' | 'dataDir'>;
  /** Directory of the socket. Default: `QUORATE_RUNTIME_DIR`, `$XDG_RUNTIME_DIR/quorate` or one in the temporary directory. */
  readonly directory?: string;
}

export interface ControlServer {
  /** Path of the socket. */
  readonly path: string;
  /** What was refused since the start. */
  readonly refused: number;
  /** Ends the connections and removes the socket; idempotent. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const maxConnections = 64;
const maxInFlight = 64;
/** A frame that has begun must be whole within this time. */
const frameTimeoutMs = 10_000;

/**
 * Serves the control socket of a mesh until it is stopped; stop it before the mesh. Throws
 * `CONTROL_UNAVAILABLE` when no socket can be made.
 *
 * @example
 * const mesh = await createMesh({ mode: 'cluster' });
 * await using control = await serveControl(mesh); // `quorate members` now works against this process
 */
export async function serveControl<Custom>(
  controlled: Mesh<Custom>,
  options: ControlOptions = {},
): Promise<ControlServer> {
  const mesh = controlled as unknown as Mesh; // What the application's own fields are does not matter here.
  const directory = options.directory ?? controlDirectory();
  prepareControlDirectory(directory);
  const path = socketPath(directory, process.pid, mesh.id);
  rmSync(path, { force: true }); // Of an earlier process with this number.

  const joinFailures = new Map<string, QuorateError>();
  const facts: DiagnosisFacts = { options: options.options ?? {}, joinFailures };
  const offJoinFailed = mesh.on('joinFailed', ({ address, error }) => void joinFailures.set(address, error));
  const connections = new Set<ControlConnection>();
  const counters = { refused: 0 };
  const status = mesh.status();
  const greeting = encodeFrame(
    { quorate: controlVersion, node: mesh.id, mesh: status.name, version: status.version, pid: process.pid },
    maxReplyBytes,
  );
  const server = createServer((socket) => {
    if (connections.size >= maxConnections) {
      counters.refused += 1;
      socket.destroy();
      return;
    }
    const connection = new ControlConnection(mesh, facts, socket, () => {
      counters.refused += 1;
    });
    connections.add(connection);
    socket.once('close', () => connections.delete(connection));
    socket.write(greeting);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new QuorateError(
          'CONTROL_UNAVAILABLE',
          `The control socket ${path} cannot be opened: ${cause.message}. Set QUORATE_RUNTIME_DIR to another directory.`,
          { path },
          { cause },
        ),
      ),
    );
    server.listen(path, resolve);
  });
  // A connection that could not be accepted (no file descriptors, say); without a listener it would end the process.
  server.on('error', () => {
    counters.refused += 1;
  });
  chmodSync(path, 0o600);

  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= new Promise<void>((resolve) => {
      offJoinFailed();
      server.close(() => resolve()); // Removes the socket file too.
      for (const connection of connections) connection.close();
    });
    return stopping;
  };
  return {
    path,
    get refused() {
      return counters.refused;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** One client: its unfinished frame, and its requests in flight. */
class ControlConnection {
  readonly #mesh: Mesh;
  readonly #facts: DiagnosisFacts;
  readonly #socket: Socket;
  readonly #reader = new FrameReader(maxRequestBytes);
  readonly #inFlight = new Map<number, AbortController>();
  readonly #onRefused: () => void;
  #frameTimer: NodeJS.Timeout | undefined;

  constructor(mesh: Mesh, facts: DiagnosisFacts, socket: Socket, onRefused: () => void) {
    this.#mesh = mesh;
    this.#facts = facts;
    this.#socket = socket;
    this.#onRefused = onRefused;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    // A client that goes away mid-write is no event worth a word; `close` follows and cleans up.
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      clearTimeout(this.#frameTimer);
      for (const request of this.#inFlight.values()) request.abort();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    const { values, refused } = this.#reader.push(chunk);
    const frames = values.map(asClientFrame);
    if (refused !== undefined || frames.includes(undefined)) {
      this.#refuse();
      return;
    }
    for (const frame of frames) if (frame !== undefined) this.#onFrame(frame);
    clearTimeout(this.#frameTimer);
    this.#frameTimer = this.#reader.unfinished ? setTimeout(() => this.#refuse(), frameTimeoutMs).unref() : undefined;
  }

  #refuse(): void {
    this.#onRefused();
    this.#socket.destroy();
  }

  #onFrame(frame: ClientFrame): void {
    if (frame.type === 'cancel') {
      this.#inFlight.get(frame.id)?.abort();
      return;
    }
    if (this.#inFlight.has(frame.id) || this.#inFlight.size >= maxInFlight) {
      this.#refuse();
      return;
    }
    const abort = new AbortController();
    this.#inFlight.set(frame.id, abort);
    void this.#run(frame.id, frame.op, frame.args, abort).finally(() => this.#inFlight.delete(frame.id));
  }

  /** Never rejects: whatever goes wrong becomes the reply, and a reply that cannot go ends the connection. */
  async #run(id: number, op: string, args: { readonly [key: string]: Value }, abort: AbortController): Promise<void> {
    try {
      await this.#send({ type: 'end', id, value: await this.#perform(id, op, args, abort) });
    } catch (error) {
      try {
        await this.#send({ type: 'error', id, error: asWireError(error) });
      } catch {
        this.#socket.destroy(); // What a handler threw may hold anything, even what cannot be put into words.
      }
    }
  }

  async #perform(
    id: number,
    op: string,
    args: { readonly [key: string]: Value },
    abort: AbortController,
  ): Promise<Value> {
    const operation: Operation | undefined = Object.hasOwn(operations, op) ? operations[op] : undefined;
    if (operation === undefined) {
      throw new QuorateError(
        'INVALID_ARGUMENT',
        `This node knows no operation '${op}'; it has ${Object.keys(operations).join(', ')}. Is it of another version than the command line?`,
      );
    }
    const item = (value: unknown): Promise<void> => this.#send({ type: 'item', id, value: value as Value });
    const deadline =
      operation.deadlineMs === undefined
        ? undefined
        : setTimeout(
            () =>
              abort.abort(
                new QuorateError(
                  'UNKNOWN_OUTCOME',
                  `The node did not finish '${op}' within ${operation.deadlineMs} ms.`,
                ),
              ),
            operation.deadlineMs,
          );
    try {
      return await untilAborted(
        operation.run(this.#mesh, args, { facts: this.#facts, signal: abort.signal, item }),
        abort.signal,
      );
    } finally {
      clearTimeout(deadline);
      abort.abort(); // What the operation still holds (watches, a call's handler) ends with it.
    }
  }

  /** Resolves when the client has room for more, so that a slow reader slows its own request and nothing else. */
  async #send(frame: ServerFrame): Promise<void> {
    const bytes = encodeFrame(frame, maxReplyBytes);
    if (this.#socket.destroyed || this.#socket.write(bytes)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#socket.off('drain', done).off('close', done);
        resolve();
      };
      this.#socket.once('drain', done).once('close', done);
    });
  }
}

/** An operation that does not heed its signal must not keep the request open. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function asWireError(error: unknown): WireError {
  if (error instanceof QuorateError) {
    // Data is for people here; what CBOR cannot carry (an agent record's undefined is fine) travels as JSON.
    return {
      code: error.code,
      message: error.message,
      data: JSON.parse(JSON.stringify(error.data, jsonSafe)) as Value,
    };
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return { code: 'UNKNOWN_OUTCOME', message: 'Cancelled.', data: {} };
  }
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error), data: {} };
}

function jsonSafe(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  return value instanceof Error ? value.message : value;
}
