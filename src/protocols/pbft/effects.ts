/**
 * What goes in and what comes out of the core.
 *
 * The driver's contract:
 * 1. Feed one input at a time; carry out the returned effects strictly in order.
 * 2. A `send` may leave, and an `event` be shown, only when every `persist` that stood before it, in this array
 *    or an earlier one, is on disk. That alone makes promises survive a crash; several records may share one
 *    sync. (A replica counts its own vote at once: what it executed is settled only when that vote is on disk.)
 * 3. `wake` replaces the wish before it: feed `{ type: 'wake' }` at that time of the monotonic clock or later.
 * 4. After a start, give `restore` the records of the log in order, then feed `{ type: 'start' }`.
 * 5. A record `checkpoint` makes every record before it about sequences up to its own obsolete, as
 *    `recordsToKeep` says; the driver may rewrite its log then.
 * 6. What throws is a broken invariant: stop this replica, keep its log.
 */
import type { NodeId } from '../../node-id.ts';
import type { Group } from './group.ts';
import type { Digest, Message } from './messages.ts';
import type { RequestResult } from './replicated.ts';
import type { Accepted } from './validate.ts';

export interface Now {
  /** Milliseconds on a clock that never goes back; for timeouts. */
  readonly monotonicMs: number;
  /** Milliseconds since 1970 as this machine believes; only ever proposed or compared as agreed time. */
  readonly wallMs: number;
}

export type Input =
  /** Once, first. */
  | { readonly type: 'start' }
  | { readonly type: 'message'; readonly accepted: Accepted }
  | { readonly type: 'wake' }
  /** A hint that this peer does not answer: nobody waits out a time-out for a primary known to be gone. Only liveness depends on it. */
  | { readonly type: 'unreachable'; readonly peer: NodeId };

/** One entry of the write-ahead log; `bytes` are read back by recovery.ts only. */
export interface LogRecord {
  readonly kind: 'proposal' | 'prepared' | 'executed' | 'viewChange' | 'newView' | 'checkpoint';
  readonly epoch: number;
  /** The sequence it is about; 0 for records about a view. */
  readonly seq: number;
  readonly view: number;
  readonly bytes: Uint8Array;
}

/** Two contradicting statements signed by one replica: whoever has its key can check them. */
export interface Evidence {
  readonly offender: NodeId;
  readonly kind: 'prePrepare' | 'prepare' | 'checkpoint' | 'viewChange';
  readonly first: Uint8Array;
  readonly second: Uint8Array;
}

/** What happened, for people and for the layers above; carries no duty. */
export type ReplicaEvent =
  | {
      readonly kind: 'executed';
      readonly seq: number;
      readonly digest: Digest;
      readonly time: number;
      readonly results: readonly RequestResult[];
    }
  | { readonly kind: 'view'; readonly view: number; readonly primary: NodeId; readonly active: boolean }
  | { readonly kind: 'stable'; readonly seq: number }
  | { readonly kind: 'epoch'; readonly group: Group; readonly validator: boolean }
  | {
      readonly kind: 'transfer';
      readonly seq: number;
      readonly state: 'started' | 'finished' | 'bad-part';
      readonly peer?: NodeId;
    }
  | { readonly kind: 'evidence'; readonly evidence: Evidence }
  /** A quorum certified another state than this replica computed: it fetches theirs. Look for non-determinism. */
  | { readonly kind: 'diverged'; readonly seq: number; readonly own: Digest; readonly certified: Digest };

export type Effect =
  | { readonly type: 'persist'; readonly record: LogRecord }
  | { readonly type: 'send'; readonly to: readonly NodeId[]; readonly message: Message }
  | { readonly type: 'wake'; readonly atMs: number }
  | { readonly type: 'event'; readonly event: ReplicaEvent };
