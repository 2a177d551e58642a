/**
 * Membership in a mesh: runs the failure detector over the network and keeps the merged view of the
 * `members` feeds. What the detector finds out becomes signed entries of this node's feed; what the feeds
 * of all say becomes the view; what the view says decides whom the detector watches and which connections
 * are kept. All decisions are in the pure parts (`p2p/detector`, `view.ts`); here they meet the world.
 */
import type { Clock, Rng, Timer } from '../../clock.ts';
import type { FeedChange, Feeds } from '../../crdt/feeds.ts';
import { Emitter } from '../../emitter.ts';
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import { FailureDetector } from '../../p2p/detector/detector.ts';
import { type ControlFrame, digestLength, targetKey } from '../../p2p/detector/frames.ts';
import type { DetectorEffect, DetectorInput, PeerFrame } from '../../p2p/detector/io.ts';
import type { Network } from '../../p2p/network.ts';
import { Accuser } from './accuser.ts';
import { Bootstrap, type BootstrapStatus } from './bootstrap.ts';
import { type ControlCounters, ControlLinks } from './control-links.ts';
import { Dialer } from './dialer.ts';
import { entryLimits, isAddress, selfKey, selfValue } from './entries.ts';
import { Healer } from './healer.ts';
import { abortable, JoinGate } from './join-gate.ts';
import { defaultLinkTimings, Links } from './links.ts';
import type { Accusation, Member, MemberInfo, Membership, MembershipEvents } from './membership.ts';
import { type MeshMembershipOptions, type ResolvedMembershipOptions, resolveMembershipOptions } from './settings.ts';
import { MembershipView, type Moment, type ViewChange } from './view.ts';
import { WatchList } from './watch-list.ts';

export interface MeshMembershipEvents extends MembershipEvents {
  /** A bootstrap address could not be joined by. `final` (with `IDENTITY_IN_USE`): no address is tried any more. */
  joinFailed: { readonly address: string; readonly error: QuorateError; readonly final: boolean };
  /** The first connection by that bootstrap address, or the first after it was lost. */
  joined: { readonly address: string; readonly peer: NodeId };
  /** This node was accused by mistake and raised its incarnation. */
  refuted: { readonly incarnation: number; readonly accusations: readonly Accusation[] };
}

/** The part of `MemberInfo` that the application chooses. */
export type Announcement = Pick<MemberInfo, 'addresses' | 'zone' | 'roles' | 'capacity'>;

/** Entries against members that are forgotten here; a quarter of what others read of one author (`view.ts`). */
const maxStrayAccusations = 64;

export interface MeshMembershipDependencies {
  readonly feeds: Feeds;
  readonly network: Network;
  readonly clock: Clock;
  readonly rng: Rng;
}

export class MeshMembership implements Membership {
  readonly self: NodeId;
  readonly #feeds: Feeds;
  readonly #network: Network;
  readonly #clock: Clock;
  readonly #options: ResolvedMembershipOptions;
  readonly #events: Emitter<MeshMembershipEvents>;
  readonly #view: MembershipView;
  readonly #detector: FailureDetector;
  readonly #control: ControlLinks;
  readonly #dialer: Dialer;
  readonly #bootstrap: Bootstrap;
  readonly #healer: Healer;
  readonly #links: Links;
  readonly #watchList: WatchList;
  /** Members by the short name that ping-reqs carry. */
  readonly #byTarget = new Map<string, NodeId>();
  readonly #accuser: Accuser;
  readonly #join = new JoinGate();
  readonly #unsubscribe: (() => void)[] = [];
  #info: MemberInfo;
  #state: 'new' | 'started' | 'left' | 'stopped' = 'new';
  #wake: { readonly timer: Timer; readonly at: number } | undefined;
  #maintenance: Timer | undefined;
  #expiry: Timer | undefined;
  readonly #effects: DetectorEffect[] = [];
  #running = false;
  #processing = false;
  #processAgain = false;
  #recheckedAt = Number.NEGATIVE_INFINITY;

