/**
 * What variables, breakers, limits and monitors share: each node writes an entry of its own under a key, and reads the entries
 * of all live nodes under that key. Reads are local and synchronous. Two implementations: one process (`LocalEntries`) and
 * the signed feeds of a mesh (`FeedEntries`); what is built on this interface behaves alike in both.
 *
 * Entries of others are hostile input: only their size is bounded (32 KiB), their shape is the reader's to check.
 */
import type { NodeId } from '../../node-id.ts';
import type { Value } from '../../value.ts';

/** Told of each change of what `of(key)` answers, after it. Must not throw; what it throws is reported. */
export type EntriesListener = (key: string) => void;

/**
 * `live`: alive or suspect. `silent`: does not answer, and may be cut off rather than dead. `gone`: said goodbye, was removed, or its process has ended (its
 * host refuses connections). `unknown`: never heard of, or forgotten.
 */
export type Standing = 'live' | 'silent' | 'gone' | 'unknown';

export interface SharedEntries {
  readonly self: NodeId;
  /**
   * Writes this node's entry; listeners here hear of it before the call returns, other nodes after replication: at once after a silence,
   * coalesced within 5 ms otherwise. Writing what is there already costs nothing. Throws `LIMIT_EXCEEDED`, `PAYLOAD_TOO_LARGE`,
   * `UNSUPPORTED_VALUE`, and then has written nothing.
   */
  set(key: string, value: Value): void;
  /** Deletes this node's entry; a missing one is no error. */
  delete(key: string): void;
  /** This node's own entry. */
  own(key: string): Value;
  /** The entries of this node and of every node that is alive or suspect. Not to be kept: read it anew after each change. */
  of(key: string): ReadonlyMap<NodeId, Value>;
  /** Keys under which anybody visible has an entry. */
  keys(): Iterable<string>;
  /** Hears of one key until the returned function is called. */
  onKey(key: string, listener: EntriesListener): () => void;
  /** Hears of every key that begins with `prefix`. */
  onPrefix(prefix: string, listener: EntriesListener): () => void;
  /** Live nodes, this one included: alive or suspect. */
  nodes(): readonly NodeId[];
  /** Hears that `nodes` or a zone has changed. */
  onNodes(listener: () => void): () => void;
  zoneOf(node: NodeId): string | undefined;
  standing(node: NodeId): Standing;
}
