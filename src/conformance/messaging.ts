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

export type { MessagingSubject } from './messaging-support.ts';

export interface MessagingConformanceOptions {
  /** Declares one test: `test` or `it` of nearly any runner. */
  readonly test: (name: string, body: () => Promise<void>) => unknown;
  /** A new subject for each case. */
  readonly create: () => Promise<MessagingSubject>;
}

/** Declares all cases with `test`. */
export function messagingConformance({ test, create }: MessagingConformanceOptions): void {
  for (const [name, body] of Object.entries({ ...callCases, ...streamCases })) {
    test(name, async () => {
      const subject = await create();
      try {
        await body(subject);
      } finally {
        await subject.stop();
      }
    });
  }
}
