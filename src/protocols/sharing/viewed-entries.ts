/** What all shared entries read alike: one view, and those who listen to it. */
import { EntriesView } from '../../crdt/entries-view.ts';
import type { NodeId } from '../../node-id.ts';
import type { Value } from '../../value.ts';
import { EntryListeners } from './entry-listeners.ts';
import type { EntriesListener } from './shared-entries.ts';

export abstract class ViewedEntries {
  protected readonly view: EntriesView;
  readonly #listeners: EntryListeners;

  constructor(onError: (error: unknown, where: string) => void) {
    this.#listeners = new EntryListeners(onError);
    this.view = new EntriesView((keys) => this.#listeners.tell(keys));
  }

  of(key: string): ReadonlyMap<NodeId, Value> {
    return this.view.of(key);
  }

  keys(): Iterable<string> {
    return this.view.keys();
  }

  onKey(key: string, listener: EntriesListener): () => void {
    return this.#listeners.onKey(key, listener);
  }

  onPrefix(prefix: string, listener: EntriesListener): () => void {
    return this.#listeners.onPrefix(prefix, listener);
  }
}
