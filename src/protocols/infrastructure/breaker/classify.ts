/** How the outcome of a call counts, unless its breaker says otherwise. */
import { isQuorateError } from '../../../errors.ts';
import type { NotDeliveredReason, RejectedReason, UnknownReason } from '../../messaging/outcome.ts';
import type { CallVerdict } from './breaker.ts';

/** Not the agent's doing: the caller gave up, asked for something that is not there, or was held back by its own node. */
const notDeliveredIgnored: ReadonlySet<unknown> = new Set<NotDeliveredReason>(['cancelled', 'stopped']);
const rejectedIgnored: ReadonlySet<unknown> = new Set<RejectedReason>([
  'no-such-method',
  'stream-limit',
  'circuit-open',
  'rate-limited',
]);
const unknownIgnored: ReadonlySet<unknown> = new Set<UnknownReason>(['cancelled', 'stopped', 'stalled']);

export function classifyOutcome(error: unknown): CallVerdict {
  if (error === undefined) return 'success';
  if (!isQuorateError(error)) return 'ignore';
  const reason = error.data['reason'];
  switch (error.code) {
    case 'NOT_DELIVERED':
      return notDeliveredIgnored.has(reason) ? 'ignore' : 'failure';
    case 'REJECTED':
      return rejectedIgnored.has(reason) ? 'ignore' : 'failure';
    case 'UNKNOWN_OUTCOME':
      return unknownIgnored.has(reason) ? 'ignore' : 'failure';
    case 'HANDLER_FAILED':
      // Asked for one reply where the handler streams: the caller's mistake.
      return reason === 'streamed-reply' ? 'ignore' : 'failure';
    default:
      return 'ignore';
  }
}
