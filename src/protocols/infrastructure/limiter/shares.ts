/**
 * How a rate is divided among nodes: a pure function of what they ask for, so that all who know the same compute the same.
 *
 * Intuition: water is poured into vessels, each as wide as its weight and as deep as what it asks for (weighted max-min fairness). Vessels that are full get no more; when all are full,
 * what is left over is lent as headroom, so that a node that suddenly needs more has some already.
 *
 * Invariants: the shares are not negative and sum up to the rate; nobody gets less than what it asks for while another gets more for its weight than it does; nobody who asks
 * for more gets less than had it asked for less. One node's claim counts at most `maxClaimFactor` times the median claim or an equal share, whichever is more, so that k liars of n nodes
 * take from honest ones that want all of it together at most `4k / (n + 3k)` of the rate instead of `k / n`. (Bertsekas and Gallager, Data Networks, 6.5.2.)
 */
export type Distribution = 'weightedByCapacity' | 'equal' | 'byDemand';

export interface Claim {
  /** Requests per second asked for. */
  readonly demand: number;
  /** The announced resource; undefined: none announced, counts as the median. */
  readonly capacity: number | undefined;
}

/** More than this many times what is usual nobody is believed. */
export const maxClaimFactor = 4;
/** What a node that asks for nothing is given all the same, as a part of an equal share: enough to begin with. */
export const idleShare = 0.02;

/** The share of each claim, in their order. */
export function divide(rate: number, distribution: Distribution, claims: readonly Claim[]): number[] {
  const count = claims.length;
  if (count === 0) return [];
  const equal = rate / count;
  const believed = maxClaimFactor * Math.max(equal, lowerMedian(claims.map(({ demand }) => demand)));
  const demands = claims.map(({ demand }) => Math.min(believed, Math.max(demand, idleShare * equal)));
  const weights = weightsOf(distribution, claims, demands);
  const shares = pour(rate, demands, weights);
  const left = rate - sum(shares);
  if (left <= 0) return shares;
  // By demand, an idle node is lent as much as one that asks for an equal share: it is the one whose need cannot be foreseen.
  const lent = distribution === 'byDemand' ? weights.map((weight) => Math.max(weight, equal)) : weights;
  const width = sum(lent);
  return shares.map((share, at) => share + (left * (lent[at] as number)) / width);
}

function weightsOf(
  distribution: Distribution,
  claims: readonly Claim[],
  demands: readonly number[],
): readonly number[] {
  switch (distribution) {
    case 'equal':
      return claims.map(() => 1);
    case 'byDemand':
      return demands;
    case 'weightedByCapacity': {
      const announced = claims.flatMap(({ capacity }) => (isUsable(capacity) ? [capacity] : []));
      const usual = announced.length === 0 ? 1 : lowerMedian(announced);
      // A node whose processors are all busy for a moment is not cut off.
      return claims.map(({ capacity = usual }) =>
        Math.min(
          maxClaimFactor * usual,
          Math.max(Number.isFinite(capacity) ? capacity : 0, usual / (4 * maxClaimFactor)),
        ),
      );
    }
  }
}

/** So little, or so much, that it cannot be computed with is as good as nothing said. */
const isUsable = (capacity: number | undefined): capacity is number =>
  capacity !== undefined && capacity >= 1e-6 && capacity <= 1e12;

/** Fills each up to its demand, all at the same level for their weight, until the rate is used up or all are full. */
function pour(rate: number, demands: readonly number[], weights: readonly number[]): number[] {
  const depth = (at: number): number => (demands[at] as number) / (weights[at] as number);
  const shallowFirst = demands.map((_, at) => at).sort((a, b) => depth(a) - depth(b));
  const shares = demands.map(() => 0);
  let left = rate;
  let width = sum(weights);
  for (const at of shallowFirst) {
    const weight = weights[at] as number;
    const share = Math.min(demands[at] as number, (left * weight) / width);
    shares[at] = share;
    left = Math.max(0, left - share);
    width -= weight;
    if (width <= 0) break;
  }
  return shares;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

function lowerMedian(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[(sorted.length - 1) >> 1] as number;
}
