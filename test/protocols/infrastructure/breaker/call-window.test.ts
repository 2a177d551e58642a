import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CallWindow } from '../../../../src/protocols/infrastructure/breaker/call-window.ts';

test('counts what is younger than nine tenths of the window, nothing older than the window', () => {
  const calls = fc.array(fc.record({ afterMs: fc.nat(400), failed: fc.boolean() }), { maxLength: 100 });
  fc.assert(
    fc.property(calls, fc.nat(2_000), (all, restMs) => {
      const window = new CallWindow(1_000);
      const made: { at: number; failed: boolean }[] = [];
      let now = 5_000;
      for (const { afterMs, failed } of all) {
        now += afterMs;
        window.add(failed, now);
        made.push({ at: now, failed });
      }
      now += restMs;
      for (const failed of [true, false]) {
        const ages = made.filter((call) => call.failed === failed).map(({ at }) => now - at);
        const counted = failed ? window.failures(now) : window.successes(now);
        expect(counted).toBeGreaterThanOrEqual(ages.filter((age) => age <= 900).length);
        expect(counted).toBeLessThanOrEqual(ages.filter((age) => age < 1_000).length);
      }
    }),
  );
});

test('says when its counts change by time alone, and not while it has none', () => {
  const window = new CallWindow(1_000);
  expect(window.nextChangeAt(50)).toBeUndefined();
  window.add(true, 50);
  let now = 50;
  for (let at = window.nextChangeAt(now); at !== undefined; at = window.nextChangeAt(now)) {
    expect(at).toBeGreaterThan(now);
    now = at;
  }
  expect(now).toBe(1_000);
  expect(window.failures(now)).toBe(0);
  window.add(false, now);
  window.clear();
  expect([window.failures(now), window.successes(now), window.nextChangeAt(now)]).toEqual([0, 0, undefined]);
});
