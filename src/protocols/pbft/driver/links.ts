/**
 * Channels between validators and clients: one in each direction for each pair that has something to say, opened when it has. What cannot be sent is
 * dropped: the protocol asks again for what it lacks, so a queue that is long is worse than a message that is lost.
 */
import type { Clock, Timer } from '../../../clock.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Channel, Network } from '../../../p2p/network.ts';

/** Kept for a peer to whom a channel is being opened, bytes. */
const maxWaitingBytes = 4 << 20;
/** After a channel could not be opened, the next try waits; doubling up to the second. Milliseconds. */
const firstPauseMs = 50;
const lastPauseMs = 2_000;

/** Beyond this many, links without a channel are forgotten: who once was a client here may be gone for good. */
const maxLinks = 4_096;

interface Link {
  channel: Channel | undefined;
  opening: boolean;
  waiting: Uint8Array[];
  waitingBytes: number;
  pauseMs: number;
  pause: Timer | undefined;
}

export interface PeerLinksParts {
  readonly network: Network;
  readonly protocol: string;
  /** Longer messages are not sent, and not taken. */
  readonly maxFrameBytes: number;
  readonly clock: Clock;
  readonly ensureConnected: (peer: NodeId, signal?: AbortSignal) => Promise<void>;
  /** Bytes from an authenticated peer; messages to oneself come here as well. */
  readonly onMessage: (from: NodeId, bytes: Uint8Array) => void;
  /** A channel was opened anew: what was said before may be lost. */
  readonly onOpened?: (peer: NodeId) => void;
  /** The peer closed or lost the channel by which this node spoke. */
  readonly onClosed?: (peer: NodeId) => void;
  /** The peer could not be reached just now. */
  readonly onUnreachable?: (peer: NodeId) => void;
  /** A peer has no channel to this node any more. */
  readonly onGone?: (peer: NodeId) => void;
}

export interface LinkCounters {
  sent: number;
  received: number;
  /** For want of a connection or of room. */
  dropped: number;
}

export class PeerLinks {
  readonly counters: LinkCounters = { sent: 0, received: 0, dropped: 0 };
  readonly #parts: PeerLinksParts;
  readonly #links = new Map<NodeId, Link>();
  readonly #inbound = new Set<Channel>();
  readonly #stopping = new AbortController();

  /** To be made before the network starts. */
  constructor(parts: PeerLinksParts) {
    this.#parts = parts;
    const { network, protocol, maxFrameBytes } = parts;
    network.handle(protocol, { maxFrameBytes, maxInboundPerPeer: 2 }, (channel) => this.#accept(channel));
  }

  get #self(): NodeId {
    return this.#parts.network.self;
  }

  /** Opens a channel if there is none, to notice when that cannot be done. */
  probe(peer: NodeId): void {
    if (peer === this.#self || this.#stopping.signal.aborted) return;
    const link = this.#linkTo(peer);
    const open = link.channel !== undefined && !link.channel.closed;
    if (!open && !link.opening && link.pause === undefined) void this.#open(peer, link);
  }

  send(to: NodeId, bytes: Uint8Array): void {
    if (this.#stopping.signal.aborted || bytes.length > this.#parts.maxFrameBytes) {
      this.counters.dropped += 1;
      return;
    }
    if (to === this.#self) {
      queueMicrotask(() => {
        if (!this.#stopping.signal.aborted) this.#parts.onMessage(to, bytes);
      });
      return;
    }
    const link = this.#linkTo(to);
    if (link.channel !== undefined && !link.channel.closed) {
      this.counters.sent += 1;
      link.channel.send(bytes);
      return;
    }
    if (link.waitingBytes + bytes.length > maxWaitingBytes) this.#dropOldest(link, bytes.length);
    link.waiting.push(bytes);
    link.waitingBytes += bytes.length;
    if (!link.opening && link.pause === undefined) void this.#open(to, link);
  }

  /** Closes the channels to peers that are of no use any more. */
  keepOnly(wanted: ReadonlySet<NodeId>): void {
    for (const [peer, link] of this.#links) {
      if (wanted.has(peer) || link.opening) continue;
      this.#links.delete(peer);
      link.pause?.cancel();
      void link.channel?.close();
    }
  }

  stop(): void {
    this.#stopping.abort();
    const reason = new Error('This node is stopping.');
    for (const link of this.#links.values()) {
      link.pause?.cancel();
      link.channel?.abort(reason);
    }
    for (const channel of this.#inbound) channel.abort(reason);
    this.#links.clear();
  }

  #linkTo(peer: NodeId): Link {
    let link = this.#links.get(peer);
    if (link === undefined) {
      const nothing = { channel: undefined, waiting: [], waitingBytes: 0, pause: undefined };
      link = { ...nothing, opening: false, pauseMs: firstPauseMs };
      if (this.#links.size >= maxLinks) this.#forgetUnused();
      this.#links.set(peer, link);
    }
    return link;
  }

  #forgetUnused(): void {
    for (const [peer, { channel, opening, pause }] of this.#links) {
      if (opening || (channel !== undefined && !channel.closed)) continue;
      pause?.cancel();
      this.#links.delete(peer);
    }
  }

  #dropOldest(link: Link, needed: number): void {
    while (link.waiting.length > 0 && link.waitingBytes + needed > maxWaitingBytes) {
      link.waitingBytes -= (link.waiting.shift() as Uint8Array).length;
      this.counters.dropped += 1;
    }
  }

  async #open(peer: NodeId, link: Link): Promise<void> {
    const { network, protocol, ensureConnected, onOpened, onClosed, onUnreachable } = this.#parts;
    const { signal } = this.#stopping;
    link.opening = true;
    try {
      await ensureConnected(peer, signal);
      const channel = await network.open(peer, protocol, { signal });
      link.channel = channel;
      link.pauseMs = firstPauseMs;
      // Nothing is said on it by the other side, which has a channel of its own.
      channel.listen({
        onFrame: () => channel.abort(new Error('This channel carries messages one way only.')),
        onClose: () => {
          if (link.channel !== channel) return;
          link.channel = undefined;
          if (!signal.aborted && this.#links.get(peer) === link) onClosed?.(peer);
        },
      });
      onOpened?.(peer);
      for (const bytes of link.waiting) {
        this.counters.sent += 1;
        channel.send(bytes);
      }
    } catch {
      // Not reachable now. Who needs it sends again, and the next message after the pause tries anew.
      this.counters.dropped += link.waiting.length;
      this.#pause(link);
      if (!signal.aborted) onUnreachable?.(peer);
    } finally {
      link.opening = false;
      link.waiting = [];
      link.waitingBytes = 0;
    }
  }

  #pause(link: Link): void {
    if (this.#stopping.signal.aborted) return;
    link.pause = this.#parts.clock.after(link.pauseMs, () => {
      link.pause = undefined;
    });
    link.pauseMs = Math.min(link.pauseMs * 2, lastPauseMs);
  }

  #accept(channel: Channel): void {
    this.#inbound.add(channel);
    const { peer } = channel;
    channel.listen({
      onFrame: (bytes) => {
        this.counters.received += 1;
        this.#parts.onMessage(peer, bytes);
      },
      onClose: () => {
        this.#inbound.delete(channel);
        if (![...this.#inbound].some((other) => other.peer === peer)) this.#parts.onGone?.(peer);
      },
    });
  }
}
