/**
 * The feeds of the other authors: what is accepted into them, and what takes an author out of the view.
 *
 * Intuition: a feed is a chain with one writer. A replica only ever moves forward along it: one delta, or
 * a jump to a later snapshot. Two different links for one place are the writer's fault, provable to all.
 *
 * Invariants:
 * - (epoch, seq) of a feed never falls, not even by way of `forget`;
 * - all feeds of an author that are kept have the author's highest epoch seen;
 * - a quarantined author has no feeds and never gets one again;
 * - kept bytes and counts stay within the limits; what is refused changes nothing.
 */
import type { NodeId } from '../node-id.ts';
import type { Value } from '../value.ts';
import type { AuthorKey } from './author-keys.ts';
import type { FeedDigest } from './digest.ts';
import { type EntryChange, FeedDocument } from './document.ts';
import { type Envelope, sameBytes, sha256 } from './envelope.ts';
import { FeedLog, type KeptEnvelope } from './feed-log.ts';
import type { FeedChange, StoreName } from './feeds.ts';
import type { FeedLimits } from './limits.ts';
import { type Misbehaviour, malformedProof } from './proof.ts';

interface ReplicaFeed {
  readonly log: FeedLog;
  readonly document: FeedDocument;
  /** At or below what was known when the author was forgotten: not shown until it is past that, or another feed is. */
  dormant: boolean;
}

/** A place in a feed. */
export interface Position {
  readonly epoch: number;
  readonly seq: number;
}

export interface Quarantine {
  readonly misbehaviour: Misbehaviour;
  /** Absent when the evidence is too long to pass on. */
  readonly proof: Uint8Array | undefined;
}

interface Author {
  readonly key: AuthorKey;
  epoch: number;
  readonly feeds: Map<StoreName, ReplicaFeed>;
  /** Where feeds stood when this author was last forgotten. */
  readonly floors: Map<StoreName, Position>;
  quarantine: Quarantine | undefined;
  tokens: number;
  tokensAt: number;
}

/** An author that is no longer kept. */
interface Tombstone {
  readonly key: AuthorKey;
  readonly epoch: number;
  readonly floors: ReadonlyMap<StoreName, Position>;
}

export type Acceptance =
  | { readonly outcome: 'applied'; readonly changes: readonly FeedChange[] }
  | { readonly outcome: 'stale' | 'gap' }
  | { readonly outcome: 'refused'; readonly reason: string }
  /** The pair contradict each other. */
  | { readonly outcome: 'equivocation'; readonly other: KeptEnvelope }
  | { readonly outcome: 'malformed'; readonly reason: string; readonly proof: Uint8Array | undefined };

export class Replicas {
  readonly #authors = new Map<NodeId, Author>();
  readonly #tombstones = new Map<NodeId, Tombstone>();
  readonly #digest: FeedDigest;
  readonly #limits: FeedLimits;
  #totalBytes = 0;

