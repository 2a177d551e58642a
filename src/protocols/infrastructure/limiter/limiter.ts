/** Rate limits: so many requests per second over a whole mesh, decided locally. */
import type { NodeId } from '../../../node-id.ts';
import type { AgentId } from '../../../value.ts';
import type { Criteria } from '../../registry/records.ts';

/** Nodes that share a limit make it with the same options: each divides the rate that it was given itself. */
export interface RateLimiterOptions {
  /** The same on all nodes that share the limit: 1 to 128 characters. */
  readonly id: string;
  /** Of the whole scope (and of each key). */
  readonly requestsPerSecond: number;
  /** How many may come at once after a pause, over the whole scope. With `strict` at least a twentieth of `requestsPerSecond`. Default: a tenth of it, at least 1. */
  readonly burst?: number | undefined;
  /** Default `'cluster'`. */
  readonly scope?: 'node' | 'zone' | 'cluster' | undefined;
  /**
   * How the rate is divided among live nodes, always so that what one does not need is lent to those that do. `equal`; `weightedByCapacity`: in proportion to the `capacity.cpu` (or
   * `capacityName`) they announce; `byDemand`: in proportion to what each asks for. Default `byDemand`.
   */
  readonly distribution?: 'weightedByCapacity' | 'equal' | 'byDemand' | undefined;
  readonly capacityName?: string | undefined;
  /** Limits each key separately, e.g. each tenant: the key of a protected call. By hand keys are given to `tryAcquire`. */
  readonly key?: ((call: { readonly agent: AgentId; readonly method: string }) => string) | undefined;
  /** Keys kept at a time on a node; the one unused for longest is forgotten. Default 10,000. */
  readonly maxKeys?: number | undefined;
  /** Calls to these agents pass the limit first: an id, or criteria (a capability, say). Default: none, used by hand. */
  readonly agents?: AgentId | Criteria | undefined;
  readonly method?: string | undefined;
  /** What a protected call does when nothing is left: fail with `REJECTED` (`rate-limited`, `data.retryAfterMs`), or wait, in order. Default `reject`. */
  readonly whenExceeded?: 'reject' | 'wait' | undefined;
  /** Waiting at most, beyond which they are refused. Default 1,000. */
  readonly maxQueue?: number | undefined;
  /**
   * Quotas from the validators instead of shares: never more than the limit in any second of agreed time, whatever is cut off or lies among the nodes,
   * and nothing without a quorum. Default false.
   */
  readonly strict?: boolean | undefined;
}

/** What became of a request: taken, or when to ask again. */
export type RateDecision =
  | { readonly allowed: true /** Tokens left here now. */; readonly remaining: number }
  | {
      readonly allowed: false /** Milliseconds until it would be allowed here, as things stand. */;
      readonly retryAfterMs: number;
    };

/** How a limit is, as seen by this node. */
export interface RateLimiterStatus {
  readonly id: string;
  readonly scope: 'node' | 'zone' | 'cluster';
  readonly strict: boolean;
  readonly requestsPerSecond: number;
  /** What this node may admit per second now, without a key; with `strict` what it may admit at this moment. And what it is asked for per second. */
  readonly share: number;
  readonly demand: number;
  /** As announced by the nodes that take part; none with `strict`. */
  readonly shares: Readonly<Record<NodeId, number>>;
  readonly admitted: number;
  readonly refused: number;
  readonly waiting: number;
  readonly keys: number;
}

/** A limit as this node holds it, until it is disposed of: then its share is free for the others. */
export interface RateLimiter extends Disposable {
  readonly id: string;
  /**
   * Takes tokens if there are enough now; local, synchronous, about a microsecond. With `strict` only from the quota at hand. Throws `INVALID_ARGUMENT` (more than `burst` at once can never pass; with `strict` more than what the validators hold,
   * about half of it), `STOPPED`.
   *
   * @example
   * const decision = limiter.tryAcquire({ key: tenant });
   * if (!decision.allowed) return tooManyRequests(decision.retryAfterMs);
   */
  tryAcquire(options?: { readonly tokens?: number | undefined; readonly key?: string | undefined }): RateDecision;
  /**
   * Waits its turn, first come first served. Throws `RATE_LIMITED` (`data.retryAfterMs`) when the queue is full or `maxWaitMs` (default 5,000) would not suffice,
   * the reason of `signal`, `STOPPED`; strict: `NO_VALIDATORS`, `NO_QUORUM` (both after about 2 s; with a shorter `maxWaitMs` `RATE_LIMITED`, which says so).
   */
  acquire(options?: {
    readonly tokens?: number | undefined;
    readonly key?: string | undefined;
    readonly maxWaitMs?: number | undefined;
    readonly signal?: AbortSignal | undefined;
  }): Promise<void>;
  status(): RateLimiterStatus;
  [Symbol.dispose](): void;
}
