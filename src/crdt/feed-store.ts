/**
 * All feeds as one node holds them: its own, which it writes, and copies of everybody else's.
 *
 * `receive` is the boundary: bytes from anybody become a verdict, never an exception. The order of checks
 * is that of envelope.ts. Nothing here knows how bytes travel, what time it is, or who should be forgotten:
 * time is passed in, and membership says who may speak (`allowed`) and who has left (`forget`).
 */
import { Emitter, type Listener } from '../emitter.ts';
import type { Identity } from '../identity.ts';
import type { NodeId } from '../node-id.ts';
import type { Value } from '../value.ts';
import { type AuthorKey, AuthorKeys } from './author-keys.ts';
import { FeedDigest } from './digest.ts';
import {
  copyEnvelope,
  type Envelope,
  meshTag,
  readEnvelope,
  sameBytes,
  storeNames,
  verifyEnvelope,
} from './envelope.ts';
import type { FeedLog } from './feed-log.ts';
import { missingFeeds, type RemoteAuthor, type SyncSource, summarise } from './feed-sync.ts';
import type { FeedChange, FeedHead, Feeds, StoreName } from './feeds.ts';
import { defaultFeedLimits, type FeedLimits } from './limits.ts';
import { OwnFeed } from './own-feed.ts';
import { equivocationProof, isProof, type Misbehaviour, verifyProof } from './proof.ts';
import { type Acceptance, isBefore, type Position, Replicas } from './replicas.ts';

/** What became of received bytes. */
export type Outcome =
  | 'applied'
  | 'duplicate'
  | 'stale'
  /** Signed and newer than what would fit: something before it is missing. */
  | 'gap'
  /** Its author is quarantined, perhaps by these very bytes. */
  | 'quarantined'
  /** A valid proof of misbehaviour, new here. */
  | 'proof'
  /** Signed with this node's own key, and not written by this process. */
  | 'ownFeedConflict'
  /** Over a limit, too fast, of another version, or its author is not allowed. */
  | 'refused'
  | 'invalid';

export interface Received {
  /** Whether to pass it on: pass on, drop quietly, or drop and blame the sender. */
  readonly verdict: 'accept' | 'ignore' | 'reject';
  readonly outcome: Outcome;
  readonly author?: NodeId;
  readonly store?: StoreName;
  readonly epoch?: number;
  readonly seq?: number;
  readonly reason?: string;
}

export interface FeedStoreEvents {
  change: readonly FeedChange[];
  /** The first write after a flush. */
  dirty: { readonly store: StoreName };
  /** A feed has a newer head, this node's own too. */
  head: { readonly author: NodeId; readonly store: StoreName; readonly epoch: number; readonly seq: number };
  /** `proof` is absent when the evidence is too long to pass on. */
  quarantined: {
    readonly author: NodeId;
    readonly misbehaviour: Misbehaviour;
    readonly proof: Uint8Array | undefined;
    readonly reason: string;
  };
  /** Another process uses this node's identity. */
  ownFeedConflict: { readonly store: StoreName | undefined; readonly epoch: number; readonly seq: number };
}

export interface FeedStoreOptions {
  /** Name of the mesh. */
  readonly mesh: string;
  readonly identity: Identity;
  /** Higher than that of every earlier start of this identity: 1 to 2^53-1. */
  readonly epoch: number;
  /** Whether an author may be heard at all. Everybody, unless given. */
  readonly allowed?: (author: NodeId) => boolean;
  readonly limits?: Partial<FeedLimits>;
  readonly onListenerError: (error: unknown, type: string) => void;
}

export class FeedStore implements Feeds {
  readonly self: NodeId;
  readonly epoch: number;
  readonly limits: FeedLimits;
  /** How often each outcome was, and each reason of `refused` as `refused: reason`. */
  readonly counters: ReadonlyMap<string, number>;
  readonly #counters = new Map<string, number>();
  readonly #mesh: Uint8Array;
  readonly #keys: AuthorKeys;
  readonly #allowed: (author: NodeId) => boolean;
  readonly #events: Emitter<FeedStoreEvents>;
  readonly #digest = new FeedDigest();
  readonly #replicas: Replicas;
  readonly #own: ReadonlyMap<StoreName, OwnFeed>;
  readonly #ownKey: AuthorKey;
  readonly #syncSource: SyncSource;

