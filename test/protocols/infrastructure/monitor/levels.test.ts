import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { crossed, levelAfter, severity } from '../../../../src/protocols/infrastructure/monitor/levels.ts';
import type { AlertLevel } from '../../../../src/protocols/infrastructure/monitor/monitor.ts';

const above = { warning: 100, critical: 500, direction: 'above', hysteresis: 0.1 } as const;
const below = { warning: 100, critical: 10, direction: 'below', hysteresis: 0.1 } as const;

const through = (values: readonly (number | undefined)[], thresholds: typeof above | typeof below): string => {
  let level: AlertLevel = 'ok';
  const letters = values.map((value) => {
    level = levelAfter(level, value, thresholds);
    return level[0];
  });
  return letters.join('');
};

describe('levels', () => {
  test('are entered at the threshold and left a tenth below it', () => {
    expect(through([99, 100, 95, 90.01, 89.9, 99, 100], above)).toBe('owwwoow');
    expect(through([500, 451, 449, 91, 89], above)).toBe('ccwwo');
    expect(through([700, 20, 499, 700, undefined], above)).toBe('cowco');
  });

  test('below: the other way round', () => {
    expect(through([101, 100, 109, 110.1, 10, 10.9, 11.1, 120], below)).toBe('owwoccwo');
  });

  test('with one threshold only, at zero and below it', () => {
    const only = { warning: undefined, critical: -100, direction: 'above', hysteresis: 0.1 } as const;
    expect(levelAfter('ok', -101, only)).toBe('ok');
    expect(levelAfter('ok', -100, only)).toBe('critical');
    expect(levelAfter('critical', -109, only)).toBe('critical');
    expect(levelAfter('critical', -111, only)).toBe('ok');
    const zero = { ...only, critical: 0 };
    expect([levelAfter('ok', 0, zero), levelAfter('critical', -1e-9, zero)]).toEqual(['critical', 'ok']);
  });

  test('the threshold that was crossed is that of the worse level', () => {
    expect(crossed('critical', 'ok', above)).toBe(500);
    expect(crossed('warning', 'critical', above)).toBe(500);
    expect(crossed('ok', 'warning', above)).toBe(100);
  });

  test('a worse value never gives a better level, and the same again changes nothing', () => {
    const level = fc.constantFrom<AlertLevel>('ok', 'warning', 'critical');
    const value = fc.double({ min: -1_000, max: 1_000, noNaN: true });
    const thresholds = fc
      .record({ a: value, b: value, hysteresis: fc.double({ min: 0, max: 1, noNaN: true }) })
      .map(({ a, b, hysteresis }) => ({
        warning: Math.min(a, b),
        critical: Math.max(a, b),
        direction: 'above' as const,
        hysteresis,
      }));
    fc.assert(
      fc.property(level, value, value, thresholds, (current, x, y, limits) => {
        const [good, bad] = x < y ? [x, y] : [y, x];
        const after = levelAfter(current, good, limits);
        expect(severity(after)).toBeLessThanOrEqual(severity(levelAfter(current, bad, limits)));
        expect(levelAfter(after, good, limits)).toBe(after);
      }),
    );
  });
});
