import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeValue, encodeValue } from '../../src/codec.ts';
import { decodePlain, encodePlain } from '../../src/crdt/plain-values.ts';

const numbers = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
  fc.float(),
  fc.integer({ min: -70_000, max: 70_000 }).map((n) => n / 64),
  fc.constantFrom(
    0,
    -0,
    23,
    24,
    255,
    256,
    65_535,
    65_536,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 53 - 1,
    -(2 ** 53 - 1),
    2 ** 53,
    2 ** 64,
  ),
  fc.constantFrom(
    0.5,
    -0.5,
    65_504,
    65_504.5,
    0.1,
    2 ** -14,
    2 ** -15,
    2 ** -24,
    1 / 3,
    1e-50,
    1e300,
    Number.NaN,
    1 / 0,
  ),
);
const ascii = fc.string({ unit: 'binary-ascii', maxLength: 300 });
const plainTree = fc.letrec((tie) => ({
  leaf: fc.oneof(numbers, ascii, fc.boolean(), fc.constant(null)),
  tree: fc.oneof(
    { depthSize: 'small' },
    tie('leaf'),
    fc.array(tie('tree'), { maxLength: 5 }),
    fc.dictionary(fc.oneof(ascii, fc.constantFrom('a', 'b', 'aa', '10', '9', 'at')), tie('tree'), { maxKeys: 6 }),
  ),
})).tree;
const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withNullPrototype: true,
  withSparseArray: true,
  withTypedArray: true,
  maxDepth: 10,
});

/** Equal in every respect, the order of keys included. */
function same(a: unknown, b: unknown): void {
  expect(a).toStrictEqual(b);
  expect(JSON.stringify(a)).toBe(JSON.stringify(b));
}

function encodedByCodec(value: unknown): Uint8Array | undefined {
  try {
    return encodeValue(value);
  } catch {
    return undefined;
  }
}

describe('plain values', () => {
  it.each([
    ['plain trees', plainTree],
    ['anything', anything],
  ])('are written as the codec writes them, and copied as it reads them: %s', (_name, values) => {
    fc.assert(
      fc.property(values, (value) => {
        const plain = encodePlain(value);
        if (plain === undefined) return;
        expect(Buffer.from(plain.bytes).toString('hex')).toBe(Buffer.from(encodeValue(value)).toString('hex'));
        const decoded = decodeValue(plain.bytes);
        if (!decoded.ok) throw new Error(decoded.reason);
        same(plain.value, decoded.value);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ['plain trees', plainTree],
    ['anything', anything],
  ])('are read as the codec reads them: %s, damaged or not', (_name, values) => {
    fc.assert(
      fc.property(values, fc.array(fc.nat(), { maxLength: 3 }), (value, flips) => {
        const bytes = encodedByCodec(value);
        if (bytes === undefined) return;
        const damaged = new Uint8Array(bytes);
        for (const bit of flips) {
          const at = (bit >> 3) % damaged.length;
          damaged[at] = (damaged[at] as number) ^ (1 << (bit & 7));
        }
        const plain = decodePlain(damaged);
        if (plain === undefined) return;
        const decoded = decodeValue(damaged);
        if (!decoded.ok) throw new Error(`the codec refuses it: ${decoded.reason}`);
        same(plain.value, decoded.value);
      }),
      { numRuns: 4_000 },
    );
  });

  it('reads random bytes as the codec does, or not at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const plain = decodePlain(bytes);
        if (plain === undefined) return;
        const decoded = decodeValue(bytes);
        if (!decoded.ok) throw new Error(`the codec refuses it: ${decoded.reason}`);
        same(plain.value, decoded.value);
      }),
      { numRuns: 5_000 },
    );
  });

  it('has the values of everyday', () => {
    const entry = {
      value: 0.25,
      weight: 1,
      at: 1_790_000_000_123.5,
      note: 'warm',
      tags: ['a', 'b'],
      on: true,
      none: null,
    };
    const plain = encodePlain(entry);
    expect(plain?.bytes).toEqual(encodeValue(entry));
    expect(plain?.value).toEqual(entry);
    expect(plain?.value).not.toBe(entry);
    expect(decodePlain(encodeValue(entry))?.value).toEqual(entry);
  });

  it.each([
    ['undefined', undefined],
    ['a property that is undefined', { a: undefined }],
    ['a hole', new Array(2)],
    ['a map', new Map([['a', 1]])],
    ['a date', { at: new Date(0) }],
    ['bytes', { a: new Uint8Array(2) }],
    ['other text', 'ключ'],
    ['a lone surrogate', '\ud800'],
    ['__proto__ as a key', JSON.parse('{"__proto__": 1}')],
    [
      'an instance',
      new (class A {
        b = 1;
      })(),
    ],
    ['a long text', 'x'.repeat(5_000)],
    ['a deep tree', [[[[[[[[[[]]]]]]]]]]],
  ])('leaves %s to the codec', (_name, value) => {
    expect(encodePlain(value)).toBeUndefined();
  });

  it('leaves a value whose getter throws, or encodes another, to the codec', () => {
    const failing = {
      get a(): number {
        throw new Error('no');
      },
    };
    expect(encodePlain(failing)).toBeUndefined();
    let inner: unknown = 'not asked';
    const nested = {
      first: 1,
      get second() {
        inner = encodePlain({ other: 'value' });
        return 2;
      },
    };
    expect(encodePlain(nested)?.bytes).toEqual(encodeValue({ first: 1, second: 2 }));
    expect(inner).toBeUndefined();
    expect(encodePlain(1)?.value).toBe(1);
  });

  it('leaves a cycle to the codec', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    expect(encodePlain(cycle)).toBeUndefined();
  });
});
