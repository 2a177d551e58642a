/**
 * The messaging protocol: talk to an agent by id (or to the best match of criteria), wherever it runs.
 *
 * At most once by default. Each failed call says which of three things happened: `NOT_DELIVERED` (the
 * handler never saw it, retrying is safe), `REJECTED` (refused before the handler: overload, no such
 * agent, draining) or `UNKNOWN_OUTCOME` (deadline, cancellation or connection lost after sending).
 * A handler that threw is `HANDLER_FAILED`: the outcome is known, and it is the handler's.
 */
import type { NodeId } from '../../node-id.ts';
import type { AgentId, Value } from '../../value.ts';
import type { Criteria } from '../registry/records.ts';
import type { CallOptions, CastOptions, StreamOptions, TraceContext } from './call-options.ts';
import type { AgentRef } from './ref.ts';

export type { CallOptions, CastOptions, StreamOptions, TraceContext } from './call-options.ts';

/** Who calls and under which terms; given to each invocation of a handler. */
export interface CallContext {
  /** The agent called, and the method (empty when none was named). */
  readonly agent: AgentId;
  readonly method: string;
  /** The node the call came from, authenticated by the transport. */
  readonly callerNode: NodeId;
  /** The agent that called, as its node says; undefined for a call made by the application itself. */
  readonly callerAgent: AgentId | undefined;
  /**
   * Aborts at the deadline, when the caller cancels, when it is gone, and when the agent is unregistered. With an idempotency
   * key not when the caller is gone, since it may come back for the reply. The reason is a `QuorateError`.
   */
  readonly signal: AbortSignal;
  /** Milliseconds left until the caller's deadline; Infinity for a stream that is not part of a call. */
  remainingMs(): number;
  readonly idempotencyKey: string | undefined;
  readonly trace: TraceContext | undefined;
  /** What the caller streams in; empty for `call` and `cast`. */
  readonly input: AsyncIterable<Value>;
  /** Calls made through this carry the deadline (what is left of it), the cancellation, the trace and the agent's name. */
  readonly mesh: Messaging;
}

/**
 * Returns the reply, or an async iterable (an async generator, say) for a streamed reply. What it throws
 * reaches the caller as `HANDLER_FAILED` with name, message and, for a `QuorateError`, code.
 * Messages and replies in one process are passed by reference: treat them as immutable.
 */
export type MethodHandler = (message: never, context: CallContext) => unknown;

/** One function for all messages, or one per method. */
export type AgentHandler = MethodHandler | { readonly [method: string]: MethodHandler };

export interface Messaging {
  /**
   * Sends `message` and resolves with the reply. Throws `NOT_DELIVERED`, `REJECTED`, `UNKNOWN_OUTCOME`,
   * `HANDLER_FAILED`, `NO_MATCH` (criteria that nobody meets), `PAYLOAD_TOO_LARGE`, `UNSUPPORTED_VALUE`, `INVALID_ARGUMENT`.
   */
  call<Reply = Value>(target: AgentId | Criteria, message: unknown, options?: CallOptions): Promise<Reply>;
  /**
   * Sends without waiting for a reply; resolves once the message is in the agent's mailbox, on whichever node,
   * and fails like `call` when it was refused or that is not known. It outlives the call it is made in.
   */
  cast(target: AgentId | Criteria, message: unknown, options?: CastOptions): Promise<void>;
  /**
   * A streamed reply, read with backpressure. `timeoutMs` bounds the wait for each item, not the whole.
   * Leaving the loop early cancels the handler.
   */
  stream<Item = Value>(target: AgentId | Criteria, message: unknown, options?: StreamOptions): AsyncIterable<Item>;
  /**
   * The agent as an object: `ref<Counter>('counter').count(text)` is `call('counter', text, { method: 'count' })`,
   * with the types of the handler object `Counter`. Makes no claim that the agent exists.
   */
  ref<Api>(target: AgentId | Criteria): AgentRef<Api>;
}

/** What the messaging protocol needs of a registry besides the public interface: the handlers of this process. */
export interface LocalHandlers {
  get(id: AgentId): AgentHandler | undefined;
  /** Called when a local agent is gone; its mailbox is emptied and its calls abort. */
  onGone(listener: (id: AgentId) => void): () => void;
}

/** Of one agent of this node. */
export interface MailboxStatus {
  readonly agent: AgentId;
  readonly running: number;
  readonly queued: number;
}
