/**
 * A channel on one libp2p stream. This is the hot path of every call, so it does little per frame: small
 * frames are copied into a slab one after the other, and everything queued in one tick leaves in one write.
 *
 * Writing after the microtasks of a tick (`process.nextTick` from a microtask) rather than at once or with
 * `setImmediate`: the replies of all handlers woken by one packet go out together, and none waits for
 * another turn of the event loop.
 *
 * Invariants. `onClose` is told exactly once, after the frames that came before the end. The queue of a
 * caller that ignores backpressure is bounded by `maxQueuedBytes`. A peer that ends its side gets ours
 * ended too; one that then keeps the stream half open is cut off.
 */

import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface';
import { Uint8ArrayList } from 'uint8arraylist';
import type { Clock } from '../../clock.ts';
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import { DrainWaiters } from '../drain-waiters.ts';
import type { Channel } from '../network.ts';
import { FrameParser, maxHeaderBytes, writeHeader } from './frames.ts';
import { readDirectly } from './muxer.ts';

/** Bytes queued above which `send` answers false: a few round trips' worth on a fast network. Guess. */
const highWaterBytes = 1_048_576;
/** A caller that ignores `send`'s answer is cut off here. */
const maxQueuedBytes = 67_108_864;
/** Frames kept for a receiver that does not listen yet or pauses, before the stream itself is paused. */
const maxInboxBytes = 262_144;
/** Frames up to this length are copied next to each other; longer ones are handed on as they are. */
const copiedUpTo = 8_192;
/** The first slab of a channel, and the largest: each is twice the one before, so that quiet channels cost little. */
const slabBytes = { first: 1_024, largest: 65_536 };
/** How long the last bytes may take to leave, and the peer to end its side, when a channel is closed. */
const closeTimeoutMs = 5_000;

interface Receiver {
  onFrame(frame: Uint8Array): void;
  onClose(error?: Error): void;
}

export interface ChannelHooks {
  readonly clock: Clock;
  reportError(error: unknown, where: string): void;
  /** The channel is over; told before the receiver is. */
  onEnd(channel: Libp2pChannel): void;
  /** The peer broke the rules of framing. */
  onViolation(channel: Libp2pChannel, reason: string): void;
}

export class Libp2pChannel implements Channel {
  readonly peer: NodeId;
  readonly protocol: string;
  readonly #stream: Stream;
  readonly #maxFrameBytes: number;
  readonly #hooks: ChannelHooks;
  readonly #parser: FrameParser;
  readonly #waiters = new DrainWaiters();
  readonly #flush = (): void => this.#flushQueue();

  #slab: Uint8Array = new Uint8Array(0);
  /** The part of the slab that is filled and not queued yet. */
  #slabStart = 0;
  #slabEnd = 0;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #flushScheduled = false;

  #receiver: Receiver | undefined;
  #inbox: Uint8Array[] = [];
  #inboxBytes = 0;
  #paused = false;
  #streamPaused = false;
  #delivering = false;

  #closing: Promise<void> | undefined;
  #remoteClosedWrite = false;
  #end: { readonly error: Error | undefined } | undefined;
  #endTold = false;

