import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Problems } from '../../../../src/protocols/variables/kinds/kind.ts';
import { NumberKind, numberProblems } from '../../../../src/protocols/variables/kinds/number.ts';
import type { NumberOptions, RangePolicy } from '../../../../src/protocols/variables/variables.ts';

type Name = 'float' | 'integer';

const problemsOf = (name: Name, options: Partial<NumberOptions>): string[] => {
  const problems: Problems = {};
  numberProblems(name, options as NumberOptions, problems);
  return Object.keys(problems).sort();
};

/** Definitions without problems, with steps of all sizes. */
const definitions = fc
  .record({
    name: fc.constantFrom<Name>('float', 'integer'),
    min: fc.oneof(fc.integer({ min: -1000, max: 1000 }), fc.double({ min: -1e6, max: 1e6, noNaN: true })),
    range: fc.oneof(fc.integer({ min: 1, max: 1000 }), fc.double({ min: 1e-3, max: 1e6, noNaN: true })),
    step: fc.option(
      fc.oneof(fc.constantFrom(1, 2, 0.1, 0.25, 0.3, 1 / 3), fc.double({ min: 1e-6, max: 10, noNaN: true })),
    ),
    outOfRange: fc.constantFrom<RangePolicy>('clamp', 'wrap', 'reject'),
  })
  .map(({ name, min, range, step, outOfRange }) => {
    const whole = name === 'integer' ? Math.round : (value: number) => value;
    const from = whole(min);
    const options: NumberOptions = {
      min: from,
      max: from + Math.max(name === 'integer' ? 1 : 0, whole(range)),
      default: from,
      outOfRange,
      ...(step === null ? {} : { step: name === 'integer' ? Math.max(1, Math.round(step)) : step }),
    };
    return { name, options };
  })
  .filter(({ name, options }) => problemsOf(name, options).length === 0);

describe('numbers', () => {
  it('what is taken is in range, on the grid, and taken again as it is', () => {
    fc.assert(
      fc.property(definitions, fc.double({ noNaN: true, noDefaultInfinity: true }), ({ name, options }, value) => {
        const kind = new NumberKind('x', name, {
          ...options,
          outOfRange: options.outOfRange === 'wrap' ? 'wrap' : 'clamp',
        });
        const taken = kind.accept(value);
        expect(taken).toBeGreaterThanOrEqual(options.min);
        expect(taken).toBeLessThanOrEqual(options.max);
        expect(kind.accept(taken)).toBe(taken);
        expect(kind.fit(taken)).toBe(taken);
        expect(kind.check(taken)).toEqual({ ok: true, value: taken });
        if (name === 'integer') expect(Number.isInteger(taken)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('what one node refuses no other takes, and nothing else is refused', () => {
    fc.assert(
      fc.property(definitions, fc.anything({ withBigInt: true }), ({ name, options }, value) => {
        const checked = new NumberKind('x', name, options).check(value);
        const isInside = typeof value === 'number' && value >= options.min && value <= options.max;
        if (!isInside) expect(checked.ok).toBe(false);
        else if (name === 'float' && options.step === undefined) expect(checked.ok).toBe(!Object.is(value, -0));
      }),
    );
  });

  it('the nearest point of the grid is taken', () => {
    const kind = new NumberKind('x', 'float', { min: 0, max: 1, step: 0.3, default: 0 });
    expect([0.1, 0.2, 0.5, 1, 7].map((value) => kind.accept(value))).toEqual([0, 0.3, 0.6, 0.9, 0.9]);
    const tenths = new NumberKind('x', 'float', { min: 0, max: 0.3, step: 0.1, default: 0 });
    expect(tenths.accept(0.3)).toBe(0.3);
    expect(tenths.accept(0.1 + 0.2)).toBe(0.3);
  });

  it('wrapping counts on from the other end', () => {
    const hour = new NumberKind('x', 'integer', { min: 0, max: 23, default: 0, outOfRange: 'wrap' });
    expect([24, 25, 47, 48, -1, -24, -25].map((value) => hour.accept(value))).toEqual([0, 1, 23, 0, 23, 0, 23]);
    const angle = new NumberKind('x', 'float', { min: -180, max: 180, default: 0, outOfRange: 'wrap' });
    expect([181, -181, 540, 360].map((value) => angle.accept(value))).toEqual([-179, 179, -180, 0]);
  });

  it('refusing says what is allowed, and forgives rounding', () => {
    const kind = new NumberKind('x', 'float', { min: 0, max: 1, step: 0.1, default: 0, outOfRange: 'reject' });
    expect(kind.accept(0.1 + 0.2)).toBe(0.3);
    for (const value of [-0.1, 1.1, 0.25]) expect(() => kind.accept(value)).toThrowError(/from 0 to 1 in steps of 0.1/);
    for (const value of ['1', Number.NaN, Number.POSITIVE_INFINITY, null]) {
      expect(() => kind.accept(value)).toThrowError(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    }
  });

  it('what is no number is named as it is', () => {
    const kind = new NumberKind('x', 'float', { min: 0, max: 1, default: 0 });
    const told = [undefined, null, Number.NaN, {}, 'x'].map((value) => {
      try {
        return kind.accept(value);
      } catch (error) {
        return (error as Error).message;
      }
    });
    const said = ['undefined', 'null', 'NaN', 'an object', 'a string'];
    expect(told).toEqual(said.map((what) => `Variable "x" was given ${what}; give a finite number.`));
  });

  it('every wrong bound is named', () => {
    expect(problemsOf('float', { min: 0, max: 1 })).toEqual([]);
    expect(problemsOf('float', { min: 1, max: 1 })).toEqual(['max']);
    expect(problemsOf('float', { min: -Number.MAX_VALUE, max: Number.MAX_VALUE })).toEqual(['max']);
    expect(problemsOf('float', { min: Number.NaN, max: 1, step: 0, unit: 5 as never })).toEqual([
      'min',
      'step',
      'unit',
    ]);
    expect(problemsOf('integer', { min: 0.5, max: 3, outOfRange: 'bounce' as never })).toEqual(['min', 'outOfRange']);
    expect(problemsOf('float', { min: 1e15, max: 1e15 + 100, step: 0.001 })).toEqual(['step']);
    expect(problemsOf('integer', { min: 0, max: 2 ** 46 })).toEqual(['max']);
  });
});
