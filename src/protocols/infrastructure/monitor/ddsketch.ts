/**
 * Percentiles of many measurements in little room, mergeable: DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019).
 *
 * Intuition: buckets whose borders grow by the same factor γ = (1 + α) / (1 − α). Whatever value falls into a bucket, the bucket's
 * representative is within α of it, relatively; so a percentile read from the counts is within α of the true one. Adding the counts of two sketches
 * gives the sketch of all their measurements.
 *
 * Invariants:
 * - `quantile(q)` is within `relativeError` of the measurement of rank ⌊q · (n − 1)⌋, for values whose magnitude is at least
 *   a 10⁸·⁸th of the greatest of their sign (section 3: buckets are collapsed from below), and within 1e-9 absolutely;
 * - merging is commutative and associative, and equals adding all measurements to one sketch (sums up to rounding);
 * - count, sum, least and greatest are exact; memory is bounded by two times `maxBins` counters.
 */
import { SketchBins } from './sketch-bins.ts';

export const relativeError = 0.01;
const gamma = (1 + relativeError) / (1 - relativeError);
const logGamma = Math.log(gamma);
/** Nearer to zero than this counts as zero. */
const smallest = 1e-9;

/** Buckets of the smallest and the greatest number there is. */
export const bucketRange = {
  low: bucketOf(smallest),
  high: bucketOf(Number.MAX_VALUE),
} as const;

/** The bucket (γ^(i−1), γ^i] that a positive number falls into. */
function bucketOf(magnitude: number): number {
  return Math.ceil(Math.log(magnitude) / logGamma);
}

/** The number within α of all that fall into a bucket: 2γ^i / (γ + 1). */
function middleOf(bucket: number): number {
  return Math.exp(bucket * logGamma + Math.log(2 / (gamma + 1)));
}

export class DDSketch {
  readonly positive = new SketchBins();
  /** By magnitude. */
  readonly negative = new SketchBins();
  zeros = 0;
  sum = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;

  get count(): number {
    return this.positive.total + this.negative.total + this.zeros;
  }

  /** `value` is finite. */
  add(value: number): void {
    if (value >= smallest) this.positive.add(bucketOf(value), 1);
    else if (value <= -smallest) this.negative.add(bucketOf(-value), 1);
    else this.zeros += 1;
    this.sum += value;
    if (value < this.min) this.min = value;
    if (value > this.max) this.max = value;
  }

  /** Adds all of another's measurements, each counted `weight` times. */
  merge(other: DDSketch, weight = 1): void {
    this.positive.addAll(other.positive, weight);
    this.negative.addAll(other.negative, weight);
    this.zeros += other.zeros * weight;
    this.sum += other.sum * weight;
    if (other.min < this.min) this.min = other.min;
    if (other.max > this.max) this.max = other.max;
  }

  clear(): void {
    this.positive.clear();
    this.negative.clear();
    this.zeros = 0;
    this.sum = 0;
    this.min = Number.POSITIVE_INFINITY;
    this.max = Number.NEGATIVE_INFINITY;
  }

  /** `share` from 0 to 1; undefined without measurements. */
  quantile(share: number): number | undefined {
    const { count } = this;
    if (count === 0) return undefined;
    if (share <= 0) return this.min;
    if (share >= 1) return this.max;
    // Weighted counts are fractions, so the rank is not rounded before it is compared.
    const rank = share * Math.max(0, count - 1);
    return Math.min(this.max, Math.max(this.min, this.#atRank(rank)));
  }

  #atRank(rank: number): number {
    let before = 0;
    const { negative, positive } = this;
    // From the greatest magnitude down, as the numbers themselves go up.
    for (let bucket = negative.high; bucket >= negative.low && negative.total > 0; bucket--) {
      before += negative.at(bucket);
      if (before > rank) return -middleOf(bucket);
    }
    before += this.zeros;
    if (before > rank) return 0;
    for (let bucket = positive.low; bucket <= positive.high && positive.total > 0; bucket++) {
      before += positive.at(bucket);
      if (before > rank) return middleOf(bucket);
    }
    // Fractions may add up to a little less than the count.
    return this.max;
  }
}