  constructor(stream: Stream, peer: NodeId, maxFrameBytes: number, hooks: ChannelHooks) {
    this.#stream = stream;
    this.peer = peer;
    this.protocol = stream.protocol;
    this.#maxFrameBytes = maxFrameBytes;
    this.#hooks = hooks;
    this.#parser = new FrameParser(maxFrameBytes, (frame) => this.#onFrame(frame));
    stream.addEventListener('message', (event) => this.#guard(() => this.#onMessage(event)));
    readDirectly(stream, (data) => this.#guard(() => this.#onChunk(data)));
    stream.addEventListener('drain', () => this.#guard(() => this.#onDrain()));
    stream.addEventListener('remoteCloseWrite', () => {
      this.#remoteClosedWrite = true;
    });
    stream.addEventListener('end', () => this.#guard(() => this.#onReadableEnd()));
    stream.addEventListener('close', (event) => this.#guard(() => this.#onStreamClose(event)));
    if (stream.status !== 'open') this.#ended(this.#lost());
  }

  get closed(): boolean {
    return this.#end !== undefined || this.#closing !== undefined;
  }

  send(frame: Uint8Array): boolean {
    if (this.#end !== undefined || this.#closing !== undefined) return false;
    const { length } = frame;
    if (length > this.#maxFrameBytes) {
      this.abort(frameTooLong(length, this.#maxFrameBytes));
      return false;
    }
    if (length <= copiedUpTo) this.#append(frame);
    else this.#appendUncopied(frame);
    this.#queuedBytes += length;
    if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      queueMicrotask(() => process.nextTick(this.#flush));
    }
    return this.#bytesUnderWay() < highWaterBytes || this.#cutOffWhenFlooded();
  }

  /** Sends what is queued at once instead of at the end of the tick. */
  flush(): void {
    this.#flushQueue();
  }

  drained(signal?: AbortSignal): Promise<void> {
    if (this.closed) return Promise.reject(this.#closedError());
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    if (this.#bytesUnderWay() < highWaterBytes) return Promise.resolve();
    return this.#waiters.wait(signal);
  }

  listen(receiver: Receiver): void {
    if (this.#receiver !== undefined) throw new Error('A channel has one listener; it was given a second.');
    this.#receiver = receiver;
    this.#deliver();
  }

  pause(): void {
    this.#paused = true;
    this.#pauseStream();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#deliver();
  }

  close(): Promise<void> {
    if (this.#end !== undefined) return Promise.resolve();
    this.#closing ??= this.#closeGracefully();
    return this.#closing;
  }

  /**
   * Resolves when both sides ended the stream, or it was lost: everything sent before `close` has arrived
   * then. Closing the connection earlier can lose it: TLS throws away what it has not decrypted yet.
   */
  get gone(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#stream.status !== 'open' && this.#stream.status !== 'closing') resolve();
      else this.#stream.addEventListener('close', () => resolve(), { once: true });
    });
  }

  abort(reason: Error): void {
    if (this.#end !== undefined) return;
    this.#inbox = [];
    this.#inboxBytes = 0;
    this.#ended(reason);
    this.#stream.abort(reason);
  }

  // Writing.

  #append(frame: Uint8Array): void {
    const needed = maxHeaderBytes + frame.length;
    if (this.#slabEnd + needed > this.#slab.length) {
      this.#sealSlab();
      // Bytes already written stay untouched in the old slab, because the socket may still refer to them.
      const doubled = Math.min(Math.max(2 * this.#slab.length, slabBytes.first), slabBytes.largest);
      this.#slab = new Uint8Array(Math.max(doubled, needed));
      this.#slabStart = 0;
      this.#slabEnd = 0;
    }
    const body = writeHeader(this.#slab, this.#slabEnd, frame.length);
    this.#slab.set(frame, body);
    this.#slabEnd = body + frame.length;
  }

  #appendUncopied(frame: Uint8Array): void {
    const header = new Uint8Array(maxHeaderBytes);
    this.#sealSlab();
    this.#queue.push(header.subarray(0, writeHeader(header, 0, frame.length)), frame);
  }

  #sealSlab(): void {
    if (this.#slabEnd === this.#slabStart) return;
    this.#queue.push(this.#slab.subarray(this.#slabStart, this.#slabEnd));
    this.#slabStart = this.#slabEnd;
  }

  #flushQueue(): void {
    this.#flushScheduled = false;
    if (this.#end !== undefined || this.#stream.writableNeedsDrain) return; // 'drain' flushes later.
    this.#sealSlab();
    const queue = this.#queue;
    const [first] = queue;
    if (first === undefined) return;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#guard(() => void this.#stream.send(queue.length === 1 ? first : new Uint8ArrayList(...queue)));
  }

  #bytesUnderWay(): number {
    return this.#queuedBytes + this.#stream.writeBufferLength;
  }

  #cutOffWhenFlooded(): false {
    if (this.#bytesUnderWay() > maxQueuedBytes) {
      const message = `More than ${maxQueuedBytes} bytes wait to be sent to ${this.peer}. Wait for drained() when send() answers false.`;
      this.abort(new QuorateError('LIMIT_EXCEEDED', message, { peer: this.peer, protocol: this.protocol }));
    }
    return false;
  }

  #onDrain(): void {
    this.#flushQueue();
    if (this.#bytesUnderWay() >= highWaterBytes) return;
    this.#waiters.resolveAll();
  }

  // Reading.

  #onMessage(event: StreamMessageEvent): void {
    if (this.#end !== undefined) return;
    const { data } = event;
    if (data instanceof Uint8Array) this.#onChunk(data);
    else for (const chunk of data) this.#onChunk(chunk);
  }

  #onChunk(chunk: Uint8Array): void {
    if (this.#end !== undefined) return;
    this.#parse(chunk);
    if (this.#inboxBytes > maxInboxBytes) this.#pauseStream();
  }

  #parse(chunk: Uint8Array): void {
    const violation = this.#parser.push(chunk);
    if (violation === undefined || this.#end !== undefined) return;
    this.#hooks.onViolation(this, `${this.protocol}: frame ${violation}`);
    this.abort(
      violation === 'too long'
        ? frameTooLong(undefined, this.#maxFrameBytes)
        : new QuorateError('PEER_UNREACHABLE', `${this.peer} sent bytes on ${this.protocol} that are no frames.`),
    );
  }

  #onFrame(frame: Uint8Array): void {
    if (this.#end !== undefined) return;
    if (this.#receiver !== undefined && !this.#paused && !this.#delivering && this.#inbox.length === 0) {
      this.#hand(this.#receiver, frame);
      if (this.#end !== undefined) this.#deliver(); // It ended within `onFrame`; now the receiver can be told.
      return;
    }
    this.#inbox.push(frame);
    this.#inboxBytes += frame.length;
  }

  #hand(receiver: Receiver, frame: Uint8Array): void {
    this.#delivering = true;
    try {
      receiver.onFrame(frame);
    } catch (error) {
      this.#hooks.reportError(error, `receiver of ${this.protocol}`);
      this.abort(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#delivering = false;
    }
  }

  /** Hands out what waited, then lets the stream flow again, then tells the end. */
  #deliver(): void {
    const receiver = this.#receiver;
    if (receiver === undefined || this.#delivering) return;
    const inbox = this.#inbox;
    let taken = 0;
    while (!this.#paused && taken < inbox.length && this.#inbox === inbox) {
      const frame = inbox[taken] as Uint8Array;
      taken += 1;
      this.#inboxBytes -= frame.length;
      this.#hand(receiver, frame);
    }
    if (this.#inbox === inbox) inbox.splice(0, taken);
    if (this.#paused) return;
    if (this.#inbox.length > 0) {
      this.#deliver();
      return;
    }
    if (this.#end !== undefined) this.#tellEnd(receiver, this.#end.error);
    else this.#resumeStream();
  }

  #pauseStream(): void {
    if (this.#streamPaused || this.#stream.readStatus !== 'readable') return;
    this.#streamPaused = true;
    this.#stream.pause();
  }

  #resumeStream(): void {
    if (!this.#streamPaused) return;
    this.#streamPaused = false;
    if (this.#stream.readStatus === 'paused') this.#stream.resume();
  }

  // The end.

  /** Everything was read, and the peer sends no more: it closed gracefully, or the connection is gone. */
  #onReadableEnd(): void {
    if (this.#end !== undefined || !this.#remoteClosedWrite) return;
    if (this.#parser.unfinished) {
      this.abort(new QuorateError('PEER_UNREACHABLE', `${this.peer} ended ${this.protocol} within a frame.`));
      return;
    }
    this.#ended(undefined);
    this.#guard(() => void this.#endStream());
  }

  #onStreamClose(event: StreamCloseEvent): void {
    if (event.error !== undefined) this.#ended(this.#lost(event.error));
    else if (this.#remoteClosedWrite && this.#stream.readBufferLength > 0)
      return; // 'end' follows.
    else this.#ended(this.#remoteClosedWrite || this.#closing !== undefined ? undefined : this.#lost());
  }

  async #closeGracefully(): Promise<void> {
    this.#flushQueue();
    const timeout = new Promise<void>((_, reject) => {
      this.#hooks.clock.after(closeTimeoutMs, () => reject(new Error('The peer takes no more bytes.')));
    });
    timeout.catch(() => undefined); // Raced below; it may also lose after everything is over.
    try {
      while (this.#queue.length > 0 && this.#end === undefined) {
        await Promise.race([this.#stream.onDrain(), timeout]);
        this.#flushQueue();
      }
      await Promise.race([this.#endStream(), timeout]);
      this.#ended(undefined);
    } catch (error) {
      this.abort(this.#lost(error));
    }
  }

  /** Ends our side; the stream is gone once both sides ended, or when the peer takes too long to. */
  async #endStream(): Promise<void> {
    this.#hooks.clock.after(closeTimeoutMs, () => {
      if (this.#stream.status === 'open') this.#stream.abort(new Error('The peer left the stream half open.'));
    });
    try {
      await this.#stream.close();
    } catch (error) {
      this.#stream.abort(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #ended(error: Error | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#slabStart = this.#slabEnd;
    this.#hooks.onEnd(this);
    this.#waiters.rejectAll(this.#closedError());
    this.#deliver();
  }

  #tellEnd(receiver: Receiver, error: Error | undefined): void {
    if (this.#endTold) return;
    this.#endTold = true;
    try {
      receiver.onClose(error);
    } catch (thrown) {
      this.#hooks.reportError(thrown, `receiver of ${this.protocol}`);
    }
  }

  #lost(cause?: unknown): QuorateError {
    const { peer, protocol } = this;
    return new QuorateError(
      'PEER_UNREACHABLE',
      `The channel ${protocol} with ${peer} was lost.`,
      { peer, protocol },
      { cause },
    );
  }

  #closedError(): Error {
    const { peer, protocol } = this;
    const closed = new QuorateError('PEER_UNREACHABLE', `The channel ${protocol} with ${peer} is closed.`, {
      peer,
      protocol,
    });
    return this.#end?.error ?? closed;
  }

  /** An exception in a libp2p event listener would end the process; here it ends the channel. */
  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (this.#end !== undefined) return; // The stream was closed under our hands.
      this.abort(this.#lost(error));
    }
  }
}

function frameTooLong(length: number | undefined, maxFrameBytes: number): QuorateError {
  const what = length === undefined ? 'A frame from the peer' : `A frame of ${length} bytes`;
  return new QuorateError(
    'PAYLOAD_TOO_LARGE',
    `${what} is over this channel's limit of ${maxFrameBytes} bytes. Send it in pieces.`,
    { length, maxFrameBytes },
  );
}
