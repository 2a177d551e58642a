/**
 * Messaging between nodes: the local core, and links to the nodes that run the other agents. A call goes
 * straight to the node the registry names; the transport says who calls, so an agent that moved is followed
 * by the caller itself and never by a node in between (decision record 0012).
 */
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Channel, Network } from '../../p2p/network.ts';
import type { AgentId } from '../../value.ts';
import type { MemberState, Membership } from '../membership/membership.ts';
import { BaseMessaging, type BaseMessagingOptions, type Located, type MessagingStatus } from './base.ts';
import { bulkProtocol, callProtocol, type Frame, type ReplyHead, streamProtocol } from './frames.ts';
import { InboundChannel, type InboundHost, type PeerUsage } from './inbound.ts';
import { InboundStream } from './inbound-stream.ts';
import type { FrameOwner } from './lane.ts';
import { maxHeaderBytes } from './limits.ts';
import { LocalCall, LocalCast } from './local-calls.ts';
import type { StreamOptions } from './messaging.ts';
import { rejected } from './outcome.ts';
import type { Outgoing } from './outgoing.ts';
import { PeerLink } from './peer-link.ts';
import { RemoteCall, type RemoteCallHost } from './remote-call.ts';
import { RemoteStream } from './remote-stream.ts';

/** How far registries are replicated; lets a caller read what its call made another node write. */
export interface RegistryHeads {
  /** Sends what this node wrote and has not sent. Called before each answer, so cheap when there is nothing. */
  flush(): void;
  /** This node's registry feed. */
  head(): ReplyHead | undefined;
  /** Resolves when `node`'s registry is known up to `head` here; undefined when it is already. Rejects on abort. */
  reached(node: NodeId, head: ReplyHead, signal: AbortSignal): Promise<void> | undefined;
}

export interface ClusterMessagingOptions extends BaseMessagingOptions {
  readonly network: Pick<Network, 'open' | 'handle'>;
  readonly membership: Pick<Membership, 'get' | 'on' | 'heardFrom'>;
  /** Resolves when there is a connection to the peer; dials its known addresses when there is none. */
  readonly ensureConnected: (peer: NodeId, signal: AbortSignal) => Promise<void>;
  readonly heads?: RegistryHeads;
  /** A peer sent what the protocol does not allow; its channel is aborted already. */
  readonly onMisbehaviour?: (peer: NodeId, reason: string) => void;
}

export interface ClusterMessagingStatus extends MessagingStatus {
  /** Peers with calls under way or channels open. */
  readonly links: number;
  /** Calls to other nodes without an answer. */
  readonly pending: number;
  /** Bytes held back because peers do not read. */
  readonly queuedBytes: number;
  /** Frames that were malformed or out of place, and answers to no call. */
  readonly malformed: number;
  readonly stray: number;
}

const gone: ReadonlySet<MemberState> = new Set<MemberState>(['unreachable', 'removed', 'left']);

/** A peer is reported alive at most so often. Milliseconds. */
const heardEveryMs = 200;
/** Peers remembered beside those with something under way; identities cost nothing. */
const maxIdlePeers = 4_096;

export class ClusterMessaging extends BaseMessaging {
  readonly #options: ClusterMessagingOptions;
  readonly #links = new Map<NodeId, PeerLink>();
  readonly #usage = new Map<NodeId, PeerUsage>();
  readonly #heardAt = new Map<NodeId, number>();
  readonly #inbound = new Set<InboundChannel>();
  readonly #inboundStreams = new Set<InboundStream>();
  readonly #streams = new Set<RemoteStream<unknown>>();
  readonly #callHost: RemoteCallHost;
  readonly #inboundHost: InboundHost;
  readonly #stopListening: () => void;
  #malformed = 0;
  #stray = 0;

