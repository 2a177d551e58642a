/** Contributions for tests of rules. */
import fc from 'fast-check';
import type { NodeId } from '../../../src/node-id.ts';
import type { Contribution } from '../../../src/protocols/variables/variables.ts';

export function contribution<T>(value: T, rest: Partial<Contribution<T>> = {}): Contribution<T> {
  return { node: 'node-000' as NodeId, value, weight: 1, performance: undefined, at: 1, ...rest };
}

/** As rules get them: at least one, ordered by node id. */
export function ordered<T>(contributions: readonly Contribution<T>[]): readonly Contribution<T>[] {
  return contributions.map((one, index) => ({ ...one, node: `node-${String(index).padStart(3, '0')}` as NodeId }));
}

export function anyContributions<T>(value: fc.Arbitrary<T>, maxLength = 12): fc.Arbitrary<readonly Contribution<T>[]> {
  const one = fc.record({
    value,
    weight: fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true })),
    performance: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
    at: fc.nat({ max: 20 }),
    node: fc.constant('' as NodeId),
  });
  return fc.array(one, { minLength: 1, maxLength }).map(ordered);
}