  constructor(digest: FeedDigest, limits: FeedLimits) {
    this.#digest = digest;
    this.#limits = limits;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** What can be said of an envelope before its signature is checked, with nothing to lose if it is forged. */
  beforeSignature(
    id: NodeId,
    envelope: Envelope,
    now: number,
  ): 'duplicate' | 'stale' | 'quarantined' | 'rate' | undefined {
    const author = this.#authors.get(id);
    if (author?.quarantine !== undefined) return 'quarantined';
    if (envelope.epoch < (author?.epoch ?? this.#tombstones.get(id)?.epoch ?? 0)) return 'stale';
    const log = author?.feeds.get(envelope.store)?.log;
    if (log !== undefined && log.epoch === envelope.epoch) {
      const kept = log.at(envelope.seq);
      if (kept !== undefined && sameBytes(kept.hash, envelope.hash)) return 'duplicate';
      if (envelope.seq < log.firstSeq - 1) return 'stale';
      if (envelope.seq === log.firstSeq - 1 && sameBytes(envelope.hash, this.#beforeFirst(log))) return 'stale';
    }
    if (author !== undefined && this.#refill(author, now) < 1) return 'rate';
    return undefined;
  }

  /** Takes an envelope of so many bytes from an author's allowance; called when its signature was good. A large one, which holds hundreds of entries, counts for several. */
  charge(id: NodeId, bytes: number): void {
    const author = this.#authors.get(id);
    if (author !== undefined) author.tokens -= Math.max(1, bytes / this.#limits.usualEnvelopeBytes);
  }

  /** Takes an envelope whose signature holds and that `beforeSignature` had nothing against. */
  accept(key: AuthorKey, envelope: Envelope, now: number): Acceptance {
    const author = this.#authors.get(key.id);
    const feed = author?.feeds.get(envelope.store);
    if (feed !== undefined && feed.log.epoch === envelope.epoch) {
      const other = contradiction(feed.log, envelope);
      if (other !== undefined) return { outcome: 'equivocation', other };
      if (envelope.seq <= feed.log.lastSeq) return { outcome: 'stale' };
    }
    if (envelope.kind === 'snapshot') return this.#acceptSnapshot(key, envelope, now);
    if (author === undefined || feed === undefined)
      return { outcome: isAtOrBefore(envelope, this.floor(key.id, envelope.store)) ? 'stale' : 'gap' };
    if (feed.log.epoch !== envelope.epoch || envelope.seq !== feed.log.lastSeq + 1) return { outcome: 'gap' };
    return this.#acceptDelta(author, feed, envelope);
  }

  #acceptDelta(author: Author, feed: ReplicaFeed, envelope: Envelope): Acceptance {
    const { maxFeedBytes, maxFeedEnvelopes, maxTotalBytes } = this.#limits;
    const size = envelope.bytes.length;
    if (feed.log.bytes + size > maxFeedBytes) return { outcome: 'refused', reason: 'feed bytes' };
    if (feed.log.count >= maxFeedEnvelopes) return { outcome: 'refused', reason: 'feed envelopes' };
    if (this.#totalBytes + size > maxTotalBytes) return { outcome: 'refused', reason: 'total bytes' };
    const result = feed.document.apply(envelope.payload, this.#limits);
    if ('fault' in result) {
      if (result.fault === 'limit') return { outcome: 'refused', reason: result.reason };
      const proof = malformedProof([...feed.log.from(0), envelope.bytes], this.#limits);
      return { outcome: 'malformed', reason: result.reason, proof };
    }
    const { raw } = author.key;
    if (!feed.dormant) this.#digest.toggle(raw, feed.log.head.hash);
    feed.log.append(envelope);
    this.#totalBytes += size;
    if (feed.dormant) return { outcome: 'applied', changes: this.#wake(author) };
    this.#digest.toggle(raw, envelope.hash);
    return { outcome: 'applied', changes: named(author.key.id, envelope.store, result) };
  }

  #acceptSnapshot(key: AuthorKey, envelope: Envelope, now: number): Acceptance {
    const { maxAuthors, maxTotalBytes, maxFeedBytes } = this.#limits;
    const known = this.#authors.get(key.id);
    const former = known?.feeds.get(envelope.store);
    if (known === undefined && this.#authors.size >= maxAuthors) return { outcome: 'refused', reason: 'authors' };
    const size = envelope.bytes.length;
    const total = this.#totalBytes - (former?.log.bytes ?? 0) + size;
    if (size > maxFeedBytes) return { outcome: 'refused', reason: 'feed bytes' };
    if (total > maxTotalBytes) return { outcome: 'refused', reason: 'total bytes' };
    const document = FeedDocument.fromSnapshot(envelope.payload, this.#limits);
    if ('fault' in document) {
      if (document.fault === 'limit') return { outcome: 'refused', reason: document.reason };
      return { outcome: 'malformed', reason: document.reason, proof: malformedProof([envelope.bytes], this.#limits) };
    }
    const author = known ?? this.#admit(key, now);
    const changes: FeedChange[] = [];
    if (envelope.epoch > author.epoch) {
      author.epoch = envelope.epoch;
      for (const store of [...author.feeds.keys()]) {
        if (store !== envelope.store) changes.push(...this.#drop(author, store));
      }
    }
    const visible = former !== undefined && !former.dormant ? former : undefined;
    if (visible !== undefined) this.#digest.toggle(key.raw, visible.log.head.hash);
    const feed = { log: new FeedLog(envelope), document, dormant: this.#isPast(author, envelope.store, envelope) };
    author.feeds.set(envelope.store, feed);
    this.#totalBytes = total;
    if (!feed.dormant) {
      this.#digest.toggle(key.raw, envelope.hash);
      const difference = FeedDocument.difference(visible?.document, document);
      changes.push(...named(key.id, envelope.store, difference));
    }
    return { outcome: 'applied', changes: [...changes, ...this.#wake(author)] };
  }

  /** Shows what slept and need not any more; one feed that wakes may wake others. */
  #wake(author: Author): FeedChange[] {
    const changes: FeedChange[] = [];
    for (const name of [...author.feeds.keys(), ...author.feeds.keys()]) {
      const feed = author.feeds.get(name) as ReplicaFeed;
      if (!feed.dormant || this.#isPast(author, name, feed.log.head)) continue;
      feed.dormant = false;
      this.#digest.toggle(author.key.raw, feed.log.head.hash);
      changes.push(...named(author.key.id, name, FeedDocument.difference(undefined, feed.document)));
    }
    return changes;
  }

  /** Takes an author out of the view for good; the changes that makes, or why it cannot be. */
  quarantine(key: AuthorKey, quarantine: Quarantine, now: number): readonly FeedChange[] | 'known' | 'authors' {
    const known = this.#authors.get(key.id);
    if (known?.quarantine !== undefined) return 'known';
    if (known === undefined && this.#authors.size >= this.#limits.maxAuthors) return 'authors';
    const author = known ?? this.#admit(key, now);
    const changes = [...author.feeds.keys()].flatMap((store) => this.#drop(author, store));
    author.quarantine = quarantine;
    this.#totalBytes += quarantine.proof?.length ?? 0;
    this.#digest.toggle(key.raw, quarantineHash(key.raw));
    return changes;
  }

  /** Drops a departed author's feeds and remembers how far they went. A quarantine is never forgotten. */
  forget(id: NodeId): readonly FeedChange[] {
    const author = this.#authors.get(id);
    if (author === undefined || author.quarantine !== undefined) return [];
    const floors = new Map(author.floors);
    for (const [store, { log }] of author.feeds) {
      const floor = floors.get(store);
      if (floor === undefined || isBefore(floor, log.head)) floors.set(store, { epoch: log.epoch, seq: log.lastSeq });
    }
    const changes = [...author.feeds.keys()].flatMap((store) => this.#drop(author, store));
    this.#authors.delete(id);
    for (const oldest of this.#tombstones.keys()) {
      if (this.#tombstones.size < this.#limits.maxForgotten) break;
      this.#tombstones.delete(oldest);
    }
    this.#tombstones.set(id, { key: author.key, epoch: author.epoch, floors });
    return changes;
  }

  /** The values shown of one feed. */
  values(id: NodeId, store: StoreName): ReadonlyMap<string, Value> | undefined {
    const feed = this.#authors.get(id)?.feeds.get(store);
    return feed === undefined || feed.dormant ? undefined : feed.document.values;
  }

  log(id: NodeId, store: StoreName): FeedLog | undefined {
    return this.#authors.get(id)?.feeds.get(store)?.log;
  }

  isDormant(id: NodeId, store: StoreName): boolean {
    return this.#authors.get(id)?.feeds.get(store)?.dormant === true;
  }

  /** Where a forgotten feed stood, for authors not back yet. */
  floor(id: NodeId, store: StoreName): Position | undefined {
    return (this.#authors.get(id) ?? this.#tombstones.get(id))?.floors.get(store);
  }

  /** A forgotten author is known to live again, so that even its unchanged feeds are wanted. */
  hasReturned(id: NodeId): boolean {
    const author = this.#authors.get(id);
    return author !== undefined && hasReturned(author);
  }

  quarantineOf(id: NodeId): Quarantine | undefined {
    return this.#authors.get(id)?.quarantine;
  }

  *authors(): Generator<AuthorKey> {
    for (const author of this.#authors.values()) yield author.key;
  }

  *forgotten(): Generator<AuthorKey> {
    for (const tombstone of this.#tombstones.values()) yield tombstone.key;
  }

  get authorCount(): number {
    return this.#authors.size;
  }

  #admit(key: AuthorKey, now: number): Author {
    const tombstone = this.#tombstones.get(key.id);
    this.#tombstones.delete(key.id);
    const author: Author = {
      key,
      epoch: tombstone?.epoch ?? 0,
      feeds: new Map(),
      floors: new Map(tombstone?.floors),
      quarantine: undefined,
      tokens: this.#limits.envelopeBurst,
      tokensAt: now,
    };
    this.#authors.set(key.id, author);
    return author;
  }

  #drop(author: Author, store: StoreName): FeedChange[] {
    const feed = author.feeds.get(store);
    if (feed === undefined) return [];
    author.feeds.delete(store);
    this.#totalBytes -= feed.log.bytes;
    if (feed.dormant) return [];
    this.#digest.toggle(author.key.raw, feed.log.head.hash);
    const gone = [...feed.document.values].map(([key, previous]) => ({ key, value: undefined, previous }));
    return named(author.key.id, store, gone);
  }

  /** At or below the place where the feed was forgotten; at that very place only as long as the author is away. */
  #isPast(author: Author, store: StoreName, position: Position): boolean {
    const floor = author.floors.get(store);
    if (floor === undefined || !isAtOrBefore(position, floor)) return false;
    return isBefore(position, floor) || !hasReturned(author);
  }

  #beforeFirst(log: FeedLog): Uint8Array {
    return (log.at(log.firstSeq) as KeptEnvelope).previous;
  }

  #refill(author: Author, now: number): number {
    const { envelopesPerSecond, envelopeBurst } = this.#limits;
    const earned = (Math.max(0, now - author.tokensAt) / 1000) * envelopesPerSecond;
    author.tokens = Math.min(envelopeBurst, author.tokens + earned);
    author.tokensAt = Math.max(now, author.tokensAt);
    return author.tokens;
  }
}

export function isBefore(a: Position, b: Position): boolean {
  return a.epoch < b.epoch || (a.epoch === b.epoch && a.seq < b.seq);
}

function isAtOrBefore(position: Position, floor: Position | undefined): boolean {
  return floor !== undefined && !isBefore(floor, position);
}

/** Some feed of it went on past the place where it was forgotten: nobody but the author can have written that. */
function hasReturned(author: Author): boolean {
  for (const [store, { dormant }] of author.feeds) if (!dormant && author.floors.has(store)) return true;
  return false;
}

/** What a quarantined author adds to the digest, whatever the evidence was. */
function quarantineHash(authorKey: Uint8Array): Uint8Array {
  return sha256(Buffer.concat([Buffer.from('quorate quarantine\0', 'latin1'), authorKey]));
}

/** The kept envelope that a signed one of the same feed and epoch contradicts. */
function contradiction(log: FeedLog, envelope: Envelope): KeptEnvelope | undefined {
  const same = log.at(envelope.seq);
  if (same !== undefined) return sameBytes(same.hash, envelope.hash) ? undefined : same;
  if (envelope.seq === log.lastSeq + 1) {
    const last = log.at(log.lastSeq) as KeptEnvelope;
    return sameBytes(envelope.previous, last.hash) ? undefined : last;
  }
  if (envelope.seq === log.firstSeq - 1) {
    const first = log.at(log.firstSeq) as KeptEnvelope;
    return sameBytes(first.previous, envelope.hash) ? undefined : first;
  }
  return undefined;
}

function named(author: NodeId, store: StoreName, changes: readonly EntryChange[]): FeedChange[] {
  return changes.map(({ key, value, previous }) => ({ author, store, key, value, previous }));
}
