/**
 * Quotas of a rate: the validators hold one token bucket for each limit, filled in agreed time, and nodes take what they will use soon. Whoever is cut off from a quorum gets none, and no
 * node has more than it was given.
 */
import type { OrderingOptions } from '../ordering.ts';

export interface QuotaRequest {
  /** Names the bucket, which is made full by the first request: 1 to 256 characters. */
  readonly limit: string;
  /** Requests per second of agreed time. */
  readonly rate: number;
  /** Tokens that the full bucket holds, at least 1. */
  readonly capacity: number;
  /** Whole tokens wanted, at least 1 and at most `capacity`. */
  readonly want: number;
}

export interface Quota {
  /** Whole tokens, 0 to `want`. */
  readonly granted: number;
  /** When the rest of what was wanted, or a part of it, may be had: milliseconds from then. 0 when all was granted. */
  readonly retryAfterMs: number;
}

export interface Quotas {
  /**
   * Takes up to `want` tokens. Rejects with `CONFLICT` where the limit is in use with another rate or capacity (`data.rate`, `data.capacity`), with `LIMIT_EXCEEDED`
   * where there are too many limits, and as `Ordering.submit` does; after `UNKNOWN_OUTCOME` the tokens may have been taken, and nobody uses them.
   */
  take(request: QuotaRequest, options?: OrderingOptions): Promise<Quota>;
}
