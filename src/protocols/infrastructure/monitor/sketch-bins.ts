/**
 * Counts by bucket of a logarithmic scale, at most `maxBins` neighbouring buckets of them.
 *
 * What lies further below the highest non-empty bucket is counted in the lowest bucket that is kept: the highest magnitudes stay exact
 * to the bucket, the lowest lose precision. Where that floor is depends on the highest bucket only and never falls, so
 * the result is the same in whatever order and grouping counts are added.
 */

/** At 1 % of relative error these span nearly nine powers of ten: a microsecond to a quarter of an hour. */
export const maxBins = 1_024;
/** Room beside what is needed, at least; else as much again, so that growing stays cheap. */
const slack = 32;

export class SketchBins {
  #counts = new Float64Array(0);
  /** The bucket that `#counts[0]` counts. */
  #base = 0;
  #low = 0;
  #high = -1;
  #total = 0;

  get total(): number {
    return this.#total;
  }

  /** Only of bins that are not empty: the lowest and highest bucket with a count. */
  get low(): number {
    return this.#low;
  }

  get high(): number {
    return this.#high;
  }

  add(bucket: number, count: number): void {
    if (this.#total === 0) {
      this.#low = bucket;
      this.#high = bucket;
      this.#fit();
    } else if (bucket > this.#high) {
      this.#high = bucket;
      this.#fit();
    } else if (bucket < this.#low) {
      this.#low = Math.max(bucket, this.#high - maxBins + 1);
      this.#fit();
    }
    const at = Math.max(bucket, this.#low) - this.#base;
    this.#counts[at] = (this.#counts[at] as number) + count;
    this.#total += count;
  }

  /** Adds the counts of another, each times `factor`. */
  addAll(other: SketchBins, factor: number): void {
    if (other.#total === 0) return;
    // Both ends first, so that there is room for all between them.
    this.add(other.#high, other.at(other.#high) * factor);
    if (other.#low === other.#high) return;
    this.add(other.#low, other.at(other.#low) * factor);
    for (let bucket = other.#high - 1; bucket > other.#low; bucket--) {
      const count = other.#counts[bucket - other.#base] as number;
      if (count > 0) this.add(bucket, count * factor);
    }
  }

  at(bucket: number): number {
    return bucket < this.#low || bucket > this.#high ? 0 : (this.#counts[bucket - this.#base] as number);
  }

  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
    this.#high = this.#low - 1;
  }

  /** Makes room for `#low` to `#high`, and moves what is now below the floor onto it. */
  #fit(): void {
    const floor = this.#high - maxBins + 1;
    if (this.#low < floor) this.#low = floor;
    const { length } = this.#counts;
    if (this.#low >= this.#base && this.#high < this.#base + length) return;
    const span = this.#high - this.#low + 1;
    // On the side where it has grown.
    const room = Math.min(Math.max(slack, span), maxBins - span);
    const base = length > 0 && this.#low >= this.#base ? this.#low : this.#low - room;
    const counts = new Float64Array(Math.min(maxBins, span + 2 * room));
    for (let n = 0; n < length; n++) {
      const count = this.#counts[n] as number;
      if (count === 0) continue;
      const at = Math.max(this.#base + n, this.#low) - base;
      counts[at] = (counts[at] as number) + count;
    }
    this.#counts = counts;
    this.#base = base;
  }
}
