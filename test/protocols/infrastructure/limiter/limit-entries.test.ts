import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeValue, encodeValue } from '../../../../src/codec.ts';
import {
  encodeLimitEntry,
  limitKey,
  maxRate,
  parseLimitEntry,
} from '../../../../src/protocols/infrastructure/limiter/limit-entries.ts';
import type { Value } from '../../../../src/value.ts';

const amount = fc.double({ min: 0, max: maxRate, noNaN: true });
const entry = fc.record({ share: amount, demand: amount, crowded: fc.boolean() });

test('what was written is read', () => {
  fc.assert(
    fc.property(entry, (written) => {
      const decoded = decodeValue(encodeValue(encodeLimitEntry(written)));
      expect(decoded.ok && parseLimitEntry(decoded.value)).toEqual(written);
    }),
  );
});

test('whatever others write, it is an entry in bounds or none', () => {
  const number = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(Number.NaN, Infinity, -1, '1', null, 1n));
  const near = fc.record({ s: number, d: number, x: fc.anything() }, { requiredKeys: [] });
  fc.assert(
    fc.property(fc.oneof(near, fc.anything()), (written) => {
      const read = parseLimitEntry(written as Value);
      if (read === undefined) return;
      for (const value of [read.share, read.demand]) {
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThanOrEqual(maxRate);
      }
      expect(typeof read.crowded).toBe('boolean');
    }),
  );
});

test('no two limits or keys have one entry', () => {
  const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 256 });
  const pair = fc.tuple(name, fc.oneof(fc.constant(''), name));
  fc.assert(
    fc.property(pair, pair, (one, other) => {
      fc.pre(one[0] !== other[0] || one[1] !== other[1]);
      expect(limitKey(...one)).not.toBe(limitKey(...other));
      expect(Buffer.byteLength(limitKey(...one))).toBeLessThanOrEqual(256);
    }),
  );
  expect(limitKey('a/b', '')).not.toBe(limitKey('a', 'b'));
});
