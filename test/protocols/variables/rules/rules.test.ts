/** What all rules have in common, and what each promises. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lastWriter, majority } from '../../../../src/protocols/variables/rules/choices.ts';
import { byFields, numberRules } from '../../../../src/protocols/variables/rules/fields.ts';
import type { Rule } from '../../../../src/protocols/variables/rules/rule.ts';
import type { Contribution } from '../../../../src/protocols/variables/variables.ts';
import { anyContributions, contribution, ordered } from '../contributions-of.ts';

const numbers = anyContributions(fc.double({ min: -5, max: 5, noNaN: true }));
const letters = anyContributions(fc.constantFrom('a', 'b', 'c'));
const ofNumbers: readonly (readonly [string, Rule<number>])[] = [
  ...Object.entries(numberRules),
  ['lastWriter', lastWriter<number>()],
];
const ofLetters: readonly Rule<string>[] = [lastWriter(), majority((value) => value, 'b')];

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

describe('every rule', () => {
  it.each(ofNumbers)('%s stays a number between them, also where products overflow', (_name, rule) => {
    const huge = fc.double({ min: -8e307, max: 8e307, noNaN: true });
    const heavy = anyContributions(huge).map((all) => all.map((one) => ({ ...one, weight: one.weight * 1e9 })));
    fc.assert(
      fc.property(heavy, (all) => {
        const { value } = rule.resolve(all);
        const values = all.map((one) => one.value);
        expect(value).toBeGreaterThanOrEqual(Math.min(...values) - 1e293);
        expect(value).toBeLessThanOrEqual(Math.max(...values) + 1e293);
      }),
    );
  });

  it.each(ofNumbers)('%s stays between the least and the greatest that has a say', (_name, rule) => {
    fc.assert(
      fc.property(numbers, (all) => {
        const { value, shares } = rule.resolve(all);
        const heard = all.some(({ weight }) => weight > 0) ? all.filter(({ weight }) => weight > 0) : all;
        const values = heard.map((one) => one.value);
        expect(value).toBeGreaterThanOrEqual(Math.min(...values) - 1e-9);
        expect(value).toBeLessThanOrEqual(Math.max(...values) + 1e-9);
        expect(shares()).toHaveLength(all.length);
        expect(sum(shares())).toBeCloseTo(1, 9);
        for (const share of shares()) expect(share).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it.each(ofNumbers)('%s gives back what all agree on, exactly', (_name, rule) => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), numbers, (value, all) => {
        // No negative zero: none is ever taken.
        expect(rule.resolve(all.map((one) => ({ ...one, value: value + 0 }))).value).toBe(value + 0);
      }),
    );
  });

  it('picks one of what was contributed, whoever holds it', () => {
    fc.assert(
      fc.property(letters, (all) => {
        for (const rule of ofLetters) {
          const { value, shares } = rule.resolve(all);
          const voters = all.filter((_, index) => (shares()[index] as number) > 0);
          expect(voters.length).toBeGreaterThan(0);
          expect(new Set(voters.map((one) => one.value))).toEqual(new Set([value]));
          expect(sum(shares())).toBeCloseTo(1, 9);
        }
      }),
    );
  });
});

describe('weightedAverageByPerformance', () => {
  const mean = (...all: Contribution<number>[]): number =>
    numberRules.weightedAverageByPerformance.resolve(ordered(all)).value;

  it('weighs by weight and performance, and unreported ones as the middle of the reported', () => {
    expect(mean(contribution(0, { performance: 1 }), contribution(1, { performance: 0.25 }))).toBeCloseTo(0.2);
    expect(mean(contribution(0, { weight: 0.25 }), contribution(1))).toBeCloseTo(0.8);
    expect(
      mean(contribution(0, { performance: 1 }), contribution(0, { performance: 0.5 }), contribution(1)),
    ).toBeCloseTo(1 / 3);
  });

  it('falls back to weights, and then to equals, when all would count for nothing', () => {
    expect(mean(contribution(0, { performance: 0 }), contribution(1, { performance: 0, weight: 0.5 }))).toBeCloseTo(
      1 / 3,
    );
    expect(mean(contribution(0, { weight: 0 }), contribution(1, { weight: 0 }))).toBe(0.5);
  });
});

describe('what liars can do', () => {
  /** Honest contributions with liars that together have less than `part` of all weight. */
  const withLiars = (part: number) =>
    fc
      .record({
        honest: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 12 }),
        lies: fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), { maxLength: 12 }),
        seed: fc.nat(),
      })
      .filter(({ honest, lies }) => lies.length < part * (honest.length + lies.length));

  it.each([
    ['median', 0.5],
    ['trimmedMean', 0.25],
  ] as const)('%s stays within the honest values for less than %d of the weight', (name, part) => {
    fc.assert(
      fc.property(withLiars(part), ({ honest, lies, seed }) => {
        const values = [...honest, ...lies];
        // Anywhere among the others, by node id.
        const turned = values.map((_, index) => values[(index + seed) % values.length] as number);
        const { value } = numberRules[name].resolve(ordered(turned.map((one) => contribution(one))));
        expect(value).toBeGreaterThanOrEqual(Math.min(...honest) - 1e-9);
        expect(value).toBeLessThanOrEqual(Math.max(...honest) + 1e-9);
      }),
      { numRuns: 500 },
    );
  });

  it('the median of an even number lies between the two in the middle', () => {
    const median = (...values: number[]): number =>
      numberRules.median.resolve(ordered(values.map((one) => contribution(one)))).value;
    expect(median(4, 1, 3, 2)).toBe(2.5);
    expect(median(9, 1, 3)).toBe(3);
    const weighted = [
      contribution(1, { weight: 0.2 }),
      contribution(2, { weight: 0.2 }),
      contribution(3, { weight: 1 }),
    ];
    expect(numberRules.median.resolve(ordered(weighted)).value).toBe(3);
  });

  it('the trimmed mean is that of the middle half', () => {
    const values = [100, 0, 4, 6].map((one) => contribution(one));
    expect(numberRules.trimmedMean.resolve(ordered(values)).value).toBe(5);
    const six = [1, 2, 3, 4, 5, 600].map((one) => contribution(one));
    // A quarter of six is one and a half: the first and half of the second go.
    expect(numberRules.trimmedMean.resolve(ordered(six)).value).toBeCloseTo((0.5 * 2 + 3 + 4 + 0.5 * 5) / 3);
  });
});

