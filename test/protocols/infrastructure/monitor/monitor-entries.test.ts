import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeValue, encodeValue } from '../../../../src/codec.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import { DDSketch } from '../../../../src/protocols/infrastructure/monitor/ddsketch.ts';
import {
  alertValue,
  maxAheadMs,
  monitorValue,
  parseAlertEntry,
  parseMonitorEntry,
} from '../../../../src/protocols/infrastructure/monitor/monitor-entries.ts';
import { encodeSketch } from '../../../../src/protocols/infrastructure/monitor/sketch-bytes.ts';
import type { Value } from '../../../../src/value.ts';

const wallNow = 1_000_000;
const travel = (value: Value): Value => {
  const decoded = decodeValue(encodeValue(value));
  if (!decoded.ok) throw new Error('does not travel');
  return decoded.value;
};
const sketchOf = (values: readonly number[]): DDSketch => {
  const sketch = new DDSketch();
  for (const value of values) sketch.add(value);
  return sketch;
};
const head = { digest: '0123456789abcdef', birth: 5 };
const full = monitorValue({ ...head, measured: { sketch: sketchOf([1, 2, 30]), coveredMs: 500 } }) as Record<
  string,
  Value
>;
const alert = {
  incident: 'm/1',
  level: 'warning',
  previous: 'ok',
  change: 1,
  value: 12.5,
  threshold: 10,
  at: wallNow,
  raisedBy: 'node' as NodeId,
  told: false,
} as const;

describe('entries of monitors', () => {
  test('come back as they were written', () => {
    // No negative zero: it travels as zero.
    const values = fc.array(
      fc.double({ noNaN: true, min: -1e12, max: 1e12 }).map((value) => value + 0),
      { minLength: 1, maxLength: 50 },
    );
    fc.assert(
      fc.property(values, fc.nat(), (all, coveredMs) => {
        const sketch = sketchOf(all);
        const parsed = parseMonitorEntry(travel(monitorValue({ ...head, measured: { sketch, coveredMs } })), wallNow);
        expect(parsed).toMatchObject({ ...head, measured: { coveredMs } });
        const back = parsed?.measured?.sketch as DDSketch;
        expect([back.count, back.sum, back.min, back.max]).toEqual([sketch.count, sketch.sum, sketch.min, sketch.max]);
        expect(encodeSketch(back)).toEqual(encodeSketch(sketch));
      }),
    );
    expect(parseMonitorEntry(travel(monitorValue({ ...head, measured: undefined })), wallNow)).toEqual({
      ...head,
      measured: undefined,
    });
  });

  test.each<[string, Value]>([
    ['nothing', undefined],
    ['a list', []],
    ['a map', new Map([['d', head.digest]])],
    ['no digest', { ...full, d: undefined }],
    ['another digest', { ...full, d: 'x'.repeat(16) }],
    ['a birth to come', { ...full, b: wallNow + maxAheadMs + 1 }],
    ['a birth that is no time', { ...full, b: Number.NaN }],
    ['no bytes', { ...full, s: 'sketch' }],
    ['other bytes', { ...full, s: new Uint8Array([9]) }],
    ['no measurements', { ...full, s: encodeSketch(new DDSketch()) }],
    ['no sum', { ...full, sum: undefined }],
    ['an endless sum', { ...full, sum: Number.POSITIVE_INFINITY }],
    ['a sum of greater numbers', { ...full, sum: 91 }],
    ['a sum of lesser numbers', { ...full, sum: 2 }],
    ['the least above the greatest', { ...full, min: 31 }],
    ['a negative time', { ...full, ms: -1 }],
    ['endlessly great', { ...full, max: Number.POSITIVE_INFINITY }],
  ])('refused: %s', (_what, value) => {
    expect(parseMonitorEntry(value, wallNow)).toBeUndefined();
  });
});

describe('entries of alerts', () => {
  test('come back as they were written', () => {
    expect(parseAlertEntry(travel(alertValue(alert)), wallNow)).toEqual(alert);
    const ended = { ...alert, level: 'ok', previous: 'critical', value: undefined, threshold: undefined } as const;
    expect(parseAlertEntry(travel(alertValue(ended)), wallNow)).toEqual(ended);
  });

  const wrong: readonly (readonly [string, Record<string, Value>])[] = [
    ['no incident', { i: undefined }],
    ['a long incident', { i: 'x'.repeat(257) }],
    ['another level', { l: 'bad' }],
    ['another level before', { p: 1 }],
    ['half a change', { c: 1.5 }],
    ['too many changes', { c: 65_536 }],
    ['a stamp to come, which nobody could follow', { at: wallNow + maxAheadMs + 1 }],
    ['a stamp that is none', { at: Number.NaN }],
    ['a value that is no number', { v: 'much' }],
    ['an endless threshold', { t: Number.NEGATIVE_INFINITY }],
    ['nobody who raised it', { r: '' }],
    ['a long name of who did', { r: 'x'.repeat(129) }],
    ['told or not', { told: undefined }],
  ];
  test.each(wrong)('refused: %s', (_what, change) => {
    const value = { ...(alertValue(alert) as Record<string, Value>), ...change };
    expect(parseAlertEntry(value, wallNow)).toBeUndefined();
  });
});

test('any value at all is an entry or none', () => {
  const leaf = fc.oneof(
    fc.anything({ withDate: true, withBigInt: true, withTypedArray: true }),
    fc.double(),
    fc.constantFrom('ok', 'warning', head.digest),
  );
  const keys = ['d', 'b', 's', 'sum', 'min', 'max', 'ms', 'i', 'l', 'p', 'c', 'v', 't', 'at', 'r', 'told'];
  const entry = fc.oneof(
    fc.anything(),
    fc.dictionary(fc.constantFrom(...keys), leaf),
    fc
      .tuple(fc.constantFrom(...keys), leaf)
      .map(([key, value]) => ({ ...full, ...(alertValue(alert) as object), [key]: value })),
  );
  fc.assert(
    fc.property(entry, (value) => {
      const monitor = parseMonitorEntry(value as Value, wallNow);
      if (monitor?.measured !== undefined) expect(monitor.measured.sketch.count).toBeGreaterThan(0);
      const state = parseAlertEntry(value as Value, wallNow);
      if (state !== undefined) expect(parseAlertEntry(alertValue(state), wallNow)).toEqual(state);
    }),
    { numRuns: 2_000 },
  );
});
