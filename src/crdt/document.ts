/**
 * The state of one feed: what a Y.Doc with one root map, whose values are CBOR bytes, would hold after the
 * same updates, and the decoded values.
 *
 * Intuition: a feed has one writer, so nothing in it is ever concurrent. Yjs gives the encoding of deltas
 * and snapshots; of its freedom nothing is needed, and everything not needed is refused. What is left of a
 * document then is a clock and the newest item of each key, which are kept here directly: a Y.Doc would check
 * nothing that was not checked before it, and cost more than all the checks (a property test keeps the two alike).
 *
 * An update is accepted only when it is what an honest author's document would have produced next:
 * - V1 encoding, one client (id 1), no gap: the first clock is the document's clock;
 * - items are entries of the root map `e` with binary content, each key at most once per update; the item
 *   of a new key has no origin, that of a known key has exactly its newest item as origin, so that Yjs
 *   never has a conflict to resolve (its cost per conflict grows with the number of items);
 * - deletions name existing items of that client;
 * - a snapshot starts at clock 0 and deletes nothing.
 *
 * Invariants: `values` mirrors the live entries. A refused update has changed nothing.
 */
import * as Y from 'yjs';
import { decodeValue } from '../codec.ts';
import type { Value } from '../value.ts';
import type { FeedLimits } from './limits.ts';
import { type CheckedUpdate, checkUpdate, rootName } from './update-check.ts';

/** One entry became `value` (undefined with `deleted`). */
export interface EntryChange {
  readonly key: string;
  readonly value: Value;
  readonly previous: Value;
}

/**
 * Why an update was refused. `malformed`: no honest author writes it, whatever its settings are. `limit`:
 * it asks for more than this node gives, which the author may not know.
 */
export interface Fault {
  readonly fault: 'malformed' | 'limit';
  readonly reason: string;
}

/** A document for one feed. Its guid and client id are fixed, so that nothing random is inside. */
export function createFeedDoc(client: number): Y.Doc {
  const doc = new Y.Doc({ guid: 'feed' });
  doc.clientID = client;
  return doc;
}

/** Writes entries into a document in one transaction; the update that carries them. `undefined` deletes. */
export function writeEntries(doc: Y.Doc, entries: Iterable<readonly [string, Uint8Array | undefined]>): Uint8Array {
  let update = new Uint8Array([0, 0]);
  const capture = (bytes: Uint8Array): void => {
    update = new Uint8Array(bytes);
  };
  doc.on('update', capture);
  try {
    const root = doc.getMap<Uint8Array>(rootName);
    doc.transact(() => {
      for (const [key, bytes] of entries) {
        if (bytes === undefined) root.delete(key);
        else root.set(key, bytes);
      }
    });
  } finally {
    doc.off('update', capture);
  }
  return update;
}

/** The newest item of one key. A key once written stays known until the next snapshot, as in Yjs. */
interface Newest {
  readonly clock: number;
  /** What it holds, as a view of the envelope that brought it; undefined once deleted. */
  readonly bytes: Uint8Array | undefined;
}

export class FeedDocument {
  readonly values = new Map<string, Value>();
  readonly #newest = new Map<string, Newest>();
  /** The keys of the newest items, by their clocks. */
  readonly #keyAt = new Map<number, string>();
  #clock = 0;

  private constructor() {}

  /** The state that a snapshot's payload holds. Keeps views of `payload`. */
  static fromSnapshot(payload: Uint8Array, limits: FeedLimits): FeedDocument | Fault {
    const document = new FeedDocument();
    const checked = checkUpdate(payload);
    if (typeof checked === 'string') return malformed(checked);
    if (checked.deletions.length > 0) return malformed('snapshot with deletions');
    const result = document.#applyChecked(checked, limits);
    return 'fault' in result ? result : document;
  }

  /** Applies a delta's payload, of which it keeps views; on a fault nothing has changed. */
  apply(payload: Uint8Array, limits: FeedLimits): readonly EntryChange[] | Fault {
    const checked = checkUpdate(payload);
    if (typeof checked === 'string') return malformed(checked);
    return this.#applyChecked(checked, limits);
  }

  /** What changes for a reader when `next` replaces `former`. Unchanged entries keep their value objects. */
  static difference(former: FeedDocument | undefined, next: FeedDocument): EntryChange[] {
    const changes: EntryChange[] = [];
    for (const [key, value] of next.values) {
      const before = former === undefined ? undefined : former.#newest.get(key)?.bytes;
      const now = next.#newest.get(key)?.bytes;
      if (before !== undefined && now !== undefined && Buffer.compare(before, now) === 0) {
        next.values.set(key, former?.values.get(key));
      } else changes.push({ key, value, previous: former?.values.get(key) });
    }
    for (const [key, previous] of former?.values ?? []) {
      if (!next.values.has(key)) changes.push({ key, value: undefined, previous });
    }
    return changes;
  }