  constructor(options: FeedStoreOptions) {
    const { identity, epoch } = options;
    this.self = identity.id;
    this.epoch = epoch;
    this.limits = { ...defaultFeedLimits, ...options.limits };
    this.counters = this.#counters;
    this.#mesh = meshTag(options.mesh);
    this.#keys = new AuthorKeys(2 * this.limits.maxAuthors);
    this.#ownKey = this.#keys.get(identity.publicKey);
    this.#allowed = options.allowed ?? (() => true);
    this.#events = new Emitter(options.onListenerError);
    this.#replicas = new Replicas(this.#digest, this.limits);
    const shared = { mesh: this.#mesh, identity, epoch, limits: this.limits };
    this.#own = new Map(storeNames.map((store) => [store, new OwnFeed({ ...shared, store })]));
    this.#syncSource = { replicas: this.#replicas, ownKey: this.#ownKey, ownEpoch: epoch, own: this.#own };
  }

  on<K extends keyof FeedStoreEvents>(type: K, listener: Listener<FeedStoreEvents[K]>): () => void {
    return this.#events.on(type, listener);
  }

  onChange(listener: (changes: readonly FeedChange[]) => void): () => void {
    return this.#events.on('change', listener);
  }

  set(store: StoreName, key: string, value: Value): void {
    this.#write(store, (feed) => feed.set(key, value));
  }

  delete(store: StoreName, key: string): void {
    this.#write(store, (feed) => feed.delete(key));
  }

  #write(
    store: StoreName,
    change: (feed: OwnFeed) => { key: string; value: Value; previous: Value } | undefined,
  ): void {
    const feed = this.#ownFeed(store);
    const wasDirty = feed.dirty;
    const changed = change(feed);
    if (changed === undefined) return;
    this.#events.emit('change', [{ author: this.self, store, ...changed }]);
    if (!wasDirty) this.#events.emit('dirty', { store });
  }

  get(author: NodeId, store: StoreName, key: string): Value {
    return this.#values(author, store)?.get(key);
  }

  entries(author: NodeId, store: StoreName): ReadonlyMap<string, Value> {
    return this.#values(author, store) ?? noEntries;
  }

