/**
 * The merged view of a store in which every node writes an entry of its own under the same key: contributions to a
 * variable, counts of a breaker, demands on a limit. Key → author → value, authors that are not visible left out.
 *
 * Intuition: an author's entry is its own, so nothing is ever in conflict; what the entries of one key mean together is a
 * pure function of them, which the owner of the store supplies. The order in which entries arrive cannot matter.
 *
 * Invariants:
 * - `of(key)` holds exactly the entries of visible authors, and none that is undefined;
 * - a listener hears of a key after each call that changed what `of(key)` answers, once for each call, after all of it is done.
 */
import type { NodeId } from '../node-id.ts';
import type { Value } from '../value.ts';

/** One author's entry under a key became `value`, or was deleted (`value` undefined). */
export interface EntryWrite {
  readonly author: NodeId;
  readonly key: string;
  readonly value: Value;
}

const none: ReadonlyMap<NodeId, Value> = new Map();

export class EntriesView {
  /** Key → author → value, of visible authors. */
  readonly #visible = new Map<string, Map<NodeId, Value>>();
  /** Author → key → value, of the others. */
  readonly #hidden = new Map<NodeId, Map<string, Value>>();
  readonly #onKeys: (keys: ReadonlySet<string>) => void;

  /** `onKeys` is told which keys changed. */
  constructor(onKeys: (keys: ReadonlySet<string>) => void) {
    this.#onKeys = onKeys;
  }

  /** The entries under a key by author; not to be written to, and to be read at once. */
  of(key: string): ReadonlyMap<NodeId, Value> {
    return this.#visible.get(key) ?? none;
  }

  /** Keys with at least one visible entry. */
  keys(): Iterable<string> {
    return this.#visible.keys();
  }

  apply(writes: readonly EntryWrite[]): void {
    const changed = new Set<string>();
    for (const { author, key, value } of writes) {
      const hidden = this.#hidden.get(author);
      if (hidden === undefined) {
        if (this.#write(author, key, value)) changed.add(key);
      } else if (value === undefined) hidden.delete(key);
      else hidden.set(key, value);
    }
    if (changed.size > 0) this.#onKeys(changed);
  }

  /** Leaves out all the author's entries, and those it writes until it is shown. */
  hide(author: NodeId): void {
    if (this.#hidden.has(author)) return;
    const kept = new Map<string, Value>();
    this.#hidden.set(author, kept);
    for (const [key, entries] of this.#visible) {
      if (entries.has(author)) kept.set(key, entries.get(author));
    }
    for (const key of kept.keys()) this.#write(author, key, undefined);
    if (kept.size > 0) this.#onKeys(new Set(kept.keys()));
  }

  show(author: NodeId): void {
    const kept = this.#hidden.get(author);
    if (kept === undefined) return;
    this.#hidden.delete(author);
    for (const [key, value] of kept) this.#write(author, key, value);
    if (kept.size > 0) this.#onKeys(new Set(kept.keys()));
  }

  isHidden(author: NodeId): boolean {
    return this.#hidden.has(author);
  }

  /** Drops everything that was said of an author, its being hidden too. */
  forget(author: NodeId): void {
    this.hide(author);
    this.#hidden.delete(author);
  }

  #write(author: NodeId, key: string, value: Value): boolean {
    let entries = this.#visible.get(key);
    if (value === undefined) {
      if (entries === undefined || !entries.delete(author)) return false;
      if (entries.size === 0) this.#visible.delete(key);
      return true;
    }
    if (entries === undefined) {
      entries = new Map();
      this.#visible.set(key, entries);
    }
    entries.set(author, value);
    return true;
  }
}
