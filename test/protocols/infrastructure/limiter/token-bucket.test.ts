import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TokenBucket } from '../../../../src/protocols/infrastructure/limiter/token-bucket.ts';

const full = (rate: number, capacity: number, now = 0) => new TokenBucket({ rate, capacity, tokens: capacity, now });

test('of 200 at once 100 pass, and after a second again as many', () => {
  const bucket = full(100, 100);
  const passed = (now: number) => Array.from({ length: 200 }, () => bucket.take(1, now)).filter(Boolean).length;
  expect([passed(0), passed(0), passed(1_000), passed(1_500)]).toEqual([100, 0, 100, 50]);
});

test('the time it names is the time at which it lets pass', () => {
  const bucket = full(10, 1);
  expect(bucket.take(1, 0)).toBe(true);
  expect(bucket.waitMs(1, 0, 0)).toBeCloseTo(100);
  expect(bucket.waitMs(1, 2, 0)).toBeCloseTo(300);
  expect([bucket.take(1, 99), bucket.take(1, 100)]).toEqual([false, true]);
});

test('a bucket without a rate lets nobody pass, and says so', () => {
  const bucket = full(0, 5);
  expect(bucket.take(1, 1_000)).toBe(false);
  expect(bucket.waitMs(1, 0, 1_000)).toBe(Infinity);
});

test('a small share lets one pass at its pace, never one at once after the other', () => {
  const bucket = full(0.5, 0.05);
  const passed = Array.from({ length: 20_000 }, (_, ms) => bucket.take(1, ms)).filter(Boolean).length;
  expect(passed).toBe(10);
});

test('what was given back is there again, up to the capacity', () => {
  const bucket = full(1, 2);
  expect(bucket.take(2, 0)).toBe(true);
  bucket.refund(1, 0);
  expect([bucket.take(1, 0), bucket.take(1, 0)]).toEqual([true, false]);
  bucket.refund(50, 0);
  expect(bucket.level(0)).toBe(2);
});

const step = fc.oneof(
  fc.record({ kind: fc.constant('take'), after: fc.nat(400), tokens: fc.integer({ min: 1, max: 12 }) }),
  fc.record({
    kind: fc.constant('shape'),
    after: fc.integer({ min: -50, max: 400 }),
    rate: fc.nat(200),
    capacity: fc.nat(20),
  }),
);

test('between any two moments no more passes than rate, capacity and one large take allow', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const bucket = full(50, 5);
      let [now, rate, capacity] = [0, 50, 5];
      /** What came in, what was the largest bucket, and what was taken, from each moment on. */
      const spans: { came: number; bucket: number; take: number; taken: number }[] = [];
      for (const one of steps) {
        const at = now + one.after;
        if (at > now) for (const span of spans) span.came += ((at - now) * rate) / 1_000;
        now = Math.max(now, at);
        spans.push({ came: 0, bucket: capacity, take: 0, taken: 0 });
        if (one.kind === 'shape') {
          [rate, capacity] = [(one as { rate: number }).rate, (one as { capacity: number }).capacity];
          bucket.reshape(rate, capacity, at);
        } else {
          const { tokens } = one as { tokens: number };
          const taken = bucket.take(tokens, at);
          for (const span of spans) {
            span.bucket = Math.max(span.bucket, capacity);
            span.take = Math.max(span.take, tokens);
            if (taken) span.taken += tokens;
          }
        }
        for (const span of spans) expect(span.taken).toBeLessThanOrEqual(span.came + span.bucket + span.take + 1e-4);
      }
    }),
  );
});
