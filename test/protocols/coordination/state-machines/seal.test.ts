import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodePayload, encodePayload } from '../../../../src/payload.ts';
import { seal } from '../../../../src/protocols/coordination/state-machines/seal.ts';

const read = (value: unknown): unknown => {
  const decoded = decodePayload(encodePayload(value, 1 << 24));
  return decoded.ok ? decoded.value : assertNever();
};
const assertNever = (): never => {
  throw new Error('what was sealed cannot be read back');
};

test('what is sealed is read back the same, keys in the same order, and about as large as said', () => {
  const key = fc.string({ unit: 'grapheme' }).filter((text) => text !== '__proto__');
  const primitive = fc.oneof(fc.constantFrom(undefined, null, true, -0, Number.NaN), fc.double(), fc.bigInt(), key);
  const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      primitive,
      fc.uint8Array(),
      fc.date({ noInvalidDate: true }),
      fc.array(tie('tree'), { maxLength: 5 }),
      fc.dictionary(key, tie('tree'), { maxKeys: 5, noNullPrototype: true }),
      fc.array(fc.tuple(primitive, tie('tree')), { maxLength: 5 }).map((entries) => new Map(entries)),
    ),
  }));
  fc.assert(
    fc.property(tree, (value) => {
      const size = seal(value);
      const back = read(value);
      expect(encodePayload(back, 1 << 24)).toEqual(encodePayload(value, 1 << 24));
      expect(seal(back)).toBe(size);
      expect(size).toBeGreaterThanOrEqual(encodePayload(value, 1 << 24).length / 5);
    }),
  );
});

test('what would be read back differently is refused', () => {
  class Account {
    balance = 0;
  }
  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;
  const refused: unknown[] = [
    () => 1,
    Symbol('x'),
    new Account(),
    new Set([1]),
    Object.create(null),
    Buffer.from('x'),
    new Map([[{}, 1]]),
    '\ud800',
    { '\ud800': 1 },
    JSON.parse('{"__proto__": 1}'),
    cyclic,
    Promise.resolve(),
    new Error('x'),
  ];
  for (const value of refused) {
    expect(() => seal({ value })).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_VALUE' }));
  }
});

test('what is sealed cannot be changed, and what is not changed costs nothing', () => {
  const state = { list: [1], map: new Map([['a', { n: 1 }]]) };
  seal(state);
  expect(() => state.list.push(2)).toThrow(TypeError);
  expect(() => state.map.set('b', { n: 2 })).toThrow(TypeError);
  expect(() => state.map.clear()).toThrow(TypeError);
  expect(() => Object.assign(state.map.get('a') ?? {}, { n: 3 })).toThrow(TypeError);
  const next = new Map(state.map);
  next.set('b', { n: 2 });
  expect(seal({ ...state, map: next })).toBeGreaterThan(seal(state));
});

test('depth counts from the top, whatever was sealed before', () => {
  const nest = (inner: unknown, levels: number): unknown => {
    let value = inner;
    for (let level = 0; level < levels; level++) value = [value];
    return value;
  };
  const deep = nest(1, 40);
  seal(deep);
  expect(() => seal(nest(deep, 25))).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_VALUE' }));
  expect(() => seal(nest(nest(1, 40), 25))).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_VALUE' }));
  const most = nest(deep, 24);
  seal(most);
  expect(read(most)).toEqual(most);
});
