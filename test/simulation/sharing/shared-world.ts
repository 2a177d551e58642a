/**
 * Many nodes' shared entries in virtual time: what one writes reaches the others after a random delay, in order for each writer; nodes are killed and cut off,
 * and the others learn of it as late as failure detection would tell. For what is built on `SharedEntries`, without feeds and networks.
 */
import { type Clock, type Rng, seededRng } from '../../../src/clock.ts';
import type { NodeId } from '../../../src/node-id.ts';
import { SimulatedWorld, type SimulatedWorldOptions } from '../../../src/p2p/simulated/world.ts';
import type { SharedEntries, Standing } from '../../../src/protocols/sharing/shared-entries.ts';
import { ViewedEntries } from '../../../src/protocols/sharing/viewed-entries.ts';
import type { Value } from '../../../src/value.ts';

export interface SharedWorldOptions extends SimulatedWorldOptions {
  /** A killed process is known to be gone after so long. Default 150. */
  readonly goneAfterMs?: number;
  /** A node that cannot be reached is silent after so long, and removed after `removedAfterMs` more. Defaults 3,500 and 30,000. */
  readonly silentAfterMs?: number;
  readonly removedAfterMs?: number;
  /** One-way delay of entries, uniform. Default 1 to 20 ms. */
  readonly entryDelay?: { readonly minMs: number; readonly maxMs: number };
}

const rethrow = (error: unknown): never => {
  throw error;
};

export class SharedWorld {
  readonly time: SimulatedWorld;
  readonly nodes: SharedNode[] = [];
  readonly options: Required<Omit<SharedWorldOptions, keyof SimulatedWorldOptions>>;
  /** Group each node is in; those of different groups hear nothing of each other. */
  readonly #side = new Map<SharedNode, number>();

  constructor(options: SharedWorldOptions) {
    this.time = new SimulatedWorld(options);
    this.options = {
      goneAfterMs: options.goneAfterMs ?? 150,
      silentAfterMs: options.silentAfterMs ?? 3_500,
      removedAfterMs: options.removedAfterMs ?? 30_000,
      entryDelay: options.entryDelay ?? { minMs: 1, maxMs: 20 },
    };
  }

  /** A node that knows everybody, and whom everybody knows, from the start. */
  join(zone = 'default'): SharedNode {
    const node = new SharedNode(this, `node-${String(this.nodes.length + 1).padStart(3, '0')}` as NodeId, zone);
    for (const other of this.nodes) {
      if (other.alive && this.connected(node, other)) node.take(other.self, other.written);
    }
    this.nodes.push(node);
    for (const other of this.nodes) if (other.alive) other.nodesChanged();
    return node;
  }

  /** kill −9: never writes again; known to be gone soon. */
  kill(node: SharedNode): void {
    node.alive = false;
    this.#judgeLater(node, this.options.goneAfterMs, 'gone');
  }

  /** Says goodbye: its entries are gone at once. */
  leave(node: SharedNode): void {
    node.alive = false;
    this.#judgeLater(node, 0, 'gone');
  }

  /** Cuts the nodes off from all others until `heal`. */
  partition(nodes: readonly SharedNode[]): void {
    const side = this.#side.size + 1;
    for (const node of nodes) this.#side.set(node, side);
    const { silentAfterMs, removedAfterMs } = this.options;
    for (const a of this.nodes) {
      for (const b of this.nodes) {
        if (a === b || this.connected(a, b)) continue;
        this.time.clock.after(silentAfterMs, () => !this.connected(a, b) && a.judge(b.self, 'silent'));
        this.time.clock.after(silentAfterMs + removedAfterMs, () => !this.connected(a, b) && a.judge(b.self, 'gone'));
      }
    }
  }

  heal(): void {
    this.#side.clear();
    for (const a of this.nodes) {
      for (const b of this.nodes) {
        if (a === b || !a.alive || !b.alive) continue;
        this.time.clock.after(this.delay(), () => {
          // Gone in the meantime: that has been told by then, or will be.
          if (!b.alive) return;
          a.judge(b.self, 'live');
          a.catchUp(b);
        });
      }
    }
  }

  connected(a: SharedNode, b: SharedNode): boolean {
    return this.#side.get(a) === this.#side.get(b);
  }

