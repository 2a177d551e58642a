/** The other end of the control socket: finds the nodes of this machine and asks one of them. */
import { connect, type Socket } from 'node:net';
import { type ErrorCode, type ErrorData, QuorateError } from '../errors.ts';
import type { Value } from '../value.ts';
import { controlDirectory, liveSockets } from './directory.ts';
import {
  asGreeting,
  asServerFrame,
  controlVersion,
  encodeFrame,
  FrameReader,
  type Greeting,
  maxReplyBytes,
  maxRequestBytes,
  type ServerFrame,
  type WireError,
} from './wire.ts';

const greetingTimeoutMs = 3_000;

interface Waiting {
  onItem(value: Value): void;
  onEnd(value: Value): void;
  onError(error: Error): void;
}

export interface ControlClient {
  readonly path: string;
  readonly greeting: Greeting;
  /** Rejects with the node's coded error, or `CONTROL_UNAVAILABLE` when it went away. */
  request(op: string, args?: { readonly [key: string]: Value }): Promise<Value>;
  /** Items until the node ends the stream; leaving the loop or aborting cancels it there. */
  stream(op: string, args?: { readonly [key: string]: Value }, signal?: AbortSignal): AsyncIterable<Value>;
  close(): void;
}

/** The nodes of this user on this machine that answer, in order of their process ids. */
export async function findNodes(directory = controlDirectory()): Promise<ControlClient[]> {
  const found = await Promise.allSettled(liveSockets(directory).map((path) => connectControl(path)));
  // A socket that does not greet is one of a node that is stopping, or no node at all: not a running node.
  return found.filter((result) => result.status === 'fulfilled').map((result) => result.value);
}

/** Connects to one control socket. Rejects with `CONTROL_UNAVAILABLE` when nothing of Quorate answers there. */
export async function connectControl(path: string): Promise<ControlClient> {
  const unavailable = (why: string, cause?: unknown): QuorateError =>
    new QuorateError('CONTROL_UNAVAILABLE', `No running node answers at ${path}: ${why}.`, { path }, { cause });
  const socket = connect(path);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error('it does not greet')), greetingTimeoutMs);
    const reader = new FrameReader(maxReplyBytes);
    const fail = (error?: Error): void => {
      clearTimeout(timer);
      reject(unavailable(error?.message ?? 'it closed the connection', error));
    };
    socket.once('error', fail).once('close', fail);
    socket.on('data', function onGreeting(chunk: Buffer) {
      const { values, refused } = reader.push(chunk);
      if (refused !== undefined) return void socket.destroy(new Error('it speaks another protocol'));
      if (values.length === 0) return;
      clearTimeout(timer);
      socket.off('data', onGreeting).off('error', fail).off('close', fail);
      const greeting = asGreeting(values[0]);
      if (greeting === undefined || greeting.quorate !== controlVersion) {
        socket.destroy();
        return reject(unavailable('it speaks another version of the control protocol'));
      }
      resolve(new SocketClient(path, greeting, socket, reader));
    });
  });
}

class SocketClient implements ControlClient {
  readonly path: string;
  readonly greeting: Greeting;
  readonly #socket: Socket;
  readonly #reader: FrameReader;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;

  constructor(path: string, greeting: Greeting, socket: Socket, reader: FrameReader) {
    this.path = path;
    this.greeting = greeting;
    this.#socket = socket;
    this.#reader = reader;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', () => socket.destroy()); // `close` follows and tells everybody who waits.
    socket.once('close', () => {
      for (const waiting of this.#waiting.values()) waiting.onError(this.#gone());
      this.#waiting.clear();
    });
  }

  request(op: string, args: { readonly [key: string]: Value } = {}): Promise<Value> {
    return new Promise((resolve, reject) => {
      this.#start(op, args, { onItem: () => undefined, onEnd: resolve, onError: reject });
    });
  }

  async *stream(
    op: string,
    args: { readonly [key: string]: Value } = {},
    signal?: AbortSignal,
  ): AsyncGenerator<Value, void, undefined> {
    const items: Value[] = [];
    let state: { readonly done: boolean; readonly error?: Error } = { done: false };
    let wake = (): void => undefined;
    const settle = (next: typeof state): void => {
      state = state.done ? state : next;
      wake();
    };
    const id = this.#start(op, args, {
      onItem: (value) => {
        items.push(value);
        if (items.length > 256) this.#socket.pause(); // Felt by the node as backpressure.
        wake();
      },
      onEnd: () => settle({ done: true }),
      onError: (error) => settle({ done: true, error }),
    });
    const onAbort = (): void => settle({ done: true });
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
    try {
      for (;;) {
        while (items.length > 0) yield items.shift();
        this.#socket.resume();
        if (state.error !== undefined) throw state.error;
        if (state.done) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#socket.resume();
      if (this.#waiting.delete(id)) this.#socket.write(encodeFrame({ type: 'cancel', id }, maxRequestBytes));
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #start(op: string, args: { readonly [key: string]: Value }, waiting: Waiting): number {
    const id = this.#nextId++;
    if (this.#socket.destroyed) {
      waiting.onError(this.#gone());
      return id;
    }
    this.#socket.write(encodeFrame({ type: 'request', id, op, args }, maxRequestBytes));
    this.#waiting.set(id, waiting);
    return id;
  }

  #onData(chunk: Buffer): void {
    const { values, refused } = this.#reader.push(chunk);
    for (const value of values) {
      const frame = asServerFrame(value);
      if (frame === undefined) return void this.#socket.destroy();
      this.#onFrame(frame);
    }
    if (refused !== undefined) this.#socket.destroy();
  }

  #onFrame(frame: ServerFrame): void {
    const waiting = this.#waiting.get(frame.id);
    if (waiting === undefined) return; // An answer that crossed our cancellation.
    if (frame.type === 'item') {
      waiting.onItem(frame.value);
      return;
    }
    this.#waiting.delete(frame.id);
    if (frame.type === 'end') waiting.onEnd(frame.value);
    else waiting.onError(asError(frame.error));
  }

  #gone(): QuorateError {
    return new QuorateError('CONTROL_UNAVAILABLE', `The node at ${this.path} went away.`, { path: this.path });
  }
}

/** The code comes from a node of the same version, which has no others than `ErrorCode` and INTERNAL. */
function asError({ code, message, data }: WireError): Error {
  if (code === 'INTERNAL') return new Error(message);
  return new QuorateError(code as ErrorCode, message, (data ?? {}) as ErrorData);
}
