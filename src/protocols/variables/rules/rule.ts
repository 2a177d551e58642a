/**
 * Rules: what the contributions of all mean together. Each is a pure function of the set of contributions, the same on every node that
 * holds the same ones; none depends on the order in which they came.
 */
import type { Contribution } from '../variables.ts';

/** What a rule came to, and how much of it is each contribution's doing: 0 to 1, in their order, 1 in sum. */
export interface Resolution<T> {
  readonly value: T;
  /** Worked out only when somebody asks why. */
  readonly shares: () => readonly number[];
}

export interface Rule<T> {
  /** Compared between nodes. */
  readonly name: string;
  /** `contributions`: at least one, ordered by node id. */
  resolve(contributions: readonly Contribution<T>[]): Resolution<T>;
}

/**
 * Weights of the contributions, in their order, never all zero: when everybody says 0, all weigh the same, since some value
 * has to be shown.
 */
export function weightsOf<T>(contributions: readonly Contribution<T>[]): number[] {
  return usable(contributions.map(({ weight }) => weight));
}

/**
 * `weight` × `performance`, never all zero. Who has not reported yet counts as the median of those who have (1 when nobody has): a
 * newcomer is neither trusted above the others nor shut out.
 */
export function meritsOf<T>(contributions: readonly Contribution<T>[]): number[] {
  const reported: number[] = [];
  for (const { performance } of contributions) if (performance !== undefined) reported.push(performance);
  if (reported.length === 0) return weightsOf(contributions);
  const typical = reported.length === contributions.length ? 0 : middleOf(reported);
  const merits = contributions.map(({ weight, performance }) => weight * (performance ?? typical));
  return merits.some((merit) => merit > 0) ? merits : weightsOf(contributions);
}

export function sharesOf(weights: readonly number[]): readonly number[] {
  const total = sum(weights);
  return weights.map((weight) => weight / total);
}

export function sum(numbers: readonly number[]): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}

function usable(weights: number[]): number[] {
  return weights.some((weight) => weight > 0) ? weights : weights.map(() => 1);
}

function middleOf(numbers: number[]): number {
  numbers.sort((a, b) => a - b);
  const half = numbers.length >> 1;
  const upper = numbers[half] as number;
  return numbers.length % 2 === 1 ? upper : ((numbers[half - 1] as number) + upper) / 2;
}
