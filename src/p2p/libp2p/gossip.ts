/**
 * Broadcast over gossipsub and its fast lane (pushes.ts), with the settings a mesh of many small nodes needs and the repairs its
 * implementation lacks.
 *
 * - Peers are attached when they are admitted, not when libp2p's identify has run: nothing is exchanged
 *   with a stranger, and each connection is spared a signed peer record.
 * - A peer whose gossip streams broke (a message over the limit, a full buffer, a closed second connection)
 *   is forgotten by gossipsub for ever while its connection stays up. A sweep attaches it again, and when
 *   that does not help closes the connection, so that it is made anew.
 * - `publish` resolves without recipients when a message is too big: the cap of the topic is checked here.
 */
import { hash } from 'node:crypto';
import {
  type GossipSub,
  type GossipsubOpts,
  gossipsub,
  StrictNoSign,
  TopicValidatorResult,
} from '@chainsafe/libp2p-gossipsub';
import type { Connection, PeerId } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import type { Clock, Timer } from '../../clock.ts';
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Channel, ChannelLimits, Verdict } from '../network.ts';
import { misbehaviourBanMs, Reputation, rejectionsTolerated } from '../reputation.ts';
import { plainBytes } from './frames.ts';
import { maxPushStreams, Pushes } from './pushes.ts';

/** No topic may allow longer messages: larger state travels on channels. */
const maxMessageBytes = 262_144;
/** How often peers without working gossip streams are looked for. */
const sweepMs = 5_000;
/** Sweeps that find a peer missing before its connection is closed; the first one only attaches it again. */
const sweepsTolerated = 3;

export interface GossipTopic {
  readonly maxBytes: number;
  readonly validate: (data: Uint8Array, from: NodeId) => Verdict | Promise<Verdict>;
}

export interface GossipPort {
  readonly clock: Clock;
  reportError(error: unknown, where: string): void;
  isAdmitted(peer: NodeId): boolean;
  /** The peers gossip should flow with, and the connection to use. */
  admitted(): Iterable<{ readonly peer: NodeId; readonly connection: Connection }>;
  /** Tells libp2p's topologies of the peer on this connection. */
  attach(connection: Connection): void;
  /** The peers that are admitted and connected. */
  peers(): readonly NodeId[];
  /** Opens the stream of a protocol that `handle` was told of. */
  open(peer: NodeId, protocol: string): Promise<Channel>;
  handle(protocol: string, limits: ChannelLimits, onChannel: (channel: Channel) => void): void;
  ban(peer: NodeId, forMs: number, reason: string): void;
  disconnect(peer: NodeId, reason: string): void;
}

/** The parts of gossipsub that the sweep and the fast lane need and its interface does not show. */
interface GossipInternals {
  readonly streamsOutbound: ReadonlyMap<string, unknown>;
  sendRpc(peer: string, rpc: { readonly messages: readonly { readonly data?: Uint8Array }[] }): boolean;
  /** A message arrived: dropped when it is known, judged by the topic's validator, forwarded. */
  handleReceivedMessage(from: PeerId, message: { topic: string; data: Uint8Array }): Promise<void>;
}

interface Topic extends GossipTopic {
  readonly pushes: Pushes;
}

export class Gossip {
  readonly #port: GossipPort;
  readonly #topics = new Map<string, Topic>();
  /** What was judged already when gossipsub is given it. */
  readonly #accepted = new WeakSet<Uint8Array>();
  readonly #reputation: Reputation;
  readonly #missing = new Map<NodeId, number>();
  /** Who has what is being published. */
  readonly #reached = new WeakMap<Uint8Array, ReadonlySet<NodeId>>();
  #service: GossipSub | undefined;
  #sweep: Timer | undefined;

  constructor(port: GossipPort) {
    this.#port = port;
    this.#reputation = new Reputation(port.clock);
  }

  add(topic: string, settings: GossipTopic): void {
    if (settings.maxBytes > maxMessageBytes) {
      throw new Error(`Topic ${topic}: messages of at most ${maxMessageBytes} bytes can be broadcast.`);
    }
    const protocol = pushProtocol(topic);
    const pushes = new Pushes({
      clock: this.#port.clock,
      peers: () => this.#port.peers(),
      open: (peer) => this.#port.open(peer, protocol),
      receive: (data, from) => this.#receivePushed(topic, settings, data, from),
    });
    this.#topics.set(topic, { ...settings, pushes });
    const limits = { maxFrameBytes: settings.maxBytes, maxInboundPerPeer: maxPushStreams };
    this.#port.handle(protocol, limits, (channel) => pushes.accept(channel));
  }

