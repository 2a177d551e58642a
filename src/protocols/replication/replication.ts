/**
 * Replication: keeps the feeds of all nodes alike. Drives `FeedStore` (which decides what is accepted) over
 * a `Network` (which moves bytes).
 *
 * Three ways, from fast to certain:
 * - broadcast: what this node writes goes out at once on the mesh's topic, and others pass it on;
 * - repair: an envelope that continues one never seen, or a caller that waits for one, starts an exchange
 *   with whoever has it;
 * - anti-entropy: on each new connection, and whenever the digest in a neighbour's probe acks keeps
 *   differing, the two compare heads and send each other what is missing. Nothing periodic is sent.
 *
 * What is too large for broadcast travels by exchanges from neighbour to neighbour.
 *
 * Call `new Replication` before `network.start` (it sets a handler and a topic) and `start` after it.
 */
import type { Clock, Rng, Timer } from '../../clock.ts';
import type { FeedStore, Received } from '../../crdt/feed-store.ts';
import type { StoreName } from '../../crdt/feeds.ts';
import { maxProofBytes } from '../../crdt/proof.ts';
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Channel, Network, Verdict } from '../../p2p/network.ts';
import { misbehaviourBanMs, Reputation } from '../../p2p/reputation.ts';
import type { Allowance } from './allowance.ts';
import { runExchange, SyncViolation } from './exchange.ts';
import { HeldEnvelopes } from './held-envelopes.ts';
import { PeerDigests } from './peer-digests.ts';
import { Publisher } from './publisher.ts';
import {
  defaultReplicationOptions,
  type ReplicationCounters,
  type ReplicationLag,
  type ReplicationOptions,
} from './replication-options.ts';
import { ServedPeers } from './served-peers.ts';
import { SyncScheduler } from './sync-scheduler.ts';
import { syncProtocol } from './sync-wire.ts';
import { type FeedPosition, hasReached, Waiters } from './waiters.ts';

export type ReplicationLog = (
  level: 'debug' | 'warn',
  message: string,
  data: Readonly<Record<string, unknown>>,
) => void;

export interface ReplicationParts {
  readonly meshName: string;
  readonly store: FeedStore;
  readonly network: Network;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: ReplicationLog;
  readonly options?: Partial<ReplicationOptions>;
}

/** Neighbours asked to confirm the last values at `stop`: one may be just leaving too. */
const farewellPeers = 3;
/** What an exchange brought is broadcast on when it is this little, or else offered to the neighbours. */
const maxRelayed = 64;
/** Gaps waited for at a time. */
const maxGaps = 1024;

interface ExchangeWaiter {
  readonly resolve: () => void;
  readonly reject: (error: QuorateError) => void;
}

export class Replication {
  readonly topic: string;
  readonly counters: ReplicationCounters = {
    published: 0,
    publishFailures: 0,
    exchangesStarted: 0,
    exchangesServed: 0,
    exchangesFailed: 0,
    exchangesRefused: 0,
    envelopesSent: 0,
    envelopesReceived: 0,
    violations: 0,
  };
  readonly #parts: ReplicationParts;
  readonly #options: ReplicationOptions;
  readonly #publisher: Publisher;
  readonly #scheduler: SyncScheduler;
  readonly #digests: PeerDigests;
  readonly #held = new HeldEnvelopes();
  readonly #waiters = new Waiters();
  readonly #exchangeWaiters = new Map<NodeId, ExchangeWaiter[]>();
  readonly #reputation: Reputation;
  readonly #served: ServedPeers;
  readonly #channels = new Set<Channel>();
  readonly #gaps = new Map<string, { author: NodeId; store: StoreName; position: FeedPosition; from: NodeId }>();
  readonly #unsubscribe: (() => void)[];
  #gapTimer: Timer | undefined;
  /** The broadcast bytes being judged: a proof that came that way is passed on by the network. */
  #judging: Uint8Array | undefined;
  #draining = false;
  #stopped: Promise<void> | undefined;

