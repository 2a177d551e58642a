/**
 * The state of one feed: a Y.Doc with one root map whose values are CBOR bytes, and the decoded values
 * beside it.
 *
 * Intuition: a feed has one writer, so nothing in it is ever concurrent. Yjs gives the encoding of deltas
 * and snapshots; of its freedom nothing is needed, and everything not needed is refused.
 *
 * An update is accepted only when it is what an honest author's document would have produced next:
 * - V1 encoding, one client (id 1), no gap: the first clock is the document's clock;
 * - items are entries of the root map `e` with binary content, each key at most once per update; the item
 *   of a new key has no origin, that of a known key has exactly its newest item as origin, so that Yjs
 *   never has a conflict to resolve (its cost per conflict grows with the number of items);
 * - deletions name existing items of that client;
 * - a snapshot starts at clock 0 and deletes nothing.
 *
 * Invariants: nothing is ever pending in the document; the root map is the only type; `values` mirrors the
 * live entries. A refused update has changed nothing.
 */
import * as Y from 'yjs';
import { decodeValue } from '../codec.ts';
import type { Value } from '../value.ts';
import type { FeedLimits } from './limits.ts';
import { type CheckedUpdate, checkUpdate, clientId, rootName } from './update-check.ts';

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

export class FeedDocument {
  readonly values = new Map<string, Value>();
  readonly #doc: Y.Doc;
  readonly #root: Y.Map<Uint8Array>;

  private constructor() {
    // Client id 0 writes nothing, so it can never collide with the author's.
    this.#doc = createFeedDoc(0);
    this.#root = this.#doc.getMap<Uint8Array>(rootName);
  }

  /** The state that a snapshot's payload holds. */
  static fromSnapshot(payload: Uint8Array, limits: FeedLimits): FeedDocument | Fault {
    const document = new FeedDocument();
    const checked = checkUpdate(payload);
    if (typeof checked === 'string') return malformed(checked);
    if (checked.deletions.length > 0) return malformed('snapshot with deletions');
    const result = document.#applyChecked(payload, checked, limits);
    return 'fault' in result ? result : document;
  }

  /** Applies a delta's payload; on a fault nothing has changed, unless the fault is `malformed`. */
  apply(payload: Uint8Array, limits: FeedLimits): readonly EntryChange[] | Fault {
    const checked = checkUpdate(payload);
    if (typeof checked === 'string') return malformed(checked);
    return this.#applyChecked(payload, checked, limits);
  }

  /** What changes for a reader when `next` replaces `former`. Unchanged entries keep their value objects. */
  static difference(former: FeedDocument | undefined, next: FeedDocument): EntryChange[] {
    const changes: EntryChange[] = [];
    for (const [key, value] of next.values) {
      const before = former === undefined ? undefined : former.#root.get(key);
      const now = next.#root.get(key);
      if (before !== undefined && now !== undefined && Buffer.compare(before, now) === 0) {
        next.values.set(key, former?.values.get(key));
      } else changes.push({ key, value, previous: former?.values.get(key) });
    }
    for (const [key, previous] of former?.values ?? []) {
      if (!next.values.has(key)) changes.push({ key, value: undefined, previous });
    }
    return changes;
  }

  #applyChecked(payload: Uint8Array, checked: CheckedUpdate, limits: FeedLimits): readonly EntryChange[] | Fault {
    const changes = this.#planned(checked, limits);
    if ('fault' in changes) return changes;
    const clock = this.#clock + checked.items.length;
    try {
      Y.applyUpdate(this.#doc, payload);
    } catch (error) {
      return malformed(error instanceof Error ? error.message : 'Yjs refused it');
    }
    const { store, share } = this.#doc;
    const clean = store.pendingStructs === null && store.pendingDs === null && share.size === 1;
    if (!clean || this.#clock !== clock) return malformed('left something pending');
    for (const { key, value } of changes) {
      if (this.#root.has(key)) this.values.set(key, value);
      else this.values.delete(key);
    }
    return changes;
  }

  get #clock(): number {
    return Y.getState(this.#doc.store, clientId);
  }

  /** The changes that the update will make, or why it may not make them. */
  #planned(checked: CheckedUpdate, limits: FeedLimits): EntryChange[] | Fault {
    const clock = this.#clock;
    if (checked.items.length > 0 && checked.clock !== clock) return malformed('clock');
    const changes: EntryChange[] = [];
    const written = new Set<string>();
    let created = 0;
    for (const item of checked.items) {
      const key = item.origin === undefined ? this.#newKey(item.key as string) : this.#keyOfNewest(item.origin, clock);
      if (key === undefined || written.has(key)) return malformed('not the continuation of its key');
      if (item.key !== undefined && item.keyBytes === 0) return malformed('empty key');
      if (item.keyBytes > limits.maxKeyBytes) return { fault: 'limit', reason: 'key length' };
      if (item.valueBytes.length > limits.maxValueBytes) return { fault: 'limit', reason: 'value size' };
      written.add(key);
      if (!this.values.has(key)) created += 1;
      changes.push({ key, value: item.value, previous: this.values.get(key) });
    }
    const deleted = this.#deleted(checked.deletions, clock, written);
    if (deleted === undefined) return malformed('deletion of what does not exist');
    for (const key of deleted) changes.push({ key, value: undefined, previous: this.values.get(key) });
    if (this.values.size + created - deleted.size > limits.maxKeys) return { fault: 'limit', reason: 'keys' };
    return changes;
  }

  #newKey(key: string): string | undefined {
    return this.#root._map.has(key) ? undefined : key;
  }

  /** The key whose newest item ends at `clock`. */
  #keyOfNewest(clock: number, end: number): string | undefined {
    if (clock >= end) return undefined;
    const item = Y.getItem(this.#doc.store, Y.createID(clientId, clock));
    const key = item instanceof Y.Item ? item.parentSub : null;
    if (key === null || item.lastId.clock !== clock || this.#root._map.get(key) !== item) return undefined;
    return key;
  }

  /** Live keys whose newest item the ranges cover and that are not written anew; undefined for unknown items. */
  #deleted(ranges: CheckedUpdate['deletions'], end: number, written: Set<string>): Set<string> | undefined {
    const keys = new Set<string>();
    if (ranges.length === 0) return keys;
    const structs = this.#doc.store.clients.get(clientId) ?? [];
    for (const [from, to] of ranges) {
      if (to > end) return undefined;
      for (let i = Y.findIndexSS(structs, from); i < structs.length; i++) {
        const struct = structs[i];
        if (struct === undefined || struct.id.clock >= to) break;
        if (!(struct instanceof Y.Item) || struct.deleted || struct.parentSub === null) continue;
        if (!written.has(struct.parentSub)) keys.add(struct.parentSub);
      }
    }
    return keys;
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