  /** To be made before `network.start`. */
  constructor(dependencies: MeshMembershipDependencies, options: MeshMembershipOptions) {
    const { feeds, network, clock, rng } = dependencies;
    this.#options = resolveMembershipOptions(options);
    const { zone, roles, capacity, version, liars, removeAfterMs, maxMembers, timings } = this.#options;
    this.self = network.self;
    this.#feeds = feeds;
    this.#network = network;
    this.#clock = clock;
    this.#events = new Emitter((error, type) =>
      this.#options.logger.error(`A listener of membership event ${type} failed.`, { error }),
    );
    const startedAt = Math.floor(clock.wallNow());
    // Any number that no earlier start used would do: what was said of an earlier process must not meet this one.
    const incarnation = this.#options.incarnation ?? startedAt;
    this.#info = { addresses: [], zone, roles, capacity, version, incarnation, startedAt };
    const now = clock.now();
    this.#detector = new FailureDetector(now, this.#options.detector);
    const rttMs = (id: NodeId): number | undefined => (id === this.self ? 0 : this.#detector.rttMs(id));
    this.#view = new MembershipView({ self: this.self, liars, removeAfterMs, maxMembers, rttMs });
    this.#accuser = new Accuser(
      {
        self: this.self,
        feeds,
        view: this.#view,
        detector: this.#detector,
        clock,
        incarnation: () => this.#info.incarnation,
        write: (write) => this.#write(write),
        changed: () => this.#process(),
      },
      timings.refutationMs,
    );
    this.#links = new Links({ ...defaultLinkTimings, ...this.#options.links }, now);
    this.#control = new ControlLinks(
      network,
      clock,
      (peer, frame) => this.#onFrame(peer, frame),
      (peer) => this.#options.onMisbehaviour?.(peer, 'not a control frame'),
    );
    this.#dialer = new Dialer(network, clock, timings.dialTimeoutMs, (peer) => this.get(peer)?.addresses ?? []);
    const isMember = (peer: NodeId): boolean => {
      const state = this.get(peer)?.state;
      return this.#links.size > 0 && (state === 'alive' || state === 'suspect');
    };
    this.#bootstrap = new Bootstrap(this.#options.bootstrap, { network, clock, rng, isMember }, timings.bootstrap, {
      joined: (address, peer) => this.#onJoined(address, peer),
      failed: (address, error, final) => this.#onJoinFailed(address, error, final),
      onlySelf: () => this.#join.open(),
    });
    const lost = (): NodeId[] => this.#lost();
    this.#healer = new Healer(clock, rng, timings.heal, lost, (peer) => void this.#dialer.dial(peer));
    this.#watchList = new WatchList(this.#view, this.self, clock, timings, (subjects) =>
      this.#step({ type: 'subjects', subjects }),
    );
  }

  // The protocol.

  get(id: NodeId): Member | undefined {
    return this.#view.get(id);
  }

  members(): readonly Member[] {
    return this.#view.members();
  }

  accusations(of?: NodeId): readonly Accusation[] {
    return this.#view.accusations(of);
  }

  heardFrom(peer: NodeId): void {
    this.#links.used(peer, this.#clock.now());
    if (this.#detector.hearingIsNews(peer)) this.#step({ type: 'heard', peer });
  }

  on<K extends keyof MeshMembershipEvents>(type: K, listener: (event: MeshMembershipEvents[K]) => void): () => void {
    return this.#events.on(type, listener);
  }

  /** Smoothed round trip to a peer that this node watches, milliseconds; 0 for itself. */
  rttMs(peer: NodeId): number | undefined {
    return peer === this.self ? 0 : this.#detector.rttMs(peer);
  }

  /** For `status` and `doctor`: why joining does not work, how well this node itself does, who watches whom. */
  diagnostics(): {
    readonly bootstrap: readonly BootstrapStatus[];
    readonly incarnation: number;
    readonly localHealth: number;
    readonly lagMs: number;
    readonly isolated: boolean;
    readonly observers: readonly NodeId[];
    readonly subjects: readonly NodeId[];
    readonly control: Readonly<ControlCounters>;
  } {
    return {
      bootstrap: this.#bootstrap.status(),
      incarnation: this.#info.incarnation,
      localHealth: this.#detector.health,
      lagMs: this.#detector.lagMs,
      isolated: this.#view.isolated,
      observers: this.#view.rings.observersOf(this.self),
      subjects: [...this.#detector.watched()],
      control: this.#control.counters,
    };
  }

  // Life.

  /** Announces this node and begins to join; call after `network.start`. Returns at once, see `whenJoined`. */
  start(): void {
    if (this.#state !== 'new') return;
    this.#state = 'started';
    this.#unsubscribe.push(
      this.#network.on('peer:connected', ({ peer }) => this.#onConnected(peer)),
      this.#network.on('peer:disconnected', ({ peer }) => this.#onDisconnected(peer)),
      this.#feeds.onChange((changes) => this.#onFeedChanges(changes)),
    );
    for (const peer of this.#network.peers()) this.#onConnected(peer);
    for (const author of this.#feeds.authors('members')) {
      for (const [key, value] of this.#feeds.entries(author, 'members')) this.#view.apply(author, key, value);
    }
    // A host with many interfaces has more than others would take, and they would take none of the entry then.
    this.announce({ addresses: this.#network.addresses().filter(isAddress).slice(0, entryLimits.addresses) });
    this.#process();
    this.#bootstrap.start();
    this.#step({ type: 'tick', lateMs: 0 });
    this.#armMaintenance();
  }

  /** Changes what this node says of itself. */
  announce(changes: Partial<Announcement>): void {
    if (this.#state !== 'started') return;
    this.#info = { ...this.#info, ...changes };
    this.#write(() => this.#feeds.set('members', selfKey, selfValue(this.#info, false)));
  }

  /**
   * Resolves when a bootstrap peer is connected and has told us of the mesh; at once when there is no
   * bootstrap address. Rejects with `IDENTITY_IN_USE`, `STOPPED`, and with what `signal` aborts with.
   */
  async whenJoined(signal?: AbortSignal): Promise<void> {
    if (this.#options.bootstrap.length > 0) await this.#join.wait(signal);
  }

  /** Says goodbye and waits until that is on its way to the others. The network is still the caller's to stop. */
  async leave(): Promise<void> {
    if (this.#state !== 'started') return;
    this.#state = 'left';
    this.#write(() => this.#feeds.set('members', selfKey, selfValue(this.#info, true)));
    await this.#options.flush?.();
  }

  /** Ends all timers and channels, without a goodbye. Idempotent. */
  stop(): void {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe();
    this.#bootstrap.stop();
    this.#healer.stop();
    this.#dialer.stop();
    this.#watchList.stop();
    this.#control.stop();
    this.#wake?.timer.cancel();
    this.#maintenance?.cancel();
    this.#expiry?.cancel();
    this.#accuser.stop();
    this.#join.fail(stopped());
  }

  /**
   * Resolves when there is a connection to `peer`, made on demand and kept while it is in use and for a
   * minute after. Concurrent calls share one dial. Rejects with `PEER_UNREACHABLE`, with the code the peer
   * refused us with, or with what `signal` aborts with.
   */
  async ensureConnected(peer: NodeId, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (!this.#network.isConnected(peer)) {
      if (this.#state === 'stopped') throw stopped();
      const outcome = await abortable(this.#dialer.dial(peer), signal);
      if (!outcome.ok) throw outcome.error;
    }
    this.#links.used(peer, this.#clock.now());
  }

  // The network.

  #onConnected(peer: NodeId): void {
    this.#links.connected(peer);
    this.#step({ type: 'connected', peer });
    if (this.#view.isUnanswering(peer)) this.#accuser.retract(peer);
    const state = this.get(peer)?.state;
    if (state === 'unreachable' || state === 'removed') this.#healer.hurry();
    this.#process();
  }

  #onDisconnected(peer: NodeId): void {
    this.#links.disconnected(peer);
    this.#control.forget(peer);
    this.#step({ type: 'disconnected', peer });
    if (this.#links.size === 0) this.#bootstrap.hurry();
  }

  #onFrame(peer: NodeId, frame: ControlFrame): void {
    if (this.#state === 'stopped') return;
    if (frame.type === 'ping-req') {
      this.#step({ type: 'frame', peer, frame: { ...frame, target: this.#byTarget.get(frame.target) } });
      return;
    }
    if (frame.type === 'ack') this.#options.onPeerDigest?.(peer, frame.digest);
    this.#step({ type: 'frame', peer, frame });
  }

  #onJoined(address: string, peer: NodeId): void {
    this.#events.emit('joined', { address, peer });
    const { synced, logger } = this.#options;
    if (synced !== undefined) {
      synced(peer).then(
        () => this.#join.open(),
        (error: unknown) => logger.warn(`The first exchange with ${peer} failed; the next one may join.`, { error }),
      );
    } else if (this.get(peer) !== undefined) this.#join.open();
  }

  #onJoinFailed(address: string, error: QuorateError, final: boolean): void {
    if (final) this.#join.fail(error);
    this.#events.emit('joinFailed', { address, error, final });
  }

  // The detector.

  #step(input: DetectorInput): void {
    if (this.#state === 'stopped' || this.#state === 'new') return;
    this.#effects.push(...this.#detector.step(input, this.#clock.now()));
    // An effect may lead to further steps; theirs come after what is left of this one's.
    if (this.#running) return;
    this.#running = true;
    let process = false;
    try {
      for (let effect = this.#effects.shift(); effect !== undefined; effect = this.#effects.shift()) {
        process ||= effect.type !== 'send';
        this.#run(effect);
      }
    } finally {
      this.#running = false;
    }
    if (process) this.#process();
    this.#armWake();
  }

  #run(effect: DetectorEffect): void {
    switch (effect.type) {
      case 'send':
        this.#control.send(effect.to, this.#toWire(effect.frame));
        break;
      case 'dial':
        void this.#dialFor(effect.peer);
        break;
      case 'suspect':
        this.#view.setSuspected(effect.peer, effect.on);
        break;
      case 'accuse':
        this.#accuser.found(effect.peer, effect.evidence, effect.detail);
        break;
      case 'retract':
        this.#accuser.retract(effect.peer);
        break;
    }
  }

  #toWire(frame: PeerFrame): ControlFrame {
    if (frame.type === 'ack') return { ...frame, digest: this.#options.digest?.() ?? new Uint8Array(digestLength) };
    if (frame.type === 'ping-req')
      return { ...frame, target: frame.target === undefined ? '' : targetKey(frame.target) };
    return frame;
  }

  async #dialFor(peer: NodeId): Promise<void> {
    const outcome = await this.#dialer.dial(peer);
    // The event `peer:connected` has told the detector already.
    if (outcome.ok && this.#network.isConnected(peer)) return;
    if (outcome.ok) {
      this.#step({ type: 'dial-failed', peer, refused: false });
      return;
    }
    this.#step({ type: 'dial-failed', peer, refused: outcome.refused });
  }

  #armWake(): void {
    const at = this.#detector.nextWakeAt();
    // A timer that fires too early costs one idle call; moving it with each frame would cost more.
    if (this.#wake !== undefined && this.#wake.at <= at) return;
    this.#wake?.timer.cancel();
    const timer = this.#clock.after(this.#untilAt(at), () => {
      this.#wake = undefined;
      this.#noticeIsolation();
      this.#step({ type: 'tick', lateMs: Math.max(0, this.#clock.now() - at) });
    });
    this.#wake = { timer, at };
  }

  /** All we watch is silent, and so is everybody else: it is us who are cut off. */
  #noticeIsolation(): void {
    const watched = [...this.#detector.watched()];
    const silentFor = this.#clock.now() - this.#detector.lastHeardAny;
    const allAccused = watched.length > 0 && watched.every((id) => this.#detector.status(id) === 'accused');
    const isolated = this.#view.isolated
      ? silentFor >= this.#detector.timings.silenceMs
      : allAccused && silentFor >= this.#detector.timings.silenceMs;
    if (isolated === this.#view.isolated) return;
    this.#view.setIsolated(isolated);
    this.#process();
  }

  // The feeds and the view.

  #onFeedChanges(changes: readonly FeedChange[]): void {
    let ours = false;
    for (const { author, store, key, value } of changes) {
      if (store !== 'members') continue;
      ours = true;
      this.#view.apply(author, key, value);
    }
    if (ours) this.#process();
  }

  /** Settles the view and acts on what changed, until nothing changes any more. */
  #process(): void {
    this.#processAgain = true;
    if (this.#processing) return;
    this.#processing = true;
    try {
      while (this.#processAgain) {
        this.#processAgain = false;
        this.#accuser.publish();
        for (const change of this.#view.settle(this.#moment())) this.#onViewChange(change);
        this.#refuteIfAccused();
      }
    } finally {
      this.#processing = false;
    }
    this.#watchList.refresh();
    this.#armExpiry();
  }

  #onViewChange({ member, previous, renewed }: ViewChange): void {
    const { id, state } = member;
    if (previous === undefined) {
      this.#byTarget.set(targetKey(id), id);
      this.#settleJoin(id);
    }
    if (this.get(id) === undefined) this.#byTarget.delete(targetKey(id));
    if (id !== this.self && previous !== state) {
      this.#links.ringsChanged(this.#clock.now());
      if (state === 'unreachable' || previous === 'unreachable' || previous === 'removed') this.#healer.hurry();
      // A connection that was silent for so long is dead, and would only hide the truth from the next dial. Not so when
      // only its feed went: a restarted node's other feeds may come before the one by which it is a member again.
      const isKnown = this.get(id) !== undefined;
      if (state === 'removed' && isKnown && this.#network.isConnected(id)) this.#disconnect(id);
    }
    if (renewed && id !== this.self) {
      this.#accuser.pardon(id);
      this.#step({ type: 'refuted', peer: id });
    }
    if (state === 'left' || this.get(id) === undefined) this.#accuser.pardon(id);
    this.#events.emit('change', { member, previous });
  }

  #settleJoin(id: NodeId): void {
    if (this.#join.joined || this.#options.synced !== undefined) return;
    if (this.#bootstrap.status().some(({ peer }) => peer === id)) this.#join.open();
  }

  /** Whoever can read this accusation lives. It may have been right, though: then our own findings were wrong. */
  #refuteIfAccused(): void {
    if (this.#state !== 'started') return;
    const accusations = this.#view.accusations(this.self);
    if (accusations.length === 0) return;
    this.#info = { ...this.#info, incarnation: this.#info.incarnation + 1 };
    const now = this.#clock.now();
    if (now - this.#recheckedAt >= this.#options.timings.recheckMs) {
      this.#recheckedAt = now;
      this.#step({ type: 'recheck' });
    }
    this.announce({});
    this.#events.emit('refuted', { incarnation: this.#info.incarnation, accusations });
  }

  /** A full feed must not stop the rest: what cannot be written is logged and tried again with the next change. */
  #write(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#options.logger.error('The members feed of this node could not be written.', { error });
    }
  }

  #armExpiry(): void {
    const at = this.#view.nextExpiry();
    this.#expiry?.cancel();
    if (at === undefined || this.#state === 'stopped') return;
    this.#expiry = this.#clock.after(this.#untilAt(at), () => {
      for (const change of this.#view.expire(this.#moment())) this.#onViewChange(change);
      this.#process();
    });
  }

  // Links.

  #armMaintenance(): void {
    this.#maintenance = this.#clock.after(this.#options.timings.maintenanceMs, () => {
      this.#maintain();
      this.#armMaintenance();
    });
  }

  #maintain(): void {
    const observers = this.#view.rings.observersOf(this.self);
    // Our observers dial us; where they cannot, because nobody can reach us from outside, we go to them.
    for (const id of observers) if (!this.#links.has(id)) void this.#dialer.dial(id);
    for (const id of this.#view.unanswering()) {
      // Nobody asks it any more, so nothing is known of it; under a verdict it stays until it is reached.
      const state = this.get(id)?.state;
      const doubted = state === 'unreachable' || state === 'removed';
      if (!doubted && this.#detector.status(id) === undefined) this.#view.setUnanswering(id, false);
    }
    // What we say against a forgotten member stays, for it to refute when it comes back; but others read only so much.
    const strays = [...this.#view.ownAccused()].filter((id) => this.get(id) === undefined);
    for (const id of strays.slice(0, -maxStrayAccusations)) this.#accuser.pardon(id);
    for (const [key, id] of this.#byTarget) if (this.get(id) === undefined) this.#byTarget.delete(key);
    this.#process();
    const needed = new Set([...observers, ...this.#view.rings.subjectsOf(this.self), ...this.#detector.watched()]);
    for (const peer of this.#links.takeSurplus(needed, this.#clock.now())) this.#disconnect(peer);
  }

  #disconnect(peer: NodeId): void {
    this.#network
      .disconnect(peer)
      .catch((error: unknown) => this.#options.logger.warn(`Closing the connection to ${peer} failed.`, { error }));
  }

  #lost(): NodeId[] {
    return this.#view
      .members()
      .filter(({ id, state }) => (state === 'unreachable' || state === 'removed') && !this.#links.has(id))
      .map(({ id }) => id);
  }

  // Waiting.

  #moment(): Moment {
    return { now: this.#clock.now(), wall: this.#clock.wallNow() };
  }

  /** Never zero: a timer that fires a rounding error too early must not turn into a busy loop. */
  #untilAt(at: number): number {
    return Math.max(1, at - this.#clock.now());
  }
}

function stopped(): QuorateError {
  return new QuorateError('STOPPED', 'This mesh has stopped.');
}
