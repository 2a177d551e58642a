/**
 * What every `Registry` must do, as cases for any test runner. Third parties prove their own
 * implementation with it.
 *
 * @example
 * import { test } from 'node:test';
 * import { registryConformance } from 'quorate/conformance';
 * registryConformance({ test, create: async () => ({ registry, self, zone, stop }) });
 */
import { registrationCases } from './registry-changes.ts';
import { queryCases } from './registry-queries.ts';
import { readCases } from './registry-reads.ts';
import type { RegistrySubject } from './registry-support.ts';

export type { RegistrySubject } from './registry-support.ts';

export interface RegistryConformanceOptions {
  /** Declares one test: `test` or `it` of nearly any runner. */
  readonly test: (name: string, body: () => Promise<void>) => unknown;
  /** A new subject for each case; one of them registers 10,000 agents. */
  readonly create: () => Promise<RegistrySubject>;
}

/** Declares all cases with `test`. */
export function registryConformance({ test, create }: RegistryConformanceOptions): void {
  for (const [name, body] of Object.entries({ ...registrationCases, ...queryCases, ...readCases })) {
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
