/** What may be asked for with a message. */
import type { AgentId, Value } from '../../value.ts';
import type { ResolveOptions } from '../registry/records.ts';
import type { AnsweredBy } from './call-policy.ts';

/** W3C trace context, carried along unchanged. */
export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate?: string;
}

export interface CastOptions {
  /** Name of a method of the agent. Default: the handler itself. */
  readonly method?: string;
  /** How the target is chosen when criteria are given. */
  readonly resolve?: ResolveOptions;
  readonly trace?: TraceContext;
  /** Sent as `callerAgent`. */
  readonly from?: AgentId;
  readonly signal?: AbortSignal;
  /**
   * Milliseconds, finite. For a call the total time for all attempts, default 5,000; for a cast how long the message
   * may wait and run, default 60,000; for a stream the wait for each item, default 5,000.
   */
  readonly timeoutMs?: number;
  /**
   * Told once who answered, just before the call resolves: for a cast once it is in the mailbox, for a stream with its first item.
   * A fallback of an open breaker says so. Not told of failures.
   */
  readonly onAnswered?: (by: AnsweredBy) => void;
}

export interface CallOptions extends CastOptions {
  /** Makes repeats of the call safe: the callee's node runs it once and answers repeats with the first reply, for its window. */
  readonly idempotencyKey?: string;
  /**
   * How often to try again after `NOT_DELIVERED` or a refusal that invites it (and, with an idempotency key, after
   * `UNKNOWN_OUTCOME`). Criteria choose again each time, without those that failed. Default 1 for
   * criteria or with a key, else 0. All retries draw on one budget of about 10 % of the calls.
   */
  readonly retries?: number;
}

export interface StreamOptions extends Omit<CallOptions, 'idempotencyKey' | 'retries'> {
  /** Streamed to the handler as `context.input`. */
  readonly input?: AsyncIterable<Value>;
}
