import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Deadlines } from '../../../../src/protocols/coordination/machine/deadlines.ts';

describe('deadlines', () => {
  test('come in the order of time, reducer and key, however they were wished for', () => {
    const wish = fc.record({
      reducer: fc.constantFrom('a', 'b'),
      key: fc.constantFrom('x', 'y', 'z'),
      at: fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(wish, { maxLength: 400 }), fc.integer({ min: 0, max: 20 }), (wishes, until) => {
        const deadlines = new Deadlines();
        const wanted = new Map<string, { reducer: string; key: string; at: number }>();
        for (const { reducer, key, at } of wishes) {
          deadlines.set(reducer, key, at);
          if (at === undefined) wanted.delete(`${reducer}/${key}`);
          else wanted.set(`${reducer}/${key}`, { reducer, key, at });
        }
        const sorted = [...wanted.values()].sort(
          (a, b) => a.at - b.at || a.reducer.localeCompare(b.reducer) || a.key.localeCompare(b.key),
        );
        expect(deadlines.all()).toEqual(sorted);
        expect(deadlines.size).toBe(sorted.length);
        expect(deadlines.next()).toEqual(sorted[0]);
        const taken = [];
        for (let due = deadlines.takeDue(until); due !== undefined; due = deadlines.takeDue(until)) taken.push(due);
        expect(taken).toEqual(sorted.filter(({ at }) => at <= until));
        expect(deadlines.all()).toEqual(sorted.filter(({ at }) => at > until));
      }),
    );
  });
});
