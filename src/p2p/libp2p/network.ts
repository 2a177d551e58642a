/** The real `Network`: libp2p over TCP, TLS or noise, Yamux and gossipsub, behind Quorate's own admission. */
import type { Connection, Stream, StreamHandler } from '@libp2p/interface';
import { type Clock, type Rng, realClock, realRng } from '../../clock.ts';
import { Emitter } from '../../emitter.ts';
import { QuorateError } from '../../errors.ts';
import type { Identity } from '../../identity.ts';
import { isNodeId, type NodeId } from '../../node-id.ts';
import { Bans } from '../bans.ts';
import { type Hello, helloProtocol, maxNameLength, wireVersions } from '../handshake.ts';
import type { Channel, ChannelLimits, Network, NetworkCounters, NetworkEvents, Verdict } from '../network.ts';
import { inboundFailure } from './dial-error.ts';
import { Dialer, withoutPeer } from './dialer.ts';
import { Gossip } from './gossip.ts';
import { checkNetworkKey, protectorOf } from './network-key.ts';
import { createNode, type Node } from './node.ts';
import { SelfMeetings } from './self-meeting.ts';
import type { Session } from './session.ts';
import { Sessions } from './sessions.ts';
import { isUnsupported, Streams } from './streams.ts';
import { type Observation, observationOf, SocketLedger } from './transport.ts';

export interface Libp2pNetworkOptions {
  readonly identity: Identity;
  /** Nodes of different meshes never talk. 1 to 128 characters. */
  readonly meshName: string;
  /** Version of the quorate package, told to peers for their error messages. */
  readonly version: string;
  /** The node's start counter: strictly rising over its restarts (`nextEpoch`). */
  readonly epoch: number;
  /** Multiaddrs to listen on, `/ip4/127.0.0.1/tcp/0` for any free port. Empty: dials only. */
  readonly listen: readonly string[];
  /** Multiaddrs told to others instead of the ones listened on, for nodes behind NAT. Default: those. */
  readonly announce?: readonly string[];
  /** Pre-shared key of the mesh, 64 hexadecimal digits. Default: none. */
  readonly networkKey?: string;
  /** The only peers let in. Default: everybody. */
  readonly allow?: readonly NodeId[];
  /** 16 bytes that tell this process from another with the same key. Default: random. */
  readonly instance?: Uint8Array;
  readonly wireVersions?: { readonly min: number; readonly max: number };
  /** Connections in all, admitted or not. Default 1,024: about 0.3 MB each. */
  readonly maxConnections?: number;
  readonly clock?: Clock;
  readonly rng?: Rng;
  /** Exceptions of listeners, handlers and validators, which are caught here. */
  readonly onError: (error: unknown, where: string) => void;
}

const identifyProtocol = '/ipfs/id/1.0.0';

export class Libp2pNetwork implements Network {
  readonly self: NodeId;
  readonly #options: Libp2pNetworkOptions;
  readonly #clock: Clock;
  readonly #events: Emitter<NetworkEvents>;
  readonly #ledger = new SocketLedger();
  readonly #sessions: Sessions;
  readonly #gossip: Gossip;
  readonly #dialer: Dialer;
  readonly #streams: Streams;
  readonly #bans: Bans;
  readonly #selfMeetings: SelfMeetings;
  #node: Node | undefined;
  #state: 'new' | 'started' | 'stopped' = 'new';
  #stopping: Promise<void> | undefined;

