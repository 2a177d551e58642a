/**
 * A hostile member: a libp2p node of its own, with a key of its own, that says its hello correctly and then whatever it
 * likes. It uses nothing of Quorate's network; what it sends is either written with Quorate's encoders (to be valid
 * but for one thing) or by hand.
 */
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import type { Connection, Libp2p } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { tls } from '@libp2p/tls';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { type Draft, type Envelope, meshTag, sealEnvelope } from '../../src/crdt/envelope.ts';
import { FeedStore } from '../../src/crdt/feed-store.ts';
import { createIdentity, type Identity } from '../../src/identity.ts';
import type { NodeId } from '../../src/node-id.ts';
import { controlProtocol, decodeControlFrame, encodeControlFrame } from '../../src/p2p/detector/frames.ts';
import { decodeHelloFrame, encodeHelloFrame, type Hello, helloProtocol } from '../../src/p2p/handshake.ts';
import { selfKey, selfValue } from '../../src/protocols/membership/entries.ts';
import { pollUntil } from '../mesh/poll.ts';
import { gossipProtocols, graftRpc, messagesIn, publishRpc, subscribeRpc } from './gossip-wire.ts';
import { RawStream } from './raw-stream.ts';

export interface AttackerOptions {
  readonly mesh: string;
  readonly identity?: Identity;
  readonly encryption?: 'tls' | 'noise';
}

/** Feeds of anybody, to be written without a network. */
export function authorOf(mesh: string, identity: Identity): FeedStore {
  const onListenerError = (error: unknown): void => {
    throw error;
  };
  return new FeedStore({ mesh, identity, epoch: Date.now(), onListenerError });
}

export class Attacker {
  readonly identity: Identity;
  readonly meshName: string;
  /** Its own feeds, written as an honest author would. */
  readonly store: FeedStore;
  /** Streams that honest nodes opened, by protocol. */
  readonly inbound = new Map<string, RawStream[]>();
  /** What it overheard on the topic, in order. */
  readonly overheard: Uint8Array[] = [];
  /** The digest in its acks; a liar changes it. */
  digest: () => Uint8Array = () => this.store.rootDigest();
  /** The last refusal of its hello. */
  refusal: { readonly code: string; readonly detail: string } | undefined;
  /** Answers probes as an honest member, or is silent. */
  answersProbes = true;
  readonly #node: Libp2p;
  readonly #hellos = new Map<NodeId, RawStream>();
  readonly #gossip = new Map<NodeId, RawStream>();

  private constructor(node: Libp2p, identity: Identity, options: AttackerOptions) {
    this.#node = node;
    this.identity = identity;
    this.meshName = options.mesh;
    this.store = authorOf(options.mesh, identity);
  }

