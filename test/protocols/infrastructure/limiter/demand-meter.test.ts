import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seededRng } from '../../../../src/clock.ts';
import { DemandMeter, slotMs } from '../../../../src/protocols/infrastructure/limiter/demand-meter.ts';

/** Looks every slot; `perSlot` arrivals in each. */
function feed(meter: DemandMeter, from: number, slots: number, perSlot: () => number): number {
  let now = from;
  for (let slot = 0; slot < slots; slot++) {
    meter.count(perSlot());
    now += slotMs;
    meter.look(now, 0);
  }
  return now;
}

test('a steady demand is known within three slots, and stays', () => {
  const meter = new DemandMeter(0);
  meter.begin(0);
  let now = feed(meter, 0, 3, () => 20);
  expect(meter.demand).toBe(200);
  now = feed(meter, now, 50, () => 20);
  expect(meter.demand).toBe(200);
  now = feed(meter, now, 3, () => 60);
  expect(meter.demand).toBeGreaterThan(400);
  feed(meter, now, 21, () => 0);
  expect([meter.demand, meter.isIdle]).toEqual([0, true]);
});

test('rare requests are counted over a longer time', () => {
  const meter = new DemandMeter(0);
  meter.begin(0);
  let slot = 0;
  feed(meter, 0, 40, () => (slot++ % 5 === 0 ? 1 : 0));
  expect(meter.demand).toBeGreaterThanOrEqual(1);
  expect(meter.demand).toBeLessThanOrEqual(3);
});

test('what waits is asked for as well', () => {
  const meter = new DemandMeter(0);
  meter.begin(0);
  meter.look(3 * slotMs, 40);
  expect(meter.demand).toBe(40);
});

test('what came while the process stood still is no peak', () => {
  const meter = new DemandMeter(0);
  meter.begin(0);
  let now = feed(meter, 0, 30, () => 10);
  meter.count(100);
  now += 10 * slotMs;
  expect(meter.look(now, 0)).toBe(100);
});

test('noise is not told: a Poisson process is said anew rarely, and rightly', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 31 }), fc.integer({ min: 50, max: 500 }), (seed, perSecond) => {
      const rng = seededRng(seed);
      const meter = new DemandMeter(0);
      meter.begin(0);
      let [now, next, changes] = [0, 0, 0];
      const gap = () => (-Math.log(1 - rng.float()) * 1_000) / perSecond;
      next = gap();
      const errors: number[] = [];
      for (let slot = 0; slot < 600; slot++) {
        now += slotMs;
        for (; next < now; next += gap()) meter.count(1);
        const before = meter.demand;
        if (meter.look(now, 0) !== before) changes += 1;
        if (slot >= 20) errors.push(Math.abs(meter.demand / perSecond - 1));
      }
      const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
      expect(mean).toBeLessThan(0.2);
      // Of 600 looks.
      expect(changes).toBeLessThan(150);
    }),
    { numRuns: 30 },
  );
});
