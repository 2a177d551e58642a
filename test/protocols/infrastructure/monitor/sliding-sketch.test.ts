import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SlidingSketch } from '../../../../src/protocols/infrastructure/monitor/sliding-sketch.ts';

const windowMs = 1_000;
const steps = fc.array(fc.record({ afterMs: fc.nat(700), value: fc.integer({ min: 1, max: 100 }) }), { maxLength: 60 });

describe('the sliding window', () => {
  test('holds all of the last nine tenths, and nothing older than the whole', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e6, noNaN: true }), steps, (start, all) => {
        const sliding = new SlidingSketch(windowMs, start);
        const made: number[] = [];
        let now = start;
        for (const { afterMs, value } of all) {
          now += afterMs;
          sliding.add(value, now);
          made.push(now);
          sliding.expire(now);
          const { count } = sliding.merged();
          const within = (ms: number): number => made.filter((at) => now - at < ms).length;
          expect(count).toBeGreaterThanOrEqual(within(0.9 * windowMs - 1e-6));
          expect(count).toBeLessThanOrEqual(within(windowMs + 1e-6));
        }
      }),
    );
  });

  test('is empty after its next expiries, and says when they are', () => {
    const sliding = new SlidingSketch(windowMs, 50);
    expect(sliding.nextExpiry()).toBeUndefined();
    sliding.add(1, 60);
    sliding.add(1, 500);
    expect(sliding.nextExpiry()).toBe(1_050);
    expect(sliding.expire(1_049)).toBe(false);
    expect(sliding.expire(1_050)).toBe(true);
    expect(sliding.merged().count).toBe(1);
    expect(sliding.expire(sliding.nextExpiry() as number)).toBe(true);
    expect([sliding.isEmpty, sliding.nextExpiry()]).toEqual([true, undefined]);
  });

  test('covers what has passed since it began, and then between nine tenths and the whole', () => {
    const sliding = new SlidingSketch(windowMs, 0);
    expect([0, 250, 999].map((now) => sliding.coveredMs(now))).toEqual([0, 250, 999]);
    expect([1_000, 1_099, 5_050].map((now) => sliding.coveredMs(now))).toEqual([900, 999, 950]);
  });
});
