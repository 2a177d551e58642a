/**
 * The nodes of a zone over a network: one channel per pair, opened by whoever has something to say first. A peer that sends more than a busy honest
 * one would, loses its messages, and is counted.
 */
import type { Clock } from '../../../clock.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Channel, Network } from '../../../p2p/network.ts';
import { maxZoneMessageBytes, type ZoneLink, type ZoneReceiver } from './zone-link.ts';

export const zoneProtocol = '/quorate/barrier/1';

/** Messages a peer may send at once, and per second in the long run: a thousand participants on one node come together. */
const burstMessages = 2_000;
const messagesPerSecond = 500;
/** Messages kept while a channel is being opened; participants help themselves when theirs is refused. */
const maxWaiting = 1_024;

interface Allowance {
  messages: number;
  at: number;
}

/** Messages. */
interface LinkCounters {
  sent: number;
  received: number;
  overRate: number;
}

export class NetworkZoneLink implements ZoneLink {
  readonly counters: LinkCounters = { sent: 0, received: 0, overRate: 0 };
  readonly #network: Network;
  readonly #clock: Clock;
  readonly #zonePeers: () => readonly NodeId[];
  readonly #ensureConnected: ((peer: NodeId) => Promise<void>) | undefined;
  readonly #channels = new Map<NodeId, Channel>();
  /** Channels whose buffers are full. */
  readonly #full = new WeakSet<Channel>();
  readonly #waiting = new Map<NodeId, Uint8Array[]>();
  readonly #allowances = new Map<NodeId, Allowance>();
  readonly #unsubscribe: () => void;
  #receiver: ZoneReceiver | undefined;
  #stopped = false;

  /**
   * To be made before the network starts. `zonePeers`: the nodes of this node's zone that live, as it sees them; itself need not be among them. `ensureConnected`: in a
   * large mesh not every pair is; without it only connected nodes are spoken to.
   */
  constructor(
    network: Network,
    clock: Clock,
    zonePeers: () => readonly NodeId[],
    ensureConnected?: (peer: NodeId) => Promise<void>,
  ) {
    this.#network = network;
    this.#clock = clock;
    this.#zonePeers = zonePeers;
    this.#ensureConnected = ensureConnected;
    const limits = { maxFrameBytes: maxZoneMessageBytes, maxInboundPerPeer: 2 };
    network.handle(zoneProtocol, limits, (channel) => this.#adopt(channel));
    this.#unsubscribe = network.on('peer:disconnected', ({ peer }) => this.#forget(peer));
  }

  get self(): NodeId {
    return this.#network.self;
  }

  aggregator(): NodeId {
    let lowest = this.self;
    for (const peer of this.#zonePeers()) if (peer < lowest) lowest = peer;
    return lowest;
  }

  send(to: NodeId, bytes: Uint8Array): boolean {
    if (this.#stopped) return false;
    if (to === this.self) {
      queueMicrotask(() => this.#receiver?.onMessage(to, bytes));
      return true;
    }
    const channel = this.#channels.get(to);
    if (channel !== undefined && !channel.closed) return this.#put(channel, bytes);
    if (this.#ensureConnected === undefined && !this.#network.isConnected(to)) return false;
    const waiting = this.#waiting.get(to);
    if (waiting !== undefined) {
      if (waiting.length >= maxWaiting) return false;
      waiting.push(bytes);
      return true;
    }
    this.#waiting.set(to, [bytes]);
    void this.#open(to);
    return true;
  }

  listen(receiver: ZoneReceiver): void {
    this.#receiver = receiver;
  }

  stop(): void {
    this.#stopped = true;
    this.#unsubscribe();
    for (const channel of this.#channels.values()) channel.abort(stopped());
    this.#channels.clear();
    this.#waiting.clear();
  }

  #put(channel: Channel, bytes: Uint8Array): boolean {
    if (this.#full.has(channel)) return false;
    this.counters.sent += 1;
    if (channel.send(bytes)) return true;
    this.#full.add(channel);
    channel.drained().then(
      () => this.#full.delete(channel),
      // It closed, and is not used again.
      () => undefined,
    );
    return true;
  }

  async #open(peer: NodeId): Promise<void> {
    try {
      await this.#ensureConnected?.(peer);
      const channel = await this.#network.open(peer, zoneProtocol);
      this.#adopt(channel);
      for (const bytes of this.#waiting.get(peer) ?? []) this.#put(channel, bytes);
      this.#waiting.delete(peer);
    } catch {
      // The link went down, or the peer speaks no such protocol: what waited is void, and whoever waits hears of it.
      this.#waiting.delete(peer);
      this.#receiver?.onGone(peer);
    }
  }

  #adopt(channel: Channel): void {
    const { peer } = channel;
    if (this.#stopped) {
      channel.abort(stopped());
      return;
    }
    // When both opened at once both stay, and each side sends on the newer it knows.
    this.#channels.set(peer, channel);
    channel.listen({
      onFrame: (bytes) => this.#receive(peer, bytes),
      onClose: () => {
        if (this.#channels.get(peer) !== channel) return;
        this.#channels.delete(peer);
        this.#receiver?.onGone(peer);
      },
    });
  }

  #receive(peer: NodeId, bytes: Uint8Array): void {
    if (this.#stopped) return;
    this.counters.received += 1;
    if (this.#allow(peer)) this.#receiver?.onMessage(peer, bytes);
    else this.counters.overRate += 1;
  }

  #allow(peer: NodeId): boolean {
    const now = this.#clock.now();
    const allowance = this.#allowances.get(peer) ?? { messages: burstMessages, at: now };
    const earned = ((now - allowance.at) / 1_000) * messagesPerSecond;
    const messages = Math.min(burstMessages, allowance.messages + earned);
    this.#allowances.set(peer, { messages: Math.max(0, messages - 1), at: now });
    return messages >= 1;
  }

  #forget(peer: NodeId): void {
    this.#channels.delete(peer);
    this.#waiting.delete(peer);
    this.#allowances.delete(peer);
    this.#receiver?.onGone(peer);
  }
}

function stopped(): Error {
  return new Error('This node is stopping.');
}
