/**
 * What stands between a call and its sending: breakers, rate limits, meters. Messaging asks one `CallPolicy` before each attempt of a call,
 * cast or stream, and tells it how that ended. Without a policy it costs one comparison.
 */
import type { AgentId } from '../../value.ts';
import type { Criteria } from '../registry/records.ts';

export interface AttemptInfo {
  readonly agent: AgentId;
  /** Empty when none was named. */
  readonly method: string;
  /** On the clock's scale; Infinity for a stream outside of calls. */
  readonly deadlineAt: number;
  /** Aborts when the caller gives up. */
  readonly signal: AbortSignal | undefined;
  /** The refusal by an open breaker that this attempt, at a fallback, makes up for. */
  readonly insteadOf?: unknown;
}

/**
 * Told exactly once how an admitted attempt ended: undefined when it succeeded. For a cast: once it is in the mailbox; for a stream: at its end, or when its reader
 * leaves. Must not throw.
 */
export type AttemptEnd = (error: unknown) => void;

export interface CallPolicy {
  /**
   * May this attempt be made? Undefined: yes, and nobody wants to know how it ends (the fast path). A function: yes, and call it at the end. Throws a `REJECTED`
   * with reason `circuit-open` (`data.fallbacks`: agents to try instead, in order) or `rate-limited` (`data.retryAfterMs`). A promise: it waits its turn; rejects likewise.
   */
  admit(attempt: AttemptInfo): AttemptEnd | undefined | Promise<AttemptEnd | undefined>;
}

/** Who answered, told by `onAnswered` of the options of a call. */
export interface AnsweredBy {
  readonly agent: AgentId;
  /** The agent or criteria that was asked for, when a breaker was open and a fallback answered. */
  readonly fallbackFor: AgentId | Criteria | undefined;
  /** Attempts made, the successful one included. */
  readonly attempts: number;
}
