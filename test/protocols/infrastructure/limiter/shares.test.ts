import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Claim,
  type Distribution,
  divide,
  maxClaimFactor,
} from '../../../../src/protocols/infrastructure/limiter/shares.ts';

const claims = (...demands: number[]): Claim[] => demands.map((demand) => ({ demand, capacity: undefined }));
const rounded = (shares: number[]) => shares.map((share) => Math.round(share));

test('who wants all of it gets an equal part', () => {
  expect(rounded(divide(1_000, 'equal', claims(900, 900, 900, 900)))).toEqual([250, 250, 250, 250]);
});

test('what one does not need is lent to those that do', () => {
  expect(rounded(divide(1_000, 'equal', claims(900, 900, 100)))).toEqual([450, 450, 100]);
});

test('where nobody needs all, the rest is lent as headroom', () => {
  expect(rounded(divide(1_000, 'equal', claims(100, 200)))).toEqual([450, 550]);
});

test('by demand, shares are in proportion to what is asked for', () => {
  expect(rounded(divide(1_000, 'byDemand', claims(3_000, 1_000)))).toEqual([750, 250]);
});

test('by capacity, in proportion to what is announced, and nobody is left with nothing', () => {
  const asked = [4, 1, undefined, 0].map((capacity) => ({ demand: 1_000, capacity }));
  const [four, one, none, busy] = divide(1_000, 'weightedByCapacity', asked) as [number, number, number, number];
  expect(four / one).toBeCloseTo(4);
  expect(none).toBeCloseTo(one);
  expect(busy).toBeGreaterThan(0);
});

const distribution = fc.constantFrom<Distribution>('equal', 'byDemand', 'weightedByCapacity');
const claim = fc.record({
  demand: fc.oneof(fc.constant(0), fc.double({ min: 1e-6, max: 1e6, noNaN: true })),
  capacity: fc.option(fc.double(), { nil: undefined }),
});
const rate = fc.double({ min: 1e-3, max: 1e6, noNaN: true });

test('the shares sum up to the rate, and none is negative', () => {
  fc.assert(
    fc.property(rate, distribution, fc.array(claim, { minLength: 1, maxLength: 30 }), (of, how, all) => {
      const shares = divide(of, how, all);
      expect(shares).toHaveLength(all.length);
      for (const share of shares) expect(share).toBeGreaterThanOrEqual(0);
      expect(Math.abs(shares.reduce((a, b) => a + b, 0) - of)).toBeLessThan(of * 1e-9);
    }),
  );
});

test('the order of the claims does not matter', () => {
  fc.assert(
    fc.property(rate, distribution, fc.array(claim, { minLength: 2, maxLength: 12 }), (of, how, all) => {
      const forth = divide(of, how, all);
      const back = divide(of, how, [...all].reverse()).reverse();
      for (const [at, share] of forth.entries()) expect(Math.abs(share - (back[at] as number))).toBeLessThan(of * 1e-9);
    }),
  );
});

test('nobody goes short while there is enough for all', () => {
  fc.assert(
    fc.property(distribution, fc.array(claim, { minLength: 1, maxLength: 20 }), (how, all) => {
      const wanted = all.reduce((sum, { demand }) => sum + demand, 0);
      fc.pre(wanted > 0);
      // Enough also for what idle nodes are given, and for all that a single one may claim.
      const shares = divide(1.1 * wanted, how, all);
      const believed = (maxClaimFactor * 1.1 * wanted) / all.length;
      for (const [at, { demand }] of all.entries()) {
        expect(shares[at]).toBeGreaterThanOrEqual(Math.min(demand, believed) * (1 - 1e-9));
      }
    }),
  );
});

test('k liars of ten take at most 4k / (n + 3k) from those that want all of it', () => {
  fc.assert(
    fc.property(
      distribution,
      fc.integer({ min: 1, max: 4 }),
      fc.double({ min: 0, max: 1e9, noNaN: true }),
      fc.double({ min: 0, max: 1e9, noNaN: true }),
      (how, k, demand, capacity) => {
        const honest: Claim[] = Array.from({ length: 10 - k }, () => ({ demand: 150, capacity: 8 }));
        const lying: Claim[] = Array.from({ length: k }, () => ({ demand, capacity }));
        const shares = divide(1_000, how, [...honest, ...lying]);
        const theirs = shares.slice(10 - k).reduce((sum, share) => sum + share, 0);
        expect(theirs).toBeLessThanOrEqual((1_000 * 4 * k) / (10 + 3 * k) + 1e-6);
      },
    ),
  );
});
