import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodePayload, encodePayload } from '../../../../src/payload.ts';
import { fromEntry, toEntry } from '../../../../src/protocols/variables/agreed/agreement-entry.ts';
import type { Value } from '../../../../src/value.ts';

const good = { d: 1, k: 'digest', at: 5, v: 0.7 };

test('what is written is what is read, also over the wire', () => {
  const values = fc.oneof(fc.double(), fc.string(), fc.constant(undefined), fc.dictionary(fc.string(), fc.integer()));
  fc.assert(
    fc.property(values, fc.integer({ min: 1 }), fc.maxSafeNat(), (value, version, at) => {
      const definition = { version, digest: 'x' };
      const decoded = decodePayload(encodePayload(toEntry({ value, definition, at }), 100_000));
      expect(decoded.ok).toBe(true);
      const wire = decoded.ok ? decoded.value : undefined;
      expect(fromEntry(wire, 9)).toEqual({ value, definition, at, version: 9 });
    }),
  );
});

test.each<[string, Value]>([
  ['nothing', undefined],
  ['a number', 7],
  ['no value', { d: 1, k: 'x', at: 5 }],
  ['more than that', { ...good, more: 1 }],
  ['version 0', { ...good, d: 0 }],
  ['half a version', { ...good, d: 1.5 }],
  ['no digest', { ...good, k: '' }],
  ['a long digest', { ...good, k: 'x'.repeat(65) }],
  ['a stamp before time', { ...good, at: -1 }],
  ['a stamp that is no number', { ...good, at: '5' }],
  ['a list', [1, 'x', 5, 0.7]],
  ['a map', new Map<Value, Value>(Object.entries(good))],
])('%s is no agreement', (_what, entry) => {
  expect(fromEntry(entry, 1)).toBeUndefined();
});

test('anything at all is read or refused, never thrown at', () => {
  fc.assert(
    fc.property(fc.anything(), (entry) => {
      const agreed = fromEntry(entry as Value, 1);
      if (agreed !== undefined) expect(agreed.definition.version).toBeGreaterThanOrEqual(1);
    }),
  );
});
