import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Clock, Timer } from '../../../../src/clock.ts';
import { Alarm } from '../../../../src/protocols/pbft/driver/alarm.ts';

/** Timers come up to `early` milliseconds too early, as those of Node do. */
class HastyClock implements Clock {
  time = 0;
  made = 0;
  readonly early: number;
  readonly #timers = new Map<number, { readonly at: number; readonly fire: () => void }>();

  constructor(early: number) {
    this.early = early;
  }

  now(): number {
    return this.time;
  }

  wallNow(): number {
    return this.time;
  }

  after(delayMs: number, fire: () => void): Timer {
    const key = this.made++;
    // Not earlier than the smallest step, so that time passes at all.
    this.#timers.set(key, { at: this.time + Math.max(0.1, delayMs - this.early), fire });
    return { cancel: () => void this.#timers.delete(key) };
  }

  runUntil(end: number): void {
    for (;;) {
      const next = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers.delete(next[0]);
      this.time = Math.max(this.time, next[1].at);
      next[1].fire();
    }
    this.time = end;
  }
}

test('a timer that comes too early does not ring: it is set again', () => {
  const clock = new HastyClock(1);
  const rung: number[] = [];
  const alarm = new Alarm(clock, () => rung.push(clock.now()));
  alarm.set(100);
  clock.runUntil(99.5);
  expect(rung).toEqual([]);
  clock.runUntil(200);
  expect(rung).toHaveLength(1);
  expect(rung[0]).toBeGreaterThanOrEqual(100);
});

test('setting it later and later makes no new timers', () => {
  const clock = new HastyClock(0);
  const rung: number[] = [];
  const alarm = new Alarm(clock, () => rung.push(clock.now()));
  for (let at = 100; at < 1_100; at++) alarm.set(at);
  expect(clock.made).toBe(1);
  clock.runUntil(2_000);
  expect(clock.made).toBe(2);
  expect(rung).toEqual([1_099]);
});

test('it rings once for what was set last, never early, and not after it was cancelled', () => {
  const wishes = fc.array(
    fc.record({ wait: fc.integer({ min: 0, max: 20 }), cancel: fc.boolean(), after: fc.nat(50) }),
  );
  fc.assert(
    fc.property(wishes, fc.integer({ min: 0, max: 3 }), (steps, early) => {
      const clock = new HastyClock(early);
      let wanted = Number.POSITIVE_INFINITY;
      const alarm = new Alarm(clock, () => {
        expect(clock.now()).toBeGreaterThanOrEqual(wanted);
        wanted = Number.POSITIVE_INFINITY; // A second ring without a second wish would be early.
      });
      for (const { wait, cancel, after } of steps) {
        clock.runUntil(clock.time + wait);
        if (cancel) {
          alarm.cancel();
          wanted = Number.POSITIVE_INFINITY;
        } else {
          wanted = clock.time + after;
          alarm.set(wanted);
        }
      }
      clock.runUntil(clock.time + 100);
      expect(wanted).toBe(Number.POSITIVE_INFINITY);
    }),
  );
});
