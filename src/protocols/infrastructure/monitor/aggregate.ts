/**
 * One figure for the measurements of many nodes.
 *
 * Percentiles are read from one sketch of them all, so they are those of all measurements, not averages of percentiles. How much a node counts
 * there is bounded: none for more than the (liars + 1)-th busiest. Whoever claims a billion measurements
 * therefore counts as much as an honest node that really was that busy, or as less, and `liars` of n equally busy nodes hold
 * a share of liars / n; honest nodes lose nothing unless they are among the `liars` busiest. Least, greatest, mean, sum, count and rate have no such bound:
 * one liar moves them at will.
 */
import { DDSketch } from './ddsketch.ts';
import type { Aggregation } from './monitor.ts';

/** What one node has measured. */
export interface Measured {
  readonly sketch: DDSketch;
  /** How long a time that is from, milliseconds. */
  readonly coveredMs: number;
}

const percents = { p50: 50, p90: 90, p95: 95, p99: 99 } as const;
/** A rate over less than this says nothing. */
const shortestMs = 100;

/** How much each measurement of a node counts, for nodes with so many measurements: 1 or less. */
export function weights(counts: readonly number[], liars: number): number[] {
  const most = [...counts].sort((a, b) => b - a)[liars];
  return counts.map((count) => (most === undefined || count <= most ? 1 : most / count));
}

export class Aggregate {
  readonly samples: number;
  readonly #weighted = new DDSketch();
  readonly #all: readonly Measured[];

  /** Measured ones with at least one measurement each. */
  constructor(all: readonly Measured[], liars: number) {
    this.#all = all;
    const counts = all.map(({ sketch }) => sketch.count);
    const weight = weights(counts, liars);
    for (const [n, { sketch }] of all.entries()) this.#weighted.merge(sketch, weight[n]);
    this.samples = counts.reduce((sum, count) => sum + count, 0);
  }

  /** 0 to 100. */
  percentile(percent: number): number | undefined {
    return this.#weighted.quantile(percent / 100);
  }

  /** Undefined without measurements, but count, sum and rate of none are 0. */
  value(aggregation: Aggregation): number | undefined {
    switch (aggregation) {
      case 'count':
        return this.samples;
      case 'sum':
        return this.#sum();
      case 'rate':
        return this.#all.reduce(
          (sum, { sketch, coveredMs }) => sum + (sketch.count * 1_000) / Math.max(shortestMs, coveredMs),
          0,
        );
      default:
        if (this.samples === 0) return undefined;
    }
    if (aggregation === 'min') return this.#weighted.min;
    if (aggregation === 'max') return this.#weighted.max;
    if (aggregation === 'mean') return this.#sum() / this.samples;
    return this.percentile(percents[aggregation]);
  }

  #sum(): number {
    return this.#all.reduce((sum, { sketch }) => sum + sketch.sum, 0);
  }
}