  delay(): number {
    const { minMs, maxMs } = this.options.entryDelay;
    return minMs + this.time.rng.float() * (maxMs - minMs);
  }

  #judgeLater(node: SharedNode, afterMs: number, standing: Standing): void {
    for (const other of this.nodes) {
      if (other === node) continue;
      this.time.clock.after(afterMs + (afterMs > 0 ? this.delay() : 0), () => other.judge(node.self, standing));
    }
  }
}

export class SharedNode extends ViewedEntries implements SharedEntries {
  readonly self: NodeId;
  readonly zone: string;
  readonly clock: Clock;
  readonly rng: Rng;
  alive = true;
  /** Entries sent, by a count for tests of how much is said. */
  sent = 0;
  readonly written = new Map<string, Value>();
  readonly #world: SharedWorld;
  readonly #nodeListeners = new Set<() => void>();
  readonly #judged = new Map<NodeId, Standing>();
  /** When the last thing sent to each node arrives: a feed never overtakes itself. */
  readonly #arrivesAt = new Map<NodeId, number>();

  constructor(world: SharedWorld, self: NodeId, zone: string) {
    super(rethrow);
    this.#world = world;
    this.self = self;
    this.zone = zone;
    const { clock } = world.time;
    // A killed process runs no timers.
    this.clock = { ...clock, after: (ms, fire) => clock.after(ms, () => this.alive && fire()) };
    this.rng = seededRng(world.time.rng.below(2 ** 32));
  }

  set(key: string, value: Value): void {
    if (!this.alive) return;
    const copy = structuredClone(value);
    if (this.written.has(key) && JSON.stringify(this.written.get(key)) === JSON.stringify(copy)) return;
    this.written.set(key, copy);
    this.#tell(key, copy);
  }

  delete(key: string): void {
    if (this.alive && this.written.delete(key)) this.#tell(key, undefined);
  }

  #tell(key: string, value: Value): void {
    this.sent += 1;
    this.view.apply([{ author: this.self, key, value }]);
    for (const other of this.#world.nodes) {
      if (other === this || !other.alive) continue;
      const arrival = this.#world.time.now + this.#world.delay();
      const at = Math.max(arrival, this.#arrivesAt.get(other.self) ?? 0);
      this.#arrivesAt.set(other.self, at);
      this.#world.time.clock.after(at - this.#world.time.now, () => {
        if (other.alive && this.#world.connected(this, other)) other.take(this.self, [[key, value]]);
      });
    }
  }

  /** Entries of another arrive. */
  take(author: NodeId, entries: Iterable<readonly [string, Value]>): void {
    this.view.apply([...entries].map(([key, value]) => ({ author, key, value })));
  }

  /** Everything that another has written, and nothing that it has deleted meanwhile. */
  catchUp(other: SharedNode): void {
    const deleted = [...this.view.keys()].filter((key) => !other.written.has(key) && this.of(key).has(other.self));
    this.take(other.self, [...other.written, ...deleted.map((key) => [key, undefined] as const)]);
  }

  judge(node: NodeId, standing: Standing): void {
    if (!this.alive || this.standing(node) === standing) return;
    this.#judged.set(node, standing);
    if (standing === 'live') this.view.show(node);
    else this.view.hide(node);
    this.nodesChanged();
  }

  nodesChanged(): void {
    for (const listener of [...this.#nodeListeners]) listener();
  }

  own(key: string): Value {
    return this.written.get(key);
  }

  nodes(): readonly NodeId[] {
    return this.#world.nodes.map(({ self }) => self).filter((id) => this.standing(id) === 'live');
  }

  onNodes(listener: () => void): () => void {
    this.#nodeListeners.add(listener);
    return () => void this.#nodeListeners.delete(listener);
  }

  zoneOf(node: NodeId): string | undefined {
    return this.#world.nodes.find(({ self }) => self === node)?.zone;
  }

  standing(node: NodeId): Standing {
    if (node === this.self) return 'live';
    const judged = this.#judged.get(node);
    if (judged !== undefined) return judged;
    return this.#world.nodes.some(({ self }) => self === node) ? 'live' : 'unknown';
  }
}
