import { decode } from 'cborg';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeValue, encodeValue, maxDepth } from '../src/codec.ts';
import { QuorateError } from '../src/errors.ts';
import { decodePayload, encodePayload } from '../src/payload.ts';
import { MalformedFrame, maxItems, PayloadReader } from '../src/payload-reader.ts';
import { PayloadWriter } from '../src/payload-writer.ts';

const limit = 4_194_304;

function written(value: unknown, maxBytes = limit): Uint8Array {
  const writer = new PayloadWriter();
  writer.begin(maxBytes);
  writer.value(value);
  return writer.finish();
}

function read(bytes: Uint8Array): unknown {
  const reader = new PayloadReader();
  reader.begin(bytes);
  return reader.value();
}

function quorateError(action: () => unknown): QuorateError {
  try {
    action();
  } catch (error) {
    if (error instanceof QuorateError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

const leaf = fc.oneof(
  fc.constant(null),
  fc.constant(undefined),
  fc.boolean(),
  fc.integer(),
  fc.maxSafeInteger(),
  // The canonical encoding has one zero; what becomes of the other here has a test of its own.
  fc.double({ noNaN: true }).map((number) => (number === 0 ? 0 : number)),
  fc.bigInt({ min: -(2n ** 100n), max: 2n ** 100n }),
  fc.string({ unit: 'grapheme' }),
  fc.string({ minLength: 20, maxLength: 300 }),
  fc.uint8Array({ maxLength: 300 }),
  fc.date({ noInvalidDate: true }),
);
const key = fc.string().filter((name) => name !== '__proto__');
const { value: anyValue } = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 5 }, leaf, tie('list'), tie('record'), tie('map')),
  list: fc.array(tie('value'), { maxLength: 30 }),
  record: fc.dictionary(key, tie('value'), { maxKeys: 30, noNullPrototype: true }),
  map: fc
    .array(fc.tuple(fc.oneof(fc.integer(), fc.string()), tie('value')), { maxLength: 10 })
    .map((entries) => new Map(entries)),
}));

describe('payloads', () => {
  test('every value comes back equal', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        expect(read(written(value))).toEqual(value);
      }),
    );
  });

  test('the canonical decoder reads what is written, and what the canonical encoder writes is read', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const decoded = decodeValue(written(value));
        expect(decoded.ok).toBe(true);
        expect(read(encodeValue(value))).toEqual(value);
      }),
    );
  });

  test('a negative zero, infinities and NaN survive', () => {
    for (const value of [-0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]) {
      expect(Object.is(read(written(value)), value)).toBe(true);
    }
  });

  test('half floats of other encoders are read', () => {
    expect(read(Uint8Array.of(0xf9, 0x3e, 0x00))).toBe(1.5);
    expect(read(Uint8Array.of(0xf9, 0x7c, 0x00))).toBe(Number.POSITIVE_INFINITY);
    expect(read(Uint8Array.of(0xf9, 0x00, 0x01))).toBe(2 ** -24);
    expect(decode(Uint8Array.of(0xf9, 0x00, 0x01))).toBe(2 ** -24);
  });

  test('bytes are copied: what is read does not change with the frame', () => {
    const bytes = written({ data: Uint8Array.of(1, 2, 3) });
    const value = read(bytes) as { data: Uint8Array };
    bytes.fill(0);
    expect([...value.data]).toEqual([1, 2, 3]);
  });

  test('what cannot travel is refused with a way out', () => {
    for (const value of [
      () => 1,
      Symbol('s'),
      new Set([1]),
      Promise.resolve(),
      new Error('e'),
      new Float64Array(2),
      JSON.parse('{"__proto__": 1}'),
    ]) {
      expect(quorateError(() => written({ value })).code).toBe('UNSUPPORTED_VALUE');
    }
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    expect(quorateError(() => written(cycle)).data['maxDepth']).toBe(maxDepth);
  });

  test('a message over the limit is refused, whatever it is made of', () => {
    for (const value of ['ü'.repeat(1_000), new Uint8Array(1_500), Array(2_000).fill(1), 'x'.repeat(1_025)]) {
      expect(quorateError(() => written(value, 1_024)).code).toBe('PAYLOAD_TOO_LARGE');
    }
    expect(read(written('x'.repeat(1_000), 1_024))).toBe('x'.repeat(1_000));
  });

  test('a writer goes on after a refused message', () => {
    const writer = new PayloadWriter();
    writer.begin(100);
    expect(() => writer.value('x'.repeat(10_000))).toThrow(QuorateError);
    writer.begin(100);
    writer.value('after');
    expect(read(writer.finish())).toBe('after');
  });

  test('any bytes are read or refused, and nothing else happens', () => {
    const total = (bytes: Uint8Array): void => {
      try {
        read(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedFrame);
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), total));
    fc.assert(
      fc.property(anyValue, fc.nat(), fc.nat({ max: 7 }), (value, at, bit) => {
        const bytes = written(value);
        bytes[at % bytes.length] = (bytes[at % bytes.length] as number) ^ (1 << bit);
        total(bytes);
      }),
    );
  });

  test('declared sizes are not believed', () => {
    for (const bytes of [
      Uint8Array.of(0x9a, 0xff, 0xff, 0xff, 0xff), // an array of four thousand million
      Uint8Array.of(0xba, 0xff, 0xff, 0xff, 0xff),
      Uint8Array.of(0x5b, 0x00, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
      Uint8Array.of(0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
      Uint8Array.of(0x9f, 0x01, 0xff), // indefinite
    ]) {
      expect(() => read(bytes)).toThrow(MalformedFrame);
    }
    expect(() => read(new Uint8Array(100_000).fill(0x81))).toThrow(/nests deeper/);
    const many = new Uint8Array(5 + maxItems).fill(0xa0);
    many.set([0x9a, maxItems >>> 24, maxItems >>> 16, maxItems >>> 8, maxItems & 0xff]);
    expect(() => read(many)).toThrow(/items/);
    expect(() => read(Uint8Array.of(0xa1, 0x69, ...Buffer.from('__proto__'), 0x01))).toThrow(/__proto__/);
    expect(() => read(Uint8Array.of(0x01, 0x01))).toThrow(/after the payload/);
  });
});

describe('one value as bytes', () => {
  test('comes back; garbage and a tail are refused without throwing', () => {
    const bytes = encodePayload({ kind: 'lock.acquire', lease: 10_000, at: [1, 'two'] }, 1_000);
    expect(decodePayload(bytes)).toEqual({ ok: true, value: { kind: 'lock.acquire', lease: 10_000, at: [1, 'two'] } });
    expect(decodePayload(Uint8Array.of(...bytes, 0))).toEqual({ ok: false });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (garbage) => {
        expect(typeof decodePayload(garbage).ok).toBe('boolean');
      }),
    );
    expect(() => encodePayload('x'.repeat(2_000), 1_000)).toThrowError(QuorateError);
  });
});
