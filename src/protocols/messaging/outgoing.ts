/** A message about to be sent, with everything that was asked for it, checked once. */
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { AgentId } from '../../value.ts';
import type { Invocation, MessageHeader } from './invocation.ts';
import { maxAgentIdBytes, maxKeyBytes, maxMethodBytes, maxTimeoutMs, maxTraceBytes } from './limits.ts';
import type { CallOptions, TraceContext } from './messaging.ts';

export class Outgoing implements MessageHeader {
  readonly agent: AgentId;
  readonly message: unknown;
  readonly method: string;
  readonly callerNode: NodeId;
  readonly callerAgent: AgentId | undefined;
  readonly idempotencyKey: string | undefined;
  readonly trace: TraceContext | undefined;
  /** On the clock's scale. */
  readonly deadlineAt: number;
  readonly signal: AbortSignal | undefined;
  /** The invocation on whose behalf it is sent. */
  readonly scope: Invocation | undefined;

  constructor(
    self: NodeId,
    agent: AgentId,
    message: unknown,
    deadlineAt: number,
    options: CallOptions | undefined,
    scope: Invocation | undefined,
  ) {
    this.agent = agent;
    this.message = message;
    this.callerNode = self;
    this.deadlineAt = deadlineAt;
    this.scope = scope;
    if (options === undefined) {
      this.method = '';
      this.callerAgent = scope?.agent;
      this.idempotencyKey = undefined;
      this.trace = scope?.trace;
      this.signal = undefined;
    } else {
      this.method = options.method ?? '';
      this.callerAgent = options.from ?? scope?.agent;
      this.idempotencyKey = options.idempotencyKey;
      this.trace = options.trace ?? scope?.trace;
      this.signal = options.signal;
    }
  }
}

/** Something that can be told to give up, and lets go of what told it. */
export interface Cancellable {
  cancel(): void;
}

/**
 * Ties a call to the caller's signal and to the invocation it is made for. Answers how to untie it again,
 * undefined when there is nothing to untie. Neither may be aborted already.
 */
export function linkCancellation(
  signal: AbortSignal | undefined,
  scope: Invocation | undefined,
  call: Cancellable,
): (() => void) | undefined {
  if (signal === undefined && scope === undefined) return undefined;
  const cancel = (): void => call.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  const unlinkScope = scope?.onAbort(cancel);
  return () => {
    signal?.removeEventListener('abort', cancel);
    unlinkScope?.();
  };
}

export function isCancelled(outgoing: Outgoing): boolean {
  return outgoing.signal?.aborted === true || outgoing.scope?.abortedWith !== undefined;
}

/** Throws `INVALID_ARGUMENT` naming every option that is wrong. */
export function checkOptions(options: CallOptions): void {
  const wrong: string[] = [];
  const { timeoutMs, retries } = options;
  if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs > 0 && timeoutMs <= maxTimeoutMs)) {
    wrong.push(`timeoutMs must be above 0 and at most ${maxTimeoutMs} milliseconds`);
  }
  if (retries !== undefined && !(Number.isInteger(retries) && retries >= 0 && retries <= 100)) {
    wrong.push('retries must be a whole number from 0 to 100');
  }
  checkText(wrong, 'method', options.method, maxMethodBytes);
  checkText(wrong, 'from', options.from, maxAgentIdBytes);
  checkText(wrong, 'idempotencyKey', options.idempotencyKey, maxKeyBytes);
  checkText(wrong, 'trace.traceparent', options.trace?.traceparent, maxTraceBytes);
  checkText(wrong, 'trace.tracestate', options.trace?.tracestate, maxTraceBytes);
  if (options.onAnswered !== undefined && typeof options.onAnswered !== 'function') {
    wrong.push('onAnswered must be a function');
  }
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal)) {
    wrong.push('signal must be an AbortSignal');
  }
  if (wrong.length > 0)
    throw new QuorateError('INVALID_ARGUMENT', `These options are wrong: ${wrong.join('; ')}.`, { wrong });
}

/** Throws `INVALID_ARGUMENT` for what cannot be the name of an agent. */
export function checkAgentId(id: unknown): void {
  if (typeof id === 'string' && id.length > 0 && (id.length <= 64 || Buffer.byteLength(id) <= maxAgentIdBytes)) return;
  throw new QuorateError('INVALID_ARGUMENT', `An agent id is a string of 1 to ${maxAgentIdBytes} bytes.`, {
    id: typeof id === 'string' ? id.slice(0, 300) : typeof id,
  });
}

function checkText(wrong: string[], name: string, value: unknown, limit: number): void {
  if (value === undefined) return;
  if (typeof value !== 'string' || value.length > limit || Buffer.byteLength(value) > limit) {
    wrong.push(`${name} must be a string of at most ${limit} bytes`);
  }
}
