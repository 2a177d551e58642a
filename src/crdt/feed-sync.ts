/**
 * What two nodes tell each other of what they hold, and what follows from it. Pure: replication moves it.
 */
import type { AuthorKey } from './author-keys.ts';
import { bucketOf } from './digest.ts';
import { sameBytes, storeNames } from './envelope.ts';
import type { FeedLog } from './feed-log.ts';
import type { StoreName } from './feeds.ts';
import type { OwnFeed } from './own-feed.ts';
import { isBefore, type Position, type Replicas } from './replicas.ts';

export interface RemoteHead extends Position {
  readonly store: StoreName;
  /** First 8 bytes of the head's content hash; empty for a feed that is not kept but known to this place. */
  readonly hash: Uint8Array;
}

/** What a node holds of one author. */
export interface RemoteAuthor {
  /** Raw public key. */
  readonly key: Uint8Array;
  readonly quarantined: boolean;
  readonly heads: readonly RemoteHead[];
}

/** The bytes of a hash that a summary carries. */
export const summaryHashBytes = 8;

export interface SyncSource {
  readonly replicas: Replicas;
  readonly ownKey: AuthorKey;
  readonly ownEpoch: number;
  readonly own: ReadonlyMap<StoreName, OwnFeed>;
}

export function summarise(source: SyncSource, buckets: ReadonlySet<number>): RemoteAuthor[] {
  const { replicas, ownKey } = source;
  const summaries: RemoteAuthor[] = [];
  const add = (author: AuthorKey, head: (store: StoreName) => RemoteHead | undefined): void => {
    if (!buckets.has(bucketOf(author.raw))) return;
    const quarantined = replicas.quarantineOf(author.id) !== undefined;
    const heads = storeNames.map(head).filter((known) => known !== undefined);
    summaries.push({ key: author.raw, quarantined, heads });
  };
  // Nobody need send this node its own feeds: what it has not written in this epoch is void.
  add(
    ownKey,
    (store) => headOf(store, source.own.get(store)?.log) ?? notKept(store, { epoch: source.ownEpoch, seq: 0 }),
  );
  for (const author of replicas.authors()) {
    // Then its other feeds are welcome as it left them.
    const returned = replicas.hasReturned(author.id);
    add(author, (store) => {
      const log = replicas.log(author.id, store);
      // A sleeping feed is asked for from where it stands, so that it can wake.
      const floor = returned ? undefined : replicas.floor(author.id, store);
      return headOf(store, log) ?? notKept(store, floor);
    });
  }
  for (const author of replicas.forgotten()) add(author, (store) => notKept(store, replicas.floor(author.id, store)));
  return summaries;
}

function headOf(store: StoreName, log: FeedLog | undefined): RemoteHead | undefined {
  if (log === undefined) return undefined;
  const { epoch, seq, hash } = log.head;
  return { store, epoch, seq, hash: hash.subarray(0, summaryHashBytes) };
}

function notKept(store: StoreName, floor: Position | undefined): RemoteHead | undefined {
  return floor === undefined ? undefined : { store, epoch: floor.epoch, seq: floor.seq, hash: new Uint8Array(0) };
}

export function* missingFeeds(
  source: SyncSource,
  theirs: readonly RemoteAuthor[],
  buckets: ReadonlySet<number>,
): Generator<Uint8Array> {
  const remote = new Map(theirs.map((author) => [Buffer.from(author.key).toString('latin1'), author]));
  const find = (author: AuthorKey) => remote.get(Buffer.from(author.raw).toString('latin1'));
  if (buckets.has(bucketOf(source.ownKey.raw))) {
    const known = find(source.ownKey);
    for (const [store, feed] of source.own) yield* missingOf(feed.log, known, store);
  }
  // A copy, since feeds come and go while a slow stream is being written.
  for (const author of [...source.replicas.authors()]) {
    if (!buckets.has(bucketOf(author.raw))) continue;
    const known = find(author);
    const quarantine = source.replicas.quarantineOf(author.id);
    if (quarantine !== undefined) {
      if (known?.quarantined !== true && quarantine.proof !== undefined) yield quarantine.proof;
      continue;
    }
    for (const store of storeNames) {
      if (source.replicas.isDormant(author.id, store)) continue;
      yield* missingOf(source.replicas.log(author.id, store), known, store);
    }
  }
}

function missingOf(log: FeedLog | undefined, known: RemoteAuthor | undefined, store: StoreName): Uint8Array[] {
  if (log === undefined || known?.quarantined === true) return [];
  const head = known?.heads.find((candidate) => candidate.store === store);
  if (head === undefined) return log.from(0);
  const ours = log.head;
  if (head.hash.length === 0) return isBefore(head, ours) ? log.from(0) : [];
  if (head.epoch !== ours.epoch) return isBefore(head, ours) ? log.from(0) : [];
  const kept = log.at(head.seq);
  // Two contents for one place: whoever sees both has the proof.
  if (kept !== undefined && !sameBytes(kept.hash.subarray(0, summaryHashBytes), head.hash)) return log.from(head.seq);
  return head.seq < ours.seq ? log.from(head.seq + 1) : [];
}