  static async start(options: AttackerOptions): Promise<Attacker> {
    const identity = options.identity ?? createIdentity();
    const node = await createLibp2p({
      privateKey: privateKeyFromRaw(Buffer.concat([identity.seed, identity.publicKey])),
      addresses: { listen: [] },
      transports: [tcp()],
      connectionEncrypters: options.encryption === 'noise' ? [noise()] : [tls(), noise()],
      streamMuxers: [yamux()],
      connectionMonitor: { enabled: false },
      connectionManager: { reconnectRetries: 0 },
    });
    const attacker = new Attacker(node, identity, options);
    for (const protocol of [...gossipProtocols, controlProtocol, ...quorateProtocols]) {
      await node.handle(protocol, (stream) => attacker.#onInbound(protocol, new RawStream(stream)), {
        maxInboundStreams: 1_000,
        maxOutboundStreams: 1_000,
      });
    }
    return attacker;
  }

  get id(): NodeId {
    return this.identity.id;
  }

  get topic(): string {
    return `/quorate/${this.meshName}/feeds/1`;
  }

  /** Connects, and no more. */
  dial(address: string): Promise<Connection> {
    return this.#node.dial(multiaddr(address));
  }

  greeting(changes: Partial<Hello> = {}): Hello {
    const instance = crypto.getRandomValues(new Uint8Array(16));
    const mine = { wireMin: 1, wireMax: 1, mesh: this.meshName, version: '0.0.0', instance, epoch: 1 };
    return { ...mine, ...changes };
  }

  /** Says a hello, and keeps the refusal when one comes. */
  async greet(address: string, changes: Partial<Hello> = {}): Promise<NodeId> {
    const peer = (await this.dial(address)).remotePeer.toString() as NodeId;
    const stream = await this.open(peer, helloProtocol);
    stream.onFrame = (bytes) => {
      const frame = decodeHelloFrame(bytes);
      if (frame?.type === 'refuse') this.refusal = frame;
    };
    stream.frame(encodeHelloFrame({ type: 'hello', hello: this.greeting(changes) }));
    this.#hellos.set(peer, stream);
    return peer;
  }

  /** Comes in as anybody does: hello, accept, and the topic. */
  async join(...addresses: readonly string[]): Promise<this> {
    for (const address of addresses) {
      const peer = await this.greet(address);
      const stream = this.hello(peer);
      await pollUntil(() => stream.frames.some((frame) => decodeHelloFrame(frame)?.type === 'accept'));
      stream.frame(encodeHelloFrame({ type: 'accept' }));
      const gossip = await this.open(peer, gossipProtocols);
      this.#gossip.set(peer, gossip);
      gossip.frame(subscribeRpc(this.topic));
      gossip.frame(graftRpc(this.topic));
    }
    return this;
  }

  /** Announces itself, so that honest nodes count it among the members and take it for an observer. */
  becomeMember(): void {
    this.#announce(false);
  }

  /** Says goodbye, as its last honest act. */
  leave(): void {
    this.#announce(true);
  }

  #announce(left: boolean): void {
    const info = { addresses: [], zone: 'default', roles: [], capacity: {}, version: '0.0.0', startedAt: 1 };
    this.store.set('members', selfKey, selfValue({ ...info, incarnation: 1 }, left));
    this.publish(...this.store.flush());
  }

  /** A stream to a node it is connected with. */
  async open(peer: NodeId, protocol: string | string[]): Promise<RawStream> {
    const connection = this.#connectionWith(peer);
    if (connection === undefined) throw new Error('cut off');
    return new RawStream(await connection.newStream(protocol, { maxOutboundStreams: 1_000 }));
  }

  #connectionWith(peer: NodeId): Connection | undefined {
    return this.#node.getConnections().find((each) => each.remotePeer.toString() === peer && each.status === 'open');
  }

  isConnected(peer: NodeId): boolean {
    return this.#connectionWith(peer) !== undefined;
  }

  /** The stream on which it said hello to a node. */
  hello(peer: NodeId): RawStream {
    return this.#hellos.get(peer) as RawStream;
  }

  /** The stream on which it gossips with a node. */
  gossip(peer: NodeId): RawStream {
    return this.#gossip.get(peer) as RawStream;
  }

  /** Sends messages to every node it joined by, each in a packet of its own. */
  publish(...messages: readonly Uint8Array[]): void {
    for (const stream of this.#gossip.values())
      for (const each of messages) stream.frame(publishRpc(this.topic, [each]));
  }

  publishTo(peer: NodeId, ...messages: readonly Uint8Array[]): void {
    for (const each of messages) this.gossip(peer).frame(publishRpc(this.topic, [each]));
  }

  /** Signs anything with its own key. */
  seal(draft: Partial<Draft> & { readonly payload: Uint8Array; readonly seq: number }): Envelope {
    return sealEnvelope(
      {
        mesh: meshTag(this.meshName),
        kind: draft.seq === 1 ? 'snapshot' : 'delta',
        store: 'registry',
        epoch: this.store.epoch,
        previous: new Uint8Array(32),
        ...draft,
      },
      this.identity,
    );
  }

  async stop(): Promise<void> {
    await this.#node.stop();
  }

  #onInbound(protocol: string, stream: RawStream): void {
    const streams = this.inbound.get(protocol) ?? [];
    streams.push(stream);
    this.inbound.set(protocol, streams);
    if (gossipProtocols.includes(protocol)) {
      stream.onFrame = (rpc) => this.overheard.push(...messagesIn(rpc));
      for (const rpc of stream.frames) this.overheard.push(...messagesIn(rpc));
    }
    if (protocol === controlProtocol) {
      stream.onFrame = (bytes) => this.#onControl(stream, bytes);
      for (const bytes of stream.frames) this.#onControl(stream, bytes);
    }
  }

  #onControl(stream: RawStream, bytes: Uint8Array): void {
    const frame = decodeControlFrame(bytes);
    if (frame?.type !== 'probe' || !this.answersProbes) return;
    stream.frame(encodeControlFrame({ type: 'ack', seq: frame.seq, lagMs: 0, digest: this.digest() }));
  }
}

/** What honest nodes may open towards a member. */
const quorateProtocols = [
  '/quorate/sync/1',
  '/quorate/call/1',
  '/quorate/bulk/1',
  '/quorate/stream/1',
  '/quorate/pbft/1',
  '/quorate/coordination/1',
  '/quorate/barrier/1',
];
