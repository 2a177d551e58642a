/**
 * Rules that look at the order of the values: extremes, the median, and the mean of the middle.
 *
 * Intuition: who stands at the end of a sorted row is cut off or passed over, however far out it stands. So liars with less than half of
 * the weight cannot move the median past the honest values, nor with less than a quarter the trimmed mean (Yin et al., "Byzantine-Robust
 * Distributed Learning", ICML 2018, for one dimension); at an extreme one liar is enough.
 */
import type { Contribution } from '../variables.ts';
import { meanOf } from './averages.ts';
import { type Resolution, type Rule, sharesOf, sum, weightsOf } from './rule.ts';

/** Cut from each end by `trimmedMean`, as a share of the weight. */
const trimmedShare = 0.25;

export const max: Rule<number> = { name: 'max', resolve: (contributions) => extreme(contributions, (a, b) => a > b) };

export const min: Rule<number> = { name: 'min', resolve: (contributions) => extreme(contributions, (a, b) => a < b) };

/** By weight; between two middles their mean. */
export const median: Rule<number> = {
  name: 'median',
  resolve(contributions) {
    const weights = weightsOf(contributions);
    const kept = middle(contributions, weights, 0.5);
    return { value: meanOf(contributions, kept), shares: () => sharesOf(kept) };
  },
};

/** The mean of what is left when a quarter of the weight has been cut from each end. */
export const trimmedMean: Rule<number> = {
  name: 'trimmedMean',
  resolve(contributions) {
    const weights = weightsOf(contributions);
    const kept = middle(contributions, weights, trimmedShare);
    return { value: meanOf(contributions, kept), shares: () => sharesOf(kept) };
  },
};

/** Contributions without weight are passed over, unless none has any. */
function extreme(
  contributions: readonly Contribution<number>[],
  isBeyond: (a: number, b: number) => boolean,
): Resolution<number> {
  const weights = weightsOf(contributions);
  let best: number | undefined;
  for (const [index, { value }] of contributions.entries()) {
    if ((weights[index] as number) > 0 && (best === undefined || isBeyond(value, best))) best = value;
  }
  const value = best as number;
  return {
    value,
    shares: () => sharesOf(contributions.map((one, index) => (one.value === value ? (weights[index] as number) : 0))),
  };
}

/**
 * Weight that is left of each contribution when `cut` of the whole has been cut from each end of the row by value. With a cut of a half
 * nothing would be left; then the one or two that stand where the halves meet are kept.
 */
function middle(
  contributions: readonly Contribution<number>[],
  weights: readonly number[],
  cut: number,
): readonly number[] {
  const row = contributions
    .map(({ value }, index) => ({ value, index, weight: weights[index] as number }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => a.value - b.value || a.index - b.index);
  const total = sum(weights);
  const kept: number[] = contributions.map(() => 0);
  const [from, to] = [cut * total, (1 - cut) * total];
  let before = 0;
  for (const [place, { index, weight }] of row.entries()) {
    const after = place === row.length - 1 ? total : before + weight;
    // The median: whoever the point in the middle lies in, or those on both its sides when it lies between two.
    kept[index] =
      cut === 0.5 ? Number(before <= from && after >= to) : Math.max(0, Math.min(after, to) - Math.max(before, from));
    before = after;
  }
  return kept;
}
