/** The simulated `Network` of one node: the same contract as the libp2p one, on a world's virtual time. */
import type { Clock, Rng } from '../../clock.ts';
import { seededRng } from '../../clock.ts';
import { Emitter } from '../../emitter.ts';
import { QuorateError } from '../../errors.ts';
import type { Identity } from '../../identity.ts';
import type { NodeId } from '../../node-id.ts';
import { Bans } from '../bans.ts';
import { type Hello, refusalError, wireVersions } from '../handshake.ts';
import type { Channel, ChannelLimits, Network, NetworkCounters, NetworkEvents, Verdict } from '../network.ts';
import { notConnected, ownAddress, parseAddress, stopped, unreachable } from './addresses.ts';
import { joinChannels, SimulatedChannel } from './channel.ts';
import { admissionOf, type Endpoint as ConnectionEnd, connectEndpoints } from './connection.ts';
import { Flood, type Neighbour } from './flood.ts';
import type { SimulatedProcess, Surroundings } from './medium.ts';
import { type ClockFaults, nodeClock } from './node-clock.ts';

type Endpoint = ConnectionEnd<SimulatedNetwork>;
type World = Surroundings<SimulatedNetwork>;

export interface SimulatedNetworkOptions extends ClockFaults {
  /** Name in the address `/memory/<host>/p2p/<id>`. Default `node<n>`, and its old one for a node started again. */
  readonly host?: string;
  readonly meshName?: string;
  readonly networkKey?: string;
  readonly allow?: readonly NodeId[];
  readonly epoch?: number;
  readonly version?: string;
  readonly wireVersions?: { readonly min: number; readonly max: number };
  readonly onError?: (error: unknown, where: string) => void;
  readonly rng?: Rng;
}

interface Handler {
  readonly limits: ChannelLimits;
  readonly onChannel: (channel: Channel) => void;
}

interface DialOutcome {
  resolve(peer: NodeId): void;
  reject(error: Error): void;
  /** The caller gave up or has its answer already. */
  settled(): boolean;
}

/** A channel whose protocol this node does not handle itself takes frames up to this length. Like the real one. */
const defaultMaxFrameBytes = 4_194_304;
/** How long an older connection of the same identity has to answer. */
const probeTimeoutMs = 1_000;

export class SimulatedNetwork implements Network {
  readonly self: NodeId;
  readonly host: string;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly counters: NetworkCounters = { bytesSent: 0, bytesReceived: 0 };
  readonly process: SimulatedProcess = {
    state: 'running',
    backlog: [],
    workingOff: false,
    busyMsPerEvent: 0,
    busyUntil: 0,
  };
  readonly #world: World;
  readonly #options: SimulatedNetworkOptions;
  readonly #hello: Hello;
  readonly #events: Emitter<NetworkEvents>;
  readonly #handlers = new Map<string, Handler>();
  /** Connections of this side, admitted or not. */
  readonly #endpoints = new Set<Endpoint>();
  readonly #bans: Bans;
  readonly #flood: Flood;
  #state: 'new' | 'started' | 'stopped' = 'new';

