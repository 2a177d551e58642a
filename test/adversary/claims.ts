/** Entries of the registry as any author may write them. */
import type { Value } from '../../src/value.ts';

/** An agent's entry with that claim time. */
export function registryEntry(claimedAt: number, capabilities: readonly string[] = ['work']): Value {
  return { claimedAt, zone: 'default', capabilities };
}
