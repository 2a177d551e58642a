/**
 * Nodes with membership and nothing else in a simulated world. Their feeds are replicated by the simplest
 * thing that works: each author's whole feed as one numbered message, broadcast when it changes, and all
 * feeds exchanged when two nodes connect and every few seconds with a random peer.
 */
import type { Clock, Timer } from '../../../src/clock.ts';
import { decodeValue, encodeValue } from '../../../src/codec.ts';
import type { FeedChange, FeedHead, Feeds, StoreName } from '../../../src/crdt/feeds.ts';
import { createIdentity, type Identity } from '../../../src/identity.ts';
import type { NodeId } from '../../../src/node-id.ts';
import type { Network } from '../../../src/p2p/network.ts';
import type { SimulatedNetwork } from '../../../src/p2p/simulated/network.ts';
import { SimulatedWorld, type SimulatedWorldOptions } from '../../../src/p2p/simulated/world.ts';
import type { MemberState } from '../../../src/protocols/membership/membership.ts';
import { MeshMembership } from '../../../src/protocols/membership/mesh-membership.ts';
import type { MeshMembershipOptions } from '../../../src/protocols/membership/settings.ts';
import type { Value } from '../../../src/value.ts';

const topic = 'test/feeds';
const syncProtocol = '/test/sync/1';
const maxBytes = 65_536;

interface Feed {
  epoch: number;
  seq: number;
  entries: Map<string, Value>;
  bytes: Uint8Array;
}

export class MemoryFeeds implements Feeds {
  readonly self: NodeId;
  readonly #feeds = new Map<NodeId, Feed>();
  readonly #listeners = new Set<(changes: readonly FeedChange[]) => void>();
  readonly #network: Network;
  readonly #clock: Clock;
  readonly #epoch: number;
  #dirty = false;
  #timer: Timer | undefined;
  #random: () => number;

  constructor(network: SimulatedNetwork, epoch: number) {
    this.self = network.self;
    this.#network = network;
    this.#clock = network.clock;
    this.#epoch = epoch;
    this.#random = () => network.rng.float();
    network.subscribe(topic, maxBytes, (data) => (this.#receive(data) ? 'accept' : 'ignore'));
    network.handle(syncProtocol, { maxFrameBytes: maxBytes, maxInboundPerPeer: 16 }, (channel) =>
      channel.listen({ onFrame: (bytes) => this.#receiveAndPass(bytes), onClose: () => undefined }),
    );
    network.on('peer:connected', ({ peer }) => void this.#sync(peer));
    this.#armRepair();
  }

  set(store: StoreName, key: string, value: Value): void {
    this.#write(store, key, value);
  }

  delete(store: StoreName, key: string): void {
    this.#write(store, key, undefined);
  }

  get(author: NodeId, _store: StoreName, key: string): Value {
    return this.#feeds.get(author)?.entries.get(key);
  }

  entries(author: NodeId, _store: StoreName): ReadonlyMap<string, Value> {
    return this.#feeds.get(author)?.entries ?? new Map();
  }

  authors(_store: StoreName): Iterable<NodeId> {
    return this.#feeds.keys();
  }

  head(): FeedHead | undefined {
    return undefined;
  }

  onChange(listener: (changes: readonly FeedChange[]) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #write(store: StoreName, key: string, value: Value): void {
    const feed = this.#feeds.get(this.self) ?? {
      epoch: this.#epoch,
      seq: 0,
      entries: new Map(),
      bytes: new Uint8Array(),
    };
    this.#feeds.set(this.self, feed);
    const previous = feed.entries.get(key);
    if (value === undefined) feed.entries.delete(key);
    else feed.entries.set(key, value);
    feed.seq += 1;
    feed.bytes = encodeValue({ author: this.self, epoch: feed.epoch, seq: feed.seq, entries: feed.entries });
    if (!this.#dirty) {
      this.#dirty = true;
      queueMicrotask(() => {
        this.#dirty = false;
        this.#network.publish(topic, feed.bytes).catch(() => undefined); // Stopped: nobody to tell.
      });
    }
    this.#tell([{ author: this.self, store, key, value, previous }]);
  }

  #receive(bytes: Uint8Array): boolean {
    const decoded = decodeValue(bytes);
    if (!decoded.ok) throw new Error('not a feed');
    const { author, epoch, seq, entries } = decoded.value as unknown as Feed & { author: NodeId };
    if (author === this.self) return false;
    const known = this.#feeds.get(author);
    if (known !== undefined && (known.epoch > epoch || (known.epoch === epoch && known.seq >= seq))) return false;
    this.#feeds.set(author, { epoch, seq, entries, bytes: bytes.slice() });
    const keys = new Set([...entries.keys(), ...(known?.entries.keys() ?? [])]);
    this.#tell(
      [...keys].map((key) => ({
        author,
        store: 'members',
        key,
        value: entries.get(key),
        previous: known?.entries.get(key),
      })),
    );
    return true;
  }

  #receiveAndPass(bytes: Uint8Array): void {
    if (this.#receive(bytes)) this.#network.publish(topic, bytes).catch(() => undefined); // Stopped meanwhile.
  }

  async #sync(peer: NodeId): Promise<void> {
    try {
      const channel = await this.#network.open(peer, syncProtocol);
      for (const { bytes } of this.#feeds.values()) channel.send(bytes);
      await channel.close();
    } catch {
      // The link is gone again; the next one, or the repair, does it.
    }
  }

  #armRepair(): void {
    this.#timer = this.#clock.after(4_000 + 2_000 * this.#random(), () => {
      const peers = this.#network.peers();
      const peer = peers[Math.floor(this.#random() * peers.length)];
      if (peer !== undefined) void this.#sync(peer);
      this.#armRepair();
    });
  }

  #tell(changes: readonly FeedChange[]): void {
    for (const listener of this.#listeners) listener(changes);
  }
}

export interface StateChange {
  readonly at: number;
  readonly member: NodeId;
  readonly state: MemberState;
  readonly previous: MemberState | undefined;
}

export interface TestNode {
  readonly name: string;
  readonly identity: Identity;
  readonly network: SimulatedNetwork;
  readonly feeds: MemoryFeeds;
  readonly membership: MeshMembership;
  /** Every state this node saw others in. */
  readonly history: StateChange[];
  crashed: boolean;
}

export class MembersWorld {
  readonly world: SimulatedWorld;
  readonly nodes: TestNode[] = [];
  readonly errors: string[] = [];
  #epoch = 0;