  constructor(options: Libp2pNetworkOptions) {
    if (options.networkKey !== undefined) checkNetworkKey(options.networkKey);
    checkMeshName(options.meshName);
    this.#options = options;
    this.self = options.identity.id;
    this.#clock = options.clock ?? realClock;
    this.#events = new Emitter((error, type) => this.#reportError(error, `listener of ${type}`));
    this.#bans = new Bans(this.#clock);
    this.#selfMeetings = new SelfMeetings(this.#clock);
    this.#sessions = this.#newSessions();
    this.#streams = new Streams({
      clock: this.#clock,
      reportError: (error, where) => this.#reportError(error, where),
      refused: (peer, reason) => this.#events.emit('refused', { peer, reason }),
      admitted: (connection) => this.#onceAdmitted(connection),
    });
    this.#gossip = new Gossip({
      clock: this.#clock,
      reportError: (error, where) => this.#reportError(error, where),
      isAdmitted: (peer) => this.#sessions.isConnected(peer),
      admitted: () => this.#admittedConnections(),
      attach: (connection) => this.#attachGossip(connection),
      peers: () => this.#sessions.connected,
      open: (peer, protocol) => this.open(peer, protocol),
      handle: (protocol, limits, onChannel) => this.#streams.handle(protocol, limits, onChannel),
      ban: (peer, forMs, reason) => this.ban(peer, forMs, reason),
      disconnect: (peer, reason) => {
        this.#events.emit('refused', { peer, reason: `disconnected: ${reason}` });
        void this.disconnect(peer);
      },
    });
    this.#dialer = this.#newDialer();
  }

  /** Bytes on the sockets: with everything that encryption, framing and libp2p itself add. */
  get counters(): Readonly<NetworkCounters> {
    return { bytesSent: this.#ledger.sent, bytesReceived: this.#ledger.received };
  }

  addresses(): readonly string[] {
    return this.#node?.libp2p.getMultiaddrs().map((address) => address.toString()) ?? [];
  }

  on<K extends keyof NetworkEvents>(type: K, listener: (event: NetworkEvents[K]) => void): () => void {
    return this.#events.on(type, listener);
  }

  // Life.

  async start(): Promise<void> {
    if (this.#state !== 'new') throw new QuorateError('STOPPED', 'A network starts once; make a new one.');
    this.#state = 'started';
    const { identity, listen, announce, networkKey, maxConnections } = this.#options;
    const node = await createNode({
      identity,
      clock: this.#clock,
      listen,
      announce: announce ?? [],
      maxConnections: maxConnections ?? 1_024,
      gossip: this.#gossip,
      transport: {
        ledger: this.#ledger,
        keyed: networkKey !== undefined,
        onInboundFailure: (error, observation) => this.#onInboundFailure(error, observation),
      },
      protector:
        networkKey === undefined
          ? undefined
          : protectorOf(networkKey, (connection) => {
              const observation = observationOf(connection);
              if (observation !== undefined) observation.wrongKey = true;
            }),
      isBanned: (peer) => this.#bans.has(peer.toString() as NodeId),
    });
    this.#listenToConnections(node);
    await this.#handleStreams(node);
    try {
      await node.libp2p.start();
    } catch (cause) {
      this.#state = 'stopped';
      throw listenError(listen, cause);
    }
    await this.#closeToStrangers(node);
    this.#node = node;
    this.#gossip.start(node.gossipsub);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#state = 'stopped';
    this.#gossip.stop();
    await Promise.all(this.#sessions.all.map((session) => session.close()));
    await this.#node?.libp2p.stop();
  }

  /** Ends at once, as the death of the process would: every connection ends, and no goodbye is said. */
  async abort(): Promise<void> {
    this.#state = 'stopped';
    this.#gossip.stop();
    this.#ledger.destroyAll();
    this.#stopping ??= this.#node?.libp2p.stop() ?? Promise.resolve();
    await this.#stopping;
  }

  #listenToConnections(node: Node): void {
    const { events } = node.internals;
    events.addEventListener('connection:open', (event) =>
      this.#guard('connection:open', () => this.#onOpen(event.detail)),
    );
    events.addEventListener('connection:close', (event) =>
      this.#guard('connection:close', () => this.#sessions.remove(event.detail)),
    );
  }

  async #handleStreams(node: Node): Promise<void> {
    const { libp2p } = node;
    await libp2p.handle(
      helloProtocol,
      (stream, connection) => this.#guard('hello', () => this.#onHelloStream(stream, connection)),
      { maxInboundStreams: 2, maxOutboundStreams: 2 },
    );
    await this.#streams.start(libp2p);
  }

  /**
   * The protocols that libp2p's own services handle wait for the admission too. Not by libp2p's stream
   * middleware: it appends each stream's handler to the registered list, so streams are handled twice.
   */
  async #closeToStrangers(node: Node): Promise<void> {
    for (const protocol of [...node.gossipsub.protocols, identifyProtocol]) {
      const { handler, options } = node.internals.registrar.getHandler(protocol);
      const onlyAdmitted: StreamHandler = async (stream, connection) => {
        if ((await this.#onceAdmitted(connection)) !== undefined) await handler(stream, connection);
        else stream.abort(new Error('The peer is not admitted.'));
      };
      await node.libp2p.handle(protocol, onlyAdmitted, { ...options, force: true });
    }
  }

  // Connections.

  connect(address: string, options: { signal?: AbortSignal; timeoutMs: number }): Promise<NodeId> {
    if (this.#state !== 'started') return Promise.reject(stopped());
    return this.#dialer.connect(address, options);
  }

  async disconnect(peer: NodeId): Promise<void> {
    await Promise.all(this.#sessions.ofPeer(peer).map((session) => session.close()));
  }

  ban(peer: NodeId, forMs: number, reason: string): void {
    this.#bans.add(peer, forMs);
    this.#events.emit('refused', { peer, reason: `banned: ${reason}` });
    // No goodbye: until it is said, the peer could go on with what it is banned for.
    for (const session of this.#sessions.ofPeer(peer)) session.abort(`banned: ${reason}`);
  }

  isConnected(peer: NodeId): boolean {
    return this.#sessions.isConnected(peer);
  }

  peers(): readonly NodeId[] {
    return this.#sessions.connected;
  }

  #onOpen(connection: Connection): void {
    if (this.#state !== 'started') {
      connection.abort(stopped());
      return;
    }
    const session = this.#sessions.add(connection);
    if (session.outbound) void this.#openHello(session);
  }

  async #openHello(session: Session): Promise<void> {
    try {
      session.greetOn(await session.connection.newStream(helloProtocol));
    } catch (error) {
      const why = isUnsupported(error) ? 'what listens there is libp2p, but no quorate node' : 'no hello was possible';
      session.abort(why);
    }
  }

  #onHelloStream(stream: Stream, connection: Connection): void {
    const session = this.#sessions.of(connection);
    if (session === undefined) stream.abort(new Error('The connection is over.'));
    else session.greetOn(stream);
  }

  async #onceAdmitted(connection: Connection): Promise<Session | undefined> {
    const session = this.#sessions.of(connection);
    if (session === undefined || session.admitted) return session;
    return (await session.outcome).type === 'admitted' ? session : undefined;
  }

  #newSessions(): Sessions {
    return new Sessions({
      self: this.self,
      clock: this.#clock,
      mine: this.#hello(),
      denial: (peer) => this.#denial(peer),
      reportError: (error, where) => this.#reportError(error, where),
      onAdmitted: (session, first) => {
        if (first) {
          const { peer, outbound } = session;
          const addresses = outbound ? [session.connection.remoteAddr.toString()] : [];
          this.#events.emit('peer:connected', { peer, addresses, outbound });
        }
        this.#attachGossip(session.connection);
      },
      onGone: (session, last) => {
        const { peer, graceful } = session;
        if (last) {
          this.#gossip.forget(peer);
          this.#events.emit('peer:disconnected', { peer, graceful });
        }
        // Gossip may have flowed over the lost connection; it goes on over another one.
        const other = this.#sessions.live(peer);
        if (other !== undefined) this.#attachGossip(other.connection);
      },
      onRefused: (session, code, detail, by) => {
        if (code === 'DUPLICATE') return;
        this.#events.emit('refused', { peer: session.peer, reason: `${code}: ${detail}`, code, by });
      },
      onViolation: ({ peer }, reason) => this.#events.emit('refused', { peer, reason, violation: true }),
    });
  }

  #hello(): Hello {
    const { meshName, version, epoch, instance, rng } = this.#options;
    const versions = this.#options.wireVersions ?? wireVersions;
    return {
      wireMin: versions.min,
      wireMax: versions.max,
      mesh: meshName,
      version,
      instance: instance ?? (rng ?? realRng).bytes(16),
      epoch,
    };
  }

  #newDialer(): Dialer {
    return new Dialer({
      clock: this.#clock,
      self: this.self,
      keyed: this.#options.networkKey !== undefined,
      ownAddresses: () => this.#node?.libp2p.getMultiaddrs().map((each) => withoutPeer(each).toString()) ?? [],
      dial: (address, signal) => {
        if (this.#node === undefined) throw stopped();
        return this.#node.internals.transportManager.dial(address, { signal });
      },
      sessionOf: (connection) => this.#sessions.of(connection),
      isConnected: (peer) => this.isConnected(peer),
      whenConnected: (peer, signal) => this.#whenConnected(peer, signal),
      denial: (peer) => this.#denial(peer),
      metOurselves: (since) => this.#selfMeetings.explain(since),
      onIdentityInUse: (address) => {
        const reason = `IDENTITY_IN_USE: the node at ${address} has this node's key`;
        this.#events.emit('refused', { peer: this.self, reason, code: 'IDENTITY_IN_USE', by: 'us' });
      },
    });
  }

  #whenConnected(peer: NodeId, signal: AbortSignal): Promise<void> {
    if (this.isConnected(peer)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        unsubscribe();
        reject(signal.reason);
      };
      const unsubscribe = this.#events.on('peer:connected', (event) => {
        if (event.peer !== peer) return;
        unsubscribe();
        signal.removeEventListener('abort', onAbort);
        resolve();
      });
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #onInboundFailure(error: unknown, observation: Observation): void {
    if (this.#state !== 'started') return;
    const explained = this.#selfMeetings.inboundFailed();
    if (/dial self/i.test(String(error))) {
      if (explained || this.#dialer.dialling) return;
      const reason = "IDENTITY_IN_USE: another process with this node's key dialled it";
      this.#events.emit('refused', { peer: this.self, reason, code: 'IDENTITY_IN_USE', by: 'us' });
      return;
    }
    this.#events.emit('refused', {
      reason: inboundFailure(error, observation, this.#options.networkKey !== undefined),
    });
  }

  #denial(peer: NodeId): string | undefined {
    if (this.#state !== 'started') return 'this node is stopping';
    if (!isNodeId(peer)) return 'its identity is no Ed25519 key';
    if (this.#bans.has(peer)) return 'this peer is banned here for misbehaviour';
    const { allow } = this.#options;
    return allow !== undefined && !allow.includes(peer) ? `${peer} is not on the allow-list` : undefined;
  }

  // Channels.

  handle(protocol: string, limits: ChannelLimits, onChannel: (channel: Channel) => void): void {
    if (this.#state !== 'new') throw new Error('Handlers are set before start.');
    this.#streams.handle(protocol, limits, onChannel);
  }

  async open(peer: NodeId, protocol: string, options: { signal?: AbortSignal } = {}): Promise<Channel> {
    options.signal?.throwIfAborted();
    const session = this.#sessions.live(peer);
    if (session !== undefined) return this.#streams.open(session, protocol, options.signal);
    throw new QuorateError('PEER_UNREACHABLE', `${peer} is not connected. Connect to it first.`, { peer });
  }

  // Broadcast.

  subscribe(
    topic: string,
    maxBytes: number,
    validate: (data: Uint8Array, from: NodeId) => Verdict | Promise<Verdict>,
  ): void {
    if (this.#state !== 'new') throw new Error('Topics are set before start.');
    this.#gossip.add(topic, { maxBytes, validate });
  }

  async publish(topic: string, data: Uint8Array): Promise<void> {
    if (this.#state !== 'started') throw stopped();
    await this.#gossip.publish(topic, data);
  }

  *#admittedConnections(): Iterable<{ readonly peer: NodeId; readonly connection: Connection }> {
    for (const peer of this.#sessions.connected) {
      const session = this.#sessions.live(peer);
      if (session !== undefined) yield { peer, connection: session.connection };
    }
  }

  /** What libp2p's identify would announce: that this peer speaks gossip, over this connection. */
  #attachGossip(connection: Connection): void {
    const protocols = this.#node?.gossipsub.protocols;
    if (protocols === undefined || this.#state !== 'started') return;
    this.#node?.internals.events.safeDispatchEvent('peer:identify', {
      detail: { peerId: connection.remotePeer, protocols: protocols.slice(0, 1), connection },
    });
  }

  // Boundaries.

  #guard(where: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#reportError(error, where);
    }
  }

  #reportError(error: unknown, where: string): void {
    try {
      this.#options.onError(error, where);
    } catch {
      // The reporter itself broke; an exception here would end the process from inside libp2p.
    }
  }
}

function checkMeshName(meshName: string): void {
  if (meshName.length > 0 && meshName.length <= maxNameLength) return;
  const text = `A mesh name has 1 to ${maxNameLength} characters; this one has ${meshName.length}.`;
  throw new QuorateError('INVALID_OPTIONS', text, { option: 'meshName', length: meshName.length });
}

function stopped(): QuorateError {
  return new QuorateError('STOPPED', 'This network is not running.');
}

function listenError(listen: readonly string[], cause: unknown): QuorateError {
  const message = String(cause);
  const addresses = listen.join(', ');
  if (/EADDRINUSE/.test(message)) {
    const text = `Cannot listen on ${addresses}: the port is in use by another process. Stop that process, or choose another port; /tcp/0 takes any free one.`;
    return new QuorateError('PORT_IN_USE', text, { listen }, { cause });
  }
  const text = `Cannot listen on ${addresses}. The addresses must be multiaddrs of this machine, such as /ip4/0.0.0.0/tcp/4001.`;
  return new QuorateError('INVALID_OPTIONS', text, { listen }, { cause });
}