  constructor(world: World, identity: Identity, host: string, options: SimulatedNetworkOptions) {
    this.#world = world;
    this.#options = options;
    this.self = identity.id;
    this.host = host;
    this.rng = options.rng ?? seededRng(world.seed);
    this.clock = nodeClock(world, this.process, options);
    this.#bans = new Bans(this.clock);
    this.#events = new Emitter((error, type) => this.reportError(error, `listener of ${type}`));
    this.#flood = new Flood({
      self: this.self,
      clock: this.clock,
      rng: world.rng,
      faults: world.options,
      counters: this.counters,
      neighbours: () => this.#neighbours(),
      isRunning: () => this.listening,
      isConnected: (peer) => this.isConnected(peer),
      ban: (peer, forMs, reason) => this.ban(peer, forMs, reason),
      reportError: (error, where) => this.reportError(error, where),
    });
    this.#hello = {
      wireMin: options.wireVersions?.min ?? wireVersions.min,
      wireMax: options.wireVersions?.max ?? wireVersions.max,
      mesh: options.meshName ?? 'simulated',
      version: options.version ?? '0.0.0',
      instance: this.rng.bytes(16),
      epoch: options.epoch ?? 1,
    };
  }

  get listening(): boolean {
    return this.#state === 'started' && this.process.state !== 'crashed';
  }

  addresses(): readonly string[] {
    return this.#state === 'new' ? [] : [`/memory/${this.host}/p2p/${this.self}`];
  }

  async start(): Promise<void> {
    if (this.#state !== 'new') throw new QuorateError('STOPPED', 'A network starts once; make a new one.');
    const holder = this.#world.listenerAt(this.host);
    if (holder !== undefined) {
      throw new QuorateError('PORT_IN_USE', `/memory/${this.host} is taken. Stop its owner or choose another.`);
    }
    this.#state = 'started';
  }

  async stop(): Promise<void> {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    for (const endpoint of [...this.#endpoints]) this.#closeConnection(endpoint);
  }

  on<K extends keyof NetworkEvents>(type: K, listener: (event: NetworkEvents[K]) => void): () => void {
    return this.#events.on(type, listener);
  }

  reportError(error: unknown, where: string): void {
    if (this.#options.onError === undefined) throw error;
    this.#options.onError(error, where);
  }

  // Connections.

  connect(address: string, options: { signal?: AbortSignal; timeoutMs: number }): Promise<NodeId> {
    const { host, id } = parseAddress(address);
    if (!this.listening) return Promise.reject(stopped());
    if (host === this.host) return Promise.reject(ownAddress(address));
    const connected = this.#world.listenerAt(host);
    const known = id ?? connected?.self;
    if (known !== undefined && this.isConnected(known)) return Promise.resolve(known);
    const denial = known === undefined ? undefined : this.#denial(known);
    if (denial !== undefined) return Promise.reject(refusalError('NOT_ALLOWED', denial, 'us', address));
    return new Promise((resolve, reject) => {
      let done = false;
      const settle = (act: () => void): void => {
        done = true;
        timer.cancel();
        options.signal?.removeEventListener('abort', onAbort);
        act();
      };
      const onAbort = (): void => settle(() => reject(options.signal?.reason));
      const timer = this.clock.after(options.timeoutMs, () =>
        settle(() => reject(unreachable(address, `no answer within ${options.timeoutMs} ms`))),
      );
      if (options.signal?.aborted === true) return onAbort();
      options.signal?.addEventListener('abort', onAbort, { once: true });
      this.#dial(host, id, address, {
        resolve: (peer) => settle(() => resolve(peer)),
        reject: (error) => settle(() => reject(error)),
        settled: () => done,
      });
    });
  }

  #dial(host: string, expected: NodeId | undefined, address: string, outcome: DialOutcome): void {
    const answer = (target: SimulatedNetwork | undefined, act: () => void): void => {
      const delayMs = this.#world.delay(this, target ?? this);
      if (target !== undefined && this.#world.blocked(target, this)) return;
      this.#world.schedule(delayMs, this.process, act);
    };
    const listener = this.#world.listenerAt(host);
    this.#world.schedule(this.#world.delay(this, listener ?? this), undefined, () => {
      const target = this.#world.listenerAt(host);
      if (target === undefined) return answer(undefined, () => outcome.reject(unreachable(address, 'refused')));
      if (this.#world.blocked(this, target)) return; // The dial times out.
      this.#world.runAt(target.process, () => {
        const problem = this.#encryptionProblem(target, expected, address);
        if (problem !== undefined) {
          target.#refused(undefined, problem.code);
          return answer(target, () => outcome.reject(problem));
        }
        const outbound = connectEndpoints(this.#world, this, target);
        outbound.other.transmit(() => this.#greet(outbound, outcome));
        target.#greet(outbound.other);
      });
    });
  }

  /** What fails before a hello can be said. */
  #encryptionProblem(
    target: SimulatedNetwork,
    expected: NodeId | undefined,
    address: string,
  ): QuorateError | undefined {
    if (target.#options.networkKey !== this.#options.networkKey) {
      return new QuorateError('WRONG_NETWORK_KEY', `The node at ${address} has another network key.`, { address });
    }
    if (target.self === this.self) {
      return new QuorateError('IDENTITY_IN_USE', `The node at ${address} has the same identity.`, { address });
    }
    if (expected === undefined || expected === target.self) return undefined;
    return unreachable(address, `it answered as ${target.self}`);
  }

  #greet(endpoint: Endpoint, outcome?: DialOutcome): void {
    if (outcome?.settled() === true) {
      this.#closeConnection(endpoint);
      return;
    }
    this.#endpoints.add(endpoint);
    endpoint.admission = admissionOf(endpoint, this.#hello, {
      denial: (peer) => this.#denial(peer),
      rival: () => {
        const instance = this.#liveEndpoint(endpoint.peer)?.instance;
        // Two connections between the same two processes are harmless here, so both stay.
        return instance === undefined ? undefined : { instance, admitted: true, preferred: 'this' };
      },
      probeRival: () => this.#probe(endpoint.peer),
      dropRival: () => {
        for (const old of this.#endpointsOf(endpoint.peer)) if (old !== endpoint) this.#lost(old, false);
      },
      onAdmitted: () => {
        if (outcome?.settled() === true) return this.#closeConnection(endpoint);
        if (this.#endpointsOf(endpoint.peer).length === 1) {
          const addresses = [`/memory/${endpoint.other.network.host}/p2p/${endpoint.peer}`];
          this.#events.emit('peer:connected', { peer: endpoint.peer, addresses, outbound: endpoint.outbound });
        }
        outcome?.resolve(endpoint.peer);
      },
      onRefused: (code, detail, by) => {
        endpoint.alive = false;
        this.#endpoints.delete(endpoint);
        this.#events.emit('refused', { peer: endpoint.peer, reason: `${code}: ${detail}`, code, by });
        outcome?.reject(refusalError(code, detail, by, `/memory/${endpoint.other.network.host}`));
      },
    });
    endpoint.admission.start();
  }

  #probe(peer: NodeId): Promise<boolean> {
    const endpoint = this.#liveEndpoint(peer);
    if (endpoint === undefined) return Promise.resolve(false);
    return new Promise((resolve) => {
      const timer = this.clock.after(probeTimeoutMs, () => resolve(false));
      endpoint.pongWaiters.push(() => {
        timer.cancel();
        resolve(true);
      });
      endpoint.transmit(() => endpoint.other.admission.receive({ type: 'ping' }));
    });
  }

  #denial(peer: NodeId): string | undefined {
    if (!this.listening) return 'this node is stopping';
    if (this.#bans.has(peer)) return 'this peer is banned here for misbehaviour';
    const { allow } = this.#options;
    return allow !== undefined && !allow.includes(peer) ? `${peer} is not on the allow-list` : undefined;
  }

  #refused(peer: NodeId | undefined, reason: string): void {
    this.#events.emit('refused', peer === undefined ? { reason } : { peer, reason });
  }

  async disconnect(peer: NodeId): Promise<void> {
    for (const endpoint of this.#endpointsOf(peer)) this.#closeConnection(endpoint);
  }

  ban(peer: NodeId, forMs: number, reason: string): void {
    this.#bans.add(peer, forMs);
    this.#refused(peer, `banned: ${reason}`);
    for (const endpoint of this.#endpointsOf(peer)) this.#closeConnection(endpoint);
  }

  isConnected(peer: NodeId): boolean {
    return this.#liveEndpoint(peer) !== undefined;
  }

  peers(): readonly NodeId[] {
    return [...new Set([...this.#endpoints].filter((each) => each.admission.admitted).map((each) => each.peer))];
  }

  #endpointsOf(peer: NodeId): readonly Endpoint[] {
    return [...this.#endpoints].filter((endpoint) => endpoint.peer === peer && endpoint.admission.admitted);
  }

  #liveEndpoint(peer: NodeId): Endpoint | undefined {
    for (const endpoint of this.#endpoints) if (endpoint.peer === peer && endpoint.admission.admitted) return endpoint;
    return undefined;
  }

  #closeConnection(endpoint: Endpoint): void {
    endpoint.transmit(() => {
      endpoint.other.byeReceived = true;
      endpoint.other.network.#lost(endpoint.other, true);
    });
    this.#lost(endpoint, true);
  }

  /** This side learns that the connection is over. */
  #lost(endpoint: Endpoint, graceful: boolean): void {
    if (!endpoint.alive) return;
    endpoint.alive = false;
    this.#endpoints.delete(endpoint);
    const { peer } = endpoint;
    const error = graceful
      ? undefined
      : new QuorateError('PEER_UNREACHABLE', `The connection to ${peer} was lost.`, { peer });
    for (const channel of [...endpoint.channels]) channel.ended(error);
    if (endpoint.admission?.admitted === true && !this.isConnected(peer)) {
      this.#events.emit('peer:disconnected', { peer, graceful });
    }
  }

  /** For the world: breaks the connections to the peers that `crosses` names, on this side. */
  breakConnections(crosses: (peer: SimulatedNetwork) => boolean): void {
    for (const endpoint of [...this.#endpoints]) {
      if (!crosses(endpoint.other.network)) continue;
      this.#world.runAt(this.process, () => this.#lost(endpoint, false));
    }
  }

  releaseStalled(): void {
    for (const endpoint of this.#endpoints) {
      endpoint.release();
      endpoint.other.release();
    }
  }

  resetByCrash(): void {
    for (const endpoint of this.#endpoints) {
      endpoint.transmit(() => endpoint.other.network.#lost(endpoint.other, false));
    }
  }

  // Channels.

  handle(protocol: string, limits: ChannelLimits, onChannel: (channel: Channel) => void): void {
    if (this.#state !== 'new') throw new Error('Handlers are set before start.');
    this.#handlers.set(protocol, { limits, onChannel });
  }

  open(peer: NodeId, protocol: string, options: { signal?: AbortSignal } = {}): Promise<Channel> {
    const endpoint = this.#liveEndpoint(peer);
    if (endpoint === undefined) return Promise.reject(notConnected(peer));
    if (options.signal?.aborted === true) return Promise.reject(options.signal.reason);
    const maxFrameBytes = this.#handlers.get(protocol)?.limits.maxFrameBytes ?? defaultMaxFrameBytes;
    const channel = new SimulatedChannel(endpoint, protocol, maxFrameBytes);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        channel.abort(new Error('The opener gave up.'));
        reject(options.signal?.reason);
      };
      options.signal?.addEventListener('abort', onAbort, { once: true });
      const answered = (refusedWhy: string | undefined): void => {
        options.signal?.removeEventListener('abort', onAbort);
        if (refusedWhy === undefined) {
          resolve(channel);
          return;
        }
        channel.ended(notConnected(peer));
        reject(unreachable(peer, refusedWhy));
      };
      const stopWatching = channelLost(channel, () => answered('the connection was lost'));
      endpoint.transmit(() => {
        const refusedWhy = endpoint.other.network.#accept(endpoint.other, channel, protocol);
        endpoint.other.transmit(() => {
          stopWatching();
          answered(refusedWhy);
        });
      });
    });
  }

  /** At the other node: joins a channel from the peer, or says why not. */
  #accept(endpoint: Endpoint, theirs: SimulatedChannel, protocol: string): string | undefined {
    const handler = this.#handlers.get(protocol);
    if (handler === undefined) return `it does not speak ${protocol}`;
    const open = [...endpoint.channels].filter((channel) => channel.protocol === protocol && channel.inbound).length;
    if (open >= handler.limits.maxInboundPerPeer) {
      this.#refused(endpoint.peer, `more than ${handler.limits.maxInboundPerPeer} channels of ${protocol}`);
      return `it has too many channels of ${protocol} open with this node`;
    }
    const mine = new SimulatedChannel(endpoint, protocol, handler.limits.maxFrameBytes, true);
    joinChannels(mine, theirs);
    try {
      handler.onChannel(mine);
    } catch (error) {
      this.reportError(error, `handler of ${protocol}`);
      mine.abort(error instanceof Error ? error : new Error(String(error)));
    }
    return undefined;
  }

  // Broadcast.

  subscribe(
    topic: string,
    maxBytes: number,
    validate: (data: Uint8Array, from: NodeId) => Verdict | Promise<Verdict>,
  ): void {
    if (this.#state !== 'new') throw new Error('Topics are set before start.');
    this.#flood.subscribe(topic, maxBytes, validate);
  }

  async publish(topic: string, data: Uint8Array): Promise<void> {
    if (!this.listening) throw stopped();
    this.#flood.publish(topic, data);
  }

  *#neighbours(): Iterable<Neighbour> {
    for (const peer of this.peers()) {
      const endpoint = this.#liveEndpoint(peer);
      if (endpoint === undefined) continue;
      yield {
        peer,
        transmit: (deliver, delays) => endpoint.transmitLoose(() => deliver(endpoint.other.network.#flood), delays),
      };
    }
  }
}

/** Calls `lost` when the channel ends before it was answered; the returned function stops that. */
function channelLost(channel: SimulatedChannel, lost: () => void): () => void {
  let watching = true;
  channel.onEndBeforeListen = () => {
    if (watching) lost();
  };
  return () => {
    watching = false;
    channel.onEndBeforeListen = undefined;
  };
}
