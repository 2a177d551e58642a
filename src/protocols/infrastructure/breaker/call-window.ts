/** Successes and failures of the last `windowMs`, in ten buckets: what is older than the window has left it, give or take a tenth. Pure. */
const buckets = 10;

export class CallWindow {
  readonly #bucketMs: number;
  readonly #failures = new Uint32Array(buckets);
  readonly #successes = new Uint32Array(buckets);
  /** Number of the bucket that counts now, from the beginning of the clock. */
  #newest = 0;
  #failed = 0;
  #succeeded = 0;

  constructor(windowMs: number) {
    this.#bucketMs = windowMs / buckets;
  }

  add(failed: boolean, now: number): void {
    this.#advance(now);
    const at = this.#newest % buckets;
    if (failed) {
      this.#failures[at] = (this.#failures[at] as number) + 1;
      this.#failed += 1;
    } else {
      this.#successes[at] = (this.#successes[at] as number) + 1;
      this.#succeeded += 1;
    }
  }

  failures(now: number): number {
    this.#advance(now);
    return this.#failed;
  }

  successes(now: number): number {
    this.#advance(now);
    return this.#succeeded;
  }

  clear(): void {
    this.#failures.fill(0);
    this.#successes.fill(0);
    this.#failed = 0;
    this.#succeeded = 0;
  }

  /** When the counts change next by the passing of time; undefined when there are none. */
  nextChangeAt(now: number): number | undefined {
    this.#advance(now);
    return this.#failed + this.#succeeded === 0 ? undefined : (this.#newest + 1) * this.#bucketMs;
  }

  #advance(now: number): void {
    const bucket = Math.floor(now / this.#bucketMs);
    if (bucket <= this.#newest) return;
    if (bucket - this.#newest >= buckets) this.clear();
    else {
      for (let passed = this.#newest + 1; passed <= bucket; passed++) {
        const at = passed % buckets;
        this.#failed -= this.#failures[at] as number;
        this.#succeeded -= this.#successes[at] as number;
        this.#failures[at] = 0;
        this.#successes[at] = 0;
      }
    }
    this.#newest = bucket;
  }
}
