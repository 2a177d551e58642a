import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  maxFaulty,
  preparesNeeded,
  quorum,
  requireResilience,
  weakQuorum,
} from '../../../src/protocols/pbft/quorum.ts';

const groups = fc
  .record({ f: fc.integer({ min: 0, max: 15 }), extra: fc.integer({ min: 0, max: 15 }) })
  .map(({ f, extra }) => ({ f, n: 3 * f + 1 + extra }));

describe('quorum', () => {
  it('is 3, 4, 4, 5 for four to seven validators and one liar, and a majority without liars', () => {
    expect([4, 5, 6, 7].map((n) => quorum(n, 1))).toEqual([3, 4, 4, 5]);
    expect([1, 2, 3, 4, 5].map((n) => quorum(n, 0))).toEqual([1, 2, 2, 3, 3]);
  });

  it('makes any two quorums share an honest replica, and is reachable without the liars', () => {
    fc.assert(
      fc.property(groups, ({ n, f }) => {
        const q = quorum(n, f);
        expect(2 * q - n).toBeGreaterThan(f);
        expect(q).toBeLessThanOrEqual(n - f);
        // One less would not do.
        expect(2 * (q - 1) - n).toBeLessThanOrEqual(f);
      }),
    );
  });

  it('needs no prepares where nobody lies', () => {
    expect(preparesNeeded(3, 0)).toBe(0);
    expect(preparesNeeded(4, 1)).toBe(2);
    expect(weakQuorum(2)).toBe(3);
    expect([1, 3, 4, 6, 7].map(maxFaulty)).toEqual([0, 0, 1, 1, 2]);
  });

  it('refuses fewer than 3f + 1, naming the minimum and what there is', () => {
    expect(() => requireResilience(4, 1)).not.toThrow();
    expect(() => requireResilience(3, 1)).toThrowError(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', data: { n: 3, f: 1, minimum: 4 } }),
    );
    expect(() => requireResilience(3, 1)).toThrowError(/at least 4 validators.*there are 3/);
    for (const [n, f] of [
      [0, 0],
      [4, -1],
      [4, 0.5],
      [65, 1],
    ] as const)
      expect(() => requireResilience(n, f)).toThrow();
  });
});
