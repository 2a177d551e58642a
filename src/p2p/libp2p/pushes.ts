/**
 * The fast lane of one topic: what this node publishes goes to each connected peer as one frame on a stream of its own,
 * beside gossipsub, which passes it on to everybody further away.
 *
 * Intuition: gossipsub carries a message through a protobuf, two pipes and half a dozen promises. That is little beside a
 * network, and much on a machine or in a rack, where it is most of the time until a change is seen. A neighbour needs none
 * of it: the bytes are the message.
 *
 * No copy more than before travels: gossipsub sends only to the peers that were not reached this way (their stream is being
 * opened, or backs up, or they speak an older version). A peer that was hands the message to its own gossipsub, which
 * forwards it as if it had come by gossip.
 *
 * Invariants. Streams are opened by who publishes often, one for both directions and peer, so a mesh at rest has none.
 * A frame is judged before the next is read, so nothing queues up here. A peer over its allowance is read no further
 * until it has earned more: it feels that as backpressure.
 */
import type { Clock } from '../../clock.ts';
import type { NodeId } from '../../node-id.ts';
import type { Channel } from '../network.ts';
import { Libp2pChannel } from './channel.ts';

/** Messages within this time count when it is decided who publishes often. Milliseconds. */
const oftenWithinMs = 10_000;
/**
 * From this many messages on a node opens streams to its peers. With many peers no sooner than nobody reaches by starting:
 * in a rush of nodes that join, streams for all of them cost more than they bring (measured with 30).
 */
const oftenMessages = 50;
/** … and with a few peers already then. */
const oftenMessagesToFew = 2;
const fewPeers = 3;
/** How soon a peer that could not be opened is tried again. Milliseconds. */
const retryMs = 60_000;
/** Inbound streams of this protocol that one peer may have: both may open at once, and one may be closing. */
export const maxPushStreams = 3;
/** Messages per second that one peer may push on average, and at once: those of all its stores, by the limits of feeds. */
const pushesPerSecond = 1_000;
const pushBurst = 2_000;

export interface PushPort {
  readonly clock: Clock;
  peers(): readonly NodeId[];
  open(peer: NodeId): Promise<Channel>;
  /** Judges a message, and passes it on when it is good. */
  receive(data: Uint8Array, from: NodeId): void;
}

interface Link {
  channel: Channel | undefined;
  /** Not opened before this time. */
  retryAt: number;
  /** The peer does not keep up; it is pushed nothing until it has. */
  congested: boolean;
  tokens: number;
  tokensAt: number;
}

export class Pushes {
  readonly #port: PushPort;
  readonly #links = new Map<NodeId, Link>();
  #countedSince = Number.NEGATIVE_INFINITY;
  #counted = 0;

  constructor(port: PushPort) {
    this.#port = port;
  }

  /** Sends to the connected peers; those that it was sent to. */
  push(data: Uint8Array): ReadonlySet<NodeId> {
    const now = this.#port.clock.now();
    const peers = this.#port.peers();
    const often = this.#countOne(now) >= (peers.length <= fewPeers ? oftenMessagesToFew : oftenMessages);
    const reached = new Set<NodeId>();
    for (const peer of peers) {
      const link = this.#link(peer, now);
      const { channel } = link;
      if (channel === undefined || channel.closed || link.congested) {
        if (often && channel?.closed !== false && now >= link.retryAt) void this.#open(peer, link, now);
      } else {
        reached.add(peer);
        if (!channel.send(data)) void this.#waitFor(channel, link);
        // Not at the end of the tick, as frames of many callers do: it is one message, and what follows it can wait.
        if (channel instanceof Libp2pChannel) channel.flush();
      }
    }
    return reached;
  }

  #countOne(now: number): number {
    if (now - this.#countedSince >= oftenWithinMs) {
      this.#countedSince = now;
      this.#counted = 0;
    }
    this.#counted += 1;
    return this.#counted;
  }

  /** A peer opened a stream; it serves for both directions. */
  accept(channel: Channel): void {
    const now = this.#port.clock.now();
    this.#listen(channel, this.#link(channel.peer, now));
  }

  forget(peer: NodeId): void {
    this.#links.delete(peer);
  }

  #link(peer: NodeId, now: number): Link {
    let link = this.#links.get(peer);
    if (link === undefined) {
      const never = Number.NEGATIVE_INFINITY;
      link = { channel: undefined, retryAt: never, congested: false, tokens: pushBurst, tokensAt: now };
      this.#links.set(peer, link);
    }
    return link;
  }

  async #open(peer: NodeId, link: Link, now: number): Promise<void> {
    link.retryAt = now + retryMs;
    try {
      this.#listen(await this.#port.open(peer), link);
    } catch {
      // An older version, or a connection that is ending: gossipsub reaches it as before.
    }
  }

  #listen(channel: Channel, link: Link): void {
    if (link.channel === undefined || link.channel.closed) {
      link.channel = channel;
      link.congested = false;
    }
    channel.listen({
      onFrame: (frame) => {
        this.#port.receive(frame, channel.peer);
        if (this.#spend(link) < 0) this.#rest(channel, link);
      },
      onClose: () => {
        if (link.channel === channel) link.channel = undefined;
        void channel.close();
      },
    });
  }

  #spend(link: Link): number {
    const now = this.#port.clock.now();
    const earned = ((now - link.tokensAt) / 1000) * pushesPerSecond;
    link.tokens = Math.min(pushBurst, link.tokens + earned) - 1;
    link.tokensAt = now;
    return link.tokens;
  }

  /** Reads on when a tenth of a second's allowance is there. */
  #rest(channel: Channel, link: Link): void {
    channel.pause();
    const wait = 100 - (link.tokens / pushesPerSecond) * 1000;
    this.#port.clock.after(wait, () => channel.resume());
  }

  async #waitFor(channel: Channel, link: Link): Promise<void> {
    link.congested = true;
    try {
      await channel.drained();
      link.congested = false;
    } catch {
      // Closed: another one is opened when there is something to push.
    }
  }
}
