import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NodeBreaker, recoveryMs } from '../../../../src/protocols/infrastructure/breaker/node-breaker.ts';

const options = { recoveryTimeMs: 1_000, maxRecoveryTimeMs: 4_000 };

test('open, half-open with one probe, open for twice as long, closed', () => {
  const breaker = new NodeBreaker(options);
  expect(breaker.takeProbe(0)).toBe(false);
  breaker.open(0);
  expect([breaker.isOpen, breaker.isHalfOpen(999), breaker.takeProbe(999), breaker.retryAfterMs(400)]).toEqual([
    true,
    false,
    false,
    600,
  ]);
  expect([breaker.takeProbe(1_000), breaker.takeProbe(1_001)]).toEqual([true, false]);
  breaker.open(1_100);
  expect([breaker.isHalfOpen(3_099), breaker.isHalfOpen(3_100)]).toEqual([false, true]);
  // A probe that says nothing leaves it to the next call.
  expect(breaker.takeProbe(3_100)).toBe(true);
  breaker.endProbe();
  expect(breaker.takeProbe(3_101)).toBe(true);
  // One that never ends does not keep others from probing for ever.
  expect([breaker.takeProbe(13_100), breaker.takeProbe(13_101)]).toEqual([false, true]);
  breaker.close();
  expect([breaker.isOpen, breaker.retryAfterMs(20_000)]).toEqual([false, 0]);
  breaker.open(30_000);
  expect(breaker.isHalfOpen(31_000)).toBe(true);
});

test('rounds double up to the longest', () => {
  fc.assert(
    fc.property(fc.nat(10_000), (round) => {
      const ms = recoveryMs(round, options);
      expect(ms).toBe(Math.min(4_000, 1_000 * 2 ** round));
    }),
  );
});
