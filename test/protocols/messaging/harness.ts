/** Nodes in one process with a network of plain queues, and a registry that is a shared map. */
import { type Clock, realClock, seededRng } from '../../../src/clock.ts';
import { Emitter } from '../../../src/emitter.ts';
import { QuorateError } from '../../../src/errors.ts';
import type { NodeId } from '../../../src/node-id.ts';
import type { Channel, ChannelLimits } from '../../../src/p2p/network.ts';
import type { MemberState, MembershipEvents } from '../../../src/protocols/membership/membership.ts';
import type { BaseMessaging } from '../../../src/protocols/messaging/base.ts';
import { ClusterMessaging, type RegistryHeads } from '../../../src/protocols/messaging/cluster.ts';
import type { MessagingLimits } from '../../../src/protocols/messaging/limits.ts';
import { LocalMessaging } from '../../../src/protocols/messaging/local.ts';
import type { AgentHandler, LocalHandlers } from '../../../src/protocols/messaging/messaging.ts';
import type { AgentRecord, Criteria, ResolveOptions } from '../../../src/protocols/registry/records.ts';

/** Frames and what becomes of them, for tests that look. */
type Receiver = { onFrame(frame: Uint8Array): void; onClose(error?: Error): void };

const highWaterBytes = 256 * 1024;

export class MemoryChannel implements Channel {
  readonly peer: NodeId;
  readonly protocol: string;
  other: MemoryChannel | undefined;
  sent: Uint8Array[] = [];
  #limits: ChannelLimits;
  #inbox: Uint8Array[] = [];
  #receiver: Receiver | undefined;
  #paused = false;
  #scheduled = false;
  #queued = 0;
  #drained: { resolve(): void; reject(error: Error): void }[] = [];
  #end: { error: Error | undefined; told: boolean } | undefined;

  constructor(peer: NodeId, protocol: string, limits: ChannelLimits) {
    this.peer = peer;
    this.protocol = protocol;
    this.#limits = limits;
  }

  get closed(): boolean {
    return this.#end !== undefined;
  }

  send(frame: Uint8Array): boolean {
    if (this.closed) return false;
    if (frame.length > this.#limits.maxFrameBytes) {
      this.abort(new Error(`a frame of ${frame.length} bytes`));
      return false;
    }
    this.sent.push(frame);
    if (this.sent.length > 1_000) this.sent = this.sent.slice(-100);
    this.#queued += frame.length;
    this.other?.deliver(frame.slice());
    return this.#queued < highWaterBytes;
  }

  deliver(frame: Uint8Array): void {
    if (this.closed) return;
    this.#inbox.push(frame);
    this.#schedule();
  }

  drained(): Promise<void> {
    if (this.closed) return Promise.reject(new Error('closed'));
    if (this.#queued < highWaterBytes) return Promise.resolve();
    return new Promise((resolve, reject) => this.#drained.push({ resolve, reject }));
  }

  listen(receiver: Receiver): void {
    this.#receiver = receiver;
    this.#schedule();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#schedule();
  }

  async close(): Promise<void> {
    if (this.closed) return;
    const { other } = this;
    this.finish(undefined);
    // What was sent arrives first.
    setImmediate(() => setImmediate(() => other?.finish(undefined)));
  }

  abort(reason: Error): void {
    if (this.closed) return;
    this.#inbox = [];
    this.finish(reason);
    setImmediate(() => this.other?.finish(new Error('the peer aborted')));
  }

  finish(error: Error | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error, told: false };
    for (const waiter of this.#drained) waiter.reject(new Error('closed'));
    this.#drained = [];
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#receiver === undefined) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#work();
    });
  }

