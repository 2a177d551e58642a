import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../../../src/node-id.ts';
import {
  highestVouched,
  lowestVouched,
  tally,
  type Vote,
  voteCap,
  voteOf,
} from '../../../../src/protocols/infrastructure/breaker/tally.ts';

const options = fc.record({
  failureThreshold: fc.integer({ min: 1, max: 50 }),
  failureRatio: fc.double({ min: 0, max: 1, noNaN: true }),
  liars: fc.integer({ min: 0, max: 4 }),
});
const votes = fc.array(fc.record({ failures: fc.nat(60), successes: fc.nat(60) }), { maxLength: 20 });
const lies = fc.array(
  fc.record({
    failures: fc.double({ min: 0, max: 1e9, noNaN: true }),
    successes: fc.double({ min: 0, max: 1e9, noNaN: true }),
  }),
  { maxLength: 4 },
);
const named = (all: readonly Vote[]): [NodeId, Vote][] => all.map((vote, index) => [`n${index}` as NodeId, vote]);

describe('with up to `liars` nodes that vote as they like', () => {
  test('nothing opens that no honest node accuses', () => {
    fc.assert(
      fc.property(votes, lies, options, (honest, lying, limits) => {
        const innocent = honest.map(({ successes }) => ({ failures: 0, successes }));
        expect(tally(named([...innocent, ...lying.slice(0, limits.liars)]), limits).opens).toBe(false);
      }),
    );
  });

  test('what honest votes open, opens whatever liars claim to have succeeded', () => {
    fc.assert(
      fc.property(votes, lies, options, (honest, lying, limits) => {
        // As they would be counted with nobody to leave out.
        const { failures, reporters } = tally(named(honest), limits);
        const successes = honest.reduce((sum, vote) => sum + Math.min(vote.successes, voteCap(limits)), 0);
        const opens =
          reporters.length > limits.liars &&
          failures >= limits.failureThreshold &&
          failures >= limits.failureRatio * (failures + successes);
        fc.pre(opens);
        const claims = lying
          .slice(0, limits.liars)
          .map(({ successes: claimed }) => ({ failures: 0, successes: claimed }));
        expect(tally(named([...honest, ...claims]), limits).opens).toBe(true);
      }),
    );
  });

  test('what they say of numbers lies between what honest nodes say, or is left out', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(100), { minLength: 1 }),
        fc.array(fc.integer({ min: -1_000, max: 1_000 }), { maxLength: 4 }),
        (honest, lying) => {
          const all = [...honest, ...lying];
          const highest = highestVouched(all, lying.length) ?? Math.min(...honest);
          const lowest = lowestVouched(all, lying.length) ?? Math.max(...honest);
          expect(highest).toBeLessThanOrEqual(Math.max(...honest));
          expect(lowest).toBeGreaterThanOrEqual(Math.min(...honest));
        },
      ),
    );
    expect(highestVouched([5], 1)).toBeUndefined();
  });
});

test('a vote keeps the ratio within the cap, and accuses only when most calls fail', () => {
  fc.assert(
    fc.property(fc.nat(1_000), fc.nat(1_000), options, (failures, successes, limits) => {
      const vote = voteOf(failures, successes, limits);
      const cap = voteCap(limits);
      expect(vote.failures).toBeLessThanOrEqual(cap);
      expect(vote.successes).toBeLessThanOrEqual(cap + 0.25);
      expect(vote.failures > 0).toBe(failures > 0 && failures >= limits.failureRatio * (failures + successes));
    }),
  );
  expect(voteOf(80, 20, { failureThreshold: 5, failureRatio: 0.5, liars: 1 })).toEqual({
    failures: 3,
    successes: 0.75,
  });
});
