/**
 * Shared entries of a mesh: one store of the signed feeds, seen through `EntriesView`. An author's entries count while
 * membership holds it for alive or suspect; what it writes while it is not, is kept and counts when it is back.
 */
import { EntriesView } from '../../crdt/entries-view.ts';
import type { FeedChange, Feeds, StoreName } from '../../crdt/feeds.ts';
import type { NodeId } from '../../node-id.ts';
import type { Value } from '../../value.ts';
import type { Member, Membership } from '../membership/membership.ts';
import { EntryListeners } from './entry-listeners.ts';
import type { EntriesListener, SharedEntries, Standing } from './shared-entries.ts';

export interface FeedEntriesOptions {
  readonly store: Extract<StoreName, 'variables' | 'counters'>;
  readonly feeds: Feeds;
  readonly membership: Membership;
  readonly onError: (error: unknown, where: string) => void;
}

const isVisible = (member: Member | undefined): boolean => member?.state === 'alive' || member?.state === 'suspect';

export class FeedEntries implements SharedEntries {
  readonly self: NodeId;
  readonly #store: FeedEntriesOptions['store'];
  readonly #feeds: Feeds;
  readonly #membership: Membership;
  readonly #listeners: EntryListeners;
  readonly #nodeListeners = new Set<() => void>();
  readonly #view: EntriesView;
  readonly #unsubscribe: readonly (() => void)[];
  readonly #onError: FeedEntriesOptions['onError'];

  constructor({ store, feeds, membership, onError }: FeedEntriesOptions) {
    this.self = feeds.self;
    this.#store = store;
    this.#feeds = feeds;
    this.#membership = membership;
    this.#onError = onError;
    this.#listeners = new EntryListeners(onError);
    this.#view = new EntriesView((keys) => this.#listeners.tell(keys));
    for (const author of feeds.authors(store)) {
      this.#setVisible(author);
      this.#view.apply([...feeds.entries(author, store)].map(([key, value]) => ({ author, key, value })));
    }
    this.#unsubscribe = [
      feeds.onChange((changes) => this.#onFeedChanges(changes)),
      membership.on('change', ({ member }) => this.#onMember(member)),
    ];
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  set(key: string, value: Value): void {
    this.#feeds.set(this.#store, key, value);
  }

  delete(key: string): void {
    this.#feeds.delete(this.#store, key);
  }

  own(key: string): Value {
    return this.#feeds.get(this.self, this.#store, key);
  }

  of(key: string): ReadonlyMap<NodeId, Value> {
    return this.#view.of(key);
  }

  keys(): Iterable<string> {
    return this.#view.keys();
  }

  onKey(key: string, listener: EntriesListener): () => void {
    return this.#listeners.onKey(key, listener);
  }

  onPrefix(prefix: string, listener: EntriesListener): () => void {
    return this.#listeners.onPrefix(prefix, listener);
  }

  nodes(): readonly NodeId[] {
    const live = this.#membership.members().filter((member) => member.id !== this.self && isVisible(member));
    return [this.self, ...live.map(({ id }) => id)];
  }

  onNodes(listener: () => void): () => void {
    this.#nodeListeners.add(listener);
    return () => void this.#nodeListeners.delete(listener);
  }

  zoneOf(node: NodeId): string | undefined {
    return this.#membership.get(node)?.zone;
  }

  standing(node: NodeId): Standing {
    const member = this.#membership.get(node);
    if (node === this.self || isVisible(member)) return 'live';
    if (member === undefined) return 'unknown';
    if (member.state !== 'unreachable') return 'gone';
    const accusations = this.#membership.accusations(node);
    const ended = accusations.length > 0 && accusations.every(({ evidence }) => evidence === 'connection-reset');
    return ended ? 'gone' : 'silent';
  }

  #onFeedChanges(changes: readonly FeedChange[]): void {
    const ours = changes.filter(({ store }) => store === this.#store);
    if (ours.length === 0) return;
    const authors = new Set(ours.map((change) => change.author));
    for (const author of authors) this.#setVisible(author);
    this.#view.apply(ours);
    for (const author of authors) {
      // Forgotten or quarantined: the feed is gone as a whole, and nobody need remember that it was hidden.
      if (author !== this.self && this.#feeds.head(author, this.#store) === undefined) this.#view.forget(author);
    }
  }

  #onMember(member: Member): void {
    this.#setVisible(member.id);
    for (const listener of [...this.#nodeListeners]) {
      try {
        listener();
      } catch (error) {
        this.#onError(error, 'listener of the live nodes');
      }
    }
  }

  #setVisible(author: NodeId): void {
    if (author === this.self || isVisible(this.#membership.get(author))) this.#view.show(author);
    else this.#view.hide(author);
  }
}
