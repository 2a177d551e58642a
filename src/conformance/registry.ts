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
import { type ConformanceOptions, declareCases } from './suite.ts';

export type { RegistrySubject } from './registry-support.ts';

/** One of the cases registers 10,000 agents. */
export type RegistryConformanceOptions = ConformanceOptions<RegistrySubject>;

/** Declares all cases with `test`. */
export function registryConformance(options: RegistryConformanceOptions): void {
  declareCases(options, { ...registrationCases, ...queryCases, ...readCases });
}
