import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeValue, encodeValue, maxDepth } from '../src/codec.ts';
import type { Value } from '../src/value.ts';

const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(undefined, null, true, false),
    fc.integer(),
    fc.double({ noNaN: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
    fc.bigInt(),
    fc.string({ unit: 'binary' }),
    fc.uint8Array().map((bytes) => new Uint8Array(bytes)),
    fc.date({ noInvalidDate: true }),
    fc.array(tie('any'), { maxLength: 5 }),
    fc.array(fc.tuple(fc.string(), tie('any')), { maxLength: 5 }).map((entries) => new Map(entries)),
    fc.dictionary(fc.string(), tie('any'), { maxKeys: 5 }).map((object) => ({ ...object })),
  ),
})).any;

describe('codec', () => {
  it('brings every structured value back as it was', () => {
    fc.assert(
      fc.property(value, (original) => {
        const decoded = decodeValue(encodeValue(original));
        expect(decoded).toEqual({ ok: true, value: original });
      }),
    );
  });

  it('brings dates back to the millisecond', () => {
    fc.assert(
      fc.property(fc.date({ noInvalidDate: true }), (date) => {
        expect(decodeValue(encodeValue(date))).toEqual({ ok: true, value: date });
      }),
      { numRuns: 5_000 },
    );
  });

  it('gives equal bytes for objects whose keys were written in another order', () => {
    expect(encodeValue({ a: 1, bb: 2 })).toEqual(encodeValue({ bb: 2, a: 1 }));
  });

  it('answers with a reason, never an exception, for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const decoded = decodeValue(bytes);
        if (!decoded.ok) expect(decoded.reason).toBeTypeOf('string');
      }),
      { numRuns: 5_000 },
    );
  });

  it('refuses functions and symbols with a typed error', () => {
    for (const bad of [() => 1, Symbol('x'), { nested: () => 1 }]) {
      expect(() => encodeValue(bad)).toThrowError(expect.objectContaining({ code: 'UNSUPPORTED_VALUE' }));
    }
  });

  it('refuses cycles and nesting deeper than its limit, both ways', () => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    expect(() => encodeValue(cycle)).toThrowError(expect.objectContaining({ code: 'UNSUPPORTED_VALUE' }));

    let deep: unknown = 1;
    for (let level = 0; level < maxDepth; level++) deep = [deep];
    expect(decodeValue(encodeValue(deep)).ok).toBe(true);
    expect(() => encodeValue([deep])).toThrowError(expect.objectContaining({ code: 'UNSUPPORTED_VALUE' }));
    expect(decodeValue(new Uint8Array(50_000).fill(0x81))).toEqual({ ok: false, reason: 'too deep' });
  });

  it('refuses maps whose keys have no order', () => {
    const complex = [10n, new Date(0), [1], { a: 1 }, new Map()];
    for (const key of complex) {
      expect(decodeValue(encodeValue(new Map([[key, 1]])))).toEqual({
        ok: false,
        reason: 'a map whose keys are bigints, dates, lists or maps',
      });
    }
    const plain = new Map<Value, Value>([
      [1, 'a'],
      ['1', 'b'],
      [true, 'c'],
      [null, 'd'],
      [Uint8Array.of(1), 'e'],
    ]);
    expect(decodeValue(encodeValue(plain))).toEqual({ ok: true, value: plain });
  });
});