  *authors(store: StoreName): Generator<NodeId> {
    if (this.#ownFeed(store).values.size > 0 || this.#ownFeed(store).log !== undefined) yield this.self;
    for (const { id } of this.#replicas.authors()) if (this.#replicas.values(id, store) !== undefined) yield id;
  }

  head(author: NodeId, store: StoreName): FeedHead | undefined {
    return this.#log(author, store)?.head;
  }

  /** True while a write has not been turned into an envelope. */
  get dirty(): boolean {
    for (const feed of this.#own.values()) if (feed.dirty) return true;
    return false;
  }

  /** Signs what changed since the last flush; the envelopes to send, in order. */
  flush(): Uint8Array[] {
    const all: Uint8Array[] = [];
    for (const [store, feed] of this.#own) {
      if (!feed.dirty) continue;
      const before = feed.log?.head;
      const envelopes = feed.flush();
      const after = feed.log?.head;
      if (envelopes.length === 0 || after === undefined) continue;
      if (before !== undefined) this.#digest.toggle(this.#ownKey.raw, before.hash);
      this.#digest.toggle(this.#ownKey.raw, after.hash);
      all.push(...envelopes);
      this.#events.emit('head', { author: this.self, store, epoch: after.epoch, seq: after.seq });
    }
    return all;
  }

  /**
   * Takes bytes from anybody. `now` is in milliseconds on a clock that never goes back. Broadcast bytes
   * count against their author's rate; `paced: false` is for repair, which has bounds of its own.
   * Never throws, and keeps no view of `bytes`.
   */
  receive(bytes: Uint8Array, now: number, options: { readonly paced?: boolean } = {}): Received {
    const received = isProof(bytes)
      ? this.#receiveProof(bytes, now)
      : this.#receiveEnvelope(bytes, now, options.paced ?? true);
    const label = received.outcome === 'refused' ? `refused: ${received.reason}` : received.outcome;
    this.#counters.set(label, (this.#counters.get(label) ?? 0) + 1);
    return received;
  }

  #receiveEnvelope(bytes: Uint8Array, now: number, paced: boolean): Received {
    if (bytes.length > this.limits.maxSnapshotBytes) return invalid('size');
    const envelope = readEnvelope(bytes, this.#mesh);
    if (envelope === 'version') return { verdict: 'ignore', outcome: 'refused', reason: 'version' };
    if (typeof envelope === 'string') return invalid(envelope);
    if (envelope.kind === 'delta' && bytes.length > this.limits.maxDeltaBytes) return invalid('size');
    const author = this.#keys.get(envelope.authorKey);
    const about = { author: author.id, store: envelope.store, epoch: envelope.epoch, seq: envelope.seq };
    if (author.id === this.self) return { ...this.#receiveOwn(envelope), ...about };
    if (!this.#allowed(author.id)) return { verdict: 'ignore', outcome: 'refused', reason: 'not allowed', ...about };
    const early = this.#replicas.beforeSignature(author.id, envelope, now);
    if (early === 'rate' && paced) return { verdict: 'ignore', outcome: 'refused', reason: 'rate', ...about };
    if (early !== undefined && early !== 'rate') return { verdict: 'ignore', outcome: early, ...about };
    if (!verifyEnvelope(envelope, author.key)) return { ...invalid('signature'), ...about };
    if (paced) this.#replicas.charge(author.id, bytes.length);
    const accepted = this.#replicas.accept(author, owned(envelope), now);
    return { ...this.#conclude(author, envelope, accepted, now), ...about };
  }

  #conclude(author: AuthorKey, envelope: Envelope, accepted: Acceptance, now: number): Received {
    switch (accepted.outcome) {
      case 'applied':
        this.#emitChanges(accepted.changes);
        this.#events.emit('head', {
          author: author.id,
          store: envelope.store,
          epoch: envelope.epoch,
          seq: envelope.seq,
        });
        return { verdict: 'accept', outcome: 'applied' };
      case 'gap':
        // Its signature holds, so others may be glad of it, whatever this node lacks.
        return { verdict: 'accept', outcome: 'gap' };
      case 'stale':
        return { verdict: 'ignore', outcome: 'stale' };
      case 'refused':
        return { verdict: 'ignore', outcome: 'refused', reason: accepted.reason };
      case 'equivocation': {
        const other = readEnvelope(accepted.other.bytes, this.#mesh) as Envelope;
        this.#quarantine(author, 'equivocation', equivocationProof(other, envelope), 'two histories', now);
        return { verdict: 'ignore', outcome: 'quarantined', reason: 'equivocation' };
      }
      case 'malformed':
        this.#quarantine(author, 'malformed', accepted.proof, accepted.reason, now);
        return { verdict: 'ignore', outcome: 'quarantined', reason: `malformed: ${accepted.reason}` };
    }
  }

  /** Anybody may hand this node its own envelopes back; only what it did not write is of interest. */
  #receiveOwn(envelope: Envelope): Received {
    if (envelope.epoch < this.epoch) return { verdict: 'ignore', outcome: 'stale' };
    const log = this.#ownFeed(envelope.store).log;
    if (envelope.epoch === this.epoch && log !== undefined) {
      const kept = log.at(envelope.seq);
      if (kept !== undefined && sameBytes(kept.hash, envelope.hash)) return { verdict: 'ignore', outcome: 'duplicate' };
      if (envelope.seq < log.firstSeq) return { verdict: 'ignore', outcome: 'stale' };
    }
    if (!verifyEnvelope(envelope, this.#ownKey.key)) return invalid('signature');
    this.#events.emit('ownFeedConflict', { store: envelope.store, epoch: envelope.epoch, seq: envelope.seq });
    return { verdict: 'accept', outcome: 'ownFeedConflict' };
  }

  #receiveProof(bytes: Uint8Array, now: number): Received {
    const proof = verifyProof(bytes, this.#mesh, this.#keys, this.limits);
    if (typeof proof === 'string') return invalid(`proof: ${proof}`);
    const author = proof.author.id;
    if (author === this.self) {
      this.#events.emit('ownFeedConflict', { store: undefined, epoch: this.epoch, seq: 0 });
      return { verdict: 'accept', outcome: 'ownFeedConflict', author };
    }
    if (!this.#allowed(author)) return { verdict: 'ignore', outcome: 'refused', reason: 'not allowed', author };
    const done = this.#quarantine(proof.author, proof.misbehaviour, new Uint8Array(bytes), 'proof received', now);
    if (done === 'known') return { verdict: 'ignore', outcome: 'duplicate', author };
    if (done === 'authors') return { verdict: 'ignore', outcome: 'refused', reason: 'authors', author };
    return { verdict: 'accept', outcome: 'proof', author };
  }

  #quarantine(
    author: AuthorKey,
    misbehaviour: Misbehaviour,
    proof: Uint8Array | undefined,
    reason: string,
    now: number,
  ): 'done' | 'known' | 'authors' {
    const changes = this.#replicas.quarantine(author, { misbehaviour, proof }, now);
    if (typeof changes === 'string') return changes;
    this.#emitChanges(changes);
    this.#events.emit('quarantined', { author: author.id, misbehaviour, proof, reason });
    return 'done';
  }

  /** Drops the feeds of an author that has departed; an older state of it can never come back. */
  forget(author: NodeId): void {
    this.#emitChanges(this.#replicas.forget(author));
  }

  /**
   * Publishes this node's feeds once more. Others that have forgotten it show nothing of it until they hear something
   * newer than what they remember; this is that.
   */
  refresh(): void {
    for (const [store, feed] of this.#own) {
      const wasDirty = feed.dirty;
      feed.refresh();
      if (feed.dirty && !wasDirty) this.#events.emit('dirty', { store });
    }
  }

  isQuarantined(author: NodeId): boolean {
    return this.#replicas.quarantineOf(author) !== undefined;
  }

  /** Eight bytes over all heads: equal on two nodes exactly when they hold the same (collisions aside). */
  rootDigest(): Uint8Array {
    return this.#digest.root();
  }

  /** 64 digests of 8 bytes, by the first byte of the author's key. */
  bucketDigests(): Uint8Array {
    return this.#digest.buckets();
  }

  /** What this node holds of the authors in those buckets, to be told to another. */
  summary(buckets: ReadonlySet<number>): RemoteAuthor[] {
    return summarise(this.#syncSource, buckets);
  }

  /** Everything kept in those buckets that a node with that summary lacks, oldest first in each feed. */
  missing(theirs: readonly RemoteAuthor[], buckets: ReadonlySet<number>): Generator<Uint8Array> {
    return missingFeeds(this.#syncSource, theirs, buckets);
  }

  /** The kept envelopes of one feed after `known`; with a proof instead when the author is quarantined. */
  envelopesAfter(author: NodeId, store: StoreName, known: Position | undefined): Uint8Array[] {
    const proof = this.#replicas.quarantineOf(author)?.proof;
    if (proof !== undefined) return [proof];
    const log = this.#log(author, store);
    if (log === undefined || (known !== undefined && !isBefore(known, log.head))) return [];
    return log.from(known?.epoch === log.epoch ? known.seq + 1 : 0);
  }

  /** Kept envelopes and evidence, in bytes, and the number of authors, this node not counted. */
  usage(): { readonly bytes: number; readonly authors: number } {
    return { bytes: this.#replicas.totalBytes, authors: this.#replicas.authorCount };
  }

  #emitChanges(changes: readonly FeedChange[]): void {
    if (changes.length > 0) this.#events.emit('change', changes);
  }

  #ownFeed(store: StoreName): OwnFeed {
    return this.#own.get(store) as OwnFeed;
  }

  #log(author: NodeId, store: StoreName): FeedLog | undefined {
    if (author === this.self) return this.#ownFeed(store).log;
    return this.#replicas.isDormant(author, store) ? undefined : this.#replicas.log(author, store);
  }

  #values(author: NodeId, store: StoreName): ReadonlyMap<string, Value> | undefined {
    return author === this.self ? this.#ownFeed(store).values : this.#replicas.values(author, store);
  }
}

const noEntries: ReadonlyMap<string, Value> = new Map();

function invalid(reason: string): Received {
  return { verdict: 'reject', outcome: 'invalid', reason };
}

/** An envelope that keeps no larger buffer alive: what arrives is often a view into a read chunk. */
function owned(envelope: Envelope): Envelope {
  return envelope.bytes.byteLength === envelope.bytes.buffer.byteLength ? envelope : copyEnvelope(envelope);
}
