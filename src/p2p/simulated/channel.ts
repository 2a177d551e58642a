/** One end of a simulated channel. Frames cost one event each; credit comes back when the receiver takes them. */

import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import { DrainWaiters } from '../drain-waiters.ts';
import type { Channel } from '../network.ts';
import type { Endpoint } from './connection.ts';

/** Bytes under way above which `send` answers false; like the real channel's. */
const highWaterBytes = 1_048_576;

interface Receiver {
  onFrame(frame: Uint8Array): void;
  onClose(error?: Error): void;
}

export class SimulatedChannel implements Channel {
  readonly protocol: string;
  readonly inbound: boolean;
  /** Told instead of the receiver while there is none: the opening is still under way. */
  onEndBeforeListen: (() => void) | undefined;
  /** Set by `joinChannels`. */
  other: SimulatedChannel | undefined;
  readonly #endpoint: Endpoint;
  readonly #maxFrameBytes: number;
  readonly #inbox: Uint8Array[] = [];
  readonly #waiters = new DrainWaiters();
  #receiver: Receiver | undefined;
  #paused = false;
  #delivering = false;
  #bytesUnderWay = 0;
  /** What `onClose` is to be told, once the frames before it were taken. */
  #end: { readonly error: Error | undefined } | undefined;
  #endTold = false;

  constructor(endpoint: Endpoint, protocol: string, maxFrameBytes: number, inbound = false) {
    this.#endpoint = endpoint;
    this.inbound = inbound;
    this.protocol = protocol;
    this.#maxFrameBytes = maxFrameBytes;
    endpoint.channels.add(this);
  }

  get peer(): NodeId {
    return this.#endpoint.peer;
  }

  get closed(): boolean {
    return this.#end !== undefined || this.#endpoint.network.process.state === 'crashed';
  }

  send(frame: Uint8Array): boolean {
    if (this.closed) return false;
    if (frame.length > this.#maxFrameBytes) {
      this.abort(frameTooLong(frame.length, this.#maxFrameBytes));
      return false;
    }
    const copy = new Uint8Array(frame);
    this.#bytesUnderWay += copy.length;
    this.#endpoint.network.counters.bytesSent += copy.length;
    this.#endpoint.transmit(() => this.other?.receive(copy));
    return this.#bytesUnderWay < highWaterBytes;
  }

  drained(signal?: AbortSignal): Promise<void> {
    if (this.closed) return Promise.reject(this.#closedError());
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    if (this.#bytesUnderWay < highWaterBytes) return Promise.resolve();
    return this.#waiters.wait(signal);
  }

  listen(receiver: Receiver): void {
    if (this.#receiver !== undefined) throw new Error('A channel has one listener; it was given a second.');
    this.#receiver = receiver;
    this.#deliver();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#deliver();
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.#endpoint.transmit(() => this.other?.ended(undefined));
    this.ended(undefined);
  }

  abort(reason: Error): void {
    if (this.closed) return;
    this.#endpoint.transmit(() => this.other?.ended(resetByPeer(this.other.peer, this.protocol)));
    this.#inbox.length = 0;
    this.ended(reason);
  }

  /** A frame from the other end. */
  receive(frame: Uint8Array): void {
    if (this.closed) return;
    this.#endpoint.network.counters.bytesReceived += frame.length;
    if (frame.length > this.#maxFrameBytes) {
      this.abort(frameTooLong(frame.length, this.#maxFrameBytes));
      return;
    }
    this.#inbox.push(frame);
    this.#deliver();
  }

  /** The channel is over: closed or aborted by the other end, or lost with its connection. */
  ended(error: Error | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#endpoint.channels.delete(this);
    this.#waiters.rejectAll(this.#closedError());
    this.onEndBeforeListen?.();
    this.#deliver();
  }

  #deliver(): void {
    const receiver = this.#receiver;
    if (receiver === undefined || this.#delivering) return;
    this.#delivering = true;
    while (!this.#paused && this.#inbox.length > 0) {
      const frame = this.#inbox.shift() as Uint8Array;
      this.#endpoint.transmit(() => this.other?.credit(frame.length));
      try {
        receiver.onFrame(frame);
      } catch (error) {
        this.#endpoint.network.reportError(error, `receiver of ${this.protocol}`);
        this.#inbox.length = 0;
        this.abort(asError(error));
      }
    }
    this.#delivering = false;
    if (this.#end === undefined || this.#endTold || this.#inbox.length > 0) return;
    this.#endTold = true;
    try {
      receiver.onClose(this.#end.error);
    } catch (error) {
      this.#endpoint.network.reportError(error, `receiver of ${this.protocol}`);
    }
  }

  /** The other end took that many bytes. */
  credit(bytes: number): void {
    this.#bytesUnderWay -= bytes;
    if (this.#bytesUnderWay >= highWaterBytes) return;
    this.#waiters.resolveAll();
  }

  #closedError(): Error {
    return this.#end?.error ?? channelClosed(this.peer, this.protocol);
  }
}

export function joinChannels(a: SimulatedChannel, b: SimulatedChannel): void {
  a.other = b;
  b.other = a;
}

function frameTooLong(length: number, maxFrameBytes: number): QuorateError {
  return new QuorateError(
    'PAYLOAD_TOO_LARGE',
    `A frame of ${length} bytes is over this channel's limit of ${maxFrameBytes}. Send it in pieces.`,
    { length, maxFrameBytes },
  );
}

function resetByPeer(peer: NodeId, protocol: string): QuorateError {
  return new QuorateError('PEER_UNREACHABLE', `${peer} aborted the channel ${protocol}.`, { peer, protocol });
}

function channelClosed(peer: NodeId, protocol: string): QuorateError {
  return new QuorateError('PEER_UNREACHABLE', `The channel ${protocol} with ${peer} is closed.`, { peer, protocol });
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
