import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { SortedKeys } from '../../../../src/protocols/coordination/atoms/sorted-keys.ts';

const sorted = (keys: Iterable<string>): string[] => [...keys].sort((a, b) => (a < b ? -1 : 1));

test('is a sorted set', () => {
  const key = fc.oneof(fc.string({ unit: 'binary', maxLength: 3 }), fc.nat(2_000).map(String));
  fc.assert(
    fc.property(
      fc.uniqueArray(key, { maxLength: 1_500, size: 'max' }),
      fc.array(fc.tuple(fc.boolean(), key), { maxLength: 1_500, size: 'max' }),
      key,
      fc.option(key, { nil: undefined }),
      (first, changes, start, after) => {
        const keys = new SortedKeys(first);
        const model = new Set(first);
        for (const [add, one] of changes) {
          if (add) {
            keys.add(one);
            model.add(one);
          } else {
            keys.delete(one);
            model.delete(one);
          }
        }
        expect(keys.all()).toEqual(sorted(model));
        const rest = sorted(model).filter((one) => one >= start && (after === undefined || one > after));
        expect([...keys.from(start, after)]).toEqual(rest);
      },
    ),
    { numRuns: 30 },
  );
});

test('grows and empties', () => {
  const keys = new SortedKeys([]);
  const some = Array.from({ length: 5_000 }, (_, n) => `k${(n * 7_919) % 5_000}`);
  for (const key of some) keys.add(key);
  expect(keys.all()).toEqual(sorted(some));
  for (const key of some) keys.delete(key);
  expect(keys.all()).toEqual([]);
  expect([...keys.from('', undefined)]).toEqual([]);
});