  #applyChecked(checked: CheckedUpdate, limits: FeedLimits): readonly EntryChange[] | Fault {
    const changes = this.#planned(checked, limits);
    if ('fault' in changes) return changes;
    // The first changes are the items, in their order; what is deleted follows.
    for (const [index, { valueBytes }] of checked.items.entries()) {
      const { key, value } = changes[index] as EntryChange;
      this.#move(key, { clock: this.#clock, bytes: valueBytes });
      this.#clock += 1;
      this.values.set(key, value);
    }
    for (const { key } of changes.slice(checked.items.length)) {
      const { clock } = this.#newest.get(key) as Newest;
      this.#newest.set(key, { clock, bytes: undefined });
      this.values.delete(key);
    }
    return changes;
  }

  #move(key: string, newest: Newest): void {
    const former = this.#newest.get(key);
    if (former !== undefined) this.#keyAt.delete(former.clock);
    this.#newest.set(key, newest);
    this.#keyAt.set(newest.clock, key);
  }

  /** The changes that the update will make, or why it may not make them. */
  #planned(checked: CheckedUpdate, limits: FeedLimits): EntryChange[] | Fault {
    if (checked.items.length > 0 && checked.clock !== this.#clock) return malformed('clock');
    const changes: EntryChange[] = [];
    const written = new Set<string>();
    let created = 0;
    for (const item of checked.items) {
      const key = item.origin === undefined ? this.#newKey(item.key as string) : this.#keyAt.get(item.origin);
      if (key === undefined || written.has(key)) return malformed('not the continuation of its key');
      if (item.key !== undefined && item.keyBytes === 0) return malformed('empty key');
      if (item.keyBytes > limits.maxKeyBytes) return { fault: 'limit', reason: 'key length' };
      if (item.valueBytes.length > limits.maxValueBytes) return { fault: 'limit', reason: 'value size' };
      written.add(key);
      if (!this.values.has(key)) created += 1;
      changes.push({ key, value: item.value, previous: this.values.get(key) });
    }
    const deleted = this.#deleted(checked.deletions, written);
    if (deleted === undefined) return malformed('deletion of what does not exist');
    for (const key of deleted) changes.push({ key, value: undefined, previous: this.values.get(key) });
    if (this.values.size + created - deleted.length > limits.maxKeys) return { fault: 'limit', reason: 'keys' };
    return changes;
  }

  #newKey(key: string): string | undefined {
    return this.#newest.has(key) ? undefined : key;
  }

  /** Live keys whose newest item the ranges cover and that are not written anew; undefined for unknown items. */
  #deleted(ranges: CheckedUpdate['deletions'], written: ReadonlySet<string>): readonly string[] | undefined {
    const last = ranges[ranges.length - 1];
    if (last === undefined) return [];
    if (last[1] > this.#clock) return undefined; // They rise, so this is the highest.
    const keys: string[] = [];
    for (const clock of this.#newestWithin(ranges)) {
      const key = this.#keyAt.get(clock) as string;
      if (this.values.has(key) && !written.has(key)) keys.push(key);
    }
    return keys;
  }

  /** Clocks of newest items within the ranges, rising; at a cost of the fewer of clocks covered and keys known. */
  #newestWithin(ranges: CheckedUpdate['deletions']): number[] {
    const covered = ranges.reduce((sum, [from, to]) => sum + to - from, 0);
    const clocks: number[] = [];
    if (covered <= this.#keyAt.size) {
      for (const [from, to] of ranges) {
        for (let clock = from; clock < to; clock++) if (this.#keyAt.has(clock)) clocks.push(clock);
      }
      return clocks;
    }
    let at = 0;
    for (const clock of [...this.#keyAt.keys()].sort((a, b) => a - b)) {
      while (at < ranges.length && (ranges[at] as readonly [number, number])[1] <= clock) at += 1;
      const range = ranges[at];
      if (range !== undefined && range[0] <= clock) clocks.push(clock);
    }
    return clocks;
  }
}

function malformed(reason: string): Fault {
  return { fault: 'malformed', reason };
}

/** A copy of a value as everybody else will see it, with its encoding; undefined when it cannot travel. */
export function valueFromBytes(bytes: Uint8Array): { readonly value: Value } | undefined {
  const decoded = decodeValue(bytes);
  return decoded.ok ? { value: decoded.value } : undefined;
}
