/** The mean of all: every contribution pulls in proportion to its merit, a liar's too. */
import type { Contribution } from '../variables.ts';
import { meritsOf, type Rule, sharesOf, sum } from './rule.ts';

export const weightedAverageByPerformance: Rule<number> = {
  name: 'weightedAverageByPerformance',
  resolve(contributions) {
    const merits = meritsOf(contributions);
    return { value: meanOf(contributions, merits), shares: () => sharesOf(merits) };
  },
};

/** Weighted, in one pass over the differences to the first with any weight, which keeps equal values exactly what they are. One weight at least is above 0. */
export function meanOf(contributions: readonly Contribution<number>[], weights: readonly number[]): number {
  const total = sum(weights);
  const mean = meanBy(contributions, weights, total);
  if (Number.isFinite(mean)) return mean;
  // Products beyond what a number holds: the weights are made shares first, at the price of some rounding.
  const shares = weights.map((weight) => weight / total);
  return meanBy(contributions, shares, 1);
}

function meanBy(contributions: readonly Contribution<number>[], weights: readonly number[], total: number): number {
  let base: number | undefined;
  let moment = 0;
  for (const [index, { value }] of contributions.entries()) {
    const weight = weights[index] as number;
    if (weight === 0) continue;
    base ??= value;
    moment += (value - base) * weight;
  }
  return (base as number) + moment / total;
}
