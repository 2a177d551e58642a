import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DDSketch, relativeError } from '../../../../src/protocols/infrastructure/monitor/ddsketch.ts';
import { maxBins } from '../../../../src/protocols/infrastructure/monitor/sketch-bins.ts';
import { encodeSketch } from '../../../../src/protocols/infrastructure/monitor/sketch-bytes.ts';

const sketchOf = (values: readonly number[]): DDSketch => {
  const sketch = new DDSketch();
  for (const value of values) sketch.add(value);
  return sketch;
};

const merged = (...sketches: readonly DDSketch[]): DDSketch => {
  const all = new DDSketch();
  for (const sketch of sketches) all.merge(sketch);
  return all;
};

const shares = [0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1];
/** Over eight powers of ten and both signs, with zeros and repeats. */
const measurement = fc.oneof(
  fc.double({ min: 1e-4, max: 1e4, noNaN: true }),
  fc.double({ min: -1e4, max: -1e-4, noNaN: true }),
  fc.integer({ min: -5, max: 5 }),
);
const measurements = fc.array(measurement, { minLength: 1, maxLength: 300 });
/** Beyond what the bins can span. */
const wild = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { maxLength: 100 });

/** Equal in everything but the rounding of sums. */
function expectSame(a: DDSketch, b: DDSketch): void {
  expect(Buffer.from(encodeSketch(a)).toString('hex')).toBe(Buffer.from(encodeSketch(b)).toString('hex'));
  expect([a.count, a.min, a.max]).toEqual([b.count, b.min, b.max]);
}

describe('DDSketch', () => {
  test('every percentile is within 1 % of the measurement of that rank', () => {
    fc.assert(
      fc.property(measurements, (values) => {
        const sorted = [...values].sort((a, b) => a - b);
        const sketch = sketchOf(values);
        for (const share of shares) {
          const exact = sorted[Math.floor(share * (values.length - 1))] as number;
          const found = sketch.quantile(share) as number;
          expect(Math.abs(found - exact)).toBeLessThanOrEqual(relativeError * Math.abs(exact) * (1 + 1e-9) + 1e-9);
        }
      }),
    );
  });

  test('a million measurements of a known distribution', () => {
    const sketch = new DDSketch();
    const n = 1_000_000;
    for (let k = 1; k <= n; k++) sketch.add(k / 1_000);
    for (const share of shares) {
      const exact = (1 + Math.floor(share * (n - 1))) / 1_000;
      expect(Math.abs((sketch.quantile(share) as number) / exact - 1)).toBeLessThanOrEqual(relativeError * (1 + 1e-9));
    }
    expect(sketch.count).toBe(n);
    expect(encodeSketch(sketch).length).toBeLessThan(3_000);
  });

  test('count, sum, least and greatest are exact', () => {
    fc.assert(
      fc.property(measurements, (values) => {
        const sketch = sketchOf(values);
        expect(sketch.count).toBe(values.length);
        expect([sketch.min, sketch.max]).toEqual([Math.min(...values), Math.max(...values)]);
        expect(sketch.sum).toBeCloseTo(
          values.reduce((sum, value) => sum + value, 0),
          6,
        );
      }),
    );
  });

  test('merging gives the sketch of all measurements, however they are divided', () => {
    fc.assert(
      fc.property(wild, wild, wild, (a, b, c) => {
        const [x, y, z] = [sketchOf(a), sketchOf(b), sketchOf(c)] as const;
        const whole = sketchOf([...a, ...b, ...c]);
        expectSame(merged(x, y, z), whole);
        expectSame(merged(z, y, x), whole);
        expectSame(merged(merged(x, y), z), whole);
        expectSame(merged(x, merged(y, z)), whole);
      }),
      { numRuns: 300 },
    );
  });

  test('a weight multiplies every count', () => {
    fc.assert(
      fc.property(measurements, measurements, fc.integer({ min: 1, max: 5 }), (a, b, weight) => {
        const all = merged(sketchOf(a));
        all.merge(sketchOf(b), weight);
        expectSame(all, sketchOf([...a, ...Array.from({ length: weight }, () => b).flat()]));
      }),
      { numRuns: 50 },
    );
  });

  test('however far apart, the bins are bounded and the greatest stay precise', () => {
    fc.assert(
      fc.property(wild, (values) => {
        const sketch = sketchOf([...values, Number.MAX_VALUE, -Number.MAX_VALUE, 1e-8, 123_456]);
        for (const bins of [sketch.positive, sketch.negative]) expect(bins.high - bins.low).toBeLessThan(maxBins);
        expect(sketch.quantile(1)).toBe(Number.MAX_VALUE);
        expect(sketch.quantile(0)).toBe(-Number.MAX_VALUE);
        expect(sketch.count).toBe(values.length + 4);
      }),
      { numRuns: 50 },
    );
  });

  test('nothing measured, and forgotten again', () => {
    const sketch = new DDSketch();
    expect(sketch.quantile(0.5)).toBeUndefined();
    for (const value of [3, -4, 0, 1e9]) sketch.add(value);
    sketch.clear();
    expect([sketch.count, sketch.sum, sketch.quantile(0.5)]).toEqual([0, 0, undefined]);
    sketch.add(7);
    expect(sketch.quantile(0.5)).toBe(7);
  });
});
