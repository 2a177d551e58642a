import { expect, test } from 'vitest';
import { type ErrorCode, QuorateError } from '../../../../src/errors.ts';
import { classifyOutcome } from '../../../../src/protocols/infrastructure/breaker/classify.ts';
import { streamedReply } from '../../../../src/protocols/messaging/outcome.ts';

const of = (code: ErrorCode, reason?: string): string => classifyOutcome(new QuorateError(code, '', { reason }));

test('what the agent, its node or the way there did counts; what the caller did does not', () => {
  expect(classifyOutcome(undefined)).toBe('success');
  const failures: [ErrorCode, string?][] = [
    ['NOT_DELIVERED', 'unreachable'],
    ['NOT_DELIVERED', 'connection-lost'],
    ['NOT_DELIVERED', 'deadline'],
    ['REJECTED', 'no-such-agent'],
    ['REJECTED', 'mailbox-full'],
    ['REJECTED', 'overloaded'],
    ['REJECTED', 'draining'],
    ['REJECTED', 'agent-gone'],
    ['UNKNOWN_OUTCOME', 'deadline'],
    ['UNKNOWN_OUTCOME', 'connection-lost'],
    ['HANDLER_FAILED'],
  ];
  for (const [code, reason] of failures) expect([code, reason, of(code, reason)]).toEqual([code, reason, 'failure']);
  const ignored: [ErrorCode, string?][] = [
    ['NOT_DELIVERED', 'cancelled'],
    ['NOT_DELIVERED', 'stopped'],
    ['REJECTED', 'no-such-method'],
    ['REJECTED', 'stream-limit'],
    ['REJECTED', 'circuit-open'],
    ['REJECTED', 'rate-limited'],
    ['UNKNOWN_OUTCOME', 'cancelled'],
    ['UNKNOWN_OUTCOME', 'stalled'],
    ['PAYLOAD_TOO_LARGE'],
    ['UNSUPPORTED_VALUE'],
    ['STOPPED'],
  ];
  for (const [code, reason] of ignored) expect([code, reason, of(code, reason)]).toEqual([code, reason, 'ignore']);
  expect(classifyOutcome(streamedReply('agent', ''))).toBe('ignore');
  expect(classifyOutcome(new Error('of no code'))).toBe('ignore');
});
