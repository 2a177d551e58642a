/** Counters and a latency histogram cheap enough to be kept for every call. */

export interface LatencySummary {
  readonly count: number;
  readonly meanMs: number;
  /** Upper ends of the histogram's steps, which are a quarter of an octave wide: within 19 %. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Steps per doubling, and the shortest time told apart: 2^-10 ms, about a microsecond. */
const perOctave = 4;
const octaves = 36;
const lowest = -10;

export class LatencyHistogram {
  readonly #steps = new Uint32Array(perOctave * octaves);
  #count = 0;
  #sum = 0;
  #max = 0;

  record(ms: number): void {
    this.#count += 1;
    this.#sum += ms;
    if (ms > this.#max) this.#max = ms;
    const step = ms > 0 ? Math.ceil((Math.log2(ms) - lowest) * perOctave) : 0;
    const index = Math.max(0, Math.min(this.#steps.length - 1, step));
    this.#steps[index] = (this.#steps[index] as number) + 1;
  }

  summary(): LatencySummary {
    return {
      count: this.#count,
      meanMs: this.#count === 0 ? 0 : this.#sum / this.#count,
      p50Ms: this.#quantile(0.5),
      p99Ms: this.#quantile(0.99),
      maxMs: this.#max,
    };
  }

  #quantile(share: number): number {
    let left = Math.ceil(this.#count * share);
    for (let step = 0; step < this.#steps.length; step++) {
      left -= this.#steps[step] as number;
      if (left <= 0) return this.#count === 0 ? 0 : Math.min(this.#max, 2 ** (step / perOctave + lowest));
    }
    return this.#max;
  }
}
