/**
 * The registry of a mesh: the merged view over the registry feeds of all nodes.
 *
 * An author's entries are visible while membership holds it for alive or suspect; what it writes while it
 * is not, is kept and shown when it is back. Entries of others are hostile input: one that is no record is
 * counted and treated as deleted, whatever was there before, so that all nodes agree on what is there.
 * A claim from a clock more than a minute ahead counts from when this clock has caught up with it.
 */
import type { Clock } from '../../clock.ts';
import type { FeedChange, Feeds } from '../../crdt/feeds.ts';
import { type AgentRecord, entryOfRecord, makeRecord, recordOfEntry } from '../../crdt/registry-record.ts';
import type { Claim } from '../../crdt/registry-view.ts';
import type { HybridClock } from '../../hlc.ts';
import type { NodeId } from '../../node-id.ts';
import type { AgentId, Value } from '../../value.ts';
import type { Member, Membership } from '../membership/membership.ts';
import { type ExclusiveNames, noNames } from './exclusive-names.ts';
import { PrematureClaims } from './premature-claims.ts';
import { type RegistryDependencies, ViewRegistry } from './view-registry.ts';

export interface ClusterRegistryDependencies<Custom = Record<string, Value>> extends RegistryDependencies<Custom> {
  readonly feeds: Feeds;
  readonly membership: Membership;
  readonly clock: Clock;
  /** Sends what waits to be sent; called when the registry stops, so that the last words are heard. */
  readonly flush: () => Promise<void> | void;
}

/** Entries of other nodes that were not taken over. */
export interface RefusedEntries {
  /** Since the start. */
  readonly malformed: number;
  /** Waiting now for this node's clock to reach them. */
  readonly premature: number;
  /** The last one, for people. */
  readonly last: { readonly author: NodeId; readonly id: string; readonly reason: string } | undefined;
}

const isVisible = (member: Member | undefined): boolean => member?.state === 'alive' || member?.state === 'suspect';

export class ClusterRegistry<Custom = Record<string, Value>> extends ViewRegistry<Custom> {
  readonly #self: NodeId;
  readonly #feeds: Feeds;
  readonly #membership: Membership;
  readonly #hlc: HybridClock;
  readonly #flush: () => Promise<void> | void;
  readonly #premature: PrematureClaims;
  readonly #grantsOf: () => ExclusiveNames;
  /** Strong claims that could not be judged yet, by author and id; each waits in the author's feed. */
  readonly #unjudged = new Map<string, { readonly author: NodeId; readonly id: AgentId }>();
  readonly #unsubscribe: readonly (() => void)[];
  #malformed = 0;
  #last: RefusedEntries['last'];
  #stopping: Promise<void> | undefined;

  constructor(dependencies: ClusterRegistryDependencies<Custom>) {
    super(dependencies);
    this.#self = dependencies.self;
    this.#feeds = dependencies.feeds;
    this.#membership = dependencies.membership;
    this.#hlc = dependencies.hlc;
    this.#flush = dependencies.flush;
    this.#grantsOf = dependencies.names ?? (() => noNames);
    this.#premature = new PrematureClaims(dependencies.clock, (author, id) => this.#offerAgain(author, id));
    this.#unsubscribe = [
      this.#feeds.onChange((changes) => this.#onFeedChanges(changes)),
      this.#membership.on('change', ({ member }) => this.#setVisible(member.id, isVisible(member))),
    ];
    for (const author of this.#feeds.authors('registry')) {
      const entries = [...this.#feeds.entries(author, 'registry')];
      this.#take(
        author,
        entries.map(([key, value]) => ({ key, value })),
      );
    }
  }

  get refused(): RefusedEntries {
    return { malformed: this.#malformed, premature: this.#premature.size, last: this.#last };
  }

  /** Idempotent. Resolves when what was written before is on its way. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#premature.clear();
    this.shutDown();
    await this.#flush();
  }

  protected override write(record: AgentRecord): void {
    this.#feeds.set('registry', record.id, entryOfRecord(record));
    this.view.apply([{ record }]);
  }

  protected override erase(id: AgentId): void {
    this.#feeds.delete('registry', id);
    this.view.apply([{ author: this.#self, id, record: undefined }]);
  }

  protected override isSuspect(node: NodeId): boolean {
    return node !== this.#self && this.#membership.get(node)?.state === 'suspect';
  }

  protected override rttMs(node: NodeId): number | undefined {
    return this.#membership.get(node)?.rttMs;
  }

  protected override freeCapacity(node: NodeId): Readonly<Record<string, number>> {
    return this.#membership.get(node)?.capacity ?? {};
  }

  #onFeedChanges(changes: readonly FeedChange[]): void {
    const byAuthor = new Map<NodeId, FeedChange[]>();
    for (const change of changes) {
      // What this node writes, it applies itself: it has the record, and need not read it back.
      if (change.store !== 'registry' || change.author === this.#self) continue;
      const list = byAuthor.get(change.author);
      if (list === undefined) byAuthor.set(change.author, [change]);
      else list.push(change);
    }
    for (const [author, list] of byAuthor) this.#take(author, list);
  }

  #take(author: NodeId, entries: readonly { readonly key: string; readonly value: Value }[]): void {
    // The feed of an author that is forgotten or quarantined is gone as a whole: the node is, not its agents one by one.
    const hasFeed = this.#feeds.head(author, 'registry') !== undefined;
    this.#setVisible(author, author === this.#self || (hasFeed && isVisible(this.#membership.get(author))));
    this.view.apply(entries.map(({ key, value }) => this.#claimOf(author, key, value)));
  }

  #setVisible(author: NodeId, visible: boolean): void {
    if (visible || author === this.#self) this.view.show(author);
    else this.view.hide(author);
  }

  #claimOf(author: NodeId, id: string, entry: Value): Claim {
    this.#premature.delete(author, id);
    const none = { author, id, record: undefined };
    if (entry === undefined) return none;
    const read = recordOfEntry(id, author, entry);
    if (!read.ok) {
      this.#malformed += 1;
      this.#last = { author, id, reason: read.reason };
      return none;
    }
    const record = this.#judged(read.record);
    if (record === undefined) {
      this.#malformed += 1;
      this.#last = { author, id, reason: 'claims a grant that its proof does not show' };
      return none;
    }
    if (this.#hlc.observe(record.claimedAt)) return { record };
    this.#premature.add(author, id, read.record.claimedAt);
    this.#last = { author, id, reason: 'claimed by a clock too far ahead' };
    return none;
  }

  /** The record, if its grant is proved; without the grant, while nobody can say. */
  #judged(record: AgentRecord): AgentRecord | undefined {
    const { id, node, strong } = record;
    const key = `${node} ${id}`;
    this.#unjudged.delete(key);
    if (strong === undefined) return record;
    const proved = this.#grantsOf().verify(id, node, strong.token, strong.proof);
    if (proved === true) return record;
    if (proved === false) return undefined;
    this.#unjudged.set(key, { author: node, id });
    return makeRecord(id, node, record, record.claimedAt);
  }

  /** To be called when grants can be judged that could not be before. */
  judgeAgain(): void {
    for (const { author, id } of [...this.#unjudged.values()]) this.#offerAgain(author, id);
  }

  #offerAgain(author: NodeId, id: AgentId): void {
    this.#take(author, [{ key: id, value: this.#feeds.get(author, 'registry', id) }]);
  }
}
