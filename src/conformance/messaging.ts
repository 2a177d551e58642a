/**
 * What every `Messaging` must do, as cases for any test runner. Third parties prove their own
 * implementation with it.
 *
 * @example
 * import { test } from 'node:test';
 * import { messagingConformance } from 'quorate/conformance';
 * messagingConformance({ test, create: async () => ({ messaging, callerNode, register, stop }) });
 */
import { callCases } from './messaging-calls.ts';
import { streamCases } from './messaging-streams.ts';
import type { MessagingSubject } from './messaging-support.ts';
import { type ConformanceOptions, declareCases } from './suite.ts';

export type { MessagingSubject } from './messaging-support.ts';

export type MessagingConformanceOptions = ConformanceOptions<MessagingSubject>;

/** Declares all cases with `test`. */
export function messagingConformance(options: MessagingConformanceOptions): void {
  declareCases(options, { ...callCases, ...streamCases });
}
