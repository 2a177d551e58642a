/**
 * The face of the replicated feeds, as the protocols see it. Each node is the single writer of its own
 * feeds; everybody holds a copy of everybody's. Reads are synchronous and local. Implemented by
 * `FeedStore`; how bytes travel is the business of `protocols/replication`.
 */
import type { NodeId } from '../node-id.ts';
import type { Value } from '../value.ts';

/** A feed is one author's map for one purpose. Append only: a second implementation relies on the names. */
export type StoreName = 'members' | 'registry' | 'variables' | 'counters';

/** How far a feed is known. `epoch` rises with each start of the author, `seq` with each envelope in it. */
export interface FeedHead {
  readonly epoch: number;
  readonly seq: number;
  /** Content hash of the newest envelope. Not to be written to. */
  readonly hash: Uint8Array;
}

/** One entry of one feed became `value`, or was deleted (`value` undefined). */
export interface FeedChange {
  readonly author: NodeId;
  readonly store: StoreName;
  readonly key: string;
  readonly value: Value;
  readonly previous: Value;
}

export interface Feeds {
  readonly self: NodeId;
  /**
   * Writes to this node's own feed; visible here when the call returns, elsewhere after replication.
   * Throws `UNSUPPORTED_VALUE`, `PAYLOAD_TOO_LARGE` or `LIMIT_EXCEEDED` and then has written nothing.
   */
  set(store: StoreName, key: string, value: Value): void;
  /** Deletes from this node's own feed; a missing key is no error. */
  delete(store: StoreName, key: string): void;
  get(author: NodeId, store: StoreName, key: string): Value;
  entries(author: NodeId, store: StoreName): ReadonlyMap<string, Value>;
  /** Authors with a feed in that store, without the quarantined ones. */
  authors(store: StoreName): Iterable<NodeId>;
  head(author: NodeId, store: StoreName): FeedHead | undefined;
  /** Local writes too, after the write. Changes of one envelope come together, in one call. */
  onChange(listener: (changes: readonly FeedChange[]) => void): () => void;
}
