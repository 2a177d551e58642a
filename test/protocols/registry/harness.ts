/** Registries over real feeds and a membership set by hand; envelopes pass between them when a test says so. */
import type { Clock, Timer } from '../../../src/clock.ts';
import { seededRng } from '../../../src/clock.ts';
import { FeedStore } from '../../../src/crdt/feed-store.ts';
import { Emitter } from '../../../src/emitter.ts';
import { HybridClock } from '../../../src/hlc.ts';
import { createIdentity, type Identity } from '../../../src/identity.ts';
import type { NodeId } from '../../../src/node-id.ts';
import type {
  Accusation,
  Member,
  MemberState,
  Membership,
  MembershipEvents,
} from '../../../src/protocols/membership/membership.ts';
import { ClusterRegistry, type ClusterRegistryDependencies } from '../../../src/protocols/registry/cluster-registry.ts';

/** A listener's exception must fail the test that caused it. */
export const rethrow = (error: unknown): never => {
  throw error;
};

/** Time that stands still until a test moves it. */
export class ManualClock implements Clock {
  #now = 1_700_000_000_000;
  #timers: { readonly at: number; readonly fire: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  wallNow(): number {
    return this.#now;
  }

  after(delayMs: number, fire: () => void): Timer {
    const timer = { at: this.#now + delayMs, fire };
    this.#timers.push(timer);
    const cancel = (): void => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
    return { cancel };
  }

  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.at);
      next.fire();
    }
    this.#now = end;
  }
}

/** Everybody a test names is what the test says it is. */
export class ScriptedMembership implements Membership {
  readonly self: NodeId;
  readonly #members = new Map<NodeId, Member>();
  readonly #events = new Emitter<MembershipEvents>(rethrow);

  constructor(self: NodeId) {
    this.self = self;
    this.become(self, 'alive', 0);
  }

  become(id: NodeId, state: MemberState, rttMs?: number): void {
    const previous = this.#members.get(id);
    const info = { addresses: [], zone: 'test', roles: [], capacity: {}, version: '0', incarnation: 0, startedAt: 0 };
    const member: Member = { ...info, id, state, since: 0, rttMs: rttMs ?? previous?.rttMs };
    this.#members.set(id, member);
    this.#events.emit('change', { member, previous: previous?.state });
  }

  get(id: NodeId): Member | undefined {
    return this.#members.get(id);
  }

  members(): readonly Member[] {
    return [...this.#members.values()];
  }

  /** What `accusations` answers. */
  standing: readonly Accusation[] = [];

  accusations(of?: NodeId): readonly Accusation[] {
    return this.standing.filter(({ accused }) => of === undefined || accused === of);
  }

  heardFrom(): void {
    // The script says who is alive.
  }

  on<K extends keyof MembershipEvents>(type: K, listener: (event: MembershipEvents[K]) => void): () => void {
    return this.#events.on(type, listener);
  }
}

export interface ClusterOptions {
  readonly identity?: Identity;
  readonly epoch?: number;
  readonly zone?: string;
  readonly clock?: Clock;
  /** How far this node's wall clock is off. */
  readonly skewMs?: number;
  readonly maxAgents?: number;
}

export function createClusterDependencies(options: ClusterOptions = {}): ClusterRegistryDependencies & {
  readonly feeds: FeedStore;
  readonly membership: ScriptedMembership;
} {
  const { identity = createIdentity(), clock = new ManualClock(), skewMs = 0 } = options;
  const skewed: Clock = {
    now: () => clock.now(),
    wallNow: () => clock.wallNow() + skewMs,
    after: (delayMs, fire) => clock.after(delayMs, fire),
  };
  return {
    self: identity.id,
    zone: options.zone ?? 'test',
    clock: skewed,
    hlc: new HybridClock(() => skewed.wallNow()),
    rng: seededRng(1),
    maxAgents: options.maxAgents ?? 1_000,
    feeds: new FeedStore({ mesh: 'test', identity, epoch: options.epoch ?? 1, onListenerError: rethrow }),
    membership: new ScriptedMembership(identity.id),
    flush: () => undefined,
    onListenerError: rethrow,
  };
}

/** A node of a test mesh. */
export class TestNode {
  readonly feeds: FeedStore;
  readonly membership: ScriptedMembership;
  readonly registry: ClusterRegistry;
  readonly id: NodeId;
  readonly #clock: Clock;

  constructor(options: ClusterOptions = {}) {
    const dependencies = createClusterDependencies(options);
    this.feeds = dependencies.feeds;
    this.membership = dependencies.membership;
    this.#clock = dependencies.clock;
    this.id = dependencies.self;
    this.registry = new ClusterRegistry(dependencies);
  }

  /** Signs what changed and keeps it for repair; the envelopes of just that. */
  flush(): Uint8Array[] {
    return this.feeds.flush();
  }

  receive(envelopes: Iterable<Uint8Array>): void {
    for (const envelope of envelopes) this.feeds.receive(envelope, this.#clock.now(), { paced: false });
  }

  /** Takes from `other` all it has of everybody: one way of a repair. */
  pullFrom(other: TestNode): void {
    other.flush();
    for (const author of [...other.feeds.authors('registry')]) {
      if (author === this.id) continue;
      this.receive(other.feeds.envelopesAfter(author, 'registry', this.feeds.head(author, 'registry')));
    }
  }
}

/** Everybody hears everything of everybody, and all think each other alive. */
export function converge(...nodes: readonly TestNode[]): void {
  for (const node of nodes) for (const other of nodes) node.membership.become(other.id, 'alive');
  // What one hears may make it give up an id, so again until nobody has anything to say.
  for (let round = 0; round < 3; round++) {
    for (const node of nodes) for (const other of nodes) if (node !== other) node.pullFrom(other);
  }
}