  /** Registers its protocols with the network, so construct it before the network starts. */
  constructor(options: ClusterMessagingOptions) {
    super(options);
    this.#options = options;
    this.#callHost = this.#makeCallHost();
    this.#inboundHost = this.#makeInboundHost();
    this.#handleProtocols();
    this.#stopListening = options.membership.on('change', ({ member }) => {
      if (gone.has(member.state)) this.#onGone(member.id, member.state);
    });
  }

  override status(): ClusterMessagingStatus {
    let pending = 0;
    let queuedBytes = 0;
    for (const link of this.#links.values()) {
      pending += link.size;
      queuedBytes += link.call.queuedBytes + link.bulk.queuedBytes;
    }
    return {
      ...super.status(),
      links: this.#links.size,
      pending,
      queuedBytes,
      malformed: this.#malformed,
      stray: this.#stray,
    };
  }

  override drain(signal?: AbortSignal): Promise<{ readonly unfinished: number }> {
    const drained = super.drain(signal);
    for (const inbound of this.#inbound) inbound.tellDraining();
    return drained;
  }

  override stop(): void {
    if (this.stopped) return;
    super.stop();
    this.#stopListening();
    const reason = new QuorateError('STOPPED', 'This node stopped.');
    for (const link of this.#links.values()) link.abort(reason);
    for (const stream of [...this.#streams]) stream.onPeerGone('connection-lost', reason);
    for (const stream of [...this.#inboundStreams]) stream.channel.abort(reason);
    // Answers given by the stop itself are sent before the channels end.
    for (const { channel } of this.#inbound)
      channel.close().catch((error: unknown) => this.onError(error, 'messaging'));
  }

  protected override callRemote(
    record: Located,
    outgoing: Outgoing,
    resolve: (value: never) => void,
    reject: (error: QuorateError) => void,
  ): void {
    const counter = this.pendingCounter(outgoing.agent);
    new RemoteCall(this.#callHost, this.#link(record.node), outgoing, counter, false, resolve, reject).send();
  }

  protected override castRemote(record: Located, outgoing: Outgoing): Promise<void> {
    const counter = this.pendingCounter(outgoing.agent);
    return new Promise<void>((resolve, reject) => {
      const settle = resolve as (value: never) => void;
      new RemoteCall(this.#callHost, this.#link(record.node), outgoing, counter, true, settle, reject).send();
    });
  }

  protected override streamRemote<Item>(
    record: Located,
    outgoing: Outgoing,
    options: StreamOptions,
  ): AsyncIterator<Item> {
    // The peer would refuse the channel itself beyond its own limit, and no word says why.
    let toPeer = 0;
    for (const { peer } of this.#streams) if (peer === record.node) toPeer += 1;
    if (this.#streams.size >= this.limits.maxOutgoingStreams || toPeer >= this.limits.maxInboundStreamsPerPeer) {
      throw rejected(outgoing.agent, 'stream-limit', { node: record.node });
    }
    const stream: RemoteStream<Item> = new RemoteStream<Item>({
      peer: record.node,
      outgoing,
      input: options.input,
      itemTimeoutMs: options.timeoutMs ?? this.limits.defaultTimeoutMs,
      limits: this.limits,
      clock: this.clock,
      deadlines: this.dispatcher.deadlines,
      open: async (peer, signal) => {
        await this.#options.ensureConnected(peer, signal);
        return this.#options.network.open(peer, streamProtocol, { signal });
      },
      follow: (from, hint) => this.#whereTo(outgoing.agent, from, hint),
      onMalformed: (channel, reason) => this.#onMalformed(channel.peer, channel, reason),
      onEnded: () => void this.#streams.delete(stream as RemoteStream<unknown>),
      onError: (error) => this.onError(error, `stream to agent ${outgoing.agent}`),
    });
    this.#streams.add(stream as RemoteStream<unknown>);
    stream.start();
    return stream;
  }

  #link(peer: NodeId): PeerLink {
    let link = this.#links.get(peer);
    if (link === undefined) {
      link = new PeerLink({
        peer,
        network: this.#options.network,
        clock: this.clock,
        limits: this.limits,
        ensureConnected: this.#options.ensureConnected,
        onMalformed: (from, channel, reason) => this.#onMalformed(from, channel, reason),
        onStray: () => {
          this.#stray += 1;
        },
      });
      this.#links.set(peer, link);
    }
    return link;
  }

  #makeCallHost(): RemoteCallHost {
    return {
      limits: this.limits,
      deadlines: this.dispatcher.deadlines,
      now: () => this.clock.now(),
      onAnswered: (peer, ms) => {
        this.latency.record(ms);
        this.#onHeard(peer);
      },
      catchUp: (peer, head, signal) => this.#options.heads?.reached(peer, head, signal),
      follow: (call, from, hint) => this.#follow(call, from, hint),
      runHere: (call) => this.#runHere(call),
    };
  }

  #makeInboundHost(): InboundHost {
    return {
      self: this.self,
      limits: this.limits,
      dispatcher: this.dispatcher,
      now: () => this.clock.now(),
      whereIs: (agent) => {
        const node = this.registry.lookup(agent)?.node;
        return node === this.self ? undefined : node;
      },
      head: () => {
        this.#options.heads?.flush();
        return this.#options.heads?.head();
      },
      onHeard: (peer) => this.#onHeard(peer),
      onMalformed: (peer, channel, reason) => this.#onMalformed(peer, channel, reason),
      onAnswer: (frame: Frame, channel) => {
        const link = this.#links.get(channel.peer);
        if (link === undefined) this.#stray += 1;
        else link.onAnswer(frame, channel);
      },
      sendBulk: (peer, frame: Uint8Array, owner: FrameOwner) => this.#link(peer).bulk.send(frame, owner),
    };
  }

  #handleProtocols(): void {
    const { network } = this.#options;
    const { limits } = this;
    const call = { maxFrameBytes: limits.bulkThresholdBytes + maxHeaderBytes, maxInboundPerPeer: 2 };
    const bulk = { maxFrameBytes: limits.maxMessageBytes + maxHeaderBytes, maxInboundPerPeer: 2 };
    const stream = {
      maxFrameBytes: limits.maxMessageBytes + maxHeaderBytes,
      maxInboundPerPeer: limits.maxInboundStreamsPerPeer,
    };
    network.handle(callProtocol, call, (channel) => this.#onChannel(channel));
    network.handle(bulkProtocol, bulk, (channel) => this.#onChannel(channel));
    network.handle(streamProtocol, stream, (channel) => this.#onStream(channel));
  }

  #onChannel(channel: Channel): void {
    // Reset before it got here: its end was told already, and nothing would take it out of the books again.
    if (channel.closed) return;
    if (this.stopped) {
      channel.abort(new QuorateError('STOPPED', 'This node stopped.'));
      return;
    }
    const inbound: InboundChannel = new InboundChannel(this.#inboundHost, channel, this.#usageOf(channel.peer), () => {
      this.#inbound.delete(inbound);
      this.#forgetUsage(channel.peer);
    });
    this.#inbound.add(inbound);
  }

  #onStream(channel: Channel): void {
    if (channel.closed) return; // As above.
    if (this.stopped) {
      channel.abort(new QuorateError('STOPPED', 'This node stopped.'));
      return;
    }
    const stream: InboundStream = new InboundStream(this.#inboundHost, channel, this.clock, () => {
      this.#inboundStreams.delete(stream);
    });
    this.#inboundStreams.add(stream);
  }

  #usageOf(peer: NodeId): PeerUsage {
    let usage = this.#usage.get(peer);
    if (usage === undefined) {
      if (this.#usage.size >= maxIdlePeers) {
        for (const [id, { calls, channels }] of this.#usage) if (calls + channels === 0) this.#usage.delete(id);
      }
      usage = { calls: 0, bytes: 0, channels: 0 };
      this.#usage.set(peer, usage);
    }
    usage.channels += 1;
    return usage;
  }

  #forgetUsage(peer: NodeId): void {
    const usage = this.#usage.get(peer);
    if (usage === undefined) return;
    usage.channels -= 1;
    if (usage.channels === 0 && usage.calls === 0) this.#usage.delete(peer);
  }

  #follow(call: RemoteCall, from: NodeId, hint: string | undefined): PeerLink | 'here' | undefined {
    if (this.dispatcher.has(call.outgoing.agent)) return 'here';
    const node = this.#whereTo(call.outgoing.agent, from, hint);
    return node === undefined ? undefined : this.#link(node);
  }

  /**
   * Where an agent is that is not at `from` any more. This node's own registry is believed first; the hint
   * of the peer only when it names a member, since the peer could have answered anything anyway.
   */
  #whereTo(agent: AgentId, from: NodeId, hint: string | undefined): NodeId | undefined {
    const known = this.registry.lookup(agent)?.node;
    const node = known !== undefined && known !== from ? known : (hint as NodeId | undefined);
    if (node === undefined || node === from || node === this.self) return undefined;
    const member = this.#options.membership.get(node);
    return member === undefined || gone.has(member.state) ? undefined : node;
  }

  #runHere(call: RemoteCall): void {
    call.handOver();
    if (!call.isCast) {
      this.dispatcher.submit(new LocalCall(this.dispatcher, call.outgoing, call.resolve, call.reject), false);
      return;
    }
    const cast = new LocalCast(this.dispatcher, call.outgoing);
    this.dispatcher.submit(cast, false);
    if (cast.refusedWith !== undefined) call.reject(cast.refusedWith);
    else {
      cast.handedOver = true;
      call.resolve(undefined as never);
    }
  }

  #onHeard(peer: NodeId): void {
    const now = this.clock.now();
    const before = this.#heardAt.get(peer);
    if (before !== undefined && now - before < heardEveryMs) return;
    // A peer need not be a member to be heard, so not all of them are forgotten by a goodbye.
    if (before === undefined && this.#heardAt.size >= maxIdlePeers) this.#heardAt.clear();
    this.#heardAt.set(peer, now);
    this.#options.membership.heardFrom(peer);
  }

  #onMalformed(peer: NodeId, channel: Channel, reason: string): void {
    this.#malformed += 1;
    channel.abort(new QuorateError('NOT_ALLOWED', `A messaging frame was refused: ${reason}.`, { peer, reason }));
    this.#options.onMisbehaviour?.(peer, reason);
  }

  #onGone(peer: NodeId, state: MemberState): void {
    const reason = new QuorateError('PEER_UNREACHABLE', `Node ${peer} is ${state}.`, { peer, state });
    this.#links.get(peer)?.abort(reason);
    for (const stream of [...this.#streams]) if (stream.peer === peer) stream.onPeerGone('unreachable', reason);
    if (state === 'suspect' || state === 'alive') return;
    this.#heardAt.delete(peer);
    if (this.#links.get(peer)?.size === 0) this.#links.delete(peer);
  }
}
