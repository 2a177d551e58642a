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

/** Weighted; in one pass over the differences to the first, which keeps equal values exactly what they are. */
function meanOf(contributions: readonly Contribution<number>[], weights: readonly number[]): number {
  const base = (contributions[0] as Contribution<number>).value;
  let moment = 0;
  for (const [index, { value }] of contributions.entries()) moment += (value - base) * (weights[index] as number);
  return base + moment / sum(weights);
}
