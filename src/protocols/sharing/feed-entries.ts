/**
 * Shared entries of a mesh: one store of the signed feeds, seen through `EntriesView`. An author's entries count while
 * membership holds it for alive or suspect; what it writes while it is not, is kept and counts when it is back. An author that changes more than
 * `EntryPace` allows is seen later, as it is then.
 */
import type { Clock } from '../../clock.ts';
import type { FeedChange, Feeds, StoreName } from '../../crdt/feeds.ts';
import type { NodeId } from '../../node-id.ts';
import type { Value } from '../../value.ts';
import type { Member, Membership } from '../membership/membership.ts';
import { EntryPace } from './entry-pace.ts';
import type { SharedEntries, Standing } from './shared-entries.ts';
import { ViewedEntries } from './viewed-entries.ts';

export interface FeedEntriesOptions {
  readonly store: Extract<StoreName, 'variables' | 'counters'>;
  readonly feeds: Feeds;
  readonly membership: Membership;
  readonly clock: Clock;
  readonly onError: (error: unknown, where: string) => void;
}

const isVisible = (member: Member | undefined): boolean => member?.state === 'alive' || member?.state === 'suspect';

export class FeedEntries extends ViewedEntries implements SharedEntries {
  readonly self: NodeId;
  readonly #store: FeedEntriesOptions['store'];
  readonly #feeds: Feeds;
  readonly #membership: Membership;
  readonly #nodeListeners = new Set<() => void>();
  readonly #pace: EntryPace;
  readonly #unsubscribe: readonly (() => void)[];
  readonly #onError: FeedEntriesOptions['onError'];

  constructor({ store, feeds, membership, clock, onError }: FeedEntriesOptions) {
    super(onError);
    this.self = feeds.self;
    this.#store = store;
    this.#feeds = feeds;
    this.#membership = membership;
    this.#onError = onError;
    this.#pace = new EntryPace(clock, (author, keys) => this.#lookAt(author, keys));
    for (const author of feeds.authors(store)) {
      this.#setVisible(author);
      this.view.apply([...feeds.entries(author, store)].map(([key, value]) => ({ author, key, value })));
    }
    this.#unsubscribe = [
      feeds.onChange((changes) => this.#onFeedChanges(changes)),
      membership.on('change', ({ member }) => this.#onMember(member)),
    ];
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#pace.stop();
  }

  /** Changes of others that were put off because their author made too many, since the start. */
  get deferred(): number {
    return this.#pace.deferred;
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
    for (const [author, changed] of Map.groupBy(ours, (change) => change.author)) {
      this.#setVisible(author);
      // Forgotten or quarantined: the feed is gone as a whole, and nobody need remember that it was hidden.
      if (author !== this.self && this.#feeds.head(author, this.#store) === undefined) {
        this.view.forget(author);
        this.#pace.forget(author);
      } else if (author === this.self || this.view.isHidden(author)) this.view.apply(changed);
      else {
        const keys = changed.map(({ key }) => key);
        this.#apply(author, this.#pace.admit(author, keys));
      }
    }
  }

  #lookAt(author: NodeId, keys: readonly string[]): void {
    this.#setVisible(author);
    this.#apply(author, keys);
  }

  /** As the entries are now: of several changes the last. */
  #apply(author: NodeId, keys: readonly string[]): void {
    if (keys.length === 0) return;
    const values = this.#feeds.entries(author, this.#store);
    this.view.apply(keys.map((key) => ({ author, key, value: values.get(key) })));
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
    if (author !== this.self && !isVisible(this.#membership.get(author))) this.view.hide(author);
    else if (this.view.isHidden(author) && this.#mayShow(author)) this.view.show(author);
  }

  /** Who comes and goes with all its entries again and again is shown when its debts are paid. */
  #mayShow(author: NodeId): boolean {
    return author === this.self || this.#pace.afford(author, this.#feeds.entries(author, this.#store).size);
  }
}
