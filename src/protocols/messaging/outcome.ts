/** The errors a call can end with, made in one place so that every path words them alike. */

import { type ErrorCode, isQuorateError, QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { AgentId } from '../../value.ts';

/** Why the handler never saw the message, though nobody refused it. `data.reason` of `NOT_DELIVERED`. */
export type NotDeliveredReason = 'unreachable' | 'connection-lost' | 'cancelled' | 'deadline' | 'stopped';
/** Who refused it. `data.reason` of `REJECTED`. */
export type RejectedReason =
  | 'no-such-agent'
  | 'no-such-method'
  | 'mailbox-full'
  | 'overloaded'
  | 'draining'
  | 'stream-limit'
  | 'agent-gone'
  | 'circuit-open'
  | 'rate-limited';
/** What was lost after sending. `data.reason` of `UNKNOWN_OUTCOME`. */
export type UnknownReason =
  | 'deadline'
  | 'connection-lost'
  | 'cancelled'
  | 'unreachable'
  | 'agent-gone'
  | 'stopped'
  | 'reply-lost'
  | 'stalled';

const notDeliveredText: Record<NotDeliveredReason, string> = {
  unreachable: 'its node cannot be reached',
  'connection-lost': 'the connection was lost before the message left this node',
  cancelled: 'the call was cancelled before the message left',
  deadline: 'the deadline passed before its turn came',
  stopped: 'this node is stopping',
};

export function notDelivered(agent: AgentId, reason: NotDeliveredReason, node?: NodeId, cause?: unknown): QuorateError {
  return new QuorateError(
    'NOT_DELIVERED',
    `The message to agent ${agent} was not delivered: ${notDeliveredText[reason]}. Its handler never saw it, so sending again is safe.`,
    node === undefined ? { agent, reason } : { agent, reason, node },
    { cause },
  );
}

const rejectedText: Record<RejectedReason, string> = {
  'no-such-agent': 'no agent of that name is registered; check the id, or wait for it with registry.watch',
  'no-such-method': 'it has no such method',
  'mailbox-full': 'its mailbox is full; call more slowly, raise its limits, or start more agents of its kind',
  overloaded: 'too much is under way between the two nodes; call more slowly',
  draining: 'its node is shutting down; another agent may take the call',
  'stream-limit': 'too many streams are open; close some first',
  'agent-gone': 'it was unregistered while the message waited',
  'circuit-open': 'its circuit breaker is open; try again after data.retryAfterMs, or name fallback agents',
  'rate-limited': 'a rate limit of this node is used up; try again after data.retryAfterMs',
};

export function rejected(
  agent: AgentId,
  reason: RejectedReason,
  extra: Readonly<Record<string, unknown>> = {},
): QuorateError {
  return new QuorateError('REJECTED', `The message to agent ${agent} was refused: ${rejectedText[reason]}.`, {
    agent,
    reason,
    ...extra,
  });
}

const unknownText: Record<UnknownReason, string> = {
  deadline: 'the deadline passed',
  'connection-lost': 'the connection to its node was lost',
  cancelled: 'the call was cancelled',
  unreachable: 'its node became unreachable',
  'agent-gone': 'it was unregistered',
  stopped: 'this node stopped',
  'reply-lost': 'its reply could not be sent back',
  stalled: 'nobody read the stream',
};

export function unknownOutcome(agent: AgentId, reason: UnknownReason, node?: NodeId, cause?: unknown): QuorateError {
  return new QuorateError(
    'UNKNOWN_OUTCOME',
    `What became of the message to agent ${agent} is unknown: ${unknownText[reason]} after it was sent. The handler may have run; repeat it only with an idempotency key.`,
    node === undefined ? { agent, reason } : { agent, reason, node },
    { cause },
  );
}

const maxText = 1_024;
const cut = (text: string): string => (text.length <= maxText ? text : `${text.slice(0, maxText - 1)}…`);

/** What a handler threw, as its caller sees it: name, message and code, never the stack. */
export function handlerFailed(agent: AgentId, method: string, thrown: unknown): QuorateError {
  const failure = describeThrown(thrown);
  const place = method === '' ? agent : `${agent}.${method}`;
  return new QuorateError(
    'HANDLER_FAILED',
    cut(`The handler of ${place} failed: ${failure.message}`),
    { agent, method, ...failure },
    { cause: thrown },
  );
}

interface ThrownDescription {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly data?: unknown;
}

/** Reads a thrown thing without trusting it: its properties may be getters that throw as well. */
function describeThrown(thrown: unknown): ThrownDescription {
  try {
    if (isQuorateError(thrown)) {
      return { name: thrown.name, message: cut(thrown.message), code: thrown.code, data: thrown.data };
    }
    if (thrown instanceof Error) {
      const code = (thrown as { code?: unknown }).code;
      const base = { name: cut(String(thrown.name)), message: cut(String(thrown.message)) };
      return typeof code === 'string' ? { ...base, code: cut(code) } : base;
    }
    return { name: 'Error', message: cut(String(thrown)) };
  } catch (_unreadable) {
    return { name: 'Error', message: 'it threw something that cannot be read' };
  }
}

/** A call that asked for one reply reached a handler that streams. */
export function streamedReply(agent: AgentId, method: string): QuorateError {
  const place = method === '' ? agent : `${agent}.${method}`;
  return new QuorateError(
    'HANDLER_FAILED',
    `The handler of ${place} answers with a stream; use stream() instead of call().`,
    { agent, method, reason: 'streamed-reply' },
  );
}

const retryableRejections: ReadonlySet<unknown> = new Set<RejectedReason>([
  'no-such-agent',
  'mailbox-full',
  'overloaded',
  'draining',
  'stream-limit',
  'agent-gone',
]);

/** May this failure be tried again? After an unknown outcome only when repeats are recognised by a key. */
export function invitesRetry(error: unknown, hasKey: boolean): boolean {
  if (!isQuorateError(error)) return false;
  const reason = error.data['reason'];
  if (error.code === 'NOT_DELIVERED') return reason === 'unreachable' || reason === 'connection-lost';
  if (error.code === 'REJECTED') return retryableRejections.has(reason);
  if (error.code !== 'UNKNOWN_OUTCOME' || !hasKey) return false;
  return reason === 'connection-lost' || reason === 'unreachable' || reason === 'reply-lost';
}

/** Codes as they travel; append only. */
export const wireCodes: readonly ErrorCode[] = [
  'NOT_DELIVERED',
  'REJECTED',
  'UNKNOWN_OUTCOME',
  'HANDLER_FAILED',
  'PAYLOAD_TOO_LARGE',
  'UNSUPPORTED_VALUE',
];
