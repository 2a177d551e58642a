/**
 * Frames on their way to one peer on one protocol: opens the channel when there is something to send, keeps
 * it, and holds frames back while the peer does not read. A frame held back here has certainly not left
 * this node, and its owner is told so when the connection is lost; one handed to the channel may have.
 */
import type { Clock } from '../../clock.ts';
import type { NodeId } from '../../node-id.ts';
import type { Channel, Network } from '../../p2p/network.ts';

/** Who sent a frame and wants to know what became of it. */
export interface FrameOwner {
  /** The frame is with the channel now. */
  onSent(channel: Channel): void;
  /** The frame never left. */
  onUndelivered(reason: 'unreachable' | 'connection-lost', cause: unknown): void;
}

export interface LaneOptions {
  readonly peer: NodeId;
  readonly protocol: string;
  readonly network: Pick<Network, 'open'>;
  readonly clock: Clock;
  /** Resolves when there is a connection to the peer; dials when there is none. */
  readonly ensureConnected: (peer: NodeId, signal: AbortSignal) => Promise<void>;
  readonly maxQueuedBytes: number;
  readonly onFrame: (frame: Uint8Array, channel: Channel) => void;
  readonly onClosed: (channel: Channel, error: Error | undefined) => void;
}

/** Connecting and opening together; a peer that takes longer is as good as away. Milliseconds. */
const openTimeoutMs = 10_000;

interface Queued {
  readonly frame: Uint8Array;
  readonly owner: FrameOwner | undefined;
}

export class Lane {
  readonly #options: LaneOptions;
  #channel: Channel | undefined;
  #opening: AbortController | undefined;
  #congested = false;
  #queue: Queued[] = [];
  #queuedBytes = 0;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  get channel(): Channel | undefined {
    return this.#channel;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Sends or queues a frame. False when too much waits already; the frame is then not taken. */
  send(frame: Uint8Array, owner: FrameOwner | undefined): boolean {
    const channel = this.#channel;
    if (channel !== undefined && !this.#congested && !channel.closed) {
      owner?.onSent(channel);
      if (!channel.send(frame)) this.#waitUntilDrained(channel);
      return true;
    }
    if (this.#queuedBytes + frame.length > this.#options.maxQueuedBytes) return false;
    this.#queue.push({ frame, owner });
    this.#queuedBytes += frame.length;
    if (channel === undefined && this.#opening === undefined) void this.#open();
    return true;
  }

  /** Takes back a frame that waits, because its owner gave up. */
  withdraw(owner: FrameOwner): void {
    const index = this.#queue.findIndex((queued) => queued.owner === owner);
    if (index < 0) return;
    const [queued] = this.#queue.splice(index, 1);
    this.#queuedBytes -= queued?.frame.length ?? 0;
  }

  /** The peer is gone for all we know: what waits fails, and so does what was sent. */
  abort(reason: Error): void {
    this.#opening?.abort(reason);
    this.#channel?.abort(reason);
    this.#dropQueue('unreachable', reason);
  }

  async close(): Promise<void> {
    this.#opening?.abort(new Error('Messaging stops.'));
    await this.#channel?.close();
  }

  async #open(): Promise<void> {
    const { peer, protocol, network, clock, ensureConnected } = this.#options;
    const opening = new AbortController();
    this.#opening = opening;
    const timer = clock.after(openTimeoutMs, () => opening.abort(new Error(`No channel within ${openTimeoutMs} ms.`)));
    try {
      await ensureConnected(peer, opening.signal);
      const channel = await network.open(peer, protocol, { signal: opening.signal });
      if (opening.signal.aborted) {
        channel.abort(new Error('It is no longer wanted.'));
        throw opening.signal.reason;
      }
      this.#opening = undefined;
      this.#take(channel);
    } catch (error) {
      if (this.#opening === opening) this.#opening = undefined;
      this.#dropQueue('unreachable', error);
    } finally {
      timer.cancel();
    }
  }

  #take(channel: Channel): void {
    this.#channel = channel;
    this.#congested = false;
    channel.listen({
      onFrame: (frame) => this.#options.onFrame(frame, channel),
      onClose: (error) => this.#onClose(channel, error),
    });
    this.#flush(channel);
  }

  #onClose(channel: Channel, error: Error | undefined): void {
    if (this.#channel === channel) {
      this.#channel = undefined;
      this.#congested = false;
      this.#dropQueue('connection-lost', error);
    }
    this.#options.onClosed(channel, error);
  }

  #flush(channel: Channel): void {
    const queue = this.#queue;
    let sent = 0;
    while (sent < queue.length && this.#channel === channel && !channel.closed && !this.#congested) {
      const { frame, owner } = queue[sent] as Queued;
      sent += 1;
      this.#queuedBytes -= frame.length;
      owner?.onSent(channel);
      if (!channel.send(frame)) this.#waitUntilDrained(channel);
    }
    if (this.#queue === queue) this.#queue = queue.slice(sent);
  }

  #waitUntilDrained(channel: Channel): void {
    if (channel.closed) return; // onClose follows, and tells the owners.
    this.#congested = true;
    channel.drained().then(
      () => {
        if (this.#channel !== channel) return;
        this.#congested = false;
        this.#flush(channel);
      },
      () => undefined, // Closed: onClose is the one that tells.
    );
  }

  #dropQueue(reason: 'unreachable' | 'connection-lost', cause: unknown): void {
    const queue = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const { owner } of queue) owner?.onUndelivered(reason, cause);
  }
}
