/**
 * Indexes over the visible records: capability, zone, node, kind and health → a bucket of slots. A query walks the
 * smallest bucket that answers one of its tests and checks the other tests on each record of it.
 *
 * Buckets hold slots, not records: a change that touches no indexed field replaces the record in its slot
 * and no bucket at all. Buckets are sorted by id, so answers come out in order; but only when somebody
 * reads them. Until then additions and removals just wait, so a change costs the same however many agents
 * there are, and the reader, who walks the bucket anyway, merges them in.
 */
import type { AgentId } from '../value.ts';
import type { IndexedField, Test } from './registry-criteria.ts';
import type { AgentRecord } from './registry-record.ts';

/** The place of one id; `record` is what is visible under it now, if anything. */
export interface Slot {
  readonly id: AgentId;
  record: AgentRecord | undefined;
}

type BucketField = Exclude<IndexedField, 'id'>;
const bucketFields: readonly BucketField[] = ['capabilities', 'zone', 'node', 'kind', 'health'];

/** Up to this length a bucket is kept sorted at once: it costs little, and less than to keep what waits. */
const smallBucket = 64;

/** Up to this many waiting changes, single insertions cost less than a pass over the bucket. */
const fewChanges = 8;

const byId = (a: Slot, b: Slot): number => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

const nothing: readonly string[] = [];

function keysOf(record: AgentRecord, field: BucketField): readonly string[] {
  if (field === 'capabilities') return record.capabilities;
  const key = record[field];
  return key === undefined ? nothing : [key];
}

