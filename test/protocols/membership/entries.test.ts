import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeValue, encodeValue } from '../../../src/codec.ts';
import { createIdentity } from '../../../src/identity.ts';
import {
  accusationValue,
  accusedOfKey,
  accuseKey,
  entryLimits,
  parseAccusation,
  parseSelf,
  selfValue,
} from '../../../src/protocols/membership/entries.ts';
import type { Value } from '../../../src/value.ts';

const me = createIdentity(new Uint8Array(32).fill(1)).id;
const other = createIdentity(new Uint8Array(32).fill(2)).id;
const good = {
  addresses: [`/ip4/127.0.0.1/tcp/4700/p2p/${me}`],
  zone: 'eu-1',
  roles: ['worker'],
  capacity: { cpu: 0.5 },
  version: '0.1.0',
  incarnation: 7,
  startedAt: 1_000,
};
const accusation = {
  incarnation: 7,
  accuserIncarnation: 3,
  evidence: 'missed-probes' as const,
  at: 12,
  detail: '3 probes unanswered',
};

function travelled(value: Value): Value {
  const decoded = decodeValue(encodeValue(value));
  if (!decoded.ok) throw new Error(decoded.reason);
  return decoded.value;
}

describe('self', () => {
  test('what is announced arrives', () => {
    expect(parseSelf(me, travelled(selfValue(good, false)))).toEqual({ info: good, left: false });
    expect(parseSelf(me, travelled(selfValue(good, true)))?.left).toBe(true);
  });

  test('addresses of others are dropped', () => {
    const addresses = [...good.addresses, `/ip4/10.0.0.1/tcp/1/p2p/${other}`, '/ip4/10.0.0.1/tcp/1'];
    expect(parseSelf(me, { ...good, addresses })?.info.addresses).toEqual(good.addresses);
  });

  const bad: [string, Value][] = [
    ['no object', 'self'],
    ['a Map', new Map()],
    ['too many addresses', { ...good, addresses: Array(17).fill(good.addresses[0]) as string[] }],
    ['a long address', { ...good, addresses: [`/${'x'.repeat(entryLimits.addressBytes)}`] }],
    ['an address in wide characters', { ...good, addresses: [`/${'ü'.repeat(200)}`] }],
    ['too many roles', { ...good, roles: Array(17).fill('r') as string[] }],
    ['an odd role', { ...good, roles: ['a b'] }],
    ['an empty zone', { ...good, zone: '' }],
    [
      'too much capacity',
      { ...good, capacity: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`c${i}`, 1])) },
    ],
    ['infinite capacity', { ...good, capacity: { cpu: Number.POSITIVE_INFINITY } }],
    ['capacity in words', { ...good, capacity: { cpu: 'much' } }],
    ['a long version', { ...good, version: 'v'.repeat(65) }],
    ['a broken incarnation', { ...good, incarnation: 1.5 }],
    ['a negative incarnation', { ...good, incarnation: -1 }],
    ['an incarnation beyond counting', { ...good, incarnation: 2 ** 53 }],
    ['a big incarnation', { ...good, incarnation: 7n }],
    ['no time', { ...good, startedAt: Number.NaN }],
    ['an odd left', { ...good, left: 'yes' }],
  ];
  test.each(bad)('%s is refused', (_, value) => {
    expect(parseSelf(me, value)).toBeUndefined();
  });
});

describe('accusations', () => {
  test('what is said arrives', () => {
    const value = travelled(accusationValue({ accuser: me, accused: other, ...accusation }));
    expect(parseAccusation(me, other, value)).toEqual({ accuser: me, accused: other, ...accusation });
    expect(accusedOfKey(accuseKey(other))).toBe(other);
  });

  test('a long detail is cut by the writer and refused by the reader', () => {
    const long = 'x'.repeat(1_000);
    const value = accusationValue({ accuser: me, accused: other, ...accusation, detail: long });
    expect(parseAccusation(me, other, value)?.detail).toHaveLength(entryLimits.detailLength);
    expect(parseAccusation(me, other, { ...accusation, detail: long })).toBeUndefined();
  });

  test.each([
    ['of itself', me, accusation],
    ['without evidence', other, { ...accusation, evidence: 'gossip' }],
    ['of half an incarnation', other, { ...accusation, incarnation: 0.5 }],
    ['without its own incarnation', other, { ...accusation, accuserIncarnation: undefined }],
    ['at no time', other, { ...accusation, at: -1 }],
  ])('one %s is refused', (_, accused, value) => {
    expect(parseAccusation(me, accused, value)).toBeUndefined();
  });

  test.each(['self', 'accuse/', 'accuse/nobody', `accuse/${other}x`, `accuse/ ${other}`])(
    '%s is no accusation',
    (key) => {
      expect(accusedOfKey(key)).toBeUndefined();
    },
  );
});

test('any value is refused or within bounds, and never an exception', () => {
  const scalars = fc.oneof(
    fc.string(),
    fc.double(),
    fc.bigInt(),
    fc.boolean(),
    fc.constant(null),
    fc.constant(undefined),
  );
  const values = fc.oneof(
    scalars,
    fc.array(scalars),
    fc.dictionary(fc.string(), scalars),
    fc.anything() as fc.Arbitrary<Value>,
  );
  const mutated = fc
    .tuple(fc.constantFrom(...Object.keys(good), 'left'), values)
    .map(([field, value]) => ({ ...good, [field]: value }) as Value);
  fc.assert(
    fc.property(fc.oneof(mutated, values as fc.Arbitrary<Value>), (value) => {
      const parsed = parseSelf(me, value);
      if (parsed === undefined) return;
      const { info } = parsed;
      expect(info.addresses.every((address) => address.endsWith(me))).toBe(true);
      expect(info.addresses.length).toBeLessThanOrEqual(entryLimits.addresses);
      expect(info.roles.length).toBeLessThanOrEqual(entryLimits.roles);
      expect(Object.values(info.capacity).every(Number.isFinite)).toBe(true);
      expect(Number.isSafeInteger(info.incarnation)).toBe(true);
      // It can be sent on as it is, but for -0, which arrives as 0.
      const received = parseSelf(me, travelled(selfValue(info, parsed.left)));
      expect(received).toEqual(travelled(parsed as unknown as Value));
    }),
    { numRuns: 500 },
  );
});