describe('picking', () => {
  it('the last writer is the latest, then the greater node', () => {
    const all = ordered([contribution('a', { at: 2 }), contribution('b', { at: 2 }), contribution('c', { at: 1 })]);
    expect(lastWriter<string>().resolve(all).value).toBe('b');
    const mute = ordered([contribution('a', { at: 1 }), contribution('b', { at: 2, weight: 0 })]);
    expect(lastWriter<string>().resolve(mute).value).toBe('a');
  });

  it('of equals the majority prefers the default, then the first by name', () => {
    const all = ordered(['c', 'b', 'a'].map((one) => contribution(one)));
    expect(majority<string>((value) => value, 'b').resolve(all).value).toBe('b');
    expect(majority<string>((value) => value, 'z').resolve(all).value).toBe('a');
    const liked = ordered([
      contribution('a', { performance: 0.2 }),
      contribution('a', { performance: 0.2 }),
      contribution('b', { performance: 0.5 }),
    ]);
    expect(majority<string>((value) => value, 'a').resolve(liked).value).toBe('b');
  });

  it('fields are resolved apart; a mixture that is not allowed gives way to the latest contribution', () => {
    type Pair = { readonly low: number; readonly high: number; readonly name: string };
    const rule = byFields<Pair>({
      fields: { low: 'max', high: 'min', name: 'majority' },
      check: (value) => {
        const pair = value as Pair;
        return pair.low <= pair.high ? { ok: true, value: pair } : { ok: false, reason: 'crossed' };
      },
      keyOf: String,
    });
    const resolve = (...pairs: Pair[]): Pair =>
      rule.resolve(ordered(pairs.map((pair, at) => contribution(pair, { at })))).value;
    expect(
      resolve({ low: 1, high: 9, name: 'x' }, { low: 2, high: 8, name: 'y' }, { low: 0, high: 7, name: 'y' }),
    ).toEqual({
      low: 2,
      high: 7,
      name: 'y',
    });
    expect(resolve({ low: 5, high: 9, name: 'x' }, { low: 1, high: 2, name: 'y' })).toEqual({
      low: 1,
      high: 2,
      name: 'y',
    });
    expect(resolve({ low: 'a' as never, high: 9, name: 'x' }, { low: 3, high: 10, name: 'x' }).low).toBe(3);
  });
});
