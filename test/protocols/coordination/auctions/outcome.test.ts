/** Who wins and what it costs, for any bids. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { NodeId } from '../../../../src/node-id.ts';
import { decide, ranked, type StandingBid } from '../../../../src/protocols/coordination/auctions/outcome.ts';

const amount = fc.oneof(fc.integer({ min: 0, max: 12 }), fc.maxSafeNat());
const bid = (order: number, value: number): StandingBid => ({
  agent: `agent-${order}`,
  node: 'node' as NodeId,
  amount: value,
  order,
});
const amounts = fc.array(amount, { maxLength: 8 });
const bidsOf = (values: readonly number[]): StandingBid[] => values.map((value, order) => bid(order, value));

test('a lone bidder at second price pays the reserve', () => {
  expect(decide('second', 100, bidsOf([250]))).toMatchObject({ winner: { agent: 'agent-0' }, price: 100 });
});

test('nothing is sold when no bid reaches the reserve', () => {
  expect(decide('second', 100, bidsOf([99, 20]))).toBeUndefined();
  expect(decide('own', 100, [])).toBeUndefined();
});

test('of equal bids the earlier one wins, and pays what it bid', () => {
  expect(decide('second', 0, bidsOf([5, 9, 9]))).toMatchObject({ winner: { agent: 'agent-1' }, price: 9 });
});

test('the winner bid most; the price is between the second and its own bid, and reaches the reserve', () => {
  fc.assert(
    fc.property(amounts, amount, fc.constantFrom('own' as const, 'second' as const), (values, reserve, pricing) => {
      const sale = decide(pricing, reserve, bidsOf(values));
      const highest = Math.max(-1, ...values);
      expect(sale !== undefined).toBe(highest >= reserve && values.length > 0);
      if (sale === undefined) return;
      expect(sale.winner.amount).toBe(highest);
      expect(sale.winner.order).toBe(values.indexOf(highest));
      const second = Math.max(0, ...values.filter((_, order) => order !== sale.winner.order));
      expect(sale.price).toBe(pricing === 'own' ? highest : Math.max(second, reserve));
      expect(sale.price).toBeGreaterThanOrEqual(Math.max(second, reserve));
      expect(sale.price).toBeLessThanOrEqual(highest);
    }),
  );
});

test('the order in which bids are told changes nothing', () => {
  fc.assert(
    fc.property(amounts, amount, fc.infiniteStream(fc.nat()), (values, reserve, keys) => {
      const shuffled = bidsOf(values)
        .map((one) => ({ one, key: keys.next().value as number }))
        .sort((a, b) => a.key - b.key)
        .map(({ one }) => one);
      expect(ranked(shuffled)).toEqual(ranked(bidsOf(values)));
      expect(decide('second', reserve, shuffled)).toEqual(decide('second', reserve, bidsOf(values)));
    }),
  );
});

test('second price is truthful: no bid does better than the value, whatever the others bid and whoever was earlier', () => {
  const small = fc.integer({ min: 0, max: 12 });
  fc.assert(
    fc.property(
      fc.array(small, { maxLength: 5 }),
      small,
      small,
      small,
      fc.nat(5),
      (others, reserve, value, lie, at) => {
        const place = Math.min(at, others.length);
        const gain = (mine: number): number => {
          const sale = decide('second', reserve, bidsOf(others.toSpliced(place, 0, mine)));
          return sale?.winner.order === place ? value - sale.price : 0;
        };
        expect(gain(lie)).toBeLessThanOrEqual(gain(value));
        expect(gain(value)).toBeGreaterThanOrEqual(0);
        // Nor by having been earlier or later in the log.
        for (let other = 0; other <= others.length; other++) {
          const moved = decide('second', reserve, bidsOf(others.toSpliced(other, 0, value)));
          expect(moved?.winner.order === other ? value - moved.price : 0).toBe(gain(value));
        }
      },
    ),
    { numRuns: 500 },
  );
});