  #work(): void {
    while (!this.#paused && this.#inbox.length > 0) {
      const frame = this.#inbox.shift() as Uint8Array;
      this.other?.taken(frame.length);
      this.#receiver?.onFrame(frame);
    }
    if (this.#end !== undefined && !this.#end.told) {
      this.#end.told = true;
      this.#receiver?.onClose(this.#end.error);
    }
  }

  taken(bytes: number): void {
    this.#queued -= bytes;
    if (this.#queued >= highWaterBytes) return;
    for (const waiter of this.#drained) waiter.resolve();
    this.#drained = [];
  }
}

type Handler = { limits: ChannelLimits; onChannel: (channel: Channel) => void };

export class MemoryNode {
  readonly self: NodeId;
  readonly handlers = new Map<string, AgentHandler>();
  readonly protocols = new Map<string, Handler>();
  readonly channels: MemoryChannel[] = [];
  readonly errors: unknown[] = [];
  readonly misbehaviour: string[] = [];
  /** Agents this node believes to be elsewhere than they are. */
  readonly stale = new Map<string, NodeId>();
  readonly #gone = new Set<(id: string) => void>();
  readonly #events = new Emitter<MembershipEvents>((error) => this.errors.push(error));
  readonly #cluster: MemoryCluster;
  messaging!: BaseMessaging;

  constructor(cluster: MemoryCluster, name: string) {
    this.#cluster = cluster;
    this.self = name as NodeId;
  }

  register(id: string, handler: AgentHandler, metadata: Partial<AgentRecord> = {}): () => void {
    this.handlers.set(id, handler);
    this.#cluster.records.set(id, makeRecord(id, this.self, metadata));
    return () => {
      this.handlers.delete(id);
      if (this.#cluster.records.get(id)?.node === this.self) this.#cluster.records.delete(id);
      for (const listener of this.#gone) listener(id);
    };
  }

  readonly localHandlers: LocalHandlers = {
    get: (id) => this.handlers.get(id),
    onGone: (listener) => {
      this.#gone.add(listener);
      return () => void this.#gone.delete(listener);
    },
  };

  readonly registry = {
    lookup: (id: string): AgentRecord | undefined => {
      const record = this.#cluster.records.get(id);
      const stale = this.stale.get(id);
      return stale === undefined ? record : makeRecord(id, stale, record);
    },
    resolve: (target: string | Criteria, options?: ResolveOptions): AgentRecord | undefined => {
      const wanted = (target as { capabilities?: string }).capabilities ?? '';
      return [...this.#cluster.records.values()]
        .sort((a, b) => (a.id < b.id ? -1 : 1))
        .find((record) => record.capabilities.includes(wanted) && options?.exclude?.includes(record.id) !== true);
    },
  };

  readonly membership = {
    get: (id: NodeId) => this.#cluster.members.get(id) as never,
    on: <K extends keyof MembershipEvents>(type: K, listener: (event: MembershipEvents[K]) => void) =>
      this.#events.on(type, listener),
    heardFrom: () => undefined,
  };

  /** Tells this node what became of another. */
  announce(id: NodeId, state: MemberState): void {
    this.#events.emit('change', { member: { id, state } as never, previous: 'alive' });
  }
}

export function makeRecord(id: string, node: NodeId, more: Partial<AgentRecord> = {}): AgentRecord {
  return {
    capabilities: [],
    strong: undefined,
    kind: undefined,
    zone: 'default',
    health: 'healthy',
    capacity: {},
    preferences: { latencySensitive: false, consistency: 'eventual' },
    version: undefined,
    custom: {},
    claimedAt: 0,
    ...more,
    id,
    node,
  };
}

export interface NodeOptions {
  readonly limits?: Partial<MessagingLimits>;
  readonly heads?: RegistryHeads;
  readonly local?: boolean;
}

export class MemoryCluster {
  readonly records = new Map<string, AgentRecord>();
  readonly members = new Map<NodeId, { id: NodeId; state: MemberState }>();
  readonly nodes = new Map<NodeId, MemoryNode>();
  readonly clock: Clock;
  /** Nodes nobody can reach. */
  readonly unreachable = new Set<NodeId>();
  /** Awaited before a channel opens. */
  beforeOpen: () => Promise<void> = async () => undefined;

  constructor(clock: Clock = realClock) {
    this.clock = clock;
  }

  node(name: string, options: NodeOptions = {}): MemoryNode {
    const node = new MemoryNode(this, name);
    this.nodes.set(node.self, node);
    this.members.set(node.self, { id: node.self, state: 'alive' });
    const common = {
      self: node.self,
      registry: node.registry,
      handlers: node.localHandlers,
      clock: this.clock,
      rng: seededRng(1),
      limits: options.limits ?? {},
      onError: (error: unknown) => node.errors.push(error),
    };
    node.messaging =
      options.local === true
        ? new LocalMessaging(common)
        : new ClusterMessaging({
            ...common,
            ...(options.heads === undefined ? {} : { heads: options.heads }),
            membership: node.membership,
            ensureConnected: async (peer) => {
              if (this.unreachable.has(peer)) throw new QuorateError('PEER_UNREACHABLE', `${peer} is away.`);
            },
            onMisbehaviour: (_peer, reason) => node.misbehaviour.push(reason),
            network: {
              handle: (protocol, limits, onChannel) => void node.protocols.set(protocol, { limits, onChannel }),
              open: (peer, protocol) => this.open(node, peer, protocol),
            },
          });
    return node;
  }

  async open(from: MemoryNode, peer: NodeId, protocol: string): Promise<MemoryChannel> {
    await this.beforeOpen();
    const handler = this.nodes.get(peer)?.protocols.get(protocol);
    if (handler === undefined || this.unreachable.has(peer)) {
      throw new QuorateError('PEER_UNREACHABLE', `${peer} does not answer.`);
    }
    const here = new MemoryChannel(peer, protocol, handler.limits);
    const there = new MemoryChannel(from.self, protocol, handler.limits);
    here.other = there;
    there.other = here;
    from.channels.push(here);
    this.nodes.get(peer)?.channels.push(there);
    handler.onChannel(there);
    return here;
  }

  stop(): void {
    for (const node of this.nodes.values()) node.messaging.stop();
  }
}