/** Where `id` is in the sorted bucket, or where it belongs. */
function position(bucket: readonly Slot[], id: AgentId): number {
  let low = 0;
  let high = bucket.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((bucket[middle] as Slot).id < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A set of slots that is read in order of their ids. */
class Bucket {
  readonly #sorted: Slot[] = [];
  /** `coming` is not yet in `#sorted`, `going` still is. Small buckets, of which there may be many, have none waiting. */
  #waiting: { readonly coming: Set<Slot>; readonly going: Set<Slot> } | undefined;

  get size(): number {
    const waiting = this.#waiting;
    return this.#sorted.length + (waiting === undefined ? 0 : waiting.coming.size - waiting.going.size);
  }

  add(slot: Slot): void {
    const waiting = this.#waitingOrNone();
    if (waiting === undefined) this.#sorted.splice(position(this.#sorted, slot.id), 0, slot);
    else if (!waiting.going.delete(slot)) waiting.coming.add(slot);
  }

  remove(slot: Slot): void {
    const waiting = this.#waitingOrNone();
    if (waiting === undefined) this.#sorted.splice(position(this.#sorted, slot.id), 1);
    else if (!waiting.coming.delete(slot)) waiting.going.add(slot);
  }

  /** The slots in order; the caller must not change or keep the list. */
  read(): readonly Slot[] {
    if (this.#waiting !== undefined) this.#merge(this.#waiting.coming, this.#waiting.going);
    return this.#sorted;
  }

  /** Merges when much waits, since a bucket that nobody reads must not hold on to what was removed. */
  #waitingOrNone(): { readonly coming: Set<Slot>; readonly going: Set<Slot> } | undefined {
    const length = this.#sorted.length;
    if (this.#waiting === undefined) {
      if (length >= smallBucket) this.#waiting = { coming: new Set(), going: new Set() };
    } else if (this.#waiting.coming.size + this.#waiting.going.size > length) {
      this.#merge(this.#waiting.coming, this.#waiting.going);
    }
    return this.#waiting;
  }

  #merge(coming: ReadonlySet<Slot>, going: ReadonlySet<Slot>): void {
    const sorted = this.#sorted;
    if (coming.size + going.size <= fewChanges) {
      for (const slot of going) sorted.splice(position(sorted, slot.id), 1);
      for (const slot of coming) sorted.splice(position(sorted, slot.id), 0, slot);
    } else {
      let kept = 0;
      for (const slot of sorted) if (!going.has(slot)) sorted[kept++] = slot;
      sorted.length = kept;
      // Two sorted runs one after the other are what TimSort merges in linear time.
      for (const slot of [...coming].sort(byId)) sorted.push(slot);
      sorted.sort(byId);
    }
    this.#waiting = undefined;
  }
}

export class AgentIndex {
  readonly #all = new Bucket();
  readonly #buckets: { readonly [K in BucketField]: Map<string, Bucket> } = {
    capabilities: new Map(),
    zone: new Map(),
    node: new Map(),
    kind: new Map(),
    health: new Map(),
  };
  readonly #find: (id: AgentId) => Slot | undefined;

  /** `find` gives the slot of an id. */
  constructor(find: (id: AgentId) => Slot | undefined) {
    this.#find = find;
  }

  get size(): number {
    return this.#all.size;
  }

  /** The slot showed `before` and shows `after` from now on; setting its record is the caller's part. */
  move(slot: Slot, before: AgentRecord | undefined, after: AgentRecord | undefined): void {
    if (before === undefined) this.#all.add(slot);
    else if (after === undefined) this.#all.remove(slot);
    for (const field of bucketFields) {
      if (before !== undefined && after !== undefined && before[field] === after[field]) continue;
      const old = before === undefined ? nothing : keysOf(before, field);
      const now = after === undefined ? nothing : keysOf(after, field);
      const buckets = this.#buckets[field];
      for (const key of old) {
        const bucket = now.includes(key) ? undefined : buckets.get(key);
        bucket?.remove(slot);
        if (bucket?.size === 0) buckets.delete(key);
      }
      for (const key of now) {
        if (old.includes(key)) continue;
        let bucket = buckets.get(key);
        if (bucket === undefined) {
          bucket = new Bucket();
          buckets.set(key, bucket);
        }
        bucket.add(slot);
      }
    }
  }

  /** A fresh list of the records for which all tests hold, ordered by id; at most `limit`. */
  select(tests: readonly Test[], limit = Number.POSITIVE_INFINITY): AgentRecord[] {
    const found: AgentRecord[] = [];
    if (limit <= 0) return found;
    const best = this.#mostSelective(tests);
    for (const slot of best === undefined ? this.#all.read() : this.#candidates(best)) {
      const record = slot.record as AgentRecord;
      if (!passes(record, tests, best)) continue;
      found.push(record);
      if (found.length >= limit) break;
    }
    return found;
  }

  count(tests: readonly Test[]): number {
    const best = this.#mostSelective(tests);
    const candidates = best === undefined ? this.#all.read() : this.#candidates(best);
    if (tests.length === (best === undefined ? 0 : 1)) return candidates.length;
    let count = 0;
    for (const slot of candidates) if (passes(slot.record as AgentRecord, tests, best)) count += 1;
    return count;
  }

  #mostSelective(tests: readonly Test[]): Test | undefined {
    let best: Test | undefined;
    let least = this.#all.size;
    for (const test of tests) {
      if (test.index === undefined) continue;
      let size = 0;
      if (test.index === 'id') size = test.keys.length;
      else for (const key of test.keys) size += this.#buckets[test.index].get(key)?.size ?? 0;
      if (size < least || (size === least && best === undefined)) {
        best = test;
        least = size;
      }
    }
    return best;
  }

  /** The slots that pass an indexed test, sorted; a bucket's own list where one key is asked for. */
  #candidates(test: Test): readonly Slot[] {
    const { index, keys } = test;
    if (index === 'id') {
      const slots: Slot[] = [];
      for (const id of keys) {
        const slot = this.#find(id);
        if (slot?.record !== undefined) slots.push(slot);
      }
      return slots.sort(byId);
    }
    const buckets = this.#buckets[index as BucketField];
    if (keys.length === 1) return buckets.get(keys[0] as string)?.read() ?? [];
    const union = new Set<Slot>();
    for (const key of keys) for (const slot of buckets.get(key)?.read() ?? []) union.add(slot);
    return [...union].sort(byId);
  }
}

/** Whether all tests hold but `known`, which the index has answered. */
function passes(record: AgentRecord, tests: readonly Test[], known: Test | undefined): boolean {
  for (const test of tests) if (test !== known && !test.holds(record)) return false;
  return true;
}
