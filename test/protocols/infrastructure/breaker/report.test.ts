import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeValue, encodeValue } from '../../../../src/codec.ts';
import {
  byHand,
  encodeReport,
  parseReport,
  type Report,
} from '../../../../src/protocols/infrastructure/breaker/report.ts';
import type { Value } from '../../../../src/value.ts';

const count = fc.nat(1_000_000);
const time = fc.double({ min: 0, max: 8.64e15, noNaN: true });
const option = <T>(made: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(made, { nil: undefined });
const reports: fc.Arbitrary<Report> = fc.record({
  generation: count,
  failures: fc.double({ min: 0, max: 1e9, noNaN: true }),
  successes: fc.double({ min: 0, max: 1e9, noNaN: true }),
  sequence: count,
  open: option(fc.record({ round: count, at: time })),
  wants: option(fc.record({ round: count, at: time })),
  probe: option(fc.record({ round: count, slot: count, until: time })),
  failed: option(fc.record({ round: count, slot: count, since: time, at: time })),
  closed: option(
    fc.record({ generation: count, round: count, slot: fc.oneof(count, fc.constant(byHand)), since: time }),
  ),
  tripped: option(fc.record({ until: option(time) })),
});

test('what is written is read, also over the wire', () => {
  fc.assert(
    fc.property(reports, (report) => {
      const read = decodeValue(encodeValue(encodeReport(report)));
      expect(read.ok && parseReport(read.value)).toEqual(report);
    }),
  );
});

test('anything else is no report, and nothing throws', () => {
  const odd = fc.oneof(
    fc.constantFrom<Value>(
      Number.NaN,
      Number.POSITIVE_INFINITY,
      -1,
      1.5,
      2 ** 60,
      1n,
      'x',
      null,
      true,
      new Map(),
      new Date(0),
    ),
    fc.constant<Value>([]),
    fc.constant<Value>([1, 2, 3, 4, 5, 6]),
    fc.constant<Value>([{}, []]),
  );
  fc.assert(
    fc.property(reports, fc.constantFrom('g', 'v', 'o', 'w', 'p', 'f', 'c', 't'), odd, (report, field, value) => {
      // A trip for good is written as an empty list.
      if (field === 't' && Array.isArray(value) && value.length === 0) return;
      expect(parseReport({ ...encodeReport(report), [field]: value })).toBeUndefined();
    }),
  );
  fc.assert(
    fc.property(fc.anything(), (value) => {
      const parsed = parseReport(value as Value);
      if (parsed !== undefined) expect(Number.isSafeInteger(parsed.generation)).toBe(true);
    }),
  );
});