  constructor(options: SimulatedWorldOptions) {
    this.world = new SimulatedWorld(options);
  }

  get now(): number {
    return this.world.now;
  }

  /** Starts a node; by default it joins by the first one. A restart takes the identity and place of `before`. */
  async start(
    options: Partial<MeshMembershipOptions> & {
      readonly before?: TestNode;
      readonly identity?: Identity;
      readonly host?: string;
      readonly meshName?: string;
      readonly wallSkewMs?: number;
      readonly clockDrift?: number;
    } = {},
  ): Promise<TestNode> {
    const { before, host, meshName, wallSkewMs = 0, clockDrift = 0, ...rest } = options;
    const name = `n${this.nodes.length}`;
    this.#epoch += 1;
    const seed = new Uint8Array(32);
    new DataView(seed.buffer).setUint32(0, this.world.seed);
    new DataView(seed.buffer).setUint32(4, this.nodes.length);
    const identity = before?.identity ?? options.identity ?? createIdentity(seed);
    const network = this.world.network(identity, {
      epoch: this.#epoch,
      wallSkewMs,
      clockDrift,
      ...(host === undefined ? {} : { host }),
      ...(meshName === undefined ? {} : { meshName }),
      onError: (error) => this.errors.push(String(error)),
    });
    const feeds = new MemoryFeeds(network, this.#epoch);
    const first = this.nodes.find(({ crashed, identity: { id } }) => !crashed && id !== identity.id);
    const bootstrap = first === undefined ? [] : [...first.network.addresses()];
    const membership = new MeshMembership(
      { feeds, network, clock: network.clock, rng: network.rng },
      { bootstrap, zone: 'z', roles: [], capacity: {}, version: '0.1.0', logger: this.#logger(name), ...rest },
    );
    const history: StateChange[] = [];
    membership.on('change', ({ member, previous }) => {
      if (member.state !== previous) history.push({ at: this.now, member: member.id, state: member.state, previous });
    });
    await network.start();
    membership.start();
    const node = { name, identity, network, feeds, membership, history, crashed: false };
    this.nodes.push(node);
    return node;
  }

  /** A mesh of `count` nodes that all know each other and have their links. */
  async formed(count: number, options: Partial<MeshMembershipOptions> = {}): Promise<TestNode[]> {
    const nodes: TestNode[] = [];
    for (let i = 0; i < count; i++) nodes.push(await this.start(options));
    await this.world.until(() => this.agree(nodes, nodes), 60_000);
    await this.world.run(15_000);
    return nodes;
  }

  crash(node: TestNode): void {
    node.crashed = true;
    this.world.crash(node.network);
  }

  async stop(): Promise<void> {
    for (const node of this.nodes) {
      node.membership.stop();
      node.feeds.stop();
      await node.network.stop();
    }
  }

  /** Do all `judges` see all `members` alive, and no others alive? */
  agree(judges: readonly TestNode[], members: readonly TestNode[]): boolean {
    const ids = new Set(members.map(({ identity }) => identity.id));
    return judges.every(({ membership }) => {
      const alive = membership.members().filter(({ state }) => state === 'alive');
      return alive.length === ids.size && alive.every(({ id }) => ids.has(id));
    });
  }

  /** True when all `judges` have `node` in one of `states`. */
  seenAs(judges: readonly TestNode[], node: TestNode, ...states: MemberState[]): boolean {
    return judges.every(({ membership }) => {
      const state = membership.get(node.identity.id)?.state;
      return state !== undefined && states.includes(state);
    });
  }

  /** Verdicts since `since`, at any of `judges`, about members other than `guilty`. */
  falseVerdicts(judges: readonly TestNode[], guilty: readonly TestNode[], since = 0): string[] {
    const allowed = new Set(guilty.map(({ identity }) => identity.id));
    const nameOf = (id: NodeId): string => this.nodes.find(({ identity }) => identity.id === id)?.name ?? id;
    return judges.flatMap((judge) =>
      judge.history
        .filter(({ at, member, state, previous }) => {
          // From unreachable to removed is no new verdict, only more time.
          const isNew = isDown(state) && !(previous !== undefined && isDown(previous));
          return at >= since && !allowed.has(member) && isNew;
        })
        .map(({ at, member, state }) => `${judge.name} saw ${nameOf(member)} ${state} at ${Math.round(at)}`),
    );
  }

  #logger(name: string): MeshMembershipOptions['logger'] {
    const ignore = (): void => undefined;
    const keep = (message: string, data?: Readonly<Record<string, unknown>>): void => {
      this.errors.push(`${name}: ${message} ${String(data?.['error'])}`);
    };
    return { debug: ignore, info: ignore, warn: keep, error: keep };
  }
}

function isDown(state: MemberState): boolean {
  return state === 'unreachable' || state === 'removed';
}