  constructor(parts: ReplicationParts) {
    const { store, network, clock, rng } = parts;
    this.#parts = parts;
    this.#options = { ...defaultReplicationOptions, ...parts.options };
    this.topic = `/quorate/${parts.meshName}/feeds/1`;
    this.#reputation = new Reputation(clock);
    this.#served = new ServedPeers(clock, this.#options);
    this.#publisher = new Publisher({
      store,
      clock,
      coalesceMs: this.#options.coalesceMs,
      send: (envelope) => this.#send(envelope),
    });
    this.#scheduler = new SyncScheduler(clock, rng, this.#options, (peer) => this.#exchangeWith(peer));
    this.#digests = new PeerDigests({ clock, rng, options: this.#options }, store.rootDigest(), (peer) =>
      this.#request(peer, 'relaxed'),
    );
    network.subscribe(this.topic, store.limits.maxDeltaBytes, (data, from) => this.#judge(data, from));
    const maxFrameBytes = 1 + maxProofBytes(store.limits);
    network.handle(syncProtocol, { maxFrameBytes, maxInboundPerPeer: 2 }, (channel) => void this.#serve(channel));
    this.#unsubscribe = [
      store.on('head', ({ author, store: name, epoch, seq }) => this.#onHead(author, name, { epoch, seq })),
      // A write of this node's own is not in the digest until it is flushed, which gives it a new head.
      store.on('change', ([first]) => first?.author !== store.self && this.#digests.ownChanged(store.rootDigest())),
      store.on('quarantined', ({ proof }) => this.#onQuarantined(proof)),
      // The side that dialled asks, so that a new connection costs one exchange.
      network.on('peer:connected', ({ peer, outbound }) => outbound && this.#request(peer, 'urgent')),
      network.on('peer:disconnected', ({ peer }) => this.#forgetPeer(peer)),
    ];
  }

  /** Sends out what was written until now, and from now on whatever is written. */
  start(): void {
    this.#publisher.start();
    for (const peer of this.#parts.network.peers()) this.#request(peer, 'urgent');
  }

  /** Signs and hands out what was written, within this call: `head` then covers it. Cheap when there is nothing. */
  flushNow(): void {
    this.#publisher.flushNow();
  }

  /** Sends out what was written; resolves when the network has taken it. */
  flush(): Promise<void> {
    return this.#publisher.flush();
  }

  /** Eight bytes over all feed heads, for probe acks. */
  digest(): Uint8Array {
    return this.#parts.store.rootDigest();
  }

  /** A neighbour's digest, as its probe ack carried it. */
  onPeerDigest(peer: NodeId, digest: Uint8Array): void {
    if (this.#stopped === undefined && this.#parts.network.isConnected(peer)) this.#digests.heard(peer, digest);
  }

  /**
   * Resolves when an exchange with that neighbour has ended well: what it held is here then, but for what was written
   * meanwhile. Rejects when its connection is lost.
   */
  exchanged(peer: NodeId): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#stopped !== undefined || !this.#parts.network.isConnected(peer)) {
        reject(new QuorateError('PEER_UNREACHABLE', `${peer} is not connected.`, { peer }));
        return;
      }
      const waiting = this.#exchangeWaiters.get(peer) ?? [];
      waiting.push({ resolve, reject });
      this.#exchangeWaiters.set(peer, waiting);
      this.#request(peer, 'urgent');
    });
  }

  /** Whether the copy of that feed here has reached `position`. */
  has(author: NodeId, store: StoreName, position: FeedPosition): boolean {
    const head = this.#parts.store.head(author, store);
    return head !== undefined && hasReached(head, position);
  }

  /**
   * Resolves when the copy of that feed here has reached `position`; asks its author, or a neighbour, when
   * the broadcast does not bring it. Rejects with the signal's reason, or with `STOPPED`.
   */
  async waitFor(author: NodeId, store: StoreName, position: FeedPosition, signal: AbortSignal): Promise<void> {
    if (this.#stopped !== undefined) throw stopped();
    signal.throwIfAborted();
    if (author === this.#parts.store.self) this.#publisher.flushNow();
    if (this.has(author, store, position)) return;
    let timer: Timer | undefined;
    const ask = (): void => {
      this.#askFor(author);
      timer = this.#parts.clock.after(this.#options.waitRetryMs, ask);
    };
    timer = this.#parts.clock.after(this.#options.waitPatienceMs, ask);
    try {
      await this.#waiters.wait(author, store, position, signal);
    } finally {
      timer?.cancel();
    }
  }

  lag(): ReplicationLag {
    return {
      unsent: this.#parts.store.dirty || this.#publisher.sending > 0,
      held: this.#held.count,
      exchanges: this.#scheduler.running,
      waiting: this.#waiters.count,
      differingPeers: this.#digests.behind,
    };
  }

  /** Sends the last values out, makes sure that some neighbours have them, and ends. Idempotent. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    await this.#publisher.flush();
    this.#publisher.stop();
    this.#scheduler.stop();
    this.#digests.stop();
    this.#gapTimer?.cancel();
    const confirmed = this.#parts.network
      .peers()
      .slice(0, farewellPeers)
      .map((peer) => this.#exchangeWith(peer));
    if (confirmed.length > 0) await this.#within(this.#options.farewellMs, Promise.all(confirmed));
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#waiters.rejectAll(stopped());
    for (const peer of [...this.#exchangeWaiters.keys()]) {
      for (const { reject } of this.#takeExchangeWaiters(peer)) reject(stopped());
    }
    for (const channel of this.#channels) channel.abort(new Error('This node is stopping.'));
  }

  async #within(ms: number, done: Promise<unknown>): Promise<void> {
    let timer: Timer | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = this.#parts.clock.after(ms, resolve);
    });
    await Promise.race([done, timeout]);
    timer?.cancel();
  }

  // Broadcast.

  async #send(bytes: Uint8Array): Promise<void> {
    const { network, store, log } = this.#parts;
    if (bytes.length > store.limits.maxDeltaBytes) {
      this.#offerToNeighbours(undefined);
      return;
    }
    try {
      await network.publish(this.topic, bytes);
      this.counters.published += 1;
    } catch (error) {
      // Anti-entropy brings it to everybody, only later.
      this.counters.publishFailures += 1;
      log('debug', 'A broadcast failed; anti-entropy will repair it.', { error: messageOf(error) });
    }
  }

  #judge(data: Uint8Array, from: NodeId): Verdict {
    const { store, clock } = this.#parts;
    this.#judging = data;
    const received = store.receive(data, clock.now());
    this.#judging = undefined;
    if (received.outcome === 'gap') this.#onGap(received, data, from);
    return received.verdict;
  }

  /** Waits for what is missing, keeping what came too early; asks whoever passed it on when it does not come. */
  #onGap({ author, store, epoch, seq }: Received, bytes: Uint8Array, from: NodeId): void {
    if (author === undefined || store === undefined || epoch === undefined || seq === undefined) return;
    this.#held.hold(author, store, epoch, seq, bytes);
    if (this.#gaps.size >= maxGaps) return;
    this.#gaps.set(`${author}/${store}`, { author, store, position: { epoch, seq }, from });
    this.#gapTimer ??= this.#parts.clock.after(this.#options.gapPatienceMs, () => this.#onGapTimer());
  }

  #onGapTimer(): void {
    this.#gapTimer = undefined;
    for (const { author, store, position, from } of this.#gaps.values()) {
      if (!this.has(author, store, position)) this.#request(from, 'urgent');
    }
    this.#gaps.clear();
  }

  #onHead(author: NodeId, name: StoreName, position: FeedPosition): void {
    const { store, clock } = this.#parts;
    this.#digests.ownChanged(store.rootDigest());
    this.#waiters.reached(author, name, position);
    // Each envelope taken from the held ones comes back here; the outer call goes on with the next.
    if (this.#draining) return;
    this.#draining = true;
    for (let { epoch, seq } = position; ; seq++) {
      const next = this.#held.take(author, name, epoch, seq + 1);
      if (next === undefined || store.receive(next, clock.now(), { paced: false }).outcome !== 'applied') break;
    }
    this.#draining = false;
  }

  #onQuarantined(proof: Uint8Array | undefined): void {
    this.#digests.ownChanged(this.#parts.store.rootDigest());
    if (proof === undefined || (this.#judging !== undefined && Buffer.compare(proof, this.#judging) === 0)) return;
    void this.#send(proof);
  }

  // Exchanges.

  #request(peer: NodeId, urgency: 'urgent' | 'relaxed'): void {
    if (this.#parts.network.isConnected(peer)) this.#scheduler.request(peer, urgency);
  }

  #offerToNeighbours(except: NodeId | undefined): void {
    for (const peer of this.#parts.network.peers()) if (peer !== except) this.#request(peer, 'urgent');
  }

  /** The author itself has it for certain; a neighbour may. */
  #askFor(author: NodeId): void {
    const { network, rng } = this.#parts;
    const peers = network.peers();
    const peer = network.isConnected(author) ? author : peers[rng.below(Math.max(1, peers.length))];
    if (peer !== undefined) this.#request(peer, 'urgent');
  }

  async #exchangeWith(peer: NodeId): Promise<string> {
    const { network, log } = this.#parts;
    this.counters.exchangesStarted += 1;
    const patience = new AbortController();
    const timer = this.#parts.clock.after(this.#options.exchange.idleMs, () => patience.abort(new Error('No answer.')));
    try {
      const channel = await network.open(peer, syncProtocol, { signal: patience.signal });
      timer.cancel();
      await this.#run(channel, 'initiator');
      for (const { resolve } of this.#takeExchangeWaiters(peer)) resolve();
      return Buffer.from(this.digest()).toString('hex');
    } catch (error) {
      this.counters.exchangesFailed += 1;
      log('debug', 'An exchange of feeds failed; it is tried again later.', { peer, error: messageOf(error) });
      // Not every neighbour is probed, and only an answer to a probe would bring it up again.
      this.#request(peer, 'relaxed');
      return 'failed';
    } finally {
      timer.cancel();
    }
  }

  #takeExchangeWaiters(peer: NodeId): readonly ExchangeWaiter[] {
    const waiting = this.#exchangeWaiters.get(peer) ?? [];
    this.#exchangeWaiters.delete(peer);
    return waiting;
  }

  async #serve(channel: Channel): Promise<void> {
    const { peer } = channel;
    const allowance = this.#stopped === undefined ? this.#served.admit(peer) : undefined;
    if (allowance === undefined) {
      this.counters.exchangesRefused += 1;
      channel.abort(new Error('Too many exchanges.'));
      return;
    }
    this.counters.exchangesServed += 1;
    try {
      await this.#run(channel, 'responder', allowance.bytes);
    } catch (error) {
      this.counters.exchangesFailed += 1;
      this.#parts.log('debug', 'A peer’s exchange of feeds failed.', { peer, error: messageOf(error) });
    }
  }

  async #run(channel: Channel, role: 'initiator' | 'responder', bytes?: Allowance): Promise<void> {
    const { store, clock } = this.#parts;
    const fresh: Uint8Array[] = [];
    this.#channels.add(channel);
    try {
      const result = await runExchange(channel, role, {
        store,
        clock,
        limits: this.#options.exchange,
        onSent: (length) => bytes?.take(length),
        onReceived: (received, envelope) => {
          this.counters.envelopesReceived += 1;
          if (received.outcome === 'applied' && fresh.length <= maxRelayed) fresh.push(envelope);
        },
      });
      this.counters.envelopesSent += result.sent;
    } catch (error) {
      if (error instanceof SyncViolation) this.#onViolation(channel.peer, error.message);
      throw error;
    } finally {
      this.#channels.delete(channel);
      this.#relay(role, channel.peer, fresh);
    }
  }

  /**
   * What a peer brought that nobody here had: a newcomer's own feeds, or the other side of a healed
   * partition. The one that was asked passes it on; the one that asked is mostly the newcomer itself.
   */
  #relay(role: 'initiator' | 'responder', peer: NodeId, fresh: readonly Uint8Array[]): void {
    if (fresh.length === 0 || this.#stopped !== undefined) return;
    const { maxDeltaBytes } = this.#parts.store.limits;
    const large = fresh.some((envelope) => envelope.length > maxDeltaBytes);
    if (large || (role === 'responder' && fresh.length > maxRelayed)) this.#offerToNeighbours(peer);
    else if (role === 'responder') for (const envelope of fresh) void this.#send(envelope);
  }

  #onViolation(peer: NodeId, reason: string): void {
    this.counters.violations += 1;
    this.#parts.log('warn', 'A peer broke the rules of an exchange.', { peer, reason });
    if (!this.#reputation.rejected(peer)) return;
    this.#parts.network.ban(peer, misbehaviourBanMs, `feeds: ${reason}`);
  }

  #forgetPeer(peer: NodeId): void {
    this.#scheduler.drop(peer);
    const lost = new QuorateError('PEER_UNREACHABLE', `The connection with ${peer} was lost.`, { peer });
    for (const { reject } of this.#takeExchangeWaiters(peer)) reject(lost);
    this.#digests.drop(peer);
  }
}

function stopped(): QuorateError {
  return new QuorateError('STOPPED', 'This node is stopping; its copies of the feeds are no longer updated.');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
