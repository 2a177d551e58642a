import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultMaxAheadMs, HybridClock, stampToMs } from '../src/hlc.ts';

const wallMs = fc.integer({ min: 0, max: 4_000_000_000_000 });

describe('HybridClock', () => {
  it('rises strictly and stays a safe integer whatever the wall clock does', () => {
    fc.assert(
      fc.property(fc.array(wallMs, { minLength: 2, maxLength: 50 }), (walls) => {
        let at = 0;
        const clock = new HybridClock(() => walls[at] as number);
        let last = -1;
        for (at = 0; at < walls.length; at++) {
          const stamp = clock.now();
          expect(stamp).toBeGreaterThan(last);
          expect(Number.isSafeInteger(stamp)).toBe(true);
          last = stamp;
        }
      }),
    );
  });

  it('reads a stamp greater than each observed one, and keeps wall time in the upper part', () => {
    fc.assert(
      fc.property(wallMs, fc.integer({ min: 0, max: defaultMaxAheadMs - 1 }), (wall, ahead) => {
        const remote = new HybridClock(() => wall + ahead).now();
        const clock = new HybridClock(() => wall);
        expect(clock.observe(remote)).toBe(true);
        const next = clock.now();
        expect(next).toBeGreaterThan(remote);
        expect(stampToMs(next)).toBe(wall + ahead);
      }),
    );
  });

  it('refuses a stamp further ahead than the bound and is not moved by it', () => {
    const wall = 1_800_000_000_000;
    const clock = new HybridClock(() => wall);
    const before = clock.now();
    expect(clock.observe(new HybridClock(() => wall + defaultMaxAheadMs + 1).now())).toBe(false);
    expect(clock.now()).toBe(before + 1);
  });

  it('takes a bound of its own', () => {
    const clock = new HybridClock(() => 1000, 10);
    expect(clock.observe(new HybridClock(() => 1010).now())).toBe(true);
    expect(clock.observe(new HybridClock(() => 1011).now())).toBe(false);
  });

  it('refuses what is no stamp', () => {
    const clock = new HybridClock(() => 1000);
    for (const no of [Number.NaN, -1, 1.5, Number.POSITIVE_INFINITY, 2 ** 53]) expect(clock.observe(no)).toBe(false);
  });

  it('carries into the milliseconds when one holds more readings than the counter', () => {
    const clock = new HybridClock(() => 5);
    let last = 0;
    for (let i = 0; i < 5000; i++) last = clock.now();
    expect(stampToMs(last)).toBe(7);
  });
});
