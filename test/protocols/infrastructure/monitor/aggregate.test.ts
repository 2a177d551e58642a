import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Aggregate, type Measured, weights } from '../../../../src/protocols/infrastructure/monitor/aggregate.ts';
import { DDSketch } from '../../../../src/protocols/infrastructure/monitor/ddsketch.ts';

const measured = (values: Iterable<number>, coveredMs = 1_000): Measured => {
  const sketch = new DDSketch();
  for (const value of values) sketch.add(value);
  return { sketch, coveredMs };
};
const times = (count: number, value: number): number[] => Array.from({ length: count }, () => value);
/** 1 to 1,000, so that the percentile is the value over ten. */
const ramp = (): Measured => measured(Array.from({ length: 1_000 }, (_, n) => n + 1));
/** A liar that says it has made a billion measurements of one value. */
const liar = (value: number): Measured => {
  const { sketch } = measured([value]);
  sketch.merge(measured([value]).sketch, 1e9);
  return { sketch, coveredMs: 1_000 };
};

describe('aggregates over nodes', () => {
  test('percentiles are those of all measurements, not averages of percentiles', () => {
    const busy = measured(times(990, 10));
    const slow = measured(times(10, 1_000));
    const all = new Aggregate([busy, slow], 0);
    expect(all.value('p50')).toBeCloseTo(10, 0);
    expect(all.value('p95')).toBeCloseTo(10, 0);
    expect(all.percentile(99.5)).toBeGreaterThan(980);
    expect([all.value('mean'), all.value('min'), all.value('max')]).toEqual([19.9, 10, 1_000]);
    expect([all.value('sum'), all.value('count'), all.samples]).toEqual([19_900, 1_000, 1_000]);
  });

  test('a rate is the sum of the rates of the nodes', () => {
    expect(new Aggregate([measured(times(50, 1), 500), measured(times(50, 1), 2_000)], 0).value('rate')).toBe(125);
    expect(new Aggregate([measured([1], 0)], 0).value('rate')).toBe(10);
  });

  test('of nothing', () => {
    const none = new Aggregate([], 1);
    expect((['p50', 'mean', 'min', 'max'] as const).map((kind) => none.value(kind))).toEqual(Array(4).fill(undefined));
    expect((['count', 'sum', 'rate'] as const).map((kind) => none.value(kind))).toEqual([0, 0, 0]);
  });

  test('nobody counts more than the (liars + 1)-th busiest', () => {
    expect(weights([10, 1_000, 20], 1)).toEqual([1, 0.02, 1]);
    expect(weights([10, 1_000, 20], 0)).toEqual([1, 1, 1]);
    expect(weights([10], 1)).toEqual([1]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 1e9 }), { minLength: 1 }), fc.nat(4), (counts, liars) => {
        const sorted = [...counts].sort((a, b) => b - a);
        const bound = sorted[Math.min(liars, counts.length - 1)] as number;
        const weight = weights(counts, liars);
        for (const [n, count] of counts.entries()) {
          const counted = count * (weight[n] as number);
          expect(counted).toBeLessThanOrEqual((liars < counts.length ? bound : count) * (1 + 1e-12));
          if (sorted.indexOf(count) >= liars) expect(weight[n]).toBe(1);
        }
      }),
    );
  });

  // docs/guarantees.md states these figures.
  test.each([
    { n: 10, k: 1, p50: [44.5, 55.5], p95: [94.5, 100] },
    { n: 10, k: 2, p50: [37.5, 62.5], p95: [93.8, 100] },
    { n: 30, k: 1, p50: [48.3, 51.7], p95: [94.9, 98.2] },
  ])('$k liars of $n: p50 stays between honest percentiles $p50, p95 between $p95', ({ n, k, p50, p95 }) => {
    const honest = Array.from({ length: n - k }, ramp);
    const [low, high] = [1e-6, 1e9].map((lie) => new Aggregate([...honest, ...times(k, lie).map(liar)], k));
    const within = (value: number | undefined, [from, to]: readonly number[]): void => {
      expect(value).toBeGreaterThanOrEqual((from as number) * 10 * 0.985);
      expect(value).toBeLessThanOrEqual((to as number) * 10 * 1.015);
    };
    within(low?.value('p50'), p50);
    within(high?.value('p50'), p50);
    within(low?.value('p95'), p95);
    // Upwards p95 is bounded only while liars hold less than a twentieth of the weight.
    if (k / n < 0.05) within(high?.value('p95'), p95);
    else expect(high?.value('p95')).toBeGreaterThan(1e8);
  });
});
