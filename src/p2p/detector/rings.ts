/**
 * Who watches whom: K hash rings over the members (Suresh et al., "Stable and Consistent Membership at
 * Scale with Rapid", USENIX ATC 2018, section 4.1).
 *
 * Intuition: each ring is another random order of the members. A node is observed by its predecessor on
 * every ring and observes its successors. The union of K random rings is an expander: any small set of
 * nodes has many watchers outside of it, whatever the failure, while each node watches about K others.
 *
 * Invariants, for n members besides the node asked about:
 * - `observersOf(x)` names exactly min(K, n) distinct nodes, never `x`. Where the predecessor on a ring is
 *   taken already, the walk goes on to the next one; otherwise one node could be the only observer of
 *   another in a small mesh, and its word alone would count.
 * - It depends on the set of members and nothing else, not on the order in which they came or went.
 * - `subjectsOf` is its exact inverse over the members.
 */
import { createHash } from 'node:crypto';
import type { NodeId } from '../../node-id.ts';

/** Rings, and so observers of each node. Rapid uses 10; 5 keeps a node at about 10 links and still gives two honest observers with high probability. */
export const ringCount = 5;

interface Place {
  readonly id: NodeId;
  /** Position on each ring: the first 64 bits of SHA-256(ring, id). */
  readonly at: readonly bigint[];
}

export class Rings {
  readonly #places = new Map<NodeId, Place>();
  #version = 0;
  readonly #rings: readonly Place[][] = Array.from({ length: ringCount }, () => []);

  /** Rises with each change of the members. */
  get version(): number {
    return this.#version;
  }

  get size(): number {
    return this.#places.size;
  }

  has(id: NodeId): boolean {
    return this.#places.has(id);
  }

  members(): Iterable<NodeId> {
    return this.#places.keys();
  }

  /** False when it was a member already. */
  add(id: NodeId): boolean {
    if (this.#places.has(id)) return false;
    const place = placeOf(id);
    this.#places.set(id, place);
    this.#version += 1;
    for (const [ring, order] of this.#rings.entries()) order.splice(indexIn(order, ring, place), 0, place);
    return true;
  }

  /** False when it was no member. */
  remove(id: NodeId): boolean {
    const place = this.#places.get(id);
    if (place === undefined) return false;
    this.#places.delete(id);
    this.#version += 1;
    for (const [ring, order] of this.#rings.entries()) order.splice(indexIn(order, ring, place), 1);
    return true;
  }

  /** Who watches `id`, over the members and `id` itself, which need not be one. */
  observersOf(id: NodeId): NodeId[] {
    const place = this.#places.get(id) ?? placeOf(id);
    const observers: NodeId[] = [];
    for (let ring = 0; ring < ringCount; ring++) {
      const observer = this.#predecessor(ring, place, observers);
      if (observer === undefined) break;
      observers.push(observer);
    }
    return observers;
  }

  /** Whom `id` watches: the members that have it among their observers. `id` need not be a member. */
  subjectsOf(id: NodeId): NodeId[] {
    const added = this.add(id);
    const place = this.#places.get(id) as Place;
    const candidates = new Set<NodeId>();
    for (const [ring, order] of this.#rings.entries()) {
      const index = indexIn(order, ring, place);
      // At most K - 1 nearer predecessors can be taken by other rings, so an observer is never further off.
      for (let step = 1; step <= Math.min(ringCount, order.length - 1); step++) {
        candidates.add((order[(index + step) % order.length] as Place).id);
      }
    }
    const subjects = [...candidates].filter((candidate) => this.observersOf(candidate).includes(id));
    if (added) this.remove(id);
    return subjects.sort();
  }

  /** The nearest member before `place` on a ring that is neither itself nor taken. */
  #predecessor(ring: number, place: Place, taken: readonly NodeId[]): NodeId | undefined {
    const order = this.#rings[ring] as Place[];
    const start = indexIn(order, ring, place);
    for (let step = 1; step <= order.length; step++) {
      const { id } = order[(start - step + 2 * order.length) % order.length] as Place;
      if (id !== place.id && !taken.includes(id)) return id;
    }
    return undefined;
  }
}

/** Hashes of nodes seen before; every ring of every view in the process shares them. */
const places = new Map<NodeId, Place>();
const maxPlaces = 65_536;

function placeOf(id: NodeId): Place {
  const known = places.get(id);
  if (known !== undefined) return known;
  const at = Array.from({ length: ringCount }, (_, ring) =>
    createHash('sha256').update(Uint8Array.of(ring)).update(id).digest().readBigUInt64BE(0),
  );
  const place = { id, at };
  if (places.size >= maxPlaces) places.clear();
  places.set(id, place);
  return place;
}

/** Where `place` stands, or would stand, in the order of a ring; equal hashes are ordered by id. */
function indexIn(order: readonly Place[], ring: number, place: Place): number {
  const at = place.at[ring] as bigint;
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = order[middle] as Place;
    const otherAt = other.at[ring] as bigint;
    if (otherAt < at || (otherAt === at && other.id < place.id)) low = middle + 1;
    else high = middle;
  }
  return low;
}