  /** A peer is no longer connected. */
  forget(peer: NodeId): void {
    for (const { pushes } of this.#topics.values()) pushes.forget(peer);
  }

  /** The service for libp2p's configuration. */
  factory(): ReturnType<typeof gossipsub> {
    return gossipsub(options([...this.#topics.keys()]));
  }

  start(service: GossipSub): void {
    this.#service = service;
    this.#spareTheReached(service as unknown as GossipInternals);
    for (const [topic, settings] of this.#topics) {
      service.topicValidators.set(topic, async (from, message) => {
        const verdict = await this.#judge(topic, settings, message.data, from.toString() as NodeId);
        return results[verdict];
      });
      service.subscribe(topic);
    }
    this.#scheduleSweep();
  }

  stop(): void {
    this.#sweep?.cancel();
    this.#service = undefined;
  }

  async publish(topic: string, data: Uint8Array): Promise<void> {
    const settings = this.#topics.get(topic);
    if (settings === undefined) throw new Error(`publish: this node is not subscribed to ${topic}`);
    if (data.length > settings.maxBytes) {
      throw new QuorateError(
        'PAYLOAD_TOO_LARGE',
        `A message of ${data.length} bytes is over the limit of ${settings.maxBytes} of ${topic}. Send it in pieces.`,
        { topic, length: data.length, maxBytes: settings.maxBytes },
      );
    }
    if (this.#service === undefined) throw new QuorateError('STOPPED', 'This network is not running.');
    const reached = settings.pushes.push(data);
    // The push leaves first. Gossipsub is told also when everybody was reached: it offers the message to who connects
    // within the next seconds, and drops what comes back.
    if (reached.size > 0) await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.#service === undefined) return;
    this.#reached.set(data, reached);
    try {
      await this.#service.publish(topic, data);
    } finally {
      this.#reached.delete(data);
    }
  }

  /** Gossipsub sends what is being published to everybody but those who have it already. */
  #spareTheReached(service: GossipInternals): void {
    const sendRpc = service.sendRpc.bind(service);
    service.sendRpc = (peer, rpc) => {
      const [message, ...more] = rpc.messages;
      const reached = message?.data === undefined ? undefined : this.#reached.get(message.data);
      return more.length === 0 && reached?.has(peer as NodeId) === true ? true : sendRpc(peer, rpc);
    };
  }

  get #internals(): GossipInternals | undefined {
    return this.#service as unknown as GossipInternals | undefined;
  }

  /** Judged at once; what is good then goes through gossipsub to those further away. */
  #receivePushed(topic: string, settings: GossipTopic, data: Uint8Array, from: NodeId): void {
    if (this.#service === undefined || !this.#port.isAdmitted(from)) return;
    const verdict = this.#verdict(topic, settings, data, from);
    if (typeof verdict === 'string') this.#concludePushed(topic, data, from, verdict);
    else void verdict.then((late) => this.#concludePushed(topic, data, from, late));
  }

  #concludePushed(topic: string, data: Uint8Array, from: NodeId, verdict: Verdict): void {
    this.#blame(from, verdict);
    if (verdict !== 'accept') return;
    const copy = new Uint8Array(data); // `data` may be a view into a large read buffer, and gossipsub keeps it a while.
    this.#accepted.add(copy);
    this.#internals
      ?.handleReceivedMessage(peerIdFromString(from), { topic, data: copy })
      .catch((error: unknown) => this.#port.reportError(error, `forwarding on ${topic}`));
  }

  async #judge(topic: string, settings: GossipTopic, data: Uint8Array, from: NodeId): Promise<Verdict> {
    if (this.#accepted.has(data)) return 'accept';
    if (!this.#port.isAdmitted(from)) return 'ignore';
    const verdict = await this.#verdict(topic, settings, plainBytes(data), from);
    this.#blame(from, verdict);
    return verdict;
  }

  /** Never throws or rejects. */
  #verdict(topic: string, settings: GossipTopic, data: Uint8Array, from: NodeId): Verdict | Promise<Verdict> {
    const onError = (error: unknown): Verdict => {
      this.#port.reportError(error, `validator of ${topic}`);
      return 'ignore';
    };
    if (data.length > settings.maxBytes) return 'reject';
    try {
      const verdict = settings.validate(data, from);
      return typeof verdict === 'string' ? verdict : verdict.catch(onError);
    } catch (error) {
      return onError(error);
    }
  }

  #blame(from: NodeId, verdict: Verdict): void {
    if (verdict !== 'reject' || !this.#reputation.rejected(from)) return;
    this.#port.ban(from, misbehaviourBanMs, 'too many rejected messages');
  }

  #scheduleSweep(): void {
    if (this.#topics.size === 0) return;
    this.#sweep = this.#port.clock.after(sweepMs, () => {
      try {
        this.#repair();
      } catch (error) {
        this.#port.reportError(error, 'gossip sweep');
      }
      this.#scheduleSweep();
    });
  }

  #repair(): void {
    const service = this.#service;
    const [topic] = this.#topics.keys();
    if (service === undefined || topic === undefined) return;
    const { streamsOutbound } = service as unknown as GossipInternals;
    const subscribers = new Set(service.getSubscribers(topic).map((peer) => peer.toString()));
    const missing = new Map<NodeId, number>();
    for (const { peer, connection } of this.#port.admitted()) {
      if (subscribers.has(peer) && streamsOutbound.has(peer)) continue;
      const sweeps = (this.#missing.get(peer) ?? 0) + 1;
      if (sweeps >= sweepsTolerated) this.#port.disconnect(peer, 'its gossip stream does not come up');
      else {
        missing.set(peer, sweeps);
        if (sweeps > 1) this.#port.attach(connection);
      }
    }
    this.#missing.clear();
    for (const [peer, sweeps] of missing) this.#missing.set(peer, sweeps);
  }
}

/** Of the fast lane of a topic: a stream carries the messages of one. */
export function pushProtocol(topic: string): string {
  return `/quorate/push/1/${hash('sha256', topic).slice(0, 8)}`;
}

function messageId(data: Uint8Array): Uint8Array {
  return hash('sha256', data, 'buffer').subarray(0, 20);
}

function messageKey(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1');
}

const results: Readonly<Record<Verdict, TopicValidatorResult>> = {
  accept: TopicValidatorResult.Accept,
  ignore: TopicValidatorResult.Ignore,
  reject: TopicValidatorResult.Reject,
};

function options(topics: readonly string[]): Partial<GossipsubOpts> {
  return {
    // What is published carries its author's signature already; gossipsub's own doubled the cost of a delivery.
    globalSignaturePolicy: StrictNoSign,
    // Equal bytes are the same message whoever sends them, and a hash is found without parsing them.
    msgIdFn: (message) => messageId(message.data),
    msgIdToStrFn: messageKey,
    fallbackToFloodsub: false,
    // One's own messages go to all neighbours at once: 8 to 12 links, and the first hop is the slow one.
    floodPublish: true,
    // The first node of a mesh publishes to nobody, and that is no error.
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    emitSelf: false,
    doPX: false,
    // Tags write to the peer store at every graft; connections are chosen above, not by libp2p's pruner.
    tagMeshPeers: false,
    // Nodes have about 10 links; half of them carry each message. Every further one brings one more copy to everybody, and
    // copies are most of what a delivery costs; what five neighbours lose, anti-entropy repairs.
    D: 5,
    Dlo: 4,
    Dhi: 7,
    Dout: 2,
    Dscore: 2,
    Dlazy: 4,
    allowedTopics: [...topics],
    // A slow peer costs at most this; then its stream is reset and the sweep makes a new one.
    maxOutboundBufferSize: 8_388_608,
    // Several messages can travel in one packet; gossipsub's default, stated because a longer one loses the peer.
    maxInboundDataLength: 4_194_304,
    maxInboundStreams: 2,
    maxOutboundStreams: 2,
    scoreParams: {
      // Many nodes behind one address are the normal case here: by default 16 of them silence each other.
      IPColocationFactorWeight: 0,
      // Penalties for grafting too early and for promises broken; small, because a busy machine breaks some.
      behaviourPenaltyWeight: -1,
      behaviourPenaltyThreshold: 6,
      behaviourPenaltyDecay: 0.5,
      decayInterval: 10_000,
      retainScore: 60_000,
      topics: Object.fromEntries(topics.map((topic) => [topic, topicScore])),
    },
  };
}

/** Only invalid messages count. The others reward or demand traffic, and a mesh at rest has none. */
const topicScore = {
  topicWeight: 1,
  timeInMeshWeight: 0,
  timeInMeshQuantum: 1_000,
  timeInMeshCap: 1,
  firstMessageDeliveriesWeight: 0,
  firstMessageDeliveriesDecay: 0.5,
  firstMessageDeliveriesCap: 1,
  meshMessageDeliveriesWeight: 0,
  meshMessageDeliveriesDecay: 0.5,
  meshMessageDeliveriesCap: 1,
  meshMessageDeliveriesThreshold: 1,
  meshMessageDeliveriesWindow: 10,
  meshMessageDeliveriesActivation: 5_000,
  meshFailurePenaltyWeight: 0,
  meshFailurePenaltyDecay: 0.5,
  // The square of the count times this stays above gossipsub's graylist (-80) until the reputation bans.
  invalidMessageDeliveriesWeight: -70 / (rejectionsTolerated + 1) ** 2,
  invalidMessageDeliveriesDecay: 0.9,
};
